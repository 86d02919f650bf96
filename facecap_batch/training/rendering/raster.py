"""Triangles to pixels on one CPU core: z-buffer and deferred shading as compiled kernels.

Arrays in, arrays out; nothing here knows about people. Screen coordinates are pixels (x right, y down),
depth is the distance from the camera in centimetres, light is linear RGB.
"""

from __future__ import annotations

import cv2
import numpy as np

from facecap_batch.training.compiled import compiled, fast
from facecap_batch.training.heads.mesh import (
    CLOTH,
    EYE_LEFT,
    EYE_RIGHT,
    FACE,
    GLASSES,
    GUMS,
    HAIR,
    HEAD,
    LASH,
    MOUTH,
    TEETH,
)


@fast
def _hash(x: int, y: int, z: int) -> float:
    n = (x * 374761393 + y * 668265263 + z * 2147483647) & 0x7FFFFFFF
    n = ((n ^ (n >> 13)) * 1274126177) & 0x7FFFFFFF
    return ((n ^ (n >> 16)) & 0xFFFF) / 65535.0


@fast
def noise(x: float, y: float, z: float) -> float:
    """Value noise in 0..1 at a point; one lattice cell is one unit."""
    ix, iy, iz = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    fx, fy, fz = x - ix, y - iy, z - iz
    fx, fy, fz = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy), fz * fz * (3 - 2 * fz)
    total = 0.0
    for dx in range(2):
        wx = fx if dx else 1 - fx
        for dy in range(2):
            wy = fy if dy else 1 - fy
            for dz in range(2):
                wz = fz if dz else 1 - fz
                total += wx * wy * wz * _hash(ix + dx, iy + dy, iz + dz)
    return total


