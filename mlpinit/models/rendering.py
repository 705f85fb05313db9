"""A report as text of 80 columns, and as a table for a notebook."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Protocol

from mlpinit.models.statistics import Figures
from mlpinit.models.verdicts import VERDICTS

__all__ = ["html", "short", "text"]

WIDTH = 80
MOST = 8  # groups of units that are shown
WORST = ("not finite", "hard-dead", "soft-dead", "never fired", "flat", "mostly saturated", "live")


class SiteReport(Protocol):
    """What is read of a site's record, a `report.SiteReport`."""

    activation: str
    units: int
    verdicts: tuple[str, ...]
    recent: Figures
    notes: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """How many units have each verdict."""

    def which(self, *verdicts: str) -> list[int]:
        """The units that have one of these."""

    def evidence(self, *units: int) -> str:
        """Why."""


class Report(Protocol):
    """What is read of a record, a `report.Report`."""

    sites: Mapping[str, SiteReport]
    notes: tuple[str, ...]
    attention: Mapping[str, Any]
    gates: Mapping[str, Any]
    passes: int
    every: int
    data_set: bool

    def counts(self) -> dict[str, int]:
        """How many units have each verdict."""


def text(report: Report) -> str:
    """Summary, sites, worst units, and what was not seen."""
    lines = [summary(report), rows(report), ""]
    names = {name: short(name) for name in report.sites}
    wide = max(map(len, names.values()), default=0)
    deep = max((len(site.activation) for site in report.sites.values()), default=0)
    for name, site in report.sites.items():
        lines.append(f"{names[name]:{wide}}  {site.activation:{deep}}  {_line(site)}")
    groups = list(_groups(report))
    if groups:
        lines += ["", f"{_heading(report, groups)}:"]
    for name, units, verdict, why in groups[:MOST]:
        lines.append(f"{short(name)} [{_spans(units)}] {verdict}: {why}")
    if len(groups) > MOST:
        left = sum(len(units) for _, units, _, _ in groups[MOST:])
        lines.append(f"and {left:,} more; report.dead('soft') and report[site].which(...) list all")
    for heading, head, cells in beside(report):
        lines += ["", f"{heading}:", *_columns([head, *cells])]
    notes = [f"Note: {note}" for note in _notes(report)]
    return "\n".join(_wrap(line) for line in [*lines, *([""] if notes else []), *notes])


def html(report: Report) -> str:
    """Two tables in the page's own colours, without script."""
    verdicts = list(report.counts())
    cell = "padding:.2em .7em;border-bottom:1px solid rgba(128,128,128,.4);"
    head = "".join(
        f'<th scope="col" style="{cell}text-align:right" title="{escape(VERDICTS[v])}">{v}</th>'
        for v in verdicts
    )
    left, right = (f'style="{cell}text-align:{side}"' for side in ("left", "right"))
    body = []
    for name, site in report.sites.items():
        counts = site.counts()
        numbers = [f"{site.units:,}", *(f"{counts.get(v, 0):,}" for v in verdicts), _flat(site)]
        cells = "".join(f"<td {right}>{n}</td>" for n in numbers)
        body.append(
            f'<tr><th scope="row" {left}><code>{escape(name)}</code></th>'
            f"<td {left}>{escape(site.activation)}</td>{cells}</tr>"
        )
    table = 'style="border-collapse:collapse;color:inherit;background:transparent;margin:.5em 0"'
    caption = 'style="text-align:left;caption-side:top;color:inherit;padding:.2em 0"'
    parts = [
        f'<div style="overflow-x:auto"><table {table}>',
        f"<caption {caption}><strong>{escape(summary(report))}</strong><br>",
        f"{escape(rows(report))}</caption>",
        f'<thead><tr><th scope="col" {left}>site</th><th scope="col" {left}>function</th>',
        f'<th scope="col" {right}>units</th>{head}<th scope="col" {right}>flat</th></tr></thead>',
        f"<tbody>{''.join(body)}</tbody></table>",
    ]
    groups = list(_groups(report))
    if groups:
        parts.append(f"<table {table}><caption {caption}>{_heading(report, groups)}</caption>")
        heads = ("site", "units", "verdict", "evidence")
        head = "".join(f'<th scope="col" {left}>{h}</th>' for h in heads)
        parts.append(f"<thead><tr>{head}</tr></thead>")
        for name, units, verdict, why in groups[:MOST]:
            cells = "".join(f"<td {left}>{escape(c)}</td>" for c in (_spans(units), verdict, why))
            parts.append(f'<tr><th scope="row" {left}><code>{escape(name)}</code></th>{cells}</tr>')
        parts.append("</table>")
        if len(groups) > MOST:
            left_over = sum(len(units) for _, units, _, _ in groups[MOST:])
            parts.append(f"<p>and {left_over:,} more</p>")
    for heading, head, cells in beside(report):
        parts.append(f"<table {table}><caption {caption}>{heading}</caption><thead><tr>")
        parts += [f'<th scope="col" {left}>{h}</th>' for h in head]
        parts.append("</tr></thead>")
        for name, *row in cells:
            parts.append(f'<tr><th scope="row" {left}><code>{escape(name)}</code></th>')
            parts += [*(f"<td {right}>{escape(cell)}</td>" for cell in row), "</tr>"]
        parts.append("</table>")
    parts += [f"<p>{escape(note)}</p>" for note in _notes(report)]
    return "".join(parts) + "</div>"


