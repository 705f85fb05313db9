"""Binder, without Docker: the environment that repo2docker makes of `binder/`, and a chapter in it.

repo2docker ignores the files of the project's root once `binder/` exists. It takes the Python that
runtime.txt names, runs `pip install -r binder/requirements.txt` in an empty folder, copies the
project, runs `binder/postBuild` in its root, and starts the server by way of `binder/start`.
Left out are the image's own Jupyter packages, which these pins replace; and pip may use its cache.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import browser
import pytest
from notebooks import (
    MINUTE,
    OPTIONS,
    TOKEN,
    Notebook,
    copy_tracked,
    reader_environment,
    serve,
)
from playwright.sync_api import Browser, expect
from small_project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notebooks import Server

BINDER = ROOT / "binder"
CHAPTER = "book/part2/shrinking.md"  # the one that takes most memory
GIGABYTE = 10**9


def pins(path: Path) -> dict[str, str]:
    """Every line of a lock file by its package's name."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line.split("==")[0]: line for line in lines if line and not line.startswith("#")}


def test_binder_installs_exactly_what_the_book_is_tested_with() -> None:
    ours, root = pins(BINDER / "requirements.txt"), pins(ROOT / "requirements.txt")
    assert {"jupyterlab", "jupyterlab-myst", "jupytext", "ipykernel", "matplotlib", "numpy"} <= set(
        ours
    )
    assert {name: root.get(name) for name in ours} == ours
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+( ;.+)?", line) for line in ours.values())
    assert not {name for name in root if name.startswith("sphinx")} & set(ours)


def test_torch_comes_from_its_own_index_in_a_call_of_its_own() -> None:
    assert "torch" not in pins(BINDER / "requirements.txt")
    script = (BINDER / "postBuild").read_text(encoding="utf-8").replace("\\\n", "")
    (call,) = [line for line in script.splitlines() if "binder/torch_index.py" in line]
    assert call.startswith("pip install ")
    assert "grep '^torch==' requirements.txt" in call


def test_scripts_may_be_run() -> None:
    listed = subprocess.check_output(["git", "ls-files", "-s", "binder"], cwd=ROOT, text=True)
    modes = {line.split("\t")[1]: line.split()[0] for line in listed.splitlines()}
    assert modes["binder/postBuild"] == modes["binder/start"] == "100755"


def python_of_runtime() -> str:
    """The Python that runtime.txt asks for."""
    version = (BINDER / "runtime.txt").read_text().strip().removeprefix("python-")
    for name in (f"python{version}", "python3"):
        python = shutil.which(name)
        ask = "import sys, ensurepip, venv; print('%d.%d' % sys.version_info[:2])"
        if python is None:
            continue
        asked = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
        if asked.stdout.strip() == version:
            return python
    reason = f"no Python {version} with venv, which binder/runtime.txt names"
    return pytest.fail(reason) if browser.required(os.environ) else pytest.skip(reason)


@dataclass(frozen=True)
class Image:
    """What repo2docker makes: a project and an environment to run it in."""

    project: Path
    environment: dict[str, str]
    seconds: float


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The steps of repo2docker, in its order."""
    began = time.monotonic()
    folder = tmp_path_factory.mktemp("image")
    project, prefix, home = folder / "project", folder / "env", folder / "home"
    home.mkdir()
    (project / "binder").mkdir(parents=True)
    environment = reader_environment(
        home,
        PATH=f"{prefix / 'bin'}:{os.environ['PATH']}",
        REPO_DIR=str(project),
        NB_PYTHON_PREFIX=str(prefix),
    )

    def run(*command: str) -> None:
        result = subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr

    run(python_of_runtime(), "-m", "venv", str(prefix))
    requirements = project / "binder" / "requirements.txt"
    shutil.copy2(BINDER / "requirements.txt", requirements)
    run(str(prefix / "bin" / "pip"), "install", "--quiet", "-r", "binder/requirements.txt")
    copy_tracked(project)
    run("./binder/postBuild")
    return Image(project, environment, time.monotonic() - began)


@contextmanager
def peak_memory(server: Server) -> Iterator[list[int]]:
    """Ask for the server's memory five times a second; the list's last number is the most."""
    most, done = [0], threading.Event()

    def ask() -> None:
        while not done.wait(0.2):
            most.append(max(most[-1], server.memory()))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield most
    finally:
        done.set()
        asking.join()


@dataclass(frozen=True)
class Session:
    """A chapter opened by the launch button and run from top to bottom."""

    notebook: Notebook
    project: Path
    first_figure: float
    peak: int


@pytest.fixture(scope="module")
def session(image: Image, chrome: Browser) -> Iterator[Session]:
    """Start the server as Binder does, below an address of its own, and run the chapter."""
    command = ["binder/start", "jupyter", "lab", *OPTIONS, "--ServerApp.base_url=/user/reader/"]
    log = image.project.parent / "log"
    with chrome.new_context(viewport={"width": 1280, "height": 1000}) as browser:
        began = time.monotonic()
        page = browser.new_page()
        with serve(command, log, cwd=image.project, env=image.environment) as server:
            with peak_memory(server) as most:
                page.goto(f"{server.url}lab/tree/{CHAPTER}?token={TOKEN}")
                notebook = Notebook(page).wait()
                notebook.run_all()
                notebook.wait_for_figure()
                first_figure = time.monotonic() - began
                notebook.wait_until_done()
            yield Session(notebook, image.project, first_figure, most[-1])


def test_the_launch_button_opens_a_notebook_that_runs(session: Session) -> None:
    assert session.notebook.errors() == []
    captioned = [
        cell for cell in session.notebook.cells() if "figure" in cell["metadata"].get("mystnb", {})
    ]
    assert len(session.notebook.figures()) == len(captioned) >= 3
    session.notebook.save()
    saved = (session.project / CHAPTER).read_text(encoding="utf-8")
    assert saved == (ROOT / CHAPTER).read_text(encoding="utf-8")


def test_labs_are_live_in_a_notebook(session: Session) -> None:
    for tag in ("mlp-init-lab", "mlp-microscope"):
        lab = session.notebook.page.locator(tag)
        lab.scroll_into_view_if_needed()
        slider = lab.locator("input[type=range]").first
        slider.focus()
        said = lab.locator(".lab-sentence").inner_text()
        session.notebook.page.keyboard.press("ArrowRight")
        expect(lab.locator(".lab-sentence")).not_to_have_text(said, timeout=MINUTE)


def test_it_fits_into_a_gigabyte(
    image: Image, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(
            f"\nBinder: installed in {image.seconds:.0f} s, first figure after"
            f" {session.first_figure:.1f} s, {session.peak / 1e6:.0f} MB at most"
        )
    assert 10**8 < session.peak < GIGABYTE
