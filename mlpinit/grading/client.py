"""The parent's side of the runner: start it, hand it jobs, never wait for it for ever."""

from __future__ import annotations

import json
import os
import re
import select
import site
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache, lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

from mlpinit.grading import lazy
from mlpinit.grading.channel import Received
from mlpinit.grading.job import Ending, Job
from mlpinit.grading.sandbox import remove

__all__ = ["Runner", "RunnerError"]

START = 300.0  # seconds that importing torch may take on a slow and busy machine
GRACE = 60.0  # seconds that a runner may be late beyond the patience with a job

PAUSES = (1.0, 5.0)  # seconds before another attempt: the system may lack processes for a moment

LOST = Ending([], "lost", 0, "", 0, 0.0, [])


class RunnerError(RuntimeError):
    """No process that runs submissions can be started."""


class Runner:
    """One runner process. Use it in a `with` statement; it starts at once and imports meanwhile.

    A runner that died or went silent is replaced, and the job it had is run once more.
    """

    def __init__(self, user: str = "") -> None:
        """Start the process; submissions run with the rights of `user` where one is named."""
        self.user = user
        self._start()

    def _start(self) -> None:
        """Start the process; where the system does not let it, there is none, and `_why`."""
        self._ready, self._process, self._why = False, None, ""
        self._home = tempfile.TemporaryDirectory(prefix="grading-", ignore_cleanup_errors=True)
        os.chmod(self._home.name, 0o711)  # `user` finds the way to its scratch folder
        self._link, theirs = socket.socketpair()
        with theirs:
            try:
                # -P: nothing beside the caller can stand in for a module.
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _SERVE],
                    stdin=theirs,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    env=_environment(self._home.name),
                    start_new_session=True,
                )
            except OSError as error:
                self._why = f": {error}"

    def __enter__(self) -> Self:
        """The runner itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """End the process."""
        self.close()

    def close(self) -> None:
        """End the process: by closing its input, and by force if that is not enough."""
        self._link.close()
        if self._process is not None:
            try:
                self._process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        remove(Path(self._home.name))  # a submission may leave folders a thousand deep
        self._home.cleanup()

    def run(self, job: Job) -> Ending:
        """Run one job; an `Ending` with how='lost' when no runner survived it, of two.

        Raises `RunnerError` where none can be started.
        """
        job = replace(job, inputs=_inputs(job.source))
        for _ in range(2):  # what ended the first may have had nothing to do with the job
            self._await()
            ending = self._run(job)
            if ending is not None:
                return ending
            self._end()
            self._start()
        return LOST

    def _await(self) -> None:
        """Wait until the process is ready; where it does not get so, start others."""
        for pause in (*PAUSES, None):
            if not self._ready and self._process is not None:
                self._ready = self._reply(time.monotonic() + START) == b"ready"
            if self._ready:
                return
            self._end()
            if pause is None:
                raise RunnerError(f"the process that runs submissions does not start{self._why}")
            time.sleep(pause)
            self._start()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
        self.close()
        self._process = None

    def _run(self, job: Job) -> Ending | None:
        request = {
            "limits": asdict(job.limits),
            "user": job.user,
            "modules": _leading_to(job.source),
        }
        reading, writing = os.pipe()
        with (
            open(reading, "rb", buffering=0),
            tempfile.TemporaryFile() as order,
            tempfile.TemporaryFile() as printed,
        ):
            order.write(job.packed())
            order.flush()
            handles = [order.fileno(), writing, printed.fileno()]
            try:
                line = json.dumps(request).encode("ascii") + b"\n"
                socket.send_fds(self._link, [line], handles)
            except OSError:
                return None
            finally:
                os.close(writing)
            received = Received(reading)
            reply = self._reply(time.monotonic() + job.limits.patience + GRACE, received)
            if reply is None:
                return None
            ended = json.loads(reply)
            if received.rest() == "flood":
                ended["how"] = "flood"
            return received.ending(**ended, printed=printed)

    def _reply(self, deadline: float, received: Received | None = None) -> bytes | None:
        """The runner's next line, or None at its end or the deadline; what is `received` meanwhile.

        A child that writes too much is stopped.
        """
        reply, watched = b"", [self._link]
        if received is not None:
            watched.append(received.handle)
        while not reply.endswith(b"\n"):
            left = deadline - time.monotonic()
            ready = select.select(watched, [], [], left)[0] if left > 0 else []
            if not ready:
                return None
            try:
                if self._link in ready:
                    block = self._link.recv(2**16)
                    if not block:
                        return None
                    reply += block
                elif said := received.more():
                    watched.remove(received.handle)
                    if said == "flood":
                        self._link.sendall(b"stop\n")
            except OSError:
                return None
        return reply.strip()


# Without the collector, which goes through all that torch's import makes again and again; and
# without what modules do in a forked child about threads that this process does not have.
_SERVE = (
    "import gc, os; gc.disable(); real = os.register_at_fork; "
    "os.register_at_fork = lambda **calls: None; "
    "from mlpinit.grading.runner import main; os.register_at_fork = real; main()"
)

# What finding libraries may need; all else of the caller's environment is the caller's.
_KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH")


def _environment(home: str) -> dict[str, str]:
    """The environment of the runner, and with it of a submission, which can find it in memory."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {
        "PATH": os.defpath,
        "HOME": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),  # this very package
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONHASHSEED": "0",  # a set has the same order each time
        "OMP_NUM_THREADS": "1",
        # Memory in pages of 2 MiB, where glibc and the kernel have them: a fork copies a table
        # that is much shorter.
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        "PYTHONMALLOC": "malloc",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": _fonts(),
    }


def _fonts() -> str:
    """Where matplotlib keeps its list of fonts, which takes it seconds to make."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return os.environ.get("MPLCONFIGDIR") or str(Path(cache) / "matplotlib")


_ASKED = re.compile(rb"\binputs\s*\(\s*['\"]([\w.]+)['\"]")


@lru_cache(maxsize=64)
def _inputs(source: bytes) -> dict[str, list[str]]:
    """The encoded cases of the exercises about which a file asks `inputs`."""
    names = {name.decode("utf-8", "replace") for name in _ASKED.findall(source)}
    return {name: cases for name in sorted(names) if (cases := _cases(name))}


_leading_to = lru_cache(maxsize=64)(lazy.leading_to)  # of a file that each of its exercises sends


@cache
def _cases(name: str) -> list[str]:
    # Only where it is asked for; and whoever starts a runner goes on to import torch beside it.
    from mlpinit.grading import wire  # noqa: PLC0415
    from mlpinit.grading.exercise import find  # noqa: PLC0415

    with suppress(ValueError):
        return [wire.encode(list(case.args)) for case in find(name).draw()]
    return []
