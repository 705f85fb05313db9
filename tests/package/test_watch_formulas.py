"""Formulas written out, functions that change, layers that come and go: what is judged, by what."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from mlpinit.models.sites import sites
from mlpinit.recycle import recycle
from mlpinit.surgery import remove
from mlpinit.watch import audit, watch


def data(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Own(nn.Module):
    """A layer, a function of its outputs written in the forward, a layer."""

    def __init__(self, f, width=6):
        super().__init__()
        torch.manual_seed(3)
        self.into, self.out, self.f = nn.Linear(5, width), nn.Linear(width, 2), f
        self.slope = nn.Parameter(torch.linspace(0.5, 2, width))

    def forward(self, x):
        z = self.into(x)
        return self.out(self.f(z, self.slope) if self.f.__code__.co_argcount > 1 else self.f(z))


def square_root_gelu(z):
    inner = (2 / torch.pi) ** 0.5 * (z + 0.044715 * torch.pow(z, 3))
    return z * 0.5 + z * 0.5 * inner.tanh()


def in_place_swish(z):
    gate = z.sigmoid().clone()
    gate *= z
    return gate


def gate_of_two_uses(z):
    gate = torch.sigmoid(z)
    return z * gate + (2 + z) * gate


def two_formulas_of_one_gate(z):
    gate = torch.sigmoid(z)
    return torch.cat((z * gate, (1 - z) * gate), -1)[:, 3:9]


def written_over(z):
    y = z.clone()
    return z.sigmoid_() * y


def gated_by_the_other_half(z):
    a, b = z.chunk(2, 1)
    return torch.cat((a, torch.sigmoid(b) * a), 1)


def every_two(z):
    h = z.relu()
    return (h.unsqueeze(1) - h.unsqueeze(2)).amax(2)


def normalised(z):
    h = torch.tanh(z)
    return (h - h.mean(0)) / h.std(0)


def over_itself(z):
    z *= torch.sigmoid(z)
    return z


FORMULAS = {
    "GELU by tanh": (square_root_gelu, ":tanh"),
    "swish, its gate written over": (in_place_swish, ":sigmoid"),
    "swish, written over its input": (over_itself, ":sigmoid"),
    "Mish": (lambda z: torch.tanh(F.softplus(z)) * z, ":tanh"),
    "swish with a slope a unit": (lambda z, a: z * torch.sigmoid(a * z), ":sigmoid"),
    "hard swish": (lambda z: F.hardtanh(z + 3, 0, 6).div(6).mul(z), ":hardtanh"),
    "tanh and what it lacks": (lambda z: 0.1 * z + 0.9 * torch.tanh(z), ":tanh"),
    "two halves": (lambda z: F.relu(z) - F.relu(-z), ":relu#2"),
    "through other numbers": (lambda z: z.double().sigmoid().float() * z, ":sigmoid"),
    "from nothing to z": (
        lambda z: torch.lerp(torch.zeros_like(z), z, torch.sigmoid(z)),
        ":sigmoid",
    ),
    "two gates": (lambda z: z * torch.sigmoid(z) + (1 - z) * torch.sigmoid(z), ":sigmoid#2"),
    "a gate of two uses": (gate_of_two_uses, ":sigmoid"),
    "halved at the end": (lambda z: (z + z * torch.tanh(z + z**3)) * 0.5, ":tanh"),
    "by steps": (lambda z: torch.tanh(z + z**3).add(1).mul(z).div(2).mul(3), ":tanh"),
    "added to a product": (lambda z: z.mul(0.5).addcmul(z.mul(0.5), torch.tanh(z)), ":tanh"),
    "einsum": (lambda z: torch.einsum("ij,ij->ij", torch.sigmoid(z), z), ":sigmoid"),
    "einsum of any": (lambda z: torch.einsum("...,...->...", [z, z.sigmoid()]), ":sigmoid"),
    "product of a stack": (lambda z: torch.stack([z, z.sigmoid()]).prod(0), ":sigmoid"),
    "product of pairs": (
        lambda z: torch.prod(torch.stack((torch.sigmoid(z), z), -1), dim=-1),
        ":sigmoid",
    ),
    "sum of a stack": (lambda z: torch.stack([z, torch.tanh(2 * z)], 1).sum((1,)), ":tanh"),
    "one of a stack": (lambda z: torch.stack([z, z.sigmoid()])[1] * z, ":sigmoid"),
    "where": (lambda z: torch.where(z > 0, z, 0), ":formula"),
    "where, with a tail": (lambda z: torch.where(z.lt(0), z.exp() - 1, z), ":formula"),
    "times a comparison": (lambda z: z * (z > 0), ":formula"),
    "times a comparison, as numbers": (lambda z: (z > 0).to(z).mul(z), ":formula"),
    "between two bounds": (lambda z: z * ((z > -1) & ~(z > 6)), ":formula"),
    "filled": (lambda z: z.masked_fill(z <= 0, 0.0), ":formula"),
    "half of the sum with its size": (lambda z: (z + z.abs()) / 2, ":formula"),
    "GELU": (lambda z: 0.5 * z * (1 + torch.erf(z / 2**0.5)), ":formula"),
    "GELU, its half last": (lambda z: z * (1 + torch.special.erf(z / 2**0.5)) / 2, ":formula"),
    "GELU by its distribution": (lambda z: torch.special.ndtr(z) * z, ":formula"),
    "swish by exp": (lambda z: z / (1 + torch.exp(-z)), ":formula"),
    "softsign": (lambda z: z / (1 + z.abs()), ":formula"),
    "hard swish by a clamp": (lambda z: z * (z + 3).clamp(0, 6) / 6, ":formula"),
    "two of them": (lambda z: torch.where(z > 0, z, 0) * torch.where(z > 1, z, 1), ":formula#2"),
    "tanh by exp": (
        lambda z: (z.exp() - (-z).exp()) / (z.exp() + (-z).exp()),
        ":formula#2",
    ),
}


@pytest.mark.parametrize(("f", "name"), FORMULAS.values(), ids=FORMULAS)
def test_a_formula_is_judged_by_its_own_slope(f, name):
    model, x = Own(f), data(400, 5)
    with torch.no_grad():
        model.into.bias[:2] = torch.tensor([60.0, -60.0])
    z = model.into(x).detach().requires_grad_()
    h = model.f(z.clone(), model.slope.detach()) if f.__code__.co_argcount > 1 else f(z.clone())
    (slope,) = torch.autograd.grad(h.sum(), z)
    report = audit(model, x, progress=False)
    assert list(report.sites) == [name] == sites(model)
    figures = report[name].whole
    torch.testing.assert_close(figures.largest_slope, slope.abs().amax(0).double())
    torch.testing.assert_close(figures.largest, h.detach().amax(0).double())
    gone = slope.abs().amax(0) == 0
    assert [v == "hard-dead" for v in report[name].verdicts] == gone.tolist()


def set_to_zero(z):
    z[z < 0] = 0
    return z


ALONE = {
    "maximum": lambda z: torch.maximum(z, torch.zeros_like(z)),
    "max": lambda z: torch.max(torch.tensor(0.0), z),
    "sigmoid by exp": lambda z: 1 / (1 + torch.exp(-z)),
    "softplus by exp": lambda z: torch.log(1 + z.exp()),
    "set to zero": set_to_zero,
    "masked_fill_": lambda z: z.masked_fill_(z < 0, 0.0),
    "in several steps": lambda z: torch.where((y := z * 2 + 1) > 0, y, 0),
}


@pytest.mark.parametrize("f", ALONE.values(), ids=ALONE)
def test_a_formula_in_which_a_value_does_not_meet_itself_or_is_written_over(f):
    model, x = Own(f), data(400, 5)
    with torch.no_grad():
        model.into.bias[:2] = torch.tensor([40.0, -40.0])
        model.into.weight[:2] /= 9
    z = model.into(x).detach().requires_grad_()
    (slope,) = torch.autograd.grad(f(z.clone()).sum(), z)
    figures = audit(model, x, progress=False)[":formula"].whole
    torch.testing.assert_close(figures.largest_slope, slope.abs().amax(0).double())


def test_a_gate_that_was_stacked_and_taken_apart_again():
    def f(z):
        a, b = torch.stack([z, torch.sigmoid(z)], -1).unbind(-1)
        return a * b

    report = audit(Own(f), data(400, 5), progress=False)
    assert [site.activation for site in report.sites.values()] == ["sigmoid formula"]


class Biased(nn.Module):
    """The product alone is no longer there when the formula is made: its slope is by z."""

    def __init__(self, f):
        super().__init__()
        self.w, self.b, self.f = nn.Parameter(data(5, 6)), nn.Parameter(torch.zeros(6)), f
        with torch.no_grad():
            self.b[1] = -90.0

    def forward(self, x):
        x = x @ self.w
        x = x + self.b
        return self.f(x)


@pytest.mark.parametrize("name", ["GELU by tanh", "GELU", "where", "times a comparison"])
def test_the_last_value_that_a_formula_is_made_of_is_its_pre_activation(name):
    f, site = FORMULAS[name]
    model, x = Biased(f), data(400, 5)
    report = audit(model, x, progress=False)
    assert report.dead() == {site: [1]}
    z = (x @ model.w + model.b).detach()
    torch.testing.assert_close(report[site].whole.z_largest, z.amax(0).double())
    assert not report.notes


NOT_UNITS = {
    "a root mean square": lambda z: z * torch.rsqrt(z.pow(2).mean(-1, keepdim=True) + 1e-6),
    "its largest size": lambda z: z / z.abs().amax(-1, keepdim=True).clamp(min=1e-6),
    "a polynomial": lambda z: z**3 - 2 * z,
    "a scale": lambda z: torch.exp(z / 2),
    "a mask": lambda z: torch.where(torch.ones(6, dtype=torch.bool), z, 0) * 2,
    "a floor": lambda z: torch.maximum(z, torch.tensor(-1e4)),
    "softmax": lambda z: (z - z.amax(-1, True)).exp() / (z - z.amax(-1, True)).exp().sum(-1, True),
    "whole numbers": lambda z: z + torch.where(z.long() > 0, z.long(), 0).sum(),
}


@pytest.mark.parametrize("f", NOT_UNITS.values(), ids=NOT_UNITS)
def test_what_is_no_activation_is_no_site(f):
    model = nn.Sequential(Own(f), nn.Tanh())
    assert list(audit(model, data(400, 5), progress=False).sites) == ["1"]


def test_what_is_done_to_the_model_s_own_input_is_no_site():
    class Net(nn.Module):
        def forward(self, x):
            return torch.tanh(x * (x > 0))

    assert list(audit(Net(), data(400, 5), progress=False).sites) == [":tanh"]


@pytest.mark.parametrize("f", [FORMULAS["GELU by tanh"][0], lambda z: z.mul(torch.sigmoid(3 * z)),
                               FORMULAS["GELU"][0], FORMULAS["where"][0]])  # fmt: skip
def test_the_name_of_a_formula_is_known_to_removal_and_recycling(f):
    model, x = Own(f), data(400, 5)
    with torch.no_grad():
        model.into.bias[4] = -90.0
    dead = audit(model, x, progress=False).dead()
    assert list(dead.values()) == [[4]]
    assert remove(model, dead, x).largest_difference < 1e-6
    done = recycle(copy.deepcopy(model), dead, x, generator=torch.Generator())
    assert done.n_units == 1
    assert done.output_change < 1e-6


UNTOLD = {
    "its axes rearranged": lambda z: (
        z.view(-1, 2, 3).flatten(1) * z.sigmoid().view(-1, 2, 3).flatten(1)
    ),
    "an axis put in twice": lambda z: (z.unsqueeze(1) * torch.sigmoid(z.unsqueeze(1))).squeeze(1),
    "a dropout in it": lambda z: z * F.dropout(torch.sigmoid(z), 0.5, True),
    "two formulas of one gate": two_formulas_of_one_gate,
    "its input is gone": written_over,
    "summed at once": lambda z: torch.einsum("ij,ij->i", z, z.sigmoid())[:, None].expand(-1, 6),
}


@pytest.mark.parametrize("f", UNTOLD.values(), ids=UNTOLD)
def test_a_formula_that_cannot_be_told_is_announced(f):
    model, x = Own(f), data(400, 5)
    with torch.no_grad():
        model.into.bias[0] = 60.0
    with watch(model) as w:
        model(x)
        model(x)
    with pytest.raises(RuntimeError, match=":sigmoid: it is part of"):
        w.report()


NO_FORMULAS = {
    "of every two units": every_two,
    "added to what was empty": lambda z: torch.zeros_like(z).add_(z.relu()).mul_(2),
    "two values": lambda z: torch.relu(z) * z.roll(1, 1),
    "a half gates the other": gated_by_the_other_half,
    "normalised": normalised,
    "squared": lambda z: torch.relu(z).square() / 2,
}


@pytest.mark.parametrize("f", NO_FORMULAS.values(), ids=NO_FORMULAS)
def test_what_is_no_formula_is_judged_as_it_was(f):
    report = audit(Own(f), data(400, 5), progress=False)
    (site,) = report.sites.values()
    assert site.activation in ("relu", "sigmoid", "tanh")
    assert not report.notes


def test_a_clamp_from_0_up_is_a_relu_but_for_its_slope_at_0():
    for f in (lambda z: z.clamp(min=0), lambda z: torch.clip(z, 0.0), lambda z: z.clamp_min_(0)):
        model, x = Own(f), data(400, 5)
        with torch.no_grad():
            model.into.bias[3] = -50.0
            model.into.weight[1] = model.into.bias[1] = 0.0
        report = audit(model, x, progress=False)
        (site,) = report.sites.values()
        assert report.dead() == {site.name: [3]}
        assert sites(model) == [site.name]
        assert remove(model, report.dead(), x).largest_difference < 1e-6


# Functions that change.


def rebuilt(act, own):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 6), act, nn.Linear(6, 2))
    with torch.no_grad():
        net[0].bias[3] = -9.0
    return (Wrapped(net) if own else net), net


class Wrapped(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


class Swish(nn.Module):
    """A function of one's own with a setting."""

    def __init__(self, beta):
        super().__init__()
        self.beta = beta

    def forward(self, z):
        return z * torch.sigmoid(self.beta * z)


