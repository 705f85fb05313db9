"""Saturated, mostly saturated, dead, dormant: the words of the book as functions.

A *saturated entry* is one example of one unit. A *dead unit* is a statement about every example
there is. `census` counts both, exactly, over a whole data set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mlpinit import activations, mlp
from mlpinit.activations import Activation
from mlpinit.corpus import Contexts, distinct
from mlpinit.normalize import Statistics
from mlpinit.params import Params
from mlpinit.threads import one_thread

__all__ = [
    "CUT",
    "SLOPE_CUT",
    "LayerCensus",
    "all_saturated",
    "census",
    "dormancy",
    "flat",
    "live_rate_bound",
    "never_fired",
    "saturated",
    "saturated_fraction",
]

CUT = 0.99
"""A white cell of a map: |h| above this is saturated. It is 1 − h² < 0.0199, |z| > 2.6467."""

SLOPE_CUT = 0.02
"""A slope under this part of the activation's largest counts as flat, for any activation."""

CHUNK = 1024  # contexts at a time in `census`, those of all runs together: they stay in the cache
LEAST_CHUNK = 128  # and of each run
EXACT = 1 << 24  # float32 counts exactly up to here


def saturated(h: Tensor, cut: float = CUT) -> Tensor:
    """Which activations of a tanh layer are saturated: |h| > cut, a mask of h's shape.

    Source: the threshold is Karpathy's, "Building makemore Part 3" (2022).

    >>> saturated(torch.tensor([-1.0, 0.0, 0.995, 0.99]))
    tensor([ True, False,  True, False])
    """
    if not 0 < cut < 1:
        raise ValueError(f"cut is {cut!r}; |h| of tanh lies between 0 and 1, and so must the cut")
    return h.abs() > cut


def flat(slope: Tensor, activation: Activation, cut: float = SLOPE_CUT) -> Tensor:
    """Which entries have |f'| under `cut` of the activation's largest slope, a mask.

    This is saturation for an activation of any kind; for tanh at 0.02 it is |h| > 0.98995.
    """
    return slope.abs() < cut * activation.max_slope


def saturated_fraction(mask: Tensor) -> Tensor:
    """The part of the cells of mask (..., batch, units) that is set, shape (...)."""
    return mask.double().mean((-2, -1))


def all_saturated(mask: Tensor) -> Tensor:
    """Which units are set in every row of mask (..., batch, units): the all-white columns.

    >>> all_saturated(torch.tensor([[True, True], [True, False]]))
    tensor([ True, False])
    """
    return mask.all(-2)


def never_fired(h: Tensor) -> Tensor:
    """Which units of h (..., batch, units) are at most 0 on every row: dead features.

    A word for units that fire or do not, as ReLU's; a tanh unit stuck at −1 is not silent.
    Source: the sparse-autoencoder work of 2023 and 2024.
    """
    return (h <= 0).all(-2)


def dormancy(h: Tensor, *, centred: bool = False) -> Tensor:
    """Each unit's mean |h| over the batch, divided by the layer's mean of that, shape (..., units).

    A unit is τ-dormant when its score is at most τ. A tanh unit stuck at ±1 scores above 1: the
    score cannot see it. `centred=True` subtracts each unit's mean over the batch first, so that a
    unit scores by how much it varies, and one that is stuck anywhere scores 0. (In floats the mean
    of equal numbers may differ from them in the last digit; a unit whose answers are all equal
    scores exactly 0 here.) A layer that is silent altogether scores 0 throughout.

    h: (..., batch, units). Raises `ValueError` for a batch of none; centred, also for one of one,
    whose every unit would score 0.

    Source: Sokar, Agarwal, Castro & Evci, "The Dormant Neuron Phenomenon in Deep Reinforcement
    Learning" (2023), definition 3.1. Centring is the repair of this book; the authors' published
    code has it as an option, off by default.

    >>> h = torch.tensor([[0.0, 1.0, 1.0], [0.0, 1.0, 3.0]])  # silent, stuck, live
    >>> dormancy(h)
    tensor([0., 1., 2.])
    >>> dormancy(h, centred=True)
    tensor([0., 0., 3.])
    """
    least = 2 if centred else 1
    if h.ndim < 2 or h.size(-2) < least:
        raise ValueError(
            f"h is {tuple(h.shape)}; wanted (..., batch, units) with a batch of {least} or more"
        )
    if centred:
        stuck = (h == h[..., :1, :]).all(-2, keepdim=True)
        h = (h - h.mean(-2, keepdim=True)).masked_fill(stuck, 0.0)
    size = h.abs().mean(-2)
    layer = size.mean(-1, keepdim=True)
    return torch.where(layer > 0, size / layer, 0.0)


