"""`{warm-up}`: a question that the page itself answers, without Python and without a network.

Its body is YAML whose texts are the page's Markdown: `ask`, and either `answer` (a number, or the
name of one that the page glues) with `within`, `unit`, `why` and `wrong`, or `choices`. All
explanations stand once, folded under "Show the answer"; `warm-up.js` shows the one that belongs to
what a reader has answered. So they are there without JavaScript, in print and in the notebook too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from myst_nb.core.variables import RetrievalError, format_plain_text
from myst_nb.ext.glue.utils import retrieve_glue_data
from sphinx.util.docutils import SphinxDirective

from book_build import markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

__all__ = ["Choice", "Number", "Question", "WrongNumber", "read", "setup"]

SCRIPT = "warm-up.js"
COUNT = "warm-ups"
KEYS = {
    "a warm-up with a number": ("ask", "answer", "within", "unit", "why", "wrong"),
    "a warm-up with choices": ("ask", "choices"),
    "a choice": ("text", "right", "why"),
    "a wrong number": ("at", "why"),
}
TO_QUOTE = (
    "a text that holds a colon, or starts with {, `, * or a quote, goes below its key, after |"
)


# What an author writes


@dataclass(frozen=True)
class Text:
    """A piece of the page's Markdown, and its line in the box, from 0."""

    words: str
    line: int = 0


@dataclass(frozen=True)
class Number:
    """A number as it is compared and as it is shown."""

    value: float
    shown: str


@dataclass(frozen=True)
class Choice:
    """One of the answers to choose from."""

    text: Text
    why: Text
    right: bool = False


@dataclass(frozen=True)
class WrongNumber:
    """A wrong number that has its own explanation."""

    at: Number
    why: Text


@dataclass(frozen=True)
class Question:
    """A warm-up: with `choices`, or with an `answer` and what goes with it."""

    ask: Text
    choices: tuple[Choice, ...] = ()
    answer: Number | None = None
    within: float = 0.0
    unit: str = ""
    why: Text = Text("")
    wrong: tuple[WrongNumber, ...] = field(default=())


def read(source: str, glued: Callable[[str], str | None]) -> Question:
    """Read a warm-up, or raise a `ValueError` that says what came and what is wanted.

    `glued` gives what the page glues under a name, None where that is nothing.
    """
    try:
        tree = yaml.compose(source, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"this is not YAML: {' '.join(str(error).split())}; {TO_QUOTE}") from error
    given = plain(tree)
    if not isinstance(given, dict):
        raise ValueError("a warm-up has 'ask:', and 'answer:' or 'choices:', each on its own line")
    if ("choices" in given) == ("answer" in given):
        came = "both" if "answer" in given else "neither"
        raise ValueError(f"a warm-up has either 'answer' or 'choices'; this one has {came}")
    if "choices" in given:
        known(given, "a warm-up with choices")
        return Question(text(given, "ask", "the warm-up"), choices=choices(given["choices"]))
    return with_number(given, glued)


def choices(given: Any) -> tuple[Choice, ...]:
    """Read the choices, of which one is right."""
    if not isinstance(given, list) or len(given) < 2:
        raise ValueError("'choices' is a list of two or more, each begun with '- text:'")
    found = []
    for number, one in enumerate(given, 1):
        name = f"choice {number}"
        known(one, "a choice", name)
        right = words(one.get("right", "false"), "right", name)
        if right not in ("true", "false"):
            raise ValueError(f"'right' of {name} is {right!r}; write true, or leave it out")
        found.append(Choice(text(one, "text", name), text(one, "why", name), right == "true"))
    rights = sum(choice.right for choice in found)
    if rights != 1:
        came = "none" if not rights else str(rights)
        raise ValueError(f"one choice is to have 'right: true'; here {came} of {len(found)} has")
    return tuple(found)


