"""Whole runs whose engine says what is no number, or what no face can have: no clip counts as done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from facecap_batch.coefficients import OUTPUT_NAMES
from facecap_batch.engines.cards import EngineCard, write_card
from facecap_batch.engines.sets import EngineSet, load_set
from tests.support.engines import copied
from tests.support.runs import make_config_of, results, rows, run_quietly, write_clips


def add(card: EngineCard, output: str, added: np.ndarray) -> None:
    """From now on the network of `card` adds `added` to its output; the card knows the file."""
    model = onnx.load(str(card.path))
    for node in model.graph.node:
        node.output[:] = [f"{output}_before" if name == output else name for name in node.output]
    model.graph.initializer.append(onnx.numpy_helper.from_array(added, "added"))
    model.graph.node.append(onnx.helper.make_node("Add", [f"{output}_before", "added"], [output]))
    onnx.save(model, str(card.path))
    write_card(card, card.path.with_suffix(".json"))


@pytest.mark.parametrize(
    ("name", "value", "telling"),
    [
        ("jawOpen", np.nan, "nan, no finite number"),
        ("jawOpen", 6e37, "6e+37, beyond the 100 that are possible"),
        ("headZ", np.inf, "inf, no finite number"),
        ("headZ", 6e37, "6e+37, beyond the"),
        ("headYaw", -6e37, "-6e+37, beyond the"),
    ],
)
def test_a_regressor_fails_the_clip(
    random_engines: EngineSet, tmp_path: Path, name: str, value: float, telling: str
) -> None:
    engines, added = copied(random_engines, tmp_path / "engines"), np.zeros(len(OUTPUT_NAMES), np.float32)
    added[OUTPUT_NAMES.index(name)] = value
    add(engines.regressor, "outputs", added)
    error = failure_of(tmp_path)
    assert error.startswith("engine 'test-regressor': output '") and telling in error


@pytest.mark.parametrize(("output", "value"), [("boxes", np.nan), ("boxes", 6e37), ("scores", np.inf)])
def test_a_detector_fails_the_clip(
    random_engines: EngineSet, tmp_path: Path, output: str, value: float
) -> None:
    engines = copied(random_engines, tmp_path / "engines")
    add(engines.detector, output, np.full(1, value, np.float32))
    assert failure_of(tmp_path).startswith(f"engine 'test-detector': output '{output}' says {value:g}")


def failure_of(folder: Path) -> str:
    """What a run with the engines in `folder` says of its only clip, of which it leaves nothing."""
    config, output = make_config_of(load_set(folder / "engines")), folder / "out"
    summary = run_quietly(write_clips(folder, {"clip": 8}), output, config, workers=1)
    assert (summary.exit_code, summary.done, summary.failed) == (1, 0, 1)
    row = rows(output)["clip"]
    assert (row["error_type"], row["attempts"]) == ("ImpossibleOutput", 1)  # another would say the same
    assert results(output) == {}
    return str(row["error"])
