"""Which axis of the activations holds the units."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["Layout", "deciding_functions"]


class Layout:
    """Which axis holds the units: the channels after a convolution, else the last.

    What lies between the layer and the activation (normalisation, pooling, a residual) keeps the
    number of axes, and so the last layer that gave a tensor of the same shape decides, or the
    last that gave one of as many axes.
    """

    def __init__(self) -> None:
        """Nothing seen yet."""
        self.by_shape: dict[torch.Size, int] = {}
        self.by_ndim: dict[int, int] = {}
        self.channel: int | None = None  # from the end, where it is known beforehand

    def clear(self) -> None:
        """Forget the last forward pass."""
        self.by_shape.clear()
        self.by_ndim.clear()

    def note(self, out: Tensor, channel: int) -> None:
        """A layer gave `out`, whose units are axis `channel` from the end."""
        if out.ndim > 2 or channel > 1:
            self.by_shape[out.shape] = self.by_ndim[out.ndim] = out.ndim - channel

    def axis(self, h: Tensor) -> int:
        """The axis of the units of h."""
        if self.channel is not None and h.ndim >= self.channel:
            return h.ndim - self.channel
        found = self.by_shape.get(h.shape)
        if found is None and h.ndim > 2:
            found = self.by_ndim.get(h.ndim)
        return h.ndim - 1 if found is None else found


def deciding_functions() -> Iterator[tuple[Callable, int]]:
    """The functions that settle which axis the units are → that axis, from the end."""
    for d in (1, 2, 3):
        for name in (f"conv{d}d", f"conv_transpose{d}d"):
            for place in (F, torch):
                yield getattr(place, name), d + 1
    last = ("linear", "bilinear", "embedding", "layer_norm", "rms_norm")
    for function in (getattr(F, name, None) for name in last):
        if function is not None:
            yield function, 1
    for name in ("matmul", "bmm", "addmm", "baddbmm", "einsum", "layer_norm"):
        yield getattr(torch, name), 1
    for name in ("matmul", "__matmul__", "bmm"):
        yield getattr(Tensor, name), 1
