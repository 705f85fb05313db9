"""Graders of chapter 21, When the data move."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from mlpinit.grading.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]

Counts = tuple[Tensor, Tensor, Tensor]


# --- 21.1 -----------------------------------------------------------------------------------------


def _lives_cases(g: Generator) -> list[Case]:
    def case(tasks: int, units: int, what: str = "") -> Case:
        p = torch.rand(tasks, units, generator=g)
        dead = p < torch.linspace(0.3, 0.7, units)
        # One of each story, whatever was drawn: always live, always dead, died, came back to stay,
        # came back and died again.
        dead[:, 0], dead[:, 1] = False, True
        dead[:, 2] = torch.arange(tasks) > 0
        dead[:, 3] = torch.arange(tasks) < 1
        dead[:, 4] = torch.arange(tasks) != 1
        dead[0, 5], dead[1:, 5] = False, torch.arange(1, tasks) < tasks - 1
        order = torch.randperm(units, generator=g)
        return Case((dead[:, order],), what)

    return [
        case(4, 6, "four tasks, six units"),
        case(7, 20),
        case(9, 12),
        Case((torch.zeros(3, 8, dtype=torch.bool),), "nobody ever dead"),
        case(2, 9, "two tasks: one change"),
    ]


def _lives(dead: Tensor) -> Counts:
    """Unit by unit, through its tasks."""
    tasks, units = dead.shape
    deaths, births = (torch.zeros(tasks - 1, dtype=torch.int64) for _ in range(2))
    back = torch.zeros(units, dtype=torch.bool)
    for j, life in enumerate(dead.T.tolist()):
        for k in range(1, tasks):
            deaths[k - 1] += life[k] and not life[k - 1]
            births[k - 1] += life[k - 1] and not life[k]
        back[j] = any(life[:-1]) and not life[-1]
    return deaths, births, back


def _lives_but(**other):
    """The right answer, but for the parts that are given."""

    def wrong(dead: Tensor) -> Counts:
        parts = dict(zip(("deaths", "births", "back"), _lives(dead), strict=True))
        return tuple((parts | {name: make(dead) for name, make in other.items()}).values())

    return wrong


LIVES = Exercise(
    id="21.1",
    title="Births and deaths",
    function="births_and_deaths",
    points=1,
    cases=_lives_cases,
    oracle=_lives,
    mistakes=(
        Mistake(
            "deaths and births are exchanged: who is dead now and was live before has died",
            lambda dead: tuple(_lives(dead)[i] for i in (1, 0, 2)),
        ),
        Mistake(
            "the deaths are all that are dead: a unit dies once, and is dead at every look after",
            _lives_but(deaths=lambda dead: dead[1:].sum(1)),
        ),
        Mistake(
            "these are net changes: a death and a birth between two looks are one of each, not 0",
            _lives_but(
                deaths=lambda dead: dead.sum(1).diff().clamp(min=0),
                births=lambda dead: (-dead.sum(1).diff()).clamp(min=0),
            ),
        ),
        Mistake(
            "the last is every unit that was ever born: to stay, it is live at the last look too",
            _lives_but(back=lambda dead: (dead[:-1] & ~dead[1:]).any(0)),
        ),
        Mistake(
            "units that never died are among those that came back",
            _lives_but(back=lambda dead: ~dead[-1]),
        ),
        Mistake(
            "only units dead at the first look are asked about: any look before the last counts",
            _lives_but(back=lambda dead: ~dead[-1] & dead[0]),
        ),
        Mistake(
            "only units born in the last task are asked about: any look before the last counts",
            _lives_but(back=lambda dead: ~dead[-1] & dead[-2]),
        ),
        Mistake(
            "these are the units that died and stayed dead: those that came back are asked",
            _lives_but(back=lambda dead: dead[-1] & (~dead[:-1]).any(0)),
        ),
        Mistake(
            "sums run over tasks, one number a unit: count the units, one number a task",
            lambda dead: (
                (~dead[:-1] & dead[1:]).sum(0),
                (dead[:-1] & ~dead[1:]).sum(0),
                _lives(dead)[2],
            ),
        ),
    ),
    hints=(
        "dead[:-1] is the look before and dead[1:] the look after, task by task; & and ~ say who "
        "changed.",
        "deaths = (~dead[:-1] & dead[1:]).sum(1); who came back to stay is ~dead[-1] and was dead "
        "in any row of dead[:-1].",
    ),
    teaches="How many are dead does not say how many died: a layer can lose and gain at once.",
)


# --- 21.2 -----------------------------------------------------------------------------------------

Lists = tuple[list[Tensor], list[Tensor], list[Tensor]]


def _unit_cases(g: Generator) -> list[Case]:
    def case(fan_in: int, units: int, out: int, unit: int, what: str = "", **kw) -> Case:
        shapes = ((units, fan_in), (units,), (out, units))
        params = [torch.randn(shape, generator=g, **kw) for shape in shapes]
        m = [0.1 * torch.randn(shape, generator=g, **kw) for shape in shapes]
        v = [0.1 * torch.rand(shape, generator=g, **kw) + 0.01 for shape in shapes]
        fresh = torch.randn(fan_in, generator=g, **kw)
        return Case((params, m, v, unit, fresh), what)

    return [
        case(2, 4, 3, 1),
        case(6, 9, 4, 0, "the first unit"),
        case(5, 7, 3, 6, "the last unit, in float64", dtype=torch.float64),
        case(3, 12, 5, 2),
    ]


def _unit(
    params: list[Tensor], m: list[Tensor], v: list[Tensor], unit: int, fresh: Tensor
) -> Lists:
    """By masks: everything that is kept, and the new weights beside it."""
    other = torch.ones(len(params[1]), dtype=torch.float64)
    other[unit] = 0.0
    kept = [[A * other[:, None], c * other, B * other] for A, c, B in _doubled(params, m, v)]
    kept[0][0] = kept[0][0] + (1 - other)[:, None] * fresh.double()
    return tuple(kept)


def _doubled(*lists: list[Tensor]) -> list[list[Tensor]]:
    return [[tensor.double().clone() for tensor in tensors] for tensors in lists]


def _unit_but(change):
    """The right answer, altered: change(answer, arguments in float64, unit)."""

    def wrong(
        params: list[Tensor], m: list[Tensor], v: list[Tensor], unit: int, fresh: Tensor
    ) -> Lists:
        answer = _unit(params, m, v, unit, fresh)
        change(answer, _doubled(params, m, v), unit, fresh.double())
        return answer

    return wrong


def _keep(*places: tuple[int, int]):
    """Leave these tensors as they were: (which list, which of the three)."""

    def change(answer: Lists, before: list[list[Tensor]], unit: int, fresh: Tensor) -> None:
        for which, i in places:
            answer[which][i] = before[which][i]

    return _unit_but(change)


def _drawn_outgoing(answer: Lists, before: list, unit: int, fresh: Tensor) -> None:
    answer[0][0], answer[0][2] = before[0][0].clone(), before[0][2]
    answer[0][0][unit] = 0.0
    answer[0][2][:, unit] = fresh[: len(answer[0][2])].mean()


def _all_state(answer: Lists, before: list, unit: int, fresh: Tensor) -> None:
    for which in (1, 2):
        answer[which][:] = [torch.zeros_like(kept) for kept in answer[which]]


def _moments_fresh(answer: Lists, before: list, unit: int, fresh: Tensor) -> None:
    for which in (1, 2):
        answer[which][0][unit] = fresh


def _all_outgoing(answer: Lists, before: list, unit: int, fresh: Tensor) -> None:
    answer[0][2] = torch.zeros_like(answer[0][2])


def _row_of_outgoing(answer: Lists, before: list, unit: int, fresh: Tensor) -> None:
    for which in range(3):
        answer[which][2] = before[which][2]
        answer[which][2][unit] = 0.0  # an error where there is no such row: not told there


def _column_of_incoming(answer: Lists, before: list, unit: int, fresh: Tensor) -> None:
    W = before[0][0]
    W[:, unit] = 0.0
    answer[0][0] = W


UNIT = Exercise(
    id="21.2",
    title="One unit and its Adam",
    function="recycle_unit",
    points=2,
    cases=_unit_cases,
    oracle=_unit,
    mistakes=(
        Mistake(
            "the outgoing weights are as they were: the new unit speaks at once, and the outputs "
            "move",
            _keep((0, 2)),
        ),
        Mistake("the bias is as it was: it is what holds the unit down", _keep((0, 1))),
        Mistake(
            "Adam's averages are as they were: the new weights go on where the dead ones stood",
            _keep(*((which, i) for which in (1, 2) for i in range(3))),
        ),
        Mistake(
            "only m is reset: v remembers the old unit's gradients too",
            _keep(*((2, i) for i in range(3))),
        ),
        Mistake(
            "only v is reset: m pushes the new weights where the old ones went",
            _keep(*((1, i) for i in range(3))),
        ),
        Mistake(
            "the state of the outgoing weights is as it was: they are new as well",
            _keep((1, 2), (2, 2)),
        ),
        Mistake(
            "the state of the bias is as it was: the bias is new as well", _keep((1, 1), (2, 1))
        ),
        Mistake(
            "all of Adam's state is set to 0: only this unit's entries are new",
            _unit_but(_all_state),
        ),
        Mistake(
            "the fresh numbers went into the averages too: these start at 0",
            _unit_but(_moments_fresh),
        ),
        Mistake(
            "all outgoing weights are 0: only the column of this unit is",
            _unit_but(_all_outgoing),
        ),
        Mistake(
            "a row of the next weight is 0, which silences one of the next layer's units: the "
            "unit's outgoing weights are a column of (out, units)",
            _unit_but(_row_of_outgoing),
        ),
        Mistake(
            "the incoming weights are 0 and the outgoing ones drawn: the other way round, the unit "
            "varies and is not heard yet",
            _unit_but(_drawn_outgoing),
        ),
        Mistake(
            "the incoming weights are as they were: the unit would be dead again",
            _keep((0, 0)),
        ),
    ),
    hints=(
        "Row `unit` of the first weight comes in, entry `unit` of the bias belongs to it, and "
        "column `unit` of the next weight goes out.",
        "Clone all nine tensors; then write the same three places in params, m and v: fresh, 0 and "
        "0 in params, and zeros in both averages.",
    ),
    teaches="A unit is a row, an entry and a column, and so is what the optimiser keeps of it.",
)


# --- 21.3 -----------------------------------------------------------------------------------------

Five = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def _rescaled_cases(g: Generator) -> list[Case]:
    def case(a: int, b: int, c: int, d: int, norms: tuple, what: str = "", **kw) -> Case:
        shapes = ((a, b), (b,), (b, c), (c,), (c, d))
        return Case((*(torch.randn(s, generator=g, **kw) for s in shapes), norms), what)

    def some(low: float, high: float) -> float:
        part = torch.rand((), generator=g, dtype=torch.float64).item()
        return round(low + (high - low) * part, 3)

    return [
        case(2, 3, 4, 2, (1.0, 2.0)),
        case(6, 5, 7, 3, (some(0.5, 1.5), some(2.0, 3.0))),
        case(4, 9, 3, 5, (some(9.0, 12.0), some(0.2, 0.6)), "float64", dtype=torch.float64),
        case(3, 4, 6, 2, (some(4.0, 5.0), some(4.0, 5.0))),
    ]


def _factors(W1: Tensor, W2: Tensor, norms: tuple[float, float]) -> tuple[Tensor, Tensor]:
    squares = [W.double().square().sum() for W in (W1, W2)]
    return tuple(norm / s**0.5 for norm, s in zip(norms, squares, strict=True))


def _with(make):
    """make(c, d) → what each of W1, b1, W2, b2, W3 is multiplied by."""

    def answer(
        W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor, W3: Tensor, norms: tuple[float, float]
    ) -> Five:
        factors = make(*_factors(W1, W2, norms))
        return tuple(f * p.double() for f, p in zip(factors, (W1, b1, W2, b2, W3), strict=True))

    return answer


def _squared(
    W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor, W3: Tensor, norms: tuple[float, float]
) -> Five:
    c, d = (n / W.double().square().sum() for n, W in zip(norms, (W1, W2), strict=True))
    return tuple(
        f * p.double()
        for f, p in zip((c, c, d, c * d, 1 / (c * d)), (W1, b1, W2, b2, W3), strict=True)
    )


def _spectral(
    W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor, W3: Tensor, norms: tuple[float, float]
) -> Five:
    c, d = (
        n / torch.linalg.matrix_norm(W.double(), 2) for n, W in zip(norms, (W1, W2), strict=True)
    )
    return tuple(
        f * p.double()
        for f, p in zip((c, c, d, c * d, 1 / (c * d)), (W1, b1, W2, b2, W3), strict=True)
    )


RESCALED = Exercise(
    id="21.3",
    title="Smaller, and the same",
    function="rescaled",
    points=2,
    cases=_rescaled_cases,
    oracle=_with(lambda c, d: (c, c, d, c * d, 1 / (c * d))),
    mistakes=(
        Mistake(
            "the biases are as they were: z = x W + b is multiplied by c only if b is, too",
            _with(lambda c, d: (c, 1.0, d, 1.0, 1 / (c * d))),
        ),
        Mistake(
            "the second bias has only its own layer's factor: what comes to it from below has "
            "been multiplied already, so b2 needs both",
            _with(lambda c, d: (c, c, d, d, 1 / (c * d))),
        ),
        Mistake("the second bias is as it was", _with(lambda c, d: (c, c, d, 1.0, 1 / (c * d)))),
        Mistake("the first bias is as it was", _with(lambda c, d: (c, 1.0, d, c * d, 1 / (c * d)))),
        Mistake(
            "the last weights are as they were: they have to take both factors out again",
            _with(lambda c, d: (c, c, d, c * d, 1.0)),
        ),
        Mistake(
            "the last weights take out the second factor only: the first has come through as well",
            _with(lambda c, d: (c, c, d, c * d, 1 / d)),
        ),
        Mistake(
            "the last weights take out the first factor only: the second is in there as well",
            _with(lambda c, d: (c, c, d, c * d, 1 / c)),
        ),
        Mistake(
            "the last weights are multiplied by the factors: they have to take them out",
            _with(lambda c, d: (c, c, d, c * d, c * d)),
        ),
        Mistake(
            "the factors are upside down: wanted norm over present norm",
            _with(lambda c, d: (1 / c, 1 / c, 1 / d, 1 / (c * d), c * d)),
        ),
        Mistake(
            "the factors are the wanted norms themselves: divide by the present ones",
            lambda W1, b1, W2, b2, W3, norms: tuple(
                f * p.double()
                for f, p in zip(
                    (norms[0], norms[0], norms[1], norms[0] * norms[1], 1 / (norms[0] * norms[1])),
                    (W1, b1, W2, b2, W3),
                    strict=True,
                )
            ),
        ),
        Mistake("the root is missing: the norm is the root of the sum of squares", _squared),
        Mistake(
            "this is the largest singular value: the norm wanted is over all entries", _spectral
        ),
        Mistake(
            "the second weight takes the first factor out: then its norm is not the wanted one, "
            "and the last weights can do that instead",
            _with(lambda c, d: (c, c, d / c, d, 1 / d)),
        ),
    ),
    hints=(
        "relu(c z) = c relu(z) for c > 0. Follow a factor c through the first layer: what has to "
        "be multiplied by it so that z₁, h₁ are c times as large?",
        "With c = norms[0] / ‖W1‖ and d = norms[1] / ‖W2‖: z₁ is c times as large; z₂ is c·d times "
        "as large if b2 is, too; W3 takes c·d out.",
    ),
    teaches="One function has many parameters, and they do not learn alike.",
)

EXERCISES = (LIVES, UNIT, RESCALED)
