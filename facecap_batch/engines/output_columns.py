"""Which column of the table each output of a regressor becomes, by the output's name.

In: the names on a regressor's card. Out: `OutputColumns`. ARKit's names and the head's go to their columns
whatever their order; columns that no output is named for stay empty; outputs of other names become further
columns behind the contract's. Two columns never differ by case alone: SQL could not tell them apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from facecap_batch.coefficients import (
    GAZE_NAMES,
    HEAD_ANGLE_NAMES,
    HEAD_POSITION_NAMES,
    SCHEMA,
    SHAPE_NAMES,
    SHOT_NAME,
    SPREAD_NAMES,
    is_landmark,
    shape_names,
)
from facecap_batch.errors import EngineError

# Rotation against the viewing ray, and where the head's origin is in the crop (`geometry.head_pose`).
POSE_NAMES = ("yaw", "pitch", "roll", "u", "v", "s")
HEAD_NAMES = HEAD_ANGLE_NAMES + HEAD_POSITION_NAMES
_FRAMES = {"crop": POSE_NAMES, "camera": HEAD_NAMES}


@dataclasses.dataclass(frozen=True, eq=False)
class OutputColumns:
    """Where each column of the table is found among the outputs; -1 where there is no such output."""

    coefficients: np.ndarray  # int64 [S], `shape_names` order
    shape_names: tuple[str, ...]  # the coefficients that the table has: 51, or 52 with an output for the last
    pose: np.ndarray  # int64 [6], POSE_NAMES order; HEAD_NAMES' where the card's head_frame is "camera"
    extra: np.ndarray  # int64 [E]
    extra_names: tuple[str, ...]  # names of `extra`, in the order of the outputs


def output_columns(names: Sequence[str], owner: str) -> OutputColumns:
    """Sort outputs called `names` into columns; `owner` is named in errors.

    Raises EngineError for names that are repeated, empty, or a column of the table that is no output,
    and for a rotation or position of which only some axes are named.
    """
    problems = [*_name_problems(names), *_part_problems(names)]
    if problems:
        raise EngineError(f"{owner}: " + "; ".join(problems))
    column_of = {name: number for number, name in enumerate(names)}
    pose = [
        column_of.get(inside, column_of.get(head, -1))
        for inside, head in zip(POSE_NAMES, HEAD_NAMES, strict=True)
    ]
    shapes = shape_names(names)
    known = {*shapes, *POSE_NAMES, *HEAD_NAMES}
    extra = tuple(name for name in names if name not in known)
    return OutputColumns(
        coefficients=np.array([column_of.get(name, -1) for name in shapes], np.int64),
        shape_names=shapes,
        pose=np.array(pose, np.int64),
        extra=np.array([column_of[name] for name in extra], np.int64),
        extra_names=extra,
    )


def head_frame_of(names: Sequence[str], owner: str) -> str:
    """What a card's head_frame is for outputs that a user called `names`: the table's names mean the table's
    values, POSE_NAMES those inside a crop. Raises EngineError for both at once, and as `output_columns`."""
    output_columns(names, owner)
    named = {frame: [name for name in which if name in names] for frame, which in _FRAMES.items()}
    if all(named.values()):
        raise EngineError(
            f"{owner}: {named['camera'][0]} is in the camera's frame, {named['crop'][0]} in the crop's"
        )
    return "camera" if named["camera"] else "crop"


def _name_problems(names: Sequence[str]) -> list[str]:
    outputs = {*SHAPE_NAMES, *POSE_NAMES, *HEAD_NAMES}
    columns = (*SCHEMA.names, *SHAPE_NAMES, *SPREAD_NAMES, SHOT_NAME, *GAZE_NAMES, *POSE_NAMES)
    spelling = {name.lower(): name for name in columns}
    seen: dict[str, str] = {}
    problems = [] if names else ["no output is named"]
    for name in names:
        column = spelling.get(name.lower(), name)
        if not name or name != name.strip() or not name.isprintable() or "," in name:
            problems.append(f"{name!r} is no name for an output")
        elif column != name:
            problems.append(f"output {name!r} differs from the column {column!r} by case alone: call it that")
        elif (column in spelling.values() and column not in outputs) or is_landmark(name):
            problems.append(f"output {name!r} would hide the table's column of that name: rename it")
        elif name.lower() in seen:
            problems.append(f"outputs {seen[name.lower()]!r} and {name!r} are one name, but for case at most")
        seen.setdefault(name.lower(), name)
    return problems


def _part_problems(names: Sequence[str]) -> list[str]:
    problems = []
    for part, inside, head in (
        ("rotation", POSE_NAMES[:3], HEAD_ANGLE_NAMES),
        ("position", POSE_NAMES[3:], HEAD_POSITION_NAMES),
    ):
        for whole in (inside, head):
            missing = [name for name in whole if name not in names]
            if 0 < len(missing) < len(whole):
                problems.append(f"a {part} needs all of {', '.join(whole)}: {', '.join(missing)} not named")
        if all(any(name in names for name in whole) for whole in (inside, head)):
            problems.append(f"the {part} is named twice: {', '.join(inside)} and {', '.join(head)}")
    return problems
