"""Photographic skin and eyebrows: MakeHuman's own skins and eyebrows in the texture layout of the head model.

In: a folder with MakeHuman's files and the head model. Out: `Skins`, linear RGB albedo and brow opacity over
the model's uv, which `appearance` can use in place of its procedural texture.

The folder holds ``base.obj`` (github.com/makehumancommunity/makehuman, makehuman/data/3dobjs),
``skins/*.mhmat`` and ``eyebrows/*.{mhclo,mhmat,obj,png}`` (github.com/makehumancommunity/makehuman-assets,
base/) and ``textures/*.png``, the skins' diffuse maps in any resolution.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from facecap_batch.storage.publish import published
from facecap_batch.training.compiled import compiled
from facecap_batch.training.heads.head_model import HeadModel
from facecap_batch.training.heads.makehuman import (
    BASE_MESH,
    DECIMETRE,
    FOLDER_ADVICE,
    LICENCE,
    Mesh,
    brow_mesh,
    is_free,
    linear_image,
    read_mesh,
)
from facecap_batch.training.heads.mesh import FACE
from facecap_batch.training.heads.source_files import MissingSource, require

ASSETS = "base/{}/ of github.com/makehumancommunity/makehuman-assets"
FRONT_SIZE = (1120, 480)  # pixels, width and height of an image of the brows on MakeHuman's head
FRONT_CORNER, FRONT_PIXELS = np.array([-7.0, 78.0]), 80.0  # its top left corner in cm, pixels per cm

# Where the vertices of a model are on MakeHuman's head, as `registration.register` returns it.
Lay = Callable[[HeadModel, np.ndarray, Mesh], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Skins:
    """Materials over the head model's uv, texel = (u (S - 1), (1 - v) (S - 1))."""

    albedo: np.ndarray  # float16 [N, S, S, 3], linear RGB, 0..1
    names: tuple[str, ...]  # of the skins, MakeHuman's
    tone: np.ndarray  # float32 [N, 3], linear RGB of the cheeks
    brows: np.ndarray  # uint8 [M, S, S], opacity of both brows, 255 opaque
    brow_names: tuple[str, ...]


@compiled
def _paint(
    screen: np.ndarray, triangles: np.ndarray, values: np.ndarray, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """`values` [V, C] of the vertices at `screen` [V, 2] (pixels), interpolated over `triangles` [T, 3].

    Returns float64 [height, width, C] and bool [height, width], false where there is no triangle.
    """
    painted = np.zeros((height, width, values.shape[1]))
    there = np.zeros((height, width), np.bool_)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t]
        ax, ay, bx, by, cx, cy = (
            screen[a, 0], screen[a, 1], screen[b, 0], screen[b, 1], screen[c, 0], screen[c, 1],
        )  # fmt: skip
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-9:
            continue
        for y in range(max(int(np.ceil(min(ay, by, cy))), 0), min(int(max(ay, by, cy)), height - 1) + 1):
            for x in range(max(int(np.ceil(min(ax, bx, cx))), 0), min(int(max(ax, bx, cx)), width - 1) + 1):
                wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                if min(wa, wb, 1 - wa - wb) >= -1e-9:
                    painted[y, x] = wa * values[a] + wb * values[b] + (1 - wa - wb) * values[c]
                    there[y, x] = True
    return painted, there


