"""MediaPipe's bundle as an engine set: with a bundle of the real shapes whose networks say what the test
wants, and, where it is there, with the real one on real footage.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import pytest

from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.capturing.regressor import Regressor
from facecap_batch.checks.verify import verify
from facecap_batch.cli.app import main
from facecap_batch.clip import Clip
from facecap_batch.coefficients import ARKIT_NAMES, HEAD_ANGLE_NAMES, OUTPUT_NAMES
from facecap_batch.engines.cards import BATCH, sha256_of
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import EngineSet, load_set
from facecap_batch.errors import EngineError
from facecap_batch.geometry import matrix_from_euler
from facecap_batch.importing.mediapipe.graphs import BOX_GROWTH, BOX_SHIFT, CORNERS, RECTANGLE, SHAPE_NAMES
from facecap_batch.importing.mediapipe.head_fit import fit_head
from facecap_batch.importing.mediapipe.importer import CROP_SCALE, import_mediapipe
from facecap_batch.importing.mediapipe.onnx_builder import OnnxGraph
from facecap_batch.importing.mediapipe.resampling import resampled
from facecap_batch.importing.mediapipe.task_bundle import read_task
from tests.support import tflite_files as files

RNG = np.random.default_rng(0)
TASK = Path(__file__).resolve().parents[3] / "shared" / "peers" / "face_landmarker.task"
FACE = RNG.normal(0, 1, (468, 3)) * [5.0, 6.0, 3.0] + [0.5, -1.0, 2.0]  # cm
WEIGHTS = {1: 0.5, 33: 1.0, 130: 0.25, 263: 1.0, 467: 0.75, 152: 0.5}
ANGLES = np.array([0.4, -0.2, 0.3])  # of the head in the crop, once the crop's own turn is taken off
ROLL = 0.35  # radians, of the line between the eyes in the crop, clockwise on screen
BOX = np.array([70.0, 60.0, 40.0])  # face box in the detector's picture: centre and side, pixels
PER_CM = 9.0  # pixels of the landmark network's input per cm
MIDDLE = np.array([120.0, 140.0, -3.0])  # where the face's own origin lies in that input
LOGITS = RNG.normal(0, 2, 52)


def answer() -> np.ndarray:
    """[16]: what every anchor must say, less its own centre; the mean of all centres is the middle."""
    eye = np.array([np.cos(ROLL), np.sin(ROLL)]) * 8
    centre = BOX[:2] - 64
    return np.array([*centre, BOX[2], BOX[2] * 0.9, *(centre - eye), *(centre + eye), *[0.0] * 8])


def landmarks() -> np.ndarray:
    """float64 [478, 3]: the face turned by ANGLES, in the landmark network's pixels (y down, z away)."""
    seen = FACE @ matrix_from_euler(ANGLES).T * [PER_CM, -PER_CM, -PER_CM] + MIDDLE
    return np.concatenate([seen, np.full((10, 3), 100.0)])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.task_file(
        tmp_path_factory.mktemp("task") / "face_landmarker.task",
        face_detector=files.detector_file(answer(), 3.0),
        face_landmarks_detector=files.landmarks_file(landmarks(), 1.5),
        face_blendshapes=files.blendshapes_file(LOGITS),
        geometry=files.geometry_file(FACE, WEIGHTS),
    )


@pytest.fixture(scope="module")
def engines(bundle: Path) -> EngineSet:
    folder = bundle.parent / "mediapipe"
    import_mediapipe(bundle, folder)
    return load_set(folder)


def pictures(card_size: int, count: int) -> np.ndarray:
    return RNG.integers(0, 256, (count, card_size, card_size, 3), dtype=np.uint8)


def test_bundle_is_read(bundle: Path) -> None:
    task = read_task(bundle)
    np.testing.assert_allclose(task.canonical, FACE, atol=1e-5)
    assert {int(k): task.weights[k] for k in np.flatnonzero(task.weights)} == WEIGHTS


def test_cards_say_where_the_set_comes_from(engines: EngineSet, bundle: Path) -> None:
    for card in engines.cards:
        card.verify()
        assert card.licence == "Apache-2.0"
        assert card.training["task_sha256"] == sha256_of(bundle)
        assert card.input.shape[0] == BATCH


