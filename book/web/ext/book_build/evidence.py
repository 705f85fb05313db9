"""What is kept of the claims: how each fared on the page's own draws and on nine others.

`redraws` runs a page's cells once for each set of draws and keeps here what became of its claims,
beside the package's other data, under a key: a hash of the page's code and of the modules that it
imports, without comments and docstrings. A record whose key is another one is stale.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import os
import re
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlpinit.claims import Checked

__all__ = [
    "REPETITIONS",
    "Known",
    "Record",
    "cells",
    "key_of",
    "load",
    "pages",
    "save",
    "stale",
]

FOLDER = Path("mlpinit/data/evidence")
REPETITIONS = 10
ENOUGH = 9
PACKAGE = "mlpinit"
CALL = "chapter.claim("
FOLDERS = ("", "part*/", "back/")
# What a page shows and how, on which no measurement depends.
SHOWN = {"plots", "lab", "chapter", "progress", "grading", "schematics", "stacking"}
NO_CODE = {"lineno", "col_offset", "end_lineno", "end_col_offset", "type_ignores", "kind"}
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADER = re.compile(r"\A(?:---\n(.*?)^---\n|((?::[^\n]*\n)*))", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Known:
    """What is known of a claim.

    - `name`, `says`, `how`, `seeds`, `paired`, `source`: as in `mlpinit.claims.Claim`
    - `margins`, `nulls`: for each repetition one number, or one for each seed in it; of what does
      not depend on a draw, the page's own repetition alone
    """

    name: str
    says: str
    how: str
    seeds: int
    paired: bool
    source: str | None
    margins: list[list[float]]
    nulls: list[list[float]]

    @property
    def held(self) -> tuple[int, int]:
        """In how many of how many repetitions it held; of recorded runs, on how many seeds."""
        return self._count(self.margins, lambda margin: margin > 0)

    @property
    def rejected(self) -> tuple[int, int]:
        """In how many of how many it did not hold where the effect is absent."""
        return self._count(self.nulls, lambda margin: not margin > 0)

    @property
    def smallest(self) -> float:
        """The smallest margin of all."""
        return min(min(margins) for margins in self.margins)

    @property
    def stands(self) -> bool:
        """Tell whether it holds, and its null does not, in nine of ten at least."""
        counts = [self.held, self.rejected] if self.nulls else [self.held]
        return all(10 * k >= ENOUGH * n for k, n in counts)

    def _count(self, found: list[list[float]], good: Any) -> tuple[int, int]:
        if self.how == "recorded":
            return sum(map(good, found[0])), len(found[0])
        each = [10 * sum(map(good, margins)) >= ENOUGH * len(margins) for margins in found]
        return sum(each), len(each)


@dataclass(frozen=True)
class Record:
    """A page's claims, as kept.

    - `asserts`: those of the page that failed in a repetition, as "repetition: source"
    """

    page: str
    key: str
    claims: list[Known]
    asserts: list[str]


# Pages and their code


def pages(root: Path) -> list[str]:
    """Return the names of the pages that make claims, such as 'book/part4/removing'."""
    files = [path for folder in FOLDERS for path in sorted((root / "book").glob(f"{folder}*.md"))]
    return [
        path.relative_to(root).with_suffix("").as_posix()
        for path in files
        if CALL in "".join(source for source, _ in cells(path))
    ]


def cells(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each cell of a page: its code and its header."""
    for match in CELL.finditer(path.read_text(encoding="utf-8")):
        header = HEADER.match(match[1])
        yield match[1][header.end() :], header[1] or header[2] or ""


def key_of(root: Path, page: str) -> str:
    """Hash what a page's measurements depend on."""
    trees = [ast.parse(source) for source, _ in cells(root / f"{page}.md")]
    digest = hashlib.sha256()
    for tree in trees:
        digest.update(repr(plain(tree)).encode())
    for module in sorted(needed(root, trees)):
        digest.update(module_digest(root / PACKAGE, module))
    return digest.hexdigest()[:16]


def needed(root: Path, trees: list[ast.Module]) -> set[str]:
    """The package's modules that the code imports, and those that these import."""
    found: set[str] = set()
    waiting = {name for tree in trees for name in imported(tree)}
    while waiting:
        name = waiting.pop()
        source = module_file(root / PACKAGE, name)
        if name in found or name.split(".")[0] in SHOWN or source is None:
            continue
        found.add(name)
        waiting |= set(imports_of(source))
    return found


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield what is imported from the package, without its name: modules, or what may be one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            first, _, rest = node.module.partition(".")
            if first == PACKAGE:
                yield from ([rest] if rest else [])
                yield from (f"{rest}.{a.name}".lstrip(".") for a in node.names)
        elif isinstance(node, ast.Import):
            names = (a.name.partition(".") for a in node.names)
            yield from (rest for first, _, rest in names if first == PACKAGE and rest)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == PACKAGE:
            yield from (node.attr, f"models.{node.attr}")  # the package hands on what is in these