def with_number(given: Mapping[str, Any], glued: Callable[[str], str | None]) -> Question:
    """Read a warm-up whose answer is a number."""
    known(given, "a warm-up with a number")
    answer = number(given["answer"], "answer", "the warm-up", glued)
    within = number(given.get("within", "0"), "within", "the warm-up", lambda _: None).value
    if within < 0:
        raise ValueError(f"'within' is {within:g}; it says how far off an answer may be, 0 or more")
    wrong = []
    listed = given.get("wrong", [])
    if not isinstance(listed, list):
        raise ValueError("'wrong' is a list, each begun with '- at:'")
    for count, one in enumerate(listed, 1):
        name = f"wrong number {count}"
        known(one, "a wrong number", name)
        at = number(one.get("at"), "at", name, glued)
        if abs(at.value - answer.value) <= within:
            raise ValueError(f"'at' of {name} is {at.shown}, which is right: within {within:g}")
        if any(at.value == other.at.value for other in wrong):
            raise ValueError(f"'at' of {name} is {at.shown}, as before; list each number once")
        wrong.append(WrongNumber(at, text(one, "why", name)))
    unit = words(given.get("unit", ""), "unit", "the warm-up")
    if not unit and answer.shown.endswith("%"):
        unit = "%"
    return Question(
        text(given, "ask", "the warm-up"),
        answer=answer,
        within=within,
        unit=unit,
        why=text(given, "why", "the warm-up"),
        wrong=tuple(wrong),
    )


def plain(node: yaml.Node | None) -> Any:
    """Turn YAML into dicts, lists and texts: all that is no list is text, `no` and `24` as well."""
    if isinstance(node, yaml.SequenceNode):
        return [plain(part) for part in node.value]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            if key.value in found:
                raise ValueError(f"'{key.value}' stands twice, again in line {line_of(key) + 1}")
            found[key.value] = plain(value)
        return found
    block = node is not None and node.style in ("|", ">")
    return Text(node.value.strip(), line_of(node) + block) if node else Text("")


def line_of(node: yaml.Node) -> int:
    """The line of a node in the box, from 0."""
    return node.start_mark.line


def known(given: Any, kind: str, name: str = "the warm-up") -> None:
    """Refuse keys that this kind of thing does not have."""
    keys = KEYS[kind]
    if not isinstance(given, dict):
        raise ValueError(f"{name} is to have {', '.join(map(repr, keys))}, each on its own line")
    if unknown := [key for key in given if key not in keys]:
        raise ValueError(f"{name} has an unknown key {unknown[0]!r}; {kind} has {', '.join(keys)}")


def text(given: Mapping[str, Any], key: str, name: str) -> Text:
    """Return a text that has to be there."""
    found = given.get(key, Text(""))
    words(found, key, name)
    if not found.words:
        raise ValueError(f"{name} has no '{key}'")
    return found


def words(given: Any, key: str, name: str) -> str:
    """Return a text's words."""
    if isinstance(given, str):
        return given
    if not isinstance(given, Text):
        raise ValueError(f"'{key}' of {name} is to be a text; {TO_QUOTE}")
    return given.words


def number(given: Any, key: str, name: str, glued: Callable[[str], str | None]) -> Number:
    """Read a number, written out or named as one that the page glues."""
    if given is None:
        raise ValueError(f"{name} has no '{key}'")
    said = words(given, key, name)
    value = as_number(said)
    if value is not None:
        return Number(value, minus(said))
    shown = glued(said)
    if shown is None:
        raise ValueError(
            f"'{key}' of {name} is {said!r}: no number, and no cell of this page glues that name"
        )
    value = as_number(shown)
    if value is None:
        raise ValueError(f"'{key}' of {name} is {said!r}, which is glued as {shown!r}: no number")
    return Number(value, minus(shown))


def as_number(said: str) -> float | None:
    """Read a number as Python formats one: 1,024 or 12.5% or −3."""
    plainly = said.strip().removesuffix("%").replace(",", "").replace("−", "-")
    try:
        value = float(plainly)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def minus(said: str) -> str:
    """Write a number's sign as text has it."""
    return said.strip().replace("-", "−")


# What a page keeps of it


class WarmUp(nodes.General, nodes.Element):
    """The whole: the question, the choices if there are any, the explanations."""


class Ask(nodes.General, nodes.Element):
    """The question."""


class Option(nodes.General, nodes.Element):
    """A choice."""


class Answers(nodes.General, nodes.Element):
    """All explanations, the right one first."""


class Explained(nodes.General, nodes.Element):
    """One answer, `said` in its first child, and why it is right or wrong in the others."""


