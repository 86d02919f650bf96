"""Videos on web servers: looked at before they are opened, read in one version, known when they change."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from facecap_batch.clip import Clip
from facecap_batch.errors import BadVideo, InputNotReadable, TooLarge
from facecap_batch.output.input_identity import identify
from facecap_batch.storage import remote_video
from facecap_batch.storage.remote_video import open_remote
from facecap_batch.video.decoder import Video
from tests.support import forgeries
from tests.support.videos import numbers, write_video
from tests.support.web_files import WebFolder, web_folder

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def web() -> Iterator[WebFolder]:
    with web_folder() as folder:
        folder.files["take.mp4"] = CONTENT
        yield folder


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video whose index is at its end."""
    return write_video(tmp_path_factory.mktemp("web") / "take.mp4", 10).read_bytes()


@pytest.mark.parametrize("kind", ["with ranges", "without", "of unknown length"])
def test_it_is_a_video_like_any_other(web: WebFolder, take: bytes, kind: str) -> None:
    web.gives_ranges, web.says_length = kind == "with ranges", kind != "of unknown length"
    web.files["einstellung ä.mp4"] = web.files["einstellung%20%C3%A4.mp4"] = take
    assert numbers(f"{web.address}einstellung ä.mp4") == list(range(10))
    assert {name for name, _ in web.asked} == {"einstellung%20%C3%A4.mp4"}


@pytest.mark.parametrize("gives_ranges", [True, False])
def test_what_its_index_claims_is_looked_at(web: WebFolder, tmp_path: Path, gives_ranges: bool) -> None:
    whole = write_video(tmp_path / "whole.mp4", 10)
    claimed = forgeries.claim_samples(whole, tmp_path / "claimed.mov", 50_000_000)
    web.gives_ranges = gives_ranges
    web.files["claimed.mov"] = claimed.read_bytes()
    with pytest.raises(TooLarge, match="claims 50000000 samples"):
        Video(f"{web.address}claimed.mov")


@pytest.mark.parametrize("field", ["ETag", "Last-Modified", "Content-Length"])
def test_a_file_that_is_replaced_is_not_mixed(web: WebFolder, field: str) -> None:
    """It is known by what the server says of it, at least by its size."""
    validator = field != "Content-Length"
    web.fields = {field: '"1"'} if validator else {}
    with open_remote(f"{web.address}take.mp4") as file:
        assert file.read(100) == CONTENT[:100]
        web.files["take.mp4"] = bytes(len(CONTENT) if validator else len(CONTENT) + 1)
        web.fields = {field: '"2"'} if validator else {}
        file.seek(900_000)  # further than is read on
        with pytest.raises(InputNotReadable, match="it changed while it was being read"):
            file.read(100)


@pytest.mark.parametrize(
    ("fields", "says_length", "known_by"),
    [
        ({"ETag": '"1"', "Last-Modified": "then"}, True, {"version": "1", "size": len(CONTENT)}),
        ({"Last-Modified": "then"}, True, {"version": "then", "size": len(CONTENT)}),
        ({}, True, {"version": "", "size": len(CONTENT)}),
        ({}, False, {"version": "", "size": -1}),
    ],
    ids=["ETag", "time of change", "size", "address"],
)
@pytest.mark.parametrize("with_fsspec", [True, False])
def test_it_is_known_by_what_the_server_says(
    web: WebFolder,
    fields: dict[str, str],
    says_length: bool,
    known_by: dict[str, object],
    with_fsspec: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not with_fsspec:
        monkeypatch.setitem(sys.modules, "fsspec", None)
    web.fields, web.says_length, web.gives_ranges = fields, says_length, says_length
    clip = Clip("take", f"{web.address}take.mp4")
    before = identify(clip)
    assert known_by.items() <= dataclasses.asdict(before).items()
    web.files["take.mp4"] = bytes(len(CONTENT))
    assert identify(clip) == before
    web.files["take.mp4"] = bytes(len(CONTENT) + 1)
    assert (identify(clip) == before) == (not says_length)
    if fields:
        web.files["take.mp4"] = CONTENT
        web.fields = dict.fromkeys(fields, '"2"')
        assert identify(clip).key() != before.key()


def test_ranges_are_asked_for_where_it_is_read(web: WebFolder) -> None:
    with open_remote(f"{web.address}take.mp4") as file:
        web.asked.clear()
        assert file.read(1000) == CONTENT[:1000]
        file.seek(2000)
        assert file.read(10) == CONTENT[2000:2010]  # read on
        file.seek(-10, io.SEEK_END)
        assert file.read(1000) == CONTENT[-10:] and file.read(10) == b""
        file.seek(5)
        assert file.read(10) == CONTENT[5:15]
    assert [span for _, span in web.asked] == ["bytes=0-", f"bytes={len(CONTENT) - 10}-", "bytes=5-"]


def test_what_passes_is_tried_again(web: WebFolder) -> None:
    web.failures, web.breaks_after = [503, 429], 300_000
    with open_remote(f"{web.address}take.mp4") as file:
        read = b""
        while data := file.read(2**17):
            read += data
    assert read == CONTENT


def test_what_lasts_is_named(web: WebFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadVideo, match="there is no such file"):
        open_remote(f"{web.address}nothing.mp4")
    web.files["empty.mp4"] = b""
    web.gives_ranges = False
    with pytest.raises(BadVideo, match="the file is empty"):
        open_remote(f"{web.address}empty.mp4")
    for code in (400, 401, 403, 451):
        web.failures = [code]
        with pytest.raises(InputNotReadable, match=f"answers {code}"):
            open_remote(f"{web.address}take.mp4")
    web.says_length = False
    monkeypatch.setattr(remote_video, "MAX_UNKNOWN_BYTES", len(CONTENT) // 2)
    with pytest.raises(BadVideo, match="does not say how long it is"):
        open_remote(f"{web.address}take.mp4")


def test_redirects_lead_to_web_servers_alone(web: WebFolder, tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(CONTENT)
    web.moved = {
        "moved.mp4": f"{web.address}take.mp4",
        "local.mp4": (tmp_path / "secret.mp4").as_uri(),
        "ftp.mp4": "ftp://127.0.0.1/take.mp4",
        "round.mp4": f"{web.address}round.mp4",
    }
    with open_remote(f"{web.address}moved.mp4") as file:
        assert file.read(100) == CONTENT[:100]
    for name in ("local.mp4", "ftp.mp4", "round.mp4"):
        with pytest.raises(InputNotReadable):
            open_remote(web.address + name)


def test_a_name_and_a_password_in_the_address(web: WebFolder) -> None:
    web.password = "ada:s p@ce"
    with open_remote(web.address.replace("//", "//ada:s%20p%40ce@") + "take.mp4") as file:
        assert file.read(100) == CONTENT[:100]
    with pytest.raises(InputNotReadable, match="answers 401"):
        open_remote(f"{web.address}take.mp4")
