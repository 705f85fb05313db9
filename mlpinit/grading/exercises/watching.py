"""Graders of chapter 14, Watching your own network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise

import torch
from torch import Generator, Tensor

from mlpinit.grading.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]

Figures = tuple[int, Tensor, Tensor]


def _figures(x: Tensor) -> Figures:
    mean = x.mean(0)
    return len(x), mean, (x - mean).square().sum(0)


def _rest_cases(g: Generator) -> list[Case]:
    def case(n: int, part: int, units: int, *, apart=1.0, at=0.5, dtype=torch.float64, what=""):
        x = at + torch.randn(n, units, generator=g, dtype=torch.float64)
        x[:part] += apart * torch.randn(units, generator=g, dtype=torch.float64)
        figures = [
            (k, mean.to(dtype), m2.to(dtype)) for k, mean, m2 in (_figures(x), _figures(x[:part]))
        ]
        return Case(tuple(figures), what)

    return [
        case(7, 4, 3),
        case(450, 300, 20, dtype=torch.float32, what="float32"),
        case(33, 32, 4, what="one row is left"),
        case(1000, 32, 7, apart=3.0, what="a short part"),
        case(900, 640, 5, at=1e8, what="units far from 0"),
    ]


def _rest(whole: Figures, part: Figures) -> Figures:
    """From exact sums and sums of squares, as fractions."""
    n = whole[0] - part[0]
    means, m2s = [], []
    for unit in range(len(whole[1])):
        total, squares = Fraction(0), Fraction(0)
        for sign, (k, mean, m2) in ((1, whole), (-1, part)):
            m = Fraction(mean[unit].item())
            total += sign * k * m
            squares += sign * (Fraction(m2[unit].item()) + k * m * m)
        means.append(float(total / n))
        m2s.append(max(0.0, float(squares - total * total / n)))
    return n, torch.tensor(means).double(), torch.tensor(m2s).double()


def _rest_with(m2: Callable[..., Tensor] | None = None, mean: Callable[..., Tensor] | None = None):
    """A mistake in M2, or in the mean and what follows for M2.

    m2(nw, np, n, mean_w, mean_p, mean, m2_w, m2_p), mean(nw, np, n, mean_w, mean_p).
    """

    def wrong(whole: Figures, part: Figures) -> Figures:
        (nw, mw, sw), (np, mp, sp) = [(k, m.double(), s.double()) for k, m, s in (whole, part)]
        n = nw - np
        right = mw + (mw - mp) * np / n
        mr = right if mean is None else mean(nw, np, n, mw, mp)
        if m2 is not None:
            return n, mr, m2(nw, np, n, mw, mp, mr, sw, sp)
        return n, mr, (sw - sp - (mr - mp) ** 2 * np * n / nw).clamp(min=0)

    return wrong


def _merged(whole: Figures, part: Figures) -> Figures:
    n = whole[0] + part[0]
    apart = part[1].double() - whole[1].double()
    mean = whole[1].double() + apart * part[0] / n
    return n, mean, whole[2].double() + part[2].double() + apart**2 * whole[0] * part[0] / n


def _by_squares(whole: Figures, part: Figures) -> Figures:
    (nw, mw, sw), (np, mp, sp) = [(k, m.double(), s.double()) for k, m, s in (whole, part)]
    n = nw - np
    mean = (nw * mw - np * mp) / n
    return n, mean, sw + nw * mw**2 - sp - np * mp**2 - n * mean**2


REST = Exercise(
    id="14.1",
    title="Take a window away",
    function="rest_of",
    points=2,
    cases=_rest_cases,
    oracle=_rest,
    atol=1e-5,
    mistakes=(
        Mistake(
            "the distance between the two means is left out: M2 of the whole has a third part "
            "beside the two within",
            _rest_with(lambda nw, np, n, mw, mp, mr, sw, sp: sw - sp),
        ),
        Mistake(
            "the distance between the means is added: in the whole it is there already, take it "
            "away",
            _rest_with(
                lambda nw, np, n, mw, mp, mr, sw, sp: sw - sp + (mr - mp) ** 2 * np * n / nw
            ),
        ),
        Mistake(
            "the distance is from the part's mean to that of the whole: it is meant to that of the "
            "rest",
            _rest_with(
                lambda nw, np, n, mw, mp, mr, sw, sp: sw - sp - (mw - mp) ** 2 * np * n / nw
            ),
        ),
        Mistake(
            "the distance between the means is not squared",
            _rest_with(
                lambda nw, np, n, mw, mp, mr, sw, sp: sw - sp - (mr - mp).abs() * np * n / nw
            ),
        ),
        Mistake(
            "these are variances: M2 is the sum of the squared deviations, not their mean",
            _rest_with(
                lambda nw, np, n, mw, mp, mr, sw, sp: (sw - sp - (mr - mp) ** 2 * np * n / nw) / n
            ),
        ),
        Mistake(
            "the means are subtracted as they are: a mean counts as often as it has rows",
            _rest_with(mean=lambda nw, np, n, mw, mp: mw - mp),
        ),
        Mistake(
            "the rest's mean is placed as far from the whole's as the part's: the larger group "
            "lies nearer",
            _rest_with(mean=lambda nw, np, n, mw, mp: 2 * mw - mp),
        ),
        Mistake(
            "this merges the two: the part is in the whole already and is to be taken out",
            _merged,
        ),
        Mistake(
            "large squares are subtracted from large squares, and the digits that count are gone: "
            "work with distances between means",
            _by_squares,
        ),
        Mistake(
            "the sign of the mean's step is wrong: the rest lies on the other side of the whole's "
            "mean",
            _rest_with(mean=lambda nw, np, n, mw, mp: mw - (mw - mp) * np / n),
        ),
        Mistake(
            "the rest's sum is divided by the number of all rows: the rest has fewer",
            _rest_with(mean=lambda nw, np, n, mw, mp: (nw * mw - np * mp) / nw),
        ),
        Mistake(
            "the mean's step is n_part / n_whole of the distance: n_part / n is meant",
            _rest_with(mean=lambda nw, np, n, mw, mp: mw + (mw - mp) * np / nw),
        ),
        Mistake(
            "the mean's step has the numbers of rows the wrong way round: n_part / n",
            _rest_with(mean=lambda nw, np, n, mw, mp: mw + (mw - mp) * n / np),
        ),
        Mistake(
            "the mean is that of the whole",
            _rest_with(mean=lambda nw, np, n, mw, mp: mw),
        ),
        Mistake(
            "the mean of the whole stands where that of the rest is asked; M2 is right",
            lambda whole, part: (_rest(whole, part)[0], whole[1].double(), _rest(whole, part)[2]),
        ),
        *(
            Mistake(
                f"the distance between the means is weighed by {weight}: n_part · n / n_whole is "
                "meant",
                _rest_with(
                    lambda nw, np, n, mw, mp, mr, sw, sp, by=by: (
                        sw - sp - (mr - mp) ** 2 * by(nw, np, n)
                    ).clamp(min=0)
                ),
            )
            for weight, by in (
                ("nothing", lambda nw, np, n: 1),
                ("n_part", lambda nw, np, n: np),
                ("n", lambda nw, np, n: n),
                ("n_whole", lambda nw, np, n: nw),
                ("n_part · n", lambda nw, np, n: np * n),
                ("n_part · n_whole / n", lambda nw, np, n: np * nw / n),
                ("n · n_whole / n_part", lambda nw, np, n: n * nw / np),
                ("n_part / n_whole", lambda nw, np, n: np / nw),
            )
        ),
        Mistake(
            "the distance is between the means of whole and rest: that of part and rest is meant",
            _rest_with(
                lambda nw, np, n, mw, mp, mr, sw, sp: sw - sp - (mr - mw) ** 2 * np * n / nw
            ),
        ),
        Mistake(
            "M2 is scaled by the number of rows: take the part's and the means' shares away",
            _rest_with(lambda nw, np, n, mw, mp, mr, sw, sp: sw * n / nw),
        ),
        Mistake(
            "M2 of the two are added: the part is to be taken out",
            _rest_with(lambda nw, np, n, mw, mp, mr, sw, sp: sw + sp),
        ),
        Mistake(
            "these are standard deviations: M2 is the sum of the squared deviations",
            _rest_with(
                lambda nw, np, n, mw, mp, mr, sw, sp: (
                    (sw - sp - (mr - mp) ** 2 * np * n / nw) / n
                ).sqrt()
            ),
        ),
        Mistake(
            "n is the number of all rows and of the part together: the rest has the difference",
            lambda whole, part: (whole[0] + part[0], *_rest(whole, part)[1:]),
        ),
    ),
    hints=(
        "Write down the merge of part and rest, and solve it for the rest's three figures.",
        "n · mean of the whole is the sum of all rows: the rest's sum is a difference of two.",
        "The rest's mean lies on the other side of the whole's: mean = mean_whole + (mean_whole − "
        "mean_part) · n_part / n. Then only M2 is left in the merge.",
    ),
    teaches="Counts, sums and M2 can be taken apart again, so a window can slide; a largest value "
    "cannot: when its row leaves, nothing tells the next largest.",
)


def _evidence_cases(g: Generator) -> list[Case]:
    def batch(n: int, rates: list[float], height: int, width: int, dtype=torch.float32) -> Tensor:
        """Channels that are live at a position with the given rates; dead ones reach 0 exactly."""
        shape = (n, len(rates), height, width)
        z = torch.rand(shape, generator=g, dtype=dtype)
        live = torch.rand(shape, generator=g, dtype=dtype) < torch.tensor(rates).view(-1, 1, 1)
        return torch.where(live, z + 0.01, (0.2 - z).clamp(max=0.0))

    return [
        Case(([batch(3, [0.0, 0.4, 0.1], 2, 3), batch(2, [0.0, 0.6, 0.0], 3, 2)], 0.95)),
        Case(([batch(n, [0, 0.002, 0.05, 0, 1], 5, 4) for n in (20, 20, 7)], 0.9), "a last batch"),
        Case(
            ([batch(n, [0.0, 0.01, 0.3, 0.0], h, w) for n, h, w in ((9, 6, 5), (30, 3, 8))], 0.99),
            "images of two sizes",
        ),
        Case(([batch(6, [0.02, 0.0], 7, 3, torch.float64)], 0.5), "one batch"),
    ]


def _rows(z: Tensor) -> Iterator[list[bool]]:
    """For each example, whether each channel reaches above 0."""
    for example in z.flatten(2).amax(2).tolist():
        yield [largest > 0 for largest in example]


def _bound(n: int, confidence: float) -> float:
    """The rate p with (1 − p)^n = 1 − confidence, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 - middle) ** n > 1 - confidence else (low, middle)
    return low


