"""A page is light, comes from one place, and its formulas are there without a script."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import browser
import pytest
from bs4 import BeautifulSoup
from built_pages import DOCUMENTS, article, pages, soup
from first_view import View, first_views, served
from playwright.sync_api import Browser

MOST_BYTES = 600_000
AT_A_TIME = 7  # pages, which wait for their last request side by side
TEX = re.compile(r"\$[^$]+\$|\\[(\[]|\\[A-Za-z]{2,}")
LOADED = "script[src], img, source, iframe, link[rel=stylesheet], link[rel=preload], link[rel=icon]"


@pytest.fixture(scope="session")
def views(html: Path, chrome: Browser) -> dict[str, View]:
    """Each page's first view, from a server on this machine."""
    with served(html) as address, chrome.new_context() as context:
        context.set_default_timeout(browser.LATEST_MS)
        names = [f"{name}.html" for name in (*DOCUMENTS, "search")]
        seen: dict[str, View] = {}
        for some in (names[k : k + AT_A_TIME] for k in range(0, len(names), AT_A_TIME)):
            seen |= first_views(context, address, html, some)
        return {name.removesuffix(".html"): view for name, view in seen.items()}


@pytest.mark.parametrize("document", [*DOCUMENTS, "search"])
def test_first_view_is_light(views: dict[str, View], document: str) -> None:
    weights = views[document].weights
    assert weights["HTML"] > 1000
    assert weights["CSS"] > 1000
    assert weights["other"] == 0, views[document].files
    assert weights.total() <= MOST_BYTES, weights


@pytest.mark.parametrize("document", [*DOCUMENTS, "search"])
def test_nothing_is_asked_of_another_place(views: dict[str, View], document: str) -> None:
    assert views[document].outside == ()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_picture_for_another_view_is_not_fetched(views: dict[str, View], document: str) -> None:
    fetched = views[document].files
    assert [path for path in fetched if path.stem.endswith(("-dark", "-stacked"))] == []


def test_search_finds_a_word_without_an_error(html: Path, chrome: Browser) -> None:
    with chrome.new_page() as page:
        page.set_default_timeout(browser.LATEST_MS)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto(f"{(html / 'search.html').as_uri()}?q=softmax")
        page.wait_for_selector("#search-results li")
        assert errors == []


def test_formulas_font_is_fetched_where_there_are_formulas(views: dict[str, View]) -> None:
    fonts = [path.name for path in views["book/part1/backward"].files if path.suffix == ".woff2"]
    assert any(name.startswith("mathematics-") for name in fonts)
    assert any(name.startswith("icons-") for name in fonts)


def test_no_page_loads_from_an_address_outside(html: Path) -> None:
    for page in pages(html):
        for tag in soup(page).select(LOADED):
            assert not urlsplit(tag.get("src") or tag.get("href")).netloc, (page, tag)


def test_no_style_sheet_of_a_page_loads_from_outside(html: Path) -> None:
    sheets = {
        (page.parent / urlsplit(link["href"]).path).resolve()
        for page in pages(html)
        for link in soup(page).select("link[rel=stylesheet]")
    }
    assert len(sheets) > 3
    for sheet in sheets:
        text = sheet.read_text(encoding="utf-8")
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\"']*", text) == [], sheet


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_formula_is_mathml_with_its_tex(html: Path, document: str) -> None:
    for box in article(html, document).select(".math"):
        formulas = box.select("math")
        assert len(formulas) == 1, box
        tex = formulas[0].select_one("annotation[encoding='application/x-tex']").get_text()
        assert tex.strip()
        drawn = formulas[0].semantics.find(recursive=False)
        assert drawn.name != "annotation"
        assert not drawn.get_text().startswith("\\")


def test_the_chapters_have_formulas(html: Path) -> None:
    counts = [len(article(html, document).select("math")) for document in DOCUMENTS]
    assert sum(counts) > 500
    displays = article(html, "book/part1/backward").select("div.math[id] > .formula > math")
    assert len(displays) == 10
    assert all(math["display"] == "block" for math in displays)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_tex_is_left_in_the_text(html: Path, document: str) -> None:
    copy = BeautifulSoup(str(article(html, document)), "html.parser")
    for tag in copy.select("math, code, pre, dt.sig, .cell_output"):
        tag.decompose()
    assert TEX.findall(copy.get_text()) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_mathjax_and_the_icons_script_are_gone(html: Path, document: str) -> None:
    page = soup(html / f"{document}.html")
    sources = " ".join(
        script.get("src", "") + script.get_text() for script in page.select("script")
    )
    assert "MathJax" not in sources
    assert "fontawesome" not in sources


@pytest.mark.parametrize("document", DOCUMENTS)
def test_scripts_from_files_wait_for_the_page(html: Path, document: str) -> None:
    scripts = soup(html / f"{document}.html").select("script[src]")
    waiting = [script for script in scripts if script.has_attr("defer")]
    assert len(waiting) >= 5
    left = [Path(urlsplit(script["src"]).path).name for script in scripts if script not in waiting]
    assert left in ([], ["documentation_options.js"])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_pictures_keep_their_place_until_they_come(html: Path, document: str) -> None:
    for image in article(html, document).select("img[src$='.svg']"):
        assert image["loading"] == "lazy"
        assert int(image["width"]) > 50
        assert int(image["height"]) > 20
