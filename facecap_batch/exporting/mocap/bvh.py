"""BVH: the head and both eyes as a skeleton of three joints, for programs that know no blend shapes.

In: a `Take`. Out: the text of a .bvh file. Y up, +z out of the face, centimetres, degrees; the world is the
capture's camera frame. A joint's channels stand in the order Y X Z, so that R = Ry Rx Rz and the root's are
headYaw, headPitch and headRoll. BVH knows frame numbers only: a constant rate keeps its frames, a variable
one is sampled evenly at the rate that the take is shown at. What is unknown is bridged (see `take.filled`).
"""

from __future__ import annotations

import numpy as np

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.exporting.head import head_model
from facecap_batch.exporting.take import Take, at_rate, take_of
from facecap_batch.geometry import euler_from_matrix, unwrap
from facecap_batch.solve.quaternions import to_matrix
from facecap_batch.storage.publish import StoragePath, publish_bytes

ROTATION = "Yrotation Xrotation Zrotation"
EYES = ("eyeLeft", "eyeRight")  # parts of the head, and names of the joints


def matrices(rotation: np.ndarray) -> np.ndarray:
    """float64 [N, 3, 3]: rotation matrices of unit quaternions x y z w [N, 4]."""
    return to_matrix(np.asarray(rotation, np.float64)[:, [3, 0, 1, 2]])


def even(take: Take) -> Take:
    """`take` at even frames: those of its own grid, or where it has none at the rate that it is shown at."""
    return at_rate(take, 1 / take.times.unit if take.times.on_grid else take.rate)


def _joint(name: str) -> list[str]:
    """The lines of an eye, from the middle of its ball to the front of it."""
    ball = head_model().vertices[head_model().parts[name]]
    low, high = ball.min(axis=0), ball.max(axis=0)
    middle, radius = (low[0] + high[0]) / 2.0, (high[0] - low[0]) / 2.0
    return [
        f"\tJOINT {name}",
        "\t{",
        f"\t\tOFFSET {middle:.6f} 0.000000 0.000000",  # the origin is midway between the eyeballs
        f"\t\tCHANNELS 3 {ROTATION}",
        "\t\tEnd Site",
        "\t\t{",
        f"\t\t\tOFFSET 0.000000 0.000000 {radius:.6f}",
        "\t\t}",
        "\t}",
    ]


def take_bvh(take: Take) -> str:
    """The whole .bvh file of `take`."""
    evenly = even(take)
    lines = ["HIERARCHY", "ROOT head", "{", "\tOFFSET 0.000000 0.000000 0.000000"]
    lines.append(f"\tCHANNELS 6 Xposition Yposition Zposition {ROTATION}")
    for name in EYES:
        lines += _joint(name)
    lines += ["}", "MOTION", f"Frames: {len(evenly)}", f"Frame Time: {float(1 / evenly.rate)!r}"]
    head = np.degrees(unwrap(euler_from_matrix(matrices(evenly.rotation))))
    eyes = np.degrees(evenly.eyes)
    still = np.zeros(len(evenly))
    columns = [*evenly.position.T, *head.T]
    for eye in range(len(EYES)):
        columns += [eyes[:, eye, 0], -eyes[:, eye, 1], still]  # a positive turn about x looks down
    lines += [" ".join(f"{value:.6f}" for value in row) for row in np.stack(columns, axis=1).tolist()]
    return "\n".join(lines) + "\n"


def write_bvh(table: CoefficientTable, path: StoragePath) -> None:
    """Publish head and eyes of `table` at `path`, atomically.

    Args:
        table: the clip, solved or raw.
        path: where the file goes.

    Raises:
        ValueError: the table's metadata hold a `timecode` that is none.
        OSError: `path` cannot be written.
    """
    publish_bytes(path, take_bvh(take_of(table)).encode("ascii"))
