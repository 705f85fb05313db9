"""What counts as an activation function, and its slope |f'| exactly as the floats have it.

Autograd multiplies by a slope that it computes from z or h in the model's own precision: 1 − h² is
exactly 0 once h rounds to ±1, at 9.01 in float32 and at 3.47 in bfloat16. The slopes here are
those numbers: what backward would use, not what the formula says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from mlpinit import activations
from mlpinit.models.names import ACTIVATION_FUNCTIONS, ACTIVATION_MODULES

__all__ = [
    "CELLS",
    "NAMED_MODULES",
    "RECURRENT",
    "Kind",
    "Slope",
    "applied",
    "by_autograd",
    "clamp_functions",
    "custom",
    "formula_kind",
    "function_names",
    "kind_of",
    "probed",
    "recurrent_kind",
]

Slope = Callable[[Tensor], Tensor]
Call = Callable[..., Tensor]

RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)
CELLS = (nn.RNNCell, nn.LSTMCell, nn.GRUCell)
NAMED_MODULES = (*ACTIVATION_MODULES, *RECURRENT, *CELLS)
"""Modules that give a site their own name."""


@dataclass(frozen=True)
class Kind:
    """What is known of the function at one site.

    - `name`: "tanh"
    - `slope(z, h, f, out)`: |f'| of z's shape, or None where it cannot be seen. f computes h from
      z; `out` is room for the answer, of z's shape, that may be used if its dtype fits
    - `max_slope`: the largest |f'| there is
    - `left`, `right`: whether f' tends to 0 as z goes to minus or plus infinity
    - `fires`: whether f tends to 0 on the left, so that a unit can be said to fire or not
    - `rests`: whether f' is 0 just left of 0 already, as a ReLU's is
    - `steps`: whether f' takes no values but 0 and 1, and is 1 exactly where h > 0
    - `f`: the function where the extremes of h follow from those of z: both of them of a function
      that never falls, the largest of one with a single `valley`
    - `signed`: whether h can be below 0
    - `from_h`: whether h tells the slope, and f never falls: z need not be looked at
    - `squares`: whether the slope is 1 − h²
    - `pure`: whether f has no parameters that learn, so that a slope can wait for a later step
    """

    name: str
    slope: Callable[[Tensor, Tensor, Call, Tensor | None], Tensor] | None
    max_slope: float = 1.0
    left: bool = True
    right: bool = True
    fires: bool = False
    rests: bool = False
    steps: bool = False
    f: Call | None = None
    valley: bool = False
    signed: bool = True
    from_h: bool = False
    squares: bool = False
    pure: bool = True

    @property
    def saturates(self) -> bool:
        """Whether a slope under the cut means that it is on its way to 0; not so for leaky ReLU."""
        return self.left or self.right


def function_names() -> dict[Callable, str]:
    """Every function and tensor method that is an activation → its name without underscore."""
    places = (F, torch, torch.Tensor, torch._C._nn, torch._C._VariableFunctions)
    found: dict[Callable, str] = {F.logsigmoid: "logsigmoid", torch.special.expit: "sigmoid"}
    found[F.glu] = "glu"  # two numbers make one: it is met only to say that it is not seen
    for name in ACTIVATION_FUNCTIONS:
        for place in places:
            for spelling in (name, f"{name}_", f"_{name}"):
                if callable(function := getattr(place, spelling, None)):
                    found[function] = name
    return found


def clamp_functions() -> dict[Callable, str]:
    """The functions and methods that are a ReLU if they are given 0 as the least value."""
    found: dict[Callable, str] = {}
    for name in ("clamp", "clip", "clamp_min"):
        for place in (torch, Tensor):
            for spelling in (name, f"{name}_"):
                if callable(function := getattr(place, spelling, None)):
                    found[function] = name
    return found


def kind_of(
    name: str, call: Call, args: Sequence, kwargs: Mapping[str, Any], device: torch.device
) -> Kind:
    """The kind of the activation `name`, called as call(z, *args, **kwargs).

    Its largest slope and how it saturates are measured on that very function, so that they suit
    whatever parameters it was given.
    """
    if name in _PLAIN:
        return _PLAIN[name]
    slope = _SLOPES.get(name, by_autograd)
    if name in _PARAMETRISED:
        slope = partial(slope, args=args, kwargs=kwargs)
    f = partial(applied, call, args, kwargs)
    # PReLU has a slope of its own for each unit, and RReLU draws one for each entry.
    if name == "rrelu" or any(isinstance(a, Tensor) for a in (*args, *kwargs.values())):
        return Kind(name, slope, left=False, right=False, pure=False)
    kind = _measured(name, slope, f, device)
    return replace(kind, f=f, valley=name in _VALLEYS)


def custom(name: str, slope: Slope | None, f: Call, device: torch.device) -> Kind:
    """The kind of a function f that the user named, with its slope function or None: autograd."""

    def told(z: Tensor, h: Tensor, f: Call, out: Tensor | None) -> Tensor:
        with _own_graph():
            return slope(z).abs()

    given = _by_autograd_alone if slope is None else told
    with _same_random_numbers(device):
        return replace(_measured(name, given, f, device), pure=False)


def formula_kind(name: str, f: Call, device: torch.device) -> Kind:
    """The kind of an activation written out; of one whose slope has no bound, 1 stands for it."""
    with _same_random_numbers(device):
        kind = _measured(name, by_autograd, f, device, bounded=False)
    return replace(kind, pure=False)


def recurrent_kind(name: str) -> Kind:
    """The kind of what a recurrent layer of torch shows: h alone, and so a slope for plain ones."""
    for plain in ("tanh", "relu"):
        if name.startswith(f"rnn_{plain}"):
            known = _PLAIN[plain]
            return Kind(
                f"rnn {plain}", known.slope, right=known.right, fires=known.fires,
                rests=known.rests, steps=known.steps, signed=known.signed,
            )  # fmt: skip
    return Kind(name.removesuffix("_cell"), None)


def by_autograd(z: Tensor, h: Tensor, f: Call, out: Tensor | None = None) -> Tensor:
    """|f'(z)| by running f once more, for any f that acts on every entry alone."""
    with torch.inference_mode(False), torch.enable_grad(), _own_graph():
        x = z.detach().clone().requires_grad_()
        y = f(x)
        if not y.requires_grad:  # a step
            return torch.zeros_like(z)
        (slope,) = torch.autograd.grad(y, x, torch.ones_like(y), materialize_grads=True)
    return slope.abs_()


