"""Graders of chapter 11, Batch normalisation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from mlpinit.grading.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]

F32, F64 = torch.float32, torch.float64


def _doubles(args: tuple) -> tuple:
    return tuple(a.double() if isinstance(a, Tensor) else a for a in args)


def _fold_cases(g: Generator) -> list[Case]:
    def case(fan_in: int, units: int, *, var=2.0, mean=1.0, eps=1e-5, what="", dtype=F32) -> Case:
        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=g, dtype=dtype)

        spread = var * (0.2 + torch.rand(units, generator=g, dtype=dtype))
        gain, b = 1 + 0.4 * draw(units), 0.5 * draw(units)
        return Case((draw(fan_in, units), mean * draw(units), spread, gain, b, eps), what)

    return [
        case(2, 3, eps=0.1),
        case(30, 12, var=30.0, what="wide sums"),
        case(4, 7, var=1e-5, eps=1e-3, what="units that hardly vary"),
        case(9, 5, mean=200.0, what="far from 0, float64", dtype=F64),
    ]


def _normalised(x, W, mean, var, gain, b, eps) -> Tensor:
    return gain * (x @ W - mean) / (var + eps).sqrt() + b


def _fold(W: Tensor, mean: Tensor, var: Tensor, gain: Tensor, b: Tensor, eps: float):
    """Read off the layer itself: its answer to 0 is the bias, each input's effect a row of W."""
    args = _doubles((W, mean, var, gain, b, eps))
    inputs = torch.eye(len(W), dtype=F64)
    at_zero = _normalised(torch.zeros(len(W), dtype=F64), *args)
    return _normalised(inputs, *args) - at_zero, at_zero


def _fold_mistake(says: str, wrong: Callable[..., object]) -> Mistake:
    return Mistake(says, lambda *args: wrong(*_doubles(args)))


