"""Clips of a finished folder once more, with the folder's own manifest and configuration.

In: an output folder, which clips. Out: the same folder with those clips done again, everything else as it
was. Manifest and configuration are those of the folder's last run, as ``run.json`` has them; where they no
longer lead to the same results the folder is left alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from facecap_batch.clip import Clip, named
from facecap_batch.errors import BadManifest, EngineMismatch
from facecap_batch.output.exports import UnknownClip
from facecap_batch.output.ledger import CAPTURED, FAILED, Ledger
from facecap_batch.output.reports import clips_of, read_reports
from facecap_batch.runs.actors.plan import is_calibrated_by_actor, with_actors
from facecap_batch.runs.config import RunConfig, RunOptions, make_config
from facecap_batch.runs.manifest import Manifest, read_manifest
from facecap_batch.runs.observers.progress import Display, PlainDisplay
from facecap_batch.runs.planner import Plan, WorkItem, has_raw, plan
from facecap_batch.runs.run import Assignment, RunSummary
from facecap_batch.runs.start import check_backend, recorded_config, run_in_folder
from facecap_batch.storage.publish import StoragePath, storage_path


class ManifestChanged(BadManifest):
    """The manifest is no longer the one that the folder was made from."""


def retry_run(
    options: RunOptions, clip_ids: Sequence[str] = (), display: Display | None = None
) -> RunSummary:
    """Do the failed clips of `options.output` again; or those named, whatever became of them before.

    Clips that were never reached stay so: the command of the run goes on with them. Those of an interrupted
    run that are captured, and waited for other clips of their actor, are solved.

    Raises:
        NoRun, OtherVersion, UnknownClip: the folder does not allow it.
        BackendUnavailable, NotCertified: this machine does not.
        BadManifest: the manifest is gone or bad; ManifestChanged: its rows are others.
        EngineMismatch: engines or version are not those of the run.
        OutputBusy, OutputNotWritable: another run holds the folder, or it refuses.
        RunBroken: the run ended before all its clips had.
    """
    output = storage_path(options.output)
    last_run, _ = read_reports(output)  # a folder without a run must not get a lock
    check_backend(recorded_config(last_run, output), options)

    def assign(ledger: Ledger) -> Assignment:
        last_run, rows = read_reports(ledger.output)
        manifest = _same_manifest(last_run["manifest"], rows)
        config = _same_config(last_run, ledger.output)
        unknown = sorted(set(clip_ids) - {clip.clip_id for clip in manifest.clips})
        if unknown:
            raise UnknownClip(f"{ledger.output}: no such clip: {', '.join(unknown)}")
        todo = _plan_retry(manifest.clips, ledger.as_of_now(), config, clip_ids)
        return Assignment(manifest, todo, config, last_run)

    return run_in_folder(assign, options, display or PlainDisplay())


def _plan_retry(clips: Sequence[Clip], ledger: Ledger, config: RunConfig, clip_ids: Sequence[str]) -> Plan:
    chosen, captured, kept = [], [], {}
    for clip in clips:
        record = ledger.get(clip.clip_id)
        if clip.clip_id in clip_ids or (not clip_ids and record is not None and record.status == FAILED):
            chosen.append(clip)
        elif record is not None and record.status != CAPTURED:
            kept[clip.clip_id] = record
        elif (
            record is not None
            and is_calibrated_by_actor(clip, config)
            and has_raw(ledger, record, config.capture_fingerprint())
        ):
            captured.append(WorkItem(clip, record.input_key, record.seconds, True, record.raw_checksum))
    items = (*plan(chosen, ledger, config, force=True).items, *captured)
    return with_actors(Plan(items, kept), clips, ledger, config)


def _same_config(last_run: Mapping[str, Any], output: StoragePath) -> RunConfig:
    """The configuration of the run; EngineMismatch where it would give other results today."""
    config = recorded_config(last_run, output)
    installed = make_config(config.engines, config.backend)
    today = dataclasses.replace(config, engine_hashes=installed.engine_hashes, libraries=installed.libraries)
    if today.fingerprint() != last_run["fingerprint"]:
        raise EngineMismatch(
            f"{output} was made with facecap-batch {last_run.get('tool_version')} and engines "
            f"{config.engines!r} as they were then; what is installed now gives other results. "
            "Run the manifest again to bring the whole folder up to date"
        )
    return today


def _same_manifest(path: str, rows: Sequence[Mapping[str, Any]]) -> Manifest:
    """The manifest of the run; ManifestChanged where a row that decides results is another."""
    if not path:  # the run was given its videos without a file
        return Manifest("", tuple(clips_of(rows)))
    manifest = read_manifest(path)
    now = {
        clip.clip_id: (clip.source, _seconds(clip.start), _seconds(clip.end), clip.actor, clip.timecode)
        for clip in manifest.clips
    }
    then = {
        row["clip_id"]: (row["path"], row["start"], row["end"], row["actor"], row["timecode"]) for row in rows
    }
    changed = [clip_id for clip_id in {**then, **now} if now.get(clip_id) != then.get(clip_id)]
    if changed:
        raise ManifestChanged(
            f"{path} has changed since the folder's last run: {len(changed)} clip(s) are new, gone or "
            f"different: {named(changed)}. Run the manifest again; it does what is new, changed or failed"
        )
    return manifest


def _seconds(time: Fraction | None) -> float | None:
    return None if time is None else float(time)
