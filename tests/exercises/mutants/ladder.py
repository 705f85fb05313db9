"""Answers to chapter 13 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import statistics

import torch


def paired_interval__wrong_by_place(seeds_a, a, seeds_b, b, t):
    """match equal seeds"""
    n = min(len(a), len(b))
    d = b[:n] - a[:n]
    return d.mean().item(), (t * d.std() / n**0.5).item()


def _sorted(seeds_a, a, seeds_b, b):
    keep_a, keep_b = torch.isin(seeds_a, seeds_b), torch.isin(seeds_b, seeds_a)
    return (
        a[keep_a][seeds_a[keep_a].argsort()],
        b[keep_b][seeds_b[keep_b].argsort()],
    )


def paired_interval__wrong_unpaired(seeds_a, a, seeds_b, b, t):
    """take the differences first"""
    a, b = _sorted(seeds_a, a, seeds_b, b)
    half = t * ((a.var() + b.var()) / len(a)) ** 0.5
    return (b.mean() - a.mean()).item(), half.item()


def paired_interval__wrong_no_root(seeds_a, a, seeds_b, b, t):
    """lacks the division by the root"""
    a, b = _sorted(seeds_a, a, seeds_b, b)
    return (b - a).mean().item(), (t * (b - a).std()).item()


def paired_interval__wrong_direction(seeds_a, a, seeds_b, b, t):
    """this is A's loss less B's"""
    a, b = _sorted(seeds_a, a, seeds_b, b)
    return (a - b).mean().item(), (t * (b - a).std() / len(a) ** 0.5).item()


def paired_interval__wrong_biased(seeds_a, a, seeds_b, b, t):
    """divides by n − 1"""
    a, b = _sorted(seeds_a, a, seeds_b, b)
    return (b - a).mean().item(), (t * (b - a).std(correction=0) / len(a) ** 0.5).item()


def paired_interval__wrong_ends(seeds_a, a, seeds_b, b, t):
    """the two ends of the interval"""
    a, b = _sorted(seeds_a, a, seeds_b, b)
    mean, half = (b - a).mean().item(), (t * (b - a).std() / len(a) ** 0.5).item()
    return mean - half, mean + half


def paired_interval__right_sorted(seeds_a, a, seeds_b, b, t):
    a, b = _sorted(seeds_a, a, seeds_b, b)
    d = b - a
    return d.mean(), t * d.std() / len(d) ** 0.5


def paired_interval__right_dictionaries(seeds_a, a, seeds_b, b, t):
    of_b = dict(zip(seeds_b.tolist(), b.tolist(), strict=True))
    pairs = zip(seeds_a.tolist(), a.tolist(), strict=True)
    d = [of_b[seed] - loss for seed, loss in pairs if seed in of_b]
    return statistics.mean(d), t * statistics.stdev(d) / len(d) ** 0.5


def curve_band__wrong_all_steps(losses, block):
    """average each seed's block first"""
    n = losses.shape[1] // block
    cut = losses[:, : n * block].reshape(len(losses), n, block)
    return cut.mean((0, 2)), cut.std((0, 2))


def curve_band__wrong_each_step(losses, block):
    """the seeds' spread at each step"""
    n = losses.shape[1] // block
    cut = losses[:, : n * block].reshape(len(losses), n, block)
    return cut.mean((0, 2)), cut.std(0).mean(1)


def curve_band__wrong_biased(losses, block):
    """divides by n − 1, not by n"""
    n = losses.shape[1] // block
    points = losses[:, : n * block].reshape(len(losses), n, block).mean(2)
    return points.mean(0), points.std(0, correction=0)


def curve_band__wrong_last_block_kept(losses, block):
    """leave it out"""
    points = torch.stack([part.mean(1) for part in losses.split(block, dim=1)], 1)
    return points.mean(0), points.std(0)


def curve_band__wrong_variance(losses, block):
    """these are the variances"""
    n = losses.shape[1] // block
    points = losses[:, : n * block].reshape(len(losses), n, block).mean(2)
    return points.mean(0), points.var(0)


def curve_band__right_unfold(losses, block):
    points = losses.unfold(1, block, block).mean(-1)
    return points.mean(0), points.std(0)


