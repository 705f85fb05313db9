"""The parent's side of the runner: start it, hand it jobs, never wait for it for ever."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from mlpinit.grading.job import Ending, Job

__all__ = ["Runner"]

START = 300.0  # seconds that importing torch may take on a slow and busy machine
GRACE = 60.0  # seconds that a runner may be late beyond the patience with a job


class Runner:
    """One runner process. Use it in a `with` statement; it starts at once and imports meanwhile.

    A runner that died or went silent is replaced, and the job it had is reported as lost.
    """

    def __init__(self, user: str = "") -> None:
        """Start the process; submissions run with the rights of `user` where one is named."""
        self.user = user
        self._start()

    def _start(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        # -P: nothing beside the caller can stand in for a module; PYTHONPATH: this very package.
        environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
        environment["OMP_NUM_THREADS"] = "1"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mlpinit.grading.runner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self._ready = False
        self._rest = b""

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
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def run(self, job: Job) -> Ending:
        """Run one job; an `Ending` with how='lost' when the runner itself did not survive it."""
        begin = time.monotonic()
        if not self._ready:
            self._ready = self._line(begin + START) == b"ready"
            if not self._ready:
                self._process.kill()
                self.close()
                raise RuntimeError("the process that runs submissions does not start")
        reply = None
        try:
            self._process.stdin.write(
                json.dumps(
                    asdict(job) | {"source": base64.b64encode(job.source).decode("ascii")}
                ).encode("utf-8")
                + b"\n"
            )
            self._process.stdin.flush()
            reply = self._line(time.monotonic() + job.limits.patience + GRACE)
        except OSError:
            pass
        if reply is None:
            self._process.kill()
            self.close()
            self._start()
            return Ending([], "lost", 0, "", 0, 0.0, [])
        return Ending(**json.loads(reply))

    def _line(self, deadline: float) -> bytes | None:
        """The next line of the runner, or None at its end or the deadline."""
        handle = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([handle], [], [], left)[0]:
                return None
            block = os.read(handle, 2**20)
            if not block:
                return None
            self._rest += block
        line, _, self._rest = self._rest.partition(b"\n")
        return line
