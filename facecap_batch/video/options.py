"""How a video is to be decoded: the choices that settings name. Imports neither PyAV nor OpenCV."""

from __future__ import annotations

from typing import Literal, get_args

# What happens to a damaged video: it is refused, or what decodes is kept and the damage noted.
Damage = Literal["refuse", "keep"]
# "cuda": NVDEC, for the codecs it knows; "auto": the same where there is a GPU.
HardwareDecoding = Literal["none", "auto", "cuda"]

MAX_DECODE_THREADS = 16


def check_options(damage: str, hwaccel: str, thread_count: int) -> None:
    """Raises ValueError that names what is accepted."""
    if damage not in get_args(Damage):
        raise ValueError(f"damage must be one of {', '.join(get_args(Damage))}, not {damage!r}")
    if hwaccel not in get_args(HardwareDecoding):
        raise ValueError(f"hwaccel must be one of {', '.join(get_args(HardwareDecoding))}, not {hwaccel!r}")
    if not 1 <= thread_count <= MAX_DECODE_THREADS:
        raise ValueError(
            f"decode threads must be 1..{MAX_DECODE_THREADS}, not {thread_count}: 0 (automatic) can deadlock"
        )
