"""Graders of chapter 5, A confident, wrong softmax."""

from __future__ import annotations

import math
from functools import reduce

import torch
from torch import Generator, Tensor
from torch.nn import functional

from mlpinit.grading.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]

INFINITY = math.inf


def _log_cases(g: Generator) -> list[Case]:
    far = torch.tensor([[900.0, 0.0, -900.0, 3.0], [-900.0, -905.0, -903.0, -1500.0]])
    forbidden = torch.randn(5, 4, generator=g)
    forbidden[:, 1] = -INFINITY
    forbidden[3, :3] = -INFINITY
    return [
        Case((torch.randn(2, 3, generator=g), 0)),
        Case((2 * torch.randn(3, 4, 5, generator=g), 1), "three axes"),
        Case((torch.randn(6, 4, generator=g, dtype=torch.float64), -1), "float64"),
        Case((1000 + torch.randn(4, 6, generator=g), 1), "all near 1,000"),
        Case((torch.randn(7, 2, generator=g) - 1000, 0), "all near −1,000"),
        Case((far, 1), "one row far below the other"),
        Case((forbidden, 1), "with logits of −∞"),
        Case((torch.randn(2, 5, 3, 2, generator=g), -2), "four axes, counted from the end"),
        Case((torch.randn(4, 3, 2, 5, generator=g), -1), "four axes, the last"),
    ]


def _log_softmax(logits: Tensor, axis: int) -> Tensor:
    o = logits.double()
    return o - reduce(torch.logaddexp, o.unbind(axis)).unsqueeze(axis)


def _log_sum(o: Tensor, axis: int) -> Tensor:
    return o.exp().sum(axis, keepdim=True).log()


def _max_of_all(o: Tensor, axis: int) -> Tensor:
    below = o - o.max()
    return below - _log_sum(below, axis)


LOG_SOFTMAX = Exercise(
    id="5.1",
    title="A log-softmax for any axis and any size",
    function="log_softmax",
    points=1,
    cases=_log_cases,
    oracle=_log_softmax,
    atol=2e-4,
    mistakes=(
        Mistake(
            "this runs along the last axis, whatever axis is given",
            lambda o, axis: _log_softmax(o, -1),
        ),
        Mistake(
            "this runs along the first axis, whatever axis is given",
            lambda o, axis: _log_softmax(o, 0),
        ),
        Mistake(
            "the sum runs over the whole tensor where it is meant to run along the axis",
            lambda o, axis: o.double() - o.double().logsumexp(list(range(o.ndim))),
        ),
        Mistake(
            "this is the softmax: its logarithm is asked",
            lambda o, axis: _log_softmax(o, axis).exp(),
        ),
        Mistake(
            "this is in bits, with log2: nats are asked, with the natural logarithm",
            lambda o, axis: _log_softmax(o, axis) / math.log(2),
        ),
        Mistake(
            "the maximum is taken out of the exponents but not put back: subtract it from the "
            "logits in front of the logarithm as well",
            lambda o, axis: o.double() - _log_sum((o - o.amax(axis, keepdim=True)).double(), axis),
        ),
        Mistake(
            "exp of a large logit overflows, of a very negative one it vanishes: subtract the "
            "largest logit of the slice first",
            lambda o, axis: (o.exp() / o.exp().sum(axis, keepdim=True)).log(),
        ),
        Mistake(
            "the sum of exp overflows for large logits and vanishes for very negative ones: "
            "subtract the largest logit of the slice first",
            lambda o, axis: o - _log_sum(o, axis),
        ),
        Mistake(
            "one maximum serves the whole tensor, and a slice far below it vanishes: each slice "
            "along the axis needs its own",
            _max_of_all,
        ),
        Mistake(
            "a probability too small for a float has become 0 and its logarithm −∞: write the "
            "logarithm of the quotient as a difference",
            lambda o, axis: o.softmax(axis).log(),
        ),
        Mistake(
            "one maximum serves the whole tensor, and a slice far below it becomes 0/0: each slice "
            "along the axis needs its own",
            lambda o, axis: ((o - o.max()).exp() / (o - o.max()).exp().sum(axis, True)).log(),
        ),
        Mistake(
            "the sign of the axis is lost: −1 is the last axis, −2 the one before it",
            lambda o, axis: _log_softmax(o, abs(axis)),
        ),
        Mistake(
            "only the largest logit is taken away: take the logarithm of the sum of exp",
            lambda o, axis: o.double() - o.double().amax(axis, keepdim=True),
        ),
        Mistake(
            "the mean of the logits is taken away: take the logarithm of the sum of exp",
            lambda o, axis: o.double() - o.double().mean(axis, keepdim=True),
        ),
        Mistake(
            "this takes the mean of exp where its sum is meant",
            lambda o, axis: _log_softmax(o, axis) + math.log(o.shape[axis]),
        ),
        Mistake(
            "this is the logarithm of the sum alone: take it away from the logits",
            lambda o, axis: o.double().logsumexp(axis),
        ),
        Mistake(
            "this is the logarithm of the sum alone: take it away from the logits, not instead",
            lambda o, axis: o.double().logsumexp(axis, keepdim=True),
        ),
        Mistake(
            "the logarithm is taken of the sum of the logits: of the sum of their exp",
            lambda o, axis: o.double() - o.double().sum(axis, keepdim=True).log(),
        ),
        Mistake(
            "the logarithm is missing: the sum of exp itself is taken away",
            lambda o, axis: o.double() - o.double().exp().sum(axis, keepdim=True),
        ),
        Mistake(
            "the softmax is taken twice, before the logarithm and in it",
            lambda o, axis: _log_softmax(o.double().softmax(axis), axis),
        ),
        Mistake(
            "this is in decimal logarithms, with log10: nats are asked",
            lambda o, axis: _log_softmax(o, axis) / math.log(10),
        ),
        Mistake(
            "this sums over every axis but the one given",
            lambda o, axis: (
                o.double()
                - o.double().logsumexp(
                    [k for k in range(o.ndim) if k != axis % o.ndim], keepdim=True
                )
            ),
        ),
        Mistake(
            "the sign of the exponent is turned round: exp(o), not exp(−o)",
            lambda o, axis: _log_softmax(-o, axis),
        ),
        *(
            Mistake(
                f"a small number ({little:g}) is added to keep log from 0, and changes every small "
                "probability: write the logarithm of the quotient as a difference",
                lambda o, axis, little=little: (o.double().softmax(axis) + little).log(),
            )
            for little in (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12)
        ),
    ),
    hints=(
        "The logarithm of a quotient is a difference: log p_c = o_c − log Σ exp(o_d).",
        "Softmax does not change when a constant is added to all logits of a slice: which "
        "constant makes the largest exponent 0?",
        "o = logits − logits.amax(axis, keepdim=True); then o − log of the sum of exp(o) along "
        "the same axis, again with keepdim=True.",
    ),
    teaches="The shift that softmax ignores is what keeps its logarithm inside the floats, and it "
    "is a shift for each slice.",
)


