"""Our head in USD: mesh, materials, blend shapes, and a skeleton of one joint.

In: a stage, the names of channels. Out: prims below ``/head``: SkelRoot, Skeleton, Mesh with a GeomSubset for
each material, a BlendShape for each channel. A channel that the head has no shape for gets a BlendShape that
moves nothing. Centimetres, y up. `pxr` is imported by whoever calls this.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pxr import Gf, Sdf, Tf, Usd, UsdGeom, UsdShade, UsdSkel, Vt

from facecap_batch.exporting.head import HeadModel, head_model
from facecap_batch.exporting.rigs.head import rigged_head

ROOT = "/head"
JOINT = "head_joint"
IDENTITY = Gf.Matrix4d(1.0)


def prim_names(channels: tuple[str, ...]) -> list[str]:
    """A prim name for each channel: its own where USD allows that, each once."""
    taken: set[str] = set()
    names = []
    for channel in channels:
        base = name = Tf.MakeValidIdentifier(channel)
        number = 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        names.append(name)
    return names


def define_head(
    stage: Usd.Stage, channels: tuple[str, ...], slopes: np.ndarray | None = None
) -> UsdSkel.Skeleton:
    """Put the packaged head on `stage`, with a blend shape for each channel; its skeleton.

    Args:
        stage: an empty one.
        channels: names.
        slopes: float64 [channels, S], `Channels.slopes` of a rig; None: the channels are ours.
    """
    head = head_model() if slopes is None else rigged_head(channels, slopes)
    root = UsdSkel.Root.Define(stage, ROOT)
    stage.SetDefaultPrim(root.GetPrim())
    low, high = head.vertices.min(axis=0), head.vertices.max(axis=0)
    extent = Vt.Vec3fArray([Gf.Vec3f(*map(float, low)), Gf.Vec3f(*map(float, high))])
    root.CreateExtentAttr(extent)
    skeleton = UsdSkel.Skeleton.Define(stage, f"{ROOT}/skeleton")
    skeleton.CreateJointsAttr([JOINT])
    skeleton.CreateBindTransformsAttr([IDENTITY])
    skeleton.CreateRestTransformsAttr([IDENTITY])
    mesh = _mesh(stage, head)
    mesh.CreateExtentAttr(extent)
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    binding.CreateGeomBindTransformAttr(IDENTITY)
    binding.CreateJointIndicesPrimvar(True, 1).Set([0])
    binding.CreateJointWeightsPrimvar(True, 1).Set([1.0])
    binding.CreateBlendShapesAttr(list(channels))
    binding.CreateBlendShapeTargetsRel().SetTargets(
        [
            _shape(stage, head, mesh.GetPath().AppendChild(prim), channel)
            for prim, channel in zip(prim_names(channels), channels, strict=True)
        ]
    )
    return skeleton


def _vectors(values: np.ndarray) -> Any:
    return Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(values, np.float32).reshape(-1, 3))


def _integers(values: np.ndarray) -> Any:
    return Vt.IntArray.FromNumpy(np.ascontiguousarray(values, np.int32))


def _mesh(stage: Usd.Stage, head: HeadModel) -> UsdGeom.Mesh:
    mesh = UsdGeom.Mesh.Define(stage, f"{ROOT}/mesh")
    corners = head.faces >= 0
    mesh.CreatePointsAttr(_vectors(head.vertices))
    mesh.CreateFaceVertexCountsAttr(_integers(corners.sum(axis=1)))
    mesh.CreateFaceVertexIndicesAttr(_integers(head.faces[corners]))
    mesh.CreateNormalsAttr(_vectors(head.normals))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateOrientationAttr(UsdGeom.Tokens.rightHanded)
    coordinates = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar(
        "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying
    )
    coordinates.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(head.face_uvs[corners], np.float32)))
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim())
    for number in np.unique(head.face_materials):
        material = head.materials[int(number)]
        faces = _integers(np.flatnonzero(head.face_materials == number))
        subset = UsdGeom.Subset.CreateGeomSubset(
            mesh, material.name, UsdGeom.Tokens.face, faces, "materialBind", UsdGeom.Tokens.partition
        )
        binding = UsdShade.MaterialBindingAPI.Apply(subset.GetPrim())
        binding.Bind(_material(stage, material.name, material.colour, 1.0 - 0.8 * material.shine))
    UsdGeom.Subset.SetFamilyType(mesh, "materialBind", UsdGeom.Tokens.partition)
    return mesh


def _material(
    stage: Usd.Stage, name: str, colour: tuple[float, float, float], roughness: float
) -> UsdShade.Material:
    material = UsdShade.Material.Define(stage, f"{ROOT}/materials/{name}")
    shader = UsdShade.Shader.Define(stage, material.GetPath().AppendChild("surface"))
    shader.CreateIdAttr("UsdPreviewSurface")
    shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(*colour))
    shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(roughness)
    material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
    return material


def _shape(stage: Usd.Stage, head: HeadModel, path: Sdf.Path, channel: str) -> Sdf.Path:
    shape = UsdSkel.BlendShape.Define(stage, path)
    morph = next((morph for morph in head.morphs if morph.name == channel), None)
    where = np.zeros(0, np.int32) if morph is None else morph.indices
    nothing = np.zeros((0, 3))
    shape.CreateOffsetsAttr(_vectors(nothing if morph is None else morph.offsets))
    shape.CreateNormalOffsetsAttr(_vectors(nothing if morph is None else morph.normal_offsets))
    shape.CreatePointIndicesAttr(_integers(where))
    return path
