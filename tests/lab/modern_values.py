"""What torch has for the labs of Part V, as one file of JSON: autograd's, from the same draws."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlpinit import residual
from mlpinit.lab import modern


def write(folder: Path) -> Path:
    path = folder / "modern.json"
    found = {
        "stream": [stream(depth, scale) for depth, scale in ((4, 0.5), (16, 0.25), (64, 1.0))],
        "rows": [rows(keys, sd) for keys, sd in ((8, 1.0), (64, 2.0), (64, 11.3), (8, 0.0))],
        "router": [router(weight, seed) for weight, seed in ((0.0, 0), (0.1, 0), (0.6, 3))],
    }
    path.write_text(json.dumps(found, allow_nan=False))
    return path


def stream(depth: int, scale: float) -> dict[str, Any]:
    law = residual.growth(depth, scale)
    return {"depth": depth, "scale": scale, "sizes": modern.stream(depth, scale), "law": law}


def rows(keys: int, sd: float) -> dict[str, Any]:
    found = asdict(modern.rows(keys, sd))
    return {"keys": keys, "sd": sd, **found, "first": found["first"].tolist()}


def router(weight: float, seed: int) -> dict[str, Any]:
    found = asdict(modern.router(weight, seed=seed))
    return {"weight": weight, "seed": seed, **found, "shares": found["shares"].tolist()}
