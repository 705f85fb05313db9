"""Answers to chapter 9 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import torch
from torch.nn import functional


def elu_backward__wrong_relu(z, dh, alpha):
    """this is the gradient of ReLU"""
    return dh * (z > 0)


def elu_backward__wrong_leaky(z, dh, alpha):
    """this is the gradient of a leaky ReLU"""
    return dh * torch.where(z > 0, 1.0, alpha)


def elu_backward__wrong_h_plus_one(z, dh, alpha):
    """in general it is h + alpha"""
    return dh * torch.where(z > 0, 1.0, functional.elu(z, alpha) + 1)


def elu_backward__wrong_everywhere(z, dh, alpha):
    """for z > 0 the slope is 1"""
    return dh * alpha * torch.exp(z)


def elu_backward__wrong_overflow(z, dh, alpha):
    """0 · ∞ is NaN"""
    return dh * ((z > 0).float() + (z <= 0).float() * alpha * torch.exp(z))


def elu_backward__wrong_where_then_autograd(z, dh, alpha):
    """0 · ∞ is NaN"""
    z = z.clone().requires_grad_()
    h = torch.where(z > 0, z, alpha * (torch.exp(z) - 1))
    return torch.autograd.grad(h, z, dh)[0]


def elu_backward__wrong_no_upstream(z, dh, alpha):
    """multiply it by dh"""
    return torch.where(z > 0, 1.0, alpha * torch.exp(z))


def elu_backward__right_from_h(z, dh, alpha):
    h = functional.elu(z, alpha)
    return torch.where(z > 0, dh, dh * (h + alpha))


def elu_backward__right_indexing(z, dh, alpha):
    dz = dh.clone()
    left = z <= 0
    dz[left] *= alpha * torch.exp(z[left])
    return dz


def _census(x, W, b, j, bias):
    b = b.clone()
    b[j] = bias
    return float(bias), (x @ W + b <= 0).all(0)


def kill_unit__wrong_min(x, W, b, j, margin):
    """where the largest decides"""
    return _census(x, W, b, j, -(x @ W[:, j]).min() - margin)


def kill_unit__wrong_first_row(x, W, b, j, margin):
    """only the first row"""
    return _census(x, W, b, j, -(x[0] @ W[:, j]) - margin)


def kill_unit__wrong_any(x, W, b, j, margin):
    """(any) where (all) is asked"""
    bias, _ = _census(x, W, b, j, -(x @ W[:, j]).max() - margin)
    after = b.clone()
    after[j] = bias
    return bias, (x @ W + after <= 0).any(0)


def kill_unit__wrong_margin_sign(x, W, b, j, margin):
    """the margin has the wrong sign"""
    return _census(x, W, b, j, margin - (x @ W[:, j]).max())


def kill_unit__wrong_no_margin(x, W, b, j, margin):
    """the margin is left out"""
    z, after = x @ W, b.clone()
    after[j] = -z[:, j].max()
    return after[j], (z + after <= 0).all(0)


def kill_unit__wrong_old_bias(x, W, b, j, margin):
    """it is replaced"""
    return _census(x, W, b, j, -(x @ W[:, j] + b[j]).max() - margin)


def kill_unit__wrong_old_mask(x, W, b, j, margin):
    """the mask is that of the old biases"""
    return -(x @ W[:, j]).max() - margin, (x @ W + b <= 0).all(0)


def kill_unit__wrong_clamped(x, W, b, j, margin):
    """even a positive bias can leave the unit dead"""
    return _census(x, W, b, j, -(x @ W[:, j]).max().clamp(min=0) - margin)


def kill_unit__wrong_in_place(x, W, b, j, margin):
    """work on a copy"""
    b[j] = -(x @ W[:, j]).max() - margin
    return b[j], (x @ W + b <= 0).all(0)


def kill_unit__right_slow_loop(x, W, b, j, margin):
    bias = min(-float(row @ W[:, j]) - margin for row in x)
    dead = torch.ones(len(b), dtype=torch.bool)
    for row in x:
        for unit in range(len(b)):
            z = row @ W[:, unit] + (bias if unit == j else b[unit])
            dead[unit] &= bool(z <= 0)
    return bias, dead


def kill_unit__right_by_gradient(x, W, b, j, margin):
    b = b.clone()
    b[j] = -(x @ W)[:, j].amax() - margin
    W = W.clone().requires_grad_()
    h = functional.relu(x.abs() @ W * 0 + (x @ W + b))
    (grad,) = torch.autograd.grad(h.sum(), W)
    return b[j], (grad == 0).all(0)


def _mean(values, counts):
    return (counts[:, None] * values).sum(0) / counts.sum()


def centred_dormancy__wrong_plain(h, counts):
    """without the subtraction"""
    size = _mean(h.abs(), counts)
    return size / size.mean()


def centred_dormancy__wrong_unweighted(h, counts):
    """every row counts once"""
    size = (h - h.mean(0)).abs().mean(0)
    return size / size.mean()


def centred_dormancy__wrong_sum(h, counts):
    """divides by the layer's sum"""
    size = _mean((h - _mean(h, counts)).abs(), counts)
    return size / size.sum()


