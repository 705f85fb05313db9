"""The buttons that open a page as a notebook to run: on Binder and on Colab.

Drawn here, for the theme's own lead to the page's source, which Colab cannot read, and fail the
build where no repository is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from book_build import hosting, notebooks

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

__all__ = ["binder", "colab", "offer"]

BINDER = "https://mybinder.org/v2"
COLAB = "https://colab.research.google.com"
PAGES_BRANCH = "gh-pages"  # where the workflow publishes the HTML, and the notebooks within it


def binder(repository: hosting.Repository, docname: str) -> str:
    """Return the address that opens a page's own source as a notebook."""
    where = {
        "github.com": f"gh/{repository.name}",
        "gitlab.com": f"gl/{quote(repository.name, safe='')}",
    }.get(repository.host, f"git/{quote(repository.url, safe='')}")
    branch = quote(repository.branch, safe="")
    return f"{BINDER}/{where}/{branch}?urlpath=lab/tree/{docname}.md"


def colab(repository: hosting.Repository, docname: str) -> str | None:
    """Return the address that opens a page's published notebook; Colab reads GitHub alone."""
    if repository.host != "github.com":
        return None
    return f"{COLAB}/github/{repository.name}/blob/{PAGES_BRANCH}/{notebooks.address(docname)}"


def offer(
    app: Sphinx, docname: str, _template: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """Put the buttons before the others on a page with cells, if its repository is known."""
    repository = hosting.of(app.config)
    if repository is None or doctree is None or not notebooks.has_notebook(app, docname):
        return
    buttons = [button("Binder", binder(repository, docname))]
    if url := colab(repository, docname):
        buttons.append(button("Colab", url))
    group = {
        "type": "group",
        "tooltip": "Run this page",
        "icon": "fas fa-rocket",
        "buttons": buttons,
        "label": "launch-buttons",
    }
    context["header_buttons"].insert(0, group)


def button(name: str, url: str) -> dict[str, str]:
    """Describe one entry of the menu as the theme wants it."""
    return {
        "type": "link",
        "text": name,
        "icon": "fas fa-play",
        "tooltip": f"Open this page as a notebook on {name}",
        "url": url,
        "label": f"launch-{name.lower()}-button",
    }
