"""Reference solutions of chapter 13."""

import torch
from torch import Tensor


def paired_interval(
    seeds_a: Tensor, a: Tensor, seeds_b: Tensor, b: Tensor, t: float
) -> tuple[float, float]:
    """13.1"""
    place_a, place_b = (seeds_a[:, None] == seeds_b).nonzero(as_tuple=True)
    difference = b[place_b] - a[place_a]  # (shared,) a difference a seed
    half = t * difference.std() / len(difference) ** 0.5
    return difference.mean().item(), half.item()


def curve_band(losses: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """13.2"""
    n = losses.shape[1] // block
    points = losses[:, : n * block].unflatten(1, (n, block)).mean(2)  # (seeds, blocks)
    return points.mean(0), torch.std(points, 0)
