"""A book that is built needs no building: what it was made from, and what was made, are on record.

Asking Sphinx whether there is anything to do takes seconds, for it is loaded whole. This module
loads next to nothing, and looks at the dates and sizes of files, as Sphinx does.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from book_build import hosting
from book_build.turn import UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ingredients", "is_built", "record"]

RECORD = "built.json"
FOLDERS = ("book", "mlpinit")
SETTINGS = ("_config.yml", "_toc.yml", "requirements.txt", "pyproject.toml")
VARIABLES = ("MLPINIT_", "READTHEDOCS")  # read by cells, and by an extension


def ingredients(root: Path, solutions: bool) -> dict[str, Any]:
    """Tell what the pages are made from: files, versions, and what the hosting says of itself."""
    settings = {entry.name: stamp(entry) for entry in os.scandir(root) if entry.name in SETTINGS}
    environment = {k: v for k, v in os.environ.items() if k.startswith(VARIABLES)}
    return {
        "root": str(root),
        "solutions": solutions,
        "settings": settings,
        "files": {name: files_in(root / name) for name in FOLDERS},
        "packages": [sys.version, sys.prefix, *packages()],
        "environment": environment,
        "hosting": [hosting.repository(root=root), hosting.site()],
    }


def packages() -> list[int]:
    """The last time that a package came or went, in the folder that Sphinx is installed in."""
    found = importlib.util.find_spec("sphinx")
    return [Path(found.origin).parents[1].stat().st_mtime_ns] if found else []


def files_in(folder: Path) -> dict[str, list[int]]:
    """The stamp of each file in a folder, by its path from there."""
    start = len(str(folder)) + 1
    return {entry.path[start:]: stamp(entry) for entry in walk(folder)}


def walk(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """Yield the files in a folder and in those below, but not what Python compiled."""
    if not os.path.isdir(folder):
        return
    for entry in os.scandir(folder):
        if not entry.is_dir():
            yield entry
        elif entry.name != "__pycache__":
            yield from walk(entry.path)


def stamp(entry: os.DirEntry[str]) -> list[int]:
    """The size and the date of a file, which differ once it has been written again."""
    status = entry.stat()
    return [status.st_size, status.st_mtime_ns]


def is_built(root: Path, made_from: dict[str, Any]) -> bool:
    """Tell whether the last build made the pages from just this, and they are as it left them."""
    build = root / "_build"
    if (build / UNFINISHED).exists():
        return False
    try:
        known = json.loads((build / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return known == as_read({"from": made_from, "pages": files_in(build / "html")})


def record(root: Path, made_from: dict[str, Any]) -> None:
    """Keep what the pages were made from, as it was before the build, and how they are now."""
    build = root / "_build"
    made = {"from": made_from, "pages": files_in(build / "html")}
    part = build / f"{RECORD}.part"
    part.write_text(json.dumps(made), encoding="utf-8")
    part.replace(build / RECORD)


def as_read(value: dict[str, Any]) -> dict[str, Any]:
    """A value as it is read again: with lists for tuples."""
    return json.loads(json.dumps(value))
