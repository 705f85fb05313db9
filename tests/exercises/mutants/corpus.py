"""Answers to chapter 1 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import math

import torch
from torch.nn import functional


def stream_examples__wrong_leak(stream, block_size):
    """looks back into the word before"""
    X, context = [], [0] * block_size
    for target in stream:
        X.append(context)
        context = [*context[1:], target]
    return torch.tensor(X), torch.tensor(stream)


def stream_examples__wrong_recent_first(stream, block_size):
    """the oldest character comes first"""
    X, context = [], [0] * block_size
    for target in stream:
        X.append(context)
        context = [target, *context[:-1]] if target else [0] * block_size
    return torch.tensor(X), torch.tensor(stream)


def stream_examples__wrong_pad_after(stream, block_size):
    """grows from the wrong side"""
    X, seen = [], []
    for target in stream:
        last = seen[-block_size:]
        X.append(last + [0] * (block_size - len(last)))
        seen = [*seen, target] if target else []
    return torch.tensor(X), torch.tensor(stream)


def stream_examples__wrong_off_by_one(stream, block_size):
    """the context already holds the target"""
    X, context = [], [0] * block_size
    for target in stream:
        context = [*context[1:], target]
        X.append(context)
        if target == 0:
            context = [0] * block_size
    return torch.tensor(X), torch.tensor(stream)


def stream_examples__wrong_first_letters(stream, block_size):
    """the oldest must go out"""
    X, seen = [], []
    for target in stream:
        first = seen[:block_size]
        X.append([0] * (block_size - len(first)) + first)
        seen = [*seen, target] if target else []
    return torch.tensor(X), torch.tensor(stream)


def stream_examples__wrong_no_end(stream, block_size):
    """the shape is"""
    X, Y, context = [], [], [0] * block_size
    for target in stream:
        if target == 0:
            context = [0] * block_size
            continue
        X.append(context)
        Y.append(target)
        context = [*context[1:], target]
    return torch.tensor(X), torch.tensor(Y)


def stream_examples__wrong_eats_its_input(stream, block_size):
    """changed its argument"""
    X, Y, context = [], [], [0] * block_size
    while stream:
        Y.append(stream.pop(0))
        X.append(context)
        context = [*context[1:], Y[-1]] if Y[-1] else [0] * block_size
    return torch.tensor(X), torch.tensor(Y)


def stream_examples__wrong_floats(stream, block_size):
    """wanted whole numbers"""
    X, Y = stream_examples__right_text(stream, block_size)
    return X.float(), Y


def stream_examples__right_text(stream, block_size):
    rows, text = [], "".join(chr(96 + i) if i else "." for i in stream)
    for word in text.removesuffix(".").split("."):
        padded = "." * block_size + word
        rows += [padded[i : i + block_size] for i in range(len(word) + 1)]
    letters = [[0 if ch == "." else ord(ch) - 96 for ch in row] for row in rows]
    return torch.tensor(letters), torch.tensor(stream)


def stream_examples__right_unfold(stream, block_size):
    t = torch.tensor(stream)
    X = functional.pad(t[:-1], (block_size, 0)).unfold(0, block_size, 1)
    # From the last boundary of a context on, back to its beginning, all is boundary.
    later_zeros = (X == 0).flip(1).cumsum(1).flip(1)
    return X * (later_zeros == 0), t


def table_loss__wrong_columns(train_counts, dev_counts, smoothing):
    """the columns were normalised"""
    table = train_counts.double() + smoothing
    p = table / table.sum(0, keepdim=True)
    came = dev_counts > 0
    return -(dev_counts[came] * p[came].log()).sum() / dev_counts.sum()


def table_loss__wrong_denominator(train_counts, dev_counts, smoothing):
    """the smoothing is missing in the denominator"""
    p = (train_counts + smoothing) / train_counts.sum(1, keepdim=True)
    came = dev_counts > 0
    return -(dev_counts[came] * p[came].log()).sum() / dev_counts.sum()


def table_loss__wrong_bits(train_counts, dev_counts, smoothing):
    """this is in bits"""
    table = train_counts + smoothing
    p = table / table.sum(1, keepdim=True)
    came = dev_counts > 0
    return -(dev_counts[came] * p[came].log2()).sum() / dev_counts.sum()


def table_loss__wrong_unweighted(train_counts, dev_counts, smoothing):
    """weigh each by how often it occurs in dev"""
    table = train_counts + smoothing
    p = table / table.sum(1, keepdim=True)
    return -p[dev_counts > 0].log().mean()


def table_loss__wrong_nan(train_counts, dev_counts, smoothing):
    """0 · log 0 is NaN"""
    table = train_counts + smoothing
    p = table / table.sum(1, keepdim=True)
    return -(dev_counts * p.log()).sum() / dev_counts.sum()


def table_loss__right_one_example_at_a_time(train_counts, dev_counts, smoothing):
    seen, follows = dev_counts.nonzero().T
    times = dev_counts[seen, follows]
    seen, follows = seen.repeat_interleave(times), follows.repeat_interleave(times)
    table = train_counts.double() + smoothing
    return functional.nll_loss((table / table.sum(1, keepdim=True)).log()[seen], follows)


def table_loss__right_xlogy(train_counts, dev_counts, smoothing):
    table = train_counts.double() + smoothing
    sizes = table.sum(1)
    within = torch.xlogy(dev_counts, table).sum() - torch.xlogy(dev_counts.sum(1), sizes).sum()
    return float(-within / dev_counts.sum())


def weighted_mean_and_std__wrong_unweighted(values, counts):
    """every context counted once"""
    return values.mean(0), values.std(0, correction=0)


def weighted_mean_and_std__wrong_std_unweighted(values, counts):
    """the mean is weighted but the standard deviation is not"""
    mean = counts.to(values.dtype) @ values / counts.sum()
    return mean, ((values - mean) ** 2).mean(0).sqrt()


def weighted_mean_and_std__wrong_variance(values, counts):
    """this is the variance"""
    weights = counts.to(values.dtype) / counts.sum()
    mean = weights @ values
    return mean, weights @ (values - mean) ** 2


def weighted_mean_and_std__wrong_bessel(values, counts):
    """divided by n − 1"""
    every = values.repeat_interleave(counts, 0)
    return every.mean(0), every.std(0)


def weighted_mean_and_std__wrong_divisor(values, counts):
    """divided by the number of distinct contexts"""
    mean = (counts[:, None] * values).mean(0)
    return mean, (counts[:, None] * (values - mean) ** 2).mean(0).sqrt()


def weighted_mean_and_std__wrong_cancels(values, counts):
    """float32 has no digits left"""
    weights = counts.to(values.dtype) / counts.sum()
    mean = weights @ values
    return mean, (weights @ values**2 - mean**2).sqrt()


def weighted_mean_and_std__right_cov(values, counts):
    weights = counts.to(values.dtype) / counts.sum()
    return weights @ values, torch.cov(values.T, fweights=counts, correction=0).diag().sqrt()


def weighted_mean_and_std__right_slow_loop(values, counts):
    n, means, stds = sum(counts.tolist()), [], []
    for unit in values.T.tolist():
        pairs = list(zip(unit, counts.tolist(), strict=True))
        mean = sum(v * k for v, k in pairs) / n
        means.append(mean)
        stds.append((sum(k * (v - mean) ** 2 for v, k in pairs) / n) ** 0.5)
    return torch.tensor(means), torch.tensor(stds)


def weighted_mean_and_std__right_shifted(values, counts):
    v = values.double() - values[0].double()  # near 0, so that nothing is lost below
    weights = counts.double() / counts.sum()
    mean = weights @ v
    return mean + values[0], (weights @ v**2 - mean**2).clamp(min=0).sqrt()


def _contexts(stream, block_size, *, pad=0, early=False):
    """The right contexts, or with another padding, or set back one index too early."""
    X, seen = [], []
    for target in stream:
        if early and target == 0:
            seen = []
        X.append(([pad] * block_size + seen)[-block_size:])
        seen = [*seen, target] if target else []
    return torch.tensor(X), torch.tensor(stream)


def _full_only(stream, block_size):
    X, Y = _contexts(stream, block_size)
    full = (X != 0).all(1)
    return X[full], Y[full]


def _share(train, a, axis=1):
    table = train.double() + a
    return table / table.sum(axis, keepdim=True)


def _cost(p, dev):
    came = dev > 0
    return -(dev[came] * p[came].log()).sum() / dev.sum()


def _figures(v, n, *, weights=None, mean=None, correction=0):
    w = n.to(v.dtype) if weights is None else weights
    own = w @ v / w.sum()
    mean = own if mean is None else mean
    return own, ((w @ (v - mean) ** 2) / (w.sum() - correction)).sqrt()


WRONG = {
    "stream_examples": {
        "one place late": lambda s, n: (_contexts(s, n)[0], torch.tensor([*s[1:], 0])),
        "only full contexts": _full_only,
        "already empty for the boundary": lambda s, n: _contexts(s, n, early=True),
        "the padding is the boundary's index": lambda s, n: _contexts(s, n, pad=-1),
        "contexts first, then targets": lambda s, n: _contexts(s, n)[::-1],
        "the word before": lambda s, n: (
            functional.pad(torch.tensor(s), (n, 0)).unfold(0, n, 1)[:-1],
            torch.tensor(s),
        ),
        "the targets are columns": lambda s, n: (_contexts(s, n)[0], torch.tensor(s)[:, None]),
        "the context of the next": lambda s, n: (
            torch.cat([_contexts(s, n)[0][1:], torch.zeros(1, n, dtype=torch.int64)]),
            torch.tensor(s),
        ),
    },
    "table_loss": {
        "log and not log10": lambda t, d, a: _cost(_share(t, a), d) / math.log(10),
        "the sign is the wrong way round": lambda t, d, a: -_cost(_share(t, a), d),
        "this is the perplexity": lambda t, d, a: _cost(_share(t, a), d).exp(),
        "the two tables are exchanged": lambda t, d, a: _cost(
            (d + a) / (d + a).sum(1, keepdim=True) if a else _share(d, 0.1), t
        ),
        "added to the shares": lambda t, d, a: _cost(_share(t, 0) + a, d),
        "cells that were never counted alone": lambda t, d, a: _cost(
            _share(torch.where(t > 0, t.double(), a), 0), d
        ),
        "every context counted once": lambda t, d, a: (
            -((torch.where(d > 0, d * _share(t, a).log(), 0.0)).sum(1) / d.sum(1)).nanmean()
        ),
        "the smoothing is not used": lambda t, d, a: _cost(_share(t, 0), d),
        "the counts of train": lambda t, d, a: _cost(_share(t, a), d) * d.sum() / t.sum(),
        "mean of the probabilities": lambda t, d, a: -((d * _share(t, a)).sum() / d.sum()).log(),
        "the logarithm is missing": lambda t, d, a: -(d * _share(t, a)).sum() / d.sum(),
        "the number of cells": lambda t, d, a: _cost(_share(t, a), d) * d.sum() / (d > 0).sum(),
        "number of contexts": lambda t, d, a: _cost(_share(t, a), d) * d.sum() / len(d),
        "is added to the probabilities": lambda t, d, a: (
            -(d * (_share(t, a) + 1e-3).log()).sum() / d.sum()
        ),
        "one cost for each context": lambda t, d, a: (
            -torch.where(d > 0, d * _share(t, a).log(), 0.0).sum(1)
        ),
    },
    "weighted_mean_and_std": {
        "the standard error": lambda v, n: (_figures(v, n)[0], _figures(v, n)[1] / n.sum().sqrt()),
        "mean first": lambda v, n: _figures(v, n)[::-1],
        "distances are from the plain mean": lambda v, n: _figures(v, n, mean=v.mean(0)),
        "mean of the distances": lambda v, n: (
            _figures(v, n)[0],
            n.to(v.dtype) @ (v - _figures(v, n)[0]).abs() / n.sum(),
        ),
        "number of distinct contexts less one": lambda v, n: (
            _figures(v, n)[0],
            _figures(v, n)[1] * (len(n) / (len(n) - 1)) ** 0.5,
        ),
        "the counts are squared": lambda v, n: _figures(v, n, weights=n.to(v.dtype) ** 2),
        "roots of the counts": lambda v, n: _figures(v, n, weights=n.to(v.dtype).sqrt()),
        "these are sums": lambda v, n: (n.to(v.dtype) @ v, _figures(v, n)[1]),
        "the softmax of the counts": lambda v, n: _figures(
            v, n, weights=torch.softmax(n.to(v.dtype), 0)
        ),
        "over the units of each context": lambda v, n: (v.mean(1), v.std(1, correction=0)),
        "one number for all units": lambda v, n: (
            _figures(v, n)[0].mean().expand(v.shape[1]).clone(),
            _figures(v, n)[1].mean().expand(v.shape[1]).clone(),
        ),
        "divided by the largest count": lambda v, n: (
            n.to(v.dtype) @ v / n.max(),
            (n.to(v.dtype) @ (v - _figures(v, n)[0]) ** 2 / n.max()).sqrt(),
        ),
        "only the mean": lambda v, n: _figures(v, n)[0],
        "the mean is not right": lambda v, n: (v.mean(0), _figures(v, n)[1]),
    },
}