FOLD = Exercise(
    id="11.1",
    title="Fold it away",
    function="fold_batch_norm",
    points=1,
    cases=_fold_cases,
    oracle=_fold,
    rtol=1e-4,
    atol=1e-5,
    mistakes=(
        _fold_mistake(
            "the weights are right; in the bias the mean must be multiplied by the same factor",
            lambda W, m, v, g, b, e: (W * g / (v + e).sqrt(), b - m),
        ),
        _fold_mistake(
            "the weights are right; the bias lacks what the mean takes away",
            lambda W, m, v, g, b, e: (W * g / (v + e).sqrt(), b),
        ),
        _fold_mistake(
            "the mean's part has the wrong sign: the layer subtracts it",
            lambda W, m, v, g, b, e: (W * g / (v + e).sqrt(), b + m * g / (v + e).sqrt()),
        ),
        _fold_mistake(
            "b is scaled here: it is added after the division, and stays as it is",
            lambda W, m, v, g, b, e: (W * g / (v + e).sqrt(), (b - m) * g / (v + e).sqrt()),
        ),
        _fold_mistake(
            "eps is left out: the division is by sqrt(var + eps)",
            lambda W, m, v, g, b, e: (W * g / v.sqrt(), b - m * g / v.sqrt()),
        ),
        _fold_mistake(
            "eps is added to the deviation: it belongs to the variance, under the root",
            lambda W, m, v, g, b, e: (W * g / (v.sqrt() + e), b - m * g / (v.sqrt() + e)),
        ),
        _fold_mistake(
            "this divides by the variance: the deviation is its square root",
            lambda W, m, v, g, b, e: (W * g / (v + e), b - m * g / (v + e)),
        ),
        _fold_mistake(
            "the gain is left out",
            lambda W, m, v, g, b, e: (W / (v + e).sqrt(), b - m / (v + e).sqrt()),
        ),
        _fold_mistake(
            "the bias is right; the columns of W must be multiplied too",
            lambda W, m, v, g, b, e: (W, b - m * g / (v + e).sqrt()),
        ),
        _fold_mistake(
            "the weights are right; in the bias the mean is not divided by the deviation",
            lambda W, m, v, g, b, e: (W * g / (v + e).sqrt(), b - m * g),
        ),
        _fold_mistake(
            "the weights are right; in the bias the mean lacks the gain",
            lambda W, m, v, g, b, e: (W * g / (v + e).sqrt(), b - m / (v + e).sqrt()),
        ),
        _fold_mistake(
            "the weights are right; b is lost from the bias",
            lambda W, m, v, g, b, e: (W * g / (v + e).sqrt(), -m * g / (v + e).sqrt()),
        ),
        _fold_mistake(
            "the bias is right; the weights are not divided by the deviation",
            lambda W, m, v, g, b, e: (W * g, b - m * g / (v + e).sqrt()),
        ),
        _fold_mistake(
            "the bias is right; the weights lack the gain",
            lambda W, m, v, g, b, e: (W / (v + e).sqrt(), b - m * g / (v + e).sqrt()),
        ),
        _fold_mistake(
            "nothing is divided by the deviation",
            lambda W, m, v, g, b, e: (W * g, b - m * g),
        ),
        _fold_mistake(
            "this multiplies by the deviation: the layer divides by it",
            lambda W, m, v, g, b, e: (W * g * (v + e).sqrt(), b - m * g * (v + e).sqrt()),
        ),
        _fold_mistake(
            "this divides by the gain: the layer multiplies by it",
            lambda W, m, v, g, b, e: (W / g / (v + e).sqrt(), b - m / g / (v + e).sqrt()),
        ),
        _fold_mistake(
            "the factor is averaged over the units: each has its own",
            lambda W, m, v, g, b, e: (
                W * (g / (v + e).sqrt()).mean(),
                b - m * (g / (v + e).sqrt()).mean(),
            ),
        ),
        _fold_mistake(
            "the mean is taken off the weights: it belongs in the bias",
            lambda W, m, v, g, b, e: ((W - m) * g / (v + e).sqrt(), b),
        ),
        _fold_mistake(
            "b multiplies and the gain is added: they changed places",
            lambda W, m, v, g, b, e: (W * b / (v + e).sqrt(), g - m * b / (v + e).sqrt()),
        ),
        _fold_mistake(
            "mean and variance changed places",
            lambda W, m, v, g, b, e: (W * g / (m + e).sqrt(), b - v * g / (m + e).sqrt()),
        ),
        _fold_mistake(
            "eps is subtracted: it is added to the variance",
            lambda W, m, v, g, b, e: (W * g / (v - e).sqrt(), b - m * g / (v - e).sqrt()),
        ),
    ),
    hints=(
        "Call gain / sqrt(var + eps) one factor a unit, and multiply the formula out.",
        "What stands beside x is the weights, what does not is the bias.",
        "A unit is a column of W: W * factor multiplies the columns.",
    ),
    teaches="In evaluation batch norm costs nothing: it can be folded into the layer before it.",
)


def _pool_cases(g: Generator) -> list[Case]:
    def case(counts: list[int], units: int, *, apart=1.0, at=0.0, what="", dtype=F32) -> Case:
        shape = (len(counts), units)
        means = at + apart * torch.randn(shape, generator=g, dtype=dtype)
        variances = 0.3 + torch.rand(shape, generator=g, dtype=dtype)
        return Case((torch.tensor(counts), means, variances), what)

    return [
        case([4, 6, 90], 2),
        case([1000, 10, 300, 77], 7, apart=5.0, what="means far apart"),
        case([31, 8], 5, apart=1e-3, what="means almost equal"),
        case([300, 20, 64], 4, apart=0.5, at=5000.0, what="means near 5,000, variances near 1"),
        case([3, 2, 2], 6, what="few examples, float64", dtype=F64),
    ]


