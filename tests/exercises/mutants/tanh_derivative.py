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


def _h(x):
    return torch.tanh(x.double())


def _bounded(x):
    e = torch.exp(-2 * x.abs())
    return torch.sign(x) * (1 - e) / (1 + e)


WRONG = {
    "tanh_slope": {
        "1 + tanh(x)²": lambda x: 1 + _h(x).square(),
        "this is tanh(x)²": lambda x: _h(x).square(),
        "square the tanh, not x": lambda x: 1 - _h(x * x),
        "the logistic function": lambda x: _h(x / 2).square() / -4 + 0.25,
        "1/cosh(x)": lambda x: 2 / (torch.exp(x.double()) + torch.exp(-x.double())),
        "1 over it": lambda x: 1 / (1 - _h(x) ** 2),
        "the second derivative": lambda x: 2 * (_h(x) ** 3 - _h(x)),
        "tanh times its slope": lambda x: _h(x) - _h(x) ** 3,
        "the slope of ReLU": lambda x: torch.where(x > 0, 1.0, 0.0),
        "only h is squared": lambda x: (_h(x) - 1).square(),
        "the sign is the wrong way round": lambda x: _h(x).square() - 1,
    },
    "tanh_backward": {
        "the square is missing": lambda h, dh: dh - dh * h,
        "1 + h²": lambda h, dh: dh + dh * h * h,
        "divides by the slope": lambda h, dh: dh / ((1 - h) * (1 + h)),
        "changed places": lambda h, dh: h - h * dh * dh,
        "unchanged": lambda h, dh: dh.clone(),
        "dh · h²": lambda h, dh: dh * h * h,
        "h (1 − h)": lambda h, dh: dh * (h - h * h),
        "what arrives is dh": lambda h, dh: h - h**3,
        "the slope is squared": lambda h, dh: dh * (1 - h * h).square(),
        "inside the square": lambda h, dh: 1 - (dh * h).square(),
        "keeps its sign": lambda h, dh: dh.abs() * (1 - h * h),
        "dh multiplies the 1": lambda h, dh: 1 - dh * h * h,
        "dh multiplies h²": lambda h, dh: dh - h * h,
    },
    "tanh_from_exponentials": {
        "exp(x) and exp(−x) overflow": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
        "tanh(2x)": lambda x: _bounded(2 * x),
        "this is the sign of x": torch.sign,
        "x cut off at −1 and 1: tanh": lambda x: x.clamp(-1, 1),
        "this is sinh(x)": lambda x: (torch.exp(x.double()) - torch.exp(-x.double())) / 2,
        "the logistic function of x": lambda x: 1 / (1 + torch.exp(-x.double())),
        "below at 0": lambda x: _bounded(x.clamp(min=0)),
        "above at 0": lambda x: _bounded(x.clamp(max=0)),
        "the sign is the wrong way round on both sides": lambda x: -_bounded(x),
        "−|x|": lambda x: -_bounded(x.abs()),
        "the denominator is missing": lambda x: 1 - torch.exp(-2 * x.abs()),
    },
}
