"""Random expressions: which movements occur alone, on one side, together; and reading real takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.geometry import matrix_from_euler
from facecap_batch.training.mirror import LEFT_CHANNELS, MIRRORED_CHANNELS, RIGHT_CHANNELS
from facecap_batch.training.people.takes import read_take
from facecap_batch.training.rendering import expressions
from facecap_batch.training.rendering.expressions import sample
from facecap_batch.training.rendering.gaze import INDEX, PITCH_FULL, YAW_FULL, toward_camera

COUNT = 20_000
GAZE = np.array([name.startswith("eyeLook") for name in ARKIT_NAMES])
LIDS = np.array([name.startswith("eyeBlink") for name in ARKIT_NAMES])
COLUMNS = [name[0].upper() + name[1:] for name in ARKIT_NAMES]


@pytest.fixture(scope="module")
def faces():
    rng = np.random.default_rng(1)
    return np.stack([sample(rng) for _ in range(COUNT)])


def test_a_third_of_faces_does_something_on_one_side(faces):
    pairs = [
        (left, right)
        for left, right in zip(LEFT_CHANNELS, RIGHT_CHANNELS, strict=True)
        if not GAZE[left]  # eyes that look aside differ on both sides of every face
    ]
    left, right = np.array(pairs).T
    apart = (np.abs(faces[:, left] - faces[:, right]) > 0.2).any(axis=1)
    assert 1 / 3 < apart.mean() < 0.6
    # Both sides are equally often the stronger one, and mostly they go together.
    assert abs((faces[:, left] - faces[:, right]).mean()) < 0.005
    assert np.corrcoef(faces[:, left].ravel(), faces[:, right].ravel())[0, 1] > 0.6


@pytest.mark.parametrize("name", [name for name in ARKIT_NAMES if name != "mouthClose"])
def test_every_channel_is_reached_alone(faces, name):
    """Apart from gaze, for eyes look somewhere in most faces."""
    channel = INDEX[name]
    others = ~GAZE
    others[[channel, MIRRORED_CHANNELS[channel]]] = False
    alone = (faces[:, channel] > 0.4) & (faces[:, others].max(axis=1) < 0.12)
    assert alone.sum() >= 10
    paired = channel in LEFT_CHANNELS + RIGHT_CHANNELS
    if paired and not GAZE[channel]:
        assert (faces[alone, MIRRORED_CHANNELS[channel]] < 0.3 * faces[alone, channel]).any()


def test_brows_and_lids_move_whatever_the_mouth_does(faces):
    """Somebody who talks or smiles raises, lowers or draws together the brows as often as not."""
    brows = [INDEX[name] for name in ARKIT_NAMES if name.startswith("brow")]
    mouth = faces[:, [INDEX[name] for name in ARKIT_NAMES if name.startswith("mouth")]].max(axis=1) > 0.3
    assert 0.3 < (faces[mouth][:, brows] > 0.2).any(axis=1).mean() < 0.7


def test_lips_close_only_over_an_open_jaw(faces):
    close, jaw = faces[:, INDEX["mouthClose"]], faces[:, INDEX["jawOpen"]]
    assert (close - jaw).max() < 0.12  # noise of a face at rest
    assert 0.03 < (close > 0.1).mean() < 0.3
    assert ((jaw > 0.3) & (close < 0.01)).mean() > 0.05


def test_eyes_squint_with_open_lids_and_with_closed_ones(faces):
    squint = faces[:, [INDEX["eyeSquintLeft"], INDEX["eyeSquintRight"]]].mean(axis=1)
    blink = faces[:, [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]].max(axis=1)
    assert ((squint > 0.5) & (blink < 0.2)).sum() > 100
    assert ((squint > 0.5) & (blink > 0.8)).sum() > 20


def test_wide_eyes_are_not_closed(faces):
    for side in ("Left", "Right"):
        wide, blink = faces[:, INDEX[f"eyeWide{side}"]], faces[:, INDEX[f"eyeBlink{side}"]]
        assert wide[blink > 0.7].max() < 0.1 < wide.max()


def test_eyes_meet_the_camera_however_the_head_is_turned():
    raised = matrix_from_euler(np.array([0.0, -0.3, 0.0]))
    yaw, pitch = toward_camera(raised)
    assert abs(yaw) < 1e-9 and pitch == pytest.approx(-0.3 / PITCH_FULL)
    aside = matrix_from_euler(np.array([0.35, 0.0, 0.0]))  # to the subject's left, so the eyes go right
    assert toward_camera(aside)[0] == pytest.approx(-0.35 / YAW_FULL)
    rng = np.random.default_rng(2)
    faces = np.stack([sample(rng, rotation=raised) for _ in range(1000)])
    level = np.stack([sample(rng, rotation=np.eye(3)) for _ in range(1000)])
    down = INDEX["eyeLookDownLeft"]
    meets = np.abs(faces[:, down] - 0.3 / PITCH_FULL) < 0.25
    assert meets.mean() > 0.3 > 0.15 > (level[:, down] > 0.45).mean()


def test_lids_follow_eyes_that_look_down(faces):
    down, blink = faces[:, INDEX["eyeLookDownLeft"]], faces[:, INDEX["eyeBlinkLeft"]]
    high, low = blink[down > 0.5], blink[down == 0]
    assert np.median(high) > 0.15 > np.median(low)
    assert (high < 0.1).mean() > 0.15  # not always


def test_many_expressions_are_weak(faces):
    strongest = np.where(GAZE | LIDS, 0.0, faces).max(axis=1)
    assert 0.15 < ((strongest > 0.08) & (strongest < 0.35)).mean() < 0.4


def test_takes_are_used_where_they_are_given(monkeypatch):
    monkeypatch.setattr(expressions, "KINDS", {"take": 1.0})
    takes = np.zeros((2, len(ARKIT_NAMES)), np.float32)
    takes[:, INDEX["mouthSmileLeft"]] = 0.6
    takes[:, INDEX["browDownLeft"]] = 0.4
    faces = np.stack([sample(np.random.default_rng(seed), takes) for seed in range(40)])
    moved = np.flatnonzero(faces.any(axis=0))
    names = {"mouthSmileLeft", "mouthSmileRight", "browDownLeft", "browDownRight"}
    assert {ARKIT_NAMES[k] for k in moved} == names  # nothing but the take's own and its mirror image
    mirrored = faces[:, INDEX["mouthSmileRight"]] > 0
    assert 5 < mirrored.sum() < 35
    assert not (mirrored & (faces[:, INDEX["mouthSmileLeft"]] > 0)).any()
    strongest = faces[:, [INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"]]].max(axis=1)
    assert 0.3 <= strongest.min() < strongest.max() <= 0.6 * 1.15 + 1e-6


def test_without_takes_their_share_shows_emotions(monkeypatch):
    monkeypatch.setattr(expressions, "MILD", 0.0)
    monkeypatch.setattr(expressions, "KINDS", {"take": 1.0})
    faces = np.stack([sample(np.random.default_rng(seed)) for seed in range(40)])
    assert (faces[:, ~GAZE].max(axis=1) > 0.15).all()


def write_take(path: Path, columns: list[str], rows: list[list[str]]) -> Path:
    lines = [["Timecode", "BlendShapeCount", *columns, "TongueOut"]]
    lines += [["00:00:01:00.000", "61", *row, "0.0"] for row in rows]
    path.write_text("\n".join(",".join(line) for line in lines) + "\n")
    return path


def test_a_take_is_read_in_the_order_of_the_coefficients(tmp_path):
    order = list(reversed(range(len(COLUMNS))))
    rows = [[str(k / 100) for k in order], ["-0.5"] * len(order), ["1.5"] * len(order)]
    path = write_take(tmp_path / "take.csv", [COLUMNS[k] for k in order], rows)
    values = read_take(path)
    assert values.dtype == np.float32 and values.shape == (3, len(ARKIT_NAMES))
    np.testing.assert_allclose(values[0], np.arange(len(ARKIT_NAMES)) / 100, rtol=1e-6)
    assert (values[1] == 0).all() and (values[2] == 1).all()


def test_a_take_that_lacks_a_column_is_named_with_it(tmp_path):
    path = write_take(tmp_path / "face.csv", COLUMNS[1:], [["0"] * (len(COLUMNS) - 1)])
    with pytest.raises(ValueError, match=rf"face\.csv.*lacks the columns {COLUMNS[0]}"):
        read_take(path)


def test_a_take_with_a_word_for_a_number_is_named_with_the_row(tmp_path):
    rows = [["0"] * len(COLUMNS), ["0", "wide", *["0"] * (len(COLUMNS) - 2)]]
    path = write_take(tmp_path / "face.csv", COLUMNS, rows)
    with pytest.raises(ValueError, match=rf"face\.csv, row 2: {COLUMNS[1]} is no number: wide"):
        read_take(path)


def test_an_empty_take_is_refused(tmp_path):
    path = write_take(tmp_path / "face.csv", COLUMNS, [])
    with pytest.raises(ValueError, match=r"face\.csv.*no rows"):
        read_take(path)
