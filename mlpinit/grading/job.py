"""What the parent hands to the runner, and what it gets back. Light: nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass

from mlpinit.grading.sandbox import Limits

__all__ = ["Ending", "Job"]


@dataclass(frozen=True)
class Job:
    """One function of one submission, to be called with one list of arguments after another.

    `source` is the file's bytes, as Python reads them; text is taken as UTF-8. `cases` are the
    encoded argument lists (see `wire`). `user` is whose rights it has, empty for
    those of whoever grades.
    """

    source: bytes
    filename: str
    function: str
    cases: list[str]
    limits: Limits
    user: str = ""

    def __post_init__(self) -> None:
        """Take text for the bytes of a file."""
        if isinstance(self.source, str):
            object.__setattr__(self, "source", self.source.encode("utf-8"))


@dataclass(frozen=True)
class Ending:
    """How a child ended: what it wrote, unread, and what became of it.

    - `lines`: what it wrote into its pipe
    - `how`: 'exit', 'signal', 'time' (it had its processor time), 'wait' (it did nothing for too
      long), 'flood' (it wrote too much) or 'lost' (with the process that ran it)
    - `code`: the exit code or the signal's number
    - `output`: the beginning of what it printed, `printed` how many bytes there were in all
    - `seconds`: its processor time
    - `held`: the protections that were in place, as `sandbox.confine` names them
    """

    lines: list[str]
    how: str
    code: int
    output: str
    printed: int
    seconds: float
    held: list[str]
