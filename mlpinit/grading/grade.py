"""Grade a submission: one file a chapter, each exercise in a child of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlpinit.grading import wire
from mlpinit.grading.client import Runner
from mlpinit.grading.exercise import CHAPTERS, Exercise, all_exercises
from mlpinit.grading.job import Job
from mlpinit.grading.judge import FAILED, TO_DO, Verdict, judge

__all__ = ["Report", "Submission", "grade", "grade_exercise", "grade_source", "read_submission"]


@dataclass(frozen=True)
class Submission:
    """What was handed in: the text of each chapter's file, read before any of it runs.

    `files` maps a chapter's name to its text; a file that is missing or cannot be read is in
    `problems` with the reason instead.
    """

    name: str
    files: dict[str, str]
    problems: dict[str, str]


@dataclass(frozen=True)
class Report:
    """The verdicts on one submission, in the order of the exercises."""

    name: str
    verdicts: tuple[Verdict, ...]

    @property
    def points(self) -> int:
        """Points earned."""
        return sum(v.points for v in self.verdicts)

    @property
    def max_points(self) -> int:
        """Points there are."""
        return sum(v.exercise.points for v in self.verdicts)

    def count(self, status: str) -> int:
        """How many exercises have that status."""
        return sum(v.status == status for v in self.verdicts)

    @property
    def next_to_do(self) -> Exercise | None:
        """The first exercise that is not solved: one that failed before one that is to do."""
        for status in (FAILED, TO_DO):
            for verdict in self.verdicts:
                if verdict.status == status:
                    return verdict.exercise
        return None


def read_submission(folder: Path) -> Submission:
    """Read the chapters' files in a folder. Raises `ValueError` when there is no such folder."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; wanted one with files such as forward.py")
    files, problems = {}, {}
    for chapter in CHAPTERS:
        path = folder / f"{chapter}.py"
        try:
            files[chapter] = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            problems[chapter] = f"there is no file {path.name}"
        except (OSError, UnicodeDecodeError) as error:
            problems[chapter] = f"{path.name} cannot be read: {error}"
    return Submission(folder.resolve().name, files, problems)


def grade_source(runner: Runner, exercise: Exercise, source: str) -> Verdict:
    """The verdict on one exercise of a file with this text."""
    cases = [wire.encode(list(case.args)) for case in exercise.draw()]
    filename = f"{exercise.chapter}.py"
    job = Job(source, filename, exercise.function, cases, exercise.limits, runner.user)
    return judge(exercise, runner.run(job))


def grade_exercise(submission: Submission, runner: Runner, exercise: Exercise) -> Verdict:
    """The verdict on one exercise; 'to do', with the reason, where its file could not be read."""
    source = submission.files.get(exercise.chapter)
    if source is None:
        return Verdict(exercise, TO_DO, problem=submission.problems[exercise.chapter])
    return grade_source(runner, exercise, source)


def grade(
    submission: Submission,
    runner: Runner,
    exercises: Sequence[Exercise] | None = None,
    *,
    tell: Callable[[Verdict], object] = lambda verdict: None,
) -> Report:
    """Grade all exercises, or those given; `tell` hears each verdict as it falls."""
    verdicts = []
    for exercise in exercises or all_exercises():
        verdict = grade_exercise(submission, runner, exercise)
        verdicts.append(verdict)
        tell(verdict)
    return Report(submission.name, tuple(verdicts))
