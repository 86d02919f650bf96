"""`facecap-batch record` as a user gives it: tables of the kept video, every way to stop, bad commands."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from facecap_batch.engines.default_crop import POINTS
from facecap_batch.engines.sets import EngineSet
from facecap_batch.recording.take_files import STALE_S, unfinished
from tests.support.commands import call
from tests.support.runs import half_written, results, rows, small_disk
from tests.support.streams import FPS, begin, http_server, pipe_of, streaming
from tests.support.videos import flip_bytes, numbers, picture, write_video

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 40


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("take") / "take.ts"
    return write_video(path, FRAMES, FPS, options={"g": "10", "bf": "0"})


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("endless") / "endless.ts", 600, FPS, options={"g": "10"})


class Recording:
    """The command in a process of its own, and the lines that it prints."""

    def __init__(self, *arguments: object, stdin: int | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "facecap_batch", "record", *map(str, arguments)],
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
        )
        self.lines: list[str] = []

    def line_with(self, text: str) -> str:
        """The next line that holds `text`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"no line with {text!r}: {self.lines}")

    def end(self) -> int:
        """Exit code."""
        assert self.process.stdout is not None
        self.lines += self.process.stdout
        return self.process.wait(60)

    @property
    def text(self) -> str:
        return "".join(self.lines)


