"""The ladder at full length: five rungs, ten seeds, two corpora, recorded by one command.

`python -m mlpinit.records` (or `make records`) trains what is not recorded yet, spread over
processes by joblib or over a Dask cluster by joblib's own backend, and writes a small JSON file a
run. `load` reads them, and the chapter "The ladder" shows them.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from mlpinit import __version__, corpus, init, redraw, train
from mlpinit._files import write_whole
from mlpinit.corpus import Splits
from mlpinit.init import Scheme
from mlpinit.normalize import Statistics
from mlpinit.params import Architecture, Params, stack

__all__ = [
    "CORPORA",
    "FOLDER",
    "REPLAYED",
    "RUNGS",
    "SEEDS",
    "STEPS",
    "Job",
    "Record",
    "RecordError",
    "Rung",
    "apart",
    "backend",
    "changed",
    "curves",
    "load",
    "losses",
    "missing",
    "record",
    "replay",
    "replayed_steps",
    "run",
    "save",
]

FOLDER = Path(__file__).parent / "data" / "ladder"
"""Where the book's records lie, beside the package in its repository."""

CORPORA = ("surnames", "names")
SEEDS = (2147483647, 1, 2, 3, 4, 5, 6, 7, 8, 9)
"""The published seed first."""

STEPS = 200_000
BATCH_SIZE = 32
RATES = (0.1, 0.01)
BLOCKS = 100
TOGETHER = 5
FORMAT = 1
REPLAYED = 20
"""A build trains the first of this many parts of a run."""

ALIKE = 12  # runs in one stack when they are trained again: more gain nothing
FULL = "MLPINIT_FULL"  # where it is set, runs are trained again to their end
# How far rounding, which differs between processors, may move a loss that is recorded, in nats. A
# start whose numbers are off by 2^-23 moves the means of a block by 3e-8. The original's, which
# multiplies every difference, were found up to 0.035 away on another processor.
MOVED = 2e-5
MOVED_ORIGINAL = 5e-2
PATIENCE = 10.0  # seconds for a Dask scheduler to answer


class RecordError(ValueError):
    """A record that cannot be read, does not fit what is asked for, or is not there."""


@dataclass(frozen=True)
class Rung:
    """One step of the ladder: a network and how it is drawn. `key` is its name in files.

    >>> RUNGS["saturation"].numbers()["factors"]  # weights and biases, layer by layer
    [[0.2, 0.01], [0.01, 0.0]]
    """

    key: str
    name: str
    arch: Architecture
    scheme: Scheme

    def numbers(self) -> dict[str, object]:
        """All that tells this rung from another one, as JSON has it."""
        return {
            "scheme": self.scheme.name,
            "factors": [list(pair) for pair in self.scheme.factors(self.arch)],
            "normalize": self.arch.normalize,
            "activation": self.arch.activation,
            "sizes": [list(pair) for pair in self.arch.layer_sizes],
            "n_params": self.arch.n_params,
        }


RUNGS: dict[str, Rung] = {
    rung.key: rung
    for rung in (
        Rung("original", "original", Architecture(), init.AS_DRAWN),
        Rung("softmax", "softmax fixed", Architecture(), init.QUIET_OUTPUT),
        Rung("saturation", "saturation fixed", Architecture(), init.scaled(0.2, 0.01)),
        Rung("kaiming", "Kaiming", Architecture(), init.kaiming("tanh")),
        Rung("batch", "batch norm", Architecture(normalize="batch"), init.kaiming("tanh")),
    )
}
"""The rungs in order, by key; each repairs one thing more than the one before."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One run, as its file holds it. Losses are means over a whole split, in nats.

    - `corpus`, `sha256`: the name of the word list and the hash of its file
    - `rung`, `network`: the key of the rung and its numbers (`Rung.numbers`)
    - `loss`: "train", "dev" and "test"; batch norm's with its running statistics
    - `calibrated`: the same with batch norm's statistics over the training set; None without it
    - `curve`: the mean training loss of each block of `block` steps
    - `made`: "date" (UTC), "seconds" (of this run's share), "together" (runs in one stack), and the
      versions: "mlpinit", "torch", "python", "platform"
    """

    format: int
    corpus: str
    sha256: str
    rung: str
    network: dict[str, object]
    seed: int
    steps: int
    batch_size: int
    learning_rates: list[float]
    loss: dict[str, float]
    calibrated: dict[str, float] | None
    block: int
    curve: list[float]
    made: dict[str, object]

    @property
    def filename(self) -> str:
        """The name of its file."""
        return f"{self.corpus}-{self.rung}-{self.seed}.json"

    @property
    def tolerance(self) -> float:
        """How far another processor's rounding may move the mean loss of a block, in nats."""
        return MOVED_ORIGINAL if self.rung == "original" else MOVED


