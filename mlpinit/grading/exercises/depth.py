"""Graders of chapter 12, Depth and the edge of chaos."""

from __future__ import annotations

import math

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
    return torch.stack(torch.autograd.grad(h, stream, dh.double()))


def _residual_wrong(kind: str):
    def wrong(x: Tensor, U: list[Tensor], V: list[Tensor], s: float, dh: Tensor) -> Tensor:
        U, V = [u.double() for u in U], [v.double() for v in V]
        h, slopes = x.double(), []
        for u, v in zip(U, V, strict=True):
            f = torch.tanh(h @ u)
            slopes.append(1 - (torch.tanh(f) if kind == "twice" else f) ** 2)
            h = h + s * f @ v
        d = dh.double()
        gradients = [d]
        for u, v, slope in zip(U[::-1], V[::-1], slopes[::-1], strict=True):
            inside = d @ v.T
            if kind != "bare":
                inside = inside * slope
            through = (1 if kind == "scale" else s) * inside @ u.T
            d = through if kind == "skip" else d + through
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
    ),
    hints=(
        "Write u = x W, (batch, units). The variance of s u + b is a parabola in s.",
        "Var(s u + b) = s² Var(u) + 2 s Cov(u, b) + Var(b), with b repeated for every row.",
        "Set it to target² and take the positive root; every variance is a mean, correction=0.",
    ),
    teaches="What LSUV finds in rounds has a formula: one parabola for each layer.",
)

EXERCISES = (SIZES, RESIDUAL, FACTOR)
