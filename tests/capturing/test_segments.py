"""Cuts are invisible: a clip captured in segments yields, bit for bit, the table of the whole clip."""

from __future__ import annotations

import dataclasses
import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from facecap_batch.capturing.orientation import sample_stride
from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.capturing.segments.cut_points import WARM_UP, cut, may_be_long, packet_times
from facecap_batch.capturing.segments.plan import SegmentPlan
from facecap_batch.capturing.segments.result import CannotJoin, SegmentResult
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.clip import Clip
from facecap_batch.coefficients import CoefficientTable
from facecap_batch.engines.batching import Engine
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import load_set
from facecap_batch.video.decoder import decode
from tests.support import videos
from tests.support.discs import DiscDetector, DiscRegressor, scene
from tests.support.long_clips import CLOSED, COUNT, HEIGHT, WIDTH, pictures, walk, x264
from tests.support.videos import write_video

ROOT = Path(__file__).resolve().parents[2]
SEGMENT_S = 2.0


@dataclasses.dataclass
class Captured:
    """A clip captured in segments."""

    plan: SegmentPlan
    results: list[SegmentResult]
    tables: tuple[CoefficientTable, ...]
    read: int  # crops that the join read

    @property
    def table(self) -> CoefficientTable:
        return self.tables[0]


def disc_capture(settings: CaptureSettings | None = None) -> FaceCapture:
    return FaceCapture(DiscDetector(), DiscRegressor(), settings)


def in_segments(
    clip: Clip, settings: CaptureSettings | None = None, segment_s: float = SEGMENT_S, **engines: Engine
) -> Captured:
    """Capture `clip` in segments; as the driver does, again in another orientation if the join wants it."""
    detector, regressor = engines.get("detector", DiscDetector()), engines.get("regressor", DiscRegressor())
    face_capture = FaceCapture(detector, regressor, settings)
    plan = face_capture.plan_segments(clip, segment_s, "key")
    assert plan is not None
    while True:
        results = [face_capture.capture_segment(clip, plan, segment) for segment in plan.segments]
        before = getattr(regressor, "crops", 0)
        try:
            tables = face_capture.join(clip, plan, results)
        except CannotJoin as reason:
            assert reason.rotation_degrees
            plan = plan.rotated(reason.rotation_degrees)
            continue
        return Captured(plan, results, tables, getattr(regressor, "crops", 0) - before)


def assert_same(cut_table: CoefficientTable, whole: CoefficientTable) -> None:
    """Equal bytes in every column, equal metadata in equal order."""
    for field in dataclasses.fields(CoefficientTable):
        first, second = getattr(cut_table, field.name), getattr(whole, field.name)
        if isinstance(first, np.ndarray):
            assert first.dtype == second.dtype and first.tobytes() == second.tobytes(), field.name
        else:
            assert first == second, field.name
    assert list(cut_table.metadata) == list(whole.metadata)


def assert_cuts_are_invisible(clip: Clip, settings: CaptureSettings | None = None, **how: object) -> Captured:
    captured = in_segments(clip, settings, **how)  # type: ignore[arg-type]
    for cut_table, whole in zip(captured.tables, disc_capture(settings).capture_tracks(clip), strict=True):
        assert_same(cut_table, whole)
    return captured


def irregular(count: int) -> dict[str, object]:
    steps = np.random.default_rng(3).choice([17, 33, 34, 120], count)
    return {"pts": np.cumsum(steps).tolist(), "time_base": Fraction(1, 1000)}


def with_a_gap(count: int, after: int) -> dict[str, object]:
    pts = np.arange(count) * 33 + np.where(np.arange(count) > after, 2500, 0)
    return {"pts": pts.tolist(), "time_base": Fraction(1, 1000)}


