import copy
import math
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mlpinit import init
from mlpinit.recycle import recycle

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.05),
    "momentum": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, 0.01),
    "amsgrad": lambda p: torch.optim.Adam(p, 0.01, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.01, initial_accumulator_value=0.25),
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def with_seed(make, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def mlp(activation=nn.Tanh, dtype=torch.float32, biases=(20.0, -20.0)):
    """6 → 9 → 7 → 4, with units 2 and 5 of the first layer and unit 1 of the second biased."""

    def make():
        sizes = (nn.Linear(6, 9), activation(), nn.Linear(9, 7), activation(), nn.Linear(7, 4))
        return nn.Sequential(*sizes).to(dtype)

    model = with_seed(make)
    with torch.no_grad():
        model[0].bias[[2, 5]] = torch.tensor(biases, dtype=dtype)
        model[2].bias[1] = biases[1]
    return model


DEAD = {"1": [2, 5], "3": [1]}


def rows(n=50, width=6, dtype=torch.float32, seed=1):
    return torch.randn(n, width, generator=generator(seed)).to(dtype)


def train(model, optimizer, x, steps=5):
    target = x[:, : model(x[:2]).shape[1]].sin()
    for _ in range(steps):
        optimizer.zero_grad()
        ((model(x) - target) ** 2).mean().backward()
        optimizer.step()


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
@pytest.mark.parametrize("activation", [nn.Tanh, nn.Sigmoid, nn.ReLU])
def test_the_outputs_stay_and_the_units_are_new(activation, dtype, within):
    biases = (-20.0, -20.0) if activation is nn.ReLU else (40.0, -40.0)
    model, x = mlp(activation, dtype, biases), rows(dtype=dtype)
    before, old = model(x), copy.deepcopy(model)
    done = recycle(model, DEAD, x, generator=generator())
    assert (model(x) - before).abs().max() <= within
    assert done.output_change <= within
    assert done.n_units == 3
    for producer, consumer, units in ((0, 2, [2, 5]), (2, 4, [1])):
        assert (model[consumer].weight[:, units] == 0).all()
        assert (model[producer].bias[units] == 0).all()
        assert (model[producer].weight[units] != old[producer].weight[units]).any(1).all()
        others = [j for j in range(model[producer].out_features) if j not in units]
        # What leads into the others changed only where a dead unit spoke to them.
        heard = [2, 5] if producer == 2 else []
        listened = [k for k in range(model[producer].in_features) if k not in heard]
        now, was = model[producer].weight, old[producer].weight
        assert torch.equal(now[others][:, listened], was[others][:, listened])
    assert model.training


def test_a_stuck_tanh_that_is_not_folded_would_move_the_output():
    """The check on outputs can fail: without the fold they move by more than a tenth."""
    model, x = mlp(), rows()
    before = model(x)
    with torch.no_grad():
        model[2].weight[:, [2, 5]] = 0
    assert (model(x) - before).abs().max() > 0.01


def test_the_constants_and_the_record():
    model = mlp()
    done = recycle(model, {"3": [1], "1": [5, 2]}, rows(), generator=generator())
    first, second = done.sites
    assert (first.name, first.units, first.producer, first.consumers) == ("1", (2, 5), "0", ("2",))
    assert first.constants.tolist() == [1, -1]
    assert first.spread.tolist() == [0, 0]
    assert (second.name, second.units) == ("3", (1,))
    assert str(done).startswith("'1': 2 units of '0' redrawn, constants (1 at most) folded")
    assert "'3': 1 unit of '2' redrawn" in str(done)
    assert "optimiser's state reset: none" in str(done)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_is_reset_at_those_entries_and_nowhere_else(name):
    model, x = mlp(biases=(3.0, -3.0)), rows()  # live, so that there is state to lose
    optimizer = OPTIMIZERS[name](model.parameters())
    train(model, optimizer, x)
    before = copy.deepcopy(optimizer.state_dict()["state"])
    done = recycle(model, DEAD, x, generator=generator(), optimizer=optimizer, tolerance=math.inf)
    after = optimizer.state_dict()["state"]
    fresh = {k: torch.zeros_like(p, dtype=torch.bool) for k, p in enumerate(model.parameters())}
    fresh[0][[2, 5]] = fresh[1][[2, 5]] = True
    fresh[2][1] = fresh[3][1] = True
    fresh[2][:, [2, 5]] = True
    fresh[4][:, 1] = True
    for k, kept in before.items():
        for what, was in kept.items():
            now = after[k][what]
            if what == "step":
                assert now == was
                continue
            start = 0.25 if what == "sum" else 0.0
            assert (now[fresh[k]] == start).all()
            assert torch.equal(now[~fresh[k]], was[~fresh[k]])
            assert (was != 0).any()
    names = {"0.weight", "0.bias", "2.weight", "2.bias", "4.weight"} if name != "sgd" else set()
    assert set(done.state_reset) == names
    if name == "adam":
        assert done.state_reset["0.bias"] == ("exp_avg", "exp_avg_sq")
        assert "exp_avg, exp_avg_sq of 0.weight, 0.bias, 2." in str(done)


def test_before_the_first_step_there_is_no_state():
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters())
    done = recycle(model, DEAD, rows(), generator=generator(), optimizer=optimizer)
    assert done.state_reset == {}
    assert len(optimizer.state) == 0


