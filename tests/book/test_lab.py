"""`make lab`: a double click opens a chapter as a notebook, which runs, checks and saves well."""

from __future__ import annotations

import re
import runpy
import shlex
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import jupytext
import pytest
from built_pages import page_of
from notebooks import (
    MINUTE,
    OPTIONS,
    TOKEN,
    Notebook,
    copy_tracked,
    reader_environment,
    serve,
)
from playwright.sync_api import Browser
from small_project import ROOT, VENV

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = ROOT / "book" / "web" / "jupyter"
CHAPTERS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "book").rglob("*.md")
    if "\nkernelspec:\n" in path.read_text(encoding="utf-8")
)
CHAPTER = "part1/corpus.md"
keeper = runpy.run_path(str(SETTINGS / "keep_wording.py"))
whole_book = runpy.run_path(str(SETTINGS / "whole_book.py"))


def saved(text: str, edit=lambda notebook: None) -> str:
    """What JupyterLab and Jupytext make of a chapter that is opened, edited and saved."""
    notebook = jupytext.reads(text, fmt="md")
    notebook.metadata["kernelspec"]["display_name"] = "Python 3 (ipykernel)"
    notebook.metadata["language_info"] = {"name": "python", "version": "3.12.1"}
    edit(notebook)
    return jupytext.writes(notebook, fmt="md:myst")


def kept(tmp_path: Path, old: str, new: str) -> str:
    """`new` as it is saved over `old`."""
    (tmp_path / "chapter.md").write_text(old, encoding="utf-8")
    model = {"type": "file", "format": "text", "content": new}
    keeper["keep_wording"](model, "/chapter.md", SimpleNamespace(root_dir=str(tmp_path)))
    return model["content"]


@pytest.mark.parametrize("name", CHAPTERS)
def test_saving_changes_no_chapter(tmp_path: Path, name: str) -> None:
    old = (ROOT / name).read_text(encoding="utf-8")
    new = saved(old)
    assert new != old, "nothing to keep: is the hook still needed?"
    assert kept(tmp_path, old, new) == old


def test_saving_changes_what_was_edited_and_no_more(tmp_path: Path) -> None:
    old = (ROOT / "book" / CHAPTER).read_text(encoding="utf-8")

    def edit(notebook) -> None:
        figures = [cell for cell in notebook.cells if "mystnb" in cell.metadata]
        figures[0].metadata["mystnb"]["figure"]["caption"] = "Another caption."
        figures[1].source += "\n# another line"
        notebook.cells[0].source += " of names"

    new = kept(tmp_path, old, saved(old, edit))
    added = set(new.splitlines()) - set(old.splitlines())
    assert {"# The corpus of names", "# another line", "    caption: Another caption."} <= added
    gone = [line for line in old.splitlines() if line not in new.splitlines()]
    first = old[old.index("    name: fig-") :].split("\n---\n")[0].splitlines()
    assert set(gone) <= {"# The corpus", *first}, gone


def test_a_chapter_edited_as_a_text_is_saved_as_it_is(tmp_path: Path) -> None:
    old = (ROOT / "book" / CHAPTER).read_text(encoding="utf-8")
    new = old.replace("display_name: Python 3\n", "display_name: 'Python 3'\n")
    assert new != old
    assert kept(tmp_path, old, new) == new


def test_every_reference_and_citation_of_the_book_is_known() -> None:
    book = ROOT / "book"
    text = "".join(path.read_text(encoding="utf-8") for path in book.rglob("*.md"))
    referred = set(re.findall(r"\{(?:ref|numref|eq)\}`([\w-]+)`", text))
    cited = re.findall(r"\{cite:[tp]\}`([\w:, -]+)`", text)
    keys = {key.strip() for keys in cited for key in keys.split(",")}
    assert len(referred) > 50
    assert referred <= set(whole_book["labels"](book))
    assert len(keys) > 20
    assert keys <= set(whole_book["citations"](book / "references.bib"))


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("Shannon, Claude E.", "Shannon"),
        ("Kaiming He and Jian Sun", "He and Sun"),
        ("He, Kaiming and Zhang, Xiangyu and Sun, Jian", "He et al."),
        ("He, Kaiming and others", "He et al."),
        ("{PyTorch forum}", "PyTorch forum"),
        ("Guly{\\'a}s, Anna", "Gulya\u0301s"),
    ],
)
def test_authors_are_named_as_in_a_citation(written: str, named: str) -> None:
    assert whole_book["surnames"](written) == named


