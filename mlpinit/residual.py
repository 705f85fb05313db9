"""Residual branches: what a branch may add where L of them add to one stream."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["RULES", "Residual", "branch_scale", "growth", "scale_branches"]

RULES = ("depth", "gpt2", "zero", "fixup")
"""The rules that `branch_scale` and `scale_branches` know."""


def branch_scale(n_branches: int, rule: str = "depth") -> float:
    """What the last weights of each of `n_branches` branches are multiplied by at the start.

    - "depth": 1 / √n_branches, so that all branches together add once what the stream brought
    - "gpt2": the same number; GPT-2's N counts residual layers, of which a transformer's block
      has two, so that its factor is 1 / √(2 · blocks)
    - "zero" and "fixup": 0, so that the whole stack begins as the identity

    Raises `ValueError` for fewer than one branch or an unknown rule.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019),
    section 2.3, for "gpt2"; Zhang, Dauphin & Ma, "Fixup Initialization" (2019), for "fixup".

    >>> branch_scale(16), branch_scale(2 * 8, "gpt2"), branch_scale(16, "zero")
    (0.25, 0.25, 0.0)
    """
    _check(n_branches, rule)
    return 1 / math.sqrt(n_branches) if rule in ("depth", "gpt2") else 0.0


def growth(n_branches: int, scale: float, *, power: float = 1.0) -> float:
    """How many times the stream's root mean square grows: (1 + scale² · power)^(n_branches / 2).

    `power` is the mean square that a branch gives back, over that of what it was given; it is 1
    for h ↦ relu(h U) V with weights of variance 2/fan_in and 1/fan_in. The branch must be as often
    positive as negative, whatever the stream is, so that the mixed terms have mean 0.

    Raises `ValueError` for fewer than one branch and for a negative or infinite power.

    >>> f"{growth(64, 1.0):.3g}, {growth(64, 1 / 8):.4f}"
    '4.29e+09, 1.6424'
    """
    _check(n_branches, "depth")
    if not math.isfinite(power) or power < 0:
        raise ValueError(f"power is {power!r}; a mean square over another is finite, 0 or more")
    return (1 + scale**2 * power) ** (n_branches / 2)


@torch.no_grad()
def scale_branches(
    branches: Sequence[nn.Module | Sequence[Tensor]], rule: str = "depth"
) -> list[float]:
    """Scale the weights of residual branches in place, as they were drawn for a plain layer.

    A branch is a module, whose parameters of two and more dimensions count as its weights in the
    order of `parameters()`, or a list of weights, first to last. Each branch counts as one: of a
    transformer's block give two, its attention and its feed-forward part. The last weights of
    each branch are multiplied by `branch_scale`; with "fixup" the others of a branch that has m
    are multiplied by L^(−1 / (2m − 2)). Biases stay; those of a last layer should be 0 already.

    Returns the factor of each branch's last weights. Raises `ValueError` for an unknown rule, no
    branch, one without weights, weights that occur twice, and "fixup" for a branch of one layer;
    nothing is scaled then.

    >>> V = torch.ones(3, 3)
    >>> scale_branches([[V], [torch.ones(3, 3)], [torch.ones(3, 3)], [torch.ones(3, 3)]])
    [0.5, 0.5, 0.5, 0.5]
    >>> V[0]
    tensor([0.5000, 0.5000, 0.5000])
    """
    n = len(branches)
    factor = branch_scale(n, rule)
    weights = [_weights(branch, k) for k, branch in enumerate(branches)]
    _check_apart(weights)
    if rule == "fixup" and any(len(w) == 1 for w in weights):
        raise ValueError(
            "Fixup wants two layers and more in a branch, and one has a single layer; "
            'for that there is rule="zero"'
        )
    for layers in weights:
        layers[-1].mul_(factor)
        if rule == "fixup":
            for W in layers[:-1]:
                W.mul_(n ** (-1 / (2 * len(layers) - 2)))
    return [factor] * n


class Residual(nn.Module):
    """h ↦ h + scale · branch(h), with a scale that is learnt: ReZero's and SkipInit's.

    At scale 0 the layer begins as the identity. Its branch gets no gradient in the first step, the
    scale does, and from the second step on both learn.

    Source: Bachlechner et al., "ReZero is All You Need" (2020); De & Smith, "Batch Normalization
    Biases Residual Blocks Towards the Identity Function" (2020).

    >>> block = Residual(nn.Linear(4, 4))
    >>> h = torch.ones(2, 4)
    >>> torch.equal(block(h), h)
    True
    """

    def __init__(self, branch: nn.Module, scale: float = 0.0) -> None:
        """Wrap a branch whose result has the shape of its input."""
        super().__init__()
        self.branch = branch
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def forward(self, h: Tensor) -> Tensor:
        """(..., width) → (..., width)."""
        return h + self.scale * self.branch(h)


def _check(n_branches: int, rule: str) -> None:
    if rule not in RULES:
        raise ValueError(f"rule {rule!r} is unknown; choose one of {', '.join(RULES)}")
    if n_branches < 1:
        raise ValueError(f"there are {n_branches} branches; scaling wants one or more")


def _weights(branch: nn.Module | Sequence[Tensor], place: int) -> list[Tensor]:
    """Those of two and more dimensions; an error where there are none."""
    tensors = branch.parameters() if isinstance(branch, nn.Module) else branch
    found = [t for t in tensors if t.ndim > 1]
    if not found:
        raise ValueError(
            f"branch {place} has no weights of two or more dimensions; "
            "give a module that has some, or a list of them"
        )
    return found


def _check_apart(weights: list[list[Tensor]]) -> None:
    """Weights in two branches would be scaled twice."""
    seen: dict[int, int] = {}
    for place, layers in enumerate(weights):
        for W in layers:
            if seen.setdefault(W.data_ptr(), place) != place:
                raise ValueError(
                    f"branches {seen[W.data_ptr()]} and {place} share weights, which would be "
                    "scaled twice; give each branch once"
                )
