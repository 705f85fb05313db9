"""Reference solutions of chapter 12."""

import math

import torch
from torch import Tensor


def leaky_variances(
    gain: float, bias_std: float, slope: float, mean_square: float, n_layers: int
) -> Tensor:
    """12.1"""
    q = [gain**2 * mean_square + bias_std**2]
    while len(q) < n_layers:
        q.append(gain**2 * (1 + slope**2) / 2 * q[-1] + bias_std**2)
    return torch.tensor(q, dtype=torch.float64)


def residual_gradients(x: Tensor, U: list[Tensor], V: list[Tensor], s: float, dh: Tensor) -> Tensor:
    """12.2"""
    h, inner = x, []
    for u, v in zip(U, V, strict=True):
        inner.append(torch.tanh(h @ u))
        h = h + s * inner[-1] @ v
    gradients = [dh]
    for u, v, f in zip(reversed(U), reversed(V), reversed(inner), strict=True):
        d = gradients[-1]
        gradients.append(d + s * (d @ v.T * (1 - f**2)) @ u.T)
    return torch.stack(gradients[::-1])


def lsuv_factor(x: Tensor, W: Tensor, b: Tensor, target: float) -> float:
    """12.3"""
    u = (x @ W).double()
    u, b = u - u.mean(), (b.double() - b.double().mean()).expand_as(u)
    A, B, C = (t.mean().item() for t in (u * u, u * b, b * b))
    return (-B + math.sqrt(B * B + A * (target**2 - C))) / A  # A s² + 2 B s + C = target²