def _pool(counts: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Of examples made to measure: half of each part one deviation above its mean, half below."""
    means, variances = means.double(), variances.double()
    spread = variances.sqrt()
    points = torch.cat([means - spread, means + spread])  # (2 K, units)
    weight = (counts.repeat(2).double() / (2 * counts.sum())).unsqueeze(-1)
    mean = (weight * points).sum(0)
    return mean, (weight * (points - mean).square()).sum(0)


def _shares(counts: Tensor) -> Tensor:
    return (counts / counts.sum()).double().unsqueeze(-1)


def _average_variance(counts: Tensor, means: Tensor, variances: Tensor):
    share = _shares(counts)
    return (share * means.double()).sum(0), (share * variances.double()).sum(0)


def _equal_parts(counts: Tensor, means: Tensor, variances: Tensor):
    means, variances = means.double(), variances.double()
    return means.mean(0), variances.mean(0) + means.var(0, correction=0)


def _unbiased(counts: Tensor, means: Tensor, variances: Tensor):
    mean, var = _pool(counts, means, variances)
    n = counts.sum()
    return mean, var * n / (n - 1)


def _taken_for_unbiased(counts: Tensor, means: Tensor, variances: Tensor):
    n = counts.double().unsqueeze(-1)
    within = (variances.double() * (n - 1)).sum(0) / n.sum()
    mean, var = _pool(counts, means, variances)
    return mean, var - (_shares(counts) * variances.double()).sum(0) + within


def _only_between(counts: Tensor, means: Tensor, variances: Tensor):
    mean, var = _pool(counts, means, variances)
    return mean, var - (_shares(counts) * variances.double()).sum(0)


def _averaged_deviations(counts: Tensor, means: Tensor, variances: Tensor):
    mean, _ = _pool(counts, means, variances)
    return mean, (_shares(counts) * variances.double().sqrt()).sum(0).square()


def _cancelled(counts: Tensor, means: Tensor, variances: Tensor, answer: tuple) -> bool:
    """Whether the mean is right and the variance off by what rounding the squares can do."""
    mean, var = _pool(counts, means, variances)
    rounding = 8 * torch.finfo(means.dtype).eps * means.double().square().amax(0)
    right = torch.allclose(answer[0].double(), mean, rtol=1e-4, atol=1e-4)
    off = (answer[1].double() - var).abs()
    return right and bool((off <= rounding).all()) and bool((rounding > 0.1 * var).all())


def _accepts_pool(args: tuple, answer: tuple) -> str | None:
    mean, var = _pool(*args)

    def close(a: Tensor, b: Tensor) -> bool:
        return torch.allclose(a.double(), b, rtol=3e-4, atol=1e-5)

    if close(answer[0], mean) and close(answer[1], var):
        return None
    for mistake in POOL.mistakes:
        wrong = mistake.wrong(*args)
        if close(answer[0], wrong[0].double()) and close(answer[1], wrong[1].double()):
            return mistake.says
    if _cancelled(*args, answer):
        return (
            "the variance is the small difference of two large numbers here, and float32 has "
            "rounded it away: square the distances from the mean, not the means"
        )
    if close(answer[0], mean):
        return "the mean is right; the variance is not"
    return "the mean is not right: every part counts by its number of examples"


POOL = Exercise(
    id="11.2",
    title="Statistics of several shards",
    function="pool_statistics",
    points=2,
    cases=_pool_cases,
    oracle=_pool,
    accepts=_accepts_pool,
    mistakes=(
        Mistake(
            "this averages the variances: it misses the spread of the parts' means",
            _average_variance,
        ),
        Mistake(
            "every part counts alike here: weigh each by its share of the examples", _equal_parts
        ),
        Mistake(
            "this is the unbiased variance, divided by n − 1: the biased one is asked", _unbiased
        ),
        Mistake(
            "the variances that came are taken for unbiased: they are divided by the count already",
            _taken_for_unbiased,
        ),
        Mistake("this is the spread of the means alone: add that within the parts", _only_between),
        Mistake(
            "this averages the deviations: variances add, their roots do not",
            _averaged_deviations,
        ),
    ),
    hints=(
        "The sum of a part's squared distances from any point is count · (variance + distance² "
        "of its mean from that point).",
        "Take the common mean as the point, add over the parts, divide by all the examples.",
        "mean(z²) − mean(z)² says the same on paper, and subtracts two large numbers in floats.",
    ),
    teaches="Total variance is the variance within parts plus that of their means; an average of "
    "variances sees only the first.",
)


def _rms_cases(g: Generator) -> list[Case]:
    def case(batch: int, units: int, *, spread=1.0, eps=1e-5, what="", dtype=F32) -> Case:
        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=g, dtype=dtype)

        z = spread * draw(batch, units) + 0.5 * spread
        return Case((z, 1 + 0.5 * draw(units), draw(batch, units), eps), what)

    silent = case(4, 3, eps=0.01, what="one row of zeros")
    silent.args[0][2] = 0.0
    return [
        case(2, 3, eps=0.1),
        case(32, 12, spread=5.0, what="wide sums"),
        silent,
        case(5, 40, spread=0.01, eps=1e-4, what="tiny sums, float64", dtype=F64),
    ]


def _rms_backward(z: Tensor, gain: Tensor, du: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """By autograd, with the norm of each row in place of its mean square."""
    z, gain, du = (t.double().requires_grad_() for t in (z, gain, du))
    units = z.size(-1)
    length = (z.pow(2).sum(-1) + units * eps).sqrt()
    u = gain * (units**0.5) * z / length[:, None]
    dz, dgain = torch.autograd.grad((u * du.detach()).sum(), (z, gain))
    return dz, dgain


def _by_autograd(
    z: Tensor, gain: Tensor, du: Tensor, norm: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    z, gain = (t.double().requires_grad_() for t in (z, gain))
    dz, dgain = torch.autograd.grad((gain * norm(z) * du.double()).sum(), (z, gain))
    return dz, dgain


def _rms_mistake(says: str, wrong: Callable[..., object]) -> Mistake:
    def recompute(z: Tensor, gain: Tensor, du: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        z, gain, du = z.double(), gain.double(), du.double()
        rms = (z.square().mean(-1, keepdim=True) + eps).sqrt()
        return wrong(z / rms, rms, gain, du, *_rms_backward(z, gain, du, eps))

    return Mistake(says, recompute)


def _through(z_hat: Tensor, d: Tensor, axis: int = -1) -> Tensor:
    return d - z_hat * (z_hat * d).mean(axis, keepdim=True)


RMS = Exercise(
    id="11.3",
    title="Back through RMS norm",
    function="rms_norm_backward",
    points=3,
    cases=_rms_cases,
    oracle=_rms_backward,
    mistakes=(
        _rms_mistake(
            "dgain is right; dz takes the root mean square for a constant, and z moves it too",
            lambda zh, r, g, du, dz, dg: (g * du / r, dg),
        ),
        _rms_mistake(
            "dgain is right; in dz the gain is multiplied last: it must be inside the mean, "
            "which mixes units with different gains",
            lambda zh, r, g, du, dz, dg: (g * _through(zh, du) / r, dg),
        ),
        _rms_mistake(
            "dgain is right; dz lacks the gain",
            lambda zh, r, g, du, dz, dg: (_through(zh, du) / r, dg),
        ),
        _rms_mistake(
            "dgain is right; dz subtracts the mean of the gradient as layer norm does, and RMS "
            "norm takes no mean away",
            lambda zh, r, g, du, dz, dg: (
                (_through(zh, g * du) - (g * du).mean(-1, keepdim=True)) / r,
                dg,
            ),
        ),
        _rms_mistake(
            "dgain is right; dz takes its mean over the batch: an example is normalised by itself",
            lambda zh, r, g, du, dz, dg: (_through(zh, g * du, 0) / r, dg),
        ),
        _rms_mistake(
            "dgain is right; dz has a sum over the units where a mean is due",
            lambda zh, r, g, du, dz, dg: (
                (g * du - zh * (zh * g * du).sum(-1, keepdim=True)) / r,
                dg,
            ),
        ),
        _rms_mistake(
            "dgain is right; dz is not divided by the root mean square",
            lambda zh, r, g, du, dz, dg: (dz * r, dg),
        ),
        _rms_mistake(
            "dgain is right; dz subtracts z · mean where ẑ · mean is meant",
            lambda zh, r, g, du, dz, dg: (
                (g * du - zh * r * (zh * g * du).mean(-1, keepdim=True)) / r,
                dg,
            ),
        ),
        _rms_mistake(
            "dz is right; dgain lacks ẑ: the gain multiplies it",
            lambda zh, r, g, du, dz, dg: (dz, du.sum(0)),
        ),
        _rms_mistake(
            "dz is right; dgain has z where ẑ, the normalised z, is meant",
            lambda zh, r, g, du, dz, dg: (dz, (zh * r * du).sum(0)),
        ),
        _rms_mistake(
            "dz is right; dgain is a mean over the batch: every example uses the gain, so they add",
            lambda zh, r, g, du, dz, dg: (dz, dg / len(du)),
        ),
        _rms_mistake(
            "dgain is right; dz has a plus where the mean is to be taken away",
            lambda zh, r, g, du, dz, dg: (2 * g * du / r - dz, dg),
        ),
        _rms_mistake(
            "dgain is right; dz lacks the division and the gain",
            lambda zh, r, g, du, dz, dg: (_through(zh, du), dg),
        ),
        _rms_mistake(
            "dgain is right; dz is divided by the mean square: by its root is meant",
            lambda zh, r, g, du, dz, dg: (dz / r, dg),
        ),
        _rms_mistake(
            "dgain is right; dz is du passed through the layer itself, du · gain · ẑ",
            lambda zh, r, g, du, dz, dg: (du * g * zh, dg),
        ),
        _rms_mistake(
            "dgain is right; dz is only the part that is to be taken away",
            lambda zh, r, g, du, dz, dg: (g * du / r - dz, dg),
        ),
        _rms_mistake(
            "dgain is right; in dz the mean lacks ẑ: average ẑ · dẑ",
            lambda zh, r, g, du, dz, dg: (
                (g * du - zh * (g * du).mean(-1, keepdim=True)) / r,
                dg,
            ),
        ),
        _rms_mistake(
            "dgain is right; in dz the mean is not multiplied by ẑ again",
            lambda zh, r, g, du, dz, dg: (
                (g * du - (zh * g * du).mean(-1, keepdim=True)) / r,
                dg,
            ),
        ),
        _rms_mistake(
            "dgain is right; in dz the gain is left out of the mean",
            lambda zh, r, g, du, dz, dg: (
                (g * du - zh * (zh * du).mean(-1, keepdim=True)) / r,
                dg,
            ),
        ),
        _rms_mistake(
            "dgain is right; in dz one mean over all entries is taken: each example has its own",
            lambda zh, r, g, du, dz, dg: ((g * du - zh * (zh * g * du).mean()) / r, dg),
        ),
        _rms_mistake(
            "dz is right; dgain has an axis for the examples: all use the gain, so they add",
            lambda zh, r, g, du, dz, dg: (dz, zh * du),
        ),
        _rms_mistake(
            "dz is right; dgain is summed over the units of each example: sum over the examples",
            lambda zh, r, g, du, dz, dg: (dz, (zh * du).sum(1)),
        ),
        _rms_mistake(
            "dz is right; dgain has the gain in it: ẑ · du alone is summed",
            lambda zh, r, g, du, dz, dg: (dz, g * dg),
        ),
        _rms_mistake(
            "dz is right; dgain is divided by the root mean square twice",
            lambda zh, r, g, du, dz, dg: (dz, (zh / r * du).sum(0)),
        ),
        Mistake(
            "eps is left out: it is under the root, with the mean square",
            lambda z, gain, du, eps: _rms_backward(z, gain, du, 0.0),
        ),
        Mistake(
            "eps is added to the root: it belongs under it, with the mean square",
            lambda z, gain, du, eps: _by_autograd(
                z, gain, du, lambda z: z / (z.square().mean(-1, keepdim=True).sqrt() + eps)
            ),
        ),
        Mistake(
            "this is the gradient of layer norm: RMS norm takes no mean away",
            lambda z, gain, du, eps: _by_autograd(
                z, gain, du, lambda z: torch.layer_norm(z, z.shape[-1:], eps=eps)
            ),
        ),
        Mistake(
            "this is for a sum of squares under the root: their mean is meant",
            lambda z, gain, du, eps: _by_autograd(
                z, gain, du, lambda z: z / (z.square().sum(-1, keepdim=True) + eps).sqrt()
            ),
        ),
        Mistake(
            "this normalises each unit over the batch: each example is normalised by itself",
            lambda z, gain, du, eps: _by_autograd(
                z, gain, du, lambda z: z / (z.square().mean(0) + eps).sqrt()
            ),
        ),
    ),
    hints=(
        "Undo the steps from the end: du → dgain and dẑ, then dẑ → dz. dẑ = gain · du.",
        "With r the root, ∂r/∂z_k = z_k / (units · r) = ẑ_k / units, in each row for itself.",
        "∂ẑ_j/∂z_k = ([j = k] − ẑ_j ẑ_k / units) / r: sum over the units j of the same row.",
    ),
    teaches="Another axis and one mean less: the derivation is the same, the examples stay apart.",
)

EXERCISES = (FOLD, POOL, RMS)
