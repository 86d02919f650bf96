"""A run as Prometheus metrics, through Ray: every node's metrics endpoint is scraped as Ray's own are.

In: the scheduler's events and the records of clips. Out: counters and one gauge, labelled by node (Ray's node
id) and backend where that is known. The driver alone records, a few microseconds an event. Ray exports them
with `ray_` in front, counters with `_total` behind, where its metrics agent runs
(the extra ``cluster``); elsewhere recording does nothing. The list is in docs/cluster.md.
"""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge

from facecap_batch.output.ledger import DONE, Record
from facecap_batch.output.segment_store import SegmentRecord
from facecap_batch.scheduling.messages import Listener, Outcome, Progress, WorkerReady

LABELS = ("node", "backend")
UNKNOWN = {"node": "", "backend": ""}  # of workers that never became ready


class RunMetrics(Listener):
    """Counts for Prometheus. Frames are counted as they are done, those of work that is lost and done again
    included: the counters say what the machines did, the tables what came of it.
    """

    def __init__(self) -> None:
        self._frames = Counter("facecap_frames", "Frames processed.", LABELS)
        self._retries = Counter("facecap_retries", "Work that is given to a worker once more.", LABELS)
        self._losses = Counter(
            "facecap_workers_lost", "Workers that died, hung or went with their node.", LABELS
        )
        self._done = Counter("facecap_clips_done", "Clips that are done.", ("backend",))
        self._video = Counter(
            "facecap_video_seconds", "Seconds of video of clips that are done.", ("backend",)
        )
        self._failed = Counter("facecap_clips_failed", "Clips that failed for good.", ("error_type",))
        self._workers = Gauge("facecap_workers", "Workers that are ready.")
        self._holders: dict[str, WorkerReady] = {}
        self._counted: dict[str, int] = {}  # key -> frames counted so far

    def kept(self, record: Record) -> None:
        """A clip has ended."""
        if record.status == DONE:
            self._done.inc(1, {"backend": record.backend})
            if record.seconds > 0:
                self._video.inc(record.seconds, {"backend": record.backend})
        else:
            self._failed.inc(1, {"error_type": record.error_type})

    # --- the scheduler's listener ---

    def started(self, key: str, worker: WorkerReady) -> None:
        self._holders[key] = worker
        self._counted[key] = 0

    def progress(self, key: str, progress: Progress) -> None:
        self._count(key, progress.frames)

    def ended(self, outcome: Outcome) -> None:
        result = outcome.result
        # Neither how a clip is cut nor its join: those frames are counted with its segments.
        if isinstance(result, SegmentRecord) or (isinstance(result, Record) and "/" not in outcome.key):
            self._count(outcome.key, result.frames)
        self._forget(outcome.key)

    def retried(self, key: str, reason: str) -> None:
        self._retries.inc(1, _tags(self._holders.get(key)))
        self._forget(key)

    def workers(self, count: int) -> None:
        self._workers.set(count)

    def lost(self, worker: WorkerReady | None, reason: str, node_died: bool) -> None:
        self._losses.inc(1, _tags(worker))

    def _count(self, key: str, frames: int) -> None:
        more = frames - self._counted[key]
        if more > 0:
            self._frames.inc(more, _tags(self._holders[key]))
            self._counted[key] = frames

    def _forget(self, key: str) -> None:
        self._holders.pop(key, None)
        self._counted.pop(key, None)


def _tags(worker: WorkerReady | None) -> dict[str, str]:
    return UNKNOWN if worker is None else {"node": worker.node_id, "backend": worker.backend}
