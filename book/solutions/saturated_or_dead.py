"""Reference solutions of chapter 7."""

import math

import torch
from torch import Tensor


def saturated_fractions(z: Tensor, cut: float) -> tuple[Tensor, Tensor]:
    """7.1"""
    white = (torch.tanh(z).abs() > cut).double()  # (batch, units)
    return white.mean(0), white.mean(1)


def always_saturated(batches: list[Tensor], cut: float) -> Tensor:
    """7.2"""
    h = torch.tanh(torch.cat(batches))  # all rows, whatever batch they came in
    return (h.abs() > cut).all(0)


def examples_to_convict(p: float, confidence: float) -> int:
    """7.3"""
    # (1 − p)ⁿ ≤ 1 − confidence; both logarithms are negative
    n = math.ceil(math.log(1 - confidence) / math.log1p(-p))
    # Rounding can push a quotient that is whole past the whole number, as at p = 0.25 and
    # confidence = 0.578125: see if one row less will do.
    return n - 1 if n > 1 and (1 - p) ** (n - 1) <= 1 - confidence else n


def fold_stuck(W2: Tensor, b2: Tensor, stuck: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
    """7.4"""
    constant = means[stuck] @ W2[stuck]  # (vocab,) what the stuck units add to every example
    return W2[~stuck], b2 + constant
