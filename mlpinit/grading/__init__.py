"""Exercises that grade themselves: `check` in a notebook, pytest on a file, a command for a class.

A submission computes in a child process; the parent holds the inputs' right answers, the clock and
the verdict. What a submission does to its own process does not reach them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlpinit.grading.notebook import Shown

__all__ = ["check", "hint", "inputs"]

# The runner imports this package too: it must stay without the graders until they are asked for.


def check(exercise: str, function: Callable) -> Shown:
    """The verdict on `function` as an answer to the exercise, for a notebook cell to show.

    >>> check("6.1", lambda x: x)  # doctest: +ELLIPSIS
    6.1 ... failed...
    """
    from mlpinit.grading import notebook  # noqa: PLC0415

    return notebook.check(exercise, function)


def hint(exercise: str, number: int = 1) -> str:
    """Hint `number` (from 1) of the exercise, each giving away more than the one before."""
    from mlpinit.grading.exercise import find  # noqa: PLC0415

    hints = find(exercise).hints
    if not 1 <= number <= len(hints):
        raise ValueError(f"exercise {exercise} has hints 1 to {len(hints)}, not {number}")
    return hints[number - 1]


def inputs(exercise: str, case: int = 1, seed: int | None = None) -> tuple:
    """The arguments of one case (from 1) of an exercise, as in the message of a failure."""
    from mlpinit.grading import exercise as exercises  # noqa: PLC0415

    return exercises.inputs(exercise, case, seed)
