"""Grading a class: the command, its files, and what they promise to other programs."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import yaml

from mlpinit.grading import __main__ as command
from mlpinit.grading import crew, export, inputs
from mlpinit.grading.client import Runner
from mlpinit.grading.exercise import CHAPTERS, all_exercises, find
from mlpinit.grading.grade import Report, grade, grade_source, read_submission
from mlpinit.grading.journal import Journal, digest
from mlpinit.grading.judge import FAILED, PASSED, TO_DO, Verdict
from mlpinit.grading.show import as_text, progress
from mlpinit.grading.submission import Submission

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
    assert "SyntaxError" in said["2.1"]


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
        ([".", "--csv", "."], "is a folder; name a file to write"),
        ([".", "--resume"], "--resume needs a file to write"),
        ([".", "--seed", "-1"], "wanted a whole number from 0"),
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
    assert "make check EX=6.1" in said
    done = grade(read_submission(submissions / "ada"), runner, picked)
    assert "Next" not in progress(done)
    assert f"{CHAPTER_6} of {CHAPTER_6} points" in progress(done)
    assert export.as_csv([]) == ""
    assert Report("x", ()).next_to_do is None


def test_the_chapters_are_the_book_s():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    numbered = [part["chapters"] for part in toc["parts"] if "numbered" in part]
    names = [chapter["file"].split("/")[-1] for part in numbered for chapter in part]
    assert [name.replace("-", "_") for name in names] == list(CHAPTERS)


def test_the_command_is_there():
    line = [sys.executable, "-m", "mlpinit.grading", "--help"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "in a container" in done.stdout


SLOPE = "import torch\n\ndef tanh_slope(x):\n    return 1 - torch.tanh(x) ** 2\n"
LOOP = "def tanh_slope(x):\n    while True: pass\n"
HOSTILE = {
    "a number without bounds": "return 10**30",
    "a number that no text takes": "return 10**5000",
    "half a character": "raise ValueError('\\udce9')",
    "no character": "raise ValueError('\\uffff \\x00 \\x1b[2J \\ue000')",
    "a signal without a name": "os.kill(os.getpid(), 40)",
    "a forged shape": 'os.write(3, b\'{"kind": "value", "value": 3}\\n\')\n    os._exit(0)',
}


def hand_in(folder: Path, **texts: str) -> list[str]:
    """Submissions of a chapter's file alone, by name."""
    for name, text in texts.items():
        (folder / name).mkdir(exist_ok=True)
        own = f"{text}\n# by {name}\n"  # what is alike to the byte is graded once
        (folder / name / "tanh_derivative.py").write_text(own, encoding="utf-8")
    return [str(folder / name) for name in texts]


def rows(path: Path) -> dict[str, str]:
    """Each name of a table, in order, with its total."""
    _, *found = csv.reader(path.read_text(encoding="utf-8").splitlines())
    return {row[0]: row[-2] for row in found}


@pytest.fixture
def graded(monkeypatch) -> list[str]:
    """The names of those that were graded, not found in a journal."""
    names = []

    def counted(submission, *args, **kwargs):
        names.append(submission.name)
        return grade(submission, *args, **kwargs)

    monkeypatch.setattr(crew, "grade", counted)
    return names


def test_no_answer_costs_anybody_else_a_grade(tmp_path):
    texts = {
        what: f"import os\n\ndef tanh_slope(x):\n    {body}\n" for what, body in HOSTILE.items()
    }
    folders = hand_in(tmp_path, **texts, last=SLOPE)
    asked = [f"--{kind}={tmp_path / kind}" for kind in ("csv", "json", "junit")]
    assert command.main([*folders, *asked]) == 0
    points = rows(tmp_path / "csv")
    assert list(points) == [*HOSTILE, "last"]
    assert points.pop("last") == str(find("6.1").points)
    assert set(points.values()) == {"0"}
    assert len(ET.parse(tmp_path / "junit").getroot()) == len(folders)
    assert "\ue000" in (tmp_path / "junit").read_text(encoding="utf-8"), "legal, and so it stays"
    jsonschema.validate(json.loads((tmp_path / "json").read_text("utf-8")), export.SCHEMA)


