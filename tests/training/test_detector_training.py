"""Scenes, matching and loss of the detector's training, on a few tiny hand-made heads."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facecap_batch.engines.cards import read_card
from facecap_batch.engines.registry import open_engine
from facecap_batch.errors import FacecapError
from facecap_batch.importing.networks.faceboxes import FaceBoxes, decode, encode
from facecap_batch.training.detector import scenes as detector_scenes
from facecap_batch.training.detector.backdrops import Backdrops, backdrop
from facecap_batch.training.detector.losses import (
    BACKGROUND,
    DOUBTFUL,
    Targets,
    corners,
    detection_loss,
    match,
    overlaps,
)
from facecap_batch.training.detector.scenes import SceneMaker
from facecap_batch.training.detector.tiles import HeadTiles

ROOT = Path(__file__).resolve().parents[2]
TILE = 64
FACE = np.array([20, 16, 44, 46], np.float32)  # x0 y0 x1 y1, tile pixels


def write_heads(folder: Path, shards: int = 7, count: int = 4) -> Path:
    """Pure green heads with a pure red face, in the format of the synthesis job."""
    folder.mkdir(parents=True, exist_ok=True)
    tile = np.zeros((TILE, TILE, 4), np.uint8)
    cv2.ellipse(tile, (32, 30), (18, 24), 0, 0, 360, (0, 255, 0, 255), -1)
    cv2.rectangle(tile, (12, 50), (52, TILE), (0, 0, 255, 255), -1)
    centre, axes = ((FACE[:2] + FACE[2:]) / 2).astype(int), ((FACE[2:] - FACE[:2]) / 2).astype(int)
    cv2.ellipse(tile, centre.tolist(), axes.tolist(), 0, 0, 360, (255, 0, 0, 255), -1)
    for number in range(shards):
        np.savez(
            folder / f"heads_{number:04d}.npz",
            rgba=np.repeat(tile[None], count, 0),
            box=np.repeat(FACE[None], count, 0),
            yaw_pitch_roll=np.zeros((count, 3), np.float32),
        )
    return folder


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_heads(tmp_path_factory.mktemp("heads"))


@pytest.fixture(scope="module")
def maker(heads: Path) -> SceneMaker:
    return SceneMaker(HeadTiles(heads), 160, seed=1, backdrops=Backdrops(1, count=6, size=200))


def test_scenes_depend_on_their_number_alone(heads: Path, maker: SceneMaker) -> None:
    again = SceneMaker(HeadTiles(heads), 160, seed=1, backdrops=Backdrops(1, count=6, size=200))
    first = [maker.make(number) for number in range(6)]
    for number in reversed(range(6)):
        scene = again.make(number)
        np.testing.assert_array_equal(scene.image, first[number].image)
        np.testing.assert_array_equal(scene.boxes, first[number].boxes)
    assert any((a.image != b.image).any() for a, b in itertools.pairwise(first))


def test_scenes_hold_what_they_say(maker: SceneMaker) -> None:
    scenes = [maker.make(number) for number in range(150)]
    counts = np.bincount([len(scene.boxes) for scene in scenes], minlength=3)
    assert counts[0] > 5
    assert counts[1] > 20
    assert counts[2:].sum() > 10
    lengths = [max(box[2:] - box[:2]) for scene in scenes for box in scene.boxes]
    assert min(lengths) < 20
    assert max(lengths) > 100
    for scene in scenes:
        assert scene.image.shape == (160, 160, 3)
        assert scene.image.dtype == np.uint8
        assert scene.boxes.dtype == np.float32
        assert (scene.boxes[:, 2:] > scene.boxes[:, :2]).all()
        for box in scene.boxes:
            centre = (box[:2] + box[2:]) / 2
            assert (centre > -20).all() and (centre < 180).all()


def test_boxes_lie_on_faces(maker: SceneMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a black world and a perfect camera, what is red is a face."""
    monkeypatch.setattr(detector_scenes, "_camera", lambda image, rng, kept: image)
    monkeypatch.setattr(detector_scenes, "_occlude", lambda *arguments: 0.0)
    monkeypatch.setattr(SceneMaker, "_distract", lambda *arguments: None)
    monkeypatch.setattr(maker._backdrops, "window", lambda rng, size: np.zeros((size, size, 3), np.uint8))
    overlap = []
    for number in range(120):
        scene = maker.make(number)
        if len(scene.boxes) != 1 or len(scene.ignored):
            continue
        box = np.clip(scene.boxes[0], 0, 160)
        red = (scene.image[..., 0] > 200) & (scene.image[..., 1] < 60)
        rows, columns = np.nonzero(red)
        if len(rows) == 0 or max(box[2:] - box[:2]) < 20:
            continue
        seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
        overlap.append(overlaps(seen[None], box[None])[0, 0])
    assert len(overlap) > 15
    # A print on the chest or another head without label may add some red.
    assert np.median(overlap) > 0.85


