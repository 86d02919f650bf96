"""A run from manifest to report, and the same for solving again.

In: a manifest, a configuration, options. Out: an output folder that is complete, or reports what is not and
is finished by the same call. The order is what makes it resumable: lock the folder, drop what is done,
let workers publish a clip's files, publish its record last, and write ``clips.parquet`` and ``run.json`` at
both ends. `run_in_folder` is that order, for whoever has something to do in a folder.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from facecap_batch import __version__
from facecap_batch.clip import Clip, named, resolve_source
from facecap_batch.errors import BadManifest, EngineMismatch, FacecapError
from facecap_batch.output import reports
from facecap_batch.output.ledger import DONE, FAILED, Ledger
from facecap_batch.output.lock import OutputLock
from facecap_batch.output.ownership.folders import check_folders, remove_leftovers
from facecap_batch.output.segment_store import remove_segments
from facecap_batch.runs.actors.plan import with_actors
from facecap_batch.runs.config import RunConfig, RunOptions
from facecap_batch.runs.footage.earlier import finished_earlier, with_known_ids
from facecap_batch.runs.manifest import Manifest
from facecap_batch.runs.observers.progress import Display, PlainDisplay
from facecap_batch.runs.planner import Plan, WorkItem, captured_again, has_raw, plan
from facecap_batch.runs.run import Assignment, Run, RunSummary
from facecap_batch.solve.settings import SolveSettings
from facecap_batch.storage.documents import BadDocument
from facecap_batch.storage.publish import StoragePath, not_writable, storage_path
from facecap_batch.storage.scratch import remove_abandoned

log = logging.getLogger(__name__)

RUNTIMES = ("onnxruntime", "openvino", "torch", "tensorrt")  # modules, one of which every backend needs


class OtherManifest(BadManifest):
    """The folder holds finished clips of another manifest, which this one would leave out or replace."""


class OtherVersion(FacecapError):
    """``run.json`` was written by a version whose configuration this one cannot repeat."""


def start_run(
    manifest: Manifest, config: RunConfig, options: RunOptions, display: Display | None = None
) -> RunSummary:
    """Do every clip of `manifest` that is not done yet.

    An interrupt (SIGINT or SIGTERM in the main thread) ends the run in good order; the summary says so.

    Raises:
        BackendUnavailable, NotCertified, OtherManifest, OutputNotWritable, OutputBusy: before anything has
            run.
        ClusterUnavailable: nothing can carry it out.
        RunBroken: it ended before all its clips had.
    """
    check_backend(config, options)
    display = display or PlainDisplay()

    def assign(ledger: Ledger) -> Assignment:
        last_run, rows = _last_reports(ledger.output)
        known = Ledger(ledger.output, compares_checksums=options.verify).as_of_now()
        # Footage that is named without a manifest comes to what earlier commands have named.
        comes_to = not manifest.path and last_run.get("manifest") == "" and not options.new_manifest
        clips = with_known_ids(manifest.clips, rows) if comes_to else manifest.clips
        earlier = finished_earlier(clips, known, rows) if comes_to else []
        todo = plan(clips, known, config, options.force, options.retry_failed)
        todo = with_actors(todo, clips, known, config)
        if options.verify:
            display.say(_verified(known))
        kept = {**todo.kept, **{clip.clip_id: record for clip, record in earlier}}
        todo = dataclasses.replace(todo, kept=kept)
        listed = Manifest(manifest.path, (*clips, *(clip for clip, _ in earlier)))
        left_out = _left_out(listed, todo, ledger, last_run, rows)
        if left_out and not options.new_manifest:
            _check_manifest(listed, left_out, last_run, rows, ledger.output)
        if left_out:
            display.say(
                f"{len(left_out)} finished clip(s) of {ledger.output} are not in the manifest any more: "
                f"{named(left_out)}. Their files stay; clips.parquet, status and query leave them out"
            )
        again = captured_again(todo, known, config)
        if again:
            display.say(
                f"{len(again)} finished clip(s) are captured again ({named(again)}): "
                f"{config.captures_otherwise(last_run.get('config', {}))}"
            )
        if options.force:
            remove_segments(ledger.output)
        return Assignment(listed, todo, config, last_run)

    return run_in_folder(assign, options, display)


def resolve_run(settings: SolveSettings, options: RunOptions, display: Display | None = None) -> RunSummary:
    """Redo solve and exports of every clip that is done in `options.output`, from its raw table.

    No video is opened. Clips that failed, or were never reached, stay as they are, unless their raw table is
    there; clips whose raw table is missing or was captured under another configuration than the folder's last
    run stay so, too.

    Raises:
        NoRun, OtherVersion, EngineMismatch, OutputBusy, OutputNotWritable: before anything has run.
    """
    reports.read_reports(storage_path(options.output))  # a folder without a run must not get a lock

    def assign(ledger: Ledger) -> Assignment:
        last_run, rows = reports.read_reports(ledger.output)
        config = recorded_config(last_run, ledger.output)
        if config.capture_fingerprint() != last_run["capture_fingerprint"]:
            raise EngineMismatch(
                f"{ledger.output} was captured by facecap-batch {last_run.get('tool_version')}, and version "
                f"{__version__} captures with other results. Run the manifest again to bring the whole "
                "folder up to date"
            )
        config = dataclasses.replace(config, solve=settings)
        clips = tuple(reports.clips_of(rows))
        known = ledger.as_of_now()
        todo = with_actors(_plan_solve(clips, known, config), clips, known, config)
        return Assignment(Manifest(last_run["manifest"], clips), todo, config, last_run)

    return run_in_folder(assign, options, display or PlainDisplay())


def run_in_folder(
    assign: Callable[[Ledger], Assignment], options: RunOptions, display: Display
) -> RunSummary:
    """Hold the output folder, find out what to do in it, and do it.

    Args:
        assign: what to do, called once the folder is held; its OSErrors are the folder's.

    Raises:
        OutputBusy, OutputNotWritable, ClusterUnavailable, and what `assign` raises: before anything has run.
        RunBroken: it ended before all its clips had.
    """
    started_s = time.monotonic()
    output = storage_path(options.output).absolute()
    remove_abandoned()
    with OutputLock(output) as lock:
        try:
            check_folders(output)
            remove_leftovers(output)
            ledger = Ledger(output)
            run = Run(assign(ledger), options, ledger, lock.claim, started_s)
            run.open()
        except OSError as error:
            raise not_writable(output, error) from error
        return run.carry_out(display)


def check_backend(config: RunConfig, options: RunOptions) -> None:
    """Refuse, before Ray starts, a backend that the workers of this machine would refuse later.

    On a cluster (`options.ray_address`) each worker checks its own machine.

    Raises:
        BackendUnavailable: the backend cannot run here; the message names what to install.
        NotCertified: only certified backends may run, and the one that workers would take is not.
    """
    if options.ray_address is not None:
        return
    # For "auto" the runtimes are only looked for: importing them would slow down every rerun that has nothing
    # to do.
    if config.backend != "auto" or not any(importlib.util.find_spec(name) for name in RUNTIMES):
        # Not at the top: it knows every backend, and a driver needs none.
        from facecap_batch.engines.registry import choose_backend

        choose_backend(config.backend)
    if config.require_certificate:
        from facecap_batch.engines.certificates import require_for

        require_for(config.engines, config.backend)


def recorded_config(last_run: Mapping[str, Any], output: StoragePath) -> RunConfig:
    """The configuration in ``run.json``; settings that its version did not have are at their defaults.

    Raises OtherVersion where it has settings that this version does not know.
    """
    try:
        return RunConfig.from_description(last_run["config"])
    except BadDocument as error:
        raise OtherVersion(
            f"{output / reports.RUN_NAME} was written by facecap-batch {last_run.get('tool_version')}; "
            f"version {__version__} does not know its configuration ({error}). Run the manifest again with "
            "this version, or use that one"
        ) from error


def _verified(ledger: Ledger) -> str:
    """What the comparison of checksums has found, in a line."""
    damaged = sorted(name for name, unsound in ledger.unsound.items() if unsound)
    found = f"verified {len(ledger.unsound)} files"
    return f"{found}: {len(damaged)} damaged, to be done again: {named(damaged)}" if damaged else found


def _last_reports(output: StoragePath) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
    """As `read_reports`; nothing where there are none, or broken ones: these are written anew."""
    try:
        return reports.read_reports(output)
    except reports.BadReports as error:
        log.warning("broken reports: %s", error)
    except reports.NoRun:
        pass
    return {}, []


def _left_out(
    manifest: Manifest,
    todo: Plan,
    ledger: Ledger,
    last_run: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Finished clips of the folder that `manifest` does not list, or lists with another video."""
    keys = {item.clip.clip_id: item.input_key for item in todo.items}
    keys |= {clip_id: record.input_key for clip_id, record in todo.kept.items()}
    paths = {clip.clip_id: clip.path for clip in manifest.clips}
    folder = storage_path(last_run.get("manifest", "")).parent
    found = []
    for row in rows:
        clip_id = row["clip_id"]
        if paths.get(clip_id) == resolve_source(row["path"], folder):
            continue
        record = ledger.get(clip_id)
        # A project that was moved has other paths and the same inputs.
        if record is not None and record.status == DONE and record.input_key != keys.get(clip_id):
            found.append(clip_id)
    return found


