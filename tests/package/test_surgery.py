"""Removing dead units: the copy must answer as the original, or be refused."""

import dataclasses
import itertools
import pickle
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mlpinit.models import surgery
from mlpinit.models.comparing import tensors
from mlpinit.surgery import RemovalError, remove, sites


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def data(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=gen(seed), dtype=torch.float64).to(dtype)


def settle(model, seed=0):
    """Every parameter and statistic from one generator, so that nothing is symmetric."""
    g = gen(seed)
    with torch.no_grad():
        for p in model.parameters():
            scale = 1.0 if p.ndim < 2 else p[0].numel() ** -0.5
            p.copy_(torch.randn(p.shape, generator=g) * scale)
        for name, b in model.named_buffers():
            if "running" in name:
                b.copy_(0.5 + torch.rand(b.shape, generator=g))
    return model.eval()


def kill(layer, units, value=60.0):
    with torch.no_grad():
        for k, unit in enumerate(units):
            layer.bias[unit] = value if k % 2 else -value
    return layer


def check(model, dead, x, within=1e-6, **kwargs):
    """Remove, and compare with the original by hand; returns the removal."""
    before = {k: v.clone() for k, v in model.state_dict().items()}
    removal = remove(model, dead, x, **kwargs)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before), "the original was changed"
    new = removal.model
    modes = [m.training for m in new.modules()]
    with torch.no_grad():
        gap = (model.eval()(x) - new.eval()(x)).abs().max().item()
    for module, mode in zip(new.modules(), modes, strict=True):
        module.training = mode
    assert gap <= within
    assert gap == pytest.approx(removal.largest_difference, abs=1e-12)
    assert removal.parameters_after == sum(p.numel() for p in new.parameters())
    assert removal.parameters_before == sum(p.numel() for p in model.parameters())
    assert type(new) is type(model)
    return removal


def mlp(*widths, act=nn.Tanh, seed=0, **kwargs):
    layers = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out, **kwargs), act()]
    return settle(nn.Sequential(*layers[:-1]), seed)


# Folding


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
def test_hard_dead_tanh_units_leave_the_outputs_as_they_were(dtype, within):
    net = mlp(12, 60, 9).to(dtype)
    kill(net[0], range(0, 40, 2))
    with torch.no_grad():
        net[2].weight *= 0.5
    removal = check(net, {"1": range(0, 40, 2)}, data(200, 12, dtype=dtype), within)
    assert removal.removed == {"1": list(range(0, 40, 2))}
    assert removal.model[0].out_features == removal.model[2].in_features == 40
    assert removal.model[0].weight.shape == (40, 12)
    assert removal.model[2].weight.dtype == dtype
    assert removal.parameters_before - removal.parameters_after == 20 * (12 + 1 + 9)


def test_the_fold_is_the_sum_of_plus_and_minus_columns():
    net = mlp(3, 5, 2)
    kill(net[0], [1, 4])  # −1 and +1
    new = remove(net, {"1": [4, 1]}, data(50, 3)).model
    W, b = net[2].weight, net[2].bias
    torch.testing.assert_close(new[2].bias, b - W[:, 1] + W[:, 4])
    assert torch.equal(new[2].weight, W[:, [0, 2, 3]])
    assert torch.equal(new[0].weight, net[0].weight[[0, 2, 3]])


def test_dead_relus_are_deleted_and_nothing_else_changes():
    net = mlp(6, 11, 4, act=nn.ReLU)
    with torch.no_grad():
        net[0].bias[[2, 7]] = -80.0
    removal = check(net, {"1": [2, 7]}, data(99, 6))
    kept = [0, 1, 3, 4, 5, 6, 8, 9, 10]
    assert torch.equal(removal.model[2].bias, net[2].bias)
    assert torch.equal(removal.model[2].weight, net[2].weight[:, kept])


