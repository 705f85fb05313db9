"""Where units go: from the layer that makes them to every layer that reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn
from torch.fx import Node

from mlpinit.models.graph import Map, channel_axis, unit_axis
from mlpinit.models.layers import is_depthwise
from mlpinit.models.names import (
    ENTRYWISE,
    ENTRYWISE_NAMES,
    JOIN_NAMES,
    POOL_NAMES,
    POOLS,
    PRODUCT_NAMES,
    RESHAPE_NAMES,
    RESHAPES,
    SPLIT_NAMES,
)
from mlpinit.models.tracing import LeavesError, SiteError, where

__all__ = ["Cuts", "follow"]


@dataclass(frozen=True)
class _Flow:
    """Where units lie in a value: at index i along `axis` unit `units[i]`, or −1."""

    axis: int
    units: tuple[int, ...]


@dataclass
class Cuts:
    """What is to be changed: the path of a module → indices among its outputs, inputs, channels.

    `axes` holds the axis along which a reading layer's input has the units. A depthwise
    convolution is among the norms: it makes one channel of one, as they do.
    """

    outputs: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    inputs: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    norms: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    axes: dict[str, int] = field(default_factory=dict)

    def add(self, other: Cuts) -> None:
        """Take in what is to be changed for other units."""
        for mine, theirs in (
            (self.outputs, other.outputs),
            (self.inputs, other.inputs),
            (self.norms, other.norms),
        ):
            for path, found in theirs.items():
                mine[path] |= found
        self.axes.update(other.axes)


def follow(plan: Map, site: str, units: Iterable[int]) -> Cuts:
    """Where a site's units are made, normalised and read; `SiteError` if that is not clear."""
    walk = _Walk(plan, site)
    walk.walk()
    cuts = walk.cuts(units)
    for path in {**cuts.outputs, **cuts.inputs, **cuts.norms}:
        plan.check_editable(path)
    return cuts


