"""A checkup before the first step: what a new model does with one batch, and what to change.

import mlpinit

found = mlpinit.checkup(model, (X, Y), torch.nn.functional.cross_entropy, optimizer=optimizer)
print(found)           # a verdict in sentences; or leave `found` last in a notebook's cell
found.healthy          # whether nothing was found
found.findings         # what was, each with its evidence and what to change
found.figure()         # signal, gradient and update, layer by layer
found.to_dict()        # all of it, for JSON
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from mlpinit.models import checkup_views
from mlpinit.models.batches import moved
from mlpinit.models.chance import Chance, chance
from mlpinit.models.findings import Finding, Inputs, Measurements, findings, remarks
from mlpinit.models.first_pass import Layer, first_pass
from mlpinit.models.statistics import listed
from mlpinit.models.untouched import random_numbers, untouched
from mlpinit.progress import printable
from mlpinit.watch import Report, watch

__all__ = ["Checkup", "checkup"]


@dataclass(frozen=True, repr=False)
class Checkup:
    """What `checkup` found.

    - `findings`: what is wrong, what brings the rest first; empty for a healthy start
    - `remarks`: what may be on purpose: parameters that are frozen, or not used
    - `loss`, `chance`: the loss on the batch, and that of knowing nothing
    - `inputs`: the scale of what goes in, of each tensor of floats
    - `layers`: one entry for each use of a layer, in that order
    - `sites`: the `Report` of a watch of the same batch, or None where no activation was seen
    - `optimizer`: the class of the optimiser whose step was tried, or ""
    """

    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]
    loss: float
    chance: Chance
    inputs: tuple[Inputs, ...]
    layers: tuple[Layer, ...]
    sites: Report | None
    optimizer: str = ""

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def named(self) -> tuple[str, ...]:
        """The sicknesses that no other finding can account for: what to mend first."""
        return tuple(f.name for f in self.findings if not f.after)

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain lists and numbers, as JSON has them: what is no number is None."""
        return listed(
            {
                "healthy": self.healthy,
                "findings": [asdict(f) for f in self.findings],
                "remarks": list(self.remarks),
                "loss": self.loss,
                "chance": asdict(self.chance),
                "inputs": [asdict(i) for i in self.inputs],
                "layers": [asdict(layer) for layer in self.layers],
                "sites": None if self.sites is None else self.sites.to_dict(),
                "optimizer": self.optimizer,
            }
        )

    def figure(self) -> Figure:
        """Signal, gradient and, with an optimiser, its step layer by layer; flat units."""
        return checkup_views.figure(self)

    def __str__(self) -> str:
        """The verdict in sentences, then a line a layer; 80 columns."""
        return printable(checkup_views.text(self))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return checkup_views.html(self)


def checkup(
    model: nn.Module,
    batch: object,
    loss: Callable[[Any, Any], Tensor],
    *,
    optimizer: torch.optim.Optimizer | None = None,
    call: Callable[[nn.Module, Any], Any] | None = None,
) -> Checkup:
    """Look at a model before its first step: one batch forward and back, and a verdict.

    - `batch`: (inputs, targets), or a mapping, which goes in by name. Inputs that are a mapping go
      in by name too, those that are a tuple in order. One or two hundred examples are enough for
      most of it
    - `loss(output, targets)`, of a mapping `loss(output, batch)`: a tensor of one number
    - `optimizer`: its first step is worked out on a copy, for the update-to-data ratio
    - `call(model, inputs)`, of a mapping `call(model, batch)`: how to run the model if not so

    Looked at are the loss beside that of chance; how sure the output is; the scale of the inputs;
    what each layer gives, and the gradient that comes back to it; units that are saturated, dead,
    or copies of each other; parameters without a gradient; and the optimiser's first step. Layers
    of one kind, with names that differ in their numbers alone, are a chain, to which a factor a
    layer is fitted. The rules and their thresholds stand in `mlpinit.models.findings`.

    The model is run in training mode, as its first step would be; parts of a model in training mode
    that are in evaluation mode themselves stay so. No step is taken: parameters, buffers (a batch
    norm's running figures too), modes, gradients, random numbers and the optimiser are as before,
    bit for bit. Forward hooks that you have set run as in any forward pass. The forward is run
    twice, the second time with the same random numbers, and a second and third copy of the
    parameters are held meanwhile.

    Raises `TypeError` for what is no module, no pair and no mapping, and for a batch that the
    forward does not take; `ValueError` for a model that cannot be watched (see `mlpinit.watch`),
    for a loss that is no single number or depends on no parameter, and for an optimiser that holds
    none of the model's parameters.

    Source: the update-to-data ratio and its rule of thumb are Karpathy's, "Building makemore Part
    3" (2022); the factors a layer are those of Glorot & Bengio (2010) and He et al. (2015).

    >>> from torch.nn.functional import cross_entropy
    >>> model = nn.Sequential(nn.Linear(4, 50), nn.ReLU(), nn.Linear(50, 3))
    >>> batch = torch.randn(100, 4), torch.randint(3, (100,))
    >>> checkup(model, batch, cross_entropy).healthy
    True
    >>> with torch.no_grad():
    ...     _ = model[2].weight.mul_(50)
    >>> checkup(model, batch, cross_entropy).named()
    ('loss above chance',)
    """
    _check(model, batch, loss, optimizer)
    device = next((p.device for p in model.parameters()), None)
    batch = moved(batch, device)
    inputs, told = (batch, batch) if isinstance(batch, Mapping) else batch

    def run() -> object:
        return call(model, inputs) if call is not None else _call(model, inputs)

    with untouched(model):
        if not model.training:
            model.train()
        report, unseen = _activations(model, run)
        passed = first_pass(model, run, lambda output: loss(output, told), optimizer)
    known = chance(loss, passed.loss, passed.output, batch)
    measured = Measurements(
        passed, known, tuple(_inputs(inputs)), report, *_rate(optimizer), unseen=unseen
    )
    return Checkup(
        findings=findings(measured),
        remarks=tuple(remarks(measured)),
        loss=passed.loss,
        chance=known,
        inputs=measured.inputs,
        layers=passed.layers,
        sites=report,
        optimizer=measured.optimizer,
    )


