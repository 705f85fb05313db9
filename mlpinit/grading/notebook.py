"""`check` for a notebook: the function lives in the notebook, so a forked copy of it answers."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass

from mlpinit.grading import lazy
from mlpinit.grading.drawn import drawn
from mlpinit.grading.exercise import find
from mlpinit.grading.job import Ending
from mlpinit.grading.judge import Verdict, judge
from mlpinit.grading.runner import answers_of, watch_over
from mlpinit.grading.show import as_html, as_text

__all__ = ["Shown", "check"]


@dataclass(frozen=True)
class Shown:
    """A verdict that a notebook shows as HTML and a terminal as text."""

    verdict: Verdict

    def __repr__(self) -> str:
        """The verdict as text."""
        return as_text(self.verdict)

    def _repr_html_(self) -> str:
        return as_html(self.verdict)


def check(name: str, function: Callable) -> Shown:
    """The verdict on `function` as an answer to exercise `name`.

    The function answers in a fork of this process, which a loop without end or a crash costs
    nothing but the exercise. Where there is no fork (Windows) it runs here, without protection.
    """
    exercise = find(name)
    if not callable(function):
        raise TypeError(
            f"check takes a function, not {type(function).__name__}: "
            f'check("{exercise.id}", {exercise.function}), without calling it'
        )
    cases = drawn(exercise, None).encoded

    def answers():
        return answers_of(lambda: function, cases)

    if hasattr(os, "fork"):
        lazy.load(lazy.leading_to(_source(function)))
        ending = watch_over(answers, exercise.limits, confined=False)
    else:
        ending = Ending(list(answers()), "exit", 0, "", 0, 0.0, [])
    return Shown(judge(exercise, ending))


def _source(function: Callable) -> bytes:
    """The text of a function; nothing where Python does not have it."""
    try:
        return inspect.getsource(function).encode("utf-8", "replace")
    except (OSError, TypeError):
        return b""