@dataclass(frozen=True)
class Job:
    """Runs that are trained in one stack: one rung on one corpus, a network a seed."""

    corpus: str
    sha256: str
    rung: str
    seeds: tuple[int, ...]
    steps: int = STEPS

    def __str__(self) -> str:
        """As a progress bar and an error name it."""
        seeds = ", ".join(map(str, self.seeds))
        return f"{RUNGS[self.rung].name} on {self.corpus}, seeds {seeds}"

    def settings(self, seed: int) -> dict[str, object]:
        """What a record must say to be one of this job's: all that its numbers depend on."""
        return {
            "format": FORMAT,
            "corpus": self.corpus,
            "sha256": self.sha256,
            "rung": self.rung,
            "network": RUNGS[self.rung].numbers(),
            "seed": seed,
            "steps": self.steps,
            "batch_size": BATCH_SIZE,
            "learning_rates": list(RATES),
        }


def run(job: Job) -> list[Record]:
    """Train and evaluate the networks of a job together: a record a seed, in their order.

    Each is what training it alone gives: parameters and batches come from its own generator.
    Raises `RecordError` when the corpus has another hash than the job's.

    >>> job = Job("surnames", corpus.load().sha256, "kaiming", (1, 2), steps=4)
    >>> print(job, [entry.filename for entry in run(job)])
    Kaiming on surnames, seeds 1, 2 ['surnames-kaiming-1.json', 'surnames-kaiming-2.json']
    """
    began = time.perf_counter()
    splits, rung = _splits(job.corpus, job.sha256), RUNGS[job.rung]
    trained = _train([(rung, seed) for seed in job.seeds], splits, steps=job.steps, of=job.steps)

    def evaluate(statistics: Statistics | None) -> list[dict[str, float]]:
        return [
            _evaluate(trained.params.run(k), splits, statistics and statistics.run(k))
            for k in range(len(job.seeds))
        ]

    calibrated: Sequence[dict[str, float] | None] = [None] * len(job.seeds)
    if rung.arch.normalize == "batch":
        calibrated = evaluate(train.calibrate(trained.params, splits.train))
    block = max(1, job.steps // BLOCKS)
    made = {
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round((time.perf_counter() - began) / len(job.seeds), 2),
        "together": len(job.seeds),
        "mlpinit": __version__,
        "torch": torch.__version__.partition("+")[0],
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    return [
        Record(
            **job.settings(seed),
            loss=loss,
            calibrated=exact,
            block=block,
            curve=_block_means(trained.losses[k], block),
            made=made,
        )
        for k, (seed, loss, exact) in enumerate(
            zip(job.seeds, evaluate(trained.statistics), calibrated, strict=True)
        )
    ]


def _train(
    runs: Sequence[tuple[Rung, int]],
    splits: Splits,
    *,
    steps: int,
    of: int,
    snapshots: Collection[int] = (),
) -> train.Run:
    """The first `steps` steps of runs of `of` steps, given as rung and seed, in one stack."""
    with redraw.redrawn(0):  # a record is of the seed that it names
        generators = [torch.Generator().manual_seed(seed) for _, seed in runs]
    starts = [
        init.draw(rung.arch, rung.scheme, generator=g)
        for (rung, _), g in zip(runs, generators, strict=True)
    ]
    return train.sgd(
        stack(starts),
        splits.train,
        steps=steps,
        generator=generators,
        batch_size=BATCH_SIZE,
        lr=train.halves(of, *RATES),
        snapshots=snapshots,
        progress=False,
    )


def _evaluate(params: Params, splits: Splits, statistics: Statistics | None) -> dict[str, float]:
    parts = {"train": splits.train, "dev": splits.dev, "test": splits.test}
    return {
        name: round(float(train.evaluate(params, part, statistics=statistics)), 6)
        for name, part in parts.items()
    }


def _block_means(losses: Tensor, block: int) -> list[float]:
    """Means over whole blocks of losses (steps,); what is left over at the end is left out."""
    whole = losses[: len(losses) // block * block].double().view(-1, block)
    return [round(mean, 5) for mean in whole.mean(1).tolist()]


@cache
def _splits(name: str, sha256: str) -> Splits:
    words = corpus.load(name)
    if words.sha256 != sha256:
        raise RecordError(
            f"the corpus {name!r} has sha256 {words.sha256} here and {sha256} where the job was "
            "made; install one version of mlpinit on both"
        )
    return corpus.split(words)


# --- Files ---------------------------------------------------------------------------------------


def save(entry: Record, folder: str | os.PathLike[str]) -> Path:
    """Write a record to its own file, whole or not at all; a line a field."""
    path = Path(folder) / entry.filename
    lines = (
        f" {json.dumps(name)}: {json.dumps(value)}"
        for name, value in dataclasses.asdict(entry).items()
    )
    write_whole(path, "{\n" + ",\n".join(lines) + "\n}\n")
    return path


def load(folder: str | os.PathLike[str] = FOLDER) -> list[Record]:
    """Every record of a folder, in the order corpus, rung, seed of this module's lists.

    Raises `RecordError`, with the file's name, for one that is not of the form of `Record`, and for
    a folder without any.
    """
    paths = sorted(Path(folder).glob("*.json"))
    if not paths:
        raise RecordError(f"there are no records in {folder}; `make records` makes them")
    return sorted(map(_read, paths), key=_place)


def _place(entry: Record) -> tuple[int, ...]:
    def where(names: Iterable, value: object) -> int:
        names = list(names)
        return names.index(value) if value in names else len(names)

    return (
        where(CORPORA, entry.corpus),
        where(RUNGS, entry.rung),
        where(SEEDS, entry.seed),
        entry.seed,
    )


def losses(
    records: Iterable[Record], corpus: str, rung: str, split: str, *, calibrated: bool = False
) -> Tensor:
    """The loss of every seed of one rung on one corpus: (seeds,) float64, in the order of `load`.

    `calibrated` takes batch norm's with statistics over the training set. Raises `RecordError`
    where there are none.

    >>> losses(load(), "surnames", "kaiming", "dev").shape
    torch.Size([10])
    """
    chosen = _choose(records, corpus, rung)
    parts = [entry.calibrated if calibrated else entry.loss for entry in chosen]
    if None in parts:
        raise RecordError(f"the rung {rung!r} has no statistics, and no calibrated losses")
    return torch.tensor([part[split] for part in parts], dtype=torch.float64)


def curves(records: Iterable[Record], corpus: str, rung: str) -> tuple[Tensor, Tensor]:
    """The loss curves of one rung on one corpus: the middle step of each block, (blocks,), and the
    means, (seeds, blocks), both float64.
    """
    chosen = _choose(records, corpus, rung)
    middle = (torch.arange(len(chosen[0].curve)).double() + 0.5) * chosen[0].block
    return middle, torch.tensor([entry.curve for entry in chosen], dtype=torch.float64)


def _choose(records: Iterable[Record], corpus: str, rung: str) -> list[Record]:
    records = list(records)
    chosen = [entry for entry in records if (entry.corpus, entry.rung) == (corpus, rung)]
    if not chosen:
        known = ", ".join(sorted({f"{e.rung} on {e.corpus}" for e in records}))
        raise RecordError(f"there is no record of {rung} on {corpus}; there are {known or 'none'}")
    if len({entry.steps for entry in chosen}) > 1:
        raise RecordError(f"the records of {rung} on {corpus} are of runs of different lengths")
    return chosen


_SPLITS = {"train": float, "dev": float, "test": float}
_FORM = {
    "format": int,
    "corpus": str,
    "sha256": str,
    "rung": str,
    "network": {
        "scheme": str,
        "factors": [[float]],
        "normalize": (str, None),
        "activation": str,
        "sizes": [[int]],
        "n_params": int,
    },
    "seed": int,
    "steps": int,
    "batch_size": int,
    "learning_rates": [float],
    "loss": _SPLITS,
    "calibrated": (_SPLITS, None),
    "block": int,
    "curve": [float],
    "made": {
        "date": str,
        "seconds": float,
        "together": int,
        "mlpinit": str,
        "torch": str,
        "python": str,
        "platform": str,
    },
}
"""The form of a file: a type, a list of one form, a dict of forms, or a form or None."""


def _read(path: Path) -> Record:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path.name} cannot be read as JSON: {error}") from error
    if isinstance(data, dict) and data.get("format") != FORMAT:
        found = data.get("format")
        raise RecordError(f"{path.name} is of format {found!r}; this version reads {FORMAT}")
    if problem := _misfit(data, _FORM, ""):
        raise RecordError(f"{path.name}: {problem}")
    entry = Record(**data)
    if entry.filename != path.name:
        raise RecordError(f"{path.name} holds the record that belongs in {entry.filename}")
    if entry.rung not in RUNGS:
        raise RecordError(f"{path.name}: rung is {entry.rung!r}; there are {', '.join(RUNGS)}")
    if entry.block < 1 or len(entry.curve) != entry.steps // entry.block:
        raise RecordError(
            f"{path.name}: curve has {len(entry.curve)} means for {entry.steps} steps in blocks of "
            f"{entry.block}"
        )
    return entry


def _misfit(value: object, form: object, where: str) -> str | None:
    """What is wrong with a value, or None: `loss.dev is 'x'; wanted a finite number`."""
    if isinstance(form, tuple):
        return None if value is None else _misfit(value, form[0], where)
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return f"{where or 'the file'} is {value!r:.40}; wanted an object"
        if value.keys() != form.keys():
            differ = ", ".join(sorted(value.keys() ^ form.keys()))
            return f"{where or 'the file'} lacks, or should not have, {differ}"
        pairs = ((value[key], form[key], f"{where}.{key}".lstrip(".")) for key in form)
    elif isinstance(form, list):
        if not isinstance(value, list):
            return f"{where} is {value!r:.40}; wanted a list"
        pairs = ((item, form[0], f"{where}[{i}]") for i, item in enumerate(value))
    else:
        return _misfit_of_leaf(value, form, where)
    return next(filter(None, (_misfit(*pair) for pair in pairs)), None)


def _misfit_of_leaf(value: object, form: object, where: str) -> str | None:
    if isinstance(value, bool):
        fits = False
    elif form is float:
        fits = isinstance(value, int | float) and math.isfinite(value)
    else:
        fits = isinstance(value, form)
    names = {float: "a finite number", int: "a whole number", str: "a text"}
    return None if fits else f"{where} is {value!r:.40}; wanted {names[form]}"


# --- What is there and what is not ---------------------------------------------------------------


def missing(
    folder: str | os.PathLike[str] = FOLDER,
    *,
    corpora: Sequence[str] = CORPORA,
    rungs: Sequence[str] = tuple(RUNGS),
    seeds: Sequence[int] = SEEDS,
    steps: int = STEPS,
    together: int = TOGETHER,
) -> list[Job]:
    """The jobs that make what a folder lacks of those runs, at most `together` seeds a job.

    A run is there when its file holds a record of the same settings: corpus hash, rung and its
    numbers, seed, steps, batch size and learning rates. Neither the versions nor the date count
    (see `changed`). Raises `RecordError` for a file that holds another record, or none at all,
    rather than replace it.
    """
    folder, jobs = Path(folder), []
    for name in corpora:
        sha256 = corpus.load(name).sha256
        for key in rungs:
            job = Job(name, sha256, key, tuple(seeds), steps)
            todo = [seed for seed in dict.fromkeys(seeds) if not _is_there(folder, job, seed)]
            parts = [tuple(todo[i : i + together]) for i in range(0, len(todo), together)]
            jobs += [dataclasses.replace(job, seeds=part) for part in parts]
    return jobs


def _is_there(folder: Path, job: Job, seed: int) -> bool:
    path = folder / f"{job.corpus}-{job.rung}-{seed}.json"
    if not path.exists():
        return False
    entry = _read(path)
    for name, wanted in job.settings(seed).items():
        if (found := getattr(entry, name)) != wanted:
            raise RecordError(
                f"{path.name} is the record of another run: {name} is {found}, and {wanted} is "
                "asked for. Choose another folder (--folder), or make these runs again (--fresh)"
            )
    return True


# --- Training again what is recorded --------------------------------------------------------------


def replayed_steps(steps: int = STEPS) -> int:
    """How many steps a build trains again: a twentieth, or all where `MLPINIT_FULL` is set."""
    return steps if os.environ.get(FULL) else max(1, steps // REPLAYED)


def replay(
    records: Iterable[Record], *, steps: int | None = None, snapshots: Collection[int] = ()
) -> list[train.Run]:
    """Train the first `steps` steps of recorded runs again, and hold the records against them.

    - `steps`: at least a block; None for `replayed_steps`. Of a whole run the end is compared too
    - `snapshots`: as in `train.sgd`

    The runs come in the order of the records. Raises `RecordError`, which names every record that
    today's code does not make: by the mean loss of a block, or the losses at the end.
    """
    entries = list(records)
    if short := [e.filename for e in entries if steps is not None and steps < e.block]:
        raise ValueError(f"{steps} steps are no block of {short[0]}; there is nothing to compare")
    again = _again(entries, lambda entry: steps or replayed_steps(entry.steps), snapshots)
    if found := _disagreements(entries, again):
        raise RecordError("\n".join(found))
    return again


def changed(records: Iterable[Record]) -> list[str]:
    """The records that today's code would not make, a sentence each.

    Trains the first block of each run again and compares its mean loss with the recorded one. What
    decides is the numbers: neither an edit that does not change them nor another torch that
    computes the same makes a record stale.
    """
    entries = list(records)
    return _disagreements(entries, _again(entries, lambda entry: entry.block))


def apart(entry: Record, run: train.Run) -> float:
    """How far a run lies from its record: the largest difference of a block's mean loss, in nats.

    Of the blocks that the run trained to their end.
    """
    means = _block_means(run.losses, entry.block)
    return max(abs(a - b) for a, b in zip(means, entry.curve, strict=False))


def _again(
    entries: Sequence[Record],
    length: Callable[[Record], int],
    snapshots: Collection[int] = (),
) -> list[train.Run]:
    """Runs of the recorded settings, those of one architecture together."""

    def kind(k: int) -> tuple:
        entry = entries[k]
        corpus_of = entry.corpus, entry.sha256
        return (*corpus_of, RUNGS[entry.rung].arch.normalize or "", entry.steps, length(entry))

    runs: dict[int, train.Run] = {}
    for (name, sha256, _, steps, first), alike in groupby(
        sorted(range(len(entries)), key=kind), kind
    ):
        places = list(alike)
        for part in (places[i : i + ALIKE] for i in range(0, len(places), ALIKE)):
            trained = _train(
                [(RUNGS[entries[k].rung], entries[k].seed) for k in part],
                _splits(name, sha256),
                steps=first,
                of=steps,
                snapshots=snapshots,
            )
            runs |= {k: trained.run(i) for i, k in enumerate(part)}
    return [runs[k] for k in range(len(entries))]


def _disagreements(entries: Sequence[Record], runs: Sequence[train.Run]) -> list[str]:
    found = []
    for entry, run in zip(entries, runs, strict=True):
        if not (off := apart(entry, run)) <= entry.tolerance:
            found.append(
                f"{entry.filename}: over {len(run.losses)} steps the mean loss of a block differs "
                f"by {off:.1e} from the recorded one; {entry.tolerance:.0e} may be rounding"
            )
        if len(run.losses) == entry.steps:
            found += _end_disagreements(entry, run)
    return found


def _end_disagreements(entry: Record, run: train.Run) -> list[str]:
    ended = _evaluate(run.params, _splits(entry.corpus, entry.sha256), run.statistics)
    return [
        f"{entry.filename}: the {part} loss ends at {loss}, and {entry.loss[part]} is recorded"
        for part, loss in ended.items()
        if not abs(loss - entry.loss[part]) <= entry.tolerance
    ]


# --- Making what is missing ----------------------------------------------------------------------


def record(
    jobs: Sequence[Job],
    folder: str | os.PathLike[str] = FOLDER,
    *,
    workers: int = 1,
    dask: str | None = None,
    progress: bool = True,
) -> list[str]:
    """Run jobs over processes and save each one's records as soon as it is done.

    - `workers`: processes, each with one thread of torch
    - `dask`: the address of a Dask scheduler to run on instead, or "local" for a cluster of
      `workers` processes on this machine. Its workers need this version of mlpinit
    - `progress`: a bar of runs on stderr

    A job that fails does not stop the others; the errors are returned, each with its job's name.
    Whatever interrupts it, finished jobs are saved whole, and `missing` gives the rest.
    """
    from joblib import Parallel, delayed  # noqa: PLC0415  (recording alone needs it)

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    failures: list[str] = []
    if not jobs:
        return failures
    with (
        backend(dask, workers),
        tqdm(total=sum(len(job.seeds) for job in jobs), unit="run", disable=not progress) as bar,
    ):
        parallel = Parallel(n_jobs=workers, batch_size=1, return_as="generator_unordered")
        with contextlib.closing(parallel(delayed(_attempt)(job) for job in jobs)) as results:
            for job, records, error in results:
                for entry in records:
                    save(entry, folder)
                if error:
                    failures.append(f"{job}: {error}")
                    bar.write(f"failed: {failures[-1]}", file=sys.stderr)
                bar.update(len(job.seeds))
    return failures


def _attempt(job: Job) -> tuple[Job, list[Record], str | None]:
    """What a worker does: an exception becomes a text, for it may not travel between machines."""
    torch.set_num_threads(1)
    try:
        return job, run(job), None
    except Exception as error:
        return job, [], f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def backend(dask: str | None, workers: int) -> Iterator[None]:
    """Where joblib runs: its own processes, or a Dask cluster."""
    from joblib import parallel_config  # noqa: PLC0415

    if dask is None:
        with parallel_config(backend="loky"):
            yield
        return
    from distributed import Client, LocalCluster  # noqa: PLC0415

    with contextlib.ExitStack() as closing:
        address = dask
        if dask == "local":
            address = closing.enter_context(
                LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
            )
        try:
            client = Client(address, set_as_default=False, timeout=PATIENCE)
        except (OSError, ValueError) as error:
            raise RecordError(f"no Dask scheduler answers at {dask}: {error}") from error
        closing.enter_context(client)
        with parallel_config(backend="dask", client=client):
            yield


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: what it recorded, on stderr; 0 when everything asked for is recorded."""
    parser = _parser()
    given = parser.parse_args(arguments)
    wanted = {"corpora": given.corpora, "rungs": given.rungs, "seeds": given.seeds}
    try:
        if given.check:
            return _report_changes(load(given.folder))
        if given.fresh:
            _remove(given.folder, **wanted)
        jobs = missing(given.folder, **wanted, steps=given.steps, together=given.together)
        total = math.prod(len(set(values)) for values in wanted.values())
        todo = sum(len(job.seeds) for job in jobs)
        print(f"{total - todo} of {total} runs are recorded; {todo} to do", file=sys.stderr)
        with _stopped_like_ctrl_c():
            failures = record(jobs, given.folder, workers=given.jobs, dask=given.dask)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"{error}; pip install '.[records]' brings it", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    if failures:
        heading = f"{len(failures)} of {len(jobs)} jobs failed:"
        print(heading, *failures, sep="\n  ", file=sys.stderr)
    return int(bool(failures))


@contextlib.contextmanager
def _stopped_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end the worker processes too, as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mlpinit.records",
        description="Train the runs of the ladder that are not recorded yet. Interrupted, the same "
        "command goes on where it stopped.",
    )
    add = parser.add_argument
    add("--folder", type=Path, default=FOLDER, help="where the records are (the book's)")
    add("--corpora", nargs="+", choices=CORPORA, default=CORPORA)
    add("--rungs", nargs="+", choices=RUNGS, default=tuple(RUNGS))
    add("--seeds", nargs="+", type=int, default=SEEDS, help="(the ten of the book)")
    add("--steps", type=_count, default=STEPS, help="(%(default)s)")
    add("--together", type=_count, default=TOGETHER, help="seeds trained in a stack (%(default)s)")
    add("--jobs", type=_count, default=1, help="processes (%(default)s)")
    add("--dask", metavar="ADDRESS", help="run on this Dask cluster; 'local' starts one")
    add("--fresh", action="store_true", help="remove the records asked for, then make them again")
    add("--check", action="store_true", help="only train each record's first block, and compare")
    return parser


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return int(text)


def _remove(
    folder: Path, *, corpora: Sequence[str], rungs: Sequence[str], seeds: Sequence[int]
) -> None:
    for name in corpora:
        for key in rungs:
            for seed in seeds:
                (folder / f"{name}-{key}-{seed}.json").unlink(missing_ok=True)


def _report_changes(records: Sequence[Record]) -> int:
    found = changed(records)
    print(*found, sep="\n", end="\n" if found else "", file=sys.stderr)
    print(f"{len(found)} of {len(records)} records differ from today's code", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    # The import, not this copy of the module: workers must know its classes by one name.
    from mlpinit import records  # noqa: PLW0406

    sys.exit(records.main())
