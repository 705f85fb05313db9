"""Recorded training runs: against torch, and read by the training microscope."""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
import math
from itertools import pairwise

import node_runner
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mlpinit import corpus, init, lab, mlp, saturation, train
from mlpinit.lab import batch
from mlpinit.lab.recording import (
    BINS,
    REACH_H,
    REACH_Z,
    Recording,
    continued,
    frame_steps,
    observe,
    record,
)

STEPS = 60
FRAMES = 8
SEED = 2147483647
RUNS = {
    "article": (init.QUIET_OUTPUT, None),
    "scaled": (init.scaled(0.2, 0.01), None),
    "batch": (init.scaled(0.2, 0.01), "batch"),
}


def make(name: str, **settings: object) -> Recording:
    scheme, normalize = RUNS[name]
    settings = {"steps": STEPS, "frames": FRAMES, "progress": False} | settings
    return record(scheme, normalize=normalize, **settings)


@functools.cache
def recorded(name: str) -> Recording:
    return make(name)


@functools.cache
def trained(name: str) -> tuple[nn.Sequential, torch.Tensor, list[float]]:
    """The same run by autograd and `torch.optim`: the network, its dev targets, the losses."""
    scheme, normalize = RUNS[name]
    contexts = corpus.split(corpus.load()).train
    g = torch.Generator().manual_seed(SEED)
    start = init.draw(mlp.Architecture(normalize=normalize), scheme, generator=g)
    module = mlp.as_module(start).train()
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    losses = []
    for step in range(STEPS):
        if step == STEPS // 2:
            optimiser.param_groups[0]["lr"] = 0.01
        rows = torch.randint(0, len(contexts), (32,), generator=g)
        loss = nn.functional.cross_entropy(module(contexts.X[rows]), contexts.Y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return module, losses


@given(st.integers(1, 300_000), st.integers(2, 100))
def test_frames_are_different_steps_from_the_first_to_the_last(steps, frames):
    at = frame_steps(steps, frames)
    assert at[0] == 0
    assert at[-1] == steps
    assert len(at) == min(frames, steps + 1)
    assert all(x < y for x, y in pairwise(at))


def test_frames_are_evenly_spaced_on_a_log_axis_where_they_can_be():
    at = torch.tensor(frame_steps(20_000, 60), dtype=torch.float64)
    gaps = at.log().diff()[20:]
    assert gaps.max() / gaps.min() < 1.1


@pytest.mark.parametrize(("steps", "frames"), [(0, 60), (10, 1)])
def test_a_run_without_two_frames_is_refused(steps, frames):
    with pytest.raises(ValueError, match=f"{frames} frames of {steps} steps"):
        frame_steps(steps, frames)


@pytest.mark.parametrize("name", ["article", "scaled"])
def test_the_first_frame_is_the_first_batch_of_the_chapters(name):
    X, Y = batch.first_batch()
    start = init.draw(
        mlp.Architecture(), RUNS[name][0], generator=torch.Generator().manual_seed(SEED)
    )
    seen = mlp.forward(start, X)
    h = seen.activations[0]
    found = recorded(name)
    assert torch.equal(found.white[0], saturation.saturated(h))
    assert found.batch_loss[0].item() == pytest.approx(mlp.loss(seen.logits, Y).item(), abs=1e-6)
    for counts, values, reach in (
        (found.z, seen.pre_activations[0], REACH_Z),
        (found.h, h, REACH_H),
    ):
        inside = values.double().clamp(-reach, reach).flatten()
        wanted = inside.histogram(torch.linspace(-reach, reach, BINS + 1, dtype=torch.float64))
        assert torch.equal(counts[0].double(), wanted.hist)


@pytest.mark.parametrize("name", RUNS)
def test_the_run_is_that_of_autograd_and_torch_optim(name):
    found, (module, losses) = recorded(name), trained(name)
    at = found.steps.tolist()
    for frame in range(1, len(at)):
        since = losses[at[frame - 1] : at[frame]]
        assert found.batch_loss[frame].item() == pytest.approx(
            math.fsum(since) / len(since), abs=1e-4
        )
    X, _ = batch.first_batch()
    states = module[:-1](X)  # training's batch norm: by the batch's own mean and variance
    assert (found.white[-1] != saturation.saturated(states)).sum() <= 2  # at the very edge
    assert found.rate.tolist() == [0.1 if step < STEPS / 2 else 0.01 for step in at]


@pytest.mark.parametrize("name", RUNS)
def test_gradients_and_ratios_are_those_of_autograd(name):
    found, (module, _) = recorded(name), trained(name)
    X, Y = batch.first_batch()
    module.zero_grad()
    nn.functional.cross_entropy(module(X), Y).backward()
    own = dict(
        zip(found.tensors, zip(found.gradient[-1], found.ratio[-1], strict=True), strict=True)
    )
    for key, data in named(module).items():
        size = data.grad.square().mean().sqrt().item()
        ratio = (0.01 * data.grad.std() / data.std()).item()
        assert own[key][0].item() == pytest.approx(size, rel=1e-3), key
        assert own[key][1].item() == pytest.approx(ratio, rel=1e-3), key


def named(module: nn.Sequential) -> dict[str, nn.Parameter]:
    table, *_, last = module
    linear, norm = module[2], module[3]
    found = {"C": table.weight, "W1": linear.weight, "W2": last.weight, "b2": last.bias}
    if isinstance(norm, nn.BatchNorm1d):
        return found | {"b1": norm.bias, "gain1": norm.weight}
    return found | {"b1": linear.bias}


@pytest.mark.parametrize("name", RUNS)
def test_the_dev_loss_is_that_of_the_whole_split(name):
    module = trained(name)[0]
    splits = corpus.split(corpus.load())
    norm = module[3]
    if isinstance(norm, nn.BatchNorm1d):
        with torch.no_grad():
            z = module[:3](splits.train.X)
            norm.running_mean, norm.running_var = z.mean(0), z.var(0, correction=0)
    with torch.no_grad():
        wanted = nn.functional.cross_entropy(module.eval()(splits.dev.X), splits.dev.Y).item()
    module.train()
    assert recorded(name).dev_loss[-1].item() == pytest.approx(wanted, abs=1e-4)


def test_dead_units_are_those_of_the_whole_training_set():
    """Weights of 0 and biases far out: a hidden layer that answers nothing but ±1."""
    found = make("article", steps=1, frames=2, lr=0.0)
    dead = record(init.scaled(0.0, 100.0), steps=1, frames=2, lr=0.0, progress=False)
    assert found.soft.tolist() == found.hard.tolist() == [0, 0]
    start = init.draw(
        mlp.Architecture(),
        init.scaled(0.0, 100.0),
        generator=torch.Generator().manual_seed(SEED),
    )
    stuck = 1 - torch.tanh(start.b[0]) ** 2
    assert dead.soft.tolist() == [int((stuck < 0.02).sum())] * 2
    assert dead.hard.tolist() == [int((stuck == 0).sum())] * 2
    assert 100 < dead.hard[0] < dead.soft[0]


def test_a_tensor_of_equal_numbers_has_no_ratio():
    found = recorded("batch")
    none = dict(zip(found.tensors, found.ratio[0].isnan().tolist(), strict=True))
    assert [name for name, missing in none.items() if missing] == ["b1", "b2", "gain1"]
    assert found.data()["ratio"][0][found.tensors.index("b2")] is None


def test_the_same_run_gives_the_same_bytes():
    assert make("article").script("article") == recorded("article").script("article")
    assert recorded("article").digest != recorded("scaled").digest


@pytest.mark.parametrize("name", RUNS)
def test_what_is_shipped_is_as_exact_as_the_docstring_says(name):
    found = recorded(name)
    data = json.loads(found.json())
    for key, exact in (("batchLoss", found.batch_loss), ("devLoss", found.dev_loss)):
        assert (torch.tensor(data[key], dtype=torch.float64) - exact).abs().max() <= 0.5001e-4
    for key in ("gradient", "ratio"):
        exact = getattr(found, key)
        rows = [[math.nan if x is None else x for x in row] for row in data[key]]
        shipped = torch.tensor(rows, dtype=torch.float64)
        assert torch.equal(shipped.isnan(), exact.isnan())
        assert ((shipped - exact).abs() <= 0.0050001 * exact.abs())[~exact.isnan()].all()
    bits = torch.tensor(list(base64.b64decode(data["white"])), dtype=torch.uint8)
    cells = bits[:, None].bitwise_and(2 ** torch.arange(7, -1, -1, dtype=torch.uint8)) > 0
    assert torch.equal(cells.view(found.white.shape), found.white)
    assert found.z.sum(1).tolist() == found.h.sum(1).tolist() == [6400] * FRAMES


def test_a_run_of_sixty_frames_is_small_enough_for_a_page():
    found = make("batch", steps=100, frames=60)
    assert len(found.steps) == 60
    assert len(found.script("batch").encode()) <= 150_000


def test_a_map_of_odd_size_ends_in_half_a_byte():
    found = dataclasses.replace(recorded("article"), white=torch.ones(2, 3, 7, dtype=torch.bool))
    content = base64.b64decode(found.data()["white"])
    assert list(content) == [255, 255, 0b11111000] * 2


def test_a_label_cannot_end_the_script():
    found = dataclasses.replace(recorded("article"), label="</script><b>")
    assert "<" not in found.script("x")
    assert json.loads(found.json())["label"] == "</script><b>"


def test_a_run_that_diverges_says_so():
    with pytest.raises(train.TrainingDivergedError, match="step"):
        record(init.AS_DRAWN, steps=200, frames=3, lr=1e38, progress=False)


def test_a_notebook_shows_the_runs_it_made(monkeypatch):
    monkeypatch.setattr(lab, "script", lambda: "")
    runs = {"as drawn": recorded("article"), "smaller": recorded("scaled")}
    shown = lab.microscope(runs, step=30, right="as drawn")
    page = shown._repr_html_()
    names = shown.settings["runs"].split()
    assert len(set(names)) == 2
    for name, (label, one) in zip(names, runs.items(), strict=True):
        assert dataclasses.replace(one, label=label).script(name) in page
    assert page.index(f'data-recording="{names[0]}"') < page.rindex("<script>")
    assert f'right="{names[0]}"' in page
    assert 'step="30"' in page


@pytest.mark.parametrize(
    ("runs", "settings", "told"),
    [
        (0, {}, "at least one run"),
        (1, {"left": "b"}, "left is 'b'; choose one of a"),
        (1, {"step": STEPS + 1}, f"no step {STEPS + 1} of 1 runs; the longest run has {STEPS}"),
        (1, {"step": -1}, "no step -1"),
    ],
)
def test_a_microscope_on_nothing_is_refused(runs, settings, told):
    with pytest.raises(ValueError, match=told):
        lab.microscope({"a": recorded("article")} if runs else {}, **settings)


def test_node_reads_what_was_recorded(tmp_path):
    X, Y = batch.first_batch()
    start = init.draw(
        mlp.Architecture(), init.QUIET_OUTPUT, generator=torch.Generator().manual_seed(SEED)
    )
    seen = mlp.forward(start, X)
    values = {
        "scripts": {name: recorded(name).script(name) for name in RUNS},
        "exact": {name: exact(recorded(name)) for name in RUNS},
        "chapter": {
            "white": saturation.saturated(seen.activations[0]).flatten().int().tolist(),
            "loss": mlp.loss(seen.logits, Y).item(),
        },
    }
    (tmp_path / "values.json").write_text(json.dumps(values))
    node_runner.check("microscope.test.js", LAB_VALUES=str(tmp_path / "values.json"))


def exact(found: Recording) -> dict[str, object]:
    """Every number of a recording, nan as None."""
    ratio = [[None if math.isnan(x) else x for x in row] for row in found.ratio.tolist()]
    return {
        "steps": found.steps.tolist(),
        "white": found.white.flatten(1).int().tolist(),
        "z": found.z.tolist(),
        "h": found.h.tolist(),
        "soft": found.soft.tolist(),
        "hard": found.hard.tolist(),
        "batchLoss": found.batch_loss.tolist(),
        "devLoss": found.dev_loss.tolist(),
        "rate": found.rate.tolist(),
        "gradient": found.gradient.tolist(),
        "ratio": ratio,
    }


def test_a_run_of_a_stack_shows_what_the_same_run_alone_does():
    splits = corpus.split(corpus.load())
    generators = [torch.Generator().manual_seed(SEED) for _ in range(2)]
    starts = [
        init.draw(mlp.Architecture(), RUNS[name][0], generator=g)
        for name, g in zip(("article", "scaled"), generators, strict=True)
    ]
    run = train.sgd(
        init.stack(starts),
        splits.train,
        steps=STEPS,
        generator=generators,
        snapshots=frame_steps(STEPS, FRAMES),
        progress=False,
    )
    seen, alone = observe(run.run(1), splits), recorded("scaled")
    assert torch.equal(seen.steps, alone.steps)
    assert torch.equal(seen.white, alone.white)
    assert torch.equal(seen.rate, alone.rate)
    torch.testing.assert_close(seen.dev_loss, alone.dev_loss, atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.ratio, alone.ratio, rtol=1e-3, atol=0, equal_nan=True)
    with pytest.raises(ValueError, match=r"this run is of 2 networks; pick one: run\.run\(k\)"):
        observe(run, splits)
    with pytest.raises(ValueError, match="only that of a stack has runs to pick"):
        run.run(1).run(0)


@pytest.mark.parametrize("at", [(), (0,), (0, 30), (30, 60)])
def test_a_run_without_its_first_and_last_snapshot_is_refused(at):
    splits = corpus.split(corpus.load())
    g = torch.Generator().manual_seed(SEED)
    start = init.draw(mlp.Architecture(), init.QUIET_OUTPUT, generator=g)
    run = train.sgd(start, splits.train, steps=STEPS, generator=g, snapshots=at, progress=False)
    with pytest.raises(ValueError, match=r"snapshots=frame_steps\(60\)"):
        observe(run, splits)


def half_trained(steps: int, **settings: object) -> tuple[train.Run, corpus.Splits]:
    splits = corpus.split(corpus.load())
    g = torch.Generator().manual_seed(SEED)
    start = init.draw(mlp.Architecture(), RUNS["article"][0], generator=g)
    return train.sgd(start, splits.train, steps=steps, generator=g, **settings), splits


def test_a_run_recorded_in_two_parts_is_the_run_recorded_whole():
    keep = [0, 3, 30, 41, 60]
    run, splits = half_trained(60, snapshots=keep)
    whole = observe(run, splits)
    g = torch.Generator().manual_seed(SEED)
    init.draw(mlp.Architecture(), RUNS["article"][0], generator=g)
    torch.randint(0, len(splits.train), (30, 32), generator=g)  # the batches of the first part
    second = train.sgd(
        run.snapshots[30], splits.train, steps=30, generator=g, lr=0.01, snapshots=[0, 11, 30]
    )
    same = half_trained(30, snapshots=[0, 3, 30], lr=0.1)[0]
    assert torch.equal(same.params.C, run.snapshots[30].C)
    for trunk in (whole, observe(same, splits, lr=0.1)):
        found = continued(trunk, observe(second, splits, lr=0.01), at=30)
        for field in dataclasses.fields(Recording):
            a, b = (getattr(r, field.name) for r in (found, whole))
            assert a == b if isinstance(a, str | tuple) else torch.allclose(a, b, equal_nan=True)
    with pytest.raises(ValueError, match="no frame at step 29"):
        continued(whole, whole, at=29)
