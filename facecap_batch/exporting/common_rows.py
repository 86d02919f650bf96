"""The tracks of a clip with the same rows, so that their exports begin and end together.

In: the `CoefficientTable` of a person and the main subject's. Out: the person's, with a row for every frame.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.coefficients import CoefficientTable


def with_rows_of(table: CoefficientTable, main: CoefficientTable) -> CoefficientTable:
    """`table` with a row for every frame of `main`, of the same clip; frames without a row hold nothing."""
    if len(table) == len(main):
        return table
    at = np.searchsorted(main.frame_index, table.frame_index)

    def spread_out(values: np.ndarray) -> np.ndarray:
        whole = np.full((len(main), *values.shape[1:]), np.nan, np.float32)
        whole[at] = values
        return whole

    found = np.zeros(len(main), bool)
    found[at] = table.face_found
    floats = ("score", "box", "coefficients", "head", "extra", "spread", "landmarks")
    return table.replace(
        frame_index=main.frame_index,
        pts=main.pts,
        face_found=found,
        shot=main.shot,
        **{name: spread_out(getattr(table, name)) for name in floats},
    )
