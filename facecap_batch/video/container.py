"""The container of a video: opening it, choosing its stream, and what it declares.

In: a path or URI. Out: an open PyAV container and its video stream, or `BadVideo` with the reason; the rate,
the number of frames and the end that the container declares, where its format can be trusted on that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.logging

from facecap_batch.errors import BadVideo, DecoderUnavailable, NoVideoStream
from facecap_batch.numerals import shown
from facecap_batch.storage.image_sequence import sequence_of
from facecap_batch.storage.remote import is_uri
from facecap_batch.storage.remote_video import open_remote
from facecap_batch.timecode import parse_time
from facecap_batch.video import nvdec
from facecap_batch.video.formats.allowed import allowance_of
from facecap_batch.video.formats.limits import LIMITS, Limits, raise_if_out_of_memory
from facecap_batch.video.formats.opening import open_limited
from facecap_batch.video.formats.recognition import TEXT, explanation
from facecap_batch.video.image_sequence import ImageContainer
from facecap_batch.video.options import HardwareDecoding

DEFAULT_RATE = Fraction(25)  # frames per second, of a container that declares none (a still image)
# The clocks of these start anywhere (hours, in a recording of a broadcast).
_ARBITRARY_ORIGIN = {"mpegts", "mpeg"}
MAX_PTS = 2**62  # FFmpeg computes with 64 bits, and adds margins
_TS_DISCONT = 0x0200  # AVFMT_TS_DISCONT
_NO_TIMESTAMPS = 0x0080  # AVFMT_NOTIMESTAMPS: raw streams, of which FFmpeg says 25 frames a second
_ATTACHED_PICTURE = 1024  # AV_DISPOSITION_ATTACHED_PIC: the cover of an audio file is no video

av.logging.set_level(None)  # FFmpeg's own lines add nothing to our errors and would break progress displays


def open_container(source: str, hwaccel: HardwareDecoding = "none", limits: Limits = LIMITS) -> Any:
    """Open `source` for reading; the caller gives it to `close_container`.

    Args:
        source: A local path, a URI or an image sequence.
        hwaccel: Whether the GPU decodes; a codec that NVDEC does not know is always decoded by the CPU.
        limits: What its pictures may have.

    Raises:
        TooLarge: Its pictures are larger, or its index claims what the file cannot hold.
        BadVideo: It cannot be opened as a video.
        DecoderUnavailable: The GPU was asked for by name and cannot decode.
        InputNotReadable: The storage of a URI refuses or does not answer.
        StorageUnavailable: The library for a URI is missing.
    """
    try:
        sequence = sequence_of(source)
    except ValueError as error:
        raise BadVideo(f"{source}: {error}; write the images per second behind the @") from error
    if sequence is not None:
        return ImageContainer(sequence, limits)
    gpu_error: BaseException | None = None
    if hwaccel != "none":
        try:
            return _open(source, limits, {"hwaccel": nvdec.accelerator()})
        except OSError as error:
            gpu_error = error
        except BadVideo as error:  # of the GPU, or of the file: opening it without the GPU decides
            gpu_error = error.__cause__ or error
    container = _open(source, limits, {})
    if hwaccel == "cuda" and gpu_error is not None:
        close_container(container)
        raise DecoderUnavailable(
            f"{source}: the GPU cannot decode it: {reason(gpu_error)}; see that nvidia-smi works, or take "
            "--hwaccel auto, or none"
        ) from gpu_error
    return container


def _open(source: str, limits: Limits, accelerator: dict[str, Any]) -> Any:
    address = _address(source)
    try:
        return open_limited(source, address, allowance_of(address), limits, accelerator=accelerator)
    except BaseException as error:
        if not isinstance(address, str):
            address.close()
        raise_if_out_of_memory(error)
        why = explanation(source) if isinstance(error, (av.error.FFmpegError, OSError, ValueError)) else None
        # The first is also what FFmpeg says of a format that is not allowed.
        if isinstance(error, av.error.ArgumentError) or why == TEXT:
            why = why or "it is damaged at its beginning, or of a format that footage has not"
            raise NoVideoStream(f"{source}: holds no video stream: {why}; give a video of a face") from error
        if isinstance(error, (av.error.FFmpegError, OSError, ValueError)):
            why = why or f"{reason(error)}; play it, or copy or export it again"
            raise BadVideo(f"{source}: cannot be opened as a video: {why}") from error
        raise


def close_container(container: Any) -> None:
    """Close it, and the file object that it reads from, which FFmpeg leaves open."""
    container.close()
    if container.file is not None:
        container.file.file.close()


@contextlib.contextmanager
def opened(source: str, limits: Limits = LIMITS) -> Iterator[Any]:
    """`open_container`, closed on every way out."""
    container = open_container(source, limits=limits)
    try:
        yield container
    finally:
        close_container(container)


def seek(container: Any, stream: Any, pts: int) -> bool:
    """Go to the keyframe at or before `pts`, units of the time base; False where that cannot be done.

    Raises nothing for any number: a range may begin where no clock of a container reaches.
    """
    if abs(pts) > MAX_PTS:
        return False
    try:
        container.seek(pts, stream=stream, backward=True, any_frame=False)
    except (av.error.FFmpegError, OSError):
        return False
    return True


def demuxed(container: Any, stream: Any) -> Iterator[Any]:
    """The packets of `stream` from where `container` stands, then the one without data that empties its
    decoder.

    Where a stream began while others were read (the sound of an FLV file, say), PyAV ends with an IndexError:
    it looks for that one among those that were known at first.

    Raises:
        av.error.FFmpegError, OSError: The container cannot be read.
    """
    with contextlib.suppress(IndexError):
        yield from container.demux(stream)


def video_stream(container: Any, source: str) -> Any:
    """The stream to decode.

    Raises:
        NoVideoStream: There is none.
        BadVideo: Nothing here decodes its codec.
    """
    streams = [
        stream
        for stream in container.streams.video
        if not int(getattr(stream.disposition, "value", stream.disposition)) & _ATTACHED_PICTURE
    ]
    if not streams:
        others = {stream.type for stream in container.streams if stream.type != "video"}
        covers = {"a cover picture"} if container.streams.video else set()
        held = ", ".join([*sorted(others), *covers]) or "an empty container"
        why = explanation(source)
        raise NoVideoStream(
            f"{source}: holds no video stream, only {held}{f': {why}' if why else ''}; give a video of a face"
        )
    best = container.streams.best("video")
    stream = next((s for s in streams if best is not None and s.index == best.index), streams[0])
    if stream.codec_context is None:
        why = explanation(source) or "re-encode it, for example to H.264"
        raise BadVideo(f"{source}: no decoder for its video codec; {why}")
    return stream


def frame_rate(stream: Any) -> Fraction:
    """Frames per second, the container's average; of a raw stream what the codec says of itself."""
    average, guessed = as_fraction(stream.average_rate), as_fraction(getattr(stream, "guessed_rate", None))
    container = getattr(stream, "container", None)
    raw = container is not None and int(container.format.flags) & _NO_TIMESTAMPS
    rate = guessed or average if raw else average or guessed
    return rate if rate and rate > 0 else DEFAULT_RATE


