"""The page on the package's API: autodoc, and what our docstrings need before it reads them.

They are written as Markdown is, autodoc reads reStructuredText. It imports the package, and so
torch, when that page is read and not before.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
import typing
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docstrings import prepare_docstring

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sphinx.application import Sphinx
    from sphinx.config import Config

__all__ = ["as_rst", "complete", "set_up", "show"]

CODE = re.compile(r"`([^`]+)`")
EMPHASIS = re.compile(r"(?<![\w*])(\*\w[^*\n]*\*)(?![\w*])")
SPECIAL = re.compile(r"[\\*|]|(?<=\w)_(?!\w)")
LONGEST_VALUE = 80
PARTS = "mlpinit.models"


def set_up(app: Sphinx) -> None:
    """Load autodoc, and connect what follows to it."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("config-inited", configure)
    app.connect("autodoc-skip-member", show)
    app.connect("autodoc-process-signature", readable)
    app.connect("autodoc-process-docstring", complete)


def configure(_app: Sphinx, config: Config) -> None:
    """Members in the order of the file; types from outside the package are not links."""
    config.autodoc_default_options = {"members": True, "no-value": True}
    config.autodoc_member_order = "bysource"
    config.autodoc_preserve_defaults = True
    config.add_module_names = False
    config.html_domain_indices = False  # a list of modules: the page is that
    config.nitpick_ignore_regex = [*config.nitpick_ignore_regex, (r"py:.*", r"(?!mlpinit\.).*")]


def show(app: Sphinx, what: str, name: str, member: Any, _skip: bool, _options: Any) -> bool | None:
    """Show every public name of a module, with words of its own or not, where it is defined.

    None leaves it to autodoc, which asks a class's members for a docstring; of a named tuple's
    fields, which stand in its signature, Python makes one up.
    """
    if str(member.__doc__).startswith("Alias for field number"):
        return True
    if what != "module" or name.startswith("_"):
        return None
    return is_from_elsewhere(member, app.env.temp_data["autodoc:module"])


def is_from_elsewhere(member: Any, module: str) -> bool:
    """Tell whether a class or function is defined neither in the module nor in a part of it.

    What works on any model is made of the parts in `PARTS`, and described where it is public.
    """
    if not (inspect.isclass(member) or inspect.isfunction(member)):
        return False
    home = member.__module__
    parts = (f"{module}.",) if module.startswith(PARTS) else (f"{module}.", f"{PARTS}.")
    return home != module and not home.startswith(parts)


def readable(
    _app: Sphinx, _what: str, _name: str, _member: Any, _options: Any, args: str | None, result: Any
) -> tuple[str | None, Any]:
    """Write `...` for a default that is made anew each time: what stands there is no expression."""
    return (None if args is None else args.replace("<factory>", "...")), result


def complete(
    _app: Sphinx, what: str, name: str, member: Any, _options: Any, lines: list[str]
) -> None:
    """Turn a docstring into reStructuredText; add a constant's value, a module's other names."""
    if what == "data":
        if lines == prepare_docstring(type(member).__doc__ or ""):  # autodoc's stopgap
            lines.clear()
        typed = value(member)
        added = [f"Value: ``{typed}``"] if typed else []
    else:
        added = [*handed_on(name), *constants(name)] if what == "module" else []
    lines[:] = [*as_rst(lines), "", *added, ""]


def value(constant: Any) -> str | None:
    """A constant as it would be typed, if that is plain and short: a number, text, or a type."""
    if typing.get_origin(constant) is not None:
        return re.sub(r"\b[a-z]\w*\.", "", repr(constant))
    entries = constant if isinstance(constant, tuple) else (constant,)
    plain = all(isinstance(entry, str | int | float) for entry in entries)
    return repr(constant) if plain and len(repr(constant)) <= LONGEST_VALUE else None


def constants(module: str) -> list[str]:
    """The public constants that have no words of their own, which autodoc would leave out."""
    known = {name for _, name in ModuleAnalyzer.for_module(module).find_attr_docs()}
    lines = []
    for name, member in public(module):
        if name in known or (callable(member) and typing.get_origin(member) is None):
            continue
        typed = value(member)
        lines += [f".. py:data:: {name}", *([f"   :value: {typed}"] if typed else []), ""]
    return lines


def public(module: str) -> list[tuple[str, Any]]:
    """The names that the module says are public, with what they stand for."""
    members = vars(sys.modules[module])
    return [(name, members[name]) for name in members.get("__all__", ())]


def handed_on(module: str) -> list[str]:
    """Where the names are described that a module's `__all__` has from other modules."""
    found = [
        (member.__module__, f":py:obj:`~{member.__module__}.{member.__name__}`")
        for _, member in public(module)
        if is_from_elsewhere(member, module)
    ]
    by_home = groupby(sorted(found), key=lambda pair: pair[0])
    return [
        line
        for home, links in by_home
        for line in (f"Also here: {', '.join(link for _, link in links)}, from ``{home}``.", "")
    ]


def as_rst(lines: Sequence[str]) -> list[str]:
    """Rewrite a docstring's Markdown: `code`, *emphasis*, lists, doctests and indented blocks.

    >>> as_rst(["The part of |h| above `cut`; the bias is b_."])
    ['The part of \\\\|h\\\\| above ``cut``; the bias is b\\\\_.']
    """
    return [line for paragraph in paragraphs(lines) for line in (*converted(paragraph), "")]


def paragraphs(lines: Sequence[str]) -> Iterator[list[str]]:
    """The runs of lines between empty ones; indented runs that follow each other are one."""
    last: list[str] = []
    for has_text, group in groupby(lines, key=lambda line: bool(line.strip())):
        if not has_text:
            continue
        run = list(group)
        if is_block(run) and is_block(last):
            last += ["", *run]
            continue
        if last:
            yield last
        last = run
    if last:
        yield last


def is_block(run: Sequence[str]) -> bool:
    """Tell whether lines are set off by their indentation: code, or a formula."""
    return bool(run) and run[0].startswith("    ")


def converted(paragraph: list[str]) -> list[str]:
    """One paragraph: a doctest as it is, an indented block as a literal one, the rest as text."""
    if paragraph[0].lstrip().startswith(">>>"):
        return paragraph
    if is_block(paragraph):
        code = textwrap.dedent("\n".join(paragraph))
        return [f".. code-block:: {language(code)}", "", *textwrap.indent(code, "   ").split("\n")]
    return text("\n".join(paragraph)).split("\n")


def language(block: str) -> str:
    """What an indented block is to be coloured as: Python where it is that, and not a formula."""
    try:
        ast.parse(block)
    except SyntaxError:
        return "text"
    return "python"


def text(paragraph: str) -> str:
    """A paragraph's `code` as literals, and every other mark of reStructuredText as itself."""
    pieces = CODE.split(paragraph)
    pieces[::2] = map(escaped, pieces[::2])
    pieces[1::2] = (f"\\ ``{' '.join(code.split())}``\\ " for code in pieces[1::2])
    return "".join(pieces)


def escaped(prose: str) -> str:
    """Escape every mark in a piece of prose but *emphasis*."""
    pieces = EMPHASIS.split(prose)
    pieces[::2] = (SPECIAL.sub(lambda m: f"\\{m[0]}", piece) for piece in pieces[::2])
    return "".join(pieces)
