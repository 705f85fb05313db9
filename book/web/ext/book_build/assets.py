"""What a page loads: the theme's style sheet and icons cut down to what the book uses.

The theme draws its icons twice over, with a script of a megabyte and a half and with three fonts.
Here the fonts' own style sheet is kept, for the icons named below, with one font of just those.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.errors import ExtensionError

from book_build import fonts

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.writers.html import HTML5Translator

__all__ = ["ICONS", "check_icons", "defer_scripts", "visit_image", "write_theme"]

THEME = "pydata_sphinx_theme"

# Font Awesome's names: what the theme's pages and buttons, and the book's own, show. A page with
# an icon that is not here does not build.
ICONS = {
    *("angle-left", "angle-right", "arrow-up", "bars", "list", "magnifying-glass", "xmark"),
    *("circle-half-stroke", "moon", "sun"),
    *("code", "download", "expand", "file", "file-code", "file-pdf", "pencil-alt", "rocket"),
    *("github", "gitlab", "lightbulb", "play"),
}
DRAWING = {"solid", "brands", "lg", "fw", "sm", "xs"}  # how an icon is drawn, not which
BRANDS = {"\uf09b", "\uf296"}  # in a font of their own
SHEETS = {"basic.css": 100, "styles/theme-as-used.css": 101}
SCRIPTS = {"scripts/bootstrap.js": 100, "scripts/pydata-sphinx-theme.js": 101}
FONT_FACE = """\
@font-face{{font-display:block;font-family:Font Awesome\\ 6 {};font-style:normal;font-weight:{};\
src:url(../{}) format("woff2")}}
"""
ICON_RULE = re.compile(r'((?:\.fa-[\w-]+:before,?)+)\{content:"[^"]*"\}')
PRIVATE_USE = re.compile(r"[\ue000-\uf8ff]|\\[ef][0-9a-f]{3}(?![0-9a-f])")
# Read by scripts that are written into the page and do not wait.
NOT_DEFERRED = {"_static/documentation_options.js"}
SVG_SIZE = re.compile(r'<svg\b[^>]*?\bwidth="([\d.]+)pt" height="([\d.]+)pt"')
PIXELS_PER_POINT = 4 / 3


def write_theme(app: Sphinx) -> None:
    """Write the theme's style sheet and icons as the book uses them, and have pages load those."""
    if app.builder.format != "html":
        return
    for name, priority in SHEETS.items():
        app.add_css_file(name, priority=priority)
    for name, priority in SCRIPTS.items():
        app.add_js_file(name, priority=priority)
    source = static_folder(THEME)
    sheet = (source / "styles" / "pydata-sphinx-theme.css").read_text(encoding="utf-8")
    sheet, faces = re.subn(r"@font-face\{[^}]*Font Awesome[^}]*\}", "", sheet)
    sheet, icons = ICON_RULE.subn(if_used, sheet)
    if faces != 3 or not icons:
        raise ExtensionError("the theme's style sheet is not as book_build/assets.py knows it")
    ours = static_folder("sphinx_book_theme") / "styles" / "sphinx-book-theme.css"
    drawn = icons_in(sheet) | icons_in(ours.read_text(encoding="utf-8"))
    static = Path(app.outdir, "_static")
    webfonts = source / "vendor" / "fontawesome" / "webfonts"
    solid = fonts.subset(webfonts / "fa-solid-900.woff2", drawn - BRANDS, static, "icons")
    brands = fonts.subset(webfonts / "fa-brands-400.woff2", BRANDS, static, "brands")
    text = FONT_FACE.format("Free", 900, solid.name) + FONT_FACE.format("Brands", 400, brands.name)
    target = static / "styles" / "theme-as-used.css"
    target.parent.mkdir(exist_ok=True)
    target.write_text(text + sheet, encoding="utf-8")


def static_folder(theme: str) -> Path:
    """Return the folder of a theme's style sheets, scripts and fonts."""
    package = importlib.util.find_spec(theme)
    return Path(package.origin).parent / "theme" / theme / "static"


def if_used(rule: re.Match[str]) -> str:
    """Return an icon's rule if it is one of `ICONS`, under any of its names, else nothing."""
    return rule[0] if ICONS & set(re.findall(r"\.fa-([\w-]+):before", rule[1])) else ""


def icons_in(sheet: str) -> set[str]:
    """Return the icons' characters in a style sheet, written as they are or by their number."""
    found = PRIVATE_USE.findall(sheet)
    return {chr(int(x[1:], 16)) if x.startswith("\\") else x for x in found}


def check_icons(app: Sphinx, exception: Exception | None) -> None:
    """Stop at a page with an icon that would not be drawn."""
    if exception is not None or app.builder.format != "html":
        return
    for page in sorted(Path(app.outdir).rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        for names in re.findall(r'<(?:i|span)\b[^>]*class="([^"]*\bfa-[^"]*)"', text):
            unknown = set(re.findall(r"\bfa-([\w-]+)", names)) - ICONS - DRAWING
            if unknown:
                page_name = page.relative_to(app.outdir)
                raise ExtensionError(
                    f"{page_name}: icon {', '.join(sorted(unknown))}: "
                    "add it to ICONS in book_build/assets.py"
                )


def defer_scripts(
    _app: Sphinx, page: str, _template: str, context: dict[str, Any], _tree: object
) -> None:
    """Let a page be drawn before its scripts are fetched and run.

    The page for searching writes scripts of its own, which need these at once.
    """
    if page == "search":
        return
    scripts = context.get("script_files", [])
    for i, js in enumerate(scripts):
        if js.filename and js.filename not in NOT_DEFERRED:
            attributes = {**js.attributes, "defer": "defer"}
            scripts[i] = type(js)(js.filename, priority=js.priority, **attributes)


def visit_image(self: HTML5Translator, node: nodes.image) -> None:
    """Write an image that is fetched when it comes into view, its place kept until then.

    A twin for the other mode is never in view, and so is not fetched.
    """
    size = svg_size(Path(self.builder.srcdir, node["uri"].lstrip("/")))
    node["loading"] = "lazy"
    type(self).visit_image(self, node)
    if size is not None:
        tag = f'<img width="{size[0]}" height="{size[1]}" '
        self.body[-1] = self.body[-1].replace("<img ", tag, 1)


def svg_size(path: Path) -> tuple[int, int] | None:
    """Return the width and height in pixels that an SVG of matplotlib's states, None for others."""
    if path.suffix != ".svg":
        return None
    with path.open(encoding="utf-8") as file:
        stated = SVG_SIZE.search(file.read(1000))
    if stated is None:
        return None
    width, height = (round(float(points) * PIXELS_PER_POINT) for points in stated.groups())
    return width, height


def depart_image(self: HTML5Translator, node: nodes.image) -> None:
    """Write what the theme's own writer does after an image."""
    type(self).depart_image(self, node)