def _evidence(batches: list[Tensor], confidence: float) -> tuple[Tensor, float]:
    rows = [row for z in batches for row in _rows(z)]
    counts = [sum(column) for column in zip(*rows, strict=True)]
    return torch.tensor(counts), _bound(len(rows), confidence)


def _evidence_with(counts: Callable | None = None, bound: Callable | None = None):
    def wrong(batches: list[Tensor], confidence: float) -> tuple[Tensor, float]:
        right = _evidence(batches, confidence)
        return (
            right[0] if counts is None else counts(batches),
            right[1] if bound is None else bound(batches, confidence),
        )

    return wrong


def _positions(batches: list[Tensor]) -> int:
    return sum(z.shape[0] * z.shape[2] * z.shape[3] for z in batches)


def _live_positions(batches: list[Tensor]) -> Tensor:
    return sum((z > 0).sum((0, 2, 3)) for z in batches)


EVIDENCE = Exercise(
    id="14.2",
    title="Evidence for a channel",
    function="channel_evidence",
    points=2,
    cases=_evidence_cases,
    oracle=_evidence,
    mistakes=(
        Mistake(
            "positions are counted, in the counts and in the bound: the positions of one image are "
            "no independent draws, an example counts once",
            _evidence_with(_live_positions, lambda b, c: _bound(_positions(b), c)),
        ),
        Mistake(
            "live positions are counted: an example counts once, however many of its positions are "
            "live",
            _evidence_with(_live_positions),
        ),
        Mistake(
            "the bound rests on positions: those of one image are no independent draws, count "
            "examples",
            _evidence_with(None, lambda b, c: _bound(_positions(b), c)),
        ),
        Mistake(
            "the bound rests on the number of batches: count their examples",
            _evidence_with(None, lambda b, c: _bound(len(b), c)),
        ),
        Mistake(
            "this is (all) where (any) is asked: one live position makes the channel live on that "
            "example",
            _evidence_with(lambda b: sum((z > 0).flatten(2).all(2).sum(0) for z in b)),
        ),
        Mistake(
            "entries that are exactly 0 are counted as live: the slope of ReLU at 0 is 0",
            _evidence_with(lambda b: sum((z >= 0).flatten(2).any(2).sum(0) for z in b)),
        ),
        Mistake(
            "the mean over the positions is asked whether it is above 0: one live position is "
            "enough",
            _evidence_with(lambda b: sum((z.mean((2, 3)) > 0).sum(0) for z in b)),
        ),
        Mistake(
            "these are the dead examples of each channel: count the live ones",
            _evidence_with(lambda b: sum((z <= 0).flatten(2).all(2).sum(0) for z in b)),
        ),
        Mistake(
            "this is the rule of three: it is an approximation, for a confidence of 95% and a "
            "large n",
            _evidence_with(None, lambda b, c: min(1.0, 3 / sum(map(len, b)))),
        ),
        Mistake(
            "the confidence is inverted: none live in n must have a probability of 1 − confidence",
            _evidence_with(None, lambda b, c: _bound(sum(map(len, b)), 1 - c)),
        ),
        *(
            Mistake(
                says,
                _evidence_with(None, lambda b, c, form=form: form(sum(map(len, b)), c)),
            )
            for says, form in (
                (
                    "this is the chance of a dead look, (1 − confidence)^(1/n): its rest to 1 is p",
                    lambda n, c: (1 - c) ** (1 / n),
                ),
                (
                    "the n-th root is missing: (1 − p)ⁿ = 1 − confidence",
                    lambda n, c: c,
                ),
                (
                    "p is (−log(1 − confidence)) / n for a small p only: solve (1 − p)ⁿ exactly",
                    lambda n, c: -math.log(1 - c) / n,
                ),
                (
                    "this divides the doubt by n: probabilities of looks multiply",
                    lambda n, c: (1 - c) / n,
                ),
                (
                    "this divides the confidence by n: probabilities of looks multiply",
                    lambda n, c: c / n,
                ),
                ("this is 1/n, whatever the confidence", lambda n, c: 1 / n),
                ("n is one too small in the bound", lambda n, c: _bound(n - 1, c)),
                ("n is one too large in the bound", lambda n, c: _bound(n + 1, c)),
                (
                    "this is for a doubt that is halved, as with two tails: there is one",
                    lambda n, c: _bound(n, (1 + c) / 2),
                ),
                (
                    "the bound is for n and the confidence the wrong way round",
                    lambda n, c: 1 - n ** (c - 1),
                ),
            )
        ),
        Mistake(
            "these are parts of the examples: count them",
            lambda b, c: (
                _evidence(b, c)[0] / sum(map(len, b)),
                _evidence(b, c)[1],
            ),
        ),
        Mistake(
            "the counts are those of the last batch alone",
            _evidence_with(
                lambda b: torch.tensor([sum(c) for c in zip(*_rows(b[-1]), strict=True)])
            ),
        ),
        Mistake(
            "the counts are those of the first batch alone",
            _evidence_with(
                lambda b: torch.tensor([sum(c) for c in zip(*_rows(b[0]), strict=True)])
            ),
        ),
        Mistake(
            "counts and bound are those of the last batch alone",
            lambda b, c: _evidence(b[-1:], c),
        ),
        Mistake(
            "counts and bound are those of the first batch alone",
            lambda b, c: _evidence(b[:1], c),
        ),
        Mistake(
            "the bound rests on the examples of the last batch alone",
            _evidence_with(None, lambda b, c: _bound(len(b[-1]), c)),
        ),
        Mistake(
            "the bound rests on the number of channels: count the examples",
            _evidence_with(None, lambda b, c: _bound(b[0].shape[1], c)),
        ),
        Mistake(
            "batches are counted, with a live example in them: count the examples",
            _evidence_with(lambda b: sum((z > 0).any(0).flatten(1).any(1).long() for z in b)),
        ),
        Mistake(
            "live positions are counted on top of each other: of each example, the place counts "
            "once over all",
            _evidence_with(lambda b: sum(z.clamp(min=0).sum((0, 2, 3)) for z in b).long()),
        ),
    ),
    hints=(
        "First reduce each batch to a mask (N, C): is there a position with z > 0?",
        "Only the examples of different batches can be joined: the images differ in size.",
        "A rate p shows none live in n examples with the probability (1 − p)ⁿ. Set it to 1 − "
        "confidence and solve for p.",
    ),
    teaches="What counts as evidence is the number of independent looks, and an image is one look "
    "however many pixels it has.",
)


