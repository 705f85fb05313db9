"""An exercise with its cases drawn, and what is known of them before any submission is met.

The cases as they travel, the right answers and those of the known mistakes are the same for a whole
class: they are worked out once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, cached_property, lru_cache

from torch import Tensor

from mlpinit.grading import wire
from mlpinit.grading.exercise import Case, Exercise, Mistake
from mlpinit.grading.relatives import relatives

__all__ = ["Drawn", "copied", "drawn"]


class Drawn:
    """The cases of an exercise for one seed; None is the learner's.

    - `cases`: as the exercise draws them
    - `encoded`: their arguments as they are sent
    - `expected(i)`: the right answer to case i, from 0
    - `mistaken(i)`: what each known mistake makes of case i, with what is to be said of it first
    """

    def __init__(self, exercise: Exercise, seed: int | None) -> None:
        """Draw the cases."""
        self.exercise, self.seed = exercise, seed
        self.cases: list[Case] = exercise.draw(seed)
        self.expected = cache(self._expected)
        self._shared = cache(lambda i: copied(self.cases[i].args))
        self._mistakes: dict[int, dict[int, object | None]] = {}

    @cached_property
    def encoded(self) -> list[str]:
        """The arguments of each case as one line of JSON."""
        return [wire.encode(list(case.args)) for case in self.cases]

    def _expected(self, i: int) -> object:
        return self.exercise.oracle(*copied(self.cases[i].args))

    def mistaken(self, i: int) -> Iterator[tuple[str, object]]:
        """Work out no more of them than are asked for; those that cannot be told are left out."""
        known = self._mistakes.setdefault(i, {})
        for place, mistake in enumerate(self._every_mistake()):
            if place not in known:
                known[place] = self._wrong(mistake, i)
            if known[place] is not None:
                yield mistake.says, known[place]

    def _every_mistake(self) -> Iterator[Mistake]:
        yield from self.exercise.mistakes
        yield from self._general

    @cached_property
    def _general(self) -> list[Mistake]:
        """Hundreds, made only when an answer is wrong in none of its exercise's own ways."""
        found = relatives(self.exercise.oracle)
        return [Mistake(says, wrong, pure=True) for says, wrong in found]

    def _wrong(self, mistake: Mistake, i: int) -> object | None:
        args = self._shared(i) if mistake.pure else copied(self.cases[i].args)
        try:
            return mistake.wrong(*args)
        except Exception:
            return None


drawn = lru_cache(maxsize=256)(Drawn)


def copied(value: object) -> object:
    """Arguments that a function may write into without harm."""
    if isinstance(value, tuple | list):
        return type(value)(copied(v) for v in value)
    return value.clone() if isinstance(value, Tensor) else value
