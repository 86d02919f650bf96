"""Which tables of an output folder are in compact files, and where in them.

In: ``compact/index.parquet``, one row for every table that was compacted. Out: the tables, one by one, equal
to the small files they came from, metadata included. `compaction` writes; everyone else reads through here.

The index also has a digest of every table: what comes out of the compact files is compared with it.

The index decides: a table with a valid entry is read from the compact file, any other from its small file. So
nothing is counted twice, whether the small files are still there or not. A run invalidates the entries of
what it will do again before it begins.
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import errno
import functools
import itertools
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from facecap_batch.coefficients import CoefficientTable, read_tracks, tracks_from_arrow, write_tracks
from facecap_batch.errors import FacecapError, InputNotReadable
from facecap_batch.storage.digests import table_digest
from facecap_batch.storage.publish import StoragePath, arrow_source, published
from facecap_batch.storage.scratch import scratch_folder

FOLDER = "compact"
INDEX_NAME = f"{FOLDER}/index.parquet"
ADVICE = "the command of the run with --verify finds what is damaged and does it again"

SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),  # the small file, "coefficients/take1.parquet"
        pa.field("kind", pa.string(), nullable=False),  # coefficients | raw
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),  # of the small file
        pa.field("file", pa.string(), nullable=False),  # compact, "compact/coefficients-00000.parquet"
        pa.field("first_row", pa.int64(), nullable=False),  # in the compact file
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("valid", pa.bool_(), nullable=False),  # false: the clip was done again since
        pa.field("source", pa.string(), nullable=False),  # as the manifest gives it
        pa.field("width", pa.int32(), nullable=False),  # pixels, upright
        pa.field("height", pa.int32(), nullable=False),
        pa.field("fps", pa.string(), nullable=False),  # frames per second, a fraction
        pa.field("time_base", pa.string(), nullable=False),  # seconds per pts unit, a fraction
        pa.field("rotation", pa.int32(), nullable=False),  # degrees
        pa.field("metadata", pa.string(), nullable=False),  # JSON: the metadata of the small file
        pa.field(
            "sha256", pa.string()
        ),  # of the table (`table_digest`); null: an earlier version compacted it
    ]
)
_WITHOUT_CHECKSUMS = SCHEMA.remove(SCHEMA.get_field_index("sha256"))  # of earlier versions


class IndexDamaged(FacecapError):
    """The index of the compact files cannot be read."""


_FILE = re.compile(rf"{FOLDER}/(coefficients|raw)-\d+\.parquet")


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where one table is; fields as in SCHEMA."""

    name: str
    kind: str
    clip_id: str
    bytes: int
    file: str
    first_row: int
    rows: int
    valid: bool
    metadata: str
    sha256: str | None = None

    def is_possible(self) -> bool:
        """Whether it can have been written: nothing outside of `FOLDER` is read in its name."""
        return (
            all(value is not None for name, value in vars(self).items() if name != "sha256")
            and self.kind in ("coefficients", "raw")
            and self.name == table_name(self.kind, self.clip_id)
            and min(self.bytes, self.first_row, self.rows) >= 0
            and _FILE.fullmatch(self.file) is not None
        )


def table_name(kind: str, clip_id: str) -> str:
    """The small file of a clip's table, relative to the output folder."""
    return f"{kind}/{clip_id}.parquet"


def entry_row(entry: Entry) -> dict[str, object]:
    """`entry` as a row of the index."""
    metadata = json.loads(entry.metadata)
    clip = json.loads(metadata["clip"])
    return {
        **dataclasses.asdict(entry),
        **{name: clip[name] for name in ("source", "width", "height")},
        **{name: metadata[name] for name in ("fps", "time_base")},
        "rotation": int(metadata["rotation"]),
    }


