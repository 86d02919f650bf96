"""The commands that look into a finished output folder or add to it: status, query, report, serve, preview,
plot, export, compact.

In: the folder, which clips. Out: text on the terminal, pages, or further files. Nothing heavy is imported at
module level.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from facecap_batch.cli.choices import Format, Layout, choice_option
from facecap_batch.cli.completion import channels as channel_names
from facecap_batch.cli.options import Clips, Output
from facecap_batch.storage.publish import storage_path

if TYPE_CHECKING:
    from facecap_batch.output.exports import ExportedClip

SOME_FAILED = 1  # exit code


def status(
    output: Output,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Print again and again until the run ends.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two updates of --watch.")] = 5.0,
) -> None:
    """Show the progress of OUT: clips done, failed and left, speed, frequent errors.

    Works while a run is going and after it has ended.
    """
    import dataclasses
    import json

    from facecap_batch.output import status as run_status

    folder = storage_path(output)
    for number, found in enumerate(run_status.watch(folder, every) if watch else [run_status.status(folder)]):
        if as_json:  # watched: one object per line
            print(json.dumps(dataclasses.asdict(found), indent=None if watch else 2), flush=True)
        else:
            print(("\n" if number else "") + run_status.describe(found), flush=True)


def query(
    output: Output,
    sql: Annotated[
        str,
        typer.Argument(
            metavar="SQL", help="A query over the views coefficients, raw, events, summary and clips."
        ),
    ],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all rows as CSV.")] = False,
    unsafe_sql: Annotated[
        bool,
        typer.Option(
            "--unsafe-sql", help="Let SQL that you trust read and write other files, and load extensions."
        ),
    ] = False,
) -> None:
    """Answer SQL from the tables in OUT.

    SQL reads these tables, no other file, and writes none.

    Example: facecap-batch query out/takes "SELECT clip_id, max(jawOpen) FROM coefficients GROUP BY 1"
    """
    from facecap_batch.cli.table_text import as_csv_text, as_text
    from facecap_batch.output.query import query as answer

    table = answer(output, sql, unsafe_sql)
    print(as_csv_text(table) if as_csv else as_text(table))


def report(
    output: Output,
    to: Annotated[
        str | None,
        typer.Option(
            "--output", metavar="FILE", help="The page. Default: OUT/report.html.", show_default=False
        ),
    ] = None,
) -> None:
    """Write one HTML page about OUT: every take with its figures, video, head and curves.

    The page needs nothing beside it but the videos, where they lie, and loads nothing from the network.
    """
    from rich.console import Console
    from rich.progress import Progress

    from facecap_batch.reporting.report import REPORT_NAME, write_report

    folder = storage_path(output)
    path = storage_path(to) if to else folder / REPORT_NAME
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("takes", total=None)
        write_report(folder, path, lambda done, takes: bar.update(task, completed=done, total=takes))
    print(path)


def serve(
    output: Output,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, help="Port on 127.0.0.1. Default: one that is free.", show_default=False
        ),
    ] = 0,
) -> None:
    """Show the report of OUT to the browsers of this machine until Ctrl-C; for folders of any size.

    Tables are read and videos streamed when they are looked at. Only whoever has the printed address sees it.
    """
    import contextlib
    import threading

    from facecap_batch.reporting.served import ServedReport
    from facecap_batch.scheduling.ends.interruption import interruptible

    with (
        contextlib.closing(ServedReport(storage_path(output), port)) as served,
        contextlib.suppress(KeyboardInterrupt),
        interruptible(),
    ):
        print(f"{served.url}   (Ctrl-C ends it)", flush=True)
        threading.Event().wait()


def preview(
    output: Output,
    clip: Clips = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Folder for the previews. Default: OUT/preview.", show_default=False
        ),
    ] = None,
    sheet: Annotated[
        bool,
        typer.Option("--sheet", help="One image per clip instead of a video: the frames that tell most."),
    ] = False,
    height: Annotated[int, typer.Option(min=240, help="Height of the video in pixels.")] = 720,
    no_head: Annotated[
        bool, typer.Option("--no-head", help="Without the animated head beside the actor.")
    ] = False,
    landmarks: Annotated[
        bool, typer.Option("--landmarks", help="Draw the landmarks, of runs that have them.")
    ] = False,
    no_sound: Annotated[bool, typer.Option("--no-sound", help="Without the sound of the video.")] = False,
    sheet_frames: Annotated[
        int | None,
        typer.Option(min=1, help="Frames on a sheet, at most. Default: 12.", show_default=False),
    ] = None,
    spread: Annotated[
        bool,
        typer.Option("--spread", help="Spread a sheet's frames evenly over the clip."),
    ] = False,
) -> None:
    """Draw what was found over the source videos, with an animated head, bars and curves beside it.

    Exit code: 1 if some clips failed; the others have their preview.
    """
    from facecap_batch.exporting.preview import PreviewSettings
    from facecap_batch.output.exports import preview_clips

    if not sheet and (sheet_frames is not None or spread):
        raise typer.BadParameter("--sheet-frames and --spread say which frames a sheet has: add --sheet")
    settings = PreviewSettings(
        height=height,
        head=not no_head,
        landmarks=landmarks,
        sound=not no_sound,
        sheet_frames=sheet_frames or PreviewSettings.sheet_frames,
        spread=spread,
    )
    folder = storage_path(to) if to else storage_path(output) / "preview"
    suffix = ".jpg" if sheet else ".mp4"
    _print_results(preview_clips(storage_path(output), clip or [], folder, suffix, settings))


def plot(
    output: Output,
    clip: Clips = None,
    channels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES",
            help="Columns (jawOpen), pairs (eyeBlink), groups (brows, eyes, lids, gaze, jaw, mouth, cheeks, "
            "nose, head, rotation, position, all), or how many of those that move most; repeat, or separate "
            "by commas. Default: 8.",
            autocompletion=channel_names,
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Folder for a PNG of each clip, or one .png, .svg or .pdf of all of them. "
            "Default: OUT/plots.",
            show_default=False,
        ),
    ] = None,
    layout: Annotated[
        Layout,
        choice_option(Layout, help="How several clips lie in one picture."),
    ] = Layout.overlaid,
    track: Annotated[int, typer.Option(min=0, help="Number of the person.")] = 0,
    raw: Annotated[bool, typer.Option("--raw", help="Draw the raw values, too, faintly.")] = False,
    events: Annotated[
        bool, typer.Option("--events/--no-events", help="Mark blinks, smiles and other movements.")
    ] = True,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="Pixels, 100 to the inch. Default: 1200 wide, and as high as the curves need.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Draw curves over time, with events and the frames without a face.

    Exit code: 1 if some clips failed; the others have their picture.

    Example: facecap-batch plot out/takes --clip take1 --channels brows,jawOpen,rotation --raw
    """
    from facecap_batch.exporting.plots.file import is_picture, size_of
    from facecap_batch.output.plots.clips import PlotOptions, plot_each, plot_together
    from facecap_batch.output.sql.thresholds import MovementThresholds

    options = PlotOptions(
        channels=tuple(channels) if channels else PlotOptions.channels,
        track=track,
        raw=raw,
        thresholds=MovementThresholds() if events else None,
        stacked=layout is Layout.stacked,
        size=None if size is None else size_of(size),
    )
    folder = storage_path(to) if to else storage_path(output) / "plots"
    if is_picture(folder):
        plot_together(storage_path(output), clip or [], folder, options)
        print(folder)
    else:
        _print_results(plot_each(storage_path(output), clip or [], folder, ".png", options))


