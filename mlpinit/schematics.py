"""Pictures of ideas: each function draws one whole figure, from the object that it shows.

Shapes come from the `Architecture`, marks and curves from arrays that are computed here, so that a
picture cannot drift from what the package does. In a notebook, end the call with a semicolon; out
of one, close the figure when it is done with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from itertools import count, pairwise, product
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle
from torch import Generator, Tensor

from mlpinit import activations, corpus, depth, gains, init, mlp, normalize, saturation
from mlpinit.params import Architecture
from mlpinit.plots import BLUE, GREEN, GREY, INK, ORANGE, PINK, SKY, VERMILION
from mlpinit.stacking import side_by_side

__all__ = [
    "chain_rule_path",
    "choosing",
    "entry_column_dataset",
    "folding",
    "gates_and_rows",
    "moving_labels",
    "network",
    "norm_axes",
    "reach",
    "recycling",
    "residual_branch",
    "second_bias",
    "two_sums",
    "variance_through_layer",
]

WIDTH = 64.0  # of a figure; lengths are in tenths of an inch
SIZE = 14.0  # of letters, in points: legible where the figure is 390 pixels wide
RADIUS = 1.7  # of a unit

Point = tuple[float, float]


def network(arch: Architecture, batch: int = 32) -> Figure:
    """The network from contexts to logits: a box per tensor with its shape, the widest for most.

    Each arrow has what is done there, and the shapes of the weights that do it.

    >>> from matplotlib import pyplot as plt
    >>> figure = network(Architecture(hidden=(50,)))
    >>> [text.get_text() for text in figure.axes[0].texts][:2]
    ['contexts $X$', '(32, 3)']
    >>> plt.close(figure)
    """
    rows = [("contexts $X$", arch.block_size, GREY)]
    steps = [f"{arch.block_size} rows of $C$ {_shape(arch.vocab_size, arch.n_embd)}, joined"]
    for name, units, colour, step in _layers(arch):
        rows.append((name, units, colour))
        steps.append(step)
    gap, tall = 10.0 if arch.normalize else 7.6, 3.8
    height = gap * (len(rows) - 1) + tall + 2
    figure, ax = _canvas(height)
    most = max(units for _, units, _ in rows)
    for i, (name, units, colour) in enumerate(rows):
        y = height - 1 - tall / 2 - gap * i
        width = 10 + 14 * math.sqrt(units / most)
        _label(ax, (14.0, y), name, ha="right")
        _box(ax, (27.0, y), width, tall, colour, _shape(batch, units))
        if i:
            _arrow(ax, (27.0, y + gap - tall / 2), (27.0, y + tall / 2))
            _label(ax, (28.8, y + gap / 2), steps[i - 1], ha="left", size=13)
    return figure


def _layers(arch: Architecture) -> list[tuple[str, int, str, str]]:
    """(name, units, colour, step that follows) of embeddings, every z and h, and the logits."""
    (first, _), *_ = arch.layer_sizes
    found, last = [], ("embeddings", first, SKY)
    numbered = len(arch.hidden) > 1
    for layer, (fan_in, fan_out) in enumerate(arch.layer_sizes):
        number = layer + 1
        shapes = f"$W_{number}$ {_shape(fan_in, fan_out)}, $b_{number}$ {_shape(fan_out)}"
        if arch.normalize and layer < len(arch.hidden):
            shapes += f"\n{normalize.get(arch.normalize).label}, gain {_shape(fan_out)}"
        found.append((*last, shapes))
        if layer == len(arch.hidden):
            last = ("logits", fan_out, ORANGE)
            break
        of = f"_{number}" if numbered else ""
        found.append((f"$z{of}$", fan_out, BLUE, activations.get(arch.activation).label))
        last = (f"$h{of}$", fan_out, GREEN)
    return [*found, (*last, "")]


def chain_rule_path(arch: Architecture) -> Figure:
    """One path from the loss back to one weight w; below each stage the factor that it adds.

    Raises `ValueError` for more than two hidden layers, which do not fit in a picture.
    """
    hidden = len(arch.hidden)
    if hidden > 2:
        raise ValueError(
            f"{hidden} hidden layers do not fit in a picture; draw one of two or fewer"
        )
    figure, ax = _canvas(38)
    sizes = [arch.block_size * arch.n_embd, *arch.hidden, arch.vocab_size, 1]
    across = [15 + 45 * i / (hidden + 2) for i in range(hidden + 3)]
    columns = [_column(ax, x, 18, n) for x, n in zip(across, sizes, strict=True)]
    path = [column[i % 3 % len(column)] for i, column in enumerate(columns)]
    for left, right in pairwise(columns):
        _edges(ax, left, right)
    for end, start in pairwise(path):
        _edge(ax, start, end, VERMILION, arrow=True, width=2.8)
    for point in path:
        _unit(ax, point, VERMILION, fill=0.3)
    _label(ax, ((path[0][0] + path[1][0]) / 2, path[0][1] + 1.6), "$w$", VERMILION)
    names = ["inputs", *["units"] * hidden, "logits", "loss"]
    for x, name, n in zip(across, names, sizes, strict=True):
        _label(ax, (x, 35), name if name == "loss" else f"{name}\n{n}")
    _factors(ax, hidden, across)
    return figure


def _factors(ax: Axes, hidden: int, across: Sequence[float]) -> None:
    """The product along the path, each factor below the place that it comes from."""
    factors = [(5.5, r"$\partial\ell/\partial w\ =$"), (across[0], "$x$")]
    for layer in range(1, hidden + 1):
        factors.append((across[layer], f"$f'(z_{layer})$" if hidden > 1 else "$f'(z)$"))
        factors.append(((across[layer] + across[layer + 1]) / 2, f"$W_{layer + 1}$"))
    factors.append((across[hidden + 1], "$(p - y)$"))
    for x, text in factors:
        _label(ax, (x, 2.2), text, VERMILION)


def entry_column_dataset() -> Figure:
    """A saturation map of a small network, drawn here, with three readings of white in it.

    One entry; one column over a batch; one column over the whole data set.
    """
    mask, batch = _small_map()
    examples, units = mask.shape
    figure, ax = _canvas(39)
    left, top, side = 11.0, 37.0, 1.45

    def area(unit: int, first: int, last: int) -> tuple[Point, float, float]:
        corner = (left + side * unit, top - side * last)
        return corner, side, side * (last - first)

    width, height = side * units, side * examples
    ax.imshow(
        mask.numpy(), cmap="gray", vmin=0, vmax=1, extent=(left, left + width, top - height, top)
    )
    ax.set(xlim=(0, WIDTH), ylim=(0, 39))
    ax.add_patch(Rectangle((left, top - height), width, height, fill=False, ec=INK, lw=1))
    entry, column, dead = _three(mask, batch)
    marks = (
        (area(entry[1], entry[0], entry[0] + 1), SKY, "one entry\none unit, one example"),
        (area(column, 0, batch), ORANGE, "white in the batch\nhardly learns this step"),
        (area(dead, 0, examples), VERMILION, "white in all the data\nthe unit is dead"),
    )
    for i, ((corner, w, h), colour, text) in enumerate(marks):
        ax.add_patch(Rectangle(corner, w, h, fill=False, ec=colour, lw=3.4, zorder=4))
        y = top - (2.5, 9.5, 25)[i]
        start = min(max(y, corner[1]), corner[1] + h)
        ax.plot([corner[0] + w, left + width + 2], [start, y], color=colour, lw=2.4)
        _label(ax, (left + width + 2.6, y), text, colour, ha="left")
    _bracket(ax, left - 1, top, top - side * batch, "batch")
    _bracket(ax, left - 5.6, top, top - height, "data set")
    return figure


def _small_map() -> tuple[Tensor, int]:
    """A mask (examples, units) of saturated tanh entries, and how many examples a batch has."""
    arch = Architecture(vocab_size=4, n_embd=4, hidden=(14,))
    batch = 8
    for seed in count(44):  # the first draw that shows all three readings
        g = Generator().manual_seed(seed)
        X = torch.randint(arch.vocab_size, (24, arch.block_size), generator=g)
        record = mlp.forward(init.draw(arch, init.AS_DRAWN, generator=g), X)
        mask = saturation.saturated(record.activations[0])
        with suppress(IndexError):
            _three(mask, batch)
            return mask, batch


def _three(mask: Tensor, batch: int) -> tuple[tuple[int, int], int, int]:
    """A white entry (example, unit), a column white in the batch only, and one white throughout."""
    dead = mask.all(0)
    column = mask[:batch].all(0) & ~dead
    free = (mask & ~column & ~dead)[:batch]
    example, unit = free[:3].nonzero()[-1].tolist()
    return (example, unit), int(column.nonzero()[0]), int(dead.nonzero()[0])


def second_bias() -> Figure:
    """A unit stuck at 1 does to the logits what their bias does: it adds the same to every example.

    Left, its outgoing weights w beside the bias b; right, the same logits with the one bias b + w.
    """
    figure, ax = _canvas(30)
    _label(ax, (38.5, 15), "=", size=22)
    stuck, bias = (12.0, 12.0), (12.0, 4.0)
    _into(ax, (30.5, 15), [((12, y), GREY, "$h$") for y in (26, 20)] + [(stuck, VERMILION, "1")])
    _bias_into(ax, (30.5, 15), bias, "$b$")
    _label(ax, (20.5, 11.3), "$w$", VERMILION)
    _label(ax, (9, 12), "stuck", VERMILION, ha="right")
    _label(ax, (9, 4), "bias", BLUE, ha="right")
    _into(ax, (59.5, 15), [((44, y), GREY, "$h$") for y in (26, 20)])
    _bias_into(ax, (59.5, 15), (44, 4), "$b + w$")
    return figure


def _into(ax: Axes, logits: Point, units: Sequence[tuple[Point, str, str]]) -> None:
    """Units with an arrow each into the box of the logits."""
    _box(ax, logits, 7.4, 9, ORANGE, "logits")
    for i, (point, colour, text) in enumerate(units):
        _unit(ax, point, colour, text, fill=0.2, radius=2.1)
        end = (logits[0] - 3.7, logits[1] + 3 - 2 * i)
        _edge(ax, point, end, colour, arrow=True, width=1.8, radius=2.1, end_radius=0)


def _bias_into(ax: Axes, logits: Point, at: Point, text: str) -> None:
    """The 1 that a bias multiplies, and its arrow."""
    _box(ax, at, 4.2, 4.2, BLUE, "1")
    end = (logits[0] - 3.7, logits[1] - 3)
    _edge(ax, at, end, BLUE, arrow=True, width=1.8, radius=2.6, end_radius=0)
    _label(ax, ((at[0] + end[0]) / 2 + 1.8 + len(text) / 5, (at[1] + end[1]) / 2 - 1.6), text, BLUE)


def reach() -> Figure:
    """What kills a ReLU: one step that is longer than the largest z of any example.

    The curve is the ReLU's, the marks are pre-activations of drawn examples before and after.
    """
    z = torch.randn(24, generator=Generator().manual_seed(3), dtype=torch.float64)
    largest = z.max().item()
    step = 1.35 * largest
    low, high = z.min().item() - step - 0.4, largest + 1.0
    figure, ax = _canvas(40)
    ax.set(xlim=(low, high), ylim=(-3.2, 3.0), aspect="auto")
    grid = torch.linspace(low, high, 400, dtype=torch.float64)
    ax.plot(grid, activations.get("relu").f(grid), color=GREEN, lw=3)
    ax.plot([0, 0], [-2.9, 2.8], color=GREY, lw=1.2, ls="--")
    for y, values, colour in ((0.0, z, BLUE), (-2.2, z - step, VERMILION)):
        ax.plot([low, high], [y, y], color=INK, lw=1, zorder=1)
        ax.plot(values, torch.full_like(values, y), "|", color=colour, ms=16, mew=2)
    ax.plot([largest, largest - step], [0, -2.2], "o", color=INK, ms=8)
    _arrow(ax, (largest, -1.1), (largest - step, -1.1), INK, width=2.2)
    ax.plot([largest, largest], [0, -1.1], color=INK, lw=1, ls=":")
    ax.plot([largest - step] * 2, [-1.1, -2.2], color=INK, lw=1, ls=":")
    ax.plot([0, 0, largest, largest], [0.32, 0.5, 0.5, 0.32], color=BLUE, lw=1.5)
    _label(ax, (largest + 0.12, 0.45), "largest $z$", BLUE, ha="left")
    _label(ax, (1.5, 2.2), "ReLU($z$)", GREEN, ha="right")
    _label(ax, (low + 0.1, 0.55), "$z$ of each example", BLUE, ha="left")
    _label(ax, (largest + 0.12, -1.1), "one step", ha="left")
    _label(ax, (low + 0.1, -2.85), "after it: slope 0 for all", VERMILION, ha="left")
    return figure


def variance_through_layer(fan_in: int, fan_out: int) -> Figure:
    """Forward, a unit sums fan_in terms; backward, an input sums fan_out of them.

    Below each sum, by what it multiplies the variance when Var W = 1/fan_in, which suits the first.

    Raises `ValueError` for sizes below 1.
    """
    std = 1 / math.sqrt(max(fan_in, 1))
    forward = gains.forward_variance(1.0, _same, fan_in=fan_in, weight_std=std)
    backward = gains.backward_variance(1.0, _same, fan_out=fan_out, weight_std=std)
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH / 10, 3.7))
    sides = (
        ("forward", "$z$", fan_in, forward, BLUE, True),
        ("backward", r"$\partial\ell/\partial x$", fan_out, backward, VERMILION, False),
    )
    for ax, (title, name, fan, factor, colour, many_first) in zip(axes, sides, strict=True):
        _bare(ax, 31, 36)
        many, one = (6, 25) if many_first else (25, 6)
        column = _column(ax, many, 21, fan, apart=4.8)
        end = (one, 21)
        for point in column:
            _edge(ax, point, end, colour, arrow=True, width=1.4)
        _unit(ax, end, colour, fill=0.3)
        _label(ax, (15.5, 34.6), title, colour)
        _label(ax, (one, 25), name, colour)
        _label(ax, (15.5, 6.4), f"{fan} terms, Var $W$ = 1/{fan_in}")
        _label(ax, (15.5, 2.2), f"variance × {factor:.3g}", colour)
    return figure


def _same(z: Tensor) -> Tensor:
    return z


def norm_axes() -> Figure:
    """Which entries of z (batch, units) are averaged to normalise one of them, for three norms.

    Shaded are the entries on which the framed one depends once it is normalised.
    """
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH / 10, 3.4))
    colours = (PINK, GREEN, ORANGE)
    for ax, normalizer, colour in zip(axes, normalize.NORMALIZERS.values(), colours, strict=True):
        _bare(ax, 20, 32)
        _grid(ax, (4, 8), _depends(normalizer).flip(0), 2.6, colour)
        x, y = 4 + 2.6 * 2, 8 + 2.6 * 4
        ax.add_patch(Rectangle((x, y), 2.6, 2.6, fill=False, ec=INK, lw=3, zorder=5))
        done = "− mean, ÷ std" if normalizer.centred else "÷ rms"
        _label(ax, (11.8, 28.2), normalizer.label, colour, va="baseline")
        _label(ax, (11.8, 5), "units", va="baseline")
        _label(ax, (10, 0.8), done, colour, va="baseline")
        _label(ax, (1.9, 17), "batch", rotation=90)
    return side_by_side(figure)


def _depends(normalizer: normalize.Normalizer, batch: int = 7, units: int = 6) -> Tensor:
    """(batch, units): on which entries of z the normalised entry (2, 2) depends."""
    z = torch.randn(batch, units, generator=Generator().manual_seed(0), dtype=torch.float64)
    z.requires_grad_(True)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(normalize.forward(z, normalizer).z_hat[2, 2], z)
    return slope != 0


def residual_branch() -> Figure:
    """x + s·f(x), and the gradient on its way back through stacks: it shrinks, keeps or explodes.

    The curves are measured: tanh stacks at gains below, at and above the edge of chaos, and one of
    residual layers.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(WIDTH / 10, 3.6), gridspec_kw={"width_ratios": [4, 5]}
    )
    _bare(left, 27, 34)
    _label(left, (3, 8), "$x$")
    _arrow(left, (4.5, 8), (17.8, 8))
    _unit(left, (20, 8), INK, "+", fill=0.0, radius=2.1)
    _arrow(left, (22.1, 8), (26.5, 8))
    left.plot([8, 8], [8, 24], color=GREEN, lw=2.2)
    _arrow(left, (8, 24), (11, 24), GREEN, width=2.2)
    _box(left, (14, 24), 5.6, 5, GREEN, "$f$")
    left.plot([17, 20], [24, 24], color=GREEN, lw=2.2)
    _arrow(left, (20, 24), (20, 10.1), GREEN, width=2.2)
    _label(left, (21.3, 17), "$\\times\\,s$", GREEN, ha="left")
    _label(left, (12.5, 4), "the way past")
    _label(left, (14, 30), "the branch", GREEN)
    _regimes(right)
    return figure


