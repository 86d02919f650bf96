"""What is around and in front of a face, and what cameras and codecs do to an image.

In: RGBA images (uint8, straight alpha). Out: RGB images (uint8). All randomness comes from the caller's
generator.
"""

from __future__ import annotations

import cv2
import numpy as np

from facecap_batch.training.rendering.codec import coded
from facecap_batch.training.rendering.hands import draw_hand


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A background without a face: uint8 [size, size, 3]."""
    base = rng.integers(0, 256, (rng.integers(1, 5), rng.integers(1, 5), 3)).astype(np.float32)
    image: np.ndarray = cv2.resize(
        base, (size, size), interpolation=rng.choice([cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_NEAREST])
    )
    contrast = rng.uniform(0.15, 1.0)
    image = base.mean(axis=(0, 1)) * (1 - contrast) + image * contrast
    colourful = rng.beta(1, 2.5)  # rooms and streets are mostly grey
    for cells in (6, 16, 48, 96):
        if rng.random() < 0.5:
            channels = 1 if rng.random() < 0.6 else 3
            cell = rng.normal(0, rng.uniform(4, 40), (cells, cells, channels)).astype(np.float32)
            grain = cv2.resize(cell, (size, size), interpolation=cv2.INTER_LINEAR)
            image += grain[..., None] if grain.ndim == 2 else grain
    for _ in range(rng.integers(0, 14)):
        colour = tuple(float(c) for c in rng.integers(0, 256, 3))
        p, q = rng.integers(-size // 4, size * 5 // 4, (2, 2))
        kind = rng.random()
        if kind < 0.45:
            cv2.rectangle(
                image, tuple(p.tolist()), tuple(q.tolist()), colour, -1 if rng.random() < 0.7 else 2
            )
        elif kind < 0.75:
            cv2.line(
                image, tuple(p.tolist()), tuple(q.tolist()), colour, int(rng.integers(1, 14)), cv2.LINE_AA
            )
        else:
            axes = rng.integers(3, size // 3, 2)
            cv2.ellipse(
                image,
                tuple(p.tolist()),
                tuple(axes.tolist()),
                float(rng.uniform(0, 180)),
                0,
                360,
                colour,
                -1,
                cv2.LINE_AA,
            )
    if rng.random() < 0.6:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 8))
    mixing = np.full((3, 3), (1 - colourful) / 3) + np.eye(3) * colourful
    image = cv2.transform(image, mixing)
    return np.clip(image, 0, 255).astype(np.uint8)


def lens_glare(rgba: np.ndarray, outlines: np.ndarray, opacity: float, rng: np.random.Generator) -> None:
    """Fill the lenses of glasses (float32 [2, N, 2], pixels) with a faint reflection, in place."""
    colour = rng.integers(120, 256, 3)
    for outline in outlines:
        mask = np.zeros(rgba.shape[:2], np.float32)
        cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
        slope = np.linspace(0, 1, rgba.shape[0], dtype=np.float32)[:, None]
        weight = (mask * opacity * (slope if rng.random() < 0.5 else 1 - slope) * 2)[..., None]
        visible = (rgba[..., 3:] > 0).astype(np.float32)
        rgba[..., :3] = (rgba[..., :3] * (1 - weight * visible) + colour * weight * visible).astype(np.uint8)


def occlude(image: np.ndarray, skin: tuple[float, float, float], rng: np.random.Generator) -> np.ndarray:
    """Draw a hand or a thing over part of `image`, in place.

    Returns:
        bool [size, size], the pixels that are covered.
    """
    size, before = image.shape[0], image.copy()
    if rng.random() < 0.7:
        draw_hand(image, np.array(skin), rng)
    else:
        colour = tuple(float(c) for c in rng.integers(0, 256, 3))
        centre = rng.uniform(0.15, 0.85, 2) * size
        extent = rng.uniform(0.08, 0.4, 2) * size
        corners = cv2.boxPoints((tuple(centre.tolist()), tuple(extent.tolist()), float(rng.uniform(0, 90))))
        cv2.fillPoly(image, [corners.astype(np.int32)], colour, cv2.LINE_AA)
    changed: np.ndarray = (image != before).any(axis=2)
    return changed


def covered(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which of `points` (float [N, 2], crop units -1..1) lie in `mask` (bool [size, size]): bool [N]."""
    size = len(mask)
    x, y = np.floor((points + 1) * (size / 2)).astype(int).T
    inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    hidden: np.ndarray = inside & mask[y.clip(0, size - 1), x.clip(0, size - 1)]
    return hidden


def camera(image: np.ndarray, rng: np.random.Generator, detail: float | None = None) -> np.ndarray:
    """Resolution loss, blur, noise, colour and compression as cameras and codecs do them; uint8 to uint8.

    `detail` is the share of the resolution that survives (0..1); random when None.
    """
    size = image.shape[0]
    if detail is None:
        detail = 1.0 if rng.random() < 0.5 else float(np.exp(rng.uniform(np.log(0.3), 0)))
    small = max(int(size * detail) // 2 * 2, 16)
    if small < size:
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3))
    if rng.random() < 0.12:  # motion
        length = int(rng.integers(2, 8))
        kernel = np.zeros((length, length), np.float32)
        cv2.line(kernel, (0, int(rng.integers(0, length))), (length - 1, int(rng.integers(0, length))), 1.0)
        image = cv2.filter2D(image, -1, kernel / max(kernel.sum(), 1))
    work: np.ndarray = image.astype(np.float32)
    if rng.random() < 0.5:
        work *= np.exp(rng.normal(-0.05, 0.22)) * np.exp(rng.normal(0, 0.06, 3))
    if rng.random() < 0.4:
        pivot = work.mean()
        work = (work - pivot) * rng.uniform(0.6, 1.35) + pivot + rng.normal(0, 10)
    if rng.random() < 0.35:
        grain = rng.normal(0, rng.uniform(0.5, 7), work.shape if rng.random() < 0.5 else (*work.shape[:2], 1))
        work += grain
    if rng.random() < 0.12:
        work = cv2.transform(work, np.full((3, 3), 1 / 3))
    image = compressed(np.clip(work, 0, 255).astype(np.uint8), rng)
    if small < size:
        image = cv2.resize(
            image, (size, size), interpolation=cv2.INTER_LINEAR if rng.random() < 0.6 else cv2.INTER_CUBIC
        )
    return image


def compressed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What noise reduction and a codec leave of an image, if there are any: uint8 [even, even, 3] to uint8.

    Small faces in video have soft skin and hard edges, which neither blur nor noise makes.
    """
    if rng.random() < 0.25:
        colours, pixels = rng.uniform(8, 45), rng.uniform(0.8, 2.5)
        image = cv2.bilateralFilter(image, 7, colours, pixels)
    kind = rng.random()
    if kind < 0.25:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))]
        image = np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR))
    elif kind < 0.6:
        image = coded(image, int(rng.integers(20, 40)))
    return image
