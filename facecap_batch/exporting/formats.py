"""The export formats by name: how a clip is written in each, and the suffix of its files.

In: a `CoefficientTable` and a path. Out: a published file. The writers are imported when they are first used.
"""

from __future__ import annotations

from collections.abc import Callable

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.storage.publish import StoragePath

Exporter = Callable[[CoefficientTable, StoragePath], None]


def _write_fbx(table: CoefficientTable, path: StoragePath) -> None:
    from facecap_batch.exporting.fbx.writer import write_fbx

    write_fbx(table, path)


def _write_livelink(table: CoefficientTable, path: StoragePath) -> None:
    from facecap_batch.exporting.livelink import write_livelink_csv

    write_livelink_csv(table, path)


EXPORTERS: dict[str, tuple[Exporter, str]] = {
    "fbx": (_write_fbx, ".fbx"),
    "livelink": (_write_livelink, ".csv"),
}
