"""The solve: gaps, jitter, blinks, rotations and time, on tables made here; and on the referee's truth
where present.
"""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES, ClipInfo, CoefficientTable, from_arrow, to_arrow
from facecap_batch.geometry import matrix_from_euler
from facecap_batch.solve import GAINS_METADATA, SolveSettings, solve

REFEREE = Path(__file__).parents[2] / "shared" / "clips" / "referee" / "referee_rbx_m.npz"
BLINK = ARKIT_NAMES.index("eyeBlinkLeft")
JAW = ARKIT_NAMES.index("jawOpen")
TIME_BASE = Fraction(1, 90000)


def table(
    coefficients: np.ndarray,
    head: np.ndarray | None = None,
    found: np.ndarray | None = None,
    time_s: np.ndarray | None = None,
) -> CoefficientTable:
    rows = len(coefficients)
    if head is None:
        head = np.tile([0.0, 0.0, 0.0, 0.0, 0.0, -60.0], (rows, 1))
    if found is None:
        found = np.ones(rows, bool)
    if time_s is None:
        time_s = np.arange(rows) / 30
    lost = ~found
    coefficients, head = coefficients.astype(np.float32), head.astype(np.float32)
    box = np.tile(np.float32([10, 20, 110, 140]), (rows, 1))
    score = np.full(rows, 0.9, np.float32)
    for values in (coefficients, head, box, score):
        values[lost] = np.nan
    return CoefficientTable(
        info=ClipInfo("c", "c.mp4", 640, 480, Fraction(30), TIME_BASE, 0, False),
        frame_index=np.arange(rows, dtype=np.int32),
        pts=np.round(time_s / float(TIME_BASE)).astype(np.int64),
        face_found=found,
        score=score,
        box=box,
        coefficients=coefficients,
        head=head,
    )


def still(rows: int, value: float = 0.3) -> np.ndarray:
    return np.full((rows, len(ARKIT_NAMES)), value)


def noise(rows: int, deviation: float = 0.02, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, deviation, (rows, len(ARKIT_NAMES)))


def pulse(frames_at_half: int, height: float) -> np.ndarray:
    """A blink of real shape: up in one or two frames, down a little slower; 7 samples, the middle one the
    highest.
    """
    shapes = {
        1: [0, 0, 0.1, 1, 0.3, 0.1, 0],
        2: [0, 0, 0.3, 1, 0.6, 0.2, 0.05],
        3: [0, 0.05, 0.6, 1, 0.7, 0.3, 0.1],
        4: [0, 0.1, 0.6, 1, 0.8, 0.55, 0.2],
        5: [0.05, 0.55, 0.9, 1, 0.85, 0.6, 0.3],
    }
    shape = height * np.array(shapes[frames_at_half])
    assert (shape >= height / 2).sum() == frames_at_half
    return shape


def roughness(values: np.ndarray) -> float:
    return float(np.abs(np.diff(values, 2, axis=0)).mean())


def test_constant_stays_constant():
    raw = table(still(90), np.tile([0.4, -0.2, 0.1, 3.0, -2.0, -55.0], (90, 1)))
    solved = solve(raw)
    np.testing.assert_allclose(solved.coefficients, raw.coefficients, atol=1e-6)
    np.testing.assert_allclose(solved.head, raw.head, atol=1e-5)
    assert solved.face_found.all() and (solved.score == raw.score).all() and (solved.box == raw.box).all()


def test_straight_motion_stays_straight_to_the_ends():
    ramp = np.linspace(0.1, 0.9, 60)[:, None] * np.ones(len(ARKIT_NAMES))
    np.testing.assert_allclose(solve(table(ramp)).coefficients, ramp, atol=1e-5)


