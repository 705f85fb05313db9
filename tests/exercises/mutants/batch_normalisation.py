"""Answers to chapter 11 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import torch


def fold_batch_norm__wrong_mean_unscaled(W, mean, var, gain, b, eps):
    """the mean must be multiplied by the same factor"""
    return W * gain / (var + eps).sqrt(), b - mean


def fold_batch_norm__wrong_no_mean(W, mean, var, gain, b, eps):
    """lacks what the mean takes away"""
    return W * gain / (var + eps).sqrt(), b


def fold_batch_norm__wrong_no_eps(W, mean, var, gain, b, eps):
    """eps is left out"""
    factor = gain / var.sqrt()
    return W * factor, b - mean * factor


def fold_batch_norm__wrong_eps_outside(W, mean, var, gain, b, eps):
    """it belongs to the variance, under the root"""
    factor = gain / (var.sqrt() + eps)
    return W * factor, b - mean * factor


def fold_batch_norm__wrong_variance(W, mean, var, gain, b, eps):
    """this divides by the variance"""
    factor = gain / (var + eps)
    return W * factor, b - mean * factor


def fold_batch_norm__wrong_b_scaled(W, mean, var, gain, b, eps):
    """b is scaled here"""
    factor = gain / (var + eps).sqrt()
    return W * factor, (b - mean) * factor


def fold_batch_norm__wrong_sign(W, mean, var, gain, b, eps):
    """the mean's part has the wrong sign"""
    factor = gain / (var + eps).sqrt()
    return W * factor, b + mean * factor


def fold_batch_norm__wrong_torch_layout(W, mean, var, gain, b, eps):
    """the transpose of what is wanted"""
    factor = gain / (var + eps).sqrt()
    return (W * factor).T, b - mean * factor


def fold_batch_norm__wrong_in_place(W, mean, var, gain, b, eps):
    """work on a copy"""
    factor = gain / var.add_(eps).sqrt()
    return W * factor, b - mean * factor


def fold_batch_norm__right_loop(W, mean, var, gain, b, eps):
    W, b = W.clone(), b.clone()
    for j in range(W.shape[1]):
        factor = gain[j] / (var[j] + eps) ** 0.5
        W[:, j] *= factor
        b[j] -= mean[j] * factor
    return W, b


def fold_batch_norm__right_probing(W, mean, var, gain, b, eps):
    norm = torch.nn.BatchNorm1d(len(b), eps=eps, dtype=W.dtype).eval()
    norm.load_state_dict(
        {
            "weight": gain,
            "bias": b,
            "running_mean": mean,
            "running_var": var,
            "num_batches_tracked": torch.tensor(0),
        }
    )
    with torch.no_grad():
        b2 = norm(0 * mean[None])[0]
        return W * gain / torch.sqrt(var + eps), b2


def pool_statistics__wrong_average_variance(counts, means, variances):
    """misses the spread of the parts' means"""
    share = (counts / counts.sum())[:, None].to(means.dtype)
    return (share * means).sum(0), (share * variances).sum(0)


def pool_statistics__wrong_equal_parts(counts, means, variances):
    """every part counts alike"""
    return means.mean(0), variances.mean(0) + means.var(0, correction=0)


def pool_statistics__wrong_unbiased(counts, means, variances):
    """the unbiased variance"""
    n = counts.sum()
    share = (counts / n)[:, None].to(means.dtype)
    mean = (share * means).sum(0)
    return mean, (share * (variances + (means - mean) ** 2)).sum(0) * n / (n - 1)


def pool_statistics__wrong_taken_for_unbiased(counts, means, variances):
    """divided by the count already"""
    n = counts[:, None].to(means.dtype)
    mean = (n * means).sum(0) / n.sum()
    return mean, ((n - 1) * variances + n * (means - mean) ** 2).sum(0) / n.sum()


def pool_statistics__wrong_only_between(counts, means, variances):
    """add that within the parts"""
    share = (counts / counts.sum())[:, None].to(means.dtype)
    mean = (share * means).sum(0)
    return mean, (share * (means - mean) ** 2).sum(0)


def pool_statistics__wrong_deviations(counts, means, variances):
    """variances add, their roots do not"""
    share = (counts / counts.sum())[:, None].to(means.dtype)
    return (share * means).sum(0), (share * variances.sqrt()).sum(0) ** 2


def pool_statistics__wrong_mean(counts, means, variances):
    """the mean is not right"""
    share = (counts / counts.sum())[:, None].to(means.dtype)
    mean = means.mean(0)
    return mean, (share * (variances + (means - mean) ** 2)).sum(0)


def pool_statistics__wrong_cancellation(counts, means, variances):
    """float32 has rounded it away"""
    share = (counts / counts.sum())[:, None].to(means.dtype)
    mean = (share * means).sum(0)
    return mean, (share * (variances + means**2)).sum(0) - mean**2


