"""Gates against the cells written out, and the promises of the watch."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlpinit.models import gates
from mlpinit.watch import audit, watch

SIGMOID, TANH = (gates.EDGES[name] for name in ("sigmoid", "tanh"))


def test_the_edges_are_where_the_slope_is_two_per_cent_of_the_largest():
    for edge in SIGMOID:
        assert edge * (1 - edge) == pytest.approx(0.02 * 0.25, rel=1e-4)
    for edge in TANH:
        assert 1 - edge**2 == pytest.approx(0.02, rel=1e-4)


class Last(nn.Module):
    """What a recurrent layer gives, as the model's own."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


def walk(kind, cell, x, h, c=None):
    """The gates of one layer over time, (T, batch, units) each: torch's documentation, by hand."""
    found = {name: [] for name in gates.NAMES[kind]}
    w, u, b, d = cell
    for x_t in x:
        a, r = x_t @ w.T + b, h @ u.T + d
        if kind == "lstm":
            i, f, g, o = (a + r).chunk(4, -1)
            values = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
            c = values[1] * c + values[0] * values[2]
            h = values[3] * c.tanh()
        else:
            (ar, az, an), (rr, rz, rn) = a.chunk(3, -1), r.chunk(3, -1)
            reset, update = (ar + rr).sigmoid(), (az + rz).sigmoid()
            values = reset, update, (an + reset * rn).tanh()
            h = (1 - update) * values[2] + update * h
        for name, value in zip(found, values, strict=True):
            found[name].append(value)
    return {name: torch.stack(v) for name, v in found.items()}


def check(report, values, function):
    low, high = gates.EDGES[function]
    flat = values.detach().flatten(0, -2).double()
    torch.testing.assert_close(report.mean, flat.mean(0), atol=1e-6, rtol=1e-5)
    assert torch.equal(report.low, (flat < low).double().mean(0))
    assert torch.equal(report.high, (flat > high).double().mean(0))
    assert report.entries == len(flat)
    assert report.function == function


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_a_layer(kind, batch_first):
    torch.manual_seed(0)
    layer = {"lstm": nn.LSTM, "gru": nn.GRU}[kind](3, 5, batch_first=batch_first)
    for p in layer.parameters():
        nn.init.normal_(p, std=2.0)
    x = torch.randn(7, 4, 3)  # (T, batch, 3)
    zero = torch.zeros(4, 5)
    expected = walk(kind, list(layer.parameters()), x, zero, zero)
    report = audit(Last(layer), [x.transpose(0, 1) if batch_first else x]).gates
    assert list(report) == [f"layer {name}" for name in expected]
    for name, values in expected.items():
        function = "tanh" if name in gates.TANH else "sigmoid"
        check(report[f"layer {name}"], values, function)
    assert any(r.saturated.any() for r in report.values())


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_layers_and_directions(kind):
    torch.manual_seed(1)
    layer = {"lstm": nn.LSTM, "gru": nn.GRU}[kind](3, 5, 2, bidirectional=True)
    x, zero = torch.randn(6, 4, 3), torch.zeros(4, 5)
    first = layer.all_weights[:2]
    lower = {"lstm": nn.LSTM, "gru": nn.GRU}[kind](3, 5, bidirectional=True)
    lower.load_state_dict({k: v for k, v in layer.state_dict().items() if "_l0" in k})
    between = lower(x)[0]
    report = audit(Last(layer), [x]).gates
    for depth, seen in enumerate((x, between)):
        for direction in range(2):
            weights = layer.all_weights[2 * depth + direction]
            way = seen.flip(0) if direction else seen
            for name, values in walk(kind, weights, way, zero, zero).items():
                label = f"layer {name}, layer {depth}" + (", reversed" if direction else "")
                check(report[label], values, "tanh" if name in gates.TANH else "sigmoid")
    assert len(first) == 2
    assert len(report) == 4 * len(gates.NAMES[kind])


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_cell_called_in_a_loop(kind):
    torch.manual_seed(2)
    cell = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}[kind](3, 5)

    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = cell

        def forward(self, x):
            state = None
            for x_t in x.unbind(1):
                state = self.cell(x_t, state)
            return state

    x, zero = torch.randn(4, 7, 3), torch.zeros(4, 5)
    expected = walk(kind, list(cell.parameters()), x.transpose(0, 1), zero, zero)
    report = audit(Loop(), [x]).gates
    for name, values in expected.items():
        check(report[f"cell {name}"], values, "tanh" if name in gates.TANH else "sigmoid")


@pytest.mark.parametrize("dim", [-1, 1])
def test_the_gate_of_a_glu(dim):
    torch.manual_seed(3)
    x = 4 * torch.randn(9, 6, 4)

    class Net(nn.Module):
        def forward(self, x):
            return F.glu(x.tanh() * 7, dim).relu()

    (report,) = audit(Net(), [x]).gates.values()
    check(report, (x.tanh() * 7).chunk(2, dim)[1].sigmoid().movedim(dim, -1), "sigmoid")
    assert report.gate == "gate"
    assert report.units == (2 if dim == -1 else 3)


def test_a_watched_layer_computes_and_draws_what_it_did():
    torch.manual_seed(4)
    model, x = Last(nn.LSTM(3, 5, 3, dropout=0.5)), torch.randn(6, 40, 3)
    state = torch.get_rng_state()
    plain = model(x)
    after = torch.get_rng_state()
    torch.set_rng_state(state)
    with watch(model) as w:
        seen = model(x)
        seen.sum().backward()
    assert torch.equal(plain, seen)
    assert torch.equal(after, torch.get_rng_state())
    report = w.report()
    # What dropout left of a lower layer is not known.
    assert {name.split(", ")[-1] for name in report.gates} == {"layer 0"}
    json.dumps(report.to_dict())
    assert "saturated low" in str(report)
    assert "saturated low" in report._repr_html_()


def test_packed_sequences_are_a_note():
    model = Last(nn.LSTM(3, 5))
    packed = nn.utils.rnn.pack_sequence([torch.randn(4, 3), torch.randn(2, 3)])
    with watch(model) as w:
        model(packed)
    report = w.report()
    assert not report.gates
    assert any("packed" in note for note in report.notes)


def test_ranks_are_merged_by_their_entries():
    torch.manual_seed(5)
    model, x = Last(nn.GRU(3, 5, batch_first=True)), torch.randn(9, 6, 3)
    parts = [audit(model, [part]).gates["layer reset"] for part in (x[:2], x[2:])]
    whole, both = audit(model, [x]).gates["layer reset"], gates.together(parts)
    torch.testing.assert_close(both.mean, whole.mean)
    assert both.entries == whole.entries
