"""A model's forward as a graph of calls, as torch.fx traces it.

Arguments with a default have that, but for those that are given by name.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, fx, nn
from torch.fx import Node

from mlpinit.models.calls import Call
from mlpinit.models.layers import is_layer
from mlpinit.models.names import ACTIVATION_MODULES, NORMS

__all__ = [
    "LeavesError",
    "SiteError",
    "by_name",
    "called",
    "caller",
    "check_model",
    "evaluating",
    "input_names",
    "mapping_in",
    "named_inputs",
    "trace",
    "unmarked",
    "where",
]


class SiteError(ValueError):
    """The units of a site cannot be followed, or not be changed without changing others."""


class LeavesError(SiteError):
    """They come from outside the part of the model that was traced, or go there."""


def called(node: Node) -> str:
    """The name of the function or method that a node calls."""
    name = node.target if isinstance(node.target, str) else node.target.__name__
    return name.rstrip("_")


def caller(node: Node) -> str:
    """The qualified name of the module whose forward calls it, '' for the model's own."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return stack[-1][0] if stack else ""


def where(node: Node) -> str:
    """A node in words, for messages."""
    if node.op == "call_module":
        return f"module {node.target!r}"
    outer = caller(node)
    return f"{called(node)!r} in the forward of {outer!r}" if outer else f"{called(node)!r}"


def check_model(model: nn.Module) -> None:
    """Raise `SiteError` unless this is a module that can be traced, not compiled or scripted."""
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        raise SiteError(f"got a {type(model).__name__}; pass the plain torch.nn.Module")
    if hasattr(model, "_orig_mod"):
        raise SiteError("the model is compiled; pass the module that torch.compile was given")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and every module's own mode again afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


class _Tracer(fx.Tracer):
    """Activation modules and layers are single nodes, subclasses included, and so is batch norm.

    A batch norm with a forward of its own may hold an activation, and is looked into.
    """

    def __init__(self, model: nn.Module, path: str, call: Call | None) -> None:
        super().__init__()
        self.part, self.path, self.call = model.get_submodule(path), path, call

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if m is self.part:
            return False
        if isinstance(m, NORMS):
            return any(type(m).forward is norm.forward for norm in NORMS)
        return (
            isinstance(m, ACTIVATION_MODULES)
            or is_layer(m)
            or super().is_leaf_module(m, module_qualified_name)
        )

    def call_module(
        self, m: nn.Module, forward: Callable, args: tuple, kwargs: dict[str, object]
    ) -> object:
        """A module that cannot be traced is one node, as long as all else can be."""
        if self.call is None or m is self.part:
            return super().call_module(m, forward, args, kwargs)
        n_nodes, stack = len(self.graph.nodes), self.module_stack.copy()
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.module_stack = stack
            for node in reversed(list(self.graph.nodes)[n_nodes:]):
                if node.op != "get_attr":  # of which there may be one for all uses
                    self.graph.erase_node(node)
            proxy = self.create_proxy("call_module", self.path_of_module(m), args, kwargs)
            proxy.node.meta["opaque"] = True
            return proxy

    def to_bool(self, obj: fx.Proxy) -> bool:
        """A branch on a dtype, as of what is done in half precision only, is that of the weights.

        What such a branch does otherwise to data, the comparison with the model itself sees.
        """
        node = obj.node
        if self.call is not None and node.target in (operator.eq, operator.ne):
            sides = [self._dtype_of(side) for side in node.args]
            if all(isinstance(side, torch.dtype) for side in sides):
                return node.target(*sides)
        return super().to_bool(obj)

    def _dtype_of(self, side: object) -> object:
        if isinstance(side, Node) and called(side) == "getattr" and side.args[1] == "dtype":
            floating = (p.dtype for p in self.root.parameters() if p.is_floating_point())
            return next(floating, torch.get_default_dtype())
        return side

    def create_args_for_root(
        self, root_fn: Callable, is_module: bool, concrete_args: object = None
    ) -> tuple[Callable, list]:
        """Data is traced, as it is in the call; without one, what must be given is."""
        if self.call is not None:
            return self._as_called(root_fn)
        names = _required(root_fn)
        if names is None:
            return super().create_args_for_root(root_fn, is_module, concrete_args)
        named = {name: self.create_proxy("placeholder", name, (), {}) for name in names}
        named_ones = by_name(root_fn, names)
        first = [named.pop(name) for name in names if name not in named_ones]
        return functools.partial(root_fn, **named), [self.root, *first]

    def _as_called(self, root_fn: Callable) -> tuple[Callable, list]:
        forward = type(self.part).forward
        names = self.call.names(forward)
        data = [self.create_proxy("placeholder", name, (), {}) for name in names]
        args, kwargs = self.call.filled(iter(data))
        if not self.path:
            return functools.partial(root_fn, **kwargs), [self.root, *args]
        return (lambda *_: self.part(*args, **kwargs)), []  # by its call: sites bear its name


