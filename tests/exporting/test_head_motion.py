"""The head in motion: as far as the measured table says, with lips that stay lips and lids that stay open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.exporting.head import HeadModel, head_model
from facecap_batch.exporting.head.measured import EYE_DISTANCE, measured_motion
from facecap_batch.training.heads.shipped_motion import crossing_rows, lid_opening, live_link_rows, own_points

TAKES = Path(__file__).parents[3] / "shared" / "takes"
APART = 0.1  # of the distance between the eyeballs
INDEX = {name: number for number, name in enumerate(ARKIT_NAMES)}


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return head_model()


def rows_of(*poses: dict[str, float]) -> np.ndarray:
    """Rows of coefficients; a name without its side stands for both."""
    rows = np.zeros((len(poses), len(ARKIT_NAMES)))
    for row, pose in zip(rows, poses, strict=True):
        for name, value in pose.items():
            for full in [name] if name in INDEX else [f"{name}Left", f"{name}Right"]:
                row[INDEX[full]] = value
    return rows


def test_lips_lids_and_brows_move_as_far_as_was_measured(head: HeadModel) -> None:
    table, own = measured_motion(), own_points(head)
    for (shape, point), moved in own.items():
        wanted = table.get(shape, {}).get(point)
        if shape.endswith("Right") or wanted is None:
            continue
        if point.startswith(("lip", "upper l", "lower l", "brow", "cheek", "chin")):
            apart = np.linalg.norm(moved - wanted / EYE_DISTANCE)
            assert apart < APART, f"{shape}: {point} is {apart:.3f} apart"


def test_lips_do_not_pass_each_other_in_sums(head: HeadModel) -> None:
    random = np.random.default_rng(3)
    rows = np.zeros((300, len(ARKIT_NAMES)))
    mouth = [INDEX[name] for name in ARKIT_NAMES if name.startswith("mouth") and name != "mouthClose"]
    rows[:, mouth] = random.uniform(0, 0.35, (len(rows), len(mouth)))
    rows[:, INDEX["jawOpen"]] = random.uniform(0, 0.5, len(rows))
    rows[:, INDEX["mouthClose"]] = rows[:, INDEX["jawOpen"]]
    told = rows_of(
        {"mouthSmile": 1}, {"mouthShrugLower": 1}, {"mouthPress": 1, "mouthPucker": 1}, {"mouthFrown": 1},
        {"mouthRollUpper": 1}, {"mouthRollLower": 1}, {"mouthRollUpper": 1, "mouthRollLower": 1},
        {"mouthRollUpper": 0.7, "mouthRollLower": 1, "jawOpen": 0.1},
    )  # fmt: skip
    assert crossing_rows(head, np.concatenate([rows, told]))[0] == 0


@pytest.mark.parametrize("take", ["S07-001", "facial"])
def test_lips_do_not_pass_each_other_in_a_real_take(head: HeadModel, take: str) -> None:
    file = TAKES / f"{take}.csv"
    if not file.exists():
        pytest.skip("needs the shared takes")
    assert crossing_rows(head, live_link_rows(file))[0] == 0


def test_crossing_lips_are_found(head: HeadModel) -> None:
    assert crossing_rows(head, rows_of({"mouthClose": 0.3}))[0] == 1


def test_squints_do_not_shut_the_eyes(head: HeadModel) -> None:
    assert lid_opening(head, {"eyeSquint": 0.7, "cheekSquint": 0.7}) > 0.4
    assert lid_opening(head, {"eyeSquint": 0.7}) < 0.95
    assert lid_opening(head, {"eyeBlink": 1.0}) < 0.06


def test_a_smile_shows_upper_teeth_below_the_lip(head: HeadModel) -> None:
    weights = {"mouthSmile": 0.8, "mouthUpperUp": 0.6, "mouthLowerDown": 0.5}
    posed = head.posed(
        {f"{name}{side}": weight for name, weight in weights.items() for side in ("Left", "Right")}
    )
    teeth = head.parts["teethUpper"]
    assert (posed[teeth] == head.vertices[teeth]).all()
    assert (posed[head.parts["teethLower"]] == head.vertices[head.parts["teethLower"]]).all()
    opened = head.posed({"jawOpen": 1.0})
    lower = head.parts["teethLower"]
    gaps = np.linalg.norm(opened[lower][:, None] - opened[lower][None], axis=2)
    rest = np.linalg.norm(head.vertices[lower][:, None] - head.vertices[lower][None], axis=2)
    np.testing.assert_allclose(gaps, rest, atol=5e-3)  # the jaw carries them as one bone
