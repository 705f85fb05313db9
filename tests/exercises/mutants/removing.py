"""Answers to chapter 15 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import torch


def bias_speed__wrong_counted(constants, rule):
    """the units are counted: a unit adds c²"""
    return 1.0 + len(constants)


def bias_speed__wrong_no_bias(constants, rule):
    """the bias itself is left out"""
    return float((constants**2 if rule == "sgd" else constants.abs()).sum())


def bias_speed__wrong_signed(constants, rule):
    """the two signs cancel"""
    return 1.0 + float(constants.sum())


def bias_speed__wrong_rules_swapped(constants, rule):
    """|c| is what a unit adds under signs"""
    return 1.0 + float((constants**2 if rule == "sign" else constants.abs()).sum())


def bias_speed__wrong_square_always(constants, rule):
    """the sign of a gradient does not know its size"""
    return 1.0 + float((constants**2).sum())


def bias_speed__right_by_autograd(constants, rule):
    constants = constants.double()
    W2 = torch.zeros(len(constants), dtype=torch.float64, requires_grad=True)
    b2 = torch.zeros((), dtype=torch.float64, requires_grad=True)
    grads = torch.autograd.grad(b2 + constants @ W2, (W2, b2))
    if rule == "sign":
        grads = [g.sign() for g in grads]
    return (grads[1] + constants @ grads[0]).item() / grads[1].item()


def fold_channels__wrong_not_folded(W, b, dead, constants, size):
    """deleted without folding"""
    blocks = W.view(len(W), -1, size)
    keep = [c for c in range(blocks.shape[1]) if c not in dead]
    return blocks[:, keep].flatten(1), b.clone()


def fold_channels__wrong_first_place(W, b, dead, constants, size):
    """only one place of each channel"""
    blocks = W.view(len(W), -1, size)
    keep = [c for c in range(blocks.shape[1]) if c not in dead]
    return blocks[:, keep].flatten(1), b + blocks[:, dead, 0] @ constants


def fold_channels__wrong_mean(W, b, dead, constants, size):
    """averaged"""
    blocks = W.view(len(W), -1, size)
    keep = [c for c in range(blocks.shape[1]) if c not in dead]
    return blocks[:, keep].flatten(1), b + blocks[:, dead].mean(2) @ constants


def fold_channels__wrong_interleaved(W, b, dead, constants, size):
    """all places of channel 0 come first"""
    channels = W.shape[1] // size
    columns = [c for c in range(W.shape[1]) if c % channels not in dead]
    bias = b.clone()
    for c, value in zip(dead, constants, strict=True):
        bias = bias + W[:, c::channels].sum(1) * value
    return W[:, columns], bias


def fold_channels__wrong_mask_order(W, b, dead, constants, size):
    """constants[k] belongs to dead[k]"""
    blocks = W.view(len(W), -1, size)
    gone = torch.zeros(blocks.shape[1], dtype=torch.bool)
    gone[dead] = True
    return blocks[:, ~gone].flatten(1), b + blocks[:, gone].sum(2) @ constants


def fold_channels__wrong_in_place(W, b, dead, constants, size):
    """work on a copy"""
    blocks = W.view(len(W), -1, size)
    keep = [c for c in range(blocks.shape[1]) if c not in dead]
    b += blocks[:, dead].sum(2) @ constants
    return blocks[:, keep].flatten(1), b


def fold_channels__right_by_probing(W, b, dead, constants, size):
    """The bias is the layer's answer to a map that is 0 but for the dead channels."""
    flat = torch.zeros(W.shape[1] // size, size)
    for c, value in zip(dead, constants, strict=True):
        flat[c] = value
    keep = [k for k in range(W.shape[1]) if k // size not in dead]
    return W[:, keep], torch.nn.functional.linear(flat.flatten(), W, b)


def merge_twins__wrong_no_negatives(h, W2):
    """the negative of another repeats it too"""
    keep, W2 = torch.ones(h.shape[1], dtype=torch.bool), W2.clone()
    for j in range(h.shape[1]):
        for i in range(j):
            if keep[j] and keep[i] and torch.equal(h[:, i], h[:, j]):
                W2[i] += W2[j]
                keep[j] = False
    return keep, W2[keep]


def merge_twins__wrong_always_added(h, W2):
    """its row is to be subtracted"""
    keep, W2 = torch.ones(h.shape[1], dtype=torch.bool), W2.clone()
    for j in range(h.shape[1]):
        for i in range(j):
            if keep[j] and keep[i] and torch.equal(h[:, i].abs(), h[:, j].abs()):
                W2[i] += W2[j]
                keep[j] = False
    return keep, W2[keep]


def merge_twins__wrong_deleted(h, W2):
    """deleted without a trace"""
    keep = torch.ones(h.shape[1], dtype=torch.bool)
    for j in range(h.shape[1]):
        for i in range(j):
            if torch.equal(h[:, i], h[:, j]) or torch.equal(h[:, i], -h[:, j]):
                keep[j] = False
    return keep, W2[keep]


def merge_twins__wrong_in_place(h, W2):
    """work on a copy"""
    keep = torch.ones(h.shape[1], dtype=torch.bool)
    for j in range(h.shape[1]):
        for i in range(j):
            for sign in (1, -1):
                if keep[j] and keep[i] and torch.equal(sign * h[:, i], h[:, j]):
                    W2[i] += sign * W2[j]
                    keep[j] = False
    return keep, W2[keep]


def merge_twins__right_by_unique(h, W2):
    """Columns made alike by the sign of their first entry, then grouped."""
    sign = torch.where(h[:1] < 0, -1.0, 1.0)  # no entry is 0 here
    groups = {}
    for j, column in enumerate((h * sign).T.tolist()):
        groups.setdefault(tuple(column), []).append(j)
    keep, rows = torch.zeros(h.shape[1], dtype=torch.bool), []
    for members in groups.values():
        keep[members[0]] = True
        rows.append(sum(sign[0, j] * sign[0, members[0]] * W2[j] for j in members))
    return keep, torch.stack(rows)


def _each(c, rule):
    return c * c if rule == "sgd" else c.abs()


def _blocks(W, dead, size):
    return torch.stack([W[:, d * size : (d + 1) * size] for d in dead], 1)


def _without(W, dead, size):
    gone = torch.tensor([k // size in dead for k in range(W.shape[1])])
    return W[:, ~gone]


def _folded(W, b, dead, c, size, told):
    if not dead:
        return W.clone(), b.clone()
    return _without(W, dead, size), told(b, _blocks(W, dead, size), c)


def _joined(h, W2, *, plus=1.0, minus=-1.0, twins=torch.equal):
    keep, rows = [], []
    for j in range(h.shape[1]):
        for k, i in enumerate(keep):
            if plus is not None and twins(h[:, j], h[:, i]):
                rows[k] = rows[k] + plus * W2[j]
                break
            if minus is not None and twins(h[:, j], -h[:, i]):
                rows[k] = rows[k] + minus * W2[j]
                break
        else:
            keep.append(j)
            rows.append(W2[j])
    mask = torch.zeros(h.shape[1], dtype=torch.bool)
    mask[keep] = True
    return mask, torch.stack(rows)


WRONG = {
    "bias_speed": {
        "averaged": lambda c, rule: 1 + _each(c, rule).mean().item(),
        "the sum is squared": lambda c, rule: (
            1 + (c.sum() ** 2 if rule == "sgd" else c.abs().sum()).item()
        ),
        "not |Σ c|": lambda c, rule: 1 + ((c * c).sum() if rule == "sgd" else c.sum().abs()).item(),
        "the signs of the constants": lambda c, rule: (
            1 + ((c * c).sum() if rule == "sgd" else c.sign().sum()).item()
        ),
        "the root": lambda c, rule: 1 + (c.norm() if rule == "sgd" else c.abs().sum()).item(),
        "the bias is left out, and": lambda c, rule: float(len(c)),
        "only the largest": lambda c, rule: 1 + _each(c, rule).max().item(),
        "the factors multiply": lambda c, rule: (1 + _each(c, rule)).prod().item(),
        "the speed of b2 alone": lambda c, rule: 1.0,
        "taken away": lambda c, rule: 1 - _each(c, rule).sum().item(),
        "only positive": lambda c, rule: 1 + _each(c[c > 0], rule).sum().item(),
    },
    "fold_channels": {
        "only the last place": lambda *a: _folded(*a, lambda b, W, c: b + W[..., -1] @ c),
        "the old bias is lost": lambda *a: _folded(*a, lambda b, W, c: W.sum(2) @ c),
        "without their columns": lambda *a: _folded(*a, lambda b, W, c: b + c.sum()),
        "same number: each": lambda *a: _folded(*a, lambda b, W, c: b + (W.sum(2) @ c).sum()),
        "only the first dead": lambda *a: _folded(*a, lambda b, W, c: b + W[:, 0].sum(1) * c[0]),
        "only the last dead": lambda *a: _folded(*a, lambda b, W, c: b + W[:, -1].sum(1) * c[-1]),
        "places once more": lambda *a: _folded(*a, lambda b, W, c: b + W.shape[2] * W.sum(2) @ c),
        "keep their signs": lambda *a: _folded(*a, lambda b, W, c: b + W.sum(2) @ c.abs()),
        "one column goes": lambda W, b, dead, c, size: (
            _without(W, dead, 1),
            b + W[:, dead] @ c,
        ),
        "set to 0": lambda W, b, dead, c, size: (
            W * torch.tensor([k // size not in dead for k in range(W.shape[1])]),
            _folded(W, b, dead, c, size, lambda b, W, c: b + W.sum(2) @ c)[1],
        ),
        "still in W": lambda W, b, dead, c, size: (
            W.clone(),
            _folded(W, b, dead, c, size, lambda b, W, c: b + W.sum(2) @ c)[1],
        ),
        "the others are gone": lambda W, b, dead, c, size: (
            _blocks(W, dead, size).flatten(1),
            b + _blocks(W, dead, size).sum(2) @ c,
        ),
        "2, 1 of what is wanted": lambda *a: _folded(*a, lambda b, W, c: b + W.sum(2) @ c)[::-1],
    },
    "merge_twins": {
        "same sign is subtracted": lambda h, W2: _joined(h, W2, plus=-1.0),
        "are exchanged": lambda h, W2: _joined(h, W2, plus=-1.0, minus=1.0),
        "of the other sign are merged": lambda h, W2: _joined(h, W2, plus=None),
        "near each other": lambda h, W2: _joined(
            h, W2, twins=lambda x, y: (x - y).abs().mean() < 0.05
        ),
        "other rows": lambda h, W2: _joined(
            h, W2, twins=lambda x, y: torch.equal(x.sort()[0], y.sort()[0])
        ),
        "first row alone": lambda h, W2: _joined(h, W2, twins=lambda x, y: x[0] == y[0]),
        "as it came, in full": lambda h, W2: (_joined(h, W2)[0], W2.clone()),
        "the units that go": lambda h, W2: (~_joined(h, W2)[0], _joined(h, W2)[1]),
        "a list of numbers": lambda h, W2: (
            _joined(h, W2)[0].nonzero()[:, 0],
            _joined(h, W2)[1],
        ),
        "2, 1 of what is wanted": lambda h, W2: _joined(h, W2)[::-1],
    },
}
