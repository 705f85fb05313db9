"""How often each member of a population is chosen: units, latents, codes, experts.

A ReLU unit, a latent of a sparse autoencoder, a code of a codebook and an expert of a mixture have
one thing in common: what is not chosen on an input gets no gradient from it. So what counts of each
is how often it is chosen, over all the data that there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from mlpinit.models.report import Report
from mlpinit.models.tracing import evaluating
from mlpinit.saturation import live_rate_bound

__all__ = ["Census", "chosen", "count", "fired", "of_report"]


@dataclass(frozen=True)
class Census:
    """How often each member was chosen.

    - `counts`: (members,) int64, on how many rows each was chosen
    - `n`: the rows looked at

    Censuses of the same members add up: `a + b` is that of the rows of both.

    >>> census = chosen(torch.tensor([2, 0, 2, 2]), members=4)
    >>> census.counts.tolist(), census.dead.tolist()
    ([1, 0, 3, 0], [False, True, False, True])
    >>> round(census.effective, 2)
    1.75
    """

    counts: Tensor
    n: int

    def __post_init__(self) -> None:
        """Refuse counts that no rows can give."""
        if self.counts.dim() != 1 or self.counts.is_floating_point() or not len(self.counts):
            raise ValueError(
                f"counts are {self.counts.dtype} {tuple(self.counts.shape)}; wanted whole numbers, "
                "one for each member: (members,)"
            )
        if self.n < 1 or self.counts.min() < 0 or self.counts.max() > self.n:
            raise ValueError(
                f"counts from {self.counts.min()} to {self.counts.max()} on {self.n} rows; a "
                "member is chosen on none to all of at least one row"
            )

    @property
    def members(self) -> int:
        """How many there are."""
        return len(self.counts)

    @property
    def dead(self) -> Tensor:
        """(members,) bool: those never chosen on these rows."""
        return self.counts == 0

    @property
    def dead_share(self) -> float:
        """The part of the members that was never chosen."""
        return self.dead.double().mean().item()

    @property
    def share(self) -> Tensor:
        """(members,) float64: the part of the rows on which each was chosen."""
        return self.counts.double() / self.n

    @property
    def bound(self) -> float:
        """What n rows bound the rate of a member at that was never chosen: about 3/n, at 95%."""
        return live_rate_bound(self.n)

    @property
    def effective(self) -> float:
        """The effective number: exp of the entropy of the use, in nats; 0 where nothing was chosen.

        As many members as would give that entropy if all were chosen equally often: 1 where one
        has all of the use, `members` where all have the same.
        """
        total = self.counts.sum()
        if total == 0:
            return 0.0
        return torch.special.entr(self.counts.double() / total).sum().exp().item()

    def __add__(self, other: Census) -> Census:
        """The census of the rows of both."""
        if self.members != other.members:
            raise ValueError(
                f"a census of {self.members} members and one of {other.members} do not add up: "
                "are they of the same layer?"
            )
        return Census(self.counts + other.counts, self.n + other.n)

    def __str__(self) -> str:
        """One line."""
        dead = int(self.dead.sum())
        line = (
            f"{dead} of {self.members} never chosen on {self.n:,} rows, "
            f"effective number {self.effective:.1f}"
        )
        return f"{line}; rate of each of these below {self.bound:.2g} (95%)" if dead else line


def fired(activations: Tensor) -> Census:
    """The census of activations: a member is chosen on a row where it is not exactly 0.

    - `activations`: (..., members); all axes but the last are rows

    Raises `ValueError` for no rows and for what is not finite.

    >>> str(fired(torch.tensor([[0.0, 2.0], [0.0, 0.0], [0.0, -1.0]])))
    '1 of 2 never chosen on 3 rows, effective number 1.0; rate of each of these below 0.63 (95%)'
    """
    if activations.dim() < 1 or not activations.numel():
        raise ValueError(
            f"activations are {tuple(activations.shape)}; wanted (..., members), a row at least"
        )
    if not activations.isfinite().all():
        raise ValueError("activations hold an infinity or a NaN, of which nothing can be said")
    rows = activations.reshape(-1, activations.shape[-1])
    return Census((rows != 0).sum(0).cpu(), len(rows))


def chosen(indices: Tensor, members: int) -> Census:
    """The census of choices: codes, or the experts that tokens are sent to.

    - `indices`: (rows,) whole numbers below `members`, or (rows, k) where each row chooses k; a
      row that names a member twice chooses it once

    Raises `ValueError` for no rows, for another shape and for an index out of range.

    >>> chosen(torch.tensor([[0, 1], [1, 2]]), members=4).counts.tolist()
    [1, 2, 1, 0]
    """
    if indices.is_floating_point() or indices.dim() not in (1, 2) or not indices.numel():
        raise ValueError(
            f"indices are {indices.dtype} {tuple(indices.shape)}; wanted whole numbers, (rows,) or "
            "(rows, k), a row at least"
        )
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= members:
        raise ValueError(f"indices are {low} to {high}, and members are 0 to {members - 1}")
    rows = indices.reshape(len(indices), -1).cpu().long()
    mask = torch.zeros(len(rows), members, dtype=torch.bool).scatter_(1, rows, value=True)
    return Census(mask.sum(0), len(rows))


def count(model: Callable[..., Tensor], loader: Iterable, *, members: int | None = None) -> Census:
    """The census of what a model or a function answers, over all batches.

    - `model(batch)`: activations, (..., members), or choices, whole numbers (rows,) or (rows, k).
      A module is run in evaluation mode, and is back in its own afterwards; no gradients are kept
    - `loader`: batches; of a tuple or a list the first item goes in. A single tensor is one batch
    - `members`: how many there are, which choices do not say

    Raises `ValueError` for a loader without a batch, for choices without `members`, and whatever
    `fired` and `chosen` raise.

    >>> layer = nn.Sequential(nn.Linear(3, 8), nn.ReLU())
    >>> with torch.no_grad():
    ...     layer[0].bias[5] = -100.0
    >>> count(layer, torch.randn(500, 3).split(100)).dead.nonzero().tolist()
    [[5]]
    """
    batches = [loader] if isinstance(loader, Tensor) else loader
    still = evaluating(model) if isinstance(model, nn.Module) else nullcontext()
    with still, torch.no_grad():
        found = [_of_answer(model(_inputs(batch)), members) for batch in batches]
    if not found:
        raise ValueError("the data set is empty: no batch came, and so nothing was counted")
    return reduce(add, found)


def _inputs(batch: Tensor | tuple | list) -> Tensor:
    return batch[0] if isinstance(batch, tuple | list) else batch


def _of_answer(answer: Tensor, members: int | None) -> Census:
    if answer.is_floating_point():
        census = fired(answer)
        if members not in (None, census.members):
            raise ValueError(f"the model answers {census.members} members, not {members}")
        return census
    if members is None:
        raise ValueError("the model answers choices, which do not say of how many: give members=")
    return chosen(answer, members)


def of_report(report: Report) -> dict[str, Census]:
    """The census of each site of an audit: on how many rows a unit answers something other than 0.

    `mlpinit.watch.audit` counts the exact zeros of every unit anyway. Sites of which they were not
    counted, as `watch` may leave them, are left out.

    >>> from mlpinit.watch import audit
    >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> with torch.no_grad():
    ...     model[0].bias[5] = -100.0
    >>> str(of_report(audit(model, torch.randn(500, 3)))["1"]).split(",")[0]
    '1 of 8 never chosen on 500 rows'
    """
    return {
        name: Census(((1 - site.recent.zero_share) * site.recent.n).round().long(), site.recent.n)
        for name, site in report.sites.items()
        if site.recent.zero_share is not None and site.recent.n
    }
