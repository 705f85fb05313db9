"""How fast is `train.sgd`? Beside the plain autograd loop, JAX and the bare matrix products.

Run with `make bench`. Every figure is the median over rounds; within a round each way runs in
turn, so that a busy machine slows them all. The ratios are what to read. Each way runs on torch's
default threads and on one, and all of them once more beside two processes that only spin.

JAX is compared where it is installed (`pip install jax`), on one thread, and passed over otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mlpinit import corpus, init, train
from mlpinit.corpus import Contexts
from mlpinit.params import Architecture, Params

BATCH = 32
RUNS = (1, 5, 16)  # networks at once
SPINNING = 2  # processes that keep a busy machine busy
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def start(seed: int) -> tuple[Params, Generator]:
    g = torch.Generator().manual_seed(seed)
    return init.draw(Architecture(), init.QUIET_OUTPUT, generator=g), g


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


def jax_scan(data: Contexts, steps: int, seeds: list[int]) -> Tensor:
    """The same in JAX: one compiled `scan` over all steps, `vmap` over the networks."""
    import jax  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    drawn = [start(seed) for seed in seeds]
    tensors = zip(*(params.tensors() for params, _ in drawn), strict=True)
    stacked = [np.stack([t.numpy() for t in same]) for same in tensors]
    draws = [torch.randint(0, len(data), (steps, BATCH), generator=g) for _, g in drawn]
    rows = torch.stack(draws, 1)  # (steps, runs, batch)
    rates = np.where(np.arange(steps) < steps / 2, 0.1, 0.01).astype("float32")
    batches = data.X[rows].numpy(), data.Y[rows].numpy(), rates
    if len(seeds) == 1:
        stacked = [t[0] for t in stacked]
        batches = batches[0][:, 0], batches[1][:, 0], rates
    losses = jax_run(several=len(seeds) > 1)(stacked, batches)
    return torch.from_numpy(np.array(jax.block_until_ready(losses))).view(steps, -1).T


@cache
def jax_run(*, several: bool) -> Callable:
    """The compiled loop from (parameters, batches) to losses (steps, ...)."""
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415

    def loss(parameters, X, Y):
        C, W1, b1, W2, b2 = parameters
        h = jnp.tanh(C[X].reshape(len(X), -1) @ W1 + b1)
        return -jnp.take_along_axis(jax.nn.log_softmax(h @ W2 + b2), Y[:, None], 1).mean()

    def update(parameters, X, Y, lr):
        value, gradients = jax.value_and_grad(loss)(parameters, X, Y)
        return jax.tree.map(lambda p, d: p - lr * d, parameters, gradients), value

    step = jax.vmap(update, in_axes=(0, 0, 0, None)) if several else update
    return jax.jit(lambda p, batches: jax.lax.scan(lambda p, b: step(p, *b), p, batches)[1])


@contextlib.contextmanager
def busy_machine() -> Iterator[None]:
    """Keep as many processes spinning as `SPINNING` says."""
    spin = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(spin) for _ in range(SPINNING)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def on_threads(n: int, work: Callable[[], object]) -> None:
    """Run `work` with torch set to n threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        work()
    finally:
        torch.set_num_threads(before)


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def all_ways(data: Contexts, steps: int) -> dict[str, tuple[int, Callable[[], object]]]:
    """Name → (networks, what to time)."""
    default = torch.get_num_threads()
    ways: dict[str, tuple[int, Callable[[], object]]] = {}

    def add(name: str, n: int, work: Callable[[], object]) -> None:
        for threads in sorted({1, default}):
            ways[f"{name}, {n}, threads {threads}"] = n, partial(on_threads, threads, work)

    add("autograd loop", 1, partial(autograd_loop, data, steps, 0))
    for n in RUNS:
        add("train.sgd", n, partial(ours, data, steps, list(range(n))))
        add("bare products", n, partial(bare_products, steps, n))
        if find_spec("jax"):
            ways[f"JAX, {n}, threads 1"] = n, partial(jax_scan, data, steps, list(range(n)))
    return ways


def measure(ways: dict[str, tuple[int, Callable[[], object]]], steps: int, rounds: int) -> None:
    """Time the ways in turn, and print a table."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (n, work) in ways.items():
            times[name].append(seconds(work) / steps / n)
    loop = times["autograd loop, 1, threads 1"]
    heads = ("µs a step and network", "times the loop: median", "least", "most")
    print(f"{'way, networks':32s}{heads[0]:>23s}{heads[1]:>25s}{heads[2]:>8s}{heads[3]:>8s}")
    for name, found in times.items():
        ratios = [a / b for a, b in zip(loop, found, strict=True)]
        middle = statistics.median(found) * 1e6
        print(
            f"{name:32s}{middle:23.1f}{statistics.median(ratios):25.2f}"
            f"{min(ratios):8.2f}{max(ratios):8.2f}"
        )


def check(data: Contexts, steps: int) -> None:
    """Stop unless all ways compute the same."""
    want = torch.stack([autograd_loop(data, steps, seed) for seed in range(max(RUNS))])
    for n in RUNS:
        for name, way in {"train.sgd": ours, "JAX": jax_scan}.items():
            if name == "JAX" and not find_spec("jax"):
                continue
            apart = (way(data, steps, list(range(n))) - want[:n]).abs().max().item()
            print(f"largest difference of a loss to the autograd loop's, {name}, {n}: {apart:.1e}")
            if apart > 1e-3:
                raise SystemExit("the losses differ: there is nothing to compare")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    os.environ.setdefault("XLA_FLAGS", ONE_THREAD)  # before JAX is imported
    data = corpus.split(corpus.load()).train
    check(data, args.steps)
    ways = all_ways(data, args.steps)
    print(f"\ntorch {torch.__version__}, {args.rounds} rounds of {args.steps} steps\n")
    measure(ways, args.steps, args.rounds)
    steps = max(1, args.steps // 10)  # a busy machine may take forty times as long
    print(f"\nbeside {SPINNING} spinning processes, {args.rounds} rounds of {steps} steps\n")
    with busy_machine():
        measure(all_ways(data, steps), steps, args.rounds)


if __name__ == "__main__":
    main()
