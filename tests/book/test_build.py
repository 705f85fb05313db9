"""`make book` fails when it should, again when run again, and redoes just what changed."""

from __future__ import annotations

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from small_project import Project, copy_project, new_project

DEFECTS = {
    "a raising cell": ("import matplotlib", "1 / 0\nimport matplotlib", "ZeroDivisionError"),
    "a false claim": ("import matplotlib", "assert 1 > 2\nimport matplotlib", "AssertionError"),
    "a broken reference": ("ends at", "{ref}`nowhere` ends at", "nowhere"),
    "an unknown citation": ("ends at", "{cite}`nobody` ends at", "nobody"),
    "an unknown glued value": ("ends at", "ends at {glue:text}`depth` and", "depth"),
    "no alt text": ('alt: "A straight line from 0 to {height}."', "width: 400px", "alt text"),
    "a formula that cannot be set": ("ends at", "of $\\nonsense x$ ends at", "\\nonsense"),
    "an icon that is not loaded": ("ends at", '<i class="fas fa-dragon"></i> ends at', "dragon"),
    "an unknown value in alt text": ("0 to {height}", "{depth} to {height}", "'depth'"),
}
# One that each step of a build finds: running cells, reading, resolving, writing.
RERUN = ("a raising cell", "an unknown value in alt text", "a broken reference", "no alt text")


@pytest.fixture(scope="module")
def failures(
    built: Project, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[subprocess.CompletedProcess[str]]]:
    """Builds of a project with each defect, and one more where a rerun is tried; two at a time."""

    def build(defect: str) -> list[subprocess.CompletedProcess[str]]:
        project = copy_project(built, tmp_path_factory.mktemp("defect"))
        old, new, _ = DEFECTS[defect]
        project.edit("book/chapter.md", old, new)
        results = [project.make()]
        assert (project.root / "_build" / ".unfinished").exists(), "a rerun begins from nothing"
        return [*results, project.make()] if defect in RERUN else results

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(DEFECTS, pool.map(build, DEFECTS), strict=True))


@pytest.mark.parametrize("defect", DEFECTS)
def test_defect_stops_the_build_and_the_rerun(
    failures: dict[str, list[subprocess.CompletedProcess[str]]], defect: str
) -> None:
    for result in failures[defect]:
        assert result.returncode != 0, result.stdout
        assert DEFECTS[defect][2] in result.stdout
        assert "book/chapter" in result.stdout
        assert "is built" not in result.stdout


def test_repaired_book_builds(built: Project, repaired: Project) -> None:
    assert "The line ends at" in repaired.page("chapter")
    assert repaired.page("chapter") == built.page("chapter")


def test_prose_edit_is_on_the_page_and_runs_nothing(reworded: Project, built: Project) -> None:
    assert "The straight line ends" in reworded.page("chapter")
    assert "A line as far as" in reworded.page("chapter")
    assert reworded.runs() == built.runs()
    assert len(built.runs()) == 1


def test_style_and_lab_scripts_are_renewed_and_run_nothing(
    project: Project, built: Project
) -> None:
    project.edit("book/web/static/book.css", ".navbar-brand.logo {", ".navbar-brand.logo-of-ours {")
    project.edit("mlpinit/lab/core.js", "Start again", "Back to the start")
    assert project.make().returncode == 0
    static = project.html / "_static"
    assert "logo-of-ours" in (static / "book.css").read_text(encoding="utf-8")
    assert "Back to the start" in (static / "lab.js").read_text(encoding="utf-8")
    assert project.runs() == built.runs()


def test_edit_in_the_package_changes_the_figure_and_removes_what_no_page_shows(
    project: Project,
) -> None:
    before = set(project.figures())
    recording = project.html / "_static" / "labs" / "run-01234567.js"
    recording.parent.mkdir(exist_ok=True)
    recording.write_text("// a run that no page shows", encoding="utf-8")
    project.edit("mlpinit/constant.py", "1.5", "2.5")
    assert project.make().returncode == 0
    page = project.page("chapter")
    assert "2.50" in page
    assert "1.50" not in page
    after = set(project.figures())
    assert len(after) == len(before) == 2
    assert after.isdisjoint(before)
    assert all(f"_images/{name}" in page for name in after)
    assert not recording.exists()


@pytest.mark.parametrize("moment", ["executing", "reading and writing"])
def test_killed_build_recovers(built: Project, tmp_path: Path, moment: str) -> None:
    project = new_project(tmp_path / "project")
    process = project.start()
    wanted = {
        "executing": project.root / "_build" / "executed",
        "reading and writing": project.root / "_build" / "jupyter_execute",
    }[moment]
    wait_for(wanted, process)
    project.kill(process)
    assert (project.root / "_build" / ".unfinished").exists()
    result = project.make()
    assert result.returncode == 0, result.stdout
    assert project.page("chapter") == built.page("chapter")
    assert project.figures() == built.figures()


def test_half_written_run_is_made_again(project: Project, built: Project) -> None:
    (stored,) = (project.root / "_build" / "executed").rglob("base.ipynb")
    stored.write_text(stored.read_text()[:1000])
    (project.root / "_build" / ".unfinished").touch()
    result = project.make()
    assert result.returncode == 0, result.stdout
    assert project.page("chapter") == built.page("chapter")


def test_chapters_are_numbered_through_the_parts(built: Project) -> None:
    assert "1. </span>Prose" in built.page("prose")
    assert "2. </span>A chapter" in built.page("chapter")
    assert "Fig. 2.1" in built.page("index")


def test_each_figure_has_a_twin_for_a_dark_page(built: Project) -> None:
    assert len(built.figures()) == 2
    light, dark = sorted(built.figures(), key=len)
    assert dark == light.replace(".svg", "-dark.svg")
    page = built.page("chapter")
    assert page.count('alt="A straight line from 0 to 1.50."') == 2
    picture, twin = (built.figures()[name] for name in (light, dark))
    assert b"#1f2933" in picture
    colours = re.compile(rb"#[0-9a-f]{6}")
    assert not set(colours.findall(picture)) & set(colours.findall(twin))
    assert b"#e6e9ed" in twin
    assert colours.sub(b"", twin) == colours.sub(b"", picture)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None, "the build ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_solutions_are_included_and_can_be_left_out(rich: Project, unsolved: Project) -> None:
    answer = "torch.tanh"
    for project, shown in ((rich, True), (unsolved, False)):
        text = BeautifulSoup(project.page("chapter"), "html.parser").get_text()
        assert "tanh_slope in book/exercises/tanh_derivative.py" in text
        assert "make check EX=6.1" in text
        assert "Hint 1" in text
        assert (answer in text.split("Hint 2")[1].split("entry by entry.")[1]) == shown


def test_an_exercise_that_is_not_there_stops_the_build(project: Project) -> None:
    page = project.root / "book" / "prose.md"
    page.write_text(f"{page.read_text()}\n:::{{graded}} 6.99\n:::\n")
    result = project.make()
    assert result.returncode != 0
    assert "there is no exercise 6.99" in result.stdout
