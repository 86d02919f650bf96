"""CSV that scripts made for OpenFace 2.x read: FeatureExtraction's columns, units and axes.

In: a `CoefficientTable`. Out: for every frame its number from 1, seconds, confidence and success, gaze, head
pose, the 68 landmarks where the run kept them, and action units (see `action_units`). Names, order and units
are those of OpenFace's RecorderCSV and of its wiki's page "Output Format"; the numbers have more digits than
OpenFace's own. OpenFace's camera frame is x right in the image, y down, z away from the camera, millimetres.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.exporting.frame_times import frame_rate, frame_times
from facecap_batch.exporting.tables.action_units import intensities, presences, units_of
from facecap_batch.geometry import eye_direction, matrix_from_euler, unwrap
from facecap_batch.storage.publish import StoragePath, publish_bytes

MILLIMETRES = 10.0  # in a centimetre
LANDMARKS = 68  # Multi-PIE's, OpenFace's order; ours begin with the same
GAZE_COLUMNS = (
    *(f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz"),
    "gaze_angle_x",
    "gaze_angle_y",
)
POSE_COLUMNS = ("pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry", "pose_Rz")
# Half a turn about x takes our camera frame (y up, z toward the camera) to OpenFace's, and back.
FLIP = np.array([1.0, -1.0, -1.0])


def head_pose(head: np.ndarray) -> np.ndarray:
    """The head's pose as OpenFace states it.

    Args:
        head: float [N, 6], as `CoefficientTable.head`.

    Returns:
        float64 [N, 6], POSE_COLUMNS order: millimetres; radians of R = Rx Ry Rz, unwrapped over time. The
        origin of the head is ours, midway between the eyeballs.
    """
    values = np.asarray(head, np.float64)
    rotation = matrix_from_euler(values[:, :3]) * FLIP[:, None] * FLIP
    angles = np.stack(
        [
            np.arctan2(-rotation[:, 1, 2], rotation[:, 2, 2]),
            np.arcsin(np.clip(rotation[:, 0, 2], -1.0, 1.0)),
            np.arctan2(-rotation[:, 0, 1], rotation[:, 0, 0]),
        ],
        axis=1,
    )
    return np.concatenate([values[:, 3:] * FLIP * MILLIMETRES, unwrap(angles)], axis=1)


def gaze_columns(gaze: np.ndarray) -> np.ndarray:
    """Where the eyes look as OpenFace states it.

    Args:
        gaze: float [N, 4], as `CoefficientTable.gaze`: yaw and pitch of the left and of the right eye.

    Returns:
        float64 [N, 8], GAZE_COLUMNS order: unit vectors of eye 0, the subject's right one, which is the left
        one in the image, and of eye 1; radians of their mean, x positive toward the image's right edge, y
        positive down.
    """
    angles = np.asarray(gaze, np.float64)
    left, right = (eye_direction(angles[:, k], -angles[:, k + 1]) * FLIP for k in (0, 2))
    mean = (left + right) / 2.0
    across, down = np.arctan2(mean[:, 0], -mean[:, 2]), np.arctan2(mean[:, 1], -mean[:, 2])
    return np.concatenate([right, left, across[:, None], down[:, None]], axis=1)


def write_openface_csv(table: CoefficientTable, path: StoragePath) -> None:
    """Publish `table` at `path` as OpenFace's CSV, atomically.

    `success` is 1 where the face was seen in the frame; where values were interpolated it is 0 and they are
    there. A frame without any values is 0 throughout, as in OpenFace. What is unknown in a frame that has
    values (a hidden eye, a score that nobody measured) is ``nan``.

    Args:
        table: the clip.
        path: where the file goes.

    Raises:
        OSError: `path` cannot be written.
    """
    units, strengths = units_of(table.shape_names), intensities(table.coefficients)
    measured = [k for k, unit in enumerate(units) if unit.measured]
    names = ["frame", "face_id", "timestamp", "confidence", "success", *GAZE_COLUMNS, *POSE_COLUMNS]
    blocks = [gaze_columns(table.gaze()), head_pose(table.head)]
    digits = [6] * len(GAZE_COLUMNS) + [4, 4, 4, 6, 6, 6]
    if table.landmarks.shape[1] >= LANDMARKS:
        names += [f"{axis}_{point}" for axis in "xy" for point in range(LANDMARKS)]
        blocks += [table.landmarks[:, :LANDMARKS, axis] for axis in (0, 1)]
        digits += [3] * (2 * LANDMARKS)
    names += [f"{units[k].code}_r" for k in measured] + [f"{unit.code}_c" for unit in units]
    blocks += [strengths[:, measured], presences(strengths)]
    digits += [6] * len(measured) + [0] * len(units)
    values = np.concatenate(blocks, axis=1)
    known = np.isfinite(values).any(axis=1)
    confidence = np.where(known, table.score, 0.0)
    values[~known] = 0.0
    line = ",".join(["%d", "%d", "%r", "%.4f", "%d", *(f"%.{count}f" for count in digits)])
    lines = [",".join(names)]
    seconds = frame_times(table, frame_rate(table)).seconds().tolist()
    for row, (number, time) in enumerate(zip(table.frame_index.tolist(), seconds, strict=True)):
        start = (number + 1, table.track, time, confidence[row], table.face_found[row])
        lines.append(line % (*start, *values[row]))
    publish_bytes(path, ("\n".join(lines) + "\n").encode("ascii"))
