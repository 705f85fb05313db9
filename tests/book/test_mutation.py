"""Where an experiment is altered, the claim that rests on it fails; the test picks the claims."""

from __future__ import annotations

import ast
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import mutation
import pytest
from book_build import evidence

ROOT = Path(__file__).parents[2]
PAGES = [page for page in evidence.pages(ROOT) if page.startswith("book/part")]
WANTED = 2  # claims of a page that are to fail


def drawn(page: str) -> list[str]:
    """The claims of a page, shuffled by the hash of its code: otherwise whenever that changes."""
    trees = [ast.parse(source) for source, _ in evidence.cells(ROOT / f"{page}.md")]
    names = sorted(claim.name for claim in mutation.claims_of(trees))
    return random.Random(evidence.key_of(ROOT, page)).sample(names, len(names))


def altered(page: str, names: list[str]) -> dict[str, str]:
    """Alter the experiments of these claims: which of them failed, and under what."""
    command = [sys.executable, "-W", "ignore", mutation.__file__, page, *names]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name: how for name, how in json.loads(done.stdout).items() if how is not None}


def test_thirty_claims_or_more_are_to_fail_over_all_chapters() -> None:
    assert sum(min(WANTED, len(drawn(page))) for page in PAGES) >= 30


@pytest.mark.mutants
@pytest.mark.parametrize("page", PAGES)
def test_the_claim_fails_where_its_experiment_is_altered(page: str) -> None:
    # Until two have failed: what one of them says may be left true by whatever is altered.
    names, failed = drawn(page), {}
    wanted = min(WANTED, len(names))
    while len(failed) < wanted and names:
        part, names = names[: wanted - len(failed)], names[wanted - len(failed) :]
        failed |= altered(page, part)
    assert len(failed) >= wanted, f"of {drawn(page)} only these fail: {failed}"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("a = b - c", ["a = c - b"]),
        ("a = b + c", ["a = b"]),
        ("a = f(x, lr=0.1)", ["a = f(x, lr=-0.1)", "a = f(x, lr=0.30000000000000004)"]),
        ("a = x[0]", ["a = x[1]"]),
        ("a = f(b, c)", ["a = f(c, b)"]),
        ("a = -b", ["a = b"]),
        ("a = (b < c).sum()", ["a = (b > c).sum()"]),
        ("a = f(b, 3)", []),
    ],
)
def test_what_an_alteration_is(code: str, expected: list[str]) -> None:
    (statement,) = ast.parse(code).body
    changed = [mutation.altered(statement, spot) for spot in mutation.spots(statement)]
    assert [ast.unparse(statement) for statement in changed] == expected


def test_only_what_the_measurement_comes_from_is_altered() -> None:
    code = "a = 0.5\nb = a + 1.5\nc = 2.5\nchapter.claim('x-y', 'b', b, over=0, null=-1)"
    trees = [ast.parse(code)]
    (claim,) = mutation.claims_of(trees)
    assert {at.statement for at in mutation.places(trees, claim)} == {0, 1}
