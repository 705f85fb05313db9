"""What the cells of a chapter call: the figures' style, numbers glued into the text, claims."""

from __future__ import annotations

from functools import partial

from mlpinit import plots, stacking
from mlpinit.claims import claim

__all__ = ["claim", "glue", "setup"]


def setup() -> None:
    """Set up a notebook for the book: its figure style, figures as SVG.

    A figure whose panels stand in a grid, or whose letters are small, is also drawn for the width
    of a telephone, with its panels stacked (`mlpinit.stacking`); notebooks leave that aside.
    """
    from IPython import get_ipython  # noqa: PLC0415 (only a notebook has it)

    plots.use_style()
    shell = get_ipython()
    if shell is not None:
        from matplotlib.figure import Figure  # noqa: PLC0415

        # First, for it sets how figures are shown: by the next figure at the latest.
        shell.run_line_magic("matplotlib", "inline")
        shell.run_line_magic("config", "InlineBackend.figure_formats = ['svg']")
        svg = shell.display_formatter.formatters["image/svg+xml"]
        svg.for_type(Figure, partial(stacking.with_stacked, svg.for_type(Figure)))


def glue(name: str, value: object, spec: str = "") -> str:
    """Store `format(value, spec)` under `name`, for the text of the page to print.

    Speaks the format of scrapbook and papermill that MyST-NB reads, without importing MyST-NB,
    which takes most of a second.
    """
    from IPython.display import display  # noqa: PLC0415 (only a notebook has it)

    text = format(value, spec)
    record = {"scrapbook": {"name": name, "mime_prefix": "application/papermill.record/"}}
    data = {"application/papermill.record/text/plain": repr(text)}
    display(data, metadata=record, raw=True)
    return text
