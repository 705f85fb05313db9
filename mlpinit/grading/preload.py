"""Imports that a submission will need, made once in the runner instead of in each of its children.

torch puts off what few programs need: the first optimiser or `torch.func.grad` imports torch's
compiler (1.9 s of processor time), `y.backward(dy)` imports sympy (0.5 s), and matplotlib takes
0.6 s. A child would pay that within the limit of its exercise. A word in the source tells what
will be needed; a word too many costs the runner one import, and a word too few the child its own.
"""

from __future__ import annotations

import gc
import importlib
import os
import re
from contextlib import suppress
from pathlib import Path

__all__ = ["modules_for", "preload"]

_WORDS = (
    (
        rb"\b(optim|lr_scheduler|func|functorch|jacrev|jacfwd|hessian|jvp|compile|make_fx)\b",
        ("torch._dynamo",),
    ),
    (
        rb"\.backward\s*\(\s*[^\s)]|\bgrad\s*\(|\bgrad_outputs\b|\bgradcheck\b|\bvjp\b",
        ("torch.fx.experimental.symbolic_shapes",),
    ),
    (rb"\btesting\b", ("torch.testing",)),
    (rb"\bforward_ad\b|\bjvp\b", ("torch._decomp.decompositions_for_jvp",)),
    (
        rb"\b(matplotlib|pyplot|pylab|plots|seaborn)\b",
        ("matplotlib.pyplot", "matplotlib.backends.backend_agg", "PIL.PngImagePlugin"),
    ),
    (rb"\brandom\b", ("numpy.random",)),
    *(
        (rb"(?m)^\s*(?:import|from)\s+" + name.encode() + rb"\b", (name,))
        for name in ("hypothesis", "IPython", "pandas", "pytest", "scipy", "sympy", "unittest")
    ),
    (rb"\bscipy\b[^\n]*\bstats\b", ("scipy.stats",)),
    (rb"\bscipy\b[^\n]*\bspecial\b", ("scipy.special",)),
    (rb"\bdisplay\b", ("IPython.display",)),
)


def modules_for(source: bytes) -> list[str]:
    """The modules that a source's words lead to.

    >>> modules_for(b"import torch.optim as o")
    ['torch._dynamo']
    """
    return [name for words, names in _WORDS if re.search(words, source) for name in names]


_done: set[str] = set()


def preload(source: bytes, settings: Path) -> None:
    """Import what the source leads to; a module that is not there is the submission's to miss.

    matplotlib keeps its list of fonts in the folder `settings`.
    """
    new = [name for name in modules_for(source) if name not in _done]
    if not new:
        return
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ.setdefault("MPLCONFIGDIR", str(settings))
    for name in new:
        _done.add(name)
        with suppress(Exception):
            importlib.import_module(name)
    # The collector of a child would otherwise write into, and so copy, every page of this.
    gc.collect()
    gc.freeze()
