"""Files behind URIs, on a real S3 server, in memory and on a file system with rename: published whole or not
at all, read where they lie, and patient with storage that fails for a while.
"""

from __future__ import annotations

import errno
import hashlib
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from facecap_batch.clip import Clip
from facecap_batch.errors import (
    BadManifest,
    BadVideo,
    InputNotReadable,
    OutputNotWritable,
    StorageUnavailable,
)
from facecap_batch.output.input_identity import identify, identify_all
from facecap_batch.output.lock import OutputLock
from facecap_batch.output.ownership.folders import remove_leftovers
from facecap_batch.output.query import query
from facecap_batch.runs.clip_steps import classify_error
from facecap_batch.runs.manifest import read_manifest
from facecap_batch.storage import connection
from facecap_batch.storage.publish import (
    StoragePath,
    arrow_source,
    publish_bytes,
    published,
    storage_path,
)
from facecap_batch.storage.remote import RemotePath
from facecap_batch.storage.remote_video import open_remote
from facecap_batch.storage.temporary import temporary_name
from facecap_batch.video.decoder import decode
from tests.support.object_store import BUCKET, ObjectStore
from tests.support.runs import small_disk
from tests.support.videos import write_video

S3 = f"s3://{BUCKET}"


@pytest.fixture(autouse=True)
def own_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the project's own retries are tested, with short pauses: the client's would hide them."""
    alone = {"use_listings_cache": False, "config_kwargs": {"retries": {"max_attempts": 0}}}
    monkeypatch.setitem(connection.CLIENT_OPTIONS, "s3", alone)
    monkeypatch.setattr(connection, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(connection, "PAUSE_JITTER_S", 0.01)


@pytest.fixture(params=["s3", "memory", "local"])
def folder(request: pytest.FixtureRequest, store: ObjectStore, tmp_path: Path) -> StoragePath:
    """An empty folder of each kind; ``local://`` is fsspec's file system with rename."""
    return storage_path(
        {
            "s3": f"{S3}/{tmp_path.name}",
            "memory": f"memory://{tmp_path.name}",
            "local": f"local://{tmp_path}/out",
        }[request.param]
    )


def decoded(path: object, **options: object) -> list[tuple[int, str]]:
    return [
        (frame.pts, hashlib.sha256(frame.rgb().tobytes()).hexdigest())
        for frame in decode(str(path), thread_count=1, **options)  # type: ignore[arg-type]
    ]


def put(path: str, content: bytes | Path) -> str:
    publish_bytes(storage_path(path), content if isinstance(content, bytes) else content.read_bytes())
    return path


# --- paths ----------------------------------------------------------------------------------------------


def test_texts_become_paths() -> None:
    assert storage_path("out/x") == Path("out/x") and storage_path("file:///a%20b/c") == Path("/a b/c")
    take = storage_path("s3://bucket/out/") / "fbx" / "take 1.fbx"
    assert str(take) == "s3://bucket/out/fbx/take 1.fbx"
    assert (take.name, take.stem, take.suffix) == ("take 1.fbx", "take 1", ".fbx")
    assert str(take.parent.parent.parent) == "s3://bucket" == str(RemotePath("s3://bucket").parent)
    assert str(storage_path("s3://bucket/a/b") / "../c/./d") == "s3://bucket/a/c/d"
    assert str(storage_path("s3://bucket") / "../../c") == "s3://bucket/c"


def test_files_are_published_whole_or_not_at_all(folder: StoragePath) -> None:
    path = folder / "below" / "a[1] ü.bin"
    assert not folder.exists() and not path.exists() and list(folder.iterdir()) == []
    publish_bytes(path, b"first")
    with pytest.raises(RuntimeError, match="half-way"), published(path) as temporary:
        temporary.write_bytes(b"seco")
        raise RuntimeError("half-way")
    assert path.read_bytes() == b"first" and path.stat().st_size == 5
    publish_bytes(path, b"second time")
    assert path.read_bytes() == b"second time" and path.is_file() and path.parent.is_dir()
    assert isinstance(folder, RemotePath)
    assert folder.sizes() == {"below/a[1] ü.bin": 11}
    assert [str(found) for found in folder.iterdir()] == [str(folder / "below")]
    assert folder.read_many(["below/a[1] ü.bin", "below/none"]) == {"below/a[1] ü.bin": b"second time"}
    assert [found.name for found in path.parent.glob("a*.bin")] == ["a[1] ü.bin"]
    path.unlink()
    path.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        path.read_bytes()


