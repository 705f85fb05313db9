"""Answers to chapter 5 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import math

import torch
from torch.nn import functional


def log_softmax__wrong_last_axis(logits, axis):
    """along the last axis, whatever axis is given"""
    return torch.log_softmax(logits, -1)


def log_softmax__wrong_naive(logits, axis):
    """exp of a large logit overflows"""
    e = logits.exp()
    return (e / e.sum(axis, keepdim=True)).log()


def log_softmax__wrong_naive_difference(logits, axis):
    """the sum of exp overflows"""
    return logits - logits.exp().sum(axis, keepdim=True).log()


def log_softmax__wrong_one_maximum(logits, axis):
    """one maximum serves the whole tensor"""
    o = logits - logits.max()
    return o - o.exp().sum(axis, keepdim=True).log()


def log_softmax__wrong_not_put_back(logits, axis):
    """taken out of the exponents but not put back"""
    o = logits - logits.amax(axis, keepdim=True)
    return logits - o.exp().sum(axis, keepdim=True).log()


def log_softmax__wrong_log_of_softmax(logits, axis):
    """write the logarithm of the quotient as a difference"""
    o = logits - logits.amax(axis, keepdim=True)
    return (o.exp() / o.exp().sum(axis, keepdim=True)).log()


def log_softmax__wrong_no_log(logits, axis):
    """this is the softmax"""
    return torch.softmax(logits, axis)


def log_softmax__wrong_in_place(logits, axis):
    """the function changed its argument"""
    logits -= logits.amax(axis, keepdim=True)
    return logits - logits.exp().sum(axis, keepdim=True).log()


def log_softmax__right_logsumexp(logits, axis):
    return logits - logits.logsumexp(axis, keepdim=True)


def log_softmax__right_slow_loop(logits, axis):
    moved = logits.movedim(axis, -1)
    rows = [
        r - torch.log(torch.exp(r - max(r)).sum()) - max(r)
        for r in moved.reshape(-1, moved.shape[-1])
    ]
    return torch.stack(rows).view(moved.shape).movedim(-1, axis)


def expected_first_loss__wrong_bits(logits):
    """in bits, with log2"""
    return -(torch.log_softmax(logits, 1) / math.log(2)).mean()


def expected_first_loss__wrong_log_of_mean(logits):
    """−log of the mean probability"""
    return -torch.softmax(logits, 1).mean().log()


def expected_first_loss__wrong_examples_averaged_first(logits):
    """averaged over the examples before the logarithm"""
    return -torch.softmax(logits, 1).mean(0).log().mean()


def expected_first_loss__wrong_entropy(logits):
    """this is the entropy"""
    log_p = torch.log_softmax(logits, 1)
    return -(log_p.exp() * log_p).sum(1).mean()


def expected_first_loss__wrong_sum_of_characters(logits):
    """the characters are summed"""
    return -torch.log_softmax(logits, 1).sum(1).mean()


def expected_first_loss__wrong_sum_of_examples(logits):
    """the examples are summed"""
    return -torch.log_softmax(logits, 1).mean(1).sum().item()


def expected_first_loss__wrong_overflow(logits):
    """the sum of exp overflows"""
    return (logits.exp().sum(1).log() - logits.mean(1)).mean().item()


def expected_first_loss__wrong_underflow(logits):
    """log_softmax, not the log of the softmax"""
    return -torch.softmax(logits, 1).log().mean().item()


def expected_first_loss__wrong_per_example(logits):
    """the shape is"""
    return -torch.log_softmax(logits, 1).mean(1)


def expected_first_loss__right_every_target(logits):
    n, vocab = logits.shape
    repeated = logits.repeat_interleave(vocab, 0)
    return functional.cross_entropy(repeated, torch.arange(vocab).repeat(n))


def expected_first_loss__right_smoothed_target(logits):
    uniform = torch.full_like(logits, 1 / logits.shape[1])
    return functional.cross_entropy(logits, uniform).item()


def output_factor__wrong_variance(h, W, std_of_logits):
    """divides by the variance"""
    return std_of_logits / (h @ W).var().item()


def output_factor__wrong_inverse(h, W, std_of_logits):
    """this is the inverse"""
    return (h @ W).std().item() / std_of_logits


def output_factor__wrong_root_mean_square(h, W, std_of_logits):
    """over the root mean square"""
    return std_of_logits / (h @ W).square().mean().sqrt().item()


def output_factor__wrong_formula(h, W, std_of_logits):
    """over all draws of weights"""
    return std_of_logits / (h.shape[1] * h.square().mean()).sqrt().item()


def output_factor__wrong_negative(h, W, std_of_logits):
    """wanted a positive number"""
    return -std_of_logits / (h @ W).std().item()


def output_factor__wrong_guessed(h, W, std_of_logits):
    """the logits' standard deviation is"""
    return 0.01


