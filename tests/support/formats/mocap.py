"""BVH by bvhio; VMD by a parser that follows the format's description to the last byte, and by mmd-parser."""

from __future__ import annotations

import dataclasses
import json
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import bvhio
import numpy as np

from tests.support.formats.seen import Seen, matrices_of

MIRROR = np.diag([1.0, 1.0, -1.0])  # between our axes and MMD's, which look along -z
VMD_RATE = Fraction(30)


def _poses(joint: bvhio.BvhJoint) -> tuple[np.ndarray, np.ndarray]:
    rotations = [
        [pose.Rotation.x, pose.Rotation.y, pose.Rotation.z, pose.Rotation.w] for pose in joint.Keyframes
    ]
    positions = [[pose.Position.x, pose.Position.y, pose.Position.z] for pose in joint.Keyframes]
    return np.array(rotations), np.array(positions)


def eye_channels(left: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
    """Directions [N, 3] that the eyes look in, in the head's frame, as channels."""
    return {
        f"{side}.{axis}": way[:, k]
        for side, way in (("left", left), ("right", right))
        for k, axis in enumerate("xyz")
    }


def eyes_of(seen: Seen) -> Seen:
    """`seen` with the eyes' directions for channels: 32 degrees to a side and 25 up or down at 1."""
    ways = []
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        look = {way: seen.channels[f"eyeLook{way}{side}"] for way in ("Out", "In", "Up", "Down")}
        yaw = np.radians(32.0) * sign * (look["Out"] - look["In"])
        pitch = np.radians(25.0) * (look["Up"] - look["Down"])
        ways.append(np.stack([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], 1))
    return dataclasses.replace(seen, channels=eye_channels(*ways))


def read_bvh(path: Path) -> Seen:
    container = bvhio.readAsBvh(str(path))
    root = container.Root
    assert root.Name == "head" and [child.Name for child in root.Children] == ["eyeLeft", "eyeRight"]
    rotation, position = _poses(root)
    ahead = np.array([0.0, 0.0, 1.0])
    ways = [matrices_of(_poses(child)[0]) @ ahead for child in root.Children]
    return Seen(
        seconds=np.arange(container.FrameCount) * container.FrameTime,
        channels=eye_channels(*ways),
        rotation=matrices_of(rotation),
        position=position,
    )


@dataclasses.dataclass(frozen=True)
class Vmd:
    bones: dict[str, list[tuple[int, tuple[float, ...]]]]  # name -> (frame, quaternion x y z w)
    morphs: dict[str, list[tuple[int, float]]]  # name -> (frame, weight)


def parse_vmd(data: bytes) -> Vmd:
    assert data[:30] == b"Vocaloid Motion Data 0002\0\0\0\0\0"
    bones: dict[str, list] = {}
    morphs: dict[str, list] = {}
    at = 50

    def name(raw: bytes) -> str:
        return raw.split(b"\0")[0].decode("shift_jis")

    (count,) = struct.unpack_from("<I", data, at)
    at += 4
    for _ in range(count):
        fields = struct.unpack_from("<15sI3f4f64s", data, at)
        assert fields[2:5] == (0.0, 0.0, 0.0)
        bones.setdefault(name(fields[0]), []).append((fields[1], fields[5:9]))
        at += 111
    (count,) = struct.unpack_from("<I", data, at)
    at += 4
    for _ in range(count):
        raw, frame, weight = struct.unpack_from("<15sIf", data, at)
        morphs.setdefault(name(raw), []).append((frame, weight))
        at += 23
    assert data[at:] == bytes(16)  # no cameras, lights, shadows, nothing about what is shown
    for keys in (*bones.values(), *morphs.values()):
        frames = [frame for frame, _ in keys]
        assert frames == sorted(set(frames))
    return Vmd(bones, morphs)


def read_vmd(path: Path) -> Seen:
    vmd = parse_vmd(path.read_bytes())
    last = max(keys[-1][0] for keys in (*vmd.bones.values(), *vmd.morphs.values()))
    frames = np.arange(last + 1)
    channels = {
        name: np.interp(frames, [frame for frame, _ in keys], [weight for _, weight in keys])
        for name, keys in vmd.morphs.items()
    }
    turns = {}
    for name, keys in vmd.bones.items():
        known = [frame for frame, _ in keys]
        # Frames without a key lie between two that are alike.
        nearest = np.searchsorted(known, frames, side="right") - 1
        turns[name] = MIRROR @ matrices_of(np.array([turn for _, turn in keys]))[nearest] @ MIRROR
    ahead = np.array([0.0, 0.0, 1.0])
    channels |= eye_channels(turns["左目"] @ ahead, turns["右目"] @ ahead)
    return Seen(seconds=frames / 30.0, channels=channels, rotation=turns["頭"])


def vmd_truth(seen: Seen) -> Seen:
    """The morphs that ARKit's coefficients stand for, written out once more, and the eyes."""
    c = seen.channels
    both = np.minimum(c["eyeBlinkLeft"], c["eyeBlinkRight"])

    def mean(name: str) -> np.ndarray:
        return (c[f"{name}Left"] + c[f"{name}Right"]) / 2

    morphs = {
        "まばたき": both,
        "ウィンク２": c["eyeBlinkLeft"] - both,
        "ｳｨﾝｸ２右": c["eyeBlinkRight"] - both,
        "びっくり": mean("eyeWide"),
        "じと目": mean("eyeSquint"),
        "上": mean("browOuterUp"),
        "下": mean("browDown"),
        "困る": np.clip(c["browInnerUp"] - mean("browOuterUp"), 0, 1),
        "あ": np.clip(c["jawOpen"] - c["mouthClose"] - (c["mouthFunnel"] + c["mouthPucker"]) / 2, 0, 1),
        "い": mean("mouthStretch"),
        "う": c["mouthPucker"],
        "お": c["mouthFunnel"],
        "口角上げ": mean("mouthSmile"),
        "口角下げ": mean("mouthFrown"),
    }
    if "tongueOut" in c:
        morphs["ぺろっ"] = c["tongueOut"]
    return Seen(seen.seconds, morphs | eyes_of(seen).channels, seen.rotation)


_MMD_PARSER = """
const {Parser} = require('mmd-parser');
const fs = require('fs');
const data = fs.readFileSync(process.argv[1]);
const vmd = new Parser().parseVmd(data.buffer.slice(data.byteOffset, data.byteOffset + data.length), true);
console.log(JSON.stringify({motions: vmd.motions, morphs: vmd.morphs}));
"""


def read_with_mmd_parser(path: Path, folder: Path) -> Vmd:
    """What npm's mmd-parser, which three.js used, reads; it turns rotations to right-handed axes."""
    command = ["node", "-e", _MMD_PARSER, str(path.resolve())]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=120)
    found = json.loads(done.stdout)
    bones: dict[str, list] = {}
    morphs: dict[str, list] = {}
    for key in found["motions"]:
        bones.setdefault(key["boneName"], []).append((key["frameNum"], tuple(key["rotation"])))
    for key in found["morphs"]:
        morphs.setdefault(key["morphName"], []).append((key["frameNum"], key["weight"]))
    return Vmd(bones, morphs)
