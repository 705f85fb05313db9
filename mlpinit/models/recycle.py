"""Bring dead units back in any torch model: fold what they said, redraw what they hear.

A recycled unit starts again as a newly drawn one whose answers nobody listens to yet: its incoming
weights are fresh, its outgoing weights are 0, and the constant that it used to add to the next
layer is in that layer's bias. What the model computes stays the same; what it can learn does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from mlpinit.init import Scheme
from mlpinit.models.batches import Batches
from mlpinit.models.comparing import compared, difference, outputs
from mlpinit.models.graph import Dead
from mlpinit.models.layers import constant_part, is_layer, weight_axes
from mlpinit.models.measuring import Followed, Range, check_padding, measure, unusual
from mlpinit.models.parts import Parts
from mlpinit.models.tracing import check_model, evaluating, unmarked
from mlpinit.progress import printable

__all__ = ["OPTIMIZER_STATE", "RecycledSite", "Recycling", "recycle"]

OPTIMIZER_STATE = frozenset(
    ("momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "square_avg", "grad_avg", "sum",
     "sqr_avg")
)  # fmt: skip
"""What an optimiser may keep for each entry of a parameter and can be started anew, at 0."""


@dataclass(frozen=True)
class RecycledSite:
    """What was done at one site.

    - `name`, `units`: the site and its units
    - `producer`, `consumers`: the layers whose weights lead in and out
    - `constants`: (units,) float64, the mean over the data of what each unit said
    - `spread`: (units,) float64, the largest less the smallest of that: 0 for a unit that is stuck
    - `dead_again`: those that are constant on the data with their new weights, too
    - `with_it`: layers of which the same units were redrawn: what a gate opens for, a depthwise
      convolution
    """

    name: str
    units: tuple[int, ...]
    producer: str
    consumers: tuple[str, ...]
    constants: Tensor
    spread: Tensor
    dead_again: tuple[int, ...] = ()
    with_it: tuple[str, ...] = ()

    def __str__(self) -> str:
        """What was done there."""
        n, layers = len(self.units), " and ".join(map(repr, (self.producer, *self.with_it)))
        done = (
            f"{self.name!r}: {n} unit{'s'[: n != 1]} of {layers} redrawn, "
            f"constants ({self.constants.abs().max():.3g} at most) folded into "
            f"{', '.join(map(repr, self.consumers))}"
        )
        if self.dead_again:
            again = ", ".join(map(str, self.dead_again))
            done += f"; constant on the data again: {again}"
        return printable(done)


@dataclass(frozen=True)
class Recycling:
    """What `recycle` did.

    - `sites`: a `RecycledSite` each
    - `output_change`: the largest difference in any output of the model over the data
    - `state_reset`: parameter → the names of what the optimiser kept for its entries and now does
      not; empty without an optimiser, or before its first step
    - `kept`: site → why it was left as it is
    """

    sites: tuple[RecycledSite, ...]
    output_change: float
    state_reset: dict[str, tuple[str, ...]]
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def n_units(self) -> int:
        """How many units were recycled."""
        return sum(len(site.units) for site in self.sites)

    def __str__(self) -> str:
        """A line a site, and one on the output and the optimiser."""
        lines = [str(site) for site in self.sites]
        lines += [f"{site!r}: left as it is, {why}" for site, why in self.kept.items()]
        lines.append(f"largest change of an output: {self.output_change:.3g}")
        alike: dict[tuple[str, ...], list[str]] = {}
        for name, kept in self.state_reset.items():
            alike.setdefault(kept, []).append(name)
        state = "; ".join(f"{', '.join(k)} of {', '.join(n)}" for k, n in alike.items())
        lines.append(f"optimiser's state reset: {state or 'none'}")
        return printable("\n".join(lines))


def recycle(
    model: nn.Module,
    dead: Dead,
    data: object,
    *,
    generator: Generator,
    optimizer: Optimizer | None = None,
    weights: float | Scheme | None = None,
    tolerance: float | None = None,
    strict: bool = False,
) -> Recycling:
    """Start dead units anew, in place, without changing what the model computes in evaluation.

    For unit j with the constant answer c_j, with W (out, in) as PyTorch stores it:

        b_next += W_next[:, j] c_j;  W_next[:, j] = 0;  W[j] ~ fresh;  b[j] = 0

    and every entry that the optimiser keeps for W[j], b[j] and W_next[:, j] is set to 0, as is any
    gradient that waits there. A batch normalisation between layer and activation starts anew at the
    unit: scale 1, shift 0, running mean 0 and variance 1. Where the activation is a gate, unit j of
    what it opens for starts anew as well, and so does the filter of a depthwise convolution.

    - `model`: as for `surgery.remove`, changed in place, so that training goes on
    - `dead`: site name → unit indices, as `watch` reports them, or a mask (units,) of bools
      (`mlpinit.sites` names sites)
    - `data`: a batch (a tensor, or a tuple of the forward's arguments), or batches that can be
      walked more than once, such as a DataLoader; a dict in it goes in by name. The units'
      constants are their means over it
    - `generator`: draws the incoming weights, site by site in the order of the forward pass, units
      in rising order, in float32 on the CPU
    - `optimizer`: its state for the entries written is reset. `step`, one number for a whole
      parameter, cannot be reset for a unit and stays: Adam then takes the moments, which start at
      0, for long averages, and the first updates of a recycled unit are up to 6.6 times as large
      as usual (β = 0.9, 0.999)
    - `weights`: the incoming weights: None for PyTorch's own default, uniform within ±1/√fan_in; a
      number for a gain, normal with standard deviation gain/√fan_in; an `init.Scheme`
    - `tolerance`: how far an output may move over the data; by default what rounding may do, 100
      machine epsilons of its size
    - `strict`: raise where any site is refused. Otherwise what can be recycled is, and the answer's
      `kept` says which sites were left and why

    A unit whose new weights leave it constant on the data, too, is among its site's `dead_again`.
    Everything is checked, and the change of the outputs measured, before the first write. Raises
    `ValueError` for a unit or site that does not exist and an optimiser of another model or of
    unknown state; and when all sites are refused: units that cannot be followed or whose neighbours
    are shared (`sites.SiteError`), a constant that has no bias to go to, an output that would move
    by more than `tolerance`, as when a unit is listened to and not constant on the data. The
    outputs are those of evaluation mode; in training a dropout between the unit and its reader
    scales what was folded as it scales units.

    Source: Sokar, Agarwal, Castro & Evci, "The Dormant Neuron Phenomenon in Deep Reinforcement
    Learning" (2023), algorithm 1, without the folding, which units stuck elsewhere than at 0 need;
    the code of Dohare et al., "Loss of Plasticity in Deep Continual Learning" (2024), folds too.

    >>> g = torch.Generator().manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> with torch.no_grad():
    ...     _ = model[0].bias[5].fill_(40.0)
    >>> done = recycle(model, {"1": [5]}, torch.randn(64, 3, generator=g), generator=g)
    >>> done.sites[0].constants.tolist(), done.output_change < 1e-6
    ([1.0], True)
    """
    check_model(model)
    with evaluating(model), unmarked(model), torch.no_grad():
        batches = Batches(data, model)
        parts = Parts(model, batches)
        jobs, refused = parts.follow(dead)
        measure(jobs, parts.run, batches)
        draw = _Draw(model, batches, weights, generator, tolerance)
        plan, entries, change = draw.run(jobs, refused, strict=strict, optimizer=optimizer)
        jobs = [job for job in jobs if job.site not in refused]
        constants = {job.site: job.said for job in jobs}
        plan.write()
        for _, _, state, places, start in entries:
            for axis, index in places:
                state.index_fill_(axis, index, start)
        measure(jobs, parts.run, batches)
    reset: dict[str, list[str]] = {}
    for name, kept, *_ in entries:
        reset.setdefault(name, []).append(kept)
    return Recycling(
        tuple(_record(job, constants[job.site]) for job in jobs),
        change,
        {name: tuple(kept) for name, kept in reset.items()},
        {site: str(error) for site, error in refused.items()},
    )


def _record(job: Followed, before: Range) -> RecycledSite:
    return RecycledSite(
        name=job.site,
        units=tuple(job.units),
        producer=job.producer,
        consumers=tuple(job.cuts.inputs),
        constants=before.mean.cpu(),
        spread=before.width.cpu(),
        dead_again=tuple(sorted({*job.units} - {job.units[k] for k in job.said.varying(None)})),
        with_it=tuple(path for path in _redrawn(job) if path != job.producer),
    )


def _redrawn(job: Followed) -> dict[str, set[int]]:
    """The layers that make a site's units, and the depthwise convolutions on their way."""
    cuts, modules = job.cuts, job.plan.modules
    first = {job.producer: cuts.outputs[job.producer]}
    on_the_way = {p: found for p, found in cuts.norms.items() if is_layer(modules[p])}
    return {**first, **cuts.outputs, **on_the_way}


@dataclass
class _Draw:
    """Planning new values, and comparing the outputs under them with those before."""

    model: nn.Module
    batches: Batches
    weights: float | Scheme | None
    generator: Generator
    tolerance: float | None

    def run(
        self,
        jobs: Sequence[Followed],
        refused: dict[str, ValueError],
        *,
        strict: bool,
        optimizer: Optimizer | None,
    ) -> tuple[_Plan, list[_Entry], float]:
        """Plan for all sites; where an output would move, for all that do not move it alone."""
        good = []
        for job in jobs:
            try:
                check_padding(job, self.tolerance)
                _Plan(self.model).fold(job)
                good.append(job)
            except ValueError as error:
                refused[job.site] = error
        if refused and (strict or not good):
            raise next(iter(refused.values()))
        start = self.generator.get_state()
        try:
            return self._planned(good, optimizer)
        except _MovesError as error:
            self.generator.set_state(start)
            if strict or len(good) < 2:
                raise error from None
        for job in good:
            try:
                self._planned([job], optimizer)
            except _MovesError as error:
                refused[job.site] = error
            self.generator.set_state(start)
        good = [job for job in good if job.site not in refused]
        if not good:
            raise next(iter(refused.values()))
        return self._planned(good, optimizer)

    def _planned(
        self, jobs: Sequence[Followed], optimizer: Optimizer | None
    ) -> tuple[_Plan, list[_Entry], float]:
        plan = _Plan(self.model)
        for job in jobs:
            plan.fold(job)
        for job in jobs:
            for path, units in _redrawn(job).items():
                plan.redraw(path, sorted(units), self.weights, self.generator)
        for job in jobs:
            plan.start_norms_anew(job)
            plan.silence(job)
        entries = _optimizer_entries(plan, optimizer)
        odd = "".join(dict.fromkeys(unusual(job.cuts, job.plan) for job in jobs))
        change = _check_outputs(self.model, plan, self.batches, self.tolerance, odd)
        return plan, entries, change


class _MovesError(ValueError):
    """An output would move by more than the tolerance."""


class _Plan:
    """New values for tensors of a model, made and checked beside it, then written at once."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.new: dict[str, Tensor] = {}
        self.fresh: dict[str, list[tuple[int, Tensor]]] = {}  # name -> (axis, index) started anew

    def tensor(self, layer: str, kind: str) -> Tensor | None:
        """The new value of a parameter or buffer, to be changed in place; None where it is none."""
        now = getattr(self.model.get_submodule(layer), kind)
        return None if now is None else self.new.setdefault(f"{layer}.{kind}", now.detach().clone())

    def start_anew(
        self, layer: str, kind: str, axis: int, index: list[int], value: float | Tensor
    ) -> None:
        """Set the slices `index` along `axis` to a number or to their new values."""
        tensor = self.tensor(layer, kind)
        if tensor is None:
            return
        where = torch.tensor(index, device=tensor.device)
        if isinstance(value, Tensor):
            tensor.index_copy_(axis, where, value.to(tensor))
        else:
            tensor.index_fill_(axis, where, value)
        self.fresh.setdefault(f"{layer}.{kind}", []).append((axis, where))

    def fold(self, job: Followed) -> None:
        """Give the units' constants to the biases of the layers that read them."""
        for layer, channels in job.cuts.inputs.items():
            if not channels:
                continue
            gift = constant_part(
                self.tensor(layer, "weight"),
                weight_axes(self.model.get_submodule(layer)),
                sorted(channels),
                job.heard[layer].mean,
            )
            if not gift.any():
                continue
            bias = self.tensor(layer, "bias")
            if bias is None:
                raise ValueError(
                    f"{layer} has no bias to take what the units always said; give it one of zeros"
                )
            bias.copy_(bias.cpu().double() + gift)

    def redraw(
        self, producer: str, units: list[int], weights: float | Scheme | None, generator: Generator
    ) -> None:
        """New incoming weights, and a bias of 0."""
        axis = weight_axes(self.model.get_submodule(producer))[0]
        W = self.tensor(producer, "weight").movedim(axis, 0)  # (out, in, *kernel)
        shape = (len(units), *W.shape[1:])
        fan_in, receptive = W[0].numel(), W[0, 0].numel()
        if weights is None:
            drawn = (
                torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu") * 2 - 1
            )
            scale = 1 / math.sqrt(fan_in)
        else:
            drawn = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
            scale = (
                weights.weight(fan_in, W.shape[0] * receptive)
                if isinstance(weights, Scheme)
                else weights / math.sqrt(fan_in)
            )
        self.start_anew(producer, "weight", axis, units, (drawn * scale).movedim(0, axis))
        self.start_anew(producer, "bias", 0, units, 0.0)

    def start_norms_anew(self, job: Followed) -> None:
        """Batch normalisations on the way, as in a new layer."""
        for path, channels in job.cuts.norms.items():
            for kind, value in _NEW_NORM.items() if path not in _redrawn(job) else ():
                self.start_anew(path, kind, 0, sorted(channels), value)

    def silence(self, job: Followed) -> None:
        """Outgoing weights of 0. After all draws: a reading layer's row may itself be new."""
        for path, channels in job.cuts.inputs.items():
            axis = weight_axes(self.model.get_submodule(path))[1]
            self.start_anew(path, "weight", axis, sorted(channels), 0.0)

    def write(self) -> None:
        """Write the new values into the model, and clear the gradients of what starts anew."""
        held = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        for name, value in self.new.items():
            held[name].copy_(value)
            if held[name].grad is not None:
                for axis, index in self.fresh.get(name, ()):
                    held[name].grad.index_fill_(axis, index, 0)


_NEW_NORM = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}


