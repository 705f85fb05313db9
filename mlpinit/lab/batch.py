"""The examples that the init lab shows: the first batch of the chapters, as JavaScript.

`python -m mlpinit.lab.batch` writes them anew into `batch.js`.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from mlpinit import corpus, init, mlp

__all__ = ["SCRIPT", "SEED", "SIZE", "first_batch", "script"]

SEED = 2147483647
SIZE = 32
SCRIPT = Path(__file__).with_name("batch.js")


@cache
def first_batch() -> tuple[Tensor, Tensor]:
    """X (32, 3) and Y (32,) of the embedded corpus, drawn as the chapters of Part II draw them.

    The rows come from the generator that has drawn the network: that of the book's seed and sizes.
    """
    contexts = corpus.split(corpus.load()).train
    g = torch.Generator().manual_seed(SEED)
    init.draw(mlp.Architecture(), init.QUIET_OUTPUT, generator=g)
    rows = torch.randint(0, len(contexts), (SIZE,), generator=g)
    return contexts.X[rows], contexts.Y[rows]


def script() -> str:
    """The text of `batch.js`: a classic script that gives the batch to the labs."""
    X, Y = first_batch()
    return (
        "// Made by `python -m mlpinit.lab.batch`: 32 contexts of three letters, what follows.\n"
        "(globalThis.mlpinitLab ??= {}).batch = {\n"
        f"  X: {json.dumps(X.flatten().tolist(), separators=(',', ':'))},\n"
        f"  Y: {json.dumps(Y.tolist(), separators=(',', ':'))},\n"
        "};\n"
    )


if __name__ == "__main__":
    SCRIPT.write_text(script(), encoding="utf-8")
