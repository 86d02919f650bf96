"""The solver: raw coefficients of a whole clip to final animation, looking both ways in time.

In: the raw `CoefficientTable` of a clip. Out: another one with the same rows. Frames whose head pose cannot
be true are dropped; coefficients of parts of the face that were hidden are interpolated from where they were
last seen to where they are seen next; measured frames are smoothed (see `smoothing`), movements that the
regressor is known to damp are stretched above where each coefficient rests (see `calibration`, and `actors`
for a rest of the actor's own), closed lids held (see `eyelids`), short gaps are filled between their smoothed
ends, long gaps stay empty, coefficients are clipped to 0..1 and angles unwrapped. The raw table is not
touched, so this can be redone without decoding a frame.
"""

from __future__ import annotations

import dataclasses
import json

import numpy as np
from numpy.typing import NDArray

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.geometry import euler_from_matrix, matrix_from_euler, unwrap
from facecap_batch.solve import quaternions
from facecap_batch.solve.actors import ActorCalibration
from facecap_batch.solve.calibration import Calibration, calibrated, of_card
from facecap_batch.solve.eyelids import LIDS, without_flicker
from facecap_batch.solve.landmarks import smoothed_landmarks
from facecap_batch.solve.noise import Signals
from facecap_batch.solve.outliers import outliers
from facecap_batch.solve.settings import SolveSettings
from facecap_batch.solve.smoothing import positive_steps, smooth

# Noise that smoothing takes for granted, and the most it believes in, per signal: what is larger is motion.
COEFFICIENT_NOISE = (0.003, 0.05)
QUATERNION_NOISE = (np.radians(0.05) / 2, np.radians(2.0) / 2)  # a quaternion moves by half the angle
POSITION_NOISE_CM = (0.01, 2.0)
# The same for coefficients of which the regressor says how sure it is, as a share of that spread: most of the
# spread is what all frames of a person have in common. Of 14 real clips 9 of 10 values lay in this range.
SPREAD_NOISE = (0.03, 0.3)

# A gap of just the longest length counts as short, however its ends round.
_GAP_TOLERANCE_S = 1e-6


