"""Answers to chapter 4 as learners give them; see `tanh_derivative.py` for the rules."""

import math

import torch


def sgd_step__wrong_ascent(params, grads, lr):
    """this climbs"""
    return [p + lr * grad for p, grad in zip(params, grads, strict=True)]


def sgd_step__wrong_in_place(params, grads, lr):
    """the function changed its argument"""
    for p, grad in zip(params, grads, strict=True):
        p -= lr * grad
    return params


def sgd_step__wrong_scales_gradients_in_place(params, grads, lr):
    """the function changed its argument"""
    return [p - grad.mul_(lr) for p, grad in zip(params, grads, strict=True)]


def sgd_step__wrong_rebinds(params, grads, lr):
    """leaves the list as it was"""
    for p, grad in zip(params, grads, strict=True):
        p = p - lr * grad
    return params


def sgd_step__wrong_no_rate(params, grads, lr):
    """the learning rate is not used"""
    return [p - grad for p, grad in zip(params, grads, strict=True)]


def sgd_step__wrong_step_alone(params, grads, lr):
    """these are the steps alone"""
    return [-lr * grad for grad in grads]


def sgd_step__wrong_momentum(params, grads, lr):
    """as momentum does"""
    velocity = [torch.zeros_like(p) for p in params]
    velocity = [0.9 * v + 0.1 * grad for v, grad in zip(velocity, grads, strict=True)]
    return [p - lr * v for p, v in zip(params, velocity, strict=True)]


def sgd_step__wrong_unit_length(params, grads, lr):
    """cut to length 1"""
    return [p - lr * grad / grad.norm() for p, grad in zip(params, grads, strict=True)]


def sgd_step__wrong_decay(params, grads, lr):
    """that is weight decay"""
    return [(1 - lr) * p - lr * grad for p, grad in zip(params, grads, strict=True)]


def sgd_step__wrong_first_only(params, grads, lr):
    """it returned 1 values, wanted 2"""
    stepped = []
    for p, grad in zip(params, grads, strict=True):
        stepped.append(p - lr * grad)
        return stepped


def sgd_step__right_clones_then_in_place(params, grads, lr):
    moved = [p.clone() for p in params]
    for p, grad in zip(moved, grads, strict=True):
        p -= lr * grad
    return tuple(moved)


def sgd_step__right_one_long_vector(params, grads, lr):
    vector = torch.cat([p.flatten() for p in params])
    vector = torch.lerp(vector, vector - torch.cat([grad.flatten() for grad in grads]), lr)
    parts = vector.split([p.numel() for p in params])
    return [part.view_as(p) for part, p in zip(parts, params, strict=True)]


def _rates(steps, warmup, peak, final, first=1, shift=1, gaps=None):
    rates = []
    for s in range(steps):
        if s < warmup:
            rates.append(peak * (s + first) / warmup)
        else:
            t = (s - warmup + shift) / max(steps - warmup if gaps is None else gaps, 1)
            rates.append(final + (peak - final) * (1 + math.cos(math.pi * t)) / 2)
    return torch.tensor(rates)


def warmup_cosine__wrong_both_joints(steps, warmup, peak, final):
    """off by one at both joints"""
    return _rates(steps, warmup, peak, final, first=0, shift=0)


def warmup_cosine__wrong_starts_at_zero(steps, warmup, peak, final):
    """off by one in the warm-up"""
    return _rates(steps, warmup, peak, final, first=0)


def warmup_cosine__wrong_never_final(steps, warmup, peak, final):
    """the last step does not reach the final rate"""
    return _rates(steps, warmup, peak, final, shift=0)


def warmup_cosine__wrong_peak_twice(steps, warmup, peak, final):
    """which step warmup − 1 had already"""
    return _rates(steps, warmup, peak, final, shift=0, gaps=steps - warmup - 1)


def warmup_cosine__wrong_from_step_zero(steps, warmup, peak, final):
    """begins with a jump"""
    return _rates(steps, warmup, peak, final, shift=warmup, gaps=steps - 1)


def warmup_cosine__wrong_quarter_wave(steps, warmup, peak, final):
    """a quarter of a wave"""
    up = peak * torch.arange(1, warmup + 1) / warmup
    t = torch.arange(1, steps - warmup + 1) / (steps - warmup)
    return torch.cat([up, final + (peak - final) * torch.cos(math.pi / 2 * t)])


def warmup_cosine__wrong_line(steps, warmup, peak, final):
    """a straight line"""
    up = peak * torch.arange(1, warmup + 1) / warmup
    return torch.cat([up, torch.linspace(peak, final, steps - warmup + 1)[1:]])


def warmup_cosine__wrong_to_zero(steps, warmup, peak, final):
    """goes down to 0"""
    return _rates(steps, warmup, peak, 0.0)


