"""The static part of the FBX: mesh, morph targets, joint, skin and bind pose, encoded once per process.

In: a `HeadModel`. Out: `Scene`, FBX nodes with the ids that the animation connects to. Channel and shape
carry the plain ARKit name. The deformer is called `head_blend` because Unreal strips a deformer's name from a
channel when it is its prefix. The eyes have joints that nothing is skinned to: morph targets turn this head's
eyeballs, joints are for rigs that have none. A Skin deformer is there because without one Unreal imports no
skeletal mesh.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator

import numpy as np

from facecap_batch.exporting.fbx.binary import Encoded, Node, Packed, Property, array, node, packed
from facecap_batch.exporting.head import HeadModel, Material, Morph, head_model
from facecap_batch.exporting.head.surface import EYE_CENTRE
from facecap_batch.exporting.rigs.head import rigged_head

MESH_NAME = "head"
JOINT_NAME = "head_joint"
EYE_NAMES = ("LeftEye", "RightEye")  # joints in the eyeballs' middles; nothing is skinned to them
BLEND_NAME = "head_blend"
_ORIGIN = (0.0, 0.0, 0.0)
EYE_PLACES = (
    (float(EYE_CENTRE[0]), float(EYE_CENTRE[1]), float(EYE_CENTRE[2])),
    (-float(EYE_CENTRE[0]), float(EYE_CENTRE[1]), float(EYE_CENTRE[2])),
)
STATIC_LEVEL = 6  # compressed once per process; 9 takes seven times as long for one percent


@dataclasses.dataclass(frozen=True)
class Scene:
    """Records for Objects and Connections, and the ids that curves attach to."""

    objects: Packed
    connections: Packed
    channel_ids: dict[str, int]  # morph target name -> id of its BlendShapeChannel
    joint_id: int
    eye_ids: tuple[int, int]  # joints of the left and the right eye
    next_id: int  # the first id that is free


def tagged(name: str, kind: str) -> str:
    """An object's name as binary FBX stores it: name, NUL, SOH, class."""
    return f"{name}\x00\x01{kind}"


def connect(child: int, parent: int, target: str | None = None) -> Node:
    """A connection of an object to an object (OO) or to the property `target` of an object (OP)."""
    if target is None:
        return node("C", "OO", np.int64(child), np.int64(parent))
    return node("C", "OP", np.int64(child), np.int64(parent), target)


def properties(*rows: tuple[Property, ...]) -> Node:
    """A Properties70 node; a row is name, type, label, flags and the values."""
    return node("Properties70", children=[node("P", *row) for row in rows])


def _static(values: np.ndarray, dtype: str) -> Encoded:
    return array(values, dtype, STATIC_LEVEL)


def _normals(head: HeadModel) -> Node:
    return node(
        "LayerElementNormal",
        0,
        children=[
            node("Version", 101),
            node("Name", ""),
            node("MappingInformationType", "ByVertice"),
            node("ReferenceInformationType", "Direct"),
            node("Normals", _static(head.normals, "f8")),
        ],
    )


def _uvs(head: HeadModel) -> Node:
    corners = head.face_uvs[head.faces >= 0]
    unique, index = np.unique(corners, axis=0, return_inverse=True)
    return node(
        "LayerElementUV",
        0,
        children=[
            node("Version", 101),
            node("Name", "map1"),
            node("MappingInformationType", "ByPolygonVertex"),
            node("ReferenceInformationType", "IndexToDirect"),
            node("UV", _static(unique, "f8")),
            node("UVIndex", _static(index, "i4")),
        ],
    )


def _per_polygon(name: str, values: np.ndarray, field: str, reference: str) -> Node:
    return node(
        name,
        0,
        children=[
            node("Version", 101 if name == "LayerElementMaterial" else 102),
            node("Name", ""),
            node("MappingInformationType", "ByPolygon"),
            node("ReferenceInformationType", reference),
            node(field, _static(values, "i4")),
        ],
    )


