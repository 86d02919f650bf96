"""Names of landmark columns, and where eyes look."""

from __future__ import annotations

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES, GAZE_NAMES, is_landmark, landmark_names
from facecap_batch.engines.output_columns import output_columns
from facecap_batch.errors import EngineError
from facecap_batch.geometry import PITCH_FULL, YAW_FULL, eye_direction, gaze, matrix_from_euler
from facecap_batch.training.mirror import mirrored_name
from facecap_batch.training.rendering.gaze import gaze_from_coefficients

LOOK_NAMES = [f"eyeLook{way}{side}" for side in ("Left", "Right") for way in ("Out", "In", "Up", "Down")]


def look(**coefficients: float) -> np.ndarray:
    return np.array([[coefficients.get(name.removeprefix("eyeLook"), 0.0) for name in LOOK_NAMES]])


def test_names_sort_as_their_numbers_do() -> None:
    assert landmark_names(71)[:3] == ("landmark00X", "landmark00Y", "landmark01X")
    assert landmark_names(71)[-1] == "landmark70Y" and landmark_names(478)[1] == "landmark000Y"
    for count in (1, 10, 71, 100, 101, 478):
        names = landmark_names(count)
        assert sorted(names) == list(names) and len(names) == 2 * count and all(map(is_landmark, names))
    assert not any(map(is_landmark, ("landmark1X", "landmark01Z", "landmark01", "my landmark01X", "score")))


@pytest.mark.parametrize("name", ["landmark07X", "Landmark07x", "gazeLeftYaw", "GAZELeftYaw", "shot"])
def test_no_output_of_a_regressor_takes_their_names(name: str) -> None:
    with pytest.raises(EngineError, match=r"would hide the table.s column|by case alone"):
        output_columns([name, "jawOpen"], "it")


def test_eyes_at_rest_look_where_the_face_points() -> None:
    angles = np.array([[0.3, -0.2, 0.5], [-1.2, 0.4, 0.0]])
    found = gaze(np.zeros((2, 8)), angles)
    np.testing.assert_allclose(found, angles[:, [0, 1, 0, 1]], atol=1e-6)
    assert found.dtype == np.float32 and found.shape == (2, len(GAZE_NAMES))


def test_sides_and_signs() -> None:
    frontal = np.zeros((1, 3))
    to_the_right_edge = gaze(look(OutLeft=1, InRight=1), frontal)[0]  # toward the subject's left
    np.testing.assert_allclose(to_the_right_edge, [YAW_FULL, 0, YAW_FULL, 0], atol=1e-6)
    down = gaze(look(DownLeft=0.5, DownRight=0.5), frontal)[0]
    np.testing.assert_allclose(down, [0, PITCH_FULL / 2] * 2, atol=1e-6)
    crossed = gaze(look(InLeft=0.5, InRight=0.5), frontal)[0]
    assert crossed[0] < 0 < crossed[2]


def test_the_head_turns_the_gaze() -> None:
    angles = np.array([[0.4, 0.1, 0.6]])
    values = look(OutLeft=0.3, UpLeft=0.2)
    yaw, pitch = gaze(values, angles)[0, :2]
    direction = matrix_from_euler(angles)[0] @ eye_direction(0.3 * YAW_FULL, 0.2 * PITCH_FULL)
    said = matrix_from_euler(np.array([yaw, pitch, 0.0])) @ [0, 0, 1]
    np.testing.assert_allclose(said, direction, atol=1e-6)


def test_a_mirrored_face_looks_the_other_way() -> None:
    rng = np.random.default_rng(1)
    values, angles = rng.uniform(0, 0.6, (20, 8)), rng.normal(0, 0.4, (20, 3))
    mirrored = values[:, [LOOK_NAMES.index(mirrored_name(name)) for name in LOOK_NAMES]]
    found, other = gaze(values, angles), gaze(mirrored, angles * [-1, 1, -1])
    np.testing.assert_allclose(other, found[:, [2, 3, 0, 1]] * [-1, 1, -1, 1], atol=1e-6)


def test_what_is_not_known_is_not_guessed() -> None:
    values = np.zeros((3, 8))
    values[0, 1] = np.nan  # a hidden left eye
    angles = np.zeros((3, 3))
    angles[2, 1] = np.nan
    found = np.isnan(gaze(values, angles))
    assert found.tolist() == [[True, True, False, False], [False] * 4, [True] * 4]
    assert gaze(np.zeros((0, 8)), np.zeros((0, 3))).shape == (0, 4)


def test_eyes_turn_as_the_renderer_of_the_training_turns_them() -> None:
    values = np.random.default_rng(2).uniform(0, 1, len(ARKIT_NAMES))
    eyes = gaze(values[[ARKIT_NAMES.index(name) for name in LOOK_NAMES]][None], np.zeros((1, 3)))[0]
    for rotation, (yaw, pitch) in zip(gaze_from_coefficients(values), eyes.reshape(2, 2), strict=True):
        np.testing.assert_allclose(
            matrix_from_euler([yaw, pitch, 0])[:, 2], eye_direction(*rotation), atol=1e-6
        )
