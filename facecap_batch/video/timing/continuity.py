"""Whether the clock of a file runs on from its first packet to its last.

In: a path or URI. Out: True where a seek to a time can lead to one place only. The packets of the whole file
are listed without decoding, so this is asked for ranges of formats whose clock may begin anew.
"""

from __future__ import annotations

import functools
from pathlib import Path

import av

from facecap_batch.storage.remote import is_uri
from facecap_batch.video.container import opened, video_stream
from facecap_batch.video.damage import DamageLog
from facecap_batch.video.formats.limits import LIMITS, Limits
from facecap_batch.video.timing.packets import PacketStream

MAX_KEPT = 256  # files whose answer is kept: a manifest may name many ranges of one


def runs_on(source: str, limits: Limits = LIMITS) -> bool:
    """True where the clock of `source` neither begins anew nor jumps.

    Args:
        source: A path or URI that opens.
        limits: With which it was opened.

    Raises:
        BadVideo: It cannot be opened any more.
    """
    if is_uri(source):
        return _lists(source, limits)
    about = Path(source).stat()
    return _kept(source, limits, about.st_size, about.st_mtime_ns)


@functools.lru_cache(MAX_KEPT)
def _kept(source: str, limits: Limits, _size: int, _changed_ns: int) -> bool:
    """`_lists`, once for each state of a file."""
    return _lists(source, limits)


def _lists(source: str, limits: Limits) -> bool:
    with opened(source, limits) as container:
        stream = video_stream(container, source)
        packets = PacketStream(container, stream, DamageLog(source, "keep"))
        try:
            for _ in packets:
                if packets.joins:
                    return False
        except (av.error.FFmpegError, OSError):
            pass  # the decoder meets it, too, and says so
        return True