def warmup_cosine__wrong_turned(steps, warmup, peak, final):
    """the wrong way"""
    up = peak * torch.arange(1, warmup + 1) / warmup
    t = torch.arange(1, steps - warmup + 1) / (steps - warmup)
    return torch.cat([up, final + (peak - final) * (1 - torch.cos(math.pi * t)) / 2])


def warmup_cosine__wrong_divides_by_zero(steps, warmup, peak, final):
    """your code raised ZeroDivisionError"""
    rates = []
    for s in range(steps):
        t = (s - warmup + 1) / (steps - warmup)
        wave = final + (peak - final) * (1 + math.cos(math.pi * t)) / 2
        rates.append(peak * (s + 1) / warmup if s < warmup else wave)
    return torch.tensor(rates)


def warmup_cosine__wrong_one_more(steps, warmup, peak, final):
    """the shape is (9,), wanted (8,)"""
    return torch.cat([torch.zeros(1), _rates(steps, warmup, peak, final)])


def warmup_cosine__wrong_floor_by_max(steps, warmup, peak, final):
    """goes down to 0 and is cut off"""
    return _rates(steps, warmup, peak, 0.0).clamp(min=final)


def warmup_cosine__right_joined_curves(steps, warmup, peak, final):
    up = torch.linspace(0, peak, warmup + 1, dtype=torch.float64)[1:]
    wave = torch.cos(torch.linspace(0, math.pi, steps - warmup + 1, dtype=torch.float64))[1:]
    return torch.cat([up, (peak + final) / 2 + wave * (peak - final) / 2])


def warmup_cosine__right_list(steps, warmup, peak, final):
    return _rates(steps, warmup, peak, final)


def batch_noise__wrong_no_root(gradients, batch_size):
    """the root is missing"""
    return gradients.var(0, correction=0).sum() / batch_size


def batch_noise__wrong_over_batch_size(gradients, batch_size):
    """divides by B where √B is meant"""
    return gradients.var(0, correction=0).sum().sqrt() / batch_size


def batch_noise__wrong_one_example(gradients, batch_size):
    """the noise of one example"""
    return (gradients - gradients.mean(0)).square().sum(1).mean().sqrt()


def batch_noise__wrong_sample_variance(gradients, batch_size):
    """divides by n − 1"""
    return (torch.cov(gradients.T).trace() / batch_size).sqrt()


def batch_noise__wrong_n(gradients, batch_size):
    """divides by the number of rows"""
    return (gradients.var(0, correction=0).sum() / len(gradients)).sqrt()


def batch_noise__wrong_not_centred(gradients, batch_size):
    """the full gradient is not taken away"""
    return (gradients.square().sum(1).mean() / batch_size).sqrt()


def batch_noise__wrong_mean_over_parameters(gradients, batch_size):
    """averaged over the parameters"""
    return (gradients.var(0, correction=0).mean() / batch_size) ** 0.5


def batch_noise__wrong_sum_of_deviations(gradients, batch_size):
    """standard deviations of the parameters are added"""
    return gradients.std(0, correction=0).sum() / batch_size**0.5


def batch_noise__wrong_mean_distance(gradients, batch_size):
    """the mean of the distances"""
    return (gradients - gradients.mean(0)).norm(dim=1).mean() / batch_size**0.5


def batch_noise__wrong_without_replacement(gradients, batch_size):
    """without replacement"""
    n = len(gradients)
    variance = gradients.var(0, correction=0).sum() * (n - batch_size) / (n - 1)
    return (variance / batch_size).sqrt()


def batch_noise__wrong_per_parameter(gradients, batch_size):
    """the shape is (3,), wanted ()"""
    return (gradients.var(0, correction=0) / batch_size).sqrt()


def batch_noise__right_covariance(gradients, batch_size):
    return (torch.cov(gradients.T, correction=0).trace() / batch_size).sqrt()


def batch_noise__right_moments(gradients, batch_size):
    second = gradients.square().sum(1).mean()
    return math.sqrt((second - gradients.mean(0).square().sum()).item() / batch_size)


def batch_noise__right_slow_loop(gradients, batch_size):
    rows = gradients.tolist()
    means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    total = sum((v - m) ** 2 for row in rows for v, m in zip(row, means, strict=True))
    return (total / len(rows) / batch_size) ** 0.5


def _moved(params, grads, step):
    return [p + step(p, g) for p, g in zip(params, grads, strict=True)]


def _curve(steps, warmup, peak, final, *, rise=None, t=None, wave=None):
    """Rates of which each part can be another, on tensors."""
    s = torch.arange(steps)
    up = (s[:warmup] + 1) / warmup if rise is None else rise(s[:warmup], warmup)
    t = (s[warmup:] - warmup + 1) / (steps - warmup) if t is None else t(s[warmup:])
    down = (1 + torch.cos(math.pi * t)) / 2 if wave is None else wave(t)
    return torch.cat([peak * up, final + (peak - final) * down])