def pool_statistics__wrong_cancellation_of_totals(counts, means, variances):
    """float32 has rounded it away"""
    n = counts[:, None]
    total, squares = (n * means).sum(0), (n * (variances + means**2)).sum(0)
    return total / counts.sum(), squares / counts.sum() - (total / counts.sum()) ** 2


def pool_statistics__right_one_by_one(counts, means, variances):
    n, mean, var = counts[0], means[0].double(), variances[0].double()
    for k, m, v in zip(counts[1:], means[1:].double(), variances[1:].double(), strict=True):
        apart = m - mean
        mean = mean + apart * k / (n + k)
        var = (n * var + k * v) / (n + k) + apart**2 * n * k / (n + k) ** 2
        n = n + k
    return mean, var


def pool_statistics__right_squares_in_double(counts, means, variances):
    share = (counts / counts.sum().double())[:, None]
    means, variances = means.double(), variances.double()
    mean = (share * means).sum(0)
    return mean, (share * (variances + means**2)).sum(0) - mean**2


def rms_norm_backward__wrong_constant(z, gain, du, eps):
    """takes the root mean square for a constant"""
    rms = (z.square().mean(-1, keepdim=True) + eps).sqrt()
    return gain * du / rms, (z / rms * du).sum(0)


def rms_norm_backward__wrong_gain_last(z, gain, du, eps):
    """the gain is multiplied last"""
    rms = (z.square().mean(-1, keepdim=True) + eps).sqrt()
    z_hat = z / rms
    dz = gain * (du - z_hat * (z_hat * du).mean(-1, keepdim=True)) / rms
    return dz, (z_hat * du).sum(0)


def rms_norm_backward__wrong_layer_norm(z, gain, du, eps):
    """RMS norm takes no mean away"""
    rms = (z.square().mean(-1, keepdim=True) + eps).sqrt()
    z_hat, d = z / rms, gain * du
    through = d.mean(-1, keepdim=True) + z_hat * (z_hat * d).mean(-1, keepdim=True)
    return (d - through) / rms, (z_hat * du).sum(0)


def rms_norm_backward__wrong_batch_axis(z, gain, du, eps):
    """an example is normalised by itself"""
    rms = (z.square().mean(-1, keepdim=True) + eps).sqrt()
    z_hat, d = z / rms, gain * du
    return (d - z_hat * (z_hat * d).mean(0)) / rms, (z_hat * du).sum(0)


def rms_norm_backward__wrong_sum(z, gain, du, eps):
    """a sum over the units where a mean is due"""
    rms = (z.square().mean(-1, keepdim=True) + eps).sqrt()
    z_hat, d = z / rms, gain * du
    return (d - z_hat * (z_hat * d).sum(-1, keepdim=True)) / rms, (z_hat * du).sum(0)


def rms_norm_backward__wrong_dgain(z, gain, du, eps):
    """dgain lacks ẑ"""
    rms = (z.square().mean(-1, keepdim=True) + eps).sqrt()
    z_hat, d = z / rms, gain * du
    return (d - z_hat * (z_hat * d).mean(-1, keepdim=True)) / rms, du.sum(0)


def rms_norm_backward__wrong_dgain_mean(z, gain, du, eps):
    """every example uses the gain, so they add"""
    rms = (z.square().mean(-1, keepdim=True) + eps).sqrt()
    z_hat, d = z / rms, gain * du
    dz = (d - z_hat * (z_hat * d).mean(-1, keepdim=True)) / rms
    return dz, (z_hat * du).mean(0)


def rms_norm_backward__wrong_dgain_per_example(z, gain, du, eps):
    """the shape is"""
    rms = (z.square().mean(-1, keepdim=True) + eps).sqrt()
    z_hat, d = z / rms, gain * du
    dz = (d - z_hat * (z_hat * d).mean(-1, keepdim=True)) / rms
    return dz, (z_hat * du).sum(-1)


def rms_norm_backward__right_autograd(z, gain, du, eps):
    z, gain = z.clone().requires_grad_(), gain.clone().requires_grad_()
    u = torch.nn.functional.rms_norm(z, z.shape[-1:], gain, eps)
    return torch.autograd.grad(u, (z, gain), du)


def rms_norm_backward__right_jacobians(z, gain, du, eps):
    dz, units = torch.zeros_like(z), z.shape[1]
    for i, row in enumerate(z):
        r = (row @ row / units + eps).sqrt()
        jacobian = torch.eye(units, dtype=z.dtype) / r - torch.outer(row, row) / (units * r**3)
        dz[i] = jacobian @ (gain * du[i])
    rms = (z.square().mean(-1, keepdim=True) + eps).sqrt()
    return dz, (du * z / rms).sum(0)


def _folded(W, m, v, g, b, e, *, weights=None, shift=None):
    """W and b with the factor, or with others of the deviation and the gain."""
    s = (v + e).sqrt()
    by_W = g / s if weights is None else weights(s, g)
    by_m = g / s if shift is None else shift(s, g)
    return W * by_W, b - m * by_m


