"""The records of a run: published as clips end, and counted for the reports.

In: the record of every clip that ends. Out: the record in the ledger, then the same record to the observers
of the run, in the order in which clips ended. Records are published by threads, because a request to object
storage takes some 0.1 s and the loop that hands out tasks must not wait for it. A clip counts as done once
its record has been published, not before. A clip that is captured has not ended: its record is there for a
rerun, and counts nowhere.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
from collections.abc import Callable, Mapping

from facecap_batch import machine
from facecap_batch.errors import OutputLost, OutputNotWritable
from facecap_batch.output.ledger import CAPTURED, DONE, FAILED, Ledger, Record
from facecap_batch.output.segment_store import SegmentFolder
from facecap_batch.scheduling.messages import Listener, Progress

# At 0.1 s a request: 80 clips a second, more than a cluster of a thousand workers ends.
PUBLISHING_THREADS = 8
# Records that wait. More, and the loop waits too: then the storage is slower than the cluster, and what has
# not been published is done again after a crash.
MAX_WAITING = 64


class RunRecords(Listener):
    """How the clips of a run ended. All methods but the publishing itself belong to the driver's thread."""

    def __init__(self, ledger: Ledger, kept: Mapping[str, Record], may_publish: Callable[[], None]) -> None:
        """
        Args:
            ledger: Where they are published.
            kept: Records of the clips that need nothing, by clip_id.
            may_publish: Raises where nothing may be written to the folder.
        """
        self._ledger = ledger
        self._may_publish = may_publish
        self._records = dict(kept)
        self._observers: list[Callable[[Record], None]] = []
        self._threads = concurrent.futures.ThreadPoolExecutor(PUBLISHING_THREADS, "publish record")
        self._waiting: collections.deque[concurrent.futures.Future[Record]] = collections.deque()
        # clip_id -> when its record as captured is there: the one of its end must not come before.
        self._captured: dict[str, concurrent.futures.Future[Record]] = {}

    def observe(self, observer: Callable[[Record], None]) -> None:
        """Call `observer` with every record from now on, once it has been published."""
        self._observers.append(observer)

    def publish(self, record: Record, was_cut: bool) -> None:
        """Publish `record` soon. `was_cut`: the clip has segments, which go once it is done."""
        captured = self._captured.pop(record.clip_id, None)
        published = self._threads.submit(self._publish, record, was_cut, captured)
        if record.status == CAPTURED:
            self._captured[record.clip_id] = published
        self._waiting.append(published)
        while len(self._waiting) > MAX_WAITING:
            self._take(self._waiting.popleft())
        self.collect()

    def reopen(self, clip_id: str) -> None:
        """A clip that was done will be solved again: until then it has not ended."""
        self._records.pop(clip_id, None)

    def collect(self) -> None:
        """Count the records that have been published by now. Raises what publishing raised but OSError."""
        while self._waiting and self._waiting[0].done():
            self._take(self._waiting.popleft())

    def close(self) -> None:
        """Wait until every record has been published, and count it."""
        self._threads.shutdown(wait=True)
        self.collect()

    def progress(self, key: str, progress: Progress) -> None:
        """Workers report every second: so observers hear of a clip soon after its record is published."""
        self.collect()

    @property
    def by_clip(self) -> Mapping[str, Record]:
        """clip_id -> record, of every clip that has ended or was kept."""
        return self._records

    def is_done(self, clip_id: str) -> bool:
        record = self._records.get(clip_id)
        return record is not None and record.status == DONE

    def look(self) -> tuple[str, ...]:
        """Look whether all files of the clips that are done are there; a clip that lacks one counts as failed
        from now on, until a rerun does it again.

        Returns:
            Names of these clips, sorted.

        Raises:
            OSError: The storage does not answer.
        """
        found = Ledger(self._ledger.output).as_of_now()
        gone = [
            record for record in self._records.values() if record.status == DONE and not found.holds(record)
        ]
        for record in gone:
            error = "files of this clip went away during the run; give the same command again"
            self._records[record.clip_id] = _failed(record, OutputLost.__name__, error)
            for observer in self._observers:
                observer(self._records[record.clip_id])
        return tuple(sorted(record.clip_id for record in gone))

    def count(self, status: str) -> int:
        return sum(1 for record in self._records.values() if record.status == status)

    def without_face(self) -> tuple[str, ...]:
        """Names of the clips that are done and show no face in any frame, sorted."""
        return tuple(sorted(name for name, record in self._records.items() if record.shows_no_face))

    def errors(self) -> dict[str, int]:
        """error_type -> failed clips, the most frequent first."""
        types = (record.error_type for record in self._records.values() if record.status == FAILED)
        return dict(collections.Counter(types).most_common())

    def _take(self, published: concurrent.futures.Future[Record]) -> None:
        record = published.result()
        if record.status == CAPTURED:
            return
        self._records[record.clip_id] = record
        for observer in self._observers:
            observer(record)

    def _publish(
        self, record: Record, was_cut: bool, after: concurrent.futures.Future[Record] | None
    ) -> Record:
        """Publish a record, not before `after` has been, and return it; one of a done clip that the storage
        refuses becomes a failure."""
        if after is not None:
            concurrent.futures.wait([after])
        try:
            self._may_publish()
            self._remove_left_over(record)
            self._ledger.put(record)
        except OSError as error:
            return self._unpublished(record, error) if record.status == DONE else record
        if was_cut and record.status != FAILED:
            SegmentFolder(self._ledger.output, record.clip_id).remove()
        return record

    def _remove_left_over(self, record: Record) -> None:
        """Remove what was made of people whom the clip does not have any more. Raises OSError."""
        before = self._ledger.get(record.clip_id) if record.status != FAILED else None
        for name in before.left_over(record) if before is not None else ():
            (self._ledger.output / name).unlink(missing_ok=True)

    def _unpublished(self, record: Record, error: OSError) -> Record:
        """What a done clip counts as until a rerun. Its files go: nothing names them, and they may be what
        fills the disk. A raw table that an earlier record names stays."""
        earlier = self._ledger.get(record.clip_id)
        kept = earlier.raw if earlier is not None else {}
        for name, size in record.outputs.items():
            if kept.get(name) != size:
                with contextlib.suppress(OSError):
                    (self._ledger.output / name).unlink(missing_ok=True)
        return _failed(
            record, OutputNotWritable.__name__, f"its record could not be written: {error.strerror or error}"
        )


def _failed(record: Record, error_type: str, error: str) -> Record:
    """What a clip that was `record` counts as until a rerun."""
    return Record(
        clip_id=record.clip_id,
        status=FAILED,
        input_key=record.input_key,
        capture_fingerprint=record.capture_fingerprint,
        fingerprint=record.fingerprint,
        attempts=record.attempts,
        finished_at=machine.utc_now(),
        error_type=error_type,
        error=error,
    )
