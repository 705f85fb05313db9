"""What a forward pass was given: how many examples, and which of their positions are padding."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

__all__ = ["Given", "Kept", "Padding", "checked"]


class Given:
    """The examples of a forward pass, as its first tensor has them.

    - `examples`: how many, or None where no tensor tells
    - `lead`: the first two sizes of that tensor
    """

    __slots__ = ("examples", "lead")

    def __init__(self, args: tuple, kwargs: Mapping[str, Any], batch_axis: int) -> None:
        """Of a forward pass on these arguments."""
        self.examples, self.lead = None, ()
        for value in (*args, *kwargs.values()) if kwargs else args:
            first = _first(value)
            if first is not None:
                self.lead = first.shape[:2]
                self.examples = self.lead[batch_axis if len(self.lead) > batch_axis else 0]
                return
            if isinstance(value, PackedSequence):
                self.examples = int(value.batch_sizes[0])
                return

    def of(self, own: int, rows: int, lead: tuple[int, ...]) -> int:
        """The examples of a site that shows `own` along its batch axis; `lead`: its sizes.

        The positions, windows and routed tokens of an example are no examples: where the site's
        axis is longer than the batch, or another of its axes is the batch, it is the batch.
        """
        examples = self.examples
        if examples is None or (own < examples and examples not in lead):
            return own
        return min(examples, rows)

    def of_sequences(self, own: int) -> int:
        """The same for a recurrent layer, which says itself where its sequences lie."""
        if self.examples is None or own in self.lead:
            return own
        return min(own, self.examples)


def _first(value: object) -> Tensor | None:
    if isinstance(value, Tensor):
        return value if value.ndim and not value.is_nested else None
    if isinstance(value, Mapping):
        return next((v for v in map(_first, value.values()) if v is not None), None)
    return None


def checked(mask: object, args: tuple, kwargs: Mapping[str, Any], batch_axis: int) -> Tensor:
    """`mask`, if it is one for a forward pass on these arguments.

    Raises `TypeError` for what is no bool tensor, `ValueError` for another shape.
    """
    wanted = "wanted a bool tensor (batch,) or (batch, time), True where a row counts"
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        came = f"a {mask.dtype} tensor" if isinstance(mask, Tensor) else f"a {type(mask).__name__}"
        raise TypeError(f"mask gave {came}; {wanted}, as in mask=lambda batch: batch != 0")
    given = Given(args, kwargs, batch_axis)
    tensors = [t for t in map(_first, (*args, *kwargs.values())) if t is not None]
    shapes = [tuple(t.shape) for t in tensors]
    right = mask.ndim in (1, 2) and given.examples in (None, mask.size(0))
    if right and mask.ndim == 2 and shapes:  # of images nobody knows what their positions are
        right = any(_has_time(shape, mask.size(1), batch_axis) for shape in shapes)
    if not right:
        came = ", ".join(map(str, shapes)) or "no tensors"
        raise ValueError(
            f"mask gave shape {tuple(mask.shape)} for a batch of {came}; {wanted}"
            + (", and batch_axis=1 says that the batch is the second axis" if batch_axis else "")
        )
    return mask


def _has_time(shape: tuple[int, ...], time: int, batch_axis: int) -> bool:
    if len(shape) > 3:
        return True
    others = shape[:1] + shape[2:] if batch_axis and len(shape) > 1 else shape[1:]
    return time in others


class Kept:
    """The rows of one forward pass that count.

    - `mask`: (batch,) or (batch, time) bool
    - `examples`: how many examples have a row that counts
    - `flattened`: rows of a tensor (rows, units) → the sizes that it was flattened from
    """

    def __init__(self, mask: Tensor, batch_axis: int) -> None:
        """By this mask."""
        self.mask, self.batch_axis = mask, batch_axis
        self.some = mask if mask.ndim == 1 else mask.any(1)  # (batch,)
        self.examples = int(self.some.sum())
        self.flattened: dict[int, tuple[int, ...]] = {}

    def flatten(self, before: Tensor, after: Tensor) -> None:
        """The model made `after` of `before`, with the same entries in the same order."""
        if after.ndim == 2 and before.ndim > 2 and before.size(-1) == after.size(1):
            self.flattened[after.size(0)] = tuple(before.shape[:-1])

    def rows(self, sizes: tuple[int, ...], *, swapped: bool | None = None) -> Tensor | None:
        """Which rows of a tensor count whose sizes but for the units are these; None: not known.

        `swapped`: whether the site is known to have its axes the other way round.
        """
        mask, n = self.mask, len(sizes)
        if swapped is None:
            swapped = self.batch_axis == 1
        if n == 1 and sizes[0] in self.flattened:
            found = self.rows(self.flattened[sizes[0]], swapped=swapped)
            return None if found is None else found.flatten()
        if mask.ndim == 2 and n > 1:
            if sizes[:2] != mask.shape or (swapped and sizes[0] == sizes[1]):
                mask = mask.mT
            if sizes[:2] != mask.shape:
                return None
            return mask.view(*mask.shape, *[1] * (n - 2)).expand(sizes)
        at = 1 if self.batch_axis == 1 and n > 1 else 0
        if not n or sizes[at] != len(self.some):
            return None
        return self.some.view(*[1] * at, -1, *[1] * (n - at - 1)).expand(sizes)


class Padding:
    """Which rows of each forward pass count, by the user's function or the model's own mask.

    - `left`, `all`: rows of the masks that were left out, and all that there were
    - `faults`: why a mask could not be used → in how many forward passes
    - `told`: the mask of what is run now, where it is known before the forward pass
    """

    def __init__(
        self, mask: Callable[[Any], Tensor] | bool | None, model: nn.Module, batch_axis: int
    ) -> None:
        """`mask`: a function of the batch, None for the model's own mask, False for none."""
        if not (mask is None or mask is False or callable(mask)):
            raise TypeError(
                f"mask is {mask!r}; wanted a function of the batch, which gives a bool tensor "
                "(batch,) or (batch, time), True where a row counts; False counts every row"
            )
        self.mask, self.batch_axis = mask, batch_axis
        self.names = _positional(model)
        own = self.names.index(OWN) if OWN in self.names else len(self.names)
        self.place = own  # among the arguments that are given in order
        config = getattr(model, "config", None)
        self.of_two = getattr(config, "is_encoder_decoder", False) is True  # sequences
        self.left = self.all = 0
        self.faults: Counter[str] = Counter()
        self.told: Tensor | None = None

    def of(self, args: tuple, kwargs: Mapping[str, Any]) -> Kept | None:
        """The rows that count in a pass on these arguments, None if they all do."""
        if self.mask is False:
            return None
        try:
            mask = self._own(args, kwargs) if self.mask is None else self._asked(args, kwargs)
            return None if mask is None else self._kept(mask)
        except Exception as error:  # the model's forward goes on
            first = str(error).strip().partition("\n")[0]
            self.faults[f"{type(error).__name__}: {first}"] += 1
            return None

    def _kept(self, mask: Tensor) -> Kept | None:
        n = int(mask.sum())
        if self.mask is None and self.of_two and n < mask.numel():
            self.faults[_OF_TWO] += 1
            return None
        self.all += mask.numel()
        self.left += mask.numel() - n
        return None if n == mask.numel() else Kept(mask, self.batch_axis)

    def _own(self, args: tuple, kwargs: Mapping[str, Any]) -> Tensor | None:
        """The `attention_mask` that the model is given, where it says 0 or 1 of each position."""
        if kwargs and OWN in kwargs:
            mask = kwargs[OWN]
        elif len(args) > self.place:
            mask = args[self.place]
        elif args and isinstance(args[0], Mapping):
            mask = args[0].get(OWN)
        else:
            return None
        if not isinstance(mask, Tensor) or mask.ndim != 2 or mask.device.type == "meta":
            return None
        kept = mask != 0
        return kept if bool((mask == kept).all()) else None

    def _asked(self, args: tuple, kwargs: Mapping[str, Any]) -> Tensor:
        if self.told is not None:
            return self.told
        return checked(self.mask(self._batch(args, kwargs)), args, kwargs, self.batch_axis)

    def _batch(self, args: tuple, kwargs: Mapping[str, Any]) -> Any:
        """The one argument that the forward was given, or all of them by their names."""
        if len(args) == 1 and not kwargs:
            return args[0]
        return {**dict(zip(self.names, args, strict=False)), **kwargs}

    def notes(self) -> Iterator[str]:
        """What is to be said of the rows that were left out."""
        if self.left:
            where = f"where {OWN} is 0; mask=False counts them" if self.mask is None else "by mask"
            yield f"{self.left:,} of {self.all:,} rows of the input were left out, {where}"
        for why, passes in self.faults.items():
            yield f"{passes:,} forward passes were counted whole, without their mask: {why}"


OWN = "attention_mask"
"""The argument by which models are told of padding."""

_OF_TWO = f"{OWN} is the encoder's, and the decoder's rows may look like them; mask= tells"


def _positional(model: nn.Module) -> list[str]:
    """The names of the arguments that the model's forward takes in order."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.kind in kinds]
