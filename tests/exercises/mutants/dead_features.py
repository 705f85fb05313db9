"""Answers to chapter 20 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import torch
from torch.nn import functional


def _far(vectors, codes):
    return torch.stack([(vectors - c).pow(2).sum(1) for c in codes], 1)


def _answer(counts):
    p = counts[counts > 0] / counts.sum()
    return counts, counts == 0, float(torch.exp(-(p * p.log()).sum()))


def code_census__wrong_product(vectors, codes):
    """a long code is not a near one"""
    return _answer(torch.bincount((vectors @ codes.T).argmax(1), minlength=len(codes)))


def code_census__wrong_farthest(vectors, codes):
    """the farthest code is chosen"""
    return _answer(torch.bincount(_far(vectors, codes).argmax(1), minlength=len(codes)))


def code_census__wrong_live(vectors, codes):
    """the mask is that of the live codes"""
    counts = torch.bincount(_far(vectors, codes).argmin(1), minlength=len(codes))
    return counts, counts > 0, _answer(counts)[2]


def code_census__wrong_entropy(vectors, codes):
    """its exponential is the effective number"""
    counts = torch.bincount(_far(vectors, codes).argmin(1), minlength=len(codes))
    p = counts / counts.sum()
    return counts, counts == 0, float(torch.special.entr(p).sum())


def code_census__right_one_hot(vectors, codes):
    one_hot = functional.one_hot(_far(vectors, codes).min(1).indices, len(codes))
    share = one_hot.double().mean(0)
    return one_hot.sum(0), share == 0, float(torch.prod(share**-share))


def restart_codes__wrong_live_ones(codes, counts, vectors, rows):
    """those with a count of 0 alone start anew"""
    codes = codes.clone()
    if rows:
        codes[counts > 0] = vectors[rows[0]]
    return codes


def restart_codes__wrong_first_vectors(codes, counts, vectors, rows):
    """the first vectors are taken"""
    codes = codes.clone()
    codes[counts == 0] = vectors[: len(rows)]
    return codes


def restart_codes__wrong_one_for_all(codes, counts, vectors, rows):
    """each has a row of its own"""
    codes = codes.clone()
    if rows:
        codes[counts == 0] = vectors[rows[0]]
    return codes


def restart_codes__wrong_in_place(codes, counts, vectors, rows):
    """work on a copy"""
    codes[counts == 0] = vectors[rows]
    return codes


def restart_codes__right_loop(codes, counts, vectors, rows):
    dead = [j for j, n in enumerate(counts.tolist()) if n == 0]
    new = [row.clone() for row in codes]
    for j, r in zip(dead, rows, strict=True):
        new[j] = vectors[r]
    return torch.stack(new)


def balance_loss__wrong_experts(scores):
    """the number of experts is left out"""
    f = functional.one_hot(scores.argmax(1), scores.shape[1]).to(scores.dtype).mean(0)
    return float(f @ scores.softmax(1).mean(0))


def balance_loss__wrong_twice(scores):
    """f is used twice"""
    f = functional.one_hot(scores.argmax(1), scores.shape[1]).to(scores.dtype).mean(0)
    return float(scores.shape[1] * (f @ f))


def balance_loss__wrong_counts(scores):
    """counts stand where the part of the tokens is meant"""
    f = functional.one_hot(scores.argmax(1), scores.shape[1]).to(scores.dtype).sum(0)
    return float(scores.shape[1] * (f @ scores.softmax(1).mean(0)))


def balance_loss__wrong_own_tokens(scores):
    """P is over all tokens"""
    return float(scores.shape[1] * scores.softmax(1).max(1).values.mean())


def balance_loss__right_loop(scores):
    tokens, experts = scores.shape
    probabilities = scores.double().softmax(1)
    loss = 0.0
    for j in range(experts):
        went = (scores.max(1).indices == j).sum().item() / tokens
        loss += went * probabilities[:, j].mean().item()
    return experts * loss


def _went(scores):
    return functional.one_hot(scores.argmax(1), scores.shape[1])


WRONG = {
    "code_census": {
        "the last is chosen": lambda v, c: _answer(
            torch.bincount(len(c) - 1 - _far(v, c).flip(1).argmin(1), minlength=len(c))
        ),
        "log and exp belong together": lambda v, c: (
            *_answer(torch.bincount(_far(v, c).argmin(1), minlength=len(c)))[:2],
            _answer(torch.bincount(_far(v, c).argmin(1), minlength=len(c)))[2] ** 1.4426950,
        ),
        "this is the number of live codes": lambda v, c: (
            *_answer(torch.bincount(_far(v, c).argmin(1), minlength=len(c)))[:2],
            float(len(_far(v, c).argmin(1).unique())),
        ),
    },
    "restart_codes": {
        "nothing has changed": lambda codes, counts, vectors, rows: codes.clone(),
        "the first row is for the first dead code": lambda codes, counts, vectors, rows: (
            codes.index_copy(0, (counts == 0).nonzero()[:, 0], vectors[rows[::-1]])
            if rows
            else codes
        ),
    },
    "balance_loss": {
        "each token's probabilities add up to 1": lambda s: float(
            s.shape[1] * (_went(s).to(s.dtype).mean(0) @ s.softmax(0).mean(0))
        ),
        "P is used twice": lambda s: float(s.shape[1] * s.softmax(1).mean(0).square().sum()),
    },
}
