"""Graders of chapter 1, The corpus."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from mlpinit.grading.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]


def _stream_cases(g: Generator) -> list[Case]:
    def stream(*lengths: int) -> list[int]:
        words = [torch.randint(1, 27, (n,), generator=g).tolist() for n in lengths]
        return [index for word in words for index in [*word, 0]]

    return [
        Case((stream(4, 3), 3)),
        Case((stream(5, 1, 2, 9), 2), "a word of one letter"),
        Case((stream(3, 4, 2), 6), "a block longer than any word"),
        Case((stream(6, 3), 1), "a block of one"),
        Case((stream(*range(1, 12)), 4), "many words"),
    ]


def _histories(stream: list[int]) -> list[list[int]]:
    """What was seen of its own word before each index, oldest first."""
    starts = [
        max((j + 1 for j in range(i) if stream[j] == 0), default=0) for i in range(len(stream))
    ]
    return [stream[start:i] for i, start in enumerate(starts)]


def _rows(stream: list[int], rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    return torch.tensor(rows), torch.tensor(stream)


def _stream(stream: list[int], block_size: int) -> tuple[Tensor, Tensor]:
    pad = [0] * block_size
    return _rows(stream, [(pad + seen)[-block_size:] for seen in _histories(stream)])


def _leaking(stream: list[int], block_size: int) -> tuple[Tensor, Tensor]:
    padded = [0] * block_size + stream
    return _rows(stream, [padded[i : i + block_size] for i in range(len(stream))])


def _backwards(stream: list[int], block_size: int) -> tuple[Tensor, Tensor]:
    X, Y = _stream(stream, block_size)
    return X.flip(1), Y


def _padded_after(stream: list[int], block_size: int) -> tuple[Tensor, Tensor]:
    pad = [0] * block_size
    rows = [(seen[-block_size:] + pad)[:block_size] for seen in _histories(stream)]
    return _rows(stream, rows)


def _with_target(stream: list[int], block_size: int) -> tuple[Tensor, Tensor]:
    pad, seen = [0] * block_size, _histories(stream)
    pairs = zip(seen, stream, strict=True)
    return _rows(stream, [[*pad, *before, target][-block_size:] for before, target in pairs])


def _late(stream: list[int], block_size: int) -> tuple[Tensor, Tensor]:
    pad = [0] * block_size
    return _rows(stream, [(pad + seen[:-1])[-block_size:] for seen in _histories(stream)])


def _first_letters(stream: list[int], block_size: int) -> tuple[Tensor, Tensor]:
    pad = [0] * block_size
    return _rows(stream, [(pad + seen[:block_size])[-block_size:] for seen in _histories(stream)])


def _full(X: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
    full = (X != 0).all(1)
    return X[full], Y[full]


def _letters_only(X: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
    return X[Y != 0], Y[Y != 0]


def _padded_with(pad: int, stream: list[int], block_size: int) -> tuple[Tensor, Tensor]:
    rows = [([pad] * block_size + seen)[-block_size:] for seen in _histories(stream)]
    return _rows(stream, rows)


STREAM = Exercise(
    id="1.1",
    title="Examples from a stream",
    function="stream_examples",
    points=1,
    cases=_stream_cases,
    oracle=_stream,
    mistakes=(
        Mistake(
            "a context looks back into the word before: after a boundary it starts again with "
            "boundaries alone",
            _leaking,
        ),
        Mistake(
            "the contexts are the wrong way round: the oldest character comes first, the most "
            "recent last",
            _backwards,
        ),
        Mistake(
            "the context grows from the wrong side: its boundaries stand before the letters, not "
            "after them",
            _padded_after,
        ),
        Mistake(
            "the context already holds the target: keep it first, and take the target in after",
            _with_target,
        ),
        Mistake(
            "the context is one character late: the character just before the target is its last",
            _late,
        ),
        Mistake(
            "the context stops at the first letters of the word: the oldest must go out when a "
            "new one comes in",
            _first_letters,
        ),
        Mistake(
            "the targets are one place late: the target of a context is the character that comes "
            "right after it",
            lambda stream, n: (_stream(stream, n)[0], torch.tensor([*stream[1:], 0])),
        ),
        Mistake(
            "only full contexts are here: the first letters of a word have contexts too, which "
            "begin with boundaries",
            lambda stream, n: _full(*_stream(stream, n)),
        ),
        Mistake(
            "the context is already empty for the boundary at a word's end: that boundary is "
            "foretold from the last letters of the word",
            lambda stream, n: (
                _stream(stream, n)[0] * torch.tensor(stream)[:, None].clamp(max=1),
                torch.tensor(stream),
            ),
        ),
        Mistake(
            "the padding is the boundary's index, 0",
            lambda stream, n: _padded_with(-1, stream, n),
        ),
        Mistake(
            "the two are exchanged: contexts first, then targets",
            lambda stream, n: _stream(stream, n)[::-1],
        ),
        Mistake(
            "the targets are columns here: Y has one axis",
            lambda stream, n: (_stream(stream, n)[0], torch.tensor(stream)[:, None]),
        ),
        Mistake(
            "each row has the context of the next target: take the context down before the target "
            "goes in",
            lambda stream, n: (
                torch.cat([_stream(stream, n)[0][1:], torch.zeros(1, n, dtype=torch.int64)]),
                torch.tensor(stream),
            ),
        ),
        Mistake(
            "the boundaries are no targets here: the end of a word is to be foretold as well",
            lambda stream, n: _letters_only(*_stream(stream, n)),
        ),
        Mistake(
            "the indices are right, but X is not of whole numbers: they are to look up rows",
            lambda stream, n: (_stream(stream, n)[0].float(), torch.tensor(stream)),
        ),
    ),
    hints=(
        "Keep one context and go through the list: every index is a target once, also each 0.",
        "After a letter the oldest character goes out and the letter comes in, at the end.",
        "After a 0 the next word begins: set the context back to `block_size` zeros.",
    ),
    teaches="Where one example ends and the next begins is a decision of ours; nothing in the "
    "data shows it unless we make it.",
)


def _table_cases(g: Generator) -> list[Case]:
    def counts(contexts: int, vocab: int, most: int, *, empty: float = 0.3) -> Tensor:
        table = torch.randint(1, most, (contexts, vocab), generator=g)
        return table * (torch.rand(contexts, vocab, generator=g) > empty)

    small = counts(4, 3, 10)
    small[:, 0] += 1  # every context was counted
    unseen = counts(7, 5, 30)
    unseen[2] = 0
    sharp, dev = counts(9, 6, 50, empty=0.5), counts(9, 6, 9)
    sharp[torch.arange(9), torch.arange(9) % 6] = 7  # no row is empty
    return [
        Case((small, counts(4, 3, 6), 0.5)),
        Case((unseen, counts(7, 5, 20, empty=0.0), 0.1), "a context that was never counted"),
        Case((sharp, dev * (sharp > 0), 0.0), "no smoothing; some examples in neither table"),
        Case((counts(60, 27, 900, empty=0.2), counts(60, 27, 90), 1.0), "27 characters"),
        Case((counts(3, 8, 10), counts(3, 8, 7), 1e3), "smoothing that drowns the counts"),
    ]


def _table(train_counts: Tensor, dev_counts: Tensor, smoothing: float) -> float:
    total = 0.0
    for row, came in zip(train_counts.tolist(), dev_counts.tolist(), strict=True):
        size = math.fsum(row) + len(row) * smoothing
        for seen, times in zip(row, came, strict=True):
            if times:
                total += times * (math.log(size) - math.log(seen + smoothing))
    return total / dev_counts.sum().item()


def _shares(train: Tensor, smoothing: float, axis: int = 1) -> Tensor:
    table = train.double() + smoothing
    return table / table.sum(axis, keepdim=True)


def _score(p: Tensor, weights: Tensor) -> float:
    came = weights > 0
    return -(weights[came] * p[came].log()).sum().item() / weights.sum().item()


def _by_contexts(p: Tensor, weights: Tensor) -> float:
    costs = torch.where(weights > 0, -weights * p.log(), 0.0).sum(1) / weights.sum(1)
    return costs.nanmean().item()


TABLE = Exercise(
    id="1.2",
    title="A table that scores a table",
    function="table_loss",
    points=2,
    cases=_table_cases,
    oracle=_table,
    mistakes=(
        Mistake(
            "the columns were normalised: each row is a distribution, the shares of what follows "
            "one context",
            lambda train, dev, a: _score(_shares(train, a, 0), dev),
        ),
        Mistake(
            "the smoothing is missing in the denominator: the rows do not sum to 1 any more",
            lambda train, dev, a: _score(
                (train.double() + a) / train.double().sum(1, keepdim=True), dev
            ),
        ),
        Mistake(
            "the row total grew by the smoothing once: it grows by it once for every cell of the "
            "row",
            lambda train, dev, a: _score(
                (train.double() + a) / (train.double().sum(1, keepdim=True) + a), dev
            ),
        ),
        Mistake(
            "the whole table was normalised: that is the probability of context and "
            "character together, not of the character given the context",
            lambda train, dev, a: _score((train.double() + a) / (train.double() + a).sum(), dev),
        ),
        Mistake(
            "this is in bits: a nat is the natural logarithm, log and not log2",
            lambda train, dev, a: _table(train, dev, a) / math.log(2),
        ),
        Mistake(
            "every cell that occurs was counted once: weigh each by how often it occurs in dev",
            lambda train, dev, a: _score(_shares(train, a), (dev > 0).double()),
        ),
        Mistake(
            "every cell was counted once, empty ones too: weigh each by how often it occurs in dev",
            lambda train, dev, a: -_shares(train, a).log().mean().item(),
        ),
        Mistake(
            "this weighs the cells by the counts of train: the score is on dev",
            lambda train, dev, a: _score(_shares(train, a), train.double()),
        ),
        Mistake(
            "the counts of dev were smoothed as well: what happened there happened, smooth the "
            "table alone",
            lambda train, dev, a: _score(_shares(train, a), dev.double() + a),
        ),
        Mistake(
            "this is the sum over the dev examples: divide by how many there are",
            lambda train, dev, a: _table(train, dev, a) * dev.sum().item(),
        ),
        Mistake(
            "0 · log 0 is NaN in floats: leave out the cells that are 0 in dev",
            lambda train, dev, a: (-dev * _shares(train, a).log()).sum().item() / dev.sum().item(),
        ),
        Mistake(
            "this is in tenfolds, with log10: a nat is the natural logarithm, log and not log10",
            lambda train, dev, a: _table(train, dev, a) / math.log(10),
        ),
        Mistake(
            "this is the perplexity, exp of the loss: the loss itself is asked",
            lambda train, dev, a: math.exp(_table(train, dev, a)),
        ),
        Mistake(
            "the two tables are exchanged: count on train, score on dev",
            lambda train, dev, a: _score(_shares(dev, a), train.double()),
        ),
        Mistake(
            "the smoothing is not used",
            lambda train, dev, a: _score(_shares(train, 0.0), dev.double()),
        ),
        Mistake(
            "the smoothing is added to the shares: it is added to the counts, before they are "
            "divided",
            lambda train, dev, a: _score(_shares(train, 0.0) + a, dev.double()) if a else None,
        ),
        Mistake(
            "the smoothing goes to the cells that were never counted alone: every cell gets it",
            lambda train, dev, a: _score(
                _shares(torch.where(train > 0, train.double(), a), 0.0), dev.double()
            ),
        ),
        Mistake(
            "every context counted once: the mean is over the dev examples, and a common context "
            "has more of them",
            lambda train, dev, a: _by_contexts(_shares(train, a), dev.double()),
        ),
        Mistake(
            "the sum of the costs is divided by the counts of train: divide by the number of dev "
            "examples",
            lambda train, dev, a: _table(train, dev, a) * (dev.sum() / train.sum()).item(),
        ),
        Mistake(
            "this is the logarithm of the mean of the probabilities: take the logarithm of each, "
            "then the mean",
            lambda train, dev, a: -math.log((dev * _shares(train, a)).sum() / dev.sum()),
        ),
        Mistake(
            "the logarithm is missing: this is the mean probability",
            lambda train, dev, a: -((dev * _shares(train, a)).sum() / dev.sum()).item(),
        ),
        Mistake(
            "the mean probability is here: the loss is the mean of −log of it",
            lambda train, dev, a: ((dev * _shares(train, a)).sum() / dev.sum()).item(),
        ),
        Mistake(
            "the sum of the costs is divided by the number of cells: divide by the number of dev "
            "examples",
            lambda train, dev, a: _table(train, dev, a) * (dev.sum() / (dev > 0).sum()).item(),
        ),
        Mistake(
            "the sum of the costs is divided by the number of contexts: divide by the number of "
            "dev examples",
            lambda train, dev, a: _table(train, dev, a) * (dev.sum() / len(dev)).item(),
        ),
        *(
            Mistake(
                "a small number is added to the probabilities before the logarithm: leave out the "
                f"cells that are 0 in dev, and the others need no help ({small:g} was added)",
                lambda train, dev, a, small=small: _score(_shares(train, a) + small, dev.double()),
            )
            for small in (1e-2, 1e-3)
        ),
        Mistake(
            "this is one cost for each context: sum them, and divide by the number of dev examples",
            lambda train, dev, a: torch.where(dev > 0, -dev * _shares(train, a).log(), 0.0).sum(1),
        ),
    ),
    hints=(
        "The probability of a cell is its smoothed count over the sum of its smoothed row.",
        "All dev examples of one cell cost the same, so `dev_counts` holds the weights of these "
        "costs: the weighted mean of the chapter, over cells in the place of contexts.",
        "Where `dev_counts` is 0 the cost may be infinite, and 0 times that is NaN: select the "
        "cells that came, then sum.",
    ),
    teaches="A loss over a hundred thousand examples can be a sum over 729 cells, exactly.",
)


def _weighted_cases(g: Generator) -> list[Case]:
    def case(m: int, units: int, most: int, what: str = "", dtype: torch.dtype = torch.float32):
        values = torch.tanh(1 + torch.randn(m, units, generator=g, dtype=dtype))
        return Case((values, torch.randint(1, most, (m,), generator=g)), what)

    one_common = torch.ones(40, dtype=torch.int64)
    one_common[0] = 26_000
    stuck = 1 - 1e-3 * torch.rand(50, 6, generator=g)
    return [
        case(4, 2, 6),
        case(60, 7, 40, "many contexts"),
        Case((torch.randn(40, 5, generator=g), one_common), "one context is nearly all"),
        Case((stuck, torch.randint(1, 30, (50,), generator=g)), "units that hardly move from 1"),
        case(9, 3, 2000, "float64", torch.float64),
    ]


def _weighted(values: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    every = values.double().repeat_interleave(counts, 0)  # (examples, units)
    return every.mean(0), every.std(0, correction=0)


def _mean_and_variance(
    values: Tensor, counts: Tensor, correction: int = 0, power: int = 1
) -> tuple[Tensor, Tensor]:
    v, n = values.double(), counts.double()
    mean = n @ v / n.sum()
    variance = (n**power) @ (v - mean) ** 2 / ((n**power).sum() - correction)
    return mean, variance


def _weighed_by(v: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    mean = weights @ v.double() / weights.sum()
    return mean, (weights @ (v - mean) ** 2 / weights.sum()).sqrt()


def _cancelled(v: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
    w = n.to(v.dtype) / n.sum()
    mean = w @ v
    return mean, (w @ v**2 - mean**2).sqrt()


WEIGHTED = Exercise(
    id="1.3",
    title="Mean and standard deviation by counts",
    function="weighted_mean_and_std",
    points=2,
    cases=_weighted_cases,
    oracle=_weighted,
    atol=2e-7,
    mistakes=(
        Mistake(
            "every context counted once: the examples are what counts, so weigh each context by "
            "its count",
            lambda v, n: (v.double().mean(0), v.double().std(0, correction=0)),
        ),
        Mistake(
            "every context counted once, and the sum of squares was divided by one less: weigh "
            "each context by its count",
            lambda v, n: (v.double().mean(0), v.double().std(0)),
        ),
        Mistake(
            "the mean is weighted but the standard deviation is not: every squared distance has "
            "its count too",
            lambda v, n: (_weighted(v, n)[0], _mean_and_variance(v, n, power=0)[1].sqrt()),
        ),
        Mistake(
            "the mean is weighted but the standard deviation is that of the distinct contexts: "
            "weigh the squared distances as well",
            lambda v, n: (_weighted(v, n)[0], v.double().std(0, correction=0)),
        ),
        Mistake(
            "the mean is weighted but the standard deviation is torch's std of the distinct "
            "contexts: weigh the squared distances, and divide by the number of examples",
            lambda v, n: (_weighted(v, n)[0], v.double().std(0)),
        ),
        Mistake(
            "this is the variance: the standard deviation is its square root",
            _mean_and_variance,
        ),
        Mistake(
            "the squares were divided by n − 1: here they are divided by n, the number of examples",
            lambda v, n: (_weighted(v, n)[0], _mean_and_variance(v, n, correction=1)[1].sqrt()),
        ),
        Mistake(
            "the weights were squared too: the count multiplies the squared distance, once",
            lambda v, n: (
                _weighted(v, n)[0],
                ((n.double() / n.sum()) ** 2 @ (v - _weighted(v, n)[0]) ** 2).sqrt(),
            ),
        ),
        Mistake(
            "the mean of the squares is there, the square of the mean is not taken off",
            lambda v, n: (
                _weighted(v, n)[0],
                (n.double() @ v.double() ** 2 / n.sum()).sqrt(),
            ),
        ),
        Mistake(
            "the sums were divided by the number of distinct contexts: divide by the number of "
            "examples, the sum of the counts",
            lambda v, n: (
                n.double() @ v.double() / len(n),
                (n.double() @ (v - n.double() @ v.double() / len(n)) ** 2 / len(n)).sqrt(),
            ),
        ),
        Mistake(
            "two nearly equal numbers were subtracted, the mean square and the squared mean, and "
            "float32 has no digits left: average the squared distances from the mean",
            _cancelled,
        ),
        Mistake(
            "this is the standard error, over the root of the number of examples: the standard "
            "deviation of the examples themselves is asked",
            lambda v, n: (_weighted(v, n)[0], _weighted(v, n)[1] / n.sum().sqrt()),
        ),
        Mistake(
            "the two are the wrong way round: mean first",
            lambda v, n: _weighted(v, n)[::-1],
        ),
        Mistake(
            "the mean is weighted, but the distances are from the plain mean of the contexts",
            lambda v, n: (
                _weighted(v, n)[0],
                (n.double() @ (v - v.double().mean(0)) ** 2 / n.sum()).sqrt(),
            ),
        ),
        Mistake(
            "this is the mean of the distances: square them, and take the root of their mean",
            lambda v, n: (
                _weighted(v, n)[0],
                n.double() @ (v - _weighted(v, n)[0]).abs() / n.sum(),
            ),
        ),
        Mistake(
            "this corrects by the number of distinct contexts less one: divide by the number of "
            "examples, and correct nothing",
            lambda v, n: (
                _weighted(v, n)[0],
                _weighted(v, n)[1] * math.sqrt(len(n) / (len(n) - 1)),
            ),
        ),
        Mistake(
            "the counts are squared in both: a context counts as often as it occurs",
            lambda v, n: _weighted(v, n * n) if n.max() < 100 else None,
        ),
        Mistake(
            "the roots of the counts are the weights here: the counts themselves are",
            lambda v, n: _weighed_by(v, n.double().sqrt()),
        ),
        Mistake(
            "the softmax of the counts is the weights here: they are the counts over their sum",
            lambda v, n: _weighed_by(v, n.double().softmax(0)),
        ),
        Mistake(
            "the first of these are sums over the examples: divide by how many there are",
            lambda v, n: (_weighted(v, n)[0] * n.sum(), _weighted(v, n)[1]),
        ),
        Mistake(
            "the figures are over the units of each context: each unit has its own, over the "
            "contexts",
            lambda v, n: (v.double().mean(1), v.double().std(1, correction=0)),
        ),
        Mistake(
            "this is one number for all units: each unit has its own",
            lambda v, n: tuple(t.mean().expand(v.shape[1]) for t in _weighted(v, n)),
        ),
        Mistake(
            "the sums are divided by the largest count: divide by the sum of the counts",
            lambda v, n: (
                n.double() @ v.double() / n.max(),
                (n.double() @ (v - _weighted(v, n)[0]) ** 2 / n.max()).sqrt(),
            ),
        ),
        Mistake(
            "this is only the mean: the standard deviation is asked as well",
            lambda v, n: _weighted(v, n)[0],
        ),
        Mistake(
            "the standard deviation is right; the mean is not right: it is not weighted",
            lambda v, n: (v.double().mean(0), _weighted(v, n)[1]),
        ),
    ),
    hints=(
        "Weights are counts over their sum; the mean is `weights @ values`, one number a unit.",
        "The variance is a mean as well: the same weights, with the squared distance from the mean "
        "in the place of the value.",
        "The mean square minus the squared mean is the same on paper, but loses all digits in "
        "float32 for a unit that hardly moves from 1.",
    ),
    teaches="Anything that is a mean over examples is had exactly from the distinct contexts, the "
    "standard deviation included.",
)


EXERCISES = (STREAM, TABLE, WEIGHTED)
