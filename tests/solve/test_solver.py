"""The solve but for its smoothing: gaps, outliers, hidden parts, amplitude, odd tables and settings."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from facecap_batch.coefficients import (
    ARKIT_NAMES,
    GAINS_METADATA,
    REST_METADATA,
    SCHEMA,
    SPREAD_NAMES,
    CoefficientTable,
    from_arrow,
    to_arrow,
)
from facecap_batch.solve.settings import SolveSettings
from facecap_batch.solve.solver import solve_table
from tests.support.tables import BLINK, JAW, noise, roughness, still, table


def test_short_gap_is_filled_and_marked_long_gap_is_empty():
    time_s = np.arange(120) / 30
    coefficients = (0.1 + 0.2 * time_s)[:, None] * np.ones(len(ARKIT_NAMES))
    found = np.ones(120, bool)
    found[20:34] = False  # 15 steps between the neighbours: exactly 0.5 s
    found[60:75] = False  # 16 steps
    found[:3] = found[-2:] = False
    solved = solve_table(table(coefficients, found=found))
    np.testing.assert_array_equal(solved.face_found, found)
    np.testing.assert_allclose(solved.coefficients[20:34], coefficients[20:34], atol=1e-4)
    assert np.isnan(solved.score[20:34]).all() and np.isfinite(solved.box[20:34]).all()
    for empty in (slice(60, 75), slice(0, 3), slice(118, 120)):
        for values in (solved.coefficients, solved.head, solved.box, solved.score):
            assert np.isnan(values[empty]).all()
    assert json.loads(solved.metadata["solve"])["filled"] == 14


def test_gap_lengths_are_seconds():
    found = np.ones(100, bool)
    found[40:45] = False
    fast = solve_table(table(still(100), found=found, time_s=np.arange(100) / 30))
    slow = solve_table(table(still(100), found=found, time_s=np.arange(100) / 10))
    assert np.isfinite(fast.coefficients[40:45]).all()
    assert np.isnan(slow.coefficients[40:45]).all()
    longer = solve_table(
        table(still(100), found=found, time_s=np.arange(100) / 10), SolveSettings(max_gap_s=1.0)
    )
    assert np.isfinite(longer.coefficients[40:45]).all()


def test_rotation_across_a_gap_takes_the_short_way_at_constant_speed():
    rows = 60
    head = np.tile([np.radians(170.0), 0, 0, 0, 0, -60.0], (rows, 1))
    head[30:, 0] = np.radians(-170.0)
    found = np.ones(rows, bool)
    found[25:35] = False
    solved = solve_table(table(still(rows), head, found), SolveSettings(head_smoothing=0))
    yaw = np.degrees(solved.head[:, 0])
    np.testing.assert_allclose(yaw[24:36], 170 + 20 * np.arange(12) / 11, atol=1e-3)
    assert abs(np.diff(yaw)).max() < 3


def test_frames_whose_head_jumps_away_and_back_are_replaced():
    coefficients = still(90)
    head = np.tile([0.1, 0.0, 0.0, 0.0, 0.0, -60.0], (90, 1))
    head += np.random.default_rng(6).normal(0, 0.01, head.shape)
    head[40:42, 0] += 0.9
    coefficients[40:42] = 0.95
    head[60, 5] = -25
    solved = solve_table(table(coefficients, head))
    assert set(np.flatnonzero(~solved.face_found)) == {40, 41, 60}
    np.testing.assert_allclose(solved.coefficients, 0.3, atol=1e-5)
    assert np.abs(solved.head[:, 0] - 0.1).max() < 0.05
    assert json.loads(solved.metadata["solve"])["rejected"] == 3
    kept = solve_table(table(coefficients, head), SolveSettings(reject_outliers=False))
    assert kept.face_found.all()


def test_a_fast_turn_is_no_outlier():
    time_s = np.arange(90) / 30
    head = np.zeros((90, 6))
    head[:, 0] = 1.2 * np.tanh((time_s - 1.5) * 12)  # about 820 degrees per second at its fastest
    head[:, 5] = -60
    assert solve_table(table(still(90), head)).face_found.all()


def test_switched_off_is_raw_with_gaps_empty():
    found = np.ones(90, bool)
    found[30:33] = False
    coefficients = still(90) + noise(90)
    raw = table(coefficients, found=found)
    solved = solve_table(raw, SolveSettings(enabled=False))
    for name in ("coefficients", "head", "box", "score", "face_found"):
        np.testing.assert_array_equal(getattr(solved, name), getattr(raw, name))


def test_a_found_row_without_numbers_is_a_gap():
    coefficients = still(30)
    coefficients[10] = np.nan
    solved = solve_table(table(coefficients))
    assert not solved.face_found[10]
    assert np.isfinite(solved.coefficients).all()


def damped(coefficients: np.ndarray) -> CoefficientTable:
    """A raw table whose regressor rests at 0.1 and damps the jaw by a third."""
    gains, rest = {"jawOpen": 1.5, "eyeBlinkLeft": 2.0}, {"jawOpen": 0.1, "eyeBlinkLeft": 0.1}
    metadata = {GAINS_METADATA: json.dumps(gains), REST_METADATA: json.dumps(rest)}
    return table(coefficients).replace(metadata=metadata)


def test_damped_movements_are_stretched_about_the_rest_of_the_card():
    coefficients = still(90, 0.1)
    coefficients[30:60, JAW] = 0.4
    coefficients[30:60, BLINK] = 0.4
    raw = damped(coefficients)
    settings = SolveSettings(smoothing=0, lid_smoothing=0)
    solved = solve_table(raw, settings)
    np.testing.assert_allclose(solved.coefficients[30:60, JAW], 0.1 + 0.3 * 1.5, atol=1e-6)
    np.testing.assert_allclose(solved.coefficients[30:60, BLINK], 0.1 + 0.3 * 2.0, atol=1e-6)
    others = np.delete(np.arange(51), [JAW, BLINK])
    np.testing.assert_allclose(solved.coefficients[:, others], coefficients[:, others], atol=1e-6)
    np.testing.assert_allclose(solved.coefficients[:30, JAW], 0.1, atol=1e-6)
    half = solve_table(raw, dataclasses.replace(settings, amplitude=0.5))
    np.testing.assert_allclose(half.coefficients[30:60, JAW], 0.1 + 0.3 * 1.25, atol=1e-6)
    # A lid is to close whatever the amplitude.
    np.testing.assert_allclose(half.coefficients[30:60, BLINK], 0.1 + 0.3 * 2.0, atol=1e-6)
    measured = solve_table(raw, dataclasses.replace(settings, amplitude=0.0, close_blinks=False))
    np.testing.assert_allclose(measured.coefficients, raw.coefficients, atol=1e-6)


def test_a_take_and_a_part_of_it_are_stretched_alike():
    """A take that mostly speaks and a part in which the mouth is shut: the same frames, the same values."""
    coefficients = still(300, 0.1)
    coefficients[100:, JAW] = 0.3 + 0.2 * np.sin(np.arange(200) / 5)
    settings = SolveSettings(smoothing=0, lid_smoothing=0)
    whole = solve_table(damped(coefficients), settings).coefficients
    part = solve_table(damped(coefficients[:160]), settings).coefficients
    np.testing.assert_array_equal(part, whole[:160])


def test_stretched_values_bend_toward_1_and_none_is_cut_off():
    coefficients = still(90, 0.1)
    coefficients[:, JAW] = np.linspace(0, 1, 90)
    solved = solve_table(damped(coefficients), SolveSettings(smoothing=0, lid_smoothing=0))
    jaw = solved.coefficients[:, JAW].astype(np.float64)
    assert (np.diff(jaw) > 0).all() and jaw[-1] == pytest.approx(1.0, abs=1e-6) and (jaw == 1).sum() <= 1


def test_how_sure_the_regressor_is_is_kept_in_the_raw_table_alone_and_bounds_the_noise():
    """The same flutter is jitter of a regressor that is unsure, and motion of one that is sure."""
    flutter = still(300) + noise(300, 0.03)
    solved = {}
    for spread in (0.05, 0.2):
        known = np.full(flutter.shape, spread, np.float32)
        known[10:20, BLINK] = np.nan  # hidden meanwhile
        raw = table(flutter).replace(spread=known)
        arrow = to_arrow(raw)
        assert (
            arrow.column_names[-51:] == list(SPREAD_NAMES[:51])
            and arrow["eyeBlinkLeftSpread"].null_count == 10
        )
        np.testing.assert_array_equal(from_arrow(arrow).spread, raw.spread)
        assert from_arrow(arrow).extra_names == ()
        final = solve_table(raw)
        assert to_arrow(final).column_names == SCHEMA.names
        solved[spread] = roughness(final.coefficients)
    assert solved[0.2] < solved[0.05] / 2


def test_a_hidden_part_goes_evenly_from_what_was_seen_to_what_is_seen_next():
    """Also where it was hidden for longer than the longest gap that is filled, and at the ends."""
    coefficients = still(90, 0.2)
    coefficients[60:, JAW] = 0.6
    coefficients[10:60, JAW] = np.nan
    coefficients[:5, BLINK] = coefficients[80:, BLINK] = np.nan
    solved = solve_table(table(coefficients), SolveSettings(smoothing=0, lid_smoothing=0))
    assert solved.face_found.all() and np.isfinite(solved.coefficients).all()
    np.testing.assert_allclose(solved.coefficients[9:61, JAW], 0.2 + 0.4 * np.arange(52) / 51, atol=1e-6)
    np.testing.assert_allclose(solved.coefficients[:, BLINK], 0.2, atol=1e-6)


def test_what_is_hidden_in_every_frame_stays_unknown():
    coefficients = still(30)
    coefficients[:, JAW] = np.nan
    solved = solve_table(table(coefficients))
    assert np.isnan(solved.coefficients[:, JAW]).all()
    assert np.isfinite(np.delete(solved.coefficients, JAW, axis=1)).all()


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("face", [True, False])
def test_tiny_and_faceless_tables(rows: int, face: bool):
    for settings in (SolveSettings(), SolveSettings(enabled=False)):
        solved = solve_table(table(still(rows), found=np.full(rows, face)), settings)
        assert len(solved) == rows
        assert np.isfinite(solved.coefficients).all() if face else np.isnan(solved.coefficients).all()
        if rows:
            again = from_arrow(to_arrow(solved))
            np.testing.assert_array_equal(again.coefficients, solved.coefficients)


def test_broken_time_stamps_do_no_harm():
    time_s = np.arange(120) / 30
    repeated, backward, leap = time_s.copy(), time_s.copy(), time_s.copy()
    repeated[50:60] = repeated[50]
    backward[70:] -= 1.5
    leap[70:] += 1e5
    for stamps in (repeated, backward, leap, np.zeros(120)):
        solved = solve_table(table(still(120) + noise(120), time_s=stamps))
        assert np.isfinite(solved.coefficients).all() and np.isfinite(solved.head).all()
        assert np.abs(solved.coefficients - 0.3).max() < 0.1


def test_raw_is_untouched_and_the_result_repeatable():
    found = np.random.default_rng(7).random(200) > 0.2
    raw = table(still(200) + noise(200), found=found)
    before = {
        field.name: np.copy(getattr(raw, field.name))
        for field in dataclasses.fields(raw)
        if field.name != "info"
    }
    first, second = solve_table(raw), solve_table(raw)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(raw, name), value)
    assert first.coefficients.tobytes() == second.coefficients.tobytes()
    assert first.head.tobytes() == second.head.tobytes()
    assert first.coefficients.dtype == first.head.dtype == first.box.dtype == first.score.dtype == np.float32


def test_values_stay_within_bounds():
    coefficients = np.clip(noise(200, 0.1) + (np.arange(200) % 2)[:, None], 0, 1)
    solved = solve_table(table(coefficients))
    assert solved.coefficients.min() >= 0 and solved.coefficients.max() <= 1


@pytest.mark.parametrize("name", ["max_gap_s", "smoothing", "lid_smoothing", "head_smoothing", "amplitude"])
def test_impossible_settings_are_refused(name: str):
    for value in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=name):
            SolveSettings(**{name: value})