def _own_graph() -> AbstractContextManager:
    """What the model's own graph does with what it saves, as checkpointing, is not for ours."""
    return torch.autograd.graph.saved_tensors_hooks(Tensor.detach, lambda t: t)


def _by_autograd_alone(z: Tensor, h: Tensor, f: Call, out: Tensor | None) -> Tensor:
    """The same, for an f that might draw random numbers: the model's are left as they were."""
    with _same_random_numbers(z.device):
        return by_autograd(z, h, f)


def _same_random_numbers(device: torch.device) -> AbstractContextManager:
    if device.type in ("cpu", "meta"):
        return torch.random.fork_rng([])
    return torch.random.fork_rng([device], device_type=device.type)


def applied(call: Call, args: Sequence, kwargs: Mapping[str, Any], z: Tensor) -> Tensor:
    """call(z, *args, **kwargs), with z left as it is even where the call works in place."""
    return call(z.clone(), *args, **kwargs)


def _measured(
    name: str, slope: Callable, f: Call, device: torch.device, *, bounded: bool = True
) -> Kind:
    """A kind whose largest slope and tails are read off a grid."""
    try:
        steepest, left, right, near, floor = _shape(slope, f, device)
    except (RuntimeError, TypeError, ValueError):  # takes no plain vector: its tails are unknown
        return Kind(name, slope, left=False, right=False)
    if not bounded and max(left, right) > 2 * steepest:
        steepest = 1.0
    known = activations.ACTIVATIONS.get(name)
    if known is not None and math.isclose(known.max_slope, steepest, rel_tol=1e-4):
        steepest = known.max_slope
    tails = [tail <= 1e-6 * steepest for tail in (left, right)]
    fires = tails[0] and floor < 1e-6
    return Kind(name, slope, steepest, *tails, fires=fires, rests=fires and near == 0)


