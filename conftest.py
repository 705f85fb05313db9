"""For all tests, the package's doctests too: no property has a stopwatch, and where time went."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field

# Before torch is imported, here and in what tests start: two processes with two threads each
# stand in each other's way on two cores, and products as small as the tests' gain nothing.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

# An example takes as long as the machine is busy.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")

WORTH_TELLING = 20.0  # seconds


@dataclass(eq=False)
class WhereTimeWent:
    """Adds up what each file's tests took, their set-ups included; in all processes together."""

    files: Counter[str] = field(default_factory=Counter)
    set_ups: Counter[str] = field(default_factory=Counter)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.files[report.nodeid.split("::")[0]] += report.duration
        if report.when == "setup":
            self.set_ups[report.nodeid] += report.duration

    def lines(self) -> list[str]:
        """Ten at most: the seven dearest files, and the three dearest set-ups."""
        of_files = [f"{seconds:7.1f} s  {name}" for name, seconds in self.files.most_common(7)]
        return of_files + [
            f"{seconds:7.1f} s  setting up {name}"
            for name, seconds in self.set_ups.most_common(3)
            if seconds > 1
        ]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.files.total() > WORTH_TELLING:
            terminalreporter.section(f"where {self.files.total():.0f} s went")
            for line in self.lines():
                terminalreporter.write_line(line)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(WhereTimeWent(), "where-time-went")
