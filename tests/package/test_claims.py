import math

import pytest
import torch

from mlpinit import chapter, claims
from mlpinit.claims import ClaimError, claim


def test_a_claim_that_holds_passes_and_is_what_the_chapters_call():
    claim("a-b", "a is above b", 1.2, over=1, null=0.9)
    assert chapter.claim is claim


@pytest.mark.parametrize(
    ("measured", "bounds"),
    [
        (1.0, {"over": 1}),
        (1.0, {"under": 1}),
        (1.3, {"near": (1, 0.25)}),
        (math.nan, {"over": 0}),
        (torch.tensor([2.0, 0.5]), {"over": 1}),
        (False, {}),
        (torch.tensor([True, False]), {}),
    ],
)
def test_one_that_does_not_hold_raises_with_its_sentence(measured, bounds):
    with pytest.raises(ClaimError, match=r"a-b: “a is above b” does not hold\. Measured: "):
        claim("a-b", "a is above b", measured, **bounds, how="exact")


@pytest.mark.parametrize("null", [1.1, torch.tensor([3.0, 1.5])])
def test_a_null_that_passes_raises(null):
    with pytest.raises(ClaimError, match="passes its null as well"):
        claim("a-b", "a is above b", 2.0, over=1, null=null)


def test_seeds_are_judged_one_by_one_and_nine_in_ten_must_hold():
    ten = torch.arange(10) - 0.5
    claim("a-b", "a is above b", ten, over=0, null=-ten, seeds=10)
    with pytest.raises(ClaimError, match="holds on 8 of 10 seeds"):
        claim("a-b", "a is above b", ten - 1, over=0, null=-ten, seeds=10)
    with pytest.raises(ClaimError, match="null"):
        claim("a-b", "a is above b", ten, over=0, null=1.5 - ten, seeds=10)


def test_entries_of_other_axes_must_all_hold():
    measured = torch.ones(3, 4)
    claim("a-b", "all are above 0", measured, over=0, null=measured - 1, seeds=3)
    measured[1, 2] = -1
    with pytest.raises(ClaimError, match="holds on 2 of 3 seeds"):
        claim("a-b", "all are above 0", measured, over=0, null=-1.0, seeds=3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"measured": 1.0, "over": 0}, "has no null"),
        ({"measured": 1.0, "null": 0.0}, "has no bound"),
        ({"measured": True, "over": 0, "null": False}, "no bounds"),
        ({"how": "exact"}, "nothing measured"),
        ({"how": "cited"}, "no source"),
        ({"how": "felt"}, "none of proved, exact, cited, run, recorded"),
        ({"measured": 1.0, "over": 2, "under": 1, "null": 0.0}, "nothing lies over 2"),
        ({"measured": torch.empty(0), "over": 0, "null": 0.0}, "empty"),
    ],
)
def test_a_claim_that_cannot_be_checked_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        claim("a-b", "a is above b", **given)


def test_a_name_of_another_form_is_refused():
    with pytest.raises(ValueError, match="chapter-what-it-says"):
        claim("A b", "a is above b", how="proved")


def test_what_is_proved_or_cited_needs_no_measurement():
    claim("a-b", "a is above b", how="proved")
    claim("a-b", "a is above b", how="cited", source="hanin2018")


def test_a_null_that_takes_long_waits_for_the_evidence():
    calls = []
    slow = lambda: calls.append(1) or 0.0  # noqa: E731
    claim("a-b", "a is above b", 2.0, over=1, null=slow)
    assert not calls
    with claims.collecting() as found:
        claim("a-b", "a is above b", 2.0, over=1, null=slow)
    assert calls
    assert found[0].nulls == [-1.0]


def test_what_is_collected_has_margins_and_raises_nothing():
    with claims.collecting() as found:
        claim("a-b", "a is near b", torch.tensor([0.25, 3.0]), near=(0, 1), null=2.0, seeds=2)
    (checked,) = found
    assert checked.claim.says == "a is near b"
    assert checked.margins == [0.75, -2.0]
    assert (checked.held, checked.rejected) == (1, 1)
    with pytest.raises(ClaimError):
        claim("a-b", "a is near b", 3.0, near=(0, 1), null=2.0)
