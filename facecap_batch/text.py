"""Text from outside: whether it can be kept in tables and files, and how it is shown to people.

In: text of manifests, file names, messages of libraries. Out: the reason why it is none, or the same text
that changes no terminal and hides nothing.
"""

from __future__ import annotations

import unicodedata

MAX_SHOWN = 500  # characters of one problem: more than that hides the others
# Joiners belong to words of several scripts and to emoji; every other invisible character only hides.
JOINERS = "\u200c\u200d"
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, formats (bidi), surrogates, separators


def why_no_text(text: str) -> str | None:
    """Why no table, file name or other program could hold `text`; None where they can."""
    if "\0" in text:
        return "it holds a NUL character"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "it is not valid Unicode (half of a surrogate pair, or the name of a file that is not UTF-8)"
    return None


def invisible_in(text: str) -> str:
    """The control, format and separator characters of `text` that show nothing and change what is shown,
    such as line ends and marks that turn the direction of writing; without joiners of words."""
    if text.isascii() and text.isprintable():
        return ""
    return "".join(mark for mark in text if mark not in JOINERS and unicodedata.category(mark) in _INVISIBLE)


def printable(text: str, longest: int = MAX_SHOWN) -> str:
    """`text` in one line for a terminal: invisible characters as their escapes, and cut where it is long."""
    cut = text if len(text) <= longest else f"{text[: longest - 1]}…"
    hidden = frozenset(invisible_in(cut))
    if not hidden:
        return cut
    return "".join(mark.encode("unicode_escape").decode() if mark in hidden else mark for mark in cut)
