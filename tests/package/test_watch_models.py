"""Any model, left as it was: what a watch sees, what it refuses, and that it leaves no trace."""

import copy
import gc
import io
import pickle
import subprocess
import sys
import threading
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mlpinit import sites
from mlpinit.watch import audit, watch


def data(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Swish(nn.Module):
    def __init__(self):
        super().__init__()
        self.beta = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return x * torch.sigmoid(self.beta * x)


class Functional(nn.Module):
    """One of each way to call an activation, in modules of its own."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 3)
        self.block = Block()

    def forward(self, x):
        x = torch.tanh(self.a(x))
        x = F.relu(self.b(x))
        return self.block(torch.tanh(self.c(x)))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin, self.act = nn.Linear(3, 3), nn.SiLU()

    def forward(self, x):
        x = self.act(self.lin(x))
        x = self.lin(x).sigmoid()
        x = self.act(x)
        x = F.gelu(self.lin(x))
        return torch.relu_(self.lin(x))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.act = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        y = self.act(x + self.bn(self.conv(x)))
        y = F.max_pool2d(y, 2).relu()
        y = y.permute(0, 2, 3, 1)  # (N, H, W, C)
        return F.gelu(self.head(y))


class Squeeze(nn.Module):
    """A channel attention: its gates are (N, C, 1, 1)."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv1d(2, 6, 3), nn.Conv1d(6, 6, 1)

    def forward(self, x):
        y = self.conv(x).relu()
        return y * torch.sigmoid(self.fc(y.mean(2, keepdim=True)))


class Unrolled(nn.Module):
    """An Elman network written out: its activation is applied at every time step."""

    def __init__(self):
        super().__init__()
        self.x, self.h, self.act = nn.Linear(2, 7), nn.Linear(7, 7), nn.Tanh()

    def forward(self, x):
        h = x.new_zeros(x.size(0), 7)
        for t in range(x.size(1)):
            h = self.act(self.x(x[:, t]) + self.h(h))
        return h


def units(report):
    return {name: site.units for name, site in report.sites.items()}


def encoder(**options):
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, **options)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


MODELS = {
    "functional": (Functional, (30, 4), {
        ":tanh": 5, ":relu": 6, ":tanh#2": 3, "block.act": 3, "block:sigmoid": 3,
        "block.act#2": 3, "block:gelu": 3, "block:relu": 3,
    }),
    "residual": (Residual, (30, 3, 8, 6), {"act": 3, ":relu": 3, ":gelu": 2}),
    "squeeze": (Squeeze, (30, 2, 9), {":relu": 6, ":sigmoid": 6}),
    "unrolled": (Unrolled, (30, 3, 2), {"act": 7, "act#2": 7, "act#3": 7}),
    "transformer": (encoder, (30, 5, 8), {"layers.0:relu": 16, "layers.1:relu": 16}),
    "transformer, gelu": (
        lambda: encoder(activation="gelu"), (30, 5, 8), {"layers.0:gelu": 16, "layers.1:gelu": 16}
    ),
    "transformer, module": (
        lambda: encoder(activation=nn.ELU()), (30, 5, 8),
        {"layers.0.activation": 16, "layers.1.activation": 16},
    ),
    "rnn cell in a loop": (lambda: Loop(nn.RNNCell(2, 6)), (30, 3, 2), {"cell": 6}),
    "rnn": (lambda: First(nn.RNN(2, 6, nonlinearity="relu", bidirectional=True)), (4, 30, 2),
            {"layer": 12}),
    "a module alone": (nn.Tanh, (30, 4), {":tanh": 4}),
    "nested sequential": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 3, 1), nn.Sequential(nn.BatchNorm1d(3), nn.ReLU()), nn.Flatten(),
            nn.Linear(12, 5), nn.LayerNorm(5), nn.Tanh(),
        ),
        (30, 2, 4), {"1.1": 3, "5": 5},
    ),
    "sequential of its own kind": (
        lambda: Reversed(nn.Tanh(), nn.Linear(4, 9)), (30, 4), {"0": 9, ":sigmoid": 9}
    ),
}  # fmt: skip


