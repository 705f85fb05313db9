"""Chapter 11, Batch normalisation: fill in the functions, then run
`make check EX=11`.
"""

from torch import Tensor


def fold_batch_norm(
    W: Tensor, mean: Tensor, var: Tensor, gain: Tensor, b: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """11.1 One affine layer that does what a layer with fixed batch norm does.

    The normalised layer: gain * (x @ W - mean) / sqrt(var + eps) + b, with W: (fan_in, units) and
    mean, var, gain, b: (units,). Returns W2: (fan_in, units) and b2: (units,) such that
    x @ W2 + b2 is the same for every x.
    """
    raise NotImplementedError


def pool_statistics(counts: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """11.2 The mean and the variance of all examples, from those of K parts of them.

    counts: (K,) int64, the examples in each part. means, variances: (K, units), each part's own,
    the variances biased (divided by the count). Returns the mean and the biased variance over all
    parts together, (units,) each.
    """
    raise NotImplementedError


def rms_norm_backward(z: Tensor, gain: Tensor, du: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """11.3 The gradients at z and at the gain, where u = gain * z / sqrt(mean(z²) + eps).

    The mean is over the units of each example. z: (batch, units). gain: (units,). du: (batch,
    units), the gradient of the loss with respect to u. Returns dz: (batch, units) and
    dgain: (units,).
    """
    raise NotImplementedError
