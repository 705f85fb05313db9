"""Build the book: `python -m book_build` in the project's root, with this folder on PYTHONPATH.

Nothing green by accident: after a build that failed or was interrupted, the pages are made again
from nothing (the execution cache stays): a failure repeats, and an interruption is forgotten.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib.metadata
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from book_build.environment import KERNEL_ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["main"]


def main() -> int:
    """Build `_build/html` and print the page to open; 0 only if the book is whole."""
    parser = argparse.ArgumentParser(prog="book_build", description=main.__doc__)
    parser.add_argument("--jobs", default="2", help="pages at a time (default: %(default)s)")
    parser.add_argument("--solutions", default="1", choices="01", help="0 leaves them out")
    parser.add_argument("--links", action="store_true", help="then try the links out of the book")
    args = parser.parse_args()
    root = Path.cwd()
    build = root / "_build"
    build.mkdir(exist_ok=True)
    os.environ.update(KERNEL_ENVIRONMENT)
    # An optional check of jsonschema's, that nothing here asks for; loading it takes over a second.
    sys.modules["rfc3987_syntax"] = None
    os.environ["PYTHONPATH"] = str(root)
    os.environ["IPYTHONDIR"] = str(build / "ipython")
    with only_one(build / ".lock"):
        unfinished = build / ".unfinished"
        if unfinished.exists():
            for made in ("html", ".doctrees", "jupyter_execute"):
                shutil.rmtree(build / made, ignore_errors=True)
        unfinished.touch()
        write_conf(root)
        status = sphinx(root, build, args.jobs, args.solutions)
        if status == 0:
            unfinished.unlink()
    if status != 0:
        print("The book is not built: see the message above.", file=sys.stderr)
        return status
    print(f"The book is built. Open {build / 'html' / 'index.html'}")
    return check_links(root, build, args.solutions) if args.links else 0


def check_links(root: Path, build: Path, solutions: str) -> int:
    """Open every address that a page links to, and name those that do not answer."""
    settings = ["-q", "-D", f"book_solutions={solutions}", "-b", "linkcheck"]
    folders = ["-d", str(build / ".doctrees"), str(root), str(build / "linkcheck")]
    status = subprocess.run(
        [sys.executable, "-m", "sphinx", *settings, *folders],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        check=False,
    ).returncode
    print("A link is broken: see above." if status else "Every link leads somewhere.")
    return status


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Wait for any other build in this folder; the system frees the lock of one that was killed."""
    try:
        import fcntl  # noqa: PLC0415 (not on Windows)
    except ImportError:
        yield
        return
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write_conf(root: Path) -> None:
    """Translate `_config.yml` into the `conf.py` that Sphinx reads, when it has changed.

    Jupyter Book's own command has no way to build pages side by side and takes a second to start.
    """
    import hashlib  # noqa: PLC0415

    settings = [root / "_config.yml", root / "requirements.txt", Path(__file__)]
    digest = hashlib.sha256(b"\0".join(p.read_bytes() for p in settings)).hexdigest()
    last = f"# From _config.yml, {digest}\n"
    conf = root / "conf.py"
    if conf.exists() and conf.read_text(encoding="utf-8").endswith(last):
        return
    from click.testing import CliRunner  # noqa: PLC0415
    from jupyter_book.cli.main import sphinx as config_sphinx  # noqa: PLC0415

    result = CliRunner().invoke(config_sphinx, [str(root)], catch_exceptions=False)
    if result.exit_code != 0:
        raise SystemExit(result.output)
    with conf.open("a", encoding="utf-8") as handle:
        handle.write(last)


def sphinx(root: Path, build: Path, jobs: str, solutions: str) -> int:
    """Run Sphinx as strictly as it goes."""
    # A build is one short process: its garbage need not be collected, nor the list of installed
    # packages' entry points, which pybtex and others ask for by the dozen, be read more than once.
    gc.disable()
    importlib.metadata.entry_points = functools.cache(importlib.metadata.entry_points)
    from sphinx.cmd.build import build_main  # noqa: PLC0415

    strict = ["-n", "-W", "-q", "-j", jobs, "-D", f"book_solutions={solutions}"]
    return build_main(
        [*strict, "-b", "html", "-d", str(build / ".doctrees"), str(root), str(build / "html")]
    )


if __name__ == "__main__":
    sys.exit(main())
