"""The files that a submission may read, as a ruleset for Landlock: the system's libraries, Python,
its packages; never the graders, wherever this package was installed.

What is readable is named; where something hidden lies within, what lies around it is named. A
ruleset is made once, before the fork: each child only takes it on.

Source: landlock(7); the kernel's headers linux/landlock.h.
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

__all__ = ["LIBC", "hidden", "readable", "restrict", "ruleset"]

LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_ASK_VERSION = 1
_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}  # version: how many rights to files it knows
_NETWORK, _SCOPE = 0b11, 0b11  # bind and connect, from version 4; sockets and signals, from 6

_READ = (1 << 2) | (1 << 3)  # read a file, list a folder
_ONE_FILE = (1 << 0) | (1 << 1) | (1 << 2)  # the rights that a single file can have

_SYSTEM = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share"),
    *("/usr/local/lib", "/usr/local/lib64", "/usr/local/share"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group"),
    *("/etc/fonts", "/etc/mime.types", "/sys/devices/system"),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/dev/urandom"),
)
# Not /proc/self: before the fork that is the runner.


def ruleset(scratch: Path) -> int | None:
    """A handle on a ruleset that leaves `readable()` and `scratch`; None without Landlock."""
    version = LIBC.syscall(_CREATE, None, ctypes.c_size_t(0), _ASK_VERSION)
    if version < 1:
        return None
    every = (1 << _RIGHTS[max(v for v in _RIGHTS if v <= version)]) - 1
    taken = struct.pack("QQQ", every, _NETWORK * (version >= 4), _SCOPE * (version >= 6))
    size = 8 * (1 + (version >= 4) + (version >= 6))  # an older kernel knows no more
    handle = LIBC.syscall(_CREATE, taken, ctypes.c_size_t(size), 0)
    if handle < 0:
        return None
    for path in readable():
        _allow(handle, path, _READ)
    _allow(handle, scratch, every)
    _allow(handle, Path(os.devnull), _ONE_FILE)
    return handle


def restrict(handle: int) -> bool:  # pragma: no cover (in the child)
    """Take on a ruleset for good; whether the kernel did."""
    return LIBC.syscall(_RESTRICT, handle, 0) == 0


def _allow(ruleset: int, path: Path, rights: int) -> None:
    with suppress(OSError):
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not path.is_dir():
            rights &= _ONE_FILE
        LIBC.syscall(_ADD, ruleset, 1, struct.pack("=Qi", rights, handle), 0)
        os.close(handle)


def readable() -> list[Path]:
    """The system, Python, its packages and this package, without what is `hidden`."""
    package = Path(__file__).resolve().parents[1]
    secrets = set(hidden())
    roots = {p.resolve() for p in (*map(Path, _SYSTEM), *_python(), package) if p.exists()}
    # A root within another would, named by itself, open what the other goes around.
    outer = [r for r in roots if not any(r != o and r.is_relative_to(o) for o in roots)]
    return [path for root in sorted(outer) for path in _around(root, secrets)]


def hidden() -> Iterator[Path]:
    """Every copy of the graders that lies where Python looks for packages, this one above all.

    Of a checkout everything but the package: the book's solutions and the tests lie there.
    """
    graders = Path(__file__).resolve().parent
    package, checkout = graders.parent, graders.parent.parent
    if (checkout / "pyproject.toml").is_file():
        yield from (entry for entry in checkout.iterdir() if entry != package)
    while not graders.exists():  # within an archive: the archive
        graders = graders.parent
    yield graders
    for packages in _packages():
        yield from packages.glob("mlpinit/grading")
        yield from packages.glob("mlpinit*.egg")
        yield from packages.glob("mlpinit*.zip")


def _python() -> Iterator[Path]:
    """Where Python, its standard library and the installed packages lie."""
    for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix):
        yield from (Path(prefix, name) for name in ("lib", "lib64", "share", "pyvenv.cfg"))
    yield from (Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
    yield from _site()


def _site() -> list[Path]:
    own = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    known = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    return [Path(p) for p in (*site.getsitepackages(), *known, *own)]


def _packages() -> set[Path]:
    """The folders of packages in reach, other Pythons' in the same place too."""
    libraries = [p for p in (*map(Path, _SYSTEM), *_python()) if p.name.startswith("lib")]
    kinds = ("site-packages", "dist-packages")
    beside = [f for lib in libraries for kind in kinds for f in lib.glob(f"python*/{kind}")]
    return {p.resolve() for p in (*beside, *_site()) if p.is_dir()}


def _around(folder: Path, secrets: Iterable[Path]) -> Iterator[Path]:
    """`folder`, or, where secrets lie in it, what lies around them."""
    inside = {s for s in secrets if s.is_relative_to(folder)}
    if not inside:
        yield folder
    elif folder not in inside:
        for entry in folder.iterdir():
            # A link would open what it leads to; what it leads to in here is open anyway.
            if not entry.is_symlink():
                yield from _around(entry, inside)
