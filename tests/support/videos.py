"""Real video files for tests, made on the spot: every frame tells its own number.

`picture` paints a frame whose number `number_of` reads back, whatever codec lies in between. `write_video`
encodes frames with any codec, rate, timestamps and pixel format; `rotate`, `trim`, `truncate` and
`flip_bytes` change a written file the way cameras, editors and broken disks do.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

from facecap_batch.video.decoder import decode

BITS = 8
WIDTH, HEIGHT = 128, 96


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """uint8 [height, width, 3]: `number` (0..255) as eight stripes, red at the top, blue at the bottom."""
    image = np.zeros((height, width, 3), np.uint8)
    edges = np.linspace(0, width, BITS + 1).round().astype(int)
    for bit in range(BITS):
        image[:, edges[bit] : edges[bit + 1], :] = 200 if number >> bit & 1 else 40
    image[: height // 4] = (200, 30, 30)
    image[height - height // 4 :] = (30, 30, 200)
    return image


def number_of(image: np.ndarray) -> int:
    """The number painted by `picture` into an upright image."""
    height, width = image.shape[:2]
    edges = np.linspace(0, width, BITS + 1)
    middle = image[height * 3 // 8 : height * 5 // 8].mean(axis=(0, 2))
    centers = ((edges[:-1] + edges[1:]) / 2).astype(int)
    return sum(1 << bit for bit in range(BITS) if middle[centers[bit]] > 120)


def upright(image: np.ndarray) -> bool:
    """True where the red stripe of `picture` is at the top and the blue one at the bottom."""
    top, bottom = image[: image.shape[0] // 8].mean((0, 1)), image[-image.shape[0] // 8 :].mean((0, 1))
    return bool(top[0] > top[2] + 60 and bottom[2] > bottom[0] + 60)


def write_video(
    path: Path,
    frames: Iterable[np.ndarray] | int = 30,
    fps: Fraction | int = 30,
    codec: str = "libx264",
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    pixel_format: str = "yuv420p",
    rotation: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    audio_seconds: float = 0.0,
    pixel_aspect: Fraction | int = 1,
) -> Path:
    """Encode `frames` (uint8 [H, W, 3] RGB each, or how many of `picture`) to `path`.

    `pts` in units of `time_base` (default one unit per frame at `fps`); `rotation` in degrees
    counterclockwise that a player must turn the picture by (mp4 and mov only); `pixel_aspect` is the width
    of a pixel over its height.
    """
    if isinstance(frames, int):
        frames = [picture(number) for number in range(frames)]
    fps = Fraction(fps)
    time_base = time_base or 1 / fps
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = time_base
        stream.codec_context.sample_aspect_ratio = Fraction(pixel_aspect)
        sound = container.add_stream("aac", rate=44100) if audio_seconds else None
        for index, image in enumerate(frames):
            if index == 0:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = int(pts[index] if pts is not None else index), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            container.mux([packet for frame in _silence(audio_seconds) for packet in sound.encode(frame)])
            container.mux(sound.encode(None))
    if rotation:
        rotate(path, rotation)
    return path


def write_audio(path: Path, seconds: float = 0.5) -> Path:
    """A file that holds sound and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        for frame in _silence(seconds):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_no_frames(path: Path) -> Path:
    """A file that promises a video stream and holds no frame of it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path


def rotate(path: Path, degrees: int) -> None:
    """Rewrite the display matrix of an mp4 or mov (ISO 14496-12, tkhd): players turn counterclockwise."""
    a, b, c, d = {0: (1, 0, 0, 1), 90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}[degrees]
    set_matrix(path, a, b, c, d)


def set_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Set x' = a x + c y, y' = b x + d y as the display matrix of the first track."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # version 0: 24 bytes of times and identity, 16 of layer and volume
    one, w = 1 << 16, 1 << 30
    data[place : place + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, w)
    path.write_bytes(data)


def trim(path: Path, units: int) -> None:
    """Make the edit list of an mp4 begin `units` of the media's time later, as an editor's trim does."""
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 4
    version, count = data[place], struct.unpack(">I", data[place + 4 : place + 8])[0]
    assert version == 0 and count == 1, "the muxer wrote another kind of edit list"
    duration, media_time = struct.unpack(">Ii", data[place + 8 : place + 16])
    data[place + 8 : place + 16] = struct.pack(">Ii", duration, media_time + units)
    path.write_bytes(data)


def remux(source: Path, target: Path, change: Callable[[int, av.Packet], object]) -> Path:
    """Copy the video packets of a file into another container; `change` may alter each, by its number."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = read.streams.video[0]
        copy = written.add_stream_from_template(stream)
        packets = (packet for packet in read.demux(stream) if packet.size)
        for number, packet in enumerate(packets):
            change(number, packet)
            packet.stream = copy
            written.mux(packet)
    return target


