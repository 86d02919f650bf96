"""Characters with a take on them, loaded by the programs that show them: three.js and Blender.

three.js lies in the node_modules of the folder that FACECAP_NODE_DIR names; Blender's Python module `bpy` in
the Python that FACECAP_BLENDER_PYTHON names. Without them these tests skip.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES, LOOK_COLUMNS, CoefficientTable
from facecap_batch.exporting.character.file import read_character
from facecap_batch.exporting.character.writer import write_on_character
from facecap_batch.exporting.rigs.reading import parse_rig
from facecap_batch.geometry import eye_turns, matrix_from_euler
from tests.support import formats
from tests.support.animations import constant_rate, variable_rate
from tests.support.characters import EYE_REST, vrm1, write_character
from tests.support.formats.gltf import node_folder
from tests.support.gltf_readers import matrix

SCRIPTS = Path(formats.__file__).parent
OTHER_NAMES = tuple(f"Shape {k:02d} of {name[::-1]}" for k, name in enumerate((*ARKIT_NAMES, "tongue")))
Y_UP_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])

CLIPS: dict[str, Callable[[], CoefficientTable]] = {
    "30": lambda: constant_rate(Fraction(30), 40),
    "variable": lambda: variable_rate(40),
}


def animated(kind: str, table: CoefficientTable, folder: Path) -> tuple[Path, np.ndarray]:
    """A character of 52 shapes of other names with the take on it, and what these should show [N, 52]."""
    values = table.coefficients.astype(np.float64)
    expected = np.zeros((len(table), len(OTHER_NAMES)))
    channels = []
    for number, name in enumerate(ARKIT_NAMES):
        gain = 0.5 + number / 50.0
        fields = f"sum = {{ {name} = 1.0 }}, gain = {gain}, limits = [0.0, 1.0]"  # Blender's sliders end at 1
        channels.append(f'"{OTHER_NAMES[number]}" = {{ {fields} }}')
        expected[:, number] = np.clip(gain * values[:, number], 0.0, 1.0)
    more = vrm1({"aa": [(len(ARKIT_NAMES), 0.5)]}) if kind == "vrm" else {}
    if kind == "vrm":  # an expression moves the 52nd
        channels.append('aa = "jawOpen"')
        expected[:, -1] = 0.5 * values[:, ARKIT_NAMES.index("jawOpen")]
    rig = parse_rig("\n".join(["[channels]", *channels]).encode(), "others")
    path = write_character(folder / f"hero.{kind}", OTHER_NAMES, **more)
    out = folder / f"out.{kind}"
    write_on_character(table, out, read_character(path), rig)
    return out, expected


def turns(table: CoefficientTable) -> dict[str, np.ndarray]:
    """How the bones turn in the world, away from how they lie at rest: [N, 3, 3] by name."""
    head = matrix_from_euler(table.head[:, :3])
    found = {"Head": head}
    eyes = eye_turns(table.coefficients[:, LOOK_COLUMNS])
    for number, name in enumerate(("LeftEye", "RightEye")):
        yaw, pitch = eyes[:, number, 0], eyes[:, number, 1]
        down = -pitch  # geometry's pitch is > 0 where the face looks down
        local = matrix_from_euler(np.stack([yaw, down, np.zeros_like(yaw)], axis=1))
        found[name] = head @ local
    return found


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("kind", ["glb", "vrm"])
def test_three_js_shows_every_channel_and_bone(kind: str, clip: str, tmp_path: Path) -> None:
    folder = node_folder("three")
    if folder is None:
        pytest.skip("FACECAP_NODE_DIR names no folder with three.js")
    table = CLIPS[clip]()
    path, expected = animated(kind, table, tmp_path)
    seconds = table.time_s() - table.time_s()[0]
    (tmp_path / "times.json").write_text(json.dumps(seconds.tolist()))
    done = subprocess.run(
        ["node", str(SCRIPTS / "read_character.mjs"), str(path), str(tmp_path / "times.json")],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    seen = json.loads(done.stdout)
    assert seen["name"] == "take_01" and seen["duration"] == pytest.approx(seconds[-1], abs=1e-6)
    for number, name in enumerate(OTHER_NAMES):
        np.testing.assert_allclose(seen["weights"][name], expected[:, number], atol=1e-4)
    rest = {"Head": np.eye(3), "LeftEye": matrix(np.array(EYE_REST)), "RightEye": matrix(np.array(EYE_REST))}
    for name, turned in turns(table).items():
        found = matrix(np.array(seen["rotations"][name]))
        np.testing.assert_allclose(found, turned @ rest[name], atol=1e-4)


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("kind", ["glb", "vrm"])
def test_blender_shows_every_channel_and_bone(kind: str, clip: str, tmp_path: Path) -> None:
    here = sys.executable if importlib.util.find_spec("bpy") else ""
    python = os.environ.get("FACECAP_BLENDER_PYTHON", here)
    if not python:
        pytest.skip("FACECAP_BLENDER_PYTHON names no Python with bpy")
    table = CLIPS[clip]()
    path, expected = animated(kind, table, tmp_path)
    seconds = table.time_s() - table.time_s()[0]
    (tmp_path / "times.json").write_text(json.dumps(seconds.tolist()))
    files = [path, tmp_path / "times.json", tmp_path / "seen.json"]
    subprocess.run(
        [python, str(SCRIPTS / "read_in_blender.py"), *map(str, files)],
        check=True,
        capture_output=True,
        timeout=600,
    )
    seen = json.loads((tmp_path / "seen.json").read_text())
    for number, name in enumerate(OTHER_NAMES):
        np.testing.assert_allclose(seen["weights"][name], expected[:, number], atol=1e-4)
    for name, turned in turns(table).items():
        found = np.array(seen["rotations"][name])
        world = Y_UP_TO_Z_UP @ turned @ Y_UP_TO_Z_UP.T
        np.testing.assert_allclose(found @ found[0].T, world @ world[0].T, atol=2e-4)
