"""Mistakes that any exercise can meet: answers that are related to the right one.

What is said of each is true of the numbers wherever it is said: that they are the squares of what
is wanted, its running sums, its rows in reverse. Why that is so the learner is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations

import torch
from torch import Tensor

__all__ = ["Relative", "relatives"]

Relative = tuple[str, Callable[..., object]]
"""What is to be said, and the answer it is said of, from the arguments."""

_LARGEST = 500  # entries of an answer, all its values together


def _sizes(t: Tensor) -> Tensor | None:
    return t.abs() if (t > 0).any() else None  # without one it is the sign that is lost


_OF_REALS: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("the negative of what is wanted: the sign is the wrong way round", lambda t: -t),
    ("the square of what is wanted: is a root missing?", lambda t: t**2),
    ("the root of what is wanted: is there a root too many?", lambda t: t.sqrt()),
    ("one over what is wanted: is a quotient upside down?", lambda t: 1 / t),
    ("what is wanted without its signs: is there an abs or a square too many?", _sizes),
    ("what is wanted, cut off at 0", lambda t: t.clamp(min=0)),
    ("the exponential of what is wanted: is a logarithm missing?", torch.exp),
    ("the logarithm of what is wanted: is there one too many?", torch.log),
    ("tanh of what is wanted: is it applied once too often?", torch.tanh),
    ("1 minus what is wanted", lambda t: 1 - t),
    ("1 more than what is wanted", lambda t: t + 1),
    ("1 less than what is wanted", lambda t: t - 1),
    ("what is wanted in bits, not in nats", lambda t: t / torch.log(torch.tensor(2.0))),
    ("what is wanted less its mean", lambda t: t - t.mean()),
    ("what is wanted over its sum", lambda t: t / t.sum()),
    ("what is wanted over its mean", lambda t: t / t.mean()),
    ("what is wanted over its largest entry", lambda t: t / t.max()),
    ("the mean of what is wanted, in every place", lambda t: t.mean().expand(t.shape)),
    ("nothing but zeros", torch.zeros_like),
)

_OF_WHOLES: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("one more than what is wanted: is it off by one?", lambda t: t + 1),
    ("one less than what is wanted: is it off by one?", lambda t: t - 1),
    ("nothing but zeros", torch.zeros_like),
)

_ALONG: tuple[tuple[str, Callable[[Tensor, int], Tensor]], ...] = (
    ("what is wanted in reverse along axis {}", lambda t, k: t.flip(k)),
    ("what is wanted one place late along axis {}: is it off by one?", lambda t, k: t.roll(1, k)),
    ("what is wanted one place early along axis {}: is it off by one?", lambda t, k: t.roll(-1, k)),
    ("what is wanted, sorted along axis {}", lambda t, k: t.sort(k)[0]),
    ("the running sums of what is wanted along axis {}", lambda t, k: t.cumsum(k)),
    ("the steps between what is wanted along axis {}", lambda t, k: t.diff(dim=k)),
    ("what is wanted, summed over axis {}", lambda t, k: t.sum(k)),
    ("what is wanted, averaged over axis {}", lambda t, k: t.double().mean(k)),
    ("the first of what is wanted along axis {}, alone", lambda t, k: t.select(k, 0)),
    ("the last of what is wanted along axis {}, alone", lambda t, k: t.select(k, -1)),
    ("what is wanted without its first along axis {}", lambda t, k: t.narrow(k, 1, _but_one(t, k))),
    ("what is wanted without its last along axis {}", lambda t, k: t.narrow(k, 0, _but_one(t, k))),
    ("the largest of what is wanted along axis {}", lambda t, k: t.amax(k)),
)

_TIMES = (
    ("twice what is wanted", 2.0),
    ("half of what is wanted", 0.5),
    ("100 times what is wanted: are these per cent?", 100.0),
)

_BY_LENGTH: tuple[tuple[str, Callable[[float], float]], ...] = (
    ("what is wanted times the number of {0}: is a sum where a mean is meant?", lambda n: n),
    ("what is wanted over the number of {0}: is it divided once too often?", lambda n: 1 / n),
    ("what is wanted times the root of the number of {0}", lambda n: n**0.5),
    ("what is wanted over the root of the number of {0}", lambda n: n**-0.5),
    (
        "what is wanted times n / (n − 1), n being the number of {0}: is it divided by n − 1 where "
        "n is meant?",
        lambda n: n / (n - 1),
    ),
    (
        "what is wanted times (n − 1) / n, n being the number of {0}: is it divided by n where "
        "n − 1 is meant?",
        lambda n: (n - 1) / n,
    ),
    (
        "what is wanted times the root of n / (n − 1), n being the number of {0}: is it divided by "
        "n − 1 where n is meant?",
        lambda n: (n / (n - 1)) ** 0.5,
    ),
    (
        "what is wanted times the root of (n − 1) / n, n being the number of {0}: is it divided by "
        "n where n − 1 is meant?",
        lambda n: ((n - 1) / n) ** 0.5,
    ),
)


def _but_one(t: Tensor, axis: int) -> int:
    """The length of an axis less one."""
    return t.shape[axis] - 1


def relatives(oracle: Callable[..., object]) -> Iterator[Relative]:
    """What may be said of relatives of an oracle's answers, with functions of its arguments.

    Where an answer is several values, one of them may be wrong, or all, or their order. The
    functions return None for large answers: a first case is small, and there are hundreds of them.
    """
    right = _remembered(oracle)
    for says, of in _changes():
        yield f"this is {says}", lambda *args, of=of: _to_all(right(*args), of, args)
    for says, of in _scales():  # of a single value the judge finds any factor
        yield (
            f"this is {says}",
            lambda *args, of=of: (
                _to_all(right(*args), of, args) if isinstance(right(*args), tuple) else None
            ),
        )
    for place in range(4):
        for says, of in (*_changes(), *_scales()):
            yield (
                f"value {place + 1} is {says} (the other values are right)",
                lambda *args, of=of, place=place: _to_one(right(*args), of, args, place),
            )
    for count in (2, 3, 4):
        for order in list(permutations(range(count)))[1:]:
            names = ", ".join(str(i + 1) for i in order)
            yield (
                f"the values are in another order: {names} of what is wanted",
                lambda *args, order=order: _ordered(right(*args), order),
            )


def _changes() -> Iterator[tuple[str, Callable[[Tensor, tuple], Tensor | None]]]:
    for says, change in _OF_REALS:
        yield says, lambda t, args, change=change: change(t) if t.is_floating_point() else None
    for says, change in _OF_WHOLES:
        yield says, lambda t, args, change=change: change(t) if t.dtype == torch.int64 else None
    yield (
        "the opposite of what is wanted",
        lambda t, args: ~t if t.dtype == torch.bool else None,
    )
    yield "the transpose of what is wanted", lambda t, args: t.mT if t.ndim > 1 else None
    for axis in range(3):
        for says, change in _ALONG:
            yield says.format(axis), lambda t, args, change=change, axis=axis: change(t, axis)


def _scales() -> Iterator[tuple[str, Callable[[Tensor, tuple], Tensor | None]]]:
    for says, factor in _TIMES:
        yield (
            says,
            lambda t, args, factor=factor: t * factor if t.is_floating_point() else None,
        )
    for axis, name in enumerate(("rows of the first tensor", "columns of the first tensor")):
        for says, factor in _BY_LENGTH:
            yield (
                says.format(name),
                lambda t, args, axis=axis, factor=factor: (
                    t * factor(_first(args).shape[axis]) if t.is_floating_point() else None
                ),
            )


def _first(args: tuple) -> Tensor:
    """The first tensor among the arguments, or in a list among them."""
    for arg in args:
        if isinstance(arg, Tensor) and arg.ndim:
            return arg
        if isinstance(arg, list | tuple) and any(isinstance(a, Tensor) for a in arg):
            return next(a for a in arg if isinstance(a, Tensor))
    raise ValueError("no tensor among the arguments")


def _to_all(answer: object, of: Callable, args: tuple) -> object:
    if not isinstance(answer, tuple | list):
        return None if answer is None else _changed(answer, of, args)
    values = [_changed(v, of, args) for v in answer]
    return None if any(v is None for v in values) else tuple(values)


def _to_one(answer: object, of: Callable, args: tuple, place: int) -> tuple | None:
    if not isinstance(answer, tuple | list) or place >= len(answer) or len(answer) > 4:
        return None
    changed = _changed(answer[place], of, args)
    return None if changed is None else (*answer[:place], changed, *answer[place + 1 :])


def _changed(value: object, of: Callable, args: tuple) -> Tensor | None:
    if isinstance(value, str):
        return None
    kind = {"dtype": torch.float64} if isinstance(value, float) else {}
    return of(torch.as_tensor(value, **kind), args)


def _ordered(answer: object, order: tuple[int, ...]) -> tuple | None:
    if not isinstance(answer, tuple | list) or len(answer) != len(order):
        return None
    return tuple(answer[i] for i in order)


def _remembered(oracle: Callable[..., object]) -> Callable[..., object]:
    """The oracle, which works out once what it is asked many times in a row.

    The same arguments are the same objects: to compare their numbers takes longer than an answer.
    """
    last: tuple[tuple, object] | None = None  # one name: another thread sees both or neither

    def right(*args: object) -> object:
        nonlocal last
        known = last
        same = known is not None and len(known[0]) == len(args)
        if same and all(a is b for a, b in zip(known[0], args, strict=True)):
            return known[1]
        answer = oracle(*args)
        parts = answer if isinstance(answer, tuple | list) else [answer]
        size = sum(p.numel() if isinstance(p, Tensor) else 1 for p in parts)
        answer = answer if size <= _LARGEST else None
        last = args, answer
        return answer

    return right
