"""Run the pages on other draws and keep what becomes of their claims: `make evidence`.

Each page is run ten times, on its own seeds and on nine sets of others (`mlpinit.redraw`), and
what each claim and each null gave is kept (`evidence`). What is done is kept in `_build/evidence`,
so that the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import os
import sys
import types
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from book_build import evidence
from book_build.environment import KERNEL_ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "repetition"]

KEPT = Path("_build/evidence")
ASSERTS = "__asserts__"


class Noted(ast.NodeTransformer):
    """Have an assertion that fails noted, not raised: what holds on one draw may not on another."""

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        """Wrap it in a `try`."""
        noted = ast.parse(f"try:\n    pass\nexcept AssertionError:\n    {ASSERTS}.append('')").body[
            0
        ]
        noted.body = [node]
        noted.handlers[0].body[0].value.args[0].value = ast.unparse(node.test)
        return ast.copy_location(noted, node)


def repetition(root: Path, page: str, times: int) -> dict[str, Any]:
    """Run a page's cells on draws moved `times` times: its claims, and its asserts that failed."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    import torch  # noqa: PLC0415
    from matplotlib import pyplot as plt  # noqa: PLC0415

    from mlpinit import claims, redraw  # noqa: PLC0415

    torch.set_num_threads(1)
    module = types.ModuleType("page")
    failed = vars(module)[ASSERTS] = []
    sys.modules["page"] = module
    screen = contextlib.redirect_stdout(io.StringIO())
    with redraw.redrawn(times), claims.collecting() as found, screen:
        for number, (source, header) in enumerate(evidence.cells(root / f"{page}.md"), 1):
            tree = ast.fix_missing_locations(Noted().visit(ast.parse(source)))
            try:
                exec(compile(tree, f"{page}, cell {number}", "exec"), vars(module))
            except Exception as error:
                if "raises-exception" not in header:
                    what = f"{type(error).__name__}: {error}"
                    raise RuntimeError(
                        f"{page}, cell {number}, repetition {times}: {what}"
                    ) from error
            plt.close("all")
    return {"claims": [asdict(c) for c in found], "asserts": failed}


def attempt(root: Path, page: str, times: int, kept: Path) -> str | None:
    """What a worker does: one repetition, kept as a file; or why it could not."""
    os.environ.update(KERNEL_ENVIRONMENT)
    try:
        found = repetition(root, page, times)
    except Exception as error:
        return f"{page}, {times}: {error}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(found), encoding="utf-8")
    part.replace(kept)
    return None


def file_of(root: Path, page: str, key: str, times: int) -> Path:
    """Where a repetition is kept until all are there."""
    return root / KEPT / f"{page.rsplit('/', 1)[-1]}-{key}-{times}.json"


def collect(root: Path, names: Sequence[str], jobs: int, dask: str | None) -> list[str]:
    """Run what is not kept yet, then write each page's record; returns what failed."""
    from joblib import Parallel, delayed  # noqa: PLC0415

    from mlpinit.records import backend  # noqa: PLC0415

    keys = {page: evidence.key_of(root, page) for page in names}
    todo = [
        (page, times, path)
        for times in range(evidence.REPETITIONS)
        for page in names
        if not (path := file_of(root, page, keys[page], times)).is_file()
    ]
    print(f"{len(todo)} of {len(names) * evidence.REPETITIONS} repetitions to do", file=sys.stderr)
    with backend(dask, jobs):
        work = (delayed(attempt)(root, *job) for job in todo)
        answers = Parallel(n_jobs=jobs, return_as="generator")(work)
        failures = []
        for (page, times, _), failure in zip(todo, answers, strict=True):
            print(
                f"{page}, {times}: {'failed' if failure else 'done'}", file=sys.stderr, flush=True
            )
            failures += [failure] if failure else []
    whole = [page for page in names if not any(f.startswith(f"{page},") for f in failures)]
    for page in whole:
        evidence.save(root, gather(root, page, keys[page]))
    return failures


def gather(root: Path, page: str, key: str) -> evidence.Record:
    """Put a page's repetitions together."""
    from mlpinit.claims import Checked, Claim  # noqa: PLC0415

    runs = [
        json.loads(file_of(root, page, key, times).read_text(encoding="utf-8"))
        for times in range(evidence.REPETITIONS)
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
