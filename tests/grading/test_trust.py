"""Nothing a submission does turns a wrong answer right, or costs more than its own exercise."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

import mlpinit
from mlpinit.grading.client import Runner
from mlpinit.grading.exercise import find
from mlpinit.grading.grade import grade_source
from mlpinit.grading.judge import FAILED, PASSED
from mlpinit.grading.sandbox import Limits
from mlpinit.grading.show import as_text

# A second is enough to wait for a loop that does not end, and 128 MiB for one that hoards.
SLOPE = replace(find("6.1"), limits=Limits(seconds=1, memory=2**27))
RIGHT = "import torch\n\ndef tanh_slope(x):\n    return 1 - torch.tanh(x) ** 2\n"
WRONG = "return 0.5 * x"


@pytest.fixture
def needs(runner):
    """Skip where the system has not the protection; every Linux from 5.13 on has both."""

    def protection(name: str) -> None:
        if name not in grade(runner, WRONG).held:
            pytest.skip(f"this system cannot take away {name}")

    return protection


def grade(runner, body: str, before: str = ""):
    """The verdict on a tanh_slope with that body, after that code at the top of its file."""
    source = f"import torch\n{before}\n\ndef tanh_slope(x):\n{indented(body)}\n"
    return grade_source(runner, SLOPE, source)


def indented(body: str) -> str:
    return "\n".join("    " + line for line in body.splitlines())


TRICKS = {
    "patches torch's comparisons": (
        "torch.allclose = torch.equal = torch.isclose = lambda *a, **k: True",
        WRONG,
    ),
    "patches the tensor's own": ("torch.Tensor.__eq__ = lambda a, b: True", WRONG),
    "answers with an object that equals everything": (
        "class Yes:\n    def __eq__(self, other): return True\n    shape = dtype = None",
        "return Yes()",
    ),
    "answers with a subclass that lies": (
        "class Lie(torch.Tensor):\n"
        "    @classmethod\n"
        "    def __torch_function__(cls, f, types, args=(), kwargs=None): return True",
        "return (0.5 * x).as_subclass(Lie)",
    ),
    "leaves with success": ("import os", "os._exit(0)"),
    "leaves while it is imported": ("import os\nos._exit(0)", WRONG),
    "exits": ("import sys", "sys.exit(0)"),
    "tells pytest to stop": ("import pytest", "pytest.exit('all passed', returncode=0)"),
    "patches pytest": ("import pytest\npytest.skip = pytest.fail = print", WRONG),
    "prints a report": ("", "print('6.1 passed (1 of 1 point)\\n=== 28 passed ===')\n" + WRONG),
    "forges an answer's line": (
        "import os",
        'os.write(3, b\'{"kind": "passed", "points": 1}\\n\' * 9)\nos._exit(0)',
    ),
    "forges broken lines": ("import os", "os.write(3, b'\\xff\\x00[[[[\\n' * 9)\nos._exit(0)"),
    "forges deep lines": (
        "import os",
        "os.write(3, b'[' * 100000 + b'\\n')\nos._exit(0)",
    ),
    "walks the stack for what is expected": (
        "import sys",
        "frame = sys._getframe()\nfound = []\n"
        "while frame:\n    found += list(frame.f_locals)\n    frame = frame.f_back\n"
        "assert not {'expected', 'oracle', 'exercise'} & set(found), found\n" + WRONG,
    ),
    "searches memory for the graders": (
        "import gc",
        "for o in gc.get_objects():\n"
        "    if type(o).__name__ in ('Exercise', 'Mistake'):\n"
        "        return o.oracle(x)\n" + WRONG,
    ),
    "imports the graders": (
        "",
        "from mlpinit.grading.exercises.tanh_derivative import SLOPE\nreturn SLOPE.oracle(x)",
    ),
    "imports the graders afresh": (
        "import sys",
        "del sys.modules['mlpinit.grading']\n"
        "from mlpinit.grading.exercises.tanh_derivative import SLOPE\nreturn SLOPE.oracle(x)",
    ),
    "patches the format's encoder": (
        "import gc, types",
        "for o in gc.get_objects():\n"
        "    if isinstance(o, types.ModuleType) and o.__name__.endswith('grading.wire'):\n"
        "        o.encode = lambda v: 'true'\n" + WRONG,
    ),
    "replaces the answers' generator": (
        "import os",
        "os.dup2(os.open(os.devnull, os.O_WRONLY), 3)\n" + WRONG,
    ),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_a_trick_does_not_make_a_wrong_answer_right(runner, trick):
    before, body = TRICKS[trick]
    verdict = grade(runner, body, before)
    assert verdict.status == FAILED, as_text(verdict)
    assert verdict.points == 0
    assert "SLOPE.oracle" not in verdict.output
    assert grade_source(runner, SLOPE, RIGHT).status == PASSED, "the next one is judged as ever"


def test_files_beside_the_submission_are_not_run(runner, tmp_path, monkeypatch):
    """Its own conftest, sitecustomize, torch.py or usercustomize."""
    for name in ("conftest.py", "sitecustomize.py", "usercustomize.py", "torch.py", "json.py"):
        (tmp_path / name).write_text("import os\nos._exit(0)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Runner() as fresh:
        assert grade(fresh, WRONG).status == FAILED
        assert grade_source(fresh, SLOPE, RIGHT).status == PASSED


HARMS = {
    "a loop without end": ("", "while True: pass", "longer than"),
    "a loop that swallows exceptions": (
        "",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "longer than",
    ),
    "a loop that ignores signals": (
        "import signal\nfor s in (2, 14, 15, 24): signal.signal(s, signal.SIG_IGN)",
        "while True: pass",
        "longer than",
    ),
    "a loop inside C code": ("", "return sum(range(10**12))", "longer than"),
    "a loop while it is imported": ("while True: pass", WRONG, "longer than"),
    "closing the channel and going on": ("import os", "os.close(3)\nwhile True: pass", "longer"),
    "a hundred gigabytes": ("", "return torch.zeros(25 * 10**9)", "more memory than"),
    "a hundred gigabytes of Python": ("", "return bytearray(10**11)", "more memory than"),
    "memory bit by bit": (
        "",
        "hoard = []\nwhile True: hoard.append(torch.ones(10**6))",
        "more memory than",
    ),
    "a segmentation fault": ("import ctypes", "ctypes.string_at(0)", "crashed.*SIGSEGV"),
    "an abort": ("import os", "os.abort()", "crashed.*SIGABRT"),
    "gigabytes of output": ("", "while True: print('x' * 10**6)", "printed or wrote more"),
    "gigabytes in a file": (
        "",
        "with open('big', 'wb') as f:\n    while True: f.write(bytes(10**6))",
        "printed or wrote more",
    ),
    "gigabytes of answer": ("import os", "while True: os.write(3, bytes(10**6))", "more data"),
    "a deep recursion": ("", "return tanh_slope(x)", "RecursionError"),
    "leaving": ("import os", "os._exit(7)", "ended the process itself .exit code 7."),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_harm_costs_its_exercise_and_is_named(runner, harm):
    before, body, message = HARMS[harm]
    verdict = grade(runner, body, before)
    assert verdict.seconds < SLOPE.limits.seconds + 0.5
    assert verdict.status == FAILED
    assert re.search(message, verdict.problem), as_text(verdict)
    assert grade_source(runner, SLOPE, RIGHT).status == PASSED


IDLE = {
    "sleeping": "time.sleep(3600)",
    "waiting for a lock": "lock = threading.Lock()\nlock.acquire()\nlock.acquire()",
    "reading what never comes": "os.read(os.pipe()[0], 1)",
    "closing the channel and sleeping": "os.close(3)\ntime.sleep(3600)",
}


@pytest.mark.parametrize("idle", IDLE)
def test_what_uses_no_processor_is_stopped_by_the_clock(runner, idle):
    impatient = replace(SLOPE, limits=replace(SLOPE.limits, patience=0.5))
    source = f"import os, threading, time\n\ndef tanh_slope(x):\n{indented(IDLE[idle])}\n"
    verdict = grade_source(runner, impatient, source)
    assert verdict.status == FAILED
    assert verdict.problem == "it had not ended after 0.5 s and was stopped"
    assert grade_source(runner, SLOPE, RIGHT).status == PASSED


def test_no_limit_can_be_lifted(runner):
    """Not by root either: what watches a process also measures its time."""
    lifted = (
        "import resource as r\ntry: r.setrlimit(r.RLIMIT_CPU, (99, 99))\n"
        "except (OSError, ValueError): pass"
    )
    verdict = grade(runner, "while True: pass", lifted)
    assert "longer than" in verdict.problem
    assert verdict.seconds < SLOPE.limits.seconds + 0.5


def test_a_slow_clock_costs_nobody_an_exercise(runner):
    """Twice its processor time on the clock, as beside another process: asleep, and right."""
    seconds = 2 * SLOPE.limits.seconds
    source = RIGHT.replace("def", f"import time\ntime.sleep({seconds})\n\ndef")
    verdict = grade_source(runner, SLOPE, source)
    assert verdict.status == PASSED, as_text(verdict)
    assert verdict.seconds < SLOPE.limits.seconds


@pytest.mark.parametrize(
    ("before", "body"),
    [
        ("import os", "while True: os.fork()"),
        ("import subprocess", "subprocess.Popen(['sleep', '60'])"),
        ("import multiprocessing", "multiprocessing.Process(target=print).start()"),
    ],
    ids=["a fork bomb", "a program", "a worker"],
)
def test_no_process_outlives_or_multiplies(runner, needs, before, body):
    needs("processes")
    verdict = grade(runner, body, before)
    assert verdict.status == FAILED
    assert "processes" in verdict.held
    assert "PermissionError" in verdict.problem
    assert grade_source(runner, SLOPE, RIGHT).status == PASSED


def test_others_cannot_be_signalled(runner, needs):
    needs("processes")
    verdict = grade(runner, "os.kill(os.getppid(), 9)", "import os")
    assert "PermissionError" in verdict.problem
    verdict = grade(runner, f"os.kill({os.getpid()}, 9)", "import os")
    assert "PermissionError" in verdict.problem


def test_files_outside_its_scratch_folder_are_closed_to_it(runner, needs, tmp_path):
    needs("files")
    package = Path(mlpinit.__file__).parent
    target = tmp_path / "mark"
    for body in (
        f"open({str(target)!r}, 'w').write('passed')",
        f"open({str(package / 'evil.py')!r}, 'w')",
        f"return open({str(package / 'grading' / 'judge.py')!r}).read()",
        f"import os; os.remove({str(package / '__init__.py')!r})",
        f"return open({str(Path(__file__).resolve())!r}).read()",
        f"return open('/proc/{os.getpid()}/environ').read()",
    ):
        verdict = grade(runner, body)
        assert "files" in verdict.held
        assert "PermissionError" in verdict.problem, as_text(verdict)
    assert not target.exists()
    verdict = grade(runner, "open('notes', 'w').write('x')\nreturn 1 - torch.tanh(x) ** 2")
    assert verdict.status == PASSED, "its scratch folder is its own"


def test_what_it_prints_is_shown_and_short(runner):
    verdict = grade(runner, "print('looking at', x.shape)\nprint('y' * 5000)\nreturn x")
    assert verdict.output.startswith("looking at torch.Size([2, 3])")
    assert len(as_text(verdict)) < 4000


def test_a_runner_that_dies_is_replaced(runner):
    runner._process.kill()
    assert grade_source(runner, SLOPE, RIGHT).status == PASSED


def test_a_job_with_which_two_runners_died_is_lost(runner, monkeypatch):
    run = Runner._run

    def deadly(self, job):
        self._process.kill()
        return run(self, job)

    monkeypatch.setattr(Runner, "_run", deadly)
    verdict = grade_source(runner, SLOPE, RIGHT)
    monkeypatch.undo()
    assert verdict.status == FAILED
    assert "process that ran it" in verdict.problem
    assert grade_source(runner, SLOPE, RIGHT).status == PASSED


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand out other rights")
def test_root_can_run_it_as_another_user(tmp_path):
    with Runner(user="nobody") as other:
        body = "import os\nopen('mine', 'w')\nraise ValueError(str(os.getresuid()))"
        assert "(65534, 65534, 65534)" in as_text(grade(other, body))
        assert grade_source(other, SLOPE, RIGHT).status == PASSED
