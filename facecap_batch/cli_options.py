"""Options that several commands share and that say where the work is done: workers, backend, CPUs, GPUs."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer


class Hwaccel(str, Enum):
    """Whether the GPU decodes; see `nvdec.HardwareDecoding`."""

    none = "none"
    auto = "auto"
    cuda = "cuda"


Workers = Annotated[
    int | None, typer.Option(min=1, help="Workers; default: one per CPU.", show_default=False)
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Ray cluster to use: host:6379, auto, ray://…; default: a local one.", show_default=False
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        help="auto, tensorrt, tensorrt-fp16, tensorrt-int8, onnxruntime-cuda, onnxruntime-cpu, torch-cuda, "
        "torch. auto takes the fastest of full precision that works, and says so."
    ),
]
Cpus = Annotated[
    float | None,
    typer.Option(
        min=0.0, help="CPUs that a worker takes; default: 1, on a GPU its decode threads.", show_default=False
    ),
]
Gpus = Annotated[float, typer.Option(min=0.0, help="GPU share that a worker takes, for example 0.25.")]
DecodeThreads = Annotated[
    int | None,
    typer.Option(
        min=1, max=16, help="Frames a worker decodes at once; default: 1, on a GPU 4.", show_default=False
    ),
]
Decoding = Annotated[
    Hwaccel,
    typer.Option(
        help="Decode on the GPU: cuda, or auto where there is one. Pixels may differ in a last bit."
    ),
]
