"""From images to boxes: letterbox, suppression, thresholds, and the whole with a real engine."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from facecap_batch.capturing.detector import Detector, iou, letterbox, non_maximum_suppression
from facecap_batch.engines.cards import BATCH, EngineCard, InputSpec
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import EngineSet
from facecap_batch.errors import ImpossibleOutput
from facecap_batch.importing.published_weights import detector_card


class Told:
    """An engine that says what it is told: it stands for a network whose boxes are known."""

    backend = "told"

    def __init__(self, boxes: np.ndarray, scores: np.ndarray, **postprocess: float) -> None:
        self.card: EngineCard = dataclasses.replace(
            detector_card("told", 320, len(scores)), postprocess=postprocess
        )
        self._boxes, self._scores = boxes.astype(np.float32), scores.astype(np.float32)
        self.seen: list[np.ndarray] = []

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        self.seen.append(batch)
        count = len(batch)
        return {"boxes": np.stack([self._boxes] * count), "scores": np.stack([self._scores] * count)}


def test_letterbox_keeps_the_aspect_and_the_top_left() -> None:
    image = np.full((90, 160, 3), 255, np.uint8)
    placed, scale = letterbox(image, InputSpec("image", (BATCH, 320, 320, 3)))
    assert scale == 2.0 and (placed[:180] == 255).all() and (placed[180:] == 127).all()
    placed, scale = letterbox(image.transpose(1, 0, 2), InputSpec("image", (BATCH, 80, 80, 3)))
    assert scale == 0.5 and (placed[:, :45] == 255).all() and (placed[:, 45:] == 127).all()


def test_a_detector_with_free_sides_sees_no_more_padding_than_its_step() -> None:
    spec = InputSpec("image", (BATCH, 320, 320, 3), step=64)
    placed, scale = letterbox(np.full((90, 160, 3), 255, np.uint8), spec)
    assert scale == 2.0 and placed.shape == (192, 320, 3) and (placed[180:] == 127).all()
    assert letterbox(np.zeros((2000, 1, 3), np.uint8), spec)[0].shape == (320, 64, 3)
    assert letterbox(np.zeros((7, 7, 3), np.uint8), spec)[0].shape == (320, 320, 3)


def test_overlap() -> None:
    box = np.array([0.0, 0, 10, 10])
    others = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 0, 0]])
    np.testing.assert_allclose(iou(box, others), [1, 1 / 3, 0, 0])
    assert non_maximum_suppression(others[[0, 1, 2]], 0.3) == [0, 2]
    assert non_maximum_suppression(others[[0, 1, 2]], 0.4) == [0, 1, 2]
    assert non_maximum_suppression(np.zeros((0, 4)), 0.3) == []


def test_boxes_come_back_in_pixels_of_the_image_given() -> None:
    boxes = np.array([[40, 20, 80, 60], [42, 20, 82, 60], [200, 100, 240, 140], [0, 0, 9, 9]])
    engine = Told(boxes, np.array([0.9, 0.95, 0.6, 0.4]), score_threshold=0.5, nms_iou=0.3)
    (faces,) = Detector(engine).detect([np.zeros((360, 640, 3), np.uint8)])
    assert [round(face.score, 3) for face in faces] == [0.95, 0.6]
    np.testing.assert_allclose(faces[0].box, [84, 40, 164, 120])
    np.testing.assert_allclose(faces[1].scaled(0.5).box, [200, 100, 240, 140])
    assert engine.seen[0].dtype == np.uint8 and engine.seen[0].shape == (1, 320, 320, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf, 6e37])
def test_boxes_and_scores_that_cannot_be_are_an_error(value: float) -> None:
    image, box = np.zeros((180, 320, 3), np.uint8), [10, 10, 50, 50]
    with pytest.raises(ImpossibleOutput, match="output 'boxes' says"):
        Detector(Told(np.array([[value, 0, 10, 10], box]), np.array([0.9, 0.8]))).detect([image])
    if not np.isfinite(value):
        with pytest.raises(ImpossibleOutput, match="output 'scores' says"):
            Detector(Told(np.array([box, box]), np.array([value, 0.8]))).detect([image])


def test_faces_imagined_in_the_padding_and_broken_boxes_are_dropped() -> None:
    boxes = np.array([[10, 250, 60, 300], [30, 20, 30, 60], [10, 10, 50, 50]])
    engine = Told(boxes, np.array([0.9, 0.9, 0.8]))
    (faces,) = Detector(engine).detect([np.zeros((180, 320, 3), np.uint8)])
    assert [face.score for face in faces] == [np.float32(0.8)]


def test_at_most_top_k_faces_and_lower_thresholds_on_request() -> None:
    boxes = np.array([[k * 30, 0, k * 30 + 20, 20] for k in range(9)])
    engine = Told(boxes, np.linspace(0.9, 0.1, 9), top_k=3, score_threshold=0.5)
    detector = Detector(engine)
    image = np.zeros((320, 320, 3), np.uint8)
    assert len(detector.detect([image])[0]) == 3
    engine = Told(boxes, np.linspace(0.9, 0.1, 9), score_threshold=0.5)
    detector = Detector(engine)
    assert len(detector.detect([image])[0]) == 5
    assert len(detector.detect([image], 0.2)[0]) == 8
    assert detector.detect([]) == []


def test_a_detector_that_wants_normalised_bgr_planes_is_fed_them() -> None:
    engine = Told(np.zeros((1, 4)), np.zeros(1))
    engine.card = dataclasses.replace(
        engine.card,
        input=InputSpec(
            "image", (BATCH, 3, 64, 64), "float32", "NCHW", "BGR", (100.0, 110.0, 120.0), (2.0, 2.0, 2.0)
        ),
    )
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0] = 120  # red
    Detector(engine).detect([image])
    (batch,) = engine.seen
    assert batch.shape == (1, 3, 64, 64) and batch.dtype == np.float32
    np.testing.assert_array_equal(batch[0, :, 0, 0], [-50, -55, 0])


def test_a_real_engine_sees_the_same_alone_and_in_a_batch(random_engines: EngineSet) -> None:
    detector = Detector(open_engine(random_engines.detector, "onnxruntime-cpu"))
    rng = np.random.default_rng(5)
    images = [rng.integers(0, 255, (90 + 20 * k, 160, 3), dtype=np.uint8) for k in range(3)]
    together = detector.detect(images)
    assert any(together)
    for image, faces in zip(images, together, strict=True):
        (alone,) = detector.detect([image])
        assert len(alone) == len(faces)
        for a, b in zip(alone, faces, strict=True):
            np.testing.assert_allclose(a.box, b.box, atol=1e-3)
            assert abs(a.score - b.score) < 1e-5
            height, width = image.shape[:2]
            assert -width < a.box[0] < a.box[2] < 2 * width and -height < a.box[1] < a.box[3] < 2 * height
