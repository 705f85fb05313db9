"""The figures and verdicts of a watch, against plain counting that stores every activation."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mlpinit import activations, corpus, init, mlp, saturation
from mlpinit.models import accumulation, chunking
from mlpinit.models.slopes import Kind
from mlpinit.models.verdicts import VERDICTS, verdicts
from mlpinit.params import Architecture
from mlpinit.watch import audit, watch


def seeded(n=0):
    return torch.Generator().manual_seed(n)


def data(*shape, seed=0, scale=1.0):
    return torch.randn(*shape, generator=seeded(seed)) * scale


def autograd_slope(f, z):
    x = z.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(f(x.clone()), x, torch.ones_like(x))
    return slope.abs()


class Stored:
    """Every pre-activation and activation of given modules, by hooks: what a watch must not do."""

    def __init__(self, modules):
        self.z = {name: [] for name in modules}
        self.h = {name: [] for name in modules}
        self.handles = []
        for name, module in modules.items():
            self.handles += [
                module.register_forward_pre_hook(
                    lambda m, x, name=name: self.z[name].append(x[0].detach().clone())
                ),
                module.register_forward_hook(
                    lambda m, x, h, name=name: self.h[name].append(h.detach().clone())
                ),
            ]

    def close(self):
        for handle in self.handles:
            handle.remove()


def rows(t, axis):
    """(rows, units) of stored activations."""
    return torch.cat([x.movedim(axis, -1).reshape(-1, x.size(axis)) for x in t])


def agree(got, z, h, slope, max_slope, *, all_figures):
    """Every figure of a site against the stored rows."""
    n = len(h)
    assert got.n == n
    h64 = h.double()
    torch.testing.assert_close(got.mean, h64.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(got.std, h64.std(0, correction=0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(got.largest, h64.amax(0), rtol=0, atol=1e-6)
    if got.smallest is not None:
        torch.testing.assert_close(got.smallest, h64.amin(0), rtol=0, atol=1e-6)
    if got.z_largest is not None:
        assert torch.equal(got.z_largest, z.double().amax(0))
    if got.z_smallest is not None:
        assert torch.equal(got.z_smallest, z.double().amin(0))
    # A kernel's last digit depends on how many numbers it is handed at a time.
    torch.testing.assert_close(got.largest_slope, slope.double().amax(0), rtol=1e-6, atol=1e-12)
    assert torch.equal(got.largest_slope == 0, slope.amax(0) == 0)
    flat = (slope < 0.02 * max_slope).double().mean(0)
    torch.testing.assert_close(got.flat_share, flat, rtol=0, atol=1e-12)
    if got.zero_slope_share is not None:
        none = (slope == 0).double().mean(0)
        torch.testing.assert_close(got.zero_slope_share, none, rtol=0, atol=1e-12)
    if all_figures:
        zero = (h == 0).double().mean(0)
        torch.testing.assert_close(got.zero_share, zero, rtol=0, atol=1e-12)
        size = h64.abs().mean(0)
        torch.testing.assert_close(got.size, size, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(got.dormancy, size / size.mean(), rtol=1e-5, atol=1e-5)
        spread = h64.std(0, correction=0)
        want = spread / spread.mean()
        torch.testing.assert_close(got.centred_dormancy, want, rtol=1e-4, atol=1e-5)
        assert got.smallest is not None
        assert got.z_largest is not None
        assert got.z_smallest is not None
        assert got.zero_slope_share is not None


MODULES = [
    nn.Tanh(), nn.Sigmoid(), nn.ReLU(), nn.ReLU(inplace=True), nn.LeakyReLU(0.1), nn.ELU(),
    nn.SELU(), nn.CELU(0.5), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.Hardtanh(-0.5, 2),
    nn.ReLU6(), nn.Hardswish(), nn.Hardsigmoid(), nn.Softplus(2.0), nn.Softsign(), nn.LogSigmoid(),
    nn.Tanhshrink(), nn.Hardshrink(), nn.Softshrink(), nn.Threshold(0.1, 0.0), nn.PReLU(),
    nn.SiLU(inplace=True), nn.LeakyReLU(inplace=True), nn.Hardswish(inplace=True),
]  # fmt: skip


def named(modules):
    return [repr(m).replace(" ", "") for m in modules]


@pytest.mark.parametrize("act", MODULES, ids=named(MODULES))
@pytest.mark.parametrize("way", ["watch", "audit"])
def test_every_figure_of_every_activation_is_what_storing_all_rows_gives(act, way):
    model = nn.Sequential(nn.Linear(6, 13), act, nn.Linear(13, 2))
    with torch.no_grad():
        model[0].weight.copy_(data(13, 6, seed=1, scale=3))
        model[0].bias.copy_(torch.linspace(-30, 30, 13))
    batches = [data(n, 6, seed=n) for n in (40, 40, 7, 40, 1, 300)]
    stored = Stored({"1": act})
    if way == "watch":
        with watch(model, window=10**6) as w:
            for x in batches:
                model(x)
        report = w.report()
    else:
        report = audit(model, batches)
    stored.close()
    z, h = rows(stored.z["1"], -1), rows(stored.h["1"], -1)
    site = report["1"]
    slope = autograd_slope(act, z)
    agree(site.recent, z, h, slope, site.max_slope, all_figures=way == "audit")
    assert site.recent.examples == len(z)


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_the_largest_slope_is_the_book_s(name):
    params = init.draw(
        Architecture(hidden=(4,), activation=name), init.QUIET_OUTPUT, generator=seeded()
    )
    report = audit(mlp.as_module(params), torch.zeros(3, 3, dtype=torch.int64))
    assert report["3"].max_slope == activations.get(name).max_slope


SHAPES = {
    "linear": (lambda: nn.Linear(5, 4), (32, 5), -1),
    "sequence": (lambda: nn.Linear(5, 4), (8, 7, 5), -1),
    "one example": (lambda: nn.Linear(5, 4), (5,), -1),
    "conv1d": (lambda: nn.Conv1d(2, 4, 3), (16, 2, 9), 1),
    "conv2d": (lambda: nn.Conv2d(2, 4, 3), (16, 2, 9, 8), 1),
    "conv3d": (lambda: nn.Conv3d(1, 4, 2), (4, 1, 4, 5, 3), 1),
    "one image": (lambda: nn.Conv2d(2, 4, 3), (2, 9, 8), 0),
    "transposed convolution": (lambda: nn.ConvTranspose2d(2, 4, 2), (9, 2, 5, 5), 1),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("wrapped", [False, True], ids=["sequential", "in a module of its own"])
@pytest.mark.parametrize("act", [nn.Tanh(), nn.ReLU(), nn.GELU()], ids=["tanh", "relu", "gelu"])
@pytest.mark.parametrize("piece", [1, 300, 1 << 17])
def test_units_are_channels_of_a_convolution_and_else_the_last_axis(
    monkeypatch, shape, wrapped, act, piece
):
    """Whatever the size of the pieces that the work is done in."""
    monkeypatch.setattr(chunking, "PIECE", piece)
    layer, size, axis = SHAPES[shape]
    model = nn.Sequential(layer(), act)
    if wrapped:
        model = Around(model)
    stored = Stored({"act": act})
    with watch(model) as w:
        for seed in range(3):
            model(data(*size, seed=seed, scale=2))
    stored.close()
    z, h = (rows(t["act"], axis) for t in (stored.z, stored.h))
    (site,) = w.report().sites.values()
    assert site.units == 4
    agree(site.whole, z, h, autograd_slope(act, z), site.max_slope, all_figures=False)
    assert site.whole.examples == (3 if "one" in shape else 3 * size[0])


class Around(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


def test_large_images_are_worked_on_in_parts_of_one(monkeypatch):
    monkeypatch.setattr(chunking, "PIECE", 50)
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Tanh())
    x = data(2, 1, 20, 30)
    with watch(model) as w:
        h = model(x)
    got = w.report()["1"].whole
    torch.testing.assert_close(got.mean, h.double().mean((0, 2, 3)), rtol=1e-5, atol=1e-7)
    assert got.n == 1200
    assert got.examples == 2


def test_channels_last_is_only_another_order_in_memory():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    x = data(12, 3, 10, 10)
    with watch(model) as plain:
        model(x)
    with watch(model.to(memory_format=torch.channels_last)) as w:
        model(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(
        w.report()["1"].whole.mean, plain.report()["1"].whole.mean, rtol=1e-5, atol=1e-6
    )


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=90),
    window=st.integers(1, 200),
    waiting=st.sampled_from([0, 64, 1 << 15]),
)
def test_however_the_rows_come_the_figures_of_the_run_are_those_of_all_rows(sizes, window, waiting):
    """Windows, the ring and waiting rows are only ways to add up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunking, "WAITING", waiting)
        model = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
        h = []
        with watch(model, window=window, enough=window) as w:
            for seed, n in enumerate(sizes):
                h.append(model(data(n, 2, seed=seed)).detach())
    site = w.report()["1"]
    h = torch.cat(h).double()
    assert site.whole.n == site.whole.examples == len(h)
    torch.testing.assert_close(site.whole.mean, h.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(site.whole.std, h.std(0, correction=0), rtol=1e-4, atol=1e-6)
    assert site.whole.steps == (0, len(sizes) - 1)
    assert site.recent.examples >= min(window, len(h))
    recent = h[len(h) - site.recent.examples :]
    torch.testing.assert_close(site.recent.mean, recent.mean(0), rtol=1e-5, atol=1e-6)


def test_a_narrow_spread_far_from_zero_keeps_its_digits():
    model = nn.Sequential(nn.Identity(), nn.ReLU())
    x = 1000 + data(500, 4) * 0.01
    with watch(model) as w:
        for part in x.split(50):
            model(part)
    want = x.double().std(0, correction=0)
    torch.testing.assert_close(w.report()["1"].whole.std, want, rtol=1e-3, atol=0)


@pytest.mark.parametrize("act", [nn.Tanh(), nn.ReLU()], ids=["tanh", "relu"])
@pytest.mark.parametrize("shape", [(64, 5), (6, 5, 40)], ids=["units", "planes"])
@pytest.mark.parametrize("look", [watch, audit], ids=["watch", "audit"])
def test_counting_from_zero_is_counting_from_the_mean(monkeypatch, act, shape, look):
    """Both ways of adding up give the same figures; which is taken depends on the data."""

    def figures(small):
        monkeypatch.setattr(accumulation, "SMALL", small)
        axis = {} if len(shape) == 2 else {"axes": {"*": 1}}
        model = nn.Sequential(nn.Identity(), act)
        parts = [data(*shape, seed=seed, scale=3.0) for seed in range(40)]
        if look is audit:
            return audit(model, parts, **axis)["1"].whole, None
        with watch(model, **axis) as w:
            for part in parts:
                model(part)
        found = w.report()["1"].whole
        return found, w.sites["1"].ring.centred

    mean, by_mean = figures(-1.0)
    zero, by_zero = figures(math.inf)
    assert (by_mean, by_zero) in ((True, False), (None, None))
    for field in dataclasses.fields(mean):
        ours, theirs = getattr(zero, field.name), getattr(mean, field.name)
        if field.name in ("mean", "std", "size"):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
        elif isinstance(ours, torch.Tensor):
            assert torch.equal(ours, theirs), field.name
        else:
            assert ours == theirs


def test_which_way_is_taken_follows_the_data():
    model = nn.Sequential(nn.Identity(), nn.ReLU())
    with watch(model, window=100, enough=100) as w:
        model(data(100, 3))
        site = w.sites["1"].ring
        assert not site.centred
        for _ in range(3000):
            model(50 + data(100, 3))
        w.report()
        assert site.centred
        for _ in range(3000):
            model(data(100, 3))
        w.report()
        assert not site.centred


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_h_squared_tells_a_flat_slope_exactly_as_the_slope_does(dtype):
    """Around the cut and at the end, for every number that the format has there."""
    cut = saturation.SLOPE_CUT
    bound = accumulation._beyond(cut, dtype)
    edge = torch.tensor(1 - cut, dtype=dtype)
    near = [edge]
    for _ in range(2000):
        near.append(torch.nextafter(near[-1], torch.ones_like(edge)))
        near.insert(0, torch.nextafter(near[0], torch.zeros_like(edge)))
    square = torch.stack(near)
    slope = 1 - square
    assert torch.equal(square > bound, slope < cut)
    assert (square > bound).any()
    assert not (square > bound).all()


def test_a_stuck_unit_has_no_spread_at_all():
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([30.0, 0.0]))
    report = audit(model, data(2000, 3))
    assert report["1"].recent.std[0] == 0
    assert report["1"].recent.centred_dormancy[0] == 0
    assert report["1"].recent.dormancy[0] > 1  # Sokar's own score is blind to it
    assert report["1"].recent.smallest[0] == report["1"].recent.largest[0] == 1


