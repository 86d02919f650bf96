"""Stand-ins for hardware that is not there: a CUDA driver on host memory, and a TensorRT that runs on it.

Neither is a mock of our code. `HostCuda` answers the driver's calls with ordinary memory and refuses what the
driver would refuse (a thread without a context, memory that nobody allocated, more than there is).
`make_tensorrt` is a module with the names that the real one of that version has (checked against 8.6.0 and
the bindings of 10.3, 10.16 and 11.4), refuses the graphs the real parser refuses, keeps to its profiles, and
computes with ONNX Runtime on the CPU. What kernels a GPU would choose, how fast they are and how they round
cannot be learnt here.
"""

from __future__ import annotations

import ctypes
import enum
import json
import threading
import types
from typing import Any

import numpy as np
import onnx
import onnxruntime

from facecap_batch.engines.backends import cuda

INVALID_VALUE, OUT_OF_MEMORY, INVALID_CONTEXT = 1, 2, 201
_NAMES = {INVALID_VALUE: b"CUDA_ERROR_INVALID_VALUE", OUT_OF_MEMORY: b"CUDA_ERROR_OUT_OF_MEMORY"}


class HostCuda:
    """The driver's calls that `cuda` makes, on host memory."""

    def __init__(
        self, name: str = "Stand-in GPU", capability: tuple[int, int] = (8, 6), memory: int = 1 << 32
    ):
        self.name, self.capability, self.memory = name, capability, memory
        self.held: dict[int, Any] = {}  # address: its bytes
        self._threads: set[int] = set()  # those with a context
        self._text = [ctypes.c_char_p(text) for text in _NAMES.values()]

    def used(self) -> int:
        return sum(len(piece) for piece in self.held.values())

    def _inside(self, address: int, size: int) -> bool:
        return any(start <= address and address + size <= start + len(p) for start, p in self.held.items())

    def cuInit(self, flags: Any) -> int:
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = 12040
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = 1
        return 0

    def cuDeviceGet(self, handle: Any, ordinal: Any) -> int:
        handle._obj.value = ordinal.value
        return 0 if ordinal.value == 0 else INVALID_VALUE

    def cuDeviceGetName(self, text: Any, length: Any, handle: Any) -> int:
        text.value = self.name.encode()
        return 0

    def cuDeviceTotalMem_v2(self, total: Any, handle: Any) -> int:
        total._obj.value = self.memory
        return 0

    def cuDeviceGetAttribute(self, value: Any, code: Any, handle: Any) -> int:
        value._obj.value = {75: self.capability[0], 76: self.capability[1]}[code.value]
        return 0

    def cuDevicePrimaryCtxRetain(self, context: Any, handle: Any) -> int:
        context._obj.value = 1
        return 0

    def cuCtxSetCurrent(self, context: Any) -> int:
        self._threads.add(threading.get_ident())
        return 0

    def cuMemGetInfo_v2(self, free: Any, total: Any) -> int:
        free._obj.value, total._obj.value = self.memory - self.used(), self.memory
        return 0

    def cuStreamCreate(self, handle: Any, flags: Any) -> int:
        handle._obj.value = 2
        return 0

    def cuStreamSynchronize(self, stream: Any) -> int:
        return 0 if threading.get_ident() in self._threads else INVALID_CONTEXT

    def cuMemAlloc_v2(self, place: Any, size: Any) -> int:
        if threading.get_ident() not in self._threads:
            return INVALID_CONTEXT
        if self.used() + size.value > self.memory:
            return OUT_OF_MEMORY
        piece = ctypes.create_string_buffer(size.value)
        place._obj.value = ctypes.addressof(piece)
        self.held[ctypes.addressof(piece)] = piece
        return 0

    def cuMemFree_v2(self, place: Any) -> int:
        return 0 if self.held.pop(place.value, None) else INVALID_VALUE

    def cuMemcpyHtoDAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> int:
        return self._copy(target, source, size, target)

    def cuMemcpyDtoHAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> int:
        return self._copy(target, source, size, source)

    def _copy(self, target: Any, source: Any, size: Any, ours: Any) -> int:
        if threading.get_ident() not in self._threads:
            return INVALID_CONTEXT
        if not self._inside(ours.value, size.value):
            return INVALID_VALUE
        ctypes.memmove(target.value, source.value, size.value)
        return 0

    def cuGetErrorName(self, status: Any, text: Any) -> int:
        text._obj.value = _NAMES.get(status.value)
        return 0

    def cuGetErrorString(self, status: Any, text: Any) -> int:
        return INVALID_VALUE


