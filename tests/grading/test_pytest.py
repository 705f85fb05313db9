"""`pytest tests/exercises` as a learner meets it, in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlpinit.grading.exercise import all_exercises

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "pytest", "tests/exercises", *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.fixture
def mine(tmp_path) -> Path:
    folder = tmp_path / "exercises"
    shutil.copytree(ROOT / "book" / "exercises", folder)
    return folder


def test_a_fresh_clone_is_all_to_do_and_no_failure():
    done = run("--submission", str(ROOT / "book" / "exercises"))
    assert done.returncode == 0, done.stdout
    n, points = len(all_exercises()), sum(e.points for e in all_exercises())
    assert f"0 of {points} points: 0 passed, 0 failed, {n} to do" in done.stdout
    assert "Next: 1.1" in done.stdout
    assert f"{n} to do" in done.stdout.splitlines()[-1]
    for e in all_exercises():
        assert f"· {e.id:<5}{e.title}" in done.stdout


def test_all_solved_passes():
    done = run("--strict-exercises", "--submission", str(ROOT / "book" / "solutions"))
    assert done.returncode == 0, done.stdout
    assert "Next" not in done.stdout


def test_a_wrong_answer_fails_strictly_to_do_as_well_and_nothing_of_pytest_shows(mine):
    path = mine / "tanh_derivative.py"
    path.write_text(path.read_text() + "\n\ndef tanh_slope(x):\n    return 1 - x**2\n")
    done = run("--strict-exercises", "-k", "tanh_slope or 6.3", "--submission", str(mine))
    assert done.returncode == 1
    report = done.stdout.split("FAILURES")[1].split("progress")[0]
    assert "1 − x² where 1 − tanh(x)² is meant" in report
    assert "6.3 A tanh that does not overflow: to do" in report
    assert "6.2" not in report, "-k picks by name and by number"
    for internal in ("conftest", "NotYetError", "def test_exercise", "Traceback", "site-packages"):
        assert internal not in report


def test_k_picks_a_chapter():
    done = run("-k", "tanh_derivative", "-v", "--submission", str(ROOT / "book" / "solutions"))
    found = [line for line in done.stdout.splitlines() if "PASSED" in line]
    assert [any(f"[{i}-" in line for line in found) for i in ("6.1", "6.2", "6.3")] == [True] * 3
    assert len(found) == 3


def test_k_takes_a_number_for_that_number_alone():
    done = run("-k", "6.1 or (1.2 and not 2.1)", "--collect-only", "-q")
    found = [line for line in done.stdout.splitlines() if "test_exercise[" in line]
    assert [line.split("[")[1].split("-")[0] for line in found] == ["1.2", "6.1"]


@pytest.mark.parametrize("said", ["1.", "1", "corpus"])
def test_k_takes_a_chapter_for_that_chapter_alone(said):
    done = run("-k", said, "--collect-only", "-q")
    found = [line.split("[")[1] for line in done.stdout.splitlines() if "test_exercise[" in line]
    assert found
    assert {key.split(".")[0] for key in found} == {"1"}


def test_a_file_that_is_missing_or_broken_costs_its_chapter_alone(mine):
    shutil.copytree(ROOT / "book" / "solutions", mine, dirs_exist_ok=True)
    (mine / "tanh_derivative.py").write_text("import nothing_of_that_name\n")
    (mine / "corpus.py").unlink()
    done = run("-k", "tanh_derivative or corpus or ladder", "--submission", str(mine))
    assert done.returncode == 1
    failed, to_do, passed = (
        sum(e.chapter == chapter for e in all_exercises())
        for chapter in ("tanh_derivative", "corpus", "ladder")
    )
    assert f"{passed} passed, {failed} failed, {to_do} to do" in done.stdout
