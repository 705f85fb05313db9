"""Reference solutions of chapter 11."""

from torch import Tensor


def fold_batch_norm(
    W: Tensor, mean: Tensor, var: Tensor, gain: Tensor, b: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """11.1"""
    factor = gain / (var + eps).sqrt()  # (units,), one a column of W
    return W * factor, b - mean * factor


def pool_statistics(counts: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """11.2"""
    share = (counts / counts.sum()).to(means.dtype).unsqueeze(-1)  # (K, 1)
    mean = (share * means).sum(0)
    # The spread within the parts, and the spread of their means about the common one.
    return mean, (share * (variances + (means - mean) ** 2)).sum(0)


def rms_norm_backward(z: Tensor, gain: Tensor, du: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """11.3"""
    rms = (z.square().mean(-1, keepdim=True) + eps).sqrt()  # (batch, 1)
    z_hat = z / rms
    dz_hat = gain * du
    dz = (dz_hat - z_hat * (z_hat * dz_hat).mean(-1, keepdim=True)) / rms
    return dz, (z_hat * du).sum(0)
