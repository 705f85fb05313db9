"""The files that a submission may read; the kernel refuses it all others (Landlock).

Named are Python's library, the packages beside it, the system's shared libraries and fonts, and of
this package everything but the graders. Where the graders lie inside such a folder, the files
around them are named one by one, wherever Python is installed: `/usr` as a whole never is.

Source: man page landlock(7); the kernel's linux/landlock.h for the numbers.
"""

from __future__ import annotations

import ctypes
import os
import site
import struct
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["around", "graders", "readable", "ruleset"]

PACKAGE = Path(__file__).resolve().parents[1]

_CREATE, _ADD = 444, 445
_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR, _WRITE_FILE = 1 << 2, 1 << 3, 1 << 1
_REMOVE, _MAKE_DIR, _MAKE_FILE = (1 << 4) | (1 << 5), 1 << 7, 1 << 8
_MOVE, _TRUNCATE = 1 << 13, 1 << 14  # of the second and the third version
_READ = _READ_FILE | _READ_DIR
_OWN = _READ | _WRITE_FILE | _REMOVE | _MAKE_DIR | _MAKE_FILE | _MOVE | _TRUNCATE
_ONE_FILE = _READ_FILE | _WRITE_FILE | _TRUNCATE  # the rights that a single file can have

_SYSTEM = (
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/matplotlibrc",
    "/etc/mime.types",
    "/etc/timezone",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
)
_OF_A_PREFIX = tuple(
    f"share/{name}" for name in ("fontconfig", "fonts", "i18n", "locale", "matplotlib", "zoneinfo")
)


def ruleset(libc: ctypes.CDLL, own: Path, read: Path) -> int | None:
    """A handle on the rules, for `landlock_restrict_self` in any number of children.

    They may write in `own`, and read in `read` and what is `readable`; None where the kernel has
    no Landlock.
    """
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        return None
    handled = _handled(version)
    handle = libc.syscall(_CREATE, handled, ctypes.c_size_t(len(handled)), 0)
    if handle < 0:
        return None
    files = struct.unpack_from("=Q", handled)[0]
    for path in [*readable(), read]:
        _allow(libc, handle, path, _READ & files)
    _allow(libc, handle, own, _OWN & files)
    _allow(libc, handle, Path(os.devnull), _ONE_FILE & files)
    return handle


def _handled(version: int) -> bytes:
    """Every right that this version of Landlock can take away."""
    bits = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    words = [(1 << bits) - 1]
    if version >= 4:
        words.append(0b11)  # TCP's bind and connect
    if version >= 6:
        words.append(0b11)  # abstract sockets of others, signals to others
    return struct.pack(f"={len(words)}Q", *words)


def _allow(libc: ctypes.CDLL, handle: int, path: Path, rights: int) -> None:
    with suppress(OSError):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not path.is_dir():
            rights &= _ONE_FILE
        libc.syscall(_ADD, handle, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
        os.close(place)


def readable() -> list[Path]:
    """What may be read, each with all that lies in it."""
    hidden = graders()
    prefixes = {Path(p).resolve() for p in ("/usr", "/usr/local", sys.prefix, sys.base_prefix)}
    found = [Path(p) for p in _SYSTEM]
    found += [prefix / part for prefix in sorted(prefixes) for part in _OF_A_PREFIX]
    found += [path for folder in _of_python() for path in around(folder, hidden)]
    found += _shared_libraries(prefixes, hidden)
    with suppress(OSError):  # a package in an archive has no folder
        found += [path for path in PACKAGE.iterdir() if path.resolve() not in hidden]
    return [path for path in dict.fromkeys(found) if path.exists()]


def graders() -> set[Path]:
    """Where graders lie: this package's, and those of any other copy beside it."""
    hidden = {PACKAGE / "grading"}
    for folder in _packages():
        with suppress(OSError):
            for entry in folder.iterdir():
                hidden |= _graders_in(entry)
    project = PACKAGE.parent
    for name in ("book", "tests", "build", "dist", "_build"):  # solutions, wrong answers, copies
        if (project / "pyproject.toml").exists():
            hidden.add((project / name).resolve())
    return hidden


def _graders_in(entry: Path) -> set[Path]:
    """Graders in one entry of a folder of packages: a package, an egg, what pip left behind."""
    if entry.is_dir():
        inside = (entry / "grading", entry / PACKAGE.name / "grading")
        return {path.resolve() for path in inside if (path / "exercises").is_dir()}
    if entry.suffix in (".egg", ".zip", ".whl") and PACKAGE.name in entry.name:
        return {entry.resolve()}
    return set()


def _of_python() -> list[Path]:
    """Python's own library and the folders of packages, none of them a checkout's."""
    library = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    zipped = {p for p in sys.path if Path(p).name.startswith("python") and p.endswith(".zip")}
    return sorted({Path(p).resolve() for p in library | zipped if p} | set(_packages()))


def _packages() -> list[Path]:
    named = [*site.getsitepackages(), site.getusersitepackages(), *sys.path]
    named += [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    paths = {Path(p).resolve() for p in named if p.rstrip("/").endswith("-packages")}
    return sorted(path for path in paths if path.is_dir())


def _shared_libraries(prefixes: Iterable[Path], hidden: set[Path]) -> Iterator[Path]:
    """Files, and the folders that are a machine's, in every `lib`: no folder of any Python's."""
    folders = {prefix / lib for prefix in [Path("/"), *prefixes] for lib in ("lib", "lib64")}
    for folder in sorted({folder.resolve() for folder in folders if folder.is_dir()}):
        for entry in folder.iterdir():
            machine = entry.is_dir() and entry.name.count("-") >= 1 and "linux" in entry.name
            if entry.name == "locale" or machine or entry.is_file():
                yield from around(entry, hidden)


def around(folder: Path, hidden: set[Path]) -> Iterator[Path]:
    """`folder`, or, where something hidden lies in it, what lies around that."""
    place = folder.resolve()
    if place in hidden or any(place.is_relative_to(path) for path in hidden):
        return
    if not any(path.is_relative_to(place) for path in hidden):
        yield place
        return
    with suppress(OSError):
        for entry in place.iterdir():
            if not entry.is_symlink():  # what a link leads to is readable where that is named
                yield from around(entry, hidden)
