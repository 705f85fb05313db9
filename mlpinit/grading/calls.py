"""The system calls that a submission may make; the kernel refuses every other (seccomp).

What computing with torch, NumPy and matplotlib needs is listed, so that a way out which nobody
thought of, io_uring for one, is closed like those that somebody did. Where a call is useful only in
part, its arguments are read: a thread but no process, a signal to oneself but to no one else.

Source: man pages seccomp(2) and syscalls(2); the numbers from Linux's headers, asm/unistd_64.h
for x86-64 and asm-generic/unistd.h for 64-bit Arm.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterable
from functools import cache

__all__ = ["MACHINES", "allowed", "program", "restrict"]

# name, number on x86-64, number on 64-bit Arm; "-" where the machine has no such call.
_PLAIN = """
futex 202 98            read 0 63               write 1 64              mmap 9 222
munmap 11 215           mprotect 10 226         madvise 28 233          mremap 25 216
brk 12 214              close 3 57              openat 257 56           newfstatat 262 79
fstat 5 80              lseek 8 62              getdents64 217 61       pread64 17 67
stat 4 -                lstat 6 -               open 2 -                readlink 89 -
readlinkat 267 78       statx 332 291           access 21 -             faccessat 269 48
faccessat2 439 439      getcwd 79 17            getdents 78 -           statfs 137 43
fstatfs 138 44          readv 19 65             writev 20 66            pwrite64 18 68
preadv 295 69           pwritev 296 70          fsync 74 82             fdatasync 75 83
ftruncate 77 46         fallocate 285 47        fadvise64 221 223       sendfile 40 71
copy_file_range 326 285 chdir 80 49             fchdir 81 50            mkdir 83 -
mkdirat 258 34          rmdir 84 -              unlink 87 -             unlinkat 263 35
rename 82 -             renameat 264 38         renameat2 316 276       umask 95 166
dup 32 23               dup2 33 -               dup3 292 24             pipe 22 -
pipe2 293 59            poll 7 -                ppoll 271 73            select 23 -
pselect6 270 72         close_range 436 436     msync 26 227            rt_sigaction 13 134
rt_sigprocmask 14 135   rt_sigreturn 15 139     rt_sigpending 127 136   rt_sigtimedwait 128 137
rt_sigsuspend 130 133   sigaltstack 131 132     restart_syscall 219 128 pause 34 -
alarm 37 -              getitimer 36 102        setitimer 38 103        nanosleep 35 101
clock_nanosleep 230 115 clock_gettime 228 113   clock_getres 229 114    gettimeofday 96 169
time 201 -              times 100 153           getrusage 98 165        getpid 39 172
gettid 186 178          getppid 110 173         getuid 102 174          geteuid 107 175
getgid 104 176          getegid 108 177         getresuid 118 148       getresgid 120 150
getgroups 115 158       getpgrp 111 -           sysinfo 99 179          uname 63 160
getrlimit 97 163        getcpu 309 168          getrandom 318 278       sched_yield 24 124
sched_getaffinity 204 123                       set_robust_list 273 99  rseq 334 293
membarrier 324 283      exit 60 93              exit_group 231 94
"""

# Allowed for some arguments alone: see `_narrowed`.
_NARROW = """
fcntl 72 25             ioctl 16 29             prctl 157 167           prlimit64 302 261
kill 62 129             tgkill 234 131          clone 56 220
"""

# "There is no such call" makes the C library fall back to one that is listed.
_ABSENT = """
clone3 435 435          openat2 437 437
"""
_LAST_KNOWN = 450  # newer calls are answered as a kernel answers that lacks them

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""The machines whose numbers are known, and what the kernel's audit calls them."""

_EPERM, _ENOSYS = 1, 38

# Commands that touch nothing but the caller's own handle. Not among them: F_SETOWN and F_SETSIG,
# which have the kernel send any signal to any process of the user, and leases.
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1032)
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS … FIONREAD, FIONBIO, FIO(N)CLEX
_PRCTL = (15, 16, 0x53564D41)  # a thread's name, the name of a mapping
_CLONE_THREAD = 0x00010000
_CLONE_NEW = 0x7E020000  # any new namespace

# Classic BPF: load a word of the call's data, jump, return.
_LOAD, _JUMP_EQUAL, _JUMP_SET, _JUMP_FROM, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _AUDIT, _ARGUMENTS = 0, 4, 16


