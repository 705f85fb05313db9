"""The child's own part: a file is loaded as Python loads it, and what comes of it is said."""

from __future__ import annotations

import json
import sys
from unittest import mock

import pytest
import torch

from mlpinit.grading import answers, wire
from mlpinit.grading.client import _inputs
from mlpinit.grading.exercise import inputs
from mlpinit.grading.job import Job
from mlpinit.grading.sandbox import Limits


def answered(function, *cases):
    lines = answers.answers_of(lambda: function, [wire.encode(list(c)) for c in cases])
    return [json.loads(line) for line in lines]


def test_an_answer_holds_the_value_and_the_arguments_afterwards():
    def f(x, n):
        x.mul_(2)
        return n + 1

    (answer,) = answered(f, (torch.ones(2, 3), 4))
    assert answer["kind"] == "value"
    assert wire.decode(answer["value"]) == 5
    after, n = wire.decode(answer["args"])
    assert torch.equal(after, 2 * torch.ones(2, 3))
    assert n == 4


def test_an_answer_that_a_later_call_writes_into_is_told():
    kept = {}

    def overwrites(x):
        return kept.setdefault(x.shape, torch.empty_like(x)).copy_(2 * x)

    x, y = torch.ones(2, 3), torch.zeros(3)
    *answers, last = answered(overwrites, (y,), (x,), (x,), (3 * x,))
    assert [answer["kind"] for answer in answers] == ["value"] * 4
    assert last == {"kind": "changed", "case": 1}
    assert len(answered(lambda x: 2 * x, (y,), (x,), (3 * x,))) == 3
    assert len(answered(lambda x: (x, [1], float("nan")), (x,), (3 * x,))) == 2


def test_an_exception_ends_its_case_alone():
    def f(n):
        if n == 1:
            raise NotImplementedError
        return 1 / n

    kinds = [answer["kind"] for answer in answered(f, (0,), (1,), (2,))]
    assert kinds == ["error", "todo", "value"]


class Unfinished(torch.nn.Module):
    """Lacks a `forward`, for which torch raises NotImplementedError."""


def raises(*args):
    raise NotImplementedError


NOT_IMPLEMENTED = {
    "said by the learner": (lambda x: raises(), "todo"),
    "said under torch": (torch.no_grad()(raises), "todo"),
    "of torch, in Python": (Unfinished(), "error"),
    "of torch, in C++": (lambda x: torch.softmax(x, 0), "error"),
    "of torch, called by torch": (torch.softmax, "error"),
}


@pytest.mark.parametrize("where", NOT_IMPLEMENTED)
def test_only_the_learner_says_that_something_is_to_do(where):
    function, kind = NOT_IMPLEMENTED[where]
    args = (torch.ones(2, dtype=torch.int64),) + (0,) * (function is torch.softmax)
    (answer,) = answered(function, args)
    assert answer["kind"] == kind
    assert kind == "todo" or answer["type"] == "NotImplementedError"


def test_an_exception_that_cannot_be_printed_is_named():
    class MuteError(Exception):
        def __str__(self):
            raise ValueError

    def f():
        raise MuteError

    (answer,) = answered(f, ())
    assert (answer["type"], answer["message"]) == ("MuteError", "")


def test_an_exception_that_forges_its_line_or_its_letters_is_still_data():
    def forged():
        raise SyntaxError("no", ("f.py", object(), 1, 7))

    def surrogate():
        raise ValueError("R\udce9sum\udce9 \uffff")

    (answer,) = answered(forged, ())
    assert (answer["line"], answer["text"]) == (None, "")
    (answer,) = answered(surrogate, ())
    assert answer["message"] == "R\udce9sum\udce9 \uffff"
    (line,) = answers.answers_of(lambda: surrogate, [wire.encode([])])
    assert line.isascii(), "it can be written in any coding"


def load(source: bytes | str, function: str = "double", filename: str = "corpus.py") -> dict:
    """What a submission of this text answers to 3."""
    inputs = _inputs(source if isinstance(source, bytes) else source.encode())
    job = Job(source, filename, function, [wire.encode([3])], Limits(), inputs=inputs)
    import mlpinit.grading as package

    with mock.patch.dict(sys.modules), mock.patch("mlpinit.grading", package):
        (answer,) = map(
            json.loads, answers.answers_of(lambda: answers.load(job, answers.graders()), job.cases)
        )
    return answer


