"""What was seen: a record that prints as text, renders in a notebook, and exports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

from mlpinit.models import rendering
from mlpinit.models.attention import AttentionReport
from mlpinit.models.gates import GateReport
from mlpinit.models.statistics import Figures, listed
from mlpinit.models.verdicts import DEAD, VERDICTS, evidence
from mlpinit.progress import printable

__all__ = ["Report", "SiteReport"]


@dataclass(frozen=True)
class SiteReport:
    """One site: a verdict a unit, and the figures it rests on.

    - `name`, `activation`: "net.1", "tanh"; `units`: how many; `max_slope`: the largest |f'|
    - `verdicts`: one of `VERDICTS` for each unit, on the rows of `recent`
    - `recent`: `Figures` of the latest window of rows (of `audit`: of all rows)
    - `whole`: `Figures` of all rows watched, while the parameters moved
    - `births`, `deaths`, `revivals`: (units,) int64, from window to window; None for an audit. A
      birth is a unit dead from the first that comes to life
    - `since`: (units,) int64, the forward pass from which the present state holds, or None where
      no window is complete
    - `history`: a list for "step", "dead", "births", "deaths" and "revivals", a window an entry
    - `notes`: what was not seen there
    """

    name: str
    activation: str
    units: int
    max_slope: float
    verdicts: tuple[str, ...]
    recent: Figures
    whole: Figures
    births: Tensor | None = None
    deaths: Tensor | None = None
    revivals: Tensor | None = None
    since: Tensor | None = None
    history: dict[str, list[int]] | None = None
    notes: tuple[str, ...] = ()

    def which(self, *verdicts: str) -> list[int]:
        """The units that have one of these verdicts, ascending."""
        if unknown := sorted(set(verdicts) - set(VERDICTS)):
            raise ValueError(f"no verdict {unknown}; the verdicts are {', '.join(VERDICTS)}")
        return [unit for unit, verdict in enumerate(self.verdicts) if verdict in verdicts]

    def counts(self) -> dict[str, int]:
        """How many units have each verdict, those that none has left out."""
        found = Counter(self.verdicts)
        return {verdict: found[verdict] for verdict in VERDICTS if found[verdict]}

    def evidence(self, *units: int) -> str:
        """Why a unit, or several of one verdict, have it: the rows counted and what they bound.

        Raises `ValueError` for units of different verdicts.
        """
        verdict, *others = {self.verdicts[unit] for unit in units}
        if others:
            raise ValueError(f"units {units} have several verdicts; ask for each alone")
        since = None if self.since is None else self.since[list(units)].tolist()
        return evidence(self.recent, self.max_slope, verdict, units, since=since)

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain lists and numbers, as JSON has them: what is no number is None."""
        return {
            "activation": self.activation,
            "units": self.units,
            "max_slope": listed(self.max_slope),
            "counts": self.counts(),
            "verdicts": list(self.verdicts),
            "recent": _plain(self.recent),
            "whole": _plain(self.whole),
            **{name: listed(getattr(self, name)) for name in _CHANGES},
            "history": self.history,
            "notes": list(self.notes),
        }


_CHANGES = ("births", "deaths", "revivals", "since")
LOGGED = ("hard-dead", "soft-dead", "mostly saturated")