@fast
def rasterise(
    screen: np.ndarray,
    depth: np.ndarray,
    triangles: np.ndarray,
    material: np.ndarray,
    cover: np.ndarray,
    rest: np.ndarray,
    seed: int,
    width: int,
    height: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest triangle of every pixel.

    Args:
        screen: float32 [V, 2], pixels.
        depth: float32 [V], centimetres.
        triangles: int32 [T, 3].
        material: int8 [T].
        cover: float32 [V], below 0 cuts hair away; of lashes the share that is drawn.
        rest: float32 [V, 3], positions at rest, where noise makes the edges of hair ragged.
        seed: of that noise.
        width, height: pixels.

    Returns:
        The triangle, int32 [height, width], -1 where there is none, and its depth, float32.
    """
    nearest = np.full((height, width), 1e9, np.float32)
    owner = np.full((height, width), -1, np.int32)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if depth[a] < 2.0 or depth[b] < 2.0 or depth[c] < 2.0:
            continue
        ax, ay, bx, by, cx, cy = (
            screen[a, 0],
            screen[a, 1],
            screen[b, 0],
            screen[b, 1],
            screen[c, 0],
            screen[c, 1],
        )
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        kind = material[t]
        if area >= -1e-9 and kind != HAIR and kind != LASH and kind != GLASSES and kind != CLOTH:
            continue  # seen from behind (screen y points down, so front faces have negative area)
        if -1e-9 < area < 1e-9:
            continue
        left = max(int(np.ceil(min(ax, bx, cx))), 0)
        right = min(int(np.floor(max(ax, bx, cx))), width - 1)
        top = max(int(np.ceil(min(ay, by, cy))), 0)
        bottom = min(int(np.floor(max(ay, by, cy))), height - 1)
        scale = 1.0 / area
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) * scale
                wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) * scale
                wc = 1.0 - wa - wb
                if wa < -1e-6 or wb < -1e-6 or wc < -1e-6:
                    continue
                z = wa * depth[a] + wb * depth[b] + wc * depth[c]
                if z >= nearest[y, x]:
                    continue
                if kind == HAIR:
                    px = wa * rest[a, 0] + wb * rest[b, 0] + wc * rest[c, 0]
                    py = wa * rest[a, 1] + wb * rest[b, 1] + wc * rest[c, 1]
                    pz = wa * rest[a, 2] + wb * rest[b, 2] + wc * rest[c, 2]
                    edge = wa * cover[a] + wb * cover[b] + wc * cover[c]
                    if edge + 1.6 * (noise(px * 3 + seed, py * 0.7, pz * 3) - 0.5) < 0:
                        continue
                elif kind == LASH and _hash(x + seed, y, t) >= cover[a]:
                    continue
                nearest[y, x] = z
                owner[y, x] = t
    return owner, nearest


@fast
def shade(
    owner: np.ndarray, screen: np.ndarray, triangles: np.ndarray, material: np.ndarray, normals: np.ndarray,
    rest: np.ndarray, uv: np.ndarray, view: np.ndarray, texture: np.ndarray, skin: np.ndarray,
    hair: np.ndarray, cloth: np.ndarray, glasses: np.ndarray, iris: np.ndarray, eyes: np.ndarray,
    gaze: np.ndarray, ambient: np.ndarray, light_direction: np.ndarray, light_colour: np.ndarray,
    wrap: np.float32, gloss: np.float32, interior: np.float32, seed: int,
) -> np.ndarray:  # fmt: skip
    """Linear RGB float32 [H, W, 3] of the pixels that have an owner.

    normals, view: float32 [V, 3] in the camera frame (view = position); rest: float32 [V, 3] at rest, head
    frame; texture: float32 [S, S, 3] linear skin albedo over uv; eyes: float32 [2, 3] eyeball centres at
    rest; gaze: float32 [2, 3] unit vectors, head frame; iris: as `Person.iris`;
    ambient: float32 [3, 3] from below, from above, up direction in the camera frame; light_direction,
    light_colour: float32 [L, 3]; wrap, gloss: softness and shininess of skin;
    interior: light inside the mouth, 0..1.
    """
    height, width = owner.shape
    image = np.zeros((height, width, 3), np.float32)
    size = texture.shape[0]
    albedo = np.zeros(3, np.float32)
    shine: float | np.float32
    soft: float | np.float32
    for y in range(height):
        for x in range(width):
            t = owner[y, x]
            if t < 0:
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            ax, ay, bx, by, cx, cy = (
                screen[a, 0], screen[a, 1], screen[b, 0], screen[b, 1], screen[c, 0], screen[c, 1],
            )  # fmt: skip
            scale = 1.0 / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
            wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) * scale
            wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) * scale
            wc = 1.0 - wa - wb
            nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
            ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
            nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
            px = wa * rest[a, 0] + wb * rest[b, 0] + wc * rest[c, 0]
            py = wa * rest[a, 1] + wb * rest[b, 1] + wc * rest[c, 1]
            pz = wa * rest[a, 2] + wb * rest[b, 2] + wc * rest[c, 2]
            length = 1.0 / (np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9)
            nx, ny, nz = nx * length, ny * length, nz * length
            kind = material[t]
            occlusion = 1.0
            shine, power, soft = 0.0, 20.0, 0.0
            if kind in (FACE, HEAD):
                soft, shine = wrap, gloss
                if kind == FACE:
                    u = (wa * uv[a, 0] + wb * uv[b, 0] + wc * uv[c, 0]) * (size - 1)
                    v = (1 - (wa * uv[a, 1] + wb * uv[b, 1] + wc * uv[c, 1])) * (size - 1)
                    iu = min(max(int(u), 0), size - 2)
                    iv = min(max(int(v), 0), size - 2)
                    fu, fv = u - iu, v - iv
                    for k in range(3):
                        albedo[k] = (texture[iv, iu, k] * (1 - fu) + texture[iv, iu + 1, k] * fu) * (
                            1 - fv
                        ) + (texture[iv + 1, iu, k] * (1 - fu) + texture[iv + 1, iu + 1, k] * fu) * fv
                else:
                    for k in range(3):
                        albedo[k] = skin[k]
                if py < cloth[3] + 0.15 * pz:  # below the collar
                    fold = 0.75 + 0.5 * noise(px * 0.5 + seed, py * 0.5, pz * 0.5)
                    for k in range(3):
                        albedo[k] = cloth[k] * fold
                    shine = 0.0
                power = 14.0
            elif kind == MOUTH:
                albedo[0], albedo[1], albedo[2] = 0.25, 0.06, 0.06
                occlusion = interior * 0.5 * min(max((pz - 5.0) / 6.0, 0.05), 1.0)
            elif kind == GUMS:
                albedo[0], albedo[1], albedo[2] = 0.50, 0.17, 0.17
                occlusion = interior * 0.8 * min(max((pz - 4.5) / 6.0, 0.05), 1.0)
                shine = 0.15
            elif kind == TEETH:
                albedo[0], albedo[1], albedo[2] = 0.70, 0.64, 0.54
                occlusion = (0.3 + 0.7 * interior) * 0.9 * min(max((pz - 5.0) / 5.5, 0.1), 1.0)
                shine = 0.2
            elif kind in (EYE_LEFT, EYE_RIGHT):
                eye = kind - EYE_LEFT
                dx, dy, dz = px - eyes[eye, 0], py - eyes[eye, 1], pz - eyes[eye, 2]
                r = 1.0 / np.sqrt(dx * dx + dy * dy + dz * dz + 1e-9)
                cosine = (dx * gaze[eye, 0] + dy * gaze[eye, 1] + dz * gaze[eye, 2]) * r
                angle = np.arccos(min(max(cosine, -1.0), 1.0))
                outer, pupil = iris[2, 0], iris[2, 1]
                if angle < pupil:
                    albedo[0], albedo[1], albedo[2] = 0.012, 0.012, 0.012
                elif angle < outer:
                    mix = (angle - pupil) / (outer - pupil)
                    streak = 0.75 + 0.5 * noise(dx * 9 + seed, dy * 9, dz * 9)
                    for k in range(3):
                        albedo[k] = (iris[0, k] * (1 - mix) + iris[1, k] * mix) * streak
                    if mix > 0.82:
                        for k in range(3):
                            albedo[k] *= 0.45
                else:
                    edge = min((angle - outer) / 0.9, 1.0)
                    albedo[0] = (0.72 - 0.12 * edge) * iris[2, 2]
                    albedo[1] = (0.67 - 0.25 * edge) * iris[2, 2]
                    albedo[2] = (0.64 - 0.25 * edge) * iris[2, 2]
                occlusion = 0.92 - 0.35 * min(max(dy * r, 0.0), 1.0)  # the upper lid's shadow
                shine, power, soft = 0.9, 220.0, 0.25
            elif kind == LASH:
                for k in range(3):
                    albedo[k] = 0.01 + 0.3 * hair[k]
            elif kind == HAIR:
                strand = 0.45 + 1.1 * noise(px * 5 + seed, py * 0.6, pz * 5)
                for k in range(3):
                    albedo[k] = hair[k] * strand
                shine, power, soft = 0.12, 8.0, 0.2
                occlusion = 0.65 + 0.35 * noise(px * 1.1, py * 0.5 + seed, pz * 1.1)
            elif kind == CLOTH:
                fold = 0.7 + 0.6 * noise(px * 0.35 + seed, py * 0.35, pz * 0.35)
                for k in range(3):
                    albedo[k] = cloth[k] * fold
            else:
                for k in range(3):
                    albedo[k] = glasses[k]
                shine, power = 0.5, 40.0
                if nz < 0:
                    nx, ny, nz = -nx, -ny, -nz
            if kind == HAIR and nz < 0:
                nx, ny, nz = -nx, -ny, -nz
            vx = -(wa * view[a, 0] + wb * view[b, 0] + wc * view[c, 0])
            vy = -(wa * view[a, 1] + wb * view[b, 1] + wc * view[c, 1])
            vz = -(wa * view[a, 2] + wb * view[b, 2] + wc * view[c, 2])
            length = 1.0 / (np.sqrt(vx * vx + vy * vy + vz * vz) + 1e-9)
            vx, vy, vz = vx * length, vy * length, vz * length
            up = 0.5 + 0.5 * (nx * ambient[2, 0] + ny * ambient[2, 1] + nz * ambient[2, 2])
            for k in range(3):
                image[y, x, k] = albedo[k] * occlusion * (ambient[0, k] * (1 - up) + ambient[1, k] * up)
            for n in range(light_direction.shape[0]):
                lx, ly, lz = light_direction[n, 0], light_direction[n, 1], light_direction[n, 2]
                facing = nx * lx + ny * ly + nz * lz
                diffuse = max(0.0, (facing + soft) / (1 + soft))
                hx, hy, hz = lx + vx, ly + vy, lz + vz
                length = 1.0 / (np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9)
                highlight = (
                    max(0.0, (nx * hx + ny * hy + nz * hz) * length) ** power * shine if facing > 0 else 0.0
                )
                for k in range(3):
                    image[y, x, k] += (
                        light_colour[n, k] * occlusion * (albedo[k] * diffuse + highlight * 0.35)
                    )
    return image


def hollow(depth: np.ndarray, seen: np.ndarray, reach: float) -> np.ndarray:
    """How much deeper each pixel lies than those about `reach` pixels around: float32 [H, W], as `depth`.

    depth: float32 [H, W], where `seen` (bool [H, W], not empty). The depth buffer's unsharp mask of Luft et
    al. 2006.
    """
    filled = np.where(seen, depth, np.float32(np.median(depth[seen])))
    return filled - cv2.GaussianBlur(filled, (0, 0), reach)


@fast
def resolve(image: np.ndarray, owner: np.ndarray, tone: np.ndarray, scale: np.float32) -> np.ndarray:
    """Linear RGB to 8 bit RGBA (uint8 [H, W, 4]) through the table `tone` (uint8 [N]) indexed by value
    times `scale`."""
    height, width = owner.shape
    rgba = np.zeros((height, width, 4), np.uint8)
    last = tone.shape[0] - 1
    for y in range(height):
        for x in range(width):
            if owner[y, x] < 0:
                continue
            rgba[y, x, 3] = 255
            for k in range(3):
                rgba[y, x, k] = tone[min(int(image[y, x, k] * scale), last)]
    return rgba


@compiled
def over(rgba: np.ndarray, background: np.ndarray) -> np.ndarray:
    """RGBA over an opaque background of the same size: uint8 [H, W, 3]."""
    height, width = background.shape[:2]
    out = np.empty((height, width, 3), np.uint8)
    for y in range(height):
        for x in range(width):
            alpha = int(rgba[y, x, 3])
            for k in range(3):
                out[y, x, k] = (rgba[y, x, k] * alpha + background[y, x, k] * (255 - alpha)) // 255
    return out