class Said(nodes.General, nodes.TextElement):
    """The answer that is explained, in a line."""


class Directive(SphinxDirective):
    """Put a warm-up on the page."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Read the box, and have the page's parser read its texts."""
        try:
            asked = read("\n".join(self.content), self.glued)
        except ValueError as error:
            raise self.error(f"warm-up: {error}") from error
        self.env.temp_data[COUNT] = count = self.env.temp_data.get(COUNT, 0) + 1
        box = WarmUp(number=count, classes=["warm-up"])
        self.set_source_info(box)
        if asked.answer is not None:
            given = (asked.answer, *(wrong.at for wrong in asked.wrong))
            box["within"], box["unit"], box["typed"] = asked.within, asked.unit, keyboard(given)
        box += Ask("", *self.parsed(asked.ask))
        options = [self.parsed(choice.text) for choice in asked.choices]
        box += [Option("", *in_line(parts), value=k) for k, parts in enumerate(options)]
        box += Answers("", *self.explanations(asked, options))
        return [box]

    def explanations(self, asked: Question, options: list[list[nodes.Node]]) -> list[Explained]:
        """Return what is said of each answer."""
        if asked.answer is None:
            found = [
                self.explained(
                    k, [n.deepcopy() for n in in_line(options[k])], choice.right, choice.why
                )
                for k, choice in enumerate(asked.choices)
            ]
            return sorted(found, key=lambda one: not one["right"])
        right = with_unit(asked.answer.shown, asked.unit)
        found = [self.explained(asked.answer.value, [nodes.Text(right)], True, asked.why)]
        for one in asked.wrong:
            shown = [nodes.Text(with_unit(one.at.shown, asked.unit))]
            found.append(self.explained(one.at.value, shown, False, one.why))
        return found

    def explained(self, value: float, said: list[nodes.Node], right: bool, why: Text) -> Explained:
        """Return one answer with its explanation."""
        parts = [Said("", "", *said), *self.parsed(why)]
        return Explained("", *parts, value=value, right=right)

    def parsed(self, given: Text) -> list[nodes.Node]:
        """Have the page's parser read a text."""
        found = nodes.Element()
        lines = StringList(given.words.splitlines(), self.env.docname)
        self.state.nested_parse(lines, self.content_offset + given.line, found)
        return found.children

    def glued(self, name: str) -> str | None:
        """Return what a cell of this page has glued under a name."""
        try:
            found = retrieve_glue_data(self.state.document, name)
        except RetrievalError:
            return None
        return format_plain_text(found.data.get("text/plain", ""), "s")


def keyboard(given: tuple[Number, ...]) -> str:
    """Say which keys a telephone is to show: those with digits alone have no minus sign."""
    plainly = all(one.value == 0 or one.value >= 1e-4 for one in given)
    return "decimal" if plainly else "text"


def in_line(parts: list[nodes.Node]) -> list[nodes.Node]:
    """Take a text of one paragraph out of it, for a line of its own."""
    one = len(parts) == 1 and isinstance(parts[0], nodes.paragraph)
    return [part.deepcopy() for part in (parts[0].children if one else parts)]


def with_unit(shown: str, unit: str) -> str:
    """Write a number with its unit; a percent sign stands close to it, and once."""
    if unit == "%":
        return shown.removesuffix("%") + "%"
    return f"{shown} {unit}".strip()


def setup(app: Sphinx) -> None:
    """Connect the parts."""
    app.add_directive("warm-up", Directive)
    app.add_node(WarmUp, html=(open_box, close_box))
    app.add_node(Ask, html=(open_ask, close_div))
    app.add_node(Option, html=(open_option, close_option))
    app.add_node(Answers, html=(open_answers, close_answers))
    app.add_node(Explained, html=(open_explained, close_div))
    app.add_node(Said, html=(open_said, close_said))
    app.connect("html-page-context", load)


def load(
    app: Sphinx,
    _page: str,
    _template: str,
    context: dict[str, Any],
    _doctree: nodes.document | None,
) -> None:
    """Have a page with a warm-up load its script, and no other page."""
    if '<form class="warm-up"' in context.get("body", ""):
        app.add_js_file(SCRIPT, loading_method="defer")


