"""What sees the activations of a forward pass, and whose they are.

`Observer` is a `TorchFunctionMode`: while it is on, torch shows it every function and method called
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
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from mlpinit.models.axes import (
    Experts,
    Layout,
    Slice,
    deciding_functions,
    moving_functions,
    part_of,
)
from mlpinit.models.composites import (
    Formula,
    Formulas,
    arithmetic_functions,
    constant_functions,
    folding_functions,
    put_where_,
    rearranging_functions,
)
from mlpinit.models.names import clamp_bounds, is_clamp
from mlpinit.models.padding import Kept
from mlpinit.models.slopes import (
    Kind,
    Slope,
    applied,
    clamp_functions,
    custom,
    formula_kind,
    function_names,
    kind_of,
    probed,
    recurrent_kind,
)

__all__ = ["Names", "Observation", "Observer"]

_OURS = object()
_CALL = nn.Module._call_impl.__code__
_NO_LONGER = "what it is applied to is no longer there"
_WEIGHTS = "applied to parameters, not to activations: weights are no units, and it is not judged"


@dataclass(slots=True)
class Observation:
    """One application of an activation function.

    - `base`: the name of the site but for a "#2"; `once`: whether further calls are the same site
    - `activation`: "tanh"; it was called as call(z, *args, **kwargs)
    - `z`: the pre-activations as they were before the call, or None where they are not seen
    - `h`: the activations
    - `slope`: the slope function that the user gave, None for autograd; `_OURS` if torch's own
    - `axis`: that of the units; `examples`: the length of the batch axis, or None: axis 0
    - `note`: what cannot be seen there; `name`: that of the site where it is known
    - `feed`: the weight, or the name of the module, of the map before it, or None
    - `experts`: whose units they are, where several experts' maps were one call, or None
    - `slopes`: of h's shape, where they are known already
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
    name: str = ""
    feed: object = None
    experts: Experts | None = None
    slopes: Tensor | None = None

    @property
    def key(self) -> tuple:
        """What tells its function from another: the name and all that is not a tensor."""
        if isinstance(self.call, Formula):
            return self.activation, self.call.signature
        args = tuple(a for a in self.args if not isinstance(a, Tensor))
        named = {k: a for k, a in (self.kwargs or {}).items() if not isinstance(a, Tensor)}
        return self.activation, args, named, self.slope

    @property
    def shaped(self) -> bool:
        """Whether its slope depends on where in the tensor an entry is, as a PReLU's may."""
        if isinstance(self.call, Formula):
            return self.call.shaped
        given = (*self.args, *(self.kwargs or {}).values())
        return any(isinstance(a, Tensor) and a.numel() > 1 for a in given)

    def f(self, z: Tensor) -> Tensor:
        """The function once more; z is left as it is."""
        if isinstance(self.call, Formula):
            return self.call(z)
        return applied(self.call, self.args, self.kwargs or {}, z)

    def probes(self) -> Tensor | None:
        """The function at a few points, (points,), to see whether it changes; None if it cannot."""
        try:
            return probed(self.f, self.z.device)
        except (RuntimeError, TypeError, ValueError):
            return None

    def kind(self) -> Kind:
        """What function it is."""
        if self.z is None:
            return recurrent_kind(self.activation)
        if isinstance(self.call, Formula):
            return formula_kind(self.activation, self.f, self.z.device)
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
        self.moved: set[str] = set()  # names that another module has now, or none
        self.refresh()

    def refresh(self) -> None:
        """Look again at what the model consists of."""
        before = {name: module for module, name in self.by_module.items()}
        self.by_module = {module: name for name, module in self.model.named_modules()}
        now = {name: module for module, name in self.by_module.items()}
        self.moved |= {name for name, module in before.items() if now.get(name) is not module}
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

    def caller(self, frame: FrameType | None) -> str:
        """The name of the module whose forward called what is below `frame`."""
        while frame is not None:
            if frame.f_code is _CALL and self._known(frame.f_locals["self"]):
                return self.by_module[frame.f_locals["self"]]
            frame = frame.f_back
        return ""

    def of(self, module: nn.Module, function: str) -> str:
        """The name of the site of `function` called by the forward of `module`."""
        if not self._known(module):
            return f":{function}"
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
            self.refresh()
            if module in self.by_module:
                return True
            self.strangers.add(module)
        return False


