"""Where activations are applied in a model, as torch.fx traces it: the names that `remove` takes.

A *site* is a place where an activation function is applied. Its name is that of the activation
module ("net.1"), or, for a function or a tensor method, the module whose forward called it and the
function ("blocks.0.mlp:gelu", ":tanh" for the model itself). A name that comes up again in the same
forward pass gets "#2", "#3" and so on.
"""

from mlpinit.models.graph import Dead
from mlpinit.models.sites import sites
from mlpinit.models.tracing import SiteError

__all__ = ["Dead", "SiteError", "sites"]
