"""The runner's own parts, in this process; what its children do is in test_trust."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch

import mlpinit
from mlpinit.grading import runner, sandbox, wire
from mlpinit.grading.client import Runner
from mlpinit.grading.job import Job
from mlpinit.grading.sandbox import Limits


def answers(function, *cases):
    lines = runner.answers_of(lambda: function, [wire.encode(list(c)) for c in cases])
    return [json.loads(line) for line in lines]


def test_an_answer_holds_the_value_and_the_arguments_afterwards():
    def f(x, n):
        x.mul_(2)
        return n + 1

    (answer,) = answers(f, (torch.ones(2, 3), 4))
    assert answer["kind"] == "value"
    assert wire.decode(answer["value"]) == 5
    after, n = wire.decode(answer["args"])
    assert torch.equal(after, 2 * torch.ones(2, 3))
    assert n == 4


def test_an_exception_ends_its_case_alone():
    def f(n):
        if n == 1:
            raise NotImplementedError
        return 1 / n

    kinds = [answer["kind"] for answer in answers(f, (0,), (1,), (2,))]
    assert kinds == ["error", "todo", "value"]


def test_an_exception_that_cannot_be_printed_is_named():
    class MuteError(Exception):
        def __str__(self):
            raise ValueError

    def f():
        raise MuteError

    (answer,) = answers(f, ())
    assert (answer["type"], answer["message"]) == ("MuteError", "")


SOURCE = "from mlpinit.grading import check\ncheck(1)\n\ndef double(x):\n    return 2 * x\n"


@pytest.mark.parametrize(
    ("source", "kind", "line"),
    [
        (SOURCE, "value", None),
        ("def double(x:\n", "import", 1),
        ("\n\n1 / 0\n", "import", 3),
        ("x = 1\n", "missing", None),
    ],
)
def test_a_submission_is_loaded_as_a_module_of_its_own(source, kind, line):
    job = Job(source, "corpus.py", "double", [wire.encode([3])], Limits())
    with mock.patch.dict(sys.modules):
        (answer,) = map(json.loads, runner.answers_of(lambda: runner._load(job), job.cases))
    assert answer["kind"] == kind
    assert answer.get("line") == line
    assert "submission" not in sys.modules


def test_what_is_readable_leaves_out_the_graders_and_keeps_the_rest_of_the_package():
    package = Path(mlpinit.__file__).resolve().parent
    paths = list(sandbox._readable())
    assert package / "mlp.py" in paths
    assert not any((package / "grading").is_relative_to(path) for path in paths)


def test_a_package_among_others_is_gone_around(tmp_path):
    hidden = tmp_path / "site" / "mlpinit"
    hidden.mkdir(parents=True)
    (tmp_path / "site" / "other").mkdir()
    (tmp_path / "bin").mkdir()
    around = sorted(p.name for p in sandbox._around(tmp_path, hidden))
    assert around == ["bin", "other"]
    assert list(sandbox._around(tmp_path / "bin", hidden)) == [tmp_path / "bin"]


def test_the_address_space_is_measured_where_the_system_tells(monkeypatch):
    assert sandbox._address_space() > 2**20
    monkeypatch.setattr(Path, "read_text", mock.Mock(side_effect=FileNotFoundError))
    assert sandbox._address_space() == 2**34


@pytest.mark.parametrize("machine", sandbox._MACHINES)
def test_the_filter_is_whole_instructions_that_end_in_leave(machine, monkeypatch):
    monkeypatch.setattr(sandbox.platform, "machine", lambda: machine)
    code = sandbox._filter()
    assert len(code) % 8 == 0
    assert code[-8:] == b"\x06\0\0\0\0\0\xff\x7f"


def test_a_runner_that_does_not_start_is_an_error(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with Runner() as broken, pytest.raises(RuntimeError, match="does not start"):
        broken.run(Job("", "", "f", [], Limits()))


def test_a_runner_that_goes_silent_is_given_up(monkeypatch):
    monkeypatch.setattr("mlpinit.grading.client.GRACE", -100.0)
    with Runner() as process:
        assert process.run(Job("", "f.py", "f", [], Limits())).how == "lost"
