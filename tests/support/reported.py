"""Output folders with everything that a report reads: reports, records, tables; and videos to show beside."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from facecap_batch.clip import Clip
from facecap_batch.coefficients import CoefficientTable, write_tracks
from facecap_batch.output.ledger import DONE, FAILED, Ledger, Record
from facecap_batch.output.reports import RunReport, write_clips, write_run


def done(tracks: Sequence[CoefficientTable], note: str = "") -> Record:
    """The record of a clip whose tracks these are."""
    main = tracks[0]
    times = main.time_s()
    return Record(
        *(main.info.clip_id, DONE, "input", "capture", "all"),
        frames=len(main),
        frames_with_face=int(main.face_found.sum()),
        people=len(tracks) if len(tracks) > 1 else None,
        seconds=float(times[-1] - times[0]) if len(main) else 0.0,
        fps=float(main.info.fps),
        backend="onnxruntime-cpu",
        note=note,
    )


def failed(clip_id: str, error_type: str, error: str) -> Record:
    return Record(clip_id, FAILED, "input", "capture", "all", error_type=error_type, error=error)


def reported_folder(
    folder: Path,
    takes: Mapping[str, Sequence[CoefficientTable]],
    failures: Sequence[Record] = (),
    videos: Mapping[str, str] | None = None,
    starts: Mapping[str, float] | None = None,
    state: str = "finished",
) -> Path:
    """A run's folder with these takes, and ``manifest.csv`` beside it as where the manifest was.

    Args:
        folder: Is made.
        takes: The tracks of each clip that is done.
        failures: Records of those that are not.
        videos: clip_id -> path as the manifest gives it; default: ``<clip_id>.mp4``.
        starts: clip_id -> seconds at which the clip begins in its video.
        state: Of the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records = {}
    for clip_id, tracks in takes.items():
        named = [t.replace(info=dataclasses.replace(t.info, clip_id=clip_id)) for t in tracks]
        files = [f"{kind}/{clip_id}.parquet" for kind in ("coefficients", "raw")]
        for name in files:
            write_tracks(named, folder / name)
        outputs = {name: (folder / name).stat().st_size for name in files}
        records[clip_id] = dataclasses.replace(done(named), outputs=outputs)
    records |= {record.clip_id: record for record in failures}
    ledger = Ledger(folder)
    for record in records.values():
        ledger.put(record)
    clips = [
        Clip(
            clip_id,
            (videos or {}).get(clip_id, f"{clip_id}.mp4"),
            start=Fraction((starts or {})[clip_id]) if clip_id in (starts or {}) else None,
        )
        for clip_id in records
    ]
    write_clips(folder, clips, records)
    counts = [record.status for record in records.values()]
    write_run(
        folder,
        RunReport(
            run_id="1",
            state=state,
            manifest=str(folder.parent / "manifest.csv"),
            workers=1,
            clips=len(clips),
            done=counts.count(DONE),
            failed=counts.count(FAILED),
            pending=0,
            kept=0,
            started_at="2026-01-02T03:04:05+00:00",
            elapsed_s=10.0,
            frames=sum(record.frames for record in records.values()),
            video_s=sum(record.seconds for record in records.values()),
            fingerprint="all",
            capture_fingerprint="capture",
            config={"engines": "default"},
        ),
    )
    return folder