def solve_table(
    raw: CoefficientTable, settings: SolveSettings | None = None, actor: ActorCalibration | None = None
) -> CoefficientTable:
    """Make the final table of a clip from its raw one.

    `face_found` stays true where the frame was measured and believed; a filled row has values, an
    interpolated box, `face_found` false and no score. A coefficient whose part of the face was hidden is
    filled however long it was; a column that the regressor has no output for holds NaN throughout. The
    regressor's own columns are treated like coefficients, but not clipped; landmarks are smoothed along
    their paths through the picture and interpolated as the box is; the spread is left out. Rows in gaps
    longer than `max_gap_s`, and before the first and after the last measured frame, hold NaN.

    Args:
        raw: The table as captured.
        settings: What the solve may do; None: the defaults.
        actor: Calibration of the actor in the clip; None: the card's.

    Returns:
        A table with the rows of `raw`. Its metadata gain `solve`: the settings, how many rows were rejected
        and filled, and the digest of the actor's calibration where there is one, as JSON.
    """
    settings = settings or SolveSettings()
    shapes = np.concatenate([raw.coefficients, raw.extra], axis=1) if raw.extra_names else raw.coefficients
    has_column = np.isfinite(raw.head).any(axis=0)  # head columns that the regressor has an output for
    measured = raw.face_found.astype(bool) & _has_values(shapes, raw.head[:, has_column])
    if not settings.enabled:
        report = _report(settings, None, rejected=0)
        return _assembled(raw, report, measured, shapes, raw.head, _in_picture(raw), measured)

    first = raw.pts[0] if len(raw) else 0
    time_s = positive_steps((raw.pts - first) * float(raw.info.time_base))
    rows = np.flatnonzero(measured)
    pose = np.where(has_column, raw.head[rows], 0.0).astype(np.float64)
    quaternion = quaternions.continuous(quaternions.from_matrix(matrix_from_euler(pose[:, :3])))
    position = pose[:, 3:]
    rejected = 0
    if settings.reject_outliers:
        believed = ~outliers(time_s[rows], quaternion, position)
        rejected = int((~believed).sum())
        rows, quaternion, position = rows[believed], quaternion[believed], position[believed]
        quaternion = quaternions.continuous(quaternion)

    count = shapes.shape[1]
    shapes, unseen = _interpolated(time_s[rows], shapes[rows].astype(np.float64))
    signals = np.concatenate([shapes, quaternion, position], axis=1)
    signals = smooth(time_s[rows], signals, _signals(settings, raw, rows))
    calibration = of_card(raw) if actor is None else actor.applied_to(of_card(raw))
    signals[:, :count] = calibrated(signals[:, :count], _applied(calibration, settings))
    if settings.close_blinks:
        for lid in LIDS:
            signals[:, lid] = without_flicker(time_s[rows], signals[:, lid])
    quaternion = quaternions.normalised(signals[:, count : count + 4])
    points, unknown = _interpolated(time_s[rows], _in_picture(raw)[rows, 4:])
    points = smoothed_landmarks(time_s[rows], points, raw.box[rows], settings.smoothing)
    points[:, unknown] = np.nan
    linear = np.concatenate([signals[:, :count], signals[:, count + 4 :], raw.box[rows], points], axis=1)

    filled, before, after, fraction = _fillable(time_s, rows, settings.max_gap_s)
    everywhere = np.full((len(raw), linear.shape[1]), np.nan)
    everywhere[rows] = linear
    everywhere[filled] = linear[before] + (linear[after] - linear[before]) * fraction[:, None]
    rotation = np.zeros((len(raw), 4))
    rotation[rows] = quaternion
    rotation[filled] = quaternions.slerp(quaternion[before], quaternion[after], fraction)

    known = np.zeros(len(raw), bool)
    known[rows] = known[filled] = True
    head = np.full((len(raw), 6), np.nan)
    head[known, :3] = euler_from_matrix(quaternions.to_matrix(rotation[known]))
    head[:, 3:] = everywhere[:, count : count + 3]
    head[:, ~has_column] = np.nan
    found = np.zeros(len(raw), bool)
    found[rows] = True
    shapes = everywhere[:, :count]
    coefficients = shapes[:, : len(raw.shape_names)]
    np.clip(coefficients, 0.0, 1.0, out=coefficients)
    shapes[:, unseen] = np.nan
    report = _report(settings, actor, rejected)
    return _assembled(raw, report, found, shapes, head, everywhere[:, count + 3 :], known)


def _in_picture(table: CoefficientTable) -> NDArray[np.float64]:
    """What is in pixels: the box, then x and y of each landmark; float64 [N, 4 + 2 P]."""
    points = table.landmarks.reshape(len(table), len(table.landmark_names))
    return np.concatenate([table.box, points], axis=1, dtype=np.float64)


def _has_values(shapes: np.ndarray, head: np.ndarray) -> NDArray[np.bool_]:
    """Rows with an output of the regressor: bool [N].

    Of the head's columns that the clip has (`head`, [N, H]), all must be there; of the others (`shapes`,
    [N, C]) any, where the clip has any.
    """
    finite = np.isfinite(shapes)
    posed: NDArray[np.bool_] = np.isfinite(head).all(axis=1)
    if not finite.any() and head.shape[1] > 0:
        return posed
    shown: NDArray[np.bool_] = finite.sum(axis=1) > 0
    return shown & posed


