"""The pages as readers use them: from disk, offline, at two widths, light and dark, by keyboard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import browser
import pytest
from book_build import chromium, labs
from bs4 import BeautifulSoup
from built_pages import soup
from playwright.sync_api import Browser, BrowserContext, Page

STOPS = {
    "the skip link": "a[href='#main-content']",
    "search": "button.search-button__button",
    "the sidebar": "nav.bd-docs-nav a",
    "links in the text": "article.bd-article p a",
    "a copy button": "button.copybtn",
    "a folded cell": "details > summary",
    "a pager": "a.right-next, a.left-prev",
}
SHOWN = """(() => {
  const { mode, theme } = document.documentElement.dataset;
  return [mode, theme, inPage.isLight(inPage.ground(document.body))];
})()"""
PAINT = """
window.painted = [];
const paint = () => {
  const { theme } = document.documentElement.dataset;
  if (document.body) painted.push([theme, inPage.ground(document.body)]);
  requestAnimationFrame(paint);
};
requestAnimationFrame(paint);
new MutationObserver((_, observer) => {
  if (!document.body) return;
  window.themeAtBody = document.documentElement.dataset.theme;
  observer.disconnect();
}).observe(document, { childList: true, subtree: true });
"""


# The first, one with code, tables and a lab, one at the back; the survey looks at all.
SEVERAL = [f"book/{name}.html" for name in ("index", "part2/tanh-derivative", "back/notation")]


@pytest.fixture(scope="module", params=["some", pytest.param("all", marks=pytest.mark.survey)])
def visits(request: pytest.FixtureRequest, html: Path, chrome: Browser) -> dict[str, browser.Visit]:
    """What was found on several pages, or on every page, each of them visited once."""
    if request.param == "some":
        return browser.glance(chrome, html, SEVERAL)
    return browser.survey(html)


@pytest.fixture(scope="module")
def context(chrome: Browser) -> Iterator[BrowserContext]:
    with browser.offline(chrome, permissions=["clipboard-read", "clipboard-write"]) as opened:
        yield opened


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page of a reader who was never here before."""
    page = context.new_page()
    yield page
    page.evaluate("localStorage.clear(), sessionStorage.clear()")
    page.close()


@pytest.fixture(scope="module")
def pages(html: Path) -> dict[Path, BeautifulSoup]:
    return {path: soup(path) for path in sorted(browser.pages(html))}


def none(findings: Iterable[tuple[str, Iterable[str]]]) -> None:
    """Fail with every finding, each with its page."""
    lines = [f"{page}: {finding}" for page, found in findings for finding in found]
    if lines:
        pytest.fail(f"{len(lines)} findings\n" + "\n".join(lines), pytrace=False)


def with_element(pages: dict[Path, BeautifulSoup], selector: str) -> Path:
    """The first page that has such an element."""
    found = next((path for path, page in pages.items() if page.select_one(selector)), None)
    assert found is not None, f"no page has {selector}"
    return found


def test_a_browser_that_is_missing_is_said_or_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "no Chromium" in browser.why_left_out(None, {})
    assert browser.why_left_out(None, {"REQUIRE_BROWSER": "1"}) is None
    assert browser.why_left_out("/usr/bin/chromium", {}) is None
    monkeypatch.setattr(chromium, "find", lambda: None)
    with pytest.raises(RuntimeError, match="no Chromium"), chromium.start():
        pass


# Every page, opened from disk without a network


def test_no_request_leaves(visits: dict[str, browser.Visit]) -> None:
    none((name, visit.left) for name, visit in visits.items())


def test_no_file_is_missing(visits: dict[str, browser.Visit]) -> None:
    none((name, visit.missing) for name, visit in visits.items())


def test_no_script_fails_or_complains(visits: dict[str, browser.Visit]) -> None:
    none((name, [*visit.errors, *visit.console]) for name, visit in visits.items())


def test_mathematics_is_set(visits: dict[str, browser.Visit]) -> None:
    none((name, visit.unset) for name, visit in visits.items())
    chapters = {n: v.formulas for n, v in visits.items() if n.startswith("book/part")}
    assert chapters
    assert [name for name, formulas in chapters.items() if formulas == 0] == []


def test_images_are_told_in_sentences(html: Path, pages: dict[Path, BeautifulSoup]) -> None:
    def poor(page: BeautifulSoup) -> list[str]:
        images = page.select("article img, main img")
        alts = {image["src"]: image.get("alt", "").strip() for image in images}
        return [
            f"{source} is told as '{alt}'"
            for source, alt in alts.items()
            if len(alt.split()) < 4 or not alt.endswith(".")
        ]

    none((str(path.relative_to(html)), poor(page)) for path, page in pages.items())


def test_figures_have_captions(html: Path, pages: dict[Path, BeautifulSoup]) -> None:
    def bare(page: BeautifulSoup) -> list[str]:
        in_figures = {id(image) for image in page.select("figure:has(figcaption) img")}
        captions = page.select("figure figcaption .caption-text")
        return [
            *(
                f"no caption: {i['src']}"
                for i in page.select("main img")
                if id(i) not in in_figures
            ),
            *(f"empty caption: {c}" for c in captions if len(c.get_text().split()) < 4),
        ]

    none((str(path.relative_to(html)), bare(page)) for path, page in pages.items())