class Loop(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        h = None
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            h = h[0] if isinstance(self.cell, nn.LSTMCell) and t == x.size(1) - 1 else h
        return h


class First(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


class Reversed(nn.Sequential):
    def forward(self, x):
        for module in reversed(self):
            x = module(x)
        return x.sigmoid()


def made(name):
    torch.manual_seed(0)
    make, size, want = MODELS[name]
    return make(), data(*size), want


@pytest.mark.parametrize("name", MODELS)
def test_the_sites_of_a_model_and_their_units(name):
    model, x, want = made(name)
    with watch(model) as w:
        model(x)
    assert units(w.report()) == want
    assert units(audit(model, [x])) == want


@pytest.mark.parametrize(
    "name", ["functional", "residual", "squeeze", "nested sequential", "a module alone"]
)
def test_sites_are_named_as_surgery_names_them(name):
    model, x, _ = made(name)
    assert list(audit(model, [x]).sites) == sites.sites(model)


@pytest.mark.parametrize("name", MODELS)
def test_results_gradients_and_random_numbers_are_the_same_bit_for_bit(name):
    model, x, _ = made(name)
    twin = copy.deepcopy(model)
    x = x.requires_grad_()
    torch.manual_seed(1)
    want = twin(x)
    want.square().sum().backward()
    dx, x.grad = x.grad, None
    torch.manual_seed(1)
    with watch(model) as w:
        got = model(x)
        got.square().sum().backward()
    state = torch.random.get_rng_state()
    w.report()
    torch.manual_seed(1)
    copy.deepcopy(model)(x.detach())
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(got, want)
    assert torch.equal(x.grad, dx)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)
    for p, q in zip(model.buffers(), twin.buffers(), strict=True):
        assert torch.equal(p, q)


def test_dropout_draws_the_same_numbers():
    model = nn.Sequential(nn.Linear(4, 50), nn.Dropout(0.5), nn.RReLU(), nn.Linear(50, 2))
    x = data(20, 4)
    torch.manual_seed(3)
    want = model(x)
    torch.manual_seed(3)
    with watch(model) as w:
        got = model(x)
    assert torch.equal(got, want)
    assert w.report()["2"].recent.largest_slope.max() <= 1
    assert (w.report()["2"].recent.largest_slope >= 1 / 8 - 1e-6).all()


def test_the_inside_of_an_rnn_cell_is_read_from_h():
    cell = nn.RNNCell(2, 6)
    model = Loop(cell)
    with torch.no_grad():
        cell.bias_ih.copy_(torch.tensor([0.0, 30.0, 0.0, -30.0, 3.5, 0.0]))
    with watch(model) as w:
        model(data(400, 5, 2))
    site = w.report()["cell"]
    assert (site.recent.n, site.recent.examples) == (2000, 400)
    assert site.verdicts[1] == site.verdicts[3] == "hard-dead"
    assert site.verdicts[0] == "live"
    assert site.recent.z_largest is None
    assert site.recent.smallest[3] == -1


@pytest.mark.parametrize("layer", [nn.LSTM(2, 5), nn.GRU(2, 5, num_layers=2)], ids=["lstm", "gru"])
def test_of_gated_layers_h_is_shown_without_a_verdict(layer):
    with watch(First(layer)) as w:
        w.model(data(7, 400, 2))
    site = w.report()["layer"]
    assert set(site.verdicts) == {"slope not seen"}
    assert site.recent.examples == 400
    assert site.recent.n == 2800
    assert site.recent.largest_slope is None
    assert "gates" in str(w.report())
    assert ("of its 2 layers" in str(w.report())) == isinstance(layer, nn.GRU)
    assert w.report().dead("soft") == {}
    assert "h from" in site.evidence(0)


@pytest.mark.parametrize("cell", [nn.LSTMCell(2, 5), nn.GRUCell(2, 5)], ids=["lstm", "gru"])
def test_gated_cells(cell):
    with watch(Loop(cell)) as w:
        w.model(data(40, 3, 2))
    assert w.report()["cell"].recent.n == 120


def test_packed_sequences_are_counted_by_their_entries():
    from torch.nn.utils.rnn import pack_sequence

    model = nn.RNN(2, 3, num_layers=2)
    with watch(model) as w:
        model(pack_sequence([data(4, 2), data(3, 2), data(1, 2)]))
    (site,) = w.report().sites.values()
    assert (site.recent.n, site.recent.examples) == (8, 3)


def test_in_place_calls_show_their_pre_activations():
    class Net(nn.Module):
        def forward(self, x):
            y = x * 2
            torch.relu_(y)
            z = (x * 3).clamp(-5, 5)
            z.tanh_()
            return y + z + F.elu(x * 4, inplace=True) + F.hardtanh(x * 5, -1.0, 1.0, True)

    x = data(300, 4)
    with watch(Net()) as w:
        w.model(x)
    report, audited = w.report(), audit(Net(), [x])
    for name, scale in ((":relu", 2), (":elu", 4), (":hardtanh", 5)):
        least = (x * scale).amin(0).double()
        assert torch.equal(audited[name].whole.z_smallest, least)
        if name != ":relu":  # whose least z a watch does not look for
            assert torch.equal(report[name].whole.z_smallest, least)
    want = torch.tanh((x * 3).clamp(-5, 5)).amin(0).double()
    assert torch.equal(report[":tanh"].whole.smallest, want)


def test_calls_of_one_site_can_be_counted_together():
    torch.manual_seed(0)
    model = Unrolled()
    x = data(30, 12, 2)
    with watch(model, together=["act"]) as w:
        model(x)
    assert units(w.report()) == {"act": 7}
    recent = w.report()["act"].recent
    assert (recent.n, recent.examples) == (360, 30)
    assert "together=" not in str(w.report())
    with watch(model) as w:
        model(x)
    assert len(w.report().sites) == 12
    assert all(site.recent.examples == 30 for site in w.report().sites.values())
    assert "together=['act']" in str(w.report())


def test_time_steps_are_no_examples():
    """300 steps of one sequence bound nothing for other sequences."""
    cell = nn.RNNCell(2, 6)
    with torch.no_grad():
        cell.bias_ih[1] = 50.0
    model = Loop(cell)
    with watch(model) as w:
        model(data(1, 300, 2))
    assert w.report()["cell"].verdicts[1] == "too few examples"
    with watch(model) as w:
        for seed in range(2):
            model(data(150, 4, 2, seed=seed))
    assert w.report()["cell"].recent.examples == 300
    assert w.report()["cell"].verdicts[1] == "hard-dead"


def test_the_axis_of_the_examples_can_be_told():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)  # takes (tokens, batch, units)
    x = data(40, 3, 8)
    examples = [audit(layer, [x] * 5, batch_axis=axis)[":relu"].recent.examples for axis in (0, 1)]
    assert examples == [200, 15]
    with pytest.raises(ValueError, match="batch_axis is -1; wanted 0 or 1"):
        watch(layer, batch_axis=-1)


