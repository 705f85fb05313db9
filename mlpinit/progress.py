"""What a terminal can show: whether a progress bar, and which letters."""

from __future__ import annotations

import os
import sys

__all__ = ["bar", "printable"]

_PLAIN = str.maketrans({"→": "->", "–": "-", "−": "-", "…": "...", "·": "*", "×": "x", "≤": "<="})


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


def printable(text: str) -> str:
    """The text in letters that standard output has: an old Windows terminal has no "→".

    >>> printable("58 units")
    '58 units'
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        plain = text.translate(_PLAIN)
        return plain.encode("ascii", "backslashreplace").decode("ascii")
    return text
