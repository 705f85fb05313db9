"""One site under watch: the shape of its activations, its ring, its windows, its report."""

from __future__ import annotations

import torch
from torch import Tensor

from mlpinit.watch.eyes import Sight
from mlpinit.watch.report import SiteReport
from mlpinit.watch.ring import Ring
from mlpinit.watch.verdicts import verdicts
from mlpinit.watch.windows import Windows
from mlpinit.watch.work import Scratch

__all__ = ["Site", "cannot"]


def cannot(sight: Sight) -> str:
    """Why these activations cannot be counted, or ""."""
    h = sight.h
    if not isinstance(h, Tensor) or not h.is_floating_point():
        return "its activations are no floating-point numbers"
    if h.is_nested or h.layout != torch.strided:
        return "its activations are a nested or a sparse tensor"
    if not h.ndim:
        return "it is applied to a single number: there is no axis of units"
    if sight.z is not None and sight.z.shape != h.shape:
        return f"it makes {tuple(h.shape)} of {tuple(sight.z.shape)}: not one number of each"
    return ""


class Site:
    """Running figures of one site.

    - `axis`: that of the units, from the front, as the first forward pass showed it
    - `batch_axis`: that of the examples, where the units are the last of three axes or more
    - `counted`: examples that the present forward pass has shown here
    """

    def __init__(
        self,
        name: str,
        sight: Sight,
        axis: int,
        *,
        batch_axis: int,
        window: int,
        sizes: bool,
        scratch: Scratch,
    ) -> None:
        """Set up for activations like those of `sight`."""
        h = sight.h
        self.name, self.note, self.skipped = name, sight.note, 0
        self.batch_axis, self.counted = batch_axis, 0
        self.from_end = h.ndim - axis
        self.planes = self.from_end > 1
        self.meta = h.device.type == "meta"
        self.key, self.settings, self.probes = sight.key, 0, None
        with torch.inference_mode(False):
            self.kind = sight.kind()
            self.ring = Ring(
                self.kind,
                h,
                units=h.size(axis) if h.ndim else 1,
                planes=self.planes,
                sizes=sizes,
                sees_z=sight.z is not None,
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

    def takes(self, sight: Sight) -> bool:
        """Whether its function is the same, or the same with other settings, which are taken over.

        Rows that were counted keep the slopes that they had.
        """
        kind = sight.kind()
        if kind is self.kind:  # written in another way
            self.key = sight.key
            return True
        like = ("name", "steps", "squares", "from_h", "valley", "signed", "pure")
        if any(getattr(kind, name) != getattr(self.kind, name) for name in like):
            return False
        if (kind.slope is None, kind.f is None) != (self.kind.slope is None, self.kind.f is None):
            return False
        self.ring.become(kind)
        self.settings += 1
        self.kind, self.key = kind, sight.key
        return True

    def _learns(self, sight: Sight) -> bool:
        """Whether an impure function has changed by more than 1% since it was last measured."""
        if self.kind.pure or sight.shaped or not (self.kind.left or self.kind.right):
            return False
        now = sight.probes()
        before, self.probes = self.probes, now if self.probes is None else self.probes
        if now is None or before is None or torch.allclose(now, before, rtol=0.01, atol=1e-3):
            return False
        self.probes = now
        return True

    def look(self, sight: Sight, step: int, *, again: bool = False) -> None:
        """Count one application. Activations of another width than the first are passed over.

        `again`: it is a further one of the same forward pass. Its rows are more of the same
        examples, as those of a recurrent cell's next time step are.
        """
        h = sight.h
        if self.meta or not h.numel():
            return
        if h.ndim and (h.ndim < self.from_end or h.size(-self.from_end) != self.ring.units):
            self.skipped += 1
            return
        examples = self._examples(h) if sight.examples is None else sight.examples
        counted = self.counted if again else 0
        self.counted = max(examples, counted)
        ring = self.ring
        if not self.kind.pure and self._learns(sight):
            self.takes(sight)
        slopes = None
        if sight.shaped and sight.z is not None and self.kind.slope is not None:
            slopes = self._flat(self.kind.slope(sight.z.detach(), h.detach(), sight.f, None))
        h = self._flat(h.detach())
        z = h if sight.z is None else self._flat(sight.z.detach())
        windows = self.windows
        more = self.counted - counted
        ring.add(z, h, sight.f, slopes, examples=more, step=step, flush=windows.flush)
        windows.advance()

    def _examples(self, h: Tensor) -> int:
        if h.ndim <= self.from_end:
            return 1
        return h.size(self.batch_axis if h.ndim > 2 and self.from_end == 1 else 0)

    def quick(self, z: Tensor, h: Tensor, step: int) -> bool:
        """`look` for rows that need no looking at: those that can wait with the last ones."""
        ring = self.ring
        waiting = ring.waiting
        if not waiting.fits(z, h):
            return False
        self.counted = waiting.shape[0]
        waiting.put(ring, z, h, self.counted, step)
        self.windows.advance()
        return True

    def _flat(self, t: Tensor) -> Tensor:
        """(rows, units), or (N, units, positions)."""
        if t.device != self.ring.device:
            t = t.to(self.ring.device)
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
        if self.settings:
            notes.append(
                f"its function changed {self.settings:,} times; each row was judged by that of its "
                "step, and the verdicts are by the last"
            )
        changes = {}
        if not data_set:
            names = ("births", "deaths", "revivals")
            changes = {name: getattr(windows, name).cpu().clone() for name in names}
            changes["history"] = windows.history()
            changes["since"] = windows.since.cpu().clone() if windows.events else None
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
