"""Graders of chapter 4, Training."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from mlpinit.grading.exercise import Case, Draw, Exercise, Mistake

__all__ = ["EXERCISES"]


def _step_cases(g: Generator) -> list[Case]:
    def case(
        shapes: list[tuple[int, ...]],
        lr: float,
        dtype: torch.dtype = torch.float32,
        scale: float = 1.0,
        what: str = "",
    ) -> Case:
        params, grads = (
            [torch.randn(shape, generator=g, dtype=dtype) for shape in shapes] for _ in range(2)
        )
        return Case((params, [scale * grad for grad in grads], lr), what)

    return [
        case([(2, 3), (3,)], 0.1),
        case([(27, 10), (30, 20), (20,), (20, 27), (27,)], 0.01, torch.float64, what="float64"),
        case([(4,), (3, 2, 5)], 2.5, scale=300.0, what="a large rate and large gradients"),
    ]


def _step(params: list[Tensor], grads: list[Tensor], lr: float) -> list[Tensor]:
    pairs = zip(params, grads, strict=True)
    return [torch.add(p.double(), grad.double(), alpha=-lr) for p, grad in pairs]


def _step_mistake(says: str, form: Callable[[Tensor, Tensor, float], Tensor]) -> Mistake:
    def wrong(params: list[Tensor], grads: list[Tensor], lr: float) -> list[Tensor]:
        pairs = zip(params, grads, strict=True)
        return [form(p.double(), grad.double(), lr) for p, grad in pairs]

    return Mistake(says, wrong)


STEP = Exercise(
    id="4.1",
    title="One step, and nothing lost",
    function="sgd_step",
    points=1,
    cases=_step_cases,
    oracle=_step,
    mistakes=(
        _step_mistake(
            "this climbs: the step goes against the gradient, so it is taken away",
            lambda p, grad, lr: p + lr * grad,
        ),
        _step_mistake(
            "these are the parameters as they came: in a loop, p = p - … gives a name to a new "
            "tensor and leaves the list as it was",
            lambda p, grad, lr: p,
        ),
        _step_mistake(
            "the learning rate is not used: the step is lr times the gradient",
            lambda p, grad, lr: p - grad,
        ),
        _step_mistake(
            "these are the steps alone; add them to the parameters",
            lambda p, grad, lr: -lr * grad,
        ),
        _step_mistake(
            "each gradient is cut to length 1: the step is lr times the gradient, however long",
            lambda p, grad, lr: p - lr * grad / grad.norm(),
        ),
        _step_mistake(
            "the parameters shrink besides: that is weight decay, which is not asked for",
            lambda p, grad, lr: p - lr * (grad + p),
        ),
        _step_mistake(
            "the step is taken twice",
            lambda p, grad, lr: p - 2 * lr * grad,
        ),
        _step_mistake(
            "this keeps a share of the old step, as momentum does: with one step there is no old "
            "one, and the gradient counts in full",
            lambda p, grad, lr: p - 0.1 * lr * grad,
        ),
        _step_mistake(
            "the gradient is divided by the learning rate: the step is their product",
            lambda p, grad, lr: p - grad / lr,
        ),
        _step_mistake(
            "the parameters are multiplied by 1 − lr · gradient: the step is taken away",
            lambda p, grad, lr: p * (1 - lr * grad),
        ),
        _step_mistake(
            "the step is made of the parameters where the gradients are meant",
            lambda p, grad, lr: p - lr * p,
        ),
        _step_mistake(
            "only the sign of the gradient is used: its size counts too",
            lambda p, grad, lr: p - lr * grad.sign(),
        ),
        _step_mistake(
            "the gradient is averaged over its entries: every parameter has its own",
            lambda p, grad, lr: p - lr * grad.mean(),
        ),
        _step_mistake(
            "parameters and gradients changed places",
            lambda p, grad, lr: grad - lr * p,
        ),
        _step_mistake(
            "the gradient is divided by the number of rows: its mean is taken already",
            lambda p, grad, lr: p - lr * grad / len(grad),
        ),
        Mistake(
            "only the first tensor is moved: each takes its step",
            lambda params, grads, lr: [_step(params, grads, lr)[0], *params[1:]],
        ),
        Mistake(
            "only the last tensor is moved: each takes its step",
            lambda params, grads, lr: [*params[:-1], _step(params, grads, lr)[-1]],
        ),
        Mistake(
            "only the first tensor comes back: go on to the end of the list",
            lambda params, grads, lr: _step(params, grads, lr)[:1],
        ),
    ),
    hints=(
        "Go through both lists together, with zip, and build a third.",
        "p - lr * grad makes a new tensor; p -= lr * grad writes into the old one.",
    ),
    teaches="A new tensor keeps the start for comparison; in place saves the memory of a copy.",
)


def _schedule_cases(g: Draw) -> list[Case]:
    def case(steps: int, warmup: int, peak: float, final: float, what: str = "") -> Case:
        longer = g.whole(0, 0, 4)
        up = longer if warmup == steps else 0 if warmup == 1 else g.whole(0, 0, longer)
        peak, final = (g.real(rate, 0.8 * rate, 1.2 * rate) for rate in (peak, final))
        return Case((steps + longer, warmup + up, peak, final), what)

    return [
        case(8, 3, 0.4, 0.1),
        case(1000, 50, 0.1, 0.0, "a long run, down to 0"),
        case(9, 1, 0.3, 0.02, "a warm-up of one step"),
        case(6, 6, 0.5, 0.05, "warm-up to the end"),
        case(7, 5, 0.2, 0.3, "a final rate above the peak"),
    ]


def _schedule(steps: int, warmup: int, peak: float, final: float) -> Tensor:
    rates = [peak * k / warmup for k in range(1, warmup + 1)]
    rest = steps - warmup
    for k in range(1, rest + 1):
        rates.append(final + (peak - final) * math.cos(math.pi * k / rest / 2) ** 2)
    return torch.tensor(rates, dtype=torch.float64)


def _schedule_wrong(
    *,
    rise: Callable[[int, int], float] = lambda s, warmup: (s + 1) / warmup,
    fall: Callable[[int, int, int], float] = lambda s, steps, warmup: (
        (s - warmup + 1) / (steps - warmup)
    ),
    shape: Callable[[float], float] = lambda t: (1 + math.cos(math.pi * t)) / 2,
    floor: bool = True,
) -> Callable[..., Tensor]:
    """Rates with another share of the peak, another progress of the decay, or another form."""

    def wrong(steps: int, warmup: int, peak: float, final: float) -> Tensor:
        low = final if floor else 0.0
        rates = [
            peak * rise(s, warmup)
            if s < warmup
            else low + (peak - low) * shape(fall(s, steps, warmup))
            for s in range(steps)
        ]
        return torch.tensor(rates, dtype=torch.float64)

    return wrong


def _from_zero(s: int, warmup: int) -> float:
    return s / warmup


def _peak_again(s: int, steps: int, warmup: int) -> float:
    return (s - warmup) / (steps - warmup)


SCHEDULE = Exercise(
    id="4.2",
    title="Up in a line, down in a wave",
    function="warmup_cosine",
    points=2,
    cases=_schedule_cases,
    oracle=_schedule,
    mistakes=(
        Mistake(
            "off by one at both joints: the first step must not be wasted on a rate of 0, and the "
            "last must have the final rate",
            _schedule_wrong(rise=_from_zero, fall=_peak_again),
        ),
        Mistake(
            "off by one in the warm-up: it starts from 0, a step that moves nothing, where "
            "peak / warmup is meant",
            _schedule_wrong(rise=_from_zero),
        ),
        Mistake(
            "off by one in the decay: step warmup has the peak a second time, and the last step "
            "does not reach the final rate",
            _schedule_wrong(fall=_peak_again),
        ),
        Mistake(
            "off by one in the decay: the last step has the final rate, but step warmup still has "
            "the peak, which step warmup − 1 had already",
            _schedule_wrong(fall=lambda s, steps, warmup: (s - warmup) / (steps - 1 - warmup)),
        ),
        Mistake(
            "the decay does not start at the end of the warm-up but at step 0, and so begins with "
            "a jump",
            _schedule_wrong(fall=lambda s, steps, warmup: s / (steps - 1)),
        ),
        Mistake(
            "the cosine goes through a quarter of a wave where half a wave is meant: from 1 to −1",
            _schedule_wrong(shape=lambda t: math.cos(math.pi * t / 2)),
        ),
        Mistake(
            "the decay is a straight line where half a cosine is meant",
            _schedule_wrong(shape=lambda t: 1 - t),
        ),
        Mistake(
            "the decay goes down to 0 where the final rate is meant",
            _schedule_wrong(floor=False),
        ),
        Mistake(
            "the decay goes down to 0 and is cut off at the final rate: the wave itself must end "
            "there",
            lambda *args: _schedule_wrong(floor=False)(*args).clamp(min=args[3]),
        ),
        Mistake(
            "the decay turns the wrong way: it begins at the final rate and rises to the peak",
            _schedule_wrong(shape=lambda t: (1 - math.cos(math.pi * t)) / 2),
        ),
        Mistake(
            "the warm-up does not reach the peak: its last step has peak · warmup / (warmup + 1)",
            _schedule_wrong(rise=lambda s, warmup: (s + 1) / (warmup + 1)),
        ),
        Mistake(
            "the warm-up starts from 0 and reaches the peak in warmup − 1 amounts: the first step "
            "has peak / warmup",
            _schedule_wrong(rise=lambda s, warmup: s / (warmup - 1)),
        ),
        Mistake(
            "the warm-up is missing: the peak stands in all of its steps",
            _schedule_wrong(rise=lambda s, warmup: 1.0),
        ),
        Mistake(
            "the warm-up follows a wave where equal amounts are meant",
            _schedule_wrong(rise=lambda s, warmup: (1 - math.cos(math.pi * (s + 1) / warmup)) / 2),
        ),
        Mistake(
            "the warm-up rises from the final rate: it rises from peak / warmup",
            lambda steps, warmup, peak, final: _schedule_wrong(
                rise=lambda s, n: (final + (peak - final) * (s + 1) / n) / peak
            )(steps, warmup, peak, final),
        ),
        Mistake(
            "1 + cos is not halved: it goes from 2 to 0",
            _schedule_wrong(shape=lambda t: 1 + math.cos(math.pi * t)),
        ),
        Mistake(
            "the cosine itself stands where (1 + cos) / 2 is meant, and goes below the final rate",
            _schedule_wrong(shape=lambda t: math.cos(math.pi * t)),
        ),
        Mistake(
            "the cosine goes through a whole wave, and so comes back to the peak",
            _schedule_wrong(shape=lambda t: (1 + math.cos(2 * math.pi * t)) / 2),
        ),
        Mistake(
            "π is missing: the cosine is of t alone",
            _schedule_wrong(shape=lambda t: (1 + math.cos(t)) / 2),
        ),
        Mistake(
            "the decay counts its progress from step 0, over all steps: it begins after the rise",
            _schedule_wrong(fall=lambda s, steps, warmup: (s + 1) / steps),
        ),
        Mistake(
            "the decay divides by all steps: those of the warm-up are not among its own",
            _schedule_wrong(fall=lambda s, steps, warmup: (s - warmup + 1) / steps),
        ),
        Mistake(
            "the decay divides by one step too many, and does not reach the final rate",
            _schedule_wrong(fall=lambda s, steps, warmup: (s - warmup + 1) / (steps - warmup + 1)),
        ),
        Mistake(
            "the final rate is added to a decay from the whole peak: (peak − final) is what falls",
            lambda steps, warmup, peak, final: _schedule_wrong(
                shape=lambda t: peak * (1 + math.cos(math.pi * t)) / 2 / (peak - final)
            )(steps, warmup, peak, final),
        ),
    ),
    hints=(
        "Write down by hand the rates of 8 steps with a warm-up of 3: which steps have 1/3, 2/3 "
        "and 3/3 of the peak, and which has the final rate?",
        "The warm-up's share at step s is (s + 1) / warmup. The decay has progress t = 0 at step "
        "warmup − 1 and t = 1 at step steps − 1: how many steps lie between?",
        "The rate is final + (peak − final) · (1 + cos πt) / 2, which is at the peak for t = 0 and "
        "final for t = 1.",
    ),
    teaches="Count the gaps, not the steps: a schedule is fixed by what holds at its two ends.",
)


def _noise_cases(g: Generator) -> list[Case]:
    def case(
        n: int,
        p: int,
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        scale: float = 1.0,
        what: str = "",
    ) -> Case:
        each = torch.linspace(0.3, 2.0, p, dtype=dtype)  # some parameters are noisier
        gradients = (torch.randn(n, p, generator=g, dtype=dtype) * each + 1.0) * scale
        return Case((gradients, batch_size), what)

    return [
        case(7, 3, 4),
        case(200, 50, 32, torch.float64, what="float64"),
        case(7, 40, 20, what="a batch larger than the set"),
        case(60, 9, 1, scale=1e-5, what="small gradients, one example"),
    ]


def _noise(gradients: Tensor, batch_size: int) -> Tensor:
    # σ² from pairs: half the mean squared distance of two examples drawn independently.
    rows = gradients.double()
    pairs = (rows[:, None] - rows[None]).square().sum(-1)
    return (pairs.mean() / 2 / batch_size).sqrt()


def _noise_mistake(says: str, form: Callable[[Tensor, int], Tensor]) -> Mistake:
    return Mistake(says, lambda gradients, batch_size: form(gradients.double(), batch_size))


def _variances(g: Tensor, correction: int = 0) -> Tensor:
    return g.var(0, correction=correction)


NOISE = Exercise(
    id="4.3",
    title="The noise before it is drawn",
    function="batch_noise",
    points=2,
    cases=_noise_cases,
    oracle=_noise,
    atol=1e-12,
    mistakes=(
        _noise_mistake(
            "this is the square of the noise: the root is missing",
            lambda g, b: _variances(g).sum() / b,
        ),
        _noise_mistake(
            "this divides by B where √B is meant: squared lengths add, so it is σ² that is "
            "divided by B",
            lambda g, b: _variances(g).sum().sqrt() / b,
        ),
        _noise_mistake(
            "this is σ, the noise of one example: the batch has a mean of B",
            lambda g, b: _variances(g).sum().sqrt(),
        ),
        _noise_mistake(
            "this divides by n − 1, which corrects for a sample; the n rows are all there is to "
            "draw from, and σ² is the plain mean over them",
            lambda g, b: (_variances(g, 1).sum() / b).sqrt(),
        ),
        _noise_mistake(
            "this divides by the number of rows where the batch size is meant",
            lambda g, b: (_variances(g).sum() / len(g)).sqrt(),
        ),
        _noise_mistake(
            "the full gradient is not taken away: this is the length of a gradient, not its "
            "distance from the mean",
            lambda g, b: (g.square().sum(1).mean() / b).sqrt(),
        ),
        _noise_mistake(
            "the variances are averaged over the parameters where a squared length is their sum",
            lambda g, b: (_variances(g).mean() / b).sqrt(),
        ),
        _noise_mistake(
            "the standard deviations of the parameters are added where their squares add",
            lambda g, b: _variances(g).sqrt().sum() / b**0.5,
        ),
        _noise_mistake(
            "this is the mean of the distances; the root of the mean of their squares is meant",
            lambda g, b: (g - g.mean(0)).norm(dim=1).mean() / b**0.5,
        ),
        _noise_mistake(
            "this is for drawing without replacement; here an example may come twice in a batch, "
            "and nothing else need be corrected",
            lambda g, b: (_variances(g).sum() / b * (len(g) - b) / (len(g) - 1)).sqrt(),
        ),
        _noise_mistake(
            "the variance of all entries together is no mean over rows: take each parameter's, "
            "and add them up",
            lambda g, b: (g.var(correction=0) / b).sqrt(),
        ),
        _noise_mistake(
            "the variance of all entries together is no mean over rows: take each parameter's, "
            "over n, and add them up",
            lambda g, b: (g.var() / b).sqrt(),
        ),
        _noise_mistake(
            "the variances are averaged over the parameters, and divided by n − 1: a squared "
            "length is a sum, and σ² a mean",
            lambda g, b: (_variances(g, 1).mean() / b).sqrt(),
        ),
        _noise_mistake(
            "this divides by B − 1: a mean of B has a B-th of the variance",
            lambda g, b: (_variances(g).sum() / (b - 1)).sqrt(),
        ),
        _noise_mistake(
            "these are one for each parameter: squared lengths add up",
            lambda g, b: (_variances(g) / b).sqrt(),
        ),
        _noise_mistake(
            "these are one for each parameter, divided by n − 1: squared lengths add up",
            lambda g, b: (_variances(g, 1) / b).sqrt(),
        ),
        _noise_mistake(
            "this is the standard deviation of the gradients' lengths: take the mean gradient "
            "away as vectors",
            lambda g, b: g.norm(dim=1).std(correction=0) / b**0.5,
        ),
        _noise_mistake(
            "this is the standard deviation of the gradients' lengths, over n − 1: take the mean "
            "gradient away as vectors",
            lambda g, b: g.norm(dim=1).std() / b**0.5,
        ),
        _noise_mistake(
            "this is the length of the full gradient: its distance from the rows is asked",
            lambda g, b: g.mean(0).norm() / b**0.5,
        ),
        _noise_mistake(
            "this is multiplied by √B: a larger batch has less noise",
            lambda g, b: (_variances(g).sum() * b).sqrt(),
        ),
        _noise_mistake(
            "the sum of the squares is not averaged over the rows",
            lambda g, b: (_variances(g).sum() * len(g) / b).sqrt(),
        ),
        _noise_mistake(
            "the mean is taken of each row, over its parameters: it is over the examples",
            lambda g, b: (_variances(g.T).sum() / b).sqrt(),
        ),
        _noise_mistake(
            "this divides by the rows and the batch size: a batch's mean is over B",
            lambda g, b: (_variances(g).sum() / b / len(g)).sqrt(),
        ),
        _noise_mistake(
            "this is for drawing without replacement, and takes (n − B) / n; here an example may "
            "come twice",
            lambda g, b: (_variances(g).sum() / b * (len(g) - b) / len(g)).sqrt(),
        ),
        _noise_mistake(
            "the standard deviations are averaged over the parameters where their squares add",
            lambda g, b: _variances(g).sqrt().mean() / b**0.5,
        ),
    ),
    hints=(
        "The rows are the gᵢ of the chapter. What is their mean, and what is σ²?",
        "σ² is the mean over the rows of the squared length of (row − mean of the rows); the "
        "squared length sums over the p entries.",
        "If you use var or std: they divide by n − 1 unless told correction=0.",
    ),
    teaches="One pass over the examples predicts the noise of every batch size.",
)

EXERCISES = (STEP, SCHEDULE, NOISE)
