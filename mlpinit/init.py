"""Schemes: how large the first weights are drawn, and the draw itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from mlpinit import _renamed, activations
from mlpinit.params import Architecture, Params, stack
from mlpinit.residual import scale_branches as residual

__all__ = [
    "AS_DRAWN",
    "QUIET_OUTPUT",
    "Params",
    "Scheme",
    "draw",
    "kaiming",
    "lecun",
    "orthogonal",
    "residual",
    "scaled",
    "stack",
    "xavier",
]


@dataclass(frozen=True)
class Scheme:
    """What standard normal draws are multiplied by, layer by layer.

    - `weight(fan_in, fan_out)`: the factor of a hidden layer's weights, their standard deviation
    - `bias`: the factor of a hidden layer's biases
    - `output_weight`, `output_bias`: the factors of the output layer
    - `form`: what is done to a hidden layer's normal draws (fan_in, fan_out) before the factor;
      None leaves them

    Embeddings stay as drawn, in every scheme.
    """

    name: str
    weight: Callable[[int, int], float]
    bias: float
    output_weight: float = 0.01
    output_bias: float = 0.0
    form: Callable[[Tensor], Tensor] | None = None

    def __repr__(self) -> str:
        """The name alone."""
        return f"Scheme({self.name})"

    def factors(self, arch: Architecture) -> list[tuple[float, float]]:
        """(weight factor, bias factor) of every layer, input to output."""
        *hidden, _ = arch.layer_sizes
        return [
            *((self.weight(fan_in, fan_out), self.bias) for fan_in, fan_out in hidden),
            (self.output_weight, self.output_bias),
        ]


AS_DRAWN = Scheme("as drawn", lambda fan_in, fan_out: 1.0, 1.0, 1.0, 1.0)
"""Every number as drawn, the output layer included."""

QUIET_OUTPUT = Scheme("quiet output", lambda fan_in, fan_out: 1.0, 1.0)
"""Hidden layers as drawn, output weights ×0.01, output biases ×0."""


def scaled(w: float, b: float) -> Scheme:
    """Hidden weights ×w and hidden biases ×b; the output layer as in `QUIET_OUTPUT`.

    >>> scaled(0.2, 0.01).factors(Architecture())
    [(0.2, 0.01), (0.01, 0.0)]
    """
    for name, value in (("w", w), ("b", b)):
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} is {value!r}; a scale is a finite number, 0 or more")
    return Scheme(f"W×{w:g}, b×{b:g}", lambda fan_in, fan_out: w, b)


def lecun(*, b: float = 0.01) -> Scheme:
    """Standard deviation 1 / √fan_in: pre-activations as large as the inputs, no gain.

    The biases are drawn ×0.01 (`b`), as everywhere in this book.

    Source: LeCun, Bottou, Orr & Müller, "Efficient BackProp" (1998), section 4.6.

    >>> f"{lecun().weight(30, 200):.4f}"
    '0.1826'
    """
    return Scheme("LeCun", lambda fan_in, fan_out: 1 / math.sqrt(fan_in), b)


def xavier(*, b: float = 0.01) -> Scheme:
    """Standard deviation √(2 / (fan_in + fan_out)): a compromise between forward and backward.

    The paper starts biases at 0; the experiments of this book draw them ×0.01 (`b`).

    Source: Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural
    networks" (2010), equation 16 (there a uniform draw of that variance).

    >>> f"{xavier().weight(30, 200):.4f}"
    '0.0933'
    """
    return Scheme("Xavier", lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out)), b)


def kaiming(activation: str = "tanh", *, gain: float | None = None, b: float = 0.01) -> Scheme:
    """Standard deviation gain / √fan_in, with PyTorch's gain for the activation unless given.

    PyTorch has gains for tanh (5/3), sigmoid, ReLU and leaky ReLU; for another activation
    `ValueError` asks for `gain`. The paper starts biases at 0; this book draws them ×0.01 (`b`).

    Source: He, Zhang, Ren & Sun, "Delving Deep into Rectifiers" (2015), equation 10;
    `torch.nn.init.calculate_gain` for the gains.

    >>> f"{kaiming('tanh').weight(30, 200):.4f}"
    '0.3043'
    """
    g = _torch_gain(activation) if gain is None else gain
    return Scheme(f"Kaiming, gain {g:.4g}", lambda fan_in, fan_out: g / math.sqrt(fan_in), b)


def orthogonal(gain: float = 1.0, *, b: float = 0.01) -> Scheme:
    """Weights whose columns, or rows where these are fewer, are orthogonal and of length `gain`.

    They are the Q of the normal draw's QR decomposition; biases are drawn ×`b`.

    Source: Saxe, McClelland & Ganguli, "Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks" (2014); as `torch.nn.init.orthogonal_`.

    >>> W = draw(Architecture(), orthogonal(), generator=torch.Generator()).W[0]
    >>> torch.allclose(W @ W.T, torch.eye(30), atol=1e-5)
    True
    """
    return Scheme(f"orthogonal, gain {gain:.4g}", lambda *_: gain, b, form=_orthonormal)


def _orthonormal(normal: Tensor) -> Tensor:
    """The Q of the QR decomposition, its signs chosen so that Q is uniformly distributed."""
    tall = normal if normal.size(0) >= normal.size(1) else normal.T
    q, r = torch.linalg.qr(tall)
    q = q * r.diagonal().sign()
    return q if tall is normal else q.T.contiguous()


def _torch_gain(activation: str) -> float:
    activations.get(activation)
    if activation not in ("tanh", "sigmoid", "relu", "leaky_relu"):
        raise ValueError(
            f"PyTorch has no gain for {activation!r}; pass one: "
            f"kaiming({activation!r}, gain=gains.forward_gain({activation!r}))"
        )
    param = activations.LEAK if activation == "leaky_relu" else None
    return torch.nn.init.calculate_gain(activation, param)


def draw(
    arch: Architecture,
    scheme: Scheme,
    *,
    generator: Generator,
    dtype: torch.dtype = torch.float32,
) -> Params:
    """Draw a network: standard normals times the scheme's factors.

    The order of the draws is C, then W and b of each layer, input to output, all from
    `generator`: seed 2147483647 gives the start of the published experiments. Numbers are drawn
    in float32 and then cast, so that a float64 network starts at the same point. A normalised
    layer draws no bias: it starts with biases 0 and gains 1.
    PyTorch's layers hold the transpose of our W, (fan_out, fan_in).

    >>> g = torch.Generator().manual_seed(2147483647)
    >>> draw(Architecture(), QUIET_OUTPUT, generator=g).C[0, :3]
    tensor([ 1.5674, -0.2373, -0.0274])
    """
    on = generator.device

    def normal(*shape: int) -> Tensor:
        # Told, for neither a default dtype nor a default device may change what is drawn.
        return torch.randn(shape, generator=generator, dtype=torch.float32, device=on)

    def zeros(size: int) -> Tensor:
        return torch.zeros(size, dtype=torch.float32, device=on)

    C = normal(arch.vocab_size, arch.n_embd)
    W, b = [], []
    last = len(arch.hidden)
    for layer, (sizes, factors) in enumerate(
        zip(arch.layer_sizes, scheme.factors(arch), strict=True)
    ):
        drawn, hidden = normal(*sizes), layer < last
        W.append((scheme.form(drawn) if scheme.form and hidden else drawn) * factors[0])
        normalised = hidden and arch.normalize is not None
        b.append(zeros(sizes[1]) if normalised else normal(sizes[1]) * factors[1])
    gain = () if arch.normalize is None else tuple(1 + zeros(size) for size in arch.hidden)
    return Params(arch, C, tuple(W), tuple(b), gain).map(lambda t: t.to(dtype))


def __getattr__(name: str) -> object:
    """A scheme by the name that it had in version 0.1."""
    return _renamed.look_up(__name__, name, globals())
