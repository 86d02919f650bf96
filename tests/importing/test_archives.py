"""Archives of other people: what is no network, or cannot be unpacked, is an error before it takes memory."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from facecap_batch.errors import EngineError
from facecap_batch.importing import archives
from facecap_batch.importing.archives import read_parts, require_bounded

NAMES = ("one.tflite", "two.tflite")
LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


def archive(path: Path, content: bytes = b"network" * 1000) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name in NAMES:
            made.writestr(name, content)
    return path


def patched(path: Path, local_at: int, central_at: int, value: bytes) -> Path:
    """`path` with `value` in every header, at these distances from its beginning."""
    data = bytearray(path.read_bytes())
    for mark, at in ((LOCAL, local_at), (CENTRAL, central_at)):
        start = data.find(mark)
        while start >= 0:
            data[start + at : start + at + len(value)] = value
            start = data.find(mark, start + 1)
    path.write_bytes(data)
    return path


def test_parts_are_read(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.task")
    assert read_parts(path, NAMES, "bundle") == dict.fromkeys(NAMES, b"network" * 1000)
    require_bounded(path)
    (tmp_path / "no.zip").write_bytes(b"weights of an old torch")
    require_bounded(tmp_path / "no.zip")


@pytest.mark.parametrize(
    ("local_at", "central_at", "value", "reason"),
    [
        (6, 8, struct.pack("<H", 1), "one.tflite is encrypted"),
        (8, 10, struct.pack("<H", 99), "one.tflite is packed by method 99"),
        (8, 10, struct.pack("<H", 12), "one.tflite is packed by method 12"),
        (22, 24, struct.pack("<I", 3 << 30), "unpacks to more than"),
        (22, 24, struct.pack("<I", 5), "is not a bundle, or damaged"),
        (14, 16, bytes(4), "is not a bundle, or damaged"),
    ],
    ids=["encrypted", "unknown method", "bzip2", "claims much", "claims little", "other checksum"],
)
def test_what_cannot_be_unpacked_is_named(
    tmp_path: Path, local_at: int, central_at: int, value: bytes, reason: str
) -> None:
    path = patched(archive(tmp_path / "a.task"), local_at, central_at, value)
    with pytest.raises(EngineError, match=reason) as error:
        read_parts(path, NAMES, "bundle")
    assert str(path) in str(error.value)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.task", bytes(1 << 20))
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(archives, "MAX_PART_BYTES", 1 << 16)
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 1 << 16)
    with pytest.raises(EngineError, match="unpacks to more than 65536 bytes"):
        read_parts(path, NAMES, "bundle")
    with pytest.raises(EngineError, match="unpacks to 2097152 bytes in 2 parts"):
        require_bounded(path)


def test_a_long_list_of_parts_is_cut_short(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.task", "w") as made:
        for number in range(1000):
            made.writestr(f"part{number}", b"")
    with pytest.raises(
        EngineError, match=r"lacks one\.tflite, two\.tflite; it holds .* and 992 more"
    ) as error:
        read_parts(tmp_path / "a.task", NAMES, "bundle")
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("cut", [0, 1, 100, -1, -30])
def test_a_cut_archive_is_damaged(tmp_path: Path, cut: int) -> None:
    path = archive(tmp_path / "a.task")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(EngineError, match="is not a bundle, or damaged"):
        read_parts(path, NAMES, "bundle")
