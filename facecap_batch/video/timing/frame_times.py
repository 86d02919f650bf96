"""The time of every decoded frame.

In: the packets of a stream and the frames that the decoder makes of them. Out: a pts for each frame, rising.
The pts of a packet is that of its frame, but for files that hold something else: times in decoding order
(AVI, and what copies a stream without knowing its B-frames), or none for the first frames (Matroska that
begins before 0), or none at all (raw streams).
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

import av

from facecap_batch.video.container import formats
from facecap_batch.video.damage import DamageLog
from facecap_batch.video.timing.packets import MAX_REORDERED

# Stamps kept of packets whose frames have not come: decoder threads come on top of reordering.
MAX_UNSHOWN = 4 * MAX_REORDERED

# What the time stamps of packets are. "decoding": the k-th frame shown has the k-th of them.
Meaning = Literal["presentation", "decoding pts", "decoding dts"]


@dataclasses.dataclass(frozen=True)
class Stamps:
    """What the time stamps of a stream's packets mean."""

    meaning: Meaning = "presentation"
    untimed: int = 0  # packets before the first that has a pts
    first_pts: int = 0  # units of the time base: the earliest pts after them

    @property
    def can_seek(self) -> bool:
        """False where the time of a frame is known only by counting from the beginning."""
        return self.meaning == "presentation"


def read_stamps(container: Any, stream: Any, head: Sequence[Any]) -> Stamps | None:
    """What the stamps of a stream mean, as its first packets show it.

    Args:
        container, stream: Open; nothing is decoded.
        head: The first packets with data, in decoding order.

    Returns:
        None where only the order in which a decoder shows the frames can tell: see `decoding_order`.
    """
    known = [packet.pts for packet in head if packet.pts is not None]
    reorders = bool(stream.codec_context.has_b_frames)
    if "avi" in formats(container) and reorders and head and all(p.dts is not None for p in head):
        return Stamps("decoding dts")  # AVI holds no other
    if head and not known and all(packet.dts is not None for packet in head):
        return Stamps("decoding dts")
    if known and head[0].pts is None:
        return Stamps(untimed=sum(packet.pts is None for packet in head), first_pts=min(known))
    rising = all(later > earlier for earlier, later in itertools.pairwise(known))
    return None if reorders and len(known) > 1 and rising else Stamps()


def decoding_order(stream: Any, head: Sequence[Any]) -> Stamps:
    """What the stamps of packets mean that rise although their codec may reorder frames.

    Decodes `head`; the decoder is of no use afterwards. Where frames come out in another order than that of
    their packets, the stamps are those of decoding.
    """
    frames: list[Any] = []
    try:
        for packet in head:
            frames += packet.decode()
        frames += stream.codec_context.decode(None)
    except (av.error.FFmpegError, OSError, ValueError):
        pass  # what came out before decides
    shown = [frame.pts for frame in frames if frame.pts is not None]
    rising = all(later > earlier for earlier, later in itertools.pairwise(shown))
    return Stamps() if rising else Stamps("decoding pts")


class FrameTimes:
    """Gives every frame its pts; told of every packet before the decoder gets it.

    Attributes:
        certain: False once the time of a frame hangs on the frames before it alone.
    """

    def __init__(self, stamps: Stamps, step: Fraction, log: DamageLog) -> None:
        """
        Args:
            stamps: What the stamps of the packets mean; `untimed` counts from the next packet on.
            step: Units of the time base from one frame to the next, by the average rate.
            log: Takes the notes.
        """
        self._stamps, self._step, self._log = stamps, step, log
        self._meaning = stamps.meaning
        self._unshown: list[int] = []  # stamps of packets whose frames have not come, rising
        self._rising = True  # so far the packets' pts rise in decoding order
        self._sent: int | None = None
        self._last: int | None = None
        self._untimed = 0  # frames without a pts so far
        self._expected: Fraction | None = None
        self.certain = True
        if self._meaning != "presentation":
            self._note_decoding_order()
        elif stamps.untimed:
            log.note("the first frames have no timestamp; they are counted back from the first known one")

    def sent(self, packet: Any) -> None:
        """The decoder is going to be given `packet`."""
        stamp = packet.dts if self._meaning == "decoding dts" else packet.pts
        if stamp is None or not packet.size or getattr(packet, "is_discard", False):
            return
        self._rising = self._rising and (self._sent is None or stamp > self._sent)
        self._sent = stamp
        bisect.insort(self._unshown, stamp)
        if self._meaning == "presentation":
            del self._unshown[:-MAX_UNSHOWN]

    @property
    def last_unshown(self) -> bool:
        """True where the last packet has not become a frame, as far as stamps tell."""
        return bool(self._unshown) and (self._meaning != "presentation" or self._sent in self._unshown)

    @property
    def only_last_unshown(self) -> bool:
        """True where no packet but the last has not become a frame, as far as stamps tell."""
        if self._meaning != "presentation":
            return len(self._unshown) <= 1
        return self._unshown in ([], [self._sent])

    def of(self, frame: Any) -> int:
        """The pts of the next frame in order of presentation, units of the time base."""
        pts = frame.pts
        if self._meaning == "presentation" and pts is not None:
            if self._last is not None and pts < self._last and self._rising and self._unshown:
                # The codec began to reorder frames, and the stamps do not.
                self._meaning = "decoding pts"
                self._note_decoding_order()
                del self._unshown[: bisect.bisect_right(self._unshown, self._last)]
            elif self._unshown and self._unshown[0] == pts:
                del self._unshown[0]
            elif pts in self._unshown:
                self._unshown.remove(pts)
        if self._meaning != "presentation":
            pts = self._unshown.pop(0) if self._unshown else None
        exact = Fraction(pts) if pts is not None else self._placed()
        self._expected = exact + self._step
        self._last = round(exact)
        return self._last

    def _placed(self) -> Fraction:
        """The time of a frame that has no pts, units of the time base."""
        self.certain = False
        if self._untimed < self._stamps.untimed:
            behind = self._stamps.untimed - self._untimed
            self._untimed += 1
            return self._stamps.first_pts - behind * self._step
        self._log.note("some frames have no timestamp; they are placed by the average rate")
        return self._expected or Fraction(0)

    def _note_decoding_order(self) -> None:
        self._log.note("the file's times are those of decoding; frames have them in the order they are shown")
