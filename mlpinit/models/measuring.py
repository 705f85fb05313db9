"""What units answer on data, and what that allows to be folded into a bias."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.fx import Node

from mlpinit.models.comparing import largest, rounding
from mlpinit.models.flow import Cuts
from mlpinit.models.graph import Map, unit_axis
from mlpinit.models.names import CONVOLUTIONS, LAYERS, NORMS
from mlpinit.models.tracing import SiteError

__all__ = ["Followed", "Range", "check_padding", "measure", "unusual", "watch"]


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

    def varying(self, tolerance: float | None) -> list[int]:
        """Which of the channels are not constant, up to rounding or to the tolerance."""
        allowed = rounding(self.dtype, largest(self.mean)) if tolerance is None else tolerance
        return (~(self.width <= allowed)).nonzero().flatten().tolist()


@dataclass
class Followed:
    """Units of a site, what is to be changed for them, and what they answer on data.

    - `plan`: the traced forward that the site is in
    - `said`: what the units answer at the site
    - `heard`: layer → what reaches it from them, for its inputs in rising order
    """

    site: str
    units: list[int]
    plan: Map
    cuts: Cuts
    said: Range = field(default_factory=Range)
    heard: dict[str, Range] = field(default_factory=dict)

    @property
    def producer(self) -> str:
        """The layer that makes the units."""
        return str(self.plan.producer(self.site).target)

    def look(self, node: Node, inputs: Sequence, value: object) -> None:
        """Note what a node of the forward shows of the units."""
        cuts = self.cuts
        if inputs and node.target in cuts.inputs:
            channels = sorted(cuts.inputs[node.target])
            self.heard[node.target].add(inputs[0], cuts.axes[node.target], channels)
        elif not inputs and node is self.plan.sites[self.site]:
            axis = unit_axis(self.plan, self.plan.producer(self.site))
            self.said.add(value, axis, self.units)


def measure(jobs: Sequence[Followed], run: Callable[[tuple], object], batches: Iterable) -> None:
    """Run the model on the data and note what units answer, and what the layers read."""
    for job in jobs:
        job.said, job.heard = Range(), {path: Range() for path in job.cuts.inputs}
    for batch in batches:
        watch([(job.plan, job.look) for job in jobs], lambda batch=batch: run(batch))
    if not all(r.n for job in jobs for r in (job.said, *job.heard.values())):
        raise ValueError("data holds no example; nothing can be measured")


Look = Callable[[Node, Sequence, object], None]


def watch(looks: Sequence[tuple[Map, Look]], run: Callable[[], object]) -> None:
    """Run a model and show each look its forward: again where one is a part of another."""
    waiting: dict[Map, list[Look]] = {}
    for plan, look in looks:
        waiting.setdefault(plan, []).append(look)
    while waiting:
        with ExitStack() as stack, torch.no_grad():
            for plan in _apart(waiting):
                stack.enter_context(plan.watching(_all(waiting.pop(plan))))
            run()


def _all(looks: Sequence[Look]) -> Look:
    def look(node: Node, inputs: Sequence, value: object) -> None:
        for one in looks:
            one(node, inputs, value)

    return look


def _apart(plans: Iterable[Map]) -> list[Map]:
    """Those of which none is a part of another: the inner ones of each."""
    inner = [p for p in plans if not any(q is not p and _holds(p, q) for q in plans)]
    paths: dict[str, Map] = {}
    for plan in inner:
        paths.setdefault(plan.path, plan)
    return list(paths.values())


def _holds(plan: Map, other: Map) -> bool:
    return plan.path != other.path and (not plan.path or other.path.startswith(f"{plan.path}."))


def unusual(cuts: Cuts, plan: Map) -> str:
    """What layers that are cut do not compute as their class does, in words, or ""."""
    found = []
    for path in dict.fromkeys((*cuts.inputs, *cuts.outputs, *cuts.norms)):
        module = plan.modules[path]
        kinds = [kind for kind in type(module).__mro__ if kind in (*LAYERS, *NORMS)]
        if kinds and type(module).forward is not kinds[0].forward:
            found.append(f"module {path!r} ({type(module).__name__}) has its own forward")
        elif module._forward_hooks or module._forward_pre_hooks:
            found.append(f"module {path!r} has hooks")
    if not found:
        return ""
    return f". {', and '.join(found)}, which may use its weights in another way"


def check_padding(job: Followed, tolerance: float | None) -> None:
    """Refuse constants other than 0 in a convolution that pads with zeros.

    At the border the kernel sees zeros where inside it sees the constant, so that what the unit
    adds is not the same everywhere, and no bias equals it.
    """
    for path, range_ in job.heard.items():
        layer = job.plan.modules[path]
        size = float(range_.mean.abs().max()) if len(range_.mean) else 0.0
        allowed = rounding(range_.dtype, 1.0) if tolerance is None else tolerance
        if _pads_with_zeros(layer) and size > allowed:
            raise SiteError(
                f"a unit with the constant output {size:.4g} enters {path!r}, which pads "
                "with zeros: near the border it adds less than inside, and no bias can do that"
            )


def _pads_with_zeros(layer: nn.Module) -> bool:
    if not isinstance(layer, CONVOLUTIONS) or layer.padding_mode != "zeros":
        return False
    if layer.padding == "same":
        return any(size > 1 for size in layer.kernel_size)
    return layer.padding != "valid" and any(layer.padding)