def centred_dormancy__wrong_axis(h, counts):
    """across the units of each row"""
    size = _mean((h - h.mean(1, keepdim=True)).abs(), counts)
    return size / size.mean()


def centred_dormancy__wrong_silent(h, counts):
    """this is 0/0"""
    size = _mean((h - _mean(h, counts)).abs(), counts)
    return size / size.mean()


def centred_dormancy__wrong_std(h, counts):
    """this is the standard deviation"""
    size = _mean((h - _mean(h, counts)) ** 2, counts).sqrt()
    return size / size.mean()


def centred_dormancy__right_written_out(h, counts):
    h = torch.repeat_interleave(h, counts, dim=0)
    size = (h - h.mean(0)).abs().mean(0)
    return size / size.mean().clamp(min=1e-30)


def centred_dormancy__right_slow_loop(h, counts):
    n, sizes = int(counts.sum()), []
    for unit in h.T.tolist():
        pairs = list(zip(unit, counts.tolist(), strict=True))
        mean = sum(v * c for v, c in pairs) / n
        sizes.append(sum(abs(v - mean) * c for v, c in pairs) / n)
    layer = sum(sizes) / len(sizes) or 1.0
    return torch.tensor(sizes) / layer


def _times(z, dh, left, right=1.0):
    return dh * torch.where(z > 0, right, left(z.clamp(max=0)))


def _killed(x, W, b, j, margin, *, bias=None, mask=None):
    z = x.double() @ W.double()
    new = -z[:, j].max() - margin if bias is None else bias(z, b[j], margin)
    after = b.double().clone()
    after[j] = new
    dead = (z + after).amax(0) <= 0 if mask is None else mask(z, b, after)
    return float(new), dead


def _score(h, counts, size):
    w = counts / counts.sum()
    s = size(h, w.to(h.dtype))
    return s / s.mean() if s.any() else s


def _centred(h, w):
    return h - w @ h


