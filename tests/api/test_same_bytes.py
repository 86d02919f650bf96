"""A video captured in this process and by a run: the same bytes in every file."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import facecap_batch
from facecap_batch.engines.sets import EngineSet
from tests.support.runs import write_clips, write_manifest
from tests.support.videos import write_video

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "manifests" / "demo.csv"


def files_of(take: facecap_batch.Capture, folder: Path) -> dict[str, bytes]:
    """What a run would write for `take`, by kind."""
    raw, final, fbx = folder / "raw.parquet", folder / "final.parquet", folder / "take.fbx"
    take.to_parquet(raw, "raw")
    take.to_parquet(final)
    take.export(fbx)
    return {"raw": raw.read_bytes(), "coefficients": final.read_bytes(), "fbx": fbx.read_bytes()}


def files_in(output: Path, clip_id: str) -> dict[str, bytes]:
    """What a run wrote for a clip, by kind."""
    suffixes = {"raw": "parquet", "coefficients": "parquet", "fbx": "fbx"}
    return {kind: (output / kind / f"{clip_id}.{suffix}").read_bytes() for kind, suffix in suffixes.items()}


@pytest.fixture(scope="module")
def demo_output(tmp_path_factory: pytest.TempPathFactory, ray_floor: None) -> Path:
    """The demo manifest, run with clips cut into segments where that is possible."""
    output = tmp_path_factory.mktemp("demo")
    summary = facecap_batch.run(DEMO, output, backend="onnxruntime-cpu", workers=1, segment_s=1.0)
    assert summary.exit_code == 0
    return output


def test_the_demo_clips(demo_output: Path, tmp_path: Path) -> None:
    """With the default engines, whose regressor has gains that only its card holds."""
    with (
        DEMO.open(encoding="utf-8") as file,
        facecap_batch.open_engines(backend="onnxruntime-cpu") as engines,
    ):
        for row in csv.DictReader(file):
            take = facecap_batch.capture(DEMO.parent / row["path"], engines=engines, clip_id=row["clip_id"])
            assert files_of(take, tmp_path) == files_in(demo_output, row["clip_id"]), row


def test_a_range_with_actor_and_timecode(random_engines: EngineSet, ray_floor: None, tmp_path: Path) -> None:
    write_video(tmp_path / "long.mp4", 60)
    row = {"path": "long.mp4", "clip_id": "part", "start": "0.5", "end": "1.5"}
    row |= {"actor": "Ada", "timecode": "01:00:00:00"}
    manifest, folder, output = write_manifest(tmp_path, [row]), random_engines.folder, tmp_path / "out"
    settings = facecap_batch.CaptureSettings(detect_every=3)
    solve = facecap_batch.SolveSettings(smoothing=2.0)
    facecap_batch.run(
        manifest, output, engines=folder, backend="onnxruntime-cpu", settings=settings, solve=solve, workers=1
    )
    take = facecap_batch.capture(
        str(tmp_path / "long.mp4"),
        engines=folder,
        backend="onnxruntime-cpu",
        start=0.5,
        end="1.5",
        clip_id="part",
        actor="Ada",
        timecode="01:00:00:00",
        settings=settings,
        solve=solve,
    )
    assert len(take.final) == 30
    assert files_of(take, tmp_path) == files_in(output, "part")


def test_videos_by_themselves_and_the_folder_that_they_give(
    random_engines: EngineSet, ray_floor: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_clips(tmp_path, {"a": 12, "b": 9})
    videos, output, folder = (
        [tmp_path / "a.mp4", str(tmp_path / "b.mp4")],
        tmp_path / "out",
        random_engines.folder,
    )
    summary = facecap_batch.run(videos, output, engines=folder, backend="onnxruntime-cpu", workers=1)
    assert (summary.done, summary.clips, summary.frames) == (2, 2, 21)
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    status = facecap_batch.status(str(output))
    assert (status.state, status.done, status.frames) == ("finished", 2, 21)
    take = facecap_batch.capture(videos[0], engines=folder, backend="onnxruntime-cpu")
    assert files_of(take, tmp_path) == files_in(output, "a")
    again = facecap_batch.read(output, "a")
    assert again.to_arrow().equals(take.to_arrow(), check_metadata=True)
    assert again.to_arrow("raw").equals(take.to_arrow("raw"), check_metadata=True)
    rows = facecap_batch.query(
        output, "SELECT clip_id, count(*) AS n FROM coefficients GROUP BY 1 ORDER BY 1"
    )
    assert rows.to_pydict() == {"clip_id": ["a", "b"], "n": [12, 9]}
    exported = facecap_batch.export(output, "livelink", clip_ids=["b"])
    assert [str(clip.path) for clip in exported] == [str(output / "livelink" / "b.csv")]
    drawn = facecap_batch.preview(output, sheet=True, to=tmp_path / "sheets")
    assert all(Path(str(clip.path)).stat().st_size for clip in drawn) and len(drawn) == 2
    assert facecap_batch.run(videos, output, engines=folder, backend="onnxruntime-cpu").kept == 2
