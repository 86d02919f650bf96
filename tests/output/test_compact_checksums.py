"""Tables in compact files that change after they were written: found, named, and never taken for sound."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facecap_batch.coefficients import to_arrow, write_parquet
from facecap_batch.errors import InputNotReadable
from facecap_batch.exporting.choice import choose
from facecap_batch.output.compact_index import INDEX_NAME, CompactReader, IndexDamaged, read_clip, read_index
from facecap_batch.output.compaction import NotCompactable, compact
from facecap_batch.output.exports import export_clips
from facecap_batch.output.ledger import Ledger
from facecap_batch.storage.digests import file_digest, table_digest
from tests.output.test_compaction import LENGTHS, clip_table, output  # noqa: F401  a fixture
from tests.support.tables import change_value

CHANGED, OTHERS = "take 10", sorted(set(LENGTHS) - {"take 10"})


def with_checksums(folder: Path) -> None:
    """Let the records have what runs write into them."""
    ledger = Ledger(folder)
    for record in list(ledger.records()):
        sums = {name: file_digest(folder / name) for name in record.outputs}
        ledger.put(dataclasses.replace(record, checksums=sums))


def sound(folder: Path) -> dict[str, bool]:
    """clip_id -> whether all of it is what was written."""
    ledger = Ledger(folder, compares_checksums=True)
    return {record.clip_id: ledger.intact(record) for record in ledger.records()}


@pytest.mark.parametrize("kind", ["coefficients", "raw"])
def test_one_changed_number_is_found(output: Path, kind: str, tmp_path: Path) -> None:  # noqa: F811
    compact(output, remove_originals=True)
    assert all(sound(output).values())
    change_value(output / f"compact/{kind}-00000.parquet", CHANGED)
    assert sound(output) == {CHANGED: False, **dict.fromkeys(OTHERS, True)}
    name = f"{kind}/{CHANGED}.parquet"
    with pytest.raises(InputNotReadable, match=rf"'{name}' in it is damaged.*--verify"):
        read_clip(output, name)
    if kind == "coefficients":
        chosen = choose("livelink", None, None)
        made = {clip.clip_id: clip.error for clip in export_clips(output, (), tmp_path / "csv", chosen)}
        assert made.keys() == LENGTHS.keys() and "--verify" in str(made.pop(CHANGED))
        assert not any(made.values())


def test_damage_is_not_compacted_again(output: Path) -> None:  # noqa: F811
    with_checksums(output)
    compact(output, remove_originals=True)
    change_value(output / "compact/raw-00000.parquet", CHANGED)
    record = Ledger(output).get("a")
    assert record is not None
    write_parquet(clip_table("a", 3), output / "raw/a.parquet")  # as done again: all is gathered anew
    name = "raw/a.parquet"
    size = (output / name).stat().st_size
    changed = dataclasses.replace(
        record,
        outputs={**record.outputs, name: size},
        checksums={**record.checksums, name: file_digest(output / name)},
    )
    Ledger(output).put(changed)
    with pytest.raises(InputNotReadable, match=f"'raw/{CHANGED}.parquet' in it is damaged"):
        compact(output)


def test_a_small_file_that_has_changed_is_not_taken_in(output: Path) -> None:  # noqa: F811
    with_checksums(output)
    path = output / f"coefficients/{CHANGED}.parquet"
    size = path.stat().st_size
    change_value(path, CHANGED)
    path.write_bytes(path.read_bytes().ljust(size, b"\0")[:size])
    with pytest.raises(NotCompactable, match=rf"{CHANGED}\.parquet is damaged.*--verify"):
        compact(output, remove_originals=True)
    assert path.exists()


def test_an_index_of_an_earlier_version_counts(output: Path) -> None:  # noqa: F811
    """It has no checksums: then tables are read to their end, as files of records without them are."""
    compact(output, remove_originals=True)
    index = pq.read_table(output / INDEX_NAME).drop_columns("sha256")
    pq.write_table(index, output / INDEX_NAME)
    assert all(entry.sha256 is None for entry in read_index(output))
    assert all(sound(output).values())
    path = output / "compact/raw-00000.parquet"
    path.write_bytes(path.read_bytes()[:-100] + bytes(100))
    assert not any(sound(output).values())


def test_no_changed_byte_makes_another_index(output: Path) -> None:  # noqa: F811
    compact(output, remove_originals=True)
    path, known = output / INDEX_NAME, read_index(output)
    data = path.read_bytes()
    found = 0
    for at in range(0, len(data), 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x11]) + data[at + 1 :])
        try:
            assert read_index(output) == known, at
        except IndexDamaged:
            found += 1
    assert found > len(data) / 7 / 4


def test_the_digest_is_of_what_a_table_holds(tmp_path: Path) -> None:
    whole = to_arrow(clip_table("take", 50))
    digest = table_digest(whole)
    pieces = pa.concat_tables([whole.slice(0, 7), whole.slice(7)])
    pq.write_table(pieces, tmp_path / "table.parquet", row_group_size=11, use_dictionary=False)
    for same in (pieces, pq.ParquetFile(tmp_path / "table.parquet").read(), whole.slice(0)):
        assert table_digest(same) == digest
    jaw = whole.column_names.index("jawOpen")
    values = whole["jawOpen"].to_numpy().copy()
    values[3] = np.nextafter(values[3], 1, dtype=np.float32)
    others = [
        whole.slice(0, 49),
        whole.set_column(jaw, "jawOpen", pa.array(values)),
        whole.set_column(jaw, "jawOpen", pa.array(values, mask=np.arange(50) == 3)),
        whole.rename_columns(["JawOpen" if name == "jawOpen" else name for name in whole.column_names]),
        whole.replace_schema_metadata({**whole.schema.metadata, b"fps": b"24"}),
        whole.set_column(0, "clip_id", pa.array(["other"] * 50).dictionary_encode()),
    ]
    assert len({digest, *map(table_digest, others)}) == 1 + len(others)


def test_the_index_is_read_once(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """However many tables are compared: a folder has tens of thousands."""
    compact(output, remove_originals=True)
    reader = CompactReader(output)
    assert len(reader.table(reader.find("raw/a.parquet"))) == 1
    (output / INDEX_NAME).unlink()
    for name, rows in LENGTHS.items():
        assert len(reader.table(reader.find(f"raw/{name}.parquet"))) == rows