def _changes_cases(g: Generator) -> list[Case]:
    small = [[0, 3, 0, 0, 5], [2, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 4, 0, 1]]
    small = torch.tensor([*small, [1, 2, 0, 0, 0], [0, 0, 0, 6, 0]])

    def drawn(windows: int, units: int, stay: float, sizes: list[int]) -> tuple[Tensor, Tensor]:
        n = torch.tensor(sizes)[torch.randint(0, len(sizes), (windows,), generator=g)]
        alive = torch.rand(units, generator=g) < 0.5
        rows = []
        for _ in range(windows):
            alive = alive ^ (torch.rand(units, generator=g) > stay)
            rows.append(alive * torch.randint(1, 30, (units,), generator=g))
        return torch.stack(rows), n

    return [
        Case((small, torch.tensor([400, 400, 400, 100, 400, 400]), 300)),
        Case((*drawn(12, 30, 0.7, [1000]), 300), "all windows large enough"),
        Case((*drawn(40, 25, 0.6, [64, 299, 300, 1000]), 300), "many small windows"),
        Case((*drawn(9, 16, 0.6, [10, 20]), 50), "no window is large enough"),
        Case((*drawn(5, 8, 0.3, [30, 700]), 30), "enough is 30"),
    ]


def _told(verdicts: list[str]) -> tuple[int, int, int]:
    """Births, deaths, revivals of one unit's verdicts, of which "?" says nothing."""
    said = [v for v in verdicts if v != "?"]
    turns = [(a, b, "live" in said[: i + 1]) for i, (a, b) in enumerate(pairwise(said))]
    births = sum(a == "dead" and b == "live" and not lived for a, b, lived in turns)
    revivals = sum(a == "dead" and b == "live" and lived for a, b, lived in turns)
    return births, sum(a == "live" and b == "dead" for a, b, _ in turns), revivals


