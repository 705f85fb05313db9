"""A page is run on other draws, and what its claims and asserts make of them is noted."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from book_build import evidence, redraws

ROOT = Path(__file__).parents[2]
PAGE = "book/part1/page"
CELLS = """# A page

```{code-cell} ipython3
---
tags: [remove-cell]
---
import torch
from mlpinit import chapter

x = torch.randn(100, generator=torch.Generator().manual_seed(1)).mean().item()
chapter.claim("page-near", "the mean is near 0", x, near=(0, 0.5), null=x + 1)
chapter.claim("page-exact", "two is over one", 2.0, over=1, how="exact")
assert abs(x - PUBLISHED) < 1e-6
```

```{code-cell} ipython3
:tags: [raises-exception]
raise ValueError("as the page shows")
```
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    import torch

    published = torch.randn(100, generator=torch.Generator().manual_seed(1)).mean().item()
    (tmp_path / "book/part1").mkdir(parents=True)
    (tmp_path / f"{PAGE}.md").write_text(CELLS.replace("PUBLISHED", repr(published)))
    (tmp_path / "mlpinit").symlink_to(ROOT / "mlpinit")
    return tmp_path


def test_each_repetition_has_other_draws_and_the_first_the_page_s_own(project: Path) -> None:
    own, other = (redraws.repetition(project, PAGE, times) for times in (0, 1))
    assert own["asserts"] == []
    (failed,) = other["asserts"]
    assert failed.startswith("abs(x - ")
    margins = [run["claims"][0]["margins"] for run in (own, other)]
    assert margins[0] != margins[1]


def test_a_cell_that_raises_is_named(project: Path) -> None:
    path = project / f"{PAGE}.md"
    path.write_text(path.read_text().replace(":tags: [raises-exception]\n", ""))
    with pytest.raises(RuntimeError, match=r"page, cell 2, repetition 1: ValueError: as the page"):
        redraws.repetition(project, PAGE, 1)


@pytest.fixture
def collected(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """Run the command in the project, and tell which repetitions it ran."""
    monkeypatch.setattr(evidence, "FOLDER", Path("kept"))
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "argv", ["redraws", "page", "--jobs", "1"])
    done, real = [], redraws.repetition
    monkeypatch.setattr(redraws, "repetition", lambda *job: done.append(job[2]) or real(*job))

    def command() -> list[int]:
        done.clear()
        assert redraws.main() == 0
        return list(done)

    return command


def edit(project: Path, old: str, new: str) -> None:
    path = project / f"{PAGE}.md"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_the_command_keeps_what_is_done_and_goes_on_from_there(
    project: Path, collected: Callable[[], list[int]]
) -> None:
    path = redraws.file_of(project, PAGE, evidence.key_of(project, PAGE), 3)
    before = dict(os.environ)
    assert redraws.attempt(project, PAGE, 3, path) is None
    assert dict(os.environ) == before
    assert collected() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    record = evidence.load(project, PAGE)
    near, exact = record.claims
    assert near.held == near.rejected == (10, 10)
    assert len({margins[0] for margins in near.margins}) == 10
    assert len(exact.margins) == 1
    assert len(record.asserts) == 9
    assert evidence.stale(project, [PAGE]) == []


def test_a_change_that_changes_no_number_runs_two_repetitions(
    project: Path, collected: Callable[[], list[int]]
) -> None:
    collected()
    before = evidence.load(project, PAGE)
    edit(project, "2.0, over=1", "1.0 + 1.0, over=1")
    edit(project, "the mean is near 0", "the mean is about 0")
    assert collected() == [0, 1]
    after = evidence.load(project, PAGE)
    assert after.key == evidence.key_of(project, PAGE) != before.key
    assert [c.margins for c in after.claims] == [c.margins for c in before.claims]
    assert after.claims[0].says == "the mean is about 0"


@pytest.mark.parametrize(
    ("old", "new"), [("near=(0, 0.5)", "near=(0, 0.6)"), ("null=x + 1", "null=x + 2")]
)
def test_one_that_changes_a_number_runs_them_all(
    project: Path, collected: Callable[[], list[int]], old: str, new: str
) -> None:
    collected()
    edit(project, old, new)
    assert collected() == list(range(10))


def test_a_page_that_has_no_claims_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "argv", ["redraws", "other"])
    assert redraws.main() == 2
    assert "no page with claims is called other" in capsys.readouterr().err


def test_what_a_repetition_has_kept_in_mind_is_forgotten_by_the_next(project: Path) -> None:
    code = (
        "from mlpinit.lab.batch import first_batch\n"
        "mean = first_batch()[0].double().mean()\n"
        'chapter.claim("page-batch", "its mean is over 0", mean, over=0, null=-1.0)\n'
    )
    edit(project, "assert abs(x", f"{code}assert abs(x")
    margins = [redraws.repetition(project, PAGE, k)["claims"][-1]["margins"] for k in (0, 1, 0)]
    assert margins[0] == margins[2] != margins[1]