def test_sites_can_be_left_out():
    model, x, _ = made("squeeze")
    with watch(model, ignore=["*:sigmoid"]) as w:
        model(x)
    assert units(w.report()) == {":relu": 6}


def test_a_layout_of_one_s_own_can_be_told():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(4, 5)

        def forward(self, x):
            return self.lin(x).transpose(1, 2).relu()  # (batch, units, time)

    x = data(30, 7, 4)
    with watch(Net(), axes={":*": 1}) as w:
        w.model(x)
    assert units(w.report()) == {":relu": 5}
    with watch(Net(), axes={":relu": 3}) as w:
        w.model(x)  # goes on, whatever a watch was told
    with pytest.raises(RuntimeError, match=r":relu: .*no axis 3"):
        w.report()


MOVES = {
    "transpose": lambda t: t.transpose(1, 2),
    "torch.transpose": lambda t: torch.transpose(t, 2, 1),
    "swapaxes": lambda t: t.swapaxes(-1, 1),
    "permute": lambda t: t.permute(0, 2, 1).contiguous(),
    "permute, a list": lambda t: torch.permute(t, [0, 2, 1]),
    "movedim": lambda t: t.movedim(1, -1),
    "moveaxis": lambda t: torch.moveaxis(t, (1, 2), (2, 1)),
    "mT": lambda t: t.mT,
    "there and back": lambda t: t.mT.mT.mT,
    "and flattened": lambda t: t.mT.reshape(-1, 8),
}


class Moved(nn.Module):
    """Channels go to the last axis before the activation."""

    def __init__(self, move):
        super().__init__()
        self.conv, self.out, self.move = nn.Conv1d(4, 8, 1), nn.Linear(8, 3), move
        with torch.no_grad():
            self.conv.bias[2] = -50.0

    def forward(self, x):
        return self.out(torch.relu(self.move(self.conv(x))))


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_units_are_followed_through_a_transpose(move):
    report = audit(Moved(move), data(400, 4, 11))
    assert units(report) == {":relu": 8}
    assert report.dead() == {":relu": [2]}
    assert "axes=" not in str(report)


def test_where_units_may_lie_along_another_axis_the_report_says_so():
    model = Restacked()
    x = data(400, 5, 4)
    report = audit(model, x)
    assert units(report) == {":relu": 5}
    text = " ".join(str(report).split())
    assert "taken along axis 2 (5), and the last layer has 8; axes={site: axis} tells" in text
    report = audit(model, x, axes={"*": 1})
    assert units(report) == {":relu": 8}
    assert "axes=" not in str(report)


