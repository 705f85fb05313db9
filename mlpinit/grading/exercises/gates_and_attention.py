"""Graders of chapter 19, Gates and attention."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from mlpinit.grading.exercise import Case, Draw, Exercise, Mistake

__all__ = ["EXERCISES"]

Pair = tuple[Tensor, Tensor]


def _bias_cases(g: Generator) -> list[Case]:
    def case(n: int, what: str = "", **kwargs) -> Case:
        drawn = [torch.randn(4 * n, generator=g, **kwargs) for _ in range(2)]
        return Case((*drawn, 2 + torch.rand(n, generator=g, **kwargs)), what)

    return [case(3), case(7), case(5, "float64", dtype=torch.float64), case(1, "one unit")]


def _biases(bias_ih: Tensor, bias_hh: Tensor, forget: Tensor) -> Pair:
    """Written as four parts."""
    parts = [bias_ih.double().view(4, -1), bias_hh.double().view(4, -1)]
    zero = torch.zeros_like(forget, dtype=torch.float64)
    first = torch.stack([-forget.double(), forget.double(), parts[0][2], parts[0][3]])
    return first.flatten(), torch.stack([zero, zero, parts[1][2], parts[1][3]]).flatten()


def _biases_wrongly(kind: str) -> Callable[..., Pair]:
    def wrong(bias_ih: Tensor, bias_hh: Tensor, forget: Tensor) -> Pair:  # noqa: PLR0912
        new = [b.clone().view(4, -1) for b in _biases(bias_ih, bias_hh, forget)]
        old = [b.double().view(4, -1) for b in (bias_ih, bias_hh)]
        f = forget.double()
        if kind == "hh":
            new[1] = old[1]
        elif kind == "both":
            new[1][0], new[1][1] = -f, f
        elif kind == "input":
            new[0][0], new[1][0] = old[0][0], old[1][0]
        elif kind == "zero":
            new[0][0] = 0.0
        elif kind == "sign":
            new[0][0] = f
        elif kind == "order":
            new[0][0], new[0][1] = f, -f
        elif kind == "third":
            new = [b.clone() for b in old]
            new[0][1], new[0][2] = -f, f
            new[1][1:3] = 0.0
        elif kind == "wiped":
            new[0][2:], new[1][2:] = 0.0, 0.0
        elif kind == "deaf":
            new[1][2:] = 0.0
        elif kind == "log":
            new[0][0], new[0][1] = -f.log(), f.log()
        elif kind == "added":
            new[0][0], new[0][1] = old[0][0] - f, old[0][1] + f
        elif kind == "swapped":
            new = new[::-1]
        elif kind == "half":
            new[0][:2] = new[0][:2] / 2
            new[1][:2] = new[0][:2]
        elif kind == "less":
            new[0][0], new[0][1] = -f - old[1][0], f - old[1][1]
            new[1] = old[1]
        return new[0].flatten(), new[1].flatten()

    return wrong


BIASES = Exercise(
    id="19.1",
    title="The start of a gate",
    function="lstm_biases",
    points=1,
    cases=_bias_cases,
    oracle=_biases,
    mistakes=(
        Mistake(
            "bias_hh still adds what was drawn: the layer adds its two biases",
            _biases_wrongly("hh"),
        ),
        Mistake(
            "the numbers are in both biases: the layer adds them, and the gate gets twice as much",
            _biases_wrongly("both"),
        ),
        Mistake(
            "half is in either bias: the sum is right, but bias_ih is to have all of it",
            _biases_wrongly("half"),
        ),
        Mistake(
            "bias_hh is made up for in bias_ih: the sum is right, but bias_hh is to be 0 there",
            _biases_wrongly("less"),
        ),
        Mistake(
            "the input gate keeps its own bias: it gets the negative of the forget gate's",
            _biases_wrongly("input"),
        ),
        Mistake(
            "the input gate's bias is 0: it is the negative of forget", _biases_wrongly("zero")
        ),
        Mistake(
            "the input gate has the forget gate's sign: it gets the negative",
            _biases_wrongly("sign"),
        ),
        Mistake(
            "the two gates are exchanged: torch has the input gate first, then the forget gate",
            _biases_wrongly("order"),
        ),
        Mistake(
            "these are the second and the third part: input and forget are the first two",
            _biases_wrongly("third"),
        ),
        Mistake(
            "the candidate and the output lost their biases: these stay as they were drawn",
            _biases_wrongly("wiped"),
        ),
        Mistake(
            "bias_hh is 0 throughout: the candidate and the output keep theirs",
            _biases_wrongly("deaf"),
        ),
        Mistake(
            "a logarithm is taken: forget is the bias itself, not a number of steps",
            _biases_wrongly("log"),
        ),
        Mistake(
            "forget is added to what was drawn: it is to be the whole bias",
            _biases_wrongly("added"),
        ),
        Mistake("the two results are exchanged: bias_ih comes first", _biases_wrongly("swapped")),
    ),
    hints=(
        "Each bias is four parts of n: input, forget, candidate, output. Clone before you write.",
        "The gate sees bias_ih + bias_hh, so the first two parts of the new bias_hh are 0.",
        "new_ih[:n] = -forget, new_ih[n:2n] = forget, new_hh[:2n] = 0.",
    ),
    teaches="A gate's start is one number in two places, and torch draws both.",
)


def _gain_cases(g: Draw) -> list[Case]:
    return [
        Case(("sigmoid", g.real(0.5, 0.4, 0.7))),
        Case(("relu", g.real(-0.6, -0.8, -0.5)), "they vary against each other"),
        Case(("silu", g.real(0.9, 0.8, 0.95)), "nearly the same map"),
        Case(("tanh", 0.0), "fresh weights"),
        Case(("silu", g.real(-0.3, -0.5, -0.2))),
    ]


_BENT: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "silu": torch.nn.functional.silu,
}


def _normal(f: Callable[[Tensor, Tensor], Tensor], rho: float) -> float:
    """E f(y, z), by adding up both normals; z is split in what follows y and what does not."""
    x = 0.1 * torch.arange(-80, 81, dtype=torch.float64)
    weight = 0.1 * (-x * x / 2).exp() / math.sqrt(2 * math.pi)
    y, p = x[:, None], weight[:, None]
    return float((p * weight * f(y, rho * y + math.sqrt(1 - rho * rho) * x)).sum())


def _gain(activation: str, rho: float) -> float:
    a = _BENT[activation]
    return _normal(lambda y, z: (a(y) * z) ** 2, rho) ** -0.5


def _moment(activation: str, power: int = 2) -> float:
    a = _BENT[activation]
    return _normal(lambda y, _: a(y) ** power, 0.0)


GAIN = Exercise(
    id="19.2",
    title="A product's gain",
    function="product_gain",
    points=2,
    cases=_gain_cases,
    oracle=_gain,
    rtol=5e-4,
    mistakes=(
        Mistake(
            "the mean squares are multiplied: that holds for rho = 0 only",
            lambda a, rho: _moment(a) ** -0.5,
        ),
        Mistake("this is the square of the gain: take the root", lambda *x: _gain(*x) ** 2),
        Mistake("this is the mean square: the gain is 1 over its root", lambda *x: _gain(*x) ** -2),
        Mistake("this is the size of the product: the gain is 1 over it", lambda *x: 1 / _gain(*x)),
        Mistake(
            "the two are taken for the same number (rho = 1)",
            lambda a, rho: _normal(lambda y, _: (_BENT[a](y) * y) ** 2, 0.0) ** -0.5,
        ),
        Mistake(
            "the variance is set to 1: the mean square is asked, the mean is not 0",
            lambda a, rho: (
                (_gain(a, rho) ** -2 - _normal(lambda y, z: _BENT[a](y) * z, rho) ** 2) ** -0.5
            ),
        ),
        Mistake(
            "the part of z that does not follow y has standard deviation √(1 − rho²), not 1 − rho",
            lambda a, rho: (
                _normal(lambda y, _: _BENT[a](y) ** 2 * (rho**2 * y**2 + (1 - rho) ** 2), 0.0)
                ** -0.5
            ),
        ),
        Mistake(
            "the part of z that does not follow y is left out",
            lambda a, rho: (
                _normal(lambda y, _: (_BENT[a](y) * rho * y) ** 2, 0.0) ** -0.5 if rho else None
            ),
        ),
        Mistake(
            "z is given the variance 1 + rho²: the rest of it has 1 − rho²",
            lambda a, rho: (
                _normal(lambda y, _: _BENT[a](y) ** 2 * (rho**2 * y**2 + 1), 0.0) ** -0.5
            ),
        ),
        Mistake(
            "rho is not squared where y² is multiplied by it",
            lambda a, rho: (
                _normal(lambda y, _: _BENT[a](y) ** 2 * (abs(rho) * y**2 + 1 - abs(rho)), 0.0)
                ** -0.5
            ),
        ),
        Mistake(
            "both factors are bent: z goes in as it is",
            lambda a, rho: _normal(lambda y, z: (_BENT[a](y) * _BENT[a](z)) ** 2, rho) ** -0.5,
        ),
        Mistake(
            "the factor a is not squared",
            lambda a, rho: _normal(lambda y, z: abs(_BENT[a](y)) * z * z, rho) ** -0.5,
        ),
        Mistake(
            "the activation is left out",
            lambda a, rho: _normal(lambda y, z: (y * z) ** 2, rho) ** -0.5,
        ),
    ),
    hints=(
        "z = rho y + √(1 − rho²) w with w independent of y.",
        "So the mean of z² where y is known is rho² y² + 1 − rho², and an integral over y is left.",
        "g = 1 / √E[a(y)² (rho² y² + 1 − rho²)].",
    ),
    teaches="A product of two maps that have become alike is larger than one of independent maps.",
)


def _row_cases(g: Generator) -> list[Case]:
    def case(rows: int, keys: int, size: float, what: str = "") -> Case:
        logits = size * torch.randn(rows, keys, generator=g)
        allowed = torch.rand(rows, keys, generator=g) < 0.7
        allowed[:, 0] = True
        allowed[0] = False
        allowed[0, 1] = True  # one key
        allowed[1] = True
        return Case((logits, allowed), what)

    causal = torch.ones(7, 9).tril().bool()
    return [
        case(6, 4, 2.0),
        case(40, 9, 5.0),
        case(60, 7, 1e5, "logits in the hundred thousands"),
        Case((3 * torch.randn(7, 9, generator=g), causal), "each query sees itself and the past"),
        case(30, 12, 0.1, "nearly equal logits"),
    ]


def _rows(
    logits: Tensor,
    allowed: Tensor,
    *,
    least: int = 2,
    base: float = math.e,
    edge: float = 0.99,
    relative: bool = False,
    mask: bool = True,
    every: bool = False,
) -> tuple[float, float]:
    """Row by row, in Python's floats."""
    entropies, decided = [], []
    for row, seen in zip(logits.tolist(), allowed.tolist(), strict=True):
        if sum(seen) < least:
            continue
        kept = [x for x, s in zip(row, seen, strict=True) if s or not mask]
        top = max(kept)
        p = [math.exp(x - top) for x in kept]
        p = [x / sum(p) for x in p]
        h = -sum(x * math.log(x, base) for x in p if x > 0)
        entropies.append(h / math.log(len(kept)) if relative else h)
        decided.append(max(p) > edge)
    n = len(logits) if every else len(decided)
    return sum(entropies) / n, sum(decided) / n


