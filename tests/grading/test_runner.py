"""The runner and its client; what hostile children do is in test_trust and test_sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from unittest import mock

import pytest

from mlpinit.grading import lazy, sandbox, syscalls, wire
from mlpinit.grading.answers import graders
from mlpinit.grading.client import Runner, RunnerError
from mlpinit.grading.job import Job
from mlpinit.grading.runner import run
from mlpinit.grading.sandbox import Limits


def test_the_address_space_is_measured_where_the_system_tells(monkeypatch):
    assert sandbox._address_space() > 2**20
    monkeypatch.setattr("builtins.open", mock.Mock(side_effect=FileNotFoundError))
    assert sandbox._address_space() == 2**34


@pytest.mark.parametrize(
    ("executable", "words"),
    [("/bin/false", "does not start$"), ("/no/such/python", "does not start: .*No such file")],
)
def test_a_runner_that_does_not_start_is_an_error(monkeypatch, executable, words):
    monkeypatch.setattr("mlpinit.grading.client.PAUSES", (0.0, 0.0))
    with Runner() as process:
        assert process.run(JOB).how == "exit"
        monkeypatch.setattr(sys, "executable", executable)
        process._process.kill()
        for _ in range(2):
            with pytest.raises(RunnerError, match=words):
                process.run(JOB)
        monkeypatch.undo()
        assert process.run(JOB).how == "exit", "as soon as one can be started"


def test_a_runner_that_cannot_be_forked_for_a_moment_is_tried_again(monkeypatch):
    popen, tried = subprocess.Popen, []

    def scarce(*args, **kwargs):
        tried.append(args)
        if len(tried) < 3:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return popen(*args, **kwargs)

    monkeypatch.setattr("mlpinit.grading.client.PAUSES", (0.0, 0.0))
    monkeypatch.setattr(subprocess, "Popen", scarce)
    with Runner() as process:
        assert process.run(JOB).how == "exit"
    assert len(tried) == 3


def test_a_runner_that_goes_silent_is_given_up(monkeypatch):
    monkeypatch.setattr("mlpinit.grading.client.GRACE", -100.0)
    with Runner() as process:
        assert process.run(Job("", "f.py", "f", [], Limits())).how == "lost"


JOB = Job("def f(x):\n    return x\n", "f.py", "f", [wire.encode([1])], Limits())


def test_a_job_comes_back_as_it_was_packed():
    job = replace(JOB, source=b"\xef\xbb\xbf\xff", inputs={"6.1": ["[]"]})
    assert Job.unpacked(job.packed()) == job
    assert JOB.source == b"def f(x):\n    return x\n"


def test_a_child_of_this_process_answers_as_a_runner_s_does():
    ending = run(JOB)
    assert ending.how == "exit"
    assert [json.loads(line)["value"] for line in ending.lines] == ['{"plain":1}']


@pytest.mark.skipif(sys.platform != "linux", reason="a process can be looked into in /proc alone")
def test_a_runner_has_nothing_in_its_memory_of_what_passed_by(runner):
    """So no child finds there what another was given, or answered."""
    secret = "".join(["never", "to", "be", "found"])
    source = "def f(x):\n    print(x)\n    return x + x\n"
    ending = runner.run(replace(JOB, source=source, cases=[wire.encode([secret])]))
    assert secret in ending.lines[0]
    assert secret in ending.output
    memory = memory_of(runner._process.pid)
    assert b"mlpinit.grading.runner" in memory, "the search finds what is there"
    assert secret.encode() not in memory


def memory_of(pid: int) -> bytes:
    """What a process has written, and what it maps to write."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            where, rights, *rest = line.split()
            if rights.startswith("rw") and (len(rest) < 4 or rest[3].startswith("[")):
                begin, end = (int(n, 16) for n in where.split("-"))
                memory.seek(begin)
                with suppress(OSError):
                    found.append(memory.read(end - begin))
    return b"".join(found)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says what a process takes")
def test_a_runner_does_not_grow_with_its_jobs(runner):
    for _ in range(20):
        runner.run(JOB)
    before = taken(runner._process.pid)
    for _ in range(100):
        assert runner.run(JOB).how == "exit"
    handles, kilobytes = (b - a for a, b in zip(before, taken(runner._process.pid), strict=True))
    assert handles == 0
    assert kilobytes < 1000


