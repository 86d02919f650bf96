"""Folders of face videos to facial animation: 51 ARKit blendshapes and the head, per frame, as Parquet and
FBX.

`import facecap_batch` costs next to nothing: a public name is imported when it is first used. Examples are in
`docs/python.md`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facecap_batch.api.captures import Capture, OpenEngines, capture, open_engines, read
    from facecap_batch.api.folders import export, preview, query, report, run, status
    from facecap_batch.capturing.settings import CaptureSettings
    from facecap_batch.coefficients import CoefficientTable
    from facecap_batch.errors import FacecapError
    from facecap_batch.output.exports import ExportedClip
    from facecap_batch.output.sql.thresholds import MovementThresholds
    from facecap_batch.output.status import Status
    from facecap_batch.runs.run import RunSummary
    from facecap_batch.solve.settings import SolveSettings

__version__ = "0.1.0"

__all__ = [
    "Capture",
    "CaptureSettings",
    "CoefficientTable",
    "ExportedClip",
    "FacecapError",
    "MovementThresholds",
    "OpenEngines",
    "RunSummary",
    "SolveSettings",
    "Status",
    "__version__",
    "capture",
    "export",
    "open_engines",
    "preview",
    "query",
    "read",
    "report",
    "run",
    "status",
]

_MODULES = {
    "Capture": "api.captures",
    "CaptureSettings": "capturing.settings",
    "CoefficientTable": "coefficients",
    "ExportedClip": "output.exports",
    "FacecapError": "errors",
    "MovementThresholds": "output.sql.thresholds",
    "OpenEngines": "api.captures",
    "RunSummary": "runs.run",
    "SolveSettings": "solve.settings",
    "Status": "output.status",
    "capture": "api.captures",
    "export": "api.folders",
    "open_engines": "api.captures",
    "preview": "api.folders",
    "query": "api.folders",
    "read": "api.captures",
    "report": "api.folders",
    "run": "api.folders",
    "status": "api.folders",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