def _check(model: object, batch: object, loss: object, optimizer: object) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is {type(model).__name__}; wanted a torch.nn.Module")
    pair = isinstance(batch, tuple | list) and len(batch) == 2
    if not pair and not isinstance(batch, Mapping):
        came = f"{type(batch).__name__}" + (
            f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
        )
        raise TypeError(
            f"batch is a {came}; wanted (inputs, targets), or a mapping that goes in by name"
        )
    if not callable(loss):
        raise TypeError(f"loss is {loss!r}; wanted a function: loss(output, targets)")
    lazy = [n for n, p in model.named_parameters() if isinstance(p, nn.UninitializedParameter)]
    if lazy:
        raise ValueError(f"{lazy[0]} has no shape yet: run the lazy model once on a batch first")
    if optimizer is not None:
        held = {p for group in optimizer.param_groups for p in group["params"]}
        if not held & set(model.parameters()):
            raise ValueError(
                "the optimiser holds none of the model's parameters; make it from this model: "
                "torch.optim.Adam(model.parameters())"
            )


def _call(model: nn.Module, inputs: object) -> object:
    try:
        if isinstance(inputs, Mapping):
            return model(**inputs)
        return model(*inputs) if type(inputs) in (tuple, list) else model(inputs)
    except TypeError as error:
        raise TypeError(
            f"{type(model).__name__} does not take this batch ({error}); tell how it is run: "
            "checkup(model, batch, loss, call=lambda model, inputs: ...)"
        ) from error


def _activations(model: nn.Module, run: Callable[[], object]) -> tuple[Report | None, str]:
    """What a watch sees of the batch, or why nothing; the next pass draws the same numbers."""
    with (
        random_numbers(model),
        torch.enable_grad(),  # as in the other pass: a forward may want a gradient of its own
        watch(model, phase="any", window=sys.maxsize, enough=1) as w,
    ):
        run()
    try:
        return w.report(), ""
    except RuntimeError as error:  # it says that no activation was seen, and why
        return None, str(error)


def _inputs(inputs: object) -> Iterator[Inputs]:
    for name, t in _tensors(inputs, "batch"):
        if not t.is_floating_point() or not t.numel():
            continue
        x = t.detach().double()
        table = x.ndim == 2 and len(x) > 1
        yield Inputs(
            name=name,
            mean=x.mean().item(),
            std=x.std(correction=0).item(),
            rms=x.square().mean().sqrt().item(),
            largest=x.abs().max().item(),
            widest=(x.square().mean(0).sqrt().max() if table else x.square().mean().sqrt()).item(),
            finite=bool(x.isfinite().all()),
        )


def _tensors(value: object, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _tensors(entry, str(key))
    elif isinstance(value, tuple | list):
        for nth, entry in enumerate(value):
            yield from _tensors(entry, f"{name}[{nth}]")


def _rate(optimizer: torch.optim.Optimizer | None) -> tuple[str, float | None]:
    if optimizer is None:
        return "", None
    rate = optimizer.param_groups[0].get("lr")
    return type(optimizer).__name__, None if rate is None else float(rate)
