"""Whether a progress bar is shown."""

from __future__ import annotations

import os
import sys

__all__ = ["bar"]


def bar(progress: bool | None) -> dict[str, bool]:
    """What to tell tqdm; None shows a bar in a terminal and in a notebook.

    TQDM_DISABLE in the environment turns such an automatic bar off.

    >>> bar(True), bar(False)
    ({'disable': False}, {'disable': True})
    """
    if progress is None:
        progress = sys.stderr.isatty() or (in_notebook() and "TQDM_DISABLE" not in os.environ)
    return {"disable": not progress}


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel; to have imported ipykernel is not enough."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
