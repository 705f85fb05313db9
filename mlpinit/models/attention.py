"""Attention by head: entropy, largest probability, share of saturated rows, largest logit.

A *row* is what one query makes of its keys: softmax of its logits, over the keys that its mask
allows. Rows with one allowed key are left out, since they say 1 whatever is learnt. The logits are
computed once more from what attention was called with, a bounded piece at a time: several examples
that together fit a core's cache, or some queries of one.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mlpinit.models.rolling import Rolling
from mlpinit.models.statistics import listed

__all__ = ["SATURATED", "Attention", "AttentionReport", "Call", "called", "figures", "together"]

SATURATED = 0.99
"""A row is saturated where one key has more than this: no entry of the softmax's Jacobian can
then be above 0.99 · 0.01."""

PIECE = 1 << 16  # logits at a time
LAUNCH = 1 << 20  # on an accelerator, where a call costs more than its numbers
LEAST = -87.0  # of a log-probability; exp takes many times as long outside float32's range
NOTHING = 1e-30  # of an entropy: more than what is cut off there adds up to
HIDDEN = -1e38
"""What hides a key: its probability is 0, and so is that times its logarithm, as -inf's is not."""


@dataclass(frozen=True)
class AttentionReport:
    """What one attention did, by head; means are over the rows of the latest window.

    - `rows`: rows counted for each head; `steps`: the first and the last forward pass counted
    - `entropy`: (heads,) float64, mean entropy of a row, in nats
    - `relative_entropy`: (heads,), the mean of entropy / ln(allowed keys), 0 to 1
    - `largest`: (heads,), mean of a row's largest probability
    - `saturated`: (heads,), share of the rows whose largest probability is over 0.99
    - `largest_logit`: (heads,), the largest |logit| met
    - `notes`: what was not seen there
    """

    name: str
    heads: int
    rows: int
    steps: tuple[int, int]
    entropy: Tensor
    relative_entropy: Tensor
    largest: Tensor
    saturated: Tensor
    largest_logit: Tensor
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain lists and numbers."""
        names = ("heads", "rows", "steps", *MEANS, "largest_logit", "notes")
        return {name: listed(getattr(self, name)) for name in names}


MEANS = ("entropy", "relative_entropy", "largest", "saturated")


@dataclass(frozen=True)
class Call:
    """What attention was called with.

    - `q`: (batch, heads, queries, d); `k`: (batch, heads, keys, d)
    - `mask`: None, or of four axes that broadcast to (batch, heads, queries, keys): bool, True
      where a key is allowed, or to be added
    - `causal`: query t sees keys 0 to t; `scale`: what multiplies q · k
    """

    q: Tensor
    k: Tensor
    mask: Tensor | None
    causal: bool
    scale: float

    def pieces(self) -> Iterator[tuple[Tensor, Tensor]]:
        """(logits, allowed): (examples, heads, rows, keys), and bool that broadcasts to that."""
        batch, heads, queries = self.q.shape[:3]
        row = max(1, heads * self.k.size(2))  # logits of one query
        most = PIECE if self.q.device.type == "cpu" else LAUNCH
        rows = min(queries, max(1, most // row))
        examples = max(1, most // (row * queries))
        for i in range(0, batch, examples):
            some = slice(i, i + examples)
            q, keys = self.q[some].float() * self.scale, self.k[some].float().mT
            for start in range(0, queries, rows):
                part = slice(start, start + rows)
                yield self._masked(q[:, :, part] @ keys, some, part)

    def _masked(self, logits: Tensor, examples: slice, rows: slice) -> tuple[Tensor, Tensor]:
        """The logits with what the mask adds, and which of them it allows."""
        allowed = logits.new_ones(logits.shape[-2:], dtype=torch.bool)
        if self.causal:
            allowed = allowed.tril(rows.start)
        if self.mask is None:
            return logits, allowed
        mask = self.mask if self.mask.size(0) == 1 else self.mask[examples]
        mask = mask if mask.size(2) == 1 else mask[:, :, rows]
        if mask.dtype == torch.bool:
            return logits, allowed & mask
        return logits.add_(mask), allowed & (mask > torch.finfo(mask.dtype).min / 2)


def called(func: Any, args: tuple, kwargs: Mapping[str, Any]) -> Call:
    """What a call of `scaled_dot_product_attention` or `multi_head_attention_forward` attends with.

    Raises `NotImplementedError` for what cannot be told from the arguments.
    """
    if func is functional.scaled_dot_product_attention:
        return _dot_product(*args, **kwargs)
    return _multi_head(inspect.signature(func).bind(*args, **kwargs).arguments)


def _dot_product(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Call:
    del value, dropout_p
    if query.is_nested:
        raise NotImplementedError("its queries are a nested tensor")
    if query.ndim < 3:
        query, key = query.unsqueeze(0), key.unsqueeze(0)
    if enable_gqa:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
    if attn_mask is not None:
        attn_mask = _of_four_axes(attn_mask, query.shape[:-3])
    q, k = (t.unsqueeze(0) if t.ndim == 3 else t.flatten(0, -4) for t in (query, key))
    return Call(q, k, attn_mask, is_causal, query.size(-1) ** -0.5 if scale is None else scale)


def _of_four_axes(mask: Tensor, batch: torch.Size) -> Tensor:
    """A mask that broadcasts to (*batch, heads, queries, keys), with one axis for the batch."""
    mask = mask[(None,) * (4 - mask.ndim)]
    return mask if mask.ndim == 4 else mask.expand(*batch, *mask.shape[-3:]).flatten(0, -4)


def _multi_head(given: Mapping[str, Any]) -> Call:
    """The queries and keys of `nn.MultiheadAttention`, projected once more."""
    if given.get("bias_k") is not None or given.get("add_zero_attn"):
        raise NotImplementedError("it adds a key of its own (add_bias_kv, add_zero_attn)")
    if given.get("static_k") is not None:
        raise NotImplementedError("its keys are given (static_k)")
    query, key, heads = given["query"], given["key"], given["num_heads"]
    if query.ndim == 2:
        query, key = query.unsqueeze(1), key.unsqueeze(1)
    if given.get("use_separate_proj_weight"):
        weights = given["q_proj_weight"], given["k_proj_weight"]
    else:
        weights = given["in_proj_weight"].chunk(3)[:2]
    bias = given.get("in_proj_bias")
    biases = (None, None) if bias is None else bias.chunk(3)[:2]
    q, k = (
        functional.linear(x, w, b).unflatten(-1, (heads, -1)).permute(1, 2, 0, 3)
        for x, w, b in zip((query, key), weights, biases, strict=True)
    )
    return Call(q, k, _masks(given, q, k), False, q.size(-1) ** -0.5)


def _masks(given: Mapping[str, Any], q: Tensor, k: Tensor) -> Tensor | None:
    """The two masks of `nn.MultiheadAttention`, True there where a key is hidden, as one to add."""
    found = []
    if (mask := given.get("attn_mask")) is not None:
        found.append(mask.unflatten(0, q.shape[:2]) if mask.ndim == 3 else mask[None, None])
    if (mask := given.get("key_padding_mask")) is not None:
        found.append((mask if mask.ndim == 2 else mask.unsqueeze(0))[:, None, None])
    added = [
        torch.zeros_like(m, dtype=k.dtype).masked_fill(m, -math.inf) if m.dtype == torch.bool else m
        for m in found
    ]
    return sum(added) if added else None


def figures(logits: Tensor, allowed: Tensor) -> dict[str, Tensor]:
    """Sums over the rows, by head, of `MEANS`; and "rows", "largest_logit".

    logits: (examples, heads, rows, keys), which are written over; allowed: bool, broadcast to it.
    """
    n = allowed.sum(-1)
    counts = n > 1
    counted = allowed & counts.unsqueeze(-1)
    hides = not counted.all()
    if hides:
        logits.masked_fill_(~counted, 0.0)
    most, least = logits.amax((0, 2, 3)), logits.amin((0, 2, 3))
    if hides:
        logits.add_(torch.where(allowed, 0.0, HIDDEN))
    log_p = logits.log_softmax(-1).clamp_(min=LEAST)
    p = torch.exp(log_p, out=logits)
    top = p.amax(-1).double()
    entropy = log_p.mul_(p).sum(-1).double().neg_()
    entropy = entropy.where(entropy > NOTHING, 0.0)
    rows = {
        "entropy": entropy,
        "relative_entropy": entropy / n.clamp_min(2).double().log(),
        "largest": top,
        "saturated": (top > SATURATED).double(),
    }
    sums = {name: r.where(counts, 0.0).sum((0, 2)) for name, r in rows.items()}
    sums["rows"] = counts.expand_as(top).sum((0, 2)).double()
    return {**sums, "largest_logit": torch.maximum(most, -least).double()}


class Attention:
    """Running sums of one attention, of the latest window of examples and the one before."""

    def __init__(self, name: str, window: int) -> None:
        """Of the site `name`; it holds a few numbers a head."""
        self.name = name
        self.rolling: Rolling[dict[str, Tensor]] = Rolling(window, _added)
        self.skipped = 0

    def look(self, call: Call, step: int) -> None:
        """Count one call."""
        if not call.q.size(0) or not call.q.size(2):
            return
        sums = reduce(_added, (figures(*piece) for piece in call.pieces()))
        known = self.rolling.sums
        if known is not None and known["rows"].shape != sums["rows"].shape:
            self.skipped += 1
            return
        on_cpu = {name: value.cpu() for name, value in sums.items()}
        self.rolling.add(on_cpu, examples=call.q.size(0), step=step)

    def report(self) -> AttentionReport | None:
        """What is known of it; None where there was no row with two keys."""
        sums = self.rolling.sums
        if sums is None or not sums["rows"].max():
            return None
        rows = sums["rows"].clamp_min(1)
        return AttentionReport(
            name=self.name,
            heads=len(rows),
            rows=int(rows[0]),
            steps=self.rolling.steps,
            largest_logit=sums["largest_logit"],
            notes=(f"{self.skipped:,} calls had another number of heads",) if self.skipped else (),
            **{name: sums[name] / rows for name in MEANS},
        )


def _added(a: dict[str, Tensor], b: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: torch.maximum(a[name], b[name]) if name == "largest_logit" else a[name] + b[name]
        for name in a
    }


def together(reports: Sequence[AttentionReport]) -> AttentionReport:
    """One report of several processes' rows."""
    first, rows = reports[0], sum(r.rows for r in reports)
    means = {name: sum(getattr(r, name) * (r.rows / rows) for r in reports) for name in MEANS}
    return replace(
        first,
        rows=rows,
        steps=(min(r.steps[0] for r in reports), max(r.steps[1] for r in reports)),
        largest_logit=torch.stack([r.largest_logit for r in reports]).amax(0),
        **means,
    )