def _statistics(logits: Tensor, allowed: Tensor) -> tuple[float, float]:
    return _rows(logits, allowed)


def _rows_filled(logits: Tensor, allowed: Tensor, fill: float) -> tuple[float, float]:
    counts = allowed.sum(1) > 1
    filled = logits.double().masked_fill(~allowed, fill)[counts]
    return _rows(filled, torch.ones_like(filled).bool())


ROWS = Exercise(
    id="19.3",
    title="Rows that have decided",
    function="row_statistics",
    points=2,
    cases=_row_cases,
    oracle=_statistics,
    mistakes=(
        Mistake(
            "rows with one allowed key are counted: they say 1 whatever is learnt",
            lambda x, m: _rows(x, m, least=1),
        ),
        Mistake("the mask is left out", lambda x, m: _rows(x, m, mask=False)),
        Mistake(
            "hidden keys have a logit of 0 here: e⁰ is 1, so set them to −∞ before the softmax",
            lambda x, m: _rows_filled(x, m, 0.0),
        ),
        Mistake(
            "the entropy is in bits: take the natural logarithm",
            lambda x, m: _rows(x, m, base=2.0),
        ),
        Mistake(
            "this is the entropy over its largest value: the entropy itself is asked",
            lambda x, m: _rows(x, m, relative=True),
        ),
        Mistake(
            "the entropy has the wrong sign",
            lambda x, m: (-_rows(x, m)[0], _rows(x, m)[1]),
        ),
        Mistake(
            "the sums are divided by all rows: those with one allowed key do not count",
            lambda x, m: _rows(x, m, every=True),
        ),
        Mistake(
            "the two numbers are exchanged: the entropy comes first",
            lambda x, m: _rows(x, m)[::-1],
        ),
        Mistake(
            "these are the rows that have not decided",
            lambda x, m: (_rows(x, m)[0], 1 - _rows(x, m)[1]),
        ),
        Mistake(
            "this is how many rows have decided: their share is asked",
            lambda x, m: (_rows(x, m)[0], _rows(x, m)[1] * float((m.sum(1) > 1).sum())),
        ),
        Mistake("the edge is 0.99, not 0.9", lambda x, m: _rows(x, m, edge=0.9)),
        Mistake("the edge is 0.99, not 0.5", lambda x, m: _rows(x, m, edge=0.5)),
        Mistake(
            "the entropies are added up: their mean is asked",
            lambda x, m: (_rows(x, m)[0] * float((m.sum(1) > 1).sum()), _rows(x, m)[1]),
        ),
        Mistake(
            "the softmax runs over the rows: each row is one query's, and sums to 1 over its keys",
            lambda x, m: _across(x, m),  # noqa: PLW0108 (defined below)
        ),
    ),
    hints=(
        "First the rows that count: allowed.sum(1) > 1. Then masked_fill(~allowed, -inf).",
        "log_softmax subtracts the largest logit before it takes exponentials; log(softmax) gives "
        "−∞ where a probability is too small.",
        "0 · −∞ is NaN: fill log p with 0 at hidden keys before you multiply. An allowed key's "
        "log p is finite.",
    ),
    teaches="An entropy from log-probabilities needs no ε, and rows without a choice are no rows.",
)


def _across(logits: Tensor, allowed: Tensor) -> tuple[float, float]:
    counts = allowed.sum(1) > 1
    x, m = logits[counts].double(), allowed[counts]
    p = x.masked_fill(~m, -math.inf).softmax(0)
    entropy = -(p * p.clamp_min(1e-300).log()).sum(1)
    return entropy.mean().item(), (p.amax(1) > 0.99).double().mean().item()


EXERCISES = (BIASES, GAIN, ROWS)
