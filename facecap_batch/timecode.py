"""Times as people write and read them.

In: the text of a manifest, or seconds. Out: a `Fraction` of seconds from the beginning of the file, or text.
"""

from __future__ import annotations

import re
from fractions import Fraction

from facecap_batch.numerals import MAX_LENGTH, exact, shown

_SECONDS = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_CLOCK = re.compile(r"(?:(\d{1,3}):)?([0-5]?\d):([0-5]?\d(?:\.\d+)?)", re.ASCII)
_FRAMES = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)([:;])(\d{2,3})", re.ASCII)
_NTSC = {Fraction(nominal * 1000, 1001) for nominal in (24, 30, 48, 60, 120)}
HELP = "write seconds (12.5), HH:MM:SS(.fff), or HH:MM:SS:FF with a timecode_fps column"


def parse_rate(text: str) -> Fraction:
    """Frames per second from ``25``, ``30000/1001`` or ``29.97`` (the NTSC fraction it abbreviates).

    Raises:
        ValueError: `text` is none, or beyond 1 to 1000.
    """
    try:
        rate = exact(text)
    except ValueError as error:
        raise ValueError(f"{shown(text)} is not a frame rate (25, 29.97, 30000/1001)") from error
    if not 1 <= rate <= 1000:
        raise ValueError(f"{shown(text)} is not a frame rate (25, 29.97, 30000/1001)")
    for ntsc in _NTSC:
        # 23.98, 23.976 and 23.976024 all mean 24000/1001.
        if abs(rate - ntsc) < Fraction(5, 1000):
            return ntsc
    return rate


def is_time(text: str) -> bool:
    """True where `text` has one of the forms that `parse_time` knows, at whatever rate."""
    text = text.strip()
    return len(text) <= MAX_LENGTH and any(form.fullmatch(text) for form in (_SECONDS, _CLOCK, _FRAMES))


def parse_time(text: str, rate: str | None = None) -> Fraction:
    """Seconds from ``12.5``, ``(HH:)MM:SS(.fff)``, ``HH:MM:SS:FF`` or ``HH:MM:SS;FF`` (drop frame).

    Args:
        text: The time.
        rate: The frame rate that FF counts in, as `parse_rate` takes it; without one, FF is refused.

    Raises:
        ValueError: `text` is no such time; the message names what is accepted.
    """
    text = text.strip()
    if not is_time(text):
        raise ValueError(f"{shown(text)} is not a time; {HELP}")
    if _SECONDS.fullmatch(text):
        return exact(text)
    clock = _CLOCK.fullmatch(text)
    if clock:
        hours, minutes, seconds = clock.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + exact(seconds)
    frames = _FRAMES.fullmatch(text)
    assert frames is not None  # the last of the forms of `is_time`
    if not rate:
        raise ValueError(f"{text!r} counts frames but the row has no timecode_fps; {HELP}")
    return _from_frames(frames, parse_rate(rate))


def _from_frames(match: re.Match[str], rate: Fraction) -> Fraction:
    hours, minutes, seconds = (int(match[group]) for group in (1, 2, 3))
    frame = int(match[5])
    nominal = -(-rate.numerator // rate.denominator)  # timecode at 29.97 counts 30 labels per second
    if frame >= nominal:
        raise ValueError(f"{match[0]!r} has frame {frame} of a second of {nominal}")
    count = (hours * 3600 + minutes * 60 + seconds) * nominal + frame
    if match[4] == ";":
        if rate not in (Fraction(30000, 1001), Fraction(60000, 1001)):
            raise ValueError(f"{match[0]!r} is drop-frame, which exists at 29.97 and 59.94 only")
        # Drop-frame (SMPTE 12M) skips labels 00 and 01 (00 to 03 at 59.94) of each minute but every tenth.
        dropped = nominal // 15
        if seconds == 0 and frame < dropped and minutes % 10:
            raise ValueError(f"{match[0]!r} does not exist in drop-frame timecode")
        total_minutes = hours * 60 + minutes
        count -= dropped * (total_minutes - total_minutes // 10)
    return count / rate


def clock(seconds: float) -> str:
    """A length of time as a clock shows it: ``0:07``, ``12:34``, ``3:00:00``."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
