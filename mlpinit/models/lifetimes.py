"""When units die, come to life and revive: what one window of rows showed against the last.

A window is a number of successive watched forward passes that hold enough examples. A unit is
dead in a window that shows no row on which it is live. The parameters move from row to row, so
that a window is not a sample of one network; but whatever they do, a unit whose live rates at
those rows add up to 3 shows none with probability e⁻³ at most: the rule of three then bounds the
*mean* live rate over the window.

The windows of several ranks of a distributed run, each of which saw its share of every batch, are
put side by side: a unit is dead in the joint window if it is so in the window of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import torch
from torch import Tensor

from mlpinit.models.accumulation import Ring
from mlpinit.models.statistics import Sums, merge

__all__ = ["EVENTS", "Change", "Course", "Lives", "Windows", "side_by_side"]

MOST_CLOSED = 8  # windows that wait to be taken into account
HISTORY = 512  # windows remembered, at most
EVENTS = ("step", "dead", "births", "deaths", "revivals")
"""The columns of a site's history: the last forward pass of a window, and how many units."""
MOST_CHANGES = 64  # of a unit's state that are remembered, in the mean over a site's units

UNKNOWN, LIVE, DEAD = 0, 1, 2  # in this order: of several ranks' states the least is the joint one


class Lives:
    """What became of each unit of a site, told window by window.

    - `births`, `deaths`, `revivals`: (units,) int64. A birth is a unit that was dead from the
      first and comes to life; a revival one that had been live, died, and is live again
    - `since`: (units,) int64, the first forward pass of the window that brought the present state
    - `known`: (units,) bool, which have had a window of finite numbers; before that, and in any
      later window with an infinity or a NaN, a unit's state is not told and does not change
    """

    def __init__(self, units: int, device: torch.device | str = "cpu") -> None:
        """Nothing is known of the units."""
        zeros = torch.zeros(units, dtype=torch.int64, device=device)
        self.births, self.deaths, self.revivals = zeros, zeros.clone(), zeros.clone()
        self.since, self.lived, self.known = zeros.clone(), zeros.bool(), zeros.bool()
        self.was_dead = zeros.bool()
        self.all_known, self.n_dead = False, 0

    def nbytes(self) -> int:
        """Bytes held."""
        held = [self.births, self.deaths, self.revivals, self.since]
        return sum(t.nbytes for t in [*held, self.lived, self.known, self.was_dead])

    def tell(self, state: Tensor, step: int) -> tuple[int, int, int]:
        """A window from `step` on showed these states, (units,): how many births, deaths, revivals.

        A state is `UNKNOWN`, `LIVE` or `DEAD`.
        """
        finite = state != UNKNOWN
        dead = torch.where(finite, state == DEAD, self.was_dead)
        if not self.all_known:
            self._meet(dead, finite & ~self.known, step)
        changes = (0, 0, 0)
        if not torch.equal(dead, self.was_dead):
            changes = self._change(dead, self.was_dead, step)
        self.was_dead = dead
        return changes

    def changes(self) -> dict[str, Tensor]:
        """The events of each unit, by name, on the CPU."""
        names = ("births", "deaths", "revivals")
        return {name: getattr(self, name).cpu().clone() for name in names}

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


@dataclass(frozen=True)
class Change:
    """Units whose state in a window was another than in the window before.

    - `window`: its number; `first`, `last`: its forward passes
    - `units`: (changed,) int64; `states`: (changed,) uint8
    """

    window: int
    first: int
    last: int
    units: Tensor
    states: Tensor


@dataclass(frozen=True)
class Course:
    """What the windows of one site showed, so that it can be put beside what another rank's did.

    - `units`; `windows`: how many were complete; `ends`: a checksum of where they begin and end
    - `steps`: the last forward pass of each window in the history
    - `changes`: in order; None where there were too many to remember
    """

    units: int
    windows: int
    ends: int
    steps: tuple[int, ...]
    changes: tuple[Change, ...] | None


