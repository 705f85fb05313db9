"""Whose units are they? Experts are sites of their own, and units lie where the layer put them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mlpinit.watch import audit, watch


def data(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


EXPERTS, WIDTH = 4, 8


class Routed(nn.Module):
    """Tokens (batch, time, 8), each given to the expert that its first number names.

    Unit 2 of expert 1 is dead, and that of every other expert is live.
    """

    def __init__(self, way, f=F.relu):
        super().__init__()
        torch.manual_seed(0)
        self.way, self.f = way, f
        self.w1 = nn.Parameter(torch.randn(EXPERTS, 8, WIDTH) / 2)
        self.w2 = nn.Parameter(torch.randn(EXPERTS, WIDTH, 8) / 2)
        with torch.no_grad():
            self.w1[:, 7] = 3.0  # the last number is 1: a bias
            self.w1[1, 7, 2] = -50.0

    def forward(self, x):
        x = x.flatten(0, -2)
        ids = (x[:, 0].abs() * 10).long() % EXPERTS
        return self.way(self, torch.cat((x[:, :7], torch.ones_like(x[:, :1])), 1), ids)


def loop(net, x, ids):
    out = torch.zeros_like(x)
    for k in torch.unique(ids):
        rows = torch.where(ids == k)[0]
        out[rows] = net.f(x[rows] @ net.w1[k]) @ net.w2[k]
    return out


def loop_of_linears(net, x, ids):
    out = torch.zeros_like(x)
    for k, (w1, w2) in enumerate(zip(net.w1, net.w2, strict=True)):
        if len(rows := torch.where(ids == k)[0]):
            out[rows] = F.linear(net.f(F.linear(x[rows], w1.T)), w2.T)
    return out


def all_by_einsum(net, x, ids):
    h = net.f(torch.einsum("nd,edf->nef", x, net.w1))
    return torch.einsum("nef,efd->ned", h, net.w2)[torch.arange(len(x)), ids]


def all_by_einsum_units_first(net, x, ids):
    h = net.f(torch.einsum("edf,nd->enf", net.w1, x) + 0.0)
    return torch.einsum("enf,efd->end", h, net.w2)[ids, torch.arange(len(x))]


def all_by_matmul(net, x, ids):
    return (net.f(x @ net.w1) @ net.w2)[ids, torch.arange(len(x))]


def all_by_bmm(net, x, ids):
    h = torch.bmm(x.expand(EXPERTS, *x.shape), net.w1)
    return torch.bmm(F.dropout(net.f(h), 0.1, False), net.w2)[ids, torch.arange(len(x))]


def all_by_bmm_weights_first(net, x, ids):
    h = torch.bmm(net.w1.transpose(1, 2), x.T.expand(EXPERTS, *x.T.shape))
    return (net.w2.mT @ net.f(h)).mT[ids, torch.arange(len(x))]


def all_by_baddbmm(net, x, ids):
    x = x.expand(EXPERTS, *x.shape)
    h = torch.baddbmm(torch.zeros(EXPERTS, 1, WIDTH), x, net.w1)
    return (net.f(h) @ net.w2)[ids, torch.arange(x.size(1))]


def chosen_weights(net, x, ids):
    h = torch.bmm(x.unsqueeze(1), net.w1[ids]).squeeze(1)
    return torch.einsum("nf,nfd->nd", net.f(h), net.w2[ids])


def chosen_weights_first(net, x, ids):
    h = torch.matmul(net.w1.index_select(0, ids).transpose(1, 2), x.unsqueeze(-1)).squeeze(-1)
    return torch.einsum("nf,nfd->nd", net.f(h), net.w2[ids])


def chosen_by_einsum(net, x, ids):
    h = torch.einsum("nd,ndf->nf", x, net.w1[ids])
    return torch.einsum("nf,nfd->nd", net.f(h), net.w2[ids])


def grouped(net, x, ids):
    order = ids.argsort()
    ends = torch.bincount(ids, minlength=EXPERTS).cumsum(0).int()
    h = product_of_groups(x[order], net.w1, offs=ends)
    return torch.zeros_like(x).index_copy(0, order, product_of_groups(net.f(h), net.w2, offs=ends))


product_of_groups = getattr(F, "grouped_mm", getattr(torch, "_grouped_mm", None))

WAYS = [
    loop, loop_of_linears, all_by_einsum, all_by_einsum_units_first, all_by_matmul, all_by_bmm,
    all_by_bmm_weights_first, all_by_baddbmm, chosen_weights, chosen_weights_first,
    chosen_by_einsum, *([] if product_of_groups is None else [grouped]),
]  # fmt: skip
ALL = [way for way in WAYS if way.__name__.startswith("all")]


def batches(n=5):
    """The last but one has no token for expert 0."""
    made = [data(80, 6, 8, seed=seed) for seed in range(n)]
    first = made[-2][..., 0]
    first[(first.abs() * 10).long() % EXPERTS == 0] = 0.15
    return made


def expert_of(name):
    return int(name.rpartition("[")[2].rstrip("]"))


def run(model, given, **options):
    with watch(model, **options) as w:
        for x in given:
            model(x)
    return w.report()


@pytest.mark.parametrize("way", WAYS)
def test_a_unit_that_is_dead_in_one_expert_is_found(way):
    model = Routed(way)
    try:
        model(batches(2)[1])
    except RuntimeError as error:  # grouped products are not made for every device and number
        pytest.skip(str(error).partition("\n")[0])
    for report in (run(model, batches()), audit(model, batches(), progress=False)):
        dead = report.dead()
        assert list(dead.values()) == [[2]]
        assert [expert_of(name) for name in dead] == [1]
        assert sorted(map(expert_of, report.sites)) == list(range(EXPERTS))
        assert all(site.units == WIDTH for site in report.sites.values())
        ids = torch.cat([(x[..., 0].abs() * 10).long().flatten() % EXPERTS for x in batches()])
        for name, site in report.sites.items():
            rows = len(ids) if way in ALL else int((ids == expert_of(name)).sum())
            assert site.whole.n == rows
            assert site.whole.examples <= 400


@pytest.mark.parametrize("way", [all_by_einsum, chosen_weights, all_by_bmm_weights_first])
@pytest.mark.parametrize("f", [lambda z: z * torch.sigmoid(9 * z), nn.PReLU(), nn.Softplus(9)])
def test_experts_with_other_functions(way, f):
    report = run(Routed(way, f), batches())
    one = [site for name, site in report.sites.items() if expert_of(name) == 1]
    assert [site.units for site in report.sites.values()] == [WIDTH] * EXPERTS
    assert (one[0].verdicts[2] == "live") == isinstance(f, nn.PReLU)
    assert not report.notes


def test_experts_can_be_counted_as_one_or_left_out():
    model = Routed(all_by_einsum)
    assert list(run(model, batches(), together=["*relu"]).sites) == [":relu"]
    assert run(model, batches(), together=["*relu"]).dead() == {}
    with pytest.raises(RuntimeError, match="no activation"):
        run(model, batches(), ignore=[":relu"])
    assert len(run(model, batches(), ignore=[r"*[[]2]"]).sites) == EXPERTS - 1


def test_the_same_weight_used_twice_with_other_units_in_between():
    """A layer that all experts share has no experts."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.out = nn.Parameter(torch.randn(3, 5, 6)), nn.Linear(6, 7)

        def forward(self, x):
            return torch.tanh(self.out(torch.relu(torch.einsum("nd,edf->enf", x, self.w))))

    report = run(Net(), [data(300, 5)])
    assert list(report.sites) == [*(f":relu@w[{k}]" for k in range(3)), ":tanh"]
    assert report[":tanh"].units == 7


