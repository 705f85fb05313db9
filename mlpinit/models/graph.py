"""A traced forward with the shape of every value: what stands before and behind each site."""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import SupportsIndex

import torch
from torch import Tensor, fx, nn
from torch.fx import Node

from mlpinit.models.names import (
    CONVOLUTIONS,
    ENTRYWISE,
    ENTRYWISE_NAMES,
    LAYERS,
    NORMS,
    POOL_NAMES,
    POOLS,
)
from mlpinit.models.sites import site_nodes
from mlpinit.models.tracing import SiteError, called, where

Dead = Mapping[str, Iterable[int] | Tensor]
"""Site name → units: their indices, or a mask (units,) of bools, as a tensor or NumPy has it."""

__all__ = ["Dead", "Map", "channel_axis", "unit_axis"]


class _Watcher(fx.Interpreter):
    """Runs a graph and shows every node to `look(node, inputs, value)`."""

    def __init__(self, module: fx.GraphModule, look: Callable[[Node, Sequence, object], None]):
        super().__init__(module)
        self.look = look

    def run_node(self, n: Node) -> object:
        """Shown before an in-place node downstream can change its inputs."""
        before = [self.env.get(source) for source in n.all_input_nodes]
        early = n.op == "call_module"  # a layer's input is read before, a value after its node
        if early:
            self.look(n, before, None)
        value = super().run_node(n)
        self.look(n, (), value)
        return value


class Map:
    """The traced forward of a model, with the shape of every value on one batch."""

    def __init__(self, model: nn.Module, graph: fx.Graph, batch: tuple) -> None:
        """Runs the graph once. The model should be in evaluation mode; it is not changed."""
        self.graph = graph
        self.module = fx.GraphModule(model, graph)
        self.modules = dict(model.named_modules())
        self.sites = site_nodes(graph, self.modules)
        self.calls = Counter(n.target for n in graph.nodes if n.op == "call_module")
        direct = [self._attribute(n) for n in graph.nodes if n.op == "get_attr"]
        held = [p for m in model.modules() for p in m._parameters.values() if p is not None]
        self.uses = Counter(map(id, [*held, *direct]))
        self.seen: dict[Node, object] = {}  # tensors as meta tensors, the rest as it is
        self.run(batch, self._see)

    def _attribute(self, node: Node) -> object:
        return operator.attrgetter(str(node.target))(self.module)

    def _see(self, node: Node, inputs: Sequence, value: object) -> None:
        if not inputs:
            tensor = isinstance(value, Tensor)
            self.seen[node] = torch.empty(value.shape, device="meta") if tensor else value

    def run(self, batch: tuple, look: Callable[[Node, Sequence, object], None]) -> None:
        """Run the graph and show every node to `look(node, inputs, value)`."""
        with torch.no_grad():
            _Watcher(self.module, look).run(*batch)

    def at(self, node: Node) -> nn.Module | None:
        """The module that a node calls."""
        return self.modules[node.target] if node.op == "call_module" else None

    def is_a(self, node: Node, classes: tuple, names: frozenset = frozenset()) -> bool:
        """Whether it calls a module of these classes, or a function of these names."""
        if node.op == "call_module":
            return isinstance(self.at(node), classes)
        return node.op in ("call_function", "call_method") and called(node) in names

    def checked(self, dead: Dead) -> dict[str, list[int]]:
        """The units of each site that loses any, sorted and without repeats."""
        if not isinstance(dead, Mapping):
            kind = type(dead).__name__
            raise TypeError(f"dead is a {kind}; wanted {{site: units}}, as a report's dead() gives")
        found: dict[str, set[int]] = defaultdict(set)
        for name, units in dead.items():
            # A function's in-place form has the same site: ":relu_" is ":relu".
            site = name if name in self.sites else name.replace("_#", "#").removesuffix("_")
            site = self._told_by_layer(site)
            found[site] |= self._indices(site, units)
        return {site: sorted(units) for site, units in found.items() if units}

    def _told_by_layer(self, name: str) -> str:
        """The site that a watch calls "act@layer", where the layers come and go."""
        base, at, rest = name.partition("@")
        if not at:
            return name
        layer, _, number = rest.partition("#")
        named = [site for site in self.sites if site.partition("#")[0] == base]
        fed = [site for site in named if self._comes_from(site, layer)]
        nth = int(number or 1)
        return fed[nth - 1] if len(fed) >= nth else name

    def _comes_from(self, site: str, layer: str) -> bool:
        try:
            return str(self.producer(site).target) == layer
        except SiteError:
            return False

    def _indices(self, site: str, units: Iterable[int] | Tensor) -> set[int]:
        if site not in self.sites:
            known = ", ".join(map(repr, self.sites)) or "none"
            raise ValueError(f"there is no site {site!r} in the traced forward; there are {known}")
        n = self.n_units(site)
        if str(getattr(units, "dtype", "")) in ("torch.bool", "bool"):
            return _set_in(torch.as_tensor(units), n, site)
        if not isinstance(units, Iterable) or isinstance(units, str):
            raise TypeError(f"the units of site {site!r} are {units!r}; wanted several, as [5]")
        found = set()
        for unit in units:  # once: it may be an iterator
            if not isinstance(unit, SupportsIndex) or isinstance(unit, bool):
                raise TypeError(f"{unit!r} is no index of a unit of site {site!r}")
            if operator.index(unit) not in range(n):
                raise ValueError(f"site {site!r} has units 0 to {n - 1}; there is no {unit!r}")
            found.add(operator.index(unit))
        return found

    def n_units(self, site: str) -> int:
        """How many units a site has."""
        producer = self.producer(site)
        return self.seen[producer].shape[unit_axis(self, producer)]

    def producer(self, site: str) -> Node:
        """The layer whose outputs a site's units are."""
        return self._producer(site, self.sites[site])

    def _producer(self, site: str, node: Node) -> Node:
        if self.is_a(node, LAYERS):
            return node
        sources = [n for n in node.all_input_nodes if self._is_big(n)]
        passing = ENTRYWISE_NAMES | POOL_NAMES
        found: set[Node] = set()
        refused: dict[str, SiteError] = {}
        if self.is_a(node, (*ENTRYWISE, *NORMS, *POOLS), passing):
            if len(sources) == 1:
                return self._producer(site, sources[0])
            for source in sources:
                try:
                    found.add(self._producer(site, source))
                except SiteError as error:
                    refused[str(error)] = error
        if len(refused) == 1 and not found:
            raise next(iter(refused.values()))  # all come from there
        if refused or len(found) != 1:
            raise SiteError(
                f"the units of site {site!r} come from {where(node)}, not from a Linear or "
                "convolution of their own; they cannot be changed one by one"
            )
        return found.pop()

    def _is_big(self, node: Node) -> bool:
        value = self.seen.get(node)
        number = node.op == "get_attr" and isinstance(value, Tensor) and value.numel() == 1
        return isinstance(value, Tensor) and value.ndim > 0 and not number

    def others(self, node: Node, followed: Mapping) -> list[Node]:
        """The tensors that enter a node and are not followed; numbers in a tensor do not count."""
        return [n for n in node.all_input_nodes if n not in followed and self._is_big(n)]

    def check_editable(self, node: Node) -> None:
        """Raise unless entries of the parameters of the module at `node` can be changed alone."""
        module = self.at(node)
        if self.calls[node.target] > 1:
            raise SiteError(
                f"module {node.target!r} is used {self.calls[node.target]} times in the forward; "
                "what is changed for one use is changed for the others"
            )
        for name in ("weight", "bias"):
            value = getattr(module, name, None)
            if value is not None and name not in module._parameters:
                raise SiteError(
                    f"the {name} of {node.target!r} is computed from other parameters; remove the "
                    "parametrisation (or weight norm, or pruning) first"
                )
            if value is not None and self.uses[id(value)] > 1:
                raise SiteError(
                    f"'{node.target}.{name}' is shared with another part of the model; untie it"
                )
        if getattr(module, "groups", 1) != 1:
            raise SiteError(
                f"module {node.target!r} is a convolution in {module.groups} groups, whose "
                "channels cannot be changed one by one"
            )