OPEN = x264("keyint=20:min-keyint=20:scenecut=0:bframes=3:open-gop=1")
FILES: dict[str, tuple[str, dict[str, object]]] = {
    "b-frames": ("clip.mp4", CLOSED),
    "open gop": ("clip.mp4", OPEN),
    "open gop in matroska": ("clip.mkv", OPEN),
    "open gop in a transport stream": ("clip.ts", OPEN),
    "variable rate": ("clip.mp4", {**CLOSED, **irregular(COUNT)}),
    "variable rate in matroska": ("clip.mkv", {**CLOSED, **irregular(COUNT)}),
    "a gap in time at the cut": ("clip.mkv", {**CLOSED, **with_a_gap(COUNT, 79)}),
    "mpeg2 in a transport stream": ("clip.ts", {"codec": "mpeg2video", "options": {"g": "18", "bf": "2"}}),
    "hevc": ("clip.mp4", {"codec": "libx265", "options": {"x265-params": "keyint=20:log-level=none"}}),
    "vp9": ("clip.webm", {"codec": "libvpx-vp9", "options": {"g": "20", "deadline": "realtime"}}),
    "intra only": ("clip.avi", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
    "rotated by the file": ("clip.mp4", {**CLOSED, "rotation": 90}),
}


@pytest.mark.parametrize("kind", FILES)
def test_any_file(kind: str, tmp_path: Path) -> None:
    name, how = FILES[kind]
    path = write_video(tmp_path / name, pictures(), **how)  # type: ignore[arg-type]
    captured = assert_cuts_are_invisible(Clip("clip", str(path)))
    assert len(captured.plan.segments) >= 3 and captured.read == 0
    if kind.startswith("a gap"):
        assert "no frames for" in captured.table.metadata["notes"]


def test_the_default_engines_on_a_speaking_face(tmp_path: Path) -> None:
    """Real networks, which round differently in batches of other sizes; the demo's clip, there and back."""
    shown = [frame.rgb() for frame in decode(ROOT / "manifests/demo/speaking.mp4")]
    path = write_video(tmp_path / "speaking.mp4", [*shown, *shown[-2:-60:-1]], fps=30, **CLOSED)  # type: ignore[arg-type]
    chosen = load_set("default")
    detector, regressor = (
        open_engine(card, "onnxruntime-cpu") for card in (chosen.detector, chosen.regressor)
    )
    clip = Clip("clip", str(path))
    captured = in_segments(clip, segment_s=1.5, detector=detector, regressor=regressor)
    assert len(captured.plan.segments) >= 3
    whole = FaceCapture(detector, regressor).capture(clip)
    assert whole.face_found.mean() > 0.9
    assert_same(captured.table, whole)


def film(count: int = COUNT) -> list[np.ndarray]:
    """Three shots of two discs that pass each other; one goes and returns, a third is in the middle shot."""
    shown = []
    for k in range(count):
        shot = 0 if k < 95 else 1 if k < 170 else 2
        slide = 40 * np.sin(k / 12)
        discs = [(80 + slide, 40 + 5 * shot, 14.0), (80 - slide, 84 - 5 * shot, 11.0)]
        if 30 <= k < 75:
            discs.pop()
        if shot == 1:
            discs.append((20.0, 20.0, 9.0))
        shown.append(scene(WIDTH, HEIGHT, *discs, shade=(120, 200, 60)[shot] if k not in (50, 51) else 255))
    return shown


@pytest.mark.parametrize("faces", [2, "all"])
@pytest.mark.parametrize("segment_s", [1.0, 2.0])
def test_everyone_and_every_shot(faces: int | str, segment_s: float, tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", film(), **CLOSED)  # type: ignore[arg-type]
    settings = CaptureSettings(faces=faces)  # type: ignore[arg-type]
    captured = assert_cuts_are_invisible(Clip("clip", str(path)), settings, segment_s=segment_s)
    assert len(captured.plan.segments) >= 3
    assert len(captured.tables) >= 2 and captured.table.shot is not None
    assert (np.flatnonzero(np.diff(captured.table.shot)) + 1).tolist() == [95, 170]


def test_an_edit_list_and_a_range(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", pictures(), **CLOSED)  # type: ignore[arg-type]
    videos.trim(path, 15 * 512)
    assert_cuts_are_invisible(Clip("clip", str(path)))
    part = Clip("clip", str(path), start=Fraction(5, 7), end=Fraction(15, 2))
    captured = assert_cuts_are_invisible(part)
    assert len(captured.table) == captured.plan.frames < COUNT - 15


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_a_range_inside_a_file(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, pictures(), **OPEN)  # type: ignore[arg-type]
    part = Clip("clip", str(path), start=Fraction(37, 10), end=Fraction(15, 2))
    captured = assert_cuts_are_invisible(part, segment_s=1.0)
    assert len(captured.plan.segments) >= 2 and captured.read == 0


def test_a_face_lost_and_found_at_every_cut(tmp_path: Path) -> None:
    """Gone just before, just after and across the cuts, and seen by nobody for longer than a track lives."""
    plain = Clip("clip", str(write_video(tmp_path / "plain.mp4", pictures(), **CLOSED)))  # type: ignore[arg-type]
    plan = disc_capture().plan_segments(plain, SEGMENT_S, "key")
    assert plan is not None
    for number, (before, after) in enumerate([(13, 0), (1, 12), (45, 50)]):
        gaps = [range(segment.first - before, segment.first + after) for segment in plan.segments[1:]]
        path = write_video(tmp_path / f"{number}.mp4", pictures(hidden=gaps), **CLOSED)  # type: ignore[arg-type]
        assert_cuts_are_invisible(Clip("clip", str(path)))


class FaintDetector(DiscDetector):
    """Sure of a face in the first second only; afterwards it barely sees it."""

    def __init__(self, sure: int) -> None:
        super().__init__()
        self.sure = sure

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        outputs = super().run(batch)
        # The pictures tell their number by their shade.
        faint = batch[:, 2, 2, 0] > 120 + self.sure
        outputs["scores"][faint] *= 0.3 / self.score
        return outputs


def test_what_the_segments_could_not_know_is_read_by_the_join(tmp_path: Path) -> None:
    """A face followed by faint detections only, from long before the cut; and a crowd whose order changes."""
    frames = [
        scene(WIDTH, HEIGHT, place, shade=110 if k < 30 else 140) for k, place in enumerate(walk(COUNT))
    ]
    clip = Clip("clip", str(write_video(tmp_path / "faint.mp4", frames, **CLOSED)))  # type: ignore[arg-type]
    captured = in_segments(clip, detector=FaintDetector(5))
    assert captured.read > 100
    assert_same(captured.table, FaceCapture(FaintDetector(5), DiscRegressor()).capture(clip))

    crowd = [
        scene(WIDTH, HEIGHT, (25, 60, 22 - k / 25), (80, 60, 16), (135, 60, 10 + k / 25))
        for k in range(COUNT)
    ]
    clip = Clip("clip", str(write_video(tmp_path / "crowd.mp4", crowd, **CLOSED)))  # type: ignore[arg-type]
    assert assert_cuts_are_invisible(clip).read > 0


@pytest.mark.parametrize(("turn", "late"), [(90, 0), (180, 40), (90, 200)])
def test_a_clip_on_its_side(turn: int, late: int, tmp_path: Path) -> None:
    """Its face comes at once, within the first look, or so late that the join must decide."""
    frames = pictures(400, [range(0, late)], turn)
    path = write_video(tmp_path / "side.mp4", frames, **CLOSED)  # type: ignore[arg-type]
    captured = assert_cuts_are_invisible(Clip("clip", str(path)), segment_s=4.0)
    assert captured.table.info.rotation == 360 - turn
    assert captured.table.face_found[late + 6 :].all()


def test_a_clip_without_a_face(tmp_path: Path) -> None:
    path = write_video(tmp_path / "empty.mp4", pictures(hidden=[range(COUNT)]), **CLOSED)  # type: ignore[arg-type]
    captured = assert_cuts_are_invisible(Clip("clip", str(path)))
    assert not captured.plan.rotation_known and not captured.table.face_found.any()


def test_samples_are_those_of_an_unbroken_watch() -> None:
    """All of the first sixteen detections, then eight at each doubled distance."""
    numbers = [number for number in range(257) if number % sample_stride(number) == 0]
    assert numbers == [
        *range(16),
        *range(16, 32, 2),
        *range(32, 64, 4),
        *range(64, 128, 8),
        *range(128, 257, 16),
    ]


def test_settings_that_change_the_pace(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", pictures(150), **CLOSED)  # type: ignore[arg-type]
    for settings in (
        CaptureSettings(detect_every=4, regress_batch=3, decode_threads=2, try_turns=False),
        CaptureSettings(held_bytes=1, detect_batch=3),
    ):
        assert_cuts_are_invisible(Clip("clip", str(path)), settings, segment_s=1.0)


def test_what_cannot_be_cut_stays_whole(tmp_path: Path) -> None:
    def cuts_of(path: Path, segment_s: float = SEGMENT_S) -> SegmentPlan | None:
        clip = Clip("clip", str(path))
        return disc_capture().plan_segments(clip, segment_s, "key")

    once = x264("keyint=infinite:scenecut=0")
    assert cuts_of(write_video(tmp_path / "once.mp4", pictures(), **once)) is None  # type: ignore[arg-type]
    plain = write_video(tmp_path / "plain.mp4", pictures(), **CLOSED)  # type: ignore[arg-type]
    assert cuts_of(plain) is not None
    assert cuts_of(plain, segment_s=6.0) is None  # not long enough
    assert cuts_of(videos.truncate(plain, tmp_path / "cut.mp4")) is None
    assert cuts_of(videos.write_audio(tmp_path / "sound.m4a")) is None
    assert cuts_of(tmp_path / "nowhere.mp4") is None
    raw = write_video(tmp_path / "raw.h264", pictures(), **CLOSED)  # type: ignore[arg-type]
    assert cuts_of(raw) is None  # packets without times


def odd(kind: str, folder: Path) -> Path:
    """A long file of a kind whose times or shapes change on the way."""
    closed: dict[str, object] = {**CLOSED}
    if kind == "b-frames in avi":
        return write_video(folder / "clip.avi", pictures(), **closed)  # type: ignore[arg-type]
    source = write_video(folder / "source.mp4", pictures(), **closed)  # type: ignore[arg-type]
    if kind == "times of decoding":

        def in_decoding_order(number: int, packet: av.Packet) -> None:
            packet.pts = packet.dts = round(number / (30 * packet.time_base))

        return videos.remux(source, folder / "clip.mkv", in_decoding_order)
    if kind == "last picture damaged":
        data = bytearray(source.read_bytes())
        with av.open(str(source)) as container:
            position, size = max((p.pos, p.size) for p in container.demux(video=0) if p.size)
        data[position + 8 : position + size] = bytes(size - 8)
        source.write_bytes(data)
        return source
    first = videos.remux(source, folder / "first.ts", lambda number, packet: None)
    if kind == "joined":
        return videos.joined(folder / "joined.ts", first, first)
    sideways = [np.ascontiguousarray(np.rot90(image)) for image in pictures()]
    pts = list(range(COUNT, 2 * COUNT))
    turned = write_video(folder / "second.ts", sideways, pts=pts, **closed)  # type: ignore[arg-type]
    return videos.joined(folder / "turned.ts", first, turned)


@pytest.mark.parametrize("part", [False, True], ids=["whole", "range"])
@pytest.mark.parametrize(
    "kind", ["b-frames in avi", "times of decoding", "last picture damaged", "joined", "shape changes"]
)
def test_odd_files_end_as_they_would_uncut(kind: str, part: bool, tmp_path: Path) -> None:
    """They stay in one piece, or their segments are not joined: `runs` then captures them in one piece."""
    clip = Clip("clip", str(odd(kind, tmp_path)), start=Fraction(1) if part else None)
    capture = disc_capture()
    whole = capture.capture(clip)
    assert whole.metadata["notes"] and (np.diff(whole.pts) > 0).all()
    plan = capture.plan_segments(clip, SEGMENT_S, "key")
    if plan is None:
        return
    results = [capture.capture_segment(clip, plan, segment) for segment in plan.segments]
    with pytest.raises(CannotJoin):
        capture.join(clip, plan, results)


def test_empty_samples_do_not_keep_a_clip_in_one_piece(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "clip.mov",
        pictures(),
        codec="mjpeg",
        pixel_format="yuvj420p",
        audio_seconds=COUNT / 30,  # one sample a chunk: emptying one moves no other
    )
    videos.empty_sample(path, 100)
    captured = assert_cuts_are_invisible(Clip("clip", str(path)))
    assert len(captured.table) == COUNT - 1 and len(captured.plan.segments) >= 3


def test_segments_that_do_not_fit_are_not_joined(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", pictures(), **CLOSED)  # type: ignore[arg-type]
    clip = Clip("clip", str(path))
    captured = in_segments(clip)

    def refusal(changed: SegmentResult, plan: SegmentPlan = captured.plan) -> str:
        results = [changed if result.number == changed.number else result for result in captured.results]
        with pytest.raises(CannotJoin) as error:
            disc_capture().join(clip, plan, results)
        assert not error.value.rotation_degrees
        return str(error.value)

    second = captured.results[1]
    assert "number their frames" in refusal(dataclasses.replace(second, pts=second.pts + 1))
    assert "number their frames" in refusal(dataclasses.replace(second, pts=second.pts[:-8]))
    assert "number their frames" in refusal(dataclasses.replace(second, pts=second.pts[1:]))
    assert "different images" in refusal(dataclasses.replace(second, digests=second.digests ^ 1))
    assert "odd" in refusal(dataclasses.replace(second, steady=False))
    assert "odd" in refusal(dataclasses.replace(second, video_info="another"))
    assert "frames were decoded" in refusal(second, dataclasses.replace(captured.plan, frames=COUNT + 1))


def test_the_rule_depends_on_nothing_but_clip_and_length(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", pictures(600), **CLOSED)  # type: ignore[arg-type]
    times = packet_times(Clip("clip", str(path)))
    assert times is not None and len(times.pts) == 600 and len(times.keyframes) == 30
    segments = cut(Clip("clip", str(path)), times, 6, 3.0)
    assert [segment.seconds for segment in segments[:-1]] == pytest.approx(
        [3.0] * len(segments[:-1]), abs=0.7
    )
    assert sum(segment.seconds for segment in segments) == pytest.approx(599 / 30)
    for earlier, later in itertools.pairwise(segments):
        assert earlier.end == later.first and later.first % 6 == later.preroll_start % 6 == 0
        keyframe = later.preroll_start - later.preroll_start % 20
        assert later.preroll_start - keyframe < 6 and later.first - later.preroll_start == WARM_UP * 6
    assert not may_be_long(Clip("clip", str(path), end=Fraction(4)), 3.0)
    assert may_be_long(Clip("clip", str(path)), 3.0) and not may_be_long(Clip("clip", str(path)), 15.0)
