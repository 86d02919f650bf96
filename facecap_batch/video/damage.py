"""Damage of a video: its signs are noted, or refused at the first.

A damaged file may decode without a murmur, so three signs are looked for: errors of demuxer and decoder,
frames that the decoder itself marks as corrupt after the first clean one, and time missing at the end of a
file that is not whole against what the container promises. With ``damage="refuse"`` any of them raises
`BadVideo` with the time; with ``damage="keep"`` whatever decodes is delivered and the signs are listed in the
notes. A last picture that alone is damaged is left out and noted by the decoder. Smaller differences in the
frame count are always noted. Decoders of HEVC and VP9 conceal flipped bytes without a sign: of such a file
only the counts can be compared.

In: what demuxer and decoder report. Out: notes, or `BadVideo`.
"""

from __future__ import annotations

from fractions import Fraction

from facecap_batch.errors import BadVideo
from facecap_batch.video.container import seconds
from facecap_batch.video.formats.completeness import is_whole
from facecap_batch.video.formats.ending import ending_notes
from facecap_batch.video.options import Damage

# Missing at the end of a file before it is called cut off: audio tails and rounding stay below.
CUT_OFF_S = Fraction(1, 2)
CUT_OFF_SHARE = Fraction(1, 50)
MAX_NOTES = 20


class DamageLog:
    """The signs of damage of one video."""

    def __init__(self, source: str, damage: Damage) -> None:
        self.source = source
        self.damage = damage
        self.notes: list[str] = []  # in the order in which they were found
        self.steady = True  # False once more than a hole in time was noted

    def note(self, text: str) -> None:
        """Note something odd that is no damage yet."""
        self.steady = False
        add_note(self.notes, text)

    def note_hole(self, length_s: Fraction, at_s: Fraction) -> None:
        """Note `length_s` seconds without a frame: packets may be lost there without an error."""
        add_note(self.notes, f"no frames for {seconds(length_s)} at {seconds(at_s)}")

    def note_steady(self, text: str) -> None:
        """Note something that every part of the file shows alike, wherever decoding begins."""
        add_note(self.notes, text)

    def damaged(
        self, what: str, at_s: Fraction | None, frame: int, cause: BaseException | None = None
    ) -> None:
        """A sign of damage at `at_s` seconds (None: at the file's beginning), in frame number `frame`.

        Raises:
            BadVideo: The damage is to be refused.
        """
        at = "at its beginning" if at_s is None else f"at {seconds(at_s)}"
        message = f"{what} {at}, frame {frame}"
        if self.damage == "keep":
            self.note(message)
            return
        raise BadVideo(
            f"{self.source}: damaged: {message}; copy or export the file again, repair it (for example "
            "re-encode it), or keep what decodes of damaged clips (--keep-damaged)"
        ) from cause

    def check_end(self, end_s: Fraction, promised_s: Fraction, frame: int, last_s: Fraction) -> None:
        """Compare where the video ended with where the container promises that it ends.

        Args:
            end_s: Seconds at which the last decoded frame ends.
            promised_s: Seconds at which the container declares that the video ends.
            frame: Frames decoded.
            last_s: Seconds of the last decoded frame.

        Raises:
            BadVideo: The file is cut off and damage is to be refused. A file whose own size says that
                nothing is missing has promised too much, which is noted.
        """
        if promised_s - end_s <= max(CUT_OFF_S, CUT_OFF_SHARE * promised_s):
            return
        what = f"the container promises video to {seconds(promised_s)} but it ends"
        if is_whole(self.source):
            self.note(f"{what} at {seconds(last_s)}, and the file is whole")
        else:
            self.damaged(f"cut off: {what}", last_s, frame)

    def check_ending(self) -> None:
        """Note what the file's own structure says of its end."""
        for text in ending_notes(self.source):
            self.note_steady(text)

    def check_count(self, promised: int, decoded: int) -> None:
        """Note where the container promises another number of frames than were decoded."""
        if decoded != promised:
            self.note(f"the container declares {promised} frames, {decoded} were decoded")


def add_note(notes: list[str], text: str) -> None:
    """Append `text`, one of its kind, to at most `MAX_NOTES`."""
    kind = text.split(" at ")[0]
    if len(notes) < MAX_NOTES and not any(note.startswith(kind) for note in notes):
        notes.append(text)
