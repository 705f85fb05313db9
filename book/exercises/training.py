"""Chapter 4, Training: fill in the functions, then `make check EX=4`."""

from torch import Tensor


def sgd_step(params: list[Tensor], grads: list[Tensor], lr: float) -> list[Tensor]:
    """4.1 One step of gradient descent, in new tensors.

    params: tensors of any shapes. grads: their gradients, in the same order, of the same shapes.
    Returns the parameters after the step; those that came in stay as they are.
    """
    raise NotImplementedError


def warmup_cosine(steps: int, warmup: int, peak: float, final: float) -> Tensor:
    """4.2 The learning rates of all steps 0, 1, ..., steps − 1.

    1 <= warmup <= steps. Steps 0 to warmup − 1 rise in equal amounts, from peak / warmup to peak.
    The steps after follow half a wave of the cosine that leaves from the peak at step warmup − 1
    and has `final` at step steps − 1. Returns a floating-point tensor, (steps,).
    """
    raise NotImplementedError


def batch_noise(gradients: Tensor, batch_size: int) -> Tensor:
    """4.3 The noise of a batch's mean gradient, predicted without drawing a batch.

    gradients: (n, p), a row for each of the n examples there are. A batch is `batch_size` of them,
    drawn independently, so that one may come twice. Returns one number: the root of the mean
    squared distance of the batch's mean gradient from the full gradient.
    """
    raise NotImplementedError
