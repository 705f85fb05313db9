"""What torch has for the derivative lab and the scalar graph, as one file of JSON."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import torch

FORMATS = {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16}


def write(folder: Path) -> Path:
    path = folder / "small.json"
    found = {name: in_format(dtype) for name, dtype in FORMATS.items()}
    found |= {"half": halves(), "exact": exact(), "graph": [*map(graph, states())]}
    path.write_text(json.dumps(found, allow_nan=False))
    return path


def halves() -> list[tuple[float, float | str]]:
    """Doubles, those half-way between two half-precision numbers too, and what they round to."""
    bits = torch.arange(0, 0x7C00, 7, dtype=torch.int16)
    exactly = bits.view(torch.float16).double()
    above = (bits + 1).view(torch.float16).double()
    middle = (exactly + above) / 2
    middle = middle[middle.isfinite()]
    # Torch rounds by way of float32: a nudge must be one that float32 can hold.
    x = torch.cat([exactly, middle, middle * (1 + 2**-20), middle * (1 - 2**-20)])
    x = torch.cat([x, -x])
    x = x[x != 0]
    return [(a, spelled(b)) for a, b in zip(x.tolist(), x.half().tolist(), strict=True)]


def spelled(x: float) -> float | str:
    """A number as JSON has it."""
    return "inf" if x == math.inf else "-inf" if x == -math.inf else x


def exact() -> list[tuple[float, float]]:
    z = torch.linspace(-300, 300, 1201, dtype=torch.float64)
    e = torch.exp(-2 * z.abs())
    return list(zip(z.tolist(), (4 * e / (1 + e) ** 2).tolist(), strict=True))


def in_format(dtype: torch.dtype) -> dict[str, Any]:
    """h and 1 - h² by torch, with z a number of that format; where h is 1; the naive formula."""
    z = torch.linspace(-25, 25, 2001, dtype=torch.float64).to(dtype)
    h = torch.tanh(z)
    far = torch.cat([z, torch.tensor([44.3, 44.4, 354.8, 355.0, 400.0], dtype=dtype)])
    e = torch.exp(2 * far)
    naive = [None if math.isnan(x) else x for x in ((e - 1) / (e + 1)).tolist()]
    grid = torch.linspace(0.5, 25, 200_001, dtype=torch.float64).to(dtype)
    return {
        "tanh": list(zip(z.tolist(), h.tolist(), (1 - h * h).tolist(), strict=True)),
        "naive": list(zip(far.tolist(), naive, strict=True)),
        "first_one": grid[torch.tanh(grid) == 1][0].item(),
    }


def states() -> list[dict[str, float]]:
    tried = [(1.5, -0.8, 0.3), *itertools.product((-3.0, 0.0, 0.7), (-2.0, 0.5), (-0.1, 3.0))]
    return [dict(zip(("x", "w1", "w2"), one, strict=True)) for one in tried]


def graph(state: dict[str, float]) -> dict[str, Any]:
    """Every value of h = tanh(w1·x + w2·x) and the gradient of h at each, by autograd."""
    values = {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for name, value in state.items()
    }
    values["p"] = values["w1"] * values["x"]
    values["q"] = values["w2"] * values["x"]
    values["z"] = values["p"] + values["q"]
    values["h"] = torch.tanh(values["z"])
    gradients = torch.autograd.grad(values["h"], list(values.values()))
    return {
        "state": state,
        "expected": {name: value.item() for name, value in values.items()},
        "gradients": {n: g.item() for n, g in zip(values, gradients, strict=True)},
    }
