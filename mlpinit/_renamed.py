"""Names of earlier releases, found under their new ones with a warning until the next release."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from functools import cache
from importlib import resources

__all__ = ["look_up", "table"]


@cache
def table() -> dict[str, dict[str, str]]:
    """Module → old name → new name, as `data/renamed.json` has them."""
    path = resources.files("mlpinit").joinpath("data/renamed.json")
    return json.loads(path.read_text(encoding="utf-8"))


def look_up(module: str, name: str, names: Mapping[str, object]) -> object:
    """What a module that lacks `name` has under its new name; `AttributeError` where it has none.

    For a module's `__getattr__`; `names` are its globals.
    """
    new = table().get(module, {}).get(name)
    if new is None:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    warnings.warn(
        f"{module}.{name} is {module}.{new} since version 0.2; the old name will go in 0.3",
        DeprecationWarning,
        stacklevel=3,
    )
    return names[new]
