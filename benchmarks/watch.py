"""What does watching cost, and what does it find? Beside the bare loop and other tools.

Run with `make bench-watch`. First the price of `mlpinit.watch`: the time of a watched training step
(forward, backward, SGD) over that of the bare step beside it, for four models. A round goes back
and forth between two copies of a model, one of them watched, a few milliseconds each, so that a
busy machine slows both; the ratios are what to read. Then five networks of 200 units whose dead
are known, and what each tool says of them: those of `peers.py`, and fastai, where they are
installed. `make bench-peers` installs the first, and records the second table in `peers.md`.
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
from pathlib import Path

import peers
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


class Block(nn.Module):
    """A pre-norm block as in GPT-2: attention to what came before, then an MLP."""

    def __init__(self, width: int, heads: int) -> None:
        """Both branches are added to what comes in."""
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.heads, self.qkv = heads, nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) → the same shape."""
        q, k, v = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for t in self.qkv(self.norms[0](x)).chunk(3, -1)
        )
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norms[1](x))


def small_gpt() -> Task:
    """Four blocks of width 128, 64 tokens."""
    model = nn.Sequential(
        nn.Embedding(50, 128), *(Block(128, 4) for _ in range(4)), nn.LayerNorm(128),
        nn.Linear(128, 50),
    )  # fmt: skip
    X, Y = torch.randint(0, 50, (2, 10, 16, 64))
    return Task(model, X, Y, stint=6, stints=2)


def price(seconds: float) -> None:
    """The first table: watched steps over bare ones, `seconds` a line."""
    tasks = {
        "the book's MLP": book_mlp,
        "small CNN": small_cnn,
        "small transformer, ReLU": lambda: small_transformer("relu"),
        "small transformer, GELU": lambda: small_transformer("gelu"),
        "GPT of four layers, GELU": small_gpt,
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


# Five networks of 200 units, and what is true of them.


@dataclass
class Patient:
    """A network in training, batches for it, and all of the data."""

    name: str
    model: nn.Module
    batches: list[tuple[Tensor, Tensor]]
    X: Tensor
    site: str = "3"  # of the activation, as `watch` names it

    @property
    def layers(self) -> nn.Sequential:
        """Embedding, flatten, linear, activation, linear."""
        return self.model if isinstance(self.model, nn.Sequential) else self.model.layers

    @property
    def layer(self) -> str:
        """The name of the linear layer that makes the units."""
        return "2" if self.model is self.layers else "layers.2"

    def dead(self) -> set[int]:
        """The truth: the hidden units whose slope is exactly 0 on every row of the data."""
        with torch.no_grad():
            z = self.layers[:3](self.X)  # (rows, 200)
            tanh = isinstance(self.layers[3], nn.Tanh)
            live = (1 - z.tanh().square() != 0) if tanh else z > 0
        return set((~live.any(0)).nonzero().flatten().tolist())

    def copy(self) -> Patient:
        """The same, before its training."""
        return replace(self, model=copy.deepcopy(self.model))


class Functional(nn.Module):
    """The same network with its ReLU as a function: no module applies it."""

    def __init__(self, layers: nn.Sequential) -> None:
        """`layers`: its ReLU is not called."""
        super().__init__()
        self.layers = layers

    def forward(self, X: Tensor) -> Tensor:
        """Contexts in, logits out."""
        return self.layers[4](F.relu(self.layers[:3](X)))


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
        if "dead" in name:
            model = Functional(mlp.as_module(params))
            yield Patient("100 dead, F.relu", model, batches, X, site=":relu")


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
    return judged(set(report.dead().get(patient.site, [])), patient.dead()), cost


NO_MODULE = "no module to hook"


@contextmanager
def hooked(module: nn.Module, hook: Callable) -> Iterator[None]:
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def layer_hook(patient: Patient) -> tuple[str, float]:
    """The usual hand-made hook: mean, std and the share near zero, of the layer, each step."""
    if patient.site != "3":
        return NO_MODULE, train(patient)
    kept: list[tuple[float, float, float]] = []

    def hook(module: nn.Module, inputs: object, h: Tensor) -> None:
        h = h.detach()
        near = (h.abs() <= 0.05).float().mean().item()
        kept.append((h.mean().item(), h.std().item(), near))

    with hooked(patient.layers[3], hook):
        cost = train(patient)
    mean, std, near = kept[-1]
    return f"mean {mean:.2f}, std {std:.2f}, near 0 {near:.0%}; no unit named", cost


def unit_hook(patient: Patient) -> tuple[str, float]:
    """A more careful one: units that are 0 on every row of the latest batch."""
    if patient.site != "3":
        return NO_MODULE, train(patient)
    kept: list[Tensor] = []

    def hook(module: nn.Module, inputs: object, h: Tensor) -> None:
        kept[:] = [(h.detach() == 0).all(0)]

    with hooked(patient.layers[3], hook):
        cost = train(patient)
    return judged(set(kept[0].nonzero().flatten().tolist()), patient.dead()), cost


def fastai_stats(patient: Patient, *, watching: bool = True) -> tuple[str, float]:
    """fastai's `ActivationStats` on the activation, in a `Learner` without a progress bar."""
    import fastai.callback.progress  # noqa: F401, PLC0415 (gives learners no_bar)
    from fastai.callback.hook import ActivationStats  # noqa: PLC0415
    from fastai.data.core import DataLoaders  # noqa: PLC0415
    from fastai.learner import Learner  # noqa: PLC0415
    from fastai.optimizer import SGD  # noqa: PLC0415

    stats = ActivationStats(modules=[patient.layers[3]])
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
    last = stats.stats[-1][0] if stats.stats else None
    if last is None:
        return NO_MODULE, cost
    said = f"mean {last['mean']:.2f}, std {last['std']:.2f}, near 0 {last['near_zero']:.0%}"
    return f"{said}; no unit named", cost


def fastai_bare(patient: Patient) -> tuple[str, float]:
    return fastai_stats(patient, watching=False)


def ways() -> dict[str, tuple[Callable[[Patient], tuple[str, float]], str]]:
    """Name → a way to train a patient, and the name of that with which its price is compared."""
    found: dict[str, tuple[Callable[[Patient], tuple[str, float]], str]] = {
        "bare loop": (plain, ""),
        "mlpinit.watch": (ours, "bare loop"),
        "mlpinit.watch, every 10": (lambda p: ours(p, 10), "bare loop"),
        "hook: mean, std, near 0": (layer_hook, "bare loop"),
        "hook: units all 0": (unit_hook, "bare loop"),
    }
    for name, tool in peers.installed().items():
        after = name.split()[0] in peers.AFTER
        found[name] = tool, "" if after else "bare loop"
    try:
        import fastai.learner  # noqa: PLC0415

        found["fastai Learner, bare"] = fastai_bare, ""
        name = f"fastai {fastai.__version__} ActivationStats"
        found[name] = fastai_stats, "fastai Learner, bare"
    except (ImportError, RuntimeError) as error:  # as where torchvision does not fit the torch
        print(f"(fastai is not compared here: {error})\n")
    return found


def attempt(way: Callable[[Patient], tuple[str, float]], patient: Patient) -> tuple[str, float]:
    """What a way says and costs; a tool that fails says how, and costs what cannot be told."""
    try:
        return way(patient)
    except Exception as error:
        return f"fails: {type(error).__name__}: {error}"[:70], math.nan


@dataclass
class Compared:
    """The second table: what each way said of each patient, its price, and how many were dead."""

    said: dict[str, dict[str, str]]
    price: dict[str, str]
    truth: dict[str, int]

    def as_text(self) -> str:
        """Way by way."""
        truth = ", ".join(f"{name}: {n}" for name, n in self.truth.items())
        lines = [f"Dead in truth (slope 0 on all of 20,000 rows, after training):\n  {truth}\n"]
        for name, words in self.said.items():
            lines.append(f"{name}: {self.price[name] or 'looks after training'}")
            lines += [f"  {patient:18s}{told}" for patient, told in words.items() if told]
        return "\n".join(lines)

    def as_markdown(self) -> str:
        """A table of the tools: their answers by patient, and the price of a step."""
        head = ["", *self.truth, "a step"]
        rows = [
            ["**dead in truth**", *map(str, self.truth.values()), ""],
            *(
                [name, *map(_short, words.values()), self.price[name].partition(", ")[2] or "none"]
                for name, words in self.said.items()
                if any(words.values())
            ),
        ]
        rule = ["---"] * len(head)
        return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rule, *rows))


