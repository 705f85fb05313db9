"""Graders of chapter 22, In the wild."""

from __future__ import annotations

import torch
from torch import Tensor

from mlpinit.grading.exercise import Case, Draw, Exercise, Mistake

__all__ = ["EXERCISES"]


def _census_cases(g: Draw) -> list[Case]:
    def case(rows: tuple[int, ...], units: int, rate: float, what: str = "") -> Case:
        live = torch.rand(units, generator=g) * rate
        live[::3] = 0.0
        fired = [torch.rand(n, units, generator=g) < live for n in rows]
        for one in fired:  # one that each data set wakes, but not on every row
            one[:2, 2] = torch.tensor([True, False])
        fired[-1][0, 0] = True  # a unit that the last data set alone wakes
        if len(fired) > 1:  # and one that the first alone does
            fired[0][:2, 1] = True
            for others in fired[1:]:
                others[:, 1] = False
        return Case((fired,), what)

    return [
        case((6, 10), 5, 0.4),
        case((5, 300, 20), 12, 0.02, "three data sets of different lengths"),
        case((50,), 6, 0.1, "one data set"),
        case((30, 2), 7, 0.2, "the last has two rows"),
        Case(([torch.zeros(8, 4) > 0, torch.ones(2, 4) > 0],), "all of them wake"),
    ]


def _census(fired: list[Tensor]) -> tuple[Tensor, float]:
    dead = torch.stack([~one.any(0) for one in fired]).all(0)
    return dead, 3 / sum(len(one) for one in fired)


CENSUS = Exercise(
    id="22.1",
    title="Several censuses, one verdict",
    function="pooled_census",
    points=1,
    cases=_census_cases,
    oracle=_census,
    mistakes=(
        Mistake(
            "a unit that any one data set wakes is not dead: these are dead on some data set",
            lambda fired: (torch.stack([~f.any(0) for f in fired]).any(0), _census(fired)[1]),
        ),
        Mistake(
            "these are the units that are live somewhere: the dead are asked",
            lambda fired: (~_census(fired)[0], _census(fired)[1]),
        ),
        Mistake(
            "these are silent on some row: dead is silent on every row",
            lambda fired: (~torch.cat(fired).all(0), _census(fired)[1]),
        ),
        Mistake(
            "the bound counts data sets: it counts the rows of all of them",
            lambda fired: (_census(fired)[0], 3 / len(fired)),
        ),
        Mistake(
            "the bound is that of the longest data set: all rows together are evidence",
            lambda fired: (_census(fired)[0], 3 / max(map(len, fired))),
        ),
        Mistake(
            "the bound is that of the last data set: all rows together are evidence",
            lambda fired: (_census(fired)[0], 3 / len(fired[-1])),
        ),
        Mistake(
            "the bound is that of the first data set: all rows together are evidence",
            lambda fired: (_census(fired)[0], 3 / len(fired[0])),
        ),
        Mistake(
            "the bound lacks the three: 1 / rows is the rate of one live row",
            lambda fired: (_census(fired)[0], _census(fired)[1] / 3),
        ),
        Mistake(
            "the first data set alone is judged",
            lambda fired: (~fired[0].any(0), _census(fired)[1]),
        ),
        Mistake(
            "the last data set alone is judged",
            lambda fired: (~fired[-1].any(0), _census(fired)[1]),
        ),
    ),
    hints=(
        "More data can only acquit: a unit is dead on all of them if it is dead on each.",
        "Put the rows one below the other with torch.cat; any(0) asks whether some row is live.",
        "The rule of three is 3 / n for n rows without a live one, and n is all rows together.",
    ),
    teaches="A verdict is about the data that were fed, and pooled data are more data.",
)


def _box_cases(g: Draw) -> list[Case]:
    def case(fan_in: int, units: int, least: float, most: float, what: str = "") -> Case:
        W = torch.randn(fan_in, units, generator=g)
        b = torch.randn(units, generator=g)
        low = least * torch.rand(fan_in, generator=g)
        high = most * torch.rand(fan_in, generator=g)
        return Case((W, b, low, high), what)

    return [
        case(5, 4, -1.0, 2.0),
        case(8, 3, -3.0, 0.5, "a box that is not centred"),
        case(2, 6, -1.0, 1.0, "two inputs"),
        case(6, 1, 0.0, 1.0, "inputs that are never negative, one unit"),
        case(30, 7, -0.5, 0.5),
    ]


def _largest(W: Tensor, b: Tensor, low: Tensor, high: Tensor) -> Tensor:
    W, b, low, high = (t.double() for t in (W, b, low, high))
    ends = torch.stack([low[:, None] * W, high[:, None] * W])
    return ends.amax(0).sum(0) + b