# Pages


def name_of(node: nodes.Element) -> str:
    """Begin the names of all that belongs to a warm-up."""
    while not isinstance(node, WarmUp):
        node = node.parent
    return f"warm-up-{node['number']}"


def open_box(translator: HTML5Translator, node: WarmUp) -> None:
    """Begin the form, which goes nowhere, with or without JavaScript."""
    name = name_of(node)
    data = {}
    if "within" in node:
        data = {"data-within": repr(node["within"]), "data-unit": node["unit"]}
    translator.body += [
        translator.starttag(node, "form", method="dialog", ids=[name], **data),
        f'<fieldset aria-describedby="{name}-ask"><legend>Warm-up {node["number"]}</legend>\n',
    ]


def close_box(translator: HTML5Translator, _node: WarmUp) -> None:
    """End the form."""
    translator.body.append("</fieldset></form>\n")


def open_ask(translator: HTML5Translator, node: Ask) -> None:
    """Begin the question."""
    translator.body.append(f'<div class="ask" id="{name_of(node)}-ask">')


def close_div(translator: HTML5Translator, _node: nodes.Element) -> None:
    """End a box."""
    translator.body.append("</div>\n")


def open_option(translator: HTML5Translator, node: Option) -> None:
    """Write a button to choose with, and begin what it says."""
    name = name_of(node)
    one = f"{name}-{node['value']}"
    translator.body.append(
        f'<div class="choice"><input type="radio" name="{name}" id="{one}" '
        f'value="{node["value"]}"><label for="{one}">'
    )


def close_option(translator: HTML5Translator, _node: Option) -> None:
    """End a choice."""
    translator.body.append("</label></div>\n")


def open_answers(translator: HTML5Translator, node: Answers) -> None:
    """Write the field, the button and the place for what is said, and begin the folded answer."""
    name, box = name_of(node), node.parent
    if "within" in box:
        unit = translator.encode(box["unit"])
        translator.body.append(
            f'<div class="field"><label for="{name}-field">Your answer</label> '
            f'<input type="text" id="{name}-field" inputmode="{box["typed"]}" autocomplete="off" '
            f'aria-describedby="{name}-unit"> <span id="{name}-unit">{unit}</span></div>\n'
        )
    # Only the script, which the button needs, brings it to light.
    translator.body.append(
        '<button type="submit" hidden>Check</button>\n'
        '<div class="feedback" role="status" aria-live="polite"></div>\n'
        '<details class="answers"><summary>Show the answer</summary>\n'
    )


def close_answers(translator: HTML5Translator, _node: Answers) -> None:
    """End the folded answer."""
    translator.body.append("</details>\n")


def open_explained(translator: HTML5Translator, node: Explained) -> None:
    """Begin an answer and why."""
    kind = "right" if node["right"] else "wrong"
    translator.body.append(f'<div class="{kind}" data-value="{node["value"]!r}">')


def open_said(translator: HTML5Translator, node: Said) -> None:
    """Begin the line that names the answer."""
    translator.body.append(f'<p class="said"><strong>{verdict(node.parent)}:</strong> ')


def close_said(translator: HTML5Translator, _node: Said) -> None:
    """End that line."""
    translator.body.append("</p>\n")


def verdict(node: Explained) -> str:
    """Tell in a word what becomes of an answer."""
    return "Right" if node["right"] else "Wrong"


# Notebooks


@markdown.block.register
def _(node: WarmUp, page: markdown.Page) -> str:
    asked, *options, answers = node.children
    parts = [markdown.blocks(asked.children, page.inside())]
    parts.append(markdown.listed([f"- {markdown.line(one, page)}" for one in options]))
    if node.get("unit"):
        parts.append(f"(Your answer in {node['unit']}.)")
    box = markdown.quoted(f"Warm-up {node['number']}", markdown.join(parts))
    said = [markdown.block(one, page) for one in answers]
    return markdown.join([box, markdown.folded("Show the answer", markdown.join(said))])


@markdown.block.register
def _(node: Explained, page: markdown.Page) -> str:
    said, *why = node.children
    begin = f"**{verdict(node)}:** {markdown.line(said, page)}"
    return markdown.join([begin, markdown.blocks(why, page)])
