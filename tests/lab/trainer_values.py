"""What torch makes of the runs that the playground trains, over a grid of settings, as a file."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from mlpinit import corpus, init, mlp, saturation, train

STEPS = 300
FORMS = (
    *(("tanh", 1, 200, None), ("relu", 2, 50, None), ("gelu", 3, 36, None), ("silu", 1, 40, None)),
    *(("tanh", 6, 64, None), ("sigmoid", 2, 50, None), ("elu", 2, 40, None)),
    *(("tanh", 2, 36, "batch"), ("relu", 3, 50, "batch"), ("leaky_relu", 1, 64, "batch")),
)
SCHEMES = {
    "scaled": lambda _: init.scaled(0.2, 0.01),
    "xavier": lambda _: init.xavier(),
    "kaiming": init.kaiming,
    "orthogonal": lambda _: init.orthogonal(),
}
WITHOUT_GAIN = {"gelu", "silu", "elu"}


def write(folder: Path) -> Path:
    """trainer.json: the splits' ends, and each run's losses, units' states, and loss on dev."""
    splits = corpus.split(corpus.load())
    ends = {
        name: [len(part), part.X[[0, -1]].tolist(), part.Y[[0, -1]].tolist()]
        for name, part in (("train", splits.train), ("dev", splits.dev))
    }
    runs = [
        *(run(splits, 2147483647, name, *form) for name in SCHEMES for form in some(name)),
        run(splits, 7, "scaled", *FORMS[0]),
        run(splits, 2147483647, "quiet_output", *FORMS[0]),
        run(splits, 2147483647, "as_drawn", *FORMS[5]),
    ]
    file = folder / "trainer.json"
    file.write_text(json.dumps({"splits": ends, "runs": runs, "letters": letters(splits)}))
    return file


def letters(splits: corpus.Splits) -> float:
    """The loss on dev of the letters' frequencies alone, one added to each count."""
    counts = torch.bincount(splits.train.Y, minlength=27) + 1
    return -(counts / counts.sum()).log()[splits.dev.Y].mean().item()


def some(name: str) -> list[tuple]:
    """The forms that a scheme is tried on: all that it has a gain for, half of them, two.

    Deep ReLU networks from an orthogonal start multiply rounding until it shows in the losses.
    """
    if name == "kaiming":
        return [form for form in FORMS if form[0] not in WITHOUT_GAIN]
    return list(FORMS[:: 2 if name == "scaled" else 5])


def run(
    splits: corpus.Splits,
    seed: int,
    name: str,
    activation: str,
    depth: int,
    units: int,
    normalize: str | None,
) -> dict:
    """One run of `STEPS` steps at a learning rate of 0.1."""
    arch = mlp.Architecture(hidden=(units,) * depth, activation=activation, normalize=normalize)
    starts = {"quiet_output": init.QUIET_OUTPUT, "as_drawn": init.AS_DRAWN}
    scheme = starts[name] if name in starts else SCHEMES[name](activation)
    g = torch.Generator().manual_seed(seed)
    start = init.draw(arch, scheme, generator=g)
    done = train.sgd(start, splits.train, steps=STEPS, generator=g, lr=0.1, progress=False)
    statistics = train.calibrate(done.params, splits.train) if normalize else None
    layers = saturation.census(done.params, splits.train, statistics=statistics)
    return {
        "settings": {
            **{"seed": seed, "scheme": name, "activation": activation, "depth": depth},
            **{"units": units, "normalize": normalize, "scale": 0.2, "bias": 0.01, "rate": 0.1},
            **{"schedule": "constant", "steps": STEPS, "batch": 32},
        },
        "losses": done.losses.tolist(),
        "states": [
            (one.mostly_saturated() + 2 * one.soft_dead + 1 * one.hard_dead).tolist()
            for one in layers
        ],
        "dev": train.evaluate(done.params, splits.dev, statistics=statistics).item(),
    }
