"""Capture of single videos in this process, and the captured clips of an output folder.

In: a video, an engine set. Out: a `Capture`, the same numbers and the same bytes that a run writes for that
video. Nothing is printed and nothing is written unless a method is called for it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.capturing.settings import CaptureSettings, Faces, with_wanted
from facecap_batch.clip import Clip, resolve_source
from facecap_batch.coefficients import CoefficientTable, to_arrow, write_tracks
from facecap_batch.errors import FacecapError
from facecap_batch.exporting.choice import choose
from facecap_batch.exporting.common_rows import with_rows_of
from facecap_batch.exporting.formats import format_of
from facecap_batch.exporting.plots.channels import MOST_MOVING
from facecap_batch.exporting.plots.figure import figure_of
from facecap_batch.exporting.rigs.rig import Rig
from facecap_batch.output.compact_index import read_clip_tracks, table_name
from facecap_batch.output.exports import NotExportable, UnknownClip
from facecap_batch.output.plots.tracks import of_track, plotted_track
from facecap_batch.output.sql.macros import movements_in
from facecap_batch.output.sql.thresholds import MovementThresholds
from facecap_batch.runs.clip_steps import final_tables, lone_calibration, with_capture_fingerprint
from facecap_batch.runs.config import RunConfig, make_config
from facecap_batch.runs.footage.naming import default_clip_id
from facecap_batch.runs.opened_engines import open_engines as open_configured
from facecap_batch.solve.settings import SolveSettings
from facecap_batch.storage.publish import storage_path
from facecap_batch.timecode import is_time, parse_time

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

Which = Literal["final", "raw"]
Time = str | float | Fraction  # seconds, or text as in a manifest: "12.5", "0:12.5"


class EnginesClosed(FacecapError):
    """Engines were used after the `with` block that opened them."""


@dataclasses.dataclass(frozen=True, eq=False)
class Capture:
    """One captured clip: the final and the raw table of every person, the main subject first."""

    final_tracks: tuple[CoefficientTable, ...]  # solved: gaps filled, smoothed, blinks closed
    raw_tracks: tuple[CoefficientTable, ...]  # the networks' outputs, frame by frame

    @property
    def final(self) -> CoefficientTable:
        """The main subject's final table."""
        return self.final_tracks[0]

    @property
    def raw(self) -> CoefficientTable:
        """The main subject's raw table."""
        return self.raw_tracks[0]

    @property
    def clip_id(self) -> str:
        """Name of the clip."""
        return self.final.info.clip_id

    @property
    def notes(self) -> tuple[str, ...]:
        """What was odd about the video file; empty if nothing was."""
        return tuple(self.raw.metadata.get("notes", "").splitlines())

    def table(self, which: Which = "final", track: int = 0) -> CoefficientTable:
        """The table of one person as arrays: "final" or "raw". Raises UnknownTrack."""
        return of_track(self._tracks(which), track)

    def to_arrow(self, which: Which = "final") -> pa.Table:
        """One row per frame and person in the columns of ``coefficients/*.parquet``; NaN becomes null."""
        return pa.concat_tables([to_arrow(table) for table in self._tracks(which)])

    def to_pandas(self, which: Which = "final") -> pandas.DataFrame:
        """As `to_arrow`, as a data frame. Raises ImportError where pandas is not installed."""
        try:
            import pandas  # noqa: F401
        except ImportError as error:
            raise ImportError("to_pandas needs pandas, which is not installed: pip install pandas") from error
        return self.to_arrow(which).to_pandas()

    def events(self, thresholds: MovementThresholds = MovementThresholds()) -> pa.Table:
        """Blinks, smiles and other movements of everyone, one row each, in the columns of the view ``events``
        but for the actor (docs/for-researchers.md).

        Args:
            thresholds: From when on a movement counts.

        Raises:
            BadQuery: DuckDB is not installed.
        """
        return movements_in(self.to_arrow(), "events", thresholds)

    def summary(self, thresholds: MovementThresholds = MovementThresholds()) -> pa.Table:
        """How much of each movement there is, one row for each person and movement; the columns of the view
        ``summary`` but for the actor. Argument and errors are those of `events`."""
        return movements_in(self.to_arrow(), "summary", thresholds)

    def plot(
        self,
        channels: Sequence[str] | str | int = MOST_MOVING,
        *,
        track: int = 0,
        raw: bool = False,
        thresholds: MovementThresholds | None = MovementThresholds(),
        others: Sequence[Capture] = (),
        stacked: bool = False,
        size: tuple[int, int] | None = None,
    ) -> Figure:
        """Draw curves over time, with events and the frames without a face; nothing is shown or written.

        Args:
            channels: A number: those that move most; or names, in a list or with commas between them: columns
                ("jawOpen"), pairs ("eyeBlink"), groups ("brows", "eyes", "mouth", "head" …), "all".
            track: Number of the person, of every capture.
            raw: Whether the raw values stand faintly behind the final ones.
            thresholds: From when on a movement is marked as an event; None: none is.
            others: Captures to draw in the same figure, each over its own times.
            stacked: Whether several captures stand below each other; else they lie over each other.
            size: Width and height in pixels, 100 to the inch; None: 1200, and as high as the curves need.

        Returns:
            A matplotlib figure, without a display and without pyplot's state: `figure.savefig(path)`.

        Raises:
            BadPlot: matplotlib is not installed, a channel is unknown, or there is too much for one figure.
            BadQuery: Events are wanted and DuckDB is not installed.
            UnknownTrack: There is no such person.
        """
        tracks = [
            plotted_track(each.table("final", track), each.table("raw", track) if raw else None, thresholds)
            for each in (self, *others)
        ]
        return figure_of(tracks, channels, stacked=stacked, size=size)

    def to_parquet(self, path: str | Path, which: Which = "final") -> Path | str:
        """Write the file that a run writes to ``coefficients/`` ("final") or ``raw/``; return `path`.

        Args:
            path: Local path or URI; its folder is created.
            which: The table to write.
        """
        write_tracks(self._tracks(which), storage_path(path))
        return path

    def export(
        self,
        path: str | Path,
        format: str | None = None,
        track: int = 0,
        *,
        rig: str | Path | Rig | None = None,
        character: str | Path | None = None,
    ) -> Path | str:
        """Write the final animation of one person; return `path`.

        Args:
            path: Local path or URI; its folder is created.
            format: As of `facecap-batch export --format`; None: the first with the suffix of `path`, which is
                Live Link Face's for .csv.
            track: Number of the person; the animations of all begin and end with the clip.
            rig: The channels that are written: a preset's name, a TOML file or a `Rig`; None: ours, ARKit's.
            character: A .glb or .vrm file that the animation is written onto, instead of a format.

        Raises:
            BadRig, BadCharacter: The rig or the character cannot be used.
            UnknownTrack: There is no such person.
            UnknownFormat: There is no such format, none with this suffix, or its library is not installed.
            NotExportable: The format cannot hold the clip.
        """
        target = storage_path(path)
        if format is None and character is None:
            format = format_of(target)
        choice = choose(format, rig, character)
        try:
            choice.write(with_rows_of(self.table("final", track), self.final), target)
        except ValueError as error:
            raise NotExportable(f"{self.clip_id} as {format or character}: {error}") from error
        return path

    def _tracks(self, which: Which) -> tuple[CoefficientTable, ...]:
        if which not in ("final", "raw"):
            raise ValueError(f"which must be 'final' or 'raw', not {which!r}")
        return self.final_tracks if which == "final" else self.raw_tracks


