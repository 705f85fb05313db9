"""Answers to chapter 22 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import torch


def pooled_census__wrong_any(fired):
    """a unit that any one data set wakes is not dead"""
    dead = torch.zeros(fired[0].shape[1], dtype=torch.bool)
    for one in fired:
        dead |= ~one.any(0)
    return dead, 3 / sum(len(one) for one in fired)


def pooled_census__wrong_live(fired):
    """the dead are asked"""
    rows = torch.cat(fired)
    return rows.any(0), 3 / len(rows)


def pooled_census__wrong_all(fired):
    """dead is silent on every row"""
    rows = torch.cat(fired)
    return ~rows.all(0), 3 / len(rows)


def pooled_census__wrong_counts_data_sets(fired):
    """the bound counts data sets"""
    return ~torch.cat(fired).any(0), 3 / len(fired)


def pooled_census__wrong_no_three(fired):
    """the bound lacks the three"""
    rows = torch.cat(fired)
    return ~rows.any(0), 1 / len(rows)


def pooled_census__wrong_longest(fired):
    """the bound is that of the longest data set"""
    return ~torch.cat(fired).any(0), 3 / max(len(one) for one in fired)


def pooled_census__wrong_first(fired):
    """the first data set alone is judged"""
    return ~fired[0].any(0), 3 / sum(len(one) for one in fired)


def pooled_census__right_counts(fired):
    counts = sum(one.sum(0) for one in fired)
    n = sum(one.shape[0] for one in fired)
    return counts == 0, 3.0 / n


def pooled_census__right_numpy(fired):
    live = [one.numpy().any(axis=0) for one in fired]
    dead = ~live[0]
    for one in live[1:]:
        dead = dead & ~one
    return torch.from_numpy(dead), 3 / sum(map(len, fired))


def largest_possible__wrong_high(W, b, low, high):
    """where a weight is negative, the least is the best"""
    return high @ W + b


def largest_possible__wrong_smallest(W, b, low, high):
    """this is the smallest z of the box"""
    return low @ W.clamp(min=0) + high @ W.clamp(max=0) + b


def largest_possible__wrong_no_bias(W, b, low, high):
    """the bias is left out"""
    return high @ W.clamp(min=0) + low @ W.clamp(max=0)


def largest_possible__wrong_absolute(W, b, low, high):
    """the weights are taken without their signs"""
    return torch.maximum(low.abs(), high.abs()) @ W.abs() + b


def largest_possible__wrong_positive_only(W, b, low, high):
    """negative weights are left out"""
    return high @ W.clamp(min=0) + b


def largest_possible__wrong_one_end(W, b, low, high):
    """each input has its own"""
    return torch.maximum(low @ W, high @ W) + b


def largest_possible__right_centre_and_radius(W, b, low, high):
    centre, radius = (low + high) / 2, (high - low) / 2
    return centre @ W + radius @ W.abs() + b


def largest_possible__right_loop(W, b, low, high):
    out = []
    for j in range(W.shape[1]):
        z = b[j].item()
        for i in range(W.shape[0]):
            w = W[i, j].item()
            z += max(w * low[i].item(), w * high[i].item())
        out.append(z)
    return torch.tensor(out)


def _z(x, W, b, v, c):
    return torch.tanh(x @ W + b) @ v + c


def wake__wrong_down(x, W, b, v, c, lr, steps):
    """a unit is woken by adding the gradient"""
    best = _z(x, W, b, v, c)
    for _ in range(steps):
        h = torch.tanh(x @ W + b)
        x = (x - lr * (W @ (v * (1 - h**2)))).clamp(-1, 1)
        best = max(best, _z(x, W, b, v, c))
    return float(best)


def wake__wrong_no_clamp(x, W, b, v, c, lr, steps):
    """clamp it to −1 … 1 after each step"""
    best = _z(x, W, b, v, c)
    for _ in range(steps):
        h = torch.tanh(x @ W + b)
        x = x + lr * (W @ (v * (1 - h**2)))
        best = max(best, _z(x, W, b, v, c))
    return float(best)


def wake__wrong_last(x, W, b, v, c, lr, steps):
    """the largest that was met is asked"""
    for _ in range(steps):
        h = torch.tanh(x @ W + b)
        x = (x + lr * (W @ (v * (1 - h**2)))).clamp(-1, 1)
    return float(_z(x, W, b, v, c))


def wake__wrong_no_slope(x, W, b, v, c, lr, steps):
    """the slope of tanh is left out"""
    best = _z(x, W, b, v, c)
    for _ in range(steps):
        x = (x + lr * (W @ v)).clamp(-1, 1)
        best = max(best, _z(x, W, b, v, c))
    return float(best)


def wake__wrong_no_c(x, W, b, v, c, lr, steps):
    """c is left out of z"""
    best = _z(x, W, b, v, 0.0)
    for _ in range(steps):
        h = torch.tanh(x @ W + b)
        x = (x + lr * (W @ (v * (1 - h**2)))).clamp(-1, 1)
        best = max(best, _z(x, W, b, v, 0.0))
    return float(best)


def wake__right_autograd(x, W, b, v, c, lr, steps):
    x = x.clone().requires_grad_()
    best = -float("inf")
    for _ in range(steps + 1):
        z = _z(x, W, b, v, c)
        best = max(best, z.item())
        (grad,) = torch.autograd.grad(z, x)
        with torch.no_grad():
            x += lr * grad
            x.clamp_(-1, 1)
    return best


def wake__right_func(x, W, b, v, c, lr, steps):
    climb = torch.func.grad_and_value(_z)
    met = []
    for _ in range(steps + 1):
        grad, z = climb(x, W, b, v, c)
        met.append(float(z))
        x = torch.clamp(x + lr * grad, -1.0, 1.0)
    return max(met)
