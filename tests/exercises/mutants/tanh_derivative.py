"""Answers to chapter 6 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import math

import torch
from torch.nn import functional


def tanh_slope__wrong_x_squared(x):
    """1 − x² where 1 − tanh(x)² is meant"""
    return 1 - x**2


def tanh_slope__wrong_no_square(x):
    """the square is missing"""
    return 1 - torch.tanh(x)


def tanh_slope__wrong_sign(x):
    """the sign is the wrong way round"""
    return torch.tanh(x) ** 2 - 1


def tanh_slope__right_cosh(x):
    return 1 / torch.cosh(x) ** 2


def tanh_slope__right_autograd(x):
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(torch.tanh(x).sum(), x)
    return slope


def tanh_backward__wrong_no_upstream(h, dh):
    """multiply it by dh"""
    return 1 - h**2


def tanh_backward__wrong_twice(h, dh):
    """tanh is applied once more"""
    return dh * (1 - torch.tanh(h) ** 2)


def tanh_backward__wrong_in_place(h, dh):
    """work on a copy"""
    return dh.mul_(1 - h**2)


def tanh_backward__right_slow_loop(h, dh):
    dz = torch.zeros_like(h)
    for i in range(h.shape[0]):
        for j in range(h.shape[1]):
            dz[i, j] = dh[i, j] * (1 - h[i, j] * h[i, j])
    return dz


def tanh_from_exponentials__wrong_naive(x):
    """∞/∞ is NaN: keep the exponent"""
    return (torch.exp(2 * x) - 1) / (torch.exp(2 * x) + 1)


def tanh_from_exponentials__wrong_sign_lost(x):
    """the sign is lost"""
    e = torch.exp(-2 * x.abs())
    return (1 - e) / (1 + e)


def tanh_from_exponentials__wrong_half(x):
    """this is tanh(x/2)"""
    e = torch.exp(-x.abs())
    return x.sign() * (1 - e) / (1 + e)


def tanh_from_exponentials__right_logistic(x):
    return 2 * torch.sigmoid(2 * x) - 1


def tanh_from_exponentials__right_python(x):
    return functional.relu(x) * 0 + torch.tensor(
        [math.tanh(v) for v in x.flatten().tolist()], dtype=x.dtype
    ).view(x.shape)