def module_file(package: Path, name: str) -> Path | None:
    """Where a module's code is; None where the name is no module's."""
    place = package.joinpath(*name.split("."))
    found = [path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()]
    return found[0] if found else None


@cache
def parsed(path: Path, _stamp: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(source: Path) -> list[str]:
    """What a module imports of the package; of a folder's `__init__`, its neighbours too."""
    return list(imported(parsed(source, source.stat().st_mtime_ns)))


def module_digest(package: Path, name: str) -> bytes:
    """Hash a module's code."""
    source = module_file(package, name)
    return code_digest(source, source.stat().st_mtime_ns)


@cache
def code_digest(source: Path, stamp: int) -> bytes:
    return hashlib.sha256(repr(plain(parsed(source, stamp))).encode()).digest()


def plain(node: object) -> object:
    """A syntax tree as nested tuples, the same in every Python: no places, no docstrings."""
    if isinstance(node, list):
        return tuple(plain(item) for item in node)
    if not isinstance(node, ast.AST):
        return node
    fields = dict(ast.iter_fields(node))
    body = fields.get("body")
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and is_docstring(body):
        fields["body"] = body[1:]
    kept = ((k, plain(v)) for k, v in fields.items() if k not in NO_CODE and v not in (None, []))
    return (type(node).__name__, *kept)


def is_docstring(body: object) -> bool:
    """Tell whether a body begins with a string that stands alone."""
    first = body[0] if isinstance(body, list) and body else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


# Records


def place(root: Path, page: str) -> Path:
    """The file of a page's record."""
    return root / FOLDER / f"{page.rsplit('/', 1)[-1]}.json"


def load(root: Path, page: str) -> Record | None:
    """Read what is kept of a page; None where nothing is."""
    path = place(root, page)
    if not path.is_file():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    claims = [Known(**claim) for claim in kept["claims"]]
    return Record(kept["page"], kept["key"], claims, kept["asserts"])


def save(root: Path, record: Record) -> Path:
    """Write a page's record, whole or not at all; a claim a line, so that a change can be read."""
    path = place(root, record.page)
    path.parent.mkdir(parents=True, exist_ok=True)
    claims = ",\n  ".join(json.dumps(asdict(c), ensure_ascii=False) for c in record.claims)
    head = {"page": record.page, "key": record.key, "asserts": record.asserts}
    text = json.dumps(head, ensure_ascii=False)[:-1] + f', "claims": [\n  {claims}\n]}}\n'
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
    return path


def gathered(repetitions: list[list[Checked]]) -> list[Known]:
    """Put together what each repetition found of the same claims, in the page's order."""
    known = []
    for first in repetitions[0]:
        same = [c for found in repetitions for c in found if c.claim.name == first.claim.name]
        of_runs = same if first.claim.how == "run" else same[:1]
        margins, nulls = (
            [rounded(getattr(c, kind)) for c in of_runs] for kind in ("margins", "nulls")
        )
        known.append(
            Known(
                **asdict(first.claim),
                margins=[m for m in margins if m],
                nulls=[m for m in nulls if m],
            )
        )
    return known


def begins_like(whole: Known, part: Known) -> bool:
    """Tell whether the repetitions of `part` gave what the first ones of `whole` did."""
    pairs = ((whole.margins, part.margins), (whole.nulls, part.nulls))
    return all(
        len(old) >= len(new) and bool(old) == bool(new) and all(map(close, old, new))
        for old, new in pairs
    )


def close(old: list[float], new: list[float]) -> bool:
    """Tell whether margins are equal but for what rounding moves."""
    return len(old) == len(new) and all(
        math.isclose(a, b, rel_tol=0.01, abs_tol=1e-9) for a, b in zip(old, new, strict=True)
    )


def rounded(margins: list[float]) -> list[float]:
    """Four digits, none of which changes a sign."""
    return [float(f"{margin:.4g}") for margin in margins]


def stale(root: Path, names: list[str], key: Callable[[Path, str], str] = key_of) -> list[str]:
    """Of these pages, name those whose record is of other code, or is not there."""
    kept = {page: load(root, page) for page in names}
    return [p for p, record in kept.items() if record is None or record.key != key(root, p)]