def test_backdrops_are_pictures() -> None:
    rng = np.random.default_rng(5)
    for _ in range(12):
        picture = backdrop(rng, 96)
        assert picture.shape == (96, 96, 3)
        assert picture.dtype == np.uint8


def test_held_out_heads_are_never_trained_on(heads: Path, tmp_path: Path) -> None:
    assert len(HeadTiles(heads)) + len(HeadTiles(heads, held_out=True)) == 7 * 4
    assert len(HeadTiles(heads, held_out=True)) == 4
    with pytest.raises(FacecapError, match="no heads"):
        HeadTiles(tmp_path)


def test_tiles_shrink_before_they_are_drawn_small(heads: Path) -> None:
    tile = HeadTiles(heads).pick(np.random.default_rng(0), face=7.0)
    assert tile.rgba.shape[0] == 16
    np.testing.assert_allclose(tile.box, FACE / 4)
    assert (tile.rgba[..., :3].max() > 200) and tile.rgba[..., 3].max() == 255


def test_matching() -> None:
    anchors = np.array(
        [[50, 50, 32, 32], [52, 50, 32, 32], [70, 50, 32, 32], [150, 150, 32, 32], [10, 10, 64, 64]]
    )
    faces = np.array([[34, 34, 66, 66], [140, 140, 148, 150]], np.float32)
    ignored = np.array([[-22, -22, 42, 42]], np.float32)
    targets = match(corners(anchors.astype(np.float32)), faces, ignored)
    # The fourth is the best there is for the tiny face, though it overlaps little.
    assert targets.match.tolist() == [0, 0, BACKGROUND, 1, DOUBTFUL]
    empty = np.zeros((0, 4), np.float32)
    assert (match(corners(anchors.astype(np.float32)), empty, empty).match == BACKGROUND).all()


def test_loss_is_small_only_for_the_right_answer() -> None:
    anchors = torch.from_numpy(FaceBoxes(0.25, 2).anchors(64, 64))
    faces = np.array([[10, 12, 40, 50]], np.float32)
    empty = np.zeros((0, 4), np.float32)
    square = corners(anchors.numpy())
    targets = [match(square, faces, empty), match(square, empty, empty)]
    face = torch.from_numpy(np.stack([t.match >= 0 for t in targets]))
    logits = torch.stack([~face, face], -1).float() * 20 - 10
    offsets = encode(torch.from_numpy(faces).expand(len(anchors), 4), anchors).expand(2, -1, -1)
    assert sum(detection_loss(offsets, logits, anchors, targets)).item() < 1e-3  # type: ignore[arg-type]
    assert detection_loss(offsets, -logits, anchors, targets)[0].item() > 10
    assert detection_loss(offsets + 1.0, logits, anchors, targets)[1].item() > 1
    none = [Targets(np.full(len(anchors), BACKGROUND, np.int16), empty)] * 2
    classification, boxes = detection_loss(offsets, logits * 0, anchors, none)
    assert torch.isfinite(classification)
    assert boxes.item() == 0


def test_faceboxes_learns_a_scene(maker: SceneMaker) -> None:
    torch.manual_seed(0)
    network = FaceBoxes(0.25, 2)
    anchors = network.anchors(160, 160)
    scenes = [scene for scene in map(maker.make, range(40)) if len(scene.boxes)][:6]
    targets = [match(corners(anchors), scene.boxes, scene.ignored) for scene in scenes]
    images = (
        torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2).float() / 64 - 2
    )
    optimiser = torch.optim.AdamW(network.parameters(), 4e-3)
    for _ in range(60):
        loss = sum(detection_loss(*network(images), torch.from_numpy(anchors), targets))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimiser.step()
    offsets, logits = network(images)  # batch statistics: averages have not settled in sixty steps
    boxes = decode(offsets, torch.from_numpy(anchors)).detach().numpy()
    best = (logits[..., 1] - logits[..., 0]).argmax(1).numpy()
    hits = [
        overlaps(boxes[k, best[k]][None], scene.boxes).max() > 0.5 for k, scene in enumerate(scenes)
    ]  # fmt: skip
    assert np.mean(hits) >= 0.8


def test_training_stops_and_continues(heads: Path, tmp_path: Path) -> None:
    def train(steps: int) -> list[dict]:
        command = [sys.executable, str(ROOT / "jobs" / "train_detector.py"), "--heads", str(heads)]
        command += ["--run", str(tmp_path / "run"), "--steps", str(steps), "--batch", "2", "--size", "160"]
        command += ["--width", "0.25", "--workers", "0", "--every", "2", "--judged", "4", "--places", "4"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=environment, cwd=tmp_path, capture_output=True, timeout=300)
        return [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]

    train(2)
    records = train(4)
    assert [record["step"] for record in records] == [0, 2, 2, 4]
    card = read_card(tmp_path / "run" / "engine" / "detector.json")
    assert card.architecture["width"] == 0.25
    assert card.training["scenes"] == 8
    outputs = open_engine(card).run(np.zeros((1, 160, 160, 3), np.uint8))
    assert outputs["scores"].shape[0] == 1
