"""What an exercise is: its question, its inputs, its right answer, and the mistakes it knows."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Generator

from mlpinit.grading.sandbox import Limits

__all__ = ["CHAPTERS", "Case", "Exercise", "Mistake", "all_exercises", "find", "inputs"]

CHAPTERS = (
    "corpus",
    "forward",
    "backward",
    "training",
    "softmax",
    "tanh_derivative",
    "saturated_or_dead",
    "shrinking",
    "other_activations",
    "gain",
    "batch_normalisation",
    "depth",
    "ladder",
    "watching",
    "removing",
    "bringing_back",
    "case_study",
)
"""The chapters in their order; each is the name of a file of stubs, solutions and graders."""


@dataclass(frozen=True)
class Case:
    """One list of arguments. `what` says in a few words what is particular about it."""

    args: tuple
    what: str = ""


@dataclass(frozen=True)
class Mistake:
    """A known mistake: `wrong(*args)` is the answer it gives, `says` what it is and what to do.

    `wrong` may return None, or raise, for inputs on which the mistake cannot be told.
    """

    says: str
    wrong: Callable[..., object]


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """One exercise. `id` is '6.2': the chapter's number and the place in it.

    - `function`: the name of the function the learner writes, in the chapter's file
    - `cases(g)`: the inputs, drawn from a generator seeded with the exercise's `seed`: the first
      small enough to print; together asymmetric in shape, several, and some of them extreme
    - `oracle(*args)`: the right answer, in float64, by another way than the reference solution
    - `rtol`, `atol`: how close an answer must come, entry by entry
    - `mistakes`: tried in order on a wrong answer
    - `accepts(args, answer)`: for a question with many right answers: None, or what is wrong
    - `hints`: at least two, each giving away more than the one before
    """

    id: str
    title: str
    function: str
    points: int
    cases: Callable[[Generator], list[Case]]
    oracle: Callable[..., object]
    mistakes: tuple[Mistake, ...]
    hints: tuple[str, ...]
    teaches: str
    rtol: float = 1e-4
    atol: float = 1e-6
    accepts: Callable[[tuple, object], str | None] | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def chapter(self) -> str:
        """The name of the chapter's files."""
        return CHAPTERS[int(self.id.split(".")[0]) - 1]

    @property
    def key(self) -> str:
        """What pytest's -k finds it by: number, chapter and function."""
        return f"{self.id}-{self.chapter}-{self.function}"

    @property
    def seed(self) -> int:
        """The seed of its inputs."""
        chapter, place = map(int, self.id.split("."))
        return 1000 * chapter + place

    def draw(self, seed: int | None = None) -> list[Case]:
        """The cases, the same at every call with the same seed, with arguments of their own.

        None gives those that the learner is shown.
        """
        more = 0 if seed is None else 2**20 * (seed + 1)
        return self.cases(torch.Generator().manual_seed(self.seed + more))


@cache
def all_exercises() -> tuple[Exercise, ...]:
    """Every exercise there is, in the book's order."""
    found = []
    for chapter in CHAPTERS:
        module = importlib.import_module(f"mlpinit.grading.exercises.{chapter}")
        found += module.EXERCISES
    return tuple(found)


def find(name: str) -> Exercise:
    """The exercise of that number or function name; `ValueError` names the nearest there are."""
    exercises = all_exercises()
    for exercise in exercises:
        if name in (exercise.id, exercise.function):
            return exercise
    known = ", ".join(e.id for e in exercises)
    raise ValueError(f"there is no exercise {name!r}; there are {known}")


def inputs(name: str, case: int = 1, seed: int | None = None) -> tuple:
    """The arguments of case number `case` (from 1) of an exercise, to replay a failure with.

    `seed` is the one that the failure names, where it names one.
    """
    cases = find(name).draw(seed)
    if not 1 <= case <= len(cases):
        raise ValueError(f"exercise {name} has cases 1 to {len(cases)}, not {case}")
    return cases[case - 1].args
