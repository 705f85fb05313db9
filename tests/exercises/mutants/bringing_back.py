"""Answers to chapter 16 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import torch
from torch import nn


def who_moved_them__wrong_alive_all_along(x, W, b, new_x, new_W, new_b):
    """only those dead before can come back"""
    return (
        (new_x @ new_W + new_b > 0).any(0),
        (new_x @ W + b > 0).any(0),
        (x @ new_W + new_b > 0).any(0),
    )


def who_moved_them__wrong_exchanged(x, W, b, new_x, new_W, new_b):
    """the last two are exchanged"""
    dead = (x @ W + b <= 0).all(0)
    return (
        dead & (new_x @ new_W + new_b > 0).any(0),
        dead & (x @ new_W + new_b > 0).any(0),
        dead & (new_x @ W + b > 0).any(0),
    )


def who_moved_them__wrong_bias_upstream(x, W, b, new_x, new_W, new_b):
    """b belongs to the unit"""
    dead = (x @ W + b <= 0).all(0)
    return (
        dead & (new_x @ new_W + new_b > 0).any(0),
        dead & (new_x @ W + new_b > 0).any(0),
        dead & (x @ new_W + b > 0).any(0),
    )


def who_moved_them__wrong_old_bias(x, W, b, new_x, new_W, new_b):
    """the old bias is kept"""
    dead = (x @ W + b <= 0).all(0)
    return (
        dead & (new_x @ new_W + new_b > 0).any(0),
        dead & (new_x @ W + b > 0).any(0),
        dead & (x @ new_W + b > 0).any(0),
    )


def who_moved_them__wrong_every_row(x, W, b, new_x, new_W, new_b):
    """on some row (any)"""
    dead = (x @ W + b <= 0).all(0)
    return (
        dead & (new_x @ new_W + new_b > 0).all(0),
        dead & (new_x @ W + b > 0).all(0),
        dead & (x @ new_W + new_b > 0).all(0),
    )


def who_moved_them__right_relu(x, W, b, new_x, new_W, new_b):
    def fires(inputs, weights, biases):
        return nn.functional.linear(inputs, weights.T, biases).relu().sum(0) > 0

    dead = ~fires(x, W, b)
    networks = ((new_x, new_W, new_b), (new_x, W, b), (x, new_W, new_b))
    return [dead * fires(*network) for network in networks]


def silence_channels__wrong_silenced_first(weight, bias, constants, channels):
    """fold before you silence"""
    weight = weight.clone()
    weight[:, channels] = 0
    return weight, bias + weight[:, channels].sum((2, 3)) @ constants[channels]


def silence_channels__wrong_mean(weight, bias, constants, channels):
    """averaged where it is to be summed"""
    told = weight[:, channels].mean((2, 3)) @ constants[channels]
    weight = weight.clone()
    weight[:, channels] = 0
    return weight, bias + told


def silence_channels__wrong_all_channels(weight, bias, constants, channels):
    """every channel is folded"""
    told = weight.sum((2, 3)) @ constants
    weight = weight.clone()
    weight[:, channels] = 0
    return weight, bias + told


def silence_channels__wrong_bias_lost(weight, bias, constants, channels):
    """the old bias is lost"""
    told = weight[:, channels].sum((2, 3)) @ constants[channels]
    weight = weight.clone()
    weight[:, channels] = 0
    return weight, told


def silence_channels__wrong_not_silenced(weight, bias, constants, channels):
    """the weight still hears them"""
    return weight.clone(), bias + weight[:, channels].sum((2, 3)) @ constants[channels]


def silence_channels__wrong_in_place(weight, bias, constants, channels):
    """work on a copy"""
    told = weight[:, channels].sum((2, 3)) @ constants[channels]
    weight[:, channels] = 0
    return weight, bias + told


def silence_channels__right_loop(weight, bias, constants, channels):
    weight, bias = weight.clone(), bias.clone()
    for j in channels:
        for o in range(weight.shape[0]):
            bias[o] += constants[j] * weight[o, j].sum()
            weight[o, j] = 0
    return weight, bias


def steps_after_reset__wrong_count(gradients, t, lr, beta1, beta2):
    """the count starts at 0 again"""
    return _adam(gradients, 0, lr, beta1, beta2)


def steps_after_reset__wrong_uncorrected(gradients, t, lr, beta1, beta2):
    """the corrections are left out"""
    return _adam(gradients, 10**9, lr, beta1, beta2)


def steps_after_reset__wrong_places(gradients, t, lr, beta1, beta2):
    """the changes in each step"""
    return _adam(gradients, t, lr, beta1, beta2).cumsum(0)


def steps_after_reset__wrong_exchanged(gradients, t, lr, beta1, beta2):
    """beta1 and beta2 are exchanged"""
    return _adam(gradients, t, lr, beta2, beta1)


def steps_after_reset__wrong_sign(gradients, t, lr, beta1, beta2):
    """the sign is the wrong way round"""
    return -_adam(gradients, t, lr, beta1, beta2)


def steps_after_reset__right_numbers(gradients, t, lr, beta1, beta2):
    changes = torch.empty_like(gradients)
    for entry in range(gradients.shape[1]):
        m = v = 0.0
        for k, g in enumerate(gradients[:, entry].tolist()):
            m += (1 - beta1) * (g - m)
            v += (1 - beta2) * (g * g - v)
            m_hat, v_hat = m / (1 - beta1 ** (t + k + 1)), v / (1 - beta2 ** (t + k + 1))
            changes[k, entry] = -lr * m_hat / (v_hat**0.5 + 1e-8)
    return changes


def _adam(gradients, t, lr, beta1, beta2):
    m = v = torch.zeros_like(gradients[0])
    changes = []
    for k, g in enumerate(gradients, 1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        m_hat, v_hat = m / (1 - beta1 ** (t + k)), v / (1 - beta2 ** (t + k))
        changes.append(-lr * m_hat / (v_hat.sqrt() + 1e-8))
    return torch.stack(changes)


def _fires(x, W, b):
    return (x @ W + b).amax(0) > 0


def _moved(x, W, b, u, V, c, *, by=lambda before, after: ~before & after, live=_fires):
    return tuple(by(live(x, W, b), live(*n)) for n in ((u, V, c), (u, W, b), (x, V, c)))


def _deaf(W, b, c, dead, told):
    keep = torch.tensor([k not in dead for k in range(W.shape[1])])
    return W * keep[:, None, None], b + told(W[:, dead], c[dead])


def _steps(g, t, lr, b1, b2, *, count=lambda t, k: t + k, new1=None, new2=None, by=None):
    m = v = 0.0
    out = []
    for k, now in enumerate(g.double(), 1):
        m = b1 * m + (1 - b1 if new1 is None else new1) * now
        v = b2 * v + (1 - b2 if new2 is None else new2) * now * now
        c1, c2 = 1 - b1 ** count(t, k), 1 - b2 ** count(t, k)
        out.append(-lr * (by(m, v, c1, c2) if by else m / c1 / ((v / c2).sqrt() + 1e-8)))
    return torch.stack(out)


WRONG = {
    "who_moved_them": {
        "units that died": lambda *a: _moved(*a, by=lambda before, after: before & ~after),
        "any change": lambda *a: _moved(*a, by=torch.logical_xor),
        "only those dead before can come back": lambda x, W, b, u, V, c: tuple(
            ((x @ W + b).amin(0) <= 0) & _fires(*n) for n in ((u, V, c), (u, W, b), (x, V, c))
        ),
        "the old bias stands": lambda x, W, b, u, V, c: _moved(x, W, b, u, V, b),
        "left out of the last two": lambda *a: (
            _moved(*a)[0],
            _moved(*a)[1] & ~_moved(*a)[2],
            _moved(*a)[2] & ~_moved(*a)[1],
        ),
        "held to those that are back": lambda *a: tuple(m & _moved(*a)[0] for m in _moved(*a)),
        "exactly 0 is dead": lambda *a: _moved(*a, live=lambda x, W, b: (x @ W + b >= 0).any(0)),
        "the values are in another order": lambda *a: _moved(*a)[::-1],
    },
    "silence_channels": {
        "only the first place": lambda *a: _deaf(*a, lambda W, c: W[:, :, 0, 0] @ c),
        "meets the constant at every place": lambda *a: _deaf(
            *a, lambda W, c: W.sum(2)[:, :, 0] @ c
        ),
        "same number": lambda *a: _deaf(*a, lambda W, c: (W.sum((2, 3)) @ c).sum()),
        "without the kernel": lambda *a: _deaf(*a, lambda W, c: c.sum()),
        "keep their signs": lambda *a: _deaf(*a, lambda W, c: W.sum((2, 3)) @ c.abs()),
        "the living are silenced and the dead": lambda W, b, c, dead: (
            W * torch.tensor([k in dead for k in range(len(c))])[:, None, None],
            b + W[:, dead].sum((2, 3)) @ c[dead],
        ),
        "the outputs are silenced": lambda W, b, c, dead: (
            (
                W * torch.tensor([k not in dead for k in range(len(W))])[:, None, None, None],
                b + W[:, dead].sum((2, 3)) @ c[dead],
            )
            if not dead or max(dead) < len(W)
            else (W, b)
        ),
        "taken out of the weight": lambda W, b, c, dead: (
            W[:, [k for k in range(len(c)) if k not in dead]],
            b + W[:, dead].sum((2, 3)) @ c[dead],
        ),
        "2, 1 of what is wanted": lambda *a: _deaf(*a, lambda W, c: W.sum((2, 3)) @ c)[::-1],
    },
    "steps_after_reset": {
        "one ahead": lambda *a: _steps(*a, count=lambda t, k: t + k + 1),
        "still at t + 1": lambda *a: _steps(*a, count=lambda t, k: t + 1),
        "the learning rate": lambda g, t, lr, b1, b2: _steps(g, t, 1.0, b1, b2),
        "its average, m": lambda g, t, lr, b1, b2: _steps(g, t, lr, 0.0, b2),
        "its average, v": lambda g, t, lr, b1, b2: _steps(g, t, lr, b1, 0.0),
        "corrections use t + k": lambda g, t, lr, b1, b2: (
            -lr * g.double() / (g.double().abs() + 1e-8)
        ),
        "without (1 − β₁)": lambda *a: _steps(*a, new1=1.0),
        "without (1 − β₂)": lambda *a: _steps(*a, new2=1.0),
        "neither (1 − β₁)": lambda *a: _steps(*a, new1=1.0, new2=1.0),
        "the corrections multiply": lambda *a: _steps(
            *a, by=lambda m, v, c1, c2: m * c1 / ((v * c2).sqrt() + 1e-8)
        ),
        "share one v": lambda *a: _steps(
            *a, by=lambda m, v, c1, c2: m / c1 / ((v.mean() / c2).sqrt() + 1e-8)
        ),
        "ε is added before": lambda *a: _steps(
            *a, by=lambda m, v, c1, c2: m / c1 / (v.sqrt() + 1e-8) * c2**0.5
        ),
        "ε is left out": lambda *a: _steps(*a, by=lambda m, v, c1, c2: m / c1 / (v / c2).sqrt()),
    },
}
