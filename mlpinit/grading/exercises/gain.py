"""Graders of chapter 10, Gain and fan-in."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mlpinit.grading.exercise import Case, Draw, Exercise, Mistake

__all__ = ["EXERCISES"]


def _normal_mean(f: Callable[[Tensor], Tensor], std: float) -> float:
    """E f(std ζ), by adding up the density on a fine grid."""
    z = torch.linspace(-10, 10, 80_001, dtype=torch.float64)
    density = torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return torch.trapezoid(density * f(std * z), z).item()


def _bound_cases(g: Draw) -> list[Case]:
    def case(shape: list[int], gain: float, what: str = "") -> Case:
        outputs, inputs = (g.whole(n, n + 1, 2 * n) for n in shape[:2])
        return Case(([outputs, inputs, *shape[2:]], g.real(gain, 0.7 * gain, 1.3 * gain)), what)

    return [
        case([200, 30], 5 / 3),
        case([64, 3, 5, 5], math.sqrt(2), "a convolution over images"),
        case([8, 16, 3], 1.0, "a convolution over a sequence"),
        case([10, 784], 0.5, "many more inputs than outputs"),
        case([4, 2, 3, 5, 7], 1.5, "three kernel axes, of three lengths"),
    ]


def _bound(shape: list[int], gain: float) -> float:
    """The half-width whose even density has the variance: a³/3 over a."""
    weight = torch.empty(shape, device="meta")
    fan_in, _ = torch.nn.init._calculate_fan_in_and_fan_out(weight)
    return (3 * gain**2 / fan_in) ** 0.5


def _bound_of(fan: float, gain: float) -> float:
    return gain * (3 / fan) ** 0.5


BOUND = Exercise(
    id="10.1",
    title="An even draw",
    function="uniform_bound",
    points=1,
    cases=_bound_cases,
    oracle=_bound,
    mistakes=(
        Mistake(
            "this is the standard deviation itself: a draw from −a to a has less, a/√3",
            lambda shape, gain: _bound(shape, gain) / math.sqrt(3),
        ),
        Mistake(
            "this uses the fan-out: PyTorch's weights are (fan_out, fan_in), so the first axis is "
            "the outputs",
            lambda shape, gain: _bound_of(shape[0] * math.prod(shape[2:]), gain),
        ),
        Mistake(
            "the kernel is left out: an output of a convolution sums over it as well",
            lambda shape, gain: _bound_of(shape[1], gain),
        ),
        Mistake(
            "this counts the outputs as well: the fan-in is what one output sums over",
            lambda shape, gain: _bound_of(math.prod(shape), gain),
        ),
        Mistake(
            "this is the width of the range, from −a to a; asked is a, half of it",
            lambda shape, gain: 2 * _bound(shape, gain),
        ),
        Mistake(
            "this divides by the fan-in: the standard deviation goes with its square root",
            lambda shape, gain: math.sqrt(3) * gain / math.prod(shape[1:]),
        ),
        Mistake(
            "this is Xavier's fan, the mean of both: asked is the fan-in alone",
            lambda shape, gain: _bound_of(
                (shape[0] + shape[1]) * math.prod(shape[2:]) / 2,
                gain,
            ),
        ),
        Mistake(
            "the gain is squared: it multiplies the standard deviation once",
            lambda shape, gain: _bound(shape, gain) * gain,
        ),
        Mistake(
            "the root of the gain is taken: it multiplies the standard deviation",
            lambda shape, gain: _bound(shape, gain) / math.sqrt(gain),
        ),
        Mistake(
            "the gain is left out",
            lambda shape, gain: _bound(shape, 1.0),
        ),
        Mistake(
            "3 stands without its root: the half-width is √3 standard deviations",
            lambda shape, gain: _bound(shape, gain) * math.sqrt(3),
        ),
        Mistake(
            "√6 is for a fan of inputs and outputs together: for the fan-in alone it is √3",
            lambda shape, gain: _bound(shape, gain) * math.sqrt(2),
        ),
        Mistake(
            "√12 belongs to the width of the range, from −a to a",
            lambda shape, gain: gain / math.sqrt(12 * math.prod(shape[1:])),
        ),
        Mistake(
            "this is a²: the bound is its root",
            lambda shape, gain: _bound(shape, gain) ** 2,
        ),
        Mistake(
            "the axes are added up: an output sums over all places of all channels, their product",
            lambda shape, gain: _bound_of(sum(shape[1:]), gain),
        ),
        Mistake(
            "only the last axis is counted",
            lambda shape, gain: _bound_of(shape[-1], gain),
        ),
        Mistake(
            "the first axis alone is counted, and it is the outputs",
            lambda shape, gain: _bound_of(shape[0], gain),
        ),
        Mistake(
            "inputs and outputs are added: asked is the fan-in alone",
            lambda shape, gain: _bound_of((shape[0] + shape[1]) * math.prod(shape[2:]), gain),
        ),
        Mistake(
            "the gain divides: it multiplies the standard deviation",
            lambda shape, gain: _bound_of(math.prod(shape[1:]), 1 / gain),
        ),
        Mistake(
            "this multiplies by the root of the fan-in: more inputs need smaller weights",
            lambda shape, gain: gain * math.sqrt(3 * math.prod(shape[1:])),
        ),
    ),
    hints=(
        "Which axes does one output of the layer sum over? Their lengths multiplied are the "
        "fan-in; the first axis is not among them.",
        "The variance of an even draw from −a to a is the mean of x² there, which is a²/3.",
    ),
    teaches="A scheme fixes a standard deviation; the shape of the draw and the layout of the "
    "weights decide what number that becomes. `nn.Linear` starts at a gain of 1/√3, about 0.577.",
)


def _stretched_cases(g: Draw) -> list[Case]:
    def case(a: float, b: float, q: float, what: str) -> Case:
        return Case(tuple(g.real(v, 0.8 * v, 1.2 * v) for v in (a, b, q)), what)

    return [
        case(1.7159, 2 / 3, 1.0, "the stretched tanh of LeCun and others"),
        case(2.0, 0.3, 4.0, "wide pre-activations"),
        case(0.5, 3.0, 0.25, "steep and low"),
        case(1.2, 0.8, 30.0, "saturated"),
        case(0.7, 1.9, 1e-4, "tiny pre-activations"),
    ]


def _stretched(a: float, b: float, q: float) -> tuple[float, float]:
    # a tanh(bz) of z is a tanh of something √(b² q) wide.
    width = b * math.sqrt(q)
    size = _normal_mean(lambda z: torch.tanh(z) ** 2, width)
    slope = _normal_mean(lambda z: torch.cosh(z) ** -4, width)
    return math.sqrt(q / size) / a, 1 / (a * b * math.sqrt(slope))


def _no_chain(a: float, b: float, q: float) -> tuple[float, float]:
    forward, backward = _stretched(a, b, q)
    return forward, backward * b


def _no_root(a: float, b: float, q: float) -> tuple[float, float]:
    forward, backward = _stretched(a, b, q)
    return forward**2, backward**2


def _no_q(a: float, b: float, q: float) -> tuple[float, float]:
    forward, backward = _stretched(a, b, q)
    return forward / math.sqrt(q), backward


def _as_std(a: float, b: float, q: float) -> tuple[float, float]:
    forward, backward = _stretched(a, b, q * q)
    return forward / math.sqrt(q), backward


def _inverted(a: float, b: float, q: float) -> tuple[float, float]:
    forward, backward = _stretched(a, b, q)
    return 1 / forward, 1 / backward


def _no_a(a: float, b: float, q: float) -> tuple[float, float]:
    forward, backward = _stretched(a, b, q)
    return forward * a, backward * a


STRETCHED = Exercise(
    id="10.2",
    title="A stretched tanh",
    function="stretched_tanh_gains",
    points=2,
    cases=_stretched_cases,
    oracle=_stretched,
    rtol=2e-4,
    mistakes=(
        Mistake(
            "the forward gain is right; the slope of a tanh(b z) is a b (1 − tanh²(b z)), and "
            "the b is missing",
            _no_chain,
        ),
        Mistake(
            "the forward gain is to keep q, not to make 1: the size of f is to be compared with q",
            _no_q,
        ),
        Mistake(
            "q is a variance: the Gaussian is √q wide",
            _as_std,
        ),
        Mistake("these are the squares: a gain multiplies a standard deviation", _no_root),
        Mistake(
            "these are what the activation leaves; the gain makes up for it, and is one over it",
            _inverted,
        ),
        Mistake("the factor a in front of the tanh is left out, of f and of its slope", _no_a),
        Mistake(
            "the two are the wrong way round: forward first",
            lambda a, b, q: _stretched(a, b, q)[::-1],
        ),
        Mistake(
            "this is for pre-activations of variance 1: here they have variance q",
            lambda a, b, q: _stretched(a, b, 1.0),
        ),
        Mistake(
            "the backward gain is right; forward the mean of f is squared: square f, then average",
            lambda a, b, q: (
                math.sqrt(q) / (a * _normal_mean(lambda z: torch.tanh(z).abs(), b * math.sqrt(q))),
                _stretched(a, b, q)[1],
            ),
        ),
        Mistake(
            "the forward gain is right; backward the mean of the slope stands where that of its "
            "square is meant",
            lambda a, b, q: (
                _stretched(a, b, q)[0],
                1 / (a * b * _normal_mean(lambda z: torch.cosh(z) ** -2, b * math.sqrt(q))),
            ),
        ),
        Mistake(
            "the forward gain is right; backward the slope is not squared under the root",
            lambda a, b, q: (
                _stretched(a, b, q)[0],
                (a * b * _normal_mean(lambda z: torch.cosh(z) ** -2, b * math.sqrt(q))) ** -0.5,
            ),
        ),
        Mistake(
            "the forward gain is right; of the slope's factor a the backward gain knows nothing",
            lambda a, b, q: (_stretched(a, b, q)[0], _stretched(a, b, q)[1] * a),
        ),
        Mistake(
            "the backward gain is right; the factor a is left out of f",
            lambda a, b, q: (_stretched(a, b, q)[0] * a, _stretched(a, b, q)[1]),
        ),
        Mistake(
            "b is left out: the tanh is of b z, and so is its slope",
            lambda a, b, q: (_stretched(a, 1.0, q)[0], _stretched(a, 1.0, q)[1]),
        ),
        Mistake(
            "b is left out of the tanh",
            lambda a, b, q: (_stretched(a, 1.0, q)[0], _stretched(a, 1.0, q)[1] / b),
        ),
        Mistake(
            "the slope is taken at 0 alone, a b: average it over the Gaussian",
            lambda a, b, q: (_stretched(a, b, q)[0], 1 / (a * b)),
        ),
        Mistake(
            "the backward gain has √q in it too: the gradient is to keep its own size",
            lambda a, b, q: (_stretched(a, b, q)[0], _stretched(a, b, q)[1] * math.sqrt(q)),
        ),
        Mistake(
            "f is taken at one standard deviation alone: average over the Gaussian",
            lambda a, b, q: (
                math.sqrt(q) / (a * math.tanh(b * math.sqrt(q))),
                math.cosh(b * math.sqrt(q)) ** 2 / (a * b),
            ),
        ),
        Mistake(
            "forward q stands where √q is meant: a gain multiplies a standard deviation",
            lambda a, b, q: (_stretched(a, b, q)[0] * math.sqrt(q), _stretched(a, b, q)[1]),
        ),
        Mistake(
            "these are for a plain tanh",
            lambda a, b, q: _stretched(1.0, 1.0, q),
        ),
        Mistake(
            "both gains are the forward one: the backward one is about the slope",
            lambda a, b, q: (_stretched(a, b, q)[0],) * 2,
        ),
    ),
    hints=(
        "Set q' = q in the equation of the forward variance, and δ' as large as δ in that of the "
        "gradient. Solve each for the gain.",
        "gains.expectation(f, std=...) is E f of a Gaussian that wide. You need the mean of f² "
        "and the mean of f'², with the chain rule in the second.",
        "forward = √(q / E f(√q ζ)²), backward = 1 / √(E f'(√q ζ)²).",
    ),
    teaches="A gain belongs to a function and to the width of what goes in; an activation can be "
    "stretched so that it hardly needs one. Theirs wants 1.154 forward and 1.115 backward at "
    "q = 1, and neither is 5/3.",
)

Parts = list[tuple[int, str, float]]


def _mixed_cases(g: Draw) -> list[Case]:
    def case(parts: Parts, target_std: float, sigma_b: float, what: str = "") -> Case:
        parts = [(g.whole(n, n, 2 * n), kind, g.real(q, 0.8 * q, 1.2 * q)) for n, kind, q in parts]
        target_std, sigma_b = (g.real(v, 0.9 * v, 1.1 * v) for v in (target_std, sigma_b))
        return Case((parts, target_std, sigma_b), what)

    return [
        case([(4, "linear", 1.2), (6, "tanh", 2.0)], 1.0, 0.5),
        case([(30, "linear", 1.5), (200, "tanh", 2.5), (50, "relu", 0.8)], 1.5, 0.3),
        case([(70, "relu", 4.0), (3, "linear", 9.0)], 3.0, 2.0, "large biases"),
        case([(500, "tanh", 30.0), (20, "tanh", 0.01)], 0.7, 0.1, "wide and narrow"),
        case([(11, "relu", 0.2)], 0.5, 0.2, "one kind alone"),
    ]


def _mean_square(kind: str, q: float) -> float:
    if kind == "tanh":
        return _normal_mean(lambda z: torch.tanh(z) ** 2, math.sqrt(q))
    return q if kind == "linear" else q / 2


def _scale_for(total: float, target_std: float, sigma_b: float) -> float:
    return math.sqrt((target_std - sigma_b) * (target_std + sigma_b) / total)


def _mixed(parts: Parts, target_std: float, sigma_b: float) -> float:
    sizes = torch.tensor([_mean_square(kind, q) for _, kind, q in parts], dtype=torch.float64)
    counts = torch.tensor([count for count, _, _ in parts], dtype=torch.float64)
    return _scale_for(float(counts @ sizes), target_std, sigma_b)


def _with_sizes(size: Callable[[str, float], float]) -> Callable[..., float]:
    """The answer with another notion of how large an input is."""

    def wrong(parts: Parts, target_std: float, sigma_b: float) -> float:
        return _scale_for(sum(n * size(k, q) for n, k, q in parts), target_std, sigma_b)

    return wrong


def _variance(kind: str, q: float) -> float:
    mean_square = _mean_square(kind, q)
    return mean_square - q / (2 * math.pi) if kind == "relu" else mean_square


def _unweighted(parts: Parts, target_std: float, sigma_b: float) -> float:
    fan_in = sum(count for count, _, _ in parts)
    mean = sum(_mean_square(kind, q) for _, kind, q in parts) / len(parts)
    return _scale_for(fan_in * mean, target_std, sigma_b)


MIXED = Exercise(
    id="10.3",
    title="Inputs of several kinds",
    function="mixed_scale",
    points=3,
    cases=_mixed_cases,
    oracle=_mixed,
    mistakes=(
        Mistake(
            "the biases are left out: their variance is part of the target's",
            lambda parts, target_std, sigma_b: _mixed(parts, target_std, 0.0),
        ),
        Mistake(
            "standard deviations are subtracted here: of independent terms the variances add",
            lambda parts, target_std, sigma_b: _mixed(parts, target_std - sigma_b, 0.0),
        ),
        Mistake(
            "every group is taken as linear: relu and tanh pass on less than q",
            _with_sizes(lambda kind, q: q),
        ),
        Mistake(
            "for relu this uses the variance: the weights multiply its mean too, so the mean "
            "square counts",
            _with_sizes(_variance),
        ),
        Mistake(
            "q is ignored: relu and tanh are taken as of standard normal numbers",
            _with_sizes(lambda kind, q: q if kind == "linear" else _mean_square(kind, 1.0)),
        ),
        Mistake(
            "q is taken for a standard deviation: it is a variance",
            _with_sizes(lambda kind, q: _mean_square(kind, q * q)),
        ),
        Mistake(
            "tanh of a variance is no mean square: average tanh² over the Gaussian",
            _with_sizes(
                lambda k, q: math.tanh(math.sqrt(q)) ** 2 if k == "tanh" else q / 2 ** (k == "relu")
            ),
        ),
        Mistake(
            "the groups are averaged as if they were of one size: weigh each by its count",
            _unweighted,
        ),
        Mistake(
            "this is σ_W squared",
            lambda *args: _mixed(*args) ** 2,
        ),
        Mistake(
            "the variance of the biases was added where it must be taken off",
            lambda parts, t, s: _mixed(parts, math.hypot(t, s), 0.0),
        ),
        Mistake(
            "target_std is taken for a variance: it is a standard deviation, so square it",
            lambda parts, t, s: _mixed(parts, math.sqrt(t - s * s), 0.0),
        ),
        Mistake(
            "sigma_b is taken for a variance: it is a standard deviation, so square it",
            lambda parts, t, s: _mixed(parts, math.sqrt(t * t - s), 0.0),
        ),
        Mistake(
            "the counts are left out: every input adds its own",
            lambda parts, t, s: _scale_for(sum(_mean_square(k, q) for _, k, q in parts), t, s),
        ),
        Mistake(
            "only the inputs are counted, as if each had a mean square of 1",
            _with_sizes(lambda kind, q: 1.0),
        ),
        Mistake(
            "relu is taken to halve q once more: half of the Gaussian keeps its squares, q / 2",
            _with_sizes(lambda kind, q: q / 4 if kind == "relu" else _mean_square(kind, q)),
        ),
        Mistake(
            "relu is taken to pass on all of q: half of the Gaussian is cut off",
            _with_sizes(lambda kind, q: q if kind == "relu" else _mean_square(kind, q)),
        ),
        Mistake(
            "tanh is taken to pass on all of q: average tanh² over the Gaussian",
            _with_sizes(lambda kind, q: q if kind == "tanh" else _mean_square(kind, q)),
        ),
        Mistake(
            "tanh is taken to be ±1: average tanh² over the Gaussian",
            _with_sizes(lambda kind, q: 1.0 if kind == "tanh" else _mean_square(kind, q)),
        ),
        Mistake(
            "for tanh this averages |tanh| and squares: square first, then average",
            _with_sizes(
                lambda kind, q: (
                    _normal_mean(lambda z: torch.tanh(z).abs(), math.sqrt(q)) ** 2
                    if kind == "tanh"
                    else _mean_square(kind, q)
                )
            ),
        ),
        Mistake(
            "sizes are added where their squares are meant: variances add",
            _with_sizes(lambda kind, q: math.sqrt(_mean_square(kind, q))),
        ),
        Mistake(
            "every group's scale is found for itself and averaged: one sum has one scale",
            lambda parts, t, s: (
                sum(_mixed([part], t, s) for part in parts) / len(parts) if len(parts) > 1 else None
            ),
        ),
        Mistake(
            "the gains of the kinds are averaged: every input adds its own mean square",
            lambda parts, t, s: (
                _scale_for(sum(n for n, _, _ in parts), t, s)
                * sum(n / math.sqrt(_mean_square(k, q)) for n, k, q in parts)
                / sum(n for n, _, _ in parts)
                if len(parts) > 1
                else None
            ),
        ),
        Mistake(
            "only the first group is counted",
            lambda parts, t, s: _mixed(parts[:1], t, s) if len(parts) > 1 else None,
        ),
        Mistake(
            "only the last group is counted",
            lambda parts, t, s: _mixed(parts[-1:], t, s) if len(parts) > 1 else None,
        ),
        Mistake(
            "the sum of mean squares stands without its root",
            lambda parts, t, s: _mixed(parts, t, s) ** 2 / math.sqrt(t * t - s * s),
        ),
    ),
    hints=(
        "Take the variance of a sum apart: every input adds σ_W² times its own mean square, "
        "whatever kind it is.",
        "The mean square of a group is q for linear, q/2 for relu, and for tanh a number that "
        "gains.second_moment computes.",
        "Σ count · (mean square) stands where fan-in · E[x²] stood; the target is its variance "
        "times σ_W², plus sigma_b².",
    ),
    teaches="A gain is a shorthand for inputs of one kind; the sum of mean squares is what counts, "
    "also where a skip connection mixes them.",
)

EXERCISES = (BOUND, STRETCHED, MIXED)
