"""What does watching cost, and what does it find? Beside the bare loop and other tools.

Run with `make bench-watch`. First the price of `mlpinit.watch`: the time of a watched training step
(forward, backward, SGD) over that of the bare step beside it, for four models. Then four networks
of 200 units whose dead are known, and what each tool says of them. Within a round the ways run in
turn, so that a busy machine slows them all; the ratios are what to read.

fastai is compared when it is installed (`pip install "fastai>=2.8"`), and passed over otherwise.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlpinit import corpus, init, mlp
from mlpinit.watch import watch

LR = 0.01


@dataclass
class Task:
    """A model, one batch for it, and how many steps a round takes."""

    model: nn.Module
    X: Tensor
    Y: Tensor
    steps: int
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        """Plain SGD."""
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LR)

    def run(self, steps: int | None = None) -> float:
        """Seconds a step."""
        begin = time.perf_counter()
        for _ in range(steps or self.steps):
            self.optimizer.zero_grad()
            logits = self.model(self.X)
            F.cross_entropy(logits.flatten(0, -2), self.Y.flatten()).backward()
            self.optimizer.step()
        return (time.perf_counter() - begin) / (steps or self.steps)


def book_mlp() -> Task:
    g = torch.Generator().manual_seed(0)
    params = init.draw(mlp.Architecture(), init.scaled(0.2, 0.01), generator=g)
    data = corpus.split(corpus.load()).train
    rows = torch.randint(0, len(data), (32,), generator=g)
    return Task(mlp.as_module(params), data.X[rows], data.Y[rows], 320)


def small_cnn() -> Task:
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(64 * 7 * 7, 10),
    )  # fmt: skip
    return Task(model, torch.randn(64, 1, 28, 28), torch.randint(0, 10, (64,)), 10)


class Transformer(nn.Module):
    """Two encoder layers of 64 units, 256 in their MLPs."""

    def __init__(self, activation: str) -> None:
        """`activation`: "relu", torch's default, or "gelu"."""
        super().__init__()
        self.embed = nn.Embedding(50, 64)
        layer = nn.TransformerEncoderLayer(
            64, 4, 256, dropout=0.0, activation=activation, batch_first=True
        )
        self.encode = nn.TransformerEncoder(layer, 2)
        self.out = nn.Linear(64, 50)

    def forward(self, X: Tensor) -> Tensor:
        """X: (batch, tokens) int64 → logits (batch, tokens, 50)."""
        return self.out(self.encode(self.embed(X)))


def small_transformer(activation: str) -> Task:
    X, Y = torch.randint(0, 50, (2, 32, 32))
    return Task(Transformer(activation), X, Y, 10)


def price(rounds: int) -> None:
    """The first table: watched steps over bare ones."""
    tasks = {
        "the book's MLP": book_mlp(),
        "small CNN": small_cnn(),
        "small transformer, ReLU": small_transformer("relu"),
        "small transformer, GELU": small_transformer("gelu"),
    }
    head = f"{'model':26s}{'µs a step':>10s}   {'every':>5s}{'times the bare step':>21s}"
    print(f"{head}{'least':>8s}{'most':>8s}{'kB held':>9s}")
    for name, task in tasks.items():
        task.run()
        ratios: dict[int, list[float]] = {1: [], 10: []}
        bare: list[float] = []
        held = {}
        for _ in range(rounds):
            for every, found in ratios.items():
                # Rows of a small layer wait, for up to 40 watched steps, to be counted together.
                steps = task.steps if every == 1 or task.steps < 40 else task.steps * every // 2
                before = task.run(steps)
                with watch(task.model, every) as w:
                    task.run(max(every + 1, steps))  # settle
                    watched = task.run(steps)
                    held[every] = w.nbytes()
                after = task.run(steps)
                found.append(watched / ((before + after) / 2))
                bare.append(before)
        for every, found in ratios.items():
            first = f"{name:26s}{statistics.median(bare) * 1e6:10.0f}" if every == 1 else " " * 36
            print(
                f"{first}   {every:5d}{statistics.median(found):21.3f}"
                f"{min(found):8.3f}{max(found):8.3f}{held[every] / 1024:9.0f}"
            )


