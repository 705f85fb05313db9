"""Numbers as a page prints them: with a minus sign, and with powers of ten."""

from __future__ import annotations

__all__ = ["power_of_ten", "with_minus"]

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(x: float, digits: int = 0) -> str:
    """A number as mantissa and power of ten, the mantissa with so many digits after its point.

    >>> power_of_ten(3.2e9), power_of_ten(-1.14e-4, 1)
    ('3 · 10⁹', '−1.1 · 10⁻⁴')
    """
    mantissa, exponent = f"{x:.{digits}e}".split("e")
    return f"{with_minus(mantissa)} · 10{str(int(exponent)).translate(_RAISED)}"


def with_minus(number: float | str, spec: str = "") -> str:
    """A number in that format, with a minus sign where format has a hyphen.

    >>> with_minus(-0.042, ".2f")
    '−0.04'
    """
    return format(number, spec).replace("-", "−")
