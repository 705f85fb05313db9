"""Modules that torch imports when they are first needed, at a second or two of processor time.

The process that runs submissions imports them before it forks, when a submission's text has a word
that leads there: no submission pays for them with the time that its answer has.

Measured with torch 2.13: what each call adds to `sys.modules`, and what it costs.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable
from contextlib import suppress

__all__ = ["leading_to", "load"]

# Module: a word in a text that leads there.
_LAZY = {
    # 0.5 s: a gradient that is handed in has its shape compared with a symbolic one
    "torch.fx.experimental.symbolic_shapes": (
        rb"\bbackward\s*\(\s*[^\s)]|\bgrad\s*\(|\bgrad_outputs\b|\bgrad(?:grad)?check\b"
        rb"|\bautograd\b.*\bgrad\b"
    ),
    # 1.6 s: whatever can be compiled asks whether it is being compiled
    "torch._dynamo": (
        rb"\boptim\b|\bSGD\b|\bAda\w+|\bRMSprop\b|\blr_scheduler\b|\bLambdaLR\b"
        rb"|\btorch\s*\.\s*func\b|\bimport\b.*\bfunc\b|\bfunctorch\b|\bvmap\b"
        rb"|\bjacrev\b|\bjacfwd\b|\bhessian\b|\bv?jvp\b|\bvjp\b"
        rb"|\bcheckpoint\b|['\"]meta['\"]|\btorch\s*\.\s*compile\b|\b_dynamo\b"
    ),
    # 0.3 s
    "torch._decomp.decompositions_for_jvp": rb"\bjvp\b|\bjacfwd\b|\bhessian\b|\bforward_ad\b",
    # 0.6 s, and as much again for a list of the machine's fonts
    "matplotlib.pyplot": rb"\bmatplotlib\b|\bpylab\b|\bseaborn\b|\bplots\b",
    # 0.5 s to 1 s each, where they are installed
    "pandas": rb"\bpandas\b",
    "scipy.stats": rb"\bscipy\b",
    "scipy.optimize": rb"\bscipy\b",
    "sympy": rb"\bsympy\b",
    # a few milliseconds each, but in every child
    **dict.fromkeys(
        ("mlpinit.mlp", "mlpinit.saturation", "mlpinit.gains", "mlpinit.depth"), rb"\bmlpinit\b"
    ),
    "numpy.polynomial": rb"\bpolynomial\b",
}


def leading_to(source: bytes) -> list[str]:
    """The names of the modules that a submission of this text may need."""
    return [name for name, words in _LAZY.items() if re.search(words, source)]


def load(names: Iterable[str]) -> None:
    """Import those of the modules that are known here and installed."""
    for name in names:
        if name in _LAZY and name not in sys.modules:
            with suppress(Exception):
                importlib.import_module(name)
