"""Record a training run of the book's network, small enough for a page to carry.

The run is one of `train.sgd`: made here by `record`, or made already and handed to `observe`. About
sixty of its steps, evenly spaced on a logarithmic axis, become frames: what the hidden layer
answers to one batch, how large the gradients and the updates on it are, and how well the network
does on unseen words. That probe batch is the first one of the run, or of the same seed's run
without normalisation where it has any.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mlpinit import corpus as corpora
from mlpinit import init, mlp, saturation, train
from mlpinit.corpus import Contexts, Splits
from mlpinit.init import Scheme
from mlpinit.normalize import Statistics
from mlpinit.params import Architecture, Params

__all__ = [
    "BINS",
    "REACH_H",
    "REACH_Z",
    "Recording",
    "continued",
    "frame_steps",
    "observe",
    "record",
]

BINS = 50
FRAMES = 60
FEW = 2000  # contexts that a census begins with
REACH_Z = 12.0
"""Histograms of z run from minus this to this; what lies beyond is in the bins at the ends."""

REACH_H = 1.0


@dataclass(frozen=True, eq=False)
class Recording:
    """What the training microscope shows of one run, `frames` times; the numbers are exact.

    - `label`: the run's name in words; `about`: what was run, in a line
    - `steps`: (frames,) int64, the updates done before each frame; the last is the run's length
    - `tensors`: the parameters' names as the field writes them: C, W1, b1, W2, b2, gain1
    - `white`: (frames, 32, units) bool, the saturation map of the probe batch, |h| > 0.99
    - `z`, `h`: (frames, 50) int64, how many of that batch's entries lie in each bin
    - `soft`, `hard`: (frames,) int64, the units that are dead over the whole training set
    - `batch_loss`: (frames,), nats, the mean over the steps since the frame before; the first is
      the loss of the first batch
    - `dev_loss`: (frames,), nats, over the whole dev split
    - `rate`: (frames,), the learning rate of the next step
    - `gradient`: (frames, tensors), the root mean square of the gradient on the probe batch
    - `ratio`: (frames, tensors), std(lr · gradient) / std(parameter): the next update against what
      it updates; nan where all entries of the parameter are equal, as biases at 0 are
    """

    label: str
    about: str
    steps: Tensor
    tensors: tuple[str, ...]
    white: Tensor
    z: Tensor
    h: Tensor
    soft: Tensor
    hard: Tensor
    batch_loss: Tensor
    dev_loss: Tensor
    rate: Tensor
    gradient: Tensor
    ratio: Tensor

    def data(self) -> dict[str, object]:
        """The recording quantised, ready for JSON: what a page carries, `microscope.js` reads.

        Histograms and maps are exact: counts as 16 bits, the low byte first, and cells as one bit,
        the first in the highest, each in base64. Losses have four decimals, so they are off by
        0.00005 at most; rates, gradients and ratios have three digits, and are off by 0.5% at most.
        """
        return {
            "label": self.label,
            "about": self.about,
            "steps": self.steps.tolist(),
            "tensors": list(self.tensors),
            "rows": self.white.size(1),
            "units": self.white.size(2),
            "reachZ": REACH_Z,
            "reachH": REACH_H,
            "white": _base64(_bits(self.white)),
            "z": _base64(_words(self.z)),
            "h": _base64(_words(self.h)),
            "soft": self.soft.tolist(),
            "hard": self.hard.tolist(),
            "batchLoss": [round(x, 4) for x in self.batch_loss.tolist()],
            "devLoss": [round(x, 4) for x in self.dev_loss.tolist()],
            "rate": _three_digits(self.rate[None])[0],
            "gradient": _three_digits(self.gradient),
            "ratio": _three_digits(self.ratio),
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Recording:
        """The recording that `data` was made of, as exact as `data` is."""
        frames, rows, units = len(data["steps"]), data["rows"], data["units"]
        return cls(
            label=data["label"],
            about=data["about"],
            steps=torch.tensor(data["steps"]),
            tensors=tuple(data["tensors"]),
            white=_cells(_bytes(data["white"]), frames, rows * units).view(frames, rows, units),
            z=_counts(_bytes(data["z"])).view(frames, BINS),
            h=_counts(_bytes(data["h"])).view(frames, BINS),
            soft=torch.tensor(data["soft"]),
            hard=torch.tensor(data["hard"]),
            batch_loss=_numbers(data["batchLoss"]),
            dev_loss=_numbers(data["devLoss"]),
            rate=_numbers(data["rate"]),
            gradient=_numbers(data["gradient"]),
            ratio=_numbers(data["ratio"]),
        )

    def json(self) -> str:
        """`data` as text that may stand in a page's script: without any `<`."""
        text = json.dumps(self.data(), ensure_ascii=False, separators=(",", ":"))
        return text.replace("<", "\\u003c")

    @property
    def digest(self) -> str:
        """A name that only this recording has: eight hexadecimal digits of its content's hash."""
        return hashlib.sha256(self.json().encode()).hexdigest()[:8]

    def script(self, name: str) -> str:
        """A classic script that gives the recording to the labs under that name."""
        return (
            "// Made by mlpinit.lab.recording.\n"
            "((globalThis.mlpinitLab ??= {}).recordings ??= {})"
            f"[{json.dumps(name)}] = {self.json()};\n"
        )


