"""Where activations are applied in a model, and what stands before and behind each place.

A *site* is a place where an activation function is applied. Its name is that of the activation
module ("net.1"), or, for a function or a tensor method, the module whose forward called it and the
function ("blocks.0.mlp:gelu", ":tanh" for the model itself). A name that comes up again in the same
forward pass gets "#2", "#3" and so on.

A `Map` is a model's forward pass as torch.fx traces it. `find_cuts` follows a site's units through
it, from the layer that makes them to every layer that reads them, and `measure` says what they
answer on data. Removing and recycling units both start from these.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import SupportsIndex

import torch
from torch import Tensor, fx, nn
from torch.fx import Node

__all__ = [
    "ACTIVATION_FUNCTIONS",
    "ACTIVATION_MODULES",
    "ARITHMETIC",
    "CONSTANTS",
    "Batches",
    "Cuts",
    "Dead",
    "Map",
    "Measured",
    "Range",
    "SiteError",
    "check_model",
    "check_padding",
    "clamp_bounds",
    "compared",
    "difference",
    "evaluating",
    "find_cuts",
    "is_clamp",
    "largest",
    "measure",
    "named_inputs",
    "outputs",
    "rounding",
    "sites",
    "tensors",
    "trace",
    "unusual",
]

Dead = Mapping[str, Iterable[int] | Tensor]
"""Site name → units: their indices, or a mask (units,) of bools, as a tensor or NumPy has it."""


class SiteError(ValueError):
    """The units of a site cannot be followed, or not be changed without changing others."""


ACTIVATION_MODULES = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh,
    nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.RReLU, nn.SELU, nn.SiLU,
    nn.Sigmoid, nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold,
)  # fmt: skip
"""The modules that are activation functions: they act on every entry alone."""

ACTIVATION_FUNCTIONS = frozenset(
    ("celu", "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu",
     "logsigmoid", "mish", "prelu", "relu", "relu6", "rrelu", "selu", "sigmoid", "silu",
     "softplus", "softshrink", "softsign", "tanh", "tanhshrink", "threshold")
)  # fmt: skip
"""The functions and tensor methods that are, by their names without a last underscore."""

ARITHMETIC = frozenset(
    ("add", "radd", "iadd", "sub", "rsub", "isub", "subtract", "mul", "rmul", "imul", "multiply",
     "div", "rdiv", "truediv", "rtruediv", "itruediv", "true_divide", "divide", "neg", "negative",
     "positive", "pos", "pow", "rpow", "ipow", "float_power", "abs", "absolute", "square", "sqrt",
     "rsqrt", "reciprocal", "exp", "exp2", "expm1", "log", "log2", "log1p", "erf", "erfc", "sin",
     "cos", "atan", "arctan", "sinh", "cosh", "asinh", "logaddexp", "hypot", "sign", "lerp",
     "addcmul", "addcdiv", "clamp", "clip", "clamp_min", "clamp_max", "maximum", "minimum", "fmax",
     "fmin", "where", "masked_fill", "heaviside", "lt", "le", "gt", "ge", "eq", "ne", "less",
     "greater", "less_equal", "greater_equal", "logical_not", "logical_and", "logical_or", "clone",
     "contiguous", "detach", "to", "type", "type_as", "float", "double", "half", "bfloat16",
     "dropout", "feature_dropout", "alpha_dropout")
)  # fmt: skip
"""Functions that act on every entry alone and can be parts of a written-out activation."""

# What a unit may pass on its way, by what it does to it. Functions and methods go by their names,
# without the underscore of the in-place form.

ENTRYWISE = (
    *ACTIVATION_MODULES,
    *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.AlphaDropout, nn.FeatureAlphaDropout),
)
ENTRYWISE_NAMES = ACTIVATION_FUNCTIONS | ARITHMETIC | frozenset(
    ("dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout")
)  # fmt: skip
POOLS = tuple(
    getattr(nn, f"{kind}Pool{d}d")
    for kind in ("Max", "Avg", "AdaptiveMax", "AdaptiveAvg")
    for d in (1, 2, 3)
)
POOL_NAMES = frozenset(
    f"{kind}_pool{d}d" for kind in ("max", "avg", "adaptive_max", "adaptive_avg") for d in (1, 2, 3)
)
RESHAPES = (nn.Flatten, nn.Unflatten)
RESHAPE_NAMES = frozenset(
    ("flatten", "unflatten", "view", "reshape", "permute", "transpose", "squeeze", "unsqueeze",
     "movedim", "mean", "amax", "amin")
)  # fmt: skip
JOIN_NAMES = frozenset(("cat", "concat", "concatenate"))
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
LAYERS = (nn.Linear, *CONVOLUTIONS)


def _name(node: Node) -> str:
    """The name of the function or method that a node calls."""
    name = node.target if isinstance(node.target, str) else node.target.__name__
    return name.rstrip("_")


def _caller(node: Node) -> str:
    """The qualified name of the module whose forward calls it, '' for the model's own."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return stack[-1][0] if stack else ""


