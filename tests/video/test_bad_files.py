"""Files that are no video, damaged files, odd names, and options that are wrong."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from facecap_batch.errors import BadVideo, NoVideoStream
from facecap_batch.video.decoder import Video, decode, probe
from facecap_batch.video.formats.allowed import FILES
from tests.support import videos
from tests.support.opened_files import left_open
from tests.support.videos import number_of, numbers, write_video

CUT = [("clip.mp4", {"movflags": "faststart"}), ("clip.mkv", {}), ("clip.avi", {})]


def test_what_is_no_video_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a video\n" * 50)
    for name, words in {
        "absent.mp4": "no such file",
        "empty.mp4": "file is empty",
        "text.mp4": "holds no video stream: it is a text file",
        ".": "is a folder",
    }.items():
        with pytest.raises(BadVideo, match=words) as caught:
            Video(tmp_path / name)
        assert str(tmp_path) in str(caught.value)


NO_VIDEOS = {
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
    "a web page": b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n" * 20,
    "a text file": b"take one, take two\n" * 50,
    "a pointer of git-annex": b"/annex/objects/SHA256E-s123--0a1b.mp4\n",
    "web page": "<html><body>Sign in</body></html>".encode("utf-16"),
    "JSON text": b'{"error": "expired"}\n',
    "an archive": b"Rar!\x1a\x07\x00" + bytes(range(200)),
    "begins with zeros": bytes(9000),
    "a ZIP archive": b"PK\x03\x04" + bytes(range(200)),
    "a PDF document": b"%PDF-1.7\n" + bytes(200),
}


@pytest.mark.parametrize("suffix", [".mp4", ".txt", ".mkv"])
@pytest.mark.parametrize("what", NO_VIDEOS)
def test_what_is_something_else_is_named(what: str, suffix: str, tmp_path: Path) -> None:
    """Also where FFmpeg would paint the text of it."""
    path = tmp_path / f"clip{suffix}"
    path.write_bytes(NO_VIDEOS[what])
    with pytest.raises(BadVideo, match=what) as caught:
        Video(path)
    assert str(path) in str(caught.value)


def test_formats_that_are_no_footage_are_refused(tmp_path: Path) -> None:
    """FFmpeg opens text files, lists of files and subtitles as videos."""
    write_video(tmp_path / "clip.mp4", 3)
    lists = tmp_path / "list.ffconcat"
    lists.write_text("ffconcat version 1.0\nfile clip.mp4\n")
    drawn = tmp_path / "drawn.ans"
    drawn.write_bytes(b"\x1b[31mred\x1b[0m and \x80\x81 more\r\n" * 40)
    for path in (lists, drawn):
        with pytest.raises(NoVideoStream, match="holds no video stream"):
            Video(path)
    for name in ("mov", "matroska", "jpeg_pipe", "mpegts", "asf", "mxf"):
        assert name in FILES
    for name in ("tty", "concat", "lavfi", "srt", "mp3", "xbin", "smk"):
        assert name not in FILES


def test_a_recording_that_was_never_closed(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", 30)
    data = whole.read_bytes()
    path = tmp_path / "open.mp4"
    path.write_bytes(data[: data.rindex(b"moov") - 4])
    with pytest.raises(BadVideo, match=r"never closed.*moov.*untrunc"):
        Video(path)


def test_encrypted_pictures_are_called_so(tmp_path: Path) -> None:
    path = tmp_path / "secret.mp4"
    key = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "00112233445566778899aabbccddeeff",
        "encryption_kid": "00112233445566778899aabbccddeeff",
    }
    write_video(path, 30, container_options=key, options={"bf": "0"})
    for threads in (1, 3):
        with pytest.raises(BadVideo, match="pictures are encrypted"):
            list(decode(path, thread_count=threads))


def test_pictures_that_only_the_structure_calls_encrypted(tmp_path: Path) -> None:
    """FFmpeg finds noise in them, or nothing at all: protected fragments, a WebM, a transport stream."""
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    data = write_video(tmp_path / "clear.mp4", 30, container_options=fragments).read_bytes()
    protected = tmp_path / "protected.mp4"
    place = data.index(b"avcC")  # without its settings a decoder is no further than without a key
    protected.write_bytes(data[:place].replace(b"avc1", b"encv") + b"free" + data[place + 4 :])
    encryption = bytes.fromhex("6d80a5 6240a2 503100 503381 503590 47e18105 47e28b") + bytes(20)
    webm = tmp_path / "protected.webm"
    webm.write_bytes(bytes.fromhex("1a45dfa3 9f") + bytes(40) + encryption + bytes(200))
    stream = bytearray(write_video(tmp_path / "clear.ts", 60).read_bytes())
    noise = np.random.default_rng(0)
    for at in range(0, len(stream), 188):
        if stream[at + 1 : at + 3] in (b"\x41\x00", b"\x01\x00"):  # the packets of the video
            stream[at + 3] |= 0x80
            first = at + 4 + (1 + stream[at + 4] if stream[at + 3] & 0x20 else 0)
            stream[first : at + 188] = noise.bytes(at + 188 - first)
    scrambled = tmp_path / "scrambled.ts"
    scrambled.write_bytes(stream)
    for path in (protected, webm, scrambled):
        with pytest.raises(BadVideo, match="pictures are encrypted"):
            list(decode(path))


def test_pieces_of_a_stream_are_called_so(tmp_path: Path) -> None:
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    data = write_video(tmp_path / "whole.mp4", 30, container_options=fragments).read_bytes()
    first = data.index(b"moof") - 4
    for name, piece, words in (
        ("init.mp4", data[:first], "beginning of a stream"),
        ("segment.m4s", data[first:], "segment of a stream without what comes first"),
        ("index.mp4", data[: data.index(b"moov") + 100], "cut off"),
    ):
        path = tmp_path / name
        path.write_bytes(piece)
        with pytest.raises(BadVideo, match=words):
            Video(path)


def test_an_animated_webp_is_called_so(tmp_path: Path) -> None:
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes([2, 0, 0, 0, 63, 0, 0, 63, 0, 0])
    body += b"ANIM" + struct.pack("<I", 6) + bytes(6) + b"ANMF" + struct.pack("<I", 24) + bytes(24)
    path = tmp_path / "moving.webp"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    with pytest.raises(BadVideo, match="an animated WebP"):
        Video(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_or_a_device_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(BadVideo, match="is a pipe or a device"):
            Video(path)


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    """An mp3 with the cover of its album (ID3v2, APIC)."""
    sound = tmp_path / "sound.mp3"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("libmp3lame", rate=44100, layout="stereo")
        for block in range(20):
            frame = av.AudioFrame(format="fltp", layout="stereo", samples=1152)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.sample_rate, frame.pts = 44100, block * 1152
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    movie = write_video(tmp_path / "cover.mkv", 1, codec="mjpeg", pixel_format="yuvj420p")
    with av.open(str(movie)) as container:
        picture = bytes(next(packet for packet in container.demux(video=0) if packet.size))
    content = b"\0image/jpeg\0\x03\0" + picture
    frame_head = b"APIC" + struct.pack(">I", len(content)) + bytes(2)
    size = len(frame_head) + len(content)
    syncsafe = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    data = sound.read_bytes()
    data = data[data.index(b"\xff\xfb") :]
    # Under the name of a video; mp4 and m4a carry their covers in the same way.
    path = tmp_path / "song.mp4"
    path.write_bytes(b"ID3\x03\0\0" + syncsafe + frame_head + content + data)
    with pytest.raises(NoVideoStream, match="holds no video stream"):
        probe(path)


LAST = [
    ("clip.mp4", "libx264", {"bf": "0"}),
    ("b.mp4", "libx264", {"g": "10"}),
    ("clip.avi", "mjpeg", {}),
    ("clip.mov", "mjpeg", {}),
    ("mpeg4.avi", "mpeg4", {}),
    ("clip.mkv", "mjpeg", {}),
]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("name", "codec", "options"), LAST)
def test_a_last_picture_that_is_damaged_is_left_out(
    name: str, codec: str, options: dict[str, str], threads: int, tmp_path: Path
) -> None:
    """A recorder that lost power; damage in the middle is refused all the same."""
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_video(tmp_path / name, 30, codec=codec, pixel_format=pixels, options=options)
    with av.open(str(path)) as container:
        packets = [
            (packet.pos, packet.size, packet.pts) for packet in container.demux(video=0) if packet.size
        ]
    data = path.read_bytes()

    def zeroed(number: int) -> Path:
        position, size, _ = packets[number]
        head = 16 if name.endswith("mkv") else 8
        damaged = tmp_path / f"{number}-{name}"
        damaged.write_bytes(data[: position + head] + bytes(size - head) + data[position + size :])
        return damaged

    with Video(zeroed(-1), thread_count=threads) as video:
        shown = [number_of(frame.rgb()) for frame in video.frames()]
        assert any("the last picture is damaged and left out" in note for note in video.notes)
    lost = 28 if name == "b.mp4" else 29
    assert shown == [number for number in range(30) if number != lost]
    with pytest.raises(BadVideo, match=r"damaged: .*--keep-damaged"):
        list(decode(zeroed(15), thread_count=threads))


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
    for _ in range(20):
        for frame in decode(path, thread_count=2):
            if frame.index == 2:
                break
    with pytest.raises(NoVideoStream):
        probe(videos.write_audio(tmp_path / "sound.m4a"))
    assert not left_open(tmp_path)


def test_automatic_threads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="deadlock"):
        Video(tmp_path / "clip.mp4", thread_count=0)


@pytest.mark.parametrize(("name", "value"), [("damage", "kepe"), ("hwaccel", "cdua")])
def test_a_misspelt_option_is_refused(name: str, value: str, tmp_path: Path) -> None:
    """Taken for another one, it would refuse clips that were to be kept."""
    path = write_video(tmp_path / "clip.mp4", 3)
    with pytest.raises(ValueError, match=rf"{name} must be one of \w+, .*not '{value}'"):
        Video(path, **{name: value})  # type: ignore[arg-type]
