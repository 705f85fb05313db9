"""Reference solutions of chapter 15."""

import torch
from torch import Tensor


def bias_speed(constants: Tensor, rule: str) -> float:
    """15.1"""
    each = constants**2 if rule == "sgd" else constants.abs()  # c · c, or c · sign(c)
    return 1 + float(each.sum())


def fold_channels(
    W: Tensor, b: Tensor, dead: list[int], constants: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """15.2"""
    blocks = W.view(len(W), -1, size)  # (out, channels, size)
    keep = torch.ones(blocks.shape[1], dtype=torch.bool)
    keep[dead] = False
    return blocks[:, keep].flatten(1), b + blocks[:, dead].sum(2) @ constants


def merge_twins(h: Tensor, W2: Tensor) -> tuple[Tensor, Tensor]:
    """15.3"""
    keep, W2 = torch.ones(h.shape[1], dtype=torch.bool), W2.clone()
    for j in range(1, h.shape[1]):
        for first in keep[:j].nonzero().flatten().tolist():
            for sign in (1, -1):
                if keep[j] and torch.equal(h[:, j], sign * h[:, first]):
                    W2[first] += sign * W2[j]
                    keep[j] = False
    return keep, W2[keep]
