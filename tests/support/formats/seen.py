"""What a reader found in an exported file, and what a table says that it should have found."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np

from facecap_batch.coefficients import CoefficientTable
from tests.support.fbx_readers import matrices


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """[M] runs over the frames of the file; NaN where the file says that nothing is known."""

    seconds: np.ndarray  # float64 [M], since the first frame
    channels: dict[str, np.ndarray]  # float64 [M] each
    rotation: np.ndarray | None = None  # float64 [M, 3, 3], head to camera; None: not in the file
    position: np.ndarray | None = None  # float64 [M, 3], centimetres


def truth(table: CoefficientTable) -> Seen:
    """The table itself, at its own times, with its nulls."""
    exact = [(int(pts) - int(table.pts[0])) * table.info.time_base for pts in table.pts]
    values = table.coefficients.astype(np.float64)
    return Seen(
        seconds=np.array([float(time) for time in exact]),
        channels={name: values[:, column] for column, name in enumerate(table.shape_names)},
        rotation=matrices(table),
        position=table.head[:, 3:].astype(np.float64),
    )


def bridged(seen: Seen) -> Seen:
    """`seen` with straight lines over its gaps, and the nearest value at its ends; rotations stay unknown."""

    def column(values: np.ndarray) -> np.ndarray:
        known = np.isfinite(values)
        if not known.any():
            return np.zeros_like(values)
        return np.interp(seen.seconds, seen.seconds[known], values[known])

    assert seen.position is not None
    return dataclasses.replace(
        seen,
        channels={name: column(values) for name, values in seen.channels.items()},
        position=np.stack([column(axis) for axis in seen.position.T], axis=1),
    )


def sampled(seen: Seen, rate: Fraction) -> Seen:
    """`seen`, bridged, at frames of `rate` first to last; rotations where frames coincide."""
    whole = bridged(seen)
    count = int(Fraction(whole.seconds[-1]).limit_denominator(10**7) * rate) + 1
    seconds = np.array([float(k / rate) for k in range(count)])

    def column(values: np.ndarray) -> np.ndarray:
        return np.interp(seconds, whole.seconds, values)

    assert whole.rotation is not None and whole.position is not None
    rotation = np.full((count, 3, 3), np.nan)
    nearest = np.abs(whole.seconds[None] - seconds[:, None]).argmin(axis=1)
    same = np.abs(whole.seconds[nearest] - seconds) < 1e-9
    rotation[same] = whole.rotation[nearest[same]]
    return Seen(
        seconds=seconds,
        channels={name: column(values) for name, values in whole.channels.items()},
        rotation=rotation,
        position=np.stack([column(axis) for axis in whole.position.T], axis=1),
    )


def matrices_of(quaternions: np.ndarray) -> np.ndarray:
    """float64 [N, 3, 3] of unit quaternions x y z w [N, 4], each by turning the three axes: q v q*."""

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        vector = a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3])
        return np.append(vector, a[3] * b[3] - a[:3] @ b[:3])

    result = np.empty((len(quaternions), 3, 3))
    for row, q in enumerate(np.asarray(quaternions, np.float64)):
        assert abs(np.linalg.norm(q) - 1.0) < 1e-5
        inverse = q * [-1.0, -1.0, -1.0, 1.0]
        for axis in range(3):
            result[row, :, axis] = product(product(q, np.append(np.eye(3)[axis], 0.0)), inverse)[:3]
    return result


def compare(found: Seen, wanted: Seen, resolution: float) -> None:
    """Values within 1e-4, nulls where nulls belong, times to the `resolution` (seconds) of the format."""
    np.testing.assert_allclose(found.seconds, wanted.seconds, rtol=0, atol=resolution)
    assert set(found.channels) == set(wanted.channels)
    for name, values in wanted.channels.items():
        np.testing.assert_allclose(found.channels[name], values, rtol=0, atol=1e-4, err_msg=name)
    if found.rotation is not None and wanted.rotation is not None:
        known = np.isfinite(wanted.rotation[:, 0, 0])
        np.testing.assert_allclose(found.rotation[known], wanted.rotation[known], rtol=0, atol=1e-4)
    if found.position is not None:
        np.testing.assert_allclose(found.position, wanted.position, rtol=0, atol=1e-4)