def side_by_side(courses: Sequence[Course]) -> dict[str, Any] | None:
    """What became of the units on all ranks together, as `SiteReport` has it.

    That is "births", "deaths", "revivals" and "since", (units,), and "history". None where the
    ranks' windows do not begin and end together, or where too much happened to be remembered.
    """
    first = courses[0]
    if any((c.windows, c.ends) != (first.windows, first.ends) for c in courses):
        return None
    if any(c.changes is None for c in courses):
        return None
    happened: dict[int, dict[int, Change]] = {}
    for rank, course in enumerate(courses):
        for change in course.changes:
            happened.setdefault(change.window, {})[rank] = change
    states = torch.zeros(len(courses), first.units, dtype=torch.uint8)
    lives, events = Lives(first.units), []
    for window in sorted(happened):
        for rank, change in happened[window].items():
            states[rank, change.units] = change.states
        counts = lives.tell(states.amin(0), change.first)
        events.append((change.last, lives.n_dead, *counts))
    history = _at(first.steps, events)
    since = lives.since if first.windows else None
    return {**lives.changes(), "since": since, "history": _columns(history)}


def _at(steps: Sequence[int], events: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The history at these forward passes, of events at any of them or between them."""
    history, waiting, dead = [], list(reversed(events)), 0
    for step in steps:
        counts = [0, 0, 0]
        while waiting and waiting[-1][0] <= step:
            _, dead, *more = waiting.pop()
            counts = [a + b for a, b in zip(counts, more, strict=True)]
        history.append((step, dead, *counts))
    return history


def _columns(events: Sequence[tuple[int, ...]]) -> dict[str, list[int]]:
    """A list for each of `EVENTS`, a window an entry."""
    columns = zip(*events, strict=True) if events else ((),) * len(EVENTS)
    return dict(zip(EVENTS, map(list, columns), strict=True))


class Windows:
    """Figures of one site by window, and what became of each unit.

    - `whole`: everything before the open window; `last`: the window before it; `open`: it
    - `lives`: what became of each unit; `state`: (units,) uint8, what the last window showed
    """

    def __init__(self, ring: Ring, examples: int) -> None:
        """`examples` are enough for a window."""
        self.ring, self.examples = ring, examples
        self.whole: Sums | None = None
        self.last: Sums | None = None
        self.open: Sums | None = None
        self.lives = Lives(ring.units, ring.device)
        self.state = torch.zeros(ring.units, dtype=torch.uint8, device=ring.device)
        self.closed: list[Sums] = []  # not yet taken into account: several at a time cost less
        self.events: list[tuple[int, ...]] = []
        self.count = self.ends = self.n_changes = 0
        self.changes: list[Change] | None = []

    def nbytes(self) -> int:
        """Bytes held."""
        held = [self.state]
        for change in self.changes or ():
            held += [change.units, change.states]
        for sums in (self.whole, self.open, *self.closed):
            held += [] if sums is None else [sums.mean, sums.m2, sums.counts, sums.tops]
        return self.lives.nbytes() + sum(t.nbytes for t in held)

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
        return _columns(self.events)

    def course(self) -> Course:
        """What the windows showed, on the CPU."""
        changes = self.changes
        if changes is not None:
            changes = tuple(
                replace(change, units=change.units.cpu(), states=change.states.cpu())
                for change in changes
            )
        steps = tuple(step for step, *_ in self.events)
        return Course(self.ring.units, self.count, self.ends, steps, changes)

    def _close(self, window: Sums) -> None:
        self.whole = merge(self.whole, window)
        told = self.ring.dead(window).to(torch.uint8) + LIVE
        state = torch.where(window.mean.isfinite(), told, UNKNOWN)
        counts = (0, 0, 0)
        if not torch.equal(state, self.state):
            counts = self.lives.tell(state, window.steps[0])
            self._remember(state, window)
        self.state = state
        self.count += 1
        self.ends = crc32(repr(window.steps).encode(), self.ends)
        self.events.append((window.steps[1], self.lives.n_dead, *counts))
        if len(self.events) == HISTORY:
            self._thin()

    def _remember(self, state: Tensor, window: Sums) -> None:
        """Note which units' states have changed, unless there have been too many changes."""
        if self.changes is None:
            return
        units = (state != self.state).nonzero().flatten()
        self.n_changes += len(units)
        if self.n_changes > MOST_CHANGES * self.ring.units or len(self.changes) == HISTORY:
            self.changes = None
        else:
            self.changes.append(Change(self.count, *window.steps, units, state[units]))

    def _thin(self) -> None:
        """Make one of every two windows of the history: the later state, the events of both."""
        pairs = zip(self.events[::2], self.events[1::2], strict=True)
        self.events = [
            (*later[:2], *(a + b for a, b in zip(first[2:], later[2:], strict=True)))
            for first, later in pairs
        ]
