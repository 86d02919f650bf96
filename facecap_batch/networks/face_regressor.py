"""The default regressor: one network from a square face crop to 57 numbers, landmarks and presence.

A `Locator` sees the whole crop at half resolution and says where the head is (pose, landmarks, scale). From
that the network cuts upright patches of both eyes, the mouth and the face out of the full-resolution crop,
and `Expression` reads the coefficients there. Both eyes share their weights: the right eye is seen in a
mirror. Built from the inverted residuals of MobileNetV3 (Howard et al. 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.networks.crop_layout import POINTS
from facecap_batch.networks.mobilenetv3 import ConvBNAct, InvertedResidual, initialise

LEFT_EYE, RIGHT_EYE, REST_MOUTH = (42, 45), (36, 39), POINTS - 1  # corners; left and right are the subject's
MEAN_LOG_WIDTH = 3.2  # ln of a crop's width in cm, where training starts from
MEAN_COEFFICIENT = 0.1  # likewise for every coefficient
# Patches: centre offset upward (cm), width (cm), side (pixels).
EYE_PATCH = (0.9, 5.4, 48)
MOUTH_PATCH = (-1.0, 8.4, 56)
FACE_PATCH = (0.5, 17.0, 48)
_EYE_STEMS = (
    "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide",
    "browDown", "browOuterUp", "cheekSquint",
)  # fmt: skip
LEFT_CHANNELS = [ARKIT_NAMES.index(stem + "Left") for stem in _EYE_STEMS]
RIGHT_CHANNELS = [ARKIT_NAMES.index(stem + "Right") for stem in _EYE_STEMS]
OTHER_CHANNELS = [k for k in range(len(ARKIT_NAMES)) if k not in LEFT_CHANNELS and k not in RIGHT_CHANNELS]


class Locator(nn.Module):
    """Whole crop to head pose, landmarks and presence."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.features = nn.Sequential(
            ConvBNAct(3, 16, 3, 2, activation="hardswish"),
            InvertedResidual(16, 16, 16, 3, 2, squeeze=True, activation="relu"),
            InvertedResidual(16, 72, 24, 3, 2, squeeze=False, activation="relu"),
            InvertedResidual(24, 88, 24, 3, 1, squeeze=False, activation="relu"),
            InvertedResidual(24, 96, 40, 5, 2, squeeze=True, activation="hardswish"),
            InvertedResidual(40, 240, 40, 5, 1, squeeze=True, activation="hardswish"),
            InvertedResidual(40, 120, 48, 5, 1, squeeze=True, activation="hardswish"),
            InvertedResidual(48, 192, 64, 5, 2, squeeze=True, activation="hardswish"),
            InvertedResidual(64, 256, 64, 5, 1, squeeze=True, activation="hardswish"),
        )
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(64 * 9, width), nn.Hardswish())
        self.head = nn.Linear(width, 6)
        self.points = nn.Linear(width, 2 * POINTS)
        self.presence = nn.Linear(width, 1)
        initialise(self)
        for layer in (self.head, self.points):
            nn.init.zeros_(layer.weight)
        with torch.no_grad():
            self.head.bias[5] = MEAN_LOG_WIDTH

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """crop: float32 [B, 3, CROP, CROP], about -1..1. Returns head [B, 6] (yaw, pitch, roll in radians;
        u, v of the head's origin, crop units -1..1; ln of the crop's width in cm), points [B, POINTS, 2]
        (crop units) and presence logits [B]."""
        return self.at_half(functional.avg_pool2d(crop, 2))

    def at_half(self, crop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`forward` for crops that are at half resolution already."""
        hidden = self.hidden(self.features(crop))
        return (
            self.head(hidden),
            self.points(hidden).unflatten(1, (POINTS, 2)),
            self.presence(hidden)[:, 0],
        )


class Patch(nn.Module):
    """A square patch to a feature vector."""

    def __init__(self, side: int, out: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            ConvBNAct(3, 16, 3, 2, activation="hardswish"),
            ConvBNAct(16, 32, 3, 2, activation="relu"),
            InvertedResidual(32, 96, 32, 3, 1, squeeze=False, activation="relu"),
            InvertedResidual(32, 128, 48, 3, 2, squeeze=True, activation="hardswish"),
            InvertedResidual(48, 192, 48, 3, 1, squeeze=True, activation="hardswish"),
            InvertedResidual(48, 192, 64, 3, 2, squeeze=True, activation="hardswish"),
        )
        cells = -(-side // 16)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(64 * cells * cells, out), nn.Hardswish())

    def forward(self, patch: Tensor) -> Tensor:
        return self.hidden(self.features(patch))


class Expression(nn.Module):
    """Aligned patches and head pose to 51 coefficients."""

    def __init__(self) -> None:
        super().__init__()
        self.eye = Patch(EYE_PATCH[2], 128)
        self.mouth = Patch(MOUTH_PATCH[2], 160)
        self.face = Patch(FACE_PATCH[2], 128)
        self.eye_out = nn.Sequential(
            nn.Linear(128 * 2 + 128 + 3, 96), nn.Hardswish(), nn.Linear(96, len(_EYE_STEMS))
        )
        self.other_out = nn.Sequential(
            nn.Linear(160 + 128 + 128 + 3, 160), nn.Hardswish(), nn.Linear(160, len(OTHER_CHANNELS))
        )
        initialise(self)
        for out in (self.eye_out, self.other_out):
            last = out[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.constant_(last.bias, MEAN_COEFFICIENT)

    def forward(self, left: Tensor, right: Tensor, mouth: Tensor, face: Tensor, angles: Tensor) -> Tensor:
        """left, right: float32 [B, 3, 48, 48], the right one mirrored; mouth: [B, 3, 56, 56]; face: [B, 3,
        48, 48]; angles: [B, 3], yaw, pitch, roll in radians. Returns [B, 51], nominally 0..1, not
        clipped."""
        eyes = self.eye(torch.stack([left, right], 1).flatten(0, 1))
        left_eye, right_eye = eyes.unflatten(0, (-1, 2)).unbind(1)
        around = self.face(face)
        mirror = angles * angles.new_tensor([-1.0, 1.0, -1.0])
        lefts = self.eye_out(torch.cat([left_eye, right_eye, around, angles], 1))
        rights = self.eye_out(torch.cat([right_eye, left_eye, around, mirror], 1))
        others = self.other_out(torch.cat([self.mouth(mouth), around, left_eye + right_eye, angles], 1))
        joined = torch.cat([lefts, rights, others], 1)
        order = LEFT_CHANNELS + RIGHT_CHANNELS + OTHER_CHANNELS
        return joined[:, [order.index(k) for k in range(len(ARKIT_NAMES))]]


def up_direction(angles: Tensor) -> Tensor:
    """The head's up axis in the image, unit [B, 2] (x right, y up), from yaw, pitch, roll [B, 3] (R = Ry Rx
    Rz)."""
    yaw, pitch, roll = angles.unbind(1)
    x = -torch.cos(yaw) * torch.sin(roll) + torch.sin(yaw) * torch.sin(pitch) * torch.cos(roll)
    y = torch.cos(pitch) * torch.cos(roll)
    up = torch.stack([x, y], 1)
    return up / up.norm(dim=1, keepdim=True).clamp_min(1e-3)


def cut_patch(
    crop: Tensor,
    centre: Tensor,
    up: Tensor,
    log_width: Tensor,
    patch: tuple[float, float, int],
    mirror: bool = False,
) -> Tensor:
    """An upright patch around `centre` ([B, 2], crop units, v down): float32 [B, 3, side, side].

    up: [B, 2] unit vector (x right, y up); log_width: [B], ln of the crop's width in cm; mirror flips left
    and right.
    """
    offset, width, side = patch
    per_cm = 2.0 / torch.exp(log_width)[:, None]
    up_image = up * up.new_tensor([1.0, -1.0])  # v points down
    right_image = torch.stack([-up_image[:, 1], up_image[:, 0]], 1)
    middle = centre + up_image * (offset * per_cm)
    half = 0.5 * width * per_cm
    steps = (torch.arange(side, dtype=crop.dtype, device=crop.device) + 0.5) * (2.0 / side) - 1.0
    across = -steps if mirror else steps
    grid = (
        middle[:, None, None, :]
        + across[None, None, :, None] * (right_image * half)[:, None, None, :]
        - steps[None, :, None, None] * (up_image * half)[:, None, None, :]
    )
    return functional.grid_sample(crop, grid, mode="bilinear", padding_mode="border", align_corners=False)


def cut_patches(crop: Tensor, head: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The left eye, the mirrored right eye, the mouth and the face, given head [B, 6] and points [B,
    POINTS, 2]."""
    up, width = up_direction(head[:, :3]), head[:, 5]
    halved = functional.avg_pool2d(crop, 2)
    left, right, mouth, face = (
        cut_patch(halved if half else crop, centre, up, width, patch, mirror)
        for centre, patch, mirror, half in patch_places(points)
    )
    return left, right, mouth, face