def live_rate_bound(n: int, confidence: float = 0.95) -> float:
    """The largest live rate that n dead rows in a row leave plausible: 1 − (1 − confidence)^(1/n).

    At 95% this is about 3/n, the rule of three: a unit dead on 32 of 32 examples may still be
    live on 9% of the data. The rows must be independent draws.

    Source: Hanley & Lippman-Hand, "If Nothing Goes Wrong, Is Everything All Right?" (1983).

    >>> f"{live_rate_bound(32):.3f} {live_rate_bound(100_000) * 100_000:.3f}"
    '0.089 2.996'
    """
    if n < 1:
        raise ValueError(f"n is {n}; without an example there is nothing to bound")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; wanted a number between 0 and 1")
    return -math.expm1(math.log1p(-confidence) / n)


@dataclass(frozen=True)
class LayerCensus:
    """One hidden layer over a whole data set. `...` are the leading run axes.

    - `n`: examples, repeats counted
    - `flat_fraction`: (..., units), the part of the examples where |f'| is under `SLOPE_CUT` of
      the largest slope
    - `saturated_fraction`: (..., units), the part where |h| > `CUT`: the white cells
      (for an activation other than tanh it is not saturation)
    - `largest_slope`: (..., units), the supremum of |f'| over the data
    - `mean`: (..., units), the mean activation
    """

    activation: Activation
    n: int
    flat_fraction: Tensor
    saturated_fraction: Tensor
    largest_slope: Tensor
    mean: Tensor

    @property
    def soft_dead(self) -> Tensor:
        """Units whose slope is under `SLOPE_CUT` of the largest on every example, hard included."""
        return flat(self.largest_slope, self.activation)

    @property
    def hard_dead(self) -> Tensor:
        """Units whose slope is exactly 0 on every example: no gradient reaches their weights."""
        return self.largest_slope == 0

    def mostly_saturated(self, share: float = 0.5) -> Tensor:
        """Units flat on more than `share` of the data and not dead: a matter of degree."""
        return (self.flat_fraction > share) & ~self.soft_dead


@one_thread()
def census(
    params: Params, contexts: Contexts, *, statistics: Statistics | None = None
) -> tuple[LayerCensus, ...]:
    """Count every hidden layer's units over a whole data set, exactly.

    Contexts repeat, so each distinct one is computed once and weighted by its count. A network with
    batch norm needs `statistics` (`train.calibrate`).

    Returns one `LayerCensus` a hidden layer. Raises `ValueError` for contexts that do not fit the
    network or an empty set.
    """
    mlp.check_evaluation(params.arch, statistics)
    mlp.check_contexts(params, contexts.X)
    if not len(contexts.X):
        raise ValueError("there are no contexts to count over")
    unique = distinct(contexts)
    activation = activations.get(params.arch.activation)
    n = int(unique.counts.sum())
    tallies = [_Tally(n) for _ in params.arch.hidden]
    with torch.no_grad():
        size = max(LEAST_CHUNK, CHUNK // max(params.lead.numel(), 1))
        for X, counts in zip(unique.X.split(size), unique.counts.split(size), strict=True):
            record = mlp.forward(params, X, statistics=statistics, check=False)
            layers = zip(tallies, record.pre_activations, record.activations, strict=True)
            for tally, z, h in layers:
                tally.add(activation, z, h, counts)
    return tuple(tally.result(activation) for tally in tallies)


class _Tally:
    """Running sums of one layer over chunks of distinct contexts."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.flat = self.saturated = self.sum = torch.zeros(())
        self.largest_slope = torch.zeros(())

    def add(self, activation: Activation, z: Tensor, h: Tensor, counts: Tensor) -> None:
        slope = activation.slope(z, h).abs()  # (..., batch, units)
        self.flat = self.flat + self.count(flat(slope, activation), counts)
        self.saturated = self.saturated + self.count(saturated(h), counts)
        self.sum = self.sum + counts.double() @ h.double()
        self.largest_slope = torch.maximum(self.largest_slope, slope.amax(-2))

    def count(self, mask: Tensor, counts: Tensor) -> Tensor:
        """On how many examples each unit is set: exact, in the narrowest floats that are."""
        dtype = torch.float32 if self.n <= EXACT else torch.float64
        return (counts.to(dtype) @ mask.to(dtype)).double()

    def result(self, activation: Activation) -> LayerCensus:
        return LayerCensus(
            activation=activation,
            n=self.n,
            flat_fraction=self.flat / self.n,
            saturated_fraction=self.saturated / self.n,
            largest_slope=self.largest_slope,
            mean=self.sum / self.n,
        )