def _back(z, gain, du, eps, *, dz=None, dgain=None):
    r = z.square().mean(1, keepdim=True).add(eps).sqrt()
    y, d = z / r, gain * du
    right = (d - y * (y * d).mean(1, keepdim=True)) / r
    return (
        right if dz is None else dz(y, r, d, right),
        (y * du).sum(0) if dgain is None else dgain(y, r, du),
    )


def _through_norm(z, gain, du, norm):
    z, gain = z.detach().clone().requires_grad_(), gain.detach().clone().requires_grad_()
    (gain * norm(z)).backward(du)
    return z.grad, gain.grad


WRONG = {
    "fold_batch_norm": {
        "not divided by the deviation": lambda *a: _folded(*a, shift=lambda s, g: g),
        "the mean lacks the gain": lambda *a: _folded(*a, shift=lambda s, g: 1 / s),
        "b is lost": lambda W, m, v, g, b, e: _folded(W, m, v, g, 0 * b, e),
        "the weights are not divided": lambda *a: _folded(*a, weights=lambda s, g: g),
        "the weights lack the gain": lambda *a: _folded(*a, weights=lambda s, g: 1 / s),
        "nothing is divided": lambda *a: _folded(*a, weights=lambda s, g: g, shift=lambda s, g: g),
        "the layer divides by it": lambda *a: _folded(
            *a, weights=lambda s, g: g * s, shift=lambda s, g: g * s
        ),
        "the layer multiplies by it": lambda *a: _folded(
            *a, weights=lambda s, g: 1 / g / s, shift=lambda s, g: 1 / g / s
        ),
        "averaged over the units": lambda *a: _folded(
            *a, weights=lambda s, g: (g / s).mean(), shift=lambda s, g: (g / s).mean()
        ),
        "off the weights": lambda W, m, v, g, b, e: ((W - m) * g / (v + e) ** 0.5, b + 0),
        "changed places": lambda W, m, v, g, b, e: _folded(W, m, v, b, g, e),
        "eps is subtracted": lambda W, m, v, g, b, e: _folded(W, m, v, g, b, -e),
        "2, 1 of what is wanted": lambda *a: _folded(*a)[::-1],
        "value 2 is the negative": lambda *a: (_folded(*a)[0], -_folded(*a)[1]),
    },
    "rms_norm_backward": {
        "a plus": lambda *a: _back(
            *a, dz=lambda y, r, d, right: (d + y * (y * d).mean(1, keepdim=True)) / r
        ),
        "divided by the mean square": lambda *a: _back(*a, dz=lambda y, r, d, right: right / r),
        "through the layer itself": lambda *a: _back(*a, dz=lambda y, r, d, right: d * y),
        "only the part": lambda *a: _back(
            *a, dz=lambda y, r, d, right: y * (y * d).mean(1, keepdim=True) / r
        ),
        "the mean lacks ẑ": lambda *a: _back(
            *a, dz=lambda y, r, d, right: (d - y * d.mean(1, keepdim=True)) / r
        ),
        "by ẑ again": lambda *a: _back(
            *a, dz=lambda y, r, d, right: (d - (y * d).mean(1, keepdim=True)) / r
        ),
        "one mean over all entries": lambda *a: _back(
            *a, dz=lambda y, r, d, right: (d - y * (y * d).mean()) / r
        ),
        "an axis for the examples": lambda *a: _back(*a, dgain=lambda y, r, du: y * du),
        "units of each example": lambda *a: _back(*a, dgain=lambda y, r, du: (y * du).sum(1)),
        "the gain in it": lambda z, g, du, e: _back(
            z, g, du, e, dgain=lambda y, r, du: (y * g * du).sum(0)
        ),
        "twice": lambda *a: _back(*a, dgain=lambda y, r, du: (y * du / r).sum(0)),
        "eps is left out": lambda z, g, du, e: _through_norm(
            z, g, du, lambda z: z / z.square().mean(1, keepdim=True).sqrt()
        ),
        "eps is added to the root": lambda z, g, du, e: _through_norm(
            z, g, du, lambda z: z / (z.square().mean(1, keepdim=True).sqrt() + e)
        ),
        "layer norm": lambda z, g, du, e: _through_norm(
            z,
            g,
            du,
            lambda z: (
                (z - z.mean(1, keepdim=True)) / (z.var(1, correction=0, keepdim=True) + e).sqrt()
            ),
        ),
        "a sum of squares": lambda z, g, du, e: _through_norm(
            z, g, du, lambda z: z / (z.norm(dim=1, keepdim=True) ** 2 + e).sqrt()
        ),
        "each unit over the batch": lambda z, g, du, e: _through_norm(
            z, g, du, lambda z: z * (z.square().mean(0) + e).rsqrt()
        ),
    },
}
