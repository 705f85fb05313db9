"""Trainings whose end is recorded: a build makes their first part and holds the record against it.

`end_loss` stands where a long `train.sgd` and its evaluation would. What is kept of a training is
its loss at the end and its mean loss over each hundredth of the steps, as JSON in `data/replays`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from mlpinit import records, train
from mlpinit.corpus import Contexts
from mlpinit.params import Params
from mlpinit.records import RecordError

__all__ = ["FOLDER", "TOLERANCE", "Ended", "end_loss"]

FOLDER = Path(__file__).parent / "data" / "replays"
BLOCKS = 100
WRITE = "record"  # `MLPINIT_FULL=record` trains to the end and keeps what comes of it
TOLERANCE = 1e-4
"""How far rounding, which differs between processors, may move a recorded mean, in nats.

Between two kinds of processor (AVX2, AVX-512) it moved tanh networks' by 1e-5, the last digit kept.
"""


@dataclass(frozen=True)
class Ended:
    """What is kept of a training of K networks in one stack.

    - `steps`, `lr`: as they were given to `end_loss`
    - `means`: (K, 100), the mean loss of the batches of each hundredth of the steps, in nats
    - `losses`: (K,), at the end, over the whole data set that `end_loss` was given
    """

    steps: int
    lr: float | None
    means: list[list[float]]
    losses: list[float]


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

    `steps` and `generator` are as in `train.sgd`; `lr` is a number, or None for `halves(steps)`.
    `tolerance`, in nats, is how far a mean loss and an end may be from the record.
    The first twentieth of the steps is trained, and compared with the record called `name`; what is
    returned is recorded. Where `MLPINIT_FULL` is set, the networks are trained to their end, and
    that is compared too; where it is 'record', what comes is kept, and nothing is compared.

    Raises `RecordError` where the record is not there or is of another training, before any work,
    and where it is not what today's code makes.
    """
    wanted = os.environ.get(records.FULL)
    path = folder / f"{name}.json"
    kept = None if wanted == WRITE else _read(path, steps, lr)
    live = train.sgd(
        params,
        contexts,
        steps=records.replayed_steps(steps),
        generator=generator,
        lr=train.as_schedule(lr, steps),
        progress=False,
    )
    ended = train.evaluate(live.params, on) if wanted else None
    if kept is None:
        folder.mkdir(parents=True, exist_ok=True)
        kept = Ended(steps, lr, _means(live.losses, steps), [round(x, 6) for x in ended.tolist()])
        records.write_whole(path, json.dumps(asdict(kept)) + "\n")
    means = torch.tensor(_means(live.losses, steps))
    _compare(path.name, torch.tensor(kept.means), means, tolerance)
    losses = torch.tensor(kept.losses, dtype=torch.float64)
    if ended is not None:
        _compare(path.name, losses[:, None], ended[:, None], tolerance)
    return losses


def _means(losses: Tensor, steps: int) -> list[list[float]]:
    """Losses (K, steps so far) → mean losses (K, hundredths so far)."""
    blocks = losses.double().unfold(-1, steps // BLOCKS, steps // BLOCKS).mean(-1)
    return [[round(x, 5) for x in row] for row in blocks.tolist()]


def _compare(name: str, kept: Tensor, live: Tensor, tolerance: float) -> None:
    """kept: (K, blocks), live: (K, blocks so far)."""
    if len(kept) != len(live):
        raise RecordError(f"{name} is of {len(kept)} networks, not of {len(live)}")
    apart = (kept[:, : live.size(1)] - live).abs().max().item()
    if not apart <= tolerance:
        raise RecordError(
            f"{name} is not what today's code makes: a mean loss differs by {apart:.1e} nats. "
            f"`make book FULL={WRITE}` makes it again"
        )


def _read(path: Path, steps: int, lr: float | None) -> Ended:
    """The record of a training of so many steps at that rate."""
    try:
        kept = Ended(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RecordError(
            f"{path.name} cannot be read: {error}. `make book FULL={WRITE}` makes it"
        ) from error
    if (kept.steps, kept.lr) != (steps, lr):
        came = f"{steps} steps at {lr}"
        raise RecordError(f"{path.name} is of {kept.steps} steps at {kept.lr}, not of {came}")
    return kept
