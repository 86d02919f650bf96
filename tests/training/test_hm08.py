"""The second rig family: targets are read, people are mixed from them, and the head is put together, all on
a small mesh of the same structure as MakeHuman's."""

from __future__ import annotations

import dataclasses
import gzip
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.training.heads import common_meaning, mesh
from facecap_batch.training.heads.head_model import HeadModel, eye_centres
from facecap_batch.training.heads.hm08 import head, identities
from facecap_batch.training.heads.hm08.files import head_files
from facecap_batch.training.heads.hm08.landmarks import attach
from facecap_batch.training.heads.hm08.surface import open_edges
from facecap_batch.training.heads.hm08.targets import find_target, read_target
from facecap_batch.training.heads.makehuman import Mesh
from facecap_batch.training.heads.similarity import fit, steady_points
from facecap_batch.training.heads.source_files import MissingSource
from facecap_batch.training.mirror import MIRRORED_LANDMARKS
from facecap_batch.training.people import identities as people
from facecap_batch.training.people.rig import Family
from facecap_batch.training.people.sources import Sources
from tests.support.makehuman import EYE, EYE_RADIUS, SHIFT, model_on_egg, write_head

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "jobs"))
import synthesise

DETAILS = ["eyes/l-eye-size-decr", "eyes/l-eye-size-incr", "eyes/r-eye-size-decr", "eyes/r-eye-size-incr",
           "asym/asym-brow-l", "asym/asym-brow-r", "head/head-oval"]  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
def test_a_target_is_read_plain_or_packed(tmp_path, packed):
    text = "# MakeHuman\n\n3 0.1 -0.2 .3  # the tip\n0 1e-1 0 0\n"
    path = tmp_path / ("nose.target.gz" if packed else "nose.target")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    target = read_target(path, 4)
    assert target.vertex.tolist() == [3, 0]
    np.testing.assert_allclose(target.full(4)[[0, 1, 3]], [[0.1, 0, 0], [0, 0, 0], [0.1, -0.2, 0.3]])
    assert find_target(tmp_path, "nose") == path


@pytest.mark.parametrize(
    ("line", "message"),
    [("1 0.1 0.2", "not 'vertex dx dy dz': 1 0.1 0.2"), ("1 0.1 0.2 0.3 0.4", "not 'vertex dx dy dz'"),
     ("nose 0 0 0", "not 'vertex dx dy dz': nose"), ("1 0 up 0", "not 'vertex dx dy dz'"),
     ("4 0 0 0", "the base mesh has no vertex 4"), ("-1 0 0 0", "the base mesh has no vertex -1")],
)  # fmt: skip
def test_a_damaged_target_is_named_with_its_line(tmp_path, line, message):
    path = tmp_path / "chin.target"
    path.write_text(f"# one\n0 0 0 0\n{line}\n")
    with pytest.raises(ValueError, match=r"chin\.target, line 3: ") as caught:
        read_target(path, 4)
    assert message in str(caught.value)


def weights_of(weights: dict[str, float], start: str) -> float:
    return sum(value for name, value in weights.items() if name.startswith(start))


def test_macro_targets_of_a_person_sum_to_one():
    rng = np.random.default_rng(0)
    everyone = [identities.AVERAGE]
    everyone += [identities.macro(rng, identities.age(rng), float(rng.random())) for _ in range(50)]
    for weights in everyone:
        assert set(weights) <= set(identities.MACRO_NAMES)
        assert min(weights.values()) > 0
        assert weights_of(weights, "universal-") == pytest.approx(1)
        assert sum(weights_of(weights, f"{a}-") for a in identities.ANCESTRIES) == pytest.approx(1)


def test_macro_targets_follow_age_and_sex():
    rng = np.random.default_rng(1)
    girl = identities.macro(rng, 11.0, 0.0)
    assert all("-female-child" in name for name in girl)
    between = identities.macro(rng, 18.0, 1.0)
    assert weights_of(between, "universal-male-child-") == pytest.approx(0.5)
    assert weights_of(between, "universal-male-young-") == pytest.approx(0.5)
    older = identities.macro(rng, 99.0, 0.5)
    assert all("-old" in name for name in older)
    assert weights_of(older, "universal-female-") == pytest.approx(0.5)


def test_ages_are_mostly_those_of_adults():
    rng = np.random.default_rng(2)
    ages = np.array([identities.age(rng) for _ in range(2000)])
    assert ages.min() >= 1 and ages.max() <= 85
    assert 0.05 < (ages < 15).mean() < 0.2 and 0.25 < (ages > 45).mean() < 0.45


def test_opposite_targets_are_the_ends_of_one_slider():
    assert identities.sliders(DETAILS) == {
        "eyes/l-eye-size": ("eyes/l-eye-size-decr", "eyes/l-eye-size-incr"),
        "eyes/r-eye-size": ("eyes/r-eye-size-decr", "eyes/r-eye-size-incr"),
        "asym/asym-brow-l": (None, "asym/asym-brow-l"),
        "asym/asym-brow-r": (None, "asym/asym-brow-r"),
        "head/head-oval": (None, "head/head-oval"),
    }


