"""The notebooks that readers download: plain, whole, with outputs, and they run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from built_pages import CHAPTERS, DOCUMENTS
from nbformat import NotebookNode
from small_project import ROOT, Project

MAX_BYTES = 1_000_000
SOURCES = {
    document: (ROOT / f"{document}.md").read_text(encoding="utf-8") for document in DOCUMENTS
}
WITH_CELLS = [document for document, source in SOURCES.items() if "```{code-cell}" in source]
# A cell of code, or a heading without a role in it; nothing else begins a line like either.
CELL_OR_HEADING = re.compile(r"^```\{code-cell\}.*?\n(.*?)^```$|^(#+ [^{\n]+)$", re.M | re.S)
CELL_OPTIONS = re.compile(r"\A(?:---\n.*?^---\n|(?::\w+:[^\n]*\n)+\n?)", re.M | re.S)
NUMBER = re.compile(r"^(#+) (?:\d+\.)+ ")
MYST = re.compile(r"(?<!`)\{[a-z]+(?::[a-z]+)?\}`|^:::|^```\{|\{(?:glue|numref|ref|eq)\b", re.M)


def read(html: Path, document: str) -> NotebookNode:
    path = html / "notebooks" / f"{document.removeprefix('book/')}.ipynb"
    return nbformat.read(path, as_version=4)


def prose(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


# The whole book


def test_there_is_one_for_each_page_with_cells_and_no_other(html: Path) -> None:
    made = {path.relative_to(html / "notebooks") for path in html.rglob("*.ipynb")}
    assert {f"book/{path.with_suffix('').as_posix()}" for path in made} == set(WITH_CELLS)
    assert set(WITH_CELLS) >= set(CHAPTERS)


@pytest.mark.parametrize("document", WITH_CELLS)
def test_it_is_valid_light_and_plain(html: Path, document: str) -> None:
    notebook = read(html, document)
    nbformat.validate(notebook)
    assert len(nbformat.writes(notebook).encode()) < MAX_BYTES
    text = re.sub(r"```.*?```", "", prose(notebook), flags=re.S)
    assert not MYST.search(text), MYST.search(text)
    assert str(ROOT) not in nbformat.writes(notebook)


@pytest.mark.parametrize("document", WITH_CELLS)
def test_it_has_every_cell_and_heading_of_the_source_in_its_place(
    html: Path, document: str
) -> None:
    from_source = [
        CELL_OPTIONS.sub("", code).strip() if code else title.strip()
        for code, title in CELL_OR_HEADING.findall(SOURCES[document])
    ]
    exported = list(cells_and_headings(read(html, document)))
    assert [part for part in exported if part in set(from_source)] == from_source


def cells_and_headings(notebook: NotebookNode) -> Iterator[str]:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            yield cell.source.strip()
        else:
            for line in cell.source.splitlines():
                yield NUMBER.sub(r"\1 ", line).replace("’", "'").replace("\\", "")


@pytest.mark.parametrize("document", CHAPTERS)
def test_its_figures_and_captions_are_those_of_the_page(html: Path, document: str) -> None:
    notebook = read(html, document)
    page = BeautifulSoup((html / f"{document}.html").read_text(encoding="utf-8"), "html.parser")
    figures = page.select("article.bd-article figure")
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/svg+xml" in output.get("data", {})
    ]
    assert len(pictures) >= len(figures) > 0
    captions = re.findall(r"^\*\*(Fig\. [\d.]+)\*\*", prose(notebook), re.M)
    assert captions == [
        figure.select_one(".caption-number").get_text(strip=True) for figure in figures
    ]


@pytest.mark.parametrize("document", WITH_CELLS)
def test_the_page_offers_it(html: Path, document: str) -> None:
    page = html / f"{document}.html"
    links = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select(
        ".article-header-buttons a[href$='.ipynb']"
    )
    assert len(links) == 1
    assert (page.parent / links[0]["href"]).resolve().is_relative_to(html / "notebooks")


@pytest.mark.parametrize("document", ["book/part1/corpus", "book/part1/forward"])
def test_it_runs_whole_away_from_the_repository(html: Path, document: str, tmp_path: Path) -> None:
    made = read(html, document)
    again = run(made, tmp_path)
    assert printed(again) == printed(made)
    assert any(printed(made))


def run(notebook: NotebookNode, folder: Path) -> NotebookNode:
    from nbclient import NotebookClient

    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=900, resources=resources).execute()
    return notebook


def printed(notebook: NotebookNode) -> list[str]:
    """What each cell printed; a kernel may send it in pieces."""
    return [
        "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout")
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


# A small project


def test_it_has_outputs_and_new_words_when_nothing_ran(reworded: Project, built: Project) -> None:
    before, after = read(built.html, "book/chapter"), read(reworded.html, "book/chapter")
    assert reworded.runs() == built.runs()
    assert "The straight line ends at 1.50." in prose(after)
    assert "The line ends at 1.50." in prose(before)
    assert svgs(after) == svgs(before)
    assert len(svgs(after)) == 1


def svgs(notebook: NotebookNode) -> list[str]:
    return [
        output.data["image/svg+xml"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/svg+xml" in output.get("data", {})
    ]


def test_hidden_cells_are_folded_and_glue_leaves_no_output(built: Project) -> None:
    hidden, drawn = (c for c in read(built.html, "book/chapter").cells if c.cell_type == "code")
    assert hidden.metadata.tags == ["remove-cell"]
    assert hidden.metadata.jupyter.source_hidden
    assert not any("papermill" in kind for output in hidden.outputs for kind in output.data)
    assert hidden.metadata.jupyter.outputs_hidden
    assert "chapter.glue" in hidden.source
    assert drawn.metadata.jupyter == {"source_hidden": True}


@pytest.mark.parametrize(
    "written",
    [
        "## 2.1. A rich section",
        "ends at 1.50, **bold**, *slanted*, `a|b` and 2 \\* 3 \\< 7 costs \\$5",
        "See *A rich section*, Fig. 2.1 and (2.1).",
        "> **A box**\n>\n> It has a formula,\n>\n"
        "> $$ \\begin{aligned} a &= b \\\\ &= c \\end{aligned} \\tag{2.1} $$\n>\n",
        "> - and a list\n> - of two with 1.50",
        "<details>\n<summary>Closed</summary>\n\nOpened.\n\n</details>",
        "| name | value, $\\vert x\\vert$ |\n| --- | ---: |\n| height | 1.50 |",
        "> **Exercise 2.1 (A slope)**\n>\n> Write $t'$.",
        "check with `make check EX=6.1`",
        "<summary>Solution to Exercise 2.1 (A slope)</summary>\n\n```python\ndef ",
        "1\\. not a list",
        "**Fig. 2.1** A line up to 1.50.",
        "From *How Neural Networks Start*. © The mlpinit authors, CC BY 4.0.",
    ],
)
def test_directives_and_roles_become_plain_markdown(rich: Project, written: str) -> None:
    assert written in prose(read(rich.html, "book/chapter"))


def test_words_between_cells_that_the_page_leaves_out_keep_their_place(rich: Project) -> None:
    sources = [cell.source for cell in read(rich.html, "book/chapter").cells]
    assert sources[-4:-1] == ["late = 1", "1\\. not a list", "late + 1"]


def test_solutions_that_the_page_leaves_out_are_not_in_it(unsolved: Project) -> None:
    text = prose(read(unsolved.html, "book/chapter"))
    assert "Solution" not in text
    assert "Exercise 2.1" in text


def test_two_builds_give_the_same_notebook(built: Project, repaired: Project) -> None:
    first, second = (p.html / "notebooks" / "chapter.ipynb" for p in (built, repaired))
    assert first.stat().st_mtime_ns != second.stat().st_mtime_ns
    assert first.read_bytes() == second.read_bytes()
