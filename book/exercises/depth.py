"""Chapter 12, Depth: fill in the functions, then `make check EX=12`."""

from torch import Tensor


def leaky_variances(
    gain: float, bias_std: float, slope: float, mean_square: float, n_layers: int
) -> Tensor:
    """12.1 The variance of the pre-activations in each of n_layers wide leaky ReLU layers.

    The activation function is z for z > 0 and slope · z for z < 0. Weights have the standard
    deviation gain / √fan-in, biases bias_std; the inputs of layer 1 have the mean square
    mean_square. Returns (n_layers,), floating point: q of layer 1 first.
    """
    raise NotImplementedError


def residual_gradients(x: Tensor, U: list[Tensor], V: list[Tensor], s: float, dh: Tensor) -> Tensor:
    """12.2 The gradients at every place of a residual stack, h ↦ h + s tanh(h U) V, by hand.

    x: (batch, width), what enters. U, V: lists of L matrices, (width, inner) and (inner, width),
    first layer first. s: the branch scale. dh: (batch, width), the gradient at what leaves the
    last layer. Returns (L + 1, batch, width): the gradient at x first, dh itself last.
    """
    raise NotImplementedError


def lsuv_factor(x: Tensor, W: Tensor, b: Tensor, target: float) -> float:
    """12.3 The factor s > 0 for which z = x (s W) + b has the standard deviation target.

    x: (batch, fan_in), W: (fan_in, units), b: (units,). The standard deviation is that of all
    batch · units entries of z, about their mean, with correction=0. Returns s.
    """
    raise NotImplementedError
