"""Reference solutions of chapter 17."""

from torch import Tensor


def multiply_adds(
    weights: list[Tensor], places: list[int], dead: list[list[int]]
) -> tuple[int, int]:
    """17.1"""
    before = after = 0
    units, live = 1, 1  # of the layer before, and how many of them stay
    for W, n, gone in zip(weights, places, dead, strict=True):
        each = W[0].numel()  # weights of one unit; a part live/units of them stays
        before += n * len(W) * each
        after += n * (len(W) - len(gone)) * each * live // units
        units, live = len(W), len(W) - len(gone)
    return before, after


def safe_rate(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """17.2"""
    reach = 1 + x.abs().sum(1, keepdim=True)  # (batch, 1): how far z can move, per unit of rate
    room = (x @ W + b) / reach  # (batch, units)
    return room.amax(0).clamp(min=0)
