"""A person's skin texture: tone, flush, lips, make-up, beard and brows over the head model's uv.

In: the head model, a random generator, colours and, where there are any, photographic skins. Out: albedo as
`Person.texture`. Colours are linear RGB; lengths are texels unless they say otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from facecap_batch.training.heads.head_model import HeadModel

if TYPE_CHECKING:
    from facecap_batch.training.people.skins import Skins

TEXTURE = 256
PHOTOGRAPHIC = 0.65  # share of people with a skin, and with brows, from photographs where there are some
NEAREST_SKINS = 6


def _field(rng: np.random.Generator, cells: int, size: int = TEXTURE) -> np.ndarray:
    """Smooth noise, float32 [size, size], about -1..1."""
    return cv2.resize(
        rng.normal(0, 0.6, (cells, cells)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC
    )


def texel(uv: np.ndarray) -> np.ndarray:
    """Texture coordinates float [..., 2] (0..1, v up) to texels (x right, y down)."""
    return np.stack([uv[..., 0], 1 - uv[..., 1]], axis=-1) * (TEXTURE - 1)


def _mask(points: np.ndarray, blur: float) -> np.ndarray:
    mask = np.zeros((TEXTURE, TEXTURE), np.float32)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(mask, (0, 0), blur) if blur else mask


def _brows(rng: np.random.Generator, marks: np.ndarray) -> np.ndarray:
    """Opacity of both brows, float32 [TEXTURE, TEXTURE]: a body and strokes along the brow landmarks."""
    mask = np.zeros((TEXTURE, TEXTURE), np.float32)
    thick, lift, density = rng.uniform(2.0, 8.0), rng.uniform(-2.5, 2.5), rng.uniform(0.25, 1.0)
    arch, length = rng.uniform(-1.5, 2.5), rng.uniform(0.8, 1.1)
    body = rng.uniform(0.4, 1.0) if rng.random() < 0.85 else 0.0  # dense, drawn or seen from afar
    steps = np.linspace(0, 1, 12)
    for line, outward in ((marks[17:22][::-1], -1), (marks[22:27], 1)):

        def at(along: np.ndarray, line: np.ndarray = line) -> np.ndarray:
            point: np.ndarray = np.stack([np.interp(along * 4, range(5), line[:, k]) for k in range(2)], 1)
            point = line[0] + (point - line[0]) * length
            point[:, 1] -= lift + arch * np.sin(np.pi * along)
            return point

        if body:
            half = 0.5 * thick * np.interp(steps, [0, 0.15, 0.5, 1], [0.75, 1.0, 0.9, 0.15])[:, None]
            edge = np.array([0.0, 1.0])
            outline = np.concatenate([at(steps) - half * edge, (at(steps) + half * edge)[::-1]])
            mask = np.maximum(mask, body * _mask(outline, 0))
        count = int(110 * density) + 10
        along = rng.random(count)
        position = at(along)
        position[:, 1] += rng.uniform(-0.5, 0.5, count) * thick * np.clip(1.15 - along, 0.25, 1.0)
        angle = np.where(along < 0.25, rng.uniform(0.9, 1.5, count), rng.uniform(0.0, 0.5, count))
        stroke = rng.uniform(3, 7, count)
        tip = position + np.stack([outward * np.cos(angle), -np.sin(angle)], 1) * stroke[:, None]
        for p, q, value in zip(position, tip, rng.uniform(0.4, 1.0, count), strict=True):
            cv2.line(
                mask,
                tuple(np.round(p * 16).astype(int)),
                tuple(np.round(q * 16).astype(int)),
                float(value),
                1,
                cv2.LINE_AA,
                4,
            )
    opacity: np.ndarray = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 1.4)) * rng.uniform(0.8, 1.7)
    return opacity.clip(0, 1)


def _photographic(skins: Skins, rng: np.random.Generator, skin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One of the `skins` nearest to the colour `skin`, tinted toward it.

    Returns:
        Albedo float32 [TEXTURE, TEXTURE, 3] and the colour of its cheeks, float [3].
    """
    distance = np.linalg.norm(np.log(skins.tone + 0.01) - np.log(skin + 0.01), axis=1)
    chosen = rng.choice(np.argsort(distance)[:NEAREST_SKINS])
    albedo = cv2.resize(
        skins.albedo[chosen].astype(np.float32), (TEXTURE, TEXTURE), interpolation=cv2.INTER_AREA
    )
    tone = np.maximum(skins.tone[chosen], 0.01)
    pull = np.sqrt(skin / tone).astype(np.float32)
    return albedo * pull, tone * pull


