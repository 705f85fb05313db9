"""The same experiment from other draws: within `redrawn(k)`, every seed is another one.

An experiment that names its seeds (`torch.Generator().manual_seed(2147483647)`) is one experiment.
To see whether what it shows is the luck of those draws, it is run again with each seed moved by
the same amount: what shared a seed shares one still, so paired comparisons stay paired.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

__all__ = ["APART", "current", "redrawn"]

APART = 1_000_003
"""How far seeds are moved each time; more than the distance of two seeds of one experiment."""

_times: ContextVar[int] = ContextVar("times", default=0)


class _Moved(torch.Generator):
    """A generator whose seeds are moved."""

    def manual_seed(self, seed: int) -> torch.Generator:
        super().manual_seed(seed + APART * current())
        return self


def current() -> int:
    """By how many steps of `APART` seeds are moved; 0 where they are not."""
    return _times.get()


@contextmanager
def redrawn(times: int) -> Iterator[None]:
    """Move the seed of `torch.manual_seed` and of each `torch.Generator()` made within.

    The training, dev and test set are dealt by a generator of Python's own, and stay. 0 is the
    experiment as it is written.

    >>> with redrawn(2):
    ...     torch.Generator().manual_seed(1).initial_seed()
    2000007
    """
    generator, seed_all, token = torch.Generator, torch.manual_seed, _times.set(times)
    if times:
        torch.Generator = _Moved
        torch.manual_seed = lambda seed: seed_all(seed + APART * times)
    try:
        yield
    finally:
        torch.Generator, torch.manual_seed = generator, seed_all
        _times.reset(token)
