"""The expression half: aligned patches to coefficients, how sure they are, and a better pose.

In: patches of both eyes, both sides of the lower face and the whole face. Out: 51 coefficients with a spread
each, what is hidden, a correction of the angles, and landmarks. Eyes share their weights, and so do sides and
the heads that read paired coefficients: what is learnt of a left corner of the mouth is known of the right
one, and nothing but a picture of each side tells them apart. Lids, gaze and brows are read in the eye patches
alone: heads that saw the mouth raised the brows of who smiled, for the drawn expressions that smile raise
them more often than others do. Coefficients are read twice, from features and from landmarks alone, and are
the mean of both: features know folds and shadows, and fail on faces unlike the rendered ones more often.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from facecap_batch.coefficients import ARKIT_NAMES, UPPER_FACE
from facecap_batch.engines.default_crop import POINTS
from facecap_batch.training.mirror import LEFT_CHANNELS, MIRRORED_POINTS, RIGHT_CHANNELS
from facecap_batch.training.networks.grafting import Grafted
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
_READ = UPPER_LEFT + UPPER_RIGHT + UPPER_OTHER + LOWER_LEFT + LOWER_RIGHT + LOWER_OTHER  # order of the heads
_ARKIT_ORDER = tuple(_READ.index(k) for k in range(len(ARKIT_NAMES)))


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

    coefficients: Tensor  # float32 [B, 51], nominally 0..1, not clipped: the mean of `readings`
    readings: tuple[Tensor, Tensor]  # from features and from landmarks alone, float32 [B, 51] each
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
    # Where heat maps alone see the landmarks of each patch, in the same order: float32 [B, n, 2].
    places: tuple[Tensor, ...]


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a patch shows."""

    features: Tensor  # float32 [B, F]
    places: Tensor  # float32 [B, n, 2], of its landmarks, units of the patch (-1..1, v down)

    @property
    def numbers(self) -> Tensor:
        """All of it, float32 [B, F + 2 n]."""
        return torch.cat([self.features, self.places.flatten(1)], 1)


class MarkHeads(Grafted):
    """Coefficients from landmarks and the head's pose alone.

    Landmarks learn nothing from it: they would lie where they tell most of coefficients, and not where they
    are.
    """

    def __init__(self, hidden: int) -> None:
        """`hidden`: width of each head's two hidden layers."""
        super().__init__()
        eyes = 3 * 2 * len(LEFT_EYE_MARKS) + 3
        everything = eyes + 3 * (2 * len(LEFT_SIDE_MARKS) + POINTS)
        self.upper_paired = _deep_head(eyes, hidden, len(UPPER_LEFT))
        self.upper_other = _deep_head(eyes, hidden, len(UPPER_OTHER))
        self.lower_paired = _deep_head(everything, hidden, len(LOWER_LEFT))
        self.lower_other = _deep_head(everything, hidden, len(LOWER_OTHER))

    def forward(self, marks: Marks, angles: Tensor) -> Tensor:
        """`angles`: float32 [B, 3], yaw, pitch, roll in radians. Returns float32 [B, 51]."""
        eyes = [marks.left_eye.detach().flatten(1), marks.right_eye.detach().flatten(1)]
        sides = [marks.left_side.detach().flatten(1), marks.right_side.detach().flatten(1)]
        face, pose = marks.face.detach(), angles.detach()
        mirrored_face = face[:, list(MIRRORED_POINTS)] * face.new_tensor([-1.0, 1.0, 1.0])
        mirrored_pose = pose * pose.new_tensor([-1.0, 1.0, -1.0])
        upper = torch.cat([*eyes, pose], 1)
        mirrored_upper = torch.cat([*eyes[::-1], mirrored_pose], 1)
        lower = torch.cat([upper, *sides, face.flatten(1)], 1)
        mirrored_lower = torch.cat([mirrored_upper, *sides[::-1], mirrored_face.flatten(1)], 1)
        parts = [
            *_read_by(self.upper_paired, self.upper_other, upper, mirrored_upper),
            *_read_by(self.lower_paired, self.lower_other, lower, mirrored_lower),
        ]
        return torch.cat(parts, 1)[:, _ARKIT_ORDER]


