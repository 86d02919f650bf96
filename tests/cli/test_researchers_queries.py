"""The queries of docs/for-researchers.md, asked of a folder."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.output.query import query
from tests.support.movements import BLINK_SHAPE, BOTH_LIDS, moving, output_of

pytest.importorskip("duckdb")

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "for-researchers.md").read_text(encoding="utf-8")
QUERIES = [
    *re.findall(r'facecap-batch query \S+ "([^"]+)"', PAGE),
    *(
        part
        for block in re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
        for part in block.split(";")
        if part.strip()
    ),
]


@pytest.mark.parametrize("sql", QUERIES)
def test_the_query_is_answered(tmp_path: Path, sql: str) -> None:
    made = moving("a", np.arange(60) / 30, [(BOTH_LIDS, 10, BLINK_SHAPE)])
    assert query(output_of(tmp_path, [made], actors={"a": "Ada"}), sql).num_rows


def test_the_page_has_queries() -> None:
    assert len(QUERIES) >= 7
