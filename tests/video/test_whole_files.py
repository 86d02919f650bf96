"""Whole files whose headers promise more than they hold, and files that are really cut off."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from facecap_batch.errors import BadVideo
from facecap_batch.video.decoder import Video, decode
from facecap_batch.video.formats.completeness import is_whole
from tests.support import videos
from tests.support.videos import numbers, write_video

COUNT = 60
WRITES_BLOCK_DURATIONS = (62, 12, 0)  # libavformat of FFmpeg 8.1


def notes_of(path: Path) -> tuple[str, ...]:
    with Video(path) as video:
        assert sum(1 for _ in video.frames()) == COUNT
        return video.notes


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mov"])
def test_a_last_frame_that_is_held_long(name: str, tmp_path: Path) -> None:
    """Slides and screen recordings show it for seconds: the last block or sample says so itself."""
    if name.endswith("mkv") and av.library_versions["libavformat"] < WRITES_BLOCK_DURATIONS:
        pytest.skip("this FFmpeg reads durations of Matroska's blocks, and writes none")
    source = write_video(tmp_path / name, COUNT, options={"bf": "0"})

    def held(number: int, packet: av.Packet) -> None:
        if number == COUNT - 1:
            packet.duration = int(5 / packet.time_base)

    path = videos.remux(source, tmp_path / f"held-{name}", held)
    assert notes_of(path) == ()


def promise_more(path: Path) -> Path:
    """Let the header of a file promise twice its frames, or the end at 20 s."""
    data = bytearray(path.read_bytes())
    if path.suffix == ".avi":
        at = data.index(b"avih") + 8 + 16  # dwTotalFrames
        assert int.from_bytes(data[at : at + 4], "little") == COUNT
        data[at : at + 4] = (2 * COUNT).to_bytes(4, "little")
        at = data.index(b"strh") + 8 + 32  # dwLength
        data[at : at + 4] = (2 * COUNT).to_bytes(4, "little")
    else:
        at = data.index(b"00:00:02.000000000")
        data[at : at + 18] = b"00:00:20.000000000"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["clip.avi", "clip.mkv", "clip.webm"])
def test_a_header_that_promises_too_much(name: str, tmp_path: Path) -> None:
    codec = {"avi": "mpeg4", "mkv": "libx264", "webm": "libvpx"}[name.rpartition(".")[2]]
    path = promise_more(write_video(tmp_path / name, COUNT, codec=codec))
    assert is_whole(str(path))
    assert any("promises video to" in note and "the file is whole" in note for note in notes_of(path))
    cut = videos.truncate(path, tmp_path / f"cut-{name}")
    assert not is_whole(str(cut))
    with pytest.raises(BadVideo, match="damaged"):
        list(decode(cut))
    zeroed = tmp_path / f"zeroed-{name}"  # a copy that was broken off, at its full size
    zeroed.write_bytes(cut.read_bytes() + bytes(path.stat().st_size - cut.stat().st_size))
    assert not is_whole(str(zeroed))


def test_what_says_nothing_of_its_size_is_not_called_whole(tmp_path: Path) -> None:
    for name in ("clip.mp4", "clip.ts"):
        assert not is_whole(str(write_video(tmp_path / name, 3)))
    live = write_video(tmp_path / "live.webm", 3, codec="libvpx", container_options={"live": "1"})
    assert not is_whole(str(live)) and numbers(live) == [0, 1, 2]
    assert not is_whole(str(tmp_path / "nowhere.mkv")) and not is_whole("https://host.example/clip.mkv")


@pytest.mark.parametrize("name", ["clip.mkv", "clip.ts", "clip.flv"])
def test_a_file_cut_off_in_its_last_packet_is_done_and_noted(name: str, tmp_path: Path) -> None:
    """A recorder that lost power: what is left of the last packet is no picture."""
    whole = write_video(tmp_path / name, COUNT, options={"bf": "0"})
    assert notes_of(whole) == ()
    with av.open(str(whole)) as container:
        last = [packet for packet in container.demux(video=0) if packet.size][-1]
    cut = tmp_path / f"cut-{name}"
    cut.write_bytes(whole.read_bytes()[: last.pos + last.size // 2])
    with Video(cut) as video:
        assert sum(1 for _ in video.frames()) == COUNT - 1
        assert any("cut off by its own structure" in note for note in video.notes)