def skin_texture(
    model: HeadModel,
    rng: np.random.Generator,
    skin: np.ndarray,
    hair: np.ndarray,
    tone: float,
    skins: Skins | None,
    bearded: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """The texture of a random face.

    Args:
        skin, hair: linear RGB float [3].
        tone: 0 fair .. 1 deep.
        skins: photographic skins, which most faces get where there are some.
        bearded: multiplies the chance of a beard.

    Returns:
        Albedo, linear RGB float32 [TEXTURE, TEXTURE, 3], and the colour of the skin around the face, [3].
    """
    marks = texel(model.uv[model.landmarks])
    worn = skins if skins is not None and rng.random() < PHOTOGRAPHIC else None
    if worn is None:
        texture = np.ones((TEXTURE, TEXTURE, 3), np.float32) * skin.astype(np.float32)
    else:
        texture, skin = _photographic(worn, rng, skin)
    texture *= 1 + (0.05 * _field(rng, 6) + 0.05 * _field(rng, 24) + 0.05 * _field(rng, 100))[..., None]
    redness = rng.uniform(0, 0.25) * (1 - 0.6 * tone)
    flush = np.zeros((TEXTURE, TEXTURE), np.float32)
    for centre in (marks[1] * 0.45 + marks[31] * 0.55, marks[15] * 0.45 + marks[35] * 0.55, marks[30]):
        cv2.circle(flush, tuple(np.round(centre).astype(int)), 17, 1.0, -1)
    flush = cv2.GaussianBlur(flush, (0, 0), 10) * redness
    texture *= 1 - flush[..., None] * np.array([0.05, 0.5, 0.5], np.float32)
    sockets = np.zeros((TEXTURE, TEXTURE), np.float32)
    for eye in (marks[36:42], marks[42:48]):
        cv2.ellipse(sockets, tuple(np.round(eye.mean(0)).astype(int)), (17, 8), 0, 0, 360, 1.0, -1)
    texture *= 1 - (cv2.GaussianBlur(sockets, (0, 0), 4) * rng.uniform(0, 0.35))[..., None]
    if rng.random() < 0.3:
        freckles = (rng.random((TEXTURE, TEXTURE)) < rng.uniform(0.002, 0.02)).astype(np.float32)
        texture *= 1 - cv2.GaussianBlur(freckles, (0, 0), 0.9)[..., None] * rng.uniform(0.3, 1.2)
    for _ in range(rng.integers(0, 4)):  # moles
        cv2.circle(
            texture, tuple(int(v) for v in rng.integers(30, 226, 2)), 1, tuple((skin * 0.35).tolist()), -1
        )

    lips = _mask(marks[48:60], 1.2)[..., None]
    made_up = rng.random() < 0.22
    lip = skin * np.array([0.85, 0.55, 0.55]) * rng.uniform(0.7, 1.05)
    if made_up:
        lip = np.array([rng.uniform(0.15, 0.6), rng.uniform(0.01, 0.1), rng.uniform(0.02, 0.15)])
    if worn is not None and not made_up:
        lips = lips * rng.uniform(0.0, 0.5)
    texture = texture * (1 - lips) + lips * lip.astype(np.float32) * (1 + 0.1 * _field(rng, 60))[..., None]

    if made_up and rng.random() < 0.6:  # eye shadow
        lids = np.zeros((TEXTURE, TEXTURE), np.float32)
        for eye in (marks[36:42], marks[42:48]):
            centre = eye.mean(0) - [0, 4]
            cv2.ellipse(lids, tuple(np.round(centre).astype(int)), (13, 5), 0, 0, 360, 1.0, -1)
        lids = cv2.GaussianBlur(lids, (0, 0), 2)[..., None] * rng.uniform(0.3, 0.8)
        texture = texture * (1 - lids) + lids * (rng.random(3) * 0.25).astype(np.float32)

    if not made_up and rng.random() < 0.4 * bearded:  # stubble to full beard, moustache
        beard = np.zeros((TEXTURE, TEXTURE), np.float32)
        amount = rng.uniform(0.1, 0.95)
        jaw = np.concatenate(
            [
                marks[2:15],
                [
                    marks[14] - [10, 0],
                    marks[54] + [6, 4],
                    marks[57] + [0, 6],
                    marks[48] + [-6, 4],
                    marks[2] + [10, 0],
                ],
            ]
        )
        if rng.random() < 0.75:
            beard = np.maximum(beard, _mask(jaw + np.array([0, 3]), 4))
        if rng.random() < 0.75:
            moustache = np.array(
                [
                    marks[48] + [-2, -2],
                    marks[31] + [-2, 4],
                    marks[33] + [0, 4],
                    marks[35] + [2, 4],
                    marks[54] + [2, -2],
                    marks[52] + [0, -3],
                    marks[50] + [0, -3],
                ]
            )
            beard = np.maximum(beard, _mask(moustache, 2))
        beard *= np.clip(0.75 + 0.5 * rng.random((TEXTURE, TEXTURE)).astype(np.float32) - 0.25, 0, 1) * amount
        beard = (beard * (1 - lips[..., 0]))[..., None]
        texture = texture * (1 - beard) + beard * (hair * 0.9 + skin * 0.05).astype(np.float32)
    if skins is not None and rng.random() < PHOTOGRAPHIC:
        drawn = skins.brows[rng.integers(len(skins.brows))].astype(np.float32) / 255
        drawn = cv2.resize(drawn, (TEXTURE, TEXTURE), interpolation=cv2.INTER_AREA)
        drawn = np.roll(drawn, int(rng.integers(-3, 3)), axis=0)
        mask = np.clip(cv2.GaussianBlur(drawn, (0, 0), rng.uniform(0.3, 1.0)) * rng.uniform(1.8, 3.2), 0, 1)
    else:
        mask = _brows(rng, marks)
    brows = (mask * rng.uniform(0.7, 1.0))[..., None]
    # Brows are darker than the skin on nearly every face, also where hair is fair or grey.
    brow_colour = np.minimum(hair * rng.uniform(0.3, 0.9), skin * rng.uniform(0.06, 0.4))
    texture = texture * (1 - brows) + brows * brow_colour.astype(np.float32)
    line = _mask(marks[36:42], 0) + _mask(marks[42:48], 0)  # the lid margin, darker where lashes root
    rim = np.clip(cv2.dilate(line, np.ones((3, 3))) - cv2.erode(line, np.ones((3, 3))), 0, 1)
    texture *= 1 - (cv2.GaussianBlur(rim, (0, 0), 0.8) * 0.9 * rng.random() ** 1.5)[..., None]
    return np.clip(texture, 0.004, 0.95).astype(np.float32), skin