# The book's network, against the census of the book.


class Book(nn.Module):
    """The very operations of `mlp.forward`."""

    def __init__(self, params):
        super().__init__()
        self.params = params
        self.f = activations.get(params.arch.activation).f

    def forward(self, X):
        x = self.params.C[X].flatten(1)
        for W, b in zip(self.params.W[:-1], self.params.b[:-1], strict=True):
            x = self.f(torch.addmm(b, x, W))
        return torch.addmm(self.params.b[-1], x, self.params.W[-1])


@pytest.fixture(scope="module")
def train_set():
    return corpus.split(corpus.load()).train


@pytest.mark.parametrize(
    "scheme", [init.QUIET_OUTPUT, init.scaled(0.2, 0.01)], ids=["raw", "scaled"]
)
@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_an_audit_agrees_with_the_census_exactly(train_set, scheme, name):
    arch = Architecture(activation=name, hidden=(200,))
    params = init.draw(arch, scheme, generator=seeded(2147483647))
    params.b[0][:20] = 40.0  # stuck
    params.b[0][20:40] = -40.0
    part = corpus.Contexts(train_set.X[:20000], train_set.Y[:20000])
    (want,) = saturation.census(params, part)
    report = audit(Book(params), part.X)
    site = report[f":{name}"]
    assert torch.equal(site.recent.flat_share, want.flat_fraction)
    assert torch.equal(site.recent.largest_slope, want.largest_slope.double())
    torch.testing.assert_close(site.recent.mean, want.mean, rtol=1e-5, atol=1e-6)
    assert site.which("hard-dead") == want.hard_dead.nonzero().flatten().tolist()
    assert site.which("hard-dead", "soft-dead") == want.soft_dead.nonzero().flatten().tolist()
    if name == "tanh":
        mostly = want.mostly_saturated().nonzero().flatten().tolist()
        assert site.which("mostly saturated") == mostly
    assert report.dead("soft") == {f":{name}": want.soft_dead.nonzero().flatten().tolist()}


