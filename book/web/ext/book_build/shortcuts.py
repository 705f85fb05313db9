"""What is done over again at every build and need not be.

Each shortcut stands in for a function of a package that it names. A version that has it no longer
is left as it is: the build takes longer then, and is the same.
"""

from __future__ import annotations

import functools
import gc
import importlib.metadata
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.builders import Builder
    from sphinx.environment import BuildEnvironment

__all__ = ["connect", "hide_from_search", "take"]

FEW = 5  # pages that Sphinx reads one by one, too


def take() -> None:
    """Spare this process what a build does not need; harmless when called again."""
    # A build is one short process: its garbage need not be collected.
    gc.disable()
    # An optional check of jsonschema's, that nothing here asks for; loading it takes over a second.
    sys.modules.setdefault("rfc3987_syntax", None)
    read_entry_points_once()


def hide_from_search() -> None:
    """Hide what is loaded so far from sphinx-external-toc, which searches everything in memory."""
    gc.freeze()


def read_entry_points_once() -> None:
    """Keep the list of installed packages' entry points, which pybtex asks for by the dozen."""
    if hasattr(importlib.metadata.entry_points, "cache_info"):
        return
    every = functools.cache(importlib.metadata.entry_points)

    @functools.cache
    def entry_points(**wanted: str) -> importlib.metadata.EntryPoints:
        return every().select(**wanted)

    importlib.metadata.entry_points = entry_points


def connect(app: Sphinx) -> None:
    """Take the shortcuts through Sphinx, once the extensions that they go through are loaded."""
    from sphinx.builders import Builder  # noqa: PLC0415
    from sphinx.environment.collectors.toctree import TocTreeCollector  # noqa: PLC0415
    from sphinxcontrib.bibtex.domain import BibtexDomain  # noqa: PLC0415

    stand_in(Builder, "_write_parallel", write_few_in_turn)
    stand_in(BibtexDomain, "env_updated", format_new_entries)
    stand_in(TocTreeCollector, "assign_figure_numbers", number_when_changed)
    # After all else that makes a page.
    app.connect("doctree-read", note_numbered, priority=900)
    app.connect("builder-inited", keep_templates)


def stand_in(owner: type, name: str, shortcut: Callable[..., Any]) -> None:
    """Put `shortcut`, which is given the function as its first argument, in a method's place."""
    method = getattr(owner, name, None)
    if method is not None and not hasattr(method, "shortcut"):

        @functools.wraps(method)
        def replacement(*given: Any, **named: Any) -> Any:
            return shortcut(method, *given, **named)

        replacement.shortcut = shortcut
        setattr(owner, name, replacement)


def write_few_in_turn(
    write: Callable[..., None], builder: Builder, docnames: Sequence[str], nproc: int
) -> None:
    """Write a few pages in this process: starting another, and waiting for it, takes longer."""
    if len(docnames) <= FEW:
        builder._write_serial(docnames)
    else:
        write(builder, docnames, nproc)


def format_new_entries(update: Callable[..., Any], domain: Any) -> Any:
    """Format the entries of the bibliography that are new, or are cited anew; keep the others.

    sphinxcontrib-bibtex formats all, twice, at each build.
    """
    from pybtex.style.formatting import BaseStyle  # noqa: PLC0415 (loaded by it)

    known = {(c.formatted_entry.label, c.entry.key): c for c in domain.citations}
    made = {}
    format_entry = BaseStyle.format_entry

    def remembered(style: BaseStyle, label: str, entry: Any, *more: Any) -> Any:
        citation = known.get((label, entry.key))
        if citation is not None and citation.entry == entry:
            return citation.formatted_entry
        key = (label, entry.key)
        if key not in made:
            made[key] = format_entry(style, label, entry, *more)
        return made[key]

    styles = {bibliography.style for bibliography in domain.bibliographies.values()}
    if len(styles) > 1 or domain.env.config.bibtex_tooltips_style:
        return update(domain)
    BaseStyle.format_entry = remembered
    try:
        return update(domain)
    finally:
        BaseStyle.format_entry = format_entry


def note_numbered(app: Sphinx, doctree: nodes.document) -> None:
    """Note of a page just read what figures' numbers depend on: what is numbered, and where."""
    app.env.metadata[app.env.docname]["numbered"] = list(numbered(app.env, doctree))


def numbered(env: BuildEnvironment, doctree: nodes.document) -> list[tuple[str, str]]:
    """The kind and the name of each section, of each list of pages, and of what has a number."""
    from docutils import nodes  # noqa: PLC0415
    from sphinx import addnodes  # noqa: PLC0415

    found = []
    for node in doctree.findall(nodes.Element):
        if isinstance(node, addnodes.toctree):
            found.append(("toctree", repr(node["entries"])))
        elif node.get("ids"):
            kinds = {domain.get_enumerable_node_type(node) for domain in env.domains.values()}
            captioned = env.domains["std"].get_numfig_title(node) is not None
            if isinstance(node, nodes.section) or kinds != {None}:
                found.append((f"{type(node).__name__} {captioned}", node["ids"][0]))
    return found


def number_when_changed(
    assign: Callable[..., list[str]], collector: Any, env: BuildEnvironment
) -> list[str]:
    """Number the figures again when something numbered has come, gone or moved.

    Sphinx loads every page of the book for it, and looks at every word.
    """
    depends = [
        {name: dict(numbers) for name, numbers in env.toc_secnumbers.items()},
        {name: env.metadata[name].get("numbered") for name in env.tocs},
    ]
    known, numbers = getattr(env, "book_numbers", (None, None))
    if known == depends:
        env.toc_fignumbers = {name: dict(kinds) for name, kinds in numbers.items()}
        return []
    changed = assign(collector, env)
    env.book_numbers = (depends, {name: dict(kinds) for name, kinds in env.toc_fignumbers.items()})
    return changed


def keep_templates(app: Sphinx) -> None:
    """Keep the theme's templates as compiled, as Python keeps modules."""
    import jinja2  # noqa: PLC0415

    templates = getattr(app.builder, "templates", None)
    if templates is None:
        return
    folder = Path(app.outdir).parent / f"templates-{jinja2.__version__}"
    folder.mkdir(exist_ok=True)
    templates.environment.bytecode_cache = jinja2.FileSystemBytecodeCache(str(folder))