def _first_loss_cases(g: Generator) -> list[Case]:
    return [
        Case((torch.randn(2, 3, generator=g),)),
        Case((5 * torch.randn(32, 27, generator=g),), "large logits"),
        Case((0.1 * torch.randn(50, 4, generator=g, dtype=torch.float64) + 7,), "float64"),
        Case((1000 + torch.randn(6, 5, generator=g),), "all near 1,000"),
        Case((torch.tensor([[400.0, 0.0, -400.0], [0.0, 90.0, 3.0]]),), "far apart"),
    ]


def _first_loss(logits: Tensor) -> float:
    o, (n, vocab) = logits.double(), logits.shape
    losses = [functional.cross_entropy(o, torch.full((n,), c)) for c in range(vocab)]
    return (sum(losses) / vocab).item()


def _entropy(logits: Tensor) -> Tensor:
    log_p = logits.double().log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1).mean()


FIRST_LOSS = Exercise(
    id="5.2",
    title="The first loss, before any target is seen",
    function="expected_first_loss",
    points=2,
    cases=_first_loss_cases,
    oracle=_first_loss,
    mistakes=(
        Mistake(
            "this is in bits, with log2: nats are asked", lambda o: _first_loss(o) / math.log(2)
        ),
        Mistake(
            "this is −log of the mean probability, log(vocab) whatever the logits: take the "
            "logarithm of each probability, then the mean",
            lambda o: math.log(o.shape[1]),
        ),
        Mistake(
            "the probabilities are averaged over the examples before the logarithm: take the "
            "logarithm of each, then the mean",
            lambda o: -o.double().softmax(-1).mean(0).log().mean(),
        ),
        Mistake(
            "this is the entropy, the loss if the targets followed the network's own "
            "probabilities: here every target is as likely as any other",
            _entropy,
        ),
        Mistake(
            "the examples are summed: cross-entropy is their mean",
            lambda o: _first_loss(o) * o.shape[0],
        ),
        Mistake(
            "the characters are summed: each is the target with probability 1/vocab, so take "
            "their mean",
            lambda o: _first_loss(o) * o.shape[1],
        ),
        Mistake(
            "this is the sum over all entries: take the mean over examples and characters",
            lambda o: _first_loss(o) * o.numel(),
        ),
        Mistake(
            "this is the loss when the favourite is always right: here the favourite is right "
            "only by chance",
            lambda o: -o.double().log_softmax(-1).amax(-1).mean(),
        ),
        Mistake(
            "a probability too small for a float has become 0 and its logarithm −∞: use "
            "log_softmax, not the log of the softmax",
            lambda o: -o.softmax(-1).log().mean(),
        ),
        Mistake(
            "exp of a large logit overflows: subtract the largest logit of the row first, or use "
            "logsumexp",
            lambda o: -(o.exp() / o.exp().sum(-1, keepdim=True)).log().mean(),
        ),
        Mistake(
            "the sum of exp overflows for large logits: subtract the largest of the row first, or "
            "use logsumexp",
            lambda o: (o.exp().sum(-1).log() - o.mean(-1)).mean(),
        ),
        Mistake(
            "this is the mean of the logarithms of the sums alone: each example's mean logit is to "
            "be taken away",
            lambda o: o.double().logsumexp(-1).mean(),
        ),
        Mistake(
            "only the largest logit is compared with the mean: take the log of the sum of exp",
            lambda o: (o.double().amax(-1) - o.double().mean(-1)).mean(),
        ),
        Mistake(
            "this is the loss when the network's last choice is always right",
            lambda o: -o.double().log_softmax(-1).amin(-1).mean(),
        ),
        Mistake(
            "the softmax runs down the columns: each example is a distribution",
            lambda o: -o.double().log_softmax(0).mean(),
        ),
        Mistake(
            "the softmax runs over the whole tensor: each example is a distribution",
            lambda o: -o.double().flatten().log_softmax(0).mean(),
        ),
        Mistake(
            "log(vocab) is taken off: this is how much worse than a guess it is, the loss is asked",
            lambda o: _first_loss(o) - math.log(o.shape[1]),
        ),
        Mistake(
            "this is one number for each example: take their mean",
            lambda o: -o.double().log_softmax(-1).mean(-1),
        ),
        Mistake(
            "this is one number for each character: take their mean",
            lambda o: -o.double().log_softmax(-1).mean(0),
        ),
        Mistake(
            "this is the mean of the probabilities that are not the target's: take −log p",
            lambda o: (1 - o.double().softmax(-1)).mean(),
        ),
        Mistake(
            "this is 1 / vocab, the mean probability: take −log of each, then the mean",
            lambda o: 1 / o.shape[1],
        ),
        Mistake(
            "the first character is taken for the target on every example",
            lambda o: -o.double().log_softmax(-1)[:, 0].mean(),
        ),
        Mistake(
            "this is the sum over the characters of −p log p, summed over the examples as well",
            lambda o: _entropy(o) * len(o),
        ),
        Mistake(
            "the root is taken of the mean square of −log p: its plain mean is asked",
            lambda o: o.double().log_softmax(-1).square().mean().sqrt(),
        ),
    ),
    hints=(
        "The target is character c with probability 1/vocab, and then the loss is −log p_c.",
        "The expectation of one example is the mean of −log p_c over its characters; then take "
        "the mean over the examples.",
        "−log p_c = logsumexp(o) − o_c, so an example's expected loss is logsumexp(o) − mean(o).",
    ),
    teaches="The first loss is a property of the logits alone: it can be predicted, and checked, "
    "before a single target is read.",
)


