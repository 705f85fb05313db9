"""Answers to chapter 12 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import math

import torch


def _walk(first, step, n):
    q = [first]
    while len(q) < n:
        q.append(step(q[-1]))
    return torch.tensor(q)


def leaky_variances__wrong_no_half(gain, bias_std, slope, mean_square, n_layers):
    """each side holds half of the Gaussian"""
    first = gain**2 * mean_square + bias_std**2
    return _walk(first, lambda q: gain**2 * (1 + slope**2) * q + bias_std**2, n_layers)


def leaky_variances__wrong_slope_not_squared(gain, bias_std, slope, mean_square, n_layers):
    """the leak is not squared"""
    first = gain**2 * mean_square + bias_std**2
    return _walk(first, lambda q: gain**2 * (1 + slope) / 2 * q + bias_std**2, n_layers)


def leaky_variances__wrong_no_bias(gain, bias_std, slope, mean_square, n_layers):
    """the biases are left out"""
    first = gain**2 * mean_square
    return _walk(first, lambda q: gain**2 * (1 + slope**2) / 2 * q, n_layers)


def leaky_variances__wrong_inputs_activated(gain, bias_std, slope, mean_square, n_layers):
    """its inputs have passed no activation function"""

    def step(q):
        return gain**2 * (1 + slope**2) / 2 * q + bias_std**2

    return _walk(step(mean_square), step, n_layers)


def leaky_variances__wrong_standard_deviations(gain, bias_std, slope, mean_square, n_layers):
    """these are standard deviations"""
    first = gain**2 * mean_square + bias_std**2
    step = lambda q: gain**2 * (1 + slope**2) / 2 * q + bias_std**2  # noqa: E731
    return _walk(first, step, n_layers).sqrt()


def leaky_variances__right_closed_form(gain, bias_std, slope, mean_square, n_layers):
    r = gain**2 * (1 + slope**2) / 2
    first = gain**2 * mean_square + bias_std**2
    powers = [r**k for k in range(n_layers)]
    return torch.tensor([first * p + bias_std**2 * sum(powers[:k]) for k, p in enumerate(powers)])


def leaky_variances__right_quadrature(gain, bias_std, slope, mean_square, n_layers):
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    weight = torch.exp(-z * z / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])

    def step(q):
        h = torch.nn.functional.leaky_relu(math.sqrt(q) * z, slope)
        return gain**2 * float((weight * h * h).sum()) + bias_std**2

    return _walk(gain**2 * mean_square + bias_std**2, step, n_layers)


def _down(x, U, V, s, dh, step):
    h, layers = x, []
    for u, v in zip(U, V, strict=True):
        f = torch.tanh(h @ u)
        layers.append((u, v, f))
        h = h + s * f @ v
    found = [dh]
    for u, v, f in reversed(layers):
        found.insert(0, step(found[0], u, v, f))
    return torch.stack(found)


def residual_gradients__wrong_no_skip(x, U, V, s, dh):
    """the way past the layer is missing"""
    return _down(x, U, V, s, dh, lambda d, u, v, f: s * (d @ v.T * (1 - f**2)) @ u.T)


def residual_gradients__wrong_no_scale(x, U, V, s, dh):
    """s is left out on the way back"""
    return _down(x, U, V, s, dh, lambda d, u, v, f: d + (d @ v.T * (1 - f**2)) @ u.T)


def residual_gradients__wrong_no_slope(x, U, V, s, dh):
    """the slope of tanh is missing"""
    return _down(x, U, V, s, dh, lambda d, u, v, f: d + s * d @ v.T @ u.T)


def residual_gradients__wrong_tanh_twice(x, U, V, s, dh):
    """tanh is applied once more"""
    return _down(
        x, U, V, s, dh, lambda d, u, v, f: d + s * (d @ v.T * (1 - torch.tanh(f) ** 2)) @ u.T
    )


def residual_gradients__wrong_last_first(x, U, V, s, dh):
    """the order is last to first"""
    return _down(x, U, V, s, dh, lambda d, u, v, f: d + s * (d @ v.T * (1 - f**2)) @ u.T).flip(0)


def residual_gradients__right_autograd(x, U, V, s, dh):
    h = x.clone().requires_grad_()
    stream = [h]
    for u, v in zip(U, V, strict=True):
        stream.append(stream[-1] + s * torch.tanh(stream[-1] @ u) @ v)
    return torch.stack(torch.autograd.grad(stream[-1], stream, dh))


def residual_gradients__right_jacobians(x, U, V, s, dh):
    def step(d, u, v, f):
        J = [torch.eye(len(u)) + s * (u * (1 - row**2)) @ v for row in f]  # (in, out) each
        return (torch.stack(J) @ d.unsqueeze(-1)).squeeze(-1)

    return _down(x, U, V, s, dh, step)


def lsuv_factor__wrong_one_round(x, W, b, target):
    """this is one round of LSUV"""
    return target / (x @ W + b).std(correction=0).item()


def lsuv_factor__wrong_no_bias(x, W, b, target):
    """the biases are left out"""
    return target / (x @ W).std(correction=0).item()


def lsuv_factor__wrong_no_covariance(x, W, b, target):
    """twice s times their covariance belongs to the variance"""
    u = x @ W
    return math.sqrt((target**2 - b.var(correction=0).item()) / u.var(correction=0).item())


def lsuv_factor__wrong_mean_square(x, W, b, target):
    """this sets the mean square"""
    u = (x @ W).double()
    A, B, C = u.square().mean().item(), (u * b).mean().item(), b.square().mean().item()
    return (-B + math.sqrt(B * B + A * (target**2 - C))) / A


def lsuv_factor__right_rounds(x, W, b, target):
    x, W, b = x.double(), W.double(), b.double()
    s = 1.0
    for _ in range(2000):
        s *= target / (x @ (s * W) + b).std(correction=0).item()
    return s


def lsuv_factor__right_newton(x, W, b, target):
    u, b = (x @ W).double(), b.double()
    s = 10 * target / u.std().item() + 10
    for _ in range(100):
        z = s * u + b
        slope = 2 * ((z - z.mean()) * (u - u.mean())).mean().item()
        s -= (z.var(correction=0).item() - target**2) / slope
    return s


def _leaky(g, b, m, n, share):
    return _walk(g * g * m + b * b, lambda q: g * g * share * q + b * b, n)


def _stream(x, U, V, s, dh, *, slope=lambda f: 1 - f * f, past=1.0, through=None, up=None):
    through, up = (s if through is None else through), (s if up is None else up)
    h, slopes = x, []
    for u, v in zip(U, V, strict=True):
        f = torch.tanh(h @ u)
        slopes.append(slope(f))
        h = h + up * f @ v
    out = [dh]
    for u, v, d in zip(U[::-1], V[::-1], slopes[::-1], strict=True):
        out.insert(0, past * out[0] + through * (out[0] @ v.T * d) @ u.T)
    return torch.stack(out)


def _solved(x, W, b, t, *, cov=1.0, n1=0, two_a=1.0):
    u, c = (x @ W).double(), b.double().expand(len(x), -1)
    A, C = u.var(correction=n1), c.var(correction=n1)
    B = cov * ((u - u.mean()) * (c - c.mean())).sum() / (u.numel() - n1)
    return two_a * (-B + (B * B - A * (C - t * t)).sqrt()) / A


WRONG = {
    "leaky_variances": {
        "the gain is left out": lambda g, b, a, m, n: _leaky(1, b, m, n, (1 + a * a) / 2),
        "before they are squared": lambda g, b, a, m, n: _leaky(g, b, m, n, ((1 + a) / 2) ** 2),
        "the left side is taken away": lambda g, b, a, m, n: _leaky(g, b, m, n, (1 - a * a) / 2),
        "the left side alone": lambda g, b, a, m, n: _leaky(g, b, m, n, a * a / 2),
        "not halved": lambda g, b, a, m, n: _leaky(g, b, m, n, 1 + a * a / 2),
        "the activation is left out": lambda g, b, a, m, n: _leaky(g, b, m, n, 1),
        "their mean is not 0": lambda g, b, a, m, n: _leaky(
            g, b, m, n, (1 + a * a) / 2 - (1 - a) ** 2 / (2 * math.pi)
        ),
        "size of the first": lambda g, b, a, m, n: _walk(g * g * m + b * b, lambda q: q, n),
        "from mean_square again": lambda g, b, a, m, n: _walk(
            g * g * m + b * b, lambda q: g * g * m * (1 + a * a) / 2 + b * b, n
        ),
        "the last layer's alone": lambda g, b, a, m, n: _leaky(g, b, m, n, (1 + a * a) / 2)[-1],
        "of the activations": lambda g, b, a, m, n: (
            (1 + a * a) / 2 * _leaky(g, b, m, n, (1 + a * a) / 2)
        ),
        "mean_square is squared": lambda g, b, a, m, n: _leaky(g, b, m**2, n, (1 + a * a) / 2),
        "a layer too many": lambda g, b, a, m, n: _leaky(g, b, m, n + 1, (1 + a * a) / 2),
    },
    "residual_gradients": {
        "the way past the layer too": lambda x, U, V, s, dh: _stream(x, U, V, s, dh, past=s),
        "s comes in twice": lambda x, U, V, s, dh: _stream(x, U, V, s, dh, through=s * s),
        "the square is missing": lambda *a: _stream(*a, slope=lambda f: 1 - f),
        "that of ReLU": lambda *a: _stream(*a, slope=lambda f: (f > 0).to(f.dtype)),
        "where its slope": lambda *a: _stream(*a, slope=lambda f: f),
        "the two ways add": lambda x, U, V, s, dh: _stream(x, U, V, s, dh, through=-s),
        "the way up lacks s": lambda *a: _stream(*a, up=1.0),
        "every slope is taken at x": lambda *a: _stream(*a, up=0.0),
        "the first of them is missing": lambda *a: _stream(*a)[1:],
        "dh itself": lambda *a: _stream(*a)[:-1],
        "at x alone": lambda *a: _stream(*a)[0],
    },
    "lsuv_factor": {
        "N − 1: every variance": lambda *a: _solved(*a, n1=1),
        "taken for a variance": lambda x, W, b, t: _solved(x, W, b, t**0.5),
        "the covariance has the wrong sign": lambda *a: _solved(*a, cov=-1.0),
        "vary together": lambda *a: _solved(*a, cov=0.0),
        "the root's 2": lambda *a: _solved(*a, two_a=2.0),
        "standard deviations are subtracted": lambda x, W, b, t: (
            (t - b.std(correction=0)) / (x @ W).std(correction=0)
        ),
        "must be taken off": lambda x, W, b, t: (
            (t * t + b.var(correction=0)) / (x @ W).var(correction=0)
        ).sqrt(),
        "the biases are scaled too": lambda x, W, b, t: t / torch.std(x @ W + b),
        "left out, and": lambda x, W, b, t: t / torch.std(x @ W),
        "as it is": lambda x, W, b, t: torch.std(x @ W + b, correction=0),
        "about 0 here": lambda x, W, b, t: (
            (t * t - b.square().mean()) / (x @ W).var(correction=0)
        ).sqrt(),
    },
}
