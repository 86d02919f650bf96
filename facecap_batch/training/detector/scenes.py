"""Scenes for the detector: rendered heads of all sizes put before backdrops, with exact face boxes.

In: head tiles (`tiles`), a seed, a scene's number. Out: a `Scene`, the same for the same numbers.
Light enough to be made while training runs: everything is numpy and OpenCV on 8-bit images.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from facecap_batch.training.detector.backdrops import (
    LETTERS,
    Backdrops,
    Colour,
    any_colour,
    draw_ball,
    draw_grimace,
    draw_hand,
    draw_limb,
    skin_colour,
)
from facecap_batch.training.detector.head_variety import vary
from facecap_batch.training.detector.tiles import HeadTile, HeadTiles

MIN_FACE = 12.0  # pixels, longer side of the box; smaller faces are not drawn
PAD_VALUE = 127  # what the detector's letterbox is filled with
FACE_COUNTS = (0.12, 0.46, 0.24, 0.12, 0.06)  # chance of 0, 1, 2 ... faces in a scene
VISIBLE_SHARE = 0.55  # of a face's box inside the image, below which it is not labelled a face
MAX_HIDDEN = 0.6  # of a box; beyond it a face is neither right nor wrong
UPRIGHT_LIMIT = np.radians(55.0)  # faces rotated further in the plane are no faces: the video is then rotated


@dataclasses.dataclass(frozen=True)
class Scene:
    """One training image."""

    image: np.ndarray  # uint8 [S, S, 3] RGB
    boxes: np.ndarray  # float32 [F, 4], x0 y0 x1 y1, pixels: the faces
    ignored: np.ndarray  # float32 [I, 4]: half-hidden or cut faces, neither right nor wrong


@dataclasses.dataclass(frozen=True)
class _Placement:
    tile: HeadTile
    matrix: np.ndarray  # float64 [2, 3], tile pixels to scene pixels
    box: np.ndarray  # float32 [4], scene pixels
    angle: float  # in-plane, radians, the head's own roll included


class SceneMaker:
    """Makes scenes of `size` pixels; `make(number)` depends on the seed, the tiles and the number alone."""

    def __init__(
        self, tiles: HeadTiles, size: int, seed: int = 0, backdrops: Backdrops | None = None
    ) -> None:
        self.tiles = tiles
        self.size = size
        self.seed = seed
        self._backdrops = backdrops or Backdrops(seed)

    def make(self, number: int) -> Scene:
        """Scene `number`."""
        rng = np.random.default_rng([29, self.seed, number])
        image = self._backdrops.window(rng, self.size)
        kept = _video_shape(rng, self.size)
        skin = skin_colour(rng)
        self._distract(image, rng, skin)
        faces: list[np.ndarray] = []
        ignored: list[np.ndarray] = []
        for placement in self._place(rng, kept):
            _draw_body(image, rng, placement)
            _paste(image, placement)
            if rng.random() < 0.2:
                _draw_collar(image, rng, placement)
            if rng.random() < 0.04:  # a head without a face: no label
                _hide_face(image, rng, placement)
            elif abs(placement.angle) < UPRIGHT_LIMIT:
                hidden = _occlude(image, rng, placement.box, skin) if rng.random() < 0.3 else 0.0
                (faces if hidden < MAX_HIDDEN else ignored).append(placement.box)
        image[kept[1] :] = PAD_VALUE
        image[:, kept[0] :] = PAD_VALUE
        boxes, cut = _inside(_stack(faces), kept)
        image = _camera(image, rng, kept)
        return Scene(image, boxes, np.concatenate([cut, _stack(ignored)]))

    def _distract(self, image: np.ndarray, rng: np.random.Generator, skin: Colour) -> None:
        """Hands, arms, balls and heads from behind, in place."""
        largest = np.log(self.size / 5)
        if rng.random() < 0.5:
            for _ in range(int(rng.integers(1, 4))):
                draw_limb(image, rng, skin, float(np.exp(rng.uniform(np.log(3), largest))))
        if rng.random() < 0.25:
            draw_ball(image, rng, skin if rng.random() < 0.7 else any_colour(rng))

    def _place(self, rng: np.random.Generator, kept: tuple[int, int]) -> list[_Placement]:
        """Heads that do not hide one another's faces, small ones first: those are further away."""
        count = rng.choice(len(FACE_COUNTS), p=FACE_COUNTS)
        largest = min(kept) * (1.05 if count <= 1 else 0.6)
        lengths = np.exp(rng.uniform(np.log(MIN_FACE), np.log(largest), count))
        placements: list[_Placement] = []
        for length in sorted(lengths):
            for _ in range(8):
                placement = self._put(rng, float(length), kept)
                region = _hidden_by(placement)
                if all(_overlap(region, other.box) < 0.1 for other in placements):
                    placements.append(placement)
                    break
        return placements

    def _put(self, rng: np.random.Generator, length: float, kept: tuple[int, int]) -> _Placement:
        tile = vary(self.tiles.pick(rng, length), rng)
        kind = rng.random()
        if kind < 0.6:
            angle = rng.normal(0, np.radians(8))
        elif kind < 0.97:
            angle = rng.uniform(-np.pi / 4, np.pi / 4)
        else:  # on the side or upside down
            angle = rng.uniform(np.radians(75), np.radians(285))
        middle = (tile.box[:2] + tile.box[2:]) / 2
        half = (tile.box[2:] - tile.box[:2]) / 2
        scale = length / (2 * max(half))
        mirror = rng.choice([-1.0, 1.0])
        stretch = np.exp(rng.normal(0, 0.06))
        # Image y points down: a counterclockwise rotation by `angle` has -sin below the diagonal.
        rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        linear = rotation @ np.diag([mirror * scale * stretch, scale / stretch])
        # A box's bounds after a rotation are those of the ellipse inside it: its corners are not face.
        extent = np.sqrt(((linear * half) ** 2).sum(1))
        margin = extent * rng.uniform(-0.3, 1.0)
        limit = np.array(kept)
        low, high = np.minimum(margin, limit / 2), np.maximum(limit - margin, limit / 2)
        centre = rng.uniform(low, high)
        matrix = np.concatenate([linear, (centre - linear @ middle)[:, None]], 1)
        box = np.concatenate([centre - extent, centre + extent]).astype(np.float32)
        return _Placement(tile, matrix, box, _wrapped(float(angle + mirror * tile.roll)))