def record(
    scheme: Scheme,
    *,
    label: str | None = None,
    corpus: str | Path = "surnames",
    normalize: str | None = None,
    steps: int = 20_000,
    frames: int = FRAMES,
    seed: int = 2147483647,
    batch_size: int = 32,
    lr: float | train.Schedule | None = None,
    progress: bool | None = None,
) -> Recording:
    """Train the book's network from that start, and keep what the training microscope shows.

    - `label`: the run's name in the lab; None for the scheme's
    - `corpus`: what `corpus.load` takes
    - `normalize`: what stands before the tanh, as in `Architecture`. With 'batch', z, h and the
      gradients are those that training sees, normalised by the batch itself; the dev loss and the
      dead units are told with `train.calibrate`'s statistics
    - `steps`, `batch_size`, `lr`: as in `train.sgd`
    - `frames`: how many steps are kept, as `frame_steps` chooses them
    - `seed`: of the one generator that draws the network and then the batches

    Raises `ValueError` as `train.sgd` does, and `TrainingDivergedError` for a run that diverges.
    """
    found = corpora.load(corpus)
    splits = corpora.split(found)
    arch = Architecture(vocab_size=found.vocab_size, normalize=normalize)
    g = torch.Generator().manual_seed(seed)
    start = init.draw(arch, scheme, generator=g)
    run = train.sgd(
        start,
        splits.train,
        steps=steps,
        generator=g,
        batch_size=batch_size,
        lr=lr,
        snapshots=frame_steps(steps, frames),
        progress=progress,
    )
    norm = "" if normalize is None else f", {normalize} norm"
    return observe(
        run,
        splits,
        label=f"{scheme.name}{norm}" if label is None else label,
        about=f"{scheme.name}{norm}, {found.source}, seed {seed}, {steps:,} steps",
        seed=seed,
        batch_size=batch_size,
        lr=lr,
    )


