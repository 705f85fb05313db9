"""A page's resolved doctree as plain Markdown: what any notebook viewer shows without MyST.

The doctree rather than the source, for in it every glued value, number, citation and included file
already stands as the page prints it, whichever role or directive it came from.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from docutils import nodes
from sphinx import addnodes
from sphinx_exercise.nodes import exercise_enumerable_node, exercise_node, solution_node

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Page", "block", "blocks", "caption", "heading"]

# What would be read as markup: code, emphasis, tags, mathematics; a bracket only where it would end
# a link, for some viewers take \[1951\] for mathematics; an underscore only where a word begins or
# ends, for block_size is safe; marks of blocks only where a line begins.
MARKUP = re.compile(r"[\\`*<$~]|\](?=[(\[:])|(?<!\w)_|_(?!\w)")
BLOCK_MARK = re.compile(r"^(?:[#>+-]|\d+[.)])(?=\s|$)")

Numbers = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Page:
    """What the text of a page needs besides itself."""

    address: str | None = None  # of the published page; None leaves links within the book out
    sections: Numbers = field(default_factory=dict)
    equations: Numbers = field(default_factory=dict)
    exercises: Numbers = field(default_factory=dict)
    figures: Numbers = field(default_factory=dict)
    level: int = 1
    flat: bool = False  # within a quotation or list, where mathematics has to stay on one line

    def deeper(self) -> Page:
        """One level of headings further in."""
        return replace(self, level=self.level + 1)

    def inside(self) -> Page:
        """Within a box or a list."""
        return replace(self, flat=True)


def dotted(number: tuple[int, ...]) -> str:
    """Write (1, 2) as 1.2."""
    return ".".join(map(str, number))


# Words within a line


@singledispatch
def inline(node: nodes.Node, page: Page) -> str:
    """Write what stands within a line; of what has no form of its own, its content."""
    return spans(node, page)


def spans(node: nodes.Node, page: Page) -> str:
    """Write the children of `node` one after another."""
    return "".join(inline(child, page) for child in node.children)


def line(node: nodes.Node, page: Page) -> str:
    """Write the content of `node` as one line."""
    return " ".join(spans(node, page).split())


@inline.register
def _(node: nodes.Text, page: Page) -> str:
    return MARKUP.sub(lambda mark: "\\" + mark[0], node.astext())


@inline.register
def _(node: nodes.emphasis, page: Page) -> str:
    return f"*{line(node, page)}*"


@inline.register
def _(node: nodes.strong, page: Page) -> str:
    return f"**{line(node, page)}**"


@inline.register
def _(node: nodes.literal, page: Page) -> str:
    text = node.astext()
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{space}{text}{space}{ticks}"


@inline.register
def _(node: nodes.math, page: Page) -> str:
    return f"${' '.join(node.astext().split())}$"


@inline.register
def _(node: nodes.reference, page: Page) -> str:
    words, url = spans(node, page), address(node, page)
    if url and words.strip():
        return f"[{words}]({url})"
    return f"*{words}*" if names_a_page(node) else words


def names_a_page(node: nodes.reference) -> bool:
    """Tell whether the words of a reference are a title, as against a number or a name."""
    return any({"std-ref", "doc"} & set(child["classes"]) for child in node.findall(nodes.inline))


def address(node: nodes.Element, page: Page) -> str | None:
    """Return the whole address that a reference leads to, or None if that is not known."""
    target = node.get("refuri") or f"#{node.get('refid', '')}"
    if urlsplit(target).scheme:
        return target
    return urljoin(page.address, target) if page.address else None


@inline.register
def _(node: nodes.image, page: Page) -> str:
    return f"*{MARKUP.sub('', node.get('alt', ''))}*"


@inline.register(nodes.raw)
@inline.register(nodes.Invisible)
@inline.register(addnodes.index)
def _(node: nodes.Node, page: Page) -> str:
    return ""


# Blocks


@singledispatch
def block(node: nodes.Node, page: Page) -> str:
    """Write a block; of what has no form of its own, its content."""
    if isinstance(node, nodes.TextElement):
        return paragraph(line(node, page))
    return blocks(node.children, page)


def blocks(parts: list[nodes.Node], page: Page) -> str:
    """Write blocks one under another."""
    return join(block(part, page) for part in parts)


def join(texts: Iterable[str]) -> str:
    """Set blocks apart by an empty line, the empty ones left out."""
    return "\n\n".join(text for text in texts if text)


def paragraph(text: str) -> str:
    """Keep a line of words from being taken for a heading, a list or a quotation."""
    return BLOCK_MARK.sub(lambda mark: f"{mark[0][:-1]}\\{mark[0][-1]}", text)


def indented(text: str, mark: str) -> str:
    """Put `mark` before the first line, and as much space before the others."""
    return mark + textwrap.indent(text, " " * len(mark)).lstrip(" ")


def quoted(title: str, text: str) -> str:
    """Write a box: a quotation under a bold title."""
    text = join([f"**{title}**", text])
    return "\n".join(f"> {row}".rstrip() for row in text.splitlines())


def folded(title: str, text: str) -> str:
    """Write a box that opens on a click, in HTML that notebook viewers allow."""
    return f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>"


@block.register(nodes.raw)
@block.register(nodes.Invisible)
@block.register(addnodes.index)
@block.register(addnodes.toctree)
def _(node: nodes.Node, page: Page) -> str:
    return ""


@block.register
def _(node: nodes.section, page: Page) -> str:
    if not isinstance(node.parent, nodes.section | nodes.document):  # the inside of an exercise
        return blocks(node.children, page)
    return join([heading(node, page), blocks(node.children[1:], page.deeper())])


def heading(section: nodes.section, page: Page) -> str:
    """Write a section's title, with the number that the page prints."""
    title = section.next_node(nodes.title)
    number = page.sections.get(f"#{section['ids'][0]}")
    if number is None and page.level == 1:
        number = page.sections.get("")
    prefix = f"{dotted(number)}. " if number else ""
    return f"{'#' * page.level} {prefix}{line(title, page)}"


