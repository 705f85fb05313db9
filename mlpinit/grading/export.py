"""Reports for machines: CSV, Gradescope's JSON, JUnit's XML, and a JSON of our own.

All are made from one list of `Report`s.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import mlpinit
from mlpinit.grading.grade import Report
from mlpinit.grading.judge import FAILED, PASSED, TO_DO, Verdict
from mlpinit.grading.show import as_text, progress

__all__ = ["SCHEMA", "as_csv", "as_gradescope", "as_json", "as_junit"]

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Grades of the exercises of How Neural Networks Start",
    "type": "object",
    "required": ["format", "version", "submissions"],
    "additionalProperties": False,
    "properties": {
        "format": {"const": "mlpinit-grades/1"},
        "version": {"type": "string", "description": "the version of mlpinit that graded"},
        "submissions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "points", "max_points", "seed", "missing", "exercises"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string"},
                    "points": {"type": "integer", "minimum": 0},
                    "max_points": {"type": "integer", "minimum": 0},
                    "seed": {
                        "type": ["integer", "null"],
                        "description": "of the cases; null for those that learners have",
                    },
                    "missing": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "protections that were not in place, in words",
                    },
                    "exercises": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": [
                                "id",
                                "chapter",
                                "function",
                                "title",
                                "status",
                                "points",
                                "max_points",
                                "problem",
                                "details",
                                "diagnosis",
                                "seconds",
                                "protections",
                            ],
                            "additionalProperties": False,
                            "properties": {
                                "id": {"type": "string", "pattern": r"^\d+\.\d+$"},
                                "chapter": {"type": "string"},
                                "function": {"type": "string"},
                                "title": {"type": "string"},
                                "status": {"enum": [PASSED, FAILED, TO_DO]},
                                "points": {"type": "integer", "minimum": 0},
                                "max_points": {"type": "integer", "minimum": 1},
                                "problem": {"type": "string"},
                                "details": {
                                    "type": "array",
                                    "items": {
                                        "type": "array",
                                        "prefixItems": [{"type": "string"}, {"type": "string"}],
                                        "items": False,
                                    },
                                },
                                "diagnosis": {"type": "string"},
                                "seconds": {"type": "number", "minimum": 0},
                                "protections": {"type": "array", "items": {"type": "string"}},
                            },
                        },
                    },
                },
            },
        },
    },
}
"""The JSON Schema of `as_json`."""


def as_csv(reports: Sequence[Report]) -> str:
    """A row a submission: its name, its points in each exercise, and the total."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for i, report in enumerate(reports):
        if i == 0:
            ids = [v.exercise.id for v in report.verdicts]
            writer.writerow(["submission", *ids, "total", "of"])
        earned = [v.points for v in report.verdicts]
        writer.writerow([_cell(report.name), *earned, report.points, report.max_points])
    return file.getvalue()


def _cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula; two names that differ still do."""
    return "'" + text if text.startswith(tuple("=+-@＝＋－＠'")) else text


def as_json(reports: Sequence[Report]) -> str:
    """Everything there is to say, in the format that `SCHEMA` describes."""
    submissions = [
        {
            "name": report.name,
            "points": report.points,
            "max_points": report.max_points,
            "seed": report.seed,
            "missing": report.missing,
            "exercises": [_exercise(v) for v in report.verdicts],
        }
        for report in reports
    ]
    document = {
        "format": "mlpinit-grades/1",
        "version": mlpinit.__version__,
        "submissions": submissions,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _exercise(verdict: Verdict) -> dict:
    e = verdict.exercise
    return {
        "id": e.id,
        "chapter": e.chapter,
        "function": e.function,
        "title": e.title,
        "status": verdict.status,
        "points": verdict.points,
        "max_points": e.points,
        "problem": verdict.problem,
        "details": [list(pair) for pair in verdict.details],
        "diagnosis": verdict.diagnosis,
        "seconds": round(verdict.seconds, 3),
        "protections": list(verdict.held),
    }


def as_gradescope(report: Report) -> str:
    """One submission as Gradescope's results.json.

    Source: Gradescope's autograder documentation, "Output format" (results.json).
    """
    tests = [
        {
            "name": v.exercise.title,
            "number": v.exercise.id,
            "score": v.points,
            "max_score": v.exercise.points,
            "status": "passed" if v.status == PASSED else "failed",
            "output": as_text(v),
            "output_format": "text",
            "tags": [v.exercise.chapter],
            "visibility": "visible",
        }
        for v in report.verdicts
    ]
    document = {
        "score": report.points,
        "output": progress(report),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "execution_time": round(sum(v.seconds for v in report.verdicts)),
        "tests": tests,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def as_junit(reports: Sequence[Report]) -> str:
    """A test suite a submission, a test case an exercise; 'to do' is skipped."""
    root = ET.Element("testsuites")
    for report in reports:
        suite = ET.SubElement(
            root,
            "testsuite",
            name=report.name,
            tests=str(len(report.verdicts)),
            failures=str(report.count(FAILED)),
            skipped=str(report.count(TO_DO)),
            errors="0",
            time=f"{sum(v.seconds for v in report.verdicts):.3f}",
        )
        for v in report.verdicts:
            case = ET.SubElement(
                suite,
                "testcase",
                classname=v.exercise.chapter,
                name=f"{v.exercise.id} {v.exercise.function}",
                time=f"{v.seconds:.3f}",
            )
            if v.status == FAILED:
                failure = ET.SubElement(case, "failure", message=v.problem)
                failure.text = as_text(v)
            elif v.status == TO_DO:
                ET.SubElement(case, "skipped", message="to do")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
