"""What units answer on data, and what that allows to be folded into a bias."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from mlpinit.models.comparing import rounding
from mlpinit.models.flow import Cuts
from mlpinit.models.graph import Map, unit_axis
from mlpinit.models.names import CONVOLUTIONS, LAYERS, NORMS
from mlpinit.models.tracing import SiteError

__all__ = ["Measured", "Range", "check_padding", "measure", "unusual"]


@dataclass
class Range:
    """Count, sum, least and largest of some channels of a value, over the data: (channels,)."""

    n: int = 0
    total: Tensor | float = 0.0
    low: Tensor | float = torch.inf
    high: Tensor | float = -torch.inf
    dtype: torch.dtype = torch.float32

    def add(self, value: Tensor, axis: int, channels: list[int]) -> None:
        """Take in a value, of which `channels` along `axis` count."""
        lanes = value[(slice(None),) * axis + (channels,)].movedim(axis, 0)
        lanes = lanes.reshape(len(channels), -1) if lanes.numel() else lanes.new_empty(0)
        wide = lanes.float() if lanes.device.type == "mps" else lanes.double()
        wide = wide.cpu() if lanes.device.type == "mps" else wide
        if not wide.numel():
            return
        self.n += wide.size(1)
        self.total = self.total + wide.sum(1)
        self.low = torch.minimum(torch.as_tensor(self.low, device=wide.device), wide.amin(1))
        self.high = torch.maximum(torch.as_tensor(self.high, device=wide.device), wide.amax(1))
        self.dtype = value.dtype

    @property
    def mean(self) -> Tensor:
        """(channels,), over all the data."""
        return self.total / self.n

    @property
    def width(self) -> Tensor:
        """(channels,), the largest less the least: 0 for a unit that is stuck."""
        return self.high - self.low


@dataclass
class Measured:
    """What was measured: at the sites themselves, and where units enter a layer."""

    at_sites: dict[str, Range]
    at_inputs: dict[Node, Range]


def measure(
    plan: Map, cuts: Cuts, dead: Mapping[str, list[int]], batches: Iterable[tuple]
) -> Measured:
    """Run the model on the data and note what the units answer, and what the layers read."""
    measured = Measured({s: Range() for s in dead}, {n: Range() for n in cuts.inputs})
    named = {plan.sites[site]: site for site in dead}
    axis = {site: unit_axis(plan, plan.producer(site)) for site in dead}

    def look(node: Node, inputs: Sequence, value: object) -> None:
        if inputs and node in cuts.inputs:
            channels = sorted(cuts.inputs[node])
            measured.at_inputs[node].add(inputs[0], cuts.axes[node], channels)
        elif not inputs and node in named:
            site = named[node]
            measured.at_sites[site].add(value, axis[site], dead[site])

    for batch in batches:
        plan.run(batch, look)
    if not all(r.n for r in (*measured.at_sites.values(), *measured.at_inputs.values())):
        raise ValueError("data holds no example; nothing can be measured")
    return measured


def unusual(cuts: Cuts, plan: Map) -> str:
    """What layers that are cut do not compute as their class does, in words, or ""."""
    found = []
    for node in dict.fromkeys((*cuts.inputs, *cuts.outputs, *cuts.norms)):
        module = plan.at(node)
        usual = next(kind for kind in type(module).__mro__ if kind in (*LAYERS, *NORMS))
        if type(module).forward is not usual.forward:
            found.append(f"module {node.target!r} ({type(module).__name__}) has its own forward")
        elif module._forward_hooks or module._forward_pre_hooks:
            found.append(f"module {node.target!r} has hooks")
    if not found:
        return ""
    return f". {', and '.join(found)}, which may use its weights in another way"


def check_padding(plan: Map, cuts: Cuts, measured: Measured, tolerance: float | None) -> None:
    """Refuse constants other than 0 in a convolution that pads with zeros.

    At the border the kernel sees zeros where inside it sees the constant, so that what the unit
    adds is not the same everywhere, and no bias equals it.
    """
    for node, range_ in measured.at_inputs.items():
        layer = plan.at(node)
        size = float(range_.mean.abs().max()) if len(range_.mean) else 0.0
        allowed = rounding(range_.dtype, 1.0) if tolerance is None else tolerance
        if _pads_with_zeros(layer) and size > allowed:
            raise SiteError(
                f"a unit with the constant output {size:.4g} enters {node.target!r}, which pads "
                "with zeros: near the border it adds less than inside, and no bias can do that"
            )


def _pads_with_zeros(layer: nn.Module) -> bool:
    if not isinstance(layer, CONVOLUTIONS) or layer.padding_mode != "zeros":
        return False
    if layer.padding == "same":
        return any(size > 1 for size in layer.kernel_size)
    return layer.padding != "valid" and any(layer.padding)
