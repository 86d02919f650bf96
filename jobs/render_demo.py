"""Render the demo clips and their ground truth: nobody real is in them.

    python jobs/render_demo.py --ict ICT-FaceKit/FaceXModel --makehuman makehuman --output manifests

Four clips of a few seconds: speech with blinks and smiles; a portrait phone clip with display rotation;
head turns with the face hidden for a while; a scene without anybody. Beside each clip with a face lies
``*.truth.parquet``, a table with the columns of a run's own output.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import av
import cv2
import numpy as np
import typer

from facecap_batch.coefficients import ClipInfo, CoefficientTable, write_parquet
from facecap_batch.geometry import focal_length, matrix_from_euler
from facecap_batch.storage.publish import published
from facecap_batch.training.people.appearance import person
from facecap_batch.training.people.rig import Rig
from facecap_batch.training.people.sources import Sources
from facecap_batch.training.rendering import degrade, raster
from facecap_batch.training.rendering.performance import head_motion, performance
from facecap_batch.training.rendering.scene import Camera, draw, random_light


@dataclasses.dataclass(frozen=True)
class Clip:
    """What is rendered."""

    name: str
    width: int  # pixels, upright
    height: int
    fps: Fraction
    seconds: float
    seed: int
    distance: float = 0.0  # centimetres from the camera; 0: nobody is there
    swing: float = 0.0  # radians, head motion
    hidden: tuple[float, float] = (0.0, 0.0)  # seconds, when a card is held before the face
    rotation: int = 0  # degrees counterclockwise that a player must rotate the coded image


CLIPS = (
    Clip("speaking", 640, 480, Fraction(30), 5.0, seed=21, distance=75, swing=0.12),
    Clip("portrait", 360, 640, Fraction(30000, 1001), 4.0, seed=8, distance=62, swing=0.15, rotation=270),
    Clip("turning", 640, 360, Fraction(25), 5.0, seed=31, distance=85, swing=0.5, hidden=(2.2, 3.2)),
    Clip("empty", 640, 360, Fraction(25), 3.0, seed=4),
)


def _backdrop(clip: Clip, rng: np.random.Generator) -> np.ndarray:
    square = degrade.background(rng, 256)
    grown = cv2.resize(square, (clip.width, clip.height), interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur(grown, (0, 0), 3)


def _card(clip: Clip, frame: np.ndarray, box: np.ndarray, time: float) -> bool:
    """Hold a card before the face while it is hidden; True when it covers it."""
    start, end = clip.hidden
    if start == end or not start - 0.3 < time < end + 0.3:
        return False
    away = float(np.clip(max(start - time, time - end) / 0.3, 0, 1)) * clip.height
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2 + away])
    half = np.array([box[2] - box[0], box[3] - box[1]]) * [0.85, 0.8]
    corners = np.round([centre - half, centre + half]).astype(int)
    cv2.rectangle(frame, tuple(corners[0].tolist()), tuple(corners[1].tolist()), (214, 208, 190), -1)
    for line in range(3):
        y = int(centre[1] - half[1] * 0.4 + line * half[1] * 0.4)
        cv2.line(frame, (int(corners[0][0] + 12), y), (int(corners[1][0] - 12), y), (120, 120, 130), 3)
    return away < 0.2 * clip.height


def frames_of(clip: Clip, rig: Rig) -> tuple[list[np.ndarray], CoefficientTable | None]:
    """The upright frames of `clip`, uint8 [height, width, 3], and their truth."""
    rng = np.random.default_rng(clip.seed)
    backdrop = _backdrop(clip, rng)
    count = round(clip.seconds * clip.fps)
    times = np.array([float(n / clip.fps) for n in range(count)])
    grain = np.random.default_rng([clip.seed, 1])

    def finished(image: np.ndarray) -> np.ndarray:
        soft = cv2.GaussianBlur(image, (0, 0), 0.6).astype(np.float32)
        return np.clip(soft + grain.normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)

    if not clip.distance:
        shift = np.round(8 * np.sin(times * 2)).astype(int)
        return [finished(np.roll(backdrop, step, axis=1)) for step in shift], None
    who, light = person(rig, rng), random_light(rng)
    coefficients = performance(times, rng)
    angles = head_motion(times, rng, clip.swing)
    rotations = matrix_from_euler(angles)
    sway = head_motion(times, rng, 6.0)[:, :3] * [0.5, 0.15, 0.5]
    positions = np.array([0.0, 3.0, -clip.distance]) + sway
    camera = Camera(clip.width, clip.height, focal_length(clip.width, clip.height))
    frames, boxes, seen = [], [], []
    for row in range(count):
        drawing = draw(rig.model, who, coefficients[row], rotations[row], positions[row], camera, light)
        if drawing.lens is not None:
            degrade.lens_glare(drawing.rgba, drawing.lens, who.lens, np.random.default_rng(clip.seed))
        frame = finished(raster.over(drawing.rgba, backdrop))
        seen.append(not _card(clip, frame, drawing.box, times[row]))
        frames.append(frame)
        boxes.append(drawing.box)
    info = ClipInfo(
        clip.name,
        f"demo/{clip.name}.mp4",
        clip.width,
        clip.height,
        clip.fps,
        1 / clip.fps / 1000,
        clip.rotation,
        False,
    )
    table = CoefficientTable(
        info=info,
        frame_index=np.arange(count, dtype=np.int32),
        pts=np.arange(count, dtype=np.int64) * 1000,
        face_found=np.array(seen),
        score=np.ones(count, np.float32),
        box=np.array(boxes, np.float32),
        coefficients=coefficients,
        head=np.concatenate([angles, positions], axis=1).astype(np.float32),
        metadata={"truth": "rendered"},
    )
    return frames, table


def encode(clip: Clip, frames: list[np.ndarray], path: Path) -> None:
    """Publish `frames` as H.264 in MP4, rotated back by the clip's display rotation."""
    quarters = clip.rotation // 90
    coded = [np.ascontiguousarray(np.rot90(frame, -quarters)) for frame in frames]
    with published(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=clip.fps, options={"crf": "24", "preset": "slow", "threads": "1"}
        )
        stream.height, stream.width = coded[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for number, image in enumerate(coded):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, 1 / clip.fps
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if clip.rotation:
        _set_rotation(path, clip.rotation)


def _set_rotation(path: Path, degrees: int) -> None:
    """Write the display matrix of the only track header of an MP4 (ISO/IEC 14496-12, 8.3.2), in place."""
    data = bytearray(path.read_bytes())
    header = data.find(b"tkhd")
    version = data[header + 4]
    matrix = header + 4 + (52 if version == 1 else 40)
    # Clockwise rotations of the coded image, as 16.16 and 2.30 fixed point: a b u c d v x y w.
    a, b = {90: (0, -1), 180: (-1, 0), 270: (0, 1)}[degrees]
    entries = [a << 16, b << 16, 0, -b << 16, a << 16, 0, 0, 0, 1 << 30]
    data[matrix : matrix + 36] = b"".join(entry.to_bytes(4, "big", signed=True) for entry in entries)
    with published(path) as temporary:
        temporary.write_bytes(data)


def main(
    ict: Annotated[Path, typer.Option(help="ICT-FaceKit's FaceXModel folder")],
    output: Annotated[Path, typer.Option(help="the manifests folder")] = Path("manifests"),
    makehuman: Annotated[
        Path | None, typer.Option(help="folder of MakeHuman's skins and brows, see docs/training.md")
    ] = None,
    cache: Annotated[Path, typer.Option(help="cache of what is read from these folders")] = Path("data"),
) -> None:
    """Render the demo; see the module's docstring."""
    cv2.setNumThreads(1)
    rig = Sources(ict, makehuman, cache).load()
    for clip in CLIPS:
        frames, truth = frames_of(clip, rig)
        path = output / "demo" / f"{clip.name}.mp4"
        encode(clip, frames, path)
        if truth is not None:
            write_parquet(truth, path.with_suffix(".truth.parquet"))
        print(f"{path}: {len(frames)} frames, {path.stat().st_size / 1e6:.2f} MB")
    lines = ["path,clip_id", *(f"demo/{clip.name}.mp4,{clip.name}" for clip in CLIPS)]
    with published(output / "demo.csv") as temporary:
        temporary.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)
