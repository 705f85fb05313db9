"""Reference solutions of chapter 3."""

import torch
from torch import Tensor


def counted_logit_gradient(logits: Tensor, Y: Tensor, counts: Tensor) -> Tensor:
    """3.1"""
    gradient = torch.softmax(logits, 1)
    gradient[torch.arange(len(Y)), Y] -= 1
    return gradient * (counts / counts.sum())[:, None]


def linear_backward(x: Tensor, W: Tensor, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """3.2"""
    rows, arriving = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    return dy @ W, arriving.T @ rows, arriving.sum(0)


def tied_table_gradient(X: Tensor, dx: Tensor, h: Tensor, dlogits: Tensor) -> Tensor:
    """3.3"""
    dC = dlogits.T @ h  # (vocab, n_embd), from the logits
    return dC.index_add_(0, X.flatten(), dx.reshape(-1, h.shape[1]))


def repaired_backward(
    x: Tensor, Y: Tensor, W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """3.4"""
    z = x @ W1 + b1
    h = torch.relu(z)
    dlogits = torch.softmax(h @ W2 + b2, 1)
    dlogits[torch.arange(len(Y)), Y] -= 1
    dlogits /= len(Y)  # before anything uses it
    dz = (dlogits @ W2.T) * (z > 0)  # the slope is that of z, not of dh
    return x.T @ dz, dz.sum(0), h.T @ dlogits, dlogits.sum(0)
