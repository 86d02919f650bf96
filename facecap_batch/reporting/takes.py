"""The takes of an output folder: one frozen row each, and what is drawn of a take.

In: the reports, the ledger, the tables in ``coefficients/``, small or compact. Out: `TakeRow` by `TakeRow`,
with the tables of a take's people beside it. Tables are read a few at a time, so that memory does not grow
with the folder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable
from facecap_batch.errors import InputNotReadable
from facecap_batch.output.compact_index import CompactReader, table_name
from facecap_batch.output.integrity import read_sound_tracks
from facecap_batch.output.ledger import DONE, Ledger
from facecap_batch.output.reports import SCHEMA, read_reports
from facecap_batch.output.status import rows_as_of_now
from facecap_batch.reporting.figures import PersonRow, person_row
from facecap_batch.reporting.movements import Event, events_of
from facecap_batch.reporting.videos import VideoPlace, video_place
from facecap_batch.storage.publish import StoragePath, storage_path

# Tables that are held at a time: rows of them, 400 bytes each or, with landmarks, twice as much.
BATCH_ROWS = 100_000


@dataclasses.dataclass(frozen=True)
class TakeRow:
    """One take, as the list shows it. What is not known, as of clips that failed, is None or empty."""

    number: int  # row of ``clips.parquet``, from 0; the page knows a take by it
    clip_id: str
    status: str  # done | failed | pending
    source: str  # as the manifest names it
    actor: str | None
    frames: int | None
    frames_with_face: int | None
    seconds: float | None  # of video
    fps: float | None
    people: int | None
    shots: int | None
    attempts: int
    wall_s: float | None  # seconds that a worker spent on it
    note: str  # what is unusual about a take that is done, or why its table cannot be read
    error_type: str
    error: str
    further: dict[str, str]  # the manifest's own columns
    video: str | None = None  # local path of the video; None: there is none to show
    width: int = 0  # pixels, upright
    height: int = 0
    persons: tuple[PersonRow, ...] = ()  # by track; empty where there is no table
    more_channels: tuple[str, ...] = ()  # coefficients behind the 51 that every take has


@dataclasses.dataclass(frozen=True, eq=False)
class TakeData:
    """What is drawn of a take, when it is opened."""

    row: TakeRow
    tracks: tuple[CoefficientTable, ...] = ()
    events: tuple[Event, ...] = ()
    video_start_s: float = 0.0  # what a browser calls 0 s of the video, on the scale of `time_s`


class Takes:
    """The takes of a folder, in the order of its manifest; what they are is read once, tables when asked."""

    def __init__(self, output: StoragePath) -> None:
        """Raises NoRun."""
        self.output = output
        run, rows = read_reports(output)
        self._ledger, self._compacted = Ledger(output).as_of_now(), CompactReader(output)
        self._manifest_folder = storage_path(run["manifest"]).parent
        self._starts = [row["start"] for row in rows]
        self.rows = tuple(
            self._row(number, row) for number, (row, _) in enumerate(rows_as_of_now(run, rows, self._ledger))
        )

    def each(self) -> Iterator[TakeData]:
        """Every take in turn, with its figures."""
        batch: list[TakeData] = []
        for row in self.rows:
            batch.append(self._read(row))
            if sum(len(table) for data in batch for table in data.tracks) >= BATCH_ROWS:
                yield from _measured(batch)
                batch = []
        yield from _measured(batch)

    def one(self, number: int) -> TakeData:
        """One take, with its figures. Raises IndexError."""
        return next(_measured([self._read(self.rows[number])]))

    def video(self, number: int) -> str | None:
        """Local path of the video of a take that is done; None: there is none to show. Raises IndexError."""
        row = self.rows[number]
        if row.status != DONE:
            return None
        return video_place(row.source, self._manifest_folder).path

    def _row(self, number: int, row: dict[str, Any]) -> TakeRow:
        values: dict[str, Any] = {name: row[name] for name in _AS_THEY_ARE}
        values |= {name: row[name] or "" for name in ("note", "error_type", "error")}
        further = {name: value for name, value in row.items() if name not in SCHEMA.names and value}
        return TakeRow(number=number, source=row["path"], further=further, **values)

    def _read(self, row: TakeRow) -> TakeData:
        if row.status != DONE:
            return TakeData(row)
        place = video_place(row.source, self._manifest_folder)
        row = dataclasses.replace(row, video=place.path)
        name = table_name("coefficients", row.clip_id)
        record = self._ledger.get(row.clip_id)
        sha256 = None if record is None else record.checksums.get(name)
        try:
            tracks = read_sound_tracks(self.output, name, sha256, self._compacted)
        except InputNotReadable as error:
            return TakeData(dataclasses.replace(row, note=str(error)))
        info = tracks[0].info
        more = tracks[0].shape_names[len(ARKIT_NAMES) :]
        row = dataclasses.replace(row, width=info.width, height=info.height, more_channels=more)
        return TakeData(row, tracks, video_start_s=self._video_start(row, place, tracks[0]))

    def _video_start(self, row: TakeRow, place: VideoPlace, table: CoefficientTable) -> float:
        start = place.start_s()
        if start is not None:
            return start
        is_range = self._starts[row.number] is not None
        return 0.0 if is_range else first_time(table)


_AS_THEY_ARE = (
    *("clip_id", "status", "actor", "frames", "frames_with_face", "seconds", "fps", "people", "shots"),
    *("attempts", "wall_s"),
)


def first_time(table: CoefficientTable) -> float:
    """`time_s` of the first row; 0 of a table without rows."""
    return float(int(table.pts[0]) * table.info.time_base) if len(table) else 0.0


def _measured(batch: Sequence[TakeData]) -> Iterator[TakeData]:
    """`batch` with the figures of its people and their events."""
    found = events_of([table for data in batch for table in data.tracks])
    for data in batch:
        events = () if found is None else found.get(data.row.clip_id, ())
        persons = tuple(
            person_row(table, None if found is None else [e for e in events if e.track == table.track])
            for table in data.tracks
        )
        yield dataclasses.replace(data, row=dataclasses.replace(data.row, persons=persons), events=events)