def test_names_of_any_kind_are_rows_of_their_own(tmp_path, capsys):
    names = [
        b"a\nb",
        rb"a\nb",
        b"a\tb",
        b"\x1b[2J",
        b"Ren\xe9",
        "\u202eeva".encode(),
        b"--csv",
        b"sam (2)",
    ]
    if sys.platform != "linux":
        names = [name for name in names if name != b"Ren\xe9"]
    folders = [os.fsdecode(os.path.join(os.fsencode(tmp_path), name)) for name in names]
    folders += [str(tmp_path / group / "sam") for group in ("one", "two")]
    for folder in folders:
        Path(folder).mkdir(parents=True)
    out, xml = tmp_path / "grades.csv", tmp_path / "grades.xml"
    assert command.main([*folders, f"--csv={out}", f"--junit={xml}"]) == 0
    found = rows(out)
    assert len(found) == len(folders)
    assert {r"a\nb", r"a\nb (2)", r"a\tb", r"\x1b[2J", r"\u202eeva", "'--csv"} <= set(found)
    assert [name for name in found if "sam" in name] == ["sam (2)", "sam", "sam (3)"]
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == len(folders)
    assert "\x1b" not in shown
    assert len({suite.get("name") for suite in ET.parse(xml).getroot()}) == len(folders)


def test_a_terminal_that_lacks_characters_gets_escapes(tmp_path):
    (folder,) = hand_in(tmp_path, eva=SLOPE)
    line = [sys.executable, "-m", "mlpinit.grading", folder]
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=ascii_only)
    assert done.returncode == 0, done.stderr
    assert r"\u2713 6.1" in done.stdout


def test_ctrl_c_leaves_what_was_done_and_resume_grades_the_others(tmp_path, graded):
    folders = hand_in(tmp_path, anna=SLOPE, ben=LOOP, cleo=SLOPE)
    out = tmp_path / "grades.csv"
    journal = tmp_path / "grades.csv.journal"
    asked = [*folders, "--csv", str(out), "--jobs", "1"]
    line = [sys.executable, "-m", "mlpinit.grading", *asked]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while not re.search(rb'"anna".*\n', journal.read_bytes() if journal.exists() else b""):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"1 of 3 submissions are graded" in said
    assert b"--resume" in said
    assert b"Traceback" not in said
    assert not out.exists()

    with journal.open("ab") as file:
        file.write(b'{"name": "ben", "digest": "cut of')
    hand_in(tmp_path, ben=SLOPE)
    assert command.main([*asked, "--resume"]) == 0
    assert graded == ["ben", "cleo"]
    points = str(find("6.1").points)
    assert rows(out) == {"anna": points, "ben": points, "cleo": points}

    graded.clear()
    hand_in(tmp_path, cleo=SLOPE.replace("1 -", "2 -"))
    assert command.main([*asked, "--resume"]) == 0
    assert graded == ["cleo"], "what changed, and no other"
    assert rows(out) == {"anna": points, "ben": points, "cleo": "0"}


SLOW = f"import time\ntime.sleep(2)\n{SLOPE}"


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_runner_killed_in_the_middle_of_a_class_costs_nobody_a_mark(tmp_path, monkeypatch, jobs):
    folders = hand_in(tmp_path, anna=SLOPE, ben=SLOW, cleo=SLOPE)
    run, killed, after = Runner._run, [], []

    def kill(pid):
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    def watched(self, job):
        if killed:
            after.append(self._process.pid)
        elif b"sleep" in job.source:
            threading.Timer(0.5, kill, [self._process.pid]).start()
        return run(self, job)

    monkeypatch.setattr(Runner, "_run", watched)
    assert command.main([*folders, "--csv", str(tmp_path / "grades.csv"), "--jobs", jobs]) == 0
    assert len(killed) == 1
    assert after, "it went on"
    assert killed[0] not in after
    points = str(find("6.1").points)
    assert rows(tmp_path / "grades.csv") == {"anna": points, "ben": points, "cleo": points}