def curve_band__right_slow_loop(losses, block):
    means, spreads = [], []
    for start in range(0, losses.shape[1] // block * block, block):
        points = torch.stack([run[start : start + block].mean() for run in losses])
        means.append(points.mean())
        spreads.append(points.std())
    return torch.stack(means), torch.stack(spreads)


def _interval(seeds_a, a, seeds_b, b, t, *, made=lambda d: d, spread=torch.std, root=None):
    a, b = _sorted(seeds_a, a, seeds_b, b)
    d = made(b - a)
    return d.mean().item(), (t * spread(d) / (len(d) if root is None else root) ** 0.5).item()


def _points(losses, block):
    n = losses.shape[1] // block
    return losses[:, : n * block].reshape(len(losses), n, block)


def _figures(points):
    return points.mean(0), points.std(0)


WRONG = {
    "paired_interval": {
        "number of seeds that either side": lambda sa, a, sb, b, t: _interval(
            sa, a, sb, b, t, root=len({*sa.tolist(), *sb.tolist()})
        ),
        "and their standard deviation divides by n": lambda sa, a, sb, b, t: _interval(
            sa, a, sb, b, t, spread=lambda d: d.std(correction=0), root=1
        ),
        "number of A's runs": lambda sa, a, sb, b, t: _interval(sa, a, sb, b, t, root=len(a)),
        "number of B's runs": lambda sa, a, sb, b, t: _interval(sa, a, sb, b, t, root=len(b)),
        "number of all runs": lambda sa, a, sb, b, t: _interval(
            sa, a, sb, b, t, root=len(a) + len(b)
        ),
        "n − 1 is inside the standard deviation": lambda sa, a, sb, b, t: _interval(
            sa, a, sb, b, t, root=len(_sorted(sa, a, sb, b)[0]) - 1
        ),
        "divide by its root": lambda sa, a, sb, b, t: _interval(
            sa, a, sb, b, t, root=len(_sorted(sa, a, sb, b)[0]) ** 2
        ),
        "this is the variance": lambda *args: _interval(*args, spread=torch.var),
        "the quantile t is left out": lambda sa, a, sb, b, t: _interval(sa, a, sb, b, 1.0),
        "the median": lambda sa, a, sb, b, t: (
            torch.median(torch.sub(*_sorted(sa, a, sb, b)[::-1])).item()
            if len(_sorted(sa, a, sb, b)[0]) % 2
            else torch.quantile(torch.sub(*_sorted(sa, a, sb, b)[::-1]), 0.5).item(),
            _interval(sa, a, sb, b, t)[1],
        ),
        "the signs of the differences are dropped": lambda *args: _interval(*args, made=torch.abs),
        "from end to end": lambda *args: (_interval(*args)[0], 2 * _interval(*args)[1]),
        "the mean comes first": lambda *args: _interval(*args)[::-1],
        "this is the spread of the differences alone": lambda sa, a, sb, b, t: _interval(
            sa, a, sb, b, 1.0, root=1
        ),
        "take the differences first": lambda sa, a, sb, b, t: (
            (b.mean() - a.mean()).item(),
            (t * (a.var() / len(a) + b.var() / len(b)) ** 0.5).item(),
        ),
        "relative to A's loss": lambda sa, a, sb, b, t: _interval(
            sa,
            torch.zeros_like(a),
            sb,
            torch.tensor(
                [
                    ((y - a[sa == s]) / a[sa == s]).item() if s in sa else 0.0
                    for s, y in zip(sb, b, strict=True)
                ]
            ),
            t,
        ),
    },
    "curve_band": {
        "no root; and its standard deviation": lambda losses, block: (
            _points(losses, block).mean((0, 2)),
            _points(losses, block).mean(2).std(0, correction=0) / len(losses) ** 0.5,
        ),
        "no root; and its root is that of n − 1": lambda losses, block: (
            _points(losses, block).mean((0, 2)),
            _points(losses, block).mean(2).std(0) / (len(losses) - 1) ** 0.5,
        ),
        "this is the standard error": lambda losses, block: (
            _points(losses, block).mean((0, 2)),
            _points(losses, block).mean(2).std(0) / len(losses) ** 0.5,
        ),
        "the mean comes first": lambda x, block: _figures(_points(x, block).mean(2))[::-1],
        "the curve of the first seed": lambda x, block: (
            _points(x, block).mean(2)[0],
            _points(x, block).mean(2).std(0),
        ),
        "the last step of each block": lambda x, block: _figures(_points(x, block)[..., -1]),
        "the first step of each block": lambda x, block: _figures(_points(x, block)[..., 0]),
        "these are the sums": lambda x, block: _figures(_points(x, block).sum(2)),
        "dealt out": lambda x, block: _figures(
            x[:, : x.shape[1] // block * block].reshape(len(x), block, -1).mean(1)
        ),
        "taken off at the beginning": lambda x, block: _figures(
            _points(x[:, x.shape[1] % block :], block).mean(2)
        ),
        "this is the median": lambda x, block: (
            _points(x, block).mean(2).quantile(0.5, 0),
            _points(x, block).mean(2).std(0),
        ),
        "the windows overlap": lambda x, block: _figures(x.unfold(1, block, 1).mean(2)),
        "the range": lambda x, block: (
            _points(x, block).mean((0, 2)),
            torch.sub(*_points(x, block).mean(2).aminmax(dim=0)[::-1]),
        ),
        "not gathered": lambda x, block: _figures(x),
        "the band is doubled": lambda x, block: (
            _points(x, block).mean((0, 2)),
            2 * _points(x, block).mean(2).std(0),
        ),
        "step to step": lambda x, block: (
            _points(x, block).mean((0, 2)),
            _points(x, block).std(2).mean(0) if block > 1 else _points(x, block).std((0, 2)),
        ),
    },
}