def insert(net):
    net.insert(1, nn.Tanh())


CHANGES = {
    "another function": (nn.SiLU(), lambda net: setattr(net, "1", nn.ReLU())),
    "another setting": (nn.LeakyReLU(0.3), lambda net: setattr(net[1], "negative_slope", 0.0)),
    "other bounds": (nn.Hardtanh(-50, 50), lambda net: setattr(net[1], "min_val", -0.5)),
    "one in between": (nn.ELU(), insert),
    "a layer gone": (nn.ReLU(), lambda net: net.pop(2)),
    "in place from now on": (nn.ReLU(), lambda net: setattr(net[1], "inplace", True)),
    "written out": (Swish(0.1), lambda net: setattr(net[1], "beta", 30.0)),
}


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(("act", "change"), CHANGES.values(), ids=CHANGES)
def test_what_changes_is_judged_by_what_it_is_now(act, change, own):
    model, net = rebuilt(copy.deepcopy(act), own)
    x = data(4000, 4)
    with watch(model) as w:
        model(x)
        model(x)
        change(net)
        for _ in range(3):
            model(x)
    now = audit(model, x, progress=False)
    report = w.report()
    for name, site in now.sites.items():
        assert report[name].activation == site.activation
        assert report[name].verdicts == site.verdicts
        assert report[name].max_slope == pytest.approx(site.max_slope)


