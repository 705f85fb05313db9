"""What an exercise is: its question, its inputs, its right answer, and the mistakes it knows."""

from __future__ import annotations

import copy
import hashlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Generator

from mlpinit.grading.sandbox import Limits

__all__ = ["CHAPTERS", "Case", "Draw", "Exercise", "Mistake", "all_exercises", "find", "inputs"]

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
    "growing",
    "gates_and_attention",
    "dead_features",
    "moving_data",
    "wild",
)
"""The chapters in their order; each is the name of a file of stubs, solutions and graders."""


class Draw(Generator):
    """Where cases take their numbers from: the learner's own, or others of the same kind.

    A generator, for tensors, that also answers for the numbers which are written down: those stand
    as they are in the cases that a learner is shown, and are drawn afresh in every other draw, so
    that a table of the shown answers is worth nothing there.
    """

    shown = False

    @classmethod
    def of(cls, exercise: str, seed: object = None) -> Draw:
        """The draw of an exercise, by its number: the learner's own where `seed` is None."""
        g = cls()
        g.shown = seed is None
        chapter, place = map(int, exercise.split("."))
        digest = hashlib.sha256(f"{exercise} {seed}".encode()).digest()
        g.manual_seed(1000 * chapter + place if g.shown else int.from_bytes(digest[:7], "big"))
        return g

    def real(self, own: float, low: float, high: float) -> float:
        """`own` where the learner sees it, else a number from low to high, of four digits."""
        if self.shown:
            return own
        part = torch.rand((), generator=self, dtype=torch.float64).item()
        return float(f"{low + (high - low) * part:.4g}")

    def whole(self, own: int, low: int, high: int) -> int:
        """`own` where the learner sees it, else a whole number from low to high, both included."""
        return own if self.shown else int(torch.randint(low, high + 1, (), generator=self))


@dataclass(frozen=True)
class Case:
    """One list of arguments. `what` says in a few words what is particular about it."""

    args: tuple
    what: str = ""


@dataclass(frozen=True)
class Mistake:
    """A known mistake: `wrong(*args)` is the answer it gives, `says` what it is and what to do.

    `wrong` may return None, or raise, for inputs on which the mistake cannot be told. One that is
    `pure` leaves its arguments as they are, so that several can be given the same.
    """

    says: str
    wrong: Callable[..., object]
    pure: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Exercise:
    """One exercise. `id` is '6.2': the chapter's number and the place in it.

    - `function`: the name of the function the learner writes, in the chapter's file
    - `cases(g)`: the inputs, from a `Draw`: the first small enough to print; together asymmetric in
      shape, several, and some of them extreme
    - `oracle(*args)`: the right answer, in float64, by another way than the reference solution
    - `rtol`, `atol`: how close an answer must come, entry by entry
    - `mistakes`: tried in order on a wrong answer, before those that any exercise can meet
    - `slips`: mistakes that end in an error, told by raising the same one from the same inputs
    - `accepts(args, answer)`: for a question with many right answers: None, or what is wrong
    - `rebuilt`: the first case whose answer is another in every draw
    - `hints`: at least two, each giving away more than the one before
    """

    id: str
    title: str
    function: str
    points: int
    cases: Callable[[Draw], list[Case]]
    oracle: Callable[..., object]
    mistakes: tuple[Mistake, ...]
    hints: tuple[str, ...]
    teaches: str
    rtol: float = 1e-4
    atol: float = 1e-6
    slips: tuple[Mistake, ...] = ()
    accepts: Callable[[tuple, object], str | None] | None = None
    rebuilt: int = 1
    limits: Limits = field(default_factory=Limits)

    @property
    def chapter(self) -> str:
        """The name of the chapter's files."""
        return CHAPTERS[int(self.id.split(".")[0]) - 1]

    @property
    def key(self) -> str:
        """What pytest's -k finds it by: number, chapter and function."""
        return f"{self.id}-{self.chapter}-{self.function}"

    def draw(self, seed: int | None = None) -> list[Case]:
        """The cases, the same at every call with the same seed, with arguments of their own.

        None gives those that the learner is shown; a whole number others of the same kinds, where
        only what is written down for its own sake (ties, ends, empty lists) is the same. The last
        two are for functions that keep something from call to call: a case that has been, with
        other numbers in the same shapes, and the first case once more.
        """
        cases = self.cases(Draw.of(self.id, seed))
        others = self.cases(Draw.of(self.id, f"another than {seed}"))
        again = copy.deepcopy(cases[0].args)
        return [
            *cases,
            Case(
                others[self.rebuilt - 1].args, f"built as case {self.rebuilt}, with other numbers"
            ),
            Case(again, "case 1 once more: nothing may be left over from earlier calls"),
        ]


@cache
def all_exercises() -> tuple[Exercise, ...]:
    """Every exercise there is, in the book's order."""
    names = (f"mlpinit.grading.exercises.{chapter}" for chapter in CHAPTERS)
    return tuple(e for name in names for e in importlib.import_module(name).EXERCISES)


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
