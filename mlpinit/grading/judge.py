"""From raw answers to a verdict. The parent alone comes here: it holds the right answers."""

from __future__ import annotations

import inspect
import json
import math
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from threading import Lock

import torch
from torch import Tensor

from mlpinit.grading import wire
from mlpinit.grading.drawn import Drawn, copied, drawn
from mlpinit.grading.exercise import Exercise
from mlpinit.grading.job import Ending
from mlpinit.grading.text import visible, visible_lines
from mlpinit.grading.wire import Foreign

__all__ = ["FAILED", "PASSED", "TO_DO", "Verdict", "judge", "unjudged"]

PASSED, FAILED, TO_DO = "passed", "failed", "to do"

_LONGEST = 500  # characters of a message that a submission sent
_MOST_VALUES = 10**5  # in one message; a tensor is one
_LAST_LINE = 10**6  # no file has more
_MOST_AXES = 12  # of a tensor that is shown
_MOST_PARTS = 20  # of a list that are shown


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one exercise of one submission, all of it fit to show.

    - `status`: 'passed', 'failed' or 'to do'
    - `problem`: what is wrong, in one sentence; empty unless failed
    - `details`: (heading, text) pairs in the order in which to show them: the input, what was
      expected, what came, where they first differ
    - `diagnosis`: the mistake, where it is a known one
    - `output`: the beginning of what the submission printed
    """

    exercise: Exercise
    status: str
    problem: str = ""
    details: tuple[tuple[str, str], ...] = ()
    diagnosis: str = ""
    output: str = ""
    seconds: float = 0.0
    held: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        """Make visible what a submission may have put in: its text enters reports here alone."""
        fit = {
            "problem": visible(self.problem),
            "details": tuple((h, visible_lines(text)) for h, text in self.details),
            "diagnosis": visible(self.diagnosis),
            "output": visible_lines(self.output),
        }
        for name, text in fit.items():
            object.__setattr__(self, name, text)

    @property
    def points(self) -> int:
        """The points earned: all or none."""
        return self.exercise.points if self.status == PASSED else 0


@dataclass(frozen=True)
class _Problem:
    says: str
    details: tuple[tuple[str, str], ...] = ()
    diagnosis: str = ""


def judge(exercise: Exercise, ending: Ending, seed: int | None = None) -> Verdict:
    """Compare every answer with the right one; the first that is wrong decides.

    `seed` is that of the cases that were sent. Whatever goes wrong in judging is this exercise's
    verdict: one submission costs no other its grades.
    """
    extra = {"output": ending.output, "seconds": ending.seconds, "held": tuple(ending.held)}
    try:
        return _judged(drawn(exercise, seed), ending, extra)
    except Exception as error:
        return unjudged(exercise, error, **extra)


def unjudged(exercise: Exercise, error: Exception, **extra: object) -> Verdict:
    """The verdict where the grader itself failed."""
    why = f"{type(error).__name__}: {error}"[:_LONGEST]
    says = f"the grader could not judge this: {why}; tell your instructor"
    return Verdict(exercise, FAILED, says, **extra)


def _judged(asked: Drawn, ending: Ending, extra: dict) -> Verdict:
    exercise, answers = asked.exercise, _parsed(ending.lines)
    for i in range(len(asked.cases)):
        answer = next(answers, None)
        kind = None if answer is None else answer.get("kind")
        if kind == "todo":
            return Verdict(exercise, TO_DO, **extra)
        silent = answer is None
        problem = _silence(ending, exercise) if silent else _judge_case(asked, i, answer)
        if problem is None:
            continue
        given = () if kind in ("import", "missing") else (("input", _given(asked, i)),)
        details = given + problem.details
        return Verdict(exercise, FAILED, problem.says, details, problem.diagnosis, **extra)
    last = next(answers, {})
    if last.get("kind") == "changed":
        return _changed(asked, last.get("case"), extra)
    return Verdict(exercise, PASSED, **extra)


def _changed(asked: Drawn, i: object, extra: dict) -> Verdict:
    """The verdict on answers that are right until the function is called again."""
    i = i if type(i) is int and 0 <= i < len(asked.cases) else 0
    kind = "tensor" if isinstance(asked.expected(i), Tensor) else "answer"
    return Verdict(
        asked.exercise,
        FAILED,
        f"the answer to case {i + 1} changed when the function was called again",
        (("input", _given(asked, i)),),
        f"your function gives back the same {kind} each time and changes it: make a new one in "
        "every call",
        **extra,
    )


@lru_cache(maxsize=512)  # to print tensors takes longest of all, and many of a class fail alike
def _given(asked: Drawn, i: int) -> str:
    """The arguments of case `i` from 0, which it is, and how to have it again."""
    exercise, case = asked.exercise, asked.cases[i]
    where = f"case {i + 1} of {len(asked.cases)}" + (f", {case.what}" if case.what else "")
    seed = "" if asked.seed is None else f", seed={asked.seed}"
    replay = f'replay: mlpinit.grading.inputs("{exercise.id}", {i + 1}{seed})'
    return f"{_shown_arguments(exercise, case.args)}\n({where}; {replay})"


def _parsed(lines: list[str]) -> Iterator[dict]:
    """The lines that are answers; the first that is none ends them."""
    for line in lines:
        if line.count(",") + line.count("{") + line.count("[") > _MOST_VALUES:
            yield {}  # each would be an object here: 64 MiB of them are gigabytes
            return
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(answer, dict):
            return
        yield answer


def _silence(ending: Ending, exercise: Exercise) -> _Problem:
    """Why there is no answer."""
    limits = exercise.limits
    if ending.how == "time":
        return _Problem(
            f"it took longer than {limits.seconds} s of processor time and was stopped",
            diagnosis="is there a loop without end, or one over what torch can do at once?",
        )
    if ending.how == "wait":
        return _Problem(
            f"it had not ended after {limits.patience:g} s and was stopped",
            diagnosis="does it sleep, or wait for something that does not come?",
        )
    if ending.how == "flood":
        return _Problem("it returned more data than any answer needs")
    if ending.how == "lost":
        return _Problem("it took the process that ran it down with it")
    if ending.how == "signal" and ending.code == signal.SIGXFSZ:
        return _Problem(
            f"it printed or wrote more than {limits.output // 2**20} MiB and was stopped"
        )
    if ending.how == "signal":
        return _Problem(f"it crashed the interpreter ({_signal(ending.code)})")
    if ending.code == 3:
        return _Problem(f"it asked for more memory than the {limits.memory // 2**20} MiB there are")
    return _Problem(f"it ended the process itself (exit code {ending.code}) before it answered")


def _signal(code: int) -> str:
    """A signal's name; those for real time have none."""
    try:
        return signal.Signals(code).name
    except ValueError:
        return f"signal {code}"


