"""Run the pages on other draws and keep what becomes of their claims: `make evidence`.

Each page is run ten times, on its own seeds and on nine sets of others (`mlpinit.redraw`), and
what each claim and each null gave is kept (`evidence`). What is done is kept in `_build/evidence`,
so that the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import io
import json
import os
import sys
import types
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from book_build import evidence
from book_build.environment import KERNEL_ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["empty_page", "main", "repetition", "run_cell"]

KEPT = Path("_build/evidence")
FIRST = (0, 1)
ASSERTS = "__asserts__"


class Noted(ast.NodeTransformer):
    """Have an assertion that fails noted, not raised: what holds on one draw may not on another."""

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        """Wrap it in a `try`."""
        code = f"try:\n    pass\nexcept AssertionError:\n    {ASSERTS}.append('')"
        (noted,) = ast.parse(code).body
        noted.body = [node]
        noted.handlers[0].body[0].value.args[0].value = ast.unparse(node.test)
        return ast.copy_location(noted, node)


def repetition(root: Path, page: str, times: int) -> dict[str, Any]:
    """Run a page's cells on draws moved `times` times: its claims, and its asserts that failed."""
    from mlpinit import claims, redraw  # noqa: PLC0415

    module = empty_page()
    forget()
    screen = contextlib.redirect_stdout(io.StringIO())
    with redraw.redrawn(times), claims.collecting() as found, screen:
        for number, (source, header) in enumerate(evidence.cells(root / f"{page}.md"), 1):
            place = f"{page}, cell {number}"
            try:
                run_cell(ast.parse(source), header, module, place)
            except Exception as error:
                what = f"{type(error).__name__}: {error}"
                raise RuntimeError(f"{place}, repetition {times}: {what}") from error
    return {"claims": [asdict(c) for c in found], "asserts": vars(module)[ASSERTS]}


def empty_page() -> types.ModuleType:
    """Make a module for a page's cells to run in, on one thread and without a screen."""
    import matplotlib as mpl  # noqa: PLC0415
    import torch  # noqa: PLC0415

    mpl.use("Agg")
    torch.set_num_threads(1)
    module = sys.modules["page"] = types.ModuleType("page")
    vars(module)[ASSERTS] = []
    return module


def run_cell(tree: ast.Module, header: str, module: types.ModuleType, place: str) -> None:
    """Run one cell: what it is to raise is passed over, and an assert that fails is noted."""
    from matplotlib import pyplot as plt  # noqa: PLC0415

    noted = ast.fix_missing_locations(Noted().visit(copy.deepcopy(tree)))
    try:
        exec(compile(noted, place, "exec"), vars(module))
    except Exception:
        if "raises-exception" not in header:
            raise
    plt.close("all")


def forget() -> None:
    """Empty the package's caches: what they hold was drawn by another repetition."""
    for name in [name for name in sys.modules if name.split(".")[0] == "mlpinit"]:
        for value in list(vars(sys.modules[name]).values()):
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def attempt(root: Path, page: str, times: int, kept: Path) -> str | None:
    """What a worker does: one repetition, kept as a file; or why it could not."""
    try:
        with as_a_kernel():
            found = repetition(root, page, times)
    except Exception as error:
        return f"{page}, {times}: {error}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(found), encoding="utf-8")
    part.replace(kept)
    return None


@contextlib.contextmanager
def as_a_kernel() -> Iterator[None]:
    """Have the environment that a build's kernels have, for a while: a worker may be its caller."""
    before = dict(os.environ)
    os.environ.update(KERNEL_ENVIRONMENT)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def file_of(root: Path, page: str, key: str, times: int) -> Path:
    """Where a repetition is kept until all are there."""
    return root / KEPT / f"{page.rsplit('/', 1)[-1]}-{key}-{times}.json"


def collect(root: Path, names: Sequence[str], jobs: int, dask: str | None) -> list[str]:
    """Run what is not kept yet, then write each page's record; returns what failed.

    Two repetitions first: where they give what the old record has, the change that made it stale
    has changed no number, and the rest is taken from it.
    """
    keys = {page: evidence.key_of(root, page) for page in names}
    first = [(page, times) for times in FIRST for page in names]
    failures = run_missing(root, first, keys, jobs, dask)
    whole = [page for page in names if not any(f.startswith(f"{page},") for f in failures)]
    same = [page for page in whole if takes_over(root, page, keys[page])]
    rest = [page for page in whole if page not in same]
    others = [(page, times) for times in range(evidence.REPETITIONS) for page in rest]
    failures += run_missing(root, others, keys, jobs, dask)
    for page in rest:
        if not any(f.startswith(f"{page},") for f in failures):
            evidence.save(root, gather(root, page, keys[page], range(evidence.REPETITIONS)))
    return failures


