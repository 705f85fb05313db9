"""`make terms` lists what is used before it is defined."""

from __future__ import annotations

from pathlib import Path

import pytest
from book_build import terms

TOC = """\
root: book/index
parts:
  - caption: One
    chapters: [{file: book/part1/a}, {file: book/part1/b}]
  - caption: Back matter
    chapters: [{file: book/back/notation}]
"""
PAGES = {
    "book/index.md": "# Home\n\nNothing yet.\n",
    "book/part1/a.md": """\
# Of dead units

:::{admonition} In this chapter
:class: objectives
- You will count dead units.
:::

A `dead unit`, {ref}`dead unit` or $dead unit$ is no word. The batch is
small, and so are batches.

:::{admonition} Going further
:class: dropdown further
More on a dead unit.
:::

Then a dead
unit is met, before a **batch** is.
""",
    "book/part1/b.md": "# B\n\nA **dead unit** is one. Dead units, batches.\n",
    "book/back/notation.md": """\
# Terms

```{glossary}
batch
  Some examples.

dead unit
  One that does not learn.

revival
  Its end.
```
""",
}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "_toc.yml").write_text(TOC)
    for name, text in PAGES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_uses_before_the_definition_are_named_with_their_lines(book: Path) -> None:
    found = {term.name: term for term in terms.report(book)}
    assert found["dead unit"].defined == "book/part1/b.md:3"
    assert found["dead unit"].early == ["book/part1/a.md:16"]
    assert found["batch"].defined == "book/part1/a.md:16"
    assert found["batch"].early == ["book/part1/a.md:8"]
    assert (found["revival"].defined, found["revival"].early) == (None, [])


def test_it_prints_them(book: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(book)
    assert terms.main() == 0
    printed = capsys.readouterr().out
    assert "dead unit: book/part1/b.md:3, but used in\n    book/part1/a.md:16\n" in printed
    assert "2 of 3 terms are used before they are defined." in printed
    assert "    revival: none\n" in printed
