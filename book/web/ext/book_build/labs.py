"""Labs in the pages: cells show them as bare elements, and their page loads what makes them live.

A page with a lab loads the script and the style sheet of all labs. The recorded runs that a lab
shows become files of their own, which it asks for when it comes near the view.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlpinit import lab

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

__all__ = ["load", "write_files"]

ELEMENT = re.compile(rf"<(?:{'|'.join(lab.TAGS)})\b")
RECORDING = re.compile(r'<script data-recording="([\w-]+)">(.*?)</script>', re.DOTALL)
FOLDER = "labs"


def write_files(app: Sphinx) -> None:
    """Put the two files of all labs among the static ones."""
    if app.builder.format != "html":
        return
    folder = Path(app.outdir, "_static")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lab.js").write_text(lab.script(), encoding="utf-8")
    (folder / "lab.css").write_text(lab.style(), encoding="utf-8")


def load(
    app: Sphinx,
    _page: str,
    _template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Have a page with a lab load what it needs, and no other page."""
    if doctree is None or not ELEMENT.search(context.get("body", "")):
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
