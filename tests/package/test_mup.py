import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from mlpinit import init, mlp, mup
from mlpinit.params import Architecture

BASE, WIDTH = 64, 256


def net(n, readout=nn.Linear):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        hidden = [nn.Linear(30, n), nn.ReLU(), nn.Linear(n, n), nn.ReLU()]
        return nn.Sequential(*hidden, readout(n, 27))


# What the PyPI package mup, version 1.0.0, gives for this network at 256 units over a base of 64:
# the learning rate over the base's, for Adam and for SGD, and the standard deviation at the start
# over PyTorch's own. Its readout divides by 4 what it computes, so that its output weights stand
# for weights 4 times smaller, which a step of Adam moves 4 times and one of SGD 16 times less.
ORACLE = {
    "0.weight": (1, 4, 1.0),
    "0.bias": (1, 4, 1.0),
    "2.weight": (0.25, 1, 1.0),
    "2.bias": (1, 4, 2.0),
    "4.weight": (1 / 4, 4 / 16, 2 / 4),
    "4.bias": (1, 1, 2.0),
}


def rates(model, base, optimizer):
    groups = mup.learning_rates(model, base, 1.0, optimizer)
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: group["lr"] for group in groups for p in group["params"]}


@pytest.mark.parametrize(("place", "optimizer"), list(enumerate(mup.OPTIMIZERS)))
def test_rates_are_those_of_the_package_mup(place, optimizer):
    found = rates(net(WIDTH), net(BASE), optimizer)
    assert found == pytest.approx({name: row[place] for name, row in ORACLE.items()})


def test_starts_are_those_of_the_package_mup():
    usual, model = net(WIDTH), net(WIDTH)
    mup.rescale(model, net(BASE))
    old = dict(usual.named_parameters())
    for name, p in model.named_parameters():
        assert torch.allclose(p, old[name] * ORACLE[name][2]), name


@pytest.mark.parametrize("optimizer", mup.OPTIMIZERS)
def test_training_is_that_of_the_package_mup(optimizer):
    pypi = pytest.importorskip("mup")
    theirs = net(WIDTH, pypi.MuReadout)
    pypi.set_base_shapes(theirs, net(BASE, pypi.MuReadout), delta=net(2 * BASE, pypi.MuReadout))
    ours, base = net(WIDTH), net(BASE)
    mup.rescale(ours, base)
    lr = {"adam": 0.003, "sgd": 0.05}[optimizer]
    groups = mup.learning_rates(ours, base, lr, optimizer)
    mine = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[optimizer](groups, lr=lr)
    other = {"adam": pypi.MuAdam, "sgd": pypi.MuSGD}[optimizer](theirs.parameters(), lr=lr)
    g = torch.Generator().manual_seed(1)
    for _ in range(20):
        x, y = torch.randn(16, 30, generator=g), torch.randint(27, (16,), generator=g)
        losses = []
        for model, step in ((ours, mine), (theirs, other)):
            step.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            loss.backward()
            step.step()
            losses.append(loss.item())
        assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_at_the_base_width_nothing_changes():
    model, usual = net(BASE), net(BASE)
    mup.rescale(model, net(BASE))
    assert all(map(torch.equal, model.parameters(), usual.parameters()))
    (group,) = mup.learning_rates(model, net(BASE), 0.1)
    assert (group["kind"], group["lr"], len(group["params"])) == ("fixed", 0.1, 6)


def test_every_parameter_is_in_one_group():
    model = net(WIDTH)
    groups = mup.learning_rates(model, net(BASE), 0.1)
    found = [id(p) for group in groups for p in group["params"]]
    assert sorted(found) == sorted(map(id, model.parameters()))
    torch.optim.Adam(groups)


def test_embeddings_norms_and_convolutions_have_their_kinds():
    def model(n):
        return nn.ModuleDict(
            {
                "table": nn.Embedding(27, n),
                "norm": nn.LayerNorm(n),
                "conv": nn.Conv2d(n, 2 * n, 3),
                "head": nn.Conv2d(2 * n, 5, 1),
            }
        )

    found = mup.grown(model(24), model(8))
    kinds = {name: g.kind for name, g in found.items()}
    assert kinds == {
        "table.weight": "input",
        "norm.weight": "input",
        "norm.bias": "input",
        "conv.weight": "hidden",
        "conv.bias": "input",
        "head.weight": "output",
        "head.bias": "fixed",
    }
    assert found["head.weight"].fan_in == 3
    alone = mup.grown(nn.Embedding(27, 24), nn.Embedding(27, 8))
    assert alone["weight"] == mup.Grown(1.0, 3.0)


def test_one_step_of_adam_moves_every_width_alike():
    """The coordinate check: slopes of log change on log width, standard and μP."""

    def moved(n, base):
        g = torch.Generator().manual_seed(0)
        arch = Architecture(hidden=(n, n), activation="relu")
        model = mlp.as_module(init.draw(arch, mup.scheme(n, base), generator=g))
        like = mlp.as_module(
            init.draw(
                Architecture(hidden=(base, base), activation="relu"),
                mup.scheme(base, base),
                generator=torch.Generator(),
            )
        )
        x, y = torch.randint(27, (32, 3), generator=g), torch.randint(27, (32,), generator=g)
        adam = torch.optim.Adam(mup.learning_rates(model, like, 0.001))
        before = model(x).detach()
        functional.cross_entropy(model(x), y).backward()
        adam.step()
        return (model(x).detach() - before).std().item()

    standard, kept = moved(512, 512) / moved(64, 64), moved(512, 64) / moved(64, 64)
    assert standard > 4
    assert 0.5 < kept < 1.5


def test_the_scheme_is_the_usual_start_with_smaller_output_weights():
    g = torch.Generator()
    arch = Architecture(hidden=(512, 512), activation="relu")
    params = init.draw(arch, mup.scheme(512, 32), generator=g.manual_seed(0))
    usual = init.draw(arch, init.kaiming("relu", b=0), generator=g.manual_seed(0))
    assert torch.allclose(params.W[0], usual.W[0])
    assert torch.allclose(params.W[1], usual.W[1])
    assert not any(b.any() for b in params.b)
    assert params.W[2].std().item() == pytest.approx(32**0.5 / 512, rel=0.03)


@pytest.mark.parametrize("lr", [0.0, -1.0, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(lr):
    with pytest.raises(ValueError, match="a learning rate is a finite number above 0"):
        mup.learning_rates(net(8), net(8), lr)


def test_other_errors_say_what_to_do():
    with pytest.raises(ValueError, match="choose one of adam, sgd"):
        mup.learning_rates(net(8), net(4), 0.1, "adamw")
    with pytest.raises(ValueError, match=r"only one of the two models has 1\.bias, 1\.weight"):
        mup.grown(nn.Sequential(nn.ReLU(), nn.Linear(3, 3)), nn.Sequential(nn.ReLU()))
    with pytest.raises(ValueError, match="a base differs in width alone"):
        mup.grown(nn.Conv1d(2, 2, 3), nn.Linear(2, 2))
    with pytest.raises(ValueError, match="width is 0"):
        mup.scheme(0, 64)
