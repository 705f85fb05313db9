"""Answers to chapter 3 as learners give them; see `tanh_derivative.py` for the rules."""

import torch
from torch.nn import functional


def counted_logit_gradient__wrong_not_divided(logits, Y, counts):
    """this is not divided by anything"""
    return counts[:, None] * (logits.softmax(1) - functional.one_hot(Y, logits.shape[1]))


def counted_logit_gradient__wrong_rows(logits, Y, counts):
    """divided by the number of rows"""
    d = logits.softmax(1) - functional.one_hot(Y, logits.shape[1])
    return d * counts[:, None] / len(Y)


def counted_logit_gradient__wrong_no_counts(logits, Y, counts):
    """the counts are not used"""
    d = logits.softmax(1)
    d[torch.arange(len(Y)), Y] -= 1
    return d / len(Y)


def counted_logit_gradient__wrong_counts_below_only(logits, Y, counts):
    """but not multiplied by their own"""
    return (logits.softmax(1) - functional.one_hot(Y, logits.shape[1])) / counts.sum()


def counted_logit_gradient__wrong_uphill(logits, Y, counts):
    """points uphill"""
    weights = (counts / counts.sum())[:, None]
    return weights * (functional.one_hot(Y, logits.shape[1]) - logits.softmax(1))


def counted_logit_gradient__wrong_no_onehot(logits, Y, counts):
    """the one-hot is missing"""
    return logits.softmax(1) * (counts / counts.sum())[:, None]


def counted_logit_gradient__wrong_onehot_unweighed(logits, Y, counts):
    """not the one-hot"""
    d = logits.softmax(1) * counts[:, None]
    d[torch.arange(len(Y)), Y] -= 1
    return d / counts.sum()


def counted_logit_gradient__wrong_vocabulary(logits, Y, counts):
    """the size of the vocabulary"""
    d = logits.softmax(1) - functional.one_hot(Y, logits.shape[1])
    return d * counts[:, None] / counts.sum() / logits.shape[1]


def counted_logit_gradient__wrong_overflow(logits, Y, counts):
    """take the largest logit of each row away"""
    e = logits.exp()
    d = e / e.sum(1, keepdim=True)
    d[torch.arange(len(Y)), Y] -= 1
    return d * counts[:, None] / counts.sum()


def counted_logit_gradient__wrong_changes_logits(logits, Y, counts):
    """changed its argument"""
    logits -= logits.max(1, keepdim=True).values
    d = logits.exp() / logits.exp().sum(1, keepdim=True)
    d[torch.arange(len(Y)), Y] -= 1
    return d * counts[:, None] / counts.sum()


def counted_logit_gradient__right_autograd(logits, Y, counts):
    logits = logits.clone().requires_grad_()
    losses = -logits.log_softmax(1)[torch.arange(len(Y)), Y]
    (losses * counts).sum().div(counts.sum()).backward()
    return logits.grad


def counted_logit_gradient__right_repeat_then_fold(logits, Y, counts):
    """Every row as often as it occurred; then the rows that belong together are added."""
    which = torch.arange(len(Y)).repeat_interleave(counts)
    d = logits[which].softmax(1)
    d[torch.arange(len(which)), Y[which]] -= 1
    return torch.zeros_like(logits).index_add_(0, which, d / len(which))


def linear_backward__wrong_db_mean(x, W, dy):
    """db is the mean"""
    a, G = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    return dy @ W, G.T @ a, G.mean(0)


def linear_backward__wrong_dW_mean(x, W, dy):
    """dW is divided by the number of examples"""
    a, G = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    return dy @ W, G.T @ a / len(a), G.sum(0)


def linear_backward__wrong_both_means(x, W, dy):
    """dW and db are means"""
    a, G = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    return dy @ W, G.T @ a / len(a), G.mean(0)


def linear_backward__wrong_last_example(x, W, dy):
    """the last example only"""
    for row, arriving in zip(x, dy, strict=True):
        dW, db = torch.outer(arriving, row), arriving
    return dy @ W, dW, db


def linear_backward__wrong_chapters_layout(x, W, dy):
    """the transpose of what is wanted"""
    return dy @ W, x.T @ dy, dy.sum(0)


def linear_backward__wrong_weights_as_in_the_chapter(x, W, dy):
    """your code raised RuntimeError"""
    return dy @ W.T, x.T @ dy, dy.sum(0)


def linear_backward__wrong_per_example(x, W, dy):
    """the shape is (3, 4, 2), wanted (4, 2)"""
    return dy @ W, dy[..., :, None] * x[..., None, :], dy.sum(0)


def linear_backward__wrong_one_axis_only(x, W, dy):
    """the shape is"""
    return dy @ W, dy.mT @ x, dy.sum(0)


