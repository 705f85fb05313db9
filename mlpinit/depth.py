"""What depth makes of a gain: the mean field of many layers, real deep stacks, data-driven starts.

A layer of width n here is h ↦ f(h W + b), its weights drawn at standard deviation gain / √n and
its biases at `bias_std`. The *size* of a layer's numbers is their root mean square.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from mlpinit import activations, gains, init, mlp, saturation
from mlpinit.activations import Activation
from mlpinit.params import Params

__all__ = [
    "FixedPoint",
    "Layers",
    "Propagation",
    "backward",
    "chi",
    "correlation_map",
    "draw_layers",
    "edge_of_chaos",
    "fixed_point",
    "forward",
    "lsuv",
    "propagate",
    "variance_map",
    "variances",
]

TINY, HUGE = 1e-9, 1e9  # a variance below the one counts as 0, above the other as infinite

Nonlinearity = str | Activation | Callable[[Tensor], Tensor]
"""A name of `activations.ACTIVATIONS`, an `Activation`, or any elementwise function."""


def variance_map(
    q: float, gain: float, *, bias_std: float = 0.0, activation: Nonlinearity = "tanh"
) -> float:
    """The variance of a layer's pre-activations, from that of the layer before: q ↦ V(q).

    V(q) = gain² · E f(√q z)² + bias_std², z standard normal; exact in the limit of wide layers.

    Raises `ValueError` for a variance, gain or bias_std that is negative or not finite.

    Source: Poole et al., "Exponential expressivity in deep neural networks through transient
    chaos" (2016).

    >>> round(variance_map(1.0, 2**0.5, activation="relu"), 9)
    1.0
    """
    _check_sizes(q=q, gain=gain, bias_std=bias_std)
    return gain**2 * gains.second_moment(activation, q) + bias_std**2


def chi(q: float, gain: float, *, activation: Nonlinearity = "tanh") -> float:
    """χ, by which a layer multiplies the mean square of the gradient on its way back.

    χ = gain² · E f'(√q z)², with q the variance of the layer's pre-activations. It is also the
    slope of `correlation_map` at 1. At q = 0 it is the limit from above.

    Source: Schoenholz et al., "Deep Information Propagation" (2017).

    >>> f"{chi(1.086**2, 5 / 3):.2f}"
    '1.21'
    """
    _check_sizes(q=q, gain=gain)
    return gain**2 * gains.slope_moment(activation, max(q, TINY**2))


def variances(
    depth: int,
    gain: float,
    *,
    bias_std: float = 0.0,
    activation: Nonlinearity = "tanh",
    mean_square: float = 1.0,
) -> Tensor:
    """The variances q_1, …, q_depth of the pre-activations of a stack, shape (depth,), float64.

    `mean_square` is that of the numbers that enter: q_1 = gain² · mean_square + bias_std², and
    from there `variance_map` a layer.

    >>> variances(4, 1.0).sqrt()  # at gain 1, tanh lets the size fall, ever more slowly
    tensor([1.0000, 0.6279, 0.4863, 0.4082], dtype=torch.float64)
    """
    _check_count("depth", depth)
    _check_sizes(mean_square=mean_square, gain=gain, bias_std=bias_std)
    q = [gain**2 * mean_square + bias_std**2]
    while len(q) < depth:
        q.append(variance_map(q[-1], gain, bias_std=bias_std, activation=activation))
    return torch.tensor(q, dtype=torch.float64)


class FixedPoint(NamedTuple):
    """Where a deep stack settles: the variance `q` of its pre-activations, and χ there."""

    q: float
    chi: float

    @property
    def phase(self) -> str:
        """'ordered' (χ < 1), 'chaotic' (χ > 1) or 'edge' (χ = 1, to nine digits)."""
        if math.isclose(self.chi, 1, abs_tol=1e-9):
            return "edge"
        return "ordered" if self.chi < 1 else "chaotic"


def fixed_point(
    gain: float,
    *,
    bias_std: float = 0.0,
    activation: Nonlinearity = "tanh",
    mean_square: float = 1.0,
) -> FixedPoint:
    """The variance to which a stack of that gain tends, from inputs of that mean square, and χ.

    The map rises, so that its iterates move one way, to the next point q = V(q). They are not
    followed there, which near an edge takes for ever: the point is bracketed and bisected.
    q is 0 when the signal dies out, infinite when it grows without bound (as ReLU's above √2).

    >>> q, c = fixed_point(5 / 3)
    >>> f"{q**0.5:.3f} {c**0.5:.3f}"
    '1.086 1.100'
    >>> fixed_point(1.0).phase, fixed_point(3.0).phase
    ('edge', 'chaotic')
    """

    def drift(q: float) -> float:
        """log V(q)/q: its sign says which way the next layer moves."""
        return math.log(
            max(variance_map(q, gain, bias_std=bias_std, activation=activation), TINY**2) / q
        )

    low = high = max(variances(1, gain, bias_std=bias_std, mean_square=mean_square).item(), TINY)
    first = drift(low)
    if abs(first) > 1e-11:
        step = math.copysign(0.25, first)
        while TINY < high < HUGE and drift(high) * first > 0:
            low, high = high, high * math.exp(step)
        if high <= TINY:
            return FixedPoint(0.0, chi(0.0, gain, activation=activation))
        if high >= HUGE:
            return FixedPoint(math.inf, chi(HUGE, gain, activation=activation))
        for _ in range(60):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if drift(middle) * first > 0 else (low, middle)
    return FixedPoint(high, chi(high, gain, activation=activation))


def edge_of_chaos(q: float, *, activation: Nonlinearity = "tanh") -> tuple[float, float]:
    """The (gain, bias_std) whose fixed point is q, with χ = 1 there: a point of the edge.

    From χ = 1 comes gain = 1/√E f'(√q z)², and from q = V(q) then bias_std. Walking through the q
    draws the whole edge.

    Raises `ValueError` where no bias_std can be: the edge of this activation has no such q.

    Source: Schoenholz et al., "Deep Information Propagation" (2017).

    >>> gain, bias_std = edge_of_chaos(1.0)
    >>> round(fixed_point(gain, bias_std=bias_std).chi, 6)
    1.0
    """
    gain = 1 / math.sqrt(chi(q, 1.0, activation=activation))
    square = q - variance_map(q, gain, activation=activation)
    if square < -1e-9 * max(q, 1):
        raise ValueError(
            f"no stack is at the edge of chaos with q = {q:g}: at the gain {gain:.4g} that it "
            "needs, the weights alone make the variance larger"
        )
    return gain, math.sqrt(max(square, 0.0))


def correlation_map(
    c: float,
    gain: float,
    *,
    bias_std: float = 0.0,
    activation: Nonlinearity = "tanh",
    q: float | None = None,
) -> float:
    """The correlation of two inputs' pre-activations, from that one layer before: c ↦ C(c).

    C(c) = (gain² · E f(√q z₁) f(√q (c z₁ + √(1−c²) z₂)) + bias_std²) / V(q), with q the variance
    of either input, by default that of `fixed_point`. C(1) = 1, and the slope there is χ q / V(q),
    at the fixed point χ.

    Raises `ValueError` for a c that is no correlation, or where the fixed point is 0 or infinite.

    Source: Poole et al., "Exponential expressivity in deep neural networks through transient
    chaos" (2016).

    >>> round(correlation_map(0.5, 2**0.5, activation="relu"), 4)  # (√3/2 + π/3) / π
    0.609
    """
    if not -1 <= c <= 1:
        raise ValueError(f"c is {c!r}; a correlation lies between -1 and 1")
    if q is None:
        q = fixed_point(gain, bias_std=bias_std, activation=activation).q
    if not TINY < q < HUGE:
        raise ValueError(f"q is {q:g}; two signals that died out or blew up have no correlation")
    f = _function(activation)
    angle = math.acos(c)
    r, t, weights = _polar(angle)
    u, v = (math.sqrt(q) * r * torch.cos(t - at) for at in (0.0, angle))  # (radii, angles) each
    together = gain**2 * (f(u) * f(v) * weights).sum().item() + bias_std**2
    return together / variance_map(q, gain, bias_std=bias_std, activation=activation)


def _polar(angle: float) -> tuple[Tensor, Tensor, Tensor]:
    """(n, 1) radii, (m,) angles and (n, m) weights of a plane of two standard normals.

    Gauss-Legendre, with an edge wherever cos t or cos(t − angle) changes sign, so that a kink of f
    at 0 costs nothing.
    """
    x, w = np.polynomial.legendre.leggauss(60)
    edges = sorted((k * math.pi / 2 + a) % (2 * math.pi) for k in (1, 3) for a in (0.0, angle))
    spans = np.array([*zip(edges, [*edges[1:], edges[0] + 2 * math.pi], strict=True)])
    centre, half = spans.mean(1)[:, None], np.diff(spans) / 2
    t, t_weights = (centre + half * x).ravel(), (half * w).ravel()
    panels = np.arange(0.0, 12.0, 2.0)[:, None]
    r = (panels + 1 + x).ravel()
    r_weights = np.tile(w, len(panels)) * r * np.exp(-0.5 * r * r) / (2 * math.pi)
    weights = torch.from_numpy(np.outer(r_weights, t_weights))
    return torch.from_numpy(r)[:, None], torch.from_numpy(t), weights


@dataclass(frozen=True)
class Layers:
    """Square layers one after another; `...` are the leading run axes, as of `Params`.

    - `W[l]`: (..., width, width), `b[l]`: (..., width)
    - `branch_scale`: None for plain layers h ↦ f(h W + b); a number s for residual ones,
      h ↦ h + s f(h W + b)
    """

    W: tuple[Tensor, ...]
    b: tuple[Tensor, ...]
    activation: str = "tanh"
    branch_scale: float | None = None


def draw_layers(
    *,
    width: int,
    depth: int,
    gain: float,
    generator: Generator | Sequence[Generator],
    bias_std: float = 0.0,
    activation: str = "tanh",
    orthogonal: bool = False,
    branch_scale: float | None = None,
    dtype: torch.dtype = torch.float32,
) -> Layers:
    """Draw `depth` square layers: W and b of each, first to last, in float32 and then cast.

    Weights are standard normal draws times gain / √width, or, `orthogonal`, the same draws made an
    orthogonal matrix (as `init.orthogonal` does) times gain. Biases are drawn times `bias_std`.
    A list of K generators draws K stacks side by side, each as it would be drawn alone.

    Raises `ValueError` for sizes below 1, a negative or infinite scale, an unknown activation.

    >>> layers = draw_layers(width=8, depth=3, gain=1.5, generator=torch.Generator())
    >>> len(layers.W), layers.W[0].shape
    (3, torch.Size([8, 8]))
    """
    activations.get(activation)
    _check_count("width", width)
    _check_count("depth", depth)
    _check_sizes(gain=gain, bias_std=bias_std, branch_scale=branch_scale or 0.0)
    form = init.orthogonal().form if orthogonal else None
    scale = gain if form else gain / math.sqrt(width)
    one = isinstance(generator, Generator)
    generators = [generator] if one else _distinct(generator)
    lead = () if one else (len(generators),)
    W = [torch.empty(*lead, width, width, dtype=dtype) for _ in range(depth)]
    b = [torch.empty(*lead, width, dtype=dtype) for _ in range(depth)]
    for k, g in enumerate(generators):
        run = ... if one else k
        for weights, biases in zip(W, b, strict=True):
            drawn = torch.randn(width, width, generator=g, dtype=torch.float32)
            weights[run] = (form(drawn) if form else drawn) * scale
            biases[run] = torch.randn(width, generator=g, dtype=torch.float32) * bias_std
    return Layers(tuple(W), tuple(b), activation, branch_scale)


def forward(layers: Layers, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Send x (..., batch, width) up: ([z_1, …, z_L], [h_0 = x, h_1, …, h_L]), each of x's shape.

    z_l = h_{l−1} W_l + b_l;  h_l = f(z_l), or h_{l−1} + s f(z_l) with residual branches.
    """
    f, s = activations.get(layers.activation).f, layers.branch_scale
    zs, hs = [], [x]
    for W, b in zip(layers.W, layers.b, strict=True):
        z = hs[-1] @ W + b.unsqueeze(-2)  # (..., batch, width)
        zs.append(z)
        hs.append(f(z) if s is None else hs[-1] + s * f(z))
    return zs, hs


def backward(
    layers: Layers, zs: Sequence[Tensor], hs: Sequence[Tensor], dh: Tensor
) -> list[Tensor]:
    """Send a gradient down: from ∂ℓ/∂h_L = dh, all of [∂ℓ/∂h_0, …, ∂ℓ/∂h_L], by hand.

    ∂ℓ/∂h_{l−1} = (∂ℓ/∂h_l ⊙ f'(z_l)) W_lᵀ; with residual branches s times that, plus ∂ℓ/∂h_l.
    `zs` and `hs` are what `forward` returned.
    """
    a, s = activations.get(layers.activation), layers.branch_scale
    gradients = [dh]
    for layer in reversed(range(len(zs))):
        z = zs[layer]
        h = hs[layer + 1] if s is None else a.f(z)
        through = (dh * a.slope(z, h)) @ layers.W[layer].mT  # (..., batch, width)
        dh = through if s is None else dh + s * through
        gradients.append(dh)
    return gradients[::-1]


@dataclass(frozen=True)
class Propagation:
    """The size of everything in one stack of layers, first to last; `...` are the run axes.

    Root mean squares over the batch and the width:

    - `pre_activation`: (..., depth), of z_1 to z_L
    - `activation`: (..., depth), of h_1 to h_L
    - `gradient`: (..., depth), of ∂ℓ/∂h_1 to ∂ℓ/∂h_L, where the last is 1

    and `flat_fraction`: (..., depth), the part of the entries where |f'(z)| is under 2% of the
    largest there is: saturation, for tanh |h| > 0.98995.
    """

    pre_activation: Tensor
    activation: Tensor
    gradient: Tensor
    flat_fraction: Tensor


def propagate(
    *,
    width: int,
    depth: int,
    gain: float,
    generator: Generator | Sequence[Generator],
    batch: int = 64,
    bias_std: float = 0.0,
    activation: str = "tanh",
    orthogonal: bool = False,
    branch_scale: float | None = None,
    dtype: torch.dtype = torch.float32,
) -> Propagation:
    """Draw a stack of square layers, send signals up and a gradient down, and measure both.

    Standard normal inputs go up, standard normal gradients come down from the last layer. The
    draws are the layers (`draw_layers`), then the inputs, then the gradient. K generators make K
    stacks, and every measurement gains a first axis of length K.

    Raises `ValueError` as `draw_layers` does, and for a batch below 1.

    >>> p = propagate(width=300, depth=20, gain=5 / 3, generator=torch.Generator().manual_seed(0))
    >>> f"{p.activation[-1]:.2f}"  # the fixed point of a wide stack is at 0.651
    '0.65'
    """
    _check_count("batch", batch)
    layers = draw_layers(
        width=width,
        depth=depth,
        gain=gain,
        generator=generator,
        bias_std=bias_std,
        activation=activation,
        orthogonal=orthogonal,
        branch_scale=branch_scale,
        dtype=dtype,
    )

    def normal() -> Tensor:
        if isinstance(generator, Generator):
            return torch.randn(batch, width, generator=generator, dtype=torch.float32).to(dtype)
        draws = [torch.randn(batch, width, generator=g, dtype=torch.float32) for g in generator]
        return torch.stack(draws).to(dtype)

    x, dh = normal(), normal()
    dh /= _size(dh)[..., None, None]
    zs, hs = forward(layers, x)
    gradients = backward(layers, zs, hs, dh)
    a = activations.get(activation)
    return Propagation(
        pre_activation=torch.stack([_size(z) for z in zs], -1),
        activation=torch.stack([_size(h) for h in hs[1:]], -1),
        gradient=torch.stack([_size(d) for d in gradients[1:]], -1),
        flat_fraction=torch.stack(
            [saturation.saturated_fraction(saturation.flat(a.slope(z, a.f(z)), a)) for z in zs], -1
        ),
    )


def lsuv(
    params: Params, X: Tensor, *, target: float = 1.0, tol: float = 0.01, max_iter: int = 10
) -> Params:
    """A data-driven start: the pre-activations of every hidden layer get a std of `target`.

    Layer by layer, input to output, W is multiplied by target / std(z), with std(z) over all
    entries of the layer on the batch X, until it is within `tol` (a part of the target). Without
    biases once is enough; they are left as they are, and so are the directions of the weights,
    the embeddings and the output layer. Start from `init.orthogonal()` for the paper's method.
    K networks are scaled each by its own standard deviations.

    - `params`: one network or K, not changed; `X`: (..., batch, block_size) int64
    - returns new `Params`

    Raises `ValueError` when X does not fit, when `max_iter` rounds do not reach the target (biases
    too large for it), when pre-activations are all equal, and for a network with normalised layers.

    Source: Mishkin & Matas, "All you need is a good init" (2016): layer-sequential unit-variance
    initialisation; there with the output layer.

    >>> from mlpinit.params import Architecture
    >>> arch = Architecture(hidden=(100, 100, 100))
    >>> g = torch.Generator().manual_seed(0)
    >>> start = lsuv(init.draw(arch, init.orthogonal(), generator=g), torch.randint(27, (64, 3)))
    >>> len(start.W)
    4
    """
    if params.arch.normalize is not None:
        raise ValueError("the layers are normalised: whatever the scale of W, z comes out the same")
    _check_sizes(target=target, tol=tol)
    if not (target > 0 and tol > 0):
        raise ValueError(f"target is {target!r} and tol {tol!r}; wanted numbers above 0")
    f = activations.get(params.arch.activation).f
    x, W = mlp.forward(params, X).embeddings, list(params.W)  # (..., batch, fan_in)
    for layer in range(len(params.arch.hidden)):
        b = params.b[layer].unsqueeze(-2)
        for _ in range(max_iter):
            std = (x @ W[layer] + b).std((-2, -1), correction=0)  # (...)
            if ((std - target).abs() <= tol * target).all():
                break
            if not (std > 0).all():
                raise ValueError(
                    f"hidden layer {layer} has pre-activations that are all equal (std 0): "
                    "no scale of W can spread them"
                )
            W[layer] = W[layer] * (target / std)[..., None, None]
        else:
            reached = ", ".join(f"{s:.4g}" for s in std.reshape(-1).tolist())
            raise ValueError(
                f"hidden layer {layer} has pre-activations of std {reached} where {target:g} is "
                f"wanted, after {max_iter} rounds; draw smaller biases, or raise max_iter or tol"
            )
        x = f(x @ W[layer] + b)
    return replace(params, W=tuple(W))


def _size(t: Tensor) -> Tensor:
    """The root mean square over the last two axes, shape (...)."""
    return t.square().mean((-2, -1)).sqrt()


def _function(activation: Nonlinearity) -> Callable[[Tensor], Tensor]:
    if isinstance(activation, str):
        activation = activations.get(activation)
    return activation.f if isinstance(activation, Activation) else activation


def _distinct(generators: Sequence[Generator]) -> Sequence[Generator]:
    if not generators or len({id(g) for g in generators}) != len(generators):
        raise ValueError(
            f"{len(generators)} generators, some of them the same or none at all; pass one a stack"
        )
    return generators


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} is {value!r}; wanted a whole number, 1 or more")


def _check_sizes(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} is {value!r}; wanted a finite number, 0 or more")
