"""USD: what USD's own validators and its skinning make of it, and what happens without the library."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.exporting.formats import LIBRARIES, UnknownFormat, exporter
from facecap_batch.exporting.head import head_model
from facecap_batch.exporting.take import take_of
from facecap_batch.exporting.usd.writer import take_usd, write_usd
from tests.support.animations import constant_rate, make_table, variable_rate
from tests.support.fbx_readers import matrices

pytest.importorskip("pxr", reason="usd-core is not installed: pip install 'facecap-batch[usd]'")
from pxr import Gf, Usd, UsdGeom, UsdSkel, UsdValidation

CLIPS = {
    "constant": lambda: constant_rate(Fraction(30000, 1001), 10),
    "variable": lambda: variable_rate(10),
    "one-frame": lambda: constant_rate(Fraction(30), 1),
    "no-frame": lambda: make_table(np.zeros(0), Fraction(1, 30), Fraction(30)),
    "odd-name": lambda: constant_rate(Fraction(25), 3, clip_id="1 take, Ä/ö"),
}


@pytest.mark.parametrize("clip", CLIPS)
def test_usds_validators_find_nothing(clip: str, tmp_path: Path) -> None:
    """What usdchecker runs."""
    write_usd(CLIPS[clip](), tmp_path / "a.usdc")
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    assert len(validators) > 10
    context = UsdValidation.ValidationContext(validators)
    errors = context.Validate(Usd.Stage.Open(str(tmp_path / "a.usdc")))
    assert [error.GetErrorAsString() for error in errors] == []


def test_usds_own_skinning_moves_the_head_as_the_model_says(tmp_path: Path) -> None:
    table = constant_rate(Fraction(30), 5)
    write_usd(table, tmp_path / "a.usdc")
    stage = Usd.Stage.Open(str(tmp_path / "a.usdc"))
    root = UsdSkel.Root(stage.GetDefaultPrim())
    assert UsdSkel.BakeSkinning(root, Gf.Interval(0, 4))
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/head/mesh"))
    turns = matrices(table)
    for frame in (0, 3):
        weights = dict(zip(ARKIT_NAMES, table.coefficients[frame].astype(float), strict=True))
        posed = head_model().posed(weights) @ turns[frame].T + table.head[frame, 3:]
        world = np.array(mesh.ComputeLocalToWorldTransform(frame))
        points = np.array(mesh.GetPointsAttr().Get(frame)) @ world[:3, :3] + world[3, :3]
        np.testing.assert_allclose(points, posed, atol=1e-3)


def test_notes_and_rate_are_in_the_layer(tmp_path: Path) -> None:
    table = constant_rate(Fraction(24000, 1001), 5, metadata={"timecode": "01:00:00:00"})
    write_usd(table, tmp_path / "a.usdc")
    stage = Usd.Stage.Open(str(tmp_path / "a.usdc"))
    notes = stage.GetRootLayer().customLayerData["facecap"]
    assert (notes["timecode"], notes["fps"], notes["source"]) == ("01:00:00:00", "24000/1001", "take_01.mp4")
    assert stage.GetTimeCodesPerSecond() == 24000 / 1001 and stage.GetEndTimeCode() == 4.0


def test_names_that_are_no_prim_names_stay_names_of_channels(tmp_path: Path) -> None:
    take = take_of(constant_rate(Fraction(30), 3))
    names = ("Jaw Open", "Jaw-Open", "2nd", "あ")
    renamed = dataclasses.replace(take, channels=names, weights=take.weights[:, :4])
    (tmp_path / "a.usdc").write_bytes(take_usd(renamed))
    stage = Usd.Stage.Open(str(tmp_path / "a.usdc"))
    binding = UsdSkel.BindingAPI(stage.GetPrimAtPath("/head/mesh"))
    assert tuple(binding.GetBlendShapesAttr().Get()) == names
    assert len(set(binding.GetBlendShapeTargetsRel().GetTargets())) == 4


def test_without_its_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIBRARIES, "usd", ("no_such_library", "usd"))
    with pytest.raises(UnknownFormat, match=r"pip install 'facecap-batch\[usd\]'"):
        exporter("usd")