def observe(
    run: train.Run,
    splits: Splits,
    *,
    label: str = "",
    about: str = "",
    seed: int = 2147483647,
    batch_size: int = 32,
    lr: float | train.Schedule | None = None,
) -> Recording:
    """What the training microscope shows of a run that was trained with `snapshots`: its frames.

    - `run`: of one network; of a stack's pick one, `run.run(k)`. The first step and the end are to
      be among its snapshots, as they are among those of `frame_steps`
    - `splits`: what it was trained on, and the dev split
    - `label`, `about`: as in `Recording`
    - `seed`: whose first batch all frames are shown on, of `batch_size` examples
    - `lr`: what `train.sgd` was given

    Raises `ValueError` for a stack, and for a run without these snapshots.
    """
    if run.losses.ndim != 1:
        raise ValueError(f"this run is of {len(run.losses)} networks; pick one: run.run(k)")
    steps, at = len(run.losses), sorted(run.snapshots)
    if len(at) < 2 or (at[0], at[-1]) != (0, steps):
        raise ValueError(
            f"the run has {steps:,} steps and snapshots at {at}; wanted the first and the last "
            f"among them: train.sgd(..., snapshots=frame_steps({steps}))"
        )
    probe = _probe(splits.train, batch_size, run.params.arch, seed)
    schedule = train.as_schedule(lr, steps)
    seen = (_frame(run.snapshots[step], splits, probe, schedule(step)) for step in at)
    return Recording(
        label=label,
        about=about,
        steps=torch.tensor(at),
        tensors=tuple(_field_name(name) for name in run.params.names()),
        batch_loss=_since_last(run.losses, at),
        **{name: torch.stack(kept) for name, kept in _columns(seen)},
    )


def continued(first: Recording, rest: Recording, *, at: int) -> Recording:
    """The recording of a run that is `first` until step `at` and `rest` from there on.

    Two runs that differ only from some step on need their common part trained and observed once.

    - `first`: has a frame at step `at`
    - `rest`: of a run that began with the parameters of that frame; its steps count from there

    Raises `ValueError` when `first` has no such frame.
    """
    if at not in first.steps.tolist():
        raise ValueError(f"there is no frame at step {at:,}; there are {first.steps.tolist()}")
    before = first.steps < at
    both = {
        name: torch.cat([getattr(first, name)[before], getattr(rest, name)])
        for name in ("white", "z", "h", "soft", "hard", "dev_loss", "rate", "gradient", "ratio")
    }
    return replace(
        rest,
        steps=torch.cat([first.steps[before], rest.steps + at]),
        # The frame at `at` looks back on the steps before it.
        batch_loss=torch.cat([first.batch_loss[first.steps <= at], rest.batch_loss[1:]]),
        **both,
    )


def frame_steps(steps: int, frames: int = FRAMES) -> list[int]:
    """`frames` of the steps from 0 to `steps`, the ends among them, evenly spaced on a log axis.

    Whole numbers are too far apart for that at first: there they come one after another. A run
    with fewer steps has fewer frames.

    >>> frame_steps(1_000, 10)
    [0, 1, 2, 5, 12, 29, 70, 170, 412, 1000]
    """
    if steps < 1 or frames < 2:
        raise ValueError(f"{frames} frames of {steps} steps; wanted at least 2 of at least 1")
    at = [0, 1] if frames > 2 else [0]
    for left in range(min(frames, steps + 1) - len(at), 0, -1):
        last = max(at[-1], 1)
        at.append(max(at[-1] + 1, round(last * (steps / last) ** (1 / left))))
    return at


def _probe(contexts: Contexts, batch_size: int, arch: Architecture, seed: int) -> Contexts:
    """The first batch of that seed's run without normalisation.

    A normalised network draws no hidden biases, and so trains on other batches. All runs of a seed
    are shown on the same one.
    """
    g = torch.Generator().manual_seed(seed)
    init.draw(replace(arch, normalize=None), init.QUIET_OUTPUT, generator=g)
    rows = torch.randint(0, len(contexts), (batch_size,), generator=g)
    return Contexts(contexts.X[rows], contexts.Y[rows])


def _frame(params: Params, splits: Splits, probe: Contexts, rate: float) -> dict[str, Tensor]:
    """What one frame shows, under the names of `Recording`."""
    seen = mlp.forward(params, probe.X)
    z, h = seen.pre_activations[0], seen.activations[0]  # both (32, units)
    gradients = mlp.backward(params, seen, probe.Y).tensors()
    fixed = train.calibrate(params, splits.train) if params.arch.normalize == "batch" else None
    soft, hard = _dead(params, splits.train, fixed)
    pairs = zip(gradients, params.tensors(), strict=True)
    return {
        "white": saturation.saturated(h),
        "z": _histogram(z, REACH_Z),
        "h": _histogram(h, REACH_H),
        "soft": soft,
        "hard": hard,
        "dev_loss": train.evaluate(params, splits.dev, statistics=fixed),
        "rate": torch.tensor(rate, dtype=torch.float64),
        "gradient": torch.stack([d.double().square().mean().sqrt() for d in gradients]),
        "ratio": torch.stack([_ratio(d, data, rate) for d, data in pairs]),
    }


