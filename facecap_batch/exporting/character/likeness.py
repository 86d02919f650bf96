"""Names that mean the same: jawOpen and Jaw_Open, eyeBlinkLeft and blendShape1.AK_09_EyeBlink_L.

In: two sets of names. Out: for each name of the one the name of the other that it is most like, and how much.
Left is never like right. A likeness is a proposal; a person says whether it is right.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable

LIKE = 0.8  # of 0..1, the least that is proposed
CLEAR = 0.04  # by so much the best must be better than the next, or nobody knows which is meant
OTHER_ORDER, ONE_SIDE = 0.95, 0.9  # the same words in another order; one half of what has no sides here
_SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}
_IDLE_WORDS = frozenset({"ak", "arkit", "bs", "blendshape", "shape", "key", "ctrl", "expressions"})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")


@dataclasses.dataclass(frozen=True)
class _Meaning:
    side: str  # "left", "right" or ""
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(self.words)


def alike(names: Iterable[str], known: Iterable[str]) -> dict[str, tuple[str, float]]:
    """Each of `names` that is like one of `known`, with that one and how much, LIKE..1."""
    meanings = {other: _meaning(other) for other in known}
    found = {}
    for name in names:
        meaning = _meaning(name)
        scores = sorted(((_likeness(meaning, other), key) for key, other in meanings.items()), reverse=True)
        if not scores or scores[0][0] < LIKE:
            continue
        if len(scores) > 1 and scores[0][0] - scores[1][0] < CLEAR:
            continue
        found[name] = (scores[0][1], scores[0][0])
    return found


def _meaning(name: str) -> _Meaning:
    words = [word.lower() for word in _WORD.findall(name.rsplit(".", 1)[-1] or name)]
    sides = {_SIDES[word] for word in words if word in _SIDES}
    kept = tuple(
        word for word in words if word not in _SIDES and word not in _IDLE_WORDS and not word.isdigit()
    )
    return _Meaning(sides.pop() if len(sides) == 1 else "", kept)


def _likeness(name: _Meaning, known: _Meaning) -> float:
    """0..1; 0 where the sides differ."""
    if not name.words or not known.words or (name.side != known.side and known.side):
        return 0.0
    if name.text == known.text:
        score = 1.0
    elif sorted(name.words) == sorted(known.words):
        score = OTHER_ORDER
    else:
        score = difflib.SequenceMatcher(None, name.text, known.text).ratio() * OTHER_ORDER
    return score if name.side == known.side else score * ONE_SIDE
