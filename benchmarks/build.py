"""Measure the book's build on a copy of the project: time, and weight of pages.

Run it with `make bench-build`; it needs what `make book` has installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = (".git", ".venv", "_build", "__pycache__", "node_modules", ".hypothesis")


def timed_build(project: Path) -> float:
    """Run `make book` and return its seconds; stop with its output when it fails."""
    start = time.perf_counter()
    command = ["make", "book", f"VENV={Path(sys.prefix)}", "PACKAGE="]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SystemExit(result.stdout + result.stderr)
    return time.perf_counter() - start


def median_of_three(project: Path, edit: Path | None = None) -> float:
    """Return the median time of three builds, each after a word more in `edit`."""
    seconds = []
    for n in range(3):
        if edit is not None:
            edit.write_text(f"{edit.read_text()}\nAnother sentence, number {n}.\n")
        seconds.append(timed_build(project))
    return sorted(seconds)[1]


def weights(html: Path) -> dict[str, tuple[int, int]]:
    """Return bytes of each page's HTML, and of the pictures that it shows in one mode."""
    found = {}
    for page in sorted((html / "book").rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        pictures = {page.parent / src for src in re.findall(r'src="([^"]*_images/[^"]+)"', text)}
        shown = sum(path.stat().st_size for path in pictures if "-dark" not in path.name)
        found[page.relative_to(html).with_suffix("").as_posix()] = (page.stat().st_size, shown)
    return found


def main() -> None:
    """Print the measurements as two tables."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder, "project")
        shutil.copytree(ROOT, project, ignore=shutil.ignore_patterns(*LEFT_OUT))
        cold = timed_build(project)
        warm = median_of_three(project)
        prose = median_of_three(project, project / "book" / "part1" / "training.md")
        html = project / "_build" / "html"
        largest = max((html / "_images").iterdir(), key=lambda path: path.stat().st_size)
        print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}; `make book`, seconds\n")
        print("| build | s |\n|---|---:|")
        print(f"| cold, packages installed | {cold:.1f} |")
        print(f"| nothing changed | {warm:.1f} |")
        print(f"| a sentence in a chapter | {prose:.1f} |")
        print(f"\nLargest figure: {largest.stat().st_size / 1000:.0f} kB\n")
        print("| page | HTML, kB | pictures, kB |\n|---|---:|---:|")
        for page, (text, pictures) in weights(html).items():
            print(f"| {page} | {text / 1000:.0f} | {pictures / 1000:.0f} |")
        print("\nWhat each page's kernel took is on the page 'What was executed'.")


if __name__ == "__main__":
    main()
