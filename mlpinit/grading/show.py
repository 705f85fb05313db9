"""Verdicts for people: text for a terminal, HTML for a notebook, and the table of progress."""

from __future__ import annotations

import html
import textwrap

from mlpinit.grading.grade import Report
from mlpinit.grading.judge import FAILED, PASSED, TO_DO, Verdict

__all__ = ["as_html", "as_text", "progress"]

_SHOWN_OUTPUT = 500


def _title(verdict: Verdict) -> str:
    e = verdict.exercise
    points = f"{verdict.points} of {e.points} point{'s' * (e.points != 1)}"
    problem = f": {verdict.problem}" if verdict.problem else ""
    return f"{e.id} {e.title}: {verdict.status} ({points}){problem}"


def _body(verdict: Verdict) -> list[tuple[str, str]]:
    """(heading, text) of the evidence: input, expected, came, first difference, diagnosis."""
    body = list(verdict.details)
    if verdict.diagnosis:
        body.append(("diagnosis", verdict.diagnosis))
    if verdict.status == FAILED and verdict.output.strip():
        body.append(("printed", textwrap.shorten(verdict.output, _SHOWN_OUTPUT, placeholder=" …")))
    return body


def as_text(verdict: Verdict) -> str:
    """The verdict as lines: what was asked, the input, what came and what is wrong with it."""
    lines = [_title(verdict)]
    for heading, text in _body(verdict):
        first, *rest = text.split("\n")
        lines.append(f"  {heading:<14}{first}")
        lines += [f"  {'':<14}{line}" for line in rest]
    if verdict.status == FAILED:
        e = verdict.exercise
        lines.append(f'  {"a hint":<14}from mlpinit.grading import hint; hint("{e.id}", 1)')
    return "\n".join(lines)


_COLOURS = {PASSED: "#009473", FAILED: "#d55e00", TO_DO: "#858d96"}


def as_html(verdict: Verdict) -> str:
    """The verdict as a small block that reads on a light and a dark page."""
    rows = "".join(
        f"<dt>{html.escape(heading)}</dt>"
        f'<dd style="margin:0 0 .4em 0"><pre style="margin:0;white-space:pre-wrap;'
        f'background:none;border:0;padding:0">{html.escape(text)}</pre></dd>'
        for heading, text in _body(verdict)
    )
    style = (
        f"border-left:4px solid {_COLOURS[verdict.status]};padding:.3em 0 .3em 1em;margin:.5em 0"
    )
    return (
        f'<div style="{style}"><strong>{html.escape(_title(verdict))}</strong><dl>{rows}</dl></div>'
    )


def progress(report: Report) -> str:
    """A table of all exercises, the points, and the one to try next."""
    marks = {PASSED: "✓", FAILED: "✗", TO_DO: "·"}
    lines, chapter = [], ""
    for verdict in report.verdicts:
        e = verdict.exercise
        if e.chapter != chapter:
            chapter = e.chapter
            lines.append(f"{e.id.split('.')[0]} {chapter.replace('_', ' ')}")
        points = f"{verdict.points}/{e.points}"
        lines.append(
            f"  {marks[verdict.status]} {e.id:<5}{e.title:<52.52}{points:>6}  {verdict.status}"
        )
    total = f"{report.points} of {report.max_points} points"
    counts = ", ".join(f"{report.count(s)} {s}" for s in (PASSED, FAILED, TO_DO))
    lines.append(f"{total}: {counts}")
    if report.next_to_do is not None:
        e = report.next_to_do
        where = f"book/exercises/{e.chapter}.py"
        lines.append(f"Next: {e.id} {e.title}: {e.function} in {where}")
        lines.append(f"      make check EX={e.id}")
    return "\n".join(lines)
