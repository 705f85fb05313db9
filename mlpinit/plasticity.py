"""One network, thirty tasks: how much of its ability to learn is left, and what gives it back.

512 contexts of the corpus are to be told apart by labels drawn at random. When a task ends, every
label is drawn anew, and the same network learns the next one. `run` trains any number of seeds in
one stack, under one `Remedy`, and keeps how well each task was learned and which units were dead at
its end. `python -m mlpinit.plasticity` (or `make records`) records ten seeds of each remedy, and
`load` reads them; `replay` trains their first tasks again and holds the records against them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from mlpinit import __version__, corpus, redraw
from mlpinit._files import write_whole
from mlpinit.records import FULL, SEEDS, RecordError
from mlpinit.saturation import dormancy

__all__ = [
    "FOLDER",
    "REMEDIES",
    "History",
    "Record",
    "Remedy",
    "load",
    "record",
    "replay",
    "run",
    "tune",
]

FOLDER = Path(__file__).parent / "data" / "plasticity"
"""Where the records lie."""

CONTEXTS, WIDTH, LABELS = 512, 64, 27
TASKS, STEPS, BATCH = 30, 150, 128
REPLAYED_TASKS, REPLAYED_SEEDS = 2, 3
TUNING_SEEDS, TUNING_TASKS = (101, 102, 103), 20
USAGE_KEPT, RIPE = 0.99, 100  # continual backprop: what its averages keep, and the age that counts

# How far rounding, which differs between processors, may move the accuracy of a seed's first two
# tasks. Told to do without vector instructions, or with AVX2, torch moves it by 0.004 at most.
MOVED = 0.06


@dataclass(frozen=True)
class Remedy:
    """What is done differently from the plain network: ReLU, Adam at 0.003, nothing else.

    - `activation`: "relu", "leaky" (with `slope`) or "crelu", which hands on max(z, 0) and
      max(-z, 0)
    - `norm`: layer norm, without scale and shift, before each activation
    - `lr`, `beta2`: Adam's
    - `decay`, `to_start`: λ of λ/2 ‖θ‖² and of λ/2 ‖θ − θ₀‖², added to the loss
    - `keep`: between tasks, every parameter becomes keep θ + (1 − keep) times a fresh draw
    - `fresh_state`: between tasks, Adam forgets its averages and its count
    - `rescale`: between tasks, the weights of each hidden layer are multiplied by a number that
      gives them the norm they had at first, and other parameters so that the outputs stay
    - `threshold`, `every`: every so many steps, units whose `saturation.dormancy` over all contexts
      is at most the threshold are recycled
    - `replace`: how many of a layer's ripe units continual backprop replaces in a step
    - `knob`, `grid`: the field that is tuned, and the values that are tried
    """

    key: str
    name: str
    activation: str = "relu"
    slope: float = 0.0
    norm: bool = False
    lr: float = 3e-3
    beta2: float = 0.999
    decay: float = 0.0
    to_start: float = 0.0
    keep: float = 1.0
    fresh_state: bool = False
    rescale: bool = False
    threshold: float | None = None
    every: int = STEPS
    replace: float = 0.0
    knob: str | None = None
    grid: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is not there, before any work."""
        if self.activation not in ("relu", "leaky", "crelu"):
            raise ValueError(f"activation {self.activation!r} is none of relu, leaky, crelu")
        if self.activation == "crelu" and (self.threshold is not None or self.replace):
            raise ValueError("a CReLU unit has two readers' rows and is not recycled here")


