"""Graders of chapter 20, Dead features, dead codes, dead experts."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from mlpinit.grading.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]

Census = tuple[Tensor, Tensor, float]


def _census_cases(g: Generator) -> list[Case]:
    def case(n: int, members: int, d: int, what: str = "", **kwargs) -> Case:
        centres = torch.randn(members, d, generator=g, **kwargs)
        centres[members // 2] += 50.0  # which nothing is near
        centres[0] *= 3.0  # and one whose length misleads
        vectors = torch.randn(n, d, generator=g, **kwargs) + 0.5
        return Case((vectors, centres), what)

    vectors = torch.tensor([[0.0, 1.0], [0.9, 0.2], [1.1, 0.0], [4.0, 4.0], [1.0, -0.3]])
    vectors = vectors + 0.1 * torch.rand(5, 2, generator=g)
    codes = torch.tensor([[9.0, -9.0], [1.0, 0.0], [0.0, 1.0], [3.0, 5.0]])
    ties = torch.tensor([[0.0], [1.0], [2.0], [2.0], [5.0]])
    places = torch.tensor([[1.0], [1.0], [-1.0]])
    return [
        Case((vectors, codes), "five vectors, four codes"),
        case(40, 9, 3),
        case(61, 7, 5, "float64", dtype=torch.float64),
        case(6, 20, 4, "more codes than vectors"),
        Case((ties, places), "two codes in one place, and a vector between two"),
    ]


def _census(vectors: Tensor, codes: Tensor) -> Census:
    """Vector by vector, and the entropy by its definition."""
    counts = [0] * len(codes)
    for v in vectors.double():
        far = [(v - c).norm().item() for c in codes.double()]
        counts[far.index(min(far))] += 1
    return _told(torch.tensor(counts))


def _told(counts: Tensor, base: float = math.e, power: float = math.e) -> Census:
    n = int(counts.sum())
    entropy = -sum(c / n * math.log(c / n, base) for c in counts.tolist() if c)
    return counts, counts == 0, power**entropy


def _choices(vectors: Tensor, codes: Tensor, by: Callable[[Tensor, Tensor], Tensor]) -> Census:
    """The census where `by(vectors, codes)` (n, members) is what the smallest is taken of."""
    near = by(vectors.double(), codes.double()).argmin(1)
    return _told(torch.bincount(near, minlength=len(codes)))


def _squares(v: Tensor, c: Tensor) -> Tensor:
    return (v[:, None] - c).square().sum(-1)


CENSUS = Exercise(
    id="20.1",
    title="A census of codes",
    function="code_census",
    points=1,
    cases=_census_cases,
    oracle=_census,
    rebuilt=2,
    mistakes=(
        Mistake(
            "the farthest code is chosen: the nearest is asked",
            lambda v, c: _choices(v, c, lambda a, b: -_squares(a, b)),
        ),
        Mistake(
            "the code of the largest product is chosen: a long code is not a near one",
            lambda v, c: _choices(v, c, lambda a, b: -(a @ b.T)),
        ),
        Mistake(
            "of equally near codes the last is chosen: the first is asked",
            lambda v, c: _told(
                torch.bincount(
                    len(c) - 1 - _squares(v.double(), c.double()).flip(1).argmin(1),
                    minlength=len(c),
                )
            ),
        ),
        Mistake(
            "the axes are exchanged: each vector chooses a code, not each code a vector",
            lambda v, c: _told(
                torch.bincount(
                    _squares(v.double(), c.double()).argmin(0).clamp(max=len(c) - 1),
                    minlength=len(c),
                )
            ),
        ),
        Mistake(
            "the mask is that of the live codes: dead are those with a count of 0",
            lambda v, c: (_census(v, c)[0], ~_census(v, c)[1], _census(v, c)[2]),
        ),
        Mistake(
            "this is the entropy: its exponential is the effective number",
            lambda v, c: (*_census(v, c)[:2], math.log(_census(v, c)[2])),
        ),
        Mistake(
            "the entropy is in bits under an exponential to base e: log and exp belong together",
            lambda v, c: _told(_census(v, c)[0], base=2.0),
        ),
        Mistake(
            "this is the number of live codes: the effective number asks how evenly they are used",
            lambda v, c: (*_census(v, c)[:2], float((_census(v, c)[0] > 0).sum())),
        ),
        Mistake(
            "this is 1/Σp², another effective number: exp of the entropy is asked",
            lambda v, c: (
                *_census(v, c)[:2],
                1 / (_census(v, c)[0] / len(v)).double().square().sum().item(),
            ),
        ),
        Mistake(
            "the sign of the entropy is missing: it is minus the sum of p log p",
            lambda v, c: (*_census(v, c)[:2], 1 / _census(v, c)[2]),
        ),
        Mistake(
            "shares are returned: counts are asked",
            lambda v, c: (_census(v, c)[0] / len(v), *_census(v, c)[1:]),
        ),
    ),
    hints=(
        "Distances between all vectors and all codes are (n, members); argmin along the codes.",
        "torch.bincount(choices, minlength=len(codes)) counts, the codes never chosen included.",
        "0 log 0 is 0: torch.special.entr(p) is −p log p with that.",
    ),
    teaches="A code is dead when nothing is nearest to it, and few dead do not mean even use.",
)


def _restart_cases(g: Generator) -> list[Case]:
    def case(members: int, d: int, n: int, dead: list[int], what: str = "", **kwargs) -> Case:
        codes = torch.randn(members, d, generator=g, **kwargs)
        counts = torch.randint(1, 9, (members,), generator=g)
        counts[dead] = 0
        vectors = torch.randn(n, d, generator=g, **kwargs)
        rows = torch.randperm(n, generator=g)[: len(dead)].tolist()
        return Case((codes, counts, vectors, rows), what)

    first = case(5, 2, 7, [1, 3], "two of five are dead")
    first.args[3][:] = [4, 2]
    return [
        first,
        case(9, 4, 12, [0, 5, 8]),
        case(6, 3, 11, [2], "float64", dtype=torch.float64),
        case(4, 5, 8, [], "none is dead"),
        case(3, 4, 9, [0, 1, 2], "all are dead"),
    ]


def _restart(codes: Tensor, counts: Tensor, vectors: Tensor, rows: list[int]) -> Tensor:
    """Code by code, from a list of rows that is used up."""
    left = iter(rows)
    found = [vectors[next(left)] if n == 0 else c for c, n in zip(codes, counts, strict=True)]
    return torch.stack(found).double()


def _placed(codes: Tensor, where: Tensor, values: Tensor) -> Tensor:
    answer = codes.double().clone()
    answer[where] = values.double()
    return answer


RESTART = Exercise(
    id="20.2",
    title="Restart the dead",
    function="restart_codes",
    points=1,
    cases=_restart_cases,
    oracle=_restart,
    rebuilt=2,
    mistakes=(
        Mistake(
            "nothing has changed: the dead codes become vectors",
            lambda codes, counts, vectors, rows: codes.double() if rows else None,
        ),
        Mistake(
            "live codes are overwritten: those with a count of 0 alone start anew",
            lambda codes, counts, vectors, rows: (
                _placed(codes, counts > 0, vectors[rows[0]]) if rows else None
            ),
        ),
        Mistake(
            "every code becomes a vector: the live ones stay",
            lambda codes, counts, vectors, rows: (
                vectors.double()[: len(codes)] if (counts > 0).any() else None
            ),
        ),
        Mistake(
            "the first vectors are taken: rows says which",
            lambda codes, counts, vectors, rows: (
                _placed(codes, counts == 0, vectors[: len(rows)]) if rows else None
            ),
        ),
        Mistake(
            "the vectors of the dead codes' own numbers are taken: rows says which",
            lambda codes, counts, vectors, rows: (
                _placed(codes, counts == 0, vectors[: len(codes)][counts == 0]) if rows else None
            ),
        ),
        Mistake(
            "all dead codes get one vector, and would be chosen as one: each has a row of its own",
            lambda codes, counts, vectors, rows: (
                _placed(codes, counts == 0, vectors[rows[0]]) if len(rows) > 1 else None
            ),
        ),
        Mistake(
            "all dead codes get the mean of the vectors, and would be chosen as one",
            lambda codes, counts, vectors, rows: (
                _placed(codes, counts == 0, vectors.double()[rows].mean(0))
                if len(rows) > 1
                else None
            ),
        ),
        Mistake(
            "the vectors come in the wrong order: the first row is for the first dead code",
            lambda codes, counts, vectors, rows: (
                _placed(codes, counts == 0, vectors[rows[::-1]]) if len(rows) > 1 else None
            ),
        ),
        Mistake(
            "the vector is added to the code: it takes its place",
            lambda codes, counts, vectors, rows: (
                _placed(codes, counts == 0, (codes[counts == 0] + vectors[rows])) if rows else None
            ),
        ),
        Mistake(
            "the dead codes are set to 0, where nothing says that the data are",
            lambda codes, counts, vectors, rows: (
                _placed(codes, counts == 0, torch.zeros(())) if rows else None
            ),
        ),
    ),
    hints=(
        "counts == 0 is the mask of the dead; the codes are (members, d).",
        "Clone first; then restarted[counts == 0] = vectors[rows].",
    ),
    teaches="A dead code comes back where the data are, and nothing else is touched.",
)


def _balance_cases(g: Generator) -> list[Case]:
    def case(tokens: int, experts: int, scale: float, what: str = "", **kwargs) -> Case:
        return Case((scale * torch.randn(tokens, experts, generator=g, **kwargs),), what)

    tilted = torch.randn(25, 4, generator=g) + torch.tensor([3.0, 0.0, 0.0, -8.0])
    return [
        case(5, 3, 1.5, "five tokens, three experts"),
        case(40, 7, 2.0),
        case(33, 6, 1.0, "float64", dtype=torch.float64),
        Case((tilted,), "one expert has nearly all, one has none"),
        Case((torch.randn(9, 5, generator=g) * 0.1 + 200,), "large scores"),
    ]


def _balance(scores: Tensor) -> float:
    """Σ over tokens of the mean probability of the expert that each went to, times experts."""
    s = scores.double()
    P = torch.exp(s - torch.logsumexp(s, 1, keepdim=True)).mean(0).tolist()
    routes = [row.index(max(row)) for row in s.tolist()]
    return s.shape[1] * sum(P[j] for j in routes) / len(s)


def _parts(scores: Tensor) -> tuple[Tensor, Tensor]:
    s = scores.double()
    f = torch.bincount(s.argmax(1), minlength=s.shape[1]).double() / len(s)
    return f, s.softmax(1).mean(0)


def _with(formula: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[Tensor], float]:
    """A mistake from f, P and the scores."""
    return lambda scores: float(formula(*_parts(scores), scores.double()))


BALANCE = Exercise(
    id="20.3",
    title="What balance asks for",
    function="balance_loss",
    points=2,
    cases=_balance_cases,
    oracle=_balance,
    rebuilt=2,
    mistakes=(
        Mistake("the number of experts is left out", _with(lambda f, P, s: (f * P).sum())),
        Mistake(
            "f is used twice: the second factor is the mean probability, which has a gradient",
            _with(lambda f, P, s: len(f) * (f * f).sum()),
        ),
        Mistake(
            "P is used twice: the first factor counts where the tokens went",
            _with(lambda f, P, s: len(f) * (P * P).sum()),
        ),
        Mistake(
            "counts stand where the part of the tokens is meant: divide by their number",
            _with(lambda f, P, s: len(f) * len(s) * (f * P).sum()),
        ),
        Mistake(
            "it is multiplied by the number of tokens twice over: f and P are both parts",
            _with(lambda f, P, s: len(f) * len(s) ** 2 * (f * P).sum()),
        ),
        Mistake(
            "the softmax runs over the tokens: each token's probabilities add up to 1",
            _with(lambda f, P, s: len(f) * (f * s.softmax(0).mean(0)).sum()),
        ),
        Mistake(
            "the scores are averaged without a softmax",
            _with(lambda f, P, s: len(f) * (f * s.mean(0)).sum()),
        ),
        Mistake(
            "the scores are averaged before the softmax: average the probabilities",
            _with(lambda f, P, s: len(f) * (f * s.mean(0).softmax(0)).sum()),
        ),
        Mistake(
            "the mean over the experts is taken: their products are added",
            _with(lambda f, P, s: (f * P).mean()),
        ),
        Mistake(
            "this is the mean of the largest probabilities: P is over all tokens, not those that "
            "went there",
            _with(lambda f, P, s: len(f) * s.softmax(1).amax(1).mean()),
        ),
        Mistake(
            "the expert of the smallest score is chosen",
            _with(
                lambda f, P, s: (
                    len(f) * (torch.bincount(s.argmin(1), minlength=len(f)) / len(s) * P).sum()
                )
            ),
        ),
        Mistake(
            "it is multiplied by the tokens, not by the experts",
            _with(lambda f, P, s: len(s) * (f * P).sum()),
        ),
    ),
    hints=(
        "f is a count: torch.bincount(scores.argmax(1), minlength=experts) over the tokens.",
        "P = scores.softmax(1).mean(0), over all tokens, wherever they went.",
    ),
    teaches="The count says who is overloaded; the probability beside it is what can learn.",
)

EXERCISES = (CENSUS, RESTART, BALANCE)
