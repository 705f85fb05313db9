"""Graders of chapter 3, The backward pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional

from mlpinit.grading.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]


def _leaf(t: Tensor) -> Tensor:
    """A float64 copy that autograd follows; the argument itself stays as it is."""
    return t.double().clone().requires_grad_()


def _logit_cases(g: Generator) -> list[Case]:
    def case(n: int, vocab: int, spread: float, dtype: torch.dtype, what: str = "") -> Case:
        logits = spread * torch.randn(n, vocab, generator=g, dtype=dtype)
        Y = torch.randint(0, vocab, (n,), generator=g)
        return Case((logits, Y, torch.randint(1, 9, (n,), generator=g)), what)

    small = torch.randn(3, 4, generator=g)
    far = torch.tensor([[1000.0, -1000, 0, 3, 3], [500, 501, 499, -2000, 0]])
    return [
        Case((small, torch.tensor([2, 0, 3]), torch.tensor([4, 1, 2]))),
        case(32, 27, 2.0, torch.float64, "float64"),
        Case((far, torch.tensor([3, 1]), torch.tensor([2, 5])), "logits far out"),
        case(7, 5, 60.0, torch.float32, "large logits"),
    ]


def _logit_oracle(logits: Tensor, Y: Tensor, counts: Tensor) -> Tensor:
    o = _leaf(logits)
    losses = functional.cross_entropy(o, Y, reduction="none")
    (gradient,) = torch.autograd.grad((losses * counts).sum() / counts.sum(), o)
    return gradient


def _logit_parts(logits: Tensor, Y: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Softmax, one-hot targets, and counts as a column, in float64."""
    onehot = functional.one_hot(Y, logits.size(1)).double()
    return logits.double().softmax(1), onehot, counts.double()[:, None]


