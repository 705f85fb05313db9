"""Units inside models that cannot be traced as a whole, behind gates and in depthwise convolutions.

The models are written as those of transformers and timm are.
"""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mlpinit.models import surgery
from mlpinit.recycle import recycle
from mlpinit.surgery import RemovalError, remove
from mlpinit.watch import audit


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def data(*shape, seed=0):
    return torch.randn(*shape, generator=gen(seed))


def settle(model, seed=0):
    g = gen(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(
                torch.randn(p.shape, generator=g) * (0.3 if p.ndim < 2 else p[0].numel() ** -0.5)
            )
        for name, b in model.named_buffers():
            if "running" in name:
                b.copy_(0.5 + torch.rand(b.shape, generator=g))
    return model.eval()


class Conv1D(nn.Module):
    """A Linear with its weight as (in, out), as in GPT-2."""

    def __init__(self, nf, nx):
        super().__init__()
        self.nf, self.nx = nf, nx
        self.weight, self.bias = nn.Parameter(torch.empty(nx, nf)), nn.Parameter(torch.zeros(nf))

    def forward(self, x):
        size_out = (*x.size()[:-1], self.nf)
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(size_out)


class NewGELU(nn.Module):
    def forward(self, x):
        return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


class Attention(nn.Module):
    """Something that torch.fx cannot trace, and that keeps what it saw in a cache."""

    def __init__(self, width):
        super().__init__()
        self.mix = nn.Linear(width, width)

    def forward(self, x, cache=None, **kwargs):
        if x.sum() > 1e9:
            return x, None
        if cache is not None:
            cache.seen.append(x)
            x = torch.cat(cache.seen, 1)[:, -x.shape[1] :]
        return self.mix(x), None


class ConvMLP(nn.Module):
    """GPT-2's."""

    def __init__(self, width, hidden):
        super().__init__()
        self.c_fc, self.c_proj, self.act = Conv1D(hidden, width), Conv1D(width, hidden), NewGELU()
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        return self.dropout(self.c_proj(self.act(self.c_fc(x))))


class SwiGLU(nn.Module):
    def __init__(self, width, hidden, act=F.silu):
        super().__init__()
        self.gate, self.up = (
            nn.Linear(width, hidden, bias=False),
            nn.Linear(width, hidden, bias=False),
        )
        self.down, self.act = nn.Linear(hidden, width, bias=False), act

    def forward(self, x):
        return self.down(self.act(self.gate(x)) * self.up(x))


class T5MLP(nn.Module):
    """T5's, without biases, which looks at the dtype of a weight."""

    def __init__(self, width, hidden):
        super().__init__()
        self.wi, self.wo = (
            nn.Linear(width, hidden, bias=False),
            nn.Linear(hidden, width, bias=False),
        )
        self.act, self.dropout = nn.ReLU(), nn.Dropout(0.1)

    def forward(self, x):
        x = self.dropout(self.act(self.wi(x)))
        if isinstance(self.wo.weight, torch.Tensor) and x.dtype != self.wo.weight.dtype:
            x = x.to(self.wo.weight.dtype)
        return self.wo(x)


class ChunkedGLU(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 2 * hidden), nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        a, b = self.fc1(x).chunk(2, dim=-1)
        return self.fc2(a * torch.relu(b))


class Layer(nn.Module):
    """OPT's and BERT's: the activation is called in the layer, the second Linear after it."""

    def __init__(self, width, mlp):
        super().__init__()
        self.attention, self.norm, self.mlp = Attention(width), nn.LayerNorm(width), mlp

    def forward(self, x, cache=None, output_attentions=False, **kwargs):
        attended, weights = self.attention(x, cache=cache, **kwargs)
        x = x + attended
        x = x + self.mlp(self.norm(x))
        return (x, weights) if output_attentions else (x,)


class OPTLayer(Layer):
    def __init__(self, width, hidden):
        super().__init__(width, nn.Identity())
        self.fc1, self.fc2, self.activation = (
            nn.Linear(width, hidden),
            nn.Linear(hidden, width),
            nn.ReLU(),
        )

    def forward(self, x, cache=None, **kwargs):
        x = x + self.attention(x, cache=cache)[0]
        if x.dtype == torch.float16:
            x = x.clamp(-60000, 60000)
        shape = x.shape
        flat = self.norm(x).reshape(-1, x.size(-1))
        return ((x.reshape(flat.shape) + self.fc2(self.activation(self.fc1(flat)))).view(shape),)


class Cache:
    def __init__(self):
        self.seen = []


class Transformer(nn.Module):
    """A model that branches on its data, with a cache and arguments that only it gives."""

    def __init__(self, layers, width=8, tie=False):
        super().__init__()
        self.embed = nn.Embedding(20, width)
        self.layers = nn.ModuleList(layers)
        self.head = nn.Linear(width, 20, bias=False)
        if tie:
            self.head.weight = self.embed.weight

    def forward(self, input_ids=None, mask=None, use_cache=True, **kwargs):
        if input_ids.min() < 0:
            raise ValueError("no such token")
        x = self.embed(input_ids)
        for layer in self.layers:
            x = layer(x, cache=Cache() if use_cache else None, output_attentions=False)[0]
        return {"logits": self.head(x), "last": x}


IDS = torch.randint(0, 20, (6, 5), generator=gen())
WIDTH, HIDDEN = 8, 12

MLPS = {
    "gpt2": (lambda: Layer(WIDTH, ConvMLP(WIDTH, HIDDEN)), "mlp.act:tanh", "mlp.c_fc", ()),
    "swiglu": (lambda: Layer(WIDTH, SwiGLU(WIDTH, HIDDEN)), "mlp:silu", "mlp.gate", ("mlp.up",)),
    "t5": (lambda: Layer(WIDTH, T5MLP(WIDTH, HIDDEN)), "mlp.act", "mlp.wi", ()),
    "opt": (lambda: OPTLayer(WIDTH, HIDDEN), "activation", "fc1", ()),
    "bert": (
        lambda: Layer(
            WIDTH, nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))
        ),
        "mlp.1",
        "mlp.0",
        (),
    ),
}


