"""What a file is that cannot be decoded.

In: a path and its first bytes. Out: a sentence that says what the file is and what to do. Text, playlists and
subtitles under the name of a video are mistakes, or traps.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from facecap_batch.storage.remote import is_uri

HEAD_BYTES = 4096
ENCRYPTED = "its pictures are encrypted; give the video without its copy protection"
# How playlists begin, and drawings and lists in XML.
_PLAYLISTS = (b"#extm3u", b"ffconcat version", b"[playlist]", b"[reference]", b"v=0\r\n", b"v=0\n")


def explanation(source: str) -> str | None:
    """What a local file is that no decoder takes, and what to do, as the end of a sentence on it.

    Args:
        source: A path or URI.

    Returns:
        None where nothing is known of it, and for URIs.
    """
    if is_uri(source):
        return None
    try:
        with Path(source).open("rb") as file:
            return _of(file)
    except (OSError, ValueError):
        return None


def without_frames(source: str, declared: int | None, start: Fraction | None, end: Fraction | None) -> str:
    """Why no frame of a clip decodes, and what to do.

    Args:
        source: A path or URI.
        declared: Frames that the container declares, None where it declares none.
        start, end: The clip's range, seconds; None: the beginning and the end.
    """
    what = f"{source}: no frame can be decoded (the container declares {declared or 0})"
    if why := explanation(source):
        return f"{what}: {why}"
    if start is None and end is None:
        return f"{what}; play it, or copy or export it again"
    return (
        f"{source}: no frame between {_at(start)} and {_at(end)}; check the range in the manifest and the "
        "file with a player"
    )


def _at(value: Fraction | None) -> str:
    return "its beginning or end" if value is None else f"{float(value):.3f} s"


def _of(file: BinaryIO) -> str | None:
    head = file.read(HEAD_BYTES)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS and not the video; fetch the video with `git lfs pull`"
    if text.startswith(_PLAYLISTS) or b"<mpd" in text or b"<asx" in text:
        return (
            "it is a playlist, which names other files and is none; list the videos themselves, one a row "
            "(facecap-batch record takes live streams)"
        )
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        return (
            "it is a web page under the name of a video, such as an error or a sign-in page; download the "
            "video itself again"
        )
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP" and b"ANIM" in head[:64]:
        return "it is an animated WebP, which FFmpeg does not decode; convert it to GIF, APNG or a video"
    if head[:4] == b"PK\x03\x04":
        return "it is a ZIP archive; unpack it"
    if head[:5] == b"%PDF-":
        return "it is a PDF document"
    if head[4:8] in (b"ftyp", b"mdat", b"wide", b"free", b"skip") and _boxes_lack_index(file):
        return (
            "it is a recording that was never closed, or a part of one: its index (moov) is missing; let the "
            "recorder repair it, or rebuild the index with a tool such as untrunc and a whole clip of that "
            "recorder"
        )
    if text and all(byte >= 32 or byte in b"\t\r\n\f\x1b" for byte in head):
        return "it is a text file"
    return None


def _boxes_lack_index(file: BinaryIO) -> bool:
    """True where none of the boxes of an mp4 or mov is its index."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return True
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if kind in (b"moov", b"moof"):
            return False
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size < 8:  # to the end of the file
            return True
        at += size