def wait_for_bytes(folder: Path) -> Path:
    """The recording in `folder` once there is something in it."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for path in folder.glob("videos/.recording-*"):
            if path.stat().st_size > 4000:
                return path
        time.sleep(0.05)
    raise AssertionError("nothing was recorded")


def engines_of(random_engines: EngineSet) -> list[object]:
    return ["--engines", random_engines.folder, "--backend", "onnxruntime-cpu", "--workers", 1]


def test_the_tables_are_those_of_a_run_over_the_kept_video(
    capsys: pytest.CaptureFixture[str], random_engines: EngineSet, take: Path, tmp_path: Path
) -> None:
    settings = [*engines_of(random_engines), "--detect-every", 4, "--smoothing", 0.5, "--landmarks"]
    where = ["--output", tmp_path / "live", "--name", "Ada 1", "--save-video"]
    with http_server(streaming(take, "mpegts")) as address:
        code, text, error = call(capsys, "record", address, *where, *settings)
    assert code == 0, error
    assert text.startswith(f"1 of 1 clips done, 0:02 of video, {FRAMES} frames")
    assert f"recording {address} as Ada 1; Ctrl-C ends the take" in error
    assert f"recorded 0:02, {FRAMES} frames; {address}: the connection was lost: the other side" in error
    video = tmp_path / "live" / "videos" / "Ada 1.mkv"
    assert numbers(video) == list(range(FRAMES))
    assert call(capsys, "run", video, "--output", tmp_path / "again", *settings)[0] == 0
    ours = results(tmp_path / "live")
    assert ours == results(tmp_path / "again")
    assert set(ours) == {"raw/Ada 1.parquet", "coefficients/Ada 1.parquet", "fbx/Ada 1.fbx"}
    assert rows(tmp_path / "live")["Ada 1"]["frames_with_face"] > 0
    assert rows(tmp_path / "live")["Ada 1"]["landmarks"] == POINTS
    assert half_written(tmp_path / "live") == [] and unfinished(tmp_path / "live") == []


def test_a_pipe_is_recorded_and_takes_add_up(random_engines: EngineSet, take: Path, tmp_path: Path) -> None:
    for _ in range(2):
        with pipe_of(take, "matroska") as pipe:
            recording = Recording("-", "-o", tmp_path / "out", *engines_of(random_engines), stdin=pipe)
            assert recording.end() == 0, recording.text
        assert "standard input: the stream ended" in recording.text
        time.sleep(1)  # names of takes tell seconds apart
    found = rows(tmp_path / "out")
    assert len(found) == 2 and all(row["status"] == "done" for row in found.values())
    assert all(re.fullmatch(r"pipe-\d{8}-\d{6}", name) for name in found)
    assert not (tmp_path / "out" / "videos").exists()  # without --save-video it goes when its clip is done


def test_ctrl_c_ends_the_take_and_makes_its_tables(
    random_engines: EngineSet, endless: Path, tmp_path: Path
) -> None:
    with http_server(streaming(endless, "mpegts")) as address:
        where = ["-o", tmp_path, "--name", "t", "--save-video"]
        recording = Recording(address, *where, *engines_of(random_engines))
        wait_for_bytes(tmp_path)
        recording.process.send_signal(signal.SIGINT)
        assert recording.end() == 0, recording.text
    kept = numbers(tmp_path / "videos" / "t.mkv")
    assert kept == list(range(len(kept))) and 0 < len(kept) < 600
    assert rows(tmp_path)["t"]["frames"] == len(kept)
    assert f"{len(kept)} frames\n" in recording.text  # nothing was odd about its end


def test_a_terminal_shows_one_line_and_then_the_runs_bar(
    random_engines: EngineSet, take: Path, tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    with http_server(streaming(take, "mpegts")) as address, os.fdopen(ours, "rb", buffering=0) as terminal:
        command = [sys.executable, "-m", "facecap_batch", "record", address, "-o", tmp_path]
        process = subprocess.Popen(
            [*map(str, command), *map(str, engines_of(random_engines))],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "60"},
        )
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal is closed when the last who has it open ends
            while more := terminal.read(4096):
                shown += more
        assert process.wait() == 0, shown.decode()
    before, _, after = shown.decode().partition("recorded 0:02")
    lines = [line.partition("\r\n")[0] for line in before.split("\r\x1b[2K")]
    rewritten = [line for line in lines if " frames, " in line]
    assert any(line.startswith("recording 0:0") and " fps, " in line for line in rewritten)
    assert all(len(line) < 60 for line in rewritten)
    assert "starting" not in before and "1/1 clips" in after


def test_a_second_ctrl_c_leaves_and_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str], random_engines: EngineSet, take: Path, tmp_path: Path
) -> None:
    with http_server(streaming(take, "mpegts")) as address:
        recording = Recording(address, "-o", tmp_path, "--name", "t", *engines_of(random_engines))
        recording.line_with("recorded 0:02")
        recording.process.send_signal(signal.SIGINT)
        assert recording.end() == 130, recording.text
    video = tmp_path / "videos" / "t.mkv"
    assert numbers(video) == list(range(FRAMES))
    command = f"facecap-batch run {video} --output {tmp_path}"
    assert f"the recording is kept: {command} makes its tables" in recording.text
    assert call(capsys, *command.split()[1:], *engines_of(random_engines))[0] == 0
    assert set(rows(tmp_path)) == {"t"}


def test_a_recording_that_was_killed_is_named_and_can_be_run(
    capsys: pytest.CaptureFixture[str],
    random_engines: EngineSet,
    endless: Path,
    take: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with http_server(streaming(endless, "mpegts")) as address:
        recording = Recording(address, "-o", tmp_path, "--name", "t", *engines_of(random_engines))
        left = wait_for_bytes(tmp_path)
        recording.process.kill()
        recording.end()
    assert not (tmp_path / "videos" / "t.mkv").exists()
    monkeypatch.setattr("facecap_batch.recording.take_files.STALE_S", -1.0)
    assert STALE_S > 10  # another process may be recording it
    with http_server(streaming(take, "mpegts")) as address:
        code, _, error = call(
            capsys, "record", address, "-o", tmp_path, "--name", "u", *engines_of(random_engines)
        )
    command = f"facecap-batch run {left} --output {tmp_path}"
    assert code == 0 and f"{left}: a recording that was never finished; {command} does it" in error
    assert call(capsys, *command.split()[1:], *engines_of(random_engines))[0] == 0
    found = rows(tmp_path)
    assert set(found) == {"recording-t", "u"} and found["recording-t"]["frames"] > 0
    assert left.exists()


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """A stream that takes room: 20 frames, some 3 kB each."""
    noise = np.random.default_rng(0).integers(-40, 40, (20, 96, 128, 3))
    pictures = [np.clip(picture(n) + noise[n], 0, 255).astype(np.uint8) for n in range(20)]
    return write_video(tmp_path / "noisy.ts", pictures, FPS, options={"bf": "0", "g": "5"})


def test_a_full_disk_keeps_what_was_written(
    capsys: pytest.CaptureFixture[str], random_engines: EngineSet, noisy: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 40_000) as disk, http_server(streaming(noisy, "mpegts")) as address:
        where = ["-o", disk, "--name", "t"]
        code, _, error = call(capsys, "record", address, *where, *engines_of(random_engines))
        left = disk / "videos" / ".recording-t.mkv"
        assert code == 2 and f"{left}: cannot be written: No space left on device; free space" in error
        assert f"the recording is kept: facecap-batch run {left} --output {disk} makes its tables" in error
        kept = numbers(left, damage="keep")
        assert kept == list(range(len(kept))) and kept


def test_a_take_whose_clip_fails_keeps_its_video(
    capsys: pytest.CaptureFixture[str], random_engines: EngineSet, noisy: Path, tmp_path: Path
) -> None:
    damaged = flip_bytes(noisy, tmp_path / "damaged.ts")

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        begin(handler)
        handler.wfile.write(damaged.read_bytes())

    with http_server(answer) as address:
        where = ["-o", tmp_path, "--name", "t", "--quiet"]
        code, _, error = call(capsys, "record", address, *where, *engines_of(random_engines))
    video = tmp_path / "videos" / "t.mkv"
    assert code == 1 and video.is_file()
    failure, kept = error.splitlines()  # and nothing else: it was told to be quiet
    assert failure.startswith("failed: t: BadVideo: ")
    assert kept == f"the recording is kept: facecap-batch run {video} --output {tmp_path} makes its tables"
    again = ["run", video, "-o", tmp_path, "--keep-damaged", *engines_of(random_engines)]
    assert call(capsys, *again)[0] == 0


def test_the_preview_is_served_while_it_is_recorded(
    random_engines: EngineSet, endless: Path, tmp_path: Path
) -> None:
    with http_server(streaming(endless, "mpegts")) as address:
        recording = Recording(
            *(address, "-o", tmp_path, "--name", "t", "--show-preview"), *engines_of(random_engines)
        )
        url = recording.line_with("preview: ").split()[1]
        place = urlsplit(url)
        assert place.hostname == "127.0.0.1" and place.port
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
        connection.request("GET", "/stream")
        stream = connection.getresponse()
        assert stream.readline() == b"--picture\r\n"
        length = 0
        while (line := stream.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        image = cv2.imdecode(np.frombuffer(stream.read(length), np.uint8), cv2.IMREAD_COLOR)
        connection.close()
        assert image is not None and image.shape[0] == 540
        connection.request("GET", "/line")
        assert re.match(rb"(connecting|recording) 0:0\d, \d+ frames, ", connection.getresponse().read())
        connection.close()
        recording.process.send_signal(signal.SIGTERM)
        assert recording.end() == 0, recording.text
    with pytest.raises(ConnectionRefusedError):
        connection.request("GET", "/")


def test_credentials_are_written_nowhere(random_engines: EngineSet, take: Path, tmp_path: Path) -> None:
    with http_server(streaming(take, "mpegts")) as address:
        with_secrets = address.replace("://", "://ada:hunter2@") + "?token=hunter2"
        log = tmp_path / "log.jsonl"
        recording = Recording(
            with_secrets,
            *("-o", tmp_path / "out", "--save-video", "--log-json", log),
            *engines_of(random_engines),
        )
        assert recording.end() == 0, recording.text
    assert f"recording {address} as 127.0.0.1-" in recording.text
    assert "hunter2" not in recording.text
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 5
    assert [path for path in written if b"hunter2" in path.read_bytes()] == []


class TestBadCommands:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ["http://127.0.0.1:1/x"],
                "http://127.0.0.1:1/x: an HTTP stream that cannot be opened: the connec",
            ),
            (["/dev/video-none"], "/dev/video-none: there is no such device"),
            (["take.mp4"], "take.mp4: is no live source"),
            (["-", "--reconnect"], "standard input cannot be opened again"),
            (["udp://127.0.0.1:9", "--seconds", "0"], "--seconds"),
            (["udp://127.0.0.1:9", "--engines", "nobody's"], "no engine set"),
            (["udp://127.0.0.1:9", "-o", "s3://bucket/out"], "s3://bucket/out: a recording grows in a local"),
            (
                ["udp://127.0.0.1:9", "--name", "a/b"],
                "--name a/b: cannot be the name of a file everywhere; a",
            ),
        ],
    )
    def test_they_end_with_2_and_a_line(
        self,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        arguments: list[str],
        message: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
        code, _, error = call(capsys, "record", *arguments)
        unboxed = " ".join(error.replace("│", " ").split())
        assert code == 2 and message in unboxed and "Traceback" not in error
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    def test_nothing_runs_where_the_folder_is_a_manifests(
        self, capsys: pytest.CaptureFixture[str], random_engines: EngineSet, take: Path, tmp_path: Path
    ) -> None:
        manifest = tmp_path / "m.csv"
        manifest.write_text(f"path\n{take}\n")
        out = tmp_path / "out"
        assert call(capsys, "run", manifest, "-o", out, *engines_of(random_engines))[0] == 0
        code, _, error = call(capsys, "record", "udp://127.0.0.1:9", "-o", out)
        assert code == 2 and f"{out} belongs to the manifest {manifest}" in error

    def test_a_name_that_is_taken(
        self, capsys: pytest.CaptureFixture[str], random_engines: EngineSet, take: Path, tmp_path: Path
    ) -> None:
        assert call(capsys, "run", take, "-o", tmp_path, *engines_of(random_engines))[0] == 0
        code, _, error = call(capsys, "record", "udp://127.0.0.1:9", "-o", tmp_path, "--name", "Take")
        assert code == 2 and "has a clip of this name; choose another" in error

    def test_stopped_before_a_picture_came(self, random_engines: EngineSet, tmp_path: Path) -> None:
        with http_server(lambda handler: time.sleep(8)) as address:
            recording = Recording(address, "-o", tmp_path, *engines_of(random_engines))
            recording.line_with("recording ")
            recording.process.send_signal(signal.SIGINT)
            assert recording.end() == 130
        assert "nothing was recorded: it was stopped before a picture came" in recording.text
        assert "Traceback" not in recording.text
        assert list(tmp_path.glob("videos/.recording-*")) == []