def test_an_einsum_with_several_axes_of_weights_gives_units_along_its_last():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.randn(2, 3, 5, 6))

        def forward(self, x):
            return torch.tanh(torch.einsum("nd,ghdf->fngh", x, self.w))

    report = run(Net(), [data(300, 5)])
    assert {name: site.units for name, site in report.sites.items()} == {":tanh": 3}
    with pytest.raises(RuntimeError, match="no activation"):
        run(nn.Identity(), [data(300, 5)])


def test_outputs_and_gradients_of_routed_experts_stay():
    for way in (loop, chosen_weights, all_by_einsum):
        model, x = Routed(way), batches(2)[1]
        want = model(x)
        want.square().sum().backward()
        grads = [p.grad.clone() for p in model.parameters()]
        model.zero_grad()
        with watch(model):
            got = model(x)
            got.square().sum().backward()
        assert torch.equal(got, want)
        assert all(map(torch.equal, grads, [p.grad for p in model.parameters()]))


# Where the units lie.


class Laid(nn.Module):
    """A layer's 8 units, laid out otherwise before the activation; the third is dead."""

    def __init__(self, lay, layer=None):
        super().__init__()
        self.layer, self.lay = layer or nn.Linear(4, 8), lay
        self.other = nn.Linear(4, 8)
        with torch.no_grad():
            self.layer.bias[2] = -50.0

    def forward(self, x):
        return torch.relu(self.lay(self, self.layer(x)))


