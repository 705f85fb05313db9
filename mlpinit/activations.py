"""Activation functions, each beside its derivative, its range and where it saturates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["ACTIVATIONS", "LEAK", "Activation", "get", "saturates_beyond", "table"]


@dataclass(frozen=True)
class Activation:
    """One activation function `f`, applied to every entry of the pre-activations z alone.

    - `f(z)` gives the activations h, and `slope(z, h)` the derivative f'(z), both of z's shape;
      h is handed to `slope` so that what the forward pass computed is not computed twice
    - `formula`, `slope_formula`, `range`: LaTeX, for the page
    - `max_slope`: the largest |f'| there is, the yardstick of saturation
    - `left`, `right`: how f saturates as z goes to minus or plus infinity: 'hard' (f' is exactly
      0 beyond a point), 'soft' (f' tends to 0), or 'no'
    - `fast`: what `passes` gives for training: quicker, right but for the last digits, and it may
      write over z

    Source of hard and soft: Gulcehre et al., "Noisy Activation Functions" (2016), section 2.

    >>> tanh = get("tanh")
    >>> tanh.slope(torch.zeros(1), tanh.f(torch.zeros(1)))
    tensor([1.])
    """

    name: str
    label: str
    f: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    formula: str
    slope_formula: str
    range: str
    max_slope: float
    left: str
    right: str
    fast: tuple[Callable[..., Tensor], Callable[..., Tensor]] | None = None

    def passes(self, *, fast: bool) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
        """Forward f(z), and backward (dh, z, h) ↦ dh · f'(z), written over dh; `fast` if any is."""
        if fast and self.fast:
            return self.fast
        return self.f, lambda dh, z, h: dh.mul_(self.slope(z, h))


LEAK = 0.01
"""The slope of leaky ReLU on the left (Maas et al., 2013)."""


_ONE = torch.ones(())  # without axes it leaves the dtype to the other operand
_MINUS_ONE = -_ONE


def _tanh_slope(z: Tensor, h: Tensor) -> Tensor:
    """1 - h², in one pass over memory."""
    return torch.addcmul(_ONE, h, h, value=-1)


def _fast_tanh(z: Tensor) -> Tensor:
    """2 σ(2z) - 1, over z, in a third of the time of torch's tanh; float32 is off by 2e-7.

    It is ±1 wherever torch's is, so a dead unit gets exactly no gradient, and +1 from z = 8.3 on
    already, not 9.01: the last digits of a slope under 2e-7.
    """
    return torch.add(_MINUS_ONE, z.add_(z).sigmoid_(), alpha=2, out=z)


def _through_tanh(dh: Tensor, z: Tensor, h: Tensor) -> Tensor:
    """dh · (1 - h²), in one pass over memory."""
    return torch.ops.aten.tanh_backward.grad_input(dh, h, grad_input=dh)


def _normal_pdf(z: Tensor) -> Tensor:
    return torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def _normal_cdf(z: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-z / math.sqrt(2))


def _elu(z: Tensor) -> Tensor:
    return torch.where(z > 0, z, torch.expm1(z.clamp(max=0)))


def _silu_slope(z: Tensor, h: Tensor) -> Tensor:
    s = torch.sigmoid(z)
    return s + h * (1 - s)


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation(
            name="tanh",
            label="tanh",
            f=torch.tanh,
            slope=_tanh_slope,
            formula=r"\tanh z",
            slope_formula=r"1 - h^2",
            range=r"(-1, 1)",
            max_slope=1.0,
            left="soft",
            right="soft",
            fast=(_fast_tanh, _through_tanh),
        ),
        Activation(
            name="sigmoid",
            label="sigmoid",
            f=torch.sigmoid,
            slope=lambda z, h: h * (1 - h),
            formula=r"\sigma(z) = 1/(1 + e^{-z})",
            slope_formula=r"h(1 - h)",
            range=r"(0, 1)",
            max_slope=0.25,
            left="soft",
            right="soft",
        ),
        Activation(
            name="relu",
            label="ReLU",
            f=torch.relu,
            slope=lambda z, h: (z > 0).to(z.dtype),
            formula=r"\max(0, z)",
            slope_formula=r"1 \text{ if } z > 0 \text{ else } 0",
            range=r"[0, \infty)",
            max_slope=1.0,
            left="hard",
            right="no",
        ),
        Activation(
            name="leaky_relu",
            label="leaky ReLU",
            f=lambda z: torch.where(z > 0, z, LEAK * z),
            slope=lambda z, h: torch.full_like(z, LEAK).masked_fill_(z > 0, 1.0),
            formula=r"\max(0.01 z, z)",
            slope_formula=r"1 \text{ if } z > 0 \text{ else } 0.01",
            range=r"(-\infty, \infty)",
            max_slope=1.0,
            left="no",
            right="no",
        ),
        Activation(
            name="elu",
            label="ELU",
            f=_elu,
            slope=lambda z, h: torch.exp(z.clamp(max=0)),
            formula=r"z \text{ if } z > 0 \text{ else } e^z - 1",
            slope_formula=r"1 \text{ if } z > 0 \text{ else } e^z",
            range=r"(-1, \infty)",
            max_slope=1.0,
            left="soft",
            right="no",
        ),
        Activation(
            name="gelu",
            label="GELU",
            f=lambda z: z * _normal_cdf(z),
            slope=lambda z, h: _normal_cdf(z) + z * _normal_pdf(z),
            formula=r"z\,\Phi(z)",
            slope_formula=r"\Phi(z) + z\,\varphi(z)",
            range=r"[-0.170, \infty)",
            # At z = √2, where f'' = (2 - z²) φ(z) changes sign.
            max_slope=0.5 * math.erfc(-1.0) + math.exp(-1.0) / math.sqrt(math.pi),
            left="soft",
            right="no",
        ),
        Activation(
            name="silu",
            label="SiLU",
            f=lambda z: z * torch.sigmoid(z),
            slope=_silu_slope,
            formula=r"z\,\sigma(z)",
            slope_formula=r"s + h(1 - s),\ s = \sigma(z)",
            range=r"[-0.278, \infty)",
            # At z = 2.39936, the root of f'' (2 + z (1 - 2σ(z)) = 0).
            max_slope=1.0998393194927,
            left="soft",
            right="no",
        ),
    )
}


