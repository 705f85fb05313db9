"""Stochastic gradient descent with the hand-written gradients, for one network or K at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from tqdm import tqdm

from mlpinit import activations, mlp, normalize
from mlpinit.corpus import Contexts, distinct
from mlpinit.normalize import Normalized, Statistics
from mlpinit.params import Params
from mlpinit.progress import bar
from mlpinit.threads import one_thread

__all__ = [
    "Run",
    "TrainingDivergedError",
    "as_schedule",
    "calibrate",
    "evaluate",
    "halves",
    "sgd",
]

BLOCK = 200  # steps between two looks at the losses, the progress bar and the generators, at most
ONE_HOT = 1 << 20  # entries of the one-hot vectors of a block's batches, to stay near the processor
CHUNK = 1024  # contexts at a time in `evaluate`, those of all runs together: they stay in the cache
LEAST_CHUNK = 128  # and of each run

Schedule = Callable[[int], float]


class TrainingDivergedError(RuntimeError):
    """A loss that stopped being finite; the message names the step."""


@dataclass(frozen=True)
class Run:
    """What training leaves behind. `...` are the leading run axes of the parameters.

    - `losses`: (..., steps), the mean cross-entropy of each step's batch before its update, nats
    - `snapshots`: step → the parameters before that step's update
    - `params`: the parameters after the last step
    - `statistics`: batch norm's running mean and variance after the last step; None without it
    """

    losses: Tensor
    snapshots: dict[int, Params]
    params: Params
    statistics: Statistics | None = None

    def run(self, k: int) -> Run:
        """That of network `k` of K."""
        if self.losses.ndim == 1:
            raise ValueError("this run is of one network; only that of a stack has runs to pick")
        return Run(
            self.losses[k],
            {step: params.run(k) for step, params in self.snapshots.items()},
            self.params.run(k),
            self.statistics and self.statistics.run(k),
        )


def halves(steps: int, first: float = 0.1, second: float = 0.01) -> Schedule:
    """The book's schedule: `first` for the first half of the steps, then `second`.

    >>> schedule = halves(200_000)
    >>> schedule(99_999), schedule(100_000)
    (0.1, 0.01)
    """
    return lambda step: first if step < steps / 2 else second


def as_schedule(lr: float | Schedule | None, steps: int) -> Schedule:
    """The learning rate of every step, from what `sgd` takes: a number, a function, or None."""
    if lr is None:
        return halves(steps)
    return lr if callable(lr) else lambda step: lr


@one_thread()
def sgd(
    params: Params,
    contexts: Contexts,
    *,
    steps: int,
    generator: Generator | Sequence[Generator],
    batch_size: int = 32,
    lr: float | Schedule | None = None,
    snapshots: Collection[int] = (),
    frozen: Collection[str] = (),
    momentum: float = 0.001,
    progress: bool | None = None,
) -> Run:
    """Train by plain stochastic gradient descent: θ ← θ − lr · ∂ℓ/∂θ on random batches.

    - `params`: one network, or K (`init.stack`); they are not changed
    - `contexts`: X (n, block_size) and Y (n,) int64, as `corpus.split` gives them
    - `generator`: draws the batches, `torch.randint(0, n, (batch_size,))` a step; K networks take
      one generator each. Training K at once gives what training each alone gives
    - `lr`: a number, a function of the step, or None for `halves(steps)`
    - `snapshots`: steps before whose update the parameters are kept; `steps` is the end
    - `frozen`: tensors left as they are, by their names in `Params.names()`, e.g. `("C",)`
    - `momentum`: how far batch norm's running statistics move towards each batch's, which is 0.1 in
      PyTorch; at 0.001 they average over about the last thousand batches
    - `progress`: a bar on stderr; None shows it in a terminal and a notebook

    Raises `ValueError` for arguments that do not fit, before any work is done, and
    `TrainingDivergedError`, which names the step, when a loss stops being finite.
    """
    generators = _checked_generators(params, generator)
    _check_run(
        params, contexts, steps=steps, batch_size=batch_size, snapshots=snapshots, frozen=frozen
    )
    if not 0 < momentum <= 1:
        raise ValueError(f"momentum is {momentum!r}; wanted a number above 0, at most 1")
    schedule = as_schedule(lr, steps)
    params, vector = params.turned().pack()
    both = mlp.Pass(params, batch_size=batch_size, fast=True)
    running = _Running(params, momentum) if params.arch.normalize == "batch" else None
    still = [
        d
        for name, d in zip(params.names(), both.gradients.tensors(), strict=True)
        if name in frozen
    ]
    kept: dict[int, Params] = {}
    losses = torch.empty(*params.lead, steps, dtype=params.C.dtype)
    wanted = frozenset(snapshots)
    for start, X, Y in _batches(
        params, contexts, steps, batch_size, generators=generators, progress=progress
    ):
        # Inference mode: no autograd bookkeeping, a third of the time of so small a step.
        with torch.inference_mode():
            written = both.output.z.new_empty(len(X), *both.output.z.shape)  # the block's logits
            prepared = (both.rows(X).flatten(1), both.places(X), both.targets(Y), written)
            batches = zip(*(t.unbind(0) for t in prepared), strict=True)
            for step, (rows, places, targets, out) in enumerate(batches, start):
                if step in wanted:
                    kept[step] = _keep(params)
                inputs, zs, logits = both.forward(rows, out)
                both.backward(places, targets, inputs, zs, logits)
                for gradient in still:
                    gradient.zero_()
                vector.add_(both.gradient_vector, alpha=-schedule(step))
                if running:
                    running.add(both.normalized)
            block = mlp.loss(both.output.turn(written), Y)  # (block, ...)
        _check_finite(block, start)
        losses[..., start : start + len(X)] = block.movedim(0, -1)
    if steps in wanted:
        kept[steps] = params.clone()
    return Run(losses, kept, params.clone(), running and running.statistics())


class _Running:
    """Batch norm's running statistics: s ← s + momentum · (the batch's − s), from 0 and 1.

    The batch's variance is the unbiased one here, as in PyTorch.
    """

    def __init__(self, params: Params, momentum: float) -> None:
        self.momentum = momentum
        self.mean = [torch.zeros_like(b) for b in params.b[:-1]]
        self.var = [torch.ones_like(b) for b in params.b[:-1]]

    def add(self, normalized: Sequence[Normalized]) -> None:
        n = normalized[0].z_hat.size(-2)
        for mean, var, found in zip(self.mean, self.var, normalized, strict=True):
            mean.lerp_(found.mean.squeeze(-2), self.momentum)
            var.lerp_(found.var.squeeze(-2) * (n / (n - 1)), self.momentum)

    def statistics(self) -> Statistics:
        with torch.inference_mode(False):
            return Statistics(tuple(self.mean), tuple(self.var)).map(torch.clone)


@one_thread()
def calibrate(params: Params, contexts: Contexts) -> Statistics:
    """Batch norm's mean and variance over a whole data set, layer by layer, for evaluation.

    Exact where running averages are noisy and late. Each layer's are taken with the layers below
    already normalised by theirs; distinct contexts are computed once and weighted by their counts.

    Raises `ValueError` for a network without batch norm or an empty set.
    """
    if params.arch.normalize != "batch":
        raise ValueError(f"normalize is {params.arch.normalize!r}; only 'batch' has statistics")
    mlp.check_contexts(params, contexts.X)
    if not len(contexts):
        raise ValueError("there are no contexts to calibrate on")
    unique = distinct(contexts)
    weights = unique.counts.to(params.C.dtype)
    share = (weights / weights.sum()).unsqueeze(-1)  # (distinct, 1)
    x = mlp.forward(params, unique.X, check=False).embeddings  # (..., distinct, fan_in)
    f = activations.get(params.arch.activation).f
    means, variances = [], []
    for W, b, gain in zip(params.W, params.b, params.gain, strict=False):
        z = x @ W
        mean = (z * share).sum(-2)
        var = ((z - mean.unsqueeze(-2)).square_() * share).sum(-2)
        means.append(mean)
        variances.append(var)
        z_hat = normalize.forward(z, normalize.get("batch"), (mean, var)).z_hat
        x = f(torch.addcmul(b.unsqueeze(-2), z_hat, gain.unsqueeze(-2)))
    return Statistics(tuple(means), tuple(variances))


@one_thread()
def evaluate(params: Params, contexts: Contexts, *, statistics: Statistics | None = None) -> Tensor:
    """Mean cross-entropy over all contexts, in nats, shape (...): one number a run.

    Each distinct context is computed once, and its targets weighted by their counts.
    A network with batch norm needs `statistics`: those of its `Run`, or `calibrate`'s.
    """
    mlp.check_evaluation(params.arch, statistics)
    mlp.check_contexts(params, contexts.X)
    n = len(contexts)
    if n == 0:
        raise ValueError("there are no contexts to evaluate on; a split of this corpus is empty")
    ready = mlp.Pass(params, statistics, fast=True)
    total = torch.zeros(params.lead, dtype=torch.float64)
    with torch.no_grad():
        for X, entries, counts in _distinct_pairs(contexts, params):
            logits = ready.output.turn(ready.forward(ready.rows(X).reshape(-1))[-1])
            losses = -logits.log_softmax(-1).flatten(-2)[..., entries]  # (..., pairs)
            total += losses.double() @ counts
    return total / n


def _distinct_pairs(contexts: Contexts, params: Params) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Distinct contexts, some at a time, with the targets that each has, once, and their counts.

    - X: (contexts, block_size)
    - entries: (pairs,), where the pair's target stands in logits (contexts, vocab_size), flat
    - counts: (pairs,) float64, how often the pair occurs
    """
    vocab_size = params.arch.vocab_size
    pairs = distinct(Contexts(torch.cat([contexts.X, contexts.Y[:, None]], 1), contexts.Y))
    X, Y = pairs.X[:, :-1], pairs.X[:, -1]
    first = torch.ones_like(Y, dtype=torch.bool)  # they are sorted: of each context's pairs
    first[1:] = (X[1:] != X[:-1]).any(1)
    row = first.cumsum(0) - 1
    size = max(LEAST_CHUNK, CHUNK // max(params.lead.numel(), 1))
    shares = torch.bincount(row // size).tolist()
    entries = row % size * vocab_size + Y
    chunks = (X[first].split(size), entries.split(shares), pairs.counts.double().split(shares))
    return zip(*chunks, strict=True)


def _batches(
    params: Params,
    contexts: Contexts,
    steps: int,
    batch_size: int,
    *,
    generators: Sequence[Generator],
    progress: bool | None,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(first step, X, Y) a block of steps: X (block, ..., batch_size, block_size).

    Drawing a block at once gives the numbers that a draw a step gives.
    """
    n = len(contexts.Y)
    arch, examples = params.arch, params.lead.numel() * batch_size
    step_entries = examples * arch.vocab_size * (arch.block_size + 1)
    block = max(1, min(BLOCK, ONE_HOT // step_entries))
    with tqdm(total=steps, unit="step", **bar(progress)) as shown:
        for start in range(0, steps, block):
            size = (min(block, steps - start), batch_size)
            draws = [torch.randint(0, n, size, generator=g) for g in generators]
            rows = torch.stack(draws, 1).view(size[0], *params.lead, batch_size)
            yield start, contexts.X[rows], contexts.Y[rows]
            shown.update(size[0])


def _keep(params: Params) -> Params:
    """A copy that can be used outside inference mode."""
    with torch.inference_mode(False):
        return params.clone()


def _checked_generators(params: Params, generator: Generator | Sequence[Generator]) -> list:
    given = [generator] if isinstance(generator, Generator) else list(generator)
    n_runs = params.lead.numel()
    if len(given) != n_runs or len({id(g) for g in given}) != n_runs:
        raise ValueError(
            f"{len(given)} generators for {n_runs} networks; pass one each, none of them twice"
        )
    return given


def _check_run(
    params: Params,
    contexts: Contexts,
    *,
    steps: int,
    batch_size: int,
    snapshots: Collection[int],
    frozen: Collection[str],
) -> None:
    mlp.check_contexts(params, contexts.X)
    if contexts.X.ndim != 2 or contexts.Y.shape != contexts.X.shape[:1] or not len(contexts.Y):
        shapes = f"X {tuple(contexts.X.shape)} and Y {tuple(contexts.Y.shape)}"
        raise ValueError(
            f"contexts are {shapes}; wanted X (n, block_size) and Y (n,), n at least 1"
        )
    # The variance of one example is 0, and batch norm would make every unit's output its bias.
    fewest = 2 if params.arch.normalize == "batch" else 1
    for name, value, least in (("steps", steps, 0), ("batch_size", batch_size, fewest)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} is {value!r}; wanted a whole number, {least} or more")
    if outside := [s for s in snapshots if not 0 <= s <= steps]:
        raise ValueError(f"snapshots at {outside} are outside the run; wanted 0 to {steps}")
    if unknown := set(frozen) - set(params.names()):
        names = ", ".join(params.names())
        raise ValueError(f"no tensors named {sorted(unknown)} to freeze; there are {names}")


def _check_finite(losses: Tensor, start: int) -> None:
    """losses: (block, ...). Raise for the first step whose loss is not finite in every run."""
    bad = ~losses.isfinite()
    if not bad.any():
        return
    step, *run = bad.nonzero()[0].tolist()
    where = f"step {start + step}" + (f" of run {run[0]}" if run else "")
    raise TrainingDivergedError(
        f"the loss is {losses[step, *run].item()} at {where}; try a smaller learning rate or start"
    )
