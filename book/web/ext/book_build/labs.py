"""Labs in the pages: cells show them as bare elements, and their page loads what makes them live.

A page with a lab loads the script and the style sheet of all labs. The recorded runs that a lab
shows become files of their own, which it asks for when it comes near the view. The playground has
scripts of its own, and is written as a page that stands alone as well.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from docutils import nodes
from sphinx.util.docutils import SphinxRole

from mlpinit import lab
from mlpinit.lab import training

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["InPlayground", "load", "write_files"]

ELEMENT = re.compile(rf"<(?:{'|'.join(lab.TAGS)})\b")
RECORDING = re.compile(r'<script data-recording="([\w-]+)">(.*?)</script>', re.DOTALL)
FOLDER = "labs"
PAGE = "book/playground"
ALONE = "playground.html"


def write_files(app: Sphinx) -> None:
    """Put the two files of all labs among the static ones."""
    if app.builder.format != "html":
        return
    folder = Path(app.outdir, "_static")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lab.js").write_text(lab.script(), encoding="utf-8")
    (folder / "lab.css").write_text(lab.style(), encoding="utf-8")
    for name, text in (("js", training.script()), ("css", training.style())):
        (folder / f"playground.{name}").write_text(text, encoding="utf-8")
    (folder / "words.js").write_text(training.words(), encoding="utf-8")
    home = app.config.html_baseurl
    Path(app.outdir, ALONE).write_text(training.page(home), encoding="utf-8")


class InPlayground(SphinxRole):
    """`{playground}`words <scheme=as_drawn&rate=1>``: a link that opens the playground so set."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make the link; a setting that the playground does not have is an error of the page."""
        words, _, settings = self.text.removesuffix(">").partition(" <")
        try:
            lab.playground(**read(settings))
        except ValueError as error:
            message = self.inliner.reporter.error(str(error), line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        if self.env.app.builder.format != "html":
            return [nodes.Text(words)], []
        up = "../" * (self.env.docname.count("/") - PAGE.count("/"))
        address = f"{up}playground.html#playground:{settings}"
        return [nodes.reference(self.rawtext, words, refuri=address, internal=True)], []


def read(settings: str) -> dict[str, Any]:
    """The settings of an address, as `mlpinit.lab.playground` takes them."""
    found = {}
    for name, raw in parse_qsl(settings, strict_parsing=True):
        allowed = lab.SETTINGS[lab.PLAYGROUND].get(name, ())
        if isinstance(allowed, range):
            found[name] = int(raw)
        elif isinstance(allowed, tuple) and allowed:
            found[name] = float(raw)
        else:
            found[name] = {"true": True, "false": False}.get(raw, raw)
    return found


def load(
    app: Sphinx,
    _page: str,
    _template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Have a page with a lab load what it needs, and no other page."""
    if doctree is None:
        return
    if f"<{lab.PLAYGROUND} " in context.get("body", ""):
        app.add_css_file("playground.css")
        app.add_js_file("words.js", loading_method="defer")
        app.add_js_file("playground.js", loading_method="defer")
    if not ELEMENT.search(context.get("body", "")):
        return
    app.add_css_file("lab.css")
    app.add_js_file("lab.js", loading_method="defer")

    folder = Path(app.outdir, "_static", FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    body = context["body"]
    for name, text in RECORDING.findall(body):
        (folder / f"{name}.js").write_text(text, encoding="utf-8")
    base = context["pathto"](f"_static/{FOLDER}/", 1)
    context["body"] = RECORDING.sub("", body).replace('src-base=""', f'src-base="{base}"')
