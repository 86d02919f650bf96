"""The steps of a clip: capture, solve, export; or one step of a clip that is cut into segments.

In: an item of the planner, the configuration, the engines. Out: ``raw/``, ``coefficients/`` and ``fbx/`` of
the clip, published together and complete or not at all, and a small `Record`, which the driver publishes
last. A long clip gives a `SegmentPlan` instead; its `SegmentItem`s and at last its `JoinItem` follow (see
`workflow`). A clip that is calibrated by actor gives ``raw/`` alone; its `SolveItem` follows (see
`actors.workflow`).
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from facecap_batch import machine
from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.capturing.segments.plan import SegmentPlan
from facecap_batch.clip import Clip
from facecap_batch.coefficients import CoefficientTable, write_tracks
from facecap_batch.errors import (
    MEMORY_ADVICE,
    FacecapError,
    InputNotReadable,
    OutOfMemory,
    OutputNotWritable,
    is_permanent,
    means_no_memory,
)
from facecap_batch.exporting.common_rows import with_rows_of
from facecap_batch.output.compact_index import size_of, table_name
from facecap_batch.output.integrity import FileState, read_sound_tracks, state_of
from facecap_batch.output.ledger import CAPTURED, DONE, Ledger, Record
from facecap_batch.output.ownership.claim import Claim
from facecap_batch.output.segment_store import SegmentRecord
from facecap_batch.runs.actors.plan import is_calibrated_by_actor
from facecap_batch.runs.actors.steps import do_calibration
from facecap_batch.runs.config import RunConfig
from facecap_batch.runs.planner import CalibrationItem, Item, JoinItem, SegmentItem, SolveItem, WorkItem
from facecap_batch.runs.segment_steps import cuts_of, do_join, do_segment
from facecap_batch.solve.actors import ActorCalibration, ActorStatistics
from facecap_batch.solve.people import solve_tracks
from facecap_batch.storage.batch import FileBatch
from facecap_batch.storage.publish import StoragePath, writing

# The files are written all the same: one FBX per clip is what pipelines count on.
NO_FACE = "no face was found in any frame: nothing moves in the FBX"


def process(
    item: Item,
    config: RunConfig,
    claim: Claim,
    engines: Callable[[], FaceCapture],
    progress: Callable[[int], None] | None = None,
    segment_s: float = 0.0,
) -> Record | SegmentPlan | SegmentRecord | ActorCalibration:
    """Do `item` in the folder of `claim` and return its record, not yet published, or how its clip is to be
    cut.

    `engines` is called only when frames must be decoded; clips much longer than `segment_s` seconds are cut,
    if it is above 0. Raises FacecapError or OSError: then nothing of the clip was published.
    """
    started = time.monotonic()
    output = claim.output
    if isinstance(item, SegmentItem):
        return do_segment(item, claim, engines(), progress)
    if isinstance(item, CalibrationItem):
        return do_calibration(item, output, progress)
    calibration = item.calibration if isinstance(item, SolveItem) else None
    names = output_names(item.clip.clip_id)
    if isinstance(item, JoinItem):
        joined = do_join(item, claim, engines(), progress)
        if isinstance(joined, SegmentPlan):
            return joined
        raw = with_capture_fingerprint(joined, config)
    elif isinstance(item, SolveItem) or item.reuse_raw:
        raw = read_sound_tracks(output, names["raw"], item.raw_checksum or None)
    else:
        cuts = cuts_of(item, config, claim, engines(), progress, segment_s) if segment_s else None
        if cuts is not None and cuts.segments:
            return cuts
        raw = with_capture_fingerprint(engines().capture_tracks(item.clip, progress), config)
    waits = calibration is None and is_calibrated_by_actor(item.clip, config)
    reuses_raw = isinstance(item, SolveItem) or (isinstance(item, WorkItem) and item.reuse_raw)
    reused = None if isinstance(item, JoinItem) or not reuses_raw else item.raw_checksum
    files: dict[str, FileState] = {}
    with FileBatch(output, claim.check) as batch:
        if reused is None:
            files[names["raw"]] = _write(names["raw"], functools.partial(write_tracks, raw), batch, output)
        else:
            files[names["raw"]] = FileState(size_of(output, names["raw"]), reused)
        if not waits:
            files |= _write_final(final_tables(raw, config, calibration), names, batch, output)
        with writing(output):
            if isinstance(item, SolveItem) or not item.is_new:
                claim.check()
                Ledger(output).withdraw(item.clip.clip_id, keeps_raw=reuses_raw)
            batch.publish()
    return dataclasses.replace(
        _record(item, config, raw),
        status=CAPTURED if waits else DONE,
        calibration="" if calibration is None else calibration.digest(),
        outputs={name: file.size for name, file in files.items()},
        checksums={name: file.sha256 for name, file in files.items() if file.sha256},
        wall_s=round(time.monotonic() - started, 3),
        finished_at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )


def prepare_exports() -> None:
    """Build what the FBX files of all clips share, once per process: the head."""
    from facecap_batch.exporting.head import head_model

    head_model()


def _write_final(
    final: Sequence[CoefficientTable], names: dict[str, str], batch: FileBatch, output: StoragePath
) -> dict[str, FileState]:
    """Write what is made of the solved tables; return the files by name."""
    from facecap_batch.exporting.fbx.writer import write_fbx

    name = names["coefficients"]
    files = {name: _write(name, functools.partial(write_tracks, final), batch, output)}
    for table in final:
        name, whole = f"fbx/{table.name}.fbx", with_rows_of(table, final[0])
        files[name] = _write(name, functools.partial(write_fbx, whole), batch, output)
    return files


def _write(name: str, write: Callable[[Path], None], batch: FileBatch, output: StoragePath) -> FileState:
    """Have `write` write the file `name` of the batch, and say what it holds."""
    with writing(output / name):
        path = batch.path(name)
        write(path)
        return state_of(path)


def with_capture_fingerprint(
    raw: Sequence[CoefficientTable], config: RunConfig
) -> tuple[CoefficientTable, ...]:
    """Raw tables as they are written: with the digest of the configuration that they were captured under."""
    added = {"capture_fingerprint": config.capture_fingerprint()}
    return tuple(table.replace(metadata={**table.metadata, **added}) for table in raw)


def final_tables(
    raw: Sequence[CoefficientTable], config: RunConfig, actor: ActorCalibration | None = None
) -> tuple[CoefficientTable, ...]:
    """The solved tables as they are written: with the digest of the whole configuration."""
    added = {"fingerprint": config.fingerprint()}
    final = solve_tracks(raw, config.solve, actor)
    return tuple(table.replace(metadata={**table.metadata, **added}) for table in final)


def lone_calibration(raw: CoefficientTable, clip: Clip, config: RunConfig) -> ActorCalibration | None:
    """What a run of `clip` alone would solve it with; None: the card's."""
    if not is_calibrated_by_actor(clip, config):
        return None
    statistics = ActorStatistics(clip.actor or "")
    statistics.add(raw)
    return statistics.calibration()