def _short(words: str) -> str:
    """Figures of a whole layer answer no question about units."""
    return "no unit named" if "no unit named" in words else words


def compare(steps: int, rounds: int) -> Compared:
    """What each way says of the five networks, and its price a step, over `rounds`."""
    tried = ways()
    said: dict[str, dict[str, str]] = {name: {} for name in tried}
    cost: dict[str, list[float]] = {name: [] for name in tried}
    truth = {}
    for patient in patients(steps):
        for _ in range(rounds):
            for name, (way, _) in tried.items():
                trained = patient.copy()
                said[name][patient.name], ms = attempt(way, trained)
                cost[name].append(ms)
                truth[patient.name] = len(trained.dead())
    price = {}
    for name, (_, base) in tried.items():
        ms = [x for x in cost[name] if not math.isnan(x)]
        price[name] = f"{statistics.median(ms):.3f} ms a step" if ms else ""
        if base:
            pairs = zip(cost[name], cost[base], strict=True)
            ratios = [a / b for a, b in pairs if not math.isnan(a)]
            price[name] += f", {statistics.median(ratios):.2f} times the {base}" if ratios else ""
    return Compared(said, price, truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for a line of the first table")
    parser.add_argument("--compared", type=int, default=7, help="rounds of the second table")
    parser.add_argument("--steps", type=int, default=400, help="of training in the second")
    parser.add_argument("--record", type=Path, help="write the second table here, and no first one")
    args = parser.parse_args()
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    if not args.record:
        price(args.seconds)
    print(f"\nFive networks of 200 units, {args.steps} steps of training with 32 rows each\n")
    compared = compare(args.steps, args.compared)
    print(compared.as_text())
    if args.record:
        args.record.write_text(compared.as_markdown(), encoding="utf-8")


if __name__ == "__main__":
    main()
