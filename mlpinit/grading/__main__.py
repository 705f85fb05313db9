"""Grade a class: `python -m mlpinit.grading submissions/*/ --csv grades.csv`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tqdm import tqdm

from mlpinit.grading import export
from mlpinit.grading.client import Runner
from mlpinit.grading.exercise import all_exercises
from mlpinit.grading.grade import Report, Submission, grade, read_submission
from mlpinit.grading.show import as_text, progress

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Grade folders and write what is asked for; 0 when every folder was graded."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.gradescope and len(args.folders) != 1:
        parser.error("--gradescope takes one submission: Gradescope runs once for each")
    try:
        submissions = [read_submission(folder) for folder in args.folders]
        _check_user(args.user)
        for path in _written(args):
            if not path.parent.is_dir():
                raise ValueError(f"{path.parent} is not a folder to write {path.name} into")
    except ValueError as error:
        parser.error(str(error))
    reports = _grade_all(_with_names(submissions), args.jobs, args.user)
    documents: dict[Path | None, Callable[[], str]] = {
        args.csv: lambda: export.as_csv(reports),
        args.json: lambda: export.as_json(reports),
        args.junit: lambda: export.as_junit(reports),
        args.gradescope: lambda: export.as_gradescope(reports[0]),
    }
    for path, text in documents.items():
        if path is not None:
            _write(path, text())
    if len(reports) == 1 and not args.quiet:
        report = reports[0]
        print(*(as_text(v) for v in report.verdicts if v.problem), "", sep="\n\n", end="")
        print(progress(report))
    elif not args.quiet:
        for report in reports:
            print(f"{report.name:<40}{report.points:>5} of {report.max_points}")
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
    cores = os.cpu_count() or 1
    parser.add_argument(
        "--jobs", type=int, default=cores, help="submissions at a time (%(default)s)"
    )
    parser.add_argument("--user", default="", help="whose rights submissions have (needs root)")
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    return parser


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


def _with_names(submissions: list[Submission]) -> list[Submission]:
    """Names that tell submissions apart where their folders are called alike."""
    seen: dict[str, int] = {}
    named = []
    for s in submissions:
        seen[s.name] = seen.get(s.name, 0) + 1
        name = s.name if seen[s.name] == 1 else f"{s.name} ({seen[s.name]})"
        named.append(Submission(name, s.files, s.problems))
    return named


def _grade_all(submissions: list[Submission], jobs: int, user: str) -> list[Report]:
    """Grade several at a time, each worker with a runner of its own, in the order given."""
    jobs = max(1, min(jobs, len(submissions)))
    idle: SimpleQueue[Runner] = SimpleQueue()
    runners = [Runner(user) for _ in range(jobs)]
    for runner in runners:
        idle.put(runner)
    total = len(submissions) * len(all_exercises())
    try:
        with (
            tqdm(total=total, unit="exercise", disable=None) as bar,
            ThreadPoolExecutor(jobs) as pool,
        ):

            def work(submission: Submission) -> Report:
                runner = idle.get()
                try:
                    return grade(submission, runner, tell=lambda verdict: bar.update())
                finally:
                    idle.put(runner)

            return list(pool.map(work, submissions))
    finally:
        for runner in runners:
            runner.close()


def _write(path: Path, text: str) -> None:
    """Write a whole file or none."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
