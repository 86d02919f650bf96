"""The OpenVINO backend: shapes, what stays in float32, what is not sent home, when `auto` takes it.

The contract of all backends is in `test_engines`. Some CPUs alone compute in bfloat16: where this one lacks
its instructions, what can be tested is that it is refused and that a network in two halves is still the same.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openvino")

from facecap_batch.api.captures import capture
from facecap_batch.checks.bench import engine_input
from facecap_batch.checks.output_parity import compare, limit_of, precision_of
from facecap_batch.coefficients import to_arrow
from facecap_batch.engines import certificates
from facecap_batch.engines.batching import run_in_one_shape
from facecap_batch.engines.cards import PLACES_IN_BF16
from facecap_batch.engines.openvino import backend, library, split
from facecap_batch.engines.openvino.backend import MAX_SHAPES, OpenVinoEngine
from facecap_batch.engines.registry import RIVAL, choose_backend, open_engine
from facecap_batch.engines.sets import EngineSet, load_set
from facecap_batch.errors import BackendUnavailable, EngineError
from facecap_batch.runs.config import make_config
from facecap_batch.runs.opened_engines import open_engines
from tests.support.engines import copied

SPEAKING = Path(__file__).resolve().parents[2] / "manifests" / "demo" / "speaking.mp4"
HAS_BF16 = library.unavailable_because("openvino-bf16") is None


def model_of(name: str, role: str, batch: int = 2) -> tuple[OpenVinoEngine, Any, np.ndarray]:
    """An engine, its model in the fixed shape of a batch, the batch."""
    engine = OpenVinoEngine(getattr(load_set(name), role))
    images = engine_input(engine.card, batch)
    model = engine._model.clone()
    model.reshape({engine.card.input.name: list(images.shape)})
    return engine, model, images


@pytest.mark.parametrize("name", ["default", "fast"])
@pytest.mark.parametrize(
    ("exact_convolutions", "kinds"), [(True, [True, False]), (False, [False, True, False, True, False])]
)
def test_where_a_regressor_looks_is_reckoned_apart_and_nothing_is_lost(
    name: str, exact_convolutions: bool, kinds: list[bool]
) -> None:
    """All that leads there, and the rest; or by turns convolutions of the whole crop, where the face is cut,
    its convolutions, where its parts are cut, all the rest."""
    engine, model, crops = model_of(name, "regressor")
    stages = split.in_stages(library.load(), model, exact_convolutions)
    assert stages is not None
    assert [stage.exact for stage in stages] == kinds
    said = engine._one_after_the_other(stages, "f32")(crops)
    whole = engine.run(crops)
    for output, number in zip(engine.card.outputs, engine._order, strict=True):
        # Not to the bit: what is computed in one pass with its neighbours is another choice in each.
        np.testing.assert_allclose(said[number], whole[output], rtol=0, atol=1e-6)
    for stage in stages:
        nodes = stage.model.get_ops()
        convolutions = sum(node.get_type_name() == "Convolution" for node in nodes)
        assert any(split._rounds(library.load(), node) for node in nodes) == stage.exact
        assert (convolutions > 0) == (exact_convolutions or not stage.exact)


def test_what_convolutions_come_after_is_not_exact() -> None:
    """A skip around convolutions leads to a rounding through none of them, and yet is followed by them."""
    openvino = library.load()
    op = openvino.opset13
    image = op.parameter([1, 1, 4, 4], np.float32)
    kernel = op.constant(np.ones((1, 1, 1, 1), np.float32))
    unpadded = [[1, 1], [0, 0], [0, 0], [1, 1]]
    first = op.relu(op.convolution(image, kernel, *unpadded))
    block = op.add(first, op.convolution(first, kernel, *unpadded))
    place = op.floor(op.multiply(block, op.constant(np.float32(3))))
    model = openvino.Model([op.convert(place, "i32")], [image], "skips")
    stages = split.in_stages(openvino, model, exact_convolutions=False)
    assert stages is not None
    kinds = [{node.get_type_name() for node in stage.model.get_ops()} for stage in stages]
    assert [stage.exact for stage in stages] == [False, True]
    assert {"Convolution", "Relu"} <= kinds[0]
    assert {"Add", "Multiply", "Floor", "Convert"} <= kinds[1]


def test_a_detector_looks_everywhere() -> None:
    assert split.in_stages(library.load(), model_of("default", "detector")[1], True) is None


def test_a_card_says_whether_bfloat16_may_find_where_to_look() -> None:
    """Limits are wider then, of bfloat16 alone, and results count as others."""
    card = load_set("default").regressor
    strict = dataclasses.replace(card, judged_in=("bf16",))
    assert PLACES_IN_BF16 in card.judged_in
    assert limit_of(card, "outputs", "bf16").largest > limit_of(strict, "outputs", "bf16").largest
    assert limit_of(card, "outputs", "fp16") == limit_of(strict, "outputs", "fp16")
    assert card.use_digest() != strict.use_digest()
    assert strict.use_digest() == dataclasses.replace(card, judged_in=()).use_digest()


@pytest.mark.skipif(HAS_BF16, reason="this CPU computes in bfloat16")
def test_bfloat16_is_refused_where_it_would_be_float32() -> None:
    for card in load_set("default").cards:
        with pytest.raises(BackendUnavailable, match=r"no bfloat16 instructions.*use openvino"):
            open_engine(card, "openvino-bf16")


@pytest.mark.skipif(not HAS_BF16, reason="this CPU has no bfloat16 instructions")
@pytest.mark.parametrize("role", ["detector", "regressor"])
@pytest.mark.parametrize("name", ["default", "fast"])
def test_bfloat16_differs_by_no_more_than_is_allowed(name: str, role: str) -> None:
    card = getattr(load_set(name), role)
    images = engine_input(card, 40)
    expected, found = ([open_engine(card, name).run(images)] for name in (RIVAL, "openvino-bf16"))
    for parity in compare(card, expected, found):
        assert parity.within(limit_of(card, parity.output, precision_of(card, "openvino-bf16"))), parity
    assert any(parity.max_abs > 1e-4 for parity in compare(card, expected, found))


def test_compiled_shapes_are_few_and_come_back_the_same(random_engines: EngineSet) -> None:
    card = random_engines.detector
    step, size = card.input.step, card.input.size
    engine, expected = open_engine(card, "openvino"), open_engine(card, RIVAL)
    assert isinstance(engine, OpenVinoEngine)
    rng = np.random.default_rng(0)
    sides = [(height, width) for height in (step, size) for width in range(step, size + 1, step)]
    assert len(sides) > MAX_SHAPES
    images = {each: rng.integers(0, 256, (1, *each, 3), dtype=np.uint8) for each in sides}
    first = {each: engine.run(image) for each, image in images.items()}
    assert len(engine._runners) == MAX_SHAPES
    for each, image in images.items():
        again, others = engine.run(image), expected.run(image)
        for name in card.outputs:
            np.testing.assert_array_equal(again[name], first[each][name])
            np.testing.assert_allclose(again[name], others[name], atol=1e-3 if name == "boxes" else 1e-5)


def test_results_do_not_depend_on_who_computes_what_together() -> None:
    """In calls of one shape, as a capture makes them: to the bit, whatever the company and the process."""
    card = load_set("default").regressor
    crops = engine_input(card, 11)
    engines = [open_engine(card, "openvino") for _ in range(2)]
    whole = run_in_one_shape(engines[0], crops, 8)
    parts = [run_in_one_shape(engines[1], crops[k : k + 3], 8) for k in range(0, 11, 3)]
    for name, values in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), values)
    assert whole["outputs"].base is None  # no view of memory that the next call overwrites


def test_a_clip_is_captured_the_same_twice_and_as_by_onnxruntime() -> None:
    one, again, other = (
        to_arrow(capture(SPEAKING, backend=name).table()) for name in ("openvino", "openvino", RIVAL)
    )
    assert one.equals(again)
    for column in ("jawOpen", "eyeBlinkLeft", "headYaw"):
        np.testing.assert_allclose(one[column].to_numpy(), other[column].to_numpy(), atol=1e-4)


def test_what_cannot_be_compiled_is_an_engine_error(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(random_engines.regressor, "openvino")

    def fails(*arguments: object) -> None:
        raise RuntimeError("no kernel")

    monkeypatch.setattr(engine, "_compiled", fails)
    with pytest.raises(EngineError, match=r"fails on uint8 \[1, .*no kernel"):
        engine.run(engine_input(engine.card, 1))


def test_nothing_is_sent_home() -> None:
    """`openvino` tells its makers of each import, unless its package for that is missing."""
    code = (
        "import sys\n"
        "from facecap_batch.engines.registry import open_engine\n"
        "from facecap_batch.engines.sets import load_set\n"
        "open_engine(load_set('default').detector, 'openvino')\n"
        "print(*[name for name in sys.modules if 'openvino_telemetry' in name])\n"
        "import openvino_telemetry\n"  # it can be imported afterwards by whoever wants it
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_where_it_is_missing_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for cached in (library.load, library._capabilities):
        cached.cache_clear()
    monkeypatch.setitem(sys.modules, "openvino", None)
    for name in library.PRECISIONS:
        with pytest.raises(BackendUnavailable, match=r"pip install '\.\[openvino\]'"):
            open_engine(load_set("default").detector, name)
    monkeypatch.undo()
    assert library.unavailable_because("openvino") is None


def certify(engines: EngineSet, name: str, ratio: float, verdict: str = "agrees", **speed: Any) -> None:
    """A certificate with a speed that nobody measured."""
    roles = {card.role: ratio for card in engines.cards}
    told = certificates.SpeedRatio(RIVAL, certificates.libraries_of(RIVAL), roles, ratio)
    measured = {"verdict": verdict, "speed": dataclasses.asdict(dataclasses.replace(told, **speed))}
    certificates.issue(engines, certificates.subject_of(engines, name), measured)


@pytest.fixture
def engines(random_engines: EngineSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineSet:
    """A copy of its own, for certificates lie beside it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return copied(random_engines, tmp_path / "set")


