"""What does watching cost, and what does it find? Beside the bare loop and other tools.

Run with `make bench-watch`. First the price of `mlpinit.watch`: the time of a watched training step
(forward, backward, SGD) over that of the bare step beside it, for four models. A round goes back
and forth between two copies of a model, one of them watched, a few milliseconds each, so that a
busy machine slows both; the ratios are what to read. Then four networks of 200 units whose dead
are known, and what each tool says of them.

fastai is compared where it is installed, and passed over otherwise. It brings torchvision, and that
a torch of its own choice, so give it an environment to itself: `pip install . "fastai>=2.8"`.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlpinit import corpus, init, mlp
from mlpinit.watch import watch

LR = 0.01


@dataclass
class Task:
    """A model and batches for it, taken in turn: X, Y (batches, ...).

    - `stint`: steps before it is the other copy's turn; `stints`: turns of each in a round
    """

    model: nn.Module
    X: Tensor
    Y: Tensor
    stint: int
    stints: int
    at: int = 0
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        """Plain SGD."""
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LR)

    def run(self) -> float:
        """Seconds that a stint takes."""
        begin = time.perf_counter()
        for _ in range(self.stint):
            X, Y = self.X[self.at], self.Y[self.at]
            self.at = (self.at + 1) % len(self.X)
            self.optimizer.zero_grad()
            logits = self.model(X)
            F.cross_entropy(logits.flatten(0, -2), Y.flatten()).backward()
            self.optimizer.step()
        return time.perf_counter() - begin

    def copy(self) -> Task:
        """Another like it, with a model of its own."""
        return Task(copy.deepcopy(self.model), self.X, self.Y, self.stint, self.stints)


def book_mlp() -> Task:
    g = torch.Generator().manual_seed(0)
    params = init.draw(mlp.Architecture(), init.scaled(0.2, 0.01), generator=g)
    data = corpus.split(corpus.load()).train
    rows = torch.randint(0, len(data), (100, 32), generator=g)
    return Task(mlp.as_module(params), data.X[rows], data.Y[rows], stint=40, stints=10)


def small_cnn() -> Task:
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(64 * 7 * 7, 10),
    )  # fmt: skip
    X, Y = torch.randn(10, 64, 1, 28, 28), torch.randint(0, 10, (10, 64))
    return Task(model, X, Y, stint=10, stints=2)


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
    X, Y = torch.randint(0, 50, (2, 10, 32, 32))
    return Task(Transformer(activation), X, Y, stint=10, stints=2)


def price(seconds: float) -> None:
    """The first table: watched steps over bare ones, `seconds` a line."""
    tasks = {
        "the book's MLP": book_mlp,
        "small CNN": small_cnn,
        "small transformer, ReLU": lambda: small_transformer("relu"),
        "small transformer, GELU": lambda: small_transformer("gelu"),
    }
    print(
        f"{'model':26s}{'every':>5s}{'µs a bare step':>16s}{'times that':>12s}"
        f"{'its 95% interval':>18s}{'rounds':>8s}{'kB held':>9s}"
    )
    for name, make in tasks.items():
        for every in (1, 10):
            bare, ratios, held = price_of(make(), every, seconds)
            low, high = interval_of_median(ratios)
            print(
                f"{name:26s}{every:5d}{bare * 1e6:16.0f}{statistics.median(ratios):12.3f}"
                f"{f'{low:.3f} to {high:.3f}':>18s}{len(ratios):8d}{held / 1024:9.0f}"
            )


def interval_of_median(values: list[float]) -> tuple[float, float]:
    """95 % interval of the median, from the ranks: of n values half ± 0.98 √n lie below it."""
    ranked, n = sorted(values), len(values)
    outside = max(0, math.floor(n / 2 - 0.98 * n**0.5) - 1)  # at either end
    return ranked[outside], ranked[-1 - outside]


def price_of(task: Task, every: int, seconds: float) -> tuple[float, list[float], int]:
    """Seconds a bare step takes, each round's watched time over the bare, and the bytes held.

    A round of the MLP's is as long as its rows wait to be counted: each has that work once.
    """
    watched = task.copy()
    bare, ratios = [], []
    with watch(watched.model, every) as w:
        end = time.perf_counter() + seconds
        while len(bare) < 10 or time.perf_counter() < end:
            took = {id(task): 0.0, id(watched): 0.0}
            for turn in (task, watched, watched, task) * (task.stints // 2):
                took[id(turn)] += turn.run()
            bare.append(took[id(task)] / (task.stint * task.stints))
            ratios.append(took[id(watched)] / took[id(task)])
        # The first round, in which memory is allocated, does not count.
        return statistics.median(bare[1:]), ratios[1:], w.nbytes()


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

    def copy(self) -> Patient:
        """The same, before its training."""
        return replace(self, model=copy.deepcopy(self.model))


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
        print("(fastai is not installed here, and not compared)\n")

    said: dict[str, dict[str, str]] = {name: {} for name in ways}
    cost: dict[str, list[float]] = {name: [] for name in ways}
    truth = {}
    for patient in patients(steps):
        for _ in range(rounds):
            for name, (way, _) in ways.items():
                trained = patient.copy()
                said[name][patient.name], ms = way(trained)
                cost[name].append(ms)
                truth[patient.name] = len(trained.dead())
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
    parser.add_argument("--seconds", type=float, default=60, help="for a line of the first table")
    parser.add_argument("--compared", type=int, default=7, help="rounds of the second table")
    parser.add_argument("--steps", type=int, default=400, help="of training in the second")
    args = parser.parse_args()
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    price(args.seconds)
    print(f"\nFour networks of 200 units, {args.steps} steps of training with 32 rows each\n")
    compare(args.steps, args.compared)


if __name__ == "__main__":
    main()
