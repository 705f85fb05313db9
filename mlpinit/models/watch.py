"""The watch itself: it sees every activation that a model's forward applies, and leaves no trace.

While the `with` block lasts, the model's own `forward` is wrapped, and nothing else of it is
touched: no hooks, no state. A watched forward pass runs under a `TorchFunctionMode`, which is shown
each torch function that is called, whether a module calls it or a line of the model's code.
Other forward passes run as ever.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _disable_current_modes

from mlpinit.models import ranks
from mlpinit.models.axes import Slice
from mlpinit.models.chunking import Scratch
from mlpinit.models.observer import Names, Observation, Observer
from mlpinit.models.padding import Given, Padding
from mlpinit.models.patching import Forward, Gate, blind, check_model, check_replica
from mlpinit.models.report import Report
from mlpinit.models.rows_and_gates import RowsAndGates
from mlpinit.models.shortcut import Shortcut, plain
from mlpinit.models.site import Site, cannot
from mlpinit.models.slopes import NAMED_MODULES, Slope
from mlpinit.models.verdicts import ENOUGH

__all__ = ["PHASES", "WINDOW", "Watch", "watch"]

PHASES = ("train", "eval", "any")

WINDOW = 3000
"""Examples in a window, at least: with none live among 3,000 the live rate is under 0.1%."""

MANY_CALLS = 4  # applications in one forward pass that the report remarks on

Mask = Callable[[Any], Tensor] | bool | None
_SETTINGS = (
    "every", "window", "enough", "phase", "ignore", "together", "axes", "batch_axis", "sizes",
    "data_set",
)  # fmt: skip

Activations = Mapping[type[nn.Module] | Callable, Slope | None]


def watch(
    model: nn.Module,
    every: int = 1,
    *,
    window: int = WINDOW,
    enough: int = ENOUGH,
    phase: str = "train",
    activations: Activations | None = None,
    ignore: Iterable[str] = (),
    together: Iterable[str] = (),
    axes: Mapping[str, int] | None = None,
    batch_axis: int = 0,
    mask: Mask = None,
) -> Watch:
    """Watch the units of `model` in a `with` block.

        with watch(model, every=10) as w:
            ...  # train, by any loop that calls model(x)
        print(w.report())

    - `every`: look at one forward pass in so many, beginning with the first
    - `window`: examples in a window: a unit's verdict is about the latest window, and deaths,
      births and revivals happen from window to window
    - `enough`: examples below which no unit is called dead
    - `phase`: forward passes to count: those made in "train" or "eval" mode, or "any"
    - `activations`: your own activation functions, as {MyModule: slope} or {torch.sin: torch.cos};
      slope(z) gives f'(z), and None lets autograd find it (f must then act on every entry alone
      and have no side effects)
    - `ignore`: sites to leave out, as patterns: "*.gate:sigmoid"
    - `together`: sites whose calls are counted as one, as patterns: "act" for an activation
      called at every step of a loop. Without it, the calls of one forward pass are sites of
      their own, "act", "act#2"
    - `axes`: {pattern: axis of the units} where it is neither the last, nor a convolution's channel
    - `batch_axis`: the axis of the examples in (..., units) of three axes or more; 1 for a
      transformer that is handed (tokens, batch, units), as torch's own is by default
    - `mask`: which rows count, where some are padding: mask(batch) gives a bool tensor (batch,) or
      (batch, time), True where a row counts, whatever follows these axes; `batch` is the one
      argument of model(x), or a dict of all by name. Without it, a model that is called with an
      `attention_mask` (batch, time) of 0 and 1 is counted where that is 1; False counts every row

    A verdict speaks of the latest `window` to twice as many examples. The parameters moved while
    they went by, so the bound on the live rate is for its mean over those steps. Examples are
    those of the batch that the model is called with, along its batch axis, and rows are counted in
    all: the positions of one image and the tokens of one sequence, in whatever shape the model
    lays them out, are no independent draws, and a bound on their live rate rests on the examples.
    Padding is left out of both, but where a site's rows are not laid out as (batch, time), or as
    what these were flattened to: there all rows are counted, and the report says so.

    What is watched: every torch function and method that is an activation, in any module's
    forward, in place or not, and `clamp(min=0)`; plain RNNs and RNN cells by h (of several layers
    the last). Where an activation is part of a formula in one value, as x·σ(x), the formula is
    judged, under the name of its last part; one that cannot be told is a note. So is a formula
    without an activation function in which a value that bends meets itself, as x·(x > 0), 1 +
    erf(x) or `torch.where`: its site is ":formula". What is not watched: other clamps, such a
    formula of the model's own input, activations inside scripted modules, functions applied to
    parameters, and whatever runs outside model(x). Of LSTMs and GRUs h is shown, without a verdict,
    and their gates have a table of their own, `report.gates`, as F.glu's has; attention by head,
    where `scaled_dot_product_attention` or `nn.MultiheadAttention` does it, is `report.attention`.

    A function that changes while it is watched is judged as it is at each step, and where layers
    come and go a shared activation's sites are told by the layer before them: `act@layers.2`. So
    are experts whose maps are one call: `act@experts.w1[3]`. Nothing that goes
    wrong here reaches the model's forward: it becomes a note.

    A unit is an index along the axis where its layer has it, the last, or axis 1 after a
    convolution, and it is followed from there, tensor by tensor. Where the trail is lost, as where
    a reshape cuts the axis, it may need `axes`, and the report says where it might. The fused
    paths of `nn.TransformerEncoderLayer` and `nn.MultiheadAttention` show nothing, so that a
    watched forward pass in evaluation mode takes the plain ones: equal to rounding, not bit for
    bit. Everything else is computed as ever, bit for bit.

    What is held is a few dozen numbers a unit, and working memory of a fixed size, given back at
    the end of the block: of small layers it holds the latest rows, up to 2 MB a site and 32 MB in
    all, for counting a few rows costs as much as counting many. It does not grow with the run.

    The watch belongs to one process and thread. Under `DistributedDataParallel` and FSDP each rank
    watches its own share of the batches, and `report(all_ranks=True)` merges what they saw. Wrap
    the model first; `watch(model.module)` gives its sites the names that they had before.
    `DataParallel` is refused, and so is a compiled model.

    Raises `TypeError` for what is no module, `ValueError` for arguments that cannot be used and
    models that cannot be watched.

    >>> model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> with watch(model) as w:
    ...     output = model(torch.zeros(300, 3))
    >>> w.report().counts()
    {'live': 8}
    """
    return Watch(
        model,
        every,
        window=window,
        enough=enough,
        phase=phase,
        activations=activations or {},
        ignore=tuple(ignore),
        together=tuple(together),
        axes=axes or {},
        batch_axis=batch_axis,
        mask=mask,
    )


class Watch:
    """What `watch` returns: a context manager that gives a `Report`.

    - `passes`: forward passes counted so far, in the phase asked for; `watched`: those looked at
    - `step`: the number of the pass that is looked at now, or was last, from 0
    """

    def __init__(
        self,
        model: nn.Module,
        every: int = 1,
        *,
        window: int = WINDOW,
        enough: int = ENOUGH,
        phase: str = "train",
        activations: Activations | None = None,
        ignore: Iterable[str] = (),
        together: Iterable[str] = (),
        axes: Mapping[str, int] | None = None,
        batch_axis: int = 0,
        mask: Mask = None,
        sizes: bool = False,
        data_set: bool = False,
    ) -> None:
        """As `watch`. `sizes` counts mean |h| too; `data_set` says so in the report."""
        check_model(model)
        for name, value in (("every", every), ("window", window), ("enough", enough)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; wanted a whole number from 1 up")
        if window < enough:
            raise ValueError(
                f"window is {window:,} examples and enough is {enough:,}: no window could tell a "
                "death; make the window larger, or enough smaller"
            )
        if batch_axis not in (0, 1):
            raise ValueError(f"batch_axis is {batch_axis!r}; wanted 0 or 1")
        if phase not in PHASES:
            raise ValueError(f"phase is {phase!r}; choose one of {', '.join(PHASES)}")
        self.model, self.every, self.window, self.enough = model, every, window, enough
        self.ignore, self.together, self.axes = tuple(ignore), tuple(together), dict(axes or {})
        self.batch_axis = batch_axis
        self.phase, self.sizes, self.data_set = phase, sizes, data_set
        self.padding = Padding(mask, model, batch_axis)
        self.given, self.kept = Given((), {}, batch_axis), None  # of the present forward pass
        self._but = {"train": False, "eval": True, "any": None}[phase]  # model.training, if this
        self._gate = Gate()
        self.watched = self.passed_over = self.step = 0
        self.sites: dict[str, Site | None] = {}  # None for one that is left out
        self._n_sites = 0  # before the present forward pass
        self._scratch = Scratch()
        functions, self._slopes = _own(activations or {})
        self._names = Names(model, (*NAMED_MODULES, *self._slopes))
        self._observer = Observer(self.see, self.missed, self._names, functions)
        self._observer.counted_as_one = lambda name: _matches(name, self.together)
        self._beside = RowsAndGates(window)
        self._observer.attends = functools.partial(self._see_beside, self._beside.attends)
        self._observer.gated = functools.partial(self._see_beside, self._beside.gated)
        self.calls: Counter[str] = Counter()  # in the present forward pass
        self._most_calls: Counter[str] = Counter()
        self._unseen: dict[str, str] = {}
        self._changed: dict[str, str] = {}
        self._met: set[str] = set()  # sites met and left out
        self._formulas: set[str] = set()  # sites that are formulas written out
        self._fed: dict[str, dict[tuple[str, int], str]] = {}  # base -> (layer, its use) -> site
        self._uses: Counter[tuple[str, str]] = Counter()  # in the present forward pass
        self._mixed: set[str] = set()  # bases whose calls are not the same layers' in every pass
        self._layers: dict[int, str] = {}
        self._blind: Counter[str] = Counter()
        self._wrapped: list[Forward] = []
        self._shortcut: Shortcut | None = None
        self._thread = 0
        self._inside = self._used = False

    def __enter__(self) -> Watch:
        """Wrap the model's forward, and that of the activation modules that the user named."""
        if self._used:
            raise RuntimeError("this watch has been used; make another: watch(model)")
        check_model(self.model)
        self._used, self._thread = True, get_ident()
        modules = None if self._observer.functions else plain(self.model)
        self._shortcut = None if modules is None else Shortcut(modules, self._observer, self)
        self._wrap_named()
        handle = self._gate.handle(self.model, self._but, self._forward)
        self._wrapped.append(Forward.put(self.model, handle))
        return self

    def _wrap_named(self) -> None:
        """Stand in for the activation modules that the user named, those added since too."""
        known = {forward.module for forward in self._wrapped}
        for module in self.model.modules():
            if type(module) in self._slopes and module not in known:
                see = functools.partial(self._module, module, self._slopes[type(module)])
                self._wrapped.append(Forward.put(module, see))

    def _look_anew(self) -> None:
        """The model has other modules than before."""
        self._names.refresh()
        modules = plain(self.model)
        self._shortcut = None if modules is None else Shortcut(modules, self._observer, self)

    def __exit__(self, *exception: object) -> None:
        """Leave every module as it was."""
        while self._wrapped:
            self._wrapped.pop().take_away()
        if exception[0] is None:  # after an error the figures are merged when they are asked for
            for site in self.sites.values():
                if site is not None:
                    site.rest()
            self._scratch.held.clear()

    @property
    def passes(self) -> int:
        """Forward passes counted so far."""
        return self._gate.passes

    def nbytes(self) -> int:
        """Bytes that the figures and the working memory take now."""
        sites = (site for site in self.sites.values() if site is not None)
        return self._scratch.nbytes() + sum(site.nbytes() for site in sites)

    def report(self, *, all_ranks: bool = False, group: Any = None) -> Report:
        """What is known so far, inside the `with` block or after it.

        - `all_ranks`: merge what all processes of a `torch.distributed` run saw, as if one had seen
          every batch. It is a collective call: every rank has to make it, and each gets the merged
          report; a rank that others do not follow waits until the process group's timeout. Without
          it nothing waits, and rank 0 may call alone. Where no process group has been set up it
          changes nothing. With the backend nccl, call `torch.cuda.set_device` before
        - `group`: the process group to merge over, if not all: where ranks share their batches, as
          under tensor parallelism, one of those whose batches differ

        Counts, extremes and verdicts are then exactly those of one process, with a window of
        `window` examples on each rank; means and deviations are equal to rounding.

        Raises `RuntimeError` when there is nothing to report, on any rank: no forward pass, no
        activation. `ValueError` when the ranks' watches have not the same arguments.
        """
        if all_ranks:
            return ranks.merged(ranks.gathered(self.part(), group))
        report = self._own_report()
        if self.data_set or ranks.size() == 1:
            return report
        alone = (
            f"this is one of {ranks.size()} ranks; report(all_ranks=True), called on every rank, "
            "is the report of all of them"
        )
        return replace(report, notes=(*report.notes, alone))

    def part(self) -> ranks.Part:
        """What this process has to tell the others, its report or why there is none."""
        settings = {name: getattr(self, name) for name in _SETTINGS}
        try:
            report = self._own_report()
        except RuntimeError as error:
            return ranks.Part(error=error, settings=settings)
        names = self._told_names()
        sites = {names.get(name, name): site for name, site in self.sites.items()}
        return ranks.Part(
            report,
            kinds={name: replace(sites[name].kind, slope=None, f=None) for name in report.sites},
            courses={name: sites[name].windows.course() for name in report.sites},
            settings=settings,
        )

    def _own_report(self) -> Report:
        sites = {name: site for name, site in self.sites.items() if site is not None}
        attention, gates = self._beside.reports()
        if not (sites or attention or gates):
            raise RuntimeError(self._nothing())
        names = self._told_names()
        told = {
            names.get(name, name): site.report(
                names.get(name, name), enough=self.enough, data_set=self.data_set
            )
            for name, site in sites.items()
            if not site.meta and not site.empty
        }
        notes = [
            f"{name}: {why}" for told in (self._unseen, self._changed) for name, why in told.items()
        ]
        for name, site in sites.items():
            if site.meta:
                notes.append(f"{name}: on the meta device, which has no numbers")
            elif site.empty:
                notes.append(f"{name}: its batches had no rows")
        if not (told or attention or gates):
            raise RuntimeError("; ".join(notes))
        notes += [f"{name}: {why}" for name, why in self._beside.notes.items()]
        return Report(
            attention=attention,
            gates=gates,
            sites=told,
            passes=self.passes,
            watched=self.watched,
            every=self.every,
            data_set=self.data_set,
            notes=(*notes, *self._notes()),
        )

    def _told_names(self) -> dict[str, str]:
        """The names in the report of sites that are told by their layers."""
        names = {}
        for base in self._mixed:
            for (layer, nth), name in self._fed[base].items():
                names[name] = f"{base}@{layer}" + (f"#{nth}" if nth > 1 else "")
        return names

    def _nothing(self) -> str:
        name = type(self.model).__name__
        if not self.passes:
            passed = {"train": "training", "eval": "evaluation"}.get(self.phase)
            if self.passed_over:
                return (
                    f"{name} made {self.passed_over} forward passes, none in {passed} mode; "
                    "watch(model, phase='any') counts them all"
                )
            return (
                f"no forward pass of {name} was made inside the with block: a watch sees "
                "model(x); of a model that is used by its parts, watch the part that is called"
            )
        found = [*self._unseen.items(), *((f"{n} passes", why) for why, n in self._blind.items())]
        why = "; ".join(f"{where}: {why}" for where, why in found)
        return (
            f"{name} made {self.passes} forward passes and applied no activation that a watch can "
            f"see{f' ({why})' if why else ''}. It looks for torch's activation modules and "
            "functions (tanh, relu, gelu and so on) and recurrent layers; name your own: "
            "watch(model, activations={MyModule: slope_function})"
        )

    def _notes(self) -> Iterator[str]:
        if self.passed_over:
            yield (
                f"{self.passed_over:,} forward passes in another mode than phase={self.phase!r} "
                "were passed over"
            )
        for why, passes in self._blind.items():
            yield f"{passes:,} forward passes could not be looked at: {why}"
        yield from self.padding.notes()
        for base in sorted(self._mixed):
            yield (
                f"{base} follows other layers in some forward passes than in others: its sites are "
                "told by the layer before them, as in site@layer"
            )
        for name, most in self._most_calls.items():
            if most > MANY_CALLS and not _matches(name, self.together):
                yield (
                    f"{name} is applied {most} times in a forward pass, each time a site of its "
                    f"own; together=[{name!r}] counts them as one"
                )
        seen = set(self.calls) | set(self._most_calls) | set(self.sites) | self._met
        for name, module in self.model.named_modules():
            if not name:  # the model itself was reached
                continue
            if isinstance(module, torch.jit.ScriptModule):
                yield f"{name}: scripted, nothing inside it is seen"
            elif isinstance(module, NAMED_MODULES) and name not in seen:
                yield f"{name}: not reached in a watched forward pass"

    # What runs inside the model's forward, where the gate does not let it by.

    def _forward(self, inner: Callable, *args: Any, **kwargs: Any) -> Any:
        if get_ident() != self._thread:
            check_replica(self.model, sys._getframe(2))  # past the gate
        if self._inside:  # the model calls itself
            return inner(*args, **kwargs)
        if self.model.training is self._but:
            self.passed_over += 1
            return inner(*args, **kwargs)
        if self._gate.lets_by():  # the gate itself leaves another thread's to this place
            return inner(*args, **kwargs)
        self.step = self._gate.look()
        self._inside, observes = True, False
        try:
            if why := blind():
                self._blind[why] += 1
                return inner(*args, **kwargs)
            self.watched += 1
            self.calls.clear()
            self._uses.clear()
            self.given = Given(args, kwargs, self.batch_axis)
            self.kept = self._observer.kept = self.padding.of(args, kwargs)
            if self._slopes:
                self._wrap_named()
            if self._shortcut is not None and not self._shortcut.still_plain():
                self._look_anew()
            if self._shortcut is not None and self._shortcut.simple:
                return self._shortcut.run(inner, args, kwargs)
            self._n_sites = len(self.sites)
            observes = True
            self._observer.begin(args, kwargs)
            if self._shortcut is not None:
                return self._shortcut.run(inner, args, kwargs)
            with self._observer:
                return inner(*args, **kwargs)
        finally:
            self._inside = False
            self.kept = self._observer.kept = None
            if observes:
                # Tensors are followed while there are sites to be found, or experts are routed.
                new = len(self.sites) != self._n_sites
                observer = self._observer
                observer.layout.follows = self.data_set or new or observer.meets_experts
                self._observer.end()
            self._gate.let_by(self.every - 1)

    def _module(
        self, module: nn.Module, slope: Slope | None, inner: Callable, *args: Any, **kwargs: Any
    ) -> Any:
        if not self._inside:
            return inner(*args, **kwargs)
        return self._observer.module(module, slope, inner, args, kwargs)

    def see(self, observed: Observation) -> str:
        """Count one application of an activation function. The name of its site.

        Whatever goes wrong here is ours, and becomes a note: the model's forward goes on.
        """
        name = observed.name
        try:
            name = name or self._name(observed)
            if name in self._formulas and not observed.name:  # a part: its formula comes later
                return name
            if torch._C._functorch.peek_interpreter_stack() is not None:
                self._unseen[name] = "a transform of torch.func inside the model hides it"
            elif torch._C._len_torch_dispatch_stack() or forward_ad._current_level >= 0:
                with _disable_current_modes(), forward_ad._set_fwd_grad_enabled(False):
                    self._count(name, observed)
            else:
                self._count(name, observed)
        except Exception as error:
            self.failed(name or observed.base, error)
        return name

    def _see_beside(self, look: Callable, name: str, *call: Any) -> None:
        """Let `look` count attention or gates. Whatever goes wrong here becomes a note."""
        if _matches(name, self.ignore):
            return
        try:
            if torch._C._functorch.peek_interpreter_stack() is not None:
                raise NotImplementedError("a transform of torch.func inside the model hides it")
            with (
                torch._C.DisableTorchFunction(),
                _disable_current_modes(),
                forward_ad._set_fwd_grad_enabled(False),
            ):
                look(name, *call, self.step)
        except Exception as error:
            self._beside.missed(name, error)

    def failed(self, name: str, error: Exception) -> None:
        """A site cannot be judged any more."""
        first = str(error).strip().partition("\n")[0]
        self.missed(name, f"it could not be judged ({type(error).__name__}: {first})")

    def missed(self, name: str, why: str) -> None:
        """A site is left out, and why, or "" if that needs no saying."""
        self.sites[name] = None
        self._met.add(name)
        if why and not _matches(name, self.ignore):
            self._unseen[name] = why

    def _name(self, observed: Observation) -> str:
        """The name of the site: by the order of calls, or by what feeds them where that varies."""
        base = observed.base
        if self._names.moved:
            self._forget_moved()
        self.calls[base] = count = self.calls[base] + 1
        if observed.once or _matches(base, self.together):
            return base
        self._most_calls[base] = max(self._most_calls[base], count)
        name = base if count == 1 else f"{base}#{count}"
        if observed.feed is None:
            return name
        feed = observed.feed
        layer = feed if isinstance(feed, str) else self._layer_of(feed)
        self._uses[base, layer] = nth = self._uses[base, layer] + 1
        fed = self._fed.setdefault(base, {})
        known = fed.get((layer, nth))
        if known is None:
            if name in fed.values():  # another layer fed it in an earlier pass
                self._mixed.add(base)
                taken = set(fed.values())
                numbers = (f"{base}#{n}" for n in range(2, len(fed) + 3))
                name = next(n for n in numbers if n not in taken)
            fed[layer, nth] = known = name
        elif known != name:
            self._mixed.add(base)
        return known

    def _layer_of(self, weight: nn.Parameter | Slice) -> str:
        """The name of the layer that has a weight, or of a weight of another name, or a part."""
        if isinstance(weight, Slice):
            return f"{self._layer_named(weight.weight)}[{weight.index}]"
        return self._layer_named(id(weight))

    def _layer_named(self, weight: int) -> str:
        if weight not in self._layers:
            self._layers = {}
            for name, parameter in self.model.named_parameters():
                layer, _, last = name.rpartition(".")
                self._layers[id(parameter)] = layer if last == "weight" else name
            self._layers.setdefault(weight, "")
        return self._layers[weight]

    def _forget_moved(self) -> None:
        """Sites that are now another module's begin anew."""
        moved, self._names.moved = self._names.moved, set()
        now = set(self._names.by_module.values())
        for name in [*self.sites]:
            base = name.partition("#")[0]
            if base.partition(":")[0] in moved & now:
                self._begin_anew(name, "another module has its place")
                self._fed.pop(base, None)

    def _begin_anew(self, name: str, why: str) -> None:
        site = self.sites.pop(name, None)
        self._formulas.discard(name)
        if site is not None and not site.meta:
            self._changed[name] = f"{why} since forward pass {self.step:,}: its figures begin there"

    def _count(self, name: str, observed: Observation) -> None:
        if observed.experts is None or _matches(observed.base, self.together):
            self._count_one(name, observed)
            return
        if observed.name and name not in self._formulas:
            self._formulas.add(name)
            for site in [site for site in self.sites if site.startswith(f"{name}@")]:
                del self.sites[site]
        for of, one in self._apart(name, observed):
            self._count_one(of, one)

    def _apart(self, name: str, observed: Observation) -> Iterator[tuple[str, Observation]]:
        """Activations of several experts, each as a site of its own, told by its weight."""
        experts, h, z = observed.experts, observed.h, observed.z
        at, axis = experts.axis, self._axis(name, observed)[0] % h.ndim
        label = self._layer_of(experts.weight)
        slopes = None
        if observed.shaped:
            slopes = observed.kind().slope(z.detach(), h.detach(), observed.f, None)
        given = {"z": z, "h": h, "slopes": slopes}
        given = {key: t.movedim((at, axis), (0, -1)) for key, t in given.items() if t is not None}
        ids = range(h.size(at)) if experts.ids is None else experts.ids.unique().tolist()
        for k in ids:
            rows = k if experts.ids is None else (experts.ids == k).nonzero().flatten()
            parts = {key: t[rows] for key, t in given.items()}
            one = replace(observed, axis=parts["h"].ndim - 1, experts=None, **parts)
            yield f"{name}@{label}[{k}]", one

    def _count_one(self, name: str, observed: Observation) -> None:
        site = self.sites.get(name)
        if observed.name and observed.name == name and name not in self._formulas:
            self._formulas.add(name)  # it was taken for its last part
            if site is not None:
                del self.sites[name]
        elif (
            observed.name
            and site is not None
            and self._observer.formulas.is_inner(observed.name, site.key[1])
        ):
            del self.sites[name]  # it was taken for a part of what it is
        elif site is not None and observed.key != site.key and not site.takes(observed):
            applied = f"it applies {observed.activation} where it applied {site.kind.name}"
            self._begin_anew(name, applied)
            if observed.name:
                self._formulas.add(name)
        elif site is not None and not site.sure and self._observer.layout.follows:
            self._make_sure(name, site, observed)
        if name not in self.sites:
            self.sites[name] = self._new(name, observed)
        site = self.sites[name]
        if site is not None:
            again = self.calls[observed.base] > 1 and name == observed.base
            unrolled = self.calls[observed.base] > 1
            site.look(observed, self.step, self.given, self.kept, again=again, unrolled=unrolled)

    def _make_sure(self, name: str, site: Site, observed: Observation) -> None:
        """Begin a site anew whose units turn out to lie along another axis than its shape said."""
        axis = self._observer.layout.certain(observed.h)
        if axis is not None:
            site.sure, site.note = True, ""
            if observed.h.ndim - axis != site.from_end:
                self._begin_anew(name, "its units have been found along another axis")

    def _axis(self, name: str, observed: Observation) -> tuple[int, bool]:
        """The axis of the units, and whether it was told or followed, and not guessed."""
        if observed.axis is not None:
            return observed.axis, True
        chosen = [axis for pattern, axis in self.axes.items() if fnmatchcase(name, pattern)]
        if chosen:
            return chosen[0], True
        layout = self._observer.layout
        return layout.axis(observed.h), layout.certain(observed.h) is not None

    def _new(self, name: str, observed: Observation) -> Site | None:
        if _matches(name, self.ignore) or _matches(name.partition("@")[0], self.ignore):
            return None
        if why := cannot(observed):
            self._unseen[name] = why
            return None
        h = observed.h
        axis, sure = self._axis(name, observed)
        if not sure:
            observed.note = observed.note or self._observer.layout.guess(h, axis)
        if not -h.ndim <= axis < max(h.ndim, 1):
            raise ValueError(f"axes: {name} has {h.ndim} axes; there is no axis {axis}")
        return Site(
            name,
            observed,
            axis % max(h.ndim, 1),
            batch_axis=self.batch_axis,
            window=self.window,
            sizes=self.sizes,
            scratch=self._scratch,
            sure=sure,
        )


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _own(activations: Activations) -> tuple[dict, dict]:
    """The user's activations apart: functions and module classes, each with its slope or None."""
    functions, modules = {}, {}
    for key, slope in activations.items():
        if slope is not None and not callable(slope):
            raise TypeError(f"activations[{key!r}] is {slope!r}; wanted slope(z), or None")
        if isinstance(key, type) and issubclass(key, nn.Module):
            modules[key] = slope
        elif callable(key) and _torchs(key):
            functions[key] = slope
        else:
            raise TypeError(
                f"activations has {key!r}; wanted the class of a module, or a function of torch: "
                "nothing can see a plain Python function being called"
            )
    return functions, modules


def _torchs(function: Callable) -> bool:
    """Whether torch itself made a function: only those show themselves when called."""
    written_in_python = hasattr(function, "__code__")
    return not written_in_python or (function.__module__ or "").startswith("torch.")
