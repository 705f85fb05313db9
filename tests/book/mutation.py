"""Alter a page's experiments, one place at a time, and see whether its claims notice.

`python tests/book/mutation.py PAGE CLAIMS`, in the project's root, runs the page once. From each
place that a claim's measurement comes from, a child is forked that runs the rest with that place
altered: a term deleted, two arms swapped, a factor tripled, a sign turned. A place is in a cell, or
in a function of the package that a cell calls. It prints a JSON object: for each claim chosen, the
alteration that it failed under, or None.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib
import inspect
import io
import json
import os
import random
import re
import signal
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "book/web/ext")]

from book_build import evidence, redraws  # noqa: E402

LONGEST = 40  # seconds that an altered page may take; then it is ended, and nothing found
NEAREST, DRAWN = 6, 3  # alterations of one claim's experiment at most, as some change nothing said
TURNED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
SWAPPED = {
    ast.Lt: ast.Gt,
    ast.Gt: ast.Lt,
    ast.LtE: ast.GtE,
    ast.GtE: ast.LtE,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}


@dataclass(frozen=True)
class Claimed:
    """Where a page makes a claim: the cell, the statement in it, and the names it measures."""

    name: str
    cell: int
    statement: int
    names: frozenset[str]


@dataclass(frozen=True)
class Alteration:
    """A spot of a cell's statement that can be altered.

    - `function`: the place is in this function of the package, "mlpinit.mlp:backward", which the
      statement is the first to call
    """

    cell: int
    statement: int
    spot: int
    function: str | None = None


# Which places a claim's measurement comes from


def claims_of(trees: list[ast.Module]) -> Iterator[Claimed]:
    """Yield the claims that are made under a name written out, and not in a loop."""
    for cell, tree in enumerate(trees):
        for k, statement in enumerate(tree.body):
            call = statement.value if isinstance(statement, ast.Expr) else None
            if not (isinstance(call, ast.Call) and ast.unparse(call.func) == "chapter.claim"):
                continue
            measured = [*call.args[2:3], *(w.value for w in call.keywords if w.arg == "measured")]
            how = [ast.unparse(w.value) for w in call.keywords if w.arg == "how"]
            if measured and how in ([], ["'exact'"]) and isinstance(call.args[0], ast.Constant):
                yield Claimed(call.args[0].value, cell, k, frozenset(names_in(measured[0])))


def names_in(node: ast.AST) -> set[str]:
    """The names that a piece of code reads."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def made_by(statement: ast.stmt) -> set[str]:
    """The names that a statement gives a value or changes in place; not what a loop counts with."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    found, counted = set(), set()
    for node in ast.walk(statement):
        if isinstance(node, ast.For | ast.comprehension):
            counted |= {n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)}
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            found |= names_in(node.value)
        elif in_place(node):
            found |= names_in(node.func.value)
    return found - counted


def made_anew(statement: ast.stmt) -> set[str]:
    """Of these, the names whose earlier value no longer counts."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    found = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return found - {
        n.id
        for t in targets
        for n in ast.walk(t)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    }


def in_place(node: ast.AST) -> bool:
    """Tell a call such as `dC.index_add_(...)`."""
    named = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    return named and node.func.attr.endswith("_")


def places(trees: list[ast.Module], claim: Claimed) -> Iterator[Alteration]:
    """Yield what can be altered in the statements that the claim's measurement comes from."""
    names = set(claim.names)
    called: dict[str, tuple[int, int]] = {}
    before = [
        (cell, k)
        for cell in range(claim.cell + 1)
        for k in range(len(trees[cell].body))
        if (cell, k) < (claim.cell, claim.statement)
    ]
    for cell, k in reversed(before):
        statement = trees[cell].body[k]
        if isinstance(statement, ast.Import | ast.ImportFrom) or not made_by(statement) & names:
            continue
        names = names - made_anew(statement) | names_in(statement)
        called |= dict.fromkeys(functions_in(statement), (cell, k))
        yield from (Alteration(cell, k, spot) for spot in spots(statement))
    for name, (cell, k) in with_callees(called).items():
        yield from (Alteration(cell, k, spot, name) for spot in spots(definition(name)))


