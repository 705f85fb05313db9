"""What a build leaves out or keeps from the last one is not missed in the pages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from book_build import patterns
from small_project import Project, copy_project

EXTENSIONS = Path(patterns.__file__).parents[1]
NEW_FIGURE = """\

```{figure} ../book/web/static/card.png
:name: fig-card
:alt: a card

A card.
```
"""
EDITS = {
    "prose": ("book/chapter.md", "The line ends", "The straight line ends"),
    "a figure before another": ("book/chapter.md", "# A chapter\n", f"# A chapter\n{NEW_FIGURE}"),
    "a label": ("book/chapter.md", "name: fig-line", "name: fig-straight"),
    "a source": ("book/references.bib", "title = {", "title = {On the title of "),
}


def seen(project: Project) -> dict[str, str]:
    """The pages, but not whether they name the version of a style sheet that was there before."""
    html = {path.name: path.read_text() for path in project.html.rglob("*.html")}
    return {name: re.sub(r"\?v=\w+", "", text) for name, text in html.items()}


@pytest.fixture(scope="module")
def edited(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project that each test edits once more, and leaves built from nothing."""
    project = copy_project(built, tmp_path_factory.mktemp("edited"))
    assert project.make().returncode == 0
    return project


@pytest.mark.parametrize("what", EDITS)
def test_a_build_after_an_edit_is_one_from_nothing(edited: Project, what: str) -> None:
    edited.edit(*EDITS[what])
    if what == "a label":
        edited.edit("book/index.md", "`fig-line`", "`fig-straight`")
    result = edited.make()
    assert result.returncode == 0, result.stdout
    after_edit = seen(edited)
    (edited.root / "_build" / ".unfinished").touch()
    assert edited.make().returncode == 0
    assert after_edit == seen(edited)


COMPILE = r"""
import json, re, sys
from pathlib import Path
from book_build import patterns
compiled = []
parse = re._parser.parse
re._parser.parse = lambda *given: compiled.append(given[0]) or parse(*given)
patterns.serve(Path(sys.argv[1]))
ways = [(r"(?P<word>[a-zäöü]+)\s(\d{2,})(?!x)", re.I), (rb"\x00(.)", re.S), ("a|b", 0)]
ways.append(("a|b", re.X))
found = [re.compile(p, f) for p, f in ways]
print(json.dumps([len(compiled), repr([(p, p.flags, p.groups, dict(p.groupindex)) for p in found]),
    found[0].sub(r"\2 \g<word>", "Öl 25, at 7"), [m.span() for m in found[2].finditer("abc")]]))
patterns.keep(Path(sys.argv[1]))
"""


def compile_some(folder: Path) -> list[object]:
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, folder],
        env={"PYTHONPATH": str(EXTENSIONS)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_a_kept_pattern_is_the_compiled_one(tmp_path: Path) -> None:
    number, *first = compile_some(tmp_path)
    assert number >= 4
    assert first[1:] == ["25 Öl, at 7", [[0, 1], [1, 2]]]
    assert compile_some(tmp_path) == [0, *first]
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    assert compile_some(tmp_path) == [number, *first]
