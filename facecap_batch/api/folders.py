"""Runs over many videos, and what can be asked of an output folder.

In: manifests or videos, output folders; as text or `Path`, local or URI. Out: what the commands of the same
names show or write, as values. Nothing is printed unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import pyarrow as pa

from facecap_batch.capturing.settings import CaptureSettings, Faces, with_wanted
from facecap_batch.exporting.choice import choose
from facecap_batch.exporting.rigs.rig import Rig
from facecap_batch.output import query as queries
from facecap_batch.output import status as statuses
from facecap_batch.output.exports import ExportedClip, export_clips, preview_clips
from facecap_batch.output.status import Status
from facecap_batch.reporting.report import REPORT_NAME, write_report
from facecap_batch.runs.config import RunOptions, make_config, worker_threads
from facecap_batch.runs.footage.search import SearchOptions
from facecap_batch.runs.manifest import named_clips
from facecap_batch.runs.observers.progress import NoDisplay, make_display
from facecap_batch.runs.run import RunSummary
from facecap_batch.runs.start import start_run
from facecap_batch.solve.settings import SolveSettings
from facecap_batch.storage.publish import StoragePath, storage_path
from facecap_batch.timecode import parse_rate


def run(
    manifest: str | Path | Iterable[str | Path],
    output: str | Path,
    *,
    recursive: bool = False,
    fps: float | str | Fraction | None = None,
    stills: bool = False,
    engines: str | Path = "default",
    backend: str = "auto",
    require_certificate: bool = False,
    faces: Faces | None = None,
    landmarks: bool | None = None,
    settings: CaptureSettings | None = None,
    solve: SolveSettings | None = None,
    workers: int | None = RunOptions.workers,
    ray_address: str | None = RunOptions.ray_address,
    cpus_per_worker: float | None = None,
    gpus_per_worker: float = RunOptions.gpus_per_worker,
    segment_s: float = RunOptions.segment_s,
    attempts: int = RunOptions.attempts,
    force: bool = RunOptions.force,
    verify: bool = RunOptions.verify,
    retry_failed: bool = RunOptions.retry_failed,
    new_manifest: bool = RunOptions.new_manifest,
    log_json: str | Path | None = None,
    show_progress: bool = False,
) -> RunSummary:
    """Capture, solve and export many videos with several workers; a rerun does only what is missing.

    Args:
        manifest: A manifest (CSV, Parquet or JSON Lines), or footage, one name or several: videos, images,
            folders, globs, image sequences, URIs.
        output: Folder of the results, a local path or a URI.
        recursive: Search the folders below a folder of footage, too.
        fps: Images per second of image sequences; None: as their names say, else 25.
        stills: Take each image as a clip of its own.
        engines: Name or folder of an engine set.
        backend: "auto", or a backend by name.
        require_certificate: Use only backends that `verify` has certified.
        faces: People of a clip that become tracks: a number, or "all"; None: as `settings` say, by default 1.
        landmarks: Whether the tables get landmarks and the gaze; None: as `settings` say, by default not.
        settings: Of the captures; None: the defaults, with decode threads that suit the workers.
        solve: Settings of the solve; None: the defaults.
        workers: Processes; None: one for a small job, else as many as CPUs (or shares of GPUs) and memory
            allow. One needs no Ray.
        ray_address: Of a cluster; None: unless the job is small a Ray of this machine is started and stopped.
        cpus_per_worker: None: one, or with a share of a GPU one per decode thread.
        gpus_per_worker: Share of a GPU for each worker, 0..1 or whole ones.
        segment_s: Longer clips are cut into segments of about this many seconds; 0: never.
        attempts: How often a clip is tried when workers die or the storage fails.
        force: Do every clip again, done or not.
        verify: Compare all files of finished clips with their checksums; do again what is damaged.
        retry_failed: Try clips again that failed in an earlier run under the same configuration.
        new_manifest: Let the folder go over to a manifest that leaves out clips which are finished in it.
        log_json: File that events are appended to, one JSON object a line.
        show_progress: Show progress on standard error.

    Returns:
        How the run ended. Clips that failed are counted there and named in ``clips.parquet``; they raise
        nothing.

    Raises:
        BadManifest, OtherManifest, EngineError, NotCertified, OutputNotWritable, OutputBusy: Before anything
            has run.
        ClusterUnavailable: Nothing can carry it out.
        RunBroken: It ended before all its clips had, as no worker can live. What is done is kept.
        ValueError: An option is out of range.
    """
    names = [manifest] if isinstance(manifest, str | Path) else list(manifest)
    rate = None if fps is None else parse_rate(str(fps))
    clips = named_clips([str(name) for name in names], SearchOptions(recursive, rate, stills))
    threads, cpus = worker_threads(
        gpus_per_worker, None if settings is None else settings.decode_threads, cpus_per_worker
    )
    config = make_config(
        str(engines),
        backend,
        with_wanted(settings or CaptureSettings(decode_threads=threads), faces, landmarks),
        solve,
        require_certificate,
    )
    options = RunOptions(
        output=storage_path(output),
        workers=workers,
        ray_address=ray_address,
        cpus_per_worker=cpus,
        gpus_per_worker=gpus_per_worker,
        force=force,
        verify=verify,
        retry_failed=retry_failed,
        attempts=attempts,
        new_manifest=new_manifest,
        log_json=None if log_json is None else Path(log_json),
        segment_s=segment_s,
    )
    return start_run(clips, config, options, make_display() if show_progress else NoDisplay())


def status(output: str | Path) -> Status:
    """How far the run of `output` is, while it is going or after it has ended. Raises NoRun."""
    return statuses.status(storage_path(output))


def query(output: str | Path, sql: str, *, unsafe: bool = False) -> pa.Table:
    """Answer SQL from the tables of an output folder.

    Args:
        output: Local path or URI of the folder.
        sql: A query over the views ``coefficients``, ``raw``, ``events``, ``summary`` and ``clips``, in
            DuckDB's SQL. It reads their files alone and writes none.
        unsafe: Let it read and write every file that this process may, and load extensions.

    Raises:
        BadQuery: The SQL is wrong or asks for more than it may, the folder is no output folder, or DuckDB is
            not installed.
    """
    return queries.query(storage_path(output), sql, unsafe)


def report(output: str | Path, *, to: str | Path | None = None) -> StoragePath:
    """Write one HTML page about an output folder: every take with its figures, video, head and curves.

    Args:
        output: Local path or URI of an output folder.
        to: The page; None: ``<output>/report.html``.

    Returns:
        The page.

    Raises:
        NoRun: `output` is not the folder of a run.
        OutputNotWritable: The page cannot be written.
    """
    folder = storage_path(output)
    path = folder / REPORT_NAME if to is None else storage_path(to)
    write_report(folder, path)
    return path


def export(
    output: str | Path,
    format: str | None = None,
    *,
    to: str | Path | None = None,
    clip_ids: Sequence[str] = (),
    rig: str | Path | Rig | None = None,
    character: str | Path | None = None,
) -> list[ExportedClip]:
    """Write the animation of clips in a format, one file for each person of a clip.

    Args:
        output: Local path or URI of an output folder.
        format: As of `facecap-batch export --format`: "fbx", "livelink", "csv" ...
        to: Folder of the files; None: ``<output>/<format>``, with a rig ``<output>/<format>-<rig>``, with a
            character ``<output>/<its name>``.
        clip_ids: The clips, each of which must be done; empty: all that are done.
        rig: The channels that are written: a preset's name, a TOML file or a `Rig`; None: ours, ARKit's.
        character: A .glb or .vrm file that the animation is written onto, instead of a format.

    Returns:
        For each person of each clip its file, or the clip's `error`: one bad clip does not keep the others
        from being written.

    Raises:
        NoRun, UnknownClip, UnknownFormat, BadRig, BadCharacter: Before a file is written.
        OSError: The disk is full.
    """
    folder, choice = storage_path(output), choose(format, rig, character)
    target = folder / choice.folder if to is None else storage_path(to)
    return list(export_clips(folder, clip_ids, target, choice))


def preview(
    output: str | Path,
    *,
    to: str | Path | None = None,
    clip_ids: Sequence[str] = (),
    sheet: bool = False,
    height: int = 720,
    head: bool = True,
    landmarks: bool = False,
    sound: bool = True,
    sheet_frames: int = 12,
    spread: bool = False,
) -> list[ExportedClip]:
    """Draw what was found over the videos of clips, with an animated head, bars and curves beside it.

    Args:
        output: Local path or URI of an output folder.
        to: Folder of the files; None: ``<output>/preview``.
        clip_ids: The clips, each of which must be done; empty: all that are done.
        sheet: One image per clip instead of a video: the frames that tell most.
        height: Of the video, pixels, at least 240; its width is 16/9 of it.
        head: An animated head beside the actor.
        landmarks: Draw them, too, of runs that have them.
        sound: Keep the sound of the video.
        sheet_frames: Frames on a sheet, at most.
        spread: Spread a sheet's frames evenly over the clip.

    Returns:
        As `export`.

    Raises:
        NoRun, UnknownClip, BadPreview: Before a file is written.
        OSError: The disk is full.
    """
    from facecap_batch.exporting.preview import PreviewSettings

    settings = PreviewSettings(height, head, landmarks, sound, sheet_frames, spread)
    folder = storage_path(output)
    target = folder / "preview" if to is None else storage_path(to)
    return list(preview_clips(folder, clip_ids, target, ".jpg" if sheet else ".mp4", settings))