class Expression(nn.Module):
    """Aligned patches and a roughly known head pose to coefficients and a better pose."""

    READOUTS = (
        "upper_paired_out.2",
        "upper_other_out.2",
        "lower_paired_out.2",
        "lower_other_out.2",
        "turn_out.2",
        "seen_out.2",
        "eye.places.maps",
        "side.places.maps",
        "face.places.maps",
        "eye_hidden",
        "side_hidden",
        "eye_marks",
        "side_marks",
        "face_marks",
        "by_marks.upper_paired.5",
        "by_marks.upper_other.5",
        "by_marks.lower_paired.5",
        "by_marks.lower_other.5",
    )  # layers whose output leaves it

    def __init__(self, design: Design = DEFAULT) -> None:
        super().__init__()
        self.design = design
        eye, side, face, hidden = design.eye, design.side, design.face, design.hidden
        self.eye = PatchNetwork(design.windows.eye.side, eye, len(LEFT_EYE_MARKS))
        self.side = PatchNetwork(design.windows.side.side, side, len(LEFT_SIDE_MARKS))
        self.face = PatchNetwork(design.windows.face.side, face, POINTS)
        of_eyes = 2 * self.eye.seen + 3
        of_all = of_eyes + 2 * self.side.seen + face.features
        # The face as its mirror image would be seen, for the heads that the right side shares with the left.
        self.mirrored = nn.Sequential(nn.Linear(face.features, face.features), nn.ReLU(inplace=True))
        self.upper_paired_out = _head(of_eyes, hidden, 2 * len(UPPER_LEFT))
        self.upper_other_out = _head(of_eyes, hidden, 2 * len(UPPER_OTHER))
        self.lower_paired_out = _head(of_all, hidden, 2 * len(LOWER_LEFT))
        self.lower_other_out = _head(of_all, hidden, 2 * len(LOWER_OTHER))
        self.turn_out = _head(of_all, hidden // 2, 3)
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
        self.eye_hidden, self.side_hidden = nn.Linear(self.eye.seen, 1), nn.Linear(self.side.seen, 1)
        # Landmarks inside each patch are learnt beside the coefficients: features that know where lids,
        # brows and lips are carry over to faces unlike the rendered ones. Those of the face are exported.
        self.eye_marks = nn.Linear(self.eye.seen, 3 * len(LEFT_EYE_MARKS))
        self.side_marks = nn.Linear(self.side.seen, 3 * len(LEFT_SIDE_MARKS))
        self.face_marks = nn.Linear(self.face.seen, 3 * POINTS)
        self.by_marks = MarkHeads(hidden)

    def forward(self, patches: Patches, angles: Tensor) -> tuple[Prediction, Marks]:
        """angles: float32 [B, 3], yaw, pitch, roll in radians, as the locator finds them."""
        around, points = self.look(patches.face)
        return self._predict(*self._parts(patches), around, points, angles)

    def look(self, face: Tensor) -> tuple[Seen, Tensor]:
        """What the face patch, float32 [B, 3, side, side], shows, and all POINTS with the ln of their spread
        in units of the patch (-1..1, v down), [B, POINTS, 3]."""
        around = Seen(*learnt_in_bfloat16(self.face, face))
        return around, self.face_marks(around.numbers).unflatten(1, (-1, 3))

    def read(self, patches: Patches, around: Seen, points: Tensor, angles: Tensor) -> Prediction:
        """What eyes and sides show, with `around` and `points` of `look`; the face patch is not looked at
        again."""
        return self._predict(*self._parts(patches), around, points, angles)[0]

    def _parts(self, patches: Patches) -> tuple[list[Seen], list[Seen]]:
        return (
            self._both(self.eye, patches.left_eye, patches.right_eye),
            self._both(self.side, patches.left_side, patches.right_side),
        )

    def _both(self, network: PatchNetwork, left: Tensor, right: Tensor) -> list[Seen]:
        features, places = (
            part.unflatten(0, (-1, 2)).unbind(1)
            for part in learnt_in_bfloat16(network, torch.stack([left, right], 1).flatten(0, 1))
        )
        return [Seen(*of_one) for of_one in zip(features, places, strict=True)]

    def _predict(
        self, eyes: list[Seen], sides: list[Seen], around: Seen, points: Tensor, angles: Tensor
    ) -> tuple[Prediction, Marks]:
        left_eye, right_eye = (self.eye_marks(eye.numbers).unflatten(1, (-1, 3)) for eye in eyes)
        left_side, right_side = (self.side_marks(side.numbers).unflatten(1, (-1, 3)) for side in sides)
        places = tuple(patch.places for patch in (*eyes, *sides, around))
        marks = Marks(left_eye, right_eye, left_side, right_side, points, places)
        mirror = angles * angles.new_tensor([-1.0, 1.0, -1.0])
        there, mirrored = around.features, self.mirrored(around.features)
        both = _given([*eyes, *sides], there, angles)
        swapped = _given([*eyes[::-1], *sides[::-1]], mirrored, mirror)
        upper, swapped_upper = _given(eyes, angles), _given(eyes[::-1], mirror)
        parts = [
            *_read_by(self.upper_paired_out, self.upper_other_out, upper, swapped_upper),
            *_read_by(self.lower_paired_out, self.lower_other_out, both, swapped),
        ]
        values, spreads = zip(*(part.chunk(2, 1) for part in parts), strict=True)
        seen = self.seen_out(points[..., :2].flatten(1))
        difference = seen - angles * angles.new_tensor([1.0, 1.0, 0.0])
        covered = [self.eye_hidden(eye.numbers) for eye in eyes]
        mouth = (self.side_hidden(sides[0].numbers) + self.side_hidden(sides[1].numbers)) / 2
        turn = self.turn_out(both) + self.trust * difference
        readings = torch.cat(values, 1)[:, _ARKIT_ORDER], self.by_marks(marks, angles + turn)
        prediction = Prediction(
            coefficients=(readings[0] + readings[1]) / 2,
            readings=readings,
            log_spread=torch.cat(spreads, 1)[:, _ARKIT_ORDER],
            hidden=torch.cat([*covered, mouth], 1),
            seen=seen,
            turn=turn,
        )
        return prediction, marks


def _given(patches: list[Seen], *more: Tensor) -> Tensor:
    """What heads see, [B, n]: features first, places last, so that heads that knew features alone go on."""
    features, places = zip(*((patch.features, patch.places.flatten(1)) for patch in patches), strict=True)
    return torch.cat([*features, *more, *places], 1)


def _read_by(paired: nn.Module, other: nn.Module, given: Tensor, mirrored: Tensor) -> list[Tensor]:
    """What heads say of the left, of the right (a left side in a mirror), and of what has no sides."""
    return [paired(given), paired(mirrored), other(given)]


def _head(features: int, width: int, out: int) -> nn.Sequential:
    last = nn.Linear(width, out)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(features, width), nn.ReLU(inplace=True), last)


def _deep_head(numbers: int, width: int, out: int) -> nn.Sequential:
    last = nn.Linear(width, out)
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, MEAN_COEFFICIENT)
    return nn.Sequential(
        # Landmarks move by little against where they lie; without this, that was learnt half as fast.
        nn.BatchNorm1d(numbers, affine=False),
        nn.Linear(numbers, width),
        nn.ReLU(inplace=True),
        nn.Linear(width, width),
        nn.ReLU(inplace=True),
        last,
    )