class Restacked(nn.Module):
    """(N, 5, 8) to (N, 8, 5) by steps that are no transpose."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 8)

    def forward(self, x):
        return torch.relu(torch.stack(self.inner(x).unbind(-1), 1))


def test_activations_that_no_module_holds_belong_to_the_caller():
    class Loose(nn.Module):
        def __init__(self):
            super().__init__()
            self.loose = [nn.Tanh()]
            self.late = None

        def forward(self, x):
            x = nn.ReLU()(self.loose[0](x))
            return torch.sigmoid(input=x if self.late is None else self.late(x))

    model = Loose()
    x = data(30, 4)
    with watch(model) as w:
        model(x)
        model.forward(x)  # by hand
        model.late = nn.ELU()  # registered while it is watched
        model(x)
    want = {":tanh": 3, ":relu": 3, ":sigmoid": 3, "late": 1}
    assert {name: site.whole.n // 30 for name, site in w.report().sites.items()} == want


def test_a_shared_module_of_a_sequential_is_a_site_for_each_call():
    act = nn.Tanh()
    model = nn.Sequential(nn.Linear(3, 5), act, nn.Linear(5, 4), act)
    with watch(model) as w:
        for _ in range(3):
            model(data(30, 3))
    assert units(w.report()) == {"1": 5, "1#2": 4}
    assert w.report()["1#2"].whole.n == 90


# Activations of one's own


def test_an_activation_module_of_one_s_own():
    model = nn.Sequential(nn.Linear(3, 5), Swish(), nn.Linear(5, 2))
    x = data(400, 3)
    with watch(model) as w:
        model(x)
    assert list(w.report().sites) == ["1:sigmoid"]  # what is inside it
    z = model[0](x).detach().requires_grad_()
    (slope,) = torch.autograd.grad(model[1](z).sum(), z)

    def formula(z):
        s = torch.sigmoid(1.5 * z)
        return s + 1.5 * z * s * (1 - s)

    for given in (None, formula):
        with watch(model, activations={Swish: given}) as w:
            model(x)
        site = w.report()["1"]
        assert list(w.report().sites) == ["1"]
        torch.testing.assert_close(
            site.recent.largest_slope, slope.abs().amax(0).double(), rtol=1e-4, atol=1e-6
        )
        assert site.max_slope == pytest.approx(1.0998, abs=1e-3)
        assert torch.equal(site.recent.z_largest, z.detach().amax(0).double())
    assert "forward" not in model[1].__dict__


def test_a_function_of_torch_as_an_activation():
    class Siren(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(3, 5)

        def forward(self, x):
            return torch.sin(self.lin(x))

    model = Siren()
    with watch(model, activations={torch.sin: torch.cos}) as w:
        model(data(400, 3))
    site = w.report()[":sin"]
    assert site.max_slope == pytest.approx(1)
    assert set(site.verdicts) == {"live"}


def test_a_random_activation_draws_no_more_numbers_for_being_watched():
    class Noisy(nn.Module):
        def forward(self, x):
            return x * torch.rand_like(x)

    model = nn.Sequential(nn.Linear(3, 5), Noisy())
    x = data(10, 3)
    torch.manual_seed(0)
    want = model(x)
    after = torch.rand(1)
    torch.manual_seed(0)
    with watch(model, activations={Noisy: None}):
        assert torch.equal(model(x), want)
        assert torch.equal(torch.rand(1), after)


@pytest.mark.parametrize(
    ("key", "slope", "match"),
    [
        (lambda x: x, None, "nothing can see"),
        (3, None, "class of a module"),
        (Swish, 3, r"wanted slope\(z\)"),
    ],
)
def test_activations_that_cannot_be_watched_are_refused(key, slope, match):
    with pytest.raises(TypeError, match=match):
        watch(nn.Tanh(), activations={key: slope})


# Precision and devices


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_slopes_are_those_of_the_model_s_own_floats(dtype):
    z = torch.linspace(-12, 12, 601, dtype=dtype)[:, None].repeat(1, 3)
    model = nn.Sequential(nn.Identity(), nn.Tanh())
    site = audit(model, [z])["1"]
    zero = (z.tanh().abs() == 1).double().mean(0)
    assert torch.equal(site.recent.zero_slope_share, zero)
    assert (zero > 0).all() == (dtype != torch.float64)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision(dtype):
    """tanh rounds to 1 at 3.47 in bfloat16 and at 4.51 in float16: units at 5 are hard-dead."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.GELU())
    with torch.no_grad():
        model[0].weight.mul_(0.01)
        model[0].bias.copy_(torch.tensor([0.0, 5.0, -5.0, 2.0]))
    x = data(400, 3)
    with watch(model) as w:
        for part in x.split(40):
            with torch.autocast("cpu", dtype=dtype):
                out = model(part)
            out.float().sum().backward()
    report = w.report()
    assert report["1"].verdicts == ("live", "hard-dead", "hard-dead", "live")
    assert report["1"].whole.mean.dtype == torch.float64
    with watch(model) as full:
        model(x)
    assert full.report()["1"].verdicts == ("live", "soft-dead", "soft-dead", "live")
    torch.testing.assert_close(
        report["3"].whole.mean, full.report()["3"].whole.mean, rtol=0.05, atol=0.01
    )


