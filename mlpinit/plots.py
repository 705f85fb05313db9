"""The figures of the book in one style: each takes axes, draws one thing, returns the axes."""

from __future__ import annotations

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from torch import Tensor

from mlpinit import activations
from mlpinit.init import Scheme

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "INK",
    "ORANGE",
    "PINK",
    "SKY",
    "VERMILION",
    "activation_curve",
    "activation_histogram",
    "gradient_histogram",
    "loss_curve",
    "saturation_map",
    "scheme_colour",
    "slope_curve",
    "sweep",
    "use_style",
]

INK = "#1f2933"
"""Text, axes and every neutral line. The page's dark mode swaps this one colour for a light one."""

# After Okabe & Ito's palette for colour-blind readers; the two lightest hues are darkened so that
# all keep a contrast of 3 to 1 on white and on the dark page.
VERMILION = "#d55e00"
ORANGE = "#bf8300"
SKY = "#3a95d0"
BLUE = "#0072b2"
GREEN = "#009473"
PINK = "#c46f9f"
GREY = "#858d96"

SCHEME_COLOURS = {
    "as drawn": VERMILION,
    "quiet output": ORANGE,
    "W×0.1, b×0.01": SKY,
    "W×0.2, b×0.01": BLUE,
}


def scheme_colour(scheme: Scheme) -> str:
    """The one colour of a scheme throughout the book; grey for a scheme without one.

    >>> from mlpinit import init
    >>> scheme_colour(init.scaled(0.2, 0.01)) == BLUE
    True
    """
    if scheme.name.startswith("Kaiming"):
        return GREEN
    return SCHEME_COLOURS.get(scheme.name, GREY)


def use_style() -> None:
    """Set matplotlib to the book's style: transparent, one ink, no chart junk, fixed SVG ids."""
    mpl.rcParams.update(
        {
            "figure.figsize": (6.4, 3.1),
            "figure.facecolor": "none",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "none",
            "savefig.bbox": None,
            "svg.hashsalt": "mlpinit",
            "svg.fonttype": "path",
            "font.size": 12.5,
            "axes.facecolor": "none",
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.titlecolor": INK,
            "axes.titlesize": 12.5,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": mpl.cycler(color=[BLUE, VERMILION, GREEN, PINK, ORANGE, SKY]),
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "lines.solid_capstyle": "round",
        }
    )


def activation_histogram(
    ax: Axes, h: Tensor, *, bins: int = 50, colour: str = BLUE, xlabel: str = "activation $h$"
) -> Axes:
    """How the entries of h (any shape) are spread over `bins` bins, in per cent of all entries."""
    values = h.detach().flatten().double()
    weights = torch.full_like(values, 100 / len(values))
    ax.hist(values, bins=bins, weights=weights, color=colour, linewidth=0)
    ax.set(xlabel=xlabel, ylabel="entries (%)")
    return ax


def saturation_map(ax: Axes, mask: Tensor, *, legend: bool = True) -> Axes:
    """Draw mask (examples, units) as it lies: units across, examples down, white = saturated."""
    ax.imshow(
        mask.detach().cpu().numpy(),
        cmap="gray",
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="none",
    )
    ax.set(xlabel="neuron", ylabel="example")
    ax.spines[["top", "right"]].set_visible(True)
    if legend:
        handles = [
            Patch(facecolor="white", edgecolor=INK, label="saturated"),
            Patch(facecolor="black", edgecolor=INK, label="not saturated"),
        ]
        ax.legend(
            handles=handles,
            ncols=2,
            loc="lower right",
            bbox_to_anchor=(1, 1),
            borderpad=0.2,
            handlelength=1.2,
        )
    return ax


def activation_curve(ax: Axes, name: str, *, limit: float = 5.0, colour: str = BLUE) -> Axes:
    """f(z) of the activation of that name, for z from -limit to limit, its flat parts shaded."""
    a, z = activations.get(name), _grid(limit)
    ax.plot(z, a.f(z), color=colour)
    ax.set(xlabel="pre-activation $z$", ylabel=f"$h$ = {a.label}(z)", xlim=(-limit, limit))
    return _shade_flat(ax, name, limit)