REMEDIES: dict[str, Remedy] = {
    remedy.key: remedy
    for remedy in (
        Remedy("plain", "nothing"),
        Remedy("new", "a new network for each task", keep=0.0, fresh_state=True),
        Remedy("state", "Adam's state reset", fresh_state=True),
        Remedy("beta", "Adam's β₂", knob="beta2", grid=(0.9, 0.97, 0.99)),
        Remedy("rate", "learning rate", knob="lr", grid=(3e-4, 1e-3, 1e-2)),
        Remedy("leaky", "leaky ReLU", activation="leaky", knob="slope", grid=(0.01, 0.1, 0.3)),
        Remedy("crelu", "CReLU", activation="crelu"),
        Remedy("l2", "L2", knob="decay", grid=(1e-4, 1e-3, 1e-2)),
        Remedy("l2-init", "L2-init", knob="to_start", grid=(1e-4, 1e-3, 1e-2)),
        Remedy("shrink", "shrink and perturb", knob="keep", grid=(0.2, 0.5, 0.8)),
        Remedy("redo", "ReDo, τ = 0.025", threshold=0.025, knob="every", grid=(15, 50, 150)),
        Remedy("redo-more", "ReDo, τ = 0.1", threshold=0.1, knob="every", grid=(15, 50, 150)),
        Remedy("replace", "continual backprop", knob="replace", grid=(1e-4, 1e-3, 1e-2)),
        Remedy("norm", "layer norm", norm=True),
        Remedy("norm-rescaled", "layer norm, rescaled", norm=True, rescale=True),
        Remedy("norm-l2", "layer norm and L2", norm=True, knob="decay", grid=(1e-4, 1e-3, 1e-2)),
    )
}
"""The plain network first, then a new one for each task, then what is done to keep one learning."""


@dataclass(frozen=True)
class History:
    """What was seen at the end of each task, for K seeds.

    - `accuracy`: (K, tasks), on all contexts
    - `dead`: (K, tasks, 2, 64) bool, units of either hidden layer that are 0 on every context (with
      CReLU both halves are)
    - `firing`: (K, tasks, 2), the share of entries of a hidden layer that are above 0
    - `norms`: (K, tasks, 3), of the weights of each layer
    - `recycled`: (K, tasks), units recycled during the task, in both layers
    """

    accuracy: Tensor
    dead: Tensor
    firing: Tensor
    norms: Tensor
    recycled: Tensor

    @property
    def deaths(self) -> Tensor:
        """(K, tasks - 1, 2): units dead at a task's end that were live at the end before."""
        return (~self.dead[:, :-1] & self.dead[:, 1:]).sum(-1)

    @property
    def births(self) -> Tensor:
        """(K, tasks - 1, 2): units live at a task's end that were dead at the end before."""
        return (self.dead[:, :-1] & ~self.dead[:, 1:]).sum(-1)


def run(remedy: Remedy, seeds: Sequence[int], *, tasks: int = TASKS) -> History:
    """Train a network a seed through so many tasks, all of them in one stack.

    Every seed has a generator of its own, which draws its contexts, its first parameters, and then,
    task by task, labels, batches and whatever the remedy draws: a seed trained in a stack equals
    one trained alone.

    >>> history = run(REMEDIES["plain"], [0, 1], tasks=2)
    >>> history.accuracy.shape, history.dead.shape
    (torch.Size([2, 2]), torch.Size([2, 2, 2, 64]))
    """
    if tasks < 1 or not seeds:
        raise ValueError(f"{tasks} tasks of {len(seeds)} seeds: at least one of each is needed")
    stack, seen = _Stack(remedy, seeds), []
    for task in range(tasks):
        if task:
            stack.between_tasks()
        Y = stack.drawn(lambda g: torch.randint(LABELS, (CONTEXTS,), generator=g))
        rows = stack.drawn(lambda g: torch.randint(CONTEXTS, (STEPS, BATCH), generator=g))
        for step in range(STEPS):
            stack.step(Y, rows[:, step])
        seen.append(stack.look(Y))
    return History(*(torch.stack(parts, 1) for parts in zip(*seen, strict=True)))


def _parameters(g: Generator, remedy: Remedy) -> list[Tensor]:
    """W (fan_in, fan_out) and b of three layers, as nn.Linear draws them: within ±1/√fan_in."""
    heard = WIDTH * (2 if remedy.activation == "crelu" else 1)
    sizes = ((3 * LABELS, WIDTH), (heard, WIDTH), (heard, LABELS))
    return [
        (torch.rand(shape, generator=g) * 2 - 1) / fan_in**0.5
        for fan_in, fan_out in sizes
        for shape in ((fan_in, fan_out), (fan_out,))
    ]