def test_figures_live_on_the_device_of_their_site():
    """The meta device stands for a second one: it has shapes and no numbers."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(3, 5, device="meta")

        def forward(self, x):
            return torch.tanh(self.a(x)), F.gelu(self.b(x.to("meta")))

    model = Two()
    with watch(model, window=100, enough=100) as w:
        for _ in range(70):
            model(data(40, 3))
    devices = {name: site.ring.sums.device.type for name, site in w.sites.items()}
    assert devices == {":tanh": "cpu", ":gelu": "meta"}
    assert units(w.report()) == {":tanh": 4}
    assert "meta device" in str(w.report())


def test_only_meta_has_nothing_to_report():
    model = nn.Sequential(nn.Linear(3, 4, device="meta"), nn.ReLU())
    with watch(model) as w:
        model(torch.empty(5, 3, device="meta"))
    with pytest.raises(RuntimeError, match="meta device"):
        w.report()


def test_inference_mode():
    model = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 3), nn.ELU())
    with watch(model, window=100, enough=100) as w:
        with torch.inference_mode():
            for _ in range(40):
                model(data(40, 3))
        for _ in range(40):
            model(data(40, 3)).sum().backward()
    assert w.report()["1"].whole.n == 3200


# No trace


@pytest.mark.parametrize("name", MODELS)
def test_the_model_is_left_as_it_was(name):
    model, x, _ = made(name)
    before = {m: (dict(m.__dict__), dict(m._forward_hooks)) for m in model.modules()}
    with watch(model) as w:
        model(x)
    for module, (attributes, hooks) in before.items():
        assert module.__dict__.keys() == attributes.keys()
        assert module._forward_hooks == hooks
    assert torch.overrides._get_current_function_mode() is None
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again(x), model(x)) or name == "residual"
    pickle.dumps(w.report())


def test_a_model_can_be_scripted_after_as_before():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    with watch(model):
        model(data(5, 3))
    with nothing():
        scripted = torch.jit.script(model)
    assert torch.equal(scripted(data(5, 3)), model(data(5, 3)))


class nothing:  # noqa: N801
    def __enter__(self):
        import warnings

        self.context = warnings.catch_warnings()
        self.context.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *exception):
        self.context.__exit__(*exception)


def test_an_exception_leaves_no_trace_either():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin, self.fails = nn.Linear(3, 4), False

        def forward(self, x):
            x = torch.tanh(self.lin(x))
            if self.fails:
                raise KeyboardInterrupt
            return x

    model = Fails()
    w = watch(model)
    with pytest.raises(KeyboardInterrupt), w:  # noqa: PT012
        model(data(400, 3))
        model.fails = True
        model(data(400, 3))
    assert "forward" not in model.__dict__
    assert torch.overrides._get_current_function_mode() is None
    assert w.report()[":tanh"].whole.n == 800  # what was seen stays


def test_copies_and_pickles_made_meanwhile_are_plain():
    model = Functional()
    plain = vars(model).keys() | set()
    x = data(5, 4)
    with watch(model) as w:
        buffer = io.BytesIO()
        torch.save(model, buffer)
        buffer.seek(0)
        copies = [
            copy.deepcopy(model),
            pickle.loads(pickle.dumps(model)),
            torch.load(buffer, weights_only=False),
            copy.copy(copy.deepcopy(model)),
        ]
        for twin in copies:
            assert torch.equal(twin(x), model(x))
            assert twin.forward.__self__ is twin
            assert vars(twin).keys() == plain
            with torch.no_grad():
                twin.a.weight.zero_()
        assert model.a.weight.any()
        assert w.passes == 4
        assert list(model.state_dict()) == list(copies[0].state_dict())


def test_the_signature_of_forward_can_still_be_read():
    import inspect

    model = Functional()
    with watch(model):
        assert list(inspect.signature(model.forward).parameters) == ["x"]


def test_a_forward_that_somebody_else_had_set_stays():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    plain = model.forward
    mine = lambda x: plain(x) * 2  # noqa: E731
    model.forward = mine
    with watch(model) as w:
        model(data(5, 3))
        twin = copy.deepcopy(model)
        assert vars(twin)["forward"] is mine
    assert model.forward is mine
    assert vars(model).keys() == vars(twin).keys()
    assert units(w.report()) == {"1": 4}


def wrapped(module):
    """As libraries do that add hooks to a model: the forward as it is, within another."""
    inner = module.forward

    def forward(*args, **kwargs):
        return inner(*args, **kwargs) + 1

    module.forward = forward
    return inner


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_what_wraps_the_forward_meanwhile_ends_the_watch_with_the_block(named, kept):
    model, x = nn.Sequential(nn.Linear(3, 4), Swish() if named else nn.Tanh()), data(5, 3)
    part, want = (model[1] if named else model), model(x)
    with watch(model, activations={Swish: None}) as w:
        before = wrapped(part)
        assert torch.equal(model(x), want + 1)
    passes, rows = w.passes, w.report()["1"].whole.n
    assert (passes, rows) == (1, 5)
    assert torch.equal(model(x), want + 1)
    if not kept:  # it takes its wrapper away, and puts back what it found
        part.forward = before
        assert torch.equal(model(x), want)
    with watch(model, activations={Swish: None}) as other:
        model(x)
    assert (w.passes, w.report()["1"].whole.n, other.passes) == (passes, rows, 1)
    assert not hasattr(vars(part).get("__getstate__"), "watches")
    if not kept:
        twin = pickle.loads(pickle.dumps(model))
        assert torch.equal(twin(x), want)


@pytest.mark.parametrize("first_out", [0, 1])
def test_a_wrapper_between_two_watches(first_out):
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh()), data(5, 3)
    watches = [watch(model), watch(model)]
    watches[0].__enter__()
    wrapped(model)
    watches[1].__enter__()
    model(x)
    watches[first_out].__exit__(None, None, None)
    model(x)
    watches[1 - first_out].__exit__(None, None, None)
    model(x)
    assert [w.passes for w in watches] == ([1, 2] if first_out == 0 else [2, 1])
    assert "__getstate__" not in vars(model)


def test_a_state_of_the_model_s_own_is_asked_for():
    class Light(nn.Sequential):
        def __getstate__(self):
            return {**vars(self), "cache": None}

    model = Light(nn.Linear(3, 4), nn.Tanh())
    model.cache = "large"
    with watch(model):
        twin = copy.deepcopy(model)
    assert twin.cache is None
    assert "forward" not in vars(twin)
    assert torch.equal(twin(torch.ones(1, 3)), model(torch.ones(1, 3)))


@pytest.mark.parametrize("first_out", [0, 1])
def test_copies_of_a_model_that_is_watched_twice_are_plain(first_out):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    plain = vars(model).keys() | set()
    watches = [watch(model), watch(model)]
    for w in watches:
        w.__enter__()
    assert vars(copy.deepcopy(model)).keys() == plain
    watches.pop(first_out).__exit__(None, None, None)
    assert vars(copy.deepcopy(model)).keys() == plain
    assert vars(model).keys() == plain | {"forward", "__getstate__"}
    watches.pop().__exit__(None, None, None)
    assert vars(model).keys() == plain


@pytest.mark.parametrize("first_out", [0, 1])
@pytest.mark.parametrize("name", ["functional", "nested sequential"])
def test_two_watches_of_one_model(first_out, name):
    model, x, want = made(name)
    a, b = watch(model), watch(model, every=2)
    a.__enter__()
    b.__enter__()
    model(x)
    model(x)
    (a, b)[first_out].__exit__(None, None, None)
    model(x)
    (b, a)[first_out].__exit__(None, None, None)
    assert "forward" not in model.__dict__
    assert all("forward" not in m.__dict__ for m in model.modules())
    assert units(a.report()) == units(b.report()) == want
    passes = (a.report().passes, b.report().passes)
    assert passes == ((2, 3) if first_out == 0 else (3, 2))
    site = next(iter(want))
    assert a.report()[site].whole.n == 30 * passes[0] * (4 if name != "functional" else 1)


def test_a_part_and_the_whole_can_be_watched_at_once():
    model, x, want = made("functional")
    with watch(model) as whole, watch(model.block) as part:
        model(x)
    assert units(whole.report()) == want
    assert len(part.report().sites) == 5


def test_a_watch_serves_once():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    w = watch(model)
    with w:
        model(data(5, 3))
    with pytest.raises(RuntimeError, match="make another"):
        w.__enter__()


def test_no_activation_is_kept():
    """The tensors of a pass are free as soon as the model's own are."""
    kept = []

    class Keep(nn.Module):
        def forward(self, x):
            kept.append(weakref.ref(x))
            return x

    model = nn.Sequential(nn.Linear(3, 40), nn.Tanh(), Keep(), nn.Linear(40, 2))
    with watch(model) as w:
        for _ in range(100):
            model(data(64, 3))
        gc.collect()
        assert [ref() for ref in kept] == [None] * 100
        early = w.nbytes()
        for _ in range(1000):
            model(data(64, 3))
        assert w.nbytes() <= early * 1.2
    assert w.nbytes() < early


