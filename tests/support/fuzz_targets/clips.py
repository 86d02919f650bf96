"""The videos of `containers`, given to a worker: planned, captured, solved and exported.

Slower by far than the reader alone; its process holds what a worker of a run holds: its memory is a worker's.
"""

from __future__ import annotations

from pathlib import Path

from facecap_batch import errors
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.clip import Clip
from facecap_batch.output.lock import OutputLock
from facecap_batch.runs.config import make_config
from facecap_batch.runs.planner import WorkItem
from facecap_batch.runs.worker import ClipWorker
from facecap_batch.scheduling.messages import Failed
from tests.support.fuzz_targets import containers
from tests.support.fuzz_targets.target import Target
from tests.support.fuzzing import BYTES


class _Worker:
    """A worker of a run, made when the first input is."""

    def inputs(self, folder: Path) -> list[bytes]:
        config = make_config("default", "onnxruntime-cpu", CaptureSettings(damage="keep"))
        self._lock = OutputLock(folder / "out")  # held until the process ends, as by a run's driver
        self._lock.__enter__()
        self._worker = ClipWorker(config, self._lock.claim, segment_s=60.0)
        self._worker.ready()
        return containers.inputs(folder)

    def take(self, path: Path) -> None:
        """Do it as a clip. Raises the error that its record would name."""
        *_, last = self._worker.work(WorkItem(Clip("clip", str(path)), "key", 1.0))
        if isinstance(last, Failed):
            raise getattr(errors, last.error_type, RuntimeError)(last.error)


_worker = _Worker()
TARGET = Target(_worker.inputs, _worker.take, BYTES, (".mp4", ".mkv", ".avi", ".png", ".bin"))
