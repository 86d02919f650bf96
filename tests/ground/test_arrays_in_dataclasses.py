"""Frozen dataclasses that hold arrays can be compared and hashed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import facecap_batch
from facecap_batch.clip import Clip
from tests.support.tables import still, table

PACKAGE = Path(facecap_batch.__file__).parent
ARRAYS = ("ndarray", "pa.Table", "pa.Array")


def with_arrays(module: Path) -> Iterator[tuple[str, str]]:
    """Name and decorator of every frozen dataclass of a module that has an array among its fields."""
    for node in ast.walk(ast.parse(module.read_text())):
        if not isinstance(node, ast.ClassDef):
            continue
        fields = [ast.unparse(part.annotation) for part in node.body if isinstance(part, ast.AnnAssign)]
        if any(array in field for array in ARRAYS for field in fields):
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            yield from (
                (node.name, how) for how in decorators if "dataclass(" in how and "frozen=True" in how
            )


def test_dataclasses_with_arrays_compare_by_identity() -> None:
    """Generated methods would raise: == has no single truth for arrays, and arrays have no hash."""
    modules = [path for path in PACKAGE.rglob("*.py") if "training" not in path.relative_to(PACKAGE).parts]
    found = {f"{module.name}: {name}": how for module in modules for name, how in with_arrays(module)}
    assert len(found) > 20
    assert [name for name, how in found.items() if "eq=False" not in how] == []


def test_a_table_is_itself_and_nothing_else() -> None:
    one, other = table(still(5)), table(still(5))
    assert one == one and one != other
    assert len({one, other, one}) == 2


def test_clips_are_equal_by_value() -> None:
    one, other = (Clip("a", "/a.mp4", extra={"scene": "3"}) for _ in range(2))
    assert one == other and len({one, other}) == 1
    assert one != Clip("a", "/a.mp4", extra={"scene": "4"})
