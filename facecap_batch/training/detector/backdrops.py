"""Backgrounds without faces, full of things that resemble faces: what a detector must not report.

In: a random generator. Out: RGB images (uint8). `Backdrops` keeps a bank of finished images and cuts
windows out of them, because a scene has only milliseconds. All randomness comes from the caller's generator.
"""

from __future__ import annotations

import cv2
import numpy as np

Colour = tuple[float, float, float]
LETTERS = "ABCDEFGHKLMNOPRSTUVWXYZabcdefghiklmnoprstuvwxyz0123456789&%@#"
_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)


def skin_colour(rng: np.random.Generator) -> Colour:
    """RGB 0..255 of lit human skin, fair to deep."""
    tone = rng.uniform(0, 1)
    fair, deep = np.array([236, 196, 172.0]), np.array([74, 46, 34.0])
    colour = (fair * (1 - tone) + deep * tone) * rng.uniform(0.55, 1.1) + rng.normal(0, 8, 3)
    r, g, b = np.clip(colour, 0, 255).tolist()
    return r, g, b


def any_colour(rng: np.random.Generator) -> Colour:
    """RGB 0..255 of a thing; many things are as warm as skin."""
    if rng.random() < 0.25:
        return skin_colour(rng)
    r, g, b = rng.uniform(0, 255, 3).tolist()
    return r, g, b


