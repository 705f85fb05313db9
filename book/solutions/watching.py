"""Reference solutions of chapter 14."""

import torch
from torch import Tensor

Figures = tuple[int, Tensor, Tensor]


def rest_of(whole: Figures, part: Figures) -> Figures:
    """14.1"""
    (n_whole, mean_whole, m2_whole), (n_part, mean_part, m2_part) = whole, part
    n = n_whole - n_part
    mean = mean_whole + (mean_whole - mean_part) * (n_part / n)  # as far to the other side
    between = (mean - mean_part) ** 2 * (n * n_part / n_whole)
    return n, mean, (m2_whole - m2_part - between).clamp(min=0)


def channel_evidence(batches: list[Tensor], confidence: float) -> tuple[Tensor, float]:
    """14.2"""
    live = torch.cat([(z > 0).any(dim=3).any(dim=2) for z in batches])  # (examples, C)
    bound = 1 - (1 - confidence) ** (1 / len(live))  # positions of one image are no draws
    return live.sum(0), bound


def changes(live: Tensor, n: Tensor, enough: int) -> tuple[Tensor, Tensor, Tensor]:
    """14.3"""
    births, deaths, revivals = torch.zeros(3, live.shape[1], dtype=torch.int64)
    dead = torch.zeros(live.shape[1], dtype=torch.bool)
    lived = dead.clone()  # live in some window so far
    for alive, examples in zip(live > 0, n.tolist(), strict=True):
        found_dead = ~alive & (examples >= enough)
        births += alive & dead & ~lived
        revivals += alive & dead & lived
        deaths += found_dead & ~dead & lived
        dead = found_dead | dead & ~alive
        lived = lived | alive
    return births, deaths, revivals