def test_a_named_activation_that_is_put_in_later_is_seen():
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    with watch(model, activations={Swish: None}) as w:
        model(data(400, 4))
        model[1] = Swish(1.0)
        model(data(400, 4))
    assert w.report()["1"].activation == "swish"
    assert any("1: " in note and "since forward pass 1" in note for note in w.report().notes)
    assert "forward" not in model[1].__dict__


# Layers that come and go.


class Shared(nn.Module):
    """One activation for all layers, of which `which` are there."""

    def __init__(self, functional=False, bare=False):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))
        self.act, self.functional, self.which = nn.Tanh(), functional, range(4)
        with torch.no_grad():
            self.layers[2].bias[5] = 80.0

    def forward(self, x):
        for k in self.which:
            z = self.layers[k](x)
            x = x + (torch.tanh(z) if self.functional else self.act(z))
        return x


@pytest.mark.parametrize("functional", [False, True])
@pytest.mark.parametrize("normed", [False, True])
def test_sites_are_told_by_the_layer_before_them_where_layers_come_and_go(functional, normed):
    model, base = Shared(functional), ":tanh" if functional else "act"
    if normed:
        for layer in model.layers:
            nn.utils.parametrizations.weight_norm(layer)
    with watch(model) as w:
        for which in ((0, 2, 3), (0, 1, 2), (2, 3), (1, 2), (0, 1, 2, 3)):
            model.which = which
            model(data(200, 8))
    report = w.report()
    assert sorted(report.sites) == [f"{base}@layers.{k}" for k in range(4)]
    assert report.dead() == {f"{base}@layers.2": [5]}
    assert [report[f"{base}@layers.{k}"].whole.n for k in range(4)] == [600, 600, 1000, 600]
    assert any("told by the layer before them" in note for note in report.notes)
    if not normed:
        assert remove(model, {f"{base}@layers.1": []}, data(9, 8)).removed == {}


