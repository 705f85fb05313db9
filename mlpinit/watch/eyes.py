"""What sees the activations of a forward pass, and whose they are.

`Eyes` is a `TorchFunctionMode`: while it is on, torch shows it every function and method called
from Python, with its arguments before the call. Which module made the call is read off the stack:
the nearest frame of `nn.Module.__call__`. The modules themselves are not touched.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mlpinit.watch.kinds import (
    Kind,
    Slope,
    applied,
    custom,
    function_names,
    kind_of,
    recurrent_kind,
)
from mlpinit.watch.layout import Layout, deciding_functions, moving_functions

__all__ = ["Eyes", "Names", "Sight"]

_OURS = object()
_CALL = nn.Module._call_impl.__code__


@dataclass(slots=True)
class Sight:
    """One application of an activation function.

    - `base`: the name of the site but for a "#2"; `once`: whether further calls are the same site
    - `activation`: "tanh"; it was called as call(z, *args, **kwargs)
    - `z`: the pre-activations as they were before the call, or None where they are not seen
    - `h`: the activations
    - `slope`: the slope function that the user gave, None for autograd; `_OURS` if torch's own
    - `axis`: that of the units; `examples`: the length of the batch axis, or None: axis 0
    - `note`: what cannot be seen there
    """

    base: str
    activation: str
    z: Tensor | None
    h: Tensor
    call: Callable
    args: tuple = ()
    kwargs: Mapping[str, Any] | None = None
    slope: Slope | object | None = _OURS
    axis: int | None = None
    examples: int | None = None
    once: bool = False
    note: str = ""

    def f(self, z: Tensor) -> Tensor:
        """The function once more; z is left as it is."""
        return applied(self.call, self.args, self.kwargs or {}, z)

    def kind(self) -> Kind:
        """What function it is."""
        if self.z is None:
            return recurrent_kind(self.activation)
        if self.slope is _OURS:
            return kind_of(self.activation, self.call, self.args, self.kwargs or {}, self.z.device)
        return custom(self.activation, self.slope, self.f, self.z.device)


class Names:
    """The qualified names of a model's modules, and the base names of sites."""

    def __init__(self, model: nn.Module, named: tuple[type, ...]) -> None:
        """`named`: the modules that give their name to a site."""
        self.model, self.named = model, named
        self.by_module: dict[nn.Module, str] = {}
        self.strangers: set[nn.Module] = set()
        self.bases: dict[tuple[nn.Module, str], str] = {}
        self._refresh()

    def _refresh(self) -> None:
        self.by_module = {module: name for name, module in self.model.named_modules()}
        self.bases.clear()

    def base(self, function: str, frame: FrameType | None) -> str:
        """The name of the site of `function`, called from below `frame`."""
        while frame is not None:
            if frame.f_code is _CALL:
                module = frame.f_locals["self"]
                if self._known(module):
                    return self.of(module, function)
            frame = frame.f_back
        return f":{function}"  # called from the model's own forward, itself called by hand

    def of(self, module: nn.Module, function: str) -> str:
        """The name of the site of `function` called by the forward of `module`."""
        base = self.bases.get((module, function))
        if base is None:
            name = self.by_module[module]
            base = name if isinstance(module, self.named) else f"{name}:{function}"
            if not base:  # the model is itself an activation module
                base = f":{function}"
            self.bases[module, function] = base
        return base

    def _known(self, module: nn.Module) -> bool:
        if module in self.by_module:
            return True
        if module not in self.strangers:  # made since, or never registered
            self._refresh()
            if module in self.by_module:
                return True
            self.strangers.add(module)
        return False


