"""Shards of rendered faces on disk, and how they are read.

``faces_XXXX.npz``: crops as the regressor sees them, background and camera included. ``heads_XXXX.npz``:
whole heads with alpha, for the detector's scenes. A shard is a function of the rig, its number and
the code alone, so shards can be made anywhere, in any order, and made again.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facecap_batch.engines.default_crop import CROP, POINTS
from facecap_batch.geometry import matrix_from_euler
from facecap_batch.storage.publish import published
from facecap_batch.training.people.appearance import Person, person
from facecap_batch.training.rendering import degrade, raster, retouch
from facecap_batch.training.rendering.expressions import sample
from facecap_batch.training.rendering.scene import Rendered, View, random_light, render

if TYPE_CHECKING:
    from facecap_batch.training.people.rig import Rig

TILE = 128  # pixels, side of a head tile
IMAGES_PER_PERSON = 8  # a person costs as much as two images; a few people are learnt by heart
OCCLUDED = 0.25  # share of crops with a hand or a thing before the face


@dataclasses.dataclass(frozen=True)
class FaceShard:
    """Face crops with labels."""

    image: np.ndarray  # uint8 [n, CROP, CROP, 3] RGB
    coefficients: np.ndarray  # float32 [n, 51]
    head: np.ndarray  # float32 [n, 6], as scene.Rendered.head
    points: np.ndarray  # float32 [n, POINTS, 2]
    covered: np.ndarray  # bool [n, POINTS], landmarks behind a hand or a thing
    tone: np.ndarray  # float32 [n], skin, 0 fair .. 1 deep
    age: np.ndarray  # float32 [n], years; NaN where it is not known: the family has none, an older shard


def _random_rotation(rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.75:
        yaw, pitch, roll = rng.normal(0, 0.36), rng.normal(0.0, 0.22), rng.normal(0, 0.16)
    else:
        yaw, pitch, roll = rng.uniform(-1.25, 1.25), rng.uniform(-0.7, 0.7), rng.normal(0, 0.35)
    return matrix_from_euler(np.clip([yaw, pitch, roll], [-1.4, -0.9, -0.9], [1.4, 0.9, 0.9]))


def _random_view(rng: np.random.Generator, size: int, shift: float, scale: float) -> View:
    return View(
        rotation=_random_rotation(rng),
        distance=float(np.exp(rng.uniform(np.log(28), np.log(220)))),
        size=size,
        jitter=rng.normal(0, shift, 2).clip(-3 * shift, 3 * shift),
        scale=float(np.exp(rng.normal(0, scale))),
    )


def finish(
    rendered: Rendered,
    who: Person,
    style: retouch.Style | None,
    backdrop: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """The image that a camera would have taken, of a person painted in `style`.

    Returns:
        uint8 [size, size, 3] and which landmarks something hides, bool [POINTS].
    """
    if rendered.lens is not None:
        degrade.lens_glare(rendered.rgba, rendered.lens, who.lens, rng)
    image = raster.over(rendered.rgba, backdrop)
    if style is not None and abs(rendered.head[0]) < retouch.MAX_YAW:
        retouch.retouch(image, rendered.points, style, rng)
    behind = np.zeros(POINTS, bool)
    if rng.random() < OCCLUDED:
        mask = degrade.occlude(image, tuple((who.skin ** (1 / 2.2) * 255).tolist()), rng)
        behind = degrade.covered(mask, rendered.points)
    return degrade.camera(image, rng), behind


def face_shard(
    rig: Rig,
    number: int,
    count: int,
    tone: float | None = None,
    takes: np.ndarray | None = None,
) -> FaceShard:
    """Shard `number` of `count` face crops; boxes err as those of a detector and a track do.

    Args:
        rig: what people are made from.
        number: of the shard; other numbers show other people.
        count: crops, IMAGES_PER_PERSON of each person.
        tone: the skin of all, 0 fair .. 1 deep; random when None.
        takes: float32 [N, 51], rows of real takes that expressions are also taken from.
    """
    rng = np.random.default_rng([7, number])
    images, coefficients, heads, points, hidden, tones, ages = [], [], [], [], [], [], []
    for position in range(count):
        if position % IMAGES_PER_PERSON == 0:
            who = person(rig, rng, tone)
            style = retouch.random_style(rng) if rng.random() < retouch.RETOUCHED else None
            backdrops = [degrade.background(rng, CROP) for _ in range(3)]
        view = _random_view(rng, CROP, 0.05, 0.12)
        values = sample(rng, takes, view.rotation)
        rendered = render(rig.model, who, values, view, random_light(rng))
        backdrop = backdrops[rng.integers(len(backdrops))]
        backdrop = np.roll(backdrop, rng.integers(0, CROP, 2), axis=(0, 1))[:, :: rng.choice([1, -1])]
        image, behind = finish(rendered, who, style, np.ascontiguousarray(backdrop), rng)
        images.append(image)
        hidden.append(behind)
        coefficients.append(values)
        heads.append(rendered.head)
        points.append(rendered.points)
        tones.append(who.tone)
        ages.append(who.age)
    return FaceShard(
        image=np.stack(images),
        coefficients=np.stack(coefficients),
        head=np.stack(heads),
        points=np.stack(points).reshape(count, POINTS, 2),
        covered=np.stack(hidden),
        tone=np.array(tones, np.float32),
        age=np.array(ages, np.float32),
    )


def head_shard(rig: Rig, number: int, count: int) -> dict[str, np.ndarray]:
    """Shard `number` of `count` head tiles: rgba uint8 [n, TILE, TILE, 4], box float32 [n, 4] pixels of the
    tile, yaw_pitch_roll float32 [n, 3] radians."""
    rng = np.random.default_rng([11, number])
    tiles, boxes, angles = [], [], []
    for position in range(count):
        if position % IMAGES_PER_PERSON == 0:
            who = person(rig, rng)
        rotation = _random_rotation(rng)
        if rng.random() < 0.3:  # profiles, which the regressor sees less of
            rotation = matrix_from_euler(
                np.array([rng.uniform(-1.6, 1.6), rng.normal(0, 0.25), rng.normal(0, 0.15)])
            )
        view = View(
            rotation,
            float(np.exp(rng.uniform(np.log(40), np.log(250)))),
            TILE,
            np.array([0.0, -0.08]),
            1.45,
        )
        rendered = render(rig.model, who, sample(rng), view, random_light(rng), oversampling=2.0)
        if rendered.lens is not None:
            degrade.lens_glare(rendered.rgba, rendered.lens, who.lens, rng)
        tiles.append(rendered.rgba)
        boxes.append(rendered.box)
        angles.append(rendered.head[:3])
    return {
        "rgba": np.stack(tiles),
        "box": np.stack(boxes).astype(np.float32),
        "yaw_pitch_roll": np.stack(angles).astype(np.float32),
    }


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Publish a shard."""
    with published(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def face_shards(folder: Path) -> list[Path]:
    """The folder's shards of face crops, by number.

    Raises FileNotFoundError where it has none.
    """
    found = sorted(folder.glob("faces_*.npz"))
    if not found:
        raise FileNotFoundError(f"{folder} holds no faces_*.npz; make some with jobs/synthesise.py")
    return found


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """Crops as an engine takes them that wants other pixels: uint8 [n, S, S, 3] to [n, side, side, 3]."""
    if image.shape[1] == side:
        return image
    return np.stack([cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA) for crop in image])


def load_faces(path: Path) -> FaceShard:
    """Read a shard written by `save` from a `FaceShard`; one from before `age` was a field has none."""
    with np.load(path) as arrays:
        found = dict(arrays)
    found.setdefault("age", np.full(len(found["image"]), np.nan, np.float32))
    return FaceShard(**{field.name: found[field.name] for field in dataclasses.fields(FaceShard)})
