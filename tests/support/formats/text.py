"""Readers of formats that are text: Live Link Face CSV, our own CSV and JSON, OpenFace's CSV."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd

from facecap_batch.coefficients import SHAPE_NAMES, shape_names
from tests.support.fbx_readers import matrices_of_angles
from tests.support.formats.seen import Seen


def read_livelink(path: Path) -> Seen:
    with path.open(newline="", encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    seconds = []
    for row in rows:
        hours, minutes, whole, units = row["Timecode"].split(":")
        seconds.append(int(hours) * 3600 + int(minutes) * 60 + int(whole) + float(units) / 60)
    value = {name: np.array([float(row[name] or "nan") for row in rows]) for name in list(rows[0])[2:]}
    angles = np.stack([value["HeadYaw"], value["HeadPitch"], value["HeadRoll"]], axis=1)
    return Seen(
        seconds=np.array(seconds) - seconds[0],
        channels={name: value[name[0].upper() + name[1:]] for name in SHAPE_NAMES},
        rotation=matrices_of_angles(angles),
    )


def read_csv(path: Path) -> Seen:
    frame = pd.read_csv(path)
    assert frame["face_found"].dtype == bool
    return _of_columns({name: frame[name].to_numpy() for name in frame.columns})


def read_json(path: Path) -> Seen:
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["format"] == "facecap-batch table 1"
    columns = zip(*document["rows"], strict=True)
    return _of_columns(
        {
            name: np.array([np.nan if cell is None else cell for cell in column])
            for name, column in zip(document["columns"], columns, strict=True)
        }
    )


def _of_columns(value: dict[str, np.ndarray]) -> Seen:
    head = np.stack([value[name] for name in ("headYaw", "headPitch", "headRoll")], axis=1)
    return Seen(
        seconds=value["time_s"] - value["time_s"][0],
        channels={name: value[name] for name in shape_names(value)},
        rotation=matrices_of_angles(head),
        position=np.stack([value[name] for name in ("headX", "headY", "headZ")], axis=1),
    )


def openface_frame(path: Path) -> pd.DataFrame:
    """OpenFace's CSV as its users read it: earlier versions put spaces before names."""
    frame = pd.read_csv(path)
    frame.columns = frame.columns.str.strip()
    return frame


def read_openface(path: Path) -> Seen:
    """Action units as channels; the head from OpenFace's frame: x right, y down, z away."""
    frame = openface_frame(path)
    lost = ((frame["success"] == 0) & (frame["confidence"] == 0)).to_numpy()
    rotation = []
    for x, y, z in frame[["pose_Rx", "pose_Ry", "pose_Rz"]].to_numpy():
        rx = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
        ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
        rz = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
        flip = np.diag([1.0, -1.0, -1.0])
        rotation.append(flip @ rx @ ry @ rz @ flip)
    units = [name for name in frame.columns if name.startswith("AU")]
    position = frame[["pose_Tx", "pose_Ty", "pose_Tz"]].to_numpy() * [0.1, -0.1, -0.1]
    return Seen(
        seconds=frame["timestamp"].to_numpy(),
        channels={name: np.where(lost, np.nan, frame[name].to_numpy()) for name in units},
        rotation=np.where(lost[:, None, None], np.nan, np.array(rotation)),
        position=np.where(lost[:, None], np.nan, position),
    )


# What each unit is made of, written out once more: names of ARKit, the strongest counts.
_BOTH = {
    "AU02": "browOuterUp",
    "AU04": "browDown",
    "AU05": "eyeWide",
    "AU06": "cheekSquint",
    "AU07": "eyeSquint",
    "AU09": "noseSneer",
    "AU10": "mouthUpperUp",
    "AU12": "mouthSmile",
    "AU14": "mouthDimple",
    "AU15": "mouthFrown",
    "AU20": "mouthStretch",
    "AU23": "mouthPress",
    "AU45": "eyeBlink",
}


def openface_truth(seen: Seen) -> Seen:
    """The action units that the table behind `seen` stands for, 0..5 and 0 or 1."""
    c = seen.channels
    strength = {code: np.maximum(c[f"{name}Left"], c[f"{name}Right"]) for code, name in _BOTH.items()}
    strength |= {"AU01": c["browInnerUp"], "AU17": c["mouthShrugLower"], "AU26": c["jawOpen"]}
    if "tongueOut" in c:
        strength["AU19"] = c["tongueOut"]
    strength["AU28"] = np.maximum(c["mouthRollLower"], c["mouthRollUpper"])
    names = [f"{part}{side}" for part in ("mouthLowerDown", "mouthUpperUp") for side in ("Left", "Right")]
    parted = np.maximum.reduce([c["jawOpen"], c["mouthFunnel"], *(c[name] for name in names)])
    strength["AU25"] = np.maximum(parted - c["mouthClose"], 0.0)
    channels = {f"{code}_r": 5.0 * values for code, values in strength.items() if code != "AU28"}
    for code, values in strength.items():
        channels[f"{code}_c"] = np.where(np.isnan(values), np.nan, values >= 0.2)
    return Seen(seen.seconds, channels, seen.rotation, seen.position)
