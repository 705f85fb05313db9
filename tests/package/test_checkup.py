"""The checkup: each sickness by itself named and no other, healthy models not, nothing changed."""

import copy
import json
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mlpinit
from mlpinit.models import findings as rules
from mlpinit.models.checkup import checkup
from mlpinit.models.findings import trend


def batch(n=128, features=30, classes=10, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, features, generator=g), torch.randint(classes, (n,), generator=g)


def mlp(depth=2, act=nn.ReLU, gain=2**0.5, width=100, features=30, out=10):
    """Weights of that gain, biases 0, and a quiet output."""
    layers, n = [], features
    for _ in range(depth):
        layer = nn.Linear(n, width)
        nn.init.normal_(layer.weight, std=gain / n**0.5)
        nn.init.zeros_(layer.bias)
        layers += [layer, act()]
        n = width
    last = nn.Linear(n, out)
    nn.init.normal_(last.weight, std=0.1 / n**0.5)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


def look(model, data=None, loss=F.cross_entropy, **options):
    return checkup(model, batch() if data is None else data, loss, **options)


# Healthy


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(x + self.bn2(self.conv2(y)), inplace=True)


class Residual(nn.Module):
    def __init__(self, blocks=5):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(16) for _ in range(blocks)))
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.place = nn.Embedding(50, 32), nn.Parameter(0.02 * torch.randn(12, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 50)

    def forward(self, x):
        return self.head(self.norm(self.encoder(self.embed(x) + self.place)))


def cnn():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


def tokens(n=40):
    g = torch.Generator().manual_seed(0)
    return torch.randint(50, (n, 12), generator=g), torch.randint(50, (n, 12), generator=g)


def images(n=40):
    X = torch.randn(n, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    return X, batch(n)[1]


def by_token(output, targets):
    return F.cross_entropy(output.flatten(0, 1), targets.flatten())


def zero_head(of=0):
    """Rows of zeros are equal, and so are the gradients of classes that the batch has not."""
    model = mlp()
    nn.init.zeros_(model[-1].weight[of:])
    return model


HEALTHY = {
    "torch's own MLP": (
        lambda: nn.Sequential(
            nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
        ), batch, F.cross_entropy,
    ),
    "tanh": (lambda: mlp(3, nn.Tanh, 5 / 3), batch, F.cross_entropy),
    "deep ReLU by He": (lambda: mlp(20), batch, F.cross_entropy),
    "CNN": (cnn, images, F.cross_entropy),
    "residual net": (Residual, images, F.cross_entropy),
    "transformer": (Transformer, tokens, by_token),
    "LSTM": (
        lambda: Last(nn.LSTM(30, 20, batch_first=True)),
        lambda: (batch()[0][:, None].expand(-1, 6, -1).contiguous(), batch(classes=20)[1]),
        F.cross_entropy,
    ),
    "a head of zeros": (zero_head, batch, F.cross_entropy),
    "classes that are new": (lambda: zero_head(3), lambda: batch(8, classes=3), F.cross_entropy),
}  # fmt: skip


class Last(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0][:, -1]


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("rate", [None, 1e-3])
def test_healthy_models_have_no_finding(name, rate):
    make, data, loss = HEALTHY[name]
    model = make()
    optimizer = None if rate is None else torch.optim.Adam(model.parameters(), rate)
    found = look(model, data(), loss, optimizer=optimizer)
    assert found.healthy, str(found)
    assert "Healthy" in str(found)
    assert found.layers
    assert (found.optimizer == "Adam") == (rate is not None)


# Sick, each in one way


def with_bias(model, value):
    for layer in model:
        if isinstance(layer, nn.Linear) and layer.out_features == 100:
            nn.init.constant_(layer.bias, value)
    return model


def scaled(model, layer, by):
    with torch.no_grad():
        model[layer].weight.mul_(by)
    return model


def constant(model, value):
    for p in model.parameters():
        nn.init.constant_(p, value)
    return model


class Tenth(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g / 10


class Weakened(nn.Module):
    def forward(self, x):
        return Tenth.apply(x).relu()


def pixels():
    X, Y = batch()
    return 255 * torch.sigmoid(X), Y


SICK = {
    "inputs of 0 to 255": (mlp, pixels, "inputs not normalised"),
    "inputs off centre": (
        mlp, lambda: (batch()[0] * 0.01 + 5, batch()[1]), "inputs not normalised"
    ),
    "inputs of nothing": (
        mlp, lambda: (batch()[0] * 1e-4, batch()[1]), "inputs not normalised"
    ),
    "one feature in other units": (
        mlp, lambda: (batch()[0] * torch.tensor([3e3] + 29 * [1.0]), batch()[1]),
        "inputs not normalised",
    ),
    "all weights the same": (lambda: constant(mlp(), 0.01), batch, "symmetric units"),
    "all weights 0": (lambda: constant(mlp(), 0.0), batch, "symmetric units"),
    "gain too large": (lambda: mlp(12, gain=2.5), batch, "signal grows"),
    "gain too small": (lambda: mlp(12, gain=0.577), batch, "signal shrinks"),
    "small tanh": (lambda: mlp(12, nn.Tanh, 0.577), batch, "signal shrinks"),
    "sigmoids": (lambda: mlp(12, nn.Sigmoid, 1.0), batch, "signal shrinks"),
    "saturated tanh": (lambda: mlp(2, nn.Tanh, 5.5), batch, "saturated"),
    "dead ReLUs": (lambda: with_bias(mlp(1), -8.0), batch, "dead at the start"),
    "many dead ReLUs": (lambda: half(mlp(1), -8.0), batch, "dead at the start"),
    "stuck tanh": (lambda: half(mlp(1, nn.Tanh, 1.0), 20.0), batch, "dead at the start"),
    "sure of itself": (lambda: scaled(mlp(), -1, 60), batch, "loss above chance"),
    "chaotic tanh": (lambda: mlp(60, nn.Tanh, 2.2), batch, "gradients explode"),
    "weakened gradients": (lambda: mlp(6, Weakened), batch, "gradients vanish"),
    "infinite weight": (lambda: scaled(mlp(), 0, float("inf")), batch, "not finite"),
    "a NaN in the data": (
        mlp, lambda: (batch()[0].log(), batch()[1]), "not finite"
    ),
}  # fmt: skip


def half(model, bias):
    with torch.no_grad():
        model[0].bias[:50] = bias
    return model


@pytest.mark.parametrize("name", SICK)
def test_each_sickness_is_named_and_no_other(name):
    make, data, sickness = SICK[name]
    found = look(make(), data())
    assert found.named() == (sickness,), str(found)
    first = found.findings[0]
    assert first.name == sickness
    for sentence in (first.what, first.evidence, first.change):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert "nan" not in sentence
    assert any(digit in first.evidence for digit in "0123456789")


@pytest.mark.parametrize(("rate", "sickness"), [(0.1, "large"), (1e-9, "small")])
def test_a_learning_rate_far_off_is_named(rate, sickness):
    model = mlp()
    found = look(model, optimizer=torch.optim.Adam(model.parameters(), rate))
    assert found.named() == (f"updates too {sickness}",)
    assert f"{rate:.2g}" in found.findings[0].change


def test_every_sickness_has_been_met():
    met = {sickness for _, _, sickness in SICK.values()}
    rest = set(rules.KINDS) - met
    assert rest == {"updates too large", "updates too small", "no gradient"}


def test_no_gradient_has_a_name_of_its_own():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.gate = mlp(), nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return self.net(x) * self.gate * self.gate

    assert look(Gated()).named() == ("no gradient",)


def test_the_gain_that_is_proposed_mends_the_signal():
    found = look(mlp(12, gain=0.577)).findings[0]
    assert "to a gain of 1.4" in found.change
    assert "gains.forward_gain gives 1.41" in found.change
    assert look(mlp(12, gain=1.414)).healthy


def test_a_change_as_proposed_heals_a_sure_model():
    model = scaled(mlp(), -1, 60)
    assert "Multiply the last layer's weights by" in look(model).findings[0].change
    assert look(scaled(model, -1, 0.01)).healthy


def test_what_may_come_of_a_sickness_stands_after_it():
    found = look(mlp(12, gain=0.577))
    assert [f.after for f in found.findings] == ["", "signal shrinks"]
    assert "may come of: signal shrinks" in str(found)


# The measurements


def test_layers_are_measured_as_by_hand():
    model, (X, Y) = mlp(2), batch()
    with torch.no_grad():  # a mean other than 0, for the two measures to differ
        model[0].bias.fill_(0.5)
    adam = torch.optim.SGD(model.parameters(), 0.1)
    layers = look(model, (X, Y), optimizer=adam).layers
    assert [x.name for x in layers] == ["0", "2", "4"]
    assert [x.fan_in for x in layers] == [30, 100, 100]
    z = model[0](X)
    z.retain_grad()
    F.cross_entropy(model[1:](z), Y).backward()
    first = layers[0]
    assert first.gain == pytest.approx(model[0].weight.std(correction=0).item() * 30**0.5)
    assert first.rms == pytest.approx(z.square().mean().sqrt().item(), rel=1e-5)
    assert first.signal == pytest.approx(z.var(0, correction=0).mean().sqrt().item(), rel=1e-5)
    assert first.rms > 1.02 * first.signal
    assert first.gradient == pytest.approx(z.grad.norm().item(), rel=1e-5)
    g, w = model[0].weight.grad, model[0].weight
    assert first.weight_gradient == pytest.approx((g.norm() / w.norm()).item(), rel=1e-5)
    ratio = 0.1 * g.std(correction=0) / w.std(correction=0)
    assert first.update == pytest.approx(ratio.item(), rel=1e-3)


def test_channels_of_a_convolution_are_its_units():
    found = look(cnn(), images())
    assert [(x.units, x.fan_in) for x in found.layers] == [(16, 27), (32, 144), (10, 32)]


class Conv1D(nn.Module):
    """As transformers has it: x @ W + b, the units along axis 1."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight = nn.Parameter(0.1 * torch.randn(n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x):
        return x @ self.weight + self.bias


def test_fan_in_is_what_a_unit_adds_up():
    model = nn.Sequential(
        nn.ConvTranspose2d(3, 8, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=4), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), Conv1D(8, 20), nn.ReLU(), nn.Linear(20, 10),
    )  # fmt: skip
    layers = look(model, images()).layers
    assert [(x.units, x.fan_in) for x in layers] == [(8, 12), (8, 18), (20, 8), (10, 20)]
    nn.init.constant_(model[6].weight, 0.1)
    nn.init.constant_(model[8].weight, 0.1)
    found = look(model, images())
    assert found.named() == ("symmetric units",)
    assert found.findings[0].where == ("6",)
    assert [x.copies for x in found.layers] == [0, 0, 20, 0]


def test_a_sparse_gradient_is_a_gradient():
    model = nn.Sequential(nn.Embedding(50, 30, sparse=True), nn.Flatten(), nn.Linear(12 * 30, 10))
    X = tokens()[0]
    first, _ = look(model, (X, batch(40)[1])).layers
    assert (first.kind, first.fan_in) == ("Embedding", 1)
    F.cross_entropy(model(X), batch(40)[1]).backward()
    weight = model[0].weight
    ratio = weight.grad.to_dense().norm() / weight.norm()
    assert first.weight_gradient == pytest.approx(ratio.item(), rel=1e-5)


def test_what_gives_no_numbers_is_no_layer():
    class Odd(nn.Module):
        def __init__(self, gives):
            super().__init__()
            self.weight, self.gives = nn.Parameter(torch.zeros(2, 2)), gives

        def forward(self, x):
            return self.gives(x)

    model = nn.ModuleList(
        [Odd(lambda x: None), Odd(lambda x: x > 0), Odd(lambda x: [{"h": x}]), nn.Linear(30, 10)]
    )
    found = look(model, call=lambda m, x: [part(x) for part in m][-1])
    assert [x.name for x in found.layers] == ["2", "3"]


def test_layers_that_share_no_name_are_a_chain_by_their_kind():
    model = mlp(4, gain=0.05)
    names = ("one", "act", "two", "bct", "three", "cct", "four", "dct", "last")
    named = nn.Sequential()
    for name, module in zip(names, model, strict=True):
        named.add_module(name, module)
    found = look(named)
    assert found.named() == ("signal shrinks",)
    assert found.findings[0].where == ("one", "two", "three", "four")


def test_an_activation_that_has_no_gain_here_is_not_quoted():
    found = look(mlp(12, nn.Hardswish, 0.577)).findings[0]
    assert found.name == "signal shrinks"
    assert "gains." not in found.change


def test_a_gradient_is_that_before_a_relu_in_place():
    X, Y = images()
    inplace, plain = cnn(), cnn()
    plain.load_state_dict(inplace.state_dict())
    for module in inplace:
        if isinstance(module, nn.ReLU):
            module.inplace = True
    a, b = (look(model, (X, Y)).layers for model in (inplace, plain))
    assert [x.gradient for x in a] == pytest.approx([x.gradient for x in b], rel=1e-5)


def test_a_forward_may_take_a_gradient_of_its_own():
    class Force(nn.Module):
        """The negative gradient of an energy."""

        def __init__(self):
            super().__init__()
            self.energy = mlp(2, nn.Tanh, 1.0, out=1)

        def forward(self, x):
            x = x.clone().requires_grad_()
            return -torch.autograd.grad(self.energy(x).sum(), x, create_graph=True)[0]

    X, _ = batch()
    with torch.no_grad():  # whatever the mode around it
        found = look(Force(), (X, torch.randn_like(X)), F.mse_loss)
    assert found.chance.kind == "squared error"
    assert len(found.sites.sites) == 2


def test_a_layer_used_twice_is_two():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(30, 30), nn.Linear(30, 10)

        def forward(self, x):
            return self.b(self.a(self.a(x).tanh()).tanh())

    assert [x.name for x in look(Twice()).layers] == ["a", "a#2", "b"]


def test_a_checkpointed_part_is_counted_once():
    from torch.utils.checkpoint import checkpoint

    class Saving(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.head = mlp(3, out=20), nn.Linear(20, 10)

        def forward(self, x):
            return self.head(checkpoint(self.net, x, use_reentrant=False))

    assert len(look(Saving()).layers) == 5


def test_trend_by_hand():
    assert trend([1.0, 10.0, 100.0]) == pytest.approx((10.0, 100.0))
    assert trend([1.0, 0.0, 4.0, 8.0]) == pytest.approx((2.0, 8.0))
    assert trend([1.0, 2.0]) == (1.0, 1.0)


# Chance


def chance_of(loss, output, targets):
    from mlpinit.models.chance import chance

    return chance(loss, loss(output, targets).item(), output, (None, targets))


def test_chance_of_classes_and_of_their_frequencies():
    logits, labels = torch.randn(6, 4), torch.tensor([0, 0, 0, 1, 1, 2])
    found = chance_of(F.cross_entropy, logits, labels)
    assert found.kind == "cross-entropy"
    assert found.classes == 4
    assert found.value == pytest.approx(np.log(4))
    p = np.array([3, 2, 1]) / 6
    assert found.known == pytest.approx(-(p * np.log(p)).sum())
    assert found.logits_std == pytest.approx(logits.std(1, correction=0).mean().item())
    assert found.confidence == pytest.approx(logits.softmax(1).amax(1).mean().item())


@pytest.mark.parametrize(
    ("loss", "shape", "labels"),
    [
        (F.cross_entropy, (6, 4), (6,)),
        (F.cross_entropy, (6, 4, 5), (6, 5)),
        (by_token, (6, 5, 4), (6, 5)),
        (lambda o, t: by_token(o[:, :-1], t[:, 1:]), (6, 5, 4), (6, 5)),
        (lambda o, t: F.nll_loss(o.log_softmax(1), t), (6, 4), (6,)),
        (nn.CrossEntropyLoss(label_smoothing=0.1), (6, 4), (6,)),
        (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0, 4.0])), (6, 4), (6,)),
    ],
)
def test_cross_entropy_is_known_by_its_value(loss, shape, labels):
    output, targets = torch.randn(shape), torch.randint(4, labels)
    if "nll" in str(getattr(loss, "__code__", "")):
        output = output.log_softmax(1)
    found = chance_of(loss, output, targets)
    assert (found.kind, found.classes) == ("cross-entropy", 4)


def test_labels_that_are_not_counted_are_left_out():
    output, targets = torch.randn(6, 4), torch.tensor([0, 1, -100, -100, 0, 1])
    assert chance_of(F.cross_entropy, output, targets).known == pytest.approx(np.log(2))


def test_chance_of_two():
    output, targets = torch.randn(8, 1), (torch.arange(8) % 4 == 0).float()[:, None]
    for loss, given in (
        (F.binary_cross_entropy_with_logits, output),
        (F.binary_cross_entropy, output.sigmoid()),
    ):
        found = chance_of(loss, given, targets)
        assert found.kind == "binary cross-entropy"
        assert found.value == pytest.approx(np.log(2))
        assert found.known == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)), rel=1e-5)
        assert found.logits_std == pytest.approx(output.square().mean().sqrt().item(), rel=1e-4)


def test_chance_of_a_squared_error_is_the_best_constant():
    output, targets = torch.randn(50, 3), torch.randn(50, 3) + torch.tensor([0.0, 5.0, 9.0])
    found = chance_of(F.mse_loss, output, targets)
    constant = targets.mean(0).expand(50, 3)
    assert found.kind == "squared error"
    assert found.value == pytest.approx(F.mse_loss(constant, targets).item(), rel=1e-5)


def test_targets_far_from_0_are_named():
    X, _ = batch()
    Y = 50 + torch.randn(len(X), 1, generator=torch.Generator().manual_seed(1))
    found = look(mlp(out=1), (X, Y), F.mse_loss)
    assert found.named() == ("loss above chance",)
    assert "Standardise the targets" in found.findings[0].change
    assert look(mlp(out=1), (X, Y - 50), F.mse_loss).healthy


def test_outputs_and_labels_lie_in_many_ways():
    from mlpinit.models.chance import chance, logits_of

    logits, labels = torch.randn(6, 4), torch.randint(4, (6,))
    value = F.cross_entropy(logits, labels).item()
    for output in (logits, (logits,), {"out": logits}, {"x": 1, "logits": logits}):
        assert chance(None, value, output, (None, labels)).classes == 4
        assert chance(None, value, output, {"x": 0, "label": labels}).classes == 4
    assert logits_of(labels) is logits_of(None) is logits_of({"logits": 3}) is None
    assert "not finite" in chance(None, float("nan"), logits, (None, labels)).why
    assert chance(None, value, logits, (None, labels + 4)).kind == ""
    assert chance(None, value, logits, (None, torch.full((6,), -100))).kind == ""
    binary = chance(None, 9.9, torch.rand(6), (None, torch.ones(6)))
    assert binary.kind == ""
    X, Y = torch.randn(6), torch.randn(6)
    flat = chance(None, F.mse_loss(X, Y).item(), X, (None, Y))
    assert flat.value == pytest.approx(Y.var(correction=0).item())
    truth = (Y > 0).float()
    two = chance(None, F.binary_cross_entropy_with_logits(X, truth).item(), X, (None, truth))
    p = truth.mean().item()
    assert two.known == pytest.approx(-p * np.log(p) - (1 - p) * np.log(1 - p), rel=1e-5)


def test_chance_of_two_and_of_squares_is_told_on_the_first_line():
    X, _ = batch()
    regression = look(mlp(out=1), (X, X[:, :1]), F.mse_loss)
    assert f"by chance {X[:, 0].var(correction=0).item():.4g}." in str(regression)
    assert "nats" not in str(regression)


def test_what_cannot_be_known_is_said():
    found = look(mlp(), loss=lambda output, targets: output.square().mean())
    assert found.chance.value is None
    assert any("cannot be known" in remark for remark in found.remarks)
    alone = look(mlp(), (batch()[0], None), loss=lambda output, targets: output.square().mean())
    assert "no tensor of targets" in str(alone)


# Remarks


def test_frozen_unused_and_forgotten_parameters_are_told_apart():
    model = Last(mlp())
    model.spare = nn.Linear(3, 3)
    model.layer[0].bias.requires_grad_(False)
    optimizer = torch.optim.SGD([model.layer[0].weight], 0.1)
    found = look(model, optimizer=optimizer, call=lambda model, inputs: model.layer(inputs))
    assert found.healthy
    told = " ".join(found.remarks)
    assert "Frozen, as they do not require a gradient: layer.0.bias." in told
    assert "without a gradient: spare.weight, spare.bias." in told
    missing = "layer.2.weight, layer.2.bias, layer.4.weight and 1 more"
    assert f"Not among the parameters of SGD: {missing}." in told
    assert "units were not looked for: no forward pass of Last was made" in told


def test_a_zero_gradient_is_a_remark():
    found = look(zero_head())
    assert found.healthy
    assert any("gradient of exactly 0" in remark for remark in found.remarks)


def test_a_loss_far_below_chance_is_a_remark():
    _X, Y = batch()
    model = nn.Linear(10, 10, bias=False)
    with torch.no_grad():
        model.weight.copy_(6 * torch.eye(10))
    found = look(model, (F.one_hot(Y, 10).float(), Y))
    assert any("below chance" in remark for remark in found.remarks)
    assert any("applied no activation" in remark for remark in found.remarks)


# Nothing is changed


class Everything(nn.Module):
    """Batch norm, dropout, a counter, an embedding that renormalises, a part in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(27, 30, max_norm=1.0)
        self.net = nn.Sequential(
            nn.Linear(30, 40), nn.BatchNorm1d(40), nn.ReLU(), nn.Dropout(), nn.Linear(40, 10)
        )
        self.frozen, self.steps = nn.BatchNorm1d(10), 0
        self.register_buffer("seen", torch.zeros(()))
        self.frozen.eval()

    def forward(self, x):
        self.steps += 1
        self.seen = self.seen + 1  # another tensor
        setattr(self, f"cache{self.steps}", x)
        random.random()
        np.random.rand()
        return self.frozen(self.net(self.embed(x)))


def state(model, optimizer):
    return copy.deepcopy(
        {
            "numbers": model.state_dict(),
            "modes": [m.training for m in model.modules()],
            "attributes": [sorted(m.__dict__) for m in model.modules()],
            "steps": model.steps,
            "gradients": [p.grad for p in model.parameters()],
            "optimizer": optimizer.state_dict(),
            "torch": torch.get_rng_state(),
            "python": random.getstate(),
            "numpy": str(np.random.get_state()),
            "hooks": [len(m._forward_hooks) for m in model.modules()],
        }
    )


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_nothing_is_changed(training, fails):
    model = Everything()
    if not training:
        model.eval()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    X, Y = torch.randint(27, (64,)), torch.randint(10, (64,))
    F.cross_entropy(model(X), Y).backward()
    optimizer.step()  # it has a state of its own, and the parameters gradients
    before, tensors = state(model, optimizer), [id(t) for t in model.state_dict().values()]
    seen = []

    def loss(output, targets):
        seen.append(model.training)
        if fails:
            raise ZeroDivisionError
        return F.cross_entropy(output, targets)

    if fails:
        with pytest.raises(ZeroDivisionError):
            look(model, (X, Y), loss, optimizer=optimizer)
    else:
        look(model, (X, Y), loss, optimizer=optimizer)
    assert seen == [True], "the first step is made in training mode"
    assert model.frozen.training is False
    assert same(before, state(model, optimizer))
    assert len(tensors) == len(model.state_dict())


def test_a_state_that_differs_is_told():
    """The comparison above can fail."""
    model = Everything()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    before = state(model, optimizer)
    model(torch.randint(27, (64,)))
    after = state(model, optimizer)
    different = {key for key in before if not same(before[key], after[key])}
    assert different >= {"numbers", "attributes", "steps", "python", "numpy", "torch"}


def test_both_passes_draw_the_same():
    X, Y = batch()
    seen = []
    model = nn.Sequential(nn.Linear(30, 40), nn.ReLU(), nn.Dropout(), nn.Linear(40, 10))
    model[3].register_forward_hook(lambda m, args, out: seen.append(out.detach()))
    look(model, (X, Y))
    assert len(seen) == 2
    assert torch.equal(*seen)


def test_a_graph_that_was_there_can_still_be_followed():
    model, (X, Y) = mlp(), batch()
    loss = F.cross_entropy(model(X), Y)
    look(model)
    loss.backward()


# What goes in


def test_a_mapping_goes_in_by_name():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x, labels=None, scale=1.0):
            logits = self.net(scale * x)
            return {"loss": F.cross_entropy(logits, labels), "logits": logits}

    model, (X, Y) = Named(), batch()
    found = checkup(model, {"x": X, "labels": Y}, lambda output, batch: output["loss"])
    assert found.healthy
    assert found.chance.classes == 10
    assert [i.name for i in found.inputs] == ["x"]
    pair = checkup(model, ({"x": X, "labels": Y}, Y), lambda o, y: F.cross_entropy(o["logits"], y))
    assert pair.loss == found.loss


def test_several_inputs_go_in_in_order_and_call_does_the_rest():
    X, Y = batch()
    model = nn.Bilinear(30, 30, 10)
    assert checkup(model, ((X, X), Y), F.cross_entropy).layers[0].kind == "Bilinear"
    found = look(mlp(), call=lambda model, inputs: model(inputs / 2))
    assert found.layers[0].rms == pytest.approx(look_rms() / 2, rel=0.1)


def look_rms():
    torch.manual_seed(0)
    return look(mlp()).layers[0].rms


def test_inputs_are_measured_and_a_norm_before_all_takes_them_as_they_come():
    found = look(mlp(), pixels())
    (told,) = found.inputs
    X = pixels()[0].double()
    assert told.mean == pytest.approx(X.mean().item())
    assert told.std == pytest.approx(X.std(correction=0).item())
    assert told.largest == X.max().item()
    assert look(nn.Sequential(nn.BatchNorm1d(30), mlp()), pixels()).healthy


WRONG = [
    (lambda: checkup(3, batch(), F.cross_entropy), TypeError, "wanted a torch.nn.Module"),
    (lambda: checkup(mlp(), batch()[0], F.cross_entropy), TypeError, r"batch is a Tensor; wanted"),
    (lambda: checkup(mlp(), (1, 2, 3), F.cross_entropy), TypeError, "batch is a tuple of 3"),
    (lambda: checkup(mlp(), batch(), "mse"), TypeError, "loss is 'mse'; wanted a function"),
    (lambda: look(nn.Sequential(nn.LazyLinear(3))), ValueError, "0.weight has no shape yet"),
    (
        lambda: look(mlp(), optimizer=torch.optim.SGD(mlp().parameters(), 0.1)),
        ValueError, "holds none of the model's parameters",
    ),
    (
        lambda: look(mlp(), loss=lambda o, t: F.cross_entropy(o, t, reduction="none")),
        ValueError, r"loss returned \(128,\); wanted a tensor of one number",
    ),
    (lambda: look(mlp(), loss=lambda o, t: 0.5), ValueError, "loss returned float"),
    (lambda: look(mlp().requires_grad_(False)), ValueError, "does not depend on any parameter"),
    (
        lambda: checkup(mlp(), {"y": batch()[0]}, F.cross_entropy),
        TypeError, "Sequential does not take this batch .* call=lambda",
    ),
    (lambda: look(torch.compile(mlp(), backend="eager")), ValueError, "_orig_mod"),
]  # fmt: skip


@pytest.mark.parametrize(("run", "error", "told"), WRONG)
def test_what_cannot_be_done_is_said(run, error, told):
    with pytest.raises(error, match=told):
        run()


def test_an_optimiser_that_needs_a_closure_is_a_note():
    model = mlp()
    found = look(model, optimizer=torch.optim.LBFGS(model.parameters()))
    assert "first step was not measured" in str(found)
    assert all(x.update is None for x in found.layers)


# What is shown


@pytest.mark.parametrize("sick", [True, False])
def test_text_page_and_figure(sick):
    model = mlp(12, gain=0.577) if sick else mlp()
    found = look(model, optimizer=torch.optim.Adam(model.parameters()))
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    html = found._repr_html_()
    for f in found.findings:
        assert f.name.capitalize() in text
        assert f.name.capitalize() in html
    assert html.count("<tr>") == 1 + len(found.layers)
    fig = found.figure()
    assert [ax.get_title(loc="left") or ax.get_title() for ax in fig.axes] == [
        "Signal", "Gradient", "First step", "Flat"
    ]  # fmt: skip
    (drawn,) = (line for line in fig.axes[0].lines)
    assert list(drawn.get_ydata()) == [x.signal for x in found.layers]


def test_many_layers_are_shortened():
    found = look(mlp(40))
    assert "and 17 more; checkup.layers has all" in str(found)
    assert "<p>and 17 more</p>" in found._repr_html_()


def test_it_goes_into_json_and_says_what_it_found():
    for model in (mlp(), scaled(mlp(), 0, float("inf"))):
        plain = json.loads(json.dumps(look(model).to_dict(), allow_nan=False))
        assert plain["healthy"] == (not plain["findings"])
        assert len(plain["layers"]) == 3
    assert plain["findings"][0]["name"] == "not finite"
    assert plain["loss"] is None


def test_the_package_s_own_name_is_lazy():
    assert mlpinit.checkup is checkup
    with pytest.raises(AttributeError, match="has no attribute 'chekup'"):
        _ = mlpinit.chekup
    code = "import mlpinit, sys; assert 'torch' not in sys.modules; mlpinit.checkup"
    subprocess.run([sys.executable, "-c", code], check=True)


# The twenty of `benchmarks/models_healthy.py`


def test_the_twenty_healthy_models_are_inside_the_thresholds():
    from importlib import resources

    path = resources.files("mlpinit") / "data" / "healthy_models.json"
    kept = json.loads(path.read_text(encoding="utf-8"))["models"]
    assert len(kept) == 20
    for name, rows in kept.items():
        assert len(rows) == 3, name
        for row in rows:
            assert row["found"] == [], name
            assert row["excess"] < rules.CONFIDENT, name
            assert max(row["signal"], row["rms"]) < rules.SIGNAL_FACTOR, name
            assert row["gradient"] < rules.GRADIENT_FACTOR, name
            assert row["flat"] < rules.SATURATED, name
            assert rules.SMALL_UPDATE < 10 ** row["update"] < rules.LARGE_UPDATE, name


@pytest.mark.parametrize("name", ["torchvision resnet18", "timm vit_tiny", "transformers BERT"])
def test_models_of_other_people_s_are_healthy(name):
    """Where their library is installed; the book does without."""
    import runpy
    from pathlib import Path

    pytest.importorskip(name.split()[0])
    here = Path(__file__).parents[2] / "benchmarks" / "models_healthy.py"
    bench = runpy.run_path(str(here))
    (full,) = (known for known in bench["MODELS"] if known.startswith(name))
    found = bench["look"](full, 0)
    assert found.healthy, str(found)