def test_where_no_runner_starts_the_run_ends_in_words_and_keeps_what_was_done(
    tmp_path, monkeypatch, capsys, graded
):
    folders = hand_in(tmp_path, anna=SLOPE, ben=SLOPE)
    asked = [*folders, "--csv", str(tmp_path / "grades.csv"), "--jobs", "1"]
    run = Runner._run

    def breaks(self, job):
        if b"by ben" in job.source:
            monkeypatch.setattr(sys, "executable", "/no/such/python")
            self._process.kill()
        return run(self, job)

    monkeypatch.setattr("mlpinit.grading.client.PAUSES", (0.0,))
    monkeypatch.setattr(Runner, "_run", breaks)
    assert command.main(asked) == 1
    said = capsys.readouterr().err
    assert "1 of 2 submissions are graded, and kept in" in said
    assert "the process that runs submissions does not start: " in said
    assert "Traceback" not in said
    monkeypatch.undo()
    assert command.main([*asked, "--resume"]) == 0
    points = str(find("6.1").points)
    assert rows(tmp_path / "grades.csv") == {"anna": points, "ben": points}


def test_a_crew_that_is_stopped_ends_between_two_exercises(monkeypatch):
    told = []

    def slow(submission, runner, *, tell, **kwargs):
        for number in range(5 if submission.name == "quick" else 1000):
            time.sleep(0.01)
            tell(None)
            told.append(number)
        return submission.name

    monkeypatch.setattr(crew, "grade", slow)
    monkeypatch.setattr(crew, "Runner", mock.Mock())
    class_ = [Submission(name, {}, {}) for name in ("quick", "slow", "not begun")]
    with contextlib.closing(crew.grade_many(class_, 2, "", None)) as done:
        assert next(done) == (0, "quick")
    assert len(told) < 1000


def test_a_file_that_is_the_same_is_run_once_unless_it_failed(monkeypatch):
    ran = []

    def verdicts(runner, exercise, source, seed):
        ran.append(source)
        status = {b"wrong": FAILED, b"open": TO_DO}.get(source, PASSED)
        return Verdict(exercise, status, output="hm" if source == b"prints" else "")

    monkeypatch.setattr("mlpinit.grading.grade.grade_source", verdicts)
    known = {}
    texts = (b"right", b"open", b"wrong", b"prints")
    for _ in range(2):
        for text in texts:
            one = Submission("one", {"tanh_derivative": text}, {})
            (found,) = grade(one, None, [find("6.1")], known=known).verdicts
            assert found.status == {b"wrong": FAILED, b"open": TO_DO}.get(text, PASSED)
    assert ran == [*texts, b"wrong", b"prints"]
    grade(
        Submission("one", {"tanh_derivative": b"right"}, {}),
        None,
        [find("6.1")],
        seed=3,
        known=known,
    )
    grade(Submission("one", {"tanh_derivative": b"right"}, {}), None, [find("6.2")], known=known)
    assert len(ran) == 8


def test_a_journal_is_written_at_once_and_a_line_cut_off_costs_no_other(tmp_path):
    path = tmp_path / "journal"
    with contextlib.closing(Journal(path, resume=False)) as journal:
        journal.begin(3)
        journal.add("key", Report("anna", ()))
        assert path.read_bytes().endswith(b"\n"), "not when it is closed"
    with path.open("ab") as file:
        file.write(b'{"digest": "cut of')
    with contextlib.closing(Journal(path, resume=True)) as journal:
        journal.begin(4)
    with contextlib.closing(Journal(path, resume=True)) as journal:
        assert journal.seed == 4
        assert journal.find("key", "anna") == Report("anna", (), 4)


def test_another_seed_or_other_graders_grade_all_anew(tmp_path, graded, monkeypatch):
    folders = hand_in(tmp_path, anna=SLOPE, ben=SLOPE)
    asked = [*folders, "--csv", str(tmp_path / "grades.csv"), "--resume"]
    assert command.main([*asked, "--seed", "3"]) == 0
    assert command.main(asked) == 0
    assert sorted(graded) == ["anna", "ben"], "the journal's seed is taken up"
    assert command.main([*asked, "--seed", "4"]) == 0
    assert len(graded) == 4
    monkeypatch.setattr("mlpinit.grading.journal._graders", lambda: "others")
    assert command.main(asked) == 0
    assert len(graded) == 6


