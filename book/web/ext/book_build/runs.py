"""The runs that are kept: a page's code cells with their outputs, found again by the cells alone.

MyST-NB would ask jupyter-cache, whose database takes longer to load than a page takes to make.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from myst_nb.core import execute
from myst_nb.core.execute.base import NotebookClientBase

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["find", "keep", "key_of", "read", "serve"]

ABOUT = "run"
OF_THE_KERNEL = ("kernelspec", "language_info", "widgets")


def key_of(notebook: NotebookNode) -> str:
    """Hash what a run depends on: the code and the tags of the cells in order, and the kernel.

    A caption and alt text are in a cell's header too, but are prose: MyST-NB takes them from the
    page, and only outputs from the run, so none of them goes stale.
    """
    cells = [[cell.source, cell.metadata.get("tags", [])] for cell in code(notebook)]
    kernel = notebook.metadata.get("kernelspec", {}).get("name")
    return hashlib.sha256(json.dumps([kernel, cells]).encode()).hexdigest()[:32]


def code(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells that run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def keep(cache: Path, notebook: NotebookNode, **about: Any) -> None:
    """Keep the outputs of a notebook that has run to its end, with what is known of the run."""
    created = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    metadata = notebook.metadata | {ABOUT: {"created": created, **about}}
    for cell in code(notebook):
        cell.outputs = whole(cell.outputs)
    kept = nbformat.v4.new_notebook(metadata=metadata, cells=code(notebook))
    path = place(cache, key_of(notebook))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(kept, ensure_ascii=False, indent=1), encoding="utf-8")
    part.replace(path)


def whole(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join what was printed in one go: a busy kernel sends it in pieces, torn anywhere.

    MyST-NB, which joins pieces too, ends each with a new line.
    """
    joined: list[NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output.output_type == "stream" and output.get("name") == last.get("name"):
            last["text"] += output.text
        else:
            joined.append(output)
    return joined


def place(cache: Path, key: str) -> Path:
    """The file of a run."""
    return cache / key / "base.ipynb"


def read(cache: Path, key: str) -> NotebookNode:
    """Return a kept run: the page's code cells with their outputs."""
    return nbformat.from_dict(json.loads(place(cache, key).read_text(encoding="utf-8")))


def find(cache: Path, notebook: NotebookNode) -> NotebookNode | None:
    """Return the kept run of just these cells; None where there is none, or half of one."""
    try:
        kept = read(cache, key_of(notebook))
        return kept if ABOUT in kept.metadata else None
    except (OSError, ValueError):
        return None


class Kept(NotebookClientBase):
    """Gives MyST-NB the outputs of a page's kept run, where its own client would run the page."""

    def start_client(self) -> None:
        """Put the outputs into the notebook."""
        kept = find(Path(self.nb_config.execution_cache_path), self.notebook)
        if kept is None:
            raise RuntimeError(f"{self.path}: the page has no run")
        for name in set(OF_THE_KERNEL) & set(kept.metadata):
            self.notebook.metadata[name] = kept.metadata[name]
        for cell, run in zip(code(self.notebook), kept.cells, strict=True):
            cell.outputs, cell.execution_count = run.outputs, run.execution_count
        about = kept.metadata[ABOUT]
        self.exec_metadata = {
            "mtime": datetime.fromisoformat(f"{about['created']}Z").timestamp(),
            "runtime": about["seconds"],
            "method": self.nb_config.execution_mode,
            "succeeded": True,
            "error": None,
            "traceback": None,
        }


def serve() -> None:
    """Have MyST-NB show kept runs."""
    execute.NotebookClientCache = Kept
