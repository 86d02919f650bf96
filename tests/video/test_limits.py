"""Files that claim too much are refused before they take the memory; options raise the limits."""

from __future__ import annotations

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from facecap_batch.capturing.segments.cut_points import packet_times
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.clip import Clip
from facecap_batch.errors import TooLarge
from facecap_batch.video.decoder import Video, decode
from facecap_batch.video.formats.claims import false_claim
from facecap_batch.video.formats.limits import MAX_SAMPLES, Limits
from tests.support import forgeries
from tests.support.videos import numbers, picture, write_video

FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
MEMORY_MIB = 160  # what opening a small file may take; a forged one takes a thousand and more
# Opens a file in a process whose peak is its own.
OPEN = """
import re, sys
import facecap_batch.video.decoder as decoder
def peak(): return int(re.findall(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[0]) // 1024
before = peak()
try:
    for frame in decoder.decode(sys.argv[1]): frame.small(32)
except decoder.BadVideo as error:
    print(type(error).__name__, error)
print(peak() - before)
"""
linux_alone = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells and limits memory in this way"
)


def _with_sound(path: Path) -> Path:
    """A MOV with uncompressed sound, as cameras write it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=48000, layout="stereo")
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(picture(number, 64, 48)).reformat(format="yuv420p")
            container.mux(stream.encode(frame))
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 3840), np.int16), "s16", "stereo")
            samples.sample_rate, samples.pts, samples.time_base = 48000, 1920 * number, Fraction(1, 48000)
            container.mux(sound.encode(samples))
        container.mux(stream.encode(None))
    return path


def _forged(kind: str, folder: Path) -> Path:
    target = folder / f"{kind}.mov"
    whole = write_video(folder / "whole.mp4", 10)
    if kind == "samples":
        return forgeries.claim_samples(whole, target, 50_000_000)
    if kind == "fragment":
        write_video(folder / "pieces.mp4", 10, container_options=FRAGMENTED)
        return forgeries.claim_fragment(folder / "pieces.mp4", target, 50_000_000)
    if kind == "compressed":
        claimed = forgeries.claim_samples(whole, folder / "claimed.mov", 50_000_000)
        return forgeries.compress_index(claimed, target)
    return forgeries.write_blank_png(folder / "large.png", 16000, 16000)


@linux_alone
@pytest.mark.parametrize("kind", ["samples", "fragment", "compressed", "picture"])
def test_it_is_refused_before_the_memory_is_taken(kind: str, tmp_path: Path) -> None:
    path = _forged(kind, tmp_path)
    assert path.stat().st_size < 2**20
    command = [sys.executable, "-c", OPEN, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    *said, memory_mib = done.stdout.splitlines()
    assert said and said[0].startswith(f"TooLarge {path}")
    assert int(memory_mib) < MEMORY_MIB


def test_the_hostile_sample_is_refused() -> None:
    path = Path(__file__).resolve().parents[2] / "shared" / "faults" / "hostile" / "claims5e7.mp4"
    if not path.exists():
        pytest.skip("the hostile samples are not here")
    with pytest.raises(TooLarge, match="claims 50000000 samples"):
        Video(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "pieces.mp4", "sound.mov", "packed.mov"])
def test_what_is_true_is_taken(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "sound.mov":
        _with_sound(path)
    elif name == "packed.mov":
        forgeries.compress_index(write_video(tmp_path / "whole.mov", 10), path)
    else:
        write_video(path, 10, container_options=FRAGMENTED if name == "pieces.mp4" else None)
    data = path.read_bytes()
    assert false_claim(io.BytesIO(data), len(data)) is None
    assert numbers(path) == list(range(10))


def test_an_hour_of_uncompressed_sound_claims_little() -> None:
    """172 million samples, which FFmpeg takes by chunks: cameras write such files."""

    def box(kind: bytes, *content: bytes) -> bytes:
        inside = b"".join(content)
        return (8 + len(inside)).to_bytes(4, "big") + kind + inside

    def numbers_of(*values: int) -> bytes:
        return b"".join(value.to_bytes(4, "big") for value in values)

    def sound(in_each_chunk: int) -> bytes:
        tables = box(
            b"stbl",
            box(b"stts", numbers_of(0, 1, samples, 1)),
            box(b"stsc", numbers_of(0, 1, 1, in_each_chunk, 1)),
            box(b"stsz", numbers_of(0, 1, samples)),
            box(b"stco", numbers_of(0, seconds), bytes(4 * seconds)),
        )
        handler = box(b"hdlr", numbers_of(0, 0), b"soun", bytes(12))
        return box(b"moov", box(b"trak", box(b"mdia", handler, box(b"minf", tables))))

    samples, seconds = 48000 * 3600, 3600
    true, forged = sound(48000), sound(2**32 - 1)
    assert samples > MAX_SAMPLES and false_claim(io.BytesIO(true), len(true) + 2 * samples) is None
    assert false_claim(io.BytesIO(forged), len(forged)) == seconds * 2**22


def test_pictures_above_the_limit(tmp_path: Path) -> None:
    small, large = Limits(megapixels=0.01), Limits(megapixels=0.02)
    for name, codec in {"a.mp4": "libx264", "a.avi": "mpeg4", "a.png": "png", "a.ts": "libx264"}.items():
        path = write_video(
            tmp_path / name, 1, codec=codec, pixel_format="rgb24" if codec == "png" else "yuv420p"
        )
        with pytest.raises(TooLarge, match=r"128x96 pixels, more than 0\.01 million.*--max-megapixels"):
            Video(path, limits=small)
        with Video(path, limits=large) as video:
            assert len(list(video.frames())) == 1


def test_pixels_that_are_stretched_count_too(tmp_path: Path) -> None:
    path = write_video(tmp_path / "wide.mp4", 2, pixel_aspect=3)
    with pytest.raises(TooLarge, match="384x96"):
        Video(path, limits=Limits(megapixels=0.02))


def test_a_picture_that_grows_on_the_way(tmp_path: Path) -> None:
    """No stream may grow beyond the limit after it was opened."""
    small, large = (
        write_video(
            tmp_path / f"{side}.avi", [picture(0, side, side)] * 5, codec="mjpeg", pixel_format="yuvj420p"
        )
        for side in (64, 256)
    )
    path = tmp_path / "joined.avi"
    with av.open(str(small)) as first, av.open(str(large)) as second, av.open(str(path), "w") as joined:
        copy = joined.add_stream_from_template(first.streams.video[0])
        packets = [packet for part in (first, second) for packet in part.demux(video=0) if packet.size]
        for number, packet in enumerate(packets):
            packet.stream, packet.pts, packet.dts = copy, number, number
            joined.mux(packet)
    with Video(path, damage="keep", limits=Limits(megapixels=0.01)) as video:
        sizes = [(64, 64)]
        with pytest.raises(TooLarge, match="256x256"):
            sizes += [(frame.width, frame.height) for frame in video.frames()]
        assert set(sizes) == {(64, 64)}


def test_images_of_a_sequence(tmp_path: Path) -> None:
    for number in range(3):
        forgeries.write_blank_png(tmp_path / f"shot{number}.png", 200, 100)
    with pytest.raises(TooLarge, match=r"200x100 pixels.*--max-megapixels"):
        Video(tmp_path / "shot%d.png", limits=Limits(megapixels=0.01))
    with pytest.raises(TooLarge, match="3 frames or more, above the limit of 2"):
        list(Video(tmp_path / "shot%d.png", limits=Limits(frames=2)).frames())


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_frames_above_the_limit(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, 12)
    limits = Limits(frames=10)
    with (
        pytest.raises(TooLarge, match=r"above the limit of 10 \(--max-frames"),
        Video(path, limits=limits) as video,
    ):
        list(video.frames())
    with pytest.raises(TooLarge):
        packet_times(Clip("clip", str(path)), limits=limits)
    with Video(path, end=Fraction(3, 10), limits=limits) as video:
        assert 9 <= len(list(video.frames())) <= 10
    assert len(list(decode(path))) == 12


@pytest.mark.parametrize(
    "wrong", [{"max_megapixels": 0.0}, {"max_megapixels": float("nan")}, {"max_frames": 0}]
)
def test_limits_that_are_none(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="max_"):
        CaptureSettings(**wrong)  # type: ignore[arg-type]


# Takes an image of 48 MB in a process that has no memory for it.
SHORT = """
import resource, sys
from facecap_batch.clip import Clip
from facecap_batch.runs.clip_steps import classify_error
from facecap_batch.video.decoder import decode
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 2**24, size + 2**24))
try:
    for frame in decode(sys.argv[1]): pass
except BaseException as error:
    print(*classify_error(error))
"""


@linux_alone
def test_memory_that_runs_out_is_called_so(tmp_path: Path) -> None:
    path = forgeries.write_blank_png(tmp_path / "large.png", 4000, 4000)
    command = [sys.executable, "-c", SHORT, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.startswith("OutOfMemory not enough memory for this clip")
    assert "run fewer workers" in done.stdout and done.stdout.strip().endswith("True")  # another attempt
