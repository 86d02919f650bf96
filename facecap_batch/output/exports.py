"""More files from a finished folder: exports in another format, previews.

In: an output folder, which clips. Out: files, one per clip or person, published complete, and for every clip
what became of it: a clip that cannot be exported does not keep the others from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from facecap_batch.clip import resolve_source
from facecap_batch.errors import FacecapError, InputNotReadable, is_full
from facecap_batch.exporting.choice import Choice
from facecap_batch.exporting.common_rows import with_rows_of
from facecap_batch.output.compact_index import ADVICE, CompactReader, table_file, table_name
from facecap_batch.output.integrity import UNREADABLE, read_sound_tracks, require_sound
from facecap_batch.output.ledger import DONE, Ledger
from facecap_batch.output.reports import clips_of, read_reports
from facecap_batch.storage.publish import StoragePath, storage_path

if TYPE_CHECKING:
    from facecap_batch.exporting.preview import PreviewSettings


class UnknownClip(FacecapError):
    """A clip_id that the folder does not hold, or that is not done."""


class NotExportable(FacecapError):
    """A clip cannot be exported: its table is damaged or gone, or the format cannot hold it."""


@dataclasses.dataclass(frozen=True)
class ExportedClip:
    """What became of one person of a clip: a file; or of a clip: an error."""

    clip_id: str
    path: StoragePath | None = None  # the file; None where there is an error
    error: FacecapError | None = None
    track: int = 0


def export_clips(
    output: StoragePath, clip_ids: Sequence[str], folder: StoragePath, choice: Choice
) -> Iterator[ExportedClip]:
    """Write clips of a finished run in another format, as ``folder/<clip_id><suffix>``.

    Further people of a clip become ``folder/<clip_id>.track1<suffix>`` and so on, as long as the clip.

    Args:
        output: the folder of the run.
        clip_ids: the clips, each of which must be done; empty for all that are done.
        folder: where the files go; created if it is not there.
        choice: what is written.

    Returns:
        One result per person and clip, in the order of the manifest, each made when it is asked for.

    Raises:
        NoRun, UnknownClip: before a file is written.
        OSError: from the iterator, where the disk of `folder` is full.
    """
    ledger, compacted = Ledger(output).as_of_now(), CompactReader(output)

    def export(clip_id: str) -> Iterator[tuple[int, StoragePath]]:
        name = table_name("coefficients", clip_id)
        tracks = read_sound_tracks(output, name, checksum(ledger, clip_id, name), compacted)
        for table in tracks:
            path = folder / f"{table.name}{choice.suffix}"
            choice.write(with_rows_of(table, tracks[0]), path)
            yield table.track, path

    return each_clip(done_clips(output, clip_ids), folder, choice.suffix, export)


def preview_clips(
    output: StoragePath,
    clip_ids: Sequence[str],
    folder: StoragePath,
    suffix: str,
    settings: PreviewSettings | None = None,
) -> Iterator[ExportedClip]:
    """Draw clips of a finished run over their videos, as ``folder/<clip_id><suffix>``.

    The videos are looked for where the manifest of the run named them.

    Args:
        output: the folder of the run.
        clip_ids: the clips, each of which must be done; empty for all that are done.
        folder: where the files go; created if it is not there.
        suffix: of a video or of an image, as `exporting.preview.preview` knows them.
        settings: what is drawn; None: the defaults.

    Returns:
        One result per clip, in the order of the manifest, each made when it is asked for.

    Raises:
        NoRun, UnknownClip: before a file is written.
        OSError: from the iterator, where the disk of `folder` is full.
    """
    from facecap_batch.exporting.preview import preview

    sources = video_paths(output)
    ledger = Ledger(output).as_of_now()

    def draw(clip_id: str) -> Iterator[tuple[int, StoragePath]]:
        path = folder / f"{clip_id}{suffix}"
        for name in (table_name("coefficients", clip_id), table_name("raw", clip_id)):
            require_sound(output, name, checksum(ledger, clip_id, name))
        with (
            table_file(output, table_name("coefficients", clip_id)) as table,
            table_file(output, table_name("raw", clip_id)) as raw,
        ):
            preview(table, sources[clip_id], path, raw_path=raw, settings=settings)
        yield 0, path

    return each_clip(done_clips(output, clip_ids), folder, suffix, draw)


def video_paths(output: StoragePath) -> dict[str, str]:
    """The video of every clip of a run by clip_id, where its manifest named it: a path or a URI.

    Raises:
        NoRun: `output` is not the folder of a run.
    """
    run, rows = read_reports(output)
    manifest_folder = storage_path(run["manifest"]).parent
    return {row["clip_id"]: resolve_source(row["path"], manifest_folder) for row in rows}


def each_clip(
    clip_ids: Sequence[str],
    folder: StoragePath,
    suffix: str,
    make: Callable[[str], Iterator[tuple[int, StoragePath]]],
) -> Iterator[ExportedClip]:
    """Make the files of every clip (`make` gives their tracks and paths); an error stays with its clip."""
    for clip_id in clip_ids:
        try:
            for track, path in make(clip_id):
                yield ExportedClip(clip_id, path, track=track)
        except (InputNotReadable, *UNREADABLE) as error:  # a damaged or foreign table
            if isinstance(error, OSError) and is_full(error):
                raise  # the next clip has no room either
            yield ExportedClip(clip_id, error=_not_exportable(folder / f"{clip_id}{suffix}", error))
        except FacecapError as error:
            yield ExportedClip(clip_id, error=error)


def checksum(ledger: Ledger, clip_id: str, name: str) -> str | None:
    """SHA-256 of a file of the clip, where its record has it."""
    record = ledger.get(clip_id)
    return None if record is None else record.checksums.get(name)


def _not_exportable(path: StoragePath, error: Exception) -> NotExportable:
    advice = "" if isinstance(error, InputNotReadable) else f"; where a table is damaged, {ADVICE}"
    made = NotExportable(f"{path} cannot be made: {error}{advice}")
    made.__cause__ = error
    return made


def done_clips(output: StoragePath, clip_ids: Sequence[str]) -> list[str]:
    """The named clips, each of which must be done; with no names, all that are.

    Raises:
        NoRun: `output` is not the folder of a run.
        UnknownClip: a name is not in the folder, or its clip is not done.
    """
    _, rows = read_reports(output)
    ledger = Ledger(output).as_of_now()
    done = []
    for clip in clips_of(rows):
        record = ledger.get(clip.clip_id)
        if record is not None and record.status == DONE:
            done.append(clip.clip_id)
    missing = sorted(set(clip_ids) - set(done))
    if missing:
        raise UnknownClip(f"{output}: not there, or not done: {', '.join(missing)}")
    return [clip_id for clip_id in done if not clip_ids or clip_id in clip_ids]