def get(name: str) -> Activation:
    """The activation of that name; `ValueError` names the choices.

    >>> get("Tanh")
    Traceback (most recent call last):
    ValueError: activation 'Tanh' is unknown; choose one of tanh, sigmoid, relu, leaky_relu, elu, \
gelu, silu (lower case)
    """
    if name not in ACTIVATIONS:
        choices = ", ".join(ACTIVATIONS)
        raise ValueError(f"activation {name!r} is unknown; choose one of {choices} (lower case)")
    return ACTIVATIONS[name]


def saturates_beyond(activation: Activation, cut: float = 0.02) -> tuple[float, float]:
    """(a, b): for every z < a and every z > b, |f'(z)| is below `cut` of the largest slope.

    -inf or inf where the function does not saturate on that side, and for leaky ReLU always: its
    slope on the left is a fixed 1% of the largest, under the usual cut, but it does not fall.

    >>> a, b = saturates_beyond(get("tanh"))
    >>> f"{a:.3f} {b:.3f}"
    '-2.644 2.644'
    """
    z = torch.linspace(-20, 20, 400_001, dtype=torch.float64)
    steep = activation.slope(z, activation.f(z)).abs() >= cut * activation.max_slope
    first, last = steep.nonzero()[[0, -1], 0].tolist()
    left = -math.inf if activation.left == "no" else z[first].item()
    right = math.inf if activation.right == "no" else z[last].item()
    return left, right


def table(cut: float = 0.02) -> str:
    """Every activation with its derivative, range and saturation, as a Markdown table.

    The last column says beyond which z the slope is below `cut` of its largest, and whether it
    is exactly 0 there (hard) or only tends to 0 (soft).
    """
    head = ["activation", "$h = f(z)$", "$f'(z)$", "range", "largest slope", "saturates"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for a in ACTIVATIONS.values():
        cells = [a.label, f"${a.formula}$", f"${a.slope_formula}$", f"${a.range}$"]
        cells += [f"{a.max_slope:.4g}", _where(a, cut)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _where(activation: Activation, cut: float) -> str:
    left, right = saturates_beyond(activation, cut)
    sides = [(activation.left, "<", left), (activation.right, ">", right)]
    found = [f"$z {sign} {z:.2f}$ ({kind})" for kind, sign, z in sides if kind != "no"]
    return ", ".join(found) or "nowhere"