def _root_of(sums):
    return lambda g, b: (sums(g, g.shape[0], g.shape[1]) / b).sqrt()


def _squares(g):
    return (g - g.mean(0)).square()


WRONG = {
    "sgd_step": {
        "divided by the learning rate": lambda p, g, lr: _moved(p, g, lambda p, g: -g / lr),
        "multiplied by 1 − lr": lambda p, g, lr: _moved(p, g, lambda p, g: -lr * p * g),
        "the parameters where the gradients": lambda p, g, lr: _moved(p, g, lambda p, g: -lr * p),
        "only the sign": lambda p, g, lr: _moved(p, g, lambda p, g: -lr * torch.sign(g)),
        "averaged over its entries": lambda p, g, lr: _moved(p, g, lambda p, g: -lr * g.mean()),
        "changed places": lambda p, g, lr: [b - lr * a for a, b in zip(p, g, strict=True)],
        "the number of rows": lambda p, g, lr: _moved(p, g, lambda p, g: -lr * g / len(g)),
        "only the first tensor is moved": lambda p, g, lr: [p[0] - lr * g[0], *p[1:]],
        "only the last tensor is moved": lambda p, g, lr: [*p[:-1], p[-1] - lr * g[-1]],
        "only the first tensor comes back": lambda p, g, lr: [p[0] - lr * g[0]],
        "another order": lambda p, g, lr: _moved(p, g, lambda p, g: -lr * g)[::-1],
    },
    "warmup_cosine": {
        "does not reach the peak": lambda *a: _curve(*a, rise=lambda s, n: (s + 1) / (n + 1)),
        "in warmup − 1 amounts": lambda *a: _curve(*a, rise=lambda s, n: s / (n - 1)),
        "the warm-up is missing": lambda *a: _curve(*a, rise=lambda s, n: torch.ones(n)),
        "the warm-up follows a wave": lambda *a: _curve(
            *a, rise=lambda s, n: torch.sin(math.pi * (s + 1) / n / 2) ** 2
        ),
        "rises from the final rate": lambda n, w, peak, final: torch.cat(
            [torch.linspace(final, peak, w + 1)[1:], _curve(n, w, peak, final)[w:]]
        ),
        "not halved": lambda *a: _curve(*a, wave=lambda t: 1 + torch.cos(math.pi * t)),
        "the cosine itself": lambda *a: _curve(*a, wave=lambda t: torch.cos(math.pi * t)),
        "a whole wave": lambda *a: _curve(*a, wave=lambda t: torch.cos(math.pi * t) ** 2),
        "π is missing": lambda *a: _curve(*a, wave=lambda t: torch.cos(t / 2) ** 2),
        "from step 0, over all steps": lambda *a: _curve(*a, t=lambda s: (s + 1) / a[0]),
        "divides by all steps": lambda *a: _curve(*a, t=lambda s: (s - a[1] + 1) / a[0]),
        "one step too many": lambda *a: _curve(*a, t=lambda s: (s - a[1] + 1) / (a[0] - a[1] + 1)),
        "the whole peak": lambda *a: torch.cat(
            [_curve(*a)[: a[1]], _curve(*a[:3], 0.0)[a[1] :] + a[3]]
        ),
    },
    "batch_noise": {
        "all entries together": lambda g, b: (g.flatten().var() / b).sqrt(),
        "and divided by n − 1": _root_of(lambda g, n, p: _squares(g).sum() / (n - 1) / p),
        "this divides by B − 1": lambda g, b: (_squares(g).sum() / len(g) / (b - 1)).sqrt(),
        "one for each parameter": lambda g, b: g.std(0, correction=0) / b**0.5,
        "lengths": lambda g, b: torch.std(g.square().sum(1).sqrt()) / b**0.5,
        "the length of the full gradient": lambda g, b: g.mean(0).square().sum().sqrt() / b**0.5,
        "multiplied by √B": lambda g, b: (_squares(g).sum() / len(g) * b).sqrt(),
        "not averaged over the rows": lambda g, b: (_squares(g).sum() / b).sqrt(),
        "of each row": lambda g, b: (_squares(g.T).sum() / g.shape[1] / b).sqrt(),
        "the rows and the batch size": lambda g, b: (_squares(g).sum() / len(g) ** 2 / b).sqrt(),
        "(n − B) / n": lambda g, b: (
            _squares(g).sum() / len(g) / b * (1 - min(b, len(g)) / len(g))
        ).sqrt(),
        "averaged over the parameters where": lambda g, b: (
            _squares(g).mean(0).sqrt().mean() / b**0.5
        ),
    },
}
