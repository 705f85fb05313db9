"""Whether two models answer alike: every tensor in an output, and what rounding may do to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from mlpinit.models.batches import Batches
from mlpinit.models.tracing import SiteError

__all__ = ["compared", "difference", "largest", "outputs", "rounding", "tensors"]


def rounding(dtype: torch.dtype, largest: float) -> float:
    """The default tolerance: what rounding may do to numbers of that size."""
    eps = torch.finfo(dtype).eps if dtype.is_floating_point else 0.0
    return min(100 * eps, 0.05) * max(1.0, largest)


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
