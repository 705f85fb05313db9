"""Reference solutions of chapter 1."""

import torch
from torch import Tensor


def stream_examples(stream: list[int], block_size: int) -> tuple[Tensor, Tensor]:
    """1.1"""
    X, start = [], [0] * block_size
    context = start
    for target in stream:
        X.append(context)
        context = [*context[1:], target] if target else start  # a boundary begins a new word
    return torch.tensor(X), torch.tensor(stream)


def table_loss(train_counts: Tensor, dev_counts: Tensor, smoothing: float) -> Tensor:
    """1.2"""
    table = train_counts.double() + smoothing
    p = table / table.sum(1, keepdim=True)
    came = dev_counts > 0  # the other cells cost nothing, and log 0 stays out
    return -(dev_counts[came] * p[came].log()).sum() / dev_counts.sum()


def weighted_mean_and_std(values: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """1.3"""
    weights = counts.to(values.dtype) / counts.sum()
    mean = weights @ values
    variance = weights @ (values - mean) ** 2  # first the mean, then the distances from it
    return mean, variance.sqrt()