@pytest.mark.parametrize("backend", ["onnxruntime-cpu", "torch"])
def test_boxes_are_decoded(engines: EngineSet, backend: str) -> None:
    found = open_engine(engines.detector, backend).run(pictures(128, 3))
    assert found["boxes"].shape == (3, 896, 4)
    np.testing.assert_allclose(found["scores"], 1 / (1 + np.exp(-3.0)), rtol=1e-5)
    # From the first cell of the fine level to the last one of the coarse level.
    for anchor, centre in ((0, (4, 4)), (1, (4, 4)), (2, (12, 4)), (512, (8, 8)), (895, (120, 120))):
        x, y = np.array(centre) + answer()[:2] + [0, BOX_SHIFT * BOX[2]]
        x0, y0, x1, y1 = found["boxes"][1, anchor]
        np.testing.assert_allclose(
            [(x0 + x1) / 2, (y0 + y1) / 2, y1 - y0], [x, y, BOX_GROWTH * BOX[2]], rtol=1e-5
        )


@pytest.mark.parametrize("backend", ["onnxruntime-cpu", "torch"])
def test_coefficients_go_by_name_and_the_head_through_the_crop(engines: EngineSet, backend: str) -> None:
    engine = open_engine(engines.regressor, backend)
    outputs = engine.run(pictures(256, 3))
    assert tuple(engine.card.output_names) == OUTPUT_NAMES
    for k, name in enumerate(ARKIT_NAMES):
        wanted = 1 / (1 + np.exp(-LOGITS[SHAPE_NAMES.index(name)]))
        np.testing.assert_allclose(outputs["outputs"][:, k], wanted, rtol=1e-4)
    np.testing.assert_allclose(outputs["presence"], 1 / (1 + np.exp(-1.5)), rtol=1e-5)

    # The upright square: its centre below the box's along the face, its side in pixels of the crop.
    turn = np.array([[np.cos(ROLL), -np.sin(ROLL)], [np.sin(ROLL), np.cos(ROLL)]])  # y down
    centre = 2 * (BOX[:2] + turn @ [0, BOX_SHIFT * BOX[2]])
    step = 2 * BOX[2] * BOX_GROWTH * RECTANGLE / 256
    wanted_points = (centre + (landmarks()[:, :2] - 128) @ turn.T * step) / 128 - 1
    np.testing.assert_allclose(outputs["landmarks"], np.broadcast_to(wanted_points, (3, 478, 2)), atol=2e-3)

    rotation = matrix_from_euler(np.array([0, 0, -ROLL])) @ matrix_from_euler(ANGLES)
    angles = outputs["outputs"][:, len(ARKIT_NAMES) : len(ARKIT_NAMES) + len(HEAD_ANGLE_NAMES)]
    np.testing.assert_allclose(matrix_from_euler(angles), np.broadcast_to(rotation, (3, 3, 3)), atol=2e-3)
    eyes = wanted_points[list(CORNERS)].mean(0)
    width = np.log(256 / (PER_CM * step))
    np.testing.assert_allclose(outputs["outputs"][:, -3:], np.broadcast_to([*eyes, width], (3, 3)), atol=2e-3)


def test_results_do_not_depend_on_the_batch(engines: EngineSet) -> None:
    for card in engines.cards:
        engine, batch = open_engine(card, "onnxruntime-cpu"), pictures(card.input.size, 5)
        whole, alone = engine.run(batch), [engine.run(batch[k : k + 1]) for k in range(5)]
        for name in card.outputs:
            joined = np.concatenate([part[name] for part in alone])
            np.testing.assert_allclose(whole[name], joined, atol=1e-5)


def test_regressor_takes_it_as_any_other(engines: EngineSet) -> None:
    regressor = Regressor(open_engine(engines.regressor, "onnxruntime-cpu"))
    assert (regressor.size, regressor.crop_scale) == (256, CROP_SCALE)
    reading = regressor.read(list(pictures(256, 2)))
    assert reading.coefficients.shape == (2, 51) and not reading.hidden.any()


def test_a_head_is_fitted_at_any_angle() -> None:
    graph = OnnxGraph("fit")
    points = graph.input("points", "float32", (BATCH, 468, 3))
    weights = RNG.uniform(0, 1, 468)
    pose = fit_head(graph, points, FACE, weights, np.array([1.0, 2.0, 3.0]))
    graph.output(pose.angles, "angles", (BATCH, 3))
    graph.output(pose.position, "position", (BATCH, 3))
    graph.output(pose.scale, "scale", (BATCH, 1))
    session = onnxruntime.InferenceSession(graph.model(), providers=["CPUExecutionProvider"])
    angles = RNG.uniform([-3, -1.4, -3], [3, 1.4, 3], (40, 3))
    rotation, scale, place = matrix_from_euler(angles), RNG.uniform(0.05, 0.5, 40), RNG.normal(0, 1, (40, 3))
    seen = np.einsum("nij,pj->npi", rotation, FACE) * scale[:, None, None] + place[:, None]
    found, origin, size = session.run(None, {"points": seen.astype(np.float32)})
    np.testing.assert_allclose(matrix_from_euler(found), rotation, atol=1e-5)
    np.testing.assert_allclose(origin, rotation @ [1.0, 2.0, 3.0] * scale[:, None] + place, atol=1e-5)
    np.testing.assert_allclose(size[:, 0], scale, rtol=1e-5)