def test_memory_does_not_grow_with_the_number_of_rows():
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU())
    held = []
    for n in (200, 800):
        with watch(model) as w:
            model(data(n, 1, 28, 28))
            held.append(w.nbytes())
    assert held[1] <= held[0] * 1.2


# Refusals


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match=r"wanted a torch\.nn\.Module"):
        watch(torch.tanh)


@pytest.mark.parametrize(
    "options", [{"every": 0}, {"every": 1.5}, {"window": 0}, {"enough": 0}, {"phase": "test"}]
)
def test_arguments_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        watch(nn.Tanh(), **options)


def test_no_forward_pass():
    model = Functional()
    with watch(model) as w:
        model.a(data(3, 4))
    with pytest.raises(RuntimeError, match="no forward pass of Functional"):
        w.report()
    model.eval()
    with watch(model) as w:
        model(data(3, 4))
    with pytest.raises(RuntimeError, match=r"1 forward passes, none in training mode.*phase='any'"):
        w.report()


def test_no_activation_seen():
    model = nn.Linear(3, 4)
    with watch(model) as w:
        model(data(5, 3))
    with pytest.raises(RuntimeError, match=r"applied no activation.*relu, gelu.*activations="):
        w.report()


def test_batches_without_rows_are_no_data():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    with pytest.raises(ValueError, match="the data set is empty: 2 batches came without a row"):
        audit(model, [torch.empty(0, 3)] * 2)
    with watch(model) as w:
        model(torch.empty(0, 3))
        with pytest.raises(RuntimeError, match="1: its batches had no rows"):
            w.report()
        model(data(5, 3))
        assert w.report()["1"].recent.n == 5