def test_a_journal_gives_back_the_report_that_it_took(runner, tmp_path):
    (folder,) = hand_in(tmp_path, eva="def tanh_slope(x):\n    print('hm')\n    return x\n")
    submission = read_submission(Path(folder))
    report = grade(submission, runner, [find("6.1"), find("1.1")])
    key = digest(submission, None, "")
    for resume in (False, True):
        with contextlib.closing(Journal(tmp_path / "journal", resume=resume)) as journal:
            if resume:
                assert journal.find(key, "eva") == report
                assert journal.find(key, "eva").verdicts[0].held == report.verdicts[0].held
            journal.begin(None)
            journal.add(key, report)
            written = (tmp_path / "journal").read_bytes()
            assert written.endswith(b"}\n"), "nothing waits for the journal to be closed"
    with contextlib.closing(Journal(tmp_path / "journal", resume=False)) as journal:
        assert journal.find(key, "eva") is None, "begun anew"


def test_a_line_that_was_cut_off_swallows_none_of_those_after_it(tmp_path):
    (tmp_path / "journal").write_bytes(b'{"name": "ben", "digest": "cut of')
    for seed in (7, None):
        with contextlib.closing(Journal(tmp_path / "journal", resume=True)) as journal:
            if seed is None:
                assert journal.seed == 7
            journal.begin(seed)


def test_a_class_has_cases_of_its_own_and_the_report_names_their_seed(tmp_path, capsys):
    folders = hand_in(tmp_path, anna=SLOPE, ben=SLOPE.replace("1 -", "2 -"))
    seeds = []
    for _ in range(2):
        assert command.main([*folders, "--json", str(tmp_path / "json")]) == 0
        document = json.loads((tmp_path / "json").read_text(encoding="utf-8"))
        (seed,) = {s["seed"] for s in document["submissions"]}
        assert f"--seed {seed}" in capsys.readouterr().err
        seeds.append(seed)
    assert seeds[0] != seeds[1]
    said = str(document["submissions"][1]["exercises"])
    assert f'mlpinit.grading.inputs("6.1", 1, seed={seeds[1]})' in said


def test_a_table_of_the_shown_answers_is_worth_nothing_to_a_class(runner):
    (x,) = inputs("6.1", 1)
    table = (1 - x.double().tanh() ** 2).tolist()
    looked_up = f"import torch\n\ndef tanh_slope(x):\n    return torch.tensor({table})\n"
    said = grade_source(runner, find("6.1"), looked_up)
    assert "case 2 of" in as_text(said), "right for what the learner is shown"
    said = grade_source(runner, find("6.1"), looked_up, seed=5)
    assert (said.status, "case 1 of" in as_text(said)) == (FAILED, True)
    assert grade_source(runner, find("6.1"), SLOPE, seed=5).status == PASSED


def test_the_learner_s_own_cases_are_what_one_submission_is_graded_on(tmp_path, capsys):
    (folder,) = hand_in(tmp_path, eva=SLOPE)
    assert command.main([folder, "--json", str(tmp_path / "json")]) == 0
    document = json.loads((tmp_path / "json").read_text(encoding="utf-8"))
    assert document["submissions"][0]["seed"] is None
    assert "--seed" not in capsys.readouterr().err


def test_protections_that_are_missing_are_named(capsys, tmp_path, monkeypatch):
    def held(submission, runner, *, seed, **kwargs):
        names = ("limits", "files", "processes", "network")
        lacking = ("limits", "processes") if submission.name == "ben" else names
        verdicts = [Verdict(find("6.1"), PASSED, held=h) for h in (names, lacking, ())]
        return Report(submission.name, tuple(verdicts), seed)

    monkeypatch.setattr(crew, "grade", held)
    folders = hand_in(tmp_path, anna=SLOPE, ben=SLOPE)
    assert command.main([*folders, "--json", str(tmp_path / "json")]) == 0
    said = capsys.readouterr().err
    assert said.count("This machine lacks") == 2
    assert "This machine lacks closed files" in said
    assert "This machine lacks a closed network" in said
    document = json.loads((tmp_path / "json").read_text(encoding="utf-8"))
    jsonschema.validate(document, export.SCHEMA)
    anna, ben = document["submissions"]
    assert anna["missing"] == []
    assert len(ben["missing"]) == 2
