r"""Text from outside, made fit to show: names, messages and printed output of submissions.

Control characters, ANSI escapes, marks that turn the direction of writing, characters of no width
and what no encoding takes (lone surrogates, noncharacters) appear as escapes. So made, text is
legal in a terminal, in HTML, CSV, JSON and XML alike, and shows what is in it.

>>> print(visible("\x1b[2Jsam\u202e\ud800"))
\x1b[2Jsam\u202e\ud800
"""

from __future__ import annotations

import unicodedata

__all__ = ["visible", "visible_lines"]

_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"  # letters to Unicode, blank to the eye


class _Escapes(dict):
    """What `str.translate` puts for each character, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        self[code] = _escape(code) if _is_hidden(code) else chr(code)
        return self[code]


def _is_hidden(code: int) -> bool:
    noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code < 0xFDF0
    c = chr(code)
    return noncharacter or c in _FILLERS or unicodedata.category(c) in _HIDDEN


def _escape(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_IN_A_LINE = _Escapes({ord("\n"): r"\n", ord("\t"): r"\t", ord("\r"): r"\r"})
_IN_LINES = _Escapes({ord("\n"): "\n", ord("\t"): "\t", ord("\r"): r"\r"})


def visible(text: str) -> str:
    """Text for one line, as a name is: line breaks and tabs are escaped too."""
    return text.translate(_IN_A_LINE)


def visible_lines(text: str) -> str:
    """Text of several lines: line breaks and tabs stay."""
    return text.replace("\r\n", "\n").translate(_IN_LINES)