def test_deleting_without_folding_would_not_do():
    """The check on data is able to fail: a fold that is left out is caught."""
    net = mlp(3, 5, 2)
    kill(net[0], [1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surgery, "_fold", lambda *args: False)
        with pytest.raises(RemovalError, match="an output differs by"):
            remove(net, {"1": [1]}, data(50, 3))


def test_consumer_without_a_bias_gets_one_only_if_there_is_something_to_hold():
    net = settle(nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2, bias=False)))
    kill(net[0], [0])
    removal = check(net, {"1": [0]}, data(40, 3))
    assert removal.new_biases == ("2",)
    torch.testing.assert_close(removal.model[2].bias, -net[2].weight[:, 0])
    net = settle(nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2, bias=False)))
    kill(net[0], [0])
    removal = check(net, {"1": [0]}, data(40, 3))
    assert removal.new_biases == ()
    assert removal.model[2].bias is None


def test_two_layers_in_a_row_lose_units_of_each():
    net = mlp(4, 9, 8, 7, 3)
    kill(net[0], [1, 2])
    kill(net[2], [0, 5, 6])
    kill(net[4], [3])
    removal = check(net, {"5": [3], "1": [1, 2], "3": [0, 5, 6]}, data(64, 4))
    assert [m.out_features for m in removal.model[::2]] == [7, 5, 6, 3]


@st.composite
def nets(draw):
    act = draw(st.sampled_from([nn.Tanh, nn.ReLU, nn.Sigmoid, nn.Hardtanh, nn.GELU]))
    norm = draw(st.sampled_from(["no", "before", "after"]))
    widths = [draw(st.integers(1, 9)) for _ in range(draw(st.integers(2, 5)))]
    layers, dead = [], {}
    for k, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        last = k == len(widths) - 2
        layers.append(nn.Linear(fan_in, fan_out, bias=last or draw(st.booleans())))
        if last:
            break
        units = draw(st.sets(st.integers(0, fan_out - 1), max_size=fan_out - 1))
        if norm == "before" or layers[-1].bias is None:
            layers.append(nn.BatchNorm1d(fan_out))
        layers.append(act())
        dead[str(len(layers) - 1)] = sorted(units)
        if norm == "after":
            layers.append(nn.BatchNorm1d(fan_out))
        if draw(st.booleans()):
            layers.append(nn.Dropout(0.4))
    net = settle(nn.Sequential(*layers), draw(st.integers(0, 1000)))
    for site, units in dead.items():
        before = net[int(site) - 1]  # what holds the bias: Linear or BatchNorm
        low = act in (nn.ReLU, nn.GELU)
        with torch.no_grad():
            for unit in units:
                before.bias[unit] = -500.0 if low or unit % 2 else 500.0
    return net, dead


@settings(max_examples=40, deadline=None)
@given(nets(), st.integers(0, 100))
def test_any_sequential_keeps_its_outputs(made, seed):
    net, dead = made
    net = net.double()
    x = data(33, net[0].in_features, seed=seed, dtype=torch.float64)
    size = net(x).abs().max().item()
    removal = check(net, dead, x, within=1e-12 * max(1.0, size), tolerance=1e-12 * max(1.0, size))
    assert removal.removed == {site: units for site, units in dead.items() if units}
    for layer, new in zip(net, removal.model, strict=True):
        assert type(layer) is type(new)


# Batch norm, dropout, convolutions, changes of shape


class Conv(nn.Module):
    """Functions and methods in the forward, two convolutions, a flatten."""

    def __init__(self, act=torch.tanh, pool=F.max_pool2d, **kwargs):
        super().__init__()
        self.act, self.pool = act, pool
        self.conv1 = nn.Conv2d(2, 6, 3, **kwargs)
        self.norm = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 5, 3, bias=False)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(5 * 2 * 3, 4)

    def forward(self, x):
        x = self.pool(self.act(self.norm(self.conv1(x))), 2)  # (N, 6, 4, 5)
        x = self.act(self.conv2(x))  # (N, 5, 2, 3)
        return self.out(self.drop(x.view(x.size(0), -1)))


PICTURES = data(20, 2, 10, 12)


def test_convolutions_through_norm_pool_dropout_and_view():
    net = settle(Conv())
    kill(net.norm, [1, 4])
    assert sites(net) == [":tanh", ":tanh#2"]
    removal = check(net, {":tanh": [1, 4]}, PICTURES, 2e-6)
    new = removal.model
    assert (new.conv1.out_channels, new.norm.num_features, new.conv2.in_channels) == (4, 4, 4)
    assert new.norm.running_var.shape == new.norm.running_mean.shape == (4,)
    assert new.conv2.bias.shape == (5,)
    assert removal.new_biases == ("conv2",)
    with pytest.raises(RemovalError, match=r"unit 3 of site ':tanh#2' varies.*runs from 0.7"):
        remove(net, {":tanh#2": [3]}, PICTURES)


