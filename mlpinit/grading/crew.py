"""Grade many submissions, several at a time, each worker with a runner of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue

from tqdm import tqdm

from mlpinit.grading.client import Runner
from mlpinit.grading.exercise import all_exercises
from mlpinit.grading.grade import Known, Report, grade
from mlpinit.grading.judge import Verdict
from mlpinit.grading.submission import Submission

__all__ = ["grade_many"]


class _StoppedError(Exception):
    """Ends a submission between two exercises."""


def grade_many(
    submissions: Sequence[Submission], jobs: int, user: str, seed: int | None
) -> Iterator[tuple[int, Report]]:
    """Yield each submission's place and its report as soon as it is ready.

    Closed early, or interrupted, it ends with the exercises that are running.
    """
    jobs = max(1, min(jobs, len(submissions)))
    runners = [Runner(user) for _ in range(jobs)] if submissions else []
    idle: SimpleQueue[Runner] = SimpleQueue()
    for runner in runners:
        idle.put(runner)
    stop = threading.Event()
    known: Known = {}  # untouched starters above all: most of a class hands in some
    bar = tqdm(total=len(submissions) * len(all_exercises()), unit="exercise", disable=None)

    def tell(verdict: Verdict) -> None:
        bar.update()
        if stop.is_set():
            raise _StoppedError

    def work(submission: Submission) -> Report:
        runner = idle.get()
        try:
            return grade(submission, runner, seed=seed, known=known, tell=tell)
        finally:
            idle.put(runner)

    pool = ThreadPoolExecutor(jobs)
    try:
        places = {pool.submit(work, s): i for i, s in enumerate(submissions)}
        for future in as_completed(places):
            yield places[future], future.result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        bar.close()
        for runner in runners:
            runner.close()
