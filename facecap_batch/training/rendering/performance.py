"""Performances: coefficient curves of speech, blinks, emotions and gaze, and head motion.

In: times and a random generator. Out: curves sampled at these times, smooth as muscles are: for demo clips
and tests with exact truth.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.training.rendering.expressions import PATTERNS, VISEMES
from facecap_batch.training.rendering.gaze import INDEX, set_gaze

BLINK_DOWN_S, BLINK_UP_S = 0.10, 0.16  # lids fall faster than they rise
SYLLABLE_S = 0.17


def _bump(times: np.ndarray, start: float, rise: float, hold: float, fall: float) -> np.ndarray:
    """0 before `start`, 1 after `rise` seconds for `hold` seconds, back to 0 in `fall` seconds; smooth."""
    up = np.clip((times - start) / rise, 0, 1)
    down = np.clip((start + rise + hold + fall - times) / fall, 0, 1)
    bump: np.ndarray = (up * up * (3 - 2 * up)) * (down * down * (3 - 2 * down))
    return bump


def _add(
    values: np.ndarray, pattern: dict[str, float], weight: np.ndarray, left: float = 1.0, right: float = 1.0
) -> None:
    for name, peak in pattern.items():
        if name in INDEX:
            values[:, INDEX[name]] += peak * weight
        else:
            values[:, INDEX[name + "Left"]] += peak * left * weight
            values[:, INDEX[name + "Right"]] += peak * right * weight


def performance(
    times: np.ndarray, rng: np.random.Generator, talk: float = 0.7, emotions: bool = True
) -> np.ndarray:
    """float32 [N, 51] at `times` (seconds): speech during the share `talk`, blinks, an emotion every few
    seconds."""
    values = np.zeros((len(times), len(ARKIT_NAMES)))
    end = float(times[-1]) if len(times) else 0.0
    at = 0.2
    while at < end:
        name = rng.choice(list(VISEMES))
        if rng.random() < talk:
            weight = _bump(times, at, SYLLABLE_S * 0.6, SYLLABLE_S * 0.2, SYLLABLE_S * 0.7)
            _add(values, VISEMES[name], weight * rng.uniform(0.6, 1.1))
            at += SYLLABLE_S * rng.uniform(0.8, 1.3)
        else:
            at += rng.uniform(0.2, 0.7)
    at = rng.uniform(0.4, 1.0)
    while at < end and emotions:
        name = rng.choice(["smile", "surprise", "angry", "pout", "laugh", "sad", "puff"])
        weight = _bump(times, at, 0.35, rng.uniform(0.3, 0.8), 0.45)
        quiet = 1 - 0.7 * weight if name in ("pout", "puff", "sad") else 1 - 0.3 * weight
        values *= quiet[:, None]
        _add(values, PATTERNS[name], weight * rng.uniform(0.75, 1.0), *rng.uniform(0.85, 1.1, 2))
        at += rng.uniform(1.3, 2.2)
    yaw, pitch, at = np.zeros(len(times)), np.zeros(len(times)), 0.0
    while at < end:  # the eyes jump from one target to the next
        arrived = np.clip((times - at) / 0.05, 0, 1)
        target = rng.normal(0, 0.25), rng.normal(-0.05, 0.15)
        yaw, pitch = yaw + (target[0] - yaw) * arrived, pitch + (target[1] - pitch) * arrived
        at += rng.uniform(0.4, 1.6)
    for row in range(len(times)):
        set_gaze(values[row], float(yaw[row]), float(pitch[row]))
    at = rng.uniform(0.5, 1.2)
    while at < end:
        closed = _bump(times, at, BLINK_DOWN_S, 0.03, BLINK_UP_S)
        for side in ("Left", "Right"):
            lid = values[:, INDEX["eyeBlink" + side]]
            values[:, INDEX["eyeBlink" + side]] = np.maximum(lid, closed)
            values[:, INDEX["eyeWide" + side]] *= 1 - closed
        at += rng.uniform(0.8, 2.4)
    return np.clip(values, 0, 1).astype(np.float32)


def head_motion(times: np.ndarray, rng: np.random.Generator, swing: float) -> np.ndarray:
    """float64 [N, 3]: yaw, pitch, roll in radians, slow sums of sines of about `swing` radians."""
    out = np.zeros((len(times), 3))
    for axis, share in enumerate((1.0, 0.5, 0.35)):
        for _ in range(3):
            speed, phase = rng.uniform(0.8, 3.0), rng.uniform(0, 2 * np.pi)
            out[:, axis] += swing * share * rng.uniform(0.2, 0.6) * np.sin(speed * times + phase)
    return out
