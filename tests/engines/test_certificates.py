"""Verify and its certificates: what agrees, what differs, and what a run that demands proof does."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.capturing.detector import Detection
from facecap_batch.checks import verify
from facecap_batch.checks.comparison import describe_comparison
from facecap_batch.checks.face_parity import FACE_LIMITS, compare_faces
from facecap_batch.checks.output_parity import LIMITS, Limit, compare, difference, joined, precision_of
from facecap_batch.checks.synthetic_faces import synthetic_crops, synthetic_images
from facecap_batch.cli.app import main
from facecap_batch.coefficients import read_parquet
from facecap_batch.engines import certificates
from facecap_batch.engines.batching import Engine
from facecap_batch.engines.cards import EngineCard
from facecap_batch.engines.certificates import (
    MIN_CROPS,
    MIN_IMAGES,
    WORTH_IT,
    find,
    require,
    require_for,
    subject_of,
)
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import EngineSet, load_set
from facecap_batch.errors import BackendUnavailable, BadVideo, EngineMismatch, NotCertified
from tests.support.engines import copied
from tests.support.local_ray import local_ray
from tests.support.runs import write_clips

pytest.importorskip("torch")
CPU = "onnxruntime-cpu"
Call = Callable[..., tuple[int, str]]


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineSet:
    """A copy of its own, for certificates lie beside it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return copied(load_set("default"), tmp_path / "set")


def certify(engines: EngineSet, **options: object) -> certificates.Certificate:
    (comparison,) = verify.verify(str(engines.folder), [CPU], crops=MIN_CROPS, images=MIN_IMAGES, **options)
    assert comparison.certifiable
    return comparison.certify()


def test_a_certificate_holds_what_was_proved(engines: EngineSet) -> None:
    certificate = certify(engines)
    assert certificate.path.parent == engines.folder / "certificates"
    content = json.loads(certificate.path.read_text())
    assert content["verdict"] == certificate.verdict == "agrees"
    assert content["backend"] == CPU and content["libraries"].keys() == {"onnxruntime"}
    assert content["engines"]["detector"] == engines.detector.sha256
    assert content["engines"]["regressor_card"] == engines.regressor.use_digest()
    assert content["reference"]["backend"] == "torch" and content["reference"]["libraries"]["torch"]
    assert content["input"] == {
        "kind": "synthetic",
        "videos": [],
        "crops": MIN_CROPS,
        "pictures": MIN_IMAGES,
    }
    assert {"hardware", "tool", "issued_at"} <= content.keys()
    outputs = {output["output"]: output for output in content["outputs"]}
    assert list(outputs) == [*engines.detector.outputs, *engines.regressor.outputs]
    values = outputs["outputs"]["values"]
    assert [value["name"] for value in values] == list(engines.regressor.output_names)
    assert max(value["max_abs"] for value in values) == outputs["outputs"]["max_abs"] <= 0.05
    assert all(value["mean_abs"] <= value["max_abs"] and value["worst"] for value in values)
    assert content["faces"]["matched"] == content["faces"]["faces"] >= MIN_IMAGES
    assert require(engines, CPU) == certificate


def test_a_backend_that_must_be_faster_is_timed(engines: EngineSet) -> None:
    pytest.importorskip("openvino")
    named = [CPU, "openvino"]
    compared = {one.backend: one for one in verify.verify(str(engines.folder), named, crops=100, images=20)}
    assert compared[CPU].speed is None and compared["openvino"].ok
    certificate = compared["openvino"].certify()
    speed = json.loads(certificate.path.read_text())["speed"]
    assert speed["against"] == CPU and speed["libraries"] == certificates.libraries_of(CPU)
    assert speed["times_faster"].keys() == {"detector", "regressor"}
    assert certificate.speed == require(engines, "openvino").speed == compared["openvino"].speed
    slower, faster = sorted(speed["times_faster"].values())
    assert slower - 0.01 <= speed["per_frame"] <= faster + 0.01
    pays = speed["per_frame"] >= WORTH_IT
    assert certificates.faster_here(engines) == (("openvino",) if pays else ())
    told = describe_comparison(compared["openvino"])[-1]
    assert f"openvino against {CPU}: detector " in told and ("auto does not take it" in told) is not pays


