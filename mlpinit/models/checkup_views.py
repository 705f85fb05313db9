"""A checkup as text of 80 columns, as a table for a notebook, as a page, and as a figure."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterator, Sequence
from html import escape
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlpinit import plots
from mlpinit.models.chance import Chance
from mlpinit.models.findings import LARGE_UPDATE, SMALL_UPDATE, Finding, Inputs
from mlpinit.models.first_pass import Layer
from mlpinit.models.rendering import WIDTH, short
from mlpinit.watch import Report

__all__ = ["figure", "html", "page", "svg", "text"]

NAME = 34  # letters of a layer's name
MOST = 24  # layers that are listed; the figure has all
HEADS = ("gain", "signal", "gradient", "update")


class Checkup(Protocol):
    """What is shown: `mlpinit.models.checkup.Checkup`."""

    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]
    loss: float
    chance: Chance
    inputs: tuple[Inputs, ...]
    layers: tuple[Layer, ...]
    sites: Report | None
    optimizer: str


def verdict(found: Checkup) -> str:
    """In one sentence."""
    if not found.findings:
        return "Healthy: nothing was found."
    first = [f.name for f in found.findings if not f.after]
    after = [f.name for f in found.findings if f.after]
    told = f"Found: {', '.join(first)}."
    return told if not after else f"{told} What may come of it: {', '.join(after)}."


def summary(found: Checkup) -> Iterator[str]:
    """The loss beside chance, the output, the inputs, the activations."""
    c = found.chance
    unit = "" if c.kind == "squared error" else " nats"
    told = f"Loss {found.loss:.4g}{unit}"
    if c.kind == "cross-entropy":
        told += (
            f"; by chance {c.value:.4g} ({c.classes} classes), by label frequencies {c.known:.4g}"
        )
    elif c.value is not None:
        told += f"; by chance {c.value:.4g}"
    yield told + "."
    if c.logits_std is not None:
        yield (
            f"Logits: standard deviation {c.logits_std:.3g}, largest probability "
            f"{c.confidence:.0%} in the mean."
        )
    for i in found.inputs:
        yield f"Input {i.name}: mean {i.mean:.3g}, standard deviation {i.std:.3g}."
    if found.sites is not None:
        shares = [s.recent.flat_share for s in found.sites.sites.values()]
        known = [share.mean().item() for share in shares if share is not None]
        if known:
            low, high = (f"{extreme(known):.0%}" for extreme in (min, max))
            share = low if low == high else f"{low} to {high}"
            places = "1 site" if len(known) == 1 else f"{len(known)} sites"
            yield f"Activations of {places}: flat on {share} of the rows."


def text(found: Checkup) -> str:
    """The verdict, what was found, a line a layer, remarks."""
    lines = [verdict(found), *summary(found)]
    for number, f in enumerate(found.findings, 1):
        after = f" (may come of: {f.after})" if f.after else ""
        lines += ["", f"{number}. {f.name.capitalize()}{after}. {f.what}"]
        lines += [f"   Evidence: {f.evidence}", f"   Change: {f.change}"]
    blocks = [_wrap(line) for line in lines]
    if found.layers:
        blocks += ["", *_table(found)]
    if found.remarks:
        blocks += ["", *(_wrap(f"Note: {remark}") for remark in found.remarks)]
    return "\n".join(blocks)


def _table(found: Checkup) -> Iterator[str]:
    heads = HEADS if found.optimizer else HEADS[:-1]
    layers = _shown(found.layers)
    wide = max(5, *(len(short(x.name, NAME)) for x in layers))
    yield f"{'layer':{wide}}  " + "  ".join(f"{head:>8}" for head in heads)
    for x in layers:
        yield f"{short(x.name, NAME):{wide}}  " + "  ".join(
            f"{n:>8}" for n in _numbers(x)[: len(heads)]
        )
    if len(layers) < len(found.layers):
        yield f"and {len(found.layers) - len(layers)} more; checkup.layers has all"


def _shown(layers: Sequence[Layer]) -> Sequence[Layer]:
    """The first and the last of them, where there are too many."""
    if len(layers) <= MOST:
        return layers
    return (*layers[: MOST // 2], *layers[-MOST // 2 :])


def _numbers(x: Layer) -> tuple[str, ...]:
    return tuple("" if n is None else f"{n:.2g}" for n in (x.gain, x.signal, x.gradient, x.update))


def html(found: Checkup) -> str:
    """The same for a notebook, in the page's own colours, without script."""
    cell = "padding:.2em .7em;border-bottom:1px solid rgba(128,128,128,.4);text-align:"
    parts = [f"<p><strong>{escape(verdict(found))}</strong></p>"]
    parts.append("<p>" + "<br>".join(map(escape, summary(found))) + "</p>")
    if found.findings:
        parts.append("<ol>")
        for f in found.findings:
            after = f" (may come of: {escape(f.after)})" if f.after else ""
            parts.append(
                f"<li><strong>{escape(f.name.capitalize())}</strong>{after}. {escape(f.what)}<br>"
                f"<em>Evidence:</em> {escape(f.evidence)}<br>"
                f"<em>Change:</em> {escape(f.change)}</li>"
            )
        parts.append("</ol>")
    heads = HEADS if found.optimizer else HEADS[:-1]
    head = "".join(f'<th scope="col" style="{cell}right">{h}</th>' for h in heads)
    layers = _shown(found.layers)
    body = "".join(
        f'<tr><th scope="row" style="{cell}left"><code>{escape(x.name)}</code></th>'
        + "".join(f'<td style="{cell}right">{n}</td>' for n in _numbers(x)[: len(heads)])
        + "</tr>"
        for x in layers
    )
    style = "border-collapse:collapse;color:inherit;background:transparent;margin:.5em 0"
    parts.append(
        f'<div style="overflow-x:auto" tabindex="0"><table style="{style}"><thead><tr>'
        f'<th scope="col" style="{cell}left">layer</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
    if left := len(found.layers) - len(layers):
        parts.append(f"<p>and {left} more</p>")
    parts += [f"<p>Note: {escape(remark)}</p>" for remark in found.remarks]
    return "<div>" + "".join(parts) + "</div>"


def page(title: str, body: str, picture: str = "") -> str:
    """A page of its own: it needs no network, and takes the reader's light or dark."""
    drawn = (
        '<figure style="margin:1em 0;padding:.5em;background:#fff;overflow-x:auto" tabindex="0">'
        f'<div style="min-width:42em">{picture}</div></figure>'
        if picture
        else ""
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>:root{{color-scheme:light dark}}"
        "body{font:1rem/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
        "svg{max-width:100%;height:auto}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>{drawn}{body}</body></html>\n"
    )


def figure(found: Checkup) -> Figure:
    """Panels in a row: signal, gradient, the step if one was tried, flat units if any were seen."""
    panels = [_signal, _gradient]
    panels += [_update] if found.optimizer else []
    panels += [_flat] if found.sites is not None else []
    fig = Figure(figsize=(2.6 * len(panels), 2.9), layout="constrained")
    for ax, draw in zip(fig.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw(ax, found)
    return fig


def _signal(ax: Axes, found: Checkup) -> None:
    _dots(ax, [x.signal for x in found.layers], plots.BLUE)
    ax.set(title="Signal", ylabel="std over rows", xlabel="layer")


def _gradient(ax: Axes, found: Checkup) -> None:
    _dots(ax, [x.gradient for x in found.layers], plots.VERMILION)
    ax.set(title="Gradient", ylabel="norm", xlabel="layer")


def _update(ax: Axes, found: Checkup) -> None:
    ax.axhspan(SMALL_UPDATE, LARGE_UPDATE, color=plots.GREY, alpha=0.15, linewidth=0)
    ax.axhline(1e-3, color=plots.INK, linewidth=1, linestyle="--")
    _dots(ax, [x.update for x in found.layers], plots.GREEN)
    ax.set(title="First step", ylabel="update / weight (std)", xlabel="layer")


def _dots(ax: Axes, values: Sequence[float | None], colour: str) -> None:
    """Values on a logarithmic scale; those that are 0 or missing are left out."""
    points = [(n, v) for n, v in enumerate(values, 1) if v and math.isfinite(v)]
    ax.plot(*zip(*points, strict=True) if points else ((), ()), "o", color=colour, markersize=4)
    ax.set_yscale("log")
    ax.set_xlim(0.5, len(values) + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if points:
        low, high = min(v for _, v in points), max(v for _, v in points)
        if high < 30 * low:  # what is level is to look level
            middle = math.sqrt(low * high)
            ax.set_ylim(min(low / 2, middle / 10), max(high * 2, middle * 10))


def _flat(ax: Axes, found: Checkup) -> None:
    sites = found.sites.sites.values() if found.sites is not None else ()
    shares = [s.recent.flat_share for s in sites]
    rows = [100 * share.mean().item() if share is not None else math.nan for share in shares]
    stuck = [100 * (share == 1).double().mean().item() if share is not None else math.nan
             for share in shares]  # fmt: skip
    at = range(1, len(rows) + 1)
    ax.plot(at, rows, "o", color=plots.ORANGE, markersize=4, label="activations")
    ax.plot(at, stuck, "x", color=plots.INK, markersize=5, label="units, always")
    ax.set(title="Flat", ylabel="%", xlabel="activation", ylim=(-4, 104))
    ax.set_xlim(0.5, len(rows) + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.legend(fontsize=8)


def svg(fig: Figure) -> str:
    """The figure as text that stands in a page."""
    held = io.StringIO()
    silent = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    fig.savefig(held, format="svg", metadata=silent)
    return "".join(held.getvalue().partition("<svg")[1:])


def _wrap(line: str) -> str:
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.fill(line, WIDTH, subsequent_indent=indent or "   ", break_on_hyphens=False)
