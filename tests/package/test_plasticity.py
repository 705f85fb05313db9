import json
from dataclasses import replace

import pytest
import torch

from mlpinit import plasticity, redraw
from mlpinit.plasticity import REMEDIES, Remedy
from mlpinit.records import RecordError

PLAIN = REMEDIES["plain"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A folder with short records of two remedies, made by the module itself."""
    folder = tmp_path_factory.mktemp("plasticity")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plasticity, "TASKS", 2)
        for key in ("plain", "norm"):
            history = plasticity.run(REMEDIES[key], (5, 6), tasks=2)
            entry = plasticity.Record(REMEDIES[key], (5, 6), {}, history, {"torch": "0"})
            (folder / f"{key}.json").write_text(json.dumps(plasticity._as_json(entry)))
    return folder


@pytest.mark.parametrize("key", ["plain", "redo-more", "replace", "shrink"])
def test_a_seed_in_a_stack_is_the_seed_alone(key):
    remedy = replace(REMEDIES[key], every=60) if key == "redo-more" else REMEDIES[key]
    remedy = replace(remedy, replace=0.01) if key == "replace" else remedy
    remedy = replace(remedy, keep=0.5) if key == "shrink" else remedy
    together = plasticity.run(remedy, (3, 4), tasks=2)
    alone = plasticity.run(remedy, (4,), tasks=2)
    assert (together.accuracy[1] - alone.accuracy[0]).abs().max() < 0.05
    assert torch.equal(together.recycled[1:, :1] > 0, alone.recycled[:, :1] > 0)
    assert together.norms[1, 0].allclose(alone.norms[0, 0], rtol=0.02)
    assert not together.norms[0, 0].allclose(alone.norms[0, 0], rtol=1e-4)


@pytest.mark.parametrize("norm", [True, False])
def test_rescaling_changes_the_norms_and_not_the_outputs(norm):
    stack = plasticity._Stack(replace(PLAIN, norm=norm, rescale=True), (1, 2))
    with torch.no_grad():
        for p in stack.params:
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(7)))
        before = stack.forward(stack.X)[-1]
        stack.rescale()
        after = stack.forward(stack.X)[-1]
    assert torch.allclose(before, after, rtol=1e-3, atol=1e-3 * before.abs().max().item())
    for i in (0, 2):
        wanted = plasticity._norm(stack.start[i])
        assert torch.allclose(plasticity._norm(stack.params[i]), wanted, rtol=1e-5)


def test_recycling_starts_a_unit_anew_and_leaves_the_others():
    stack = plasticity._Stack(PLAIN, (1, 2))
    Y = stack.drawn(lambda g: torch.randint(27, (512,), generator=g))
    for _ in range(3):
        stack.step(Y, torch.arange(128).expand(2, -1))
    before = [p.detach().clone() for p in stack.params]
    states = [{k: v.clone() for k, v in stack.optimizer.state[p].items()} for p in stack.params]
    units = torch.zeros(2, 64, dtype=torch.bool)
    units[1, [4, 9]] = True
    stack.recycle(1, units)
    W, b, out = 2, 3, 4
    touched = {
        W: units[:, None].expand(-1, 64, -1),
        b: units,
        out: units[..., None].expand(-1, -1, 27),
    }
    for i, p in enumerate(stack.params):
        changed = touched.get(i, torch.zeros(p.shape, dtype=torch.bool))
        assert torch.equal(p[~changed], before[i][~changed])
        for kept in ("exp_avg", "exp_avg_sq"):
            now = stack.optimizer.state[p][kept]
            assert torch.equal(now[~changed], states[i][kept][~changed])
            assert not now[changed].any()
    assert not stack.params[b][units].any()
    assert not stack.params[out][touched[out]].any()
    assert (stack.params[W][touched[W]] != before[W][touched[W]]).all()
    assert stack.recycled.tolist() == [0, 2]


def test_births_and_deaths_are_counted_from_task_to_task():
    dead = torch.zeros(1, 3, 2, 64, dtype=torch.bool)
    dead[0, 1, 0, :3] = True  # three die,
    dead[0, 2, 0, 2:4] = True  # then two come back and another dies
    nothing = torch.zeros(1)
    history = plasticity.History(nothing, dead, nothing, nothing, nothing)
    assert history.deaths[0, :, 0].tolist() == [3, 1]
    assert history.births[0, :, 0].tolist() == [0, 2]
    assert not history.deaths[..., 1].any()


def test_a_record_comes_back_as_it_was_saved(recorded):
    found = plasticity.load(recorded)
    assert list(found) == ["plain", "norm"]
    history = plasticity.run(PLAIN, (5, 6), tasks=2)
    assert torch.equal(found["plain"].history.accuracy, history.accuracy)
    assert torch.equal(found["plain"].history.dead, history.dead)
    assert found["plain"].remedy == PLAIN


def test_replay_notices_a_record_that_today_s_code_does_not_make(recorded, tmp_path):
    found = plasticity.load(recorded)
    assert max(plasticity.replay(found, seeds=1, tasks=1).values()) == 0
    data = json.loads((recorded / "plain.json").read_text())
    data["accuracy"][0][0] += 50
    (tmp_path / "plain.json").write_text(json.dumps(data))
    altered = plasticity.load(tmp_path)
    with pytest.raises(RecordError, match=r"plain\.json by 0\.098"):
        plasticity.replay(altered, seeds=1, tasks=1)
    with redraw.redrawn(3):
        assert plasticity.replay(altered) == {}


def test_records_of_something_else_are_refused(recorded, tmp_path):
    with pytest.raises(RecordError, match="no record"):
        plasticity.load(tmp_path)
    data = json.loads((recorded / "plain.json").read_text())
    data["remedy"]["lr"] = 0.1
    (tmp_path / "plain.json").write_text(json.dumps(data))
    with pytest.raises(RecordError, match="is of"):
        plasticity.load(tmp_path)
    (tmp_path / "plain.json").write_text("{")
    with pytest.raises(RecordError, match="cannot be read"):
        plasticity.load(tmp_path)


def test_tuning_tries_each_value_of_the_knob(monkeypatch):
    tried = []

    def run(remedy, seeds, *, tasks):
        tried.append((remedy.decay, tuple(seeds), tasks))
        return plasticity.History(torch.tensor([[remedy.decay]]), *[torch.zeros(1)] * 4)

    monkeypatch.setattr(plasticity, "run", run)
    scores = plasticity.tune(REMEDIES["l2"], seeds=(101,), tasks=3)
    assert list(scores) == [decay for decay, *_ in tried] == list(REMEDIES["l2"].grid)
    assert all(how == [(101,), 3] for _, *how in tried)
    assert plasticity.tune(PLAIN) == {}


def test_the_seeds_for_tuning_are_not_those_of_the_table():
    assert not set(plasticity.TUNING_SEEDS) & set(plasticity.SEEDS)


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"activation": "gelu"}, "none of relu"),
        ({"activation": "crelu", "threshold": 0.1}, "not recycled"),
        ({"activation": "crelu", "replace": 0.1}, "not recycled"),
    ],
)
def test_remedies_that_are_not_there_are_refused(how, match):
    with pytest.raises(ValueError, match=match):
        Remedy("x", "x", **how)
    with pytest.raises(ValueError, match="at least one"):
        plasticity.run(PLAIN, ())