def _wrapped(angle: float) -> float:
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _stack(boxes: list[np.ndarray]) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 4)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over the smaller area of two boxes."""
    common = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    return float(common / min(np.prod(a[2:] - a[:2]), np.prod(b[2:] - b[:2])))


def _hidden_by(placement: _Placement) -> np.ndarray:
    """Bounds of what a head with its hair and body may cover, float [4]."""
    x0, y0, x1, y1 = placement.tile.box
    width, height = x1 - x0, y1 - y0
    x0, y0, x1, y1 = x0 - 0.5 * width, y0 - 0.6 * height, x1 + 0.5 * width, y1 + 2.5 * height
    corners = _at(placement.matrix, np.array([[x0, y0], [x1, y0], [x0, y1], [x1, y1]]))
    return np.concatenate([corners.min(0), corners.max(0)])


def _at(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    moved: np.ndarray = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def _draw_body(image: np.ndarray, rng: np.random.Generator, placement: _Placement) -> None:
    """Continue the shoulders below the tile's lower edge, in place: no head ends in a straight cut."""
    rgba = placement.tile.rgba
    side = rgba.shape[0]
    columns = np.flatnonzero(rgba[-1, :, 3] > 127)
    if len(columns) < 4 or rng.random() < 0.1:
        return
    colour = rgba[-1, columns, :3].mean(0) * rng.uniform(0.8, 1.1)
    left, right = float(columns[0]), float(columns[-1])
    wide, deep = (right - left) * rng.uniform(0.0, 0.35), side * rng.uniform(0.8, 3.0)
    low = side * 0.94
    outline = np.array(
        [[left, low], [right, low], [right + wide, low + side * 0.35], [right + wide, low + deep],
         [left - wide, low + deep], [left - wide, low + side * 0.35]]
    )  # fmt: skip
    corners = np.round(_at(placement.matrix, outline) * 16).astype(np.int32)
    cv2.fillPoly(image, [corners], np.clip(colour, 0, 255).tolist(), cv2.LINE_AA, 4)
    if rng.random() < 0.45:
        spot = _at(placement.matrix, np.array([(left + right) / 2, low + deep * rng.uniform(0.05, 0.4)]))
        reach = side * np.sqrt(abs(np.linalg.det(placement.matrix[:, :2])))
        _print_chest(image, rng, spot, float(reach))


