"""What the values in a forward pass are made of: activations that are parts of a formula.

In x·σ(1.702 x) the sigmoid is no unit: the unit is x, as a linear map gives it, and its slope is
that of the whole product. A value that is made of one other, entry by entry, has a `Formula` here,
which can be worked out again from that root. Where two such values of one root are combined, and
an activation is among what they are made of, the result is the activation, and not its part. So it
is without one where the value bends on the way, as in x·(x > 0). What is made of parameters alone
is told too: weights are no units.

Nothing is kept alive but parameters: values are held by weak references, for one forward pass.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from mlpinit.models.names import ARITHMETIC, BENDS, CASTS, CONSTANTS, SCALES

__all__ = [
    "Formula",
    "Formulas",
    "arithmetic_functions",
    "constant_functions",
    "folding_functions",
    "put_where_",
    "rearranging_functions",
]


SUMS = frozenset(
    getattr(place, name)
    for place in (torch, Tensor)
    for name in ("add", "sub", "add_", "sub_", "__add__", "__sub__", "__iadd__", "__isub__")
    if hasattr(place, name)
)
"""Of the model's inputs, which are no units, a sum of several activations is no formula."""


class Root:
    """A value that formulas start from.

    `under`: the root that it was written over, or None; `part`: by which site's activation, or "".
    `kin`: what it was rearranged from and how, or None; `parts`: the sites on the way to that
    """

    __slots__ = ("kin", "part", "parts", "ref", "under")

    def __init__(self, value: Tensor, under: Root | None = None, part: str = "") -> None:
        """Of a tensor, which is not kept alive."""
        self.ref, self.under, self.part = weakref.ref(value), under, part
        self.kin: tuple | None = None
        self.parts: tuple[str, ...] = ()

    def is_over(self, other: Root) -> bool:
        """Whether it was written over that one."""
        under = self.under
        while under is not None and under is not other:
            under = under.under
        return under is other


