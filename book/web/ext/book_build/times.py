"""`{execution-times}`: when each page ran, how long, with what, from the records of the kept runs.

The record of a run is made when it runs, so that a page from the cache shows the day of its run
and not of the build.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

__all__ = ["ExecutionTimes", "read_again"]

MARK = "execution-times"


class ExecutionTimes(SphinxDirective):
    """Two tables: the pages with their runs, and what they ran on."""

    def run(self) -> list[nodes.Node]:
        """Write them as the page would, and let the page's parser read them."""
        self.env.metadata[self.env.docname][MARK] = True
        runs = in_order(self.env)
        lines = [*pages_table(runs), "", *machines_table(runs)]
        box = nodes.container(classes=[MARK])
        self.state.nested_parse(StringList(lines, self.env.docname), self.content_offset, box)
        return [box]


def in_order(env: BuildEnvironment) -> dict[str, dict[str, Any]]:
    """Return the runs of the pages in the order of the contents."""
    runs = env.book_runs
    return {name: runs[name] for name in env.external_site_map if name in runs}


def pages_table(runs: dict[str, dict[str, Any]]) -> list[str]:
    """Return a row for each page, and one for all: the sum of the times, the most memory."""
    total = sum(run["seconds"] for run in runs.values())
    most = max((run["memory"] for run in runs.values()), default=0)
    return [
        "| page | executed (UTC) | seconds | memory, MB |",
        "|---|---|---:|---:|",
        *(
            f"| {{doc}}`/{name}` | {run['created']} | {run['seconds']:.1f} "
            f"| {run['memory'] / 1e6:.0f} |"
            for name, run in runs.items()
        ),
        f"| **all {len(runs)} pages** | | **{total:.1f}** | **{most / 1e6:.0f}** |",
    ]


def machines_table(runs: dict[str, dict[str, Any]]) -> list[str]:
    """Return a column for each kind of machine and set of versions that a page ran on."""
    machines: list[dict[str, str]] = []
    for run in runs.values():
        if run["machine"] not in machines:
            machines.append(run["machine"])
    names = list(dict.fromkeys(name for machine in machines for name in machine))
    if not names:
        return []
    titles = ["executed with"] if len(machines) == 1 else places(runs, machines)
    rows = [[name, *(machine.get(name, "not recorded") for machine in machines)] for name in names]
    return [
        "| | " + " | ".join(titles) + " |",
        "|---|" + "---|" * len(machines),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def places(runs: dict[str, dict[str, Any]], machines: list[dict[str, str]]) -> list[str]:
    """Head each column with the number of its pages."""
    counts = [sum(run["machine"] == machine for run in runs.values()) for machine in machines]
    return [f"{count} page{'s' if count > 1 else ''}" for count in counts]


def read_again(_app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Have the pages with the tables read once more when a run has changed."""
    shown = getattr(env, "book_runs_shown", None)
    if shown != env.book_runs:
        marked = [name for name in env.found_docs if MARK in env.metadata.get(name, {})]
        docnames.extend(name for name in marked if name not in docnames)
    env.book_runs_shown = dict(env.book_runs)