BOX = Exercise(
    id="22.2",
    title="What no input can exceed",
    function="largest_possible",
    points=1,
    cases=_box_cases,
    oracle=_largest,
    mistakes=(
        Mistake(
            "every input is at its largest: where a weight is negative, the least is the best",
            lambda W, b, low, high: high @ W + b,
        ),
        Mistake(
            "this is the smallest z of the box: the largest is asked",
            lambda W, b, low, high: -_largest(-W, -b, low, high),
        ),
        Mistake(
            "the bias is left out",
            lambda W, b, low, high: _largest(W, b, low, high) - b,
        ),
        Mistake(
            "the weights are taken without their signs: that is right only where low = −high",
            lambda W, b, low, high: torch.maximum(low.abs(), high.abs()) @ W.abs() + b,
        ),
        Mistake(
            "the weights are taken without their signs",
            lambda W, b, low, high: high @ W.abs() + b,
        ),
        Mistake(
            "negative weights are left out: they pull z up where the input is negative",
            lambda W, b, low, high: high @ W.clamp(min=0) + b,
        ),
        Mistake(
            "one end of the box is taken for all inputs of a unit: each input has its own",
            lambda W, b, low, high: torch.maximum(low @ W, high @ W) + b,
        ),
        Mistake(
            "this is the middle of the box",
            lambda W, b, low, high: (low + high) / 2 @ W + b,
        ),
    ),
    hints=(
        "z is a sum, and each input can be chosen by itself: choose the best end for each.",
        "A positive weight wants the largest value of its input, a negative one the least.",
        "Split W with clamp(min=0) and clamp(max=0), and add the bias once.",
    ),
    teaches="Only a bound convicts: where it is at most 0, no input in the box wakes the unit.",
)


def _wake_cases(g: Draw) -> list[Case]:
    def case(fan_in: int, hidden: int, lr: float, steps: int, c: float, what: str = "") -> Case:
        x = 2 * torch.rand(fan_in, generator=g) - 1
        W = torch.randn(fan_in, hidden, generator=g) / fan_in**0.5
        b, v = (torch.randn(hidden, generator=g) for _ in range(2))
        return Case((x, W, b, v, c, lr, steps), what)

    return [
        case(6, 4, 0.1, 5, -1.0),
        case(3, 8, 0.5, 12, -2.0, "long steps, which the walls stop"),
        Case(
            (
                torch.zeros(3),
                torch.tensor([[4.0, 4.0], [0.0, 0.0], [0.0, 0.0]]),
                torch.tensor([0.0, -2.0]),
                torch.tensor([1.0, -1.0]),
                -0.5,
                0.5,
                2,
            ),
            "a step so long that z falls",
        ),
        case(5, 3, 0.2, 1, -1.0, "one step"),
        case(5, 6, 0.3, 0, 0.5, "no step: z at the start"),
    ]


def _walk(x, W, b, v, c, lr, steps, *, sign=1.0, clamp=True, slope=True) -> list[float]:
    x, W, b, v = (t.double() for t in (x, W, b, v))
    met = []
    for _ in range(steps + 1):
        h = torch.tanh(x @ W + b)
        met.append(float(h @ v + c))
        x = x + sign * lr * (W * (v * (1 - h * h if slope else 1.0))).sum(1)
        x = x.clamp(-1, 1) if clamp else x
    return met


def _ascent(x, W, b, v, c, lr, steps) -> float:
    return max(_walk(x, W, b, v, c, lr, steps))


WAKE = Exercise(
    id="22.3",
    title="Wake a unit",
    function="wake",
    points=2,
    cases=_wake_cases,
    oracle=_ascent,
    mistakes=(
        Mistake(
            "this goes down, or never moves: a unit is woken by adding the gradient",
            lambda *args: max(_walk(*args, sign=-1.0)),
        ),
        Mistake(
            "the input leaves the range: clamp it to −1 … 1 after each step",
            lambda *args: max(_walk(*args, clamp=False)),
        ),
        Mistake(
            "this is the last z: the largest that was met is asked",
            lambda *args: _walk(*args)[-1],
        ),
        Mistake(
            "the slope of tanh is left out of the gradient: 1 − h² multiplies v",
            lambda *args: max(_walk(*args, slope=False)),
        ),
        Mistake(
            "the last step's z is not looked at",
            lambda *args: max(_walk(*args)[:-1] or _walk(*args)),
        ),
        Mistake(
            "c is left out of z",
            lambda x, W, b, v, c, lr, steps: _ascent(x, W, b, v, 0.0, lr, steps),
        ),
    ),
    hints=(
        "By the chain rule the gradient of z by x is W (v ⊙ (1 − h²)), with h = tanh(x W + b).",
        "Add lr times it, then x.clamp(-1, 1). Or let autograd find the gradient.",
        "There are steps + 1 values of z to look at; keep the largest, also where z falls again.",
    ),
    teaches="A search that finds a live input acquits a unit. One that finds none proves nothing.",
)

EXERCISES = (CENSUS, BOX, WAKE)