def transformer(name, **kwargs):
    """The model, its sites, and the layers that make their units."""
    make, site, producer, _ = MLPS[name]
    model = settle(Transformer([make(), make()], **kwargs))
    return model, [f"layers.{k}.{site}" for k in (0, 1)], [f"layers.{k}.{producer}" for k in (0, 1)]


def silence(model, producer, units):
    """Units that get the same large negative number whatever comes, or none without a bias."""
    layer = model.get_submodule(producer)
    with torch.no_grad():
        W = layer.weight.T if isinstance(layer, Conv1D) else layer.weight
        W[units] = 0.0
        if layer.bias is not None:
            layer.bias[units] = -1e4


def gap(before, after):
    return max(float((before[k] - after[k]).abs().max()) for k in before)


@pytest.mark.parametrize("name", MLPS)
def test_units_of_a_block_go_and_the_whole_model_answers_as_before(name):
    model, sites, producers = transformer(name)
    assert list(audit(model, [{"input_ids": IDS}]).sites) == sites
    for producer, units in zip(producers, ([1, 5], [0, 2, 7]), strict=True):
        silence(model, producer, units)
    state = copy.deepcopy(model.state_dict())
    rng = torch.get_rng_state()
    removal = remove(model, dict(zip(sites, ([1, 5], [0, 2, 7]), strict=True)), {"input_ids": IDS})
    assert torch.equal(rng, torch.get_rng_state())
    assert removal.removed == {sites[0]: [1, 5], sites[1]: [0, 2, 7]}
    assert removal.kept == {}
    with torch.no_grad():
        assert gap(model(IDS), removal.model(IDS)) <= 1e-5
    sizes = [removal.model.get_submodule(p).weight.shape for p in producers]
    assert [HIDDEN - 2 in sizes[0], HIDDEN - 3 in sizes[1]] == [True, True]
    for partner in MLPS[name][3]:
        assert removal.model.get_submodule(f"layers.0.{partner}").out_features == HIDDEN - 2
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert not any("forward" in vars(m) for m in (*model.modules(), *removal.model.modules()))


@pytest.mark.parametrize("name", MLPS)
def test_units_of_a_block_start_anew_and_the_whole_model_answers_as_before(name):
    model, sites, producers = transformer(name)
    for producer in producers:
        silence(model, producer, [3, 4])
    with torch.no_grad():
        before = model(IDS)
    attributes = set(vars(model))
    done = recycle(model, {site: [3, 4] for site in sites}, {"input_ids": IDS}, generator=gen())
    with torch.no_grad():
        assert gap(before, model(IDS)) <= 1e-5
    assert done.n_units == 4
    assert [site.with_it for site in done.sites] == [
        tuple(f"layers.{k}.{partner}" for partner in MLPS[name][3]) for k in (0, 1)
    ]
    assert set(vars(model)) == attributes
    for producer in (*producers, *(p for site in done.sites for p in site.with_it)):
        layer = model.get_submodule(producer)
        W = layer.weight.T if isinstance(layer, Conv1D) else layer.weight
        assert (W[[3, 4]] != 0).any(1).all()


