"""Live Link Face CSV: the text format of Apple-phone capture that Unreal and many tools import.

In: a `CoefficientTable`. Out: 63 columns, one line per frame. The names and orders were measured on files of
the app itself; they differ from Apple's order in the jaw and mouth sidewards shapes.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable
from facecap_batch.storage.publish import StoragePath, publish_bytes
from facecap_batch.timecode import parse_time

SHAPE_COUNT = 61  # what the app writes in BlendShapeCount: 52 shapes and 9 angles
UNITS_PER_SECOND = 60  # the timecode's last two digits count 60ths whatever the take's rate
_SECONDS_PER_DAY = 24 * 60 * 60
_SWAPPED = {
    "jawLeft": "jawRight",
    "jawRight": "jawLeft",
    "mouthLeft": "mouthRight",
    "mouthRight": "mouthLeft",
}
SHAPES: tuple[str, ...] = tuple(_SWAPPED.get(name, name) for name in ARKIT_NAMES)
TONGUE = "tongueOut"  # of Apple's 52, the one that is not among the 51
HEAD_COLUMNS = ("HeadYaw", "HeadPitch", "HeadRoll")
EYE_COLUMNS = ("LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch", "RightEyeRoll")
COLUMNS: tuple[str, ...] = (
    "Timecode",
    "BlendShapeCount",
    *(name[0].upper() + name[1:] for name in SHAPES),
    TONGUE[0].upper() + TONGUE[1:],
    *HEAD_COLUMNS,
    *EYE_COLUMNS,
)
# Radians that an eye turns when a look shape is 1: the app's angles are derived the other way round.
EYE_SIDE, EYE_UP, EYE_DOWN = 0.56, 0.42, 0.49
# Yaw, pitch, roll: the app's own signs are not known (head tracking was off in the takes that were measured),
# so ours are written: + is toward the subject's left, down, and the head's top toward the subject's right.
HEAD_SIGNS = np.array([1.0, 1.0, 1.0])


def timecode(seconds: Fraction) -> str:
    """``HH:MM:SS:FF.fff``: FF counts 60ths of a second, fff the fraction of one; wraps at midnight."""
    thousandths = round(seconds * UNITS_PER_SECOND * 1000) % (_SECONDS_PER_DAY * UNITS_PER_SECOND * 1000)
    units, fraction = divmod(thousandths, 1000)
    whole, unit = divmod(units, UNITS_PER_SECOND)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}:{unit:02d}.{fraction:03d}"


def start_seconds(table: CoefficientTable) -> Fraction:
    """Where the take's timecode begins: the table's metadata `timecode`, else 0.

    Raises ValueError when the metadata's text is no timecode.
    """
    text = table.metadata.get("timecode", "").strip()
    return parse_time(text, str(table.info.fps)) if text else Fraction(0)


def eye_angles(coefficients: np.ndarray) -> np.ndarray:
    """float64 [N, 6], radians, EYE_COLUMNS order: +pitch down, +yaw toward the subject's right, no roll.

    `coefficients` is float [N, 51] in ARKIT_NAMES order.
    """
    column = {name: np.asarray(coefficients[:, k], np.float64) for k, name in enumerate(ARKIT_NAMES)}
    angles = np.zeros((len(coefficients), 6))
    for place, side, right, left in ((0, "Left", "In", "Out"), (3, "Right", "Out", "In")):
        angles[:, place] = EYE_SIDE * (column[f"eyeLook{right}{side}"] - column[f"eyeLook{left}{side}"])
        angles[:, place + 1] = EYE_DOWN * column[f"eyeLookDown{side}"] - EYE_UP * column[f"eyeLookUp{side}"]
    return angles


def write_livelink_csv(table: CoefficientTable, path: StoragePath) -> None:
    """Publish `table` at `path` as Live Link Face CSV, atomically.

    A frame without values keeps its line, with a BlendShapeCount of 0 and empty fields, as the format has no
    null and a repeated value would be a lie; a hidden coefficient (the solve leaves those that were never
    seen) is 0, and so is one that the regressor does not say. TongueOut is the regressor's own `tongueOut`,
    where it has one; other outputs of its own have no place here. Raises OSError when `path` cannot be
    written.
    """
    order = [ARKIT_NAMES.index(name) for name in SHAPES]
    shapes = np.asarray(table.coefficients, np.float64)[:, order]
    tongue = np.zeros((len(table), 1))
    if TONGUE in table.extra_names:
        tongue[:, 0] = table.extra[:, table.extra_names.index(TONGUE)]
    values = np.concatenate(
        [shapes, tongue, HEAD_SIGNS * table.head[:, :3], eye_angles(table.coefficients)], axis=1
    )
    start, base = start_seconds(table), table.info.time_base
    lines = [",".join(COLUMNS)]
    line = ",".join(["%.10f"] * values.shape[1])
    known = np.asarray(np.isfinite(shapes).any(axis=1))
    for pts, row, found in zip(table.pts, np.nan_to_num(values), known, strict=True):
        stamp = timecode(start + int(pts - table.pts[0]) * base)
        if found:
            lines.append(f"{stamp},{SHAPE_COUNT},{line % tuple(row)}")
        else:
            lines.append(f"{stamp},0{',' * values.shape[1]}")
    publish_bytes(path, ("\n".join(lines) + "\n").encode("ascii"))
