"""Chapter 2, The forward pass: fill in the functions, then `make check EX=2`."""

from torch import Tensor


def look_up(C: Tensor, X: Tensor) -> Tensor:
    """2.1 The embeddings of one batch in K networks, end to end.

    C: (K, vocab, n_embd), a table for each network. X: (batch, block_size) int64, the same
    contexts for all of them. Returns (K, batch, block_size * n_embd).
    """
    raise NotImplementedError


def merge_affine(W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
    """2.2 The one affine layer that does what two do, with no activation between them.

    Weights are laid out as in torch.nn.Linear. W1: (hidden, fan_in), b1: (hidden,), the first
    layer; W2: (fan_out, hidden), b2: (fan_out,), the second. Returns W, (fan_out, fan_in), and b,
    (fan_out,), of the merged layer, in the same layout.
    """
    raise NotImplementedError


def weight_scale(x: Tensor, target_std: float, sigma_b: float) -> Tensor:
    """2.3 The standard deviation of the weights that gives pre-activations of a chosen size.

    x: (batch, fan_in), the inputs of the layer. target_std: the wanted standard deviation of the
    pre-activations: its square is the variance, averaged over the batch. sigma_b: that of the
    biases, less than target_std. Returns one number, a tensor without axes or a float.
    """
    raise NotImplementedError


def forward_logits(C: Tensor, W: list[Tensor], b: list[Tensor], X: Tensor) -> Tensor:
    """2.4 The logits of a tanh network of any depth.

    C: (vocab, n_embd). W[l]: (fan_in, fan_out) and b[l]: (fan_out,) of each layer, input to
    output; the last is the output layer, and it may be the only one. X: (batch, block_size) int64.
    Returns (batch, fan_out of the last layer).
    """
    raise NotImplementedError
