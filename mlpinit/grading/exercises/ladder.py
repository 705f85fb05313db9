"""Graders of chapter 13, The ladder."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from mlpinit.grading.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]


def _interval_cases(g: Generator) -> list[Case]:
    def case(n_a: int, n_b: int, pool: int, t: float, what: str = "", **kind: object) -> Case:
        chosen_a = torch.randperm(pool, generator=g)[:n_a]
        chosen_b = torch.randperm(pool, generator=g)[:n_b]
        luck = 0.05 * torch.randn(pool, generator=g)  # what a seed does to both
        a, b = (
            (level + luck[chosen] + 0.01 * torch.randn(len(chosen), generator=g)).to(**kind)
            for level, chosen in ((2.2, chosen_a), (2.198, chosen_b))
        )
        return Case((chosen_a + 1, a, chosen_b + 1, b, t), what)

    large = 2**31 - 1
    return [
        case(6, 6, 6, 2.571, "one order and another"),
        Case(
            (
                torch.tensor([large, 5, 1, 2, 3]),
                torch.tensor([2.25, 2.5, 2.0, 2.125, 2.75], dtype=torch.float64),
                torch.tensor([2, 7, large]),
                torch.tensor([2.0625, 9.0, 2.125], dtype=torch.float64),
                12.706,
            ),
            "two seeds shared, float64",
        ),
        case(10, 10, 10, 2.262, "ten of each"),
        case(9, 7, 10, 2.571, "some missing", dtype=torch.float64),
    ]


def _shared(
    seeds_a: Tensor, a: Tensor, seeds_b: Tensor, b: Tensor
) -> tuple[list[float], list[float]]:
    of_a = dict(zip(seeds_a.tolist(), a.tolist(), strict=True))
    of_b = dict(zip(seeds_b.tolist(), b.tolist(), strict=True))
    both = sorted(of_a.keys() & of_b.keys())
    return [of_a[s] for s in both], [of_b[s] for s in both]


def _interval(
    seeds_a: Tensor, a: Tensor, seeds_b: Tensor, b: Tensor, t: float
) -> tuple[float, float]:
    return _of(_differences(seeds_a, a, seeds_b, b, t), t)


def _differences(seeds_a: Tensor, a: Tensor, seeds_b: Tensor, b: Tensor, t: float) -> list[float]:
    xs, ys = _shared(seeds_a, a, seeds_b, b)
    return [y - x for x, y in zip(xs, ys, strict=True)]


def _of(values: list[float], t: float) -> tuple[float, float]:
    return statistics.fmean(values), t * _standard_error(values)


def _half_width(form: Callable[[float, int, int, int], float]) -> Callable[..., object]:
    """The mistake that gets the mean right and makes this of the half width."""

    def wrong(seeds_a: Tensor, a: Tensor, seeds_b: Tensor, b: Tensor, t: float) -> tuple:
        mean, half = _interval(seeds_a, a, seeds_b, b, t)
        return mean, form(half, len(_shared(seeds_a, a, seeds_b, b)[0]), len(a), len(b))

    return wrong


def _standard_error(values: list[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values))


def _by_place(
    seeds_a: Tensor, a: Tensor, seeds_b: Tensor, b: Tensor, t: float
) -> tuple[float, float] | None:
    n = min(len(a), len(b))
    return _of((b[:n].double() - a[:n].double()).tolist(), t)


def _unpaired(
    seeds_a: Tensor, a: Tensor, seeds_b: Tensor, b: Tensor, t: float
) -> tuple[float, float]:
    xs, ys = _shared(seeds_a, a, seeds_b, b)
    mean = statistics.fmean(ys) - statistics.fmean(xs)
    return mean, t * math.hypot(_standard_error(xs), _standard_error(ys))


def _all_seeds(
    seeds_a: Tensor, a: Tensor, seeds_b: Tensor, b: Tensor, t: float
) -> tuple[float, float] | None:
    if len(a) == len(b) == len(_shared(seeds_a, a, seeds_b, b)[0]):
        return None
    xs, ys = a.double().tolist(), b.double().tolist()
    mean = statistics.fmean(ys) - statistics.fmean(xs)
    return mean, t * math.hypot(_standard_error(xs), _standard_error(ys))


def _no_root(*args: object) -> tuple[float, float]:
    mean, half = _interval(*args)
    return mean, half * math.sqrt(len(_shared(*args[:4])[0]))


def _biased(*args: object) -> tuple[float, float]:
    mean, half = _interval(*args)
    n = len(_shared(*args[:4])[0])
    return mean, half * math.sqrt((n - 1) / n)


INTERVAL = Exercise(
    id="13.1",
    title="The interval of a paired difference",
    function="paired_interval",
    points=2,
    cases=_interval_cases,
    oracle=_interval,
    mistakes=(
        Mistake(
            "the losses are paired by their places, but the seeds stand in another order in b: "
            "match equal seeds",
            _by_place,
        ),
        Mistake(
            "this adds the spreads of a and of b: take the differences first, then their spread",
            _unpaired,
        ),
        Mistake(
            "seeds that one side lacks are counted too: only shared seeds make a difference",
            _all_seeds,
        ),
        Mistake(
            "this is A's loss less B's", lambda *args: (-_interval(*args)[0], _interval(*args)[1])
        ),
        Mistake(
            "the half width lacks the division by the root of the number of differences: that is "
            "the spread of one seed, not of a mean",
            _no_root,
        ),
        Mistake("the standard deviation of so few differences divides by n − 1, not by n", _biased),
        Mistake(
            "the half width lacks the division by the root of the number of differences, and their "
            "standard deviation divides by n, not by n − 1",
            _half_width(lambda half, n, n_a, n_b: half * math.sqrt(n - 1)),
        ),
        Mistake(
            "this is the full width of the interval, from end to end",
            lambda *args: (_interval(*args)[0], 2 * _interval(*args)[1]),
        ),
        Mistake(
            "these are the two ends of the interval: return the mean and half the width",
            lambda *args: (
                _interval(*args)[0] - _interval(*args)[1],
                _interval(*args)[0] + _interval(*args)[1],
            ),
        ),
        Mistake(
            "the half width is divided by the root of the number of A's runs: divide by that of "
            "the shared seeds",
            _half_width(lambda half, n, n_a, n_b: half * math.sqrt(n / n_a)),
        ),
        Mistake(
            "the half width is divided by the root of the number of B's runs: divide by that of "
            "the shared seeds",
            _half_width(lambda half, n, n_a, n_b: half * math.sqrt(n / n_b)),
        ),
        Mistake(
            "the half width is divided by the root of the number of all runs: divide by that of "
            "the differences",
            _half_width(lambda half, n, n_a, n_b: half * math.sqrt(n / (n_a + n_b))),
        ),
        Mistake(
            "the half width is divided by the root of the number of seeds that either side has: "
            "divide by that of the shared ones",
            _half_width(lambda half, n, n_a, n_b: half * math.sqrt(n / (n_a + n_b - n))),
        ),
        Mistake(
            "the half width is divided by the root of n − 1: n − 1 is inside the standard "
            "deviation, and the root is that of n",
            _half_width(lambda half, n, n_a, n_b: half * math.sqrt(n / (n - 1))),
        ),
        Mistake(
            "the half width is divided by the number of differences: divide by its root",
            _half_width(lambda half, n, n_a, n_b: half / math.sqrt(n)),
        ),
        Mistake(
            "this is the variance where the standard deviation is meant",
            lambda *args: (
                _interval(*args)[0],
                (_interval(*args)[1] / args[4]) ** 2
                * len(_shared(*args[:4])[0])
                * args[4]
                / math.sqrt(len(_shared(*args[:4])[0])),
            ),
        ),
        Mistake(
            "the quantile t is left out of the half width",
            lambda *args: (_interval(*args)[0], _interval(*args)[1] / args[4]),
        ),
        Mistake(
            "this is the median of the differences: their mean is asked",
            lambda *args: (statistics.median(_differences(*args)), _interval(*args)[1]),
        ),
        Mistake(
            "the signs of the differences are dropped: some seeds may favour A and others B",
            lambda *args: _of([abs(d) for d in _differences(*args)], args[4]),
        ),
        Mistake(
            "this is the spread of the differences alone: the interval is t / √n of it",
            lambda *args: (
                _interval(*args)[0],
                statistics.stdev(_differences(*args)),
            ),
        ),
        Mistake(
            "the two are the wrong way round: the mean comes first",
            lambda *args: _interval(*args)[::-1],
        ),
        Mistake(
            "the losses are sorted and then paired: pair by seed, not by size",
            lambda seeds_a, a, seeds_b, b, t: (
                _of((b.double().sort()[0] - a.double().sort()[0]).tolist(), t)
                if len(a) == len(b)
                else None
            ),
        ),
        Mistake(
            "the difference is taken relative to A's loss: the plain difference is asked",
            lambda *args: _of(
                [(y - x) / x for x, y in zip(*_shared(*args[:4]), strict=True)], args[4]
            ),
        ),
    ),
    hints=(
        "seeds_a[:, None] == seeds_b is a table: where it is true, the two runs share a seed.",
        "With one difference a shared seed, equation (13.1) has the rest.",
        "nonzero(as_tuple=True) of that table gives the places in a and in b.",
    ),
    teaches="A seed that is lucky for both networks drops out of their difference.",
)


def _band_cases(g: Generator) -> list[Case]:
    def case(seeds: int, steps: int, block: int, what: str = "", **kind: object) -> Case:
        level = 3 * torch.exp(-torch.arange(steps) / steps) + 0.1 * torch.randn(
            seeds, 1, generator=g
        )
        losses = level + 0.5 * torch.randn(seeds, steps, generator=g)
        return Case((losses.to(**kind), block), what)

    return [
        case(3, 8, 4),
        case(2, 11, 4, "two seeds, three steps left over"),
        case(10, 1000, 50, "ten seeds"),
        case(4, 5, 1, "blocks of one step", dtype=torch.float64),
        case(5, 7, 7, "one block"),
    ]


def _band(losses: Tensor, block: int) -> tuple[Tensor, Tensor]:
    means, spreads = [], []
    for start in range(0, losses.shape[1] - block + 1, block):
        points = [statistics.fmean(run[start : start + block]) for run in losses.double().tolist()]
        means.append(statistics.fmean(points))
        spreads.append(statistics.stdev(points))
    return torch.tensor(means, dtype=torch.float64), torch.tensor(spreads, dtype=torch.float64)


def _blocks(losses: Tensor, block: int) -> Tensor:
    n = losses.shape[1] // block
    return losses[:, : n * block].double().reshape(len(losses), n, block)


def _points(points: Tensor) -> tuple[Tensor, Tensor]:
    return points.mean(0), points.std(0)


def _with_rest(losses: Tensor, block: int) -> tuple[Tensor, Tensor]:
    points = torch.stack([part.mean(1) for part in losses.double().split(block, dim=1)], 1)
    return points.mean(0), points.std(0)


BAND = Exercise(
    id="13.2",
    title="A curve with a band",
    function="curve_band",
    points=1,
    cases=_band_cases,
    oracle=_band,
    mistakes=(
        Mistake(
            "this is the spread of all the single steps: average each seed's block first",
            lambda losses, block: (
                _blocks(losses, block).mean((0, 2)),
                _blocks(losses, block).std((0, 2)),
            ),
        ),
        Mistake(
            "this is the spread from step to step within a run, which the seeds' spread is not",
            lambda losses, block: (
                _blocks(losses, block).mean((0, 2)),
                _blocks(losses, block).std(2).mean(0),
            ),
        ),
        Mistake(
            "this is the mean of the seeds' spread at each step: average over the block first",
            lambda losses, block: (
                _blocks(losses, block).mean((0, 2)),
                _blocks(losses, block).std(0).mean(1),
            ),
        ),
        Mistake(
            "the standard deviation over the seeds divides by n − 1, not by n",
            lambda losses, block: (
                _blocks(losses, block).mean((0, 2)),
                _blocks(losses, block).mean(2).std(0, correction=0),
            ),
        ),
        Mistake("the last block is not full: leave it out", _with_rest),
        Mistake(
            "these are the variances: the band is drawn with their roots",
            lambda losses, block: (_band(losses, block)[0], _band(losses, block)[1] ** 2),
        ),
        Mistake(
            "this is the standard error, over the root of the number of seeds: the band is the "
            "spread of the seeds themselves",
            lambda losses, block: (
                _band(losses, block)[0],
                _band(losses, block)[1] / math.sqrt(len(losses)),
            ),
        ),
        *(
            Mistake(
                "this is a standard error: the band is the spread of the seeds themselves, over "
                f"no root; and {more}",
                lambda losses, block, over=over: (
                    _band(losses, block)[0],
                    _band(losses, block)[1] / over(len(losses)),
                ),
            )
            for more, over in (
                ("its standard deviation divides by n", lambda n: n / math.sqrt(n - 1)),
                ("its root is that of n − 1", lambda n: math.sqrt(n - 1)),
            )
        ),
        Mistake(
            "the two are the wrong way round: the mean comes first",
            lambda losses, block: _band(losses, block)[::-1],
        ),
        Mistake(
            "this is the curve of the first seed: take the mean over the seeds",
            lambda losses, block: (
                _blocks(losses, block).mean(2)[0],
                _band(losses, block)[1],
            ),
        ),
        Mistake(
            "this takes the last step of each block: average over the block",
            lambda losses, block: _points(_blocks(losses, block)[..., -1]),
        ),
        Mistake(
            "this takes the first step of each block: average over the block",
            lambda losses, block: _points(_blocks(losses, block)[..., 0]),
        ),
        Mistake(
            "these are the sums of the blocks: divide by the steps in each",
            lambda losses, block: _points(_blocks(losses, block).sum(2)),
        ),
        Mistake(
            "the steps are dealt out to the blocks in turn: a block is steps that follow each "
            "other",
            lambda losses, block: _points(
                losses[:, : losses.shape[1] // block * block]
                .double()
                .reshape(len(losses), block, -1)
                .mean(1)
            ),
        ),
        Mistake(
            "the steps left over are taken off at the beginning: they are those at the end",
            lambda losses, block: _points(
                _blocks(losses[:, losses.shape[1] % block :], block).mean(2)
            ),
        ),
        Mistake(
            "this is the median over the seeds: their mean is asked",
            lambda losses, block: (
                _blocks(losses, block).mean(2).quantile(0.5, 0),
                _band(losses, block)[1],
            ),
        ),
        Mistake(
            "the windows overlap, one for every step: a point of the curve has a block of its own",
            lambda losses, block: _points(losses.double().unfold(1, block, 1).mean(2)),
        ),
        Mistake(
            "this is the range from the lowest seed to the highest: their standard deviation is "
            "asked",
            lambda losses, block: (
                _band(losses, block)[0],
                _blocks(losses, block).mean(2).amax(0) - _blocks(losses, block).mean(2).amin(0),
            ),
        ),
        Mistake(
            "the steps are not gathered into blocks",
            lambda losses, block: _points(losses.double()),
        ),
        Mistake(
            "the band is doubled: return one standard deviation",
            lambda losses, block: (_band(losses, block)[0], 2 * _band(losses, block)[1]),
        ),
    ),
    hints=(
        "Cut off what fills no block, then give the steps two axes: (seeds, blocks, block).",
        "Average over the last axis; only then take mean and standard deviation over the seeds.",
    ),
    teaches="The band says how seeds differ; the noise of single steps is averaged away first. The "
    "band of `plots.loss_curve` is that noise, within one run.",
)

EXERCISES = (INTERVAL, BAND)
