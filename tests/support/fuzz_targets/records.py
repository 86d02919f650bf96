"""What lies in an output folder, given back to whoever reads it: records, reports, plans and results of
segments, calibrations, the index of compact files, certificates, headers of TensorRT plans.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from unittest import mock

import numpy as np

from facecap_batch.capturing.segments.plan import Segment, SegmentPlan
from facecap_batch.capturing.segments.result import CannotJoin, SegmentResult
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.clip import Clip
from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines import certificates
from facecap_batch.engines.sets import load_set
from facecap_batch.engines.tensorrt import plans
from facecap_batch.errors import FacecapError
from facecap_batch.output import compact_index, reports
from facecap_batch.output.actors import ACTORS_NAME, read_actors, write_actors
from facecap_batch.output.exports import done_clips
from facecap_batch.output.input_identity import identify
from facecap_batch.output.ledger import CAPTURED, DONE, FAILED, Ledger, Record, as_bytes
from facecap_batch.output.segment_store import SegmentFolder
from facecap_batch.output.status import describe, status
from facecap_batch.runs.config import RunConfig
from facecap_batch.runs.planner import plan
from facecap_batch.runs.start import recorded_config
from facecap_batch.solve.actors import ActorCalibration
from facecap_batch.solve.settings import SolveSettings
from tests.support.fuzz_targets.target import Target
from tests.support.fuzzing import BYTES, JSON_VALUES, TEXT

NAME, KEY, BACKEND = "take", "k" * 32, "onnxruntime-cpu"
CONFIG = RunConfig("default", {"detector": "d" * 64}, CaptureSettings(), SolveSettings())
PLAN_KEY = plans.PlanKey("o" * 64, "10.0", "a GPU", "9.0", "fp32", "image", (), 1 << 30)
PARQUET, ZIP = b"PAR1", b"PK"


def inputs(folder: Path) -> list[bytes]:
    """One of each kind; the folder of a small run is made below `folder`."""
    output, clip = folder / "out", _clip(folder)
    Path(clip.path).write_bytes(b"video")
    record = _record(clip, output)
    Ledger(output).put(record)
    reports.write_clips(output, [clip], {NAME: record})
    reports.write_run(
        output,
        reports.RunReport(
            run_id="r", state="finished", manifest="", workers=1, clips=1, done=1, failed=0, pending=0,
            kept=0, started_at="2026-01-01T00:00:00+00:00", finished_at="2026-01-01T00:01:00+00:00",
            elapsed_s=60.0, frames=9, errors={"BadVideo": 1}, hosts=[{"cpus": 2.0, "backends": ["a"]}],
            fingerprint=CONFIG.fingerprint(), capture_fingerprint=CONFIG.capture_fingerprint(),
            config=CONFIG.describe(),
        ),
    )  # fmt: skip
    rest = tuple(0.1 for _ in ARKIT_NAMES)
    write_actors(output, {"Ada": ActorCalibration("Ada", 1, 9, rest, (None, *rest[1:]))})
    _write_index(output)
    certificate = dataclasses.asdict(certificates.subject_of(load_set("default"), BACKEND))
    made = [
        *(as_bytes(dataclasses.replace(record, status=status)) for status in (DONE, FAILED, CAPTURED)),
        *((output / name).read_bytes() for name in (reports.RUN_NAME, reports.CLIPS_NAME, ACTORS_NAME)),
        (output / compact_index.INDEX_NAME).read_bytes(),
        *_segments(output),
        json.dumps({"format": 1, "verdict": "agrees", **certificate}).encode(),
        json.dumps({"key": json.loads(PLAN_KEY.to_json()), "sha256": "0" * 64}).encode(),
    ]
    return made


def take(path: Path) -> None:
    """Put the file where each kind lies, and do what commands do with it. Raises the last FacecapError."""
    folder, data = path.parent.parent / "needed", path.read_bytes()
    readers = (
        PARQUET_READERS if data.startswith(PARQUET) else ZIP_READERS if data.startswith(ZIP) else READERS
    )
    refused: FacecapError | None = None
    for name, read in readers.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        kept = target.read_bytes() if target.is_file() else None
        target.write_bytes(data)
        logging.disable(logging.CRITICAL)  # a line for each mutation and reader would say nothing
        try:
            read(folder)
        except FacecapError as error:
            refused = error
        finally:
            target.unlink() if kept is None else target.write_bytes(kept)
            logging.disable(logging.NOTSET)
    if refused is not None:
        raise refused


def _clip(folder: Path) -> Clip:
    return Clip(NAME, str(folder / "take.mp4"), source="take.mp4")


def _record(clip: Clip, output: Path) -> Record:
    names = (f"raw/{NAME}.parquet", f"coefficients/{NAME}.parquet", f"fbx/{NAME}.fbx")
    for name in names:
        (output / name).parent.mkdir(parents=True)
        (output / name).write_bytes(b"result")
    return Record(
        NAME, DONE, identify(clip).key(), CONFIG.capture_fingerprint(), CONFIG.fingerprint(), "c" * 32,
        frames=9, frames_with_face=8, people=2, shots=1, seconds=0.5, fps=18.0, backend=BACKEND,
        engines={"detector": "d" * 64}, outputs=dict.fromkeys(names, 6),
        checksums=dict.fromkeys(names, "0" * 64), finished_at="2026-01-01T00:00:30+00:00", note="odd",
    )  # fmt: skip


def _write_index(output: Path) -> None:
    clip = json.dumps({"source": "take.mp4", "width": 640, "height": 480})
    metadata = json.dumps({"clip": clip, "fps": "25", "time_base": "1/25", "rotation": "0"})
    name = compact_index.table_name("raw", NAME)
    entry = compact_index.Entry(name, "raw", NAME, 6, "compact/raw-00000.parquet", 0, 9, True, metadata)
    compact_index.write_index(output, [entry])


def _segments(output: Path) -> list[bytes]:
    """A plan, and the record and the result of a segment."""
    segments = (Segment(0, None, 0, 0, 50, 2.0), Segment(1, Fraction(5, 3), 40, 50, None, 2.0))
    cuts = SegmentPlan(KEY, 6, 0, True, 100, segments)
    store = SegmentFolder(output, NAME)
    store.begin(cuts)
    none = np.zeros(0, np.int64)
    result = SegmentResult(
        0, "info", True, ("a note",), ("torch", "torch"), np.arange(60), none, none.astype(np.uint32), none,
        np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0, np.float32), none,
        np.zeros((0, 0, 0, 3), np.uint8), np.zeros(0, np.float32), np.zeros(0),
        np.zeros(0, [("frame", np.int32)]), np.zeros((0, 4)), none,
    )  # fmt: skip
    store.put(result, cuts, segments[0], 1.5)
    return [(store.path / name).read_bytes() for name in ("cuts.json", "0000.json", "0000.npz")]


def _look_at(folder: Path) -> None:
    output = folder / "out"
    for compares in (False, True):
        ledger = Ledger(output, compares)
        plan([_clip(folder)], ledger, CONFIG)
        list(ledger.records())
    describe(status(output))
    done_clips(output, [])
    last_run, rows = reports.read_reports(output)
    reports.clips_of(rows)
    recorded_config(last_run, output).fingerprint()


def _read_segments(folder: Path) -> None:
    store = SegmentFolder(folder / "out", NAME)
    cuts = store.plan(KEY)
    if cuts is not None and cuts.segments:
        store.record(cuts, 0)
        cuts.only(cuts.segments[-1])


def _read_result(folder: Path) -> None:
    with contextlib.suppress(CannotJoin):
        SegmentFolder(folder / "out", NAME).result(0)


def _find_certificate(folder: Path) -> None:
    with mock.patch.dict(os.environ, {"XDG_DATA_HOME": str(folder)}):
        certificates.find(load_set("default"), BACKEND)


def _open_plan(folder: Path) -> None:
    path = folder / "plan"
    path.write_bytes(b"facecap-batch plan\n" + path.read_bytes() + b"\nplan")
    plans.stored(path, PLAN_KEY)


def _read_index(folder: Path) -> None:
    compact_index.sizes(folder / "out")
    with contextlib.suppress(FileNotFoundError):
        compact_index.read_clip(folder / "out", compact_index.table_name("raw", "another"))
    compact_index.invalidate(folder / "out", [compact_index.table_name("raw", NAME)])


def _read_actors(folder: Path) -> None:
    for calibration in read_actors(folder / "out").values():
        calibration.digest()


def _certificate_name() -> str:
    own = certificates.folders_of(load_set("default"))[1]
    return str(Path(*own.parts[own.parts.index("facecap-batch") :]) / f"{BACKEND}.0.json")


SEGMENTS = f"out/segments/{NAME}"
READERS: dict[str, Callable[[Path], None]] = {
    f"out/ledger/{NAME}.json": _look_at,
    "out/run.json": _look_at,
    f"{SEGMENTS}/cuts.json": _read_segments,
    f"{SEGMENTS}/0000.json": _read_segments,
    _certificate_name(): _find_certificate,
    "plan": _open_plan,
}
ZIP_READERS = {f"{SEGMENTS}/0000.npz": _read_result}
PARQUET_READERS = {
    "out/clips.parquet": _look_at,
    f"out/{ACTORS_NAME}": _read_actors,
    f"out/{compact_index.INDEX_NAME}": _read_index,
}
TARGET = Target(inputs, take, BYTES | TEXT | JSON_VALUES, (".json",))