def _regimes(ax: Axes, n_layers: int = 40) -> None:
    """The size of the gradient at every layer of four stacks, each line with its name."""
    gain, bias_std = depth.edge_of_chaos(0.5)
    arms = (
        ("explodes", (12, 2.5, "bottom"), VERMILION, {"gain": 1.5 * gain, "bias_std": bias_std}),
        ("at the edge", (2, 0.7, "top"), BLUE, {"gain": gain, "bias_std": bias_std}),
        ("residual", (2, 1.4, "bottom"), GREEN, {"gain": 1.0, "branch_scale": n_layers**-0.5}),
        ("shrinks", (12, 0.4, "top"), ORANGE, {"gain": 0.75 * gain, "bias_std": bias_std}),
    )
    layers = torch.arange(1, n_layers + 1)
    for name, (layer, factor, va), colour, how in arms:
        g = Generator().manual_seed(0)
        size = depth.propagate(width=100, depth=n_layers, generator=g, batch=16, **how).gradient
        ax.plot(layers, size, color=colour, lw=2.4)
        _label(ax, (layer, factor * size[layer - 1].item()), name, colour, ha="left", va=va)
    ax.set(yscale="log", xlabel="layer", ylabel="size of the gradient", xlim=(1, n_layers))
    ax.set_yticks([0.01, 1, 100])
    ax.minorticks_off()


