"""More from a finished folder: exports in another format, previews.

In: an output folder, which clips. Out: files, one per clip, published complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from facecap_batch.clip import resolve_source
from facecap_batch.errors import FacecapError
from facecap_batch.exporting.formats import EXPORTERS
from facecap_batch.output.compact_index import read_clip, table_file, table_name
from facecap_batch.output.ledger import DONE, Ledger
from facecap_batch.output.reports import clips_of, read_reports
from facecap_batch.storage.publish import StoragePath, storage_path


class UnknownClip(FacecapError):
    """A clip_id that the folder does not hold, or that is not done."""


class NotExportable(FacecapError):
    """A clip that a format cannot hold, as one whose timecode is none at its frame rate."""


class UnknownFormat(FacecapError):
    """An export format that does not exist."""


def export_clips(
    output: StoragePath, clip_ids: Sequence[str], folder: StoragePath, format: str
) -> Iterator[StoragePath]:
    """Write ``folder/<clip_id><suffix>`` for the named clips, or for all that are done.

    Raises NoRun, UnknownClip, UnknownFormat, NotExportable.
    """
    if format not in EXPORTERS:
        raise UnknownFormat(f"no export format {format!r}; there are: {', '.join(EXPORTERS)}")
    write, suffix = EXPORTERS[format]
    for clip_id in done_clips(output, clip_ids):
        path = folder / f"{clip_id}{suffix}"
        try:
            write(read_clip(output, table_name("coefficients", clip_id)), path)
        except ValueError as error:
            raise NotExportable(f"{clip_id} as {format}: {error}") from error
        yield path


def preview_clips(
    output: StoragePath, clip_ids: Sequence[str], folder: StoragePath, suffix: str, height: int
) -> Iterator[StoragePath]:
    """Draw ``folder/<clip_id><suffix>`` for the named clips, or for all that are done.

    The videos are looked for where the manifest of the run named them. Raises NoRun, UnknownClip, and what
    `preview.preview` raises.
    """
    from facecap_batch.exporting.preview import preview

    run, rows = read_reports(output)
    manifest_folder = storage_path(run["manifest"]).parent
    sources = {row["clip_id"]: resolve_source(row["path"], manifest_folder) for row in rows}
    for clip_id in done_clips(output, clip_ids):
        path = folder / f"{clip_id}{suffix}"
        with (
            table_file(output, table_name("coefficients", clip_id)) as table,
            table_file(output, table_name("raw", clip_id)) as raw,
        ):
            preview(table, sources[clip_id], path, raw_path=raw, height=height)
        yield path


def done_clips(output: StoragePath, clip_ids: Sequence[str]) -> list[str]:
    """The named clips, each of which must be done; with no names, all that are. Raises NoRun, UnknownClip."""
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
