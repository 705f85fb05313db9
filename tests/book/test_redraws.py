"""A page is run on other draws, and what its claims and asserts make of them is noted."""

from __future__ import annotations

import sys
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


def test_the_command_keeps_what_is_done_and_goes_on_from_there(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "FOLDER", Path("kept"))
    monkeypatch.chdir(project)
    done = []
    real = redraws.repetition
    monkeypatch.setattr(redraws, "repetition", lambda *job: done.append(job[2]) or real(*job))
    path = redraws.file_of(project, PAGE, evidence.key_of(project, PAGE), 3)
    assert redraws.attempt(project, PAGE, 3, path) is None
    done.clear()
    monkeypatch.setattr(sys, "argv", ["redraws", "page", "--jobs", "1"])
    assert redraws.main() == 0
    assert done == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    record = evidence.load(project, PAGE)
    near, exact = record.claims
    assert near.held == near.rejected == (10, 10)
    assert len({margins[0] for margins in near.margins}) == 10
    assert len(exact.margins) == 1
    assert len(record.asserts) == 9
    assert evidence.stale(project, [PAGE]) == []


def test_a_page_that_has_no_claims_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "argv", ["redraws", "other"])
    assert redraws.main() == 2
    assert "no page with claims is called other" in capsys.readouterr().err
