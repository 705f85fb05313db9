"""What is wrong with a start, said in sentences: what was found, the evidence, what to change.

Each rule looks at measurements of one batch and names one sickness. Several may be found where one
brought the others: a finding that an earlier one can account for says so in `after`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from mlpinit import gains
from mlpinit.activations import ACTIVATIONS
from mlpinit.models.chance import Chance
from mlpinit.models.first_pass import FirstPass, Layer
from mlpinit.watch import Report, SiteReport

__all__ = ["KINDS", "Finding", "Inputs", "Measurements", "findings", "remarks", "trend"]

CONFIDENT = 1.0
"""Nats above chance: what logits of standard deviation √2 cost, for they cost half their variance.
Of few classes it is half of what chance costs, which logits of that size cost as well. The twenty
healthy models of `benchmarks/models_healthy.py` were at most 0.6 above (T5)."""

ERROR_FACTOR = 3.0
"""A squared error over that of the best constant: an output as noisy as the targets gives 2."""

INPUT_RMS = 10.0
"""A first layer is drawn for inputs of root mean square 1. At 10, one whose gain is 1 gives
pre-activations of standard deviation 10, of which tanh has four in five beyond its flat point.
Pixels from 0 to 255 have about 150, those from 0 to 1 about 0.6."""

INPUT_OFFSET = 10.0
"""A mean of so many standard deviations: what is the same in all examples drowns what differs."""

INPUT_LARGEST = 0.01
"""Where no input is larger, the biases that torch draws are larger than what the inputs add."""

CHAIN = 3
"""Layers, at least, in which a factor a layer is told from chance."""

SIGNAL_FACTOR = 100.0
"""From the first of a group of layers to the last. Two decimal places lower, what an example adds
is at the level of the biases that torch draws (1/√(3 fan_in), 0.06 for a fan_in of 100)."""

GRADIENT_FACTOR = 2e4
"""The same of gradients. Where one end of a chain moves by the usual 0.001 of its weights in a step
of plain gradient descent, the other moves by 5e-8 of them, which float32 rounds away. Gradients
differ more than signals in healthy models: the largest in the twenty was ConvMixer's, 6,000-fold
over 65 convolutions with batch norm, and next ResNet-50's, 170-fold."""

SATURATED = 0.25
"""Of the entries of units that are not stuck. For tanh it takes pre-activations of a standard
deviation of 2.3, at which a gradient keeps a quarter of its mean square at each layer."""

TWO_SIDED = frozenset(
    ("tanh", "sigmoid", "hardtanh", "hardsigmoid", "softsign", "erf", "rnn tanh", "tanh formula")
)
"""Functions that are flat on both sides; to be flat half of the time is usual for a ReLU."""

STUCK = 0.1
"""Of a site's units, flat on every row. For units that fire or do not, more than those that fire on
every row: a draw that is symmetric about 0 makes as many of either, however alike the examples."""

LARGE_UPDATE = 0.1
"""The median over layers of std(update) / std(weight). Karpathy's rule of thumb is 0.001, Adam's
first step at the customary rates moves a weight by 0.01 to 0.06. At 0.1, ten steps replace it."""

SMALL_UPDATE = 1e-6
"""At this size a million steps, all in one direction, move a weight by its standard deviation."""

COPIES = 0.05
"""Of a layer's units. Two rows that are equal by chance are not to be met in floats."""

KINDS = {
    "not finite": "an infinity or a NaN",
    "inputs not normalised": "inputs far from mean 0 and standard deviation 1",
    "symmetric units": "units that are copies of each other, and stay so",
    "signal grows": "what differs between examples grows from layer to layer",
    "signal shrinks": "what differs between examples shrinks from layer to layer",
    "saturated": "activations where their function is flat",
    "dead at the start": "units that are flat on every row",
    "no gradient": "no layer's weights get a gradient",
    "loss above chance": "the model is sure of answers that it cannot know",
    "gradients explode": "gradients grow on their way back",
    "gradients vanish": "gradients shrink on their way back",
    "updates too large": "one step replaces a good part of the weights",
    "updates too small": "steps that hardly move the weights",
}
"""Every sickness that a checkup names, in the order in which one brings another."""

