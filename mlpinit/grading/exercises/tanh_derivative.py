"""Graders of chapter 6, The tanh derivative."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from mlpinit.grading.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]


def _slope_cases(g: Generator) -> list[Case]:
    return [
        Case((2 * torch.randn(2, 3, generator=g),)),
        Case((torch.randn(5, 7, generator=g, dtype=torch.float64),), "float64"),
        Case((torch.tensor([-30.0, -3.0, -0.01, 0.0, 0.5, 8.0]),), "also far out"),
        Case((3 * torch.randn(2, 3, 4, generator=g),), "three axes"),
    ]


def _slope(x: Tensor) -> Tensor:
    return torch.cosh(x.double()).reciprocal().square()


SLOPE = Exercise(
    id="6.1",
    title="The slope of tanh",
    function="tanh_slope",
    points=1,
    cases=_slope_cases,
    oracle=_slope,
    atol=1e-5,
    mistakes=(
        Mistake("this is 1 − x² where 1 − tanh(x)² is meant", lambda x: 1 - x.double() ** 2),
        Mistake("this is 1 − tanh(x): the square is missing", lambda x: 1 - torch.tanh(x.double())),
        Mistake("this is tanh itself, not its derivative", lambda x: torch.tanh(x.double())),
        Mistake(
            "this is 1 − tanh(tanh(x))²: the slope at h, where the slope at x is asked",
            lambda x: 1 - torch.tanh(torch.tanh(x.double())) ** 2,
        ),
        Mistake(
            "this is 1 + tanh(x)²: the sign is wrong", lambda x: 1 + torch.tanh(x.double()) ** 2
        ),
        Mistake("this is tanh(x)²: take it from 1", lambda x: torch.tanh(x.double()) ** 2),
        Mistake(
            "this is 1 − tanh(x²): square the tanh, not x",
            lambda x: 1 - torch.tanh(x.double() ** 2),
        ),
        Mistake(
            "this is the slope of the logistic function",
            lambda x: torch.sigmoid(x.double()) * (1 - torch.sigmoid(x.double())),
        ),
        Mistake("this is 1/cosh(x): the square is missing", lambda x: 1 / torch.cosh(x.double())),
        Mistake("this is cosh(x)²: the slope is 1 over it", lambda x: torch.cosh(x.double()) ** 2),
        Mistake(
            "this is the second derivative, the slope of the slope",
            lambda x: -2 * torch.tanh(x.double()) * _slope(x),
        ),
        Mistake(
            "this is tanh times its slope: the slope alone is asked",
            lambda x: torch.tanh(x.double()) * _slope(x),
        ),
        Mistake("this is the slope of ReLU, 1 where x is above 0", lambda x: (x > 0).double()),
        Mistake("the slope is 1 at 0 alone: it falls off on both sides", torch.ones_like),
        Mistake(
            "1 − h² has its square over all of it: only h is squared",
            lambda x: (1 - torch.tanh(x.double())) ** 2,
        ),
    ),
    hints=(
        "Equation (6.2) has the slope in terms of h = tanh(x).",
        "Compute h = torch.tanh(x) first; the slope is 1 minus its square, entry by entry.",
    ),
    teaches="The slope is had from the output alone: nothing but h need be kept for backward.",
)


def _backward_cases(g: Generator) -> list[Case]:
    def case(*shape: int, spread: float, what: str = "") -> Case:
        h = torch.tanh(spread * torch.randn(shape, generator=g))
        return Case((h, torch.randn(shape, generator=g)), what)

    return [
        case(2, 3, spread=1.0),
        case(32, 5, spread=0.5),
        case(7, 4, spread=30.0, what="many units at ±1"),
    ]


def _backward(h: Tensor, dh: Tensor) -> Tensor:
    h, dh = h.double(), dh.double()
    return dh * (1 - h) * (1 + h)


BACKWARD = Exercise(
    id="6.2",
    title="A gradient on its way through tanh",
    function="tanh_backward",
    points=2,
    cases=_backward_cases,
    oracle=_backward,
    mistakes=(
        Mistake(
            "this is the slope alone: multiply it by dh, the gradient that arrives",
            lambda h, dh: 1 - h.double() ** 2,
        ),
        Mistake(
            "tanh is applied once more: h is already tanh(z), its slope is 1 − h²",
            lambda h, dh: dh.double() * (1 - torch.tanh(h.double()) ** 2),
        ),
        Mistake(
            "this is dh · h: the slope of tanh is 1 − h², not h",
            lambda h, dh: dh.double() * h.double(),
        ),
        Mistake(
            "this adds the slope to dh: the chain rule multiplies",
            lambda h, dh: dh.double() + 1 - h.double() ** 2,
        ),
        Mistake(
            "the square is missing: the slope is 1 − h²",
            lambda h, dh: dh.double() * (1 - h.double()),
        ),
        Mistake(
            "this is dh · (1 + h²): the sign is wrong",
            lambda h, dh: dh.double() * (1 + h.double() ** 2),
        ),
        Mistake(
            "this divides by the slope: the chain rule multiplies",
            lambda h, dh: dh.double() / (1 - h.double() ** 2),
        ),
        Mistake(
            "h and dh changed places",
            lambda h, dh: h.double() * (1 - dh.double() ** 2),
        ),
        Mistake("dh goes through unchanged: multiply it by the slope", lambda h, dh: dh.double()),
        Mistake(
            "this is dh · h²: the slope of tanh is 1 − h²",
            lambda h, dh: dh.double() * h.double() ** 2,
        ),
        Mistake(
            "this is the slope of the logistic function, h (1 − h)",
            lambda h, dh: dh.double() * h.double() * (1 - h.double()),
        ),
        Mistake(
            "this is h times the slope: what arrives is dh",
            lambda h, dh: h.double() * (1 - h.double() ** 2),
        ),
        Mistake(
            "the slope is squared",
            lambda h, dh: dh.double() * (1 - h.double() ** 2) ** 2,
        ),
        Mistake(
            "dh is inside the square: (1 − h²) · dh, not 1 − (h · dh)²",
            lambda h, dh: 1 - (h.double() * dh.double()) ** 2,
        ),
        Mistake(
            "the sizes of the numbers are taken: dh keeps its sign",
            lambda h, dh: dh.double().abs() * (1 - h.double() ** 2),
        ),
        Mistake(
            "this is 1 minus h² dh: dh multiplies the 1 as well",
            lambda h, dh: 1 - h.double() ** 2 * dh.double(),
        ),
        Mistake(
            "this is dh minus h²: dh multiplies h² as well",
            lambda h, dh: dh.double() - h.double() ** 2,
        ),
    ),
    hints=(
        "The chain rule: dz = dh · dh/dz, entry by entry.",
        "dh/dz is the slope of tanh at z, and h = tanh(z) is what you are given.",
    ),
    teaches="Where h is ±1, nothing arrives at z, however large dh is.",
)


def _exponential_cases(g: Generator) -> list[Case]:
    far = torch.tensor([[-355.0, 355.0, 800.0], [20.0, -0.5, -800.0]], dtype=torch.float64)
    return [
        Case((torch.randn(2, 3, generator=g),)),
        Case((torch.tensor([-1000.0, -50.0, 0.0, 44.5, 88.8, 1000.0]),), "far out"),
        Case((far,), "float64, far out"),
        Case((20 * torch.randn(4, 6, generator=g),)),
    ]


def _naive(x: Tensor) -> Tensor:
    e = torch.exp(2 * x)
    return (e - 1) / (e + 1)


EXPONENTIALS = Exercise(
    id="6.3",
    title="A tanh that does not overflow",
    function="tanh_from_exponentials",
    points=3,
    cases=_exponential_cases,
    oracle=lambda x: torch.tanh(x.double()),
    atol=1e-5,
    mistakes=(
        Mistake(
            "exp(2x) overflows for large x, and ∞/∞ is NaN: keep the exponent at or below 0",
            _naive,
        ),
        Mistake(
            "exp(−2x) overflows for very negative x, and ∞/∞ is NaN: let the sign of x choose",
            lambda x: (1 - torch.exp(-2 * x)) / (1 + torch.exp(-2 * x)),
        ),
        Mistake(
            "the sign is lost: this is tanh(|x|), and tanh(−x) = −tanh(x)",
            lambda x: torch.tanh(x.double().abs()),
        ),
        Mistake(
            "this is the logistic function of 2x; tanh is twice that, minus 1",
            lambda x: torch.sigmoid(2 * x.double()),
        ),
        Mistake(
            "the exponent is x where 2x is meant: this is tanh(x/2)",
            lambda x: torch.tanh(x.double() / 2),
        ),
        Mistake(
            "exp(x) and exp(−x) overflow far out, and ∞/∞ is NaN: keep the exponents at or below 0",
            lambda x: (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x)),
        ),
        Mistake("the exponent is 4x: this is tanh(2x)", lambda x: torch.tanh(2 * x.double())),
        Mistake("this is the sign of x: tanh rises smoothly", lambda x: x.double().sign()),
        Mistake("this is x cut off at −1 and 1: tanh bends", lambda x: x.double().clamp(-1, 1)),
        Mistake("this is sinh(x): divide it by cosh(x)", lambda x: torch.sinh(x.double())),
        Mistake("this is the logistic function of x", lambda x: torch.sigmoid(x.double())),
        Mistake("exp sees x cut off at −1 and 1", lambda x: torch.tanh(x.double().clamp(-1, 1))),
        Mistake(
            "exp sees x cut off below at 0: the negative side has its own values",
            lambda x: torch.tanh(x.double().clamp(min=0)),
        ),
        Mistake(
            "exp sees x cut off above at 0: the positive side has its own values",
            lambda x: torch.tanh(x.double().clamp(max=0)),
        ),
        Mistake("the sign is the wrong way round on both sides", lambda x: -torch.tanh(x.double())),
        Mistake("the sign is that of −|x|", lambda x: -torch.tanh(x.double().abs())),
        Mistake("the denominator is missing", lambda x: 1 - torch.exp(-2 * x.double().abs())),
        Mistake(
            "the denominator is missing: divide by the sum as well",
            lambda x: x.double().sign() * (1 - torch.exp(-2 * x.double().abs())),
        ),
    ),
    hints=(
        "exp of a number at or below 0 lies between 0 and 1: it can vanish, but not overflow.",
        "tanh(−x) = −tanh(x), so it is enough to compute tanh(|x|) and give it the sign of x.",
        "Divide (e^{2a} − 1)/(e^{2a} + 1) above and below by e^{2a}.",
    ),
    teaches="The same function has forms that survive in floats and forms that do not.",
)

EXERCISES = (SLOPE, BACKWARD, EXPONENTIALS)
