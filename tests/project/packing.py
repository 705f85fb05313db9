"""Build the package's sdist, and from it the wheel; or print README's first program.

python packing.py FOLDER
python packing.py --program
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKED = ("mlpinit", "pyproject.toml", "README.md", "LICENSE", "LICENSE-text")


def sources() -> list[Path]:
    """The files that are packed, from the root, and not what running them leaves behind."""
    paths = [ROOT / name for name in PACKED]
    files = [f for path in paths for f in ([path] if path.is_file() else path.rglob("*"))]
    kept = (f.relative_to(ROOT) for f in files if f.is_file())
    return sorted(f for f in kept if "__pycache__" not in f.parts and f.suffix != ".pyc")


def build(folder: Path) -> tuple[Path, Path]:
    """The sdist and the wheel that is built from what is in the sdist and from nothing else."""
    with tempfile.TemporaryDirectory() as name:
        copy, unpacked = Path(name) / "copy", Path(name) / "unpacked"
        for path in sources():
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, copy / path)
        folder = folder.resolve()
        sdist = folder / _built("build_sdist", copy, folder)
        with tarfile.open(sdist) as archive:
            archive.extractall(unpacked, filter="data")
        (inside,) = unpacked.iterdir()
        return sdist, folder / _built("build_wheel", inside, folder)


def _built(hook: str, source: Path, folder: Path) -> str:
    """The name of what setuptools makes, as any builder asks it to (PEP 517)."""
    ask = f"import sys; from setuptools import build_meta as b; print(b.{hook}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ask, str(folder)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return done.stdout.splitlines()[-1]


def program() -> str:
    """The first Python block of README: it needs the package and nothing of the reader's own."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.search(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)[1]


if __name__ == "__main__":
    if sys.argv[1] == "--program":
        print(program())
    else:
        build(Path(sys.argv[1]))
