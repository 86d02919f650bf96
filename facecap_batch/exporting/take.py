"""A take: what moves in one track of a clip, as the writers of animation formats take it.

In: a `CoefficientTable`. Out: `Take`: channels by name, whatever names a rig gives them, the head's rotation
and position, the eyes' turns, and exact times. `filled` bridges what is unknown, for formats without nulls;
`at_rate` samples a take evenly, for formats that know frame numbers and no times.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from facecap_batch.coefficients import LOOK_COLUMNS, CoefficientTable
from facecap_batch.exporting.frame_times import FrameTimes, frame_rate, frame_times
from facecap_batch.exporting.rigs.rig import Channels
from facecap_batch.geometry import ANGLE_CONVENTION, eye_turns, matrix_from_euler
from facecap_batch.timecode import parse_time


@dataclasses.dataclass(frozen=True, eq=False)
class Take:
    """One animation. [N] runs over its frames; NaN where nothing is known."""

    name: str  # of the clip, or of the person in it
    rate: Fraction  # frames per second that tools show it at
    times: FrameTimes  # since the first frame
    channels: tuple[str, ...]  # names; of a table its coefficients, and a regressor's own outputs behind them
    weights: np.ndarray  # float64 [N, channels]; 1 is a shape in full
    rotation: (
        np.ndarray
    )  # float64 [N, 4], unit quaternions x y z w, head frame to camera frame, w/o sign flips
    position: np.ndarray  # float64 [N, 3], centimetres, camera frame
    eyes: np.ndarray  # float64 [N, 2, 2], radians, left and right: yaw toward the subject's left, pitch up
    notes: dict[str, str]  # source, timecode, rate and conventions, for formats that carry text

    def __len__(self) -> int:
        return len(self.times.counts)


def take_of(table: CoefficientTable, channels: Channels | None = None) -> Take:
    """The take of a track.

    Args:
        table: the track.
        channels: it in the channels of a rig; None: in ours, and the regressor's own.

    Raises:
        ValueError: the table's metadata hold a `timecode` that is none.
    """
    rate = frame_rate(table)
    names = (*table.shape_names, *table.extra_names)
    weights = np.concatenate([table.coefficients, table.extra], axis=1)
    if channels is not None:
        names, weights = channels.names, channels.values
    return Take(
        name=table.name or "take",
        rate=rate,
        times=frame_times(table, rate),
        channels=names,
        weights=weights.astype(np.float64),
        rotation=_continuous(quaternions(matrix_from_euler(table.head[:, :3]))),
        position=np.asarray(table.head[:, 3:6], np.float64),
        eyes=eye_turns(table.coefficients[:, LOOK_COLUMNS]),
        notes=notes_of(table),
    )


def notes_of(table: CoefficientTable) -> dict[str, str]:
    """What a file can say about its clip beside the numbers: where sound and picture are, when it begins.

    Raises:
        ValueError: the metadata hold a `timecode` that is none.
    """
    info = table.info
    notes = {
        "clip": info.clip_id,
        "track": str(table.track),
        "source": info.source,  # picture and sound
        "fps": str(info.fps),
        "time_base": str(info.time_base),
        "first_pts": str(int(table.pts[0])) if len(table) else "0",
        "variable_rate": str(info.variable_rate).lower(),
        "capture": ANGLE_CONVENTION,
        **{key: value for key, value in sorted(table.metadata.items()) if value},
    }
    timecode = notes.get("timecode", "").strip()
    if timecode:
        parse_time(timecode, str(info.fps) if info.fps > 0 else None)
    return notes


def quaternions(matrices: np.ndarray) -> np.ndarray:
    """float64 [N, 4], x y z w, of rotation matrices [N, 3, 3]; NaN where these are.

    Of the four ways to take one from a matrix, each row goes the one with the largest divisor.
    """
    m = np.asarray(matrices, np.float64)
    trace = m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2]
    squares = np.stack([*(2.0 * m[:, k, k] - trace for k in range(3)), trace], axis=1) + 1.0
    largest = np.argmax(np.nan_to_num(squares), axis=1)
    skew = np.stack([m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]], axis=1)
    result: np.ndarray = np.empty((len(m), 4))
    for way in range(4):
        rows = largest == way
        if way == 3:
            result[rows, :3] = skew[rows]
        else:
            for axis in range(3):
                result[rows, axis] = m[rows, way, axis] + m[rows, axis, way]
            result[rows, 3] = skew[rows, way]
        result[rows, way] = squares[rows, way]
    result /= np.linalg.norm(result, axis=1, keepdims=True)
    return result


def _continuous(rotation: np.ndarray) -> np.ndarray:
    """Quaternions with the sign of each row nearest to that of the known row before it."""
    result: np.ndarray = rotation.copy()
    known = np.flatnonzero(np.isfinite(rotation).all(axis=1))
    products = (rotation[known[1:]] * rotation[known[:-1]]).sum(axis=1)
    flips = np.cumprod(np.where(products < 0.0, -1.0, 1.0))
    result[known[1:]] *= flips[:, None]
    return result


def filled(take: Take) -> Take:
    """`take` with values everywhere, and one frame at least.

    Gaps are bridged from the last known value to the next in time, straight, rotations along the shortest
    turn; at the beginning and the end the nearest value holds. What is known nowhere rests: channels at 0,
    the head unturned at the origin.
    """
    if len(take) == 0:
        take = dataclasses.replace(
            take,
            times=dataclasses.replace(take.times, counts=(0,)),
            weights=np.full((1, len(take.channels)), np.nan),
            rotation=np.full((1, 4), np.nan),
            position=np.full((1, 3), np.nan),
            eyes=np.full((1, 2, 2), np.nan),
        )
    return _sampled(take, take.times, take.times.seconds())


def at_rate(take: Take, rate: Fraction) -> Take:
    """`take`, filled, at frames 0, 1, 2 ... of an even rate, as long as frames begin within the take.

    Frames that are those of the take are unchanged; values between two frames lie on the straight line
    between them, rotations on the shortest turn.
    """
    whole = filled(take)
    last = whole.times.counts[-1] * whole.times.unit * rate
    times = FrameTimes(tuple(range(int(last) + 1)), 1 / rate, True)
    if times.counts == whole.times.counts and times.unit == whole.times.unit:
        return dataclasses.replace(whole, rate=rate)
    return dataclasses.replace(_sampled(whole, times, times.seconds()), rate=rate)


def _sampled(take: Take, times: FrameTimes, at: np.ndarray) -> Take:
    """`take` at the seconds `at` (float64 [M]), those of `times`."""
    seconds = take.times.seconds()
    return dataclasses.replace(
        take,
        times=times,
        weights=_by_column(take.weights, lambda column: _straight(seconds, column, at)),
        position=_by_column(take.position, lambda column: _straight(seconds, column, at)),
        eyes=_by_column(take.eyes, lambda column: _straight(seconds, column, at)),
        rotation=_turned(seconds, take.rotation, at),
    )


def _by_column(values: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    columns = [change(column) for column in values.reshape(len(values), -1).T]
    made = np.stack(columns, axis=1)
    return made.reshape(len(made), *values.shape[1:])


def _straight(seconds: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(at))
    result: np.ndarray = np.interp(at, seconds[known], values[known])
    return result


def _turned(seconds: np.ndarray, rotation: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Quaternions [M, 4] at the seconds `at`: spherical interpolation between known rows."""
    known = np.flatnonzero(np.isfinite(rotation).all(axis=1))
    if not len(known):
        return np.tile([0.0, 0.0, 0.0, 1.0], (len(at), 1))
    after = np.clip(np.searchsorted(seconds[known], at, side="right"), 1, max(len(known) - 1, 1))
    first, second = known[after - 1], known[np.minimum(after, len(known) - 1)]
    span = seconds[second] - seconds[first]
    share = np.clip((at - seconds[first]) / np.where(span > 0.0, span, 1.0), 0.0, 1.0)
    a, b = rotation[first], rotation[second]
    angle = np.arccos(np.clip((a * b).sum(axis=1), -1.0, 1.0))
    sine = np.sin(angle)
    near = sine < 1e-6  # almost the same rotation: the straight line, which does not divide by the sine
    safe = np.where(near, 1.0, sine)
    of_a = np.where(near, 1.0 - share, np.sin((1.0 - share) * angle) / safe)
    of_b = np.where(near, share, np.sin(share * angle) / safe)
    turned = of_a[:, None] * a + of_b[:, None] * b
    result: np.ndarray = turned / np.linalg.norm(turned, axis=1, keepdims=True)
    return result
