"""Grading a class: the command, its files, and what they promise to other programs."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from mlpinit.grading import __main__ as command
from mlpinit.grading import export
from mlpinit.grading.exercise import CHAPTERS, all_exercises
from mlpinit.grading.grade import Report, grade, read_submission
from mlpinit.grading.show import progress

ROOT = Path(__file__).resolve().parents[2]
TOTAL = sum(e.points for e in all_exercises())
CHAPTER_6 = sum(e.points for e in all_exercises() if e.chapter == "tanh_derivative")


@pytest.fixture(scope="module")
def submissions(tmp_path_factory) -> Path:
    """Five of a class: who solved all, nothing, one chapter, who broke a file, who loops."""
    folder = tmp_path_factory.mktemp("submissions")
    shutil.copytree(ROOT / "book" / "solutions", folder / "ada")
    shutil.copytree(ROOT / "book" / "exercises", folder / "bob")
    shutil.copytree(ROOT / "book" / "exercises", folder / "=cmd|x")
    shutil.copy(ROOT / "book" / "solutions" / "tanh_derivative.py", folder / "=cmd|x")
    shutil.copytree(ROOT / "book" / "solutions", folder / "dan")
    (folder / "dan" / "tanh_derivative.py").write_text("def (\n")
    (folder / "dan" / "corpus.py").unlink()
    (folder / "eve").mkdir()
    loop = "import torch\n\ndef tanh_slope(x):\n    while True: pass\n"
    (folder / "eve" / "tanh_derivative.py").write_text(loop)
    (folder / "eve" / "forward.py").write_bytes(b"\xff\xfe")
    return folder


@pytest.fixture(scope="module")
def files(submissions, tmp_path_factory) -> Path:
    """What the command writes for them."""
    out = tmp_path_factory.mktemp("grades")
    folders = sorted(map(str, submissions.iterdir()))
    asked = [f"--{kind}={out / kind}" for kind in ("csv", "json", "junit")]
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        assert command.main([*folders, *asked]) == 0
    assert f"ada{'':<37}{TOTAL:>5} of {TOTAL}" in shown.getvalue()
    return out


def test_the_table_has_a_row_each_a_column_an_exercise_and_the_total(files):
    head, *rows = csv.reader((files / "csv").read_text(encoding="utf-8").splitlines())
    assert head == ["submission", *(e.id for e in all_exercises()), "total", "of"]
    totals = {row[0]: int(row[-2]) for row in rows}
    assert list(totals) == ["'=cmd|x", "ada", "bob", "dan", "eve"]
    assert totals["ada"] == TOTAL
    assert totals["bob"] == totals["eve"] == 0
    assert totals["'=cmd|x"] == CHAPTER_6
    lost = sum(e.points for e in all_exercises() if e.chapter in ("corpus", "tanh_derivative"))
    assert totals["dan"] == TOTAL - lost
    assert all(sum(map(int, row[1:-2])) == int(row[-2]) for row in rows)


def test_the_json_keeps_its_schema(files):
    document = json.loads((files / "json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(export.SCHEMA)
    jsonschema.validate(document, export.SCHEMA)
    by_name = {s["name"]: s for s in document["submissions"]}
    said = {e["id"]: e["problem"] for e in by_name["dan"]["exercises"]}
    assert "SyntaxError" in said["6.1"]
    assert said["1.1"] == "there is no file corpus.py"
    said = {e["id"]: e["problem"] for e in by_name["eve"]["exercises"]}
    assert "longer than" in said["6.1"]
    assert "forward.py cannot be read" in said["2.1"]


def test_the_junit_counts_add_up(files):
    root = ET.parse(files / "junit").getroot()
    suites = {suite.get("name"): suite for suite in root.iter("testsuite")}
    assert len(suites) == 5
    for suite in suites.values():
        cases = suite.findall("testcase")
        assert len(cases) == int(suite.get("tests")) == len(all_exercises())
        assert len(suite.findall("testcase/failure")) == int(suite.get("failures"))
        assert len(suite.findall("testcase/skipped")) == int(suite.get("skipped"))
    assert int(suites["bob"].get("skipped")) == len(all_exercises())


def test_gradescope_s_file_holds_what_is_documented(submissions, tmp_path, capsys):
    """Fields and limits after Gradescope's "Autograder specifications", section "Output format"."""
    out = tmp_path / "results.json"
    assert command.main([str(submissions / "=cmd|x"), "--gradescope", str(out)]) == 0
    document = json.loads(out.read_text(encoding="utf-8"))
    assert set(document) <= {
        "score",
        "execution_time",
        "output",
        "output_format",
        "test_output_format",
        "test_name_format",
        "visibility",
        "stdout_visibility",
        "extra_data",
        "tests",
        "leaderboard",
    }
    assert document["score"] == CHAPTER_6
    assert isinstance(document["execution_time"], int)
    formats, seen = {"text", "html", "simple_format", "md", "ansi"}, set()
    views = {"hidden", "after_due_date", "after_published", "visible"}
    assert {document["visibility"], document["stdout_visibility"]} <= views
    for test in document["tests"]:
        assert set(test) <= {
            "score",
            "max_score",
            "status",
            "name",
            "name_format",
            "number",
            "output",
            "output_format",
            "tags",
            "visibility",
            "extra_data",
        }
        assert 0 <= test["score"] <= test["max_score"]
        assert test["status"] in ("passed", "failed")
        assert test["output_format"] in formats
        assert test["visibility"] in views
        assert all(isinstance(tag, str) for tag in test["tags"])
        seen.add(test["number"])
    assert len(seen) == len(all_exercises())
    assert document["score"] == sum(t["score"] for t in document["tests"])
    assert out.stat().st_size < 2**20
    shown = capsys.readouterr().out
    assert f"{CHAPTER_6} of {TOTAL} points" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is not a folder"),
        ([".", ".", "--gradescope", "x.json"], "takes one submission"),
        ([".", "--csv", "no/such/grades.csv"], "is not a folder to write grades.csv into"),
        ([".", "--user", "nobody-of-that-name"], "no user nobody-of-that-name"),
        ([], "the following arguments are required"),
    ],
)
def test_a_call_that_cannot_work_is_refused_before_work(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_folders_of_one_name_stay_apart_and_quiet_is_quiet(tmp_path, capsys):
    for group in ("a", "b"):
        (tmp_path / group / "work").mkdir(parents=True)
    out = tmp_path / "grades.csv"
    folders = [str(tmp_path / group / "work") for group in ("a", "b")]
    assert command.main([*folders, "--csv", str(out), "--quiet"]) == 0
    assert [row.split(",")[0] for row in out.read_text().splitlines()[1:]] == ["work", "work (2)"]
    assert not capsys.readouterr().out
    assert not list(tmp_path.glob(".*.part"))


def test_progress_tells_the_next_one_to_try(runner, submissions):
    picked = [e for e in all_exercises() if e.chapter == "tanh_derivative"]
    said = progress(grade(read_submission(submissions / "bob"), runner, picked))
    assert "Next: 6.1 The slope of tanh" in said
    assert "pytest tests/exercises -k 6.1" in said
    done = grade(read_submission(submissions / "ada"), runner, picked)
    assert "Next" not in progress(done)
    assert f"{CHAPTER_6} of {CHAPTER_6} points" in progress(done)
    assert export.as_csv([]) == ""
    assert Report("x", ()).next_to_do is None


def test_the_chapters_are_the_book_s():
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    names = [line.split("/")[-1].strip() for line in toc.splitlines() if "book/part" in line]
    assert [name.replace("-", "_") for name in names] == list(CHAPTERS)


def test_the_command_is_there():
    line = [sys.executable, "-m", "mlpinit.grading", "--help"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "in a container" in done.stdout