def test_a_folder_that_was_made_by_hand_is_empty(store: ObjectStore) -> None:
    fsspec.filesystem("s3").touch(f"{BUCKET}/by-hand/")
    folder = RemotePath(f"{S3}/by-hand")
    assert list(folder.iterdir()) == [] and folder.sizes() == {}


LOCAL_ONLY = """
import sys
from pathlib import Path
from facecap_batch.runs.config import RunConfig
from facecap_batch.output.input_identity import identify
from facecap_batch.output.ledger import Ledger
from facecap_batch.output.lock import OutputLock
from facecap_batch.runs.manifest import read_manifest
from facecap_batch.output.ownership.folders import remove_leftovers
from facecap_batch.storage.publish import storage_path, publish_bytes
from facecap_batch.video.decoder import decode

folder = Path(sys.argv[1])
publish_bytes(storage_path(str(folder / "manifest.csv")), b"path\\na.mp4\\n")
(clip,) = read_manifest(folder / "manifest.csv").clips
assert identify(clip).size > 0 and sum(1 for _ in decode(clip.path)) == 3
with OutputLock(folder / "out"):
    assert Ledger(folder / "out").as_of_now().get("a") is None
    remove_leftovers(folder / "out")
assert "fsspec" not in sys.modules
"""


def test_local_disks_need_no_storage_library(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 3)
    subprocess.run([sys.executable, "-c", LOCAL_ONLY, str(tmp_path)], check=True)


def test_what_an_interrupted_upload_leaves_is_removed(tmp_path: Path, store: ObjectStore) -> None:
    """Where files are uploaded beside their final name and renamed; object stores leave nothing behind."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / temporary_name("a.parquet")).write_bytes(b"half")
    (tmp_path / "raw/a.parquet").write_bytes(b"whole")
    assert remove_leftovers(storage_path(f"local://{tmp_path}")) == 1
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["a.parquet"]
    assert remove_leftovers(storage_path(S3)) == 0


@pytest.mark.parametrize("status", [503, 500, 0], ids=["throttled", "5xx", "connection lost"])
def test_errors_that_pass_are_waited_out(store: ObjectStore, status: int) -> None:
    path = storage_path(f"{S3}/passing/{status}.bin")
    with store.fault("PUT", f"{status}.bin", times=2, status=status) as fault:
        publish_bytes(path, b"here")
    assert fault.times == 0
    with store.fault("GET", f"{status}.bin", times=2, status=status) as fault:
        assert path.read_bytes() == b"here"
    assert fault.times == 0


def test_errors_that_stay_are_reported(store: ObjectStore) -> None:
    path = storage_path(f"{S3}/staying/a.bin")
    store.forget()
    with store.fault("PUT", "a.bin", times=99, status=403), pytest.raises(PermissionError) as refused:
        publish_bytes(path, b"x")
    assert len(store.requests) == 1 and refused.value.errno == errno.EACCES
    with pytest.raises(FileNotFoundError, match="bucket does not exist"):
        publish_bytes(storage_path("s3://nowhere/a.bin"), b"x")
    with store.fault("PUT", "a.bin", times=99), pytest.raises(OSError) as down:
        publish_bytes(path, b"x")
    assert classify_error(refused.value)[2] is False and classify_error(down.value)[2] is True
    assert not path.exists()


def test_a_full_temporary_folder_is_named(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = storage_path(f"{S3}/full/a.bin")
    with small_disk(tmp_path / "disk", 64 * 1024) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with pytest.raises(OSError, match=r"temporary folder.*TMPDIR") as full:
            publish_bytes(path, bytes(10**6))
        assert full.value.errno == errno.ENOSPC and classify_error(full.value)[2] is False
        assert not path.exists() and not list(disk.iterdir())


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageUnavailable, match="gopher"):
        storage_path("gopher://host/a").read_bytes()
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(StorageUnavailable, match=r"pip install '\.\[storage\]'"):
        storage_path("s3://bucket/a").read_bytes()


# --- videos ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Containers whose indices lie at their end, at their beginning and nowhere; a still picture."""
    folder = tmp_path_factory.mktemp("clips")
    write_video(folder / "index-last.mp4", 40, options={"g": "10"}, audio_seconds=1.0)
    write_video(folder / "index-first.mp4", 40, container_options={"movflags": "faststart"})
    write_video(folder / "matroska.mkv", 40, options={"g": "10"})
    write_video(folder / "stream.ts", 40)
    write_video(folder / "still.png", 1, codec="png", pixel_format="rgb24")
    return sorted(folder.iterdir())


