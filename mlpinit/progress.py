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
        in_notebook = "ipykernel" in sys.modules and "TQDM_DISABLE" not in os.environ
        progress = in_notebook or sys.stderr.isatty()
    return {"disable": not progress}
