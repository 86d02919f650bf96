"""Cuts are invisible: a clip taken in segments yields, bit for bit, the table of the clip taken whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import videos
from discs import DiscDetector, DiscRegressor, scene
from videos import write_video

from facecap_batch.capture import CaptureSettings, capture
from facecap_batch.coefficients import CoefficientTable
from facecap_batch.cutting import Cuts
from facecap_batch.engines.engine import Engine
from facecap_batch.joining import CannotJoin, Joined, join
from facecap_batch.manifest import Clip
from facecap_batch.segment_capture import SegmentResult, capture_segment, survey

WIDTH, HEIGHT = 160, 120
COUNT = 300
SEGMENT_S = 2.0


def walk(count: int, shift: float = 0.0) -> np.ndarray:
    """float [count, 3]: centre x, y and radius of a disc that wanders about and comes nearer."""
    t = np.arange(count) / 30 + shift
    return np.column_stack([80 + 35 * np.sin(2 * t), 60 + 15 * np.cos(3 * t), 16 + 5 * np.sin(t)])


def pictures(count: int = COUNT, hidden: Sequence[range] = (), turn: int = 0) -> list[np.ndarray]:
    """A disc that is absent in the frames of `hidden`, its pictures turned counterclockwise by `turn`."""
    shown = [not any(k in gap for gap in hidden) for k in range(count)]
    places = walk(count)
    return [
        np.ascontiguousarray(np.rot90(scene(WIDTH, HEIGHT, *([places[k]] if shown[k] else [])), turn // 90))
        for k in range(count)
    ]


def x264(parameters: str) -> dict[str, object]:
    return {"options": {"preset": "veryfast", "crf": "20", "x264-params": parameters}}


CLOSED = x264("keyint=20:min-keyint=20:scenecut=0:bframes=3")


@dataclasses.dataclass
class Taken:
    """A clip taken in segments."""

    cuts: Cuts
    results: list[SegmentResult]
    joined: Joined
    read: int  # crops that the join looked at


def in_segments(
    clip: Clip, settings: CaptureSettings | None = None, segment_s: float = SEGMENT_S, **engines: Engine
) -> Taken:
    """Take `clip` in segments; as the driver does it, again in another orientation if the join says so."""
    settings = settings or CaptureSettings()
    detector, regressor = engines.get("detector", DiscDetector()), engines.get("regressor", DiscRegressor())
    cuts = survey(clip, detector, regressor, settings, segment_s, "key")
    assert cuts is not None
    while True:
        results = [
            capture_segment(clip, cuts, segment.number, detector, regressor, settings)
            for segment in cuts.segments
        ]
        before = getattr(regressor, "crops", 0)
        try:
            joined = join(clip, cuts, results, detector, regressor, settings)
        except CannotJoin as reason:
            assert reason.turn
            cuts = dataclasses.replace(cuts, turn=reason.turn, turn_known=True)
            continue
        return Taken(cuts, results, joined, getattr(regressor, "crops", 0) - before)


def assert_same(cut_table: CoefficientTable, whole: CoefficientTable) -> None:
    for field in dataclasses.fields(CoefficientTable):
        first, second = getattr(cut_table, field.name), getattr(whole, field.name)
        if isinstance(first, np.ndarray):
            assert first.dtype == second.dtype and first.tobytes() == second.tobytes(), field.name
        else:
            assert first == second, field.name


def assert_cuts_are_invisible(clip: Clip, settings: CaptureSettings | None = None, **how: object) -> Taken:
    taken = in_segments(clip, settings, **how)  # type: ignore[arg-type]
    assert_same(taken.joined.table, capture(clip, DiscDetector(), DiscRegressor(), settings))
    return taken


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
    taken = assert_cuts_are_invisible(Clip("clip", str(path)))
    assert len(taken.cuts.segments) >= 3 and taken.read == 0
    if kind.startswith("a gap"):
        assert "no frames for" in taken.joined.table.metadata["notes"]


def test_an_edit_list_and_a_range(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", pictures(), **CLOSED)  # type: ignore[arg-type]
    videos.trim(path, 15 * 512)
    assert_cuts_are_invisible(Clip("clip", str(path)))
    part = Clip("clip", str(path), start=Fraction(5, 7), end=Fraction(17, 2))
    taken = assert_cuts_are_invisible(part)
    assert len(taken.joined.table) == taken.cuts.frames < COUNT - 15
