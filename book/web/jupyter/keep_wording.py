"""Saving a notebook leaves the chapter's file as it was written, but for what has been edited.

A chapter is a text that JupyterLab shows as a notebook. When Jupytext writes it back, the YAML at
its top and at the top of its cells comes out in another layout, with other quotes and with versions
added. `keep_wording` runs before each save, and puts what still says the same back as it stood.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["keep_wording", "restore"]

HEAD = re.compile(r"\A---\n.*?^---\n", re.MULTILINE | re.DOTALL)
CELL = re.compile(
    r"(?<=^```\{code-cell\} ipython3\n)(?:---\n(?s:.*?)^---\n|(?::[\w-]+:.*\n)+\n?)", re.MULTILINE
)


def keep_wording(model: dict[str, Any], path: str, contents_manager: Any, **_: Any) -> None:
    """A `pre_save_hook` of Jupyter's server: see there for its arguments."""
    on_disk = Path(contents_manager.root_dir, path.strip("/"))
    if model.get("type") != "file" or on_disk.suffix != ".md" or not on_disk.is_file():
        return
    # A text that was edited as a text is its author's in every character.
    head = HEAD.match(model["content"])
    if head and "jupytext_version:" in head[0]:
        model["content"] = restore(model["content"], on_disk.read_text(encoding="utf-8"))


def restore(new: str, old: str) -> str:
    """Give back `new` with each block of YAML worded as the one in `old` that says the same."""
    text = put_back(new, old, HEAD, head_meaning)
    return put_back(text, old, CELL, cell_meaning)


def put_back(new: str, old: str, block: re.Pattern[str], meaning: Callable[[str], Any]) -> str:
    """Replace blocks of `new` by those of `old`, which are looked for in order."""
    left = [(meaning(match[0]), match[0]) for match in block.finditer(old)]

    def worded(match: re.Match[str]) -> str:
        said = meaning(match[0])
        found = next((i for i, (known, _) in enumerate(left) if known == said), None)
        return match[0] if found is None else left.pop(found)[1]

    return block.sub(worded, new)


def cell_meaning(block: str) -> Any:
    """What the options of a cell say, between dashes or a line each, `:tags: [hide-input]`."""
    return yaml.safe_load(re.sub(r"^---$|^:(?=[\w-]+:)", "", block, flags=re.MULTILINE))


def head_meaning(block: str) -> Any:
    """What the head says, without what is different on every machine."""
    head = yaml.safe_load(block.strip("-\n"))
    form = head.get("jupytext", {}).get("text_representation", {})
    for changing in ("format_version", "jupytext_version"):
        form.pop(changing, None)
    head.get("kernelspec", {}).pop("display_name", None)
    head.pop("language_info", None)
    return head
