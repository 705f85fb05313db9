"""Graders of chapter 15, Removing dead neurons."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from mlpinit.grading.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]


def _speed_cases(g: Generator) -> list[Case]:
    few = torch.tensor([1.0, -1.0, -1.0, 0.5])
    stuck = torch.ones(100)
    stuck[::3] = -1.0
    mixed = 2 * torch.randn(7, generator=g)
    return [
        Case((few, "sgd"), "three stuck tanh units, and one at 0.5"),
        Case((few.clone(), "sign"), "the same under signs"),
        Case((stuck, "sgd"), "a hundred"),
        Case((torch.zeros(5), "sgd"), "five dead ReLUs"),
        Case((torch.cat([mixed, torch.zeros(2)]), "sign"), "any constants"),
        Case((mixed.double(), "sgd"), "float64"),
    ]


def _speed(constants: Tensor, rule: str) -> float:
    """By taking the step, for a gradient of 0.25 at the bias."""
    step = (lambda d: -d) if rule == "sgd" else (lambda d: -torch.sign(d))
    c, gradient = constants.double(), torch.tensor(0.25, dtype=torch.float64)
    moved = step(gradient) + sum((x * step(x * gradient) for x in c), start=0.0)
    return float(moved / step(gradient))


def _of(rule: str, f):
    """A mistake that shows under one of the two rules alone."""
    return lambda c, r: f(c.double()) if r == rule else None


SPEED = Exercise(
    id="15.1",
    title="How fast is the bias?",
    function="bias_speed",
    points=1,
    cases=_speed_cases,
    oracle=_speed,
    mistakes=(
        Mistake(
            "the bias itself is left out: b2 is one of the numbers that move, it adds 1",
            lambda c, rule: _speed(c, rule) - 1,
        ),
        Mistake(
            "the units are counted: a unit adds c², which is 1 only at ±1",
            _of("sgd", lambda c: 1.0 + len(c)),
        ),
        Mistake(
            "the units are counted: under signs a unit adds |c|, which is 1 only at ±1",
            _of("sign", lambda c: 1.0 + len(c)),
        ),
        Mistake(
            "the constants are summed with their signs: c comes in twice, in the gradient and in "
            "the sum that makes the bias, and the two signs cancel",
            lambda c, rule: 1.0 + float(c.double().sum()),
        ),
        Mistake(
            "|c| is what a unit adds under signs; with plain gradients the gradient is larger by "
            "c as well: c²",
            _of("sgd", lambda c: 1.0 + float(c.abs().sum())),
        ),
        Mistake(
            "c² holds for plain gradients; the sign of a gradient does not know its size: |c|",
            _of("sign", lambda c: 1.0 + float((c**2).sum())),
        ),
        Mistake(
            "the constants are averaged: every unit adds its own",
            lambda c, rule: 1.0 + float((c**2 if rule == "sgd" else c.abs()).double().mean()),
        ),
        Mistake(
            "the sum is squared: every unit adds the square of its own",
            _of("sgd", lambda c: 1.0 + float(c.sum() ** 2)),
        ),
        Mistake(
            "the signs cancel: under signs every unit adds |c|, not |Σ c|",
            _of("sign", lambda c: 1.0 + float(c.sum().abs())),
        ),
        Mistake(
            "the signs of the constants are added up: a unit adds |c|",
            _of("sign", lambda c: 1.0 + float(c.sign().sum())),
        ),
        Mistake(
            "the root is taken of the sum of squares: the squares themselves add up",
            _of("sgd", lambda c: 1.0 + float(c.norm())),
        ),
        Mistake(
            "the bias is left out, and the units are counted",
            lambda c, rule: float(len(c)),
        ),
        Mistake(
            "only the largest unit is counted",
            lambda c, rule: 1.0 + float((c**2 if rule == "sgd" else c.abs()).double().max()),
        ),
        Mistake(
            "the factors multiply here: every unit adds to the speed",
            lambda c, rule: float((1 + (c**2 if rule == "sgd" else c.abs()).double()).prod()),
        ),
        Mistake(
            "this is 1, the speed of b2 alone: the rows of the stuck units move with it",
            lambda c, rule: 1.0,
        ),
        Mistake(
            "what the units add is taken away",
            lambda c, rule: 2.0 - _speed(c, rule),
        ),
        Mistake(
            "only units stuck at 1 or −1 are counted",
            lambda c, rule: 1.0 + float((c.abs() == 1).sum()),
        ),
        Mistake(
            "only positive constants are counted",
            lambda c, rule: _speed(c.clamp(min=0), rule),
        ),
    ),
    hints=(
        "Write down what one step does to B = b2 + Σ c_j W2[j], term by term.",
        "The gradient of W2[j] is c_j times that of b2. With 'sgd' W2[j] moves c_j times as far as "
        "b2; with 'sign' it moves just as far, in the direction that the sign of c_j says.",
        "A row that moves by s_j times the bias's step moves B by c_j · s_j times it.",
    ),
    teaches="Adam's steps are much like signs: it does not protect from stuck units either.",
)


def _channel_cases(g: Generator) -> list[Case]:
    def case(out: int, channels: int, size: int, dead: list[int], what: str = "") -> Case:
        W = torch.randn(out, channels * size, generator=g)
        b = torch.randn(out, generator=g)
        constants = torch.randn(len(dead), generator=g)
        return Case((W, b, dead, constants, size), what)

    return [
        case(2, 4, 2, [0, 2]),
        case(3, 5, 4, [4, 0], "dead channels out of order"),
        case(4, 6, 1, [2, 3], "one place a channel"),
        case(5, 4, 9, [3, 1, 0], "one channel left"),
        case(3, 4, 6, [], "none dead"),
    ]


def _columns(W: Tensor, dead: list[int], size: int) -> tuple[list[int], dict[int, list[int]]]:
    """The columns that stay, and those of each dead channel."""
    gone = {c: [c * size + k for k in range(size)] for c in dead}
    flat = {column for columns in gone.values() for column in columns}
    return [k for k in range(W.shape[1]) if k not in flat], gone


def _fold(W: Tensor, b: Tensor, dead: list[int], constants: Tensor, size: int) -> tuple:
    """Column by column."""
    W, b = W.double(), b.double().clone()
    kept, gone = _columns(W, dead, size)
    for channel, value in zip(dead, constants.double(), strict=True):
        for column in gone[channel]:
            b += value * W[:, column]
    return W[:, kept], b


def _with_bias(f):
    """A right W with the bias that f(W, b, blocks of the dead (out, dead, size), constants) gives.

    Nothing to tell where no channel is dead.
    """

    def wrong(W: Tensor, b: Tensor, dead: list[int], constants: Tensor, size: int) -> tuple | None:
        if not dead:
            return None
        blocks = W.double().view(len(W), -1, size)[:, dead]
        return _fold(W, b, dead, constants, size)[0], f(b.double(), blocks, constants.double())

    return wrong


def _interleaved(W: Tensor, b: Tensor, dead: list[int], constants: Tensor, size: int) -> tuple:
    """As if the channel varied fastest."""
    blocks = W.double().view(len(W), size, -1).transpose(1, 2)
    keep = [c for c in range(blocks.shape[1]) if c not in dead]
    left = blocks[:, keep].transpose(1, 2).flatten(1)
    return left, b.double() + blocks[:, dead].sum(2) @ constants.double()


def _sorted(W: Tensor, b: Tensor, dead: list[int], constants: Tensor, size: int) -> tuple:
    return _fold(W, b, sorted(dead), constants, size)


CHANNELS = Exercise(
    id="15.2",
    title="Fold a channel",
    function="fold_channels",
    points=2,
    cases=_channel_cases,
    oracle=_fold,
    atol=1e-5,
    mistakes=(
        Mistake(
            "the columns of another channel are taken: flattened, all places of channel 0 come "
            "first, then all of channel 1",
            _interleaved,
        ),
        Mistake(
            "the constants are matched to the channels in order of number: constants[k] belongs "
            "to dead[k]",
            _sorted,
        ),
        Mistake(
            "the channels are deleted without folding: what they added belongs in the bias",
            _with_bias(lambda b, blocks, c: b),
        ),
        Mistake(
            "only one place of each channel is folded: its constant enters at every place, and "
            "all of its columns add up",
            _with_bias(lambda b, blocks, c: b + blocks[..., 0] @ c),
        ),
        Mistake(
            "the columns of a channel are averaged: its constant enters at every place, sum them",
            _with_bias(lambda b, blocks, c: b + blocks.mean(2) @ c),
        ),
        Mistake(
            "the constants are left out: multiply each channel's columns by its constant",
            _with_bias(lambda b, blocks, c: b + blocks.sum((1, 2))),
        ),
        Mistake(
            "what the channels added is subtracted from the bias: it must be added",
            _with_bias(lambda b, blocks, c: b - blocks.sum(2) @ c),
        ),
        Mistake(
            "only the last place of each channel is folded: its constant enters at every place",
            _with_bias(lambda b, blocks, c: b + blocks[..., -1] @ c),
        ),
        Mistake(
            "the old bias is lost: add to it",
            _with_bias(lambda b, blocks, c: blocks.sum(2) @ c),
        ),
        Mistake(
            "the constants are added without their columns",
            _with_bias(lambda b, blocks, c: b + c.sum()),
        ),
        Mistake(
            "every output gets the same number: each has weights of its own",
            _with_bias(lambda b, blocks, c: b + (blocks.sum(2) @ c).sum()),
        ),
        Mistake(
            "every output gets the same number, a mean: each has weights of its own",
            _with_bias(lambda b, blocks, c: b + (blocks.sum(2) @ c).mean()),
        ),
        Mistake(
            "only the first dead channel is folded",
            _with_bias(lambda b, blocks, c: b + blocks[:, 0].sum(1) * c[0]),
        ),
        Mistake(
            "only the last dead channel is folded",
            _with_bias(lambda b, blocks, c: b + blocks[:, -1].sum(1) * c[-1]),
        ),
        Mistake(
            "the constants are multiplied by the number of places once more",
            _with_bias(lambda b, blocks, c: b + blocks.sum(2) @ c * blocks.shape[2]),
        ),
        Mistake(
            "the sizes of the constants are used: they keep their signs",
            _with_bias(lambda b, blocks, c: b + blocks.sum(2) @ c.abs()),
        ),
        Mistake(
            "one column goes for each dead channel: a channel is a block of columns",
            lambda W, b, dead, constants, size: (
                _fold(W, b, dead, constants, 1) if size > 1 else None
            ),
        ),
        Mistake(
            "the columns of the dead channels are set to 0: they are to go",
            lambda W, b, dead, constants, size: (
                W.double().index_fill(
                    1,
                    torch.tensor(
                        [k for ks in _columns(W, dead, size)[1].values() for k in ks]
                    ).long(),
                    0.0,
                ),
                _fold(W, b, dead, constants, size)[1],
            ),
        ),
        Mistake(
            "the columns of the dead channels are still in W",
            lambda W, b, dead, constants, size: (
                W.double(),
                _fold(W, b, dead, constants, size)[1],
            ),
        ),
        Mistake(
            "the columns of the dead channels are kept, and the others are gone",
            lambda W, b, dead, constants, size: (
                W.double().view(len(W), -1, size)[:, dead].flatten(1),
                _fold(W, b, dead, constants, size)[1],
            ),
        ),
        Mistake(
            "the blocks still have an axis of their own: join it with the next",
            lambda W, b, dead, constants, size: (
                _fold(W, b, dead, constants, size)[0].view(len(W), -1, size),
                _fold(W, b, dead, constants, size)[1],
            ),
        ),
    ),
    hints=(
        "Flattened, channel c fills the columns from c · size up to (c + 1) · size.",
        "W.view(out, channels, size) gives every channel a block of its own. Which axis do you "
        "select from, and over which do you sum?",
        "The bias gains blocks[:, dead].sum(2) @ constants; a bool mask over the channels selects "
        "the blocks that stay, and flatten(1) makes columns of them again.",
    ),
    teaches="What one unit is in a convolution is a whole block of columns behind a flatten.",
)


def _twin_cases(g: Generator) -> list[Case]:
    def draw(*shape: int) -> Tensor:
        return torch.tanh(torch.randn(shape, generator=g))

    a = draw(3, 2)
    small = torch.stack([a[:, 0], a[:, 1], -a[:, 0], a[:, 0]], 1)
    h = draw(20, 9)
    h[:, 4], h[:, 7], h[:, 8] = -h[:, 1], h[:, 1], -h[:, 3]
    h[3, 5] = h[3, 6]  # one row in common
    traps = draw(12, 7)
    traps[:, 3] = traps[:, 0]
    traps[5, 3] += 0.25  # a twin but for one row
    traps[:, 5] = traps[:, 2].flip(0)  # the same numbers on other rows
    traps[:, 6] = -traps[:, 5]
    traps[:, 4] = traps[:, 1]
    traps[:2, 4] += torch.tensor([0.125, -0.125])  # the same mean
    stuck = draw(10, 6)
    stuck[:, 1], stuck[:, 2], stuck[:, 5] = 1.0, -1.0, -1.0
    return [
        Case((small, draw(4, 3))),
        Case((h, draw(9, 4)), "several twins"),
        Case((traps, draw(7, 5)), "units that are nearly twins"),
        Case((stuck, draw(6, 3)), "three stuck units"),
        Case((draw(8, 5), draw(5, 2)), "no twins"),
    ]


def _merge(h: Tensor, W2: Tensor, *, signs=(1, -1), weight=lambda sign: sign, same=None) -> tuple:
    """By a table of first twins; with another `weight`, `signs` or `same` it errs."""
    same = same or (lambda x, y: bool((x == y).all()))
    h, W2 = h.double(), W2.double()
    home: list[tuple[int, int]] = []  # of each unit: its first twin and the sign
    for j in range(h.shape[1]):
        kept = [i for i in range(j) if home[i][0] == i]
        twins = [(i, s) for i in kept for s in signs if same(h[:, j], s * h[:, i])]
        home.append(twins[0] if twins else (j, 1))
    keep = torch.tensor([i == j for j, (i, _) in enumerate(home)])
    merged = torch.zeros_like(W2)
    for j, (i, sign) in enumerate(home):
        merged[i] += W2[j] * (1 if i == j else weight(sign))
    return keep, merged[keep]


def _right_merge(h: Tensor, W2: Tensor) -> tuple:
    return _merge(h, W2)


def _last(h: Tensor, W2: Tensor) -> tuple:
    keep, merged = _merge(h.flip(1), W2.flip(0))
    return keep.flip(0), merged.flip(0)


def _averaged(h: Tensor, W2: Tensor) -> tuple:
    """Each row of the merged layer over the number of twins that it stands for."""
    keep, merged = _merge(h, W2)
    _, many = _merge(h, torch.ones(len(W2), 1), weight=lambda sign: 1)
    return keep, merged / many


def _in_place(keep: Tensor, merged: Tensor) -> Tensor:
    full = torch.zeros(len(keep), merged.shape[1], dtype=merged.dtype)
    full[keep] = merged
    return full


def _close_means(x: Tensor, y: Tensor) -> bool:
    return bool((x.mean() - y.mean()).abs() < 1e-6)


TWINS = Exercise(
    id="15.3",
    title="Twins",
    function="merge_twins",
    points=3,
    cases=_twin_cases,
    oracle=_right_merge,
    atol=1e-5,
    mistakes=(
        Mistake(
            "only equal units are merged: a unit that says the negative of another repeats it too",
            lambda h, W2: _merge(h, W2, signs=(1,)),
        ),
        Mistake(
            "a twin of the other sign is added: what it says is −h, so its row is to be subtracted",
            lambda h, W2: _merge(h, W2, weight=lambda sign: 1),
        ),
        Mistake(
            "the twins are deleted without a trace: their rows belong in the row of the first",
            lambda h, W2: _merge(h, W2, weight=lambda sign: 0),
        ),
        Mistake(
            "the last of the twins is kept where the first is asked",
            _last,
        ),
        Mistake(
            "units that say the same on other rows are merged: twins agree row by row",
            lambda h, W2: _merge(h, W2, same=lambda x, y: bool((x.sort()[0] == y.sort()[0]).all())),
        ),
        Mistake(
            "units that are near each other are merged: twins agree on every row",
            lambda h, W2: _merge(h, W2, same=lambda x, y: bool((x - y).abs().mean() < 0.05)),
        ),
        Mistake(
            "the first row alone is compared: twins agree on every row",
            lambda h, W2: _merge(h, W2, same=lambda x, y: bool(x[0] == y[0])),
        ),
        Mistake(
            "the units are compared by their means: twins agree on every row",
            lambda h, W2: _merge(h, W2, same=_close_means),
        ),
        Mistake(
            "the rows of twins are averaged: both add to every logit",
            _averaged,
        ),
        Mistake(
            "a twin of the same sign is subtracted: it says the same, so its row is added",
            lambda h, W2: _merge(h, W2, weight=lambda sign: -1),
        ),
        Mistake(
            "the signs of the two kinds of twins are exchanged",
            lambda h, W2: _merge(h, W2, weight=lambda sign: -sign),
        ),
        Mistake(
            "only units of the other sign are merged: equal ones are twins too",
            lambda h, W2: _merge(h, W2, signs=(-1,)),
        ),
        Mistake(
            "only stuck units are merged: any two units that agree on every row are twins",
            lambda h, W2: _merge(
                h, W2, same=lambda x, y: bool((x == y).all() and (x == x[0]).all())
            ),
        ),
        Mistake(
            "units that vary together are merged: twins agree on every row, to the last digit",
            lambda h, W2: _merge(
                h, W2, same=lambda x, y: bool(torch.corrcoef(torch.stack([x, y]))[0, 1] > 0.95)
            ),
        ),
        Mistake(
            "the rows of the twins still stand in W2: only those of the mask are asked",
            lambda h, W2: (_merge(h, W2)[0], _in_place(*_merge(h, W2))),
        ),
        Mistake(
            "the mask is right; the rows are those of W2 as it came, in full",
            lambda h, W2: (_merge(h, W2)[0], W2.double()),
        ),
        Mistake(
            "the mask marks the units that go: those that stay are asked",
            lambda h, W2: (~_merge(h, W2)[0], _merge(h, W2)[1]),
        ),
        Mistake(
            "the mask is a list of numbers: one truth value a unit is asked",
            lambda h, W2: (_merge(h, W2)[0].nonzero().flatten(), _merge(h, W2)[1]),
        ),
    ),
    hints=(
        "If h_b = h_a on every row, then h_a w_a + h_b w_b = h_a (w_a + w_b). And if h_b = −h_a?",
        "Go through the units from the first on. Compare each with those that you have kept so "
        "far, once with either sign: torch.equal(h[:, j], sign * h[:, i]).",
        "W2 is an argument: change a clone of it, and at the end select the rows of the mask.",
    ),
    teaches="A dead unit is a twin of the bias. Removing one is the same act as merging two.",
)

EXERCISES = (SPEED, CHANNELS, TWINS)