WRONG = {
    "elu_backward": {
        "the exponent has the wrong sign": lambda z, dh, a: _times(z, dh, lambda z: a * (-z).exp()),
        "this is h itself": lambda z, dh, a: _times(z, dh, lambda z: a * z.expm1()),
        "multiplies by h": lambda z, dh, a: dh * functional.elu(z, a),
        "alpha is on both sides": lambda z, dh, a: _times(z, dh, lambda z: a * z.exp(), a),
        "alpha is on the wrong side": lambda z, dh, a: _times(z, dh, torch.exp, a),
        "z is taken for h": lambda z, dh, a: _times(z, dh, lambda z: z + a),
        "the two sides changed places": lambda z, dh, a: dh * torch.where(z > 0, a * z.exp(), 1.0),
        "added to e^z": lambda z, dh, a: _times(z, dh, lambda z: z.exp() + a),
        "in the exponent": lambda z, dh, a: _times(z, dh, lambda z: a * (a * z).exp()),
        "alpha comes in twice": lambda z, dh, a: _times(z, dh, lambda z: a * a * z.exp()),
        "not multiplied by dh": lambda z, dh, a: torch.where(z > 0, dh, a * z.exp()),
        "the chain rule multiplies": lambda z, dh, a: (
            dh + _times(z, torch.ones_like(dh), lambda z: a * z.exp())
        ),
        "unchanged": lambda z, dh, a: dh.clone(),
        "the sign of dh decides": lambda z, dh, a: torch.where(
            dh > 0, dh, dh * a * z.clamp(max=0).exp()
        ),
        "z = 0 belongs to the left": lambda z, dh, a: (
            dh * torch.where(z < 0, a * z.clamp(max=0).exp(), 1.0)
        ),
    },
    "kill_unit": {
        "counted twice": lambda *a: _killed(*a, bias=lambda z, b, m: -z[:, a[3]].max() - 2 * m),
        "median": lambda *a: _killed(*a, bias=lambda z, b, m: -z[:, a[3]].median() - m),
        "only the last row": lambda *a: _killed(*a, bias=lambda z, b, m: -z[-1, a[3]] - m),
        "where it is low enough": lambda *a: _killed(
            *a, bias=lambda z, b, m: min(b.item(), -z[:, a[3]].max() - m)
        ),
        "this is −margin": lambda *a: _killed(*a, bias=lambda z, b, m: -m),
        "largest z of all units": lambda *a: _killed(*a, bias=lambda z, b, m: -z.max() - m),
        "the bias is right, but the mask": lambda *a: _killed(
            *a, mask=lambda z, b, c: (z + c).amax(0) <= -a[4]
        ),
        "every unit got it": lambda *a: _killed(
            *a, mask=lambda z, b, c: (z + c[a[3]]).amax(0) <= 0
        ),
        "unit j alone": lambda *a: _killed(*a, mask=lambda z, b, c: torch.arange(len(b)) == a[3]),
        "the mean over the rows: dead": lambda *a: _killed(
            *a, mask=lambda z, b, c: (z + c).mean(0) <= 0
        ),
        "a number for each row": lambda *a: _killed(*a, mask=lambda z, b, c: (z + c).amax(1) <= 0),
        "the numbers of the units": lambda *a: _killed(
            *a, mask=lambda z, b, c: torch.where((z + c).amax(0) <= 0)[0]
        ),
        "just reaches 0 is dead": lambda *a: _killed(*a, mask=lambda z, b, c: (z + c).amax(0) < 0),
        "2, 1 of what is wanted": lambda *a: _killed(*a)[::-1],
        "the mask alone": lambda *a: _killed(*a)[1],
    },
    "centred_dormancy": {
        "the variance": lambda h, n: _score(h, n, lambda h, w: w @ _centred(h, w) ** 2),
        "the layer's largest": lambda h, n: (
            _score(h, n, lambda h, w: w @ _centred(h, w).abs())
            / _score(h, n, lambda h, w: w @ _centred(h, w).abs()).max().clamp(min=1e-9)
        ),
        "the largest |h − mean|": lambda h, n: _score(
            h, n, lambda h, w: _centred(h, w).abs().amax(0)
        ),
        "the range": lambda h, n: _score(h, n, lambda h, w: h.max(0)[0] - h.min(0)[0]),
        "this divides by the mean of |h|": lambda h, n: (
            (n / n.sum()).to(h.dtype)
            @ _centred(h, (n / n.sum()).to(h.dtype)).abs()
            / ((n / n.sum()).to(h.dtype) @ h.abs()).mean()
        ),
        "the size of the mean": lambda h, n: _score(h, n, lambda h, w: (w @ h).abs()),
        "and every row counts once": lambda h, n: _score(h, n, lambda h, w: h.abs().mean(0)),
        "deviation, and every row": lambda h, n: _score(h, n, lambda h, w: h.std(0)),
        "below the mean": lambda h, n: _score(h, n, lambda h, w: w @ _centred(h, w).abs()) < 1,
        "the signs cancel": lambda h, n: (
            (n / n.sum()).to(h.dtype) @ (h - (n / n.sum()).to(h.dtype) @ h)
        ),
    },
}
