"""A regressor that reads the tongue: from its card through a real clip to every file that shows it."""

from __future__ import annotations

import csv
import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pygltflib
import pytest
from onnx import TensorProto, helper, numpy_helper

import facecap_batch
from facecap_batch.coefficients import ARKIT_NAMES, OUTPUT_NAMES, SCHEMA, SHAPE_NAMES
from facecap_batch.engines.cards import BATCH, write_card
from facecap_batch.engines.sets import load_set
from facecap_batch.exporting.head import head_model
from tests.support.formats.fbx import read_fbx
from tests.support.formats.gltf import numbers, read_glb
from tests.support.formats.seen import bridged, compare, truth
from tests.support.formats.text import openface_frame, read_livelink

CLIP = Path(__file__).resolve().parents[2] / "manifests" / "demo" / "speaking.mp4"
SPAN = {"start": 4.0, "end": 5.0}  # seconds in which the mouth opens
JAW, TONGUE = SHAPE_NAMES.index("jawOpen"), SHAPE_NAMES.index("tongueOut")
NAMES = (*SHAPE_NAMES, *OUTPUT_NAMES[len(ARKIT_NAMES) :])  # Apple's 52 and the head: the tongue is in between
MOVES = 0.05
# What presets call the tongue.
CHANNELS = {
    "blender": "tongueOut",
    "cc4": "Tongue_Out",
    "metahuman": "TongueOut",
    "metahuman-controls": "CTRL_expressions_tongueOut",
    "rocketbox": "blendShape1.AK_52_TongueOut",
    "sranipal": "Tongue_LongStep1",
    "unified": "TongueOut",
}


