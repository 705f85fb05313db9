"""The format in which inputs and answers travel between processes: JSON, nothing that executes.

Numbers, text, lists, tuples, dicts and tensors go over; anything else goes over as its type's name
and is judged as what it is: not an answer. Decoding trusts nothing: kinds, dtypes, shapes and
sizes are checked, and what does not fit raises `WireError`.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mlpinit.grading.job import MAX_BYTES

__all__ = ["Foreign", "WireError", "decode", "encode"]

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
    )
}
MAX_DEPTH = 12
MAX_TEXT = 20_000
MAX_BITS = 4096  # of a whole number; Python reads none of more than 4300 digits
MAX_AXES = 16


class WireError(ValueError):
    """A message that is not in the format."""


@dataclass(frozen=True)
class Foreign:
    """Stands for a value of a type that does not travel."""

    type_name: str


def encode(value: object) -> str:
    """The value as one line of JSON."""
    return json.dumps(_pack(value, 0), separators=(",", ":"))


def decode(line: str | bytes) -> object:
    """The value of one line, or `WireError`."""
    if len(line) > MAX_BYTES:
        raise WireError(f"a message of {len(line)} bytes; the most is {MAX_BYTES}")
    try:
        return _unpack(json.loads(line), 0)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError, RuntimeError) as error:
        raise WireError(f"not a message: {error}") from None


def _pack(value: object, depth: int) -> object:
    if depth > MAX_DEPTH:
        return _foreign("a structure nested too deeply")
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        try:
            t = _of_torch(value) if isinstance(value, torch.Tensor) else _of_numpy(value)
            return t if isinstance(t, dict) else _pack_tensor(t)
        except (TypeError, RuntimeError, ValueError):
            return _foreign(f"{type(value).__name__} of dtype {getattr(value, 'dtype', '?')}")
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > MAX_BITS:
        return _foreign(f"whole number of {value.bit_length()} bits")
    if value is None or isinstance(value, bool | int | float):
        return {"plain": value}
    if isinstance(value, str):
        return {"plain": value[:MAX_TEXT]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_pack(v, depth + 1) for v in value]}
    if isinstance(value, dict):
        pairs = [[_pack(k, depth + 1), _pack(v, depth + 1)] for k, v in value.items()]
        return {"dict": pairs}
    return _foreign(type(value).__name__)


def _foreign(name: str) -> dict[str, str]:
    return {"foreign": name[:200]}


def _of_torch(value: Tensor) -> Tensor | dict[str, str]:
    """The numbers of a tensor as they lie in memory, or what it is if it holds none that do."""
    with torch._C.DisableTorchFunctionSubclass():  # what a subclass makes of these calls
        if torch._C._functorch.is_functorch_wrapped_tensor(value):
            return _foreign("tensor from within torch.func, which is over")
        value = value.detach()
        if value.is_meta:
            return _foreign("meta tensor, which has a shape but no numbers")
        if value.is_quantized:
            return _foreign("quantized tensor")
        if value.is_nested or value.layout != torch.strided:
            kind = "nested" if value.is_nested else f"sparse ({value.layout})"
            return _foreign(f"tensor that is {kind}, where a dense one is wanted")
        t = value.as_subclass(Tensor).cpu().resolve_conj().resolve_neg().contiguous()
        return _whole(t)


def _of_numpy(value: np.ndarray | np.generic) -> Tensor | dict[str, str]:
    """An array's or a NumPy number's values, whatever their order in memory and their width."""
    if np.ma.is_masked(value):
        return _foreign("masked array, some of whose entries are missing")
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        return _foreign(f"NumPy array of dtype {array.dtype}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)  # torch has none that is wider
    # A copy in the machine's own order of bytes; flipped and read-only ones are not torch's.
    array = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    return _whole(torch.from_numpy(array))


def _whole(t: Tensor) -> Tensor:
    """Unsigned whole numbers as int64, which travels; those beyond it raise `ValueError`."""
    if t.dtype == torch.uint64 and (t.view(torch.int64) < 0).any():
        raise ValueError("too large for int64")
    return t.to(torch.int64) if t.dtype in (torch.uint16, torch.uint32, torch.uint64) else t


def _pack_tensor(t: Tensor) -> dict[str, object]:
    dtype = str(t.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        return _foreign(f"tensor of dtype {dtype}")
    data = t.reshape(-1).view(torch.uint8).numpy().tobytes() if t.numel() else b""
    encoded = base64.b64encode(data).decode("ascii")
    return {"tensor": {"dtype": dtype, "shape": list(t.shape), "data": encoded}}


def _unpack(node: object, depth: int) -> object:
    if depth > MAX_DEPTH or not isinstance(node, dict) or len(node) != 1:
        raise WireError("a value is an object with one key")
    ((kind, body),) = node.items()
    if kind == "plain" and (body is None or isinstance(body, bool | int | float | str)):
        return body
    if kind in ("list", "tuple") and isinstance(body, list):
        values = [_unpack(v, depth + 1) for v in body]
        return values if kind == "list" else tuple(values)
    if kind == "dict" and isinstance(body, list):
        return {_unpack(k, depth + 1): _unpack(v, depth + 1) for k, v in body}
    if kind == "foreign" and isinstance(body, str):
        return Foreign(body)
    if kind == "tensor" and isinstance(body, dict):
        return _unpack_tensor(body)
    raise WireError(f"no such kind of value: {str(kind)[:50]}")


def _unpack_tensor(body: dict) -> Tensor:
    dtype, shape = DTYPES[body["dtype"]], body["shape"]
    if not isinstance(shape, list) or len(shape) > MAX_AXES:
        raise WireError(f"a shape is a list of at most {MAX_AXES} sizes")
    if not all(type(n) is int and 0 <= n < 2**31 for n in shape):
        raise WireError("a shape is a list of sizes")
    if math.prod(n for n in shape if n) >= 2**48:  # beside a 0: torch multiplies them all the same
        raise WireError("a shape is too large")
    data = base64.b64decode(body["data"], validate=True)
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise WireError("the data do not fill the shape")
    if not data:
        return torch.zeros(shape, dtype=dtype)
    if dtype == torch.bool:  # a byte that is neither 0 nor 1 would be neither true nor false
        return torch.frombuffer(bytearray(data), dtype=torch.uint8).view(shape) != 0
    return torch.frombuffer(bytearray(data), dtype=dtype).view(shape).clone()
