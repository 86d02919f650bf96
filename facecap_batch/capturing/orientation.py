"""Noticing that a clip lies on its side although its file does not say so.

In: the small images that the detector was given anyway, and the faces it found in them. Out: the rotation in
which the clip shows faces, or nothing. A detector may well find a face that lies on its side, so a face
counts only if the regressor is also sure of it. A clip that shows faces upright in half of its first samples
is settled at the price of a few crops. Others are tried in the other three orientations, on a few stored
images spread over what has been decoded so far, and again each time twice as much has been decoded: a clip
without any face costs two dozen detections more per doubling of its length, and is never decoded again.
"""

from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np

from facecap_batch.capturing.detector import Detection, Detector
from facecap_batch.capturing.regressor import Regressor
from facecap_batch.video.frame import Frame
from facecap_batch.video.orientation import Orientation
from facecap_batch.video.scaling import FrameScalers

EARLY = 4  # samples after which a clip is settled if it shows faces
SAMPLES = 16  # small images kept at most; every second one is dropped when they are full
TRIED = 8  # of them that are tried in other orientations
ROTATIONS = (90, 270, 180)  # degrees counterclockwise; a phone held upright comes out as one of the first two
# Presence from which a face stands upright beyond doubt; score times presence from which it does so in a
# rotated image. The trial of three more orientations is three more chances of mistaking something for a
# face, and few files lie about their orientation: doubt keeps a clip as is.
SURE = 0.8
SETTLED_SHARE = 0.5  # of samples with a sure face upright: no question
ROTATED_SHARE = 0.25  # of samples with a sure face, at least, in the orientation that is chosen
ROTATED_STEADY = 0.6  # of samples in which the detector sees something there, those with a sure face
ROTATED_ADVANTAGE = 1.5  # sure faces against those of the upright image


def sample_stride(number: int) -> int:
    """Detection number `number` of a clip is a sample where this divides it.

    All are at first, then every second, and half as many again each time twice as many were made.
    """
    return 1 << max(0, number.bit_length() - (SAMPLES - 1).bit_length())


class OrientationWatcher:
    """Watches the detections of a clip until its orientation is beyond doubt."""

    def __init__(self, detector: Detector, regressor: Regressor) -> None:
        self._detector = detector
        self._regressor = regressor
        self._scalers = FrameScalers()
        self._samples: list[tuple[np.ndarray, Detection | None]] = []  # small image, its best face upright
        self.settled = False

    def observe(self, number: int, image: np.ndarray, faces: Sequence[Detection]) -> int:
        """Take one detection of the clip; only samples (see `sample_stride`) count.

        Args:
            number: Of the detection, from 0.
            image: uint8 [h, w, 3] RGB.
            faces: What was found in it, pixels of `image`.

        Returns:
            Degrees counterclockwise by which the clip has to be turned, or 0.
        """
        if self.settled or number % sample_stride(number):
            return 0
        self._samples.append((image, self._best(faces)))
        if number == EARLY - 1:
            seen = np.mean([face is not None for _, face in self._samples])
            # Only faces the detector sees are worth a trial this early: most clips begin before their face.
            return self.decide() if seen >= SETTLED_SHARE else 0
        if len(self._samples) < SAMPLES:
            return 0
        rotation = self.decide()
        self._samples = self._samples[::2]
        return rotation

    def decide(self) -> int:
        """Decide by the samples so far; to be called at the end of a clip that is not settled, too.

        Returns:
            As `observe`.
        """
        if self.settled or not self._samples:
            return 0
        frames = [(_as_frame(image, self._scalers), face) for image, face in self._samples]
        presence, upright = self._sure(frames)
        if np.mean(presence >= SURE) >= SETTLED_SHARE:
            self._settle()
            return 0
        step = -(-len(frames) // TRIED)
        needed = ROTATED_ADVANTAGE * float(upright[::step].sum())
        best = 0
        for rotation in ROTATIONS:
            rotated = [frame.rotated(rotation) for frame, _ in frames[::step]]
            faces = [self._best(seen) for seen in self._detector.detect([frame.rgb() for frame in rotated])]
            _, sure = self._sure(list(zip(rotated, faces, strict=True)))
            seen = sum(face is not None for face in faces)
            enough = max(1.0, ROTATED_SHARE * len(rotated), ROTATED_STEADY * seen)
            if (sure > 0).sum() >= enough and sure.sum() > needed:
                best, needed = rotation, float(sure.sum())
        if best:
            self._settle()
        return best

    def _settle(self) -> None:
        self.settled = True
        self._samples = []

    def _best(self, faces: Sequence[Detection]) -> Detection | None:
        best = max(faces, key=lambda face: face.score, default=None)
        return best if best is not None and best.score >= self._detector.score_threshold else None

    def _sure(self, samples: Sequence[tuple[Frame, Detection | None]]) -> tuple[np.ndarray, np.ndarray]:
        """Presence of a face, float64 [len(samples)], and score times presence where that is sure, else 0."""
        seen, sure = np.zeros(len(samples)), np.zeros(len(samples))
        rows = [row for row, (_, face) in enumerate(samples) if face is not None]
        if rows:
            crops = [self._regressor.crop(f, face.box).image for f, face in samples if face is not None]
            presence = self._regressor.read(crops).presence.astype(np.float64)
            scores = np.array([face.score for _, face in samples if face is not None])
            seen[rows] = presence
            sure[rows] = np.where(presence * scores >= SURE, presence * scores, 0.0)
        return seen, sure


def _as_frame(image: np.ndarray, scalers: FrameScalers) -> Frame:
    return Frame(0, 0, av.VideoFrame.from_ndarray(image, format="rgb24"), Orientation(), scalers)