def _set_in(mask: Tensor, n: int, site: str) -> set[int]:
    """The units that a mask has set."""
    if mask.shape != (n,):
        raise ValueError(f"the mask of site {site!r} is {tuple(mask.shape)}; it has {n} units")
    return set(mask.nonzero().flatten().tolist())


def unit_axis(plan: Map, layer: Node) -> int:
    """The axis of a layer's output along which its units lie."""
    return channel_axis(plan, layer, layer)


def channel_axis(plan: Map, node: Node, value: Node) -> int:
    """The axis of `value` that a layer or pool at `node` takes for its units.

    It is the last for a Linear layer, else the one before the positions: axis 1 of a batch, axis 0
    of a single image.
    """
    axes = plan.seen[value].ndim
    if plan.is_a(node, (nn.Linear,)):
        return axes - 1
    name = type(plan.at(node)).__name__ if node.op == "call_module" else called(node)
    if not (plan.is_a(node, (*CONVOLUTIONS, *POOLS), POOL_NAMES)):
        return 1
    dimensions = next((d for d in (1, 2, 3) if plan.is_a(node, _OF_DIMENSIONS[d])), 0)
    return axes - 1 - (dimensions or int(name[-2]))


_OF_DIMENSIONS = {
    d: tuple(kind for kind in (*CONVOLUTIONS, *POOLS) if kind.__name__.endswith(f"{d}d"))
    for d in (1, 2, 3)
}
