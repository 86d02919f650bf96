"""The networks as torch modules, and what their export keeps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from facecap_batch.coefficients import OUTPUT_NAMES
from facecap_batch.engines.cards import BATCH, InputSpec
from facecap_batch.engines.default_crop import POINTS
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import load_set
from facecap_batch.errors import EngineError, EngineMismatch
from facecap_batch.importing.networks.faceboxes import FaceBoxes, FaceBoxesDetector, decode, encode
from facecap_batch.importing.networks.mobilenetv3 import MobileNetV3
from facecap_batch.importing.networks.onnx_export import export_onnx
from facecap_batch.importing.published_weights import (
    detector_card,
    import_faceboxes,
    import_mobilenetv3,
    import_onnx,
    regressor_card,
)
from tests.support.engines import write_regressor

# Parameters of the paper's table 3 are for 1,000 classes; ours end in 57 outputs.
MOBILENET_FEATURES = {"small": 927_008, "large": 2_971_952}


@pytest.mark.parametrize("stem_stride", [2, 4])
@pytest.mark.parametrize("size", [(320, 320), (256, 320), (199, 301)])
def test_anchors_match_predictions(stem_stride: int, size: tuple[int, int]) -> None:
    network = FaceBoxes(0.25, stem_stride).eval()
    with torch.inference_mode():
        offsets, logits = network(torch.zeros(2, 3, *size))
    anchors = network.anchors(*size)
    assert offsets.shape == (2, len(anchors), 4)
    assert logits.shape == (2, len(anchors), 2)
    assert anchors.dtype == np.float32


def test_anchors_are_the_papers() -> None:
    anchors = FaceBoxes().anchors(1024, 1024)
    assert len(anchors) == 21_824
    sides, counts = np.unique(anchors[:, 2], return_counts=True)
    assert sides.tolist() == [32, 64, 128, 256, 512]
    assert counts.tolist() == [16 * 32**2, 4 * 32**2, 32**2, 16**2, 8**2]
    np.testing.assert_allclose(FaceBoxes(stem_stride=2).anchors(512, 512), anchors / 2)


def test_paper_width_has_the_public_ports_parameters() -> None:
    names = FaceBoxes().state_dict().keys()
    for name in (
        "conv1.conv.weight",
        "inception2.branch3x3_reduce_2.bn.running_var",
        "conv4_2.bn.bias",
        "loc.2.bias",
    ):
        assert name in names
    assert sum(parameter.numel() for parameter in FaceBoxes().parameters()) == 1_007_330


def test_boxes_survive_coding() -> None:
    anchors = torch.from_numpy(FaceBoxes().anchors(320, 320))
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(len(anchors), 2, generator=generator) * 300
    boxes = torch.cat([corner, corner + 5 + torch.rand(len(anchors), 2, generator=generator) * 200], 1)
    torch.testing.assert_close(decode(encode(boxes, anchors), anchors), boxes, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("bgr", [False, True])
def test_exported_detector_is_the_module(tmp_path: Path, bgr: bool) -> None:
    torch.manual_seed(0)
    network = FaceBoxes(0.25, 2)
    module = FaceBoxesDetector(network, 160, (123.0, 117.0, 104.0), (57.0, 58.0, 59.0), bgr=bgr).eval()
    card = export_onnx(module, detector_card("d", 160, len(network.anchors(160, 160))), tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (3, 160, 160, 3), dtype=np.uint8)
    with torch.inference_mode():
        boxes, scores = module(torch.from_numpy(images))
    outputs = open_engine(card, "onnxruntime-cpu").run(images)
    np.testing.assert_allclose(outputs["boxes"], boxes.numpy(), atol=1e-3)
    np.testing.assert_allclose(outputs["scores"], scores.numpy(), atol=1e-5)
    assert (outputs["scores"] > 0).all()
    assert (outputs["scores"] < 1).all()


@pytest.mark.parametrize("nest", [None, "state_dict"])
def test_public_weights_become_an_engine(tmp_path: Path, nest: str | None) -> None:
    state = {f"module.{name}": value for name, value in FaceBoxes().state_dict().items()}
    torch.save({nest: state} if nest else state, tmp_path / "weights.pth")
    card = import_faceboxes(tmp_path / "weights.pth", tmp_path / "engine", size=128, licence="MIT")
    assert card.licence == "MIT"
    assert card.input.size == 128
    outputs = open_engine(card).run(np.zeros((1, 128, 128, 3), np.uint8))
    assert outputs["boxes"].shape == (1, len(FaceBoxes().anchors(128, 128)), 4)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(EngineError, match="does not hold FaceBoxes weights"):
        import_faceboxes(tmp_path / "other.pth", tmp_path / "engine")
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with pytest.raises(EngineError, match="no state dict"):
        import_faceboxes(tmp_path / "list.pth", tmp_path / "engine")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(EngineError, match="safely"):
        import_faceboxes(tmp_path / "text.pth", tmp_path / "engine")


def test_weights_that_carry_code_are_refused(tmp_path: Path) -> None:
    torch.save(FaceBoxes(0.25), tmp_path / "pickled.pth")  # a whole pickled module, not a state dict
    with pytest.raises(EngineError, match="safely"):
        import_faceboxes(tmp_path / "pickled.pth", tmp_path / "engine")


@pytest.mark.parametrize("variant", ["small", "large"])
@pytest.mark.parametrize("outputs", [57, 3])
def test_mobilenetv3_has_any_number_of_outputs(variant: str, outputs: int) -> None:
    network = MobileNetV3(variant, outputs).eval()  # type: ignore[arg-type]
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 112, 112)).shape == (2, outputs)
    features = sum(parameter.numel() for parameter in network.features.parameters())
    assert features == MOBILENET_FEATURES[variant]


@pytest.mark.parametrize("public", [False, True])
def test_mobilenetv3_weights_become_an_engine(tmp_path: Path, public: bool) -> None:
    torch.manual_seed(1)
    network = MobileNetV3("small", 4).eval()
    state = network.state_dict()
    if public:  # torchvision's names and epsilon
        names = (
            (".layers.", ".block."),
            (".reduce.", ".fc1."),
            (".expand.", ".fc2."),
            ("head.", "classifier."),
        )
        for ours, theirs in names:
            state = {key.replace(ours, theirs): value for key, value in state.items()}
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.eps = 1e-3
    torch.save(state, tmp_path / "weights.pth")
    card = import_mobilenetv3(tmp_path / "weights.pth", tmp_path / "engine", ["a", "b", "c", "d"], size=64)
    assert card.output_names == ("a", "b", "c", "d")
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1)
    outputs = open_engine(card, "onnxruntime-cpu").run(images)["outputs"]
    np.testing.assert_allclose(outputs, expected.numpy(), atol=1e-4)
    with pytest.raises(EngineError, match="with 3 outputs"):
        import_mobilenetv3(tmp_path / "weights.pth", tmp_path / "engine", ["a", "b", "c"])


def test_an_exported_file_holds_no_path_of_the_machine_that_exported_it(tmp_path: Path) -> None:
    network = FaceBoxes(0.25, 2)
    module = FaceBoxesDetector(network, 160, (0.0,) * 3, (1.0,) * 3, bgr=False).eval()
    card = export_onnx(module, detector_card("d", 160, len(network.anchors(160, 160))), tmp_path)
    shipped = load_set("default")
    for path in (card.path, shipped.detector.path, shipped.regressor.path):
        content = path.read_bytes()
        assert b".py" not in content and b"stack_trace" not in content


def test_matrices_kept_as_float16_are_those_of_the_rounded_network(tmp_path: Path) -> None:
    class Linear(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(16 * 16 * 3, len(OUTPUT_NAMES) + 2 * POINTS + 1)

        def forward(self, crop: torch.Tensor) -> tuple[torch.Tensor, ...]:
            values = self.layer(crop.flatten(1).float() / 255)
            outputs, points, presence = values.split([len(OUTPUT_NAMES), 2 * POINTS, 1], 1)
            return outputs, points.unflatten(1, (POINTS, 2)), presence[:, 0]

    module = Linear().eval()
    card = regressor_card("linear", input=InputSpec("crop", (BATCH, 16, 16, 3)))
    whole = export_onnx(module, card, tmp_path / "whole")
    half = export_onnx(module, card, tmp_path / "half", half_matrices=True)
    assert half.path.stat().st_size < 0.55 * whole.path.stat().st_size
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    with torch.inference_mode():
        module.layer.weight.data = module.layer.weight.data.half().float()
        expected = module(torch.from_numpy(images))[0].numpy()
    for backend in ("onnxruntime-cpu", "torch"):
        outputs = open_engine(half, backend).run(images)["outputs"]
        np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_export_that_fixes_the_batch_size_is_refused(tmp_path: Path) -> None:
    class Halves(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            pair = torch.cat([image, 255 - image]).float().mean((1, 2))
            first, second = pair.chunk(2)
            return first - second

    card = dataclasses.replace(detector_card("halves", 16, 1), outputs={"colour": ("N", 3)})
    with pytest.raises(EngineError, match="batch size of"):
        export_onnx(Halves(), card, tmp_path)
    assert not list(tmp_path.iterdir())


def test_any_onnx_with_a_card_is_imported(tmp_path: Path) -> None:
    given = write_regressor(tmp_path / "given")
    card = import_onnx(tmp_path / "given" / "regressor.json", tmp_path / "set")
    assert card == given
    assert card.path == tmp_path / "set" / "regressor.onnx"
    (tmp_path / "given" / "regressor.onnx").write_bytes(b"something else")
    with pytest.raises(EngineMismatch):
        import_onnx(tmp_path / "given" / "regressor.json", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_mobilenetv3_learns() -> None:
    torch.manual_seed(0)
    network = MobileNetV3("small", 2, width=0.5, dropout=0.0)
    images = torch.randn(16, 3, 64, 64)
    wanted = torch.stack([images[:, 0].mean((1, 2)), images[:, 1].std((1, 2))], 1)
    wanted = (wanted - wanted.mean(0)) / wanted.std(0)
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    losses = []
    for _ in range(30):
        loss = torch.nn.functional.mse_loss(network(images), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < 0.3 * losses[0]
