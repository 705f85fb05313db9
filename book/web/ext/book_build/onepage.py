"""The built pages joined into one that can be printed: what is folded, hidden or dark left out.

Sphinx's own `singlehtml` would give the sections named "Exercises" in all chapters one anchor, and
does not know MyST-NB's folded cells. Joining the pages gives each anchor its page's name, and the
printed book the numbers, mathematics and figures of the site, for they are the site's.

A hint or solution is folded on a page so that nobody reads it too early. Here they
stand at the end.
"""

from __future__ import annotations

import os
import posixpath
import re
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag

import mlpinit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Book", "Part", "fill_page_numbers", "join", "read_book"]

PARSER = "html.parser"
ANSWERS = "hints-and-solutions"
# Folded code (it draws what the page shows), links of a heading to itself, pictures for dark pages
# and telephones, definitions on hover (the link to the term stays), what only a screen can do.
LEFT_OUT = (
    "details.hide, .headerlink, .only-dark, .stacked, [role=tooltip], .toctree-wrapper, "
    "button, script, noscript, .run-page, .start, "
    ".warm-up :is(input, .field, .feedback, summary)"
)
# Text in the colour of all text: in a file with tags for readers aloud, each costs some 150 bytes.
PLAIN = "span.n, span.p, span.w, span.pre"
JOINT = '<span class="joint"> ·&nbsp;</span>'
LONG_CODE = 20  # lines; may be broken over two pages
NUMBER = re.compile(r'(<span class="page-of" data-anchor="([^"]+)">)\d+')
ANCHOR = re.compile(r'<[^>]* id="([^"]+)"')
SETTING = re.compile(r"[a-z0-9-]+:")  # a lab's, not a place: paper keeps none
LINK = re.compile(r'<a [^>]*href="#([^"]*)"')


@dataclass(frozen=True)
class Part:
    """A part of the book: its title, `Part I · Principles` or plain, and its pages in order."""

    title: str
    documents: list[str]

    @property
    def anchor(self) -> str:
        """Where links to the part lead."""
        return "part--" + slug(self.title)


@dataclass(frozen=True)
class Book:
    """What the contents and the settings say of the book."""

    title: str
    author: str
    licence: str
    version: str
    language: str
    root_document: str
    parts: list[Part]

    @property
    def documents(self) -> list[str]:
        """All pages in order."""
        return [self.root_document, *(name for part in self.parts for name in part.documents)]

    @property
    def file_stem(self) -> str:
        """The title as a file is named."""
        return slug(self.title)


@dataclass
class Chapter:
    """A built page on its way into the book, and the hints and solutions taken from it."""

    document: str
    article: Tag
    answers: list[Tag] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Where links to the chapter lead."""
        return anchor_of(self.document)

    @cached_property
    def title(self) -> str:
        """Its number, if it has one, and its heading."""
        return text_of(self.article.select_one("h1, h2"))

    @cached_property
    def sections(self) -> list[tuple[str, str]]:
        """Anchor and title of each section one level below the chapter."""
        found = self.article.select("section > section")
        return [(s["id"], text_of(s.h3)) for s in found if s.find("h3", recursive=False)]


def read_book(root: Path) -> Book:
    """Read `_toc.yml`, `_config.yml` and the version of the package."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    parts = [
        Part(part["caption"], [chapter["file"] for chapter in part["chapters"]])
        for part in toc["parts"]
    ]
    return Book(
        title=config["title"],
        author=config["author"],
        licence=config["copyright"],
        version=mlpinit.__version__,
        language=config["sphinx"]["config"].get("language", "en"),
        root_document=toc["root"],
        parts=parts,
    )


def join(book: Book, html: Path, folder: Path, css: str) -> str:
    """Return the whole book, whose pages are in `html`, as one page to stand in `folder`."""
    chapters = {name: read_chapter(html, folder, name, book) for name in book.documents}
    body = "\n".join(
        [
            cover(book),
            contents(book, chapters),
            chapter_html(chapters[book.root_document]),
            *(part_html(part, chapters) for part in book.parts),
            answers_html(chapters.values()),
        ]
    )
    styles = stylesheets(html, folder, book.root_document)
    style = f"{css}\n{running_heads(book, chapters.values())}"
    page = SHELL.format(book=book, styles=styles, style=style, body=body)
    check_links(page)
    return page


SHELL = """<!DOCTYPE html>
<html lang="{book.language}" data-theme="light" data-mode="light">
<head>
<meta charset="utf-8">
<title>{book.title}</title>
<meta name="author" content="{book.author}">
{styles}
<style>
{style}
</style>
</head>
<body>
<main class="bd-content">
{body}
</main>
</body>
</html>
"""