def _where(node: Node) -> str:
    """A node in words, for messages."""
    if node.op == "call_module":
        return f"module {node.target!r}"
    caller = _caller(node)
    return f"{_name(node)!r} in the forward of {caller!r}" if caller else f"{_name(node)!r}"


def check_model(model: nn.Module) -> None:
    """Raise `SiteError` unless this is a module that can be traced, not compiled or scripted."""
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        raise SiteError(f"got a {type(model).__name__}; pass the plain torch.nn.Module")
    if hasattr(model, "_orig_mod"):
        raise SiteError("the model is compiled; pass the module that torch.compile was given")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and every module's own mode again afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


class _Tracer(fx.Tracer):
    """Activation modules, layers and batch norms are single nodes, subclasses included."""

    def __init__(self, given: Mapping[str, object]) -> None:
        super().__init__()
        self.given = given

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*ACTIVATION_MODULES, *LAYERS, *NORMS)) or (
            super().is_leaf_module(m, module_qualified_name)
        )

    def create_args_for_root(
        self, root_fn: Callable, is_module: bool, concrete_args: object = None
    ) -> tuple[Callable, list]:
        """Only what is given, or has no default, is traced: `mask=None` is None."""
        names = _required(root_fn)
        if names is None:
            return super().create_args_for_root(root_fn, is_module, concrete_args)
        names = [n for n in inspect.signature(root_fn).parameters if n in {*names, *self.given}]
        named = {
            name: self.create_proxy("placeholder", name, (), {})
            if isinstance(self.given.get(name, _TENSOR), Tensor)
            else self.given[name]
            for name in names
        }
        by_name = _by_name(root_fn, names)
        first = [named.pop(name) for name in names if name not in by_name]
        return functools.partial(root_fn, **named), [self.root, *first]


_TENSOR = torch.empty(0)


def _parameters(forward: Callable) -> list[inspect.Parameter]:
    """The parameters of a forward, without self."""
    return list(inspect.signature(forward).parameters.values())[1:]


