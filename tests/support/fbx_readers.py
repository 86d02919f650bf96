"""FBX read back: its records by a parser of our own, what it shows by ufbx in a process of its own."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np

from facecap_batch.coefficients import CoefficientTable


def parse(data: bytes) -> tuple[list, int]:
    """(top-level nodes, where they end); a node is (name, properties, children, has a null record)."""

    def values(offset: int, count: int) -> list:
        result = []
        for _ in range(count):
            code = chr(data[offset])
            offset += 1
            if code in "CIDL":
                kind = {"C": "<B", "I": "<i", "D": "<d", "L": "<q"}[code]
                result.append(struct.unpack_from(kind, data, offset)[0])
                offset += struct.calcsize(kind)
            elif code in "SR":
                size = struct.unpack_from("<I", data, offset)[0]
                raw = data[offset + 4 : offset + 4 + size]
                result.append(raw.decode() if code == "S" else raw)
                offset += 4 + size
            else:
                count_, packed, size = struct.unpack_from("<III", data, offset)
                raw = data[offset + 12 : offset + 12 + size]
                raw = zlib.decompress(raw) if packed else raw
                result.append(np.frombuffer(raw, {"f": "<f4", "d": "<f8", "i": "<i4", "l": "<i8"}[code]))
                assert len(result[-1]) == count_
                offset += 12 + size
        return result

    def record(offset: int):
        end, count, size, name_size = struct.unpack_from("<IIIB", data, offset)
        if end == 0:
            return None, offset + 13
        name = data[offset + 13 : offset + 13 + name_size].decode()
        start = offset + 13 + name_size
        properties = values(start, count)
        offset, children, closed = start + size, [], False
        while offset < end:
            child, offset = record(offset)
            if child is None:
                closed = True
                break
            children.append(child)
        assert offset == end
        return (name, properties, children, closed), end

    nodes, offset = [], 27
    while True:
        node, offset = record(offset)
        if node is None:
            return nodes, offset
        nodes.append(node)


def find(nodes: list, name: str) -> tuple:
    return next(node for node in nodes if node[0] == name)


def read_back(path: Path, times: np.ndarray, folder: Path) -> dict[str, np.ndarray]:
    np.save(folder / "times.npy", times)
    script = Path(__file__).parent / "ufbx_reader.py"
    command = [sys.executable, str(script), str(path), str(folder / "times.npy"), str(folder / "seen.npz")]
    subprocess.run(command, check=True, timeout=120)
    return dict(np.load(folder / "seen.npz"))


def matrices(table: CoefficientTable) -> np.ndarray:
    """[N, 3, 3] of the heads of `table`."""
    return matrices_of_angles(table.head[:, :3])


def matrices_of_angles(angles: np.ndarray) -> np.ndarray:
    """[N, 3, 3], R = Ry(yaw) Rx(pitch) Rz(roll), each written out."""
    result = []
    for yaw, pitch, roll in np.asarray(angles, float):
        ry = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
        rx = [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
        rz = [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
        result.append(np.array(ry) @ np.array(rx) @ np.array(rz))
    return np.array(result)


def quaternion_matrices(q: np.ndarray) -> np.ndarray:
    x, y, z, w = q.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def check(table: CoefficientTable, path: Path, folder: Path) -> dict[str, np.ndarray]:
    times = table.time_s() - table.time_s()[0]
    seen = read_back(path, times, folder)
    assert list(seen["names"]) == list(table.shape_names) == list(seen["shapes"])
    known = ~np.isnan(table.coefficients[:, 0])
    np.testing.assert_allclose(seen["weights"].T[known], table.coefficients[known], atol=1e-5)
    np.testing.assert_allclose(
        quaternion_matrices(seen["rotation"])[known], matrices(table)[known], atol=1e-5
    )
    np.testing.assert_allclose(seen["translation"][known], table.head[known, 3:], atol=1e-4)
    np.testing.assert_allclose(seen["span"], [0.0, times[-1]], atol=1e-9)
    assert list(seen["stacks"]) == [table.info.clip_id]
    assert seen["joint"] == "head_joint"
    assert seen["warnings"] == 0
    return seen