def _point(rng: np.random.Generator, size: int) -> tuple[int, int]:
    x, y = rng.integers(-size // 8, size * 9 // 8, 2).tolist()
    return x, y


def smooth_field(rng: np.random.Generator, size: int) -> np.ndarray:
    """Low-frequency colour: walls, skies, out-of-focus rooms. float32 [size, size, 3]."""
    cells = rng.integers(1, 7, 2)
    base = rng.uniform(0, 255, (*cells, 3)).astype(np.float32)
    base = base.mean((0, 1)) + (base - base.mean((0, 1))) * rng.uniform(0.1, 1.0)
    grey = base.mean(2, keepdims=True)
    base = grey + (base - grey) * rng.beta(1.2, 2.0)
    field: np.ndarray = cv2.resize(base, (size, size), interpolation=cv2.INTER_CUBIC)
    return field


def octaves(rng: np.random.Generator, size: int) -> np.ndarray:
    """Noise of several scales, about -1..1, float32 [size, size]: plaster, cloth, leaves, water."""
    total = np.zeros((size, size), np.float32)
    amplitude, decay = 1.0, rng.uniform(0.45, 1.0)
    cells = int(rng.integers(3, 12))
    stretch = float(rng.choice([1.0, 1.0, 3.0, 0.33]))
    while cells < size:
        shape = (max(2, int(cells * stretch)), max(2, int(cells / stretch)))
        grain = rng.standard_normal((min(shape[0], size), min(shape[1], size)), dtype=np.float32)
        total += amplitude * cv2.resize(grain, (size, size), interpolation=cv2.INTER_CUBIC)
        amplitude *= decay
        cells *= 2
    noise: np.ndarray = total / max(float(total.std()) * 2, 1e-6)
    return noise


def tiling(rng: np.random.Generator, size: int) -> np.ndarray:
    """Bricks, tiles, checkers, stripes, keyboards: float32 [size, size, 3]."""
    height = int(rng.integers(4, size // 4))
    width = int(height * rng.choice([1.0, 2.0, 0.5, 3.0]))
    width = max(4, width)
    y, x = np.mgrid[0:size, 0:size]
    row = y // height
    shift = (row % 2) * (width // 2) if rng.random() < 0.5 else 0
    column = (x + shift) // width
    shade = rng.uniform(0.6, 1.2, (size // height + 2, size // 4 + 2)).astype(np.float32)
    if rng.random() < 0.4:
        shade = np.where(np.indices(shade.shape).sum(0) % 2 == 0, 0.4, 1.1).astype(np.float32)
    image: np.ndarray = shade[row, column][..., None] * np.array(any_colour(rng), np.float32)
    gap = max(1, height // 10)
    joint = (y % height < gap) | ((x + shift) % width < gap)
    image[joint] = any_colour(rng)
    return image


def draw_things(image: np.ndarray, rng: np.random.Generator, count: int) -> None:
    """Rectangles, lines, ellipses, polygons, lamps, wheels and rows of dots, in place."""
    size = image.shape[0]
    for _ in range(count):
        kind, colour = rng.integers(0, 7), any_colour(rng)
        p, q = _point(rng, size), _point(rng, size)
        if kind == 0:
            cv2.rectangle(image, p, q, colour, -1 if rng.random() < 0.6 else int(rng.integers(1, 8)))
        elif kind == 1:
            cv2.line(image, p, q, colour, int(rng.integers(1, 16)), cv2.LINE_AA)
        elif kind == 2:
            axes = tuple(rng.integers(2, size // 4, 2).tolist())
            cv2.ellipse(image, p, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        elif kind == 3:
            corners = rng.normal(0, size / 8, (rng.integers(3, 8), 2)) + np.array(p)
            cv2.fillPoly(image, [corners.astype(np.int32)], colour, cv2.LINE_AA)
        elif kind == 4:
            radius = int(rng.integers(3, size // 6))
            for share in (1.0, 0.75, 0.35):
                cv2.circle(image, p, max(1, int(radius * share)), any_colour(rng), -1, cv2.LINE_AA)
        elif kind == 5:  # two dots and a bar: the cheapest false face
            draw_grimace(image, rng, p, int(rng.integers(3, size // 8)))
        else:
            step = max(2, int(rng.integers(4, 24)))
            for k in range(int(rng.integers(3, 12))):
                cv2.circle(image, (p[0] + k * step, p[1]), step // 3, colour, -1, cv2.LINE_AA)


def draw_grimace(image: np.ndarray, rng: np.random.Generator, centre: tuple[int, int], unit: int) -> None:
    """Two dots and a bar, sometimes on a disc, in place. `unit`: half the distance of the dots, pixels."""
    x, y = centre
    colour = any_colour(rng)
    if rng.random() < 0.5:
        disc = tuple(rng.integers(unit, 2 * unit + 1, 2).tolist())
        cv2.ellipse(image, centre, disc, 0, 0, 360, any_colour(rng), -1, cv2.LINE_AA)
    for side in (-1, 1):
        cv2.circle(image, (x + side * unit, y - unit // 2), max(1, unit // 3), colour, -1)
    cv2.line(image, (x - unit, y + unit), (x + unit, y + unit), colour, max(1, unit // 3))


def draw_text(image: np.ndarray, rng: np.random.Generator) -> None:
    """Lines of letters, like signs, screens and prints on clothes, in place."""
    size = image.shape[0]
    scale = rng.uniform(0.3, 4.0)
    colour, font = any_colour(rng), _FONTS[rng.integers(len(_FONTS))]
    outlined, edge, width = rng.random() < 0.5, any_colour(rng), int(rng.integers(2, 9))
    x, y = _point(rng, size)
    for _ in range(int(rng.integers(1, 6))):
        letters = "".join(rng.choice(list(LETTERS), int(rng.integers(2, 14))))
        thickness = max(1, int(scale * rng.uniform(0.7, 3)))
        if outlined:
            cv2.putText(image, letters, (x, y), font, scale, edge, thickness + width, cv2.LINE_AA)
        cv2.putText(image, letters, (x, y), font, scale, colour, thickness, cv2.LINE_AA)
        y += int(34 * scale)


def draw_limb(image: np.ndarray, rng: np.random.Generator, colour: Colour, unit: float) -> None:
    """An arm that ends in a hand, or a hand alone, `unit` pixels wide at the wrist, in place."""
    wrist = np.array(_point(rng, image.shape[0]), np.float64)
    heading = rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(heading), np.sin(heading)])
    dark = tuple(float(c * rng.uniform(0.55, 0.9)) for c in colour)
    if rng.random() < 0.6:
        elbow = wrist - along * unit * rng.uniform(2, 7)
        sleeve = colour if rng.random() < 0.5 else any_colour(rng)
        cv2.line(image, _ints(elbow), _ints(wrist), sleeve, max(1, int(unit * 1.2)), cv2.LINE_AA)
    draw_hand(image, rng, wrist + along * unit, heading, colour, dark, unit)
    if rng.random() < 0.35:  # the other hand, on top
        palm = wrist + along * unit * rng.uniform(0.5, 2.0) + rng.normal(0, unit * 0.5, 2)
        draw_hand(image, rng, palm, rng.uniform(0, 2 * np.pi), colour, dark, unit)


def draw_hand(
    image: np.ndarray,
    rng: np.random.Generator,
    palm: np.ndarray,
    heading: float,
    colour: Colour,
    dark: tuple[float, ...],
    unit: float,
) -> None:
    """A palm and fingers, stretched or closed to a fist, in place. `unit`: half the palm's length, pixels."""
    degrees = float(np.degrees(heading))
    cv2.ellipse(image, _ints(palm), _axes(unit, unit * 0.85), degrees, 0, 360, colour, -1, cv2.LINE_AA)
    reach = rng.uniform(0.2, 1.7)
    for finger in range(int(rng.integers(2, 6))):
        across = (finger - 2) * 0.4
        root = palm + unit * np.array([np.cos(heading + across), np.sin(heading + across)]) * 0.8
        spread = heading + across * rng.uniform(0.1, 0.9)
        tip = root + unit * reach * np.array([np.cos(spread), np.sin(spread)])
        thick = max(1, int(unit * 0.36))
        cv2.line(image, _ints(root), _ints(tip), dark, thick + 1, cv2.LINE_AA)
        cv2.line(image, _ints(root), _ints(tip), colour, thick, cv2.LINE_AA)


def draw_ball(image: np.ndarray, rng: np.random.Generator, colour: Colour) -> None:
    """A lit ball or egg without a face, sometimes with hair: a head seen from behind, in place."""
    size = image.shape[0]
    centre = np.array(_point(rng, size), np.float64)
    radius = float(np.exp(rng.uniform(np.log(4), np.log(size / 3))))
    aspect, angle = rng.uniform(0.65, 1.0), float(rng.uniform(-30, 30))
    light = rng.uniform(-0.5, 0.5, 2)
    for share in np.linspace(1.0, 0.15, 7):
        shade = 1.0 - 0.45 * share
        tint = tuple(float(min(255.0, c * (0.55 + shade * 0.8))) for c in colour)
        where = centre + light * radius * (1 - share)
        cv2.ellipse(
            image,
            _ints(where),
            _axes(radius * share * aspect, radius * share),
            angle,
            0,
            360,
            tint,
            -1,
            cv2.LINE_AA,
        )
    if rng.random() < 0.6:
        hair = tuple(float(c) for c in np.array([70, 50, 35]) * rng.uniform(0.1, 2.2) + rng.uniform(0, 30))
        start = float(rng.uniform(150, 210))
        axes, end = _axes(radius * aspect * 1.06, radius * 1.06), start + float(rng.uniform(150, 330))
        thickness = -1 if rng.random() < 0.7 else max(1, int(radius / 4))
        cv2.ellipse(image, _ints(centre), axes, angle, start, end, hair, thickness, cv2.LINE_AA)


def _ints(point: np.ndarray) -> tuple[int, int]:
    return int(point[0]), int(point[1])


def _axes(a: float, b: float) -> tuple[int, int]:
    return max(1, int(a)), max(1, int(b))


def draw_foliage(image: np.ndarray, rng: np.random.Generator) -> None:
    """Many small strokes of one family of colours, in place."""
    size = image.shape[0]
    base = np.array(any_colour(rng))
    length = rng.uniform(2, size / 16)
    roots = rng.uniform(0, size, (int(rng.integers(60, 400)), 2))
    for root in roots:
        shade = tuple(np.clip(base * rng.uniform(0.4, 1.4), 0, 255).tolist())
        tip = root + rng.normal(0, length, 2)
        cv2.line(
            image, _ints(root), _ints(tip), shade, int(rng.integers(1, max(2, int(length / 2)))), cv2.LINE_AA
        )


def backdrop(rng: np.random.Generator, size: int) -> np.ndarray:
    """A whole image without a face: uint8 [size, size, 3]."""
    image = smooth_field(rng, size)
    if rng.random() < 0.25:
        image = tiling(rng, size)
    if rng.random() < 0.6:
        strength = rng.uniform(3, 70)
        image = image + strength * octaves(rng, size)[..., None]
    if rng.random() < 0.25:  # two materials along a ragged edge
        other = tiling(rng, size) if rng.random() < 0.3 else smooth_field(rng, size)
        mask = octaves(rng, size) > rng.uniform(-0.5, 0.5)
        image = np.where(mask[..., None], other, image)
    image = np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8))
    if rng.random() < 0.2:
        draw_foliage(image, rng)
    draw_things(image, rng, int(rng.integers(0, 16)))
    if rng.random() < 0.35:
        draw_text(image, rng)
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 6))
    return image


class Backdrops:
    """A bank of backdrops, and windows out of it."""

    def __init__(self, seed: int, count: int = 192, size: int = 480) -> None:
        rng = np.random.default_rng([17, seed])
        self._bank = [backdrop(rng, size) for _ in range(count)]
        self._size = size

    def window(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """A random window, mirrored and zoomed at random: uint8 [size, size, 3], its own memory."""
        source = self._bank[rng.integers(len(self._bank))]
        side = int(rng.integers(size // 2, self._size))
        x, y = rng.integers(0, self._size - side + 1, 2)
        cut = source[y : y + side, x : x + side]
        cut = cut[:, :: int(rng.choice([1, -1]))]
        image = cv2.resize(np.ascontiguousarray(cut), (size, size), interpolation=cv2.INTER_LINEAR)
        if rng.random() < 0.5:  # rooms and streets are mostly grey
            colourful = rng.uniform(0.05, 0.5)
            image = cv2.transform(image, np.full((3, 3), (1 - colourful) / 3) + np.eye(3) * colourful)
        return image
