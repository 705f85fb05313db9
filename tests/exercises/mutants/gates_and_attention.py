"""Answers to chapter 19 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import math

import torch


def _parts(bias_ih, bias_hh, forget):
    n = len(forget)
    return n, bias_ih.clone(), bias_hh.clone()


def lstm_biases__wrong_one_bias(bias_ih, bias_hh, forget):
    """bias_hh still adds what was drawn"""
    n, ih, hh = _parts(bias_ih, bias_hh, forget)
    ih[:n], ih[n : 2 * n] = -forget, forget
    return ih, hh


def lstm_biases__wrong_both(bias_ih, bias_hh, forget):
    """the gate gets twice as much"""
    n, ih, hh = _parts(bias_ih, bias_hh, forget)
    for b in (ih, hh):
        b[:n], b[n : 2 * n] = -forget, forget
    return ih, hh


def lstm_biases__wrong_no_input_gate(bias_ih, bias_hh, forget):
    """the input gate keeps its own bias"""
    n, ih, hh = _parts(bias_ih, bias_hh, forget)
    ih[n : 2 * n] = forget
    hh[n : 2 * n] = 0
    return ih, hh


def lstm_biases__wrong_order(bias_ih, bias_hh, forget):
    """torch has the input gate first"""
    n, ih, hh = _parts(bias_ih, bias_hh, forget)
    ih[:n], ih[n : 2 * n] = forget, -forget
    hh[: 2 * n] = 0
    return ih, hh


def lstm_biases__wrong_all_of_hh(bias_ih, bias_hh, forget):
    """bias_hh is 0 throughout"""
    n, ih, hh = _parts(bias_ih, bias_hh, forget)
    ih[:n], ih[n : 2 * n] = -forget, forget
    return ih, torch.zeros_like(hh)


def lstm_biases__right_joined(bias_ih, bias_hh, forget):
    n = len(forget)
    new = torch.cat([-forget, forget, bias_ih[2 * n :]])
    return new, torch.cat([torch.zeros(2 * n, dtype=bias_hh.dtype), bias_hh[2 * n :]])


def _grid():
    y = torch.linspace(-9, 9, 6001, dtype=torch.float64)
    return y, torch.exp(-y * y / 2) / math.sqrt(2 * math.pi) * (y[1] - y[0])


def _bent(activation, y):
    return y * y.sigmoid() if activation == "silu" else getattr(torch, activation)(y)


def product_gain__wrong_independent(activation, rho):
    """that holds for rho = 0 only"""
    y, w = _grid()
    return (w * _bent(activation, y) ** 2).sum().item() ** -0.5


def product_gain__wrong_same(activation, rho):
    """the two are taken for the same number"""
    y, w = _grid()
    return (w * (_bent(activation, y) * y) ** 2).sum().item() ** -0.5


def product_gain__wrong_mean_square(activation, rho):
    """the gain is 1 over its root"""
    y, w = _grid()
    return (w * _bent(activation, y) ** 2 * (rho**2 * y**2 + 1 - rho**2)).sum().item()


def product_gain__wrong_no_rest(activation, rho):
    """the part of z that does not follow y is left out"""
    y, w = _grid()
    if not rho:
        return 0.0
    return (w * (_bent(activation, y) * rho * y) ** 2).sum().item() ** -0.5


def product_gain__right_two_integrals(activation, rho):
    x = torch.linspace(-8, 8, 801, dtype=torch.float64)
    w = torch.exp(-x * x / 2) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    y, rest = x[:, None], x[None]
    z = rho * y + math.sqrt(1 - rho**2) * rest
    square = (w[:, None] * w * (_bent(activation, y) * z) ** 2).sum()
    return 1 / math.sqrt(square)


def row_statistics__wrong_one_key_counts(logits, allowed):
    """rows with one allowed key are counted"""
    log_p = logits.masked_fill(~allowed, -math.inf).log_softmax(1)
    p = log_p.exp()
    h = -(p * log_p.masked_fill(~allowed, 0)).sum(1)
    return h.mean().item(), (p.max(1).values > 0.99).float().mean().item()


def row_statistics__wrong_zeros(logits, allowed):
    """hidden keys have a logit of 0 here"""
    some = allowed.sum(1) > 1
    log_p = (logits * allowed)[some].log_softmax(1)
    p = log_p.exp()
    return -(p * log_p).sum(1).mean().item(), (p.amax(1) > 0.99).float().mean().item()


def row_statistics__wrong_no_mask(logits, allowed):
    """the mask is left out"""
    log_p = logits[allowed.sum(1) > 1].log_softmax(1)
    p = log_p.exp()
    return -(p * log_p).sum(1).mean().item(), (p.amax(1) > 0.99).float().mean().item()


def row_statistics__wrong_bits(logits, allowed):
    """the entropy is in bits"""
    some = allowed.sum(1) > 1
    log_p = logits.masked_fill(~allowed, -math.inf)[some].log_softmax(1)
    p = log_p.exp()
    h = -(p * log_p.masked_fill(~allowed[some], 0)).sum(1) / math.log(2)
    return h.mean().item(), (p.amax(1) > 0.99).float().mean().item()


def row_statistics__right_xlogy(logits, allowed):
    some = allowed.sum(1) > 1
    p = logits.double().masked_fill(~allowed, -math.inf)[some].softmax(1)
    return -torch.xlogy(p, p).sum(1).mean().item(), (p > 0.99).any(1).double().mean().item()