def output_factor__right_over_n(h, W, std_of_logits):
    return std_of_logits / (h @ W).std(correction=0)


def output_factor__right_bisection(h, W, std_of_logits):
    low, high = 0.0, 1e9
    for _ in range(100):
        middle = (low + high) / 2
        too_loud = (h.double() @ (middle * W.double())).std() > std_of_logits
        low, high = (low, middle) if too_loud else (middle, high)
    return middle


def _less_log(logits, axis, total):
    return logits - total(logits.double(), axis).log()


def _surprise(logits, axis=1):
    return logits.logsumexp(axis, keepdim=True) - logits


WRONG = {
    "log_softmax": {
        "along the last axis": lambda o, axis: o - o.logsumexp(1, keepdim=True),
        "only the largest": lambda o, axis: o - o.max(axis, keepdim=True).values,
        "the mean of the logits": lambda o, axis: o - o.mean(axis, keepdim=True),
        "the mean of exp": lambda o, axis: _less_log(o, axis, lambda o, k: o.exp().mean(k, True)),
        "of the sum alone": lambda o, axis: o.exp().sum(axis).log(),
        "of the sum of the logits": lambda o, axis: o - o.sum(axis, keepdim=True).log(),
        "the logarithm is missing": lambda o, axis: o - o.exp().sum(axis, keepdim=True),
        "twice": lambda o, axis: o.softmax(axis).log_softmax(axis),
        "log10": lambda o, axis: o.softmax(axis).log10(),
        "exp(−o)": lambda o, axis: -o - (-o).logsumexp(axis, keepdim=True),
        "a small number (1e-08)": lambda o, axis: (o.double().softmax(axis) + 1e-8).log(),
        "the sign of the axis is lost": lambda o, axis: o.log_softmax(abs(axis)),
        "negative of what is wanted": lambda o, axis: -o.log_softmax(axis),
    },
    "expected_first_loss": {
        "logarithms of the sums alone": lambda o: o.exp().sum(1).log().mean(),
        "only the largest logit": lambda o: (o.max(1)[0] - o.mean(1)).mean(),
        "last choice": lambda o: _surprise(o).max(1)[0].mean(),
        "down the columns": lambda o: _surprise(o, 0).mean(),
        "over the whole tensor": lambda o: o.logsumexp((0, 1)) - o.mean(),
        "taken off": lambda o: _surprise(o).mean() - math.log(o.shape[1]),
        "for each example": lambda o: _surprise(o).mean(1),
        "for each character": lambda o: _surprise(o).mean(0),
        "not the target's": lambda o: 1 - o.softmax(1).mean(),
        "the mean probability": lambda o: o.softmax(1).mean(),
        "the first character": lambda o: _surprise(o)[:, 0].mean(),
        "summed over the examples as well": lambda o: -(o.softmax(1) * o.log_softmax(1)).sum(),
        "mean square": lambda o: _surprise(o).square().mean().sqrt(),
        "exponential of what is wanted": lambda o: _surprise(o).mean().exp(),
        "the sign is the wrong way round": lambda o: -_surprise(o).mean(),
    },
    "output_factor": {
        "characters' own": lambda h, W, s: s / (h @ W).std(0).mean(),
        "multiplied by": lambda h, W, s: s * (h @ W).std(),
        "the mean size": lambda h, W, s: s / (h @ W).abs().mean(),
        "the largest logit": lambda h, W, s: s / (h @ W).abs().max(),
        "the range": lambda h, W, s: s / ((h @ W).max() - (h @ W).min()),
        "the quotient is squared": lambda h, W, s: s**2 / (h @ W).var(),
        "to be independent": lambda h, W, s: s / (h.std() * W.std() * len(W) ** 0.5),
        "1/√fan-in": lambda h, W, s: s * len(W) ** -0.5,
        "the activations": lambda h, W, s: s / h.std(),
        "that is wanted: divide it": lambda h, W, s: s,
        "that there is": lambda h, W, s: (h @ W).std(),
        "deviation 1": lambda h, W, s: 1 / (h @ W).std(),
    },
}