def test_resampling_takes_the_nearest_pixel() -> None:
    size, side = 16, 20
    graph = OnnxGraph("resample")
    picture = graph.input("picture", "uint8", (BATCH, size, size, 3))
    affine = graph.input("affine", "float32", (BATCH, 2, 3))
    graph.output(resampled(graph, picture, size, affine, side), "y", (BATCH, 3, side, side))
    session = onnxruntime.InferenceSession(graph.model(), providers=["CPUExecutionProvider"])
    pixels = RNG.integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    maps = RNG.normal([0, 0, 8], 0.7, (3, 2, 3))  # some places lie outside
    maps = np.round(maps * 1024) / 1024  # which float32 adds up exactly
    (found,) = session.run(None, {"picture": pixels, "affine": maps.astype(np.float32)})

    for y, x in np.ndindex(side, side):
        column, row = np.moveaxis(maps @ [x - 9.5, y - 9.5, 1.0], 1, 0)  # pixel k spans k .. k + 1
        inside = [np.clip(np.floor(place), 0, size - 1).astype(int) for place in (row, column)]
        np.testing.assert_array_equal(found[:, :, y, x], pixels[np.arange(3), inside[0], inside[1]])


def test_command_makes_a_set(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["engines", "import", str(bundle), str(tmp_path / "mediapipe"), "--name", "face"])
    assert ended.value.code in (0, None)
    assert "detector face-detector" in capsys.readouterr().out
    assert load_set(tmp_path / "mediapipe").regressor.name == "face-regressor"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a zip", ["is not a MediaPipe task bundle"]),
        ({"face_detector": b"x"}, ["lacks face_landmarks_detector.tflite, face_blendshapes.tflite"]),
        ({"face_detector": b"some text"}, ["face_detector.tflite is not a TensorFlow Lite network"]),
        ({"geometry": b"\x0a\xff"}, ["geometry_pipeline_metadata_landmarks.binarypb is damaged"]),
        ({"geometry": files.geometry_file(FACE, {})}, ["weighs no landmark"]),
    ],
    ids=["no zip", "incomplete", "no network", "damaged geometry", "no weights"],
)
def test_other_files_are_refused(
    bundle: Path, tmp_path: Path, content: bytes | dict[str, bytes], words: list[str]
) -> None:
    path = tmp_path / "face_landmarker.task"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        whole = (
            {}
            if "lacks" in words[0]
            else {
                "face_detector": files.detector_file(answer(), 3.0),
                "face_landmarks_detector": files.landmarks_file(landmarks(), 1.5),
                "face_blendshapes": files.blendshapes_file(LOGITS),
            }
        )
        geometry = {"geometry": files.geometry_file(FACE, WEIGHTS)}
        files.task_file(path, **{**whole, **geometry, **content})
    with pytest.raises(EngineError) as error:
        import_mediapipe(path, tmp_path / "set")
    for word in [str(path), *words]:
        assert word in str(error.value)
    assert not (tmp_path / "set").exists()


@pytest.mark.footage
@pytest.mark.skipif(not TASK.is_file(), reason="no face_landmarker.task here")
@pytest.mark.parametrize("name", ["single_face.mp4", "grid_lbax4n.mpg"])
def test_the_real_bundle_says_what_mediapipe_says(
    name: str, footage: Callable[[str], Path], tmp_path: Path
) -> None:
    clip = footage(name)
    cards = import_mediapipe(TASK, tmp_path / "mediapipe")
    detector, regressor = (open_engine(card, "onnxruntime-cpu") for card in cards)
    table = FaceCapture(detector, regressor).capture(Clip("clip", str(clip)))
    peer = pq.read_table(clip.parent / "reference_mediapipe" / f"{clip.stem}.parquet")
    assert table.face_found.all() and all(peer["face_found"].to_pylist())
    theirs = np.array([peer[column].to_pylist() for column in ARKIT_NAMES]).T
    assert np.abs(table.coefficients - theirs).mean() <= 0.02


@pytest.mark.footage
@pytest.mark.skipif(not TASK.is_file(), reason="no face_landmarker.task here")
def test_the_real_bundle_is_the_same_in_torch(footage: Callable[[str], Path], tmp_path: Path) -> None:
    import_mediapipe(TASK, tmp_path)
    videos = [footage("single_face.mp4")]
    for comparison in verify(str(tmp_path), ["onnxruntime-cpu"], "torch", videos, crops=20, images=4):
        assert comparison.ok, comparison
