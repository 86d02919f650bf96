"""Image sequences: decoded as the video of the same images would be, with what can be wrong about them."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.clip import Clip
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import EngineSet
from facecap_batch.errors import BadVideo
from facecap_batch.output.input_identity import identify
from facecap_batch.runs.planner import expected_seconds
from facecap_batch.storage.image_sequence import ImageSequence, sequence_of, sequences_in
from facecap_batch.video.decoder import Video, decode, probe
from tests.support.long_clips import pictures
from tests.support.videos import HEIGHT, WIDTH, number_of, picture, write_video


def write_images(folder: Path, numbers: list[int], name: str = "s.%04d.png") -> str:
    """An image of each number that shows it; the sequence's name."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        assert cv2.imwrite(str(folder / (name % number)), picture(number)[:, :, ::-1])
    return str(folder / name)


def shown(path: str, **options: object) -> list[tuple[int, int, int]]:
    """(index, pts, number that is seen) of every frame."""
    return [(frame.index, frame.pts, number_of(frame.rgb())) for frame in decode(path, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp", "ppm"])
@pytest.mark.parametrize("threads", [1, 4])
def test_images_are_frames(tmp_path: Path, suffix: str, threads: int) -> None:
    path = write_images(tmp_path, list(range(5, 25)), f"s.%04d.{suffix}") + "@24000:1001"
    assert shown(path, thread_count=threads) == [(n, n, n + 5) for n in range(20)]
    info = probe(path)
    assert (info.width, info.height, info.frames_declared) == (WIDTH, HEIGHT, 20)
    assert (info.fps, info.time_base) == (Fraction(24000, 1001), Fraction(1001, 24000))


def test_pixels_are_those_of_the_images(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    images = [random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(6)]
    for number, image in enumerate(images):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image[:, :, ::-1])
    for frame, image in zip(decode(str(tmp_path / "%d.png")), images, strict=True):
        np.testing.assert_array_equal(frame.rgb(), image)


def test_missing_numbers_are_gaps_in_time(tmp_path: Path) -> None:
    path = write_images(tmp_path, [98, 99, 100, 103, 130], "%d.png") + "@25"
    assert shown(path) == [(0, 0, 98), (1, 1, 99), (2, 2, 100), (3, 5, 103), (4, 32, 130)]
    with Video(path) as video:
        assert len(list(video.frames())) == 5
        assert video.notes == ("no frames for 1.080 s at 0.200 s",)
    assert Clip("a", path).file_name == "%d.png@25"


def test_ranges_begin_and_end_at_images(tmp_path: Path) -> None:
    path = write_images(tmp_path, [*range(1, 60), *range(80, 100)]) + "@10"
    whole = shown(path)
    for start, end in (
        (Fraction(2), Fraction(4)),
        (Fraction(6), None),
        (None, Fraction(3)),
        (Fraction(1, 3), None),
    ):
        wanted = [
            (pts, number)
            for _, pts, number in whole
            if (start is None or pts >= start * 10) and (end is None or pts < end * 10)
        ]
        assert [(pts, number) for _, pts, number in shown(path, start=start, end=end)] == wanted
    with pytest.raises(BadVideo, match="no frame between"):
        shown(path, start=Fraction(60))


def test_names_are_read_and_written() -> None:
    for text in ("/a/s.%04d.png@24", "/a/%d.jpg@25", "/a/x%03d_left.exr@30000:1001"):
        assert str(sequence_of(text)) == text
    assert sequence_of("/a/s.%04d.png") == ImageSequence("/a", "s.", 4, ".png")
    for text in ("/a/100%d.mp4", "/a/s.png", "/a/%s.png", "/a/s.%04d.png@fast", "/a%04d.png/s"):
        assert sequence_of(text) is None
    with pytest.raises(ValueError, match="is not a frame rate"):
        sequence_of("/a/s.%04d.png@1.2.3")
    mixed = [
        "/a/f8.png",
        "/a/f9.png",
        "/a/f10.png",
        "/a/f0009.png",
        "/a/f0010.png",
        "/b/f1.png",
        "/a/v1_x.png",
    ]
    assert {path: str(sequence) for path, sequence in sequences_in(mixed, Fraction(25)).items()} == {
        "/a/f8.png": "/a/f%d.png@25",
        "/a/f9.png": "/a/f%d.png@25",
        "/a/f10.png": "/a/f%d.png@25",
        "/a/f0009.png": "/a/f%04d.png@25",
        "/a/f0010.png": "/a/f%04d.png@25",
    }


def test_images_of_another_padding_do_not_belong(tmp_path: Path) -> None:
    for name in ("s.0001.png", "s.1.png", "s.00002.png", "s.10000.png", "s.x.png", "s.0003.jpg"):
        (tmp_path / name).write_bytes(b"?")
    numbers = {
        name: [file.number for file in ImageSequence(str(tmp_path), "s.", digits, ".png").files()]
        for name, digits in (("four", 4), ("none", 0))
    }
    assert numbers == {"four": [1, 10000], "none": [1, 10000]}


class TestDamage:
    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        return write_images(tmp_path, list(range(10)))

    def test_another_size_is_refused_and_named(self, tmp_path: Path, path: str) -> None:
        cv2.imwrite(str(tmp_path / "s.0006.png"), picture(6, 64, 48))
        with pytest.raises(
            BadVideo, match=r"s\.0006\.png has 64x48 pixels and the images before it have 128x96"
        ):
            shown(path)

    def test_an_image_that_is_none_is_named(self, tmp_path: Path, path: str) -> None:
        (tmp_path / "s.0006.png").write_bytes(b"\x89PNG but no more")
        with pytest.raises(
            BadVideo, match=r"damaged: decoding fails: s\.0006\.png cannot be decoded at 0\.200 s"
        ):
            shown(path)
        kept = shown(path, damage="keep")
        assert [number for _, _, number in kept] == [0, 1, 2, 3, 4, 5, 7, 8, 9]
        assert [pts for _, pts, _ in kept] == [0, 1, 2, 3, 4, 5, 7, 8, 9]

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "s.0000.png is empty; copy it again"),
            (b"text" * 50, "s.0000.png is no image that can be read"),
        ],
    )
    def test_a_first_image_that_is_none(self, tmp_path: Path, path: str, content: bytes, words: str) -> None:
        (tmp_path / "s.0000.png").write_bytes(content)
        with pytest.raises(BadVideo, match=re.escape(words)):
            shown(path)

    def test_no_image_and_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(BadVideo, match="no image of this sequence is there"):
            shown(str(tmp_path / "t.%04d.png"))
        with pytest.raises(BadVideo, match="cannot be listed"):
            shown(str(tmp_path / "gone" / "t.%04d.png"))


