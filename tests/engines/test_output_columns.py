"""Regressors with any outputs: which columns they become, and their way to every file."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.clip import Clip
from facecap_batch.coefficients import (
    ARKIT_NAMES,
    GAINS_METADATA,
    OUTPUT_NAMES,
    SCHEMA,
    SHAPE_NAMES,
    CoefficientTable,
    read_parquet,
    write_parquet,
)
from facecap_batch.engines.batching import Engine
from facecap_batch.engines.output_columns import POSE_NAMES, output_columns
from facecap_batch.errors import EngineError, ImpossibleOutput
from facecap_batch.exporting.fbx.writer import write_fbx
from facecap_batch.exporting.livelink import write_livelink_csv
from facecap_batch.exporting.preview.overlay import annotate
from facecap_batch.exporting.preview.style import LOST
from facecap_batch.output.query import query
from facecap_batch.solve.settings import SolveSettings
from facecap_batch.solve.solver import solve_table
from tests.support.animations import constant_rate, with_tongue
from tests.support.discs import DiscDetector, DiscRegressor, scene
from tests.support.fbx_readers import check
from tests.support.videos import write_video

JAW, TONGUE = SHAPE_NAMES.index("jawOpen"), SHAPE_NAMES.index("tongueOut")
HEAD = OUTPUT_NAMES[51:]


class NamedRegressor:
    """The discs' regressor under a card with other names, in their order; outputs of its own say 9 times how
    blue the disc is, less 1."""

    backend = "discs"

    def __init__(self, names: Sequence[str], main: str = "outputs", head_frame: str = "crop") -> None:
        self._discs = DiscRegressor()
        self._names = names
        self.card = dataclasses.replace(
            self._discs.card,
            outputs={main: ("N", len(names))},  # and nothing that says whether a face is there
            output_names=tuple(names),
            head_frame=head_frame,
        )

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        said = self._discs.run(batch)["outputs"]
        known = {
            **dict(zip(OUTPUT_NAMES, said.T, strict=True)),
            **dict(zip(POSE_NAMES, said.T[51:], strict=True)),
        }
        own = 9 * known["jawOpen"] - 1
        columns = [known.get(name, own) for name in self._names]
        return {next(iter(self.card.outputs)): np.stack(columns, axis=1)}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    places = np.column_stack([160 + 40 * np.sin(np.arange(40) / 15), np.full(40, 120), np.full(40, 35.0)])
    frames = [scene(320, 240, place) for place in places]
    return write_video(tmp_path_factory.mktemp("discs") / "discs.mp4", frames, options={"crf": "12"})


def taken(video: Path, regressor: Engine) -> CoefficientTable:
    return FaceCapture(DiscDetector(), regressor).capture(Clip("clip", str(video)))


def test_names_decide_and_not_their_order() -> None:
    names = ["tongueOut", "headRoll", "jawOpen", "headYaw", "headPitch", "cheekRaiser", "eyeBlinkLeft"]
    columns = output_columns(names, "it")
    assert columns.coefficients[JAW] == 2 and columns.coefficients[0] == 6 and columns.coefficients[51] == 0
    assert (columns.coefficients >= 0).sum() == 3 and columns.shape_names == SHAPE_NAMES
    assert columns.pose.tolist() == [3, 4, 1, -1, -1, -1]
    assert columns.extra_names == ("cheekRaiser",) and columns.extra.tolist() == [5]
    assert output_columns(OUTPUT_NAMES, "it").shape_names == ARKIT_NAMES
    assert output_columns(OUTPUT_NAMES, "it").pose.tolist() == list(range(51, 57))


@pytest.mark.parametrize(
    ("names", "telling"),
    [
        ([], "no output is named"),
        (["jawOpen", "jawOpen"], "one name"),
        (["smile", "Smile"], "'smile' and 'Smile' are one name"),
        (["TongueOut"], "differs from the column 'tongueOut' by case alone"),
        (["tongueOut", "tongueOutSpread"], "would hide the table's column"),
        (["JawOpen"], "differs from the column 'jawOpen' by case alone"),
        (["score"], "would hide the table's column"),
        ([" jawOpen"], "is no name"),
        (["a,b"], "is no name"),
        ([""], "is no name"),
        (
            ["headYaw", "jawOpen"],
            "a rotation needs all of headYaw, headPitch, headRoll: headPitch, headRoll not",
        ),
        (["u", "v"], "a position needs all of u, v, s: s not named"),
        ([*POSE_NAMES[:3], *HEAD[:3]], "the rotation is named twice"),
    ],
)
def test_names_that_make_no_table_are_refused(names: list[str], telling: str) -> None:
    with pytest.raises(EngineError, match=f"my network: .*{telling}"):
        output_columns(names, "my network")


def test_a_regressor_of_all_columns_in_another_order_says_the_same(video: Path) -> None:
    usual = taken(video, DiscRegressor())
    other = taken(video, NamedRegressor(OUTPUT_NAMES[::-1], main="logits"))
    np.testing.assert_array_equal(other.coefficients, usual.coefficients)
    np.testing.assert_array_equal(other.head, usual.head)
    assert other.extra_names == () and other.extra.shape == (40, 0)


def test_outputs_that_are_missing_or_its_own_reach_every_file(video: Path, tmp_path: Path) -> None:
    raw = taken(video, NamedRegressor(["tongueOut", "jawOpen", "cheekRaiser", "yaw", "pitch", "roll"]))
    assert raw.face_found.all() and np.isfinite(raw.head[:, :3]).all() and np.isnan(raw.head[:, 3:]).all()
    assert np.isnan(np.delete(raw.coefficients, [JAW, TONGUE], axis=1)).all()
    np.testing.assert_allclose(raw.extra[:, 0], 9 * raw.coefficients[:, JAW] - 1, atol=1e-5)
    np.testing.assert_array_equal(raw.coefficients[:, TONGUE], np.clip(raw.extra[:, 0], 0, 1))
    write_parquet(raw, tmp_path / "raw" / "clip.parquet")
    raw = read_parquet(tmp_path / "raw" / "clip.parquet")
    final = solve_table(raw)
    assert final.face_found.all() and final.extra_names == ("cheekRaiser",)
    assert np.isfinite(final.extra).all() and np.isfinite(final.coefficients[:, JAW]).all()
    assert (
        np.isnan(np.delete(final.coefficients, [JAW, TONGUE], axis=1)).all()
        and np.isnan(final.head[:, 3:]).all()
    )
    assert final.extra.max() > 1  # not clipped
    path = tmp_path / "coefficients" / "clip.parquet"
    write_parquet(final, path)
    assert pq.read_schema(path).names == [*SCHEMA.names, "tongueOut", "cheekRaiser"]
    np.testing.assert_array_equal(read_parquet(path).extra, final.extra)

    write_fbx(final, tmp_path / "clip.fbx")
    seen = read_fbx(final, tmp_path)
    assert list(seen["own_names"]) == ["cheekRaiser"] and list(seen["names"]) == list(SHAPE_NAMES)
    np.testing.assert_allclose(seen["own"][0], final.extra[:, 0], atol=1e-5)
    np.testing.assert_allclose(seen["weights"][TONGUE], final.coefficients[:, TONGUE], atol=1e-5)
    np.testing.assert_allclose(seen["weights"][JAW], final.coefficients[:, JAW], atol=1e-5)
    assert (np.delete(seen["weights"], [JAW, TONGUE], axis=0) == 0).all() and (seen["translation"] == 0).all()

    write_livelink_csv(final, tmp_path / "clip.csv")
    with (tmp_path / "clip.csv").open() as file:
        lines = list(csv.DictReader(file))
    np.testing.assert_allclose(
        [float(line["TongueOut"]) for line in lines], final.coefficients[:, TONGUE], atol=1e-6
    )
    assert float(lines[0]["EyeBlinkLeft"]) == 0

    found = query(tmp_path, "SELECT max(tongueOut) AS t, count(eyeBlinkLeft) AS n FROM coefficients")
    assert found.to_pydict() == {"t": [float(final.coefficients[:, TONGUE].max())], "n": [0]}


def read_fbx(table: CoefficientTable, folder: Path) -> dict[str, np.ndarray]:
    from tests.support.fbx_readers import read_back

    return read_back(folder / "clip.fbx", table.time_s() - table.time_s()[0], folder)


def test_a_spread_without_the_tongue_s_leaves_that_unknown(video: Path) -> None:
    class Unsure(NamedRegressor):
        def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
            return {**super().run(batch), "spread": np.full((len(batch), 51), 0.1, np.float32)}

    regressor = Unsure(["tongueOut", "jawOpen", *POSE_NAMES])
    outputs = {**regressor.card.outputs, "spread": ("N", 51)}
    regressor.card = dataclasses.replace(regressor.card, outputs=outputs)
    raw = taken(video, regressor)
    assert (raw.spread[:, :51] == np.float32(0.1)).all() and np.isnan(raw.spread[:, 51]).all()
    assert np.isfinite(solve_table(raw).coefficients[:, TONGUE]).all()


def test_a_regressor_without_arkit_names_or_head_works(video: Path) -> None:
    raw = taken(video, NamedRegressor(["valence", "arousal"]))
    final = solve_table(raw)
    assert final.face_found.all() and np.isfinite(final.extra).all() and np.isfinite(final.box).all()
    assert np.isnan(final.coefficients).all() and np.isnan(final.head).all()
    picture = annotate(np.zeros((240, 320, 3), np.uint8), final, 5, 240)
    assert not (picture == LOST).all(axis=2).any()  # it has a face, whatever it says of it


def test_a_regressor_of_the_head_alone_works(video: Path) -> None:
    final = solve_table(taken(video, NamedRegressor(POSE_NAMES)))
    usual = solve_table(taken(video, DiscRegressor()))
    np.testing.assert_array_equal(final.head, usual.head)
    assert final.face_found.all() and np.isnan(final.coefficients).all()


@pytest.mark.parametrize(
    ("column", "value"), [(0, np.nan), (0, -6e37), (1, np.inf), (3, 6e37), (4, 6e37), (6, 6e37), (7, 6e37)]
)
def test_what_no_face_can_have_fails_the_clip(video: Path, value: float, column: int) -> None:
    class Broken(NamedRegressor):
        def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
            said = super().run(batch)
            said["outputs"][-1, column] = value
            return said

    with pytest.raises(ImpossibleOutput, match=r"engine '.*': output '.*' says (nan|-?inf|-?6e\+37)"):
        taken(video, Broken(["jawOpen", *POSE_NAMES, "mine"]))


@pytest.mark.parametrize("column", [0, 5])
def test_a_head_in_the_camera_frame_has_bounds_too(video: Path, column: int) -> None:
    class Broken(NamedRegressor):
        def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
            said = super().run(batch)
            said["outputs"][-1, column] = 6e37
            return said

    with pytest.raises(ImpossibleOutput, match=r"says 6e\+37"):
        taken(video, Broken([*HEAD, "jawOpen"], head_frame="camera"))


def test_a_head_in_the_camera_frame_is_taken_as_it_is(video: Path) -> None:
    raw = taken(video, NamedRegressor([*HEAD, "jawOpen"], head_frame="camera"))
    said = taken(video, DiscRegressor())
    assert raw.face_found.all()
    assert np.abs(raw.head[:, 3:5]).max() <= 1  # centimetres now, no longer halves of a crop
    assert np.abs(raw.head - said.head).max() > 10


def test_columns_of_its_own_are_smoothed_filled_and_stretched_like_coefficients() -> None:
    table = constant_rate(Fraction(30), 90)
    jaw = table.coefficients[:, JAW]
    own = np.stack([jaw, 1 - jaw], axis=1)
    found = np.ones(90, bool)
    found[40:45] = False
    gains = {GAINS_METADATA: '{"jawOpen": 1.3, "ownJaw": 1.3}'}
    raw = table.replace(extra=own, extra_names=("ownJaw", "shut"), face_found=found, metadata=gains)
    for name in ("coefficients", "head", "extra"):
        getattr(raw, name)[~found] = np.nan
    final = solve_table(raw)
    np.testing.assert_allclose(np.clip(final.extra[:, 0], 0, 1), final.coefficients[:, JAW], atol=1e-6)
    assert np.isfinite(final.extra[40:45]).all()
    measured = solve_table(raw, SolveSettings(enabled=False))
    np.testing.assert_array_equal(measured.extra, raw.extra)


def test_tables_of_two_regressors_side_by_side_can_be_asked(tmp_path: Path) -> None:
    plain = constant_rate(Fraction(30), 4, clip_id="a")
    own = constant_rate(Fraction(30), 4, clip_id="b")
    own = with_tongue(own, np.full(4, 0.5))
    for order in ((plain, own), (own, plain)):
        for table, name in zip(order, ("1", "2"), strict=True):
            write_parquet(table, tmp_path / "coefficients" / f"{name}.parquet")
        found = query(tmp_path, "SELECT count(*) AS n, avg(tongueOut) AS t FROM coefficients")
        assert found.to_pydict() == {"n": [8], "t": [0.5]}


def test_the_head_of_the_usual_regressor_gains_no_property(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 30)
    write_fbx(table, tmp_path / "a.fbx")
    assert len(check(table, tmp_path / "a.fbx", tmp_path)["own_names"]) == 0
