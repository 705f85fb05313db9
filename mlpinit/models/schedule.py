"""Recycle what has fallen asleep every so many steps, with one line in one's own loop.

`schedule` keeps a model, data to judge its units on, and an optimiser. Its `step` counts; when it
is time, the units that say nothing are found and started anew, and what was done is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Generator, nn
from torch.optim import Optimizer

from mlpinit.init import Scheme
from mlpinit.models.audit import audit
from mlpinit.models.recycle import Recycling, recycle
from mlpinit.models.tracing import check_model
from mlpinit.progress import printable

__all__ = ["Round", "Schedule", "schedule"]


@dataclass(frozen=True)
class Round:
    """One time that a schedule looked.

    - `step`: the step after which it did, from 1
    - `units`: site → those that were to be recycled, ascending; only sites that had any
    - `done`: what `recycle` answered, or None where there was nothing to do
    """

    step: int
    units: dict[str, list[int]]
    done: Recycling | None

    @property
    def n_units(self) -> int:
        """How many units were recycled; those of a site that was left as it is do not count."""
        return 0 if self.done is None else self.done.n_units

    def __str__(self) -> str:
        """The step, and what was done."""
        told = "nothing to recycle" if self.done is None else str(self.done)
        return printable(f"step {self.step}: {told}")


class Schedule:
    """What `schedule` makes: `step()` once after every step of the optimiser.

    - `steps`: how often `step` was called
    - `history`: a `Round` for each time that it looked
    """

    def __init__(
        self,
        model: nn.Module,
        data: Iterable,
        *,
        every: int,
        generator: Generator,
        threshold: float | None,
        optimizer: Optimizer | None,
        weights: float | Scheme | None,
    ) -> None:
        """As `schedule`, which says what each argument is."""
        check_model(model)
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every is {every!r}; wanted a whole number of steps, at least 1")
        if threshold is not None and not 0 <= threshold < 1:
            raise ValueError(
                f"threshold is {threshold!r}; wanted a share of the layer's mean, at least 0 and "
                "under 1, such as 0.025, or None for hard-dead units"
            )
        if iter(data) is data:
            raise TypeError(
                f"data is a {type(data).__name__}, which can be walked once; wanted a batch or "
                "batches that can be walked again, as a list or a DataLoader"
            )
        self.model, self.data, self.every, self.threshold = model, data, every, threshold
        self.generator, self.optimizer, self.weights = generator, optimizer, weights
        self.steps = 0
        self.history: list[Round] = []

    def step(self) -> Recycling | None:
        """Count a step; each `every`-th time, recycle, and tell what was done, if anything was."""
        self.steps += 1
        if self.steps % self.every:
            return None
        units = self.asleep()
        done = self._recycled(units) if units else None
        self.history.append(Round(self.steps, units, done))
        return done

    def asleep(self) -> dict[str, list[int]]:
        """Site → units that a round would recycle now; nothing is changed."""
        report = audit(self.model, self.data, progress=False)
        if self.threshold is None:
            return report.dead()
        found = {
            name: (site.recent.dormancy <= self.threshold).nonzero()[:, 0].tolist()
            for name, site in report.sites.items()
        }
        return {name: units for name, units in found.items() if units}

    def _recycled(self, units: dict[str, list[int]]) -> Recycling:
        return recycle(
            self.model,
            units,
            self.data,
            generator=self.generator,
            optimizer=self.optimizer,
            weights=self.weights,
            tolerance=None if self.threshold is None else math.inf,
        )


def schedule(
    model: nn.Module,
    data: Iterable,
    *,
    every: int,
    generator: Generator,
    threshold: float | None = None,
    optimizer: Optimizer | None = None,
    weights: float | Scheme | None = None,
) -> Schedule:
    """Recycle the units of a model that say nothing, every so many steps of training.

        sleepers = schedule(model, loader, every=500, optimizer=optimizer, generator=g)
        for x, y in batches:
            ...
            optimizer.step()
            sleepers.step()

    - `data`: a batch, or batches that can be walked again, as `recycle` takes them: what the units
      are judged on, in evaluation mode, all of it each time. Units that speak on other data only
      count as silent
    - `every`: steps from one look to the next, at least 1
    - `generator`: draws the incoming weights of recycled units, as in `recycle`
    - `threshold`: None for the units that are hard-dead on the data, so that the outputs on it stay
      what they were; a number for units whose dormancy (`saturation.dormancy`: mean |h| over the
      layer's mean) is at most that. What a dormant unit still said, its mean aside, is then lost
    - `optimizer`: as in `recycle`: its state for what is redrawn is reset
    - `weights`: as in `recycle`, by default PyTorch's own

    Raises `ValueError` for another `every` or `threshold`, `TypeError` for data that can be walked
    once only, and, when it looks, whatever `audit` and `recycle` raise. The dormancy score cannot
    see a tanh unit stuck at ±1; for tanh leave the threshold at None.

    Source: Sokar, Agarwal, Castro & Evci, "The Dormant Neuron Phenomenon in Deep Reinforcement
    Learning" (2023), algorithm 1 (ReDo), with threshold=0.025 and every=1000 there.

    >>> import torch
    >>> g = Generator().manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> with torch.no_grad():
    ...     _ = model[0].bias.fill_(2.0)[5].sub_(100.0)
    >>> sleepers = schedule(model, torch.rand(64, 3, generator=g), every=2, generator=g)
    >>> sleepers.step(), sleepers.step().n_units, sleepers.history[0].units
    (None, 1, {'1': [5]})
    """
    return Schedule(
        model,
        data,
        every=every,
        generator=generator,
        threshold=threshold,
        optimizer=optimizer,
        weights=weights,
    )
