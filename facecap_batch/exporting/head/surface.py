"""The form of the head as a signed distance: skull, jaw, nose, lips, lids and neck as blended bodies.

In: points. Out: signed distances, and where rays meet the surface. All measures are centimetres in the head
frame (origin midway between the eyeballs), chosen by hand near the averages of adult anthropometry. The body
is symmetric in x by construction: it is evaluated at a rounded |x|, so that no crease runs down the middle.
"""

from __future__ import annotations

import numpy as np

EYE_CENTRE = np.array([3.15, 0.0, 0.0])  # the left eyeball
EYE_RADIUS = 1.24
LID_RADIUS = 1.40  # the lids' outer surface over the eyeball
_ROUNDING = 0.12  # cm over which |x| is rounded at the middle


def _ellipsoid(
    p: np.ndarray, centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> np.ndarray:
    q = p - np.array(centre)
    r = np.array(radii)
    near = np.linalg.norm(q / r, axis=-1)
    result: np.ndarray = near * (near - 1.0) / np.maximum(np.linalg.norm(q / (r * r), axis=-1), 1e-9)
    return result


def _cone(
    p: np.ndarray,
    start: tuple[float, float, float],
    stop: tuple[float, float, float],
    start_radius: float,
    stop_radius: float,
) -> np.ndarray:
    """A capsule whose radius changes along its length."""
    a, b = np.array(start), np.array(stop)
    along = np.clip(((p - a) @ (b - a)) / ((b - a) @ (b - a)), 0.0, 1.0)
    distance = np.linalg.norm(p - a - along[..., None] * (b - a), axis=-1)
    result: np.ndarray = distance - (start_radius + along * (stop_radius - start_radius))
    return result


def _join(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """Union of two bodies with a fillet of about `blend` cm."""
    h = np.maximum(blend - np.abs(a - b), 0.0) / blend
    result: np.ndarray = np.minimum(a, b) - h * h * blend * 0.25
    return result


def _carve(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """Body `a` without body `b`, its edge rounded by about `blend` cm."""
    return -_join(-a, b, blend)


def distance(points: np.ndarray) -> np.ndarray:
    """Signed distance to the head, float64 [...], cm, negative inside; `points` is float64 [..., 3]."""
    p = np.array(points, dtype=np.float64)
    p[..., 0] = np.sqrt(p[..., 0] ** 2 + _ROUNDING**2) - _ROUNDING
    d = _ellipsoid(p, (0.0, 3.4, -7.6), (7.3, 8.2, 9.3))  # cranium
    d = _join(d, _ellipsoid(p, (0.0, 4.2, -3.4), (6.3, 5.2, 5.5)), 2.5)  # forehead
    d = _join(d, _ellipsoid(p, (0.0, -3.4, -3.8), (5.6, 6.9, 5.4)), 2.5)  # the face's mass
    d = _join(d, _cone(p, (0.0, -6.0, -8.8), (0.0, -22.0, -10.5), 4.9, 5.6), 2.0)  # neck
    d = _join(d, _ellipsoid(p, (3.9, -3.8, -4.6), (2.35, 4.6, 4.2)), 2.5)  # sides of the face
    d = _join(d, _cone(p, (4.15, -6.8, -5.9), (0.8, -9.6, 0.0), 1.3, 1.25), 2.5)  # jaw
    d = _join(d, _ellipsoid(p, (0.0, -9.4, 0.65), (1.6, 1.4, 1.45)), 2.4)  # chin
    d = _join(d, _ellipsoid(p, (4.2, -2.4, -0.9), (1.9, 1.3, 2.1)), 2.2)  # cheekbones
    d = _join(d, _ellipsoid(p, (2.6, -4.4, -0.3), (2.3, 2.4, 2.2)), 2.0)  # cheeks
    d = _join(d, _ellipsoid(p, (0.0, -6.3, 0.1), (3.1, 2.5, 2.4)), 1.6)  # the bulge of the teeth
    d = _carve(d, _ellipsoid(p, (0.0, -8.1, 3.4), (2.0, 0.6, 1.2)), 1.0)  # fold above the chin
    d = _carve(d, _ellipsoid(p, (3.2, -0.1, 2.75), (1.9, 1.3, 1.7)), 1.3)  # eye sockets
    d = _join(d, _cone(p, (0.8, 1.7, 1.25), (4.5, 1.9, -0.3), 0.62, 0.6), 1.5)  # brow ridges
    d = _join(d, _cone(p, (0.0, 1.2, 1.0), (0.0, -3.4, 3.2), 0.6, 0.78), 1.2)  # bridge of the nose
    d = _join(d, _ellipsoid(p, (0.0, -3.75, 3.45), (0.9, 0.75, 0.85)), 0.7)  # tip
    d = _join(d, _ellipsoid(p, (1.0, -4.15, 2.35), (0.72, 0.6, 1.0)), 0.7)  # wings
    d = _carve(d, _ellipsoid(p, (0.58, -4.9, 2.95), (0.34, 0.42, 0.5)), 0.3)  # nostrils
    d = _join(d, np.linalg.norm(p - EYE_CENTRE, axis=-1) - LID_RADIUS, 0.5)  # lids over the eyeballs
    d = _carve(d, _cone(p, (0.0, -4.9, 3.15), (0.0, -5.5, 3.25), 0.22, 0.3), 0.5)  # philtrum
    d = _join(d, _cone(p, (0.35, -6.03, 2.5), (2.6, -6.45, 1.4), 0.44, 0.26), 0.5)  # upper lip
    d = _join(d, _cone(p, (0.0, -6.92, 2.4), (2.4, -6.58, 1.4), 0.54, 0.28), 0.5)  # lower lip
    return d


def meet(origins: np.ndarray, directions: np.ndarray, start: float = 30.0) -> np.ndarray:
    """float64 [N, 3]: where rays that come in from `start` cm outside toward `origins` first meet the head.

    `directions` are unit vectors that point outward. Marching stops short of overshooting thin parts.
    """
    reach = np.full(len(origins), start)
    marching = np.arange(len(origins))
    for _ in range(90):
        step = distance(origins[marching] + reach[marching, None] * directions[marching])
        reach[marching] = np.maximum(reach[marching] - 0.8 * step, 0.0)
        marching = marching[np.abs(step) > 1e-4]
        if len(marching) == 0:
            break
    result: np.ndarray = origins + reach[:, None] * directions
    return result


def relaxed(points: np.ndarray, edges: np.ndarray, weight: np.ndarray, rounds: int) -> np.ndarray:
    """`points` [N, 3] moved `rounds` times halfway to the mean of those that `edges` (int [E, 2]) join them
    to, by `weight` [N], 0..1."""
    result: np.ndarray = points.copy()
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    for _ in range(rounds):
        total, count = np.zeros_like(result), np.zeros(len(result))
        for a, b in (edges.T, edges.T[::-1]):
            np.add.at(total, a, result[b])
            np.add.at(count, a, 1.0)
        joined = (weight * (count > 0))[:, None]
        result += 0.5 * joined * (total / np.maximum(count, 1.0)[:, None] - result)
    return result
