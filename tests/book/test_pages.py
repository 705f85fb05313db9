"""What must hold of every page of the built book, whoever wrote it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from built_pages import CHAPTERS, DOCUMENTS, article, pages, soup
from small_project import ROOT

MAX_FIGURE_BYTES = 150_000
UNRENDERED = (
    "Traceback (most recent call last)",
    "No such role",
    "Unknown directive",
    "system-message",
    "{glue",
    "{numref}",
    "{cite",
    "To be written.",
    "<p>| ",  # a table in Markdown that a cell returns without mystnb's markdown_format
)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_page_of_the_contents_exists_with_one_title(html: Path, document: str) -> None:
    assert len(article(html, document).select("h1")) == 1


def test_no_page_takes_a_gigabyte_to_run(html: Path) -> None:
    table = article(html, "book/back/execution").select(".execution-times table")[0]
    rows = table.select("tr")
    cells = [[cell.get_text(strip=True) for cell in row.select("th, td")] for row in rows]
    assert cells[0][3] == "memory, MB"
    memory = {row[0]: float(row[3]) for row in cells[1:]}
    assert len(memory) > len(CHAPTERS)
    assert all(50 < megabytes < 1000 for megabytes in memory.values()), memory


def test_chapters_are_numbered_straight_through(html: Path) -> None:
    titles = [article(html, document).h1.get_text() for document in CHAPTERS]
    assert [title.split(".")[0] for title in titles] == [str(n + 1) for n in range(len(CHAPTERS))]


def test_top_page_leads_to_the_book(html: Path) -> None:
    link = soup(html / "index.html").a["href"]
    assert (html / link).is_file()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_images_say_what_they_show(html: Path, document: str) -> None:
    for image in article(html, document).select("img"):
        alt = image.get("alt", "")
        assert len(alt) > 15, image
        assert not re.search(r"[{}]|\.svg|\.png|[0-9a-f]{32}|\bNone\b|\bnan\b", alt), image


@pytest.mark.parametrize("document", DOCUMENTS)
def test_pictures_come_in_pairs_for_light_and_dark(html: Path, document: str) -> None:
    images = article(html, document).select("img:not(.dark-light)")
    light = [image["src"] for image in images if "only-light" in image["class"]]
    dark = [image["src"] for image in images if "only-dark" in image["class"]]
    assert len(light) + len(dark) == len(images)
    assert dark == [src.replace(".svg", "-dark.svg") for src in light]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_nothing_is_left_unrendered(html: Path, document: str) -> None:
    text = str(article(html, document))
    for example in article(html, document).select("dl.py pre"):  # may show an error on purpose
        text = text.replace(str(example), "")
    assert [mark for mark in UNRENDERED if mark in text] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_glued_values_are_values(html: Path, document: str) -> None:
    for value in article(html, document).select(".pasted-text"):
        text = value.get_text()
        assert text.strip(), value
        assert not re.search(r"\b(None|nan|inf|tensor|np\.|array)\b|[{}<]", text), value


@pytest.mark.parametrize("document", CHAPTERS)
def test_a_mark_stands_in_the_line_of_its_sentence(html: Path, document: str) -> None:
    for mark in article(html, document).select(".claim"):
        assert "marked" in mark.parent["class"], mark.parent
        assert not str(mark.previous_sibling or "").endswith((" ", "\n")), mark.parent


@pytest.mark.parametrize("document", CHAPTERS)
def test_chapter_has_captioned_figures_and_glued_values(html: Path, document: str) -> None:
    figures = article(html, document).select("figure")
    assert figures
    for figure in figures:
        assert len(figure.figcaption.select_one(".caption-text").get_text()) > 20, figure
    assert article(html, document).select(".pasted-text")


@pytest.mark.parametrize("document", CHAPTERS)
def test_solutions_link_to_their_exercise_and_no_space_is_underlined(
    html: Path, document: str
) -> None:
    links = article(html, document).select(".solution > .admonition-title > a")
    assert links
    assert [link.get_text() for link in links if not link.get_text().startswith("Exercise ")] == []


def test_links_and_anchors_resolve(html: Path) -> None:
    broken = [
        f"{page.relative_to(html)}: {link}"
        for page in pages(html)
        for link in links(soup(page))
        if not resolves(page, link)
    ]
    assert broken == []


def links(page: BeautifulSoup) -> set[str]:
    found = {tag["href"] for tag in page.select("a[href], link[href]")}
    return found | {tag["src"] for tag in page.select("[src]")}


def resolves(page: Path, link: str) -> bool:
    """Tell whether a link within the book leads to a file, and its anchor to an element."""
    parts = urlsplit(re.sub(r"#playground:.*", "#playground", link))  # a lab and its settings
    if parts.scheme or parts.netloc or link == "#":
        return True
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_file():
        return False
    anchor = unquote(parts.fragment)
    if not anchor or target.suffix != ".html":
        return True
    return anchor in anchors(target)


@cache
def anchors(path: Path) -> frozenset[str]:
    return frozenset(tag["id"] for tag in soup(path).select("[id]"))


def test_nothing_is_published_that_is_not_in_the_contents(html: Path) -> None:
    published = {page.relative_to(html).with_suffix("").as_posix() for page in pages(html)}
    assert published - {"index", "search", "playground"} == set(DOCUMENTS)


def test_figures_are_light(html: Path) -> None:
    heavy = {
        path.name: path.stat().st_size
        for path in (html / "_images").iterdir()
        if path.stat().st_size > MAX_FIGURE_BYTES
    }
    assert heavy == {}


def test_no_path_of_this_machine_is_published(html: Path) -> None:
    for page in pages(html):
        assert str(ROOT) not in page.read_text(encoding="utf-8"), page