def _mesh(identity: int, head: HeadModel) -> Node:
    faces = head.faces.copy()
    last = np.where(faces[:, 3] >= 0, 3, 2)
    rows = np.arange(len(faces))
    corners = faces.copy()
    corners[rows, last] = ~corners[rows, last]  # a polygon's last corner is stored inverted
    elements = ("LayerElementNormal", "LayerElementUV", "LayerElementSmoothing", "LayerElementMaterial")
    layer = [
        node("LayerElement", children=[node("Type", element), node("TypedIndex", 0)]) for element in elements
    ]
    return node(
        "Geometry",
        np.int64(identity),
        tagged(MESH_NAME, "Geometry"),
        "Mesh",
        children=[
            properties(),
            node("GeometryVersion", 124),
            node("Vertices", _static(head.vertices, "f8")),
            node("PolygonVertexIndex", _static(corners[faces >= 0], "i4")),
            _normals(head),
            _uvs(head),
            _per_polygon("LayerElementSmoothing", np.ones(len(faces)), "Smoothing", "Direct"),
            _per_polygon("LayerElementMaterial", head.face_materials, "Materials", "IndexToDirect"),
            node("Layer", 0, children=[node("Version", 100), *layer]),
        ],
    )


def _shape(identity: int, morph: Morph) -> Node:
    return node(
        "Geometry",
        np.int64(identity),
        tagged(morph.name, "Geometry"),
        "Shape",
        children=[
            node("Version", 100),
            node("Indexes", _static(morph.indices, "i4")),
            node("Vertices", _static(morph.offsets, "f8")),
            node("Normals", _static(morph.normal_offsets, "f8")),
        ],
    )


def _channel(identity: int, name: str) -> Node:
    return node(
        "Deformer",
        np.int64(identity),
        tagged(name, "SubDeformer"),
        "BlendShapeChannel",
        children=[
            node("Version", 100),
            properties(("DeformPercent", "Number", "", "A", 0.0)),
            node("DeformPercent", 0.0),
            node("FullWeights", array([100.0], "f8")),
        ],
    )


