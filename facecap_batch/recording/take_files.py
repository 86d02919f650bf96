"""Where a take lies: while it is recorded, when it is whole, and what earlier recordings left.

In: an output folder, a name. Out: `TakeFiles`, or `BadTake` before anything is recorded. A recording grows
under a hidden name that runs neither take for footage nor remove, and gets its final name when it is whole.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import shlex
import time
from pathlib import Path

from facecap_batch.errors import FacecapError
from facecap_batch.output.reports import NoRun, read_reports
from facecap_batch.runs.footage.naming import UsedIds, safe_id
from facecap_batch.storage.links import open_plain, refuse_links
from facecap_batch.storage.publish import StoragePath, not_writable, publish_file
from facecap_batch.video.live.recorder import SUFFIX

FOLDER = "videos"  # in the output folder
HIDDEN_PREFIX = ".recording-"
STALE_S = 60.0  # a recording that has not grown for so long is nobody's


class BadTake(FacecapError):
    """A take cannot be recorded into this folder or under this name; nothing was recorded."""


@dataclasses.dataclass(frozen=True)
class TakeFiles:
    """The files of one take."""

    clip_id: str
    output: Path  # the output folder, absolute
    recording: Path  # while it grows
    video: Path  # when it is whole

    def publish(self) -> None:
        """Give the whole recording its final name. Raises OSError."""
        publish_file(self.recording, self.video)


def take_files(output: StoragePath, name: str | None, stem: str) -> TakeFiles:
    """Where a new take goes; its folder is made.

    Args:
        output: The output folder.
        name: The clip's id; None: one is made of `stem` and the time.
        stem: What names of clips from this source begin with.

    Raises:
        BadTake: `output` is no local folder or belongs to a manifest, or `name` is none or taken.
        OutputNotWritable.
    """
    if not isinstance(output, Path):
        raise BadTake(
            f"{output}: a recording grows in a local folder; record there, and give run its videos with "
            "--output URI"
        )
    output = output.absolute()
    taken = _taken(output)
    if name is None:
        name = taken.claim(f"{stem}-{datetime.datetime.now():%Y%m%d-%H%M%S}")
    elif name != (safe := safe_id(name)):
        raise BadTake(f"--name {name}: cannot be the name of a file everywhere; {safe} can")
    elif name in taken:
        raise BadTake(f"--name {name}: {output} has a clip of this name; choose another")
    folder = output / FOLDER
    files = TakeFiles(name, output, folder / f"{HIDDEN_PREFIX}{name}{SUFFIX}", folder / f"{name}{SUFFIX}")
    try:
        output.mkdir(parents=True, exist_ok=True)
        refuse_links(output, [FOLDER])
        folder.mkdir(exist_ok=True)
        os.close(open_plain(files.recording, os.O_WRONLY | os.O_CREAT))
        files.recording.unlink()
    except OSError as error:
        raise not_writable(output, error) from error
    return files


def unfinished(output: Path) -> list[Path]:
    """Recordings that were never finished: their process was killed."""
    now = time.time()
    found = sorted((output / FOLDER).glob(f"{HIDDEN_PREFIX}*{SUFFIX}"))
    return [path for path in found if now - path.stat().st_mtime > STALE_S]


def run_command(video: Path, output: Path) -> str:
    """The command that makes the tables of a recording."""
    return f"facecap-batch run {shlex.quote(str(video))} --output {shlex.quote(str(output))}"


def _taken(output: Path) -> UsedIds:
    """The ids of the clips in a folder, recordings among them. Raises BadTake."""
    try:
        last_run, rows = read_reports(output)
    except NoRun:
        last_run, rows = {}, []
    if last_run.get("manifest"):
        raise BadTake(
            f"{output} belongs to the manifest {last_run['manifest']}; choose another --output for recordings"
        )
    videos = [path.stem.removeprefix(HIDDEN_PREFIX) for path in (output / FOLDER).glob(f"*{SUFFIX}")]
    return UsedIds((*videos, *(row["clip_id"] for row in rows)))
