"""One build at a time in a folder, and a mark there for as long as its pages are not whole."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LOCK", "UNFINISHED", "only_one"]

LOCK = ".lock"
UNFINISHED = ".unfinished"


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
