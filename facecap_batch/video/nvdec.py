"""Decoding on the GPU: opening NVDEC through PyAV, and its pictures in the layout of the CPU's decoders.

In: nothing, or a decoded picture. Out: what `av.open` takes as ``hwaccel``, or the picture with its planes
apart. Pictures are copied back to the CPU's memory, where crops are cut from them.
"""

from __future__ import annotations

from typing import Any, Literal

import av
from av.video.reformatter import VideoReformatter

from facecap_batch.errors import DecoderUnavailable

# "cuda": NVDEC, for the codecs it knows; "auto": the same where there is a GPU.
HardwareDecoding = Literal["none", "auto", "cuda"]
# What NVDEC delivers, with both chroma channels in one plane: what the CPU's decoders make of the same.
_PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le", "nv16": "yuv422p", "p210le": "yuv422p10le"}


def accelerator() -> Any:
    """PyAV's description of NVDEC. Raises OSError where this PyAV has none; devices are not looked for."""
    try:
        from av.codec.hwaccel import HWAccel, hwdevices_available
    except ImportError as error:
        raise OSError(f"PyAV {av.__version__} has no hardware decoding; 14.2 or newer has") from error
    if "cuda" not in hwdevices_available():
        raise OSError(f"the FFmpeg of PyAV {av.__version__} was built without CUDA")
    return HWAccel("cuda", allow_software_fallback=True)


def decodes_on_gpu() -> str:
    """Say that NVDEC can be opened here; raises DecoderUnavailable where it cannot."""
    try:
        accelerator().create(av.Codec("h264", "r"))
    except (av.error.FFmpegError, OSError, NotImplementedError) as error:
        why = getattr(error, "strerror", None) or error
        raise DecoderUnavailable(f"NVDEC does not open: {why}") from error
    return "NVDEC opens (--hwaccel cuda)"


def in_use(context: Any) -> bool:
    """Whether the GPU decodes for this codec context of PyAV."""
    return bool(getattr(context, "is_hwaccel", False))  # since 14.1


class Planes:
    """Takes the chroma channels of NVDEC's pictures apart; the samples stay as they are.

    swscale spreads the chroma of the two layouts in different ways (up to 28 of 255 at hard edges of colour),
    so without this a coefficient would depend on who decoded.
    """

    def __init__(self) -> None:
        self._scaler = VideoReformatter()
        # Since PyAV 17 swscale starts a thread per CPU unless told otherwise; workers own their cores.
        self._options: dict[str, Any] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}

    def apart(self, picture: av.VideoFrame) -> av.VideoFrame:
        """`picture` in its planar layout; itself where it has one already."""
        layout = _PLANAR.get(picture.format.name)
        if layout is None:
            return picture
        planar = self._scaler.reformat(picture, format=layout, **self._options)
        planar.colorspace, planar.color_range = picture.colorspace, picture.color_range
        return planar
