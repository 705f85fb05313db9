"""Answers to chapter 14 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import math

import torch


def _taken_apart(whole, part):
    return *whole, *part, whole[0] - part[0]


def rest_of__wrong_no_distance(whole, part):
    """the distance between the two means is left out"""
    nw, mw, sw, np, mp, sp, n = _taken_apart(whole, part)
    return n, (nw * mw - np * mp) / n, sw - sp


def rest_of__wrong_added(whole, part):
    """the distance between the means is added"""
    nw, mw, sw, np, mp, sp, n = _taken_apart(whole, part)
    mean = mw + (mw - mp) * np / n
    return n, mean, sw - sp + (mean - mp) ** 2 * np * n / nw


def rest_of__wrong_distance_to_whole(whole, part):
    """the distance is from the part's mean to that of the whole"""
    nw, mw, sw, np, mp, sp, n = _taken_apart(whole, part)
    return n, mw + (mw - mp) * np / n, sw - sp - (mw - mp) ** 2 * np * n / nw


def rest_of__wrong_variance(whole, part):
    """these are variances"""
    nw, mw, sw, np, mp, sp, n = _taken_apart(whole, part)
    return n, mw + (mw - mp) * np / n, (sw - sp - (mw - mp) ** 2 * np * nw / n) / n


def rest_of__wrong_mean_of_means(whole, part):
    """the larger group lies nearer"""
    nw, mw, sw, np, mp, sp, n = _taken_apart(whole, part)
    mean = 2 * mw - mp
    return n, mean, (sw - sp - (mean - mp) ** 2 * np * n / nw).clamp(min=0)


def rest_of__wrong_merged(whole, part):
    """this merges the two"""
    nw, mw, sw, np, mp, sp, _ = _taken_apart(whole, part)
    n = nw + np
    return n, (nw * mw + np * mp) / n, sw + sp + (mw - mp) ** 2 * nw * np / n


def rest_of__wrong_squares(whole, part):
    """the digits that count are gone"""
    nw, mw, sw, np, mp, sp, n = _taken_apart(whole, part)
    mw, mp, sw, sp = mw.double(), mp.double(), sw.double(), sp.double()
    mean = (nw * mw - np * mp) / n
    return n, mean, sw + nw * mw**2 - sp - np * mp**2 - n * mean**2


def rest_of__wrong_two_values(whole, part):
    """it returned 2 values"""
    n = whole[0] - part[0]
    return n, whole[1] + (whole[1] - part[1]) * part[0] / n


def rest_of__right_other_weight(whole, part):
    nw, mw, sw, np, mp, sp, n = _taken_apart(whole, part)
    return [n, mw + (mw - mp) * np / n, sw - sp - (mw - mp) ** 2 * np * nw / n]


def rest_of__right_slow_loop(whole, part):
    _, mw, sw, np, mp, sp, n = _taken_apart(whole, part)
    mean, m2 = mw.clone(), sw.clone()
    for j in range(len(mw)):
        mean[j] += (mw[j] - mp[j]) * np / n
        m2[j] -= sp[j] + np * (mp[j] - mw[j]) ** 2 + n * (mean[j] - mw[j]) ** 2
    return n, mean, m2


def _examples(batches):
    return sum(len(z) for z in batches)


def _bound(n, confidence):
    return 1 - (1 - confidence) ** (1 / n)


def channel_evidence__wrong_positions(batches, confidence):
    """positions are counted, in the counts and in the bound"""
    rows = torch.cat([z.movedim(1, -1).reshape(-1, z.shape[1]) for z in batches])
    return (rows > 0).sum(0), _bound(len(rows), confidence)


def channel_evidence__wrong_live_positions(batches, confidence):
    """live positions are counted"""
    counts = sum((z > 0).sum((0, 2, 3)) for z in batches)
    return counts, _bound(_examples(batches), confidence)


def channel_evidence__wrong_bound_on_positions(batches, confidence):
    """the bound rests on positions"""
    n = sum(z[:, 0].numel() for z in batches)
    return sum((z.amax((2, 3)) > 0).sum(0) for z in batches), _bound(n, confidence)


def channel_evidence__wrong_all(batches, confidence):
    """this is (all) where (any) is asked"""
    counts = sum((z.amin((2, 3)) > 0).sum(0) for z in batches)
    return counts, _bound(_examples(batches), confidence)


def channel_evidence__wrong_zero_is_live(batches, confidence):
    """the slope of ReLU at 0 is 0"""
    counts = sum((z.amax((2, 3)) >= 0).sum(0) for z in batches)
    return counts, _bound(_examples(batches), confidence)