def _dead(
    params: Params, contexts: Contexts, statistics: Statistics | None
) -> tuple[Tensor, Tensor]:
    """How many units are soft-dead and hard-dead. One live row acquits, so a few rows may do."""
    few = Contexts(contexts.X[:FEW], contexts.Y[:FEW])
    for part in (few, contexts):
        (layer,) = saturation.census(params, part, statistics=statistics)
        if not layer.soft_dead.any():
            break
    return layer.soft_dead.sum(), layer.hard_dead.sum()


def _columns(frames: Iterator[dict[str, Tensor]]) -> Iterator[tuple[str, list[Tensor]]]:
    rows = list(frames)
    for name in rows[0]:
        yield name, [row[name] for row in rows]


def _histogram(values: Tensor, reach: float) -> Tensor:
    """How many values lie in each bin from −reach to reach, (50,); what is beyond, at the ends."""
    bins = ((values.double() + reach) * (BINS / (2 * reach))).floor().clamp(0, BINS - 1)
    return bins.long().flatten().bincount(minlength=BINS)


def _ratio(gradient: Tensor, data: Tensor, rate: float) -> Tensor:
    spread = data.double().std()
    return torch.where(spread > 0, rate * gradient.double().std() / spread, torch.nan)


def _since_last(losses: Tensor, at: list[int]) -> Tensor:
    """losses: (steps,). The mean from each frame to the next; before the first, step 0's."""
    means = [losses[i:j].double().mean() for i, j in pairwise(at)]
    return torch.stack([losses[0].double(), *means])


def _field_name(name: str) -> str:
    """W[0] is W1 in the field: layers count from 1.

    >>> _field_name("W[0]"), _field_name("C")
    ('W1', 'C')
    """
    kind, _, layer = name.rstrip("]").partition("[")
    return f"{kind}{int(layer) + 1}" if layer else kind


def _bits(mask: Tensor) -> bytes:
    """(frames, rows, units) bool: eight cells a byte, each frame from a byte of its own."""
    frames = mask.flatten(1).to(torch.uint8)
    frames = torch.nn.functional.pad(frames, (0, -frames.size(1) % 8)).view(-1, 8)
    return bytes((frames << torch.arange(7, -1, -1)).sum(1).tolist())


def _words(counts: Tensor) -> bytes:
    return b"".join(n.to_bytes(2, "little") for n in counts.flatten().tolist())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _bytes(text: str) -> Tensor:
    return torch.tensor(list(base64.b64decode(text)), dtype=torch.int64)


def _cells(packed: Tensor, frames: int, cells: int) -> Tensor:
    """What `_bits` packed: (frames, cells) bool."""
    bits = (packed[:, None] >> torch.arange(7, -1, -1)) & 1
    return bits.view(frames, -1)[:, :cells].bool()


def _counts(packed: Tensor) -> Tensor:
    """What `_words` packed, flat."""
    low, high = packed.view(-1, 2).unbind(1)
    return low + 256 * high


def _numbers(values: Sequence) -> Tensor:
    """Floats, or rows of floats, nan for None."""

    def known(value: Any) -> Any:
        return [known(v) for v in value] if isinstance(value, list) else _or_nan(value)

    return torch.tensor(known(list(values)), dtype=torch.float64)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _three_digits(rows: Tensor) -> list[list[float | None]]:
    """Nested lists, None for nan."""
    return [[None if math.isnan(x) else float(f"{x:.2e}") for x in row] for row in rows.tolist()]
