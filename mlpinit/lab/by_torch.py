"""What the init lab shows, computed by torch: to answer in chapters and to judge the lab by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mlpinit import activations, init, mlp, saturation
from mlpinit.lab import batch

__all__ = ["Figures", "at", "through"]


@dataclass(frozen=True)
class Figures:
    """The lab's figures at one setting.

    Over all hidden layers and the batch of 32: `share` of saturated entries; `soft` and `hard`, the
    units that are soft- and hard-dead in this batch; the `loss`. By layer: standard deviations
    `z_std` and `h_std`, and `gradient`, the root mean square of ∂ℓ/∂z. `params`: the network.
    """

    params: init.Params
    share: float
    soft: int
    hard: int
    loss: float
    z_std: list[float]
    h_std: list[float]
    gradient: list[float]


def at(
    *,
    scale: float = 1.0,
    kind: str = "std",
    bias: float = 1.0,
    activation: str = "tanh",
    width: int = 200,
    depth: int = 1,
    seed: int = batch.SEED,
    norm: bool = False,
) -> Figures:
    """The lab's figures at these settings, which are the lab's own.

    >>> f"{at().share:.1%}", f"{at(scale=0.2, bias=0.01).share:.1%}"
    ('63.3%', '1.8%')
    """
    arch = mlp.Architecture(
        hidden=(width,) * depth, activation=activation, normalize="batch" if norm else None
    )
    scheme = {"std": init.scaled(scale, bias), "gain": init.kaiming(gain=scale, b=bias)}[kind]
    params = init.draw(arch, scheme, generator=torch.Generator().manual_seed(seed))
    X, Y = batch.first_batch()
    zs, hs, loss = through(mlp.as_module(params), X, Y)
    gradients = torch.autograd.grad(loss, zs)
    white, flat, zero = zip(*(_masks(activation, z.detach()) for z in zs), strict=True)
    return Figures(
        params=params,
        share=torch.stack(white).double().mean().item(),
        soft=int(torch.stack(flat).all(1).sum()),
        hard=int(torch.stack(zero).all(1).sum()),
        loss=loss.item(),
        z_std=[z.std(correction=0).item() for z in zs],
        h_std=[h.std(correction=0).item() for h in hs],
        gradient=[g.square().mean().sqrt().item() for g in gradients],
    )


def through(
    module: nn.Sequential, X: Tensor, Y: Tensor
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Pre-activations and activations (n, units) by layer, and the loss, through torch's layers."""
    x, zs, hs = X, [], []
    for layer in module:
        acts = not isinstance(layer, nn.Embedding | nn.Flatten | nn.Linear | nn.BatchNorm1d)
        if acts:
            zs.append(x)
        x = layer(x)
        if acts:
            hs.append(x)
    return zs, hs, nn.functional.cross_entropy(x, Y)


def _masks(name: str, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which entries (n, units) are saturated, have under 2% of the largest slope, have slope 0."""
    activation = activations.get(name)
    h = activation.f(z)
    slope = activation.slope(z, h)
    flat = saturation.flat(slope, activation)
    return saturation.saturated(h) if name == "tanh" else flat, flat, slope == 0
