"""The sound of previews: a flash and a click at the same time in the source are so in the preview."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from facecap_batch.coefficients import ClipInfo, CoefficientTable, write_parquet
from facecap_batch.exporting.preview import PreviewSettings, preview
from facecap_batch.video.decoder import decode, probe

FPS, FRAMES, RATE = 25, 100, 48000
WIDTH, HEIGHT = 160, 96
FLASHES = (20, 55, 80)  # frames that are white, and begin with a click
SMALL = PreviewSettings(height=240)


def write_source(path: Path, codec: str = "aac", late_s: float = 0.0, early_s: float = 0.0) -> Path:
    """A video of FRAMES frames, black but for FLASHES, with a click of 10 ms at the beginning of each.

    Args:
        path: Of the file.
        codec: Of the sound.
        late_s: Seconds by which the sound begins later than the picture.
        early_s: Seconds by which it begins earlier: the picture then begins after 0.
    """
    begin = round(late_s * RATE)
    seconds = FRAMES / FPS + early_s
    samples = np.zeros(round(seconds * RATE), np.float32)
    tone = np.sin(2 * np.pi * 2000 * np.arange(RATE // 100) / RATE)
    for frame in FLASHES:
        at = round((frame / FPS + early_s) * RATE)
        samples[at : at + len(tone)] = 0.8 * tone
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"g": "10", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream(codec, rate=RATE, layout="mono")
        packets = []
        for number in range(FRAMES):
            image = np.full((HEIGHT, WIDTH, 3), 235 if number in FLASHES else 16, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(number * 1000 / FPS + early_s * 1000), Fraction(1, 1000)
            packets += video.encode(frame)
        packets += video.encode(None)
        size = audio.codec_context.frame_size or 1024
        for start in range(begin, len(samples) - size, size):
            block = samples[None, start : start + size]
            if audio.codec_context.format.name.startswith("s16"):
                block = (block * 32767).astype(np.int16)
            sound = av.AudioFrame.from_ndarray(block, format=audio.codec_context.format.name, layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = RATE, start, Fraction(1, RATE)
            packets += audio.encode(sound)
        packets += audio.encode(None)
        for packet in sorted(packets, key=lambda each: each.dts * each.time_base):
            container.mux(packet)
    return path


def table_of(path: Path, start: int = 0, stop: int = FRAMES) -> CoefficientTable:
    """A table of frames `start` to before `stop`, as a run of that range has."""
    pts = [frame.pts for frame in decode(path)][start:stop]
    info, count = probe(path), stop - start
    return CoefficientTable(
        info=ClipInfo("clip", path.name, WIDTH, HEIGHT, info.fps, info.time_base, 0, False),
        frame_index=np.arange(count, dtype=np.int32),
        pts=np.array(pts, np.int64),
        face_found=np.ones(count, bool),
        score=np.full(count, 0.9, np.float32),
        box=np.tile(np.float32([60, 30, 110, 80]), (count, 1)),
        coefficients=np.full((count, 51), 0.2, np.float32),
        head=np.tile(np.float32([0.2, 0.1, 0, 0, 0, -60]), (count, 1)),
    )


def previewed(path: Path, output: Path, start: int = 0, stop: int = FRAMES) -> Path:
    write_parquet(table_of(path, start, stop), output.with_suffix(".parquet"))
    assert preview(output.with_suffix(".parquet"), path, output, settings=SMALL) == stop - start
    return output


def flashes_and_clicks(path: Path) -> tuple[list[float], list[float]]:
    """Seconds at which the picture becomes bright, and at which the sound becomes loud."""
    with av.open(str(path)) as container:
        bright = []
        for frame in container.decode(video=0):
            image = frame.to_ndarray(format="gray8")
            if image[40:60, 10:30].mean() > 120:
                bright.append(float(frame.time))
    with av.open(str(path)) as container:
        loud: list[float] = []
        for sound in container.decode(audio=0):
            samples = np.abs(sound.to_ndarray().astype(np.float64).reshape(-1, sound.samples)[0])
            samples /= 32768 if sound.format.name.startswith("s16") else 1
            for at in np.flatnonzero(samples > 0.3) / sound.sample_rate + float(sound.time):
                if not loud or at - loud[-1] > 0.1:
                    loud.append(float(at))
    return bright, loud


def codec_of_sound(path: Path) -> str:
    with av.open(str(path)) as container:
        return str(container.streams.audio[0].codec_context.codec.canonical_name)


def assert_in_sync(path: Path, frames: tuple[int, ...]) -> None:
    bright, loud = flashes_and_clicks(path)
    assert bright == pytest.approx([frame / FPS for frame in frames], abs=0.002)
    assert loud == pytest.approx(bright, abs=0.5 / FPS)  # half a frame


@pytest.mark.parametrize(
    ("source", "codec", "target", "kept"),
    [
        ("a.mp4", "aac", "p.mp4", "aac"),
        ("a.mkv", "libopus", "p.mkv", "opus"),
        ("a.mkv", "flac", "p.mp4", "aac"),
        ("a.mkv", "pcm_s16le", "p.mp4", "aac"),
        ("a.mkv", "pcm_s16le", "p.mov", "pcm_s16le"),
        ("a.ts", "aac", "p.mp4", "aac"),
    ],
)
def test_sound_is_kept_where_it_was(tmp_path: Path, source: str, codec: str, target: str, kept: str) -> None:
    made = previewed(write_source(tmp_path / source, codec), tmp_path / target)
    assert codec_of_sound(made) == kept
    assert_in_sync(made, FLASHES)


def test_packets_are_copied_where_the_container_holds_them(tmp_path: Path) -> None:
    """The same bytes: nothing is encoded a second time."""

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    source = write_source(tmp_path / "a.mp4")
    copied = packets(previewed(source, tmp_path / "p.mp4"))
    assert len(copied) > 150 and set(copied) <= set(packets(source))


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_a_range_has_its_own_sound(tmp_path: Path, codec: str) -> None:
    source = write_source(tmp_path / "a.mkv", codec)
    made = previewed(source, tmp_path / "p.mp4", 50, 90)
    assert_in_sync(made, (5, 30))
    with av.open(str(made)) as container:
        length = sum(sound.samples for sound in container.decode(audio=0)) / RATE
    assert length == pytest.approx(40 / FPS, abs=0.06)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
@pytest.mark.parametrize(("late_s", "early_s"), [(0.7, 0.0), (0.0, 0.6)])
def test_sound_that_begins_at_another_time_stays_there(
    tmp_path: Path, codec: str, late_s: float, early_s: float
) -> None:
    source = write_source(tmp_path / "a.mkv", codec, late_s, early_s)
    assert_in_sync(previewed(source, tmp_path / "p.mp4"), FLASHES)


def test_without_sound_there_is_none(tmp_path: Path) -> None:
    source = write_source(tmp_path / "a.mkv")
    silent = tmp_path / "silent.mkv"
    with av.open(str(source)) as read, av.open(str(silent), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.size:
                packet.stream = stream
                written.mux(packet)
    for path, settings in ((silent, SMALL), (source, PreviewSettings(height=240, sound=False))):
        write_parquet(table_of(path), tmp_path / "t.parquet")
        preview(tmp_path / "t.parquet", path, tmp_path / "p.mp4", settings=settings)
        with av.open(str(tmp_path / "p.mp4")) as container:
            assert [stream.type for stream in container.streams] == ["video"]


def test_damaged_sound_spoils_no_picture(tmp_path: Path) -> None:
    """Sound packets of noise: the picture is whole, the sound is what decodes."""
    source = write_source(tmp_path / "a.mkv", "flac")
    broken = tmp_path / "broken.mkv"
    with av.open(str(source)) as read, av.open(str(broken), "w") as written:
        streams = {stream.index: written.add_stream_from_template(stream) for stream in read.streams}
        noise = np.random.default_rng(0)
        for packet in read.demux():
            if not packet.size:
                continue
            made = packet
            if packet.stream.type == "audio" and packet.pts * packet.time_base > 2:
                made = av.Packet(noise.bytes(packet.size))
                made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
            made.stream = streams[packet.stream.index]
            written.mux(made)
    bright, loud = flashes_and_clicks(previewed(broken, tmp_path / "p.mp4"))
    assert bright == pytest.approx([frame / FPS for frame in FLASHES], abs=0.002)
    assert loud[0] == pytest.approx(bright[0], abs=0.5 / FPS)
