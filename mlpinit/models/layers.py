"""What a layer's parameters are: along which axis its units lie, and how some are taken away.

A layer is a Linear, a convolution, or the `Conv1D` of GPT-2 in transformers: a Linear whose weight
is stored as (in, out). That one is known by its name and its parameters' shapes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mlpinit.models.names import CONVOLUTIONS, LAYERS

__all__ = [
    "constant_part",
    "is_depthwise",
    "is_layer",
    "is_linear",
    "keep_inputs",
    "keep_outputs",
    "weight_axes",
]


def _is_conv1d(module: object) -> bool:
    """Whether it is a Linear with its weight the other way round, as GPT-2's."""
    sizes = getattr(module, "nx", None), getattr(module, "nf", None)
    held = getattr(module, "_parameters", {})  # an attribute may be a proxy, while fx traces
    weight, bias = held.get("weight"), held.get("bias")
    if type(module).__name__ != "Conv1D" or not isinstance(weight, Tensor):
        return False
    return weight.shape == sizes and isinstance(bias, Tensor) and bias.shape == sizes[1:]


def is_layer(module: object) -> bool:
    """Whether it has units of its own, whose incoming weights are a slice of its weight."""
    return isinstance(module, LAYERS) or _is_conv1d(module)


def is_linear(module: object) -> bool:
    """Whether it is a layer whose units lie along the last axis."""
    return is_layer(module) and not isinstance(module, CONVOLUTIONS)


def is_depthwise(module: object) -> bool:
    """Whether it is a convolution with a filter per channel, which makes one channel of one."""
    if not isinstance(module, CONVOLUTIONS):
        return False
    return 1 < module.groups == module.in_channels == module.out_channels


def weight_axes(module: nn.Module) -> tuple[int, int]:
    """The axes of its weight along which its outputs and its inputs lie."""
    return (1, 0) if _is_conv1d(module) else (0, 1)


def constant_part(
    weight: Tensor, axes: tuple[int, int], channels: list[int], constants: Tensor
) -> Tensor:
    """What some inputs of a layer add to its outputs where each is a constant: (out,) float64.

    - `weight`, `axes`: the layer's, as `weight_axes` gives them; `constants`: (channels,)
    """
    W = weight.detach().movedim(axes[0], 0)[:, channels].cpu().double()  # (out, in, *kernel)
    told = W.flatten(2).sum(2) if W.ndim > 2 else W
    return told @ constants.cpu().double()


_OUTPUTS = ("out_features", "out_channels", "nf", "num_features")
_INPUTS = ("in_features", "in_channels", "nx")


def keep_outputs(module: nn.Module, gone: set[int]) -> None:
    """Take outputs of a layer away, or channels of a batch norm or a depthwise convolution."""
    axis = weight_axes(module)[0]
    kept = _rest(next(getattr(module, n) for n in _OUTPUTS if hasattr(module, n)), gone)
    _keep(module, "weight", kept, axis)
    for name in ("bias", "running_mean", "running_var"):
        _keep(module, name, kept)
    depthwise = ("in_channels", "groups") if is_depthwise(module) else ()
    _resize(module, (*_OUTPUTS, *depthwise), len(kept))


def keep_inputs(module: nn.Module, gone: set[int]) -> None:
    """Take inputs of a layer away."""
    axis = weight_axes(module)[1]
    _keep(module, "weight", _rest(module.weight.size(axis), gone), axis)
    _resize(module, _INPUTS, module.weight.size(axis))


def _rest(n: int, gone: set[int]) -> list[int]:
    return [i for i in range(n) if i not in gone]


def _keep(module: nn.Module, name: str, kept: list[int], axis: int = 0) -> None:
    """Keep some entries of a parameter or a buffer, along one axis."""
    old = getattr(module, name, None)
    if old is None:
        return
    new = old.detach().index_select(axis, torch.tensor(kept, device=old.device))
    if isinstance(old, nn.Parameter):
        new = nn.Parameter(new, requires_grad=old.requires_grad)
    setattr(module, name, new)


def _resize(module: nn.Module, names: tuple[str, ...], size: int) -> None:
    for name in names:
        if hasattr(module, name):
            setattr(module, name, size)
