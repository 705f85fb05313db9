"""The page at the top of the built folder, which leads to the book's first page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["redirect_to_root"]

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


def redirect_to_root(app: Sphinx, exception: Exception | None) -> None:
    """Write `index.html`, unless the book's root page is that page itself."""
    if exception is not None or app.builder.format != "html" or app.config.root_doc == "index":
        return
    page = REDIRECT.format(title=app.config.html_title, url=f"{app.config.root_doc}.html")
    Path(app.outdir, "index.html").write_text(page, encoding="utf-8")