def test_the_module_of_the_book_s_network_has_the_verdicts_of_the_census(train_set):
    params = init.draw(Architecture(), init.QUIET_OUTPUT, generator=seeded(2147483647))
    part = corpus.Contexts(train_set.X[:5000], train_set.Y[:5000])
    (want,) = saturation.census(params, part)
    report = audit(mlp.as_module(params), [(part.X, part.Y)])
    assert report.dead("soft") == {}
    assert len(report["3"].which("mostly saturated")) == int(want.mostly_saturated().sum())


# Verdicts


def fixed(z, act=None, **options):
    """A watch over pre-activations given as they are: z (rows, units)."""
    model = nn.Sequential(nn.Identity(), act or nn.Tanh())
    with watch(model, **options) as w:
        for part in z.split(100):
            model(part)
    return w.report()["1"]


def test_each_word_means_what_it_says():
    n = 400
    z = torch.zeros(n, 6)
    z[:, 1] = 3.0  # flat on all rows
    z[:, 2] = -12.0  # slope exactly 0
    z[: n - 1, 3] = 20.0  # one live row of 400
    z[:150, 4] = 5.0  # flat on 150 of 400
    z[:, 5] = torch.where(torch.arange(n) % 2 == 0, 9.5, -9.5)  # stuck at either end
    site = fixed(z)
    assert site.verdicts == (
        "live", "soft-dead", "hard-dead", "mostly saturated", "live", "hard-dead"
    )  # fmt: skip
    assert site.evidence(3) == "1 live of 400 rows"
    assert site.evidence(2).startswith("slope 0 on 400 rows: 0 live, live rate < 0.75%")
    assert "largest slope 0.0099 of 1 on 400 rows: 0 live" in site.evidence(1)