def slope_curve(ax: Axes, name: str, *, limit: float = 5.0, colour: str = VERMILION) -> Axes:
    """f'(z) of the activation of that name, for z from -limit to limit, its flat parts shaded."""
    a, z = activations.get(name), _grid(limit)
    ax.plot(z, a.slope(z, a.f(z)), color=colour)
    ax.set(xlabel="pre-activation $z$", ylabel=f"{a.label}′(z)", xlim=(-limit, limit))
    return _shade_flat(ax, name, limit)


def _grid(limit: float) -> Tensor:
    return torch.linspace(-limit, limit, 401, dtype=torch.float64)


def _shade_flat(ax: Axes, name: str, limit: float) -> Axes:
    left, right = activations.saturates_beyond(activations.get(name))
    for start, end in ((-limit, left), (right, limit)):
        if start < end:
            ax.axvspan(start, end, color=GREY, alpha=0.25, linewidth=0)
    return ax


def loss_curve(
    ax: Axes,
    losses: Tensor,
    *,
    window: int = 200,
    colour: str = BLUE,
    label: str | None = None,
) -> Axes:
    """Losses (steps,) as means over windows, with a band of one standard deviation either side.

    A last window that is not full is left out; a run shorter than one window is one window.
    """
    window = min(window, len(losses))
    blocks = losses[: len(losses) // window * window].double().view(-1, window)
    mean, std = blocks.mean(1), blocks.std(1, correction=0)
    steps = (torch.arange(len(blocks)) + 0.5) * window
    ax.fill_between(steps, mean - std, mean + std, color=colour, alpha=0.18, linewidth=0)
    ax.plot(steps, mean, color=colour, label=label)
    ax.set(xlabel="step", ylabel="loss (nats)")
    return ax


def sweep(
    ax: Axes,
    x: Tensor,
    values: Tensor,
    *,
    colour: str = BLUE,
    label: str | None = None,
    log: bool = True,
) -> Axes:
    """values (n_x, n_seeds) against x (n_x,): the mean, and a band from least to largest."""
    if values.ndim != 2 or len(x) != len(values):
        shapes = f"x {tuple(x.shape)} and values {tuple(values.shape)}"
        raise ValueError(f"{shapes} do not fit; wanted x (n_x,) and values (n_x, n_seeds)")
    ax.fill_between(x, values.amin(1), values.amax(1), color=colour, alpha=0.2, linewidth=0)
    ax.plot(x, values.mean(1), color=colour, marker="o", markersize=4, label=label)
    if log:
        ax.set_xscale("log")
    return ax


def gradient_histogram(
    ax: Axes, gradients: dict[str, Tensor], *, colours: dict[str, str] | None = None, bins: int = 60
) -> Axes:
    """log10 |gradient| of each named tensor, an outline each; the legend tells exact zeros."""
    colours = colours or {}
    logs = {name: g.detach().flatten().double().abs() for name, g in gradients.items()}
    shown = {name: g[g > 0].log10() for name, g in logs.items()}
    low = min((v.min().item() for v in shown.values() if len(v)), default=-1.0)
    high = max((v.max().item() for v in shown.values() if len(v)), default=0.0)
    for name, v in shown.items():
        n = len(logs[name])
        zeros = n - len(v)
        label = name + (f" ({100 * zeros / n:.3g}% exactly 0)" if zeros else "")
        weights = torch.full_like(v, 100 / n)
        style = {"histtype": "step", "linewidth": 1.6, "color": colours.get(name)}
        ax.hist(
            v, bins=bins, range=(low, max(high, low + 1e-9)), weights=weights, label=label, **style
        )
    ax.set(xlabel=r"$\log_{10}$ |gradient|", ylabel="entries (%)")
    ax.legend()
    return ax
