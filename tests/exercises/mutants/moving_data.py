"""Answers to chapter 21 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import torch
from torch import nn


def births_and_deaths__wrong_exchanged(dead):
    """deaths and births are exchanged"""
    gone = dead[1:] & ~dead[:-1]
    came = ~dead[1:] & dead[:-1]
    return came.sum(1), gone.sum(1), ~dead[-1] & dead[:-1].any(0)


def births_and_deaths__wrong_all_dead(dead):
    """the deaths are all that are dead"""
    return dead[1:].sum(1), (dead[:-1] & ~dead[1:]).sum(1), ~dead[-1] & dead.any(0)


def births_and_deaths__wrong_net(dead):
    """these are net changes"""
    change = dead.sum(1).diff()
    return change.relu(), (-change).relu(), ~dead[-1] & dead.any(0)


def births_and_deaths__wrong_ever_born(dead):
    """to stay, it is live at the last look too"""
    born = dead[:-1] & ~dead[1:]
    return (~dead[:-1] & dead[1:]).sum(1), born.sum(1), born.any(0)


def births_and_deaths__wrong_live_at_the_end(dead):
    """units that never died are among those"""
    return (~dead[:-1] & dead[1:]).sum(1), (dead[:-1] & ~dead[1:]).sum(1), ~dead[-1]


def births_and_deaths__wrong_axis(dead):
    """wanted (3,)"""
    return (~dead[:-1] & dead[1:]).sum(0), (dead[:-1] & ~dead[1:]).sum(0), ~dead[-1] & dead.any(0)


def births_and_deaths__right_differences(dead):
    change = dead.long().diff(dim=0)
    return [(change == 1).sum(-1), (change == -1).sum(-1), dead.any(0) & dead[-1].logical_not()]


def recycle_unit__wrong_loud(params, m, v, unit, fresh):
    """the new unit speaks at once"""
    return _recycled(params, m, v, unit, fresh, outgoing=False)


def recycle_unit__wrong_bias(params, m, v, unit, fresh):
    """it is what holds the unit down"""
    return _recycled(params, m, v, unit, fresh, bias=False)


def recycle_unit__wrong_old_state(params, m, v, unit, fresh):
    """go on where the dead ones stood"""
    new, _, _ = _recycled(params, m, v, unit, fresh)
    return new, m, v


def recycle_unit__wrong_only_m(params, m, v, unit, fresh):
    """v remembers"""
    new, m, _ = _recycled(params, m, v, unit, fresh)
    return new, m, v


def recycle_unit__wrong_whole_state(params, m, v, unit, fresh):
    """only this unit's entries are new"""
    new, m, v = _recycled(params, m, v, unit, fresh)
    return new, [torch.zeros_like(t) for t in m], [torch.zeros_like(t) for t in v]


def recycle_unit__wrong_fresh_in_the_state(params, m, v, unit, fresh):
    """went into the averages too"""
    lists = _recycled(params, m, v, unit, fresh)
    for kept in lists[1:]:
        kept[0][unit] = fresh
    return lists


def recycle_unit__wrong_in_place(params, m, v, unit, fresh):
    """work on a copy"""
    for (W, b, out), row in zip((params, m, v), (fresh, 0.0, 0.0), strict=True):
        W[unit], b[unit] = row, 0.0
        out[:, unit] = 0.0
    return params, m, v


def recycle_unit__right_where(params, m, v, unit, fresh):
    here = torch.arange(len(params[1])) == unit
    rows = (fresh, torch.zeros_like(fresh), torch.zeros_like(fresh))
    return tuple(
        (
            torch.where(here[:, None], row, W),
            b.masked_fill(here, 0),
            out.masked_fill(here[None], 0),
        )
        for (W, b, out), row in zip((params, m, v), rows, strict=True)
    )


def rescaled__wrong_second_bias(W1, b1, W2, b2, W3, norms):
    """b2 needs both"""
    c, d = norms[0] / W1.norm(), norms[1] / W2.norm()
    return c * W1, c * b1, d * W2, d * b2, W3 / (c * d)


def rescaled__wrong_biases_kept(W1, b1, W2, b2, W3, norms):
    """multiplied by c only if b is"""
    c, d = norms[0] / W1.norm(), norms[1] / W2.norm()
    return c * W1, b1, d * W2, b2, W3 / (c * d)