class OpenEngines:
    """Engines that `open_engines` holds open; hand it to `capture`."""

    def __init__(self, config: RunConfig, face_capture: FaceCapture) -> None:
        self._config = config
        self._face_capture: FaceCapture | None = face_capture
        self.backend = face_capture.backend  # that runs the regressor

    def capture(
        self, clip: Clip, solve: SolveSettings | None, progress: Callable[[int], None] | None
    ) -> Capture:
        """Capture and solve `clip`. Raises EnginesClosed, BadVideo, NoVideoStream, DecoderUnavailable."""
        if self._face_capture is None:
            raise EnginesClosed("these engines are closed; capture inside the with block of open_engines")
        config = dataclasses.replace(self._config, solve=solve or self._config.solve)
        raw = with_capture_fingerprint(self._face_capture.capture_tracks(clip, progress), config)
        return Capture(final_tables(raw, config, lone_calibration(raw[0], clip, config)), raw)

    def close(self) -> None:
        """Let the engines go."""
        self._face_capture = None


@contextlib.contextmanager
def open_engines(
    engines: str | Path = "default",
    *,
    backend: str = "auto",
    settings: CaptureSettings | None = None,
    require_certificate: bool = False,
) -> Iterator[OpenEngines]:
    """Open an engine set once, for many captures.

    Args:
        engines: Name or folder of the set.
        backend: "auto", or a backend by name (``facecap-batch engines list`` shows them).
        settings: Of the captures; None: the defaults.
        require_certificate: Use only a backend that `verify` has certified here.

    Yields:
        What `capture` takes as `engines`; it is closed when the block ends.

    Raises:
        EngineError: There is no such set, or a card or file of it cannot be used.
        BackendUnavailable: The backend cannot run here; the message says what to install.
        NotCertified: A certificate is required and there is none.
    """
    config = make_config(str(engines), backend, settings, require_certificate=require_certificate)
    opened = OpenEngines(config, open_configured(config))
    try:
        yield opened
    finally:
        opened.close()


