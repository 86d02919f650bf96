"""What backends are compared on: images for the detector and crops for the regressor.

In: videos, or nothing. Out: a `Sample`: images and crops as a capture makes them of the videos, spread evenly
over their length, or synthetic ones (`synthetic_faces`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facecap_batch.capturing.detector import Detector
from facecap_batch.capturing.regressor import Regressor
from facecap_batch.checks.synthetic_faces import synthetic_crops, synthetic_images
from facecap_batch.engines.cards import sha256_of
from facecap_batch.errors import BadVideo
from facecap_batch.video.decoder import Video
from facecap_batch.video.info import VideoInfo


@dataclasses.dataclass(frozen=True, eq=False)
class SampleImage:
    """One image for the detector."""

    image: np.ndarray  # uint8 [H, W, 3] RGB, no longer than the detector's input
    scale: float  # pixels of this image per pixel of the frame that it was made from
    label: str  # which one it is, for people


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """What a comparison is made on."""

    images: tuple[SampleImage, ...]
    crops: tuple[np.ndarray, ...]  # uint8 [S, S, 3] RGB each
    crop_labels: tuple[str, ...]
    kind: str  # "synthetic" | "videos"
    videos: tuple[tuple[str, str], ...] = ()  # name and SHA-256 of each


def synthetic_sample(images: int, crops: int, size: int) -> Sample:
    """Synthetic faces, always the same; crops of `size` pixels."""
    return Sample(
        tuple(
            SampleImage(image, 1.0, f"synthetic image {number}")
            for number, image in enumerate(synthetic_images(images))
        ),
        tuple(synthetic_crops(crops, size)),
        tuple(f"synthetic crop {number}" for number in range(crops)),
        "synthetic",
    )


def video_sample(
    videos: Sequence[Path], images: int, crops: int, detector: Detector, regressor: Regressor
) -> Sample:
    """Images from all `videos`, and crops of the surest face where there is one.

    Args:
        videos: Paths or URIs.
        images: How many, at most.
        crops: How many, at most.
        detector: Finds the faces that are cropped.
        regressor: Gives the crops their size.

    Raises:
        BadVideo: A video does not decode, or no face is found in any.
    """
    lengths = []
    for path in videos:
        with Video(path, damage="keep") as video:
            lengths.append(_length(video.info))
    wanted = max(images, crops, 1)
    every = max(1, sum(lengths) // wanted)
    found: list[SampleImage] = []
    cut: list[np.ndarray] = []
    labels: list[str] = []
    taken = 0
    for path in videos:
        with Video(path, damage="keep") as video:
            for frame in video.frames():
                if frame.index % every:
                    continue
                label = f"{path.name} frame {frame.index}"
                small, scale = frame.small(detector.size)
                if len(found) < images and taken * images // wanted >= len(found):
                    found.append(SampleImage(small, scale, label))
                taken += 1
                faces = detector.detect([small])[0]
                if faces and len(cut) < crops:
                    cut.append(regressor.crop(frame, faces[0].scaled(1 / scale).box).image)
                    labels.append(label)
    if crops and not cut:
        names = ", ".join(str(path) for path in videos)
        raise BadVideo(f"{names}: the detector finds no face to compare on; give videos of faces, or none")
    hashes = tuple((path.name, sha256_of(path)) for path in videos)
    return Sample(tuple(found), tuple(cut), tuple(labels), "videos", hashes)


def _length(info: VideoInfo) -> int:
    """About how many frames a video holds; 0 where the container does not tell."""
    if info.frames_declared:
        return info.frames_declared
    return int(info.end_s * info.fps) if info.end_s and info.fps else 0