class _Severity(enum.Enum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class _Logger:
    Severity = _Severity

    def log(self, severity: _Severity, message: str) -> None:
        raise NotImplementedError


def make_tensorrt(version: str, host: HostCuda) -> types.ModuleType:
    """A `tensorrt` module of that version on that GPU; `builds` on it counts plans built."""
    major = int(version.split(".")[0])
    trt: Any = types.ModuleType("tensorrt")
    trt.__version__, trt.builds, trt.host = version, 0, host
    flags = ["TF32", *(["FP16", "INT8"] if major < 11 else [])]
    trt.BuilderFlag = enum.Enum("BuilderFlag", flags)
    kinds = {8: {"EXPLICIT_BATCH": 0}, 10: {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}}
    # The real one's value changed from 1 to 0 when the other flag went.
    trt.NetworkDefinitionCreationFlag = enum.IntEnum("Kinds", kinds.get(major, {"STRONGLY_TYPED": 0}))
    trt.MemoryPoolType = enum.Enum("MemoryPoolType", ["WORKSPACE"])
    trt.TensorIOMode = enum.Enum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"])
    trt.nptype = lambda kind: kind
    trt.ILogger = _Logger
    trt.Builder = lambda logger: _Builder(trt, major, logger)
    trt.OnnxParser = lambda network, logger: _Parser(network, major)
    trt.Runtime = lambda logger: _Runtime(trt, major)
    return trt


def install(monkeypatch: Any, version: str = "10.3.0", **gpu: Any) -> Any:
    """Put both stand-ins in place; returns the `tensorrt` module."""
    host = HostCuda(**gpu)
    driver = cuda.Driver(host)
    monkeypatch.setattr(cuda, "driver", lambda: driver)
    trt = make_tensorrt(version, host)
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", trt)
    return trt


class _Network:
    def __init__(self, flags: int):
        self.flags = flags
        self.model = b""


class _Parser:
    def __init__(self, network: _Network, major: int):
        self._network, self._major, self._errors = network, major, []

    num_errors = property(lambda self: len(self._errors))

    def get_error(self, number: int) -> str:
        return self._errors[number]

    def parse(self, data: bytes) -> bool:
        graph = onnx.load_from_string(data).graph
        fed = {
            entry.name for entry in graph.input if entry.type.tensor_type.elem_type == onnx.TensorProto.UINT8
        }
        for node in graph.node:
            if fed.intersection(node.input) and node.op_type != "Cast":
                self._errors.append(f"{node.op_type}: UINT8 is not supported")
            if node.op_type in ("ReduceMean", "ReduceL2") and len(node.input) > 1 and self._major < 10:
                self._errors.append(f"{node.op_type}: axes input is not supported")
        self._network.model = data
        return not self._errors


class _Profile:
    def set_shape(self, name: str, least: tuple, usual: tuple, largest: tuple) -> None:
        assert all(low <= mid <= high for low, mid, high in zip(least, usual, largest, strict=True))
        self.shapes = [name, list(least), list(largest)]


class _Timing:
    def __init__(self, data: bytes):
        self.data = data

    def serialize(self) -> bytes:
        return self.data + b"t"


class _Config:
    def __init__(self) -> None:
        self.flags = {"TF32"}  # on by default in the real one, too
        self.profiles: list[list] = []

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag.name)

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag.name)

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self.workspace = size

    def add_optimization_profile(self, profile: _Profile) -> int:
        self.profiles.append(profile.shapes)
        return len(self.profiles) - 1

    def create_timing_cache(self, data: bytes) -> _Timing | None:
        return _Timing(data) if set(data) <= set(b"t") else None

    def set_timing_cache(self, cache: _Timing, ignore_mismatch: bool) -> bool:
        return not ignore_mismatch


