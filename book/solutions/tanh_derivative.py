"""Reference solutions of chapter 6."""

import torch
from torch import Tensor


def tanh_slope(x: Tensor) -> Tensor:
    """6.1"""
    return 1 - torch.tanh(x) ** 2


def tanh_backward(h: Tensor, dh: Tensor) -> Tensor:
    """6.2"""
    return dh * (1 - h**2)


def tanh_from_exponentials(x: Tensor) -> Tensor:
    """6.3"""
    small = torch.exp(-2 * x.abs())  # in (0, 1]: it may vanish, it cannot overflow
    return x.sign() * (1 - small) / (1 + small)
