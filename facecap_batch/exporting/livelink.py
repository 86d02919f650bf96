"""Live Link Face CSV: the text format of Apple-phone capture that Unreal and many tools import.

In: a `CoefficientTable`. Out: 63 columns, one line per frame. Names and order were measured on files of the
app itself; they differ from Apple's order in the sideways shapes of jaw and mouth.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES, SHAPE_NAMES, CoefficientTable
from facecap_batch.exporting.rigs.rig import Rig, in_channels
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
SHAPES: tuple[str, ...] = tuple(_SWAPPED.get(name, name) for name in SHAPE_NAMES)
HEAD_COLUMNS = ("HeadYaw", "HeadPitch", "HeadRoll")
EYE_COLUMNS = ("LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch", "RightEyeRoll")
COLUMNS: tuple[str, ...] = (
    "Timecode",
    "BlendShapeCount",
    *(name[0].upper() + name[1:] for name in SHAPES),
    *HEAD_COLUMNS,
    *EYE_COLUMNS,
)
# Radians that an eye turns when a look shape is 1: the app's angles are derived the other way round.
EYE_SIDE, EYE_UP, EYE_DOWN = 0.56, 0.42, 0.49
# Yaw, pitch, roll: the app's signs are not known (head tracking was off in the takes that were measured), so
# ours are written: + is toward the subject's left, down, and the head's top toward the subject's right.
HEAD_SIGNS = np.array([1.0, 1.0, 1.0])


def timecode(seconds: Fraction) -> str:
    """``HH:MM:SS:FF.fff`` of a time of day: FF counts 60ths of a second, fff the fraction of one; wraps at
    midnight.
    """
    thousandths = round(seconds * UNITS_PER_SECOND * 1000) % (_SECONDS_PER_DAY * UNITS_PER_SECOND * 1000)
    units, fraction = divmod(thousandths, 1000)
    whole, unit = divmod(units, UNITS_PER_SECOND)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}:{unit:02d}.{fraction:03d}"


def start_seconds(table: CoefficientTable) -> Fraction:
    """Seconds at which the take's timecode begins: the table's metadata `timecode`, else 0.

    Raises:
        ValueError: the metadata's text is no timecode.
    """
    text = table.metadata.get("timecode", "").strip()
    return parse_time(text, str(table.info.fps)) if text else Fraction(0)


def eye_angles(coefficients: np.ndarray) -> np.ndarray:
    """The eyes' angles that the look shapes stand for.

    Args:
        coefficients: float [N, S], 0..1, `CoefficientTable.shape_names` order.

    Returns:
        float64 [N, 6], radians, EYE_COLUMNS order: +pitch down, +yaw toward the subject's right, no roll.
    """
    column = {name: np.asarray(coefficients[:, k], np.float64) for k, name in enumerate(ARKIT_NAMES)}
    angles = np.zeros((len(coefficients), 6))
    for yaw, side, right, left in ((0, "Left", "In", "Out"), (3, "Right", "Out", "In")):
        angles[:, yaw] = EYE_SIDE * (column[f"eyeLook{right}{side}"] - column[f"eyeLook{left}{side}"])
        angles[:, yaw + 1] = EYE_DOWN * column[f"eyeLookDown{side}"] - EYE_UP * column[f"eyeLookUp{side}"]
    return angles


def write_livelink_csv(table: CoefficientTable, path: StoragePath, rig: Rig | None = None) -> None:
    """Publish `table` at `path` as Live Link Face CSV, atomically.

    A frame without values keeps its line, with a BlendShapeCount of 0 and empty fields, because the format
    has no null and a repeated value would be wrong. A single coefficient without a value is 0: one that was
    hidden in every frame, or that the regressor does not output, as TongueOut where the table has no
    tongueOut. The format has no columns for a regressor's own outputs.

    Args:
        table: the clip.
        path: where the file goes.
        rig: channels that take the place of the 52 shapes, under their own names; None: the app's columns.

    Raises:
        ValueError: the table's metadata hold a `timecode` that is none.
        OSError: `path` cannot be written.
    """
    names, shapes = _shapes(table) if rig is None else _channels(table, rig)
    values = np.concatenate(
        [np.nan_to_num(shapes), HEAD_SIGNS * table.head[:, :3], eye_angles(table.coefficients)], axis=1
    )
    start, base = start_seconds(table), table.info.time_base
    lines = [",".join([*COLUMNS[:2], *names, *HEAD_COLUMNS, *EYE_COLUMNS])]
    line = ",".join(["%.10f"] * values.shape[1])
    known = np.asarray(np.isfinite(shapes).any(axis=1))
    count = len(names) + len(HEAD_COLUMNS + EYE_COLUMNS)
    for pts, row, found in zip(table.pts, np.nan_to_num(values), known, strict=True):
        stamp = timecode(start + int(pts - table.pts[0]) * base)
        if found:
            lines.append(f"{stamp},{count},{line % tuple(row)}")
        else:
            lines.append(f"{stamp},0{',' * values.shape[1]}")
    publish_bytes(path, ("\n".join(lines) + "\n").encode())


def _shapes(table: CoefficientTable) -> tuple[tuple[str, ...], np.ndarray]:
    """The app's 52 columns and their values, float64 [N, 52]; NaN where nothing is known."""
    shapes = np.full((len(table), len(SHAPE_NAMES)), np.nan)
    shapes[:, : len(table.shape_names)] = table.coefficients
    names = COLUMNS[2 : -len(HEAD_COLUMNS + EYE_COLUMNS)]
    return names, shapes[:, [SHAPE_NAMES.index(name) for name in SHAPES]]


def _channels(table: CoefficientTable, rig: Rig) -> tuple[tuple[str, ...], np.ndarray]:
    """The columns of a rig and their values, float64 [N, C]; NaN where nothing is known."""
    channels = in_channels(table, rig)
    odd = next((name for name in channels.names if any(mark in name for mark in ',"\n\r')), None)
    if odd is not None:
        raise ValueError(f"the rig {rig.name} has a channel {odd!r}, and the format has no quotes for it")
    return channels.names, channels.values.astype(np.float64)
