"""A traced forward with the shape of every value: what stands before and behind each site.

It is that of a model, or of a part of it, seen while the whole model runs.
"""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import SupportsIndex

import torch
from torch import Tensor, fx, nn
from torch.fx import Node

from mlpinit.models.calls import Call, split
from mlpinit.models.layers import is_depthwise, is_layer, is_linear
from mlpinit.models.names import (
    CONVOLUTIONS,
    ENTRYWISE,
    ENTRYWISE_NAMES,
    NORMS,
    POOL_NAMES,
    POOLS,
    PRODUCT_NAMES,
    SPLIT_NAMES,
)
from mlpinit.models.sites import site_nodes
from mlpinit.models.tracing import LeavesError, SiteError, called, trace, where

Dead = Mapping[str, Iterable[int] | Tensor]
"""Site name → units: their indices, or a mask (units,) of bools, as a tensor or NumPy has it."""

__all__ = ["Dead", "Map", "channel_axis", "check_dead", "unit_axis"]


def check_dead(dead: object) -> None:
    """Raise `TypeError` unless it tells units by site."""
    if not isinstance(dead, Mapping):
        kind = type(dead).__name__
        raise TypeError(f"dead is a {kind}; wanted {{site: units}}, as a report's dead() gives")


class _Watcher(fx.Interpreter):
    """Runs a graph and shows every node to `look(node, inputs, value)`."""

    def __init__(
        self,
        module: nn.Module,
        look: Callable[[Node, Sequence, object], None],
        graph: fx.Graph,
    ) -> None:
        super().__init__(module, graph=graph)
        self.look, self.extra_traceback = look, False

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
    """The traced forward of a model, or of the part at `path`, with the shapes of a first call."""

    def __init__(self, model: nn.Module, call: Call, path: str = "") -> None:
        """Traces; the shapes come when the model is run under `seeing`."""
        self.model, self.call, self.path = model, call, path
        self.graph = trace(model, call, path)
        self.modules = dict(model.named_modules())
        self.sites = site_nodes(self.graph, self.modules)
        self.norms = {n: owner for n in self.graph.nodes if (owner := self._norm_at(n))}
        self.calls = Counter(n.target for n in self.graph.nodes if n.op == "call_module")
        self.calls.update(self.norms[n] for n in self.norms if n.op != "call_module")
        direct = [self._attribute(n) for n in self.graph.nodes if self._is_used(n)]
        held = [p for m in model.modules() for p in m._parameters.values() if p is not None]
        self.uses = Counter(map(id, [*held, *direct]))
        self.seen: dict[Node, object] = {}  # tensors as meta tensors, the rest as it is

    def _attribute(self, node: Node) -> object:
        return operator.attrgetter(str(node.target))(self.model)

    def _is_used(self, node: Node) -> bool:
        """Whether a parameter is used beside its module: for more than its dtype or device."""
        return node.op == "get_attr" and any(
            user not in self.norms
            and not (called(user) == "getattr" and user.args[1] in ("dtype", "device"))
            for user in node.users
        )

    def _norm_at(self, node: Node) -> str:
        """The batch norm that a node is, or whose statistics and scale its function is given."""
        if node.op == "call_module":
            known = isinstance(self.modules[node.target], NORMS) and not node.meta.get("opaque")
            return str(node.target) if known else ""
        if node.op != "call_function" or called(node) != "batch_norm":
            return ""
        owners = {str(n.target).rpartition(".")[0] for n in node.all_input_nodes[1:]}
        attributes = all(n.op == "get_attr" for n in node.all_input_nodes[1:])
        owner = owners.pop() if attributes and len(owners) == 1 else ""
        return owner if isinstance(self.modules.get(owner), NORMS) else ""

    @contextmanager
    def watching(self, look: Callable[[Node, Sequence, object], None]) -> Iterator[None]:
        """While the model runs, show every node here to `look(node, inputs, value)`."""
        part = self.modules[self.path]

        def forward(*args: object, **kwargs: object) -> object:
            call, data = split(args, kwargs)
            if call != self.call:
                raise SiteError(
                    f"module {self.path!r} is called in more than one way: with {call} and with "
                    f"{self.call}"
                )
            watcher = _Watcher(self.model, look, graph=self.graph)
            return watcher.run(*data, enable_io_processing=False)

        own = vars(part).get("forward")
        part.forward = forward
        try:
            yield
        finally:
            del part.forward
            if own is not None:
                part.forward = own

    def see(self, node: Node, inputs: Sequence, value: object) -> None:
        """A look that notes the shape of every value, when it is first shown."""
        if not inputs and node not in self.seen:
            self.seen[node] = _shaped(value)

    def at(self, node: Node) -> nn.Module | None:
        """The module that a node calls, unless that could not be looked into."""
        known = node.op == "call_module" and not node.meta.get("opaque")
        return self.modules[node.target] if known else None

    def is_a(self, node: Node, classes: tuple, names: frozenset = frozenset()) -> bool:
        """Whether it calls a module of these classes, or a function of these names."""
        if node.op == "call_module":
            return isinstance(self.at(node), classes)
        return node.op in ("call_function", "call_method") and called(node) in names

    def is_layer(self, node: Node) -> bool:
        """Whether it calls a layer, whose units are its own."""
        return is_layer(self.at(node))

    def checked(self, dead: Dead) -> dict[str, list[int]]:
        """The units of each site that loses any, sorted and without repeats."""
        check_dead(dead)
        found: dict[str, set[int]] = defaultdict(set)
        for name, units in dead.items():
            site = self.named(name)
            found[site] |= self._indices(site, units)
        return {site: sorted(units) for site, units in found.items() if units}

    def named(self, name: str) -> str:
        """The site that is meant, as it is named here, or the name as it came."""
        # A function's in-place form has the same site: ":relu_" is ":relu".
        site = name if name in self.sites else name.replace("_#", "#").removesuffix("_")
        return self._told_by_layer(site)

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
        return self.seen[self.sites[site]].shape[unit_axis(self, self.producer(site))]

    def producer(self, site: str) -> Node:
        """The layer whose outputs a site's units are; of a gate and what it opens for, one."""
        return self.origin(self.sites[site], site)

    def origin(self, node: Node, site: str) -> Node:
        """The layer that made a value's units, from which each has come on its own."""
        if self.is_layer(node) and not is_depthwise(self.at(node)):
            return node
        if node.op == "placeholder" and self.path:
            raise LeavesError(self._foreign(node, site))
        sources = [n for n in node.all_input_nodes if self._is_big(n)]
        passing = ENTRYWISE_NAMES | POOL_NAMES | SPLIT_NAMES
        found: list[Node] = []
        refused: dict[str, SiteError] = {}
        if self._passes(node) or self.is_a(node, (*ENTRYWISE, *POOLS), passing):
            if node in self.norms or len(sources) == 1:
                return self.origin(sources[0], site)
            for source in sources:
                try:
                    found.append(self.origin(source, site))
                except SiteError as error:
                    refused[str(error)] = error
        if len(refused) == 1 and not found:
            raise next(iter(refused.values()))  # all come from there
        if found and self.is_a(node, (), PRODUCT_NAMES):
            return found[0]
        if refused or len(set(found)) != 1:
            raise SiteError(self._foreign(node, site))
        return found[0]

    def _foreign(self, node: Node, site: str) -> str:
        return (
            f"the units of site {site!r} come from {where(node)}, not from a Linear or "
            "convolution of their own; they cannot be changed one by one"
        )

    def _passes(self, node: Node) -> bool:
        return node in self.norms or is_depthwise(self.at(node))

    def _is_big(self, node: Node) -> bool:
        value = self.seen.get(node)
        if isinstance(value, tuple | list):
            return any(isinstance(part, Tensor) for part in value)
        number = node.op == "get_attr" and isinstance(value, Tensor) and value.numel() == 1
        return isinstance(value, Tensor) and value.ndim > 0 and not number

    def others(self, node: Node, followed: Mapping) -> list[Node]:
        """The tensors that enter a node and are not followed; numbers in a tensor do not count."""
        return [n for n in node.all_input_nodes if n not in followed and self._is_big(n)]

    def check_editable(self, path: str) -> None:
        """Raise unless entries of the parameters of the module at `path` can be changed alone."""
        module = self.modules[path]
        if self.calls[path] > 1:
            raise SiteError(
                f"module {path!r} is used {self.calls[path]} times in the forward; "
                "what is changed for one use is changed for the others"
            )
        for name in ("weight", "bias"):
            value = getattr(module, name, None)
            if value is not None and name not in module._parameters:
                raise SiteError(
                    f"the {name} of {path!r} is computed from other parameters; remove the "
                    "parametrisation (or weight norm, or pruning) first"
                )
            if value is not None and self.uses[id(value)] > 1:
                raise SiteError(
                    f"'{path}.{name}' is shared with another part of the model; untie it"
                )
        if getattr(module, "groups", 1) != 1 and not is_depthwise(module):
            raise SiteError(
                f"module {path!r} is a convolution in {module.groups} groups, whose "
                "channels cannot be changed one by one"
            )


def _shaped(value: object) -> object:
    """A value without its numbers: what `Map.seen` keeps of it."""
    if isinstance(value, Tensor):
        return torch.empty(value.shape, device="meta")
    if type(value) in (tuple, list):
        return type(value)(map(_shaped, value))
    known = (int, float, str, torch.Size, torch.dtype, torch.device, slice, type(None))
    return value if isinstance(value, known) else None


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
    if is_linear(plan.at(node)):
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
