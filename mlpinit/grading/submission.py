"""A submission, read: the bytes of each chapter's file, from files that are what they seem.

Nothing here follows a link out of a submission, or opens what would keep a reader waiting.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from mlpinit.grading.exercise import CHAPTERS
from mlpinit.grading.text import visible

__all__ = ["LARGEST", "Submission", "distinct", "read_submission"]

LARGEST = 2**20  # bytes of a chapter's file


@dataclass(frozen=True)
class Submission:
    """What was handed in, read before any of it runs.

    `files` maps a chapter's name to its file's bytes; one that is missing or cannot be read is in
    `problems` with the reason instead. `name` is fit to show.
    """

    name: str
    files: dict[str, bytes]
    problems: dict[str, str]


class _RefusedError(Exception):
    """A file that is not read, and why."""


def read_submission(folder: Path) -> Submission:
    """Read the chapters' files in a folder. Raises `ValueError` when there is no such folder."""
    full = Path(os.path.abspath(folder))
    if not full.is_symlink() and not full.is_dir():
        shown = visible(str(folder))
        raise ValueError(f"{shown} is not a folder; wanted one with files such as forward.py")
    name = visible(full.name or str(full))
    try:
        # O_NOFOLLOW: a link among the submissions could lead to a classmate's.
        handle = os.open(full, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        why = f"the folder cannot be read: {error.strerror}"
        if full.is_symlink():
            why = "the folder is a link, which is not followed: name the folder itself"
        return Submission(name, {}, dict.fromkeys(CHAPTERS, why))
    files, problems = {}, {}
    try:
        for chapter in CHAPTERS:
            try:
                files[chapter] = _read(f"{chapter}.py", handle)
            except _RefusedError as refused:
                problems[chapter] = str(refused)
    finally:
        os.close(handle)
    return Submission(name, files, problems)


def _read(name: str, folder: int) -> bytes:
    """The bytes of a regular file in an open folder, or `_RefusedError`."""
    try:
        _check(name, os.stat(name, dir_fd=folder, follow_symlinks=False))
        # It may have been exchanged since: O_NONBLOCK does not wait for the writer of a FIFO.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(name, flags, dir_fd=folder)
        with os.fdopen(handle, "rb") as file:
            _check(name, os.fstat(handle))
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise _RefusedError(f"there is no file {name}") from None
    except OSError as error:
        raise _RefusedError(f"{name} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST:
        most = LARGEST // 2**20
        raise _RefusedError(f"{name} cannot be read: it is larger than {most} MiB")
    return data


_KINDS = {
    stat.S_IFLNK: "a link, which is not followed",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _check(name: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no file")
        raise _RefusedError(f"{name} cannot be read: it is {kind}; hand in the file itself")


def distinct(submissions: list[Submission]) -> list[Submission]:
    """The same, each with a name of its own: `sam`, `sam (2)` where two are called alike."""
    taken, met, named = {s.name for s in submissions}, set(), []
    for s in submissions:
        name = s.name
        if name in met:
            name = next(n for i in count(2) if (n := f"{s.name} ({i})") not in taken)
            taken.add(name)
        met.add(s.name)
        named.append(replace(s, name=name))
    return named
