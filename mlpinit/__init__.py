"""How neural networks start: the package that the book runs on, and that runs on your models.

mlpinit.checkup(model, batch, loss)     # before the first step; see `mlpinit.models.checkup`
"""

from importlib import import_module

__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    """`checkup` is imported when it is asked for: `import mlpinit` alone stays cheap."""
    if name == "checkup":
        return import_module("mlpinit.models.checkup").checkup
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
