"""Every unit over a whole data set, with the parameters fixed: the verdicts are exact for it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from tqdm import tqdm

from mlpinit.models import ranks
from mlpinit.models.batches import moved
from mlpinit.models.padding import checked
from mlpinit.models.report import Report
from mlpinit.models.tracing import evaluating
from mlpinit.models.watch import Activations, Mask, Watch
from mlpinit.progress import bar as progress_bar

__all__ = ["audit"]

BATCH = 1024  # rows of a plain tensor at a time


def audit(
    model: nn.Module,
    loader: Iterable,
    *,
    call: Callable[[nn.Module, Any], Any] | None = None,
    progress: bool | None = None,
    activations: Activations | None = None,
    ignore: Iterable[str] = (),
    together: Iterable[str] = (),
    axes: Mapping[str, int] | None = None,
    batch_axis: int = 0,
    mask: Mask = None,
    all_ranks: bool = False,
    group: Any = None,
) -> Report:
    """Run `model` once over a data set in evaluation mode, and judge every unit on all of it.

    - `loader`: batches, as a `DataLoader` gives them: a tensor, (inputs, ...) of which the first
      goes in, or a dict, which goes in by name. A packed sequence, or anything else, goes in as it
      is. A single tensor is a data set of its own
    - `call(model, batch)`: how to run the model on a batch where that is not so
    - `progress`: a bar on stderr; None shows it in a terminal and a notebook
    - `mask`: as for `watch`, but that `mask(batch)` is given the batch as the loader gives it
    - `all_ranks`, `group`: where each rank of a distributed run is given its share of the data, as
      a `DistributedSampler` deals it, merge what all saw. Every rank has to call, as for
      `Watch.report`, and an error on one rank is then raised on all. To give each rank as much,
      that sampler repeats fewer examples than there are ranks: they count twice, and no verdict
      turns on it. Hand over `model.module` of a `DistributedDataParallel`, whose own forward may
      wait for the other ranks
    - the others: as for `watch`

    Batches are moved to the device of the model's first parameter. Every module is back in its
    own mode afterwards; no gradients are kept. The verdicts are exact for this data set: a unit
    is hard-dead if its slope is exactly 0 on every row. For data like it, n rows without a live
    one bound the live rate at about 3/n. Mean |h| is counted too, and so Sokar's dormancy score.

    Raises `ValueError` for an empty data set and for a mask of another shape than the batch's,
    `TypeError` for a tuple of inputs and targets, for batches that the model's forward does not
    take and for a mask that is no bool tensor, and whatever `watch` raises.

    >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> with torch.no_grad():
    ...     _ = model[0].bias.zero_()
    ...     model[0].bias[5] = -100.0
    >>> audit(model, torch.randn(500, 3)).dead()
    {'1': [5]}
    """
    watch = Watch(
        model,
        phase="any",
        window=sys.maxsize,
        activations=activations,
        ignore=ignore,
        together=together,
        axes=axes,
        batch_axis=batch_axis,
        mask=mask,
        sizes=True,
        data_set=True,
    )
    try:
        _run(watch, loader, call, progress)
        empty = _empty(watch)
        if empty is not None and not all_ranks:
            raise empty
    except Exception as error:
        if all_ranks:  # the others wait
            told = RuntimeError(f"{type(error).__name__}: {error}")
            ranks.gathered(ranks.Part(error=told, failed=True), group)
        raise
    if not all_ranks:
        return watch.report()
    part = watch.part()
    return ranks.merged(
        ranks.gathered(part if empty is None else replace(part, error=empty), group)
    )


def _run(
    watch: Watch,
    loader: Iterable,
    call: Callable[[nn.Module, Any], Any] | None,
    progress: bool | None,
) -> None:
    """Run the watched model on all of the data."""
    model, padding = watch.model, watch.padding
    if isinstance(loader, tuple) and _unlike(loader):
        raise TypeError(
            "loader is a tuple of tensors that are unlike: inputs and targets? wanted batches, as "
            "a DataLoader or a list has them, or the tensor of all inputs alone: audit(model, X)"
        )
    if isinstance(loader, Mapping):
        raise TypeError(
            f"loader is {_described(loader)}: one batch? wanted batches, as a DataLoader or a list "
            "has them: audit(model, [batch]); if the model does not take it by name, with "
            "call=lambda model, batch: ... too"
        )
    batches = loader.split(BATCH) if isinstance(loader, Tensor) else loader
    run = call or _Call(model)
    device = next((p.device for p in chain(model.parameters(), model.buffers())), None)
    bar = tqdm(batches, desc="audit", unit="batch", **progress_bar(progress))
    with watch, evaluating(model), torch.no_grad(), bar:
        for batch in bar:
            batch = moved(batch, device)  # noqa: PLW2901
            if callable(padding.mask):
                mask = padding.mask(batch)
                padding.told = checked(mask, *_inputs(run, batch), padding.batch_axis)
            run(model, batch)


def _empty(watch: Watch) -> ValueError | None:
    """The error of a data set without a row, if it is one."""
    if not watch.passes:
        return ValueError("the data set is empty: no batch came, and so nothing was run")
    seen = [site for site in watch.sites.values() if site is not None and not site.meta]
    if seen and all(site.empty for site in seen):
        return ValueError(f"the data set is empty: {watch.passes:,} batches came without a row")
    return None


def _unlike(loader: tuple) -> bool:
    """Whether these tensors cannot all be batches of the same inputs."""
    kinds = {(x.dtype, x.shape[1:]) for x in loader if isinstance(x, Tensor)}
    return len(kinds) > 1


class _Call:
    """Runs a model on batches as loaders give them."""

    def __init__(self, model: nn.Module) -> None:
        """The forward is looked at before it is watched."""
        self.name = type(model).__name__
        try:
            self.signature = inspect.signature(model.forward)
        except (TypeError, ValueError):
            self.signature = None

    def __call__(self, model: nn.Module, batch: Any) -> Any:
        """The model's answer, or a `TypeError` that says what came and what to write."""
        args, named = self.arguments(batch)
        if self.signature is not None:
            try:
                self.signature.bind(*args, **named)
            except TypeError as error:
                raise self._error(batch, str(error)) from error
        try:
            return model(*args, **named)
        except (TypeError, AttributeError) as error:
            if all(isinstance(x, Tensor) for x in (*args, *named.values())):
                raise
            raise self._error(batch, str(error).partition("\n")[0]) from error

    def arguments(self, batch: Any) -> tuple[tuple, dict[str, Any]]:
        """What the forward is given, in order and by name."""
        if isinstance(batch, list | tuple) and not isinstance(batch, PackedSequence):
            if not batch:
                raise self._error(batch, "there is nothing in it")
            batch = batch[0]
        if isinstance(batch, Mapping) and not self._as_one(batch):
            return (), dict(batch)
        return (batch,), {}

    def _as_one(self, batch: Mapping) -> bool:
        """Whether the forward takes one thing, and none of the names in the mapping."""
        if self.signature is None:
            return False
        parameters = self.signature.parameters
        required = [p for p in parameters.values() if p.default is p.empty]
        loose = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        return len(required) == 1 and not loose and not set(batch) & set(parameters)

    def _error(self, batch: Any, why: str) -> TypeError:
        return TypeError(
            f"a batch is {_described(batch)}, and {self.name}.forward{self.signature or ''} does "
            f"not take it ({why}). Of a tuple or a list the first item goes in, and a dict by "
            "name; tell how else: audit(model, loader, call=lambda model, batch: model(*batch))"
        )


def _inputs(run: Callable, batch: Any) -> tuple[tuple, dict[str, Any]]:
    """What the forward will be given, as far as that is known."""
    if isinstance(run, _Call):
        return run.arguments(batch)
    return (tuple(batch) if isinstance(batch, list | tuple) else (batch,)), {}


def _described(value: Any) -> str:
    """What came, in a few words."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    kind = type(value).__name__
    if isinstance(value, Mapping):
        return f"a {kind} of {', '.join(map(repr, list(value)[:8]))}"
    if isinstance(value, list | tuple) and not isinstance(value, PackedSequence):
        return f"a {kind} ({', '.join(map(_described, value[:8]))})"
    return f"a {kind}"
