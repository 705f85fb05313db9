"""The gates of recurrent layers and of GLU, recomputed from what these were called with.

A gate is a sigmoid, or the tanh of what it lets in, and saturates like any other. An entry is
saturated where its slope is under 2% of the largest: a sigmoid under 0.005 (shut) or over 0.995
(open), a tanh beyond 0.99.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mlpinit.models.rolling import Rolling
from mlpinit.models.statistics import listed

__all__ = ["GateReport", "Gates", "of_call", "together"]

EDGES = {"sigmoid": (0.0050253, 0.9949747), "tanh": (-0.9899495, 0.9899495)}
"""Where the slope is 2% of the largest."""

NAMES = {"lstm": ("input", "forget", "candidate", "output"), "gru": ("reset", "update", "new")}
TANH = ("candidate", "new")


@dataclass(frozen=True)
class GateReport:
    """What one gate did, by unit; means are over the entries of the latest window.

    - `gate`, `function`: "forget", "sigmoid"; `entries`: counted for each unit
    - `mean`: (units,) float64; `low`, `high`: (units,), shares of entries saturated at either end
    - `steps`: the first and the last forward pass counted
    """

    name: str
    gate: str
    function: str
    units: int
    entries: int
    steps: tuple[int, int]
    mean: Tensor
    low: Tensor
    high: Tensor

    @property
    def saturated(self) -> Tensor:
        """(units,), the share of entries saturated at either end."""
        return self.low + self.high

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain lists and numbers."""
        names = ("gate", "function", "units", "entries", "steps", "mean", "low", "high")
        return {name: listed(getattr(self, name)) for name in names}


def of_call(
    name: str, args: tuple, kwargs: Mapping[str, Any], out: Any
) -> Iterator[tuple[str, str, Tensor]]:
    """(gate, function, values (..., units)) of a call of torch's `name`, which gave `out`.

    Names are those of torch: "lstm", "gru", "lstm_cell", "gru_cell", "glu". The gates of several
    layers or directions are called "forget, layer 1", "forget, layer 1, reversed".

    Raises `NotImplementedError` for what cannot be told from the arguments.
    """
    if name == "glu":
        x, dim = args[0], kwargs.get("dim", args[1] if len(args) > 1 else -1)
        yield "gate", "sigmoid", x.chunk(2, dim)[1].sigmoid().movedim(dim, -1)
    elif name.endswith("_cell"):
        x, state, *weights = args
        h = state[0] if isinstance(state, tuple | list) else state
        yield from _gates(name.removesuffix("_cell"), x, h, weights)
    else:
        yield from _layers(name, args, out)


def _layers(name: str, args: tuple, out: Any) -> Iterator[tuple[str, str, Tensor]]:
    """The gates of every layer and direction of torch.lstm or torch.gru."""
    if isinstance(args[3], list | tuple):
        raise NotImplementedError("packed sequences are not looked into")
    x, hx, weights, has_bias, n_layers, dropout, training, both, batch_first = args
    states = hx if isinstance(hx, tuple | list) else (hx,)
    directions = 2 if both else 1
    each = len(weights) // (n_layers * directions)
    if n_layers > 1 and dropout and training:
        n_layers = 1  # what dropout left of the first layer is not known
    for layer in range(n_layers):
        rows = slice(directions * layer, directions * (layer + 1))
        own = weights[each * rows.start : each * rows.stop]
        state = [s[rows].contiguous() for s in states]
        if len(weights) == len(own):
            h = out[0]
        else:
            given = state if name == "lstm" else state[0]
            call = getattr(torch, name)
            h = call(x, given, own, has_bias, 1, 0.0, False, both, batch_first)[0]
        time_first = (t.transpose(0, 1) if batch_first else t for t in (x, h))
        x_t, h_t = time_first
        for d, h_d in enumerate(h_t.chunk(directions, -1)):
            seen, past = (x_t, h_d) if d == 0 else (x_t.flip(0), h_d.flip(0))
            past = torch.cat([state[0][d : d + 1], past[:-1]])
            label = f", layer {layer}" if len(weights) > len(own) else ""
            label += ", reversed" if d else ""
            for gate, function, values in _gates(name, seen, past, own[each * d : each * (d + 1)]):
                yield gate + label, function, values
        x = h


def _gates(
    name: str, x: Tensor, h: Tensor, weights: Sequence[Tensor | None]
) -> Iterator[tuple[str, str, Tensor]]:
    """Of one layer in one direction, h the state before each x; torch's order of the rows."""
    w_x, w_h, *biases = weights
    b_x, b_h = biases[:2] if len(biases) > 1 and biases[0] is not None else (None, None)
    from_x = torch.nn.functional.linear(x, w_x, b_x).chunk(len(NAMES[name]), -1)
    from_h = torch.nn.functional.linear(h, w_h, b_h).chunk(len(NAMES[name]), -1)
    reset = (from_x[0] + from_h[0]).sigmoid()
    for gate, a, b in zip(NAMES[name], from_x, from_h, strict=True):
        if gate == "new":  # of a GRU: the reset gate is inside
            yield gate, "tanh", (a + reset * b).tanh()
        elif gate in TANH:
            yield gate, "tanh", (a + b).tanh()
        else:
            yield gate, "sigmoid", (a + b).sigmoid()


class Gates:
    """Running sums of one gate, of the latest window of examples and the one before."""

    def __init__(self, name: str, gate: str, function: str, window: int) -> None:
        """Of the gate of site `name`; it holds a few numbers a unit."""
        self.name, self.gate, self.function = name, gate, function
        self.rolling: Rolling[Tensor] = Rolling(window, operator.add)

    def look(self, values: Tensor, step: int) -> None:
        """Count the values (..., units) of one call."""
        known = self.rolling.sums  # (4, units): entries, sum, low, high
        if not values.numel() or (known is not None and known.size(1) != values.size(-1)):
            return
        low, high = EDGES[self.function]
        flat = values.reshape(-1, values.size(-1))
        ones = torch.full((flat.size(1),), len(flat), dtype=torch.float64, device=flat.device)
        sums = [flat.double().sum(0), (flat < low).sum(0), (flat > high).sum(0)]
        sums = torch.stack([ones, *(s.double() for s in sums)]).cpu()
        self.rolling.add(sums, examples=values.shape[-2] if values.ndim > 1 else 1, step=step)

    def report(self) -> GateReport | None:
        """What is known of it."""
        sums = self.rolling.sums
        if sums is None:
            return None
        return GateReport(
            self.name,
            self.gate,
            self.function,
            units=sums.size(1),
            entries=int(sums[0, 0]),
            steps=self.rolling.steps,
            mean=sums[1] / sums[0],
            low=sums[2] / sums[0],
            high=sums[3] / sums[0],
        )


def together(reports: Sequence[GateReport]) -> GateReport:
    """One report of several processes' entries."""
    entries = sum(r.entries for r in reports)
    means = {
        name: sum(getattr(r, name) * (r.entries / entries) for r in reports)
        for name in ("mean", "low", "high")
    }
    steps = (min(r.steps[0] for r in reports), max(r.steps[1] for r in reports))
    return replace(reports[0], entries=entries, steps=steps, **means)
