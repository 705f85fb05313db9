"""`jupyter-book build .`, the command that everyone in this field knows, builds the same book."""

from __future__ import annotations

import subprocess
from pathlib import Path

from small_project import VENV, Project, clean_environment, new_project, unhosted


def jupyter_book(project: Project) -> subprocess.CompletedProcess[str]:
    """Build it with Jupyter Book's own command, in a shell that knows nothing of this project."""
    return subprocess.run(
        [VENV / "bin" / "python", VENV / "bin" / "jupyter-book", "build", "."],
        cwd=project.root,
        env=unhosted(clean_environment()),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )


def pages(project: Project) -> dict[str, bytes]:
    """Every file of the built book."""
    files = (path for path in project.html.rglob("*") if path.is_file())
    return {path.relative_to(project.html).as_posix(): path.read_bytes() for path in files}


def test_the_same_files_come_out_from_nothing_and_in_turn(built: Project, tmp_path: Path) -> None:
    """Two builds from nothing, in two places by the two commands, agree to the byte."""
    project = new_project(tmp_path / "somewhere" / "else")
    runs = None
    for build in (jupyter_book, Project.make, jupyter_book):
        result = build(project)
        assert result.returncode == 0, result.stdout
        assert pages(project) == pages(built)
        assert len(project.runs()) == 1
        assert runs in (None, project.runs()), "no cell runs again"
        runs = project.runs()


def test_a_warning_fails_it_and_the_rerun(project: Project) -> None:
    project.edit("book/chapter.md", "ends at", "{ref}`nowhere` ends at")
    for _ in range(2):
        result = jupyter_book(project)
        assert result.returncode != 0, result.stdout
        assert "undefined label: 'nowhere'" in result.stdout
    project.edit("book/chapter.md", "{ref}`nowhere` ends at", "ends at")
    result = jupyter_book(project)
    assert result.returncode == 0, result.stdout
    assert "The line ends at" in project.page("chapter")
