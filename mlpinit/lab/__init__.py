"""Labs: figures to take hold of, in a notebook as in the built book.

Each function here gives an object that a notebook shows as a lab: a custom element with its script
and its style sheet. What is set in the call is where the lab starts, and where its button "Start
again" leads; settings that it does not have are refused.

>>> init(scale=0.2, depth=3)
Lab('mlp-init-lab', depth=3, scale=0.2)

`show` names what a reader sees at once: of the controls, of the pictures, of what the sentence
below them tells. The other controls and pictures are folded; of a kind that is not named at all,
everything is shown.

>>> init(show=("scale", "map", "dead"), bias=0)
Lab('mlp-init-lab', bias=0, show=('scale', 'map', 'dead'))
"""

from __future__ import annotations

import html
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from itertools import count
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlpinit.lab.recording import Recording

__all__ = [
    "FACTS",
    "PICTURES",
    "SCRIPTS",
    "SETTINGS",
    "TAGS",
    "Lab",
    "derivative",
    "graph",
    "init",
    "microscope",
    "playground",
    "router",
    "rows",
    "script",
    "source",
    "stream",
    "style",
]

# In this order: each may use what stands before it.
SCRIPTS = (
    *("core", "draw", "random", "matmul", "batch", "network"),
    *("init", "microscope", "derivative", "graph", "stream", "rows", "router"),
)
# Where it is set, whoever shows the lab loads the script and the style sheet: the book's pages do.
LOADED_ELSEWHERE = "MLPINIT_LABS_LOADED"

Allowed = tuple[float, float] | range | Collection[str | bool]

# What may be set: from the least number to the greatest, a range of whole numbers, or words.
SETTINGS: Mapping[str, Mapping[str, Allowed]] = {
    "mlp-init-lab": {
        "scale": (0.01, 3),
        "kind": {"std", "gain"},
        "bias": (0, 3),
        "activation": {"tanh", "sigmoid", "relu", "leaky_relu", "elu", "gelu", "silu"},
        "width": range(16, 401),
        "depth": range(1, 11),
        "layer": range(1, 11),
        "seed": range(2**32),
        "norm": {True, False},
    },
    "mlp-derivative-lab": {
        "z": (-400, 400),
        "format": {"float64", "float32", "float16"},
        "formula": {"tanh", "naive"},
    },
    "mlp-graph-lab": {"step": range(9), "x": (-3, 3), "w1": (-3, 3), "w2": (-3, 3)},
    "mlp-stream-lab": {"depth": {"4", "16", "64"}, "scale": (0, 1)},
    "mlp-rows-lab": {"sd": (0, 32), "keys": {"8", "64"}},
    "mlp-router-lab": {"weight": (0, 1), "seed": range(1000)},
    "mlp-playground": {
        "scheme": {"scaled", "as_drawn", "quiet_output", "xavier", "kaiming", "orthogonal", "zero"},
        "scale": (0.001, 3),
        "rate": (0.001, 30),
        "activation": {"tanh", "sigmoid", "relu", "leaky_relu", "elu", "gelu", "silu"},
        "depth": range(1, 101),
        "units": range(16, 401),
        "norm": {True, False},
        "bias": (0, 100),
        "gain": (0, 10),
        "schedule": {"constant", "halves"},
        "steps": {"200", "2000", "20000", "200000"},
        "batch": {"8", "16", "32", "64", "128"},
        "seed": range(2**32),
    },
}
# What else may be named as shown: pictures, and what the sentence tells that is no picture's.
PICTURES: Mapping[str, tuple[str, ...]] = {
    "mlp-init-lab": ("map", "z", "h", "std", "gradient"),
    "mlp-derivative-lab": ("curve", "slopes"),
    "mlp-graph-lab": ("graph",),
    "mlp-stream-lab": ("stream",),
    "mlp-rows-lab": ("row", "through"),
    "mlp-router-lab": ("shares", "course"),
    "mlp-microscope": ("map", "h", "z", "loss", "gradient", "ratio"),
    "mlp-playground": ("loss", "lives", "map", "z", "h", "ratio"),
}
FACTS: Mapping[str, tuple[str, ...]] = {
    "mlp-init-lab": ("schemes", "saturated", "dead", "loss"),
    "mlp-microscope": ("saturated",),
}
PLAYGROUND = "mlp-playground"
TAGS = (*(tag for tag in SETTINGS if tag != PLAYGROUND), "mlp-microscope")
"""The labs' elements, which share a script; what the microscope may be set to, its runs say."""

SIDES = ("left", "right")

_numbers = count(1)


