"""Reference solutions of chapter 8."""

import math

import torch
from torch import Tensor

from mlpinit import saturation


def predicted_white_share(
    fan_in: int, weight_std: float, bias_std: float, mean_square: float, cut: float
) -> float:
    """8.1"""
    std = math.sqrt(fan_in * weight_std**2 * mean_square + bias_std**2)
    return math.erfc(math.atanh(cut) / std / math.sqrt(2))  # both tails


def pick_scale(x: Tensor, W: Tensor, b: Tensor, low: float, high: float) -> float:
    """8.2"""

    def share(s: float) -> float:
        return saturation.saturated(torch.tanh(x @ (s * W) + b)).double().mean().item()

    small, large = 0.0, 1.0
    while share(large) < low:
        small, large = large, 2 * large
    s = large
    while not low <= share(s) <= high:
        s = (small + large) / 2
        small, large = (s, large) if share(s) < low else (small, s)
    return s


def linear_limit(W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
    """8.3"""
    h = torch.tanh(b1)  # what every unit answers when x @ W1 is 0
    slope = 1 - h**2  # and how it answers to a little more
    return (W1 * slope) @ W2, h @ W2 + b2
