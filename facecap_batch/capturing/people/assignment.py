"""Who goes with whom at the least cost in all: an exact assignment of a few tracks to a few detections.

In: what each pair costs. Out: pairs. The Hungarian method with shortest augmenting paths, O(n^3), for dozens
of rows at most; SciPy has one for thousands, and is not needed for anything else at run time.
"""

from __future__ import annotations

import numpy as np


def assign(costs: np.ndarray, unmatched: float) -> dict[int, int]:
    """The pairs that make the sum of all costs least.

    Args:
        costs: float [R, C], of row r with column c; infinite where they cannot be a pair.
        unmatched: What a row costs that goes with no column.

    Returns:
        row -> column of every row that goes with one; no column twice.
    """
    rows, columns = costs.shape
    if not rows or not columns:
        return {}
    # A column of its own for every row makes staying unmatched one more choice. Costs above it are never
    # chosen, so a finite number stands for infinity.
    table = np.full((rows, columns + rows), 2 * unmatched + 1.0)
    table[:, :columns] = np.minimum(costs, 2 * unmatched + 1.0)
    table[np.arange(rows), columns + np.arange(rows)] = unmatched
    row_of = _row_of_each_column(table)
    return {
        int(row_of[column]): column
        for column in range(columns)
        if row_of[column] >= 0 and costs[row_of[column], column] < unmatched
    }


def _row_of_each_column(table: np.ndarray) -> np.ndarray:
    """int64 [C]: the row that each column of `table` [R, C], R <= C, is assigned to, -1 for none."""
    rows, columns = table.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    row_of = np.full(columns, -1, np.int64)
    for new in range(rows):
        # The cheapest path from the new row to a free column, along which assignments are exchanged.
        distance = np.full(columns, np.inf)
        before = np.full(columns, -1, np.int64)  # the column that the path comes from
        reached = np.zeros(columns, bool)
        row, column, length = new, -1, 0.0
        while row >= 0:
            through = length + table[row] - row_price[row] - column_price
            shorter = ~reached & (through < distance)
            distance[shorter], before[shorter] = through[shorter], column
            column = int(np.argmin(np.where(reached, np.inf, distance)))
            length = float(distance[column])
            reached[column] = True
            row = int(row_of[column])
        done = np.flatnonzero(reached & (row_of >= 0))
        row_price[row_of[done]] += length - distance[done]
        row_price[new] += length
        column_price[reached] -= length - distance[reached]
        while column >= 0:
            row_of[column] = row_of[before[column]] if before[column] >= 0 else new
            column = int(before[column])
    return row_of
