"""Code that a page displays fits into a telephone turned sideways: at most 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from built_pages import CHAPTERS
from markdown_it import MarkdownIt
from small_project import ROOT

COLUMNS = 80
HIDDEN = {"remove-cell", "remove-input", "hide-cell", "hide-input"}
OPTIONS = ("---", ":")  # what the head of a cell begins with


def displayed(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number, from 1, and the text of each line of code that a page shows.

    Such are cells whose input is neither left out nor folded, and fenced code that is no directive,
    wherever it stands; a directive's own fences are looked into.
    """
    for token in MarkdownIt().parse(text):
        if token.type != "fence":
            continue
        lines = token.content.splitlines()
        begin = token.map[0] + 2
        if token.info.startswith("{code-cell}"):
            head = options(lines)
            if not HIDDEN & set(tags("\n".join(lines[:head]))):
                yield from enumerate(lines[head:], begin + head)
        elif token.info.startswith("{"):
            inside = displayed(token.content)
            yield from ((begin - 1 + number, line) for number, line in inside)
        else:
            yield from enumerate(lines, begin)


def options(lines: list[str]) -> int:
    """Count the lines of a cell's options, between dashes or one `:key:` each."""
    if lines[:1] == ["---"]:
        return lines.index("---", 1) + 1
    return next((k for k, line in enumerate(lines) if not line.startswith(":")), len(lines))


def tags(head: str) -> list[str]:
    """Read the tags from a cell's options, in either of their forms."""
    import yaml

    given = (
        head.strip("-\n") if head.startswith("---") else head.removeprefix(":").replace("\n:", "\n")
    )
    return (yaml.safe_load(given) or {}).get("tags", []) if given.strip() else []


@pytest.mark.parametrize("document", CHAPTERS)
def test_displayed_code_has_at_most_80_columns(document: str) -> None:
    path = ROOT / f"{document}.md"
    wide = [
        f"{path.relative_to(ROOT)}:{number}: {len(line)} columns: {line.strip()[:50]} …"
        for number, line in displayed(path.read_text(encoding="utf-8"))
        if len(line) > COLUMNS
    ]
    if wide:
        pytest.fail(
            f"{len(wide)} lines of displayed code are wide\n" + "\n".join(wide), pytrace=False
        )


def test_lines_are_those_of_the_page() -> None:
    page = "\n".join(
        [
            *("# A page", "", "```{code-cell} ipython3", ":tags: [hide-input]", "drawn", "```", ""),
            *("```{code-cell} ipython3", "---", "tags: [remove-output]", "---", "shown", "```", ""),
            *(":::{admonition} A box", "```bash", "typed", "```", ":::", ""),
            *("````{solution} x", "```python", "solved", "```", "````", ""),
            *("```{code-cell} ipython3", ":tags: [remove-cell]", "", "hidden", "```"),
        ]
    )
    lines = page.splitlines()
    found = list(displayed(page))
    assert [line for _, line in found] == ["shown", "typed", "solved"]
    assert [lines[number - 1] for number, _ in found] == ["shown", "typed", "solved"]
