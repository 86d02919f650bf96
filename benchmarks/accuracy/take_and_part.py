"""How far final values depend on where a take is cut, and how often they are cut off at 1.

    python benchmarks/accuracy/take_and_part.py OUTPUT

OUTPUT is the folder of a `facecap-batch run`. Every raw table is solved whole and from PARTS of its length
on, with default settings; compared are the coefficients a second and more after the cut, those that were
measured and those that were hidden, which a run fills from where they were last seen: a part in which they
were not seen yet has less to go by. Nothing is decoded.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable, read_parquet
from facecap_batch.solve.solver import solve_table

PARTS = (0.3, 0.5)  # of a clip's length: where its part begins
AWAY_S = 1.0  # from the cut
MIN_LENGTH_S = 4.0
CUT_OFF = 1 - 1e-6


def part_of(table: CoefficientTable, first: int) -> CoefficientTable:
    """The rows from `first` on."""
    rows = ("frame_index", "pts", "face_found", "score", "box", "coefficients", "head", "extra", "spread")
    return table.replace(**{name: getattr(table, name)[first:] for name in rows})


def differences(raw: CoefficientTable, whole: np.ndarray) -> np.ndarray:
    """The largest absolute one between the coefficients of `raw` solved whole, [N, 51], and in parts: [N,
    51], 0 where no part of it tells."""
    time_s = raw.time_s() - raw.time_s()[0]
    largest = np.zeros(whole.shape)
    for share in PARTS:
        first = int(np.searchsorted(time_s, share * time_s[-1]))
        part = solve_table(part_of(raw, first)).coefficients
        away = time_s >= time_s[first] + AWAY_S
        difference = np.nan_to_num(np.abs(part - whole[first:]))
        largest[away] = np.maximum(largest[away], difference[away[first:]])
    return largest


def described(difference: np.ndarray) -> str:
    """The largest of [N, 51], and in which coefficient."""
    worst = float(difference.max())
    return f"{worst:.4f} {ARKIT_NAMES[int(difference.max(axis=0).argmax())] if worst else ''}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="output folder of a run")
    frames = cut_off = 0
    for path in sorted((parser.parse_args().output / "raw").glob("*.parquet")):
        raw = read_parquet(path)
        whole = solve_table(raw).coefficients
        known = np.isfinite(whole).any(axis=1)
        frames += int(known.sum())
        cut_off += int((whole[known] >= CUT_OFF).any(axis=1).sum())
        if known.any() and raw.time_s()[-1] - raw.time_s()[0] >= MIN_LENGTH_S:
            difference, measured = differences(raw, whole), np.isfinite(raw.coefficients)
            seen, hidden = (described(np.where(which, difference, 0)) for which in (measured, ~measured))
            print(f"{path.stem:28} take against part, largest difference: measured {seen}, hidden {hidden}")
    print(f"some coefficient at 1: {100 * cut_off / max(frames, 1):.1f} % of {frames} frames")


if __name__ == "__main__":
    main()
