"""Reference solutions of chapter 18."""

import torch
from torch import Tensor


def stream_sizes(size: float, scales: Tensor, powers: Tensor) -> Tensor:
    """18.1"""
    m = [torch.tensor(size, dtype=torch.float64) ** 2]
    for s, p in zip(scales, powers, strict=True):
        m.append(m[-1] * (1 + s**2 * p))
    return torch.stack(m).sqrt()


def scale_like_gpt2(blocks: list[list[list[Tensor]]]) -> list[list[list[Tensor]]]:
    """18.2"""
    n = sum(len(block) for block in blocks)  # residual layers: two a block
    return [[[*branch[:-1], branch[-1] / n**0.5] for branch in block] for block in blocks]


def mup_rates(sizes: list[int], base_sizes: list[int], lr: float) -> tuple[Tensor, Tensor]:
    """18.3"""
    fan_in = torch.tensor(sizes[:-1], dtype=torch.float64)
    grown = fan_in / torch.tensor(base_sizes[:-1], dtype=torch.float64)
    start = torch.ones_like(grown)
    start[-1] = grown[-1] ** -0.5  # the usual start has one root already
    return lr / grown, start
