"""The reports of a run that never was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from facecap_batch.clip import Clip
from facecap_batch.output.reports import RUN_NAME, write_clips


def write_reports(folder: Path, clips: Sequence[Clip]) -> None:
    """A finished run's ``run.json``, with what it must hold, and ``clips.parquet`` with `clips` pending."""
    folder.mkdir(exist_ok=True)
    run = dict.fromkeys(["manifest", "fingerprint", "capture_fingerprint", "config"], "x")
    began = "2026-01-02T03:04:05+00:00"
    (folder / RUN_NAME).write_text(json.dumps({**run, "state": "finished", "started_at": began}))
    write_clips(folder, clips, {})