class _Walk:
    """Units on their way from the layers that make them.

    Units of two layers that are multiplied with each other, as a gate with what it lets through,
    go together; so do the two halves of one layer. Each output of each layer has a number, and
    `same` leads to that of another output that must go when it goes.
    """

    def __init__(self, plan: Map, site: str) -> None:
        self.plan, self.site = plan, site
        self.producers = [plan.producer(site)]

    def walk(self) -> None:
        """Follow the units, again from the start when another layer's turn out to be among them."""
        n_producers = 0
        while n_producers < len(self.producers):
            n_producers = len(self.producers)
            self._pass()

    def _pass(self) -> None:
        self.flows: dict[Node, _Flow | tuple[_Flow, ...]] = {}
        self.reads: dict[Node, _Flow] = {}
        self.passed: dict[str, _Flow] = {}
        self.halves: dict[Node, tuple[_Flow, ...]] = {}  # or thirds: what was cut into equal parts
        self.same: list[int] = []
        n_producers = len(self.producers)
        for node in self.plan.graph.nodes:
            entering = [self.flows[n] for n in node.all_input_nodes if n in self.flows]
            if entering:
                self._enter(node, entering)
            if len(self.producers) > n_producers:
                return
            if node in self.producers:
                axis, n = unit_axis(self.plan, node), len(self.same)
                new = range(n, n + self.plan.seen[node].shape[axis])
                self.same.extend(new)
                self.flows[node] = _Flow(axis, tuple(new))

    def _enter(self, node: Node, entering: list) -> None:
        plan, flow = self.plan, entering[0]
        if isinstance(plan.seen[node], torch.Size):
            return
        if any(isinstance(f, tuple) for f in entering) and not plan.is_a(node, (), SPLIT_NAMES):
            raise _lost(self.site, node, "which takes several parts of them at once")
        if plan.is_layer(node):
            if flow.axis != channel_axis(plan, node, node.all_input_nodes[0]):
                raise _lost(self.site, node, "which reads another axis than that of the units")
            if is_depthwise(plan.at(node)):
                self.passed[str(node.target)] = self.flows[node] = flow
            else:
                self.reads[node] = flow
        elif node in plan.norms and flow.axis == 1 and node.all_input_nodes[0] in self.flows:
            self.passed[plan.norms[node]] = self.flows[node] = flow
        elif node.op == "output" or isinstance(plan.seen[node], Tensor | tuple | list):
            through = self._through(node, entering)
            if through is not None:
                self.flows[node] = through
        elif not isinstance(plan.seen[node], int | torch.dtype | torch.device):
            raise _lost(self.site, node)

    def _through(self, node: Node, entering: list) -> _Flow | tuple | None:
        """Where the units lie after a node that is no layer and no norm."""
        plan, site = self.plan, self.site
        if node.op == "output":
            raise LeavesError(
                f"the units of site {site!r} are an output of the model; to change one is to "
                "change what the model answers"
            )
        module = plan.at(node)
        if isinstance(module, nn.PReLU) and module.num_parameters > 1:
            raise _lost(site, node, "which holds a slope for each unit")
        if plan.is_a(node, (), SPLIT_NAMES) or not isinstance(plan.seen[node], Tensor):
            return self._split(node)
        if plan.is_a(node, ENTRYWISE, ENTRYWISE_NAMES):
            return self._entrywise(node, entering)
        flow = entering[0]
        source = next(n for n in node.all_input_nodes if n in self.flows)
        if plan.is_a(node, POOLS, POOL_NAMES) and flow.axis == channel_axis(plan, node, source):
            return self._kept(node, flow)
        if plan.is_a(node, RESHAPES, RESHAPE_NAMES) or plan.is_a(node, (), JOIN_NAMES):
            out = _labels(plan, node, self.flows)
            return self._along(node, out, entering, whole=not plan.is_a(node, (), JOIN_NAMES))
        raise _lost(site, node)

    def _kept(self, node: Node, flow: _Flow) -> _Flow:
        shape = self.plan.seen[node].shape
        if len(shape) > flow.axis and shape[flow.axis] == len(flow.units):
            return flow
        raise _lost(self.site, node)

    def _entrywise(self, node: Node, entering: list) -> _Flow | None:
        """Units that are changed each on its own, or in pairs."""
        plan, flow = self.plan, entering[0]
        ndim = plan.seen[node].ndim
        others = [n for n in plan.others(node, self.flows) if not _spares(plan, n, flow, ndim)]
        product = plan.is_a(node, (), PRODUCT_NAMES)
        if product and len(others) == 1 and len(entering) == 1:
            return self._joined(node, others[0], flow)
        alike = all(f.axis == flow.axis and len(f.units) == len(flow.units) for f in entering)
        if others or not alike or (len(set(entering)) > 1 and not product):
            raise _lost(
                self.site,
                node,
                "which mixes them with another value, so that they cannot go alone",
            )
        for other in entering[1:]:
            self._unite(node, flow, other)
        return self._kept(node, flow)

    def _joined(self, node: Node, other: Node, flow: _Flow) -> None:
        """Note the layer that makes the other factor: its units go with these."""
        mixed = _lost(
            self.site, node, "which mixes them with another value, so that they cannot go alone"
        )
        try:
            producer = self.plan.origin(other, self.site)
        except LeavesError:
            raise
        except SiteError as error:
            raise mixed from error
        if producer in self.producers or -1 in flow.units:
            raise mixed
        self.producers.append(producer)

    def _unite(self, node: Node, flow: _Flow, other: _Flow) -> None:
        for pair in zip(flow.units, other.units, strict=True):
            least, most = sorted(map(self._first, pair))
            if least >= 0:
                self.same[most] = least
            elif most >= 0:
                raise _lost(self.site, node, "which mixes some of them with another value")

    def _first(self, unit: int) -> int:
        """The least number of the units that go together with this one."""
        while unit >= 0 and self.same[unit] != unit:
            unit = self.same[unit]
        return unit

    def _split(self, node: Node) -> _Flow | tuple | None:
        """Parts of a value, by the label that each unit has."""
        source = node.all_input_nodes[0]
        if not self.plan.is_a(node, (), SPLIT_NAMES) or source not in self.flows:
            raise _lost(self.site, node)
        flow = self.flows[source]
        if isinstance(flow, tuple):
            return flow[node.args[1]] if isinstance(node.args[1], int) else flow
        out = _labels(self.plan, node, self.flows)
        if isinstance(out, Tensor):
            return self._along(node, out, [flow], whole=False)
        parts = tuple(self._along(node, part, [flow], whole=False) for part in out)
        self.halves[node] = parts
        return parts

    def _along(self, node: Node, out: Tensor, entering: list, *, whole: bool) -> _Flow:
        """The axis along which the units' numbers lie, after a change of shape."""
        known = {unit for flow in entering for unit in flow.units} | {-1}
        for axis in range(out.ndim):
            lane = out.movedim(axis, 0).reshape(out.size(axis), -1)  # (along the axis, all others)
            if not lane.numel() or not (lane == lane[:, :1]).all():
                continue
            units = tuple(lane[:, 0].tolist())
            if known.issuperset(units) and (not whole or {*units, -1} == known):
                return _Flow(axis, tuple(map(int, units)))
        raise _lost(self.site, node, "which spreads them over more than one axis")

    def cuts(self, units: Iterable[int]) -> Cuts:
        """What is to be changed for some of the site's units."""
        here = self.flows[self.plan.sites[self.site]].units
        dead = {self._first(here[unit]) for unit in units}
        for node, parts in self.halves.items():
            alike = {(len(part.units), len(self._positions(part, dead))) for part in parts}
            if len(alike) > 1 and dead:
                raise _lost(self.site, node, "whose parts would not stay equal without them")
        cuts = Cuts()
        for producer in self.producers:
            cuts.outputs[str(producer.target)] = self._positions(self.flows[producer], dead)
        for node, flow in self.reads.items():
            cuts.inputs[str(node.target)] = self._positions(flow, dead)
            cuts.axes[str(node.target)] = flow.axis
        for path, flow in self.passed.items():
            cuts.norms[path] = self._positions(flow, dead)
        return cuts

    def _positions(self, flow: _Flow, dead: set[int]) -> set[int]:
        return {i for i, unit in enumerate(flow.units) if unit >= 0 and self._first(unit) in dead}