# Every page, in each view


@pytest.mark.parametrize("view", browser.VIEWS)
def test_page_does_not_move_sideways(
    visits: dict[str, browser.Visit], view: tuple[int, str]
) -> None:
    none((name, visit.sideways[view]) for name, visit in visits.items())


@pytest.mark.parametrize("width", browser.WIDTHS)
def test_a_formula_shares_its_line_with_its_comma(
    visits: dict[str, browser.Visit], width: int
) -> None:
    none((name, visit.torn[width]) for name, visit in visits.items())


@pytest.mark.parametrize("view", [view for view in browser.VIEWS if view[1] == "dark"])
def test_no_picture_stands_in_a_light_box(
    visits: dict[str, browser.Visit], view: tuple[int, str]
) -> None:
    none((name, visit.on_light[view]) for name, visit in visits.items())


@pytest.mark.parametrize("view", browser.VIEWS)
def test_axe_finds_nothing_serious(visits: dict[str, browser.Visit], view: tuple[int, str]) -> None:
    none((name, visit.violations[view]) for name, visit in visits.items())


# By keyboard


@pytest.mark.parametrize("width", browser.WIDTHS)
def test_keyboard_reaches_everything(visits: dict[str, browser.Visit], width: int) -> None:
    none((name, visit.focus[width]["unreached"]) for name, visit in visits.items())
    alone = labs.ALONE  # a page that is all main content
    first = {n: visit.focus[width]["first"] for n, visit in visits.items() if n != alone}
    assert {name: stop for name, stop in first.items() if "Skip to main content" not in stop} == {}


@pytest.mark.parametrize("width", browser.WIDTHS)
def test_focus_is_seen(visits: dict[str, browser.Visit], width: int) -> None:
    none((name, visit.focus[width]["unmarked"]) for name, visit in visits.items())


def test_stops_of_a_chapter_are_what_they_should_be(
    page: Page, pages: dict[Path, BeautifulSoup]
) -> None:
    page.goto(with_element(pages, "main:has(.cell > details):has(.cell > .cell_input)").as_uri())
    browser.settle(page)
    browser.hold_tab(page, page.evaluate("inPage.followFocus()"))
    reached = {
        stop: page.evaluate("(s) => inPage.visited.some(([e]) => e.matches(s))", selector)
        for stop, selector in STOPS.items()
    }
    assert reached == dict.fromkeys(STOPS, True)


def test_a_box_that_scrolls_is_a_stop_before_the_theme_makes_it_one(
    page: Page, pages: dict[Path, BeautifulSoup]
) -> None:
    page.set_viewport_size({"width": 390, "height": browser.HEIGHT})
    page.goto(with_element(pages, "main:has(.cell > details):has(table)").as_uri())
    browser.settle(page)
    unstopped = "document.querySelectorAll('[tabindex=\"0\"]').forEach((e) => (e.tabIndex = -1))"
    page.evaluate(unstopped)
    assert not page.evaluate("inPage.hasTabStops()")
    assert page.evaluate(f"{unstopped}; dispatchEvent(new Event('resize')); inPage.hasTabStops()")


SIGNS = """(box) => [
  box.classList.contains("more-before"),
  box.classList.contains("more-after"),
  box.getAttribute("aria-description"),
]"""
TO_AN_END = """(box, end) => new Promise((done) => {
  box.addEventListener("scroll", () => requestAnimationFrame(() => done()), { once: true });
  box.scrollLeft = end * (box.scrollWidth - box.clientWidth);
})"""


def test_a_box_that_scrolls_says_so_and_fades_where_it_goes_on(
    page: Page, pages: dict[Path, BeautifulSoup]
) -> None:
    page.set_viewport_size({"width": 390, "height": browser.HEIGHT})
    page.goto(with_element(pages, "main div.highlight > pre").as_uri())
    browser.settle(page)
    box = page.locator("main .more-after:visible").first.element_handle()
    said = "This box scrolls sideways."
    assert box.evaluate(SIGNS) == [False, True, said]
    faded = "(box) => getComputedStyle(box).maskImage !== 'none'"
    assert box.evaluate(faded)
    box.evaluate(TO_AN_END, 0.5)
    assert box.evaluate(SIGNS) == [True, True, said]
    box.evaluate(TO_AN_END, 1)
    assert box.evaluate(SIGNS) == [True, False, said]
    page.set_viewport_size({"width": 1280, "height": browser.HEIGHT})
    page.wait_for_function("(box) => !box.hasAttribute('aria-description')", arg=box)
    assert box.evaluate(SIGNS) == [False, False, None]
    assert not box.evaluate(faded)


