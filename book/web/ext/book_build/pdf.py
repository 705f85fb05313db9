"""Print the built book: `python -m book_build.pdf` in the project's root, after the book is built.

Chromium prints the pages joined by `onepage`, twice: the first print tells on which page everything
comes, the second has these numbers in its tables of contents.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from book_build import chromium, onepage
from book_build.turn import LOCK, UNFINISHED, only_one

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["main", "make_pdf"]

PRINT_CSS = Path("book", "web", "print.css")
BROKEN_IMAGES = """async () => {
    await document.fonts.ready;
    await Promise.all([...document.images].map(image => image.decode().catch(() => {})));
    return [...document.images].filter(image => !image.naturalWidth).map(image => image.src);
}"""


def main() -> int:
    """Print the book that `make book` built and say where it is; 0 only if it is whole."""
    root = Path.cwd()
    with only_one(root / "_build" / LOCK):
        if (root / "_build" / UNFINISHED).exists():
            print("The book is not printed: its last build failed.", file=sys.stderr)
            return 1
        try:
            path, pages = make_pdf(root)
        except (RuntimeError, ValueError) as error:
            print(f"The book is not printed: {error}", file=sys.stderr)
            return 1
    size = path.stat().st_size / 1e6
    print(f"The book is printed: {pages} pages, {size:.1f} MB. Open {path}")
    return 0


def make_pdf(root: Path) -> tuple[Path, int]:
    """Print the pages in `_build/html` to `_build/pdf`; return the file and its number of pages."""
    book = onepage.read_book(root)
    folder = root / "_build" / "pdf"
    folder.mkdir(parents=True, exist_ok=True)
    joined, draft = folder / f"{book.file_stem}.html", folder / "draft.pdf"
    css = (root / PRINT_CSS).read_text(encoding="utf-8")
    html = onepage.join(book, root / "_build" / "html", folder, css)
    with chromium.launch() as browser:
        print_until_settled(browser.new_page(), html, joined, draft)
    return finish(book, draft, folder / f"{book.file_stem}.pdf")


def print_until_settled(page: Page, html: str, joined: Path, draft: Path) -> None:
    """Print until everything is on the page that the contents say: twice, as a rule."""
    numbered, pages = html, {}
    for tagged in (False, True, True, True):  # the first print is for the numbers alone
        joined.write_text(numbered, encoding="utf-8")
        print_page(page, joined, draft, tagged)
        before, pages = pages, page_numbers(draft)
        if pages == before:
            return
        numbered = onepage.fill_page_numbers(html, pages)
    raise RuntimeError("the page numbers in the contents do not settle")


def print_page(page: Page, html: Path, pdf: Path, tagged: bool) -> None:
    """Print one HTML file, once its fonts and pictures are there."""
    page.goto(html.as_uri())
    if broken := page.evaluate(BROKEN_IMAGES):
        raise RuntimeError(f"pictures do not load: {', '.join(broken)}")
    options = {"prefer_css_page_size": True, "print_background": True}
    page.pdf(path=pdf, outline=tagged, tagged=tagged, **options)


def page_numbers(pdf: Path) -> dict[str, int]:
    """Tell on which page, from 1, each anchor that something links to was printed."""
    from pypdf import PdfReader  # noqa: PLC0415 (half a second)

    reader = PdfReader(pdf)
    return {
        name.removeprefix("/"): reader.get_destination_page_number(destination) + 1
        for name, destination in reader.named_destinations.items()
    }


def finish(book: onepage.Book, draft: Path, path: Path) -> tuple[Path, int]:
    """Say in the file what it is and whose, and put it in its place."""
    from pypdf import PdfWriter  # noqa: PLC0415

    # Appended to what Chromium wrote: its tags and bookmarks stay as they are.
    writer = PdfWriter(draft, incremental=True)
    writer.add_metadata(
        {
            "/Title": book.title,
            "/Author": book.author,
            "/Subject": f"Version {book.version}. {book.licence}",
        }
    )
    part = path.with_suffix(".part")
    writer.write(part)
    part.replace(path)
    draft.unlink()
    return path, len(writer.pages)


if __name__ == "__main__":
    sys.exit(main())
