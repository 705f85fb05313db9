"""A model's forward as a graph of calls, as torch.fx traces it.

Arguments with a default have that, but for those that are given by name.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, fx, nn
from torch.fx import Node

from mlpinit.models.names import ACTIVATION_MODULES, LAYERS, NORMS

__all__ = [
    "SiteError",
    "by_name",
    "called",
    "caller",
    "check_model",
    "evaluating",
    "mapping_in",
    "named_inputs",
    "trace",
    "where",
]


class SiteError(ValueError):
    """The units of a site cannot be followed, or not be changed without changing others."""


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
    """Activation modules, layers and batch norms are single nodes, subclasses included."""

    def __init__(self, given: Mapping[str, object]) -> None:
        super().__init__()
        self.given = given

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*ACTIVATION_MODULES, *LAYERS, *NORMS)) or (
            super().is_leaf_module(m, module_qualified_name)
        )

    def create_args_for_root(
        self, root_fn: Callable, is_module: bool, concrete_args: object = None
    ) -> tuple[Callable, list]:
        """Only what is given, or has no default, is traced: `mask=None` is None."""
        names = _required(root_fn)
        if names is None:
            return super().create_args_for_root(root_fn, is_module, concrete_args)
        names = [n for n in inspect.signature(root_fn).parameters if n in {*names, *self.given}]
        named = {
            name: self.create_proxy("placeholder", name, (), {})
            if isinstance(self.given.get(name, _TENSOR), Tensor)
            else self.given[name]
            for name in names
        }
        named_ones = by_name(root_fn, names)
        first = [named.pop(name) for name in names if name not in named_ones]
        return functools.partial(root_fn, **named), [self.root, *first]


_TENSOR = torch.empty(0)


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


def trace(model: nn.Module, given: Mapping[str, object] | None = None) -> fx.Graph:
    """The model's forward as a graph; `SiteError` for one that torch.fx cannot trace.

    Arguments with a default have that, but for those `given` by name: tensors are inputs then, and
    anything else is what it is.
    """
    try:
        return _Tracer(given or {}).trace(model)
    except Exception as error:
        raise SiteError(
            f"torch.fx cannot trace {type(model).__name__} ({error}); units can be "
            "followed only where the forward neither branches nor loops on its data "
            "(nn.TransformerEncoderLayer branches: write the block out, as a module of your own)"
        ) from error
