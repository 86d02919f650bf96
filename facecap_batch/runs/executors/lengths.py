"""How long clips are, as their containers declare it.

In: clips. Out: seconds. Files are opened in a process of their own, for one that crashes whoever opens it
must not end the driver.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence

from facecap_batch.clip import Clip
from facecap_batch.scheduling.messages import Done, Failed, Progress, WorkerReady
from facecap_batch.scheduling.worker_process import ProcessEnded, WorkerProcess
from facecap_batch.storage.remote import is_uri

PATIENCE_S = 5.0  # a job whose files do not answer in this time is not small


def measured_seconds(clips: Sequence[Clip]) -> list[float | None]:
    """Seconds of video of each clip; None where its container declares none, and for a URI."""
    unknown: list[float | None] = [None] * len(clips)
    if all(is_uri(clip.path) for clip in clips):
        return unknown
    process = WorkerProcess(LengthWorker)
    try:
        if not isinstance(process.receive(PATIENCE_S), WorkerReady):
            return unknown
        process.send(tuple(clips))
        answer = process.receive(PATIENCE_S)
        return answer.result if isinstance(answer, Done) else unknown
    except ProcessEnded:
        return unknown
    finally:
        process.kill()


class LengthWorker:
    """Opens containers and decodes nothing of them."""

    def ready(self) -> WorkerReady:
        return WorkerReady(platform.node(), os.getpid())

    def work(self, clips: Sequence[Clip]) -> Iterator[Progress | Done | Failed]:
        yield Done([None if is_uri(clip.path) else _seconds(clip) for clip in clips])


def _seconds(clip: Clip) -> float | None:
    from facecap_batch.errors import FacecapError
    from facecap_batch.video.container import opened

    start = float(clip.start or 0)
    if clip.end is not None:
        return float(clip.end) - start
    try:
        with opened(clip.path) as container:
            return max(0.0, container.duration / 1e6 - start) if container.duration else None
    except FacecapError:
        return 0.0  # it fails at once
