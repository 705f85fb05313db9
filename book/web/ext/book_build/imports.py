"""What Sphinx and MyST-NB would load and this book's pages never use: a third of a short build.

Every module named here is loaded as ever where another version no longer asks for it this way.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["leave_out_builders", "load_parts"]

# Sphinx sets these up for every project, to write other formats. Those that bring settings of which
# pages are said to depend stay: what is built could not be told from what Jupyter Book has built.
OF_OTHER_BUILDS = {
    *(
        f"sphinx.builders.{name}"
        for name in ("changes", "latex", "linkcheck", "manpage", "texinfo")
    ),
    *(f"sphinxcontrib.{name}" for name in ("applehelp", "devhelp", "serializinghtml")),
}
# MyST-NB's own ways to run a page and to keep its run, with sqlalchemy and nbclient behind them
# (see `runs`); IPython, with which its `glue` shows values in a notebook; a network, for links to
# other projects, menus of versions and pictures from elsewhere, which these pages have not; and
# what checks a notebook against its schema: those read here were made here, and tests check them.
UNUSED = {
    *(f"myst_nb.core.execute.{name}" for name in ("cache", "direct", "inline")),
    *("IPython", "IPython.display", "IPython.lib"),
    *("requests", "requests.exceptions", "sphinx.util.requests"),
    "nbformat.json_compat",
}


class StandIn(ModuleType):
    """A module of which every name is a class that does nothing."""

    def __getattr__(self, name: str) -> Any:
        """Make up what is imported from it."""
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Exception,), {})


def leave_out_builders() -> tuple[str, ...]:
    """Have Sphinx set up what this book's pages need; returns whose settings are unknown then."""
    from sphinx import application  # noqa: PLC0415

    kept = [name for name in application.builtin_extensions if name not in OF_OTHER_BUILDS]
    application.builtin_extensions = tuple(kept)
    return "latex_", "linkcheck_"


def load_parts() -> None:
    """Load MyST-NB, the theme and Sphinx's own parts without what they would load in turn."""
    from sphinx import application  # noqa: PLC0415

    with stood_in_for(UNUSED | other_languages()):
        importlib.import_module("myst_nb.sphinx_ext")
        importlib.import_module("pydata_sphinx_theme")
        for name in application.builtin_extensions:
            importlib.import_module(name)
        load_lexers()
    importlib.import_module("nbformat").validate = lambda *_notebook, **_how: None


def other_languages() -> set[str]:
    """The stemmers of all languages but English, whose words alone the search index has."""
    package = importlib.util.find_spec("snowballstemmer")
    found = Path(package.origin).parent.glob("*_stemmer.py") if package else ()
    return {f"snowballstemmer.{path.stem}" for path in found if path.stem != "porter_stemmer"}


def load_lexers() -> None:
    """Load MyST-NB's lexers, which it takes from IPython, and IPython from a small package."""
    with suppress(ImportError):
        sys.modules["IPython.lib.lexers"] = importlib.import_module("ipython_pygments_lexers")
        importlib.import_module("myst_nb.core.lexers")
        del sys.modules["IPython.lib.lexers"]


@contextmanager
def stood_in_for(names: set[str]) -> Iterator[None]:
    """Let modules be found empty for a while, unless they are loaded already."""
    missing = [name for name in sorted(names) if name not in sys.modules]
    sys.modules |= {name: StandIn(name) for name in missing}
    yield
    for name in missing:
        del sys.modules[name]
