"""Labs in the pages: cells show them as bare elements, and their page loads what makes them live.

A page with a lab loads the script and the style sheet of all labs, and each recorded run that a lab
of its shows as a script of its own: the text does not wait for them.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlpinit import lab

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

__all__ = ["load", "write_files"]

ELEMENT = re.compile(rf"<(?:{'|'.join(lab.SETTINGS)})\b")
RECORDING = re.compile(r"<script data-recording>(.*?)</script>", re.DOTALL)
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

    def moved(script: re.Match[str]) -> str:
        name = f"{FOLDER}/recording-{zlib.crc32(script[1].encode()):08x}.js"
        target = Path(app.outdir, "_static", name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(script[1], encoding="utf-8")
        return f'<script defer src="{context["pathto"](f"_static/{name}", 1)}"></script>'

    context["body"] = RECORDING.sub(moved, context["body"])