def channel_evidence__wrong_rule_of_three(batches, confidence):
    """this is the rule of three"""
    n = _examples(batches)
    return sum((z.amax((2, 3)) > 0).sum(0) for z in batches), min(1.0, 3 / n)


def channel_evidence__wrong_batches(batches, confidence):
    """the number of batches"""
    return sum((z.amax((2, 3)) > 0).sum(0) for z in batches), _bound(len(batches), confidence)


def channel_evidence__wrong_axis(batches, confidence):
    """the shape is"""
    counts = (batches[0] > 0).any(1).any(-1).any(-1).sum(0, keepdim=True)
    return counts, _bound(_examples(batches), confidence)


def channel_evidence__right_logarithms(batches, confidence):
    n = _examples(batches)
    counts = torch.stack([torch.relu(z).sum((2, 3)).count_nonzero(0) for z in batches]).sum(0)
    return counts, -math.expm1(math.log1p(-confidence) / n)


def channel_evidence__right_slow_loop(batches, confidence):
    counts = torch.zeros(batches[0].shape[1], dtype=torch.int64)
    for z in batches:
        for example in z:
            for channel, plane in enumerate(example):
                counts[channel] += int(bool((plane > 0).any()))
    return counts, torch.tensor(_bound(_examples(batches), confidence), dtype=torch.float64)


def _walk(live, n, enough, *, start=None, small_convicts=False, skip_small=False):
    totals = [[0] * live.shape[1] for _ in range(3)]
    for unit, column in enumerate(live.T.tolist()):
        state, lived = start, start == "live"
        for count, size in zip(column, n.tolist(), strict=True):
            if skip_small and size < enough:
                continue
            if count > 0:
                if state == "dead":
                    totals[2 if lived else 0][unit] += 1
                state, lived = "live", True
            elif size >= enough or small_convicts:
                totals[1][unit] += state == "live"
                state = "dead"
    return tuple(torch.tensor(t) for t in totals)


def changes__wrong_small_windows_convict(live, n, enough):
    """small windows convict"""
    return _walk(live, n, enough, small_convicts=True)


def changes__wrong_small_windows_skipped(live, n, enough):
    """small windows are left out"""
    return _walk(live, n, enough, skip_small=True)


def changes__wrong_live_at_first(live, n, enough):
    """every unit is taken to be live before its first verdict"""
    return _walk(live, n, enough, start="live")


def changes__wrong_more_than_enough(live, n, enough):
    """exactly (enough) examples is left out"""
    return _walk(live, n, enough + 1)


def changes__wrong_no_births(live, n, enough):
    """every waking is counted as a revival"""
    births, deaths, revivals = _walk(live, n, enough)
    return torch.zeros_like(births), deaths, births + revivals


def changes__wrong_differences(live, n, enough):
    """small windows convict"""
    dead = live == 0
    lived = (~dead).cumsum(0)[:-1] > 0
    woke = dead[:-1] & ~dead[1:]
    return (woke & ~lived).sum(0), (~dead[:-1] & dead[1:]).sum(0), (woke & lived).sum(0)


def changes__wrong_one_tensor(live, n, enough):
    """wanted 3 values"""
    return torch.stack(_walk(live, n, enough))[:2]


def changes__right_slow_loop(live, n, enough):
    return _walk(live, n, enough)


def changes__right_states(live, n, enough):
    # 1 live, -1 dead, 0 nothing yet
    state = torch.zeros(live.shape[1], dtype=torch.int64)
    lived, totals = state.clone(), [torch.zeros_like(state) for _ in range(3)]
    for count, size in zip(live, n, strict=True):
        new = torch.where(count > 0, 1, -1 if size >= enough else state)
        totals[0] += ((state == -1) & (new == 1) & (lived == 0)).long()
        totals[1] += ((state == 1) & (new == -1)).long()
        totals[2] += ((state == -1) & (new == 1) & (lived == 1)).long()
        lived, state = torch.maximum(lived, (new == 1).long()), new
    return totals


def _rest(whole, part, *, mean=None, weight=None):
    (nw, mw, sw), (np, mp, sp) = whole, part
    n = nw - np
    m = mw - (mp - mw) * np / n if mean is None else mean(nw, np, n, mw, mp)
    by = np * n / nw if weight is None else weight(nw, np, n)
    return n, m, (sw - sp - by * (m - mp) ** 2).clamp(min=0)


def _evidence(batches, c, *, counts=None, bound=None):
    live = torch.cat([(z > 0).flatten(2).any(2) for z in batches])
    n = len(live)
    return (
        live.sum(0) if counts is None else counts(batches),
        1 - (1 - c) ** (1 / n) if bound is None else bound(n, c),
    )


