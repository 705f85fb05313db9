"""Where children are: a folder of their own to write in, and a file for what they print.

Made once for a process that forks children one after another, and emptied after each.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from mlpinit.grading import sandbox

with suppress(ImportError):  # Windows has none
    import pwd

__all__ = ["Place", "environment", "place"]


class Place:
    """A folder with `own`, where a child may write, and `read`, which it may read."""

    def __init__(self, folder: Path) -> None:
        """Make both folders in `folder`, which is there."""
        os.chmod(folder, 0o711)
        self.own, self.read = folder.resolve() / "own", folder.resolve() / "read"
        self.own.mkdir()
        self.read.mkdir()
        self.printed: IO[bytes] = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115
        self.walls = sandbox.prepare(self.own, self.read)
        self.pid = os.getpid()
        self._user = ""

    def give_to(self, user: str) -> None:
        """Let that user write here; only root can."""
        if user != self._user:
            entry = pwd.getpwnam(user)
            os.chown(self.own, entry.pw_uid, entry.pw_gid)
            self._user = user

    def move_in(self, *, confined: bool) -> None:  # pragma: no cover (in the child)
        """Make this the child's own folder; if it is confined, its environment speaks of no other."""
        os.chdir(self.own)
        tempfile.tempdir = os.environ["TMPDIR"] = str(self.own)
        if confined:
            os.environ.clear()
            os.environ.update(environment(str(self.own)))
            os.environ["MPLCONFIGDIR"] = str(self.read)

    def take_printed(self, most: int) -> tuple[bytes, int]:
        """The first `most` bytes that a child printed, how many there were, and none are left."""
        handle = self.printed.fileno()
        size = os.fstat(handle).st_size
        start = os.pread(handle, most, 0)
        os.ftruncate(handle, 0)
        return start, size

    def empty(self) -> None:
        """Leave the next child nothing of the last. Raises `OSError` where that is impossible."""
        for entry in os.scandir(self.own):
            if entry.is_dir(follow_symlinks=False):
                _remove(entry.path)
            else:
                os.unlink(entry.path)


def _remove(folder: str) -> None:
    try:
        shutil.rmtree(folder)
    except (RecursionError, OSError):  # deeper than Python goes, or than a path is long
        subprocess.run(["/bin/rm", "-rf", "--", folder], check=False)
        if os.path.lexists(folder):
            raise OSError(f"{folder} cannot be removed") from None


def environment(home: str) -> dict[str, str]:
    """All the variables that a submission sees: nothing of whoever grades.

    One thread for each process, no display, no GPU, and the same order of sets at every run.
    """
    variables = {
        "PATH": "/usr/bin:/bin",
        "HOME": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONHASHSEED": "0",
    }
    return variables | {name: os.environ[name] for name in _OF_LIBRARIES if name in os.environ}


_OF_LIBRARIES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # without them torch may not be found
_places: dict[int, Place] = {}


def place(folder: str | None = None) -> Place:
    """This process's place, made at the first call: in `folder`, or in a temporary one."""
    pid = os.getpid()
    if pid not in _places or not _places[pid].own.is_dir():
        if folder is None:
            folder = tempfile.mkdtemp(prefix="grading-")
            atexit.register(_forget, folder, pid)
        _places[pid] = Place(Path(folder))
    return _places[pid]


def _forget(folder: str, pid: int) -> None:
    if os.getpid() == pid:  # not at the end of a fork
        shutil.rmtree(folder, ignore_errors=True)
