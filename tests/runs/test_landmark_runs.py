"""Runs that ask for landmarks: the same bytes however the work is done, reruns, and what reads the folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import facecap_batch
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.coefficients import GAZE_NAMES, SCHEMA, SHOT_NAME, landmark_names, read_tracks
from facecap_batch.engines.cards import read_card
from facecap_batch.engines.default_crop import POINTS
from facecap_batch.engines.sets import EngineSet
from facecap_batch.errors import EngineError
from facecap_batch.output.compact_index import read_clip_tracks
from facecap_batch.output.compaction import compact
from facecap_batch.output.exports import preview_clips
from facecap_batch.output.query import query
from facecap_batch.runs.config import RunConfig, RunOptions
from facecap_batch.runs.start import resolve_run
from facecap_batch.solve.settings import SolveSettings
from tests.support.commands import call
from tests.support.long_clips import CLOSED
from tests.support.runs import make_config_of, results, rows, run_quietly, write_manifest
from tests.support.videos import picture, write_video

FRAMES = 150
FACES = 2  # the random detector finds faces everywhere
COLUMNS = [*landmark_names(POINTS), *GAZE_NAMES]


def config_of(engines: EngineSet, landmarks: bool = True, faces: int = FACES) -> RunConfig:
    capture = CaptureSettings(faces=faces, landmarks=landmarks)
    return dataclasses.replace(make_config_of(engines), capture=capture)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    first = picture(5, 192, 144)
    images = [first if k < 90 else 255 - first for k in range(FRAMES)]
    write_video(folder / "take.mp4", images, **CLOSED)  # type: ignore[arg-type]
    return write_manifest(folder, [{"path": "take.mp4"}])


@pytest.fixture(scope="module")
def output(manifest: Path, random_engines: EngineSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "out"
    summary = run_quietly(manifest, folder, config_of(random_engines), workers=1, segment_s=0.0)
    assert summary.exit_code == 0
    return folder


def test_columns_stand_behind_all_others_in_both_tables(output: Path) -> None:
    for kind in ("raw", "coefficients"):
        schema = pq.read_schema(output / kind / "take.parquet")
        assert schema.names == [*SCHEMA.names, SHOT_NAME, *COLUMNS]
        assert {str(schema.field(name).type) for name in COLUMNS} == {"float"}
    assert rows(output)["take"]["landmarks"] == POINTS


def test_who_does_not_ask_sees_the_same_bytes_and_numbers(
    manifest: Path, output: Path, random_engines: EngineSet, tmp_path: Path
) -> None:
    run_quietly(manifest, tmp_path, config_of(random_engines, landmarks=False), workers=1)
    assert rows(tmp_path)["take"]["landmarks"] is None
    for kind in ("raw", "coefficients"):
        plain = pq.read_table(tmp_path / kind / "take.parquet")
        asked = pq.read_table(output / kind / "take.parquet")
        assert plain.column_names == [*SCHEMA.names, SHOT_NAME]
        assert plain.equals(asked.select(plain.column_names))
    assert set(results(tmp_path)) == set(results(output))


def test_segments_python_and_solve_give_the_same_bytes(
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
        landmarks=True,
    )
    for which, kind in (("final", "coefficients"), ("raw", "raw")):
        take.to_parquet(tmp_path / which, which)  # type: ignore[arg-type]
        assert (tmp_path / which).read_bytes() == results(output)[f"{kind}/take.parquet"]
    assert take.final.landmarks.shape == (FRAMES, POINTS, 2)
    options = RunOptions(tmp_path / "cut", workers=1)
    resolve_run(SolveSettings(smoothing=3.0), options)
    assert results(tmp_path / "cut") != results(output)
    resolve_run(config.solve, options)
    assert results(tmp_path / "cut") == results(output)


def test_asking_does_a_clip_again_and_so_does_asking_no_more(
    manifest: Path, output: Path, random_engines: EngineSet, tmp_path: Path
) -> None:
    frames = [
        run_quietly(manifest, tmp_path, config_of(random_engines, landmarks), workers=1).frames
        for landmarks in (False, True, True, False)
    ]
    assert [bool(number) for number in frames] == [True, True, False, True]


def test_who_never_asks_has_the_fingerprint_of_versions_that_could_not() -> None:
    plain = RunConfig("discs", {}, CaptureSettings(), SolveSettings())
    assert "landmarks" not in plain._capture_description()["capture"]
    asked = dataclasses.replace(plain, capture=CaptureSettings(landmarks=True))
    assert asked.capture_fingerprint() != plain.capture_fingerprint()
    assert RunConfig.from_description(asked.describe()) == asked
    known_before = plain.describe()
    del known_before["capture"]["landmarks"]
    assert RunConfig.from_description(known_before) == plain


def test_previews_queries_and_compact_files_have_them(
    manifest: Path, random_engines: EngineSet, tmp_path: Path
) -> None:
    run_quietly(manifest, tmp_path, config_of(random_engines), workers=1)
    (sheet,) = preview_clips(tmp_path, [], tmp_path / "sheets", ".jpg")
    assert sheet.error is None
    asked = "SELECT count(landmark70Y) AS n, max(abs(gazeRightPitch)) AS g FROM raw WHERE track = 1"
    found = query(tmp_path, asked)
    assert found["n"][0].as_py() > 0 and found["g"][0].as_py() > 0
    small = read_tracks(tmp_path / "raw" / "take.parquet")
    assert compact(tmp_path, remove_originals=True).removed == 2
    assert query(tmp_path, asked) == found
    for kept, before in zip(read_clip_tracks(tmp_path, "raw/take.parquet"), small, strict=True):
        np.testing.assert_array_equal(kept.landmarks, before.landmarks)
        np.testing.assert_array_equal(kept.gaze(), before.gaze())


def test_folders_of_both_kinds_answer_queries(
    manifest: Path, random_engines: EngineSet, tmp_path: Path
) -> None:
    write_video(manifest.parent / "other.mp4", 12)
    for name, landmarks in (("other", False), ("take", True)):
        facecap_batch.run(
            [manifest.parent / f"{name}.mp4"],
            tmp_path,
            engines=random_engines.folder,
            backend="onnxruntime-cpu",
            workers=1,
            landmarks=landmarks,
        )
    asked = "SELECT clip_id, count(landmark00X) > 0 AS has FROM coefficients GROUP BY 1 ORDER BY 1"
    expected = {"clip_id": ["other", "take"], "has": [False, True]}
    assert query(tmp_path, asked).to_pydict() == expected
    compact(tmp_path, remove_originals=True)
    assert query(tmp_path, asked).to_pydict() == expected


def test_engines_without_landmarks_are_refused_before_anything_runs(
    manifest: Path, random_engines: EngineSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engines = tmp_path / "engines"
    engines.mkdir()
    for file in random_engines.folder.iterdir():
        (engines / file.name).write_bytes(file.read_bytes())
    card = read_card(engines / "regressor.json")
    outputs = {name: shape for name, shape in card.outputs.items() if name != "landmarks"}
    (engines / "regressor.json").write_text(dataclasses.replace(card, outputs=outputs).to_json())
    out = tmp_path / "out"
    for command in (("run", manifest), ("record", "udp://127.0.0.1:9")):
        code, _, errors = call(capsys, *command, "-o", out, "--engines", engines, "--landmarks")
        assert code == 2 and "test-regressor" in errors and "no output 'landmarks'" in errors
        assert not out.exists()
    with pytest.raises(EngineError, match="no output 'landmarks'"):
        facecap_batch.capture(manifest.parent / "take.mp4", engines=engines, landmarks=True)


def test_open_engines_have_landmarks_by_their_settings(
    manifest: Path, random_engines: EngineSet, tmp_path: Path
) -> None:
    settings = CaptureSettings(landmarks=True)
    with facecap_batch.open_engines(
        random_engines.folder, backend="onnxruntime-cpu", settings=settings
    ) as engines:
        take = facecap_batch.capture(manifest.parent / "take.mp4", engines=engines, end=0.5)
        assert take.to_arrow("raw").column_names[-4:] == list(GAZE_NAMES)
        with pytest.raises(ValueError, match="landmarks and settings belong to open_engines"):
            facecap_batch.capture(manifest.parent / "take.mp4", engines=engines, landmarks=True)
