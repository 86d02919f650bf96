"""What a network may say of a face: numbers, and none that no face can have.

In: outputs of an engine, or a head's columns made of them. Out: nothing, or `ImpossibleOutput`, which fails
the clip. A damaged file, a network that was imported with the wrong normalisation or a precision that
overflows would else fill tables with nonsense that counts as done.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.errors import ImpossibleOutput

# Far beyond what a face can have, so that a poor network is not mistaken for a broken one.
MAX_COEFFICIENT = 100.0  # 1 is the whole movement; what reaches beyond a little is cut off later
MAX_ANGLE = 4 * np.pi  # radians
MAX_CROP_OFFSET = 100.0  # u and v, in halves of a crop
MAX_LOG_WIDTH = float(np.log(1e5))  # s, of a crop that is a kilometre wide
MAX_POSITION = 1e6  # centimetres: ten kilometres from the camera
MAX_OTHER = 1e9  # outputs of a regressor's own, whose unit nobody knows; spreads, presence
MAX_BOX_SIDES = 100.0  # longer sides of the image that a box may reach


def require_finite(engine: str, output: str, values: np.ndarray) -> None:
    """Raise ImpossibleOutput unless every one of `values` [B, ...] is a number; `engine` is its name."""
    known = np.isfinite(values)
    if not known.all():
        raise ImpossibleOutput(_described(engine, output, values[~known].flat[0], "no finite number"))


def require_within(engine: str, output: str, values: np.ndarray, bound: float, unit: str = "") -> None:
    """Raise ImpossibleOutput unless all of `values` (any shape; NaN where there is none) reach `bound` at
    most, on either side of 0. `engine` is its name, `output` and `unit` are for the message."""
    beyond = np.abs(values) > bound
    if beyond.any():
        allowed = f"beyond the {bound:.6g}{unit and f' {unit}'} that are possible"
        raise ImpossibleOutput(_described(engine, output, values[beyond].flat[0], allowed))


def _described(engine: str, output: str, value: float, what: str) -> str:
    return (
        f"engine {engine!r}: output {output!r} says {value:g}, {what}; the network or its card is damaged or "
        "wrong (facecap-batch engines show, verify)"
    )
