"""The data that a model is run on: batches as arguments of its forward."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_map

from mlpinit.models.tracing import by_name, input_names, mapping_in, named_inputs

__all__ = ["Batches", "moved"]

_ANY = torch.empty(0)


class Batches:
    """The data as tuples of arguments, on the model's device, as often as asked."""

    def __init__(self, data: object, model: nn.Module) -> None:
        """`ValueError` for data that is no batch, and holds none, for the forward of this model."""
        given = named_inputs(model, data)
        names = input_names(model, given)
        self.numbers = {n: given[n] for n in names if not isinstance(given.get(n, _ANY), Tensor)}
        self.names = [name for name in names if name not in self.numbers]
        self.n_inputs = max(1, len(self.names))
        self.by_name = by_name(type(model).forward, self.names)
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
        named = mapping_in(batch)
        if named is None:
            return tuple(batch) if isinstance(batch, tuple | list) else (batch,)
        if missing := [name for name in self.names if name not in named]:
            raise ValueError(
                f"a batch is a {type(named).__name__} of {', '.join(map(repr, named))}, which goes "
                f"in by name; the model's forward takes {', '.join(map(repr, self.names))}, and "
                f"{', '.join(map(repr, missing))} is not among them"
            )
        return tuple(named[name] for name in self.names)

    def arguments(self, batch: tuple) -> tuple[tuple, dict[str, object]]:
        """A copy of a batch as the model's forward takes it: in order, and by name.

        What a first batch gives by name and is no tensor goes in with each.
        """
        copies = [x.clone() for x in batch]
        named = dict(zip(self.names, copies, strict=False))
        named = {name: x for name, x in named.items() if name in self.by_name}
        return tuple(copies[: len(copies) - len(named)]), {**named, **self.numbers}


def moved(batch: Any, device: torch.device | None) -> Any:
    """A batch of any kind on that device, or as it is where that is None."""
    if device is None:
        return batch
    if isinstance(batch, Tensor | PackedSequence):
        return batch.to(device)
    if isinstance(batch, Mapping):
        on_it = {key: moved(value, device) for key, value in batch.items()}
        return on_it if type(batch) is dict else _like(batch, on_it, device)
    if not isinstance(batch, nn.Module) and callable(getattr(batch, "to", None)):
        return batch.to(device)
    if type(batch) in (list, tuple):
        return type(batch)(moved(value, device) for value in batch)
    return tree_map(lambda x: x.to(device) if isinstance(x, Tensor) else x, batch)


def _like(batch: Mapping, on_it: dict, device: torch.device) -> Mapping:
    """A mapping of another class, moved by its own method where it has one."""
    if callable(getattr(batch, "to", None)):
        return batch.to(device)
    same = all(on_it[key] is value for key, value in batch.items())
    return batch if same else on_it