def test_auto_takes_it_where_it_is_certified_to_be_faster(engines: EngineSet) -> None:
    config = make_config(str(engines.folder))
    assert certificates.faster_here(engines) == () and open_engines(config).backend == RIVAL
    certify(engines, "openvino", 1.3)
    assert certificates.faster_here(engines) == ("openvino",)
    assert open_engines(config).backend == "openvino"
    assert open_engines(dataclasses.replace(config, backend=RIVAL)).backend == RIVAL
    certificates.require_for(str(engines.folder), "auto")  # the certificate of what it takes
    choice = choose_backend(faster=("openvino",))
    assert choice.name == "openvino" and f"faster than {RIVAL}" in choice.reason
    assert choose_backend(excluded=("openvino",), faster=("openvino",)).name == RIVAL


@pytest.mark.parametrize(
    ("ratio", "what"),
    [
        (certificates.WORTH_IT - 0.01, {}),
        (2.0, {"verdict": "differs"}),
        (2.0, {"libraries": {"onnxruntime": "0.1"}}),
        (2.0, {"against": "torch"}),
        (2.0, {"per_frame": 1.0}),
    ],
)
def test_auto_stays_where_it_is_otherwise(engines: EngineSet, ratio: float, what: dict[str, Any]) -> None:
    certify(engines, "openvino", ratio, **what)
    assert certificates.faster_here(engines) == ()


