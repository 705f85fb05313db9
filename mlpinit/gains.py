"""Gains: what an activation takes from the size of a signal, forward and backward.

All of them are means over a standard normal z, computed by quadrature (`expectation`), so that
they hold for any activation function and carry no sampling error.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from mlpinit import activations
from mlpinit.activations import Activation

__all__ = [
    "backward_gain",
    "backward_variance",
    "critical_gain",
    "expectation",
    "forward_gain",
    "forward_variance",
    "second_moment",
    "slope_moment",
]

LIMIT = 14.0  # the normal density beyond it is under 1e-42
POINTS = 20  # Gauss-Legendre points in each panel
HALVINGS = 40  # panels shrink towards a kink by halves, to LIMIT / 2**40

Function = Callable[[Tensor], Tensor]


def expectation(
    f: Function, std: float = 1.0, mean: float = 0.0, *, kinks: tuple[float, ...] = (0.0,)
) -> float:
    """E f(mean + std z) for a standard normal z, in float64, to about twelve digits.

    ∫ f(mean + std z) φ(z) dz by Gauss-Legendre panels that shrink towards every kink of f, so
    that neither the corner of ReLU nor a tanh that is steep on the scale of `std` costs a digit.

    - `f`: an elementwise function, of a (n,) float64 tensor to a (n,) tensor
    - `std`, `mean`: of the argument of f; `std` 0 gives f(mean)
    - `kinks`: the arguments at which f, or a derivative of it, jumps

    Raises `ValueError` for a std or mean that cannot be, and when f does not return one finite
    number for each that it got.

    >>> f"{expectation(lambda z: z * z, std=3.0):.12f}"
    '9.000000000000'
    >>> f"{expectation(torch.relu):.12f}"  # 1/√(2π)
    '0.398942280401'
    """
    if not (math.isfinite(std) and std >= 0 and math.isfinite(mean)):
        raise ValueError(f"std is {std!r} and mean {mean!r}; wanted finite numbers, std 0 or more")
    if std == 0:
        return _values(f, torch.tensor([mean], dtype=torch.float64)).item()
    z, weights = _nodes(tuple((k - mean) / std for k in kinks))
    return (_values(f, mean + std * z) @ weights).item()


@lru_cache(maxsize=64)
def _nodes(kinks: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """(n,) points z and (n,) weights, φ(z) in them: Σ weights · f(z) is E f(z)."""
    edges = set(np.linspace(-LIMIT, LIMIT, 29).tolist())
    near = LIMIT * 0.5 ** np.arange(HALVINGS)
    for kink in kinks:
        at = min(max(kink, -LIMIT), LIMIT)
        edges.update(e for e in (at, *(at - near), *(at + near)) if abs(e) <= LIMIT)
    x, w = np.polynomial.legendre.leggauss(POINTS)
    panels = np.array([(a, b) for a, b in pairwise(sorted(edges)) if b > a])
    centre, half = panels.mean(1), (panels[:, 1] - panels[:, 0]) / 2
    z = (centre[:, None] + half[:, None] * x).ravel()
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return torch.from_numpy(z), torch.from_numpy((half[:, None] * w).ravel() * density)


def _values(f: Function, z: Tensor) -> Tensor:
    values = f(z)
    if not isinstance(values, Tensor) or values.shape != z.shape:
        got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(
            f"f returned {got} for a tensor of shape {tuple(z.shape)}; wanted one number for each"
        )
    values = values.detach().double()
    if not values.isfinite().all():
        at = z[~values.isfinite()][0].item()
        raise ValueError(f"f({at:.6g}) is not finite; its mean cannot be computed")
    return values


def second_moment(activation: str | Activation | Function, q: float = 1.0) -> float:
    """E f(√q z)²: the mean square of the activations where pre-activations have variance q.

    The mean square, not the variance: what the next layer's weights, of mean 0, multiply.
    `activation` is a name of `activations.ACTIVATIONS`, an `Activation`, or any elementwise
    function whose kinks, if it has any, are at 0. Raises `ValueError` for a negative q.

    >>> f"{second_moment('relu'):.12f}"
    '0.500000000000'
    """
    f, _ = _pair(activation)
    return expectation(lambda z: f(z) ** 2, std=_root(q))


def slope_moment(activation: str | Activation | Function, q: float = 1.0) -> float:
    """E f'(√q z)²: what the mean square of a gradient is multiplied by at the activation.

    The slope of a plain function is taken from autograd. Raises `ValueError` for a negative q.

    >>> f"{slope_moment('tanh'):.4f}"
    '0.4644'
    """
    _, slope = _pair(activation)
    return expectation(lambda z: slope(z) ** 2, std=_root(q))


def forward_gain(activation: str | Activation | Function, q: float = 1.0) -> float:
    """The gain that keeps the variance of the pre-activations at q: √(q / E f(√q z)²).

    With weights of standard deviation gain / √fan_in and no biases, a layer whose inputs are
    f of pre-activations of variance q has pre-activations of variance q. At q = 1, the usual
    question, this is 1 / √E f(z)². A mean of f other than 0 (sigmoid, ReLU) counts: it is part of
    the mean square.

    Raises `ValueError` when there is no such gain: q not above 0, or f = 0 throughout.

    Source: Glorot & Bengio (2010), equation 10, and He et al. (2015), equation 10, with the
    activation's own mean in place of their linear and ReLU cases.

    >>> f"{forward_gain('tanh'):.4f} {forward_gain('relu'):.4f}"
    '1.5925 1.4142'
    """
    if not q > 0:
        raise ValueError(f"q is {q!r}; a variance to keep is above 0")
    return _inverse_root(second_moment(activation, q) / q, "f")


def backward_gain(activation: str | Activation | Function, q: float = 1.0) -> float:
    """The gain that keeps a gradient's size one step back: 1 / √E f'(√q z)².

    With weights of standard deviation gain / √fan_out, the gradient of the pre-activations below
    has the mean square of the one above. q is the variance of the pre-activations that it passes.
    PyTorch offers fan_out as `mode="fan_out"`; its gain is the same in both modes.

    Raises `ValueError` when there is no such gain: f' = 0 throughout, or q negative.

    Source: Glorot & Bengio (2010), equation 11; He et al. (2015), equation 14.

    >>> f"{backward_gain('tanh'):.4f} {backward_gain('relu'):.4f}"
    '1.4674 1.4142'
    """
    return _inverse_root(slope_moment(activation, q), "f'")


def critical_gain(activation: str | Activation | Function) -> float:
    """The gain at which small signals neither grow nor die, in either direction, without biases.

    Write χ = gain² E f'(√q z)², the factor on the mean square of a gradient for each layer. As
    q → 0 only the slopes on either side of 0 matter, E f'² → (f'(0−)² + f'(0+)²) / 2, and the
    critical gain makes χ = 1 there: 1 / |f'(0)| for a smooth f, √2 for ReLU.

    It is given only where f(0) = 0 and where, at this gain, no q grows from layer to layer, so
    that the limit can be the fate of a signal. Otherwise `ValueError` says which of the two
    fails: sigmoid (f(0) = 1/2), GELU and SiLU (a gain of 2 multiplies larger signals by nearly 2
    a layer in variance).

    Source: Poole et al. (2016) and Schoenholz et al. (2017), χ₁ = 1 at σ_b = 0.

    >>> f"{critical_gain('tanh'):.4f} {critical_gain('relu'):.4f}"
    '1.0000 1.4142'
    """
    f, slope = _pair(activation)
    at_zero = f(torch.zeros(1, dtype=torch.float64)).item()
    if at_zero != 0:
        raise ValueError(
            f"f(0) is {at_zero:.6g}, not 0: a signal cannot die out, and no gain is critical at "
            "q → 0; forward_gain and backward_gain at the q of your layers are defined"
        )
    sides = slope(torch.tensor([-1e-200, 1e-200], dtype=torch.float64))
    gain = _inverse_root((sides**2).mean().item(), "f' beside 0")
    for q in (1e-2, 1.0, 1e2):
        after = gain**2 * second_moment(f, q)
        if after > q * (1 + 1e-9):
            raise ValueError(
                f"no gain is critical at q → 0: at {gain:.6g}, the one that fits there, variance "
                f"{q:g} becomes {after:.4g} in a layer and grows on"
            )
    return gain


def forward_variance(
    q: float,
    activation: str | Activation | Function,
    *,
    fan_in: int,
    weight_std: float,
    bias_std: float = 0.0,
) -> float:
    """The variance of the next pre-activations: fan_in · weight_std² · E f(√q z)² + bias_std².

    q is the variance of the pre-activations below, weights and biases are independent draws of
    mean 0, and the fan_in inputs of a unit are f of these pre-activations. For a first layer, pass
    what its inputs are as a function: `lambda x: x` for inputs of variance q themselves.

    Raises `ValueError` for a fan_in below 1 or a negative variance or standard deviation.

    >>> f"{forward_variance(1.0, lambda x: x, fan_in=30, weight_std=1.0) ** 0.5:.2f}"
    '5.48'
    """
    _check_layer("fan_in", fan_in, weight_std, bias_std)
    return fan_in * weight_std**2 * second_moment(activation, q) + bias_std**2


def backward_variance(
    d: float,
    activation: str | Activation | Function,
    q: float = 1.0,
    *,
    fan_out: int,
    weight_std: float,
) -> float:
    """The mean square of the gradient one layer below: d · fan_out · weight_std² · E f'(√q z)².

    d is the mean square of the gradient at a layer's pre-activations; the answer is that at the
    pre-activations below, of variance q, whose f is the layer's input: fan_out, not fan_in,
    weights add up to each. It holds while the gradient and the weights are independent draws.

    Raises `ValueError` for a fan_out below 1 or a negative variance or standard deviation.

    >>> f"{backward_variance(1.0, 'relu', fan_out=50, weight_std=0.2):.4f}"
    '1.0000'
    """
    _check_layer("fan_out", fan_out, weight_std, d)
    return d * fan_out * weight_std**2 * slope_moment(activation, q)


def _pair(activation: str | Activation | Function) -> tuple[Function, Function]:
    """(f, f'), both functions of z alone."""
    if isinstance(activation, str):
        activation = activations.get(activation)
    if isinstance(activation, Activation):
        a = activation
        return a.f, lambda z: a.slope(z, a.f(z))
    if not callable(activation):
        raise ValueError(
            f"activation is {activation!r}; wanted a name, an Activation or a function of a tensor"
        )
    f = _pure(activation)

    def slope(z: Tensor) -> Tensor:
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(f(z).sum(), z)
        return gradient

    return f, slope


def _pure(activation: Function) -> Function:
    """The function in float64, with z left as it is where it works in place.

    A module is copied, for its parameters are to be float64 too. What holds float32 numbers
    elsewhere, and does not take float64, is given float32.
    """
    if isinstance(activation, torch.nn.Module):
        activation = copy.deepcopy(activation).double()

    def f(z: Tensor) -> Tensor:
        try:
            return activation(z.clone())
        except RuntimeError as error:
            try:
                return activation(z.float())
            except RuntimeError:
                raise error from None

    return f


def _root(q: float) -> float:
    if not (math.isfinite(q) and q >= 0):
        raise ValueError(f"q is {q!r}; a variance is a finite number, 0 or more")
    return math.sqrt(q)


def _inverse_root(moment: float, name: str) -> float:
    if not moment > 0:
        raise ValueError(f"the mean of {name} squared is {moment:g}: no gain can make up for it")
    return 1 / math.sqrt(moment)


def _check_layer(name: str, fan: int, weight_std: float, least_zero: float) -> None:
    if not isinstance(fan, int) or isinstance(fan, bool) or fan < 1:
        raise ValueError(f"{name} is {fan!r}; wanted a whole number, 1 or more")
    if not (weight_std >= 0 and least_zero >= 0):
        raise ValueError("a variance or a standard deviation is negative; wanted 0 or more")