# Four networks of 200 units, and what is true of them.


@dataclass
class Patient:
    """A network in training, batches for it, and all of the data."""

    name: str
    model: nn.Sequential
    batches: list[tuple[Tensor, Tensor]]
    X: Tensor

    def dead(self) -> set[int]:
        """The truth: the hidden units whose slope is exactly 0 on every row of the data."""
        with torch.no_grad():
            z = self.model[:3](self.X)  # (rows, 200)
            tanh = isinstance(self.model[3], nn.Tanh)
            live = (1 - z.tanh().square() != 0) if tanh else z > 0
        return set((~live.any(0)).nonzero().flatten().tolist())


def patients(steps: int) -> Iterator[Patient]:
    data = corpus.split(corpus.load()).train
    X = data.X[:20_000]
    for name in ("healthy tanh", "100 stuck tanh", "100 dead ReLUs", "100 sparse ReLUs"):
        g = torch.Generator().manual_seed(0)
        activation = "tanh" if "tanh" in name else "relu"
        arch = mlp.Architecture(activation=activation)
        params = init.draw(arch, init.kaiming(activation), generator=g)
        ix = torch.randint(0, len(data), (steps, 32), generator=g)
        batches = [(data.X[i], data.Y[i]) for i in ix]
        b = params.b[0][:100]
        if "stuck" in name:
            b.copy_(torch.where(torch.arange(100) % 2 == 0, 20.0, -20.0))
        elif "dead" in name:
            b.fill_(-40.0)
        elif "sparse" in name:
            z = mlp.forward(params, X).pre_activations[0][:, :100]
            b -= z.quantile(0.99, dim=0)  # live on one row in a hundred
        yield Patient(name, mlp.as_module(params), batches, X)


def train(patient: Patient, within: Callable[[nn.Module], object] | None = None) -> float:
    """Milliseconds a step of plain training."""
    optimizer = torch.optim.SGD(patient.model.parameters(), lr=LR)
    begin = time.perf_counter()
    for X, Y in patient.batches:
        optimizer.zero_grad()
        F.cross_entropy(patient.model(X), Y).backward()
        optimizer.step()
    return (time.perf_counter() - begin) / len(patient.batches) * 1e3


def judged(found: set[int], true: set[int]) -> str:
    """How many of the dead were found, and how many live units were called dead."""
    false = len(found - true)
    return f"{len(found & true)}/{len(true)} found" + (f", {false} false" if false else "")


def plain(patient: Patient) -> tuple[str, float]:
    return "", train(patient)


def ours(patient: Patient, every: int = 1) -> tuple[str, float]:
    with watch(patient.model, every) as w:
        cost = train(patient)
    report = w.report()
    return judged(set(report.dead().get("3", [])), patient.dead()), cost


@contextmanager
def hooked(module: nn.Module, hook: Callable) -> Iterator[None]:
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def layer_hook(patient: Patient) -> tuple[str, float]:
    """The usual hand-made hook: mean, std and the share near zero, of the layer, each step."""
    kept: list[tuple[float, float, float]] = []

    def hook(module: nn.Module, inputs: object, h: Tensor) -> None:
        h = h.detach()
        near = (h.abs() <= 0.05).float().mean().item()
        kept.append((h.mean().item(), h.std().item(), near))

    with hooked(patient.model[3], hook):
        cost = train(patient)
    mean, std, near = kept[-1]
    return f"mean {mean:.2f}, std {std:.2f}, near 0 {near:.0%}; no unit named", cost