def test_a_relu_at_rest_is_not_saturated_and_one_that_never_fires_is_hard_dead():
    z = torch.full((400, 3), -1.0)
    z[:4, 1] = 0.5  # live but sparse
    z[:, 2] = 0.0  # a slope of 0 exactly at 0
    site = fixed(z, nn.ReLU())
    assert site.verdicts == ("hard-dead", "live", "hard-dead")
    assert site.evidence(1) == "4 live of 400 rows"
    assert site.recent.z_largest.tolist() == [-1, 0.5, 0]
    assert site.recent.zero_slope_share.tolist() == [1, 0.99, 1]


def test_leaky_relu_is_flat_and_not_dead():
    z = torch.full((400, 2), -5.0)
    z[0, 1] = 1.0
    site = fixed(z, nn.LeakyReLU())
    assert site.verdicts == ("flat", "live")
    assert "dead" not in site.evidence(0)
    assert fixed(z, nn.LeakyReLU(0.2)).verdicts == ("live", "live")
    report = audit(nn.Sequential(nn.Identity(), nn.LeakyReLU()), z)
    assert report.dead("soft") == {}


@pytest.mark.parametrize("act", [nn.GELU(), nn.SiLU(), nn.Mish(), nn.Hardswish()], ids=repr)
def test_units_that_fire_or_do_not(act):
    z = torch.full((400, 3), -0.3)
    z[:, 1] = -200.0
    z[:, 2] = -0.3
    z[0, 2] = 0.1
    assert fixed(z, act).verdicts == ("never fired", "hard-dead", "live")


