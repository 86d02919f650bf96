"""Files that are published together: all of them or none, and on the disk before they have their names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facecap_batch.errors import OutputLost, OutputNotWritable
from facecap_batch.storage.batch import FileBatch

NAMES = ("raw/take.parquet", "fbx/take.fbx")


def at_any_time() -> None:
    """May publish."""


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def write(batch: FileBatch) -> None:
    for name in NAMES:
        batch.path(name).write_text(name)


def test_files_are_on_the_disk_before_they_have_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: dict[int, set[str]] = {}
    to_disk = os.fsync

    def fsync(descriptor: int) -> None:
        to_disk(descriptor)
        synced[os.fstat(descriptor).st_ino] = files(tmp_path)

    monkeypatch.setattr(os, "fsync", fsync)
    with FileBatch(tmp_path, at_any_time) as batch:
        write(batch)
        assert not files(tmp_path) & set(NAMES)
        batch.publish()
    assert files(tmp_path) == set(NAMES)
    for name in NAMES:
        assert (tmp_path / name).read_text() == name
        assert name not in synced[(tmp_path / name).stat().st_ino]


def test_where_one_cannot_be_published_none_is(tmp_path: Path) -> None:
    (tmp_path / NAMES[1]).mkdir(parents=True)
    with FileBatch(tmp_path, at_any_time) as batch:
        write(batch)
        with pytest.raises(OutputNotWritable, match=NAMES[1]):
            batch.publish()
    assert files(tmp_path) == set()


def test_a_batch_that_ends_unpublished_leaves_nothing(tmp_path: Path) -> None:
    with FileBatch(tmp_path, at_any_time) as batch:
        write(batch)
    assert files(tmp_path) == set()


def test_nothing_is_published_where_it_may_not_be(tmp_path: Path) -> None:
    calls: list[int] = []

    def may_write_but_not_publish() -> None:
        calls.append(1)
        if len(calls) > len(NAMES):
            raise OutputLost("the folder is another run's now")

    with FileBatch(tmp_path, may_write_but_not_publish) as batch:
        write(batch)
        with pytest.raises(OutputLost):
            batch.publish()
    assert files(tmp_path) == set()
