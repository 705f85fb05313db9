"""What a build settles for its whole process, begun by `make book` or by `jupyter-book build .`.

Nothing green by accident: a warning is an error, and after a build that failed or was interrupted
the pages are made again from nothing (the execution cache stays): a failure repeats, and an
interruption is forgotten.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from book_build import shortcuts
from book_build.environment import KERNEL_ENVIRONMENT
from book_build.turn import LOCK, UNFINISHED, only_one

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

__all__ = ["settle"]


def settle(app: Sphinx) -> None:
    """Wait for this build's turn, and prepare the process and the folder for it."""
    build = Path(app.outdir).parent
    build.mkdir(parents=True, exist_ok=True)
    shortcuts.take()
    prepare_kernels(Path(app.srcdir), build)
    app.warningiserror = not app.keep_going
    app.add_config_value("book_jobs", 2, "", int)
    # Jupyter Book hands this on to an extension that the book leaves out, and Sphinx would warn.
    app.add_config_value("comments_config", {}, "", dict)
    shortcuts.connect(app)
    turn = ExitStack()
    turn.enter_context(only_one(build / LOCK))
    forget_unfinished(app)
    (build / UNFINISHED).touch()
    app.connect("config-inited", be_strict, priority=100)
    app.connect("config-inited", choose_jobs)
    app.connect("builder-inited", name_all_broken_links)
    app.connect("build-finished", end, priority=998)
    app.connect("build-finished", lambda _app, _exception: turn.close(), priority=999)


def prepare_kernels(root: Path, build: Path) -> None:
    """Set what kernels inherit, and have the build itself import the package that they import."""
    os.environ.update(KERNEL_ENVIRONMENT)
    os.environ["PYTHONPATH"] = str(root)
    os.environ["IPYTHONDIR"] = str(build / "ipython")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))


def forget_unfinished(app: Sphinx) -> None:
    """Remove the pages, and what is kept for them, where the last build did not come to its end."""
    build = Path(app.outdir).parent
    if not (build / UNFINISHED).exists():
        return
    for made in (app.outdir, app.doctreedir, build / "html", build / "jupyter_execute"):
        shutil.rmtree(made, ignore_errors=True)
    for folder in (app.outdir, app.doctreedir):
        Path(folder).mkdir(parents=True)


def be_strict(app: Sphinx, config: Config) -> None:
    """Let no reference lead nowhere; name the contents alike, however the build was begun."""
    config.nitpicky = True
    contents = Path(app.srcdir, config.external_toc_path)
    config.external_toc_path = os.path.relpath(contents, app.srcdir)


def choose_jobs(app: Sphinx, config: Config) -> None:
    """Make several pages at a time: `jupyter-book` has no option that says how many."""
    app.parallel = max(app.parallel, config.book_jobs)


def name_all_broken_links(app: Sphinx) -> None:
    """Let a link check go on after the first link that is broken."""
    if app.builder.name == "linkcheck":
        app.warningiserror = False


def end(app: Sphinx, exception: Exception | None) -> None:
    """Take the mark away when the pages are whole."""
    if exception is None and not (app.keep_going and app._warncount):
        (Path(app.outdir).parent / UNFINISHED).unlink(missing_ok=True)
