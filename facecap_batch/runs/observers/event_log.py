"""A run as a log for programs: one JSON object a line, written by the driver as things happen.

In: the scheduler's events and the records of clips. Out: lines appended to a file, each complete, in order of
time. A file may hold many runs; `run` tells them apart. Names are explained in docs/runs.md, "Logs".
"""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from facecap_batch.errors import OutputNotWritable
from facecap_batch.output.ledger import DONE
from facecap_batch.scheduling.messages import Listener, Outcome, Progress, WorkerReady

if TYPE_CHECKING:
    from facecap_batch.output.ledger import Record


class EventLog(Listener):
    """A listener that writes every event to a file, until it is closed."""

    def __init__(self, path: Path, run_id: str) -> None:
        """Raises OutputNotWritable."""
        self.path, self._run_id = path, run_id
        self._holders: dict[str, tuple[WorkerReady, float]] = {}  # key -> the worker that has it, since when
        self._broken = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise OutputNotWritable(
                f"the log {path} cannot be written: {error.strerror or error}; choose another --log-json"
            ) from error

    def close(self) -> None:
        self._file.close()

    def write(self, event: str, **fields: Any) -> None:
        """Append one line. A log that can no longer be written does not end a run; it ends here."""
        if self._broken:
            return
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "run": self._run_id, "event": event, **fields}, ensure_ascii=False)
        try:
            self._file.write(line.encode("utf-8", "replace").decode() + "\n")
        except OSError:
            self._broken = True

    def kept(self, record: Record) -> None:
        """A clip has ended."""
        fields: dict[str, Any] = {"clip": record.clip_id, "attempts": record.attempts}
        if record.status == DONE:
            fields |= {name: getattr(record, name) for name in ("frames", "seconds", "backend", "note")}
        else:
            fields |= {"error_type": record.error_type, "error": record.error}
        self.write(record.status, **fields)

    # --- the scheduler's listener ---

    def started(self, key: str, worker: WorkerReady) -> None:
        self._holders[key] = worker, time.monotonic()
        self.write("started", **_what(key), **_who(worker))

    def progress(self, key: str, progress: Progress) -> None:
        pass  # one a second and worker: what metrics are for

    def ended(self, outcome: Outcome) -> None:
        fields = {"attempts": outcome.attempts, "error_type": outcome.error_type, "error": outcome.error}
        self.write("ended", **_what(outcome.key), **self._dropped(outcome.key), **fields)

    def retried(self, key: str, reason: str) -> None:
        self.write("retried", **_what(key), **self._dropped(key), reason=reason)

    def joined(self, worker: WorkerReady) -> None:
        self.write("worker_joined", **_who(worker), backend=worker.backend)

    def lost(self, worker: WorkerReady | None, reason: str, node_died: bool) -> None:
        self.write("worker_lost", **_who(worker), reason=reason, node_died=node_died)

    def _dropped(self, key: str) -> dict[str, Any]:
        """Which worker had the task and for how long; empty where none had it."""
        worker, since = self._holders.pop(key, (None, 0.0))
        return {} if worker is None else {**_who(worker), "wall_s": round(time.monotonic() - since, 3)}


def _what(key: str) -> dict[str, str]:
    """A task's key is a clip's id (which holds no slash), or the id and a step of its clip, or a step of
    several clips."""
    clip_id, _, step = key.partition("/")
    if not clip_id:
        return {"step": step}
    return {"clip": clip_id, "step": step} if step else {"clip": clip_id}


def _who(worker: WorkerReady | None) -> dict[str, Any]:
    return {} if worker is None else {"node": worker.node_id, "pid": worker.pid}
