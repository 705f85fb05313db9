"""Figures of the units of one site: what a stretch of rows showed, and how stretches are merged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Figures", "Sums", "merge"]


@dataclass(frozen=True)
class Figures:
    """What a stretch of rows showed of each unit. A row is one example, or one position of one.

    - `n`: rows; `examples`: the entries of the batch axis they belong to
    - `steps`: the first and the last forward pass
    - `mean`, `std`, `smallest`, `largest`: (units,) float64, of the activations h
    - `z_smallest`, `z_largest`: (units,), of the pre-activations, or None where z is not seen, as
      in a recurrent layer, or not looked at, as `watch` does for tanh and sigmoid
    - `largest_slope`: (units,), the largest |f'|, or None where the slope is not seen
    - `flat_share`, `zero_slope_share`: (units,), the part of the rows where |f'| is under
      `SLOPE_CUT` of the function's largest slope, and where it is exactly 0
    - `zero_share`: (units,), the part of the rows where h is exactly 0; `size`: (units,), mean
      |h|. These two, for ReLU the smallest z and h, and for GELU and its like the smallest h and
      the exact zeros of the slope, are None where `watch` would spend a pass on them; `audit`
      counts them all
    """

    n: int
    examples: int
    steps: tuple[int, int]
    mean: Tensor
    std: Tensor
    smallest: Tensor | None
    largest: Tensor
    z_smallest: Tensor | None
    z_largest: Tensor | None
    largest_slope: Tensor | None
    flat_share: Tensor | None
    zero_slope_share: Tensor | None
    zero_share: Tensor | None
    size: Tensor | None

    @property
    def dormancy(self) -> Tensor | None:
        """Each unit's mean |h| over the layer's mean of that; None where it was not counted.

        It cannot see a tanh unit stuck at ±1, which scores above 1. Source: Sokar et al. (2023).
        """
        return None if self.size is None else _over_mean(self.size)

    @property
    def centred_dormancy(self) -> Tensor:
        """The same with each unit's mean subtracted: its standard deviation over the layer's mean.

        A stuck unit scores 0, wherever it is stuck.
        """
        return _over_mean(self.std)


def _over_mean(size: Tensor) -> Tensor:
    mean = size.mean()
    return torch.where(mean > 0, size / mean, 0.0)


@dataclass(frozen=True)
class Sums:
    """Figures that can be merged: counts, mean and sum of squared deviations, largest values.

    - `counts`: (counts, units); `tops`: (extremes, units), minima negated
    """

    n: int
    examples: int
    steps: tuple[int, int]
    mean: Tensor
    m2: Tensor
    counts: Tensor
    tops: Tensor


def merge(a: Sums | None, b: Sums) -> Sums:
    """The figures of a's rows and b's together; a comes first."""
    if a is None:
        return b
    n = a.n + b.n
    apart = b.mean - a.mean
    return Sums(
        n,
        a.examples + b.examples,
        (a.steps[0], b.steps[1]),
        torch.add(a.mean, apart, alpha=b.n / n),
        (a.m2 + b.m2).addcmul_(apart, apart, value=a.n * b.n / n),
        a.counts + b.counts,
        torch.maximum(a.tops, b.tops),
    )
