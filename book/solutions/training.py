"""Reference solutions of chapter 4."""

import torch
from torch import Tensor


def sgd_step(params: list[Tensor], grads: list[Tensor], lr: float) -> list[Tensor]:
    """4.1"""
    return [p - lr * grad for p, grad in zip(params, grads, strict=True)]


def warmup_cosine(steps: int, warmup: int, peak: float, final: float) -> Tensor:
    """4.2"""
    up = peak * torch.arange(1, warmup + 1) / warmup
    gaps = steps - warmup  # from step warmup - 1 to step steps - 1
    t = torch.arange(1, gaps + 1) / max(gaps, 1)
    return torch.cat([up, final + (peak - final) * (1 + torch.cos(torch.pi * t)) / 2])


def batch_noise(gradients: Tensor, batch_size: int) -> Tensor:
    """4.3"""
    off = gradients - gradients.mean(0)
    variance = off.square().sum(1).mean()  # σ²
    return (variance / batch_size).sqrt()
