"""Answers to chapter 17 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import torch


def multiply_adds__wrong_rows_only(weights, places, dead):
    """its columns go too"""
    before = sum(W.numel() * n for W, n in zip(weights, places, strict=True))
    after = sum(
        W[0].numel() * (len(W) - len(d)) * n for W, n, d in zip(weights, places, dead, strict=True)
    )
    return before, after


def multiply_adds__wrong_twice(weights, places, dead):
    """taken off twice"""
    before = sum(W.numel() * n for W, n in zip(weights, places, strict=True))
    saved, units, gone = 0, 1, 0
    for W, n, d in zip(weights, places, dead, strict=True):
        saved += n * (W[0].numel() * len(d) + W.numel() // units * gone)
        units, gone = len(W), len(d)
    return before, before - saved


def multiply_adds__wrong_flatten(weights, places, dead):
    """a channel is a block of columns"""
    before, after, gone = 0, 0, 0
    for W, n, d in zip(weights, places, dead, strict=True):
        kernel = W.shape[2] * W.shape[3] if W.ndim == 4 else 1
        before += n * W.numel()
        after += n * (W.shape[0] - len(d)) * (W.shape[1] - gone) * kernel
        gone = len(d)
    return before, after


def multiply_adds__wrong_parameters(weights, places, dead):
    """these are parameters"""
    return multiply_adds__right_new_layers(weights, [1] * len(places), dead)


def multiply_adds__wrong_saved(weights, places, dead):
    """what is left is asked"""
    before, after = multiply_adds__right_new_layers(weights, places, dead)
    return before, before - after


def multiply_adds__right_new_layers(weights, places, dead):
    before = after = 0
    stay = list(range(weights[0].shape[1]))
    units = len(stay)
    for W, n, d in zip(weights, places, dead, strict=True):
        block = W.shape[1] // units
        columns = [unit * block + i for unit in stay for i in range(block)]
        before += n * W.numel()
        units = len(W)
        stay = [unit for unit in range(units) if unit not in d]
        after += n * W[stay][:, columns].numel()
    return before, after


def safe_rate__wrong_every_row(x, W, b):
    """one row is enough to live"""
    return ((x @ W + b) / (1 + x.abs().sum(1, keepdim=True))).amin(0).clamp(min=0)


def safe_rate__wrong_negative(x, W, b):
    """its rate is 0"""
    return ((x @ W + b) / (1 + x.abs().sum(1, keepdim=True))).amax(0)


def safe_rate__wrong_no_bias(x, W, b):
    """the bias moves too"""
    return ((x @ W + b) / x.abs().sum(1, keepdim=True)).amax(0).clamp(min=0)


def safe_rate__wrong_signed(x, W, b):
    """where |x| is meant"""
    return ((x @ W + b) / (1 + x.sum(1, keepdim=True))).amax(0).clamp(min=0)


def safe_rate__wrong_largest_z(x, W, b):
    """need not have the most room"""
    z = x @ W + b
    rows = z.argmax(0)
    reach = 1 + x.abs().sum(1)
    return (z.amax(0) / reach[rows]).clamp(min=0)


def safe_rate__right_bisection(x, W, b):
    z, reach = (x @ W + b).double(), 1 + x.double().abs().sum(1, keepdim=True)
    low, high = torch.zeros(W.shape[1]).double(), torch.full((W.shape[1],), 1e3).double()
    for _ in range(80):
        middle = (low + high) / 2
        lives = (z - middle * reach > 0).any(0)
        low, high = torch.where(lives, middle, low), torch.where(lives, high, middle)
    return low.to(x.dtype)


def _work(weights, places, dead, *, rows=1, columns=1):
    """Before and after, of which rows or columns may stay."""
    before = after = gone = 0
    units = 1
    for W, n, d in zip(weights, places, dead, strict=True):
        each = W[0].numel()
        before += n * W.numel()
        after += n * (len(W) - rows * len(d)) * (each - columns * each * gone // units)
        gone, units = len(d), len(W)
    return before, after


def _rates(x, W, b, reach=lambda x: 1 + x.abs().sum(1, keepdim=True)):
    return (x @ W + b) / reach(x)


def _best(rates):
    return rates.max(0).values.clamp(min=0)


WRONG = {
    "multiply_adds": {
        "nothing is saved": lambda *a: (_work(*a)[0],) * 2,
        "its columns go too": lambda *a: _work(*a, columns=0),
        "still counted": lambda *a: _work(*a, rows=0) if any(a[2]) else (0, 0),
        "all places": lambda w, places, dead: _work(w, [sum(places)] * len(w), dead),
        "of the first layer": lambda w, places, dead: _work(w, [places[0]] * len(w), dead),
        "the kernel is left out": lambda w, places, dead: _work(
            [W[..., 0, 0] if W.ndim == 4 else W for W in w], places, dead
        ),
        "biases are counted": lambda w, places, dead: (
            _work(w, places, dead)[0] + sum(n * len(W) for W, n in zip(w, places, strict=True)),
            _work(w, places, dead)[1]
            + sum(n * (len(W) - len(d)) for W, n, d in zip(w, places, dead, strict=True)),
        ),
        "value 1 is one more": lambda *a: (_work(*a)[0] + 1, _work(*a)[1]),
    },
    "safe_rate": {
        "averaged over the rows": lambda *a: _rates(*a).mean(0).clamp(min=0),
        "that of squares": lambda *a: _best(
            _rates(*a, lambda x: 1 + x.square().sum(1, keepdim=True))
        ),
        "the length of x:": lambda *a: _best(
            _rates(*a, lambda x: 1 + x.square().sum(1, keepdim=True).sqrt())
        ),
        "length of (x, 1)": lambda *a: _best(
            _rates(*a, lambda x: (1 + x.square().sum(1, keepdim=True)).sqrt())
        ),
        "the largest |x|": lambda *a: _best(
            _rates(*a, lambda x: 1 + x.abs().max(1, keepdim=True)[0])
        ),
        "the mean of |x|": lambda *a: _best(
            _rates(*a, lambda x: 1 + x.abs().mean(1, keepdim=True))
        ),
        "the largest z": lambda *a: _best(_rates(*a, lambda x: 1)),
        "the bias is left out": lambda x, W, b: _best(_rates(x, W, 0)),
        "|z| is taken": lambda *a: _rates(*a).abs().amax(0),
        "multiplies by the step bound": lambda x, W, b: _best(
            (x @ W + b) * (1 + x.abs().sum(1, keepdim=True))
        ),
        "a rate for each row": lambda *a: _rates(*a).amax(1).clamp(min=0),
        "every row and unit": lambda *a: _rates(*a).clamp(min=0),
        "added up": lambda *a: _rates(*a).clamp(min=0).sum(0),
    },
}
