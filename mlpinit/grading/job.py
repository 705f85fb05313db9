"""What the parent hands to the runner, and what it gets back. Light: nothing here imports torch."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field

from mlpinit.grading.sandbox import Limits

__all__ = ["MAX_BYTES", "Ending", "Job"]

MAX_BYTES = 16 * 2**20  # of all that a child writes; the largest right answers take a tenth of one


@dataclass(frozen=True)
class Job:
    """One function of one submission, to be called with one list of arguments after another.

    - `source`: the file as it was handed in, undecoded; text stands for its UTF-8
    - `cases`: the encoded argument lists (see `wire`)
    - `user`: whose rights it has, empty for those of whoever grades
    - `inputs`: for each exercise that the file asks `inputs` about, its encoded argument lists
    """

    source: bytes
    filename: str
    function: str
    cases: list[str]
    limits: Limits
    user: str = ""
    inputs: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take text for bytes."""
        if isinstance(self.source, str):
            object.__setattr__(self, "source", self.source.encode("utf-8"))

    def packed(self) -> bytes:
        """The job as JSON."""
        source = base64.b64encode(self.source).decode("ascii")
        return json.dumps(asdict(self) | {"source": source}).encode("ascii")

    @classmethod
    def unpacked(cls, data: bytes) -> Job:
        """The job that was packed."""
        fields = json.loads(data)
        known = {
            "source": base64.b64decode(fields["source"]),
            "limits": Limits(**fields["limits"]),
        }
        return cls(**fields | known)


@dataclass(frozen=True)
class Ending:
    """How a child ended: what it wrote, unread, and what became of it.

    - `lines`: what it wrote into its pipe
    - `how`: 'exit', 'signal', 'time' (it had its processor time), 'wait' (it did nothing for too
      long), 'flood' (it wrote too much) or 'lost' (with the process that ran it)
    - `code`: the exit code or the signal's number
    - `output`: the beginning of what it printed, `printed` how many bytes there were in all
    - `seconds`: its processor time
    - `held`: the protections that were in place, as `sandbox.missing` puts them into words
    - `loaded`: whether its file had been loaded by then, or else did not let itself be
    """

    lines: list[str]
    how: str
    code: int
    output: str
    printed: int
    seconds: float
    held: list[str]
    loaded: bool = True