def linear_backward__right_autograd(x, W, dy):
    x, W = x.clone().requires_grad_(), W.clone().requires_grad_()
    b = torch.zeros(W.shape[0], dtype=W.dtype, requires_grad=True)
    (functional.linear(x, W, b) * dy).sum().backward()
    return [x.grad, W.grad, b.grad]


def linear_backward__right_slow_loop(x, W, dy):
    dx, dW, db = torch.zeros_like(x), torch.zeros_like(W), torch.zeros_like(W[:, 0])
    places = zip(
        x.reshape(-1, x.shape[-1]),
        dy.reshape(-1, dy.shape[-1]),
        dx.view(-1, x.shape[-1]),
        strict=True,
    )
    for row, arriving, out in places:
        dW += torch.outer(arriving, row)
        db += arriving
        out += W.T @ arriving
    return dx, dW, db


def linear_backward__right_einsum(x, W, dy):
    dW = torch.einsum("...o,...i->oi", dy, x)
    return torch.einsum("...o,oi->...i", dy, W), dW, torch.einsum("...o->o", dy)


def tied_table_gradient__wrong_overwrites(X, dx, h, dlogits):
    """C[X] += does not add twice"""
    dC = dlogits.T @ h
    dC[X] += dx.view(*X.shape, -1)
    return dC


def tied_table_gradient__wrong_assigns(X, dx, h, dlogits):
    """overwrite each other and those of the logits"""
    dC = dlogits.T @ h
    dC[X] = dx.view(*X.shape, -1)
    return dC


def tied_table_gradient__wrong_look_up_only(X, dx, h, dlogits):
    """only the look-ups are here"""
    dC = torch.zeros(dlogits.shape[1], h.shape[1], dtype=h.dtype)
    return dC.index_add_(0, X.flatten(), dx.reshape(-1, h.shape[1]))


def tied_table_gradient__wrong_logits_only(X, dx, h, dlogits):
    """only the logits are here"""
    return dlogits.T @ h


def tied_table_gradient__wrong_one_use_and_no_logits(X, dx, h, dlogits):
    """only one use of each row is here"""
    dC = torch.zeros(dlogits.shape[1], h.shape[1], dtype=h.dtype)
    dC[X] += dx.view(*X.shape, -1)
    return dC


def tied_table_gradient__wrong_mean(X, dx, h, dlogits):
    """averaged over its look-ups"""
    dC = torch.zeros(dlogits.shape[1], h.shape[1], dtype=h.dtype)
    shares = dx.reshape(-1, h.shape[1])
    dC.index_reduce_(0, X.flatten(), shares, "mean", include_self=False)
    return dC + dlogits.T @ h


def tied_table_gradient__wrong_cut(X, dx, h, dlogits):
    """dx is cut the wrong way"""
    pieces = dx.view(len(X), h.shape[1], -1).transpose(1, 2).reshape(-1, h.shape[1])
    return (dlogits.T @ h).index_add_(0, X.flatten(), pieces)


def tied_table_gradient__wrong_transposed(X, dx, h, dlogits):
    """this is the transpose of what is wanted"""
    dC = torch.zeros(dlogits.shape[1], h.shape[1], dtype=h.dtype)
    dC.index_add_(0, X.flatten(), dx.reshape(-1, h.shape[1]))
    return dC.T + h.T @ dlogits


def tied_table_gradient__right_autograd(X, dx, h, dlogits):
    C = torch.zeros(dlogits.shape[1], h.shape[1], dtype=h.dtype, requires_grad=True)
    ((C[X].flatten(1) * dx).sum() + (h @ C.T * dlogits).sum()).backward()
    return C.grad


def tied_table_gradient__right_onehot(X, dx, h, dlogits):
    onehot = functional.one_hot(X, dlogits.shape[1]).to(h.dtype)
    look_up = torch.einsum("nbv,nbe->ve", onehot, dx.view(*X.shape, -1))
    return look_up + torch.einsum("nv,ne->ve", dlogits, h)


def tied_table_gradient__right_slow_loop(X, dx, h, dlogits):
    n_embd = h.shape[1]
    dC = torch.zeros(dlogits.shape[1], n_embd, dtype=h.dtype)
    for i, context in enumerate(X.tolist()):
        for j, v in enumerate(context):
            dC[v] += dx[i, j * n_embd : (j + 1) * n_embd]
        for v in range(len(dC)):
            dC[v] += dlogits[i, v] * h[i]
    return dC