def _interpolated(
    time_s: NDArray[np.float64], shapes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """`shapes` [N, C] with every NaN interpolated between its neighbours in time, and the columns that hold
    nothing else, bool [C] (they become 0)."""
    shapes = shapes.copy()
    unseen: NDArray[np.bool_] = np.isfinite(shapes).sum(axis=0) == 0
    shapes[:, unseen] = 0.0
    for column in np.flatnonzero(~np.isfinite(shapes).all(axis=0)):
        seen = np.isfinite(shapes[:, column])
        shapes[~seen, column] = np.interp(time_s[~seen], time_s[seen], shapes[seen, column])
    return shapes, unseen


def _applied(calibration: Calibration, settings: SolveSettings) -> Calibration:
    """What the settings leave of a calibration: `amplitude` of it; of the lids all, or nothing."""
    lids = list(LIDS)
    gain = 1 + settings.amplitude * (calibration.gain - 1)
    gain[lids] = calibration.gain[lids] if settings.close_blinks else 1.0
    return dataclasses.replace(calibration, gain=gain)


def _signals(settings: SolveSettings, raw: CoefficientTable, rows: NDArray[np.int64]) -> Signals:
    """What is smoothed of `rows`: coefficients, the regressor's own columns, the quaternion (one decision
    for all four), the position.
    """
    count = len(raw.shape_names) + len(raw.extra_names)
    strengths = [settings.smoothing] * count
    for lid in LIDS:
        strengths[lid] = settings.lid_smoothing
    low, high = _noise_bounds(raw, rows)
    return Signals(
        group=np.concatenate([np.arange(count), np.full(4, count), count + 1 + np.arange(3)]),
        strength=np.array([*strengths, *[settings.head_smoothing] * 7], np.float64),
        noise_floor=low,
        noise_ceiling=high,
        bounded=np.arange(count + 7) < len(raw.shape_names),
    )


def _noise_bounds(raw: CoefficientTable, rows: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """The lower and the upper bound of the noise of every signal, float64 [C, N] or [C, 1] each."""
    shapes, extra = len(raw.shape_names), len(raw.extra_names)
    counts = [shapes + extra, 4, 3]
    kinds = (COEFFICIENT_NOISE, QUATERNION_NOISE, POSITION_NOISE_CM)
    fixed = [np.repeat([kind[end] for kind in kinds], counts)[:, None] for end in (0, 1)]
    if not raw.spread_names:
        return fixed
    spread = raw.spread[rows].T.astype(np.float64)
    bounds = []
    for bound, share in zip(fixed, SPREAD_NOISE, strict=True):
        whole = np.repeat(bound, len(rows), axis=1)
        whole[:shapes] = np.where(np.isfinite(spread), share * spread, whole[:shapes])
        bounds.append(whole)
    return bounds


def _fillable(
    time_s: NDArray[np.float64], rows: NDArray[np.int64], max_gap_s: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Rows in gaps of at most `max_gap_s` seconds between the measured `rows`.

    Returns:
        The rows, int64 [F]; the indices into `rows` of the measured row before and after each, int64 [F];
        and how far between these two it lies, float64 [F], 0..1.
    """
    if len(rows) < 2:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing, np.zeros(0)
    missing = np.setdiff1d(np.arange(rows[0], rows[-1]), rows)
    after = np.searchsorted(rows, missing)
    start, stop = time_s[rows[after - 1]], time_s[rows[after]]
    short = stop - start <= max_gap_s + _GAP_TOLERANCE_S
    missing, after, start, stop = missing[short], after[short], start[short], stop[short]
    return missing, after - 1, after, (time_s[missing] - start) / (stop - start)


def _report(settings: SolveSettings, actor: ActorCalibration | None, rejected: int) -> dict[str, object]:
    """How a table was solved, for its metadata; `filled` is still to come."""
    report = {"settings": dataclasses.asdict(settings), "rejected": rejected}
    return report if actor is None else {**report, "calibration": actor.digest()}


def _assembled(
    raw: CoefficientTable,
    report: dict[str, object],
    found: np.ndarray,
    shapes: np.ndarray,
    head: np.ndarray,
    in_picture: np.ndarray,
    known: np.ndarray,
) -> CoefficientTable:
    """The final table: NaN where nothing is known, angles unwrapped along the rows that are known.

    `in_picture` is as `_in_picture` gives it; `found` are the measured rows, `known` those with values.
    """
    head = np.where(known[:, None], head, np.nan)
    head[:, :3] = unwrap(head[:, :3])
    shapes = np.where(known[:, None], shapes, np.nan).astype(np.float32)
    in_picture = np.where(known[:, None], in_picture, np.nan).astype(np.float32)
    report = {**report, "filled": int((known & ~found).sum())}
    return raw.replace(
        face_found=found,
        score=np.where(found, raw.score, np.nan).astype(np.float32),
        box=in_picture[:, :4],
        coefficients=shapes[:, : len(raw.shape_names)],
        head=head.astype(np.float32),
        extra=shapes[:, len(raw.shape_names) :],
        spread=np.zeros((len(raw), 0), np.float32),
        landmarks=in_picture[:, 4:].reshape(raw.landmarks.shape),
        metadata={**raw.metadata, "solve": json.dumps(report, sort_keys=True)},
    )
