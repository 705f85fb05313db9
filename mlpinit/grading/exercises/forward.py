"""Graders of chapter 2, The forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Generator, Tensor
from torch.nn import functional

from mlpinit.grading.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]


def _look_up_cases(g: Generator) -> list[Case]:
    def case(table: tuple, contexts: tuple, what: str = "", **kind: torch.dtype) -> Case:
        C = torch.randn(table, generator=g, **kind)  # (runs, vocab, n_embd)
        return Case((C, torch.randint(0, table[1], contexts, generator=g)), what)

    return [
        case((2, 4, 3), (5, 2)),
        case((3, 27, 10), (32, 3), "the sizes of the book"),
        case((4, 6, 2), (3, 7), "a long block, float64", dtype=torch.float64),
        case((2, 5, 4), (3, 1), "a block of one"),
    ]


def _look_up(C: Tensor, X: Tensor) -> Tensor:
    one_hot = functional.one_hot(X, C.shape[1]).double()  # (batch, block, vocab)
    parts = [one_hot[:, place] @ C.double() for place in range(X.shape[1])]
    return torch.cat(parts, -1)


LOOK_UP = Exercise(
    id="2.1",
    title="One batch, K tables",
    function="look_up",
    points=1,
    cases=_look_up_cases,
    oracle=_look_up,
    mistakes=(
        Mistake(
            "the order within a row is wrong: all numbers of the first character come first, then "
            "all of the second; this takes the first number of each, then the second of each",
            lambda C, X: C.double()[:, X].transpose(2, 3).flatten(2),
        ),
        Mistake(
            "the characters are the wrong way round: the oldest comes first, as in X",
            lambda C, X: _look_up(C, X.flip(1)),
        ),
        Mistake(
            "every network got the table of the first: run k looks up in C[k]",
            lambda C, X: _look_up(C[:1].expand_as(C), X),
        ),
        Mistake(
            "the numbers are the right ones, in the wrong places: a reshape or view moved across "
            "the run axis; put the run axis in front before you join axes",
            lambda C, X: C.double().transpose(0, 1)[X].reshape(len(C), len(X), -1),
        ),
        Mistake(
            "the batch axis came before the run axis and a reshape hid it: transpose the two, a "
            "reshape only counts them off anew",
            lambda C, X: _look_up(C, X).transpose(0, 1).reshape(len(C), len(X), -1),
        ),
        Mistake(
            "the embeddings of a context are added up: put them end to end",
            lambda C, X: C.double()[:, X].sum(2),
        ),
        Mistake(
            "the embeddings of a context are averaged: put them end to end",
            lambda C, X: C.double()[:, X].mean(2),
        ),
        Mistake(
            "the embeddings still have an axis for the place in the context: join it with the next",
            lambda C, X: C.double()[:, X],
        ),
        Mistake(
            "the batch comes first here: the runs are the first axis",
            lambda C, X: _look_up(C, X).transpose(0, 1),
        ),
        Mistake(
            "the rows are one off: index 0 is the first row of the table",
            lambda C, X: _look_up(C, (X - 1) % C.shape[1]),
        ),
        Mistake(
            "the rows are one off: index 0 is the first row of the table, and not the second",
            lambda C, X: _look_up(C, (X + 1) % C.shape[1]),
        ),
        Mistake(
            "the networks are in reverse order",
            lambda C, X: _look_up(C.flip(0), X),
        ),
        Mistake(
            "the table is the mean of all networks' tables: run k looks up in C[k]",
            lambda C, X: _look_up(C.double().mean(0).expand(C.shape), X),
        ),
        Mistake(
            "only the last character is looked up, again and again",
            lambda C, X: _look_up(C, X[:, -1:].expand_as(X)),
        ),
        Mistake(
            "only the first character is looked up, again and again",
            lambda C, X: _look_up(C, X[:, :1].expand_as(X)),
        ),
        Mistake(
            "this is for the first network alone",
            lambda C, X: _look_up(C, X)[0],
        ),
    ),
    slips=(
        Mistake(
            "`C[X]` takes the characters of X for networks, because the first axis of C counts "
            "those: leave it alone with a colon, C[:, X]",
            lambda C, X: C[X],
        ),
    ),
    hints=(
        "For one network it is `C[X]`, of shape (batch, block_size, n_embd), with the last two "
        "axes joined.",
        "`C[X]` would look up networks: the index of a character belongs to the second axis of "
        "`C`, and a colon keeps the first.",
        "`flatten(start_dim)` joins all axes from `start_dim` on.",
    ),
    teaches="A leading axis goes along for nothing, if every operation names the axis it means.",
)


def _merge_cases(g: Generator) -> list[Case]:
    def case(fan_in: int, hidden: int, fan_out: int, what: str = "", size: float = 1.0, **kind):
        shapes = (hidden, fan_in), (hidden,), (fan_out, hidden), (fan_out,)
        return Case(tuple(size * torch.randn(s, generator=g, **kind) for s in shapes), what)

    return [
        case(2, 3, 4),
        case(4, 7, 5),
        case(30, 200, 27, "the sizes of the book"),
        case(6, 2, 3, "a narrow middle, float64", dtype=torch.float64),
        case(3, 8, 2, "large weights", size=100.0),
    ]


def _merge(W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
    """Ask the two layers: what they make of 0 is b, of the unit vectors the columns of W."""
    W1, b1, W2, b2 = W1.double(), b1.double(), W2.double(), b2.double()

    def both(x: Tensor) -> Tensor:
        return functional.linear(functional.linear(x, W1, b1), W2, b2)

    b = both(torch.zeros_like(W1[0]))
    return (both(torch.eye(W1.shape[1], dtype=torch.float64)) - b).T, b


def _merge_mistake(says: str, bias: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Mistake:
    def wrong(W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
        return W2.double() @ W1.double(), bias(b1.double(), W2.double(), b2.double())

    return Mistake(says, wrong)


MERGE = Exercise(
    id="2.2",
    title="Two layers that are one",
    function="merge_affine",
    points=2,
    cases=_merge_cases,
    oracle=_merge,
    atol=1e-3,
    mistakes=(
        _merge_mistake(
            "the first bias is lost: it passes through the second layer's weights and arrives as "
            "W2 @ b1",
            lambda b1, W2, b2: b2,
        ),
        _merge_mistake(
            "the second bias is lost: it is added at the end", lambda b1, W2, b2: W2 @ b1
        ),
        _merge_mistake(
            "both biases are lost: each adds a constant to the sum", lambda b1, W2, b2: 0 * b2
        ),
        _merge_mistake(
            "the first bias was bent on its way: here no tanh stands between the layers",
            lambda b1, W2, b2: W2 @ torch.tanh(b1) + b2,
        ),
        Mistake(
            "the two are the wrong way round: W first, then b",
            lambda *args: _merge(*args)[::-1],
        ),
        _merge_mistake("the second bias is added twice", lambda b1, W2, b2: W2 @ b1 + 2 * b2),
        _merge_mistake("the second bias is subtracted", lambda b1, W2, b2: W2 @ b1 - b2),
        _merge_mistake(
            "the first bias was bent on its way: here no ReLU stands between the layers",
            lambda b1, W2, b2: W2 @ torch.relu(b1) + b2,
        ),
        _merge_mistake(
            "the second layer's weights multiply the second bias too: it comes after them",
            lambda b1, W2, b2: W2 @ b1 * b2,
        ),
        Mistake(
            "the bias is right; the weights are averaged where the product is meant",
            lambda W1, b1, W2, b2: (W2.double() @ W1.double() / len(W1), _merge(W1, b1, W2, b2)[1]),
        ),
        Mistake(
            "this is in the layout of x @ W, it is the transpose of what is wanted: PyTorch holds "
            "(fan_out, fan_in)",
            lambda W1, b1, W2, b2: (_merge(W1, b1, W2, b2)[0].T, _merge(W1, b1, W2, b2)[1]),
        ),
        _merge_mistake(
            "this sums each row of the second weights: the first bias has a number for each hidden "
            "unit",
            lambda b1, W2, b2: W2.sum(1) * b1.mean() + b2,
        ),
    ),
    slips=(
        Mistake(
            "b1 and b2 have different lengths, one number per hidden unit and one per output: b1 "
            "has to pass through the second layer's weights first, as W2 @ b1",
            lambda W1, b1, W2, b2: b1 + b2,
        ),
        Mistake(
            "b1 and b2 have different lengths, one number per hidden unit and one per output: b1 "
            "has to pass through the second layer's weights first, as W2 @ b1",
            lambda W1, b1, W2, b2: b2 + b1,
        ),
        Mistake(
            "the weights are multiplied in the order in which x meets them; in PyTorch's layout, "
            "(fan_out, fan_in), the first layer stands on the right: W2 @ W1",
            lambda W1, b1, W2, b2: W1 @ W2,
        ),
        Mistake(
            "b1 stands on the wrong side: in PyTorch's layout, (fan_out, fan_in), it is W2 @ b1",
            lambda W1, b1, W2, b2: b1 @ W2,
        ),
    ),
    hints=(
        "Write both layers in PyTorch's layout: a = W1 x + b1, and z = W2 a + b2, for one x as a "
        "column. Put the first into the second and collect what multiplies x.",
        "What does not multiply x is the bias: b1 is part of a, so W2 multiplies it.",
        "Let the shapes check the order: `(fan_out, hidden) @ (hidden, fan_in)` is all that fits.",
    ),
    teaches="Depth without a bend adds no function, only factors; the bend is what makes a layer.",
)


def _scale_cases(g: Generator) -> list[Case]:
    def normal(*shape: int, **kind: torch.dtype) -> Tensor:
        return torch.randn(shape, generator=g, **kind)

    ends = torch.tanh(20 * normal(9, 200))
    return [
        Case((2 * normal(2, 3), 2.0, 0.5)),
        Case((normal(32, 30), 1.0, 0.01), "the book's first layer"),
        Case((ends, 0.1, 0.0), "inputs at ±1, no biases"),
        Case((3 + normal(7, 5), 4.0, 3.0), "inputs that are far from mean 0, large biases"),
        Case((1e-3 * normal(6, 4, dtype=torch.float64), 5.0, 1.0), "tiny inputs, float64"),
    ]


def _scale(x: Tensor, target_std: float, sigma_b: float) -> float:
    """Solve Σ_m (s² |x_m|² + σ_b² − target_std²) = 0 for s by bisection."""
    squares = [math.fsum(v * v for v in row) for row in x.double().tolist()]
    low, high = 0.0, 1.0
    too_much = sigma_b**2 - target_std**2

    def excess(s: float) -> float:
        return math.fsum(s * s * q + too_much for q in squares)

    while excess(high) < 0:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return high


def _scale_mistake(says: str, wrong: Callable[[Tensor, float, float], Tensor]) -> Mistake:
    return Mistake(says, lambda x, t, s: wrong(x.double(), t, s))


SCALE = Exercise(
    id="2.3",
    title="Weights for a wanted size",
    function="weight_scale",
    points=2,
    cases=_scale_cases,
    oracle=_scale,
    atol=0.0,
    mistakes=(
        _scale_mistake(
            "the fan-in is missing: the squares of one example are summed, not averaged",
            lambda x, t, s: ((t**2 - s**2) / (x**2).mean()).sqrt(),
        ),
        _scale_mistake(
            "the batch was summed as well: over the examples a mean is meant",
            lambda x, t, s: ((t**2 - s**2) / (x**2).sum()).sqrt(),
        ),
        _scale_mistake(
            "the sum over the batch and the mean over the inputs changed places: the fan-in is "
            "the second axis of x",
            lambda x, t, s: ((t**2 - s**2) / (x**2).sum(0).mean()).sqrt(),
        ),
        _scale_mistake(
            "this is the variance of the weights: the standard deviation is its square root",
            lambda x, t, s: (t**2 - s**2) / (x**2).sum(1).mean(),
        ),
        _scale_mistake(
            "the biases are forgotten: they bring sigma_b² of the variance, the weights the rest",
            lambda x, t, s: t / (x**2).sum(1).mean().sqrt(),
        ),
        _scale_mistake(
            "standard deviations were subtracted: variances add, so subtract the squares",
            lambda x, t, s: (t - s) / (x**2).sum(1).mean().sqrt(),
        ),
        _scale_mistake(
            "the variance of the biases was added where it must be taken off",
            lambda x, t, s: ((t**2 + s**2) / (x**2).sum(1).mean()).sqrt(),
        ),
        _scale_mistake(
            "the squares are missing: target_std and sigma_b are standard deviations, and "
            "variances are what adds",
            lambda x, t, s: ((t - s) / (x**2).sum(1).mean()).sqrt(),
        ),
        _scale_mistake(
            "the inputs are not squared: the term x · W has variance x² · σ_W²",
            lambda x, t, s: ((t**2 - s**2) / x.sum(1).mean()).sqrt(),
        ),
        _scale_mistake(
            "these are sizes of the inputs, not their squares: the term x · W has variance "
            "x² · σ_W²",
            lambda x, t, s: ((t**2 - s**2) / x.abs().sum(1).mean()).sqrt(),
        ),
        _scale_mistake(
            "the root was taken before the mean: average the sums of squares, not their roots",
            lambda x, t, s: (t**2 - s**2) ** 0.5 / (x**2).sum(1).sqrt().mean(),
        ),
        _scale_mistake(
            "the root was taken before the mean: this averages the scales of the single examples",
            lambda x, t, s: ((t**2 - s**2) / (x**2).sum(1)).sqrt().mean(),
        ),
        *(
            _scale_mistake(
                f"the inputs were centred{how}: the weights are what is random, x is fixed, so "
                "its mean square counts and not its variance",
                lambda x, t, s, var=var: ((t**2 - s**2) / (x.shape[1] * var(x))).sqrt(),
            )
            for how, var in (
                ("", lambda x: x.var()),
                (" (all together)", lambda x: x.var(correction=0)),
                (" (row by row)", lambda x: x.var(1).mean()),
                (" (each row by its mean)", lambda x: x.var(1, correction=0).mean()),
                (" (column by column)", lambda x: x.var(0).mean()),
                (" (each column by its mean)", lambda x: x.var(0, correction=0).mean()),
            )
        ),
        _scale_mistake(
            "target_std is taken for a variance: it is a standard deviation, so square it",
            lambda x, t, s: ((t - s**2) / (x**2).sum(1).mean()).sqrt(),
        ),
        _scale_mistake(
            "sigma_b is taken for a variance: it is a standard deviation, so square it",
            lambda x, t, s: ((t**2 - s) / (x**2).sum(1).mean()).sqrt(),
        ),
        _scale_mistake(
            "the inputs are taken to have a mean square of 1: measure it",
            lambda x, t, s: torch.tensor(((t**2 - s**2) / x.shape[1]) ** 0.5),
        ),
        _scale_mistake(
            "the largest example is taken: average over the batch",
            lambda x, t, s: ((t**2 - s**2) / (x**2).sum(1).max()).sqrt(),
        ),
        _scale_mistake(
            "the first example alone is used: average over the batch",
            lambda x, t, s: ((t**2 - s**2) / (x**2).sum(1)[0]).sqrt(),
        ),
        _scale_mistake(
            "this is the inverse: large inputs need small weights",
            lambda x, t, s: ((x**2).sum(1).mean() / (t**2 - s**2)).sqrt(),
        ),
        _scale_mistake(
            "the mean of x is squared: square first, then average",
            lambda x, t, s: ((t**2 - s**2) / (x.shape[1] * x.mean() ** 2)).sqrt(),
        ),
        _scale_mistake(
            "the sum of an example's inputs is squared: square each, then sum",
            lambda x, t, s: ((t**2 - s**2) / (x.sum(1) ** 2).mean()).sqrt(),
        ),
        _scale_mistake(
            "this is one scale for each example: average the sums of squares over the batch",
            lambda x, t, s: ((t**2 - s**2) / (x**2).sum(1)).sqrt(),
        ),
        _scale_mistake(
            "this is twice the scale",
            lambda x, t, s: 2 * ((t**2 - s**2) / (x**2).sum(1).mean()).sqrt(),
        ),
    ),
    hints=(
        "Start from the variance of a pre-activation for one example and average it over the "
        "batch: only the sum of squares differs from example to example.",
        "Set that mean equal to the square of `target_std`, and solve for the weights' variance.",
        "σ_W² = (target² − σ_b²) / (the mean over the batch of the sum over fan-in of x²).",
    ),
    teaches="A scale is chosen by solving the variance equation: this is the idea behind every "
    "scheme with a fan-in in it.",
)


def _logit_cases(g: Generator) -> list[Case]:
    def case(
        table: tuple, hidden: tuple, contexts: tuple, what: str = "", size: float = 1.0, **kind
    ) -> Case:
        vocab, n_embd = table

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=g, **kind)

        widths = [contexts[1] * n_embd, *hidden, vocab]
        W = [size * normal(i, o) / i**0.5 for i, o in pairwise(widths)]
        b = [size * normal(o) for o in widths[1:]]
        X = torch.randint(0, vocab, contexts, generator=g)
        return Case((normal(vocab, n_embd), W, b, X), what)

    return [
        case((4, 2), (3, 2, 3), (3, 2)),
        case((27, 10), (20,), (32, 3), "one hidden layer"),
        case((5, 3), (), (6, 4), "no hidden layer"),
        case((9, 4), (7, 5, 6), (8, 2), "three hidden layers, float64", dtype=torch.float64),
        case((6, 2), (8, 5, 8), (5, 3), "large weights", size=8.0),
    ]


def _logits(C: Tensor, W: list[Tensor], b: list[Tensor], X: Tensor) -> Tensor:
    a = _look_up(C[None], X)[0]
    for depth, (weight, bias) in enumerate(zip(W, b, strict=True), 1):
        z = torch.einsum("ni,io->no", a, weight.double()) + bias.double()
        a = 2 * torch.sigmoid(2 * z) - 1 if depth < len(W) else z
    return a


def _variant(
    *,
    hidden_bias: bool = True,
    output_bias: bool = True,
    bends: Callable[[int, int], bool] = lambda layer, last: layer < last,
    bend: Callable[[Tensor], Tensor] = torch.tanh,
    outside: bool = False,
) -> Callable[..., Tensor]:
    """The forward pass with something left out; `bends` says after which layers tanh comes."""

    def run(C: Tensor, W: list[Tensor], b: list[Tensor], X: Tensor) -> Tensor:
        x, last = C.double()[X].flatten(1), len(W) - 1
        for layer, (weight, bias) in enumerate(zip(W, b, strict=True)):
            x = x @ weight.double()
            late = outside and layer < last
            if (output_bias if layer == last else hidden_bias) and not late:
                x = x + bias.double()
            if bends(layer, last):
                x = bend(x)
            if late:
                x = x + bias.double()
        return x

    return run


def _crossed(C: Tensor, W: list[Tensor], b: list[Tensor], X: Tensor) -> Tensor:
    order = torch.arange(len(W[0])).view(X.shape[1], -1).T.flatten()
    return _logits(C, [_placed(W[0], order), *W[1:]], b, X)


def _placed(W: Tensor, order: Tensor) -> Tensor:
    return torch.empty_like(W).index_copy_(0, order, W)


def _first_only(C: Tensor, W: list[Tensor], b: list[Tensor], X: Tensor) -> Tensor | None:
    return _logits(C, [W[0], W[-1]], [b[0], b[-1]], X) if len(W) > 2 else None


LOGITS = Exercise(
    id="2.4",
    title="A network of any depth",
    function="forward_logits",
    points=3,
    cases=_logit_cases,
    oracle=_logits,
    atol=1e-4,
    mistakes=(
        Mistake(
            "tanh was applied to the logits: the output layer is affine and nothing more",
            _variant(bends=lambda layer, last: True),
        ),
        Mistake(
            "the output layer's bias is missing",
            _variant(output_bias=False),
        ),
        Mistake("the biases of the hidden layers are missing", _variant(hidden_bias=False)),
        Mistake(
            "all biases are missing: every layer is x @ W + b",
            _variant(hidden_bias=False, output_bias=False),
        ),
        Mistake(
            "only the first hidden layer was used: each hidden layer takes the activations of the "
            "one before",
            _first_only,
        ),
        Mistake(
            "there is no tanh: without it all layers together are one affine layer",
            _variant(bends=lambda layer, last: False),
        ),
        Mistake(
            "tanh comes after the first layer alone: it follows every hidden layer",
            _variant(bends=lambda layer, last: layer == 0 < last),
        ),
        Mistake(
            "tanh is missing after the last hidden layer: only the output layer has none",
            _variant(bends=lambda layer, last: layer < last - 1),
        ),
        Mistake(
            "these are probabilities: the logits are what softmax would take",
            lambda C, W, b, X: _logits(C, W, b, X).softmax(1),
        ),
        Mistake(
            "these are logarithms of probabilities: the logits come before any softmax",
            lambda C, W, b, X: _logits(C, W, b, X).log_softmax(1),
        ),
        Mistake(
            "the characters are the wrong way round: the oldest comes first, as in X",
            lambda C, W, b, X: _logits(C, W, b, X.flip(1)),
        ),
        Mistake(
            "the activation is ReLU: this network has tanh",
            _variant(bend=torch.relu),
        ),
        Mistake(
            "the activation is the logistic function: this network has tanh",
            _variant(bend=torch.sigmoid),
        ),
        Mistake(
            "the bias is added after tanh: the activation is of x @ W + b",
            _variant(outside=True),
        ),
        Mistake(
            "tanh is applied to the embeddings as well: it follows the hidden layers",
            lambda C, *rest: _logits(torch.tanh(C.double()), *rest),
        ),
        Mistake(
            "the embeddings are the wrong way round inside: all numbers of the first character "
            "come first",
            _crossed,
        ),
        Mistake(
            "the first bias is missing",
            lambda C, W, b, X: _logits(C, W, [0 * b[0], *b[1:]], X),
        ),
        Mistake(
            "the biases are subtracted: a layer adds its bias",
            lambda C, W, b, X: _logits(C, W, [-c for c in b], X),
        ),
        Mistake(
            "the rows are one off: index 0 is the first row of the table",
            lambda C, W, b, X: _logits(C, W, b, (X - 1) % len(C)),
        ),
        Mistake(
            "the logits are summed to 0 in each row: return them as they are",
            lambda *args: _logits(*args) - _logits(*args).mean(1, keepdim=True),
        ),
        Mistake(
            "the largest logit is taken off in each row: return them as they are",
            lambda *args: _logits(*args) - _logits(*args).amax(1, keepdim=True),
        ),
        Mistake(
            "these are the characters with the largest logits: the logits themselves are asked",
            lambda *args: _logits(*args).argmax(1),
        ),
    ),
    slips=(
        Mistake(
            "the embeddings still have an axis for the place in the context: join it with the "
            "last one, `flatten(1)`, before the first layer",
            lambda C, W, b, X: C[X] @ W[0] + b[0],
        ),
        Mistake(
            "the weights are laid out (fan_in, fan_out) here, so the inputs stand on the left: "
            "x @ W",
            lambda C, W, b, X: W[0] @ C[X].flatten(1) + b[0],
        ),
    ),
    hints=(
        "One variable is enough: `x` starts as the embeddings end to end, and each hidden layer "
        "replaces it by its activations.",
        "`W[:-1]` and `b[:-1]` are the hidden layers; the last pair is the output layer.",
        "Without hidden layers the loop runs no times, and the output layer takes the embeddings.",
    ),
    teaches="A deep network is the same line again and again; the output layer alone has no bend.",
)

EXERCISES = (LOOK_UP, MERGE, SCALE, LOGITS)