def _parameters(forward: Callable) -> list[inspect.Parameter]:
    """The parameters of a forward, without self."""
    return list(inspect.signature(forward).parameters.values())[1:]


def _required(forward: Callable) -> list[str] | None:
    """The names of those that must be given, at least one; None if there is no telling."""
    plain = [p for p in _parameters(forward) if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    required = [p.name for p in plain if p.default is p.empty]
    if not plain or (not required and len(plain) < len(_parameters(forward))):
        return None
    return required or [plain[0].name]


def by_name(forward: Callable, names: Sequence[str]) -> set[str]:
    """Those of `names` that go in by name: after one that is left out, or keywords only."""
    order = [p.name for p in _parameters(forward) if p.kind is not p.KEYWORD_ONLY]
    length = 0
    while length < min(len(names), len(order)) and names[length] == order[length]:
        length += 1
    return set(names[length:])


def named_inputs(model: nn.Module, data: object) -> Mapping[str, object]:
    """What a first batch gives by name: of a mapping, or of (mapping, targets), what it holds."""
    if not isinstance(data, Mapping):
        if isinstance(data, Tensor | tuple | Iterator) or not isinstance(data, Iterable):
            return {}
        data = next(iter(data), None)
    return mapping_in(data) or {}


def mapping_in(batch: object) -> Mapping | None:
    """The mapping that a batch is, or that it begins with."""
    if isinstance(batch, tuple | list) and batch:
        batch = batch[0]
    return batch if isinstance(batch, Mapping) else None


def input_names(model: nn.Module, given: Iterable[str] = ()) -> list[str]:
    """The forward's arguments that a batch goes into: what must be given, and what is `given`."""
    forward = type(model).forward
    names = {*(_required(forward) or ()), *given}
    return [p.name for p in _parameters(forward) if p.name in names]


def trace(model: nn.Module, call: Call | None = None, path: str = "") -> fx.Graph:
    """A forward as a graph; `SiteError` for one that torch.fx cannot trace.

    It is that of the whole model, with what must be given and no more; or, of a `call`, that of
    the part at `path`, where a module inside that cannot be traced is a single node. The nodes
    bear names from the whole model's point of view.
    """
    try:
        return _Tracer(model, path, call).trace(model)
    except Exception as error:
        part = f" (module {path!r})" if path else ""
        raise SiteError(
            f"torch.fx cannot trace {type(model.get_submodule(path)).__name__}{part} ({error}); "
            "units can be followed only where the forward neither branches nor loops on its data "
            "(nn.TransformerEncoderLayer branches: write the block out, as a module of your own)"
        ) from error


@contextmanager
def unmarked(model: nn.Module) -> Iterator[None]:
    """Take away what tracing leaves on a model: tensors that a forward makes of numbers."""
    before = set(vars(model))
    try:
        yield
    finally:
        for name in set(vars(model)) - before:
            if name.startswith("_tensor_constant"):
                delattr(model, name)
