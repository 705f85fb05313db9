"""Answers to chapter 18 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import copy
import math
from itertools import pairwise

import torch


def stream_sizes__wrong_mean_squares(size, scales, powers):
    """these are mean squares"""
    return torch.cat([torch.tensor([size**2]), size**2 * (1 + scales**2 * powers).cumprod(0)])


def stream_sizes__wrong_sizes_add(size, scales, powers):
    """sizes are added where mean squares add"""
    out = [size]
    for s, p in zip(scales.tolist(), powers.tolist(), strict=True):
        out.append(out[-1] + s * p**0.5 * out[-1])
    return torch.tensor(out)


def stream_sizes__wrong_no_compounding(size, scales, powers):
    """it is given what the stream has become"""
    added = (scales**2 * powers).cumsum(0)
    return size * torch.cat([torch.ones(1), 1 + added]).sqrt()


def stream_sizes__wrong_without_the_input(size, scales, powers):
    """the first of them is missing"""
    return size * (1 + scales**2 * powers).cumprod(0).sqrt()


def stream_sizes__wrong_last_only(size, scales, powers):
    """this is the last alone"""
    return size * (1 + scales**2 * powers).prod().sqrt()


def stream_sizes__right_by_root_and_product(size, scales, powers):
    factors = torch.sqrt(1 + scales.double() ** 2 * powers.double())
    return torch.stack([size * factors[:k].prod() for k in range(len(scales) + 1)])


def stream_sizes__right_with_hypot(size, scales, powers):
    out = [size]
    for s, p in zip(scales.tolist(), powers.tolist(), strict=True):
        out.append(math.hypot(out[-1], s * math.sqrt(p) * out[-1]))
    return torch.tensor(out)


def _stream(size, scales, powers, step):
    m = [size**2]
    for s, p in zip(scales.tolist(), powers.tolist(), strict=True):
        m.append(step(m[-1], s, p))
    return torch.tensor(m).sqrt()


def scale_like_gpt2__wrong_counts_blocks(blocks):
    """N counts blocks here"""
    f = len(blocks) ** -0.5
    return [[[*branch[:-1], branch[-1] * f] for branch in block] for block in blocks]


def scale_like_gpt2__wrong_every_weight(blocks):
    """the last alone is to be"""
    f = (2 * len(blocks)) ** -0.5
    return [[[W * f for W in branch] for branch in block] for block in blocks]


def scale_like_gpt2__wrong_no_root(blocks):
    """so 1/√N"""
    n = 2 * len(blocks)
    return [[[*branch[:-1], branch[-1] / n] for branch in block] for block in blocks]


def scale_like_gpt2__wrong_feed_forward_alone(blocks):
    """attention writes into the stream too"""
    f = (2 * len(blocks)) ** -0.5
    return [[attention, [*forward[:-1], forward[-1] * f]] for attention, forward in blocks]


def scale_like_gpt2__right_deep_copy(blocks):
    blocks = copy.deepcopy(blocks)
    branches = [branch for block in blocks for branch in block]
    for branch in branches:
        branch[-1].div_(math.sqrt(len(branches)))
    return blocks


def _gpt2(blocks, factor, which=lambda k, i, n: i == n - 1):
    return [
        [
            [W * factor if which(k, i, len(branch)) else W for i, W in enumerate(branch)]
            for k, branch in enumerate(block)
        ]
        for block in blocks
    ]


def mup_rates__wrong_rates_rise(sizes, base_sizes, lr):
    """so they must fall"""
    grown = torch.tensor(sizes[:-1]) / torch.tensor(base_sizes[:-1])
    start = torch.ones(len(grown))
    start[-1] = grown[-1] ** -0.5
    return lr * grown, start


def mup_rates__wrong_output_starts_with_the_ratio(sizes, base_sizes, lr):
    """the factor is the root"""
    grown = torch.tensor(sizes[:-1]) / torch.tensor(base_sizes[:-1])
    start = torch.ones(len(grown))
    start[-1] = 1 / grown[-1]
    return lr / grown, start


def mup_rates__wrong_root(sizes, base_sizes, lr):
    """the rates fall like the root"""
    grown = torch.tensor(sizes[:-1]) / torch.tensor(base_sizes[:-1])
    start = torch.ones(len(grown))
    start[-1] = grown[-1] ** -0.5
    return lr * grown**-0.5, start


def mup_rates__wrong_by_the_outputs(sizes, base_sizes, lr):
    """the rates follow the outputs"""
    grown = torch.tensor(sizes) / torch.tensor(base_sizes)
    start = torch.ones(len(grown) - 1)
    start[-1] = grown[-2] ** -0.5
    return lr / grown[1:], start


def mup_rates__right_layer_by_layer(sizes, base_sizes, lr):
    rates, starts = [], []
    for i in range(len(sizes) - 1):
        grown = sizes[i] / base_sizes[i]
        rates.append(lr / grown)
        starts.append(1.0 if i < len(sizes) - 2 else grown**-0.5)
    return torch.tensor(rates), torch.tensor(starts)


def _mup(sizes, base_sizes, lr, rate=lambda a, b: 1 / a, start=lambda a: a**-0.5, hidden=None):
    r = [n / m for n, m in zip(sizes, base_sizes, strict=True)]
    pairs = list(pairwise(r))
    rates = [lr * (hidden or rate)(a, b) for a, b in pairs]
    rates[-1] = lr * rate(*pairs[-1])
    starts = [1.0] * len(rates)
    starts[-1] = start(pairs[-1][0])
    return torch.tensor(rates), torch.tensor(starts)


WRONG = {
    "stream_sizes": {
        "the scale is not squared": lambda *a: _stream(
            a[0], a[1].abs(), a[2], lambda m, s, p: m * (1 + s * p)
        ),
        "the power is squared": lambda *a: _stream(*a, lambda m, s, p: m * (1 + s * s * p * p)),
        "a ratio of sizes": lambda *a: _stream(*a, lambda m, s, p: m * (1 + s * s * p**0.5)),
        "the powers are left out": lambda *a: _stream(*a, lambda m, s, p: m * (1 + s * s)),
        "the scales are left out": lambda *a: _stream(*a, lambda m, s, p: m * (1 + p)),
        "the way past the branch": lambda *a: _stream(*a, lambda m, s, p: m * s * s * p),
        "taken for a mean square": lambda size, s, p: _stream(
            size**0.5, s, p, lambda m, s, p: m * (1 + s * s * p)
        ),
        "the last of them": lambda *a: _stream(*a, lambda m, s, p: m * (1 + s * s * p))[:-1],
        "these are growths": lambda size, s, p: _stream(
            1.0, s, p, lambda m, s, p: m * (1 + s * s * p)
        ),
    },
    "scale_like_gpt2": {
        "the first weights are scaled": lambda b: _gpt2(
            b, (2 * len(b)) ** -0.5, lambda k, i, n: i == 0
        ),
        "divide by it": lambda b: _gpt2(b, (2 * len(b)) ** 0.5),
        "only the first branch": lambda b: _gpt2(
            b, (2 * len(b)) ** -0.5, lambda k, i, n: k == 0 and i == n - 1
        ),
        "N counts matrices": lambda b: _gpt2(b, sum(len(w) for x in b for w in x) ** -0.5),
        "twice the residual layers": lambda b: _gpt2(b, (4 * len(b)) ** -0.5),
        "as they were": lambda b: [[list(branch) for branch in block] for block in b],
        "set to 0": lambda b: _gpt2(b, 0.0),
    },
    "mup_rates": {
        "inputs and outputs": lambda *a: _mup(*a, rate=lambda i, o: 1 / (i * o)),
        "plain gradient descent": lambda *a: _mup(*a, rate=lambda i, o: o / i),
        "all rates are as they were": lambda *a: _mup(*a, rate=lambda i, o: 1.0),
        "the output layer's rate": lambda *a: _mup(
            *a, rate=lambda i, o: 1.0, hidden=lambda i, o: 1 / i
        ),
        "the hidden layers' rates": lambda *a: _mup(*a, hidden=lambda i, o: 1.0),
        "the output start is as usual": lambda *a: _mup(*a, start=lambda i: 1.0),
        "the output start rises": lambda *a: _mup(*a, start=lambda i: i**0.5),
        "rates come first": lambda *a: _mup(*a)[::-1],
        "multiply by lr": lambda sizes, base, lr: _mup(sizes, base, 1.0),
        "the fan-in itself": lambda sizes, base, lr: (
            lr / torch.tensor(sizes[:-1]),
            _mup(sizes, base, lr)[1],
        ),
    },
}
