"""The process that runs submissions: `python -m mlpinit.grading.runner`, jobs in, raw answers out.

It has torch ready and forks a child for each job, so that a child starts in milliseconds. It never
runs a submission's code itself, holds no expected answer, and passes on what a child wrote without
reading it. `watch_over`, the heart of it, serves a notebook's functions as well.
"""

from __future__ import annotations

import base64
import json
import linecache
import os
import select
import signal
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import torch

from mlpinit.grading import sandbox, wire
from mlpinit.grading.job import Ending, Job
from mlpinit.grading.sandbox import Limits

__all__ = ["answers_of", "run", "watch_over"]

SHOWN_OUTPUT = 2000  # bytes of what a submission printed
NEARLY = 0.9  # of its processor time: the limit counts whole ticks, the usage is finer
SHOWN_MESSAGE = 500  # characters of an exception's message


def run(job: Job) -> Ending:
    """Run one job in a child."""

    def answers() -> Iterator[str]:
        return answers_of(lambda: _load(job), job.cases)

    return watch_over(answers, job.limits, user=job.user)


def watch_over(
    answers: Callable[[], Iterator[str]],
    limits: Limits,
    *,
    confined: bool = True,
    user: str = "",
) -> Ending:
    """Fork a child that writes `answers()` line by line, and see it through to its end.

    The system stops a child that has had its processor time, and this process one that sleeps: a
    busy machine stops none that would have ended, and whatever a child does costs seconds.
    """
    with tempfile.TemporaryDirectory(prefix="grading-", ignore_cleanup_errors=True) as folder:
        printed, scratch = Path(folder, "printed"), Path(folder, "scratch")
        printed.touch()
        scratch.mkdir()
        os.chmod(folder, 0o711)
        reading, writing = os.pipe()
        deadline = time.monotonic() + limits.patience
        pid = os.fork()
        if pid == 0:
            _be_the_child(answers, limits, writing, printed, scratch, confined=confined, user=user)
        os.close(writing)
        data, how = _read_all(reading, deadline)
        status, used, how = _reap(pid, deadline, how)
        with printed.open("rb") as file:
            output = file.read(SHOWN_OUTPUT).decode("utf-8", "replace")
        size = printed.stat().st_size
    if how == "exit" and os.WIFSIGNALED(status):
        how = "signal"
    code = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    killed = how in ("signal", "wait") and code in (signal.SIGKILL, signal.SIGXCPU)
    if killed and used > NEARLY * limits.seconds:
        how = "time"
    held, *lines = data.decode("utf-8", "replace").split("\n")
    return Ending([line for line in lines if line], how, code, output, size, used, held.split())


def _read_all(reading: int, deadline: float) -> tuple[bytes, str]:
    """What the child writes until it closes its pipe, and how that ended."""
    data, size = [], 0
    try:
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([reading], [], [], left)[0]:
                break
            block = os.read(reading, 2**16)
            if not block:
                return b"".join(data), "exit"
            data.append(block)
            size += len(block)
            if size > wire.MAX_BYTES:
                return b"", "flood"
        return b"".join(data), "wait"
    finally:
        os.close(reading)


def _reap(pid: int, deadline: float, how: str) -> tuple[int, float, str]:
    """Wait for a child that is done, kill one that is not.

    Returns its status, the seconds of processor time that it had, and how it ended.
    """
    while how == "exit":
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return status, usage.ru_utime + usage.ru_stime, how
        if time.monotonic() > deadline:
            how = "wait"
        time.sleep(0.001)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    return status, usage.ru_utime + usage.ru_stime, how


