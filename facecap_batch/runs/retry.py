"""Clips of a finished folder once more, by the folder's own words.

In: an output folder, which clips. Out: the same folder with those clips done again, everything else as it
was. Manifest and configuration are those of the folder's last run, as ``run.json`` has them; where they no
longer lead to the same results the folder is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from facecap_batch.clip import Clip
from facecap_batch.errors import BadManifest, EngineMismatch
from facecap_batch.output.exports import UnknownClip
from facecap_batch.output.ledger import FAILED, Ledger
from facecap_batch.output.lock import OutputLock
from facecap_batch.output.reports import read_reports
from facecap_batch.runs.config import RunConfig, RunOptions, make_config
from facecap_batch.runs.manifest import read_manifest
from facecap_batch.runs.observers.progress import Display, PlainDisplay
from facecap_batch.runs.planner import Plan, plan
from facecap_batch.runs.run import Run, RunSummary
from facecap_batch.storage.publish import not_writable, remove_leftovers, storage_path

MAX_NAMED = 5  # clips in one message


class ManifestChanged(BadManifest):
    """The manifest is no longer the one that the folder was made from."""


def retry_run(
    options: RunOptions, clip_ids: Sequence[str] = (), display: Display | None = None
) -> RunSummary:
    """Do the failed clips of `options.output` again; or those named, whatever became of them before.

    Clips that were never reached stay so: the command of the run goes on with them. Raises NoRun,
    BadManifest (the manifest is gone or bad), ManifestChanged, EngineMismatch (engines or version are not
    those of the run), UnknownClip, OutputBusy, OutputNotWritable.
    """
    started = time.monotonic()
    output = storage_path(options.output).absolute()
    read_reports(output)  # a folder that is none must not get a lock
    with OutputLock(output):
        description, rows = read_reports(output)
        clips = read_manifest(description["manifest"])
        _check_manifest(clips, rows, description["manifest"])
        config = _same_config(description)
        unknown = sorted(set(clip_ids) - {clip.clip_id for clip in clips})
        if unknown:
            raise UnknownClip(f"{output}: no such clip: {', '.join(unknown)}")
        try:
            remove_leftovers(output)
            ledger = Ledger(output)
            todo = _plan_retry(clips, ledger, config, clip_ids)
            job = Run(description["manifest"], clips, todo, config, options, ledger, started)
            job.write("running")
        except OSError as error:
            raise not_writable(output, error) from error
        return job.carry_out(display or PlainDisplay())


def _plan_retry(clips: Sequence[Clip], ledger: Ledger, config: RunConfig, clip_ids: Sequence[str]) -> Plan:
    chosen, kept = [], {}
    for clip in clips:
        record = ledger.get(clip.clip_id)
        if clip.clip_id in clip_ids or (not clip_ids and record is not None and record.status == FAILED):
            chosen.append(clip)
        elif record is not None:
            kept[clip.clip_id] = record
    return Plan(plan(chosen, ledger, config, force=True).items, kept)


def _same_config(description: Mapping[str, Any]) -> RunConfig:
    """The configuration of the run; EngineMismatch where it would give other results today."""
    config = RunConfig.from_description(description["config"])
    today = make_config(config.engines, config.backend, config.capture, config.solve)
    if today.fingerprint() != description["fingerprint"]:
        raise EngineMismatch(
            f"the folder was made with facecap-batch {description['tool_version']} and engines "
            f"{config.engines!r} as they were then; what is installed now gives other results. "
            "Run the manifest again to bring the whole folder up to date"
        )
    return today


def _check_manifest(clips: Sequence[Clip], rows: Sequence[Mapping[str, Any]], manifest: str) -> None:
    """Raises ManifestChanged where a row that decides results is another than the folder's."""
    now = {
        clip.clip_id: (clip.source, _seconds(clip.start), _seconds(clip.end), clip.actor, clip.timecode)
        for clip in clips
    }
    then = {
        row["clip_id"]: (row["path"], row["start"], row["end"], row["actor"], row["timecode"]) for row in rows
    }
    changed = [clip_id for clip_id in {**then, **now} if now.get(clip_id) != then.get(clip_id)]
    if changed:
        named = ", ".join(changed[:MAX_NAMED]) + (", …" if len(changed) > MAX_NAMED else "")
        raise ManifestChanged(
            f"{manifest} has changed since the folder's last run: {len(changed)} clip(s) are new, gone or "
            f"different: {named}. Run the manifest again; it does what is new, changed or failed"
        )


def _seconds(time: Any) -> float | None:
    return None if time is None else float(time)
