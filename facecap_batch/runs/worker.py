"""One clip from start to end, or one step of a long clip, in one process that holds the engines.

In: a `WorkItem`. Out: ``raw/``, ``coefficients/`` and ``fbx/`` of that clip, each published complete or not
at all, and a small `Record`. A long clip comes back as `SegmentPlan` instead; its `SegmentItem`s and at last
its `JoinItem` follow (see `workflow`). `ClipWorker` is the same as a Ray actor that reports how far it is;
frames never leave it.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facecap_batch import __version__
from facecap_batch.capturing.pipeline import capture_clip
from facecap_batch.capturing.segments.plan import SegmentPlan
from facecap_batch.clip import Clip
from facecap_batch.coefficients import OUTPUT_NAMES, CoefficientTable, write_parquet
from facecap_batch.errors import (
    EngineMismatch,
    FacecapError,
    InputNotReadable,
    OutputNotWritable,
    is_permanent,
)
from facecap_batch.output.compact_index import read_clip, size_of
from facecap_batch.output.ledger import DONE, Record
from facecap_batch.output.segment_store import SegmentRecord
from facecap_batch.runs.config import RunConfig
from facecap_batch.runs.planner import JoinItem, SegmentItem, WorkItem
from facecap_batch.runs.segment_steps import cuts_of, do_join, do_segment
from facecap_batch.scheduling.messages import Done, Failed, Progress, WorkerReady
from facecap_batch.solve.solver import GAINS_METADATA, solve_table
from facecap_batch.storage.publish import StoragePath, storage_path, writing

if TYPE_CHECKING:
    from facecap_batch.engines.batching import Engine

HEARTBEAT_S = 1.0  # between two progress records; each costs the driver a millisecond or two


@dataclasses.dataclass(frozen=True)
class Engines:
    """The engines of one process, open."""

    detector: Engine
    regressor: Engine
    metadata: dict[str, str]  # as written into every table


def open_engines(config: RunConfig) -> Engines:
    """Open the configured set; EngineMismatch where its files here are not those of the run, NotCertified
    where only certified backends may run and the one that opens here is none."""
    from facecap_batch.engines import certificates
    from facecap_batch.engines.registry import open_engine
    from facecap_batch.engines.sets import fingerprints, load_set

    cards = load_set(config.engines)
    found = fingerprints(cards)
    if found != dict(config.engine_hashes):
        raise EngineMismatch(f"engine set {config.engines!r} on this node differs from the driver's: {found}")
    detector = open_engine(cards.detector, config.backend, threads=1)
    regressor = open_engine(cards.regressor, config.backend, threads=1)
    metadata = {"tool": f"facecap-batch {__version__}"}
    for card, engine in ((cards.detector, detector), (cards.regressor, regressor)):
        metadata[f"{card.role}_engine"] = f"{card.name} {card.version}".strip()
        metadata[f"{card.role}_sha256"] = card.sha256
        metadata[f"{card.role}_licence"] = card.licence
        metadata[f"{card.role}_backend"] = engine.backend
        look = certificates.require if config.require_certificate else certificates.find
        if certificate := look(cards, engine.backend):
            metadata[f"{card.role}_certificate"] = str(certificate)
    names = cards.regressor.output_names
    if names and names != OUTPUT_NAMES:
        metadata["regressor_outputs"] = json.dumps(names)
    if cards.regressor.gains:
        metadata[GAINS_METADATA] = json.dumps(cards.regressor.gains, sort_keys=True)
    return Engines(detector, regressor, metadata)


def process(
    item: WorkItem | SegmentItem | JoinItem,
    config: RunConfig,
    output: StoragePath,
    engines: Callable[[], Engines],
    progress: Callable[[int], None] | None = None,
    segment_s: float = 0.0,
) -> Record | SegmentPlan | SegmentRecord:
    """Do `item` and return its record, not yet published, or how its clip is to be cut.

    `engines` is asked only when frames must be looked at; clips much longer than `segment_s` seconds are cut,
    if it is above 0. Raises FacecapError or OSError; files published until then stay, as no record names
    them they are done again.
    """
    started = time.monotonic()
    if isinstance(item, SegmentItem):
        return do_segment(item, config, output, engines(), progress)
    if isinstance(item, JoinItem):
        joined = do_join(item, config, output, engines(), progress)
        if isinstance(joined, SegmentPlan):
            return joined
        used = dict(zip(("detector_backend", "regressor_backend"), joined.backends, strict=True))
        raw = _described(joined.table, item.clip, config, {**engines().metadata, **used})
    elif item.reuse_raw:
        raw = read_clip(output, output_names(item.clip.clip_id)["raw"])
    else:
        cuts = cuts_of(item, config, output, engines(), progress, segment_s) if segment_s else None
        if cuts is not None and cuts.segments:
            return cuts
        raw = capture_clip(item.clip, engines().detector, engines().regressor, config.capture, progress)
        raw = _described(raw, item.clip, config, engines().metadata)
    outputs = _publish(item, raw, config, output)
    return _record(item, config, raw, outputs, time.monotonic() - started)


def _publish(
    item: WorkItem | JoinItem, raw: CoefficientTable, config: RunConfig, output: StoragePath
) -> dict[str, int]:
    """Solve and write the clip's files; their names and sizes in bytes."""
    from facecap_batch.exporting.fbx.writer import write_fbx

    names = output_names(item.clip.clip_id)
    if not (isinstance(item, WorkItem) and item.reuse_raw):
        with writing(output / names["raw"]) as path:
            write_parquet(raw, path)
    final = solve_table(raw, config.solve)
    final = final.replace(metadata={**final.metadata, "fingerprint": config.fingerprint()})
    with writing(output / names["coefficients"]) as path:
        write_parquet(final, path)
    with writing(output / names["fbx"]) as path:
        write_fbx(final, path)
    return {name: size_of(output, name) for name in names.values()}


