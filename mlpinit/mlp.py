"""The network: its forward pass, its loss, and its backward pass derived by hand.

Everything here takes one network or, with leading run axes, K networks at once (`init.stack`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from mlpinit import activations
from mlpinit.params import Architecture, Params

__all__ = [
    "Architecture",
    "Forward",
    "backward",
    "check_contexts",
    "example_losses",
    "forward",
    "loss",
    "predict",
    "sample",
]


@dataclass(frozen=True)
class Forward:
    """Every intermediate of a forward pass, by name. `...` are the leading run axes.

    - `X`: (..., batch, block_size) int64, the contexts that went in
    - `embeddings`: (..., batch, block_size * n_embd)
    - `pre_activations[l]`, `activations[l]`: (..., batch, hidden[l]), for hidden layer l
    - `logits`: (..., batch, vocab_size)
    """

    X: Tensor
    embeddings: Tensor
    pre_activations: tuple[Tensor, ...]
    activations: tuple[Tensor, ...]
    logits: Tensor


def forward(params: Params, X: Tensor, *, check: bool = True) -> Forward:
    """Run the network on contexts X: (batch, block_size) or (..., batch, block_size) int64.

    K networks take either one X for all of them or an X each, (K, batch, block_size).
    `check=False` skips `check_contexts`, for a caller that has done it, as training has.

    Raises `ValueError` when X does not fit the network, before any work is done.

    >>> from mlpinit import init
    >>> start = init.draw(Architecture(), init.UNSCALED, generator=torch.Generator())
    >>> record = forward(start, torch.tensor([[0, 0, 5], [0, 5, 13]]))
    >>> record.embeddings.shape, record.activations[0].shape, record.logits.shape
    (torch.Size([2, 30]), torch.Size([2, 200]), torch.Size([2, 27]))
    """
    if check:
        check_contexts(params, X)
    f = activations.get(params.arch.activation).f
    x = _embed(params.C, X)  # (..., batch, block_size * n_embd)
    embeddings, zs, hs = x, [], []
    for W, b in zip(params.W[:-1], params.b[:-1], strict=True):
        z = _affine(x, W, b)  # (..., batch, fan_out)
        x = f(z)
        zs.append(z)
        hs.append(x)
    logits = _affine(x, params.W[-1], params.b[-1])  # (..., batch, vocab_size)
    return Forward(X, embeddings, tuple(zs), tuple(hs), logits)


def loss(logits: Tensor, Y: Tensor) -> Tensor:
    """Mean cross-entropy of logits (..., batch, vocab_size) against Y (..., batch) int64, in nats.

    ℓ = mean over the batch of −log softmax(logits)[y]; one number a run, shape (...).
    """
    return example_losses(logits, Y).mean(-1)


def example_losses(logits: Tensor, Y: Tensor) -> Tensor:
    """−log softmax(logits)[y] of each example, shape (..., batch), in nats."""
    return -logits.log_softmax(-1).gather(-1, _target_index(logits, Y)).squeeze(-1)


def backward(params: Params, record: Forward, Y: Tensor) -> Params:
    """The gradient of the loss with respect to every parameter, derived by hand.

    `record` is what `forward` returned for the same parameters, Y: (..., batch) int64 the targets.
    The gradients come in a `Params`, each of the shape of what it is the gradient of. From the
    loss back to the input, with n the batch size:

        ∂ℓ/∂logits = (softmax(logits) − onehot(Y)) / n
        z = x W + b:  ∂ℓ/∂W = xᵀ ∂ℓ/∂z,  ∂ℓ/∂b = Σ over the batch of ∂ℓ/∂z,  ∂ℓ/∂x = ∂ℓ/∂z Wᵀ
        h = f(z):     ∂ℓ/∂z = ∂ℓ/∂h · f'(z)
        embeddings:   ∂ℓ/∂C[i] = Σ of ∂ℓ/∂embedding over the places where X is i
    """
    slope = activations.get(params.arch.activation).slope
    inputs = (record.embeddings, *record.activations)
    dW, db = [None] * len(inputs), [None] * len(inputs)
    dz = _logit_gradient(record.logits, Y)  # (..., batch, vocab_size)
    for layer in reversed(range(len(inputs))):
        x = inputs[layer]
        dW[layer] = x.mT @ dz  # (..., fan_in, fan_out)
        db[layer] = dz.sum(-2)  # (..., fan_out)
        dx = dz @ params.W[layer].mT  # (..., batch, fan_in)
        if layer > 0:
            dz = dx.mul_(slope(record.pre_activations[layer - 1], x))
    dC = _embedding_gradient(params.C, record.X, dx)
    return Params(params.arch, dC, tuple(dW), tuple(db))


def check_contexts(params: Params, X: Tensor) -> None:
    """Raise `ValueError` unless X is what `forward` takes for these parameters."""
    arch, lead = params.arch, tuple(params.lead)
    want = f"(batch, {arch.block_size}) int64"
    if lead:
        want += f" or ({', '.join(map(str, lead))}, batch, {arch.block_size}) int64"
    if X.dtype != torch.int64:
        raise ValueError(f"X is {X.dtype}; wanted {want}: character indices, X.long() converts")
    if X.ndim < 2 or X.shape[-1] != arch.block_size or X.shape[:-2] not in ((), lead):
        raise ValueError(f"X is {tuple(X.shape)}; wanted {want}")
    if X.numel() and (X.min() < 0 or X.max() >= arch.vocab_size):
        raise ValueError(
            f"X holds indices from {X.min()} to {X.max()}; wanted 0 to {arch.vocab_size - 1}: "
            "was the network made for another corpus?"
        )


def predict(params: Params, X: Tensor) -> Tensor:
    """Probabilities of the next character after X: (..., batch, vocab_size), rows sum to 1."""
    return forward(params, X).logits.softmax(-1)


def sample(
    params: Params, n: int, *, generator: Generator, max_length: int = 30
) -> list[list[int]]:
    """Draw n words from one network, character by character, each a list of indices without '.'.

    A word ends when '.' (index 0) is drawn, or at `max_length` characters.
    """
    if params.lead:
        raise ValueError(f"sample takes one network, not {tuple(params.lead)}; pick one: .run(k)")
    words: list[list[int]] = [[] for _ in range(n)]
    context = torch.zeros(n, params.arch.block_size, dtype=torch.int64)
    alive = torch.arange(n)  # the words that have not met '.' yet
    for _ in range(max_length):
        p = predict(params, context[alive])
        drawn = torch.multinomial(p, 1, generator=generator)  # (alive, 1)
        context[alive] = torch.cat([context[alive][:, 1:], drawn], dim=1)
        alive, drawn = alive[drawn[:, 0] != 0], drawn[drawn != 0]
        for word, index in zip(alive.tolist(), drawn.tolist(), strict=True):
            words[word].append(index)
        if not len(alive):
            break
    return words


def _affine(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """x (..., batch, fan_in) @ W (..., fan_in, fan_out) + b (..., fan_out), fused if it can be."""
    if x.ndim == W.ndim == 2:
        return torch.addmm(b, x, W)
    if x.ndim == W.ndim == 3:
        return torch.baddbmm(b.unsqueeze(-2), x, W)
    return x @ W + b.unsqueeze(-2)


def _rows(C: Tensor, X: Tensor) -> Tensor:
    """Where each entry of X is in the table flattened to (runs * vocab_size, n_embd)."""
    if C.ndim == 2:
        return X
    *lead, vocab_size, _ = C.shape
    return X + vocab_size * torch.arange(math.prod(lead)).view(*lead, 1, 1)


def _embed(C: Tensor, X: Tensor) -> Tensor:
    """The embeddings of each context side by side: (..., batch, block_size * n_embd)."""
    return torch.embedding(C.reshape(-1, C.size(-1)), _rows(C, X)).flatten(-2)


def _embedding_gradient(C: Tensor, X: Tensor, dx: Tensor) -> Tensor:
    """Add every row of dx into the row of C that it was looked up from."""
    n_embd, dC = C.size(-1), torch.zeros_like(C)
    rows = _rows(C, X).reshape(-1)
    dC.view(-1, n_embd).index_put_((rows,), dx.view(-1, n_embd), accumulate=True)
    return dC


def _logit_gradient(logits: Tensor, Y: Tensor) -> Tensor:
    """(softmax − onehot) / n, of the shape of the logits."""
    dlogits = logits.softmax(-1)
    dlogits.scatter_(-1, _target_index(logits, Y), -1.0, reduce="add")
    return dlogits.div_(logits.size(-2))


def _target_index(logits: Tensor, Y: Tensor) -> Tensor:
    """Y (..., batch) as an index (..., batch, 1) into the logits; one Y serves all runs."""
    index = Y.unsqueeze(-1)
    if index.numel() * logits.size(-1) != logits.numel():
        rows = logits.shape[:-1]
        if Y.shape != rows[-1:]:
            shapes = f"Y is {tuple(Y.shape)} for logits {tuple(logits.shape)}"
            raise ValueError(f"{shapes}; wanted {tuple(rows)}")
        index = index.expand(*rows, 1)
    return index
