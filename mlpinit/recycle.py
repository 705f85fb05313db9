"""Bring dead units back in any torch model: fold what they said, redraw what they hear.

    from mlpinit.recycle import recycle

    done = recycle(model, report.dead(), loader, optimizer=optimizer, generator=g)    # in place
    done.kept                               # the sites that were left as they are, and why

    sleepers = schedule(model, loader, every=500, optimizer=optimizer, generator=g)
    sleepers.step()                         # after each step of your own loop

A recycled unit starts again as a newly drawn one whose answers nobody listens to yet. What the
model computes stays the same; what it can learn does not.
"""

from mlpinit.models.recycle import OPTIMIZER_STATE, RecycledSite, Recycling, recycle
from mlpinit.models.schedule import Round, Schedule, schedule

__all__ = [
    "OPTIMIZER_STATE",
    "RecycledSite",
    "Recycling",
    "Round",
    "Schedule",
    "recycle",
    "schedule",
]