def test_a_warm_up_is_a_question_and_a_folded_answer(tmp_path: Path) -> None:
    number = (
        "ask: |\n  How many?\nanswer: height\nunit: m\nwhy: So.\nwrong:\n  - at: -3\n    why: No.\n"
    )
    choices = (
        "ask: Is it?\nchoices:\n  - text: No\n    why: It is.\n"
        "  - text: Yes\n    right: true\n    why: Yes.\n"
    )
    broken = "ask: a: b: c\n"
    boxes = "\n".join(f"```{{warm-up}}\n{body}```\n" for body in (number, choices, broken))
    (tmp_path / "page.md").write_text(boxes, encoding="utf-8")
    found = whole_book["warm_ups"](tmp_path)
    assert list(found) == [number.strip(), choices.strip()]
    first, second = found.values()
    assert first.startswith("::::{admonition} Warm-up\nHow many?\n\n(Your answer in m.)\n::::\n")
    assert "**Right:** {glue:text}`height` m\n\nSo.\n\n**Wrong:** -3 m\n\nNo.\n::::" in first
    assert "Is it?\n\n- No\n- Yes\n::::" in second
    assert ":class: dropdown\n\n**Right:** Yes\n\nYes.\n\n**Wrong:** No\n\nIt is." in second


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, whose chapters may be saved."""
    root = tmp_path_factory.mktemp("lab") / "the project"
    copy_tracked(root)
    return root


@pytest.fixture(scope="module")
def notebook(
    project: Path, chrome: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Notebook]:
    """A chapter that was double-clicked in the file browser, and run from top to bottom."""
    folder = tmp_path_factory.mktemp("home")
    options = " ".join(OPTIONS)
    command = ["make", "lab", f"VENV={VENV}", "PACKAGE=", f"LAB={options}"]
    with chrome.new_context(viewport={"width": 1280, "height": 1000}) as browser:
        environment = reader_environment(folder, PYTHONPATH=str(project))
        with serve(command, folder / "log", cwd=project, env=environment) as server:
            page = browser.new_page()
            page.goto(f"{server.url}lab?token={TOKEN}")
            for name in Path(CHAPTER).parts:
                page.dblclick(f".jp-DirListing-itemName >> text=/^{name}$/", timeout=5 * MINUTE)
            opened = Notebook(page).wait()
            opened.run_all()
            opened.wait_until_done()
            yield opened


def test_what_a_page_prints_opens_that_page(
    project: Path, html: Path, chrome: Browser, tmp_path: Path
) -> None:
    pre = page_of(html, "book/part2/softmax").select_one(".run-page pre")
    *_, command = pre.get_text().splitlines()
    make, lab, page = shlex.split(command)
    assert (make, lab) == ("make", "lab")
    assert (ROOT / page.removeprefix("PAGE=")).is_file()
    more = [f"VENV={VENV}", "PACKAGE=", f"LAB={' '.join(OPTIONS)}"]
    environment = reader_environment(tmp_path, PYTHONPATH=str(project))
    with (
        chrome.new_context() as browser,
        serve([make, lab, page, *more], tmp_path / "log", cwd=project, env=environment),
    ):
        opened = browser.new_page()
        opened.goto(opening(tmp_path).as_uri())
        opened.wait_for_selector(".jp-NotebookPanel h1 >> text=softmax", timeout=5 * MINUTE)


def opening(home: Path) -> Path:
    """The page that a server writes, soon after its address, for the browser to open."""
    deadline = time.monotonic() + MINUTE / 1000
    while time.monotonic() < deadline:
        for found in home.rglob("jpserver-file-to-run-*-open.html"):
            if "</html>" in found.read_text(encoding="utf-8"):
                return found
        time.sleep(0.1)
    raise AssertionError("the server has no file to open")


def test_a_double_click_opens_a_notebook_that_runs(notebook: Notebook) -> None:
    assert notebook.errors() == []
    captioned = [
        cell for cell in notebook.cells() if "figure" in cell["metadata"].get("mystnb", {})
    ]
    assert len(notebook.figures()) == len(captioned) >= 3


def test_exercises_check_in_their_cells(notebook: Notebook) -> None:
    cell = next(cell for cell in notebook.cells() if "check(" in cell["source"])
    (output,) = cell["outputs"]
    assert "Examples from a stream: to do (0 of 1 point)" in output["data"]["text/plain"]


def test_running_and_saving_leaves_the_file_as_it_was(notebook: Notebook, project: Path) -> None:
    notebook.save()
    saved_at = project / "book" / CHAPTER
    source = ROOT / "book" / CHAPTER
    assert saved_at.stat().st_mtime_ns != source.stat().st_mtime_ns, "it was not saved"
    assert saved_at.read_text(encoding="utf-8") == source.read_text(encoding="utf-8")
    assert list(project.glob("book/part1/*.ipynb")) == []


def test_the_notebook_reads_like_the_page(notebook: Notebook) -> None:
    notebook.page.wait_for_function("() => document.querySelectorAll('.book-waiting').length === 0")
    text = notebook.article()
    assert "In this chapter" in text
    assert "Unknown Directive" not in text
    assert not re.search(r":::|\{\w+(:\w+)?\}`", text)
    glued = {
        output["metadata"]["scrapbook"]["name"]: output["data"].popitem()[1].strip("'")
        for output in notebook.outputs()
        if "scrapbook" in output.get("metadata", {})
    }
    never = f"Of all pairs {glued['corpus-never-share']}% never occur"
    assert never in text.replace("\n", " ")
    assert not [name for name in glued if name in text]
    assert notebook.page.locator("[title$=' Not Found']").count() == 0
    assert "Fig. 2 counts" not in text
    assert "Fig. 2 shows the" in text.replace("\n", " ")
    assert "Shannon (1951) made people play" in text
    assert 'check("1.1", your_function)' in text
    asked = (ROOT / "book" / CHAPTER).read_text(encoding="utf-8").count("```{warm-up}")
    assert notebook.page.locator(".book-warm-up:visible").count() == asked


def test_pictures_are_described(notebook: Notebook) -> None:
    alts = notebook.page.eval_on_selector_all(".jp-RenderedSVG img", "all => all.map(i => i.alt)")
    assert len(alts) == len(notebook.figures())
    assert all(len(alt) > 15 and "{" not in alt for alt in alts), alts


def test_a_reference_opens_the_other_chapter(notebook: Notebook) -> None:
    notebook.page.click("[data-label=forward]")
    other = ".jp-NotebookPanel:not(.lm-mod-hidden) h1 >> text=The forward pass"
    notebook.page.wait_for_selector(other, timeout=5 * MINUTE)