# The package's functions


def functions_in(node: ast.AST) -> Iterator[str]:
    """Yield the functions of the package that a cell's code calls by their module."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and re.fullmatch(r"\w+\.\w+", name := ast.unparse(call.func)):
            module, function = name.split(".")
            with contextlib.suppress(ImportError, AttributeError):
                found = getattr(importlib.import_module(f"mlpinit.{module}"), function)
                if inspect.isfunction(found):
                    yield full_name(found)


def with_callees(called: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Add what these functions of the package call in it, and the methods of what they make."""
    found = dict(called)
    for name, place in called.items():
        scope = inspect.unwrap(function_of(name)).__globals__
        for other in names_in(definition(name)):
            for callee in callees(scope.get(other)):
                found.setdefault(callee, place)
    return {name: place for name, place in found.items() if "check" not in name}


def callees(value: object) -> Iterator[str]:
    """Yield a function of the package, or the methods of a class of it."""
    if not getattr(value, "__module__", "").startswith("mlpinit"):
        return
    if inspect.isfunction(value):
        yield full_name(value)
    elif inspect.isclass(value):
        yield from (
            full_name(m) for n, m in vars(value).items() if inspect.isfunction(m) and n[0] != "_"
        )


def full_name(function: types.FunctionType) -> str:
    return f"{function.__module__}:{function.__qualname__}"


def holder_of(name: str) -> tuple[object, str]:
    """The module or class that holds a function, and its name there."""
    module, _, qualified = name.partition(":")
    path = qualified.split(".")
    holder = importlib.import_module(module)
    for part in path[:-1]:
        holder = getattr(holder, part)
    return holder, path[-1]


def function_of(name: str) -> types.FunctionType:
    return getattr(*holder_of(name))


@cache
def definition(name: str) -> ast.stmt:
    """A function's source, without what decorates it."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(function_of(name))))
    return ast.parse(source).body[0]


def put_altered(name: str, spot: int) -> None:
    """Have the package's function altered, wherever the package or the page holds it."""
    holder, attribute = holder_of(name)
    old = getattr(holder, attribute)
    names = inspect.unwrap(old).__globals__
    scope: dict[str, object] = {}
    code = ast.Module([altered(definition(name), spot)], [])
    exec(compile(code, name, "exec"), names, scope)
    holders = [m for n, m in sys.modules.items() if n.startswith("mlpinit") or n == "page"]
    for module in [holder, *holders]:
        for known in [a for a, value in vars(module).items() if value is old]:
            setattr(module, known, scope[attribute])


# What an alteration is


def spots(statement: ast.stmt) -> list[int]:
    """The places of a statement that can be altered, in the order of `of_the_experiment`."""
    top = ast.Module([statement], [])
    return [k for k, node in enumerate(of_the_experiment(top)) if alteration(node) is not None]


def altered(statement: ast.stmt, spot: int) -> ast.stmt:
    """The statement with one place altered."""
    top = copy.deepcopy(ast.Module([statement], []))
    node = next(islice(of_the_experiment(top), spot, None))
    new = alteration(node)()
    if new is not node:
        replace(top, node, new)
    return ast.fix_missing_locations(top).body[0]


