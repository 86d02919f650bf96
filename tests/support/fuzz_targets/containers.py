"""Videos and images of every container that tests can write, given to the reader as a worker does it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from facecap_batch.capturing.segments.cut_points import may_be_long, packet_times
from facecap_batch.clip import Clip
from facecap_batch.video.decoder import Video
from tests.support.fuzz_targets.target import SECRET, Target
from tests.support.fuzzing import BYTES
from tests.support.videos import picture, write_video

FRAMES = 8
WIDTH, HEIGHT = 64, 48  # pixels
SEEK_TO_S = Fraction(1, 8)  # inside a clip of FRAMES frames
FAST = {"preset": "ultrafast", "g": "4"}
# Name of the file: codec, pixel format, options of the codec, options of the container.
KINDS: dict[str, tuple[str, str, dict[str, str], dict[str, str]]] = {
    "h264.mp4": ("libx264", "yuv420p", FAST, {}),
    "fragments.mp4": ("libx264", "yuv420p", FAST, {"movflags": "frag_keyframe+empty_moov"}),
    "hevc.mp4": ("libx265", "yuv420p", {"preset": "ultrafast", "x265-params": "log-level=none"}, {}),
    "mjpeg.mov": ("mjpeg", "yuvj420p", {}, {}),
    "prores.mov": ("prores_ks", "yuv422p10le", {}, {}),
    "mpeg4.3gp": ("mpeg4", "yuv420p", {}, {}),
    "h264.mkv": ("libx264", "yuv420p", FAST, {}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8"}, {}),
    "vp8.ivf": ("libvpx", "yuv420p", {"deadline": "realtime", "cpu-used": "8"}, {}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {}, {}),
    "ffv1.avi": ("ffv1", "yuv420p", {}, {}),
    "h264.ts": ("libx264", "yuv420p", FAST, {}),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", {}, {}),
    "mpeg2.mxf": ("mpeg2video", "yuv420p", {}, {}),
    "h264.flv": ("libx264", "yuv420p", FAST, {}),
    "wmv2.wmv": ("wmv2", "yuv420p", {}, {}),
    "mpeg4.nut": ("mpeg4", "yuv420p", {}, {}),
    "h264.h264": ("libx264", "yuv420p", FAST, {}),
    "raw.y4m": ("wrapped_avframe", "yuv420p", {}, {}),
    "gif.gif": ("gif", "rgb8", {}, {}),
    "png.apng": ("apng", "rgb24", {}, {}),
}
IMAGES = {"png.png": ("png", "rgb24"), "jpeg.jpg": ("mjpeg", "yuvj420p"), "tiff.tiff": ("tiff", "rgb24")}


LISTS = (
    "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n",
    "ffconcat version 1.0\nfile {}\n",
)


def inputs(folder: Path) -> list[bytes]:
    """One of each kind that this FFmpeg can write, and playlists that lead to a video in `SECRET`."""
    small = [picture(number, WIDTH, HEIGHT) for number in range(FRAMES)]
    paths = [
        write_video(
            folder / name, small, codec=codec, pixel_format=pixels, options=options, container_options=own
        )
        for name, (codec, pixels, options, own) in KINDS.items()
        if codec in av.codecs_available
    ]
    paths += [
        write_video(
            folder / name, small[:1], codec=codec, pixel_format=pixels, container_options={"update": "1"}
        )
        for name, (codec, pixels) in IMAGES.items()
    ]
    made = [path.read_bytes() for path in paths]
    secret = folder / SECRET / "secret.ts"
    secret.write_bytes((folder / "h264.ts").read_bytes())
    for path in paths:
        path.unlink()
    return [*made, *(text.format(secret).encode() for text in LISTS)]


def take(path: Path) -> None:
    """Plan, list and decode it, whole and from a time in its middle. Raises BadVideo."""
    clip = Clip("clip", str(path))
    may_be_long(clip, 1.0)
    packet_times(clip)
    for start in (None, SEEK_TO_S):
        with Video(path, start, damage="keep", thread_count=1) as video:
            for frame in video.frames():
                frame.small(32)


TARGET = Target(inputs, take, BYTES, (".mp4", ".mkv", ".avi", ".png", ".bin"))
