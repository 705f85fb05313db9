"""Grade a submission: one file a chapter, each exercise in a child of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from mlpinit.grading import sandbox
from mlpinit.grading.client import Runner
from mlpinit.grading.drawn import drawn
from mlpinit.grading.exercise import Exercise, all_exercises
from mlpinit.grading.job import Job
from mlpinit.grading.judge import FAILED, TO_DO, Verdict, judge, unjudged
from mlpinit.grading.submission import Submission, read_submission
from mlpinit.grading.text import visible

__all__ = [
    "Known",
    "Report",
    "Submission",
    "grade",
    "grade_exercise",
    "grade_source",
    "read_submission",
]


Known = dict[tuple[bytes, str, int | None], Verdict]  # by a file's digest, an exercise and a seed


@dataclass(frozen=True)
class Report:
    """The verdicts on one submission, in the order of the exercises.

    `name` is fit to show; `seed` is that of the cases, None for the learner's.
    """

    name: str
    verdicts: tuple[Verdict, ...]
    seed: int | None = None

    def __post_init__(self) -> None:
        """Make the name visible, whatever a folder was called."""
        object.__setattr__(self, "name", visible(self.name))

    @property
    def points(self) -> int:
        """Points earned."""
        return sum(v.points for v in self.verdicts)

    @property
    def max_points(self) -> int:
        """Points there are."""
        return sum(v.exercise.points for v in self.verdicts)

    @property
    def missing(self) -> list[str]:
        """In words, the protections that some of its runs lacked; nothing where none ran."""
        ran = [set(v.held) for v in self.verdicts if v.held]
        return sandbox.missing(sorted(set.intersection(*ran))) if ran else []

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


def grade_source(
    runner: Runner, exercise: Exercise, source: str | bytes, seed: int | None = None
) -> Verdict:
    """The verdict on one exercise of a file that holds `source`, on the cases of `seed`."""
    try:
        cases = drawn(exercise, seed).encoded
    except Exception as error:  # a fault of the exercise's, which costs no other exercise
        return unjudged(exercise, error)
    filename = f"{exercise.chapter}.py"
    job = Job(source, filename, exercise.function, cases, exercise.limits, runner.user)
    return judge(exercise, runner.run(job), seed)


def grade_exercise(
    submission: Submission,
    runner: Runner,
    exercise: Exercise,
    seed: int | None = None,
    known: Known | None = None,
) -> Verdict:
    """The verdict on one exercise; 'to do', with the reason, where its file could not be read.

    What `known` holds of a file that is the same to the byte is not run again; what passes or is to
    do is added to it. A failure is not: it may have been the machine's, and each has its own.
    """
    source = submission.files.get(exercise.chapter)
    if source is None:
        return Verdict(exercise, TO_DO, problem=submission.problems[exercise.chapter])
    if known is None:
        return grade_source(runner, exercise, source, seed)
    key = (sha256(source).digest(), exercise.id, seed)
    if key not in known:
        verdict = grade_source(runner, exercise, source, seed)
        if verdict.status == FAILED or verdict.output:
            return verdict
        known[key] = verdict
    return known[key]


def grade(
    submission: Submission,
    runner: Runner,
    exercises: Sequence[Exercise] | None = None,
    *,
    seed: int | None = None,
    known: Known | None = None,
    tell: Callable[[Verdict], object] = lambda verdict: None,
) -> Report:
    """Grade all exercises, or those given, on the cases of `seed`; `tell` hears each verdict.

    `known` is what submissions graded earlier had in common with this one: see `grade_exercise`.
    """
    verdicts = []
    for exercise in exercises or all_exercises():
        verdict = grade_exercise(submission, runner, exercise, seed, known)
        verdicts.append(verdict)
        tell(verdict)
    return Report(submission.name, tuple(verdicts), seed)