class Lab:
    """One lab, shown by a notebook through `_repr_html_`."""

    def __init__(self, tag: str, label: str, settings: Mapping[str, Any], inside: str = "") -> None:
        """`tag`: the custom element; `label`: its name in words; `settings`: where it starts.

        `inside` is HTML: what the lab reads, such as a recorded run.
        """
        self.tag, self.label, self.settings = tag, label, dict(sorted(settings.items()))
        self.inside = inside
        self.id = f"{tag.removeprefix('mlp-')}-{next(_numbers)}"

    def __repr__(self) -> str:
        """The element and its settings."""
        given = [f"{name}={value!r}" for name, value in self.settings.items()]
        return f"Lab({', '.join([repr(self.tag), *given])})"

    def element(self) -> str:
        """The custom element alone, around a line for where there is no JavaScript."""
        given = {"id": self.id, "label": self.label, **self.settings}
        attributes = " ".join(f'{k}="{html.escape(_words(v))}"' for k, v in given.items())
        without = (
            f"<p>{html.escape(self.label.capitalize())} can be used in a browser with JavaScript, "
            "and in a notebook once its cell is run.</p>"
        )
        return f"<{self.tag} {attributes}>{without}{self.inside}</{self.tag}>"

    def _repr_html_(self) -> str:
        if os.environ.get(LOADED_ELSEWHERE):
            return self.element()
        styles, scripts = self.code()
        return f"<style>{styles}</style>{self.element()}<script>{scripts}</script>"

    def code(self) -> tuple[str, str]:
        """The style sheet and the script that a notebook is given with the lab."""
        return style(), script()