def test_gradients_reach_the_unit_again():
    """At the first step the outgoing weights learn, at the second the incoming ones do."""
    model, x = mlp(), rows()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    train(model, optimizer, x, steps=1)
    assert (model[0].weight.grad[[2, 5]] == 0).all()  # hard-dead
    recycle(model, DEAD, x, generator=generator(), optimizer=optimizer)
    fresh = model[0].weight[[2, 5]].detach().clone()
    train(model, optimizer, x, steps=1)
    assert (model[2].weight[:, [2, 5]].abs().amax(0) > 0).all()
    assert (model[4].weight[:, 1] != 0).any()
    train(model, optimizer, x, steps=2)
    assert (model[0].weight[[2, 5]] != fresh).any(1).all()


def test_a_gradient_that_waits_is_cleared_where_a_unit_starts_anew():
    model, x = mlp(biases=(1.0, -1.0)), rows()
    model(x).sin().sum().backward()
    was = model[0].weight.grad.clone()
    recycle(model, {"1": [2]}, x, generator=generator(), tolerance=math.inf)
    now = model[0].weight.grad
    assert (now[2] == 0).all()
    assert (was[2] != 0).all()
    others = [j for j in range(9) if j != 2]
    assert torch.equal(now[others], was[others])


def test_the_draws_are_the_generator_s_and_of_the_asked_size():
    wide = nn.Sequential(nn.Linear(100, 400), nn.ReLU(), nn.Linear(400, 1))
    x = rows(8, 100)
    drawn = {}
    for weights in (None, 2.0, init.kaiming("relu"), init.scaled(0.2, 0.0)):
        with torch.no_grad():
            wide[0].bias.fill_(-100.0)
        recycle(wide, {"1": range(300)}, x, generator=generator(7), weights=weights)
        drawn[str(weights)] = wide[0].weight[:300].detach().clone()
    default, gain_2, kaiming, fifth = drawn.values()
    assert default.abs().max() <= 0.1
    assert default.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.02)
    assert gain_2.std().item() == pytest.approx(0.2, rel=0.02)
    assert kaiming.std().item() == pytest.approx(math.sqrt(2 / 100), rel=0.02)
    assert torch.equal(fifth, 0.2 * torch.randn(300, 100, generator=generator(7)))


@given(
    units=st.sets(st.integers(0, 8), min_size=1),
    seed=st.integers(0, 2**31),
    activation=st.sampled_from([nn.Tanh, nn.Sigmoid, nn.ReLU, nn.ELU, nn.Hardtanh]),
)
@settings(max_examples=25, deadline=None)
def test_any_set_of_stuck_units_can_be_recycled(units, seed, activation):
    dead = sorted(units)
    model = mlp(activation, torch.float64)
    with torch.no_grad():
        model[0].bias[dead] = -60.0
    x = rows(dtype=torch.float64, seed=seed)
    before = model(x)
    recycle(model, {"1": dead}, x, generator=generator(seed))
    torch.testing.assert_close(model(x), before, rtol=0, atol=1e-12)


class Maps(nn.Module):
    """Convolutions, batch normalisations, functions, dropout, pooling and a flattened map."""

    def __init__(self, padding_mode="replicate"):
        super().__init__()
        same = {"padding": 1, "padding_mode": padding_mode}
        self.first = nn.Conv2d(2, 5, 3, **same)
        self.norm = nn.BatchNorm2d(5)
        self.second = nn.Conv2d(5, 6, 3, **same)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(6 * 4, 3)

    def forward(self, x):
        h = torch.tanh(self.norm(self.first(x)))
        h = F.max_pool2d(self.second(h).relu_(), 2)
        return self.out(self.drop(h.flatten(1)))


def maps(padding_mode="replicate"):
    model = with_seed(lambda: Maps(padding_mode))
    with torch.no_grad():
        model.norm.bias[3] = 60.0
        model.second.bias[4] = -60.0
    return model


