"""The cases: other ones for every seed, ties and ends among them, and no function with a memory."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from mlpinit.grading import wire
from mlpinit.grading.exercise import all_exercises, find
from mlpinit.grading.judge import FAILED, PASSED

_path = Path(__file__).with_name("survey.py")
_spec = importlib.util.spec_from_file_location("survey", _path)
survey = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(survey)

EXERCISES = all_exercises()
IDS = [e.key for e in EXERCISES]
RANGE = "8.2"  # any factor in a range is right, so one that is a little off may be


def status(exercise, answer, seed=None) -> str:
    """Whether it passes, without a search for what is wrong."""
    return survey.verdict(replace(exercise, mistakes=()), answer, seed).status


def encoded(exercise, seed=None) -> list[str]:
    return [wire.encode(case.args) for case in exercise.draw(seed)]


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_a_seed_gives_the_same_cases_again_and_another_seed_others(exercise):
    assert encoded(exercise, 3) == encoded(exercise, 3)
    assert len(encoded(exercise, 3)) == len(encoded(exercise))
    assert encoded(exercise, 3) != encoded(exercise, 4)


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_a_table_of_the_shown_answers_fails_under_another_seed(exercise):
    shown = [(wire.encode(c.args), exercise.oracle(*c.args)) for c in exercise.draw()]
    table, last = dict(shown), shown[-1][1]

    def looked_up(*args):
        return table.get(wire.encode(args), last)

    assert status(exercise, looked_up) == PASSED
    assert status(exercise, looked_up, 1) == FAILED


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_a_memory_an_argument_changed_and_0_1_per_cent_are_rejected(exercise):
    for name, answer in survey.derived(exercise).items():
        if exercise.id == RANGE and "0.1 %" in name:
            continue
        assert status(exercise, answer) == FAILED, name


BOUNDARIES = [
    (k / q, float(1 - (1 - Fraction(k, q)) ** n), n)
    for q in (2, 4, 8, 16, 32)
    for k in range(1, q)
    for n in range(1, 13)
    if (1 - Fraction(k, q)) ** n == 1 - Fraction(float(1 - (1 - Fraction(k, q)) ** n)) < 1
    and float(1 - (1 - Fraction(k, q)) ** n) < 1
]


def test_7_3_is_right_where_the_probability_is_met_exactly():
    exercise = find("7.3")
    solution = survey.solution(exercise)
    assert (0.25, 0.578125, 3) in BOUNDARIES
    for seed in (None, 1):
        assert (0.25, 0.578125) in [case.args for case in exercise.draw(seed)]
    for p, confidence, n in BOUNDARIES:
        assert exercise.oracle(p, confidence) == n
        assert solution(p, confidence) == n


def _killed(x, W, b, j, margin):
    after = b.clone()
    after[j] = -(x @ W[:, j]).max() - margin
    return after[j].item(), (x @ W + after < 0).all(0)


TIES = {
    "3.4": lambda x, Y, W1, b1, W2, b2: torch.autograd.functional.vjp(
        lambda *p: torch.nn.functional.cross_entropy(
            (x @ p[0] + p[1]).clamp(min=0) @ p[2] + p[3], Y
        ),
        (W1, b1, W2, b2),
    )[1],
    "7.1": lambda z, cut: tuple((z.tanh().abs() >= cut).double().mean(i) for i in (0, 1)),
    "7.2": lambda batches, cut: (torch.cat(batches).tanh().abs() >= cut).all(0),
    "7.3": lambda p, c: math.floor(math.log(1 - c) / math.log(1 - p)) + 1,
    "9.1": lambda z, dh, alpha: dh * torch.where(z >= 0, 1.0, alpha * z.clamp(max=0).exp()),
    "9.2": _killed,
    "16.1": lambda x, W, b, u, V, c: tuple(
        (x @ W + b < 0).all(0) & (p @ q + r > 0).any(0)
        for p, q, r in ((u, V, c), (u, W, b), (x, V, c))
    ),
}


@pytest.mark.parametrize("name", TIES)
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_the_other_side_of_a_tie_is_rejected(name, seed):
    assert status(find(name), TIES[name], seed) == FAILED
