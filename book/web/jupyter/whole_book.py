"""What a notebook cannot know of the rest of the book: where labels stand, and what keys cite."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["citations", "labels"]

HEADING = re.compile(r"^\(([\w-]+)\)=\n+#+ (.+)$", re.MULTILINE)
EXERCISE = re.compile(r"^:label: exercise-(\d+)-(\d+)$", re.MULTILINE)
EQUATION = re.compile(r"^\$\$ \(([\w-]+)\)$", re.MULTILINE)
FIGURE = re.compile(r"^ +name: (fig-[\w-]+)$", re.MULTILINE)
ENTRY = re.compile(r"^@\w+\{([\w:-]+),\n(.*?)^\}", re.MULTILINE | re.DOTALL)


def labels(book: Path) -> dict[str, tuple[str, str]]:
    """Return, for each label, the page that has it and what to call it."""
    found = {}
    for page in sorted(book.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        path = page.relative_to(book).as_posix()
        headings = {label: plain(title) for label, title in HEADING.findall(text)}
        chapter = next(iter(headings.values()), page.stem)
        found |= {label: (path, title) for label, title in headings.items()}
        found |= {
            f"exercise-{a}-{b}": (path, f"Exercise {a}.{b}") for a, b in EXERCISE.findall(text)
        }
        found |= dict.fromkeys(EQUATION.findall(text), (path, f"an equation of “{chapter}”"))
        found |= dict.fromkeys(FIGURE.findall(text), (path, f"a figure of “{chapter}”"))
    return found


def citations(bibliography: Path) -> dict[str, tuple[str, str]]:
    """Return, for each key, the authors' surnames and the year, empty where there is none."""
    found = {}
    for key, body in ENTRY.findall(bibliography.read_text(encoding="utf-8")):
        field = dict(re.findall(r"^\s*(author|year)\s*=\s*[{\"](.*?)[}\"],?$", body, re.MULTILINE))
        if "author" in field:
            found[key] = surnames(field["author"]), field.get("year", "")
    return found


def surnames(authors: str) -> str:
    """Name one or two authors, and the first of more."""
    names = [name for name in re.split(r"\s+and\s+", authors) if name != "others"]
    last = [
        plain(n.split(",")[0] if "," in n or n.startswith("{") else n.split()[-1]) for n in names
    ]
    if len(last) > 2 or len(names) < len(re.split(r"\s+and\s+", authors)):
        return f"{last[0]} et al."
    return " and ".join(last)


def plain(text: str) -> str:
    """Leave out TeX's and Markdown's marks: braces, accents by command, code, emphasis, dollars."""
    accents = {r"\"": "\u0308", r"\'": "\u0301", r"\`": "\u0300", r"\^": "\u0302", r"\~": "\u0303"}
    for command, mark in accents.items():
        text = re.sub(re.escape(command) + r"\{?(\w)\}?", rf"\1{mark}", text)
    return re.sub(r"[{}`*$]", "", text).strip()
