"""The part of a model in which a site's units live: the whole of it, or the smallest that will do.

Where torch.fx can trace the model, all sites are in that. Where it cannot, as nowhere in
transformers, a site is looked for in the modules around it, from the inside out, until one holds
the layer that makes the units, the activation and every layer that reads them: an MLP block.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import torch
from torch import nn

from mlpinit.models.batches import Batches
from mlpinit.models.calls import split
from mlpinit.models.flow import follow
from mlpinit.models.graph import Dead, Map, check_dead
from mlpinit.models.layers import is_layer
from mlpinit.models.measuring import Followed, watch
from mlpinit.models.tracing import LeavesError, SiteError

__all__ = ["Parts"]


class Parts:
    """The parts of a model that were traced, each with the shapes of the first batch."""

    def __init__(self, model: nn.Module, batches: Batches) -> None:
        """The model should be in evaluation mode; it is not changed."""
        self.model, self.batches = model, batches
        self.modules = dict(model.named_modules())
        self.first = next(iter(batches))
        args, kwargs = batches.arguments(self.first)
        self.calls = {"": split(args, kwargs)[0]}  # of modules, in the order of the forward
        self.times: Counter[str] = Counter()
        self.maps: dict[str, Map | SiteError] = {}
        self._see([""])

    def run(self, batch: tuple) -> object:
        """The model's answer to a batch."""
        args, kwargs = self.batches.arguments(batch)
        with torch.no_grad():
            return self.model(*args, **kwargs)

    def follow(
        self, dead: Dead, check: Callable[[Map, str, list[int]], None] = lambda *_: None
    ) -> tuple[list[Followed], dict[str, SiteError]]:
        """What is to be changed for each site, in the order of the forward; why not, for others.

        `ValueError` for a site or a unit that does not exist. `check` may refuse a site, too.
        """
        check_dead(dead)
        self._look_around(dead)
        found: dict[tuple[str, str], set[int]] = defaultdict(set)
        refused: dict[str, SiteError] = {}
        for name in dead:
            try:
                plan = self._home(name)
                for site, units in plan.checked({name: dead[name]}).items():
                    found[plan.path, site].update(units)
            except SiteError as why:
                refused[name] = why
        jobs = []
        for path, site in sorted(found, key=self._place):
            try:
                jobs.append(self._followed(path, site, sorted(found[path, site]), check))
            except SiteError as why:
                refused[site] = why
        return jobs, refused

    def _followed(self, path: str, site: str, units: list[int], check: Callable) -> Followed:
        plan = self.maps[path]
        check(plan, site, units)
        cuts = follow(plan, site, units)
        for layer in (*cuts.outputs, *cuts.inputs, *cuts.norms) if path else ():
            if self.times[layer] != self.times[path]:
                raise SiteError(
                    f"module {layer!r} is used outside of {path!r} too; "
                    "what is changed for one use is changed for the others"
                )
        return Followed(site, units, plan, cuts)

    def _place(self, where: tuple[str, str]) -> tuple[int, int]:
        path, site = where
        return list(self.calls).index(path), list(self.maps[path].sites).index(site)

    def _home(self, name: str) -> Map:
        """The part that a site is in: the whole, or the smallest that its units do not leave."""
        whole, home = self.maps[""], None
        if isinstance(whole, Map) and whole.named(name) in whole.sites:
            return whole
        for path in filter(self.calls.__contains__, self._around(name)):
            self._see([path])
            plan = self.maps[path]
            if isinstance(plan, SiteError):
                whole = plan
                break
            if plan.named(name) in plan.sites:
                home = plan
                if not _leaves(plan, plan.named(name)):
                    break
        if home is None and isinstance(whole, SiteError):
            raise whole
        return home or whole

    def _look_around(self, names: Iterable[str]) -> None:
        """See the first part of each site that is in no traced whole: all in one run."""
        whole = self.maps[""]
        known = whole.sites if isinstance(whole, Map) else ()
        apart = [n for n in names if not (known and whole.named(n) in known)]
        around = [paths for name in apart if (paths := self._around(name))]
        if around:
            self._note_calls()
            called = (next(filter(self.calls.__contains__, paths), "") for paths in around)
            self._see(dict.fromkeys(called))

    def _around(self, name: str) -> list[str]:
        """The modules around a site, from the inside out, that hold two layers or more."""
        owner = name.partition("@")[0].partition("#")[0].rpartition(":")
        owner = owner[0] if owner[1] else owner[2]
        if owner not in self.modules:
            if isinstance(self.maps[""], Map):
                return []  # the whole says what there is
            raise ValueError(f"there is no site {name!r}: the model has no module {owner!r}")
        paths = []
        while owner:
            if sum(map(is_layer, self.modules[owner].modules())) > 1:
                paths.append(owner)
            owner = owner.rpartition(".")[0]
        return paths

    def _note_calls(self) -> None:
        """Run the model and note how each module is called first, and how often."""

        def noting(path: str) -> Callable:
            def note(module: nn.Module, args: tuple, kwargs: dict) -> None:
                self.times[path] += 1
                self.calls.setdefault(path, split(args, kwargs)[0])

            return note

        with ExitStack() as hooks:
            for path, module in self.modules.items():
                handle = module.register_forward_pre_hook(noting(path), with_kwargs=True)
                hooks.callback(handle.remove)
            self.run(self.first)

    def _see(self, paths: Iterable[str]) -> None:
        """Trace parts and note the shapes in them; what cannot be traced has its error there."""
        new = [path for path in paths if path not in self.maps]
        for path in new:
            try:
                self.maps[path] = Map(self.model, self.calls[path], path)
            except SiteError as error:
                self.maps[path] = error
        plans = [plan for path in new if isinstance(plan := self.maps[path], Map)]
        watch([(plan, plan.see) for plan in plans], lambda: self.run(self.first))


def _leaves(plan: Map, site: str) -> bool:
    """Whether a site's units come from outside a part, or go there."""
    try:
        follow(plan, site, ())
    except LeavesError:
        return True
    except SiteError:
        return False
    return False
