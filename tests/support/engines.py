"""Engine sets of the default shapes with random weights, for tests that need engines but not their judgement.

`write_engines(folder)` takes some seconds: share it within a session. The detector finds faces in every
picture (its boxes mean nothing); with ``finds_faces=False`` it finds none.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from facecap_batch.coefficients import OUTPUT_NAMES
from facecap_batch.engines.cards import BATCH, EngineCard, InputSpec
from facecap_batch.engines.default_crop import POINTS
from facecap_batch.engines.sets import EngineSet, load_set
from facecap_batch.importing.networks.faceboxes import FaceBoxes, FaceBoxesDetector
from facecap_batch.importing.networks.mobilenetv3 import ConvBNAct, InvertedResidual, initialise
from facecap_batch.importing.networks.onnx_export import export_onnx
from facecap_batch.importing.published_weights import detector_card, regressor_card

DETECTOR_SIZE = 320  # pixels
GAINS = {"jawOpen": 1.25}  # of the regressor's card


class TinyRegressor(nn.Module):
    """A few blocks with the default regressor's input and outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            ConvBNAct(3, 8, 3, 4, activation="hardswish"),
            InvertedResidual(8, 16, 16, 3, 2, squeeze=True, activation="relu"),
            ConvBNAct(16, 32, 3, 2, activation="hardswish"),
        )
        self.outputs = nn.Linear(32, len(OUTPUT_NAMES))
        self.points = nn.Linear(32, 2 * POINTS)
        self.presence = nn.Linear(32, 1)
        initialise(self)

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pixels = crop.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        hidden = self.features(pixels).mean((2, 3))
        outputs = self.outputs(hidden)
        scale = outputs[:, 56:] * 0.1 + 3.3  # ln of a crop width about 27 cm
        joined = torch.cat([outputs[:, :51].clamp(0, 1), outputs[:, 51:56] * 0.3, scale], 1)
        points = torch.tanh(self.points(hidden)).unflatten(1, (POINTS, 2))
        return joined, points, torch.sigmoid(self.presence(hidden)[:, 0] + 3.0)


def write_detector(folder: Path, finds_faces: bool = True, size: int = DETECTOR_SIZE) -> EngineCard:
    """Export a random, narrow FaceBoxes to `folder`; return its card."""
    torch.manual_seed(3)
    network = FaceBoxes(width=0.25, stem_stride=2)
    for head in network.conf:
        nn.init.normal_(head.weight, 0.0, 0.05)
        head.bias.data[0::2] = -1.0 if finds_faces else 12.0
    spec = InputSpec("image", (BATCH, size, size, 3), step=network.step(size))
    card = detector_card("test-detector", size, "P", licence="Apache-2.0", input=spec)
    return export_onnx(FaceBoxesDetector(network, size, (127.0,) * 3, (64.0,) * 3), card, folder)


def write_regressor(folder: Path, gains: Mapping[str, float] = GAINS) -> EngineCard:
    """Export a random regressor to `folder`; return its card."""
    torch.manual_seed(4)
    card = regressor_card("test-regressor", licence="Apache-2.0", gains=dict(gains))
    return export_onnx(TinyRegressor(), card, folder)


def write_engines(folder: Path, finds_faces: bool = True, gains: Mapping[str, float] = GAINS) -> EngineSet:
    """A whole set in `folder`, as `load_set(folder)` reads it."""
    write_detector(folder, finds_faces)
    write_regressor(folder, gains)
    return load_set(folder)


def copied(engines: EngineSet, folder: Path) -> EngineSet:
    """A copy of a set in `folder`: certificates lie beside it, and its cards may be changed."""
    for card in engines.cards:
        folder.mkdir(exist_ok=True)
        shutil.copy(card.path, folder)
        shutil.copy(card.path.with_suffix(".json"), folder)
    return load_set(folder)