def _judge_case(asked: Drawn, i: int, answer: dict) -> _Problem | None:
    exercise, args = asked.exercise, asked.cases[i].args
    if answer.get("kind") in ("error", "import", "missing"):
        problem = _raised(answer, exercise)
        slip = _known_slip(exercise, args, answer)
        return replace(problem, diagnosis=slip) if slip else problem
    try:
        value = wire.decode(answer["value"])
        # What comes back as it was sent needs no reading.
        untouched = answer["args"] == asked.encoded[i] or _same(
            list(args), wire.decode(answer["args"])
        )
    except Exception:  # of what a submission can forge, no list is complete
        return _Problem("what it sent back is not an answer")
    expected = asked.expected(i)
    problem = _form(expected, value)
    if problem is not None:
        known = _known_mistake(asked, i, value)
        problem = replace(problem, diagnosis=known or problem.diagnosis)
    elif exercise.accepts is not None:
        wrong = exercise.accepts(copied(args), _real(expected, value))
        problem = wrong and _Problem(wrong, (("came", _shown(value)),))
    else:
        problem = _difference(asked, i, expected, value)
    if problem is None and not untouched:
        return _Problem(
            "the answer is right, but the function changed its argument",
            diagnosis="work on a copy (x.clone()), or without x[...] = and methods that end in _",
        )
    return problem or None


def _said(answer: dict, key: str, longest: int = _LONGEST) -> str:
    """Text that a submission sent; nothing where it sent something else."""
    text = answer.get(key)
    return text[:longest] if isinstance(text, str) else ""


def _raised(answer: dict, exercise: Exercise) -> _Problem:
    kind, name = answer["kind"], _said(answer, "type", 100)
    message, text, line = _said(answer, "message"), _said(answer, "text"), answer.get("line")
    if kind == "missing":
        return _Problem(f"there is no function '{exercise.function}' in {exercise.chapter}.py")
    known = type(line) is int and 0 < line < _LAST_LINE
    where = f" in line {line}" if known else ""
    did = "loading the file" if kind == "import" else "your code"
    details = [("raised", f"{name}: {message}" if message else name)]
    if text:
        details.append(("line", f"{line}: {text}" if known else text))
    diagnosis = ""
    if name == "MemoryError" or "can't allocate memory" in message:
        limit = exercise.limits.memory // 2**20
        return _Problem(f"it asked for more memory than the {limit} MiB there are", tuple(details))
    if name in ("SystemExit", "Exit", "KeyboardInterrupt"):
        diagnosis = "a function answers with return; it need not end the program"
    return _Problem(f"{did} raised {name}{where}", tuple(details), diagnosis)