def test_jitter_of_a_resting_face_goes():
    solved = solve(table(still(600) + noise(600)))
    deviation = (solved.coefficients - 0.3).std(axis=0)
    lids = [ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
    others = np.setdiff1d(np.arange(len(ARKIT_NAMES)), lids)
    assert deviation[others].mean() < 0.02 / 3
    assert deviation[others].max() < 0.02 / 2
    assert deviation[lids].max() < 0.02
    assert roughness(solved.coefficients[:, others]) < 0.0044


@pytest.mark.parametrize("frames_at_half", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("height", [0.5, 0.9])
def test_blinks_keep_their_height(frames_at_half: int, height: float):
    truth = np.full(300, 0.05)
    peaks = np.arange(20, 280, 29)
    for peak in peaks:
        truth[peak - 3 : peak + 4] += pulse(frames_at_half, height)
    coefficients = still(300) + noise(300)
    coefficients[:, BLINK] = truth + noise(300, seed=1)[:, 0]
    raw = table(coefficients.clip(0, 1))
    solved = solve(raw)
    kept = (solved.coefficients[peaks, BLINK] - 0.05) / height
    assert kept.mean() > 0.95
    clean = coefficients.copy()
    clean[:, BLINK] = truth
    # Without noise in the way, each single blink is whole.
    kept = (solve(table(clean)).coefficients[peaks, BLINK] - 0.05) / height
    assert kept.min() > 0.95
    # A five-frame mean, for comparison, does not pass.
    if frames_at_half < 3:
        assert np.convolve(truth, np.ones(5) / 5, "same")[peaks].max() < 0.05 + 0.5 * height


def test_each_noisy_blink_keeps_nine_tenths_of_what_was_measured():
    truth = np.full(300, 0.05)
    peaks = np.arange(20, 280, 29)
    for number, peak in enumerate(peaks):
        truth[peak - 3 : peak + 4] += pulse(1 + number % 5, 0.5)
    coefficients = still(300)
    coefficients[:, BLINK] = truth + noise(300)[:, 0]
    raw = table(coefficients.clip(0, 1))
    solved = solve(raw)
    rise = raw.coefficients[peaks, BLINK] - 0.05
    assert ((solved.coefficients[peaks, BLINK] - 0.05) / rise).min() > 0.9


def test_speech_keeps_its_swing():
    time_s = np.arange(300) / 30
    swing = 0.3 + 0.25 * np.sin(2 * np.pi * 4 * time_s)
    coefficients = still(300) + noise(300, 0.01)
    coefficients[:, JAW] = swing + noise(300, 0.01, seed=2)[:, 0]
    solved = solve(table(coefficients)).coefficients[:, JAW]
    assert np.corrcoef(solved, swing)[0, 1] > 0.995
    assert solved[30:-30].std() > 0.93 * swing[30:-30].std()


def test_no_lag_time_reversed_is_the_same():
    rng = np.random.default_rng(3)
    time_s = np.cumsum(rng.choice([1 / 30, 1 / 24, 1 / 15], 240))
    time_s -= time_s[0]
    coefficients = still(240) + noise(240)
    coefficients[100:160] += 0.4 * np.sin(np.linspace(0, np.pi, 60))[:, None] ** 2
    head = np.stack(
        [0.3 * np.sin(time_s), 0.1 * np.cos(time_s), 0 * time_s, time_s, time_s, -60 - time_s], axis=1
    )
    head += rng.normal(0, 0.01, head.shape)
    found = rng.random(240) > 0.1
    forward = solve(table(coefficients, head, found, time_s))
    backward = solve(table(coefficients[::-1], head[::-1], found[::-1], time_s[-1] - time_s[::-1]))
    np.testing.assert_array_equal(forward.face_found, backward.face_found[::-1])
    np.testing.assert_allclose(forward.coefficients, backward.coefficients[::-1], atol=1e-5)
    np.testing.assert_allclose(forward.head, backward.head[::-1], atol=1e-4)


def test_smoothing_goes_by_time_not_by_index():
    # The same motion seen at an even rate and with every third frame dropped gives the same curve.
    time_s = np.arange(300) / 30
    motion = 0.4 + 0.3 * np.sin(2 * np.pi * 0.8 * time_s)[:, None] * np.ones(len(ARKIT_NAMES))
    uneven = np.arange(300) % 3 != 1
    solved = solve(table(motion[uneven], time_s=time_s[uneven]), SolveSettings(close_blinks=False))
    np.testing.assert_allclose(solved.coefficients, motion[uneven], atol=0.01)
    # By index, a smoother would bend a line sampled unevenly; by time it stays a line.
    line = (0.1 + 0.08 * time_s)[:, None] * np.ones(len(ARKIT_NAMES))
    line_solved = solve(table(line[uneven], time_s=time_s[uneven]), SolveSettings(close_blinks=False))
    np.testing.assert_allclose(line_solved.coefficients, line[uneven], atol=1e-5)


def test_short_gap_is_filled_and_marked_long_gap_is_empty():
    time_s = np.arange(120) / 30
    coefficients = (0.1 + 0.2 * time_s)[:, None] * np.ones(len(ARKIT_NAMES))
    found = np.ones(120, bool)
    found[20:34] = False  # 15 steps between the neighbours: exactly 0.5 s
    found[60:75] = False  # 16 steps
    found[:3] = found[-2:] = False
    solved = solve(table(coefficients, found=found))
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
    fast = solve(table(still(100), found=found, time_s=np.arange(100) / 30))
    slow = solve(table(still(100), found=found, time_s=np.arange(100) / 10))
    assert np.isfinite(fast.coefficients[40:45]).all()
    assert np.isnan(slow.coefficients[40:45]).all()
    longer = solve(table(still(100), found=found, time_s=np.arange(100) / 10), SolveSettings(max_gap_s=1.0))
    assert np.isfinite(longer.coefficients[40:45]).all()


def test_rotation_across_a_gap_takes_the_short_way_at_constant_speed():
    rows = 60
    head = np.tile([np.radians(170.0), 0, 0, 0, 0, -60.0], (rows, 1))
    head[30:, 0] = np.radians(-170.0)
    found = np.ones(rows, bool)
    found[25:35] = False
    solved = solve(table(still(rows), head, found), SolveSettings(head_smoothing=0))
    yaw = np.degrees(solved.head[:, 0])
    np.testing.assert_allclose(yaw[24:36], 170 + 20 * np.arange(12) / 11, atol=1e-3)
    assert abs(np.diff(yaw)).max() < 3


def test_rotations_are_smoothed_as_rotations_and_angles_unwrapped():
    rows = 300
    turn = np.linspace(0, 4 * np.pi, rows)
    head = np.stack(
        [turn, np.full(rows, 1.2), 0.2 * np.sin(turn), 0 * turn, 0 * turn, np.full(rows, -60.0)], axis=1
    )
    truth = matrix_from_euler(head[:, :3])
    shaken = head + np.random.default_rng(4).normal(0, 0.01, head.shape) * [1, 1, 1, 0, 0, 0]
    wrapped = shaken.copy()
    wrapped[:, 0] = (shaken[:, 0] + np.pi) % (2 * np.pi) - np.pi
    solved = solve(table(still(rows), wrapped))
    error = [
        np.degrees(
            np.arccos(np.clip((np.einsum("nij,nij->n", truth, matrix_from_euler(angles)) - 1) / 2, -1, 1))
        )
        for angles in (shaken[:, :3], solved.head[:, :3].astype(float))
    ]
    assert error[1].mean() < error[0].mean() / 2
    assert np.abs(np.diff(solved.head[:, :3], axis=0)).max() < 0.2
    assert abs(solved.head[-1, 0] - solved.head[0, 0]) > 12


def test_head_position_loses_its_jitter():
    rng = np.random.default_rng(5)
    path = np.stack(
        [5 * np.sin(np.arange(300) / 40), np.zeros(300), -60 + 10 * np.cos(np.arange(300) / 50)], axis=1
    )
    head = np.concatenate([np.zeros((300, 3)), path + rng.normal(0, [0.05, 0.05, 0.6], (300, 3))], axis=1)
    solved = solve(table(still(300), head))
    error, before = np.abs(solved.head[:, 3:] - path).mean(axis=0), np.abs(head[:, 3:] - path).mean(axis=0)
    assert (error < 0.6 * before).all()


def test_frames_whose_head_jumps_away_and_back_are_replaced():
    coefficients = still(90)
    head = np.tile([0.1, 0.0, 0.0, 0.0, 0.0, -60.0], (90, 1))
    head += np.random.default_rng(6).normal(0, 0.01, head.shape)
    head[40:42, 0] += 0.9
    coefficients[40:42] = 0.95
    head[60, 5] = -25
    solved = solve(table(coefficients, head))
    assert set(np.flatnonzero(~solved.face_found)) == {40, 41, 60}
    np.testing.assert_allclose(solved.coefficients, 0.3, atol=1e-5)
    assert np.abs(solved.head[:, 0] - 0.1).max() < 0.05
    assert json.loads(solved.metadata["solve"])["rejected"] == 3
    kept = solve(table(coefficients, head), SolveSettings(reject_outliers=False))
    assert kept.face_found.all()


def test_a_fast_turn_is_no_outlier():
    time_s = np.arange(90) / 30
    head = np.zeros((90, 6))
    head[:, 0] = 1.2 * np.tanh((time_s - 1.5) * 12)  # about 820 degrees per second at its fastest
    head[:, 5] = -60
    assert solve(table(still(90), head)).face_found.all()


def test_switched_off_is_raw_with_gaps_empty():
    found = np.ones(90, bool)
    found[30:33] = False
    coefficients = still(90) + noise(90)
    raw = table(coefficients, found=found)
    solved = solve(raw, SolveSettings(enabled=False))
    for name in ("coefficients", "head", "box", "score", "face_found"):
        np.testing.assert_array_equal(getattr(solved, name), getattr(raw, name))


def test_a_found_row_without_numbers_is_a_gap():
    coefficients = still(30)
    coefficients[10] = np.nan
    solved = solve(table(coefficients))
    assert not solved.face_found[10]
    assert np.isfinite(solved.coefficients).all()


def test_damped_movements_are_stretched_about_rest():
    coefficients = still(90, 0.1)
    coefficients[30:60, JAW] = 0.4
    coefficients[30:60, BLINK] = 0.4  # lids are closed by their blinks, not by this
    raw = table(coefficients)
    raw = raw.replace(metadata={GAINS_METADATA: json.dumps({"jawOpen": 1.5, "eyeBlinkLeft": 2.0})})
    settings = SolveSettings(smoothing=0, lid_smoothing=0)
    solved = solve(raw, settings)
    np.testing.assert_allclose(solved.coefficients[30:60, JAW], 0.1 + 0.3 * 1.5, atol=1e-6)
    np.testing.assert_allclose(
        np.delete(solved.coefficients, JAW, axis=1), np.delete(coefficients, JAW, 1), atol=1e-6
    )
    np.testing.assert_allclose(solved.coefficients[:30, JAW], 0.1, atol=1e-6)
    half = solve(raw, dataclasses.replace(settings, amplitude=0.5))
    np.testing.assert_allclose(half.coefficients[30:60, JAW], 0.1 + 0.3 * 1.25, atol=1e-6)
    measured = solve(raw, dataclasses.replace(settings, amplitude=0.0))
    np.testing.assert_allclose(measured.coefficients, raw.coefficients, atol=1e-6)


def test_a_hidden_part_goes_evenly_from_what_was_seen_to_what_is_seen_next():
    """Also where it was hidden for longer than the longest gap that is filled, and at the ends."""
    coefficients = still(90, 0.2)
    coefficients[60:, JAW] = 0.6
    coefficients[10:60, JAW] = np.nan
    coefficients[:5, BLINK] = coefficients[80:, BLINK] = np.nan
    solved = solve(table(coefficients), SolveSettings(smoothing=0, lid_smoothing=0))
    assert solved.face_found.all() and np.isfinite(solved.coefficients).all()
    np.testing.assert_allclose(solved.coefficients[9:61, JAW], 0.2 + 0.4 * np.arange(52) / 51, atol=1e-6)
    np.testing.assert_allclose(solved.coefficients[:, BLINK], 0.2, atol=1e-6)


def test_what_is_hidden_in_every_frame_stays_unknown():
    coefficients = still(30)
    coefficients[:, JAW] = np.nan
    solved = solve(table(coefficients))
    assert np.isnan(solved.coefficients[:, JAW]).all()
    assert np.isfinite(np.delete(solved.coefficients, JAW, axis=1)).all()


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("face", [True, False])
def test_tiny_and_faceless_tables(rows: int, face: bool):
    for settings in (SolveSettings(), SolveSettings(enabled=False)):
        solved = solve(table(still(rows), found=np.full(rows, face)), settings)
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
        solved = solve(table(still(120) + noise(120), time_s=stamps))
        assert np.isfinite(solved.coefficients).all() and np.isfinite(solved.head).all()
        assert np.abs(solved.coefficients - 0.3).max() < 0.1


def test_very_high_and_very_low_rates():
    for rate in (1, 5, 240, 100_000):
        solved = solve(table(still(400) + noise(400), time_s=np.arange(400) / rate))
        assert np.abs(solved.coefficients - 0.3).max() < 0.12


def test_a_long_clip_does_not_depend_on_how_it_is_cut_into_blocks(monkeypatch: pytest.MonkeyPatch):
    from facecap_batch import smoothing

    raw = table(still(700) + noise(700))
    whole = solve(raw)
    monkeypatch.setattr(smoothing, "BLOCK_ROWS", 97)
    np.testing.assert_array_equal(solve(raw).coefficients, whole.coefficients)


def test_raw_is_untouched_and_the_result_repeatable():
    found = np.random.default_rng(7).random(200) > 0.2
    raw = table(still(200) + noise(200), found=found)
    before = {
        field.name: np.copy(getattr(raw, field.name))
        for field in dataclasses.fields(raw)
        if field.name != "info"
    }
    first, second = solve(raw), solve(raw)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(raw, name), value)
    assert first.coefficients.tobytes() == second.coefficients.tobytes()
    assert first.head.tobytes() == second.head.tobytes()
    assert first.coefficients.dtype == first.head.dtype == first.box.dtype == first.score.dtype == np.float32


def test_values_stay_within_bounds():
    coefficients = np.clip(noise(200, 0.1) + (np.arange(200) % 2)[:, None], 0, 1)
    solved = solve(table(coefficients))
    assert solved.coefficients.min() >= 0 and solved.coefficients.max() <= 1


@pytest.mark.parametrize("name", ["max_gap_s", "smoothing", "lid_smoothing", "head_smoothing", "amplitude"])
def test_impossible_settings_are_refused(name: str):
    for value in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=name):
            SolveSettings(**{name: value})


@pytest.mark.footage
def test_a_real_take_under_noise_comes_closer_to_the_truth():
    if not REFEREE.exists():
        pytest.skip("measuring footage is not here")
    truth = np.load(REFEREE)["coeff"].astype(np.float64)
    raw = table((truth + noise(len(truth))).clip(0, 1))
    solved = solve(raw)

    def error(values: np.ndarray) -> float:
        return float(np.sqrt(((values - truth) ** 2).mean()))

    mean = np.apply_along_axis(
        lambda signal: np.convolve(signal, np.ones(5) / 5, "same"), 0, raw.coefficients
    )
    assert error(solved.coefficients) < 0.65 * error(raw.coefficients)
    assert error(solved.coefficients) < 0.7 * error(mean)
    assert roughness(solved.coefficients) < 1.05 * roughness(truth) < roughness(mean)
    closed = truth[:, BLINK] > 0.9
    assert (solved.coefficients[closed, BLINK] / truth[closed, BLINK]).min() > 0.85
    # A clean take is left nearly as it is.
    assert error(solve(table(truth)).coefficients) < 0.002
