"""One FBX file per clip: a self-contained head on a joint, with a morph target for each coefficient.

In: a `CoefficientTable`. Out: a binary FBX 7.4 file, the same bytes for the same table. Outputs of the
regressor's own, for which the head has no morph, are animated properties of the joint. Y up, +Z out of the
face, centimetres. The joint's world is the capture's camera frame: a camera at the origin that looks along -Z
sees the head where the video shows it. `animation` describes frames without a face.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.exporting.fbx import binary
from facecap_batch.exporting.fbx.animation import Motion, animation, clip_motion
from facecap_batch.exporting.fbx.binary import Node, node
from facecap_batch.exporting.fbx.key_times import CUSTOM_RATE, time_mode
from facecap_batch.exporting.fbx.scene import head_scene, properties, rigged_scene, tagged
from facecap_batch.exporting.rigs.rig import Rig, in_channels
from facecap_batch.geometry import ANGLE_CONVENTION
from facecap_batch.storage.publish import StoragePath, publish_bytes

CREATOR = "facecap-batch"


def _header(table: CoefficientTable) -> Node:
    stamp = binary.CREATION_TIME
    date, clock = stamp.split(" ")
    hour, minute, second, millisecond = (int(part) for part in clock.split(":"))
    year, month, day = (int(part) for part in date.split("-"))
    fields = {"Year": year, "Month": month, "Day": day, "Hour": hour, "Minute": minute, "Second": second}
    notes = [f"{key}: {value}" for key, value in sorted(table.metadata.items())]
    notes += [
        f"source frame rate: {table.info.fps}",
        f"time base: {table.info.time_base}",
        f"capture: {ANGLE_CONVENTION}",
        "joint: world = camera frame, RotationOrder 0 (R = Rz Ry Rx), degrees and centimetres",
    ]
    meta = node(
        "MetaData",
        children=[
            node("Version", 100),
            node("Title", table.name),
            node("Subject", "facial animation"),
            node("Author", ""),
            node("Keywords", "ARKit blendshapes"),
            node("Revision", ""),
            node("Comment", "\n".join(notes)),
        ],
    )
    info = node(
        "SceneInfo",
        tagged("GlobalInfo", "SceneInfo"),
        "UserData",
        children=[
            node("Type", "UserData"),
            node("Version", 100),
            meta,
            properties(
                ("DocumentUrl", "KString", "Url", "", f"{table.name}.fbx"),
                ("SrcDocumentUrl", "KString", "Url", "", f"{table.name}.fbx"),
                ("Original", "Compound", "", ""),
                ("Original|ApplicationName", "KString", "", "", CREATOR),
                ("LastSaved", "Compound", "", ""),
                ("LastSaved|ApplicationName", "KString", "", "", CREATOR),
            ),
        ],
    )
    return node(
        "FBXHeaderExtension",
        children=[
            node("FBXHeaderVersion", 1003),
            node("FBXVersion", binary.VERSION),
            node("EncryptionType", 0),
            node(
                "CreationTimeStamp",
                children=[
                    node("Version", 1000),
                    *(node(key, value) for key, value in fields.items()),
                    node("Millisecond", millisecond),
                ],
            ),
            node("Creator", CREATOR),
            info,
        ],
    )


def _settings(motion: Motion) -> Node:
    mode = time_mode(motion.rate)
    custom = float(motion.rate) if mode == CUSTOM_RATE else -1.0
    return node(
        "GlobalSettings",
        children=[
            node("Version", 1000),
            properties(
                ("UpAxis", "int", "Integer", "", 1),
                ("UpAxisSign", "int", "Integer", "", 1),
                ("FrontAxis", "int", "Integer", "", 2),
                ("FrontAxisSign", "int", "Integer", "", 1),
                ("CoordAxis", "int", "Integer", "", 0),
                ("CoordAxisSign", "int", "Integer", "", 1),
                ("OriginalUpAxis", "int", "Integer", "", 1),
                ("OriginalUpAxisSign", "int", "Integer", "", 1),
                ("UnitScaleFactor", "double", "Number", "", 1.0),
                ("OriginalUnitScaleFactor", "double", "Number", "", 1.0),
                ("AmbientColor", "ColorRGB", "Color", "", 0.0, 0.0, 0.0),
                ("DefaultCamera", "KString", "", "", "Producer Perspective"),
                ("TimeMode", "enum", "", "", mode),
                ("TimeSpanStart", "KTime", "Time", "", np.int64(0)),
                ("TimeSpanStop", "KTime", "Time", "", np.int64(motion.ticks[-1])),
                ("CustomFrameRate", "double", "Number", "", custom),
            ),
        ],
    )


def _documents(take: str) -> Node:
    scene = node(
        "Document",
        np.int64(1),
        "",
        "Scene",
        children=[
            properties(
                ("SourceObject", "object", "", ""),
                ("ActiveAnimStackName", "KString", "", "", take),
            ),
            node("RootNode", np.int64(0)),
        ],
    )
    return node("Documents", children=[node("Count", 1), scene])


def _definitions(names: Iterable[str]) -> Node:
    """How many objects there are of each of `names`, a name for each object."""
    counts: dict[str, int] = {"GlobalSettings": 1}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    types = [node("ObjectType", name, children=[node("Count", count)]) for name, count in counts.items()]
    return node(
        "Definitions",
        children=[node("Version", 100), node("Count", sum(counts.values())), *types],
    )


def _takes(take: str, motion: Motion) -> Node:
    span = (np.int64(0), np.int64(motion.ticks[-1]))
    return node(
        "Takes",
        children=[
            node("Current", take),
            node(
                "Take",
                take,
                children=[
                    node("FileName", f"{take}.tak"),
                    node("LocalTime", *span),
                    node("ReferenceTime", *span),
                ],
            ),
        ],
    )


def fbx_bytes(table: CoefficientTable, rig: Rig | None = None) -> bytes:
    """The whole FBX file of `table` in the channels of `rig`, or ours; the same bytes for the same table."""
    if rig is None:
        scene, motion = head_scene(table.shape_names, table.extra_names), clip_motion(table)
    else:
        channels = in_channels(table, rig)
        motion = clip_motion(table, channels)
        extra = {name: values for name, values in motion.extra.items() if name not in channels.names}
        motion = dataclasses.replace(motion, extra=extra)
        scene = rigged_scene(channels.names, channels.slopes.tobytes(), tuple(extra))
    take = table.name or "take"
    objects, connections = animation(motion, scene, take)
    names = [*scene.objects.names, *(item.name for item in objects)]
    return binary.document(
        [
            _header(table),
            node("FileId", binary.FILE_ID),
            node("CreationTime", binary.CREATION_TIME),
            node("Creator", CREATOR),
            _settings(motion),
            _documents(take),
            node("References", closed=True),
            _definitions(names),
            node("Objects", children=[scene.objects, *objects]),
            node("Connections", children=[scene.connections, *connections]),
            _takes(take, motion),
        ]
    )


def write_fbx(table: CoefficientTable, path: StoragePath, rig: Rig | None = None) -> None:
    """Publish the animation of `table` at `path`, atomically.

    There is one key per frame with a value, at its time since the first frame. A clip without any face gives
    the head at rest for the clip's length.

    Args:
        table: the clip, solved or raw.
        path: where the file goes.
        rig: the channels that become the head's shapes; None: ours.

    Raises:
        OSError: `path` cannot be written.
    """
    publish_bytes(path, fbx_bytes(table, rig))
