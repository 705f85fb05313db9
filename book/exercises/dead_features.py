"""Chapter 20, Dead features, dead codes, dead experts: `make check EX=20` checks these."""

from torch import Tensor


def code_census(vectors: Tensor, codes: Tensor) -> tuple[Tensor, Tensor, float]:
    """20.1 How often each code is chosen, which are dead, and the effective number.

    vectors: (n, d), what an encoder says; codes: (members, d). A vector chooses its nearest code,
    and of equally near ones the first. Returns the counts (members,), a mask of the dead
    (members,), and exp of the entropy, in nats, of the shares of the choices.
    """
    raise NotImplementedError


def restart_codes(codes: Tensor, counts: Tensor, vectors: Tensor, rows: list[int]) -> Tensor:
    """20.2 Set the dead codes to vectors that the encoder says.

    codes: (members, d); counts: (members,), how often each was chosen; vectors: (n, d). rows: which
    vector each dead code becomes, in the order of the codes. Returns new codes; the live ones, and
    the argument, stay as they are.
    """
    raise NotImplementedError


def balance_loss(scores: Tensor) -> float:
    """20.3 The load-balancing loss of the Switch Transformer, without its weight.

    scores: (tokens, experts), what the router says before its softmax. A token goes to the expert
    of its largest score. Returns experts · Σ over j of f_j P_j: f_j is the part of the tokens that
    went to expert j, P_j the mean over all tokens of its softmax probability.
    """
    raise NotImplementedError