def test_channels_through_batch_normalisation_pooling_and_flattening():
    model = maps()
    x = torch.randn(6, 2, 4, 4, generator=generator())
    model(x)  # running statistics other than those of a new layer
    model.first.eval()
    modes = [m.training for m in model.modules()]
    running = model.norm.running_mean.clone()
    model.eval()
    before = model(x)
    for module, mode in zip(model.modules(), modes, strict=True):
        module.training = mode
    done = recycle(model, {":tanh": [3], ":relu": [4]}, x, generator=generator())
    assert [m.training for m in model.modules()] == modes
    assert (model.eval()(x) - before).abs().max() < 1e-6
    assert done.sites[0].constants.tolist() == [1]
    norm = model.norm
    assert (norm.weight[3], norm.bias[3], norm.running_mean[3], norm.running_var[3]) == (1, 0, 0, 1)
    assert torch.equal(norm.running_mean[[0, 1, 2, 4]], running[[0, 1, 2, 4]])
    assert (model.second.weight[:, 3] == 0).all()
    assert (model.out.weight[:, 16:20] == 0).all()
    assert (model.out.weight[:, :16] != 0).any(0).all()
    assert (model.out.weight[:, 20:] != 0).any(0).all()


def test_a_constant_cannot_be_folded_past_a_border_of_zeros():
    model, x = maps("zeros"), torch.randn(6, 2, 4, 4, generator=generator())
    state = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="pads with zeros"):
        recycle(model, {":tanh": [3]}, x, generator=generator())
    for name, was in state.items():
        assert torch.equal(model.state_dict()[name], was)
    recycle(model, {":relu": [4]}, x, generator=generator())  # says 0: nothing to fold


class Branches(nn.Module):
    """Two layers hear the same units; a part of the model that the units do not reach."""

    def __init__(self):
        super().__init__()
        self.hidden, self.a, self.b = nn.Linear(3, 5), nn.Linear(5, 2), nn.Linear(5, 2, bias=False)

    def forward(self, x, scale):
        h = F.relu(self.hidden(x))
        return {"a": self.a(h), "b": (scale * self.b(h), torch.arange(3))}


def test_several_consumers_several_arguments_and_nested_outputs():
    model = with_seed(Branches)
    with torch.no_grad():
        model.hidden.bias[4] = -30.0
    batches = [(rows(4, 3, seed=k), torch.tensor(2.0)) for k in range(3)]
    done = recycle(model, {":relu": [4]}, batches, generator=generator())
    assert done.sites[0].consumers == ("a", "b")
    assert (model.a.weight[:, 4] == 0).all()
    assert (model.b.weight[:, 4] == 0).all()


def test_a_loader_of_inputs_and_targets_is_data():
    model = mlp()
    data = torch.utils.data.TensorDataset(rows(), torch.zeros(50))
    loader = torch.utils.data.DataLoader(data, batch_size=16)
    recycle(model, DEAD, loader, generator=generator())
    assert (model[2].weight[:, [2, 5]] == 0).all()


def unchanged(model, call, match):
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=match):
        call()
    for name, was in before.items():
        assert torch.equal(model.state_dict()[name], was), name


@pytest.mark.parametrize(
    ("dead", "match"),
    [
        ({"2": [0]}, "no site '2'"),
        ({"1": [9]}, "0 to 8"),
        ({"1": [-1]}, "0 to 8"),
    ],
)
def test_sites_and_units_that_do_not_exist(dead, match):
    model = mlp()
    unchanged(model, lambda: recycle(model, dead, rows(), generator=generator()), match)


def test_live_units_need_to_be_allowed():
    """Their mean is folded, and the outputs move by what they say beside it."""
    model, x = mlp(biases=(0.0, 0.0)), rows()
    unchanged(model, lambda: recycle(model, DEAD, x, generator=generator()), "not constant")
    before = model(x)
    done = recycle(model, DEAD, x, generator=generator(), tolerance=10.0)
    assert done.output_change == pytest.approx((model(x) - before).abs().max().item(), rel=1e-4)
    assert done.sites[0].spread.min() > 0.1


def test_an_optimiser_of_another_model_is_refused():
    model, other = mlp(), mlp()
    wrong = torch.optim.Adam(other.parameters())
    call = lambda: recycle(model, DEAD, rows(), generator=generator(), optimizer=wrong)  # noqa: E731
    unchanged(model, call, "another model")


def test_state_that_cannot_be_reset_for_a_unit_is_refused():
    model, x = mlp(), rows()
    optimizer = torch.optim.Rprop(model.parameters())
    train(model, optimizer, x)
    call = lambda: recycle(model, DEAD, x, generator=generator(), optimizer=optimizer)  # noqa: E731
    unchanged(model, call, "Rprop keeps 'prev'")


def test_a_layer_without_a_bias_cannot_take_a_constant():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        model[0].bias[1] = 30.0
    call = lambda: recycle(model, {"1": [1]}, rows(9, 3), generator=generator())  # noqa: E731
    unchanged(model, call, "no bias")


