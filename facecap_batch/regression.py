"""Reading faces: boxes in frames to crops, crops to coefficients and pose.

In: a frame and the box of a face. Out: the square crop that the regressor sees, and, batch by batch, what it
says: 51 coefficients, head pose inside the crop, landmarks, how sure it is that a face is there, and how much
of its parts is hidden. The engine's card carries, under `postprocess`: `crop_scale` (side of the crop over
the longer side of the box), `presence_threshold`, `hidden_threshold`, and optionally `nominal_u`,
`nominal_v`, `nominal_s`: where the head lies in a crop made from a perfect box, by which a crude box is told
and corrected.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from facecap_batch.coefficients import (
    ARKIT_NAMES,
    HEAD_ANGLE_NAMES,
    HEAD_POSITION_NAMES,
    REGION_CHANNELS,
)
from facecap_batch.engines.engine import Engine, prepare_input
from facecap_batch.errors import EngineMismatch
from facecap_batch.frames import Crop, Frame
from facecap_batch.geometry import euler_from_matrix, head_pose
from facecap_batch.networks.crop_layout import CROP_SCALE

DEFAULT_PRESENCE_THRESHOLD = 0.5
DEFAULT_HIDDEN_THRESHOLD = 0.5
# The pose columns, after the coefficients; a card may call them by the columns of the table that they become.
POSE_NAMES = ("yaw", "pitch", "roll", "u", "v", "s")
_ALIASES = dict(zip(HEAD_ANGLE_NAMES + HEAD_POSITION_NAMES, POSE_NAMES, strict=True))


@dataclasses.dataclass(frozen=True)
class Reading:
    """What the regressor said of a batch of crops."""

    coefficients: np.ndarray  # float32 [B, 51], 0..1, ARKIT_NAMES order
    angles: np.ndarray  # float32 [B, 3], yaw pitch roll against the viewing ray, radians
    place: np.ndarray  # float32 [B, 3], u v s: head origin in crop units, ln of the crop's width in cm
    presence: np.ndarray  # float32 [B], 0..1
    hidden: np.ndarray  # bool [B, 3], whether left eye, right eye and mouth are behind something


class Regressor:
    """A regressor engine with what comes before and after it."""

    def __init__(self, engine: Engine) -> None:
        card = engine.card
        self.engine = engine
        self.size = card.input.size  # side of the crop, pixels
        self.crop_scale = float(card.postprocess.get("crop_scale", CROP_SCALE))
        self.presence_threshold = float(
            card.postprocess.get("presence_threshold", DEFAULT_PRESENCE_THRESHOLD)
        )
        self.hidden_threshold = float(card.postprocess.get("hidden_threshold", DEFAULT_HIDDEN_THRESHOLD))
        nominal = [card.postprocess.get(f"nominal_{name}") for name in "uvs"]
        self.nominal = None if None in nominal else np.array(nominal, np.float64)
        names = [_ALIASES.get(name, name) for name in card.output_names] or [*ARKIT_NAMES, *POSE_NAMES]
        missing = [name for name in (*ARKIT_NAMES, *POSE_NAMES) if name not in names]
        if missing:
            raise EngineMismatch(f"regressor {card.name!r}: its card names no output {', '.join(missing)}")
        self._shapes = [names.index(name) for name in ARKIT_NAMES]
        self._pose = [names.index(name) for name in POSE_NAMES]

    def crop(self, frame: Frame, box: np.ndarray) -> Crop:
        """The crop of a face `box` (x0 y0 x1 y1, pixels of the upright frame)."""
        side = self.crop_scale * max(box[2] - box[0], box[3] - box[1])
        return frame.crop((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, side, self.size)

    def read(self, crops: Sequence[np.ndarray]) -> Reading:
        """Run `crops` (uint8 [S, S, 3] RGB each) as one batch."""
        batch = np.stack(crops)
        outputs = self.engine.run(prepare_input(self.engine.card, batch))
        said = outputs["outputs"]
        presence = outputs.get("presence")
        if presence is None:
            presence = np.ones(len(batch), np.float32)
        hidden = outputs.get("hidden")
        if hidden is None:
            hidden = np.zeros((len(batch), len(REGION_CHANNELS)), np.float32)
        return Reading(
            coefficients=np.clip(said[:, self._shapes], 0.0, 1.0).astype(np.float32),
            angles=said[:, self._pose[:3]].astype(np.float32),
            place=said[:, self._pose[3:]].astype(np.float32),
            presence=presence.reshape(len(batch)).astype(np.float32),
            hidden=hidden >= self.hidden_threshold,
        )

    def corrected(self, frame: Frame, crop: Crop, place: np.ndarray, tolerance: float) -> Crop | None:
        """A better crop where the head lies more than `tolerance` off its nominal place, else None.

        `place` float [3] is (u, v, s) as read from `crop`; `tolerance` is in crop units and in units of s.
        """
        if self.nominal is None or not np.isfinite(place).all():
            return None
        off = np.asarray(place, np.float64) - self.nominal
        if np.abs(off).max() <= tolerance:
            return None
        # The head's size decides the new side; half and double are the most that one look is trusted with.
        side = crop.side * float(np.exp(np.clip(-off[2], -np.log(2), np.log(2))))
        half = crop.side / 2
        x = crop.x0 + half * (1 + float(place[0])) - side / 2 * self.nominal[0]
        y = crop.y0 + half * (1 + float(place[1])) - side / 2 * self.nominal[1]
        return frame.crop(x, y, side, self.size)


def head_columns(
    squares: np.ndarray, angles: np.ndarray, place: np.ndarray, width: int, height: int
) -> np.ndarray:
    """float32 [N, 6]: yaw pitch roll (radians), x y z (centimetres), camera frame; see `head_pose`."""
    rotation, position = head_pose(squares, angles, place, width, height)
    return np.concatenate([euler_from_matrix(rotation), position], axis=1).astype(np.float32)