_Entry = tuple[str, str, Tensor, list[tuple[int, Tensor]], float]
"""(parameter, kind, state, places, start value) of what an optimiser keeps."""


def _optimizer_entries(plan: _Plan, optimizer: Optimizer | None) -> list[_Entry]:
    """Everything kept for the written entries."""
    if optimizer is None:
        return []
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    parameters = dict(plan.model.named_parameters())
    touched = {name: parameters[name] for name in plan.fresh if name in parameters}
    if touched and not any(id(p) in trained for p in touched.values()):
        raise ValueError(
            f"the optimiser does not train {', '.join(touched)}: is it another model's?"
        )
    return [
        (name, kept, state, plan.fresh[name], start)
        for name, parameter in touched.items()
        for kept, state, start in state_of(optimizer, parameter, f"{name}, a unit of which")
    ]


def state_of(
    optimizer: Optimizer, parameter: Tensor, whose: str
) -> Iterator[tuple[str, Tensor, float]]:
    """(kind, state, start value) of what an optimiser keeps for each entry of a parameter.

    Raises `ValueError`, which names `whose` it is, for a kind that is none of `OPTIMIZER_STATE`.
    """
    for kept, state in optimizer.state.get(parameter, {}).items():
        if kept == "step" or state is None or _is_number(state):
            continue
        if kept not in OPTIMIZER_STATE or state.shape != parameter.shape:
            raise ValueError(
                f"{type(optimizer).__name__} keeps {kept!r} for {whose} cannot be reset alone; "
                f"known are {', '.join(sorted(OPTIMIZER_STATE))}"
            )
        start = 0.0
        if kept == "sum":
            groups = optimizer.param_groups
            (group,) = [g for g in groups if any(p is parameter for p in g["params"])]
            start = group.get("initial_accumulator_value", 0.0)
        yield kept, state, start


def _is_number(state: object) -> bool:
    return isinstance(state, int | float) or (isinstance(state, Tensor) and state.ndim == 0)


def _check_outputs(
    model: nn.Module, plan: _Plan, batches: Batches, tolerance: float | None, odd: str
) -> float:
    """The largest change of an output under the plan; `ValueError` if it is above tolerance."""

    def before(*args: Tensor, **named: Tensor) -> list[Tensor]:
        return outputs(model, model(*args, **named))

    def after(*args: Tensor, **named: Tensor) -> list[Tensor]:
        return outputs(model, torch.func.functional_call(model, plan.new, args, named))

    def apart(was: list[Tensor], now: list[Tensor]) -> float:
        return max(difference(a, b) for a, b in zip(was, now, strict=True))

    change, allowed = compared(batches, before, after, tolerance, apart)
    if not change <= allowed:
        raise _MovesError(
            f"an output would move by {change:.3g}, more than the tolerance of {allowed:.3g}: "
            "some of these units are not constant on the data; "
            f"tolerance={2 * change:.1g} would accept that{odd}. Nothing was changed"
        )
    return change