def _logit_mistake(says: str, form: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Mistake:
    return Mistake(says, lambda *args: form(*_logit_parts(*args)))


def _unshifted(logits: Tensor, Y: Tensor, counts: Tensor) -> Tensor:
    e = torch.exp(logits)
    onehot = functional.one_hot(Y, logits.size(1))
    return counts[:, None] * (e / e.sum(1, keepdim=True) - onehot) / counts.sum()


LOGITS = Exercise(
    id="3.1",
    title="From a counted loss to the logits",
    function="counted_logit_gradient",
    points=2,
    cases=_logit_cases,
    oracle=_logit_oracle,
    mistakes=(
        _logit_mistake(
            "this is not divided by anything: the loss is a mean over all that was counted",
            lambda p, y, w: w * (p - y),
        ),
        _logit_mistake(
            "the counts weigh the rows, but the sum is divided by the number of rows where the "
            "sum of the counts is meant",
            lambda p, y, w: w * (p - y) / len(w),
        ),
        _logit_mistake(
            "the counts are not used: a row that stands for five examples pulls five times as hard",
            lambda p, y, w: (p - y) / len(w),
        ),
        _logit_mistake(
            "the rows are divided by the sum of the counts, but not multiplied by their own",
            lambda p, y, w: (p - y) / w.sum(),
        ),
        _logit_mistake(
            "this is one-hot minus softmax: the gradient points uphill, to softmax minus one-hot",
            lambda p, y, w: w * (y - p) / w.sum(),
        ),
        _logit_mistake(
            "the one-hot is missing: this is what was predicted, without less what came",
            lambda p, y, w: w * p / w.sum(),
        ),
        _logit_mistake(
            "the counts weigh the softmax but not the one-hot: both belong to the same example",
            lambda p, y, w: (w * p - y) / w.sum(),
        ),
        _logit_mistake(
            "this is divided by the size of the vocabulary as well: the mean is over examples only",
            lambda p, y, w: w * (p - y) / (w.sum() * p.size(1)),
        ),
        Mistake(
            "exp overflows for large logits, and ∞/∞ is NaN: take the largest logit of each row "
            "away first, which leaves the softmax as it is",
            _unshifted,
        ),
        _logit_mistake(
            "the rows are divided by their counts: a row that occurred more often counts more",
            lambda p, y, w: (p - y) / w / (1 / w).sum(),
        ),
        _logit_mistake(
            "the rows are divided by their counts, not multiplied",
            lambda p, y, w: (p - y) / w,
        ),
        _logit_mistake(
            "the counts are divided by the largest: divide by their sum",
            lambda p, y, w: w * (p - y) / w.max(),
        ),
        _logit_mistake(
            "the counts are squared: a row counts as often as it occurred",
            lambda p, y, w: w**2 * (p - y) / w.sum(),
        ),
        _logit_mistake(
            "the counts are squared, and their squares summed: a row counts as often as it "
            "occurred",
            lambda p, y, w: w**2 * (p - y) / (w**2).sum(),
        ),
        _logit_mistake(
            "the gradient is summed over the rows: each row has its own",
            lambda p, y, w: (w * (p - y)).sum(0) / w.sum(),
        ),
        _logit_mistake(
            "the softmax is missing: this is −one-hot alone",
            lambda p, y, w: -w * y / w.sum(),
        ),
        _logit_mistake(
            "log p is used where p is meant",
            lambda p, y, w: w * (p.log() - y) / w.sum(),
        ),
        Mistake(
            "the softmax is taken down the columns: each row is a distribution of its own",
            lambda logits, Y, w: (
                w.double()[:, None]
                * (logits.double().softmax(0) - functional.one_hot(Y, logits.size(1)))
                / w.sum()
            ),
        ),
        Mistake(
            "these are the logits less the one-hot: the softmax of the logits is meant",
            lambda logits, Y, w: (
                w.double()[:, None]
                * (logits.double() - functional.one_hot(Y, logits.size(1)))
                / w.sum()
            ),
        ),
        Mistake(
            "the logistic function stands where the softmax is meant",
            lambda logits, Y, w: (
                w.double()[:, None]
                * (logits.double().sigmoid() - functional.one_hot(Y, logits.size(1)))
                / w.sum()
            ),
        ),
        Mistake(
            "this is the loss, not its gradient",
            lambda logits, Y, w: (
                (functional.cross_entropy(logits.double(), Y, reduction="none") * w).sum() / w.sum()
            ),
        ),
    ),
    hints=(
        "Write the loss as a sum over rows: each term is a count, times what the chapter has for "
        "one example, over a number that no logit changes.",
        "For one example the gradient is softmax minus one-hot. Row i gets it times "
        "counts[i] / counts.sum().",
        "torch.softmax is safe for any logits; exp over a sum of exp is not.",
    ),
    teaches="The 1/n of the gradient is a weight of 1/n on each example, and any weights will do.",
)


def _affine_cases(g: Generator) -> list[Case]:
    def case(
        lead: tuple[int, ...],
        fan_in: int,
        fan_out: int,
        scale: float = 1.0,
        dtype: torch.dtype = torch.float32,
        what: str = "",
    ) -> Case:
        x = torch.randn(*lead, fan_in, generator=g, dtype=dtype) * scale
        W = torch.randn(fan_out, fan_in, generator=g, dtype=dtype)
        dy = torch.randn(*lead, fan_out, generator=g, dtype=dtype) / scale
        return Case((x, W, dy), what)

    return [
        case((3,), 2, 4),
        case((32,), 30, 7, dtype=torch.float64, what="float64"),
        case((4, 5), 3, 2, what="two leading axes"),
        case((6,), 5, 3, scale=50.0, what="large x, small dy"),
    ]


def _affine_oracle(x: Tensor, W: Tensor, dy: Tensor) -> tuple[Tensor, ...]:
    x, W = _leaf(x), _leaf(W)
    b = torch.zeros(len(W), dtype=torch.float64, requires_grad=True)
    # A gradient that is handed in would have torch import half a second of symbolic shapes.
    return torch.autograd.grad((functional.linear(x, W, b) * dy.double()).sum(), (x, W, b))


def _affine_wrong(
    x: Tensor, W: Tensor, dy: Tensor, *, dW_over: int = 0, db_over: int = 0, last: bool = False
) -> tuple[Tensor, ...]:
    """What a mistake gives: dW or db divided by the examples, or the last example's alone."""
    a, G = x.double().reshape(-1, x.size(-1)), dy.double().reshape(-1, dy.size(-1))
    n = len(a)
    if last:
        a, G = a[-1:], G[-1:]
    dx = dy.double() @ W.double()
    return dx, G.T @ a / (n if dW_over else 1), G.sum(0) / (n if db_over else 1)


def _as_order(values: tuple, order: tuple[int, ...]) -> tuple:
    return tuple(values[i] for i in order)


AFFINE = Exercise(
    id="3.2",
    title="An affine layer, PyTorch's way round",
    function="linear_backward",
    points=2,
    cases=_affine_cases,
    oracle=_affine_oracle,
    atol=1e-5,
    mistakes=(
        Mistake(
            "db is the mean of dy where the sum is meant: b is used once for every example, and "
            "if the loss is a mean, its 1/n is in dy already",
            lambda *args: _affine_wrong(*args, db_over=1),
        ),
        Mistake(
            "dW is divided by the number of examples: if the loss is a mean, its 1/n is in dy "
            "already",
            lambda *args: _affine_wrong(*args, dW_over=1),
        ),
        Mistake(
            "dW and db are means over the examples where sums are meant: if the loss is a mean, "
            "its 1/n is in dy already",
            lambda *args: _affine_wrong(*args, dW_over=1, db_over=1),
        ),
        Mistake(
            "dW and db hold the share of the last example only: shares add up, they do not "
            "overwrite",
            lambda *args: _affine_wrong(*args, last=True),
        ),
        Mistake(
            "the three are in another order: dx, dW, db",
            lambda x, W, dy: _as_order(_affine_oracle(x, W, dy), (1, 2, 0)),
        ),
        Mistake(
            "the three are in another order: dx comes first, then dW, then db",
            lambda x, W, dy: _as_order(_affine_oracle(x, W, dy), (1, 0, 2)),
        ),
        Mistake(
            "dW has an axis for the examples: sum their shares",
            lambda x, W, dy: (
                _affine_oracle(x, W, dy)[0],
                dy.double()[..., None] * x.double()[..., None, :],
                _affine_oracle(x, W, dy)[2],
            ),
        ),
        Mistake(
            "dW has an axis too many: with more axes in front, every place is an example, and all "
            "shares are summed",
            lambda x, W, dy: (
                (_affine_oracle(x, W, dy)[0], dy.double().mT @ x.double(), dy.double().sum(0))
                if x.ndim > 2
                else None
            ),
        ),
        Mistake(
            "dW is right for each entry of the first axis alone: sum over all axes in front",
            lambda x, W, dy: (
                (
                    _affine_oracle(x, W, dy)[0],
                    dy.double().mT @ x.double(),
                    _affine_oracle(x, W, dy)[2],
                )
                if x.ndim > 2
                else None
            ),
        ),
        Mistake(
            "db is summed over the first axis alone: sum over all axes in front",
            lambda x, W, dy: (
                (*_affine_oracle(x, W, dy)[:2], dy.double().sum(0)) if x.ndim > 2 else None
            ),
        ),
        Mistake(
            "dW: it is the transpose of what is wanted, for W is (fan_out, fan_in), and so its "
            "gradient",
            lambda x, W, dy: (
                _affine_oracle(x, W, dy)[0],
                _affine_oracle(x, W, dy)[1].T,
                _affine_oracle(x, W, dy)[2],
            ),
        ),
        Mistake(
            "dx is divided by the number of examples: if the loss is a mean, its 1/n is in dy "
            "already",
            lambda x, W, dy: (
                _affine_oracle(x, W, dy)[0] / dy[..., 0].numel(),
                *_affine_oracle(x, W, dy)[1:],
            ),
        ),
        Mistake(
            "db is one number: every output has a bias of its own",
            lambda x, W, dy: (*_affine_oracle(x, W, dy)[:2], dy.double().sum()),
        ),
        Mistake(
            "db is not summed: b is used once for every example, and the shares add up",
            lambda x, W, dy: (*_affine_oracle(x, W, dy)[:2], dy.double()),
        ),
        Mistake(
            "db keeps an axis: it has the shape of b",
            lambda x, W, dy: (*_affine_oracle(x, W, dy)[:2], _affine_oracle(x, W, dy)[2][None]),
        ),
        Mistake(
            "the signs are the wrong way round in all three",
            lambda x, W, dy: tuple(-t for t in _affine_oracle(x, W, dy)),
        ),
        Mistake(
            "the sign of db is the wrong way round: b is added",
            lambda x, W, dy: (*_affine_oracle(x, W, dy)[:2], -_affine_oracle(x, W, dy)[2]),
        ),
        Mistake(
            "all three are divided by the number of examples: if the loss is a mean, its 1/n is in "
            "dy already",
            lambda x, W, dy: tuple(t / dy[..., 0].numel() for t in _affine_oracle(x, W, dy)),
        ),
    ),
    hints=(
        "Each gradient has the shape of what it is the gradient of; try which products have it.",
        "Put Wᵀ for W into the chapter's three equations for the affine layer, and transpose the "
        "one for W.",
        "With more axes in front, every place is an example: flatten them to one axis for dW and "
        "db; dx needs nothing of the kind.",
    ),
    teaches="Another layout transposes the formulas; what is summed, and over what, stays.",
)


def _table_cases(g: Generator) -> list[Case]:
    def case(X: Tensor, n_embd: int, vocab: int, dtype: torch.dtype, what: str = "") -> Case:
        n, block = X.shape
        dx, h, dlogits = (
            torch.randn(n, columns, generator=g, dtype=dtype)
            for columns in (block * n_embd, n_embd, vocab)
        )
        return Case((X, dx, h, dlogits), what)

    words = torch.randint(0, 27, (32, 3), generator=g) * torch.randint(0, 2, (32, 3), generator=g)
    return [
        case(torch.tensor([[0, 0], [0, 3], [3, 1], [1, 0]]), 3, 5, torch.float32),
        case(words, 10, 27, torch.float32, "as the book's batches"),
        case(torch.full((6, 4), 7), 2, 9, torch.float64, "one character in every place"),
    ]


def _table_oracle(X: Tensor, dx: Tensor, h: Tensor, dlogits: Tensor) -> Tensor:
    C = torch.zeros(dlogits.size(1), h.size(1), dtype=torch.float64, requires_grad=True)
    looked_up, logits = functional.embedding(X, C).flatten(1), functional.linear(h.double(), C)
    arriving = (looked_up * dx.double()).sum() + (logits * dlogits.double()).sum()
    (gradient,) = torch.autograd.grad(arriving, C)
    return gradient


def _table_parts(
    X: Tensor, dx: Tensor, h: Tensor, dlogits: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shares of the look-up: added, and the last use of each row only; of the output; and uses."""
    added, last = torch.zeros(2, dlogits.size(1), h.size(1), dtype=torch.float64)
    for v, share in zip(X.flatten(), dx.double().reshape(X.numel(), -1), strict=True):
        added[v] += share
        last[v] = share
    uses = torch.bincount(X.flatten(), minlength=dlogits.size(1)).clamp(min=1)[:, None]
    return added, last, dlogits.double().T @ h.double(), uses


def _table_mistake(says: str, form: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Mistake:
    return Mistake(says, lambda *args: form(*_table_parts(*args)))


def _cut_across(X: Tensor, dx: Tensor, h: Tensor, dlogits: Tensor) -> Tensor:
    n, block = X.shape
    recut = dx.view(n, -1, block).mT.reshape(n, -1)
    added, _, output, _ = _table_parts(X, recut, h, dlogits)
    return added + output


TABLE = Exercise(
    id="3.3",
    title="One table, used at both ends",
    function="tied_table_gradient",
    points=3,
    cases=_table_cases,
    oracle=_table_oracle,
    atol=1e-5,
    mistakes=(
        _table_mistake(
            "this keeps one use of each row and drops the others: a row that was looked up twice "
            "gets the sum of both shares, and C[X] += does not add twice",
            lambda added, last, output, uses: last + output,
        ),
        _table_mistake(
            "the shares of the look-ups overwrite each other and those of the logits: add them all",
            lambda added, last, output, uses: torch.where(last != 0, last, output),
        ),
        _table_mistake(
            "only the look-ups are here: C was used once more, for the logits",
            lambda added, last, output, uses: added,
        ),
        _table_mistake(
            "only the logits are here: C was used for the look-ups as well",
            lambda added, last, output, uses: output,
        ),
        _table_mistake(
            "only one use of each row is here, and the use of C for the logits is missing",
            lambda added, last, output, uses: last,
        ),
        _table_mistake(
            "the shares of a row are averaged over its look-ups where their sum is meant",
            lambda added, last, output, uses: added / uses + output,
        ),
        Mistake(
            "dx is cut the wrong way: its first n_embd columns belong to the first character, "
            "the next n_embd to the second",
            _cut_across,
        ),
        _table_mistake(
            "the look-ups are subtracted: both uses add",
            lambda added, last, output, uses: output - added,
        ),
        _table_mistake(
            "the look-ups are counted twice",
            lambda added, last, output, uses: 2 * added + output,
        ),
        _table_mistake(
            "the logits' share is counted twice",
            lambda added, last, output, uses: added + 2 * output,
        ),
        _table_mistake(
            "the two shares are averaged: gradients of several uses add",
            lambda added, last, output, uses: (added + output) / 2,
        ),
        _table_mistake(
            "the two shares are multiplied: gradients of several uses add",
            lambda added, last, output, uses: added * output,
        ),
        _table_mistake(
            "this is the transpose of what is wanted: dC has the shape of C, (vocab, n_embd)",
            lambda added, last, output, uses: (added + output).T,
        ),
        Mistake(
            "this is divided by the number of examples: if the loss is a mean, its 1/n is in what "
            "arrives already",
            lambda X, *rest: _table_oracle(X, *rest) / len(X),
        ),
        Mistake(
            "the shares of the look-ups go to the rows in the order in which they come: X says "
            "which row each belongs to",
            lambda X, dx, h, dlogits: _table_oracle(
                torch.arange(X.numel()).view(X.shape) % dlogits.size(1), dx, h, dlogits
            ),
        ),
        Mistake(
            "only the first character of each context is there: all places look up in C",
            lambda X, dx, h, dlogits: _table_oracle(X[:, :1], dx[:, : h.size(1)], h, dlogits),
        ),
        Mistake(
            "only the last character of each context is there: all places look up in C",
            lambda X, dx, h, dlogits: _table_oracle(X[:, -1:], dx[:, -h.size(1) :], h, dlogits),
        ),
        Mistake(
            "the rows of dx are added to the table of the characters read backwards: the oldest "
            "comes first, as in X",
            lambda X, *rest: _table_oracle(X.flip(1), *rest),
        ),
        Mistake(
            "the gradient has stood still at the slope of tanh: no activation lies between h and "
            "the logits",
            lambda X, dx, h, dlogits: _table_oracle(X, dx, torch.tanh(h), dlogits),
        ),
    ),
    hints=(
        "Find the gradient of each use as if it were the only one; then accumulate.",
        "For the look-ups: cut dx into (n · block_size, n_embd) and add each row to the row of "
        "dC that X names. For the logits: an affine layer whose weights are Cᵀ.",
        "index_add_ adds every time a row is named; dC[X] += … only once.",
    ),
    teaches="Gradients accumulate over all uses, whether within one table or between two layers.",
)


def _network_cases(g: Generator) -> list[Case]:
    def case(
        n: int,
        fan_in: int,
        units: int,
        vocab: int,
        dtype: torch.dtype = torch.float32,
        bias: float = 0.0,
        last: float = 1.0,
        what: str = "",
    ) -> Case:
        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=g, dtype=dtype)

        x, Y = draw(n, fan_in), torch.randperm(n, generator=g) % vocab
        W1, b1, W2, b2 = draw(fan_in, units), draw(units) + bias, draw(units, vocab), draw(vocab)
        return Case((x, Y, W1, b1, last * W2, b2), what)

    def whole(n: int, fan_in: int, units: int, vocab: int, what: str) -> Case:
        """A first layer of small whole numbers, so that z is exact; its first row is 0."""
        _, Y, _, _, W2, b2 = case(n, fan_in, units, vocab).args
        x, W1 = (
            torch.randint(-2, 3, shape, generator=g).float()
            for shape in ((n, fan_in), (fan_in, units))
        )
        return Case((x, Y, W1, -(x[0] @ W1), W2, b2), what)

    return [
        case(3, 2, 4, 5),
        case(32, 30, 20, 27, dtype=torch.float64, what="float64"),
        case(9, 3, 6, 4, bias=-2.0, what="many units at 0"),
        case(8, 4, 7, 5, torch.float64, last=500.0, what="large logits, float64"),
        whole(6, 3, 5, 4, what="whole numbers, some z exactly 0"),
    ]


def _network_oracle(
    x: Tensor, Y: Tensor, W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor
) -> tuple[Tensor, ...]:
    parameters = [_leaf(t) for t in (W1, b1, W2, b2)]
    V1, c1, V2, c2 = parameters
    logits = torch.relu(x.double() @ V1 + c1) @ V2 + c2
    return torch.autograd.grad(functional.cross_entropy(logits, Y), parameters)


def _network_wrong(
    args: tuple[Tensor, ...],
    *,
    over: tuple[int, int] = (1, 1),
    slope: Callable[[Tensor, Tensor], Tensor] = lambda z, dh: dh * (z > 0),
    hot: float = 1,
    seen: Callable[[Tensor], Tensor] = torch.relu,
) -> tuple[Tensor, ...]:
    """The pass with mistakes.

    Powers of 1/n at the output and the hidden layer, slope(z, dh), the height of the one-hot, and
    what the second layer is taken to have seen.
    """
    Y = args[1]
    x, W1, b1, W2, b2 = (t.double() for t in (args[0], *args[2:]))
    z = x @ W1 + b1
    h, n = z.relu(), len(Y)
    G = (h @ W2 + b2).softmax(1) - hot * functional.one_hot(Y, len(b2))
    output, hidden = (G / n**power for power in over)
    dz = slope(z, hidden @ W2.T)
    return x.T @ dz, dz.sum(0), seen(z).T @ output, output.sum(0)


def _activated(z: Tensor, dh: Tensor) -> Tensor:
    return dh.relu()


BUGS = Exercise(
    id="3.4",
    title="Two mistakes that run",
    function="repaired_backward",
    points=3,
    cases=_network_cases,
    oracle=_network_oracle,
    rtol=5e-4,  # float32 cancels where the logits are of hundreds
    atol=1e-4,
    mistakes=(
        Mistake(
            "these are the gradients of the code as it was found: both mistakes are still in it",
            lambda *args: _network_wrong(args, over=(0, 1), slope=_activated),
        ),
        Mistake(
            "one mistake is repaired; dW2 and db2 are still those of a sum over the batch: they "
            "are computed before the division by n",
            lambda *args: _network_wrong(args, over=(0, 1)),
        ),
        Mistake(
            "one mistake is repaired; in the step through the ReLU it is not the sign of dh that "
            "decides what passes, but that of z",
            lambda *args: _network_wrong(args, slope=_activated),
        ),
        Mistake(
            "dz is dh unchanged: through the ReLU passes only what belongs to a positive z",
            lambda *args: _network_wrong(args, slope=lambda z, dh: dh),
        ),
        Mistake(
            "dh is multiplied by h where the slope of the ReLU is meant, 1 where z is positive",
            lambda *args: _network_wrong(args, slope=lambda z, dh: dh * z.relu()),
        ),
        Mistake(
            "the slope is that of tanh, 1 − h²; this network has ReLU",
            lambda *args: _network_wrong(args, slope=lambda z, dh: dh * (1 - z.relu() ** 2)),
        ),
        Mistake(
            "dW1 and db1 are divided by n twice: once in dlogits is enough for all that follows",
            lambda *args: _network_wrong(args, over=(1, 2)),
        ),
        Mistake(
            "nothing is divided by n any more: the loss is a mean over the batch",
            lambda *args: _network_wrong(args, over=(0, 0)),
        ),
        Mistake(
            "where z is exactly 0 the slope is 0: only a z above 0 passes something on",
            lambda *args: _network_wrong(args, slope=lambda z, dh: dh * (z >= 0)),
        ),
        Mistake(
            "the slope is turned round: it is 1 where z is above 0, and 0 below",
            lambda *args: _network_wrong(args, slope=lambda z, dh: dh * (z < 0)),
        ),
        Mistake(
            "nothing passes the ReLU at all: it stops what belongs to a z below 0 alone",
            lambda *args: _network_wrong(args, slope=lambda z, dh: 0 * dh),
        ),
        Mistake(
            "the sign of z multiplies dh: where z is below 0 the slope is 0, not −1",
            lambda *args: _network_wrong(args, slope=lambda z, dh: dh * z.sign()),
        ),
        Mistake(
            "what passes the ReLU lost its sign",
            lambda *args: _network_wrong(args, slope=lambda z, dh: dh.abs() * (z > 0)),
        ),
        Mistake(
            "both z and dh decide here: only z does",
            lambda *args: _network_wrong(args, slope=lambda z, dh: dh.relu() * (z > 0)),
        ),
        Mistake(
            "ReLU is applied to z where dh goes through it: dz is dh where z is above 0",
            lambda *args: _network_wrong(args, slope=lambda z, dh: z.relu()),
        ),
        Mistake(
            "dW1 and db1 are not divided by n",
            lambda *args: _network_wrong(args, over=(1, 0)),
        ),
        Mistake(
            "everything is divided by n twice",
            lambda *args: _network_wrong(args, over=(2, 2)),
        ),
        Mistake(
            "the gradients of the two layers are the wrong way round: dW1, db1, dW2, db2",
            lambda *args: _as_order(_network_oracle(*args), (2, 3, 0, 1)),
        ),
        Mistake(
            "the one-hot is missing: dlogits is softmax minus one-hot",
            lambda *args: _network_wrong(args, hot=0),
        ),
        Mistake(
            "the sign of dlogits is the wrong way round: softmax minus one-hot",
            lambda *args: tuple(-t for t in _network_oracle(*args)),
        ),
        Mistake(
            "dW2 has z where h is meant: the second layer saw the activations",
            lambda *args: _network_wrong(args, seen=lambda z: z),
        ),
        Mistake(
            "this is divided by the number of characters as well: the mean is over the examples",
            lambda *args: tuple(t / len(args[5]) for t in _network_oracle(*args)),
        ),
    ),
    hints=(
        "Compute the four gradients by autograd too, and see which agree. Which lines did the "
        "ones that differ go through?",
        "Go through the lines in order and ask of each: is the gradient that it uses complete?",
        "ReLU is max(0, z): its slope is 1 where z > 0 and 0 elsewhere. What does the line for dz "
        "compute?",
    ),
    teaches="Wrong gradients have the right shapes and run; only a check finds them.",
)

EXERCISES = (LOGITS, AFFINE, TABLE, BUGS)
