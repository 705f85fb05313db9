"""Chapter 5, A confident, wrong softmax: fill in, then `make check EX=5`."""

from torch import Tensor


def log_softmax(logits: Tensor, axis: int) -> Tensor:
    """5.1 The logarithm of the softmax along one axis, right for logits of any size.

    logits: any shape, floating point; at least one logit of each slice along the axis is finite,
    others may be −∞. axis: which axis the probabilities sum to 1 along; negative counts from the
    end. Returns log-probabilities in nats, of the shape of logits.
    """
    raise NotImplementedError


def expected_first_loss(logits: Tensor) -> float:
    """5.2 The mean cross-entropy to expect when the targets know nothing of the logits.

    logits: (n, vocab), floating point. Each example's target is any of the vocab characters with
    the same probability, whatever the logits are. Returns one number, in nats.
    """
    raise NotImplementedError


def output_factor(h: Tensor, W: Tensor, std_of_logits: float) -> float:
    """5.3 The factor of the output weights that gives the logits a wanted standard deviation.

    h: (batch, hidden), activations. W: (hidden, vocab), output weights as drawn. std_of_logits: the
    standard deviation, over all batch × vocab entries, that the logits h @ (a W) are to have.
    Returns a > 0.
    """
    raise NotImplementedError
