"""The Sphinx extension that builds this book: cells run beforehand, figures for light and dark.

`python -m book_build` is the build as a command, and `jupyter-book build .` another; see `__main__`
and `process`.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

__all__ = ["setup"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the parts to Sphinx's events."""
    # Here, not above: `__main__` starts at once, and the parts import the package as it is settled.
    from book_build import process  # noqa: PLC0415

    process.settle(app)
    from book_build import (  # noqa: PLC0415
        api,
        claims,
        execution,
        exercises,
        figures,
        glossary,
        hosting,
        labs,
        launch,
        look,
        notebooks,
        pages,
        runs,
        times,
        warmups,
    )

    runs.serve()
    app.add_config_value("book_solutions", True, "env", bool)
    app.add_config_value("book_repository", None, "html", (tuple, type(None)))
    app.add_directive("graded", exercises.Graded)
    app.add_role("playground", labs.InPlayground())
    app.add_directive("execution-times", times.ExecutionTimes)
    # Before the extensions that want an address, at the default priority of 500.
    app.connect("config-inited", hosting.choose, priority=100)
    app.connect("config-inited", declare_parallel)
    app.connect("config-inited", execution.choose_cache)
    app.connect("builder-inited", exercises.records)
    app.connect("env-before-read-docs", execution.run_changed)
    app.connect("env-before-read-docs", times.read_again, priority=600)
    # Before Sphinx gathers the images of a page, at the default priority of 500.
    app.connect("doctree-read", figures.describe, priority=100)
    app.connect("doctree-read", figures.add_twins, priority=200)
    app.connect("doctree-resolved", exercises.bare_links)
    # After the theme has gathered its own buttons, at 501.
    app.connect("html-page-context", notebooks.offer, priority=600)
    app.connect("html-page-context", launch.offer, priority=600)
    app.connect("html-page-context", launch.add_box)
    api.set_up(app)
    claims.setup(app)
    glossary.setup(app)
    look.setup(app)
    warmups.setup(app)
    app.connect("builder-inited", labs.write_files)
    app.connect("html-page-context", labs.load)
    app.connect("build-finished", pages.redirect_to_root)
    app.connect("build-finished", pages.remove_stale_files)
    app.connect("build-finished", pages.copy_static)
    set_up_mathematics(app)
    set_up_assets(app)
    safe = {"parallel_read_safe": True, "parallel_write_safe": True}
    return {**safe, "env_version": own_checksum()}


def set_up_mathematics(app: Sphinx) -> None:
    """Have formulas converted as pages are read, and written with their own font."""
    from book_build import mathematics  # noqa: PLC0415

    app.add_html_math_renderer(
        "mathml", (mathematics.visit_inline, None), (mathematics.visit_display, None)
    )
    app.connect("config-inited", mathematics.choose_renderer)
    # Before Sphinx copies titles and captions into lists of contents, at the default priority.
    app.connect("doctree-read", mathematics.convert, priority=300)
    app.connect("env-updated", mathematics.write_styles)
    app.add_css_file("mathematics.css", priority=600)


def set_up_assets(app: Sphinx) -> None:
    """Have pages load what they use, in the order that draws them soonest."""
    from docutils import nodes  # noqa: PLC0415

    from book_build import assets  # noqa: PLC0415

    app.connect("builder-inited", assets.write_theme)
    app.connect("html-page-context", assets.defer_scripts, priority=900)
    app.connect("build-finished", assets.check_icons)
    html = (assets.visit_image, assets.depart_image)
    app.add_node(nodes.image, override=True, html=html)


def own_checksum() -> int:
    """Sum up these modules: a change in one reads every page anew, for they made what is kept."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return zlib.crc32(b"".join(path.read_bytes() for path in sources))


def declare_parallel(app: Sphinx, _config: Config) -> None:
    """Say for sphinx-multitoc-numbering what it does not: it works once all pages are read."""
    app.extensions["sphinx_multitoc_numbering"].parallel_read_safe = True
