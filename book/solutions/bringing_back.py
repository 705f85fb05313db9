"""Reference solutions of chapter 16."""

import torch
from torch import Tensor


def who_moved_them(
    x: Tensor, W: Tensor, b: Tensor, new_x: Tensor, new_W: Tensor, new_b: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """16.1"""
    was_dead = (x @ W + b <= 0).all(0)
    now = (new_x @ new_W + new_b > 0).any(0)
    carried = (new_x @ W + b > 0).any(0)
    walked = (x @ new_W + new_b > 0).any(0)
    return was_dead & now, was_dead & carried, was_dead & walked


def silence_channels(
    weight: Tensor, bias: Tensor, constants: Tensor, channels: list[int]
) -> tuple[Tensor, Tensor]:
    """16.2"""
    told = weight[:, channels].sum((2, 3)) @ constants[channels]  # a kernel of constants: its sum
    deaf = weight.clone()
    deaf[:, channels] = 0.0
    return deaf, bias + told


def steps_after_reset(gradients: Tensor, t: int, lr: float, beta1: float, beta2: float) -> Tensor:
    """16.3"""
    m, v = torch.zeros_like(gradients[0]), torch.zeros_like(gradients[0])
    changes = []
    for count, g in enumerate(gradients, t + 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        root = (v / (1 - beta2**count)).sqrt()
        changes.append(-lr * m / (1 - beta1**count) / (root + 1e-8))
    return torch.stack(changes)
