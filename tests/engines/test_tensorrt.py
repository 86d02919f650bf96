"""The TensorRT backend. There is no GPU: the driver and TensorRT itself are the stand-ins of `gpu_for_tests`,
which compute with ONNX Runtime; everything of ours is real, and so are the networks and their numbers."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from facecap_batch.engines import registry
from facecap_batch.engines.backends import cuda
from facecap_batch.engines.cards import EngineCard, InputSpec, write_card
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import EngineSet, load_set
from facecap_batch.engines.tensorrt import plans
from facecap_batch.engines.tensorrt.backend import TensorRtEngine
from facecap_batch.engines.tensorrt.graph import prepared, profile_shapes
from facecap_batch.errors import BackendUnavailable, EngineError, EngineMismatch
from tests.support import gpu
from tests.support.gpu import HostCuda, make_tensorrt

VERSIONS = ("8.6.0", "10.3.0", "11.4.0")
ROLES = ("detector", "regressor")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(plans.CACHE_VARIABLE, str(folder))
    return folder / "tensorrt"


def pictures(card: EngineCard, count: int, height: int = 0, width: int = 0) -> np.ndarray:
    size = card.input.size
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, height or size, width or size, 3), dtype=np.uint8)


def about(plan: Path) -> dict:
    """What the stand-in wrote into a plan of what it was asked to build."""
    return json.loads(plan.read_bytes().split(b"\n")[2].removeprefix(b"PLAN"))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("version", VERSIONS)
def test_keeps_the_contract_and_the_numbers(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch, version: str, role: str
) -> None:
    gpu.install(monkeypatch, version)
    card = getattr(random_engines, role)
    engine = open_engine(card, "tensorrt")
    assert engine.backend == "tensorrt"
    expected = open_engine(card, "onnxruntime-cpu")
    batches = [pictures(card, count) for count in (0, 1, 5, 8, 11)]
    if card.input.step:
        batches += [pictures(card, 2, card.input.size - card.input.step), pictures(card, 1, width=64)]
    for batch in batches:
        found, wanted = engine.run(batch), expected.run(batch)
        assert list(found) == list(card.outputs)
        for name in card.outputs:
            np.testing.assert_allclose(found[name], wanted[name], atol=1e-6)
    with pytest.raises(EngineMismatch):
        engine.run(pictures(card, 2)[:, :-1])
    with pytest.raises(EngineMismatch):
        engine.run(pictures(card, 1).astype(np.float32))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", ["default", "random"])
def test_rewritten_graph_computes_the_same(random_engines: EngineSet, role: str, name: str) -> None:
    """For real, in ONNX Runtime: what TensorRT is given is the network that the card names."""
    card = getattr(random_engines if name == "random" else load_set(name), role)
    graph = prepared(card)
    model = onnx.load_from_string(graph.model)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [17]
    fed = [node.op_type for node in model.graph.node if card.input.name in node.input]
    assert fed == ["Cast"]
    reduced = [node for node in model.graph.node if node.op_type.startswith("Reduce")]
    # Axes are an input of ReduceSum in opset 17, too, and of nothing else.
    assert not any(len(node.input) > 1 for node in reduced if node.op_type != "ReduceSum")
    assert not graph.quantised and not graph.asymmetric
    session = onnxruntime.InferenceSession(graph.model, providers=["CPUExecutionProvider"])
    before = onnxruntime.InferenceSession(str(card.path), providers=["CPUExecutionProvider"])
    batch = pictures(card, 3)
    for ours, theirs in zip(
        session.run(None, {card.input.name: batch}), before.run(None, {card.input.name: batch}), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def test_profiles_are_the_batches_of_the_card() -> None:
    card = dataclasses.replace(load_set("default").detector, batch_sizes=(8, 1))
    assert profile_shapes(card) == (
        ((1, 64, 64, 3), (1, 192, 320, 3), (1, 320, 320, 3)),
        ((8, 64, 64, 3), (8, 192, 320, 3), (8, 320, 320, 3)),
    )
    fixed = InputSpec("x", ("N", 3, 96, 160), "float32", "NCHW")
    shape = (4, 3, 96, 160)
    assert profile_shapes(dataclasses.replace(card, input=fixed, batch_sizes=(4,))) == ((shape,) * 3,)


def test_each_version_is_asked_in_its_own_words(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    card = random_engines.regressor
    found = {}
    for version in VERSIONS:
        for backend in ("tensorrt", "tensorrt-fp16"):
            gpu.install(monkeypatch, version)
            if backend == "tensorrt-fp16" and version == "11.4.0":
                with pytest.raises(BackendUnavailable, match=r"no FP16 mode.*tensorrt<11"):
                    open_engine(card, backend)
                continue
            before = set(plans.plans())
            open_engine(card, backend)
            (plan,) = set(plans.plans()) - before
            said = about(plan)
            assert said["workspace"] == 512 << 20
            assert [profile[1][0] for profile in said["profiles"]] == sorted(card.batch_sizes)
            found[version, backend] = (said["network_flags"], said["flags"])  # TF32 is in none of them
    assert found == {
        ("8.6.0", "tensorrt"): (1, []),
        ("8.6.0", "tensorrt-fp16"): (1, ["FP16"]),
        ("10.3.0", "tensorrt"): (2, []),
        ("10.3.0", "tensorrt-fp16"): (0, ["FP16"]),
        ("11.4.0", "tensorrt"): (1, []),
    }


def quantised(card: EngineCard, folder: Path, zero: int) -> EngineCard:
    """The regressor with its first convolution's output through Q/DQ nodes."""
    model = onnx.load(str(card.path))
    nodes = model.graph.node
    place = next(number for number, node in enumerate(nodes) if node.op_type == "Conv")
    name = nodes[place].output[0]
    nodes[place].output[0] = "before"
    model.graph.initializer.extend(
        [
            onnx.numpy_helper.from_array(np.float32(0.05), "scale"),
            onnx.numpy_helper.from_array(np.int8(zero), "zero"),
        ]
    )
    nodes.insert(place + 1, onnx.helper.make_node("DequantizeLinear", ["bits", "scale", "zero"], [name]))
    nodes.insert(place + 1, onnx.helper.make_node("QuantizeLinear", ["before", "scale", "zero"], ["bits"]))
    folder.mkdir(exist_ok=True)
    onnx.save(model, str(folder / card.file))
    return write_card(card, folder / "regressor.json")