def _verdicts(live: Tensor, n: Tensor, verdict: Callable[[int, int], str]) -> Iterator[list[str]]:
    for unit in live.T.tolist():
        yield [verdict(count, size) for count, size in zip(unit, n.tolist(), strict=True)]


def _counted(live: Tensor, n: Tensor, verdict: Callable, told: Callable = _told):
    columns = zip(*(told(v) for v in _verdicts(live, n, verdict)), strict=True)
    return tuple(torch.tensor(column) for column in columns)


def _by_the_rule(enough: int) -> Callable[[int, int], str]:
    return lambda count, size: "live" if count else ("dead" if size >= enough else "?")


def _changes(live: Tensor, n: Tensor, enough: int) -> tuple[Tensor, Tensor, Tensor]:
    return _counted(live, n, _by_the_rule(enough))


def _presumed_live(verdicts: list[str]) -> tuple[int, int, int]:
    return _told(["live", *verdicts])


def _adjacent(verdicts: list[str]) -> tuple[int, int, int]:
    """As if a window that says nothing wiped out what was known, but for having lived."""
    births = deaths = revivals = 0
    lived = False
    for before, now in pairwise(["?", *verdicts]):
        births += before == "dead" and now == "live" and not lived
        revivals += before == "dead" and now == "live" and lived
        deaths += before == "live" and now == "dead"
        lived = lived or now == "live"
    return births, deaths, revivals


