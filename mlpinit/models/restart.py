"""Start anew what is never chosen: latents of a sparse autoencoder, codes of a codebook.

Both are set to where the data are, which is what makes them chosen again, and what an optimiser
kept for them is set to 0. `mlpinit.recycle` does as much for units that do not move an output.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from mlpinit.models.firing import Census
from mlpinit.models.recycle import state_of

__all__ = ["recycle_codes", "recycle_latents"]


def recycle_latents(
    encoder: nn.Linear,
    decoder: nn.Linear,
    dead: Tensor,
    inputs: Tensor,
    errors: Tensor,
    *,
    generator: Generator,
    scale: float = 0.2,
    optimizer: Optimizer | None = None,
) -> Tensor:
    """Resample dead latents in place, each at an input that is badly reconstructed.

    Input i is drawn with a probability in proportion to errors[i]². The latent's decoder vector
    becomes that input at length 1, its encoder vector the same direction at `scale` times the mean
    length of the live encoder vectors, its bias 0; what `optimizer` keeps for them becomes 0. The
    source's scale of 0.2 is for latents that fire each by itself: where only the largest k are
    heard (TopK), one that starts softly is not chosen, and 1 is right.

    - `encoder`: d → latents, `decoder`: latents → d
    - `dead`: (latents,) bool, as `firing.Census.dead` has it
    - `inputs`: (n, d), what the encoder is given: less the decoder's bias, where that is subtracted
    - `errors`: (n,), the squared error of each input's reconstruction
    - `generator`: draws the inputs, with replacement, on the CPU

    Returns the rows drawn, (dead latents,) int64. The model's answers change where a new latent is
    chosen: unlike a recycled unit, it speaks at once. Raises `ValueError` before anything is
    written: for shapes that do not fit, no live latent, errors that are negative or all 0, a drawn
    input of length 0, or an optimiser that keeps what cannot be reset.

    Source: Bricken et al., "Towards Monosemanticity" (2023), "Neuron resampling".

    >>> g = torch.Generator().manual_seed(0)
    >>> encoder, decoder = nn.Linear(3, 8), nn.Linear(8, 3)
    >>> dead = torch.arange(8) == 5
    >>> x = torch.randn(64, 3, generator=g)
    >>> row = recycle_latents(encoder, decoder, dead, x, torch.ones(64), generator=g)
    >>> torch.allclose(decoder.weight[:, 5], x[row[0]] / x[row[0]].norm())
    True
    """
    _refuse_latents(encoder, decoder, dead, inputs, errors)
    which = dead.nonzero()[:, 0].to(encoder.weight.device)
    if not len(which):
        return torch.empty(0, dtype=torch.int64)
    chances = errors.detach().double().cpu().square()
    rows = torch.multinomial(chances, len(which), replacement=True, generator=generator)
    found = inputs.detach()[rows.to(inputs.device)].to(encoder.weight)
    lengths = found.norm(dim=1, keepdim=True)
    if not (lengths > 0).all():
        raise ValueError("an input of length 0 was drawn, which has no direction; leave it out")
    places = [(encoder.weight, 0), (decoder.weight, 1)]
    places += [(encoder.bias, 0)] if encoder.bias is not None else []
    states = [entry for parameter, axis in places for entry in _state(optimizer, parameter, axis)]
    with torch.no_grad():
        live = encoder.weight[~dead.to(which.device)].norm(dim=1).mean()
        decoder.weight[:, which] = (found / lengths).T
        encoder.weight[which] = found / lengths * live * scale
        if encoder.bias is not None:
            encoder.bias[which] = 0.0
        for state, axis, start in states:
            state.index_fill_(axis, which, start)
    return rows


def recycle_codes(
    codebook: Tensor,
    counts: Tensor | Census,
    inputs: Tensor,
    *,
    generator: Generator,
    least: int = 1,
    optimizer: Optimizer | None = None,
) -> Tensor:
    """Restart, in place, the codes that were chosen fewer than `least` times, each at an input.

    - `codebook`: (codes, d), a tensor or an `nn.Parameter`
    - `counts`: (codes,), how often each was chosen, or a `firing.Census`
    - `inputs`: (n, d), what the codes are to be near: the encoder's answers. Rows are drawn without
      replacement while there are enough of them
    - `generator`: draws the rows, on the CPU; `optimizer`: what it keeps for these codes becomes 0

    Returns the codes restarted, (restarted,) int64: moving averages that are kept beside the
    codebook have to start anew there too. Raises `ValueError`, before anything is written, for
    shapes that do not fit, no inputs, and an optimiser that keeps what cannot be reset.

    Source: Dhariwal et al., "Jukebox" (2020), "random restarts".

    >>> g = torch.Generator().manual_seed(0)
    >>> codes = torch.zeros(4, 2)
    >>> recycle_codes(codes, torch.tensor([5, 0, 3, 0]), torch.ones(9, 2), generator=g).tolist()
    [1, 3]
    >>> codes.tolist()
    [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]
    """
    counts = counts.counts if isinstance(counts, Census) else counts
    if codebook.dim() != 2 or counts.shape != codebook.shape[:1]:
        raise ValueError(
            f"the codebook is {tuple(codebook.shape)} and counts {tuple(counts.shape)}; wanted "
            "(codes, d) and (codes,)"
        )
    if inputs.dim() != 2 or not len(inputs) or inputs.shape[1] != codebook.shape[1]:
        raise ValueError(
            f"inputs are {tuple(inputs.shape)}; wanted (n, {codebook.shape[1]}), a row at least"
        )
    which = (counts < least).nonzero()[:, 0].to(codebook.device)
    k, n = len(which), len(inputs)
    if k <= n:
        rows = torch.randperm(n, generator=generator)[:k]
    else:
        rows = torch.randint(n, (k,), generator=generator)
    states = _state(optimizer, codebook, 0)
    with torch.no_grad():
        codebook[which] = inputs.detach()[rows.to(inputs.device)].to(codebook)
        for state, axis, start in states:
            state.index_fill_(axis, which, start)
    return which.cpu()


def _refuse_latents(
    encoder: nn.Linear, decoder: nn.Linear, dead: Tensor, inputs: Tensor, errors: Tensor
) -> None:
    latents, d = encoder.weight.shape
    if decoder.weight.shape != (d, latents):
        raise ValueError(
            f"the encoder is {d} → {latents} and the decoder {decoder.in_features} → "
            f"{decoder.out_features}; wanted {latents} → {d}"
        )
    if dead.dtype != torch.bool or dead.shape != (latents,):
        raise ValueError(
            f"dead is {dead.dtype} {tuple(dead.shape)}; wanted a mask of bools, ({latents},)"
        )
    if inputs.dim() != 2 or inputs.shape[1] != d or errors.shape != inputs.shape[:1]:
        raise ValueError(
            f"inputs are {tuple(inputs.shape)} and errors {tuple(errors.shape)}; wanted (n, {d}) "
            "and (n,)"
        )
    if dead.all():
        raise ValueError("no latent is live, and so there is no length to take: draw all anew")
    if not (errors >= 0).all() or not errors.any() or not errors.isfinite().all():
        raise ValueError("errors are negative, not finite or all 0; wanted squared errors")


def _state(
    optimizer: Optimizer | None, parameter: Tensor, axis: int
) -> list[tuple[Tensor, int, float]]:
    """(state, axis, start value) of all that an optimiser keeps for a parameter's entries."""
    if optimizer is None:
        return []
    if not any(p is parameter for group in optimizer.param_groups for p in group["params"]):
        raise ValueError("the optimiser does not train this parameter: is it another model's?")
    kept = state_of(optimizer, parameter, "a parameter, a member of which")
    return [(state, axis, start) for _, state, start in kept]
