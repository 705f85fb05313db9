"""Figures of the units of one site: what a stretch of rows showed, and how stretches are merged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor

__all__ = ["Figures", "Sums", "listed", "merge", "together"]


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
    """The figures of a's rows and b's together."""
    if a is None:
        return b
    n = a.n + b.n
    apart = b.mean - a.mean
    return Sums(
        n,
        a.examples + b.examples,
        (min(a.steps[0], b.steps[0]), max(a.steps[1], b.steps[1])),
        torch.add(a.mean, apart, alpha=b.n / n),
        (a.m2 + b.m2).addcmul_(apart, apart, value=a.n * b.n / n),
        a.counts + b.counts,
        torch.maximum(a.tops, b.tops),
    )


_LEAST, _MOST = ("smallest", "z_smallest"), ("largest", "z_largest", "largest_slope")
_SHARES = ("flat_share", "zero_slope_share", "zero_share", "size")


def together(parts: Sequence[Figures]) -> Figures:
    """The figures of several stretches of rows as those of one: what each counts adds up exactly.

    Means and deviations are merged in the order given. A figure that any of them lacks is None.

    >>> z = torch.zeros(1)
    >>> told = {"mean": z, "std": z, "smallest": None, "largest": z, "largest_slope": None}
    >>> told |= dict.fromkeys(("z_smallest", "z_largest", "zero_slope_share", "zero_share", "size"))
    >>> few = Figures(1, 1, (0, 0), flat_share=z, **told)
    >>> many = Figures(3, 3, (1, 3), flat_share=z + 1, **told)
    >>> both = together([few, many])
    >>> both.n, both.steps, both.flat_share.tolist()
    (4, (0, 3), [0.75])
    """
    names = {
        n for n in (*_LEAST, *_MOST, *_SHARES) if all(getattr(p, n) is not None for p in parts)
    }
    shares, least, most = ([n for n in group if n in names] for group in (_SHARES, _LEAST, _MOST))

    def sums(part: Figures) -> Sums:
        counts = [getattr(part, name) * part.n for name in shares]
        counts = [c if n == "size" else c.round() for n, c in zip(shares, counts, strict=True)]
        tops = [*(-getattr(part, name) for name in least), *(getattr(part, name) for name in most)]
        return Sums(
            part.n,
            part.examples,
            part.steps,
            part.mean,
            part.std**2 * part.n,
            _rows(counts, part.mean),
            _rows(tops, part.mean),
        )

    whole = reduce(merge, map(sums, parts))
    figures = dict.fromkeys((*_LEAST, *_MOST, *_SHARES))
    figures |= zip(shares, whole.counts / whole.n, strict=True)
    figures |= zip(least, -whole.tops[: len(least)], strict=True)
    figures |= zip(most, whole.tops[len(least) :], strict=True)
    std = (whole.m2 / whole.n).sqrt()
    return Figures(whole.n, whole.examples, whole.steps, whole.mean, std, **figures)


def _rows(rows: list[Tensor], like: Tensor) -> Tensor:
    return torch.stack(rows) if rows else like.new_zeros(0, len(like))


def listed(value: Any) -> Any:
    """Lists for tensors and tuples, and None for infinities and NaN, which JSON does not have."""
    if isinstance(value, Tensor):
        return listed(value.tolist())
    if isinstance(value, Mapping):
        return {key: listed(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [listed(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