def read_index(output: StoragePath, name: str | None = None) -> list[Entry]:
    """The entries of the index, also those that are not valid any more.

    Args:
        output: the folder of a run.
        name: of one table, to get its entries only.

    Returns:
        The entries in the order of the file; none where nothing was compacted.

    Raises:
        IndexDamaged: the index is no Parquet file, lacks columns, or says what cannot be.
        OSError: the storage cannot be read.
    """
    columns = [field.name for field in dataclasses.fields(Entry)]
    try:
        with pq.ParquetFile(arrow_source(output / INDEX_NAME), page_checksum_verification=True) as file:
            if not any(file.schema_arrow.equals(schema) for schema in (SCHEMA, _WITHOUT_CHECKSUMS)):
                raise pa.ArrowInvalid("its columns are others")
            table = file.read(columns)
            if "sha256" not in table.column_names:
                table = table.append_column(SCHEMA.field("sha256"), pa.nulls(len(table), pa.string()))
            if name is not None:
                import pyarrow.compute as pc  # a tenth of a second that a query need not wait for

                table = table.filter(pc.field("name") == name)
            rows = list(zip(*(table[column].to_pylist() for column in columns), strict=True))
    except FileNotFoundError:
        return []
    except OSError as error:
        if error.errno is not None or "errno" in str(error).lower():
            raise  # of the storage; Arrow's own, for what is no Parquet, have no number
        raise _damaged(output, str(error)) from error
    except _DAMAGE as error:
        raise _damaged(output, str(error)) from error
    entries = [Entry(*row) for row in rows]
    if impossible := [entry for entry in entries if not entry.is_possible()]:
        raise _damaged(output, f"its entry for {impossible[0].name!r} cannot be")
    return entries


# What Arrow raises for damaged files; UnicodeDecodeError is a ValueError.
_DAMAGE = (pa.ArrowException, ValueError, KeyError, OverflowError)


def _damaged(output: StoragePath, reason: str) -> IndexDamaged:
    return IndexDamaged(
        f"{output / INDEX_NAME} cannot be read: {reason}; restore it from a copy, or remove {FOLDER}/ "
        "and run the manifest again: what has no small file is then done again"
    )


def write_index(output: StoragePath, entries: Iterable[Entry]) -> None:
    """Publish the index; raises OSError."""
    rows = pa.Table.from_pylist([entry_row(entry) for entry in entries], schema=SCHEMA)
    with published(output / INDEX_NAME) as temporary:
        pq.write_table(rows, temporary, compression="zstd", write_page_checksum=True)


def sizes(output: StoragePath) -> dict[str, int]:
    """Name of a small file -> its bytes, for every table that the compact files hold; raises OSError."""
    return {entry.name: entry.bytes for entry in read_index(output) if entry.valid}


def invalidate(output: StoragePath, names: Collection[str]) -> None:
    """From now on the tables `names` are read from their small files. The folder's lock must be held.

    Raises OSError.
    """
    entries = read_index(output)
    if any(entry.valid and entry.name in names for entry in entries):
        write_index(
            output,
            (dataclasses.replace(entry, valid=False) if entry.name in names else entry for entry in entries),
        )


def find(output: StoragePath, name: str) -> Entry:
    """Where the table `name` is; raises FileNotFoundError where no compact file holds it."""
    for entry in read_index(output, name):
        if entry.valid:
            return entry
    raise _not_there(output, name)


def _not_there(output: StoragePath, name: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(output / name))


def read_clip(output: StoragePath, name: str) -> CoefficientTable:
    """The table of a clip's main subject, the first of `read_clip_tracks`."""
    return read_clip_tracks(output, name)[0]


def read_clip_tracks(
    output: StoragePath, name: str, compacted: CompactReader | None = None
) -> tuple[CoefficientTable, ...]:
    """The tables of a clip's tracks, from its small file or from the compact file that holds them.

    Args:
        output: the folder of a run.
        name: ``coefficients/<clip_id>.parquet`` or ``raw/<clip_id>.parquet``.
        compacted: reads the compact files; None: one is made. For many tables the same one.

    Raises:
        FileNotFoundError: neither holds it.
        InputNotReadable: what the compact file holds is not what was put there.
    """
    try:
        return read_tracks(output / name)
    except FileNotFoundError:
        reader = CompactReader(output) if compacted is None else compacted
        return tracks_from_arrow(reader.table(reader.find(name)))


