"""Networks of the user's own: from a file and some options to a set that runs, or to a clear error."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
import torch

from facecap_batch.coefficients import OUTPUT_NAMES, SCHEMA, SHAPE_NAMES
from facecap_batch.engines.description import describe_card, describe_sets
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import EngineSet, load_set
from facecap_batch.errors import EngineError
from facecap_batch.importing.kinds import import_engine, kind_of
from facecap_batch.importing.networks.faceboxes import FaceBoxes
from facecap_batch.importing.networks.mobilenetv3 import MobileNetV3
from facecap_batch.importing.options import ImportOptions, channel_values, output_names
from facecap_batch.importing.published_weights import import_mobilenetv3
from tests.support.commands import call
from tests.support.local_ray import local_ray
from tests.support.onnx_files import write_onnx
from tests.support.runs import write_clips

# In torchvision's MobileNetV3: ours -> theirs.
TORCHVISION = (
    (".layers.", ".block."),
    (".reduce.", ".fc1."),
    (".expand.", ".fc2."),
    ("head.", "classifier."),
)
OWN = ("mouthSmileRight", "tongueOut", "jawOpen", "eyeBlinkLeft", "cheekRaiser")


def torchvision_state(network: MobileNetV3) -> dict[str, torch.Tensor]:
    state = network.state_dict()
    for ours, theirs in TORCHVISION:
        state = {key.replace(ours, theirs): value for key, value in state.items()}
    return state


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MobileNetV3-small of torchvision's names with an output for each of OWN."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "mine.pth"
    state = torchvision_state(MobileNetV3("small", len(OWN)))
    state["classifier.3.bias"] += 0.5  # blendshapes rest somewhere
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    return path


def test_a_torchvision_checkpoint_runs_from_the_command_line_to_the_tables(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, random_engines: EngineSet, tmp_path: Path
) -> None:
    mine, out = tmp_path / "mine", tmp_path / "out"
    (tmp_path / "names.txt").write_text("\n".join(OWN) + "\n")
    code, text, _ = call(
        capsys, "engines", "import", checkpoint, mine, "--num-outputs", 5, "--output-names",
        tmp_path / "names.txt", "--mean", "123.675,116.28,103.53", "--std", "58.395,57.12,57.375",
        "--crop-scale", 1.25, "--licence", "Mine-1.0", "--name", "llfr",
    )  # fmt: skip
    assert code == 0 and "regressor llfr 1" in text and "others      cheekRaiser" in text
    assert "needs a detector to be a set" in text
    code, text, _ = call(
        capsys, "engines", "import", random_engines.folder, mine, "--role", "detector", "--licence", "MIT"
    )
    assert code == 0 and f"run MANIFEST --output OUT --engines {mine}" in text
    card = load_set(mine).regressor
    assert (card.licence, card.postprocess) == ("Mine-1.0", {"crop_scale": 1.25})
    assert card.training["imported_from"] == "mine.pth" and len(card.training["weights_sha256"]) == 64

    manifest = write_clips(tmp_path, {"a": 20})
    with local_ray(1):
        code, _, error = call(capsys, "run", manifest, "-o", out, "--engines", mine, "--workers", 1)
    assert code == 0, error
    table = pq.read_table(out / "coefficients" / "a.parquet")
    assert table.column_names == [*SCHEMA.names, "tongueOut", "cheekRaiser"]
    filled = {name for name in SHAPE_NAMES if table[name].null_count < len(table)}
    assert filled == set(OWN) & set(SHAPE_NAMES)
    assert table["tongueOut"].null_count == table["jawOpen"].null_count == 0
    assert table["headYaw"].null_count == table["headZ"].null_count == len(table)
    metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert metadata["regressor_licence"] == "Mine-1.0" and metadata["detector_licence"] == "MIT"
    assert metadata["regressor_sha256"] == card.sha256 and metadata["regressor_engine"] == "llfr 1"
    assert json.loads(metadata["regressor_outputs"]) == list(OWN)
    assert b"Mine-1.0" in (out / "fbx" / "a.fbx").read_bytes()
    code, text, _ = call(capsys, "query", out, "select count(tongueOut) as n from raw", "--csv")
    assert (code, text.split()[-1]) == (0, "20")


@pytest.mark.parametrize(("variant", "numbers"), [("small", 2_542_856), ("large", 5_483_032)])
def test_the_names_are_torchvisions(variant: str, numbers: int) -> None:
    """As torchvision documents its `mobilenet_v3_small` and `mobilenet_v3_large`: sizes and names."""
    network = MobileNetV3(variant, 1000)  # type: ignore[arg-type]
    assert sum(parameter.numel() for parameter in network.parameters()) == numbers
    last = {"small": "features.12", "large": "features.16"}[variant]
    assert torchvision_state(network).keys() >= {
        "features.0.0.weight",
        "features.0.1.running_mean",
        "features.5.block.2.fc1.weight",
        "features.5.block.2.fc2.bias",
        "features.5.block.3.1.weight",
        f"{last}.1.num_batches_tracked",
        "classifier.0.weight",
        "classifier.3.bias",
    }


def test_a_network_trained_on_bgr_sees_what_it_was_trained_on(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = MobileNetV3("small", 1).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    mean, std = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)  # of blue, green, red
    card = import_mobilenetv3(
        tmp_path / "w.pth", tmp_path / "set", ["jawOpen"], size=64, mean=mean, std=std, channels="BGR"
    )
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    pixels = (torch.from_numpy(images[..., ::-1].copy()).float() - torch.tensor(mean)) / torch.tensor(std)
    with torch.inference_mode():
        expected = network(pixels.permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(open_engine(card).run(images)["outputs"], expected, atol=1e-4)
    assert card.input.mean == mean[::-1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit, whose files are still about
def test_code_in_a_weights_file_is_not_executed(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"features.0.0.weight": Code()}, tmp_path / "evil.pth")
    with pytest.raises(EngineError, match=r"posix\.mkdir, and unpickling that would execute code"):
        import_engine(str(tmp_path / "evil.pth"), tmp_path / "set", ImportOptions())
    assert not (tmp_path / "executed").exists() and not (tmp_path / "set").exists()
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(tmp_path / "program.pt"))
    with pytest.raises(EngineError, match="TorchScript"):
        import_engine(str(tmp_path / "program.pt"), tmp_path / "set", ImportOptions())


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {}, r"with 57 outputs: it has 5; set --num-outputs 5"),
        ({}, {"output_names": ("a", "b")}, r"with 2 outputs: it has 5; set --num-outputs 5"),
        ({}, {"output_names": OWN, "variant": "large"}, "MobileNetV3-small, not -large"),
        ({}, {"output_names": OWN, "detector_size": 320}, "--detector-size does not apply"),
        ({"features.3.block.0.0.weight": None}, {}, r"missing features\.3\.layers\.0\.0\.weight"),
        ({"extra.weight": torch.zeros(1)}, {}, r"superfluous extra\.weight"),
        ({"features.0.0.weight": torch.zeros(16, 1, 3, 3)}, {}, r"\[16, 1, 3, 3\] for \[16, 3, 3, 3\]"),
        ({"features.13.0.weight": torch.zeros(1)}, {}, "it has 14 blocks"),
        ({"features.0.0.weight": None}, {}, "weights of no known network"),
    ],
)
def test_a_checkpoint_that_does_not_fit_lists_what_does_not(
    checkpoint: Path, tmp_path: Path, change: dict, options: dict, message: str
) -> None:
    state = {**torch.load(checkpoint, weights_only=True)["state_dict"]}
    for name, value in change.items():
        state[f"module.{name}"] = value
        options = {"output_names": OWN, **options}
    torch.save({name: value for name, value in state.items() if value is not None}, tmp_path / "w.pth")
    with pytest.raises(EngineError, match=message):
        import_engine(str(tmp_path / "w.pth"), tmp_path / "set", ImportOptions(**options))
    assert not (tmp_path / "set").exists()


def test_a_bare_onnx_regressor_is_made_an_engine(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "theirs.onnx", {"logits": ("batch", 5), "presence": ("batch", 1)})
    options = ImportOptions(
        output_names=OWN, mean=(10, 20, 30), std=(40, 50, 60), channels="BGR", licence="CC0"
    )
    (card,) = import_engine(str(file), tmp_path / "set", options)
    assert (card.role, card.name, card.licence, card.output_names) == ("regressor", "theirs", "CC0", OWN)
    assert (card.input.layout, card.input.dtype, card.input.size) == ("NCHW", "float32", 32)
    assert (card.input.channels, card.input.mean, card.input.std) == ("BGR", (10, 20, 30), (40, 50, 60))
    assert card.path.read_bytes() == file.read_bytes() and card.main_output == "logits"
    assert card.training["file_sha256"] == card.sha256
    assert "4 of 52" in describe_card(card) and "others      cheekRaiser" in describe_card(card)
    assert open_engine(card, "torch").run(np.zeros((3, 3, 32, 32), np.float32))["logits"].shape == (3, 5)


@pytest.mark.parametrize(("batch", "fixed"), [("batch", 1), (1, 1), (4, 4)])
def test_only_batches_that_the_file_takes_are_on_the_card(tmp_path: Path, batch: object, fixed: int) -> None:
    shape = (batch, 3, 32, 32)
    file = write_onnx(tmp_path / "a.onnx", {"outputs": (batch, 57)}, shape, fixed=fixed)  # type: ignore[arg-type, dict-item]
    (card,) = import_engine(str(file), tmp_path / "set", ImportOptions())
    assert card.batch_sizes == (fixed,) and card.output_names == OUTPUT_NAMES
    assert card.head_frame == "camera"
    assert open_engine(card).run(np.zeros((6, 3, 32, 32), np.float32))["outputs"].shape == (6, 57)


def test_a_bare_onnx_detector_gets_the_names_of_the_contract(tmp_path: Path) -> None:
    outputs = {"bboxes": ("n", 7, 4), "conf": ("n", 7)}
    image = ("n", "h", "w", 3)
    file = write_onnx(tmp_path / "theirs.onnx", outputs, image, onnx.TensorProto.UINT8)
    with pytest.raises(EngineError, match="boxes reach"):
        import_engine(str(file), tmp_path / "set", ImportOptions(detector_size=64))
    assert not (tmp_path / "set").exists()
    big = write_onnx(tmp_path / "logits.onnx", outputs, image, onnx.TensorProto.UINT8, scale=60)
    with pytest.raises(EngineError, match="scores reach"):
        import_engine(str(big), tmp_path / "set", ImportOptions(detector_size=64))
    model = onnx.load(str(big))
    model.graph.node.append(onnx.helper.make_node("Sigmoid", ["conf"], ["sure"]))
    model.graph.output[1].name = "sure"
    onnx.save(model, str(file))
    (card,) = import_engine(str(file), tmp_path / "set", ImportOptions(detector_size=64))
    assert (card.role, card.input.size, card.batch_sizes) == ("detector", 64, (1, 8))
    assert open_engine(card).run(np.zeros((2, 64, 64, 3), np.uint8))["boxes"].shape == (2, 7, 4)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"outputs": {"outputs": ("n", 52)}}, "52 numbers, not 57; set --num-outputs 52"),
        ({"outputs": {"a": ("n", 57), "b": ("n", 57)}}, "one of them is called outputs"),
        ({"outputs": {"a": ("n", 57, 2, 2)}}, "neither a regressor's"),
        ({"outputs": {"a": ("n", 9, 4), "b": ("n", 9, 2)}}, r"scores \[N, P\]"),
        ({"image": ("n", 1, 32, 32)}, "colour images"),
        ({"image": ("n", 3, 32, 48)}, "images of an engine are square"),
        ({"image": ("n", 3, "h", "w")}, "leaves the size open: set it with --size"),
        ({"inputs": 2}, "has 2 inputs"),
        ({"outputs": {"outputs": ("n", 57), "hidden": ("n", 2)}}, r"hidden is \['N', 2\]"),
        ({"outputs": {"outputs": ("n", 57), "spread": ("n", 57)}}, r"spread is \['N', 57\]"),
        ({"scale": float("nan")}, "values that are not finite"),
    ],
)
def test_a_bare_onnx_that_is_no_engine_is_refused(tmp_path: Path, shape: dict, message: str) -> None:
    file = write_onnx(tmp_path / "a.onnx", **{"outputs": {"outputs": ("n", 57)}, **shape})
    with pytest.raises(EngineError, match=message):
        import_engine(str(file), tmp_path / "set", ImportOptions())
    assert not (tmp_path / "set").exists()


def test_options_and_file_must_agree(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "a.onnx", {"outputs": ("n", 57)})
    with pytest.raises(EngineError, match="not of the 64 pixels of --size"):
        import_engine(str(file), tmp_path / "set", ImportOptions(size=64))
    with pytest.raises(EngineError, match="is a regressor: --detector-size does not apply"):
        import_engine(str(file), tmp_path / "set", ImportOptions(detector_size=64))
    with pytest.raises(EngineError, match="--variant does not apply"):
        import_engine(str(file), tmp_path / "set", ImportOptions(variant="small"))
    byte = write_onnx(tmp_path / "b.onnx", {"outputs": ("n", 57)}, kind=onnx.TensorProto.UINT8)
    with pytest.raises(EngineError, match="normalises by itself"):
        import_engine(str(byte), tmp_path / "set", ImportOptions(mean=(1, 2, 3)))
    (tmp_path / "c.onnx").write_bytes(b"no network")
    with pytest.raises(EngineError, match="no ONNX network"):
        import_engine(str(tmp_path / "c.onnx"), tmp_path / "set", ImportOptions())
    for source, message in (
        ("absent.pth", "neither a file nor an engine set"),
        (str(tmp_path), "choose one of its engines with --role"),
    ):
        with pytest.raises(EngineError, match=message):
            import_engine(source, tmp_path / "set", ImportOptions())
    (tmp_path / "a.zip").write_bytes(b"")
    with pytest.raises(EngineError, match=r"networks come as .*\.onnx"):
        import_engine(str(tmp_path / "a.zip"), tmp_path / "set", ImportOptions())
    with pytest.raises(EngineError, match="came with facecap-batch"):
        import_engine(str(file), load_set("default").folder, ImportOptions())
    with pytest.raises(EngineError, match="no crop to scale"):
        import_engine("default", tmp_path / "set", ImportOptions(role="detector", crop_scale=1.2))
    with pytest.raises(EngineError, match="no kind 'abacus'"):
        import_engine(str(file), tmp_path / "set", ImportOptions(), kind="abacus")
    with pytest.raises(EngineError, match="--channels GBR: one of RGB, BGR"):
        ImportOptions(channels="GBR")


def test_names_of_outputs_are_read_as_typed(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("jawOpen\n\n smile ,frown\n")
    assert output_names(str(file), None) == ("jawOpen", "smile", "frown")
    assert output_names("jawOpen, smile", 2) == ("jawOpen", "smile")
    assert output_names("numbered", 2) == ("output0", "output1")
    assert output_names(None, 57) == OUTPUT_NAMES and output_names(None, None) is None
    for names, count, message in (
        (None, 52, "52 outputs need names"),
        ("a,b", 3, "names 2 outputs, --num-outputs is 3"),
        ("numbered", None, "needs --num-outputs"),
        ("absent.txt", 3, "no file absent.txt"),
        ("jawOpen,JawOpen", 2, "by case alone"),
    ):
        with pytest.raises(EngineError, match=message):
            output_names(names, count)


def test_normalisation_is_in_pixels() -> None:
    assert channel_values("127.5", "--mean") == (127.5,) * 3
    assert channel_values("1,2,3", "--std") == (1, 2, 3) and channel_values("0", "--mean") == (0, 0, 0)
    with pytest.raises(EngineError, match=r"--mean 123\.675,116\.28,103\.53"):
        channel_values("0.485,0.456,0.406", "--mean")
    for text, option in (("0.229,0.224,0.225", "--std"), ("0", "--std"), ("1,2", "--mean"), ("x", "--mean")):
        with pytest.raises(EngineError, match=option):
            channel_values(text, option)


def test_a_card_carries_its_head_frame(random_engines: EngineSet, tmp_path: Path) -> None:
    """Cards of before have no such field: their results, and so their fingerprints, stay."""
    card = random_engines.regressor
    fields = json.loads(card.to_json())
    assert fields.pop("head_frame") == "crop"
    assert type(card).from_json(json.dumps(fields), card.folder) == card
    camera = dataclasses.replace(card, head_frame="camera")
    assert camera.use_digest() != card.use_digest()
    for change in (
        {"head_frame": "sideways"},
        {"output_names": ["a", "b"]},
        {"outputs": {"presence": ["N"]}},
    ):
        with pytest.raises(EngineError, match=r"head_frame|names 2 outputs|besides landmarks"):
            type(card).from_json(json.dumps({**fields, **change}))
    with pytest.raises(EngineError, match="camera's frame"):
        import_engine(
            str(write_onnx(tmp_path / "a.onnx", {"outputs": ("n", 6)})),
            tmp_path / "set",
            ImportOptions(output_names=("headYaw", "headPitch", "headRoll", "u", "v", "s")),
        )


def test_a_card_with_impossible_names_is_refused_before_anything_runs(
    random_engines: EngineSet, tmp_path: Path
) -> None:
    (tmp_path / "detector.json").write_text(random_engines.detector.to_json())
    names = ("JawOpen", *OUTPUT_NAMES[1:])
    card = dataclasses.replace(random_engines.regressor, output_names=names)
    (tmp_path / "regressor.json").write_text(card.to_json())
    with pytest.raises(EngineError, match=r"test-regressor.*by case alone"):
        load_set(tmp_path)
    with pytest.raises(EngineError, match="by case alone"):
        import_engine(str(tmp_path / "regressor.json"), tmp_path / "set", ImportOptions())


def test_weights_are_known_by_their_parameters(checkpoint: Path, tmp_path: Path) -> None:
    torch.save({"model": FaceBoxes().state_dict()}, tmp_path / "boxes.pt")
    assert (kind_of(tmp_path / "boxes.pt"), kind_of(checkpoint)) == ("faceboxes", "mobilenetv3")
    with pytest.raises(
        EngineError, match=r"does not hold FaceBoxes weights: missing .* and \d+ more; superfluous"
    ):
        import_engine(str(checkpoint), tmp_path / "set", ImportOptions(), kind="faceboxes")
    with pytest.raises(EngineError, match="at least 128 pixels, not 64"):
        import_engine(str(tmp_path / "boxes.pt"), tmp_path / "set", ImportOptions(detector_size=64))


def test_a_broken_set_does_not_hide_the_others(random_engines: EngineSet, tmp_path: Path) -> None:
    for role in ("detector", "regressor"):
        (tmp_path / f"{role}.json").write_text("{}")
    text = describe_sets({"broken": tmp_path, "good": random_engines.folder})
    lines = text.splitlines()
    assert lines[1].startswith("broken  broken") and lines[2].split()[:2] == ["good", "detector"]
    assert len(lines) == 4 and "57 numbers" in lines[3]
