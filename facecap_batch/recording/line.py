"""What a person sees of a recording: one line that a terminal rewrites, a line now and then elsewhere.

In: the states of the recording and of the live look. Out: text on standard error.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

from facecap_batch.recording.live_look import Sight
from facecap_batch.timecode import clock
from facecap_batch.video.live.session import RecordingState

PLAIN_EVERY_S = 10.0  # between two lines where there is no terminal
ERASE_LINE = "\r\x1b[2K"  # ECMA-48: back to the first column, erase the line


def describe(state: RecordingState, sight: Sight) -> str:
    """One line, such as

    ``recording 0:12, 300 frames, 25.0 fps, 1 face, 0 dropped; live look 14.0 fps, 130 skipped``
    """
    parts = [f"{state.phase} {clock(state.seconds)}", f"{state.frames} frames", f"{state.fps:.1f} fps"]
    if sight.faces is not None:
        parts.append("1 face" if sight.faces == 1 else f"{sight.faces} faces")
    parts.append(f"{state.missing} dropped")
    look = f"live look {sight.fps:.1f} fps, {sight.skipped} skipped"
    return f"{', '.join(parts)}; {f'no live look: {sight.error}' if sight.error else look}"


class RecordingLine:
    """Shows the line."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        """`stream`: None: standard error. `quiet`: only what `say` is given is shown."""
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._is_terminal = self._stream.isatty()
        self._shown_at = time.monotonic()

    def show(self, text: str) -> None:
        """The line is `text` from now on."""
        if self._quiet:
            return
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"{ERASE_LINE}{text[:width]}", end="", file=self._stream, flush=True)
        elif time.monotonic() - self._shown_at >= PLAIN_EVERY_S:
            self._shown_at = time.monotonic()
            print(text, file=self._stream, flush=True)

    def note(self, text: str) -> None:
        """A remark that stays, and that whoever wants quiet does not need."""
        if not self._quiet:
            self.say(text)

    def say(self, text: str) -> None:
        """A remark that stays."""
        erase = ERASE_LINE if self._is_terminal else ""
        print(f"{erase}{text}", file=self._stream, flush=True)

    def close(self) -> None:
        """Leave the line where it is."""
        if self._is_terminal and not self._quiet:
            print(file=self._stream, flush=True)
