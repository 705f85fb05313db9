"""What a child process gives up before it runs a submission.

Limits on time, memory, file sizes and processes hold on every POSIX system. On Linux two things
more: seccomp takes away new processes, signals to others, tracing and the network; Landlock takes
away the files that a submission has no business with, the graders and the solutions among them.
Neither needs privileges. `confine` says what it could put in place.

Source: man pages setrlimit(2), seccomp(2), landlock(7); the kernel's headers for the numbers.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Imported before a child gives up its rights to read them; Windows has neither.
with suppress(ImportError):
    import pwd
    import resource

__all__ = ["Limits", "become", "confine", "limit_time"]


@dataclass(frozen=True)
class Limits:
    """What one exercise may use.

    - `seconds`: processor time for loading the file and all its cases, in whole seconds
    - `patience`: seconds on the clock, for what uses no processor: that sleeps, or waits for ever
    - `memory`: bytes of address space beyond what torch itself takes
    - `output`: bytes printed, and the size of any file written
    """

    seconds: int = 2
    patience: float = 30.0
    memory: int = 2**29
    output: int = 2**20


def confine(limits: Limits, scratch: Path) -> list[str]:  # pragma: no cover (in the child)
    """Give up what a submission does not need, for good; returns the names of what holds."""
    held = ["limits"]
    _limit(limits)
    if sys.platform == "linux" and platform.machine() in _MACHINES:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
            held += ["files"] * _restrict_files(libc, scratch)
            held += ["processes"] * _restrict_calls(libc)
    return held


def become(user: str, scratch: Path) -> None:  # pragma: no cover (in the child)
    """Take on the rights of `user` for good, who gets the scratch folder; only root can."""
    entry = pwd.getpwnam(user)
    os.chown(scratch, entry.pw_uid, entry.pw_gid)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def limit_time(limits: Limits) -> None:  # pragma: no cover (in the child)
    """Have the system end this process after its processor time, however busy the machine is."""
    _set({"RLIMIT_CPU": limits.seconds})


def _limit(limits: Limits) -> None:  # pragma: no cover (in the child)
    ceilings = {
        "RLIMIT_AS": _address_space() + limits.memory,
        "RLIMIT_FSIZE": limits.output,
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 64,
        "RLIMIT_NPROC": 0,
    }
    _set(ceilings)


def _set(ceilings: dict[str, int]) -> None:  # pragma: no cover (in the child)
    for name, most in ceilings.items():
        with suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (most, most))


def _address_space() -> int:
    """Bytes of address space now, or a generous guess where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return 2**34
    return pages * os.sysconf("SC_PAGE_SIZE")


_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22

# machine: (audit name, {system call: number})
_MACHINES = {
    "x86_64": (
        0xC000003E,
        {
            "kill": 62,
            "tgkill": 234,
            "clone": 56,
            "fork": 57,
            "vfork": 58,
            "clone3": 435,
            "execve": 59,
            "execveat": 322,
            "ptrace": 101,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "tkill": 200,
            "rt_sigqueueinfo": 129,
            "pidfd_open": 434,
            "socket": 41,
            "socketpair": 53,
            "setsid": 112,
            "setpgid": 109,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "kill": 129,
            "tgkill": 131,
            "clone": 220,
            "clone3": 435,
            "execve": 221,
            "execveat": 281,
            "ptrace": 117,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "tkill": 130,
            "rt_sigqueueinfo": 138,
            "pidfd_open": 434,
            "socket": 198,
            "socketpair": 199,
            "setsid": 157,
            "setpgid": 154,
        },
    ),
}

# Classic BPF: load a word of the call's data, jump, return.
_LOAD, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_CLONE_THREAD = 0x00010000
_EPERM, _ENOSYS = 1, 38