class Eyes(TorchFunctionMode):
    """Shows every activation to `see`, as a `Sight`.

    - `functions`: torch functions that the user named → their slope function, or None
    - `shut`: True while the inside of something already seen is running
    """

    def __init__(
        self, see: Callable[[Sight], None], names: Names, functions: Mapping[Callable, Slope | None]
    ) -> None:
        """Make the table of what to look at."""
        super().__init__()
        self.functions = functions
        self.see, self.names, self.layout, self.shut = see, names, Layout(), False
        self.looks: dict[Callable, Callable] = {}
        for function, channel in deciding_functions():
            self.looks[function] = partial(self._layer, channel)
        for function in moving_functions():
            self.looks[function] = self._moved
        for function, name in function_names().items():
            self.looks[function] = partial(self._activation, name, _in_place(function))
        for name in _RECURRENT:
            self.looks[getattr(torch, name)] = partial(self._recurrent, name)
        for function, slope in functions.items():
            name = function.__name__.strip("_")
            self.looks[function] = partial(self._activation, name, _in_place(function), slope=slope)

    def __torch_function__(
        self, func: Callable, types: Iterable, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Called by torch in place of `func`."""
        look = self.looks.get(func)
        if look is None or self.shut:
            return func(*args, **kwargs) if kwargs else func(*args)
        return look(func, args, kwargs or {})

    def _layer(self, channel: int, func: Callable, args: tuple, kwargs: dict) -> Any:
        out = func(*args, **kwargs)
        if isinstance(out, Tensor):
            self.layout.note(out, channel)
        return out

    def _moved(self, func: Callable, args: tuple, kwargs: dict) -> Any:
        out = func(*args, **kwargs)
        self.layout.follow(func, args, kwargs, out)
        return out

    def _activation(
        self, name: str, in_place: bool, func: Callable, args: tuple, kwargs: dict,
        slope: Slope | object | None = _OURS,
    ) -> Any:  # fmt: skip
        z, rest, others = _split(args, kwargs)
        if in_place or kwargs.get("inplace") or "out" in kwargs or any(a is True for a in rest):
            z = z.detach().clone()
        h = func(*args, **kwargs)
        base = self.names.base(name, sys._getframe(1))
        with torch._C.DisableTorchFunction():
            self.see(Sight(base, name, z, h, func, rest, others, slope))
        return h

    def module(
        self, module: nn.Module, slope: Slope | None, inner: Callable, args: tuple, kwargs: dict
    ) -> Any:
        """Run the forward of an activation module that the user named, and see it as one call."""
        z, rest, others = _split(args, kwargs)
        if self.shut or not isinstance(z, Tensor):
            return inner(*args, **kwargs)
        z = z.detach().clone()
        name = type(module).__name__.lower()
        self.shut = True
        try:
            h = inner(*args, **kwargs)
            base = self.names.of(module, name)
            with torch._C.DisableTorchFunction():
                self.see(Sight(base, name, z, h, inner, rest, others, slope))
        finally:
            self.shut = False
        return h

    def _recurrent(self, name: str, func: Callable, args: tuple, kwargs: dict) -> Any:
        out = func(*args, **kwargs)
        h = out[0] if isinstance(out, tuple) else out  # of a cell (units) or over the time steps
        note, examples = "", None
        if not name.endswith("_cell"):
            packed = isinstance(args[3], list | tuple)  # the weights; then biases, layers
            hx, layers = args[2 if packed else 1], args[5 if packed else 4]
            examples = (hx if isinstance(hx, Tensor) else hx[0]).size(1)
            if layers > 1:
                note = f"of its {layers} layers, only the last one's h is seen"
        if "rnn" not in name:
            hidden = "its gates are inside a fused kernel: h is shown, without a verdict"
            note = f"{hidden}; {note}" if note else hidden
        base = self.names.base(name, sys._getframe(1))
        with torch._C.DisableTorchFunction():
            self.see(
                Sight(
                    base, name, None, h, func,
                    axis=h.ndim - 1, examples=examples, once=True, note=note,
                )
            )  # fmt: skip
        return out


_RECURRENT = (
    "rnn_tanh", "rnn_relu", "lstm", "gru",
    "rnn_tanh_cell", "rnn_relu_cell", "lstm_cell", "gru_cell",
)  # fmt: skip


def _in_place(function: Callable) -> bool:
    return function.__name__.endswith("_")


def _split(args: tuple, kwargs: dict) -> tuple[Any, tuple, dict]:
    """The input of a call, and what else it is given that matters to its slope."""
    others = {name: value for name, value in kwargs.items() if name != "out"}
    if args:
        return args[0], args[1:], others
    name = "input" if "input" in others else next(iter(others))
    return others.pop(name), (), others
