"""Chapter 13, The ladder: fill in the functions, then `make check EX=13`."""

from torch import Tensor


def paired_interval(
    seeds_a: Tensor, a: Tensor, seeds_b: Tensor, b: Tensor, t: float
) -> tuple[float, float]:
    """13.1 How far network B's loss lies from A's, from the seeds that both were run with.

    seeds_a: (n_a,) int64, the seeds of A's runs, all different, in any order. a: (n_a,), their
    losses. seeds_b: (n_b,) and b: (n_b,), the same for B; the order is another, and some seeds may
    be missing on either side. t: the quantile that belongs to the number of shared seeds, which is
    2 or more.
    Returns the mean of the differences, B's loss less A's, and half the width of its interval.
    """
    raise NotImplementedError


def curve_band(losses: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """13.2 A loss curve over several seeds, and its band.

    losses: (seeds, steps), the loss of every step, two seeds or more. block: how many steps make a
    point of the curve; steps left over at the end are left out.
    Returns the mean over the seeds, (blocks,), and the standard deviation over the seeds (with
    n − 1) of each seed's mean loss in that block, (blocks,).
    """
    raise NotImplementedError
