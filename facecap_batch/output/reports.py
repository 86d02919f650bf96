"""What a run says of itself: ``clips.parquet`` and ``run.json``.

In: the manifest's clips, the records of those that ended, the configuration. Out: one row per manifest row,
whatever became of it, and one JSON file with the configuration and the machine. Both are written when a run
begins and when it ends, so that a folder always says what it is.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from facecap_batch import __version__
from facecap_batch.output.ledger import DONE, FAILED, Record
from facecap_batch.runs.config import RunConfig
from facecap_batch.runs.manifest import Clip
from facecap_batch.scheduling.cluster import usable_cpus
from facecap_batch.storage.publish import Place, publish_bytes, published

CLIPS_NAME, RUN_NAME = "clips.parquet", "run.json"
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
        pa.field("note", pa.string()),  # what was odd about a clip that is done
        pa.field("error_type", pa.string()),
        pa.field("error", pa.string()),
    ]
)
PACKAGES = (
    "av",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "opencv-python-headless",
    "pyarrow",
    "ray",
    "torch",
)


def write_clips(output: Place, clips: Sequence[Clip], records: Mapping[str, Record]) -> None:
    """Publish ``clips.parquet``: one row per clip, in the manifest's order; raises OSError.

    Columns of the manifest that this project does not know follow as text; one that bears the name of a
    column of ours becomes ``manifest_<name>``.
    """
    rows = [_row(clip, records.get(clip.clip_id)) for clip in clips]
    carried: dict[str, None] = {}  # an ordered set
    for clip in clips:
        carried.update(dict.fromkeys(clip.extra))
    names = {name: f"manifest_{name}" if name in SCHEMA.names else name for name in carried}
    columns = {field.name: pa.array([row[field.name] for row in rows], field.type) for field in SCHEMA}
    for name, column in names.items():
        columns[column] = pa.array([clip.extra.get(name) or None for clip in clips], pa.string())
    schema = pa.schema([*SCHEMA, *(pa.field(column, pa.string()) for column in names.values())])
    with published(output / CLIPS_NAME) as temporary:
        pq.write_table(pa.table(columns, schema=schema), temporary, compression="zstd")


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
        }
    elif record.status == FAILED:
        row |= {"error_type": record.error_type, "error": record.error}
    return row


def clips_of(rows: Sequence[Mapping[str, Any]]) -> list[Clip]:
    """The clips that the rows of a ``clips.parquet`` are of; enough to write it again, not to decode them."""
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


@dataclasses.dataclass(frozen=True)
class RunReport:
    """What ``run.json`` says beside the configuration."""

    run_id: str  # as in the log
    state: str  # running | finished | interrupted | broken
    manifest: str
    workers: int  # most at one time
    clips: int
    done: int
    failed: int
    pending: int
    kept: int  # of those done: by earlier runs
    started_at: str  # UTC, ISO 8601
    finished_at: str | None = None
    elapsed_s: float | None = None
    frames: int = 0  # by this run
    video_s: float = 0.0  # seconds of video, by this run
    errors: Mapping[str, int] = dataclasses.field(default_factory=dict)  # error_type -> failed clips
    retries: int = 0  # work given to a worker once more, by this run
    lost_workers: int = 0  # in this run, for any reason
    lost_to_nodes: int = 0  # of these, because their node went away
    hosts: Sequence[Mapping[str, Any]] = ()  # as `listeners.Roster.host_kinds`


def write_run(output: Place, config: RunConfig, report: RunReport) -> None:
    """Publish ``run.json``; raises OSError."""
    description = {
        **dataclasses.asdict(report),
        "tool_version": __version__,
        "fingerprint": config.fingerprint(),
        "capture_fingerprint": config.capture_fingerprint(),
        "config": config.describe(),
        "versions": versions(),
        "hardware": hardware(),
    }
    publish_bytes(output / RUN_NAME, (json.dumps(description, indent=2, ensure_ascii=False) + "\n").encode())


def utc_now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that touch results; absent ones are left out."""
    found = {"python": platform.python_version(), "facecap-batch": __version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """The driver's machine."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _processor(),
        "cpus": usable_cpus(),
        "memory_bytes": _memory(),
        "gpus": _gpus(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _gpus() -> list[str]:
    """Names of NVIDIA GPUs, as the driver's files tell them; no library is loaded for it."""
    names = []
    for information in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in information.read_text().splitlines():
            if line.startswith("Model:"):
                names.append(line.split(":", 1)[1].strip())
    return names
