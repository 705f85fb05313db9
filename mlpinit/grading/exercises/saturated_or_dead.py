"""Graders of chapter 7, Saturated or dead?"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import torch
from torch import Generator, Tensor

from mlpinit.grading.exercise import Case, Draw, Exercise, Mistake

__all__ = ["EXERCISES"]


def _some_zeros(z: Tensor) -> Tensor:
    """The entries that are near 0 set to 0, and the others kept well away from it."""
    return torch.where(z.abs() < 0.4, 0.0, z)


def _fraction_cases(g: Generator) -> list[Case]:
    small = torch.tensor([[-3.0, 1.2, 0.3, 5.0], [-2.9, 2.8, 0.1, -4.0], [-0.5, 1.1, -0.2, 3.1]])
    return [
        Case((small, 0.99)),
        Case((5 * torch.randn(32, 20, generator=g), 0.97), "another cut"),
        Case((2 * torch.randn(7, 40, generator=g, dtype=torch.float64), 0.5), "float64, a low cut"),
        Case((30 * torch.randn(11, 6, generator=g), 0.999), "many entries at ±1"),
        Case((_some_zeros(torch.randn(9, 5, generator=g)), 0.0), "a cut of 0, and entries at 0"),
    ]


def _fractions_of(white: Tensor) -> tuple[Tensor, Tensor]:
    return white.double().mean(0), white.double().mean(1)


def _fractions(z: Tensor, cut: float) -> tuple[Tensor, Tensor]:
    edge = math.atanh(cut)  # |tanh z| > cut is |z| > artanh(cut)
    rows = [[abs(v) > edge for v in row] for row in z.tolist()]
    of_units = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    of_examples = [sum(row) / len(row) for row in rows]
    return torch.tensor(of_units).double(), torch.tensor(of_examples).double()


FRACTIONS = Exercise(
    id="7.1",
    title="Two ways to read a map",
    function="saturated_fractions",
    points=1,
    cases=_fraction_cases,
    oracle=_fractions,
    rebuilt=2,
    mistakes=(
        Mistake(
            "the cut is set to z, the pre-activation: it is meant for |h|, and h = tanh(z)",
            lambda z, cut: _fractions_of(z.abs() > cut),
        ),
        Mistake(
            "entries near −1 are left out: they are as saturated as those near 1, take |h|",
            lambda z, cut: _fractions_of(torch.tanh(z.double()) > cut),
        ),
        Mistake(
            "this is the live fraction, of the entries that are not saturated",
            lambda z, cut: tuple(1 - f for f in _fractions(z, cut)),
        ),
        Mistake(
            "these are counts: divide by the number of entries counted over",
            lambda z, cut: tuple(f * n for f, n in zip(_fractions(z, cut), z.shape, strict=True)),
        ),
        Mistake(
            "these are percentages: fractions lie between 0 and 1",
            lambda z, cut: tuple(100 * f for f in _fractions(z, cut)),
        ),
        Mistake(
            "this cuts the slope, 1 − h² < 1 − cut: |h| > cut is 1 − h² < 1 − cut²",
            lambda z, cut: _fractions_of(1 - torch.tanh(z.double()) ** 2 < 1 - cut),
        ),
        Mistake(
            "an entry at the cut itself is not beyond it: |h| > cut",
            lambda z, cut: _fractions_of(torch.tanh(z.double()).abs() >= cut),
        ),
        Mistake(
            "these are the entries near −1 alone: take |h|",
            lambda z, cut: _fractions_of(torch.tanh(z.double()) < -cut),
        ),
        Mistake(
            "these are means of |h|: count the entries beyond the cut",
            lambda z, cut: _fractions_of(torch.tanh(z.double()).abs()),
        ),
        Mistake(
            "the slope is compared with the cut, 1 − h² < cut: it is meant for |h|",
            lambda z, cut: _fractions_of(1 - torch.tanh(z.double()) ** 2 < cut),
        ),
        Mistake(
            "the logistic function stands where tanh is meant",
            lambda z, cut: _fractions_of(torch.sigmoid(z.double()) > cut),
        ),
        Mistake(
            "this is one number for the whole map: each unit and each example has its own",
            lambda z, cut: _fractions(z, cut)[0].mean(),
        ),
        Mistake(
            "this asks for any saturated entry: the part of them is asked",
            lambda z, cut: tuple((f > 0).double() for f in _fractions(z, cut)),
        ),
        Mistake(
            "both are divided by the number of examples: an example's entries are its units",
            lambda z, cut: (_fractions(z, cut)[0], _fractions(z, cut)[1] * z.shape[1] / len(z)),
        ),
    ),
    hints=(
        "Make the mask of the saturated entries first, in the shape of z.",
        "The mean of a mask, as numbers 0 and 1, is the part of it that is set.",
        "Units are columns: their fraction is a mean over the rows, axis 0; an example's is over "
        "axis 1.",
    ),
    teaches="One map has two margins: the column tells of a unit, the row of an example.",
)


def _designed(sizes: tuple[int, ...], short: float, g: Draw, dtype: torch.dtype) -> list[Tensor]:
    """Batches whose units are each a trap: saturated always, in one batch, on most rows, once.

    `short` is a z that falls just short of the cut.
    """
    live = lambda n: 1.5 * torch.rand(n, generator=g, dtype=dtype) - 0.75  # noqa: E731
    far = lambda n: 4 + 3 * torch.rand(n, generator=g, dtype=dtype)  # noqa: E731
    batches = []
    for i, n in enumerate(sizes):
        flips = torch.ones(n, dtype=dtype)
        flips[::2] = -1
        most, once = far(n), live(n)
        most[i % n] = short
        once[1] = -5.5
        first = far(n) if i == 0 else live(n)
        last = -far(n) if i == len(sizes) - 1 else live(n)
        columns = (first, far(n), flips * far(n), most, live(n), last, -far(n), once)
        batches.append(torch.stack(columns, 1))
    turn = g.whole(0, 1, len(columns) - 1)
    return [batch.roll(turn, 1) for batch in batches]


def _always_cases(g: Draw) -> list[Case]:
    rates = torch.linspace(0.5, 1, 30)
    loose = [
        (3 - 6 * (torch.rand(n, 30, generator=g) < 0.5)) * (torch.rand(n, 30, generator=g) < rates)
        for n in (3, 17, 8, 12)
    ]
    least = torch.tensor([0.4, 1.2, 1.9, 2.0, 3.0]).repeat(6)  # artanh(0.97) is 2.09
    near = [least + 2 * torch.rand(n, 30, generator=g) for n in (6, 4)]
    at_zero = [torch.zeros(n, 5) for n in (2, 3)]  # the last unit is 0 on every row
    for batch in at_zero:
        batch[:, :4] = 0.5 + torch.rand(len(batch), 4, generator=g)
    at_zero[1][:, 1] *= -1
    at_zero[0][1, 2] = at_zero[1][0, 3] = 0.0
    return [
        Case((_designed((4, 3), 2.3, g, torch.float32), 0.99)),
        Case((_designed((5, 9, 2, 6), 1.9, g, torch.float64), 0.97), "four batches"),
        Case((loose, 0.99), "many units"),
        Case((near, 0.97), "near the cut"),
        Case((at_zero, 0.0), "a cut of 0, and entries at 0"),
    ]


def _always(batches: list[Tensor], cut: float) -> Tensor:
    smallest = torch.stack([batch.double().abs().amin(0) for batch in batches]).amin(0)
    return smallest > math.atanh(cut)


def _white(batches: list[Tensor], cut: float) -> Tensor:
    return torch.cat(batches).double().tanh().abs() > cut


def _h(batches: list[Tensor]) -> Tensor:
    return torch.cat(batches).double().tanh()


ALWAYS = Exercise(
    id="7.2",
    title="A census over batches",
    function="always_saturated",
    points=2,
    cases=_always_cases,
    oracle=_always,
    mistakes=(
        Mistake(
            "the fraction of white rows is compared with the cut: every row is asked",
            lambda batches, cut: _white(batches, cut).double().mean(0) > cut,
        ),
        Mistake(
            "a unit must stay at one end here: one that goes from −1 to 1 is as saturated",
            lambda batches, cut: (_h(batches) > cut).all(0) | (_h(batches) < -cut).all(0),
        ),
        Mistake(
            "this is (any) where (all) is asked: one saturated row does not make a unit dead, one "
            "live row makes it live",
            lambda batches, cut: _white(batches, cut).any(0),
        ),
        Mistake(
            "this is the last batch alone: a verdict needs every row of every batch",
            lambda batches, cut: _white(batches[-1:], cut).all(0),
        ),
        Mistake(
            "this is the first batch alone: a verdict needs every row of every batch",
            lambda batches, cut: _white(batches[:1], cut).all(0),
        ),
        Mistake(
            "a unit that is white in one whole batch is taken for dead: it must be white in all "
            "of them",
            lambda batches, cut: torch.stack([_white([b], cut).all(0) for b in batches]).any(0),
        ),
        Mistake(
            "these are the units with a saturated row in each batch: every row is asked",
            lambda batches, cut: torch.stack([_white([b], cut).any(0) for b in batches]).all(0),
        ),
        Mistake(
            "these are the mostly saturated units, on more than half of the rows: every row is "
            "asked",
            lambda batches, cut: _white(batches, cut).double().mean(0) > 0.5,
        ),
        Mistake(
            "units near −1 are left out: they are as saturated as those near 1, take |h|",
            lambda batches, cut: (_h(batches) > cut).all(0),
        ),
        *(
            Mistake(f"units near −1 are left out, take |h|; and {more}", wrong)
            for more, wrong in (
                (
                    "this is (any) where (all) is asked",
                    lambda batches, cut: (_h(batches) > cut).any(0),
                ),
                (
                    "these are those near 1 on more than half of the rows: every row is asked",
                    lambda batches, cut: (_h(batches) > cut).double().mean(0) > 0.5,
                ),
                (
                    "a mean is compared with the cut: every row is asked",
                    lambda batches, cut: _h(batches).mean(0) > cut,
                ),
                (
                    "one whole batch is taken for all",
                    lambda batches, cut: torch.stack([(_h([b]) > cut).all(0) for b in batches]).any(
                        0
                    ),
                ),
            )
        ),
        Mistake(
            "the mean of |h| is compared with the cut: every row is asked",
            lambda batches, cut: _h(batches).abs().mean(0) > cut,
        ),
        Mistake(
            "the mean of h is compared with the cut: a unit that goes from −1 to 1 has a mean "
            "near 0 and is saturated all the same",
            lambda batches, cut: _h(batches).mean(0).abs() > cut,
        ),
        Mistake(
            "the cut is set to z, the pre-activation: it is meant for |h|, and h = tanh(z)",
            lambda batches, cut: (torch.cat(batches).abs() > cut).all(0),
        ),
        Mistake(
            "an entry at the cut itself is not beyond it: |h| > cut",
            lambda batches, cut: (_h(batches).abs() >= cut).all(0),
        ),
        Mistake(
            "these are the units near −1 alone: those near 1 are as saturated, take |h|",
            lambda batches, cut: (_h(batches) < -cut).all(0),
        ),
        Mistake(
            "this asks along the units of each row: ask along the rows of each unit",
            lambda batches, cut: _white(batches, cut).all(1),
        ),
        Mistake(
            "these are the fractions of white rows: a mask is asked, of those that have all",
            lambda batches, cut: _white(batches, cut).double().mean(0),
        ),
        Mistake(
            "these are the numbers of the units: a mask is asked, true for each of them",
            lambda batches, cut: _white(batches, cut).all(0).nonzero().flatten(),
        ),
        Mistake(
            "one mask for each batch: a unit must be white in all of them",
            lambda batches, cut: torch.stack([_white([b], cut).all(0) for b in batches]),
        ),
        Mistake(
            "the means of the batches are compared with the cut: every row is asked",
            lambda batches, cut: (torch.stack([_h([b]).abs().mean(0) for b in batches]) > cut).all(
                0
            ),
        ),
        Mistake(
            "this takes the smallest h, not the smallest |h|, and its size",
            lambda batches, cut: _h(batches).amin(0).abs() > cut,
        ),
    ),
    hints=(
        "One live entry anywhere acquits a unit: that is (all) over the rows and the batches.",
        "Either join the batches with torch.cat, or keep one mask and take (and) with each batch.",
        "For one batch: (torch.tanh(z).abs() > cut).all(0).",
    ),
    teaches="Death is a statement about all the data: more rows can acquit a unit, never convict "
    "one that was live before.",
)


def _convict_cases(g: Draw) -> list[Case]:
    def case(p: float, confidence: float, what: str = "") -> Case:
        doubt = 1 - confidence
        surer = g.real(confidence, 1 - 1.1 * doubt, 1 - 0.9 * doubt)
        return Case((g.real(p, 0.85 * p, 1.15 * p), surer), what)

    return [
        case(0.003, 0.98),
        case(0.2, 0.99),
        case(0.1, 0.95, "the rule of three's own level"),
        case(0.05, 0.9),
        case(1e-5, 0.999, "a live rate of one in 100,000"),
        case(0.6, 0.5, "one row is enough"),
        Case((round(0.2 + 0.1 * torch.rand((), generator=g).item(), 4), 0.9)),
        Case((0.5, 0.875), "the probability is met exactly"),
        Case((0.25, 0.578125), "met exactly: 0.75³ is 0.421875"),
        Case((0.5, 0.5), "it is met exactly by one row"),
    ]


def _convict(p: float, confidence: float) -> int:
    """By bisection, in 120 decimal digits: what is met exactly is seen to be."""
    with localcontext(prec=120):
        dead, doubt = 1 - Decimal(p), 1 - Decimal(confidence)
        low, high = 0, 1  # (low) rows are too few, (high) are enough
        while dead**high > doubt:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if dead**middle > doubt else (low, middle)
        return high


CONVICT = Exercise(
    id="7.3",
    title="How many examples to convict",
    function="examples_to_convict",
    points=2,
    cases=_convict_cases,
    oracle=_convict,
    mistakes=(
        Mistake(
            "one row less meets the probability exactly, and is enough: the quotient of two "
            "rounded logarithms came out a little above a whole number; see whether n − 1 rows "
            "will do, (1 − p) ** (n − 1) <= 1 − confidence",
            lambda p, c: math.ceil(math.log(1 - c) / math.log(1 - p)),
        ),
        Mistake("this is one row too few: n must be rounded up", lambda p, c: _convict(p, c) - 1),
        Mistake(
            "this is one row more than it takes: the smallest n is asked",
            lambda p, c: _convict(p, c) + 1,
        ),
        Mistake(
            "this is the rule of three, 3/p: it is an approximation, for a confidence of 95% and a "
            "small p alone",
            lambda p, c: math.ceil(3 / p),
        ),
        Mistake(
            "the confidence is inverted: n dead rows in a row must have a probability of at most "
            "1 − confidence",
            lambda p, c: math.ceil(math.log(c) / math.log(1 - p)),
        ),
        Mistake(
            "p is the chance that a row is live: n dead rows in a row have the probability "
            "(1 − p)ⁿ, not pⁿ",
            lambda p, c: math.ceil(math.log(1 - c) / math.log(p)),
        ),
        Mistake(
            "this takes p for −log(1 − p), which holds for a small p only: (1 − p)ⁿ has an exact "
            "logarithm",
            lambda p, c: math.ceil(-math.log(1 - c) / p),
        ),
        *(
            Mistake(
                f"n is a whole number, rounded up{how}",
                lambda p, c, form=form: form(math.log(1 - c) / math.log(1 - p)),
            )
            for how, form in (
                (": this is the quotient of the logarithms itself", float),
                (", and returned as one: int(…)", lambda n: float(math.ceil(n))),
                (": this is rounded to the nearest", lambda n: float(round(n))),
            )
        ),
        Mistake(
            "this is 1/p, the rows until a live one is to be expected: the doubt must come down to "
            "1 − confidence",
            lambda p, c: math.ceil(1 / p),
        ),
        Mistake(
            "this is confidence / p: probabilities of rows multiply",
            lambda p, c: math.ceil(c / p),
        ),
        Mistake(
            "this is for a doubt that is halved, as with two tails: there is one",
            lambda p, c: math.ceil(math.log((1 - c) / 2) / math.log(1 - p)),
        ),
        Mistake(
            "p and the confidence changed places, and neither is taken from 1",
            lambda p, c: math.ceil(math.log(p) / math.log(c)),
        ),
        Mistake(
            "the doubt is spread over the rows: (1 − p)ⁿ falls faster than 1/n",
            lambda p, c: math.ceil(1 / (p * (1 - c))),
        ),
    ),
    hints=(
        "A unit that is live on the part p of the data shows n dead rows in a row with the "
        "probability (1 − p)ⁿ.",
        "Solve (1 − p)ⁿ = 1 − confidence for n, with logarithms; n is then a real number.",
        "A larger n makes the probability smaller, so round up: math.ceil.",
        "At most means that n rows which meet the probability exactly are enough, and a quotient "
        "of logarithms is rounded: it can come out a little above 3 where it is 3. See whether "
        "one row less will do, by (1 − p) ** (n − 1).",
    ),
    teaches="A verdict has a price in data: to rule out ever smaller live rates takes n in "
    "proportion to 1/p.",
)


def _fold_cases(g: Generator) -> list[Case]:
    def case(stuck: list[int], hidden: int, vocab: int, dtype=torch.float32, what="") -> Case:
        W2 = torch.randn(hidden, vocab, generator=g, dtype=dtype)
        b2 = torch.randn(vocab, generator=g, dtype=dtype)
        mask = torch.zeros(hidden, dtype=torch.bool)
        mask[stuck] = True
        means = 1.6 * torch.rand(hidden, generator=g, dtype=dtype) - 0.8
        sign = torch.ones(hidden, dtype=dtype)
        sign[1::3] = -1
        return Case((W2, b2, mask, torch.where(mask, sign, means)), what)

    return [
        case([1, 3, 4], 5, 3),
        case([0, 2, 5, 7, 8, 9, 13, 19], 20, 27, what="the book's 27 characters"),
        case([0, 1, 2, 3, 6], 9, 4, torch.float64, "float64, the first units stuck"),
        case(list(range(6)), 6, 5, what="every unit stuck"),
    ]


def _fold(W2: Tensor, b2: Tensor, stuck: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
    rows, bias = [], b2.double().clone()
    for row, is_stuck, value in zip(W2.double(), stuck.tolist(), means.tolist(), strict=True):
        if is_stuck:
            bias += value * row
        else:
            rows.append(row)
    return (torch.stack(rows) if rows else W2.double()[:0]), bias


def _keeping(bias):
    """The mistake that keeps the right rows and gets the bias as `bias` says."""
    return lambda W2, b2, stuck, means: (
        W2[~stuck].double(),
        bias(W2.double(), b2.double(), stuck, means.double()),
    )


FOLD = Exercise(
    id="7.4",
    title="Fold the stuck units away",
    function="fold_stuck",
    points=3,
    cases=_fold_cases,
    oracle=_fold,
    atol=1e-5,
    mistakes=(
        Mistake(
            "the stuck units are deleted without a trace: what they added to every logit belongs "
            "in the bias",
            _keeping(lambda W2, b2, stuck, means: b2),
        ),
        Mistake(
            "the rows of the stuck units are added as if all were stuck at 1: multiply each by its "
            "unit's value, −1 or 1",
            _keeping(lambda W2, b2, stuck, means: b2 + W2[stuck].sum(0)),
        ),
        Mistake(
            "what the stuck units added is subtracted from the bias: it must be added, to take "
            "their place",
            _keeping(lambda W2, b2, stuck, means: b2 - means[stuck] @ W2[stuck]),
        ),
        Mistake(
            "the mean of every unit is folded in, the live ones' too: those still stand in W2, and "
            "count twice",
            _keeping(lambda W2, b2, stuck, means: b2 + means @ W2),
        ),
        Mistake(
            "the live units are folded into the bias: it is the stuck ones that are constant",
            _keeping(lambda W2, b2, stuck, means: b2 + means[~stuck] @ W2[~stuck]),
        ),
        Mistake(
            "the stuck units' rows are averaged: their contributions to a logit add up",
            _keeping(lambda W2, b2, stuck, means: b2 + means[stuck] @ W2[stuck] / stuck.sum()),
        ),
        Mistake(
            "every logit gets the same number: sum over the stuck units, each logit for itself",
            _keeping(lambda W2, b2, stuck, means: b2 + (means[stuck] @ W2[stuck]).sum()),
        ),
        Mistake(
            "the old bias is lost: add to it",
            _keeping(lambda W2, b2, stuck, means: means[stuck] @ W2[stuck]),
        ),
        Mistake(
            "the live units stand in reverse: their order in W2 is asked, for W1 has it too",
            lambda *args: (_fold(*args)[0].flip(0), _fold(*args)[1]),
        ),
        Mistake(
            "the rows of the stuck units are kept, and those of the live ones are gone",
            lambda W2, b2, stuck, means: (W2[stuck].double(), _fold(W2, b2, stuck, means)[1]),
        ),
        Mistake(
            "the rows of the stuck units are kept and folded: mask and means changed sides",
            lambda W2, b2, stuck, means: _fold(W2, b2, ~stuck, means),
        ),
        Mistake(
            "the rows of the stuck units are set to 0: they are to go",
            lambda W2, b2, stuck, means: (
                W2.double() * ~stuck[:, None],
                _fold(W2, b2, stuck, means)[1],
            ),
        ),
        Mistake(
            "the rows of the stuck units still stand in W2",
            lambda W2, b2, stuck, means: (W2.double(), _fold(W2, b2, stuck, means)[1]),
        ),
        Mistake(
            "only the first stuck unit is folded",
            _keeping(lambda W2, b2, stuck, means: b2 + (means[:, None] * W2)[stuck][0]),
        ),
        Mistake(
            "only the last stuck unit is folded: add to the bias, one after the other",
            _keeping(lambda W2, b2, stuck, means: b2 + (means[:, None] * W2)[stuck][-1]),
        ),
        Mistake(
            "the bias is multiplied by the number of stuck units: it was there once",
            _keeping(lambda W2, b2, stuck, means: stuck.sum() * b2 + means[stuck] @ W2[stuck]),
        ),
        Mistake(
            "the values are added without their rows: each is multiplied by its row of W2",
            _keeping(lambda W2, b2, stuck, means: b2 + means[stuck].sum()),
        ),
        Mistake(
            "tanh is applied once more to what the stuck units answer",
            _keeping(lambda W2, b2, stuck, means: b2 + means[stuck].tanh() @ W2[stuck]),
        ),
    ),
    hints=(
        "Write a logit as a sum over the hidden units and split it in two: live and stuck.",
        "The stuck part is the same on every example: Σ over the stuck units of value × row of W2. "
        "What else in the layer is the same on every example?",
        "A bool mask selects rows: W2[~stuck] are the live ones, in their order; the constant is "
        "means[stuck] @ W2[stuck].",
    ),
    teaches="A unit stuck at ±1 is a second bias: with its constant folded in, it can go and no "
    "logit changes.",
)

EXERCISES = (FRACTIONS, ALWAYS, CONVICT, FOLD)