def folding() -> Figure:
    """A unit that always says c can go: c times its row of W₂ is added to the next bias.

    Hatched is what goes: the unit's column of W₁, its entry of b₁, its row of W₂.
    """
    figure, ax = _canvas(34)
    unit, side = 3, 3.2
    shapes = {"W_1": (6, 6), "b_1": (1, 6), "W_2": (6, 4), "b_2": (1, 4)}
    corners = {"W_1": (7, 9.5), "b_1": (7, 2.5), "W_2": (36, 9.5), "b_2": (36, 2.5)}
    for name, (rows, columns) in shapes.items():
        x, y = corners[name]
        gone = torch.zeros(rows, columns, dtype=torch.bool)
        if name == "W_2":
            gone[unit - rows] = True
        elif name != "b_2":
            gone[:, unit] = True
        _grid(ax, (x, y), gone, side, VERMILION, hatch=True)
        _label(ax, (x - 3.2, y + side * rows / 2), f"${name}$")
    _grid(ax, corners["b_2"], torch.ones(1, 4), side, GREEN)
    _label(ax, (7 + side * (unit + 0.5), 31.4), "always says $c$", VERMILION)
    right, low = 36 + side * 4, 2.5 + side / 2
    y = 9.5 + side * (unit + 0.5)
    ax.plot([right, right + 3, right + 3], [y, y, low], color=GREEN, lw=2.4)
    _arrow(ax, (right + 3, low), (right, low), GREEN, width=2.4)
    _label(ax, (right + 4, (y + low) / 2), "× $c$,\nadded", GREEN, ha="left")
    return figure


