"""Measure the built pages in a browser: what a first view weighs, and how soon it is there.

Run it with `make bench-pages`; it needs the built book and an installed Chromium.
"""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "book"), str(ROOT / "book" / "web" / "ext")]

from book_build import chromium  # noqa: E402
from first_view import KINDS, View, first_view, served  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable

LOADS = 5
COLUMNS = list(dict.fromkeys(KINDS.values()))


def page_names(html: Path) -> list[str]:
    """Name the book's pages, and the page for searching."""
    names = sorted(page.relative_to(html).as_posix() for page in (html / "book").rglob("*.html"))
    return [*names, "search.html"]


def measure(html: Path) -> dict[str, list[View]]:
    """Load every page several times, the pages in turn so that a busy moment hits no one page."""
    views: dict[str, list[View]] = {name: [] for name in page_names(html)}
    with served(html) as address, chromium.launch() as context:
        first_view(context, address, html, "search.html")  # the browser's own first start
        for _ in range(LOADS):
            for name, found in views.items():
                found.append(first_view(context, address, html, name))
    return views


def row(cells: Iterable[object]) -> str:
    """One row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def kilobytes(count: float) -> str:
    """Write bytes in thousands."""
    return f"{count / 1000:.0f}"


def main() -> None:
    """Print a table of the pages and a line on the heaviest and the slowest."""
    html = ROOT / "_build" / "html"
    if not (html / "index.html").exists():
        raise SystemExit("The book is not built: make book")
    views = measure(html)
    totals = {name: found[0].weights.total() for name, found in views.items()}
    times = {
        name: statistics.median(view.interactive for view in found) for name, found in views.items()
    }
    print(
        f"First view of each page, from a server on this machine, {os.cpu_count()} cores: "
        f"kB as sent (gzip -6), and ms to interactive, median of {LOADS} loads\n"
    )
    print(row(["page", *COLUMNS, "total, kB", "ms"]))
    print(row(["---", *["---:"] * (len(COLUMNS) + 2)]))
    for name, found in views.items():
        weights = found[0].weights
        cells = [kilobytes(weights[kind]) for kind in COLUMNS]
        print(row([name, *cells, kilobytes(totals[name]), f"{times[name]:.0f}"]))
    heaviest, slowest = max(totals, key=totals.get), max(times, key=times.get)
    print(
        f"\nHeaviest: {heaviest}, {kilobytes(totals[heaviest])} kB; median "
        f"{kilobytes(statistics.median(totals.values()))} kB. "
        f"Slowest: {slowest}, {times[slowest]:.0f} ms; median "
        f"{statistics.median(times.values()):.0f} ms."
    )
    outside = sorted({url for found in views.values() for view in found for url in view.outside})
    if outside:
        print("\nAsked of other places:", *outside, sep="\n  ")


if __name__ == "__main__":
    main()
