"""Which terms the book uses before it defines them: `python -m book_build.terms`, or `make terms`.

A term is an entry of the glossary, and defined where a page sets it in bold. Pages are read in
their order, as they are written; code, formulas, headings, objectives and folded boxes do not
count. A report for whoever writes: words that also have an everyday sense are left to the eye.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from markdown_it import MarkdownIt

from book_build.glossary import PAGE, PASSED_OVER_CLASSES, SHORT, pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Term", "main", "report"]

ENTRY = re.compile(r"^(?=\S)(?!:)(.+)\n(?=  \S)", re.MULTILINE)
GLOSSARY = re.compile(r"^```\{glossary\}\n(.*?)^```", re.MULTILINE | re.DOTALL)
BOLD = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)
# Roles with what they name, code, formulas, addresses: nothing that is read as words of the text.
NO_WORDS = re.compile(r"\{[\w:]+\}`[^`]*`|(`+).+?\1|\$[^$]+\$|\]\([^)]*\)|^:+.*$", re.DOTALL | re.M)
BOX = re.compile(r"^(:{3,})(.*)$")
CLASSES = re.compile(r"^:class: (.+)$", re.MULTILINE)


@dataclass
class Term:
    """Where a term is defined, and where it is used before that: pages with their lines."""

    name: str
    defined: str | None = None
    early: list[str] = field(default_factory=list)


def main() -> int:
    """Print what is used too early, and what is never set in bold."""
    found = report(Path.cwd())
    early = [term for term in found if term.defined and term.early]
    for term in early:
        print(f"{term.name}: {term.defined}, but used in")
        print(*(f"    {place}" for place in term.early), sep="\n")
    print(f"{len(early)} of {len(found)} terms are used before they are defined.")
    if bare := [term for term in found if not term.defined]:
        print("Nowhere in bold, with the page of the first use:")
        print(*(f"    {term.name}: {first(term)}" for term in bare), sep="\n")
    return 0


def first(term: Term) -> str:
    """Say where a term is used first."""
    return term.early[0].split(",")[0] if term.early else "none"


def report(root: Path) -> list[Term]:
    """Return every term of the glossary with its first definition and what comes before it."""
    notation = (root / f"{PAGE}.md").read_text(encoding="utf-8")
    found = {name.lower(): Term(name) for name in ENTRY.findall(GLOSSARY.search(notation)[1])}
    by_word = found | {short: found[name] for short, name in SHORT.items() if name in found}
    sought = {bold: pattern(by_word, bold) for bold in (False, True)}
    for page in pages(root):
        used: dict[str, list[int]] = {}
        for line, text in paragraphs((root / page).read_text(encoding="utf-8")):
            for name in defined_in(text, sought[True]):
                term = by_word[name]
                term.defined = term.defined or f"{page}:{line}"
            for match in sought[False].finditer(NO_WORDS.sub(" ", text)):
                term = by_word[" ".join(match[1].lower().split())]
                if term.defined is None:
                    used.setdefault(term.name.lower(), []).append(line)
        for name, lines in used.items():
            found[name].early.append(f"{page}:{', '.join(map(str, dict.fromkeys(lines)))}")
    return [*found.values()]


def pages(root: Path) -> Iterator[str]:
    """Yield the root and the pages of all parts but the back matter, in their order."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    listed = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    for name in (toc["root"], *listed):
        if not name.startswith(PAGE.rpartition("/")[0]):
            yield f"{name}.md"


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Yield each paragraph with its line, those in folded boxes and objectives left out."""
    text = re.sub(
        r"\A---\n.*?^---\n", lambda head: "\n" * head[0].count("\n"), text, flags=re.M | re.S
    )
    folded = folded_lines(text.splitlines())
    tokens = MarkdownIt().parse(text)
    for before, token in pairwise(tokens):
        if before.type == "paragraph_open" and before.map[0] not in folded:
            yield before.map[0] + 1, token.content


def folded_lines(lines: list[str]) -> set[int]:
    """Return the lines, from 0, that stand in boxes which are not the chapter's own sentences."""
    found: set[int] = set()
    opened: list[tuple[str, bool]] = []
    for number, line in enumerate(lines):
        if fence := BOX.match(line):
            if fence[2].strip():
                options = CLASSES.search("\n".join(lines[number + 1 : number + 5]))
                classes = options[1].split() if options else []
                opened.append((fence[1], not PASSED_OVER_CLASSES.isdisjoint(classes)))
            elif opened:
                opened.pop()
        if any(passed_over for _, passed_over in opened):
            found.add(number)
    return found


def defined_in(text: str, sought: re.Pattern[str]) -> Iterable[str]:
    """Yield the terms that stand in bold, as the glossary has them."""
    for bold in BOLD.findall(text):
        if match := sought.fullmatch(" ".join(bold.split())):
            yield match[1].lower()


if __name__ == "__main__":
    sys.exit(main())
