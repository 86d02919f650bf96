"""What backends are compared on: pictures for the detector and crops for the regressor.

In: videos, or nothing. Out: a `Sample`: pictures and crops as capture makes them of the videos, spread evenly
over their length, or painted ones (`painted`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facecap_batch.capturing.detector import Detector
from facecap_batch.capturing.regressor import Regressor
from facecap_batch.checks.synthetic_faces import painted_crops, painted_pictures
from facecap_batch.engines.cards import sha256_of
from facecap_batch.errors import BadVideo
from facecap_batch.video.decoder import Video, VideoInfo


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """One picture for the detector."""

    image: np.ndarray  # uint8 [H, W, 3] RGB, no longer than the detector's input
    scale: float  # of this picture against the one that it was made from
    label: str  # which one it is, for people


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """What a comparison is made on."""

    pictures: tuple[Picture, ...]
    crops: tuple[np.ndarray, ...]  # uint8 [S, S, 3] RGB each
    crop_labels: tuple[str, ...]
    kind: str  # "painted" | "videos"
    videos: tuple[tuple[str, str], ...] = ()  # name and SHA-256 of each


def painted_sample(pictures: int, crops: int, size: int) -> Sample:
    """Painted heads, always the same; crops of `size` pixels."""
    return Sample(
        tuple(
            Picture(image, 1.0, f"painted picture {k}") for k, image in enumerate(painted_pictures(pictures))
        ),
        tuple(painted_crops(crops, size)),
        tuple(f"painted crop {k}" for k in range(crops)),
        "painted",
    )


def video_sample(
    videos: Sequence[Path], pictures: int, crops: int, finder: Detector, reader: Regressor
) -> Sample:
    """At most so many pictures, and crops of the surest face where `finder` sees one, from all `videos`.

    Raises BadVideo where a video does not decode or no face is found in any.
    """
    lengths = []
    for path in videos:
        with Video(path, damage="keep") as video:
            lengths.append(_length(video.info))
    wanted = max(pictures, crops, 1)
    every = max(1, sum(lengths) // wanted)
    found: list[Picture] = []
    cut: list[np.ndarray] = []
    labels: list[str] = []
    seen = 0
    for path in videos:
        with Video(path, damage="keep") as video:
            for frame in video.frames():
                if frame.index % every:
                    continue
                label = f"{path.name} frame {frame.index}"
                small, scale = frame.small(finder.size)
                if len(found) < pictures and seen * pictures // wanted >= len(found):
                    found.append(Picture(small, scale, label))
                seen += 1
                faces = finder.detect([small])[0]
                if faces and len(cut) < crops:
                    cut.append(reader.crop(frame, faces[0].scaled(1 / scale).box).image)
                    labels.append(label)
    if crops and not cut:
        names = ", ".join(str(path) for path in videos)
        raise BadVideo(f"{names}: the detector finds no face to compare on; give videos of faces, or none")
    hashes = tuple((path.name, sha256_of(path)) for path in videos)
    return Sample(tuple(found), tuple(cut), tuple(labels), "videos", hashes)


def _length(info: VideoInfo) -> int:
    """About how many frames a video holds; 0 where it does not say."""
    if info.frames_declared:
        return info.frames_declared
    return int(info.end_s * info.fps) if info.end_s and info.fps else 0
