"""Reports of several ranks, merged: against a process that sees the batches of all of them."""

import os
import pickle
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from mlpinit.models import ranks
from mlpinit.models.lifetimes import HISTORY
from mlpinit.watch import audit, watch

sys.path.insert(0, str(Path(__file__).parent))
import one_rank

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="this torch has no gloo"
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each of two processes found, rank by rank."""
    folder = tmp_path_factory.mktemp("ranks")
    loopback = {"linux": "lo", "darwin": "lo0"}.get(sys.platform)
    env = os.environ | ({"GLOO_SOCKET_IFNAME": loopback} if loopback else {})
    command = [sys.executable, "-W", "ignore", one_rank.__file__]
    children = [
        subprocess.Popen(
            [*command, str(rank), str(folder)], env=env, stderr=subprocess.PIPE, text=True
        )
        for rank in range(one_rank.RANKS)
    ]
    try:
        told = [child.communicate(timeout=600)[1] for child in children]
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == [0, 0], "\n".join(told)
    return [pickle.loads((folder / f"{r}.pickle").read_bytes()) for r in range(one_rank.RANKS)]


def run_of_one(states):
    """The same batches through one process, whose parameters at each step are those given."""
    model = one_rank.network()
    with watch(model, **one_rank.ONE) as w:
        for step, state in enumerate(states):
            model.load_state_dict(state)
            model(torch.cat([one_rank.batch(step, rank) for rank in range(one_rank.RANKS)]))
    return w.report()


def same(a, b):
    """Counts, extremes, events and verdicts are equal, means and deviations to rounding."""
    assert list(a.sites) == list(b.sites)
    assert a.counts() == b.counts()
    assert (a.passes, a.watched, a.every) == (b.passes, b.watched, b.every)
    for name, site in a.sites.items():
        other = b[name]
        assert site.verdicts == other.verdicts
        assert site.history == other.history
        for event in ("births", "deaths", "revivals", "since"):
            assert_same(getattr(site, event), getattr(other, event))
        for part, one in ((site.recent, other.recent), (site.whole, other.whole)):
            assert (part.n, part.examples, part.steps) == (one.n, one.examples, one.steps)
            for share in ("flat_share", "zero_slope_share", "zero_share"):
                if getattr(part, share) is not None:
                    counts = [(getattr(f, share) * f.n).round() for f in (part, one)]
                    assert torch.equal(*counts), (name, share)
            for field in fields(part):
                assert_same(getattr(part, field.name), getattr(one, field.name))


def assert_same(a, b):
    assert (a is None) == (b is None)
    if isinstance(a, torch.Tensor):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_two_processes_report_what_one_does_that_sees_their_batches(found):
    one = run_of_one(found[0]["states"])
    for rank in found:
        same(rank["ddp"], one)
        assert rank["ddp"].ranks == 2
    site = one["1"]
    assert site.verdicts[6] == "hard-dead"
    assert (site.deaths[3], site.revivals[3]) == (1, 1)
    assert one["3"].which("hard-dead") == [2]


def test_what_lives_on_one_rank_alone_is_live(found):
    assert [rank["own"]["1"].verdicts[5] for rank in found] == ["hard-dead", "live"]
    assert [rank["ddp"]["1"].verdicts[5] for rank in found] == ["live", "live"]


def test_the_wrapper_can_be_watched_as_well_as_what_is_in_it(found):
    report = found[0]["outer"]
    inner = {name.removeprefix("module."): site for name, site in report.sites.items()}
    same(replace(report, sites=inner), found[0]["ddp"])


@pytest.mark.parametrize("kind", ["fsdp1", "fsdp2"])
def test_sharded_parameters_change_nothing(found, kind):
    if kind not in found[0]:
        pytest.skip(found[0][f"under_{kind}"])
    one = run_of_one([one_rank.network().state_dict()] * one_rank.STEPS)
    for rank in found:
        sites = {n.removeprefix("_fsdp_wrapped_module."): s for n, s in rank[kind].sites.items()}
        same(replace(rank[kind], sites=sites), one)


def test_the_report_says_that_it_is_of_two_ranks(found):
    text = " ".join(str(found[0]["ddp"]).split())
    assert "22 forward passes on each of 2 ranks, all watched" in text
    assert "on 2 ranks together." in " ".join(str(found[0]["audit"]).split())
    assert found[0]["ddp"].to_dict()["ranks"] == 2
    assert not found[0]["ddp"].notes


def test_rank_0_may_report_alone_and_is_told_of_the_others(found):
    (note,) = found[0]["alone"].notes
    assert "one of 2 ranks; report(all_ranks=True), called on every rank" in note


def test_an_audit_of_shares_is_that_of_the_whole_but_for_what_the_sampler_repeats(found):
    data = one_rank.examples()
    one = audit(one_rank.network(), data)
    for report in (rank["audit"] for rank in found):
        assert report["1"].recent.n == len(data) + 1
        for name, site in report.sites.items():
            assert site.verdicts == one[name].verdicts
            for figure in ("smallest", "largest", "z_smallest", "z_largest", "largest_slope"):
                assert_same(getattr(site.recent, figure), getattr(one[name].recent, figure))
    repeated = torch.cat([data, data[:1]])
    same(report, audit(one_rank.network(), list(repeated.split(20))))  # as many batches


def test_a_rank_without_data_is_named_and_if_none_has_any_that_is_an_error(found):
    for rank in found:
        assert rank["some empty"].notes[0].startswith("rank 0: the data set is empty")
        assert rank["some empty"]["1"].notes == ()
        assert isinstance(rank["all empty"], ValueError)


def test_an_error_on_one_rank_reaches_the_other(found):
    mine, its = found[0]["one wrong"], found[1]["one wrong"]
    assert "mat1 and mat2" in str(its)
    assert "rank 1 failed (RuntimeError: mat1 and mat2" in str(mine)


def test_watches_of_unlike_arguments_are_refused_on_every_rank(found):
    for rank in found:
        assert isinstance(rank["differing"], ValueError)
        assert "every is 1 on rank 0 and 2 on rank 1" in str(rank["differing"])
    assert "rank 0 is not in this group" in str(found[0]["no member"])


def test_ranks_that_made_unlike_many_passes_are_merged_and_it_is_said(found):
    report = found[0]["uneven"]
    assert report["1"].recent.examples == 3 * one_rank.BATCH
    assert "the ranks made 1 to 2 forward passes" in report.notes


# Parts made in this process


def seen(batches, model=None, **options):
    """The part of a rank that saw these batches."""
    model = model or one_rank.network()
    with watch(model, **{**one_rank.OPTIONS, **options}) as w:
        for X in batches:
            model(X)
    return w.part()


def test_without_a_process_group_all_ranks_is_this_one():
    model = one_rank.network()
    with watch(model, **one_rank.OPTIONS) as w:
        for step in range(5):
            model(one_rank.batch(step, 0))
    same(w.report(all_ranks=True), w.report())
    assert w.report(all_ranks=True).ranks == 1
    X = one_rank.examples()
    same(audit(model, X, all_ranks=True), audit(model, X))
    with pytest.raises(ValueError, match="data set is empty"):
        audit(model, [], all_ranks=True)
    with pytest.raises(TypeError, match="inputs and targets"):
        audit(model, (X, X[:, 0]), all_ranks=True)
    with watch(model) as w:
        pass
    with pytest.raises(RuntimeError, match="no forward pass"):
        w.report(all_ranks=True)


def test_a_group_of_one_gathers_and_broadcasts(tmp_path):
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        assert ranks.size() == 1
        assert ranks.is_first()
        assert ranks.from_first({"a": 1}) == {"a": 1}
        part = ranks.Part()
        assert ranks.gathered(part) == [part]
    finally:
        dist.destroy_process_group()


class TwoRanks:
    """torch.distributed as the second of two ranks has it, where the first sends 1."""

    def __init__(self, rank=1):
        self.rank = rank

    is_available = is_initialized = staticmethod(lambda: True)
    get_world_size = staticmethod(lambda group=None: 2)

    def get_rank(self, group=None):
        return -1 if group == "others" else self.rank

    def broadcast_object_list(self, box, src):
        box[src] = 1

    def broadcast(self, tensor, src):
        tensor.fill_(1 - src)

    def all_gather_object(self, parts, part, group):
        parts[:] = [seen([one_rank.batch(0, 0)]), part]


def test_what_rank_0_has_reaches_the_others_and_it_alone_is_first(monkeypatch):
    monkeypatch.setattr(ranks, "dist", TwoRanks())
    weight = nn.Parameter(torch.zeros(2))
    ranks.make_equal([weight])
    assert weight.tolist() == [1, 1]
    assert ranks.from_first(7) == 1
    assert not ranks.is_first()
    with pytest.raises(ValueError, match="rank 1 is not in this group"):
        ranks.size("others")
    monkeypatch.setattr(ranks, "dist", TwoRanks(rank=0))
    assert ranks.is_first()


def test_a_call_of_one_rank_waits_for_none_and_of_all_gathers(monkeypatch):
    monkeypatch.setattr(ranks, "dist", TwoRanks())
    model = one_rank.network()
    with watch(model, **one_rank.OPTIONS) as w:
        model(one_rank.batch(0, 1))
    assert "one of 2 ranks" in w.report().notes[-1]
    assert w.report(all_ranks=True)["1"].recent.n == 64
    failed = []
    monkeypatch.setattr(ranks, "gathered", lambda part, group: failed.append(part))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        audit(model, [torch.zeros(5, 3, dtype=torch.float64)], all_ranks=True)
    assert failed[0].failed
    with pytest.raises(RuntimeError, match="rank 1 failed"):
        ranks.merged([ranks.Part(), *failed])


def test_watches_are_compared_and_a_rank_without_a_report_is_told():
    X = [one_rank.batch(0, 0)]
    with pytest.raises(ValueError, match="every is 1 on rank 0 and 2 on rank 1"):
        ranks.merged([seen(X), seen(X, every=2)])
    report = ranks.merged([seen(X), seen([])])
    assert report.notes[0].startswith("rank 1: no forward pass of Sequential")
    with pytest.raises(RuntimeError, match="no forward pass"):
        ranks.merged([seen([]), seen([])])


def test_windows_that_do_not_end_together_tell_no_events_and_it_is_said():
    few = [one_rank.batch(step, 0) for step in range(9)]
    uneven = [X[:20] for X in few]
    report = ranks.merged([seen(few), seen(uneven)])
    site = report["1"]
    assert site.recent.n == ranks_rows(few) + ranks_rows(uneven, window=7)
    assert site.births is site.deaths is site.revivals is site.since is site.history is None
    assert "windows do not end together" in site.notes[0]
    assert "hard-dead" in str(report)


def test_as_many_windows_that_end_elsewhere_tell_no_events_either():
    few = [one_rank.batch(step, 0) for step in range(5)]  # 128 examples after four
    more = [torch.cat([X, X])[:43] for X in few]  # 129 after three
    parts = [seen(few), seen(more)]
    assert [part.courses["1"].windows for part in parts] == [1, 1]
    assert ranks.merged(parts)["1"].births is None


def ranks_rows(batches, window=4):
    """Rows of the last whole window and of what came after it."""
    whole = len(batches) // window
    return sum(len(X) for X in batches[window * (whole - 1) :])


def two_units():
    """One answers to positive numbers, the other to negative ones."""
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model[0].bias.zero_()
    return model


def flickering(period):
    """What two ranks see of many windows, and both together: every `period`th is another."""
    signs = [1.0 if window % period else -1.0 for window in range(HISTORY + 60)]
    shares = [[torch.full((4, 1), sign) for sign in signs], [torch.ones(4, 1) for _ in signs]]
    return shares, [torch.cat(pair) for pair in zip(*shares, strict=True)]


def test_the_history_of_many_windows_is_as_coarse_as_that_of_one_process():
    shares, joint = flickering(period=40)
    report = ranks.merged([seen(X, two_units(), window=4, enough=1) for X in shares])
    model = two_units()
    with watch(model, window=8, enough=1) as w:
        for X in joint:
            model(X)
    same(report, w.report())
    assert report["1"].revivals[1] > 10
    assert len(report["1"].history["step"]) < HISTORY


def test_more_changes_than_are_remembered_tell_no_events_and_it_is_said():
    shares, _ = flickering(period=3)
    parts = [seen(X, two_units(), window=4, enough=1) for X in shares]
    assert [part.courses["1"].changes is None for part in parts] == [True, False]
    report = ranks.merged(parts)
    assert report["1"].births is None
    assert "too much happened" in report["1"].notes[0]


def test_a_unit_is_not_known_where_a_rank_met_no_number():
    fine = [one_rank.batch(step, 0) for step in range(8)]
    broken = [X.clone() for X in fine]
    broken[1][0, 0] = float("nan")
    model = one_rank.network()
    report = ranks.merged([seen(fine), seen(broken)])
    with watch(model, **one_rank.ONE) as w:
        for pair in zip(fine, broken, strict=True):
            model(torch.cat(pair))
    one = w.report()
    assert report["1"].verdicts == one["1"].verdicts
    assert report["1"].history == one["1"].history
    assert report["1"].since.tolist() == one["1"].since.tolist()
    assert report["1"].since.max() == 4


def test_sites_that_differ_are_left_out_and_those_of_one_rank_are_told():
    torch.manual_seed(1)
    wide = nn.Sequential(nn.Linear(4, 20), nn.ReLU(), nn.Linear(20, 3), nn.Tanh(), nn.GELU())
    X = [one_rank.batch(0, 0)] * 6
    report = ranks.merged([seen(X), seen(X, wide.double())])
    assert list(report.sites) == ["4"]
    assert report["4"].notes == ("on rank 1 of 2 alone",)
    assert "1: 16 units of relu on rank 0; 20 units of relu on rank 1: not merged" in report.notes
    with pytest.raises(RuntimeError, match="not merged"):
        ranks.merged([seen(X), seen(X, wide[:4])])


def test_notes_of_all_ranks_are_told_once_and_others_with_their_ranks():
    assert ranks._common({0: ["a", "b"], 1: ["a"]}, 2) == ["a", "rank 0: b"]
    assert ranks._common({1: ["a"], 2: ["a", "c"]}, 3) == ["rank 1, 2: a", "rank 2: c"]