def _print_chest(image: np.ndarray, rng: np.random.Generator, spot: np.ndarray, reach: float) -> None:
    """Letters, a badge or a grimace on clothes around `spot`, in place. `reach`: the tile's side in the
    scene.
    """
    kind, colour = rng.random(), any_colour(rng)
    if kind < 0.4:
        letters = "".join(rng.choice(list(LETTERS), int(rng.integers(3, 9))))
        scale = reach * rng.uniform(0.15, 0.5) / (18 * len(letters))
        where = (spot - np.array([9 * len(letters) * scale, 0])).astype(int).tolist()
        cv2.putText(
            image, letters, where, cv2.FONT_HERSHEY_DUPLEX, scale, colour, max(1, int(3 * scale)), cv2.LINE_AA
        )
    elif kind < 0.6:
        draw_grimace(image, rng, (int(spot[0]), int(spot[1])), max(2, int(reach * rng.uniform(0.04, 0.15))))
    else:
        for _ in range(int(rng.integers(1, 5))):
            where = (spot + rng.normal(0, reach * 0.12, 2)).astype(int).tolist()
            extent = np.maximum(rng.uniform(0.01, 0.12, 2) * reach, 1).astype(int).tolist()
            angle = float(rng.uniform(0, 180))
            cv2.ellipse(image, where, extent, angle, 0, 360, any_colour(rng), -1, cv2.LINE_AA)


def _draw_collar(image: np.ndarray, rng: np.random.Generator, placement: _Placement) -> None:
    """Hide the neck behind a hood, a scarf or a collar, in place; the chin stays free."""
    x0, y0, x1, y1 = placement.tile.box
    width, height = x1 - x0, y1 - y0
    rows = placement.tile.rgba[-1]
    worn = rows[rows[:, 3] > 127][:, :3]
    colour = worn.mean(0) if len(worn) and rng.random() < 0.6 else np.array(any_colour(rng))
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    deep, wide = height * rng.uniform(0.15, 0.4), width * rng.uniform(0.45, 0.8)
    middle = np.array([(x0 + x1) / 2, y1 + height * 0.03 + deep])
    outline = middle + np.stack([np.cos(angles) * wide, np.sin(angles) * deep], 1)
    corners = np.round(_at(placement.matrix, outline) * 16).astype(np.int32)
    tint = np.clip(colour * rng.uniform(0.6, 1.2), 0, 255).tolist()
    cv2.fillPoly(image, [corners], tint, cv2.LINE_AA, 4)


def _paste(image: np.ndarray, placement: _Placement) -> None:
    """Blend the rotated and scaled tile over `image`, in place."""
    side = placement.tile.rgba.shape[0]
    corners = _at(placement.matrix, np.array([[0.0, 0], [side, 0], [0, side], [side, side]]))
    size = image.shape[0]
    x0, y0 = np.maximum(np.floor(corners.min(0)).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(corners.max(0)).astype(int), size)
    if x1 <= x0 or y1 <= y0:
        return
    matrix = placement.matrix - np.array([[0, 0, x0], [0, 0, y0]])
    drawn = cv2.warpAffine(placement.tile.rgba, matrix, (int(x1 - x0), int(y1 - y0)), flags=cv2.INTER_LINEAR)
    alpha = cv2.merge([drawn[..., 3]] * 3)
    window = image[y0:y1, x0:x1]
    over = cv2.multiply(np.ascontiguousarray(drawn[..., :3]), alpha, scale=1 / 255)
    image[y0:y1, x0:x1] = cv2.add(over, cv2.multiply(window, 255 - alpha, scale=1 / 255))


def _hide_face(image: np.ndarray, rng: np.random.Generator, placement: _Placement) -> None:
    """Grow hair over the whole face, in place: a head from behind."""
    rgba, box = placement.tile.rgba, placement.tile.box
    opaque = rgba[..., 3] > 200
    rows = opaque[: max(int(box[1]), 2)]
    source = rgba[: len(rows)][rows]
    colour = np.array(source[:, :3].mean(0) if len(source) else any_colour(rng))
    extent = (placement.box[2:] - placement.box[:2]) / 2
    centre = (placement.box[2:] + placement.box[:2]) / 2
    degrees = -float(np.degrees(placement.angle))
    for share in (1.3, 1.15, 0.95, 0.7, 0.45):
        tint = np.clip(colour * rng.uniform(0.85, 1.15), 0, 255).tolist()
        axes = np.maximum(extent * share, 1).astype(int).tolist()
        cv2.ellipse(image, centre.astype(int).tolist(), axes, degrees, 0, 360, tint, -1, cv2.LINE_AA)