def summary(report: Report) -> str:
    """How many sites and units, and how many units have each verdict."""
    if not report.sites:
        return "No activation function was met"
    units = sum(site.units for site in report.sites.values())
    counts = ", ".join(f"{n:,} {verdict}" for verdict, n in report.counts().items())
    return f"{_many(len(report.sites), 'site')}, {_many(units, 'unit')}: {counts}"


def rows(report: Report) -> str:
    """What the verdicts rest on."""
    recent = [site.recent for site in report.sites.values()]
    if not recent:
        return f"{_many(report.passes, 'forward pass', 'es')}."
    examples = _range([f.examples for f in recent])
    if report.data_set:
        ranks = f", on {report.ranks:,} ranks together" if report.ranks > 1 else ""
        return f"A whole data set of {examples} examples, parameters fixed{ranks}."
    ranks = f" on each of {report.ranks:,} ranks" if report.ranks > 1 else ""
    every = "all" if report.every == 1 else f"one in {report.every:,}"
    first = min(f.steps[0] for f in recent)
    last = max(f.steps[1] for f in recent)
    return (
        f"{_many(report.passes, 'forward pass', 'es')}{ranks}, {every} watched; verdicts on the "
        f"latest {examples} examples, steps {first:,} to {last:,}."
    )


def beside(report: Report) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """The tables of attention and of gates, each (heading, head, rows), where there are any."""
    if report.attention:
        head = ["attention", "head", "entropy", "of most", "largest p", "saturated", "max |logit|"]
        yield (
            "Attention, means over its rows",
            head,
            [
                [
                    short(name),
                    str(h),
                    f"{a.entropy[h]:.3f}",
                    f"{a.relative_entropy[h]:.1%}",
                    f"{a.largest[h]:.3f}",
                    f"{a.saturated[h]:.1%}",
                    f"{a.largest_logit[h]:.3g}",
                ]
                for name, a in report.attention.items()
                for h in range(a.heads)
            ],
        )
    if report.gates:
        head = ["gate", "function", "units", "mean", "saturated low", "high"]
        yield (
            "Gates, means over their entries",
            head,
            [
                [
                    f"{short(g.name)} {g.gate}",
                    g.function,
                    f"{g.units:,}",
                    f"{g.mean.mean():.3f}",
                    f"{g.low.mean():.1%}",
                    f"{g.high.mean():.1%}",
                ]
                for g in report.gates.values()
            ],
        )


def _columns(table: list[list[str]]) -> list[str]:
    """Rows of text, the first column to the left and the others to the right."""
    wide = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join([row[0].ljust(wide[0]), *map(str.rjust, row[1:], wide[1:])]) for row in table]


def _line(site: SiteReport) -> str:
    counts = ", ".join(f"{n:,} {verdict}" for verdict, n in site.counts().items())
    changes = [
        f"{int(total.sum()):,} {name}"
        for name in ("births", "deaths", "revivals")
        if (total := getattr(site, name)) is not None and total.any()
    ]
    flat = "" if site.recent.flat_share is None else f"; {_flat(site)} flat"
    return f"{site.units:,}: {counts}{flat}" + "".join(f", {change}" for change in changes)


def _flat(site: SiteReport) -> str:
    share = site.recent.flat_share
    return "" if share is None else f"{share.mean():.1%}"


def _groups(report: Report) -> Iterator[tuple[str, list[int], str, str]]:
    """(site, units, verdict, evidence), the worst verdict first, and of it the most units.

    Where nothing is wrong, the flattest live units show how far from it they are.
    """
    found = [
        (name, site.which(verdict), verdict)
        for verdict in WORST[:5]
        for name, site in report.sites.items()
    ]
    found = [group for group in found if group[1]]
    for name, units, verdict in sorted(found, key=lambda g: (WORST.index(g[2]), -len(g[1]))):
        yield name, units, verdict, report.sites[name].evidence(*units)
    if not found:
        worst = [
            (share, name, unit)
            for name, site in report.sites.items()
            if site.recent.flat_share is not None
            for unit, share in enumerate(site.recent.flat_share.tolist())
            if site.verdicts[unit] in WORST[5:] and share > 0
        ]
        for _, name, unit in sorted(worst, key=lambda w: -w[0])[:3]:
            site = report.sites[name]
            yield name, [unit], site.verdicts[unit], site.evidence(unit)


def _heading(report: Report, groups: list[tuple[str, list[int], str, str]]) -> str:
    if groups[0][2] in WORST[:5]:
        return "The units to look at"
    if set(report.counts()) <= set(WORST[5:]):
        return "The flattest units, all of them live"
    return "The flattest of the units known to live"


def _notes(report: Report) -> Iterator[str]:
    yield from report.notes
    for name, site in report.sites.items():
        yield from (f"{name}: {note}" for note in site.notes)


def _spans(units: list[int]) -> str:
    """[0, 1, 2, 7] as "0–2, 7", shortened where there are many."""
    spans: list[list[int]] = []
    for unit in units:
        if spans and unit == spans[-1][1] + 1:
            spans[-1][1] = unit
        else:
            spans.append([unit, unit])
    shown = [str(a) if a == b else f"{a}–{b}" for a, b in spans[:6]]
    return ", ".join(shown) + (f", … {len(units):,} in all" if len(spans) > 6 else "")


def _many(n: int, noun: str, plural: str = "s") -> str:
    return f"{n:,} {noun}{'' if n == 1 else plural}"


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def short(name: str, most: int = 30) -> str:
    """A name by its end, in so many letters."""
    return name if len(name) <= most else "…" + name[1 - most :]


def _wrap(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="    ", break_on_hyphens=False)
