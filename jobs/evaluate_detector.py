"""A detector on real videos: faces found, false faces, speed.

    python jobs/evaluate_detector.py --engine engines/default/detector.json --clips CLIPS \\
        --reference CLIPS/reference_mediapipe --second faceboxes/detector.json

In: a detector's card; videos; optionally per video a Parquet table of another tool's faces (``face_found``,
``x0 y0 x1 y1`` pixels, one row per frame), and a second detector to count beside it. Out: one line per video.
Footage is only measured, never trained on.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import pyarrow.parquet as pq
import typer

from facecap_batch.capturing.detector import Detection, Detector, iou
from facecap_batch.engines.cards import read_card, write_card
from facecap_batch.engines.registry import open_engine
from facecap_batch.video.decoder import decode

SAME_FACE_IOU = 0.4  # two tools' boxes of one face: one ends at the hairline, the other at the brows
BATCH = 8
VIDEOS = (".mp4", ".mkv", ".mov", ".mpg", ".webm", ".avi")


@dataclasses.dataclass
class FaceCounts:
    """Counts over one video."""

    frames: int = 0
    found: int = 0  # frames with any face
    faces: int = 0
    referenced: int = 0  # frames where the reference has a face
    agreed: int = 0  # of those, frames where one of ours is the same face
    second: int = 0  # frames where the second detector has a face
    second_agreed: int = 0
    unconfirmed: int = 0  # our faces that neither of the two has
    overlap: list[float] = dataclasses.field(default_factory=list)
    length: list[float] = dataclasses.field(default_factory=list)  # pixels in the detector's input
    seconds: float = 0.0


def read_reference(path: Path | None) -> list[np.ndarray | None] | None:
    """Per frame the reference's box float32 [4], or None where it has no face."""
    if path is None or not path.is_file():
        return None
    rows = pq.read_table(path).to_pylist()  # a table without any face may lack the box columns
    return [
        np.array([row[side] for side in ("x0", "y0", "x1", "y1")], np.float32) if row["face_found"] else None
        for row in rows
    ]


def best_iou(box: np.ndarray, detections: list[Detection]) -> float:
    return float(iou(box, np.stack([d.box for d in detections])).max()) if detections else 0.0


def measure(
    clip: Path,
    detector: Detector,
    second: Detector | None,
    reference: list[np.ndarray | None] | None,
    step: int,
) -> FaceCounts:
    """Run over every `step`-th frame of `clip`."""
    counts = FaceCounts()
    pending: list[tuple[int, np.ndarray]] = []

    def flush() -> None:
        images = [image for _, image in pending]
        began = time.perf_counter()
        ours = detector.detect(images)
        counts.seconds += time.perf_counter() - began
        theirs = second.detect(images) if second else [[] for _ in images]
        for (index, image), mine, other in zip(pending, ours, theirs, strict=True):
            known = reference[index] if reference and index < len(reference) else None
            counts.frames += 1
            counts.found += bool(mine)
            counts.faces += len(mine)
            scale = detector.size / max(image.shape[:2])
            counts.length += [float(max(d.box[2:] - d.box[:2])) * scale for d in mine[:1]]
            if known is not None:
                counts.referenced += 1
                overlap = best_iou(known, mine)
                counts.agreed += overlap >= SAME_FACE_IOU
                counts.overlap.append(overlap)
            if other:
                counts.second += 1
                counts.second_agreed += best_iou(other[0].box, mine) >= SAME_FACE_IOU
            for face in mine:
                confirmed = best_iou(face.box, other) > 0.2
                confirmed |= known is not None and best_iou(known, [face]) > 0.2
                counts.unconfirmed += not confirmed
        pending.clear()

    for frame in decode(clip, damage="keep"):
        if frame.index % step == 0:
            pending.append((frame.index, frame.image))
        if len(pending) == BATCH:
            flush()
    if pending:
        flush()
    return counts


def main(
    engine: Annotated[Path, typer.Option(help="the detector's card")],
    clips: Annotated[Path, typer.Option(help="folder of videos, searched below too")],
    reference: Annotated[Path | None, typer.Option(help="folder of tables, <video's stem>.parquet")] = None,
    second: Annotated[Path | None, typer.Option(help="card of a detector to count beside it")] = None,
    step: Annotated[int, typer.Option(help="take every n-th frame")] = 1,
    threshold: Annotated[float | None, typer.Option(help="score, instead of the card's")] = None,
    record: Annotated[bool, typer.Option(help="write the totals into the engine's card")] = False,
) -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    detector = Detector(open_engine(read_card(engine)))
    if threshold is not None:
        detector.score_threshold = threshold
    other = Detector(open_engine(read_card(second))) if second else None
    typer.echo(
        f"{'video':24} {'frames':>6} {'found':>6} {'faces':>6} {'reference':>9} {'agreed':>7} {'IoU':>5} "
        f"{'second':>6} {'agreed':>7} {'unconf.':>7} {'px':>5} {'ms':>5}"
    )
    total = FaceCounts()
    for clip in sorted(path for path in clips.rglob("*") if path.suffix.lower() in VIDEOS):
        table = reference / f"{clip.stem}.parquet" if reference else None
        counts = measure(clip, detector, other, read_reference(table), step)
        for field in dataclasses.fields(FaceCounts):
            setattr(total, field.name, getattr(total, field.name) + getattr(counts, field.name))
        _line(clip.stem, counts)
    _line("all", total)
    if record:
        card = read_card(engine)
        write_card(dataclasses.replace(card, quality={**card.quality, "videos": figures(total)}), engine)


def figures(t: FaceCounts) -> dict[str, float]:
    """The totals, as a card holds them."""
    return {
        "frames": t.frames,
        "reference_faces": t.referenced,
        "of_them_found": round(t.agreed / max(t.referenced, 1), 4),
        "second_detector_faces": t.second,
        "of_those_found": round(t.second_agreed / max(t.second, 1), 4),
        "faces_nobody_else_sees_per_frame": round(t.unconfirmed / max(t.frames, 1), 4),
    }


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def _line(name: str, t: FaceCounts) -> None:
    typer.echo(
        f"{name:24} {t.frames:6} {percent(t.found, t.frames):>6} {t.faces:6} {t.referenced:9} "
        f"{percent(t.agreed, t.referenced):>7} {np.mean(t.overlap) if t.overlap else np.nan:5.2f} "
        f"{t.second:6} "
        f"{percent(t.second_agreed, t.second):>7} {t.unconfirmed:7} "
        f"{np.median(t.length) if t.length else np.nan:5.0f} {1e3 * t.seconds / max(t.frames, 1):5.1f}"
    )


if __name__ == "__main__":
    typer.run(main)
