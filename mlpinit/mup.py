"""Maximal update parametrisation, μP: one learning rate for networks of every width.

A model is compared with a `base`, the same model at the width for which the rate was found. What
grew of a weight, its inputs, its outputs or both, says how it must start and how far it may step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mlpinit.init import Scheme

__all__ = ["KINDS", "OPTIMIZERS", "Grown", "grown", "learning_rates", "rescale", "scheme"]

KINDS = ("input", "hidden", "output", "fixed")
"""What a weight is by what grew: outputs alone, both, inputs alone, neither.

A bias, a norm's gain and an embedding have no inputs that grow: where they grew they are "input".
"""

OPTIMIZERS = ("adam", "sgd")


@dataclass(frozen=True)
class Grown:
    """How many times wider than in the base model a parameter's inputs and outputs are."""

    fan_in: float
    fan_out: float

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        if self.fan_in == 1:
            return "fixed" if self.fan_out == 1 else "input"
        return "output" if self.fan_out == 1 else "hidden"

    def rate(self, optimizer: str) -> float:
        """What its learning rate is multiplied by: 1 / fan_in for Adam, fan_out / fan_in for SGD.

        A step of Adam moves every weight by about the rate, and a pre-activation is a sum of fan_in
        of them. A step of SGD is longer where the gradient is: of a weight it falls like one over
        the number of outputs that share the loss.
        """
        if optimizer not in OPTIMIZERS:
            known = ", ".join(OPTIMIZERS)
            raise ValueError(f"optimizer {optimizer!r} is unknown; choose one of {known}")
        return (1.0 if optimizer == "adam" else self.fan_out) / self.fan_in


def grown(model: nn.Module, base: nn.Module) -> dict[str, Grown]:
    """What grew of each parameter, by its name in `model.named_parameters()`.

    A weight is (fan_out, fan_in, ...), as PyTorch's linear layers and convolutions have it, and an
    embedding (entries, features). Only shapes are compared.

    Raises `ValueError` where the two models differ in more than width: in names or in the number
    of dimensions. Not seen are numbers without a shape, such as attention's 1/√d, which is to be
    1/d in μP.

    >>> def mlp(n): return nn.Sequential(nn.Linear(30, n), nn.ReLU(), nn.Linear(n, 27))
    >>> {name: g.kind for name, g in grown(mlp(256), mlp(64)).items()}
    {'0.weight': 'input', '0.bias': 'input', '2.weight': 'output', '2.bias': 'fixed'}
    """
    ours, theirs = dict(model.named_parameters()), dict(base.named_parameters())
    if ours.keys() != theirs.keys():
        apart = ", ".join(sorted(ours.keys() ^ theirs.keys()))
        raise ValueError(f"only one of the two models has {apart}; a base differs in width alone")
    embeddings = _embeddings(model)
    found = {}
    for name, p in ours.items():
        q = theirs[name]
        if p.ndim != q.ndim:
            raise ValueError(
                f"{name} is {tuple(p.shape)} and in the base {tuple(q.shape)}; "
                "a base differs in width alone"
            )
        found[name] = _grown(p, q, name in embeddings)
    return found


def _embeddings(model: nn.Module) -> set[str]:
    """The names of the tables of embeddings, which lie the other way round."""
    modules = model.named_modules()
    return {f"{name}.weight".lstrip(".") for name, m in modules if isinstance(m, nn.Embedding)}


def _grown(p: Tensor, q: Tensor, embedding: bool) -> Grown:
    ratios = [a / b for a, b in zip(p.shape, q.shape, strict=True)]
    if p.ndim == 0:
        return Grown(1.0, 1.0)
    if p.ndim == 1:
        return Grown(1.0, ratios[0])
    return Grown(*ratios[:2]) if embedding else Grown(ratios[1], ratios[0])


@torch.no_grad()
def rescale(model: nn.Module, base: nn.Module) -> None:
    """Make a usual start one of μP, in place: shrink the output weights by √(base / fan_in).

    A usual start is one whose weights have a standard deviation that falls like 1/√fan_in:
    PyTorch's own, LeCun's, He's. Output weights are then to fall like 1/fan_in. Biases that were
    drawn like the weights of their layer, as PyTorch does, are put back to their size in the base.

    Raises `ValueError` as `grown` does, before anything is changed.

    >>> def mlp(n): return nn.Sequential(nn.Linear(30, n), nn.ReLU(), nn.Linear(n, 27))
    >>> model = mlp(256)
    >>> before = model[2].weight.clone()
    >>> rescale(model, mlp(64))
    >>> torch.allclose(model[2].weight, before / 2)
    True
    """
    sizes, parameters = grown(model, base), dict(model.named_parameters())
    for name, g in sizes.items():
        if g.kind == "output":
            parameters[name].mul_(g.fan_in**-0.5)
        bias = parameters.get(f"{name.removesuffix('weight')}bias")
        if name.endswith("weight") and parameters[name].ndim > 1 and bias is not None:
            bias.mul_(g.fan_in**0.5)


def learning_rates(
    model: nn.Module, base: nn.Module, lr: float, optimizer: str = "adam"
) -> list[dict]:
    """Parameter groups for an optimiser of torch: the rate `lr` of the base, carried to `model`.

    One group for each kind and factor, in the order in which they occur: its `params`, its `lr`,
    its `kind`. For Adam the rate of hidden and output weights falls like 1/fan_in; for SGD that of
    input weights and biases rises with the width, and that of output weights falls. AdamW's decay
    is multiplied by the group's rate and so falls with it.

    Raises `ValueError` as `grown` does, for a rate that is not a finite number above 0, and for an
    unknown optimiser.

    Source: Yang et al., "Tensor Programs V" (2022), table 3.

    >>> def mlp(n): return nn.Sequential(nn.Linear(30, n), nn.ReLU(), nn.Linear(n, 27))
    >>> groups = learning_rates(mlp(256), mlp(64), lr=0.01)
    >>> [(group["kind"], group["lr"]) for group in groups]
    [('input', 0.01), ('output', 0.0025), ('fixed', 0.01)]
    >>> optimizer = torch.optim.Adam(groups)
    """
    if not math.isfinite(lr) or lr <= 0:
        raise ValueError(f"lr is {lr!r}; a learning rate is a finite number above 0")
    parameters = dict(model.named_parameters())
    groups: dict[tuple[str, float], dict] = {}
    for name, g in grown(model, base).items():
        rate = lr * g.rate(optimizer)
        group = groups.setdefault((g.kind, rate), {"params": [], "lr": rate, "kind": g.kind})
        group["params"].append(parameters[name])
    return list(groups.values())


def scheme(width: int, base: int, *, gain: float = math.sqrt(2), output: float = 1.0) -> Scheme:
    """The start of μP for the book's network with hidden layers of `width` units.

    Hidden weights have the standard deviation gain / √fan_in, as with `init.kaiming`, and biases
    are 0. Output weights have `output` · √base / width: at the base width `output` / √base, and
    from there they fall like 1/width, twice as fast as usual on a logarithmic scale.

    Raises `ValueError` for a width below 1.

    >>> f"{scheme(64, 64).output_weight:.4f} {scheme(256, 64).output_weight:.5f}"
    '0.1250 0.03125'
    """
    if width < 1 or base < 1:
        raise ValueError(f"width is {width} and base {base}; both are 1 or more")
    return Scheme(
        f"μP, base {base}",
        lambda fan_in, fan_out: gain / math.sqrt(fan_in),
        0.0,
        output_weight=output * math.sqrt(base) / width,
    )
