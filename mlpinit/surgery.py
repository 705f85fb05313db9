"""Removing dead units from any PyTorch model: fold what they say into what follows, delete them.

    from mlpinit.surgery import remove

    removal = remove(model, report.dead(), loader)
    removal.model                           # a copy without them, whose outputs are the same
    removal.kept                            # the sites that stayed, and why

What `remove` does, and how it checks itself, is said there. A *site*
is named as in `mlpinit.watch`.
"""

from mlpinit.models.sites import sites
from mlpinit.models.surgery import Removal, RemovalError, remove

__all__ = ["Removal", "RemovalError", "remove", "sites"]
