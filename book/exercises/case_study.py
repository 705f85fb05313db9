"""Chapter 17, A case study: fill in the functions, then `make check EX=17`."""

from torch import Tensor


def multiply_adds(
    weights: list[Tensor], places: list[int], dead: list[list[int]]
) -> tuple[int, int]:
    """17.1 The multiply-adds of a chain of layers for one image, before and after its dead go.

    weights: convolutions (out, in, height, width) first, then Linear layers (out, in), as PyTorch
    holds them. The first Linear layer behind a convolution reads its flattened maps: as many inputs
    for each channel as the map has places. places[i]: at how many places layer i is applied, 1 for
    a Linear layer. dead[i]: the dead units of layer i, each once; none of the last layer. Returns
    (before, after), whole numbers.
    """
    raise NotImplementedError


def safe_rate(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """17.2 Up to which learning rate each ReLU unit is sure to survive one step of Adam.

    x: (batch, fan_in), inputs of any sign, which stay as they are. W: (fan_in, units). b: (units,).
    A step changes every weight and bias by the learning rate, each up or down as it may. Each row
    has a rate below which the unit is above 0 there after any such step. Returns, (units,), the
    largest of these over the rows; 0 for a unit that is above 0 on none before the step.
    """
    raise NotImplementedError