def _network_pass(x, Y, W1, b1, W2, b2, divide="first", slope=lambda z, dh: dh * (z > 0)):
    z = x @ W1 + b1
    h = torch.relu(z)
    d = torch.softmax(h @ W2 + b2, 1) - functional.one_hot(Y, len(b2))
    if divide in ("first", "twice"):
        d = d / len(Y)
    dW2, db2 = h.T @ d, d.sum(0)
    if divide in ("late", "twice"):
        d = d / len(Y)
    dz = slope(z, d @ W2.T)
    return x.T @ dz, dz.sum(0), dW2, db2


def repaired_backward__wrong_as_found(x, Y, W1, b1, W2, b2):
    """both mistakes are still in it"""
    return _network_pass(x, Y, W1, b1, W2, b2, "late", lambda z, dh: torch.relu(dh))


def repaired_backward__wrong_division_left(x, Y, W1, b1, W2, b2):
    """computed before the division by n"""
    return _network_pass(x, Y, W1, b1, W2, b2, "late")


def repaired_backward__wrong_relu_left(x, Y, W1, b1, W2, b2):
    """not the sign of dh"""
    return _network_pass(x, Y, W1, b1, W2, b2, slope=lambda z, dh: torch.relu(dh))


def repaired_backward__wrong_no_slope(x, Y, W1, b1, W2, b2):
    """dz is dh unchanged"""
    return _network_pass(x, Y, W1, b1, W2, b2, slope=lambda z, dh: dh)


def repaired_backward__wrong_times_h(x, Y, W1, b1, W2, b2):
    """multiplied by h"""
    return _network_pass(x, Y, W1, b1, W2, b2, slope=lambda z, dh: dh * torch.relu(z))


def repaired_backward__wrong_tanh(x, Y, W1, b1, W2, b2):
    """that of tanh"""
    return _network_pass(x, Y, W1, b1, W2, b2, slope=lambda z, dh: dh * (1 - torch.relu(z) ** 2))


def repaired_backward__wrong_twice(x, Y, W1, b1, W2, b2):
    """divided by n twice"""
    return _network_pass(x, Y, W1, b1, W2, b2, "twice")


def repaired_backward__wrong_never(x, Y, W1, b1, W2, b2):
    """nothing is divided by n"""
    return _network_pass(x, Y, W1, b1, W2, b2, "never")


def repaired_backward__right_autograd(x, Y, W1, b1, W2, b2):
    parameters = [t.clone().requires_grad_() for t in (W1, b1, W2, b2)]
    W1, b1, W2, b2 = parameters
    loss = functional.cross_entropy(functional.relu(x @ W1 + b1) @ W2 + b2, Y)
    return torch.autograd.grad(loss, parameters)


def repaired_backward__right_one_example_at_a_time(x, Y, W1, b1, W2, b2):
    total = [torch.zeros_like(t) for t in (W1, b1, W2, b2)]
    for i in range(len(Y)):
        one = _network_pass(x[i : i + 1], Y[i : i + 1], W1, b1, W2, b2)
        total = [t + g / len(Y) for t, g in zip(total, one, strict=True)]
    return tuple(total)


def _counted(logits, Y, counts, *, p=None, weights=lambda w: w / w.sum(), y=1):
    p = logits.softmax(1) if p is None else p
    d = p - y * functional.one_hot(Y, logits.shape[1])
    return d * weights(counts.to(logits.dtype))[:, None]


def _linear(x, W, dy):
    return linear_backward__right_autograd(x, W, dy)


def _rows(t):
    return t.reshape(-1, t.shape[-1])


def _tied(X, dx, h, dlogits, a=1, b=1):
    dC = torch.zeros(dlogits.shape[1], h.shape[1], dtype=h.dtype)
    return a * dC.index_add_(0, X.flatten(), _rows(dx.view(*X.shape, -1))) + b * dlogits.T @ h


def _tied_order(X, dx, h, dlogits):
    places = torch.arange(X.numel()).view(X.shape) % dlogits.shape[1]
    return _tied(places, dx, h, dlogits)