def recycling() -> Figure:
    """A unit that starts anew: what is drawn, what is zeroed, what the optimiser forgets."""
    figure, ax = _canvas(34)
    unit = (32.0, 18.5)
    left, right = (_column(ax, x, 18.5, 4, apart=5) for x in (10, 54))
    for point in left:
        _edge(ax, point, unit, BLUE, arrow=True, width=2.4, end_radius=3)
    for point in right:
        _edge(ax, unit, point, GREY, width=2, radius=3, end_radius=RADIUS, ls=(0, (2, 2.5)))
    _unit(ax, unit, VERMILION, fill=0.25, radius=3)
    _label(ax, (20, 31.5), "drawn anew", BLUE)
    _label(ax, (44, 31.5), "set to 0")
    _label(ax, (32, 24.5), "recycled", VERMILION)
    _box(ax, (32, 4), 44, 4.6, GREEN, "what the optimiser kept of these: 0")
    return figure


def two_sums(n: int = 16) -> Figure:
    """n steps of length 1 one after another: in directions of their own, and all in one.

    The first walk is drawn, and the one shown of those that end about as far away as the root of
    the mean square says, √n.
    """
    figure, ax = _canvas(38)
    length = 46.0 / n
    for walk, (x, y), colour in (
        (_typical_walk(n), (9.0, 22.0), BLUE),
        (torch.stack([torch.arange(n + 1.0), torch.zeros(n + 1)], -1), (9.0, 6.0), VERMILION),
    ):
        points = [(x + length * a, y + length * b) for a, b in walk.tolist()]
        for start, end in pairwise(points):
            _arrow(ax, start, end, colour)
        ax.plot(*points[0], "o", color=INK, markersize=7)
        if colour == BLUE:
            ax.plot(*zip(points[0], points[-1], strict=True), color=INK, ls=(0, (3, 2)), lw=1.6)
    _label(ax, (29, 28.5), "independent:", BLUE, ha="left")
    _label(ax, (29, 24.5), f"about $\\sqrt{{{n}}} = {math.sqrt(n):.3g}$ away", ha="left")
    _label(ax, (9, 11), "in agreement:", VERMILION, ha="left")
    _label(ax, (29, 11), f"{n} away", ha="left")
    return figure


