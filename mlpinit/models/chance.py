"""What a model that knows nothing would lose on a batch, worked out from the targets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

__all__ = ["Chance", "chance", "logits_of"]

TARGETS = ("labels", "label", "targets", "target", "y")
"""What a mapping's targets may be called."""


@dataclass(frozen=True)
class Chance:
    """What knowing nothing costs, and how sure of itself the output is.

    - `kind`: "cross-entropy", "binary cross-entropy", "squared error", or "" where it cannot be
      known, and `why` says why
    - `value`: the loss of saying the same of everything and knowing nothing: log C for C `classes`,
      log 2, or of the best constant
    - `known`: the loss of knowing the batch's label frequencies and no more, the entropy of these;
      for a squared error None
    - `logits_std`: the standard deviation of the logits over the classes, the mean over rows, None
      where there are none; `confidence`: the mean of the largest probability
    """

    kind: str = ""
    value: float | None = None
    known: float | None = None
    classes: int | None = None
    logits_std: float | None = None
    confidence: float | None = None
    why: str = ""


def chance(loss: object, value: float, output: object, batch: object) -> Chance:
    """What the loss would be by chance; `value` is what it is, of the model's output on the batch.

    Which loss it is, is told by its value: torch's own are computed beside it from the output and
    the targets, a language model's also with the labels shifted by one.
    """
    scores, targets = logits_of(output), _targets(batch)
    if scores is None or targets is None:
        missing = "output" if scores is None else "targets"
        return Chance(why=f"no tensor of {missing} was found")
    scores = scores.detach().float()
    if not scores.isfinite().all() or not math.isfinite(value):
        return Chance(why="the output or the loss is not finite")
    for found in (_classes, _two, _squares):
        known = found(loss, value, scores, targets)
        if known is not None:
            return known
    return Chance(
        why="the loss is neither cross-entropy nor squared error of the output and the targets"
    )


def logits_of(output: object) -> Tensor | None:
    """The tensor that a loss is computed from: the output, its `logits`, or its first."""
    if isinstance(output, Mapping):
        found = output.get("logits", next(iter(output.values()), None))
        return found if isinstance(found, Tensor) else None
    if isinstance(output, Tensor):
        return output if output.is_floating_point() else None
    if isinstance(getattr(output, "logits", None), Tensor):
        return output.logits
    return logits_of(output[0]) if isinstance(output, tuple | list) and output else None


def _targets(batch: object) -> Tensor | None:
    if isinstance(batch, Mapping):
        found = next((batch[name] for name in TARGETS if name in batch), None)
    else:
        found = batch[1]
    return found if isinstance(found, Tensor) else None


def _same(value: float, other: Tensor) -> bool:
    return math.isclose(value, other.item(), rel_tol=1e-3, abs_tol=1e-6)


def _classes(loss: object, value: float, scores: Tensor, targets: Tensor) -> Chance | None:
    """Cross-entropy, of logits or of log-probabilities."""
    known = isinstance(loss, nn.CrossEntropyLoss) and loss.reduction == "mean"
    for logits, labels in _rows(scores, targets):
        kept = labels >= 0  # -100 is torch's and transformers' mark of what is not to be counted
        if not kept.any() or labels.max() >= logits.size(1):
            continue
        told, right = logits[kept], labels[kept]
        if known or _same(value, F.cross_entropy(told, right)):
            return _of_classes(told, torch.bincount(right).double())
    return None


def _rows(scores: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """(rows, classes) and (rows,), in the ways in which outputs and labels can lie."""
    if targets.is_floating_point() or scores.ndim < 2:
        return
    if scores.ndim > 2 and scores.shape[:1] + scores.shape[2:] == targets.shape:
        yield scores.movedim(1, -1).flatten(0, -2), targets.flatten()
    last = scores.flatten(0, -2)
    if len(last) == targets.numel():
        yield last, targets.flatten()
    if scores.ndim == 3 and scores.shape[:2] == targets.shape:  # the next token's
        yield scores[:, :-1].flatten(0, 1), targets[:, 1:].flatten()


def _of_classes(logits: Tensor, counts: Tensor) -> Chance:
    share = counts[counts > 0] / counts.sum()
    n = logits.size(1)
    return Chance(
        "cross-entropy",
        value=math.log(n),
        known=-(share * share.log()).sum().item(),
        classes=n,
        logits_std=logits.std(1, correction=0).mean().item(),
        confidence=logits.softmax(1).amax(1).mean().item(),
    )


def _two(loss: object, value: float, scores: Tensor, targets: Tensor) -> Chance | None:
    """Binary cross-entropy of logits, or of probabilities."""
    targets = targets.float()
    if scores.shape != targets.shape or not ((targets >= 0) & (targets <= 1)).all():
        return None
    inside = ((scores >= 0) & (scores <= 1)).all()
    if _same(value, F.binary_cross_entropy_with_logits(scores, targets)):
        logits = scores
    elif inside and _same(value, F.binary_cross_entropy(scores, targets)):
        logits = scores.logit(1e-7)
    else:
        return None
    share = targets.flatten(1).mean(0) if targets.ndim > 1 else targets.mean()[None]
    known = F.binary_cross_entropy(share, share).item()
    p = logits.sigmoid()
    return Chance(
        "binary cross-entropy",
        value=math.log(2),
        known=known,
        classes=2,
        logits_std=logits.square().mean().sqrt().item(),
        confidence=torch.maximum(p, 1 - p).mean().item(),
    )


def _squares(loss: object, value: float, scores: Tensor, targets: Tensor) -> Chance | None:
    """Squared error: the best constant is the targets' mean, and costs their variance."""
    targets = targets.float()
    if scores.shape != targets.shape or not _same(value, F.mse_loss(scores, targets)):
        return None
    variance = (
        targets.flatten(1).var(0, correction=0) if targets.ndim > 1 else targets.var(correction=0)
    )
    return Chance("squared error", value=variance.mean().item())
