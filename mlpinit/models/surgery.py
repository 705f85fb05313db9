"""Removing dead units from any PyTorch model: fold what they say into what follows, delete them.

A dead unit answers every input with the same number c. What follows it receives c·w and nothing
else from it, and a constant is what a bias is for:

    bias of the next layer += c · (the column of its weights that the unit feeds)

after which the unit can go. `remove` does that in a copy, and checks the copy on data before it
hands it over.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mlpinit.models.batches import Batches
from mlpinit.models.comparing import compared, difference, outputs
from mlpinit.models.flow import Cuts
from mlpinit.models.graph import Dead, Map
from mlpinit.models.layers import constant_part, keep_inputs, keep_outputs, weight_axes
from mlpinit.models.measuring import Followed, check_padding, measure, unusual
from mlpinit.models.parts import Parts
from mlpinit.models.sites import sites
from mlpinit.models.tracing import SiteError, check_model, evaluating
from mlpinit.progress import printable

__all__ = ["Removal", "RemovalError", "remove", "sites"]

RemovalError = SiteError
"""The units cannot be removed, or not within the tolerance; the model is as it was."""


@dataclass(frozen=True)
class Removal:
    """What `remove` hands back.

    - `model`: a new module of the same class, without the units; the original is as it was
    - `largest_difference`: of any output, between the two in evaluation mode, on the data
    - `removed`: site → the units that went, sorted
    - `parameters_before`, `parameters_after`: how many numbers each holds as parameters
    - `new_biases`: layers that had no bias and got one, to hold what was folded
    - `kept`: site → why its units stayed
    """

    model: nn.Module = field(repr=False)
    largest_difference: float
    removed: dict[str, list[int]]
    parameters_before: int
    parameters_after: int
    new_biases: tuple[str, ...] = ()
    kept: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line: units, parameters, difference. Where a site was kept, a line for each too."""
        n = sum(map(len, self.removed.values()))
        lines = [
            f"{n} unit{'s'[: n != 1]} removed: {self.parameters_before:,} → "
            f"{self.parameters_after:,} parameters, outputs within {self.largest_difference:.1e}"
        ]
        if self.kept:
            went = ((site, len(units)) for site, units in self.removed.items())
            lines += [f"{site!r}: {n} unit{'s'[: n != 1]} removed" for site, n in went]
            lines += [f"{site!r}: kept, {why}" for site, why in self.kept.items()]
        return printable("\n".join(lines))


def remove(
    model: nn.Module,
    dead: Dead,
    data: Tensor | tuple | Iterable,
    *,
    tolerance: float | None = None,
    allow_live: bool = False,
    strict: bool = False,
) -> Removal:
    """A copy of `model` without the units in `dead`, whose outputs on `data` are the same.

    Each unit's constant output, measured on the data where it enters a layer, goes into that
    layer's bias; then the unit goes from the layer that makes it (Linear, Conv1d to Conv3d, GPT-2's
    Conv1D; for a convolution a unit is a channel), from a batch norm or a depthwise convolution on
    its way, and from the layers that read it. On the way there may be activations, dropout,
    pooling, flattening and other changes of shape, concatenation, and arithmetic with numbers.
    Where the activation is a gate, unit i of what it lets through goes too, be that another layer's
    or the other half of the same one.

    - `model`: any module that torch.fx can trace, or in which it can trace the part around a site,
      as an MLP block of a transformer. It is not changed
    - `dead`: site → units, as `audit`, `watch` and `sites` name the sites; indices count along the
      last axis after a Linear layer and along the channels after a convolution. A mask (units,)
      will do
    - `data`: a batch of inputs (a tensor, or a tuple of just the forward's arguments), or an
      iterable of batches that can be walked more than once, such as a list or a DataLoader. Of a
      batch (x, y) in it as many items are passed on as the forward requires; a dict, or that of
      (dict, targets), goes in by name. They are moved to the model's device
    - `tolerance`: how far an output of the copy may be from the original's, and how far a unit may
      vary on the data and still be called constant. None means rounding: 100 machine epsilons of
      the dtype (at most 0.05), times the largest output if that is above 1
    - `allow_live`: accept units that vary; their mean is folded. The tolerance on the outputs holds
    - `strict`: raise where any site is refused. Otherwise what can be removed is, and the answer's
      `kept` says which sites stayed and why

    The promise is for evaluation mode. In training, batch norm puts a constant unit at its shift
    and dropout makes it flicker; neither is in a bias. Classes, names, dtypes, devices,
    `requires_grad` and train or eval mode are kept; gradients are not, and an optimiser holds the
    old parameters: make a new one.

    A site is refused when a unit of it is not constant, when it reaches an operation through which
    it cannot be followed (the reason names it), when a weight is shared, or when a copy without its
    units misses the tolerance. Raises `RemovalError` when all sites are refused; `ValueError` for a
    site or a unit that does not exist, or data that is none.

    Source: removing units that are always 0 is Hu, Peng, Tai & Tang, "Network Trimming" (2016).

    >>> layer, out = nn.Linear(2, 3), nn.Linear(3, 1)
    >>> with torch.no_grad():
    ...     layer.bias[1] = 1000.0  # tanh is then 1 on every input
    >>> net = nn.Sequential(layer, nn.Tanh(), out)
    >>> removal = remove(net, {"1": [1]}, torch.randn(50, 2))
    >>> removal.model[0], removal.parameters_before, removal.parameters_after
    (Linear(in_features=2, out_features=2, bias=True), 13, 9)
    """
    check_model(model)
    probe = _copy(model).eval()
    batches = Batches(data, probe)
    parts = Parts(probe, batches)
    jobs, refused = parts.follow(dead, _check_left)
    measure(jobs, parts.run, batches)
    sound = []
    for job in jobs:
        try:
            if not allow_live:
                _check_constant(job, tolerance)
            check_padding(job, tolerance)
            sound.append(job)
        except SiteError as error:
            refused[job.site] = error
    sound = _with_units_left(sound, refused)
    trial = _Trial(model, probe, batches, tolerance)
    result, moved, new_biases = trial.run(sound, refused, strict=strict)
    removed = {job.site: job.units for job in sound if job.site not in refused}
    return Removal(
        result,
        moved,
        removed,
        _n_parameters(model),
        _n_parameters(result),
        new_biases,
        {site: str(error) for site, error in refused.items()},
    )