def _typical_walk(n: int) -> Tensor:
    """(n + 1, 2): the first of many random walks to end within 5 per cent of √n, turned level."""
    g = Generator().manual_seed(0)
    while True:
        angles = 2 * math.pi * torch.rand(n, generator=g)
        end = torch.stack([angles.cos(), angles.sin()], -1).sum(0)
        if abs(end.norm().item() / math.sqrt(n) - 1) < 0.05:
            turned = angles - torch.atan2(end[1], end[0])
            steps = torch.stack([turned.cos(), turned.sin()], -1)
            return torch.cat([torch.zeros(1, 2), steps.cumsum(0)])


def moving_labels() -> Figure:
    """One network for many tasks: the contexts stay, their labels are drawn anew for each."""
    X = corpus.split(corpus.load()).train.X[3:8]
    labels = torch.randint(1, 27, (3, len(X)), generator=Generator().manual_seed(4))
    letters = "." + corpus.load().alphabet.replace(".", "")
    figure, ax = _canvas(42)
    tasks = ((23.0, "task 1"), (36.0, "task 2"), (56.0, "task 30"))
    rows = [35.5 - 4.6 * i for i in range(len(X))]
    for y, context in zip(rows, X.tolist(), strict=True):
        _label(ax, (8, y), "".join(letters[i] for i in context), family="monospace")
    for k, (x, name) in enumerate(tasks):
        _label(ax, (x, 40), name)
        for y, label in zip(rows, labels[k].tolist(), strict=True):
            _box(ax, (x, y), 5, 3.8, (BLUE, GREEN, PINK)[k], letters[label])
        _box(ax, (x, 9.5), 10, 4.2, ORANGE, "network")
        _arrow(ax, (x, 14.6), (x, 11.9), GREY)
        _arrow(ax, (x, 7.3), (x, 4.4), GREY)
    for (a, _), (b, _) in pairwise(tasks):
        _arrow(ax, (a + 5.1, 9.5), (b - 5.1, 9.5), ORANGE, width=2.4)
    for y in (*rows, 40):
        _label(ax, (46, y), "…", GREY)
    _label(ax, (39.5, 2.4), "accuracy at the end of each")
    return figure


