"""What a child writes, read without trust: as bytes, up to a limit, and never looked into."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import BinaryIO

from mlpinit.grading.job import MAX_BYTES, Ending

__all__ = ["Received"]

SHOWN_OUTPUT = 2000  # bytes of what a submission printed


class Received:
    """The bytes that come through a pipe."""

    def __init__(self, handle: int) -> None:
        """Read from `handle`."""
        self.handle = handle
        self._blocks: list[bytes] = []
        self._size = 0

    def more(self) -> str:
        """Read what there is: '' when there may be more, 'end' at the end, 'flood' at the limit."""
        block = os.read(self.handle, 2**16)
        self._size += len(block)
        if self._size > MAX_BYTES:
            self._blocks.clear()
            return "flood"
        self._blocks.append(block)
        return "" if block else "end"

    def rest(self) -> str:
        """Read what was left by a child that has ended, without waiting for more."""
        os.set_blocking(self.handle, False)
        with suppress(BlockingIOError):
            while not (said := self.more()):
                pass
            return said
        return "end"

    def ending(self, how: str, code: int, seconds: float, printed: BinaryIO, **more) -> Ending:
        """The whole: what came, how it ended, and what is in the file of what was printed."""
        held, *lines = b"".join(self._blocks).decode("utf-8", "replace").split("\n")
        printed.seek(0)
        output = printed.read(SHOWN_OUTPUT).decode("utf-8", "replace")
        size = os.fstat(printed.fileno()).st_size
        lines = [line for line in lines if line]
        return Ending(lines, how, code, output, size, seconds, held.split(), **more)
