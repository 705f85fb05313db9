"""Graders of chapter 16, Bringing them back."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate

import torch
from torch import Generator, Tensor
from torch.nn import functional

from mlpinit.grading.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]

Masks = tuple[Tensor, Tensor, Tensor]


def _returns_cases(g: Generator) -> list[Case]:
    def case(n: int, fan_in: int, units: int, what: str = "", **kwargs) -> Case:
        x = torch.randn(n, fan_in, generator=g, **kwargs)
        W = torch.randn(fan_in, units, generator=g, **kwargs)
        reach = (x @ W).amax(0)
        # Dead with margins of either side of 0: some are live before, some come back.
        b = -reach - torch.linspace(-0.3, 1.0, units, **kwargs)
        new_x = x + 0.3 * torch.randn(n, fan_in, generator=g, **kwargs)
        new_W = W + 0.15 * torch.randn(fan_in, units, generator=g, **kwargs)
        new_b = b + 0.3 * torch.randn(units, generator=g, **kwargs)
        return Case((x, W, b, new_x, new_W, new_b), what)

    def whole(what: str) -> Case:
        """Exact: each unit's largest z is told, before and in the three networks after."""
        x = torch.randint(-2, 3, (6, 2), generator=g).float()
        x[0] = torch.tensor([2.0, 1.0])
        W = torch.tensor([[1.0], [2.0]]).repeat(1, 7)
        reach, new_reach = (x @ W).amax(0), (2 * x @ W).amax(0)
        b = torch.tensor([0.0, 0.0, -1.0, 1.0, -1.0, 0.0, -1.0]) - reach
        b[4] = -new_reach[4]
        new_b = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0, -1.0, 1.0]) - new_reach
        return Case((x, W, b, 2 * x, W, new_b), what)

    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    W = torch.tensor([[1.0, 2.0, -1.0, 1.0, 0.5], [0.0, 1.0, 1.0, 1.0, 0.5]])
    b = torch.tensor([-3.0, -2.5, -3.0, -3.0, -3.0])
    moved = (2 * x, W, b + torch.tensor([0.0, 0.0, 0.0, 1.5, 1.5]))
    return [
        Case((x, W, b, *moved), "five units, each with a story of its own"),
        case(40, 5, 12),
        case(30, 4, 30, "float64", dtype=torch.float64),
        case(7, 9, 20),
        whole("whole numbers: units that just reach 0, before or after"),
    ]


def _returns(x: Tensor, W: Tensor, b: Tensor, new_x: Tensor, new_W: Tensor, new_b: Tensor) -> Masks:
    """A unit at a time, by its largest pre-activation."""

    def top(inputs: Tensor, weights: Tensor, biases: Tensor) -> Tensor:
        columns = zip(weights.double().T, biases.double(), strict=True)
        return torch.stack([torch.mv(inputs.double(), w).max() + c for w, c in columns])

    dead = top(x, W, b) <= 0
    tops = top(new_x, new_W, new_b), top(new_x, W, b), top(x, new_W, new_b)
    now, carried, walked = (dead & (t > 0) for t in tops)
    return now, carried, walked