def _required(forward: Callable) -> list[str] | None:
    """The names of those that must be given, at least one; None if there is no telling."""
    plain = [p for p in _parameters(forward) if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    required = [p.name for p in plain if p.default is p.empty]
    if not plain or (not required and len(plain) < len(_parameters(forward))):
        return None
    return required or [plain[0].name]


def _by_name(forward: Callable, names: Sequence[str]) -> set[str]:
    """Those of `names` that go in by name: after one that is left out, or keywords only."""
    order = [p.name for p in _parameters(forward) if p.kind is not p.KEYWORD_ONLY]
    length = 0
    while length < min(len(names), len(order)) and names[length] == order[length]:
        length += 1
    return set(names[length:])


def named_inputs(model: nn.Module, data: object) -> Mapping[str, object]:
    """What a first batch gives by name: of a mapping, or of (mapping, targets), what it holds."""
    if not isinstance(data, Mapping):
        if isinstance(data, Tensor | tuple | Iterator) or not isinstance(data, Iterable):
            return {}
        data = next(iter(data), None)
    return _mapping_in(data) or {}


def _mapping_in(batch: object) -> Mapping | None:
    if isinstance(batch, tuple | list) and batch:
        batch = batch[0]
    return batch if isinstance(batch, Mapping) else None


def trace(model: nn.Module, given: Mapping[str, object] | None = None) -> fx.Graph:
    """The model's forward as a graph; `SiteError` for one that torch.fx cannot trace.

    Arguments with a default have that, but for those `given` by name: tensors are inputs then, and
    anything else is what it is.
    """
    try:
        return _Tracer(given or {}).trace(model)
    except Exception as error:
        raise SiteError(
            f"torch.fx cannot trace {type(model).__name__} ({error}); units can be "
            "followed only where the forward neither branches nor loops on its data "
            "(nn.TransformerEncoderLayer branches: write the block out, as a module of your own)"
        ) from error


def sites(model: nn.Module) -> list[str]:
    """The sites of a model, in the order of its forward pass.

    >>> sites(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    ['1']
    """
    check_model(model)
    return list(_site_nodes(trace(model), dict(model.named_modules())))


def is_clamp(name: str, bounds: Mapping[str, object]) -> bool:
    """Whether a clamp, with the bounds given, is a ReLU: from 0 up."""
    low, high = bounds.get("min"), bounds.get("max")
    zero = isinstance(low, int | float) and low == 0
    return zero and high is None and name in ("clamp", "clip", "clamp_min")


def clamp_bounds(args: Sequence, kwargs: Mapping[str, object]) -> dict[str, object]:
    """The bounds that a call of `clamp` was given, by their names."""
    return {**dict(zip(("min", "max"), args, strict=False)), **kwargs}


def _is_activation(node: Node, modules: Mapping[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return isinstance(modules[node.target], ACTIVATION_MODULES)
    if node.op not in ("call_function", "call_method"):
        return False
    name = _name(node)
    return name in ACTIVATION_FUNCTIONS or is_clamp(name, clamp_bounds(node.args[1:], node.kwargs))


CONSTANTS = frozenset(
    ("zeros_like", "ones_like", "full_like", "zeros", "ones", "full", "tensor", "new_zeros",
     "new_ones", "new_full", "new_tensor")
)  # fmt: skip
"""Functions whose tensors are made of no value, but of a shape."""

_SHAPES = frozenset(("getattr", "size", "dim", "numel", "len", "ndimension"))


class _Traced:
    """What a node's value is made of: numbers, parameters, or one value, entry by entry."""

    def __init__(self, graph: fx.Graph, modules: Mapping[str, nn.Module]) -> None:
        self.modules = modules
        self.numbers: set[Node] = set()
        self.weights: set[Node] = set()
        self.roots: dict[Node, Node] = {}
        self.parts: dict[Node, tuple[str, ...]] = {}  # the activations on the way from the root
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
            _name(node) in CONSTANTS | _SHAPES or (sources and self.numbers.issuperset(sources))
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
            return f"{_caller(node)}:{_name(node)}"
        data = [n for n in sources if n not in self.weights]
        dropout = node.op == "call_module" and isinstance(
            self.modules[node.target], (nn.Dropout, nn.Identity, nn.AlphaDropout)
        )
        named = node.op in ("call_function", "call_method") and _name(node) in ARITHMETIC
        roots = {self.roots.get(n, n) for n in data}
        given = len(data) > 1 and any(n.op == "placeholder" for n in roots)
        summed = given and _name(node) in ("add", "sub", "iadd", "isub")  # inputs are no units
        if (named or dropout) and len(roots) == 1 and not summed:
            (self.roots[node],) = roots
            self.parts[node] = parts = tuple(
                dict.fromkeys(part for n in data for part in self.parts.get(n, ()))
            )
            if parts and len(data) > 1:  # a formula of its own, by the name of its last part
                last = max(parts, key=list(self.sites).index)
                self.sites[last] = node
                self.absorbed |= set(parts) - {last}
        return ""


def _site_nodes(graph: fx.Graph, modules: Mapping[str, nn.Module]) -> dict[str, Node]:
    """Every site's name with its node, in the order of the forward.

    Of a function written out, as x·σ(x), it is the node that gives its value.
    """
    traced = _Traced(graph, modules)
    return {name: node for name, node in traced.sites.items() if name not in traced.absorbed}


class Batches:
    """The data as tuples of arguments, on the model's device, as often as asked."""

    def __init__(self, data: object, graph: fx.Graph, model: nn.Module) -> None:
        """`ValueError` for data that is no batch, and holds none, for the forward of this graph."""
        self.names = [str(n.target) for n in graph.nodes if n.op == "placeholder" and not n.args]
        self.n_inputs = max(1, len(self.names))
        self.by_name = _by_name(type(model).forward, self.names)
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        if isinstance(data, tuple) and len(data) != self.n_inputs:
            raise ValueError(
                f"data is a tuple of {len(data)}, which is one batch, but the model's forward "
                f"takes {self.n_inputs}; pass a list for several batches"
            )
        self.data = [data] if isinstance(data, Tensor | tuple | Mapping) else data
        if not isinstance(self.data, Iterable) or isinstance(self.data, Iterator):
            raise ValueError(
                f"data is a {type(data).__name__}; wanted a batch of inputs, or batches that can "
                "be walked more than once: a list or a DataLoader"
            )
        if next(iter(self), None) is None:
            raise ValueError("data holds no batch; without an example nothing can be measured")

    def __iter__(self) -> Iterator[tuple]:
        """A copy of each batch, cut to as many arguments as the forward requires."""
        for batch in self.data:
            items = self._items(batch)
            if len(items) < self.n_inputs or not all(
                isinstance(x, Tensor) for x in items[: self.n_inputs]
            ):
                got = ", ".join(type(x).__name__ for x in items)
                raise ValueError(
                    f"a batch holds ({got}); the model's forward takes {self.n_inputs} tensor"
                    f"{'s'[: self.n_inputs != 1]}"
                )
            yield tuple(x.to(self.device, copy=True) for x in items[: self.n_inputs])

    def _items(self, batch: object) -> tuple:
        named = _mapping_in(batch)
        if named is None:
            return tuple(batch) if isinstance(batch, tuple | list) else (batch,)
        if missing := [name for name in self.names if name not in named]:
            raise ValueError(
                f"a batch is a {type(named).__name__} of {', '.join(map(repr, named))}, which goes "
                f"in by name; the model's forward takes {', '.join(map(repr, self.names))}, and "
                f"{', '.join(map(repr, missing))} is not among them"
            )
        return tuple(named[name] for name in self.names)

    def arguments(self, batch: tuple) -> tuple[tuple, dict[str, Tensor]]:
        """A copy of a batch as the model's forward takes it: in order, and by name."""
        copies = [x.clone() for x in batch]
        named = dict(zip(self.names, copies, strict=False))
        named = {name: x for name, x in named.items() if name in self.by_name}
        return tuple(copies[: len(copies) - len(named)]), named


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
        self.sites = _site_nodes(graph, self.modules)
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
        return node.op in ("call_function", "call_method") and _name(node) in names

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
                f"the units of site {site!r} come from {_where(node)}, not from a Linear or "
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
    name = type(plan.at(node)).__name__ if node.op == "call_module" else _name(node)
    if not (plan.is_a(node, (*CONVOLUTIONS, *POOLS), POOL_NAMES)):
        return 1
    dimensions = next((d for d in (1, 2, 3) if plan.is_a(node, _OF_DIMENSIONS[d])), 0)
    return axes - 1 - (dimensions or int(name[-2]))


_OF_DIMENSIONS = {
    d: tuple(kind for kind in (*CONVOLUTIONS, *POOLS) if kind.__name__.endswith(f"{d}d"))
    for d in (1, 2, 3)
}


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
    reach = f"the units of site {site!r} reach {_where(node)}"
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


def rounding(dtype: torch.dtype, largest: float) -> float:
    """The default tolerance: what rounding may do to numbers of that size."""
    eps = torch.finfo(dtype).eps if dtype.is_floating_point else 0.0
    return min(100 * eps, 0.05) * max(1.0, largest)


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


def tensors(output: object) -> list[Tensor]:
    """Every tensor in an output, in one order: in tuples, lists, mappings, dataclasses, objects."""
    found: list[Tensor] = []
    _gather(output, found, set())
    return found


_NO_CONTAINERS = (str, bytes, int, float, complex, type, torch.dtype, torch.device, nn.Module)


def _gather(part: object, found: list[Tensor], above: set[int]) -> None:
    """Add the tensors of `part`; `above` are the objects that it is part of."""
    if isinstance(part, Tensor):
        found.append(part)
        return
    if part is None or isinstance(part, _NO_CONTAINERS) or callable(part) or id(part) in above:
        return
    if isinstance(part, Mapping):
        inside = list(part.values())
    elif isinstance(part, tuple | list):
        inside = list(part)
    else:
        inside = []
    seen = set(map(id, inside))
    inside += [value for value in _attributes(part) if id(value) not in seen]
    for value in inside:
        _gather(value, found, above | {id(part)})


def _attributes(part: object) -> Iterator[object]:
    """What an object holds, by its `__dict__` and its slots."""
    yield from getattr(part, "__dict__", {}).values()
    for kind in type(part).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__") and hasattr(part, slot):
                yield getattr(part, slot)


def outputs(model: nn.Module, answer: object) -> list[Tensor]:
    """The tensors of a model's answer, by which it is compared; `SiteError` where there is none."""
    found = [tensor for tensor in tensors(answer) if tensor.numel()]
    if not found:
        raise SiteError(
            f"{type(model).__name__} answers with a {type(answer).__name__} in which no tensor "
            "with an entry is found, so that nothing can be compared before and after; let its "
            "forward return tensors, or a tuple, list, dict or dataclass of them"
        )
    return found


def largest(t: Tensor) -> float:
    """The largest finite |t|, 0 where there is none: an infinite one would allow any difference."""
    size = (t if t.is_floating_point() or t.is_complex() else t.double()).abs()
    size = size[size.isfinite()]
    return float(size.max()) if size.numel() else 0.0


def compared(
    batches: Batches,
    before: Callable[..., list[Tensor]],
    after: Callable[..., list[Tensor]],
    tolerance: float | None,
    apart: Callable[[list[Tensor], list[Tensor]], float],
) -> tuple[float, float]:
    """How far outputs lie apart on the data, by `apart`, and how far they may.

    Each is given copies of its own: a forward may change its input. A tolerance of None means what
    rounding may do to the outputs of `before`.
    """
    most, allowed = 0.0, tolerance or 0.0
    for batch in batches:
        args, named = batches.arguments(batch)
        was = [t.clone() for t in before(*args, **named)]
        args, named = batches.arguments(batch)
        most = max(most, apart(was, after(*args, **named)))
        if tolerance is None:
            allowed = max(allowed, *(rounding(t.dtype, largest(t)) for t in was))
    return most, allowed


def difference(a: Tensor, b: Tensor) -> float:
    """The largest |a − b| of any entry, infinity where one is no number; the shapes are equal."""
    if a.is_complex() or b.is_complex():
        a, b = (torch.view_as_real(t.resolve_conj().to(torch.complex128)) for t in (a, b))
    gap = torch.where(a == b, 0.0, (a.cpu().double() - b.cpu().double()).abs().to(a.device))
    return float(gap.nan_to_num(nan=torch.inf).max()) if gap.numel() else 0.0
