"""Chapter 1, The corpus: fill in the functions, then `make check EX=1`."""

from torch import Tensor


def stream_examples(stream: list[int], block_size: int) -> tuple[Tensor, Tensor]:
    """1.1 The examples of several words that come as one list of indices.

    stream: n indices; every word is followed by its boundary, 0, the last word too.
    Returns X, (n, block_size) int64, the context of each index, oldest character first, and Y,
    (n,) int64, the targets. No context looks into the word before.
    """
    raise NotImplementedError


def table_loss(train_counts: Tensor, dev_counts: Tensor, smoothing: float) -> Tensor:
    """1.2 The mean loss on dev, in nats, of the smoothed table counted on train.

    train_counts, dev_counts: (contexts, vocab) int64, how often each character (across) follows
    each context (down). smoothing: what is added to every cell that was counted, 0
    or more. Returns one number, a tensor without axes or a float.
    """
    raise NotImplementedError


def weighted_mean_and_std(values: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """1.3 Mean and standard deviation over all examples, from the distinct contexts alone.

    values: (distinct, units) floating point, what each unit answers to each distinct context.
    counts: (distinct,) int64, how many examples have that context. Returns the mean and the
    standard deviation (divide by the number of examples) of each unit, (units,) both.
    """
    raise NotImplementedError