def _texel(uv: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.stack([uv[..., 0] * (width - 1), (1 - uv[..., 1]) * (height - 1)], axis=-1)


def _look_up(image: np.ndarray, texel: np.ndarray) -> np.ndarray:
    """`image` at `texel` [..., 2], cubic, black outside, clipped to 0..1."""
    at = texel.astype(np.float32)
    found = cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
    clipped: np.ndarray = np.clip(found, 0, 1)
    return clipped


def _front_pixel(position: np.ndarray) -> np.ndarray:
    """Where a `position` [..., 2] (x, y; centimetres) is on the image of the brows: pixels [..., 2]."""
    pixel: np.ndarray = (position - FRONT_CORNER) * [FRONT_PIXELS, -FRONT_PIXELS]
    return pixel


def _front_opacity(mesh: Mesh, opacity: np.ndarray) -> np.ndarray:
    """Opacity of a textured mesh seen from the front, float32 [480, 1120]."""
    first = np.arange(len(mesh.quads))[:, None] * 4
    triangles = np.concatenate([first + np.array([0, 1, 2]), first + np.array([0, 2, 3])])
    screen = _front_pixel(mesh.vertices[mesh.quads.ravel(), :2] * DECIMETRE)
    painted, there = _paint(screen, triangles, mesh.uv[mesh.quad_uvs.ravel()], *FRONT_SIZE)
    seen: np.ndarray = _look_up(opacity, _texel(painted, opacity.shape[1], opacity.shape[0])) * there
    return seen


def _require_assets(makehuman: Path) -> None:
    """Check that the folder `makehuman` holds a skin and an eyebrow.

    Raises:
        MissingSource: it does not; the message names what is missing and where to get it.
    """
    for name, pattern in (("skins", "*.mhmat"), ("eyebrows", "*.mhclo")):
        if not any((makehuman / name).glob(pattern)):
            raise MissingSource(
                f"{makehuman / name} holds no {pattern}; these files are in {ASSETS.format(name)}. "
                f"{FOLDER_ADVICE}"
            )


def build(makehuman: Path, model: HeadModel, lay: Lay, size: int = 512) -> Skins:
    """Skins and brows of MakeHuman's as textures over the model; only files under CC0.

    Args:
        makehuman: the folder of MakeHuman's files.
        model: the head whose texture layout is used.
        lay: finds where the model is on MakeHuman's head.
        size: texels of a texture's side.

    Raises:
        MissingSource: the base mesh or all skins or brows are missing; the message says where to get them.
        FileNotFoundError: a skin's texture is missing.
        ValueError: the base mesh is not CC0.
    """
    base = makehuman / "base.obj"
    require(makehuman, [BASE_MESH], FOLDER_ADVICE)
    if not is_free(base):
        raise ValueError(f"not {LICENCE}: {base}")
    _require_assets(makehuman)
    head = read_mesh(base, "body")
    triangles = model.triangles[(model.material == FACE) & (model.uv[model.triangles] <= 1).all(axis=(1, 2))]
    screen = _texel(np.nan_to_num(model.uv), size, size)
    painted, there = _paint(screen, triangles, lay(model, triangles, head), size, size)
    inside = distance_transform_edt(~there, return_distances=False, return_indices=True)
    painted = painted[tuple(inside)]
    kept, light = (painted[..., k, None].astype(np.float32) for k in (4, 5))

    brow_names, brows = [], []
    for clothes in sorted((makehuman / "eyebrows").glob("*.mhclo")):
        image = cv2.imread(str(clothes.with_suffix(".png")), cv2.IMREAD_UNCHANGED)
        if image is None or image.ndim != 3 or image.shape[2] != 4 or not is_free(clothes):
            continue
        opacity = _front_opacity(brow_mesh(clothes, head), image[..., 3].astype(np.float32) / 255)
        brows.append(np.round(255 * _look_up(opacity, _front_pixel(painted[..., 2:4])) * there))
        brow_names.append(clothes.stem)

    marks = screen[model.landmarks]
    cheeks = np.zeros((size, size), np.uint8)
    for outer, inner in ((1, 31), (15, 35)):
        centre = marks[outer] * 0.45 + marks[inner] * 0.55
        cv2.circle(cheeks, [int(x) for x in centre.round()], size // 16, 1, -1)
    names, albedos, tones = [], [], []
    for material in sorted((makehuman / "skins").glob("*.mhmat")):
        words = [line.split() for line in material.read_text().splitlines()]
        maps = [word[1] for word in words if len(word) == 2 and word[0] == "diffuseTexture"]
        if not maps or not is_free(material):
            continue
        texture = linear_image(makehuman / "textures" / Path(maps[0]).name)
        albedo = _look_up(texture, _texel(painted[..., :2], texture.shape[1], texture.shape[0]))
        tone = albedo[cheeks > 0].mean(axis=0)
        names.append(material.stem)
        albedos.append((light * (albedo * kept + tone * (1 - kept))).astype(np.float16))
        tones.append(tone)
    return Skins(
        albedo=np.stack(albedos),
        names=tuple(names),
        tone=np.stack(tones).astype(np.float32),
        brows=np.stack(brows).astype(np.uint8),
        brow_names=tuple(brow_names),
    )


def load(makehuman: Path, model: HeadModel, lay: Lay, cache: Path) -> Skins:
    """The skins in `makehuman`, read from the file `cache` where that exists, else built and cached there."""
    if not cache.exists():
        skins = build(makehuman, model, lay)
        with published(cache) as temporary, temporary.open("wb") as file:
            np.savez(file, **{field.name: getattr(skins, field.name) for field in dataclasses.fields(skins)})
    with np.load(cache) as arrays:
        return Skins(
            albedo=arrays["albedo"],
            names=tuple(arrays["names"].tolist()),
            tone=arrays["tone"],
            brows=arrays["brows"],
            brow_names=tuple(arrays["brow_names"].tolist()),
        )
