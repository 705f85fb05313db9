"""A build with nothing to do does nothing, and whatever would have been built again is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from book_build import unchanged
from book_build.turn import UNFINISHED
from small_project import Project, clean_environment, unhosted

FILES = (
    "_config.yml",
    "book/part/chapter.md",
    "mlpinit/data/corpus.txt",
    "mlpinit/train.py",
    "_build/html/index.html",
    "_build/html/_static/book.css",
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book that was built, of empty files, by someone of whom no hosting says anything."""
    for name in set(clean_environment()) - set(unhosted(clean_environment())):
        monkeypatch.delenv(name)
    for name in FILES:
        write(tmp_path / name, "as it was")
    subprocess.run(["git", "init", "-q", "-b", "main", tmp_path], check=True)
    unchanged.record(tmp_path, unchanged.ingredients(tmp_path, True))
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def is_built(root: Path, solutions: bool = True) -> bool:
    return unchanged.is_built(root, unchanged.ingredients(root, solutions))


def test_what_is_built_is_found_built(root: Path) -> None:
    assert is_built(root)
    write(root / "mlpinit" / "__pycache__" / "train.pyc", "compiled")
    write(root / "_build" / "executed" / "run", "kept")
    assert is_built(root)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_edited_or_removed(root: Path, name: str) -> None:
    write(root / name, "as it is.")
    assert not is_built(root)
    unchanged.record(root, unchanged.ingredients(root, True))
    assert is_built(root)
    (root / name).unlink()
    assert not is_built(root)


CHANGES: dict[str, Callable[[Path, pytest.MonkeyPatch], object]] = {
    "a new chapter": lambda root, _: write(root / "book" / "part" / "new.md", ""),
    "contents where there were none": lambda root, _: write(root / "_toc.yml", ""),
    "a file among the pages": lambda root, _: write(root / "_build" / "html" / "x.html", ""),
    "a build that failed": lambda root, _: write(root / "_build" / UNFINISHED, ""),
    "a record cut short": lambda root, _: write(root / "_build" / unchanged.RECORD, '{"from'),
    "an address": lambda _, env: env.setenv("BOOK_URL", "https://example.org/"),
    "a hosting": lambda _, env: env.setenv("CI_PROJECT_URL", "https://gitlab.com/a/b"),
    "a variable that cells read": lambda _, env: env.setenv("MLPINIT_FULL", "1"),
    "a remote": lambda root, _: subprocess.run(
        ["git", "remote", "add", "origin", "https://github.com/a/b"], cwd=root, check=True
    ),
    "a package": lambda _, env: env.setattr(unchanged, "packages", lambda: [1]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_change(root: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    CHANGES[change](root, monkeypatch)
    assert not is_built(root)


def test_solutions_are_asked_for_or_not(root: Path) -> None:
    assert not is_built(root, solutions=False)


def test_a_folder_elsewhere_is_not_taken_for_built(root: Path, tmp_path: Path) -> None:
    moved = root.rename(tmp_path.with_name("moved"))
    assert not is_built(moved)


def test_sphinx_is_loaded_only_where_there_is_something_to_do(project: Project) -> None:
    def loads_sphinx() -> bool:
        result = project.make(PYTHONPROFILEIMPORTTIME="1")
        assert result.returncode == 0, result.stdout
        assert f"The book is built. Open {project.html / 'index.html'}" in result.stdout
        return "sphinx.application" in result.stdout

    assert loads_sphinx()  # a copy of a built project, in another folder
    assert not loads_sphinx()
    page = project.html / "book" / "chapter.html"
    before = page.read_text(encoding="utf-8")
    page.unlink()
    assert loads_sphinx()
    assert page.read_text(encoding="utf-8") == before
    assert not loads_sphinx()