def test_sites_keep_their_numbers_where_the_layers_stay():
    model = Shared()
    with watch(model) as w:
        for _ in range(3):
            model(data(200, 8))
    assert list(w.report().sites) == ["act", "act#2", "act#3", "act#4"]
    assert not w.report().notes


def test_a_layer_that_is_replaced_is_no_other_layer():
    model = Shared()
    with watch(model) as w:
        model(data(200, 8))
        model.layers[1] = nn.Linear(8, 8)
        model(data(200, 8))
    assert list(w.report().sites) == ["act", "act#2", "act#3", "act#4"]


# What goes on in the model's own graph.


def gradients(model, x):
    model.zero_grad()
    y = model(x)
    y.square().sum().backward()
    return [y, *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


def selective():
    keep = [torch.ops.aten.mul.Tensor, torch.ops.aten.sum.default, torch.ops.aten.addmm.default]
    policy = lambda c, op, *a, **k: (  # noqa: E731
        CheckpointPolicy.MUST_SAVE if op in keep else CheckpointPolicy.PREFER_RECOMPUTE
    )
    return create_selective_checkpoint_contexts(policy)


@pytest.mark.parametrize("contexts", [None, selective])
@pytest.mark.parametrize("act", [nn.GELU(), nn.Softplus(), nn.PReLU(6), Swish(1.5)])
def test_checkpointing_goes_on_as_it_did(act, contexts):
    more = {} if contexts is None else {"context_fn": contexts}
    part = nn.Sequential(nn.Linear(5, 6), act)
    model = Own(lambda z: z)
    model.into = Wrapped(part)
    model.into.forward = lambda x: checkpoint(part, x, use_reentrant=False, **more)
    x = data(700, 5)
    bare = gradients(model, x)
    with watch(model) as w:
        watched = gradients(model, x)
    assert all(torch.equal(a, b) for a, b in zip(bare, watched, strict=True))
    assert sum(site.units for site in w.report().sites.values()) == 6


def test_what_a_watch_cannot_do_is_a_note_and_no_error():
    def broken(z):
        raise ArithmeticError("no slope today")

    model = nn.Sequential(nn.Linear(5, 6), Swish(1.0), nn.Linear(6, 6), nn.Tanh())
    x, calls = data(400, 5), []

    def slope(z):
        calls.append(1)
        return broken(z) if len(calls) > 3 else torch.ones_like(z)

    with watch(model, activations={Swish: slope}) as w:
        for _ in range(3):
            assert model(x).isfinite().all()
    assert list(w.report().sites) == ["3"]
    assert any(
        "1: it could not be judged (ArithmeticError: no slope" in n for n in w.report().notes
    )


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_forward_mode_duals_and_maps_inside_a_model_are_left_alone():
    import torch.autograd.forward_ad as fwd

    model, x = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 2)), data(400, 5)
    with watch(model) as w:
        model(x)
        with fwd.dual_level():
            y = fwd.unpack_dual(model(fwd.make_dual(x, torch.ones_like(x))))
        model(x)
    assert y.tangent is not None
    assert w.report()["1"].whole.n == 1200

    class Mapped(nn.Module):
        def forward(self, x):
            return torch.func.vmap(lambda row: torch.tanh(row).sum())(x) + torch.relu(x).sum()

    with watch(Mapped()) as w:
        w.model(x)
    assert any(":tanh: a transform of torch.func" in note for note in w.report().notes)


