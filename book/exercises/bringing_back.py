"""Chapter 16, Bringing them back: fill in the functions, then `make check EX=16`."""

from torch import Tensor


def who_moved_them(
    x: Tensor, W: Tensor, b: Tensor, new_x: Tensor, new_W: Tensor, new_b: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """16.1 Which dead ReLU units came back, and by whose doing.

    x, new_x: (n, fan_in), the embedded contexts before and after training. W, new_W: (fan_in,
    units). b, new_b: (units,). A unit is dead when z = x W + b is at most 0 on every row. Returns
    three masks (units,), all of them within the units that were dead before: live now; live had
    only the embeddings moved; live had only W and b moved.
    """
    raise NotImplementedError


def silence_channels(
    weight: Tensor, bias: Tensor, constants: Tensor, channels: list[int]
) -> tuple[Tensor, Tensor]:
    """16.2 Fold dead channels into the convolution that hears them, and make it deaf to them.

    weight: (out, in, height, width) and bias: (out,), of an nn.Conv2d without padding. constants:
    (in,), what each channel says at every place if it is dead; channels: those that are. Returns
    the new weight and the new bias.
    """
    raise NotImplementedError


def steps_after_reset(gradients: Tensor, t: int, lr: float, beta1: float, beta2: float) -> Tensor:
    """16.3 What Adam does to an entry whose averages were set to 0 after t steps.

    gradients: (n, entries), those of the n steps that follow; t: the steps that Adam had counted
    before, which the reset leaves. Returns the changes of the entries in each of the n steps,
    (n, entries). Adam's ε is 1e-8, added to the root.
    """
    raise NotImplementedError
