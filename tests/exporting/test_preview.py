"""Previews of real videos: each frame gets its own row, in a video, on a sheet, in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from facecap_batch.coefficients import ClipInfo, CoefficientTable, write_parquet, write_tracks
from facecap_batch.exporting import preview as preview_module
from facecap_batch.exporting.overlay import annotate
from facecap_batch.exporting.preview import BadPreview, matched_frames, preview
from facecap_batch.storage.temporary import PREFIX
from facecap_batch.video.decoder import Video, decode, probe
from facecap_batch.video.frame import Frame
from tests.support.videos import number_of, write_video

WIDTH, HEIGHT, FRAMES = 160, 96, 24
TIME_BASE = Fraction(1, 1000)
# A rate that varies: 40 ms, then 20 ms, then 80 ms a frame.
PTS = np.concatenate([np.arange(8) * 40, 320 + np.arange(8) * 20, 480 + np.arange(8) * 80])


def grey_of(index: int) -> int:
    return 30 + 8 * index


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A variable-rate video whose frames tell their number by their brightness."""
    path = tmp_path_factory.mktemp("video") / "grey – ü.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = TIME_BASE
        for index in range(FRAMES):
            image = np.full((HEIGHT, WIDTH, 3), grey_of(index), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = int(PTS[index]), TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def table(rows: slice = slice(0, FRAMES), lost: tuple[int, ...] = ()) -> CoefficientTable:
    count = len(PTS[rows])
    found = np.array([number not in lost for number in range(count)], bool)
    made = CoefficientTable(
        info=ClipInfo("grey", "grey.mkv", WIDTH, HEIGHT, Fraction(25), TIME_BASE, 0, True),
        frame_index=np.arange(count, dtype=np.int32),
        pts=PTS[rows].astype(np.int64),
        face_found=found,
        score=np.full(count, 0.9, np.float32),
        box=np.tile(np.float32([60, 30, 110, 80]), (count, 1)),
        coefficients=np.full((count, 51), 0.5, np.float32),
        head=np.tile(np.float32([0.2, 0.1, 0, 0, 0, -60]), (count, 1)),
    )
    for values in (made.score, made.box, made.coefficients, made.head):
        values[~found] = np.nan
    return made


def written(tmp_path: Path, made: CoefficientTable, name: str = "table.parquet") -> Path:
    write_parquet(made, tmp_path / name)
    return tmp_path / name


def corner(image: np.ndarray) -> float:
    """Brightness where nothing is drawn: near the lower left corner of the frame."""
    height = image.shape[0]
    return float(image[-height // 8 : -height // 16, height // 16 : height // 8].mean())


def test_video_has_every_frame_at_its_own_time(video: Path, tmp_path: Path):
    seen: list[int] = []
    output = tmp_path / "p.mp4"
    assert (
        preview(written(tmp_path, table(lost=(5,))), video, output, height=192, progress=seen.append)
        == FRAMES
    )
    assert seen == list(range(1, FRAMES + 1))
    with av.open(str(output)) as container:
        frames = list(container.decode(video=0))
    assert [round(1000 * frame.time) for frame in frames] == PTS.tolist()
    for index, frame in enumerate(frames):
        image = frame.to_ndarray(format="rgb24")
        assert image.shape[0] == 192 and image.shape[1] > 320
        assert abs(corner(image) - grey_of(index)) < 4
    red = frames[5].to_ndarray(format="rgb24")[-2:, 100:200].reshape(-1, 3).mean(axis=0)
    assert red[0] > red[1] + 60


def test_landmarks_are_drawn_where_they_are() -> None:
    plain = table(lost=(5,))
    points = np.full((FRAMES, 2, 2), np.nan, np.float32)
    points[:, 0] = 20, 60  # outside of the box
    points[3, 1] = -7, 4000
    made = plain.replace(landmarks=points)
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    drawn = annotate(image, made, 3, 2 * HEIGHT).astype(int)
    changed = np.abs(drawn - annotate(image, plain, 3, 2 * HEIGHT)).max(axis=2)
    y, x = np.nonzero(changed > 20)
    assert len(x) and abs(x.mean() - 40) < 2 and abs(y.mean() - 120) < 2
    assert drawn[120, 40, 1] > drawn[120, 40, 0] + 60  # green: seen


def test_range_meets_its_own_frames(video: Path, tmp_path: Path):
    output = tmp_path / "frames"
    assert preview(written(tmp_path, table(slice(9, 20))), video, output, every=5, height=192) == 3
    names = sorted(file.name for file in output.iterdir())
    assert names == ["000000.jpg", "000005.jpg", "000010.jpg"]
    for name, index in zip(names, (9, 14, 19), strict=True):
        assert abs(corner(cv2.imread(str(output / name))) - grey_of(index)) < 4


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_late_range_is_entered_by_a_seek(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / f"long{suffix}", 200, options={"g": "20", "preset": "ultrafast"})
    frames = [(frame.pts, number_of(frame.rgb())) for frame in decode(path)]
    late = frames[150:160]
    info = probe(path)
    made = CoefficientTable(
        info=ClipInfo("long", path.name, info.width, info.height, info.fps, info.time_base, 0, False),
        frame_index=np.arange(10, dtype=np.int32),
        pts=np.array([pts for pts, _ in late], np.int64),
        face_found=np.zeros(10, bool),
        score=np.full(10, np.nan, np.float32),
        box=np.full((10, 4), np.nan, np.float32),
        coefficients=np.full((10, 51), np.nan, np.float32),
        head=np.full((10, 6), np.nan, np.float32),
    )
    delivered: list[int] = []

    class CountingVideo(Video):
        def frames(self) -> Iterator[Frame]:
            for frame in super().frames():
                delivered.append(frame.pts)
                yield frame

    monkeypatch.setattr(preview_module, "Video", CountingVideo)
    seen = [(row, number_of(image)) for row, image in matched_frames(path, made, range(10))]
    assert seen == [(row, number) for row, (_, number) in enumerate(late)]
    assert delivered == [pts for pts, _ in late]  # and not the 150 frames before them


def test_sheet_spreads_frames_and_marks_lost_ones(video: Path, tmp_path: Path):
    output = tmp_path / "sheet.png"
    assert preview(written(tmp_path, table(lost=tuple(range(12)))), video, output, sheet_frames=8) == 8
    sheet = cv2.imread(str(output))[:, :, ::-1]
    cell = 450
    assert sheet.shape == (2 * 270, 4 * cell, 3)
    assert sheet[269, 200, 0] > 200 and sheet[269, 200, 1] < 120
    assert abs(int(sheet[539, 200, 0]) - int(sheet[539, 200, 1])) < 10


def test_raw_values_are_marked(video: Path, tmp_path: Path):
    final, raw = table(), table()
    raw.coefficients[:] = 0.9
    final_path, raw_path = written(tmp_path, final), written(tmp_path, raw, "raw.parquet")
    preview(final_path, video, tmp_path / "a", height=540, every=24)
    preview(final_path, video, tmp_path / "b", height=540, every=24, raw_path=raw_path)
    a, b = (cv2.imread(str(tmp_path / name / "000000.jpg")).astype(int) for name in "ab")
    assert np.abs(a - b)[:, 900:].max() > 100
    assert np.abs(a - b)[:, :890].max() < 40
    other = written(tmp_path, table(slice(0, 5)), "other.parquet")
    with pytest.raises(BadPreview, match="not the raw table"):
        preview(final_path, video, tmp_path / "c", raw_path=other)


def test_turned_clip_is_shown_upright(video: Path, tmp_path: Path):
    made = table()
    info = ClipInfo("grey", "grey.mkv", HEIGHT, WIDTH, Fraction(25), TIME_BASE, 90, True)
    assert preview(written(tmp_path, made.replace(info=info)), video, tmp_path / "s.png", sheet_frames=1) == 1
    assert cv2.imread(str(tmp_path / "s.png")).shape == (270, 162, 3)


@pytest.mark.parametrize("name", ["x.mp4", "x.png", "x"])
def test_a_table_of_another_video_is_refused(video: Path, tmp_path: Path, name: str):
    foreign = table()
    foreign = foreign.replace(pts=foreign.pts + 7)
    for made in (foreign, table(slice(0, 0))):
        with pytest.raises(BadPreview, match="no frame"):
            preview(written(tmp_path, made), video, tmp_path / "out" / name)
    assert not list((tmp_path).glob(f"out/**/*{PREFIX}*")) and not (tmp_path / "out" / name).exists()


@pytest.mark.parametrize("wrong", [{"every": 0}, {"sheet_frames": 0}, {"height": 8}])
def test_impossible_arguments_are_refused(video: Path, tmp_path: Path, wrong: dict[str, int]):
    with pytest.raises(BadPreview):
        preview(written(tmp_path, table()), video, tmp_path / "p.png", **wrong)


def test_unknown_output_is_refused(video: Path, tmp_path: Path):
    with pytest.raises(BadPreview, match="suffix"):
        preview(written(tmp_path, table()), video, tmp_path / "p.gif")


def test_everyone_is_drawn_with_a_number(video: Path, tmp_path: Path) -> None:
    """The second person where there is a row, in the frames between first and last."""
    shot = np.zeros(FRAMES, np.int16)
    main = table().replace(shot=shot)
    other = main.replace(track=1, box=main.box - np.float32([50, 20, 50, 20])).rows(6, 12)
    write_tracks([main, other], tmp_path / "both.parquet")
    write_tracks([main], tmp_path / "one.parquet")
    assert preview(tmp_path / "both.parquet", video, tmp_path / "both", height=HEIGHT) == FRAMES
    assert preview(tmp_path / "one.parquet", video, tmp_path / "one", height=HEIGHT) == FRAMES
    corner = np.s_[8:62, 8:58]  # around the other's box
    for number in range(FRAMES):
        both, one = (cv2.imread(str(tmp_path / name / f"{number:06d}.jpg")) for name in ("both", "one"))
        apart = np.abs(both[corner].astype(int) - one[corner].astype(int)).max()
        assert (apart > 60) == (6 <= number < 12)
