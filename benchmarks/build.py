"""Measure the book's build on a copy of the project: time, memory of each kernel, weight of pages.

Run it with `make bench-build`; it needs what `make book` has installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = (".git", ".venv", "_build", "conf.py", "__pycache__", "node_modules", ".hypothesis")
MEGABYTE = 1e6


class KernelMemory(threading.Thread):
    """Watch the kernels below this process and keep each page's peak of resident memory."""

    def __init__(self) -> None:
        """Watch nothing yet."""
        super().__init__(daemon=True)
        self.peak: dict[str, int] = {}
        self.done = threading.Event()

    def run(self) -> None:
        """Look twenty times a second until `done` is set."""
        pages: dict[int, str] = {}
        while not self.done.wait(0.05):
            for process in psutil.Process().children(recursive=True):
                try:
                    if process.pid not in pages and "ipykernel_launcher" in process.cmdline():
                        pages[process.pid] = process.environ()["BOOK_PAGE"]
                    if page := pages.get(process.pid):
                        self.peak[page] = max(self.peak.get(page, 0), resident_peak(process))
                except (psutil.Error, KeyError, OSError):
                    continue


def resident_peak(process: psutil.Process) -> int:
    """Peak of resident memory in bytes: the kernel's own mark on Linux, else the present value."""
    status = Path(f"/proc/{process.pid}/status")
    if status.exists() and (mark := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(mark[1]) * 1024
    return process.memory_info().rss


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
        memory = KernelMemory()
        memory.start()
        cold = timed_build(project)
        memory.done.set()
        memory.join()
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
        print("| page | kernel's peak, MB | HTML, kB | pictures, kB |\n|---|---:|---:|---:|")
        for page, (text, pictures) in weights(html).items():
            peak = f"{memory.peak[page] / MEGABYTE:.0f}" if page in memory.peak else ""
            print(f"| {page} | {peak} | {text / 1000:.0f} | {pictures / 1000:.0f} |")


if __name__ == "__main__":
    main()
