"""What a module's forward was called with: what is data in it, and what is the same at every call.

Tensors are data, and so are objects that torch.fx knows nothing about, as a cache of keys and
values. Numbers, strings, None and the like are part of how the call is written.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

__all__ = ["Call", "split"]

_PLAIN = (type(None), bool, int, float, complex, str, bytes, slice, type(...), type)
_TORCH = (torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format)


class _Here:
    """Stands where data goes."""

    def __repr__(self) -> str:
        return "<data>"


HERE = _Here()


@dataclass(frozen=True)
class Call:
    """The arguments of a call, with `HERE` in the place of data."""

    args: tuple
    kwargs: dict

    def filled(self, data: Iterator) -> tuple[tuple, dict]:
        """The arguments with data in their places."""
        return _filled(self.args, data), _filled(self.kwargs, data)

    def names(self, forward: Callable) -> list[str]:
        """A name for each piece of data, after the parameters of the forward."""
        try:
            parameters = list(inspect.signature(forward).parameters.values())[1:]
        except (TypeError, ValueError):
            parameters = []
        order = [
            p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        first = [order[k] if k < len(order) else f"input_{k}" for k in range(len(self.args))]
        named = {**dict(zip(first, self.args, strict=True)), **self.kwargs}
        return [name for key, part in named.items() for name in _names(key, part)]


def split(args: tuple, kwargs: dict) -> tuple[Call, list]:
    """A call without its data, and the data in it, in one order."""
    data: list = []
    return Call(_emptied(args, data), _emptied(kwargs, data)), data


def _emptied(part: object, data: list) -> object:
    if type(part) in (tuple, list):
        return type(part)(_emptied(value, data) for value in part)
    if type(part) is dict:
        return {key: _emptied(value, data) for key, value in part.items()}
    if isinstance(part, (*_PLAIN, *_TORCH)):
        return part
    data.append(part)
    return HERE


def _filled(part: object, data: Iterator) -> object:
    if type(part) in (tuple, list):
        return type(part)(_filled(value, data) for value in part)
    if type(part) is dict:
        return {key: _filled(value, data) for key, value in part.items()}
    return next(data) if part is HERE else part


def _names(name: str, part: object) -> Iterator[str]:
    if type(part) in (tuple, list):
        for k, value in enumerate(part):
            yield from _names(f"{name}_{k}", value)
    elif type(part) is dict:
        for key, value in part.items():
            yield from _names(f"{name}_{key}", value)
    elif part is HERE:
        yield name
