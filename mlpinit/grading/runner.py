"""The process that runs submissions: `main`, started by `client`, with a child for each job.

It has torch ready and forks, so that a child starts in milliseconds. It holds no right answer, runs
no submission's code itself, and sees neither a job nor what a child answers: both pass it by in
files and pipes of the client's. So no child finds in its memory what another was given, or said.
`watch_over` does the same in the process that calls it, for a notebook.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict

import torch

from mlpinit.grading import lazy
from mlpinit.grading.answers import answers_of, graders, load
from mlpinit.grading.channel import Received
from mlpinit.grading.job import Ending, Job
from mlpinit.grading.sandbox import Box, Limits
from mlpinit.grading.watch import Setting, loaded, start, watch

__all__ = ["answers_of", "run", "watch_over"]


def run(job: Job) -> Ending:
    """Run one job in a child of this very process, whose memory the child has with it."""
    lazy.load(lazy.leading_to(job.source))
    names = graders()
    return watch_over(lambda: _answers(job, names), job.limits, user=job.user, loading=True)


def watch_over(
    answers: Callable[[], Iterator[str]],
    limits: Limits,
    *,
    confined: bool = True,
    user: str = "",
    loading: bool = False,
) -> Ending:
    """Fork a child that writes `answers()` line by line, and see it through to its end.

    With `loading` it has to say when it is done with that: see `watch.watch`.
    """
    with (
        closing(Box(confining=confined)) as box,
        box.scratch() as scratch,
        tempfile.TemporaryFile() as printed,
    ):
        reading, writing = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            setting = Setting(nothing, writing, printed.fileno(), scratch, box, user)
            pid, life = start(answers, limits, setting)
        finally:
            os.close(writing)
            os.close(nothing)
        received = Received(reading)
        ended = watch(pid, life, limits, {reading: received.more}, loading=loading)
        received.rest()
        os.close(reading)
        os.close(life)
        return received.ending(**asdict(ended), printed=printed)


def _ordered() -> Job:  # pragma: no cover (in the child)
    """The job, from stdin, which is empty from then on."""
    with open(os.dup(0), "rb") as file:
        file.seek(0)
        job = Job.unpacked(file.read())
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    return job


def _answers(job: Job, names: Sequence[str]) -> Iterator[str]:  # pragma: no cover (in the child)
    sys.argv[:] = [job.filename]

    def ready() -> Callable:
        function = load(job, names)
        loaded()
        return function

    return answers_of(ready, job.cases)


_FOR_THE_START = ("PYTHONPATH", "PYTHONUSERBASE", "PYTHONMALLOC", "GLIBC_TUNABLES")


def main() -> None:  # pragma: no cover (a process of its own)
    """Serve the client at the other end of stdin, a socket, until it closes it."""
    gc.freeze()
    gc.enable()
    torch.set_num_threads(1)
    for name in _FOR_THE_START:
        os.environ.pop(name, None)
    link = socket.socket(fileno=os.dup(0))
    link.sendall(b"ready\n")
    names = graders()
    with closing(Box()) as box:
        while (request := _receive(link)) is not None:
            _serve(link, box, names, *request)
    os._exit(0)  # to take torch down piece by piece takes a third of a second


def _receive(link: socket.socket) -> tuple[dict, list[int]] | None:  # pragma: no cover
    """The next request and the handles that come with it; None when there are no more."""
    data, handles = b"", []
    while True:
        block, more, *_ = socket.recv_fds(link, 2**16, 3)
        if not block:
            return None
        data, handles = data + block, handles + list(more)
        # A "stop" may be left of a child that stopped by itself.
        *lines, _ = data.split(b"\n")
        if orders := [line for line in lines if line != b"stop"]:
            return json.loads(orders[0]), handles


def _serve(
    link: socket.socket, box: Box, names: Sequence[str], request: dict, handles: list[int]
) -> None:  # pragma: no cover
    """Fork a child for a job; `handles` are of the job, for its answers and for what it prints."""
    order, channel, printed = handles
    limits = Limits(**request["limits"])
    lazy.load(request["modules"])
    gc.freeze()  # a child's garbage collector need not touch, and so copy, what is here

    with box.scratch() as scratch:
        setting = Setting(order, channel, printed, scratch, box, request["user"])
        pid, life = start(lambda: _answers(_ordered(), names), limits, setting)
        for handle in handles:
            os.close(handle)
        stop = {link.fileno(): lambda: "flood" if link.recv(64) else "lost"}
        ended = watch(pid, life, limits, stop, loading=True)
        os.close(life)
    link.sendall(json.dumps(vars(ended)).encode("ascii") + b"\n")
