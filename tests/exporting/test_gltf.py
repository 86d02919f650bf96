"""glTF binary: what Khronos' validator and three.js make of it, its shapes, its notes, its container."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pygltflib
import pytest

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.exporting.gltf.binary import Buffer, glb_bytes, glb_parts
from facecap_batch.exporting.gltf.writer import key_times, take_glb, write_glb
from facecap_batch.exporting.head import head_model
from facecap_batch.exporting.take import take_of
from tests.support.animations import constant_rate, make_table, variable_rate
from tests.support.formats.gltf import issues, node_folder, numbers, read_glb, read_three
from tests.support.formats.seen import bridged, compare, truth

CLIPS = {
    "constant": lambda: constant_rate(Fraction(30000, 1001), 40),
    "variable": lambda: variable_rate(40),
    "one-frame": lambda: constant_rate(Fraction(30), 1),
    "no-frame": lambda: make_table(np.zeros(0), Fraction(1, 30), Fraction(30)),
}


@pytest.mark.parametrize("clip", CLIPS)
def test_khronos_validator_finds_nothing(clip: str, tmp_path: Path) -> None:
    folder = node_folder("gltf-validator")
    if folder is None:
        pytest.skip("npm's gltf-validator is not in FACECAP_NODE_DIR")
    write_glb(CLIPS[clip](), tmp_path / "a.glb")
    assert issues(tmp_path / "a.glb", folder) == []


@pytest.mark.parametrize("clip", ["constant", "variable", "one-frame"])
def test_three_js_shows_every_weight_and_pose(clip: str, tmp_path: Path) -> None:
    folder = node_folder("three")
    if folder is None:
        pytest.skip("npm's three is not in FACECAP_NODE_DIR")
    table = CLIPS[clip]()
    write_glb(table, tmp_path / "a.glb")
    wanted = truth(table)
    compare(read_three(tmp_path / "a.glb", wanted.seconds, folder, tmp_path), wanted, 0.0)


def test_the_head_deforms_as_the_model_does(tmp_path: Path) -> None:
    write_glb(constant_rate(Fraction(30), 2), tmp_path / "a.glb")
    document = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    head = head_model()
    for name in ("jawOpen", "eyeBlinkLeft", "browInnerUp"):
        posed = head.posed({name: 1.0}) * 0.01
        target = ARKIT_NAMES.index(name)
        for primitive in document.meshes[0].primitives:
            positions = numbers(document, primitive.attributes.POSITION)
            moved = positions + numbers(document, primitive.targets[target]["POSITION"])
            # Every vertex is one of the model's, and goes where that one goes.
            where = np.abs(positions[:, None] - head.vertices[None] * 0.01).max(axis=2)
            assert where.min(axis=1).max() < 1e-6
            twins = where < 1e-6
            gaps = np.where(twins, np.abs(moved[:, None] - posed[None]).max(axis=2), np.inf)
            assert gaps.min(axis=1).max() < 1e-6
            corners = numbers(document, primitive.indices).reshape(-1, 3).astype(int)
            a, b, c = (positions[corners[:, k]] for k in range(3))
            normals = numbers(document, primitive.attributes.NORMAL)[corners].sum(axis=1)
            area = np.cross(b - a, c - a)
            outward = (area * normals).sum(axis=1)[np.linalg.norm(area, axis=1) > 1e-10]
            assert (outward > 0).mean() > 0.98  # counterclockwise seen from outside


def test_channels_without_a_shape_have_weights_all_the_same(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 8)
    table = table.replace(extra_names=("tongueCurl",), extra=np.linspace(0, 1, 8, dtype=np.float32)[:, None])
    (tmp_path / "a.glb").write_bytes(take_glb(take_of(table)))
    document = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    mesh = document.meshes[0]
    assert mesh.extras["targetNames"] == [*ARKIT_NAMES, "tongueCurl"]
    assert not numbers(document, mesh.primitives[0].targets[-1]["POSITION"]).any()
    sampler = document.animations[0].samplers[2]
    weights = numbers(document, sampler.output).reshape(8, 52)
    np.testing.assert_allclose(weights[:, -1], table.extra[:, 0], atol=1e-6)


def test_other_names_flow_through(tmp_path: Path) -> None:
    take = take_of(constant_rate(Fraction(30), 5))
    renamed = dataclasses.replace(take, channels=("A", "jawOpen"), weights=take.weights[:, [3, 17]])
    (tmp_path / "a.glb").write_bytes(take_glb(renamed))
    document = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    assert document.meshes[0].extras["targetNames"] == ["A", "jawOpen"]
    weights = numbers(document, document.animations[0].samplers[2].output).reshape(5, 2)
    np.testing.assert_allclose(weights, take.weights[:, [3, 17]], atol=1e-6)


def test_source_timecode_and_rate_are_in_the_file(tmp_path: Path) -> None:
    metadata = {"timecode": "10:20:30:05", "actor": "A"}
    write_glb(constant_rate(Fraction(30000, 1001), 5, metadata=metadata), tmp_path / "a.glb")
    document, _ = glb_parts((tmp_path / "a.glb").read_bytes())
    extras = document["asset"]["extras"]
    assert (extras["timecode"], extras["fps"], extras["source"]) == (
        "10:20:30:05",
        "30000/1001",
        "take_01.mp4",
    )
    assert document["animations"][0]["name"] == "take_01"


def test_a_clip_without_any_face_is_a_resting_head_of_the_clips_length(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 45)
    table.coefficients[:] = np.nan
    table.head[:] = np.nan
    write_glb(table, tmp_path / "a.glb")
    seen = read_glb(tmp_path / "a.glb")
    assert seen.seconds[-1] == np.float32(44 / 30)
    assert not any(values.any() for values in seen.channels.values())
    assert seen.position is not None and not seen.position.any()


def test_a_gap_turns_the_head_the_short_way(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 21)
    table.head[:] = 0.0
    table.head[:, 0] = np.linspace(3.0, 4.0, 21)  # across a half turn
    wanted = bridged(truth(table))
    table.head[5:15] = np.nan
    write_glb(table, tmp_path / "a.glb")
    seen = read_glb(tmp_path / "a.glb")
    np.testing.assert_allclose(seen.rotation, wanted.rotation, atol=1e-5)


def test_times_that_float32_cannot_tell_apart_still_rise() -> None:
    times = key_times(np.array([0.0, 100_000.0, 100_000.001, 100_000.002, 100_000.02]))
    assert (np.diff(times) > 0).all()


def test_a_file_is_taken_apart_into_what_it_was_made_of() -> None:
    buffer = Buffer()
    number = buffer.floats(np.arange(6.0).reshape(2, 3), bounds=True)
    data = buffer.content()
    document = {"asset": {"version": "2.0"}, "accessors": buffer.accessors, "bufferViews": buffer.views}
    content = glb_bytes(document, data)
    assert len(content) % 4 == 0
    read, kept = glb_parts(content)
    assert kept == data and read["accessors"][number]["max"] == [3.0, 4.0, 5.0]
    assert read["buffers"] == [{"byteLength": len(data)}]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "does not begin"),
        (b"PK\x03\x04" + bytes(40), "does not begin"),
        (b"glTF" + bytes([1, 0, 0, 0, 12, 0, 0, 0]), "version 1"),
        (b"glTF" + bytes([2, 0, 0, 0, 255, 0, 0, 0]), "cut off"),
        (b"glTF" + bytes([2, 0, 0, 0, 20, 0, 0, 0, 9, 0, 0, 0]) + b"JSON", "chunk at byte 12 is cut off"),
        (b"glTF" + bytes([2, 0, 0, 0, 24, 0, 0, 0, 4, 0, 0, 0]) + b"JSON{] }", "JSON cannot be read"),
        (b"glTF" + bytes([2, 0, 0, 0, 24, 0, 0, 0, 4, 0, 0, 0]) + b"JSON[ ] ", "no object"),
    ],
)
def test_what_is_no_glb_says_why(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        glb_parts(content)
