"""When units die, come to life and revive: what one window of rows showed against the last.

A window is a number of successive watched forward passes that hold enough examples. A unit is
dead in a window that shows no row on which it is live. The parameters move from row to row, so
that a window is not a sample of one network; but whatever they do, a unit whose live rates at
those rows add up to 3 shows none with probability e⁻³ at most: the rule of three then bounds the
*mean* live rate over the window.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mlpinit.models.accumulation import Ring
from mlpinit.models.statistics import Sums, merge

__all__ = ["EVENTS", "Windows"]

MOST_CLOSED = 8  # windows that wait to be taken into account
HISTORY = 512  # windows remembered, at most
EVENTS = ("step", "dead", "births", "deaths", "revivals")
"""The columns of a site's history: the last forward pass of a window, and how many units."""


class Windows:
    """Figures of one site by window, and what became of each unit.

    - `whole`: everything before the open window; `last`: the window before it; `open`: it
    - `births`, `deaths`, `revivals`: (units,) int64. A birth is a unit that was dead from the
      first and comes to life; a revival one that had been live, died, and is live again
    - `since`: (units,) int64, the first forward pass of the window that brought the present state
    - `known`: (units,) bool, which have had a window of finite numbers; before that, and in any
      later window with an infinity or a NaN, a unit's state is not told and does not change
    """

    def __init__(self, ring: Ring, examples: int) -> None:
        """`examples` are enough for a window."""
        self.ring, self.examples = ring, examples
        self.whole: Sums | None = None
        self.last: Sums | None = None
        self.open: Sums | None = None
        zeros = torch.zeros(ring.units, dtype=torch.int64, device=ring.device)
        self.births, self.deaths, self.revivals = zeros, zeros.clone(), zeros.clone()
        self.since, self.lived, self.known = zeros.clone(), zeros.bool(), zeros.bool()
        self.was_dead = zeros.bool()
        self.all_known, self.n_dead = False, 0
        self.closed: list[Sums] = []  # not yet taken into account: several at a time cost less
        self.events: list[tuple[int, ...]] = []

    def nbytes(self) -> int:
        """Bytes held."""
        held = [self.births, self.deaths, self.revivals, self.since]
        held += [self.lived, self.known, self.was_dead]
        for sums in (self.whole, self.open, *self.closed):
            held += [] if sums is None else [sums.mean, sums.m2, sums.counts, sums.tops]
        return sum(t.nbytes for t in held)

    def flush(self) -> None:
        """Merge what the ring holds into the open window."""
        ring = self.ring
        if ring.filled or ring.waiting.filled:
            with torch.inference_mode(False):
                taken = ring.take()
                self.open = merge(self.open, taken)
                ring.refer(self.open.mean, self.open.m2 / self.open.n)

    def advance(self) -> None:
        """Close the open window if it has enough examples. Called between forward passes."""
        ring, so_far = self.ring, 0 if self.open is None else self.open.examples
        if so_far + ring.examples + ring.waiting.examples >= self.examples:
            self.flush()
            self.last, self.open = self.open, None
            self.closed.append(self.last)
            if len(self.closed) == MOST_CLOSED:
                self.settle()

    def settle(self) -> None:
        """Take the closed windows into account."""
        with torch.inference_mode(False):
            for window in self.closed:
                self._close(window)
        self.closed.clear()

    def finish(self) -> None:
        """All that there is, for a report."""
        self.flush()
        self.settle()

    def recent(self) -> Sums:
        """The last window and what came after it: never fewer examples than a window has."""
        if self.last is None or self.open is None:
            return self.last or self.open
        return merge(self.last, self.open)

    def everything(self) -> Sums:
        """All rows so far."""
        return self.whole if self.open is None else merge(self.whole, self.open)

    def history(self) -> dict[str, list[int]]:
        """A list for each of `EVENTS`, a window an entry; of a long run coarser."""
        columns = zip(*self.events, strict=True) if self.events else ((),) * len(EVENTS)
        return dict(zip(EVENTS, map(list, columns), strict=True))

    def _close(self, window: Sums) -> None:
        self.whole = merge(self.whole, window)
        finite = window.mean.isfinite()
        dead = torch.where(finite, self.ring.dead(window), self.was_dead)
        if not self.all_known:
            self._meet(dead, finite & ~self.known, window.steps[0])
        changes = (0, 0, 0)
        if not torch.equal(dead, self.was_dead):
            changes = self._change(dead, self.was_dead, window.steps[0])
        self.was_dead = dead
        self.events.append((window.steps[1], self.n_dead, *changes))
        if len(self.events) == HISTORY:
            self._thin()

    def _meet(self, dead: Tensor, first: Tensor, step: int) -> None:
        """Take the state of units seen for the first time as it is: it is no event."""
        self.known |= first
        self.all_known = bool(self.known.all())
        self.was_dead = torch.where(first, dead, self.was_dead)
        self.lived |= first & ~dead
        self.since.masked_fill_(first, step)
        self.n_dead = int(self.was_dead.sum())

    def _change(self, dead: Tensor, was_dead: Tensor, step: int) -> tuple[int, int, int]:
        """Note who died, was born or revived; how many did."""
        died, woke = dead & ~was_dead, was_dead & ~dead
        born, revived = woke & ~self.lived, woke & self.lived
        self.lived |= woke
        self.since.masked_fill_(died | woke, step)
        self.births += born
        self.deaths += died
        self.revivals += revived
        self.n_dead = int(dead.sum())
        return int(born.sum()), int(died.sum()), int(revived.sum())

    def _thin(self) -> None:
        """Make one of every two windows of the history: the later state, the events of both."""
        pairs = zip(self.events[::2], self.events[1::2], strict=True)
        self.events = [
            (*later[:2], *(a + b for a, b in zip(first[2:], later[2:], strict=True)))
            for first, later in pairs
        ]
