"""Answers to chapter 8 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import math
from statistics import NormalDist

import torch


def predicted_white_share__wrong_one_tail(fan_in, weight_std, bias_std, mean_square, cut):
    """one tail only"""
    z = NormalDist(0, math.sqrt(fan_in * weight_std**2 * mean_square + bias_std**2))
    return 1 - z.cdf(math.atanh(cut))


def predicted_white_share__wrong_no_bias(fan_in, weight_std, bias_std, mean_square, cut):
    """the bias is left out"""
    std = weight_std * math.sqrt(fan_in * mean_square)
    return math.erfc(math.atanh(cut) / std / math.sqrt(2))


def predicted_white_share__wrong_cut_on_h(fan_in, weight_std, bias_std, mean_square, cut):
    """the Gaussian is z's: |h| > cut is |z| > atanh(cut)"""
    std = math.sqrt(fan_in * weight_std**2 * mean_square + bias_std**2)
    return math.erfc(cut / std / math.sqrt(2))


def predicted_white_share__wrong_variance(fan_in, weight_std, bias_std, mean_square, cut):
    """the standard deviation is its square root"""
    variance = fan_in * weight_std**2 * mean_square + bias_std**2
    return math.erfc(math.atanh(cut) / variance / math.sqrt(2))


def predicted_white_share__right_normal_dist(fan_in, weight_std, bias_std, mean_square, cut):
    z = NormalDist(0, math.hypot(weight_std * math.sqrt(fan_in * mean_square), bias_std))
    a = math.atanh(cut)
    return z.cdf(-a) + 1 - z.cdf(a)


def predicted_white_share__right_tensor(fan_in, weight_std, bias_std, mean_square, cut):
    variance = torch.tensor(fan_in * weight_std**2 * mean_square + bias_std**2)
    z = torch.distributions.Normal(0.0, variance.double().sqrt())
    return 2 * z.cdf(-torch.tensor(cut, dtype=torch.float64).atanh())


def _share(x, W, b, s):
    return (torch.tanh(s * (x @ W) + b).abs() > 0.99).double().mean().item()


def _search(share, low, high):
    grid = torch.logspace(-4, 4, 801).tolist()
    return min(grid, key=lambda s: abs(share(s) - (low + high) / 2))


def pick_scale__wrong_as_drawn(x, W, b, low, high):
    """is too large"""
    return 1.0


def pick_scale__wrong_hundredth(x, W, b, low, high):
    """is too small"""
    return 0.01


def pick_scale__wrong_scales_bias(x, W, b, low, high):
    """b is added as it is"""
    return _search(lambda s: _share(x, W, s * b, s), low, high)


def pick_scale__wrong_no_bias(x, W, b, low, high):
    """b is added as it is"""
    return _search(lambda s: _share(x, W, 0 * b, s), low, high)


def pick_scale__wrong_cut_on_z(x, W, b, low, high):
    """it would fit for |z| > 0.99"""
    return _search(lambda s: ((s * (x @ W) + b).abs() > 0.99).double().mean(), low, high)


def pick_scale__wrong_negative(x, W, b, low, high):
    """must be positive"""
    return -0.2


def pick_scale__wrong_nan(x, W, b, low, high):
    """not a finite number"""
    return float("nan")


def pick_scale__right_smallest(x, W, b, low, high):
    s = 1e-4
    while _share(x, W, b, s) < low:
        s *= 1.002
    return s


def pick_scale__right_from_above(x, W, b, low, high):
    s = torch.tensor(1e3)
    while _share(x, W, b, s) > high:
        s = s * 0.998
    return s


def linear_limit__wrong_small_bias(W1, b1, W2, b2):
    """as if b1 were small"""
    return W1 @ W2, b1 @ W2 + b2


def linear_limit__wrong_no_b1(W1, b1, W2, b2):
    """the hidden biases are forgotten"""
    return W1 @ W2, b2


def linear_limit__wrong_no_slope(W1, b1, W2, b2):
    """the matrix lacks the slope"""
    return W1 @ W2, torch.tanh(b1) @ W2 + b2


def linear_limit__wrong_transposed(W1, b1, W2, b2):
    """the transpose of what is wanted"""
    h = torch.tanh(b1)
    return W2.T @ (W1 * (1 - h**2)).T, h @ W2 + b2


def linear_limit__wrong_order(W1, b1, W2, b2):
    """raised RuntimeError"""
    return W2 @ W1, b1 @ W2 + b2


def linear_limit__wrong_in_place(W1, b1, W2, b2):
    """work on a copy"""
    h = b1.tanh_()
    return (W1 * (1 - h**2)) @ W2, h @ W2 + b2