def choosing() -> Figure:
    """One input chooses from three populations, and who is chosen gets gradient.

    The choices are made here: the two largest of six numbers, the nearest of six points, and the
    largest of six scores.
    """
    g = Generator().manual_seed(6)
    numbers, points, scores = (torch.randn(6, k, generator=g) for k in (1, 2, 1))
    top = numbers[:, 0].topk(2).indices.tolist()
    nearest = [int((points - torch.randn(2, generator=g)).norm(dim=1).argmin())]
    first = [int(scores[:, 0].argmax())]
    figure, ax = _canvas(40)
    populations = (
        ("latents", "the 2 largest", top),
        ("codes", "the nearest", nearest),
        ("experts", "the router's\nfirst", first),
    )
    for x, (name, rule, chosen) in zip((11.0, 32.0, 53.0), populations, strict=True):
        _label(ax, (x, 37.5), name)
        _label(ax, (x, 7), rule)
        for j in range(6):
            at = (x, 32.5 - 3.9 * j)
            _unit(ax, at, GREEN if j in chosen else GREY, fill=0.5 if j in chosen else 0.1)
            if j in chosen:
                _arrow(ax, (x + 8, at[1]), (x + RADIUS + 0.4, at[1]), GREEN, width=2.4)
    _label(ax, (32, 2), "green arrows: gradient", GREEN)
    return figure


