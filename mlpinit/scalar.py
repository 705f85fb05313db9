"""Reverse-mode differentiation of scalars: each operation beside its local derivatives."""

# ruff: noqa: D105 (an operator's own line says what it computes)

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Real

__all__ = ["Value", "topological_order"]


@dataclass(eq=False, slots=True)
class Value:
    """A number that remembers how it was computed, so that `backward` can differentiate it.

    `data` is the number; `grad` is d root / d self after `root.backward()`, 0 before; `op` names
    the operation that made it ("" for an input). `parents` holds one pair (parent, slope) for
    each argument of that operation; slope is d self / d parent, known as soon as `data` is.
    Plain numbers mix in as inputs. Data and slopes must be finite: `ValueError` otherwise.

    >>> x, w = Value(3.0, "x"), Value(-0.5, "w")
    >>> y = (2 * x * w).tanh()
    >>> y.backward()
    >>> y, w
    (Value(-0.995055, grad=1), Value(-0.5, grad=0.0591962, label='w'))
    """

    data: float
    label: str = ""
    op: str = field(default="", kw_only=True)
    parents: tuple[tuple[Value, float], ...] = field(default=(), kw_only=True)
    grad: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.data, Real):
            raise TypeError(f"a Value holds one real number, not {self.data!r}")
        self.data = float(self.data)
        numbers = (self.data, *(slope for _, slope in self.parents))
        if not all(map(math.isfinite, numbers)):
            came = (
                f"'{self.op}' gave result, slopes {numbers}" if self.op else f"data = {self.data}"
            )
            raise ValueError(f"{came}; keep every number finite: rescale the inputs")

    def __repr__(self) -> str:
        label = f", label={self.label!r}" if self.label else ""
        return f"Value({self.data:g}, grad={self.grad:g}{label})"

    # Each operation: its name, its result, and each argument with the slope of the result in it.

    def __add__(self, other: Value | float) -> Value:
        a, b = self, _value(other)
        return Value(a.data + b.data, op="+", parents=((a, 1.0), (b, 1.0)))

    def __sub__(self, other: Value | float) -> Value:
        a, b = self, _value(other)
        return Value(a.data - b.data, op="-", parents=((a, 1.0), (b, -1.0)))

    def __mul__(self, other: Value | float) -> Value:
        a, b = self, _value(other)
        return Value(a.data * b.data, op="*", parents=((a, b.data), (b, a.data)))

    def __truediv__(self, other: Value | float) -> Value:
        a, b = self, _value(other)
        if b.data == 0:
            raise ZeroDivisionError(f"{a.data:g} / 0 is undefined; keep the divisor away from 0")
        ratio = a.data / b.data
        return Value(ratio, op="/", parents=((a, 1 / b.data), (b, -ratio / b.data)))

    def __pow__(self, exponent: float) -> Value:
        x, k = self.data, exponent
        if not isinstance(k, Real):
            raise TypeError(
                f"exponent {k!r} is not a plain number; for x ** y use (y * x.log()).exp()"
            )
        try:
            power, slope = math.pow(x, k), k * math.pow(x, k - 1) if k else 0.0
        except (ValueError, OverflowError) as error:
            came = f"{x:g} ** {k:g} or its slope is not a finite real number"
            raise type(error)(f"{came}; keep the base above 0 and of moderate size") from None
        return Value(power, op=f"**{k:g}", parents=((self, slope),))

    def __neg__(self) -> Value:
        return Value(-self.data, op="neg", parents=((self, -1.0),))

    def tanh(self) -> Value:
        """tanh x, with slope 1 - tanh² x."""
        t = math.tanh(self.data)
        return Value(t, op="tanh", parents=((self, 1 - t * t),))

    def exp(self) -> Value:
        """e to the power x, which is its own slope. Raises `OverflowError` above x = 709.78."""
        if self.data > 709.78:
            raise OverflowError(f"exp({self.data:g}) overflows; keep its input below 709.78")
        e = math.exp(self.data)
        return Value(e, op="exp", parents=((self, e),))

    def log(self) -> Value:
        """Natural logarithm, with slope 1 / x. Raises `ValueError` unless x > 0."""
        if self.data <= 0:
            raise ValueError(f"log({self.data:g}) is undefined; its input must be above 0")
        return Value(math.log(self.data), op="log", parents=((self, 1 / self.data),))

    def relu(self) -> Value:
        """max(0, x), with slope 1 above 0 and 0 elsewhere (at 0 too, as PyTorch has it)."""
        on = float(self.data > 0)
        return Value(on * self.data, op="relu", parents=((self, on),))

    # A plain number on the left.

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: float) -> Value:
        return _value(other) - self

    def __rtruediv__(self, other: float) -> Value:
        return _value(other) / self

    def __rpow__(self, base: float) -> Value:
        return _value(base) ** self

    def backward(self) -> None:
        """Set `grad` of every value that this one was computed from to d self / d value.

        Each call starts from 0: calling it twice gives the same gradients, not their double.
        """
        order = topological_order(self)
        for node in order:
            node.grad = 0.0
        self.grad = 1.0
        for node in reversed(order):
            for parent, slope in node.parents:
                parent.grad += slope * node.grad


def topological_order(root: Value) -> list[Value]:
    """Every value that `root` was computed from, once, parents first; `root` is the last.

    A stack of our own in place of recursion: Python stops recursing at depth 1,000.

    >>> x = Value(2.0)
    >>> [node.op for node in topological_order((x * x + x).log())]
    ['', '*', '+', 'log']
    """
    order: list[Value] = []
    seen: set[Value] = set()
    stack = [(root, False)]
    while stack:
        node, parents_done = stack.pop()
        if parents_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((parent, False) for parent, _ in reversed(node.parents))
    return order


def _value(x: Value | float) -> Value:
    return x if isinstance(x, Value) else Value(x)
