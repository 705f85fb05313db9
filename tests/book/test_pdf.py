"""The whole book in one PDF: everything is in it, in its place, whole, and links stay inside."""

from __future__ import annotations

import re
import subprocess
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from book_build import onepage
from bs4 import BeautifulSoup, Tag
from joblib import Parallel, delayed
from playwright.sync_api import Browser
from pypdf import PdfReader
from pypdf.generic import DictionaryObject
from small_project import ROOT, VENV, Project, clean_environment

TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PARTS = {part["caption"]: [c["file"] for c in part["chapters"]] for part in TOC["parts"]}
DOCUMENTS = [TOC["root"], *(document for part in PARTS.values() for document in part)]
TEXT_WIDTH = round((210 - 2 * 23) / 25.4 * 96)  # of print.css, in CSS pixels
NOT_PRINTED = (
    ".headerlink, .only-dark, .stacked, details.hide, .toctree-wrapper, [role=tooltip], "
    ".run-page, .start, .warm-up :is(input, .field, .feedback, summary)"
)
WIDER_THAN_THE_PAGE = """() => [...document.querySelectorAll('main *')].filter(element =>
    element.getBoundingClientRect().right > document.documentElement.clientWidth + 1
    || element.matches('pre, p, td, .math, figure') && element.scrollWidth > element.clientWidth + 1
).map(element => element.outerHTML.slice(0, 200))"""


@dataclass
class Printed:
    """The PDF, and what the site's pages say must be in it."""

    path: Path
    html: Path

    @cached_property
    def reader(self) -> PdfReader:
        return PdfReader(self.path)

    @cached_property
    def texts(self) -> list[str]:
        """Of every page, without ligatures. Pages full of drawings take their time: two by two."""
        halves = Parallel(n_jobs=2)(delayed(texts_of)(self.path, k, 2) for k in range(2))
        return [text for pair in zip_longest(*halves) for text in pair if text is not None]

    @cached_property
    def packed(self) -> list[str]:
        return [pack(text) for text in self.texts]

    @cached_property
    def articles(self) -> dict[str, Tag]:
        return {document: article(self.html / f"{document}.html") for document in DOCUMENTS}

    @cached_property
    def outline(self) -> list[tuple[int, str, int]]:
        """Level, title and page, from 1, of every bookmark in order."""
        return list(self.bookmarks(self.reader.outline, 0))

    def bookmarks(self, entries: list, level: int):
        for entry in entries:
            if isinstance(entry, list):
                yield from self.bookmarks(entry, level + 1)
            else:
                page = self.reader.get_destination_page_number(entry) + 1
                yield level, " ".join(entry.title.split()), page

    def next_to(self, page: int) -> int:
        """The page on which the next begins that has a bookmark: a part's contents may take two."""
        return min(other for _, _, other in self.outline if other > page)

    def page_of(self, title: str) -> int:
        (page,) = (page for level, name, page in self.outline if name == title and level < 2)
        return page