def of_the_experiment(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes below, less what only refuses bad input, asserts, or prints."""
    for child in ast.iter_child_nodes(node):
        refuses = isinstance(child, ast.If) and isinstance(child.body[-1], ast.Raise)
        prints = isinstance(child, ast.Call) and ast.unparse(child.func) == "print"
        if not (refuses or prints or isinstance(child, ast.Assert | ast.Raise)):
            yield child
            yield from of_the_experiment(child)


def alteration(node: ast.AST) -> Callable[[], ast.AST] | None:
    """How to alter a node: what makes what stands in its place, or None if nothing does."""
    match node:
        case ast.keyword(arg="lr", value=ast.Constant()):  # up the slope, not down
            return lambda: ast.keyword("lr", ast.UnaryOp(ast.USub(), node.value))
        case ast.Constant(value=float()):
            return lambda: ast.Constant(3 * node.value or 1.0)
        case ast.BinOp(op=ast.Sub()):
            return lambda: ast.BinOp(node.right, node.op, node.left)
        case ast.BinOp(op=ast.Add() | ast.Mult() | ast.Div()):
            return lambda: node.left
        case ast.UnaryOp(op=ast.USub() | ast.Invert()):
            return lambda: node.operand
        case ast.AugAssign() if type(node.op) in TURNED:
            return lambda: ast.AugAssign(node.target, TURNED[type(node.op)](), node.value)
        case ast.Expr() if in_place(node.value):
            return ast.Pass
        case ast.Compare() if type(node.ops[0]) in SWAPPED:
            ops = [SWAPPED[type(node.ops[0])](), *node.ops[1:]]
            return lambda: ast.Compare(node.left, ops, node.comparators)
        case ast.Subscript(slice=ast.Constant(value=0 | 1 as place)) if type(place) is int:
            return lambda: ast.Subscript(node.value, ast.Constant(1 - place), node.ctx)
        case ast.Tuple(elts=[one, other], ctx=ast.Load()):
            return lambda: ast.Tuple([other, one], node.ctx)
        case ast.Call(args=[ast.Name() as one, ast.Name() as other]):
            return lambda: ast.Call(node.func, [other, one], node.keywords)
    return None


def replace(top: ast.Module, old: ast.AST, new: ast.AST) -> None:
    """Put one node in the place of another."""
    for parent in ast.walk(top):
        for field, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, field, new)
            elif isinstance(value, list) and old in value:
                value[value.index(old)] = new


# Running


def main(page: str, names: list[str]) -> dict[str, str | None]:
    """Run the page, and fork at each place that the claims' alterations are in."""
    from mlpinit import claims

    module = redraws.empty_page()
    sources, headers = zip(*evidence.cells(ROOT / f"{page}.md"), strict=True)
    trees = [ast.parse(source) for source in sources]
    chosen = [claim for claim in claims_of(trees) if claim.name in names]
    tried = {claim: choose(trees, claim) for claim in chosen}
    failed_by: dict[str, str | None] = dict.fromkeys(names)
    with claims.collecting() as found, contextlib.redirect_stdout(io.StringIO()):
        for cell, tree in enumerate(trees):
            for claim, alterations in tried.items():
                for at in (a for a in alterations if a.cell == cell):
                    if failed_by[claim.name] is None and fails(
                        trees, headers, module, found, claim, at
                    ):
                        failed_by[claim.name] = told(trees, at)
            redraws.run_cell(tree, headers[cell], module, "cell")
    return failed_by


def choose(trees: list[ast.Module], claim: Claimed) -> list[Alteration]:
    """The places nearest to the claim, and a sample of the others, drawn by its name."""
    found = list(places(trees, claim))
    others = found[NEAREST:]
    drawn = random.Random(claim.name).sample(others, min(DRAWN, len(others)))
    return [*found[:NEAREST], *drawn]


def fails(trees, headers, module, found, claim: Claimed, at: Alteration) -> bool:
    """Tell whether the claim fails where this place is altered, in a child that runs so far."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"0"
        signal.alarm(LONGEST)
        try:
            os.close(reading)
            changed = ast.Module(list(trees[at.cell].body), [])
            if at.function:
                put_altered(at.function, at.spot)
            else:
                changed.body[at.statement] = altered(changed.body[at.statement], at.spot)
            for cell in range(at.cell, claim.cell + 1):
                tree = changed if cell == at.cell else trees[cell]
                redraws.run_cell(tree, headers[cell], module, "cell")
            (ours,) = (c for c in found if c.claim.name == claim.name)
            answer = b"0" if ours.holds else b"1"
        finally:
            os.write(writing, answer)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer == b"1"


def told(trees: list[ast.Module], at: Alteration) -> str:
    """The altered statement or function, and what it was."""
    before = definition(at.function) if at.function else trees[at.cell].body[at.statement]
    now = ast.unparse(altered(before, at.spot)).splitlines()
    was = ast.unparse(before).splitlines()
    return "; ".join(line.strip() for line in now if line not in was)[:200] or "a line less"


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2:])))
