"""Running figures of the units of one site: never the activations, only what they add up to.

A watched forward pass takes a few passes over the activations, a cache-sized piece at a time. Each
piece leaves a row of sums and a row of extremes in a short ring, on the device of the activations.
When the ring is full its rows are merged into the running figures, in float64 and without waiting
for the device. Deviations are counted from a recent mean, so that variances lose no digits; on a
CPU, from 0 where the means are so small that none are lost, for that saves a pass or two. Two
stretches are merged as in Chan, Golub & LeVeque (1983).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mlpinit.models import chunking
from mlpinit.models.chunking import Plan, Scratch, Waiting, pieces
from mlpinit.models.slopes import Kind
from mlpinit.models.statistics import Figures, Sums
from mlpinit.saturation import SLOPE_CUT

__all__ = ["Ring"]

LENGTH = 32  # pieces in the ring, at most
ROOM = 1 << 15  # numbers in one figure of the ring, at most (but for a very wide layer)
SMALL = 16.0  # mean² / variance up to which deviations may be counted from 0: two digits of seven


class Ring:
    """The figures of one site's latest activations, piece by piece, waiting to be merged.

    - `units`: how many; `planes`: whether they are axis 1 of (N, units, positions), else the last
    - `sizes`: whether all figures are wanted, those too that cost a pass of their own
    - `sees_z`: whether pre-activations are there to look at
    - `n`, `examples`, `first`, `last`: rows, examples and forward passes that the ring holds
    """

    def __init__(
        self,
        kind: Kind,
        h: Tensor,
        *,
        units: int,
        planes: bool,
        sizes: bool,
        sees_z: bool,
        scratch: Scratch,
    ) -> None:
        """Allocate on the device of h, the first activations seen."""
        self.kind, self.units, self.planes, self.scratch = kind, units, planes, scratch
        self.native, self.device = h.dtype, h.device
        self.dtype = torch.float64 if h.dtype == torch.float64 else torch.float32
        self.wide = torch.float32 if h.device.type == "mps" else torch.float64
        self.cut = SLOPE_CUT * kind.max_slope
        self.square_cut = _beyond(self.cut, self.dtype)
        self.sees_z = sees_z and (sizes or not kind.from_h)
        told = kind.f is not None and self.sees_z  # the extremes of z tell those of h
        self.sees_least_z = self.sees_z and (sizes or not kind.steps)
        self.sees_largest = not told
        self.sees_smallest = not told or (kind.valley and sizes)
        self.counts_sloped = sizes or not kind.valley
        self.counts_zero = sizes and (kind.signed or not kind.steps)
        self.counts_size = sizes and kind.signed
        self.sum_names, self.top_names = self._names()
        self.length = min(LENGTH, max(1, ROOM // units))
        on = {"device": h.device, "dtype": self.dtype}
        self.sums = torch.zeros(self.length, len(self.sum_names), units, **on)
        self.tops = torch.zeros(self.length, len(self.top_names), units, **on)
        signs = [-1.0 if "smallest" in name else 1.0 for name in self.top_names]
        self.signs = torch.tensor(signs, **on).view(-1, 1)
        self.rows = [
            (s, s[0], s[1:], t.unbind(0)) for s, t in zip(self.sums, self.tops, strict=True)
        ]
        self.reference = torch.zeros(units, **on)
        self.centred = True
        self.plans: dict[torch.Size, Plan] = {}
        self.fresh = True
        self.waiting = Waiting()
        self.filled = self.n = self.examples = self.first = self.last = 0

    def _names(self) -> tuple[list[str], list[str]]:
        """What is summed and what is maximised, in the order in which `_pass` does it."""
        kind = self.kind
        sums, tops = ["deviation", "square"], []
        if kind.steps:
            sums.append("live")
        elif kind.slope is not None:
            sums += ["flat", "sloped"] if self.counts_sloped else ["flat"]
            tops.append("slope")
        sums += ["zero"] if self.counts_zero else []
        sums += ["size"] if self.counts_size else []
        tops += ["z largest"] if self.sees_z else []
        tops += ["z smallest"] if self.sees_least_z else []
        tops += ["largest"] if self.sees_largest else []
        tops += ["smallest"] if self.sees_smallest else []
        return sums, tops

    def nbytes(self) -> int:
        """Bytes held, the shared working memory apart."""
        plans = sum(plan.nbytes() for plan in self.plans.values())
        waiting = sum(t.nbytes for t in self.waiting.held)
        return self.sums.nbytes + self.tops.nbytes + self.reference.nbytes + plans + waiting

    def add(
        self,
        z: Tensor,
        h: Tensor,
        f: Callable,
        slopes: Tensor | None = None,
        *,
        examples: int,
        step: int,
        flush: Callable[[], None],
    ) -> None:
        """Count one forward pass. z, h: (rows, units) or (N, units, positions), detached.

        `slopes`, of their shape, are those of a function that is not the same for all entries.
        `flush` is called where the ring has to be emptied.
        """
        if self.fresh:
            wide = h if h.dtype is self.dtype else h.to(self.dtype)
            over = (0, 2) if self.planes else 0
            variance, mean = torch.var_mean(wide, over, correction=0)
            self.refer(mean, variance)
            self.fresh = False
        self.flush = flush
        if slopes is not None:
            for zs, hs, slope in pieces(z, h, slopes):
                self.piece(zs, hs, f, examples, step, step, told=slope)
                examples = 0
            return
        if not self.planes:
            waiting = self.waiting
            if waiting.fits(z, h) or waiting.prepare(self, z, h):
                waiting.put(self, z, h, examples, step)
                return
            if h.numel() <= chunking.PIECE:
                self.piece(z, h, f, examples, step, step)
                return
        for zs, hs in pieces(z, h):
            self.piece(zs, hs, f, examples, step, step)
            examples = 0  # counted with the first piece

    def piece(
        self, z: Tensor, h: Tensor, f: Callable, examples: int, first: int, last: int,
        *, told: Tensor | None = None,
    ) -> None:  # fmt: skip
        """Count one piece, of the forward passes `first` to `last`; `told` are known slopes."""
        if self.filled == self.length:
            self.flush()
        self._pass(self.plans.get(h.shape) or self._plan(h), z, h, f, told)
        if not self.filled:
            self.first = first
        self.last = last
        self.filled += 1
        self.n += h.numel() // self.units
        self.examples += examples

    def _pass(self, plan: Plan, z: Tensor, h: Tensor, f: Callable, told: Tensor | None) -> None:
        """The sums and extremes of one piece, into a row of the ring."""
        extreme = plan.extreme
        features, but_first, rows, (sums, first, others, tops) = plan.room(self)
        wide = h if h.dtype is self.dtype else h.to(self.dtype)
        deviation = torch.sub(wide, plan.centre, out=rows[0]) if self.centred else wide
        torch.mul(deviation, deviation, out=rows[1])
        row, top = self._slopes(plan, z, h, f, rows, tops, told)
        if self.counts_zero:
            torch.eq(h, 0, out=rows[row])
        if self.counts_size:
            torch.abs(wide, out=rows[-2])
        if self.centred:
            torch.sum(features, plan.over, out=sums)
        else:
            torch.sum(wide, plan.dims, out=first)
            torch.sum(but_first, plan.over, out=others)
        if self.sees_z:
            z = z if z.dtype is self.dtype else z.to(self.dtype)
            extreme(torch.amax, z, tops[top])
            top += 1
            if self.sees_least_z:
                extreme(torch.amin, z, tops[top])
                top += 1
        if self.sees_largest:
            extreme(torch.amax, wide, tops[top])
        if self.sees_smallest:
            extreme(torch.amin, wide, tops[-1])
        if plan.folds:
            plan.fold(self)

    def _slopes(
        self,
        plan: Plan,
        z: Tensor,
        h: Tensor,
        f: Callable,
        rows: Sequence[Tensor],
        tops: Sequence[Tensor],
        told: Tensor | None,
    ) -> tuple[int, int]:
        """What is told of slopes: how many rows and extremes are then taken."""
        kind = self.kind
        if kind.steps:
            torch.gt(h, 0, out=rows[2])
            return 3, 0
        if kind.slope is None:
            return 2, 0
        if kind.squares and not self.centred and h.dtype is self.dtype:
            square = rows[1]  # 1 − h² is told by h², in the precision in which autograd has it
            torch.gt(square, self.square_cut, out=rows[2])
            plan.extreme(torch.amin, square, tops[0])
            tops[0].neg_().add_(1)
            if self.counts_sloped:
                torch.lt(square, 1, out=rows[3])
        else:
            # The last row is room for it, and not summed.
            slope = kind.slope(z, h, f, rows[-1]) if told is None else told
            slope = slope if slope.dtype is self.dtype else slope.to(self.dtype)
            torch.lt(slope, self.cut, out=rows[2])
            plan.extreme(torch.amax, slope, tops[0])
            if self.counts_sloped:
                torch.sign(slope, out=rows[3])
        return 4 if self.counts_sloped else 3, 1

    def _plan(self, h: Tensor) -> Plan:
        if len(self.plans) > 16:  # batches of many shapes
            self.plans.clear()
        with torch.inference_mode(False):
            self.plans[h.shape] = plan = Plan(self, h)
        return plan

    def become(self, kind: Kind) -> None:
        """Judge by this kind from now on: of the same figures, with other settings."""
        self.waiting.settle(self)
        self.waiting.shape = None
        self.kind, self.cut = kind, SLOPE_CUT * kind.max_slope
        self.square_cut = _beyond(self.cut, self.dtype)

    def refer(self, mean: Tensor, variance: Tensor) -> None:
        """Count deviations from a recent mean (units,), or from 0 where that does, from now on.

        A unit whose mean was an infinity or a NaN keeps its reference, or later rows were lost too.
        """
        finite = mean.isfinite() & variance.isfinite()
        small = (mean * mean <= SMALL * variance).logical_or_(~finite).all
        self.centred = self.device.type != "cpu" or not small()
        if self.centred:
            self.reference.copy_(torch.where(finite, mean, self.reference))
        else:
            self.reference.zero_()
        for plan in self.plans.values():
            plan.refer(self.reference)

    def take(self) -> Sums:
        """The figures of what the ring holds, and an empty ring."""
        self.waiting.settle(self)
        n, sums = self.n, self.sums[: self.filled].sum(0, dtype=self.wide)
        shift = sums[0] / n  # of the mean from the reference
        taken = Sums(
            n,
            self.examples,
            (self.first, self.last),
            shift + self.reference,
            torch.addcmul(sums[1], sums[0], shift, value=-1).clamp_(min=0),
            sums[2:],
            (self.tops[: self.filled] * self.signs).amax(0),
        )
        self.filled = self.n = self.examples = 0
        return taken

    def rest(self) -> None:
        """Give the working memory back."""
        self.plans.clear()
        self.waiting = Waiting()

    def dead(self, sums: Sums) -> Tensor:
        """Which units show no live row, (units,): soft-dead, or hard-dead if f never saturates."""
        kind = self.kind
        if kind.slope is None:
            return torch.zeros(self.units, dtype=torch.bool, device=self.device)
        if kind.steps:
            return sums.counts[0] == 0
        return sums.tops[0] < self.cut if kind.saturates else sums.tops[0] == 0

    def figures(self, sums: Sums) -> Figures:
        """The figures to read, on the CPU."""
        n, kind = sums.n, self.kind
        count = dict(zip(self.sum_names[2:], sums.counts.double().cpu(), strict=True))
        top = dict(zip(self.top_names, (sums.tops * self.signs).double().cpu(), strict=True))
        if kind.steps:
            count["flat"] = count["zero slope"] = n - count["live"]
            top["slope"] = (count["live"] > 0).double()
            if not kind.signed:  # a ReLU's zeros are where its slope is 0
                count["zero"] = n - count["live"]
        elif "sloped" in count:
            count["zero slope"] = n - count["sloped"]
        share = {name: total / n for name, total in count.items()}
        if not self.sees_largest:
            ends = {
                end: kind.f(top[f"z {end}"].to(self.native)).double()
                for end in ("largest", "smallest")
                if f"z {end}" in top
            }
            if kind.valley:  # its largest value is at one of the ends, its least anywhere
                ends = {"largest": torch.maximum(*ends.values())}
            top.update(ends)
        mean = sums.mean.double().cpu()
        return Figures(
            n=n,
            examples=sums.examples,
            steps=sums.steps,
            mean=mean,
            std=(sums.m2.double().cpu() / n).sqrt(),
            smallest=top.get("smallest"),
            largest=top["largest"],
            z_smallest=top.get("z smallest"),
            z_largest=top.get("z largest"),
            largest_slope=top.get("slope"),
            flat_share=share.get("flat"),
            zero_slope_share=share.get("zero slope"),
            zero_share=share.get("zero"),
            size=share.get("size", None if kind.signed else mean),
        )


def _beyond(cut: float, dtype: torch.dtype) -> float:
    """The number that a square exceeds exactly where 1 minus it is under the cut, as floats go."""
    exact = 1 - torch.tensor(cut, dtype=dtype).double()
    rounded = exact.to(dtype)
    if rounded.double() > exact:
        rounded = torch.nextafter(rounded, torch.zeros_like(rounded))
    return rounded.item()
