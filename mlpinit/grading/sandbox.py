"""What a child process gives up before it runs a submission.

Limits on time, memory and file sizes hold on every POSIX system. On Linux two things more: seccomp
leaves it a short list of system calls, without new processes, signals to others, tracing and the
network; Landlock leaves it the files that a submission has business with, the graders not among
them. Neither needs privileges. `Box.confine` says what it could put in place, `missing` what not.

Source: man pages setrlimit(2), prctl(2), seccomp(2), landlock(7).
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mlpinit.grading import landlock, syscalls
from mlpinit.grading.landlock import LIBC

# Imported before a child gives up its rights to read them; Windows has neither.
with suppress(ImportError):
    import pwd
    import resource

__all__ = ["Box", "Limits", "limit_time", "missing", "remove"]


@dataclass(frozen=True)
class Limits:
    """What one exercise may use.

    - `seconds`: processor time for all its cases, in whole seconds; as much again for loading the
      file
    - `patience`: seconds on the clock, for what uses no processor: that sleeps, or waits for ever
    - `memory`: bytes of address space beyond what torch itself takes
    - `output`: bytes printed, and the size of any file written
    """

    seconds: int = 2
    patience: float = 30.0
    memory: int = 2**29
    output: int = 2**20


_PROTECTIONS = {
    "limits": "limits on time and memory: a submission can use up the machine's",
    "files": "closed files: a submission can read the graders and the other submissions",
    "processes": "closed processes: a submission can start programs and disturb others",
    "network": "a closed network: a submission can send away what it reads",
}


def missing(held: Sequence[str]) -> list[str]:
    """In words, the protections that were not in place, of those that `Box.confine` can name."""
    return [says for name, says in _PROTECTIONS.items() if name not in held]


class Box:
    """Where children run one after another, and what they may reach: prepared once, for all.

    `scratch` gives each a folder of its own. Close it to remove what there is of it on the disk.
    """

    def __init__(self, *, confining: bool = True) -> None:
        """Make a folder for the scratch folders and, on Linux, the rules about files."""
        self.confining = confining
        self._prepare()

    def _prepare(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="grading-"))
        os.chmod(self._root, 0o711)  # another user finds the way to a folder of its own
        ruled = self.confining and sys.platform == "linux"
        self.rules = landlock.ruleset(self._root) if ruled else None
        if _MACHINE in syscalls.MACHINES:
            syscalls.program(_MACHINE, 0)  # so that no child has to work it out

    def close(self) -> None:
        """Remove the folder and give back the rules."""
        remove(self._root)
        if self.rules is not None:
            os.close(self.rules)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder, for one child; what that leaves is never another's to find."""
        folder = self._root / "scratch"
        folder.mkdir(exist_ok=True)
        as_made = _state(folder.stat())
        try:
            yield folder
        finally:
            if not _emptied(folder, as_made) and not remove(folder):
                self.close()
                self._prepare()

    def confine(
        self, limits: Limits, scratch: Path, *, rules: int, user: str = ""
    ) -> list[str]:  # pragma: no cover (in the child)
        """Give up what a submission does not need, for good; returns the names of what holds.

        `rules` is where this child has its handle of the rules, `user` whose rights it takes on.
        """
        if not self.confining:
            return []
        held = ["limits"]
        _limit(limits)
        if user:
            _become(user, scratch)
        if sys.platform == "linux":
            LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
            if LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
                if self.rules is not None and landlock.restrict(rules):
                    held.append("files")
                if _restrict_calls():
                    held += ["processes", "network"]
        if "processes" not in held:
            _set({"RLIMIT_NPROC": 0})  # which forbids threads as well
        return held


def remove(folder: Path) -> bool:
    """Remove a folder, however deep it is; whether nothing is left of it.

    Folders within folders are moved out one by one: a path of thousands would be too long for the
    system, and recursion for Python.
    """
    out = tempfile.mkdtemp(dir=folder.parent)
    try:
        folder.rename(f"{out}/0")
        count, left = 1, ["0"]
        while left:
            here = f"{out}/{left.pop()}"
            os.chmod(here, 0o700)
            with os.scandir(here) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.path)
                        continue
                    os.chmod(entry.path, 0o700)  # without it only root can move it
                    os.rename(entry.path, f"{out}/{count}")
                    left.append(str(count))
                    count += 1
            os.rmdir(here)
    except OSError:
        return not folder.exists() and not os.listdir(out)
    finally:
        with suppress(OSError):
            os.rmdir(out)
    return True


def _state(found: os.stat_result) -> tuple[int, ...]:
    return found.st_mode, found.st_uid, found.st_gid


def _emptied(folder: Path, as_made: tuple[int, ...]) -> bool:
    """Whether nothing but files was left in a folder that is otherwise as it was made."""
    try:
        for name in os.listdir(folder):
            os.unlink(f"{folder}/{name}")
        found = os.stat(folder)
    except OSError:  # a folder in it; or it does not let itself be read, or is gone
        return False
    return _state(found) == as_made


def _become(user: str, scratch: Path) -> None:  # pragma: no cover (in the child)
    """Take on the rights of `user` for good, who gets the scratch folder; only root can."""
    entry = pwd.getpwnam(user)
    os.chown(scratch, entry.pw_uid, entry.pw_gid)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def limit_time(limits: Limits) -> None:  # pragma: no cover (in the child)
    """Have the system end this process after its processor time, whoever watches it."""
    _set({"RLIMIT_CPU": 2 * limits.seconds})


def _limit(limits: Limits) -> None:  # pragma: no cover (in the child)
    ceilings = {
        "RLIMIT_AS": _address_space() + limits.memory,
        "RLIMIT_FSIZE": limits.output,
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 64,
    }
    _set(ceilings)


def _set(ceilings: dict[str, int]) -> None:  # pragma: no cover (in the child)
    for name, most in ceilings.items():
        with suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (most, most))


def _address_space() -> int:
    """Bytes of address space now, or a generous guess where the system does not say."""
    try:
        with open("/proc/self/statm", "rb", 0) as file:
            pages = int(file.read().split()[0])
    except OSError:
        return 2**34
    return pages * os.sysconf("SC_PAGE_SIZE")


_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_FILTER = 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


_MACHINE = platform.machine() if sys.maxsize > 2**32 else ""


def _restrict_calls() -> bool:  # pragma: no cover (in the child)
    if _MACHINE not in syscalls.MACHINES:
        return False
    code = syscalls.program(_MACHINE, os.getpid())
    program = _Program(len(code) // 8, code)
    return LIBC.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0
