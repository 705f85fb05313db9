"""Graders of chapter 12, Depth and the edge of chaos."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from mlpinit.grading.exercise import Case, Draw, Exercise, Mistake

__all__ = ["EXERCISES"]


def _size_cases(g: Draw) -> list[Case]:
    def case(gain: float, bias: float, slope: float, size: float, layers: int, what: str = ""):
        gain, bias, slope, size = (g.real(v, 0.9 * v, 1.1 * v) for v in (gain, bias, slope, size))
        return Case((gain, bias, slope, size, layers), what)

    return [
        case(1.5, 0.3, 0.2, 2.0, 4),
        case(1.3, 0.5, 0.01, 0.7, 30, "the usual leak"),
        case(2**0.5, 0.4, 0.0, 1.0, 12, "ReLU"),
        case(0.6, 0.1, 0.9, 50.0, 25, "large inputs, small gain"),
        case(2.0, 1.5, 0.5, 0.1, 1, "one layer"),
    ]


def _mean_square(q: float, slope: float) -> float:
    """E f(√q z)², by adding up the density on either side."""
    z = torch.linspace(0, 12, 24_001, dtype=torch.float64) * math.sqrt(q)
    density = torch.exp(-z * z / (2 * q)) / math.sqrt(2 * math.pi * q)
    return torch.trapezoid((z**2 + (slope * z) ** 2) * density, z).item()


def _walk(gain: float, bias_std: float, mean_square: float, n_layers: int, moment) -> Tensor:
    q = [gain**2 * mean_square + bias_std**2]
    while len(q) < n_layers:
        q.append(gain**2 * moment(q[-1]) + bias_std**2)
    return torch.tensor(q, dtype=torch.float64)


def _sizes(gain: float, bias_std: float, slope: float, mean_square: float, n_layers: int) -> Tensor:
    return _walk(gain, bias_std, mean_square, n_layers, lambda q: _mean_square(q, slope))


SIZES = Exercise(
    id="12.1",
    title="The sizes of leaky layers",
    function="leaky_variances",
    points=1,
    cases=_size_cases,
    oracle=_sizes,
    mistakes=(
        Mistake(
            "these are standard deviations: the variance q of every layer is asked",
            lambda *args: _sizes(*args).sqrt(),
        ),
        Mistake(
            "the biases are left out: bias_std² adds to the variance in every layer",
            lambda g, b, a, m, n: _sizes(g, 0.0, a, m, n),
        ),
        Mistake(
            "bias_std is added as it is: of independent terms the variances add, so square it",
            lambda g, b, a, m, n: _sizes(g, math.sqrt(b), a, m, n),
        ),
        Mistake(
            "the gain multiplies the variance here: it multiplies the weights, so square it",
            lambda g, b, a, m, n: _sizes(math.sqrt(g), b, a, m, n),
        ),
        Mistake(
            "the leak is not squared: on the left f² is slope² z²",
            lambda g, b, a, m, n: _sizes(g, b, math.sqrt(a), m, n),
        ),
        Mistake(
            "the left side is left out: leaky ReLU keeps slope² of the mean square there",
            lambda g, b, a, m, n: _sizes(g, b, 0.0, m, n),
        ),
        Mistake(
            "each side holds half of the Gaussian: the mean square is (1 + slope²) q / 2",
            lambda g, b, a, m, n: _walk(g, b, m, n, lambda q: 2 * _mean_square(q, a)),
        ),
        Mistake(
            "the first layer is given activations: its inputs have passed no activation function",
            lambda g, b, a, m, n: _sizes(g, b, a, m * (1 + a * a) / 2, n),
        ),
        Mistake(
            "this starts with the inputs: the first number asked is the variance of z in layer 1",
            lambda g, b, a, m, n: torch.cat(
                [torch.tensor([m], dtype=torch.float64), _sizes(g, b, a, m, n)[:-1]]
            ),
        ),
        Mistake(
            "the gain is left out",
            lambda g, b, a, m, n: _sizes(1.0, b, a, m, n),
        ),
        Mistake(
            "the gain is left out after the first layer",
            lambda g, b, a, m, n: _walk(g, b, m, n, lambda q: _mean_square(q, a) / g**2),
        ),
        Mistake(
            "the biases are counted in the first layer alone",
            lambda g, b, a, m, n: _walk(g, b, m, n, lambda q: _mean_square(q, a) - (b / g) ** 2),
        ),
        Mistake(
            "the two sides are added before they are squared: (1 + slope²) / 2, not "
            "((1 + slope) / 2)²",
            lambda g, b, a, m, n: _walk(g, b, m, n, lambda q: q * ((1 + a) / 2) ** 2),
        ),
        Mistake(
            "the left side is taken away: (1 + slope²) / 2",
            lambda g, b, a, m, n: _walk(g, b, m, n, lambda q: q * (1 - a * a) / 2),
        ),
        Mistake(
            "the left side alone is counted: z² on the right adds to it",
            lambda g, b, a, m, n: _walk(g, b, m, n, lambda q: q * a * a / 2),
        ),
        Mistake(
            "the right side is not halved: (1 + slope²) / 2",
            lambda g, b, a, m, n: _walk(g, b, m, n, lambda q: q * (1 + a * a / 2)),
        ),
        Mistake(
            "the activation is left out: between two layers q becomes (1 + slope²) q / 2",
            lambda g, b, a, m, n: _walk(g, b, m, n, lambda q: q),
        ),
        Mistake(
            "the variance of the activations is carried on: their mean is not 0, and the mean "
            "square counts",
            lambda g, b, a, m, n: _walk(
                g, b, m, n, lambda q: _mean_square(q, a) - q * (1 - a) ** 2 / (2 * math.pi)
            ),
        ),
        Mistake(
            "all layers get the size of the first",
            lambda g, b, a, m, n: torch.full((n,), g * g * m + b * b, dtype=torch.float64),
        ),
        Mistake(
            "every layer starts from mean_square again: it starts from the layer before",
            lambda g, b, a, m, n: _walk(g, b, m, n, lambda q: _mean_square(m, a)),
        ),
        Mistake(
            "this is the last layer's alone: all of them are asked",
            lambda g, b, a, m, n: _sizes(g, b, a, m, n)[-1],
        ),
        Mistake(
            "these are the mean squares of the activations: the variance of each z is asked",
            lambda g, b, a, m, n: _sizes(g, b, a, m, n) * (1 + a * a) / 2,
        ),
        Mistake(
            "mean_square is squared: it is one already",
            lambda g, b, a, m, n: _sizes(g, b, a, m * m, n),
        ),
        Mistake(
            "there is a layer too many",
            lambda g, b, a, m, n: _sizes(g, b, a, m, n + 1),
        ),
        Mistake(
            "there is a layer too few",
            lambda g, b, a, m, n: _sizes(g, b, a, m, n - 1) if n > 1 else None,
        ),
    ),
    hints=(
        "For z Gaussian with variance q, half of the mean square of z lies on either side of 0.",
        "On the right f² = z², on the left f² = slope² z²: the mean square is (1 + slope²) q / 2.",
        "The first is gain² · mean_square + bias_std²; each next one follows from the last.",
    ),
    teaches="Where f is a straight line on either side, a layer is a straight line for q. It stays "
    "put at a gain of √(2 / (1 + a²)), and ReLU's √2 is the case a = 0.",
)


def _stack_cases(g: Generator) -> list[Case]:
    def case(depth: int, batch: int, width: int, inner: int, s: float, size=1.0, what=""):
        def drawn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=g) / math.sqrt(shape[0])

        x = size * torch.randn(batch, width, generator=g)
        U = [drawn(width, inner) for _ in range(depth)]
        V = [drawn(inner, width) for _ in range(depth)]
        return Case((x, U, V, s, torch.randn(batch, width, generator=g)), what)

    return [
        case(2, 2, 3, 4, 0.5),
        case(6, 5, 4, 7, 1.0, what="full branches"),
        case(20, 3, 7, 5, 0.2, 2.0, what="twenty layers"),
        case(1, 4, 5, 2, 1.7, 5.0, what="one layer, large inputs"),
    ]


def _residual(x: Tensor, U: list[Tensor], V: list[Tensor], s: float, dh: Tensor) -> Tensor:
    h = x.double().requires_grad_()
    stream = [h]
    for u, v in zip(U, V, strict=True):
        h = h + s * torch.tanh(h @ u.double()) @ v.double()
        stream.append(h)
    return torch.stack(torch.autograd.grad((h * dh.double()).sum(), stream))


_SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "right": lambda f: 1 - f**2,
    "twice": lambda f: 1 - torch.tanh(f) ** 2,
    "linear": lambda f: 1 - f,
    "relu": lambda f: (f > 0).double(),
    "value": lambda f: f,
}


def _residual_wrong(kind: str) -> Callable[..., Tensor]:
    """The pass with the mistake of that name; others in the slope are in the table above."""

    def wrong(x: Tensor, U: list[Tensor], V: list[Tensor], s: float, dh: Tensor) -> Tensor:
        U, V = [u.double() for u in U], [v.double() for v in V]
        h, slopes = x.double(), []
        for u, v in zip(U, V, strict=True):
            f = torch.tanh(h @ u)
            slopes.append(_SLOPES.get(kind, _SLOPES["right"])(f))
            if kind != "still":
                h = (0 if kind == "plain" else h) + (1 if kind == "up" else s) * f @ v
        d = dh.double()
        gradients = [d]
        order = slopes if kind == "forward" else slopes[::-1]
        for u, v, slope in zip(U[::-1], V[::-1], order, strict=True):
            inside = d @ v.T
            if kind != "bare":
                inside = inside * slope
            through = {"scale": 1, "squared": s * s, "minus": -s}.get(kind, s) * inside @ u.T
            past = {"skip": 0 * d, "both": s * d, "top": gradients[0]}.get(kind, d)
            d = past + through
            gradients.append(d)
        return torch.stack(gradients if kind == "order" else gradients[::-1])

    return wrong


RESIDUAL = Exercise(
    id="12.2",
    title="A gradient comes down the stream",
    function="residual_gradients",
    points=2,
    cases=_stack_cases,
    oracle=_residual,
    mistakes=(
        Mistake(
            "the way past the layer is missing: h goes on unchanged too, so dh adds to what comes "
            "through the branch",
            _residual_wrong("skip"),
        ),
        Mistake(
            "s is left out on the way back: the branch carries s times its gradient",
            _residual_wrong("scale"),
        ),
        Mistake(
            "tanh is applied once more: the slope is 1 − f² with f = tanh(z)",
            _residual_wrong("twice"),
        ),
        Mistake(
            "the slope of tanh is missing: between Vᵀ and Uᵀ stands the factor 1 − tanh(z)²",
            _residual_wrong("bare"),
        ),
        Mistake(
            "the order is last to first: gradients[0] is asked to be the one at x",
            _residual_wrong("order"),
        ),
        Mistake(
            "s multiplies the way past the layer too: h goes on unchanged",
            _residual_wrong("both"),
        ),
        Mistake(
            "s comes in twice",
            _residual_wrong("squared"),
        ),
        Mistake(
            "the square is missing: the slope of tanh is 1 − tanh(z)²",
            _residual_wrong("linear"),
        ),
        Mistake(
            "the slope is that of ReLU: the branch has tanh",
            _residual_wrong("relu"),
        ),
        Mistake(
            "tanh(z) multiplies where its slope is meant",
            _residual_wrong("value"),
        ),
        Mistake(
            "the branch's share has the wrong sign: the two ways add",
            _residual_wrong("minus"),
        ),
        Mistake(
            "every layer adds to dh alone: it adds to the gradient that has come down so far",
            _residual_wrong("top"),
        ),
        Mistake(
            "the way up lacks s: every h is that of a full branch",
            _residual_wrong("up"),
        ),
        Mistake(
            "the way up lacks the sum: h + s tanh(h U) V",
            _residual_wrong("plain"),
        ),
        Mistake(
            "every slope is taken at x: each layer has its own h",
            _residual_wrong("still"),
        ),
        Mistake(
            "the slopes are met in the order of the way up: the last layer comes first",
            _residual_wrong("forward"),
        ),
        Mistake(
            "the first of them is missing, the gradient at x",
            lambda *args: _residual(*args)[1:],
        ),
        Mistake(
            "the last of them is missing: dh itself, at the end of the stream",
            lambda *args: _residual(*args)[:-1],
        ),
        Mistake(
            "this is the gradient at x alone: all of the stream's are asked",
            lambda *args: _residual(*args)[0],
        ),
    ),
    hints=(
        "Go up first and keep tanh(z) of every layer.",
        "h is used twice, by the branch and by the sum: its two gradients add.",
        "Through the branch comes s · ((d Vᵀ) ⊙ (1 − tanh(z)²)) Uᵀ; past it comes d itself.",
    ),
    teaches="The sum passes every gradient on whole; a branch can only add to it.",
)


def _factor_cases(g: Generator) -> list[Case]:
    def case(batch, fan_in, units, shift, bias, target, what=""):
        x = shift + torch.randn(batch, fan_in, generator=g)
        W = torch.randn(fan_in, units, generator=g)
        b = bias * torch.randn(units, generator=g) + 0.3 * bias * W.sum(0)
        return Case((x, W, b, target), what)

    return [
        case(4, 3, 2, 1.0, 0.2, 1.0),
        case(30, 8, 20, 1.0, 0.1, 1.5, "inputs of mean 1"),
        case(50, 12, 9, 0.0, 0.0, 1.0, "no biases"),
        case(16, 5, 40, -2.0, 0.6, 3.0, "biases that oppose"),
        case(25, 100, 6, 0.5, 0.02, 0.7, "many inputs"),
    ]


def _factor(x: Tensor, W: Tensor, b: Tensor, target: float) -> float:
    """By bisection: beyond the vertex of the parabola the variance rises with the factor."""
    u, b = x.double() @ W.double(), b.double()

    def too_wide(s: float) -> bool:
        return (s * u + b).std(correction=0).item() > target

    low, high = 0.0, 1.0
    while not too_wide(high):
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if too_wide(middle) else (middle, high)
    return high


def _factor_with(x: Tensor, W: Tensor, b: Tensor, target: float, correction: int) -> float:
    """With variances over N − correction."""
    n = len(x) * W.shape[1]
    return _factor(x, W, b, target * math.sqrt((n - correction) / n))


def _parts(x: Tensor, W: Tensor, b: Tensor) -> tuple[float, float, float]:
    u = x.double() @ W.double()
    b = b.double().expand_as(u)
    covariance = ((u - u.mean()) * (b - b.mean())).mean()
    return u.var(correction=0).item(), covariance.item(), b.var(correction=0).item()


def _negative_root(x: Tensor, W: Tensor, b: Tensor, target: float) -> float:
    vu, c, vb = _parts(x, W, b)
    return (-c - math.sqrt(c * c - vu * (vb - target**2))) / vu


def _uncorrelated(x: Tensor, W: Tensor, b: Tensor, target: float) -> float:
    vu, _, vb = _parts(x, W, b)
    return math.sqrt((target**2 - vb) / vu)


def _halved(x: Tensor, W: Tensor, b: Tensor, target: float) -> float:
    vu, c, vb = _parts(x, W, b)
    return (-c / 2 + math.sqrt(c * c / 4 - vu * (vb - target**2))) / vu


def _root_mean_square(x: Tensor, W: Tensor, b: Tensor, target: float) -> float:
    u, b = x.double() @ W.double(), b.double()
    vu, c, vb = (u * u).mean().item(), (u * b).mean().item(), (b * b).mean().item()
    return (-c + math.sqrt(c * c - vu * (vb - target**2))) / vu


FACTOR = Exercise(
    id="12.3",
    title="LSUV in one step",
    function="lsuv_factor",
    points=3,
    cases=_factor_cases,
    oracle=_factor,
    mistakes=(
        Mistake(
            "this is one round of LSUV, target / std(z): with biases z is not s times as wide",
            lambda x, W, b, t: t / (x.double() @ W.double() + b.double()).std(correction=0).item(),
        ),
        Mistake(
            "the biases are left out: they are part of z, and their variance counts",
            lambda x, W, b, t: t / (x.double() @ W.double()).std(correction=0).item(),
        ),
        Mistake(
            "x W and b vary together here: twice s times their covariance belongs to the variance",
            _uncorrelated,
        ),
        Mistake(
            "the covariance counts twice: Var(s u + b) = s² Var(u) + 2 s Cov(u, b) + Var(b)",
            _halved,
        ),
        Mistake(
            "this is the other root: the factor must be positive",
            _negative_root,
        ),
        Mistake(
            "this sets the mean square: a standard deviation is about the mean of all entries",
            _root_mean_square,
        ),
        Mistake(
            "the variance is divided by N − 1: every variance here is a plain mean",
            lambda x, W, b, t: _factor_with(x, W, b, t, correction=1),
        ),
        Mistake(
            "target is taken for a variance: it is a standard deviation, so square it",
            lambda x, W, b, t: _factor(x, W, b, math.sqrt(t)),
        ),
        Mistake(
            "the covariance has the wrong sign",
            lambda x, W, b, t: -_negative_root(x, W, b, t),
        ),
        Mistake(
            "this is the vertex of the parabola, where the variance is smallest",
            lambda x, W, b, t: -_parts(x, W, b)[1] / _parts(x, W, b)[0],
        ),
        Mistake(
            "standard deviations are subtracted, as if x W and b added them",
            lambda x, W, b, t: (t - _parts(x, W, b)[2] ** 0.5) / _parts(x, W, b)[0] ** 0.5,
        ),
        Mistake(
            "the variance of b is added where it must be taken off",
            lambda x, W, b, t: math.sqrt((t**2 + _parts(x, W, b)[2]) / _parts(x, W, b)[0]),
        ),
        Mistake(
            "the root's 2 is missing: s = (−B ± √(B² − 4 A C)) / (2 A)",
            lambda x, W, b, t: 2 * _factor(x, W, b, t),
        ),
        Mistake(
            "the variances are taken unit by unit and averaged: the one over all entries is asked",
            lambda x, W, b, t: t / (x.double() @ W.double() + b.double()).var(0).mean().sqrt(),
        ),
        Mistake(
            "the biases are scaled too: only W is multiplied",
            lambda x, W, b, t: t / (x.double() @ W.double() + b.double()).std(),
        ),
        Mistake(
            "the biases are left out, and the variance divided by N − 1",
            lambda x, W, b, t: t / (x.double() @ W.double()).std(),
        ),
        Mistake(
            "this is the standard deviation of z as it is",
            lambda x, W, b, t: (x.double() @ W.double() + b.double()).std(correction=0),
        ),
        Mistake(
            "x and W are taken to be independent and of mean 0: measure x W",
            lambda x, W, b, t: math.sqrt(
                (t**2 - b.double().var(correction=0))
                / (len(W) * x.double().square().mean() * W.double().square().mean())
            ),
        ),
        Mistake(
            "b is measured about 0 here: its variance is about its mean",
            lambda x, W, b, t: math.sqrt((t**2 - b.double().square().mean()) / _parts(x, W, b)[0]),
        ),
    ),
    hints=(
        "Write u = x W, (batch, units). The variance of s u + b is a parabola in s.",
        "Var(s u + b) = s² Var(u) + 2 s Cov(u, b) + Var(b), with b repeated for every row.",
        "Set it to target² and take the positive root; every variance is a mean, correction=0.",
    ),
    teaches="What LSUV finds in rounds has a formula: one parabola for each layer.",
)

EXERCISES = (SIZES, RESIDUAL, FACTOR)
