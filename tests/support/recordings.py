"""Recordings for tests: made to their end, and compared with what was sent."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from facecap_batch.video.live.session import RecordedTake, RecordingSession, SessionOptions
from facecap_batch.video.live.sources import find_source
from tests.support.streams import FPS, payloads
from tests.support.videos import container_pts, numbers, write_video

FRAMES = 50  # two seconds
PLAIN = {"bf": "0", "g": "10"}  # frames in the order in which they are shown
STEP_MS = 1000 // FPS


def plain_video(folder: Path) -> Path:
    """H.264 without B-frames."""
    return write_video(folder / "plain.mkv", FRAMES, FPS, options=PLAIN)


def record(address: str, path: Path, **options: object) -> RecordedTake:
    """Record until the source ends."""
    wanted = SessionOptions(**{"timeout_s": 5.0, **options})  # type: ignore[arg-type]
    session = RecordingSession(find_source(address), path, wanted)
    session.start()
    while not session.wait(0.05):
        pass
    return session.finish()


def times_ms(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        assert container.streams.video[0].time_base == Fraction(1, 1000)
    return container_pts(path)


def assert_whole(recorded: Path, sent: Path, taken: RecordedTake, frames: int = FRAMES) -> None:
    """Every packet was kept as it came, and frames have the times and the content that were sent."""
    assert payloads(recorded) == payloads(sent)
    assert times_ms(recorded) == [STEP_MS * frame for frame in range(frames)]
    assert numbers(recorded) == list(range(frames))
    assert (taken.frames, taken.missing, taken.left_out, taken.connections) == (frames, 0, 0, 1)
    assert taken.seconds == pytest.approx(frames / FPS)
