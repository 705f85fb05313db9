"""What the labs of Part V show, computed by torch: to answer in chapters and to judge them by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

__all__ = ["SEED", "Routed", "Rows", "router", "rows", "stream"]

SEED = 2147483647
WIDTH, INPUTS = 64, 16  # of the stream: numbers, and rows of them
ROWS, SATURATED = 500, 0.99
EXPERTS, EXAMPLES, BATCH = 16, 1024, 128


def stream(depth: int, scale: float, *, seed: int = SEED) -> list[float]:
    """Root mean squares of a stream over that of its input: before, and after each branch.

    >>> [round(size, 1) for size in stream(2, 0.0)]
    [1.0, 1.0, 1.0]
    """
    g = Generator().manual_seed(seed)
    drawn = [torch.randn(2, WIDTH, WIDTH, generator=g).double() for _ in range(depth)]
    h = torch.randn(INPUTS, WIDTH, generator=g).double()
    sizes = [h.square().mean().sqrt()]
    for U, V in drawn:
        h = h + scale * torch.relu(h @ U * math.sqrt(2 / WIDTH)) @ V / math.sqrt(WIDTH)
        sizes.append(h.square().mean().sqrt())
    return (torch.stack(sizes) / sizes[0]).tolist()


@dataclass(frozen=True)
class Rows:
    """Of 500 rows of attention whose logits are drawn: mean `entropy` in nats, the share of rows
    `saturated`, `mean` and `median` of the norm of the softmax's Jacobian, the `first` row (keys,).
    """

    entropy: float
    saturated: float
    mean: float
    median: float
    first: Tensor


def rows(keys: int, sd: float, *, seed: int = SEED) -> Rows:
    """Rows over so many keys, with logits of standard deviation `sd`.

    >>> round(math.exp(rows(8, 0.0).entropy), 6)
    8.0
    """
    logits = sd * torch.randn(ROWS, keys, generator=Generator().manual_seed(seed)).double()
    p = logits.softmax(-1)
    norms = (torch.diag_embed(p) - p[:, :, None] * p[:, None]).flatten(1).norm(dim=1)
    return Rows(
        entropy=torch.special.entr(p).sum(-1).mean().item(),
        saturated=(p.amax(-1) > SATURATED).double().mean().item(),
        mean=norms.mean().item(),
        median=norms.quantile(0.5).item(),
        first=p[0],
    )


@dataclass(frozen=True)
class Routed:
    """Of a trained router: the `shares` of the inputs that each expert gets (16,), how many are
    `dead`, their `effective` number, the `loss` of the task.
    """

    shares: Tensor
    dead: int
    effective: float
    loss: float


def router(weight: float, *, seed: int = 0, steps: int = 300) -> Routed:
    """Sixteen linear experts after gradient descent at a rate of 1, balanced by `weight`.

    >>> router(1.0).dead
    0
    """
    g = Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g).double()

    A, R, W = drawn(8, 4), drawn(8, EXPERTS) / math.sqrt(8), drawn(EXPERTS, 8, 4) / math.sqrt(8)
    X = drawn(EXAMPLES, 8)
    Y = torch.tanh(X @ A)
    params = [R.requires_grad_(), W.requires_grad_()]
    for rows in torch.randint(EXAMPLES, (steps, BATCH), generator=g):
        out, scores, load = _route(X[rows], R, W)
        loss = _task(out, Y[rows]) + weight * EXPERTS * (load * scores.mean(0)).sum()
        for p, d in zip(params, torch.autograd.grad(loss, params), strict=True):
            p.data.sub_(d)
    with torch.no_grad():
        out, _, shares = _route(X, R, W)
    return Routed(
        shares=shares,
        dead=int((shares == 0).sum()),
        effective=torch.special.entr(shares).sum().exp().item(),
        loss=_task(out, Y).item(),
    )


def _route(x: Tensor, R: Tensor, W: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Answers (n, 4), scores (n, 16), and each expert's share of the inputs (16,)."""
    scores = (x @ R).softmax(-1)
    best, choice = scores.max(-1)
    out = best[:, None] * torch.einsum("ni,nio->no", x, W[choice])
    return out, scores, functional.one_hot(choice, EXPERTS).double().mean(0)


def _task(out: Tensor, Y: Tensor) -> Tensor:
    return (out - Y).square().sum(1).mean() / 2
