"""Reading a submission follows no link out of it and waits for nothing."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from mlpinit.grading.exercise import CHAPTERS, find
from mlpinit.grading.grade import grade_exercise
from mlpinit.grading.judge import TO_DO
from mlpinit.grading.submission import LARGEST, Submission, distinct, read_submission

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="grading needs fork, and its files are POSIX's"
)
SECRET = "SECRET = 'of somebody else'\n"


@pytest.fixture(autouse=True)
def soon():
    """Reading that waits, as for the writer of a pipe, fails the test instead of hanging it."""

    def late(*args: object) -> None:
        raise TimeoutError("reading a submission waited")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def folder(tmp_path) -> Path:
    own = tmp_path / "own"
    own.mkdir()
    (tmp_path / "secret.py").write_text(SECRET)
    return own


def link(path: Path) -> None:
    path.symlink_to(path.parents[1] / "secret.py")


def hidden_link(path: Path) -> None:
    path.with_name("between").symlink_to(path.parents[1] / "secret.py")
    path.symlink_to("between")


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # the address of a socket is short
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)


REFUSED = {
    "a link": (link, "it is a link, which is not followed"),
    "a link to a link": (hidden_link, "it is a link, which is not followed"),
    "a link to nothing": (lambda p: p.symlink_to("nowhere"), "it is a link"),
    "a link to a device": (lambda p: p.symlink_to("/dev/zero"), "it is a link"),
    "a pipe": (os.mkfifo, "it is a pipe"),
    "a socket": (bound, "it is a socket"),
    "a folder": (Path.mkdir, "it is a folder"),
    "a large file": (large, "it is larger than 1 MiB"),
    "nothing": (lambda p: None, "there is no file corpus.py"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_file_is_refused_in_words(folder, kind):
    make, words = REFUSED[kind]
    make(folder / "corpus.py")
    (folder / "forward.py").write_bytes(b"\xff\xfe")
    submission = read_submission(folder)
    assert words in submission.problems["corpus"]
    assert submission.files == {"forward": b"\xff\xfe"}, "the others are read, whatever is in them"
    assert "SECRET" not in str(submission)
    verdict = grade_exercise(submission, None, find("1.1"))
    assert (verdict.status, verdict.points) == (TO_DO, 0)
    assert words in verdict.problem


def test_a_file_is_read_up_to_its_limit(folder):
    (folder / "corpus.py").write_bytes(b"#" * LARGEST)
    assert len(read_submission(folder).files["corpus"]) == LARGEST


def test_a_file_exchanged_for_a_pipe_or_a_link_meanwhile_is_refused(folder, monkeypatch):
    """Between the look at it and the opening: the opening itself is safe."""
    (folder / "plain.py").write_text("x = 1\n")
    plain = os.stat(folder / "plain.py")
    os.mkfifo(folder / "corpus.py")
    link(folder / "forward.py")
    look = os.stat
    monkeypatch.setattr(os, "stat", lambda *a, **k: plain if "dir_fd" in k else look(*a, **k))
    problems = read_submission(folder).problems
    monkeypatch.undo()
    assert "it is a pipe" in problems["corpus"]
    assert "cannot be read" in problems["forward"]


def test_a_folder_that_is_a_link_is_a_row_without_points(folder, tmp_path):
    (folder / "corpus.py").write_text(SECRET)
    for name, target in (("linked", folder), ("dangling", tmp_path / "nowhere")):
        (tmp_path / name).symlink_to(target)
        submission = read_submission(tmp_path / name)
        assert submission.name == name
        assert not submission.files
        assert set(submission.problems) == set(CHAPTERS)
        assert "the folder is a link" in submission.problems["corpus"]


def test_what_is_no_folder_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\\x1b is not a folder"):
        read_submission(tmp_path / "nowhere\x1b")


def test_the_current_folder_has_its_name(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert read_submission(Path()).name == read_submission(Path("../own/")).name == "own"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_a_name_that_is_not_utf_8_is_shown(tmp_path):
    name = os.fsdecode(b"Ren\xe9")
    (tmp_path / name).mkdir()
    assert read_submission(tmp_path / name).name == r"Ren\udce9"


def names(*given: str) -> list[str]:
    return [s.name for s in distinct([Submission(name, {}, {}) for name in given])]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (("sam", "eva"), ["sam", "eva"]),
        (("sam", "sam", "sam (2)"), ["sam", "sam (3)", "sam (2)"]),
        (("sam (2)", "sam", "sam"), ["sam (2)", "sam", "sam (3)"]),
        (("sam", "sam", "sam"), ["sam", "sam (2)", "sam (3)"]),
        (("sam (2)", "sam (2)"), ["sam (2)", "sam (2) (2)"]),
        ((), []),
    ],
)
def test_names_are_distinct_and_as_given_where_they_can(given, wanted):
    assert names(*given) == wanted