def linear_limit__right_probing(W1, b1, W2, b2):
    def logits(x):
        return torch.tanh(x @ W1.double() + b1.double()) @ W2.double() + b2.double()

    step = 1e-4 * torch.eye(len(W1), dtype=torch.float64)
    return (logits(step) - logits(-step)) / 2e-4, logits(0 * step[0])


def linear_limit__right_slow_loop(W1, b1, W2, b2):
    W, b = torch.zeros(W1.shape[0], W2.shape[1], dtype=W1.dtype), b2.clone()
    for j, bias in enumerate(b1.tolist()):
        W += torch.outer(W1[:, j], W2[j]) / math.cosh(bias) ** 2
        b += math.tanh(bias) * W2[j]
    return W, b


def _tails(variance, cut, tails=2, root=2**0.5):
    return tails / 2 * math.erfc(math.atanh(cut) / variance**0.5 / root)


def _linear(W1, b1, W2, b2, *, slope=None, answer=None):
    h = b1.tanh()
    slope = 1 - h.square() if slope is None else slope(b1)
    return W1 @ (slope[:, None] * W2), (h if answer is None else answer(b1)) @ W2 + b2


WRONG = {
    "predicted_white_share": {
        "weight_std is not squared": lambda n, w, b, m, cut: _tails(n * m * w + b * b, cut),
        "bias_std is not squared": lambda n, w, b, m, cut: _tails(n * m * w * w + b, cut),
        "neither standard deviation": lambda n, w, b, m, cut: _tails(n * m * w + b, cut),
        "fan_in is left out": lambda n, w, b, m, cut: _tails(m * w * w + b * b, cut),
        "a bias for every input": lambda n, w, b, m, cut: _tails(n * (m * w * w + b * b), cut),
        "divided by fan_in": lambda n, w, b, m, cut: _tails(m * w * w / n + b * b, cut),
        "√2 is missing: a": lambda n, w, b, m, cut: _tails(n * m * w * w + b * b, cut, root=1),
        "and one tail": lambda n, w, b, m, cut: _tails(n * m * w * w + b * b, cut, 1, 1),
        "erf where erfc": lambda n, w, b, m, cut: 1 - _tails(n * m * w * w + b * b, cut, root=1),
        "tanh of the cut": lambda n, w, b, m, cut: _tails(
            n * m * w * w + b * b, math.tanh(math.tanh(cut))
        ),
        "taken to be standard": lambda n, w, b, m, cut: _tails(1.0, cut),
        "multiplies by the standard": lambda n, w, b, m, cut: _tails(
            1 / (n * m * w * w + b * b), cut
        ),
        "all but one tail": lambda n, w, b, m, cut: 1 - _tails(n * m * w * w + b * b, cut, 1),
        "the height": lambda n, w, b, m, cut: NormalDist(0, math.sqrt(n * m * w * w + b * b)).pdf(
            math.atanh(cut)
        ),
        "tanh's inverse": lambda n, w, b, m, cut: (
            2 * NormalDist(0, math.sqrt(n * m * w * w + b * b)).cdf(math.log((1 - cut) / cut))
        ),
    },
    "linear_limit": {
        "its square is missing": lambda *a: _linear(*a, slope=lambda b: 1 - b.tanh()),
        "tanh(b1) where the slope": lambda *a: _linear(*a, slope=torch.tanh),
        "1 + tanh(b1)²": lambda *a: _linear(*a, slope=lambda b: 1 + b.tanh() ** 2),
        "twice in the slope": lambda *a: _linear(*a, slope=lambda b: 1 - b.tanh().tanh() ** 2),
        "tanh is taken of the weights": lambda W1, b1, W2, b2: (
            W1.tanh() @ W2,
            b1.tanh() @ W2 + b2,
        ),
        "averaged over the units": lambda *a: _linear(
            *a, slope=lambda b: (1 - b.tanh() ** 2).mean().expand(len(b))
        ),
        "where the answer": lambda *a: _linear(*a, answer=lambda b: 1 - b.tanh() ** 2),
        "in the bias too": lambda *a: _linear(*a, answer=lambda b: b.tanh() - b.tanh() ** 3),
        "takes tanh last": lambda W1, b1, W2, b2: (
            _linear(W1, b1, W2, b2)[0],
            torch.tanh(b1 @ W2 + b2),
        ),
        "twice in the bias": lambda *a: _linear(*a, answer=lambda b: b.tanh().tanh()),
        "b2 is subtracted": lambda W1, b1, W2, b2: (
            _linear(W1, b1, W2, b2)[0],
            b1.tanh() @ W2 - b2,
        ),
        "2, 1 of what is wanted": lambda *a: _linear(*a)[::-1],
        "value 2 is the negative": lambda *a: (_linear(*a)[0], -_linear(*a)[1]),
    },
}