def slider(weights: dict[str, float], name: str) -> float:
    return weights.get(f"{name}-incr", 0.0) - weights.get(f"{name}-decr", 0.0)


@pytest.mark.parametrize("asymmetry", [0.0, 0.4])
def test_the_halves_of_a_face_differ_by_its_asymmetry(monkeypatch, asymmetry):
    monkeypatch.setattr(identities, "ASYMMETRY", ((1.0, asymmetry),))
    rng = np.random.default_rng(3)
    apart, uneven = [], 0
    for _ in range(200):
        weights = identities.details(rng, DETAILS)
        assert min(weights.values(), default=1.0) > 0
        assert max(weights.values(), default=0.0) <= identities.MAX_POSITION
        assert not {"asym/asym-brow-l", "asym/asym-brow-r"} <= set(weights)  # opposites
        apart.append(slider(weights, "eyes/l-eye-size") - slider(weights, "eyes/r-eye-size"))
        uneven += any(name.startswith("asym/") for name in weights)
    if asymmetry:
        assert np.std(apart) == pytest.approx(asymmetry, rel=0.3) and uneven > 50
    else:
        np.testing.assert_allclose(apart, 0, atol=1e-9)
        assert uneven == 0


def test_points_attach_to_the_nearest_quad():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0, 0], [2, 1, 0]], float)
    quads = np.array([[0, 1, 2, 3], [1, 4, 5, 2]])
    mesh = Mesh(vertices, np.zeros((1, 2)), quads, np.zeros((2, 4), int))
    row, weights, distance = attach(mesh, np.array([[0.5, 0.25, 0.3], [1.75, 1.0, -0.1]]))
    assert row.tolist() == [0, 1]
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    at = np.einsum("nc,ncd->nd", weights, vertices[quads[row]])
    np.testing.assert_allclose(at, [[0.5, 0.25, 0], [1.75, 1, 0]], atol=1e-9)
    np.testing.assert_allclose(distance, [0.3, 0.1], atol=1e-9)


def test_open_edges_belong_to_one_quad():
    edges = open_edges(np.array([[0, 1, 2, 3], [1, 4, 5, 2]]))
    assert {tuple(edge) for edge in edges.tolist()} == {(0, 1), (2, 3), (3, 0), (1, 4), (4, 5), (5, 2)}


