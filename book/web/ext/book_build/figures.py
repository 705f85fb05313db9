"""Figures: alt text with computed numbers in it, and their twins for dark pages and telephones."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from myst_nb.core.variables import format_plain_text
from myst_nb.ext.glue.crossref import read_glue_cache
from sphinx.util import logging

from book_build import execution

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

__all__ = ["DARK_INK", "LIGHT_INK", "ON_DARK", "add_twins", "describe"]

LIGHT_INK = "#1f2933"
DARK_INK = "#e6e9ed"
# The hues of `mlpinit.plots`, lighter: thin and faint lines keep their contrast on a dark page.
ON_DARK = {
    LIGHT_INK: DARK_INK,
    "#d55e00": "#f0782a",
    "#bf8300": "#d99e1f",
    "#3a95d0": "#7cc0f0",
    "#0072b2": "#3b8fd9",
    "#009473": "#1fb08e",
    "#c46f9f": "#d98ab8",
    "#858d96": "#a3abb4",
}
COLOUR = re.compile("|".join(ON_DARK))
# Points in a figure's text, over its width in points: below this a telephone shows it too small.
SMALLEST_LABEL = 12.5 / 470
GLYPH_SCALE = re.compile(r"scale\((0\.\d+) -")
SVG = "image/svg+xml"
PLACEHOLDER = re.compile(r"\{([\w.-]+)\}")

logger = logging.getLogger(__name__)


def describe(app: Sphinx, doctree: nodes.document) -> None:
    """Put the page's glued values into `{name}` in alt texts; warn of an image without one."""
    glued = read_glue_cache(app.env.mystnb_config.output_folder, app.env.docname)
    read_glue_cache.cache_clear()

    for image in list(doctree.findall(nodes.image)):

        def value(match: re.Match[str], image: nodes.image = image) -> str:
            name = match[1]
            if name in glued:
                return format_plain_text(glued[name]["data"]["text/plain"], "s")
            warn(f"alt text names '{name}', but no cell of this page glues it", image)
            return match[0]

        image["alt"] = " ".join(PLACEHOLDER.sub(value, image.get("alt", "")).split())
        if not image["alt"]:
            warn("image without alt text: say in 'mystnb: image: alt:' what it shows", image)


def warn(message: str, image: nodes.image) -> None:
    """Warn of an image by its page and, where a cell drew it, the cell and its line."""
    cell = image
    while cell is not None and cell.get("nb_element") != "cell_code":
        cell = cell.parent
    where = "" if cell is None else f" (code cell {code_cell_number(cell)})"
    line = image.line or (cell.line if cell is not None else None)
    location = (image.document.settings.env.docname, line)
    logger.warning(message + where, location=location, type="book", subtype="alt")


def code_cell_number(cell: nodes.Element) -> int:
    """Count `cell` among the code cells of its page that are printed, from 1."""
    cells = cell.document.findall(is_code_cell)
    return 1 + [id(node) for node in cells].index(id(cell))


def is_code_cell(node: nodes.Node) -> bool:
    """Tell whether `node` is the container of a code cell."""
    return isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"


def add_twins(app: Sphinx, doctree: nodes.document) -> None:
    """Set beside each SVG that a cell drew what it is on a dark page and on a telephone.

    A page shows the one that fits, and browsers fetch no other. They stay in one figure with one
    number and one caption. They need a box of their own, for the theme hides a caption that
    follows a hidden picture.
    """
    drawn = Path(app.env.mystnb_config.output_folder)
    narrow = stacked_pictures(app.env)
    for image in list(doctree.findall(nodes.image)):
        path = Path(app.srcdir, image["uri"].lstrip("/"))
        if path.suffix != ".svg" or path.parent != drawn:
            continue
        pictures = [image]
        if path.stem in narrow:
            stacked = path.with_name(f"{path.stem}-stacked.svg")
            stacked.write_text(narrow[path.stem], encoding="utf-8")
            pictures.append(another(image, "-stacked"))
            image["classes"].append("wide")
            pictures[1]["classes"].append("stacked")
        pictures = [each for picture in pictures for each in light_and_dark(app, picture)]
        if len(pictures) > 1:
            small = detailed(path.read_text(encoding="utf-8"))
            box = nodes.container(classes=["light-and-dark", *(["detailed"] if small else [])])
            image.parent.replace(image, box)
            box += pictures


def light_and_dark(app: Sphinx, image: nodes.image) -> list[nodes.image]:
    """Return an image and a copy in light ink; without the neutral ink, it suits both pages."""
    path = Path(app.srcdir, image["uri"].lstrip("/"))
    svg = path.read_text(encoding="utf-8")
    if LIGHT_INK not in svg:
        image["classes"].append("dark-light")
        return [image]
    dark = path.with_name(f"{path.stem}-dark.svg")
    dark.write_text(COLOUR.sub(lambda m: ON_DARK[m[0]], svg), encoding="utf-8")
    twin = another(image, "-dark")
    image["classes"].append("only-light")
    twin["classes"].append("only-dark")
    return [image, twin]


def another(image: nodes.image, ending: str) -> nodes.image:
    """Copy an image's node for the file whose name has that ending."""
    twin = image.deepcopy()
    twin["uri"] = image["uri"].removesuffix(".svg") + ending + ".svg"
    return twin


def stacked_pictures(env: BuildEnvironment) -> dict[str, str]:
    """What a page's figures look like with their panels stacked, by the names of their files."""
    if execution.run_of(env, env.docname) is None:
        return {}
    outputs = (o for cell in execution.executed(env, env.docname).cells for o in cell.outputs)
    found = {}
    for output in outputs:
        stacked = output.get("metadata", {}).get(SVG, {}).get("stacked")
        if stacked:
            # MyST-NB names the file after what is in it.
            lines = os.linesep.join(output.data[SVG].splitlines())
            found[hashlib.sha256(lines.encode()).hexdigest()] = stacked
    return found


def detailed(svg: str) -> bool:
    """Tell whether a figure has labels too small for a telephone, which then lets it scroll.

    Matplotlib draws glyphs at 100 units to the em, so a label of 10 points is scaled by 0.1.
    """
    labels = [100 * float(scale) for scale in GLYPH_SCALE.findall(svg)]
    width = re.search(r'width="([\d.]+)pt"', svg)
    return bool(labels and width) and min(labels) / float(width[1]) < SMALLEST_LABEL
