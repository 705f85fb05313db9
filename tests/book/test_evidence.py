"""Every claim has a record of ten sets of draws that is of today's code, and it stands."""

from __future__ import annotations

import re
from pathlib import Path

import built_pages
import pytest
from book_build import claims, evidence

ROOT = Path(__file__).parents[2]
ROLE = re.compile(r"\{claim\}`([^`]+)`")
NAMED = re.compile(r"chapter\.claim\(\s*f?\"([^\"]+)\"")
PAGES = evidence.pages(ROOT)


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def record(page: str) -> evidence.Record:
    found = evidence.load(ROOT, page)
    assert found is not None, f"make evidence PAGES={page.rsplit('/', 1)[-1]}"
    return found


def test_the_record_is_of_today_s_code(page: str, record: evidence.Record) -> None:
    assert record.key == evidence.key_of(ROOT, page), "stale: make evidence"


def test_every_measured_claim_was_tried_ten_times_and_stands(record: evidence.Record) -> None:
    for claim in record.claims:
        if claim.how == "run":
            assert len(claim.margins) == len(claim.nulls) == evidence.REPETITIONS, claim.name
        assert claim.stands, f"{claim.name}: held {claim.held}, null rejected {claim.rejected}"


def test_no_assert_of_the_page_is_about_a_run(record: evidence.Record) -> None:
    assert record.asserts == []


def test_every_claim_has_its_mark_and_every_mark_its_claim(
    page: str, record: evidence.Record
) -> None:
    text = (ROOT / f"{page}.md").read_text(encoding="utf-8")
    names = [claim.name for claim in record.claims]
    assert len(names) == len(set(names))
    assert set(ROLE.findall(text)) == set(names)


def test_no_two_pages_have_a_claim_of_one_name() -> None:
    records = [evidence.load(ROOT, page) for page in PAGES]
    names = [claim.name for record in records for claim in record.claims]
    assert len(names) == len(set(names))


# How a record is made


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A page that claims something of a module of a package."""
    (tmp_path / "book/part1").mkdir(parents=True)
    package = tmp_path / "mlpinit"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "low.py").write_text('"""Low."""\nX = 1\n')
    (package / "high.py").write_text("from mlpinit import low\nY = low.X\n")
    (package / "plots.py").write_text("Z = 1\n")
    (package / "models").mkdir()
    (package / "models" / "look.py").write_text("def look(): return 1\n")
    page = (
        "# A page\n\n```{code-cell} ipython3\n:tags: [remove-cell]\n"
        "import mlpinit\nfrom mlpinit import chapter, high, plots\n"
        'chapter.claim("page-y", "y is over 0", high.Y * mlpinit.look(), over=0, null=-1)\n```\n'
    )
    (tmp_path / "book/part1/page.md").write_text(page)
    return tmp_path


PAGE = "book/part1/page"


def edit(project: Path, file: str, old: str, new: str) -> None:
    path = project / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "same"),
    [
        ("book/part1/page.md", "# A page", "# Another page", True),
        ("book/part1/page.md", "over=0", "over=0.5", False),
        ("mlpinit/low.py", '"""Low."""', '"""Lower."""  # and a comment', True),
        ("mlpinit/low.py", "X = 1", "X = 2", False),
        ("mlpinit/high.py", "low.X", "low.X + 1", False),
        ("mlpinit/models/look.py", "return 1", "return 2", False),  # handed on by the package
        ("mlpinit/plots.py", "Z = 1", "Z = 2", True),
    ],
)
def test_a_record_is_stale_when_what_it_depends_on_has_changed(
    project: Path, file: str, old: str, new: str, same: bool
) -> None:
    before = evidence.key_of(project, PAGE)
    edit(project, file, old, new)
    assert (evidence.key_of(project, PAGE) == before) is same


def known(**changes: object) -> evidence.Known:
    given = {"name": "a-b", "says": "a", "how": "run", "seeds": 1, "paired": False, "source": None}
    return evidence.Known(**given | changes)


def test_nine_in_ten_must_hold_and_be_rejected() -> None:
    good, bad = [1.0], [-1.0]
    nine = [*([good] * 9), bad]
    eight = [*([good] * 8), bad, bad]
    assert known(margins=nine, nulls=[bad] * 10).stands
    assert not known(margins=eight, nulls=[bad] * 10).stands
    assert not known(margins=nine, nulls=[*([bad] * 8), good, good]).stands
    assert known(margins=nine, nulls=[bad] * 10).smallest == -1


def test_of_recorded_runs_the_seeds_are_counted() -> None:
    margins = [[1.0, 2.0, -1.0, 3.0]]
    claim = known(margins=margins, nulls=[[-1.0, -2.0, -1.0, -3.0]], seeds=4, how="recorded")
    assert (claim.held, claim.rejected) == ((3, 4), (4, 4))


def test_a_repetition_holds_where_nine_in_ten_of_its_seeds_do() -> None:
    repetitions = [[1.0] * 9 + [-0.1 * k] for k in range(10)]
    assert known(margins=repetitions, nulls=[[-1.0]] * 10, seeds=10).held == (10, 10)
    assert known(margins=[[1.0, -1.0, k] for k in range(10)], nulls=[], seeds=3).held == (0, 10)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    claim = known(says="“ä” | b", margins=[[0.5], [-0.25]], nulls=[[-1.0], [-2.0]])
    record = evidence.Record(PAGE, "key", [claim], ["3: x > 0"])
    evidence.save(tmp_path, record)
    assert evidence.load(tmp_path, PAGE) == record


# What the page says


@pytest.mark.parametrize(
    ("changes", "said", "code"),
    [
        (
            {"margins": [[0.5], [0.25], [-0.1]], "nulls": [[-1.0]] * 3},
            "Holds in 2 of 3 seeds, smallest margin -0.1; "
            "where the effect is absent, the check fails in 3 of 3.",
            "2/3",
        ),
        (
            {"margins": [[0.5], [0.5 + 1e-9]], "nulls": [[-0.5]] * 2, "seeds": 3, "paired": True},
            "Holds in 2 of 2 repetitions with 3 paired seeds each, smallest margin 0.5; "
            "where the effect is absent, the check fails in 2 of 2.",
            "2/2",
        ),
        (
            {"margins": [[2.0]], "nulls": [], "how": "exact"},
            "Computed exactly, without a draw",
            "E",
        ),
        ({"margins": [], "nulls": [], "how": "proved"}, "Proved.", "P"),
        ({"margins": [], "nulls": [], "how": "cited", "source": "he2015"}, "Cited: ", "C"),
    ],
)
def test_a_mark_says_in_a_line_how_a_claim_is_known(
    changes: dict[str, object], said: str, code: str
) -> None:
    claim = known(**changes)
    assert claims.in_words(claim).startswith(said)
    assert claims.in_short(claim) == code


def test_every_mark_says_what_the_record_says(html: Path, page: str) -> None:
    marks = built_pages.article(html, page).select(".claim")
    record = evidence.load(ROOT, page)
    known_of = {claim.name: claim for claim in record.claims}
    text = (ROOT / f"{page}.md").read_text(encoding="utf-8")
    expected = [claims.in_words(known_of[name]) for name in ROLE.findall(text)]
    assert [mark.select_one("[role=tooltip]").get_text() for mark in marks] == expected
    for mark in marks:
        assert mark.button["aria-describedby"] == mark.select_one("[role=tooltip]")["id"]


def test_the_list_has_every_claim(html: Path) -> None:
    rows = built_pages.article(html, "book/back/evidence").select(".claims-table tbody tr")
    assert len(rows) == sum(len(evidence.load(ROOT, page).claims) for page in PAGES)
