"""The ladder's five rungs as the training microscope shows them, recorded to their end.

`python -m mlpinit.lab.ladder` (`make records` too) trains the book's seed of every rung on the
surnames for all 200,000 steps and keeps what the microscope shows of it, a JSON file a rung.
`load` reads them; `difference` holds one against a run of the first steps.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from mlpinit import corpus, records, train
from mlpinit._files import write_whole
from mlpinit.lab.recording import Recording, frame_steps, observe

__all__ = ["FOLDER", "SEED", "difference", "load", "main", "seen", "snapshots"]

FOLDER = records.FOLDER / "microscope"
CORPUS = "surnames"
SEED = records.SEEDS[0]


def snapshots(steps: int = records.STEPS, *, every: int = 1) -> list[int]:
    """Of the steps that the microscope shows, each or every k-th among the first `steps`; the end.

    >>> snapshots(20_000, every=9)
    [0, 11, 61, 359, 2121, 12567, 20000]
    """
    shown = [step for step in frame_steps(records.STEPS) if step < steps]
    return [*shown[::every], steps]


def load() -> dict[str, Recording]:
    """What is recorded of every rung, by its key.

    >>> load()["kaiming"].steps[-1]
    tensor(200000)
    """
    return {
        key: Recording.of(json.loads(_path(key).read_text(encoding="utf-8")))
        for key in records.RUNGS
    }


def seen(run: train.Run, key: str) -> Recording:
    """What the microscope shows of a run of a rung, whole or its first steps."""
    rung = records.RUNGS[key]
    return observe(
        run,
        corpus.split(corpus.load(CORPUS)),
        label=rung.name,
        about=f"{rung.name}, {CORPUS}, seed {SEED}",
        seed=SEED,
        lr=train.halves(records.STEPS, *records.RATES),
    )


def difference(kept: Recording, live: Recording) -> float:
    """The largest difference of the dev loss at a step that both show, in nats."""
    both = torch.isin(live.steps, kept.steps)
    there = torch.isin(kept.steps, live.steps)
    return (live.dev_loss[both] - kept.dev_loss[there]).abs().max().item()


def main(arguments: Sequence[str] = ()) -> int:
    """Record the rungs named, or those that are not recorded yet."""
    keys = list(arguments) or [key for key in records.RUNGS if not _path(key).exists()]
    FOLDER.mkdir(parents=True, exist_ok=True)
    entries = [e for e in records.load() if (e.corpus, e.seed) == (CORPUS, SEED) and e.rung in keys]
    runs = records.replay(entries, steps=records.STEPS, snapshots=snapshots())
    for entry, run in zip(entries, runs, strict=True):
        write_whole(_path(entry.rung), seen(run, entry.rung).json() + "\n")
        print(f"{records.RUNGS[entry.rung].name}: recorded", file=sys.stderr)
    return 0


def _path(key: str) -> Path:
    return FOLDER / f"{CORPUS}-{key}-{SEED}.json"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
