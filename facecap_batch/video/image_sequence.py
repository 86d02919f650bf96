"""A numbered image sequence as a container: its images are the packets of one video stream.

In: an `ImageSequence`. Out: an object with what the decoder asks of PyAV's containers, streams and packets,
so that images go the way of video frames: the same ranges, segments and pixels. The time base is one image,
pts count from the first image, and a number that is missing is a gap in time.

An image costs more to decode than a frame of a video, and most of FFmpeg's image decoders know no threads. So
the next few images are decoded by threads of our own while the networks look at the last ones.
"""

from __future__ import annotations

import bisect
import concurrent.futures
import errno
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av

from facecap_batch.errors import BadVideo
from facecap_batch.storage.image_sequence import NO_IMAGE, ImageFile, ImageSequence
from facecap_batch.video.formats.allowed import IMAGE_FILE
from facecap_batch.video.formats.limits import LIMITS, Limits
from facecap_batch.video.formats.opening import open_limited

MIN_DECODERS = 2  # threads, however few the decoder is to have: what else a worker does takes one core
# How far threads decode ahead. A capture takes frames in bursts, some 50 between two looks of the networks.
AHEAD_BYTES = 64 * 2**20
MAX_AHEAD = 64  # images


class ImagePacket:
    """One image, not read before it is decoded; without a file, the end of the sequence."""

    is_discard = is_corrupt = False
    is_keyframe = True
    duration = 1  # images

    def __init__(self, container: ImageContainer, position: int) -> None:
        """`position` of the image in the sequence; that of its end makes the packet which marks it."""
        self._container = container
        self._position = position
        self.pts = self.dts = container.pts_of(position)  # images since the first one
        self.size = container.size_of(position)  # bytes

    def has_sidedata(self, kind: str) -> bool:
        """False: an image file holds nothing beside its image."""
        return False

    def decode(self) -> list[av.VideoFrame]:
        """The image; nothing at the end.

        Raises:
            OSError: The image cannot be read or decoded; its message names it.
            BadVideo: It has another size than the first image.
        """
        return [self._container.image(self._position)] if self.size else []


