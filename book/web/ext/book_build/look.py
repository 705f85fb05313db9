"""What every page has in its head besides the theme's: its scheme, its icons, its card.

The card is what other sites show of a shared link. Its addresses must be whole ones: `ogp_site_url`
is empty where nobody knows the book's address, and then the card has words and no picture.
"""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

__all__ = ["setup"]

# Before the first paint: the theme settles this at the end of the page, by which time a reader with
# a dark screen has seen a white one. Storage may be closed to pages opened from disk.
SCHEME = """\
(() => {
  const page = document.documentElement.dataset;
  let chosen = "auto";
  try { chosen = localStorage.getItem("mode") || "auto"; } catch { }
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  page.mode = chosen;
  page.theme = chosen === "auto" ? system : chosen;
})();"""

ICONS = (
    ("icon", "favicon.png", ' sizes="32x32"'),
    ("icon", "favicon.svg", ' type="image/svg+xml" sizes="any"'),
    ("apple-touch-icon", "touch-icon.png", ""),
)
NEEDS_ADDRESS = re.compile(
    r'<meta (?:property="og:(?:url|image[^"]*)"|name="twitter:card") [^>]*>\n?'
)


def setup(app: Sphinx) -> None:
    """Connect the parts, and load the extension that words the cards."""
    # It would import matplotlib, for more than a second, to draw a picture for every page.
    pictures = ModuleType("sphinxext.opengraph._social_cards")
    pictures.create_social_card = None
    pictures.DEFAULT_SOCIAL_CONFIG = {"enable": False}
    sys.modules.setdefault(pictures.__name__, pictures)
    app.setup_extension("sphinxext.opengraph")
    app.add_js_file(None, body=SCHEME, priority=1)
    app.add_js_file("book.js", loading_method="defer")
    app.connect("html-page-context", complete_head, priority=900)
    app.add_node(nodes.citation, override=True, html=(open_citation, close_citation))


def complete_head(
    app: Sphinx, _page: str, _template: str, context: dict[str, Any], _doctree: nodes.document
) -> None:
    """Link the icons; leave out of the card what has no meaning without the book's address."""
    tags = context.get("metatags", "")
    if not app.config.ogp_site_url:
        tags = NEEDS_ADDRESS.sub("", tags)
    links = (
        f'<link rel="{kind}" href="{context["pathto"](f"_static/{name}", 1)}"{more} />'
        for kind, name, more in ICONS
    )
    context["metatags"] = "\n".join([tags, *links, ""])


def open_citation(translator: HTML5Translator, node: nodes.citation) -> None:
    """Begin an entry of the references: an item of a plain list."""
    if not isinstance(neighbour(node, -1), nodes.citation):
        translator.body.append('<ul class="citation-list">\n')
    translator.body.append(translator.starttag(node, "li", CLASS="citation"))


def close_citation(translator: HTML5Translator, node: nodes.citation) -> None:
    """End the entry, and with the last one the list."""
    translator.body.append("</li>\n")
    if not isinstance(neighbour(node, 1), nodes.citation):
        translator.body.append("</ul>\n")


def neighbour(node: nodes.Node, step: int) -> nodes.Node | None:
    """Return the node before or after this one, if there is one."""
    at = node.parent.index(node) + step
    return node.parent[at] if 0 <= at < len(node.parent) else None
