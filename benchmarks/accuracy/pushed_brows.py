"""What a regressor makes of brows alone: how far its coefficients follow brows that are pushed up or down.

    python benchmarks/accuracy/pushed_brows.py [--engines default] [--faces FOLDER...] [CLIP...]

In: clips, and folders of rendered faces (``faces_*.npz``). Crops of faces that look at the camera are bent so
that the brows lie some millimetres higher or lower, and nothing else changes: no skin folds, no lid moves.
Lengths are by the outer corners of the eyes, OUTER_CORNERS apart. Out: for each clip or folder the raw
coefficients, less those of the crop as it was, and how far the engine's own landmarks of the brows followed.
Who sees brows move and says nothing takes them for a feature of the person: on ICT-FaceKit's head browInnerUp
of 1 raises the inner ends of the brows by 5.3 mm, browOuterUp the outer ones by 6.7 mm, browDown lowers both
by 2.3 mm.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

import facecap_batch
from facecap_batch.capturing.context import CaptureContext
from facecap_batch.capturing.regressor import RegressorOutput
from facecap_batch.clip import Clip
from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import load_set
from facecap_batch.training.rendering.dataset import face_shards, load_faces, resized

OUTER_CORNERS = 90.0  # mm
PUSHES = (-4.0, -2.0, 2.0, 4.0)  # mm, up
MAX_YAW = 0.3  # radians
CROPS = 48  # of each clip or folder
EYES, BROWS, NOSE = slice(36, 48), slice(17, 27), (27, 33)  # landmarks; of the nose root and base
NAMES = ("browInnerUp", "browOuterUpLeft", "browOuterUpRight", "browDownLeft", "browDownRight")
CHANNELS = [ARKIT_NAMES.index(name) for name in NAMES]


def upward(landmarks: np.ndarray) -> np.ndarray:
    """Unit [2] from the nose's base to its root; landmarks [P, 2], pixels."""
    up: np.ndarray = landmarks[NOSE[0]] - landmarks[NOSE[1]]
    unit: np.ndarray = up / np.linalg.norm(up)
    return unit


def pushed(crop: np.ndarray, landmarks: np.ndarray, millimetres: float) -> np.ndarray:
    """The crop, uint8 [S, S, 3], with its brows so far higher; landmarks [P, 2], pixels. The skin gives way
    between the eyes and the brows, and above them."""
    up, eyes = upward(landmarks), landmarks[EYES].mean(0)
    brows = (landmarks[BROWS].mean(0) - eyes) @ up
    y, x = np.mgrid[: len(crop), : len(crop)].astype(np.float32)
    height = ((x - eyes[0]) * up[0] + (y - eyes[1]) * up[1]) / brows  # 0 at the eyes, 1 at the brows
    share = _step((height - 0.35) / 0.5) * (1 - _step((height - 1.3) / 1.4))
    pixels = millimetres / OUTER_CORNERS * np.linalg.norm(landmarks[36] - landmarks[45])
    moved = [(at - pixels * share * along).astype(np.float32) for at, along in ((x, up[0]), (y, up[1]))]
    return cv2.remap(crop, moved[0], moved[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _step(values: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    within = np.clip(values, 0, 1)
    smooth: np.ndarray = within * within * (3 - 2 * within)
    return smooth


def crops_of_clip(context: CaptureContext, path: Path) -> Iterator[np.ndarray]:
    """The surest face of every frame, cut as a run cuts it."""
    for frame in context.frames(context.open_video(Clip(path.stem, str(path)))):
        (faces,) = context.detector.detect([frame.rgb()])
        if faces:
            best = max(faces, key=lambda face: face.score)
            yield context.regressor.crop(frame, best.box).image


def crops_of_folder(folder: Path, size: int) -> Iterator[np.ndarray]:
    """Rendered faces whose brows rest."""
    for path in face_shards(folder):
        shard = load_faces(path)
        still = np.abs(shard.coefficients[:, CHANNELS]).max(1) < 0.1
        yield from resized(shard.image[still], size)


def report(name: str, context: CaptureContext, crops: Sequence[np.ndarray]) -> None:
    """Print what the regressor of `context` makes of `crops` with pushed brows."""
    if not crops:
        raise SystemExit(f"{name}: no face was found")
    plain = context.regressor.read(crops)
    facing = np.flatnonzero(np.abs(plain.angles[:, 0]) < MAX_YAW)
    facing = facing[np.linspace(0, len(facing) - 1, min(CROPS, len(facing))).astype(int)]
    size = len(crops[0])
    places = (plain.landmarks + 1) * (size / 2) - 0.5
    read = {
        push: context.regressor.read([pushed(crops[k], places[k], push) for k in facing]) for push in PUSHES
    }
    changes = [read[push].coefficients - plain.coefficients[facing] for push in PUSHES]
    cells = [" ".join(f"{change[:, k].mean():+.2f}" for change in changes) for k in CHANNELS]
    followed = np.mean([_followed(read[push], places[facing], push, size) for push in PUSHES])
    print(f"| {name} | {len(facing)} | " + " | ".join(cells) + f" | {followed:.2f} |", flush=True)


def _followed(read: RegressorOutput, places: np.ndarray, push: float, size: int) -> float:
    """Share of a push that the landmarks of the brows follow."""
    moved = (read.landmarks + 1) * (size / 2) - 0.5 - places
    asked = push / OUTER_CORNERS * np.linalg.norm(places[:, 36] - places[:, 45], axis=1)
    along = [(one[BROWS].mean(0) @ upward(place)) for one, place in zip(moved, places, strict=True)]
    return float(np.mean(along / asked))


def main() -> None:
    parser = argparse.ArgumentParser(description="How far coefficients follow brows that are pushed.")
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--engines", default="default")
    parser.add_argument("--backend", default="onnxruntime-cpu")
    parser.add_argument("--faces", type=Path, nargs="*", default=[], help="folders of rendered faces")
    arguments = parser.parse_args()
    settings = facecap_batch.CaptureSettings(landmarks=True)
    print(f"| crops, brows pushed by {', '.join(f'{push:+g}' for push in PUSHES)} mm | number | ", end="")
    print(" | ".join(NAMES) + " | landmarks follow |\n|" + " --- |" * (len(NAMES) + 3))
    detector, regressor = (open_engine(card, arguments.backend) for card in load_set(arguments.engines).cards)
    context = CaptureContext.of(detector, regressor, settings)
    for clip in arguments.clips:
        report(clip.stem, context, list(crops_of_clip(context, clip)))
    for folder in arguments.faces:
        crops = crops_of_folder(folder, regressor.card.input.size)
        report(str(folder), context, list(itertools.islice(crops, 4 * CROPS)))


if __name__ == "__main__":
    main()
