"""Reading faces: boxes in frames to crops, crops to coefficients and pose.

In: a frame and the box of a face. Out: the square crop for the regressor and, batch by batch, its output:
coefficients and how sure the regressor is of them, head pose, outputs of its own, the presence of a face,
which of its parts are hidden, and, where they are wanted, landmarks. What the regressor has no output for is
NaN. The engine's card carries, under `postprocess`: `crop_scale` (side of the crop over the longer side of
the box), `presence_threshold`, `hidden_threshold`, and optionally `nominal_u`, `nominal_v`, `nominal_s`: the
head's position in a crop made from a perfect box, by which a crude box is recognised and refined.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES, OUTPUT_NAMES, REGION_CHANNELS
from facecap_batch.engines.batching import Engine, prepare_input, run_in_one_shape
from facecap_batch.engines.default_crop import CROP_SCALE
from facecap_batch.engines.output_columns import output_columns
from facecap_batch.engines.output_limits import (
    MAX_ANGLE,
    MAX_COEFFICIENT,
    MAX_CROP_OFFSET,
    MAX_LOG_WIDTH,
    MAX_OTHER,
    require_finite,
    require_within,
)
from facecap_batch.video.frame import Crop, Frame

DEFAULT_PRESENCE_THRESHOLD = 0.5
DEFAULT_HIDDEN_THRESHOLD = 0.5
_READ = ("presence", "hidden", "spread")  # outputs beside the main one that are read


@dataclasses.dataclass(frozen=True)
class OutputSizes:
    """How many columns a regressor has of what not every one has."""

    shapes: int = len(ARKIT_NAMES)  # coefficients: 51, or 52 with the tongue
    extra: int = 0  # outputs of its own
    spread: int = 0  # as many as coefficients where it says how sure it is of each
    landmarks: int = 0  # points of the face; 0 where nobody asks for them


@dataclasses.dataclass(frozen=True, eq=False)
class RegressorOutput:
    """Output of the regressor for a batch of B crops; NaN where it has none."""

    coefficients: np.ndarray  # float32 [B, S], 0..1, Regressor.shape_names order
    angles: np.ndarray  # float32 [B, 3], yaw pitch roll against the viewing ray, radians
    crop_position: np.ndarray  # float32 [B, 3], u v s: head origin in crop units, ln of crop width in cm
    presence: np.ndarray  # float32 [B], 0..1
    hidden: np.ndarray  # bool [B, 3], whether left eye, right eye and mouth are behind something
    extra: np.ndarray  # float32 [B, E], outputs of other names as they are, Regressor.extra_names order
    spread: np.ndarray  # float32 [B, S], standard error of each coefficient; [B, 0] where it does not say
    landmarks: np.ndarray  # float32 [B, P, 2], u right, v down in crop units; [B, 0, 2] where not asked for


class Regressor:
    """A regressor engine with what comes before and after it."""

    def __init__(self, engine: Engine, batch: int = 8, landmarks: bool = False) -> None:
        """
        Args:
            engine: Open engine that reads crops of faces.
            batch: Crops per call of the engine; the output for one does not depend on the others.
            landmarks: Whether they are wanted.

        Raises:
            EngineError: The outputs make no table, or landmarks are wanted and there are none.
        """
        card = engine.card
        if landmarks:
            card.require_landmarks()
        self.engine = engine
        self.batch = batch
        self.size = card.input.size  # side of the crop, pixels
        self.crop_scale = float(card.postprocess.get("crop_scale", CROP_SCALE))
        self.presence_threshold = float(
            card.postprocess.get("presence_threshold", DEFAULT_PRESENCE_THRESHOLD)
        )
        self.hidden_threshold = float(card.postprocess.get("hidden_threshold", DEFAULT_HIDDEN_THRESHOLD))
        nominal = [card.postprocess.get(f"nominal_{name}") for name in "uvs"]
        self.nominal = None if None in nominal else np.array(nominal, np.float64)
        columns = output_columns(card.output_names or OUTPUT_NAMES, f"regressor {card.name!r}")
        self.shape_names, self.extra_names = columns.shape_names, columns.extra_names
        self.head_frame = card.head_frame
        self.sizes = OutputSizes(
            len(columns.shape_names),
            len(columns.extra_names),
            len(columns.shape_names) * ("spread" in card.outputs),
            card.landmarks if landmarks else 0,
        )
        self._columns = columns
        self._main = card.main_output

    def crop(self, frame: Frame, box: np.ndarray) -> Crop:
        """The crop of a face `box` (x0 y0 x1 y1, pixels of the upright frame)."""
        side = self.crop_scale * max(box[2] - box[0], box[3] - box[1])
        return frame.crop((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, side, self.size)

    def read(self, crops: Sequence[np.ndarray]) -> RegressorOutput:
        """Output for `crops` (uint8 [S, S, 3] RGB each). Raises ImpossibleOutput."""
        batch = np.stack(crops)
        outputs = run_in_one_shape(self.engine, prepare_input(self.engine.card, batch), self.batch)
        read = [name for name in _READ if name in outputs] + ["landmarks"] * (self.sizes.landmarks > 0)
        for name in (self._main, *read):
            require_finite(self.engine.card.name, name, outputs[name])
        output = outputs[self._main].astype(np.float32)
        presence = outputs.get("presence")
        if presence is None:
            presence = np.ones(len(batch), np.float32)
        hidden = outputs.get("hidden")
        if hidden is None:
            hidden = np.zeros((len(batch), len(REGION_CHANNELS)), np.float32)
        spread = np.full((len(batch), self.sizes.spread), np.nan, np.float32)
        if self.sizes.spread:
            spread[:, : outputs["spread"].shape[1]] = outputs["spread"]
        landmarks = outputs["landmarks"] if self.sizes.landmarks else np.zeros((len(batch), 0, 2))
        presence = presence.reshape(len(batch)).astype(np.float32)
        pose, extra = _taken(output, self._columns.pose), _taken(output, self._columns.extra)
        coefficients = _taken(output, self._columns.coefficients)
        self._check(presence >= self.presence_threshold, coefficients, pose, extra, spread, landmarks)
        return RegressorOutput(
            coefficients=np.clip(coefficients, 0.0, 1.0),
            angles=pose[:, :3],
            crop_position=pose[:, 3:],
            presence=presence,
            hidden=hidden >= self.hidden_threshold,
            extra=extra,
            spread=spread,
            landmarks=landmarks.astype(np.float32),
        )

    def _check(
        self,
        shown: np.ndarray,
        coefficients: np.ndarray,
        pose: np.ndarray,
        extra: np.ndarray,
        spread: np.ndarray,
        landmarks: np.ndarray,
    ) -> None:
        """Raise ImpossibleOutput for what no face can have; of a crop that shows none anything may be said.

        `shown`: bool [B], which crops show one; the others as in `RegressorOutput`, before they are cut off.
        """
        bounds = [
            ("coefficients", coefficients, MAX_COEFFICIENT, ""),
            ("rotation", pose[:, :3], MAX_ANGLE, "radians"),
            ("other outputs", extra, MAX_OTHER, ""),
            ("spread", spread, MAX_OTHER, ""),
            ("landmarks", landmarks, MAX_CROP_OFFSET, "halves of a crop"),
        ]
        if self.head_frame == "crop":
            bounds += [
                ("u, v", pose[:, 3:5], MAX_CROP_OFFSET, "halves of a crop"),
                ("s", pose[:, 5:], MAX_LOG_WIDTH, ""),
            ]
        for name, values, bound, unit in bounds:
            require_within(self.engine.card.name, name, values[shown], bound, unit)

    def refined(self, frame: Frame, crop: Crop, crop_position: np.ndarray, tolerance: float) -> Crop | None:
        """A better crop where the head lies more than `tolerance` from its nominal position, else None.

        Args:
            frame: The frame that `crop` was cut from.
            crop: The crop that was read.
            crop_position: float [3], u v s as read from `crop`.
            tolerance: In crop units, and in units of s.
        """
        if self.nominal is None or not np.isfinite(crop_position).all():
            return None
        off = np.asarray(crop_position, np.float64) - self.nominal
        if np.abs(off).max() <= tolerance:
            return None
        # The head's size decides the new side; one reading is trusted to halve or double it at most.
        side = crop.side * float(np.exp(np.clip(-off[2], -np.log(2), np.log(2))))
        half = crop.side / 2
        x = crop.x0 + half * (1 + float(crop_position[0])) - side / 2 * self.nominal[0]
        y = crop.y0 + half * (1 + float(crop_position[1])) - side / 2 * self.nominal[1]
        return frame.crop(x, y, side, self.size)


def _taken(output: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Columns of `output`, float32 [B, C] in any order; NaN where `columns` is -1."""
    taken = output[:, columns]
    taken[:, columns < 0] = np.nan
    return taken
