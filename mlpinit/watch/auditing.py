"""Every unit over a whole data set, with the parameters fixed: the verdicts are exact for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from tqdm import tqdm

from mlpinit.progress import bar as progress_bar
from mlpinit.sites import evaluating
from mlpinit.watch.report import Report
from mlpinit.watch.watching import Activations, Watch

__all__ = ["audit"]

BATCH = 1024  # rows of a plain tensor at a time


def audit(
    model: nn.Module,
    loader: Iterable,
    *,
    call: Callable[[nn.Module, Any], Any] | None = None,
    progress: bool | None = None,
    activations: Activations | None = None,
    ignore: Iterable[str] = (),
    together: Iterable[str] = (),
    axes: Mapping[str, int] | None = None,
    batch_axis: int = 0,
) -> Report:
    """Run `model` once over a data set in evaluation mode, and judge every unit on all of it.

    - `loader`: batches, as a `DataLoader` gives them: a tensor, (inputs, ...) of which the first
      goes in, or a dict, which goes in by name. A single tensor is a data set of its own
    - `call(model, batch)`: how to run the model on a batch where that is not so
    - `progress`: a bar on stderr; None shows it in a terminal and a notebook
    - the others: as for `watch`

    Batches are moved to the device of the model's first parameter. Every module is back in its
    own mode afterwards; no gradients are kept. The verdicts are exact for this data set: a unit
    is hard-dead if its slope is exactly 0 on every row. For data like it, n rows without a live
    one bound the live rate at about 3/n. Mean |h| is counted too, and so Sokar's dormancy score.

    Raises `ValueError` for an empty data set, `TypeError` for a tuple of inputs and targets, and
    whatever `watch` raises.

    >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> with torch.no_grad():
    ...     _ = model[0].bias.zero_()
    ...     model[0].bias[5] = -100.0
    >>> audit(model, torch.randn(500, 3)).dead()
    {'1': [5]}
    """
    watch = Watch(
        model,
        phase="any",
        window=sys.maxsize,
        activations=activations,
        ignore=ignore,
        together=together,
        axes=axes,
        batch_axis=batch_axis,
        sizes=True,
        data_set=True,
    )
    if isinstance(loader, tuple) and _unlike(loader):
        raise TypeError(
            "loader is a tuple of tensors that are unlike: inputs and targets? wanted batches, as "
            "a DataLoader or a list has them, or the tensor of all inputs alone: audit(model, X)"
        )
    batches = loader.split(BATCH) if isinstance(loader, Tensor) else loader
    device = next((p.device for p in chain(model.parameters(), model.buffers())), None)
    bar = tqdm(batches, desc="audit", unit="batch", **progress_bar(progress))
    with watch, evaluating(model), torch.no_grad(), bar:
        for batch in bar:
            (call or _call)(model, _moved(batch, device))
    if not watch.passes:
        raise ValueError("the data set is empty: no batch came, and so nothing was run")
    seen = [site for site in watch.sites.values() if site is not None and not site.meta]
    if seen and all(site.empty for site in seen):
        raise ValueError(f"the data set is empty: {watch.passes:,} batches came without a row")
    return watch.report()


def _unlike(loader: tuple) -> bool:
    """Whether these tensors cannot all be batches of the same inputs."""
    kinds = {(x.dtype, x.shape[1:]) for x in loader if isinstance(x, Tensor)}
    return len(kinds) > 1


def _call(model: nn.Module, batch: Any) -> Any:
    if isinstance(batch, Mapping):
        return model(**batch)
    if isinstance(batch, list | tuple):
        return model(batch[0])
    return model(batch)


def _moved(batch: Any, device: torch.device | None) -> Any:
    if device is None:
        return batch
    return tree_map(lambda x: x.to(device) if isinstance(x, Tensor) else x, batch)
