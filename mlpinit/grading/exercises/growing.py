"""Graders of chapter 18, Width and depth that grow."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from mlpinit.grading.exercise import Case, Draw, Exercise, Mistake

__all__ = ["EXERCISES"]


def _stream_cases(g: Draw) -> list[Case]:
    def case(size: float, depth: int, scale: float, what: str = "") -> Case:
        scales = scale * (0.5 + torch.rand(depth, generator=g))
        powers = 0.2 + 1.5 * torch.rand(depth, generator=g)
        return Case((g.real(size, 0.8 * size, 1.2 * size), scales, powers), what)

    quarters = torch.full((16,), g.real(0.25, 0.2, 0.3))
    return [
        case(2.0, 3, 0.8),
        case(0.7, 40, 0.3),
        case(5.0, 12, -0.9, "negative scales"),
        Case((g.real(1.0, 0.8, 1.2), quarters, torch.ones(16)), "sixteen equal shares"),
        Case((g.real(3.0, 2.0, 4.0), torch.zeros(5), torch.full((5,), 0.5)), "branches at 0"),
    ]


def _stream(size: float, scales: Tensor, powers: Tensor) -> Tensor:
    """By adding logarithms."""
    grown = torch.log1p(scales.double() ** 2 * powers.double()).cumsum(0)
    return size * torch.cat([torch.zeros(1, dtype=torch.float64), grown / 2]).exp()


def _walked(step: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Mean squares by step(m, scale, power, m of the input), and the roots of all of them."""

    def wrong(size: float, scales: Tensor, powers: Tensor) -> Tensor:
        m = [torch.tensor(float(size), dtype=torch.float64) ** 2]
        for s, p in zip(scales.double(), powers.double(), strict=True):
            m.append(step(m[-1], s, p, m[0]))
        return torch.stack(m).sqrt()

    return wrong


STREAM = Exercise(
    id="18.1",
    title="The size of a stream",
    function="stream_sizes",
    points=1,
    cases=_stream_cases,
    oracle=_stream,
    mistakes=(
        Mistake(
            "these are mean squares: their roots are asked",
            lambda size, s, p: _stream(size, s, p) ** 2,
        ),
        Mistake(
            "sizes are added where mean squares add: branch and stream are independent",
            _walked(lambda m, s, p, m0: (m.sqrt() * (1 + s * p.sqrt())) ** 2),
        ),
        Mistake(
            "the scale is not squared: it multiplies numbers, and mean squares are asked of it",
            _walked(lambda m, s, p, m0: m * (1 + s * p)),
        ),
        Mistake(
            "the power is squared: it is a ratio of mean squares already",
            _walked(lambda m, s, p, m0: m * (1 + s * s * p * p)),
        ),
        Mistake(
            "the power is taken for a ratio of sizes: it is one of mean squares",
            _walked(lambda m, s, p, m0: m * (1 + s * s * p.sqrt())),
        ),
        Mistake(
            "the powers are left out",
            _walked(lambda m, s, p, m0: m * (1 + s * s)),
        ),
        Mistake(
            "the scales are left out",
            _walked(lambda m, s, p, m0: m * (1 + p)),
        ),
        Mistake(
            "the way past the branch is missing: the stream goes on, and the branch adds to it",
            _walked(lambda m, s, p, m0: m * s * s * p),
        ),
        Mistake(
            "every branch adds a part of the input: it is given what the stream has become",
            _walked(lambda m, s, p, m0: m + m0 * s * s * p),
        ),
        Mistake(
            "size is taken for a mean square: square it before anything adds to it",
            lambda size, s, p: _stream(math.sqrt(size), s, p),
        ),
        Mistake(
            "the first of them is missing, the size that enters",
            lambda *args: _stream(*args)[1:],
        ),
        Mistake(
            "the last of them is missing, what leaves the last branch",
            lambda *args: _stream(*args)[:-1],
        ),
        Mistake(
            "this is the last alone: the size at every place of the stream is asked",
            lambda *args: _stream(*args)[-1],
        ),
        Mistake(
            "these are growths: multiply by the size that enters",
            lambda size, s, p: _stream(1.0, s, p),
        ),
    ),
    hints=(
        "Keep the mean square m of the stream; the first is size².",
        "A branch that is given m adds scale² · power · m. The signs of the scales do not matter.",
        "m becomes m · (1 + scale² · power); the answer has the roots of all of them.",
    ),
    teaches="Shares compound: equal ones of s² = 1/L end below √e, and to double a stream with 100 "
    "branches of power 1/2 they may have s = 0.167.",
)


Block = list[list[Tensor]]


