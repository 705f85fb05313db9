"""Reference solutions of chapter 20."""

import torch
from torch import Tensor


def code_census(vectors: Tensor, codes: Tensor) -> tuple[Tensor, Tensor, float]:
    """20.1"""
    distances = (vectors[:, None] - codes).square().sum(-1)  # (n, members)
    counts = torch.bincount(distances.argmin(1), minlength=len(codes))
    shares = counts / counts.sum()
    return counts, counts == 0, torch.special.entr(shares).sum().exp().item()


def restart_codes(codes: Tensor, counts: Tensor, vectors: Tensor, rows: list[int]) -> Tensor:
    """20.2"""
    restarted = codes.clone()
    restarted[counts == 0] = vectors[rows]
    return restarted


def balance_loss(scores: Tensor) -> float:
    """20.3"""
    experts = scores.shape[1]
    f = torch.bincount(scores.argmax(1), minlength=experts) / len(scores)
    P = scores.softmax(1).mean(0)
    return (experts * (f * P).sum()).item()