def _factor_cases(g: Generator) -> list[Case]:
    def drawn(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(shape, generator=g, dtype=dtype)

    wide = 1 + 3 * drawn(40, 5, dtype=torch.float64)
    return [
        Case((torch.tanh(drawn(2, 3)), drawn(3, 4), 0.5)),
        Case((torch.tanh(4 * drawn(32, 200)), drawn(200, 27), 0.14), "the book's sizes"),
        Case((drawn(9, 40, dtype=torch.float64).clamp(min=0), wide, 2.0), "not centred on 0"),
        Case((torch.tanh(drawn(16, 50)), 1e-4 * drawn(50, 8), 1.0), "tiny weights"),
    ]


def _logits(h: Tensor, W: Tensor) -> Tensor:
    return h.double() @ W.double()


def _factor(h: Tensor, W: Tensor, std_of_logits: float) -> float:
    o = _logits(h, W)
    return std_of_logits / math.sqrt((o.square().mean() - o.mean() ** 2).item())


FACTOR_MISTAKES = (
    Mistake(
        "it divides by the variance: divide by the standard deviation, for that is what grows in "
        "proportion to the factor",
        lambda h, W, s: s / _logits(h, W).var(),
    ),
    Mistake(
        "this is the inverse: large logits need a small factor",
        lambda h, W, s: _logits(h, W).std() / s,
    ),
    Mistake(
        "there is a root too many: a factor of a multiplies the standard deviation by a, not a²",
        lambda h, W, s: (s / _logits(h, W).std()).sqrt(),
    ),
    Mistake(
        "this is wanted over the root mean square: the standard deviation is measured about the "
        "mean, which is not 0 here",
        lambda h, W, s: s / _logits(h, W).square().mean().sqrt(),
    ),
    Mistake(
        "this is the factor to expect over all draws of weights with mean 0 and variance 1: these "
        "weights are given, so measure their logits",
        lambda h, W, s: s / (h.double().square().mean() * h.shape[1]).sqrt(),
    ),
    Mistake(
        "this gives the weights the wanted standard deviation: it is wanted of the logits",
        lambda h, W, s: s / W.double().std(),
    ),
    Mistake(
        "this is the mean of the examples' own standard deviations: the one over all entries is "
        "asked",
        lambda h, W, s: s / _logits(h, W).std(-1).mean(),
    ),
    Mistake(
        "this is the mean of the characters' own standard deviations: the one over all entries is "
        "asked",
        lambda h, W, s: s / _logits(h, W).std(0).mean(),
    ),
    Mistake(
        "the wanted standard deviation is multiplied by that of the logits: divide, large logits "
        "need a small factor",
        lambda h, W, s: s * _logits(h, W).std(),
    ),
    Mistake(
        "this is divided by the mean size of the logits: the standard deviation is asked",
        lambda h, W, s: s / _logits(h, W).abs().mean(),
    ),
    Mistake(
        "this is divided by the largest logit: the standard deviation is asked",
        lambda h, W, s: s / _logits(h, W).abs().max(),
    ),
    Mistake(
        "this is divided by the range of the logits: the standard deviation is asked",
        lambda h, W, s: s / (_logits(h, W).max() - _logits(h, W).min()),
    ),
    Mistake(
        "the quotient is squared: a factor of a multiplies the standard deviation by a",
        lambda h, W, s: (s / _logits(h, W).std()) ** 2,
    ),
    Mistake(
        "this supposes weights and activations to be independent: measure the logits",
        lambda h, W, s: s / (h.double().std() * W.double().std() * h.shape[1] ** 0.5),
    ),
    Mistake(
        "this is 1/√fan-in times the wanted, for weights still to be drawn: these are given",
        lambda h, W, s: torch.tensor(s / h.shape[1] ** 0.5),
    ),
    Mistake(
        "this brings the activations to the wanted standard deviation: it is wanted of the logits",
        lambda h, W, s: s / h.double().std(),
    ),
    Mistake(
        "this is the spread that is wanted: divide it by the one there is",
        lambda h, W, s: torch.tensor(s),
    ),
    Mistake(
        "this is the standard deviation that there is: divide the wanted one by it",
        lambda h, W, s: _logits(h, W).std(),
    ),
    Mistake(
        "this makes the standard deviation 1",
        lambda h, W, s: 1 / _logits(h, W).std(),
    ),
)


def _accepts_factor(args: tuple, answer: object) -> str | None:
    """Any positive factor that gives the spread, whether it is taken over N or over N − 1."""
    h, W, spread = args
    a = float(answer)
    if not (math.isfinite(a) and a > 0):
        return f"the factor is {a:.6g}; wanted a positive number"
    spreads = [_logits(h, W).std(correction=c).item() for c in (0, 1)]
    if any(math.isclose(a * s, spread, rel_tol=1e-4) for s in spreads):
        return None
    for mistake in FACTOR_MISTAKES:
        if math.isclose(a, float(mistake.wrong(*args)), rel_tol=1e-3):
            return mistake.says
    return f"with it the logits' standard deviation is {a * spreads[1]:.4g}, wanted {spread:.4g}"


FACTOR = Exercise(
    id="5.3",
    title="How far to scale",
    function="output_factor",
    points=2,
    cases=_factor_cases,
    oracle=_factor,
    mistakes=FACTOR_MISTAKES,
    accepts=_accepts_factor,
    hints=(
        "h @ (a W) = a (h @ W): what does that do to the standard deviation?",
        "Measure the standard deviation of h @ W, over all entries; then one division is left.",
    ),
    teaches="A scale need not be guessed: logits are linear in the output weights, so one "
    "measurement sets their spread exactly.",
)

EXERCISES = (LOG_SOFTMAX, FIRST_LOSS, FACTOR)
