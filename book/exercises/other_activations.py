"""Chapter 9, Other activations: fill in the functions, then `make check EX=9`."""

from torch import Tensor


def elu_backward(z: Tensor, dh: Tensor, alpha: float) -> Tensor:
    """9.1 The gradient of the loss with respect to z, where h = ELU(z) with the factor alpha.

    h is z where z > 0, and alpha (e^z − 1) elsewhere, at 0 too, where its slope is that of the left
    side. z and dh, the gradient of the loss with respect to h: (batch, units). Returns dz,
    (batch, units), finite for every finite z.
    """
    raise NotImplementedError


def kill_unit(x: Tensor, W: Tensor, b: Tensor, j: int, margin: float) -> tuple[float, Tensor]:
    """9.2 The bias that kills ReLU unit j by a margin, and the census after the deed.

    x: (n, fan_in), the embedded contexts, all there are. W: (fan_in, units). b: (units,). Returns
    the largest b_j for which z_j is at most −margin on every row, and a mask (units,), true for
    the units that are dead on x, z at most 0 on every row, once b[j] is that. b itself is not
    changed.
    """
    raise NotImplementedError


def centred_dormancy(h: Tensor, counts: Tensor) -> Tensor:
    """9.3 Sokar's score of every unit after its own mean is taken off.

    h: (n, units), the activations on n distinct contexts. counts: (n,) int64, how often each
    context occurs. Returns the scores, (units,): mean |h − mean of h|, over the layer's mean of
    that; both means over all occurrences. A layer that is silent altogether scores 0.
    """
    raise NotImplementedError
