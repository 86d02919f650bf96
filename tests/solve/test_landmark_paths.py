"""What the solve makes of landmarks: no jitter, no lag, gaps bridged as those of the box."""

from __future__ import annotations

import numpy as np
import pytest

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.solve.people import solve_tracks
from facecap_batch.solve.settings import SolveSettings
from facecap_batch.solve.solver import solve_table
from tests.support.tables import roughness, still, table

ROWS, POINTS = 120, 5
MOVING = np.arange(ROWS) * 2.0  # pixels


def raw_table(points: np.ndarray, found: np.ndarray | None = None, scale: float = 1.0) -> CoefficientTable:
    """A table with landmarks `points` [N, P, 2]; `scale` is of the picture, and of its face."""
    made = table(still(len(points)), found=found)
    points = points.astype(np.float32) * np.float32(scale)
    points[~made.face_found] = np.nan
    return made.replace(landmarks=points, box=made.box * np.float32(scale))


def straight(rows: int = ROWS) -> np.ndarray:
    """[N, P, 2]: points that go right, each by its own speed."""
    points = np.zeros((rows, POINTS, 2))
    points[..., 0] = 100 + np.arange(rows)[:, None] * np.linspace(0.5, 3, POINTS)
    points[..., 1] = 200 + 10 * np.arange(POINTS)
    return points


def jitter(share: float) -> np.ndarray:
    """Of so much of the longer side of the box, 120 pixels."""
    return np.random.default_rng(3).normal(0, share * 120, (ROWS, POINTS, 2))


@pytest.mark.parametrize("scale", [1.0, 0.2, 8.0])
def test_jitter_goes_and_moves_stay_whatever_the_size_of_the_face(scale: float) -> None:
    raw = raw_table(straight() + jitter(0.003), scale=scale)
    final = solve_table(raw)
    assert roughness(final.landmarks) < 0.15 * roughness(raw.landmarks)
    off = np.abs(final.landmarks - straight() * scale).mean()
    assert off < 0.5 * np.abs(raw.landmarks - straight() * scale).mean()


def test_a_blink_of_the_lids_passes() -> None:
    points = straight()
    points[60:63, 2, 1] += 8
    final = solve_table(raw_table(points + jitter(0.001)))
    drop = final.landmarks[61, 2, 1] - final.landmarks[50, 2, 1]
    assert drop > 7 and abs(final.landmarks[61, 1, 1] - final.landmarks[50, 1, 1]) < 1


def test_short_gaps_are_bridged_as_the_box_is_and_long_ones_stay_empty() -> None:
    found = np.ones(ROWS, bool)
    found[20:30] = found[60:90] = found[:3] = False
    final = solve_table(raw_table(straight(), found))
    np.testing.assert_allclose(final.landmarks[3:60], straight()[3:60], atol=0.05)
    for empty in (slice(0, 3), slice(60, 90)):
        assert np.isnan(final.landmarks[empty]).all() and np.isnan(final.box[empty]).all()
    assert np.isfinite(final.gaze()[20:30]).all() and np.isnan(final.gaze()[60:90]).all()


def test_a_frame_that_is_not_believed_gives_no_points() -> None:
    points = straight()
    points[50] += 300
    raw = raw_table(points)
    head = raw.head.copy()
    head[50, 0] += 1.0
    final = solve_table(raw.replace(head=head))
    assert not final.face_found[50]
    np.testing.assert_allclose(final.landmarks[50], straight()[50], atol=0.05)


def test_without_solve_or_smoothing_points_are_as_measured() -> None:
    found = np.arange(ROWS) != 40
    raw = raw_table(straight() + jitter(0.003), found)
    measured = solve_table(raw, SolveSettings(enabled=False))
    np.testing.assert_array_equal(measured.landmarks, raw.landmarks)
    unsmoothed = solve_table(raw, SolveSettings(smoothing=0))
    np.testing.assert_array_equal(unsmoothed.landmarks[found], raw.landmarks[found])
    assert np.isfinite(unsmoothed.landmarks[40]).all()


def test_no_other_column_changes() -> None:
    found = np.arange(ROWS) % 17 != 3
    raw = raw_table(straight() + jitter(0.003), found)
    plain = raw.replace(landmarks=np.zeros((ROWS, 0, 2), np.float32))
    with_points, without = solve_table(raw), solve_table(plain)
    for name in ("coefficients", "head", "box", "score", "face_found"):
        np.testing.assert_array_equal(getattr(with_points, name), getattr(without, name))


def test_points_that_are_no_numbers_are_bridged_or_stay_empty() -> None:
    points = straight()
    points[50, 1] = np.nan
    points[:, 3, 0] = np.nan
    final = solve_table(raw_table(points))
    np.testing.assert_allclose(final.landmarks[50, 1], straight()[50, 1], atol=0.05)
    assert np.isnan(final.landmarks[:, 3, 0]).all() and np.isfinite(final.landmarks[:, 3, 1]).all()


def test_nothing_is_smoothed_across_a_cut() -> None:
    points = straight()
    points[60:] += 200
    shot = (np.arange(ROWS) >= 60).astype(np.int16)
    (final,) = solve_tracks([raw_table(points).replace(shot=shot)])
    np.testing.assert_allclose(final.landmarks, points, atol=0.05)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_tiny_tables(rows: int) -> None:
    final = solve_table(raw_table(straight(rows)))
    assert final.landmarks.shape == (rows, POINTS, 2)
    np.testing.assert_allclose(final.landmarks, straight(rows), atol=1e-3)
    nobody = solve_table(raw_table(straight(rows), np.zeros(rows, bool)))
    assert nobody.landmarks.shape == (rows, POINTS, 2) and np.isnan(nobody.landmarks).all()