_UPDATES = ("updates too large", "updates too small")
_SLOPES = ("gradients explode", "gradients vanish", *_UPDATES)
BRINGS = {
    "not finite": tuple(KINDS),
    "inputs not normalised": (
        "signal grows", "signal shrinks", "saturated", "dead at the start", "no gradient",
        "loss above chance", *_SLOPES,
    ),
    "symmetric units": tuple(KINDS),
    "signal grows": (
        "saturated", "dead at the start", "no gradient", "loss above chance", *_SLOPES,
    ),
    "signal shrinks": ("no gradient", *_SLOPES),
    "saturated": ("dead at the start", "no gradient", *_SLOPES),
    "dead at the start": ("no gradient", *_SLOPES),
    "no gradient": _SLOPES,
    "loss above chance": ("gradients explode", *_UPDATES),
    "gradients explode": _UPDATES,
    "gradients vanish": _UPDATES,
}  # fmt: skip
"""What may come of each: mended first, it may take the others with it."""


@dataclass(frozen=True)
class Finding:
    """One sickness.

    - `name`: one of `KINDS`; `where`: the layers, or ""
    - `what`, `evidence`, `change`: a sentence each
    - `after`: the name of a finding that can account for this one, or ""
    """

    name: str
    what: str
    evidence: str
    change: str
    where: tuple[str, ...] = ()
    after: str = ""


@dataclass(frozen=True)
class Inputs:
    """What goes in, of one tensor of floating-point numbers.

    - `mean`, `std`, `rms`, `largest`: of all its entries; `largest` is of their size
    - `widest`: of a table (examples, features), the largest root mean square of a feature
    """

    name: str
    mean: float
    std: float
    rms: float
    largest: float
    widest: float
    finite: bool = True


@dataclass(frozen=True)
class Measurements:
    """All that the rules look at. `report` is None where none was seen, and `unseen` says why."""

    passed: FirstPass
    chance: Chance
    inputs: tuple[Inputs, ...]
    report: Report | None
    optimizer: str = ""
    rate: float | None = None
    unseen: str = ""


def findings(m: Measurements) -> tuple[Finding, ...]:
    """What is wrong, in the order of `KINDS`."""
    found = [finding for rule in _RULES for finding in rule(m)]
    found.sort(key=lambda finding: list(KINDS).index(finding.name))
    if found and found[0].name == "not finite":
        return (found[0],)  # the rest was computed from it
    names = [finding.name for finding in found]
    return tuple(
        Finding(**(vars(finding) | {"after": _bringer(finding.name, names)})) for finding in found
    )


def _bringer(name: str, found: Sequence[str]) -> str:
    earlier = found[: found.index(name)]
    return next((other for other in earlier if name in BRINGS.get(other, ())), "")


# The rules, each in the order of `KINDS`


def _not_finite(m: Measurements) -> Iterator[Finding]:
    places = [f"the input {i.name}" for i in m.inputs if not i.finite]
    places += [f"what {layer.name} gives" for layer in m.passed.layers if not layer.finite]
    places += [] if math.isfinite(m.passed.loss) else ["the loss"]
    places += [f"the gradient of {name}" for name in m.passed.not_finite]
    if places:
        yield Finding(
            "not finite",
            "There is an infinity or a NaN before the first step.",
            f"It is met first in {places[0]}" + _and_more(len(places) - 1, "place") + ".",
            "Look there: at the data, at a division or a logarithm of 0, at numbers too large for "
            "half precision. Nothing else was judged.",
            where=(places[0],),
        )


def _inputs(m: Measurements) -> Iterator[Finding]:
    for i in m.inputs if not m.passed.first_is_norm else ():
        offset = abs(i.mean) / i.std if i.std else 0.0
        size = max(i.rms, i.widest)
        if not (size > INPUT_RMS or offset > INPUT_OFFSET or 0 < i.largest < INPUT_LARGEST):
            continue
        told = f"mean {i.mean:.3g}, standard deviation {i.std:.3g}, largest size {i.largest:.3g}"
        if i.widest > 2 * i.rms:
            told += f"; its largest feature has a root mean square of {i.widest:.3g}"
        yield Finding(
            "inputs not normalised",
            f"The input {i.name} is far from mean 0 and standard deviation 1, for which layers "
            "are drawn.",
            f"On this batch: {told}.",
            "Subtract the training set's mean and divide by its standard deviation, each feature "
            "(of images: each channel) by its own.",
            where=(i.name,),
        )
        return


