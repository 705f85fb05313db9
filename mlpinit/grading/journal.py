"""What was graded so far, kept as it comes, so that what stops a run costs no finished work.

A journal is a file of lines of JSON: first the seed, then one line per submission, appended and
flushed when its last verdict falls. A line is found again by a digest of all that its verdicts
depend on: the chapters' bytes, the graders and the seed. Whatever is no whole line is passed over.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import torch

import mlpinit
from mlpinit.grading.exercise import CHAPTERS, find
from mlpinit.grading.grade import Report
from mlpinit.grading.judge import Verdict
from mlpinit.grading.submission import Submission

__all__ = ["Journal", "digest"]

_FORMAT = "mlpinit-journal/1"


class Journal:
    """The journal at `path`; with `resume`, what it holds is kept, else it is begun anew."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        """Read what is kept. Raises `OSError` where the file cannot be written."""
        self.path, self.seed = path, None
        self._kept: dict[str, list[dict]] = {}
        if resume and path.exists():
            self._read()
        elif not resume:
            path.write_bytes(b"")
        self._file = path.open("a", encoding="utf-8")
        if self._file.tell():
            self._file.write("\n")  # a line that was cut off ends here

    def _read(self) -> None:
        for line in self.path.read_bytes().split(b"\n"):
            try:
                row = json.loads(line)
                if row.get("format") == _FORMAT:
                    self.seed = row["seed"]
                else:
                    self._kept[row["digest"]] = row["verdicts"]
            except (ValueError, KeyError, TypeError, AttributeError):
                continue

    def begin(self, seed: int | None) -> None:
        """Note the seed with which submissions are graded from here on."""
        self.seed = seed
        self._append({"format": _FORMAT, "version": mlpinit.__version__, "seed": seed})

    def find(self, key: str, name: str) -> Report | None:
        """The report under a digest, if that submission was graded; it may have a new name."""
        try:
            return Report(name, tuple(map(_verdict, self._kept[key])), self.seed)
        except (KeyError, TypeError, ValueError):
            return None

    def add(self, key: str, report: Report) -> None:
        """Keep a report under its digest."""
        rows = [_row(v) for v in report.verdicts]
        self._append({"name": report.name, "digest": key, "verdicts": rows})

    def _append(self, row: dict) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


_TEXTS = ("status", "problem", "diagnosis", "output", "seconds")


def _row(verdict: Verdict) -> dict:
    told = {name: getattr(verdict, name) for name in _TEXTS}
    more = {"details": verdict.details, "held": verdict.held}
    return {"exercise": verdict.exercise.id} | told | more


def _verdict(row: dict) -> Verdict:
    details = tuple((heading, text) for heading, text in row["details"])
    told = {name: row[name] for name in _TEXTS}
    return Verdict(find(row["exercise"]), **told, details=details, held=tuple(row["held"]))


def digest(submission: Submission, seed: int | None, user: str) -> str:
    """A digest of all that the verdicts on a submission depend on."""
    found = hashlib.sha256(f"{_graders()} {seed} {user}".encode())
    for chapter in CHAPTERS:
        data = submission.files.get(chapter)
        problem = submission.problems.get(chapter, "").encode("utf-8")
        found.update(hashlib.sha256(problem if data is None else b"\0" + data).digest())
    return found.hexdigest()


@cache
def _graders() -> str:
    """A digest of this package and of torch's version: new graders may judge otherwise."""
    package = Path(mlpinit.__file__).parent
    found = hashlib.sha256(torch.__version__.encode())
    for path in sorted(package.rglob("*.py")):
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()