class Observer(TorchFunctionMode):
    """Shows every activation to `see`, as a `Observation`.

    - `functions`: torch functions that the user named → their slope function, or None
    - `shut`: True while the inside of something already seen is running
    """

    def __init__(
        self,
        see: Callable[[Observation], str],
        missed: Callable[[str, str], None],
        names: Names,
        functions: Mapping[Callable, Slope | None],
    ) -> None:
        """Make the table of what to look at. `missed(site, why)` hears what cannot be seen."""
        super().__init__()
        self.functions = functions
        self.see, self.missed, self.names = see, missed, names
        self.layout, self.shut = Layout(), False
        self.formulas = Formulas(names.model)
        self.feed: object = None
        self.meets_experts = False  # in this pass
        self.kept: Kept | None = None  # the rows that count in this pass, where not all do
        self.labels: dict[str, str] = {}  # site -> its function's name
        self.attends: Callable[..., None] = lambda *_: None
        self.gated: Callable[..., None] = lambda *_: None
        self.counted_as_one: Callable[[str], bool] = lambda name: False
        self.looks: dict[Callable, Callable] = {}
        self._look_at_values()
        self._look_at_activations()

    def __torch_function__(
        self, func: Callable, types: Iterable, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Called by torch in place of `func`."""
        look = self.looks.get(func)
        if self.shut:
            return func(*args, **kwargs) if kwargs else func(*args)
        if look is None:
            out = func(*args, **kwargs) if kwargs else func(*args)
            if args and self._of_weights(args[0]):
                self.formulas.spread(args, kwargs or {}, out)
            elif self.layout.ways:
                self._handed(func, args, {}, out)
            return out
        return look(func, args, kwargs or {})

    def _look_at_values(self) -> None:
        """What values are made of, and where they lie."""
        for function in arithmetic_functions():
            self.looks[function] = self._arithmetic
        for function in rearranging_functions():
            self.looks[function] = partial(self._then, self._reshaped)
        for function in constant_functions():
            self.looks[function] = partial(self._then, self._constant)
        for function, channel in deciding_functions():
            maps = not function.__name__.startswith(("embedding", "layer_norm", "rms_norm"))
            self.looks[function] = partial(self._then, partial(self._layer, channel, maps))
        for function in folding_functions():
            self.looks[function] = self._folded
        for function in (torch.max, torch.min, Tensor.max, Tensor.min):
            self.looks[function] = self._extreme
        self.looks[torch.stack] = partial(self._then, self._stacked)
        for function in (torch.unbind, Tensor.unbind):
            self.looks[function] = partial(self._then, self._unstacked)
        self.looks[Tensor.__setitem__] = self._set
        self.looks[torch.einsum] = self._multiplied
        for function in moving_functions():
            self.looks[function] = partial(self._then, self._moved)
        for function in (Tensor.__getitem__, Tensor.index_select, torch.index_select):
            self.looks[function] = self._selected

    def _look_at_activations(self) -> None:
        """Activation functions: those that the user named come last, for they go first."""
        for function, name in clamp_functions().items():
            self.looks[function] = partial(self._clamp, name)
        for function, name in function_names().items():
            self.looks[function] = partial(self._activation, name, _in_place(function))
        for name in _RECURRENT:
            self.looks[getattr(torch, name)] = partial(self._recurrent, name)
        for function in (
            functional.scaled_dot_product_attention,
            functional.multi_head_attention_forward,
        ):
            self.looks[function] = self._attention
        for function, slope in self.functions.items():
            name = function.__name__.strip("_")
            self.looks[function] = partial(self._activation, name, _in_place(function), slope=slope)

    def _of_weights(self, first: object) -> bool:
        if type(first) in (tuple, list) and first:
            first = first[0]
        return type(first) is nn.Parameter or id(first) in self.formulas.weights

    def begin(self, args: tuple, kwargs: dict) -> None:
        """A forward pass on these arguments begins."""
        self.layout.clear()
        self.feed, self.meets_experts = None, False
        self.formulas.begin(args, kwargs)

    def end(self) -> None:
        """The forward pass is over: say which of its formulas cannot be told apart, and forget."""
        for part, formulas in self.formulas.maximal.items():
            if len(formulas) > 1 and not self.counted_as_one(part):
                why = "it is part of several formulas, none of which is the way of a unit alone"
                for name in {part, *(f.parts[-1] for f in formulas)}:
                    self.missed(name, why)
        self.formulas.end()
        self.feed = self.kept = None

    def _then(self, after: Callable, func: Callable, args: tuple, kwargs: dict) -> Any:
        """Call it, and tell `after` what came of it, unless that is made of weights alone."""
        out = func(*args, **kwargs)
        if not (args and self._of_weights(args[0]) and self.formulas.spread(args, kwargs, out)):
            try:
                after(func, args, kwargs, out)
            except Exception as error:  # ours, and the model's forward goes on
                self._lost(func, error)
        return out

    def _lost(self, func: Callable, error: Exception) -> None:
        first = str(error).strip().partition("\n")[0]
        why = f"what it gives could not be followed ({type(error).__name__}: {first})"
        self.missed(func.__name__, why)

    def _layer(
        self, channel: int, maps: bool, func: Callable, args: tuple, kwargs: dict, out: Any
    ) -> None:
        if not isinstance(out, Tensor):
            return
        experts = None
        if maps:
            self._feed(func, args, kwargs)
            if self.layout.follows and out.ndim > 1 and func.__name__.strip("_") in _PRODUCTS:
                experts, channel = self._experts(func, args, kwargs, out)
        elif (way := self.layout.way(args[0] if args else None)) is not None:
            experts = way.experts
        self.layout.note(out, channel, experts)

    def _feed(self, func: Callable, args: tuple, kwargs: dict) -> None:
        given = (*args[:3], *kwargs.values()) if kwargs else args[:3]
        for value in given:
            if type(value) is nn.Parameter and value.ndim > 1:
                self.feed = value
                return
        for value in given:
            found = part_of(value) if isinstance(value, Tensor) and value.ndim > 1 else None
            if found is not None:
                weight, index = found
                self.feed = weight if index is None else Slice(id(weight), index)
                return
        if func.__name__.startswith(("linear", "conv", "bilinear")):  # computed anew each time
            self.feed = self.names.caller(sys._getframe(2))

    def _experts(
        self, func: Callable, args: tuple, kwargs: dict, out: Tensor
    ) -> tuple[Experts | None, int]:
        """Whose units a map gave that may be several experts', and their axis from the end."""
        name = func.__name__.strip("_")
        if name == "einsum":
            return self._einsum(args, out)
        factors = (*args, *kwargs.values())[1:3] if name in ("addmm", "baddbmm") else args[:2]
        for place, value in enumerate(factors):
            if not isinstance(value, Tensor):
                continue
            found, chosen = part_of(value), self._chosen(value)
            channel = 2 if place == 0 and name != "rmatmul" else 1  # as W @ x has them
            experts = None
            if found is None and chosen is None:
                continue
            if chosen is not None and out.size(0) == len(chosen.ids):
                experts = chosen.along(0)
            elif "grouped_mm" in name and found is not None:
                experts = Experts(found[0], 0, _ids(args, kwargs, out))
            elif found is not None and found[1] is None and value.ndim == 3 <= out.ndim:
                several = out.size(-3) == value.size(0) > 1
                experts = Experts(found[0], out.ndim - 3) if several else None
            self.meets_experts |= experts is not None
            return experts, min(channel, out.ndim)
        return None, 1

    def _chosen(self, value: Tensor) -> Experts | None:
        """The experts whose weights these are, one for each row."""
        way = self.layout.way(value)
        return way.experts if way is not None and way.axis is None else None

    def _einsum(self, args: tuple, out: Tensor) -> tuple[Experts | None, int]:
        """The same for an einsum, whose letters tell: the last of a weight's is the units'."""
        if not isinstance(args[0], str):
            return None, 1
        operands = args[1] if isinstance(args[1], tuple | list) else args[1:]
        into, arrow, onto = args[0].replace(" ", "").partition("->")
        terms = into.split(",")
        if not arrow or len(terms) != len(operands):
            return None, 1
        for value, letters in zip(operands, terms, strict=True):
            found, chosen = part_of(value), self._chosen(value)
            if (found is None or found[1] is not None) and chosen is None:
                continue
            axes = [onto.index(c) - len(onto) for c in letters if c in onto and c != "."]
            if not axes:
                continue
            unit = max(axes)
            others = [axis for axis in axes if axis != unit]
            if len(others) != 1:
                return None, -unit
            self.meets_experts = True
            experts = Experts(found[0], 0) if chosen is None else chosen
            return experts.along(out.ndim + others[0]), -unit
        return None, 1

    def _selected(self, func: Callable, args: tuple, kwargs: dict) -> Any:
        """Some of the entries; of the weights of experts, those of the chosen ones."""
        out = func(*args, **kwargs)
        if not args or not self._of_weights(args[0]):
            self._unstacked(func, args, kwargs, out)
            return out
        ids = kwargs.get("index", args[-1])
        chosen = isinstance(ids, Tensor) and ids.ndim == 1 and not ids.is_floating_point()
        if chosen and ids.dtype != torch.bool and args[0].ndim > 2 and self.layout.follows:
            found = part_of(args[0])
            if found is not None and found[1] is None and len(out) == len(ids):
                self.layout.put(out, None, Experts(found[0], 0, ids))
        else:
            self.formulas.spread(args, kwargs, out)
        return out

    def _moved(self, func: Callable, args: tuple, kwargs: dict, out: Any) -> None:
        self.layout.follow(func, args, kwargs, out)
        self.formulas.rearranged(func, args, kwargs, out)

    def _reshaped(self, func: Callable, args: tuple, kwargs: dict, out: Any) -> None:
        if self.kept is not None and args and isinstance(out, Tensor):
            self.kept.flatten(args[0], out)
        self._handed(func, args, kwargs, out)
        self.formulas.rearranged(func, args, kwargs, out)

    def _handed(self, func: Callable, args: tuple, _kwargs: dict, out: Any) -> None:
        """What is known of the arguments is known of what came of them."""
        if self.layout.ways:
            try:
                self.layout.inherit(args, out)
            except Exception as error:  # of tensors without a shape, as nested ones are
                self._lost(func, error)

    def _stacked(self, func: Callable, args: tuple, kwargs: dict, out: Any) -> None:
        self._handed(func, args, kwargs, out)
        self.formulas.stacked(args, kwargs, out)

    def _unstacked(self, func: Callable, args: tuple, kwargs: dict, out: Any) -> None:
        self._handed(func, args, kwargs, out)
        self.formulas.unstacked(func, args, kwargs, out)

    def _constant(self, _func: Callable, _args: tuple, _kwargs: dict, out: Any) -> None:
        self.formulas.constant(out)

    def _arithmetic(self, func: Callable, args: tuple, kwargs: dict) -> Any:
        out, formula, z = self.formulas.arithmetic(func, args, kwargs)
        if self.layout.ways:
            self._handed(func, args, kwargs, out)
        if formula is not None:
            self._formula(formula, z, out)
        return out

    def _folded(self, func: Callable, args: tuple, kwargs: dict) -> Any:
        found: tuple = (None, None)

        def look(func: Callable, args: tuple, kwargs: dict, out: Any) -> None:
            nonlocal found
            self._handed(func, args, kwargs, out)
            found = self.formulas.folded(func, args, kwargs, out)

        out = self._then(look if self.formulas.stacks else self._handed, func, args, kwargs)
        if found[0] is not None:
            self._formula(*found, out)
        return out

    def _extreme(self, func: Callable, args: tuple, kwargs: dict) -> Any:
        two = len(args) > 1 and isinstance(args[1], Tensor)
        return self._arithmetic(func, args, kwargs) if two else self._folded(func, args, kwargs)

    def _set(self, func: Callable, args: tuple, kwargs: dict) -> Any:
        """x[where] = value."""
        where = args[1] if len(args) == 3 else None
        if isinstance(where, Tensor) and where.dtype == torch.bool and where.shape == args[0].shape:
            self._arithmetic(put_where_, args, {})
            return None
        return func(*args, **kwargs)

    def _multiplied(self, func: Callable, args: tuple, kwargs: dict) -> Any:
        """An einsum: of entries alone, or of what activations are made of, or a layer."""
        if not args or not isinstance(args[0], str):
            return self._then(partial(self._layer, 1, True), func, args, kwargs)
        values = args[1] if isinstance(args[1], tuple | list) else args[1:]
        into, _, onto = args[0].replace(" ", "").partition("->")
        if len(values) > 1 and {*into.split(",")} == {onto} and _once_each(onto):
            return self._arithmetic(func, (args[0], *values), kwargs)
        if site := self.formulas.mixed(values):
            self.missed(site, "it is part of an einsum with what it is applied to")
        return self._then(partial(self._layer, 1, True), func, args, kwargs)

    def _formula(self, formula: Formula, z: Tensor | None, h: Tensor) -> None:
        """Activations are parts of a formula that gave h: it is the activation, and not they."""
        shown = formula
        if (z is None or formula.shaped) and (found := formula.from_the_last()) is not None:
            shown, z = found
        if not formula.parts:
            self._bend(formula, shown, z, h)
            return
        *parts, name = formula.parts
        why = formula.why or ("" if z is not None else _NO_LONGER)
        for part in parts:
            self.missed(part, "")
        if why:
            self.missed(name, f"it is part of a formula whose slope cannot be told: {why}")
            return
        activation = f"{self.labels.get(name, 'activation')} formula"
        with torch._C.DisableTorchFunction():
            experts = self._whose(h)
            self.see(Observation(name, activation, z, h, shown, name=name, experts=experts))

    def _bend(self, formula: Formula, shown: Formula, z: Tensor | None, h: Tensor) -> None:
        """A formula without an activation function is one."""
        if z is not None and (z.shape != h.shape or not z.is_floating_point()):
            return
        base = self.names.base("formula", sys._getframe(1))
        if z is None:
            self.missed(base, f"its slope cannot be told: {_NO_LONGER}")
            return
        experts = self._whose(h)
        with torch._C.DisableTorchFunction():
            seen = Observation(base, "formula", z, h, shown, feed=self.feed, experts=experts)
            site = self.see(seen)
        if site:
            self.formulas.named(formula, site)
            self.labels[site] = "written-out"

    def _clamp(self, name: str, func: Callable, args: tuple, kwargs: dict) -> Any:
        bounds = clamp_bounds(args[1:], kwargs)
        if is_clamp(name, bounds) and "out" not in kwargs and args:
            return self._activation(name, _in_place(func), func, args, kwargs)
        return self._arithmetic(func, args, kwargs)

    def _activation(
        self, name: str, in_place: bool, func: Callable, args: tuple, kwargs: dict,
        slope: Slope | object | None = _OURS,
    ) -> Any:  # fmt: skip
        z, rest, others = _split(args, kwargs)
        if not isinstance(z, Tensor):
            return func(*args, **kwargs)
        formulas = self.formulas
        if self._of_weights(z) and formulas.is_weight(z):
            h = func(*args, **kwargs)
            formulas.spread(args, kwargs, h)
            base = self.names.base(name, sys._getframe(1))
            self.missed(base, _WEIGHTS)
            return h
        made = formulas.take(z, func, rest, others)
        given = z
        if in_place or kwargs.get("inplace") or "out" in kwargs or any(a is True for a in rest):
            z = z.detach().clone()
        h = func(*args, **kwargs)
        experts = self._whose(given, h)
        base = self.names.base(name, sys._getframe(1))
        if name == "glu":
            self.gated(base, name, (z, *rest), others, h)
        with torch._C.DisableTorchFunction():
            site = self.see(
                Observation(
                    base, name, z, h, func, rest, others, slope, feed=self.feed, experts=experts
                )
            )
        if site and isinstance(h, Tensor):
            self.labels[site] = name
            formulas.applied(site, given, h, made)
        return h

    def _whose(self, *way: Tensor) -> Experts | None:
        """Hand on what is known of the first of these to the last: its experts."""
        if not self.layout.ways:
            return None
        if len(way) > 1:
            self.layout.inherit(way[:1], way[1])
        known = self.layout.way(way[-1])
        return None if known is None or known.axis is None else known.experts

    def module(
        self, module: nn.Module, slope: Slope | None, inner: Callable, args: tuple, kwargs: dict
    ) -> Any:
        """Run the forward of an activation module that the user named, and see it as one call."""
        z, rest, others = _split(args, kwargs)
        if self.shut or not isinstance(z, Tensor):
            return inner(*args, **kwargs)
        z = z.detach().clone()
        name = type(module).__name__.lower()
        formulas, given = self.formulas, args[0] if args else None
        made = formulas.take(given, inner, rest, others) if isinstance(given, Tensor) else None
        self.shut = True
        try:
            h = inner(*args, **kwargs)
            base = self.names.of(module, name)
            experts = self._whose(given, h)
            with torch._C.DisableTorchFunction():
                site = self.see(
                    Observation(
                        base, name, z, h, inner, rest, others, slope, feed=self.feed,
                        experts=experts,
                    )
                )  # fmt: skip
        finally:
            self.shut = False
        if site and made is not None and isinstance(h, Tensor):
            self.labels[site] = name
            formulas.applied(site, given, h, made)
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
                Observation(
                    base, name, None, h, func,
                    axis=h.ndim - 1, examples=examples, once=True, note=note,
                )
            )  # fmt: skip
        if "rnn" not in name:
            self.gated(base, name, args, kwargs, out)
        return out

    def _attention(self, func: Callable, args: tuple, kwargs: dict) -> Any:
        out = func(*args, **kwargs)
        self.attends(self.names.base("attention", sys._getframe(1)), func, args, kwargs)
        if self.layout.ways:
            self._handed(func, args, {}, out)
        return out


_PRODUCTS = frozenset(
    ("matmul", "rmatmul", "mm", "addmm", "bmm", "baddbmm", "einsum", "grouped_mm")
)
"""Maps that may be several experts' in one call, and whose units may be the rows."""


def _once_each(letters: str) -> bool:
    letters = letters.replace("...", "")
    return len(set(letters)) == len(letters)


def _ids(args: tuple, kwargs: dict, out: Tensor) -> Tensor | None:
    """Which group each row is of, of a product of groups of rows."""
    ends = kwargs.get("offs", args[2] if len(args) > 2 else None)
    if ends is None:
        return None
    return torch.bucketize(torch.arange(len(out), device=ends.device), ends.long(), right=True)


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
