"""The child's own part: load a submission's file as Python does, call its function, say what came.

What is said is data, one line of JSON each (see `wire`): nothing here decides what is right.
"""

from __future__ import annotations

import codecs
import dis
import io
import json
import linecache
import sys
import tokenize
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from mlpinit.grading import wire
from mlpinit.grading.job import Job

__all__ = ["answers_of", "graders", "load"]

SHOWN_MESSAGE = 500  # characters of an exception's message, and of a line of code


def answers_of(load: Callable[[], Callable], cases: list[str]) -> Iterator[str]:
    """Load the function and call it with each case; a line of JSON for each, or one for a failure.

    A line is an object with a `kind`: 'value' (with `value`, and `args` as they are afterwards),
    'error' (an exception), 'todo' (the learner's own NotImplementedError); instead of all of these
    'import' (an exception while loading) or 'missing' (no such function). After the last case may
    come 'changed': a later call wrote into the answer to case `case`, from 0.
    """
    try:
        function = load()
    except BaseException as error:  # also SystemExit and the like
        yield _failure("missing" if isinstance(error, _MissingError) else "import", error)
        return
    given = []
    for i, case in enumerate(cases):
        args = wire.decode(case)
        try:
            value = function(*args)
            answer = {"kind": "value", "value": wire.encode(value), "args": wire.encode(args)}
            given.append((i, value, answer["value"]))
        except BaseException as error:
            if isinstance(error, NotImplementedError) and _raised_by_learner(error):
                yield json.dumps({"kind": "todo"})
            else:
                yield _failure("error", error)
            continue
        yield json.dumps(answer)
    for i, value, sent in given:
        with suppress(Exception):
            if wire.encode(value) != sent:
                yield json.dumps({"kind": "changed", "case": i})
                return


class _MissingError(Exception):
    pass


def load(job: Job, graders: Sequence[str]) -> Callable:
    """Execute the submission's file as a module of its own, and pick the function.

    `graders` are the modules that it is not to find.
    """
    _hide(graders, job.inputs)
    name = job.filename.removesuffix(".py")
    module = types.ModuleType(name)
    module.__file__ = job.filename
    with (
        suppress(OSError),
        open(job.filename, "wb", 0) as file,
    ):  # for a submission that reads itself
        file.write(job.source)
    linecache.cache[job.filename] = (len(job.source), None, _lines(job.source), job.filename)
    sys.modules[name] = module  # where dataclasses and pickle look
    # dont_inherit: without the annotations of this very file.
    exec(compile(job.source, job.filename, "exec", dont_inherit=True), module.__dict__)
    function = getattr(module, job.function, None)
    if not callable(function):
        raise _MissingError(f"there is no function '{job.function}' in {job.filename}")
    return function


def _lines(source: bytes) -> list[str]:
    r"""The lines as Python counts them: in the file's own coding, and ended by \n, \r\n or \r."""
    try:
        if b"coding" not in source and not source.startswith(codecs.BOM_UTF8):
            return io.StringIO(source.decode("utf-8"), newline=None).readlines()
        coding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        return io.TextIOWrapper(io.BytesIO(source), coding).readlines()
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return []  # the compiler will say why


def graders() -> list[str]:
    """The names of the graders' modules here, for `load`.

    To be asked for before a fork: a look at every module's name writes into a thousand pages of
    memory, each of which a child would have copied.
    """
    return [name for name in sys.modules if name.startswith("mlpinit.grading")]


def _hide(graders: Sequence[str], inputs: dict[str, list[str]]) -> None:
    """Leave a submission a `mlpinit.grading` that has its names but judges nothing."""
    for name in graders:
        del sys.modules[name]

    def replay(exercise: str, case: int = 1) -> tuple:
        if str(exercise) not in inputs:
            raise ValueError(f"the inputs of {exercise!r} are not at hand while this is graded")
        cases = inputs[str(exercise)]
        if not 1 <= case <= len(cases):
            raise ValueError(f"exercise {exercise} has cases 1 to {len(cases)}, not {case}")
        return tuple(wire.decode(cases[case - 1]))

    empty = types.ModuleType("mlpinit.grading")
    empty.check = lambda *args, **kwargs: None
    empty.hint = lambda *args, **kwargs: ""
    empty.inputs = replay
    sys.modules["mlpinit.grading"] = empty
    with suppress(KeyError):  # for `from mlpinit import grading`
        sys.modules["mlpinit"].grading = empty


def _failure(kind: str, error: BaseException) -> str:
    """An exception as data: its type, its message, and the learner's own line."""
    line, text = None, ""
    if isinstance(error, SyntaxError):
        line, text = error.lineno, error.text
    elif kind != "missing":
        line, text = _own_line(error)
    line = line if type(line) is int else None
    text = text.strip()[:SHOWN_MESSAGE] if type(text) is str else ""
    try:
        message = str(error)[:SHOWN_MESSAGE]
    except BaseException:
        message = ""
    name = type(error).__name__[:100]
    return json.dumps({"kind": kind, "type": name, "message": message, "line": line, "text": text})


def _raised_by_learner(error: BaseException) -> bool:
    """Whether a `raise` in the learner's own code is where an exception comes from.

    torch raises NotImplementedError too, for a module without `forward` or for a kind of numbers
    that an operation does not take: from its own Python, or from C++ under a learner's call.
    """
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    if tb is None or not _is_own(tb.tb_frame.f_code.co_filename):
        return False
    code = tb.tb_frame.f_code.co_code
    return dis.opname[code[tb.tb_lasti]] == "RAISE_VARARGS"


def _own_line(error: BaseException) -> tuple[int | None, str]:
    """The innermost line of the traceback that is the learner's: not ours, not a library's."""
    line, text = None, ""
    for frame in traceback.extract_tb(error.__traceback__):
        if _is_own(frame.filename) and frame.line:
            line, text = frame.lineno, frame.line.strip()
    return line, text


_LIBRARIES = (
    str(Path(dis.__file__).parent),  # the standard library
    str(Path(__file__).resolve().parents[1]),  # this package
    "<frozen",
)


def _is_own(filename: str) -> bool:
    installed = "site-packages" in filename or "dist-packages" in filename
    return not installed and not filename.startswith(_LIBRARIES)
