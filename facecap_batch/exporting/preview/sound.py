"""The sound of a clip in its preview, at the time of its picture.

In: the source, the times of the clip in it, the preview's container. Out: packets in that container. They are
those of the source where the container can hold them, else AAC. Times are those of the source's packets less
the time of the clip's first frame, so sound that begins late, early, or in the middle of a range stays where
it was. A source without sound gives none; sound that does not decode ends there.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from facecap_batch.video.container import (
    as_fraction,
    close_container,
    demuxed,
    jumps_in_time,
    open_container,
    seek,
)
from facecap_batch.video.formats.limits import Limits

# What each container holds and players play. AAC needs its header apart from the packets, which those of
# MPEG-TS have inside.
COPIED = {
    ".mp4": ("aac", "mp3", "ac3", "eac3", "alac", "opus"),
    ".mov": ("aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le"),
    ".mkv": ("aac", "mp3", "ac3", "eac3", "alac", "opus", "vorbis", "flac", "pcm_s16le"),
}
COPIED_RATES = range(16000, 48001)  # samples per second; MP3 below is refused in mp4
AAC_RATES = (16000, 22050, 24000, 32000, 44100, 48000)  # samples per second that AAC is written at
AAC_BITS = 160_000  # per second
SEEK_BEFORE_S = Fraction(2)  # a late range is entered so much before it: sound lies beside the picture
MAX_JUMP_S = Fraction(1)  # a clock that goes back by more has begun anew


@dataclasses.dataclass(frozen=True)
class Span:
    """What of a source a preview shows, seconds on the container's time line."""

    start: Fraction  # of the first frame
    end: Fraction  # of the last one


class Sound:
    """The sound of one clip, written beside its picture; a context manager that closes the source."""

    def __init__(
        self, video_path: str | Path, span: Span, target: Any, suffix: str, limits: Limits | None = None
    ) -> None:
        """Find the sound and give `target` a stream for it.

        Args:
            video_path: A path or a URI.
            span: What of it is shown.
            target: The preview's open PyAV container; nothing was written to it.
            suffix: Of the preview's file, a key of COPIED.
            limits: What the source may have.
        """
        self._span, self._target = span, target
        self._container = open_container(str(video_path), limits=limits or Limits())
        self._times: Iterator[tuple[Fraction, list[Any]]] = iter(())
        self._waiting: tuple[Fraction, list[Any]] | None = None
        stream = _audio_stream(self._container)
        if stream is not None:
            coded = self._packets(stream)
            copied = _can_copy(stream, suffix)
            self._times = self._copied(stream, coded) if copied else self._encoded(stream, coded)
            self._waiting = next(self._times, None)

    def __enter__(self) -> Sound:
        return self

    def __exit__(self, *_: object) -> None:
        close_container(self._container)

    def write_until(self, time: Fraction | None) -> None:
        """Write what begins before `time`, seconds of the preview; None: all that is left."""
        while self._waiting is not None and (time is None or self._waiting[0] < time):
            self._target.mux(self._waiting[1])
            self._waiting = next(self._times, None)

    def _packets(self, stream: Any) -> Iterator[Any]:
        """The source's packets from a little before the span to its end, whose times rise."""
        base = as_fraction(stream.time_base) or Fraction(1, 1000)
        early = self._span.start - SEEK_BEFORE_S
        if early > 0 and not jumps_in_time(self._container):
            seek(self._container, stream, int(early / base))
        last = None
        # Damaged sound is heard as far as it can be read.
        with contextlib.suppress(av.error.FFmpegError, OSError):
            for packet in demuxed(self._container, stream):
                if packet.pts is None:
                    continue
                time = packet.pts * base
                if time >= self._span.end or (last is not None and time < last - MAX_JUMP_S):
                    return
                if last is None or time > last:
                    yield packet
                    last = time

    def _copied(self, stream: Any, packets: Iterator[Any]) -> Iterator[tuple[Fraction, list[Any]]]:
        base = as_fraction(stream.time_base) or Fraction(1, 1000)
        shift = round(self._span.start / base)
        made = None
        for packet in packets:
            if packet.pts < shift:
                continue
            if made is None:  # a stream without packets would be one that is silent
                made = self._target.add_stream_from_template(stream)
            packet.pts -= shift
            packet.dts = packet.pts  # sound is not reordered
            packet.stream = made
            yield packet.pts * base, [packet]

    def _encoded(self, stream: Any, packets: Iterator[Any]) -> Iterator[tuple[Fraction, list[Any]]]:
        source = stream.codec_context
        rate = source.sample_rate if source.sample_rate in AAC_RATES else AAC_RATES[-1]
        layout = "mono" if source.layout.nb_channels == 1 else "stereo"
        made, time = None, Fraction(0)
        for frame in _resampled(self._decoded(stream, packets), rate, layout):
            if made is None:
                made = self._target.add_stream("aac", rate=rate, layout=layout)
                made.bit_rate = AAC_BITS
            time = frame.pts * Fraction(1, rate)
            yield time, made.encode(frame)
        if made is not None:
            yield time, made.encode(None)

    def _decoded(self, stream: Any, packets: Iterator[Any]) -> Iterator[Any]:
        """Frames with times of the preview, from its beginning to its end."""
        base = as_fraction(stream.time_base) or Fraction(1, 1000)
        with contextlib.suppress(av.error.FFmpegError, OSError):
            for packet in packets:
                for frame in packet.decode():
                    rate = frame.sample_rate
                    time = frame.pts * base - self._span.start if frame.pts is not None else None
                    if time is None or time + Fraction(frame.samples, rate) <= 0:
                        continue
                    frame.pts, frame.time_base = round(time * rate), Fraction(1, rate)
                    yield frame


def _audio_stream(container: Any) -> Any:
    """The stream to be heard; None where there is none, or nothing here decodes it."""
    if not getattr(container.streams, "audio", ()):
        return None
    stream = container.streams.best("audio") or container.streams.audio[0]
    return stream if stream.codec_context is not None and stream.codec_context.sample_rate else None


def _can_copy(stream: Any, suffix: str) -> bool:
    codec = stream.codec_context
    name = codec.codec.canonical_name
    whole = name != "aac" or bool(codec.extradata)
    return name in COPIED[suffix] and whole and codec.sample_rate in COPIED_RATES


def _resampled(frames: Iterator[Any], rate: int, layout: str) -> Iterator[Any]:
    """Frames at one rate from time 0 on, silent where the source has none; pts count samples."""
    first = next(frames, None)
    if first is None:
        return
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=first.sample_rate,
        format=first.format.name,
        layout=first.layout.name,
        time_base=first.time_base,
    )
    even = graph.add("aresample", f"{rate}:async=1:first_pts=0:out_sample_fmt=fltp:out_chlayout={layout}")
    sink = graph.add("abuffersink")
    source.link_to(even)
    even.link_to(sink)
    graph.configure()
    frame = first
    while frame is not None:
        source.push(frame)
        yield from _pulled(sink)
        frame = next(frames, None)
    source.push(None)
    yield from _pulled(sink)


def _pulled(sink: Any) -> Iterator[Any]:
    while True:
        try:
            frame = sink.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield frame
