"""Where units go: from the layer that makes them to every layer that reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn
from torch.fx import Node

from mlpinit.models.graph import Map, channel_axis, unit_axis
from mlpinit.models.names import (
    ENTRYWISE,
    ENTRYWISE_NAMES,
    JOIN_NAMES,
    LAYERS,
    NORMS,
    POOL_NAMES,
    POOLS,
    RESHAPE_NAMES,
    RESHAPES,
)
from mlpinit.models.tracing import SiteError, where

__all__ = ["Cuts", "find_cuts"]


@dataclass(frozen=True)
class _Flow:
    """Where a producer's units lie in a value: at index i along `axis` unit `units[i]`, or −1."""

    axis: int
    units: tuple[int, ...]


@dataclass
class Cuts:
    """What is to be changed: node → indices among a layer's outputs, inputs, a norm's channels."""

    outputs: dict[Node, set[int]] = field(default_factory=lambda: defaultdict(set))
    inputs: dict[Node, set[int]] = field(default_factory=lambda: defaultdict(set))
    norms: dict[Node, set[int]] = field(default_factory=lambda: defaultdict(set))
    axes: dict[Node, int] = field(default_factory=dict)  # of a reading layer's input


def find_cuts(plan: Map, dead: Mapping[str, list[int]]) -> Cuts:
    """Where the units of sites are made, normalised and read; `SiteError` if that is not clear."""
    cuts = Cuts()
    for site, units in dead.items():
        _follow(plan, site, set(units), cuts)
    for node in {*cuts.outputs, *cuts.inputs, *cuts.norms}:
        plan.check_editable(node)
    return cuts


def _follow(plan: Map, site: str, dead: set[int], cuts: Cuts) -> None:
    """Follow a site's units from the layer that makes them to every layer that reads them."""
    producer = plan.producer(site)
    axis = unit_axis(plan, producer)
    cuts.outputs[producer] |= dead
    flows = {producer: _Flow(axis, tuple(range(plan.seen[producer].shape[axis])))}
    for node in plan.graph.nodes:
        entering = [flows[n] for n in node.all_input_nodes if n in flows]
        if not entering:
            continue
        flow = entering[0]
        positions = {i for i, unit in enumerate(flow.units) if unit in dead}
        if plan.is_a(node, LAYERS):
            if flow.axis != channel_axis(plan, node, node.all_input_nodes[0]):
                raise _lost(site, node, "which reads another axis than that of the units")
            cuts.inputs[node] |= positions
            cuts.axes[node] = flow.axis
        elif plan.is_a(node, NORMS) and flow.axis == 1:
            cuts.norms[node] |= positions
            flows[node] = flow
        elif node.op == "output" or isinstance(plan.seen[node], Tensor):
            flows[node] = _through(plan, site, node, flows, entering)
        elif not isinstance(plan.seen[node], int | torch.Size | torch.dtype | torch.device):
            raise _lost(site, node)


def _through(
    plan: Map, site: str, node: Node, flows: Mapping[Node, _Flow], entering: list[_Flow]
) -> _Flow:
    """Where the units lie after a node that is no layer and no norm."""
    if node.op == "output":
        raise SiteError(
            f"the units of site {site!r} are an output of the model; to change one is to "
            "change what the model answers"
        )
    flow = entering[0]
    alone = not plan.others(node, flows) and len(set(entering)) == 1
    shape = plan.seen[node].shape
    module = plan.at(node)
    if isinstance(module, nn.PReLU) and module.num_parameters > 1:
        raise _lost(site, node, "which holds a slope for each unit")
    if plan.is_a(node, ENTRYWISE, ENTRYWISE_NAMES) and not alone:
        raise _lost(
            site,
            node,
            "which mixes them with another value, so that they cannot go alone",
        )
    pooled = plan.is_a(node, POOLS, POOL_NAMES) and (
        flow.axis == channel_axis(plan, node, next(n for n in node.all_input_nodes if n in flows))
    )
    if pooled or plan.is_a(node, ENTRYWISE, ENTRYWISE_NAMES):
        if len(shape) > flow.axis and shape[flow.axis] == len(flow.units):
            return flow
    elif plan.is_a(node, RESHAPES, RESHAPE_NAMES) or plan.is_a(node, (), JOIN_NAMES):
        return _labelled(plan, site, node, flows)
    raise _lost(site, node)


def _lost(site: str, node: Node, why: str = "through which they cannot be followed") -> SiteError:
    reach = f"the units of site {site!r} reach {where(node)}"
    return SiteError(f"{reach}, {why}")


def _labelled(plan: Map, site: str, node: Node, flows: Mapping[Node, _Flow]) -> _Flow:
    """Send the units' numbers through a change of shape, and see along which axis they come out."""

    def label(source: Node) -> object:
        value = plan.seen[source]
        if not isinstance(value, Tensor):
            return value
        if source not in flows:
            return torch.full(value.shape, -1.0)
        flow = flows[source]
        along = [-1 if axis == flow.axis else 1 for axis in range(value.ndim)]
        return torch.tensor(flow.units, dtype=torch.float64).view(along).expand(value.shape)

    args, kwargs = (fx.node.map_arg(a, label) for a in (node.args, node.kwargs))
    if node.op == "call_method":
        first, *rest = args
        out = getattr(first.contiguous(), str(node.target))(*rest, **kwargs)
    else:
        out = (plan.at(node) or node.target)(*args, **kwargs)
    for axis in range(out.ndim):
        lane = out.movedim(axis, 0).reshape(out.size(axis), -1)  # (along the axis, all others)
        if lane.numel() and (lane == lane[:, :1]).all():
            return _Flow(axis, tuple(int(unit) for unit in lane[:, 0]))
    raise _lost(site, node, "which spreads them over more than one axis")
