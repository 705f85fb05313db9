"""The network: its forward pass, its loss, and its backward pass derived by hand.

Everything here takes one network or, with leading run axes, K networks at once (`init.stack`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from mlpinit import activations
from mlpinit.params import Architecture, Params

__all__ = [
    "Architecture",
    "Forward",
    "Pass",
    "backward",
    "check_contexts",
    "example_losses",
    "forward",
    "loss",
    "predict",
    "sample",
]


class Forward(NamedTuple):
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
    ready = Pass(params)
    inputs, zs, logits = ready.forward(ready.rows(X).reshape(-1))
    return Forward(X, inputs[0], tuple(zs), tuple(inputs[1:]), logits)


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
    ready = Pass(params)
    rows, inputs = ready.rows(record.X).reshape(-1), [record.embeddings, *record.activations]
    return ready.backward(rows, inputs, record.pre_activations, record.logits, Y)


class Pass:
    """A network made ready to run many times: what depends on its form alone is done once.

    `forward`, `backward` and training all run these lines. Nothing is copied: a `Pass` follows
    what is done to the parameters in place, and `backward` writes into the same `gradients` (views
    of `gradient_vector`) each time.
    """

    def __init__(self, params: Params) -> None:
        """Look up, view and allocate all that the passes need."""
        activation = activations.get(params.arch.activation)
        self.f, self.slope = activation.f, activation.slope
        *self.lead, vocab_size, n_embd = params.C.shape
        self.width = params.arch.block_size * n_embd
        self.table = params.C.reshape(-1, n_embd)  # (runs * vocab_size, n_embd)
        runs = torch.arange(math.prod(self.lead)).view(*self.lead, 1, 1)
        self.first_row = runs * vocab_size if self.lead else None
        self.affine = {0: torch.addmm, 1: torch.baddbmm}.get(len(self.lead), _affine)
        b = [b.unsqueeze(-2) for b in params.b] if self.lead else params.b
        *self.hidden, self.output = zip(b, params.W, strict=True)
        self.W_transposed = [W.mT for W in params.W]
        self.minus_one = params.C.new_full((1,), -1.0)
        self.gradients, self.gradient_vector = params.pack()
        self.table_gradient = self.gradients.C.view(-1, n_embd)

    def rows(self, X: Tensor) -> Tensor:
        """The row of the table that each entry of X selects, of the shape of X with every run."""
        return X if self.first_row is None else X + self.first_row

    def forward(self, rows: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """The input of every layer, every pre-activation, and the logits, from flat `rows`."""
        x = self.table.index_select(0, rows).view(*self.lead, -1, self.width)
        inputs, zs = [x], []
        for b, W in self.hidden:
            z = self.affine(b, x, W)  # (..., batch, fan_out)
            x = self.f(z)
            zs.append(z)
            inputs.append(x)
        b, W = self.output
        return inputs, zs, self.affine(b, x, W)

    def backward(
        self,
        rows: Tensor,
        inputs: Sequence[Tensor],
        zs: Sequence[Tensor],
        logits: Tensor,
        Y: Tensor,
    ) -> Params:
        """The gradients, from what `forward` took and gave."""
        d = self.gradients
        dz = self.logit_gradient(logits, Y)  # (..., batch, vocab_size)
        for layer in reversed(range(len(inputs))):
            x = inputs[layer]
            torch.matmul(x.mT, dz, out=d.W[layer])  # (..., fan_in, fan_out)
            torch.sum(dz, -2, out=d.b[layer])  # (..., fan_out)
            dx = dz @ self.W_transposed[layer]  # (..., batch, fan_in)
            if layer > 0:
                dz = dx.mul_(self.slope(zs[layer - 1], x))
        # Every row of dx is added to the row of C that it was looked up from.
        dx = dx.view(-1, self.table.size(-1))
        self.table_gradient.zero_().index_put_((rows,), dx, accumulate=True)
        return d

    def logit_gradient(self, logits: Tensor, Y: Tensor) -> Tensor:
        """(softmax − onehot) / n, of the shape of the logits."""
        dlogits = logits.softmax(-1)
        index = _target_index(logits, Y)
        dlogits.scatter_add_(-1, index, self.minus_one.expand_as(index))
        return dlogits.div_(logits.size(-2))


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


def _affine(b: Tensor, x: Tensor, W: Tensor) -> Tensor:
    """What `torch.addmm` and `torch.baddbmm` do, for any number of leading axes."""
    return x @ W + b


def _target_index(logits: Tensor, Y: Tensor) -> Tensor:
    """Y (..., batch) as an index (..., batch, 1) into the logits; one Y serves all runs."""
    if Y.numel() * logits.size(-1) == logits.numel():
        return Y.unsqueeze(-1)
    rows = logits.shape[:-1]
    if Y.shape != rows[-1:]:
        shapes = f"Y is {tuple(Y.shape)} for logits {tuple(logits.shape)}"
        raise ValueError(f"{shapes}; wanted {tuple(rows)}")
    return Y.expand(rows).unsqueeze(-1)
