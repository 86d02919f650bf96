"""Where patches lie in a crop, and how they are cut: eyes, sides of the lower face, the whole face.

In: crops, the head's pose and landmarks. Out: upright patches and the affine maps that cut them. The right
eye and the right side are cut in a mirror, so that one network sees both sides the same way.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional

from facecap_batch.engines.default_crop import POINTS

LEFT_EYE, RIGHT_EYE, REST_MOUTH = (42, 45), (36, 39), POINTS - 1  # corners; left and right are the subject's
PLACE_GRID, STEP_GRID = 4, 256  # of a patch's first pixel and of its steps, per pixel of the crop


@dataclasses.dataclass(frozen=True)
class Window:
    """An upright square of the face, relative to a landmark."""

    outward: float  # cm from the landmark toward the patch's own side, as the face is seen from the front
    upward: float  # cm
    width: float  # cm
    side: int  # pixels


@dataclasses.dataclass(frozen=True)
class Windows:
    """What is cut of a crop."""

    eye: Window
    side: Window  # of the lower face
    face: Window

    @property
    def each(self) -> tuple[Window, ...]:
        """Of the left eye, the right eye, the left and the right side, the face."""
        return self.eye, self.eye, self.side, self.side, self.face


def windows(eye: int, side: int, face: int) -> Windows:
    """The windows in that many pixels: lids, brow, half of the forehead and the skin between the brows, which
    fold; lips from beyond their middle, cheek, wing of the nose, chin; all of the face."""
    return Windows(Window(0.0, 1.6, 6.8, eye), Window(2.0, -0.4, 8.4, side), Window(0.0, 0.5, 16.0, face))


def narrow_windows(eye: int, side: int, face: int) -> Windows:
    """The same without forehead and chin."""
    return Windows(Window(0.0, 0.9, 5.4, eye), Window(2.1, 0.7, 7.8, side), Window(0.0, 0.5, 16.0, face))


def up_direction(angles: Tensor) -> Tensor:
    """The head's up axis in the image, unit [B, 2] (x right, y up), from yaw, pitch, roll [B, 3] (R = Ry Rx
    Rz)."""
    yaw, pitch, roll = angles.unbind(1)
    x = -torch.cos(yaw) * torch.sin(roll) + torch.sin(yaw) * torch.sin(pitch) * torch.cos(roll)
    y = torch.cos(pitch) * torch.cos(roll)
    up = torch.stack([x, y], 1)
    unit: Tensor = up / up.norm(dim=1, keepdim=True).clamp_min(1e-3)
    return unit


def patch_affine(centre: Tensor, head: Tensor, window: Window, mirrored: bool, size: int) -> Tensor:
    """[B, 2, 3]: pixel (x, y, 1) of an upright patch to pixel of a crop of `size` pixels.

    centre: [B, 2], crop units, v down; head: [B, 6]; mirrored flips left and right.
    """
    up = up_direction(head[:, :3]) * head.new_tensor([1.0, -1.0])  # v points down
    right = torch.stack([-up[:, 1], up[:, 0]], 1)
    per_cm = torch.exp(-head[:, 5:6]) * size
    step = window.width / window.side * per_cm
    across, down = right * step * (-1.0 if mirrored else 1.0), -up * step
    # The subject's left is at the image's right; of a turned head less of the way outward is seen.
    outward = window.outward * torch.cos(head[:, :1]) * (-1.0 if mirrored else 1.0)
    middle = (centre + 1) * (size / 2) - 0.5 + (up * window.upward + right * outward) * per_cm
    across, down = _snapped(across, STEP_GRID), _snapped(down, STEP_GRID)
    first = _snapped(middle - (across + down) * ((window.side - 1) / 2), PLACE_GRID)
    return torch.stack([across, down, first], 2)


def _snapped(values: Tensor, grid: int) -> Tensor:
    """To whole multiples of 1 / grid, with which float32 reckons exactly: every backend rounds a place to the
    same pixel."""
    return torch.floor(values * grid + 0.5) * (1.0 / grid)


def cut(
    image: Tensor, affines: list[Tensor], sides: list[int], folds: list[int] | None = None
) -> list[Tensor]:
    """Patches of an image by nearest pixel: [B, S, S, C] to float32 [B, C, side, side] each; uint8 becomes
    0..2.

    Where `folds` are given, each patch comes folded: [B, C fold^2, side / fold, side / fold], as
    `torch.pixel_unshuffle` folds, by the order in which its pixels are copied. Whole pixels are copied, all
    patches at once: sampling between them cost more than a third of the engine's time and moved no measured
    mean r by more than 0.01.
    """
    batch, size, _, channels = image.shape
    folds = folds or [1] * len(sides)
    rows = []
    for affine, side, fold in zip(affines, sides, folds, strict=True):
        step = torch.arange(side, dtype=affine.dtype, device=affine.device)
        grid = torch.stack([step.repeat(side), step.repeat_interleave(side)]).reshape(2, 1, side, side)
        grid = functional.pixel_unshuffle(grid, fold).reshape(2, side * side)
        grid = torch.cat([grid, torch.ones_like(grid[:1])])
        x, y = torch.floor(affine @ grid + 0.5).clamp(0, size - 1).unbind(1)
        rows.append(y * size + x)
    first = torch.arange(batch, device=image.device)[:, None] * (size * size)
    index = torch.cat(rows, 1).long() + first
    pixels = image.reshape(-1, channels).index_select(0, index.flatten()).reshape(batch, -1, channels)
    patches = []
    for part, side, fold in zip(pixels.split([side * side for side in sides], 1), sides, folds, strict=True):
        # Turned as bytes, which are moved faster than numbers.
        cells = part.transpose(1, 2).reshape(batch, channels * fold**2, side // fold, side // fold)
        patches.append(cells.float() * (1 / 127.5) if cells.dtype == torch.uint8 else cells)
    return patches


def face_affine(head: Tensor, rough: Tensor, face: Window, size: int) -> Tensor:
    """Where the face patch is cut, [B, 2, 3] (`patch_affine`), by the locator's landmarks [B, POINTS, 2]:
    between the eyes and the mouth."""
    eyes = rough[:, list(LEFT_EYE)].mean(1) + rough[:, list(RIGHT_EYE)].mean(1)
    return patch_affine((eyes + 2 * rough[:, REST_MOUTH]) / 4, head, face, False, size)


def part_affines(head: Tensor, points: Tensor, cut_as: Windows, size: int) -> list[Tensor]:
    """Where the left eye, the right eye, the left and the right side are cut: [B, 2, 3] each."""
    return [
        patch_affine(points[:, list(LEFT_EYE)].mean(1), head, cut_as.eye, False, size),
        patch_affine(points[:, list(RIGHT_EYE)].mean(1), head, cut_as.eye, True, size),
        patch_affine(points[:, REST_MOUTH], head, cut_as.side, False, size),
        patch_affine(points[:, REST_MOUTH], head, cut_as.side, True, size),
    ]


def points_in_crop(marks: Tensor, affine: Tensor, side: int, size: int) -> Tensor:
    """Landmarks in units of a patch, [B, n, 2], to crop units; the patch has `side` pixels and was cut by
    `affine` (`patch_affine`) from a crop of `size` pixels."""
    pixels = (marks + 1) * (side / 2) - 0.5
    across, down, first = affine.unbind(2)
    there = pixels[:, :, :1] * across[:, None] + pixels[:, :, 1:] * down[:, None] + first[:, None]
    return (there + 0.5) * (2 / size) - 1