def test_frames_are_the_same_wherever_a_video_lies(store: ObjectStore, clips: list[Path]) -> None:
    for clip in clips:
        frames = decoded(clip)
        quoted = put(f"{S3}/clips/{clip.name}", clip).removeprefix("s3:/")
        for uri in (f"{S3}/clips/{clip.name}", f"{store.address}{quoted}"):
            assert decoded(uri) == frames, uri
        put(f"memory://clips/{clip.name}", clip)
        assert decoded(f"memory://clips/{clip.name}") == frames
    last = next(clip for clip in clips if clip.name == "index-last.mp4")
    part = {"start": Fraction(1, 2), "end": Fraction(1)}
    assert decoded(f"{S3}/clips/{last.name}", **part) == decoded(last, **part) != []


def test_a_part_of_a_video_is_not_paid_for_with_the_whole(store: ObjectStore, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (8, 480, 640, 3), np.uint8)
    frames = (noise[number % 8] for number in range(80))
    path = write_video(tmp_path / "long.mkv", frames, codec="rawvideo")
    size = path.stat().st_size
    assert size > 30e6
    put(f"{S3}/long.mkv", path)
    store.forget()
    part = {"start": Fraction(0), "end": Fraction(1, 2)}
    assert decoded(f"{S3}/long.mkv", **part) == decoded(path, **part)
    assert store.served < size * 0.8


def test_reading_goes_on_where_a_connection_broke(store: ObjectStore, clips: list[Path]) -> None:
    for number, clip in enumerate(clips):
        uri = put(f"{S3}/broken/{clip.name}", clip)
        with store.fault("GET", clip.name, times=2, status=(503, 0)[number % 2]) as fault:
            assert decoded(uri) == decoded(clip)
        assert fault.times == 0
        web = f"{store.address}/{BUCKET}/broken/{clip.name}"
        with store.fault("GET", clip.name, times=1) as fault:
            assert decoded(web) == decoded(clip)
        assert fault.times == 0


def test_videos_that_cannot_be_read_say_why(store: ObjectStore, clips: list[Path]) -> None:
    for name, telling in (("none.mp4", "no such file"), ("folder", "is a folder"), ("empty.mp4", "is empty")):
        put(f"{S3}/odd/folder/x", b"x")
        put(f"{S3}/odd/empty.mp4", b"")
        with pytest.raises(BadVideo, match=telling):
            decoded(f"{S3}/odd/{name}")
    with pytest.raises(BadVideo, match="cannot be opened as a video"):
        decoded(put(f"{S3}/odd/text.mp4", b"This is not a video.\n" * 100))
    uri = put(f"{S3}/odd/good.mp4", clips[0])
    with (
        store.fault("HEAD", "good.mp4", 99, 403),
        pytest.raises(InputNotReadable, match="Forbid") as refused,
    ):
        decoded(uri)
    with store.fault("GET", "good.mp4", 99), pytest.raises(InputNotReadable, match="storage") as down:
        decoded(uri)
    assert classify_error(refused.value)[2] is False and classify_error(down.value)[2] is True


def test_a_video_that_is_replaced_under_its_reader_is_not_mixed(store: ObjectStore) -> None:
    uri = put(f"{S3}/replaced.bin", bytes(24 * 2**20))
    file = open_remote(uri)
    assert file is not None and file.read(10) == bytes(10)
    put(uri, b"x" * 24 * 2**20)
    file.seek(20 * 2**20)
    with pytest.raises(InputNotReadable, match="changed while it was being read") as changed:
        while file.read(2**20):
            pass
    assert classify_error(changed.value)[2] is True  # the next attempt reads the new one from its beginning
    assert file.read(10) == b""
    file.close()