def test_a_recurrent_layer_alone_is_no_module_that_was_not_reached():
    report = audit(nn.RNN(3, 4), data(300, 5, 3))
    assert units(report) == {":rnn_tanh": 4}
    assert not report.notes


def test_gates_are_said_to_be_unseen_and_expit_is_a_sigmoid():
    model = nn.Sequential(nn.Linear(3, 8), nn.GLU(), nn.Linear(4, 2), nn.Tanh())
    report = audit(model, data(300, 3))
    assert units(report) == {"3": 2}
    assert "1:glu: it makes (300, 4) of (300, 8): not one number of each" in report.notes
    model = Calls(torch.special.expit)
    assert audit(model, data(300, 3))[":sigmoid"].activation == "sigmoid"


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.linear, self.function = nn.Linear(3, 4), function

    def forward(self, x):
        return self.function(self.linear(x))


def test_what_cannot_be_counted_is_said():
    class Odd(nn.Module):
        def forward(self, x):
            torch.tanh(x.to(torch.complex64))
            torch.relu(torch.nested.nested_tensor([x[:2], x[2:]], layout=torch.jagged))
            return torch.sigmoid(x)

    with watch(Odd()) as w:
        w.model(data(5, 3))
    text = str(w.report())
    assert "no floating-point numbers" in text
    assert list(w.report().sites) == [":sigmoid"]


def test_modules_that_never_ran_are_named():
    model = Functional()
    model.spare = nn.Tanh()
    with watch(model) as w:
        model(data(5, 4))
    assert "spare: not reached" in " ".join(str(w.report()).split())


def test_another_width_than_the_first_is_passed_over():
    class Slices(nn.Module):
        def forward(self, x):
            return torch.tanh(x)

    with watch(Slices()) as w:
        w.model(data(5, 3))
        w.model(data(5, 4))
        w.model(data(0, 3))
    report = w.report()
    assert report[":tanh"].whole.n == 5
    assert "another width than 3" in str(report)


def test_scripted_models_are_refused_and_scripted_parts_named():
    with nothing():
        scripted = torch.jit.script(nn.Sequential(nn.Linear(3, 4), nn.Tanh()))
    with pytest.raises(ValueError, match="scripted"):
        watch(scripted)
    model = nn.Sequential(scripted, nn.ReLU())
    with watch(model) as w:
        model(data(5, 3))
    assert list(w.report().sites) == ["1"]
    assert "scripted" in str(w.report())


def test_data_parallel_is_refused():
    inner = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    with pytest.raises(ValueError, match="DistributedDataParallel"):
        watch(nn.DataParallel(inner))
    with pytest.raises(ValueError, match=r"its module '0' is a DataParallel"):
        watch(nn.Sequential(nn.DataParallel(inner)))


@pytest.mark.parametrize("every", [1, 10])
def test_a_replica_in_a_thread_is_refused(every):
    """What DataParallel does: a copy of the module's attributes, called in another thread."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    errors = []

    def run(module):
        try:
            module(data(5, 3))
        except RuntimeError as error:
            errors.append(str(error))

    with watch(model, every) as w:
        model(data(5, 3))
        replica = model._replicate_for_data_parallel()
        for module in (replica, model, model):
            thread = threading.Thread(target=run, args=(module,))
            thread.start()
            thread.join()
        model(data(5, 3))
    assert len(errors) == 1
    assert "DataParallel runs copies" in errors[0]
    assert (w.passes, w.watched) == (4, 4 if every == 1 else 1)


def test_a_model_that_calls_itself_makes_one_pass():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x, again=True):
            h = torch.tanh(self.linear(x))
            return self(h, again=False) if again else h

    with watch(Twice(), together=["*"]) as w:
        for _ in range(4):
            w.model(data(5, 3))
    assert (w.passes, w.watched) == (4, 4)
    assert w.report()[":tanh"].whole.n == 40


def test_a_pass_that_fails_is_counted_and_the_next_is_let_by():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    with watch(model, 3) as w:
        with pytest.raises(RuntimeError, match="mat1 and mat2"):
            model(data(5, 2))
        for _ in range(3):
            model(data(5, 3))
    assert (w.passes, w.watched) == (4, 2)
    assert w.report()["1"].whole.steps == (3, 3)


def test_tracing_and_transforms_run_unwatched():
    model = Functional()
    x = data(5, 4)
    with nothing(), watch(model) as w:
        model(x)
        traced = torch.jit.trace(model, x, check_trace=False)
        torch.func.vmap(model)(x[:, None])
        torch.fx.symbolic_trace(model)
        torch.func.functional_call(model, dict(model.named_parameters()), (x,))
    assert torch.equal(traced(x), model(x))
    assert w.report()[":tanh"].whole.n == 10
    assert "torch.jit was tracing" in str(w.report())
    assert "transform of torch.func" in str(w.report())


COMPILED = """
import warnings
warnings.simplefilter("ignore")
import torch
from torch import nn
from mlpinit.watch import watch