def test_a_constant_other_than_0_is_folded_in_a_block():
    """GELU of a unit that always gets 2; leaving the fold out is seen in the whole model."""
    for name in ("gpt2", "bert"):
        model, sites, producers = transformer(name)
        silence(model, producers[0], [1, 2])
        with torch.no_grad():
            model.get_submodule(producers[0]).bias[[1, 2]] = 2.0
        removal = remove(model, {sites[0]: [1, 2]}, {"input_ids": IDS})
        assert removal.largest_difference < 1e-5
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(surgery, "_fold", lambda *args: False)
            with pytest.raises(RemovalError, match="an output differs by"):
                remove(model, {sites[0]: [1, 2]}, {"input_ids": IDS})
        done = recycle(model, {sites[0]: [1, 2]}, {"input_ids": IDS}, generator=gen())
        assert done.sites[0].constants.min() > 1.9


def test_leaving_a_cut_out_is_seen(monkeypatch):
    """Each of the three layers of a SwiGLU block must be cut."""
    model, sites, producers = transformer("swiglu")
    silence(model, producers[0], [1, 2])
    for left_out in ("keep_inputs", "keep_outputs"):
        with monkeypatch.context() as patch:
            patch.setattr(surgery, left_out, lambda *args: None)
            with pytest.raises(RemovalError, match="does not run"):
                remove(model, {sites[0]: [1, 2]}, {"input_ids": IDS})


def test_a_gate_that_is_stuck_open_lets_a_living_unit_through():
    model = settle(Transformer([Layer(WIDTH, SwiGLU(WIDTH, HIDDEN, torch.sigmoid))]))
    gate = model.layers[0].mlp
    gate.gate = nn.Linear(WIDTH, HIDDEN)
    silence(model, "layers.0.mlp.gate", [2])
    remove(model, {"layers.0.mlp:sigmoid": [2]}, IDS)  # closed for good
    with torch.no_grad():
        gate.gate.bias[2] = 1e4
    with pytest.raises(RemovalError, match=r"A unit varies by .* enters 'layers.0.mlp.down'"):
        remove(model, {"layers.0.mlp:sigmoid": [2]}, IDS)
    gate.down = settle(nn.Linear(HIDDEN, WIDTH))
    with pytest.raises(ValueError, match="an output would move"):
        recycle(model, {"layers.0.mlp:sigmoid": [2]}, IDS, generator=gen())


def test_a_chunked_gate_takes_two_outputs_of_one_layer():
    model = settle(nn.Sequential(ChunkedGLU(5, 7)))
    x = data(9, 5)
    silence(model, "0.fc1", [7 + 2, 7 + 6])
    assert {s: r.units for s, r in audit(model, x).sites.items()} == {"0:relu": 7}
    removal = remove(model, {"0:relu": [2, 6]}, x)
    new = removal.model[0]
    assert (new.fc1.out_features, new.fc2.in_features) == (10, 5)
    kept = [0, 1, 3, 4, 5, 7, 8, 10, 11, 12]
    assert torch.equal(new.fc1.weight, model[0].fc1.weight[kept])
    old = model[0].fc1.weight.detach().clone()
    done = recycle(model, {"0:relu": [2, 6]}, x, generator=gen())
    assert done.output_change < 1e-6
    moved = (model[0].fc1.weight != old).any(1).nonzero().flatten().tolist()
    assert moved == [2, 6, 9, 13]
    with pytest.raises(ValueError, match="there is no 7"):
        remove(model, {"0:relu": [7]}, x)


def test_a_split_that_would_not_stay_even_is_refused():
    class Half(ChunkedGLU):
        def forward(self, x):
            a, _ = torch.relu(self.fc1(x)).chunk(2, dim=-1)
            return self.fc2(a)

    model = settle(Half(5, 6))
    silence(model, "fc1", [1, 2, 7])
    with pytest.raises(RemovalError, match="'chunk', whose parts would not stay equal"):
        remove(model, {":relu": [1, 2, 7]}, data(9, 5))
    assert remove(model, {":relu": [1, 7]}, data(9, 5)).model.fc1.out_features == 10


