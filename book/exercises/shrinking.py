"""Chapter 8, Shrinking the weights: fill in the functions, then `make check EX=8`."""

from torch import Tensor


def predicted_white_share(
    fan_in: int, weight_std: float, bias_std: float, mean_square: float, cut: float
) -> float:
    """8.1 The share of a tanh layer's activations with |h| > cut, if z is Gaussian.

    A pre-activation z is a sum of fan_in terms x_i w_i and a bias. Weights and biases have mean 0
    and the standard deviations weight_std and bias_std; mean_square is the mean of x_i². Returns
    one number between 0 and 1.
    """
    raise NotImplementedError


def pick_scale(x: Tensor, W: Tensor, b: Tensor, low: float, high: float) -> float:
    """8.2 A factor s > 0 for which tanh(x @ (s W) + b) has from low to high of |h| > 0.99.

    x: (batch, fan_in). W: (fan_in, units). b: (units,), left as it is. low and high are shares
    between 0 and 1. Returns any s that meets the condition.
    """
    raise NotImplementedError


def linear_limit(W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
    """8.3 The one matrix W and the one bias b that do, for tiny W1, what the network does.

    The network: logits = tanh(x @ W1 + b1) @ W2 + b2, with W1: (fan_in, hidden), b1: (hidden,),
    W2: (hidden, vocab), b2: (vocab,). b1 need not be small. Returns W: (fan_in, vocab) and
    b: (vocab,) such that the logits are x @ W + b, right to first order in W1.
    """
    raise NotImplementedError