def export(
    output: Output,
    format: Annotated[
        Format | None,
        choice_option(Format, help="Format of the files.", metavar="FORMAT", show_default=False),
    ] = None,
    character: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A .glb or .vrm file that the animation is written onto: its own shapes, head and eyes.",
            show_default=False,
        ),
    ] = None,
    rig: Annotated[
        str | None,
        typer.Option(
            metavar="RIG",
            help="Names of the channels and what each is made of: a preset (`rigs list`) or a TOML file. "
            "Default: arkit.",
            show_default=False,
        ),
    ] = None,
    clip: Clips = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for the files. Default: OUT/<format>, with --rig OUT/<format>-<rig>, "
            "with --character OUT/<its name>.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the animation in OUT in another format, or onto a character.

    Exit code: 1 if some clips failed; the others have their file.
    """
    from facecap_batch.exporting.choice import choose
    from facecap_batch.output.exports import export_clips

    choice = choose(None if format is None else format.value, rig, character)
    for note in choice.notes:
        print(f"facecap-batch: note: {note}", file=sys.stderr)
    folder = storage_path(to) if to else storage_path(output) / choice.folder
    _print_results(export_clips(storage_path(output), clip or [], folder, choice))


def _print_results(results: Iterator[ExportedClip]) -> None:
    """Print the file of every clip, or its error; exit with 1 where there was one."""
    made = failed = 0
    for result in results:
        if result.error is None:
            made += 1
            print(result.path, flush=True)
        else:
            failed += 1
            print(f"facecap-batch: {result.clip_id}: {result.error}", file=sys.stderr)
    if failed:
        print(f"facecap-batch: {failed} of {made + failed} clips failed", file=sys.stderr)
        raise typer.Exit(SOME_FAILED)


def compact(
    output: Output,
    remove_originals: Annotated[
        bool,
        typer.Option(
            "--remove-originals/--keep-originals",
            help="Remove each small file after comparing it with what replaces it.",
        ),
    ] = False,
) -> None:
    """Merge the small tables of OUT into large files that are fast to query: OUT/compact."""
    from facecap_batch.output.compaction import compact as merge

    done = merge(storage_path(output), remove_originals)
    print(
        f"{done.tables} tables in {len(done.files)} files, {done.bytes / 1e6:.1f} MB"
        + (f"; {done.removed} small files removed" if remove_originals else "")
    )