def _shape(slope: Callable, f: Call, device: torch.device) -> tuple[float, ...]:
    """The largest |f'|; those far to the left, far to the right and near 0; and |f| far left."""
    on = {"device": "cpu" if device.type == "meta" else device, "dtype": torch.float64}
    with torch.inference_mode(False):
        grid = torch.linspace(-20, 20, 40_001, **on)
        far = torch.tensor([1e6, 1e6 + 1, 1e6 + 2], **on)  # more than one: a sine is periodic
        near = torch.tensor([-0.25, -0.125], **on)
    with torch.no_grad():
        largest = (slope(z, f(z), f, None).abs().amax().item() for z in (grid, -far, far, near))
        return *largest, f(-far).abs().amax().item()


def probed(f: Call, device: torch.device) -> Tensor:
    """f at a few points, (points,) float64, with the random numbers left as they were."""
    on = {"device": "cpu" if device.type == "meta" else device, "dtype": torch.float64}
    with torch.inference_mode(False), torch.no_grad(), _same_random_numbers(device):
        return f(torch.tensor([-8.0, -2.0, -0.5, 0.5, 2.0, 8.0], **on)).detach()


@cache
def _one(device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        return torch.ones((), device=device, dtype=dtype)


def _fitting(out: Tensor | None, h: Tensor) -> Tensor | None:
    return out if out is not None and out.dtype is h.dtype else None


def _tanh(z: Tensor, h: Tensor, f: Call, out: Tensor | None) -> Tensor:
    return torch.addcmul(_one(h.device, h.dtype), h, h, value=-1, out=_fitting(out, h))


def _sigmoid(z: Tensor, h: Tensor, f: Call, out: Tensor | None) -> Tensor:
    return torch.sub(_one(h.device, h.dtype), h, out=_fitting(out, h)).mul_(h)


def _relu(z: Tensor, h: Tensor, f: Call, out: Tensor | None) -> Tensor:
    return h > 0


def _backward(name: str, *names: str, **fixed: Any) -> Callable:
    """|f'| by the kernel that autograd runs, handed a gradient of 1.

    `names`: f's parameters by position; `fixed`: all of them, with their defaults.
    """
    kernel = getattr(torch.ops.aten, f"{name}_backward")

    def slope(
        z: Tensor, h: Tensor, f: Call, out: Tensor | None,
        *, args: Sequence = (), kwargs: Mapping[str, Any] = MappingProxyType({}),
    ) -> Tensor:  # fmt: skip
        given = {**fixed, **dict(zip(names, args, strict=False)), **kwargs}
        given = {key: given[key] for key in fixed}
        one = _one(z.device, z.dtype).expand_as(z)
        out = _fitting(out, z)
        if out is None:
            return kernel.default(one, z, **given).abs_()
        return kernel.grad_input(one, z, **given, grad_input=out).abs_()

    return slope


def _clamp(z: Tensor, h: Tensor, f: Call, out: Tensor | None) -> Tensor:
    return z >= 0  # unlike a ReLU's it is 1 at 0


def _rrelu(z: Tensor, h: Tensor, f: Call, out: Tensor | None) -> Tensor:
    return torch.where(z < 0, h / z, 1.0).abs_()  # the slope that was drawn


_PLAIN = {
    "tanh": Kind("tanh", _tanh, f=torch.tanh, from_h=True, squares=True),
    "sigmoid": Kind(
        "sigmoid", _sigmoid, max_slope=0.25, f=torch.sigmoid, signed=False, from_h=True
    ),
    "relu": Kind(
        "relu", _relu, right=False, fires=True, rests=True, steps=True, f=torch.relu, signed=False
    ),
}
_SLOPES = {
    **dict.fromkeys(("clamp", "clip", "clamp_min"), _clamp),
    "gelu": _backward("gelu", approximate="none"),
    "hardtanh": _backward("hardtanh", "min_val", "max_val", min_val=-1.0, max_val=1.0),
    "leaky_relu": _backward(
        "leaky_relu", "negative_slope", negative_slope=0.01, self_is_result=False
    ),
    "relu6": _backward("hardtanh", min_val=0.0, max_val=6.0),
    "rrelu": _rrelu,
    "silu": _backward("silu"),
}  # every other by autograd
_PARAMETRISED = ("gelu", "hardtanh", "leaky_relu")
_VALLEYS = frozenset(("gelu", "hardswish", "mish", "silu"))
