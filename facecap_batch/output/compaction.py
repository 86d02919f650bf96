"""Merges the small tables of an output folder into a few large ones.

In: the tables of clips that are done, from their small files or from earlier compact files. Out:
``compact/<kind>-NNNNN.parquet`` of about 128 MB, sorted by clip, track and frame, and the index that names
them (`compact_index`) with a digest of each table, published last. A crash leaves the folder as it was but
for files that no index names; the next compaction removes them. A small file is compared with its checksum
before it is taken in. It stays, or is removed after it has been compared with what replaces it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from facecap_batch.coefficients import SCHEMA
from facecap_batch.errors import FacecapError
from facecap_batch.geometry import ANGLE_CONVENTION
from facecap_batch.output.compact_index import (
    ADVICE,
    FOLDER,
    CompactReader,
    Entry,
    read_index,
    write_index,
)
from facecap_batch.output.integrity import FileState
from facecap_batch.output.ledger import DONE, Ledger
from facecap_batch.output.lock import OutputLock
from facecap_batch.output.ownership.folders import check_folders, remove_leftovers
from facecap_batch.output.reports import read_reports
from facecap_batch.storage.digests import table_digest
from facecap_batch.storage.publish import (
    StoragePath,
    arrow_source,
    not_writable,
    published,
    storage_path,
)

KINDS = ("coefficients", "raw")
FILE_BYTES = 128 * 10**6  # a file is closed once it is this large: few to open, enough for many readers
# Rows of a row group: several hundred short clips, read and skipped as one; 15 MB of numbers. A clip that has
# more gets groups of its own, of at most MAX_GROUP_ROWS: what a writer holds in memory.
GROUP_ROWS = 65_536
MAX_GROUP_ROWS = 1_048_576
_COMPACT = re.compile(rf"({'|'.join(KINDS)})-\d{{5,}}\.parquet")  # names of ours
SORTING = [("clip_id", "ascending"), ("track", "ascending"), ("frame_index", "ascending")]


class NotCompactable(FacecapError):
    """A table cannot be compacted: it is damaged, or of another version."""


@dataclasses.dataclass(frozen=True)
class Compacted:
    """The compact files of a folder after a compaction."""

    tables: int
    files: tuple[str, ...]  # relative to the folder
    bytes: int  # of the files
    removed: int  # small files, by this compaction


def compact(
    output: str | StoragePath, remove_originals: bool = False, file_bytes: int = FILE_BYTES
) -> Compacted:
    """Merge the tables of every clip that is done; does nothing where they are merged already.

    Args:
        output: the folder of a run.
        remove_originals: remove each small file after comparing it with what replaces it.
        file_bytes: a compact file is closed once it is this large.

    Raises:
        NoRun: `output` is not the folder of a run.
        InputNotReadable: an earlier compact file is damaged.
        NotCompactable: a table is damaged or of another version.
        OutputBusy: a run is writing to the folder.
        OutputLost: the folder went away meanwhile.
        OutputNotWritable: the storage refuses.
        After any of them every table is there, as a small file or compacted.
    """
    output = storage_path(output).absolute()
    read_reports(output)
    with OutputLock(output) as lock:
        try:
            check_folders(output)
            before = read_index(output)
            wanted = _tables(output, before)
            entries = [entry for entry in before if entry.valid]
            if {entry.name: entry.bytes for entry in entries} != {
                name: file.size for name, file in wanted.items()
            }:
                entries = _gather(output, wanted, before, file_bytes)
                lock.claim.check()
                write_index(output, entries)
            files = sorted({entry.file for entry in entries})
            lock.claim.check()
            _remove_unnamed(output, files)
            removed = _remove_originals(output, entries) if remove_originals else 0
            size = sum((output / file).stat().st_size for file in files)
        except OSError as error:
            raise not_writable(output, error) from error
    return Compacted(len(entries), tuple(files), size, removed)


def _tables(output: StoragePath, before: Sequence[Entry]) -> dict[str, FileState]:
    """The small file of every table of a clip that is done, and of those that only compact files hold."""
    ledger = Ledger(output).as_of_now()
    tables = {entry.name: FileState(entry.bytes, "") for entry in before if entry.valid}
    for record in ledger.records():
        for name, size in record.outputs.items():
            whole = ledger.intact(dataclasses.replace(record, outputs={name: size}))
            if record.status == DONE and name.split("/")[0] in KINDS and whole:
                tables[name] = FileState(size, record.checksums.get(name, ""))
    return tables


def _gather(
    output: StoragePath, wanted: dict[str, FileState], before: Sequence[Entry], file_bytes: int
) -> list[Entry]:
    """Write the compact files of `wanted` and return where each table is."""
    compacted = {entry.name: entry for entry in before if entry.valid}
    reader = CompactReader(output)
    # Readers use the files of the old index until the new one is there, so their names are taken.
    taken = {entry.file for entry in before}
    entries: list[Entry] = []
    for kind in KINDS:
        names = sorted((name for name in wanted if name.startswith(f"{kind}/")), key=clip_id_of)
        tables = ((name, _table(output, name, wanted[name], compacted.get(name), reader)) for name in names)
        files = (f"{FOLDER}/{kind}-{number:05}.parquet" for number in itertools.count())
        free = (file for file in files if file not in taken)
        for file, first_row, name, table in _write(output, tables, free, file_bytes):
            metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
            entries.append(
                Entry(
                    name=name,
                    kind=kind,
                    clip_id=clip_id_of(name),
                    bytes=wanted[name].size,
                    file=file,
                    first_row=first_row,
                    rows=len(table),
                    valid=True,
                    metadata=json.dumps(metadata, ensure_ascii=False),
                    sha256=table_digest(table),
                )
            )
    return entries


def clip_id_of(name: str) -> str:
    """``raw/take1.parquet`` -> ``take1``."""
    return name.split("/", 1)[1].removesuffix(".parquet")


def _table(
    output: StoragePath, name: str, written: FileState, entry: Entry | None, reader: CompactReader
) -> pa.Table:
    """The table of a small file, from there or from the compact file that holds it.

    Args:
        output, name: The folder, and the small file in it.
        written: The small file as its record has it; no checksum where that has none.
        entry: Of the compact file; None where none holds it.
        reader: Of the compact files.
    """
    path = output / name
    if entry is not None and not path.exists():
        return reader.table(entry)
    data = path.read_bytes()
    if written.sha256 and hashlib.sha256(data).hexdigest() != written.sha256:
        raise NotCompactable(f"{path} is damaged: its checksum is another; {ADVICE}")
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read()
    except (pa.ArrowException, OSError) as error:
        raise NotCompactable(f"{path} cannot be read: {error}; {ADVICE}") from error
    known = pa.schema(list(table.schema)[: len(SCHEMA)]).equals(SCHEMA)  # a regressor's own columns follow
    if not known or len(data) != written.size:
        raise NotCompactable(f"{path} was not written by this version; run the manifest again with --force")
    return table


def _write(
    output: StoragePath, tables: Iterator[tuple[str, pa.Table]], files: Iterator[str], file_bytes: int
) -> Iterator[tuple[str, int, str, pa.Table]]:
    """Write `tables` into as many of `files` as they fill.

    All tables of a file have the same columns: where they change, as between two regressors, the next file
    begins.

    Yields:
        (file, first row, name, table) for each table.
    """
    groups = _groups(tables)
    group = next(groups, None)
    while group is not None:
        file, row, columns = next(files), 0, group[0][1].schema
        with published(output / file) as temporary, _writer(temporary, columns) as writer:
            while group is not None and group[0][1].schema.equals(columns):
                whole = pa.concat_tables([table for _, table in group]).unify_dictionaries().combine_chunks()
                writer.write_table(whole, row_group_size=MAX_GROUP_ROWS)
                for name, table in group:
                    yield file, row, name, table
                    row += len(table)
                group = next(groups, None)
                if temporary.stat().st_size >= file_bytes:
                    break


def _groups(tables: Iterator[tuple[str, pa.Table]]) -> Iterator[list[tuple[str, pa.Table]]]:
    """Whole tables of the same columns, as many as a row group holds; a table with more rows stays alone."""
    group: list[tuple[str, pa.Table]] = []
    rows = 0
    for name, table in tables:
        if group and (rows + len(table) > GROUP_ROWS or not table.schema.equals(group[0][1].schema)):
            yield group
            group, rows = [], 0
        group.append((name, table))
        rows += len(table)
    if group:
        yield group


def _writer(path: Path, columns: pa.Schema) -> pq.ParquetWriter:
    metadata = {"angle_convention": ANGLE_CONVENTION, "sorted_by": ", ".join(name for name, _ in SORTING)}
    return pq.ParquetWriter(
        path,
        columns.with_metadata(metadata),
        compression="zstd",
        sorting_columns=pq.SortingColumn.from_ordering(columns, SORTING),
        write_page_index=True,
    )


def _remove_unnamed(output: StoragePath, files: Sequence[str]) -> None:
    """Remove compact files that the index does not name: an earlier index did, or a compaction was
    interrupted."""
    for path in (output / FOLDER).glob("*.parquet"):
        if _COMPACT.fullmatch(path.name) and f"{FOLDER}/{path.name}" not in files:
            path.unlink()
    remove_leftovers(output)


def _remove_originals(output: StoragePath, entries: Sequence[Entry]) -> int:
    """Remove each small file after comparing it with what replaces it; return how many."""
    reader = CompactReader(output)
    removed = 0
    for entry in entries:
        path = output / entry.name
        if not path.exists():
            continue
        if not pq.ParquetFile(arrow_source(path)).read().equals(reader.table(entry), check_metadata=True):
            raise NotCompactable(f"{path} differs from {entry.file}, which is to replace it; it is kept")
        path.unlink()
        removed += 1
    return removed
