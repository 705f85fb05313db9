"""The activation functions that torch knows, and what a unit may pass on its way, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

__all__ = [
    "ACTIVATION_FUNCTIONS",
    "ACTIVATION_MODULES",
    "ARITHMETIC",
    "BENDS",
    "CASTS",
    "CONSTANTS",
    "CONVOLUTIONS",
    "ENTRYWISE",
    "ENTRYWISE_NAMES",
    "JOIN_NAMES",
    "LAYERS",
    "NORMS",
    "POOLS",
    "POOL_NAMES",
    "PRODUCT_NAMES",
    "RESHAPES",
    "RESHAPE_NAMES",
    "SCALES",
    "SPLIT_NAMES",
    "clamp_bounds",
    "is_clamp",
]


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
     "dropout", "feature_dropout", "alpha_dropout", "and", "or", "xor", "invert", "bitwise_and",
     "bitwise_or", "bitwise_not", "ndtr", "log_ndtr")
)  # fmt: skip
"""Functions that act on every entry alone and can be parts of a written-out activation."""

BENDS = frozenset(
    ("lt", "le", "gt", "ge", "less", "greater", "less_equal", "greater_equal", "where",
     "masked_fill", "put_where", "heaviside", "sign", "abs", "absolute", "maximum", "minimum",
     "fmax", "fmin", "max", "min", "clamp", "clip", "clamp_min", "clamp_max", "sqrt", "rsqrt",
     "exp", "exp2", "expm1", "log1p", "logaddexp", "erf", "erfc", "ndtr", "log_ndtr", "atan",
     "arctan", "sinh", "cosh", "asinh", "hypot")
)  # fmt: skip
"""Those of them that make an activation where a value meets itself again: x·(x > 0), x·Φ(x)."""

SCALES = frozenset(
    ("mul", "rmul", "imul", "multiply", "div", "truediv", "itruediv", "true_divide", "divide")
)
"""Functions by which a written-out activation is scaled, where the other argument is a number."""

CASTS = frozenset(("to", "type", "type_as"))
"""Functions whose further arguments lend no values."""

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
SPLIT_NAMES = frozenset(("chunk", "split", "tensor_split", "getitem"))
PRODUCT_NAMES = frozenset(("mul", "imul", "rmul", "multiply"))
"""Of two layers' outputs: a gate and what it lets through, of which unit i goes with unit i."""
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
LAYERS = (nn.Linear, *CONVOLUTIONS)


CONSTANTS = frozenset(
    ("zeros_like", "ones_like", "full_like", "zeros", "ones", "full", "tensor", "new_zeros",
     "new_ones", "new_full", "new_tensor")
)  # fmt: skip
"""Functions whose tensors are made of no value, but of a shape."""


def is_clamp(name: str, bounds: Mapping[str, object]) -> bool:
    """Whether a clamp, with the bounds given, is a ReLU: from 0 up."""
    low, high = bounds.get("min"), bounds.get("max")
    zero = isinstance(low, int | float) and low == 0
    return zero and high is None and name in ("clamp", "clip", "clamp_min")


def clamp_bounds(args: Sequence, kwargs: Mapping[str, object]) -> dict[str, object]:
    """The bounds that a call of `clamp` was given, by their names."""
    return {**dict(zip(("min", "max"), args, strict=False)), **kwargs}
