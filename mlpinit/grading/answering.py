"""In the child: load a submission as Python loads a file, call its function, say what came.

Nothing here is trusted by who reads it: a submission can change this module in its own process.
"""

from __future__ import annotations

import dis
import io
import json
import linecache
import sys
import sysconfig
import tokenize
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path

from mlpinit.grading import wire
from mlpinit.grading.job import Job

__all__ = ["answers_of", "load"]

SHOWN_MESSAGE = 500  # characters of an exception's message
PACKAGE = str(Path(__file__).resolve().parents[1])
LIBRARY = sysconfig.get_path("stdlib")


def answers_of(load: Callable[[], Callable], cases: list[str]) -> Iterator[str]:
    """Load the function and call it with each case; a line of JSON for each, or one for a failure.

    A line is an object with a `kind`: 'value' (with `value`, and `args` as they are afterwards),
    'error' (an exception), 'todo' (the learner's own NotImplementedError); before the first case
    also 'import' (an exception while loading) and 'missing' (no such function).
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
        except BaseException as error:
            yield json.dumps({"kind": "todo"}) if _to_do(error) else _failure("error", error)
            continue
        yield json.dumps(answer)


class _MissingError(Exception):
    pass


def load(job: Job) -> Callable:
    """Execute the submission's bytes as a module of its own and pick the function."""
    _stand_in_for_the_graders(job)
    source = job.source
    if isinstance(source, str):
        source = source.removeprefix("\ufeff")
    # Not with the `from __future__ import annotations` of this file.
    code = compile(source, job.filename, "exec", dont_inherit=True)
    linecache.cache[job.filename] = (len(source), None, _lines(source), job.filename)
    module = types.ModuleType(Path(job.filename).stem or "submission")
    module.__file__ = job.filename
    sys.modules[module.__name__] = module  # as dataclasses and pickle expect
    sys.argv = [job.filename]
    exec(code, module.__dict__)
    function = getattr(module, job.function, None)
    if not callable(function):
        raise _MissingError(f"there is no function '{job.function}' in {job.filename}")
    return function


def _lines(source: bytes | str) -> list[str]:
    """Lines as Python counts them: a form feed or U+2028 ends none, and the file says its code."""
    if isinstance(source, str):
        return list(io.StringIO(source, newline=None))
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    return list(io.TextIOWrapper(io.BytesIO(source), encoding, errors="replace"))


def _stand_in_for_the_graders(job: Job) -> None:
    """Leave a submission that imports the graders a module that checks nothing and knows inputs."""
    import mlpinit  # noqa: PLC0415 (the package, to take its graders from it)

    for name in [m for m in sys.modules if m.startswith("mlpinit.grading")]:
        del sys.modules[name]
    module = types.ModuleType("mlpinit.grading", "What a submission finds in place of the graders.")

    def inputs(exercise: str, case: int = 1) -> tuple:
        cases = job.inputs.get(exercise, job.cases)
        if not 1 <= case <= len(cases):
            raise ValueError(f"exercise {exercise} has cases 1 to {len(cases)}, not {case}")
        return tuple(wire.decode(cases[case - 1]))

    module.check = lambda exercise, function: None
    module.hint = lambda exercise, number=1: ""
    module.inputs = inputs
    mlpinit.grading = sys.modules["mlpinit.grading"] = module


def _to_do(error: BaseException) -> bool:
    """Whether the learner's own code says `raise NotImplementedError`, as a stub does.

    torch raises it too: in its own Python code, or in C, which leaves no line but the caller's.
    """
    if not isinstance(error, NotImplementedError) or error.__traceback__ is None:
        return False
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    code = last.tb_frame.f_code
    raised_here = dis.opname[code.co_code[last.tb_lasti]] in ("RAISE_VARARGS", "RERAISE")
    return raised_here and not _is_library(code.co_filename)


def _is_library(filename: str) -> bool:
    """Whether code is Python's, a package's or ours, and so not the learner's."""
    if filename.startswith("<frozen"):
        return True
    return "-packages" in filename or filename.startswith((LIBRARY, PACKAGE))


def _failure(kind: str, error: BaseException) -> str:
    """An exception as data: its type, its message, and the learner's own line."""
    line, text = None, ""
    if kind != "missing":
        line, text = _own_line(error)
    if line is None and isinstance(error, SyntaxError):
        line, text = error.lineno, (error.text or "").strip()
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
        if frame.line and not _is_library(frame.filename):
            line, text = frame.lineno, frame.line.strip()
    return line, text