def rescaled__wrong_outputs_move(W1, b1, W2, b2, W3, norms):
    """they have to take both factors out again"""
    c, d = norms[0] / W1.norm(), norms[1] / W2.norm()
    return c * W1, c * b1, d * W2, c * d * b2, W3


def rescaled__wrong_second_factor_only(W1, b1, W2, b2, W3, norms):
    """take out the second factor only"""
    c, d = norms[0] / W1.norm(), norms[1] / W2.norm()
    return c * W1, c * b1, d * W2, c * d * b2, W3 / d


def rescaled__wrong_spectral(W1, b1, W2, b2, W3, norms):
    """the largest singular value"""
    c, d = (n / torch.linalg.norm(W, ord=2) for n, W in zip(norms, (W1, W2), strict=True))
    return c * W1, c * b1, d * W2, c * d * b2, W3 / (c * d)


def rescaled__wrong_squared(W1, b1, W2, b2, W3, norms):
    """the root is missing"""
    c, d = norms[0] / (W1**2).sum(), norms[1] / (W2**2).sum()
    return c * W1, c * b1, d * W2, c * d * b2, W3 / (c * d)


def rescaled__right_layer_by_layer(W1, b1, W2, b2, W3, norms):
    W1, c = nn.functional.normalize(W1.flatten(), dim=0).view_as(W1) * norms[0], W1.norm()
    b1, W2 = b1 * norms[0] / c, W2 * c / norms[0]
    d = W2.norm() / norms[1]
    return W1, b1, W2 / d, b2 / d, d * W3


def _recycled(params, m, v, unit, fresh, *, outgoing=True, bias=True):
    lists = [[t.clone() for t in kept] for kept in (params, m, v)]
    for W, b, out in lists:
        W[unit] = 0.0
        if bias or b is not lists[0][1]:
            b[unit] = 0.0
        if outgoing or out is not lists[0][2]:
            out[:, unit] = 0.0
    lists[0][0][unit] = fresh
    return tuple(lists)


def _lives(dead, back):
    before, after = dead[:-1], dead[1:]
    return (~before & after).sum(1), (before & ~after).sum(1), back(dead)


def _altered(params, m, v, unit, fresh, change):
    lists = _recycled(params, m, v, unit, fresh)
    change(lists, (params, m, v), unit, fresh)
    return lists


def _kept(*places):
    def change(lists, before, unit, fresh):
        for which, i in places:
            lists[which][i] = before[which][i].clone()

    return lambda *args: _altered(*args, change)


def _all_silent(lists, before, unit, fresh):
    lists[0][2].zero_()


def _exchanged(lists, before, unit, fresh):
    lists[0][0][unit] = 0.0
    lists[0][2][:, unit] = fresh[: len(lists[0][2])].mean()


def _by(make):
    def answer(W1, b1, W2, b2, W3, norms):
        c, d = norms[0] / W1.norm(), norms[1] / W2.norm()
        return tuple(f * p for f, p in zip(make(c, d), (W1, b1, W2, b2, W3), strict=True))

    return answer


WRONG = {
    "births_and_deaths": {
        "only units dead at the first look": lambda dead: _lives(dead, lambda d: ~d[-1] & d[0]),
        "only units born in the last task": lambda dead: _lives(dead, lambda d: ~d[-1] & d[-2]),
        "died and stayed dead": lambda dead: _lives(dead, lambda d: d[-1] & ~d[:-1].all(0)),
    },
    "recycle_unit": {
        "only v is reset": _kept((1, 0), (1, 1), (1, 2)),
        "the state of the outgoing weights": _kept((1, 2), (2, 2)),
        "the state of the bias": _kept((1, 1), (2, 1)),
        "all outgoing weights are 0": lambda *args: _altered(*args, _all_silent),
        "the other way round": lambda *args: _altered(*args, _exchanged),
        "would be dead again": _kept((0, 0)),
    },
    "rescaled": {
        "the second bias is as it was": _by(lambda c, d: (c, c, d, 1, 1 / (c * d))),
        "the first bias is as it was": _by(lambda c, d: (c, 1, d, c * d, 1 / (c * d))),
        "take out the first factor only": _by(lambda c, d: (c, c, d, c * d, 1 / c)),
        "multiplied by the factors": _by(lambda c, d: (c, c, d, c * d, c * d)),
        "upside down": _by(lambda c, d: (1 / c, 1 / c, 1 / d, 1 / (c * d), c * d)),
        "the last weights can do that instead": _by(lambda c, d: (c, c, d / c, d, 1 / d)),
    },
}
