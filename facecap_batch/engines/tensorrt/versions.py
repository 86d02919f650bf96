"""What TensorRT 8.6, 9, 10 and 11 do not share: everything else of this backend is the same for all.

| | 8.6 | 9, 10 | 11 |
| --- | --- | --- | --- |
| explicit batch | a flag | a flag without effect | always, no flag |
| strongly typed networks | no | a flag | always |
| FP16 | `BuilderFlag.FP16` | `BuilderFlag.FP16` (deprecated from 10.12) | gone |
| INT8 of a graph with Q/DQ nodes | needs `BuilderFlag.INT8` | by strong typing | by strong typing |
| size of an engine's device memory | `device_memory_size` | both | `device_memory_size_v2` |

In: the `tensorrt` module. Out: the flags and values that this version wants, or BackendUnavailable naming the
versions that offer what was asked for.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections import deque
from typing import Any

from facecap_batch.errors import BackendUnavailable, install_hint

log = logging.getLogger(__name__)

OLDEST = (8, 6)  # named tensors, UINT8 inputs and execute_async_v3 are all there
INSTALL = f"{install_hint('tensorrt')} (which version for which Python and CUDA: docs/gpu.md)"
_KEPT_MESSAGES = 3
PRECISIONS = {"tensorrt": "fp32", "tensorrt-fp16": "fp16", "tensorrt-int8": "int8"}


def load() -> Any:
    """The `tensorrt` module. Raises BackendUnavailable where it is missing, broken or too old."""
    try:
        trt = importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:
        raise BackendUnavailable(f"tensorrt cannot be imported ({error}); {INSTALL}") from error
    if not hasattr(trt, "OnnxParser"):
        raise BackendUnavailable(f"this tensorrt cannot build plans; {INSTALL}")
    if version_of(trt) < OLDEST:
        raise BackendUnavailable(f"TensorRT {trt.__version__} is too old, 8.6 or newer is needed; {INSTALL}")
    return trt


def version_of(trt: Any) -> tuple[int, int]:
    """Major and minor version."""
    major, minor = re.findall(r"\d+", trt.__version__)[:2]
    return int(major), int(minor)


def unavailable_because(trt: Any, precision: str) -> str | None:
    """Why this TensorRT does not offer `precision`, with what does; None where it does."""
    if precision == "fp16" and not hasattr(trt.BuilderFlag, "FP16"):
        return (
            f"TensorRT {trt.__version__} has no FP16 mode for FP32 networks (it is gone since 11); use "
            "TensorRT 8.6 to 10 (pip install 'tensorrt<11'), or an engine whose file is FP16"
        )
    return None


def network_flags(trt: Any, precision: str) -> int:
    """What `Builder.create_network` is given."""
    kinds = trt.NetworkDefinitionCreationFlag
    flags = 0
    if version_of(trt) < (10, 0):
        flags |= 1 << int(kinds.EXPLICIT_BATCH)
    if hasattr(kinds, "STRONGLY_TYPED") and precision != "fp16":
        flags |= 1 << int(kinds.STRONGLY_TYPED)
    return flags


def set_precision(trt: Any, config: Any, precision: str, quantised: bool) -> None:
    """Turn TF32 off, and on what `precision` and a graph with Q/DQ nodes need."""
    config.clear_flag(trt.BuilderFlag.TF32)  # its products keep 10 bits: no parity with FP32
    weak = precision == "fp16" or not hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
    if precision == "fp16":
        config.set_flag(trt.BuilderFlag.FP16)
    if quantised and weak:
        config.set_flag(trt.BuilderFlag.INT8)


def device_bytes(engine: Any) -> int:
    """Device memory that one execution context of `engine` takes."""
    size = getattr(engine, "device_memory_size_v2", None)
    return int(engine.device_memory_size if size is None else size)


def start(trt: Any, kind: str, logger: Any) -> Any:
    """A `Builder` or `Runtime`. Raises BackendUnavailable where TensorRT does not start with this driver."""
    try:
        return getattr(trt, kind)(logger)
    except TypeError as error:  # how the bindings report that there is no object
        raise BackendUnavailable(
            f"TensorRT {trt.__version__} does not start on this GPU: {reason(logger)}; its driver may be too "
            "old for it, see docs/gpu.md"
        ) from error


def reason(logger: Any) -> str:
    """The last messages of TensorRT."""
    return "; ".join(logger.messages) or "it gives no reason"


def make_logger(trt: Any) -> Any:
    """A TensorRT logger that passes warnings and errors on, and keeps them for `reason`."""
    severity = trt.ILogger.Severity
    levels = {
        severity.INTERNAL_ERROR: logging.ERROR,
        severity.ERROR: logging.ERROR,
        severity.WARNING: logging.WARNING,
    }

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.messages: deque[str] = deque(maxlen=_KEPT_MESSAGES)

        def log(self, severity: Any, message: str) -> None:
            level = levels.get(severity, logging.DEBUG)
            if level != logging.DEBUG:
                self.messages.append(message)
            log.log(level, "TensorRT: %s", message)

    return Logger()
