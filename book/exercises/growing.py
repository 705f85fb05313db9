"""Chapter 18, Width and depth that grow: fill in the functions, then `make check EX=18`."""

from torch import Tensor


def stream_sizes(size: float, scales: Tensor, powers: Tensor) -> Tensor:
    """18.1 The root mean square of a residual stream at every place.

    size: that of the numbers that enter. scales, powers: (L,), floating point. Branch l is
    multiplied by scales[l] and gives back powers[l] times the mean square that it is given, and is
    as often positive as negative. Returns (L + 1,), floating point: size itself first.
    """
    raise NotImplementedError


def scale_like_gpt2(blocks: list[list[list[Tensor]]]) -> list[list[list[Tensor]]]:
    """18.2 The weights of a transformer's blocks, those that write into the stream scaled.

    blocks: a list of blocks; a block is a list of two branches, attention and feed-forward; a
    branch is a list of its weights, first to last, each (fan_in, fan_out). Returns lists of the
    same form with the last weights of every branch times 1/√N, N the number of residual layers.
    """
    raise NotImplementedError


def mup_rates(sizes: list[int], base_sizes: list[int], lr: float) -> tuple[Tensor, Tensor]:
    """18.3 Learning rates of μP for Adam, and what the usual start is multiplied by.

    sizes, base_sizes: the units of each layer, inputs first and outputs last, of this network and
    of the one for which lr was found; inputs and outputs are as many in both. Returns two
    tensors (len(sizes) − 1,), floating point, an entry for each weight matrix, input to output.
    """
    raise NotImplementedError