def with_tongue_output(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network with outputs NAMES, and as many spreads: the tongue goes as the jaw does, for want of one
    that was trained on tongues."""
    graph = model.graph
    constants = {"cut": [len(ARKIT_NAMES), 6], "jaw": [JAW]}
    graph.initializer.extend(numpy_helper.from_array(np.array(v, np.int64), k) for k, v in constants.items())
    for name, parts in (("outputs", ("shapes", "jaws", "heads")), ("spread", ("spreads", "jaw_spreads"))):
        for node in graph.node:
            for number, made in enumerate(node.output):
                if made == name:
                    node.output[number] = f"{name}_before"
        shapes = f"{name}_before"
        if name == "outputs":
            graph.node.append(helper.make_node("Split", [shapes, "cut"], [parts[0], parts[2]], axis=1))
            shapes = parts[0]
        graph.node.append(helper.make_node("Gather", [shapes, "jaw"], [parts[1]], axis=1))
        graph.node.append(helper.make_node("Concat", [shapes, *parts[1:]], [name], axis=1))
        (port,) = (port for port in graph.output if port.name == name)
        count = len(NAMES) if name == "outputs" else len(SHAPE_NAMES)
        port.CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, count]))
    onnx.checker.check_model(model)
    return model


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set `fast` with a tongue: its card gives the tongue the jaw's rest and gain."""
    folder = tmp_path_factory.mktemp("tongue")
    fast = load_set("fast")
    for file in (fast.detector.path, fast.detector.path.with_suffix(".json")):
        shutil.copy(file, folder)
    onnx.save(with_tongue_output(onnx.load(str(fast.regressor.path))), str(folder / fast.regressor.file))
    card = dataclasses.replace(
        fast.regressor,
        outputs={
            **fast.regressor.outputs,
            "outputs": (BATCH, len(NAMES)),
            "spread": (BATCH, len(SHAPE_NAMES)),
        },
        output_names=NAMES,
        gains={**fast.regressor.gains, "tongueOut": fast.regressor.gains["jawOpen"]},
        rest={**fast.regressor.rest, "tongueOut": fast.regressor.rest["jawOpen"]},
    )
    write_card(card, folder / "regressor.json")
    return folder


@pytest.fixture(scope="module")
def take(engines: Path) -> facecap_batch.Capture:
    return facecap_batch.capture(CLIP, engines=engines, backend="onnxruntime-cpu", **SPAN)


@pytest.fixture(scope="module")
def without() -> facecap_batch.Capture:
    return facecap_batch.capture(CLIP, engines="fast", backend="onnxruntime-cpu", **SPAN)


def tongue_of(take: facecap_batch.Capture) -> np.ndarray:
    values: np.ndarray = take.final.coefficients[:, TONGUE]
    return values


def test_the_column_stands_behind_the_57_and_changes_none_of_them(
    take: facecap_batch.Capture, without: facecap_batch.Capture
) -> None:
    assert take.to_arrow().column_names == [*SCHEMA.names, "tongueOut"]
    assert without.to_arrow().column_names == SCHEMA.names
    for which, more in (("final", ["tongueOut"]), ("raw", ["tongueOut", "tongueOutSpread"])):
        both = take.to_arrow(which), without.to_arrow(which)  # type: ignore[arg-type]
        assert both[0].drop_columns(more).equals(both[1])


def test_it_is_solved_as_a_coefficient_with_rest_and_gain_of_the_card(take: facecap_batch.Capture) -> None:
    np.testing.assert_array_equal(take.raw.coefficients[:, TONGUE], take.raw.coefficients[:, JAW])
    np.testing.assert_array_equal(tongue_of(take), take.final.coefficients[:, JAW])
    assert np.ptp(tongue_of(take)) > MOVES
    assert (tongue_of(take) != take.raw.coefficients[:, TONGUE]).any()  # and was solved


@pytest.mark.parametrize(
    ("suffix", "read", "wanted", "resolution"),
    [
        (".fbx", read_fbx, lambda table: bridged(truth(table)), 1e-9),
        (".glb", read_glb, lambda table: bridged(truth(table)), 1.2e-7),
        (".csv", read_livelink, truth, 0.5 / 60_000 + 1e-9),
    ],
)
def test_readers_see_it_in_every_frame(
    take: facecap_batch.Capture,
    tmp_path: Path,
    suffix: str,
    read: Callable[..., object],
    wanted: Callable[..., object],
    resolution: float,
) -> None:
    take.export(tmp_path / f"take{suffix}")
    seen = read(tmp_path / f"take{suffix}")
    compare(seen, wanted(take.final), resolution)  # type: ignore[arg-type]
    assert np.ptp(seen.channels["tongueOut"]) > MOVES  # type: ignore[attr-defined]


def test_its_shape_moves_the_tongue_of_the_head(take: facecap_batch.Capture, tmp_path: Path) -> None:
    take.export(tmp_path / "take.glb")
    document = pygltflib.GLTF2().load(str(tmp_path / "take.glb"))
    number = document.meshes[0].extras["targetNames"].index("tongueOut")
    moved = {
        document.materials[primitive.material].name: float(
            np.linalg.norm(numbers(document, primitive.targets[number]["POSITION"]), axis=1).max()
        )
        for primitive in document.meshes[0].primitives
    }
    expected = np.linalg.norm(head_model().morph("tongueOut").offsets, axis=1).max() / 100  # metres
    assert moved.pop("tongue") == pytest.approx(expected, abs=1e-6)
    assert set(moved.values()) == {0.0}


@pytest.mark.parametrize(("rig", "name"), CHANNELS.items())
def test_presets_have_it_under_their_name(
    rig: str, name: str, take: facecap_batch.Capture, without: facecap_batch.Capture, tmp_path: Path
) -> None:
    for number, one in enumerate((take, without)):
        one.export(tmp_path / f"{number}.csv", "csv", rig=rig)
    with (tmp_path / "0.csv").open() as file:
        rows = list(csv.DictReader(file))
    scale = max(float(row[name]) for row in rows) / float(tongue_of(take).max())
    np.testing.assert_allclose([float(row[name]) for row in rows], scale * tongue_of(take), atol=1e-5)
    with (tmp_path / "1.csv").open() as file:
        assert name not in next(csv.reader(file))


def test_a_rig_s_fbx_has_it_as_a_shape(take: facecap_batch.Capture, tmp_path: Path) -> None:
    from tests.support.fbx_readers import read_back

    take.export(tmp_path / "cc4.fbx", rig="cc4")
    times = take.final.time_s() - take.final.time_s()[0]
    seen = read_back(tmp_path / "cc4.fbx", times, tmp_path)
    names = list(seen["names"])
    np.testing.assert_allclose(seen["weights"][names.index("Tongue_Out")], tongue_of(take), atol=1e-5)


def test_researchers_get_au19(
    take: facecap_batch.Capture, without: facecap_batch.Capture, tmp_path: Path
) -> None:
    for number, one in enumerate((take, without)):
        one.export(tmp_path / f"{number}.csv", "openface")
    frame = openface_frame(tmp_path / "0.csv")
    np.testing.assert_allclose(frame["AU19_r"], 5 * tongue_of(take), atol=1e-5)
    assert not [name for name in openface_frame(tmp_path / "1.csv").columns if name.startswith("AU19")]