class Formula:
    """A value as call(*args, **kwargs) of its root, itself a `Formula` without a call.

    - `parts`: the sites whose activations are on the way
    - `shaped`: whether tensors of several entries are among the constants
    - `bends`: whether a function on the way does, as `names.BENDS` has them; `exps`: whether exp is
    - `whole`: the formulas within it that were themselves seen as activations
    - `why`: why its slope cannot be told, or ""
    - `signature`: what tells it from another formula: its functions and numbers
    """

    __slots__ = (
        "args", "bends", "call", "exps", "kwargs", "parts", "ref", "root", "shaped", "signature",
        "whole", "why",
    )  # fmt: skip

    def __init__(
        self, root: Root, call: Callable | None = None, args: tuple = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """`args` and `kwargs` hold `Formula`s where the call was given their values."""
        self.root, self.call, self.args, self.kwargs = root, call, args, kwargs or {}
        self.parts, self.whole, self.signature, self.why = (), frozenset(), (), ""
        self.shaped = self.bends = self.exps = False
        if call is None:  # the root itself
            self.ref: Callable[[], Tensor | None] = root.ref
            return
        self.ref = _gone
        given = [*args, *self.kwargs.values()]
        made_of = [a for a in given if type(a) is Formula]
        self.parts = tuple(dict.fromkeys(part for a in made_of for part in a.parts))
        self.whole = frozenset().union(*(a.whole for a in made_of))
        self.shaped = any(a.shaped for a in made_of) or any(
            isinstance(a, Tensor) and a.ndim > 0 for a in given
        )
        self.why = next((a.why for a in made_of if a.why), "")
        name = plain_name(call)
        self.bends = name in BENDS or any(a.bends for a in made_of)
        self.exps = name in _EXPS or any(a.exps for a in made_of)
        named = ((key, _sign(value)) for key, value in self.kwargs.items())
        self.signature = (call, *map(_sign, args), *named)

    def __call__(self, z: Tensor) -> Tensor:
        """Its value, where the root's is z."""
        return self._value(z, {})

    def _value(self, z: Tensor, known: dict[int, Tensor]) -> Tensor:
        if self.call is None:
            return z
        found = known.get(id(self))
        if found is None:
            args = [a._value(z, known) if type(a) is Formula else a for a in self.args]
            kwargs = {
                key: a._value(z, known) if type(a) is Formula else a
                for key, a in self.kwargs.items()
            }
            if args and isinstance(args[0], Tensor) and works_in_place(self.call, args, kwargs):
                args[0] = args[0].clone()
            found = known[id(self)] = self.call(*args, **kwargs)
        return found

    def made_of(self) -> list[Formula]:
        """The formulas that the call was given."""
        return [a for a in (*self.args, *self.kwargs.values()) if type(a) is Formula]

    def from_the_last(self) -> tuple[Formula, Tensor] | None:
        """The same of the last value that it is all made of and that is still there, and that."""
        order: dict[int, Formula] = {}

        def walk(formula: Formula) -> None:
            if id(formula) not in order:
                for made_of in formula.made_of():
                    walk(made_of)
                order[id(formula)] = formula

        walk(self)
        for formula in list(order.values())[-2::-1]:  # the latest first, after what it is made of
            value = None if formula.parts or formula.call is None else formula.ref()
            if value is not None and not self._passes_by(formula, set()):
                found = self._replaced(formula, Formula(Root(value)), {})
                found.signature = self.signature
                return found, value
        return None

    def _passes_by(self, formula: Formula, seen: set[int]) -> bool:
        """Whether a way leads to the root that does not go through that formula."""
        if self is formula or id(self) in seen:
            return False
        seen.add(id(self))
        if self.call is None:
            return True
        return any(a._passes_by(formula, seen) for a in self.made_of())

    def _replaced(self, formula: Formula, by: Formula, known: dict[int, Formula]) -> Formula:
        if self is formula:
            return by
        if id(self) not in known:
            args = tuple(
                a._replaced(formula, by, known) if type(a) is Formula else a for a in self.args
            )
            kwargs = {
                key: a._replaced(formula, by, known) if type(a) is Formula else a
                for key, a in self.kwargs.items()
            }
            made = known[id(self)] = Formula(by.root, self.call, args, kwargs)
            made.parts, made.why = self.parts, self.why
        return known[id(self)]


def _gone() -> None:
    """What is known of the value of a formula that nothing has."""


def _sign(value: object) -> object:
    if type(value) is Formula:
        return value.signature
    return value if isinstance(value, int | float | str | torch.dtype) else type(value)


def plain_name(function: Callable) -> str:
    """The name of a function or method, without underscores."""
    return getattr(function, "__name__", "").removeprefix("special_").strip("_")


_EXPS = frozenset(("exp", "exp2", "expm1", "sinh", "cosh"))
_LOGS = frozenset(("log", "log2", "log1p"))
_HINGES = frozenset(("maximum", "minimum", "fmax", "fmin", "max", "min"))


def put_where_(x: Tensor, where: Tensor, value: object) -> Tensor:
    """x[where] = value."""
    x[where] = value
    return x


@dataclass(frozen=True)
class _Fold:
    """What reduces a stack of values, as one call of them all."""

    reduce: Callable
    kwargs: tuple

    def __call__(self, *values: Tensor) -> Tensor:
        return self.reduce(torch.stack(values), 0, **dict(self.kwargs))


def works_in_place(function: Callable, args: list | tuple, kwargs: Mapping[str, Any]) -> bool:
    """Whether a call writes into its first argument."""
    name = getattr(function, "__name__", "")
    if name.startswith("__i") and name != "__invert__":
        return True
    if name.endswith("_") and not name.endswith("__"):
        return True
    return bool(kwargs.get("inplace")) or (
        name in ("dropout", "relu", "hardtanh", "relu6", "silu", "mish", "hardswish", "elu", "celu",
                 "selu", "hardsigmoid", "leaky_relu", "rrelu", "threshold", "alpha_dropout")
        and len(args) > 1 and args[-1] is True and function is not torch.dropout
    )  # fmt: skip


class Formulas:
    """Formulas and weights of one forward pass."""

    def __init__(self, model: nn.Module) -> None:
        """Of that model's passes."""
        self.model = model
        self.formulas: dict[int, tuple[weakref.ref, Formula]] = {}
        self.roots: dict[int, Root] = {}
        self.weights: dict[int, weakref.ref] = {}
        self.given: dict[int, Tensor] = {}  # parameters that are inputs
        self.inputs: set[int] = set()
        self.constants: dict[int, weakref.ref] = {}
        self.buffers = {id(b): b for b in model.buffers()}
        self.any_over = False
        self.stacks: dict[int, tuple] = {}  # stacked values: (itself, formulas, axis)
        self.order: dict[str, int] = {}  # of the activations, as they were applied
        self.inner: set[tuple] = set()  # (site, signature) of formulas that are parts of others
        self.maximal: dict[str, list[Formula]] = {}  # by part: those that are part of no other

    def begin(self, args: tuple, kwargs: Mapping[str, Any]) -> None:
        """A forward pass on these begins."""
        self.end()
        for value in (*args, *kwargs.values()):
            self.inputs.add(id(value))
            if type(value) is nn.Parameter:  # data all the same: it is what the model is given
                self.given[id(value)] = value

    def end(self) -> None:
        """Forget the pass."""
        for held in (
            self.formulas,
            self.roots,
            self.weights,
            self.given,
            self.maximal,
            self.order,
            self.inputs,
            self.stacks,
        ):
            held.clear()
        self.any_over = False

    # What is made of parameters alone.

    def is_weight(self, value: object) -> bool:
        """Whether a tensor is a parameter or made of parameters alone."""
        if type(value) is nn.Parameter:
            return id(value) not in self.given
        ref = self.weights.get(id(value))
        return ref is not None and ref() is value

    def spread(self, args: tuple, kwargs: Mapping[str, Any], out: object) -> bool:
        """Note that `out` is made of weights alone if its arguments are; whether it is."""
        if not self._all_weights((*args, *kwargs.values())):
            return False
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, Tensor):
                self.weights[id(value)] = weakref.ref(value)
        return True

    def _all_weights(self, values: tuple | list) -> bool:
        some = False
        for value in values:
            if isinstance(value, Tensor):
                if self.is_weight(value):
                    some = True
                elif value.ndim and id(value) not in self.buffers:
                    return False
            elif isinstance(value, tuple | list) and any(isinstance(v, Tensor) for v in value):
                if not self._all_weights(value):
                    return False
                some = True
        return some

    # What is made of one value, entry by entry.

    def of(self, value: Tensor) -> Formula | None:
        """The formula of a value, None for one that has none: it would be its own root."""
        found = self.formulas.get(id(value))
        return found[1] if found is not None and found[0]() is value else None

    def _root(self, value: Tensor) -> Root:
        root = self.roots.get(id(value))
        if root is None or root.ref() is not value:
            root = self.roots[id(value)] = Root(value)
        return root

    def formula(self, value: Tensor) -> Formula:
        """The formula of a value, or of a root."""
        return self.of(value) or Formula(self._root(value))

    def put(self, value: Tensor, formula: Formula) -> None:
        """Say what a value is made of."""
        self._forget(value)
        formula.ref = weakref.ref(value)
        self.formulas[id(value)] = formula.ref, formula

    def _forget(self, value: Tensor) -> None:
        known = self.formulas.pop(id(value), None)
        if known is not None:
            known[1].ref = _gone

    def overwritten(self, value: Tensor, part: str = "") -> None:
        """A value was written over with something else: what was made of it no longer is."""
        formula = self.of(value)
        under = self._root(value) if formula is None else formula.root
        self._forget(value)
        self.roots[id(value)] = Root(value, under, part)
        self.any_over = True

    def applied(self, name: str, z: Tensor, h: Tensor, formula: Formula) -> None:
        """The activation of site `name` made h of z; `formula` says how, before h was made."""
        self.order.setdefault(name, len(self.order))
        formula.parts = self._ordered((*formula.parts, name))
        if h is z and self.of(z) is None:
            self.overwritten(z, name)
        else:
            self.put(h, formula)

    def _ordered(self, parts: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(set(parts), key=lambda part: self.order.get(part, -1)))

    def take(self, z: Tensor, func: Callable, rest: tuple, others: Mapping[str, Any]) -> Formula:
        """The formula of func(z, *rest, **others), to be asked for before it is called."""
        before = self.formula(z)
        return Formula(before.root, func, (before, *rest), others)

    def arithmetic(
        self, func: Callable, args: tuple, kwargs: dict[str, Any]
    ) -> tuple[Any, Formula | None, Tensor | None]:
        """func(*args, **kwargs); the formula if it combines activations, with its root's value."""
        data = [a for a in (*args, *kwargs.values()) if self._is_data(a)]
        in_place = works_in_place(func, args, kwargs) or "out" in kwargs
        if in_place and data and args and not any(a is args[0] for a in data):
            out = func(*args, **kwargs)  # a constant becomes a value
            self.constants.pop(id(out), None)
            return out, None, None
        formulas = [self.of(a) for a in data]
        several = not any(formulas) and any(a is not data[0] for a in data)
        if len(data) > 1 and plain_name(func) in CASTS:
            data, formulas = data[:1], formulas[:1]
        if not data or (several and not self.any_over):
            out = func(*args, **kwargs)
            if not data:
                self.spread(args, kwargs, out)
            elif in_place and isinstance(out, Tensor):
                self.overwritten(out)
            return out, None, None
        if several and not any(r.kin or r.under for r in map(self._root, data)):
            out = func(*args, **kwargs)  # values that have nothing to do with each other
            if in_place and isinstance(out, Tensor):
                self.overwritten(out)
            return out, None, None
        formulas = [f or Formula(self._root(a)) for f, a in zip(formulas, data, strict=True)]
        root = formulas[0].root
        if (
            any(f.root is not root for f in formulas)
            or "out" in kwargs
            or (len(data) > 1 and func in SUMS and id(root.ref()) in self.inputs)
        ):
            return self._of_several(func, args, kwargs, formulas, in_place)
        return self._of_one(func, args, kwargs, dict(zip(map(id, data), formulas, strict=True)))

    def _is_data(self, value: object) -> bool:
        if not isinstance(value, Tensor) or not value.ndim:
            return False
        if id(value) in self.buffers or self.is_weight(value):
            return False
        ref = self.constants.get(id(value))
        return ref is None or ref() is not value

    def _of_several(
        self, func: Callable, args: tuple, kwargs: dict, formulas: list[Formula], in_place: bool
    ) -> tuple[Any, Formula | None, None]:
        """Several values make a new one; a formula only where one was written over another."""
        out = func(*args, **kwargs)
        if not isinstance(out, Tensor):
            return out, None, None
        if in_place:
            self.overwritten(out)
        roots = {f.root for f in formulas}
        over = [a for a in roots for b in roots if a.is_over(b)]
        kin = [a for a in roots for b in roots if a is not b and a.kin and a.kin == b.kin]
        formula = Formula(formulas[0].root, func, tuple(formulas))
        parts = (*(a.part for a in over if a.part), *(part for a in kin for part in a.parts))
        formula.parts = self._ordered((*formula.parts, *parts))
        if not (over or kin) or not formula.parts:
            return out, None, None
        formula.why = "what it is applied to was written over"  # x.sigmoid_().mul_(the x before)
        if kin:
            formula.why = "its axes are rearranged on the way"
        return out, formula, None

    def rearranged(self, func: Callable, args: tuple, kwargs: Mapping[str, Any], out: Any) -> None:
        """`out` has the entries of args[0] in other places."""
        if not args or out is args[0] or not isinstance(out, Tensor) or not self._is_data(args[0]):
            return
        formula = self.of(args[0])
        source = self._root(args[0]) if formula is None else formula.root
        root = self.roots[id(out)] = Root(out)
        self.formulas.pop(id(out), None)
        root.kin = (source.kin or source, func.__name__, repr(args[1:]), repr(kwargs))
        root.parts = (*source.parts, *(() if formula is None else formula.parts))
        self.any_over = True

    def constant(self, out: object) -> None:
        """`out` is made of no value."""
        if isinstance(out, Tensor):
            self.constants[id(out)] = weakref.ref(out)

    def _of_one(
        self, func: Callable, args: tuple, kwargs: dict, known: dict[int, Formula]
    ) -> tuple[Any, Formula | None, Tensor | None]:
        """One value goes on, entry by entry."""

        def swap(a: object) -> object:
            return known.get(id(a), a) if isinstance(a, Tensor) else a

        named = {key: swap(a) for key, a in kwargs.items()}
        root = next(iter(known.values())).root
        formula = Formula(root, func, tuple(map(swap, args)), named)
        entering = [a for a in (*formula.args, *named.values()) if type(a) is Formula]
        combines = bool(formula.parts) and (len(entering) > 1 or self._scales(func, formula))
        bends = not formula.parts and self._bends(func, args, formula, entering)
        if _random(func, args, kwargs):
            formula.why = "a dropout is part of it"
        z = root.ref() if combines or bends else None
        in_place = works_in_place(func, args, kwargs)
        if z is not None and in_place and z is args[0]:
            z = z.detach().clone()
        out = func(*args, **kwargs)
        if not isinstance(out, Tensor):
            return out, None, None
        if in_place and self.of(out) is None:  # the root itself is written over
            self.overwritten(out)
        else:
            self.put(out, formula)
        if bends:
            known = out.is_floating_point() and not formula.why
            return out, (formula if known else None), z
        if not combines:
            return out, None, None
        return out, (formula if self._combine(formula) else None), z

    def _scales(self, func: Callable, formula: Formula) -> bool:
        """Whether a written-out activation is multiplied by a number."""
        of, *others = formula.args if len(formula.args) == 2 else (None,)
        if type(of) is not Formula and others:
            of, others = others[0], [of]
        return (
            type(of) is Formula
            and id(of) in of.whole
            and plain_name(func) in SCALES
            and isinstance(others[0], int | float)
        )

    def _bends(self, func: Callable, args: tuple, formula: Formula, entering: list) -> bool:
        """Whether this makes an activation of a value without any: of the inputs it makes none."""
        if not formula.bends or id(formula.root.ref()) in self.inputs:
            return False
        name = plain_name(func)
        if len(entering) > 1:
            return name not in CASTS
        if name in _HINGES:  # with nothing but zeros, which is a ReLU
            others = [a for a in args if isinstance(a, Tensor) and not self._is_data(a)]
            return bool(others) and all(map(self._is_zero, others))
        if not formula.exps:
            return False
        over = name in ("div", "true_divide", "divide") and not isinstance(args[0], Tensor)
        return over or name in _LOGS or name in ("reciprocal", "rtruediv", "rdiv")

    def _is_zero(self, value: Tensor) -> bool:
        try:
            return not self.is_weight(value) and not value.any()
        except (NotImplementedError, RuntimeError):  # it has no numbers, as on the meta device
            return False

    def named(self, formula: Formula, site: str) -> None:
        """A formula without activations has been seen as that site."""
        self.order.setdefault(site, len(self.order))
        formula.parts = (site,)
        formula.whole |= {id(formula)}
        self.maximal[site] = [formula]

    def stacked(self, args: tuple, kwargs: Mapping[str, Any], out: Any) -> None:
        """`out` is a stack of values; they are remembered where they are made of one."""
        values = args[0] if args else kwargs.get("tensors")
        if not isinstance(out, Tensor) or not all(map(self._is_data, values)):
            return
        formulas = [self.of(v) or Formula(self._root(v)) for v in values]
        if len({id(f.root) for f in formulas}) == 1 and any(f.call for f in formulas):
            axis = kwargs.get("dim", args[1] if len(args) > 1 else 0) % out.ndim
            self.stacks[id(out)] = weakref.ref(out), formulas, axis

    def _stack(self, value: object) -> tuple[list[Formula], int] | None:
        known = self.stacks.get(id(value))
        return known[1:] if known is not None and known[0]() is value else None

    def folded(
        self, func: Callable, args: tuple, kwargs: dict[str, Any], out: Any
    ) -> tuple[Formula | None, Tensor | None]:
        """The formula of `out`, made of a stack by func(*args, **kwargs), and its root's value."""
        stack = self._stack(args[0]) if args else None
        if stack is None or not isinstance(out, Tensor):
            return None, None
        formulas, axis = stack
        over = kwargs.get("dim", args[1] if len(args) > 1 else None)
        over = over[0] if isinstance(over, tuple | list) and len(over) == 1 else over
        if not isinstance(over, int) or over % args[0].ndim != axis:
            return None, None
        others = {key: value for key, value in kwargs.items() if key != "dim"}
        formula = Formula(formulas[0].root, _Fold(func, tuple(others.items())), tuple(formulas))
        self.put(out, formula)
        z = formula.root.ref()
        if not formula.parts or z is None or z.shape != out.shape:
            return None, None
        return (formula if self._combine(formula) else None), z

    def unstacked(self, func: Callable, args: tuple, kwargs: Mapping[str, Any], out: Any) -> None:
        """`out` is one of the stacked values, or all of them."""
        stack = self._stack(args[0]) if args else None
        if stack is None:
            return
        formulas, axis = stack
        if isinstance(out, tuple | list):
            over = kwargs.get("dim", args[1] if len(args) > 1 else 0)
            if over % args[0].ndim == axis:
                for value, formula in zip(out, formulas, strict=False):
                    self.put(value, formula)
        elif axis == 0 and len(args) > 1 and type(args[1]) is int:
            self.put(out, formulas[args[1]])

    def mixed(self, values: Iterable[object]) -> str:
        """The site of an activation among these that meets what it is made of, or ""."""
        formulas = [self.formula(v) for v in values if self._is_data(v)]
        for f in formulas:
            if f.parts and any(f.root is g.root and f.parts != g.parts for g in formulas):
                return f.parts[-1]
        return ""

    def _combine(self, formula: Formula) -> bool:
        """Note a formula that combines activations; whether it is not known as part of another."""
        formula.parts = self._ordered(formula.parts)
        for part in formula.parts:
            others = self.maximal.get(part, [])
            within = [f for f in others if id(f) in formula.whole]
            self.inner |= {(f.parts[-1], f.signature) for f in within}
            self.maximal[part] = [f for f in others if f not in within] + [formula]
        formula.whole |= {id(formula)}
        return not self.is_inner(formula.parts[-1], formula.signature)

    def is_inner(self, site: str, signature: tuple) -> bool:
        """Whether a formula of a site is known to be a part of another."""
        return (site, signature) in self.inner


