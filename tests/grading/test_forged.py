"""No answer, however odd or forged, costs more than its own exercise."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mlpinit.grading import judge as judging
from mlpinit.grading import wire
from mlpinit.grading.drawn import copied, drawn
from mlpinit.grading.exercise import Case, Exercise, Mistake, all_exercises, find
from mlpinit.grading.grade import Submission, grade, grade_source
from mlpinit.grading.job import Ending
from mlpinit.grading.judge import FAILED, PASSED, judge
from mlpinit.grading.relatives import relatives
from mlpinit.grading.show import as_text

SLOPE = find("6.1")
EXERCISES = all_exercises()
IDS = [e.id for e in EXERCISES]


def ending(*lines: object, how: str = "exit", code: int = 0) -> Ending:
    """What a child leaves that wrote these lines; what is no text is written as JSON."""
    written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return Ending(written, how, code, "", 0, 0.1, ["limits"])


def answered(exercise: Exercise, value: object) -> Ending:
    """The same answer to every case, with the arguments as they were."""
    cases = drawn(exercise, None).encoded
    return ending(*({"kind": "value", "value": wire.encode(value), "args": args} for args in cases))


def judged(verdict: judging.Verdict) -> str:
    """The problem of a failure that the grader did judge."""
    assert verdict.status == FAILED
    assert "could not judge" not in verdict.problem, verdict.problem
    return verdict.problem


def deep(depth: int) -> list:
    nested: list = []
    for _ in range(depth):
        nested = [nested]
    return nested


ODD = {
    "a huge whole number": 10**30,
    "the first that no int64 holds": 2**63,
    "one below the least int64": -(2**63) - 1,
    "beyond any float": 10**400,
    "a list of huge ones": [10**30] * 3,
    "a pair of huge ones": (10**30, -(10**30)),
    "NaN": math.nan,
    "infinity": math.inf,
    "a complex number": 1j,
    "a complex tensor": torch.ones(2, dtype=torch.complex64),
    "no numbers": torch.zeros(0, 3),
    "a number of float16": torch.tensor(1.0, dtype=torch.float16),
    "bytes": b"\xff",
    "a dictionary": {"a": 10**30},
    "a set": {1},
    "nested deeply": deep(11),
    "nested too deeply": deep(40),
    "text with half a character": "\ud800",
    "nothing": None,
    "an ellipsis": ...,
}


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_an_odd_answer_is_judged(exercise):
    for value in ODD.values():
        judged(judge(exercise, answered(exercise, value)))


def poisoned(value: object, poison: object) -> object:
    """An answer of the right form with another number in each place."""
    if isinstance(value, tuple | list):
        return type(value)(poisoned(v, poison) for v in value)
    if isinstance(value, Tensor) and isinstance(poison, int):
        return torch.full_like(value, 1) if value.dtype == torch.bool else value + (poison > 0)
    if isinstance(value, Tensor):
        return torch.full_like(value.double(), poison)
    return poison


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_an_answer_of_the_right_form_with_odd_numbers_is_judged(exercise):
    asked = drawn(exercise, None)
    for poison in (10**30, -(10**400), math.nan, math.inf, True):
        lines = []
        for i, args in enumerate(asked.encoded):
            value = wire.encode(poisoned(asked.expected(i), poison))
            lines.append({"kind": "value", "value": value, "args": args})
        verdict = judge(exercise, ending(*lines))
        assert "could not judge" not in verdict.problem, (poison, verdict.problem)


def example(oracle, args: tuple = (torch.ones(2, 3), 4), **changes) -> Exercise:
    def cases(g):
        return [Case(copied(args))]

    return replace(SLOPE, function="f", oracle=oracle, cases=cases, mistakes=(), **changes)


RIGHT = [
    (lambda x, n: 2 * n, 8),
    (lambda x, n: 2.0**70, 2**70),
    (lambda x, n: 2**70, 2**70),
    (lambda x, n: (2.0**70, n), [2**70, 4]),
    (lambda x, n: torch.tensor(2.0**70, dtype=torch.float64), 2**70),
]


@pytest.mark.parametrize(("oracle", "value"), RIGHT)
def test_a_whole_number_of_any_size_is_right_where_it_is_right(oracle, value):
    exercise = example(oracle)
    assert judge(exercise, answered(exercise, value)).status == PASSED


def test_a_question_with_many_answers_is_given_a_huge_one_as_a_real_number():
    def accepts(args, answer):
        return None if torch.as_tensor(answer) > 1 else "too small"

    exercise = example(lambda x, n: 1.0, accepts=accepts)
    assert judge(exercise, answered(exercise, 10**30)).status == PASSED
    assert judged(judge(exercise, answered(exercise, -(10**30)))) == "too small"


def test_a_number_that_no_int64_holds_is_not_the_one_that_it_wraps_to():
    exercise = example(lambda x, n: -(2**63))
    assert judge(exercise, answered(exercise, -(2**63))).status == PASSED
    judged(judge(exercise, answered(exercise, 2**63)))


def test_whole_numbers_that_are_nearly_right_are_told_apart():
    exercise = example(lambda x, n: torch.tensor([10**9, 5]))
    verdict = judge(exercise, answered(exercise, torch.tensor([10**9 + 1, 5])))
    assert judged(verdict) == "the answer is not right"
    assert "at [0]: expected 1000000000, came 1000000001 (1 of 2" in as_text(verdict)


def tensor(**changes: object) -> str:
    body = {"dtype": "float32", "shape": [2], "data": "AAAAAAAAAAA="}
    return json.dumps({"tensor": body | changes})


FORGED = {
    "a negative size": tensor(shape=[-2]),
    "two negative sizes": tensor(shape=[-1, -2]),
    "a huge size": tensor(shape=[2**62]),
    "huge sizes and none": tensor(shape=[2**30, 2**30, 2**30, 0], data=""),
    "a true size": tensor(shape=[True, 2]),
    "half a size": tensor(shape=[2.0]),
    "a size in words": tensor(shape=["2"]),
    "sizes in words": tensor(shape="2"),
    "sizes in a dictionary": tensor(shape={}, data="AAAAAA=="),
    "no sizes": tensor(shape=None),
    "too few bytes": tensor(data="AAAAAA=="),
    "bytes that are none": tensor(data="?"),
    "bytes that are a number": tensor(data=3),
    "an unknown dtype": tensor(dtype="complex64"),
    "a dtype that is a list": tensor(dtype=["float32"]),
    "no value": "{}",
    "two values": '{"plain": 1, "list": []}',
    "an unknown kind": '{"code": "1"}',
    "a plain list": '{"plain": [1]}',
    "a list that is none": '{"list": 3}',
    "a key that is a list": '{"dict": [[{"list": []}, {"plain": 1}]]}',
    "a pair of one": '{"dict": [[{"plain": 1}]]}',
    "deep brackets": "[" * 5000,
    "deep lists": '{"list":[' * 200 + "]}" * 200,
    "no JSON": "\x00",
    "half a character": '{"plain": "\\ud800"',
    "a number of too many digits": '{"plain": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_value_is_not_an_answer(kind):
    args = drawn(SLOPE, None).encoded[0]
    verdict = judge(SLOPE, ending({"kind": "value", "value": FORGED[kind], "args": args}))
    assert judged(verdict) == "what it sent back is not an answer"


def test_a_tensor_of_very_many_axes_is_judged():
    value = torch.zeros([1] * 15 + [2])
    text = as_text(judge(SLOPE, answered(SLOPE, value)))
    assert "the shape is of 16 axes, wanted (2, 3)" in text
    assert "came          2 numbers  of 16 axes float32" in text
    assert len(text) < 1000


@pytest.mark.parametrize("kind", FORGED)
def test_forged_arguments_are_not_an_answer(kind):
    asked = drawn(SLOPE, None)
    value = wire.encode(asked.expected(0))
    verdict = judge(SLOPE, ending({"kind": "value", "value": value, "args": FORGED[kind]}))
    assert judged(verdict)


SENT = drawn(SLOPE, None).encoded[0]
LINES = {
    "an empty object": ({}, "not an answer"),
    "a value that is no text": ({"kind": "value", "value": {"plain": 1}, "args": 3}, "not an"),
    "a kind that is a list": ({"kind": ["value"]}, "not an answer"),
    "a list": ([1], "ended the process itself"),
    "deep brackets": ("[" * 100_000, "ended the process itself"),
    "a number of too many digits": ("9" * 5000, "ended the process itself"),
    "very many values": (
        {"kind": "value", "value": wire.encode([1] * 200_000), "args": SENT},
        "not an answer",
    ),
    "an error without words": ({"kind": "error"}, "your code raised"),
    "words that are none": (
        {"kind": "error", "type": ["x"], "message": {"a": 1}, "line": "3", "text": 4},
        "your code raised",
    ),
    "a line that is true": ({"kind": "error", "type": "E", "line": True}, "your code raised E"),
    "a huge line": ({"kind": "error", "type": "E", "line": 10**40}, "your code raised E"),
    "a line before the first": ({"kind": "import", "type": "E", "line": -1}, "the file raised E"),
    "a message of its own": ({"kind": "missing", "message": "passed"}, "there is no function"),
    "half a character": (
        {"kind": "error", "type": "E\ud800", "message": "\ud800", "line": 1, "text": "\udfff"},
        r"raised E\ud800 in line 1",
    ),
}


@pytest.mark.parametrize("kind", LINES)
def test_a_forged_line_is_judged(kind):
    line, problem = LINES[kind]
    verdict = judge(SLOPE, ending(line))
    assert problem in judged(verdict)
    text = as_text(verdict)
    text.encode("utf-8")
    assert "['x']" not in text, "what is no text is not shown as if it were"
    if "line 1" not in problem:
        assert "in line" not in verdict.problem


def test_words_that_it_sends_are_short():
    line = {"kind": "error", "type": "E" * 10**6, "message": "m" * 10**6, "text": "t" * 10**6}
    assert len(as_text(judge(SLOPE, ending(line)))) < 3000


@pytest.mark.parametrize("code", [9, 11, 40, 64, 255])
def test_every_signal_has_words(code):
    assert judged(judge(SLOPE, ending(how="signal", code=code))).startswith("it crashed")


@pytest.mark.skipif(sys.platform != "linux", reason="signals without names are Linux's")
def test_a_process_that_kills_itself_with_a_signal_without_a_name_is_judged(runner):
    source = "import os\n\ndef tanh_slope(x):\n    os.kill(os.getpid(), 40)\n"
    assert "(signal 40)" in judged(grade_source(runner, SLOPE, source))


CHANGED = {
    "a tensor": "n[0] = x",
    "text": "n[0] = 'one'",
    "a list": "n[0] = [1]",
    "a huge number": "n[0] = 10**30",
    "an object": "n[0] = object()",
    "true": "n[0] = True",
    "more": "n.append(3)",
    "NaN": "x[0, 0] = 0",
}


@pytest.mark.parametrize("how", CHANGED)
def test_a_right_answer_beside_a_changed_list_is_told(runner, how):
    x = torch.ones(2, 3)
    x[0, 0] = math.nan
    exercise = example(lambda x, n: 5, (x, [1, 2]))
    verdict = grade_source(runner, exercise, f"def f(x, n):\n    {CHANGED[how]}\n    return 5\n")
    assert "changed its argument" in judged(verdict)
    assert grade_source(runner, exercise, "def f(x, n):\n    return 5\n").status == PASSED


def test_the_sign_of_zero_is_no_change_of_an_argument_beside_nan(runner):
    exercise = example(lambda x, n: 5, (torch.tensor([math.nan, 0.0]), [1]))
    source = "def f(x, n):\n    x[1] = -0.0\n    return 5\n"
    assert grade_source(runner, exercise, source).status == PASSED


def fails(*args: object) -> None:
    raise ZeroDivisionError("of the grader's own \ud800")


@pytest.mark.parametrize("part", ["oracle", "accepts", "cases"])
def test_a_fault_of_the_grader_costs_its_exercise_alone(runner, part):
    broken = replace(SLOPE, **{part: fails})
    right = b"import torch\n\ndef tanh_slope(x):\n    return 1 - torch.tanh(x) ** 2\n"
    submission = Submission("ada", {SLOPE.chapter: right}, {})
    verdict, other = grade(submission, runner, [broken, SLOPE]).verdicts
    assert verdict.status == FAILED
    assert verdict.problem == (
        r"the grader could not judge this: ZeroDivisionError: of the grader's own \ud800; "
        "tell your instructor"
    )
    assert other.status == PASSED


def test_ctrl_c_is_no_verdict():
    def interrupts(*args):
        raise KeyboardInterrupt

    exercise = example(interrupts)
    with pytest.raises(KeyboardInterrupt):
        judge(exercise, answered(exercise, 1))


def test_what_a_class_shares_is_worked_out_once_and_mistakes_on_wrong_answers_alone(monkeypatch):
    asked = []

    def oracle(x, n):
        asked.append("oracle")
        x.zero_()  # it has arguments of its own
        return 2 * n

    def mistake(x, n):
        asked.append("mistake")
        return n

    monkeypatch.setattr("mlpinit.grading.drawn.relatives", lambda oracle: asked.append("general"))
    exercise = replace(example(oracle), mistakes=(Mistake("this is n", mistake),))
    right, wrong = answered(exercise, 8), answered(exercise, 4)
    for _ in range(3):
        assert judge(exercise, right).status == PASSED
    n = len(drawn(exercise, None).cases)
    assert asked == ["oracle"] * n
    for _ in range(3):
        assert judge(exercise, wrong).diagnosis == "this is n"
    assert asked == ["oracle"] * n + ["mistake"], "of the first case, which decides"
    assert torch.equal(drawn(exercise, None).cases[0].args[0], torch.ones(2, 3))


def test_a_mistake_that_writes_into_its_arguments_spoils_no_other():
    def spoils(x, n):
        x.zero_()

    def right(x, n):
        return 2.0 * n

    mistakes = (Mistake("spoils", spoils), Mistake("the sum of x", lambda x, n: x.sum().item()))
    exercise = replace(example(right), mistakes=mistakes)
    assert judge(exercise, answered(exercise, 6.0)).diagnosis == "the sum of x"


def test_relatives_ask_the_oracle_once_for_one_case_and_again_for_another():
    asked = []

    def oracle(x):
        asked.append(x)
        return 2 * x.double()

    x, y = torch.ones(2, 3), torch.zeros(2, 3)
    wrong = dict(relatives(oracle))
    for relative in wrong.values():
        with contextlib.suppress(Exception):  # which cannot be told of it
            relative(x)
    assert len(asked) == 1
    more = wrong["this is 1 more than what is wanted"]
    assert torch.equal(more(y), torch.ones(2, 3).double())
    assert torch.equal(more(x), torch.full((2, 3), 3.0).double())


def test_relatives_leave_large_answers_alone():
    wrong = dict(relatives(lambda x: x.double()))
    more = wrong["this is 1 more than what is wanted"]
    assert more(torch.ones(500)) is not None
    assert all(relative(torch.ones(501)) is None for relative in wrong.values())


def test_another_seed_asks_other_cases_and_says_how_to_have_them():
    own, other = drawn(SLOPE, None).encoded, drawn(SLOPE, 5).encoded
    assert own[0] != other[0] == drawn(SLOPE, 5).encoded[0]
    text = as_text(judge(SLOPE, ending(), seed=5))
    assert 'replay: mlpinit.grading.inputs("6.1", 1, seed=5)' in text
