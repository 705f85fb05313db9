"""Chapter 15, Removing dead neurons: fill in the functions, then `make check EX=15`."""

from torch import Tensor


def bias_speed(constants: Tensor, rule: str) -> float:
    """15.1 How many times as fast the output bias moves with the dead units left in.

    constants: (units,), what each dead unit answers to every example; b2 itself is not among them.
    rule: "sgd", every number moves by −lr times its gradient, or "sign", by −lr times its sign.
    Returns one number: 1 if there were no dead units.
    """
    raise NotImplementedError


def fold_channels(
    W: Tensor, b: Tensor, dead: list[int], constants: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """15.2 The Linear layer after a flattened feature map, without the dead channels.

    W: (out, channels * size), b: (out,), as nn.Linear holds them. The map was (batch, channels,
    height, width), size = height * width, and was flattened in that order. dead: channels, in any
    order; constants: (len(dead),), the value of each at all of its places.
    Returns W' (out, (channels - len(dead)) * size) and b' (out,).
    """
    raise NotImplementedError


def merge_twins(h: Tensor, W2: Tensor) -> tuple[Tensor, Tensor]:
    """15.3 Take out every unit that repeats an earlier one, or says its negative, on all rows.

    h: (batch, units), activations, no unit 0 throughout. W2: (units, out), the layer they feed.
    Returns keep, a bool mask (units,), False for a unit that goes, and W2' (units kept, out), so
    that h[:, keep] @ W2' is h @ W2.
    """
    raise NotImplementedError
