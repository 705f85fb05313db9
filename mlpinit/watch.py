"""Watch the units of any PyTorch model while it trains, and say which are dead, with evidence.

    from mlpinit.watch import audit, watch

    with watch(model, every=10) as w:       # any torch.nn.Module
        train(model)                        # your own loop, unchanged
    report = w.report()                     # also inside the with: what is known so far
    print(report)                           # or leave `report` last in a notebook's cell
    report.dead()                           # {"net.1": [3, 17]}: hard-dead units by site
    report.dead("soft")                     # soft-dead ones too
    report["net.1"].evidence(3)             # why
    report.to_dict(); report.log(writer, step)

    audit(model, loader)                    # a whole data set, parameters fixed: exact

A *site* is a place where an activation function is applied, named as in `mlpinit.sites`: "net.1"
for a module, "blocks.0.mlp:gelu" for a function that the forward of `blocks.0.mlp` calls. A
*unit* is an index along the last axis of what comes out of a linear layer, and a channel of what
comes out of a convolution. What is kept are figures per unit, on the device of the site, and
while the watch is on a bounded buffer of small layers' latest rows.
"""

from mlpinit.models.audit import audit
from mlpinit.models.report import Report, SiteReport
from mlpinit.models.verdicts import VERDICTS
from mlpinit.models.watch import Watch, watch

__all__ = ["VERDICTS", "Report", "SiteReport", "Watch", "audit", "watch"]