class Playground(Lab):
    """The playground: its code is its own, and its place in an address the same on every page."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """`settings`: where it starts."""
        super().__init__(PLAYGROUND, "the playground", settings)
        self.id = "playground"

    def code(self) -> tuple[str, str]:
        """Its style sheet, and its scripts with the words that it learns from."""
        from mlpinit.lab import training  # noqa: PLC0415 (it imports this module)

        return training.style(), training.words() + training.script()


def init(*, show: str | Iterable[str] | None = None, **settings: Any) -> Lab:
    """The init lab: how the first weights decide what the layers of the book's network do.

    Settings: `scale` of the weights, 0.01 to 3, which is their standard deviation or, with
    `kind="gain"`, a gain; `bias` scale; `activation`; `width`, the units per layer, and `depth`;
    the `layer` shown; `seed`; batch `norm`.

    `show`: any of these; the pictures "map", "z", "h", "std", "gradient"; in the sentence, which
    tells of the pictures shown too, "saturated", "dead", "loss", and "schemes": where the scale
    stands among Xavier's, LeCun's and Kaiming's.
    """
    return _checked("mlp-init-lab", "the init lab", settings, show)


def derivative(*, show: str | Iterable[str] | None = None, **settings: Any) -> Lab:
    """The derivative lab: a point on tanh, its slope, and that slope as the floats have it.

    Settings: `z`, -400 to 400; `format`, float64, float32 or float16; `formula`, "tanh" or "naive".
    `show`: any of these; the pictures "curve" and "slopes".
    """
    return _checked("mlp-derivative-lab", "the derivative lab", settings, show)


def graph(*, show: str | Iterable[str] | None = None, **settings: Any) -> Lab:
    """The scalar graph: the backward pass of h = tanh(w1·x + w2·x), one arrow at a time.

    Settings: `x`, `w1`, `w2`, -3 to 3; the `step`, 0 to 8. `show`: any of these.
    """
    return _checked("mlp-graph-lab", "the scalar graph", settings, show)


def stream(*, show: str | Iterable[str] | None = None, **settings: Any) -> Lab:
    """The lab of residual branches: how large a stream is after each of them, beside the law.

    Settings: `depth`, "4", "16" or "64" branches; the `scale` of each, 0 to 1. `show`: any of
    these; the picture "stream".
    """
    return _checked("mlp-stream-lab", "the lab of residual branches", settings, show)


def rows(*, show: str | Iterable[str] | None = None, **settings: Any) -> Lab:
    """The lab of attention's rows: the scale of the logits, and what gets through their softmax.

    Settings: `sd`, the standard deviation of the logits, 0 to 32; the number of `keys`, "8" or
    "64". `show`: any of these; the pictures "row" and "through".
    """
    return _checked("mlp-rows-lab", "the lab of attention's rows", settings, show)


def router(*, show: str | Iterable[str] | None = None, **settings: Any) -> Lab:
    """The router's lab: sixteen experts, trained in the page for 300 steps of gradient descent.

    Settings: the `weight` of the balance loss, 0 to 1; the `seed`, 0 to 999. `show`: any of these;
    the pictures "shares" and "course".
    """
    return _checked("mlp-router-lab", "the router's lab", settings, show)


def playground(*, show: str | Iterable[str] | None = None, **settings: Any) -> Playground:
    """The playground: the book's network, trained in the page from a start of one's choice.

    Settings: `scheme`, "scaled" with its `scale`, "as_drawn", "quiet_output", "xavier", "kaiming"
    and "orthogonal" with a `gain` (0 for the usual one), or "zero"; `bias` scale; `activation`;
    `depth` and `units` per layer; batch `norm`; learning `rate` and its `schedule`, "constant" or
    "halves" of `steps`; `batch` size; `seed`. Draws and batches are those of `init.draw` and
    `train.sgd` with the same generator.

    `show`: which of these stand open, and which of the pictures "loss", "lives", "map", "z", "h",
    "ratio"; three controls and three pictures where nothing is said.
    """
    return Playground(_checked(PLAYGROUND, "the playground", settings, show).settings)


def microscope(
    runs: Mapping[str, Recording],
    *,
    step: int = 0,
    left: str | None = None,
    right: str | None = None,
    show: str | Iterable[str] | None = None,
) -> Lab:
    """The training microscope: recorded runs, step by step, two of them side by side.

    - `runs`: what to call each run → its `recording.record`; under 100 kB each
    - `step`: where the lab starts, in updates done
    - `left`, `right`: the runs it starts with; None for the first and the second
    - `show`: "step", "left", "right"; the pictures "map", "h", "z", "loss", "gradient", "ratio";
      "saturated" in the sentence

    Raises `ValueError` when there is no run, `left` or `right` is none of them, no run has that
    step, or `show` names what is not there.
    """
    sides = {side: run for side, run in zip(SIDES, (left, right), strict=True) if run is not None}
    for side, run in sides.items():
        if run not in runs:
            raise ValueError(f"{side} is {run!r}; choose one of {', '.join(runs)}")
    last = max((int(one.steps[-1]) for one in runs.values()), default=-1)
    if not 0 <= step <= last:
        ends = f"the longest run has {last:,} steps" if runs else "pass at least one run"
        raise ValueError(f"there is no step {step} of {len(runs)} runs; {ends}")
    called = {label: replace(one, label=label) for label, one in runs.items()}
    names = {label: f"run-{one.digest}" for label, one in called.items()}  # the same run, the same
    settings = {"runs": " ".join(names.values()), "src-base": "", "step": step}
    settings |= {side: names[run] for side, run in sides.items()}
    settings |= _shown("mlp-microscope", ("step", *SIDES), show)
    scripts = (one.script(names[label]) for label, one in called.items())
    inside = "".join(
        f'<script data-recording="{name}">{text}</script>'
        for name, text in zip(names.values(), scripts, strict=True)
    )
    return Lab("mlp-microscope", "the training microscope", settings, inside)


@cache
def script() -> str:
    """The code of all labs, one classic script: it works from disk and inside a notebook."""
    return "\n".join(source(f"{name}.js") for name in SCRIPTS)


@cache
def style() -> str:
    """The style sheet of all labs."""
    return source("lab.css")


def source(name: str) -> str:
    """The text of one of the files beside this one; a script's without its comment lines.

    Those are for who reads the script here, and a page does not load them.
    """
    text = resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
    if not name.endswith(".js"):
        return text
    return "".join(line for line in text.splitlines(True) if not line.lstrip().startswith("//"))


def _checked(
    tag: str, label: str, settings: Mapping[str, Any], show: str | Iterable[str] | None
) -> Lab:
    """The lab, or a `ValueError` for a setting or a part that it does not have."""
    for name, value in settings.items():
        _check(tag, name, value)
    return Lab(tag, label, {**settings, **_shown(tag, SETTINGS[tag], show)})


def _shown(
    tag: str, controls: Iterable[str], show: str | Iterable[str] | None
) -> dict[str, tuple[str, ...]]:
    """What is shown, as a setting; none where all is."""
    if show is None:
        return {}
    names = (show,) if isinstance(show, str) else tuple(show)
    kinds = {"controls": tuple(controls), "pictures": PICTURES[tag]}
    if tag in FACTS:
        kinds["parts of the sentence"] = FACTS[tag]
    known = "; ".join(f"its {kind} are {', '.join(all_)}" for kind, all_ in kinds.items())
    if not names:
        raise ValueError(f"show names nothing; leave it out to show everything, or choose: {known}")
    for name in names:
        if not any(name in all_ for all_ in kinds.values()):
            raise ValueError(f"this lab has no {name!r} to show; {known}")
    return {"show": names}


def _check(tag: str, name: str, value: object) -> None:
    known = SETTINGS[tag]
    if name not in known:
        raise ValueError(f"this lab has no setting '{name}'; it has {', '.join(known)}")
    allowed = known[name]
    if not _fits(value, allowed):
        raise ValueError(f"{name} is {value!r}; it is to be {_told(allowed)}")


def _fits(value: object, allowed: Allowed) -> bool:
    if isinstance(allowed, range):
        return isinstance(value, Integral) and not isinstance(value, bool) and value in allowed
    if isinstance(allowed, tuple):
        low, high = allowed
        return isinstance(value, Real) and not isinstance(value, bool) and low <= value <= high
    return isinstance(value, str | bool) and value in allowed


def _told(allowed: Allowed) -> str:
    if isinstance(allowed, range):
        return f"a whole number from {allowed[0]} to {allowed[-1]}"
    if isinstance(allowed, tuple):
        return f"a number from {allowed[0]} to {allowed[1]}"
    return f"one of {', '.join(sorted(map(repr, allowed)))}"


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
