"""Files that are no video, damaged files, odd names, and options that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from facecap_batch.errors import BadVideo, NoVideoStream
from facecap_batch.video.decoder import Video, decode, probe
from tests.support import videos
from tests.support.videos import number_of, numbers, write_video

CUT = [("clip.mp4", {"movflags": "faststart"}), ("clip.mkv", {}), ("clip.avi", {})]


def _open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def test_what_is_no_video_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a video\n" * 50)
    for name, words in {
        "absent.mp4": "no such file",
        "empty.mp4": "file is empty",
        "text.mp4": "cannot be opened as a video",
        ".": "is a folder",
    }.items():
        with pytest.raises(BadVideo, match=words) as caught:
            Video(tmp_path / name)
        assert str(tmp_path) in str(caught.value)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(NoVideoStream, match="only audio"):
        probe(videos.write_audio(tmp_path / "sound.m4a"))


def test_a_video_without_frames(tmp_path: Path) -> None:
    for name in ("none.mp4", "none.avi", "none.mkv", "none.mov"):
        with pytest.raises(BadVideo, match=r"no frame can be decoded|holds no video|cannot be opened"):
            Video(videos.write_no_frames(tmp_path / name))


def test_a_title_that_is_no_utf8_does_not_matter(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mkv", 3)
    data = path.read_bytes()
    assert data.count(b"Lavf") > 0
    path.write_bytes(data.replace(b"Lavf", b"L\xe9\xfff"))
    assert [number_of(frame.rgb()) for frame in decode(path)] == [0, 1, 2]


def test_names_that_look_like_something_else(tmp_path: Path) -> None:
    for name in ("a b – ü 顔.mp4", "concat:x.mp4", "%03d.mp4", "-i.mp4", "data:,x.mp4"):
        source = write_video(tmp_path / "plain.mp4", 3)
        assert numbers(source.rename(tmp_path / name)) == [0, 1, 2]


@pytest.mark.parametrize(("name", "options"), CUT)
def test_a_file_cut_off_is_refused_with_the_place(name: str, options: dict[str, str], tmp_path: Path) -> None:
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    whole = write_video(tmp_path / name, 90, codec=codec, container_options=options)
    assert len(list(decode(whole))) == 90
    cut = videos.truncate(whole, tmp_path / f"cut-{name}")
    with pytest.raises(BadVideo, match=r"damaged: .* at \d\.\d+ s, frame \d+; .*re-encode"):
        list(decode(cut))
    with Video(cut, damage="keep") as video:
        kept = [number_of(frame.rgb()) for frame in video.frames()]
        assert 10 < len(kept) < 90 and kept[:10] == list(range(10))
        assert video.notes


def test_flipped_bytes_are_refused_or_kept(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", 90, options={"g": "30"})
    bad = videos.flip_bytes(whole, tmp_path / "bad.mp4")
    with pytest.raises(BadVideo, match="damaged"):
        list(decode(bad))
    with Video(bad, damage="keep") as video:
        count = sum(1 for _ in video.frames())
        assert count > 60 and any("damaged" in note or "decoding fails" in note for note in video.notes)


def test_frames_missing_in_the_middle_are_reported(tmp_path: Path) -> None:
    """Packets that never reach the decoder leave no error behind, only a hole in time."""
    gap = [k if k < 30 else k + 40 for k in range(60)]
    path = write_video(tmp_path / "hole.mkv", 60, pts=gap)
    with Video(path) as video:
        assert sum(1 for _ in video.frames()) == 60
        assert any("no frames for 1.3" in note for note in video.notes)


def test_a_sound_file_is_closed_and_a_generator_left_early_too(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 30)
    before = _open_files()
    for _ in range(20):
        for frame in decode(path, thread_count=2):
            if frame.index == 2:
                break
    with pytest.raises(NoVideoStream):
        probe(videos.write_audio(tmp_path / "sound.m4a"))
    assert _open_files() == before


def test_automatic_threads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="deadlock"):
        Video(tmp_path / "clip.mp4", thread_count=0)


@pytest.mark.parametrize(("name", "value"), [("damage", "kepe"), ("hwaccel", "cdua")])
def test_a_misspelt_option_is_refused(name: str, value: str, tmp_path: Path) -> None:
    """Taken for another one, it would refuse clips that were to be kept."""
    path = write_video(tmp_path / "clip.mp4", 3)
    with pytest.raises(ValueError, match=rf"{name} must be one of \w+, .*not '{value}'"):
        Video(path, **{name: value})  # type: ignore[arg-type]