class Tape(MemoryFileSystem):
    """A storage that is read from front to end."""

    protocol = "tape"

    @classmethod
    def _strip_protocol(cls, path):  # type: ignore[no-untyped-def]
        return super()._strip_protocol(path.replace("tape://", "memory://"))

    def _open(self, path, mode="rb", **options):  # type: ignore[no-untyped-def]
        file = super()._open(path, mode, **options)
        if mode == "rb":
            file.seekable = lambda: False
        return file


def test_a_storage_without_seeking_is_copied(clips: list[Path]) -> None:
    fsspec.register_implementation("tape", Tape, clobber=True)
    for clip in clips:
        put(f"memory://tape/{clip.name}", clip)
        assert decoded(f"tape://tape/{clip.name}") == decoded(clip)


def test_inputs_are_known_by_size_and_version(store: ObjectStore) -> None:
    names = [f"{number}.mp4" for number in range(12)]
    uris = [put(f"{S3}/inputs/{name}", name.encode()) for name in names]
    web = f"{store.address}/{BUCKET}/inputs/0.mp4"
    clips = [Clip(uri, uri) for uri in [*uris, f"{S3}/inputs/none.mp4", web, put("memory://i/a.mp4", b"1")]]
    store.forget()
    together = identify_all(clips)
    assert len(store.requests) <= 4  # one listing, and what was asked of the web server
    assert [identify(clip) for clip in clips] == together
    with store.fault("GET", f"/{BUCKET}", times=1, status=403):  # who may read need not be allowed to list
        assert identify_all(clips) == together
    missing, page, memory = together[-3:]
    assert missing.size == -1 and not missing.version
    assert page.version == together[0].version and page.size == 5 and memory.version
    put(uris[3], b"3.mp5")
    put("memory://i/a.mp4", b"2")
    changed = [
        clips[number].clip_id for number, now in enumerate(identify_all(clips)) if now != together[number]
    ]
    assert changed == [uris[3], "memory://i/a.mp4"]


def test_manifests_lie_anywhere(store: ObjectStore) -> None:
    text = b"path\na.mp4\n../other/b.mp4\ns3://else/c.mp4\n/mnt/d.mp4\nhttps://host/e.mp4\n"
    clips = read_manifest(put(f"{S3}/lists/today/m.csv", text)).clips
    assert [clip.path for clip in clips] == [
        f"{S3}/lists/today/a.mp4",
        f"{S3}/lists/other/b.mp4",
        "s3://else/c.mp4",
        "/mnt/d.mp4",
        "https://host/e.mp4",
    ]
    assert len(read_manifest(f"{store.address}/{BUCKET}/lists/today/m.csv").clips) == 5
    for wrong in (f"{S3}/lists/none.csv", "s3://nowhere/m.csv"):
        with pytest.raises(BadManifest, match="cannot read the manifest"):
            read_manifest(wrong)
    with pytest.raises(BadManifest, match="is a folder"):
        read_manifest(f"{S3}/lists/today")


# --- folders of runs ------------------------------------------------------------------------------------


def test_queries_read_tables_where_they_lie(folder: StoragePath) -> None:
    import pyarrow.parquet as pq

    for name, value in (("a", 1), ("b [2]", 2)):
        with published(folder / "coefficients" / f"{name}.parquet") as temporary:
            pq.write_table(pa.table({"clip_id": [name], "jawOpen": [value]}), temporary)
    assert isinstance(folder, RemotePath)
    found = query(folder.uri, "SELECT clip_id, jawOpen FROM coefficients ORDER BY 2")
    assert found.to_pydict() == {"clip_id": ["a", "b [2]"], "jawOpen": [1, 2]}
    assert pq.read_table(arrow_source(folder / "coefficients/a.parquet")).num_rows == 1


def test_a_folder_that_refuses_is_reported_before_anything_runs(store: ObjectStore) -> None:
    with (
        pytest.raises(OutputNotWritable, match="bucket does not exist"),
        OutputLock(storage_path("s3://nowhere/out")),
    ):
        pass
    with (
        store.fault("PUT", ".lock", 99, 403),
        pytest.raises(OutputNotWritable, match="choose another --output"),
        OutputLock(storage_path(f"{S3}/refusing")),
    ):
        pass
