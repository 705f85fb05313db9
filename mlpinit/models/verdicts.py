"""The verdict on a unit, in the book's words, and the evidence for it.

A live row proves that a unit lives. That none was seen proves nothing by itself: n examples
without one only bound the live rate, at about 3/n. Below `ENOUGH` examples no unit is called dead.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mlpinit.models.slopes import Kind
from mlpinit.models.statistics import Figures
from mlpinit.saturation import live_rate_bound

__all__ = ["DEAD", "ENOUGH", "MOSTLY", "VERDICTS", "evidence", "verdicts"]

ENOUGH = 300
"""Examples that a verdict needs: with none live among 300 the live rate is under 1%."""

MOSTLY = 0.5
"""A unit flat on more than this part of the rows is mostly saturated."""

VERDICTS = {
    "live": "at least one row has a slope of 2% of the function's largest or more",
    "mostly saturated": "live, but flat on more than half of the rows; said of functions that "
    "saturate on both sides, as tanh: a ReLU that rests half of the time is in its normal state, "
    "and so is a ReLU6",
    "flat": "flat on every row of a function whose slope does not tend to 0, as leaky ReLU's left: "
    "it learns slowly and is not dead",
    "never fired": "at most 0 on every row, with slopes that are not flat: said of units that "
    "fire or do not, as GELU's; a ReLU that never fires is hard-dead",
    "soft-dead": "the slope is under 2% of the function's largest on every row, of a function "
    "whose slope tends to 0 there",
    "hard-dead": "the slope is exactly 0 on every row: no gradient reaches the incoming weights",
    "too few examples": "nothing live seen, on too few examples to say more",
    "slope not seen": "the slope is hidden inside a fused layer, as an LSTM's gates are",
    "not finite": "an infinity or a NaN was met",
}
"""What each verdict says. A unit has one: the last that fits, "too few examples" apart."""

DEAD = {"hard": ("hard-dead",), "soft": ("soft-dead", "hard-dead")}
"""The verdicts that `Report.dead` lists."""


def verdicts(figures: Figures, kind: Kind, enough: int = ENOUGH) -> tuple[str, ...]:
    """One verdict a unit, from at least `enough` examples for all but a live one."""
    names = list(VERDICTS)
    code = torch.zeros(len(figures.mean), dtype=torch.int64)

    def put(name: str, where: Tensor) -> None:
        code[where] = names.index(name)

    if figures.largest_slope is None:
        put("slope not seen", torch.ones_like(code, dtype=torch.bool))
    else:
        flat = figures.flat_share == 1
        if kind.left and kind.right and not kind.rests:
            put("mostly saturated", figures.flat_share > MOSTLY)
        if kind.fires:
            put("never fired", figures.largest <= 0)
        put("soft-dead" if kind.saturates else "flat", flat)
        put("hard-dead", figures.largest_slope == 0)
        if figures.examples < enough:
            put("too few examples", code > names.index("mostly saturated"))
    finite = figures.mean.isfinite() & figures.std.isfinite()
    put("not finite", ~finite)
    return tuple(names[c] for c in code.tolist())


def evidence(
    figures: Figures,
    max_slope: float,
    verdict: str,
    units: Sequence[int],
    *,
    since: Sequence[int] | None = None,
) -> str:
    """Why: the rows counted, and what they bound, in one line of text for units of one verdict.

    `since` are the forward passes from which on dead units have shown no live row.
    """
    n, examples, units = figures.n, figures.examples, list(units)
    rows = f"{n:,} rows" if n == examples else f"{n:,} rows of {examples:,} examples"
    if verdict == "slope not seen":
        low, high = figures.smallest[units].min(), figures.largest[units].max()
        return f"h from {low:.3g} to {high:.3g} on {rows}"
    if verdict == "not finite":
        return f"an infinity or a NaN among {rows}"
    if verdict == "never fired":
        return f"h at most {figures.largest[units].max():.2g} on {rows}"
    if verdict == "hard-dead":
        what = f"slope 0 on {rows}"
    elif verdict in ("soft-dead", "flat"):
        slope = figures.largest_slope[units].max()
        what = f"largest slope {slope:.2g} of {max_slope:.3g} on {rows}"
    else:
        live = n - (figures.flat_share[units] * n).round().long()
        return f"{_range(live.tolist())} live of {rows}"
    if verdict == "flat":
        return what
    bound = f"{100 * live_rate_bound(examples):.2g}%"
    bound = f"live rate < {bound}" if n == examples else f"live in < {bound} of examples"
    return f"{what}: 0 live, {bound}" + ("" if since is None else f"; since step {_range(since)}")


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
