"""Cards, sets, and the contract every backend keeps."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from facecap_batch.checks.output_parity import Limit, compare, difference, limit_of, precision_of
from facecap_batch.engines import registry
from facecap_batch.engines.backends import onnxruntime_backend
from facecap_batch.engines.batching import fixed_batches, prepare_input, run_in_one_shape
from facecap_batch.engines.cards import EngineCard, InputSpec, read_card, write_card
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import ENGINES_VARIABLE, EngineSet, available_sets, fingerprints, load_set
from facecap_batch.errors import BackendUnavailable, EngineError, EngineMismatch
from facecap_batch.runs.config import make_config
from tests.support.engines import write_engines

BACKENDS = registry.full_precision_backends()


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> EngineSet:
    return write_engines(tmp_path_factory.mktemp("engines"))


def pictures(card: EngineCard, count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *map(int, card.input.shape[1:])), dtype=np.uint8)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("role", ["detector", "regressor"])
def test_contract_of_a_backend(engines: EngineSet, backend: str, role: str) -> None:
    card = getattr(engines, role)
    engine = open_engine(card, backend)
    assert engine.backend == backend
    for count in (0, 1, 5, 8, 11):
        outputs = engine.run(pictures(card, 11)[:count])
        assert list(outputs) == list(card.outputs)
        for name, shape in card.outputs.items():
            fitting = zip(outputs[name].shape, (count, *shape[1:]), strict=True)
            assert all(found == said or said == "P" for found, said in fitting)  # P depends on the picture
            assert outputs[name].dtype == np.float32
            assert np.isfinite(outputs[name]).all()
    with pytest.raises(EngineMismatch):
        engine.run(pictures(card, 2).astype(np.float32))
    with pytest.raises(EngineMismatch):
        engine.run(pictures(card, 2)[:, :-1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_process_reckons_on_as_before(engines: EngineSet, backend: str) -> None:
    """Who opens and runs an engine still has numbers too small for full precision: where they are rounded
    away, what others do in the process goes wrong (SciPy's trees crash)."""
    code = f"""
import numpy as np
from pathlib import Path
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import load_set
engine = open_engine(load_set({str(engines.folder)!r}).regressor, {backend!r})
shape = (2, *map(int, engine.card.input.shape[1:]))
engine.run(np.zeros(shape, np.uint8))
assert np.array([1e-40], np.float32)[0] * np.float32(1) > 0
assert np.array([1e-310])[0] * 1.0 > 0
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("role", ["detector", "regressor"])
def test_results_do_not_depend_on_the_batch(engines: EngineSet, role: str) -> None:
    card = getattr(engines, role)
    engine = open_engine(card, "onnxruntime-cpu")
    batch = pictures(card, 11)
    whole = engine.run(batch)
    alone = [engine.run(batch[k : k + 1]) for k in range(11)]
    shuffled = engine.run(batch[::-1].copy())
    for name in card.outputs:
        np.testing.assert_allclose(np.concatenate([a[name] for a in alone]), whole[name], atol=2e-5)
        np.testing.assert_allclose(shuffled[name][::-1], whole[name], atol=2e-5)


@pytest.mark.parametrize("role", ["detector", "regressor"])
def test_torch_and_onnxruntime_agree(engines: EngineSet, role: str) -> None:
    card = getattr(engines, role)
    batch = pictures(card, 9)
    said = [[open_engine(card, backend).run(batch)] for backend in ("torch", "onnxruntime-cpu")]
    for parity in compare(card, *said):
        assert parity.items == 9
        assert parity.max_abs <= (1e-3 if parity.output == "boxes" else 1e-4), parity


def test_parity_names_the_worst_item_and_counts_nan() -> None:
    expected = np.zeros((4, 3), np.float32)
    found = expected.copy()
    found[2, 1] = 0.5
    parity = difference("outputs", expected, found)
    assert (parity.max_abs, parity.worst_item, parity.worst_column) == (0.5, 2, 1)
    assert parity.mean_abs == pytest.approx(0.5 / 12)
    found[3, 0] = np.nan
    parity = difference("outputs", expected, found)
    assert parity.worst_item == 3
    assert not parity.within(Limit(1.0, 1.0, rare_share=0.5, rare_largest=1.0))


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, (1, 8, 32)), (70, (1, 8, 32)), (9, (8,)), (3, (2, 4)), (0, (8,))]
)
def test_fixed_batches_cover_everything_once(count: int, sizes: tuple[int, ...]) -> None:
    covered = []
    for start, items, size in fixed_batches(count, sizes):
        assert size in sizes
        assert 0 < items <= size
        covered += range(start, start + items)
    assert covered == list(range(count))


def test_changed_file_is_refused(engines: EngineSet, tmp_path: Path) -> None:
    (tmp_path / "detector.onnx").write_bytes(engines.detector.path.read_bytes() + b"\0")
    (tmp_path / "detector.json").write_text(engines.detector.to_json())
    card = read_card(tmp_path / "detector.json")
    with pytest.raises(EngineMismatch, match="SHA-256"):
        open_engine(card)
    card.path.unlink()
    with pytest.raises(EngineError, match="missing"):
        open_engine(card)


@pytest.mark.parametrize(
    ("sizes", "items", "shape"), [((1, 8, 32), 8, 8), ((1, 2, 32), 8, 2), ((4, 16), 3, 4), ((32, 1), 40, 32)]
)
def test_one_shape_is_as_large_as_may_be_and_no_larger(
    engines: EngineSet, sizes: tuple[int, ...], items: int, shape: int
) -> None:
    """Waiting crops are never padded to a batch that is many times as large."""

    class Counting:
        card = dataclasses.replace(engines.regressor, batch_sizes=sizes)
        backend = "counting"
        shapes: ClassVar[list[int]] = []

        def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
            self.shapes.append(len(batch))
            return {"outputs": batch.astype(np.float32)}

    engine = Counting()
    given = np.arange(11, dtype=np.uint8)[:, None]
    said = run_in_one_shape(engine, given, items)["outputs"]
    np.testing.assert_array_equal(said, given)
    assert engine.shapes == [shape] * -(-11 // shape)


@pytest.mark.parametrize("backend", BACKENDS)
def test_card_that_does_not_fit_its_file_is_refused(engines: EngineSet, backend: str) -> None:
    card = engines.regressor
    wrong = [
        dataclasses.replace(card, outputs={**card.outputs, "absent": ("N", 3)}),
        dataclasses.replace(card, outputs={**card.outputs, "outputs": ("N", 12)}),
        dataclasses.replace(card, input=dataclasses.replace(card.input, name="picture")),
    ]
    for impostor in wrong:
        with pytest.raises(EngineMismatch):
            open_engine(impostor, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_file_that_is_no_network_is_refused(engines: EngineSet, backend: str, tmp_path: Path) -> None:
    (tmp_path / "regressor.onnx").write_bytes(b"not a network")
    card = write_card(engines.regressor, tmp_path / "regressor.json")
    with pytest.raises(EngineError):
        open_engine(card, backend)


def test_card_survives_json(engines: EngineSet) -> None:
    for card in engines.cards:
        again = EngineCard.from_json(card.to_json(), card.folder)
        assert again == card
        assert again.path == card.path


@pytest.mark.parametrize(
    "change",
    [
        {"role": "oracle"},
        {"outputs": {"boxes": [1, 2]}},
        {"batch_sizes": []},
        {"file": "../elsewhere.onnx"},
        {"colour": "blue"},
        {"input": {"name": "image", "shape": ["N", 3], "dtype": "uint8"}},
        {"input": {"name": "image", "shape": ["N", 8, 8, 3], "dtype": "int4"}},
    ],
)
def test_impossible_card_is_refused(engines: EngineSet, change: dict) -> None:
    fields = json.loads(engines.detector.to_json())
    with pytest.raises(EngineError):
        EngineCard.from_json(json.dumps({**fields, **change}))
    with pytest.raises(EngineError):
        EngineCard.from_json("[]")
    with pytest.raises(EngineError):
        EngineCard.from_json("{")


def test_sets_are_found_by_name_and_by_folder(engines: EngineSet, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_set(engines.folder).detector == engines.detector
    before = fingerprints(engines)
    assert before["detector"] == engines.detector.sha256
    assert before["regressor"] == engines.regressor.sha256
    surer = dataclasses.replace(
        engines.detector, postprocess={**engines.detector.postprocess, "score_threshold": 0.6}
    )
    after = fingerprints(dataclasses.replace(engines, detector=surer))
    assert {role for role in before if before[role] != after[role]} == {"detector_card"}
    better = dataclasses.replace(engines.regressor, quality={"heldout_mean_r": 1.0})
    assert fingerprints(dataclasses.replace(engines, regressor=better)) == before
    monkeypatch.setenv(ENGINES_VARIABLE, str(engines.folder.parent))
    assert engines.folder.name in available_sets()
    assert load_set(engines.folder.name).folder == engines.folder.resolve()
    with pytest.raises(EngineError, match=engines.folder.name):
        load_set("no-such-set")


def test_a_folder_here_does_not_take_the_name_of_a_set(
    engines: EngineSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "default").mkdir()  # an output folder, say
    monkeypatch.chdir(tmp_path)
    assert make_config("default").engines == "default"
    assert make_config(str(engines.folder)).engines == str(engines.folder)
    monkeypatch.chdir(engines.folder.parent)
    assert make_config(engines.folder.name).engines == str(engines.folder)


@pytest.mark.parametrize("role", ["detector", "regressor"])
def test_default_engines_agree_on_every_backend(role: str) -> None:
    card = getattr(load_set("default"), role)
    assert card.licence == "Apache-2.0"
    batch = pictures(card, 3)
    expected = [open_engine(card, "torch").run(batch)]
    for backend in BACKENDS:
        for parity in compare(card, expected, [open_engine(card, backend).run(batch)]):
            assert parity.within(limit_of(card, parity.output, precision_of(card, backend))), (
                backend,
                parity,
            )


def test_swapped_cards_are_refused(engines: EngineSet, tmp_path: Path) -> None:
    (tmp_path / "detector.json").write_text(engines.regressor.to_json())
    (tmp_path / "regressor.json").write_text(engines.detector.to_json())
    with pytest.raises(EngineError, match="card of a regressor"):
        load_set(tmp_path)


def test_unknown_and_missing_backends_are_named(engines: EngineSet, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendUnavailable, match="there is no backend 'abacus'"):
        open_engine(engines.detector, "abacus")
    monkeypatch.setattr(
        registry.torch_backend, "unavailable_because", lambda name: "not installed; pip install it"
    )
    with pytest.raises(BackendUnavailable, match="pip install it"):
        open_engine(engines.detector, "torch")


def test_auto_says_what_it_took_and_why(
    engines: EngineSet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        engine = open_engine(engines.detector)
    assert engine.backend in caplog.text
    reasons = {"tensorrt": "no GPU", "onnxruntime-cuda": "no device", "onnxruntime-cpu": "no runtime"}
    reasons["openvino"] = "not installed"
    monkeypatch.setattr(registry, "unavailable_because", reasons.get)
    choice = registry.choose_backend()
    assert choice.name == "torch"
    assert "no runtime" in choice.reason
    monkeypatch.setattr(registry, "unavailable_because", lambda name: "gone")
    with pytest.raises(BackendUnavailable, match="no backend works"):
        registry.choose_backend()


def test_auto_passes_over_a_backend_that_does_not_start(
    engines: EngineSet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Dead:
        def __init__(self, *arguments: object) -> None:
            raise BackendUnavailable("no driver")

    monkeypatch.setattr(onnxruntime_backend, "OnnxRuntimeEngine", Dead)
    behind = registry.choose_backend(excluded=("onnxruntime-cpu",)).name
    assert open_engine(engines.detector).backend == behind != "onnxruntime-cpu"
    assert "no driver" in caplog.text
    with pytest.raises(BackendUnavailable, match="no driver"):
        open_engine(engines.detector, "onnxruntime-cpu")


def test_input_is_prepared_as_the_card_says(engines: EngineSet) -> None:
    images = pictures(engines.detector, 2)
    assert prepare_input(engines.detector, images) is not None
    np.testing.assert_array_equal(prepare_input(engines.detector, images), images)
    spec = InputSpec(
        "x", ("N", 3, 320, 320), "float32", "NCHW", "BGR", (104.0, 117.0, 123.0), (2.0, 2.0, 2.0)
    )
    prepared = prepare_input(dataclasses.replace(engines.detector, input=spec), images)
    assert prepared.shape == (2, 3, 320, 320)
    assert prepared.dtype == np.float32
    np.testing.assert_allclose(prepared[1, 0, 5, 7], (float(images[1, 5, 7, 2]) - 104) / 2)
    assert spec.size == 320


@pytest.mark.parametrize("backend", ["onnxruntime-cpu", "torch"])
def test_free_sides_give_what_the_padded_square_gives(engines: EngineSet, backend: str) -> None:
    """A wide picture is the top of a square: far from its lower edge the same is found in both."""
    card = engines.detector
    size, step = card.input.size, card.input.step
    assert step and size % step == 0
    engine = open_engine(card, backend)
    square = pictures(card, 2)
    wide, whole = engine.run(square[:, : size - step]), engine.run(square)
    assert wide["boxes"].shape[1] < whole["boxes"].shape[1]
    upper = 21 * (size // 16) * 6  # anchors of the finest level's first six rows of cells
    np.testing.assert_allclose(wide["scores"][:, :upper], whole["scores"][:, :upper], atol=1e-5)
    np.testing.assert_allclose(wide["boxes"][:, :upper], whole["boxes"][:, :upper], atol=1e-3)
    with pytest.raises(EngineMismatch, match=f"steps of {step}"):
        engine.run(square[:, : step - 1])
    with pytest.raises(EngineMismatch):
        engine.run(np.concatenate([square, square], axis=2))


def test_a_file_with_fixed_sides_is_not_free(engines: EngineSet, tmp_path: Path) -> None:
    regressor = engines.regressor
    card = dataclasses.replace(regressor, input=dataclasses.replace(regressor.input, step=96))
    with pytest.raises(EngineMismatch, match="takes"):
        open_engine(card, "onnxruntime-cpu")


@pytest.mark.parametrize("step", [-64, 100, "64", 1.5])
def test_impossible_steps_are_refused(engines: EngineSet, step: object) -> None:
    fields = json.loads(engines.detector.to_json())
    fields["input"]["step"] = step
    with pytest.raises(EngineError, match=r"input\.step"):
        EngineCard.from_json(json.dumps(fields))


@pytest.mark.parametrize("gain", [0, -1.0, "2", float("nan")])
def test_impossible_gains_are_refused(engines: EngineSet, gain: object) -> None:
    fields = json.loads(engines.regressor.to_json())
    fields["gains"] = {"jawOpen": 1.2, "eyeWideLeft": gain}
    with pytest.raises(EngineError, match=r"gains\.eyeWideLeft"):
        EngineCard.from_json(json.dumps(fields))


def test_engines_are_imported_without_torch() -> None:
    code = (
        "import sys, facecap_batch.engines; sys.exit('torch' in sys.modules or 'onnxruntime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
