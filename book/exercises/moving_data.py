"""Chapter 21, When the data move: fill in the functions, then `make check EX=21`."""

from torch import Tensor


def births_and_deaths(dead: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """21.1 Count who died, who was born, and who came back, from task to task.

    dead: (tasks, units) bool, whether a unit is dead at the end of each task. Returns deaths and
    births, (tasks - 1,) int64 each: units dead at a task's end that were live at the end of the
    task before, and the other way round. And, (units,) bool, which units came back to stay: live
    at the last task's end, and dead at the end of some task before it.
    """
    raise NotImplementedError


def recycle_unit(
    params: list[Tensor], m: list[Tensor], v: list[Tensor], unit: int, fresh: Tensor
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """21.2 Start a dead ReLU unit anew, with what Adam keeps of it.

    params: the weight (units, fan_in) and bias (units,) of the layer that has the unit, and the
    weight (out, units) of the next layer, as nn.Linear stores them. m, v: Adam's two averages of
    each of the three. fresh: (fan_in,), the new incoming weights. Returns new lists of the same
    form; whatever does not belong to the unit is in them as it was.
    """
    raise NotImplementedError


def rescaled(
    W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor, W3: Tensor, norms: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """21.3 Give two ReLU layers other norms and leave the network's outputs as they are.

    W1: (fan_in, first), b1: (first,), W2: (first, second), b2: (second,), W3: (second, out), and
    the logits are relu(relu(x W1 + b1) W2 + b2) W3 + b3. norms: the wanted norms of W1 and of W2,
    the root of the sum of all squares of each. Returns the five new tensors; b3 stays.
    """
    raise NotImplementedError
