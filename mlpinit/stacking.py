"""Panels that stand side by side, put one above the other for a while: a figure for a telephone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

__all__ = ["in_one_row", "side_by_side", "stacked", "with_stacked"]

WIDTH = 4.4  # inches: letters of 12.5 points are as large on a telephone as the text around them
TALLEST = 3.1  # inches, of a panel that may have any form
MOST = 4  # panels: more of them in a row are small pictures, that no telephone spoils
KEPT = "_side_by_side"


def side_by_side(figure: Figure) -> Figure:
    """Have this figure's panels stay side by side on a telephone too; returns the figure."""
    setattr(figure, KEPT, True)
    return figure


def in_one_row(figure: Figure) -> bool:
    """Tell whether a figure is two to four panels in one row, and nothing else but colour bars.

    >>> from matplotlib.figure import Figure
    >>> figure = Figure()
    >>> axes = figure.subplots(1, 3)
    >>> in_one_row(figure), in_one_row(side_by_side(figure))
    (True, False)
    """
    panels = [ax for ax in figure.axes if not _is_colour_bar(ax)]
    places = [ax.get_subplotspec() for ax in panels]
    if getattr(figure, KEPT, False) or not places or None in places:
        return False
    grid = places[0].get_gridspec()
    return (
        all(place.get_gridspec() is grid for place in places)
        and grid.nrows == 1
        and 2 <= grid.ncols <= MOST
        and all(len(place.colspan) == 1 for place in places)
    )


@contextmanager
def stacked(figure: Figure) -> Iterator[Figure]:
    """The figure with its panels one above the other, each as wide as it; afterwards as it was.

    What only the first panel said of the y axis each panel says: its ticks, where they share it,
    and its label, where a panel has none.

    Raises `ValueError` for a figure whose panels do not stand in one row (`in_one_row`).

    >>> from matplotlib.figure import Figure
    >>> figure = Figure(layout="constrained")
    >>> left, right = figure.subplots(1, 2)
    >>> with stacked(figure):
    ...     right.get_gridspec().get_geometry()  # rows, columns
    (2, 1)
    >>> right.get_gridspec().get_geometry()
    (1, 2)
    """
    if not in_one_row(figure):
        raise ValueError("this figure's panels do not stand in one row; leave it as it is")
    panels = [ax for ax in figure.axes if not _is_colour_bar(ax)]
    with ExitStack() as after:
        after.callback(figure.set_size_inches, *figure.get_size_inches())
        grid = figure.add_gridspec(_places(panels)[0].get_gridspec().ncols, 1)
        for ax, place in zip(panels, _places(panels), strict=True):
            after.callback(ax.set_subplotspec, place)
            ax.set_subplotspec(grid[place.colspan.start, 0])
            _say_again(ax, panels[0], after)
        figure.set_size_inches(WIDTH, _height(panels, figure.get_size_inches()[1], grid.nrows))
        yield figure


def with_stacked(draw: Callable[[Figure], Any], figure: Figure) -> Any:
    """What `draw` makes of the figure, with what it makes of it stacked as metadata beside it.

    `(data, {"stacked": data})` for a figure whose panels stand in one row, else `data` alone:
    what a formatter of IPython may return.
    """
    wide = draw(figure)
    if wide is None or not in_one_row(figure):
        return wide
    with stacked(figure):
        return wide, {"stacked": draw(figure)}


def _is_colour_bar(ax: Axes) -> bool:
    return hasattr(ax, "_colorbar")


def _places(panels: list[Axes]) -> list[SubplotSpec]:
    return [ax.get_subplotspec() for ax in panels]


def _height(panels: list[Axes], height: float, rows: int) -> float:
    """A panel whose form is fixed keeps its height, and another may lose some of it."""
    fixed = any(ax.get_aspect() != "auto" for ax in panels)
    return rows * (height if fixed else min(height, TALLEST))


def _say_again(ax: Axes, first: Axes, after: ExitStack) -> None:
    """Give a panel what only the first in the row said of the y axis: its ticks and its label."""
    if ax is first or not ax.axison:
        return
    if ax.get_shared_y_axes().joined(ax, first):
        for ticks in ("left", "labelleft"):
            now, wanted = (axes.yaxis.get_tick_params()[ticks] for axes in (ax, first))
            after.callback(partial(ax.tick_params, axis="y", **{ticks: now}))
            ax.tick_params(axis="y", **{ticks: wanted})
    after.callback(ax.set_ylabel, ax.get_ylabel())
    ax.set_ylabel(ax.get_ylabel() or first.get_ylabel())
