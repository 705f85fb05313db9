"""What a notebook cannot know of the book: where labels stand, what keys cite, what a page asks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

__all__ = ["citations", "labels", "warm_ups"]

HEADING = re.compile(r"^\(([\w-]+)\)=\n+#+ (.+)$", re.MULTILINE)
EXERCISE = re.compile(r"^:label: exercise-(\d+)-(\d+)$", re.MULTILINE)
EQUATION = re.compile(r"^\$\$ \(([\w-]+)\)$", re.MULTILINE)
FIGURE = re.compile(r"^ +name: (fig-[\w-]+)$", re.MULTILINE)
WARM_UP = re.compile(r"^```\{warm-up\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
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


def warm_ups(book: Path) -> dict[str, str]:
    """Return, for the YAML of each warm-up, what a notebook shows in its place."""
    found = {}
    for page in sorted(book.rglob("*.md")):
        for body in WARM_UP.findall(page.read_text(encoding="utf-8")):
            try:
                given = yaml.load(body, Loader=yaml.BaseLoader)  # texts alone, as the book reads it
                found[body.strip()] = asked(given)
            except (yaml.YAMLError, AttributeError, KeyError, TypeError):
                continue  # the book's build says what is wrong with it
    return found


def asked(given: dict[str, Any]) -> str:
    """Write a warm-up as a box with the question and a folded one with the answers."""
    unit = given.get("unit", "")
    if "choices" in given:
        answers = [
            (one.get("right") == "true", one["text"], one["why"]) for one in given["choices"]
        ]
        below = "\n".join(f"- {indented(one['text'])}" for one in given["choices"])
    else:
        answers = [(True, number(given["answer"], unit), given["why"])]
        answers += [(False, number(one["at"], unit), one["why"]) for one in given.get("wrong", ())]
        below = f"(Your answer in {unit}.)" if unit else ""
    told = [
        f"**{'Right' if right else 'Wrong'}:** {said.strip()}\n\n{why.strip()}"
        for right, said, why in sorted(answers, key=lambda one: not one[0])
    ]
    question = box("Warm-up", "", "\n\n".join([given["ask"].strip(), below]))
    answer = box("Show the answer", ":class: dropdown", "\n" + "\n\n".join(told))
    return f"{question}\n\n{answer}"


def box(title: str, option: str, text: str) -> str:
    """Write an admonition."""
    return "\n".join(
        [f"::::{{admonition}} {title}", *filter(None, [option]), text.rstrip(), "::::"]
    )


def indented(text: str) -> str:
    """Keep a text of several lines in its item of a list."""
    return text.strip().replace("\n", "\n  ")


def number(said: str, unit: str) -> str:
    """Write a number, or the glued one of that name, with its unit."""
    written = re.fullmatch(r"[-+\u2212]?[\d.,]+(?:e[-+]?\d+)?%?", said.strip(), re.IGNORECASE)
    shown = said.strip() if written else f"{{glue:text}}`{said.strip()}`"
    return f"{shown} {unit}".strip()
