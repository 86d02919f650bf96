"""The progress of an output folder, during a run and after it.

In: an output folder. Out: a `Status`. Only reads: the reports of the run and the records of the ledger.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from facecap_batch.output.ledger import CAPTURED, DONE, FAILED, Ledger, Record
from facecap_batch.output.lock import is_held
from facecap_batch.output.reports import PENDING, read_reports
from facecap_batch.storage.publish import StoragePath
from facecap_batch.timecode import clock

MAX_ERRORS = 10  # kinds of error that are listed


@dataclasses.dataclass(frozen=True)
class ErrorKind:
    """Clips that failed with the same type of error."""

    error_type: str
    count: int
    clip_id: str  # an example
    error: str  # its message


@dataclasses.dataclass(frozen=True)
class Status:
    """The progress of a run."""

    state: str  # running | finished | interrupted | broken | killed
    clips: int
    done: int
    failed: int
    pending: int
    frames: int  # of all done clips
    frames_with_face: int
    without_face: int  # done clips that show no face in any frame
    video_s: float  # seconds of video, of all done clips
    fps: float  # frames per second of wall time, of this run; 0: not known
    left_s: float | None  # seconds of wall time; None: not known, or no run is going on
    errors: tuple[ErrorKind, ...]  # most frequent first


def status(output: StoragePath) -> Status:
    """The status of the output folder now. Raises NoRun; OSError where a remote folder cannot be read."""
    running = is_held(
        output
    )  # first: a run that ends meanwhile is "running", and none that ended is "killed"
    run, rows = read_reports(output)
    ledger = Ledger(output).as_of_now()
    counts: collections.Counter[str] = collections.Counter()
    frames = with_face = without_face = 0
    video_s = 0.0
    new_frames = new_ended = 0
    failures: list[tuple[str, str, str]] = []
    for row, is_new in rows_as_of_now(run, rows, ledger):
        if is_new:
            new_ended += 1
            new_frames += row["frames"]
        counts[row["status"]] += 1
        if row["status"] == DONE:
            frames += row["frames"]
            with_face += row["frames_with_face"]
            without_face += not row["frames_with_face"]
            video_s += row["seconds"]
        elif row["status"] == FAILED:
            failures.append((row["error_type"] or "", row["clip_id"], row["error"] or ""))
    elapsed = _elapsed(run) if running else 0.0
    finished_fps = run["frames"] / run["elapsed_s"] if run.get("elapsed_s") else 0.0
    pending = counts[PENDING]
    return Status(
        state="running" if running else ("killed" if run["state"] == "running" else run["state"]),
        clips=len(rows),
        done=counts[DONE],
        failed=counts[FAILED],
        pending=pending,
        frames=frames,
        frames_with_face=with_face,
        without_face=without_face,
        video_s=video_s,
        fps=new_frames / elapsed if running and elapsed else finished_fps,
        left_s=elapsed / new_ended * pending if running and new_ended else None,
        errors=_kinds(failures),
    )


def watch(output: StoragePath, every_s: float) -> Iterator[Status]:
    """Yield the status now, and every `every_s` seconds until no run is going on. Raises as `status`."""
    while True:
        found = status(output)
        yield found
        if found.state != "running":
            return
        time.sleep(every_s)


_FROM_RECORD = (
    *("status", "frames", "frames_with_face", "seconds", "error_type", "error"),
    *("fps", "people", "shots", "backend", "wall_s", "attempts", "note"),
)


def rows_as_of_now(
    run: Mapping[str, Any], rows: Iterable[dict[str, Any]], ledger: Ledger
) -> Iterator[tuple[dict[str, Any], bool]]:
    """The rows of the reports, brought up to date where a run is going on or was killed.

    Args:
        run, rows: As `read_reports` gives them.
        ledger: Of the same folder.

    Yields:
        Each row, and whether its clip has ended since the reports were written.
    """
    for row in rows:
        record = ledger.get(row["clip_id"]) if row["status"] == PENDING else None
        if record is not None and _is_of(record, run):
            yield {**row, **{name: getattr(record, name) for name in _FROM_RECORD}}, True
        else:
            yield row, False


def describe(status: Status) -> str:
    """A few lines for people."""
    lines = [
        f"{status.state}: {status.done} of {status.clips} clips done, {status.failed} failed, "
        f"{status.pending} left"
    ]
    found = 100 * status.frames_with_face / status.frames if status.frames else 0.0
    lines.append(
        f"{clock(status.video_s)} of video ({status.video_s / 3600:.2f} h), {status.frames} frames, "
        f"face in {found:.0f} %"
    )
    if status.without_face:
        lines.append(f"{status.without_face} clips without any face (frames_with_face is 0 in clips.parquet)")
    if status.fps:
        lines.append(f"{status.fps:.0f} fps")
    if status.left_s is not None:
        lines.append(f"about {clock(status.left_s)} left")
    for kind in status.errors:
        lines.append(f"{kind.count} × {kind.error_type}, as {kind.clip_id}: {kind.error}")
    return "\n".join(lines)


def _is_of(record: Record, run: Mapping[str, Any]) -> bool:
    """True for the record of a clip that has ended in the latest run."""
    return bool(
        record.status != CAPTURED
        and record.fingerprint == run["fingerprint"]
        and record.finished_at >= run["started_at"]
    )


def _kinds(failures: list[tuple[str, str, str]]) -> tuple[ErrorKind, ...]:
    by_type: dict[str, list[tuple[str, str]]] = collections.defaultdict(list)
    for error_type, clip_id, error in failures:
        by_type[error_type].append((clip_id, error))
    kinds = [ErrorKind(name, len(found), *found[0]) for name, found in by_type.items()]
    return tuple(sorted(kinds, key=lambda kind: (-kind.count, kind.error_type))[:MAX_ERRORS])


def _elapsed(run: dict[str, Any]) -> float:
    started = datetime.datetime.fromisoformat(run["started_at"])
    return (datetime.datetime.now(datetime.timezone.utc) - started).total_seconds()
