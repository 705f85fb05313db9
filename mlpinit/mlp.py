"""The network: its forward pass, its loss, and its backward pass derived by hand.

Everything here takes one network or, with leading run axes, K networks at once (`init.stack`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from mlpinit import activations, normalize
from mlpinit.normalize import Normalized, Statistics
from mlpinit.params import Architecture, Params

__all__ = [
    "Architecture",
    "Forward",
    "Pass",
    "as_module",
    "backward",
    "check_contexts",
    "check_evaluation",
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
    - `pre_activations[l]`, `activations[l]`: (..., batch, hidden[l]), for hidden layer l; a
      pre-activation is what the activation function is applied to, after any normalisation
    - `logits`: (..., batch, vocab_size)
    - `normalized[l]`: what normalising hidden layer l left behind; empty without normalisation
    """

    X: Tensor
    embeddings: Tensor
    pre_activations: tuple[Tensor, ...]
    activations: tuple[Tensor, ...]
    logits: Tensor
    normalized: tuple[Normalized, ...] = ()


def forward(
    params: Params, X: Tensor, *, statistics: Statistics | None = None, check: bool = True
) -> Forward:
    """Run the network on contexts X: (batch, block_size) or (..., batch, block_size) int64.

    K networks take either one X for all of them or an X each, (K, batch, block_size).
    With batch norm each layer is normalised by the batch's own mean and variance, or by
    `statistics` where they are given: training and evaluation.
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
    ready = Pass(params, statistics)
    inputs, zs, logits = ready.forward(ready.rows(X).reshape(-1))
    normalized = tuple(ready.normalized)
    return Forward(X, inputs[0], tuple(zs), tuple(inputs[1:]), logits, normalized)


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
        z = γ ẑ + b:  ∂ℓ/∂γ = Σ over the batch of ∂ℓ/∂z · ẑ, and on by `normalize.backward`
        embeddings:   ∂ℓ/∂C[i] = Σ of ∂ℓ/∂embedding over the places where X is i
    """
    ready = Pass(params)
    ready.normalized = list(record.normalized)
    rows, inputs = ready.rows(record.X).reshape(-1), [record.embeddings, *record.activations]
    return ready.backward(rows, inputs, record.pre_activations, record.logits, Y)


class Pass:
    """A network made ready to run many times: what depends on its form alone is done once.

    `forward`, `backward` and training all run these lines. Nothing is copied: a `Pass` follows
    what is done to the parameters in place, and `backward` writes into the same `gradients` (views
    of `gradient_vector`) each time. Where layers are normalised, `forward` leaves in `normalized`
    what `backward` needs.
    """

    def __init__(self, params: Params, statistics: Statistics | None = None) -> None:
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
        self.normalizer = params.arch.normalize and normalize.get(params.arch.normalize)
        self.normalized: list[Normalized] = []
        self.gain = [gain.unsqueeze(-2) for gain in params.gain]
        self.statistics = _layers_of(params, statistics)
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
        if self.normalizer:
            self.normalized = []
        for b, W in self.hidden:
            # z: (..., batch, fan_out)
            z = self.normalised(b, x, W) if self.normalizer else self.affine(b, x, W)
            x = self.f(z)
            zs.append(z)
            inputs.append(x)
        b, W = self.output
        return inputs, zs, self.affine(b, x, W)

    def normalised(self, b: Tensor, x: Tensor, W: Tensor) -> Tensor:
        """The next layer's gain · normalised(x W) + b, of the shape (..., batch, fan_out)."""
        layer = len(self.normalized)
        found = normalize.forward(x @ W, self.normalizer, self.statistics[layer])
        self.normalized.append(found)
        return torch.addcmul(b, found.z_hat, self.gain[layer])

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
            torch.sum(dz, -2, out=d.b[layer])  # (..., fan_out)
            if self.normalizer and layer < len(self.hidden):
                dz = self.through_normalisation(layer, dz)
            torch.matmul(x.mT, dz, out=d.W[layer])  # (..., fan_in, fan_out)
            dx = dz @ self.W_transposed[layer]  # (..., batch, fan_in)
            if layer > 0:
                dz = dx.mul_(self.slope(zs[layer - 1], x))
        # Every row of dx is added to the row of C that it was looked up from.
        dx = dx.view(-1, self.table.size(-1))
        self.table_gradient.zero_().index_put_((rows,), dx, accumulate=True)
        return d

    def through_normalisation(self, layer: int, dz: Tensor) -> Tensor:
        """From the gradient of gain · ẑ + b to that of x W; writes that of the gain."""
        found = self.normalized[layer]
        torch.sum(dz * found.z_hat, -2, out=self.gradients.gain[layer])
        return normalize.backward(dz * self.gain[layer], found, self.normalizer)

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


def check_evaluation(arch: Architecture, statistics: Statistics | None) -> None:
    """Raise `ValueError` for a network with batch norm that is to be evaluated without statistics.

    By its batch's own the answer to one example would depend on the others.
    """
    if arch.normalize == "batch" and statistics is None:
        raise ValueError(
            "a network with batch norm is evaluated with fixed statistics; pass "
            "statistics=train.calibrate(params, contexts), or a Run's own"
        )


def predict(params: Params, X: Tensor, *, statistics: Statistics | None = None) -> Tensor:
    """Probabilities of the next character after X: (..., batch, vocab_size), rows sum to 1."""
    check_evaluation(params.arch, statistics)
    return forward(params, X, statistics=statistics).logits.softmax(-1)


