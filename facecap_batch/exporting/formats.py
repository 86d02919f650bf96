"""The export formats by name: how a clip is written in each, and the suffix of its files.

In: a `CoefficientTable` and a path. Out: a published file. The writers, and the libraries that some of them
need, are imported when they are first used.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.errors import FacecapError
from facecap_batch.exporting.rigs.reading import DEFAULT
from facecap_batch.exporting.rigs.rig import Rig
from facecap_batch.storage.publish import StoragePath

Exporter = Callable[[CoefficientTable, StoragePath], None]


class UnknownFormat(FacecapError):
    """An export format that does not exist, or whose library is not installed."""


def _write_fbx(table: CoefficientTable, path: StoragePath, rig: Rig | None = None) -> None:
    from facecap_batch.exporting.fbx.writer import write_fbx

    write_fbx(table, path, rig)


def _write_livelink(table: CoefficientTable, path: StoragePath, rig: Rig | None = None) -> None:
    from facecap_batch.exporting.livelink import write_livelink_csv

    write_livelink_csv(table, path, rig)


def _write_glb(table: CoefficientTable, path: StoragePath, rig: Rig | None = None) -> None:
    from facecap_batch.exporting.gltf.writer import write_glb

    write_glb(table, path, rig)


def _write_csv(table: CoefficientTable, path: StoragePath, rig: Rig | None = None) -> None:
    from facecap_batch.exporting.tables.own import write_csv

    write_csv(table, path, rig)


def _write_json(table: CoefficientTable, path: StoragePath, rig: Rig | None = None) -> None:
    from facecap_batch.exporting.tables.own import write_json

    write_json(table, path, rig)


def _write_openface(table: CoefficientTable, path: StoragePath) -> None:
    from facecap_batch.exporting.tables.openface import write_openface_csv

    write_openface_csv(table, path)


def _write_usd(table: CoefficientTable, path: StoragePath, rig: Rig | None = None) -> None:
    from facecap_batch.exporting.usd.writer import write_usd

    write_usd(table, path, rig)


def _write_bvh(table: CoefficientTable, path: StoragePath) -> None:
    from facecap_batch.exporting.mocap.bvh import write_bvh

    write_bvh(table, path)


def _write_vmd(table: CoefficientTable, path: StoragePath, rig: Rig | None = None) -> None:
    from facecap_batch.exporting.mocap.vmd import write_vmd

    write_vmd(table, path, rig)


EXPORTERS: dict[str, tuple[Exporter, str]] = {
    "fbx": (_write_fbx, ".fbx"),
    "livelink": (_write_livelink, ".csv"),
    "glb": (_write_glb, ".glb"),
    "usd": (_write_usd, ".usdc"),
    "bvh": (_write_bvh, ".bvh"),
    "vmd": (_write_vmd, ".vmd"),
    "csv": (_write_csv, ".csv"),
    "json": (_write_json, ".json"),
    "openface": (_write_openface, ".csv"),
}
# The formats whose channels a rig may name.
RIGGED: dict[str, Callable[..., None]] = {
    "fbx": _write_fbx,
    "livelink": _write_livelink,
    "glb": _write_glb,
    "usd": _write_usd,
    "vmd": _write_vmd,
    "csv": _write_csv,
    "json": _write_json,
}
# Formats that need a library which not everybody has: its module, and the extra that brings it.
LIBRARIES: dict[str, tuple[str, str]] = {"usd": ("pxr", "usd")}


def exporter(format: str, rig: Rig | None = None) -> tuple[Exporter, str]:
    """How a clip is written in a format, and the suffix of its files.

    Args:
        format: Its name.
        rig: The channels that it is written in; None: ours.

    Raises:
        UnknownFormat: There is none of this name, the library that it needs is not installed, or its channels
            are its own and a rig cannot name them.
    """
    if format not in EXPORTERS:
        raise UnknownFormat(f"no export format {format!r}; there are: {', '.join(EXPORTERS)}")
    if format in LIBRARIES:
        module, extra = LIBRARIES[format]
        if importlib.util.find_spec(module) is None:
            raise UnknownFormat(
                f"the export format {format!r} needs a library that is not installed: "
                f"pip install 'facecap-batch[{extra}]'"
            )
    write, suffix = EXPORTERS[format]
    if rig is None or rig.name == DEFAULT:
        return write, suffix
    if format not in RIGGED:
        raise UnknownFormat(
            f"the export format {format!r} has channels of its own, which no rig names; formats with a rig: "
            f"{', '.join(RIGGED)}"
        )
    return functools.partial(RIGGED[format], rig=rig), suffix


def format_of(path: StoragePath) -> str:
    """The first format whose files end as `path` does, in any case.

    Raises:
        UnknownFormat: There is none.
    """
    for name, (_, suffix) in EXPORTERS.items():
        if path.suffix.lower() == suffix:
            return name
    known = ", ".join(f"{name} ({suffix})" for name, (_, suffix) in EXPORTERS.items())
    raise UnknownFormat(f"{path}: no such export format; there are: {known}")
