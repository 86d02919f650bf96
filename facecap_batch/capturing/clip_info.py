"""What is recorded of a whole clip: its size, rate, rotation.

In: what the container reports and the times of the frames that were decoded. Out: `ClipInfo`.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from facecap_batch.clip import Clip
from facecap_batch.coefficients import ClipInfo
from facecap_batch.video.info import VideoInfo

# Frames per second that cameras, recorders and browsers are set to.
STANDARD_RATES = (
    *(Fraction(rate) for rate in (5, 10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 72, 75, 90, 96, 100)),
    *(Fraction(rate) for rate in (120, 144, 200, 240)),
    *(Fraction(1000 * rate, 1001) for rate in (15, 24, 30, 48, 60, 120, 240)),  # NTSC
    Fraction(25, 2),
)
USUAL_WITHIN = Fraction(1, 4)  # of the median step: jitter stays below
MAX_DROPPED = 3  # frames between two: a step of so many more is a step of the rate, not a pause
CLOCK = Fraction(3, 2000)  # of a step: clocks of cameras, and recorders that count tenths of milliseconds
# Ticks a second that are made for no one rate: containers round the times of any to them.
CLOCKS = (1000, 10_000, 90_000, 10**6, 10**7, 10**9)
MAX_SNAP = Fraction(1, 50)  # of a standard rate's step: coarse time bases must not reach from rate to rate


def clip_info(clip: Clip, video: VideoInfo, pts: np.ndarray, rotation_degrees: int = 0) -> ClipInfo:
    """What is recorded of a clip.

    Args:
        clip: The clip; of its path only the file's name is recorded, so that the same video gives the same
            table wherever it lies.
        video: What the container reports.
        pts: int64 [N], of every decoded frame, units of `video.time_base`.
        rotation_degrees: 0, 90, 180 or 270 counterclockwise, beyond what the file asks for.
    """
    sideways = rotation_degrees in (90, 270)
    steps = np.diff(pts)
    # Steps of a constant rate differ by at most one unit, the rounding to the time base.
    variable = bool(len(steps) and steps.max() - steps.min() > 1)
    return ClipInfo(
        clip_id=clip.clip_id,
        source=clip.file_name,
        width=video.height if sideways else video.width,
        height=video.width if sideways else video.height,
        fps=_usual_rate(video, steps) if variable else _constant_rate(video, pts),
        time_base=video.time_base,
        rotation=video.orientation.rotated(rotation_degrees).rotation,
        variable_rate=variable,
    )


def _constant_rate(video: VideoInfo, pts: np.ndarray) -> Fraction:
    """Frames per second of evenly spaced frames: the container's rate where the frames agree with it.

    A container's average also counts how long its last frame is held, and frames that an edit list hides; one
    of times in milliseconds is often made up. With one of CLOCKS a standard rate is taken where its frames,
    rounded to the time base, are these: their times, or their one step, which recorders round by itself.
    """
    span = int(pts[-1] - pts[0]) if len(pts) > 1 else 0
    if span <= 0:
        return video.fps
    step = Fraction(span, len(pts) - 1)
    agrees = abs(1 / (video.fps * video.time_base) - step) * (len(pts) - 1) <= 1
    if agrees and (video.fps in STANDARD_RATES or video.time_base.denominator not in CLOCKS):
        return video.fps
    ends = Fraction(1, len(pts) - 1)
    rounding = Fraction(1) if step.denominator == 1 else ends
    known = _standard_rate(video, step, rounding, ends)
    return known or (video.fps if agrees else 1 / (step * video.time_base))


def _usual_rate(video: VideoInfo, steps: np.ndarray) -> Fraction:
    """Frames per second of frames that are not evenly spaced: that of their median step.

    Pauses, dropped frames and an odd last one change a container's average, and not the median. A standard
    rate is taken where the usual steps, of one frame and of few, are its own, to their scatter and the
    rounding of the time base. Steps that have no usual length leave the container's average.

    Args:
        video: What the container reports.
        steps: int64 [N], from each frame to the next, units of `video.time_base`.
    """
    ordered = np.sort(steps)
    median = Fraction(int(ordered[(len(steps) - 1) // 2]) + int(ordered[len(steps) // 2]), 2)
    if median <= 0:
        return video.fps
    frames = [(step, max(1, round(step / median))) for step in steps.tolist()]
    usual = [
        (step, count)
        for step, count in frames
        if count <= 1 + MAX_DROPPED and abs(step - count * median) <= USUAL_WITHIN * median
    ]
    if 2 * sum(count == 1 for _, count in usual) <= len(steps):
        return video.fps
    total = sum(count for _, count in usual)
    mean = Fraction(sum(step for step, _ in usual), total)
    scatter = sum(abs(step - count * mean) for step, count in usual) / len(usual)
    pieces = 1 + len(steps) - len(usual)  # without a pause in them
    ends = (1 + 2 * scatter) * pieces / total
    return _standard_rate(video, mean, max(1 + scatter, CLOCK * mean), ends) or 1 / (median * video.time_base)


def _standard_rate(video: VideoInfo, step: Fraction, rounding: Fraction, ends: Fraction) -> Fraction | None:
    """The standard rate that frames have which are `step` apart; None where they have none.

    Args:
        video: What the container reports.
        step: From frame to frame, the mean; like all of these in units of `video.time_base`.
        rounding: How far a single step may be from the rate's.
        ends: How far the mean may be, for the first and the last frame are rounded; where that leaves several
            rates, as 30 and 30000/1001 for a second in milliseconds, the whole one is meant.
    """

    def off(rate: Fraction) -> Fraction:
        return abs(1 / (rate * video.time_base) - step)

    whole = [rate for rate in STANDARD_RATES if rate.denominator == 1 and off(rate) <= ends]
    nearest = min(whole or STANDARD_RATES, key=off)
    return nearest if off(nearest) <= min(rounding, MAX_SNAP / (nearest * video.time_base)) else None
