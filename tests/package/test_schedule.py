import copy

import pytest
import torch
from torch import nn

from mlpinit.recycle import schedule
from mlpinit.saturation import dormancy


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


X = torch.randn(80, 5, generator=generator(1))
DEAD, DOZING = [2, 6], 4  # of the first hidden layer: never on, and on at a thousandth of its size


def model_and_adam(steps=5):
    """5 → 9 → 7 → 3 with ReLU, after some steps of Adam; units 2 and 6 dead, unit 4 hardly on."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = (nn.Linear(5, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 3))
        model = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    train(model, optimizer, steps)
    with torch.no_grad():
        model[0].bias[DEAD] = -50.0
        model[0].weight[DOZING] *= 1e-3
        model[0].bias[DOZING] *= 1e-3
        model[2].bias.add_(1.0)  # all of them live
    return model, optimizer


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        (model(X) - X[:, :3].sin()).square().mean().backward()
        optimizer.step()


def state(model, optimizer):
    """Every parameter and what Adam keeps for it, copied."""
    kept = {
        f"{name} {kind}": value.clone()
        for name, p in model.named_parameters()
        for kind, value in optimizer.state[p].items()
    }
    return {name: p.detach().clone() for name, p in model.named_parameters()} | kept


@pytest.mark.parametrize(("threshold", "wanted"), [(None, DEAD), (0.025, [*DEAD, DOZING])])
def test_it_recycles_exactly_the_units_that_are_asleep(threshold, wanted):
    model, optimizer = model_and_adam()
    h = model[:2](X)
    sleepers = schedule(
        model, X, every=1, threshold=threshold, optimizer=optimizer, generator=generator()
    )
    score = dormancy(h)
    by_hand = (score <= threshold) if threshold else (h == 0).all(0)
    assert by_hand.nonzero()[:, 0].tolist() == sorted(wanted)
    done = sleepers.step()
    assert sleepers.history[0].units == {"1": sorted(wanted)}
    assert done.sites[0].units == tuple(sorted(wanted))
    assert done.n_units == len(wanted)


def test_live_units_and_their_state_stay_bit_identical():
    model, optimizer = model_and_adam()
    before = state(model, optimizer)
    schedule(model, X, every=1, optimizer=optimizer, generator=generator()).step()
    after = state(model, optimizer)
    live = [j for j in range(9) if j not in DEAD]
    for name in ("0.weight", "0.bias"):
        for kind in ("", " exp_avg", " exp_avg_sq"):
            assert torch.equal(before[name + kind][live], after[name + kind][live])
            if kind:
                assert not after[name + kind][DEAD].any()
    for kind in ("", " exp_avg", " exp_avg_sq"):
        assert torch.equal(before["2.weight" + kind][:, live], after["2.weight" + kind][:, live])
        assert not after["2.weight" + kind][:, DEAD].any()
    touched = ("0.weight", "0.bias", "2.weight")
    others = [name for name in before if name.split()[0] not in touched or "step" in name]
    assert len(others) == 3 * 4 + 3
    assert all(torch.equal(before[name], after[name]) for name in others)
    assert not torch.equal(before["0.weight"][DEAD], after["0.weight"][DEAD])


def test_between_two_looks_nothing_happens():
    model, optimizer = model_and_adam()
    before = state(model, optimizer)
    sleepers = schedule(model, X, every=3, optimizer=optimizer, generator=generator())
    assert [sleepers.step() for _ in range(2)] == [None, None]
    assert not sleepers.history
    after = state(model, optimizer)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert sleepers.step().n_units == 2
    assert [sleepers.step() for _ in range(3)] == [None] * 3  # nobody is asleep any more
    assert [(r.step, r.n_units) for r in sleepers.history] == [(3, 2), (6, 0)]
    assert "nothing to recycle" in str(sleepers.history[1])
    assert "2 units" in str(sleepers.history[0])


def test_the_outputs_stay_and_the_units_learn_again():
    model, optimizer = model_and_adam()
    outputs = model(X).detach()
    sleepers = schedule(model, X, every=1, optimizer=optimizer, generator=generator())
    sleepers.step()
    assert torch.allclose(model(X), outputs, atol=1e-6)
    drawn = model[0].weight[DEAD].detach().clone()
    train(model, optimizer, 3)
    assert (model[0].weight[DEAD] != drawn).any(1).all()
    assert (model[:2](X)[:, DEAD] > 0).any(0).all()


def test_asking_changes_nothing_and_leaves_the_mode():
    model, _optimizer = model_and_adam()
    model.insert(2, nn.Dropout(0.5)).train()
    before = copy.deepcopy(model.state_dict())
    sleepers = schedule(model, X, every=1, generator=generator())
    assert sleepers.asleep() == {"1": DEAD}
    assert sleepers.steps == 0
    assert model.training
    assert model[2].training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_it_is_judged_on_a_loader_of_pairs_as_on_their_tensor():
    model, optimizer = model_and_adam()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, X[:, 0]), batch_size=32)
    sleepers = schedule(model, loader, every=1, optimizer=optimizer, generator=generator())
    assert sleepers.step().sites[0].units == tuple(DEAD)


@pytest.mark.parametrize(
    ("how", "error", "match"),
    [
        ({"every": 0}, ValueError, "at least 1"),
        ({"every": 2.0}, ValueError, "whole number"),
        ({"threshold": -0.1}, ValueError, "at least 0"),
        ({"threshold": 1.0}, ValueError, "under 1"),
        ({"data": iter([X])}, TypeError, "walked once"),
    ],
)
def test_bad_arguments_are_refused_at_once(how, error, match):
    model, _ = model_and_adam(1)
    how = {"data": X, "every": 1} | how
    with pytest.raises(error, match=match):
        schedule(model, how.pop("data"), generator=generator(), **how)
