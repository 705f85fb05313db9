"""What other tools say of networks whose dead units are known, each used as its own page shows.

`make bench-watch` compares those that are installed; `make bench-peers` installs all of them, at
the versions of `peers.txt`, into an environment of their own, and records the table in `peers.md`.

A tool is a function of a `Patient` (see `watch.py`) that trains it under the tool's eyes. What it
gives back is how many units the tool calls dead, in its own words where it names no number, and the
milliseconds a step. Tools that look at one batch, or run a data set through, are given all of the
patient's data after an unwatched training; their price is that of a bare step and says nothing.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import tempfile
import time
from collections.abc import Callable
from importlib import metadata

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["AFTER", "TOOLS", "Tool", "installed"]

Tool = Callable[["object"], tuple[str, float]]
LR = 0.01


def loop(patient: object, before: Callable[[], object], after: Callable[[], object]) -> float:
    """Milliseconds a step of plain training, with a tool's calls around each."""
    optimizer = torch.optim.SGD(patient.model.parameters(), lr=LR)
    begin = time.perf_counter()
    for X, Y in patient.batches:
        before()
        optimizer.zero_grad()
        F.cross_entropy(patient.model(X), Y).backward()
        after()
        optimizer.step()
    return (time.perf_counter() - begin) / len(patient.batches) * 1e3


def nothing() -> None:
    """Before or after a step."""


def called(n: int | None) -> str:
    """A tool's answer: how many units it calls dead, of the hidden layer."""
    return "nothing of the layer" if n is None else f"{n} dead"


def torch_module_monitor(patient: object) -> tuple[str, float]:
    """`ModuleMonitor` with the usual metric for dead units: the share of zeros."""
    from torch_module_monitor import ModuleMonitor  # noqa: PLC0415

    monitor = ModuleMonitor(monitor_step_fn=lambda step: True)
    monitor.set_module(patient.model)
    monitor.add_activation_metric("zeros", lambda h: (h == 0).float().mean(dim=-1))
    steps = iter(range(len(patient.batches)))
    cost = loop(patient, lambda: monitor.begin_step(next(steps)), monitor.end_step)
    shares = {k: float(v) for k, v in monitor.get_step_metrics().items() if "activation/" in k}
    own = [v for k, v in shares.items() if f"/{patient.site}/" in k]
    return (f"zeros {own[0]:.0%}; no unit named" if own else called(None)), cost


def torchinstruments(patient: object) -> tuple[str, float]:
    """Its observer as it comes: all statistics, once a minute."""
    import torchinstruments as ti  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        ti.inject_observer(patient.model, output_dir=folder)
        try:
            cost = loop(patient, nothing, nothing)
        finally:
            ti.remove_observer(patient.model)
    return "mean, std, rms of layers; no unit named", cost


def neural_observatory(patient: object) -> tuple[str, float]:
    """`Observatory` with its defaults; its analyser of dead neurons gives a number a layer."""
    from neural_observatory import Observatory  # noqa: PLC0415

    logging.disable(logging.CRITICAL)
    try:
        observatory = Observatory(patient.model)
        observatory.watch()
        cost = loop(patient, nothing, observatory.step)
        report = observatory.report()
        observatory.stop()
    finally:
        logging.disable(logging.NOTSET)
    found = [r for r in report.results if r.analyzer_name == "dead_neurons"]
    own = [r for r in found if r.layer_name == patient.site]
    return called(int(own[0].metrics["dead_neurons"]) if own else None), cost


def torchdiag(patient: object) -> tuple[str, float]:
    """`check_dead_neurons` on all of the data at once."""
    import torchdiag as td  # noqa: PLC0415

    cost = loop(patient, nothing, nothing)
    with contextlib.redirect_stdout(io.StringIO()):
        found = td.check_dead_neurons(patient.model, patient.X)
    return called(found[patient.site]["dead"] if patient.site in found else None), cost


def dead_relu_viz(patient: object) -> tuple[str, float]:
    """`visualization` on all of the data; it looks at what layers give, before the activation."""
    from dead_relu_viz import visualization  # noqa: PLC0415

    cost = loop(patient, nothing, nothing)
    loader = [(x, None) for x in patient.X.split(1_000)]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        visualization(_Floats(patient.model), loader, with_activation=True, device="cpu")
    counts = re.findall(rf"inner\.{patient.layer} ->\s+(?:(\d+)|none) dead", said.getvalue())
    return called(int(counts[0] or 0) if counts else None), cost


class _Floats(nn.Module):
    """A model of contexts, for a tool that draws it from floats of its own."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Whole numbers from 0 to 26, whatever comes."""
        return self.inner(x.long().clamp(0, 26))


TOOLS: dict[str, Tool] = {
    "torch-module-monitor": torch_module_monitor,
    "torchinstruments": torchinstruments,
    "neural-observatory": neural_observatory,
    "torchdiag": torchdiag,
    "dead-relu-viz": dead_relu_viz,
}
AFTER = ("torchdiag", "dead-relu-viz")
"""The tools that look after the training: they cost its steps nothing."""


def installed() -> dict[str, Tool]:
    """The tools that are here, by name and version."""
    found = {}
    for name, tool in TOOLS.items():
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[f"{name} {metadata.version(name)}"] = tool
    return found
