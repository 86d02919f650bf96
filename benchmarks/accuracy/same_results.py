"""Whether two output folders hold the same raw tables: after an upgrade, or from two machines.

In: two output folders of one manifest. Out: for every clip the largest difference in a coefficient, a head
angle (radians), a head position (centimetres) and a box (pixels); exit code 1 where any is above
`TOLERANCE`, or where rows, faces or clips differ.

    python benchmarks/accuracy/same_results.py out/demo out/demo-lowest
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

TOLERANCE = 1e-4  # as `checks.output_parity` allows two backends of full precision


def largest_difference(first: Path, second: Path) -> tuple[float, str]:
    """The largest difference of two tables and the column where it is; infinite where rows or gaps differ."""
    one, other = (pq.read_table(path).drop_columns(["clip_id"]) for path in (first, second))
    if one.column_names != other.column_names or one.num_rows != other.num_rows:
        return np.inf, "rows or columns"
    worst = (0.0, "")
    for name in one.column_names:
        before, after = (np.array(table[name].to_pylist(), np.float64) for table in (one, other))
        if not np.array_equal(np.isnan(before), np.isnan(after)):
            return np.inf, name
        difference = float(np.nanmax(np.abs(before - after), initial=0.0))
        worst = max(worst, (difference, name))
    return worst


def main(first: Path, second: Path) -> int:
    """Compare the raw tables of two folders, clip by clip; 1 where they differ."""
    names = [{path.name for path in (folder / "raw").glob("*.parquet")} for folder in (first, second)]
    if not names[0] or names[0] != names[1]:
        print(f"the folders hold other clips: {sorted(names[0] ^ names[1]) or 'none at all'}")
        return 1
    worst = 0.0
    for name in sorted(names[0]):
        difference, column = largest_difference(first / "raw" / name, second / "raw" / name)
        print(f"{Path(name).stem:24} {difference:.6f} {column}")
        worst = max(worst, difference)
    print("the same" if worst <= TOLERANCE else f"not the same: more than {TOLERANCE} apart")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
