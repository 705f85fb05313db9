"""Which axis of the activations holds the units, and which way it goes through a transpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["Layout", "deciding_functions", "moving_functions"]


class Layout:
    """Which axis holds the units: the channels after a convolution, else the last.

    What lies between the layer and the activation (normalisation, pooling, a residual) keeps the
    number of axes, and so the last layer that gave a tensor of the same shape decides, or the
    last that gave one of as many axes. A transpose is followed.

    - `width`: how many units the last layer gave
    """

    def __init__(self) -> None:
        """Nothing seen yet."""
        self.by_shape: dict[torch.Size, int] = {}
        self.by_ndim: dict[int, int] = {}
        self.moves: dict[tuple, int] = {}
        self.width: int | None = None
        self.channel: int | None = None  # from the end, where it is known beforehand

    def clear(self) -> None:
        """Forget the last forward pass."""
        self.by_shape.clear()
        self.by_ndim.clear()

    def note(self, out: Tensor, channel: int) -> None:
        """A layer gave `out`, whose units are axis `channel` from the end."""
        if out.ndim >= channel:
            self.width = out.size(-channel)
        if out.ndim > 2 or channel > 1:
            self.by_shape[out.shape] = self.by_ndim[out.ndim] = out.ndim - channel

    def follow(self, func: Callable, args: tuple, kwargs: dict, out: Tensor) -> None:
        """`out` is func(*args, **kwargs), args[0] with its axes in another order."""
        axis = self.by_shape.get(args[0].shape) if args else None
        if axis is None:
            return
        key = (func, args[0].ndim, axis, repr(args[1:]), repr(kwargs))
        moved = self.moves.get(key)
        if moved is None:  # a tensor of ones but for that axis shows where it goes
            sizes = [2 if a == axis else 1 for a in range(args[0].ndim)]
            shown = func(torch.empty(sizes, device="meta"), *args[1:], **kwargs)
            moved = self.moves[key] = shown.shape.index(2)
        self.by_shape[out.shape] = self.by_ndim[out.ndim] = moved

    def guess(self, h: Tensor, axis: int) -> str:
        """What is to be said where another axis has as many as the last layer has units, or "".

        >>> layout = Layout()
        >>> layout.note(torch.zeros(2, 8), 1)
        >>> layout.guess(torch.zeros(2, 8, 5), 2)
        'its units were taken along axis 2 (5), and the last layer has 8; axes={site: axis} tells'
        """
        if self.channel is not None or h.ndim < 3:
            return ""
        if h.size(axis) == self.width or self.width not in h.shape:
            return ""
        return (
            f"its units were taken along axis {axis} ({h.size(axis)}), and the last layer has "
            f"{self.width}; axes={{site: axis}} tells"
        )

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


def moving_functions() -> Iterator[Callable]:
    """The functions that put the axes of a tensor in another order."""
    for name in ("transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis"):
        yield getattr(torch, name)
        yield getattr(Tensor, name)
    for name in ("T", "mT"):
        yield getattr(Tensor, name).__get__