def _random(function: Callable, args: tuple, kwargs: Mapping[str, Any]) -> bool:
    if "dropout" not in getattr(function, "__name__", ""):
        return False
    given = {**dict(zip(("input", "p", "training"), args, strict=False)), **kwargs}
    return bool(given.get("training", given.get("train", True)))


def arithmetic_functions() -> Iterator[Callable]:
    """The functions and methods that act on every entry alone and are no activations."""
    places = (F, torch, Tensor, torch._C._nn, torch.special)
    for name in sorted(ARITHMETIC):
        for place in places:
            for spelling in (name, f"{name}_", f"__{name}__"):
                if callable(function := getattr(place, spelling, None)):
                    yield function


def folding_functions() -> Iterator[Callable]:
    """Those that make one of several values along an axis."""
    for name in ("prod", "sum", "mean", "amax", "amin", "logsumexp"):
        for place in (torch, Tensor):
            yield getattr(place, name)


def rearranging_functions() -> Iterator[Callable]:
    """Those that change the shape of a value, and keep all of its entries."""
    for name in ("view", "reshape", "unsqueeze", "squeeze", "flatten", "unflatten", "ravel"):
        for place in (torch, Tensor):
            if callable(function := getattr(place, name, None)):
                yield function


def constant_functions() -> Iterator[Callable]:
    """Those whose values are made of no other value."""
    for name in sorted(CONSTANTS):
        yield getattr(Tensor if name.startswith("new_") else torch, name)
