"""Noticing that a clip lies on its side although its file does not say so.

In: the small images that the detector has looked at anyway, and whether it was sure of a face in them. Out:
the quarter turn in which faces appear, or nothing. Only clips in which the upright picture shows faces in
less than half of the samples are tried in the other three orientations, on at most `SAMPLES` stored images
spread evenly over what has been decoded so far, and again each time twice as much has been decoded: a clip
without any face costs a few dozen detections more per doubling of its length and is never decoded again for
it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facecap_batch.detection import Detection, Detector

SAMPLES = 16  # small images kept and tried; even, because every second one is dropped when they are full
TURNS = (90, 270, 180)  # degrees counterclockwise; a phone held upright comes out as one of the first two
SETTLED_SHARE = 0.5  # of samples with a face upright: no question
TURNED_SHARE = 0.25  # of samples with a face, at least, in the orientation that is chosen
TURNED_ADVANTAGE = 1.5  # total score against the upright picture's


class Uprighting:
    """Watches the detections of a clip until its orientation is beyond doubt."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._images: list[np.ndarray] = []
        self._scores: list[float] = []
        self._stride = 1
        self._seen = 0
        self.settled = False

    def observe(self, image: np.ndarray, faces: Sequence[Detection]) -> int:
        """Take one detected image [h, w, 3]; return degrees counterclockwise to turn the clip by, or 0."""
        number = self._seen
        self._seen += 1
        if self.settled or number % self._stride:
            return 0
        self._images.append(image)
        self._scores.append(self._best(faces))
        if len(self._images) < SAMPLES:
            return 0
        turn = self.decide()
        self._images, self._scores = self._images[::2], self._scores[::2]
        self._stride *= 2
        return turn

    def decide(self) -> int:
        """Judge by what was seen so far; also to be called at the end of a clip that is not settled."""
        if self.settled or not self._images:
            return 0
        upright = np.array(self._scores)
        if np.mean(upright > 0) >= SETTLED_SHARE:
            self._settle()
            return 0
        needed = TURNED_ADVANTAGE * upright.sum()
        best = 0
        for turn in TURNS:
            turned = [np.ascontiguousarray(np.rot90(image, turn // 90)) for image in self._images]
            scores = np.array([self._best(faces) for faces in self._detector.detect(turned)])
            enough = max(1, TURNED_SHARE * len(scores))
            if (scores > 0).sum() >= enough and scores.sum() > needed:
                best, needed = turn, float(scores.sum())
        if best:
            self._settle()
        return best

    def _best(self, faces: Sequence[Detection]) -> float:
        best = max((face.score for face in faces), default=0.0)
        return best if best >= self._detector.score_threshold else 0.0

    def _settle(self) -> None:
        self.settled = True
        self._images, self._scores = [], []
