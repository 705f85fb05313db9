"""What a watch puts in the place of a module's `forward`, and the models that it refuses."""

from __future__ import annotations

import functools
from collections.abc import Callable
from threading import get_ident
from types import FrameType
from typing import Any

import torch
from torch import nn

__all__ = ["Forward", "Gate", "blind", "check_model", "check_replica"]

_NO_REPLICAS = (
    "DataParallel runs copies of a model in threads, which a watch cannot follow; use "
    "DistributedDataParallel, or watch the model on one device"
)

_NOT_COMPILED = (
    "this model runs inside torch.compile, whose graphs show no activations; watch and run the "
    "original module (model._orig_mod), which has the same parameters"
)

_COMPILING = getattr(torch._C._dynamo.eval_frame, "get_eval_frame_callback", lambda: None)
"""What torch.compile would do with the next frame; a callable while compiled code runs."""


class Gate:
    """Counts the forward passes of a model: it lets some by, and has the next one looked at.

    A pass that is let by comes after a whole training step, when little of this is left in the
    caches: each thing that it reads costs more than in a loop of its own, so it reads few.

    - `next`: the number of the pass that is looked at next, from 0; `left`: those to let by first
    """

    __slots__ = ("left", "next")

    def __init__(self) -> None:
        """The first pass is looked at."""
        self.next = self.left = 0

    @property
    def passes(self) -> int:
        """Forward passes begun so far."""
        return self.next - self.left

    def look(self) -> int:
        """A pass is looked at: which one. Until `let_by`, those within it come to the watch too."""
        step = self.passes
        self.next, self.left = step + 1, 0
        return step

    def let_by(self, count: int) -> None:
        """Look again after `count` more."""
        self.next += count
        self.left = count

    def lets_by(self) -> bool:
        """Whether a pass is one to let by; if so it is counted."""
        if not self.left:
            return False
        self.left -= 1
        return True

    def handle(self, model: nn.Module, but: bool | None, look: Callable) -> Callable:
        """handle(inner, ...), which gives look(inner, ...) the passes that are not let by.

        Those of a model whose `training` is `but`, and those of other threads, all go there,
        uncounted.
        """
        attributes, thread = model.__dict__, get_ident()

        def handle(inner: Callable, *args: Any, **kwargs: Any) -> Any:
            if self.left and attributes["training"] is not but and get_ident() == thread:
                self.left -= 1
                return inner(*args, **kwargs)
            return look(inner, *args, **kwargs)

        return handle


class Forward(functools.partial):
    """Stands in for a module's `forward` while it is watched, as an attribute of that module.

    It goes with no copy: what copies and pickles the module asks for its state, and `__getstate__`,
    a second attribute meanwhile, gives that without either. A `partial`, for what costs nothing to
    call is called at every step, watched or not.
    """

    @classmethod
    def put(cls, module: nn.Module, handle: Callable) -> Forward:
        """Let handle(inner, ...) run instead of module.forward(...), which is `inner`."""
        inner = module.forward
        forward = cls(handle, inner)
        forward.module = module
        forward.own = "forward" in module.__dict__  # an attribute that somebody else had set
        functools.update_wrapper(forward, inner, updated=())
        module.__dict__["forward"] = forward
        state = module.__dict__.setdefault("__getstate__", Unwatched(_state, module))
        if isinstance(state, Unwatched):
            state.watches += 1
        return forward

    def __reduce__(self) -> tuple:
        """Of whoever keeps it, a copy has what it stands before."""
        return _same, (self.inner,)

    @property
    def inner(self) -> Callable:
        """What runs in the end."""
        return self.args[-1]  # after what a handle that is a `partial` was given

    def take_away(self) -> None:
        """Leave the module as it was, whichever order two watches of it end in.

        Where somebody has wrapped it meanwhile, their wrapper stays, and calls what it would have
        wrapped without the watch.
        """
        attributes = self.module.__dict__
        outer = attributes.get("forward")
        if outer is self:
            _leave(attributes, self)
        else:
            while isinstance(outer, Forward) and outer.inner is not self:
                outer = outer.inner
            if isinstance(outer, Forward):
                before = outer.args[:-1]
                outer.__setstate__((outer.func, (*before, self.inner), {}, outer.__dict__))
                outer.own = self.own
        self.__setstate__((_through, (self.inner,), {}, self.__dict__))
        state = attributes.get("__getstate__")
        if isinstance(state, Unwatched):
            state.watches -= 1
            if not state.watches:
                del attributes["__getstate__"]


def _same(inner: Callable) -> Callable:
    return inner


def _through(inner: Callable, *args: Any, **kwargs: Any) -> Any:
    """What stands for a forward that is no longer watched."""
    return inner(*args, **kwargs)


def _leave(attributes: dict[str, Any], forward: Forward) -> None:
    """Put back what `forward` stands before: an attribute of the module, or its class's method."""
    if forward.own:
        attributes["forward"] = forward.inner
    else:
        del attributes["forward"]


class Unwatched(functools.partial):
    """The `__getstate__` of a module that is watched, by so many `watches`."""

    watches = 0


def _state(module: nn.Module) -> Any:
    """What the module's class says its state is, as if nobody watched it."""
    state = type(module).__getstate__(module)
    if not isinstance(state, dict):
        return state
    state = {name: value for name, value in state.items() if name != "__getstate__"}
    while isinstance(forward := state.get("forward"), Forward):
        _leave(state, forward)
    return state


def check_replica(model: nn.Module, frame: FrameType) -> None:
    """Refuse a replica of `DataParallel`: it has our very `forward`, and would run the original.

    `frame` is that of the call of `forward`.
    """
    caller = frame.f_locals.get("self")
    if isinstance(caller, nn.Module) and caller is not model:
        raise RuntimeError(_NO_REPLICAS)


def blind() -> str:
    """Why nothing can be counted in a forward pass made now, or "".

    Raises `RuntimeError` while torch.compile is tracing or running what calls this.
    """
    if callable(_COMPILING()):
        raise RuntimeError(_NOT_COMPILED)
    if torch.jit.is_tracing():
        return "torch.jit was tracing"
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "inside a transform of torch.func"
    return ""


def check_model(model: nn.Module) -> None:
    """Refuse what cannot be watched, with the way out."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is {type(model).__name__}; wanted a torch.nn.Module")
    if _compiled(model):
        raise ValueError(
            "this model is compiled, and a compiled forward shows no activations; watch and run "
            "the original, model._orig_mod, which has the same parameters"
        )
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError("this model is scripted; watch and run the module it was made from")
    for name, module in model.named_modules():
        where = f"its module {name!r}" if name else "this model"
        if isinstance(module, nn.DataParallel):
            raise ValueError(f"{where} is a DataParallel; {_NO_REPLICAS}")
        if _compiled(module):
            raise ValueError(
                f"{where} is compiled, and shows no activations; "
                f"watch a model that holds its original, {name}._orig_mod, in its place"
            )
        if module._compiled_call_impl is not None or hasattr(
            module.forward, "_torchdynamo_orig_callable"
        ):
            raise ValueError(
                f"{where} was compiled in place, and shows no activations; "
                "watch it before compile() is called, or a copy.deepcopy: that is not compiled"
            )


def _compiled(module: nn.Module) -> bool:
    """Whether torch.compile made it; told by its name, for importing its class takes a second."""
    kind = type(module)
    return kind.__name__ == "OptimizedModule" and kind.__module__.startswith("torch._dynamo")