@pytest.fixture(scope="module")
def printed(html: Path) -> Printed:
    """The whole book, printed once."""
    result = subprocess.run(
        ["make", "pdf", f"VENV={VENV}"],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = (html.parent / "pdf").glob("*.pdf")
    assert str(path) in result.stdout
    return Printed(path, html)


def texts_of(path: Path, first: int, step: int) -> list[str]:
    pages = PdfReader(path).pages
    numbers = range(first, len(pages), step)
    return [unicodedata.normalize("NFKC", pages[n].extract_text()) for n in numbers]


def article(path: Path) -> Tag:
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    found = soup.select_one("article.bd-article")
    for element in found.select(NOT_PRINTED):
        element.decompose()
    return found


def pack(text: str) -> str:
    """Without spaces, joiners and ligatures: print breaks lines and joins letters as it will."""
    letters = "".join(unicodedata.normalize("NFKC", text).split())
    return "".join(letter for letter in letters if unicodedata.category(letter) != "Cf")


def words(element: Tag) -> str:
    return " ".join(element.get_text().split())


def test_bookmarks_are_parts_chapters_and_sections_as_on_the_site(printed: Printed) -> None:
    wanted = [(0, "Contents"), (0, words(printed.articles[TOC["root"]].h1))]
    wanted += [(1, words(h2)) for h2 in printed.articles[TOC["root"]].select("h2")]
    for caption, documents in PARTS.items():
        wanted.append((0, caption))
        for document in documents:
            for heading in printed.articles[document].select("h1, h2, h3"):
                wanted.append((int(heading.name[1]), words(heading)))
    found = [(level, title) for level, title, _ in printed.outline]
    assert found[: len(wanted)] == wanted
    assert found[len(wanted)] == (1, "Hints and solutions")


def test_bookmarks_lead_to_their_headings(printed: Printed) -> None:
    pages = [page for _, _, page in printed.outline]
    assert pages == sorted(pages)
    for _, title, page in printed.outline:
        assert pack(title) in printed.packed[page - 1], title


def test_each_chapter_begins_a_page_of_its_own(printed: Printed) -> None:
    starts = [printed.page_of(words(article.h1)) for article in printed.articles.values()]
    assert len(set(starts)) == len(DOCUMENTS)
    assert len(printed.texts) > 3 * len(DOCUMENTS)


def test_contents_name_the_right_pages(printed: Printed) -> None:
    first = printed.page_of("Contents")
    pages = printed.texts[first - 1 : printed.next_to(first) - 1]
    lines = {" ".join(line.split()) for text in pages for line in text.split("\n")}
    for title in (words(article.h1) for article in printed.articles.values()):
        assert f"{title} {printed.page_of(title)}" in lines


def test_pages_bear_their_number_and_chapter(printed: Printed) -> None:
    parts = {page for level, _, page in printed.outline if level == 0}
    parts -= {printed.page_of("Contents"), printed.page_of(words(printed.articles[TOC["root"]].h1))}
    bare = {1} | {n for page in parts for n in range(page, printed.next_to(page))}
    for number, text in enumerate(printed.texts, 1):
        assert (str(number) in text.split("\n")) == (number not in bare), number
    for article in printed.articles.values():
        title = words(article.h1)
        first = printed.packed[printed.page_of(title) - 1]
        assert first.count(pack(title)) > 1, title  # at the head, and as heading


def test_links_stay_in_the_book_or_lead_to_the_web(printed: Printed) -> None:
    destinations = printed.reader.named_destinations
    outside = set()
    inside = 0
    for page in printed.reader.pages:
        for annotation in page.get("/Annots", []):
            link = annotation.get_object()
            if "/Dest" in link:
                assert str(link["/Dest"]) in destinations
                inside += 1
            else:
                outside.add(str(link["/A"]["/URI"]))
    site = {
        link["href"]
        for article in printed.articles.values()
        for link in article.select("a[href^=http]")
    }
    assert {unescaped(url) for url in outside} == {unescaped(url) for url in site}
    assert inside > sum(len(a.select("a.internal")) for a in printed.articles.values()) / 2


def unescaped(url: str) -> str:
    return url.rstrip("/")


def test_every_figure_is_there_once_with_what_it_shows(printed: Printed) -> None:
    wanted = [
        image["alt"] for article in printed.articles.values() for image in article.select("img")
    ]
    assert sorted(alternatives(printed.reader)) == sorted(wanted)
    assert len(wanted) > len(PARTS)


def alternatives(reader: PdfReader) -> list[str]:
    """The alt texts of the figures in the tree of tags."""
    found, left = [], [reader.trailer["/Root"]["/StructTreeRoot"]]
    while left:
        node = left.pop().get_object()
        if isinstance(node, list):
            left.extend(node)
        elif isinstance(node, DictionaryObject):
            if node.get("/S") == "/Figure" and "/Alt" in node:
                found.append(str(node["/Alt"]))
            if "/K" in node:
                left.append(node["/K"])
    return found


def test_captions_are_numbered_and_whole(printed: Printed) -> None:
    captions = [
        caption for article in printed.articles.values() for caption in article.select("figcaption")
    ]
    assert captions
    for caption in captions:
        for formula in caption.select(".math, math"):
            formula.replace_with("\0")
        pieces = [pack(piece) for piece in caption.get_text().split("\0")]
        assert any(all(piece in page for piece in pieces) for page in printed.packed), pieces


def test_code_and_output_is_whole(printed: Printed) -> None:
    book = "".join(printed.packed)
    lines = [
        line
        for article in printed.articles.values()
        for block in article.select("pre")
        for line in block.get_text().splitlines()
    ]
    assert max(map(len, lines)) > 88
    assert [line for line in lines if pack(line) not in book] == []


def test_nothing_is_wider_than_the_page(printed: Printed, chrome: Browser) -> None:
    with chrome.new_page(viewport={"width": TEXT_WIDTH, "height": 900}) as page:
        page.goto(printed.path.with_suffix(".html").as_uri())
        page.emulate_media(media="print")
        assert page.evaluate(WIDER_THAN_THE_PAGE) == []


def test_folded_code_is_left_out_and_solutions_stand_at_the_end(printed: Printed) -> None:
    answers = printed.page_of("Hints and solutions")
    before, after = (
        "".join(p) for p in (printed.packed[: answers - 1], printed.packed[answers - 1 :])
    )
    blocks = [block for a in printed.articles.values() for block in a.select(".solution pre")]
    assert len(blocks) > len(PARTS)
    for block in blocks:
        last = pack(block.get_text().strip().splitlines()[-1])
        assert last in after
    head = pack(blocks[0].get_text().strip().splitlines()[0])
    assert head not in before
    assert "Showcode" not in before


def test_mathematics_is_set(printed: Printed) -> None:
    for number, text in enumerate(printed.texts, 1):
        assert not re.search(r"\\(frac|\(|\[|sigma|mathbf|text)", text), number


def test_file_says_what_it_is(printed: Printed) -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert printed.reader.metadata.title == config["title"]
    assert printed.reader.metadata.author == config["author"]
    root = printed.reader.trailer["/Root"]
    assert root["/Lang"] == config["sphinx"]["config"]["language"]
    assert root["/MarkInfo"]["/Marked"]


def print_project(project: Project) -> subprocess.CompletedProcess[str]:
    environment = {**clean_environment(), "PYTHONPATH": "book/web/ext"}
    return subprocess.run(
        [VENV / "bin" / "python", "-m", "book_build.pdf"],
        cwd=project.root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.browser
def test_a_small_book_is_printed_with_its_figure_and_bookmarks(project: Project) -> None:
    result = print_project(project)
    assert result.returncode == 0, result.stdout
    (path,) = (project.root / "_build" / "pdf").glob("*.pdf")
    printed = Printed(path, project.html)
    titles = [title for _, title, _ in printed.outline]
    assert titles[0] == "Contents"
    assert {"First", "1. Prose", "Second", "2. A chapter"} <= set(titles)
    page = printed.packed[printed.page_of("2. A chapter") - 1]
    assert "Thelineendsat1.50." in page
    assert "Fig.2.1Alineupto1.50." in page
    assert alternatives(printed.reader) == ["A straight line from 0 to 1.50."]


@pytest.mark.browser
def test_a_link_to_what_is_left_out_stops_the_print(project: Project) -> None:
    page = project.html / "book" / "chapter.html"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("The line ends", '<a href="#gone">The line</a> ends'))
    result = print_project(project)
    assert result.returncode != 0
    assert "book-chapter--gone" in result.stdout
    assert not list((project.root / "_build").glob("pdf/*.pdf"))


@pytest.mark.parametrize(
    ("address", "in_print"),
    [
        ("#lab-1:scale=0.2", "#book-chapter"),  # a lab's setting: paper has none to set
        ("chapter.html#playground:bias=20", "#book-chapter"),
        ("chapter.html#where", "#book-chapter--where"),
    ],
)
def test_a_link_to_a_setting_leads_to_the_page(address: str, in_print: str) -> None:
    link = BeautifulSoup(f'<a href="{address}">try it</a>', "html.parser").a
    book = SimpleNamespace(documents=["book/chapter"])
    onepage.into_the_book(link, "book/chapter", book)
    assert link["href"] == in_print


@pytest.mark.browser
def test_a_picture_that_does_not_load_stops_the_print(project: Project) -> None:
    for picture in (project.html / "_images").glob("*.svg"):
        picture.unlink()
    result = print_project(project)
    assert result.returncode != 0
    assert "pictures do not load" in result.stdout


def test_a_failed_build_is_not_printed(project: Project) -> None:
    (project.root / "_build" / ".unfinished").touch()
    result = print_project(project)
    assert result.returncode != 0
    assert "its last build failed" in result.stdout
