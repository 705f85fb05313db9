"""Regular expressions, kept as they were compiled: what a build loads compiles seven hundred anew.

Python keeps modules compiled but not their patterns, which take longer than the modules. What is
kept are the arguments of the last step, whose code is for one version of Python, and checked there.
"""

from __future__ import annotations

import hashlib
import marshal
import re
import sys
from contextlib import suppress
from pathlib import Path
from threading import RLock
from types import SimpleNamespace
from typing import Any

__all__ = ["keep", "serve"]

Key = tuple[str | bytes, int]

_known: dict[Key, tuple[Any, ...]] = {}
_new: dict[Key, tuple[Any, ...]] = {}


def place(build: Path) -> Path:
    """The file of this Python's patterns."""
    version = hashlib.sha256(sys.version.encode()).hexdigest()[:8]
    return build / f"patterns-{version}.marshal"


def serve(build: Path) -> None:
    """Have Python look for a pattern among those that are kept, and note those that are not."""
    compiler = getattr(re, "_compiler", None)
    if compiler is None or not hasattr(compiler, "_sre") or hasattr(compiler.compile, "kept"):
        return
    with suppress(OSError, ValueError, EOFError, TypeError):
        _known.update(marshal.loads(place(build).read_bytes()))
    compile_pattern, sre = compiler.compile, compiler._sre
    last: list[tuple[Any, ...]] = []
    one_at_a_time = RLock()

    def note(*arguments: Any) -> re.Pattern:
        last[:] = [arguments]
        return sre.compile(*arguments)

    def find_or_compile(pattern: Any, flags: int = 0) -> re.Pattern:
        key = (pattern, int(flags))
        if not isinstance(pattern, str | bytes) or flags & re.DEBUG:
            return compile_pattern(pattern, flags)
        if key in _known:
            return sre.compile(*_known[key])
        with one_at_a_time:
            compiled = compile_pattern(pattern, flags)
            _new[key] = plainly(*last[0])
        return compiled

    find_or_compile.kept = True
    compiler._sre = SimpleNamespace(**(vars(sre) | {"compile": note}))
    compiler.compile = find_or_compile


def plainly(
    pattern: str | bytes, flags: int, code: list[int], groups: int, *names: Any
) -> tuple[Any, ...]:
    """Write the compiler's own kinds of numbers as numbers."""
    return pattern, int(flags), [int(x) for x in code], groups, dict(names[0]), names[1]


def keep(build: Path) -> None:
    """Keep the patterns that were not kept yet."""
    if _new:
        part = place(build).with_suffix(".part")
        part.write_bytes(marshal.dumps(_known | _new))
        part.replace(place(build))