class ImageContainer:
    """An open image sequence."""

    def __init__(self, sequence: ImageSequence, limits: Limits = LIMITS) -> None:
        """
        Args:
            sequence: What to open.
            limits: What its images may have.

        Raises:
            TooLarge: The first one is larger.
            BadVideo: There is no such image, or the first one is none.
        """
        self.source = str(sequence)
        self._files = self._listed(sequence)
        self._limits = limits
        first = self._files[0]
        self._pts = [file.number - first.number for file in self._files]
        self._position = 0  # of the next image, in `_files`
        self._image_size: tuple[int, int] | None = None  # pixels, of the first image decoded
        self._codec_name = self._codec(first)
        self._contexts = threading.local()
        self._threads: concurrent.futures.ThreadPoolExecutor | None = None
        self._ahead: dict[int, concurrent.futures.Future[av.VideoFrame]] = {}  # position -> image to come
        self._images_ahead = MIN_DECODERS
        length = self._pts[-1] + 1
        self.file = None  # nothing is left to close
        self.format = SimpleNamespace(name="image sequence", flags=0)
        self.duration = int(length / sequence.rate * 1_000_000)  # microseconds
        self.stream = SimpleNamespace(
            index=0,
            type="video",
            disposition=0,
            # The decoder sets the threads.
            codec_context=SimpleNamespace(
                name=self._codec_name,
                codec_tag="",
                has_b_frames=False,
                thread_count=1,
                thread_type="",
                sample_aspect_ratio=None,
            ),
            time_base=1 / sequence.rate,
            average_rate=sequence.rate,
            sample_aspect_ratio=None,
            start_time=0,
            duration=length,
            frames=len(self._files),
            metadata={},
        )
        self.streams = _Streams(self.stream)

    def close(self) -> None:
        """Let the threads go."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def seek(self, pts: int, **_: Any) -> None:
        """Go to the last image at or before `pts`, or to the first."""
        self._position = max(0, bisect.bisect_right(self._pts, pts) - 1)

    def demux(self, _: Any) -> Iterator[ImagePacket]:
        """The images from here on, then the packet that marks the end."""
        while self._position < len(self._files):
            self._position += 1
            yield ImagePacket(self, self._position - 1)
        yield ImagePacket(self, len(self._files))

    def pts_of(self, position: int) -> int | None:
        """Images from the first one to that at `position`; None at the end."""
        return self._pts[position] if position < len(self._pts) else None

    def size_of(self, position: int) -> int:
        """Bytes of the image at `position`; 0 at the end."""
        return self._files[position].size if position < len(self._files) else 0

    def image(self, position: int) -> av.VideoFrame:
        """The image at `position`, decoded; the ones after it are begun. See `ImagePacket.decode`."""
        if self._threads is None:
            count = max(MIN_DECODERS, self.stream.codec_context.thread_count)
            self._threads = concurrent.futures.ThreadPoolExecutor(count, "decode image")
        wanted = range(position, min(position + 1 + self._images_ahead, len(self._files)))
        for passed in [each for each in self._ahead if each not in wanted]:
            self._ahead.pop(passed).cancel()
        for each in wanted:
            if each not in self._ahead:
                self._ahead[each] = self._threads.submit(self._decode, self._files[each])
        frame = self._ahead.pop(position).result()
        frame.pts = self._pts[position]
        frame_bytes = sum(plane.buffer_size for plane in frame.planes)
        self._images_ahead = min(MAX_AHEAD, max(MIN_DECODERS, AHEAD_BYTES // max(1, frame_bytes)))
        self._check_size(frame, self._files[position])
        return frame

    def _decode(self, file: ImageFile) -> av.VideoFrame:
        """Called by threads, each of which has a decoder of its own."""
        if not hasattr(self._contexts, "own"):
            self._contexts.own = av.CodecContext.create(self._codec_name, "r")
            self._contexts.own.thread_count = 1
            self._contexts.own.options = self._limits.codec_options()
        try:
            packet = av.Packet(Path(file.path).read_bytes())
        except OSError as error:
            raise OSError(error.errno, f"{file.path} cannot be read: {error.strerror}") from error
        packet.is_keyframe = True  # else FFmpeg's PNG decoder lays it over the image before
        try:
            (frame,) = self._contexts.own.decode(packet)
        except (av.error.FFmpegError, ValueError) as error:
            del self._contexts.own
            raise OSError(errno.EINVAL, f"{Path(file.path).name} cannot be decoded") from error
        decoded: av.VideoFrame = frame
        return decoded

    def _listed(self, sequence: ImageSequence) -> list[ImageFile]:
        try:
            files = sequence.files()
        except OSError as error:
            raise BadVideo(f"{self.source}: {sequence.folder} cannot be listed: {error.strerror}") from error
        if not files:
            raise BadVideo(f"{self.source}: {NO_IMAGE}")
        empty = next((file for file in files if not file.size), None)
        if empty is not None:
            raise BadVideo(f"{self.source}: {Path(empty.path).name} is empty; copy it again, or remove it")
        return files

    def _codec(self, file: ImageFile) -> str:
        """What decodes the sequence: the codec of its first image, whatever its suffix says."""
        try:
            with open_limited(self.source, f"file:{file.path}", IMAGE_FILE, self._limits) as container:
                next(container.decode(video=0))
                return str(container.streams.video[0].codec_context.name)
        except (av.error.FFmpegError, OSError, ValueError, IndexError, StopIteration) as error:
            raise BadVideo(
                f"{self.source}: {Path(file.path).name} is no image that can be read; copy it again, or "
                "remove it"
            ) from error

    def _check_size(self, frame: av.VideoFrame, file: ImageFile) -> None:
        size = (frame.width, frame.height)
        if self._image_size is None:
            self._image_size = size
        if size == self._image_size:
            return
        raise BadVideo(
            f"{self.source}: {Path(file.path).name} has {size[0]}x{size[1]} pixels and the images before it "
            f"have {self._image_size[0]}x{self._image_size[1]}; a sequence has one size: scale them, or name "
            "the images of each size apart"
        )


class _Streams:
    """The one stream, as PyAV's containers hold theirs."""

    def __init__(self, stream: Any) -> None:
        self.video = [stream]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.video)

    def __len__(self) -> int:
        return 1

    def best(self, _: str) -> Any:
        return self.video[0]
