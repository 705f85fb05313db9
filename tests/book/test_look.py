"""The book's own look, as far as it can be told without a browser."""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path

import pytest
from built_pages import CHAPTERS, DOCUMENTS, article, page_of, soup
from small_project import ROOT

STATIC = ROOT / "book" / "web" / "static"
CSS = (STATIC / "book.css").read_text(encoding="utf-8")
AA = 4.5


def luminance(colour: str) -> float:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def colours(scheme: str) -> dict[str, str]:
    rules = re.search(rf'html\[data-theme="{scheme}"\] \{{(.*?)\}}', CSS, re.DOTALL)[1]
    return dict(re.findall(r"--(?:pst-color-)?([\w-]+): (#[0-9a-f]{6});", rules))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "text", ["text-base", "primary", "primary-highlight", "secondary", "success"]
)
def test_text_stands_out_from_every_ground(scheme: str, text: str) -> None:
    known = {"background": "#ffffff", **colours(scheme)}
    for ground in ("background", "surface", "info-bg", "success-bg", "table-row-hover-bg"):
        assert contrast(known[text], known[ground]) >= AA, ground


def test_lines_of_figures_stand_out_from_a_dark_page() -> None:
    sys.path.insert(0, str(ROOT / "book" / "web" / "ext"))
    from book_build.figures import ON_DARK

    from mlpinit import plots

    ours = {getattr(plots, name) for name in plots.__all__ if name.isupper()}
    assert ours <= set(ON_DARK)
    ground = colours("dark")["background"]
    assert all(contrast(colour, ground) >= AA for colour in ON_DARK.values())
    assert len(set(ON_DARK.values())) == len(ON_DARK)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_page_has_logo_icons_and_both_neighbours_by_title(html: Path, document: str) -> None:
    page = page_of(html, document)
    logos = page.select(".navbar-brand img")
    assert [Path(logo["src"]).name for logo in logos] == ["logo-light.svg", "logo-dark.svg"]
    assert len(page.select("link[rel~=icon], link[rel=apple-touch-icon]")) == 3
    at = DOCUMENTS.index(document)
    near = [*DOCUMENTS[max(at - 1, 0) : at], *DOCUMENTS[at + 1 : at + 2]]
    titles = [title(html, other) for other in near]
    assert [words(link) for link in page.select(".prev-next-title")] == titles


def title(html: Path, document: str) -> str:
    return words(article(html, document).h1).removesuffix("#").strip()


def words(tag) -> str:
    return " ".join(tag.get_text().split())


@pytest.mark.parametrize("document", DOCUMENTS)
def test_card_has_words_and_no_address_that_is_not_known(html: Path, document: str) -> None:
    page = page_of(html, document)
    tags = {tag["property"]: tag["content"] for tag in page.select("meta[property^='og:']")}
    assert tags["og:title"].endswith(title(html, document))
    assert tags["og:type"] == "book"
    assert len(tags["og:description"]) > 40
    whole = [v for k, v in tags.items() if k in {"og:url", "og:image"}]
    assert all(value.startswith("https://") for value in whole)
    assert ("og:image" in tags) == ("og:url" in tags)


def test_card_has_the_size_that_sites_ask_for() -> None:
    header = (STATIC / "card.png").read_bytes()[:24]
    assert struct.unpack(">II", header[16:]) == (1200, 630)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_scheme_is_settled_before_anything_is_painted(html: Path, document: str) -> None:
    scripts = page_of(html, document).head.select("script")
    at = next(i for i, s in enumerate(scripts) if "prefers-color-scheme" in s.get_text())
    assert not any(s.has_attr("src") and not s.has_attr("defer") for s in scripts[:at])


@pytest.mark.parametrize("document", CHAPTERS)
def test_terms_show_their_definition_once_a_chapter(html: Path, document: str) -> None:
    glossary = soup(html / "book/back/notation.html")
    terms = article(html, document).select(".term")
    assert len(terms) > 5
    targets = [term.a["href"].split("#")[1] for term in terms]
    assert len(set(targets)) == len(targets)
    for term, target in zip(terms, targets, strict=True):
        (tip,) = term.select("[role=tooltip]")
        assert term.a["aria-describedby"] == tip["id"]
        entry = glossary.find(id=target).find_next("dd")
        assert words(entry).startswith(words(tip)[:20])
        assert not tip.select("a")


def test_everyday_words_are_terms_in_bold_only(html: Path) -> None:
    for document in CHAPTERS:
        for term in article(html, document).select(".term"):
            if re.fullmatch(r"(?:start|size|example|unit|gain|row)s?", term.a.get_text(), re.I):
                assert term.parent.name == "strong", (document, term)


def test_definitions_are_not_searched(html: Path) -> None:
    index = (html / "searchindex.js").read_text(encoding="utf-8")
    documents = re.findall(r'"(book/[\w/-]+)"', re.search(r'"docnames":\s*\[(.*?)\]', index)[1])
    found = re.search(r'"?kurtosi"?:\s*(\[[\d, ]+\]|\d+)', index)[1]
    pages = {documents[int(n)] for n in re.findall(r"\d+", found)}
    assert pages
    assert pages <= {d for d in DOCUMENTS if "kurtosis" in prose(html, d)}


def prose(html: Path, document: str) -> str:
    """The page's words less the definitions."""
    whole = article(html, document)
    defined = {id(word) for tip in whole.select("[role=tooltip]") for word in tip.strings}
    return "".join(word for word in whole.strings if id(word) not in defined).lower()