def _first_and_last(verdicts: list[str]) -> tuple[int, int, int]:
    said = [v for v in verdicts if v != "?"]
    return _told([said[0], said[-1]]) if said else (0, 0, 0)


CHANGES = Exercise(
    id="14.3",
    title="Births, deaths, revivals",
    function="changes",
    points=3,
    cases=_changes_cases,
    oracle=_changes,
    rebuilt=2,
    mistakes=(
        Mistake(
            "small windows convict: with fewer than (enough) examples, none live says nothing",
            lambda live, n, enough: _counted(live, n, _by_the_rule(0)),
        ),
        Mistake(
            "small windows are left out: one live example makes a unit live, however small the "
            "window",
            lambda live, n, enough: _counted(
                live, n, lambda c, size: "?" if size < enough else ("live" if c else "dead")
            ),
        ),
        Mistake(
            "a window of exactly (enough) examples is left out: at least so many are asked",
            lambda live, n, enough: _counted(live, n, _by_the_rule(enough + 1)),
        ),
        Mistake(
            "every unit is taken to be live before its first verdict: it is nothing, so that a "
            "unit dead from the first has not died",
            lambda live, n, enough: _counted(live, n, _by_the_rule(enough), _presumed_live),
        ),
        Mistake(
            "births and revivals are swapped",
            lambda live, n, enough: tuple(_changes(live, n, enough)[i] for i in (2, 1, 0)),
        ),
        Mistake(
            "every waking is counted as a revival: a unit dead from its first verdict is born",
            lambda live, n, enough: _as_one(live, n, enough, 2),
        ),
        Mistake(
            "every waking is counted as a birth: a unit that had been live before is revived",
            lambda live, n, enough: _as_one(live, n, enough, 0),
        ),
        Mistake(
            "the first and the last verdict are compared: count from window to window",
            lambda live, n, enough: _counted(live, n, _by_the_rule(enough), _first_and_last),
        ),
        Mistake(
            "a window of fewer than (enough) live examples is not taken for live: one is enough",
            lambda live, n, enough: _counted(
                live,
                n,
                lambda c, size: "live" if c >= enough else ("dead" if size >= enough else "?"),
            ),
        ),
        Mistake(
            "small windows are forgotten with all before them: a verdict holds until the next",
            lambda live, n, enough: _counted(live, n, _by_the_rule(enough), _adjacent),
        ),
        Mistake(
            "a unit live from the first is counted as born: before its first verdict it is nothing",
            lambda live, n, enough: _counted(
                live, n, _by_the_rule(enough), lambda said: _told(["dead", *said])
            ),
        ),
        Mistake(
            "these are numbers of windows found live or dead: count the changes",
            lambda live, n, enough: (
                (live > 0).sum(0),
                ((live == 0) & (n >= enough)[:, None]).sum(0),
                _changes(live, n, enough)[2],
            ),
        ),
        Mistake(
            "a change counts once for each unit: count every one",
            lambda live, n, enough: tuple(t.clamp(max=1) for t in _changes(live, n, enough)),
        ),
        Mistake(
            "births are counted among the revivals as well",
            lambda live, n, enough: (
                *_changes(live, n, enough)[:2],
                _changes(live, n, enough)[0] + _changes(live, n, enough)[2],
            ),
        ),
        Mistake(
            "revivals are counted among the births as well",
            lambda live, n, enough: (
                _changes(live, n, enough)[0] + _changes(live, n, enough)[2],
                *_changes(live, n, enough)[1:],
            ),
        ),
        Mistake(
            "these are sums over the units: each has its own",
            lambda live, n, enough: tuple(t.sum() for t in _changes(live, n, enough)),
        ),
    ),
    hints=(
        "Two things must be remembered of a unit: whether it is dead, and whether it ever lived.",
        "In a window a unit is found live (count above 0), found dead (count 0, and examples "
        "enough), or neither; neither changes nothing.",
        "Count with what was known before the window, and only then bring it up to date: births "
        "are live now & dead & never live; deaths are dead now & not dead & ever live.",
    ),
    teaches="Absence needs a sample and presence does not: the two verdicts are not symmetric.",
)


def _as_one(live: Tensor, n: Tensor, enough: int, place: int) -> tuple[Tensor, ...]:
    births, deaths, revivals = _changes(live, n, enough)
    answer = [torch.zeros_like(births), deaths, torch.zeros_like(births)]
    answer[place] = births + revivals
    return tuple(answer)


EXERCISES = (REST, EVIDENCE, CHANGES)
