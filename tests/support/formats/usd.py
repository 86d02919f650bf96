"""USD: read through UsdSkel's queries, which resolve bindings and evaluate the skeleton as renderers do."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facecap_batch.coefficients import shape_names
from tests.support.formats.seen import Seen


def read_usd(path: Path) -> Seen:
    from pxr import Usd, UsdGeom, UsdSkel

    stage = Usd.Stage.Open(str(path))
    assert UsdGeom.GetStageUpAxis(stage) == UsdGeom.Tokens.y
    assert UsdGeom.GetStageMetersPerUnit(stage) == 0.01
    cache = UsdSkel.Cache()
    root = UsdSkel.Root(stage.GetDefaultPrim())
    assert cache.Populate(root, Usd.PrimDefaultPredicate)
    (binding,) = cache.ComputeSkelBindings(root, Usd.PrimDefaultPredicate)
    query = cache.GetSkelQuery(binding.GetSkeleton())
    moves = query.GetAnimQuery()
    (target,) = binding.GetSkinningTargets()
    assert target.HasBlendShapes() and target.IsRigidlyDeformed()
    names = list(moves.GetBlendShapeOrder())
    assert list(target.GetBlendShapeOrder()) == names == list(shape_names(names))
    codes = sorted(set(moves.GetBlendShapeWeightTimeSamples()) | set(moves.GetJointTransformTimeSamples()))
    weights = np.array([list(moves.ComputeBlendShapeWeights(code)) for code in codes])
    matrices = np.array([np.array(query.ComputeJointSkelTransforms(code)[0]) for code in codes])
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (codes[0], codes[-1])
    return Seen(
        seconds=np.array(codes) / stage.GetTimeCodesPerSecond(),
        channels=dict(zip(names, weights.T, strict=True)),
        rotation=matrices[:, :3, :3].transpose(0, 2, 1),  # USD multiplies rows
        position=matrices[:, 3, :3],
    )
