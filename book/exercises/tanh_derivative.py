"""Chapter 6, The tanh derivative: fill in the functions, then `make check EX=6`."""

from torch import Tensor


def tanh_slope(x: Tensor) -> Tensor:
    """6.1 The derivative of tanh at every entry of x.

    x: any shape, floating point. Returns the slopes, of x's shape.
    """
    raise NotImplementedError


def tanh_backward(h: Tensor, dh: Tensor) -> Tensor:
    """6.2 The gradient of the loss with respect to z, where h = tanh(z).

    h: (batch, units), the activations. dh: (batch, units), the gradient of the loss with respect
    to h. Returns dz, (batch, units). z itself is not at hand, and not needed.
    """
    raise NotImplementedError


def tanh_from_exponentials(x: Tensor) -> Tensor:
    """6.3 tanh from `torch.exp` alone, right for every x that a float can hold.

    x: any shape, floating point, also very large and very small. Returns tanh(x), of x's shape.
    """
    raise NotImplementedError