def gates_and_rows() -> Figure:
    """An LSTM's memory on its way through a gate, and a row of attention at three scales.

    >>> from matplotlib import pyplot as plt
    >>> figure = gates_and_rows()
    >>> len(figure.axes)
    4
    >>> plt.close(figure)
    """
    figure = plt.figure(figsize=(6.4, 3.6))
    grid = figure.add_gridspec(3, 2, width_ratios=(1.25, 1))
    _memory(_bare(figure.add_subplot(grid[:, 0]), 34.0, 32.0))
    logits = torch.randn(8, generator=Generator().manual_seed(6), dtype=torch.float64)
    logits = (logits - logits.mean()) / logits.std(correction=0)
    for place, scale in enumerate((1, 4, 16)):
        ax = figure.add_subplot(grid[place, 1])
        ax.bar(range(8), (scale * logits).softmax(0).tolist(), color=(SKY, BLUE, VERMILION)[place])
        ax.set(ylim=(0, 1), xticks=[], yticks=[0, 1], title=f"logits of sd {scale}")
        ax.title.set_size(SIZE)
        ax.tick_params(labelsize=SIZE)
    return figure


# What the pictures are made of.


def _memory(ax: Axes) -> None:
    """The cell of an LSTM from one step to the next."""
    y, times, plus = 22.0, (11.0, 22.0), (23.0, 22.0)
    _label(ax, (2.0, y), "$c_{t-1}$")
    _label(ax, (32.0, y), "$c_t$")
    _arrow(ax, (4.6, y), (times[0] - RADIUS, y))
    _arrow(ax, (times[0] + RADIUS, y), (plus[0] - RADIUS, y))
    _arrow(ax, (plus[0] + RADIUS, y), (30.2, y))
    for at, sign, below, colour in (
        (times, "×", "$f = \\sigma(z)$", ORANGE),
        (plus, "+", "$i\\,u$", BLUE),
    ):
        _unit(ax, at, INK, sign)
        _arrow(ax, (at[0], 10.4), (at[0], y - RADIUS), colour)
        _label(ax, (at[0], 8.0), below, colour)
    _label(ax, (times[0], 4.4), "kept", colour=ORANGE)
    _label(ax, (plus[0], 4.4), "added", colour=BLUE)


def _shape(*sizes: int) -> str:
    return str(tuple(sizes))


def _canvas(height: float) -> tuple[Figure, Axes]:
    """A figure of one bare axes, in tenths of an inch from its lower left corner."""
    # "none" would be forgotten the second time that the figure is saved.
    unmoved = PlaceHolderLayoutEngine(adjust_compatible=True, colorbar_gridspec=False)
    figure = plt.figure(figsize=(WIDTH / 10, height / 10), layout=unmoved)
    return figure, _bare(figure.add_axes((0, 0, 1, 1)), WIDTH, height)


