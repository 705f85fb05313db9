"""The Sphinx extension that builds this book: cells run beforehand, figures for light and dark.

`python -m book_build` is the build as a command; see `__main__`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

__all__ = ["setup"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the parts to Sphinx's events."""
    # Here, not above: `__main__` has something to settle before MyST-NB is loaded.
    from book_build import api, execution, exercises, figures, pages  # noqa: PLC0415

    execution.hash_what_runs()
    app.add_config_value("book_solutions", True, "env", bool)
    app.add_directive("graded", exercises.Graded)
    app.connect("config-inited", declare_parallel)
    app.connect("config-inited", execution.choose_cache)
    app.connect("builder-inited", exercises.records)
    app.connect("env-before-read-docs", execution.run_changed)
    # Before Sphinx gathers the images of a page, at the default priority of 500.
    app.connect("doctree-read", figures.describe, priority=100)
    app.connect("doctree-read", figures.add_dark_twins, priority=200)
    api.set_up(app)
    app.connect("build-finished", pages.redirect_to_root)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def declare_parallel(app: Sphinx, _config: Config) -> None:
    """Say for sphinx-multitoc-numbering what it does not: it works once all pages are read."""
    app.extensions["sphinx_multitoc_numbering"].parallel_read_safe = True
