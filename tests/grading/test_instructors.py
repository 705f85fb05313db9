"""What the instructors' page promises is tested: each row of its table names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "book" / "back" / "instructors.md"


def promised() -> list[list[str]]:
    """The names of tests in each row of the table of what is defended."""
    table = PAGE.read_text(encoding="utf-8").split("(instructors-defended)=")[1].split("\n\n")[0]
    rows = [line.strip().strip("|").split("|") for line in table.strip().splitlines()[2:]]
    return [re.findall(r"`(test_\w+)`", row[-1]) for row in rows]


def known() -> set[str]:
    """Every test of the graders."""
    trees = (
        ast.parse(path.read_text(encoding="utf-8"))
        for path in Path(__file__).parent.glob("test_*.py")
    )
    return {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_of_what_is_defended_names_a_test_that_exists() -> None:
    rows = promised()
    assert len(rows) > 10
    assert all(rows), "each row is tested"
    assert {name for row in rows for name in row} <= known()
