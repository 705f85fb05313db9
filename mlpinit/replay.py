"""Trainings whose end is recorded: a build makes their first part and holds the record against it.

`ended` stands where a long `train.sgd` would, with what the page wants of the finished run, and
`end_loss` where that is its loss alone. What is kept of a training is what was measured at its end,
and its mean loss over each hundredth of the steps, as JSON in `data/replays`. `kept` does as much
for any other experiment: a build makes a part of it, and takes from the record what was found.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Generator, Tensor

from mlpinit import records, redraw, train
from mlpinit._files import write_whole
from mlpinit.corpus import Contexts
from mlpinit.params import Params
from mlpinit.records import RecordError

__all__ = ["FOLDER", "TOLERANCE", "Ended", "end_loss", "ended", "kept"]

FOLDER = Path(__file__).parent / "data" / "replays"
BLOCKS = 100
WRITE = "record"  # `MLPINIT_FULL=record` trains to the end and keeps what comes of it
REMEDY = f"`make book FULL={WRITE}` makes it"
T = TypeVar("T")
TOLERANCE = 1e-4
"""How far rounding, which differs between processors, may move a recorded mean, in nats.

Between two kinds of processor (AVX2, AVX-512) it moved tanh networks' by 1e-5, the last digit kept.
"""


@dataclass(frozen=True)
class _Record:
    """What a file holds: how the networks are trained, and what `Ended` says of the rest."""

    settings: dict[str, object]
    means: list[list[float]]
    measured: dict[str, list]


@dataclass(frozen=True)
class Ended:
    """A training of K networks in one stack: its first part from today, its end from the record.

    `ended["dev"]` is what was measured of the finished run under the name "dev".

    - `name`: the record's
    - `run`: of the first twentieth of the steps, or of all where `MLPINIT_FULL` is set
    - `means`: (K, 100) float64, the recorded mean loss of the batches of each hundredth of the
      steps, in nats
    - `measured`: what was measured of the finished run, by name: float64, or int64 for counts
    """

    name: str
    run: train.Run
    means: Tensor
    measured: dict[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        """What was measured under that name. Raises `RecordError` where the record has it not."""
        if name not in self.measured:
            names = ", ".join(self.measured)
            raise RecordError(f"{self.name} has no {name!r}, only {names}; {REMEDY} again")
        return self.measured[name]


def ended(
    name: str,
    params: Params,
    contexts: Contexts,
    *,
    steps: int,
    generator: Sequence[Generator],
    measure: Callable[[train.Run], Mapping[str, Tensor]],
    lr: float | None = None,
    batch_size: int = 32,
    snapshots: Collection[int] = (),
    frozen: Collection[str] = (),
    tolerance: float = TOLERANCE,
    apart: Mapping[str, float] | None = None,
    folder: Path = FOLDER,
) -> Ended:
    """Train K networks as `train.sgd` does, and take from the record what `measure` makes of them.

    The first twentieth of the steps is trained, and compared with the record called `name`; what
    was measured is recorded. Where `MLPINIT_FULL` is set, the networks are trained to their end,
    and what is measured is compared too; where it is 'record', it is kept, and nothing is compared.
    Within `redraw.redrawn` they are other networks, trained to their end and compared with nothing.

    - `steps`, `generator`, `batch_size`, `frozen`: as in `train.sgd`
    - `measure`: makes named tensors, small ones, of a finished run. Fractions are kept to six
      digits after the point, whole numbers and truth values as int64
    - `lr`: a number, or None for `halves(steps)`
    - `snapshots`: as in `train.sgd`; those after the part that is trained are for `measure` alone
    - `tolerance`: how far a mean loss may be from the record, in nats, and whatever is measured,
      in its own unit. Counts must agree
    - `apart`: another tolerance for what is measured, by name

    Raises `RecordError` where the record is not there or is of another training, before any work,
    and where it is not what today's code makes.
    """
    moved = bool(redraw.current())
    wanted = moved or os.environ.get(records.FULL)
    path = folder / f"{name}.json"
    rates = {"steps": steps, "lr": lr}
    settings = {**rates, "batch_size": batch_size, "frozen": sorted(frozen)}
    kept = None if moved or wanted == WRITE else _read(path, settings, lambda r: _Record(**r))
    first = steps if moved else records.replayed_steps(steps)
    run = train.sgd(
        params,
        contexts,
        steps=first,
        generator=generator,
        batch_size=batch_size,
        lr=train.as_schedule(lr, steps),
        snapshots=[step for step in snapshots if step <= first],
        frozen=frozen,
        progress=False,
    )
    means = _means(run.losses, steps)
    measured = {n: _rounded(t) for n, t in measure(run).items()} if wanted else None
    if kept is None:
        kept = _Record(settings, means, measured)
    if wanted == WRITE:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(kept)) + "\n")
    _compare(path.name, kept, means, tolerance)
    if measured is not None:
        _compare_ends(path.name, kept.measured, measured, tolerance, apart or {})
    of_end = {name: _tensor(values) for name, values in kept.measured.items()}
    return Ended(path.name, run, _tensor(kept.means), of_end)


def end_loss(
    name: str,
    params: Params,
    contexts: Contexts,
    on: Contexts,
    *,
    steps: int,
    generator: Sequence[Generator],
    lr: float | None = None,
    tolerance: float = TOLERANCE,
    folder: Path = FOLDER,
) -> Tensor:
    """The loss on `on`, (K,) float64 in nats, after training K networks: `train.sgd`, `evaluate`.

    The arguments, the record and the errors are those of `ended`.
    """
    return ended(
        name,
        params,
        contexts,
        steps=steps,
        generator=generator,
        measure=lambda run: {"loss": train.evaluate(run.params, on)},
        lr=lr,
        tolerance=tolerance,
        folder=folder,
    )["loss"]


def kept(
    name: str,
    *,
    settings: Mapping[str, object],
    part: Callable[[], Mapping[str, Tensor]],
    whole: Callable[[], Mapping[str, Tensor]],
    tolerance: float = TOLERANCE,
    apart: Mapping[str, float] | None = None,
    folder: Path = FOLDER,
) -> dict[str, Tensor]:
    """What an experiment found, by name: recorded, where only a part of it is made today.

    `part` is called and compared with the record called `name`. Where `MLPINIT_FULL` is set,
    `whole` is called too, and compared; where that is 'record', both are kept, and nothing is
    compared. Within `redraw.redrawn` it is another experiment, made whole and not compared.

    - `settings`: what the experiment is of, as JSON can hold it; a record of others is refused
    - `part`, `whole`: make named tensors, small ones, of the first part and of all of it
    - `tolerance`, `apart`: as in `ended`, for both

    Raises `RecordError` as `ended` does.
    """
    if redraw.current():
        return {n: _tensor(_rounded(t)) for n, t in whole().items()}
    wanted = os.environ.get(records.FULL)
    path = folder / f"{name}.json"
    settings = dict(settings)
    then = None if wanted == WRITE else _read(path, settings, _parts)
    now = {"part": part()} | ({"measured": whole()} if wanted else {})
    now = {kind: {n: _rounded(t) for n, t in found.items()} for kind, found in now.items()}
    if then is None:
        then = {"settings": settings} | now
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(then) + "\n")
    for kind, found in now.items():
        _compare_ends(path.name, then[kind], found, tolerance, apart or {})
    return {n: _tensor(values) for n, values in then["measured"].items()}


def _means(losses: Tensor, steps: int) -> list[list[float]]:
    """Losses (K, steps so far) → mean losses (K, hundredths so far)."""
    return _rounded(losses.double().unfold(-1, steps // BLOCKS, steps // BLOCKS).mean(-1), 5)


def _rounded(values: Tensor, digits: int = 6) -> list:
    """As JSON keeps them: whole numbers and truth values whole, others to so many digits."""
    if values.is_floating_point():
        return values.double().round(decimals=digits).tolist()
    return values.long().tolist()


def _tensor(values: list) -> Tensor:
    """What `_rounded` took: float64 or int64."""
    found = torch.tensor(values, dtype=torch.float64)
    return found if torch.tensor(values).is_floating_point() else found.long()


def _compare(name: str, kept: _Record, means: list[list[float]], tolerance: float) -> None:
    """means: (K, blocks so far)."""
    if len(kept.means) != len(means):
        raise RecordError(f"{name} is of {len(kept.means)} networks, not of {len(means)}")
    live = _tensor(means)
    off = (_tensor(kept.means)[:, : live.size(1)] - live).abs().max().item()
    if not off <= tolerance:
        raise RecordError(_changed(name, f"a mean loss differs by {off:.1e} nats"))


def _compare_ends(
    name: str,
    kept: Mapping[str, list],
    live: Mapping[str, list],
    tolerance: float,
    apart: Mapping[str, float],
) -> None:
    if kept.keys() != live.keys():
        ours, theirs = (", ".join(found) for found in (kept, live))
        raise RecordError(_changed(name, f"it has {ours}, and what is measured is {theirs}"))
    for what, values in live.items():
        then, now = _tensor(kept[what]), _tensor(values)
        if then.shape != now.shape:
            shapes = f"{tuple(then.shape)}, not {tuple(now.shape)}"
            raise RecordError(_changed(name, f"{what!r} has the shape {shapes}"))
        off = (then - now).abs().max().item()
        if not off <= apart.get(what, tolerance if then.is_floating_point() else 0):
            raise RecordError(_changed(name, f"{what!r} differs by {off:.1e} at the end"))


def _changed(name: str, how: str) -> str:
    return f"{name} is not what today's code makes: {how}. {REMEDY} again"


def _read(path: Path, settings: Mapping[str, object], made: Callable[[dict], T]) -> T:
    """The record of an experiment with these settings, as `made` has it."""
    try:
        then = json.loads(path.read_text(encoding="utf-8"))
        record = made(then)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RecordError(f"{path.name} cannot be read: {error}. {REMEDY}") from error
    if then["settings"] != settings:
        raise RecordError(
            f"{path.name} is of {_told(then['settings'])}, not of {_told(settings)}. "
            f"{REMEDY} again, or give this experiment a name of its own"
        )
    return record


def _parts(record: dict) -> dict[str, dict]:
    """What `kept` keeps: what the experiment is of, and what was found of a part and of all."""
    return {kind: dict(record[kind]) for kind in ("settings", "part", "measured")}


def _told(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