@pytest.mark.parametrize("shape", [(40, 6, 9, 9), (400, 6)])
def test_slopes_of_a_prelu_with_one_a_channel(shape):
    layer = nn.Conv2d(6, 6, 1, bias=False) if len(shape) > 2 else nn.Linear(6, 6, bias=False)
    model = nn.Sequential(layer, nn.PReLU(6))
    with torch.no_grad():
        layer.weight.copy_(torch.eye(6).view_as(layer.weight))
        model[1].weight.copy_(torch.tensor([0.5, 0, 0.25, 1, 3, -2]))
    x = data(*shape)
    site = audit(model, x, progress=False)["1"]
    assert site.whole.largest_slope.tolist() == [1, 1, 1, 1, 3, 2]
    share = site.whole.zero_slope_share
    assert share[1] > 0.4
    assert share[[0, 2, 3, 4, 5]].sum() == 0


# Weights are no units.


class Scaled(nn.Module):
    def forward(self, w):
        return torch.tanh(w) * 2


class Gate(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.inner, self.gate = nn.Linear(5, 6), nn.Parameter(torch.full(shape, -60.0))
        self.register_buffer("mask", torch.ones(shape))

    def forward(self, x):
        opened = torch.sigmoid((self.gate * self.mask).clone()[None])
        return (
            opened.squeeze(0) * torch.relu(self.inner(x))
            + F.softplus(torch.stack([self.gate] * 2))[0]
        )


@pytest.mark.parametrize("shape", [(), (1,), (6,)])
def test_a_gate_that_is_learnt_is_no_unit(shape):
    model, x = Gate(shape), data(400, 5)
    model(x)
    report = audit(model, x, progress=False)
    assert list(report.sites) == [":relu"]
    assert any(":sigmoid: applied to parameters" in note for note in report.notes)
    assert sites(model) == [":relu"]


def test_a_weight_that_is_computed_has_no_units():
    layer = nn.Linear(5, 6)
    parametrize.register_parametrization(layer, "weight", Scaled())
    model = nn.Sequential(layer, nn.Tanh(), nn.Linear(6, 2))
    report = audit(model, data(400, 5), progress=False)
    assert list(report.sites) == ["1"]


def test_a_parameter_that_is_an_input_is_data():
    model = Own(lambda z: z.tanh())
    with watch(model) as w:
        model(nn.Parameter(data(400, 5)))
    assert list(w.report().sites) == [":tanh"]


def test_an_activation_of_a_single_number_is_a_note():
    class Temperature(nn.Module):
        def forward(self, x):
            return torch.relu(x) * torch.sigmoid(x.mean())

    report = audit(Temperature(), data(400, 5), progress=False)
    assert list(report.sites) == [":relu"]
    assert any(":sigmoid: it is applied to a single number" in note for note in report.notes)


@pytest.mark.filterwarnings("ignore:.*nested tensors.*:UserWarning")
def test_what_has_no_numbers_or_no_shape_goes_on_all_the_same():
    class Net(nn.Module):
        def forward(self, x):
            h = torch.maximum(x * 2, torch.zeros_like(x))
            return torch.stack([h, h.tanh()]).prod(0).relu()

    with watch(Net(), mask=lambda x: torch.ones(3, 1, dtype=torch.bool, device="meta")) as w:
        w.model(torch.zeros(3, 4, device="meta"))
    with pytest.raises(RuntimeError, match="meta device"):
        w.report()

    class Ragged(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(4, 6)

        def forward(self, x):
            h = self.lin(torch.nested.as_nested_tensor([x[:3], x[3:]], layout=torch.strided))
            return torch.tanh(h.unbind()[0])

    with watch(Ragged()) as w:
        assert w.model(data(9, 4)).shape == (3, 6)
    assert w.report()[":tanh"].units == 6
