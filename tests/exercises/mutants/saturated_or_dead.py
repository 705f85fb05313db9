"""Answers to chapter 7 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import math
from fractions import Fraction

import torch

from mlpinit import saturation


def saturated_fractions__wrong_cut_on_z(z, cut):
    """the cut is set to z"""
    white = (z.abs() > cut).float()
    return white.mean(0), white.mean(1)


def saturated_fractions__wrong_swapped(z, cut):
    """the shape is"""
    white = (torch.tanh(z).abs() > cut).float()
    return white.mean(1), white.mean(0)


def saturated_fractions__wrong_signed(z, cut):
    """entries near −1 are left out"""
    white = (torch.tanh(z) > cut).float()
    return white.mean(0), white.mean(1)


def saturated_fractions__wrong_slope(z, cut):
    """this cuts the slope"""
    white = (1 - torch.tanh(z) ** 2 < 1 - cut).float()
    return white.mean(0), white.mean(1)


def saturated_fractions__wrong_counts(z, cut):
    """these are counts"""
    white = (torch.tanh(z).abs() > cut).double()
    return white.sum(0), white.sum(1)


def saturated_fractions__wrong_one_value(z, cut):
    """wanted 2 values"""
    return (torch.tanh(z).abs() > cut).float().mean(0)


def saturated_fractions__right_on_z(z, cut):
    white = z.abs() > math.atanh(cut)
    return [white.sum(0) / len(z), white.sum(1) / z.shape[1]]


def saturated_fractions__right_slow_loop(z, cut):
    of_units, of_examples = torch.zeros(z.shape[1]), torch.zeros(z.shape[0])
    for i, row in enumerate(z.tolist()):
        for j, v in enumerate(row):
            if abs(math.tanh(v)) > cut:
                of_units[j] += 1 / z.shape[0]
                of_examples[i] += 1 / z.shape[1]
    return of_units, of_examples


def always_saturated__wrong_any(batches, cut):
    """this is (any) where (all) is asked"""
    return (torch.tanh(torch.cat(batches)).abs() > cut).any(0)


def always_saturated__wrong_last_batch(batches, cut):
    """this is the last batch alone"""
    for z in batches:
        dead = (torch.tanh(z).abs() > cut).all(0)
    return dead


def always_saturated__wrong_any_batch(batches, cut):
    """white in one whole batch"""
    dead = torch.zeros(batches[0].shape[1], dtype=torch.bool)
    for z in batches:
        dead |= (torch.tanh(z).abs() > cut).all(0)
    return dead


def always_saturated__wrong_majority(batches, cut):
    """these are the mostly saturated units"""
    return (torch.tanh(torch.cat(batches)).abs() > cut).float().mean(0) > 0.5


def always_saturated__wrong_signed(batches, cut):
    """units near −1 are left out"""
    return (torch.tanh(torch.cat(batches)) > cut).all(0)


def always_saturated__wrong_mean_activation(batches, cut):
    """the mean of h is compared"""
    return torch.tanh(torch.cat(batches)).mean(0).abs() > cut


def always_saturated__wrong_numbers(batches, cut):
    """wanted true or false"""
    return (torch.tanh(torch.cat(batches)).abs() > cut).all(0).float()


def always_saturated__right_running(batches, cut):
    dead = torch.ones(batches[0].shape[1], dtype=torch.bool)
    for z in batches:
        dead &= (torch.tanh(z).abs() > cut).all(0)
    return dead


def always_saturated__right_count(batches, cut):
    n = sum(len(z) for z in batches)
    return sum((torch.tanh(z) ** 2 > cut**2).sum(0) for z in batches) == n


def examples_to_convict__wrong_rule_of_three(p, confidence):
    """this is the rule of three"""
    return math.ceil(3 / p)


def examples_to_convict__wrong_floor(p, confidence):
    """one row too few"""
    return int(math.log(1 - confidence) / math.log(1 - p))


def examples_to_convict__wrong_one_more(p, confidence):
    """one row more than it takes"""
    return math.ceil(math.log(1 - confidence) / math.log(1 - p)) + 1


def examples_to_convict__wrong_inverted(p, confidence):
    """the confidence is inverted"""
    return math.ceil(math.log(confidence) / math.log(1 - p))


def examples_to_convict__wrong_p_to_the_n(p, confidence):
    """(1 − p)ⁿ, not pⁿ"""
    return math.ceil(math.log(1 - confidence) / math.log(p))


def examples_to_convict__wrong_first_order(p, confidence):
    """for a small p only"""
    return math.ceil(-math.log(1 - confidence) / p)


def examples_to_convict__wrong_not_whole(p, confidence):
    """wanted whole numbers"""
    return math.log(1 - confidence) / math.log(1 - p)


def examples_to_convict__wrong_rounded_quotient(p, confidence):
    """see whether n − 1 rows will do"""
    return math.ceil(math.log(1 - confidence) / math.log(1 - p))


def examples_to_convict__wrong_rounded_log1p(p, confidence):
    """see whether n − 1 rows will do"""
    return math.ceil(math.log1p(-confidence) / math.log1p(-p))


def examples_to_convict__right_by_fractions(p, confidence):
    n = math.ceil(math.log(1 - confidence) / math.log1p(-p))
    met = n < 100 and (1 - Fraction(p)) ** (n - 1) <= 1 - Fraction(confidence)
    return n - 1 if n > 1 and met else n


def examples_to_convict__right_rounded_off(p, confidence):
    quotient = math.log(1 - confidence) / math.log1p(-p)
    return math.ceil(quotient - 1e-9)


def examples_to_convict__right_slow_loop(p, confidence):
    n, chance = 1, 1 - p
    while chance > 1 - confidence:
        n, chance = n + 1, chance * (1 - p)
    return n


def examples_to_convict__right_search(p, confidence):
    low, high = 0, 2**40
    while high - low > 1:
        middle = (low + high) // 2
        enough = saturation.live_rate_bound(middle, confidence) <= p
        low, high = (low, middle) if enough else (middle, high)
    return high


def fold_stuck__wrong_deleted(W2, b2, stuck, means):
    """deleted without a trace"""
    return W2[~stuck], b2


def fold_stuck__wrong_no_signs(W2, b2, stuck, means):
    """as if all were stuck at 1"""
    return W2[~stuck], b2 + W2[stuck].sum(0)


def fold_stuck__wrong_all_means(W2, b2, stuck, means):
    """the mean of every unit is folded in"""
    return W2[~stuck], b2 + means @ W2


def fold_stuck__wrong_one_number(W2, b2, stuck, means):
    """every logit gets the same number"""
    return W2[~stuck], b2 + (means[stuck, None] * W2[stuck]).sum()


def fold_stuck__wrong_axis(W2, b2, stuck, means):
    """the shape is"""
    return W2[:, ~stuck[: W2.shape[1]]], b2 + means[stuck] @ W2[stuck]


def fold_stuck__wrong_reversed(W2, b2, stuck, means):
    """stand in reverse"""
    live = [j for j in reversed(range(len(W2))) if not stuck[j]]
    return W2[live], b2 + means[stuck] @ W2[stuck]


def fold_stuck__wrong_zeroed(W2, b2, stuck, means):
    """the shape is"""
    return W2 * ~stuck[:, None], b2 + means[stuck] @ W2[stuck]


def fold_stuck__wrong_in_place(W2, b2, stuck, means):
    """the function changed its argument"""
    b2 += means[stuck] @ W2[stuck]
    return W2[~stuck], b2


def fold_stuck__right_masked_product(W2, b2, stuck, means):
    return W2.index_select(0, (~stuck).nonzero()[:, 0]), b2 + (means * stuck) @ W2


def fold_stuck__right_slow_loop(W2, b2, stuck, means):
    live, bias = [], b2.clone()
    for j in range(len(W2)):
        if stuck[j]:
            bias = bias + W2[j] if means[j] > 0 else bias - W2[j]
        else:
            live.append(j)
    return W2[live], bias


def _of_both(white):
    return white.double().mean(0), white.double().mean(1)


def _all_h(batches):
    return torch.cat(list(batches)).tanh()


def _quotient(doubt, dead):
    return math.ceil(math.log(doubt) / math.log(dead))


def _folded(W2, b2, stuck, values):
    return W2[~stuck], b2 + values @ W2


WRONG = {
    "saturated_fractions": {
        "not beyond it": lambda z, cut: _of_both(z.tanh().abs() >= cut),
        "near −1 alone": lambda z, cut: _of_both(z.tanh() < -cut),
        "means of |h|": lambda z, cut: _of_both(z.double().tanh().abs()),
        "the slope is compared": lambda z, cut: _of_both(1 - z.tanh() ** 2 < cut),
        "the logistic function": lambda z, cut: _of_both(z.sigmoid() > cut),
        "one number for the whole map": lambda z, cut: (z.tanh().abs() > cut).double().mean(),
        "any saturated entry": lambda z, cut: tuple(
            (z.tanh().abs() > cut).any(axis).double() for axis in (0, 1)
        ),
        "by the number of examples: an": lambda z, cut: tuple(
            (z.tanh().abs() > cut).sum(axis) / len(z) for axis in (0, 1)
        ),
        "2, 1 of what is wanted": lambda z, cut: _of_both(z.tanh().abs() > cut)[::-1],
    },
    "always_saturated": {
        "not beyond it": lambda bs, cut: (_all_h(bs).abs() >= cut).all(0),
        "near −1 alone": lambda bs, cut: _all_h(bs).amax(0) < -cut,
        "one end": lambda bs, cut: (_all_h(bs).amin(0) > cut) | (_all_h(bs).amax(0) < -cut),
        "along the units": lambda bs, cut: _all_h(bs).abs().amin(1) > cut,
        "fraction of white rows is compared": lambda bs, cut: (
            (_all_h(bs).abs() > cut).double().mean(0) > cut
        ),
        "the fractions of white rows:": lambda bs, cut: (_all_h(bs).abs() > cut).double().mean(0),
        "the numbers of the units": lambda bs, cut: torch.arange(bs[0].shape[1])[
            (_all_h(bs).abs() > cut).all(0)
        ],
        "one mask for each batch": lambda bs, cut: torch.stack(
            [(b.tanh().abs() > cut).all(0) for b in bs]
        ),
        "the mean of |h|": lambda bs, cut: _all_h(bs).abs().mean(0) > cut,
        "units near −1 are left out: they": lambda bs, cut: _all_h(bs).amin(0) > cut,
        "left out, take |h|; and this is (any)": lambda bs, cut: (_all_h(bs) > cut).any(0),
        "left out, take |h|; and these are those near 1 on": lambda bs, cut: (
            (_all_h(bs) > cut).double().mean(0) > 0.5
        ),
        "left out, take |h|; and a mean": lambda bs, cut: _all_h(bs).mean(0) > cut,
        "left out, take |h|; and one whole batch": lambda bs, cut: torch.stack(
            [(b.tanh() > cut).all(0) for b in bs]
        ).any(0),
        "the smallest h": lambda bs, cut: _all_h(bs).min(0).values.abs() > cut,
        "the opposite": lambda bs, cut: ~(_all_h(bs).abs() > cut).all(0),
    },
    "examples_to_convict": {
        "the quotient of the logarithms itself": lambda p, c: math.log(1 - c) / math.log1p(-p),
        "until a live one": lambda p, c: math.ceil(1 / p),
        "this is confidence / p": lambda p, c: math.ceil(c / p),
        "two tails": lambda p, c: _quotient((1 - c) / 2, 1 - p),
        "spread over the rows": lambda p, c: math.ceil(1 / p / (1 - c)),
        "not pⁿ": lambda p, c: _quotient(c, p),  # 1, as some others
        "one row more than it takes": lambda p, c: (
            math.floor(math.log(1 - c) / math.log(1 - p)) + 2
        ),
    },
    "fold_stuck": {
        "those of the live ones are gone": lambda W2, b2, s, m: (W2[s], b2 + m[s] @ W2[s]),
        "changed sides": lambda W2, b2, s, m: (W2[s], b2 + m[~s] @ W2[~s]),
        "set to 0": lambda W2, b2, s, m: (
            torch.where(s[:, None], 0.0, W2),
            b2 + m[s] @ W2[s],
        ),
        "still stand in W2": lambda W2, b2, s, m: (W2.clone(), b2 + m[s] @ W2[s]),
        "only the first stuck unit": lambda W2, b2, s, m: (
            W2[~s],
            b2 + m[s][0] * W2[s][0],
        ),
        "only the last stuck unit": lambda W2, b2, s, m: (W2[~s], b2 + m[s][-1] * W2[s][-1]),
        "there once": lambda W2, b2, s, m: _folded(W2, s.sum() * b2, s, m * s),
        "without their rows": lambda W2, b2, s, m: (W2[~s], b2 + m[s].sum()),
        "tanh is applied once more": lambda W2, b2, s, m: _folded(W2, b2, s, m.tanh() * s),
        "2, 1 of what is wanted": lambda W2, b2, s, m: _folded(W2, b2, s, m * s)[::-1],
    },
}