def allowed(machine: str, *, narrow: bool = True) -> dict[str, int]:
    """The calls that a submission may make, in the order in which they are tried: name to number.

    Without `narrow`, only those that it may make with any arguments.
    """
    return _numbers(_PLAIN, machine) | (_numbers(_NARROW, machine) if narrow else {})


def program(machine: str, pid: int) -> bytes:
    """The filter for the process `pid`, in the kernel's classic BPF, eight bytes a step."""
    return _before(machine) + _narrowed(machine, pid) + _after(machine)


def restrict(libc: ctypes.CDLL) -> bool:  # pragma: no cover (in the child)
    """Leave this process the listed calls, for good; whether the kernel could."""
    machine = platform.machine()
    if machine not in MACHINES:
        return False
    code = program(machine, os.getpid())
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    filter_ = Program(len(code) // 8, ctypes.addressof(buffer))
    set_seccomp, filtering = 22, 2
    return libc.prctl(set_seccomp, filtering, ctypes.byref(filter_), 0, 0) == 0


def _numbers(table: str, machine: str) -> dict[str, int]:
    column = 1 + list(MACHINES).index(machine)
    words = table.split()
    rows = [words[i : i + 3] for i in range(0, len(words), 3)]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def _step(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, k)


def _refuse(error: int) -> bytes:
    return _step(_RETURN, _ERRNO | error)


@cache
def _before(machine: str) -> bytes:
    """Another machine's calls end the process, as do x32's; plain calls pass."""
    x32 = 0x40000000
    steps = [
        _step(_LOAD, _AUDIT),
        _step(_JUMP_EQUAL, MACHINES[machine], 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        _step(_JUMP_FROM, x32, 0, 1),
        _step(_RETURN, _KILL),
    ]
    for number in _numbers(_PLAIN, machine).values():
        steps += [_step(_JUMP_EQUAL, number, 0, 1), _step(_RETURN, _ALLOW)]
    return b"".join(steps)


def _narrowed(machine: str, pid: int) -> bytes:
    """Calls that pass for some arguments."""
    numbers = _numbers(_NARROW, machine)
    checks = {
        "fcntl": _one_of(1, _FCNTL),
        "ioctl": _one_of(1, _IOCTL),
        "prctl": _one_of(0, _PRCTL),
        "kill": _one_of(0, (pid,)),  # as abort() does
        "tgkill": _one_of(0, (pid,)),
        "clone": [
            _step(_LOAD, _argument(0)),
            _step(_JUMP_SET, _CLONE_NEW, 2, 0),
            _step(_JUMP_SET, _CLONE_THREAD, 0, 1),
            _step(_RETURN, _ALLOW),
            _refuse(_EPERM),
        ],
        # What its own limits are: no new limit, which is a pointer of two words.
        "prlimit64": [
            _step(_LOAD, _argument(2)),
            _step(_JUMP_EQUAL, 0, 0, 7),
            _step(_LOAD, _argument(2) + 4),
            _step(_JUMP_EQUAL, 0, 0, 5),
            *_one_of(0, (0, pid)),
        ],
    }
    steps = []
    for name, number in numbers.items():
        steps += [_step(_JUMP_EQUAL, number, 0, len(checks[name])), *checks[name]]
    return b"".join(steps)


def _argument(index: int) -> int:
    """Where the lower word of an argument lies in a call's data; both machines are little-endian."""
    return _ARGUMENTS + 8 * index


def _one_of(index: int, values: Iterable[int]) -> list[bytes]:
    """Allow the call when an argument is among `values`, else refuse it: an int, read as one."""
    steps = [_step(_LOAD, _argument(index))]
    for value in values:
        steps += [_step(_JUMP_EQUAL, value, 0, 1), _step(_RETURN, _ALLOW)]
    return [*steps, _refuse(_EPERM)]


@cache
def _after(machine: str) -> bytes:
    """All the rest is refused."""
    steps = []
    for number in _numbers(_ABSENT, machine).values():
        steps += [_step(_JUMP_EQUAL, number, 0, 1), _refuse(_ENOSYS)]
    steps += [_step(_JUMP_FROM, _LAST_KNOWN + 1, 0, 1), _refuse(_ENOSYS), _refuse(_EPERM)]
    return b"".join(steps)
