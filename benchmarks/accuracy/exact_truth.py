"""Score a run over a rendered clip against its exact truth.

    python benchmarks/accuracy/exact_truth.py --scorer SCORER.py --truth CLIP.npz \\
        --table out/coefficients/CLIP.parquet [--baseline MEDIAPIPE.parquet] [--full]

The scorer is a separate program that takes the truth and a prediction file. This one writes our table in the
scorer's format (the 51 coefficients by name, the head's rotation as matrices), runs the scorer on ours and on
the baseline's table, and prints both summaries. Of ours it also prints how far sides are told apart:
Pearson's r of left - right over time, the mean over the pairs whose sides differ in the truth, gaze left out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable, read_parquet
from facecap_batch.geometry import matrix_from_euler
from facecap_batch.training.mirror import LEFT_CHANNELS, RIGHT_CHANNELS

MIN_DEVIATION = 0.01  # of left - right in the truth, for a pair to count


def write_prediction(table: CoefficientTable, path: Path) -> None:
    """Save `names` [51], `coeff` float64 [N, 51], `valid` bool [N] and `R` float64 [N, 3, 3], by frame
    index.
    """
    frames = int(table.frame_index[-1]) + 1 if len(table) else 0
    coefficients = np.full((frames, len(table.shape_names)), np.nan)
    rotation = np.full((frames, 3, 3), np.nan)
    coefficients[table.frame_index] = table.coefficients
    rotation[table.frame_index] = matrix_from_euler(table.head[:, :3].astype(np.float64))
    valid = np.isfinite(coefficients).all(axis=1)
    np.savez(path, names=np.array(table.shape_names), coeff=coefficients, valid=valid, R=rotation)


def sides(truth: Path, table: CoefficientTable) -> dict[str, float]:
    """Pearson's r of left - right by the name of the pair; 0 where ours does not move."""
    with np.load(truth) as arrays:
        true = dict(zip(arrays["names"].tolist(), arrays["coeff"].astype(float).T, strict=True))
    known = np.isfinite(table.coefficients).all(axis=1)
    ours = dict(zip(table.shape_names, table.coefficients[known].astype(float).T, strict=True))
    found = {}
    for one, other in zip(LEFT_CHANNELS, RIGHT_CHANNELS, strict=True):
        left, right = ARKIT_NAMES[one], ARKIT_NAMES[other]
        wanted = (true[left] - true[right])[table.frame_index[known]]
        if left.startswith("eyeLook") or wanted.std() < MIN_DEVIATION:
            continue
        got = ours[left] - ours[right]
        moves = got.std() > 1e-6
        found[left.removesuffix("Left")] = float(np.corrcoef(wanted, got)[0, 1]) if moves else 0.0
    return found


def score(scorer: Path, truth: Path, prediction: Path, full: bool) -> str:
    command = [sys.executable, str(scorer), str(truth), str(prediction), *([] if full else ["--quiet"])]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scorer", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument(
        "--table", type=Path, required=True, help="our Parquet table of the clip, solved or raw"
    )
    parser.add_argument("--baseline", type=Path, help="MediaPipe's table of the clip")
    parser.add_argument("--full", action="store_true", help="every coefficient, not only the summary")
    arguments = parser.parse_args()
    table = read_parquet(arguments.table)
    with tempfile.TemporaryDirectory() as folder:
        prediction = Path(folder) / "ours.npz"
        write_prediction(table, prediction)
        print("ours", score(arguments.scorer, arguments.truth, prediction, arguments.full), sep="\n")
    apart = sides(arguments.truth, table)
    print(f"left - right, mean r over {len(apart)} pairs: {np.mean(list(apart.values())):.3f}")
    if arguments.full:
        print(*(f"  {name} {r:.2f}" for name, r in apart.items()), sep="\n")
    if arguments.baseline:
        summary = score(arguments.scorer, arguments.truth, arguments.baseline, arguments.full)
        print("\nbaseline", summary, sep="\n")


if __name__ == "__main__":
    main()
