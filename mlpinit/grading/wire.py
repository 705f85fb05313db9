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
MAX_BYTES = 64 * 2**20  # of one message


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
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise WireError(f"not a message: {error}") from None


def _pack(value: object, depth: int) -> object:
    if depth > MAX_DEPTH:
        return {"foreign": "a structure nested too deeply"}
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return _pack_tensor(value)
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
    return {"foreign": type(value).__name__[:200]}


def _pack_tensor(value: object) -> object:
    try:
        t = torch.as_tensor(value).detach().cpu().contiguous()
        dtype = str(t.dtype).removeprefix("torch.")
        data = t.reshape(-1).view(torch.uint8).numpy().tobytes() if t.numel() else b""
    except (TypeError, RuntimeError, ValueError):
        return {"foreign": f"{type(value).__name__} of dtype {getattr(value, 'dtype', '?')}"}
    if dtype not in DTYPES:
        return {"foreign": f"tensor of dtype {dtype}"}
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
    if not all(type(n) is int and 0 <= n < 2**31 for n in shape):
        raise WireError("a shape is a list of sizes")
    data = base64.b64decode(body["data"], validate=True)
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise WireError("the data do not fill the shape")
    if not data:
        return torch.zeros(shape, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype).view(shape).clone()
