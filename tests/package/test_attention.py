"""Attention by head, against the softmax written out, and the promises of the watch."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlpinit.models import attention
from mlpinit.watch import audit, watch


class Heads(nn.Module):
    """Two heads of four, from `scaled_dot_product_attention`."""

    def __init__(self, **how):
        super().__init__()
        self.q, self.k = nn.Linear(8, 8), nn.Linear(8, 8)
        self.how = how

    def heads(self, x):
        return (layer(x).unflatten(-1, (2, 4)).transpose(1, 2) for layer in (self.q, self.k))

    def forward(self, x):
        q, k = self.heads(x)
        return F.scaled_dot_product_attention(q, k, k, **self.how).relu()


def by_hand(logits, allowed):
    """Means over the rows with two allowed keys, a row at a time, for one head (batch, T, S)."""
    found = []
    for row, seen in zip(
        logits.flatten(0, 1).tolist(), allowed.flatten(0, 1).tolist(), strict=True
    ):
        kept = [x for x, s in zip(row, seen, strict=True) if s]
        if len(kept) < 2:
            continue
        p = [math.exp(x - max(kept)) for x in kept]
        p = [x / sum(p) for x in p]
        h = -sum(x * math.log(x) for x in p if x)
        found.append((h, h / math.log(len(kept)), max(p), max(p) > 0.99))
    return torch.tensor(found, dtype=torch.float64).mean(0), len(found)


def told(report, head):
    return torch.stack([getattr(report, name)[head] for name in attention.MEANS])


@pytest.mark.parametrize("how", [{}, {"is_causal": True}, {"scale": 9.0}, "bool", "float"])
def test_heads_are_those_of_the_softmax_written_out(how):
    torch.manual_seed(0)
    masks = {
        "bool": torch.rand(5, 1, 6, 6) < 0.6,
        "float": torch.zeros(6, 6).masked_fill(torch.rand(6, 6) < 0.4, -math.inf),
    }
    for mask in masks.values():
        mask[..., 0] = True if mask.dtype == torch.bool else 0.0
    given = {"attn_mask": masks[how]} if isinstance(how, str) else how
    model, x = Heads(**given), 3 * torch.randn(5, 6, 8)
    seen = torch.ones(5, 2, 6, 6, dtype=torch.bool)
    if isinstance(how, str):
        seen &= masks[how] if how == "bool" else masks[how] > -1
    if given.get("is_causal"):
        seen = seen.tril()
    q, k = model.heads(x)
    logits = q @ k.mT * given.get("scale", 0.5)
    report = audit(model, [x]).attention[":attention"]
    for head in range(2):
        expected, rows = by_hand(logits[:, head], seen[:, head])
        torch.testing.assert_close(told(report, head), expected, atol=1e-5, rtol=1e-4)
        assert head or report.rows == rows
        largest = logits[:, head][seen[:, head] & (seen[:, head].sum(-1, keepdim=True) > 1)]
        assert report.largest_logit[head] == pytest.approx(largest.abs().max().item(), rel=1e-5)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("kind", ["plain", "masked", "cross"])
@pytest.mark.parametrize("need_weights", [True, False])
def test_torchs_own_module(batch_first, kind, need_weights):
    torch.manual_seed(1)
    sizes = {"kdim": 5, "vdim": 5} if kind == "cross" else {}
    layer = nn.MultiheadAttention(8, 2, batch_first=batch_first, **sizes).eval()
    nn.init.normal_(layer.in_proj_bias)
    q = torch.randn(4, 6, 8) if batch_first else torch.randn(6, 4, 8)
    k = torch.randn((4, 7, 5) if batch_first else (7, 4, 5)) if kind == "cross" else q
    masks = {}
    if kind == "masked":
        padding = torch.zeros(4, 6, dtype=torch.bool)
        padding[1, 4:] = True
        masks = {"key_padding_mask": padding, "attn_mask": torch.ones(6, 6).triu(1).bool()}

    def call(m, _):
        return m(q, k, k, need_weights=need_weights, average_attn_weights=False, **masks)

    p = layer(q, k, k, average_attn_weights=False, **masks)[1].detach()  # torch's own, (4, 2, T, S)
    rows = p[:, :, 1:] if kind == "masked" else p
    report = audit(layer, [q], call=call).attention[":attention"]
    expected = -torch.xlogy(rows, rows).sum(-1).mean((0, 2)).double()
    torch.testing.assert_close(report.entropy, expected, atol=1e-5, rtol=1e-4)
    largest = rows.amax(-1).mean((0, 2)).double()
    torch.testing.assert_close(report.largest, largest, atol=1e-5, rtol=1e-4)


def test_a_piece_at_a_time_is_the_same(monkeypatch):
    torch.manual_seed(2)
    model, x = Heads(is_causal=True), torch.randn(3, 11, 8)
    whole = audit(model, [x]).attention[":attention"]
    monkeypatch.setattr(attention, "PIECE", 30)  # a query at a time
    pieces = audit(model, [x]).attention[":attention"]
    torch.testing.assert_close(pieces.entropy, whole.entropy)
    assert pieces.rows == whole.rows == 30
    sizes = {
        logits.size(2)
        for logits, _ in attention.Call(
            *(torch.randn(1, 2, 11, 4) for _ in range(2)), None, False, 1.0
        ).pieces()
    }
    assert sizes == {1}


def test_a_watched_model_computes_draws_and_keeps_what_it_did():
    torch.manual_seed(3)
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.3, batch_first=True)
    x = torch.randn(20, 5, 8)
    before, state = pickle.dumps(model), torch.get_rng_state()
    plain = model(x)
    after = torch.get_rng_state()
    torch.set_rng_state(state)
    with watch(model) as w:
        seen = model(x)
    assert torch.equal(plain, seen)
    assert torch.equal(after, torch.get_rng_state())
    assert pickle.dumps(model) == before
    assert set(w.report().attention) == {"self_attn:attention"}
    inner = F.scaled_dot_product_attention
    assert inner is torch._C._nn.scaled_dot_product_attention


def test_every_and_the_window_are_kept_to():
    model = Heads()
    with watch(model, every=3, window=10, enough=1) as w:
        for _ in range(13):
            model(torch.randn(5, 4, 8))
    report = w.report().attention[":attention"]
    # Looked at: 0, 3, 6, 9, 12, of five examples each: windows of two passes, and one begun.
    assert report.steps == (6, 12)
    assert report.rows == 3 * 5 * 4


def test_gradients_flow_and_nothing_that_fails_here_reaches_the_forward(monkeypatch):
    model = Heads()
    monkeypatch.setattr(attention, "figures", lambda *_: 1 / 0)
    with watch(model) as w:
        model(torch.randn(4, 5, 8)).sum().backward()
    assert model.q.weight.grad is not None
    report = w.report()
    assert not report.attention
    assert any("ZeroDivisionError" in note for note in report.notes)


def test_what_cannot_be_told_is_a_note():
    layer = nn.MultiheadAttention(8, 2, batch_first=True, add_bias_kv=True)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.act = layer, nn.Tanh()

        def forward(self, x):
            return self.act(self.layer(x, x, x)[0])

    report = audit(Net(), [torch.randn(6, 4, 8)])
    assert not report.attention
    assert any("add_bias_kv" in note for note in report.notes)


def test_ignore_leaves_it_out():
    model = Heads()
    assert not audit(model, [torch.randn(6, 4, 8)], ignore=["*:attention"]).attention


def test_saturated_logits_give_no_nan_and_a_share_of_one():
    rows = attention.figures(1e30 * torch.randn(1, 2, 7, 5), torch.ones(7, 5, dtype=torch.bool))
    assert rows["saturated"].tolist() == [7.0, 7.0]
    assert rows["entropy"].tolist() == [0.0, 0.0]


def test_the_report_prints_and_exports_it():
    report = audit(Heads(), [torch.randn(6, 4, 8)])
    assert ":attention" in str(report)
    assert max(map(len, str(report).splitlines())) <= 80
    assert "largest p" in report._repr_html_()
    assert report.to_dict()["attention"][":attention"]["heads"] == 2


def test_a_model_of_attention_alone_has_a_report():
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    report = audit(layer, [torch.randn(6, 4, 8)], call=lambda m, x: m(x, x, x))
    assert not report.sites
    assert report.attention
    assert "largest p" in report._repr_html_()
    assert str(report)


def test_ranks_are_merged_by_their_rows():
    torch.manual_seed(4)
    model, x = Heads(is_causal=True), torch.randn(9, 6, 8)
    parts = [audit(model, [part]).attention[":attention"] for part in (x[:2], x[2:])]
    whole, both = audit(model, [x]).attention[":attention"], attention.together(parts)
    for name in (*attention.MEANS, "largest_logit"):
        torch.testing.assert_close(getattr(both, name), getattr(whole, name))
    assert both.rows == whole.rows


def test_a_copy_made_inside_is_not_watched():
    model = Heads()
    with watch(model) as w:
        model(torch.randn(3, 4, 8))
        twin = copy.deepcopy(model)
        twin(torch.randn(3, 4, 8))
    assert w.report().attention[":attention"].rows == 3 * 4
