"""What all trainers are given, a network with a dead unit and its data, and what to expect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

DEAD = {"1": [5]}


def network() -> nn.Sequential:
    """Unit 5 of its ReLUs is dead."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1))
    with torch.no_grad():
        model[0].bias[5] = -100.0
    return model


def inputs() -> Tensor:
    return torch.randn(320, 4, generator=torch.Generator().manual_seed(1))


def targets(X: Tensor) -> Tensor:
    return X[:, :1].sin()


OPTIONS = {"every": 1, "window": 300, "enough": 100, "log_every": 4}
STEPS = 20  # of 32 examples


def recycling() -> dict[str, object]:
    return {
        "recycle_every": 6,
        "data": inputs(),
        "generator": torch.Generator().manual_seed(2),
    }


def offline(patch: Any, folder: Path) -> None:
    """Loggers write below `folder` and call nobody; MLflow's file store wants to be asked for."""
    patch.chdir(folder)
    for name, value in {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(folder),
        "WANDB_SILENT": "true",
        "MLFLOW_TRACKING_URI": (folder / "mlruns").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
    }.items():
        patch.setenv(name, value)


def check_files(folder: Path, step: int, dead: int = 1) -> None:
    told = json.loads((folder / "watch.json").read_text(encoding="utf-8"))
    assert told["step"] == step
    assert told["counts"].get("hard-dead", 0) == dead
    text = (folder / "watch.txt").read_text(encoding="utf-8")
    assert text.startswith(f"Step {step:,}\n2 sites, 24 units: ")


def check_left_alone(model: nn.Module) -> None:
    assert not any("forward" in module.__dict__ for module in model.modules())


def tensorboard(folder: Path, tag: str) -> list[tuple[int, float]]:
    """(step, value) of a scalar in the event files below a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = []
    for path in sorted({path.parent for path in folder.rglob("events.out.tfevents*")}):
        events = EventAccumulator(str(path)).Reload()
        if tag in events.Tags()["scalars"]:
            found += [(event.step, event.value) for event in events.Scalars(tag)]
    return found


def mlflow_metric(store: Path, name: str) -> list[tuple[int, float]]:
    """(step, value) of a metric in a file store of MLflow, which has a file for each."""
    (path,) = store.glob(f"*/*/metrics/{name}")
    rows = (line.split() for line in path.read_text().splitlines())
    return sorted((int(step), float(value)) for _, value, step, *_ in rows)
