"""The built folder: its first page, and nothing left from earlier builds."""

from __future__ import annotations

import re
from pathlib import Path
from shutil import copytree
from typing import TYPE_CHECKING
from urllib.parse import unquote

from book_build.labs import FOLDER

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["copy_static", "redirect_to_root", "remove_stale_files"]

REDIRECT = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={url}">
<title>{title}</title>
</head>
<body><p><a href="{url}">{title}</a></p></body>
</html>
"""
IMAGE = re.compile(r"_images/([^\"'?#)\s]+)")
RECORDING = re.compile(r"\brun-[0-9a-f]{8}\b")


def redirect_to_root(app: Sphinx, exception: Exception | None) -> None:
    """Write `index.html`, unless the book's root page is that page itself."""
    if exception is not None or app.builder.format != "html" or app.config.root_doc == "index":
        return
    page = REDIRECT.format(title=app.config.html_title, url=f"{app.config.root_doc}.html")
    Path(app.outdir, "index.html").write_text(page, encoding="utf-8")


def remove_stale_files(app: Sphinx, exception: Exception | None) -> None:
    """Remove earlier builds' figures and recorded runs: those that no page shows or links to."""
    if exception is not None or app.builder.format != "html":
        return
    pages = [page.read_text(encoding="utf-8") for page in Path(app.outdir).rglob("*.html")]
    images = {unquote(name) for page in pages for name in IMAGE.findall(page)}
    recordings = {f"{name}.js" for page in pages for name in RECORDING.findall(page)}
    for folder, shown in (("_images", images), (f"_static/{FOLDER}", recordings)):
        for path in Path(app.outdir, folder).glob("*"):
            if path.is_file() and path.name not in shown:
                path.unlink()


def copy_static(app: Sphinx, exception: Exception | None) -> None:
    """Copy the book's style sheets and pictures, which Sphinx leaves when no page has changed."""
    if exception is not None or app.builder.format != "html":
        return
    for folder in app.config.html_static_path:
        copytree(Path(app.confdir, folder), Path(app.outdir, "_static"), dirs_exist_ok=True)
