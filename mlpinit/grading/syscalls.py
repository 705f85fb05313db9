"""The system calls that a submission may make, as a program for seccomp: these and no others.

Whatever the kernel offers besides, and whatever it will, is refused with "not permitted": a way to
the network, to another process or to what outlives this one need not be known to be closed.

Source: seccomp(2), bpf(4); the kernel's headers asm/unistd_64.h and asm-generic/unistd.h for the
numbers, asm-generic/fcntl.h, asm-generic/ioctls.h and linux/prctl.h for those of arguments.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import cache

__all__ = ["MACHINES", "allowed", "program"]

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # with the audit's names for them

# Name: numbers on x86_64 and aarch64, None where there is no such call. The frequent ones first.
_ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # data through what is open
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "lseek": (8, 62),
    "sendfile": (40, 71),
    "ftruncate": (77, 46),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "fadvise64": (221, 223),
    # memory of one's own, and threads that wait for each other
    "futex": (202, 98),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mprotect": (10, 226),
    "madvise": (28, 233),
    "brk": (12, 214),
    "mremap": (25, 216),
    "mincore": (27, 232),
    "msync": (26, 227),
    "membarrier": (324, 283),
    "rseq": (334, 293),
    "set_robust_list": (273, 99),
    "set_tid_address": (218, 96),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "getcpu": (309, 168),
    # files: which, Landlock says; never what they are to others (chmod, chown, utime, links)
    "close": (3, 57),
    "close_range": (436, 436),
    "stat": (4, None),
    "fstat": (5, 80),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getdents64": (217, 61),
    "getcwd": (79, 17),
    "chdir": (80, 49),
    "fchdir": (81, 50),
    "statfs": (137, 43),
    "fstatfs": (138, 44),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "umask": (95, 166),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "pipe": (22, None),
    "pipe2": (293, 59),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_wait": (232, None),
    "epoll_pwait": (281, 22),
    "eventfd2": (290, 19),
    # signals as they come, clocks and alarms for oneself
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137),
    "rt_sigsuspend": (130, 133),
    "sigaltstack": (131, 132),
    "pause": (34, None),
    "restart_syscall": (219, 128),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    "getitimer": (36, 102),
    "setitimer": (38, 103),
    "alarm": (37, None),
    # questions
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getresuid": (118, 148),
    "getresgid": (120, 150),
    "getgroups": (115, 158),
    "getpgrp": (111, None),
    "getpgid": (121, 155),
    "getsid": (124, 156),
    "getrusage": (98, 165),
    "getrlimit": (97, 163),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "getrandom": (318, 278),
    "wait4": (61, 260),
    # the end
    "exit": (60, 93),
    "exit_group": (231, 94),
}

# These pass or not by their arguments: see `program`.
_CHECKED = {
    "open": (2, None),
    "openat": (257, 56),
    "fcntl": (72, 25),
    "ioctl": (16, 29),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "kill": (62, 129),
    "tgkill": (234, 131),
    "clone": (56, 220),
}

# "There is no such call" makes the C library and Python fall back to an older one.
_UNKNOWN = {
    "clone3": (435, 435),
    "openat2": (437, 437),
    "copy_file_range": (326, 285),
    "futex_waitv": (449, 449),
    "epoll_pwait2": (441, 441),
    "fchmodat2": (452, 452),
    "mseal": (462, 462),
}

_FCNTL = {
    "F_DUPFD": 0,
    "F_GETFD": 1,
    "F_SETFD": 2,
    "F_GETFL": 3,
    "F_SETFL": 4,
    "F_DUPFD_CLOEXEC": 1030,
    "F_GETPIPE_SZ": 1032,
}  # without F_SETOWN and F_SETSIG, which send signals to others
_IOCTL = {
    "TCGETS": 0x5401,
    "TIOCGWINSZ": 0x5413,
    "FIONREAD": 0x541B,
    "FIONBIO": 0x5421,
    "FIONCLEX": 0x5450,
    "FIOCLEX": 0x5451,
}
_PRCTL = {"PR_SET_NAME": 15, "PR_GET_NAME": 16, "PR_SET_VMA": 0x53564D41}

_O_ACCMODE, _O_TRUNC = 0o3, 0o1000  # the same on both machines
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000  # x86_64's other numbering begins here
_EPERM, _ENOSYS = 1, 38

# Classic BPF: load a word of the call's data, combine it, jump, return.
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_LEAST, _IF_BITS = 0x15, 0x35, 0x45
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _MACHINE = 0, 4  # where the data hold the call's number and the machine

_Step = tuple[int, int, int, int]  # code, jump if true, jump if false, constant

_PASS: _Step = (_RETURN, 0, 0, _ALLOW)
_REFUSE: _Step = (_RETURN, 0, 0, _ERRNO | _EPERM)


def allowed(machine: str) -> frozenset[int]:
    """The numbers of the calls that pass, all of them or some by their arguments."""
    place = list(MACHINES).index(machine)
    numbers = (row[place] for row in (_ALLOWED | _CHECKED).values())
    return frozenset(n for n in numbers if n is not None)


def program(machine: str, pid: int) -> bytes:
    """The filter for the process `pid`, whole instructions of 8 bytes.

    Signals pass to `pid` alone, `clone` makes threads but no processes, limits can be asked for but
    not set, and nothing that is opened only to be read is emptied. `machine` is one of `MACHINES`.
    """
    return _template(machine).replace(struct.pack("I", _SOMEBODY), struct.pack("I", pid))


_SOMEBODY = 0xA5A5A5A5  # stands for the process; no number has as many digits


@cache
def _template(machine: str) -> bytes:
    """The filter for `_SOMEBODY`: made once, before a fork."""
    place = list(MACHINES).index(machine)
    steps: list[_Step] = [
        (_LOAD, 0, 0, _MACHINE),
        (_IF_EQUAL, 1, 0, MACHINES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
    ]
    bodies = {name: [_PASS] for name in _ALLOWED}
    bodies |= {
        "open": _unless_emptied(1),
        "openat": _unless_emptied(2),
        "fcntl": _if_among(1, _FCNTL.values()),
        "ioctl": _if_among(1, _IOCTL.values()),
        "prctl": _if_among(0, _PRCTL.values()),
        "prlimit64": _if_asked(_SOMEBODY),
        "kill": _if_among(0, [_SOMEBODY]),
        "tgkill": _if_among(0, [_SOMEBODY]),
        "clone": [_load(0), (_IF_BITS, 0, 1, _CLONE_THREAD), _PASS, _REFUSE],
    }
    bodies |= {name: [(_RETURN, 0, 0, _ERRNO | _ENOSYS)] for name in _UNKNOWN}
    for name, row in (_ALLOWED | _CHECKED | _UNKNOWN).items():
        if row[place] is not None:
            steps += [(_IF_EQUAL, 0, len(bodies[name]), row[place]), *bodies[name]]
    steps.append(_REFUSE)
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _load(argument: int, *, upper: bool = False) -> _Step:
    """Load half of an argument; both machines have the lower one first."""
    return (_LOAD, 0, 0, 16 + 8 * argument + 4 * upper)


def _if_among(argument: int, values: Iterable[int]) -> list[_Step]:
    steps = [_load(argument)]
    for value in values:
        steps += [(_IF_EQUAL, 0, 1, value), _PASS]
    return [*steps, _REFUSE]


def _unless_emptied(flags: int) -> list[_Step]:
    """Refuse O_RDONLY | O_TRUNC, which older versions of Landlock take for reading."""
    return [
        _load(flags),
        (_AND, 0, 0, _O_ACCMODE | _O_TRUNC),
        (_IF_EQUAL, 0, 1, _O_TRUNC),
        _REFUSE,
        _PASS,
    ]


def _if_asked(pid: int) -> list[_Step]:
    """Pass what asks for limits of this process: no new ones, a pointer of 0."""
    return [
        _load(2),
        (_IF_EQUAL, 1, 0, 0),
        _REFUSE,
        _load(2, upper=True),
        (_IF_EQUAL, 1, 0, 0),
        _REFUSE,
        _load(0),
        (_IF_EQUAL, 1, 0, 0),
        (_IF_EQUAL, 0, 1, pid),
        _PASS,
        _REFUSE,
    ]
