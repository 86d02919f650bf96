"""INT8 engines: the same contract, the same faces, nearly the same numbers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("torch")

import onnx

from facecap_batch.checks.synthetic_faces import synthetic_crops, synthetic_images
from facecap_batch.checks.verify import verify
from facecap_batch.engines.cards import write_card
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import EngineSet, load_set
from facecap_batch.training.quantise import fold_averages, fold_negations, left_alone, quantise

CPU = "onnxruntime-cpu"
JOB = Path(__file__).resolve().parents[2] / "jobs" / "quantise.py"


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> EngineSet:
    folder = tmp_path_factory.mktemp("int8")
    cards = load_set("default")
    quantise(cards.detector, [np.stack(synthetic_images(8, seed=1))] * 2, folder)
    size = cards.regressor.input.size
    quantise(cards.regressor, [np.stack(synthetic_crops(8, size, seed=k)) for k in range(4)], folder)
    return load_set(folder)


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(str(path)).graph.node]


def test_the_int8_set_is_a_set(coarse: EngineSet) -> None:
    for card, original in zip(coarse.cards, load_set("default").cards, strict=True):
        assert (card.input, card.outputs, card.output_names) == (
            original.input,
            original.outputs,
            original.output_names,
        )
        assert card.training["quantised_from"] == original.sha256 != card.sha256
        assert card.licence == original.licence and card.architecture["precision"] == "int8"
        assert card.path.stat().st_size < original.path.stat().st_size
        found = operators(card.path)
        assert found.count("DequantizeLinear") > found.count("Conv") / 2
    assert "Neg" not in operators(coarse.detector.path)


def test_it_finds_the_same_faces_and_says_nearly_the_same(coarse: EngineSet) -> None:
    (comparison,) = verify(str(coarse.folder), [CPU], against="default", crops=24, images=12)
    assert comparison.precision == "int8" and comparison.reference == "torch"
    assert comparison.faces.matched == comparison.faces.faces >= 12
    outputs = next(verdict.parity for verdict in comparison.verdicts if verdict.parity.output == "outputs")
    assert 1e-4 < outputs.mean_abs < 0.03
    assert comparison.describe()["outputs"][0]["allowed"]["largest"] > 1e-3


def test_what_is_rewritten_first_changes_nothing(tmp_path: Path) -> None:
    card = load_set("default").detector
    model = onnx.load(str(card.path))
    before = [node.op_type for node in model.graph.node]
    fold_negations(model)
    fold_averages(model)
    after = [node.op_type for node in model.graph.node]
    assert before.count("Neg") == 2 and "Neg" not in after and "AveragePool" not in after
    onnx.save(model, str(tmp_path / card.file))
    changed = write_card(card, tmp_path / "detector.json")
    batch = np.stack(synthetic_images(4))
    expected, found = (open_engine(one, CPU).run(batch) for one in (card, changed))
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-5)
    seen = expected["scores"] > 0.05
    np.testing.assert_allclose(found["boxes"][seen], expected["boxes"][seen], atol=1e-2)


def test_boxes_are_decoded_in_float32() -> None:
    model = onnx.load(str(load_set("default").detector.path))
    alone = set(left_alone(model, is_detector=True))
    kinds = {node.op_type for node in model.graph.node if node.name not in alone}
    assert "Conv" in kinds and not kinds & {"Exp", "Sigmoid", "Sub", "Cast"}
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    assert len(alone & set(convolutions)) == 6  # offsets and scores of three levels


def test_the_job_makes_a_set_and_measures_it(random_engines: EngineSet, folder: Path, tmp_path: Path) -> None:
    options = {
        "--calibration": folder,
        "--heldout": folder,
        "--engines": random_engines.folder,
        "--output": tmp_path,
    }
    command = [sys.executable, str(JOB), *(str(part) for option in options.items() for part in option)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=JOB.parents[1])
    assert done.returncode == 0, done.stderr
    assert "test-detector-int8: {" in done.stdout and "test-regressor-int8: {" in done.stdout
    made = load_set(tmp_path)
    for card in made.cards:
        card.verify()
        assert set(card.quality["times_faster_at_batch"]) == {"1", "8"}
    assert abs(made.regressor.quality["loss_of_mean_r"]) < 0.2
    assert "loss_of_mean_r" not in made.detector.quality