def test_a_channel_is_a_block_of_columns_after_flattening():
    net = settle(Conv(act=torch.relu))
    with torch.no_grad():
        net.conv2.weight[[0, 3]] = -net.conv2.weight[[0, 3]].abs()
    removal = check(net, {":relu#2": [0, 3]}, PICTURES)
    columns = [c for c in range(30) if c // 6 not in (0, 3)]
    assert torch.equal(removal.model.out.weight, net.out.weight[:, columns])
    assert removal.model.out.in_features == 18


@pytest.mark.parametrize(
    "pool",
    [F.max_pool2d, F.avg_pool2d, lambda x, k: F.adaptive_avg_pool2d(x, (4, 5))],
    ids=["max", "avg", "adaptive"],
)
def test_pools_leave_a_constant_channel_constant(pool):
    net = settle(Conv(pool=pool))
    kill(net.norm, [0, 5])
    check(net, {":tanh": [0, 5]}, PICTURES, 2e-6)


def test_pool_modules_one_dimension_and_a_flatten_module():
    net = nn.Sequential(
        *(nn.Conv1d(3, 5, 2), nn.BatchNorm1d(5), nn.Tanh(), nn.MaxPool1d(2), nn.Dropout(0.5)),
        *(nn.Conv1d(5, 4, 2), nn.Sigmoid(), nn.AdaptiveAvgPool1d(3), nn.Flatten()),
        *(nn.Linear(12, 6), nn.ReLU6(), nn.Linear(6, 2)),
    )
    kill(settle(net)[1], [2, 3])
    kill(net[5], [0])
    kill(net[9], [1, 5])
    check(net, {"2": [2, 3], "6": [0], "10": [1, 5]}, data(9, 3, 14), 2e-6)


def test_means_permutations_and_three_axes():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = nn.Linear(4, 7), nn.Linear(7, 5)
            self.conv, self.out = nn.Conv1d(5, 6, 2), nn.Linear(6, 3)

        def forward(self, x):  # (N, T, 4)
            h = F.gelu(self.down(torch.tanh(self.up(x)) * 2 + 1))  # (N, T, 5)
            h = F.hardtanh(self.conv(h.transpose(1, 2)))  # (N, 6, T − 1)
            return self.out(h.mean(dim=-1))

    net = settle(Tokens())
    kill(net.up, [0, 3])
    kill(net.down, [2])
    kill(net.conv, [1, 4])
    dead = {":tanh": [0, 3], ":gelu": [2], ":hardtanh": [1, 4]}
    removal = check(net, dead, data(8, 6, 4), 2e-6)
    assert removal.model.conv.weight.shape == (4, 4, 2)


def test_norms_without_affine_or_statistics():
    net = nn.Sequential(
        *(nn.Linear(3, 6), nn.Tanh(), nn.BatchNorm1d(6, affine=False), nn.Linear(6, 5)),
        *(nn.ReLU(), nn.BatchNorm1d(5, track_running_stats=False), nn.Linear(5, 2)),
    )
    kill(settle(net)[0], [1, 2])
    with torch.no_grad():
        net[3].bias[4] = -1e4
    removal = check(net, {"1": [1, 2], "4": [4]}, data(30, 3), 1e-5)
    assert removal.model[2].num_features == 4
    assert removal.model[5].running_mean is None


# Graphs that branch


class Branches(nn.Module):
    """One site read by two layers, one of them after a concatenation; gating by itself."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 5), nn.Linear(3, 4)
        self.left, self.right, self.out = nn.Linear(5, 4), nn.Linear(9, 4), nn.Linear(4, 2)

    def forward(self, x):
        a, b = torch.tanh(self.a(x)), torch.tanh(self.b(x))
        z = self.left(a) + self.right(torch.cat([b, a], dim=1))
        return self.out(z * torch.sigmoid(z))


def test_two_readers_and_a_concatenation():
    net = settle(Branches())
    kill(net.a, [1, 3])
    kill(net.b, [0])
    removal = check(net, {":tanh": [1, 3], ":tanh#2": [0]}, data(25, 3))
    assert removal.model.left.in_features == 3
    assert removal.model.right.in_features == 6
    kept = [1, 2, 3, 4, 6, 8]
    assert torch.equal(removal.model.right.weight, net.right.weight[:, kept])


def test_a_residual_sum_is_named():
    with pytest.raises(RemovalError, match=r"':sigmoid' come from 'add'"):
        remove(settle(Branches()), {":sigmoid": [0]}, data(9, 3))

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.out = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.out(torch.relu(self.a(x)) + x)

    net = settle(Residual())
    kill(net.a, [2])
    match = "the units of site ':relu' reach 'add', which mixes them with another value"
    with pytest.raises(RemovalError, match=match):
        remove(net, {":relu": [2]}, data(9, 4))


def test_gating_a_unit_by_itself_can_be_followed():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.out = nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x):
            z = self.a(x)
            return self.out(z * torch.sigmoid(z)).view(z.shape[0], z.size(0) // z.shape[0], -1)

    net = settle(Gated()).double()
    with torch.no_grad():
        net.a.weight[2] = 0.0  # z is its bias then
    check(net, {":sigmoid": [2]}, data(9, 4, dtype=torch.float64), 1e-13)
    kill(net.a, [3], 900.0)  # the sigmoid is 0, and so is its product with −900
    check(net, {":sigmoid": [3]}, data(9, 4, dtype=torch.float64), 1e-13)
    kill(net.a, [0, 1], 900.0)  # the gate of unit 1 is open for good: z goes through
    with pytest.raises(RemovalError, match=r"unit 1 of site ':sigmoid' varies.* 89\d.* to 90\d"):
        remove(net, {":sigmoid": [1]}, data(9, 4, dtype=torch.float64))


class One(nn.Module):
    """A forward in a line of code: `f(module, x)`."""

    def __init__(self, f, **modules):
        super().__init__()
        self.f = f
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x):
        return self.f(self, x)


def simple(f, **more):
    net = settle(One(f, a=nn.Linear(4, 6), **more))
    kill(net.a, [1, 2])
    return net


OUT = {"out": lambda: nn.Linear(6, 2)}

REFUSALS = {
    "layer norm": (
        simple(
            lambda m, x: m.out(m.norm(torch.tanh(m.a(x)))), norm=nn.LayerNorm(6), out=OUT["out"]()
        ),
        "reach module 'norm'",
    ),
    "softmax": (simple(lambda m, x: torch.tanh(m.a(x)).softmax(-1)), "reach 'softmax'"),
    "chunk": (
        simple(lambda m, x: m.out(torch.tanh(m.a(x)).chunk(2, 1)[0]), out=nn.Linear(3, 2)),
        "reach 'chunk'",
    ),
    "output": (simple(lambda m, x: torch.tanh(m.a(x))), "are an output of the model"),
    "called twice": (
        simple(
            lambda m, x: m.out(torch.tanh(m.b(torch.tanh(m.b(m.a(x)))))),
            b=nn.Linear(6, 6),
            out=OUT["out"](),
        ),
        "module 'b' is used 2 times",
    ),
    "functional layer": (
        simple(lambda m, x: F.linear(torch.tanh(m.a(x)), m.out.weight), out=OUT["out"]()),
        "reach 'linear'",
    ),
    "own slopes": (
        simple(lambda m, x: m.out(m.act(torch.tanh(m.a(x)))), act=nn.PReLU(6), out=OUT["out"]()),
        "holds a slope for each unit",
    ),
    "spread": (
        simple(
            lambda m, x: m.out(torch.tanh(m.a(x)).view(-1, 2, 3)).flatten(1), out=nn.Linear(3, 2)
        ),
        "spreads them over more than one axis",
    ),
    "another axis": (
        simple(lambda m, x: m.out(torch.tanh(m.a(x)).unsqueeze(2)).flatten(1), out=nn.Linear(1, 2)),
        "reads another axis",
    ),
    "pooled units": (
        simple(
            lambda m, x: m.out(F.max_pool1d(torch.tanh(m.a(x)).unsqueeze(1), 2).flatten(1)),
            out=nn.Linear(3, 2),
        ),
        "reach 'max_pool1d'",
    ),
    "a size in the code": (
        simple(lambda m, x: m.out(torch.tanh(m.a(x)).view(-1, 6)), out=OUT["out"]()),
        "does not run|an output has shape",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_name_what_is_in_the_way(name):
    net, match = REFUSALS[name]
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(RemovalError, match=match):
        remove(net, {":tanh": [1, 2]}, data(12, 4))
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in before.items())


def test_an_output_whose_shape_counts_units_is_caught():
    def forward(m, x):
        h = torch.tanh(m.a(x))
        return m.out(h).repeat(h.shape[1], 1)

    with pytest.raises(RemovalError, match=r"has shape \(48, 2\) where it was \(72, 2\)"):
        remove(simple(forward, out=nn.Linear(6, 2)), {":tanh": [1, 2]}, data(12, 4))


@pytest.mark.parametrize("padding", [1, "same", 0, "valid"])
@pytest.mark.parametrize("mode", ["zeros", "replicate", "circular"])
def test_zero_padding_stops_a_constant_other_than_zero(padding, mode):
    second = nn.Conv2d(6, 3, 3, padding=padding, padding_mode=mode)
    net = settle(nn.Sequential(nn.Conv2d(2, 6, 3), nn.Tanh(), second)).double()
    kill(net[0], [1, 2])
    x = data(5, 2, 8, 9, dtype=torch.float64)
    exact = {"within": 1e-12, "tolerance": 1e-12}
    if mode == "zeros" and padding in (1, "same"):
        with pytest.raises(RemovalError, match=r"constant output 1 enters '2', which pads with"):
            remove(net, {"1": [1, 2]}, x)
        net[1] = nn.ReLU()  # unit 1 is now 0 throughout, and padding adds more of the same
        check(net, {"1": [1]}, x, **exact)
    else:
        check(net, {"1": [1, 2]}, x, **exact)


def test_average_pooling_that_counts_its_padding_is_caught():
    pool = nn.AvgPool2d(3, padding=1)
    net = nn.Sequential(nn.Conv2d(2, 6, 3), nn.Tanh(), pool, nn.Conv2d(6, 3, 1))
    kill(settle(net)[0], [1])
    with pytest.raises(RemovalError, match=r"A unit varies by 0.\d+ .* enters '3'"):
        remove(net, {"1": [1]}, data(5, 2, 8, 9))
    pool.count_include_pad = False
    check(net, {"1": [1]}, data(5, 2, 8, 9))


def test_grouped_and_transposed_convolutions():
    net = settle(nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=3)))
    kill(net[0], [1])
    with pytest.raises(RemovalError, match="'2' is a convolution in 3 groups"):
        remove(net, {"1": [1]}, data(5, 2, 8, 9))
    net[2] = nn.ConvTranspose2d(6, 2, 3)
    with pytest.raises(RemovalError, match="reach module '2'"):
        remove(net, {"1": [1]}, data(5, 2, 8, 9))
    with pytest.raises(RemovalError, match="come from module '0'"):
        remove(nn.Sequential(nn.ConvTranspose2d(2, 6, 3), *net[1:2]), {"1": [1]}, data(5, 2, 8, 9))


def test_shared_and_computed_weights():
    net = mlp(4, 4, 4)
    kill(net[0], [1])
    net[2].weight = net[0].weight
    with pytest.raises(RemovalError, match=r"'0.weight' is shared|'2.weight' is shared"):
        remove(net, {"1": [1]}, data(9, 4))
    net = mlp(4, 5, 4)
    kill(net[0], [1])
    nn.utils.parametrizations.weight_norm(net[2])
    with pytest.raises(RemovalError, match="the weight of '2' is computed"):
        remove(net, {"1": [1]}, data(9, 4))


# What is asked of the arguments


def test_live_units_are_refused_unless_allowed():
    net = mlp(4, 8, 2)
    with pytest.raises(RemovalError, match=r"unit 2 of site '1' \(and 1 more\) varies"):
        remove(net, {"1": [2, 5]}, data(40, 4))
    with pytest.raises(RemovalError, match="an output differs"):
        remove(net, {"1": [2]}, data(40, 4), allow_live=True)
    x = data(40, 4)
    removal = check(net, {"1": [2, 5]}, x, within=10, allow_live=True, tolerance=10)
    mean = torch.tanh(x @ net[0].weight.T + net[0].bias).mean(0)
    bias = net[2].bias + net[2].weight[:, [2, 5]] @ mean[[2, 5]]
    torch.testing.assert_close(removal.model[2].bias, bias)
    assert 0.01 < removal.largest_difference < 10


def test_soft_dead_units_need_a_tolerance():
    net = mlp(4, 8, 2)
    with torch.no_grad():
        net[0].bias[3] = 7.0
    x = data(300, 4)
    width = 1 - torch.tanh(x @ net[0].weight[3] + 7).min()
    assert width > 1e-4
    with pytest.raises(RemovalError, match="unit 3 of site '1' varies"):
        remove(net, {"1": [3]}, x)
    check(net, {"1": [3]}, x, within=0.02, tolerance=0.02)


def test_data_may_be_a_tensor_batches_or_a_loader():
    net = mlp(4, 8, 2)
    kill(net[0], [0])
    x, y = data(20, 4), torch.arange(20)
    kinds = [
        x,
        (x,),
        [x[:12], x[12:]],
        [(x, y)],
        DataLoader(TensorDataset(x, y), 6, shuffle=True),
    ]
    states = [remove(net, {"1": [0]}, kind).model.state_dict() for kind in kinds]
    for state in states[1:]:
        assert all(torch.equal(state[k], states[0][k]) for k in state)


def test_a_bare_tuple_is_one_batch():
    net, x = mlp(4, 8, 2), data(20, 4)
    with pytest.raises(ValueError, match="data is a tuple of 2, which is one batch"):
        remove(net, {}, x.split(10))


def test_two_inputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.out = nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x, shift, scale=None):
            return {"logits": (self.out(torch.tanh(self.a(x) + 0)) + shift,), "n": 3, "none": x[:0]}

    net = settle(Two())
    kill(net.a, [0])
    x, shift = data(10, 4), data(10, 2)
    removal = remove(net, {":tanh": [0]}, (x, shift))
    assert removal.largest_difference < 1e-6
    with pytest.raises(ValueError, match=r"a batch holds \(Tensor\); the model's forward takes 2"):
        remove(net, {":tanh": [0]}, x)


def test_bad_arguments():
    net, x = mlp(4, 8, 2), data(9, 4)
    with pytest.raises(
        ValueError, match="there is no site '7' in the traced forward; there are '1'"
    ):
        remove(net, {"7": [0]}, x)
    for unit in (8, -1):
        with pytest.raises(ValueError, match="site '1' has units 0 to 7; there is no"):
            remove(net, {"1": [unit]}, x)
    for unit in (0.5, True, "a", None):
        with pytest.raises(TypeError, match=f"{unit!r} is no index of a unit of site '1'"):
            remove(net, {"1": [unit]}, x)
    with pytest.raises(RemovalError, match="all 8 units of site '1' are to go"):
        remove(net, {"1": range(8)}, x)
    with pytest.raises(ValueError, match="walked more than once"):
        remove(net, {"1": [0]}, iter([x]))
    with pytest.raises(ValueError, match="walked more than once"):
        remove(net, {"1": [0]}, 3)
    with pytest.raises(ValueError, match="data holds no batch"):
        remove(net, {"1": [0]}, [])
    with pytest.raises(ValueError, match="data holds no example"):
        remove(net, {"1": [0]}, x[:0])
    with pytest.raises(ValueError, match="a batch holds \\(str\\)"):
        remove(net, {"1": [0]}, ["a"])


def test_models_that_cannot_be_operated():
    class Loops(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(RemovalError, match=r"torch.fx cannot trace Loops"):
        remove(Loops(), {":relu": [0]}, data(3, 3))
    assert remove(Loops(), {}, data(3, 3)).removed == {}
    net = mlp(4, 8, 2)
    with pytest.raises(RemovalError, match="the model is compiled"):
        remove(torch.compile(net, backend="eager"), {}, data(3, 4))
    with pytest.raises(RemovalError, match="got a list"):
        sites([net])
    net.extra = net(data(3, 4))  # a tensor with a history, which deepcopy refuses
    with pytest.raises(RemovalError, match="cannot be copied"):
        remove(net, {}, data(3, 4))
    with pytest.raises(RemovalError, match="come from 'x'"):
        remove(One(lambda m, x: torch.tanh(x)), {":tanh": [0]}, data(3, 4))


def test_outputs_that_are_not_numbers_are_refused():
    net = settle(
        One(lambda m, x: m.out(torch.tanh(m.a(x))).log(), a=nn.Linear(4, 6), out=OUT["out"]())
    )
    kill(net.a, [0])
    with pytest.raises(RemovalError, match="differs by inf"):
        remove(net, {":tanh": [0]}, data(9, 4))


# What is kept


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_modes_flags_and_classes_are_kept_and_it_pickles_and_trains():
    net = settle(Conv())
    kill(net.norm, [1])
    net.train()
    net.drop.eval()
    net.conv1.weight.requires_grad_(False)
    x = PICTURES
    net(x).sum().backward()
    rng = torch.get_rng_state()
    removal = remove(net, {":tanh": [1]}, x)
    assert torch.equal(rng, torch.get_rng_state())
    new = removal.model
    assert net.training
    assert new.training
    assert not new.drop.training
    assert new.norm.training
    assert not new.conv1.weight.requires_grad
    assert new.conv1.bias.requires_grad
    assert net.out.weight.grad is not None
    assert new.conv1.bias.grad is None
    assert new.state_dict().keys() - net.state_dict().keys() == {"conv2.bias"}
    new(x).sum().backward()
    torch.optim.SGD(new.parameters(), 0.1).step()
    assert type(new) is Conv
    assert not isinstance(new, torch.fx.GraphModule)
    sequential = mlp(4, 8, 2)
    kill(sequential[0], [3])
    new = remove(sequential, {"1": [3]}, data(9, 4)).model
    again = pickle.loads(pickle.dumps(new))
    assert torch.equal(again(data(9, 4)), new(data(9, 4)))
    assert torch.jit.script(new)(data(9, 4)).shape == (9, 2)
    assert new.state_dict().keys() == sequential.state_dict().keys()
    assert "1 unit removed: 58 → 51 parameters" in str(remove(sequential, {"1": [3]}, data(9, 4)))


def test_nothing_to_remove_is_a_copy():
    net = mlp(4, 8, 2)
    removal = remove(net, {"1": []}, data(9, 4))
    assert removal.removed == {}
    assert removal.largest_difference == 0
    assert removal.model is not net
    assert removal.parameters_after == removal.parameters_before
    assert "0 units removed" in str(removal)


def test_half_precision_has_a_tolerance_of_its_own():
    net = mlp(4, 8, 2).bfloat16()
    kill(net[0], [3, 4])
    removal = check(net, {"1": [3, 4]}, data(9, 4, dtype=torch.bfloat16), within=0.05)
    assert removal.model[2].bias.dtype == torch.bfloat16


def test_in_place_activations_and_both_spellings():
    net = simple(lambda m, x: m.out(m.a(x).relu_()), out=nn.Linear(6, 2))
    assert sites(net) == [":relu"]
    removal = check(net, {":relu_": [1], ":relu": [1]}, data(30, 4))
    assert removal.removed == {":relu": [1]}
    net = mlp(4, 8, 2, act=lambda: nn.ReLU(inplace=True))
    kill(net[0], [5])
    check(net, {"1": [5]}, data(30, 4))


def test_site_names_of_shared_modules_and_nested_forwards():
    class Inner(nn.Module):
        def __init__(self, act):
            super().__init__()
            self.fc, self.act = nn.Linear(4, 4), act

        def forward(self, x):
            return torch.tanh(self.act(self.fc(x)))

    act = nn.ReLU()
    net = settle(nn.Sequential(Inner(act), Inner(act), nn.Linear(4, 2)))
    assert sites(net) == ["0.act", "0:tanh", "0.act#2", "1:tanh"]
    kill(net[1].fc, [2])
    check(net, {"0.act#2": [2]}, data(9, 4))
    kill(net[0].fc, [0])
    check(net, {"0.act": [0], "1:tanh": [2]}, data(9, 4))


@dataclasses.dataclass
class Answer:
    scores: object
    more: object = None


class Holder:
    __slots__ = ("scores",)

    def __init__(self, scores):
        self.scores = scores


WRAPPED = {
    "a dataclass": Answer,
    "a dataclass within a mapping": lambda t: {"answer": Answer(None, more=[t])},
    "a mapping in a tuple": lambda t: (1, OrderedDict(scores=t)),
    "integers": lambda t: Answer((1e3 * t).round().long()),
    "beside minus infinity": lambda t: Answer(t, more=torch.full_like(t, -torch.inf)),
}


class Wrapping(nn.Module):
    """A network whose answer is wrapped up by `how`."""

    def __init__(self, how):
        super().__init__()
        self.inside, self.outside, self.how = nn.Linear(5, 7), nn.Linear(7, 2), how

    def forward(self, x):
        return self.how(self.outside(torch.sigmoid(self.inside(x))))


@pytest.mark.parametrize("how", WRAPPED.values(), ids=WRAPPED)
def test_what_is_inside_an_answer_is_compared(how):
    model = settle(Wrapping(how))
    with pytest.raises(RemovalError, match="an output differs by"):
        remove(model, {":sigmoid": [0, 4]}, data(60, 5), allow_live=True)
    kill(model.inside, [3])
    assert remove(model, {":sigmoid": [3]}, data(60, 5)).largest_difference <= 1


def test_tensors_are_found_in_objects_with_slots_and_in_circles():
    inner, outer = Holder(torch.ones(2)), Answer(torch.zeros(3))
    outer.more = [inner, outer]
    assert [t.tolist() for t in tensors(outer)] == [[0, 0, 0], [1, 1]]


@pytest.mark.parametrize("nothing", [lambda t: None, lambda t: (), lambda t: {"scores": t[:0]}])
def test_an_answer_without_a_tensor_is_refused(nothing):
    model = settle(Wrapping(nothing))
    kill(model.inside, [3])
    with pytest.raises(RemovalError, match=r"no tensor with an entry.*nothing can be compared"):
        remove(model, {":sigmoid": [3]}, data(60, 5))


class Unbatched(nn.Module):
    """A convolution of a single image, or of a single series."""

    def __init__(self, d, pool):
        super().__init__()
        self.conv = (nn.Conv1d, nn.Conv2d)[d - 1](2, 5, 3)
        self.next = (nn.Conv1d, nn.Conv2d)[d - 1](5, 3, 2)
        self.pool, self.out = pool, nn.Linear(3 * (5 if d == 1 else 4), 2)

    def forward(self, x):
        h = self.pool(torch.tanh(self.conv(x)))
        return self.out(torch.tanh(self.next(h)).flatten())


@pytest.mark.parametrize(
    ("d", "pool"), [(1, nn.Identity()), (2, nn.MaxPool2d(2)), (2, lambda t: F.avg_pool2d(t, 2))]
)
def test_units_of_a_single_image_are_its_channels(d, pool):
    model = settle(Unbatched(d, pool))
    x = data(2, 8) if d == 1 else data(2, 8, 8)
    kill(model.conv, [1, 3])
    kill(model.next, [2])
    check(model, {":tanh": [1, 3], ":tanh#2": [2]}, x)


def test_a_pool_across_the_units_is_refused():
    pool = nn.AvgPool2d(3, 1, padding=1)  # of (batch, units, time) it takes units for heights
    net = settle(nn.Sequential(nn.Conv1d(2, 5, 3), nn.Tanh(), pool, nn.Conv1d(5, 2, 1)))
    kill(net[0], [1])
    with pytest.raises(RemovalError, match="reach module '2', through which"):
        remove(net, {"1": [1]}, data(4, 2, 9))


class Centred(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight - self.weight.mean(1, keepdim=True), self.bias)


def test_a_layer_that_uses_its_weights_in_another_way_is_named():
    net = settle(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), Centred(6, 3)))
    kill(net[0], [1, 2])
    with pytest.raises(RemovalError, match=r"module '2' \(Centred\) has its own forward"):
        remove(net, {"1": [2]}, data(30, 4))