class Inverted(nn.Module):
    """A depthwise convolution between two of 1×1, with an attention over channels."""

    def __init__(self, padding=1, gate=True):
        super().__init__()
        self.expand, self.norm1 = nn.Conv2d(3, 6, 1, bias=False), nn.BatchNorm2d(6)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=padding, groups=6, bias=False)
        self.norm2, self.act1, self.act2 = nn.BatchNorm2d(6), nn.ReLU6(), nn.ReLU6()
        self.squeeze, self.excite, self.gate = nn.Conv2d(6, 2, 1), nn.Conv2d(2, 6, 1), gate
        self.project = nn.Conv2d(6, 3, 1, bias=False)

    def forward(self, x):
        h = self.act2(self.norm2(self.depthwise(self.act1(self.norm1(self.expand(x))))))
        if self.gate:
            s = self.excite(torch.relu(self.squeeze(h.mean((2, 3), keepdim=True))))
            h = h * torch.sigmoid(s)
        return self.project(h)


PICTURES = data(4, 3, 7, 8)


@pytest.mark.parametrize("gate", [True, False])
def test_a_depthwise_convolution_loses_the_filter_with_the_channel(gate):
    model = settle(Inverted(gate=gate))
    with torch.no_grad():
        model.norm1.bias[[1, 4]] = -100.0
        model.norm2.bias[[0, 1, 4]] = -100.0
    removal = remove(model, {"act1": [1, 4], "act2": [0]}, PICTURES)
    new = removal.model
    assert removal.removed == {"act1": [1, 4], "act2": [0]}
    sizes = (new.depthwise.groups, new.depthwise.in_channels, new.depthwise.out_channels)
    assert sizes == (3, 3, 3)
    assert new.depthwise.weight.shape == (3, 1, 3, 3)
    assert (new.expand.out_channels, new.norm1.num_features, new.norm2.num_features) == (3, 3, 3)
    if gate:
        assert (new.squeeze.in_channels, new.excite.out_channels) == (3, 3)
    filters = model.depthwise.weight.detach().clone()
    done = recycle(model, {"act2": [0]}, PICTURES, generator=gen())
    assert done.sites[0].with_it == (("excite", "depthwise") if gate else ("depthwise",))
    assert (model.depthwise.weight[0] != filters[0]).all()
    assert torch.equal(model.depthwise.weight[1:], filters[1:])


def test_a_constant_other_than_0_does_not_come_through_a_padded_depthwise_convolution():
    model = settle(Inverted(gate=False))
    with torch.no_grad():
        model.norm1.bias[2] = 100.0  # 6 on every input, and less of it at the border
        model.norm2.bias[2] = 0.0
    with pytest.raises(RemovalError, match=r"A unit varies by .* enters 'project'"):
        remove(model, {"act1": [2]}, PICTURES)
    model.depthwise.padding = (0, 0)
    removal = remove(model, {"act1": [2]}, PICTURES)
    assert removal.new_biases == ("project",)


class BatchNormAct(nn.BatchNorm2d):
    """A batch norm with its activation inside, as timm's."""

    def __init__(self, channels, act):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), act

    def forward(self, x):
        torch._assert(x.ndim == 4, "an image is wanted")
        h = F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.1, self.eps
        )
        return self.act(self.drop(h))


@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh])
def test_a_batch_norm_with_an_activation_inside_is_looked_into(act):
    layers = (nn.Conv2d(3, 6, 3), BatchNormAct(6, act()), nn.Conv2d(6, 2, 1, bias=False))
    model = settle(nn.Sequential(*layers))
    with torch.no_grad():
        model[1].bias[[2, 3]] = -100.0
    assert list(audit(model, PICTURES).sites) == surgery.sites(model) == ["1.act"]
    removal = remove(model, {"1.act": [2, 3]}, PICTURES)
    new = removal.model
    assert (new[0].out_channels, new[1].num_features, new[2].in_channels) == (4, 4, 4)
    assert new[1].running_mean.shape == new[1].weight.shape == (4,)
    if act is nn.ReLU:
        recycle(model, {"1.act": [2, 3]}, PICTURES, generator=gen())
        norm = model[1]
        assert (norm.bias[2], norm.running_var[3], norm.weight[2]) == (0, 1, 1)


