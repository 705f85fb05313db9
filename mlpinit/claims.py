"""Claims: what a page says of its measurements, each with a check that fails where it is not so.

A sentence such as "folding a live unit costs more than 0.02 nats" names a measurement and a bound.
`claim` checks the bound, and beside it the *null*: the same measurement where the effect is
absent (the term deleted, the labels shuffled, the arm compared with itself). A check that the null
passes too would pass whatever the page found, so it stops the page as surely as a false claim.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["HOW", "Checked", "Claim", "ClaimError", "claim", "collecting"]

HOW = ("proved", "exact", "cited", "run", "recorded")
"""How a claim can be known: derived; computed without a draw; found by others; measured in runs
of the page; measured in runs that are kept, and so are the same whatever the page draws."""

ENOUGH = 0.9
"""Of many seeds, the share on which a claim about each of them must hold, and its null must not."""

Measured = Tensor | float | bool

_collected: ContextVar[list[Checked] | None] = ContextVar("collected", default=None)


class ClaimError(AssertionError):
    """A claim that does not hold, or that holds where there is nothing to find."""


@dataclass(frozen=True)
class Claim:
    """What is said, and how it is known.

    - `name`: of its own in the book, for the page's text to point at
    - `says`: the claim as a sentence, without its full stop
    - `how`: one of `HOW`
    - `seeds`: over how many seeds it was measured on the page
    - `paired`: two arms compared on the same draws
    - `source`: whose finding it is, where it is cited: a key of the list of references
    """

    name: str
    says: str
    how: str = "run"
    seeds: int = 1
    paired: bool = False
    source: str | None = None


@dataclass(frozen=True)
class Checked:
    """A claim and what became of it.

    A margin is how far the measurement lies inside its bound, in its own unit; below 0, outside.

    - `margins`: one for each seed, or one of all together
    - `nulls`: the same where the effect is absent; empty where there is nothing to compare with
    """

    claim: Claim
    margins: list[float]
    nulls: list[float]

    @property
    def held(self) -> int:
        """On how many of the `margins` it holds."""
        return sum(margin > 0 for margin in self.margins)

    @property
    def rejected(self) -> int:
        """On how many of the `nulls` it does not hold."""
        return sum(not margin > 0 for margin in self.nulls)

    @property
    def holds(self) -> bool:
        """Whether it holds on enough of them."""
        return self.held >= ENOUGH * len(self.margins)

    @property
    def could_fail(self) -> bool:
        """Whether its null is rejected on enough of them."""
        return self.rejected >= ENOUGH * len(self.nulls)


def claim(
    name: str,
    says: str,
    measured: Measured | None = None,
    *,
    over: float | None = None,
    under: float | None = None,
    near: tuple[float, float] | None = None,
    null: Measured | Callable[[], Measured] | None = None,
    how: str = "run",
    seeds: int = 1,
    paired: bool = False,
    source: str | None = None,
) -> None:
    """Check that what was measured is as the page says, and that the check could have failed.

    - `measured`: a number or a tensor, all of whose entries must lie inside the bounds; or a truth
      value, without bounds. Where its first axis has `seeds` entries, they are judged one by one,
      and nine in ten must hold
    - `over`, `under`, `near`: the bounds, themselves excluded; `near=(x, d)` is x ± d
    - `null`: the same measurement where the effect is absent, which must fall outside. What takes
      long is a function without arguments: it is called where evidence is collected, not in a build
    - `how`, `seeds`, `paired`, `source`: see `Claim`

    Raises `ClaimError` where the claim does not hold or its null does, and `ValueError` for a claim
    that cannot be checked: no bound, a measured one without a null, a cited one without a source.

    >>> claim("half", "half of the tosses are heads", 0.497, near=(0.5, 0.02), null=0.75)
    """
    said = Claim(name, says, how, seeds, paired, source)
    _refuse_unchecked(said, measured, null)
    bounds = _bounds(said, measured, over, under, near)
    margins = [] if measured is None else _margins(measured, bounds, seeds)
    collected = _collected.get()
    if callable(null):
        null = None if collected is None else null()
    nulls = [] if null is None else _margins(null, bounds, seeds)
    checked = Checked(said, margins, nulls)
    if collected is not None:
        collected.append(checked)
    else:
        _raise_if_false(checked, measured, bounds)


@contextlib.contextmanager
def collecting() -> Iterator[list[Checked]]:
    """Within it `claim` raises nothing that was measured and adds what it found to this list."""
    found: list[Checked] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def _refuse_unchecked(said: Claim, measured: object, null: object) -> None:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", said.name):
        raise ValueError(f"the name {said.name!r} is not of the form chapter-what-it-says")
    if said.how not in HOW:
        raise ValueError(f"{said.name}: how={said.how!r} is none of {', '.join(HOW)}")
    if said.how == "cited" and not said.source:
        raise ValueError(f"{said.name} is cited and names no source: source='hanin2018'")
    if said.how in ("run", "recorded", "exact") and measured is None:
        raise ValueError(f"{said.name} has nothing measured to check")
    if said.how in ("run", "recorded") and null is None:
        raise ValueError(
            f"{said.name} has no null: give null=, the same measurement where the effect is absent "
            "(the term deleted, the labels shuffled, the arm compared with itself)"
        )


def _bounds(
    said: Claim,
    measured: Measured | None,
    over: float | None,
    under: float | None,
    near: tuple[float, float] | None,
) -> tuple[float, float]:
    given = over is not None or under is not None or near is not None
    if measured is None:
        return -math.inf, math.inf
    if _is_truth(measured):
        if given:
            raise ValueError(f"{said.name}: a truth value has no bounds")
        return 0.5, math.inf
    if not given:
        raise ValueError(f"{said.name} has no bound: give over=, under= or near=(value, distance)")
    low, high = -math.inf if over is None else over, math.inf if under is None else under
    if near is not None:
        low, high = max(low, near[0] - near[1]), min(high, near[0] + near[1])
    if not low < high:
        raise ValueError(f"{said.name}: nothing lies over {low} and under {high}")
    return float(low), float(high)


def _is_truth(value: object) -> bool:
    return isinstance(value, bool) or (isinstance(value, Tensor) and value.dtype == torch.bool)


def _margins(measured: Measured, bounds: tuple[float, float], seeds: int) -> list[float]:
    """The smallest margin of each seed where the first axis is theirs, else of all."""
    values = torch.as_tensor(measured).detach().double().cpu()
    if values.numel() == 0:
        raise ValueError("nothing was measured: the tensor is empty")
    each = seeds > 1 and values.dim() > 0 and len(values) == seeds
    inside = torch.minimum(values - bounds[0], bounds[1] - values)
    inside = torch.where(inside.isnan(), -math.inf, inside)
    return inside.reshape(seeds if each else 1, -1).amin(-1).tolist()


def _raise_if_false(
    checked: Checked, measured: Measured | None, bounds: tuple[float, float]
) -> None:
    said = checked.claim
    if not checked.holds:
        n = len(checked.margins)
        holds = f"holds on {checked.held} of {n} seeds" if n > 1 else "does not hold"
        raise ClaimError(
            f"{said.name}: “{said.says}” {holds}. Measured: {measured}; wanted: {_told(bounds)}"
        )
    if not checked.could_fail:
        raise ClaimError(
            f"{said.name}: “{said.says}” passes its null as well, by {max(checked.nulls):.3g}, "
            f"so its check shows nothing. Wanted: {_told(bounds)}"
        )


def _told(bounds: tuple[float, float]) -> str:
    ways = (("over", bounds[0]), ("under", bounds[1]))
    return " and ".join(f"{word} {value:g}" for word, value in ways if math.isfinite(value))
