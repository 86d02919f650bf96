"""Published FaceBoxes weights, imported, find the faces of real videos. Skipped where footage and weights are
absent.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from facecap_batch.capturing.detector import Detector, iou
from facecap_batch.engines.registry import open_engine
from facecap_batch.importing.published_weights import import_faceboxes
from facecap_batch.video.decoder import decode

SHARED = Path(__file__).resolve().parents[3] / "shared"
WEIGHTS = SHARED / "peers" / "FaceBoxesProd.pth"
CLIPS = SHARED / "clips"

pytestmark = [
    pytest.mark.footage,
    pytest.mark.skipif(not WEIGHTS.is_file() or not CLIPS.is_dir(), reason="no footage or weights here"),
]


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    card = import_faceboxes(WEIGHTS, tmp_path_factory.mktemp("faceboxes"))
    return Detector(open_engine(card, "onnxruntime-cpu"))


def some_frames(name: str, step: int) -> tuple[list[int], list[np.ndarray]]:
    (path,) = CLIPS.glob(f"{name}.m*")
    frames = [(frame.index, frame.image) for frame in decode(path) if frame.index % step == 0]
    return [index for index, _ in frames], [image for _, image in frames]


@pytest.mark.parametrize("name", ["single_face", "grid_bbaf2n", "intel_asl_again", "intel_asl_sister"])
def test_faces_are_where_another_tool_sees_them(detector: Detector, name: str) -> None:
    indices, images = some_frames(name, 12)
    rows = pq.read_table(CLIPS / "reference_mediapipe" / f"{name}.parquet").to_pylist()
    for index, faces in zip(indices, detector.detect(images), strict=True):
        row = rows[index]
        if row["face_found"]:
            known = np.array([row[side] for side in ("x0", "y0", "x1", "y1")], np.float32)
            assert faces, index
            assert iou(known, np.stack([face.box for face in faces])).max() > 0.5, index


@pytest.mark.parametrize("name", ["intel_asl_book", "intel_asl_walk"])
def test_small_faces_are_found(detector: Detector, name: str) -> None:
    _, images = some_frames(name, 12)
    assert all(detector.detect(images))


def test_no_face_where_there_is_none(detector: Detector) -> None:
    _, images = some_frames("no_face", 12)
    assert not any(detector.detect(images))
