"""One layer, x W + b, and its gradients: the products of a network, made ready to run many times.

The libraries that multiply are up to twice as fast where the rows of what they write are long. The
output layer of this book has 27 units and 200 inputs. Where its W lies in memory as Wᵀ, (27, 200)
(`Params.pack`), `Affine` computes zᵀ = Wᵀ xᵀ + b and ∂ℓ/∂Wᵀ = ∂ℓ/∂zᵀ x: the same numbers, turned.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Affine", "lies_turned"]


def lies_turned(t: Tensor) -> bool:
    """Whether a matrix, or a stack of them, lies in memory as its transpose.

    >>> W = torch.zeros(200, 27)
    >>> lies_turned(W), lies_turned(W.mT)
    (False, True)
    """
    return not t.is_contiguous() and t.mT.is_contiguous()


class Affine:
    """A layer's z = x W + b, forward and backward. `...` are the leading run axes.

    - W: (..., fan_in, fan_out), b: (..., fan_out)
    - dW, db: where `backward` and `sum_to_bias` write, of the shapes and the memory of W and b
    - n: the size of the batches; with it, z and ∂ℓ/∂x of each are written over those of the one
      before, for making a tensor takes as long as filling a small one

    - turned: whether W lies in memory as its transpose, and z and ∂ℓ/∂z are to be turned too,
      (..., fan_out, n) and not (..., n, fan_out); `turn` makes one of the other
    """

    def __init__(
        self,
        W: Tensor,
        b: Tensor,
        dW: Tensor | None = None,
        db: Tensor | None = None,
        n: int | None = None,
        *,
        turned: bool = False,
    ) -> None:
        """View and allocate what every call needs."""
        *lead, fan_in, fan_out = W.shape
        self.multiply, self.affine = _PRODUCTS.get(len(lead), (torch.matmul, _affine))
        self.W, self.W_transposed, self.turned = W, W.mT, turned
        self.b = b.unsqueeze(-1 if self.turned else -2)
        self.x_transposed, self.dz_transposed = _transposer(), _transposer()
        self.z = self.dx = None
        if n is not None:
            self.z = W.new_empty((*lead, fan_out, n) if self.turned else (*lead, n, fan_out))
            self.dx = W.new_empty((*lead, n, fan_in))
            self.ones = W.new_ones((*lead, n, 1) if self.turned else (*lead, 1, n))
            self.dW, self.db = self.turn(dW), db.unsqueeze(-1 if self.turned else -2)

    def turn(self, t: Tensor) -> Tensor:
        """As `forward` gives it from (..., n, fan_out), and back."""
        return t.mT if self.turned else t

    def forward(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """z from x (..., n, fan_in). `out` is memory for it, else `self.z` is."""
        out = self.z if out is None else out
        if self.turned:
            return self.affine(self.b, self.W_transposed, self.x_transposed(x), out=out)
        return self.affine(self.b, x, self.W, out=out)

    def sum_to_bias(self, dz: Tensor) -> None:
        """Write ∂ℓ/∂b, the sum of ∂ℓ/∂z over the batch; as a product, which is the fastest sum."""
        factors = (dz, self.ones) if self.turned else (self.ones, dz)
        self.multiply(*factors, out=self.db)

    def backward(self, x: Tensor, dz: Tensor) -> Tensor:
        """Write ∂ℓ/∂W = xᵀ ∂ℓ/∂z, and return ∂ℓ/∂x = ∂ℓ/∂z Wᵀ, (..., n, fan_in)."""
        if self.turned:
            self.multiply(dz, x, out=self.dW)
            dz = self.dz_transposed(dz)
        else:
            self.multiply(self.x_transposed(x), dz, out=self.dW)
        return self.multiply(dz, self.W_transposed, out=self.dx)


def _transposer() -> Callable[[Tensor], Tensor]:
    """A function for t.mT that makes a view once, as long as the same t comes.

    Batches are written over one another, so it does; a view takes as long as a small product.
    """
    last = view = None

    def transposed(t: Tensor) -> Tensor:
        nonlocal last, view
        if t is not last:
            last, view = t, t.mT
        return view

    return transposed


def _affine(b: Tensor, x: Tensor, W: Tensor, out: Tensor | None = None) -> Tensor:
    """What `torch.addmm` and `torch.baddbmm` do, for any number of leading axes."""
    return torch.add(x @ W, b, out=out)


_PRODUCTS = {0: (torch.mm, torch.addmm), 1: (torch.bmm, torch.baddbmm)}
"""x W and b + x W, by the number of leading axes."""