def patch_places(points: Tensor) -> tuple[tuple[Tensor, tuple[float, float, int], bool, bool], ...]:
    """Centre [B, 2], patch, mirrored, from half resolution: of the left eye, right eye, mouth and face."""
    left = points[:, list(LEFT_EYE)].mean(1)
    right = points[:, list(RIGHT_EYE)].mean(1)
    mouth = points[:, REST_MOUTH]
    middle = (left + right + 2 * mouth) / 4
    return (
        (left, EYE_PATCH, False, False),
        (right, EYE_PATCH, True, False),
        (mouth, MOUTH_PATCH, False, False),
        (middle, FACE_PATCH, False, True),
    )


class FaceRegressor(nn.Module):
    """The whole engine as exported: uint8 crop in, the contract's outputs out."""

    def __init__(self) -> None:
        super().__init__()
        self.locator = Locator()
        self.expression = Expression()

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """crop: uint8 [B, CROP, CROP, 3] RGB. Returns outputs float32 [B, 57], landmarks [B, POINTS, 2]
        (crop units -1..1, v down) and presence [B] (0..1)."""
        pixels = normalise(crop)
        head, points, presence = self.locator(pixels)
        coefficients = self.expression(*cut_patches(pixels, head, points), head[:, :3])
        return torch.cat([coefficients.clamp(0.0, 1.0), head], 1), points, torch.sigmoid(presence)


def normalise(crop: Tensor) -> Tensor:
    """uint8 [B, S, S, 3] to float32 [B, 3, S, S] in -1..1."""
    return crop.permute(0, 3, 1, 2).float() * (1 / 127.5) - 1.0
