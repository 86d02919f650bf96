"""The map in docs/architecture.md against the tree: every module is named, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "facecap_batch"
BY_FOLDER = "training"  # its folders are named instead of its modules


def mapped() -> dict[str, set[str]]:
    """Folder, "" for the package itself, to the names in the map's second column."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.split("## The map")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w/]+)/` \| (.*?) \|", section, re.MULTILINE)
    return {
        "" if folder == PACKAGE.name else folder: set(re.findall(r"`([\w/]+?)/?`", names))
        for folder, names in rows
    }


def there() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        if path.stem == "__init__":
            continue
        folder, name = path.relative_to(PACKAGE).parent.as_posix(), path.stem
        if folder.split("/")[0] == BY_FOLDER and folder != BY_FOLDER:
            folder, name = BY_FOLDER, folder.split("/")[1]
        found.setdefault("" if folder == "." else folder, set()).add(name)
    return found


def test_the_map_names_every_module_and_no_other() -> None:
    assert mapped() == there()


def test_floors_have_few_rooms() -> None:
    """At most 9 modules at the top and 12 in a folder: beyond that a stranger does not find a room."""
    sizes = {folder: len(names) for folder, names in there().items()}
    assert sizes.pop("") <= 9
    assert {folder: size for folder, size in sizes.items() if size > 12} == {}


def test_named_tests_and_folders_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for folder in re.findall(r"`((?:engines|jobs|manifests|benchmarks|tests|docs)(?:/\w+)?)/?`", page):
        assert (ROOT / folder).exists() or (PACKAGE / folder).exists() or (PACKAGE / f"{folder}.py").exists()
