"""Graders of chapter 8, Shrinking the weights."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from mlpinit.grading.exercise import Case, Draw, Exercise, Mistake

__all__ = ["EXERCISES"]

F32, F64 = torch.float32, torch.float64


def _share_cases(g: Draw) -> list[Case]:
    def case(fan_in: int, w: float, b: float, mean_square: float, cut: float, what: str = ""):
        w, b, mean_square = (g.real(v, 0.9 * v, 1.1 * v) for v in (w, b, mean_square))
        return Case((g.whole(fan_in, fan_in, fan_in + 3), w, b, mean_square, cut), what)

    return [
        case(30, 0.2, 0.5, 1.3, 0.99),
        case(784, 0.05, 0.3, 0.1, 0.97, "many small inputs"),
        case(3, 1.0, 2.0, 4.0, 0.9, "few large inputs, large biases"),
        case(100, 0.06, 0.02, 2.5, 0.999, "a small share"),
        case(64, 5.0, 1.0, 7.0, 0.5, "nearly all"),
    ]


def _std(fan_in: int, weight_std: float, bias_std: float, mean_square: float) -> float:
    return math.hypot(math.sqrt(fan_in * mean_square) * weight_std, bias_std)


def _beyond(a: float, std: float) -> float:
    """The part of a Gaussian outside ±a, by adding up its density."""
    t = torch.linspace(a / std, a / std + 12, 60_001, dtype=torch.float64)
    return 2 * torch.trapezoid(torch.exp(-t * t / 2) / math.sqrt(2 * math.pi), t).item()


def _share(fan_in: int, weight_std: float, bias_std: float, mean_square: float, cut: float):
    return _beyond(math.atanh(cut), _std(fan_in, weight_std, bias_std, mean_square))


SHARE = Exercise(
    id="8.1",
    title="The white share, predicted",
    function="predicted_white_share",
    points=1,
    cases=_share_cases,
    oracle=_share,
    mistakes=(
        Mistake(
            "this is one tail only: |h| > cut at both ends, which doubles it",
            lambda *args: _share(*args) / 2,
        ),
        Mistake(
            "the bias is left out: its variance, bias_std², adds to that of the sum",
            lambda n, w, b, m, cut: _share(n, w, 0.0, m, cut),
        ),
        Mistake(
            "the cut is on h, and the Gaussian is z's: |h| > cut is |z| > atanh(cut)",
            lambda n, w, b, m, cut: _beyond(cut, _std(n, w, b, m)),
        ),
        Mistake(
            "this uses the variance of z as its width: the standard deviation is its square root",
            lambda n, w, b, m, cut: _beyond(math.atanh(cut), _std(n, w, b, m) ** 2),
        ),
        Mistake(
            "standard deviations are added here: of independent terms the variances add",
            lambda n, w, b, m, cut: _beyond(math.atanh(cut), math.sqrt(n * m) * w + b),
        ),
        Mistake(
            "fan_in multiplies the standard deviation here: it multiplies the variance",
            lambda n, w, b, m, cut: _beyond(math.atanh(cut), math.hypot(n * math.sqrt(m) * w, b)),
        ),
        Mistake(
            "mean_square is squared once more: it is already the mean of x²",
            lambda n, w, b, m, cut: _share(n, w, b, m * m, cut),
        ),
        Mistake(
            "mean_square is left out: a term x w has variance mean_square · weight_std²",
            lambda n, w, b, m, cut: _share(n, w, b, 1.0, cut),
        ),
        Mistake(
            "this is the share within the cut, the black cells",
            lambda *args: 1 - _share(*args),
        ),
        Mistake(
            "weight_std is not squared: of independent terms the variances add",
            lambda n, w, b, m, cut: _beyond(math.atanh(cut), math.sqrt(n * m * w + b * b)),
        ),
        Mistake(
            "bias_std is not squared: of independent terms the variances add",
            lambda n, w, b, m, cut: _beyond(math.atanh(cut), math.sqrt(n * m * w * w + b)),
        ),
        Mistake(
            "neither standard deviation is squared: of independent terms the variances add",
            lambda n, w, b, m, cut: _beyond(math.atanh(cut), math.sqrt(n * m * w + b)),
        ),
        Mistake(
            "fan_in is left out: so many terms are added",
            lambda n, w, b, m, cut: _share(1, w, b, m, cut),
        ),
        Mistake(
            "there is a bias for every input here: each unit has one",
            lambda n, w, b, m, cut: _share(n, w, math.sqrt(n) * b, m, cut),
        ),
        Mistake(
            "the sum is divided by fan_in: a unit adds its terms up",
            lambda n, w, b, m, cut: _beyond(math.atanh(cut), math.hypot(w * math.sqrt(m / n), b)),
        ),
        Mistake(
            "√2 is missing: a Gaussian lies beyond ±a with probability erfc(a / (std · √2))",
            lambda *args: math.erfc(math.atanh(args[4]) / _std(*args[:4])),
        ),
        Mistake(
            "√2 is missing, and one tail: the probability is erfc(a / (std · √2))",
            lambda *args: math.erfc(math.atanh(args[4]) / _std(*args[:4])) / 2,
        ),
        Mistake(
            "this has erf where erfc is meant, and no √2",
            lambda *args: math.erf(math.atanh(args[4]) / _std(*args[:4])),
        ),
        Mistake(
            "tanh of the cut is taken: |h| > cut is |z| > atanh(cut)",
            lambda n, w, b, m, cut: _beyond(math.tanh(cut), _std(n, w, b, m)),
        ),
        Mistake(
            "z is taken to be standard: divide by its standard deviation",
            lambda n, w, b, m, cut: _beyond(math.atanh(cut), 1.0),
        ),
        Mistake(
            "this multiplies by the standard deviation: the cut is measured in its units, divide",
            lambda n, w, b, m, cut: _beyond(math.atanh(cut) * _std(n, w, b, m), 1.0),
        ),
        Mistake(
            "this is all but one tail, the part below the cut",
            lambda *args: 1 - _share(*args) / 2,
        ),
        Mistake(
            "this is the height of the Gaussian at the cut: its area beyond is asked",
            lambda *args: (
                math.exp(-((math.atanh(args[4]) / _std(*args[:4])) ** 2) / 2)
                / (_std(*args[:4]) * math.sqrt(2 * math.pi))
            ),
        ),
        Mistake(
            "this is the logistic cut, log(cut / (1 − cut)): tanh's inverse is atanh",
            lambda n, w, b, m, cut: _beyond(math.log(cut / (1 - cut)), _std(n, w, b, m)),
        ),
    ),
    hints=(
        "Find the variance of z first: fan_in independent terms and a bias, whose variances add.",
        "|h| > cut says the same as |z| > atanh(cut).",
        "A Gaussian of mean 0 lies beyond ±a with probability math.erfc(a / (std · √2)).",
    ),
    teaches="Four numbers that are known before any data flow say how white the map will be.",
)


def _scale_cases(g: Generator) -> list[Case]:
    def case(batch: int, fan_in: int, units: int, spread: float, bias: float, *range_, what=""):
        x = spread * torch.randn(batch, fan_in, generator=g)
        W = torch.randn(fan_in, units, generator=g)
        return Case((x, W, bias * torch.randn(units, generator=g), *range_), what)

    return [
        case(4, 3, 5, 3.0, 0.3, 0.1, 0.3),
        case(64, 12, 50, 1.0, 0.8, 0.01, 0.03, what="600 weights"),
        case(90, 100, 30, 3.0, 0.3, 0.01, 0.03, what="many large inputs"),
        case(50, 8, 40, 0.01, 0.01, 0.01, 0.03, what="tiny inputs"),
        case(70, 12, 60, 1.0, 2.0, 0.27, 0.3, what="large biases"),
    ]


def _white(z: Tensor) -> float:
    return float((z.abs() > math.atanh(0.99)).double().mean())


def _scale(x: Tensor, W: Tensor, b: Tensor, low: float, high: float) -> float:
    """Of 600 factors, the one whose share is nearest to the middle of the range."""
    z, b = x.double() @ W.double(), b.double()
    factors = torch.logspace(-4, 4, 601, dtype=torch.float64).tolist()
    return min(factors, key=lambda s: abs(_white(s * z + b) - (low + high) / 2))


def _accepts_scale(args: tuple, answer: object) -> str | None:
    x, W, b, low, high = args
    s = float(answer)
    if not math.isfinite(s):
        return f"s is {s:g}: not a finite number"
    if s <= 0:
        return f"s is {s:.4g}: the factor must be positive"

    z, b = x.double() @ W.double(), b.double()

    def fits(share: float) -> bool:
        return low - 1e-6 <= share <= high + 1e-6

    share = _white(s * z + b)
    if fits(share):
        return None
    found = f"{share:.1%} of the activations have |h| > 0.99"
    if share > high:
        says = f"s = {s:.4g} is too large: {found}, and at most {high:.0%} may"
    else:
        says = f"s = {s:.4g} is too small: {found}, and at least {low:.0%} must"
    if fits(float(((s * z + b).abs() > 0.99).double().mean())):
        return f"{says} (it would fit for |z| > 0.99: the cut is on h)"
    scaled, without = fits(_white(s * (z + b))), fits(_white(s * z))
    if scaled and without:
        return f"{says} (it would fit if b were left out, or scaled: b is added as it is)"
    if scaled:
        return f"{says} (it would fit if b were scaled too: b is added as it is)"
    if without:
        return f"{says} (it would fit if b were left out: b is added as it is)"
    return says


SCALE = Exercise(
    id="8.2",
    title="Pick a scale",
    function="pick_scale",
    points=2,
    cases=_scale_cases,
    oracle=_scale,
    accepts=_accepts_scale,
    mistakes=(),
    hints=(
        "Write a function of s that computes the layer and counts; then look for an s.",
        "The share grows with s. Double s until the share is no longer too small.",
        "Then halve: keep one s with too few and one with too many, and try the middle.",
    ),
    teaches="A start can be tuned to its data in a few forward passes, without any training.",
)


def _limit_cases(g: Generator) -> list[Case]:
    def case(fan_in: int, hidden: int, vocab: int, bias: float, *, what="", dtype=F32):
        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=g, dtype=dtype)

        W1, b1 = 0.02 * draw(fan_in, hidden), bias * draw(hidden)
        return Case((W1, b1, draw(hidden, vocab), draw(vocab)), what)

    stuck = case(5, 6, 4, 0.5, what="two units stuck at ±1")
    stuck.args[1][:2] = torch.tensor([20.0, -20.0])
    return [
        case(2, 3, 4, 0.8),
        case(30, 20, 27, 0.01, what="small biases"),
        stuck,
        case(7, 11, 3, 1.5, what="float64", dtype=F64),
    ]


def _limit(W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
    """The network at x = 0, and its derivative there by autograd."""
    W1, b1, W2, b2 = (t.double() for t in (W1, b1, W2, b2))

    def logits(x: Tensor) -> Tensor:
        return torch.tanh(x @ W1 + b1) @ W2 + b2

    x = torch.zeros(len(W1), dtype=torch.float64)
    return torch.autograd.functional.jacobian(logits, x).T.contiguous(), logits(x)


def _limit_mistake(says: str, wrong) -> Mistake:
    return Mistake(says, lambda *args: wrong(*(t.double() for t in args), *_limit(*args)))


LIMIT = Exercise(
    id="8.3",
    title="The network that is left",
    function="linear_limit",
    points=3,
    cases=_limit_cases,
    oracle=_limit,
    mistakes=(
        _limit_mistake(
            "tanh is replaced by z itself here, as if b1 were small: expand it around b1, not 0",
            lambda W1, b1, W2, b2, W, b: (W1 @ W2, b1 @ W2 + b2),
        ),
        _limit_mistake(
            "the hidden biases are forgotten: with x at 0 the layer still answers tanh(b1)",
            lambda W1, b1, W2, b2, W, b: (W1 @ W2, b2),
        ),
        _limit_mistake(
            "the matrix is right; the bias forgets what tanh(b1) sends through W2",
            lambda W1, b1, W2, b2, W, b: (W, b2),
        ),
        _limit_mistake(
            "the bias is right; the matrix lacks the slope of each unit, 1 − tanh(b1)²",
            lambda W1, b1, W2, b2, W, b: (W1 @ W2, b),
        ),
        _limit_mistake(
            "the matrix is right; the bias has b1 where the layer answers tanh(b1)",
            lambda W1, b1, W2, b2, W, b: (W, b1 @ W2 + b2),
        ),
        _limit_mistake(
            "the slope of tanh at b1 is 1 − tanh(b1)², not 1 − b1²",
            lambda W1, b1, W2, b2, W, b: ((W1 * (1 - b1**2)) @ W2, b),
        ),
        _limit_mistake(
            "b2 is left out of the bias",
            lambda W1, b1, W2, b2, W, b: (W, b - b2),
        ),
        _limit_mistake(
            "b1 itself stands for tanh(b1) in both",
            lambda W1, b1, W2, b2, W, b: ((W1 * (1 - b1**2)) @ W2, b1 @ W2 + b2),
        ),
        _limit_mistake(
            "the bias is right; the slope is 1 − tanh(b1)²: its square is missing",
            lambda W1, b1, W2, b2, W, b: ((W1 * (1 - b1.tanh())) @ W2, b),
        ),
        _limit_mistake(
            "the bias is right; the matrix has tanh(b1) where the slope is meant",
            lambda W1, b1, W2, b2, W, b: ((W1 * b1.tanh()) @ W2, b),
        ),
        _limit_mistake(
            "the bias is right; the matrix has tanh(b1)² where 1 − tanh(b1)² is meant",
            lambda W1, b1, W2, b2, W, b: ((W1 * b1.tanh() ** 2) @ W2, b),
        ),
        _limit_mistake(
            "the bias is right; the matrix has 1 + tanh(b1)² where 1 − tanh(b1)² is meant",
            lambda W1, b1, W2, b2, W, b: ((W1 * (1 + b1.tanh() ** 2)) @ W2, b),
        ),
        _limit_mistake(
            "the bias is right; tanh is applied twice in the slope",
            lambda W1, b1, W2, b2, W, b: ((W1 * (1 - b1.tanh().tanh() ** 2)) @ W2, b),
        ),
        _limit_mistake(
            "the bias is right; tanh is taken of the weights: their products with x are small, not "
            "they",
            lambda W1, b1, W2, b2, W, b: (W1.tanh() @ W2, b),
        ),
        _limit_mistake(
            "the bias is right; the matrix is tanh(W1 + b1) @ W2: the slope of tanh at b1 is meant",
            lambda W1, b1, W2, b2, W, b: ((W1 + b1).tanh() @ W2, b),
        ),
        _limit_mistake(
            "the bias is right; the slope is averaged over the units: each has its own",
            lambda W1, b1, W2, b2, W, b: ((1 - b1.tanh() ** 2).mean() * W1 @ W2, b),
        ),
        _limit_mistake(
            "the matrix is right; the bias has the slope where the answer, tanh(b1), is meant",
            lambda W1, b1, W2, b2, W, b: (W, (1 - b1.tanh() ** 2) @ W2 + b2),
        ),
        _limit_mistake(
            "the matrix is right; the slope is in the bias too: tanh(b1) is answered whole",
            lambda W1, b1, W2, b2, W, b: (W, (b1.tanh() * (1 - b1.tanh() ** 2)) @ W2 + b2),
        ),
        _limit_mistake(
            "the matrix is right; the bias takes tanh last: it is tanh(b1) @ W2 + b2",
            lambda W1, b1, W2, b2, W, b: (W, (b1 @ W2 + b2).tanh()),
        ),
        _limit_mistake(
            "the matrix is right; tanh is applied twice in the bias",
            lambda W1, b1, W2, b2, W, b: (W, b1.tanh().tanh() @ W2 + b2),
        ),
        _limit_mistake(
            "the matrix is right; b2 is subtracted",
            lambda W1, b1, W2, b2, W, b: (W, b - 2 * b2),
        ),
        _limit_mistake(
            "the slope is missing from the matrix, and b2 from the bias",
            lambda W1, b1, W2, b2, W, b: (W1 @ W2, b1.tanh() @ W2),
        ),
    ),
    hints=(
        "With W1 = 0 the logits do not depend on x. What are they? That is b.",
        "A unit answers tanh(b1 + u) with a small u = x · w. What is that to first order in u?",
        "tanh(b1 + u) ≈ tanh(b1) + (1 − tanh(b1)²) u: every column of W1 gets its unit's slope.",
    ),
    teaches="Tiny weights make a linear model, and a stuck unit drops out of its matrix "
    "and stays in its bias.",
)

EXERCISES = (SHARE, SCALE, LIMIT)
