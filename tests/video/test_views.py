"""Pictures whose size, shape, orientation or pixels change on the way, and palettes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from facecap_batch.video.decoder import Video, decode
from tests.support import videos
from tests.support.videos import joined, number_of, picture, write_video


def test_a_picture_that_changes_size_keeps_the_first_ones(tmp_path: Path) -> None:
    path = joined(
        tmp_path / "two.ts",
        *(
            write_video(tmp_path / f"{k}.ts", [picture(3, *size)] * 5, codec="mpeg2video")
            for k, size in enumerate([(128, 96), (192, 144)])
        ),
    )
    with Video(path) as video:
        shapes = {frame.rgb().shape for frame in video.frames()}
        assert shapes == {(96, 128, 3)}
        assert any("changes size" in note for note in video.notes)


def test_a_picture_that_changes_its_shape_keeps_its_own(tmp_path: Path) -> None:
    """As a call writes it in which a phone is turned, and turned back at a lower resolution."""
    sizes = [(128, 96), (96, 128), (64, 48)]
    path = joined(
        tmp_path / "turned.ts",
        *(
            write_video(tmp_path / f"{k}.ts", [picture(k + 5, *size)] * 5, options={"bf": "0"})
            for k, size in enumerate(sizes)
        ),
    )
    with Video(path) as video:
        frames = list(video.frames())
        assert [(frame.width, frame.height) for frame in frames] == [(128, 96)] * 5 + [(96, 128)] * 5 + [
            (128, 96)
        ] * 5
        assert [number_of(frame.rgb()) for frame in frames] == [5] * 5 + [6] * 5 + [7] * 5
        assert all(videos.upright(frame.rgb()) for frame in frames)
        assert any("changes its shape to 96x128" in note for note in video.notes) and not video.steady
        assert (video.info.width, video.info.height) == (128, 96)


@pytest.mark.parametrize("start", [None, Fraction(1, 2)], ids=["whole", "range"])
def test_an_orientation_that_changes_in_the_stream(start: Fraction | None, tmp_path: Path) -> None:
    """A phone on its side announces it with each keyframe, and takes it back with another."""
    sideways = [np.ascontiguousarray(np.rot90(picture(10 + k), -1)) for k in range(10)]
    frames = [[picture(k) for k in range(10)], sideways, [picture(20 + k) for k in range(10)]]
    parts = [
        write_video(
            tmp_path / f"{number}.ts", shown, pts=[10 * number + k for k in range(10)], options={"bf": "0"}
        )
        for number, shown in enumerate(frames)
    ]
    parts[1] = videos.announce_rotation(parts[1], tmp_path / "turned.ts", 90)
    path = joined(tmp_path / "all.ts", *parts)
    with Video(path, start) as video:
        decoded = list(video.frames())
        first = 0 if start is None else 15
        assert [number_of(frame.rgb()) for frame in decoded] == list(range(first, 30))
        assert all(videos.upright(frame.rgb()) for frame in decoded)
        assert {(frame.width, frame.height) for frame in decoded} == {(128, 96)}
        assert sum("changes its shape" in note for note in video.notes) == 1 and not video.steady


def test_pixels_that_change_their_aspect(tmp_path: Path) -> None:
    """A broadcast that goes from 4:3 to 16:9 keeps the size of its coded picture."""
    path = joined(
        tmp_path / "wide.ts",
        *(
            write_video(
                tmp_path / f"{k}.ts", [picture(9, 96, 72)] * 6, codec="mpeg2video", pixel_aspect=aspect
            )
            for k, aspect in enumerate([Fraction(1), Fraction(4, 3)])
        ),
    )
    sizes = [(frame.width, frame.height) for frame in decode(path)]
    assert sizes == [(96, 72)] * 6 + [(128, 72)] * 6


@pytest.mark.parametrize("pixel_format", ["pal8", "rgb24"])
def test_a_palette_with_pixels_that_are_not_square(pixel_format: str, tmp_path: Path) -> None:
    image = av.VideoFrame.from_ndarray(picture(170, 96, 64), format="rgb24")
    path = tmp_path / "palette.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixel_format
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        for _ in range(3):
            frame = image.reformat(format="rgb24")
            if pixel_format == "pal8":
                frame = av.VideoFrame.from_ndarray(
                    (np.full((64, 96), 1, np.uint8), _palette(200, 100, 50)),  # type: ignore[arg-type]
                    format="pal8",
                )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames = list(decode(path))
    assert [(frame.width, frame.height) for frame in frames] == [(192, 64)] * 3
    if pixel_format == "pal8":
        assert np.abs(frames[0].rgb().astype(int) - (200, 100, 50)).max() <= 2
    else:
        assert number_of(frames[0].rgb()) == 170


def _palette(red: int, green: int, blue: int) -> np.ndarray:
    """uint8 [256, 4] ARGB: that colour for every index."""
    return np.tile(np.array([255, red, green, blue], np.uint8), (256, 1))


# --- bad input --------------------
