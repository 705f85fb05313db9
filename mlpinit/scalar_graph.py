"""Draw how a scalar was computed: inputs at the left, the result at the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import matplotlib
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Polygon
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from mlpinit.scalar import Value, topological_order

__all__ = ["expression_graph"]

MOST_VALUES = 60
SYMBOLS = {"*": "×", "-": "−", "/": "÷", "neg": "−"}

# Lengths in units of the font size: the drawing is one picture, scaled to its axes.
LINE, PADDING, PILL, LINK, GAP, ROW_GAP = 1.35, 0.5, 1.5, 0.4, 1.7, 0.75
SMALLEST_VIEW = (44.0, 14.0)


def expression_graph(ax: Axes, root: Value, *, show_grad: bool = True) -> Axes:
    """Draw every value that `root` was computed from, and how, on `ax`; return `ax`.

    A box is a value: its label and `data`, and its `grad` below (`show_grad=False` leaves it
    out; call `root.backward()` first to have it). The round badge before a box is the operation
    that made it, the arrows into the badge are its arguments, the first one on top. Each value
    stands as far right as its uses allow. The drawing scales with the axes, takes its colour
    from `rcParams["text.color"]` and leaves the background as it is.

    Raises `ValueError` for more than 60 values: they could not be read.

    >>> from matplotlib.figure import Figure
    >>> x, y = Value(2.0, "x"), Value(-3.0, "y")
    >>> ax = expression_graph(Figure(figsize=(8, 3.2)).subplots(), (x * y).tanh())
    """
    values = topological_order(root)
    if len(values) > MOST_VALUES:
        raise ValueError(
            f"the graph has {len(values)} values; at most {MOST_VALUES} can be read:"
            " draw a smaller expression, or one of its parts"
        )
    layout = _layout(values)
    lines = [_lines(value, show_grad) for value in values]
    pen = _Pen(ax, matplotlib.rcParams["text.color"])
    width, height = _draw(pen, values, lines, layout)
    _frame(ax, width, height)
    return ax


def _lines(value: Value, show_grad: bool) -> list[str]:
    """What a box says, one string a line."""
    label = value.label.strip()
    lines = [f"{label} = {_number(value.data)}" if label else _number(value.data)]
    return [*lines, f"grad {_number(value.grad)}"] if show_grad else lines


def _number(x: float) -> str:
    """`x` for a narrow box: two decimals, or two digits if small; powers of ten at the extremes."""
    if x == 0 or 0.1 <= abs(x) < 1e4:
        text = f"{x or 0.0:.2f}"  # -0.0 reads as 0.00
    elif 1e-4 <= abs(x) < 0.1:
        text = f"{x:.2g}"
    else:
        text = f"{x:.1e}"
    return text.replace("-", "−")


@dataclass(frozen=True)
class _Layout:
    """Where items stand: values first (their number is their index), then bends of long arrows.

    `columns[c]`: the items of column c, top to bottom; `y[item]`: its height, in rows, downwards;
    `routes`: for each argument of each value, (value, which argument, items from parent to value).
    """

    columns: list[list[int]]
    y: list[float]
    routes: list[tuple[int, int, list[int]]]


def _layout(values: Sequence[Value]) -> _Layout:
    """Columns by the longest path to the root, then rows with few crossings, then heights."""
    index = {value: i for i, value in enumerate(values)}
    steps = [0] * len(values)  # the longest path to the root
    for i in reversed(range(len(values))):
        for parent, _ in values[i].parents:
            steps[index[parent]] = max(steps[index[parent]], steps[i] + 1)
    column = [max(steps) - s for s in steps]

    routes, bends = [], {}
    for i, value in enumerate(values):
        for slot, (parent, _) in enumerate(value.parents):
            start = index[parent]
            route = [start]
            for c in range(column[start] + 1, column[i]):
                if (start, c) not in bends:  # arrows from one value share their bends
                    bends[start, c] = len(column)
                    column.append(c)
                route.append(bends[start, c])
            routes.append((i, slot, [*route, i]))

    columns = [[i for i, c in enumerate(column) if c == k] for k in range(max(steps) + 1)]
    links = sorted({pair for *_, route in routes for pair in pairwise(route)})
    columns = _order_rows(columns, links)
    return _Layout(columns, _heights(columns, links), routes)


def _order_rows(columns: list[list[int]], links: list[tuple[int, int]]) -> list[list[int]]:
    """Reorder each column by the mean row of its neighbours, to and fro; keep the best seen."""
    best, fewest = columns, _crossings(columns, links)
    for sweep in range(8):
        to_left = sweep % 2 == 0
        columns = [list(items) for items in columns]
        rows = {item: r for items in columns for r, item in enumerate(items)}
        for items in reversed(columns) if to_left else columns:
            near = {
                item: [rows[b if to_left else a] for a, b in links if item == (a if to_left else b)]
                for item in items
            }
            items.sort(key=lambda i, near=near: _mean(near[i], rows[i]))
            rows.update({item: r for r, item in enumerate(items)})
        crossings = _crossings(columns, links)
        if crossings < fewest:
            best, fewest = columns, crossings
    return best


def _crossings(columns: list[list[int]], links: list[tuple[int, int]]) -> int:
    """How many pairs of links between the same two columns cross."""
    place = {item: (c, r) for c, items in enumerate(columns) for r, item in enumerate(items)}
    ends = [(*place[a], place[b][1]) for a, b in links]
    return sum(
        c == d and (a1 - a2) * (b1 - b2) < 0
        for i, (c, a1, b1) in enumerate(ends)
        for d, a2, b2 in ends[:i]
    )


def _heights(columns: list[list[int]], links: list[tuple[int, int]]) -> list[float]:
    """Each item level with its arguments (an input: with its uses), a row or more apart."""
    y = [0.0] * sum(map(len, columns))
    for items in columns:
        for row, item in enumerate(items):
            y[item] = row - (len(items) - 1) / 2
    before: list[list[int]] = [[] for _ in y]
    after: list[list[int]] = [[] for _ in y]
    for a, b in links:
        before[b].append(a)
        after[a].append(b)
    for _ in range(40):
        for items in columns:
            wanted = [_mean([y[n] for n in before[i] or after[i]], y[i]) for i in items]
            for item, height in zip(items, _spread(wanted), strict=True):
                y[item] = height
    top = min(y)
    return [height - top for height in y]


def _spread(wanted: list[float]) -> list[float]:
    """The heights nearest to `wanted` (least squares) with each at least 1 below the last.

    Without the spacing this is isotonic regression: neighbours in the wrong order share a mean.

    >>> _spread([0.0, 0.0, 5.0])
    [-0.5, 0.5, 5.0]
    """
    blocks: list[list[float]] = []
    for row, height in enumerate(wanted):
        blocks.append([height - row])
        while len(blocks) > 1 and _mean(blocks[-2], 0) > _mean(blocks[-1], 0):
            last = blocks.pop()
            blocks[-1] += last
    level = [_mean(block, 0) for block in blocks for _ in block]
    return [row + height for row, height in enumerate(level)]


def _mean(numbers: list[float] | list[int], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise


@dataclass(frozen=True)
class _Pen:
    """The marks of the drawing, in its own units, all in one colour."""

    ax: Axes
    ink: str

    def text(self, x: float, y: float, string: str, *, alpha: float = 1.0) -> None:
        path = _text_path(string)
        box = path.get_extents()
        middle = (box.y0 + box.y1) / 2 if len(string) == 1 else 0.34  # of a line: half a digit
        moved = path.transformed(Affine2D().translate(x - (box.x0 + box.x1) / 2, y - middle))
        marks = {"facecolor": self.ink, "linewidth": 0, "alpha": alpha, "label": string}
        self.ax.add_artist(PathPatch(moved, **marks))

    def box(self, x: float, y: float, width: float, height: float, *, corner: float) -> None:
        """A box with its centre at (x, y); its corners are quarter circles."""
        w, h, c = width / 2, height / 2, corner
        d = c * (1 - 0.5523)  # the control point that bends a Bézier curve to a quarter circle
        quarters = [
            ((-w, c - h), (-w, d - h), (d - w, -h), (c - w, -h)),
            ((w - c, -h), (w - d, -h), (w, d - h), (w, c - h)),
            ((w, h - c), (w, h - d), (w - d, h), (w - c, h)),
            ((c - w, h), (d - w, h), (-w, h - d), (-w, h - c)),
        ]
        points = [(x + dx, y + dy) for quarter in quarters for dx, dy in quarter]
        codes = [Path.LINETO, *[Path.CURVE4] * 3] * 4
        path = Path([*points, points[0]], [Path.MOVETO, *codes[1:], Path.CLOSEPOLY])
        self.ax.add_artist(PathPatch(path, fill=False, edgecolor=self.ink))

    def curve(self, points: list[tuple[float, float]]) -> None:
        """Through the points, level at each: a Bézier curve for each step."""
        path, codes = [points[0]], [Path.MOVETO]
        for (x0, y0), (x1, y1) in pairwise(points):
            middle = (x0 + x1) / 2
            path += [(middle, y0), (middle, y1), (x1, y1)]
            codes += [Path.CURVE4] * 3
        line = PathPatch(Path(path, codes), fill=False, edgecolor=self.ink, alpha=0.6)
        self.ax.add_artist(line)

    def head(self, x: float, y: float) -> None:
        """An arrowhead that points right, its tip at (x, y)."""
        corners = [(x, y), (x - 0.55, y + 0.24), (x - 0.55, y - 0.24)]
        self.ax.add_artist(Polygon(corners, facecolor=self.ink, linewidth=0))


def _text_path(string: str) -> TextPath:
    return TextPath((0, 0), string, size=1)


def _text_width(string: str) -> float:
    return _text_path(string).get_extents().width


def _draw(
    pen: _Pen, values: Sequence[Value], lines: list[list[str]], layout: _Layout
) -> tuple[float, float]:
    """Draw it all; return the width and height taken, from (0, 0) up."""
    n = len(values)
    box_height = LINE * len(lines[0]) + 0.5
    pitch = box_height + ROW_GAP
    height = max(layout.y) * pitch + box_height
    y = [height - box_height / 2 - row * pitch for row in layout.y]
    symbol = [SYMBOLS.get(value.op, value.op) for value in values]
    pill = [max(PILL, _text_width(s) + 0.8) if s else 0.0 for s in symbol]

    # Of each item: where its column begins, and where arrows end and begin.
    entry, left, right = [0.0] * len(y), [0.0] * len(y), [0.0] * len(y)
    x = 0.0
    for items in layout.columns:
        boxes = [i for i in items if i < n]
        box_width = max(_text_width(s) for i in boxes for s in lines[i]) + 2 * PADDING
        pill_width = max(pill[i] for i in boxes)
        start = x + pill_width + (LINK if pill_width else 0)
        for i in items:
            entry[i], left[i], right[i] = x, x, start + box_width
        for i in boxes:
            left[i] = start - LINK - pill[i] if symbol[i] else start
            pen.box(start + box_width / 2, y[i], box_width, box_height, corner=0.5)
            for k, string in enumerate(lines[i]):
                offset = ((len(lines[i]) - 1) / 2 - k) * LINE
                pen.text(start + box_width / 2, y[i] + offset, string, alpha=0.75 if k else 1)
            if symbol[i]:
                middle = left[i] + pill[i] / 2
                pen.box(middle, y[i], pill[i], PILL, corner=PILL / 2)
                pen.text(middle, y[i], symbol[i])
                pen.curve([(start - LINK, y[i]), (start, y[i])])
        x = start + box_width + GAP

    drawn = set()
    for i, slot, route in layout.routes:
        for a, b in pairwise(route[:-1]):  # arrows from one value share their way to a bend
            if (a, b) not in drawn:
                pen.curve([(right[a], y[a]), (left[b], y[b]), (right[b], y[b])])
                drawn.add((a, b))
        aim = y[i] + ((len(values[i].parents) - 1) / 2 - slot) * 0.6
        tip = left[i] - 0.05
        start = (right[route[-2]], y[route[-2]])  # level before any badge of the column begins
        pen.curve([start, (entry[i] - 0.55, aim), (tip - 0.5, aim)])
        pen.head(tip, aim)
    return x - GAP, height


def _frame(ax: Axes, width: float, height: float) -> None:
    """Centre the drawing in the axes, everything to one scale, small graphs not blown up."""
    view_width, view_height = (
        max(width + 0.4, SMALLEST_VIEW[0]),
        max(height + 0.4, SMALLEST_VIEW[1]),
    )
    ax.set(
        xlim=((width - view_width) / 2, (width + view_width) / 2),
        ylim=((height - view_height) / 2, (height + view_height) / 2),
        aspect="equal",
    )
    ax.set_axis_off()
