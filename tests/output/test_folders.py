"""Only what runs made is removed or written to: files of others, and what links lead to, stay as they are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from facecap_batch.errors import OutputNotWritable
from facecap_batch.output.compaction import compact
from facecap_batch.output.lock import OutputLock, is_held
from facecap_batch.output.ownership.folders import FOLDERS
from facecap_batch.recording.take_files import BadTake, take_files
from facecap_batch.runs.config import RunConfig
from facecap_batch.storage.temporary import temporary_name
from tests.support.runs import results, run_quietly, write_clips


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"), {"one": 3, "two": 3})


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_removes_its_own_temporary_files_alone(
    manifest: Path, config: RunConfig, tmp_path: Path
) -> None:
    output, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    theirs = [
        *(".tmp-mine.txt", ".tmp-", f"notes/{temporary_name('deep.txt')}", "raw/.tmp-backup/keep.bin"),
        *(f"fbx/{temporary_name('a folder')}/keep.bin", "segments/clip/.tmp-1234"),
        *("compact/raw-mine.parquet", "compact/my.parquet"),
    ]
    for name in theirs:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_bytes(b"theirs")
    elsewhere.mkdir()
    (elsewhere / temporary_name("x")).write_bytes(b"behind a link")
    (output / "link").symlink_to(elsewhere)
    (output / "segments/linked").symlink_to(elsewhere)
    ours = ["", "raw", "coefficients", "fbx", "ledger", "compact", "segments/clip"]
    for folder in ours:
        (output / folder).mkdir(exist_ok=True)
        (output / folder / temporary_name("half.parquet")).write_bytes(b"ours")
    (output / "compact/raw-00007.parquet").write_bytes(b"of a compaction that was interrupted")
    before = everything(elsewhere)

    assert run_quietly(manifest, output, config, workers=1).exit_code == 0
    compact(output)

    left = everything(output)
    assert {name: left.get(name) for name in theirs} == dict.fromkeys(theirs, b"theirs")
    assert b"ours" not in left.values() and everything(elsewhere) == before
    assert "compact/raw-00007.parquet" not in left


@pytest.mark.parametrize("target", ["a file", "nothing"])
def test_a_lock_that_is_a_link_is_not_followed(target: str, tmp_path: Path) -> None:
    output, file = tmp_path / "out", tmp_path / "precious"
    output.mkdir()
    if target == "a file":
        file.write_text("precious")
    (output / ".lock").symlink_to(file)
    with pytest.raises(OutputNotWritable, match=r"out/\.lock is a link"), OutputLock(output):
        pass
    assert not is_held(output)
    assert (file.read_text() == "precious") if target == "a file" else not file.exists()


def test_a_lock_that_is_no_file_of_ours_stays(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("my notes")
    with pytest.raises(OutputNotWritable, match="is not the lock of a run"), OutputLock(tmp_path):
        pass
    assert (tmp_path / ".lock").read_text() == "my notes" and not is_held(tmp_path)
    (tmp_path / ".lock").unlink()
    os.mkfifo(tmp_path / ".lock")  # nobody waits for its other end
    assert not is_held(tmp_path)
    with pytest.raises(OutputNotWritable, match="no plain file"), OutputLock(tmp_path):
        pass
    (tmp_path / ".lock").unlink()
    (tmp_path / ".lock").write_text("4711 on an-earlier-version")
    with OutputLock(tmp_path):
        assert is_held(tmp_path)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_ours_that_is_a_link_is_not_followed(
    folder: str, manifest: Path, config: RunConfig, tmp_path: Path
) -> None:
    output, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    for path in (output, elsewhere):
        path.mkdir()
    for name in ("one.parquet", "one.json", "one.fbx", "index.parquet", temporary_name("one.fbx")):
        (elsewhere / name).write_text("precious")
    before = everything(elsewhere)
    (output / folder).symlink_to(elsewhere)
    with pytest.raises(OutputNotWritable, match=f"{folder} is a link"):
        run_quietly(manifest, output, config, workers=1)
    assert everything(elsewhere) == before


def test_files_that_are_links_are_replaced_and_not_followed(
    manifest: Path, config: RunConfig, tmp_path: Path
) -> None:
    output, file = tmp_path / "out", tmp_path / "precious"
    file.write_text("precious")
    names = ["run.json", "clips.parquet", "ledger/one.json", *(f"{kind}/one.parquet" for kind in FOLDERS[:2])]
    for name in [*names, "fbx/one.fbx"]:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).symlink_to(file)
    assert run_quietly(manifest, output, config, workers=1).exit_code == 0
    assert file.read_text() == "precious" and len(results(output)) == 6
    assert not any((output / name).is_symlink() for name in names)


def test_an_output_folder_may_be_a_link_itself(manifest: Path, config: RunConfig, tmp_path: Path) -> None:
    """Whoever names it means where it leads."""
    (tmp_path / "large disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "large disk")
    assert run_quietly(manifest, tmp_path / "out", config, workers=1).exit_code == 0
    assert len(results(tmp_path / "large disk")) == 6


def test_recordings_follow_no_links(tmp_path: Path) -> None:
    output, precious = tmp_path / "out", tmp_path / "precious"
    precious.mkdir()
    (output / "videos").mkdir(parents=True)
    (output / "videos/.recording-take.mkv").symlink_to(precious / "new.mkv")
    with pytest.raises(BadTake, match="has a clip of this name"):
        take_files(output, "take", "live")
    shutil.rmtree(output / "videos")
    (output / "videos").symlink_to(precious)
    with pytest.raises(OutputNotWritable, match="videos is a link"):
        take_files(output, "take", "live")
    assert not list(precious.iterdir())
