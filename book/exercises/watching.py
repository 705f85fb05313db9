"""Chapter 14, Watching your own network: fill in, then `make check EX=14`."""

from torch import Tensor

Figures = tuple[int, Tensor, Tensor]
"""How many rows, and for every unit their mean and M2, each (units,)."""


def rest_of(whole: Figures, part: Figures) -> Figures:
    """14.1 The figures of the rows that are in `whole` and not in `part`.

    whole, part: (n, mean, M2) with n rows, mean (units,), and M2 (units,), the sum of the squared
    deviations from that mean. All rows of `part` are rows of `whole`, and `whole` has more.
    Returns the same three of the other rows.
    """
    raise NotImplementedError


def channel_evidence(batches: list[Tensor], confidence: float) -> tuple[Tensor, float]:
    """14.2 On how many examples each channel is live, and what it means if there is none.

    batches: at least one tensor (N, C, H, W) of pre-activations of one ReLU layer; N, H and W
    differ from batch to batch. A channel is live on an example where its slope is not 0 at one
    position or more. Returns (live_examples (C,) int64, bound): the bound, between 0 and 1, is the
    largest rate of live examples under which a channel shows none in so many independent ones with
    a probability of at least 1 − confidence.
    """
    raise NotImplementedError


def changes(live: Tensor, n: Tensor, enough: int) -> tuple[Tensor, Tensor, Tensor]:
    """14.3 How often each unit was born, died and revived, from window to window.

    live: (windows, units) int64, on how many examples of the window the unit was live. n:
    (windows,) int64, how many examples the window had. One live example makes a unit live. None
    makes it dead if the window had at least `enough` examples, and else leaves it what it was,
    which before its first verdict is nothing. A death is a live unit that is found dead; a revival
    one that had been live, is dead, and is found live; a birth one that was dead from its first
    verdict and is found live. Returns (births, deaths, revivals), each (units,) int64.
    """
    raise NotImplementedError
