"""Sums over the latest examples: those of the present window and of the one before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Rolling"]

Sums = TypeVar("Sums")


class Rolling(Generic[Sums]):
    """What adds up to a figure, of the present window of examples and the last full one.

    - `sums`: both windows together, None before the first; `steps`: their first and last step
    """

    def __init__(self, window: int, plus: Callable[[Sums, Sums], Sums]) -> None:
        """`window`: examples in a window; `plus`: puts the sums of two stretches together."""
        self.window, self.plus = window, plus
        self.now: Sums | None = None
        self.before: Sums | None = None
        self.examples = self.began = self.started = self.last = 0

    def add(self, sums: Sums, *, examples: int, step: int) -> None:
        """Count one call; once a window is full, the next begins."""
        if self.examples >= self.window:
            self.before, self.began = self.now, self.started
            self.now, self.examples = None, 0
        if self.now is None:
            self.now, self.started = sums, step
        else:
            self.now = self.plus(self.now, sums)
        self.examples, self.last = self.examples + examples, step

    @property
    def sums(self) -> Sums | None:
        """Of both windows."""
        if self.now is None or self.before is None:
            return self.now
        return self.plus(self.before, self.now)

    @property
    def steps(self) -> tuple[int, int]:
        """The first and the last forward pass that `sums` holds."""
        return self.started if self.before is None else self.began, self.last
