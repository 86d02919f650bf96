"""The look at a take while it is recorded: what it sees, and that it skips rather than waits."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from facecap_batch.capturing.context import CaptureContext
from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.errors import EngineError
from facecap_batch.recording import live_look
from facecap_batch.recording.glance import GlancePainter, Glancer
from facecap_batch.recording.line import RecordingLine, describe
from facecap_batch.recording.live_look import HEIGHT, LiveLook, Sight
from facecap_batch.video.live.session import RecordingState
from tests.support.discs import DiscDetector, DiscRegressor, disc_video, scene, walk
from tests.support.videos import write_video

FRAMES = 30


def picture_of(image: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")


@pytest.fixture(scope="module")
def glancer() -> Glancer:
    return Glancer(CaptureContext.of(DiscDetector(), DiscRegressor()))


class TestGlance:
    @pytest.mark.parametrize(
        ("discs", "faces"),
        [([], 0), ([(100, 120, 30)], 1), ([(80, 120, 30), (240, 120, 40)], 2)],
    )
    def test_faces_are_counted_and_the_main_one_is_read(
        self, glancer: Glancer, discs: list[tuple[float, float, float]], faces: int
    ) -> None:
        glance = glancer.look(picture_of(scene(320, 240, *discs)), 7, 1.5)
        assert glance.faces == faces
        table = glance.table
        assert len(table) == 1 and table.frame_index[0] == 7 and table.time_s()[0] == 1.5
        assert bool(table.face_found[0]) == bool(faces)
        if discs:
            x, y, radius = discs[-1]  # the larger one
            expected = (x - radius, y - radius, x + radius, y + radius)
            assert np.allclose(table.box[0], expected, atol=4)
            assert np.isfinite(table.coefficients[0]).any()

    def test_it_is_drawn_with_the_bars_beside_it(self, glancer: Glancer) -> None:
        painter = GlancePainter(240, ARKIT_NAMES)
        without = painter.draw(glancer.look(picture_of(scene(320, 240)), 0, 0.0))
        image = painter.draw(glancer.look(picture_of(scene(320, 240, (100, 120, 30))), 0, 0.0))
        assert image.shape == without.shape and image.dtype == np.uint8
        assert image.shape[0] == 240 and image.shape[1] > 320
        box_edge = image[90:150, 68:73].astype(int)
        assert (box_edge[..., 1] > box_edge[..., 0] + 40).any()  # green, at the left edge of the disc
        assert (image[:, 320:] != without[:, 320:]).any()


def packets_of(path: Path) -> Iterator[tuple[Any, av.Packet]]:
    """A decoder, and each packet of a file with the times that it has there."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = av.CodecContext.create(stream.codec_context.name, "r")
        decoder.extradata = stream.codec_context.extradata
        for packet in container.demux(stream):
            if packet.size:
                yield decoder, packet


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disc that wanders, with a keyframe every ten frames."""
    path = tmp_path_factory.mktemp("look") / "take.mkv"
    return disc_video(path, walk(FRAMES))


def capture_of(detector: DiscDetector) -> FaceCapture:
    return FaceCapture(detector, DiscRegressor())


def test_what_is_seen_is_shown(take: Path) -> None:
    images: list[bytes] = []
    look = LiveLook(lambda: capture_of(DiscDetector()), images.append)
    for decoder, packet in packets_of(take):
        if packet.pts == 0:
            look.connected(decoder)
        look.packet(packet)
        wait_until(lambda: not look._waiting)
    wait_until(lambda: bool(images))
    look.close()
    sight = look.sight()
    assert sight.faces == 1 and sight.error == ""
    shown = cv2.imdecode(np.frombuffer(images[-1], np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None and shown.shape[0] == HEIGHT
    assert len(images) + sight.skipped <= FRAMES


def test_pictures_are_skipped_while_one_is_looked_at(take: Path) -> None:
    """Packets are taken at once however long a look lasts, and the newest picture is looked at next."""
    looking, go_on = threading.Event(), threading.Event()

    class SlowDetector(DiscDetector):
        def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
            looking.set()
            assert go_on.wait(30)
            return super().run(batch)

    detector = SlowDetector()
    look = LiveLook(lambda: capture_of(detector))
    packets = packets_of(take)
    fed = 0
    while not looking.is_set():
        decoder, packet = next(packets)
        if packet.pts == 0:
            look.connected(decoder)
        look.packet(packet)
        fed += 1
        wait_until(lambda: looking.is_set() or not look._waiting)
    fed_before = fed
    for _, packet in packets:
        look.packet(packet)
        fed += 1
    go_on.set()
    wait_until(lambda: detector.images == 2)
    look.close()
    assert fed - fed_before > 10
    assert 2 <= fed - look.sight().skipped <= 6  # two were looked at; a decoder holds a few


def test_where_decoding_falls_behind_it_goes_on_with_a_keyframe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_look, "MAX_WAITING", 6)
    opened = threading.Event()

    def open_engines() -> FaceCapture:
        assert opened.wait(30)
        return capture_of(DiscDetector())

    path = write_video(tmp_path / "take.mkv", 25, options={"g": "10", "bf": "0"})
    look = LiveLook(open_engines)
    for decoder, packet in packets_of(path):
        if packet.pts == 0:
            look.connected(decoder)
        look.packet(packet)
    waiting = [packet.pts for _, packet in look._waiting]
    # 0 to 5 were full, and so were 10 to 15; what comes then has to wait for a keyframe.
    assert waiting == [round(1000 * n / 30) for n in range(20, 25)]
    assert look.sight().skipped == 20
    opened.set()
    look.close()


def test_engines_that_cannot_be_opened_end_the_look_alone(take: Path) -> None:
    def open_engines() -> FaceCapture:
        raise EngineError("no such engine")

    look = LiveLook(open_engines)
    wait_until(lambda: bool(look.sight().error))
    for decoder, packet in packets_of(take):
        look.connected(decoder)
        look.packet(packet)
    assert look.sight() == Sight(None, 0.0, 0, "EngineError: no such engine")
    look.close()


class TestLine:
    STATE = RecordingState("recording", 300, 12.0, 24.96, 2)

    def test_it_says_what_happens(self) -> None:
        assert describe(self.STATE, Sight(1, 14.04, 130)) == (
            "recording 0:12, 300 frames, 25.0 fps, 1 face, 2 dropped; live look 14.0 fps, 130 skipped"
        )
        assert ", 0 faces, " in describe(self.STATE, Sight(0))
        assert "face" not in describe(self.STATE, Sight())
        assert describe(self.STATE, Sight(error="EngineError: x")).endswith("; no live look: EngineError: x")

    def test_a_terminal_rewrites_it_and_remarks_stay(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        monkeypatch.setenv("COLUMNS", "20")
        stream = Terminal()
        line = RecordingLine(stream)
        line.show("a line that is longer than the terminal")
        line.show("short")
        line.say("a remark that is longer than the terminal")
        line.close()
        rewrite = "\r\x1b[2K"
        lines = ("a line that is long", "short", "a remark that is longer than the terminal\n\n")
        assert stream.getvalue() == "".join(f"{rewrite}{text}" for text in lines)

    def test_a_file_gets_remarks_and_a_line_now_and_then(self, tmp_path: Path) -> None:
        with (tmp_path / "log").open("w") as stream:
            line = RecordingLine(stream)
            line.show("too early")
            line.say("a remark")
            line.close()
        assert (tmp_path / "log").read_text() == "a remark\n"
