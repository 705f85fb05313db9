"""`{graded} 6.2`: what the page says of an exercise beyond its statement, from the grader's record.

Points, file and command, the hints one by one, and the reference solution from its own file: none
of it is written on the page, so none of it can disagree with what grades. The records are asked of
the package in a process of their own, and kept, for importing torch takes longer than a page.
"""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["Graded", "bare_links", "records"]

ASK = """
import json
from mlpinit.grading.exercise import all_exercises
keys = ("id", "title", "function", "points", "hints", "teaches", "chapter")
print(json.dumps({e.id: {k: getattr(e, k) for k in keys} for e in all_exercises()}))
"""


@functools.cache
def records(app: Sphinx) -> dict[str, Any]:
    """Return every exercise's record by its number, asked anew when the graders have changed.

    The build calls it once before it reads pages side by side, so that one process writes the file.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(app.srcdir, "mlpinit", "grading").rglob("*.py")):
        digest.update(path.read_bytes())
    kept = Path(app.outdir).parent / f"exercises-{digest.hexdigest()[:16]}.json"
    if not kept.exists():
        for old in kept.parent.glob("exercises-*.json"):
            old.unlink(missing_ok=True)
        asked = subprocess.run([sys.executable, "-c", ASK], capture_output=True, check=True)
        part = kept.with_suffix(".part")
        part.write_bytes(asked.stdout)
        part.replace(kept)
    return json.loads(kept.read_text(encoding="utf-8"))


class Graded(SphinxDirective):
    """Print an exercise's points, file and command, and, folded, its hints and its solution."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write it as the page would, and let the page's parser read it."""
        number = self.arguments[0]
        known = records(self.env.app)
        if number not in known:
            raise self.error(f"there is no exercise {number}; there are {', '.join(known)}")
        lines = self.lines(known[number])
        box = nodes.container(classes=["graded"])
        self.set_source_info(box)
        self.state.nested_parse(StringList(lines, self.env.docname), self.content_offset, box)
        return [box]

    def lines(self, e: dict[str, Any]) -> list[str]:
        """The Markdown of everything but the statement."""
        points = "1 point" if e["points"] == 1 else f"{e['points']} points"
        file = f"book/exercises/{e['chapter']}.py"
        command = f"make check EX={e['id']}"
        lines = [f"{points} · `{e['function']}` in `{file}` · check with `{command}`", ""]
        for i, hint in enumerate(e["hints"], 1):
            lines += [f"````{{admonition}} Hint {i}", ":class: dropdown hint", "", hint, "````", ""]
        if self.config.book_solutions:
            lines += [
                f"````{{solution}} exercise-{e['id'].replace('.', '-')}",
                ":class: dropdown",
                "",
                f"```{{literalinclude}} /book/solutions/{e['chapter']}.py",
                f":pyobject: {e['function']}",
                "```",
                "",
                f"{e['teaches']}",
                "````",
            ]
        return lines


def bare_links(_app: Sphinx, doctree: nodes.document, _name: str) -> None:
    """Take the space before the exercise out of the link to it: what links is underlined."""
    for title in doctree.findall(nodes.title):
        for link in title.findall(nodes.reference):
            text = link.next_node(nodes.Text)
            if text is not None and text.startswith(" "):
                link.replace(text, nodes.Text(text.lstrip()))
                link.parent.insert(link.parent.index(link), nodes.Text(" "))
