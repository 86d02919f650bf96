"""The run at a glance: how far it is, how fast it was, what failed and what to do about it.

In: the reports and the ledger of a folder. Out: `Overview`.
"""

from __future__ import annotations

import collections
import dataclasses
import shlex
from collections.abc import Sequence

from facecap_batch.output.ledger import DONE, FAILED
from facecap_batch.output.reports import PENDING, read_reports
from facecap_batch.output.status import ErrorKind, status
from facecap_batch.reporting.takes import TakeRow
from facecap_batch.storage.publish import StoragePath

LITTLE_SEEN = 0.5  # share of frames with a face, below which a take deserves a look


@dataclasses.dataclass(frozen=True)
class Advice:
    """Something to do, of which takes, and by which command."""

    kind: str  # failed | pending | no_face | little_seen: what the list is filtered by
    count: int  # takes
    text: str
    command: str = ""


@dataclasses.dataclass(frozen=True)
class Overview:
    """A run, and its folder."""

    folder: str
    state: str  # running | finished | interrupted | broken | killed
    clips: int
    done: int
    failed: int
    pending: int
    frames: int  # of all done clips
    frames_with_face: int
    video_s: float  # seconds of video, of all done clips
    fps: float  # frames per second of wall time; 0: not known
    times_real: float  # seconds of video per second of wall time; 0: not known
    elapsed_s: float  # of the last run, wall time; 0: not known
    started_at: str  # UTC, ISO 8601
    tool_version: str
    executor: str
    workers: int
    backends: tuple[str, ...]
    engines: str  # name of the set
    errors: tuple[ErrorKind, ...]
    advice: tuple[Advice, ...]


def overview(output: StoragePath, takes: Sequence[TakeRow]) -> Overview:
    """The run of `output`, whose takes are `takes`. Raises NoRun."""
    found = status(output)
    run, rows = read_reports(output)
    elapsed = run.get("elapsed_s") or 0.0
    config = run["config"] if isinstance(run["config"], dict) else {}
    backends = collections.Counter(row["backend"] for row in rows if row["backend"])
    return Overview(
        folder=str(output.absolute()),
        state=found.state,
        clips=found.clips,
        done=found.done,
        failed=found.failed,
        pending=found.pending,
        frames=found.frames,
        frames_with_face=found.frames_with_face,
        video_s=found.video_s,
        fps=found.fps,
        times_real=run.get("video_s", 0.0) / elapsed if elapsed else 0.0,
        elapsed_s=elapsed,
        started_at=run["started_at"],
        tool_version=run.get("tool_version", ""),
        executor=run.get("executor", ""),
        workers=run.get("workers", 0),
        backends=tuple(name for name, _ in backends.most_common()),
        engines=str(config.get("engines", "")),
        errors=found.errors,
        advice=tuple(_advice(output, takes)),
    )


def _advice(output: StoragePath, takes: Sequence[TakeRow]) -> list[Advice]:
    folder = shlex.quote(str(output))
    done = [take for take in takes if take.status == DONE]
    faceless = [take for take in done if not take.frames_with_face]
    little = [take for take in done if 0 < (take.frames_with_face or 0) < LITTLE_SEEN * (take.frames or 0)]
    waiting = sum(take.status == PENDING for take in takes)
    failed = sum(take.status == FAILED for take in takes)
    given = [
        Advice(
            "failed",
            failed,
            "failed. Each row says why and what to do; then try these alone again:",
            f"facecap-batch retry {folder}",
        ),
        Advice("pending", waiting, "not done yet. The command of the run goes on where it stopped."),
        Advice(
            "no_face",
            len(faceless),
            "without any face. Look whether there is one, large and upright enough:",
            f"facecap-batch preview {folder} --sheet" + _named(faceless),
        ),
        Advice(
            "little_seen",
            len(little),
            "in which the face is lost for more than half of the time. Look where:",
            f"facecap-batch preview {folder} --sheet" + _named(little),
        ),
    ]
    return [advice for advice in given if advice.count]


def _named(takes: Sequence[TakeRow]) -> str:
    """The options that name the first few takes; a list of hundreds is no command to paste."""
    return "".join(f" --clip {shlex.quote(take.clip_id)}" for take in takes[:3])
