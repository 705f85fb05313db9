"""What a trainer's callback does, whichever the trainer: watch, log, write, and recycle on request.

A callback says when training begins and ends, when an optimiser has made a step and when a
checkpoint is saved; a `Monitor` does the rest.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from torch import Generator, nn
from torch.optim import Optimizer

from mlpinit._files import write_whole
from mlpinit.models import ranks
from mlpinit.recycle import Recycling, recycle
from mlpinit.watch import Report, Watch, audit, watch

__all__ = ["Monitor", "missing"]

Log = Callable[[dict[str, float], int], None]


class Monitor:
    """Watches a model while a trainer trains it.

    - `every`: look at one forward pass in so many
    - `log_every`: optimiser's steps from one log to the next
    - `recycle_every`: optimiser's steps from one recycling to the next, or None for no recycling.
      Units are recycled that are hard-dead on the whole of `data`: `mlpinit.recycle` says how
    - `data`: for recycling, batches that can be walked more than once, such as a `DataLoader`, or
      a tensor; the same on every rank. `generator`: it draws the recycled units' weights
    - `prefix`: of the names in the log: "watch/hard-dead", "watch/net.1/hard-dead"
    - the others: as for `mlpinit.watch.watch`

    And what it has found:

    - `report`: the latest `Report`, of all ranks, or None before the first
    - `recycled`: (step, `Recycling`) of each time that units were put back to work

    Raises `ValueError` for numbers below 1, for `recycle_every` without `data` and `generator`, and
    for a model whose parameters are sharded if it is to be recycled.
    """

    def __init__(
        self,
        *,
        every: int = 10,
        log_every: int = 100,
        recycle_every: int | None = None,
        data: Any = None,
        generator: Generator | None = None,
        prefix: str = "watch",
        **options: Any,
    ) -> None:
        """Nothing is watched before `start`."""
        for name, value in (("log_every", log_every), ("recycle_every", recycle_every)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} is {value!r}; wanted a whole number from 1 up")
        if recycle_every is not None and (data is None or generator is None):
            raise ValueError(
                "recycle_every needs data, on which units are dead or live, and a generator, which "
                "draws their new weights: WatchCallback(recycle_every=1000, data=loader, "
                "generator=torch.Generator().manual_seed(0))"
            )
        watch(nn.Identity(), every, **options)  # refuses what it cannot use, before any training
        self.every, self.log_every, self.recycle_every = every, log_every, recycle_every
        self.data, self.generator, self.prefix, self.options = data, generator, prefix, options
        self.report: Report | None = None
        self.recycled: list[tuple[int, Recycling]] = []
        self._watch: Watch | None = None
        self._model: nn.Module | None = None
        self._step = 0
        self._logged = -1
        self._warned = False

    def start(self, model: nn.Module, step: int = 0) -> None:
        """Watch `model` from now on; the optimiser has made `step` steps."""
        self.stop()
        if self.recycle_every is not None and _sharded(model):
            raise ValueError(
                "recycling writes whole weights, and this model's are sharded over the ranks; "
                "watch it without recycle_every, and recycle the gathered model after training"
            )
        self._model, self._step, self._logged = model, step, -1
        self._watch = watch(model, self.every, **self.options)
        self._watch.__enter__()

    def stop(self) -> None:
        """Leave the model as it was; nothing happens where none is watched."""
        if self._watch is not None:
            self._watch.__exit__(None, None, None)
        self._watch = self._model = None

    def step(self, step: int, log: Log, optimizers: Iterable[Optimizer] = ()) -> None:
        """The optimiser has made `step` steps in all: recycle and log, where that is due.

        `log(scalars, step)` is called on rank 0 alone.
        """
        before, self._step = self._step, step
        if (
            self.recycle_every is not None
            and step // self.recycle_every > before // self.recycle_every
        ):
            self._recycle(step, optimizers)
        if step // self.log_every > before // self.log_every:
            self.log(log)

    def log(self, log: Log) -> None:
        """Look at what is known now, and hand it on as scalars, once at each step."""
        if self._logged == self._step:
            return
        self._logged = self._step
        if self.look() and ranks.is_first():
            scalars = self.report.scalars(self.prefix)
            if self.recycle_every is not None:
                scalars[f"{self.prefix}/recycled"] = sum(done.n_units for _, done in self.recycled)
            log(scalars, self._step)

    def look(self) -> bool:
        """Bring `report` up to date; whether there is one. Every rank has to call this."""
        if self._watch is None:
            return False
        try:
            self.report = self._watch.report(all_ranks=True)
        except RuntimeError as error:
            if not self._warned:
                warnings.warn(f"nothing to report at step {self._step}: {error}", stacklevel=2)
            self._warned = True
            return False
        return True

    def write(self, folder: str | Path) -> None:
        """Write what is known now to `folder`/watch.json and watch.txt, in place of what is there.

        Every rank has to call this; rank 0 writes.
        """
        if self.look() and ranks.is_first():
            folder = Path(folder)
            folder.mkdir(parents=True, exist_ok=True)
            told = {"step": self._step, **self.report.to_dict()}
            write_whole(folder / "watch.json", json.dumps(told))
            write_whole(folder / "watch.txt", f"Step {self._step:,}\n{self.report}\n")

    def _recycle(self, step: int, optimizers: Iterable[Optimizer]) -> None:
        """Recycle what is dead on all of the data, and leave every rank with the same weights."""
        model = self._model
        dead = ranks.from_first(audit(model, self.data, progress=False).dead())
        if not dead:
            return
        optimizer = next(filter(partial(_trains, model=model), optimizers), None)
        done = recycle(model, dead, self.data, generator=self.generator, optimizer=optimizer)
        ranks.make_equal(chain(model.parameters(), model.buffers()))
        self.recycled.append((step, done))


def _trains(optimizer: Optimizer, model: nn.Module) -> bool:
    """Whether any of the model's parameters is the optimiser's."""
    own = {id(p) for p in model.parameters()}
    return any(id(p) in own for group in optimizer.param_groups for p in group["params"])


def _sharded(model: nn.Module) -> bool:
    """Whether FSDP has cut its parameters up; told by name, for its import takes a second."""
    return any(
        "FullySharded" in kind.__name__ or kind.__name__.startswith("FSDP")
        for module in model.modules()
        for kind in type(module).__mro__
    )


def missing(library: str, package: str) -> type:
    """Stands for the base class of a library that is not installed: whoever makes one is told."""

    class Missing:
        def __init__(self, *_: Any, **__: Any) -> None:
            raise ImportError(
                f"this callback is for {library}, which is not installed; pip install {package}"
            )

    return Missing