def test_a_certificate_is_for_these_engines_libraries_and_hardware_only(
    engines: EngineSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotCertified, match=rf"`facecap-batch verify --engines {engines.folder} --backend"):
        require(engines, CPU)
    certify(engines)
    for what, other in (
        ("libraries_of", lambda backend: {"onnxruntime": "0.1"}),
        ("hardware_of", lambda backend: "an abacus"),
        ("__version__", "0.0.1"),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(certificates, what, other)
            with pytest.raises(NotCertified, match=r"no certificate \(1 of other"):
                require(engines, CPU)
    surer = dataclasses.replace(engines.detector, postprocess={"score_threshold": 0.6})
    assert find(dataclasses.replace(engines, detector=surer), CPU) is None
    assert require(engines, "torch") is None  # the reference
    require_for(str(engines.folder), "auto")
    require_for(str(engines.folder), CPU)
    with pytest.raises(NotCertified):
        require_for(str(engines.folder), "onnxruntime-cuda")


def test_a_backend_that_differs_is_certified_as_such_and_refused(
    engines: EngineSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LIMITS, "fp32", Limit(largest=0.0, mean=0.0))
    assert certify(engines).verdict == "differs"
    with pytest.raises(NotCertified, match="differs from the reference according to"):
        require(engines, CPU)


def test_sets_that_cannot_be_written_to_have_their_certificates_elsewhere(
    engines: EngineSet, tmp_path: Path
) -> None:
    (engines.folder / "certificates").write_text("a file where the folder would be")
    certificate = certify(engines)
    assert tmp_path / "home" in certificate.path.parents
    assert require(engines, CPU) == certificate
    certificate.path.write_text("{}")
    assert find(engines, CPU) is None


def test_other_engines_are_compared_with_those_they_were_made_from(
    engines: EngineSet, tmp_path: Path
) -> None:
    same = copied(engines, tmp_path / "same")
    (comparison,) = verify.verify(str(same.folder), [CPU], against=str(engines.folder), crops=2, images=2)
    assert comparison.ok and comparison.describe()["reference"]["engine_set"] == "set"
    assert not comparison.certifiable  # on too little
    coarse = dataclasses.replace(same.regressor, architecture={"precision": "int8"})
    assert precision_of(coarse, CPU) == "int8" and precision_of(same.regressor, "tensorrt-fp16") == "fp16"
    card = same.folder / "detector.json"
    card.write_text(card.read_text().replace('"nms_iou": 0.3', '"nms_iou": 0.4'))
    with pytest.raises(EngineMismatch, match="differ in"):
        list(verify.verify(str(same.folder), [CPU], against=str(engines.folder), crops=2, images=2))


def test_backends_that_do_not_start_are_passed_over_unless_named(
    engines: EngineSet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A CUDA runtime without a device stands for itself: this one is told of, and does not start."""

    def without_device(card: EngineCard, backend: str = "auto", threads: int = 1) -> Engine:
        if backend == "onnxruntime-cuda":
            raise BackendUnavailable("no device")
        return open_engine(card, backend, threads)

    monkeypatch.setattr(verify, "full_precision_backends", lambda: ("onnxruntime-cuda", CPU, "torch"))
    monkeypatch.setattr(verify, "open_engine", without_device)
    few = {"crops": 2, "images": 2}
    compared = [one.backend for one in verify.verify(str(engines.folder), **few)]
    assert compared == [CPU] and "skipped onnxruntime-cuda: no device" in caplog.text
    with pytest.raises(BackendUnavailable, match="no device"):
        list(verify.verify(str(engines.folder), ["onnxruntime-cuda"], **few))
    monkeypatch.setattr(verify, "full_precision_backends", lambda: ("onnxruntime-cuda", "torch"))
    with pytest.raises(BackendUnavailable, match="no device"):
        list(verify.verify(str(engines.folder), **few))


def test_what_differs_is_found_in_its_item_and_value() -> None:
    rng = np.random.default_rng(0)
    expected = rng.random((40, 3)) * (1, 1, 50)
    found = expected + 1e-6
    found[31, 1] += 0.5
    names = ("jawOpen", "jawLeft", "other")
    whole = difference("outputs", expected, found, names=names)
    parts = joined(
        [difference("outputs", expected[k : k + 8], found[k : k + 8], names=names) for k in range(0, 40, 8)]
    )
    for parity in (whole, parts):
        assert (parity.worst_item, parity.worst_column) == (31, 1)
        assert [column.worst_item for column in parity.columns][1] == 31
        assert parity.columns[0].max_abs == pytest.approx(1e-6, rel=1e-3)
        assert parity.columns[1].max_abs == pytest.approx(0.5, rel=1e-3)
        assert parity.beyond(Limit(1e-4, 1)) == 1
        assert not parity.within(Limit(1e-4, 1))
        assert parity.within(Limit(1e-4, 1, rare_share=0.05, rare_largest=0.6))
        assert not parity.within(Limit(1e-4, 1, rare_share=0.05, rare_largest=0.4))
        assert not parity.within(Limit(1e-4, 1e-9, rare_share=0.05, rare_largest=0.6))
    found[7, 1] += 0.5
    two = difference("outputs", expected, found, names=names)
    assert two.within(Limit(1e-4, 1e-5, rare_share=0.05, rare_largest=0.6))
    assert not two.within(Limit(1e-4, 1e-5, rare_share=0.02, rare_largest=0.6))
    found[0, 2] = np.nan
    assert not difference("outputs", expected, found, names=names).within(Limit(10, 10, 0.5, 10))
    wide = difference("outputs", expected, expected + np.array([0, 0, 1e-3]))
    assert wide.within(Limit(1e-4, 1e-5))  # of values up to 50


def test_faces_are_matched() -> None:
    def face(x: float, score: float) -> Detection:
        return Detection(np.array([x, 0, x + 100, 100], np.float32), score)

    same = compare_faces([[face(0, 0.9)], []], [[face(0.05, 0.9)], []], 0.25, 1e-4, 16)
    assert (same.faces, same.matched, same.missing, same.extra) == (1, 1, 0, 0)
    assert same.max_corner == pytest.approx(0.05, rel=1e-3) and same.within(FACE_LIMITS["fp32"])
    moved = compare_faces([[], [face(0, 0.9)]], [[], [face(3, 0.9)]], 0.25, 1e-4, 16)
    assert moved.worst_item == 1 and moved.max_share == pytest.approx(0.03)
    assert [name for name, limit in FACE_LIMITS.items() if moved.within(limit)] == ["bf16", "int8"]
    lost = compare_faces([[face(0, 0.9), face(300, 0.8)]], [[face(0, 0.9), face(600, 0.7)]], 0.25, 1e-4, 16)
    assert (lost.matched, lost.missing, lost.extra) == (1, 1, 1) and not lost.within(FACE_LIMITS["int8"])
    full = [[face(0, 0.9), face(300, 0.8)]], [[face(0, 0.9), face(600, 0.80005)]]
    assert compare_faces(*full, 0.25, 1e-4, 2).missing == 0 < compare_faces(*full, 0.25, 1e-4, 3).missing
    edge = compare_faces([[face(0, 0.25005)]], [[]], 0.25, 1e-4, 16)
    assert edge.missing == 0 and edge.within(FACE_LIMITS["fp32"])


def test_synthetic_faces_are_faces_and_always_the_same() -> None:
    images = synthetic_images(6)
    np.testing.assert_array_equal(images[4], synthetic_images(5)[4])
    cards = load_set("default")
    sample = verify.make_sample(cards, [], crops=6, images=6)
    np.testing.assert_array_equal(sample.crops[5], synthetic_crops(6, cards.regressor.input.size)[5])
    outputs = verify.BackendOutputs(cards, CPU, sample)
    assert all(outputs.faces)
    assert min(outputs.outputs["regressor"][0]["presence"]) > 0.9


def test_videos_give_crops_where_faces_are(
    engines: EngineSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speaking = Path(__file__).resolve().parents[2] / "manifests" / "demo" / "speaking.mp4"
    empty = speaking.with_name("empty.mp4")
    cards = load_set("default")
    sample = verify.make_sample(cards, [speaking, empty], crops=12, images=6)
    assert sample.kind == "videos" and [name for name, _ in sample.videos] == ["speaking.mp4", "empty.mp4"]
    assert {picture.label.split()[0] for picture in sample.images} == {"speaking.mp4", "empty.mp4"}
    assert sample.crop_labels and all(label.startswith("speaking.mp4 ") for label in sample.crop_labels)
    presence = verify.BackendOutputs(cards, CPU, sample).outputs["regressor"][0]["presence"]
    assert min(presence) > 0.5
    with pytest.raises(BadVideo, match="no face"):
        verify.make_sample(cards, [empty], crops=12, images=6)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Exit code and all that a command prints."""

    def called(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out + captured.err

    return called


def test_verify_says_and_keeps_what_it_found(engines: EngineSet, tmp_path: Path, call: Call) -> None:
    verifying = ["verify", "--engines", engines.folder, "--backend", CPU, "--images", MIN_IMAGES]
    code, printed = call(*verifying, "--crops", MIN_CROPS, "--json")
    (kept,) = json.loads(printed)
    assert code == 0 and kept["verdict"] == "agrees"
    assert Path(kept["certificate"]["path"]) == require(engines, CPU).path
    elsewhere = tmp_path / "mine.json"
    code, printed = call(*verifying, "--crops", MIN_CROPS, "--certificate", elsewhere)
    assert code == 0 and str(elsewhere) in printed and json.loads(elsewhere.read_text())["backend"] == CPU
    assert call("verify", "--certificate", elsewhere)[0] == 2


def test_a_run_that_demands_proof(engines: EngineSet, tmp_path: Path, call: Call) -> None:
    manifest = write_clips(tmp_path / "clips", {"a": 12})
    output = tmp_path / "out"
    run = ["run", manifest, "-o", output, "--engines", engines.folder, "--backend", CPU]
    demand = [*run, "--require-certificate", "--workers", 1]
    code, printed = call(*demand)
    assert code == 2 and "no certificate" in printed and "facecap-batch verify --engines" in printed
    assert not output.exists()

    with local_ray():
        # The driver of a cluster does not look: its workers do.
        code, printed = call(*demand, "--ray-address", "auto")
        assert code == 3 and "no certificate" in printed

        certificate = certify(engines)
        code, printed = call(*demand)
        assert code == 0, printed
    table = read_parquet(output / "coefficients" / "a.parquet")
    for role in ("detector", "regressor"):
        assert table.metadata[f"{role}_certificate"] == f"{certificate.sha256} agrees"
    described = json.loads((output / "run.json").read_text())["config"]
    assert described["require_certificate"] is True


def test_subject_and_outputs_are_compared_by_card(engines: EngineSet) -> None:
    subject = subject_of(engines, CPU)
    assert subject.key() == subject_of(engines, CPU).key() != subject_of(engines, "torch").key()
    shapes = {name: (2, *shape[1:]) for name, shape in engines.regressor.outputs.items()}
    same = [{name: np.ones(shape) for name, shape in shapes.items()}]
    parities = compare(engines.regressor, same, same)
    assert [parity.output for parity in parities] == list(engines.regressor.outputs)
    assert all(parity.max_abs == 0 and parity.items == 2 for parity in parities)