def _be_the_child(
    answers: Callable[[], Iterator[str]],
    limits: Limits,
    writing: int,
    printed: Path,
    scratch: Path,
    *,
    confined: bool,
    user: str,
) -> None:  # pragma: no cover (a confined child can write no measurement)
    """Give up everything but the pipe, answer, and leave without the parent's clean-up."""
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sink = os.open(printed, os.O_WRONLY | os.O_APPEND)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        writing = os.dup2(writing, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX") if confined else 4096)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
        os.chdir(scratch)
        os.environ["TMPDIR"] = str(scratch)
        tempfile.tempdir = str(scratch)
        torch.set_num_threads(1)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # too long a file ends the child
        sandbox.limit_time(limits)
        held = sandbox.confine(limits, scratch) if confined else []
        if user:
            sandbox.become(user, scratch)
        _write(writing, " ".join(held))
        for line in answers():
            _write(writing, line)
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


def _write(handle: int, line: str) -> None:  # pragma: no cover (in the child)
    left = memoryview(line.encode("utf-8", "replace") + b"\n")
    while left:
        left = left[os.write(handle, left) :]


def answers_of(load: Callable[[], Callable], cases: list[str]) -> Iterator[str]:
    """Load the function and call it with each case; a line of JSON for each, or one for a failure.

    A line is an object with a `kind`: 'value' (with `value`, and `args` as they are afterwards),
    'error' (an exception), 'todo' (NotImplementedError); before the first case also 'import' (an
    exception while loading) and 'missing' (no such function).
    """
    try:
        function = load()
    except BaseException as error:  # also SystemExit and the like
        yield _failure("missing" if isinstance(error, _MissingError) else "import", error)
        return
    for case in cases:
        args = wire.decode(case)
        try:
            value = function(*args)
            answer = {"kind": "value", "value": wire.encode(value), "args": wire.encode(args)}
        except NotImplementedError:
            answer = {"kind": "todo"}
        except BaseException as error:
            yield _failure("error", error)
            continue
        yield json.dumps(answer)


class _MissingError(Exception):
    pass


def _load(job: Job) -> Callable:
    """Execute the submission's text as a module of its own and pick the function."""
    _hide_the_graders()
    lines = job.source.decode("utf-8", "replace").splitlines(keepends=True)
    linecache.cache[job.filename] = (len(job.source), None, lines, job.filename)
    module = types.ModuleType("submission")
    module.__file__ = job.filename
    sys.modules["submission"] = module
    exec(compile(job.source, job.filename, "exec"), module.__dict__)
    function = getattr(module, job.function, None)
    if not callable(function):
        raise _MissingError(f"there is no function '{job.function}' in {job.filename}")
    return function


def _hide_the_graders() -> None:
    """Leave a submission that imports the graders an empty module whose `check` does nothing."""
    for name in [m for m in sys.modules if m.startswith("mlpinit.grading")]:
        del sys.modules[name]
    empty = types.ModuleType("mlpinit.grading")
    empty.check = lambda *args, **kwargs: None
    sys.modules["mlpinit.grading"] = empty


def _failure(kind: str, error: BaseException) -> str:
    """An exception as data: its type, its message, and the learner's own line."""
    line, text = None, ""
    if isinstance(error, SyntaxError):
        line, text = error.lineno, (error.text or "").strip()
    elif kind != "missing":
        line, text = _own_line(error)
    try:
        message = str(error)[:SHOWN_MESSAGE]
    except BaseException:
        message = ""
    name = type(error).__name__[:100]
    return json.dumps({"kind": kind, "type": name, "message": message, "line": line, "text": text})


def _own_line(error: BaseException) -> tuple[int | None, str]:
    """The innermost line of the traceback that is the learner's: not ours, not a library's."""
    line, text = None, ""
    for frame in traceback.extract_tb(error.__traceback__):
        library = "site-packages" in frame.filename or frame.filename.startswith(sys.base_prefix)
        if frame.filename != __file__ and not library and frame.line:
            line, text = frame.lineno, frame.line.strip()
    return line, text


def main() -> None:  # pragma: no cover (a process of its own)
    """Serve jobs from stdin to stdout, a line of JSON each, until stdin closes."""
    torch.set_num_threads(1)
    jobs, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    replies.write(b"ready\n")
    replies.flush()
    for line in jobs:
        fields = json.loads(line)
        fields["source"] = base64.b64decode(fields["source"])
        job = Job(**fields | {"limits": Limits(**fields["limits"])})
        replies.write(json.dumps(asdict(run(job))).encode("utf-8") + b"\n")
        replies.flush()


if __name__ == "__main__":
    main()
