"""Decoding real files: times, order, orientation, pixels, ranges, damage."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from facecap_batch.capturing.clip_info import clip_info
from facecap_batch.clip import Clip
from facecap_batch.errors import BadVideo
from facecap_batch.video.decoder import Video, decode, probe
from facecap_batch.video.frame import Frame
from facecap_batch.video.orientation import Orientation
from facecap_batch.video.scaling import FrameScalers
from tests.support import videos
from tests.support.videos import number_of, numbers, picture, write_video

B_FRAMES = {"bf": "3", "b_strategy": "0", "g": "24", "x264-params": "scenecut=0"}
MILLISECONDS = Fraction(1, 1000)
VARYING = np.cumsum(np.random.default_rng(1).choice([17, 33, 33, 40, 120], 90)).tolist()


def make(kind: str, folder: Path) -> Path:
    """One file of a kind that has bitten somebody."""
    if kind == "constant":
        return write_video(folder / "constant.mp4", 90)
    if kind == "ntsc":
        return write_video(folder / "ntsc.mp4", 90, fps=Fraction(24000, 1001))
    if kind == "variable":
        return write_video(folder / "variable.mp4", 90, pts=VARYING, time_base=MILLISECONDS)
    if kind == "variable matroska":
        return write_video(folder / "variable.mkv", 90, pts=VARYING, time_base=MILLISECONDS)
    if kind == "b-frames":
        return write_video(folder / "b.mp4", 90, options=B_FRAMES)
    if kind == "transport stream":
        return write_video(folder / "b.ts", 90, options=B_FRAMES)
    if kind == "starts late":
        late = write_video(folder / "late.mp4", 90, pts=[k + 40 for k in range(90)], options=B_FRAMES)
        return late
    path = write_video(folder / "edited.mp4", 90, options=B_FRAMES)
    with av.open(str(path)) as container:
        step = round(1 / (30 * container.streams.video[0].time_base))
    videos.trim(path, 20 * step)
    return path


KINDS = {
    "constant": range(90),
    "ntsc": range(90),
    "variable": range(90),
    "variable matroska": range(90),
    "b-frames": range(90),
    "transport stream": range(90),
    "starts late": range(90),
    "edit list": range(20, 90),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", [1, 3])
def test_every_frame_once_in_order_at_the_containers_pts(kind: str, threads: int, tmp_path: Path) -> None:
    path = make(kind, tmp_path)
    frames = list(decode(path, thread_count=threads))
    assert [frame.index for frame in frames] == list(range(len(KINDS[kind])))
    assert [number_of(frame.rgb()) for frame in frames] == list(KINDS[kind])
    assert [frame.pts for frame in frames] == videos.container_pts(path)


def test_variable_times_survive_to_the_millisecond(tmp_path: Path) -> None:
    path = make("variable matroska", tmp_path)
    info = probe(path)
    times = [frame.pts * info.time_base for frame in decode(path)]
    assert [time - times[0] for time in times] == [Fraction(pts - VARYING[0], 1000) for pts in VARYING]


@pytest.mark.parametrize(
    ("kind", "varies"), [("constant", False), ("ntsc", False), ("b-frames", False), ("variable", True)]
)
def test_variable_rate_is_distinguished_from_rounding(kind: str, varies: bool, tmp_path: Path) -> None:
    path = make(kind, tmp_path)
    pts = np.array([frame.pts for frame in decode(path)], np.int64)
    info = clip_info(Clip("clip", str(path)), probe(path), pts)
    assert info.variable_rate is varies
    if kind == "ntsc":
        assert info.fps == Fraction(24000, 1001)


@pytest.mark.parametrize("kind", ["constant", "variable", "b-frames", "edit list", "variable matroska"])
def test_a_range_holds_exactly_the_frames_inside_it(kind: str, tmp_path: Path) -> None:
    path = make(kind, tmp_path)
    base = probe(path).time_base
    whole = [frame.pts for frame in decode(path)]
    edges = [None, whole[7] * base, whole[7] * base + base / 2, whole[40] * base, whole[63] * base]
    for start in edges:
        for end in edges[1:]:
            if start is not None and end is not None and end <= start:
                continue
            got = [(frame.index, frame.pts) for frame in decode(path, start, end)]
            expected = [
                pts
                for pts in whole
                if (start is None or pts * base >= start) and (end is None or pts * base < end)
            ]
            assert got == list(enumerate(expected))


def test_ranges_of_a_transport_stream_count_from_its_first_timestamp(tmp_path: Path) -> None:
    path = make("transport stream", tmp_path)
    assert numbers(path, start=Fraction(1), end=Fraction(2)) == list(range(30, 60))


def test_a_range_without_a_frame_is_named(tmp_path: Path) -> None:
    path = make("constant", tmp_path)
    with pytest.raises(BadVideo, match=r"no frame between 50\.000 s and 60\.000 s"):
        Video(path, Fraction(50), Fraction(60))


# --- orientation --------------------


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_display_rotation_makes_the_picture_upright(rotation: int, tmp_path: Path) -> None:
    coded = [np.ascontiguousarray(np.rot90(picture(k), -rotation // 90)) for k in range(5)]
    path = write_video(tmp_path / "phone.mp4", coded, rotation=rotation)
    info = probe(path)
    assert info.orientation == Orientation(rotation)
    assert (info.width, info.height) == (videos.WIDTH, videos.HEIGHT)
    for frame in decode(path):
        image = frame.rgb()
        assert image.shape == (videos.HEIGHT, videos.WIDTH, 3)
        assert videos.upright(image) and number_of(image) == frame.index
    # Another reader of display matrices agrees.
    reader = cv2.VideoCapture(str(path))
    assert reader.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    _, other = reader.read()
    reader.release()
    assert videos.upright(other[..., ::-1])


def test_a_phones_portrait_matrix_turns_clockwise() -> None:
    """The matrix of an iPhone held upright: x' = -y, y' = x (ISO 14496-12)."""
    one = 1 << 16
    matrix = np.array([0, one, 0, -one, 0, 0, 1080 * one, 0, 1 << 30], np.int64).astype(np.int32)
    assert Orientation.from_display_matrix(matrix) == Orientation(270)


def test_a_mirrored_video_is_mirrored_back(tmp_path: Path) -> None:
    path = write_video(tmp_path / "selfie.mp4", [picture(k)[:, ::-1].copy() for k in range(5)])
    videos.set_matrix(path, -1, 0, 0, 1)
    assert numbers(path) == list(range(5))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_rectangles_follow_the_image(rotation: int, mirrored: bool) -> None:
    orientation = Orientation(rotation, mirrored)
    coded = np.arange(6 * 4).reshape(4, 6)
    shown = orientation.apply(coded)
    assert orientation.size(6, 4) == shown.shape[::-1]
    for y in range(shown.shape[0]):
        for x in range(shown.shape[1]):
            box = orientation.to_coded((x, y, x + 1, y + 1), 6, 4)
            assert coded[int(box[1]), int(box[0])] == shown[y, x]
            assert orientation.to_upright(box, 6, 4) == (x, y, x + 1, y + 1)


# --- pixels --------------------

# Where it may reorder two pictures, x265 now and then has the first decoded after it is shown.
CAREFUL = {"libx264": {"crf": "10"}, "libx265": {"crf": "10", "x265-params": "bframes=0"}}


@pytest.mark.parametrize(
    ("codec", "pixel_format", "width", "height"),
    [
        ("libx264", "yuv420p10le", 128, 96),
        ("libx264", "yuv444p", 127, 95),
        ("libx264", "yuvj420p", 128, 96),
        ("libx265", "yuv420p10le", 128, 96),
        ("ffv1", "yuv420p", 127, 95),
        ("ffv1", "gray", 128, 96),
        ("ffv1", "gray16le", 127, 95),
        ("ffv1", "yuva420p", 128, 96),
        ("ffv1", "bgr0", 127, 95),
        ("ffv1", "yuv411p", 126, 95),
        ("mjpeg", "yuvj422p", 128, 96),
        ("png", "rgba", 127, 95),
        ("rawvideo", "yuyv422", 128, 96),
    ],
)
def test_any_pixel_format_shows_the_same_picture(
    codec: str, pixel_format: str, width: int, height: int, tmp_path: Path
) -> None:
    path = write_video(
        tmp_path / ("clip.mov" if codec == "png" else "clip.mkv"),
        [picture(k, width, height) for k in (5, 170)],
        codec=codec,
        pixel_format=pixel_format,
        options=CAREFUL.get(codec, {}),
    )
    first, second = decode(path)
    assert (number_of(first.rgb()), number_of(second.rgb())) == (5, 170)
    if "gray" not in pixel_format:
        assert videos.upright(first.rgb())
    error = np.abs(second.rgb().astype(int) - picture(170, width, height)).mean(axis=2)
    if "gray" not in pixel_format:
        assert np.median(error) < 6  # full against limited range would be off by 16 and more
    small, scale = second.small(64)
    assert max(small.shape[:2]) == 64 and scale == 64 / width and number_of(small) == 170


@pytest.mark.parametrize(
    ("aspect", "rotation", "size"),
    [
        (Fraction(4, 3), 0, (128, 64)),
        (Fraction(1, 2), 0, (96, 128)),
        (Fraction(4, 3), 90, (64, 128)),
        (Fraction(101, 100), 0, (96, 64)),
        (Fraction(9), 0, (96, 64)),
    ],
)
def test_pixels_that_are_not_square_become_square(
    tmp_path: Path, aspect: Fraction, rotation: int, size: tuple[int, int]
) -> None:
    """Anamorphic pictures are stretched; what is as good as square, or beyond belief, stays."""
    frames = [picture(number, 96, 64) for number in (5, 170)]
    path = write_video(tmp_path / "a.mp4", frames, pixel_aspect=aspect, rotation=rotation)
    with Video(path) as video:
        assert (video.info.width, video.info.height) == size
        first, second = video.frames()
        assert not video.notes
    assert (first.width, first.height) == (second.width, second.height) == size
    assert first.rgb().shape == (size[1], size[0], 3)
    if not rotation:
        assert (number_of(first.rgb()), number_of(second.rgb())) == (5, 170) and videos.upright(first.rgb())
    assert first.small(64)[0].shape[:2] == (round(64 * size[1] / max(size)), round(64 * size[0] / max(size)))


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "nv12", "yuv420p10le", "yuyv422", "gray", "rgb24", "pal8"]
)
@pytest.mark.parametrize("orientation", [Orientation(), Orientation(90), Orientation(180, True)])
@pytest.mark.parametrize("side", [30.0, 63.7, 110.0, 260.0])
def test_a_crop_is_the_square_it_says_it_is(pixel_format: str, orientation: Orientation, side: float) -> None:
    """Against cutting the whole converted picture, inside, over the edge and larger than the picture."""
    across, down = np.meshgrid(np.arange(160), np.arange(120))
    image = np.stack([across + 40, down + 90, (across + down) // 2 + 60], axis=2).astype(np.uint8)
    coded = av.VideoFrame.from_ndarray(image, format="rgb24")
    if pixel_format == "pal8":  # swscale writes no palettes
        coded = av.VideoFrame.from_ndarray(image[..., 0].copy(), format="gray").reformat(format="rgb8")
    else:
        coded = coded.reformat(format=pixel_format)
    frame = Frame(0, 0, coded, orientation, FrameScalers())
    whole = cv2.copyMakeBorder(frame.rgb(), 300, 300, 300, 300, cv2.BORDER_REPLICATE)
    for center in ((80.3, 55.1), (4.0, 100.0), (frame.width - 3.2, 2.7)):
        crop = frame.crop(*center, side, 64)
        assert crop.image.shape == (64, 64, 3) and crop.image.dtype == np.uint8
        # The square lies on whole chroma samples only where it shrinks: within two pixels of what was asked.
        assert abs(crop.side - side) <= 2
        assert abs(crop.x0 + crop.side / 2 - center[0]) <= 2.1
        assert abs(crop.y0 + crop.side / 2 - center[1]) <= 2.1
        step = crop.side / 64
        matrix = np.array(
            [[step, 0, crop.x0 + 300 + step / 2 - 0.5], [0, step, crop.y0 + 300 + step / 2 - 0.5]]
        )
        expected = cv2.warpAffine(whole, matrix, (64, 64), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        difference = np.abs(crop.image.astype(int) - expected)
        assert np.median(difference) <= (8 if pixel_format == "pal8" else 2)


@pytest.mark.parametrize("size", [1, 16])
def test_tiny_videos_decode(size: int, tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "tiny.mkv", [np.full((size, size, 3), 90, np.uint8)] * 3, codec="ffv1", pixel_format="bgr0"
    )
    for frame in decode(path):
        assert frame.rgb().shape == (size, size, 3)
        assert frame.small(320)[0].shape == (320, 320, 3)
        assert frame.crop(0.5, 0.5, 1.0, 192).image.shape == (192, 192, 3)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux lists them")
@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(4, 3)], ids=["square", "anamorphic"])
def test_a_decoder_with_one_thread_runs_on_that_thread(aspect: Fraction, tmp_path: Path) -> None:
    """swscale starts a thread per CPU unless told otherwise: with a worker per CPU, their square."""
    path = write_video(
        tmp_path / "clip.mp4", [picture(number, 720, 576) for number in range(3)], pixel_aspect=aspect
    )
    before = set(Path("/proc/self/task").iterdir())  # threads of earlier tests may still end
    with Video(path, thread_count=1) as video:
        for frame in video.frames():
            frame.rgb()
            frame.small(320)
            frame.crop(200, 200, 300, 192)
            frame.crop(200, 200, 100, 192)
            assert set(Path("/proc/self/task").iterdir()) <= before


@pytest.mark.footage
def test_real_clips_decode_to_what_their_containers_say(footage: Callable[[str], Path]) -> None:
    for name in ("single_face.mp4", "no_face.mp4", "face_noface.mov", "grid_swiz3n.mpg", "intel_asl_no.mkv"):
        path = footage(name)
        assert [frame.pts for frame in decode(path)] == videos.container_pts(path)