def taken(pid: int) -> tuple[int, int]:
    """Open handles, and kilobytes of memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return len(os.listdir(f"/proc/{pid}/fd")), int(status.split("VmRSS:")[1].split()[0])


def test_the_runner_never_imports_the_graders():
    code = "import sys, mlpinit.grading.runner; print([m for m in sys.modules if 'grading' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "mlpinit.grading.answers" in done.stdout
    for name in ("exercise", "judge", "grade'", "drawn"):
        assert name not in done.stdout


def test_no_child_looks_at_every_module_s_name_or_makes_its_filter_itself():
    """Each of these would copy hundreds of pages of memory, in every child."""
    assert "mlpinit.grading.answers" in graders()
    assert syscalls.program("x86_64", 1) != syscalls.program("x86_64", 2)
    assert syscalls._template.cache_info().currsize >= 1


def test_who_starts_a_runner_need_not_wait_for_torch():
    code = "import sys, mlpinit.grading.client; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


WORDS = {
    "optimiser = torch.optim.SGD([w], lr=0.1)": "torch._dynamo",
    "from torch.optim.lr_scheduler import LambdaLR": "torch._dynamo",
    "torch.func.vmap(torch.func.grad(f))(x)": "torch._dynamo",
    "from torch.func import jacrev": "torch._dynamo",
    "y.backward(dy)": "torch.fx.experimental.symbolic_shapes",
    "y.backward( gradient=dy )": "torch.fx.experimental.symbolic_shapes",
    "(g,) = torch.autograd.grad(y, x, dy)": "torch.fx.experimental.symbolic_shapes",
    "import matplotlib.pyplot as plt": "matplotlib.pyplot",
    "from mlpinit import plots": "matplotlib.pyplot",
}


@pytest.mark.parametrize("text", WORDS)
def test_a_word_tells_what_will_be_imported(text):
    assert WORDS[text] in lazy.leading_to(text.encode())


def test_most_files_need_nothing_more():
    text = "import torch\n\ndef f(x):\n    x.sum().backward()\n    return x.grad\n"
    assert lazy.leading_to(text.encode()) == []
    lazy.load(["antigravity"])
    assert "antigravity" not in sys.modules, "what is not listed is not imported"


DEAR = {
    "an optimiser": "torch.optim.SGD([torch.ones(2, requires_grad=True)], lr=0.1)",
    "a schedule": (
        "o = torch.optim.Adam([torch.ones(2, requires_grad=True)])\n"
        "torch.optim.lr_scheduler.LambdaLR(o, lambda i: 1.0)"
    ),
    "torch.func": "torch.func.vmap(torch.func.grad(torch.tanh))(torch.ones(3))",
    "a hessian": "torch.func.hessian(lambda x: (x**3).sum())(torch.ones(3))",
    "backward with a gradient": (
        "y = 2 * torch.ones(3, requires_grad=True)\ny.backward(torch.ones(3))"
    ),
    "pyplot": "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.savefig('figure.png')",
}


@pytest.mark.parametrize("body", DEAR.values(), ids=DEAR)
def test_what_is_imported_late_costs_an_answer_nothing(runner, body):
    text = f"import torch\n\ndef f(x):\n{indent(body, '    ')}\n    return x\n"
    ending = runner.run(replace(JOB, source=text.encode(), limits=Limits(seconds=1)))
    assert [json.loads(line)["kind"] for line in ending.lines] == ["value"], ending
    assert ending.seconds < 0.7


BUSY = "import time\ndef work(seconds):\n    while time.process_time() < seconds: pass\n"


def test_loading_a_file_has_a_time_of_its_own(runner):
    source = BUSY + "work(0.7)\ndef f(x):\n    work(1.4)\n    return x\n"
    ending = runner.run(replace(JOB, source=source.encode(), limits=Limits(seconds=1)))
    assert (ending.how, len(ending.lines), ending.loaded) == ("exit", 1, True)
    assert ending.seconds > 1.3


@pytest.mark.parametrize("first", ["", "import os\nos.write(4, b'.' * 9)\n"], ids=["", "forged"])
def test_loading_for_ever_is_ended(runner, first):
    source = BUSY + f"{first}work(60)\ndef f(x):\n    return x\n"
    ending = runner.run(replace(JOB, source=source.encode(), limits=Limits(seconds=1)))
    assert (ending.how, ending.lines, ending.loaded) == ("time", [], bool(first))
    assert ending.seconds < 2.3


def test_threads_share_one_clock(runner):
    source = (
        "import threading, torch\n\ndef f(x):\n"
        "    def work():\n        while True: torch.ones(300, 300) @ torch.ones(300, 300)\n"
        "    for _ in range(3): threading.Thread(target=work, daemon=True).start()\n    work()\n"
    )
    ending = runner.run(replace(JOB, source=source.encode(), limits=Limits(seconds=1)))
    assert ending.how == "time"
    assert ending.seconds < 1.6


def test_a_signal_without_a_name_is_a_number(runner):
    source = "import os\n\ndef f(x):\n    os.kill(os.getpid(), 40)\n"
    ending = runner.run(replace(JOB, source=source.encode()))
    assert (ending.how, ending.code) == ("signal", 40)
