"""What a failure says: each kind of wrong answer has its own message, in the promised order."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Generator

from mlpinit.grading import check, hint, inputs
from mlpinit.grading.exercise import Case, Exercise, Mistake, find
from mlpinit.grading.grade import grade_source
from mlpinit.grading.judge import FAILED, PASSED, TO_DO
from mlpinit.grading.show import as_html, as_text

SLOPE = find("6.1")


def grade(runner, body: str, before: str = ""):
    lines = "\n".join("    " + line for line in body.splitlines())
    source = f"import torch\n{before}\n\ndef tanh_slope(x):\n{lines}\n"
    return grade_source(runner, SLOPE, source)


RIGHT = "1 - torch.tanh(x) ** 2"
MESSAGES = {
    "None": ("1 - x", "it returned None", "return at the end"),
    "shape": (f"return ({RIGHT}).T", r"the shape is \(3, 2\), wanted \(2, 3\)", "transpose"),
    "flat": (f"return ({RIGHT}).flatten()", r"the shape is \(6,\), wanted", "as many as wanted"),
    "dtype": ("return x > 0", r"the dtype is bool \(true or false\), wanted floating", ""),
    "half": (f"return ({RIGHT}).half()", "too coarse", ""),
    "NaN": ("return x / 0 * 0", "there is NaN in the answer", "0/0"),
    "zeros": ("return x * 0", "not right", "nothing but zeros"),
    "sign": (f"return -({RIGHT})", "not right", "the sign is the wrong way round"),
    "factor": (f"return 3 * ({RIGHT})", "not right", "every entry is 3 times what is wanted"),
    "divided": (f"return ({RIGHT}) * x.shape[0]", "not right", "times too large"),
    "a list": ("return [1.0, 2.0]", "it returned 2 values, wanted a tensor", ""),
    "text": ("return 'one'", "it returned text, wanted a tensor", ""),
    "an object": ("return object()", "something of type object", ""),
    "mutated": (f"y = {RIGHT}\nx.zero_()\nreturn y", "changed its argument", "work on a copy"),
    "exception": ("return 1 / 0", "your code raised ZeroDivisionError in line 5", ""),
    "exit": ("raise SystemExit", "raised SystemExit in line 5", "answers with return"),
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_each_kind_of_wrong_answer_has_its_message(runner, kind):
    body, problem, diagnosis = MESSAGES[kind]
    verdict = grade(runner, body)
    assert verdict.status == FAILED
    assert re.search(problem, verdict.problem), as_text(verdict)
    assert diagnosis in as_text(verdict)


def test_a_failure_shows_input_expected_came_difference_diagnosis_in_this_order(runner):
    text = as_text(grade(runner, "return 1 - x**2"))
    headings = ["input", "expected", "came", "first differs", "diagnosis"]
    places = [text.index(f"\n  {heading}") for heading in headings]
    assert places == sorted(places)
    assert "x = [[" in text
    assert "at [0, 0]: expected" in text
    assert 'replay: mlpinit.grading.inputs("6.1", 1)' in text
    assert "1 − x² where 1 − tanh(x)² is meant" in text
    assert "Traceback" not in text
    assert "judge.py" not in text


def test_the_replayed_input_is_the_one_shown():
    (x,) = inputs("6.1", 1)
    assert torch.equal(x, SLOPE.draw()[0].args[0])
    with pytest.raises(ValueError, match="cases 1 to 6, not 9"):
        inputs("6.1", 9)


def test_an_exercise_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"no exercise '6.9'; there are 1.1"):
        find("6.9")


def test_hints_come_one_by_one():
    assert hint("6.1") == SLOPE.hints[0] != hint("6.1", 2)
    with pytest.raises(ValueError, match="hints 1 to 2, not 3"):
        hint("6.1", 3)


BROKEN = {
    "does not parse": ("def tanh_slope(x:\n", "raised SyntaxError in line 1"),
    "does not import": ("import no_such_module\n", "raised ModuleNotFoundError in line 1"),
    "lacks the name": ("def other(x): return x\n", "there is no function 'tanh_slope'"),
    "has something else of that name": ("tanh_slope = 3\n", "there is no function"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_file_is_said_to_be(runner, how):
    source, message = BROKEN[how]
    assert message in grade_source(runner, SLOPE, source).problem


def test_a_missing_name_costs_only_what_needs_it(runner):
    source = f"import torch\n\ndef tanh_slope(x):\n    return {RIGHT}\n"
    assert grade_source(runner, SLOPE, source).status == PASSED
    assert grade_source(runner, find("6.2"), source).status == FAILED


@pytest.mark.parametrize(
    ("function", "status"),
    [
        (lambda x: 1 - torch.tanh(x) ** 2, PASSED),
        (lambda x: 1 - x**2, FAILED),
    ],
)
def test_check_judges_a_function_of_the_notebook(function, status):
    shown = check("6.1", function)
    assert shown.verdict.status == status
    assert repr(shown) == as_text(shown.verdict)
    assert status in shown._repr_html_()


def test_check_in_a_notebook_survives_what_the_function_does():
    def to_do(x):
        raise NotImplementedError

    def hangs(x):
        while True:
            pass

    def leaves(x):
        import os

        os._exit(0)

    assert check("6.1", to_do).verdict.status == TO_DO
    assert "longer than" in check("6.1", hangs).verdict.problem
    assert "ended the process" in check("6.1", leaves).verdict.problem


def test_check_in_a_notebook_imports_beforehand_what_the_function_leads_to(monkeypatch):
    asked = []
    monkeypatch.setattr("mlpinit.grading.lazy.load", asked.extend)

    def by_autograd(x):
        x = x.detach().requires_grad_()
        torch.tanh(x).backward(torch.ones_like(x))
        return x.grad

    assert check("6.1", by_autograd).verdict.status == PASSED
    assert asked == ["torch.fx.experimental.symbolic_shapes"]
    assert check("6.1", len).verdict.status == FAILED, "whose text Python does not have"


def test_check_without_fork_runs_in_place(monkeypatch):
    monkeypatch.delattr("os.fork")
    assert check("6.1", lambda x: 1 - torch.tanh(x) ** 2).verdict.status == PASSED


def test_check_takes_a_function():
    with pytest.raises(TypeError, match="check takes a function, not Tensor"):
        check("6.1", torch.zeros(1))


def test_html_is_escaped(runner):
    verdict = grade(runner, "raise ValueError('<script>alert(1)</script>')")
    assert "<script>" not in as_html(verdict)
    assert "&lt;script&gt;" in as_html(verdict)


def example(oracle, cases, **changes) -> Exercise:
    fields = {
        "id": "6.9",
        "title": "An example",
        "function": "f",
        "points": 1,
        "cases": cases,
        "oracle": oracle,
        "mistakes": (),
        "hints": ("a", "b"),
        "teaches": "c",
    }
    return Exercise(**fields | changes)


def several(g: Generator) -> list[Case]:
    return [Case((torch.randn(4, 3, generator=g), n)) for n in (2, 5, 7)]


ANSWERS = [
    (lambda x, n: (x.sum(), n), "return x.sum(), n", None),
    (lambda x, n: (x.sum(), n), "return [x.sum(), n]", None),
    (lambda x, n: (x.sum(), n), "return x.sum()", "wanted 2 values"),
    (lambda x, n: (x.sum(), n), "return x.sum(), n, n", "it returned 3 values, wanted 2"),
    (lambda x, n: (x.sum(), n), "return x.sum(), n + 1", "not right"),
    (lambda x, n: (x.sum(), n), "return x.sum(0), n", "the shape is"),
    (lambda x, n: 2 * n, "return 2 * n", None),
    (lambda x, n: 2 * n, "return float(2 * n)", "it returned a Python float"),
    (lambda x, n: 2 * n + 0.5, "return 2 * n + 0.5", None),
    (lambda x, n: float(n), "return n", None),
    (lambda x, n: x > 0, "return x > 0", None),
    (lambda x, n: x > 0, "return x <= 0", "not right"),
    (lambda x, n: x > 0, "return (x > 0).float()", "the dtype is"),
    (lambda x, n: "a" * n, "return 'a' * n", None),
    (lambda x, n: "a" * n, "return 'b' * n", "not right"),
    (lambda x, n: "a" * n, "return n", "wanted text"),
    (lambda x, n: x[:, :2].double(), "return x[:, :2].numpy()", None),
    (lambda x, n: x.double() * float("nan"), "return x * float('nan')", None),
    (lambda x, n: x.double(), "return x.T", "the shape is"),
]


@pytest.mark.parametrize(("oracle", "body", "problem"), ANSWERS)
def test_answers_of_every_kind(runner, oracle, body, problem):
    source = f"def f(x, n):\n    {body}\n"
    verdict = grade_source(runner, example(oracle, several), source)
    if problem is None:
        assert verdict.status == PASSED, as_text(verdict)
    else:
        assert problem in verdict.problem, as_text(verdict)


def test_a_question_with_many_answers_says_what_is_wrong_with_one(runner):
    def accepts(args, answer):
        return None if answer > args[1] else f"{answer} is not above {args[1]}"

    exercise = example(lambda x, n: n + 1.0, several, accepts=accepts)
    assert grade_source(runner, exercise, "def f(x, n): return n + 3.5").status == PASSED
    verdict = grade_source(runner, exercise, "def f(x, n): return 1.5")
    assert verdict.problem == "1.5 is not above 2"


def test_a_mistake_that_cannot_be_told_from_the_input_is_passed_over(runner):
    def fails(x, n):
        raise ZeroDivisionError

    mistakes = (
        Mistake("never", fails),
        Mistake("nothing", lambda x, n: None),
        Mistake("this is n", lambda x, n: n),
    )
    exercise = example(lambda x, n: 2 * n, several, mistakes=mistakes)
    assert grade_source(runner, exercise, "def f(x, n): return n").diagnosis == "this is n"


def test_an_answer_that_a_later_call_changes_is_not_right(runner):
    source = "kept = {}\n\ndef f(x, n):\n    if n not in kept: kept[n] = x.clone()\n"
    source += "    return kept[n].copy_(2 * x)\n"
    exercise = example(lambda x, n: 2 * x.double(), several)
    verdict = grade_source(runner, exercise, source)
    assert verdict.status == FAILED
    assert verdict.problem == "the answer to case 4 changed when the function was called again"
    assert "gives back the same tensor each time" in verdict.diagnosis
    for forged in ('{"kind": "changed", "case": [9]}', '{"kind": "changed", "case": 10}'):
        source = "import os\n\ndef f(x, n):\n    f.n += 1\n    if f.n == 5:\n"
        source += f"        os.write(3, b'{forged}\\n')\n    return 2 * x\n\nf.n = 0\n"
        assert grade_source(runner, exercise, source).status == FAILED


def test_a_square_transpose_is_recognised(runner):
    def square(g):
        return [Case((torch.randn(3, 3, generator=g), 0))]

    exercise = example(lambda x, n: x.double(), square)
    assert "transpose" in grade_source(runner, exercise, "def f(x, n): return x.T").diagnosis
