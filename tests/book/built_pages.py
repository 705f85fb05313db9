"""The pages of the built book, each read once in a process: reading all takes many seconds."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from bs4 import BeautifulSoup, Tag
from small_project import ROOT

TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PARTS = [[chapter["file"] for chapter in part["chapters"]] for part in TOC["parts"]]
DOCUMENTS = [TOC["root"], *(document for part in PARTS for document in part)]
CHAPTERS = [
    chapter["file"] for part in TOC["parts"] if "numbered" in part for chapter in part["chapters"]
]


@cache
def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def page_of(html: Path, document: str) -> BeautifulSoup:
    return soup(html / f"{document}.html")


def article(html: Path, document: str) -> Tag:
    return page_of(html, document).select_one("article.bd-article")


def pages(html: Path) -> list[Path]:
    return sorted(page for page in html.rglob("*.html") if "_static" not in page.parts)