def empty_sample(path: Path, number: int) -> None:
    """Set the size of one sample of a mov to 0, in its table of sizes (ISO 14496-12, stsz)."""
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    table = data.index(b"stsz") + 16
    place = table + 4 * number
    assert int.from_bytes(data[place : place + 4], "big") == sizes[number]
    data[place : place + 4] = bytes(4)
    path.write_bytes(data)


def announce_rotation(source: Path, target: Path, degrees: int) -> Path:
    """Copy an H.264 video with messages in its stream that a player must turn it by `degrees`
    counterclockwise."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = read.streams.video[0]
        copy = written.add_stream_from_template(stream)
        messages = f"h264_metadata=display_orientation=insert:rotate={degrees}"
        announced = BitStreamFilterContext(messages, stream)
        for packet in read.demux(stream):
            for filtered in announced.filter(packet if packet.size else None):
                filtered.stream = copy
                written.mux(filtered)
    return target


def joined(target: Path, *parts: Path) -> Path:
    """Files one behind the other, byte by byte, as recorders and `cat` join transport streams."""
    target.write_bytes(b"".join(part.read_bytes() for part in parts))
    return target


def truncate(source: Path, target: Path, share: float = 0.6) -> Path:
    """The first `share` of a file."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def flip_bytes(source: Path, target: Path, at: float = 0.5, count: int = 400) -> Path:
    """A file with `count` bytes inverted from the place `at` (0..1) on."""
    data = bytearray(source.read_bytes())
    begin = int(len(data) * at)
    for place in range(begin, min(begin + count, len(data))):
        data[place] ^= 0xFF
    target.write_bytes(data)
    return target


def container_pts(path: Path) -> list[int]:
    """The pts of every packet that is to be shown, in order of presentation, straight from the demuxer."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        return sorted(packet.pts for packet in packets if not packet.is_discard)


def _silence(seconds: float) -> Iterable[av.AudioFrame]:
    for block in range(int(seconds * 44100 / 1024)):
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts, frame.time_base = 44100, block * 1024, Fraction(1, 44100)
        yield frame


def write_late_sound(path: Path, frames: int) -> Path:
    """An FLV file whose sound begins with the last frame: a stream more than are found on opening it."""
    write_video(path, frames, fps=30)
    body = b"\x3e" + bytes(64)  # PCM (Adobe Flash Video File Format Specification 10.1, E.4)
    at_ms = frames * 1000 // 30
    tag = b"\x08" + len(body).to_bytes(3, "big") + at_ms.to_bytes(3, "big") + bytes(4) + body
    path.write_bytes(path.read_bytes() + tag + len(tag).to_bytes(4, "big"))
    return path


def numbers(path: Path, **arguments: object) -> list[int]:
    """The numbers drawn into the decoded frames of a video, in order; `arguments` go to `decode`."""
    return [number_of(frame.rgb()) for frame in decode(path, **arguments)]  # type: ignore[arg-type]