def test_shared_and_computed_weights_are_refused():
    tied = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    tied[2].weight = tied[0].weight
    with torch.no_grad():
        tied[0].bias[1] = 30.0
    call = lambda: recycle(tied, {"1": [1]}, rows(9, 4), generator=generator())  # noqa: E731
    unchanged(tied, call, "one parameter|shared")
    normed = mlp()
    nn.utils.parametrizations.weight_norm(normed[0])
    call = lambda: recycle(normed, DEAD, rows(), generator=generator(), strict=True)  # noqa: E731
    unchanged(normed, call, "computed from other")


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.b(x + torch.tanh(self.a(x)))


def test_units_that_are_added_to_others_are_refused():
    model = Residual()
    call = lambda: recycle(model, {":tanh": [0]}, rows(9, 4), generator=generator())  # noqa: E731
    unchanged(model, call, "add")


@pytest.mark.parametrize("data", [[], 3, None])
def test_data_is_needed(data):
    model = mlp()
    call = lambda: recycle(model, DEAD, data, generator=generator())  # noqa: E731
    unchanged(model, call, "data")


def test_nothing_dead_is_nothing_done():
    model = mlp()
    before = copy.deepcopy(model.state_dict())
    done = recycle(model, {"1": []}, rows(), generator=generator())
    assert done.n_units == 0
    assert done.output_change == 0
    assert all(torch.equal(model.state_dict()[k], v) for k, v in before.items())


@dataclass
class Answer:
    scores: object


class Wrapping(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.a, self.b, self.how = nn.Linear(5, 7), nn.Linear(7, 2), how

    def forward(self, x):
        return self.how(self.b(torch.relu(self.a(x))))


WRAPPED = {
    "a dataclass": Answer,
    "a tuple in a mapping": lambda t: {"all": (Answer([t]), 2)},
    "whole numbers": lambda t: (1e3 * t).round().long(),
    "beside infinities": lambda t: (torch.full_like(t, torch.inf), t),
}


@pytest.mark.parametrize("how", WRAPPED.values(), ids=WRAPPED)
def test_what_is_inside_an_answer_is_compared(how):
    model, x = Wrapping(how), rows(80, 5)
    call = lambda: recycle(model, {":relu": [0, 2, 5]}, x, generator=generator())  # noqa: E731
    unchanged(model, call, "an output would move by")


@pytest.mark.parametrize("nothing", [lambda t: None, lambda t: Answer(2.0), lambda t: [t[:0]]])
def test_an_answer_without_a_tensor_is_refused(nothing):
    model, x = Wrapping(nothing), rows(80, 5)
    with torch.no_grad():
        model.a.bias[2] = -1e3
    call = lambda: recycle(model, {":relu": [2]}, x, generator=generator())  # noqa: E731
    unchanged(model, call, "nothing can be compared")


@pytest.mark.parametrize("weights", [None, 1.5])
def test_a_default_dtype_does_not_change_what_is_drawn(weights):
    start, x = mlp().double(), rows().double()

    def drawn():
        model = copy.deepcopy(start)
        recycle(model, DEAD, x, generator=generator(), weights=weights)
        return [p.clone() for p in model.parameters()]

    usual = drawn()
    try:
        torch.set_default_dtype(torch.float64)
        there = drawn()
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(usual, there, strict=True))


class Optional(nn.Module):
    """Arguments with defaults, of which a mapping gives some."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(5, 7), nn.Linear(7, 2)
        with torch.no_grad():
            self.a.bias[2] = -1e3

    def forward(self, x, mask=None, *, double=False, shift=None, **more):
        h = torch.relu(self.a(x))
        if mask is not None:
            h = h * mask[:, None]
        y = self.b(h) * (2 if double else 1)
        return y if shift is None else y + shift


@pytest.mark.parametrize(
    "data",
    [
        rows(80, 5),
        [(rows(80, 5), rows(80))],
        [{"x": rows(80, 5), "shift": rows(80, 2), "double": True}],
        [({"shift": rows(80, 2), "x": rows(80, 5)}, rows(80))],
    ],
    ids=["a tensor", "with targets", "by name", "by name with targets"],
)
def test_arguments_with_defaults_and_batches_by_name(data):
    model = Optional()
    done = recycle(model, {":relu": [2]}, data, generator=generator())
    assert done.output_change < 1e-5
    assert model.a.bias[2] == 0


def test_a_batch_by_name_that_lacks_an_input_is_refused():
    model = Optional()
    call = lambda: recycle(model, {":relu": [2]}, [{"mask": rows(8)}], generator=generator())  # noqa: E731
    unchanged(model, call, "takes 'x', 'mask', and 'x' is not among them")