def _check_left(plan: Map, site: str, units: list[int]) -> None:
    if len(units) == plan.n_units(site):
        raise RemovalError(_all_would_go(site, len(units)))


def _all_would_go(site: str, n: int) -> str:
    return (
        f"all {n} units of site {site!r} are to go, and with them what the model "
        "makes of its input there; leave one in, or replace the layer"
    )


def _with_units_left(jobs: Sequence[Followed], refused: dict[str, SiteError]) -> list[Followed]:
    """Those sites that together leave every layer a unit and an input."""
    cuts, left = Cuts(), []
    for job in jobs:
        together = copy.deepcopy(cuts)
        together.add(job.cuts)
        if any(
            len(gone) >= job.plan.modules[path].weight.size(weight_axes(job.plan.modules[path])[0])
            for path, gone in together.outputs.items()
        ):
            refused[job.site] = RemovalError(_all_would_go(job.site, len(job.units)))
        else:
            cuts = together
            left.append(job)
    return left


def _copy(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise RemovalError(f"the model cannot be copied ({error}); nothing was done") from error


def _n_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _check_constant(job: Followed, tolerance: float | None) -> None:
    if live := job.said.varying(tolerance):
        k = live[0]
        more = f" (and {len(live) - 1} more)" if len(live) > 1 else ""
        raise RemovalError(
            f"unit {job.units[k]} of site {job.site!r}{more} varies: on the data its output runs "
            f"from {job.said.low[k]:.4g} to {job.said.high[k]:.4g}. Name constant units only, or "
            "raise the tolerance, or pass allow_live=True to fold its mean"
        )


@dataclass
class _Trial:
    """Cutting copies of a model, and comparing them with it on the data."""

    model: nn.Module
    probe: nn.Module
    batches: Batches
    tolerance: float | None

    def run(
        self, jobs: Sequence[Followed], refused: dict[str, SiteError], *, strict: bool
    ) -> tuple[nn.Module, float, tuple[str, ...]]:
        """Cut all sites; where that misses, all that do not miss alone. The others are refused."""
        if refused and (strict or not jobs):
            raise _first(refused)
        try:
            return self._cut(jobs)
        except SiteError as error:
            if strict or len(jobs) < 2:
                raise _counted(error, len(refused)) from None
        good = []
        for job in jobs:
            try:
                self._cut([job])
                good.append(job)
            except SiteError as error:
                refused[job.site] = error
        if not good:
            raise _first(refused)
        return self._cut(good)

    def _cut(self, jobs: Sequence[Followed]) -> tuple[nn.Module, float, tuple[str, ...]]:
        result = _copy(self.model)
        new_biases = _operate(result, jobs)
        try:
            moved = _verify(self.probe, result, self.batches, self.tolerance)
        except _ApartError as error:
            raise RemovalError(f"{error}{_blame(jobs)}") from None
        return result, moved, new_biases


def _first(refused: Mapping[str, SiteError]) -> SiteError:
    """The error to raise where nothing can be removed."""
    return _counted(next(iter(refused.values())), len(refused) - 1)


def _counted(error: SiteError, more: int) -> SiteError:
    """An error, with how many more sites are refused."""
    if not more:
        return error
    return RemovalError(f"{error} ({more} more site{'s'[: more != 1]} cannot be changed either)")


def _operate(model: nn.Module, jobs: Sequence[Followed]) -> tuple[str, ...]:
    """Fold and delete, in place. The layers that got a bias."""
    cuts, new_biases = Cuts(), []
    with torch.no_grad():
        for path, constants in _constants(jobs).items():
            channels = sorted(constants)
            folded = torch.tensor([constants[c] for c in channels], dtype=torch.float64)
            if _fold(model.get_submodule(path), channels, folded):
                new_biases.append(path)
        for job in jobs:
            cuts.add(job.cuts)
        for path, channels in cuts.inputs.items():
            keep_inputs(model.get_submodule(path), channels)
        for path, channels in (*cuts.outputs.items(), *cuts.norms.items()):
            keep_outputs(model.get_submodule(path), channels)
    return tuple(new_biases)


def _constants(jobs: Sequence[Followed]) -> dict[str, dict[int, float]]:
    """What each input of each layer was on the data, of those that go."""
    found: dict[str, dict[int, float]] = {}
    for job in jobs:
        for path, range_ in job.heard.items():
            channels = sorted(job.cuts.inputs[path])
            mean = range_.mean.tolist() if channels else []
            found.setdefault(path, {}).update(zip(channels, mean, strict=True))
    return found


def _fold(layer: nn.Module, channels: list[int], constants: Tensor) -> bool:
    """b += Σ over the channels of (their weights) · constant. Whether the layer had no bias."""
    if not channels or not constants.any():
        return False
    shift = constant_part(layer.weight, weight_axes(layer), channels, constants)
    if layer.bias is None:
        requires_grad = layer.weight.requires_grad
        layer.bias = nn.Parameter(shift.to(layer.weight), requires_grad=requires_grad)
        return True
    layer.bias.copy_(layer.bias.detach().cpu().double() + shift)
    return False


class _ApartError(RemovalError):
    """The outputs of the two models differ by more than the tolerance."""


def _verify(
    before: nn.Module, after: nn.Module, batches: Batches, tolerance: float | None
) -> float:
    """The largest difference of an output on the data; `RemovalError` above the tolerance."""

    def original(*args: Tensor, **named: Tensor) -> list[Tensor]:
        return outputs(before, before(*args, **named))

    def cut(*args: Tensor, **named: Tensor) -> list[Tensor]:
        try:
            answer = after(*args, **named)
        except Exception as error:
            raise RemovalError(
                f"without the units the model does not run ({error}). Does its forward name a "
                "size, as in view(-1, 1024)? flatten(1) does not"
            ) from error
        return outputs(after, answer)

    with evaluating(after), torch.no_grad():
        most, allowed = compared(batches, original, cut, tolerance, _apart)
    if not most <= allowed:
        raise _ApartError(
            f"without the units an output differs by {most:.3g}; the tolerance is {allowed:.3g}"
        )
    return most


def _blame(jobs: Sequence[Followed]) -> str:
    """Where a followed unit varies most as it enters a layer, and what is unusual on the way."""
    odd = "".join(dict.fromkeys(unusual(job.cuts, job.plan) for job in jobs))
    widths = [
        (float(range_.width.max()), path)
        for job in jobs
        for path, range_ in job.heard.items()
        if len(range_.width)
    ]
    width, path = max(widths, default=(0.0, ""))
    if not width:
        return odd
    return f". A unit varies by {width:.3g} on the data where it enters {path!r}{odd}"


def _apart(wanted: list[Tensor], got: list[Tensor]) -> float:
    if len(got) != len(wanted):
        raise RemovalError(
            f"without the units the model answers with {len(got)} tensors where it had "
            f"{len(wanted)}; they cannot be compared"
        )
    return max(map(_difference, wanted, got))


def _difference(a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape:
        raise RemovalError(
            f"without the units an output has shape {tuple(b.shape)} where it was "
            f"{tuple(a.shape)}. Does the forward name a size, as in view(-1, 1024)?"
        )
    return difference(a, b)
