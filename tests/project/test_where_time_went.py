"""What `make test` says at its end."""

from __future__ import annotations

import runpy
from types import SimpleNamespace

from small_project import ROOT

WhereTimeWent = runpy.run_path(str(ROOT / "conftest.py"))["WhereTimeWent"]


def test_the_dearest_files_are_named_set_ups_included_and_the_dearest_set_ups() -> None:
    clock = WhereTimeWent()
    for n in range(9):
        for when, duration in (("setup", 10 * n), ("call", 1), ("call", 2), ("teardown", 3)):
            report = SimpleNamespace(nodeid=f"t{n}.py::test", when=when, duration=duration)
            clock.pytest_runtest_logreport(report)
    lines = [line.split(maxsplit=2) for line in clock.lines()]
    assert [line[0] for line in lines[:3]] == ["86.0", "76.0", "66.0"]
    assert [line[2] for line in lines[:7]] == [f"t{n}.py" for n in (8, 7, 6, 5, 4, 3, 2)]
    assert [line[2] for line in lines[7:]] == [f"setting up t{n}.py::test" for n in (8, 7, 6)]


def test_a_run_of_few_tests_says_nothing_and_a_long_one_its_sum() -> None:
    clock, said = WhereTimeWent(), []
    reporter = SimpleNamespace(section=said.append, write_line=said.append)
    clock.pytest_runtest_logreport(SimpleNamespace(nodeid="a.py::b", when="call", duration=3.0))
    clock.pytest_terminal_summary(reporter)
    assert said == []
    clock.pytest_runtest_logreport(SimpleNamespace(nodeid="a.py::c", when="call", duration=60.0))
    clock.pytest_terminal_summary(reporter)
    assert said == ["where 63 s went", "   63.0 s  a.py"]
