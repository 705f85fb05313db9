"""Chapter 7, Saturated or dead?: fill in, then `make check EX=7`."""

from torch import Tensor


def saturated_fractions(z: Tensor, cut: float) -> tuple[Tensor, Tensor]:
    """7.1 The saturated fraction of every unit, and of every example.

    z: (batch, units), the pre-activations of a tanh layer. cut: an entry is saturated where its
    activation has |h| > cut. Returns (of the units (units,), of the examples (batch,)), each
    between 0 and 1.
    """
    raise NotImplementedError


def always_saturated(batches: list[Tensor], cut: float) -> Tensor:
    """7.2 Which units are saturated on every example of every batch.

    batches: at least one tensor (batch, units) of pre-activations of the same tanh layer; the
    batches differ in size. cut: an entry is saturated where |h| > cut. Returns a mask, (units,)
    bool.
    """
    raise NotImplementedError


def examples_to_convict(p: float, confidence: float) -> int:
    """7.3 How many dead rows it takes to hold a unit's live rate under p.

    p: the live rate to rule out. confidence: how sure we want to be; both strictly between 0 and 1.
    Returns the smallest n such that a unit that is live on the part p of the data shows n
    independent rows without a live one with a probability of at most 1 − confidence. Where n rows
    meet that probability exactly, they are enough: rounding must not ask for one more.
    """
    raise NotImplementedError


def fold_stuck(W2: Tensor, b2: Tensor, stuck: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
    """7.4 A smaller output layer that gives the same logits without the stuck units.

    W2: (hidden, vocab). b2: (vocab,). stuck: (hidden,) bool, the units whose activation is the
    same on every example. means: (hidden,), the mean activation of every unit over the data; −1 or
    1 at the stuck ones. Returns (W2', b2') of shapes (live, vocab) and (vocab,), the live units in
    the order in which they stand in W2.
    """
    raise NotImplementedError
