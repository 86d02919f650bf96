"""The table of a clip: what it refuses, and that Parquet keeps it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facecap_batch.coefficients import (
    ARKIT_NAMES,
    SCHEMA,
    SPREAD_NAMES,
    from_arrow,
    read_parquet,
    to_arrow,
    write_parquet,
)
from tests.support.animations import with_tongue
from tests.support.tables import noise, still, table

COLUMNS = ("pts", "face_found", "score", "box", "coefficients", "head")


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_unequal_length_are_refused(name: str) -> None:
    """Written, they would be a file whose rows belong to other frames."""
    whole = table(still(7))
    with pytest.raises(ValueError, match=rf"clip 'c': .* 7 frames .*: {name} is \[6[^;]*$"):
        whole.replace(**{name: getattr(whole, name)[:-1]})


def test_columns_of_another_width_are_refused() -> None:
    whole = table(still(7))
    with pytest.raises(ValueError, match=r"coefficients is \[7, 50\], not \[7, 51\]"):
        whole.replace(coefficients=whole.coefficients[:, :-1])
    with pytest.raises(ValueError, match=r"extra is \[7, 2\], not \[7, 1\]"):
        whole.replace(extra_names=("cheekRaiser",), extra=np.zeros((7, 2), np.float32))
    with pytest.raises(ValueError, match=r"coefficients is \[7, 53\], not \[7, 52\]"):
        whole.replace(coefficients=np.zeros((7, 53), np.float32))
    with pytest.raises(ValueError, match=r"spread is \[7, 51\], not \[7, 52\]"):
        with_tongue(whole).replace(spread=np.zeros((7, 51), np.float32))
    with pytest.raises(ValueError, match="a coefficient is among"):
        whole.replace(extra_names=("tongueOut",), extra=np.zeros((7, 1), np.float32))
    with pytest.raises(ValueError, match=r"extra is \[7, 1\], not \[7, 0\]"):
        whole.replace(extra=np.zeros((7, 1), np.float32))


@pytest.mark.parametrize("rows", [0, 1, 40])
def test_parquet_keeps_a_table(rows: int, tmp_path: Path) -> None:
    whole = table(still(rows) + noise(rows), found=np.arange(rows) % 3 != 1)
    whole = whole.replace(
        extra_names=("cheekRaiser",), extra=np.full((rows, 1), 0.25, np.float32), metadata={"licence": "CC0"}
    )
    write_parquet(whole, tmp_path / "c.parquet")
    kept = read_parquet(tmp_path / "c.parquet")
    assert (kept.info, kept.track, kept.extra_names) == (whole.info, 0, ("cheekRaiser",))
    assert kept.metadata == {"licence": "CC0"}
    for name in ("frame_index", *COLUMNS, "extra"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(whole, name), err_msg=name)


def test_the_tongue_is_a_column_behind_the_57_where_a_table_has_it(tmp_path: Path) -> None:
    plain = table(still(5)).replace(extra_names=("wink",), extra=np.full((5, 1), 0.25, np.float32))
    more = with_tongue(plain, np.arange(5) / 5)
    assert plain.shape_names == ARKIT_NAMES and more.shape_names == (*ARKIT_NAMES, "tongueOut")
    arrow = to_arrow(more)
    assert arrow.column_names == [*SCHEMA.names, "tongueOut", "wink"]
    assert arrow.drop_columns("tongueOut").equals(to_arrow(plain))
    write_parquet(more, tmp_path / "c.parquet")
    kept = read_parquet(tmp_path / "c.parquet")
    np.testing.assert_array_equal(kept.coefficients, more.coefficients)
    assert kept.extra_names == ("wink",)
    whole = to_arrow(more.replace(spread=np.full((5, 52), 0.1, np.float32)))
    assert whole.column_names[-52:] == list(SPREAD_NAMES)
    assert from_arrow(whole).spread.shape == (5, 52)