x = torch.randn(5, 3)
def fresh():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh())
def refused(work):
    try:
        work()
    except (ValueError, RuntimeError) as error:
        return str(error)
    raise SystemExit("not refused")

compiled = torch.compile(fresh(), backend="eager")
assert "model._orig_mod" in refused(lambda: watch(compiled))
assert "its module '1' is compiled" in refused(lambda: watch(nn.Sequential(nn.ReLU(), compiled)))
in_place = fresh()
in_place.compile(backend="eager")
assert "compiled in place" in refused(lambda: watch(in_place))
forward = fresh()
forward.forward = torch.compile(forward.forward, backend="eager")
assert "compiled in place" in refused(lambda: watch(forward))

for ran_before in (False, True):
    model = fresh()
    compiled = torch.compile(model, backend="eager")
    if ran_before:
        compiled(x)
    with watch(model) as w:
        assert "inside torch.compile" in refused(lambda: compiled(x))
        model(x)
    assert w.report()["1"].whole.n == 5
    assert torch.equal(compiled(x), model(x))
watched = compiled._orig_mod
with watch(watched) as w:
    watched(x)
assert w.report()["1"].units == 4
"""


def test_compiled_models_are_refused_with_the_way_out():
    """In a process of its own: torch.compile brings a second of imports and state that stays."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# Evaluation


def test_the_fused_path_of_a_transformer_is_seen():
    torch.manual_seed(0)
    model = encoder(activation="gelu").eval()
    x = data(40, 5, 8)
    with torch.no_grad():
        want = model(x)
        with watch(model, every=2, phase="eval") as w:
            got = [model(x) for _ in range(2)]
    assert units(w.report()) == {"layers.0:gelu": 16, "layers.1:gelu": 16}
    torch.testing.assert_close(got[0], want, rtol=1e-5, atol=1e-6)
    assert torch.equal(got[1], want)


def test_an_audit_leaves_modes_and_gradients_alone():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.9), nn.Tanh())
    model[1].eval()
    before = copy.deepcopy(model.state_dict())
    report = audit(model, data(2500, 3))
    assert [m.training for m in model] == [True, False, True, True]
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert report.data_set
    assert report["3"].recent.n == 2500
    assert report["3"].history is None


@pytest.mark.parametrize("form", ["pairs", "dicts", "tensors", "call", "generator"])
def test_batches_come_in_many_forms(form):
    from torch.utils.data import DataLoader, TensorDataset

    class Named(nn.Module):
        def forward(self, x, bias=0.0):
            return torch.tanh(x + bias)

    x = data(50, 3)
    loaders = {
        "pairs": DataLoader(TensorDataset(x, torch.arange(50)), batch_size=8),
        "dicts": [{"x": part, "bias": 1.0} for part in x.split(20)],
        "tensors": x.split(20),
        "call": [(0, part) for part in x.split(20)],
        "generator": (part for part in x.split(20)),
    }
    call = (lambda model, batch: model(batch[1])) if form == "call" else None
    report = audit(Named(), loaders[form], call=call)
    want = torch.tanh(x + (form == "dicts")).double().mean(0)
    torch.testing.assert_close(report[":tanh"].recent.mean, want, rtol=1e-5, atol=1e-6)
    assert report[":tanh"].recent.n == 50


def test_inputs_and_targets_are_no_batches():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    for targets in (torch.zeros(5), torch.zeros(5, 3, dtype=torch.int64)):
        with pytest.raises(TypeError, match=r"inputs and targets\? .*: audit\(model, X\)"):
            audit(model, (data(5, 3), targets))


def test_an_audit_of_nothing():
    with pytest.raises(ValueError, match="no batch came"):
        audit(nn.Tanh(), [])


def test_an_audit_that_fails_restores_the_modes():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    with pytest.raises(RuntimeError, match="shapes"):
        audit(model, data(5, 7))
    assert model.training
    assert "forward" not in model.__dict__


def test_an_audit_shows_its_progress(capsys):
    audit(nn.Tanh(), data(3000, 2), progress=True)
    assert "audit: 100%" in capsys.readouterr().err
    audit(nn.Tanh(), data(30, 2))
    assert capsys.readouterr().err == ""
