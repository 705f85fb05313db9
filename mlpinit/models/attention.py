"""Attention by head: entropy, largest probability, share of saturated rows, largest logit.

A *row* is what one query makes of its keys: softmax of its logits, over the keys that its mask
allows. Rows with one allowed key are left out, since they say 1 whatever is learnt. The logits are
computed once more from what attention was called with, a bounded piece at a time.
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

PIECE = 1 << 20  # logits at a time


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
    - `mask`: None, or broadcast to the logits: bool, True where a key is allowed, or to be added
    - `causal`: query t sees keys 0 to t; `scale`: what multiplies q · k
    """

    q: Tensor
    k: Tensor
    mask: Tensor | None
    causal: bool
    scale: float

    def pieces(self) -> Iterator[tuple[Tensor, Tensor]]:
        """(logits, allowed), each (heads, rows, keys), one example and some queries at a time."""
        heads, queries, keys = *self.q.shape[1:3], self.k.size(2)
        some = max(1, PIECE // max(1, heads * keys))
        mask = self.mask
        if mask is not None:
            mask = mask.expand(self.q.size(0), heads, queries, keys)
        for i in range(self.q.size(0)):
            for start in range(0, queries, some):
                rows = slice(start, start + some)
                logits = (self.q[i, :, rows].float() @ self.k[i].float().mT) * self.scale
                allowed = torch.ones_like(logits, dtype=torch.bool)
                if self.causal:
                    allowed = allowed.tril(start)
                if mask is not None:
                    part = mask[i, :, rows]
                    if part.dtype == torch.bool:
                        allowed &= part
                    else:
                        logits = logits + part
                        allowed &= part > torch.finfo(part.dtype).min / 2
                yield logits, allowed


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
        attn_mask = attn_mask.expand(*query.shape[:-1], key.size(-2)).flatten(0, -4)
        attn_mask = attn_mask if attn_mask.ndim == 4 else attn_mask.unsqueeze(0)
    q, k = (t.unsqueeze(0) if t.ndim == 3 else t.flatten(0, -4) for t in (query, key))
    return Call(q, k, attn_mask, is_causal, query.size(-1) ** -0.5 if scale is None else scale)


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
        found.append(mask.unflatten(0, q.shape[:2]) if mask.ndim == 3 else mask)
    if (mask := given.get("key_padding_mask")) is not None:
        found.append((mask if mask.ndim == 2 else mask.unsqueeze(0))[:, None, None])
    if not found:
        return None
    total = torch.zeros((*q.shape[:3], k.size(2)), device=q.device)
    for mask in found:
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=total.dtype).masked_fill(mask, -math.inf)  # noqa: PLW2901
        total = total + mask
    return total


def figures(logits: Tensor, allowed: Tensor) -> dict[str, Tensor]:
    """Sums over the rows, by head, of `MEANS`; and "rows", "largest_logit".

    logits and allowed: (heads, rows, keys).
    """
    logits = logits.masked_fill(~allowed, -math.inf)
    n = allowed.sum(-1)
    counts = n > 1
    log_p = logits.log_softmax(-1)
    p = log_p.exp()
    entropy = -(p * log_p.masked_fill(~allowed, 0.0)).sum(-1).double()
    top = p.amax(-1).double()
    rows = {
        "entropy": entropy,
        "relative_entropy": entropy / n.clamp_min(2).double().log(),
        "largest": top,
        "saturated": (top > SATURATED).double(),
    }
    sums = {name: r.where(counts, 0.0).sum(-1) for name, r in rows.items()}
    sizes = logits.masked_fill(~(allowed & counts.unsqueeze(-1)), 0.0).abs().amax((-2, -1))
    return {**sums, "rows": counts.sum(-1).double(), "largest_logit": sizes.double()}


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
