"""Agreement with a baseline on real clips, whose truth is not known.

    python benchmarks/accuracy/real_clips.py OUTPUT REFERENCES

OUTPUT is the folder of a `facecap-batch run` over the clips; REFERENCES holds one Parquet table per clip
with the baseline's `frame_index`, `face_found` and ARKit columns, named like the clip. Rows are joined by
`frame_index`.

Printed per clip and overall: how many of the frames in which the baseline has a face have one here too, how
often there is a face where the baseline has none, and Pearson's r over time for the twelve channels in which
the baseline is reliable. A clip and channel counts when the baseline's standard deviation over the joint
frames exceeds 0.05 and there are at least 20 of them; a channel that does not move here then counts as r = 0.
The overall figure is the mean over all pairs of clip and channel that count, so that a long clip has no more
weight than a short one.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

TRUSTED = (
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "jawOpen",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
)
MIN_DEVIATION = 0.05
MIN_FRAMES = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Faces:
    """One table's frames: those with a face, and the twelve channels."""

    frame_index: np.ndarray  # int [N]
    found: np.ndarray  # bool [N], seen in this frame
    known: np.ndarray  # bool [N], has values, seen or interpolated
    values: np.ndarray  # float64 [N, 12], NaN where unknown


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How two tables of one clip compare."""

    frames: int
    baseline_found: int  # frames in which the baseline has a face
    both_found: int  # frames in which both have one
    ours_found: int
    r: dict[str, float]  # channels that count


def read(path: Path) -> Faces:
    """The faces of a table, ours or the baseline's; one that never found a face may lack the channels."""
    table = pq.read_table(path)
    if "track" in table.column_names:
        table = table.filter(np.asarray(table["track"]) == 0)
    count = len(table)
    values = np.full((count, len(TRUSTED)), np.nan)
    for column, name in enumerate(TRUSTED):
        if name in table.column_names:
            values[:, column] = np.array(table[name].to_pylist(), np.float64)
    found = np.array(table["face_found"].to_pylist(), bool)
    return Faces(np.asarray(table["frame_index"]), found, np.isfinite(values).all(axis=1), values)


def compare(ours: Faces, baseline: Faces) -> Agreement:
    """Join by frame index and compare."""
    _, here, there = np.intersect1d(ours.frame_index, baseline.frame_index, return_indices=True)
    joint = ours.known[here] & baseline.found[there]
    r: dict[str, float] = {}
    for column, name in enumerate(TRUSTED):
        a, b = ours.values[here, column][joint], baseline.values[there, column][joint]
        if len(b) >= MIN_FRAMES and b.std() > MIN_DEVIATION:
            r[name] = float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-4 else 0.0
    return Agreement(
        frames=len(ours.frame_index),
        baseline_found=int(baseline.found.sum()),
        both_found=int((ours.found[here] & baseline.found[there]).sum()),
        ours_found=int(ours.found.sum()),
        r=r,
    )


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:6.1f} %" if whole else "     –  "


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="output folder of a run")
    parser.add_argument("references", type=Path, help="folder of the baseline's tables")
    parser.add_argument(
        "--raw", action="store_true", help="compare the raw tables instead of the solved ones"
    )
    parser.add_argument("--skip", nargs="*", default=[], help="clips to leave out, such as rendered ones")
    arguments = parser.parse_args()
    folder = arguments.output / ("raw" if arguments.raw else "coefficients")

    clips: dict[str, Agreement] = {}
    for reference in sorted(arguments.references.glob("*.parquet")):
        if reference.stem in arguments.skip:
            continue
        table = folder / reference.name
        if table.exists():
            clips[reference.stem] = compare(read(table), read(reference))
        else:
            print(f"{reference.stem:28s} not in {folder}")
    if not clips:
        raise SystemExit(f"no clip of {arguments.references} has a table in {folder}")

    print(f"{'clip':28s} frames  baseline  both      ours      mean r (channels)")
    for name, clip in clips.items():
        mean = f"{np.mean(list(clip.r.values())):6.3f} ({len(clip.r)})" if clip.r else "     – (0)"
        print(
            f"{name:28s} {clip.frames:6d} {clip.baseline_found:9d}"
            f" {percent(clip.both_found, clip.baseline_found)}"
            f"  {percent(clip.ours_found, clip.frames)}  {mean}"
        )
    print()
    for channel in TRUSTED:
        values = [clip.r[channel] for clip in clips.values() if channel in clip.r]
        line = f"{np.mean(values):6.3f}  lowest {min(values):6.3f}" if values else "     –"
        print(f"{channel:20s} {len(values):3d} clips  mean r {line}")
    pairs = [value for clip in clips.values() for value in clip.r.values()]
    baseline_found, both = (
        sum(getattr(clip, name) for clip in clips.values()) for name in ("baseline_found", "both_found")
    )
    blinks = [
        value for clip in clips.values() for name, value in clip.r.items() if name.startswith("eyeBlink")
    ]
    smiles = [
        value for clip in clips.values() for name, value in clip.r.items() if name.startswith("mouthSmile")
    ]
    print()
    print(
        f"baseline's faces that are found here: {percent(both, baseline_found).strip()} of {baseline_found}"
    )
    for name, clip in clips.items():
        if not clip.baseline_found:
            here = percent(clip.ours_found, clip.frames).strip()
            print(f"frames with a face in {name}, where the baseline has none: {here}")
    for title, values in (("trusted twelve", pairs), ("eyeBlink", blinks), ("mouthSmile", smiles)):
        if values:
            print(f"mean r over {len(values)} pairs of clip and channel, {title}: {np.mean(values):.3f}")


if __name__ == "__main__":
    main()
