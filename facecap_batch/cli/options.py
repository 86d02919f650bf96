"""Options that several commands share: which folder, where the work is done, what is told."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Hwaccel(str, Enum):
    """Whether the GPU decodes; see `nvdec.HardwareDecoding`."""

    none = "none"
    auto = "auto"
    cuda = "cuda"


# Folders and manifests are paths or URIs: `storage.place` tells them apart.
Output = Annotated[str, typer.Argument(metavar="OUT", help="Output folder of a run, or its URI.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Tell failures and the result only.")]
LogJson = Annotated[
    Path | None,
    typer.Option(help="Append what happens to this file, one JSON object a line.", show_default=False),
]
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
