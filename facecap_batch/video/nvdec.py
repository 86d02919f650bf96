"""Decoding on the GPU: opening NVDEC through PyAV, and its frames in the layout of the CPU's decoders.

In: nothing, or a decoded frame. Out: what `av.open` takes as ``hwaccel``, or the frame with its planes
apart. Frames are copied back to the CPU's memory, where crops are cut from them.
"""

from __future__ import annotations

from typing import Any

import av
from av.codec.hwaccel import HWAccel, hwdevices_available

from facecap_batch.errors import DecoderUnavailable
from facecap_batch.video.scaling import Scaler

# What NVDEC delivers, with both chroma channels in one plane: what the CPU's decoders make of the same.
_PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le", "nv16": "yuv422p", "p210le": "yuv422p10le"}


def accelerator() -> Any:
    """PyAV's description of NVDEC; devices are not looked for.

    Raises:
        OSError: This PyAV cannot decode on a GPU.
    """
    if "cuda" not in hwdevices_available():
        raise OSError(f"the FFmpeg of PyAV {av.__version__} was built without CUDA")
    return HWAccel("cuda", allow_software_fallback=True)


def decodes_on_gpu() -> str:
    """A line that says that NVDEC opens here.

    Raises:
        DecoderUnavailable: It does not.
    """
    try:
        accelerator().create(av.Codec("h264", "r"))
    except (av.error.FFmpegError, OSError, NotImplementedError) as error:
        why = getattr(error, "strerror", None) or error
        raise DecoderUnavailable(f"NVDEC does not open: {why}") from error
    return "NVDEC opens (--hwaccel cuda)"


def in_use(context: Any) -> bool:
    """Whether the GPU decodes for this codec context of PyAV."""
    return bool(getattr(context, "is_hwaccel", False))  # since 14.1


class PlaneSeparator:
    """Separates the chroma channels of NVDEC's frames into planes; the samples stay as they are.

    swscale spreads the chroma of the two layouts in different ways (up to 28 of 255 at hard edges of colour),
    so without this a coefficient would depend on who decoded.
    """

    def __init__(self) -> None:
        self._scaler = Scaler()

    def separated(self, frame: av.VideoFrame) -> av.VideoFrame:
        """`frame` in its planar layout; itself where it has one already."""
        layout = _PLANAR.get(frame.format.name)
        if layout is None:
            return frame
        planar = self._scaler.reformat(frame, pixel_format=layout)
        planar.colorspace, planar.color_range = frame.colorspace, frame.color_range
        return planar
