"""glTF binary: read by pygltflib and by Khronos' own rules, without our writer's code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pygltflib

from facecap_batch.coefficients import shape_names
from tests.support.formats.seen import Seen, matrices_of

_TYPES = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


def numbers(document: pygltflib.GLTF2, index: int) -> np.ndarray:
    """The values of an accessor [count, width], sparse ones spread out."""
    accessor = document.accessors[index]
    width = _WIDTHS[accessor.type]
    blob = document.binary_blob()

    def read(view: int, offset: int, code: int, count: int, columns: int) -> np.ndarray:
        start = (document.bufferViews[view].byteOffset or 0) + (offset or 0)
        dtype = np.dtype(_TYPES[code])
        assert start % dtype.itemsize == 0
        return np.frombuffer(blob, dtype, count * columns, start).reshape(count, columns)

    values = np.zeros((accessor.count, width))
    if accessor.bufferView is not None:
        values = read(
            accessor.bufferView, accessor.byteOffset, accessor.componentType, accessor.count, width
        ).copy()
    if accessor.sparse is not None:
        at, of = accessor.sparse.indices, accessor.sparse.values
        where = read(at.bufferView, at.byteOffset, at.componentType, accessor.sparse.count, 1)[:, 0]
        values[where] = read(
            of.bufferView, of.byteOffset, accessor.componentType, accessor.sparse.count, width
        )
    return values


def read_glb(path: Path) -> Seen:
    document = pygltflib.GLTF2().load(str(path))
    (animation,) = document.animations
    found, times = {}, set()
    for channel in animation.channels:
        sampler = animation.samplers[channel.sampler]
        assert sampler.interpolation == "LINEAR"
        times.add(sampler.input)
        found[channel.target.path] = numbers(document, sampler.output)
        if channel.target.path == "weights":
            mesh = document.meshes[document.nodes[channel.target.node].mesh]
    names = mesh.extras["targetNames"]
    assert names == list(shape_names(names))
    assert all(len(primitive.targets) == len(names) for primitive in mesh.primitives)
    (only,) = times
    seconds = numbers(document, only)[:, 0].astype(np.float64)
    weights = found["weights"].reshape(len(seconds), len(names)).astype(np.float64)
    return Seen(
        seconds=seconds,
        channels=dict(zip(names, weights.T, strict=True)),
        rotation=matrices_of(found["rotation"]),
        position=found["translation"].astype(np.float64) * 100.0,
    )


_VALIDATE = """
const validator = require('gltf-validator');
const fs = require('fs');
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1])), {maxIssues: 1000})
  .then(report => console.log(JSON.stringify(report.issues)));
"""


def node_folder(package: str) -> Path | None:
    """The folder, named by FACECAP_NODE_DIR, whose node_modules hold a package; None: there is none here."""
    folder = Path(os.environ.get("FACECAP_NODE_DIR", "."))
    found = (folder / "node_modules" / package).is_dir() and shutil.which("node")
    return folder.resolve() if found else None


def issues(path: Path, folder: Path) -> list[dict[str, object]]:
    """Errors and warnings of Khronos' validator about a file."""
    done = subprocess.run(
        ["node", "-e", _VALIDATE, str(path.resolve())],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return [issue for issue in json.loads(done.stdout)["messages"] if issue["severity"] < 2]


def read_three(path: Path, times: np.ndarray, folder: Path, scratch: Path) -> Seen:
    """What three.js, in the node_modules of `folder`, shows at `times` (seconds)."""
    script = Path(__file__).parent / "read_glb.mjs"
    (scratch / "times.json").write_text(json.dumps(times.tolist()))
    done = subprocess.run(
        ["node", str(script), str(path.resolve()), str(scratch / "times.json")],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    found = json.loads(done.stdout)
    assert list(found["weights"]) == list(shape_names(found["weights"]))
    return Seen(
        seconds=times,
        channels={name: np.array(values) for name, values in found["weights"].items()},
        rotation=matrices_of(np.array(found["rotation"])),
        position=np.array(found["position"]) * 100.0,
    )
