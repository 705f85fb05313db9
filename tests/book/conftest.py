"""The built book, and a small one built from nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
from book_build import chromium
from playwright.sync_api import Browser, BrowserContext
from small_project import (
    ROOT,
    VENV,
    Once,
    Project,
    changed,
    clean_environment,
    copy_project,
    enrich,
    new_project,
)

# Fixtures that open a browser, or make ready for one; and those that take minutes.
BROWSER_FIXTURES = {"chrome", "printed", "image"}
SURVEY_FIXTURES = {"printed", "image"}


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Does what takes long once for all processes that run the tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"
    folder.mkdir(exist_ok=True)
    return Once(folder)


@pytest.fixture(scope="session")
def built(once: Once) -> Project:
    """A small project, built from nothing. This one and those below are not to be changed."""
    return once.built("built", lambda folder: new_project(folder / "project"))


@pytest.fixture(scope="session")
def reworded(once: Once, built: Project) -> Project:
    """The same with other words in its text and in a caption."""

    def change(project: Project) -> None:
        project.edit("book/chapter.md", "The line ends", "The straight line ends")
        project.edit("book/chapter.md", "A line up to", "A line as far as")

    return once.built("reworded", changed(built, change))


@pytest.fixture(scope="session")
def rich(once: Once, built: Project) -> Project:
    """The same with one of everything in its chapter."""
    return once.built("rich", changed(built, enrich))


@pytest.fixture(scope="session")
def unsolved(once: Once, rich: Project) -> Project:
    """The rich one without its solutions."""
    return once.built("unsolved", changed(rich, lambda project: None), "SOLUTIONS=0")


@pytest.fixture(scope="session")
def repaired(once: Once, built: Project) -> Project:
    """One that was broken, which the build said, and is as it was."""

    def change(project: Project) -> None:
        project.edit("book/chapter.md", "ends at", "{ref}`nowhere` ends at")
        assert project.make().returncode != 0
        project.edit("book/chapter.md", "{ref}`nowhere` ends at", "ends at")

    return once.built("repaired", changed(built, change))


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A built small project of the test's own."""
    return copy_project(built, tmp_path)


@pytest.fixture(scope="module")
def context(chrome: Browser) -> Iterator[BrowserContext]:
    """A window that reaches files and nothing else, for the tests of a file."""
    with browser.offline(chrome) as opened:
        yield opened


@pytest.fixture(scope="session")
def html(once: Once) -> Path:
    """The folder of the whole book's pages, which `make book` has brought up to date."""

    def make_book(folder: Path) -> None:
        command = ["make", "book", f"VENV={VENV}"]
        result = subprocess.run(
            command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr

    once.do("book", make_book)
    return ROOT / "_build" / "html"


@pytest.fixture(scope="session")
def chrome() -> Iterator[Browser]:
    """The one browser of all tests, each of which opens windows of its own."""
    with chromium.start() as running:
        yield running


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the survey, and those that open a browser: where there is none, say so."""
    reason = browser.why_left_out(chromium.find(), os.environ)
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if SURVEY_FIXTURES & used:
            item.add_marker("survey")
        if not BROWSER_FIXTURES & used and not item.get_closest_marker("browser"):
            continue
        item.add_marker("browser")
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
