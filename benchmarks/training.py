"""How fast is `train.sgd`? Side by side with the plain autograd loop and the bare matrix products.

Run with `make bench`. Every figure is the median over rounds; within a round each way runs in
turn, so that a busy machine slows them all. The ratios are what to read.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mlpinit import corpus, init, train
from mlpinit.corpus import Contexts
from mlpinit.params import Architecture, Params

BATCH = 32


def start(seed: int) -> tuple[Params, Generator]:
    g = torch.Generator().manual_seed(seed)
    return init.draw(Architecture(), init.UNSCALED, generator=g), g


def autograd_loop(data: Contexts, steps: int, seed: int) -> Tensor:
    """The loop of the article: one network, plain autograd, an update a tensor."""
    params, g = start(seed)
    C, W1, b1, W2, b2 = parameters = [t.requires_grad_() for t in params.tensors()]
    losses = []
    for i in range(steps):
        ix = torch.randint(0, len(data), (BATCH,), generator=g)
        Xb, Yb = data.X[ix], data.Y[ix]
        emb = C[Xb]
        h = torch.tanh(emb.view(emb.shape[0], -1) @ W1 + b1)
        loss = F.cross_entropy(h @ W2 + b2, Yb)
        for p in parameters:
            p.grad = None
        loss.backward()
        lr = 0.1 if i < steps / 2 else 0.01
        for p in parameters:
            p.data += -lr * p.grad
        losses.append(loss.log10().item())
    return 10 ** torch.tensor(losses, dtype=torch.float64)


def ours(data: Contexts, steps: int, seeds: list[int]) -> Tensor:
    """`train.sgd`: one network as it is, several stacked. Losses (len(seeds), steps)."""
    drawn = [start(seed) for seed in seeds]
    if len(drawn) == 1:
        params, g = drawn[0]
        return train.sgd(params, data, steps=steps, generator=g, progress=False).losses[None]
    params = init.stack([p for p, _ in drawn])
    generators = [g for _, g in drawn]
    return train.sgd(params, data, steps=steps, generator=generators, progress=False).losses


def bare_products(steps: int, n_runs: int) -> None:
    """The six matrix products of a step and nothing else: no step can take less than these."""
    lead = (n_runs,) if n_runs > 1 else ()
    g = torch.Generator().manual_seed(0)
    x, W1, h, W2, dlogits = (
        torch.randn(*lead, *shape, generator=g)
        for shape in ((BATCH, 30), (30, 200), (BATCH, 200), (200, 27), (BATCH, 27))
    )
    with torch.inference_mode():
        for _ in range(steps):
            x @ W1
            h @ W2
            h.mT @ dlogits
            dlogits @ W2.mT
            x.mT @ h
            h @ W1.mT


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    data, steps = corpus.split(corpus.load()).train, args.steps

    want = torch.stack([autograd_loop(data, steps, seed) for seed in range(16)])
    for n in (1, 8, 16):
        apart = (ours(data, steps, list(range(n))) - want[:n]).abs().max().item()
        print(f"largest difference of a loss to the autograd loop's, {n:2d} networks: {apart:.1e}")
        if apart > 1e-3:
            raise SystemExit("the losses differ: there is nothing to compare")

    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "autograd loop, 1 network": (1, lambda: autograd_loop(data, steps, 0)),
    }
    for n in (1, 8, 16):
        networks = "1 network" if n == 1 else f"{n} networks"
        ways[f"train.sgd, {networks}"] = n, partial(ours, data, steps, list(range(n)))
        ways[f"bare products, {networks}"] = n, partial(bare_products, steps, n)
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, (n, work) in ways.items():
            rounds[name].append(seconds(work) / steps / n)

    loop = rounds["autograd loop, 1 network"]
    print(f"\ntorch {torch.__version__}, {torch.get_num_threads()} threads, ", end="")
    print(f"{args.rounds} rounds of {steps} steps\n")
    heads = ("µs a step and network", "times the loop: median", "least", "most")
    print(f"{'way':28s}{heads[0]:>23s}{heads[1]:>25s}{heads[2]:>8s}{heads[3]:>8s}")
    for name, times in rounds.items():
        ratios = [a / b for a, b in zip(loop, times, strict=True)]
        middle = statistics.median(times) * 1e6
        print(
            f"{name:28s}{middle:23.1f}{statistics.median(ratios):25.2f}"
            f"{min(ratios):8.2f}{max(ratios):8.2f}"
        )


if __name__ == "__main__":
    main()
