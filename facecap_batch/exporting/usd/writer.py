"""One USD file per take: the head, and a SkelAnimation with time samples of blend shapes and joint.

In: a `Take`. Out: a binary .usdc that needs no other file. Y up, centimetres, +z out of the face: the world
is the capture's camera frame. A time code is a frame: `timeCodesPerSecond` is the clip's rate, and frames of
a variable rate have the fractional time codes of their own times. What is unknown is bridged (see
`take.filled`). Source, timecode, rate as a fraction and engines are in the layer's custom data.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.exporting.rigs.rig import Rig, in_channels
from facecap_batch.exporting.take import Take, filled, take_of
from facecap_batch.storage.publish import StoragePath, publish_bytes
from facecap_batch.storage.scratch import scratch_folder

CUSTOM_DATA = "facecap"  # key of the layer's custom data


def time_codes(take: Take) -> list[float]:
    """The time code of every frame: its time in frames of the take's rate, rounded once; rising.

    Frames that share a time are moved to the next number that a float64 can hold.
    """
    step = take.times.unit * take.rate
    codes = np.array([float(count * step) for count in take.times.counts])
    for row in np.flatnonzero(np.diff(codes) <= 0.0) + 1:
        codes[row:] = np.maximum(codes[row:], np.nextafter(codes[row - 1], np.inf))
    result: list[float] = codes.tolist()
    return result


def take_usd(take: Take, slopes: np.ndarray | None = None) -> bytes:
    """The whole .usdc file of `take`. Needs usd-core.

    Args:
        take: the take.
        slopes: float64 [channels, S], `Channels.slopes` of a take in a rig's channels; None: in ours.
    """
    from pxr import Gf, Sdf, Usd, UsdGeom, UsdSkel, Vt

    from facecap_batch.exporting.usd.head import JOINT, ROOT, define_head

    whole = filled(take)
    codes = time_codes(whole)
    with scratch_folder() as folder:
        file = folder / "take.usdc"
        stage = Usd.Stage.CreateNew(str(file))
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, UsdGeom.LinearUnits.centimeters)
        stage.SetTimeCodesPerSecond(float(take.rate))
        stage.SetFramesPerSecond(float(take.rate))
        stage.SetStartTimeCode(codes[0])
        stage.SetEndTimeCode(codes[-1])
        stage.GetRootLayer().customLayerData = {CUSTOM_DATA: {"take": take.name, **take.notes}}
        skeleton = define_head(stage, take.channels, slopes)
        moves = UsdSkel.Animation.Define(stage, f"{ROOT}/animation")
        UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([moves.GetPath()])
        moves.CreateJointsAttr([JOINT])
        moves.CreateBlendShapesAttr(list(take.channels))
        moves.CreateScalesAttr([Gf.Vec3h(1.0, 1.0, 1.0)])
        weights, rotations = moves.CreateBlendShapeWeightsAttr(), moves.CreateRotationsAttr()
        translations = moves.CreateTranslationsAttr()
        positions = np.asarray(whole.position, np.float32)
        values = np.ascontiguousarray(whole.weights, np.float32)
        with Sdf.ChangeBlock():
            for row, code in enumerate(codes):
                x, y, z, w = whole.rotation[row].tolist()
                weights.Set(Vt.FloatArray.FromNumpy(values[row]), code)
                rotations.Set(Vt.QuatfArray([Gf.Quatf(w, x, y, z)]), code)
                translations.Set(Vt.Vec3fArray.FromNumpy(positions[row : row + 1]), code)
        stage.GetRootLayer().Save()
        del stage, skeleton, moves, weights, rotations, translations
        return file.read_bytes()


def write_usd(table: CoefficientTable, path: StoragePath, rig: Rig | None = None) -> None:
    """Publish the animation of `table` at `path`, atomically. Needs usd-core.

    Args:
        table: the clip, solved or raw.
        path: where the file goes.
        rig: the channels that become the head's blend shapes; None: ours.

    Raises:
        ValueError: the table's metadata hold a `timecode` that is none.
        OSError: `path` cannot be written.
    """
    if rig is None:
        data = take_usd(take_of(table))
    else:
        channels = in_channels(table, rig)
        data = take_usd(take_of(table, channels), channels.slopes)
    publish_bytes(path, data)
