"""Reference solutions of chapter 21."""

import torch
from torch import Tensor


def births_and_deaths(dead: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """21.1"""
    before, after = dead[:-1], dead[1:]
    deaths = (~before & after).sum(1)
    births = (before & ~after).sum(1)
    return deaths, births, ~dead[-1] & before.any(0)


def recycle_unit(
    params: list[Tensor], m: list[Tensor], v: list[Tensor], unit: int, fresh: Tensor
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """21.2"""
    copies = [[tensor.clone() for tensor in kept] for kept in (params, m, v)]
    for (W, b, outgoing), incoming in zip(copies, (fresh, 0.0, 0.0), strict=True):
        W[unit] = incoming
        b[unit] = 0.0
        outgoing[:, unit] = 0.0
    return tuple(copies)


def rescaled(
    W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor, W3: Tensor, norms: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """21.3"""
    first = norms[0] / torch.linalg.norm(W1)
    second = norms[1] / torch.linalg.norm(W2)
    both = first * second
    return first * W1, first * b1, second * W2, both * b2, W3 / both
