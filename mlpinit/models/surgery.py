"""Removing dead units from any PyTorch model: fold what they say into what follows, delete them.

A dead unit answers every input with the same number c. What follows it receives c·w and nothing
else from it, and a constant is what a bias is for:

    bias of the next layer += c · (the column of its weights that the unit feeds)

after which the unit can go. `remove` does that in a copy, and checks the copy on data before it
hands it over.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mlpinit.models.batches import Batches
from mlpinit.models.comparing import compared, difference, largest, outputs, rounding
from mlpinit.models.flow import Cuts, find_cuts
from mlpinit.models.graph import Dead, Map
from mlpinit.models.measuring import Measured, check_padding, measure, unusual
from mlpinit.models.sites import sites
from mlpinit.models.tracing import SiteError, check_model, named_inputs, trace
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
    """

    model: nn.Module = field(repr=False)
    largest_difference: float
    removed: dict[str, list[int]]
    parameters_before: int
    parameters_after: int
    new_biases: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line: units, parameters, difference."""
        n = sum(map(len, self.removed.values()))
        return printable(
            f"{n} unit{'s'[: n != 1]} removed: {self.parameters_before:,} → "
            f"{self.parameters_after:,} parameters, outputs within {self.largest_difference:.1e}"
        )


def remove(
    model: nn.Module,
    dead: Dead,
    data: Tensor | tuple | Iterable,
    *,
    tolerance: float | None = None,
    allow_live: bool = False,
) -> Removal:
    """A copy of `model` without the units in `dead`, whose outputs on `data` are the same.

    Each unit's constant output, measured on the data where it enters a layer, goes into that
    layer's bias; then the unit goes from the layer that makes it (Linear, Conv1d to Conv3d; for a
    convolution a unit is a channel), from a batch norm on its way, and from the layers that read
    it. On the way there may be activations, batch norm, dropout, pooling, flattening and other
    changes of shape, concatenation, and arithmetic with numbers.

    - `model`: any module that torch.fx can trace. It is not changed
    - `dead`: site → units, as `sites(model)` names the sites; indices count along the last axis
      after a Linear layer and along the channels after a convolution. A mask (units,) will do
    - `data`: a batch of inputs (a tensor, or a tuple of just the forward's arguments), or an
      iterable of batches that can be walked more than once, such as a list or a DataLoader. Of a
      batch (x, y) in it as many items are passed on as the forward requires; a dict, or that of
      (dict, targets), goes in by name. They are moved to the model's device
    - `tolerance`: how far an output of the copy may be from the original's, and how far a unit may
      vary on the data and still be called constant. None means rounding: 100 machine epsilons of
      the dtype (at most 0.05), times the largest output if that is above 1
    - `allow_live`: accept units that vary; their mean is folded. The tolerance on the outputs holds

    The promise is for evaluation mode. In training, batch norm puts a constant unit at its shift
    and dropout makes it flicker; neither is in a bias. Classes, names, dtypes, devices,
    `requires_grad` and train or eval mode are kept; gradients are not, and an optimiser holds the
    old parameters: make a new one.

    Raises `RemovalError` when a unit is not constant, when it reaches an operation through which it
    cannot be followed (the message names it), when a weight is shared, or when the copy misses the
    tolerance; `ValueError` for a site or a unit that does not exist, or data that is none.

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
    graph = trace(probe, named_inputs(probe, data))
    batches = Batches(data, graph, probe)
    plan = Map(probe, graph, next(iter(batches)))
    wanted = plan.checked(dead)
    for site, units in wanted.items():
        if len(units) == plan.n_units(site):
            raise RemovalError(
                f"all {len(units)} units of site {site!r} are to go, and with them what the model "
                "makes of its input there; leave one in, or replace the layer"
            )
    cuts = find_cuts(plan, wanted)
    measured = measure(plan, cuts, wanted, batches)
    if not allow_live:
        _check_constant(wanted, measured, tolerance)
    check_padding(plan, cuts, measured, tolerance)
    result = _copy(model)
    new_biases = _operate(result, cuts, measured)
    moved = _verify(probe, result, batches, tolerance, lambda: _blame(plan, cuts, measured))
    return Removal(result, moved, wanted, _n_parameters(model), _n_parameters(result), new_biases)


def _copy(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise RemovalError(f"the model cannot be copied ({error}); nothing was done") from error


def _n_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _check_constant(
    dead: Mapping[str, list[int]], measured: Measured, tolerance: float | None
) -> None:
    for site, range_ in measured.at_sites.items():
        allowed = rounding(range_.dtype, largest(range_.mean)) if tolerance is None else tolerance
        live = (~(range_.width <= allowed)).nonzero().flatten().tolist()
        if live:
            k = live[0]
            more = f" (and {len(live) - 1} more)" if len(live) > 1 else ""
            raise RemovalError(
                f"unit {dead[site][k]} of site {site!r}{more} varies: on the data its output runs "
                f"from {range_.low[k]:.4g} to {range_.high[k]:.4g}. Name constant units only, or "
                "raise the tolerance, or pass allow_live=True to fold its mean"
            )


def _operate(model: nn.Module, cuts: Cuts, measured: Measured) -> tuple[str, ...]:
    """Fold and delete, in place. The layers that got a bias."""
    new_biases = []
    with torch.no_grad():
        for node, channels in cuts.inputs.items():
            layer = model.get_submodule(node.target)
            if _fold(layer, sorted(channels), measured.at_inputs[node].mean):
                new_biases.append(str(node.target))
        for node, channels in cuts.inputs.items():
            layer = model.get_submodule(node.target)
            _keep(layer, ("weight",), _rest(layer.weight.size(1), channels), dim=1)
            _resize(layer, ("in_features", "in_channels"), layer.weight.size(1))
        for node, channels in cuts.outputs.items():
            layer = model.get_submodule(node.target)
            _keep(layer, ("weight", "bias"), _rest(layer.weight.size(0), channels))
            _resize(layer, ("out_features", "out_channels"), layer.weight.size(0))
        for node, channels in cuts.norms.items():
            norm = model.get_submodule(node.target)
            kept = _rest(norm.num_features, channels)
            _keep(norm, ("weight", "bias", "running_mean", "running_var"), kept)
            norm.num_features = len(kept)
    return tuple(new_biases)


def _fold(layer: nn.Module, channels: list[int], constants: Tensor) -> bool:
    """b += Σ over the channels of (their weights) · constant. Whether the layer had no bias."""
    if not channels or not constants.any():
        return False
    W = layer.weight.detach().cpu().double()  # (out, in, *kernel)
    shift = W[:, channels].flatten(2).sum(2) if W.ndim > 2 else W[:, channels]
    shift = shift @ constants.cpu().double()
    if layer.bias is None:
        requires_grad = layer.weight.requires_grad
        layer.bias = nn.Parameter(shift.to(layer.weight), requires_grad=requires_grad)
        return True
    layer.bias.copy_(layer.bias.detach().cpu().double() + shift)
    return False


def _rest(n: int, gone: set[int]) -> list[int]:
    return [i for i in range(n) if i not in gone]


def _keep(module: nn.Module, names: tuple[str, ...], kept: list[int], dim: int = 0) -> None:
    """Keep some entries of parameters or buffers, along one axis."""
    for name in names:
        old = getattr(module, name, None)
        if old is None:
            continue
        new = old.detach().index_select(dim, torch.tensor(kept, device=old.device))
        if isinstance(old, nn.Parameter):
            new = nn.Parameter(new, requires_grad=old.requires_grad)
        setattr(module, name, new)


def _resize(layer: nn.Module, names: tuple[str, ...], size: int) -> None:
    for name in names:
        if hasattr(layer, name):
            setattr(layer, name, size)


def _verify(
    before: nn.Module,
    after: nn.Module,
    batches: Batches,
    tolerance: float | None,
    blame: Callable[[], str],
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

    modes = {module: module.training for module in after.modules()}
    after.eval()
    with torch.no_grad():
        most, allowed = compared(batches, original, cut, tolerance, _apart)
    for module, mode in modes.items():
        module.training = mode
    if not most <= allowed:
        raise RemovalError(
            f"without the units an output differs by {most:.3g}; the tolerance is "
            f"{allowed:.3g}{blame()}"
        )
    return most


def _blame(plan: Map, cuts: Cuts, measured: Measured) -> str:
    """Where a followed unit varies most as it enters a layer, and what is unusual on the way."""
    odd = unusual(cuts, plan)
    widths = {n: float(r.width.max()) for n, r in measured.at_inputs.items() if len(r.width)}
    if not widths or not max(widths.values()):
        return odd
    node = max(widths, key=widths.get)
    return f". A unit varies by {widths[node]:.3g} on the data where it enters {node.target!r}{odd}"


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