def read_chapter(html: Path, folder: Path, document: str, book: Book) -> Chapter:
    """Read a built page's article and make it fit to stand in one page with all the others."""
    path = html / f"{document}.html"
    article = BeautifulSoup(path.read_text(encoding="utf-8"), PARSER).select_one(
        "article.bd-article"
    )
    leave_out(article)
    mark_breaks(article)
    for image in article.select("img"):
        image["loading"] = "eager"
        image["src"] = moved(image["src"], path, folder)
    own_anchors(article, document)
    for link in article.select("a[href]"):
        into_the_book(link, document, book)
    if document != book.root_document:
        lower_headings(article)
    chapter = Chapter(document, article)
    take_answers(chapter)
    return chapter


def leave_out(article: Tag) -> None:
    """Drop what is not printed; what else a page folds stands open."""
    for element in article.select(LEFT_OUT):
        element.decompose()
    for element in article.select(PLAIN):
        element.unwrap()
    article.smooth()
    for element in article.select("details"):
        element["open"] = ""


def mark_breaks(article: Tag) -> None:
    """Mark for the stylesheet what stays with the next, and what is too long to stay whole."""
    marked = {
        "announces": (p for p in article.select("section > p") if text_of(p).endswith(":")),
        "long": (c for c in article.select("pre") if c.get_text().count("\n") > LONG_CODE),
    }
    for name, elements in marked.items():
        for element in elements:
            element["class"] = [*element.get("class", []), name]


def moved(url: str, page: Path, folder: Path) -> str:
    """Return a page's relative address as seen from `folder`."""
    if urlsplit(url).scheme:
        return url
    path = os.path.normpath(page.parent / unquote(urlsplit(url).path))
    return Path(os.path.relpath(path, folder)).as_posix()


def own_anchors(article: Tag, document: str) -> None:
    """Put the page's name before its anchors, and let each name one element only."""
    seen = set()
    for element in article.select("[id]"):
        if element["id"] in seen:
            del element["id"]
            continue
        seen.add(element["id"])
        element["id"] = anchor_of(document, element["id"])
    article["id"] = anchor_of(document)


def into_the_book(link: Tag, document: str, book: Book) -> None:
    """Let a link to a page lead into the book; one to a file of the site becomes plain text."""
    parts = urlsplit(link["href"])
    if parts.scheme or parts.netloc:
        return
    target = document
    if parts.path:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(document), parts.path))
        target = unquote(target.removesuffix(".html"))
    if target in book.documents:
        place = "" if SETTING.match(parts.fragment) else unquote(parts.fragment)
        link["href"] = "#" + anchor_of(target, place)
    else:
        link.unwrap()


def lower_headings(article: Tag) -> None:
    """Set the page's headings a level down, for above them come the parts."""
    for heading in article.find_all(re.compile(r"^h[1-5]$")):
        heading.name = f"h{int(heading.name[1]) + 1}"


def take_answers(chapter: Chapter) -> None:
    """Take hints and solutions out of the chapter and leave a line that says where they are."""
    for i, box in enumerate(chapter.article.select(".graded"), 1):
        exercise = box.find_previous_sibling(class_="exercise")
        found = [part.extract() for part in box.select(".hint, .solution")]
        if not found or exercise is None:
            continue
        anchor = f"{chapter.anchor}--answer-{i}"
        title = text_of(exercise.select_one(".admonition-title"))
        link = f'<a href="#{exercise["id"]}">{escape(title)}</a>'
        answer = fragment(f'<section id="{anchor}" class="answer"><h4>{link}</h4></section>')
        for part in found:
            if "solution" in part["class"]:
                part.select_one(".admonition-title").string = "Solution"
            answer.append(part)
        chapter.answers.append(answer)
        solved = any("solution" in part["class"] for part in found)
        what = "hints and solution" if solved else "hints"
        box.append(fragment(f'<p class="answered">{what}: page {page_of(anchor)}</p>'))


def cover(book: Book) -> str:
    """The title page."""
    return (
        '<header class="cover">'
        f'<p class="cover-title">{escape(book.title)}</p>'
        f'<p class="cover-author">{escape(book.author)}</p>'
        f'<p class="cover-edition">Version {escape(book.version)}<br>'
        f"© {escape(book.licence)}</p></header>"
    )


def contents(book: Book, chapters: Mapping[str, Chapter]) -> str:
    """The table of contents: parts and chapters. The sections stand before each part."""
    lines = [entry(chapters[book.root_document].anchor, book.title)]
    for part in book.parts:
        lines.append(entry(part.anchor, part.title, "of-part"))
        lines += [entry(chapters[name].anchor, chapters[name].title) for name in part.documents]
    if any(chapter.answers for chapter in chapters.values()):
        lines.append(entry(ANSWERS, answers_title(chapters.values())))
    return f'<nav class="book-contents"><h1>Contents</h1><ul>{"".join(lines)}</ul></nav>'


