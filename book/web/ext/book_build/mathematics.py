"""Formulas as MathML, written when the book is built: no script, no network, nothing drawn late.

A page's formulas are converted when it is read, and stay with what Sphinx keeps of it, so that an
edit elsewhere converts nothing. Their font, STIX Two Math, is cut down to the book's characters.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

from book_build import fonts
from book_build.mathml import FormulaError, characters, mathml

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config
    from sphinx.environment import BuildEnvironment
    from sphinx.writers.html import HTML5Translator

__all__ = ["choose_renderer", "convert", "visit_display", "visit_inline", "write_styles"]

STATIC = Path(__file__).with_name("static")
FONT_FACE = """\
@font-face {{
  font-family: "Book Mathematics";
  src: url("{}") format("woff2");
  font-display: block;
}}
"""

OPENING = re.compile(r"[(\[“‘]+$")
CLOSING = re.compile(r"[,.;:!?)\]’”\-–]+")

logger = logging.getLogger(__name__)


def choose_renderer(_app: Sphinx, config: Config) -> None:
    """Have Sphinx write formulas with this module, and so leave MathJax out."""
    config.html_math_renderer = "mathml"


def convert(app: Sphinx, doctree: nodes.document) -> None:
    """Put its MathML on every formula of a page just read; warn of one that cannot be set."""
    used: set[str] = set()
    for node in doctree.findall(is_formula):
        try:
            node["mathml"] = mathml(node.astext(), display=isinstance(node, nodes.math_block))
        except FormulaError as error:
            tex = " ".join(node.astext().split())
            location = (app.env.docname, line_of(node))
            logger.warning(f"formula {tex}: {error}", location=location, type="book", subtype="tex")
        else:
            used |= characters(node["mathml"])
    for node in list(doctree.findall(nodes.math)):
        keep_together(node)
    # Sphinx forgets, keeps and merges a page's metadata as it does the page.
    app.env.metadata[app.env.docname]["formula_characters"] = "".join(sorted(used))


def keep_together(node: nodes.math) -> None:
    """Put a formula in a line, and the brackets and the comma around it, where no line breaks.

    Browsers break lines on either side of a formula, and Chromium heeds no word joiner there.
    """
    line, at = node.parent, node.parent.index(node)
    before, after = text_at(line, at - 1), text_at(line, at + 1)
    opening, closing = OPENING.search(before), CLOSING.match(after)
    parts: list[nodes.Node] = [node]
    if opening:
        parts.insert(0, nodes.Text(opening[0]))
        line[at - 1] = nodes.Text(before[: opening.start()])
    if closing:
        parts.append(nodes.Text(closing[0]))
        line[at + 1] = nodes.Text(after[closing.end() :])
    if len(parts) > 1:
        line[at] = nodes.inline("", "", *parts, classes=["unbroken"])


def text_at(line: nodes.Element, at: int) -> str:
    """Return the text that is the child number `at`, or nothing where that is no text."""
    there = line[at] if 0 <= at < len(line) else None
    return str(there) if isinstance(there, nodes.Text) else ""


def is_formula(node: nodes.Node) -> bool:
    """Tell whether `node` is a formula, in a line or on its own."""
    return isinstance(node, nodes.math | nodes.math_block)


def line_of(node: nodes.Node) -> int | None:
    """Return the line that the node, or what holds it, begins on."""
    while node is not None and node.line is None:
        node = node.parent
    return None if node is None else node.line


def written(node: nodes.math | nodes.math_block) -> str:
    """Return a formula's MathML; one that Sphinx made after reading is converted here."""
    return node.get("mathml") or mathml(node.astext(), display=isinstance(node, nodes.math_block))


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula in a line."""
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    self.body.append(f"{written(node)}</span>")
    raise nodes.SkipNode


def visit_display(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on its own, with its number and the link to it."""
    self.body.append(self.starttag(node, "div", "", CLASS="math notranslate nohighlight"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append(f'<div class="formula">{written(node)}</div></div>\n')
    raise nodes.SkipNode


def write_styles(app: Sphinx, env: BuildEnvironment) -> None:
    """Write the formulas' style sheet, with a font of the book's characters."""
    if app.builder.format != "html":
        return
    used = {x for page in env.metadata.values() for x in page.get("formula_characters", "")}
    static = Path(app.outdir, "_static")
    font = fonts.subset(stix_two_math(), used | {" "}, static, "mathematics")
    rules = (STATIC / "mathematics.css").read_text(encoding="utf-8")
    text = f"{FONT_FACE.format(font.name)}\n{rules}"
    (static / "mathematics.css").write_text(text, encoding="utf-8")


def stix_two_math() -> Path:
    """Return the path of the font STIX Two Math, which the package ziamath carries."""
    package = importlib.util.find_spec("ziamath")
    return Path(package.origin).with_name("fonts") / "STIXTwoMath-Regular.ttf"
