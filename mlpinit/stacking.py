"""Panels that stand in a grid, put one above the other for a while: a figure for a telephone."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.text import Text

__all__ = ["in_a_grid", "side_by_side", "small_type", "stacked", "with_stacked"]

WIDTH = 4.4  # inches: letters of 12.5 points are as large on a telephone as the text around them
TALLEST = 3.1  # inches, of a panel that may have any form
MOST = 6  # panels: more of them are small pictures, that no telephone spoils
SMALLEST = 12.5 / 470  # a letter's size over the figure's width: less is too small on a telephone
RAISED = re.compile(r"\$[^$]*[_^][^$]*\$")  # mathematics with letters at seven tenths of the size
KEPT = "_side_by_side"


def side_by_side(figure: Figure) -> Figure:
    """Have this figure's panels stay side by side on a telephone too; returns the figure."""
    setattr(figure, KEPT, True)
    return figure


def in_a_grid(figure: Figure) -> bool:
    """Tell whether a figure is up to six panels that fill a grid, and nothing else but colour bars.

    >>> from matplotlib.figure import Figure
    >>> figure = Figure()
    >>> axes = figure.subplots(2, 3)
    >>> in_a_grid(figure), in_a_grid(side_by_side(figure))
    (True, False)
    """
    panels = _panels(figure)
    places = _places(panels)
    if getattr(figure, KEPT, False) or not places or None in places:
        return False
    grid = places[0].get_gridspec()
    return (
        all(place.get_gridspec() is grid for place in places)
        and all(len(place.rowspan) == len(place.colspan) == 1 for place in places)
        and len(panels) == grid.nrows * grid.ncols <= MOST
    )


def small_type(figure: Figure) -> bool:
    """Tell whether letters of a figure that has been drawn are too small for a telephone.

    >>> from matplotlib.figure import Figure
    >>> figure = Figure(figsize=(6.4, 3.1))
    >>> letters = figure.text(0, 0, "small", fontsize=10)
    >>> small_type(figure)
    True
    """
    sizes = [
        (0.7 if RAISED.search(text.get_text()) else 1) * text.get_fontsize()
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text()
    ]
    return bool(min(sizes, default=math.inf) < 72 * figure.get_figwidth() * SMALLEST)


@contextmanager
def stacked(figure: Figure) -> Iterator[Figure]:
    """The figure at a telephone's width, its panels one above the other; afterwards as it was.

    Panels follow one another as they are read, row by row. What only the first panel of a row
    said of the y axis each panel says: its ticks, where they share it, and its label, where a
    panel has none. So it is with the last of a column and the x axis, and with the title of the
    first in a column.

    Raises `ValueError` for a figure whose panels do not fill a grid (`in_a_grid`).

    >>> from matplotlib.figure import Figure
    >>> figure = Figure(layout="constrained")
    >>> left, right = figure.subplots(1, 2)
    >>> with stacked(figure):
    ...     right.get_gridspec().get_geometry()  # rows, columns
    (2, 1)
    >>> right.get_gridspec().get_geometry()
    (1, 2)
    """
    if not in_a_grid(figure):
        raise ValueError("this figure's panels do not fill a grid; leave it as it is")
    panels = _panels(figure)
    by_place = {(p.rowspan.start, p.colspan.start): ax for p, ax in _with_places(panels)}
    rows, columns = _places(panels)[0].get_gridspec().get_geometry()
    with ExitStack() as after:
        after.callback(figure.set_size_inches, *figure.get_size_inches())
        grid = figure.add_gridspec(rows * columns, 1)
        height = _height(panels, figure.get_size_inches(), rows, columns)
        for (row, column), ax in by_place.items():
            after.callback(ax.set_subplotspec, ax.get_subplotspec())
            ax.set_subplotspec(grid[row * columns + column, 0])
            if columns > 1 and ax.axison:
                _say_again(ax, "y", by_place[row, 0], after)
                _say_again(ax, "x", by_place[rows - 1, column], after)
                _title_again(ax, by_place[0, column], after)
        figure.set_size_inches(WIDTH, rows * columns * height)
        yield figure


def with_stacked(draw: Callable[[Figure], Any], figure: Figure) -> Any:
    """What `draw` makes of the figure, with what it makes of it stacked as metadata beside it.

    `(data, {"stacked": data})` for a figure whose panels stand side by side, or whose letters are
    small, else `data` alone: what a formatter of IPython may return.
    """
    wide = draw(figure)
    if wide is None or not in_a_grid(figure) or not (_is_wide(figure) or small_type(figure)):
        return wide
    with stacked(figure):
        return wide, {"stacked": draw(figure)}


def _is_wide(figure: Figure) -> bool:
    return _places(_panels(figure))[0].get_gridspec().ncols > 1


def _panels(figure: Figure) -> list[Axes]:
    return [ax for ax in figure.axes if not hasattr(ax, "_colorbar")]


def _places(panels: list[Axes]) -> list[SubplotSpec]:
    return [ax.get_subplotspec() for ax in panels]


def _with_places(panels: list[Axes]) -> Iterator[tuple[SubplotSpec, Axes]]:
    return zip(_places(panels), panels, strict=True)


def _height(panels: list[Axes], size: tuple[float, float], rows: int, columns: int) -> float:
    """A panel whose form is fixed shrinks with its width alone; another may lose some height."""
    width, height = size[0] / columns, size[1] / rows
    fixed = any(ax.get_aspect() != "auto" for ax in panels)
    return height * min(1, WIDTH / width) if fixed else min(height, TALLEST)


def _say_again(ax: Axes, axis: str, source: Axes, after: ExitStack) -> None:
    """Give a panel what only another said of an axis that they share: its ticks and its label."""
    if ax is source:
        return
    mine, there = getattr(ax, f"{axis}axis"), getattr(source, f"{axis}axis")
    if getattr(ax, f"get_shared_{axis}_axes")().joined(ax, source):
        for ticks in ("left", "labelleft") if axis == "y" else ("bottom", "labelbottom"):
            now, wanted = (one.get_tick_params()[ticks] for one in (mine, there))
            after.callback(partial(ax.tick_params, axis=axis, **{ticks: now}))
            ax.tick_params(axis=axis, **{ticks: wanted})
    after.callback(mine.set_label_text, mine.get_label_text())
    mine.set_label_text(mine.get_label_text() or there.get_label_text())


def _title_again(ax: Axes, first: Axes, after: ExitStack) -> None:
    """Give a panel the title of the first in its column, where it has none."""
    title = ax.get_title("left")
    after.callback(partial(ax.set_title, title, loc="left"))
    ax.set_title(title or first.get_title("left"), loc="left")