def meanwhile(net, z):
    """Another layer gives a tensor of the very same shape, of another layout."""
    z = z.transpose(1, 2)
    net.other(torch.zeros(len(z), 8, 4))
    return z


def halves(net, z):
    net.other(torch.zeros(len(z), 8, 4))
    return torch.cat(z.mT.chunk(2, 1)[::-1], 1).roll(4, 1)


LAYOUTS = {
    "time steps, as many as units": meanwhile,
    "halves of the channels": halves,
    "sliced": lambda net, z: meanwhile(net, z)[..., :5],
    "windows": lambda net, z: meanwhile(net, z).unflatten(2, (4, 2)),
    "a further axis": lambda net, z: meanwhile(net, z)[:, None],
    "one step of each": lambda net, z: meanwhile(net, z)[..., 0],
    "added to something": lambda net, z: 0.0 + meanwhile(net, z).contiguous(),
    "padded": lambda net, z: F.pad(meanwhile(net, z), (1, 1), mode="replicate"),
    "normed": lambda net, z: F.layer_norm(z, (8,)).mT,
    "stacked": lambda net, z: torch.stack((meanwhile(net, z), z.mT), 1),
}


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("lay", LAYOUTS.values(), ids=LAYOUTS)
def test_units_are_followed_from_their_layer(lay, every):
    model = Laid(lay)
    report = run(model, [data(300, 8, 4, seed=seed) for seed in range(4)], every=every)
    assert report[":relu"].units == 8
    assert report.dead() == {":relu": [2]}
    assert not report[":relu"].notes


def test_heads_put_together_are_units():
    model = Laid(lambda net, z: z.unflatten(1, (2, 4)).transpose(1, 2).flatten(2))
    report = run(model, [data(300, 8, 4)])
    assert (report[":relu"].units, report[":relu"].whole.n) == (16, 1200)
    assert report.dead() == {":relu": [2, 10]}
    assert not report[":relu"].notes


def test_a_weight_that_comes_first_gives_its_units_as_rows():
    class Columns(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(data(6, 4))

        def forward(self, x):
            return torch.tanh(self.w @ x)

    assert run(Columns(), [data(300, 4, 9)])[":tanh"].units == 6
    report = run(Columns(), [data(4, 300)])
    assert (report[":tanh"].units, report[":tanh"].whole.n) == (6, 300)


UNSURE = {
    "as many of another": lambda net, z: torch.stack(z.unbind(-1), 1),
    "heads": lambda net, z: z.unflatten(-1, (2, 4)),
    "pairs": lambda net, z: z.unflatten(-1, (4, 2)).transpose(1, 2),
}


@pytest.mark.parametrize("lay", UNSURE.values(), ids=UNSURE)
def test_where_it_is_not_certain_the_report_says_so(lay):
    report = run(Laid(lay), [data(300, 8, 4)])
    assert any("axes={site: axis} tells" in note for note in report[":relu"].notes)


def test_a_site_that_was_guessed_is_found_when_it_is_followed():
    """A layer that comes in later, where tensors are no longer followed."""

    class Late(Laid):
        late = False

        def forward(self, x):
            z = self.layer(x)
            return torch.tanh(meanwhile(self, z)[..., :5]) if self.late else torch.relu(z)

    model = Late(None)
    with watch(model) as w:
        for late in (False, False, False, True, True, True):
            model.late = late
            model(data(300, 8, 4))
    report = w.report()
    assert report[":tanh"].units == 8
    assert not report[":tanh"].notes
    assert any("another axis" in note for note in report.notes)
