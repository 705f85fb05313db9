"""Text from outside is shown, not obeyed, wherever it ends up."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpinit.grading import export
from mlpinit.grading.exercise import find
from mlpinit.grading.grade import Report
from mlpinit.grading.judge import FAILED, Verdict
from mlpinit.grading.show import as_html, as_text, progress
from mlpinit.grading.text import visible, visible_lines

ESCAPES = {
    "an ANSI escape": ("\x1b[2J", r"\x1b[2J"),
    "a C1 escape": ("\x9b2J", r"\x9b2J"),
    "a bell": ("\a", r"\x07"),
    "a return": ("\r", r"\r"),
    "right to left": ("\u202e", r"\u202e"),
    "an isolate": ("\u2066", r"\u2066"),
    "no width": ("\u200b", r"\u200b"),
    "a byte order mark": ("\ufeff", r"\ufeff"),
    "a blank letter": ("\u3164", r"\u3164"),
    "a tag": ("\U000e0041", r"\U000e0041"),
    "a line separator": ("\u2028", r"\u2028"),
    "half a character": ("\ud800", r"\ud800"),
    "a byte of no encoding": ("\udce9", r"\udce9"),
    "no character": ("\uffff", r"\uffff"),
    "no character of another plane": ("\U0001fffe", r"\U0001fffe"),
}
KEPT = ("", "é", "名", "\ue000", "\U0001f600", "\\x1b", "a b")


@pytest.mark.parametrize("kind", ESCAPES)
def test_what_is_hidden_is_shown(kind):
    text, shown = ESCAPES[kind]
    assert visible(f"a{text}b") == visible_lines(f"a{text}b") == f"a{shown}b"


@pytest.mark.parametrize("text", KEPT)
def test_what_can_be_seen_stays(text):
    assert visible(text) == visible_lines(text) == text


def test_lines_and_tabs_stay_in_text_and_not_in_names():
    assert visible("a\n\tb") == r"a\n\tb"
    assert visible_lines("a\r\n\tb") == "a\n\tb"


ANYTHING = st.text(st.characters(codec=None, exclude_categories=()), max_size=30)


def report(text: str) -> Report:
    """One failure all of whose text is from outside."""
    verdict = Verdict(find("6.1"), FAILED, text, (("came", text),), text, text)
    return Report(text, (verdict,))


def legal(shown: str) -> bool:
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return not any(unicodedata.category(c) in hidden for c in shown if c not in "\n\t")


@settings(deadline=None)
@given(ANYTHING)
def test_every_report_takes_any_text(text):
    one = report(text)
    for shown in (as_text(one.verdicts[0]), as_html(one.verdicts[0]), progress(one)):
        assert legal(shown)
    name = visible(text)
    _, row = csv.reader(io.StringIO(export.as_csv([one])))
    assert row[0] in (name, f"'{name}")
    for document in (export.as_csv([one]), export.as_json([one]), export.as_gradescope(one)):
        assert legal(document)
        document.encode("utf-8")
    assert json.loads(export.as_json([one]))["submissions"][0]["name"] == name
    suite = ET.fromstring(export.as_junit([one]).encode("utf-8")).find("testsuite")
    assert suite.get("name") == name
    assert suite.find("testcase/failure").get("message") == name


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "＝", "＋", "－", "＠"])
def test_a_name_is_no_formula(sign):
    name = f"{sign}cmd|x"
    _, row = csv.reader(io.StringIO(export.as_csv([report(name)])))
    assert row[0] == f"'{name}"


def test_names_that_a_spreadsheet_would_take_for_one_stay_two():
    _, one, other = csv.reader(io.StringIO(export.as_csv([report("=a"), report("'=a")])))
    assert one[0] != other[0]