def pixel_aspect(stream: Any) -> Fraction:
    """Width of a pixel over its height, as the container declares it, else the codec, else 1."""
    declared = as_fraction(stream.sample_aspect_ratio) or as_fraction(
        stream.codec_context.sample_aspect_ratio
    )
    return declared if declared and declared > 0 else Fraction(1)


def time_origin(container: Any, stream: Any) -> Fraction:
    """The container time, seconds, that ranges count from: 0 but for clocks that start anywhere."""
    if formats(container) & _ARBITRARY_ORIGIN and stream.start_time is not None:
        return int(stream.start_time) * (as_fraction(stream.time_base) or Fraction(0))
    return Fraction(0)


def declared_frames(container: Any, stream: Any) -> int | None:
    """Frames that the container declares; None where it declares none.

    In mp4 and mov these are what the edit list leaves, with those that are decoded only to be discarded.
    """
    if "mov" in formats(container):
        return len(getattr(stream, "index_entries", ())) or stream.frames or None
    return stream.frames or None


def declared_end(container: Any, stream: Any) -> Fraction | None:
    """Seconds at which the container declares that its video ends, where that can be trusted; else None."""
    names = formats(container)
    time_base = as_fraction(stream.time_base) or Fraction(0)
    if "mov" in names:
        entries = getattr(stream, "index_entries", ())
        # Times in the index are decode times: the last one is never past the last pts.
        return int(entries[len(entries) - 1].timestamp) * time_base if len(entries) else None
    if "avi" in names and stream.frames:
        return int(stream.start_time or 0) * time_base + int(stream.frames) / frame_rate(stream)
    if "matroska" in names:
        text = stream.metadata.get("DURATION", "")
        if text and not odd_duration(stream):
            return parse_time(text)
        # The duration of the file is that of its longest stream.
        alone = len(container.streams) == 1
        return Fraction(container.duration, 1_000_000) if alone and container.duration else None
    return None


def odd_duration(stream: Any) -> str:
    """The text of the stream's tag DURATION, in quotes, where it is no time; else empty."""
    text = stream.metadata.get("DURATION", "")
    try:
        parse_time(text or "0")
    except ValueError:
        return shown(text)
    return ""


def as_fraction(value: Any) -> Fraction | None:
    """A rational of PyAV, None where it is unset."""
    return Fraction(value.numerator, value.denominator) if value else None


def reason(error: BaseException) -> str:
    """The text of an error, without its number."""
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def seconds(value: Fraction | None) -> str:
    """A time for a message."""
    return "an unknown time" if value is None else f"{float(value):.3f} s"


def formats(container: Any) -> set[str]:
    """FFmpeg's names of the format: ``mov,mp4,m4a,3gp,3g2,mj2`` is one."""
    return set(container.format.name.split(","))


def jumps_in_time(container: Any) -> bool:
    """True for formats whose clock may begin anew inside a file: transport streams and their like."""
    return bool(int(container.format.flags) & _TS_DISCONT)


def _address(source: str) -> Any:
    """What FFmpeg is given to open: a local path, marked as one whatever characters it holds; a file object
    for a URI whose scheme it does not know. Raises BadVideo."""
    if is_uri(source):
        return open_remote(source) or source
    path = Path(source)
    if path.is_dir():
        raise BadVideo(f"{source}: is a folder, not a video; list its files in the manifest, one a row")
    try:
        if not path.exists():
            raise BadVideo(f"{source}: there is no such file; check the path in the manifest")
        if not path.is_file():
            raise BadVideo(
                f"{source}: is a pipe or a device, not a file: it cannot be read twice; facecap-batch record "
                "takes live sources"
            )
        if path.stat().st_size == 0:
            raise BadVideo(f"{source}: the file is empty; copy it again")
    except (OSError, ValueError) as error:
        raise BadVideo(f"{source}: cannot be read: {error}") from error
    return f"file:{source}"
