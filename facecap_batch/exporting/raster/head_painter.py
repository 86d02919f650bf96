"""The head of the FBX files, drawn as one row of a table says.

In: coefficients, and how the head is turned towards the camera. Out: an image. The head stands in the middle,
as large in every picture.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import cv2
import numpy as np

from facecap_batch.coefficients import SHAPE_NAMES
from facecap_batch.exporting.head import HeadModel, head_model
from facecap_batch.exporting.raster.light import STEPS, brightness, openness, ramps
from facecap_batch.exporting.raster.scanlines import Polygons, Window, filled

OVERSAMPLING = 1.25  # pixels drawn per pixel shown, each way, at most; smooths edges
TALLEST = 480  # pixels drawn from top to bottom, unless more are shown: time goes with their number
MAX_BLOCK = 4  # pixels shown of which the drawn ones are a whole number, each way
DISTANCE = 75.0  # cm, of the camera from what the head turns about
TALL = 31.0  # cm that the image is high
WIDE = 22.0  # cm that it is wide at least
PIVOT = np.array([0.0, -3.0, -6.0], np.float32)  # cm, head frame: it turns about the middle of the skull
BEHIND_LIPS = -3.0  # cm; what lies in the mouth counts as so much nearer: lips hide it where they touch it
HALVINGS = 4  # of the head into pieces, each with the shapes that move it
CLEAR_OF_TEETH = 0.3  # cm before the lower teeth; from there on the tongue is out of the mouth
# How far the lips are apart from which on the mouth is in full light, cm, and the light between closed lips.
LIT_MOUTH, DARK_MOUTH = 0.7, 0.3
_NEARER = {"brow": 0.3, "lashes": 0.1}  # cm; they ride closely on the skin
_NOSTRIL_NEARER = 0.06
_LID_EDGES = ("lashes", "lips")  # materials of the skin around the eyes that are the lids' edges
_ABOVE_MOUTH = -3.0  # cm, head frame: what of these is higher belongs to an eye


class HeadPainter:
    """Draws the head in one size."""

    def __init__(self, width: int, height: int, ground: tuple[int, int, int]) -> None:
        """Prepare images of `width` by `height` pixels before the colour `ground` (RGB); the first in a
        process takes a second or two, which the head is built in."""
        head = head_model()
        self.width, self.height = width, height
        more = Fraction(min(max(TALLEST / height, 1.0), OVERSAMPLING)).limit_denominator(MAX_BLOCK)
        self._drawn_block, self._block = more.numerator, more.denominator
        self._middle = width * float(more) / 2, height * float(more) / 2
        self._scale = DISTANCE * 2 * min(self._middle[1] / TALL, self._middle[0] / WIDE)
        self._empty = np.full((height, width, 3), ground, np.uint8)
        self._rest = np.concatenate([head.vertices - PIVOT, head.normals], axis=1).T.astype(np.float32)
        self._shapes = _shapes(head)
        self._open_sky = openness(head)
        self._ramps = ramps(head.materials, ground)
        self._mouth = _Mouth.of(head)
        self._polygons = _polygons(head, self._mouth)
        self._tongue = np.flatnonzero(np.isin(self._polygons.corners[0], head.parts["tongue"]))
        self._lower_teeth = head.parts["teethLower"]

    def draw(self, coefficients: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        """Draw the head.

        Args:
            coefficients: float [S], 0..1, `CoefficientTable.shape_names` order; what is unknown (NaN) rests.
            rotation: float [3, 3], head frame to that of a camera that looks straight at the head.

        Returns:
            uint8 [height, width, 3] RGB.
        """
        weights = np.zeros(len(SHAPE_NAMES), np.float32)
        weights[: len(coefficients)] = np.fmax(coefficients, 0)  # 0 of what is unknown
        surface = self._rest.copy()
        for shapes in self._shapes:
            shapes.add(surface, weights)
        turn = rotation.astype(np.float32)
        points, normals = turn @ surface[:3], turn @ surface[3:]
        depth = np.float32(DISTANCE) - points[2]
        scale = np.float32(self._scale) / depth
        x = np.float32(self._middle[0]) + scale * points[0]
        y = np.float32(self._middle[1]) - scale * points[1]
        bright = brightness(normals, self._open_sky)
        bright[self._mouth.inside] *= self._mouth.light(surface[1])
        image: np.ndarray = self._empty.copy()
        # Only where the head is, in blocks that are whole pixels both of what is drawn and of what is shown.
        (left, right), (top, bottom) = self._blocks(x, self.width), self._blocks(y, self.height)
        size = (right - left) * self._drawn_block, (bottom - top) * self._drawn_block
        x -= np.float32(left * self._drawn_block)
        y -= np.float32(top * self._drawn_block)
        empty = len(self._ramps) - 1
        numbers = filled(self._arranged(surface[2]), x, y, depth, bright, size, empty)
        large = self._ramps.take(numbers).view(np.uint8).reshape(*numbers.shape, 4)
        shown = (right - left) * self._block, (bottom - top) * self._block
        small = cv2.resize(large, shown, interpolation=cv2.INTER_LINEAR)
        part = image[top * self._block : bottom * self._block, left * self._block : right * self._block]
        part[:] = cv2.cvtColor(small, cv2.COLOR_RGBA2RGB)[: part.shape[0], : part.shape[1]]
        return image

    def _arranged(self, front: np.ndarray) -> Polygons:
        """The polygons with what of the tongue is beyond the teeth at its own depth, wherever it is seen.

        `front`: float32 [V], cm, how far vertices are toward the front of the head.
        """
        corners = self._polygons.corners[:, self._tongue]
        out = self._tongue[front[corners].min(axis=0) > front[self._lower_teeth].max() + CLEAR_OF_TEETH]
        if not len(out):
            return self._polygons
        nearer = self._polygons.nearer.copy()
        nearer[out] = 0.0
        return dataclasses.replace(self._polygons, nearer=nearer, windows=self._polygons.windows[:-1])

    def _blocks(self, drawn: np.ndarray, pixels: int) -> tuple[int, int]:
        """The first block that the head reaches, and the one after the last; at least one block.

        Args:
            drawn: float32 [V], pixels of what is drawn, along one axis.
            pixels: what is shown along this axis.
        """
        last = -(-pixels // self._block)
        first = min(max(int(drawn.min()) // self._drawn_block, 0), last - 1)
        return first, max(min(int(drawn.max()) // self._drawn_block + 1, last), first + 1)


@dataclasses.dataclass(frozen=True, eq=False)
class _Shapes:
    """What shapes do to vertices that lie together: few of all shapes move them, so little memory is read."""

    vertices: np.ndarray  # intp [N]
    shapes: np.ndarray  # intp [A], indices into SHAPE_NAMES
    offsets: np.ndarray  # float32 [A, 6 * N], of positions and normals, x of all vertices first

    def add(self, surface: np.ndarray, weights: np.ndarray) -> None:
        """Move `surface`, float32 [6, V], in place, by all shapes at `weights`, float32 [52]."""
        # Not `@`: BLAS would take a second thread, which waits at full speed where there is one core.
        moved = np.einsum("s,sv->v", weights.take(self.shapes), self.offsets)
        surface[:, self.vertices] += moved.reshape(len(surface), -1)


def _shapes(head: HeadModel) -> list[_Shapes]:
    """All shapes, a piece of the head at a time."""
    offsets = np.zeros((len(head.morphs), 6, len(head.vertices)), np.float32)
    for number, morph in enumerate(head.morphs):
        offsets[number, :, morph.indices] = np.concatenate([morph.offsets, morph.normal_offsets], axis=1)
    moves: np.ndarray = np.any(offsets, axis=1)
    pieces = [np.flatnonzero(moves.any(axis=0))]
    for _ in range(HALVINGS):
        pieces = [half for piece in pieces for half in _halves(piece, head.vertices)]
    active = [np.flatnonzero(moves[:, piece].any(axis=1)) for piece in pieces]
    return [
        _Shapes(piece, shapes, np.ascontiguousarray(offsets[shapes][:, :, piece]).reshape(len(shapes), -1))
        for piece, shapes in zip(pieces, active, strict=True)
    ]


def _halves(piece: np.ndarray, vertices: np.ndarray) -> list[np.ndarray]:
    """`piece`, vertices, cut across its longest side."""
    along = vertices[piece, np.ptp(vertices[piece], axis=0).argmax()]
    return np.array_split(piece[np.argsort(along, kind="stable")], 2)


@dataclasses.dataclass(frozen=True, eq=False)
class _Mouth:
    """The mouth as what is seen through it needs it."""

    inside: np.ndarray  # intp [M], vertices of what lies in it
    upper: np.ndarray  # intp [N], vertices of the upper lip's edge ...
    lower: np.ndarray  # ... and those of the lower lip's beneath them

    @staticmethod
    def of(head: HeadModel) -> _Mouth:
        lining, lips = (_vertices(head, head.parts["skin"], (name,)) for name in ("mouth_inside", "lips"))
        edge = np.intersect1d(lining, lips)
        order = edge[np.lexsort((head.vertices[edge, 1], head.vertices[edge, 0]))]
        pair = np.flatnonzero(np.diff(head.vertices[order, 0]) == 0)
        within = [np.setdiff1d(lining, edge)]
        within += [head.parts[part] for part in ("teethUpper", "teethLower", "tongue")]
        return _Mouth(np.concatenate(within), order[pair + 1], order[pair])

    def light(self, up: np.ndarray) -> float:
        """How much of the light gets in, 0..1; `up`: float32 [V], cm, how high vertices are."""
        apart = float((up[self.upper] - up[self.lower]).mean())
        return min(max(apart / LIT_MOUTH, DARK_MOUTH), 1.0)


def _vertices(head: HeadModel, part: np.ndarray, materials: tuple[str, ...]) -> np.ndarray:
    """intp, ascending: the vertices of `part` that are corners of faces of `materials`."""
    names = np.array([material.name for material in head.materials])
    corners = head.faces[np.isin(names[head.face_materials], materials) & np.isin(head.faces[:, 0], part)]
    return np.unique(corners[corners >= 0]).astype(np.intp)


def _polygons(head: HeadModel, mouth: _Mouth) -> Polygons:
    """The faces, those last that are seen through something: between the lids of each eye, and the lips."""
    first = head.faces[:, 0]
    names = np.array([material.name for material in head.materials])[head.face_materials]
    parts = np.zeros(len(first), int)
    edges = _vertices(head, head.parts["skin"], _LID_EDGES)
    edges = edges[head.vertices[edges, 1] > _ABOVE_MOUTH]
    frames = []
    for number, side in enumerate(("Left", "Right"), start=1):
        parts[np.isin(first, head.parts[f"eye{side}"])] = number
        frames.append(edges[(head.vertices[edges, 0] > 0) == (side == "Left")])
    in_mouth = np.isin(head.faces, mouth.inside).any(axis=1)
    parts[in_mouth] = len(frames) + 1
    frames.append(np.concatenate([mouth.upper, mouth.lower]))

    nearer = np.array([_NEARER.get(name, 0.0) for name in names])
    nearer[np.isin(first, np.concatenate([head.parts[f"nostril{side}"] for side in ("Left", "Right")]))] = (
        _NOSTRIL_NEARER
    )
    nearer[in_mouth] = BEHIND_LIPS
    order = np.argsort(parts, kind="stable")
    starts = np.searchsorted(parts[order], np.arange(1, len(frames) + 2))
    windows = tuple(
        Window(slice(start, stop), frame)
        for start, stop, frame in zip(starts[:-1].tolist(), starts[1:].tolist(), frames, strict=True)
    )
    return Polygons.of(
        head.faces[order],
        head.face_materials[order] * float(STEPS),
        nearer[order],
        (names == "lashes")[order],
        windows,
    )
