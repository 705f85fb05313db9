"""What is done over again at every build and need not be."""

from __future__ import annotations

import functools
import gc
import importlib.metadata
import sys

__all__ = ["take"]


def take() -> None:
    """Spare this process what a build does not need; harmless when called again."""
    # A build is one short process: its garbage need not be collected.
    gc.disable()
    # An optional check of jsonschema's, that nothing here asks for; loading it takes over a second.
    sys.modules.setdefault("rfc3987_syntax", None)
    read_entry_points_once()


def read_entry_points_once() -> None:
    """Keep the list of installed packages' entry points, which pybtex asks for by the dozen."""
    if hasattr(importlib.metadata.entry_points, "cache_info"):
        return
    every = functools.cache(importlib.metadata.entry_points)

    @functools.cache
    def entry_points(**wanted: str) -> importlib.metadata.EntryPoints:
        return every().select(**wanted)

    importlib.metadata.entry_points = entry_points
