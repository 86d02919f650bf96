"""Times of frames in files that do not simply hold them: wrong order, none at first, clocks that jump."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from facecap_batch.capturing.segments.cut_points import packet_times
from facecap_batch.clip import Clip
from facecap_batch.video.decoder import Video
from tests.support import videos
from tests.support.videos import joined, number_of, write_late_sound, write_video

LATE_FRAMES = 600  # more than are looked at on opening

B_FRAMES = {"bf": "3", "b_strategy": "0", "g": "24", "x264-params": "scenecut=0"}
COUNT = 60


def shown(
    path: Path, start: Fraction | None = None, end: Fraction | None = None, threads: int = 2
) -> tuple[list[int], list[Fraction], tuple[str, ...]]:
    """The numbers and times (seconds) of the frames of a range, and the notes."""
    with Video(path, start, end, threads) as video:
        frames = list(video.frames())
        return (
            [number_of(frame.rgb()) for frame in frames],
            [frame.pts * video.info.time_base for frame in frames],
            video.notes,
        )


def every_30th(count: int, first: int = 0) -> list[Fraction]:
    return [Fraction(k, 30) for k in range(first, first + count)]


def decoding_times(folder: Path, name: str) -> Path:
    """H.264 with B-frames in which every packet has its decoding time as its pts."""
    source = write_video(folder / "right.mp4", COUNT, options=B_FRAMES)

    def in_decoding_order(number: int, packet: av.Packet) -> None:
        packet.pts = packet.dts = round(number / (30 * packet.time_base))

    return videos.remux(source, folder / name, in_decoding_order)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", ["clip.mkv", "clip.ts", "clip.mp4", "clip.flv"])
def test_times_of_decoding_become_times_of_presentation(name: str, threads: int, tmp_path: Path) -> None:
    path = decoding_times(tmp_path, name)
    numbers, times, notes = shown(path, threads=threads)
    assert numbers == list(range(COUNT))
    assert all(
        abs(time - right) <= Fraction(1, 1000) for time, right in zip(times, every_30th(COUNT), strict=True)
    )
    assert any("times are those of decoding" in note for note in notes)
    part = shown(path, Fraction(1), Fraction(17, 10), threads)
    assert part[0] == list(range(30, 51)) and part[1] == times[30:51]


def test_b_frames_in_avi(tmp_path: Path) -> None:
    """AVI has times of decoding alone; FFmpeg makes up the others."""
    path = write_video(tmp_path / "clip.avi", COUNT, options=B_FRAMES)
    numbers, times, _ = shown(path)
    assert numbers == list(range(COUNT)) and times == every_30th(COUNT)
    assert shown(path, Fraction(1), Fraction(3, 2))[:2] == (list(range(30, 45)), every_30th(15, 30))


def test_the_first_frames_without_a_time_are_counted_back(tmp_path: Path) -> None:
    """Matroska that begins before 0: FFmpeg gives what lies there no pts."""
    path = write_video(tmp_path / "clip.mkv", COUNT, options={"bf": "0"})
    data = bytearray(path.read_bytes())
    cluster = data.index(b"\x1f\x43\xb6\x75")
    block = data.index(b"\xa3", cluster)  # the first SimpleBlock of the first cluster
    at, blocks = block, 0
    while data[at] == 0xA3 and blocks < 40:
        width = 9 - data[at + 1].bit_length()
        size = int.from_bytes(data[at + 1 : at + 1 + width], "big") & (1 << 7 * width) - 1
        place = at + 1 + width + 1
        time = int.from_bytes(data[place : place + 2], "big", signed=True) - 500
        data[place : place + 2] = time.to_bytes(2, "big", signed=True)
        at, blocks = at + 1 + width + size, blocks + 1
    path.write_bytes(data)
    assert blocks == 40
    with av.open(str(path)) as container:
        assert next(container.demux(video=0)).pts is None
    numbers, times, notes = shown(path)
    assert numbers == list(range(COUNT))
    assert times[:40] == [round(Fraction(1000 * k, 30) - 500) * Fraction(1, 1000) for k in range(40)]
    assert any("counted back" in note for note in notes)


@pytest.mark.parametrize("shift_s", [0, -1, 40_000, -20], ids=str)
def test_recordings_joined_byte_by_byte_are_one_take(shift_s: int, tmp_path: Path) -> None:
    """The second one's clock begins anew, or lies behind or ahead."""
    first_s = 50
    parts = []
    for number, begin_s in enumerate([first_s, first_s + shift_s]):
        pts = [30 * begin_s + k for k in range(30)]
        frames = [videos.picture(30 * number + k) for k in range(30)]
        parts.append(write_video(tmp_path / f"{number}.ts", frames, pts=pts, options=B_FRAMES))
    path = joined(tmp_path / "joined.ts", *parts)
    numbers, times, notes = shown(path)
    assert numbers == list(range(COUNT))
    assert [time - times[0] for time in times] == every_30th(COUNT)
    assert any("the take goes on without a gap" in note for note in notes)
    part = shown(path, Fraction(1, 2), Fraction(3, 2))
    assert part[0] == list(range(15, 45)) and part[1] == times[15:45]


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("clip.webm", "libvpx", {"live": "1"}), ("clip.mkv", "libx264", {}), ("clip.mpg", "mpeg2video", {})],
)
def test_other_containers_joined_byte_by_byte(
    name: str, codec: str, options: dict[str, str], tmp_path: Path
) -> None:
    """As a browser leaves a recording that was stopped and begun again."""
    parts = []
    for number in range(2):
        frames = [videos.picture(30 * number + k) for k in range(30)]
        path = tmp_path / f"{number}-{name}"
        parts.append(write_video(path, frames, codec=codec, container_options=options))
    path = joined(tmp_path / name, *parts)
    numbers, times, notes = shown(path)
    assert numbers == list(range(COUNT)) and [round((time - times[0]) * 30) for time in times] == numbers
    assert any("the take goes on without a gap" in note for note in notes)
    part = shown(path, Fraction(1, 2), Fraction(3, 2))
    assert part[0] == list(range(15, 45)) and part[1] == times[15:45]


