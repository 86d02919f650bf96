"""The look at a take while it is recorded: decoded, and as many of its pictures looked at as there is time
for.

In: copies of the packets that are written. Out: a `Sight` at any time; JPEG images where a preview is shown.
All of it happens in a thread of lower priority than the recording's. Whatever is behind is skipped: pictures
that are older than the newest are decoded and not looked at, and where even decoding falls behind, it goes on
with the next keyframe.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import av
import cv2
import numpy as np

from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.recording.glance import Glance, GlancePainter, Glancer

NICENESS = 10  # of the thread (nice(2)): what it does can wait, a packet cannot
# Packets that wait to be decoded: more is no live look any more. Bytes: pictures may come uncompressed.
MAX_WAITING = 100
MAX_WAITING_BYTES = 64 * 2**20
RATE_S = 5.0  # the rate that is shown is that of so many seconds
HEIGHT = 540  # pixels of an image; the bars have names from about 500 on
JPEG_QUALITY = 80

ShowImage = Callable[[bytes], None]


@dataclasses.dataclass(frozen=True)
class Sight:
    """What was seen last."""

    faces: int | None = None  # None: nothing has been looked at yet
    fps: float = 0.0  # pictures that are looked at, per second
    skipped: int = 0  # pictures so far that were not
    error: str = ""  # why nothing is looked at any more


class LiveLook:
    """Watches the packets of a recording; `close` it."""

    def __init__(self, open_engines: Callable[[], FaceCapture], show: ShowImage | None = None) -> None:
        """
        Args:
            open_engines: Called once, in the thread.
            show: Called with a JPEG image of each picture that was looked at; None: none is drawn.
        """
        self._open_engines, self._show = open_engines, show
        self._changed = threading.Condition()
        self._waiting: collections.deque[tuple[Any, Any]] = collections.deque()  # decoder, packet
        self._waiting_bytes = 0
        self._closing = False
        self._decoder: Any = None
        self._wants_keyframe = True
        self._looked: collections.deque[float] = collections.deque()
        self._faces: int | None = None
        self._pictures = self._skipped = 0
        self._error = ""
        self._thread = threading.Thread(target=self._run, name="live look", daemon=True)
        self._thread.start()

    # --- the recording's thread -----------------------------------------------------------------------------

    def connected(self, decoder: Any) -> None:
        with self._changed:
            self._decoder, self._wants_keyframe = decoder, True

    def packet(self, packet: Any) -> None:
        with self._changed:
            if self._error or self._closing:
                return
            if len(self._waiting) >= MAX_WAITING or self._waiting_bytes + packet.size > MAX_WAITING_BYTES:
                self._skipped += len(self._waiting)
                self._waiting.clear()
                self._waiting_bytes = 0
                self._wants_keyframe = True
            if self._wants_keyframe and not packet.is_keyframe:
                self._skipped += 1
                return
            self._wants_keyframe = False
            self._waiting.append((self._decoder, packet))
            self._waiting_bytes += packet.size
            self._changed.notify()

    # --- whoever asks ---------------------------------------------------------------------------------------

    def sight(self) -> Sight:
        with self._changed:
            recent = [moment for moment in self._looked if moment > time.monotonic() - RATE_S]
            fps = (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 else 0.0
            return Sight(self._faces, fps, self._skipped, self._error)

    def close(self) -> None:
        """End the thread and let go of the engines."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    # --- the thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            context = self._open_engines().context
            glancer = Glancer(context)
            painter = GlancePainter(HEIGHT, context.regressor.shape_names) if self._show else None
            while (taken := self._next()) is not None:
                picture = self._newest_picture(*taken)
                if picture is not None:
                    self._look(picture, glancer, painter)
        except Exception as error:  # whatever it is, the recording goes on
            with self._changed:
                self._error = f"{type(error).__name__}: {error}"
                self._waiting.clear()

    def _next(self) -> tuple[Any, Any] | None:
        """The oldest packet that waits, and its decoder; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if self._closing:
                return None
            decoder, packet = self._waiting.popleft()
            self._waiting_bytes -= packet.size
            return decoder, packet

    def _newest_picture(self, decoder: Any, packet: Any) -> Any:
        """The picture of `packet` where it is the newest; None where newer ones wait, or none comes out."""
        try:
            pictures = decoder.decode(packet)
        except (av.error.FFmpegError, ValueError):  # damage: the run over the take reports it
            return None
        with self._changed:
            self._pictures += len(pictures)
            is_newest = not self._waiting
            self._skipped += len(pictures) - (is_newest and bool(pictures))
        return pictures[-1] if pictures and is_newest else None

    def _look(self, picture: Any, glancer: Glancer, painter: GlancePainter | None) -> None:
        time_s = float(picture.pts * picture.time_base) if picture.pts is not None else 0.0
        glance = glancer.look(picture, self._pictures, time_s)
        with self._changed:
            self._faces = glance.faces
            now = time.monotonic()
            self._looked.append(now)
            while self._looked[0] < now - RATE_S:
                self._looked.popleft()
        if painter is not None and self._show is not None:
            self._show(_jpeg(painter, glance))


def _jpeg(painter: GlancePainter, glance: Glance) -> bytes:
    image = cv2.cvtColor(painter.draw(glance), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(np.asarray(data).tobytes())
