"""The page on what was executed tells of the runs, not of the builds."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import nbformat
import pytest
from book_build import execution, runs
from bs4 import BeautifulSoup
from myst_nb.core.utils import coalesce_streams
from nbformat import NotebookNode
from small_project import ROOT, Project

LONG_AGO = "2020-02-03 04:05"


def test_times_are_those_of_the_kept_run_until_it_is_run_again(project: Project) -> None:
    page = project.root / "book" / "prose.md"
    page.write_text(f"{page.read_text()}\n```{{execution-times}}\n```\n")
    age_runs(project)
    forget_pages(project)
    assert project.make().returncode == 0
    pages, machine = tables(project)
    assert pages[1][:2] == ["A chapter", LONG_AGO]
    assert float(pages[1][2]) > 0
    assert 50 < float(pages[1][3]) < 2000
    assert pages[2] == ["all 1 pages", "", *pages[1][2:]]
    made = {row[0]: row[1] for row in machine[1:]}
    assert made["Python"] == platform.python_version()
    assert made["torch"] == version("torch")
    assert made["processors"] == str(os.cpu_count())

    project.edit("book/chapter.md", "The line ends", "The straight line ends")
    assert project.make().returncode == 0
    assert tables(project)[0] == pages

    project.edit("book/chapter.md", "fig, ax =", "figure, ax =")
    assert project.make().returncode == 0
    (_, row, _), _ = tables(project)
    ran = datetime.strptime(row[1], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - ran) < timedelta(days=1)


def tables(project: Project) -> list[list[list[str]]]:
    page = BeautifulSoup(project.page("prose"), "html.parser")
    return [
        [[cell.get_text(strip=True) for cell in row.select("th, td")] for row in table.select("tr")]
        for table in page.select(".execution-times table")
    ]


def age_runs(project: Project) -> None:
    (kept,) = (project.root / "_build" / "executed").rglob("base.ipynb")
    notebook = json.loads(kept.read_text(encoding="utf-8"))
    notebook["metadata"]["run"]["created"] = LONG_AGO
    kept.write_text(json.dumps(notebook), encoding="utf-8")


def forget_pages(project: Project) -> None:
    (project.root / "_build" / ".unfinished").touch()


def test_a_build_that_replays_records_whole_runs_cells_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLPINIT_FULL", raising=False)
    part = execution.figures_digest(ROOT)
    monkeypatch.setenv("MLPINIT_FULL", "")
    assert execution.figures_digest(ROOT) == part
    monkeypatch.setenv("MLPINIT_FULL", "1")
    assert execution.figures_digest(ROOT) != part


def test_what_is_printed_in_one_go_is_whole_however_the_kernel_tears_it() -> None:
    """A piece may end before its new line, and the next begin with it."""

    def stream(text: str, name: str = "stdout") -> NotebookNode:
        return nbformat.v4.new_output("stream", name=name, text=text)

    shown = nbformat.v4.new_output("display_data", data={"text/plain": "a figure"})
    pieces = [stream("a"), stream("\nb\n"), stream("oh\n", "stderr"), shown, stream("c\n")]
    kept = runs.whole(pieces)
    assert [o.get("text") for o in kept] == ["a\nb\n", "oh\n", None, "c\n"]
    (joined,) = coalesce_streams(runs.whole([stream("a"), stream("\nb\n")]))
    assert joined.text == "a\nb\n"
