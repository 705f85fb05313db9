"""Grade a class: `python -m mlpinit.grading submissions/*/ --csv grades.csv`."""

from __future__ import annotations

import argparse
import gc
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext, suppress
from pathlib import Path

from mlpinit._files import write_whole
from mlpinit.grading import export
from mlpinit.grading.client import RunnerError
from mlpinit.grading.crew import grade_many
from mlpinit.grading.grade import Report
from mlpinit.grading.journal import Journal, digest
from mlpinit.grading.show import as_text, progress
from mlpinit.grading.submission import Submission, distinct, read_submission
from mlpinit.grading.text import visible

__all__ = ["main"]

INTERRUPTED = 130  # as a shell reports a command that Ctrl-C ended
LARGEST_SEED = 2**31


def main(arguments: Sequence[str] | None = None) -> int:
    """Grade folders and write what is asked for; 0 when every folder was graded."""
    gc.freeze()  # torch is no garbage, and is not to be looked through again and again
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # a replaced one may lack it
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        _check(args)
        submissions = distinct([read_submission(folder) for folder in args.folders])
        journal = _journal(args)
    except (ValueError, OSError) as error:
        parser.error(visible(str(error)))
    reports: list[Report | None] = [None] * len(submissions)
    with closing(journal) if journal else nullcontext():
        seed = _seed(args, journal)
        try:
            _grade_all(submissions, reports, args, seed, journal)
        except BaseException as error:
            print(_how_to_go_on(reports, journal), file=sys.stderr)
            if isinstance(error, KeyboardInterrupt):
                return INTERRUPTED
            if isinstance(error, RunnerError):
                print(visible(str(error)), file=sys.stderr)
                return 1
            raise
    graded = [report for report in reports if report is not None]
    _write_all(graded, args)
    if not args.quiet:
        _show(graded)
        _tell(graded, seed)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mlpinit.grading",
        description="Grade folders of solved exercises (corpus.py, forward.py and so on).",
        epilog="A submission runs with limits, but as the user who grades it. "
        "Grade code of strangers in a container.",
    )
    parser.add_argument("folders", nargs="+", type=Path, help="one folder a submission")
    parser.add_argument("--csv", type=Path, help="write a row a submission")
    parser.add_argument("--json", type=Path, help="write everything, in the documented format")
    parser.add_argument("--junit", type=Path, help="write JUnit XML")
    parser.add_argument("--gradescope", type=Path, help="write Gradescope's results.json")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="grade only what was not graded yet, or has changed since",
    )
    parser.add_argument(
        "--seed",
        type=int,
        help="of the cases; drawn for a class and for Gradescope, else the learner's own cases",
    )
    cores = os.cpu_count() or 1
    parser.add_argument(
        "--jobs", type=int, default=cores, help="submissions at a time (%(default)s)"
    )
    parser.add_argument("--user", default="", help="whose rights submissions have (needs root)")
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    return parser


def _check(args: argparse.Namespace) -> None:
    """Refuse, before any work, a call that cannot end well."""
    if args.gradescope and len(args.folders) != 1:
        raise ValueError("--gradescope takes one submission: Gradescope runs once for each")
    if args.resume and not _written(args):
        raise ValueError("--resume needs a file to write, as in --csv grades.csv, and its journal")
    if args.seed is not None and not 0 <= args.seed < LARGEST_SEED:
        raise ValueError(f"--seed is {args.seed}; wanted a whole number from 0 to 2**31 - 1")
    _check_user(args.user)
    for path in _written(args):
        if not path.parent.is_dir():
            raise ValueError(f"{path.parent} is not a folder to write {path.name} into")
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name a file to write")


def _check_user(user: str) -> None:
    if not user:
        return
    import pwd  # noqa: PLC0415 (not on Windows)

    if os.geteuid() != 0:
        raise ValueError(f"only root can run submissions as {user}")
    try:
        pwd.getpwnam(user)
    except KeyError:
        raise ValueError(f"there is no user {user} on this machine") from None


def _written(args: argparse.Namespace) -> list[Path]:
    return [p for p in (args.csv, args.json, args.junit, args.gradescope) if p is not None]


def _journal(args: argparse.Namespace) -> Journal | None:
    """The journal of a class, beside the first file that is asked for."""
    paths = _written(args)
    if not paths or args.gradescope:
        return None
    path = paths[0].with_name(f"{paths[0].name}.journal")
    return Journal(path, resume=args.resume)


def _seed(args: argparse.Namespace, journal: Journal | None) -> int | None:
    """The seed that is asked for, or the journal's, or for a class a new one."""
    seed = args.seed
    if seed is None and journal is not None:
        seed = journal.seed
    if seed is None and (len(args.folders) > 1 or args.gradescope):
        seed = secrets.randbelow(LARGEST_SEED)
    if journal is not None:
        journal.begin(seed)
    return seed


def _grade_all(
    submissions: list[Submission],
    reports: list[Report | None],
    args: argparse.Namespace,
    seed: int | None,
    journal: Journal | None,
) -> None:
    """Fill in a report for each submission, from the journal where it has it."""
    keys = [digest(s, seed, args.user) for s in submissions]
    if journal is not None:
        found = (journal.find(key, s.name) for key, s in zip(keys, submissions, strict=True))
        reports[:] = found
    missing = [i for i, report in enumerate(reports) if report is None]
    todo = [submissions[i] for i in missing]
    with closing(grade_many(todo, args.jobs, args.user, seed)) as done:
        for place, report in done:
            i = missing[place]
            reports[i] = report
            if journal is not None:
                journal.add(keys[i], report)


def _how_to_go_on(reports: list[Report | None], journal: Journal | None) -> str:
    done = sum(report is not None for report in reports)
    said = f"Stopped: {done} of {len(reports)} submissions are graded"
    if journal is None:
        return f"{said}, and kept nowhere; name a file to write (--csv grades.csv) to go on later."
    where = visible(str(journal.path))
    return f"{said}, and kept in {where}; the same command with --resume grades the others."


def _show(reports: list[Report]) -> None:
    """One report in full, several as a table."""
    if len(reports) == 1:
        report = reports[0]
        print(*(as_text(v) for v in report.verdicts if v.problem), "", sep="\n\n", end="")
        print(progress(report))
        return
    for report in reports:
        print(f"{report.name:<40}{report.points:>5} of {report.max_points}")


def _tell(reports: list[Report], seed: int | None) -> None:
    """What an instructor should know of how it was graded."""
    for says in dict.fromkeys(says for report in reports for says in report.missing):
        print(f"This machine lacks {says}.", file=sys.stderr)
    if seed is not None:
        print(f"The cases were drawn with --seed {seed}.", file=sys.stderr)


def _write_all(reports: list[Report], args: argparse.Namespace) -> None:
    documents: dict[Path | None, Callable[[], str]] = {
        args.csv: lambda: export.as_csv(reports),
        args.json: lambda: export.as_json(reports),
        args.junit: lambda: export.as_junit(reports),
        args.gradescope: lambda: export.as_gradescope(reports[0]),
    }
    for path, text in documents.items():
        if path is not None:
            write_whole(path, text())


if __name__ == "__main__":
    sys.exit(main())