def _known_slip(exercise: Exercise, args: tuple, answer: dict) -> str:
    """What a mistake is that raises this very error from these inputs; '' where none is known."""
    came = answer.get("type"), answer.get("message")
    for slip in exercise.slips:
        try:
            slip.wrong(*copied(args))
        except Exception as error:  # whatever torch raises for it
            if (type(error).__name__, str(error)) == came:
                return slip.says
    return ""


def _form(expected: object, value: object) -> _Problem | None:
    """What is wrong with the kind, shape or dtype of an answer, before its numbers are compared."""
    if value is None and expected is not None:
        return _Problem("it returned None", diagnosis="is there a return at the end of every path?")
    if isinstance(value, Foreign):
        return _Problem(
            f"it returned something of type {_foreign(value)}, wanted {_kind(expected)}"
        )
    if isinstance(expected, tuple | list):
        wanted = f"wanted {len(expected)} values"
        if not isinstance(value, tuple | list):
            return _Problem(f"it returned {_kind(value)}, {wanted}", _came(value))
        if len(value) != len(expected):
            return _Problem(f"it returned {len(value)} values, {wanted}", _came(value))
        parts = (_form(e, v) for e, v in zip(expected, value, strict=True))
        return next((p for p in parts if p is not None), None)
    if isinstance(expected, str) and not isinstance(value, str):
        return _Problem(f"it returned {_kind(value)}, wanted text", _came(value))
    if isinstance(expected, bool | int | float | Tensor):
        return _form_of_numbers(_tensor(expected), value)
    return None


def _came(value: object) -> tuple[tuple[str, str], ...]:
    return (("came", _shown(value)),)


def _form_of_numbers(expected: Tensor, value: object) -> _Problem | None:
    if not isinstance(value, bool | int | float | Tensor):
        return _Problem(f"it returned {_kind(value)}, wanted {_kind(expected)}", _came(value))
    got = _tensor(value)
    if got.shape != expected.shape:
        wanted, is_ = _shape(expected), _shape(got)
        hint = ""
        if got.shape == expected.mT.shape if expected.ndim == 2 else False:
            hint = "it is the transpose of what is wanted, by its shape"
        elif got.numel() == expected.numel():
            hint = "the numbers are as many as wanted: is an axis too many or out of place?"
        says = f"the shape is {is_}, wanted {wanted}"
        return _Problem(says, (("expected", _shown(expected)), *_came(value)), hint)
    family, wanted = _family(value), _family(expected)
    whole_for_real = wanted == "floating point" and family == "whole numbers" and not expected.ndim
    if family != wanted and not whole_for_real:
        is_ = f"the dtype is {_dtype(got)} ({family})"
        if not isinstance(value, Tensor):
            is_ = f"it returned a Python {type(value).__name__} ({family})"
        says = f"{is_}, wanted {wanted}"
        return _Problem(says, (("expected", _shown(expected)), *_came(value)))
    if got.is_floating_point() and got.dtype in (torch.float16, torch.bfloat16):
        return _Problem(
            f"the dtype is {_dtype(got)}, too coarse; wanted float32 or float64", _came(value)
        )
    return None


