"""Numbers that a file claims in text, and ranges that no file reaches."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from facecap_batch.capturing.segments.cut_points import packet_times
from facecap_batch.clip import Clip
from facecap_batch.errors import BadVideo
from facecap_batch.storage.image_sequence import sequences_in
from facecap_batch.video.decoder import Video, decode
from tests.support.videos import number_of, write_video

DURATIONS = ("00:00:1e99999999", "1/0:00:00.0", "00:1e400:00.000000", "00:00:00.1/00000", "nan:inf:00.0000")


@pytest.mark.parametrize("text", DURATIONS)
def test_a_duration_that_is_no_time_is_ignored_and_noted(text: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mkv", 5)
    data = path.read_bytes()
    at = data.index(b"DURATION") + len("DURATION")
    value = data.index(b"00:00:00.", at)
    assert value - at < 8
    path.write_bytes(data[:value] + text.encode().ljust(18, b"\0") + data[value + 18 :])
    with Video(path) as video:
        assert [number_of(frame.rgb()) for frame in video.frames()] == list(range(5))
        assert any("the tag DURATION is no time and is ignored" in note for note in video.notes)
        assert video.info.end_s is not None and video.info.end_s < 1  # what the container's head declares


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.avi"])
@pytest.mark.parametrize("start", ["1e18", "1e30", "1e99"])
def test_a_range_that_no_clock_reaches(start: str, name: str, tmp_path: Path) -> None:
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    path = write_video(tmp_path / name, 5, codec=codec)
    first = Fraction(start)
    with pytest.raises(BadVideo, match="no frame between"):
        list(decode(path, first, first + 1))
    assert len(list(decode(path, end=first))) == 5
    times = packet_times(Clip("clip", str(path), start=first))
    assert times is None or not len(times.pts)


@pytest.mark.parametrize("rate", ["0", "1:0", "9" * 400, "1000000", ".", "1:1:1"])
def test_a_sequence_with_an_impossible_rate(rate: str, tmp_path: Path) -> None:
    with pytest.raises(BadVideo, match="is not a frame rate"):
        Video(tmp_path / f"shot.%04d.png@{rate}"[:250])


def test_images_with_endless_numbers_are_no_sequence(tmp_path: Path) -> None:
    names = [str(tmp_path / f"shot{'9' * 30}{number}.png") for number in range(3)]
    assert not sequences_in(names, Fraction(25))
