"""The few calls of the CUDA driver that an engine needs: a device, its memory, copies, a stream.

In: numpy arrays. Out: device addresses and arrays filled from them, or `CudaError` naming the call and the
driver's own message for what went wrong. The driver's library is called through ctypes: it is there on every
machine that can run CUDA at all, it does not depend on a toolkit's version, and nothing need be installed.
Only the driver's primary context is used, which is the one that TensorRT and ONNX Runtime share.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np

from facecap_batch.errors import BackendUnavailable, EngineError

LIBRARY = "libcuda.so.1"
_MODULE_VERSION = Path("/proc/driver/nvidia/version")
# Numbers of CUdevice_attribute and CUresult in cuda.h.
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_OUT_OF_MEMORY = 2
_NAME_BYTES = 256


class CudaError(EngineError):
    """A call of the CUDA driver failed. The message names the call, the reason and what to do."""


@dataclasses.dataclass(frozen=True)
class DeviceInfo:
    """What the driver reports of a GPU."""

    name: str
    compute_capability: str  # "8.6"
    memory_bytes: int


class Driver:
    """The driver's library, initialised; every call is checked."""

    def __init__(self, library: Any) -> None:
        """`library` is what ctypes loaded; raises CudaError where the driver finds no device."""
        self._library = library
        self.call("cuInit", ctypes.c_uint(0))

    def call(self, name: str, *arguments: Any) -> None:
        """Call the driver's function `name` with ctypes values; raises CudaError unless it succeeds."""
        status = getattr(self._library, name)(*arguments)
        if status == 0:
            return
        todo = (
            "the GPU's memory is full: run fewer workers on it (a larger --gpus-per-worker)"
            if status == _OUT_OF_MEMORY
            else "see that nvidia-smi works and that CUDA_VISIBLE_DEVICES names a GPU"
        )
        raise CudaError(f"CUDA: {name} failed: {self._reason(status)}; {todo}")

    def _reason(self, status: int) -> str:
        texts = []
        for function in ("cuGetErrorName", "cuGetErrorString"):
            text = ctypes.c_char_p()
            if getattr(self._library, function)(ctypes.c_int(status), ctypes.byref(text)) == 0 and text.value:
                texts.append(text.value.decode())
        return ": ".join(texts) or f"error {status}"

    def device_count(self) -> int:
        """How many GPUs this process may use; CUDA_VISIBLE_DEVICES counts."""
        count = ctypes.c_int()
        self.call("cuDeviceGetCount", ctypes.byref(count))
        return count.value

    def version(self) -> str:
        """The CUDA version that the driver supports: "12.4"."""
        number = ctypes.c_int()
        self.call("cuDriverGetVersion", ctypes.byref(number))
        return f"{number.value // 1000}.{number.value % 1000 // 10}"


@functools.cache
def driver() -> Driver:
    """The driver of this machine. Raises BackendUnavailable where there is none, or no GPU for it."""
    try:
        found = Driver(ctypes.CDLL(LIBRARY))
        count = found.device_count()
    except OSError as error:
        raise BackendUnavailable(
            f"no NVIDIA driver here ({error}); install the driver of the GPU, see docs/gpu.md"
        ) from error
    except CudaError as error:
        raise BackendUnavailable(str(error)) from error
    if count == 0:
        raise BackendUnavailable("the NVIDIA driver shows no GPU to this process; see CUDA_VISIBLE_DEVICES")
    return found


def unavailable_because() -> str | None:
    """Why no GPU can be used by this process; None where one can."""
    try:
        driver()
    except BackendUnavailable as error:
        return str(error)
    return None


def kernel_module() -> str:
    """The version of the driver's kernel module ("550.54.15"); empty where the driver does not tell."""
    with contextlib.suppress(OSError, ValueError):
        words = _MODULE_VERSION.read_text().splitlines()[0].split()
        return next(word for word in words if word[:1].isdigit() and "." in word)
    return ""


class Device:
    """One GPU and its primary context."""

    def __init__(self, ordinal: int = 0) -> None:
        """`ordinal` counts the GPUs that this process may use. Raises BackendUnavailable, CudaError."""
        self._driver = driver()
        handle = ctypes.c_int()
        self._driver.call("cuDeviceGet", ctypes.byref(handle), ctypes.c_int(ordinal))
        name = ctypes.create_string_buffer(_NAME_BYTES)
        self._driver.call("cuDeviceGetName", name, ctypes.c_int(_NAME_BYTES), handle)
        total = ctypes.c_size_t()
        self._driver.call("cuDeviceTotalMem_v2", ctypes.byref(total), handle)
        major, minor = (self._attribute(code, handle) for code in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR))
        self.info = DeviceInfo(name.value.decode(errors="replace"), f"{major}.{minor}", total.value)
        self._context = ctypes.c_void_p()
        self._driver.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), handle)
        self.activate()

    def _attribute(self, code: int, handle: ctypes.c_int) -> int:
        value = ctypes.c_int()
        self._driver.call("cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(code), handle)
        return value.value

    def activate(self) -> None:
        """Make this device the calling thread's; to be done in every thread before anything else."""
        self._driver.call("cuCtxSetCurrent", self._context)

    def free_bytes(self) -> int:
        """Device memory that is free now, bytes."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._driver.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def stream(self) -> int:
        """The handle of a new stream; it lives as long as the process."""
        handle = ctypes.c_void_p()
        self._driver.call("cuStreamCreate", ctypes.byref(handle), ctypes.c_uint(0))
        return int(handle.value or 0)

    def wait(self, stream: int) -> None:
        """Return when everything put on `stream` so far is done."""
        self._driver.call("cuStreamSynchronize", ctypes.c_void_p(stream))

    def buffer(self, size: int) -> Buffer:
        """`size` bytes of device memory. Raises CudaError where there is not that much."""
        return Buffer(self._driver, size)

    def upload(self, array: np.ndarray, to: Buffer, stream: int) -> None:
        """Put a copy of a contiguous `array` into `to` on `stream`; keep `array` until `wait`."""
        self._driver.call(
            "cuMemcpyHtoDAsync_v2",
            ctypes.c_void_p(to.address),
            ctypes.c_void_p(array.ctypes.data),
            ctypes.c_size_t(array.nbytes),
            ctypes.c_void_p(stream),
        )

    def download(self, source: Buffer, array: np.ndarray, stream: int) -> None:
        """Fill a contiguous `array` from `source` on `stream`; it is whole after `wait`."""
        self._driver.call(
            "cuMemcpyDtoHAsync_v2",
            ctypes.c_void_p(array.ctypes.data),
            ctypes.c_void_p(source.address),
            ctypes.c_size_t(array.nbytes),
            ctypes.c_void_p(stream),
        )


class Buffer:
    """A piece of device memory, freed with the object."""

    def __init__(self, owner: Driver, size: int) -> None:
        self.size = max(1, size)  # bytes; the driver refuses none at all
        self.address = 0
        self._driver = owner
        address = ctypes.c_void_p()
        owner.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(self.size))
        self.address = int(address.value or 0)

    def __del__(self) -> None:
        if self.address:
            with contextlib.suppress(Exception):  # the driver may be gone when the process ends
                self._driver.call("cuMemFree_v2", ctypes.c_void_p(self.address))
