"""What smoothing takes and leaves: jitter, blinks, speech, rotations, uneven time, on tables made here; and
on the referee's truth where present.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.geometry import matrix_from_euler
from facecap_batch.solve.settings import SolveSettings
from facecap_batch.solve.solver import solve_table
from tests.support.tables import BLINK, JAW, noise, pulse, roughness, still, table

REFEREE = Path(__file__).resolve().parents[3] / "shared" / "clips" / "referee" / "referee_rbx_m.npz"


def test_constant_stays_constant():
    raw = table(still(90), np.tile([0.4, -0.2, 0.1, 3.0, -2.0, -55.0], (90, 1)))
    solved = solve_table(raw)
    np.testing.assert_allclose(solved.coefficients, raw.coefficients, atol=1e-6)
    np.testing.assert_allclose(solved.head, raw.head, atol=1e-5)
    assert solved.face_found.all() and (solved.score == raw.score).all() and (solved.box == raw.box).all()


def test_straight_motion_stays_straight_to_the_ends():
    ramp = np.linspace(0.1, 0.9, 60)[:, None] * np.ones(len(ARKIT_NAMES))
    np.testing.assert_allclose(solve_table(table(ramp)).coefficients, ramp, atol=1e-5)


def test_jitter_of_a_resting_face_goes():
    solved = solve_table(table(still(600) + noise(600)))
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
    solved = solve_table(raw)
    kept = (solved.coefficients[peaks, BLINK] - 0.05) / height
    assert kept.mean() > 0.93
    clean = coefficients.copy()
    clean[:, BLINK] = truth
    # Without noise in the way, each single blink is whole.
    kept = (solve_table(table(clean)).coefficients[peaks, BLINK] - 0.05) / height
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
    solved = solve_table(raw)
    rise = raw.coefficients[peaks, BLINK] - 0.05
    assert ((solved.coefficients[peaks, BLINK] - 0.05) / rise).min() > 0.9


def test_speech_keeps_its_swing():
    time_s = np.arange(300) / 30
    swing = 0.3 + 0.25 * np.sin(2 * np.pi * 4 * time_s)
    coefficients = still(300) + noise(300, 0.01)
    coefficients[:, JAW] = swing + noise(300, 0.01, seed=2)[:, 0]
    solved = solve_table(table(coefficients)).coefficients[:, JAW]
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
    forward = solve_table(table(coefficients, head, found, time_s))
    backward = solve_table(table(coefficients[::-1], head[::-1], found[::-1], time_s[-1] - time_s[::-1]))
    np.testing.assert_array_equal(forward.face_found, backward.face_found[::-1])
    np.testing.assert_allclose(forward.coefficients, backward.coefficients[::-1], atol=1e-5)
    np.testing.assert_allclose(forward.head, backward.head[::-1], atol=1e-4)


def test_smoothing_goes_by_time_not_by_index():
    # The same motion seen at an even rate and with every third frame dropped gives the same curve.
    time_s = np.arange(300) / 30
    motion = 0.4 + 0.3 * np.sin(2 * np.pi * 0.8 * time_s)[:, None] * np.ones(len(ARKIT_NAMES))
    uneven = np.arange(300) % 3 != 1
    solved = solve_table(table(motion[uneven], time_s=time_s[uneven]), SolveSettings(close_blinks=False))
    np.testing.assert_allclose(solved.coefficients, motion[uneven], atol=0.01)
    # By index, a smoother would bend a line sampled unevenly; by time it stays a line.
    line = (0.1 + 0.08 * time_s)[:, None] * np.ones(len(ARKIT_NAMES))
    line_solved = solve_table(table(line[uneven], time_s=time_s[uneven]), SolveSettings(close_blinks=False))
    np.testing.assert_allclose(line_solved.coefficients, line[uneven], atol=1e-5)


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
    solved = solve_table(table(still(rows), wrapped))
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
    solved = solve_table(table(still(300), head))
    error, before = np.abs(solved.head[:, 3:] - path).mean(axis=0), np.abs(head[:, 3:] - path).mean(axis=0)
    assert (error < 0.6 * before).all()


def test_very_high_and_very_low_rates():
    for rate in (1, 5, 240, 100_000):
        solved = solve_table(table(still(400) + noise(400), time_s=np.arange(400) / rate))
        assert np.abs(solved.coefficients - 0.3).max() < 0.12


def test_a_long_clip_does_not_depend_on_how_it_is_cut_into_blocks(monkeypatch: pytest.MonkeyPatch):
    from facecap_batch.solve import smoothing

    raw = table(still(700) + noise(700))
    whole = solve_table(raw)
    monkeypatch.setattr(smoothing, "BLOCK_ROWS", 97)
    np.testing.assert_array_equal(solve_table(raw).coefficients, whole.coefficients)


def test_a_part_of_a_take_gets_the_values_of_the_take():
    # Quiet at first, then three times as noisy and lively: what the whole clip is like must not matter.
    time_s = np.arange(600) / 30
    deviation = np.where(time_s < 10, 0.01, 0.03)[:, None]
    moves = 0.4 + np.where(time_s < 10, 0.02, 0.2)[:, None] * np.sin(2 * np.pi * 2 * time_s)[:, None]
    shapes = (moves + noise(600, 1.0) * deviation).clip(0, 1)
    rng = np.random.default_rng(6)
    head = rng.normal(0, 1.0, (600, 6)) * deviation * [0.3, 0.3, 0.3, 2, 2, 10] + [0, 0, 0, 0, 0, -60]
    whole = solve_table(table(shapes, head))
    part = solve_table(table(shapes[150:450], head[150:450], time_s=time_s[150:450]))
    inner = slice(30, 270)  # a second from the cuts
    close = {"rtol": 0, "atol": 1e-5}
    np.testing.assert_allclose(part.coefficients[inner], whole.coefficients[150:450][inner], **close)
    np.testing.assert_allclose(part.head[inner], whole.head[150:450][inner], **close)


@pytest.mark.footage
def test_a_real_take_under_noise_comes_closer_to_the_truth():
    if not REFEREE.exists():
        pytest.skip("measuring footage is not here")
    truth = np.load(REFEREE)["coeff"].astype(np.float64)
    raw = table((truth + noise(len(truth))).clip(0, 1))
    solved = solve_table(raw)

    def error(values: np.ndarray) -> float:
        return float(np.sqrt(((values - truth) ** 2).mean()))

    mean = np.apply_along_axis(
        lambda signal: np.convolve(signal, np.ones(5) / 5, "same"), 0, raw.coefficients
    )
    assert error(solved.coefficients) < 0.66 * error(raw.coefficients)
    assert error(solved.coefficients) < 0.7 * error(mean)
    assert roughness(solved.coefficients) < 1.05 * roughness(truth) < roughness(mean)
    closed = truth[:, BLINK] > 0.9
    assert (solved.coefficients[closed, BLINK] / truth[closed, BLINK]).min() > 0.85
    # A clean take is left nearly as it is.
    assert error(solve_table(table(truth)).coefficients) < 0.003
