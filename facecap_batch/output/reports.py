"""The reports of a run: ``clips.parquet`` and ``run.json``.

In: the manifest's clips, the records of those that ended, the configuration. Out: one row per manifest row,
whatever became of it, and one JSON file with the configuration and the machine; and both read back. They are
written when a run begins and when it ends, so that every folder describes itself.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AfterValidator

from facecap_batch import __version__, machine
from facecap_batch.clip import CLIPS_NAME, Clip
from facecap_batch.errors import FacecapError
from facecap_batch.output.ledger import DONE, FAILED, Record
from facecap_batch.storage.columns import read_table, value_column
from facecap_batch.storage.documents import (
    Amount,
    BadDocument,
    Count,
    Plain,
    document_bytes,
    excerpt,
    parsed,
)
from facecap_batch.storage.publish import StoragePath, publish_bytes, published

RUN_NAME = "run.json"
PENDING = "pending"  # neither done nor failed: interrupted, or the run is still going

SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),  # as the manifest gives it
        pa.field("start", pa.float64()),  # seconds from the beginning of the file; null: its beginning
        pa.field("end", pa.float64()),  # seconds; null: its end
        pa.field("actor", pa.string()),
        pa.field("timecode", pa.string()),
        pa.field("status", pa.string(), nullable=False),  # done | failed | pending
        pa.field("frames", pa.int64()),
        pa.field("frames_with_face", pa.int64()),
        pa.field("seconds", pa.float64()),  # of video
        pa.field("fps", pa.float64()),  # average frames per second of the video
        pa.field("detector_sha256", pa.string()),
        pa.field("regressor_sha256", pa.string()),
        pa.field("backend", pa.string()),
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("wall_s", pa.float64()),  # seconds that a worker spent on it
        pa.field("note", pa.string()),  # what is unusual about a clip that is done
        pa.field("error_type", pa.string()),
        pa.field("error", pa.string()),
        pa.field("people", pa.int32()),  # tracks with a face; null where one alone was wanted
        pa.field("shots", pa.int32()),  # null where they were not looked for
        pa.field("landmarks", pa.int32()),  # of a face in the tables; null where they were not asked for
    ]
)


def write_clips(output: StoragePath, clips: Sequence[Clip], records: Mapping[str, Record]) -> None:
    """Publish ``clips.parquet``: one row per clip, in the manifest's order; raises OSError.

    Further columns of the manifest follow as text, under the names that `carried_names` gives them.
    """
    rows = [_row(clip, records.get(clip.clip_id)) for clip in clips]
    carried: dict[str, None] = {}  # an ordered set
    for clip in clips:
        carried.update(dict.fromkeys(clip.extra))
    names = carried_names(carried)
    columns = {field.name: value_column([row[field.name] for row in rows], field.type) for field in SCHEMA}
    for name, column in names.items():
        columns[column] = value_column([clip.extra.get(name) or None for clip in clips], pa.string())
    schema = pa.schema([*SCHEMA, *(pa.field(column, pa.string()) for column in names.values())])
    table = pa.Table.from_arrays([*columns.values()], schema=schema)
    with published(output / CLIPS_NAME) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def carried_names(names: Iterable[str]) -> dict[str, str]:
    """The columns of a manifest under the names that they have in ``clips.parquet``.

    Args:
        names: Of the manifest's further columns, each once.

    Returns:
        Name -> column, in order. Columns are distinct from ours and from each other, also for SQL, which
        does not tell case: one whose name is taken becomes ``manifest_<name>``, ``manifest_<name>_2`` …
    """
    listed = list(names)
    taken = {name.casefold() for name in SCHEMA.names}
    columns: dict[str, str] = {}
    for name in listed:  # first: whose name is free keeps it, wherever it stands
        if name.casefold() not in taken:
            taken.add(name.casefold())
            columns[name] = name
    for name in listed:
        column, number = f"manifest_{name}", 1
        while name not in columns and column.casefold() in taken:
            number += 1
            column = f"manifest_{name}_{number}"
        columns.setdefault(name, column)
        taken.add(columns[name].casefold())
    return {name: columns[name] for name in listed}


def _row(clip: Clip, record: Record | None) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    row |= {
        "clip_id": clip.clip_id,
        "path": clip.source,
        "start": None if clip.start is None else float(clip.start),
        "end": None if clip.end is None else float(clip.end),
        "actor": clip.actor,
        "timecode": clip.timecode,
        "status": PENDING,
        "attempts": 0,
    }
    if record is None:
        return row
    row |= {"status": record.status, "attempts": record.attempts}
    if record.status == DONE:
        row |= {
            "frames": record.frames,
            "frames_with_face": record.frames_with_face,
            "seconds": record.seconds,
            "fps": record.fps,
            "detector_sha256": record.engines.get("detector"),
            "regressor_sha256": record.engines.get("regressor"),
            "backend": record.backend,
            "wall_s": record.wall_s,
            "note": record.note or None,
            "people": record.people,
            "shots": record.shots,
            "landmarks": record.landmarks,
        }
    elif record.status == FAILED:
        row |= {"error_type": record.error_type, "error": record.error}
    return row


def clips_of(rows: Sequence[Mapping[str, Any]]) -> list[Clip]:
    """The clips in the rows of a ``clips.parquet``: complete enough to write it again, not to decode them."""
    return [
        Clip(
            clip_id=row["clip_id"],
            path=row["path"],
            start=None if row["start"] is None else Fraction(row["start"]),
            end=None if row["end"] is None else Fraction(row["end"]),
            actor=row["actor"],
            timecode=row["timecode"],
            extra={name: value or "" for name, value in row.items() if name not in SCHEMA.names},
            row=number,
        )
        for number, row in enumerate(rows, 1)
    ]


class NoRun(FacecapError):
    """The folder is not the output folder of a run."""


class BadReports(NoRun):
    """The reports of a run are damaged. The message names the file and what to do."""


_REPAIR = "run the manifest again: both reports are then written anew, and what is done is kept"


def _time_with_zone(text: str) -> str:
    """Raises ValueError unless `text` is a time as reports have it."""
    if datetime.datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time without its zone")
    return text


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunReport:
    """The content of ``run.json``, without the versions and the hardware that `write_run` adds."""

    run_id: str  # as in the log
    state: str  # running | finished | interrupted | broken
    manifest: str
    executor: str = ""  # what carried it out and why that was chosen, in one line
    workers: int  # most at one time
    clips: int
    done: int
    failed: int
    pending: int
    kept: int  # of those done: by earlier runs
    without_face: int = 0  # of those done: no face was found in any frame
    started_at: str  # UTC, ISO 8601
    finished_at: str | None = None
    elapsed_s: float | None = None
    frames: int = 0  # by this run
    video_s: float = 0.0  # seconds of video, by this run
    errors: Mapping[str, int] = dataclasses.field(default_factory=dict)  # error_type -> failed clips
    retries: int = 0  # attempts after the first, by this run
    lost_workers: int = 0  # in this run, for any reason
    lost_to_nodes: int = 0  # of these, because their node went away
    hosts: Sequence[Mapping[str, Any]] = ()  # as `listeners.WorkerRoster.host_kinds`
    fingerprint: str  # of what decides every result, as in the records
    capture_fingerprint: str  # of what decides the raw tables
    config: Mapping[str, Any]  # plain JSON values; the runs floor knows their names


def write_run(output: StoragePath, report: RunReport) -> None:
    """Publish ``run.json``; raises OSError."""
    description = {
        **dataclasses.asdict(report),
        "tool_version": __version__,
        "versions": machine.versions(),
        "hardware": machine.hardware(),
    }
    publish_bytes(output / RUN_NAME, (json.dumps(description, indent=2, ensure_ascii=False) + "\n").encode())


def is_recorded(report: RunReport, run: Mapping[str, Any]) -> bool:
    """True when `run`, the content of ``run.json``, holds everything that `report` says."""
    return all(run.get(name) == value for name, value in _plain(dataclasses.asdict(report)).items())


def _plain(value: Any) -> Any:
    """As JSON gives it back: lists instead of tuples."""
    return json.loads(json.dumps(value))


@excerpt
@dataclasses.dataclass(frozen=True, kw_only=True)
class _Readable:
    """Of ``run.json``, what anybody reads again. Fields with defaults were not there in every version."""

    state: Literal["running", "finished", "interrupted", "broken"]
    manifest: str
    fingerprint: str
    capture_fingerprint: str
    config: Plain  # the runs floor checks it
    started_at: Annotated[str, AfterValidator(_time_with_zone)]
    finished_at: Annotated[str, AfterValidator(_time_with_zone)] | None = None
    elapsed_s: Amount | None = None
    run_id: str = ""
    executor: str = ""
    tool_version: str = ""
    workers: Count = 0
    clips: Count = 0
    done: Count = 0
    failed: Count = 0
    pending: Count = 0
    kept: Count = 0
    frames: Count = 0
    video_s: Amount = 0.0
    errors: dict[str, Count] = dataclasses.field(default_factory=dict)
    retries: Count = 0
    lost_workers: Count = 0
    lost_to_nodes: Count = 0
    hosts: list[dict[str, Plain]] = dataclasses.field(default_factory=list)


def read_reports(output: StoragePath) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read the reports of a run.

    Returns:
        The content of ``run.json``, and the rows of ``clips.parquet`` with the columns of `SCHEMA` and the
        manifest's own.

    Raises:
        NoRun: one of them is missing.
        BadReports: one of them is damaged.
    """
    try:
        content = document_bytes(output / RUN_NAME)
        parsed(_Readable, content, output / RUN_NAME)
        table = read_table(output / CLIPS_NAME)
        table = _with_later_columns(table)
        if problem := _table_problem(table):
            raise BadDocument(f"{output / CLIPS_NAME}: {problem}")
        return json.loads(content), table.to_pylist()
    except FileNotFoundError as error:
        raise NoRun(
            f"{output} is not the output folder of a run: it has no {RUN_NAME}/{CLIPS_NAME}"
        ) from error
    except BadDocument as error:
        raise BadReports(f"{error}; {_REPAIR}") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BadReports(f"{output}: the reports cannot be read: {error}; {_REPAIR}") from error


def _with_later_columns(table: pa.Table) -> pa.Table:
    """The table with the columns that came after the version that wrote it, null in every row."""
    for field in SCHEMA:
        if field.nullable and field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table


def _table_problem(table: pa.Table) -> str:
    """What is wrong with a ``clips.parquet`` that has all columns that may be null."""
    names = table.column_names
    if len(set(names)) < len(names):
        return "two columns have one name"
    for field in SCHEMA:
        if field.name not in names:
            return f"the column {field.name} is missing"
        column = table[field.name]
        if column.type != field.type or (not field.nullable and column.null_count):
            return f"the column {field.name} holds something else"
    for name in ("start", "end", "seconds", "fps"):
        if not all(value is None or math.isfinite(value) for value in table[name].to_pylist()):
            return f"a value of the column {name} is not finite"
    if not set(table["status"].to_pylist()) <= {DONE, FAILED, PENDING}:
        return "the column status holds something else"
    return ""
