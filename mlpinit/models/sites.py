"""Where activations are applied in a model.

A *site* is a place where an activation function is applied. Its name is that of the activation
module ("net.1"), or, for a function or a tensor method, the module whose forward called it and the
function ("blocks.0.mlp:gelu", ":tanh" for the model itself, ":formula" for a function written out
without any activation function, as x * (x > 0)). A name that comes up again in the same
forward pass gets "#2", "#3" and so on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from torch import fx, nn
from torch.fx import Node

from mlpinit.models.names import (
    ACTIVATION_FUNCTIONS,
    ACTIVATION_MODULES,
    ARITHMETIC,
    BENDS,
    CASTS,
    CONSTANTS,
    SCALES,
    clamp_bounds,
    is_clamp,
)
from mlpinit.models.tracing import called, caller, check_model, trace

__all__ = ["site_nodes", "sites"]


def sites(model: nn.Module) -> list[str]:
    """The sites of a model, in the order of its forward pass.

    >>> sites(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    ['1']
    """
    check_model(model)
    return list(site_nodes(trace(model), dict(model.named_modules())))


def _is_activation(node: Node, modules: Mapping[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return isinstance(modules[node.target], ACTIVATION_MODULES)
    if node.op not in ("call_function", "call_method"):
        return False
    name = called(node)
    return name in ACTIVATION_FUNCTIONS or is_clamp(name, clamp_bounds(node.args[1:], node.kwargs))


_SHAPES = frozenset(("getattr", "size", "dim", "numel", "len", "ndimension"))


class _Traced:
    """What a node's value is made of: numbers, parameters, or one value, entry by entry."""

    def __init__(self, graph: fx.Graph, modules: Mapping[str, nn.Module]) -> None:
        self.modules = modules
        self.numbers: set[Node] = set()
        self.weights: set[Node] = set()
        self.roots: dict[Node, Node] = {}
        self.parts: dict[Node, tuple[str, ...]] = {}  # the activations on the way from the root
        self.bent: set[Node] = set()
        self.formulas: set[Node] = set()
        self.sites: dict[str, Node] = {}
        self.absorbed: set[str] = set()
        calls: Counter[str] = Counter()
        for node in graph.nodes:
            name = self._meet(node)
            if name:
                calls[name] += 1
                name = name if calls[name] == 1 else f"{name}#{calls[name]}"
                self.sites[name] = node
                source = node.all_input_nodes[0]
                self.roots[node] = self.roots.get(source, source)
                self.parts[node] = (*self.parts.get(source, ()), name)

    def _meet(self, node: Node) -> str:
        """Sort a node in. The base name, if it is an activation applied to data."""
        sources = node.all_input_nodes
        if node.op in ("call_function", "call_method") and (
            called(node) in CONSTANTS | _SHAPES or (sources and self.numbers.issuperset(sources))
        ):
            self.numbers.add(node)
            return ""
        sources = [n for n in sources if n not in self.numbers]
        if node.op == "get_attr" or (sources and self.weights.issuperset(sources)):
            self.weights.add(node)
            return ""
        if _is_activation(node, self.modules):
            if node.op == "call_module":
                return str(node.target)
            return f"{caller(node)}:{called(node)}"
        data = [n for n in sources if n not in self.weights]
        dropout = node.op == "call_module" and isinstance(
            self.modules[node.target], (nn.Dropout, nn.Identity, nn.AlphaDropout)
        )
        function = called(node).removeprefix("special_")
        named = node.op in ("call_function", "call_method") and function in ARITHMETIC
        if function in CASTS:
            data = data[:1]
        roots = {self.roots.get(n, n) for n in data}
        given = any(n.op == "placeholder" for n in roots)
        summed = given and len(data) > 1 and function in ("add", "sub", "iadd", "isub")
        if not (named or dropout) or len(roots) != 1 or summed:  # inputs are no units
            return ""
        (self.roots[node],) = roots
        self.parts[node] = parts = tuple(
            dict.fromkeys(part for n in data for part in self.parts.get(n, ()))
        )
        if function in BENDS or self.bent.intersection(data):
            self.bent.add(node)
        if parts and (len(data) > 1 or self._scales(node, data)):
            last = max(parts, key=list(self.sites).index)  # a formula, by the name of its last part
            self.sites[last] = node
            self.absorbed |= set(parts) - {last}
            self.formulas.add(node)
        elif not parts and not given and len(data) > 1 and node in self.bent:
            self.formulas.add(node)
            return f"{caller(node)}:formula"
        return ""

    def _scales(self, node: Node, data: list[Node]) -> bool:
        """Whether a formula is multiplied by a number."""
        others = [a for a in node.args if not isinstance(a, Node)]
        numbers = len(others) == 1 and isinstance(others[0], int | float)
        return numbers and data[0] in self.formulas and called(node) in SCALES


def site_nodes(graph: fx.Graph, modules: Mapping[str, nn.Module]) -> dict[str, Node]:
    """Every site's name with its node, in the order of the forward.

    Of a function written out, as x·σ(x), it is the node that gives its value.
    """
    traced = _Traced(graph, modules)
    return {name: node for name, node in traced.sites.items() if name not in traced.absorbed}
