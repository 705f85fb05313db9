"""The modules import downward: no two need each other, not even for a type.

Labs and graders are packages of their own, whose parts know their package.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlpinit

ROOT = Path(mlpinit.__file__).parent


def imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mlpinit"):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("mlpinit."))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def in_order(sources: dict[str, str]) -> list[str]:
    """The modules, each after those that it imports; `CycleError` where there is no such order."""
    needs = {
        name: {other for other in imported(source) if other in sources and other != name}
        for name, source in sources.items()
    }
    return list(graphlib.TopologicalSorter(needs).static_order())


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    own = (ROOT / "lab", ROOT / "grading")
    paths = [p for p in ROOT.rglob("*.py") if not set(own) & set(p.parents)]
    return {name_of(p): p.read_text(encoding="utf-8") for p in paths}


def test_imports_go_in_no_circle(sources: dict[str, str]) -> None:
    assert len(in_order(sources)) == len(sources)


def test_a_circle_is_seen(sources: dict[str, str]) -> None:
    below = "mlpinit.models.statistics"
    circle = sources[below] + "\nif TYPE_CHECKING:\n    from mlpinit.models.report import Report\n"
    with pytest.raises(graphlib.CycleError):
        in_order({**sources, below: circle})


def test_what_works_on_any_model_needs_nothing_of_the_book_s_network(
    sources: dict[str, str],
) -> None:
    book = {f"mlpinit.{name}" for name in ("mlp", "train", "params", "records", "replay", "lab")}
    models = {name: source for name, source in sources.items() if ".models" in name}
    assert not {n: found for n, s in models.items() if (found := book & set(imported(s)))}
