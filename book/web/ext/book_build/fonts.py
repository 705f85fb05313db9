"""Fonts with the characters that the pages use and no others."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fontTools.ttLib import TTFont

__all__ = ["subset"]

COPYRIGHT_AND_LICENCE = [0, 1, 2, 13, 14]


def subset(source: Path, characters: Iterable[str], folder: Path, name: str) -> Path:
    """Return `folder/name-….woff2`, which holds `characters` of `source`; made once.

    Its name tells its content, so that no browser keeps an old one. Raises `LookupError` when the
    font lacks one of the characters.
    """
    wanted = "".join(sorted(set(characters)))
    made_by = zlib.crc32(Path(__file__).read_bytes())
    key = f"{source.name} {source.stat().st_size} {made_by} {wanted}"
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
    if "MATH" in font:
        even_out(font)
    tools.save_font(font, str(path), options)


def even_out(font: TTFont) -> None:
    """Give the sizes of each symbol that grows upwards one width; accents and roots, some air.

    Chromium keeps as much room beside a root or a bracket as the widest of its sizes would take.
    Roots are made as wide as the smallest, which is seen most; brackets as a middle one.
    """
    table = font["MATH"].table
    table.MathConstants.AccentBaseHeight.Value -= 110
    table.MathConstants.RadicalVerticalGap.Value += 55
    variants = table.MathVariants
    root = font.getBestCmap().get(ord("√"))
    for glyph, growth in zip(
        variants.VertGlyphCoverage.glyphs, variants.VertGlyphConstruction, strict=True
    ):
        sizes = [record.VariantGlyph for record in growth.MathGlyphVariantRecord]
        parts = growth.GlyphAssembly.PartRecords if growth.GlyphAssembly else []
        if len(sizes) < 3:
            continue
        width = font["hmtx"][sizes[0] if glyph == root else sizes[3]][0]
        for name in {*sizes[1:], *(part.glyph for part in parts)} - {glyph}:
            set_width(font, name, width)


def set_width(font: TTFont, name: str, width: int) -> None:
    """Draw a glyph narrower or wider."""
    glyph, old = font["glyf"][name], font["hmtx"][name][0]
    if glyph.isComposite() or not old:
        return
    glyph.coordinates.scale((width / old, 1))
    glyph.coordinates.toInt()
    glyph.recalcBounds(font["glyf"])
    font["hmtx"][name] = (width, glyph.xMin)