def test_a_reduced_precision_is_taken_for_engines_that_were_judged_in_it(engines: EngineSet) -> None:
    for name in ("openvino", "openvino-bf16"):
        certify(engines, name, 1.5)
    assert certificates.faster_here(engines) == ("openvino",)
    for path in (engines.folder / f"{card.role}.json" for card in engines.cards):
        assert certificates.faster_here(load_set(engines.folder)) == ("openvino",)
        path.write_text(json.dumps({**json.loads(path.read_text()), "judged_in": ["bf16"]}))
    judged = load_set(engines.folder)
    assert certificates.faster_here(judged) == ("openvino-bf16", "openvino")
    taken = choose_backend(faster=certificates.faster_here(judged)).name
    assert taken == ("openvino-bf16" if HAS_BF16 else "openvino")


def test_each_worker_has_threads_of_its_own() -> None:
    """More would take cores from other workers, and change the order in which products are added up."""
    compiled: list[Any] = []
    engine = OpenVinoEngine(load_set("default").detector)
    compile_model = engine._core.compile_model

    class Recording:
        def compile_model(self, *arguments: Any) -> Any:
            compiled.append(compile_model(*arguments))
            return compiled[-1]

    engine._core = Recording()
    engine.run(engine_input(engine.card, 1))
    (one,) = compiled
    assert one.get_property("INFERENCE_NUM_THREADS") == one.get_property("NUM_STREAMS") == 1
    assert one.get_property("ENABLE_CPU_PINNING") is False
    assert backend.PRECISIONS["openvino"] == "f32"
