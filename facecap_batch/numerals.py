"""Numbers as others write them: in manifests, tags of videos, records and file names.

In: text of any origin. Out: an exact `Fraction`, or ValueError. Python's own `Fraction` computes whatever it
is given: ``1e999999999`` costs it hours and all memory. So only so many digits are taken, and small
exponents.
"""

from __future__ import annotations

import re
from fractions import Fraction

MAX_LENGTH = 100  # characters of a decimal number; Parquet's have 76 digits
MAX_SHOWN = 60  # characters of a text that is no number, in messages
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
# What any such decimal is as a fraction: records hold times in this form. As a float none of them overflows.
_RATIO = re.compile(rf"[+-]?\d{{1,{2 * MAX_LENGTH}}}(/\d{{1,{2 * MAX_LENGTH}}})?", re.ASCII)


def exact(text: str) -> Fraction:
    """The number that `text` says: ``12``, ``-12.5``, ``.5``, ``1e-3`` or ``30000/1001``.

    Raises:
        ValueError: It says none, divides by 0, or is too long.
    """
    text = text.strip()
    is_decimal = len(text) <= MAX_LENGTH and _DECIMAL.fullmatch(text)
    if not (is_decimal or _RATIO.fullmatch(text)):
        raise ValueError(f"{shown(text)} is no number")
    try:
        return Fraction(text)
    except ZeroDivisionError as error:
        raise ValueError(f"{shown(text)} divides by 0") from error


def shown(text: str) -> str:
    """`text` for a message, in quotes; its beginning where it is long."""
    return repr(text) if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]!r}…"
