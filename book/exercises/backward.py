"""Chapter 3, The backward pass: fill in the functions, then `make check EX=3`."""

import torch
from torch import Tensor


def counted_logit_gradient(logits: Tensor, Y: Tensor, counts: Tensor) -> Tensor:
    """3.1 The gradient of a cross-entropy over counted examples with respect to the logits.

    logits: (n, vocab), also very large ones. Y: (n,) int64, the targets. counts: (n,) int64, how
    often each row occurred. The loss is Σ counts[i] · loss[i] / Σ counts[i], with the usual
    loss[i] = −log softmax(logits[i])[Y[i]]. Returns its gradient, (n, vocab).
    """
    raise NotImplementedError


def linear_backward(x: Tensor, W: Tensor, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """3.2 The backward pass of y = x @ W.T + b, the affine layer as `nn.Linear` holds it.

    x: (..., fan_in), any number of axes in front, at least one. W: (fan_out, fan_in).
    dy: (..., fan_out), the gradient of the loss with respect to y. Returns dx (..., fan_in),
    dW (fan_out, fan_in) and db (fan_out,), in this order.
    """
    raise NotImplementedError


def tied_table_gradient(X: Tensor, dx: Tensor, h: Tensor, dlogits: Tensor) -> Tensor:
    """3.3 The gradient of a table C that is used twice: x = C[X].flatten(1), logits = h @ C.T.

    X: (n, block_size) int64. dx: (n, block_size * n_embd), the gradient with respect to x.
    h: (n, n_embd). dlogits: (n, vocab), the gradient with respect to the logits.
    Returns dC, (vocab, n_embd). C itself is not needed.
    """
    raise NotImplementedError


def repaired_backward(
    x: Tensor, Y: Tensor, W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """3.4 What `backward_as_found`, below, should return; two of its lines are wrong or misplaced.

    x: (n, fan_in). Y: (n,) int64. W1: (fan_in, units). b1: (units,). W2: (units, vocab).
    b2: (vocab,). The network is z = x @ W1 + b1, h = max(0, z), logits = h @ W2 + b2; the slope of
    the ReLU at 0 is 0, and the loss is the mean cross-entropy over the n examples. Returns its
    gradients dW1, db1, dW2, db2.

    Repair the code below and return what it returns: backward_as_found(x, Y, W1, b1, W2, b2).
    """
    raise NotImplementedError


def backward_as_found(x, Y, W1, b1, W2, b2):
    n = len(Y)
    z = x @ W1 + b1
    h = torch.relu(z)
    logits = h @ W2 + b2

    dlogits = torch.softmax(logits, 1)
    dlogits[torch.arange(n), Y] -= 1
    dW2 = h.T @ dlogits
    db2 = dlogits.sum(0)
    dlogits = dlogits / n
    dh = dlogits @ W2.T
    dz = torch.relu(dh)
    dW1 = x.T @ dz
    db1 = dz.sum(0)
    return dW1, db1, dW2, db2
