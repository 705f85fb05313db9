"""An exercise with its cases drawn, and what is known of them before any submission is met.

The cases as they travel, the right answers and those of the known mistakes are the same for a whole
class: they are worked out once.
"""

from __future__ import annotations

from functools import cache, cached_property, lru_cache

from torch import Tensor

from mlpinit.grading import wire
from mlpinit.grading.exercise import Case, Exercise

__all__ = ["Drawn", "copied", "drawn"]


class Drawn:
    """The cases of an exercise for one seed; None is the learner's.

    - `cases`: as the exercise draws them
    - `encoded`: their arguments as they are sent
    - `expected(i)`: the right answer to case i, from 0
    - `mistaken(i)`: what each known mistake makes of case i, after what is to be said of it
    """

    def __init__(self, exercise: Exercise, seed: int | None) -> None:
        """Draw the cases."""
        self.exercise, self.seed = exercise, seed
        self.cases: list[Case] = exercise.draw(seed)
        self.expected = cache(self._expected)
        self.mistaken = cache(self._mistaken)

    @cached_property
    def encoded(self) -> list[str]:
        """The arguments of each case as one line of JSON."""
        return [wire.encode(list(case.args)) for case in self.cases]

    def _expected(self, i: int) -> object:
        return self.exercise.oracle(*copied(self.cases[i].args))

    def _mistaken(self, i: int) -> list[tuple[str, object]]:
        """Without those that cannot be told on this case."""
        found = []
        for mistake in self.exercise.mistakes:
            try:
                wrong = mistake.wrong(*copied(self.cases[i].args))
            except Exception:
                continue
            if wrong is not None:
                found.append((mistake.says, wrong))
        return found


drawn = lru_cache(maxsize=256)(Drawn)


def copied(value: object) -> object:
    """Arguments that a function may write into without harm."""
    if isinstance(value, tuple | list):
        return type(value)(copied(v) for v in value)
    return value.clone() if isinstance(value, Tensor) else value
