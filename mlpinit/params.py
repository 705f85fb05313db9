"""What a network is: its sizes (`Architecture`) and its numbers (`Params`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, pairwise

import torch
from torch import Tensor

from mlpinit import activations, normalize
from mlpinit.affine import lies_turned

__all__ = ["Architecture", "Params", "stack"]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The sizes of the network of this book: embeddings, hidden layers, output layer.

    `hidden` lists the widths of the hidden layers from input to output; `()` is a network
    without any, whose logits are linear in the embeddings. Sizes are counts, all at least 1.
    `normalize` is what stands before each hidden layer's activation: None, 'batch', 'layer' or
    'rms' (see `mlpinit.normalize`).

    Raises `ValueError` for a size below 1, an unknown activation or an unknown normalisation.

    Source: the network of Bengio et al., "A Neural Probabilistic Language Model" (2003).

    >>> Architecture(hidden=(200,)).layer_sizes
    ((30, 200), (200, 27))
    >>> Architecture().n_params
    11897
    """

    vocab_size: int = 27
    block_size: int = 3
    n_embd: int = 10
    hidden: tuple[int, ...] = (200,)
    activation: str = "tanh"
    normalize: str | None = None

    def __post_init__(self) -> None:
        """Refuse sizes that are none, before anything is made with them."""
        object.__setattr__(self, "hidden", tuple(self.hidden))
        for name in ("vocab_size", "block_size", "n_embd"):
            _check_size(name, getattr(self, name))
        for layer, width in enumerate(self.hidden):
            _check_size(f"hidden[{layer}]", width)
        activations.get(self.activation)
        if self.normalize is not None:
            normalize.get(self.normalize)

    @property
    def layer_sizes(self) -> tuple[tuple[int, int], ...]:
        """(fan_in, fan_out) of every layer, input to output; the last is the output layer."""
        widths = (self.block_size * self.n_embd, *self.hidden, self.vocab_size)
        return tuple(pairwise(widths))

    @property
    def n_params(self) -> int:
        """How many numbers the network learns."""
        layers = sum(fan_in * fan_out + fan_out for fan_in, fan_out in self.layer_sizes)
        gains = 0 if self.normalize is None else sum(self.hidden)
        return self.vocab_size * self.n_embd + layers + gains


def _check_size(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} is {value!r}; sizes are whole numbers, 1 or more")


@dataclass(frozen=True)
class Params:
    """The numbers of one network, or of K networks side by side; gradients have the same form.

    Shapes, with any leading run axes `...` (`(K,)` for K networks, none for one):

    - `C`: (..., vocab_size, n_embd), the embedding table
    - `W[l]`: (..., fan_in, fan_out), the weights of layer l; the last is the output layer's
    - `b[l]`: (..., fan_out), its biases
    - `gain[l]`: (..., fan_out), the gains of hidden layer l, where the layers are normalised; else
      the tuple is empty

    A layer computes `x @ W + b`. PyTorch's `nn.Linear` stores the transpose, (fan_out, fan_in).
    A normalised layer computes `gain * normalised(x @ W) + b`: its bias stands after the
    normalisation, which would subtract one that stood before.
    """

    arch: Architecture
    C: Tensor
    W: tuple[Tensor, ...]
    b: tuple[Tensor, ...]
    gain: tuple[Tensor, ...] = ()

    @property
    def lead(self) -> torch.Size:
        """The leading run axes: `()` for one network, `(K,)` for K."""
        return self.C.shape[:-2]

    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor: C, W[0], b[0], W[1], b[1], ..., then the gains, if there are any."""
        return (self.C, *chain.from_iterable(zip(self.W, self.b, strict=True)), *self.gain)

    def with_tensors(self, tensors: Iterable[Tensor]) -> Params:
        """The same architecture with other numbers, given in the order of `tensors()`."""
        C, *rest = tensors
        layers, gain = rest[: 2 * len(self.W)], rest[2 * len(self.W) :]
        return Params(self.arch, C, tuple(layers[::2]), tuple(layers[1::2]), tuple(gain))

    def names(self) -> tuple[str, ...]:
        """The names of `tensors()`, in their order: C, W[0], b[0], W[1], ..., gain[0], ..."""
        layers = (f"{kind}[{layer}]" for layer in range(len(self.W)) for kind in "Wb")
        return ("C", *layers, *(f"gain[{layer}]" for layer in range(len(self.gain))))

    def map(self, f: Callable[[Tensor], Tensor]) -> Params:
        """The same network with `f` applied to every tensor."""
        return self.with_tensors(map(f, self.tensors()))

    def turned(self) -> Params:
        """A copy with the output layer's W lying in memory as its transpose, if that is wider.

        The numbers are the same, and training is faster (`mlpinit.affine`).
        """
        *hidden, output = self.clone().W
        if output.size(-1) < output.size(-2):
            output = output.mT.clone(memory_format=torch.contiguous_format).mT
        return replace(self, W=(*hidden, output))

    def pack(self) -> tuple[Params, Tensor]:
        """A copy whose tensors are views of one vector, and that vector, in `tensors()` order.

        One operation on the vector is one on all of them. What lies turned in memory stays so.
        """
        tensors = self.tensors()
        lying = [t.mT if lies_turned(t) else t for t in tensors]
        vector = torch.cat([t.reshape(-1) for t in lying])
        parts = vector.split([t.numel() for t in lying])
        views = [part.view(t.shape) for part, t in zip(parts, lying, strict=True)]
        pairs = zip(views, tensors, strict=True)
        return self.with_tensors(v.mT if lies_turned(t) else v for v, t in pairs), vector

    def clone(self) -> Params:
        """A copy that shares no memory with this one, every tensor in rows."""
        return self.map(partial(torch.clone, memory_format=torch.contiguous_format))

    def run(self, k: int) -> Params:
        """Network `k` of K, as a network without that leading axis (a view)."""
        if not self.lead:
            raise ValueError("these parameters are one network; only a stack has runs to pick")
        return self.map(lambda t: t[k])


def stack(networks: Sequence[Params]) -> Params:
    """K networks of one architecture side by side: every tensor gains a first axis of length K.

    Raises `ValueError` when there is none, or when their architectures differ.

    >>> from mlpinit import init
    >>> start = init.draw(Architecture(), init.QUIET_OUTPUT, generator=torch.Generator())
    >>> stack([start, start, start]).W[0].shape
    torch.Size([3, 30, 200])
    """
    if not networks:
        raise ValueError("there is no network to stack; pass at least one")
    archs = {p.arch for p in networks}
    if len(archs) > 1:
        raise ValueError(f"only one architecture can be stacked, not {len(archs)}: {archs}")
    together = zip(*(p.tensors() for p in networks), strict=True)
    return networks[0].with_tensors(map(torch.stack, together))
