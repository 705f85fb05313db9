"""Labs in the pages: a custom element around a static figure, and its two files where it stands.

```{lab} init
:id: init-lab
:label: The init lab
:scale: 0.2

A figure, for readers without JavaScript, and for print.
```
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from mlpinit import lab

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

__all__ = ["Lab", "LabNode", "files_where_used", "leave", "visit", "write_files"]


class LabNode(nodes.General, nodes.Element):
    """A lab around what stands in its place where there is no JavaScript."""


class Settings(dict):
    """Any option: where the lab starts. The lab itself knows which there are."""

    def __getitem__(self, name: str) -> Any:
        """Take an option as it is written."""
        return directives.unchanged_required

    def __contains__(self, name: object) -> bool:
        """Every name may be an option."""
        return True

    def __bool__(self) -> bool:
        """There are options."""
        return True


class Lab(SphinxDirective):
    """Set a lab: its kind as the argument, its label and first settings as options."""

    required_arguments = 1
    has_content = True
    option_spec = Settings()

    def run(self) -> list[nodes.Node]:
        """Read the figure inside."""
        kind = self.arguments[0]
        if kind not in lab.KINDS:
            raise self.error(f"there is no lab '{kind}'; there are {', '.join(lab.KINDS)}")
        if not self.content:
            raise self.error("a lab holds a figure, for readers without JavaScript")
        settings = {name.lower(): value for name, value in self.options.items()}
        try:
            made = lab.KINDS[kind](**settings)
        except (TypeError, ValueError) as error:
            raise self.error(f"lab '{kind}': {error}") from None
        node = LabNode(tag=made.tag, settings={**made.settings, "label": made.label})
        node["ids"].append(settings["id"])
        self.state.nested_parse(self.content, self.content_offset, node)
        return [node]


def visit(writer: HTML5Translator, node: LabNode) -> None:
    """Open the element."""
    given = {"id": node["ids"][0], **node["settings"]}
    attributes = " ".join(f'{name}="{html.escape(str(value))}"' for name, value in given.items())
    writer.body.append(f"<{node['tag']} {attributes}>\n")


def leave(writer: HTML5Translator, node: LabNode) -> None:
    """Close the element."""
    writer.body.append(f"</{node['tag']}>\n")


def files_where_used(
    app: Sphinx, pagename: str, template: str, context: dict, doctree: nodes.document | None
) -> None:
    """Load the two files on a page with a lab, and on no other."""
    if app.builder.name == "html" and doctree is not None and next(doctree.findall(LabNode), None):
        app.add_js_file("lab.js", loading_method="defer")
        app.add_css_file("lab.css")


def write_files(app: Sphinx) -> None:
    """Put the two files among the static ones."""
    if app.builder.name != "html":
        return
    static = Path(app.outdir, "_static")
    static.mkdir(parents=True, exist_ok=True)
    static.joinpath("lab.js").write_text(lab.script(), encoding="utf-8")
    static.joinpath("lab.css").write_text(lab.style(), encoding="utf-8")
