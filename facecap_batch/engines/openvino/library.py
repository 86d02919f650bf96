"""OpenVINO's library: imported without its telemetry, and what it offers on this CPU.

In: a backend's name. Out: the `openvino` module, or why that backend cannot run here. The module sends a
usage event over the network when it is imported, unless the package ``openvino_telemetry`` is missing; this
project sends nothing to anybody (docs/privacy.md), so that package is missing while the module is imported.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Iterator
from typing import Any

from facecap_batch.errors import BackendUnavailable, install_hint

INSTALL = install_hint("openvino")
DEVICE = "CPU"
# Backend to OpenVINO's name for the precision that it computes in.
PRECISIONS = {"openvino": "f32", "openvino-bf16": "bf16"}
_TELEMETRY = "openvino_telemetry"


@functools.cache
def load() -> Any:
    """The `openvino` module. Raises BackendUnavailable where it is missing or broken."""
    try:
        with _missing(_TELEMETRY):
            return importlib.import_module("openvino")
    except (ImportError, OSError) as error:
        raise BackendUnavailable(f"openvino cannot be imported ({error}); {INSTALL}") from error


def unavailable_because(backend: str) -> str | None:
    """Why `backend` cannot run in this process, with what to do; None where it can."""
    try:
        capabilities = _capabilities()
    except BackendUnavailable as error:
        return str(error)
    if PRECISIONS[backend] == "bf16" and "BF16" not in capabilities:
        return (
            "this CPU has no bfloat16 instructions (AVX512_BF16 or AMX: Intel since Cooper Lake and Sapphire "
            "Rapids, AMD since Zen 4), and OpenVINO would compute in float32 under this name; use openvino"
        )
    return None


@functools.cache
def _capabilities() -> tuple[str, ...]:
    """What OpenVINO computes here without emulation: "FP32", "BF16", "INT8" ..."""
    openvino = load()
    try:
        return tuple(openvino.Core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"))
    except RuntimeError as error:  # how the bindings report that there is no such device
        raise BackendUnavailable(f"OpenVINO has no device for this CPU: {error}") from error


@contextlib.contextmanager
def _missing(module: str) -> Iterator[None]:
    """Within this context an import of `module` fails as if it were not installed."""
    if module in sys.modules:  # somebody else has imported it
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]
