"""Reference solutions of chapter 2."""

import torch
from torch import Tensor


def look_up(C: Tensor, X: Tensor) -> Tensor:
    """2.1"""
    return C[:, X].flatten(2)  # (K, batch, block_size, n_embd), then the last two axes as one


def merge_affine(W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
    """2.2"""
    return W2 @ W1, W2 @ b1 + b2  # the second layer sees the first's weights and its bias


def weight_scale(x: Tensor, target_std: float, sigma_b: float) -> Tensor:
    """2.3"""
    mean_sum_of_squares = (x**2).sum(1).mean()  # over fan-in a sum, over the batch a mean
    return ((target_std**2 - sigma_b**2) / mean_sum_of_squares).sqrt()


def forward_logits(C: Tensor, W: list[Tensor], b: list[Tensor], X: Tensor) -> Tensor:
    """2.4"""
    x = C[X].flatten(1)
    for W_hidden, b_hidden in zip(W[:-1], b[:-1], strict=True):
        x = torch.tanh(x @ W_hidden + b_hidden)
    return x @ W[-1] + b[-1]
