"""The expression half: aligned patches to coefficients, how sure they are, and a better pose.

In: patches of both eyes, both sides of the lower face and the whole face. Out: 51 coefficients with a spread
each, what is hidden, a correction of the angles, and landmarks. Eyes share their weights, and so do sides and
the heads that read paired coefficients: what is learnt of a left corner of the mouth is known of the right
one, and nothing but a picture of each side tells them apart. Lids, gaze and brows are read in the eye patches
alone: heads that saw the mouth raised the brows of who smiled, for the drawn expressions that smile raise
them more often than others do.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from facecap_batch.coefficients import ARKIT_NAMES, UPPER_FACE
from facecap_batch.engines.default_crop import POINTS
from facecap_batch.training.mirror import LEFT_CHANNELS, MIRRORED_POINTS, RIGHT_CHANNELS
from facecap_batch.training.networks.patch_network import PatchNetwork, learnt_in_bfloat16
from facecap_batch.training.networks.sizes import DEFAULT, Design

MEAN_COEFFICIENT = 0.1  # where training starts from
MEAN_LOG_SPREAD = -2.0  # ln of a coefficient's standard error, likewise
MIN_LOG_SPREAD, MAX_LOG_SPREAD = -4.5, 1.0  # of coefficients, and of landmarks in units of their patch
FIRST_TRUST = 0.3  # share of a correction by landmarks that is believed, where training starts from
# Landmarks (default_crop.POINTS) that the patches show; each of the right the mirror image of the left one.
LEFT_EYE_MARKS = (42, 43, 44, 45, 46, 47, 22, 23, 24, 25, 26, 68)
RIGHT_EYE_MARKS = tuple(MIRRORED_POINTS[mark] for mark in LEFT_EYE_MARKS)
LEFT_SIDE_MARKS = (51, 52, 53, 54, 55, 56, 57, 62, 63, 64, 65, 66, 33, 34, 35)
RIGHT_SIDE_MARKS = tuple(MIRRORED_POINTS[mark] for mark in LEFT_SIDE_MARKS)
MOUTH_MARKS = tuple(range(48, 68))
OTHER_CHANNELS = tuple(k for k in range(len(ARKIT_NAMES)) if k not in LEFT_CHANNELS + RIGHT_CHANNELS)
# Lids, gaze and brows are read in the eye patches alone: what a mouth does must not move them.
UPPER_LEFT, UPPER_RIGHT, UPPER_OTHER = (
    tuple(k for k in channels if UPPER_FACE[k])
    for channels in (LEFT_CHANNELS, RIGHT_CHANNELS, OTHER_CHANNELS)
)
LOWER_LEFT, LOWER_RIGHT, LOWER_OTHER = (
    tuple(k for k in channels if not UPPER_FACE[k])
    for channels in (LEFT_CHANNELS, RIGHT_CHANNELS, OTHER_CHANNELS)
)
_ORDER = UPPER_LEFT + UPPER_RIGHT + UPPER_OTHER + LOWER_LEFT + LOWER_RIGHT + LOWER_OTHER


@dataclasses.dataclass(frozen=True)
class Patches:
    """What is cut of a batch of crops by a design's windows."""

    left_eye: Tensor  # float32 [B, 3, side, side]
    right_eye: Tensor  # likewise, in a mirror
    left_side: Tensor  # float32 [B, 3, side, side]
    right_side: Tensor  # likewise, in a mirror
    face: Tensor  # float32 [B, 3, side, side]


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What an expression half says of a batch."""

    coefficients: Tensor  # float32 [B, 51], nominally 0..1, not clipped
    log_spread: Tensor  # float32 [B, 51], ln of the standard error of each
    hidden: Tensor  # float32 [B, 3], logits: how much of the left eye, the right eye and the mouth is hidden
    # float32 [B, 3], radians: yaw and pitch by the landmarks alone, and by how much the patch is rolled
    seen: Tensor
    turn: Tensor  # float32 [B, 3], radians, to be added to the angles


@dataclasses.dataclass(frozen=True)
class Marks:
    """Landmarks in units of a patch (-1..1, v down) and the ln of their spread: float32 [B, n, 3]."""

    left_eye: Tensor  # LEFT_EYE_MARKS
    right_eye: Tensor  # RIGHT_EYE_MARKS, in a mirror
    left_side: Tensor  # LEFT_SIDE_MARKS
    right_side: Tensor  # RIGHT_SIDE_MARKS, in a mirror
    face: Tensor  # all POINTS


class Expression(nn.Module):
    """Aligned patches and a roughly known head pose to coefficients and a better pose."""

    READOUTS = (
        "upper_paired_out.2",
        "upper_other_out.2",
        "lower_paired_out.2",
        "lower_other_out.2",
        "turn_out.2",
        "seen_out.2",
        "eye_hidden",
        "side_hidden",
        "eye_marks",
        "side_marks",
        "face_marks",
    )  # layers whose output leaves it

    def __init__(self, design: Design = DEFAULT) -> None:
        super().__init__()
        self.design = design
        eye, side, face, hidden = design.eye, design.side, design.face, design.hidden
        self.eye = PatchNetwork(design.windows.eye.side, eye)
        self.side = PatchNetwork(design.windows.side.side, side)
        self.face = PatchNetwork(design.windows.face.side, face)
        parts = 2 * eye.features + 2 * side.features
        # The face as its mirror image would be seen, for the heads that the right side shares with the left.
        self.mirrored = nn.Sequential(nn.Linear(face.features, face.features), nn.ReLU(inplace=True))
        self.upper_paired_out = _head(2 * eye.features + 3, hidden, 2 * len(UPPER_LEFT))
        self.upper_other_out = _head(2 * eye.features + 3, hidden, 2 * len(UPPER_OTHER))
        self.lower_paired_out = _head(parts + face.features + 3, hidden, 2 * len(LOWER_LEFT))
        self.lower_other_out = _head(parts + face.features + 3, hidden, 2 * len(LOWER_OTHER))
        self.turn_out = _head(parts + face.features + 3, hidden // 2, 3)
        # Where landmarks lie in the face patch shows the pose once more; how far that is believed is learnt.
        # A correction from features alone never found the yaw: it had to learn first what to compare.
        self.seen_out = _head(2 * POINTS, 128, 3)
        self.trust = nn.Parameter(torch.full((3,), FIRST_TRUST))
        with torch.no_grad():
            for head in (
                self.upper_paired_out,
                self.upper_other_out,
                self.lower_paired_out,
                self.lower_other_out,
            ):
                bias = head[-1].get_parameter("bias")
                count = len(bias) // 2
                bias[:count], bias[count:] = MEAN_COEFFICIENT, MEAN_LOG_SPREAD
        self.eye_hidden, self.side_hidden = nn.Linear(eye.features, 1), nn.Linear(side.features, 1)
        # Landmarks inside each patch are learnt beside the coefficients: features that know where lids,
        # brows and lips are carry over to faces unlike the rendered ones. Those of the face are exported.
        self.eye_marks = nn.Linear(eye.features, 3 * len(LEFT_EYE_MARKS))
        self.side_marks = nn.Linear(side.features, 3 * len(LEFT_SIDE_MARKS))
        self.face_marks = nn.Linear(face.features, 3 * POINTS)

    def forward(self, patches: Patches, angles: Tensor) -> tuple[Prediction, Marks]:
        """angles: float32 [B, 3], yaw, pitch, roll in radians, as the locator finds them."""
        around, points = self.look(patches.face)
        eyes, sides = self._parts(patches)
        left_eye, right_eye = (self.eye_marks(features).unflatten(1, (-1, 3)) for features in eyes)
        left_side, right_side = (self.side_marks(features).unflatten(1, (-1, 3)) for features in sides)
        marks = Marks(left_eye, right_eye, left_side, right_side, points)
        return self._predict(eyes, sides, around, points, angles), marks

    def look(self, face: Tensor) -> tuple[Tensor, Tensor]:
        """What the face patch, float32 [B, 3, side, side], shows: features [B, F] and all POINTS with the ln
        of their spread in units of the patch (-1..1, v down), [B, POINTS, 3]."""
        around = learnt_in_bfloat16(self.face, face)
        return around, self.face_marks(around).unflatten(1, (-1, 3))

    def read(self, patches: Patches, around: Tensor, points: Tensor, angles: Tensor) -> Prediction:
        """What eyes and sides show, with `around` and `points` of `look`; the face patch is not looked at
        again."""
        return self._predict(*self._parts(patches), around, points, angles)

    def _parts(self, patches: Patches) -> tuple[list[Tensor], list[Tensor]]:
        return (
            self._both(self.eye, patches.left_eye, patches.right_eye),
            self._both(self.side, patches.left_side, patches.right_side),
        )

    def _both(self, network: PatchNetwork, left: Tensor, right: Tensor) -> list[Tensor]:
        features = learnt_in_bfloat16(network, torch.stack([left, right], 1).flatten(0, 1))
        return list(features.unflatten(0, (-1, 2)).unbind(1))

    def _predict(
        self, eyes: list[Tensor], sides: list[Tensor], around: Tensor, points: Tensor, angles: Tensor
    ) -> Prediction:
        mirror = angles * angles.new_tensor([-1.0, 1.0, -1.0])
        both = torch.cat([*eyes, *sides, around, angles], 1)
        swapped = torch.cat([*eyes[::-1], *sides[::-1], self.mirrored(around), mirror], 1)
        upper = torch.cat([*eyes, angles], 1)
        parts = [
            self.upper_paired_out(upper),
            self.upper_paired_out(torch.cat([*eyes[::-1], mirror], 1)),
            self.upper_other_out(upper),
            self.lower_paired_out(both),
            self.lower_paired_out(swapped),
            self.lower_other_out(both),
        ]
        values, spreads = zip(*(part.chunk(2, 1) for part in parts), strict=True)
        seen = self.seen_out(points[..., :2].flatten(1))
        difference = seen - angles * angles.new_tensor([1.0, 1.0, 0.0])
        order = [_ORDER.index(k) for k in range(len(ARKIT_NAMES))]
        covered = [self.eye_hidden(eyes[0]), self.eye_hidden(eyes[1])]
        mouth = (self.side_hidden(sides[0]) + self.side_hidden(sides[1])) / 2
        return Prediction(
            coefficients=torch.cat(values, 1)[:, order],
            log_spread=torch.cat(spreads, 1)[:, order],
            hidden=torch.cat([*covered, mouth], 1),
            seen=seen,
            turn=self.turn_out(both) + self.trust * difference,
        )


def _head(features: int, width: int, out: int) -> nn.Sequential:
    last = nn.Linear(width, out)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(features, width), nn.ReLU(inplace=True), last)
