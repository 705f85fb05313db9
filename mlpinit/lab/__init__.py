"""Labs: figures to take hold of, in a notebook as in the built book.

Each function here gives an object that a notebook shows as a lab: a custom element, with the same
script and the same style sheet that the book's pages load. What is set in the call is where the lab
starts; whatever has no part in it is refused.

>>> init(scale=0.2, depth=3)
Lab('mlp-init-lab', depth=3, scale=0.2)
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlpinit.lab.recording import Recording

__all__ = ["Lab", "derivative", "graph", "init", "microscope", "script", "style"]

SCRIPTS = (
    *("core", "draw", "random", "matmul", "batch", "network"),
    *("init", "microscope", "derivative", "graph"),
)
_numbers = count(1)


class Lab:
    """One lab, shown by a notebook through `_repr_html_`."""

    def __init__(self, tag: str, label: str, settings: Mapping[str, Any]) -> None:
        """`tag`: the custom element; `label`: its name in words; `settings`: where it starts."""
        self.tag, self.label, self.settings = tag, label, dict(sorted(settings.items()))
        self.id = f"{tag.removeprefix('mlp-')}-{next(_numbers)}"

    def __repr__(self) -> str:
        """The call that makes it."""
        return f"Lab({', '.join([repr(self.tag), *(f'{k}={v!r}' for k, v in self.settings.items())])})"

    def element(self, inside: str = "") -> str:
        """The custom element alone, around `inside`: HTML for where there is no JavaScript."""
        given = {"id": self.id, "label": self.label, **self.settings}
        attributes = " ".join(f'{k}="{html.escape(_words(v))}"' for k, v in given.items())
        return f"<{self.tag} {attributes}>{inside}</{self.tag}>"

    def _repr_html_(self) -> str:
        inside = f"<p>{html.escape(self.label)}: this lab needs JavaScript.</p>"
        return f"<style>{style()}</style>{self.element(inside)}<script>{script()}</script>"


class _Microscope(Lab):
    """A lab that brings the recordings that it shows."""

    def __init__(self, recordings: Mapping[str, Recording], settings: Mapping[str, Any]) -> None:
        super().__init__("mlp-microscope", "the training microscope", settings)
        self.recordings = recordings

    def _repr_html_(self) -> str:
        scripts = (one.script(name) for name, one in self.recordings.items())
        return f"<script>{''.join(scripts)}</script>{super()._repr_html_()}"


def microscope(
    runs: Mapping[str, Recording],
    *,
    step: int = 0,
    left: str | None = None,
    right: str | None = None,
) -> Lab:
    """The training microscope on runs of your own, step by step, two of them side by side.

    - `runs`: what to call each run → its `recording.record`; their data go into the notebook, under
      100 kB each
    - `step`: where the lab starts, in updates done
    - `left`, `right`: the runs it starts with; None for the first and the second

    Raises `ValueError` when there is no run, `left` or `right` is none of them, or no run has that
    step.
    """
    sides = {side: run for side, run in (("left", left), ("right", right)) if run is not None}
    for side, run in sides.items():
        if run not in runs:
            raise ValueError(f"{side} is {run!r}; choose one of {', '.join(runs)}")
    last = max((int(one.steps[-1]) for one in runs.values()), default=-1)
    if not 0 <= step <= last:
        ends = f"the longest run has {last:,} steps" if runs else "pass at least one run"
        raise ValueError(f"there is no step {step} of {len(runs)} runs; {ends}")
    called = {label: replace(one, label=label) for label, one in runs.items()}
    names = {label: f"run-{one.digest}" for label, one in called.items()}  # the same run, the same
    settings = {"runs": " ".join(names.values()), "step": step}
    settings |= {side: names[run] for side, run in sides.items()}
    return _Microscope({names[label]: one for label, one in called.items()}, settings)


@cache
def script() -> str:
    """The code of all labs, one classic script: it works from disk and inside a notebook."""
    return "\n".join(_read(f"{name}.js") for name in SCRIPTS)


@cache
def style() -> str:
    """The style sheet of all labs."""
    return _read("lab.css")


def _read(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def _words(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
