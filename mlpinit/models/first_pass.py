"""One batch through a model and back, layer by layer, before any step is taken."""

from __future__ import annotations

import copy
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from mlpinit.models.comparing import tensors
from mlpinit.models.names import LAYERS

__all__ = ["FirstPass", "Layer", "Unused", "first_pass"]


@dataclass(frozen=True)
class Layer:
    """One use of a layer with a weight of two axes or more.

    - `name`, `kind`: "layers.3.fc1", "Linear"; a second use in the same pass is "layers.3.fc1#2"
    - `group`: what layers that do the same at other depths share: the kind, and the name without
      its numbers
    - `units`, `fan_in`: how many it has, and how many numbers each of them adds up
    - `gain`: the weights' standard deviation times √fan_in
    - `rms`: the root mean square of what it gives; `signal`: the part of that which differs from
      row to row, the root of the units' mean variance. A row is one example, or a position of one
    - `gradient`: the norm of the loss's gradient in what it gives, None where none arrives
    - `weight_gradient`: the norm of that in its weights, over the norm of the weights; None where
      they get none, infinite where the weights are all 0
    - `update`: the standard deviation of the optimiser's first step in its weights, over theirs
    - `copies`: units whose incoming weights and bias are those of another unit, and their
      gradients too, not all 0: they stay copies whatever is learned
    - `finite`: whether all of what it gives, and of its weights, is finite
    """

    name: str
    kind: str
    group: str
    units: int
    fan_in: int
    gain: float
    rms: float
    signal: float
    gradient: float | None = None
    weight_gradient: float | None = None
    update: float | None = None
    copies: int = 0
    finite: bool = True


@dataclass(frozen=True)
class Unused:
    """Parameters that get no gradient, by name: `unused` by the loss, `frozen` on purpose, or 0.

    - `outside`: they have a gradient and are not the optimiser's
    """

    unused: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    zero: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


@dataclass(frozen=True)
class FirstPass:
    """What one batch showed.

    - `loss`; `output`: what the model returned
    - `layers`: in the order in which they were used; `first_is_norm`: whether what is given is
      normalised before it meets a weight
    - `unused`: parameters without a gradient
    - `not_finite`: parameters whose gradients, or own numbers, are not finite
    - `notes`: what was not measured
    """

    loss: float
    output: object
    layers: tuple[Layer, ...]
    first_is_norm: bool
    unused: Unused
    not_finite: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def first_pass(
    model: nn.Module,
    run: Callable[[], object],
    score: Callable[[object], Tensor],
    optimizer: torch.optim.Optimizer | None = None,
) -> FirstPass:
    """Run the model forward and back once, and look at every layer.

    - `run()`: the model's output; `score(output)`: its loss, a tensor of one number
    - `optimizer`: its first step is made on a copy

    Call it inside `untouched`. Gradients go to nobody's `.grad`. Raises `ValueError` for a loss
    that is no single number or does not depend on any parameter.
    """
    taker = _Taker(model)
    with torch.enable_grad(), taker.watching():
        output = run()
        loss = score(output)
        _check(loss)
        taker.open = False
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        parameters = [p for _, p in named]
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
    gradients = {
        p: g.to_dense() if g is not None and g.layout != torch.strided else g
        for p, g in zip(parameters, found, strict=True)
    }
    updates, note = ({}, "") if optimizer is None else _first_step(optimizer, gradients)
    return FirstPass(
        loss=loss.item(),
        output=output,
        layers=tuple(taker.layers(gradients, updates)),
        first_is_norm=taker.first_is_norm,
        unused=_unused(model, gradients, optimizer),
        not_finite=tuple(n for n, p in named if not _finite(p, gradients[p])),
        notes=(note,) if note else (),
    )


def _check(loss: object) -> None:
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        came = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(
            f"loss returned {came}; wanted a tensor of one number: the mean over the batch, as "
            "torch.nn.functional.cross_entropy gives it"
        )
    if not loss.requires_grad:
        raise ValueError(
            "the loss does not depend on any parameter that requires a gradient: is the model "
            "frozen, is its output detached, or does it run under no_grad?"
        )