@pytest.mark.parametrize("key", ["Enter", "Space"])
@pytest.mark.parametrize("box", ["div.cell > details", ".admonition.dropdown"])
def test_what_is_folded_opens_and_closes(
    page: Page, pages: dict[Path, BeautifulSoup], box: str, key: str
) -> None:
    page.goto(with_element(pages, "main .admonition.dropdown").as_uri())
    switch = page.locator(f"main {box} :is(summary, button.toggle-button)").first
    switch.wait_for()
    is_open = "(s) => s.closest('details, .admonition').lastElementChild"
    is_open = f"{is_open}.checkVisibility({{ visibilityProperty: true }})"
    before = switch.evaluate(is_open)
    for expected in (not before, before):
        switch.focus()
        page.keyboard.press(key)
        assert switch.evaluate(is_open) == expected


def test_sidebar_opens_and_closes_on_a_phone(page: Page, html: Path) -> None:
    page.set_viewport_size({"width": 390, "height": browser.HEIGHT})
    page.goto(chapter(html).as_uri())
    entry = page.locator("nav.bd-docs-nav a").first
    assert not entry.is_visible()
    page.locator("button.primary-toggle").focus()
    page.keyboard.press("Enter")
    entry.wait_for(state="visible")
    page.keyboard.press("Escape")
    entry.wait_for(state="hidden")


# What a page does when it is used


def chapter(html: Path) -> Path:
    """A chapter in the middle, with one before and one after it."""
    chapters = sorted(html.glob("book/part*/*.html"))
    return chapters[len(chapters) // 2]


@pytest.mark.parametrize("opener", ["a button", "the keyboard"])
def test_search_works_from_disk(page: Page, html: Path, opener: str) -> None:
    troubles = browser.Visit("search.html")
    page.goto(chapter(html).as_uri())
    if opener == "a button":
        page.locator("button.search-button__button:visible").first.click()
    else:
        page.keyboard.press("Control+k")
    page.locator("input[name=q]:focus").wait_for()
    troubles.listen(page)
    page.keyboard.type("saturated")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=saturated")
    page.locator("#search-results .search-summary", has_text="page").wait_for()
    results = page.locator("#search-results li a")
    assert results.count() > 3
    assert [*troubles.errors, *troubles.console, *troubles.missing] == []
    results.first.click()
    page.wait_for_url("**/book/**")
    assert "saturated" in page.locator("main").inner_text().lower()


def test_search_says_when_it_finds_nothing(page: Page, html: Path) -> None:
    page.goto(f"{(html / 'search.html').as_uri()}?q=xylophone")
    page.locator("#search-results .search-summary", has_text="did not match").wait_for()


def test_copy_buttons_copy_their_cell(page: Page, pages: dict[Path, BeautifulSoup]) -> None:
    page.goto(with_element(pages, "div.cell_input").as_uri())
    page.locator("div.cell_input button.copybtn").first.wait_for(state="attached")
    cells = [c for c in page.locator("div.cell_input").all() if c.is_visible()]
    assert cells
    for cell in cells:
        cell.hover()
        cell.locator("button.copybtn").click()
        code = cell.locator("pre").text_content()
        page.wait_for_function(
            "async (code) => (await navigator.clipboard.readText()).trim() === code.trim()",
            arg=code,
        )


def test_theme_is_switched_and_remembered(page: Page, html: Path) -> None:
    page.goto(chapter(html).as_uri())
    button = page.locator("button.theme-switch-button:visible").first
    grounds = {}
    for _ in range(3):
        button.click()
        mode, theme, light = page.evaluate(SHOWN)
        grounds[mode] = (theme, light)
    assert grounds["light"] == ("light", True)
    assert grounds["dark"] == ("dark", False)
    while page.evaluate(SHOWN)[0] != "dark":
        button.click()
    page.locator("a.right-next").click()
    page.wait_for_load_state()
    assert page.evaluate(SHOWN) == ["dark", "dark", False]


@pytest.mark.parametrize("stored", ["", "light", "dark"])
@pytest.mark.parametrize("system", browser.THEMES)
def test_page_appears_in_its_colours_at_once(
    page: Page, html: Path, system: str, stored: str
) -> None:
    expected = stored or system
    page.emulate_media(color_scheme=system)
    if stored:
        page.goto((html / "search.html").as_uri())
        page.evaluate(f"localStorage.mode = localStorage.theme = '{stored}'")
    page.add_init_script(PAINT)
    page.goto(chapter(html).as_uri())
    assert page.evaluate("themeAtBody") == expected, "data-theme when the page's body begins"
    page.wait_for_function("painted.length > 2")
    light = page.evaluate("painted.map(([theme, ground]) => [theme, inPage.isLight(ground)])")
    assert {tuple(frame) for frame in light} == {(expected, expected == "light")}


def test_previous_and_next_lead_through_the_book(page: Page, html: Path) -> None:
    start = chapter(html).as_uri()
    page.goto(start)
    title = page.locator("a.right-next .prev-next-title").inner_text()
    page.locator("a.right-next").click()
    page.wait_for_function("(start) => location.href !== start", arg=start)
    assert title.split()[-1] in page.locator("article h1").inner_text()
    page.locator("a.left-prev").click()
    page.wait_for_url(start)


def test_top_page_leads_to_the_book(page: Page, html: Path) -> None:
    page.goto((html / "index.html").as_uri())
    page.wait_for_url("**/book/index.html")