def unit_hook(patient: Patient) -> tuple[str, float]:
    """A more careful one: units that are 0 on every row of the latest batch."""
    kept: list[Tensor] = []

    def hook(module: nn.Module, inputs: object, h: Tensor) -> None:
        kept[:] = [(h.detach() == 0).all(0)]

    with hooked(patient.model[3], hook):
        cost = train(patient)
    return judged(set(kept[0].nonzero().flatten().tolist()), patient.dead()), cost


def fastai_stats(patient: Patient, *, watching: bool = True) -> tuple[str, float]:
    """fastai's `ActivationStats` on the activation, in a `Learner` without a progress bar."""
    import fastai.callback.progress  # noqa: F401, PLC0415 (gives learners no_bar)
    from fastai.callback.hook import ActivationStats  # noqa: PLC0415
    from fastai.data.core import DataLoaders  # noqa: PLC0415
    from fastai.learner import Learner  # noqa: PLC0415
    from fastai.optimizer import SGD  # noqa: PLC0415

    stats = ActivationStats(modules=[patient.model[3]])
    learner = Learner(
        DataLoaders(patient.batches, patient.batches[:1]),
        patient.model,
        loss_func=F.cross_entropy,
        opt_func=SGD,
        cbs=[stats] if watching else [],
    )
    with learner.no_bar(), learner.no_logging():
        begin = time.perf_counter()
        learner.fit(1, lr=LR)
        cost = (time.perf_counter() - begin) / len(patient.batches) * 1e3
    if not watching:
        return "", cost
    last = stats.stats[-1][0]
    said = f"mean {last['mean']:.2f}, std {last['std']:.2f}, near 0 {last['near_zero']:.0%}"
    return f"{said}; no unit named", cost


def fastai_bare(patient: Patient) -> tuple[str, float]:
    return fastai_stats(patient, watching=False)


def compare(steps: int, rounds: int) -> None:
    """The second table: what each way says of the four networks, and its price a step."""
    ways: dict[str, tuple[Callable[[Patient], tuple[str, float]], str]] = {
        "bare loop": (plain, ""),
        "mlpinit.watch": (ours, "bare loop"),
        "mlpinit.watch, every 10": (lambda p: ours(p, 10), "bare loop"),
        "hook: mean, std, near 0": (layer_hook, "bare loop"),
        "hook: units all 0": (unit_hook, "bare loop"),
    }
    try:
        import fastai  # noqa: PLC0415

        ways["fastai Learner, bare"] = fastai_bare, ""
        ways[f"fastai {fastai.__version__} ActivationStats"] = fastai_stats, "fastai Learner, bare"
    except ImportError:
        print('(fastai is not installed, and not compared: pip install "fastai>=2.8")\n')

    said: dict[str, dict[str, str]] = {name: {} for name in ways}
    cost: dict[str, list[float]] = {name: [] for name in ways}
    truth = {}
    for _ in range(rounds):
        for name, (way, _) in ways.items():
            for patient in patients(steps):
                said[name][patient.name], ms = way(patient)
                cost[name].append(ms)
                truth[patient.name] = len(patient.dead())
    print("Dead in truth (slope 0 on all of 20,000 rows, after training):")
    print("  " + ", ".join(f"{name}: {n}" for name, n in truth.items()) + "\n")
    for name, (_, base) in ways.items():
        price = f"{statistics.median(cost[name]):.3f} ms a step"
        if base:
            pairs = zip(cost[name], cost[base], strict=True)
            price += f", {statistics.median(a / b for a, b in pairs):.2f} times the {base}"
        print(f"{name}: {price}")
        for patient, words in said[name].items():
            if words:
                print(f"  {patient:18s}{words}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="of the first table")
    parser.add_argument("--steps", type=int, default=400, help="of training in the second")
    args = parser.parse_args()
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {args.rounds} rounds\n")
    price(args.rounds)
    print(f"\nFour networks of 200 units, {args.steps} steps of training with 32 rows each\n")
    compare(args.steps, max(1, args.rounds // 5))


if __name__ == "__main__":
    main()