def test_a_program_stream_whose_last_packet_has_the_time_of_the_next_recording(tmp_path: Path) -> None:
    """A parser takes the first time it meets behind a small frame: here that of another clock."""
    parts = []
    for number, begin_s in enumerate([0, 500, 3]):
        frames = [videos.picture(30 * number + k) for k in range(30)]
        pts = [30 * begin_s + k for k in range(30)]
        part = tmp_path / f"{number}.mpg"
        parts.append(write_video(part, frames, codec="mpeg2video", pts=pts, options={"bf": "2"}))
    numbers, times, notes = shown(joined(tmp_path / "joined.mpg", *parts))
    assert numbers == list(range(90)) and [time - times[0] for time in times] == every_30th(90)
    assert any("the take goes on without a gap" in note for note in notes)


@pytest.mark.parametrize("name", ["clip.flv", "clip.mp4"])
def test_a_recording_that_follows_and_is_not_read_is_noted(name: str, tmp_path: Path) -> None:
    parts = [write_video(tmp_path / f"{number}-{name}", 30, options=B_FRAMES) for number in range(2)]
    numbers, _, notes = shown(joined(tmp_path / name, *parts))
    assert numbers == list(range(30))
    assert any(f"follows {parts[0].stat().st_size} bytes" in note for note in notes)


@pytest.mark.parametrize(("suffix", "codec"), [("h264", "libx264"), ("hevc", "libx265")])
def test_a_raw_stream_has_the_rate_of_its_codec(suffix: str, codec: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / f"clip.{suffix}", 30, fps=50, codec=codec)
    numbers, times, _ = shown(path)
    assert numbers == list(range(30)) and times == [Fraction(k, 50) for k in range(30)]


def test_a_pause_stays_a_pause(tmp_path: Path) -> None:
    """Screen recordings and motion sensors write nothing for hours: that is no other clock."""
    pts = [k if k < 30 else k + 30 * 3600 for k in range(COUNT)]
    path = write_video(tmp_path / "pause.mp4", COUNT, pts=pts, options={"bf": "0"})
    _, times, notes = shown(path)
    assert times == [Fraction(k, 30) for k in pts]
    assert notes == ("no frames for 3600.033 s at 0.967 s",)


@pytest.mark.parametrize("number", [0, 10, COUNT - 1])
def test_an_empty_sample_is_skipped(number: int, tmp_path: Path) -> None:
    """As capture tools mark a frame that they dropped."""
    # One sample a chunk: emptying one moves no other.
    path = write_video(
        tmp_path / "clip.mov", COUNT, codec="mjpeg", pixel_format="yuvj420p", audio_seconds=COUNT / 30
    )
    videos.empty_sample(path, number)
    numbers, times, notes = shown(path)
    rest = [k for k in range(COUNT) if k != number]
    assert times == [Fraction(k, 30) for k in rest]
    assert numbers == rest
    assert len(notes) == 1 and "an empty sample is skipped" in notes[0]


def test_sound_that_begins_after_what_is_looked_at_on_opening(tmp_path: Path) -> None:
    """A microphone that is switched on in the middle."""
    late = write_late_sound(tmp_path / "late.flv", LATE_FRAMES)
    with av.open(str(late)) as container:
        assert len(container.streams) == 1
    with Video(late) as video:
        assert sum(1 for _ in video.frames()) == LATE_FRAMES
    times = packet_times(Clip("late", str(late)))
    assert times is not None and len(times.pts) == LATE_FRAMES
