"""Fonts with the characters that the pages use and no others."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["subset"]

COPYRIGHT_AND_LICENCE = [0, 1, 2, 13, 14]


def subset(source: Path, characters: Iterable[str], folder: Path, name: str) -> Path:
    """Return `folder/name-….woff2`, which holds `characters` of `source`; made once.

    Its name tells its content, so that no browser keeps an old one. Raises `LookupError` when the
    font lacks one of the characters.
    """
    wanted = "".join(sorted(set(characters)))
    key = f"{source.name} {source.stat().st_size} {COPYRIGHT_AND_LICENCE} {wanted}"
    path = folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.woff2"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        write(source, wanted, part)
        for old in folder.glob(f"{name}-*.woff2"):
            old.unlink()
        part.replace(path)
    return path


def write(source: Path, characters: str, path: Path) -> None:
    """Write the subset: glyphs, their larger and smaller variants, and the table for formulas."""
    from fontTools import subset as tools  # noqa: PLC0415 (needed when the characters change)

    options = tools.Options(
        flavor="woff2",
        layout_features=["ccmp", "dtls", "flac", "ssty"],
        name_IDs=COPYRIGHT_AND_LICENCE,
        hinting=False,
        notdef_outline=True,
    )
    font = tools.load_font(str(source), options)
    missing = sorted(set(map(ord, characters)) - font.getBestCmap().keys())
    if missing:
        raise LookupError(f"{source.name} lacks {', '.join(f'U+{c:04X}' for c in missing)}")
    subsetter = tools.Subsetter(options)
    subsetter.populate(text=characters)
    subsetter.subset(font)
    tools.save_font(font, str(path), options)
