"""Plots of the clips in an output folder.

In: the folder, which clips, what of them. Out: a picture of each, or one of all together, published complete.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from facecap_batch.exporting.plots.channels import MOST_MOVING, BadPlot
from facecap_batch.exporting.plots.figure import PlottedTrack, figure_of, require_matplotlib
from facecap_batch.exporting.plots.file import write_figure
from facecap_batch.output.compact_index import CompactReader, table_name
from facecap_batch.output.exports import ExportedClip, checksum, done_clips, each_clip
from facecap_batch.output.integrity import read_sound_tracks
from facecap_batch.output.ledger import Ledger
from facecap_batch.output.plots.tracks import of_track, plotted_track
from facecap_batch.output.sql.thresholds import MovementThresholds
from facecap_batch.storage.publish import StoragePath


@dataclasses.dataclass(frozen=True)
class PlotOptions:
    """What is drawn of each clip."""

    channels: tuple[str, ...] = (str(MOST_MOVING),)  # as `chosen_channels` takes them
    track: int = 0  # number of the person
    raw: bool = False  # the raw values, too
    thresholds: MovementThresholds | None = None  # from when on a movement is marked; None: none is
    stacked: bool = False  # of several clips in one picture: below each other, not over each other
    size: tuple[int, int] | None = None  # width and height, pixels


def plot_each(
    output: StoragePath, clip_ids: Sequence[str], folder: StoragePath, suffix: str, options: PlotOptions
) -> Iterator[ExportedClip]:
    """Plot clips of a finished run as ``folder/<clip_id><suffix>``.

    Args:
        output: The folder of the run.
        clip_ids: The clips, each of which must be done; empty for all that are done.
        folder: Where the pictures go; created if it is not there.
        suffix: One of `file.SUFFIXES`.
        options: What is drawn.

    Yields:
        One result per clip, in the order of the manifest, each made when it is asked for.

    Raises:
        NoRun, UnknownClip: Before a file is written.
        BadPlot: As of `figure_of`.
        OSError: The disk of `folder` is full.
    """
    require_matplotlib()
    reader = _Tracks(output, options)

    def draw(clip_id: str) -> Iterator[tuple[int, StoragePath]]:
        track = reader.read(clip_id)
        path = folder / f"{track.final.name}{suffix}"
        write_figure(figure_of([track], options.channels, size=options.size), path)
        yield track.final.track, path

    for result in each_clip(done_clips(output, clip_ids), folder, suffix, draw):
        if isinstance(result.error, BadPlot):
            raise result.error  # of what was asked for: no clip can have it
        yield result


def plot_together(
    output: StoragePath, clip_ids: Sequence[str], path: StoragePath, options: PlotOptions
) -> None:
    """Plot clips of a finished run in one picture at `path`.

    Args:
        output, clip_ids, options: As of `plot_each`.
        path: The picture; its suffix is one of `file.SUFFIXES`.

    Raises:
        NoRun, UnknownClip, UnknownTrack, InputNotReadable: A clip is not there, not done, or damaged.
        BadPlot: As of `figure_of`.
        OSError: `path` cannot be written.
    """
    require_matplotlib()
    reader = _Tracks(output, options)
    tracks = [reader.read(clip_id) for clip_id in done_clips(output, clip_ids)]
    write_figure(figure_of(tracks, options.channels, stacked=options.stacked, size=options.size), path)


class _Tracks:
    """Reads the tables of clips."""

    def __init__(self, output: StoragePath, options: PlotOptions) -> None:
        self._output, self._options = output, options
        self._ledger, self._compacted = Ledger(output).as_of_now(), CompactReader(output)

    def read(self, clip_id: str) -> PlottedTrack:
        """What is drawn of a clip. Raises UnknownTrack, InputNotReadable."""
        kinds = ("coefficients", "raw") if self._options.raw else ("coefficients",)
        tables = []
        for kind in kinds:
            name = table_name(kind, clip_id)
            tracks = read_sound_tracks(
                self._output, name, checksum(self._ledger, clip_id, name), self._compacted
            )
            tables.append(of_track(tracks, self._options.track))
        return plotted_track(tables[0], tables[1] if self._options.raw else None, self._options.thresholds)