def sample(
    params: Params,
    n: int,
    *,
    generator: Generator,
    max_length: int = 30,
    statistics: Statistics | None = None,
) -> list[list[int]]:
    """Draw n words from one network, character by character, each a list of indices without '.'.

    A word ends when '.' (index 0) is drawn, or at `max_length` characters. A network with batch
    norm needs `statistics`.
    """
    if params.lead:
        raise ValueError(f"sample takes one network, not {tuple(params.lead)}; pick one: .run(k)")
    words: list[list[int]] = [[] for _ in range(n)]
    context = torch.zeros(n, params.arch.block_size, dtype=torch.int64)
    alive = torch.arange(n)  # the words that have not met '.' yet
    for _ in range(max_length):
        p = predict(params, context[alive], statistics=statistics)
        drawn = torch.multinomial(p, 1, generator=generator)  # (alive, 1)
        context[alive] = torch.cat([context[alive][:, 1:], drawn], dim=1)
        alive, drawn = alive[drawn[:, 0] != 0], drawn[drawn != 0]
        for word, index in zip(alive.tolist(), drawn.tolist(), strict=True):
            words[word].append(index)
        if not len(alive):
            break
    return words


MODULES = {
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(activations.LEAK),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}
"""Each activation as the layer that PyTorch has for it."""


def as_module(params: Params, statistics: Statistics | None = None) -> nn.Sequential:
    """The network as PyTorch's own layers, with a copy of the numbers: contexts in, logits out.

    An `nn.Embedding` and an `nn.Flatten`, then an `nn.Linear` and an activation a hidden layer,
    with an `nn.BatchNorm1d`, `nn.LayerNorm` or `nn.RMSNorm` between the two where the network has
    one, and the `nn.Linear` of the output. `nn.Linear` holds the transpose of W. Batch norm's
    running statistics are `statistics` where given, else PyTorch's 0 and 1, which are to be trained
    before `eval()` means anything.

    Raises `ValueError` for a stack of networks, and for RMS norm with a bias other than 0, which
    PyTorch's layer does not have.

    >>> from mlpinit import init
    >>> start = init.draw(Architecture(), init.UNSCALED, generator=torch.Generator())
    >>> as_module(start)
    Sequential(
      (0): Embedding(27, 10)
      (1): Flatten(start_dim=1, end_dim=-1)
      (2): Linear(in_features=30, out_features=200, bias=True)
      (3): Tanh()
      (4): Linear(in_features=200, out_features=27, bias=True)
    )
    """
    if params.lead:
        raise ValueError(f"one network makes a module, not {tuple(params.lead)}; pick one: .run(k)")
    fixed = _layers_of(params, statistics)
    layers = [nn.Embedding.from_pretrained(params.C.clone(), freeze=False), nn.Flatten()]
    last = len(params.W) - 1
    for layer, (W, b) in enumerate(zip(params.W, params.b, strict=True)):
        normalised = layer < last and params.arch.normalize is not None
        layers.append(_linear(W, None if normalised else b))
        if normalised:
            layers.append(_norm(params, layer, fixed[layer]))
        if layer < last:
            layers.append(MODULES[params.arch.activation]())
    return nn.Sequential(*layers)


def _linear(W: Tensor, b: Tensor | None) -> nn.Linear:
    linear = nn.utils.skip_init(nn.Linear, *W.shape, bias=b is not None, dtype=W.dtype)
    with torch.no_grad():
        linear.weight.copy_(W.T)
        if b is not None:
            linear.bias.copy_(b)
    return linear


def _norm(params: Params, layer: int, statistics: tuple[Tensor, Tensor] | None) -> nn.Module:
    gain, b, kind = params.gain[layer], params.b[layer], params.arch.normalize
    if kind == "rms" and b.any():
        raise ValueError("nn.RMSNorm has no bias, and this layer's is not 0")
    make = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "rms": nn.RMSNorm}[kind]
    norm = make(len(gain), eps=normalize.EPS, dtype=gain.dtype)
    with torch.no_grad():
        norm.weight.copy_(gain)
        if kind != "rms":
            norm.bias.copy_(b)
        if statistics is not None:
            norm.running_mean.copy_(statistics[0])
            norm.running_var.copy_(statistics[1])
    return norm


def _layers_of(
    params: Params, statistics: Statistics | None
) -> Sequence[tuple[Tensor, Tensor] | None]:
    """(mean, variance) of each hidden layer, or None for each; `ValueError` if they do not fit."""
    wanted = [tuple(b.shape) for b in params.b[:-1]]
    if statistics is None:
        return [None] * len(wanted)
    came = [tuple(mean.shape) for mean in statistics.mean]
    if params.arch.normalize != "batch" or came != wanted:
        raise ValueError(
            f"statistics of shapes {came} came for a network with normalize="
            f"{params.arch.normalize!r} and hidden layers {wanted}; they are for batch norm, a "
            "mean and a variance for every unit of every hidden layer"
        )
    return list(zip(statistics.mean, statistics.var, strict=True))


def _affine(b: Tensor, x: Tensor, W: Tensor) -> Tensor:
    """What `torch.addmm` and `torch.baddbmm` do, for any number of leading axes."""
    return x @ W + b


def _target_index(logits: Tensor, Y: Tensor) -> Tensor:
    """Y (..., batch) as an index (..., batch, 1) into the logits; one Y serves all runs."""
    rows = logits.shape[:-1]
    if Y.shape == rows:
        return Y.unsqueeze(-1)
    if Y.shape != rows[-1:]:
        shapes = f"Y is {tuple(Y.shape)} for logits {tuple(logits.shape)}"
        raise ValueError(f"{shapes}; wanted {tuple(rows)}")
    return Y.expand(rows).unsqueeze(-1)
