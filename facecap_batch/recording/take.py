"""A take from its source to its tables: recorded, then run as any other video.

In: a `LiveSource`, where the take goes, the configuration of a run. Out: the tables and FBX of the kept
video, by the code of `run`, so they are those of a run over it; a `RunSummary`. The video is removed only
after its clip is done, and only where it is not to be kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
from collections.abc import Callable, Iterator

import av

from facecap_batch.errors import BadSource, BadVideo, OutputNotWritable
from facecap_batch.recording.line import RecordingLine, describe
from facecap_batch.recording.live_look import LiveLook
from facecap_batch.recording.preview_page import PreviewPage
from facecap_batch.recording.take_files import TakeFiles, run_command, unfinished
from facecap_batch.runs.config import RunConfig, RunOptions
from facecap_batch.runs.footage.search import SearchOptions
from facecap_batch.runs.manifest import named_clips
from facecap_batch.runs.observers.progress import Display
from facecap_batch.runs.opened_engines import open_engines
from facecap_batch.runs.run import RunSummary
from facecap_batch.runs.start import start_run
from facecap_batch.timecode import clock
from facecap_batch.video.container import reason
from facecap_batch.video.live.session import (
    NothingRecorded,
    RecordedTake,
    RecordingSession,
    SessionOptions,
)
from facecap_batch.video.live.sources import LiveSource

LINE_EVERY_S = 0.25


@dataclasses.dataclass(frozen=True)
class TakeOptions:
    """How a take is recorded."""

    session: SessionOptions = dataclasses.field(default_factory=SessionOptions)
    save_video: bool = False  # keep the video once its clip is done
    preview_port: int | None = None  # None: no preview; 0: a port that is free
    quiet: bool = False  # show problems and the preview's address only


class _Ending:
    """What SIGINT and SIGTERM do: the first one that comes while a take is recorded ends it in good order,
    every other one raises KeyboardInterrupt.

    Attributes:
        is_asked: Whether the take was to be ended.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._session: RecordingSession | None = None

    @contextlib.contextmanager
    def by_signals(self) -> Iterator[_Ending]:
        """Take both signals, in the main thread; also where whoever started the process ignores them."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {
            number: signal.signal(number, self._signalled) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def of(self, session: RecordingSession) -> Iterator[None]:
        """`session` is what is recorded."""
        self._session = session
        try:
            yield
        finally:
            self._session = None

    def _signalled(self, *_: object) -> None:
        if self._session is None or self.is_asked:
            raise KeyboardInterrupt
        self.is_asked = True
        self._session.stop()


def record_take(
    source: LiveSource,
    files: TakeFiles,
    options: TakeOptions,
    config: RunConfig,
    run_options: RunOptions,
    make_display: Callable[[], Display],
) -> RunSummary:
    """Record a take until it is stopped (SIGINT or SIGTERM in the main thread) or ends, then run it.

    Args:
        source: What to record.
        files: Where the take goes.
        options: How it is recorded.
        config, run_options: Of the run; `run_options.output` is `files.output`.
        make_display: The display of the run, which a terminal shows once the take is recorded.

    Returns:
        How the run ended. However it ends, the clip is done, or what was recorded is kept, and the command
        that goes on with it was shown.

    Raises:
        BadSource, BadVideo: The source cannot be recorded.
        PortTaken: The preview's port is in use.
        OutputNotWritable: There is no room for the recording.
        KeyboardInterrupt: It was stopped before a picture came, or for a second time.
        As `start_run`.
    """
    line = RecordingLine(quiet=options.quiet)
    for path in unfinished(files.output):
        line.say(f"{path}: a recording that was never finished; {run_command(path, files.output)} does it")
    is_done = False
    with _Ending().by_signals() as ending:
        try:
            line.note(_summary(source, _recorded(source, files, options, config, line, ending)))
            clip = named_clips([str(files.video)], SearchOptions())
            summary = start_run(clip, config, run_options, make_display())
            is_done = summary.exit_code == 0
        finally:
            for path in (files.recording, files.video):
                if not is_done and path.exists():
                    line.say(f"the recording is kept: {run_command(path, files.output)} makes its tables")
    if is_done and not options.save_video:
        files.video.unlink()
        with contextlib.suppress(OSError):  # it holds other recordings
            files.video.parent.rmdir()
    return summary


def _recorded(
    source: LiveSource,
    files: TakeFiles,
    options: TakeOptions,
    config: RunConfig,
    line: RecordingLine,
    ending: _Ending,
) -> RecordedTake:
    """Record until the end and give the video its final name. Raises as `record_take`."""
    with contextlib.ExitStack() as closing:
        page = None if options.preview_port is None else PreviewPage(options.preview_port)
        if page is not None:
            closing.callback(page.close)
        look = LiveLook(lambda: open_engines(config), page.show if page else None)
        closing.callback(look.close)
        session = RecordingSession(source, files.recording, options.session, look)
        closing.enter_context(ending.of(session))
        line.note(f"recording {source.label} as {files.clip_id}; Ctrl-C ends the take")
        if page is not None:
            line.say(f"preview: {page.url}")
        session.start()
        while not session.wait(LINE_EVERY_S):
            text = describe(session.state(), look.sight())
            line.show(text)
            if page is not None:
                page.tell(text)
        line.close()
        try:
            take = session.finish()
            files.publish()
        except (BadSource, BadVideo) as error:
            files.recording.unlink(missing_ok=True)
            if isinstance(error, NothingRecorded) and ending.is_asked:
                line.say(str(error))
                raise KeyboardInterrupt from error
            raise
        except (OSError, av.error.FFmpegError) as error:
            raise OutputNotWritable(
                f"{files.recording}: cannot be written: {reason(error)}; free space, or choose "
                "another --output"
            ) from error
    return take


def _summary(source: LiveSource, take: RecordedTake) -> str:
    """What was recorded, in a line."""
    parts = [f"recorded {clock(take.seconds)}, {take.frames} frames"]
    if take.ended:
        parts.append(f"{source.label}: {take.ended}")
    if take.connections > 1:
        parts.append(f"{take.connections} connections, the gaps between them are kept")
    if take.missing:
        parts.append(f"{take.missing} frames dropped before they came")
    if take.left_out:
        parts.append(f"{take.left_out} packets before the first keyframe left out")
    if take.is_compressed:
        parts.append("pictures came uncompressed and are kept without loss as FFV1")
    return "; ".join(parts)
