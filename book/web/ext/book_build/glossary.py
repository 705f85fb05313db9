"""Definitions where a term is met: the first time in each chapter, on hover and keyboard focus.

The chapters are prose and mark no terms. The first use of each term of the glossary is found when a
chapter is written: in bold, where the chapter explains the term itself, or in running text. It
becomes a link to its entry, described by the entry's own words. A word that also has an everyday
sense is taken for a term in bold only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx import addnodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment
    from sphinx.writers.html5 import HTML5Translator

__all__ = ["setup"]

PAGE = "book/back/notation"
CHAPTER = re.compile(r"book/part\d/")
EVERYDAY = """
accumulate audit birth example fold gain index margin parent rank reach recycling row rung
noise seed site size splits spread start target unbiased unit weight width window
"""
SHORT = {"batch norm": "batch normalisation", "dead neuron": "dead unit"}
# Terms are not sought in what is no running text, nor where a card would be cut off.
PASSED_OVER = (nodes.table, nodes.figure, nodes.citation, nodes.footnote, nodes.title, nodes.topic)
PASSED_OVER_CLASSES = {"objectives", "cell_output", "dropdown", "graded", "warm-up"}


class Term(nodes.inline):
    """A word that is linked to its entry; search does not see the definition."""


def setup(app: Sphinx) -> None:
    """Connect the parts."""
    app.add_node(Term, html=(open_term, close_term))
    app.connect("env-updated", collect)
    # Before anything else looks at the finished page.
    app.connect("doctree-resolved", mark, priority=100)


def collect(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Read the glossary; when an entry has changed, the pages that show it are written again."""
    old = getattr(env, "book_glossary", None)
    env.book_glossary = dict(entries(env)) if PAGE in env.found_docs else {}
    if old is not None and {k: v.rawsource for k, v in old.items()} == {
        k: v.rawsource for k, v in env.book_glossary.items()
    }:
        return []
    return [page for page in env.found_docs if CHAPTER.match(page)]


def entries(env: BuildEnvironment) -> Iterator[tuple[str, nodes.paragraph]]:
    """Yield each term with its definition, less the chapters named at the end."""
    for item in env.get_doctree(PAGE).findall(nodes.definition_list_item):
        paragraph = item.next_node(nodes.paragraph)
        for term in item.findall(nodes.term):
            definition = paragraph.deepcopy()
            definition.rawsource = paragraph.rawsource or paragraph.astext()
            definition["ids"] = list(term["ids"])
            leave_out_chapters(definition)
            yield term.astext(), definition


def leave_out_chapters(definition: nodes.paragraph) -> None:
    """Drop the chapters that an entry names, and the commas between them at its end."""
    for pointer in list(definition.findall(addnodes.pending_xref)):
        if pointer["reftype"] == "ref":
            definition.remove(pointer)
    while definition.children and definition[-1].astext().strip() in {"", ",", "and"}:
        definition.pop()
    if definition.children and isinstance(definition[-1], nodes.Text):
        definition[-1] = nodes.Text(definition[-1].rstrip())


def mark(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Link the first use of each term in a chapter."""
    known = getattr(app.env, "book_glossary", None)
    if not known or app.builder.name != "html" or not CHAPTER.match(page):
        return
    address = app.builder.get_relative_uri(page, PAGE)
    by_word = {term.lower(): term for term in known}
    by_word |= {short: term for short, term in SHORT.items() if term in known}
    left = set(known)
    patterns = {bold: pattern(by_word, bold) for bold in (False, True)}
    for text, bold in running_text(doctree):
        parts = list(split(text, bold, patterns[bold], by_word, left))
        met = [part for part in parts if isinstance(part, Term)]
        for term in met:
            term["definition"] = definition = known[term["term"]]
            term["refuri"] = f"{address}#{definition['ids'][0]}"
        if met:
            text.parent.replace(text, parts)


def running_text(doctree: nodes.document) -> Iterator[tuple[nodes.Text, bool]]:
    """Yield the chapter's own sentences, and whether each piece is in bold."""
    for paragraph in list(doctree.findall(nodes.paragraph)):
        if any(passed_over(node) for node in ancestors(paragraph)):
            continue
        for text in list(paragraph.findall(nodes.Text)):
            bold = isinstance(text.parent, nodes.strong)
            if text.parent is paragraph or (bold and text.parent.parent is paragraph):
                yield text, bold


def ancestors(node: nodes.Node) -> Iterator[nodes.Element]:
    """Yield what a node stands in, from within."""
    while (node := node.parent) is not None:
        yield node


def passed_over(node: nodes.Element) -> bool:
    """Tell whether terms in this node are left as they are."""
    return isinstance(node, PASSED_OVER) or not PASSED_OVER_CLASSES.isdisjoint(
        node.get("classes", ())
    )


def split(
    text: nodes.Text,
    bold: bool,
    sought: re.Pattern[str],
    by_word: dict[str, str],
    left: set[str],
) -> Iterator[nodes.Node]:
    """Cut a piece of text at the terms that the chapter has not met yet, and take them as met."""
    words = text.astext()
    done = 0
    for match in sought.finditer(words):
        if bold and match.span() != (0, len(words)):
            continue
        term = by_word[" ".join(match[1].lower().split())]
        if term not in left:
            continue
        left.remove(term)
        if match.start() > done:
            yield nodes.Text(words[done : match.start()])
        yield Term(match[0], match[0], term=term)
        done = match.end()
    if done < len(words):
        yield nodes.Text(words[done:])


def pattern(terms: Iterable[str], bold: bool) -> re.Pattern[str]:
    """Match any of the terms as a whole word, also in the plural, the longest first."""
    usable = (term for term in terms if bold or term not in EVERYDAY.split())
    sought = sorted(usable, key=len, reverse=True)
    spaced = (r"\s+".join(map(re.escape, term.split())) for term in sought)
    return re.compile(rf"(?<![\w-])({'|'.join(spaced) or '(?!)'})(?:e?s)?(?![\w-])", re.IGNORECASE)


def open_term(translator: HTML5Translator, node: Term) -> None:
    """Begin the link."""
    number = getattr(translator, "terms", 0) + 1
    translator.terms = number
    described = {"href": node["refuri"], "aria-describedby": f"definition-{number}"}
    translator.body.append('<span class="term">')
    translator.body.append(translator.starttag(node, "a", "", **described))


def close_term(translator: HTML5Translator, node: Term) -> None:
    """End the link, and give the definition after it."""
    translator.body.append(f'</a><span role="tooltip" id="definition-{translator.terms}">')
    for part in node["definition"]:
        write(translator, part)
    translator.body.append("</span></span>")


def write(translator: HTML5Translator, part: nodes.Node) -> None:
    """Write a piece of a definition; a reference in it is plain text, for the whole is a link's."""
    if isinstance(part, addnodes.pending_xref):
        part = nodes.Text(part.astext())
    part.walkabout(translator)