def _bare(ax: Axes, width: float, height: float) -> Axes:
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")
    return ax


def _label(ax: Axes, at: Point, text: str, colour: str = INK, **how: Any) -> None:
    style = {"ha": "center", "va": "center", "size": SIZE, "linespacing": 1.25} | how
    ax.text(*at, text, color=colour, **style)


def _box(ax: Axes, centre: Point, width: float, height: float, colour: str, text: str = "") -> None:
    corner = (centre[0] - width / 2, centre[1] - height / 2)
    style = "round,pad=0,rounding_size=0.6"
    for look in ({"fc": colour, "ec": "none", "alpha": 0.2}, {"fc": "none", "ec": colour}):
        ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, lw=1.8, **look))
    if text:
        _label(ax, centre, text)


def _unit(
    ax: Axes,
    centre: Point,
    colour: str,
    text: str = "",
    *,
    fill: float = 0.15,
    radius: float = RADIUS,
) -> None:
    for look in ({"fc": colour, "ec": "none", "alpha": fill}, {"fc": "none", "ec": colour}):
        ax.add_patch(Circle(centre, radius, lw=2, zorder=3, **look))
    if text:
        _label(ax, centre, text, zorder=4)


def _arrow(ax: Axes, start: Point, end: Point, colour: str = INK, *, width: float = 1.6) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 8 + 3 * width, "shrinkA": 0, "shrinkB": 0}
    ax.add_patch(FancyArrowPatch(start, end, color=colour, lw=width, **style))


def _edge(
    ax: Axes,
    start: Point,
    end: Point,
    colour: str = GREY,
    *,
    arrow: bool = False,
    width: float = 1.2,
    radius: float = RADIUS,
    end_radius: float | None = None,
    **how: Any,
) -> None:
    """A line from the rim of one unit to that of another."""
    length = math.dist(start, end)
    dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    end_radius = radius if end_radius is None else end_radius
    a = (start[0] + dx * radius, start[1] + dy * radius)
    b = (end[0] - dx * end_radius, end[1] - dy * end_radius)
    if arrow:
        _arrow(ax, a, b, colour, width=width)
    else:
        ax.plot(*zip(a, b, strict=True), color=colour, lw=width, **how)


def _edges(ax: Axes, left: Sequence[Point], right: Sequence[Point], **how: Any) -> None:
    for a in left:
        for b in right:
            _edge(ax, a, b, **({"alpha": 0.35} | how))


def _column(
    ax: Axes, x: float, y: float, n: int, *, most: int = 4, apart: float = 5.6
) -> list[Point]:
    """Units one above the other around y; of more than `most`, dots stand for the rest."""
    shown = min(n, most)
    slots = shown + (n > most)
    heights = [y + apart * ((slots - 1) / 2 - i) for i in range(slots)]
    if n > most:
        _label(ax, (x, heights.pop(-2)), "⋮", GREY)
    points = [(x, height) for height in heights]
    for point in points:
        _unit(ax, point, GREY)
    return points


def _grid(
    ax: Axes, corner: Point, mask: Tensor, side: float, colour: str, *, hatch: bool = False
) -> None:
    """A table of cells (rows, columns), from its lower left corner up; those of mask are marked."""
    for row, column in product(*map(range, mask.shape)):
        at = (corner[0] + side * column, corner[1] + side * row)
        ax.add_patch(Rectangle(at, side, side, fill=False, ec=GREY, lw=1))
        if mask[row, column]:
            look = (
                {"fc": "none", "hatch": "////", "ec": colour}
                if hatch
                else {"fc": colour, "alpha": 0.55}
            )
            ax.add_patch(Rectangle(at, side, side, lw=0, **look))


def _bracket(ax: Axes, x: float, top: float, bottom: float, text: str) -> None:
    """A bracket that opens to the right, with its text turned along it."""
    ax.plot([x, x - 1, x - 1, x], [top, top, bottom, bottom], color=INK, lw=1.5)
    _label(ax, (x - 2.7, (top + bottom) / 2), text, rotation=90)
