import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mlpinit.models.batches import Batches
from mlpinit.models.flow import Cuts
from mlpinit.models.measuring import measure
from mlpinit.models.parts import Parts
from mlpinit.models.sites import sites
from mlpinit.models.tracing import SiteError


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.act, self.out = nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 4)

    def forward(self, x):
        return self.out(torch.tanh(self.act(self.inner(x))))


class MyTanh(nn.Tanh):
    def forward(self, x):
        return x.tanh()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())
        self.mine = MyTanh()
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        x = self.blocks[0](self.blocks(x))
        x = self.mine(F.relu(x.clone()))
        return self.last(x.relu_().tanh())


def test_names_are_those_of_modules_and_of_callers_in_the_order_of_the_forward_pass():
    block = [f"blocks.{k}{what}" for k in (0, 1) for what in (".act", ":tanh")]
    again = ["blocks.0.act#2", "blocks.0:tanh#2"]
    assert sites(Model()) == [*block, *again, ":relu", "mine", ":relu#2", ":tanh"]


def plan(model, x):
    batches = Batches(x, model.eval())
    parts = Parts(model, batches)
    return parts.maps[""], parts, batches


@pytest.mark.parametrize(
    "of", [torch.tensor, np.array, list, iter], ids=["torch", "numpy", "list", "iterator"]
)
def test_units_are_told_by_indices_or_by_a_mask(of):
    chosen, *_ = plan(nn.Sequential(nn.Linear(3, 8), nn.Tanh()), torch.ones(1, 3))
    assert chosen.checked({"1": of([5, 0, 5])}) == {"1": [0, 5]}
    assert chosen.checked({"1": of([])}) == {}
    if of in (torch.tensor, np.array):
        mask = of([unit in (0, 1, 5) for unit in range(8)])
        assert chosen.checked({"1": mask}) == {"1": [0, 1, 5]}
        assert chosen.checked({"1": mask & ~mask}) == {}
        with pytest.raises(ValueError, match=r"the mask of site '1' is \(7,\); it has 8 units"):
            chosen.checked({"1": mask[:7]})


def test_what_tells_no_units_is_refused():
    chosen, *_ = plan(nn.Sequential(nn.Linear(3, 8), nn.Tanh()), torch.ones(1, 3))
    for dead in ([5], torch.ones(8, dtype=torch.bool)):
        with pytest.raises(
            TypeError, match=r"wanted \{site: units\}, as a report's dead\(\) gives"
        ):
            chosen.checked(dead)
    for units in (5, True, "5", None):
        with pytest.raises(TypeError, match=f"the units of site '1' are {units!r}; wanted several"):
            chosen.checked({"1": units})
    with pytest.raises(TypeError, match="True is no index"):
        chosen.checked({"1": [True, False]})


class Shapes(nn.Module):
    """A flattened map, joined with a vector, read by one layer."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(1, 3, 2), nn.BatchNorm1d(3)
        self.side, self.out = nn.Linear(6, 2), nn.Linear(3 * 5 + 2, 4)

    def forward(self, x):
        h = F.relu(self.norm(self.conv(x[:, None, :])))
        return self.out(torch.cat([torch.tanh(self.side(x)), h.flatten(1)], 1))


def test_units_are_followed_to_every_place_that_belongs_to_them():
    site_map, parts, batches = plan(Shapes(), torch.randn(7, 6, generator=torch.Generator()))
    dead = {":relu": [1], ":tanh": [0]}
    jobs, refused = parts.follow(dead)
    assert refused == {}
    cuts = Cuts()
    for job in jobs:
        cuts.add(job.cuts)
    assert cuts.inputs == {"out": {0, 2 + 5, 2 + 6, 2 + 7, 2 + 8, 2 + 9}}
    assert cuts.outputs == {"conv": {1}, "side": {0}}
    assert cuts.norms == {"norm": {1}}
    measure(jobs, parts.run, batches)
    x = next(iter(batches))[0]
    want = torch.tanh(site_map.modules["side"](x))[:, 0]
    said = next(job.said for job in jobs if job.site == ":tanh")
    assert said.mean.item() == pytest.approx(want.mean().item(), abs=1e-6)
    assert said.width.item() == pytest.approx((want.max() - want.min()).item(), abs=1e-6)


class Branching(nn.Module):
    def forward(self, x):
        return torch.tanh(x) if x.sum() > 0 else x


@pytest.mark.parametrize(
    ("model", "match"),
    [(Branching(), "cannot trace Branching"), ([1], "got a list")],
)
def test_what_cannot_be_traced(model, match):
    with pytest.raises(SiteError, match=match):
        sites(model)