def _model(
    identity: int,
    name: str,
    kind: str,
    extra_names: tuple[str, ...] = (),
    at: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Node:
    """A model at `at` in its parent, cm; `extra_names` name further properties of it, numbers that a user may
    animate."""
    return node(
        "Model",
        np.int64(identity),
        tagged(name, "Model"),
        kind,
        children=[
            node("Version", 232),
            properties(
                ("RotationOrder", "enum", "", "", 0),
                ("RotationActive", "bool", "", "", 1),
                ("InheritType", "enum", "", "", 1),
                ("DefaultAttributeIndex", "int", "Integer", "", 0),
                ("Lcl Translation", "Lcl Translation", "", "A", *at),
                ("Lcl Rotation", "Lcl Rotation", "", "A", 0.0, 0.0, 0.0),
                ("Lcl Scaling", "Lcl Scaling", "", "A", 1.0, 1.0, 1.0),
                *((name, "Number", "", "A+U", 0.0) for name in extra_names),
            ),
            node("Shading", True),
            node("Culling", "CullingOff"),
        ],
    )


def _joint_attribute(identity: int, name: str) -> Node:
    return node(
        "NodeAttribute",
        np.int64(identity),
        tagged(name, "NodeAttribute"),
        "LimbNode",
        children=[properties(("Size", "double", "Number", "", 1.0)), node("TypeFlags", "Skeleton")],
    )


def _material(identity: int, material: Material) -> Node:
    colour, shine = material.colour, material.shine
    return node(
        "Material",
        np.int64(identity),
        tagged(material.name, "Material"),
        "",
        children=[
            node("Version", 102),
            node("ShadingModel", "phong"),
            node("MultiLayer", 0),
            properties(
                ("ShadingModel", "KString", "", "", "phong"),
                ("DiffuseColor", "Color", "", "A", *colour),
                ("DiffuseFactor", "Number", "", "A", 1.0),
                ("SpecularColor", "Color", "", "A", 1.0, 1.0, 1.0),
                ("SpecularFactor", "Number", "", "A", shine**1.5),
                ("ShininessExponent", "Number", "", "A", 4.0 + 120.0 * shine**2),
                ("ReflectionFactor", "Number", "", "A", 0.0),
            ),
        ],
    )


def _skin(identity: int) -> Node:
    return node(
        "Deformer",
        np.int64(identity),
        tagged("head_skin", "Deformer"),
        "Skin",
        children=[node("Version", 101), node("Link_DeformAcuracy", 50.0)],
    )


def _cluster(identity: int, vertex_count: int) -> Node:
    return node(
        "Deformer",
        np.int64(identity),
        tagged("head_cluster", "SubDeformer"),
        "Cluster",
        children=[
            node("Version", 100),
            node("UserData", "", ""),
            node("Indexes", _static(np.arange(vertex_count), "i4")),
            node("Weights", _static(np.ones(vertex_count), "f8")),
            node("Transform", array(np.eye(4), "f8")),
            node("TransformLink", array(np.eye(4), "f8")),
        ],
    )


def _bind_pose(identity: int, models: dict[int, tuple[float, float, float]]) -> Node:
    """Where each of `models` stands at rest, cm."""
    poses = []
    for model, at in models.items():
        matrix = np.eye(4)
        matrix[3, :3] = at  # FBX multiplies rows by matrices
        poses.append(
            node("PoseNode", children=[node("Node", np.int64(model)), node("Matrix", array(matrix, "f8"))])
        )
    return node(
        "Pose",
        np.int64(identity),
        tagged("bind_pose", "Pose"),
        "BindPose",
        children=[node("Type", "BindPose"), node("Version", 100), node("NbPoseNodes", len(models)), *poses],
    )


def build_scene(head: HeadModel, ids: Iterator[int], extra_names: tuple[str, ...] = ()) -> Scene:
    """`head` as FBX objects; `ids` gives positive ids in ascending order, `extra_names` names further
    properties of the joint."""
    mesh_model, joint, attribute, geometry = (next(ids) for _ in range(4))
    skin, cluster, pose, blend = (next(ids) for _ in range(4))
    material_ids = [next(ids) for _ in head.materials]
    channel_ids = {morph.name: next(ids) for morph in head.morphs}
    shape_ids = {morph.name: next(ids) for morph in head.morphs}
    eye_ids, eye_attributes = (next(ids), next(ids)), (next(ids), next(ids))

    blend_node = node(
        "Deformer",
        np.int64(blend),
        tagged(BLEND_NAME, "Deformer"),
        "BlendShape",
        children=[node("Version", 100)],
    )
    objects = [
        _joint_attribute(attribute, JOINT_NAME),
        *(_joint_attribute(*made) for made in zip(eye_attributes, EYE_NAMES, strict=True)),
        _mesh(geometry, head),
        *(_shape(shape_ids[morph.name], morph) for morph in head.morphs),
        _model(mesh_model, MESH_NAME, "Mesh"),
        _model(joint, JOINT_NAME, "LimbNode", extra_names),
        *(
            _model(identity, name, "LimbNode", at=place)
            for identity, name, place in zip(eye_ids, EYE_NAMES, EYE_PLACES, strict=True)
        ),
        _bind_pose(
            pose, {mesh_model: _ORIGIN, joint: _ORIGIN, **dict(zip(eye_ids, EYE_PLACES, strict=True))}
        ),
        *(
            _material(identity, material)
            for identity, material in zip(material_ids, head.materials, strict=True)
        ),
        blend_node,
        *(_channel(channel_ids[morph.name], morph.name) for morph in head.morphs),
        _skin(skin),
        _cluster(cluster, len(head.vertices)),
    ]
    connections = [
        connect(mesh_model, 0),
        connect(joint, 0),
        connect(attribute, joint),
        *(connect(eye, joint) for eye in eye_ids),
        *(connect(made, eye) for made, eye in zip(eye_attributes, eye_ids, strict=True)),
        connect(geometry, mesh_model),
        *(connect(identity, mesh_model) for identity in material_ids),
        connect(skin, geometry),
        connect(cluster, skin),
        connect(joint, cluster),
        connect(blend, geometry),
        *(connect(channel_ids[name], blend) for name in channel_ids),
        *(connect(shape_ids[name], channel_ids[name]) for name in channel_ids),
    ]
    return Scene(packed(objects), packed(connections), channel_ids, joint, eye_ids, next(ids))


@functools.lru_cache(maxsize=2)  # an export has one rig
def rigged_scene(names: tuple[str, ...], slopes: bytes, extra_names: tuple[str, ...]) -> Scene:
    """Our head with the shapes of a rig, encoded once per process.

    Args:
        names: of the rig's channels; those that no shape is for become properties of the joint.
        slopes: float64 [channels, S], C order, `Channels.slopes`.
        extra_names: further properties of the joint.
    """
    head = rigged_head(names, np.frombuffer(slopes).reshape(len(names), -1))
    shapes = {morph.name for morph in head.morphs}
    shapeless = tuple(name for name in names if name not in shapes)
    return build_scene(head, itertools.count(1_000_001), (*shapeless, *extra_names))


@functools.lru_cache(maxsize=2)  # a process has one regressor
def head_scene(names: tuple[str, ...], extra_names: tuple[str, ...] = ()) -> Scene:
    """The packaged head with the shapes `names` in FBX, encoded once per process; see `build_scene`."""
    return build_scene(head_model().with_morphs(names), itertools.count(1_000_001), extra_names)