class _Builder:
    def __init__(self, trt: Any, major: int, logger: Any):
        self._trt, self._major, self._logger = trt, major, logger

    def create_network(self, flags: int = 0) -> _Network:
        assert self._major >= 10 or flags & 1, "8.6 reads ONNX in explicit batch mode only"
        return _Network(flags)

    def create_builder_config(self) -> _Config:
        return _Config()

    def create_optimization_profile(self) -> _Profile:
        return _Profile()

    def build_serialized_network(self, network: _Network, config: _Config) -> bytes | None:
        self._trt.builds += 1
        if not config.profiles:
            self._logger.log(_Severity.ERROR, "Network has dynamic inputs, but no optimization profile")
            return None
        about = {
            "of": [self._trt.__version__, self._trt.host.name],
            "network_flags": network.flags,
            "flags": sorted(config.flags),
            "profiles": config.profiles,
            "workspace": config.workspace,
        }
        return b"PLAN" + json.dumps(about).encode() + b"\n" + network.model


class _Runtime:
    def __init__(self, trt: Any, major: int):
        self._trt, self._major = trt, major

    def deserialize_cuda_engine(self, plan: bytes) -> _CudaEngine | None:
        about, _, model = bytes(plan).partition(b"\n")
        if not about.startswith(b"PLAN"):
            return None
        said = json.loads(about.removeprefix(b"PLAN"))
        if said["of"] != [self._trt.__version__, self._trt.host.name]:
            return None
        return _CudaEngine(self._trt, self._major, said, model)


class _CudaEngine:
    def __init__(self, trt: Any, major: int, about: dict, model: bytes):
        self._trt, self.about = trt, about
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self._inputs = {entry.name: entry.type for entry in self.session.get_inputs()}
        self.outputs = [entry.name for entry in self.session.get_outputs()]
        self.num_io_tensors = len(self._inputs) + len(self.outputs)
        setattr(self, "device_memory_size" if major < 10 else "device_memory_size_v2", 1 << 20)

    def get_tensor_name(self, number: int) -> str:
        return [*self._inputs, *self.outputs][number]

    def get_tensor_mode(self, name: str) -> Any:
        return self._trt.TensorIOMode.INPUT if name in self._inputs else self._trt.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> type:
        return np.uint8 if self._inputs.get(name) == "tensor(uint8)" else np.float32

    def create_execution_context(self) -> _Context:
        return _Context(self, self._trt.host)


class _Context:
    def __init__(self, engine: _CudaEngine, host: HostCuda):
        self._engine, self._host, self._profile = engine, host, 0
        self._shape: tuple[int, ...] = ()
        self._addresses: dict[str, int] = {}
        self._results: list[np.ndarray] = []

    def set_optimization_profile_async(self, number: int, stream: int) -> bool:
        self._profile = number
        return number < len(self._engine.about["profiles"])

    def set_input_shape(self, name: str, shape: tuple) -> bool:
        wanted, least, largest = self._engine.about["profiles"][self._profile]
        fits = zip(least, shape, largest, strict=True)
        if name != wanted or not all(low <= given <= high for low, given, high in fits):
            return False
        self._shape = tuple(shape)
        kind = self._engine.get_tensor_dtype(name)
        self._results = self._engine.session.run(None, {name: np.zeros(shape, kind)})
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._results[self._engine.outputs.index(name)].shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        name = self._engine.get_tensor_name(0)
        fed = np.zeros(self._shape, self._engine.get_tensor_dtype(name))
        if not self._host._inside(self._addresses[name], fed.nbytes):
            return False
        ctypes.memmove(fed.ctypes.data, self._addresses[name], fed.nbytes)
        for output, result in zip(
            self._engine.outputs, self._engine.session.run(None, {name: fed}), strict=True
        ):
            if not self._host._inside(self._addresses[output], result.nbytes):
                return False
            whole = np.ascontiguousarray(result)
            ctypes.memmove(self._addresses[output], whole.ctypes.data, whole.nbytes)
        return True