WRONG = {
    "counted_logit_gradient": {
        "occurred more often counts more": lambda *args: _counted(
            *args, weights=lambda w: (1 / w) / (1 / w).sum()
        ),
        "not multiplied": lambda *args: _counted(*args, weights=lambda w: 1 / w),
        "divided by the largest": lambda *args: _counted(*args, weights=lambda w: w / w.max()),
        "the counts are squared:": lambda *args: _counted(*args, weights=lambda w: w**2 / w.sum()),
        "their squares summed": lambda *args: _counted(
            *args, weights=lambda w: w**2 / (w**2).sum()
        ),
        "summed over the rows": lambda *args: _counted(*args).sum(0),
        "the softmax is missing": lambda logits, Y, w: _counted(logits, Y, w, p=0 * logits),
        "log p is used": lambda logits, Y, w: _counted(logits, Y, w, p=logits.log_softmax(1)),
        "down the columns": lambda logits, Y, w: _counted(logits, Y, w, p=logits.softmax(0)),
        "logits less the one-hot": lambda logits, Y, w: _counted(logits, Y, w, p=logits),
        "the logistic function": lambda logits, Y, w: _counted(logits, Y, w, p=logits.sigmoid()),
        "this is the loss": lambda logits, Y, w: (
            (functional.cross_entropy(logits, Y, reduction="none") * w).sum() / w.sum()
        ),
        "the counts are not used": lambda *args: _counted(
            *args, weights=lambda w: torch.ones_like(w) / len(w)
        ),
    },
    "linear_backward": {
        "in another order: dx, dW, db": lambda *args: [*_linear(*args)[1:], _linear(*args)[0]],
        "dx comes first": lambda *args: [_linear(*args)[i] for i in (1, 0, 2)],
        "an axis for the examples": lambda x, W, dy: (
            dy @ W,
            dy[..., :, None] * x[..., None, :],
            _rows(dy).sum(0),
        ),
        "dW has an axis too many": lambda x, W, dy: (dy @ W, dy.mT @ x, dy.sum(0)),
        "alone: sum over all axes in front": lambda x, W, dy: (
            dy @ W,
            _rows(dy).T @ _rows(x),
            dy.sum(0),
        ),
        "for W is (fan_out, fan_in)": lambda x, W, dy: (
            dy @ W,
            _rows(x).T @ _rows(dy),
            _rows(dy).sum(0),
        ),
        "dx is divided": lambda *args: [
            _linear(*args)[0] / len(_rows(args[0])),
            *_linear(*args)[1:],
        ],
        "db is one number": lambda x, W, dy: [*_linear(x, W, dy)[:2], dy.sum()],
        "db is not summed": lambda x, W, dy: [*_linear(x, W, dy)[:2], dy],
        "db keeps an axis": lambda *args: [*_linear(*args)[:2], _linear(*args)[2][None]],
        "in all three": lambda *args: [-t for t in _linear(*args)],
        "b is added": lambda *args: [*_linear(*args)[:2], -_linear(*args)[2]],
        "all three are divided": lambda *args: [t / len(_rows(args[0])) for t in _linear(*args)],
    },
    "tied_table_gradient": {
        "the look-ups are subtracted": lambda *args: _tied(*args, a=-1),
        "the look-ups are counted twice": lambda *args: _tied(*args, a=2),
        "share is counted twice": lambda *args: _tied(*args, b=2),
        "the two shares are averaged": lambda *args: _tied(*args) / 2,
        "the two shares are multiplied": lambda *args: _tied(*args, b=0) * _tied(*args, a=0),
        "dC has the shape of C": lambda *args: _tied(*args).T,
        "divided by the number of examples": lambda *args: _tied(*args) / len(args[0]),
        "in the order in which they come": _tied_order,
        "only the first character": lambda X, dx, h, dl: _tied(
            X[:, :1], dx[:, : h.shape[1]], h, dl
        ),
        "only the last character": lambda X, dx, h, dl: _tied(
            X[:, -1:], dx[:, -h.shape[1] :], h, dl
        ),
        "read backwards": lambda X, *rest: _tied(X.flip(1), *rest),
        "no activation lies between": lambda X, dx, h, dl: _tied(X, dx, h.tanh(), dl),
    },
    "repaired_backward": {
        "where z is exactly 0": lambda *args: _network_pass(
            *args, slope=lambda z, dh: dh * (z >= 0)
        ),
        "the slope is turned round": lambda *args: _network_pass(
            *args, slope=lambda z, dh: dh * (z < 0)
        ),
        "nothing passes": lambda *args: _network_pass(*args, slope=lambda z, dh: 0 * dh),
        "the sign of z multiplies": lambda *args: _network_pass(
            *args, slope=lambda z, dh: dh * z.sign()
        ),
        "lost its sign": lambda *args: _network_pass(*args, slope=lambda z, dh: dh.abs() * (z > 0)),
        "both z and dh decide": lambda *args: _network_pass(
            *args, slope=lambda z, dh: dh.relu() * (z > 0)
        ),
        "ReLU is applied to z": lambda *args: _network_pass(*args, slope=lambda z, dh: z.relu()),
        "dW1, db1, dW2, db2": lambda *args: _network_pass(*args)[2:] + _network_pass(*args)[:2],
        "softmax minus one-hot": lambda *args: [-t for t in _network_pass(*args)],
        "the number of characters": lambda *args: [t / len(args[5]) for t in _network_pass(*args)],
        "divided by n twice": lambda *args: [t / len(args[1]) for t in _network_pass(*args)],
    },
}
