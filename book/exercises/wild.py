"""Chapter 22, In the wild: fill in the functions, then `make check EX=22`."""

from torch import Tensor


def pooled_census(fired: list[Tensor]) -> tuple[Tensor, float]:
    """22.1 What several censuses of one layer say together.

    fired: one bool tensor (rows, units) for each data set, whether the unit's slope was not 0 on
    the row; the data sets may have different numbers of rows. Returns which units are dead on all
    of them, (units,) bool, and what the rule of three then says of a dead unit's live rate, for
    rows drawn as these were: at most 3 / rows.
    """
    raise NotImplementedError


def largest_possible(W: Tensor, b: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """22.2 What no input in a box can exceed.

    W: (fan_in, units), b: (units,), z = x W + b. low, high: (fan_in,), the least and the largest
    value that each input can take. Returns the largest z of each unit, (units,).
    """
    raise NotImplementedError


def wake(x: Tensor, W: Tensor, b: Tensor, v: Tensor, c: float, lr: float, steps: int) -> float:
    """22.3 Gradient ascent on an input that is to wake one ReLU.

    The unit's pre-activation is z = tanh(x W + b) · v + c, with x: (fan_in,), W: (fan_in, hidden),
    b, v: (hidden,). Each of the `steps` moves x by lr times the gradient of z by x, then clamps
    every entry to −1 … 1. Returns the largest z met, at the start and after each step.
    """
    raise NotImplementedError
