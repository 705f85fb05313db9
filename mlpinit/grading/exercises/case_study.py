"""Graders of chapter 17, A case study."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from mlpinit.grading.exercise import Case, Draw, Exercise, Mistake

__all__ = ["EXERCISES"]


def _cost_cases(g: Draw) -> list[Case]:
    def weights(*shapes: tuple[int, ...]) -> list[Tensor]:
        return [torch.randn(shape, generator=g) for shape in shapes]

    convolutions = weights((6, 2, 3, 3), (5, 6, 3, 2), (7, 5, 1, 1))
    mixed = weights((8, 3, 5, 5), (6, 8, 3, 3), (10, 6 * 12), (4, 10))
    places = [g.whole(n, n + 1, 2 * n) for n in (36, 20, 20)]
    return [
        Case((weights((3, 1, 3, 1), (5, 3 * 4)), [4, 1], [[0, 2], []]), "behind a flatten"),
        Case((weights((4, 3), (2, 4)), [1, 1], [[1], []]), "two Linear layers, one dead unit"),
        Case((convolutions, places, [[5, 1, 2], [0, 3], []]), "convolutions alone"),
        Case((mixed, [49, 12, 1, 1], [[0, 7, 3], [2, 5], [1, 4, 9], []]), "everything at once"),
        Case((weights((9, 4), (5, 9), (3, 5)), [1, 1, 1], [[], [], []]), "nothing is dead"),
    ]


def _kept(W: Tensor, dead: list[int], dead_inputs: list[int], units: int) -> Tensor:
    """Which entries of W stay, a mask of its shape."""
    mask = torch.ones(W.shape, dtype=torch.bool)
    mask[dead] = False
    block = W.shape[1] // units
    for unit in dead_inputs:
        mask[:, unit * block : (unit + 1) * block] = False
    return mask


def _masks(weights: list[Tensor], dead: list[list[int]]) -> list[Tensor]:
    before = [(weights[0].shape[1], []), *((len(W), d) for W, d in zip(weights, dead, strict=True))]
    return [
        _kept(W, d, gone, units)
        for W, d, (units, gone) in zip(weights, dead, before[:-1], strict=True)
    ]


def _cost(weights: list[Tensor], places: list[int], dead: list[list[int]]) -> tuple[int, int]:
    masks = _masks(weights, dead)
    before = sum(n * W.numel() for W, n in zip(weights, places, strict=True))
    return before, sum(n * int(mask.sum()) for mask, n in zip(masks, places, strict=True))


def _rows_only(weights: list[Tensor], places: list[int], dead: list[list[int]]) -> tuple[int, int]:
    rows = [n * W[0].numel() * len(d) for W, n, d in zip(weights, places, dead, strict=True)]
    before, _ = _cost(weights, places, dead)
    return before, before - sum(rows)


def _columns_only(
    weights: list[Tensor], places: list[int], dead: list[list[int]]
) -> tuple[int, int]:
    read = [
        n * W.numel() * len(gone) // len(of)
        for W, n, gone, of in zip(weights[1:], places[1:], dead, weights, strict=False)
    ]
    before, _ = _cost(weights, places, dead)
    return before, before - sum(read)


def _twice(weights: list[Tensor], places: list[int], dead: list[list[int]]) -> tuple[int, int]:
    before, without_rows = _rows_only(weights, places, dead)
    return before, without_rows - (before - _columns_only(weights, places, dead)[1])


def _one_column(weights: list[Tensor], places: list[int], dead: list[list[int]]) -> tuple[int, int]:
    before, after = _cost(weights, places, dead)[0], 0
    gone = 0
    for W, n, d in zip(weights, places, dead, strict=True):
        kernel = W[0, 0].numel()
        after += n * (len(W) - len(d)) * (W.shape[1] - gone) * kernel
        gone = len(d)
    return before, after


COST = Exercise(
    id="17.1",
    title="What a cut saves",
    function="multiply_adds",
    points=2,
    cases=_cost_cases,
    oracle=_cost,
    rtol=0,
    atol=0,
    rebuilt=3,
    mistakes=(
        Mistake(
            "a dead unit saves its own sums, but the next layer still reads it: its columns go too",
            _rows_only,
        ),
        Mistake(
            "the next layer no longer reads the dead unit, but its own sums are still counted",
            _columns_only,
        ),
        Mistake(
            "a weight from a dead unit to a dead unit is taken off twice, as a column and as a row",
            _twice,
        ),
        Mistake(
            "behind the flatten a channel is a block of columns, one for each place of its map",
            _one_column,
        ),
        Mistake(
            "these are parameters: a weight is used once at every place where the layer is applied",
            lambda weights, places, dead: _cost(weights, [1] * len(places), dead),
        ),
        Mistake(
            "the second number is what is saved, where what is left is asked",
            lambda *a: (_cost(*a)[0], _cost(*a)[0] - _cost(*a)[1]),
        ),
        Mistake(
            "the two are the wrong way round: before comes first",
            lambda *a: _cost(*a)[::-1],
        ),
        Mistake(
            "these are operations, two for each multiply-add: a multiply-add counts once",
            lambda *a: tuple(2 * n for n in _cost(*a)),
        ),
        Mistake(
            "nothing is saved: the dead units are still counted",
            lambda *a: (_cost(*a)[0],) * 2,
        ),
        Mistake(
            "this is what is left alone, twice",
            lambda *a: (_cost(*a)[1],) * 2,
        ),
        Mistake(
            "the weights are counted once for each place of the first layer",
            lambda weights, places, dead: _cost(weights, [places[0]] * len(places), dead),
        ),
        Mistake(
            "all weights are multiplied by all places: each layer has places of its own",
            lambda weights, places, dead: _cost(weights, [sum(places)] * len(places), dead),
        ),
        Mistake(
            "the kernel is left out: a weight for each of its places is multiplied",
            lambda weights, places, dead: _cost(
                [W.flatten(2)[..., 0] if W.ndim > 2 else W for W in weights], places, dead
            ),
        ),
        Mistake(
            "additions of the biases are counted: one more for each output",
            lambda weights, places, dead: tuple(
                total
                + sum(
                    n * (len(W) - len(d) * k) for W, n, d in zip(weights, places, dead, strict=True)
                )
                for k, total in enumerate(_cost(weights, places, dead))
            ),
        ),
        Mistake(
            "the dead of a layer are taken from the layer's inputs: they are its outputs, and the "
            "next layer's inputs",
            lambda weights, places, dead: (
                _cost(weights, places, dead)[0],
                sum(
                    n * W.numel() * (W.shape[1] - len(d)) // W.shape[1]
                    for W, n, d in zip(weights, places, dead, strict=True)
                ),
            ),
        ),
    ),
    hints=(
        "A layer costs its number of weights times its number of places. Which weights stay?",
        "Those that lead from a unit that stays to a unit that stays. Walk through the layers and "
        "keep in mind how many units the layer before had, and how many of them stay.",
        "W[0].numel() is the number of weights of one unit. Of these the part live / units stays, "
        "behind a flatten as well.",
    ),
    teaches="Removing half of the units of two successive layers leaves a quarter of the work "
    "between them.",
)


def _rate_cases(g: Generator) -> list[Case]:
    def case(n: int, fan_in: int, units: int, what: str = "", **kwargs: torch.dtype) -> Case:
        x = torch.randn(n, fan_in, generator=g, **kwargs)
        x = x * torch.logspace(-2, 1, n, **kwargs)[torch.randperm(n, generator=g)].unsqueeze(1)
        W = torch.randn(fan_in, units, generator=g, **kwargs) / fan_in
        b = 0.3 * torch.randn(units, generator=g, **kwargs)
        W[:, 1], b[1] = 0.01 * W[:, 1], -2.0  # dead
        return Case((x, W, b), what)

    x = torch.tensor([[0.5, -1.0], [2.0, 1.0], [0.0, 0.25]])
    W = torch.tensor([[1.0, -0.5, 0.5, -1.0], [0.5, -1.0, -1.0, -1.0]])
    b = torch.tensor([0.25, 0.5, -0.5, -2.0])
    positive = case(40, 12, 9, "inputs from a ReLU, float64", dtype=torch.float64)
    return [
        Case((x, W, b), "the last unit is dead"),
        case(20, 7, 11, "rows of very different size"),
        Case((positive.args[0].clamp(min=0), *positive.args[1:]), positive.what),
        case(64, 30, 5, "more inputs"),
    ]


def _rate(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """Step against every weight at rate 1: z loses its bracket; find by rows where z meets 0."""
    rates = []
    for w, bias in zip(W.T.double(), b.tolist(), strict=True):
        best = 0.0
        for row in x.double():
            z = float(row.dot(w)) + bias
            worst = float(row.dot(w - row.sign())) + bias - 1  # after the worst step of size 1
            best = max(best, z / (z - worst))
        rates.append(best)
    return torch.tensor(rates, dtype=torch.float64)


def _z_and_bound(x: Tensor, W: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    x = x.double()
    return x @ W.double() + b.double(), 1 + x.abs().sum(1, keepdim=True)


def _z(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    return _z_and_bound(x, W, b)[0]


def _smallest_above(room: Tensor) -> Tensor:
    least = torch.where(room > 0, room, torch.inf).amin(0)
    return torch.where(least.isinf(), 0.0, least)


def _room(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    z, bound = _z_and_bound(x, W, b)
    return z / bound


def _at_largest(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    z, _ = _z_and_bound(x, W, b)
    return _room(x, W, b).gather(0, z.argmax(0, keepdim=True))[0].clamp(min=0)


def _extremes(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    z, bound = _z_and_bound(x, W, b)
    return (z.amax(0) / bound.amax()).clamp(min=0)


RATE = Exercise(
    id="17.2",
    title="A rate that kills nobody",
    function="safe_rate",
    points=3,
    cases=_rate_cases,
    oracle=_rate,
    rebuilt=2,
    mistakes=(
        Mistake(
            "this keeps the unit above 0 on every row: one row is enough to live",
            lambda x, W, b: _room(x, W, b).amin(0).clamp(min=0),
        ),
        Mistake(
            "this is negative for a dead unit: it has nothing to lose, its rate is 0",
            lambda x, W, b: _room(x, W, b).amax(0),
        ),
        Mistake(
            "the row with the largest z need not have the most room: divide row by row, then take "
            "the largest",
            _at_largest,
        ),
        Mistake(
            "this divides the largest z by the largest step bound: every row has one of its own",
            _extremes,
        ),
        Mistake(
            "the bias moves too: the step bound is 1 plus the sum of |x|",
            lambda x, W, b: (
                (_z_and_bound(x, W, b)[0] / (_z_and_bound(x, W, b)[1] - 1)).amax(0).clamp(min=0)
            ),
        ),
        Mistake(
            "the sum is of x where |x| is meant: a weight on a negative input moves z as well",
            lambda x, W, b: (
                (_z_and_bound(x, W, b)[0] / (1 + x.double().sum(1, keepdim=True)))
                .amax(0)
                .clamp(min=0)
            ),
        ),
        Mistake(
            "this is one rate for the layer, where one for every unit is asked",
            lambda x, W, b: _room(x, W, b).amax(0).clamp(min=0).amin(),
        ),
        Mistake(
            "the rooms are averaged over the rows: the unit lives while one row does",
            lambda x, W, b: _room(x, W, b).mean(0).clamp(min=0),
        ),
        Mistake(
            "the step bound is that of squares: 1 plus the sum of |x|",
            lambda x, W, b: (
                (_z(x, W, b) / (1 + x.double().square().sum(1, keepdim=True))).amax(0).clamp(min=0)
            ),
        ),
        Mistake(
            "the step bound is the length of x: every weight moves by the rate, so |x| adds up",
            lambda x, W, b: (
                (_z(x, W, b) / (1 + x.double().norm(dim=1, keepdim=True))).amax(0).clamp(min=0)
            ),
        ),
        Mistake(
            "the step bound is the length of (x, 1): each weight moves by the rate, so |x| adds up",
            lambda x, W, b: (
                (_z(x, W, b) / (1 + x.double().square().sum(1, keepdim=True)).sqrt())
                .amax(0)
                .clamp(min=0)
            ),
        ),
        Mistake(
            "the step bound is the largest |x|: every weight moves, so |x| adds up",
            lambda x, W, b: (
                (_z(x, W, b) / (1 + x.double().abs().amax(1, keepdim=True))).amax(0).clamp(min=0)
            ),
        ),
        Mistake(
            "the step bound is the mean of |x|: every weight moves, so |x| adds up",
            lambda x, W, b: (
                (_z(x, W, b) / (1 + x.double().abs().mean(1, keepdim=True))).amax(0).clamp(min=0)
            ),
        ),
        Mistake(
            "the step bound is left out: this is the largest z",
            lambda x, W, b: _z(x, W, b).amax(0).clamp(min=0),
        ),
        Mistake(
            "the bias is left out of z",
            lambda x, W, b: _room(x, W, 0 * b).amax(0).clamp(min=0),
        ),
        Mistake(
            "|z| is taken: a row below 0 has nothing to lose",
            lambda x, W, b: _room(x, W, b).abs().amax(0),
        ),
        Mistake(
            "this multiplies by the step bound: divide, a large step bound needs a small rate",
            lambda x, W, b: (_z(x, W, b) * _z_and_bound(x, W, b)[1]).amax(0).clamp(min=0),
        ),
        Mistake(
            "this is one over it: the rate is room over the step bound",
            lambda x, W, b: (1 / _room(x, W, b)).amax(0).clamp(min=0),
        ),
        Mistake(
            "this is a rate for each row: take the largest of each unit",
            lambda x, W, b: _room(x, W, b).amax(1).clamp(min=0),
        ),
        Mistake(
            "these are the rates of every row and unit: take the largest of each unit",
            lambda x, W, b: _room(x, W, b).clamp(min=0),
        ),
        Mistake(
            "this is the smallest among the rows above 0: the unit lives while one row does",
            lambda x, W, b: _smallest_above(_room(x, W, b)),
        ),
        Mistake(
            "rooms of the rows are added up: the unit lives while one row does",
            lambda x, W, b: _room(x, W, b).clamp(min=0).sum(0),
        ),
        Mistake(
            "this is the second largest: the unit lives up to the largest",
            lambda x, W, b: _room(x, W, b).sort(0)[0][-2].clamp(min=0),
        ),
    ),
    hints=(
        "At a learning rate of η a step can take η (1 + Σ|x|) away from z, row by row.",
        "On one row the unit stays above 0 up to η = z / (1 + Σ|x|). It lives while one row does.",
        "Compute that quotient for all rows and units, (batch, units), and take the largest of "
        "each column; nothing below 0.",
    ),
    teaches="Whether a step can kill a unit shows beforehand: its room against the step bound.",
)

EXERCISES = (COST, RATE)
