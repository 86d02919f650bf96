"""One .glb file per take: our head, its morph targets by name, and one animation that moves both.

In: a `Take`. Out: glTF 2.0 binary, the same bytes for the same take. Metres, y up, +z out of the face: the
world is the capture's camera frame, a camera at the origin that looks along -z sees the head where the video
shows it. Keys are linear, one for every frame, at its time since the first; what is unknown is bridged (see
`take.filled`). What glTF has no place for (source, timecode, rate, engines) is in `asset.extras`.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.exporting.gltf.binary import Buffer, Json, glb_bytes
from facecap_batch.exporting.gltf.head_mesh import METRES, head_mesh
from facecap_batch.exporting.rigs.rig import Rig, in_channels
from facecap_batch.exporting.take import Take, filled, take_of
from facecap_batch.storage.publish import StoragePath, publish_bytes

GENERATOR = "facecap-batch"
JOINT, MESH = 0, 1  # nodes: what the head's motion moves, and the head in it


def key_times(seconds: np.ndarray) -> np.ndarray:
    """float32 [N], strictly increasing: times of keys as glTF holds them.

    Args:
        seconds: float64 [N], not decreasing; those that float32 cannot tell apart are moved to the next one.
    """
    times = np.asarray(seconds, np.float32)
    for row in np.flatnonzero(np.diff(times) <= 0.0) + 1:
        times[row:] = np.maximum(times[row:], np.nextafter(times[row - 1], np.float32(np.inf)))
    return times


def animation(take: Take, buffer: Buffer, joint: int, mesh: int) -> Json:
    """The animation of a take that has values everywhere.

    Args:
        take: as `take.filled` gives.
        buffer: keys are added to it.
        joint: the node that turns and moves as the head.
        mesh: the node whose mesh has the take's channels as its morph targets.
    """
    times = buffer.floats(key_times(take.times.seconds()), bounds=True)
    outputs = [
        (joint, "rotation", take.rotation),
        (joint, "translation", take.position * METRES),
    ]
    if take.channels:
        outputs.append((mesh, "weights", take.weights.ravel()))
    samplers = [
        {"input": times, "output": buffer.floats(values), "interpolation": "LINEAR"}
        for _, _, values in outputs
    ]
    channels = [
        {"sampler": number, "target": {"node": node, "path": path}}
        for number, (node, path, _) in enumerate(outputs)
    ]
    return {"name": take.name, "samplers": samplers, "channels": channels}


def take_glb(take: Take, slopes: np.ndarray | None = None) -> bytes:
    """The whole .glb file of `take`.

    Args:
        take: the take.
        slopes: float64 [channels, S], `Channels.slopes` of a take in a rig's channels; None: in ours.
    """
    whole = filled(take)
    head = head_mesh(take.channels, None if slopes is None else slopes.tobytes())
    buffer = head.buffer()
    moves = animation(whole, buffer, JOINT, MESH)
    data = buffer.content()
    document = {
        "asset": {"version": "2.0", "generator": GENERATOR, "extras": take.notes},
        "scene": 0,
        "scenes": [{"name": take.name, "nodes": [JOINT]}],
        "nodes": [
            {
                "name": "head_joint",
                "children": [MESH],
                "rotation": whole.rotation[0].tolist(),
                "translation": (whole.position[0] * METRES).tolist(),
            },
            {"name": "head", "mesh": 0},
        ],
        "meshes": [head.mesh],
        "materials": head.materials,
        "animations": [moves],
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
    }
    return glb_bytes(document, data)


def write_glb(table: CoefficientTable, path: StoragePath, rig: Rig | None = None) -> None:
    """Publish the animation of `table` at `path`, atomically.

    Args:
        table: the clip, solved or raw.
        path: where the file goes.
        rig: the channels that become the head's morph targets; None: ours.

    Raises:
        ValueError: the table's metadata hold a `timecode` that is none.
        OSError: `path` cannot be written.
    """
    if rig is None:
        data = take_glb(take_of(table))
    else:
        channels = in_channels(table, rig)
        data = take_glb(take_of(table, channels), channels.slopes)
    publish_bytes(path, data)
