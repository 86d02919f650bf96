"""Whole runs whose manifest, videos and output lie in an object store: the same bytes as on a local disk,
through errors that pass, after errors that stay.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from object_store import BUCKET, ObjectStore
from runs_for_tests import RESULTS, half_written, results, run_quietly, write_clips

from facecap_batch.cli import main
from facecap_batch.config import RunConfig
from facecap_batch.remote import RemotePath
from facecap_batch.storage import place, publish_bytes

pytestmark = pytest.mark.usefixtures("store", "ray_floor")

LENGTHS = {"one": 12, "two": 24, "three [3]": 9}
FILES = {"raw": "parquet", "coefficients": "parquet", "fbx": "fbx"}


@pytest.fixture(scope="module")
def local(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run on a local disk makes of the clips."""
    folder = tmp_path_factory.mktemp("local")
    assert run_quietly(write_clips(folder, LENGTHS), folder / "out", config).exit_code == 0
    return results(folder / "out")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, store: ObjectStore) -> str:
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, LENGTHS)
    for path in folder.iterdir():
        publish_bytes(place(f"s3://{BUCKET}/footage/{path.name}"), path.read_bytes())
    return f"s3://{BUCKET}/footage/manifest.csv"


@pytest.fixture
def output(request: pytest.FixtureRequest) -> RemotePath:
    return RemotePath(f"s3://{BUCKET}/{request.node.name}")


def remote_results(output: RemotePath) -> dict[str, bytes]:
    names = [name for name in output.sizes() if name.partition("/")[0] in RESULTS]
    return {name: (output / name).read_bytes() for name in names}


def rows(output: RemotePath) -> dict[str, dict[str, Any]]:
    table = pq.read_table(io.BytesIO((output / "clips.parquet").read_bytes()))
    return {row["clip_id"]: row for row in table.to_pylist()}


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return int(left.value.code or 0)


def test_the_same_bytes_through_errors_that_pass(
    store: ObjectStore,
    manifest: str,
    local: dict[str, bytes],
    config: RunConfig,
    output: RemotePath,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    options = ["--engines", config.engines, "--backend", "onnxruntime-cpu", "--workers", "2", "--quiet"]
    with (
        store.fault("GET", "footage/two.mp4", times=2),
        store.fault("PUT", "/raw/", times=2),
        store.fault("PUT", "/fbx/", times=1, status=0),
        store.fault("PUT", "/ledger/", times=2, status=500),
    ):
        assert command("run", manifest, "--output", output.uri, *options) == 0
        assert not any(fault.times for fault in store.faults)
    assert remote_results(output) == local
    assert sorted(output.sizes()) == sorted(
        ["clips.parquet", "run.json"]
        + [f"ledger/{name}.json" for name in LENGTHS]
        + [f"{kind}/{name}.{suffix}" for name in LENGTHS for kind, suffix in FILES.items()]
    )
    assert {name: row["attempts"] for name, row in rows(output).items()} == dict.fromkeys(LENGTHS, 1)
    assert json.loads((output / "run.json").read_bytes())["manifest"] == manifest

    # Everything that a folder is asked afterwards.
    capsys.readouterr()
    assert command("status", output.uri) == 0
    assert "finished: 3 of 3 clips done" in capsys.readouterr().out
    assert (
        command("query", output.uri, "SELECT count(*) AS n FROM coefficients JOIN clips USING (clip_id)") == 0
    )
    assert str(sum(LENGTHS.values())) in capsys.readouterr().out
    assert command("export", output.uri, "--format", "livelink") == 0
    assert (output / "livelink/two.csv").read_bytes().count(b"\n") == 1 + LENGTHS["two"]
    assert command("export", output.uri, "--format", "fbx", "--clip", "one", "--to", str(tmp_path)) == 0
    assert (tmp_path / "one.fbx").read_bytes() == local["fbx/one.fbx"]
    assert command("preview", output.uri, "--sheet", "--clip", "one") == 0
    assert (output / "preview/one.jpg").stat().st_size > 1000
    assert command("solve", output.uri, "--smoothing", "0", "--quiet") == 0
    rough = remote_results(output)
    assert rough.keys() == local.keys() and rough != local
    assert command("run", manifest, "--output", output.uri, *options) == 0  # from raw/, no video is opened
    assert remote_results(output) == local


def test_a_rerun_does_what_is_missing_or_changed(
    store: ObjectStore, manifest: str, config: RunConfig, output: RemotePath
) -> None:
    assert run_quietly(place(manifest), output, config).exit_code == 0
    store.forget()
    assert run_quietly(place(manifest), output, config).kept == len(LENGTHS)
    asked = [address for method, address in store.requests if method in ("GET", "HEAD")]
    assert len([address for address in asked if "/ledger/" in address]) <= len(LENGTHS)
    assert not [address for address in asked if "/raw/" in address or "/fbx/" in address]
    (output / "fbx/one.fbx").unlink()
    source = place(manifest).parent / "two.mp4"
    before = source.read_bytes()
    try:
        publish_bytes(source, before + bytes(8))
        assert run_quietly(place(manifest), output, config).kept == 1
    finally:
        publish_bytes(source, before)


def test_errors_that_stay_cost_their_clip_and_a_rerun_finishes(
    store: ObjectStore, manifest: str, local: dict[str, bytes], config: RunConfig, output: RemotePath
) -> None:
    with store.fault("PUT", "/fbx/two", 99, 403), store.fault("HEAD", "footage/one.mp4", 99, 403):
        summary = run_quietly(place(manifest), output, config)
    assert (summary.exit_code, summary.done, summary.failed) == (1, 1, 2)
    found = rows(output)
    assert (found["two"]["error_type"], found["two"]["attempts"]) == ("OutputNotWritable", 1)
    assert "fbx/two.fbx" in found["two"]["error"] and "same command" in found["two"]["error"]
    assert (found["one"]["error_type"], found["one"]["attempts"]) == ("InputNotReadable", 1)
    assert not (output / "fbx/two.fbx").exists()
    assert all(local[name] == content for name, content in remote_results(output).items())
    summary = run_quietly(place(manifest), output, config)
    assert (summary.exit_code, summary.kept) == (0, 1)
    assert remote_results(output) == local


def test_manifest_and_output_may_lie_apart(
    manifest: str, local: dict[str, bytes], config: RunConfig, tmp_path: Path
) -> None:
    lines = ["path", *(f"s3://{BUCKET}/footage/{name}.mp4" for name in LENGTHS)]
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    assert run_quietly(tmp_path / "manifest.csv", tmp_path / "out", config).exit_code == 0
    # Tables name their source as the manifest does; the animation does not.
    found = results(tmp_path / "out")
    assert {name: content for name, content in found.items() if name.startswith("fbx/")} == {
        name: content for name, content in local.items() if name.startswith("fbx/")
    }
    assert not half_written(tmp_path)
