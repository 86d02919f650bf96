"""VMD: morphs, head and eyes for MikuMikuDance.

In: a `Take`. Out: a .vmd file ("Vocaloid Motion Data 0002", little-endian, names in Shift-JIS). MMD has 30
frames a second and no others: takes of any other rate are sampled at 30, on the straight line between two
frames. Bones 頭, 左目 and 右目 are turned; the head's place is not in the file, because it stays on its
model's neck. MMD's axes are left-handed, y up, a model looks along -z. What is unknown is bridged (see
`take.filled`). The layout follows mikumikudance.fandom.com/wiki/VMD_file_format.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.exporting.mocap.mmd_morphs import mmd_weights
from facecap_batch.exporting.rigs.rig import Rig, in_channels
from facecap_batch.exporting.take import Take, at_rate, quaternions, take_of
from facecap_batch.geometry import matrix_from_euler
from facecap_batch.storage.publish import StoragePath, publish_bytes

RATE = Fraction(30)
SIGNATURE = b"Vocaloid Motion Data 0002".ljust(30, b"\x00")
MODEL = b"facecap-batch".ljust(20, b"\x00")  # MMD asks before it gives the motion to a model of another name
NAME_SIZE = 15  # bytes of Shift-JIS
HEAD, LEFT_EYE, RIGHT_EYE = "頭", "左目", "右目"
# Linear: control points (20, 20) and (107, 107) of x, y, z and the rotation, as MMD repeats them four times,
# each time moved by a byte.
_LINEAR = bytes([20] * 8 + [107] * 8)
INTERPOLATION = b"".join(_LINEAR[shift:] + b"\x01"[:shift] + bytes(max(shift - 1, 0)) for shift in range(4))
_BONE = np.dtype(
    [("name", f"S{NAME_SIZE}"), ("frame", "<u4"), ("place", "<f4", 3), ("turn", "<f4", 4), ("curve", "S64")]
)
_MORPH = np.dtype([("name", f"S{NAME_SIZE}"), ("frame", "<u4"), ("weight", "<f4")])
_EMPTY = 4  # sections without records behind the morphs: camera, lights, shadows, and what is shown


def take_vmd(take: Take, morphs_of: Callable[[Take], dict[str, np.ndarray]] = mmd_weights) -> bytes:
    """The whole .vmd file of `take`.

    Args:
        take: the take.
        morphs_of: the morphs of a take by name, float [N] each; by default those of MMD, of ARKit's channels.

    Raises:
        ValueError: the name of a channel is not Shift-JIS, or longer than 15 bytes of it.
    """
    evenly = at_rate(take, RATE)
    angles = np.zeros((2, len(evenly), 3))
    angles[:, :, 0], angles[:, :, 1] = evenly.eyes[:, :, 0].T, -evenly.eyes[:, :, 1].T  # + pitch looks down
    turns = {
        HEAD: evenly.rotation,
        LEFT_EYE: quaternions(matrix_from_euler(angles[0])),
        RIGHT_EYE: quaternions(matrix_from_euler(angles[1])),
    }
    bones = [_bone(name, rotation) for name, rotation in turns.items()]
    morphs = [_morph(name, weights) for name, weights in morphs_of(evenly).items()]
    sections = b""
    for records, dtype in ((bones, _BONE), (morphs, _MORPH)):
        whole = np.concatenate([np.zeros(0, dtype), *records])
        sections += struct.pack("<I", len(whole)) + whole.tobytes()
    return SIGNATURE + MODEL + sections + struct.pack("<I", 0) * _EMPTY


def _keys(values: np.ndarray) -> np.ndarray:
    """Frames that need a key: first and last, and those that differ from the one before or behind."""
    changes = (np.diff(values, axis=0) != 0.0).any(axis=1)
    needed = np.ones(len(values), bool)
    needed[1:-1] = changes[:-1] | changes[1:]
    return np.flatnonzero(needed)


def _name(name: str) -> bytes:
    try:
        encoded = name.encode("shift_jis")
    except UnicodeEncodeError as error:
        raise ValueError(f"MikuMikuDance cannot write the name {name!r}: it is not Shift-JIS") from error
    if len(encoded) > NAME_SIZE:
        raise ValueError(
            f"MikuMikuDance has room for {NAME_SIZE} bytes in a name; {name!r} takes {len(encoded)}"
        )
    return encoded


def _bone(name: str, rotation: np.ndarray) -> np.ndarray:
    turns = np.asarray(rotation * [-1.0, -1.0, 1.0, 1.0], "<f4")  # z turned round: from our axes to MMD's
    keys = _keys(turns)
    records = np.zeros(len(keys), _BONE)
    records["name"], records["curve"] = _name(name), INTERPOLATION
    records["frame"], records["turn"] = keys, turns[keys]
    return records


def _morph(name: str, weights: np.ndarray) -> np.ndarray:
    values = np.asarray(weights, "<f4")
    keys = _keys(values[:, None])
    records = np.zeros(len(keys), _MORPH)
    records["name"], records["frame"], records["weight"] = _name(name), keys, values[keys]
    return records


def write_vmd(table: CoefficientTable, path: StoragePath, rig: Rig | None = None) -> None:
    """Publish the animation of `table` at `path`, atomically.

    Args:
        table: the clip, solved or raw.
        path: where the file goes.
        rig: channels that become morphs under their own names; None: MMD's morphs.

    Raises:
        ValueError: the table's metadata hold a `timecode` that is none, or a channel's name does not fit.
        OSError: `path` cannot be written.
    """
    if rig is None:
        data = take_vmd(take_of(table))
    else:
        data = take_vmd(take_of(table, in_channels(table, rig)), _own_morphs)
    publish_bytes(path, data)


def _own_morphs(take: Take) -> dict[str, np.ndarray]:
    return dict(zip(take.channels, take.weights.T, strict=True))