def part_html(part: Part, chapters: Mapping[str, Chapter]) -> str:
    """A part: its own page, with the sections of its chapters, and the chapters."""
    lists = []
    for chapter in (chapters[name] for name in part.documents):
        sections = "".join(entry(*section, "of-section") for section in chapter.sections)
        lists.append(f"<ul>{entry(chapter.anchor, chapter.title)}{sections}</ul>")
    *number, name = part.title.split(" · ", 1)
    heading = "".join(f'<span class="part-number">{escape(n)}{JOINT}</span>' for n in number)
    divider = (
        f'<header class="part" id="{part.anchor}"><h1>{heading}{escape(name)}</h1>'
        f'<div class="part-contents">{"".join(lists)}</div></header>'
    )
    return "\n".join([divider, *(chapter_html(chapters[name]) for name in part.documents)])


def chapter_html(chapter: Chapter) -> str:
    """A chapter, on pages whose head bears its title."""
    chapter.article["style"] = f"page: {chapter.anchor}"
    return str(chapter.article)


def answers_html(chapters: Iterable[Chapter]) -> str:
    """The hints and solutions of all chapters, in their order."""
    answered = [chapter for chapter in chapters if chapter.answers]
    if not answered:
        return ""
    sections = "".join(
        f'<section id="{chapter.anchor}--answers"><h3>{escape(chapter.title)}</h3>'
        f"{''.join(str(answer) for answer in chapter.answers)}</section>"
        for chapter in answered
    )
    heading = f"<h2>{answers_title(answered)}</h2>"
    return (
        f'<article class="bd-article answers" id="{ANSWERS}" style="page: {ANSWERS}">'
        f"{heading}{sections}</article>"
    )


def answers_title(chapters: Iterable[Chapter]) -> str:
    """The name of the last chapter; the book may be built without solutions."""
    answers = [answer for chapter in chapters for answer in chapter.answers]
    solved = any(answer.select_one(".solution") for answer in answers)
    return "Hints and solutions" if solved else "Hints"


def entry(anchor: str, title: str, kind: str = "of-chapter") -> str:
    """A line of a table of contents: the title, dots, the page."""
    line = f'<span class="entry">{escape(title)}</span><span class="dots"></span>'
    number = f'<span class="page-of" data-anchor="{anchor}">000</span>'
    return f'<li class="{kind}"><a href="#{anchor}">{line}{number}</a></li>'


def page_of(anchor: str) -> str:
    """The number of the page on which an anchor is printed, as a link to it."""
    return f'<a href="#{anchor}"><span class="page-of" data-anchor="{anchor}">000</span></a>'


def fill_page_numbers(page: str, pages: Mapping[str, int]) -> str:
    """Write on which page of the print each anchor comes.

    Before it is known stands a number as wide, so that a second print breaks its pages alike.
    """
    return NUMBER.sub(lambda match: f"{match[1]}{pages[match[2]]}", page)


def check_links(page: str) -> None:
    """Raise unless every link into the book meets an anchor."""
    if missing := sorted(set(LINK.findall(page)) - set(ANCHOR.findall(page))):
        raise ValueError(
            f"the printed book has no place for links to {', '.join(missing)}: "
            "they lead into what print leaves out, such as folded code"
        )


def stylesheets(html: Path, folder: Path, document: str) -> str:
    """The site's stylesheets, as links from `folder`."""
    path = html / f"{document}.html"
    page = BeautifulSoup(path.read_text(encoding="utf-8"), PARSER)
    links = page.select('head link[rel="stylesheet"]')
    for link in links:
        link["href"] = moved(link["href"], path, folder)
    inline = [copy(style) for style in page.select("head > style")]
    return "\n".join(str(element) for element in [*links, *inline])


def running_heads(book: Book, chapters: Iterable[Chapter]) -> str:
    """Rules that print the book's title at the head of every page, and the chapter's on its own."""
    rules = [f"@page {{ @top-left {{ content: {css_string(book.title)} }} }}"]
    for name, title in [
        *((c.anchor, c.title) for c in chapters if c.document != book.root_document),
        (ANSWERS, answers_title(chapters)),
    ]:
        rules.append(f"@page {name} {{ @top-right {{ content: {css_string(title)} }} }}")
    rules.append("@page bare { @top-left { content: none } }")
    return "\n".join(rules)


def css_string(text: str) -> str:
    """Quote `text` for a stylesheet that stands in HTML."""
    return '"' + re.sub(r'["\\<&\n]', lambda match: f"\\{ord(match[0]):x} ", text) + '"'


def anchor_of(document: str, name: str = "") -> str:
    """The anchor of a page, or of a place on it, in the book of one page."""
    return "--".join(slug(text) for text in (document, name) if text)


def slug(text: str) -> str:
    """Letters, digits and single hyphens."""
    return re.sub(r"[^\w]+", "-", text).strip("-").lower()


def text_of(element: Tag) -> str:
    """The element's text on one line."""
    return " ".join(element.get_text().split())


def fragment(html: str) -> Tag:
    """Parse one element."""
    return BeautifulSoup(html, PARSER).find()
