"""How the work is cut: in pieces that fit a core's cache, in the shapes that are fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import gcd
from typing import Protocol

import torch
from torch import Tensor

from mlpinit.models.slopes import Kind

__all__ = ["Plan", "Scratch", "Waiting", "pieces"]

PIECE = 1 << 17  # entries a thread works on at a time
WAITING = 1 << 18  # entries of a small layer that wait to be worked on, at most
ALL_WAITING = 1 << 22  # of all layers
FEWEST = 8  # forward passes that there is room for, where rows wait
BLOCK = 1 << 16  # entries worked on at a time of what has waited
LANES = 32  # columns that one step of an extreme works on: a width of a multiple is twice as fast
FOLD = 8  # rows in a piece from which (N, units·positions) is the faster shape


class Scratch:
    """Working memory of one device, shared by all sites and used for one piece at a time."""

    def __init__(self) -> None:
        """None yet."""
        self.held: dict[tuple, Tensor] = {}
        self.granted = 0

    def grant(self, count: int) -> bool:
        """Whether `count` more entries may wait."""
        self.granted += count
        return self.granted <= ALL_WAITING

    def get(self, device: torch.device, dtype: torch.dtype, count: int) -> Tensor:
        """A vector of at least `count` numbers."""
        held = self.held.get((device, dtype))
        if held is None or held.numel() < count:
            with torch.inference_mode(False):
                held = self.held[device, dtype] = torch.empty(count, device=device, dtype=dtype)
        return held

    def nbytes(self) -> int:
        """Bytes held."""
        return sum(t.nbytes for t in self.held.values())


class Ring(Protocol):
    """What is read of the figures that rows are added to, an `accumulation.Ring`."""

    kind: Kind
    units: int
    sees_z: bool
    device: torch.device
    dtype: torch.dtype
    scratch: Scratch
    sums: Tensor
    reference: Tensor
    sum_names: list[str]
    top_names: list[str]
    rows: list[tuple]
    filled: int

    def piece(
        self, z: Tensor, h: Tensor, f: Callable, examples: int, first: int, last: int
    ) -> None:
        """Count one piece, of the forward passes `first` to `last`."""


class Waiting:
    """Rows of a small layer, until there are enough for a piece: a few at a time cost as much.

    It is working memory of a fixed size, of `WAITING` entries at most a site and `ALL_WAITING` in
    all, and emptied before anything is read. Slopes that depend on parameters cannot wait.
    """

    def __init__(self) -> None:
        """Empty, and without memory until the first rows."""
        self.shape: torch.Size | None = None  # of the rows of one forward pass
        self.dtype = self.z_dtype = None
        self.only_z = self.only_h = False
        self.held: tuple[Tensor, ...] = ()
        self.slots: list[tuple[Callable, Callable]] = []  # to write to
        self.filled = self.examples = self.first = self.last = 0

    def fits(self, z: Tensor, h: Tensor) -> bool:
        """Whether these rows can wait with those that do."""
        return h.shape == self.shape and h.dtype is self.dtype and z.dtype is self.z_dtype

    def prepare(self, ring: Ring, z: Tensor, h: Tensor) -> bool:
        """Make room for rows like these, where that is possible."""
        self.settle(ring)
        if not ring.kind.pure or FEWEST * h.numel() > WAITING:
            return False  # of many rows the copy costs more than it saves
        if not self.held and not self._allocate(ring, z, h):
            return False
        kept = (z, h) if len(self.held) == 2 else (z,) if self.only_z else (h,)
        if [t.dtype for t in kept] != [t.dtype for t in self.held]:
            return False
        self.shape, self.dtype, self.z_dtype = h.shape, h.dtype, z.dtype
        whole = WAITING // h.numel() * h.size(0)
        slots = (t[:whole].split(h.size(0)) for t in self.held)
        self.slots = [tuple(slot.copy_ for slot in row) for row in zip(*slots, strict=True)]
        return True

    def _allocate(self, ring: Ring, z: Tensor, h: Tensor) -> bool:
        """Only what cannot be had from the other is kept: of a ReLU z, of a tanh h."""
        if not ring.scratch.grant(WAITING):
            return False
        self.only_z = ring.sees_z and ring.kind.steps
        self.only_h = not ring.sees_z
        kept = (z,) if self.only_z else (h,) if self.only_h else (z, h)
        with torch.inference_mode(False):
            self.held = tuple(t.new_empty(WAITING // ring.units, ring.units) for t in kept)
        return True

    def put(self, ring: Ring, z: Tensor, h: Tensor, examples: int, step: int) -> None:
        """Let the rows wait, and count all that do when there is no more room."""
        filled = self.filled
        if not filled:
            self.first = step
        keep = self.slots[filled]
        if self.only_h:
            keep[0](h.detach())
        else:
            keep[0](z.detach())
            if not self.only_z:
                keep[1](h.detach())
        self.filled = filled = filled + 1
        self.examples += examples
        self.last = step
        if filled == len(self.slots):
            self.settle(ring)

    def settle(self, ring: Ring) -> None:
        """Count what waits."""
        if not self.filled:
            return
        rows, examples = self.filled * self.shape[0], self.examples
        self.filled = self.examples = 0
        size = max(1, BLOCK // ring.units)
        if size > LANES:
            size -= size % LANES  # so that rows can stand side by side for an extreme
        f = ring.kind.f
        for kept in zip(*(t[:rows].split(size) for t in self.held), strict=True):
            z = kept[0]
            h = f(z) if self.only_z else kept[-1]
            ring.piece(z, h, f, examples, self.first, self.last)
            examples = 0  # counted with the first block


class Plan:
    """How to work on pieces of one shape.

    (rows, units) is reduced over axis 0. (N, units, positions) comes as it is, reduced over axes
    0 and 2, or, where that is faster, as (N, units·positions), reduced over axis 0 into working
    memory and then folded over the positions.
    """

    def __init__(self, ring: Ring, h: Tensor) -> None:
        """For pieces shaped like h."""
        self.shape, self.count = h.shape, len(ring.sum_names)
        self.numel = (self.count + 1) * h.numel()  # one more for slopes
        self.dims = (0, 2) if h.ndim == 3 else (0,)
        self.over = tuple(d + 1 for d in self.dims)
        self.folds = h.ndim == 2 and h.size(1) != ring.units
        self.beside = 1  # rows to put side by side for an extreme
        if h.ndim == 2 and h.size(0) % (beside := LANES // gcd(LANES, h.size(1))) == 0:
            self.beside = beside
            self.side = ring.sums.new_empty(beside, h.size(1))
        self.space: Tensor | None = None
        self.views: tuple = ()
        self.centre = ring.reference.view(-1, 1) if h.ndim == 3 else ring.reference
        if self.folds:
            self.sums = ring.sums.new_empty(self.count, h.size(1))
            self.tops = ring.sums.new_empty(len(ring.top_names), h.size(1))
            self.top_rows = self.tops.unbind(0)
            self.results = self.sums, self.sums[0], self.sums[1:], self.top_rows
            self.centre = ring.sums.new_empty(h.size(1))
            self.refer(ring.reference)

    def refer(self, reference: Tensor) -> None:
        """Spread the reference over the positions."""
        if self.folds:
            self.centre.view(len(reference), -1).copy_(reference.unsqueeze(1))

    def room(self, ring: Ring) -> tuple[Tensor, Tensor, Sequence[Tensor], tuple]:
        """Working memory: all features as one tensor, all but the first, and one by one.

        Then where the results go: all sums, the first, the others, the extremes.
        """
        space = ring.scratch.get(ring.device, ring.dtype, self.numel)
        if space is not self.space:
            room = space[: self.numel].view(self.count + 1, *self.shape)
            self.space, self.views = space, (room[:-1], room[1:-1], room.unbind(0))
        return *self.views, self.results if self.folds else ring.rows[ring.filled]

    def extreme(self, pick: Callable, t: Tensor, out: Tensor) -> None:
        """`pick`, torch.amax or torch.amin, of a piece t over its rows."""
        if self.beside == 1:
            pick(t, self.dims, out=out)
        else:
            pick(t.reshape(-1, self.side.numel()), 0, out=self.side.view(-1))
            pick(self.side, 0, out=out)

    def fold(self, ring: Ring) -> None:
        """Reduce over the positions, into a row of the ring."""
        sums, _, _, tops = ring.rows[ring.filled]
        torch.sum(self.sums.view(self.count, ring.units, -1), 2, out=sums)
        for name, kept, out in zip(ring.top_names, self.top_rows, tops, strict=True):
            pick = torch.amin if "smallest" in name else torch.amax
            pick(kept.view(ring.units, -1), 1, out=out)

    def nbytes(self) -> int:
        """Bytes held of its own."""
        held = [self.side] if self.beside > 1 else []
        held += [self.sums, self.tops, self.centre] if self.folds else []
        return sum(t.nbytes for t in held)


def pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Tensors of one shape, as z and h, in pieces of about `PIECE` entries a thread.

    They come in the shapes that `Plan` works on.
    """
    entries = PIECE * torch.get_num_threads()
    h = tensors[0]
    if h.ndim == 3 and h.size(0) >= FOLD and h[0].numel() * FOLD <= entries:
        tensors = tuple(t.flatten(1) for t in tensors)
        h = tensors[0]
    one = h[0].numel()
    if h.ndim == 3 and one > entries:  # large images: some positions of one at a time
        positions = max(1, entries // h.size(1))
        for singles in zip(*(t.split(1) for t in tensors), strict=True):
            yield from zip(*(t.split(positions, 2) for t in singles), strict=True)
    else:
        size = max(1, entries // one)
        yield from zip(*(t.split(size) for t in tensors), strict=True)