@pytest.mark.parametrize(("version", "flags"), [("8.6.0", ["INT8"]), ("10.3.0", []), ("11.4.0", [])])
def test_int8_is_for_networks_that_carry_their_ranges(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, flags: list[str]
) -> None:
    gpu.install(monkeypatch, version)
    with pytest.raises(BackendUnavailable, match="carries no QuantizeLinear"):
        open_engine(random_engines.regressor, "tensorrt-int8")
    card = quantised(random_engines.regressor, tmp_path / "q", 0)
    engine = open_engine(card, "tensorrt-int8")
    (plan,) = plans.plans()
    assert about(plan)["flags"] == flags
    batch = pictures(card, 2)
    np.testing.assert_allclose(
        engine.run(batch)["outputs"], open_engine(card, "onnxruntime-cpu").run(batch)["outputs"], atol=1e-6
    )
    with pytest.raises(BackendUnavailable, match="zero points other than 0"):
        open_engine(quantised(random_engines.regressor, tmp_path / "skewed", 3), "tensorrt-int8")


def test_a_network_that_computes_with_bytes_is_left_to_others(
    random_engines: EngineSet,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gpu.install(monkeypatch)
    card = random_engines.regressor
    model = onnx.load(str(card.path))
    transpose = next(node for node in model.graph.node if card.input.name in node.input)
    name = transpose.input[0]
    for node in model.graph.node:
        node.input[:] = ["larger" if given == name else given for given in node.input]
    model.graph.node.insert(0, onnx.helper.make_node("Max", [name, name], ["larger"]))
    onnx.save(model, str(tmp_path / card.file))
    card = write_card(card, tmp_path / "regressor.json")
    with pytest.raises(BackendUnavailable, match=r"computes with bytes \(Max\)"):
        open_engine(card, "tensorrt")
    assert open_engine(card, "auto").backend == "onnxruntime-cpu"
    assert "skipped tensorrt" in caplog.text


def test_cards_and_files_that_do_not_fit_are_refused(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gpu.install(monkeypatch)
    card = random_engines.regressor
    renamed = dataclasses.replace(card.input, name="picture")
    for wrong in (
        dataclasses.replace(card, outputs={**card.outputs, "absent": ("N", 3)}),
        dataclasses.replace(card, outputs={**card.outputs, "outputs": ("N", 12)}),
        dataclasses.replace(card, input=renamed),
        dataclasses.replace(card, input=dataclasses.replace(card.input, step=96)),
    ):
        with pytest.raises(EngineMismatch):
            open_engine(wrong, "tensorrt")
    assert plans.plans() == []
    open_engine(card, "tensorrt")  # now its plan is there: what is in it is compared, too
    with pytest.raises(EngineMismatch):
        open_engine(dataclasses.replace(card, outputs={**card.outputs, "absent": ("N", 3)}), "tensorrt")
    (tmp_path / card.file).write_bytes(b"not a network")
    with pytest.raises(EngineError, match="not an ONNX file"):
        open_engine(write_card(card, tmp_path / "regressor.json"), "tensorrt")


def test_any_thread_may_use_an_engine_and_its_memory_goes_with_it(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = gpu.install(monkeypatch)
    card = random_engines.regressor
    engine = open_engine(card, "tensorrt")
    found: list[dict[str, np.ndarray]] = []
    batch = pictures(card, 3)
    thread = threading.Thread(target=lambda run: found.append(run(batch)), args=(engine.run,))
    thread.start()
    thread.join()
    assert found[0]["outputs"].shape == (3, 57)
    first = trt.host.used()
    engine.run(pictures(card, 8))
    larger = trt.host.used()
    engine.run(pictures(card, 8))
    assert first < larger == trt.host.used()
    del engine, thread
    assert trt.host.used() == 0


def test_full_memory_is_named(random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu.install(monkeypatch, memory=1 << 16)
    engine = open_engine(random_engines.regressor, "tensorrt")
    with pytest.raises(cuda.CudaError, match=r"cuMemAlloc_v2.*OUT_OF_MEMORY.*fewer workers"):
        engine.run(pictures(random_engines.regressor, 1))


def test_auto_takes_tensorrt_and_never_lowers_the_precision(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.install(monkeypatch)
    with caplog.at_level(logging.INFO):
        assert open_engine(random_engines.regressor).backend == "tensorrt"
    assert "on tensorrt: the first that works" in caplog.text
    assert registry.choose_backend("tensorrt-fp16").name == "tensorrt-fp16"
    assert not set(registry.AUTO) & set(registry.REDUCED)
    assert "tensorrt-fp16" not in registry.full_precision_backends()
    choice = registry.choose_backend("auto", ("tensorrt",))
    assert choice.name == "onnxruntime-cpu" and "not tensorrt: did not start" in choice.reason


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("8.5.3", "too old, 8.6 or newer"),
        ("", r"tensorrt cannot be imported.*pip install"),
        ("10.3.0", "onnx"),
    ],
)
def test_what_is_missing_is_told_with_the_install_line(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch, version: str, reason: str
) -> None:
    gpu.install(monkeypatch)
    monkeypatch.setitem(
        sys.modules, "tensorrt", make_tensorrt(version, HostCuda()) if version.startswith("8.5") else None
    )
    if version == "10.3.0":
        monkeypatch.setitem(sys.modules, "tensorrt", make_tensorrt(version, HostCuda()))
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match=reason):
        open_engine(random_engines.regressor, "tensorrt")


def test_a_machine_without_a_driver_says_so(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = gpu.install(monkeypatch)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    monkeypatch.setattr(cuda, "LIBRARY", "libcuda-of-nobody.so.1")
    cuda.driver.cache_clear()
    with pytest.raises(BackendUnavailable, match=r"no NVIDIA driver here .*docs/gpu\.md"):
        open_engine(random_engines.regressor, "tensorrt")
    assert registry.choose_backend().name == "onnxruntime-cpu"


@pytest.mark.parametrize("kind", ["Builder", "Runtime"])
def test_a_driver_too_old_for_tensorrt_is_told(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """As 8.6.0 did where it found no driver: a warning, then no object."""
    trt = gpu.install(monkeypatch)

    def refuse(logger: object) -> None:
        logger.log(trt.ILogger.Severity.WARNING, "CUDA initialization failure with error: 35")  # type: ignore[attr-defined]
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(trt, kind, refuse)
    with pytest.raises(BackendUnavailable, match=r"does not start on this GPU: CUDA init.* error: 35"):
        open_engine(random_engines.regressor, "tensorrt")
    assert open_engine(random_engines.regressor).backend == "onnxruntime-cpu"


def test_an_engine_whose_plan_does_not_run_says_why(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu.install(monkeypatch)
    engine = open_engine(random_engines.regressor, "tensorrt")
    assert isinstance(engine, TensorRtEngine) and engine.device_bytes() == 1 << 20
    batch = pictures(random_engines.regressor, 1)
    engine.run(batch)
    monkeypatch.setattr("tests.support.gpu._Context.execute_async_v3", lambda self, stream: False)
    with pytest.raises(EngineError, match="TensorRT fails to run"):
        engine.run(batch)