def _filter() -> bytes:
    """The program: threads and signals to oneself pass; new processes and the rest do not."""
    audit, numbers = _MACHINES[platform.machine()]
    numbers = dict(numbers)

    def step(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("HBBI", code, yes, no, k)

    def refuse(error: int) -> bytes:
        return step(_RETURN, _ERRNO | error)

    program = [step(_LOAD, 4), step(_JUMP_EQUAL, audit, 1, 0), step(_RETURN, _KILL)]
    program += [step(_LOAD, 0)]
    for name in ("kill", "tgkill"):  # to oneself, as abort() does, and to no one else
        program += [
            step(_JUMP_EQUAL, numbers.pop(name), 0, 4),
            step(_LOAD, 16),
            step(_JUMP_EQUAL, os.getpid(), 0, 1),
            step(_RETURN, _ALLOW),
            refuse(_EPERM),
        ]
    program += [
        step(_JUMP_EQUAL, numbers.pop("clone"), 0, 4),
        step(_LOAD, 16),
        step(_JUMP_SET, _CLONE_THREAD, 0, 1),
        step(_RETURN, _ALLOW),
        refuse(_EPERM),
        # "There is no clone3" makes the C library fall back to clone, whose flags can be read.
        step(_JUMP_EQUAL, numbers.pop("clone3"), 0, 1),
        refuse(_ENOSYS),
    ]
    for number in numbers.values():
        program += [step(_JUMP_EQUAL, number, 0, 1), refuse(_EPERM)]
    return b"".join([*program, step(_RETURN, _ALLOW)])


def _restrict_calls(libc: ctypes.CDLL) -> bool:  # pragma: no cover (in the child)
    code = _filter()
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    program = Program(len(code) // 8, ctypes.addressof(buffer))
    return libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0) == 0


_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_FILES_ALL = (1 << 13) - 1  # every right of the first version of Landlock
_FILES_READ = (1 << 2) | (1 << 3)  # read a file, list a folder
_FILES_EXECUTE = 1 << 0
_ONE_FILE = (1 << 0) | (1 << 1) | (1 << 2)  # the rights that a single file can have


def _restrict_files(libc: ctypes.CDLL, scratch: Path) -> bool:  # pragma: no cover (in the child)
    ruleset = libc.syscall(
        _LANDLOCK_CREATE, ctypes.byref(ctypes.c_uint64(_FILES_ALL)), ctypes.c_size_t(8), 0
    )
    if ruleset < 0:
        return False
    for path in _readable():
        _allow(libc, ruleset, path, _FILES_READ | _FILES_EXECUTE)
    _allow(libc, ruleset, scratch, _FILES_ALL)
    _allow(libc, ruleset, Path(os.devnull), _ONE_FILE)
    held = libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) == 0
    os.close(ruleset)
    return held


def _allow(
    libc: ctypes.CDLL, ruleset: int, path: Path, rights: int
) -> None:  # pragma: no cover (in the child)
    with suppress(OSError):
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not path.is_dir():
            rights &= _ONE_FILE
        rule = struct.pack("=Qi", rights, handle)
        libc.syscall(_LANDLOCK_ADD, ruleset, 1, rule, 0)
        os.close(handle)


def _readable() -> Iterator[Path]:
    """The system, Python and its packages; of this package everything but the graders."""
    package = Path(__file__).resolve().parents[1]
    system = ("/usr", "/lib", "/lib64", "/etc", "/sys", "/dev/urandom")
    itself = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat")
    yield from (Path(p) for p in (*system, *itself))
    roots = {Path(p).resolve() for p in (sys.prefix, sys.base_prefix)}
    for root in roots:
        yield from _around(root, package)
    yield from (p for p in package.iterdir() if p.name != "grading")


def _around(folder: Path, hidden: Path) -> Iterator[Path]:
    """`folder`, or, where `hidden` lies in it, what lies around `hidden`."""
    if not hidden.is_relative_to(folder):
        yield folder
    elif folder != hidden:
        for entry in folder.iterdir():
            yield from _around(entry, hidden)