@block.register
def _(node: nodes.transition, page: Page) -> str:
    return "---"


@block.register
def _(node: nodes.bullet_list, page: Page) -> str:
    return listed([indented(blocks(item.children, page.inside()), "- ") for item in node])


@block.register
def _(node: nodes.enumerated_list, page: Page) -> str:
    first = node.get("start", 1)
    return listed(
        [
            indented(blocks(item.children, page.inside()), f"{number}. ")
            for number, item in enumerate(node.children, first)
        ]
    )


@block.register
def _(node: nodes.definition_list, page: Page) -> str:
    items = []
    for item in node.findall(nodes.definition_list_item):
        terms = ", ".join(line(t, page) for t in item.children if isinstance(t, nodes.term))
        meant = blocks([d for d in item if isinstance(d, nodes.definition)], page.inside())
        items.append(indented(f"**{terms}**: {meant}", "- "))
    return listed(items)


def listed(items: list[str]) -> str:
    """Write items close together, unless one of them has more than one block."""
    return ("\n\n" if any("\n\n" in item for item in items) else "\n").join(items)


@block.register
def _(node: nodes.block_quote, page: Page) -> str:
    text = blocks(node.children, page.inside())
    return "\n".join(f"> {row}".rstrip() for row in text.splitlines())


@block.register(nodes.Admonition)
@block.register(nodes.sidebar)
@block.register(nodes.topic)
def _(node: nodes.Element, page: Page) -> str:
    titles = [child for child in node.children if isinstance(child, nodes.title)]
    title = line(titles[0], page) if titles else type(node).__name__.capitalize()
    rest = [child for child in node.children if child not in titles]
    if "dropdown" in node.get("classes", ()):
        return folded(title, blocks(rest, page))
    return quoted(title, blocks(rest, page.inside()))


@block.register(exercise_node)
@block.register(exercise_enumerable_node)
def _(node: nodes.Element, page: Page) -> str:
    number = page.exercises.get(node["ids"][0], ())
    title = f"Exercise {dotted(number)}".strip() + f" {line(node[0], page)}"
    return quoted(title.strip(), blocks(node.children[1:], page.inside()))


@block.register
def _(node: solution_node, page: Page) -> str:
    return folded(" ".join(node[0].astext().split()), blocks(node.children[1:], page))


@block.register
def _(node: nodes.literal_block, page: Page) -> str:
    text = node.astext().rstrip("\n")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    language = {"ipython3": "python", "default": "python", "none": "text"}.get(
        node.get("language", ""), node.get("language", "")
    )
    return f"{fence}{language}\n{text}\n{fence}"


@block.register
def _(node: nodes.math_block, page: Page) -> str:
    text = node.astext().strip()
    number = page.equations.get(f"equation-{node.get('label')}")
    if number:
        text += f" \\tag{{{dotted(number)}}}"
    return f"$$ {' '.join(text.split())} $$" if page.flat else f"$$\n{text}\n$$"


@block.register
def _(node: nodes.figure, page: Page) -> str:
    return join(
        [inline(child, page) for child in node.findall(nodes.image)] + [caption(node, page)]
    )


def caption(figure: nodes.Element, page: Page) -> str:
    """Write a figure's caption under its number."""
    found = figure.next_node(nodes.caption)
    if found is None:
        return ""
    number = next((page.figures[i] for i in figure["ids"] if i in page.figures), None)
    return (f"**Fig. {dotted(number)}** " if number else "") + line(found, page)


@block.register
def _(node: nodes.image, page: Page) -> str:
    return inline(node, page)


@block.register
def _(node: nodes.table, page: Page) -> str:
    rows = [[cell(entry, page) for entry in row.children] for row in node.findall(nodes.row)]
    first = node.next_node(nodes.row)
    rule = [{"right": "---:", "center": ":---:"}.get(side(entry), "---") for entry in first]
    title = [f"**{line(t, page)}**" for t in node.children if isinstance(t, nodes.title)]
    rows.insert(1, rule)
    return join([*title, "\n".join(f"| {' | '.join(row)} |" for row in rows)])


def side(entry: nodes.entry) -> str:
    """Tell to which side MyST sets the column of `entry`."""
    return next((c.removeprefix("text-") for c in entry["classes"] if c.startswith("text-")), "")


def cell(entry: nodes.entry, page: Page) -> str:
    """Write one cell of a table, in which a bar, even in mathematics, would end the cell."""
    entry = entry.deepcopy()
    for formula in list(entry.findall(nodes.math)):
        text = formula.astext().replace(r"\|", r"\Vert ").replace("|", r"\vert ")
        formula.replace_self(nodes.math(text, text))
    return " ".join(line(part, page) for part in entry).replace("|", r"\|")