@dataclass(frozen=True, repr=False)
class Report:
    """What `watch` or `audit` saw.

    - `sites`: name → `SiteReport`, in the order in which they were met; `report["net.1"]` is one
    - `passes`: forward passes made; `watched`: those looked at; `every`: one in how many
    - `data_set`: whether this is an audit, of a whole data set with fixed parameters
    - `ranks`: how many processes' reports are merged in it; `passes` is then that of each
    - `notes`: what was not seen
    - `attention`: name → `AttentionReport`, by head; `gates`: "name forget" → `GateReport`
    """

    sites: dict[str, SiteReport]
    passes: int
    watched: int
    every: int = 1
    data_set: bool = False
    ranks: int = 1
    notes: tuple[str, ...] = ()
    attention: dict[str, AttentionReport] = field(default_factory=dict)
    gates: dict[str, GateReport] = field(default_factory=dict)

    def __getitem__(self, name: str) -> SiteReport:
        """The site of that name; `KeyError` names those there are."""
        if name not in self.sites:
            raise KeyError(f"no site {name!r}; there are {', '.join(map(repr, self.sites))}")
        return self.sites[name]

    def dead(self, kind: str = "hard") -> dict[str, list[int]]:
        """The hard-dead units of every site that has any; "soft" lists the soft-dead with them.

        This is what `mlpinit.surgery.remove` and `mlpinit.recycle.recycle` take.
        """
        if kind not in DEAD:
            raise ValueError(f"kind is {kind!r}; choose 'hard' or 'soft' (which includes hard)")
        found = {name: site.which(*DEAD[kind]) for name, site in self.sites.items()}
        return {name: units for name, units in found.items() if units}

    def counts(self) -> dict[str, int]:
        """How many units of all sites have each verdict, those that none has left out."""
        found = Counter(verdict for site in self.sites.values() for verdict in site.verdicts)
        return {verdict: found[verdict] for verdict in VERDICTS if found[verdict]}

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain lists and numbers: what `json.dumps` takes."""
        return {
            "passes": self.passes,
            "watched": self.watched,
            "every": self.every,
            "data_set": self.data_set,
            "ranks": self.ranks,
            "counts": self.counts(),
            "sites": {name: site.to_dict() for name, site in self.sites.items()},
            "attention": {name: rows.to_dict() for name, rows in self.attention.items()},
            "gates": {name: gate.to_dict() for name, gate in self.gates.items()},
            "notes": list(self.notes),
        }

    def scalars(self, prefix: str = "watch") -> dict[str, float]:
        """What to log, by name: how many units are "hard-dead", "soft-dead", "mostly saturated".

        That is under prefix/ for the model and under prefix/site/ for each site, there with the
        "mean_flat_share". A function's site ":tanh" becomes "tanh", and "a:gelu#2" "a.gelu-2":
        loggers allow few characters.
        """
        counts = self.counts()
        found = {f"{prefix}/{_tag(v)}": float(counts.get(v, 0)) for v in LOGGED}
        for name, site in self.sites.items():
            of_site = f"{prefix}/{_tag(name)}"
            found |= {f"{of_site}/{_tag(v)}": float(len(site.which(v))) for v in LOGGED}
            if _is_finite(site.recent.flat_share):
                found[f"{of_site}/mean_flat_share"] = site.recent.flat_share.mean().item()
        return found

    def log(self, writer: Any, step: int | None = None, *, prefix: str = "watch") -> None:
        """Write to TensorBoard: `writer` is a `torch.utils.tensorboard.SummaryWriter`.

        It writes the `scalars`, and for each site histograms over the units of the "mean", "std",
        "flat share" and "largest slope".
        """
        for name, value in self.scalars(prefix).items():
            writer.add_scalar(name, value, step)
        for name, site in self.sites.items():
            for figure in ("mean", "std", "flat_share", "largest_slope"):
                values = getattr(site.recent, figure)
                if _is_finite(values):
                    writer.add_histogram(f"{prefix}/{_tag(name)}/units/{figure}", values, step)

    def __str__(self) -> str:
        """A summary, a line a site, and the worst units with their evidence; 80 columns."""
        return printable(rendering.text(self))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return rendering.html(self)


def _tag(name: str) -> str:
    """A name in the characters that loggers allow."""
    return name.lstrip(":").replace(":", ".").replace("#", "-").replace("@", "-").replace(" ", "_")


def _is_finite(values: Tensor | None) -> bool:
    return values is not None and bool(values.isfinite().all())


def _plain(figures: Figures) -> dict[str, Any]:
    """Every figure in plain lists, the dormancy scores with them."""
    names = [*(f.name for f in fields(figures)), "dormancy", "centred_dormancy"]
    plain = {name: listed(getattr(figures, name)) for name in names}
    return plain | {"steps": list(figures.steps)}
