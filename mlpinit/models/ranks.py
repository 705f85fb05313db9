"""One report of many processes: what the ranks of a distributed run saw, as if one had seen it all.

Each rank watches its own share of the batches. What it has to tell is gathered over
`torch.distributed`, and every rank merges all of it in the order of the ranks, so that all of them
have the same report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch.distributed as dist
from torch import Tensor

from mlpinit.models import attention, gates
from mlpinit.models.lifetimes import Course, side_by_side
from mlpinit.models.report import Report, SiteReport
from mlpinit.models.slopes import Kind
from mlpinit.models.statistics import together
from mlpinit.models.verdicts import verdicts

__all__ = ["Part", "from_first", "gathered", "is_first", "make_equal", "merged", "size"]


@dataclass(frozen=True)
class Part:
    """What one rank has to tell.

    - `report`: its own, or None where there is an `error`
    - `error`: why it has none; `failed`: whether something went wrong, and not only nothing came
    - `kinds`: site → what its function is; `courses`: site → what its windows showed
    - `settings`: the watch's, which must be the same on every rank
    """

    report: Report | None = None
    error: Exception | None = None
    failed: bool = False
    kinds: dict[str, Kind] = field(default_factory=dict)
    courses: dict[str, Course] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


def size(group: Any = None) -> int:
    """How many ranks there are; 1 where torch.distributed has not been set up.

    Raises `ValueError` if this process is not in the group.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return 1
    if dist.get_rank(group) < 0:
        raise ValueError(f"rank {dist.get_rank()} is not in this group; call it on those that are")
    return dist.get_world_size(group)


def is_first() -> bool:
    """Whether this is rank 0, or the only one."""
    return size() == 1 or dist.get_rank() == 0


def from_first(value: Any) -> Any:
    """What rank 0 has in the place of `value`. Every rank has to call this."""
    if size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def make_equal(tensors: Iterable[Tensor]) -> None:
    """Write what rank 0 has into these tensors of every rank. Every rank has to call this."""
    if size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)


def gathered(part: Part, group: Any = None) -> list[Part]:
    """The parts of all ranks, in their order. Every rank of the group has to call this."""
    if size(group) == 1:
        return [part]
    parts: list[Any] = [None] * size(group)
    dist.all_gather_object(parts, part, group=group)
    return parts


def merged(parts: Sequence[Part]) -> Report:
    """The report of all ranks. Counts and extremes are exact, means and deviations to rounding.

    Verdicts rest on the latest windows of all ranks. Births, deaths and revivals are those of the
    joint windows, where the ranks' windows begin and end together; else they are None, with a note.

    Raises `RuntimeError` if a rank failed, `ValueError` if the ranks' watches differ, and the
    error of the first rank if none has anything to report.
    """
    for rank, part in enumerate(parts):
        if part.failed:
            raise RuntimeError(f"no report: rank {rank} failed ({part.error})")
    _check_settings(parts)
    told = {rank: part for rank, part in enumerate(parts) if part.report is not None}
    if not told:
        raise parts[0].error
    if len(parts) == 1:
        return parts[0].report
    notes = _common({rank: part.report.notes for rank, part in told.items()}, len(parts))
    notes += [f"rank {r}: {part.error}" for r, part in enumerate(parts) if r not in told]
    notes += _uneven({rank: part.report.passes for rank, part in told.items()})
    sites = {}
    for name in dict.fromkeys(name for part in told.values() for name in part.report.sites):
        found = {rank: part for rank, part in told.items() if name in part.report.sites}
        if why := _unlike({rank: part.report[name] for rank, part in found.items()}):
            notes.append(f"{name}: {why}")
        else:
            sites[name] = _site(name, found, len(told))
    reports = [part.report for part in told.values()]
    beside = {
        "attention": _beside([r.attention for r in reports], attention.together),
        "gates": _beside([r.gates for r in reports], gates.together),
    }
    if not (sites or any(beside.values())):
        raise RuntimeError("; ".join(notes))
    return replace(
        reports[0],
        sites=sites,
        passes=max(report.passes for report in reports),
        watched=max(report.watched for report in reports),
        ranks=len(parts),
        notes=tuple(notes),
        **beside,
    )


def _beside(found: Sequence[Mapping[str, Any]], together: Callable) -> dict[str, Any]:
    """Attention, or gates, of all ranks: those that are alike on each that has them."""
    names = dict.fromkeys(name for one in found for name in one)
    several = {name: [one[name] for one in found if name in one] for name in names}
    return {name: together(reports) for name, reports in several.items()}


def _check_settings(parts: Sequence[Part]) -> None:
    for rank, part in enumerate(parts):
        for name, value in parts[0].settings.items():
            if part.settings[name] != value:
                raise ValueError(
                    f"the ranks' watches differ: {name} is {value!r} on rank 0 and "
                    f"{part.settings[name]!r} on rank {rank}; give them the same arguments"
                )


def _site(name: str, found: Mapping[int, Part], n_ranks: int) -> SiteReport:
    """The site on all ranks that have it."""
    parts = list(found.values())
    sites = [part.report[name] for part in parts]
    notes = _common({rank: part.report[name].notes for rank, part in found.items()}, n_ranks)
    if len(found) < n_ranks:
        notes.append(f"on rank {', '.join(map(str, found))} of {n_ranks} alone")
    whole = together([site.whole for site in sites])
    data_set, enough = parts[0].report.data_set, parts[0].settings["enough"]
    recent = whole if data_set else together([site.recent for site in sites])
    changes: dict[str, Any] = {}
    if not data_set:
        joint = side_by_side([part.courses[name] for part in parts])
        changes = joint or dict.fromkeys(("births", "deaths", "revivals", "since", "history"))
        if joint is None:
            notes.append(
                "births, deaths and revivals are each rank's own, in its own report(): the ranks' "
                "windows do not end together, or too much happened"
            )
    return replace(
        sites[0],
        verdicts=verdicts(recent, parts[0].kinds[name], 1 if data_set else enough),
        recent=recent,
        whole=whole,
        notes=tuple(notes),
        **changes,
    )


def _unlike(sites: Mapping[int, SiteReport]) -> str:
    """Why these are not one site, or ""."""
    kinds: dict[tuple[int, str], list[int]] = {}
    for rank, site in sites.items():
        kinds.setdefault((site.units, site.activation), []).append(rank)
    if len(kinds) == 1:
        return ""
    told = (
        f"{units} units of {activation} on rank {', '.join(map(str, ranks))}"
        for (units, activation), ranks in kinds.items()
    )
    return f"{'; '.join(told)}: not merged"


def _uneven(passes: Mapping[int, int]) -> Iterator[str]:
    low, high = min(passes.values()), max(passes.values())
    if low < high:
        yield f"the ranks made {low:,} to {high:,} forward passes"


def _common(notes: Mapping[int, Sequence[str]], n_ranks: int) -> list[str]:
    """What all ranks note, once, and what some of them do, with their ranks."""
    count = Counter(note for own in notes.values() for note in dict.fromkeys(own))
    lines = []
    for note, times in count.items():
        ranks = [] if times == n_ranks else [rank for rank, own in notes.items() if note in own]
        lines.append(f"rank {', '.join(map(str, ranks))}: {note}" if ranks else note)
    return lines
