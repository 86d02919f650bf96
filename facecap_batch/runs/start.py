"""A run from manifest to report.

In: a manifest, a configuration, options. Out: an output folder that is complete, or says exactly what is
not and is finished by the same call. The order is what makes it resumable: lock the folder, drop what is
done, let workers publish a clip's files, publish its record last, and write ``clips.parquet`` and
``run.json`` at both ends.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

from facecap_batch.clip import Clip
from facecap_batch.engines.certificates import require_for
from facecap_batch.output import reports
from facecap_batch.output.ledger import DONE, Ledger
from facecap_batch.output.lock import OutputLock
from facecap_batch.output.reports import read_reports
from facecap_batch.output.segment_store import remove_segments
from facecap_batch.runs.config import RunConfig, RunOptions
from facecap_batch.runs.manifest import read_manifest
from facecap_batch.runs.observers.progress import Display, PlainDisplay
from facecap_batch.runs.planner import Plan, WorkItem, plan, raw_is_intact
from facecap_batch.runs.run import Run, RunSummary
from facecap_batch.solve.settings import SolveSettings
from facecap_batch.storage.publish import StoragePath, not_writable, remove_leftovers, storage_path


def start_run(
    manifest: str | StoragePath, config: RunConfig, options: RunOptions, display: Display | None = None
) -> RunSummary:
    """Do every clip of `manifest` that is not done yet.

    Raises BadManifest, NotCertified, OutputNotWritable or OutputBusy before anything has run; WorkerLost or
    EngineError when no worker can live on the cluster. An interrupt (SIGINT or SIGTERM in the main thread)
    ends the run in good order and is told in the summary.
    """
    started = time.monotonic()
    clips = read_manifest(manifest)
    if config.require_certificate and options.ray_address is None:
        require_for(config.engines, config.backend)  # workers elsewhere look for themselves
    output = storage_path(options.output).absolute()
    with OutputLock(output):
        try:
            remove_leftovers(output)
            if options.force:
                remove_segments(output)
            ledger = Ledger(output)
            todo = plan(clips, ledger, config, options.force, options.retry_failed)
            job = Run(str(storage_path(manifest).absolute()), clips, todo, config, options, ledger, started)
            job.write("running")
        except OSError as error:
            raise not_writable(output, error) from error
        return job.carry_out(display or PlainDisplay())


def resolve_run(settings: SolveSettings, options: RunOptions, display: Display | None = None) -> RunSummary:
    """Redo solve and exports of every clip that is done in `options.output`, from its raw table.

    No video is opened. Clips that failed, or were never reached, stay as they are; so do clips whose raw
    table is missing or was captured under another configuration than the folder's last run.
    Raises NoRun, OutputBusy, OutputNotWritable.
    """
    started = time.monotonic()
    output = storage_path(options.output).absolute()
    description, rows = read_reports(output)
    with OutputLock(output):
        try:
            config = RunConfig.from_description(description["config"])
            config = dataclasses.replace(config, solve=settings)
            clips = reports.clips_of(rows)
            ledger = Ledger(output)
            todo = _plan_again(clips, ledger.as_of_now(), config)
            job = Run(description["manifest"], clips, todo, config, options, ledger, started)
            job.write("running")
        except OSError as error:
            raise not_writable(output, error) from error
        return job.carry_out(display or PlainDisplay())


def _plan_again(clips: Sequence[Clip], ledger: Ledger, config: RunConfig) -> Plan:
    items, kept = [], {}
    for clip in clips:
        record = ledger.get(clip.clip_id)
        if record is None:
            continue
        if (
            record.status == DONE
            and record.capture_fingerprint == config.capture_fingerprint()
            and raw_is_intact(ledger, record)
        ):
            items.append(WorkItem(clip, record.input_key, record.seconds, reuse_raw=True))
        else:
            kept[clip.clip_id] = record
    return Plan(tuple(items), kept)
