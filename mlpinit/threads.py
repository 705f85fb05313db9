"""Products this small on one thread: a second costs them more than it gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread inside, and as many as before afterwards, also after an error.

    torch deals every operation out to its threads and waits for the last of them. An operation of
    some microseconds is over before that pays, and where other processes want the processor it
    waits for a thread that is not running: a step of training then takes forty times as long.

    >>> before = torch.get_num_threads()
    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    >>> torch.get_num_threads() == before
    True
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
