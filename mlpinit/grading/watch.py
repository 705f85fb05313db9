"""Fork a child, and see it through to its end, whatever it does.

Two limits: on processor time, so that a busy machine stops nobody who would have ended, and on the
clock, for a child that sleeps. The system enforces the first as well, more coarsely (RLIMIT_CPU).
"""

from __future__ import annotations

import os
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from mlpinit.grading.sandbox import Box, Limits, limit_time

with suppress(ImportError):  # Windows has no fork either
    import fcntl

__all__ = ["CHANNEL", "Ended", "Setting", "loaded", "start", "watch"]

CHANNEL = 3  # a child's handle for its answers
_LIFE = 4  # and one that is closed when it ends, and that says when its file is loaded
_RULES = 5
_NEARLY = 0.9  # of its processor time: the limit counts whole ticks, the usage is finer


@dataclass(frozen=True)
class Setting:
    """Where a child runs: the handles it reads and writes, its folder, what confines it."""

    stdin: int
    channel: int
    printed: int
    scratch: Path
    box: Box
    user: str = ""


@dataclass(frozen=True)
class Ended:
    """What became of a child: see `job.Ending`."""

    how: str
    code: int
    seconds: float
    loaded: bool


def start(
    answers: Callable[[], Iterator[str]], limits: Limits, setting: Setting
) -> tuple[int, int]:
    """Fork a child that writes the names of what confines it and `answers()`, line by line.

    Returns its process number and a handle for `watch`.
    """
    life, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_the_child(answers, limits, setting, end)
    os.close(end)
    return pid, life


def loaded() -> None:  # pragma: no cover (in the child)
    """Tell whoever watches that from now on it is the answers that take time."""
    with suppress(OSError):
        os.write(_LIFE, b".")


def watch(
    pid: int,
    life: int,
    limits: Limits,
    reading: Mapping[int, Callable[[], str]],
    *,
    loading: bool = False,
) -> Ended:
    """Wait for the end of a child, or make one.

    `reading` holds what to do when there is something to read on other handles: '' goes on, 'end'
    does not read there again, and anything else ends the child with that as the reason. With
    `loading` the child says when it is `loaded`, and has its seconds from then on once more.
    """
    deadline = time.monotonic() + limits.patience
    budget, how, pause = float(limits.seconds), "", 0.0002
    handlers = dict(reading)
    alive = True
    while not how:
        if not alive:  # or it closed its handle and goes on
            done, status, usage = os.wait4(pid, os.WNOHANG)
            if done:
                return _ended("exit", status, usage, limits, loading=loading)
        used = _processor_time(pid)
        left = min(deadline - time.monotonic(), max((budget - used) / _CORES, 0.01))
        if used > budget or time.monotonic() > deadline:
            how = "time" if used > budget else "wait"
            break
        watched = [*handlers, life] if alive else [*handlers]
        pause = min(2 * pause, 0.05)
        ready = select.select(watched, [], [], left if alive else min(left, pause))[0]
        for handle in ready:
            if handle == life:
                alive = bool(os.read(life, 1))
                if alive and loading:
                    loading, budget = False, _processor_time(pid) + limits.seconds
            else:
                said = handlers[handle]()
                if said == "end":
                    del handlers[handle]
                elif said:
                    how = said
    _kill(pid)
    _, status, usage = os.wait4(pid, 0)
    return _ended(how, status, usage, limits, loading=loading)


_CORES = os.cpu_count() or 1


def _ended(how: str, status: int, usage, limits: Limits, *, loading: bool) -> Ended:
    used = usage.ru_utime + usage.ru_stime
    code = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    if how == "exit" and os.WIFSIGNALED(status):
        how = "signal"
        if code in (signal.SIGKILL, signal.SIGXCPU) and used > _NEARLY * limits.seconds:
            how = "time"
    return Ended(how, code, used, not loading)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _processor_time(pid: int) -> float:
    """Seconds that a process has had; 0 where the system does not tell of others."""
    if sys.platform != "linux":
        return 0.0
    with suppress(OSError):
        return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) makes it
    return 0.0


def _be_the_child(
    answers: Callable[[], Iterator[str]], limits: Limits, setting: Setting, life: int
) -> None:  # pragma: no cover (a confined child can write no measurement)
    """Give up everything but the pipes, answer, and leave without the parent's clean-up."""
    try:
        os.setsid()
        box, scratch = setting.box, setting.scratch
        _take_handles(setting, life)
        os.chdir(scratch)
        os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
        if box.confining:
            os.environ["HOME"] = os.environ["MPLCONFIGDIR"] = str(scratch)
        torch.set_num_threads(1)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # too long a file ends the child
        limit_time(limits)
        held = box.confine(limits, scratch, rules=_RULES, user=setting.user)
        with suppress(OSError):
            os.close(_RULES)
        _write(" ".join(held))
        for line in answers():
            _write(line)
        with suppress(Exception):
            sys.stdout.flush()
    except MemoryError:
        os._exit(3)
    except BaseException:
        traceback.print_exc()
        with suppress(Exception):
            sys.stderr.flush()
        os._exit(2)
    finally:
        os._exit(0)


def _take_handles(setting: Setting, life: int) -> None:  # pragma: no cover (in the child)
    """Put every handle into its place and close all others."""
    rules = setting.box.rules
    wanted = [setting.stdin, setting.printed, setting.printed, setting.channel, life]
    wanted += [rules] if rules is not None else []
    # By way of numbers beyond all places: what is in a place may be wanted in another.
    beyond = [fcntl.fcntl(handle, fcntl.F_DUPFD, len(wanted)) for handle in wanted]
    for place, handle in enumerate(beyond):
        os.dup2(handle, place)
    os.closerange(len(wanted), os.sysconf("SC_OPEN_MAX"))
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115


def _write(line: str) -> None:  # pragma: no cover (in the child)
    left = memoryview(line.encode("utf-8", "replace") + b"\n")
    while left:
        left = left[os.write(CHANNEL, left) :]