def _symmetric(m: Measurements) -> Iterator[Finding]:
    hidden = m.passed.layers[:-1]  # equal rows of an output layer are told apart by the targets
    found = [x for x in hidden if x.copies > max(1, COPIES * x.units)]
    told = "have the incoming weights and the bias of another unit, and the same gradient"
    copies = {x.name: x.copies for x in found}
    if not found and not _trains(m):  # a constant that does not even pass a gradient on
        found = [x for x in hidden if x.gain == 0 and x.units > 1]
        told = "have the same weights, and none of these gets a gradient"
        copies = {x.name: x.units for x in found}
    if found:
        worst = max(found, key=lambda x: copies[x.name] / x.units)
        yield Finding(
            "symmetric units",
            "Units are copies of each other, and no step will tell them apart.",
            f"In {worst.name}, {copies[worst.name]} of {worst.units} units {told}"
            + _elsewhere(found)
            + ".",
            "Draw the weights at random (torch.nn.init.kaiming_normal_ or xavier_uniform_); only "
            "biases may all be 0.",
            where=_names(found),
        )


def _trains(m: Measurements) -> bool:
    """Whether any layer's weights get a gradient."""
    return any(x.weight_gradient for x in m.passed.layers)


def _no_gradient(m: Measurements) -> Iterator[Finding]:
    layers = [x for x in m.passed.layers if x.weight_gradient is not None]
    if layers and not _trains(m):
        yield Finding(
            "no gradient",
            "No layer's weights get a gradient, and training would not move them.",
            f"The gradient is exactly 0 in {len(m.passed.unused.zero)} parameters, among them all "
            "weights of layers.",
            "Look for weights that are all 0, for activations that are all flat, and for a "
            "product with 0 on the way to the loss.",
            where=_names(layers),
        )