def _finite(parameter: Tensor, gradient: Tensor | None) -> bool:
    parts = [parameter.detach()] + ([] if gradient is None else [gradient])
    return all(bool(t.isfinite().all()) for t in parts)


def _unused(
    model: nn.Module,
    gradients: dict[Tensor, Tensor | None],
    optimizer: torch.optim.Optimizer | None,
) -> Unused:
    held = None
    if optimizer is not None:
        held = {p for group in optimizer.param_groups for p in group["params"]}
    places: dict[str, list[str]] = {"unused": [], "frozen": [], "zero": [], "outside": []}
    for name, p in model.named_parameters():
        gradient = gradients.get(p)
        if not p.requires_grad:
            places["frozen"].append(name)
        elif gradient is None:
            places["unused"].append(name)
        elif not gradient.any():
            places["zero"].append(name)
        if held is not None and p not in held and gradient is not None:
            places["outside"].append(name)
    return Unused(**{key: tuple(names) for key, names in places.items()})


# The layers


@dataclass
class _Use:
    """A layer, once used."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]
    axis: int
    rms: float
    signal: float
    finite: bool
    gradient: list[float] = field(default_factory=list)


class _Taker:
    """Looks at what every layer gives, and at the gradient that comes back to it."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.open = model, True
        self.uses: list[_Use] = []
        self.calls: Counter[str] = Counter()
        self.first_is_norm = False
        self.begun = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        handles = []
        try:
            for name, module in self.model.named_modules():
                if _weight(module) is not None or _is_norm(module):
                    hook = self._seen(name)
                    handles.append(module.register_forward_hook(hook))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _seen(self, name: str) -> Callable:
        def hook(module: nn.Module, _args: tuple, output: object) -> None:
            if not self.open:  # a checkpoint runs its part again on the way back
                return
            out = next(iter(tensors(output)), None)
            if out is None or not out.is_floating_point() or not out.numel():
                return
            if not self.begun and not isinstance(module, nn.Embedding):
                self.first_is_norm = _is_norm(module)
            self.begun = True
            if _weight(module) is not None:
                self._note(name, module, out)

        return hook

    def _note(self, name: str, module: nn.Module, out: Tensor) -> None:
        self.calls[name] += 1
        nth = self.calls[name]
        use = _use(name if nth == 1 else f"{name}#{nth}", module, out.detach())
        self.uses.append(use)
        if out.requires_grad:
            out.register_hook(lambda g: use.gradient.append(_norm(g)))

    def layers(
        self, gradients: dict[Tensor, Tensor | None], updates: dict[Tensor, float]
    ) -> Iterator[Layer]:
        for use in self.uses:
            own = _weight(use.module)
            weight, gradient = own.detach(), gradients.get(own)
            fan_in = _fan_in(use.module, weight)
            yield Layer(
                name=use.name,
                kind=type(use.module).__name__,
                group=f"{type(use.module).__name__} {_masked(use.name)}",
                units=use.shape[use.axis],
                fan_in=fan_in,
                gain=_std(weight) * fan_in**0.5,
                rms=use.rms,
                signal=use.signal,
                gradient=use.gradient[-1] if use.gradient else None,
                weight_gradient=_ratio(gradient, weight),
                update=updates.get(own),
                copies=_copies(use.module, gradients),
                finite=use.finite and bool(weight.isfinite().all()),
            )


def _weight(module: nn.Module) -> Tensor | None:
    """What makes a layer of it: of a recurrent one, the weights of its first layer on its own h."""
    for name in ("weight", "weight_hh_l0", "weight_hh"):
        weight = getattr(module, name, None)
        if isinstance(weight, Tensor) and weight.ndim >= 2:
            return weight
    return None


def _is_norm(module: nn.Module) -> bool:
    """Told by its name: torch's, timm's and transformers' own have nothing else in common."""
    return "norm" in type(module).__name__.lower()


