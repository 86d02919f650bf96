"""A whole run whose manifest, videos and output lie in an object store: the same bytes as on a local disk,
through errors that pass, after errors that stay.
"""

from __future__ import annotations

import functools
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from facecap_batch.cli.app import main
from facecap_batch.output.ledger import DONE, Ledger
from facecap_batch.output.lock import OutputLock
from facecap_batch.runs.clip_steps import process
from facecap_batch.runs.config import RunConfig
from facecap_batch.runs.manifest import read_manifest
from facecap_batch.runs.opened_engines import open_engines
from facecap_batch.runs.planner import WorkItem
from facecap_batch.storage.publish import StoragePath, publish_bytes, storage_path
from facecap_batch.storage.remote import RemotePath
from tests.support.object_store import BUCKET, ObjectStore
from tests.support.runs import RESULTS, results, write_clips

pytestmark = pytest.mark.usefixtures("store", "ray_floor")

LENGTHS = {"one": 9, "two": 12, "three [3]": 6}
FILES = {"raw": "parquet", "coefficients": "parquet", "fbx": "fbx"}
OUTPUT = RemotePath(f"s3://{BUCKET}/animation/out")


def work(manifest: Path | str, output: StoragePath, config: RunConfig, reuse_raw: bool = False) -> None:
    """What the workers of a run do, without a run."""
    engines = functools.cache(lambda: open_engines(config))
    with OutputLock(output) as lock:
        for clip in read_manifest(manifest).clips:
            process(WorkItem(clip, "", 1.0, reuse_raw), config, lock.claim, engines)


@pytest.fixture(scope="module")
def footage_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    write_clips(folder, LENGTHS)
    return folder


@pytest.fixture(scope="module")
def local(
    footage_folder: Path, config: RunConfig, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """What becomes of the clips on a local disk."""
    output = tmp_path_factory.mktemp("local")
    work(footage_folder / "manifest.csv", output, config)
    return results(output)


@pytest.fixture(scope="module")
def manifest(footage_folder: Path, store: ObjectStore) -> str:
    for path in footage_folder.iterdir():
        publish_bytes(storage_path(f"s3://{BUCKET}/footage/{path.name}"), path.read_bytes())
    return f"s3://{BUCKET}/footage/manifest.csv"


def remote_results() -> dict[str, bytes]:
    names = [name for name in OUTPUT.sizes() if name.partition("/")[0] in RESULTS]
    return {name: (OUTPUT / name).read_bytes() for name in names}


def rows() -> dict[str, dict[str, Any]]:
    table = pq.read_table(io.BytesIO((OUTPUT / "clips.parquet").read_bytes()))
    return {row["clip_id"]: row for row in table.to_pylist()}


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return int(left.value.code or 0)


def test_the_same_bytes_as_on_a_local_disk_whatever_fails(
    store: ObjectStore,
    manifest: str,
    local: dict[str, bytes],
    config: RunConfig,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    run = ["run", manifest, "--output", OUTPUT.uri, "--engines", config.engines, "--workers", "1", "--quiet"]
    with store.fault("PUT", "/fbx/two", 99, 403), store.fault("HEAD", "footage/one.mp4", 99, 403):
        assert command(*run) == 1
    found = rows()
    assert {name: row["status"] for name, row in found.items()} == dict(
        zip(LENGTHS, ("failed", "failed", "done"), strict=True)
    )
    assert (found["two"]["error_type"], found["two"]["attempts"]) == ("OutputNotWritable", 1)
    assert "fbx/two.fbx" in found["two"]["error"] and "same command" in found["two"]["error"]
    assert (found["one"]["error_type"], found["one"]["attempts"]) == ("InputNotReadable", 1)
    assert not (OUTPUT / "fbx/two.fbx").exists()
    assert all(local[name] == content for name, content in remote_results().items())

    with (
        store.fault("GET", "footage/two.mp4", times=2),
        store.fault("PUT", "/raw/", times=2),
        store.fault("PUT", "/fbx/", times=1, status=0),
        store.fault("PUT", "/ledger/", times=2, status=500),
    ):
        assert command(*run) == 0
        assert not any(fault.times for fault in store.faults)
    assert remote_results() == local
    assert sorted(OUTPUT.sizes()) == sorted(
        ["clips.parquet", "run.json"]
        + [f"ledger/{name}.json" for name in LENGTHS]
        + [f"{kind}/{name}.{suffix}" for name in LENGTHS for kind, suffix in FILES.items()]
    )
    assert {row["attempts"] for row in rows().values()} == {1}
    assert json.loads((OUTPUT / "run.json").read_bytes())["manifest"] == manifest

    # Nothing is left to do, and that costs a few requests, not some for every file.
    store.forget()
    assert command(*run) == 0
    asked = [address for method, address in store.requests if method in ("GET", "HEAD")]
    assert len([address for address in asked if "/ledger/" in address]) <= len(LENGTHS)
    assert not [address for address in asked if "/raw/" in address or "/fbx/" in address]
    assert {record.status for record in Ledger(OUTPUT).records()} == {DONE}

    # What a folder is asked afterwards.
    capsys.readouterr()
    assert command("status", OUTPUT.uri) == 0
    assert "finished: 3 of 3 clips done" in capsys.readouterr().out
    assert command("query", OUTPUT.uri, "SELECT count(*) FROM coefficients JOIN clips USING (clip_id)") == 0
    assert str(sum(LENGTHS.values())) in capsys.readouterr().out
    assert command("export", OUTPUT.uri, "--format", "livelink") == 0
    assert (OUTPUT / "livelink/two.csv").read_bytes().count(b"\n") == 1 + LENGTHS["two"]
    assert command("export", OUTPUT.uri, "--format", "fbx", "--clip", "one", "--to", str(tmp_path)) == 0
    assert (tmp_path / "one.fbx").read_bytes() == local["fbx/one.fbx"]
    assert command("preview", OUTPUT.uri, "--sheet", "--clip", "one") == 0
    assert (OUTPUT / "preview/one.jpg").stat().st_size > 1000

    # Small tables become large ones there too, and lose nothing by it.
    assert command("compact", OUTPUT.uri, "--remove-originals") == 0
    assert not [name for name in OUTPUT.sizes() if name.startswith(("raw/", "coefficients/"))]
    capsys.readouterr()
    assert command("query", OUTPUT.uri, "SELECT count(*) FROM coefficients JOIN clips USING (clip_id)") == 0
    assert str(sum(LENGTHS.values())) in capsys.readouterr().out
    assert command("export", OUTPUT.uri, "--format", "fbx", "--clip", "two", "--to", str(tmp_path)) == 0
    assert (tmp_path / "two.fbx").read_bytes() == local["fbx/two.fbx"]
    assert command(*run) == 0
    assert not (OUTPUT / "raw/one.parquet").exists()


def test_solve_begins_with_the_raw_tables_where_they_lie(
    manifest: str, local: dict[str, bytes], config: RunConfig
) -> None:
    output = RemotePath(f"s3://{BUCKET}/again")
    for name, content in local.items():
        if name.startswith("raw/"):
            publish_bytes(output / name, content)
    work(manifest, output, config, reuse_raw=True)
    assert {name: (output / name).read_bytes() for name in output.sizes()} == local