def _spares(plan: Map, other: Node, flow: _Flow, ndim: int) -> bool:
    """Whether a value is the same for all units: a number for each example, or for each place."""
    value = plan.seen[other]
    axis = flow.axis - (ndim - value.ndim)
    return len(flow.units) > 1 and (axis < 0 or value.shape[axis] == 1)


def _lost(site: str, node: Node, why: str = "through which they cannot be followed") -> SiteError:
    reach = f"the units of site {site!r} reach {where(node)}"
    return SiteError(f"{reach}, {why}")


def _labels(plan: Map, node: Node, flows: Mapping[Node, _Flow]) -> Tensor | tuple[Tensor, ...]:
    """Send the units' numbers through a change of shape."""

    def label(source: Node) -> object:
        value = plan.seen[source]
        if not isinstance(value, Tensor):
            return value
        if source not in flows:
            return torch.full(value.shape, -1.0, dtype=torch.float64)
        flow = flows[source]
        along = [-1 if axis == flow.axis else 1 for axis in range(value.ndim)]
        return torch.tensor(flow.units, dtype=torch.float64).view(along).expand(value.shape)

    args, kwargs = (fx.node.map_arg(a, label) for a in (node.args, node.kwargs))
    if node.op == "call_method":
        first, *rest = args
        return getattr(first.contiguous(), str(node.target))(*rest, **kwargs)
    return (plan.at(node) or node.target)(*args, **kwargs)
