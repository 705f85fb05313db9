"""What a browser loads to show a page for the first time, and how long it takes."""

from __future__ import annotations

import functools
import gzip
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from playwright.sync_api import BrowserContext

KINDS = {
    ".html": "HTML",
    ".css": "CSS",
    ".js": "scripts",
    ".woff2": "fonts",
    ".svg": "figures",
    ".png": "figures",
}
PACKED_ALREADY = {".woff2", ".png", ".jpg", ".webp"}
VIEWPORT = {"width": 1280, "height": 900}


@dataclass(frozen=True)
class View:
    """The files behind a page's first view, its addresses elsewhere, and milliseconds."""

    files: tuple[Path, ...]
    outside: tuple[str, ...]
    interactive: float
    loaded: float

    @property
    def weights(self) -> Counter[str]:
        """Compressed bytes by kind."""
        weights: Counter[str] = Counter()
        for path in self.files:
            weights[KINDS.get(path.suffix, "other")] += packed_size(path)
        return weights


@functools.cache
def packed_size(path: Path) -> int:
    """Return the bytes that a web server sends: text compressed, the rest as it is."""
    content = path.read_bytes()
    return len(content if path.suffix in PACKED_ALREADY else gzip.compress(content, 6))


class Handler(SimpleHTTPRequestHandler):
    """Serve a folder without a word, and have nothing kept."""

    def end_headers(self) -> None:
        """Forbid keeping, so that each page is loaded as by a first visitor."""
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine alone; yield its address."""
    handler = functools.partial(Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def first_view(context: BrowserContext, address: str, folder: Path, name: str) -> View:
    """Load a page that was never seen before; what scrolling or a click would load is left out."""
    return first_views(context, address, folder, [name])[name]


def first_views(
    context: BrowserContext, address: str, folder: Path, names: Iterable[str]
) -> dict[str, View]:
    """The same of several pages, which load side by side: what a view took is then their time."""
    opened = {name: Opened(context) for name in names}
    for name, one in opened.items():
        one.page.goto(f"{address}/{name}", wait_until="commit")
    return {name: one.view(address, folder) for name, one in opened.items()}


class Opened:
    """A page that is about to load, and all that it asks for."""

    def __init__(self, context: BrowserContext) -> None:
        """Listen before anything is asked for."""
        self.page = context.new_page()
        self.page.set_viewport_size(VIEWPORT)
        self.asked: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))

    def view(self, address: str, folder: Path) -> View:
        """What the page has loaded when nothing more comes; it is closed."""
        with self.page as page:
            page.wait_for_load_state("load")
            page.evaluate("document.fonts.ready.then(() => true)")
            page.wait_for_load_state("networkidle")
            times = page.evaluate(
                "performance.getEntriesByType('navigation')"
                ".map(e => [e.domContentLoadedEventEnd, e.loadEventEnd])[0]"
            )
        return view_of(self.asked, address, folder, times)


def view_of(asked: list[str], address: str, folder: Path, times: list[float]) -> View:
    """Tell the files of this folder from what came from elsewhere."""
    addresses = dict.fromkeys(url for url in asked if not url.startswith(("data:", "blob:")))
    ours = [url for url in addresses if url.startswith(f"{address}/")]
    outside = tuple(url for url in addresses if not url.startswith(f"{address}/"))
    paths = {folder / unquote(urlsplit(url).path).lstrip("/") for url in ours}
    return View(tuple(sorted(p for p in paths if p.is_file())), outside, *times)