WRONG = {
    "rest_of": {
        "the other side of the whole's": lambda w, p: _rest(
            w, p, mean=lambda nw, np, n, mw, mp: mw + (mp - mw) * np / n
        ),
        "the rest has fewer": lambda w, p: _rest(
            w, p, mean=lambda nw, np, n, mw, mp: mw - mp * np / nw
        ),
        "n_part / n_whole of the distance": lambda w, p: _rest(
            w, p, mean=lambda nw, np, n, mw, mp: mw - (mp - mw) * np / nw
        ),
        "the wrong way round: n_part / n": lambda w, p: _rest(
            w, p, mean=lambda nw, np, n, mw, mp: mw - (mp - mw) * n / np
        ),
        "the mean is that of the whole": lambda w, p: _rest(
            w, p, mean=lambda nw, np, n, mw, mp: mw
        ),
        "weighed by nothing": lambda w, p: _rest(w, p, weight=lambda nw, np, n: 1),
        "weighed by n_part:": lambda w, p: _rest(w, p, weight=lambda nw, np, n: np),
        "weighed by n:": lambda w, p: _rest(w, p, weight=lambda nw, np, n: n),
        "weighed by n_part · n_whole": lambda w, p: _rest(
            w, p, weight=lambda nw, np, n: np * nw / n
        ),
        "scaled by the number of rows": lambda w, p: (
            *_rest(w, p)[:2],
            w[2] * (w[0] - p[0]) / w[0],
        ),
        "M2 of the two are added": lambda w, p: (*_rest(w, p)[:2], w[2] + p[2]),
        "these are standard deviations": lambda w, p: (
            *_rest(w, p)[:2],
            (_rest(w, p)[2] / (w[0] - p[0])).sqrt(),
        ),
        "n is the number of all rows": lambda w, p: (w[0] + p[0], *_rest(w, p)[1:]),
        "value 1 is one more": lambda w, p: (w[0] - p[0] + 1, *_rest(w, p)[1:]),
        "1, 3, 2 of what is wanted": lambda w, p: [_rest(w, p)[i] for i in (0, 2, 1)],
    },
    "channel_evidence": {
        "the chance of a dead look": lambda b, c: _evidence(
            b, c, bound=lambda n, c: math.exp(math.log(1 - c) / n)
        ),
        "the n-th root is missing": lambda b, c: _evidence(b, c, bound=lambda n, c: c),
        "for a small p only": lambda b, c: _evidence(
            b, c, bound=lambda n, c: math.log(1 / (1 - c)) / n
        ),
        "divides the doubt": lambda b, c: _evidence(b, c, bound=lambda n, c: (1 - c) / n),
        "divides the confidence": lambda b, c: _evidence(b, c, bound=lambda n, c: c / n),
        "this is 1/n": lambda b, c: _evidence(b, c, bound=lambda n, c: 1 / n),
        "one too small": lambda b, c: _evidence(
            b, c, bound=lambda n, c: 1 - (1 - c) ** (1 / (n - 1))
        ),
        "two tails": lambda b, c: _evidence(b, c, bound=lambda n, c: 1 - ((1 - c) / 2) ** (1 / n)),
        "parts of the examples": lambda b, c: (
            _evidence(b, c)[0] / sum(len(z) for z in b),
            _evidence(b, c)[1],
        ),
        "the counts are those of the last": lambda b, c: _evidence(
            b, c, counts=lambda b: (b[-1] > 0).flatten(2).any(2).sum(0)
        ),
        "counts and bound are those of the last": lambda b, c: _evidence(b[-1:], c),
        "of channels: count": lambda b, c: _evidence(
            b, c, bound=lambda n, c: 1 - (1 - c) ** (1 / b[0].shape[1])
        ),
        "2, 1 of what is wanted": lambda b, c: _evidence(b, c)[::-1],
    },
    "changes": {
        "live examples is not taken": lambda live, n, enough: _walk(
            torch.where(live >= enough, live, 0), n, enough
        ),
        "births are counted among the revivals": lambda *a: (
            *_walk(*a)[:2],
            _walk(*a)[0] + _walk(*a)[2],
        ),
        "revivals are counted among the births": lambda *a: (
            _walk(*a)[0] + _walk(*a)[2],
            *_walk(*a)[1:],
        ),
        "sums over the units": lambda *a: tuple(t.sum() for t in _walk(*a)),
        "count every one": lambda *a: tuple((t > 0).long() for t in _walk(*a)),
        "2, 1, 3 of what is wanted": lambda *a: [_walk(*a)[i] for i in (1, 0, 2)],
    },
}
