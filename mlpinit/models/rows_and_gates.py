"""What a watch sees besides units: the rows of attention, and the gates of recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from mlpinit.models import attention, gates
from mlpinit.models.attention import Attention, AttentionReport
from mlpinit.models.gates import GateReport, Gates

__all__ = ["RowsAndGates"]


class RowsAndGates:
    """Running figures of every attention and every gate that a model's forward calls.

    - `notes`: site → why it could not be looked into
    """

    def __init__(self, window: int) -> None:
        """`window`: examples in a window, as the watch's."""
        self.window = window
        self.attention: dict[str, Attention] = {}
        self.gates: dict[tuple[str, str], Gates] = {}
        self.notes: dict[str, str] = {}

    def attends(self, name: str, func: Callable, args: tuple, kwargs: Mapping, step: int) -> None:
        """Count one call of an attention function."""
        with torch.no_grad():
            call = attention.called(func, args, kwargs)
            if call.q.device.type == "meta":
                return
            with torch.autocast(call.q.device.type, enabled=False):
                site = self.attention.setdefault(name, Attention(name, self.window))
                site.look(call, step)

    def gated(
        self, name: str, function: str, args: tuple, kwargs: Mapping, out: Any, step: int
    ) -> None:
        """Count the gates of one call of a recurrent layer or cell, or of a GLU."""
        with torch.no_grad():
            for gate, bends, values in gates.of_call(function, args, kwargs, out):
                if values.device.type == "meta":
                    return
                site = self.gates.setdefault((name, gate), Gates(name, gate, bends, self.window))
                site.look(values, step)

    def missed(self, name: str, error: Exception) -> None:
        """A call could not be looked into; the model's forward goes on."""
        first = str(error).strip().partition("\n")[0]
        known = first if isinstance(error, NotImplementedError) else ""
        self.notes[name] = known or f"could not be looked into ({type(error).__name__}: {first})"

    def reports(self) -> tuple[dict[str, AttentionReport], dict[str, GateReport]]:
        """Of every attention by its name, of every gate by "name forget"."""
        rows = {name: site.report() for name, site in self.attention.items()}
        shares = {f"{name} {gate}": site.report() for (name, gate), site in self.gates.items()}
        return (
            {name: report for name, report in rows.items() if report is not None},
            {name: report for name, report in shares.items() if report is not None},
        )
