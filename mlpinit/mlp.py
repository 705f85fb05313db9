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
from mlpinit.affine import Affine, lies_turned
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
    >>> start = init.draw(Architecture(), init.QUIET_OUTPUT, generator=torch.Generator())
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
    ready = Pass(params, batch_size=record.logits.size(-2))
    ready.normalized = list(record.normalized)
    X, Y = _for_every_run(params, record.X, Y)
    inputs = [record.embeddings, *record.activations]
    return ready.backward(
        ready.places(X), ready.targets(Y), inputs, record.pre_activations, record.logits
    )


class Pass:
    """A network made ready to run many times: what depends on its form alone is done once.

    `forward`, `backward` and training all run these lines. Nothing is copied: a `Pass` follows
    what is done to the parameters in place. Where layers are normalised, `forward` leaves in
    `normalized` what `backward` needs.

    - `batch_size`: what `backward` needs. Every batch's intermediates are then written over those
      of the one before, and its gradients into `gradients` (views of `gradient_vector`)
    - `fast`: activations may err in their last digits, and be written over the pre-activations
      (`Activation.fast`); the output layer may be turned (`Affine`), and the logits with it
    """

    def __init__(
        self,
        params: Params,
        statistics: Statistics | None = None,
        *,
        batch_size: int | None = None,
        fast: bool = False,
    ) -> None:
        """Look up, view and allocate all that the passes need."""
        self.f, self.through = activations.get(params.arch.activation).passes(fast=fast)
        *self.lead, self.vocab_size, n_embd = params.C.shape
        self.width = params.arch.block_size * n_embd
        self.table = params.C.reshape(-1, n_embd)  # (runs * vocab_size, n_embd)
        runs = torch.arange(math.prod(self.lead)).view(*self.lead, 1, 1)
        self.first_row = runs * self.vocab_size if self.lead else None
        self.normalizer = params.arch.normalize and normalize.get(params.arch.normalize)
        self.normalized: list[Normalized] = []
        self.gain = [gain.unsqueeze(-2) for gain in params.gain]
        self.statistics = _layers_of(params, statistics)
        of_layers = (params.W, params.b)
        self.x = None
        if batch_size is not None:
            self.gradients, self.gradient_vector = params.pack()
            of_layers += (self.gradients.W, self.gradients.b, [batch_size] * len(params.W))
        *hidden, output = zip(*of_layers, strict=True)
        self.hidden = [Affine(*tensors) for tensors in hidden]
        self.output = Affine(*output, turned=fast and lies_turned(params.W[-1]))
        self.layers = [*self.hidden, self.output]
        if batch_size is not None:
            self.allocate(batch_size)

    def allocate(self, batch_size: int) -> None:
        """Memory for what `forward` and `backward` write, beside that of the layers."""
        n_embd = self.table.size(-1)
        self.x = self.table.new_empty(*self.lead, batch_size, self.width)
        self.x_rows = self.x.view(-1, n_embd)
        self.dx_rows = self.layers[0].dx.view(*self.lead, -1, n_embd)
        self.p = torch.empty_like(self.output.z)
        self.scale = 1 / max(batch_size, 1)

    def rows(self, X: Tensor) -> Tensor:
        """The row of the table that each entry of X selects, of the shape of X with every run."""
        return X if self.first_row is None else X + self.first_row

    def places(self, X: Tensor) -> Tensor:
        """Where in X each character stands: X (..., batch, block_size) as ones and zeros.

        Of the shape (..., vocab_size, batch * block_size).
        """
        return self.one_hot(X.flatten(-2), 1.0)

    def targets(self, Y: Tensor) -> Tensor:
        """−onehot(Y)/n, (..., vocab_size, batch): what the targets Y add to ∂ℓ/∂logits."""
        return self.one_hot(Y, -self.scale)

    def one_hot(self, index: Tensor, value: float) -> Tensor:
        """`value` in the row that each entry of index (..., n) names, and 0 in the others."""
        zeros = self.table.new_zeros(*index.shape[:-1], self.vocab_size, index.size(-1))
        return zeros.scatter_(-2, index.unsqueeze(-2), value)

    def look_up(self, rows: Tensor) -> Tensor:
        """The embeddings side by side, (..., batch, block_size * n_embd), from flat `rows`."""
        if self.x is None:
            return self.table.index_select(0, rows).view(*self.lead, -1, self.width)
        torch.index_select(self.table, 0, rows, out=self.x_rows)
        return self.x

    def forward(
        self, rows: Tensor, out: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """The input of every layer, every pre-activation, and the logits, from flat `rows`.

        The logits are turned where the output layer is; `out` is memory for them.
        """
        x = self.look_up(rows)
        inputs, zs = [x], []
        if self.normalizer:
            self.normalized = []
        for layer in self.hidden:
            # z: (..., batch, fan_out)
            z = self.normalised(layer, x) if self.normalizer else layer.forward(x)
            x = self.f(z)
            zs.append(z)
            inputs.append(x)
        return inputs, zs, self.output.forward(x, out)

    def normalised(self, layer: Affine, x: Tensor) -> Tensor:
        """The layer's gain · normalised(x W) + b, of the shape (..., batch, fan_out)."""
        i = len(self.normalized)
        found = normalize.forward(layer.multiply(x, layer.W), self.normalizer, self.statistics[i])
        self.normalized.append(found)
        return torch.addcmul(layer.b, found.z_hat, self.gain[i])

    def backward(
        self,
        places: Tensor,
        targets: Tensor,
        inputs: Sequence[Tensor],
        zs: Sequence[Tensor],
        logits: Tensor,
    ) -> Params:
        """The gradients, from a batch's `places` and `targets` and what `forward` gave."""
        dz = self.logit_gradient(logits, targets)
        for i in reversed(range(len(self.layers))):
            layer, x = self.layers[i], inputs[i]
            layer.sum_to_bias(dz)
            if self.normalizer and layer is not self.output:
                dz = self.through_normalisation(i, dz)
            dx = layer.backward(x, dz)  # (..., batch, fan_in)
            if i > 0:
                dz = self.through(dx, zs[i - 1], x)  # dx · f'(z)
        # Every row of dx is added to the row of C that it was looked up from.
        self.output.multiply(places, self.dx_rows, out=self.gradients.C)
        return self.gradients

    def through_normalisation(self, i: int, dz: Tensor) -> Tensor:
        """From the gradient of gain · ẑ + b to that of x W; writes that of the gain."""
        found = self.normalized[i]
        torch.sum(dz * found.z_hat, -2, out=self.gradients.gain[i])
        return normalize.backward(dz * self.gain[i], found, self.normalizer)

    def logit_gradient(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(softmax − onehot) / n, of the shape of the logits."""
        p = torch.softmax(logits, -2 if self.output.turned else -1, out=self.p)
        targets = targets if self.output.turned else targets.mT
        return torch.add(targets, p, alpha=self.scale, out=p)


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
    >>> start = init.draw(Architecture(), init.QUIET_OUTPUT, generator=torch.Generator())
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


def _for_every_run(params: Params, X: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
    """X (..., batch, block_size) and Y (..., batch); what serves all runs is repeated for each."""
    return X.expand(*params.lead, *X.shape[-2:]), Y.expand(*params.lead, X.size(-2))


def _target_index(logits: Tensor, Y: Tensor) -> Tensor:
    """Y (..., batch) as an index (..., batch, 1) into the logits; one Y serves all runs."""
    rows = logits.shape[:-1]
    if Y.shape == rows:
        return Y.unsqueeze(-1)
    if Y.shape != rows[-1:]:
        shapes = f"Y is {tuple(Y.shape)} for logits {tuple(logits.shape)}"
        raise ValueError(f"{shapes}; wanted {tuple(rows)}")
    return Y.expand(rows).unsqueeze(-1)
