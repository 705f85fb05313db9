"""One site under watch: the shape of its activations, its ring, its windows, its report."""

from __future__ import annotations

import torch
from torch import Tensor

from mlpinit.models.accumulation import Ring
from mlpinit.models.chunking import Scratch
from mlpinit.models.lifetimes import Windows
from mlpinit.models.observer import Observation
from mlpinit.models.padding import Given, Kept
from mlpinit.models.report import SiteReport
from mlpinit.models.verdicts import verdicts

__all__ = ["Site", "cannot"]


def cannot(observed: Observation) -> str:
    """Why these activations cannot be counted, or ""."""
    h = observed.h
    if not isinstance(h, Tensor) or not h.is_floating_point():
        return "its activations are no floating-point numbers"
    if h.is_nested or h.layout != torch.strided:
        return "its activations are a nested or a sparse tensor"
    if not h.ndim:
        return "it is applied to a single number: there is no axis of units"
    if observed.z is not None and observed.z.shape != h.shape:
        return f"it makes {tuple(h.shape)} of {tuple(observed.z.shape)}: not one number of each"
    return ""


class Site:
    """Running figures of one site.

    - `axis`: that of the units, from the front, as the first forward pass showed it
    - `batch_axis`: that of the examples, where the units are the last of three axes or more
    - `sure`: whether the units were followed to it, and not found by the shape
    - `counted`: examples that the present forward pass has shown here
    - `swapped`: whether time comes before the batch, None where that was not seen
    - `unmasked`: applications whose padding could not be told
    """

    def __init__(
        self,
        name: str,
        observed: Observation,
        axis: int,
        *,
        batch_axis: int,
        window: int,
        sizes: bool,
        scratch: Scratch,
        sure: bool = True,
    ) -> None:
        """Set up for activations like those of `observed`."""
        h = observed.h
        self.name, self.note, self.skipped = name, observed.note, 0
        self.batch_axis, self.counted = batch_axis, 0
        self.swapped: bool | None = None
        self.sure = sure
        self.unmasked = 0
        self.from_end = h.ndim - axis
        self.planes = self.from_end > 1
        self.meta = h.device.type == "meta"
        self.key, self.settings, self.probes = observed.key, 0, None
        with torch.inference_mode(False):
            self.kind = observed.kind()
            self.ring = Ring(
                self.kind,
                h,
                units=h.size(axis) if h.ndim else 1,
                planes=self.planes,
                sizes=sizes,
                sees_z=observed.z is not None,
                scratch=scratch,
            )
            self.windows = Windows(self.ring, window)

    def nbytes(self) -> int:
        """Bytes held."""
        return self.ring.nbytes() + self.windows.nbytes()

    @property
    def empty(self) -> bool:
        """Whether no row has been seen."""
        return self.ring.fresh

    def takes(self, observed: Observation) -> bool:
        """Whether its function is the same, or the same with other settings, which are taken over.

        Rows that were counted keep the slopes that they had.
        """
        kind = observed.kind()
        if kind is self.kind:  # written in another way
            self.key = observed.key
            return True
        like = ("name", "steps", "squares", "from_h", "valley", "signed", "pure")
        if any(getattr(kind, name) != getattr(self.kind, name) for name in like):
            return False
        if (kind.slope is None, kind.f is None) != (self.kind.slope is None, self.kind.f is None):
            return False
        self.ring.become(kind)
        self.settings += 1
        self.kind, self.key = kind, observed.key
        return True

    def _learns(self, observed: Observation) -> bool:
        """Whether an impure function has changed by more than 1% since it was last measured."""
        if self.kind.pure or observed.shaped or not (self.kind.left or self.kind.right):
            return False
        now = observed.probes()
        before, self.probes = self.probes, now if self.probes is None else self.probes
        if now is None or before is None or torch.allclose(now, before, rtol=0.01, atol=1e-3):
            return False
        self.probes = now
        return True

    def look(
        self,
        observed: Observation,
        step: int,
        given: Given,
        kept: Kept | None = None,
        *,
        again: bool = False,
        unrolled: bool = False,
    ) -> None:
        """Count one application. Activations of another width than the first are passed over.

        `given`: the examples of the forward pass; `kept`: which of their rows count, None for all.
        `again`: it is a further one of the same forward pass. Its rows are more of the same
        examples, as those of a recurrent cell's next time step are.
        `unrolled`: the same function was applied before in this pass, maybe at another time step.
        """
        h = observed.h
        if self.meta or not h.numel():
            return
        if h.ndim and (h.ndim < self.from_end or h.size(-self.from_end) != self.ring.units):
            self.skipped += 1
            return
        keep = None if kept is None else self._kept(h, kept, unrolled)
        examples = self._examples(observed, given)
        if keep is not None:
            rows = int(keep.sum())
            if not rows:
                return
            examples = min(examples, kept.examples, rows)
        counted = self.counted if again else 0
        self.counted = max(examples, counted)
        ring = self.ring
        if not self.kind.pure and self._learns(observed):
            self.takes(observed)
        slopes = observed.slopes
        if slopes is not None:
            slopes = self._flat(slopes, keep)
        elif observed.shaped and observed.z is not None and self.kind.slope is not None:
            slopes = self.kind.slope(observed.z.detach(), h.detach(), observed.f, None)
            slopes = self._flat(slopes, keep)
        h = self._flat(h.detach(), keep)
        z = h if observed.z is None else self._flat(observed.z.detach(), keep)
        windows = self.windows
        more = self.counted - counted
        ring.add(z, h, observed.f, slopes, examples=more, step=step, flush=windows.flush)
        windows.advance()

    def _examples(self, observed: Observation, given: Given) -> int:
        h = observed.h
        if observed.examples is not None:
            return given.of_sequences(observed.examples)
        if h.ndim <= self.from_end:
            return 1
        own = h.size(self.batch_axis if h.ndim > 2 and self.from_end == 1 else 0)
        return given.of(own, h.numel() // self.ring.units, h.shape[: -self.from_end])

    def _kept(self, h: Tensor, kept: Kept, unrolled: bool) -> Tensor | None:
        """Which rows count, of h's shape without the units; None where that cannot be told."""
        sizes = (*h.shape[: h.ndim - self.from_end], *h.shape[h.ndim - self.from_end + 1 :])
        if kept.mask.ndim == 2 and len(sizes) > 1 and sizes[0] != sizes[1]:
            self.swapped = sizes[:2] != kept.mask.shape
        one_each = kept.mask.ndim == 2 and len(sizes) == 1 and sizes[0] not in kept.flattened
        rows = None
        if not (one_each and unrolled):  # which time step it is, nothing tells
            rows = kept.rows(sizes, swapped=self.swapped)
        if rows is None:
            self.unmasked += 1
            return None
        return None if bool(rows.all()) else rows.to(h.device)

    def quick(self, z: Tensor, h: Tensor, step: int, given: Given) -> bool:
        """`look` for rows that need no looking at: those that can wait with the last ones."""
        ring = self.ring
        waiting = ring.waiting
        if not waiting.fits(z, h):
            return False
        rows, examples = waiting.shape[0], given.examples
        self.counted = rows if examples is None or rows < examples else examples
        waiting.put(ring, z, h, self.counted, step)
        self.windows.advance()
        return True

    def _flat(self, t: Tensor, keep: Tensor | None = None) -> Tensor:
        """(rows, units), or (N, units, positions); of the rows that `keep` says."""
        if t.device != self.ring.device:
            t = t.to(self.ring.device)
        if keep is not None:
            rows = t.movedim(-self.from_end, -1)[keep]
            return rows.T.unsqueeze(0) if self.planes else rows
        if not self.planes:
            return t if t.ndim == 2 else t.reshape(-1, self.ring.units)
        if t.ndim == self.from_end:
            t = t.unsqueeze(0)
        t = t.flatten(-self.from_end + 1)
        return t if t.ndim == 3 else t.flatten(0, -3)

    def rest(self) -> None:
        """Nothing more comes: count what waits, and give the working memory back."""
        self.windows.finish()
        self.ring.rest()

    def report(self, name: str, *, enough: int, data_set: bool) -> SiteReport:
        """What is known of it so far, under that name."""
        windows, ring, kind = self.windows, self.ring, self.kind
        windows.finish()
        whole = ring.figures(windows.everything())
        recent = whole if data_set else ring.figures(windows.recent())
        notes = [self.note] if self.note else []
        if self.skipped:
            notes.append(f"{self.skipped:,} applications had another width than {ring.units}")
        if self.unmasked:
            notes.append(
                "its rows are not laid out as those of the mask: in "
                f"{self.unmasked:,} applications all of them were counted"
            )
        if self.settings:
            notes.append(
                f"its function changed {self.settings:,} times; each row was judged by that of its "
                "step, and the verdicts are by the last"
            )
        changes = {}
        if not data_set:
            changes = {**windows.lives.changes(), "history": windows.history()}
            changes["since"] = windows.lives.since.cpu().clone() if windows.events else None
        return SiteReport(
            name=name,
            activation=kind.name,
            units=ring.units,
            max_slope=kind.max_slope,
            verdicts=verdicts(recent, kind, 1 if data_set else enough),
            recent=recent,
            whole=whole,
            notes=tuple(notes),
            **changes,
        )