def _signal(m: Measurements) -> Iterator[Finding]:
    paths = list(chains(m.passed.layers[:-1]))
    sizes = [(*trend([x.rms for x in chain]), chain, "rms") for chain in paths]
    # What differs between examples may go while the rest stays, as the biases' part does.
    parts = [(*trend([x.signal for x in chain]), chain, "signal") for chain in paths]
    far = [f for f in sizes if not 1 / SIGNAL_FACTOR <= f[1] <= SIGNAL_FACTOR]
    far = far or [f for f in parts if f[1] < 1 / SIGNAL_FACTOR]
    if not far:
        return
    factor, total, chain, measure = max(far, key=lambda f: abs(math.log(f[1])))
    gain = sorted(x.gain for x in chain)[len(chain) // 2]
    grows = factor > 1
    size = "root mean square" if measure == "rms" else "standard deviation over the rows"
    first, last = getattr(chain[0], measure), getattr(chain[-1], measure)
    yield Finding(
        "signal grows" if grows else "signal shrinks",
        f"What differs between examples {'grows' if grows else 'shrinks'} by a factor of "
        f"{_two_digits(factor)} a layer.",
        f"Over {len(chain)} layers, {chain[0].name} to {chain[-1].name}, the {size} of what they "
        f"give goes from {first:.2g} to {last:.2g}, {_fold(total)} in all.",
        f"Their weights have a gain (standard deviation times √fan_in) of {gain:.2f}; multiply "
        f"them by {_two_digits(1 / factor)}, to a gain of {gain / factor:.2f}{_known_gain(m)}. Or "
        "normalise between the layers, or add residual connections.",
        where=_names(chain),
    )


def _known_gain(m: Measurements) -> str:
    name = _activation(m)
    if name not in ACTIVATIONS:
        return ""
    return f" (for {name}, gains.forward_gain gives {gains.forward_gain(name):.2f})"


def _activation(m: Measurements) -> str:
    """The commonest activation function."""
    sites = () if m.report is None else m.report.sites.values()
    found = Counter(site.activation for site in sites).most_common(1)
    return found[0][0] if found else ""


def _saturated(m: Measurements) -> Iterator[Finding]:
    found = []
    for site in () if m.report is None else m.report.sites.values():
        flat = site.recent.flat_share
        if site.activation not in TWO_SIDED or flat is None or not (flat < 1).any():
            continue
        share = flat[flat < 1].mean().item()
        if share > SATURATED:
            found.append((share, site))
    if found:
        share, site = max(found, key=lambda pair: pair[0])
        yield Finding(
            "saturated",
            f"Many activations of {site.activation} lie where it is flat, and pass no gradient.",
            f"At {site.name}, {share:.0%} of the activations are flat (a slope under 2% of the "
            f"largest), on {site.recent.n:,} rows" + _sites(len(found)) + ".",
            "Make the weights and biases of the layer before it smaller, so that its "
            "pre-activations have a standard deviation of about 1"
            + (f" (a gain of about 1{_known_gain(m)})" if _known_gain(m) else "")
            + ".",
            where=tuple(site.name for _, site in found),
        )


def _dead(m: Measurements) -> Iterator[Finding]:
    found = []
    for site in () if m.report is None else m.report.sites.values():
        stuck, always, units = _stuck(site)
        chance = 3 * math.sqrt(stuck + always)  # of a difference of two counts, three deviations
        if stuck - always > max(STUCK * units, chance):
            found.append((stuck - always, stuck, always, site))
    if found:
        _, stuck, always, site = max(found, key=lambda f: f[0] / f[3].units)
        rows = f"all {site.recent.n:,} rows of {site.recent.examples:,} examples"
        told = f"At {site.name}, {stuck} of {site.units} units are flat on {rows}"
        if site.activation not in TWO_SIDED:
            told += f", and {always} on none; a draw about 0 would make as many of either"
        yield Finding(
            "dead at the start",
            "Units are flat on every example, and get no gradient.",
            told + _sites(len(found)) + ".",
            "Look at the biases of the layer before, which should be 0 or small, and at whether "
            "its weights have mean 0. mlpinit.watch.audit over the whole data set tells which are "
            "dead.",
            where=tuple(f[3].name for f in found),
        )


def _stuck(site: SiteReport) -> tuple[int, int, int]:
    """Units flat on every row; on none, where that is to be set against it; and all."""
    flat = site.recent.flat_share
    if flat is None:
        return 0, 0, site.units
    dead = sum(verdict in ("hard-dead", "soft-dead") for verdict in site.verdicts)
    return dead, 0 if site.activation in TWO_SIDED else int((flat == 0).sum()), site.units


def _loss(m: Measurements) -> Iterator[Finding]:
    c, loss = m.chance, m.passed.loss
    if c.value is None:
        return
    if c.kind == "squared error":
        if loss > ERROR_FACTOR * c.value > 0:
            yield Finding(
                "loss above chance",
                "The loss is far above that of answering every example with the same number.",
                f"It is {loss:.3g}, and {c.value:.3g} for the best constant.",
                "Standardise the targets, or set the last bias to their mean; and make the last "
                "layer's weights smaller.",
            )
    elif loss - c.value > min(CONFIDENT, c.value / 2):
        yield Finding(
            "loss above chance",
            "The model is sure of answers that it cannot know yet.",
            f"The loss is {loss:.2f} nats, and {c.value:.2f} if all of {c.classes} classes are "
            f"held equally likely. The logits have a standard deviation of {c.logits_std:.2f}, and "
            f"the largest probability is {c.confidence:.0%} in the mean.",
            "Multiply the last layer's weights by "
            f"{_two_digits(min(0.1, 0.1 / max(c.logits_std or 1, 0.1)))} and set its bias to 0.",
            where=tuple(x.name for x in m.passed.layers[-1:]),
        )


def _gradients(m: Measurements) -> Iterator[Finding]:
    best: tuple[float, float, list[Layer]] | None = None
    for chain in chains([x for x in m.passed.layers[:-1] if x.gradient]):
        factor, total = trend([x.gradient for x in reversed(chain)])
        if best is None or abs(math.log(total)) > abs(math.log(best[1])):
            best = factor, total, chain
    if best is None or 1 / GRADIENT_FACTOR <= best[1] <= GRADIENT_FACTOR:
        return
    factor, total, chain = best
    gain = sorted(x.gain for x in chain)[len(chain) // 2]
    grows = factor > 1
    name = _activation(m)
    known = (
        f" ({name} has a backward gain of {gains.backward_gain(name):.2f} at pre-activations of "
        "variance 1)"
        if name in ACTIVATIONS
        else ""
    )
    yield Finding(
        "gradients explode" if grows else "gradients vanish",
        f"On the way back the gradient {'grows' if grows else 'shrinks'} by a factor of "
        f"{_two_digits(factor)} a layer.",
        f"Its norm is {chain[-1].gradient:.2g} at {chain[-1].name} and {chain[0].gradient:.2g} at "
        f"{chain[0].name}, {len(chain) - 1} such layers below, {_fold(total)} in all.",
        f"The layers' weights have a gain of {gain:.2f}; {'lower' if grows else 'raise'} it{known},"
        " or normalise between the layers, or add residual connections.",
        where=_names(chain),
    )


def _updates(m: Measurements) -> Iterator[Finding]:
    ratios = sorted(x.update for x in _distinct(m.passed.layers) if x.update)
    if not ratios:
        return
    middle = ratios[len(ratios) // 2]
    if SMALL_UPDATE <= middle <= LARGE_UPDATE:
        return
    large = middle > LARGE_UPDATE
    wanted = 10 ** round(math.log10(1e-3 / middle))
    rate = "" if m.rate is None else f" from {m.rate:.2g} to about {m.rate * wanted:.0e}"
    yield Finding(
        f"updates too {'large' if large else 'small'}",
        f"The first step of {m.optimizer} changes the weights by too "
        f"{'much to keep what they were' if large else 'little to learn'}.",
        f"Over the layers, the median of std(update) / std(weight) is {_two_digits(middle)}, log10 "
        f"{math.log10(middle):.1f}; about −3 is usual.",
        f"{'Lower' if large else 'Raise'} the learning rate{rate}"
        + (", or begin with a warm-up." if large else "."),
        where=_names([x for x in m.passed.layers if x.update]),
    )


_RULES: tuple[Callable[[Measurements], Iterator[Finding]], ...] = (
    _not_finite, _inputs, _symmetric, _signal, _saturated, _dead, _no_gradient, _loss, _gradients,
    _updates,
)  # fmt: skip


def remarks(m: Measurements) -> Iterator[str]:
    """What is worth knowing and may be on purpose, a sentence each."""
    unused, c = m.passed.unused, m.chance
    if c.value is None:
        yield f"What the loss would be by chance cannot be known: {c.why}."
    elif c.kind != "squared error" and m.passed.loss < c.value / 2:
        yield "The loss is far below chance: is the model trained already, or sees it the targets?"
    if unused.frozen:
        yield f"Frozen, as they do not require a gradient: {_listed(unused.frozen)}."
    if unused.unused:
        yield f"Not used by this loss, and so without a gradient: {_listed(unused.unused)}."
    if unused.zero:
        yield (
            f"With a gradient of exactly 0 in this step: {_listed(unused.zero)}. What is behind a "
            "weight of 0 gets one from the second step on; what is dead never does."
        )
    if unused.outside:
        yield f"Not among the parameters of {m.optimizer}: {_listed(unused.outside)}."
    if m.report is None:
        yield f"Saturated and dead units were not looked for: {m.unseen.partition(' It looks')[0]}."
    yield from (f"{note[0].upper()}{note[1:]}." for note in m.passed.notes)


# Layers that do the same at other depths


def chains(layers: Sequence[Layer]) -> Iterator[list[Layer]]:
    """Layers that do the same at growing depth: by kind and name, or by kind if that finds none."""
    layers = [x for x in layers if x.kind != "Embedding"]
    for key in ("group", "kind"):
        ordered = sorted(layers, key=lambda x: getattr(x, key))  # stable: the depth is kept
        found = [list(members) for _, members in groupby(ordered, key=lambda x: getattr(x, key))]
        found = [chain for chain in found if len(chain) >= CHAIN]
        if found:
            yield from found
            return


def trend(values: Sequence[float]) -> tuple[float, float]:
    """The factor from one to the next, by least squares of the logarithms, and that over all.

    Values that are 0 are passed over, for what is gone has no factor.

    >>> "{:.3f} {:.3f}".format(*trend([8.0, 4.0, 2.0]))
    '0.500 0.250'
    """
    points = [(x, math.log(v)) for x, v in enumerate(values) if v > 0 and math.isfinite(v)]
    if len(points) < CHAIN:
        return 1.0, 1.0
    centre = sum(x for x, _ in points) / len(points)
    spread = sum((x - centre) ** 2 for x, _ in points)
    slope = sum((x - centre) * y for x, y in points) / spread
    return math.exp(slope), math.exp(slope * (points[-1][0] - points[0][0]))


def _distinct(layers: Sequence[Layer]) -> Iterator[Layer]:
    yield from (x for x in layers if "#" not in x.name)


# Words


def _names(layers: Sequence[Layer]) -> tuple[str, ...]:
    return tuple(x.name for x in layers)


def _elsewhere(found: Sequence[Layer]) -> str:
    return _and_more(len(found) - 1, "layer")


def _sites(n: int) -> str:
    return _and_more(n - 1, "site")


def _and_more(n: int, noun: str) -> str:
    return f", and so in {n} {noun}{'' if n == 1 else 's'} more" if n > 0 else ""


def _listed(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _fold(total: float) -> str:
    """A ratio in words: "350-fold", "to 1/350"."""
    return f"{_two_digits(total)}-fold" if total >= 1 else f"to 1/{_two_digits(1 / total)}"


def _two_digits(x: float) -> str:
    """The number to two digits, without an exponent where it is not needed."""
    if not 0.001 <= abs(x) < 1e6:
        return f"{x:.1e}"
    digits = max(0, 1 - math.floor(math.log10(abs(x))))
    return f"{x:,.{digits}f}" if x < 100 else f"{float(f'{x:.1e}'):,.0f}"