def output_names(clip_id: str) -> dict[str, str]:
    """Kind -> the clip's file, relative to the output folder."""
    return {
        "raw": f"raw/{clip_id}.parquet",
        "coefficients": f"coefficients/{clip_id}.parquet",
        "fbx": f"fbx/{clip_id}.fbx",
    }


def _described(
    raw: CoefficientTable, clip: Clip, config: RunConfig, engines: Mapping[str, str]
) -> CoefficientTable:
    about = {"actor": clip.actor or "", "timecode": clip.timecode or ""}
    return raw.replace(
        metadata={
            **raw.metadata,
            **engines,
            **{name: value for name, value in about.items() if value},
            "capture_fingerprint": config.capture_fingerprint(),
        }
    )


def _record(
    item: WorkItem | JoinItem,
    config: RunConfig,
    raw: CoefficientTable,
    outputs: dict[str, int],
    wall_s: float,
) -> Record:
    fps = raw.info.fps
    # The last frame lasts as long as the average one.
    span = int(raw.pts[-1] - raw.pts[0]) * raw.info.time_base if len(raw) else 0
    return Record(
        clip_id=item.clip.clip_id,
        status=DONE,
        input_key=item.input_key,
        capture_fingerprint=config.capture_fingerprint(),
        fingerprint=config.fingerprint(),
        frames=len(raw),
        frames_with_face=int(np.count_nonzero(raw.face_found)),
        seconds=float(span + (1 / fps if fps else 0)),
        fps=float(fps),
        backend=raw.metadata.get("regressor_backend", ""),
        engines=dict(config.engine_hashes),
        outputs=outputs,
        wall_s=round(wall_s, 3),
        finished_at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        note=raw.metadata.get("notes", ""),
    )


def classify_error(error: BaseException) -> tuple[str, str, bool]:
    """(error_type, message, whether another attempt may fare better) of an error from `process`."""
    cause = error.__cause__ if isinstance(error, (OutputNotWritable, InputNotReadable)) else error
    if isinstance(cause, OSError):
        return type(error).__name__, str(error), not is_permanent(cause)
    if isinstance(error, FacecapError):
        return type(error).__name__, str(error), False
    if isinstance(error, MemoryError):
        return "MemoryError", f"not enough memory: {error}", True
    where = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(where.filename).name}:{where.lineno}"
    return type(error).__name__, f"unexpected, please report it: {error} ({place})", False


class ClipWorker:
    """A Ray actor (see `scheduler` for what it must offer) that keeps its engines between clips."""

    def __init__(self, config: RunConfig, output: str, captures: bool = True, segment_s: float = 0.0) -> None:
        """`captures` is false where no item will need the engines; `segment_s`: see `process`."""
        self.config = config
        self.segment_s = segment_s
        self.captures = captures
        self.output = storage_path(output)
        self._engines: Engines | None = None

    def ready(self) -> WorkerReady:
        """Take one thread for everything, open the engines. Raises EngineError."""
        import ray

        limit_threads()
        backend = self._open().regressor.backend if self.captures else ""
        return WorkerReady(ray.get_runtime_context().get_node_id(), os.getpid(), backend)

    def work(self, item: WorkItem | SegmentItem | JoinItem) -> Iterator[Progress | Done | Failed]:
        """Do `item` in a thread of its own and yield its progress, then how it ended."""
        messages: queue.SimpleQueue[Progress | Done | Failed] = queue.SimpleQueue()
        # A daemon, or a decoder that hangs would keep the process from ending.
        threading.Thread(target=self._work, args=(item, messages), daemon=True).start()
        while True:
            message = messages.get()
            yield message
            if not isinstance(message, Progress):
                return

    def _work(
        self, item: WorkItem | SegmentItem | JoinItem, messages: queue.SimpleQueue[Progress | Done | Failed]
    ) -> None:
        last = time.monotonic()

        def progress(frames: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= HEARTBEAT_S:
                last = now
                messages.put(Progress(frames))

        try:
            result = process(item, self.config, self.output, self._open, progress, self.segment_s)
            messages.put(Done(result))
        except BaseException as error:  # whatever it is, the driver must hear of it
            messages.put(Failed(*classify_error(error)))

    def _open(self) -> Engines:
        if self._engines is None:
            self._engines = open_engines(self.config)
        return self._engines


def limit_threads() -> None:
    """One thread per worker: parallelism is workers. Libraries that are asked at run time are told here;
    the others read the environment that Ray gives to a worker of one CPU."""
    import cv2
    import pyarrow

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    cv2.setNumThreads(1)
    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)
