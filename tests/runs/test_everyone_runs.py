"""Runs with several faces: files of everyone, the same bytes however the work is done, and reruns."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import facecap_batch
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.coefficients import SCHEMA, SHOT_NAME, read_tracks
from facecap_batch.engines.sets import EngineSet
from facecap_batch.errors import BadManifest
from facecap_batch.exporting.choice import choose
from facecap_batch.exporting.formats import EXPORTERS
from facecap_batch.output.compact_index import read_clip_tracks
from facecap_batch.output.compaction import compact
from facecap_batch.output.exports import export_clips, preview_clips
from facecap_batch.output.ledger import Ledger
from facecap_batch.output.query import query
from facecap_batch.runs.config import RunConfig
from facecap_batch.runs.footage.naming import default_clip_id
from facecap_batch.runs.manifest import read_manifest
from tests.support.commands import call
from tests.support.long_clips import CLOSED
from tests.support.runs import make_config_of, results, rows, run_quietly, write_manifest
from tests.support.videos import picture, write_video

FRAMES = 150
FACES = 3  # the random detector finds faces everywhere


def config_of(engines: EngineSet, faces: int = FACES) -> RunConfig:
    return dataclasses.replace(make_config_of(engines), capture=CaptureSettings(faces=faces))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    first = picture(5, 192, 144)
    images = [first if k < 90 else 255 - first for k in range(FRAMES)]
    write_video(folder / "take.mp4", images, **CLOSED)  # type: ignore[arg-type]
    return write_manifest(folder, [{"path": "take.mp4", "actor": "Ada"}])


@pytest.fixture(scope="module")
def output(manifest: Path, random_engines: EngineSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "out"
    summary = run_quietly(manifest, folder, config_of(random_engines), workers=1, segment_s=0.0)
    assert summary.exit_code == 0
    return folder


NAMES = {
    "raw/take.parquet",
    "coefficients/take.parquet",
    "fbx/take.fbx",
    "fbx/take.track1.fbx",
    "fbx/take.track2.fbx",
}


def test_everyone_has_rows_and_an_animation(output: Path) -> None:
    assert set(results(output)) == NAMES
    table = pq.read_table(output / "coefficients" / "take.parquet")
    assert table.column_names == [*SCHEMA.names, SHOT_NAME]
    order = list(zip(table["track"].to_pylist(), table["frame_index"].to_pylist(), strict=True))
    assert order == sorted(set(order)) and pc.sum(pc.equal(table["track"], 0)).as_py() == FRAMES
    raw = read_tracks(output / "raw" / "take.parquet")
    assert [track.track for track in raw] == [0, 1, 2]
    assert b"take.track2" in (output / "fbx" / "take.track2.fbx").read_bytes()


def test_the_reports_name_people_shots_and_files(output: Path) -> None:
    row = rows(output)["take"]
    assert row["people"] == 3 and row["shots"] == 2
    record = Ledger(output).get("take")
    assert record is not None and set(record.outputs) == NAMES


def test_segments_and_python_give_the_same_bytes(
    manifest: Path, output: Path, random_engines: EngineSet, tmp_path: Path
) -> None:
    config = config_of(random_engines)
    run_quietly(manifest, tmp_path / "cut", config, workers=1, segment_s=1.5)
    assert results(tmp_path / "cut") == results(output)
    take = facecap_batch.capture(
        manifest.parent / "take.mp4",
        engines=random_engines.folder,
        backend="onnxruntime-cpu",
        faces=FACES,
        actor="Ada",
    )
    take.to_parquet(tmp_path / "final.parquet")
    take.to_parquet(tmp_path / "raw.parquet", "raw")
    take.export(tmp_path / "two.fbx", track=2)
    made = results(output)
    assert (tmp_path / "final.parquet").read_bytes() == made["coefficients/take.parquet"]
    assert (tmp_path / "raw.parquet").read_bytes() == made["raw/take.parquet"]
    assert (tmp_path / "two.fbx").read_bytes() == made["fbx/take.track2.fbx"]
    assert len(take.to_arrow()) == sum(len(track) for track in take.final_tracks)
    with pytest.raises(facecap_batch.FacecapError, match="has no track 7"):
        take.table(track=7)


def test_solve_again_and_other_numbers_of_faces(
    manifest: Path, output: Path, random_engines: EngineSet, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    run_quietly(manifest, folder, config_of(random_engines), workers=1)
    unsolved = dataclasses.replace(
        config_of(random_engines), solve=facecap_batch.SolveSettings(enabled=False)
    )
    run_quietly(manifest, folder, unsolved, workers=1)
    assert results(folder)["raw/take.parquet"] == results(output)["raw/take.parquet"]
    assert results(folder)["fbx/take.track1.fbx"] != results(output)["fbx/take.track1.fbx"]
    run_quietly(manifest, folder, config_of(random_engines, 2), workers=1)
    assert set(results(folder)) == NAMES - {"fbx/take.track2.fbx"}
    run_quietly(manifest, folder, config_of(random_engines, 1), workers=1)
    assert {name for name in results(folder) if name.startswith("fbx")} == {"fbx/take.fbx"}
    assert rows(folder)["take"]["people"] is None is rows(folder)["take"]["shots"]


def test_exports_previews_and_queries_of_everyone(output: Path, tmp_path: Path) -> None:
    made = list(export_clips(output, [], tmp_path, choose("livelink", None, None)))
    assert [(each.track, each.path.name) for each in made if each.path] == [
        (0, "take.csv"),
        (1, "take.track1.csv"),
        (2, "take.track2.csv"),
    ]
    assert (
        len({len((tmp_path / name).read_text().splitlines()) for name in ("take.csv", "take.track2.csv")})
        == 1
    )
    for format, (_, suffix) in EXPORTERS.items():
        names = [f"take{suffix}", f"take.track1{suffix}", f"take.track2{suffix}"]
        made = list(export_clips(output, [], tmp_path / format, choose(format, None, None)))
        assert [(each.error, each.path and each.path.name) for each in made] == [(None, n) for n in names]
    list(export_clips(output, [], tmp_path, choose("fbx", None, None)))
    for name in ("take.fbx", "take.track1.fbx"):
        assert (tmp_path / name).read_bytes() == (output / "fbx" / name).read_bytes()
    (sheet,) = preview_clips(output, [], tmp_path, ".jpg")
    assert sheet.error is None and (tmp_path / "take.jpg").stat().st_size
    of_all = query(output, "SELECT DISTINCT track FROM coefficients ORDER BY 1")
    assert of_all.to_pydict() == {"track": [0, 1, 2]}
    shots = query(output, "SELECT max(shot) AS last FROM coefficients WHERE track = 0")
    assert shots.to_pydict() == {"last": [1]}


def test_compact_files_hold_everyone(manifest: Path, random_engines: EngineSet, tmp_path: Path) -> None:
    run_quietly(manifest, tmp_path, config_of(random_engines), workers=1)
    small = read_tracks(tmp_path / "raw" / "take.parquet")
    assert compact(tmp_path, remove_originals=True).removed == 2
    kept = read_clip_tracks(tmp_path, "raw/take.parquet")
    assert [(each.track, len(each)) for each in kept] == [(each.track, len(each)) for each in small]
    np.testing.assert_array_equal(kept[1].coefficients, small[1].coefficients)


def test_folders_of_both_kinds_answer_queries(
    manifest: Path, random_engines: EngineSet, tmp_path: Path
) -> None:
    """One command asked for everyone, the next, for another clip, for one."""
    footage = manifest.parent / "other.mp4"
    write_video(footage, 12)
    engines, backend = random_engines.folder, "onnxruntime-cpu"
    for name, faces in ((manifest.parent / "take.mp4", 2), (footage, 1)):
        facecap_batch.run([name], tmp_path, engines=engines, backend=backend, workers=1, faces=faces)
    found = query(
        tmp_path, "SELECT clip_id, max(shot) AS shot, max(track) AS t FROM raw GROUP BY 1 ORDER BY 1"
    )
    assert found.to_pydict() == {"clip_id": ["other", "take"], "shot": [None, 1], "t": [0, 1]}


def test_no_clip_is_named_like_somebody_in_another(tmp_path: Path) -> None:
    assert default_clip_id("take.track1.mp4") == "take-track1"
    manifest = write_manifest(tmp_path, [{"path": "a.mp4", "clip_id": "take.Track12"}])
    with pytest.raises(BadManifest, match=r"take.Track12.*ends in .track and a number"):
        read_manifest(manifest)


@pytest.mark.parametrize("faces", ["0", "40", "some"])
def test_numbers_of_faces_that_are_refused(
    faces: str, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, errors = call(capsys, "run", manifest, "--output", tmp_path / "out", "--faces", faces)
    assert code == 2 and "--faces" in errors and "1 to 32 or 'all'" in errors
    assert not (tmp_path / "out").exists()


def test_one_face_has_the_fingerprint_of_versions_that_knew_no_others() -> None:
    plain = RunConfig("discs", {}, CaptureSettings(), facecap_batch.SolveSettings())
    assert "faces" not in plain._capture_description()["capture"]
    prints = {
        dataclasses.replace(plain, capture=CaptureSettings(faces=faces)).capture_fingerprint()  # type: ignore[arg-type]
        for faces in (1, 2, "all")
    }
    assert len(prints) == 3
    several = dataclasses.replace(plain, capture=CaptureSettings(faces="all"))
    assert RunConfig.from_description(several.describe()) == several
