"""Grade the learner's files: one test an exercise, and a table of progress at the end."""

from __future__ import annotations

import atexit
import gc
import re
from pathlib import Path

import pytest

from mlpinit.grading.client import Runner

# It imports torch while this process does: a check answers a second sooner. Nothing that is
# imported is garbage, and to look for some meanwhile takes a third as long again.
RUNNER = Runner()
gc.disable()
atexit.register(RUNNER.close)

from mlpinit.grading.exercise import all_exercises  # noqa: E402
from mlpinit.grading.grade import Report, grade_exercise, read_submission  # noqa: E402
from mlpinit.grading.judge import FAILED, TO_DO, Verdict  # noqa: E402
from mlpinit.grading.show import as_text, progress  # noqa: E402

gc.freeze()
gc.enable()

ROOT = Path(__file__).resolve().parents[2]


class NotYetError(Exception):
    """Carries a verdict's text to the report."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("exercises of the book")
    group.addoption(
        "--strict-exercises", action="store_true", help='an exercise "to do" counts as failed'
    )
    group.addoption(
        "--submission",
        type=Path,
        default=ROOT / "book" / "exercises",
        help="the folder with the chapters' files (%(default)s)",
    )


# A number in `-k`: an exercise's, or a chapter's, with its point or without.
EXERCISE = re.compile(r"(?<![\w.[-])\d+\.\d+(?![\w.-])")
CHAPTER = re.compile(r"(?<![\w.[-])(\d+)\.?(?![\w.-])")


def pytest_configure(config: pytest.Config) -> None:
    config.verdicts = []
    # A number stands for itself: `-k 6.1` is not 16.1 as well, and `-k 1.` not chapter 11.
    chosen = EXERCISE.sub(r"[\g<0>-", config.option.keyword)
    config.option.keyword = CHAPTER.sub(r"[\g<1>.", chosen)


@pytest.fixture(scope="session")
def submission(request: pytest.FixtureRequest):
    return read_submission(request.config.getoption("--submission"))


@pytest.fixture
def verdict(exercise, submission, request) -> Verdict:
    """The verdict on the learner's answer to `exercise`."""
    found = grade_exercise(submission, RUNNER, exercise)
    request.config.verdicts.append(found)
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "exercise" in metafunc.fixturenames:
        exercises = all_exercises()
        metafunc.parametrize("exercise", exercises, ids=[e.key for e in exercises])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    if call.excinfo is not None and call.excinfo.errisinstance(NotYetError):
        report.longrepr = str(call.excinfo.value)
    return report


def pytest_report_teststatus(report: pytest.TestReport):
    if report.skipped and "to do" in str(report.longrepr) and "test_exercises" in report.nodeid:
        return "to do", ".", ("TO DO", {"yellow": True})
    return None


def pytest_terminal_summary(terminalreporter, exitstatus, config: pytest.Config) -> None:
    if config.verdicts:
        terminalreporter.section("progress")
        order = {e.id: i for i, e in enumerate(all_exercises())}
        verdicts = sorted(config.verdicts, key=lambda v: order[v.exercise.id])
        terminalreporter.write_line(progress(Report("you", tuple(verdicts))))


@pytest.fixture
def settle(request):
    """Turn a verdict into pytest's terms."""
    strict = request.config.getoption("--strict-exercises")

    def settled(verdict: Verdict) -> None:
        if verdict.status == FAILED or (verdict.status == TO_DO and strict):
            raise NotYetError(as_text(verdict))
        if verdict.status == TO_DO:
            pytest.skip("to do")

    return settled
