"""The exporters by name: what can be written from a `CoefficientTable`. Each is imported when used."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.storage.publish import StoragePath

Exporter = Callable[[CoefficientTable, StoragePath], None]


def _lazily(module: str, function: str) -> Exporter:
    def export(table: CoefficientTable, path: StoragePath) -> None:
        getattr(importlib.import_module(f"facecap_batch.exporting.{module}"), function)(table, path)

    export.__name__ = function
    export.__doc__ = f"`exporting.{module}.{function}`, imported at the first call."
    return export


EXPORTERS: dict[str, tuple[Exporter, str]] = {
    "fbx": (_lazily("fbx.writer", "write_fbx"), ".fbx"),
    "livelink": (_lazily("livelink", "write_livelink_csv"), ".csv"),
}