def _live(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    return (x.double() @ W.double() + b.double() > 0).any(0)


def _reaching(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    return (x.double() @ W.double() + b.double() >= 0).any(0)


RETURNS = Exercise(
    id="16.1",
    title="Who moved them",
    function="who_moved_them",
    points=1,
    cases=_returns_cases,
    oracle=_returns,
    rebuilt=2,
    mistakes=(
        Mistake(
            "units that were alive all along are counted: only those dead before can come back",
            lambda x, W, b, u, V, c: (_live(u, V, c), _live(u, W, b), _live(x, V, c)),
        ),
        Mistake(
            "the last two are exchanged: the embeddings move x, the unit moves W and b",
            lambda *args: tuple(_returns(*args)[i] for i in (0, 2, 1)),
        ),
        Mistake(
            "the new bias is used where only the embeddings were to move: b belongs to the unit",
            lambda x, W, b, u, V, c: (
                _returns(x, W, b, u, V, c)[0],
                ~_live(x, W, b) & _live(u, W, c),
                ~_live(x, W, b) & _live(x, V, b),
            ),
        ),
        Mistake(
            "the old bias is kept where W and b were to move together",
            lambda x, W, b, u, V, c: (
                *_returns(x, W, b, u, V, c)[:2],
                ~_live(x, W, b) & _live(x, V, b),
            ),
        ),
        Mistake(
            "a unit is live when it answers on some row (any), not on every one (all)",
            lambda x, W, b, u, V, c: tuple(
                ~_live(x, W, b) & (p.double() @ q.double() + r.double() > 0).all(0)
                for p, q, r in ((u, V, c), (u, W, b), (x, V, c))
            ),
        ),
        Mistake(
            "a unit whose largest z is exactly 0 is dead: at most 0 on every row, and live only "
            "above it",
            lambda x, W, b, u, V, c: tuple(
                ~_reaching(x, W, b) & _reaching(*network)
                for network in ((u, V, c), (u, W, b), (x, V, c))
            ),
        ),
        Mistake(
            "a unit whose largest z is exactly 0 before is dead: at most 0 on every row",
            lambda x, W, b, u, V, c: tuple(
                ~_reaching(x, W, b) & _live(*network)
                for network in ((u, V, c), (u, W, b), (x, V, c))
            ),
        ),
        Mistake(
            "a unit whose largest z is exactly 0 afterwards is still dead: live is above 0",
            lambda x, W, b, u, V, c: tuple(
                ~_live(x, W, b) & _reaching(*network)
                for network in ((u, V, c), (u, W, b), (x, V, c))
            ),
        ),
        Mistake(
            "these are the units that died: those that were dead before and live after are asked",
            lambda x, W, b, u, V, c: tuple(
                _live(x, W, b) & ~_live(*network) for network in ((u, V, c), (u, W, b), (x, V, c))
            ),
        ),
        Mistake(
            "any change is counted: from dead to live alone is asked",
            lambda x, W, b, u, V, c: tuple(
                _live(x, W, b) ^ _live(*network) for network in ((u, V, c), (u, W, b), (x, V, c))
            ),
        ),
        Mistake(
            "the old bias stands everywhere: new_b belongs to the unit as new_W does",
            lambda x, W, b, u, V, c: tuple(
                ~_live(x, W, b) & _live(*network) for network in ((u, V, b), (u, W, b), (x, V, b))
            ),
        ),
        Mistake(
            "the bias is left out",
            lambda x, W, b, u, V, c: tuple(
                ~_live(x, W, 0 * b) & _live(*network)
                for network in ((u, V, 0 * b), (u, W, 0 * b), (x, V, 0 * b))
            ),
        ),
        Mistake(
            "dead before is left out of the first: only the others need it here",
            lambda x, W, b, u, V, c: (_live(u, V, c), *_returns(x, W, b, u, V, c)[1:]),
        ),
        Mistake(
            "a unit that both would bring back is left out of the last two",
            lambda *args: (
                _returns(*args)[0],
                _returns(*args)[1] & ~_returns(*args)[2],
                _returns(*args)[2] & ~_returns(*args)[1],
            ),
        ),
        Mistake(
            "the last two are held to those that are back: each network is asked for itself",
            lambda *args: (
                _returns(*args)[0],
                _returns(*args)[1] & _returns(*args)[0],
                _returns(*args)[2] & _returns(*args)[0],
            ),
        ),
    ),
    hints=(
        "Build the pre-activations of networks that never existed: new x under old W and b, and "
        "old x under new W and b.",
        "was_dead = (x @ W + b <= 0).all(0), and a unit is live when any row is above 0; each "
        "answer is was_dead & a mask of live units.",
    ),
    teaches="What revives a dead unit can be told apart by changing one thing at a time.",
)


def _silence_cases(g: Generator) -> list[Case]:
    def case(out: int, in_: int, h: int, w: int, dead: list[int], what: str = "", **kw) -> Case:
        weight = torch.randn(out, in_, h, w, generator=g, **kw)
        bias = torch.randn(out, generator=g, **kw)
        return Case((weight, bias, torch.randn(in_, generator=g, **kw).tanh(), dead), what)

    weight, _, constants, _ = case(2, 3, 1, 2, []).args
    signs = constants.sign()
    signs[0] = -signs[1]  # both occur
    return [
        Case((weight, torch.tensor([3.0, -1.0]), signs, [1]), "a kernel of 1 by 2"),
        case(4, 6, 3, 2, [0, 5, 2]),
        case(6, 4, 2, 3, [3], "float64", dtype=torch.float64),
        case(3, 5, 2, 2, [], "none dead"),
        case(5, 3, 3, 3, [0, 1, 2], "all dead"),
    ]


def _silence(
    weight: Tensor, bias: Tensor, constants: Tensor, channels: list[int]
) -> tuple[Tensor, Tensor]:
    """The bias is what the old layer makes of an image that only the dead channels fill."""
    mask = torch.zeros(weight.shape[1], dtype=torch.float64)
    mask[channels] = 1.0
    image = (mask * constants.double()).view(1, -1, 1, 1).expand(1, -1, *weight.shape[2:])
    answer = functional.conv2d(image, weight.double(), bias.double())
    return weight.double() * (1 - mask).view(1, -1, 1, 1), answer.flatten()


def _folded_wrongly(reduce: str):
    def wrong(
        weight: Tensor, bias: Tensor, constants: Tensor, channels: list[int]
    ) -> tuple[Tensor, Tensor]:
        deaf, _ = _silence(weight, bias, constants, channels)
        W, c = weight.double()[:, channels], constants.double()[channels]
        told = {
            "nothing": torch.zeros(len(weight), dtype=torch.float64),
            "mean": W.mean((2, 3)) @ c,
            "ones": W.sum((1, 2, 3)),
            "minus": -W.sum((2, 3)) @ c,
            "all": weight.double().sum((2, 3)) @ constants.double(),
            "only": W.sum((2, 3)) @ c - bias.double(),
        }[reduce]
        return deaf, bias.double() + told

    return wrong


SILENCE = Exercise(
    id="16.2",
    title="Deaf to a channel",
    function="silence_channels",
    points=2,
    cases=_silence_cases,
    oracle=_silence,
    mistakes=(
        Mistake(
            "the bias is as it was: fold before you silence, or there is nothing left to fold",
            _folded_wrongly("nothing"),
        ),
        Mistake(
            "the kernel is averaged where it is to be summed: it meets the constant at every place",
            _folded_wrongly("mean"),
        ),
        Mistake("the constants are left out: they are not all 1", _folded_wrongly("ones")),
        Mistake(
            "what the channels said is taken from the bias, not added", _folded_wrongly("minus")
        ),
        Mistake(
            "every channel is folded: the living go on speaking, and would be counted twice",
            _folded_wrongly("all"),
        ),
        Mistake("the old bias is lost: add to it", _folded_wrongly("only")),
        Mistake(
            "the weight still hears them: the channels are axis 1 of the weight, (out, in, …)",
            lambda W, b, c, dead: (W.double(), _silence(W, b, c, dead)[1]),
        ),
        Mistake(
            "only the first place of the kernel is folded: it meets the constant at every place",
            lambda W, b, c, dead: (
                _silence(W, b, c, dead)[0],
                b.double() + W.double()[:, dead, 0, 0] @ c.double()[dead],
            ),
        ),
        Mistake(
            "only one axis of the kernel is summed: it meets the constant at every place",
            lambda W, b, c, dead: (
                _silence(W, b, c, dead)[0],
                b.double() + W.double()[:, dead].sum(2)[..., 0] @ c.double()[dead],
            ),
        ),
        Mistake(
            "every output gets the same number: each has a kernel of its own",
            lambda W, b, c, dead: (
                _silence(W, b, c, dead)[0],
                b.double() + (_silence(W, b, c, dead)[1] - b.double()).sum(),
            ),
        ),
        Mistake(
            "the constants are added without the kernel",
            lambda W, b, c, dead: (
                _silence(W, b, c, dead)[0],
                b.double() + c.double()[dead].sum(),
            ),
        ),
        Mistake(
            "the sizes of the constants are used: they keep their signs",
            lambda W, b, c, dead: (
                _silence(W, b, c, dead)[0],
                _silence(W, b, c.abs(), dead)[1],
            ),
        ),
        Mistake(
            "the living are silenced and the dead still heard",
            lambda W, b, c, dead: (
                W.double() - _silence(W, b, c, dead)[0],
                _silence(W, b, c, dead)[1],
            ),
        ),
        Mistake(
            "the living are silenced and folded: the dead are meant",
            lambda W, b, c, dead: _silence(W, b, c, [k for k in range(len(c)) if k not in dead]),
        ),
        Mistake(
            "the outputs are silenced: the channels are axis 1 of the weight, (out, in, …)",
            lambda W, b, c, dead: (
                W.double().index_fill(0, torch.tensor(dead).long(), 0.0),
                _silence(W, b, c, dead)[1],
            ),
        ),
        Mistake(
            "the channels are taken out of the weight: set them to 0, it keeps its shape",
            lambda W, b, c, dead: (
                W.double()[:, [k for k in range(len(c)) if k not in dead]],
                _silence(W, b, c, dead)[1],
            ),
        ),
        Mistake(
            "only the first channel is folded and silenced",
            lambda W, b, c, dead: _silence(W, b, c, dead[:1]) if len(dead) > 1 else None,
        ),
        Mistake(
            "only the last channel is folded and silenced",
            lambda W, b, c, dead: _silence(W, b, c, dead[-1:]) if len(dead) > 1 else None,
        ),
    ),
    hints=(
        "A convolution over a constant image multiplies the constant by the sum of its kernel.",
        "bias + weight[:, channels].sum((2, 3)) @ constants[channels], from the weight as it came.",
        "Set [:, channels] to 0 in a clone; the argument must stay as it is.",
    ),
    teaches="What a dead channel says is one number for each output, as long as nothing is padded.",
)


def _reset_cases(g: Generator) -> list[Case]:
    steady = torch.tensor([[0.5, -2.0]]).repeat(3, 1)
    return [
        Case((steady, 20, 0.01, 0.9, 0.999), "steady gradients"),
        Case((torch.randn(12, 5, generator=g), 37, 0.1, 0.8, 0.99)),
        Case((torch.randn(20, 3, generator=g, dtype=torch.float64), 0, 0.003, 0.9, 0.999), "t = 0"),
        Case((0.001 * torch.randn(40, 4, generator=g), 250_000, 0.001, 0.9, 0.999), "t is large"),
        Case(
            (1e-8 * torch.randn(9, 4, generator=g), 3, 0.01, 0.9, 0.99), "gradients as small as ε"
        ),
    ]


def _reset(gradients: Tensor, t: int, lr: float, beta1: float, beta2: float) -> Tensor:
    """The averages written out: (1 − β) Σ over the steps i up to k of β^(k − i) g_i."""
    g, n = gradients.double(), len(gradients)
    age = torch.arange(n).view(n, 1) - torch.arange(n)  # (k, i): how long ago step i was

    def average(beta: float, of: Tensor) -> Tensor:
        weights = (1 - beta) * torch.where(age >= 0, beta ** age.clamp(min=0).double(), 0.0)
        count = t + 1 + torch.arange(n, dtype=torch.float64)
        return (weights @ of) / -torch.expm1(count * math.log(beta)).view(n, 1)

    return -lr * average(beta1, g) / (average(beta2, g.square()).sqrt() + 1e-8)


def _by_averages(
    gradients: Tensor,
    t: float,
    lr: float,
    beta1: float,
    beta2: float,
    *,
    root: bool = True,
    step: Callable[[Tensor, Tensor, float, float], Tensor] | None = None,
) -> Tensor:
    """Adam by its sums; t = inf leaves the corrections out.

    `step(m, v, by1, by2)`: another step from the averages and their corrections.
    """
    g = gradients.double()
    m = v = torch.zeros_like(g[0])
    out = []
    for k, now in enumerate(g, 1):
        m, v = beta1 * m + (1 - beta1) * now, beta2 * v + (1 - beta2) * now**2
        by1, by2 = 1 - beta1 ** (t + k), 1 - beta2 ** (t + k)
        scale = (v / by2).sqrt() if root else v / by2
        out.append(-lr * (step(m, v, by1, by2) if step else m / by1 / (scale + 1e-8)))
    return torch.stack(out)


def _standing(g: Tensor, t: int, lr: float, beta1: float, beta2: float, *, count: int) -> Tensor:
    """With the corrections of one count in every step."""
    by1, by2 = 1 - beta1**count, 1 - beta2**count
    return _by_averages(
        g,
        t,
        lr,
        beta1,
        beta2,
        step=lambda m, v, *_: m / by1 / ((v / by2).sqrt() + 1e-8),
    )


def _exchanged(g: Tensor, t: int, lr: float, beta1: float, beta2: float) -> Tensor:
    """The averages with 1 − β for β, the corrections as they should be."""
    count = t + torch.arange(1, len(g) + 1, dtype=torch.float64).unsqueeze(1)
    m, v = (
        torch.stack(list(accumulate(part, lambda old, new, b=b: (1 - b) * old + b * new)))
        for b, part in ((beta1, _after(g.double(), beta1)), (beta2, _after(g.double() ** 2, beta2)))
    )
    return -lr * m / (1 - beta1**count) / ((v / (1 - beta2**count)).sqrt() + 1e-8)


def _after(values: Tensor, beta: float) -> list[Tensor]:
    """The first value with its weight, as the average starts from 0; the others as they are."""
    return [beta * values[0], *values[1:]]


RESET = Exercise(
    id="16.3",
    title="Adam after a reset",
    function="steps_after_reset",
    points=3,
    cases=_reset_cases,
    oracle=_reset,
    rtol=3e-4,
    rebuilt=2,
    mistakes=(
        Mistake(
            "the count starts at 0 again: the reset leaves it, so that the corrections use t + k",
            lambda g, t, *rest: _by_averages(g, 0, *rest),
        ),
        Mistake(
            "the corrections are left out; they are near 1 for a large t only",
            lambda g, t, *rest: _by_averages(g, float("inf"), *rest),
        ),
        Mistake(
            "the count is one behind: Adam counts a step before it corrects",
            lambda g, t, *rest: _by_averages(g, t - 1, *rest) if t > 0 else None,
        ),
        Mistake(
            "the root of the second average is missing",
            lambda g, t, *rest: _by_averages(g, t, *rest, root=False),
        ),
        Mistake(
            "these are the places after each step; the changes in each step are asked",
            lambda *args: _reset(*args).cumsum(0),
        ),
        Mistake(
            "beta1 and beta2 are exchanged",
            lambda g, t, lr, beta1, beta2: _by_averages(g, t, lr, beta2, beta1),
        ),
        Mistake(
            "ε is added before the correction: correct v first, take the root, then add ε",
            lambda *args: _by_averages(
                *args, step=lambda m, v, by1, by2: m / by1 / ((v.sqrt() + 1e-8) / by2**0.5)
            ),
        ),
        Mistake(
            "ε is under the root: it is added to the root",
            lambda *args: _by_averages(
                *args, step=lambda m, v, by1, by2: m / by1 / (v / by2 + 1e-8).sqrt()
            ),
        ),
        Mistake(
            "ε is left out: it is 1e-8, added to the root",
            lambda *args: _by_averages(
                *args, step=lambda m, v, by1, by2: m / by1 / (v / by2).sqrt()
            ),
        ),
        Mistake(
            "only the first average is corrected: the second has its own correction",
            lambda *args: _by_averages(
                *args, step=lambda m, v, by1, by2: m / by1 / (v.sqrt() + 1e-8)
            ),
        ),
        Mistake(
            "only the second average is corrected: the first has its own correction",
            lambda *args: _by_averages(
                *args, step=lambda m, v, by1, by2: m / ((v / by2).sqrt() + 1e-8)
            ),
        ),
        Mistake(
            "the count is one ahead: the first step after the reset has t + 1",
            lambda g, t, *rest: _by_averages(g, t + 1, *rest),
        ),
        Mistake(
            "the count stands still at t + 1: every step counts",
            lambda *args: _standing(*args, count=args[1] + 1),
        ),
        Mistake(
            "the count stands still at t: every step counts",
            lambda *args: _standing(*args, count=args[1]) if args[1] > 0 else None,
        ),
        Mistake(
            "the learning rate is left out",
            lambda g, t, lr, *rest: _reset(g, t, 1.0, *rest),
        ),
        Mistake(
            "the gradient itself stands where its average, m, is meant",
            lambda g, t, lr, b1, b2: _by_averages(g, t, lr, 0.0, b2),
        ),
        Mistake(
            "the square of the gradient itself stands where its average, v, is meant",
            lambda g, t, lr, b1, b2: _by_averages(g, t, lr, b1, 0.0),
        ),
        Mistake(
            "this is the sign of the gradient: no average is kept",
            lambda g, t, lr, b1, b2: _by_averages(g, t, lr, 0.0, 0.0),
        ),
        Mistake(
            "the gradients are added up without (1 − β₁)",
            lambda g, t, lr, b1, b2: _reset(g, t, lr, b1, b2) / (1 - b1),
        ),
        Mistake(
            "the squares are added up without (1 − β₂)",
            lambda g, t, lr, b1, b2: _by_averages(
                g,
                t,
                lr,
                b1,
                b2,
                step=lambda m, v, by1, by2: m / by1 / ((v / (1 - b2) / by2).sqrt() + 1e-8),
            ),
        ),
        Mistake(
            "neither (1 − β₁) nor (1 − β₂) is there",
            lambda g, t, lr, b1, b2: _by_averages(
                g,
                t,
                lr,
                b1,
                b2,
                step=lambda m, v, by1, by2: (
                    m / (1 - b1) / by1 / ((v / (1 - b2) / by2).sqrt() + 1e-8)
                ),
            ),
        ),
        Mistake(
            "β and 1 − β are exchanged in the averages: β keeps the old, 1 − β takes the new",
            _exchanged,
        ),
        Mistake(
            "the corrections multiply: the averages are divided by them",
            lambda *args: _by_averages(
                *args, step=lambda m, v, by1, by2: m * by1 / ((v * by2).sqrt() + 1e-8)
            ),
        ),
        Mistake(
            "all units share one v, its mean: each entry has its own",
            lambda *args: _by_averages(
                *args,
                step=lambda m, v, by1, by2: m / by1 / ((v.mean() / by2).sqrt() + 1e-8),
            ),
        ),
    ),
    hints=(
        "m and v start at 0: m ← β₁ m + (1 − β₁) g, and v likewise with g². Only the corrections "
        "1 − β₁^count and 1 − β₂^count know t.",
        "In the first step after the reset the count is t + 1.",
        "change = −lr · (m / (1 − β₁^count)) / (√(v / (1 − β₂^count)) + 1e-8).",
    ),
    teaches="Averages that start at 0 under a count that does not make the first steps too long.",
)

EXERCISES = (RETURNS, SILENCE, RESET)