def output_names(clip_id: str) -> dict[str, str]:
    """Kind -> the clip's table, relative to the output folder."""
    return {kind: table_name(kind, clip_id) for kind in ("raw", "coefficients")}


def _record(
    item: WorkItem | JoinItem | SolveItem, config: RunConfig, tracks: Sequence[CoefficientTable]
) -> Record:
    """What the raw tables and the configuration decide of the record."""
    raw = tracks[0]
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
        people=None if raw.shot is None else sum(bool(table.face_found.any()) for table in tracks),
        shots=None if raw.shot is None else int(raw.shot.max(initial=0)) + 1,
        landmarks=raw.landmarks.shape[1] or None,
        seconds=float(span + (1 / fps if fps else 0)),
        fps=float(fps),
        backend=raw.metadata.get("regressor_backend", ""),
        engines=dict(config.engine_hashes),
        note=_note(raw),
    )


def _note(raw: CoefficientTable) -> str:
    notes = [raw.metadata["notes"]] if raw.metadata.get("notes") else []
    return "; ".join(notes if raw.face_found.any() else [NO_FACE, *notes])


def classify_error(error: BaseException) -> tuple[str, str, bool]:
    """(error_type, message, whether another attempt may fare better) of an error from `process`."""
    if isinstance(error, OutOfMemory):
        return OutOfMemory.__name__, str(error), True
    if _is_for_want_of_memory(error):
        words = f"{error or type(error).__name__}"
        return OutOfMemory.__name__, f"not enough memory for this clip: {words}; {MEMORY_ADVICE}", True
    cause = error.__cause__ if isinstance(error, (OutputNotWritable, InputNotReadable)) else error
    if isinstance(cause, OSError):
        return type(error).__name__, str(error), not is_permanent(cause)
    if isinstance(error, FacecapError):
        return type(error).__name__, str(error), False
    where = traceback.extract_tb(error.__traceback__)[-1]
    position = f"{Path(where.filename).name}:{where.lineno}"
    return type(error).__name__, f"unexpected, please report it: {error} ({position})", False


def _is_for_want_of_memory(error: BaseException) -> bool:
    """Whether memory had run out, whatever became of that on its way through libraries."""
    if isinstance(error, (FacecapError, OSError)):
        return any(map(means_no_memory, _with_causes(error))) and machine.memory_is_short()
    return means_no_memory(error) or machine.memory_is_short()


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """`error`, what it was raised from, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
