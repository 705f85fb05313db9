"""Graders of chapter 9, Other activations, other deaths."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional

from mlpinit.grading.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]

F32, F64 = torch.float32, torch.float64


def _elu_cases(g: Generator) -> list[Case]:
    def case(batch: int, units: int, alpha: float, spread: float, *, what="", dtype=F32):
        z, dh = torch.randn(2, batch, units, generator=g, dtype=dtype)
        return Case((spread * z, dh, alpha), what)

    far = torch.tensor([[-1000.0, -90.0, -5.0], [0.5, 90.0, 1000.0]])
    at_zero = torch.tensor([[0.0, -1.0, 2.0, 0.0], [1.0, 0.0, -0.5, -0.0]])
    return [
        case(2, 3, 1.5, 1.0),
        case(9, 4, 0.3, 2.0, what="a small alpha"),
        Case((far, torch.randn(2, 3, generator=g), 2.0), "far out"),
        case(5, 7, 1.0, 1.0, what="alpha 1, float64", dtype=F64),
        Case((at_zero, torch.randn(2, 4, generator=g), 0.25), "entries at 0"),
    ]


def _elu(z: Tensor, dh: Tensor, alpha: float) -> Tensor:
    z = z.double().clone().requires_grad_()
    h = functional.elu(z, alpha)
    return torch.autograd.grad((h * dh.double()).sum(), z)[0]


def _elu_mistake(says: str, slope) -> Mistake:
    return Mistake(says, lambda z, dh, alpha: dh.double() * slope(z.double(), alpha))


ELU = Exercise(
    id="9.1",
    title="Backward through ELU",
    function="elu_backward",
    points=1,
    cases=_elu_cases,
    oracle=_elu,
    mistakes=(
        _elu_mistake(
            "this is the gradient of ReLU: for z < 0 the slope of ELU is alpha · e^z, not 0",
            lambda z, alpha: (z > 0).double(),
        ),
        _elu_mistake(
            "this is the gradient of a leaky ReLU: on the left the slope is alpha · e^z, it fades",
            lambda z, alpha: torch.where(z > 0, 1.0, alpha),
        ),
        _elu_mistake(
            "h + 1 is the slope on the left only if alpha is 1: in general it is h + alpha",
            lambda z, alpha: torch.where(z > 0, 1.0, functional.elu(z, alpha) + 1),
        ),
        _elu_mistake(
            "alpha is missing from the slope on the left, alpha · e^z",
            lambda z, alpha: torch.where(z > 0, 1.0, torch.exp(z)),
        ),
        _elu_mistake(
            "this is alpha · e^z everywhere: for z > 0 the slope is 1",
            lambda z, alpha: alpha * torch.exp(z),
        ),
        _elu_mistake(
            "for z > 0 the slope is 1, not z: this is the value where the slope is meant",
            lambda z, alpha: torch.where(z > 0, z, alpha * torch.exp(z)),
        ),
        Mistake(
            "this is the slope alone: multiply it by dh, the gradient that arrives",
            lambda z, dh, alpha: _elu(z, torch.ones_like(dh), alpha),
        ),
        Mistake(
            "exp(z) overflows for large z, and 0 · ∞ is NaN: let exp see only z at or below 0",
            lambda z, dh, alpha: dh * ((z > 0) + (z <= 0) * alpha * torch.exp(z)),
        ),
        _elu_mistake(
            "z = 0 belongs to the left side: h is z where z is above 0 alone",
            lambda z, alpha: torch.where(z >= 0, 1.0, alpha * torch.exp(z)),
        ),
        _elu_mistake(
            "the exponent has the wrong sign: on the left the slope is alpha · e^z, and fades",
            lambda z, alpha: torch.where(z > 0, 1.0, alpha * torch.exp(-z)),
        ),
        _elu_mistake(
            "on the left this is h itself, alpha (e^z − 1): the slope is alpha · e^z",
            lambda z, alpha: torch.where(z > 0, 1.0, functional.elu(z, alpha)),
        ),
        _elu_mistake(
            "this multiplies by h where its slope is meant",
            functional.elu,
        ),
        _elu_mistake(
            "alpha is on both sides: for z > 0 the slope is 1",
            lambda z, alpha: torch.where(z > 0, alpha, alpha * torch.exp(z)),
        ),
        _elu_mistake(
            "alpha is on the wrong side: it belongs to z < 0",
            lambda z, alpha: torch.where(z > 0, alpha, torch.exp(z)),
        ),
        _elu_mistake(
            "z is taken for h: on the left the slope is h + alpha, with h = alpha (e^z − 1)",
            lambda z, alpha: torch.where(z > 0, 1.0, z + alpha),
        ),
        _elu_mistake(
            "the two sides changed places",
            lambda z, alpha: torch.where(z <= 0, 1.0, alpha * torch.exp(z)),
        ),
        _elu_mistake(
            "alpha is added to e^z: it multiplies",
            lambda z, alpha: torch.where(z > 0, 1.0, alpha + torch.exp(z)),
        ),
        _elu_mistake(
            "alpha is in the exponent: it multiplies e^z",
            lambda z, alpha: torch.where(z > 0, 1.0, alpha * torch.exp(alpha * z)),
        ),
        _elu_mistake(
            "alpha comes in twice",
            lambda z, alpha: torch.where(z > 0, 1.0, alpha**2 * torch.exp(z)),
        ),
        Mistake(
            "the left side is not multiplied by dh",
            lambda z, dh, alpha: torch.where(
                z > 0, dh.double(), alpha * torch.exp(z.double().clamp(max=0))
            ),
        ),
        Mistake(
            "dh is added to the slope: the chain rule multiplies",
            lambda z, dh, alpha: dh.double() + _elu(z, torch.ones_like(dh), alpha),
        ),
        Mistake(
            "dh goes through unchanged: multiply it by the slope",
            lambda z, dh, alpha: dh.double(),
        ),
        Mistake(
            "the sign of dh decides here: that of z does",
            lambda z, dh, alpha: (
                dh.double() * torch.where(dh > 0, 1.0, alpha * torch.exp(z.double().clamp(max=0)))
            ),
        ),
    ),
    hints=(
        "The chain rule: dz = dh · f'(z), entry by entry, with a slope for each side of 0.",
        "On the left f(z) = alpha · (e^z − 1). Differentiate it; alpha stays.",
        "torch.where(z > 0, 1.0, ...) chooses, but computes both sides: clamp z before exp.",
    ),
    teaches="A slope that is never chosen is still computed, and its overflow can spoil the rest.",
)


def _kill_cases(g: Generator) -> list[Case]:
    def case(n: int, fan_in: int, units: int, j: int, margin: float, *, what="", dtype=F32):
        x = torch.randn(n, fan_in, generator=g, dtype=dtype)
        W = torch.randn(fan_in, units, generator=g, dtype=dtype)
        b = torch.randn(units, generator=g, dtype=dtype).abs()
        order = (x @ W[:, j]).argsort().tolist()
        first, last = order.pop(n // 2 + 1), order.pop(1)  # these two decide nothing
        x = x[[first, *order, last]]
        b[(j + 1) % units] = -50.0  # one that is dead already
        return Case((x, W, b, j, margin), what)

    def whole(margin: float, what: str) -> Case:
        """Exact: of the other units one just reaches 0, one passes it, one never comes near."""
        x = torch.randint(-2, 3, (7, 3), generator=g).float()
        W = torch.randint(-2, 3, (3, 6), generator=g).float()
        W[:, 3] = 2 * W[:, 1]  # the unit to kill; its new bias would kill others too
        beyond = torch.tensor([0.0, 0.5, 1.0, 2.0, 0.0, -8.0])
        return Case((x, W, beyond - (x @ W).amax(0), 3, margin), what)

    negative = case(12, 6, 5, 2, 0.25, what="x · w_j is negative on every row")
    negative.args[0].abs_()
    negative.args[1][:, 2].abs_().neg_()
    low = case(8, 3, 6, 4, 0.75, what="the old b_j is lower than it need be")
    low.args[2][4] = -60.0
    return [
        case(5, 2, 4, 1, 0.5),
        case(300, 10, 7, 4, 0.1, what="300 contexts"),
        negative,
        case(25, 3, 8, 7, 2.0, what="float64", dtype=F64),
        whole(0.5, "whole numbers: a unit that just reaches 0, one that just passes it"),
        whole(0.0, "the same without a margin: the unit itself just reaches 0"),
        low,
    ]


def _with_bias(bias: float, x: Tensor, W: Tensor, b: Tensor, j: int) -> tuple[float, Tensor]:
    """That bias, and the units that never fire with it: unit by unit, row by row."""
    after = [bias if k == j else float(v) for k, v in enumerate(b)]
    columns = W.double().T
    pairs = zip(columns, after, strict=True)
    fires = [any(float(row @ w) + v > 0 for row in x.double()) for w, v in pairs]
    return bias, ~torch.tensor(fires)


def _reaches(x: Tensor, W: Tensor, j: int) -> Tensor:
    return (x.double() * W[:, j].double()).sum(1)


def _kill(x: Tensor, W: Tensor, b: Tensor, j: int, margin: float) -> tuple[float, Tensor]:
    bias = min(-float(r) - margin for r in _reaches(x, W, j))
    return _with_bias(bias, x, W, b, j)


def _kill_mistake(says: str, bias) -> Mistake:
    """A wrong bias, and the mask that follows from it."""

    def wrong(x: Tensor, W: Tensor, b: Tensor, j: int, margin: float) -> tuple[float, Tensor]:
        return _with_bias(float(bias(_reaches(x, W, j), b[j].double(), margin)), x, W, b, j)

    return Mistake(says, wrong)


def _mask_mistake(says: str, mask) -> Mistake:
    """The right bias, and a wrong mask."""

    def wrong(x: Tensor, W: Tensor, b: Tensor, j: int, margin: float) -> tuple[float, Tensor]:
        bias, right = _kill(x, W, b, j, margin)
        after = b.double().clone()
        after[j] = bias
        return bias, mask(x.double() @ W.double(), b.double(), after, right)

    return Mistake(says, wrong)


KILL = Exercise(
    id="9.2",
    title="Kill a unit and prove it",
    function="kill_unit",
    points=2,
    cases=_kill_cases,
    oracle=_kill,
    mistakes=(
        _kill_mistake(
            "the smallest x · w_j is taken where the largest decides: the unit dies on one row",
            lambda r, b, margin: -r.min() - margin,
        ),
        _kill_mistake(
            "only the first row is looked at: dead means dead on every row",
            lambda r, b, margin: -r[0] - margin,
        ),
        _kill_mistake(
            "this takes the mean over the rows: about half of them still fire",
            lambda r, b, margin: -r.mean() - margin,
        ),
        Mistake(
            "the margin is left out: z_j only just reaches 0",
            lambda x, W, b, j, margin: (
                -float(_reaches(x, W, j).max()),
                _kill(x, W, b, j, margin)[1],
            ),
        ),
        _kill_mistake(
            "the margin has the wrong sign: z_j comes up to +margin, where it must stay below "
            "−margin",
            lambda r, b, margin: -r.max() + margin,
        ),
        _kill_mistake(
            "the sign is the wrong way round: a negative bias pulls z_j down",
            lambda r, b, margin: r.max() + margin,
        ),
        _kill_mistake(
            "the old b_j is counted in: it is replaced, so only x · w_j matters",
            lambda r, b, margin: -(r + b).max() - margin,
        ),
        _kill_mistake(
            "this takes the largest |x · w_j|: a ReLU is flat on the left only, so signs matter",
            lambda r, b, margin: -r.abs().max() - margin,
        ),
        _kill_mistake(
            "the reach is kept at 0 or above: where x · w_j is negative on every row, even a "
            "positive bias can leave the unit dead",
            lambda r, b, margin: -r.max().clamp(min=0) - margin,
        ),
        _mask_mistake(
            "this is (any) where (all) is asked: a dead unit is flat on every row",
            lambda z, b, after, right: (z + after <= 0).any(0),
        ),
        _mask_mistake(
            "the bias is right, but the mask is that of the old biases: put the new b_j in first",
            lambda z, b, after, right: (z + b <= 0).all(0),
        ),
        _mask_mistake(
            "the bias is right, but the mask marks the live units",
            lambda z, b, after, right: ~right,
        ),
        _mask_mistake(
            "the bias is right, but the mask leaves the biases out",
            lambda z, b, after, right: (z <= 0).all(0),
        ),
        _mask_mistake(
            "a unit whose z just reaches 0 is dead as well: it passes nothing on at 0",
            lambda z, b, after, right: (z + after < 0).all(0),
        ),
        _kill_mistake(
            "the margin is counted twice",
            lambda r, b, margin: -r.max() - 2 * margin,
        ),
        _kill_mistake(
            "this takes the median over the rows: half of them still fire",
            lambda r, b, margin: -r.median() - margin,
        ),
        _kill_mistake(
            "only the last row is looked at: dead means dead on every row",
            lambda r, b, margin: -r[-1] - margin,
        ),
        _kill_mistake(
            "the old b_j is kept where it is low enough: it is replaced, by the largest that does",
            lambda r, b, margin: torch.minimum(b, -r.max() - margin),
        ),
        _kill_mistake(
            "this is −margin, without what x · w_j reaches",
            lambda r, b, margin: torch.tensor(-margin),
        ),
        Mistake(
            "the largest z of all units is taken: only that of unit j matters",
            lambda x, W, b, j, margin: _with_bias(
                -float((x.double() @ W.double()).max()) - margin, x, W, b, j
            ),
        ),
        Mistake(
            "the bias is right, but the mask asks for the margin of every unit: dead is at most 0",
            lambda x, W, b, j, margin: (
                _kill(x, W, b, j, margin)[0],
                (
                    x.double() @ W.double()
                    + b.double().index_fill(0, torch.tensor(j), _kill(x, W, b, j, margin)[0])
                    <= -margin
                ).all(0),
            ),
        ),
        _mask_mistake(
            "the bias is right, but every unit got it: only b_j is replaced",
            lambda z, b, after, right: (z + after[(after != b).nonzero()[0]] <= 0).all(0),
        ),
        Mistake(
            "the bias is right, but the mask marks unit j alone: others are dead too",
            lambda x, W, b, j, margin: (
                _kill(x, W, b, j, margin)[0],
                torch.arange(len(b)) == j,
            ),
        ),
        _mask_mistake(
            "the bias is right, but the mask looks at the mean over the rows: dead means dead on "
            "every row",
            lambda z, b, after, right: (z + after).mean(0) <= 0,
        ),
        _mask_mistake(
            "the bias is right, but the mask has a number for each row: units are columns",
            lambda z, b, after, right: (z + after <= 0).all(1),
        ),
        _mask_mistake(
            "the bias is right, but the mask has the numbers of the units: a truth value for each"
            " is asked",
            lambda z, b, after, right: right.nonzero().flatten(),
        ),
        _mask_mistake(
            "the bias is right, but the mask is that of tanh's saturation: a ReLU is dead at 0",
            lambda z, b, after, right: ((z + after).tanh().abs() > 0.99).all(0),
        ),
        Mistake(
            "this is the mask alone: the bias comes first",
            lambda *args: _kill(*args)[1],
        ),
    ),
    hints=(
        "z_j = x · w_j + b_j must be at most −margin on every row. Which row is the hardest?",
        "The hardest row is the one with the largest x · w_j, the unit's reach.",
        "For the mask: copy b, put the new bias in, compute z (n, units), and ask .all(0).",
    ),
    teaches="A proof of death needs every row there is; one that fires is enough to refute it.",
)


def _dormancy_cases(g: Generator) -> list[Case]:
    def case(n: int, units: int, most: int, *, what="", dtype=F32):
        h = torch.tanh(torch.randn(n, units, generator=g, dtype=dtype) + 0.3)
        counts = torch.randint(1, most, (n,), generator=g)
        counts[0] = most  # one context is the most frequent by far
        return Case((h, counts), what)

    first = case(4, 3, 9)
    stuck = case(40, 9, 60, what="units stuck at 1 and −1, one that flips between them")
    stuck.args[0][:, 2], stuck.args[0][:, 5] = 1.0, -1.0
    stuck.args[0][:, 7] = torch.where(stuck.args[0][:, 7] > 0, 1.0, -1.0)
    silent = Case((torch.zeros(6, 4), torch.tensor([3, 1, 4, 1, 5, 9])), "a silent layer")
    return [first, stuck, silent, case(30, 5, 1000, what="float64", dtype=F64)]


def _over_mean(size: Tensor) -> Tensor:
    return size / size.mean() if size.any() else torch.zeros_like(size)


def _dormancy(h: Tensor, counts: Tensor) -> Tensor:
    """Unit by unit, over every occurrence written out."""
    occurrences = h.double().repeat_interleave(counts, 0)
    sizes = [(unit - unit.mean()).abs().mean() for unit in occurrences.T]
    return _over_mean(torch.stack(sizes))


def _dormancy_mistake(says: str, wrong) -> Mistake:
    return Mistake(
        says, lambda h, counts: wrong(h.double(), h.double().repeat_interleave(counts, 0))
    )


DORMANCY = Exercise(
    id="9.3",
    title="A score that sees stuck units",
    function="centred_dormancy",
    points=3,
    cases=_dormancy_cases,
    oracle=_dormancy,
    mistakes=(
        _dormancy_mistake(
            "this is 0/0: where the whole layer is silent its mean is 0, and the scores must be 0",
            lambda rows, h: (h - h.mean(0)).abs().mean(0) / (h - h.mean(0)).abs().mean(),
        ),
        _dormancy_mistake(
            "this is the score without the subtraction: a unit stuck at ±1 looks the liveliest",
            lambda rows, h: _over_mean(h.abs().mean(0)),
        ),
        _dormancy_mistake(
            "every row counts once here: row i stands for counts[i] examples, in both means",
            lambda rows, h: _over_mean((rows - rows.mean(0)).abs().mean(0)),
        ),
        _dormancy_mistake(
            "the unit's mean is weighted by the counts, but the mean size is not",
            lambda rows, h: _over_mean((rows - h.mean(0)).abs().mean(0)),
        ),
        Mistake(
            "the mean size is weighted by the counts, but the mean that is taken off is not",
            lambda h, counts: _over_mean(
                counts.double() @ (h.double() - h.double().mean(0)).abs() / counts.sum()
            ),
        ),
        _dormancy_mistake(
            "this divides by the layer's sum, where its mean is meant: the scores average to 1",
            lambda rows, h: _over_mean((h - h.mean(0)).abs().mean(0)) / rows.shape[1],
        ),
        _dormancy_mistake(
            "the size is not divided by the layer's mean",
            lambda rows, h: (h - h.mean(0)).abs().mean(0),
        ),
        _dormancy_mistake(
            "the mean is taken across the units of each row: take each unit's over the rows",
            lambda rows, h: _over_mean((h - h.mean(1, keepdim=True)).abs().mean(0)),
        ),
        _dormancy_mistake(
            "one mean of the whole layer is taken off: each unit has its own",
            lambda rows, h: _over_mean((h - h.mean()).abs().mean(0)),
        ),
        _dormancy_mistake(
            "this is the standard deviation, where the mean of |h − mean| is asked",
            lambda rows, h: _over_mean(h.std(0, correction=0)),
        ),
        _dormancy_mistake(
            "the sign of h is dropped before the mean is taken off: a unit that flips between "
            "1 and −1 is not stuck",
            lambda rows, h: _over_mean((h.abs() - h.abs().mean(0)).abs().mean(0)),
        ),
        _dormancy_mistake(
            "the median is taken off where the mean is asked",
            lambda rows, h: _over_mean((h - h.quantile(0.5, 0)).abs().mean(0)),
        ),
        _dormancy_mistake(
            "this is the variance, where the mean of |h − mean| is asked",
            lambda rows, h: _over_mean(h.var(0, correction=0)),
        ),
        _dormancy_mistake(
            "this divides by the layer's largest, where its mean is meant",
            lambda rows, h: (h - h.mean(0)).abs().mean(0) / (h - h.mean(0)).abs().mean(0).max(),
        ),
        _dormancy_mistake(
            "this takes the largest |h − mean|, where its mean is asked",
            lambda rows, h: _over_mean((h - h.mean(0)).abs().amax(0)),
        ),
        _dormancy_mistake(
            "this is the range of h, where the mean of |h − mean| is asked",
            lambda rows, h: _over_mean(h.amax(0) - h.amin(0)),
        ),
        _dormancy_mistake(
            "this divides by the mean of |h|, where that of |h − mean| is meant",
            lambda rows, h: (h - h.mean(0)).abs().mean(0) / h.abs().mean(),
        ),
        _dormancy_mistake(
            "each unit is divided by its own mean of |h|: the layer's mean of |h − mean| is meant",
            lambda rows, h: (h - h.mean(0)).abs().mean(0) / h.abs().mean(0),
        ),
        _dormancy_mistake(
            "this is the size of the mean, |mean h|: take the mean of |h − mean|",
            lambda rows, h: _over_mean(h.mean(0).abs()),
        ),
        _dormancy_mistake(
            "this is the score without the subtraction, and every row counts once",
            lambda rows, h: _over_mean(rows.abs().mean(0)),
        ),
        _dormancy_mistake(
            "this is the standard deviation, and every row counts once",
            lambda rows, h: _over_mean(rows.std(0)),
        ),
        _dormancy_mistake(
            "the layer's mean is that of the plain rows: the counts belong in all means",
            lambda rows, h: (h - h.mean(0)).abs().mean(0) / (rows - rows.mean(0)).abs().mean(),
        ),
        _dormancy_mistake(
            "these are the units below the mean: the scores themselves are asked",
            lambda rows, h: _over_mean((h - h.mean(0)).abs().mean(0)) < 1,
        ),
        _dormancy_mistake(
            "the signs cancel: take |h − mean| before its mean",
            lambda rows, h: (h - h.mean(0)).mean(0),
        ),
    ),
    hints=(
        "A mean over all occurrences is a sum of counts[i] · h[i], over the sum of the counts.",
        "Take that mean off first, then |·|, then the same kind of mean again: (units,).",
        "At the end divide by the mean over the units, unless it is 0.",
    ),
    teaches="A unit is alive by how it varies, not by how large its answers are.",
)

EXERCISES = (ELU, KILL, DORMANCY)
