"""Previews of real videos: each frame gets its own row, in a video, on a sheet, in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from facecap_batch.coefficients import (
    ARKIT_NAMES,
    ClipInfo,
    CoefficientTable,
    write_parquet,
    write_tracks,
)
from facecap_batch.exporting import matched_frames as matching
from facecap_batch.exporting.matched_frames import matched_frames
from facecap_batch.exporting.preview import BadPreview, PreviewSettings, preview
from facecap_batch.exporting.preview.layout import cell_layout, video_layout
from facecap_batch.exporting.preview.overlay import draw_over
from facecap_batch.exporting.preview.style import LOST
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


SMALL = PreviewSettings(height=360)
ASPECT = Fraction(WIDTH, HEIGHT)
LAYOUT = video_layout(SMALL.height, ASPECT, True)


def corner(image: np.ndarray) -> float:
    """Brightness where nothing is drawn: near the lower left corner of the actor."""
    actor = image[LAYOUT.actor.place]
    height = actor.shape[0]
    return float(actor[-height // 8 : -height // 16, height // 16 : height // 8].mean())


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_video_has_every_frame_at_its_own_time(video: Path, tmp_path: Path, suffix: str):
    seen: list[int] = []
    output = tmp_path / f"p{suffix}"
    path = written(tmp_path, table(lost=(5,)))
    assert preview(path, video, output, settings=SMALL, progress=seen.append) == FRAMES
    assert seen == list(range(1, FRAMES + 1))
    with av.open(str(output)) as container:
        frames = list(container.decode(video=0))
    assert [round(1000 * frame.time) for frame in frames] == PTS.tolist()
    for index, frame in enumerate(frames):
        image = frame.to_ndarray(format="rgb24")
        assert image.shape == (360, 640, 3)
        assert abs(corner(image) - grey_of(index)) < 4
    actor = LAYOUT.actor
    lost = frames[5].to_ndarray(format="rgb24")[actor.height - 2 : actor.height, 100:200].reshape(-1, 3)
    assert lost[:, 0].mean() > lost[:, 1].mean() + 60
    lines = [
        int(np.argmax(frame.to_ndarray(format="rgb24")[LAYOUT.below.place][40:60].mean(axis=(0, 2))[60:]))
        for frame in frames
    ]
    assert lines == sorted(lines) and lines[0] < 40 and lines[-1] > LAYOUT.below.width - 100
    steps = np.diff(lines)  # the line goes by time: fast, slow, fast
    assert steps[9:15].mean() < steps[:7].mean() < steps[17:].mean()


def test_landmarks_are_drawn_where_they_are() -> None:
    plain = table(lost=(5,))
    points = np.full((FRAMES, 2, 2), np.nan, np.float32)
    points[:, 0] = 20, 60  # outside of the box
    points[3, 1] = -7, 4000
    made = plain.replace(landmarks=points)
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    image = cv2.resize(image, (2 * WIDTH, 2 * HEIGHT))
    drawn, without = image.copy(), image.copy()
    draw_over(drawn, made, 3, 2.0, landmarks=True)
    draw_over(without, made, 3, 2.0)
    changed = np.abs(drawn.astype(int) - without).max(axis=2)
    y, x = np.nonzero(changed > 20)
    assert len(x) and abs(x.mean() - 40) < 2 and abs(y.mean() - 120) < 2
    assert drawn[120, 40, 1] > drawn[120, 40, 0] + 60  # green: seen


def test_landmarks_are_drawn_on_demand_and_refused_where_there_are_none(video: Path, tmp_path: Path) -> None:
    wanted = PreviewSettings(height=360, landmarks=True)
    with pytest.raises(BadPreview, match="run the clip again with --landmarks"):
        preview(written(tmp_path, table()), video, tmp_path / "p", settings=wanted)
    points = np.tile(np.float32([[[20, 60], [30, 70]]]), (FRAMES, 1, 1))
    path = written(tmp_path, table().replace(landmarks=points), "with.parquet")
    for name, settings in (("without", SMALL), ("with", wanted)):
        assert preview(path, video, tmp_path / name, every=24, settings=settings) == 1
    pictures = [cv2.imread(str(tmp_path / name / "000000.jpg")).astype(int) for name in ("with", "without")]
    changed = np.abs(pictures[0] - pictures[1]).max(axis=2)
    scale = LAYOUT.actor.height / HEIGHT
    y, x = np.nonzero(changed > 40)
    assert len(x) and x.max() < 40 * scale and abs(y.mean() - 65 * scale) < 6


def test_range_meets_its_own_frames(video: Path, tmp_path: Path):
    output = tmp_path / "frames"
    path = written(tmp_path, table(slice(9, 20)))
    assert preview(path, video, output, every=5, settings=SMALL) == 3
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

    monkeypatch.setattr(matching, "Video", CountingVideo)
    seen = [(row, number_of(image)) for row, image in matched_frames(path, made, range(10))]
    assert seen == [(row, number) for row, (_, number) in enumerate(late)]
    assert delivered == [pts for pts, _ in late]  # and not the 150 frames before them


def test_sheet_spreads_frames_and_marks_lost_ones(video: Path, tmp_path: Path):
    output = tmp_path / "sheet.png"
    spread = PreviewSettings(sheet_frames=8, spread=True)
    assert preview(written(tmp_path, table(lost=tuple(range(12)))), video, output, settings=spread) == 8
    sheet = cv2.imread(str(output))[:, :, ::-1]
    cell = cell_layout(ASPECT, True)
    assert sheet.shape == (4 * cell.height, 2 * cell.width, 3)
    edge = cell.actor.height - 1, 200
    assert tuple(sheet[edge]) == LOST
    assert tuple(sheet[edge[0] + 3 * cell.height, edge[1]]) != LOST


def test_a_sheet_shows_the_frames_that_tell_most(video: Path, tmp_path: Path):
    made = table()
    made.coefficients[:] = 0.02
    made.coefficients[7, [ARKIT_NAMES.index("mouthSmileLeft"), ARKIT_NAMES.index("mouthSmileRight")]] = 0.9
    settings = PreviewSettings(sheet_frames=1, head=False)
    output = tmp_path / "sheet.png"
    assert preview(written(tmp_path, made), video, output, settings=settings) == 1
    sheet, cell = cv2.imread(str(output)), cell_layout(ASPECT, False)
    assert sheet.shape == (cell.height, cell.width, 3)
    height = cell.actor.height
    shown = sheet[cell.actor.place][-height // 8 : -height // 16, height // 16 : height // 8].mean()
    assert abs(shown - grey_of(7)) < 4
    assert sheet[cell.below.place].max() > 200  # the reason
    assert sheet[cell.panel.place].max() > 200  # the bars


def test_a_head_stands_beside_the_actor_and_does_what_the_numbers_say(video: Path, tmp_path: Path):
    made = table()
    made.coefficients[:] = 0
    made.coefficients[12:, ARKIT_NAMES.index("jawOpen")] = 1
    path = written(tmp_path, made)
    preview(path, video, tmp_path / "with", every=8, settings=SMALL)
    preview(path, video, tmp_path / "without", every=8, settings=PreviewSettings(height=360, head=False))
    assert LAYOUT.head is not None
    first, second, third = (
        cv2.imread(str(tmp_path / "with" / f"{number:06d}.jpg"))[LAYOUT.head.place].astype(int)
        for number in (0, 8, 16)
    )
    assert np.abs(first - second).max() < 30 < 60 < np.abs(second - third).max()
    wide = video_layout(360, ASPECT, False)
    assert wide.head is None and wide.actor.width > LAYOUT.actor.width
    picture = cv2.imread(str(tmp_path / "without" / "000000.jpg"))
    assert picture.shape == (360, 640, 3)


@pytest.mark.parametrize(
    "aspect", [Fraction(9, 16), Fraction(1), Fraction(4, 3), Fraction(16, 9), Fraction(5)]
)
@pytest.mark.parametrize("with_head", [True, False])
def test_parts_fill_the_picture_and_do_not_overlap(aspect: Fraction, with_head: bool):
    for height in (240, 361, 720, 1080):
        layout = video_layout(height, aspect, with_head)
        covered = np.zeros((layout.height, layout.width), int)
        for part in (layout.actor, layout.head, layout.panel, layout.below):
            if part is not None:
                assert min(part.width, part.height) > 0
                assert not any(number % 2 for number in (part.left, part.top, part.width, part.height))
                covered[part.place] += 1
        assert (covered == 1).all()


def test_raw_values_are_marked(video: Path, tmp_path: Path):
    final, raw = table(), table()
    raw.coefficients[:] = 0.9
    final_path, raw_path = written(tmp_path, final), written(tmp_path, raw, "raw.parquet")
    final.coefficients[3] = 0.3  # they move
    final_path = written(tmp_path, final)
    preview(final_path, video, tmp_path / "a", every=24)
    preview(final_path, video, tmp_path / "b", every=24, raw_path=raw_path)
    a, b = (cv2.imread(str(tmp_path / name / "000000.jpg")).astype(int) for name in "ab")
    panel = video_layout(720, ASPECT, True).panel
    assert np.abs(a - b)[:, panel.left :].max() > 100
    assert np.abs(a - b)[:, : panel.left - 16].max() < 40
    other = written(tmp_path, table(slice(0, 5)), "other.parquet")
    with pytest.raises(BadPreview, match="not the raw table"):
        preview(final_path, video, tmp_path / "c", raw_path=other)


def test_turned_clip_is_shown_upright(video: Path, tmp_path: Path):
    made = table()
    info = ClipInfo("grey", "grey.mkv", HEIGHT, WIDTH, Fraction(25), TIME_BASE, 90, True)
    path = written(tmp_path, made.replace(info=info))
    assert preview(path, video, tmp_path / "s.png", settings=PreviewSettings(sheet_frames=1)) == 1
    cell = cell_layout(1 / ASPECT, True)
    assert cell.actor.width == 162 and cv2.imread(str(tmp_path / "s.png")).shape == (
        cell.height,
        cell.width,
        3,
    )


@pytest.mark.parametrize("name", ["x.mp4", "x.png", "x"])
def test_a_table_of_another_video_is_refused(video: Path, tmp_path: Path, name: str):
    foreign = table()
    foreign = foreign.replace(pts=foreign.pts + 7)
    for made in (foreign, table(slice(0, 0))):
        with pytest.raises(BadPreview, match="no frame"):
            preview(written(tmp_path, made), video, tmp_path / "out" / name)
    assert not list((tmp_path).glob(f"out/**/*{PREFIX}*")) and not (tmp_path / "out" / name).exists()


@pytest.mark.parametrize("wrong", [{"sheet_frames": 0}, {"height": 8}])
def test_impossible_settings_are_refused(wrong: dict[str, int]):
    with pytest.raises(BadPreview, match="at least"):
        PreviewSettings(**wrong)


def test_no_frame_at_all_is_refused(video: Path, tmp_path: Path):
    with pytest.raises(BadPreview, match="every must be at least 1"):
        preview(written(tmp_path, table()), video, tmp_path / "p", every=0)


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
    assert preview(tmp_path / "both.parquet", video, tmp_path / "both", settings=SMALL) == FRAMES
    assert preview(tmp_path / "one.parquet", video, tmp_path / "one", settings=SMALL) == FRAMES
    scale = LAYOUT.actor.height / HEIGHT
    corner = np.s_[int(8 * scale) : int(62 * scale), int(8 * scale) : int(58 * scale)]  # of the other's box
    for number in range(FRAMES):
        both, one = (cv2.imread(str(tmp_path / name / f"{number:06d}.jpg")) for name in ("both", "one"))
        apart = np.abs(both[corner].astype(int) - one[corner].astype(int)).max()
        assert (apart > 60) == (6 <= number < 12)