def _block_cases(g: Draw) -> list[Case]:
    def weights(*widths: int, **kwargs) -> list[Tensor]:
        return [torch.randn(a, b, generator=g, **kwargs) for a, b in pairwise(widths)]

    def case(n: int, what: str = "", **kwargs) -> Case:
        attention, forward = (3, 5, 3), (3, 4, 7, 3)
        return Case(
            ([[weights(*attention, **kwargs), weights(*forward, **kwargs)] for _ in range(n)],),
            what,
        )

    lone = [[weights(4, 3), weights(4, 6, 3)] for _ in range(3)]
    return [
        Case(([[weights(2, 3), weights(2, 4, 3)] for _ in range(2)],)),
        case(3),
        case(8, "float64", dtype=torch.float64),
        Case((lone,), "attention of a single matrix"),
        case(1, "one block"),
    ]


def _scaled(
    blocks: list[Block], factor: float, which: Callable[[int, int, int], bool]
) -> list[Block]:
    """Weights times factor where which(branch, place from the first, place from the last)."""
    return [
        [
            [
                W.double() * (factor if which(b, i, len(branch) - 1 - i) else 1.0)
                for i, W in enumerate(branch)
            ]
            for b, branch in enumerate(block)
        ]
        for block in blocks
    ]


def _last(branch: int, first: int, last: int) -> bool:
    return last == 0


def _gpt2(blocks: list[Block]) -> list[Block]:
    return _scaled(blocks, sum(map(len, blocks)) ** -0.5, _last)


def _every(branch: int, first: int, last: int) -> bool:
    return True


GPT2 = Exercise(
    id="18.2",
    title="Scale it as GPT-2 does",
    function="scale_like_gpt2",
    points=2,
    cases=_block_cases,
    oracle=_gpt2,
    mistakes=(
        Mistake(
            "N counts blocks here: every block has two residual layers",
            lambda blocks: _scaled(blocks, len(blocks) ** -0.5, _last),
        ),
        Mistake(
            "every weight of a branch is scaled: the last alone is to be",
            lambda blocks: _scaled(blocks, (2 * len(blocks)) ** -0.5, _every),
        ),
        Mistake(
            "the first weights are scaled: the last are, which write into the stream",
            lambda blocks: _scaled(blocks, (2 * len(blocks)) ** -0.5, lambda b, i, j: i == 0),
        ),
        Mistake(
            "the factor is 1/N: what the branches add are squares, so 1/√N",
            lambda blocks: _scaled(blocks, 0.5 / len(blocks), _last),
        ),
        Mistake(
            "the factor is √N: divide by it",
            lambda blocks: _scaled(blocks, (2 * len(blocks)) ** 0.5, _last),
        ),
        Mistake(
            "only the second branch of a block is scaled: attention writes into the stream too",
            lambda blocks: _scaled(
                blocks, (2 * len(blocks)) ** -0.5, lambda b, i, j: j == 0 and b == 1
            ),
        ),
        Mistake(
            "only the first branch of a block is scaled: the feed-forward part writes too",
            lambda blocks: _scaled(
                blocks, (2 * len(blocks)) ** -0.5, lambda b, i, j: j == 0 and b == 0
            ),
        ),
        Mistake(
            "N counts matrices here: it counts residual layers, two in every block",
            lambda blocks: _scaled(
                blocks, sum(len(b) for block in blocks for b in block) ** -0.5, _last
            ),
        ),
        Mistake(
            "N is twice the residual layers: the 2 is in it already",
            lambda blocks: _scaled(blocks, (4 * len(blocks)) ** -0.5, _last),
        ),
        Mistake(
            "the weights are as they were",
            lambda blocks: _scaled(blocks, 1.0, _last),
        ),
        Mistake(
            "the last weights are set to 0: that is Fixup's start",
            lambda blocks: _scaled(blocks, 0.0, _last),
        ),
    ),
    hints=(
        "Each block has two branches, and each branch adds to the stream once.",
        "N = 2 · len(blocks), and the factor 1/√N goes to branch[-1] of every branch.",
        "Build new lists: [*branch[:-1], branch[-1] / N**0.5].",
    ),
    teaches="The 2 in 1/√(2n) is not a constant of nature: it is attention and feed-forward.",
)