def _occlude(image: np.ndarray, rng: np.random.Generator, box: np.ndarray, skin: Colour) -> float:
    """Put a hand, a bar or a book before the face in `box`, in place; return how much of the box it hides,
    0..1.
    """
    size = box[2:] - box[:2]
    before = image.copy()
    kind = rng.random()
    if kind < 0.6:
        heading = float(rng.uniform(np.pi, 2 * np.pi))  # fingers point upward, more or less
        palm = box[:2] + size * rng.uniform([-0.3, 0.35], [1.3, 1.4])
        dark = tuple(c * 0.75 for c in skin)
        unit = float(size.max() * rng.uniform(0.15, 0.36))
        arm = palm - np.array([np.cos(heading), np.sin(heading)]) * unit * 5
        sleeve = skin if rng.random() < 0.5 else any_colour(rng)
        cv2.line(
            image, palm.astype(int).tolist(), arm.astype(int).tolist(), sleeve, max(1, int(unit)), cv2.LINE_AA
        )
        draw_hand(image, rng, palm, heading, skin, dark, unit)
    else:
        centre = box[:2] + size * rng.uniform([-0.2, 0.1], [1.2, 1.2])
        extent = size * (
            rng.uniform([0.05, 0.6], [0.2, 2.0]) if kind < 0.8 else rng.uniform([0.3, 0.2], [1.0, 0.7])
        )
        if rng.random() < 0.5:
            extent = extent[::-1]
        rectangle = (centre.tolist(), extent.tolist(), float(rng.normal(0, 25)))
        cv2.fillPoly(image, [cv2.boxPoints(rectangle).astype(np.int32)], any_colour(rng), cv2.LINE_AA)
    x0, y0 = np.maximum(box[:2].astype(int), 0)
    x1, y1 = box[2:].astype(int) + 1
    changed = (before[y0:y1, x0:x1] != image[y0:y1, x0:x1]).any(-1)
    return float(changed.mean()) if changed.size else 1.0


def _video_shape(rng: np.random.Generator, size: int) -> tuple[int, int]:
    """Width and height of the image inside the square; the rest is padding."""
    if rng.random() < 0.35:
        return size, size
    short = round(size * float(rng.choice([9 / 16, 3 / 4, 4 / 5, rng.uniform(0.4, 1.0)])))
    return (size, short) if rng.random() < 0.7 else (short, size)


def _inside(boxes: np.ndarray, kept: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Split `boxes` into faces seen well enough inside `kept` (width, height), and cut ones; others are
    dropped.
    """
    limit = np.array(kept, np.float32)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    seen = (
        np.prod(np.maximum(np.minimum(boxes[:, 2:], limit) - np.maximum(boxes[:, :2], 0), 0), axis=1) / area
    )
    return boxes[seen >= VISIBLE_SHARE], boxes[(seen < VISIBLE_SHARE) & (seen > 0.1)]


def _camera(image: np.ndarray, rng: np.random.Generator, kept: tuple[int, int]) -> np.ndarray:
    """Light, colour, focus, motion, noise and compression inside `kept`; the padding stays exact."""
    width, height = kept
    inside = image[:height, :width]
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    gain = np.exp(rng.normal(0, 0.25) + rng.normal(0, 0.08, 3))
    contrast, gamma = rng.uniform(0.6, 1.3), np.exp(rng.normal(0, 0.25))
    if rng.random() < 0.5:  # from washed out to oversaturated
        colourful = float(np.exp(rng.normal(0, 0.5)))
        inside = cv2.transform(inside, np.full((3, 3), (1 - colourful) / 3) + np.eye(3) * colourful)
    table = ((levels**gamma * gain - 0.5) * contrast + 0.5 + rng.normal(0, 0.05)) * 255
    inside = cv2.LUT(inside, np.clip(table, 0, 255).astype(np.uint8)[None])
    if rng.random() < 0.12:
        inside = cv2.cvtColor(cv2.cvtColor(inside, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.2:  # a small or distant original
        share = rng.uniform(0.4, 0.9)
        small = cv2.resize(inside, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        inside = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.3:
        inside = cv2.GaussianBlur(inside, (0, 0), rng.uniform(0.3, 1.4))
    elif rng.random() < 0.3:  # the edges that old cameras and scalers draw
        soft = cv2.GaussianBlur(inside, (0, 0), rng.uniform(0.7, 2.5))
        strength = rng.uniform(0.3, 1.8)
        inside = cv2.addWeighted(inside, 1 + strength, soft, -strength, 0)
    elif rng.random() < 0.15:
        length = int(rng.integers(2, 9))
        kernel = np.zeros((length, length), np.float32)
        cv2.line(kernel, (0, int(rng.integers(length))), (length - 1, int(rng.integers(length))), 1.0)
        inside = cv2.filter2D(inside, -1, kernel / kernel.sum())
    if rng.random() < 0.5:
        cv2.setRNGSeed(int(rng.integers(1 << 31)))  # OpenCV's own generator is ten times as fast
        grain = np.zeros(inside.shape, np.int16)
        cv2.randn(grain, np.zeros(3), np.full(3, rng.uniform(1, 16)))
        inside = cv2.add(inside, grain, dtype=cv2.CV_8U)
    if rng.random() < 0.45:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 95))]
        decoded = cv2.imdecode(cv2.imencode(".jpg", inside, quality)[1], cv2.IMREAD_COLOR)
        inside = inside if decoded is None else decoded
    image[:height, :width] = inside
    return image
