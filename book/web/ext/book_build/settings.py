"""`_config.yml` as Sphinx's settings, which Jupyter Book translates once for each state of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

__all__ = ["read_settings"]


def read_settings(root: Path, build: Path) -> dict[str, Any]:
    """Return the settings that `jupyter-book build` would give to Sphinx.

    They are kept, for Jupyter Book takes half a second to start.
    """
    sources = [root / "_config.yml", root / "requirements.txt", Path(__file__)]
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    kept = build / f"settings-{digest}.json"
    if not kept.exists():
        text = json.dumps(translate(root))
        for old in build.glob("settings-*.json"):
            old.unlink(missing_ok=True)
        part = kept.with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        part.replace(kept)
    return json.loads(kept.read_text(encoding="utf-8"))


def translate(root: Path) -> dict[str, Any]:
    """Have Jupyter Book read `_config.yml`; stop where its schema does not allow what is there."""
    from jsonschema import ValidationError  # noqa: PLC0415 (seldom needed, and slow)
    from jupyter_book.config import get_final_config  # noqa: PLC0415

    asked = {"external_toc_path": "_toc.yml", "latex_individualpages": False}
    try:
        settings, _ = get_final_config(
            user_yaml=root / "_config.yml", cli_config=asked, sourcedir=root, raise_on_invalid=True
        )
    except ValidationError as error:
        raise SystemExit(f"_config.yml: {error.message}") from error
    return settings
