"""Which axis of the activations holds the units, and whose they are, from the layer on.

A layer says which axis of what it gives are the units. From there on they are followed, tensor by
tensor, through whatever else is called: an axis stays where it is, goes with a transpose, and in a
reshape is found again by its size and by what lies behind it. Where the trail is lost, the shape
is taken for a clue, and the report says so where that is not certain.

Nothing is kept alive: tensors are held by weak references, for one forward pass.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

__all__ = ["Experts", "Layout", "Slice", "deciding_functions", "moving_functions", "part_of"]


@dataclass(frozen=True, eq=False)
class Experts:
    """One weight (experts, ...) made the units of several experts in one call.

    - `weight`: it; `axis`: where its experts lie in the activations
    - `ids`: (length of that axis,) int64, which expert each entry is of; None: the k-th of the k-th
    """

    weight: nn.Parameter
    axis: int
    ids: Tensor | None = None

    def along(self, axis: int) -> Experts:
        """The same, along another axis."""
        return Experts(self.weight, axis, self.ids)


@dataclass(frozen=True)
class Slice:
    """The `index`-th of a weight (experts, ...)."""

    weight: int  # its id
    index: int


def part_of(value: Tensor) -> tuple[nn.Parameter, int | None] | None:
    """The parameter that a tensor is or shows: all of it (None), or the `index`-th of its first."""
    if type(value) is nn.Parameter:
        return value, None
    base = value._base if value._is_view() else None
    if type(base) is not nn.Parameter:
        return None
    if value.numel() == base.numel():
        return base, None
    one = base[0].numel() if base.ndim > 1 and len(base) else 0
    whole = one and value.numel() == one and base.is_contiguous()
    return (base, value.storage_offset() // one) if whole else None


class _Way:
    """What is known of a tensor: the axis of its units, from the front, and its experts."""

    __slots__ = ("axis", "experts", "ref")

    def __init__(self, value: Tensor, axis: int | None, experts: Experts | None) -> None:
        self.ref, self.axis, self.experts = weakref.ref(value), axis, experts


class Layout:
    """Which axis holds the units: the channels after a convolution, else the last.

    - `width`: how many units the last layer gave
    - `follows`: whether tensors are followed in this forward pass, or known by their shapes alone
    """

    def __init__(self) -> None:
        """Nothing seen yet."""
        self.by_shape: dict[torch.Size, int] = {}
        self.by_ndim: dict[int, int] = {}
        self.moves: dict[tuple, int] = {}
        self.ways: dict[int, _Way] = {}
        self.width: int | None = None
        self.channel: int | None = None  # from the end, where it is known beforehand
        self.follows = True

    def clear(self) -> None:
        """Forget the last forward pass."""
        self.by_shape.clear()
        self.by_ndim.clear()
        self.ways.clear()

    def way(self, value: object) -> _Way | None:
        """What is known of a tensor."""
        way = self.ways.get(id(value))
        return way if way is not None and way.ref() is value else None

    def put(self, value: Tensor, axis: int | None, experts: Experts | None = None) -> None:
        """Say what is known of a tensor."""
        self.ways[id(value)] = _Way(value, axis, experts)

    def note(self, out: Tensor, channel: int, experts: Experts | None = None) -> None:
        """A layer gave `out`, whose units are axis `channel` from the end."""
        if out.ndim >= channel:
            self.width = out.size(-channel)
            if self.follows:
                self.put(out, out.ndim - channel, experts)
        if out.ndim > 2 or channel > 1:
            self.by_shape[out.shape] = self.by_ndim[out.ndim] = out.ndim - channel

    def follow(self, func: Callable, args: tuple, kwargs: dict, out: Tensor) -> None:
        """`out` is func(*args, **kwargs), args[0] with its axes in another order."""
        if not args:
            return
        way = self.way(args[0])
        axis = self.by_shape.get(args[0].shape) if way is None else way.axis
        if axis is not None:
            moved = self._moved(func, args, kwargs, axis)
            self.by_shape[out.shape] = self.by_ndim[out.ndim] = moved
        if way is not None and out is not args[0]:
            experts = way.experts
            if experts is not None:
                experts = experts.along(self._moved(func, args, kwargs, experts.axis))
            self.put(out, None if axis is None else moved, experts)

    def _moved(self, func: Callable, args: tuple, kwargs: dict, axis: int) -> int:
        """Where an axis goes. A tensor of ones but for that axis shows it."""
        key = (func, args[0].ndim, axis, repr(args[1:]), repr(kwargs))
        moved = self.moves.get(key)
        if moved is None:
            sizes = [2 if a == axis else 1 for a in range(args[0].ndim)]
            shown = func(torch.empty(sizes, device="meta"), *args[1:], **kwargs)
            moved = self.moves[key] = shown.shape.index(2)
        return moved

    def inherit(self, args: tuple, out: Any) -> None:
        """`out` was made of args[0], or else of args[1], with its axes in the same order."""
        source = args[0] if args else None
        if type(source) in (tuple, list) and source:
            source = source[0]
        way = self.way(source)
        if way is None:
            source = args[1] if len(args) > 1 else None
            way = self.way(source) if isinstance(source, Tensor) else None
            if way is None:
                return
        for value in out if type(out) in (tuple, list) else (out,):
            if isinstance(value, Tensor) and value is not source:
                self._hand_on(source, way, value)

    def _hand_on(self, source: Tensor, way: _Way, value: Tensor) -> None:
        axis, experts = way.axis, way.experts
        if value.ndim != source.ndim:
            axis = None if axis is None else _found(source, value, axis, merges=True)
            at = None if experts is None else _found(source, value, experts.axis)
            experts = None if at is None else experts.along(at)
        elif experts is not None and value.size(experts.axis) != source.size(experts.axis):
            experts = None
        if axis is not None or experts is not None:
            self.put(value, axis, experts)

    def certain(self, h: Tensor) -> int | None:
        """The axis of the units of h, where they were followed to it."""
        if self.channel is not None and h.ndim >= self.channel:
            return h.ndim - self.channel
        way = self.way(h)
        return None if way is None else way.axis

    def guess(self, h: Tensor, axis: int) -> str:
        """What is to be said where that axis was found by its shape, and another may be it; or "".

        >>> layout = Layout()
        >>> layout.note(torch.zeros(2, 8), 1)
        >>> layout.guess(torch.zeros(2, 8, 5), 2)
        'its units were taken along axis 2 (5), and the last layer has 8; axes={site: axis} tells'
        """
        if h.ndim < 3 or self.certain(h) is not None or self.width is None:
            return ""
        if h.size(axis) == self.width and h.shape.count(self.width) == 1:
            return ""
        return (
            f"its units were taken along axis {axis} ({h.size(axis)}), and the last layer has "
            f"{self.width}; axes={{site: axis}} tells"
        )

    def axis(self, h: Tensor) -> int:
        """The axis of the units of h."""
        certain = self.certain(h)
        if certain is not None:
            return certain
        found = self.by_shape.get(h.shape)
        if found is None and h.ndim > 2:
            found = self.by_ndim.get(h.ndim)
        return h.ndim - 1 if found is None else found


def _found(source: Tensor, value: Tensor, axis: int, *, merges: bool = False) -> int | None:
    """The axis of `value` that `axis` of `source` is now; None where that cannot be told.

    `value` has the same entries in the same order, or an axis more or less. `merges`: where axes
    before it were put together with it, as heads are, it is that of both.
    """
    before, after = tuple(source.shape), tuple(value.shape)
    if source.numel() == value.numel():
        size, behind = before[axis], prod(before[axis + 1 :])
        places = [p for p in range(len(after)) if prod(after[p + 1 :]) == behind]
        if found := [place for place in places if after[place] == size]:
            return found[-1]
        found = [p for p in places if merges and after[p] > size and after[p] % size == 0]
        return found[-1] if found else None
    if len(after) < len(before):
        gone = [a for a in range(len(before)) if before[:a] + before[a + 1 :] == after]
        places = {None if a == axis else axis - (a < axis) for a in gone}
    else:
        new = [a for a in range(len(after)) if after[:a] + after[a + 1 :] == before]
        places = {axis + (a <= axis) for a in new}
    return places.pop() if len(places) == 1 else None


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
    for name in ("matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "layer_norm"):
        yield getattr(torch, name), 1
    for name in ("matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "baddbmm"):
        yield getattr(Tensor, name), 1
    for place, name in ((torch, "_grouped_mm"), (F, "grouped_mm")):  # of newer torch
        if callable(function := getattr(place, name, None)):
            yield function, 1


def moving_functions() -> Iterator[Callable]:
    """The functions that put the axes of a tensor in another order."""
    for name in ("transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis"):
        yield getattr(torch, name)
        yield getattr(Tensor, name)
    for name in ("T", "mT"):
        yield getattr(Tensor, name).__get__