@pytest.fixture(scope="module")
def makehuman(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hm08")
    write_head(folder)
    return folder


@pytest.fixture(scope="module")
def reference() -> HeadModel:
    """The egg with eyeballs where the folder's are, 1 centimetre higher and a tenth larger."""
    model = model_on_egg()
    rng = np.random.default_rng(0)
    unit = rng.normal(size=(40, 3))
    unit = np.concatenate([unit, -unit]) / np.linalg.norm(np.concatenate([unit, -unit]), axis=1)[:, None]
    centres = [10 * (EYE * [side, 1, 1] - [0, SHIFT, 0]) for side in (1, -1)]
    balls = [centre + 10 * EYE_RADIUS * unit for centre in centres]
    kinds = np.repeat([mesh.EYE_LEFT, mesh.EYE_RIGHT], len(unit)).astype(np.int8)
    neutral = np.concatenate([model.neutral, *balls])
    return dataclasses.replace(
        model,
        neutral=(1.1 * neutral + [0, 1, 0]).astype(np.float32),
        uv=np.concatenate([model.uv, np.zeros((len(kinds), 2), np.float32)]),
        vertex_material=np.concatenate([model.vertex_material, kinds]),
    )


@pytest.fixture(scope="module")
def built(makehuman, reference) -> HeadModel:
    return head.build_unscaled(makehuman, reference)


def test_the_head_stands_where_the_reference_does(built, reference):
    own = steady_points(built.neutral, built.landmarks, built.vertex_material)
    theirs = steady_points(reference.neutral, reference.landmarks, reference.vertex_material)
    found = fit(own, theirs)
    assert found.scale == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(found.rotation, np.eye(3), atol=0.02)
    for left, right in zip(
        eye_centres(built.neutral, built.vertex_material),
        eye_centres(reference.neutral, reference.vertex_material),
        strict=True,
    ):
        np.testing.assert_allclose(left, right, atol=0.5)


def test_landmarks_of_both_sides_are_mirror_images(built):
    marks = built.neutral[built.landmarks]
    middle = marks[:, 0].mean()
    mirrored = (marks - [middle, 0, 0])[list(MIRRORED_LANDMARKS)] * [-1, 1, 1] + [middle, 0, 0]
    np.testing.assert_allclose(marks, mirrored, atol=0.05)  # centimetres; quads are searched in steps
    assert marks[45, 0] > marks[42, 0] > marks[39, 0] > marks[36, 0]


def test_all_parts_of_the_head_are_there(built):
    wanted = {mesh.FACE, mesh.HEAD, mesh.MOUTH, mesh.GUMS, mesh.TEETH, mesh.LASH,
              mesh.EYE_LEFT, mesh.EYE_RIGHT}  # fmt: skip
    assert set(built.material.tolist()) == wanted
    assert built.triangles.max() < len(built.neutral) and built.triangles.min() >= 0
    face = built.triangles[built.material == mesh.FACE]
    assert ((built.uv[face] > 0) & (built.uv[face] < 1)).all()
    assert len(built.lid_left) > 0 and len(built.lid_right) > 0 and len(built.face_box) > 0


def test_a_hem_hangs_below_the_neck(built):
    head_rows = np.unique(built.triangles[built.material == mesh.HEAD])
    lowest = np.sort(built.neutral[head_rows, 1])
    rows = 12  # vertices of a ring of the neck
    drop = lowest[rows : 2 * rows].mean() - lowest[:rows].mean()
    assert drop == pytest.approx(12.0 * 1.1, rel=0.1)  # HEM_LENGTH in centimetres, a tenth larger


def test_shapes_move_what_their_targets_move(built):
    marks = built.landmarks
    jaw = common_meaning.shape_displacement(built, "jawOpen")
    assert jaw[marks[8], 1] == pytest.approx(-2.2, rel=0.05)  # 0.2 decimetres, a tenth larger
    assert abs(jaw[marks[27], 1]) < 1e-3
    for kind in (mesh.EYE_LEFT, mesh.EYE_RIGHT):
        assert not jaw[built.vertex_material == kind].any()
    assert built.shape_start.tolist() == sorted(built.shape_start.tolist())
    assert len(built.shape_start) == len(ARKIT_NAMES) + 1
    assert built.shape_start[-1] == len(built.shape_vertex) == len(built.shape_delta)


def test_an_eyeball_follows_the_target_as_a_whole(built):
    name = "universal-female-young-averagemuscle-averageweight"
    moved = built.identity[built.identity_names.index(name)]
    left, right = (moved[built.vertex_material == kind] for kind in (mesh.EYE_LEFT, mesh.EYE_RIGHT))
    np.testing.assert_allclose(left, np.broadcast_to([0, 0.22, 0], left.shape), atol=0.02)
    assert not right.any()


def test_people_of_the_family_keep_the_pose_and_nearly_the_size(built):
    for seed in range(3):
        who = people.hm08(built, np.random.default_rng(seed))
        assert who.rest.shape == built.neutral.shape
        marks = (built.landmarks, built.vertex_material)
        found = fit(steady_points(built.neutral, *marks), steady_points(who.rest, *marks))
        assert found.scale == pytest.approx(1, abs=0.06)
        np.testing.assert_allclose(found.rotation, np.eye(3), atol=1e-3)
        assert 1 <= who.age < 85


def test_a_missing_file_is_named_with_its_origin(makehuman, reference, tmp_path):
    for name, origin in (
        ("base.obj", "makehumancommunity/makehuman"),
        ("faceunits/jawOpen.target", "makehumancommunity/extra-targets"),
        ("targets/macrodetails/asian-male-old.target.gz", "makehumancommunity/mpfb2"),
    ):
        path = makehuman / name
        aside = path.rename(tmp_path / "aside")
        try:
            with pytest.raises(MissingSource, match=r"is missing; get it from ") as caught:
                head.build_unscaled(makehuman, reference)
        finally:
            aside.rename(path)
        assert str(path) in str(caught.value) and origin in str(caught.value)
    assert len(head_files()) == 1 + len(ARKIT_NAMES) + 2 + len(identities.MACRO_NAMES)


def test_hm08_needs_the_folder_of_makehuman(tmp_path):
    with pytest.raises(MissingSource, match="hm08 is MakeHuman's head"):
        Sources(tmp_path, None, tmp_path).load(Family.hm08)


def run_synthesise(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(synthesise.main)
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "400", "NO_COLOR": "1"})
    return result.exit_code, " ".join(result.output.split())


def test_the_job_names_what_is_missing(tmp_path):
    code, text = run_synthesise("--ict", str(tmp_path), "--output", str(tmp_path / "data"))
    assert code == 2 and "generic_neutral_mesh.obj is missing" in text and "ICT-VGL/ICT-FaceKit" in text


def test_the_job_names_a_bad_take(tmp_path, monkeypatch):
    monkeypatch.setattr(Sources, "load", lambda *_: None)
    (tmp_path / "me.csv").write_text("Timecode,JawOpen\n0,0.5\n")
    code, text = run_synthesise("--ict", str(tmp_path), "--takes", str(tmp_path))
    assert code == 2 and "me.csv is no Live Link Face take" in text
    code, text = run_synthesise("--ict", str(tmp_path), "--takes", str(tmp_path / "none"))
    assert code == 2 and "holds no Live Link Face take" in text


def test_the_job_knows_two_families(tmp_path):
    code, text = run_synthesise("--ict", str(tmp_path), "--family", "flame")
    assert code == 2 and "'ict', 'hm08'" in text