@pytest.fixture(autouse=True)
def _a_folder_to_be_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


DOUBLE = "def double(x):\n    return 2 * x\n"
FOUND = {
    "as text": DOUBLE,
    "with a byte order mark": b"\xef\xbb\xbf" + DOUBLE.encode(),
    "with \\r\\n": DOUBLE.replace("\n", "\r\n").encode(),
    "with \\r": DOUBLE.replace("\n", "\r").encode(),
    "in latin-1": b"# -*- coding: latin-1 -*-\nname = '\xe9'\nassert ord(name) == 0xE9\n"
    + DOUBLE.encode(),
    "with a form feed": "\f\n" + DOUBLE,
    "with U+2028 in a string": "a = '\u2028'\nassert len(a) == 1\n" + DOUBLE,
    "with check": "from mlpinit.grading import check, hint, inputs\ncheck('6.1', print)\n" + DOUBLE,
    "with check by the package": "import mlpinit.grading as g\ng.check('1', print)\n" + DOUBLE,
    "with check by way of the parent": "from mlpinit import grading\ngrading.check(1)\n" + DOUBLE,
    "with inputs": (
        "from mlpinit.grading import inputs\n(x,) = inputs('6.1')\nassert x.shape == (2, 3)\n"
        + DOUBLE
    ),
    "with a dataclass": (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        "@dataclass\nclass Pair:\n    a: int = 1\n    b: float = 2.0\n\n" + DOUBLE
    ),
    "with itself": "import pathlib\nassert 'double' in pathlib.Path(__file__).read_text()\n"
    + DOUBLE,
    "with its own source": DOUBLE + "import inspect\nassert '2 * x' in inspect.getsource(double)\n",
    "with annotations": "def other(x: int) -> float: ...\n"
    "assert other.__annotations__ == {'x': int, 'return': float}\n" + DOUBLE,
    "with a script": DOUBLE + "if __name__ == '__main__':\n    1 / 0\n",
    "with its name": "assert __name__ == 'corpus'\n" + DOUBLE,
    "with a pickle": DOUBLE
    + "import pickle\nassert pickle.loads(pickle.dumps(double)) is double\n",
}


@pytest.mark.parametrize("source", FOUND.values(), ids=FOUND)
def test_a_file_is_loaded_as_python_loads_it(source):
    answer = load(source)
    assert answer["kind"] == "value", answer
    assert wire.decode(answer["value"]) == 6


REFUSED = {
    "a syntax error": ("def double(x:\n", "import", "SyntaxError", 1),
    "an error": ("\n\n1 / 0\n", "import", "ZeroDivisionError", 3),
    "no such function": ("x = 1\n", "missing", "_MissingError", None),
    "not a function": ("double = 2\n", "missing", "_MissingError", None),
    "an annotation of nothing": ("def double(x: Tensor): ...\n", "import", "NameError", 1),
    "an unknown coding": (b"# coding: klingon\n", "import", "SyntaxError", None),
    "not its coding": (b"a = 'r\xe9sum\xe9'\n", "import", "SyntaxError", None),
    "inputs of no exercise": (
        "from mlpinit.grading import inputs\ninputs('99.1')\n",
        "import",
        "ValueError",
        2,
    ),
    "inputs of no case": (
        "from mlpinit.grading import inputs\ninputs('6.1', 99)\n",
        "import",
        "ValueError",
        2,
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_file_that_python_refuses_is_refused(case):
    source, kind, name, line = case
    answer = load(source)
    assert (answer["kind"], answer["type"]) == (kind, name), answer
    assert line is None or answer["line"] == line


@pytest.mark.parametrize("before", ["\f\n", "a = '\u2028'\n", "a = '\x0b\x1c\x85'\n"])
def test_a_line_is_counted_as_python_counts_it(before):
    answer = load(before + "def double(x):\n    return x / 0\n")
    assert (answer["line"], answer["text"]) == (3, "return x / 0")


def test_inputs_are_those_of_the_learner():
    assert _inputs(b"inputs('6.1', 2)\ninputs( \"tanh_slope\" )\ninputs('no')").keys() == {
        "6.1",
        "tanh_slope",
    }
    (x,) = wire.decode(_inputs(b"inputs('6.1')")["6.1"][0])
    assert torch.equal(x, inputs("6.1")[0])
