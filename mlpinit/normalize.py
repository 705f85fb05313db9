"""Batch, layer and RMS normalisation: one formula along two axes, forward and backward by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "EPS",
    "NORMALIZERS",
    "Normalized",
    "Normalizer",
    "Statistics",
    "backward",
    "forward",
    "get",
]

EPS = 1e-5
"""Added to every variance, so that a constant input gives 0 and not 0/0 (PyTorch's default)."""


@dataclass(frozen=True)
class Normalizer:
    """One normalisation: the axis it averages along, and whether it takes the mean away.

    - `axis`: −2 averages each unit over the batch, −1 each example over the units
    - `centred`: False leaves the mean in, and divides by the root mean square
    """

    name: str
    label: str
    axis: int
    centred: bool


NORMALIZERS: dict[str, Normalizer] = {
    normalizer.name: normalizer
    for normalizer in (
        Normalizer("batch", "batch norm", axis=-2, centred=True),
        Normalizer("layer", "layer norm", axis=-1, centred=True),
        Normalizer("rms", "RMS norm", axis=-1, centred=False),
    )
}
"""Ioffe & Szegedy (2015); Ba, Kiros & Hinton (2016); Zhang & Sennrich (2019)."""


class Normalized(NamedTuple):
    """What normalising leaves behind. `...` are the leading run axes.

    - `z_hat`: (..., batch, units), the normalised numbers
    - `inverse_std`: one number a unit or an example, ready to broadcast: 1/√(variance + EPS)
    - `mean`, `var`: what was taken off and divided by, of the same shape
    - `fixed`: whether they were given, and not computed from z
    """

    z_hat: Tensor
    inverse_std: Tensor
    mean: Tensor
    var: Tensor
    fixed: bool


@dataclass(frozen=True)
class Statistics:
    """What batch norm uses instead of a batch once training is over: (..., units) a hidden layer.

    `var` is the variance of the training data itself or an estimate of it, without `EPS`.
    """

    mean: tuple[Tensor, ...]
    var: tuple[Tensor, ...]

    def map(self, f: Callable[[Tensor], Tensor]) -> Statistics:
        """The same with `f` applied to every tensor."""
        return Statistics(tuple(map(f, self.mean)), tuple(map(f, self.var)))

    def run(self, k: int) -> Statistics:
        """Those of network `k` of K."""
        return self.map(lambda t: t[k])


def get(name: str) -> Normalizer:
    """The normalisation of that name; `ValueError` names the choices.

    >>> get("instance")
    Traceback (most recent call last):
    ValueError: normalisation 'instance' is unknown; choose one of batch, layer, rms (lower case)
    """
    if name not in NORMALIZERS:
        choices = ", ".join(NORMALIZERS)
        raise ValueError(f"normalisation {name!r} is unknown; choose one of {choices} (lower case)")
    return NORMALIZERS[name]


def forward(
    z: Tensor, normalizer: Normalizer, statistics: tuple[Tensor, Tensor] | None = None
) -> Normalized:
    """ẑ = (z − mean) / √(variance + EPS), averages along the normaliser's axis.

    - z: (..., batch, units)
    - `statistics`: (mean, variance) of each unit, (..., units), to use instead of the batch's own;
      for batch norm in evaluation

    The variance is the biased one, as in PyTorch. Without a mean (RMS) it is the mean square.

    >>> z = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
    >>> forward(z, get("batch")).z_hat.round(decimals=2)
    tensor([[-1., -1.],
            [ 1.,  1.]])
    """
    if statistics is not None:
        mean, var = (t.unsqueeze(-2) for t in statistics)
        centred = z - mean
    else:
        mean = z.mean(normalizer.axis, keepdim=True) if normalizer.centred else z.new_zeros(())
        centred = z - mean if normalizer.centred else z
        # Five times faster along the batch than `torch.var_mean`.
        var = centred.square().mean(normalizer.axis, keepdim=True)
    inverse_std = (var + EPS).rsqrt_()
    return Normalized(centred * inverse_std, inverse_std, mean, var, statistics is not None)


def backward(dz_hat: Tensor, normalized: Normalized, normalizer: Normalizer) -> Tensor:
    """∂ℓ/∂z from ∂ℓ/∂ẑ, both (..., batch, units).

        ∂ℓ/∂z = (∂ℓ/∂ẑ − mean(∂ℓ/∂ẑ) − ẑ · mean(∂ℓ/∂ẑ · ẑ)) / √(variance + EPS)

    The two means run along the normaliser's axis: what z did through the mean and through the
    variance. RMS norm has no mean to go through. Fixed statistics have neither.
    """
    z_hat, inverse_std = normalized.z_hat, normalized.inverse_std
    if normalized.fixed:
        return dz_hat * inverse_std
    through_var = (dz_hat * z_hat).mean(normalizer.axis, keepdim=True)
    dz = torch.addcmul(dz_hat, z_hat, through_var, value=-1)
    if normalizer.centred:
        dz.sub_(dz_hat.mean(normalizer.axis, keepdim=True))
    return dz.mul_(inverse_std)