def _contexts(g: Generator) -> Tensor:
    """512 distinct contexts of the surnames, three letters in one-hot code each: (512, 81)."""
    X = _occurring()
    some = X[torch.randperm(len(X), generator=g)[:CONTEXTS]]
    return functional.one_hot(some, LABELS).flatten(1).float()


@cache
def _occurring() -> Tensor:
    """Every context of the surnames' training set, once: (n, 3)."""
    return corpus.distinct(corpus.split(corpus.load()).train).X


class _Stack:
    """K networks side by side, and what trains them."""

    def __init__(self, remedy: Remedy, seeds: Sequence[int]) -> None:
        self.remedy = remedy
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.X = self.drawn(_contexts)  # (K, 512, 81)
        self.params = [nn.Parameter(p) for p in self.fresh()]
        self.start = [p.detach().clone() for p in self.params]
        self.optimizer = self.adam()
        self.usage = [_Usage(len(seeds)) for _ in range(2)]
        self.steps, self.recycled = 0, torch.zeros(len(seeds), dtype=torch.int64)

    def drawn(self, draw) -> Tensor:
        """(K, ...): what each seed's generator draws."""
        return torch.stack([draw(g) for g in self.generators])

    def fresh(self) -> list[Tensor]:
        each = [_parameters(g, self.remedy) for g in self.generators]
        return [torch.stack(alike) for alike in zip(*each, strict=True)]

    def adam(self) -> torch.optim.Adam:
        betas = (0.9, self.remedy.beta2)
        return torch.optim.Adam(self.params, lr=self.remedy.lr, betas=betas, fused=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x: (K, n, 81) → both hidden layers' activations and the logits (K, n, 27)."""
        W1, b1, W2, b2, W3, b3 = self.params
        h1 = self.activate(torch.baddbmm(b1[:, None], x, W1))
        h2 = self.activate(torch.baddbmm(b2[:, None], h1, W2))
        return h1, h2, torch.baddbmm(b3[:, None], h2, W3)

    def activate(self, z: Tensor) -> Tensor:
        if self.remedy.norm:
            z = functional.layer_norm(z, (WIDTH,))
        if self.remedy.activation == "leaky":
            return functional.leaky_relu(z, self.remedy.slope)
        return functional.relu(torch.cat((z, -z), -1) if self.remedy.activation == "crelu" else z)

    def step(self, Y: Tensor, rows: Tensor) -> None:
        """One step of every network. Y: (K, 512); rows: (K, 128), the contexts of the batch."""
        remedy = self.remedy
        if remedy.threshold is not None and self.steps and self.steps % remedy.every == 0:
            self.recycle_dormant()
        x = self.X.gather(1, rows[..., None].expand(-1, -1, self.X.size(-1)))
        *hidden, logits = self.forward(x)
        loss = functional.cross_entropy(
            logits.flatten(0, 1), Y.gather(1, rows).flatten(), reduction="sum"
        )
        self.optimizer.zero_grad()
        (loss / BATCH).backward()
        if remedy.decay or remedy.to_start:
            for p, first in zip(self.params, self.start, strict=True):
                p.grad.add_(p.detach(), alpha=remedy.decay)
                p.grad.add_(p.detach() - first, alpha=remedy.to_start)
        self.optimizer.step()
        self.steps += 1
        if remedy.replace:
            self.replace_little_used(hidden)

    @torch.no_grad()
    def between_tasks(self) -> None:
        remedy = self.remedy
        if remedy.keep < 1:
            for p, new in zip(self.params, self.fresh(), strict=True):
                p.mul_(remedy.keep).add_(new, alpha=1 - remedy.keep)
        if remedy.rescale:
            self.rescale()
        if remedy.fresh_state:
            self.optimizer = self.adam()

    @torch.no_grad()
    def rescale(self) -> None:
        """Give the hidden layers' weights their first norms, and change nothing that is computed.

        A layer norm takes a factor out again. Without one, ReLU hands it on (relu(cz) = c relu(z)
        for c > 0), so that the next bias has to follow, and the last weights take it out.
        """
        W1, b1, W2, b2, W3, _ = self.params
        first, second = (_norm(self.start[i]) / _norm(self.params[i]) for i in (0, 2))
        both = second if self.remedy.norm else first * second
        for p, factor in ((W1, first), (b1, first), (W2, second), (b2, both)):
            p.mul_(factor.view(-1, *[1] * (p.ndim - 1)))
        if not self.remedy.norm:
            W3.div_(both[:, None, None])

    @torch.no_grad()
    def recycle_dormant(self) -> None:
        for layer, h in enumerate(self.forward(self.X)[:2]):
            self.recycle(layer, dormancy(h) <= self.remedy.threshold)

    @torch.no_grad()
    def replace_little_used(self, hidden: Sequence[Tensor]) -> None:
        """What Dohare et al. (2024) do after every step: fold the mean, then start anew."""
        for layer, (h, usage) in enumerate(zip(hidden, self.usage, strict=True)):
            outgoing = self.params[2 * layer + 2]
            units = usage.due(h, outgoing, self.remedy.replace)
            if units.any():
                said = (usage.mean_of() * units)[:, None] @ outgoing
                self.params[2 * layer + 3].add_(said[:, 0])
                self.recycle(layer, units)
                usage.forget(units)

    def recycle(self, layer: int, units: Tensor) -> None:
        """units: (K, 64) bool. Incoming drawn, bias and outgoing 0, Adam's averages of them 0."""
        W, b, outgoing = self.params[2 * layer : 2 * layer + 3]
        fan_in = W.size(1)
        for k in units.any(-1).nonzero()[:, 0].tolist():
            js, g = units[k].nonzero()[:, 0], self.generators[k]
            drawn = (torch.rand((fan_in, len(js)), generator=g) * 2 - 1) / fan_in**0.5
            for p, at, value in (
                (W, (k, slice(None), js), drawn),
                (b, (k, js), 0),
                (outgoing, (k, js), 0),
            ):
                p.data[at] = value
                for kept in ("exp_avg", "exp_avg_sq"):
                    self.optimizer.state[p][kept][at] = 0
        self.recycled += units.sum(-1)

    @torch.no_grad()
    def look(self, Y: Tensor) -> tuple[Tensor, ...]:
        """What `History` keeps of one task; Y: (K, 512), its labels."""
        *hidden, logits = self.forward(self.X)
        silent = [(h == 0).all(1).unflatten(-1, (-1, WIDTH)).all(1) for h in hidden]
        firing = [(h > 0).double().mean((1, 2)) for h in hidden]
        norms = [_norm(W) for W in self.params[::2]]
        recycled, self.recycled = self.recycled, torch.zeros_like(self.recycled)
        accuracy = (logits.argmax(-1) == Y).double().mean(-1)
        return accuracy, *(torch.stack(t, 1) for t in (silent, firing, norms)), recycled


class _Usage:
    """What continual backprop keeps of one layer's units: (K, 64) each.

    Source: Dohare et al., "Loss of Plasticity in Deep Continual Learning" (2024), algorithm 1.
    """

    def __init__(self, n: int) -> None:
        self.utility, self.mean, self.age = (torch.zeros(n, WIDTH) for _ in range(3))
        self.owed = torch.zeros(n)

    def due(self, h: Tensor, outgoing: Tensor, rate: float) -> Tensor:
        """(K, 64) bool: the units to be replaced after this batch, one a network at most."""
        now = h.abs().mean(1) * outgoing.abs().sum(-1)
        self.utility.lerp_(now, 1 - USAGE_KEPT)
        self.mean.lerp_(h.mean(1), 1 - USAGE_KEPT)
        self.age += 1
        ripe = self.age > RIPE
        self.owed += rate * ripe.sum(-1)
        least = self.corrected(self.utility).masked_fill(~ripe, torch.inf).argmin(-1)
        due = (self.owed >= 1) & ripe.any(-1)
        self.owed -= due.float()
        return functional.one_hot(least, WIDTH).bool() & due[:, None]

    def corrected(self, average: Tensor) -> Tensor:
        return average / (1 - USAGE_KEPT**self.age)

    def mean_of(self) -> Tensor:
        return self.corrected(self.mean)

    def forget(self, units: Tensor) -> None:
        for kept in (self.utility, self.mean, self.age):
            kept[units] = 0


def _norm(W: Tensor) -> Tensor:
    """(K, a, b) → (K,)."""
    return W.detach().flatten(1).norm(dim=1)


# --- Records --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """Several seeds under one remedy, as they were recorded.

    - `remedy`: with the value that was chosen for its knob
    - `scores`: each value of the knob that was tried → the mean accuracy over all tasks of the
      seeds that were kept for that; empty where there is no knob
    - `made`: the versions and the date
    """

    remedy: Remedy
    seeds: tuple[int, ...]
    scores: dict[float, float]
    history: History
    made: dict[str, str]


def tune(
    remedy: Remedy, *, seeds: Sequence[int] = TUNING_SEEDS, tasks: int = TUNING_TASKS
) -> dict[float, float]:
    """Mean accuracy over all tasks for each value of the remedy's knob; the largest is chosen."""
    tried = {value: replace(remedy, **{remedy.knob: value}) for value in remedy.grid}
    return {v: run(r, seeds, tasks=tasks).accuracy.mean().item() for v, r in tried.items()}


def record(
    key: str, folder: str | os.PathLike[str] = FOLDER, *, seeds: Sequence[int] = SEEDS
) -> Record:
    """Tune a remedy, run the seeds under what was chosen, and save the record."""
    remedy = REMEDIES[key]
    with redraw.redrawn(0):  # a record is of the seeds that it names
        scores = tune(remedy)
        if scores:
            remedy = replace(remedy, **{remedy.knob: max(scores, key=scores.get)})
        history = run(remedy, seeds)
    day = datetime.now(UTC).date().isoformat()
    made = {"date": day, "torch": torch.__version__, "mlpinit": __version__}
    entry = Record(remedy, tuple(seeds), scores, history, made)
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_whole(Path(folder) / f"{key}.json", json.dumps(_as_json(entry)) + "\n")
    return entry


def _as_json(entry: Record) -> dict[str, object]:
    h = entry.history
    return {
        "remedy": asdict(entry.remedy),
        "seeds": entry.seeds,
        "scores": [[value, round(score, 4)] for value, score in entry.scores.items()],
        "made": entry.made,
        "accuracy": h.accuracy.mul(CONTEXTS).round().long().tolist(),
        "dead": [[[_packed(units) for units in task] for task in seed] for seed in h.dead],
        "firing": h.firing.double().round(decimals=4).tolist(),
        "norms": h.norms.double().round(decimals=3).tolist(),
        "recycled": h.recycled.tolist(),
    }


def _from_json(data: dict) -> Record:
    remedy = Remedy(**data["remedy"] | {"grid": tuple(data["remedy"]["grid"])})
    history = History(
        torch.tensor(data["accuracy"]).double() / CONTEXTS,
        torch.tensor([[[_unpacked(t) for t in task] for task in seed] for seed in data["dead"]]),
        *(torch.tensor(data[name]) for name in ("firing", "norms", "recycled")),
    )
    scores = dict(data["scores"])
    return Record(remedy, tuple(data["seeds"]), scores, history, data["made"])


def _packed(units: Tensor) -> str:
    """A layer's 64 truth values as 16 digits."""
    return f"{int(''.join('01'[u] for u in units.tolist()), 2):016x}"


def _unpacked(text: str) -> list[bool]:
    return [digit == "1" for digit in f"{int(text, 16):0{WIDTH}b}"]


def load(folder: str | os.PathLike[str] = FOLDER) -> dict[str, Record]:
    """Every record there is of `REMEDIES`, in their order.

    Raises `RecordError` where one cannot be read, or is of another remedy, and where there is none.
    """
    found = {}
    for key, remedy in REMEDIES.items():
        path = Path(folder) / f"{key}.json"
        if not path.exists():
            continue
        try:
            entry = _from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RecordError(
                f"{path.name} cannot be read: {error}. `make records` makes it"
            ) from error
        chosen = {remedy.knob: getattr(entry.remedy, remedy.knob)} if remedy.knob else {}
        if entry.remedy != replace(remedy, **chosen):
            raise RecordError(
                f"{path.name} is of {entry.remedy}, not of {remedy}: remove it, and `make records`"
            )
        found[key] = entry
    if not found:
        raise RecordError(f"there is no record in {folder}; `make records` makes them")
    return found


def replay(
    records: dict[str, Record], *, seeds: int = REPLAYED_SEEDS, tasks: int = REPLAYED_TASKS
) -> dict[str, float]:
    """Train the first tasks of the first seeds again: how far each record lies from today's code.

    The largest difference of an accuracy is returned for each. Where `MLPINIT_FULL` is set, all
    seeds learn all tasks, and the means over the seeds are compared. Within `redraw.redrawn` other
    draws are tried, records are of the seeds they name, and nothing is trained. Raises
    `RecordError`, which names every record that today's code does not make.
    """
    full, apart = os.environ.get(FULL), {}
    if redraw.current():
        return apart
    with redraw.redrawn(0):
        for key, entry in records.items():
            n, first = (len(entry.seeds), TASKS) if full else (seeds, tasks)
            now = run(entry.remedy, entry.seeds[:n], tasks=first).accuracy
            off = now - entry.history.accuracy[:n, :first]
            apart[key] = (off.mean(0) if full else off).abs().max().item()
    if wrong := [f"{key}.json by {off:.3f}" for key, off in apart.items() if not off <= MOVED]:
        raise RecordError(
            f"an accuracy differs from the recorded one: {', '.join(wrong)}; {MOVED} may be "
            "rounding. Remove these files, and `make records` makes them again"
        )
    return apart


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: records what is not there yet, a line on stderr for each remedy."""
    parser = argparse.ArgumentParser(
        prog="python -m mlpinit.plasticity",
        description="Tune and record the remedies of the chapter on plasticity that are not "
        "recorded yet. Interrupted, the same command goes on where it stopped.",
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the records are")
    parser.add_argument("--jobs", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=REMEDIES, default=tuple(REMEDIES))
    given = parser.parse_args(arguments)
    todo = [key for key in given.only if not (given.folder / f"{key}.json").exists()]
    print(f"{len(todo)} of {len(given.only)} remedies to do", file=sys.stderr)
    if not todo:
        return 0
    from joblib import Parallel, delayed  # noqa: PLC0415  (recording alone needs it)

    results = Parallel(n_jobs=given.jobs, batch_size=1, return_as="generator_unordered")(
        delayed(_recorded)(key, given.folder, given.seeds) for key in todo
    )
    for line in results:
        print(line, file=sys.stderr, flush=True)
    return 0


def _recorded(key: str, folder: Path, seeds: int) -> str:
    torch.set_num_threads(1)
    entry = record(key, folder, seeds=SEEDS[:seeds])
    ends = entry.history.accuracy.mean(0)[[0, -1]].tolist()
    return f"{entry.remedy.name}: accuracy {ends[0]:.3f} at first, {ends[1]:.3f} at last"


if __name__ == "__main__":
    # The import, not this copy of the module: workers must know its classes by one name.
    from mlpinit import plasticity  # noqa: PLW0406

    sys.exit(plasticity.main())