def test_gelu_fades_out_softly():
    assert fixed(torch.full((400, 1), -4.0), nn.GELU()).verdicts == ("soft-dead",)


def test_a_few_rows_prove_life_but_not_death():
    z = torch.tensor([[0.0, 20.0, 20.0]]).repeat(299, 1)
    z[0, 2] = 0.0
    assert fixed(z).verdicts == ("live", "too few examples", "mostly saturated")
    assert fixed(z, enough=299).verdicts == ("live", "hard-dead", "mostly saturated")
    assert fixed(z.repeat(2, 1)).verdicts == ("live", "hard-dead", "mostly saturated")
    model = nn.Sequential(nn.Identity(), nn.Tanh())
    with watch(model) as w:
        model(z)
    assert w.report().dead("soft") == {}
    # Of a whole data set, however small, the verdict is exact.
    assert audit(model, z).dead() == {"1": [1]}


def test_positions_are_no_independent_draws():
    """40 images of 100 positions are 40 examples: too few to call a channel dead."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    with torch.no_grad():
        model[0].bias[0] = -50.0
    with watch(model) as w:
        model(data(40, 1, 10, 10))
    site = w.report()["1"]
    assert site.recent.n == 4000
    assert site.recent.examples == 40
    assert site.verdicts[0] == "too few examples"
    with watch(model) as w:
        for seed in range(10):
            model(data(40, 1, 10, 10, seed=seed))
    assert w.report()["1"].verdicts[0] == "hard-dead"
    bound = 100 * saturation.live_rate_bound(400)
    assert f"40,000 rows of 400 examples: 0 live, live in < {bound:.2g}% of ex" in (
        w.report()["1"].evidence(0)
    )


def test_what_is_not_finite_is_said_to_be():
    z = torch.zeros(400, 2)
    z[7, 1] = math.nan
    site = fixed(z)
    assert site.verdicts == ("live", "not finite")
    assert site.evidence(1) == "an infinity or a NaN among 400 rows"


def test_every_verdict_is_defined_and_worded():
    assert set(VERDICTS) >= {"live", "mostly saturated", "soft-dead", "hard-dead", "never fired"}
    assert all(VERDICTS.values())


def test_verdicts_need_examples_not_rows():
    site = fixed(torch.full((400, 1), 20.0))
    kind = Kind("tanh", None)
    assert verdicts(site.recent, kind, 401) == ("too few examples",)
    assert verdicts(site.recent, kind, 400) == ("hard-dead",)


# Life and death


def lives(schedule, *, window=100, act=None, **options):
    """Units whose bias is moved by hand: `schedule` has a row of biases for each 100 rows."""
    model = nn.Sequential(nn.Linear(3, len(schedule[0])), act or nn.Tanh())
    with watch(model, window=window, enough=100, **options) as w:
        for step, biases in enumerate(schedule):
            with torch.no_grad():
                model[0].bias.copy_(torch.tensor(biases))
            for part in range(2):
                model(data(50, 3, seed=2 * step + part))
    return w.report()["1"]


def test_deaths_births_and_revivals():
    D, L = 40.0, 0.0
    site = lives(
        [
            # always live, dies, dies and revives, born, born and dies, dead
            [L, L, L, D, D, D],
            [L, L, D, D, D, D],
            [L, D, D, L, L, D],
            [L, D, L, L, D, D],
            [L, D, D, L, D, D],
        ]
    )
    assert site.deaths.tolist() == [0, 1, 2, 0, 1, 0]
    assert site.births.tolist() == [0, 0, 0, 1, 1, 0]
    assert site.revivals.tolist() == [0, 0, 1, 0, 0, 0]
    assert site.since.tolist() == [0, 4, 8, 4, 6, 0]
    assert site.verdicts == ("live", *["hard-dead"] * 2, "live", *["hard-dead"] * 2)
    assert site.evidence(1).endswith("; since step 4")
    assert site.history == {
        "step": [1, 3, 5, 7, 9],
        "dead": [3, 4, 3, 3, 4],
        "births": [0, 0, 2, 0, 0],
        "deaths": [0, 1, 1, 1, 1],
        "revivals": [0, 0, 0, 1, 0],
    }


def test_a_relu_that_dies_and_revives():
    site = lives([[0.0, 0.0], [-90.0, 0.0], [0.0, 0.0]], act=nn.ReLU())
    assert site.deaths.tolist() == site.revivals.tolist() == [1, 0]
    assert site.verdicts == ("live", "live")


def test_a_window_needs_all_its_examples_to_be_dead():
    """A death in the middle of a window is seen in the next one."""
    site = lives([[0.0], [40.0], [40.0]], window=200)
    assert site.deaths.tolist() == [0]
    assert site.verdicts == ("mostly saturated",)
    assert lives([[0.0], [40.0], [40.0], [40.0]], window=200).deaths.tolist() == [1]


def test_the_figures_of_the_recent_window_forget_the_start():
    site = lives([[40.0], [0.0], [0.0]])
    assert site.recent.flat_share.item() < 0.01
    assert site.whole.flat_share.item() > 0.3
    assert site.recent.steps == (4, 5)
    assert site.whole.steps == (0, 5)


def test_a_long_history_grows_coarser_and_loses_no_event(monkeypatch):
    from mlpinit.models import lifetimes

    monkeypatch.setattr(lifetimes, "HISTORY", 8)
    schedule = [[40.0 * (k % 2)] for k in range(40)]
    site = lives(schedule)
    assert len(site.history["step"]) < 8
    assert site.history["step"][-1] <= 79
    assert sum(site.history["deaths"]) == site.deaths.item() == 20
    assert sum(site.history["revivals"]) == site.revivals.item() == 19


@pytest.mark.parametrize("at", [0, 30])
@pytest.mark.parametrize(
    ("act", "bad"),
    [(nn.Tanh(), math.nan), (nn.ReLU(), math.nan), (nn.ReLU(), math.inf), (nn.GELU(), math.inf)],
    ids=str,
)
@pytest.mark.parametrize("shift", [0.0, 40.0])
def test_a_row_that_is_not_finite_spoils_its_window_and_no_later_one(bad, at, act, shift):
    """Shifted, deviations are counted from a recent mean, and the bad one must not become it."""
    model = nn.Sequential(nn.Linear(3, 4), act, nn.Linear(4, 2))
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([shift, shift, -200.0, shift]))
    with watch(model, window=300) as w:
        for seed in range(60):
            x = data(50, 3, seed=seed)
            if seed == at:
                x[7, 1] = bad
            model(x)
            if seed == at:
                assert "not finite" in w.report()["1"].counts()
    site = w.report()["1"]
    assert site.counts().keys() <= {"live", "mostly saturated", "hard-dead"}
    assert site.recent.mean.isfinite().all()
    assert 2 in site.which("hard-dead")
    assert not site.births.any()
    assert not site.deaths.any()
    assert not site.revivals.any()
    assert not site.whole.mean.isfinite().all()


def test_a_window_that_could_tell_no_death_is_refused():
    with pytest.raises(ValueError, match="window is 32 examples and enough is 300"):
        watch(nn.Tanh(), window=32)


def test_a_relu6_that_rests_half_of_the_time_is_live():
    x = data(1000, 32)
    for act in (nn.ReLU6(), nn.ReLU()):
        model = nn.Sequential(nn.Linear(32, 64), act, nn.Linear(64, 2))
        assert audit(model, x).counts() == {"live": 64}
    stuck = nn.Sequential(nn.Linear(32, 3), nn.Hardtanh())
    with torch.no_grad():
        stuck[0].weight.mul_(50)
    assert set(audit(stuck, x).counts()) == {"mostly saturated"}


# Every k-th pass


def test_every_third_pass_from_the_first():
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
    outputs = []
    with watch(model, every=3) as w:
        for seed in range(10):
            outputs.append(model(data(20, 2, seed=seed)).detach())
    report = w.report()
    assert (report.passes, report.watched, report.every) == (10, 4, 3)
    want = torch.cat(outputs[::3]).double()
    torch.testing.assert_close(report["1"].whole.mean, want.mean(0), rtol=1e-5, atol=1e-7)
    assert report["1"].whole.steps == (0, 9)
    assert "one in 3 watched" in str(report)


def test_only_the_phase_asked_for_counts():
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5), nn.Tanh())
    x = data(10, 2)
    counts = {}
    for phase in ("train", "eval", "any"):
        with watch(model, phase=phase) as w:
            model.train()
            model(x)
            model.eval()
            model(x)
            model(x)
        counts[phase] = w.report().passes
        assert ("passed over" in str(w.report())) == (phase != "any")
    assert counts == {"train": 1, "eval": 2, "any": 3}