def test_a_sequence_is_another_input_when_an_image_changes(tmp_path: Path) -> None:
    clip = Clip("a", write_images(tmp_path, list(range(50))) + "@10")
    before = identify(clip)
    assert identify(clip) == before and expected_seconds(clip, before) == 5.0
    keys = {before.key()}
    os.utime(tmp_path / "s.0007.png", (1, 1))
    keys.add(identify(clip).key())
    (tmp_path / "s.0008.png").unlink()
    keys.add(identify(clip).key())
    keys.add(identify(Clip("a", clip.path.replace("@10", "@12"))).key())
    assert len(keys) == 4
    (tmp_path / "s.0049.png").unlink()
    assert expected_seconds(clip, before) == 5.0  # the folder is not listed a second time
    assert identify(Clip("a", str(tmp_path / "gone.%d.png"))).size == -1


def test_the_rows_of_a_sequence_are_those_of_its_video(random_engines: EngineSet, tmp_path: Path) -> None:
    """FFV1 keeps every pixel: a video of the images and the images give the same table, in segments, too."""
    images = pictures(150)
    for number, image in enumerate(images, 1001):
        cv2.imwrite(str(tmp_path / f"s.{number}.png"), image[:, :, ::-1])
    write_video(tmp_path / "s.mkv", images, codec="ffv1", pixel_format="bgr0")
    cards = (random_engines.detector, random_engines.regressor)
    capture = FaceCapture(*(open_engine(card, "onnxruntime-cpu", threads=1) for card in cards))
    clip = Clip("a", str(tmp_path / "s.%d.png@30"))
    table, video = capture.capture(clip), capture.capture(Clip("a", str(tmp_path / "s.mkv")))
    assert len(table) == 150 and table.face_found.any()
    np.testing.assert_array_equal(table.face_found, video.face_found)
    np.testing.assert_allclose(table.time_s(), video.time_s(), atol=0.001)
    np.testing.assert_allclose(table.coefficients, video.coefficients, atol=1e-4)
    plan = capture.plan_segments(clip, 2.0, "key")
    assert plan is not None and len(plan.segments) > 1
    parts = [capture.capture_segment(clip, plan.only(segment), segment) for segment in plan.segments]
    (joined,) = capture.join(clip, plan, iter(parts))
    np.testing.assert_array_equal(joined.coefficients, table.coefficients)
    np.testing.assert_array_equal(joined.pts, table.pts)