def _use(name: str, module: nn.Module, out: Tensor) -> _Use:
    axis = out.ndim - 1
    if isinstance(module, _ConvNd):
        axis = out.ndim + 1 - module.weight.ndim  # a single example has one axis fewer
    rows = out.float().movedim(axis, -1).flatten(0, -2) if out.ndim > 1 else out.float()[None]
    variance, mean = torch.var_mean(rows, 0, correction=0)
    rms = (variance + mean * mean).mean().sqrt().item()
    signal = variance.mean().sqrt().item()
    return _Use(name, module, tuple(out.shape), axis, rms, signal, bool(out.isfinite().all()))


def _is_conv1d(module: nn.Module) -> bool:
    """Told by its name, whatever else it has: nothing is cut here."""
    return type(module).__name__ == "Conv1D"


def _transposed(module: nn.Module) -> bool:
    """Whether the units are along axis 1 of the weight: transformers' Conv1D is x @ W."""
    return isinstance(module, _ConvTransposeNd) or _is_conv1d(module)


def _fan_in(module: nn.Module, weight: Tensor) -> int:
    if isinstance(module, nn.Embedding):
        return 1  # of a one-hot input one number goes in
    if isinstance(module, _ConvTransposeNd):
        return max(weight.numel() // module.out_channels, 1)
    return weight.size(0) if _transposed(module) else weight[0].numel()


def _copies(module: nn.Module, gradients: Mapping[Tensor, Tensor | None]) -> int:
    """Units whose weights are another's, exactly, and their gradients to rounding, and not 0."""
    gradient = (
        gradients.get(module.weight) if isinstance(module, LAYERS) or _is_conv1d(module) else None
    )
    if gradient is None:
        return 0
    parts = [module.weight.detach(), gradient]
    weight, gradient = (part.T if _transposed(module) else part.flatten(1) for part in parts)
    if len(weight[:, 0].unique()) == len(weight):  # no two begin alike: the usual case, and cheap
        return 0
    bias = getattr(module, "bias", None)
    if isinstance(bias, Tensor):
        weight = torch.cat([weight, bias.detach()[:, None]], 1)
    _, group, counts = weight.unique(dim=0, return_inverse=True, return_counts=True)
    sums = gradient.new_zeros(len(counts), gradient.size(1)).index_add_(0, group, gradient)
    apart = (gradient - (sums / counts[:, None])[group]).abs().amax(1)
    largest = gradient.abs().amax(1)
    return int(((counts[group] > 1) & (largest > 0) & (apart <= 1e-3 * largest)).sum())


def _masked(name: str) -> str:
    """The name without its numbers: "layers.*.fc*" of "layers.3.fc1#2"."""
    return re.sub(r"\d+", "*", name.partition("#")[0])


def _std(t: Tensor) -> float:
    return t.float().std(correction=0).item() if t.numel() > 1 else 0.0


def _norm(t: Tensor) -> float:
    return torch.linalg.vector_norm(t.detach().float()).item()


def _ratio(gradient: Tensor | None, weight: Tensor) -> float | None:
    if gradient is None:
        return None
    size, pull = _norm(weight), _norm(gradient)
    return pull / size if size else math.inf * pull if pull else 0.0


# The optimiser's first step


def _first_step(
    optimizer: torch.optim.Optimizer, gradients: Mapping[Tensor, Tensor | None]
) -> tuple[dict[Tensor, float], str]:
    """std of the update over std of the parameter, of each with two axes or more; and a note."""
    other = copy.deepcopy(optimizer)
    pairs = [
        (p, q)
        for mine, theirs in zip(optimizer.param_groups, other.param_groups, strict=True)
        for p, q in zip(mine["params"], theirs["params"], strict=True)
    ]
    for p, q in pairs:
        gradient = gradients.get(p)
        q.grad = None if gradient is None else gradient.clone()
    try:
        other.step()
    except TypeError as error:
        return {}, f"the optimiser's first step was not measured: {error}"
    found = {}
    for p, q in pairs:
        size = _std(p.detach())
        if p.ndim >= 2 and size > 0 and gradients.get(p) is not None:
            found[p] = _std(q.detach() - p.detach()) / size
    return found, ""
