"""A model left as it was: its numbers, buffers, modes and the random numbers, whatever is run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["random_numbers", "untouched"]


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Run what you like inside: afterwards the model is as before, bit for bit.

    Put back are the numbers of all parameters and buffers, which parameters and buffers there are,
    the plain attributes of every module (its mode, a counter of steps) and the states of torch's,
    NumPy's and Python's random numbers. What is inside an attribute, as in a list that a forward
    appends to, is not followed. While it lasts a second copy of the numbers is held.
    """
    held = [(t, t.detach().clone()) for t in (*model.parameters(), *model.buffers())]
    modules = [(m, _state(m)) for m in model.modules()]
    with random_numbers(model):
        try:
            yield
        finally:
            for module, state in modules:
                _put_back(module, state)
            with torch.no_grad():
                for tensor, before in held:
                    if not torch.equal(tensor, before):  # a write would count as a new version
                        tensor.copy_(before)


@contextmanager
def random_numbers(model: nn.Module) -> Iterator[None]:
    """Whatever is drawn inside, torch, NumPy and Python go on as if it had not been."""
    devices = {t.device for t in (*model.parameters(), *model.buffers()) if t.device.type == "cuda"}
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(sorted(devices, key=str)):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


_OWN = ("_parameters", "_buffers", "_modules")


def _state(module: nn.Module) -> tuple[dict, dict[str, dict[str, Tensor | nn.Module | None]]]:
    """A module's plain attributes, and the contents of its three registers."""
    plain = {key: value for key, value in module.__dict__.items() if key not in _OWN}
    return plain, {key: dict(module.__dict__[key]) for key in _OWN}


def _put_back(module: nn.Module, state: tuple) -> None:
    plain, own = state
    attributes = module.__dict__
    for key in [key for key in attributes if key not in plain and key not in _OWN]:
        del attributes[key]
    attributes.update(plain)
    for key, entries in own.items():
        attributes[key].clear()
        attributes[key].update(entries)