@contextlib.contextmanager
def table_file(output: StoragePath, name: str) -> Iterator[StoragePath]:
    """Within this context, a file with the table `name`: the small file, or a temporary copy of it."""
    if (output / name).exists():
        yield output / name
        return
    with scratch_folder() as folder:
        write_tracks(read_clip_tracks(output, name), folder / "table.parquet")
        yield folder / "table.parquet"


def size_of(output: StoragePath, name: str) -> int:
    """Bytes of the small file, now or when it was compacted. Raises FileNotFoundError as `find` does."""
    try:
        return (output / name).stat().st_size
    except FileNotFoundError:
        return find(output, name).bytes


class CompactReader:
    """Reads tables from compact files; fast where they are asked for in the order of the file."""

    def __init__(self, output: StoragePath) -> None:
        self._output = output
        # The groups around the last table that was read: neighbours share them. Nothing here refers to the
        # reader, so that they go when it does.
        self._open = functools.lru_cache(maxsize=2)(functools.partial(_open_file, output))
        self._group = functools.lru_cache(maxsize=2)(functools.partial(_read_group, self._open))

    def find(self, name: str) -> Entry:
        """`find`, from an index that is read once."""
        try:
            return self._entries[name]
        except KeyError:
            raise _not_there(self._output, name) from None

    @functools.cached_property
    def _entries(self) -> dict[str, Entry]:
        return {entry.name: entry for entry in read_index(self._output) if entry.valid}

    def table(self, entry: Entry) -> pa.Table:
        """What the small file held: the same rows, columns, types and metadata.

        Raises:
            InputNotReadable: The rows are not there, or are others.
            OSError: The storage cannot be read.
        """
        file, starts = self._open(entry.file)
        if entry.first_row + entry.rows > file.metadata.num_rows:
            raise self._not_sound(entry, "it has no such rows")
        pieces, row, left = [file.schema_arrow.empty_table()], entry.first_row, entry.rows
        group = bisect.bisect_right(starts, row) - 1
        while left:
            piece = self._group(entry.file, group).slice(row - starts[group], left)
            pieces.append(piece)
            row, left, group = row + len(piece), left - len(piece), group + 1
        table = _as_small_file(pa.concat_tables(pieces), entry)
        if entry.sha256 is not None and table_digest(table) != entry.sha256:
            raise self._not_sound(entry, "its checksum is another")
        return table

    def _not_sound(self, entry: Entry, reason: str) -> InputNotReadable:
        return InputNotReadable(
            f"{self._output / entry.file}: the table {entry.name!r} in it is damaged: {reason}; {ADVICE}"
        )


_OpenFile = tuple[pq.ParquetFile, Sequence[int]]  # with the first row of every row group


def _open_file(output: StoragePath, file: str) -> _OpenFile:
    opened = pq.ParquetFile(arrow_source(output / file))
    groups = (opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups))
    return opened, [0, *itertools.accumulate(groups)][:-1]


def _read_group(open_file: Callable[[str], _OpenFile], file: str, group: int) -> pa.Table:
    return open_file(file)[0].read_row_group(group)


def _as_small_file(table: pa.Table, entry: Entry) -> pa.Table:
    """The rows of one clip with the dictionary and the metadata of its small file."""
    clip_ids = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(len(table), np.int32)), pa.array([entry.clip_id], pa.string())
    )
    schema = table.schema.with_metadata(json.loads(entry.metadata))
    columns = [clip_ids, *(column.combine_chunks() for column in table.columns[1:])]
    return pa.Table.from_arrays(columns, schema=schema)