def test_a_batch_norm_that_cannot_be_looked_into_is_not_trusted():
    class Odd(nn.BatchNorm2d):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else -x

    model = settle(nn.Sequential(nn.Conv2d(3, 6, 1), Odd(6), nn.ReLU(), nn.Conv2d(6, 2, 1)))
    with pytest.raises(RemovalError, match="come from module '1'"):
        remove(model, {"2": [1]}, PICTURES)


def test_a_mask_of_the_places_lets_units_go_alone():
    class Masked(ChunkedGLU):
        def forward(self, x):
            h = torch.relu(self.fc1(x)) * (x.sum(-1, keepdim=True) > 0)
            return self.fc2(h[..., :6])

    model = settle(Masked(5, 6))
    model.fc1 = nn.Linear(5, 6)
    silence(model, "fc1", [3])
    assert remove(model, {":relu": [3]}, data(4, 9, 5)).removed == {":relu": [3]}


# One refused site, and the rest


def two_sites():
    model = settle(
        nn.Sequential(*(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU()), nn.Linear(5, 2))
    )
    silence(model, "0", [1])
    return model


def test_what_can_be_removed_is_and_the_rest_is_listed():
    model, x = two_sites(), data(30, 4)
    removal = remove(model, {"1": [1], "3": [0]}, x)
    assert removal.removed == {"1": [1]}
    assert list(removal.kept) == ["3"]
    assert removal.kept["3"].startswith("unit 0 of site '3' varies")
    assert removal.model[2].weight.shape == (5, 5)
    first, went, stayed = str(removal).splitlines()
    assert first.startswith("1 unit removed: ")
    assert went == "'1': 1 unit removed"
    assert stayed.startswith("'3': kept, unit 0 of site '3' varies")
    with pytest.raises(RemovalError, match="unit 0 of site '3' varies"):
        remove(model, {"1": [1], "3": [0]}, x, strict=True)
    with pytest.raises(RemovalError, match=r"unit 2 of site '1' varies.*\(1 more site cannot"):
        remove(model, {"1": [2], "3": [0]}, x)
    with pytest.raises(ValueError, match="there is no site '9'"):
        remove(model, {"1": [1], "9": [0]}, x)


def test_a_site_that_misses_the_tolerance_is_kept_and_the_others_go():
    model, x = two_sites(), data(30, 4)
    call = {"tolerance": 1e-5, "allow_live": True}
    removal = remove(model, {"1": [1], "3": [0]}, x, **call)
    assert (list(removal.removed), list(removal.kept)) == (["1"], ["3"])
    assert "an output differs" in removal.kept["3"]
    with pytest.raises(RemovalError, match="an output differs"):
        remove(model, {"1": [1], "3": [0]}, x, strict=True, **call)
    with pytest.raises(RemovalError, match=r"differs.*\(1 more site cannot"):
        remove(model, {"1": [2], "3": [0]}, x, **call)


def test_sites_that_would_empty_a_layer_together_are_kept_in_part():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.out = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x):
            z = self.a(x)
            return self.out(torch.cat([torch.relu(z), F.hardtanh(z, 0.0, 1.0)], 1))

    model = settle(Both())
    silence(model, "a", [0, 1])
    removal = remove(model, {":relu": [0], ":hardtanh": [1]}, data(9, 4))
    assert removal.removed == {":relu": [0]}
    assert "are to go" in removal.kept[":hardtanh"]


def test_what_can_be_recycled_is_and_the_rest_is_listed():
    model, x = two_sites(), data(30, 4)
    alone = copy.deepcopy(model)
    recycle(alone, {"1": [1]}, x, generator=gen(3))
    done = recycle(model, {"1": [1], "3": [0]}, x, generator=gen(3))
    assert [site.name for site in done.sites] == ["1"]
    assert "an output would move" in done.kept["3"]
    assert "'3': left as it is, an output would move" in str(done)
    for a, b in zip(model.parameters(), alone.parameters(), strict=True):
        assert torch.equal(a, b)  # the same draws as for the one site alone
    model = two_sites()
    state = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="an output would move"):
        recycle(model, {"1": [1], "3": [0]}, x, generator=gen(), strict=True)
    with pytest.raises(ValueError, match="an output would move"):
        recycle(model, {"1": [2], "3": [0]}, x, generator=gen())
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_a_reader_without_a_bias_keeps_its_own_site_only():
    layers = (nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 2))
    model = settle(nn.Sequential(*layers))
    silence(model, "0", [1])
    with torch.no_grad():
        model[2].weight[2] = 0.0
    done = recycle(model, {"1": [1], "3": [2]}, data(9, 3), generator=gen())
    assert [site.name for site in done.sites] == ["3"]
    assert "no bias" in done.kept["1"]