def run_missing(
    root: Path,
    wanted: Sequence[tuple[str, int]],
    keys: dict[str, str],
    jobs: int,
    dask: str | None,
) -> list[str]:
    """Run the repetitions that are not kept; returns what failed."""
    from joblib import Parallel, delayed  # noqa: PLC0415

    from mlpinit.records import backend  # noqa: PLC0415

    todo = [
        (page, times, path)
        for page, times in wanted
        if not (path := file_of(root, page, keys[page], times)).is_file()
    ]
    failures = []
    with backend(dask, jobs):
        work = (delayed(attempt)(root, *job) for job in todo)
        answers = Parallel(n_jobs=jobs, return_as="generator")(work)
        for done, ((page, times, _), failure) in enumerate(zip(todo, answers, strict=True), 1):
            how = "failed" if failure else "done"
            print(f"{done} of {len(todo)}: {page}, {times} {how}", file=sys.stderr, flush=True)
            failures += [failure] if failure else []
    return failures


def takes_over(root: Path, page: str, key: str) -> bool:
    """Give the old record the new key where the first repetitions give the same numbers.

    Claims may stand in another order, and some may have gone; one that is new has no record yet.
    """
    old, new = evidence.load(root, page), gather(root, page, key, FIRST)
    known = {} if old is None else {claim.name: claim for claim in old.claims}
    if any(claim.name not in known for claim in new.claims):
        return False
    pairs = [(known[fresh.name], fresh) for fresh in new.claims]
    taken = [replace(fresh, margins=kept.margins, nulls=kept.nulls) for kept, fresh in pairs]
    same = all(evidence.begins_like(*pair) for pair in pairs)
    first = {f"{times}:" for times in FIRST}
    failed = [a for a in old.asserts if a.split(" ", 1)[0] in first]
    if not same or failed != new.asserts:
        return False
    evidence.save(root, evidence.Record(page, key, taken, old.asserts))
    return True


def gather(root: Path, page: str, key: str, repetitions: Sequence[int]) -> evidence.Record:
    """Put a page's repetitions together."""
    from mlpinit.claims import Checked, Claim  # noqa: PLC0415

    runs = [
        json.loads(file_of(root, page, key, times).read_text(encoding="utf-8"))
        for times in repetitions
    ]
    found = [
        [Checked(Claim(**c["claim"]), c["margins"], c["nulls"]) for c in run["claims"]]
        for run in runs
    ]
    failed = [f"{k}: {source}" for k, run in enumerate(runs) for source in run["asserts"]]
    return evidence.Record(page, key, evidence.gathered(found), failed)


def told(root: Path, page: str) -> str:
    """Say how a page's claims fared, and name those that do not stand."""
    record = evidence.load(root, page)
    weak = [claim for claim in record.claims if not claim.stands]
    lines = [f"{page}: {len(record.claims) - len(weak)} of {len(record.claims)} claims stand"]
    for claim in weak:
        held, rejected = ("{} of {}".format(*count) for count in (claim.held, claim.rejected))
        lines.append(f"  {claim.name}: held in {held}, null rejected in {rejected}")
    lines += [f"  assert, in repetition {failed}" for failed in record.asserts]
    return "\n".join(lines)


def main() -> int:
    """Run the pages on other draws; 0 only if every page's claims stand."""
    parser = argparse.ArgumentParser(prog="book_build.redraws", description=main.__doc__)
    parser.add_argument(
        "pages", nargs="*", help="their last names, as in 'removing' (default: all stale)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--dask", metavar="ADDRESS", help="run on this cluster; 'local' starts one")
    given = parser.parse_args()
    root = Path.cwd()
    known = evidence.pages(root)
    short = {page.rsplit("/", 1)[-1]: page for page in known}
    if unknown := set(given.pages) - set(short):
        print(f"no page with claims is called {', '.join(unknown)}", file=sys.stderr)
        return 2
    names = [short[name] for name in given.pages] or evidence.stale(root, known)
    try:
        failures = collect(root, names, given.jobs, given.dask)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    done = [page for page in names if page not in evidence.stale(root, names)]
    print(*(told(root, page) for page in done), sep="\n")
    print(*failures, sep="\n", file=sys.stderr)
    records = [evidence.load(root, page) for page in done]
    return int(bool(failures) or not all(c.stands for r in records for c in r.claims))


if __name__ == "__main__":
    # The import, not this copy of the module: workers must know its functions by one name.
    from book_build import redraws  # noqa: PLW0406

    sys.exit(redraws.main())
