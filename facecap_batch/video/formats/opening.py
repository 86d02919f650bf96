"""The one call that opens a file or an address with FFmpeg: held to what is allowed, and to limits.

In: what FFmpeg is given, its `Allowance`, `Limits`. Out: an open PyAV container, none of whose pictures was
decoded beyond the limits, or `TooLarge`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import av.logging

from facecap_batch.errors import TooLarge
from facecap_batch.video.formats.allowed import Allowance
from facecap_batch.video.formats.claims import false_claim
from facecap_batch.video.formats.limits import MAX_SAMPLES, Limits

OPEN_TIMEOUT_S = 60.0  # to open a URI; local files answer at once
READ_TIMEOUT_S = 120.0  # between two packets of a URI
BUFFER_BYTES = 2**17  # of a file object: each read calls into Python
REMOTE_FRAGMENTS = 1  # of a fragmented MP4 that are looked at behind a URI: each costs a request
_MAJOR = int(av.__version__.split(".")[0])
# A title that is no UTF-8 must not keep a video from being opened. PyAV 19 lost the option: it never raises.
_METADATA_OPTIONS: dict[str, Any] = {"metadata_errors": "replace"} if _MAJOR < 19 else {}
# FFmpeg decodes a first image to look into it. PyAV below 18 crashes where decoders are given options for
# that, with formats that find their streams late; there a first image is limited after it was decoded once.
_LIMITS_PROBING = _MAJOR >= 18
_REFUSED_SIZE = re.compile(r"Picture size (\d+)x(\d+)")  # in FFmpeg's log


def open_limited(
    source: str,
    address: Any,
    allowance: Allowance,
    limits: Limits,
    accelerator: Mapping[str, Any] | None = None,
) -> Any:
    """Open `address` for reading.

    Args:
        source: Its name in messages.
        address: What FFmpeg is given: ``file:PATH``, ``SCHEME://…`` or a file object (the caller's to close).
        allowance: The formats and protocols that may be used.
        limits: What its pictures may have; its decoders keep to them.
        accelerator: What PyAV takes for decoding on a GPU.

    Raises:
        TooLarge: Its pictures are larger, or its index claims what the file cannot hold.
        MemoryError: There is not enough for it.
        av.error.FFmpegError, OSError, ValueError: It cannot be opened.
    """
    _check_claims(source, address)
    container = _open(address, allowance, limits, accelerator)
    try:
        for stream in container.streams.video:
            if stream.codec_context is None:
                continue
            width, height = stream.codec_context.width, stream.codec_context.height
            if not width and isinstance(address, str):  # perhaps because its decoder has refused it
                width, height = _refused_size(address, allowance, limits)
            limits.check_size(source, width, height)
            stream.codec_context.options = limits.codec_options()
    except BaseException:
        container.close()
        raise
    return container


def _open(
    address: Any,
    allowance: Allowance,
    limits: Limits,
    accelerator: Mapping[str, Any] | None = None,
) -> Any:
    return av.open(
        address,
        **_METADATA_OPTIONS,
        timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S),
        buffer_size=BUFFER_BYTES,
        options=limits.codec_options() if _LIMITS_PROBING else {},
        container_options=allowance.options(),
        **(accelerator or {}),
    )


def _refused_size(address: str, allowance: Allowance, limits: Limits) -> tuple[int, int]:
    """Width and height of pictures that a decoder refuses, which only FFmpeg's log tells; 0, 0: of none."""
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as lines:
            _open(address, allowance, limits).close()
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)
    sizes = [match for _, _, text in lines if (match := _REFUSED_SIZE.search(text))]
    return (int(sizes[-1][1]), int(sizes[-1][2])) if sizes else (0, 0)


def _check_claims(source: str, address: Any) -> None:
    """Raises TooLarge where the index of a file claims more than the file holds. Streams have no index."""
    if isinstance(address, str):
        scheme, _, path = address.partition(":")
        if scheme != "file":
            return
        with Path(path).open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            claim = false_claim(file, size)
    else:
        size = address.seek(0, io.SEEK_END)
        claim = false_claim(address, size, REMOTE_FRAGMENTS)
        address.seek(0)
    if claim is not None:
        raise TooLarge(
            f"{source}: its index claims {claim} samples or more: a file of {size} bytes does not hold them, "
            f"or they are above the limit of {MAX_SAMPLES}; copy or export it again, a longer one in pieces"
        )