def _check_manifest(
    manifest: Manifest,
    left_out: Sequence[str],
    last_run: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    output: StoragePath,
) -> None:
    """Raise OtherManifest unless `manifest` is the folder's own, edited: the same file, and clips remain."""
    remaining = {row["clip_id"] for row in rows} & {clip.clip_id for clip in manifest.clips}
    if manifest.path and manifest.path == last_run.get("manifest") and remaining - set(left_out):
        return
    raise OtherManifest(
        f"{output} holds finished clips of {last_run.get('manifest') or 'another list of videos'} that "
        f"{manifest.path or 'this list'} leaves out or names another video for: {named(left_out)} "
        f"({len(left_out)} in all). Choose another --output; or give --new-manifest, and the folder is that "
        "of the new manifest from now on"
    )


def _plan_solve(clips: Sequence[Clip], ledger: Ledger, config: RunConfig) -> Plan:
    items, kept = [], {}
    for clip in clips:
        record = ledger.get(clip.clip_id)
        if record is None:
            continue
        if has_raw(ledger, record, config.capture_fingerprint()):
            items.append(WorkItem(clip, record.input_key, record.seconds, True, record.raw_checksum))
        elif record.status in (DONE, FAILED):
            kept[clip.clip_id] = record
    return Plan(tuple(items), kept)
