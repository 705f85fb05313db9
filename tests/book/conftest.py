"""The built book, and a small one built from nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import browser
import pytest
from book_build import chromium
from small_project import ROOT, VENV, Project, clean_environment, copy_project, new_project

# Fixtures that open a browser, or make ready for one.
BROWSER_FIXTURES = {"visits", "context", "views", "printed", "notebook", "image", "session"}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project, built from nothing; not to be changed."""
    project = new_project(tmp_path_factory.mktemp("built") / "project")
    result = project.make()
    assert result.returncode == 0, result.stdout
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A built small project of the test's own."""
    return copy_project(built, tmp_path)


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the whole book's pages, built by `make book`."""
    command = ["make", "book", f"VENV={VENV}"]
    result = subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return ROOT / "_build" / "html"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that open a browser; where there is none, leave them out and say so."""
    reason = browser.why_left_out(chromium.find(), os.environ)
    for item in items:
        opened = BROWSER_FIXTURES & set(getattr(item, "fixturenames", ()))
        if not opened and not item.get_closest_marker("browser"):
            continue
        item.add_marker("browser")
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
