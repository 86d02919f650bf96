"""The heads that detector scenes are made of.

In: shards ``heads_XXXX.npz`` (rgba uint8 [n, T, T, 4] straight alpha, box float32 [n, 4] tile pixels,
yaw_pitch_roll float32 [n, 3] radians) as the synthesis job writes them, small tiles and large ones in
separate folders. Out: a `HeadTile` by number and wanted size. Shards are memory-mapped: thousands of heads
cost no memory.
"""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import cv2
import numpy as np

from facecap_batch.errors import FacecapError


@dataclasses.dataclass(frozen=True)
class HeadTile:
    """One rendered head."""

    rgba: np.ndarray  # uint8 [T, T, 4], straight alpha
    box: np.ndarray  # float32 [4], x0 y0 x1 y1, the face in tile pixels
    roll: float  # radians, the head's own in-plane rotation, positive counterclockwise in the image


@dataclasses.dataclass(frozen=True)
class _Shard:
    rgba: np.ndarray
    box: np.ndarray
    angles: np.ndarray


class HeadTiles:
    """Every head of some folders, found by the size at which it will be drawn."""

    def __init__(self, small: Path, large: Path | None = None, held_out: bool = False) -> None:
        """`held_out` takes every twelfth shard of `small`, which training then never sees."""
        self._small = [
            _open(path) for number, path in enumerate(_shards(small)) if (number % 12 == 5) == held_out
        ]
        self._large = [_open(path) for path in _shards(large)] if large and not held_out else []
        if not self._small:
            raise FacecapError(f"no heads_*.npz in {small}; render some with jobs/synthesise.py")

    def __len__(self) -> int:
        return sum(len(shard.box) for shard in (*self._small, *self._large))

    def pick(self, rng: np.random.Generator, face: float) -> HeadTile:
        """A random head, to be drawn with a face `face` pixels long; large tiles serve large faces."""
        # A small tile holds a face 59 px long: beyond twice that it turns to mush.
        shards = self._large if self._large and face > rng.uniform(60, 130) else self._small
        shard = shards[rng.integers(len(shards))]
        k = rng.integers(len(shard.box))
        tile = HeadTile(np.asarray(shard.rgba[k]), shard.box[k], float(shard.angles[k, 2]))
        return _shrunk(tile, face)


def _shrunk(tile: HeadTile, face: float) -> HeadTile:
    """Halve `tile` until drawing it at `face` pixels needs no further shrinking by half: keeps it free of
    aliasing.
    """
    rgba, box = tile.rgba, tile.box
    while max(box[2] - box[0], box[3] - box[1]) > 1.9 * face and rgba.shape[0] >= 32:
        alpha = rgba[..., 3:].astype(np.uint16)
        rgba = np.concatenate([(rgba[..., :3] * alpha // 255).astype(np.uint8), rgba[..., 3:]], 2)
        rgba = cv2.resize(rgba, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        colour = rgba[..., :3].astype(np.uint16) * 255 // np.maximum(rgba[..., 3:], 1)
        rgba = np.concatenate([np.minimum(colour, 255).astype(np.uint8), rgba[..., 3:]], 2)
        box = box / 2
    return HeadTile(rgba, box, tile.roll)


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("heads_*.npz"))


def _open(path: Path) -> _Shard:
    with np.load(path) as arrays:
        return _Shard(_mapped(path, "rgba.npy"), arrays["box"], arrays["yaw_pitch_roll"])


def _mapped(path: Path, member: str) -> np.ndarray:
    """An array inside an uncompressed ``.npz`` as a memory map; numpy itself maps only ``.npy``."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
        if info.compress_type != zipfile.ZIP_STORED:
            with archive.open(member) as packed:
                return np.lib.format.read_array(packed)
        with archive.open(member) as stored:
            version = np.lib.format.read_magic(stored)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read(stored)
            header = stored.tell()
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)  # the local header: two lengths, then name and extra field
        name_length, extra_length = np.frombuffer(file.read(4), "<u2").tolist()
    start = info.header_offset + 30 + name_length + extra_length + header
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")