def _tensor(value: bool | int | float | Tensor) -> Tensor:
    """A number as a tensor, of float64 also for a whole number that no int64 holds."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        try:
            value = float(value)
        except OverflowError:
            value = math.inf if value > 0 else -math.inf
    return (
        torch.tensor(value, dtype=torch.float64)
        if isinstance(value, float)
        else torch.as_tensor(value)
    )


def _real(expected: object, value: object) -> object:
    """An answer in floating point where that is wanted and a whole number came."""
    whole = isinstance(value, int) and isinstance(expected, float | Tensor)
    return _tensor(value).item() if whole else value


def _difference(asked: Drawn, i: int, expected: object, value: object) -> _Problem | None:
    """Where an answer of the right form differs from the right one, and why if that is known."""
    exercise, args = asked.exercise, asked.cases[i].args
    if _close(exercise, expected, value):
        return None
    details = [("expected", _wanted(asked, i)), ("came", _shown(value))]
    where = _first_difference(exercise, expected, value)
    if where:
        details.append(("first differs", where))
    if _has_nan(value) and not _has_nan(expected):
        diagnosis = _known_mistake(asked, i, value)
        diagnosis = diagnosis or "look for 0/0, ∞ − ∞, log of 0, or an exponential that overflows"
        return _Problem("there is NaN in the answer", tuple(details), diagnosis)
    diagnosis = _known_mistake(asked, i, value) or _general_mistake(exercise, args, expected, value)
    return _Problem("the answer is not right", tuple(details), diagnosis)


@lru_cache(maxsize=512)
def _wanted(asked: Drawn, i: int) -> str:
    return _shown(asked.expected(i))


def _known_mistake(asked: Drawn, i: int, value: object) -> str:
    for says, wrong in asked.mistaken(i):
        if _form(wrong, value) is None and _close(asked.exercise, wrong, value):
            return says
    return ""


def _general_mistake(exercise: Exercise, args: tuple, expected: object, value: object) -> str:
    """Mistakes that any question about numbers can meet: a factor, a sign, a transpose."""
    if not isinstance(expected, int | float | Tensor) or isinstance(expected, bool):
        return ""
    want, got = (_tensor(v).double() for v in (expected, value))
    if _tensor(expected).dtype == torch.bool:
        return "every entry is the opposite of what is wanted" if (want != got).all() else ""
    if not got.isfinite().all() or not want.isfinite().all() or not want.abs().max() > 0:
        return ""
    if (got == 0).all():
        return "every entry is 0"
    if want.ndim == 2 and want.shape[0] == want.shape[1] and _close(exercise, want.mT, got):
        return "this is the transpose of what is wanted"
    factor = ((got * want).sum() / (want * want).sum()).item()
    if not math.isfinite(factor) or not torch.allclose(got, factor * want, rtol=1e-3, atol=1e-9):
        return ""
    return _factor_in_words(factor, args, alone=not want.ndim)


def _factor_in_words(factor: float, args: tuple, *, alone: bool = False) -> str:
    """What a common factor says; `alone` where the answer is one number."""
    if math.isclose(factor, -1, rel_tol=1e-3):
        return "the sign is the wrong way round"
    yours = "your number" if alone else "your answer"
    sizes = {a.shape[0] for a in args if isinstance(a, Tensor) and a.ndim and a.shape[0] > 1}
    for n in sorted(sizes):
        if math.isclose(abs(factor), n, rel_tol=1e-3):
            return f"{yours} is {factor:.4g} times too large: did you divide by the {n} examples?"
        if math.isclose(abs(factor), 1 / n, rel_tol=1e-3):
            return f"{yours} is {n} times too small: did you divide by {n} once too often?"
    return f"{'your number' if alone else 'every entry'} is {factor:.4g} times what is wanted"


def _close(exercise: Exercise, expected: object, value: object) -> bool:
    if isinstance(expected, tuple | list):
        pairs = zip(expected, value, strict=True)
        return all(_close(exercise, e, v) for e, v in pairs)
    if isinstance(expected, str):
        return expected == value
    want, got = _tensor(expected), _tensor(value)
    if want.is_floating_point():
        want, got = want.double(), got.double()
        tolerance = {"rtol": exercise.rtol, "atol": exercise.atol}
        return torch.allclose(got, want, equal_nan=True, **tolerance)
    # What only floating point holds is too large to be the whole number that is wanted.
    return not got.is_floating_point() and torch.equal(want.long(), got.long())


def _first_difference(exercise: Exercise, expected: object, value: object, at: str = "") -> str:
    if isinstance(expected, tuple | list):
        for i, (e, v) in enumerate(zip(expected, value, strict=True)):
            if not _close(exercise, e, v):
                return _first_difference(exercise, e, v, f"value {i + 1} of {len(expected)}, ")
        return ""
    if isinstance(expected, str):
        return ""
    want, got = _tensor(expected), _tensor(value)
    if not want.ndim:
        return at.removesuffix(", ")
    if want.is_floating_point():
        a, b = want.double(), got.double()
        bad = ~torch.isclose(b, a, rtol=exercise.rtol, atol=exercise.atol, equal_nan=True)
    else:
        bad = want.long() != got.long()
    place = bad.nonzero()[0].tolist()
    counts = f"{int(bad.sum())} of {bad.numel()} entries differ"
    here = f"{at}at {place}: expected {_number(want[*place])}, came {_number(got[*place])}"
    return f"{here} ({counts})"


def _has_nan(value: object) -> bool:
    if isinstance(value, tuple | list):
        return any(map(_has_nan, value))
    return isinstance(value, float | Tensor) and bool(torch.as_tensor(value).isnan().any())


def _same(before: object, after: object) -> bool:
    """Whether arguments came back as they went."""
    if isinstance(before, tuple | list):
        return (
            isinstance(after, tuple | list)
            and len(before) == len(after)
            and all(_same(b, a) for b, a in zip(before, after, strict=True))
        )
    if isinstance(before, Tensor):
        if not isinstance(after, Tensor) or (before.shape, before.dtype) != (
            after.shape,
            after.dtype,
        ):
            return False
        return bool(((before == after) | (before.isnan() & after.isnan())).all())
    if type(before) is not type(after):
        return False
    return before == after or (before != before and after != after)  # noqa: PLR0124 (NaN)


def _family(value: bool | int | float | Tensor) -> str:
    if isinstance(value, bool) or (isinstance(value, Tensor) and value.dtype == torch.bool):
        return "true or false"
    real = value.is_floating_point() if isinstance(value, Tensor) else isinstance(value, float)
    return "floating point" if real else "whole numbers"


def _dtype(t: Tensor) -> str:
    return str(t.dtype).removeprefix("torch.")


def _shape(t: Tensor) -> str:
    if t.ndim > _MOST_AXES:
        return f"of {t.ndim} axes"
    return str(tuple(t.shape))


def _foreign(value: Foreign) -> str:
    return value.type_name[:200]


def _kind(value: object) -> str:
    if isinstance(value, Foreign):
        return f"something of type {_foreign(value)}"
    if isinstance(value, Tensor):
        return f"a tensor {_shape(value)} of {_family(value)}" if value.ndim else "one number"
    names = {bool: "True or False", int: "a whole number", float: "a number", str: "text"}
    if isinstance(value, tuple | list):
        return f"{len(value)} values"
    return names.get(type(value), f"a {type(value).__name__}")


def _number(value: Tensor) -> str:
    plain = value.item()
    return f"{plain:.6g}" if isinstance(plain, float) else str(plain)


def _shown(value: object) -> str:
    """A value as a learner wants to see it: short, with its shape and dtype when it is a tensor."""
    if isinstance(value, Foreign):
        return f"a {_foreign(value)}"
    if isinstance(value, Tensor):
        if not value.ndim:
            return _number(value)
        if value.ndim > _MOST_AXES:
            return f"{value.numel()} numbers  {_shape(value)} {_dtype(value)}"
        values = torch.round(value.double(), decimals=5) if value.is_floating_point() else value
        return f"{_compact(values)}  {_shape(value)} {_dtype(value)}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple | list) and any(isinstance(v, Tensor) for v in value):
        lines = [f"{i}. {_shown(v)}" for i, v in enumerate(value[:_MOST_PARTS], 1)]
        more = len(value) - len(lines)
        return "\n".join(lines + [f"… and {more} more"] * (more > 0))
    text = repr(value)
    return text if len(text) <= 300 else text[:300] + "…"


def _compact(values: Tensor) -> str:
    with _PRINTING, _print_options():
        text = str(values)
    text = text.removeprefix("tensor(").removesuffix(")")
    text = re.sub(r",\s+dtype=torch\.\w+$", "", text)
    return "\n".join(line[7:] if i else line for i, line in enumerate(text.split("\n")))


_PRINTING = Lock()  # torch's options are the whole process's


class _print_options:  # noqa: N801 (a context manager)
    """torch's printing, short for a moment."""

    def __enter__(self) -> None:
        torch.set_printoptions(precision=4, threshold=60, edgeitems=3, linewidth=88, sci_mode=False)

    def __exit__(self, *error: object) -> None:
        torch.set_printoptions(profile="default")


def _shown_arguments(exercise: Exercise, args: tuple) -> str:
    """Each argument after its name, which is that of the oracle's parameter."""
    names = inspect.signature(exercise.oracle).parameters
    return "\n".join(_named(name, a) for name, a in zip(names, args, strict=True))


def _named(name: str, value: object) -> str:
    first, *rest = _shown(value).split("\n")
    indent = " " * (len(name) + 3)
    return "\n".join([f"{name} = {first}", *(indent + line for line in rest)])
