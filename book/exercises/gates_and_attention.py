"""Chapter 19, Gates and attention: fill in the functions, then `make check EX=19`."""

from torch import Tensor


def lstm_biases(bias_ih: Tensor, bias_hh: Tensor, forget: Tensor) -> tuple[Tensor, Tensor]:
    """19.1 New biases for an nn.LSTM layer whose forget gate is to start at `forget`.

    bias_ih, bias_hh: (4n,), in the order input, forget, candidate, output. forget: (n,), what the
    forget gate's whole bias is to be; the input gate's whole bias is the negative of that. The
    biases of the other two stay as they are. Returns the new bias_ih and bias_hh, with both numbers
    in bias_ih and zeros in their places of bias_hh.
    """
    raise NotImplementedError


def product_gain(activation: str, rho: float) -> float:
    """19.2 The gain g for which g a(y) z has mean square 1.

    activation: "sigmoid", "relu", "tanh" or "silu", the name of a. y and z are standard normal,
    with correlation rho, -1 < rho < 1. No random numbers; four digits are compared.
    """
    raise NotImplementedError


def row_statistics(logits: Tensor, allowed: Tensor) -> tuple[float, float]:
    """19.3 The mean entropy of attention's rows, and the share of those that have decided.

    logits: (rows, keys); allowed: (rows, keys) bool, True where a key may be seen. Rows with fewer
    than two allowed keys do not count. Returns the mean entropy in nats, and the share of rows in
    which one key has more than 0.99.
    """
    raise NotImplementedError
