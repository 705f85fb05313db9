"""How a page is opened as a notebook to run: on Binder, on Colab, and in a copy of the project.

The buttons are drawn here, for the theme's own lead to the page's source, which Colab cannot read,
and fail the build where no repository is known. The box at the top of a page is on all that have
cells: what it says of a copy of the project needs no address and no network.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from book_build import hosting, notebooks

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

__all__ = ["add_box", "binder", "colab", "commands", "offer"]

BINDER = "https://mybinder.org/v2"
COLAB = "https://colab.research.google.com"
PAGES_BRANCH = "gh-pages"  # where the workflow publishes the HTML, and the notebooks within it
BOX = """\
<details class="run-page">
<summary>Run this {kind}</summary>
<p>It is a notebook. {where}, these two lines open it in JupyterLab:</p>
<div class="highlight-bash notranslate"><div class="highlight"><pre>{commands}
</pre></div></div>
<p>{elsewhere}</p>
</details>
"""


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


def add_box(
    app: Sphinx, docname: str, _template: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """Put the box "Run this chapter" under the title of a page with cells, but not the first."""
    first = docname == app.config.root_doc
    if doctree is None or first or not notebooks.has_notebook(app, docname):
        return
    here = context["pathto"](notebooks.address(docname), 1)
    repository = hosting.of(app.config)
    box = BOX.format(
        where="In your copy of the project" if repository is None else "In a terminal",
        kind="chapter" if docname.startswith("book/part") else "page",
        commands=escape("\n".join(commands(repository, docname))),
        elsewhere=elsewhere(repository, docname, here),
    )
    context["body"] = context["body"].replace("</h1>\n", f"</h1>\n{box}", 1)


def commands(repository: hosting.Repository | None, docname: str) -> list[str]:
    """Two lines for a terminal: to the copy of the project, and the page in JupyterLab."""
    folder = repository and repository.name.rpartition("/")[2]
    to = f"git clone {repository.url} && cd {folder}" if repository else "cd path/to/the/book"
    return [to, f"make lab PAGE={docname}.md"]


def elsewhere(repository: hosting.Repository | None, docname: str, notebook: str) -> str:
    """Say where else the page runs: a link for each."""
    links = []
    if repository:
        links.append(("open it on Binder", binder(repository, docname)))
        if url := colab(repository, docname):
            links.append(("open it on Colab", url))
    links.append(("take its notebook with you", notebook))
    return "Or " + ", ".join(f'<a href="{escape(url)}">{words}</a>' for words, url in links) + "."