def test_a_unit_that_is_dead_again_is_reported():
    model = two_sites()
    x = -data(30, 4).abs() - 1.0
    g = gen()
    drawn = torch.rand(2, 4, generator=gen()) * 2 - 1
    silence(model, "0", [1, 3])
    done = recycle(model, {"1": [1, 3]}, x, generator=g)
    again = [u for u, w in zip((1, 3), drawn, strict=True) if not (x @ w > 0).any()]
    assert list(done.sites[0].dead_again) == again
    model = two_sites()
    silence(model, "0", [1])
    done = recycle(model, {"1": [1]}, torch.zeros(5, 4), generator=gen())
    assert done.sites[0].dead_again == (1,)  # whose input is 0
    assert "constant on the data again: 1" in str(done)


# Parts of a model


def test_a_part_that_is_used_elsewhere_is_refused():
    class Shared(Transformer):
        def forward(self, input_ids):
            x = self.embed(input_ids)
            if x.sum() > 1e9:
                return x
            for layer in self.layers:
                x = layer(x)[0]
            return x + self.layers[0].mlp.down(torch.ones(HIDDEN).expand(*x.shape[:2], HIDDEN))

    model = settle(Shared([Layer(WIDTH, SwiGLU(WIDTH, HIDDEN))]))
    silence(model, "layers.0.mlp.gate", [1])
    with pytest.raises(
        RemovalError, match=r"'layers.0.mlp.down' is used outside of 'layers.0.mlp'"
    ):
        remove(model, {"layers.0.mlp:silu": [1]}, IDS)


def test_a_layer_that_is_called_again_and_again_is_one_part():
    """As in ALBERT: units must be constant at every call."""

    class Looped(Transformer):
        def forward(self, input_ids):
            x = self.embed(input_ids)
            for _ in range(3 if x.sum() < 1e9 else 0):
                x = self.layers[0](x)[0]
            return x

    model = settle(Looped([Layer(WIDTH, T5MLP(WIDTH, HIDDEN))]))
    silence(model, "layers.0.mlp.wi", [1])
    removal = remove(model, {"layers.0.mlp.act": [1]}, IDS)
    assert removal.removed == {"layers.0.mlp.act": [1]}


def test_a_part_that_is_called_in_two_ways_is_refused():
    class Ways(Transformer):
        def forward(self, input_ids):
            x = self.embed(input_ids)
            x = self.layers[0](x, scale=1.0 if x.sum() < 1e9 else 0.0)
            return self.layers[0](x, scale=2.0)

    class Scaled(T5MLP):
        def forward(self, x, scale):
            return super().forward(x * scale)

    model = settle(Ways([Scaled(WIDTH, HIDDEN)]))
    silence(model, "layers.0.wi", [1])
    with pytest.raises(RemovalError, match=r"'layers.0' is called in more than one way"):
        remove(model, {"layers.0.act": [1]}, IDS)


def test_what_cannot_be_found_in_a_model_that_cannot_be_traced():
    model, sites, _ = transformer("opt")
    with pytest.raises(ValueError, match=r"no site 'layers.7.act': the model has no module"):
        remove(model, {"layers.7.act": [0]}, IDS)
    with pytest.raises(RemovalError, match=r"cannot trace Transformer"):
        remove(model, {"layers.0:elu": [0]}, IDS)
    with pytest.raises(TypeError, match="no index of a unit"):
        remove(model, {sites[0]: [0.5]}, IDS)
    with pytest.raises(RemovalError, match=r"all 12 units of site 'layers.0.activation'"):
        remove(model, {sites[0]: range(12)}, IDS)


def test_tied_weights_in_a_part_are_refused():
    model, sites, _ = transformer("swiglu")
    silence(model, "layers.0.mlp.gate", [1])
    model.layers[1].mlp.up.weight = model.layers[0].mlp.up.weight
    with pytest.raises(RemovalError, match=r"'layers.0.mlp.up.weight' is shared"):
        remove(model, {sites[0]: [1]}, IDS)
