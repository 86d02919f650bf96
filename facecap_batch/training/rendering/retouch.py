"""Beards, brows, lips, shaded eyes and light painted onto rendered crops by their landmarks.

In: crops of one person with their landmarks. Out: the same crops as another person's, in place. The skins of
rigs have few beards and bright eyeballs, and what a network has hardly seen it takes for a movement: a dark
ring of hair around a closed mouth was read as an open jaw.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from facecap_batch.engines.default_crop import CROP

# Landmarks (default_crop.POINTS): 0..16 jaw, 17..26 brows, 31..35 base of the nose, 36..47 eyes, 48..59 lips
# outside, 60..67 inside.
JAW, CHIN = tuple(range(1, 16)), (10, 9, 8, 7, 6)
UPPER_LIP, LOWER_LIP = (48, 49, 50, 51, 52, 53, 54), (54, 55, 56, 57, 58, 59, 48)
LIPS, MOUTH = tuple(range(48, 60)), tuple(range(60, 68))
EYES = (tuple(range(36, 42)), tuple(range(42, 48)))
UPPER_LIDS = ((36, 37, 38, 39), (42, 43, 44, 45))
BROWS = (tuple(range(17, 22)), tuple(range(22, 27)))
NOSE_BASE = 33
MAX_YAW = 0.8  # radians; of faces turned further the outlines of the far side are not what is seen
RETOUCHED = 0.6  # share of people
HAIR = np.array([[12, 10, 9], [38, 26, 18], [74, 50, 32], [120, 96, 70], [150, 148, 145]], np.float32)  # RGB
FINE = 16  # of a pixel, in which outlines are drawn


@dataclasses.dataclass(frozen=True)
class Style:
    """How one person is painted; every strength is 0..1, 0 leaves the crop as it is."""

    moustache: float
    chin: float
    beard: float
    brows: float
    hair: np.ndarray  # float32 [3], RGB 0..255
    lips: float
    lip_colour: np.ndarray  # float32 [3]
    eyeballs: float  # how dark lids make them
    sockets: float
    lashes: float
    reach: float  # 0..1, of the moustache from the lip to the nose
    light: np.ndarray  # float32 [3, 3], times the light at the crop's corners, edges and middle


def random_style(rng: np.random.Generator) -> Style:
    """Two of five people have some beard, most have darker eyes."""

    def some(chance: float, low: float, high: float) -> float:
        return float(rng.uniform(low, high)) if rng.random() < chance else 0.0

    kind = rng.random()
    full, goatee, lip_only = kind < 0.15, 0.15 <= kind < 0.32, 0.32 <= kind < 0.42
    density = float(rng.uniform(0.25, 0.95))
    return Style(
        moustache=density if full or goatee or lip_only else 0.0,
        chin=density if (full or goatee) else some(0.08, 0.3, 0.9),
        beard=density * float(rng.uniform(0.6, 1.0)) if full else 0.0,
        brows=some(0.35, 0.2, 0.9),
        hair=HAIR[rng.integers(len(HAIR))] * np.float32(rng.uniform(0.6, 1.3)),
        lips=some(0.35, 0.15, 0.7),
        lip_colour=rng.uniform((70, 30, 30), (200, 140, 140)).astype(np.float32),
        eyeballs=some(0.6, 0.1, 0.45),
        sockets=some(0.35, 0.1, 0.5),
        lashes=some(0.3, 0.2, 0.9),
        reach=float(rng.uniform(0.3, 0.8)),
        light=np.exp(rng.normal(0, some(0.5, 0.1, 0.4), (3, 3))).astype(np.float32),
    )


def retouch(image: np.ndarray, points: np.ndarray, style: Style, rng: np.random.Generator) -> None:
    """Paint one crop of a face that is turned by less than MAX_YAW.

    Args:
        image: uint8 [CROP, CROP, 3] RGB, changed in place.
        points: float [POINTS, 2], crop units -1..1, v down.
        style: Of the person.
        rng: Of the hair's grain.
    """
    spots = (points + 1) * (CROP / 2) - 0.5
    eyes = float(np.linalg.norm(spots[list(EYES[0])].mean(0) - spots[list(EYES[1])].mean(0)))
    soft = max(eyes / 40, 0.6)
    lips = _filled([spots[list(LIPS)]])
    if style.lips:
        red = (lips - _filled([spots[list(MOUTH)]])).clip(0)
        _blend(image, red, style.lip_colour, style.lips * 0.8, soft)
    hair = np.zeros(image.shape[:2], np.float32)
    if style.beard:
        cheeks = np.concatenate([spots[list(JAW)], spots[list(LOWER_LIP)]])
        hair = np.maximum(hair, _filled([cheeks]) * style.beard)
    if style.chin:
        chin = np.concatenate([spots[list(LOWER_LIP)], spots[list(CHIN[::-1])]])
        hair = np.maximum(hair, _filled([chin]) * style.chin)
    if style.moustache:
        below = spots[list(UPPER_LIP)]
        above = below[1:-1] + style.reach * (spots[NOSE_BASE] - spots[51])
        hair = np.maximum(hair, _filled([np.concatenate([below, above[::-1]])]) * style.moustache)
    hair *= 1 - lips
    if style.brows:
        for brow in BROWS:
            hair = np.maximum(hair, _drawn(spots[list(brow)], eyes * 0.09) * style.brows)
    if hair.any():
        grain = cv2.GaussianBlur(rng.normal(1.0, 0.45, hair.shape).astype(np.float32), (0, 0), 0.7)
        hair = cv2.GaussianBlur(hair, (0, 0), soft) * grain.clip(0.3, 1.4)
        _blend(image, hair, style.hair, 1.0, 0.0)
    if style.sockets:
        around = np.zeros(image.shape[:2], np.float32)
        for eye in EYES:
            middle = spots[list(eye)].mean(0)
            cv2.circle(
                around, _fine(middle[None])[0].tolist(), int(eyes * 0.27 * FINE), 1.0, -1, cv2.LINE_AA, 4
            )
        _blend(image, around, None, style.sockets, eyes * 0.12)
    if style.eyeballs:
        _blend(image, _filled([spots[list(eye)] for eye in EYES]), None, style.eyeballs, soft * 0.7)
    if style.lashes:
        lashes = np.maximum(*(_drawn(spots[list(lid)], eyes * 0.035) for lid in UPPER_LIDS))
        _blend(image, lashes, style.hair * 0.3, style.lashes, soft * 0.5)
    light = cv2.resize(style.light, (CROP, CROP), interpolation=cv2.INTER_CUBIC)
    image[:] = np.clip(image * light[..., None], 0, 255).astype(np.uint8)


def _fine(spots: np.ndarray) -> np.ndarray:
    return np.round(spots * FINE).astype(np.int32)


def _filled(outlines: list[np.ndarray]) -> np.ndarray:
    """float32 [CROP, CROP], 1 inside the outlines, float [n, 2] pixels."""
    mask = np.zeros((CROP, CROP), np.uint8)
    cv2.fillPoly(mask, [_fine(outline) for outline in outlines], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def _drawn(line: np.ndarray, width: float) -> np.ndarray:
    """float32 [CROP, CROP], 1 on a line of that width, in pixels."""
    mask = np.zeros((CROP, CROP), np.uint8)
    cv2.polylines(mask, [_fine(line)], False, 255, max(round(width), 1), cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def _blend(
    image: np.ndarray, mask: np.ndarray, colour: np.ndarray | None, strength: float, soft: float
) -> None:
    """Bring `image` nearer to `colour`, or to black, where `mask` [CROP, CROP] says, in place."""
    weight = (cv2.GaussianBlur(mask, (0, 0), soft) if soft else mask)[..., None] * strength
    weight = weight.clip(0, 1)
    target = np.zeros(3, np.float32) if colour is None else colour
    image[:] = np.clip(image * (1 - weight) + target * weight, 0, 255).astype(np.uint8)
