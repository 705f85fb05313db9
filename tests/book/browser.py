"""Every page of the book, looked at once in a browser as a reader has it: from disk, offline.

`visit` opens a page and writes down what is wrong with it, in each of the four views; the tests
then read that record. `survey` does it for all, in two browsers side by side.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from book_build import chromium
from playwright.sync_api import Browser, BrowserContext, Page, TimeoutError

HEIGHT = 900
WIDTHS = (1280, 390)
THEMES = ("light", "dark")
VIEWS = [(width, theme) for width in WIDTHS for theme in THEMES]
IN_PAGE = Path(__file__).with_name("in_page.js").read_text(encoding="utf-8")
NOT_A_FILE = re.compile(r"^(?!file:|data:|blob:|about:)")
STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }"
# The theme looks at its boxes again 300 ms after the window or the page has changed.
SETTLED_MS = 400
LATE_MS = 30_000
LATEST_MS = 120_000  # of patience with a busy machine


def required(environment: Mapping[str, str]) -> bool:
    """Whether a test that lacks something to run with is to fail."""
    return bool(environment.get("REQUIRE_BROWSER"))


def why_left_out(path: str | None, environment: Mapping[str, str]) -> str | None:
    """Say why these tests are left out; where a browser is required, they run and fail instead."""
    if path is not None or required(environment):
        return None
    return "no Chromium, Chrome or Edge: the pages are not tested as readers see them"


@dataclass
class Visit:
    """What was wrong with one page: findings by what was looked at, and there by view."""

    name: str
    left: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    formulas: int = 0
    unset: list[str] = field(default_factory=list)
    sideways: dict[tuple[int, str], list[str]] = field(default_factory=dict)
    on_light: dict[tuple[int, str], list[str]] = field(default_factory=dict)
    violations: dict[tuple[int, str], list[str]] = field(default_factory=dict)
    torn: dict[int, list[str]] = field(default_factory=dict)
    focus: dict[int, dict[str, Any]] = field(default_factory=dict)

    def listen(self, page: Page) -> None:
        """Write down what the page asks for and complains of from now on."""

        def failed(request: Any) -> None:
            if not NOT_A_FILE.match(request.url):
                self.missing.append(f"{request.url} ({request.failure})")

        def said(message: Any) -> None:
            if message.type in ("error", "warning"):
                self.console.append(f"{message.type}: {message.text}")

        def asked(request: Any) -> None:
            if NOT_A_FILE.match(request.url):
                self.left.append(request.url)

        page.on("request", asked)
        page.on("requestfailed", failed)
        page.on("console", said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))


@contextmanager
def offline(chrome: Browser, **options: Any) -> Iterator[BrowserContext]:
    """A window of that browser which reaches files and nothing else, and remembers nothing."""
    options = {"viewport": {"width": WIDTHS[0], "height": HEIGHT}, **options}
    with chrome.new_context(offline=True, reduced_motion="reduce", **options) as context:
        context.set_default_timeout(LATEST_MS)
        context.route(NOT_A_FILE, lambda route: route.abort())
        context.add_init_script(IN_PAGE)
        yield context


def pages(html: Path) -> list[Path]:
    """Every page that a reader can open, those that only redirect left out."""
    found = [page for page in html.rglob("*.html") if "_static" not in page.parts]
    return [page for page in found if b'http-equiv="refresh"' not in page.read_bytes()]


def glance(chrome: Browser, html: Path, names: Iterable[str]) -> dict[str, Visit]:
    """Visit the pages of these names."""
    with offline(chrome) as context:
        return {name: visit(context, html, html / name) for name in names}


def survey(html: Path) -> dict[str, Visit]:
    """Visit every page, the longest first, in two browsers side by side."""
    queue = deque(sorted(pages(html), key=lambda page: page.stat().st_size, reverse=True))

    def walk() -> list[Visit]:
        visits = []
        with chromium.start() as chrome, offline(chrome) as context:
            while queue:
                visits.append(visit(context, html, queue.popleft()))
        return visits

    with ThreadPoolExecutor(2) as pool:
        walks = [pool.submit(walk) for _ in range(2)]
    visits = [found for done in walks for found in done.result()]
    return {found.name: found for found in sorted(visits, key=lambda found: found.name)}


def visit(context: BrowserContext, html: Path, path: Path) -> Visit:
    """Open a page as on a first visit, and look at it from every side."""
    page = context.new_page()
    found = Visit(path.relative_to(html).as_posix())
    found.listen(page)
    page.goto(path.as_uri())
    page.add_style_tag(content=STILL)
    page.evaluate(AXE_SCRIPT)
    page.evaluate("inPage.mergeTokens()")
    for width in WIDTHS:
        page.evaluate("inPage.fold(true)")
        page.set_viewport_size({"width": width, "height": HEIGHT})
        settle(page)
        page.evaluate("inPage.fold(false)")
        for theme in THEMES:
            look(page, found, (width, theme))
        found.torn[width] = page.evaluate("inPage.tornFormulas()")
        found.focus[width] = walk_by_keyboard(page)
    mathematics = page.evaluate("inPage.formulas()")
    found.formulas, found.unset = mathematics["count"], mathematics["findings"]
    page.evaluate("localStorage.clear(), sessionStorage.clear()")
    page.close()
    return found


def settle(page: Page) -> None:
    """Wait until what scrolls can be reached, however busy the machine; axe-core names the rest."""
    page.wait_for_timeout(SETTLED_MS)
    with suppress(TimeoutError):
        page.wait_for_function("inPage.hasTabStops()", timeout=LATE_MS, polling=100)


def look(page: Page, found: Visit, view: tuple[int, str]) -> None:
    """Look at the page in one view: the system's colours change, and the page follows."""
    switch_to(page, view[1])
    found.sideways[view] = page.evaluate("inPage.sideways()")
    if view[1] == "dark":
        found.on_light[view] = page.evaluate("inPage.picturesOnLight()")
    found.violations[view] = page.evaluate("(e) => inPage.violations(e)", view[1] == "light")


def switch_to(page: Page, theme: str) -> None:
    """Have the system's colours change, and wait until the page follows."""
    page.emulate_media(color_scheme=theme)
    page.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'")


def walk_by_keyboard(page: Page) -> dict[str, Any]:
    """Hold Tab from the top of the page, for as often as there are stops and some times more.

    The contents beside a page unfold the section that is in view, whose links are stops as well.
    """
    hold_tab(page, page.evaluate("inPage.followFocus()") + 25)
    return page.evaluate("inPage.focusFindings()")


def hold_tab(page: Page, times: int) -> None:
    """Press Tab that often, as a held key repeats: half the messages of pressing it anew."""
    for _ in range(times):
        page.keyboard.down("Tab")
    page.keyboard.up("Tab")
