"""What a file is that cannot be decoded.

In: a path and its first bytes. Out: a sentence that says what the file is and what to do. Text, playlists and
subtitles under the name of a video are mistakes, or traps.
"""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from facecap_batch.storage.remote import is_uri
from facecap_batch.video.formats.boxes import FIRST, boxes
from facecap_batch.video.formats.encryption import ENCRYPTED, is_encrypted

HEAD_BYTES = 4096
TEXT = "it is a text file"
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
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16, as Windows writes it
        head = head.decode("utf-16", "ignore").encode()
    return _text(head) or _other_file(head) or _container(file, head)


def _text(head: bytes) -> str | None:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS and not the video; fetch the video with `git lfs pull`"
    if text.startswith(_PLAYLISTS) or b"<mpd" in text or b"<asx" in text:
        return (
            "it is a playlist, which names other files and is none; list the videos themselves, one a row "
            "(facecap-batch record takes live streams)"
        )
    if not text or not all(byte >= 32 or byte in b"\t\r\n\f\x1b" for byte in head):
        return None
    if b"/annex/objects/" in text:
        return "it is a pointer of git-annex and not the video; fetch the video with `git annex get`"
    if text.startswith((b"<?xml", b"<!doctype", b"<!--", b"<script")) or b"<html" in text or b"<head" in text:
        return (
            "it is a web page under the name of a video, such as an error or a sign-in page; download the "
            "video itself again"
        )
    if text.startswith((b"{", b"[{")):
        return "it is JSON text, such as the error of a server; download the video itself again"
    return TEXT


def _other_file(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP" and b"ANIM" in head[:64]:
        return "it is an animated WebP, which FFmpeg does not decode; convert it to GIF, APNG or a video"
    if head[:4] == b"PK\x03\x04":
        return "it is a ZIP archive; unpack it"
    if head.startswith((b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b\x08", b"\xfd7zXZ", b"BZh")):
        return "it is an archive; unpack it"
    if head[:5] == b"%PDF-":
        return "it is a PDF document; give a video"
    if head and not any(head):
        return "it begins with zeros, as a download or a copy that was broken off leaves it; copy it again"
    return None


def _container(file: BinaryIO, head: bytes) -> str | None:
    if is_encrypted(file):
        return ENCRYPTED
    if head[4:8] not in FIRST:
        return None
    found = list(boxes(file))
    kinds = {box.kind for box in found}
    if b"moov" not in kinds and b"moof" in kinds:
        return (
            "it is a segment of a stream without what comes first (its initialisation segment); put that in "
            "front of it, or give the whole video"
        )
    if b"moov" not in kinds:
        return (
            "it is a recording that was never closed, or a part of one: its index (moov) is missing; let the "
            "recorder repair it, or rebuild the index with a tool such as untrunc and a whole clip of that "
            "recorder"
        )
    if found[-1].at + found[-1].size > file.seek(0, io.SEEK_END):
        return "it is cut off; copy it again"
    if not kinds & {b"mdat", b"moof"}:
        return (
            "it is the beginning of a stream (an initialisation segment) and holds no picture; put its "
            "segments behind it, or give the whole video"
        )
    return None
