"""Whether the pictures of a file are encrypted, as its own structure says.

In: an open file. Out: True where a player needs a key. FFmpeg says nothing of most of it: it finds noise.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from facecap_batch.video.formats.boxes import boxes

ENCRYPTED = "its pictures are encrypted; give the video without its copy protection"
HEAD_BYTES = 2**17
MAX_INDEX_BYTES = 2**23  # of an mp4's index that are searched
MIN_SCRAMBLED = 0.1  # of the packets of a transport stream: sound may be clear
# The sample entries of encrypted video in MP4 (ISO 14496-12, encv) and of iTunes (drmi), in their table.
_SAMPLE_ENTRY = re.compile(rb"stsd.{12}(encv|drmi)", re.DOTALL)
# Matroska's ContentEncodings, with a ContentEncryption in them.
_MATROSKA = re.compile(rb"\x6d\x80.{1,8}\x62\x40.{1,64}?\x50\x35", re.DOTALL)
# ASF's Content Encryption and Extended Content Encryption objects.
_ASF_HEAD = bytes.fromhex("3026b2758e66cf11")
_ASF = tuple(
    bytes.fromhex(guid) for guid in ("fbb3112223bdd211b4b700a0c955fc6e", "14e68a292226174cb935dae07ee9289c")
)
# A video packet of a program stream (DVD) whose header says that it is scrambled (ISO 13818-1, table 2-21).
_PROGRAM_STREAM = re.compile(rb"\x00\x00\x01[\xe0-\xef]..[\x90-\xbf]", re.DOTALL)


def is_encrypted(file: BinaryIO) -> bool:
    """True where the structure of `file` says that its pictures are encrypted."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _MATROSKA.search(head) is not None
    if head.startswith(_ASF_HEAD):
        return any(guid in head for guid in _ASF)
    if head[:4] == b"\x00\x00\x01\xba":
        return _PROGRAM_STREAM.search(head) is not None
    for packet, begin in ((188, 0), (192, 4)):
        if len(head) > 3 * packet and all(head[begin + k * packet] == 0x47 for k in range(3)):
            return _scrambled(head[begin::packet], head[begin + 3 :: packet])
    for box in boxes(file):
        if box.kind == b"moov":
            file.seek(box.at)
            return _SAMPLE_ENTRY.search(file.read(min(box.size, MAX_INDEX_BYTES))) is not None
    return False


def _scrambled(syncs: bytes, controls: bytes) -> bool:
    """Whether many packets of a transport stream say so: the first and the fourth byte of each."""
    packets = [control >> 6 for sync, control in zip(syncs, controls, strict=False) if sync == 0x47]
    return sum(control > 1 for control in packets) > MIN_SCRAMBLED * len(packets)
