"""The served report as a program meets it: who gets an answer, ranges of videos, figures that come later."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import pytest

from facecap_batch.reporting import served as served_module
from facecap_batch.reporting.report import write_report
from facecap_batch.reporting.served import Piece, ServedReport, asked_piece
from facecap_batch.storage.web.loopback import PortTaken
from tests.support.commands import call
from tests.support.movements import moving
from tests.support.reported import failed, reported_folder
from tests.support.runs import half_written

VIDEO = bytes(range(256)) * 40
ROOT = Path(__file__).parents[2]


def make_folder(place: Path) -> Path:
    (place / "one.mp4").write_bytes(VIDEO)
    (place / "secret.txt").write_text("secret")
    times = np.arange(30) / 30
    return reported_folder(
        place / "out",
        {"one": [moving("one", times)], "two": [moving("two", times)], "text": [moving("text", times)]},
        [failed("bad", "BadVideo", "no video")],
        videos={"text": "secret.txt", "bad": "one.mp4", "two": "https://example.com/two.mp4"},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[ServedReport]:
    with contextlib.closing(ServedReport(folder)) as serving:
        yield serving


def get(url: str, path: str = "", **headers: str) -> tuple[int, Message, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", parts.path + path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def test_the_page_and_its_data(served: ServedReport) -> None:
    status, headers, body = get(served.url)
    assert status == 200 and b'data-kind="served"' in body
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
    run = json.loads(get(served.url, "run")[2])
    assert [take["clip_id"] for take in run["takes"]] == ["one", "two", "text", "bad"]
    found: list[dict[str, object]] = []
    while not (answer := json.loads(get(served.url, f"takes/{len(found)}")[2]))["is_over"]:
        found += answer["takes"]
    found += answer["takes"]
    assert [take.get("video") for take in found] == ["video/0", None, None, None]
    assert [take["has_curves"] for take in found] == [True, True, True, False]
    assert all(get(served.url, name)[0] == 200 for name in ("head", "curves/0", "curves/3"))


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example"])
def test_other_names_that_lead_here_get_nothing(served: ServedReport, host: str) -> None:
    for path in ("", "run", "video/0"):
        assert get(served.url, path, Host=host)[0] == 403


def test_without_the_secret_there_is_nothing(served: ServedReport) -> None:
    root = served.url.removesuffix(served.root)
    for path in ("/", "/run", "/video/0", served.root[:-2] + "/", "/x" + served.root, served.root.upper()):
        assert get(root + path)[0] == 404
    assert len(served.root) > 20


@pytest.mark.parametrize(
    "path",
    [
        *("video/1", "video/2", "video/3", "video/9", "video/-1", "video/0/../1", "video//etc/passwd"),
        *("video/", "curves/4", "curves/x", "takes/", "../../secret.txt", "run/", "%2e%2e/"),
        "coefficients/one.parquet",
    ],
)
def test_only_what_has_a_number_is_answered(served: ServedReport, path: str) -> None:
    """The take with a number has no video here, or there is none, or it is no number."""
    status, _, body = get(served.url, path)
    assert status == 404 and b"secret" not in body.replace(served.root.encode(), b"")


def test_videos_come_in_ranges(served: ServedReport) -> None:
    status, headers, body = get(served.url, "video/0")
    assert (status, headers["Content-Type"], body) == (200, "video/mp4", VIDEO)
    assert headers["Accept-Ranges"] == "bytes"
    status, headers, body = get(served.url, "video/0", Range="bytes=100-199")
    assert (status, body) == (206, VIDEO[100:200])
    assert headers["Content-Range"] == f"bytes 100-199/{len(VIDEO)}"
    assert get(served.url, "video/0", Range="bytes=-5")[2] == VIDEO[-5:]
    status, headers, _ = get(served.url, "video/0", Range=f"bytes={len(VIDEO)}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(VIDEO)}")
    assert get(served.url, "video/0", Range="lines=1-2")[0] == 200


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        (None, Piece(0, 10, False)),
        ("bytes=0-", Piece(0, 10, True)),
        ("bytes=3-5", Piece(3, 6, True)),
        ("bytes=3-500", Piece(3, 10, True)),
        ("bytes=-4", Piece(6, 10, True)),
        ("bytes=-40", Piece(0, 10, True)),
        ("bytes=-0", None),
        ("bytes=10-", None),
        ("bytes=5-3", None),
        ("bytes=-", Piece(0, 10, False)),
        ("bytes=0-1,3-4", Piece(0, 10, False)),
        ("items=0-1", Piece(0, 10, False)),
    ],
)
def test_ranges_are_read_as_the_standard_has_them(header: str | None, asked: Piece | None) -> None:
    assert asked_piece(header, 10) == asked


def test_a_video_that_went_away(tmp_path: Path) -> None:
    with contextlib.closing(ServedReport(make_folder(tmp_path))) as serving:
        (tmp_path / "one.mp4").unlink()
        assert get(serving.url, "video/0")[0] == 404


def test_figures_that_fail_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object) -> Iterator[object]:
        raise RuntimeError("no figures today")
        yield

    monkeypatch.setattr(served_module.Takes, "each", broken)
    with contextlib.closing(ServedReport(folder)) as serving:
        answer = json.loads(get(serving.url, "takes/0")[2])
    assert answer == {"takes": [], "is_over": True, "error": "RuntimeError: no figures today"}


def test_a_port_that_is_taken_is_named(served: ServedReport, folder: Path) -> None:
    port = int(urlsplit(served.url).port or 0)
    with pytest.raises(PortTaken, match=f"--port {port}: Address already in use"):
        ServedReport(folder, port)


def test_the_commands(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert call(capsys, "report", folder) == (0, f"{folder / 'report.html'}\n", "")
    assert call(capsys, "report", folder, "--output", tmp_path / "pages/a.html")[0] == 0
    assert 'src="' not in (tmp_path / "pages/a.html").read_text(encoding="utf-8")
    assert half_written(tmp_path) == []
    code, _, error = call(capsys, "report", tmp_path)
    assert code == 2 and "is not the output folder of a run" in error
    (tmp_path / "file").write_text("")
    code, _, error = call(capsys, "report", folder, "--output", tmp_path / "file" / "a.html")
    assert code == 2 and "cannot write" in error
    assert call(capsys, "serve", tmp_path)[0] == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_when_asked(folder: Path, number: signal.Signals) -> None:
    """Also where it ignores SIGINT from birth, as what a script starts in the background does."""
    command = ["bash", "-c", 'trap "" INT; exec "$@"', "-", sys.executable, "-m", "facecap_batch", "serve"]
    with subprocess.Popen([*command, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT) as serving:
        try:
            assert serving.stdout is not None
            line = serving.stdout.readline()
            found = re.match(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", line)
            assert found is not None and get(found.group())[0] == 200
            serving.send_signal(number)
            assert serving.wait(60) == 0
        finally:
            serving.kill()


def test_a_report_names_videos_from_where_it_lies(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "report.html", tmp_path / "x.html"):
        expected = f"./{quote(os.path.relpath(folder.parent / 'one.mp4', path.parent))}"
        write_report(folder, path)
        text = path.read_text(encoding="utf-8")
        takes = json.loads(re.findall(r'id="takes">(.*?)</script>', text)[0])
        assert takes[0]["video"] == expected
        assert [take.get("video") for take in takes[1:]] == [None, None, None]
