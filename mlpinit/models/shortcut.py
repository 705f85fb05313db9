"""Models that are plain to see, `nn.Sequential` and torch's own layers: watched at less cost.

In such a model nothing but its activation modules can apply an activation. So there is no need to
look at every function called: it is enough to stand in for the `forward` of those modules, and
for that of tanh, ReLU and their like, which have no parameters, to look at what goes in and out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch._C import _len_torch_dispatch_stack

from mlpinit.models.names import ACTIVATION_MODULES
from mlpinit.models.observer import Observation, Observer
from mlpinit.models.padding import Given, Kept
from mlpinit.models.patching import Forward
from mlpinit.models.site import Site

__all__ = ["Shortcut", "plain"]

SIMPLE = {nn.ReLU: "relu", nn.SiLU: "silu", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh"}
"""Modules without parameters, and the function that they are."""


class Watcher(Protocol):
    """The part of a `Watch` that is needed here."""

    step: int
    given: Given
    kept: Kept | None
    calls: dict[str, int]
    sites: dict[str, Site | None]

    def see(self, observed: Observation) -> str:
        """Count one application of an activation function."""

    def failed(self, name: str, error: Exception) -> None:
        """A site cannot be judged any more."""


class Shortcut:
    """The activation modules of a plain model, each with a stand-in for its forward.

    - `simple`: whether none of them has to be observed from within
    """

    def __init__(
        self, modules: dict[nn.Module, int | None], observer: Observer, watch: Watcher
    ) -> None:
        """`modules`: each with the axis of its units from the end, as `plain` gives them."""
        self.observer, self.watch, self.channels = observer, watch, modules
        self.simple = all(type(module) in SIMPLE for module in modules)
        self.lists = [
            (m._modules, list(m._modules.values()))
            for m in observer.names.model.modules()
            if type(m) is nn.Sequential
        ]
        self.looks = {module: partial(self._look, module, None) for module in modules}

    def still_plain(self) -> bool:
        """Whether the model consists of the modules that it did."""
        for modules, before in self.lists:
            if len(modules) != len(before):
                return False
            for now, then in zip(modules.values(), before, strict=True):
                if now is not then:
                    return False
        return True

    def run(self, inner: Callable, args: tuple, kwargs: dict) -> Any:
        """inner(*args, **kwargs), the model's forward, with the stand-ins in place."""
        before = []
        try:
            for module, look in self.looks.items():
                attributes = module.__dict__
                previous = attributes.get("forward")
                before.append((attributes, previous))
                attributes["forward"] = (
                    look if previous is None else partial(self._look, module, previous)
                )
            return inner(*args, **kwargs)
        finally:
            for attributes, previous in before:
                if previous is None:
                    del attributes["forward"]
                else:  # another watch's
                    attributes["forward"] = previous

    def _look(self, module: nn.Module, previous: Callable | None, *args: Any, **kwargs: Any) -> Any:
        inner = previous or MethodType(type(module).forward, module)
        self.observer.layout.channel = self.channels[module]
        if type(module) not in SIMPLE:
            with self.observer:
                return inner(*args, **kwargs)
        (z,) = (*args, *kwargs.values())
        if module.__dict__.get("inplace"):
            z = z.detach().clone()
        h = inner(*args, **kwargs)
        name = SIMPLE[type(module)]
        base = self.observer.names.of(module, name)
        with torch._C.DisableTorchFunction():
            self.watch.see(Observation(base, name, z, h, inner))
        site = self.watch.sites.get(base)
        if previous is None and site is not None and site.ring.waiting.shape is not None:
            self.looks[module] = self._quick(module, inner, site, base, name)
        return h

    def _quick(
        self, module: nn.Module, inner: Callable, site: Site, base: str, name: str
    ) -> Callable[[Tensor], Tensor]:
        """The forward of a module whose site is known, and whose rows wait to be counted."""
        if module.__dict__.get("inplace"):
            return self.looks[module]
        watch, calls = self.watch, self.watch.calls

        attributes, look = module.__dict__, partial(self._look, module, None)

        def forward(input: Tensor) -> Tensor:
            if attributes.get("inplace"):  # now
                return look(input)
            h = inner(input)
            with torch._C.DisableTorchFunction():
                if base in calls or watch.kept is not None or _len_torch_dispatch_stack():
                    watch.see(Observation(base, name, input, h, inner))
                    return h
                try:
                    if site.quick(input, h, watch.step, watch.given):
                        calls[base] = 1
                        return h
                except Exception as error:
                    watch.failed(base, error)
                    return h
                watch.see(Observation(base, name, input, h, inner))
            return h

        return forward


_LAYERS = {
    **{getattr(nn, f"Conv{d}d"): d + 1 for d in (1, 2, 3)},
    **{getattr(nn, f"ConvTranspose{d}d"): d + 1 for d in (1, 2, 3)},
    nn.Linear: 1,
    nn.Embedding: 1,
    nn.LayerNorm: 1,
}
_INERT = frozenset(
    (nn.Identity, nn.Flatten, nn.Softmax, nn.LogSoftmax, nn.GroupNorm,
     *(getattr(nn, f"{kind}{d}d") for d in (1, 2, 3)
       for kind in ("BatchNorm", "Dropout", "MaxPool", "AvgPool", "AdaptiveMaxPool",
                    "AdaptiveAvgPool")), nn.Dropout)
)  # fmt: skip


def plain(model: nn.Module) -> dict[nn.Module, int | None] | None:
    """The activation modules of a model that is nothing but `nn.Sequential` and torch's layers.

    Each comes with the axis of its units from the end, or None: not known. In such a model
    nothing but these modules can apply an activation, and it is enough to look inside them. The
    answer is None for any other model.
    """
    found: dict[nn.Module, int | None] = {}
    channel: int | None = None

    def walk(module: nn.Module) -> bool:
        nonlocal channel
        kind = type(module)
        own = module.__dict__.get("forward")
        while isinstance(own, Forward) and module is model:  # ours: it has changed meanwhile
            own = own.inner if own.own else None
        if own is not None or module._forward_hooks or module._forward_pre_hooks:
            return False
        if kind is nn.Sequential:
            return all(map(walk, module))
        if kind in _LAYERS:
            channel = _LAYERS[kind]
        elif kind in ACTIVATION_MODULES:
            return found.setdefault(module, channel) == channel
        elif kind is nn.Flatten:
            channel = 1
        return kind in _INERT or kind in _LAYERS

    return found if type(model) is nn.Sequential and walk(model) else None
