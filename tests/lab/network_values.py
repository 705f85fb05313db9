"""What torch makes of the network that the init lab shows, over a grid of settings, as files."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mlpinit import activations, init, mlp, saturation
from mlpinit.lab import batch, by_torch

SCALES = (0.02, 0.2, 1.0, 3.0)
BIASES = (0.0, 1.0)
SEEDS = (2147483647, 7)
SIZES = {1: 200, 3: 50, 10: 34}  # depth and width; 50 and 34: no whole number of tiles
LARGEST = (10, 200)  # the largest that the book asks for: at one scale, for its many numbers


@dataclass
class Values:
    """Float64 arrays end to end in one file; an array is [first, length]."""

    numbers: list[np.ndarray] = field(default_factory=list)
    n: int = 0

    def put(self, t: Tensor) -> list[int]:
        self.numbers.append(t.detach().double().flatten().numpy())
        self.n += t.numel()
        return [self.n - t.numel(), t.numel()]


def write(folder: Path) -> Path:
    """values.json, and values.bin with the numbers that it points into."""
    values = Values()
    cases = [case for form in forms() for case in of_form(values, *form)]
    (folder / "values.json").write_text(
        json.dumps({"cases": cases, "functions": functions(values)})
    )
    np.concatenate(values.numbers).tofile(folder / "values.bin")
    return folder / "values.json"


def forms() -> list[tuple[int, int, int, bool]]:
    """Seed, depth, width, batch norm: all, but depth 10 with one seed."""
    every = itertools.product(SEEDS, SIZES.items(), (False, True))
    some = [(s, *size, n) for s, size, n in every if size[0] < 10 or s == SEEDS[0]]
    return [*some, (SEEDS[0], *LARGEST, False), (SEEDS[0], *LARGEST, True)]


def of_form(values: Values, seed: int, depth: int, width: int, normalize: bool) -> list[dict]:
    kind = "batch" if normalize else None
    drawn = draw(seed, depth, width, kind, "tanh", init.QUIET_OUTPUT, torch.float32)
    draws = {
        "C": values.put(drawn.C),
        "W": [*map(values.put, drawn.W[:-1]), values.put(drawn.W[-1] / 0.01)],
        "b": [*map(values.put, drawn.b[:-1])],
    }
    form = {"seed": seed, "width": width, "depth": depth, "normalize": normalize}
    settings = itertools.product(activations.ACTIVATIONS, *factors(seed, depth, width, normalize))
    return [
        {"form": form, "draws": draws, "activation": name, "scale": w, "bias": b}
        | expected(values, seed, depth, width, kind, name, w, b)
        for name, w, b in settings
    ]


def factors(
    seed: int, depth: int, width: int, normalize: bool
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scales and biases: all with the first seed, for the others differ in their draws alone."""
    if (depth, width) == LARGEST:
        return (0.1,), (1.0,)
    if seed != SEEDS[0]:
        return (1.0,), (1.0,)
    return SCALES, BIASES[-1:] if normalize else BIASES


def draw(
    seed: int,
    depth: int,
    width: int,
    kind: str | None,
    name: str,
    scheme: init.Scheme,
    dtype: torch.dtype,
) -> init.Params:
    hidden = (width,) * depth
    arch = mlp.Architecture(hidden=hidden, activation=name, normalize=kind)
    return init.draw(arch, scheme, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def expected(
    values: Values,
    seed: int,
    depth: int,
    width: int,
    kind: str | None,
    name: str,
    w: float,
    b: float,
) -> dict:
    """Float64 numbers by autograd through torch's own layers, and what float32 counts."""
    unit = draw(seed, depth, width, kind, name, init.QUIET_OUTPUT, torch.float64)
    W = [*(one * w for one in unit.W[:-1]), draw_output(seed, depth, width, kind)]
    params = init.Params(unit.arch, unit.C, tuple(W), tuple(one * b for one in unit.b), unit.gain)
    X, Y = batch.first_batch()
    zs, hs, loss = by_torch.through(mlp.as_module(params), X, Y)
    gradients = torch.autograd.grad(loss, zs)
    single = draw(seed, depth, width, kind, name, init.scaled(w, b), torch.float32)
    zs32 = mlp.forward(single, X).pre_activations
    return {
        "loss": loss.item(),
        "z": [*map(values.put, zs)],
        "h": [*map(values.put, hs)],
        "dz": [*map(values.put, gradients)],
        "stdZ": [z.std(correction=0).item() for z in zs],
        "stdH": [h.std(correction=0).item() for h in hs],
        "gradient": [g.square().mean().sqrt().item() for g in gradients],
        "counts": [count(name, z.detach().float()) for z in zs],
        "counts32": [count(name, z) for z in zs32],
    }


def draw_output(seed: int, depth: int, width: int, kind: str | None) -> Tensor:
    """The output weights ×0.01 in float64, where `init.draw` multiplies in float32."""
    arch = mlp.Architecture(hidden=(width,) * depth, normalize=kind)
    drawn = init.draw(arch, init.AS_DRAWN, generator=torch.Generator().manual_seed(seed))
    return drawn.W[-1].double() * 0.01


def count(name: str, z: Tensor) -> list[int]:
    """Saturated entries, soft-dead and hard-dead units of float32 pre-activations (32, units)."""
    activation = activations.get(name)
    h = activation.f(z)
    slope = activation.slope(z, h)
    flat = saturation.flat(slope, activation)
    white = saturation.saturated(h) if name == "tanh" else flat
    return [int(white.sum()), int(flat.all(0).sum()), int((slope == 0).all(0).sum())]


def functions(values: Values) -> dict:
    """f and f' of every activation in float64, and where float32's slope is exactly 0."""
    z = torch.linspace(-120, 120, 24_001, dtype=torch.float64)
    found = {}
    for name, a in activations.ACTIVATIONS.items():
        h = a.f(z)
        single = a.slope(z.float(), a.f(z.float()))
        flat = saturation.flat(single, a)
        found[name] = {"most": a.max_slope, "h": values.put(h), "slope": values.put(a.slope(z, h))}
        found[name] |= {"zero": values.put(single == 0), "flat": values.put(flat)}
    return {"z": values.put(z), "of": found}