def _rate_cases(g: Draw) -> list[Case]:
    def case(sizes: list[int], base: list[int], lr: float, what: str = "") -> Case:
        return Case((sizes, base, g.real(lr, 0.5 * lr, 2 * lr)), what)

    wide = [g.whole(n, n // 2, 2 * n) for n in (256, 512, 128)]
    return [
        case([30, g.whole(256, 200, 400), g.whole(256, 500, 700), 27], [30, 64, 64, 27], 0.01),
        case([80, *wide, 27], [80, 64, 32, 64, 27], 0.003, "layers that grow differently"),
        case([10, g.whole(96, 80, 200), 5], [10, 16, 5], 0.5, "one hidden layer"),
        case([784, 32, 48, 10], [784, 64, 64, 10], 0.02, "narrower than the base"),
        case([5, 3], [5, 3], 0.1, "no hidden layer: nothing grows"),
    ]


Pair = tuple[Tensor, Tensor]


def _by_kind(hidden_rate: str, output_rate: str = "", output_start: str = "") -> Callable:
    """Rates and starts where the three kinds are treated by name; see `_POWERS`."""
    output_rate, output_start = output_rate or hidden_rate, output_start or "root"

    def answer(sizes: list[int], base: list[int], lr: float) -> Pair:
        ratios = [n / m for n, m in zip(sizes, base, strict=True)]
        rates, starts = [], []
        for i, (a, b) in enumerate(pairwise(ratios)):
            last = i == len(ratios) - 2
            rates.append(lr * _POWERS[output_rate if last else hidden_rate](a, b))
            starts.append(_POWERS[output_start](a, b) if last else 1.0)
        return torch.tensor(rates, dtype=torch.float64), torch.tensor(starts, dtype=torch.float64)

    return answer


_POWERS: dict[str, Callable[[float, float], float]] = {
    "in": lambda a, b: 1 / a,
    "root": lambda a, b: a**-0.5,
    "times": lambda a, b: a,
    "root times": lambda a, b: a**0.5,
    "out": lambda a, b: 1 / b,
    "both": lambda a, b: 1 / (a * b),
    "sgd": lambda a, b: b / a,
    "one": lambda a, b: 1.0,
}
_rates = _by_kind("in")


def _of_first(sizes: list[int], base: list[int], lr: float) -> Pair:
    """All layers by the ratio of the first hidden one."""
    ratio = sizes[1] / base[1] if len(sizes) > 2 else 1.0
    n = len(sizes) - 1
    rates = torch.full((n,), lr / ratio, dtype=torch.float64)
    rates[0] = lr
    starts = torch.ones(n, dtype=torch.float64)
    starts[-1] = ratio**-0.5
    return rates, starts


def _absolute(sizes: list[int], base: list[int], lr: float) -> Pair:
    inputs = torch.tensor(sizes[:-1], dtype=torch.float64)
    return lr / inputs, _rates(sizes, base, lr)[1]


def _starts_as(start: Callable[[Tensor], Tensor]) -> Callable[..., Pair]:
    """The right rates, and starts from the growth of each fan-in."""

    def wrong(sizes: list[int], base: list[int], lr: float) -> Pair:
        grown = [n / m for n, m in zip(sizes[:-1], base[:-1], strict=True)]
        return _rates(sizes, base, lr)[0], start(torch.tensor(grown, dtype=torch.float64))

    return wrong


RATES = Exercise(
    id="18.3",
    title="A rate for every layer",
    function="mup_rates",
    points=2,
    cases=_rate_cases,
    oracle=_rates,
    mistakes=(
        Mistake(
            "the rates rise with the fan-in: more terms agree in a wider layer, so they must fall",
            _by_kind("times"),
        ),
        Mistake(
            "the rates fall like the root: the terms of a step agree and add in full",
            _by_kind("root"),
        ),
        Mistake(
            "the rates follow the outputs: what adds up in a pre-activation are the inputs",
            _by_kind("out"),
        ),
        Mistake(
            "the rates fall with inputs and outputs: the inputs alone are added up",
            _by_kind("both"),
        ),
        Mistake(
            "this is the table of plain gradient descent: Adam's steps do not know the outputs",
            _by_kind("sgd"),
        ),
        Mistake(
            "all rates are as they were",
            _by_kind("one"),
        ),
        Mistake(
            "the output layer's rate is as it was: its fan-in grew like any other",
            _by_kind("in", "one"),
        ),
        Mistake(
            "the hidden layers' rates are as they were: with Adam they fall too",
            _by_kind("one", "in"),
        ),
        Mistake(
            "the output start falls like 1/N besides its usual 1/√N: the factor is the root",
            _by_kind("in", "in", "in"),
        ),
        Mistake(
            "the output start is as usual: in μP it falls like 1/N, one root more",
            _by_kind("in", "in", "one"),
        ),
        Mistake(
            "the output start rises: divide by the root",
            _by_kind("in", "in", "root times"),
        ),
        Mistake(
            "every start is scaled: hidden weights have the width in theirs already",
            _starts_as(lambda grown: grown**-0.5),
        ),
        Mistake(
            "every layer goes by the first hidden one: each has a fan-in of its own",
            _of_first,
        ),
        Mistake(
            "the rates are divided by the fan-in itself: by how many times it grew is asked",
            _absolute,
        ),
        Mistake(
            "the two answers are exchanged: rates come first",
            lambda *args: _rates(*args)[::-1],
        ),
        Mistake(
            "these are the factors of the rates: multiply by lr",
            lambda sizes, base, lr: _rates(sizes, base, 1.0),
        ),
    ),
    hints=(
        "Weight matrix i has the fan-in sizes[i], which grew sizes[i] / base_sizes[i] times.",
        "With Adam a rate is lr over that. The inputs do not grow, so the first stays lr.",
        "At the start only the output weights change: by the root of that, upside down.",
    ),
    teaches="A step is a sum over the inputs, so what grew of the inputs is all that Adam's rates "
    "ask. The start needs one root more at the output, and nothing before.",
)

EXERCISES = (STREAM, GPT2, RATES)