def capture(
    path: str | Path,
    *,
    engines: str | Path | OpenEngines = "default",
    backend: str = "auto",
    start: Time | None = None,
    end: Time | None = None,
    clip_id: str | None = None,
    actor: str | None = None,
    timecode: str | None = None,
    faces: Faces | None = None,
    landmarks: bool | None = None,
    settings: CaptureSettings | None = None,
    solve: SolveSettings | None = None,
    progress: Callable[[int], None] | None = None,
) -> Capture:
    """Capture one video, or a time range of it, in this process.

    The tables are those that `run` writes for the same video under the same settings, byte for byte.

    Args:
        path: Local path or URI of a video or image, or an image sequence: "shot.%04d.png@24".
        engines: Name or folder of an engine set, or what `open_engines` gave: opening takes longer than a
            short clip.
        backend: As in `open_engines`.
        start: First time of the range, inclusive; seconds or text as in a manifest. None: the beginning.
        end: End of the range, exclusive. None: the end.
        clip_id: Name of the clip and of the animation's take; None: the stem of `path`.
        actor: Recorded in the tables. Where `solve` calibrates by actor: on this clip alone.
        timecode: Of the first frame, as HH:MM:SS:FF; recorded, and used by exports that have a timecode.
        faces: People that become tracks: a number, or "all"; None: as `settings` say, by default 1.
        landmarks: Whether the tables get landmarks and the gaze; None: as `settings` say, by default not.
        settings: Of the capture; None: the defaults.
        solve: Settings of the solve; None: the defaults.
        progress: Called with the number of frames finished so far.

    Returns:
        The final and the raw tables.

    Raises:
        BadVideo, NoVideoStream: The file cannot be decoded, or holds no video.
        EngineError, BackendUnavailable: As `open_engines`.
        ValueError: A time, the range or the timecode makes no sense, or `backend`, `faces`, `landmarks` or
            `settings` are given beside open engines, which have theirs.
    """
    clip = _clip(path, start, end, clip_id, actor, timecode)
    if isinstance(engines, OpenEngines):
        if backend != "auto" or any(given is not None for given in (settings, faces, landmarks)):
            raise ValueError(
                "backend, faces, landmarks and settings belong to open_engines when engines are open already"
            )
        return engines.capture(clip, solve, progress)
    settings = with_wanted(settings, faces, landmarks)
    with open_engines(engines, backend=backend, settings=settings) as opened:
        return opened.capture(clip, solve, progress)


def read(output: str | Path, clip_id: str) -> Capture:
    """A clip of the output folder of a run.

    Args:
        output: Local path or URI of the folder.
        clip_id: Name of the clip.

    Raises:
        UnknownClip: The folder holds no tables of this clip.
    """
    folder = storage_path(output)
    try:
        final = read_clip_tracks(folder, table_name("coefficients", clip_id))
        raw = read_clip_tracks(folder, table_name("raw", clip_id))
    except FileNotFoundError as error:
        raise UnknownClip(f"{output} holds no tables of clip {clip_id!r}: {error}") from error
    return Capture(final, raw)


def _clip(
    path: str | Path,
    start: Time | None,
    end: Time | None,
    clip_id: str | None,
    actor: str | None,
    timecode: str | None,
) -> Clip:
    """The clip that a manifest with these entries would name. Raises ValueError."""
    source = str(path)
    begin, stop = _seconds("start", start), _seconds("end", end)
    if stop is not None and stop <= (begin or 0):
        raise ValueError(f"end ({end}) is not after start ({start or 0})")
    if timecode and not is_time(timecode):
        raise ValueError(f"timecode: {timecode!r} is not a timecode (HH:MM:SS:FF)")
    located = resolve_source(source, Path.cwd())
    return Clip(
        clip_id=clip_id or default_clip_id(located),
        path=located,
        start=begin,
        end=stop,
        actor=actor,
        timecode=timecode,
        source=source,
    )


def _seconds(name: str, time: Time | None) -> Fraction | None:
    if time is None or isinstance(time, Fraction):
        return time
    try:
        return parse_time(str(time))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
